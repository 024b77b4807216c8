// Package pglocal runs a private PostgreSQL as a child process, for `authserver dev` and for tests.
//
// It uses the PostgreSQL that the system has: [Find] looks for initdb and postgres, and [Missing] names the command
// that installs them. Nothing here downloads or installs anything.
//
// Decisions:
//
//   - The server listens on a Unix socket only, in a folder of mode 0700 that nobody else can enter.
//   - It ends with its parent, whatever ends the parent. A small shell stands between the two and reads from a pipe
//     whose other end only the parent holds; when the pipe closes, the shell shuts PostgreSQL down. [Server.Stop]
//     closes the same pipe, so that the way out after a crash is the way out of every day.
//   - PostgreSQL refuses to run as root, so root drops to the owner of the data folder, or else to the user postgres
//     or nobody. Folders above the data folder are never changed: if that user cannot pass them, Start says which.
//   - The data folder holds the cluster in "cluster" and the log of the last run in "postgres.log". A cluster is made
//     beside its final name and then renamed, so that an interrupted first start leaves nothing half done.
//   - One run at a time uses a data folder. Every process of a run inherits one lock on it, so the next run also waits
//     for a PostgreSQL that is still shutting down after its parent was killed.
//
// Refusals: it is not for production, opens no TCP port, upgrades no data folder to another major version, and does
// not run on Windows (no user to drop to, no Unix shell).
package pglocal
