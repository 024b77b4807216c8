// Package container holds the Dockerfile against BuildKit's linter, .dockerignore against what the build needs, and
// docker-compose.yml against the Compose specification. Its tests are the checks; each check also sees a file that it has
// to refuse. .ci/deploy runs them.
//
// It is a module of its own, because what BuildKit needs and what kube-score needs do not fit into one.
package container
