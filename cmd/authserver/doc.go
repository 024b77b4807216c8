// Command authserver is a standalone OAuth 2.0 authorization server for open finance (FAPI 2.0, FDX).
//
// Its sub-commands are the operator's interface. stdout is data, stderr is talk. Exit codes: 0 well, 1 a check failed,
// 2 usage or configuration, 3 cannot reach.
//
// Settings come from flags, then AUTHSERVER_* (each also as AUTHSERVER_*_FILE, the file that holds the value), then the
// YAML file that AUTHSERVER_CONFIG names, then defaults. All that is wrong with them is reported at once. This package is
// also the one place where the rooms are wired together (app.go).
package main
