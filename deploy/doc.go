// Package deploy is what others run authserver with: an image, a compose file, manifests for Kubernetes, roles for
// PostgreSQL. It has nothing to import. Its tests play the Dockerfile and docker-compose.yml on this machine, without an
// engine for containers: the program runs in a root of its own that holds the image's files only and cannot be written,
// under the image's account, with the compose file's commands, environment, volumes and secrets. The settings of the
// manifests are given to the same program.
//
// deploy/check, modules of their own, hold the same files against the specifications.
package deploy
