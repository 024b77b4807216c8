// Package keys is the server's own signing keys: made, sealed, published, used, rotated.
//
// A key's state follows from its times and the clock, so that all replicas change over at the same instant without a write:
//
//	next ──── its time comes ────► active ──── the next key's time comes ────► superseded ──── KeepAfter ────► gone
//	  published, does not sign       published, signs                            published, does not sign
//
// From any state the operator retires a key: it is neither published nor recognised then. The one that signs is retired only
// together with another taking its place. rule.go holds these rules, as functions of keys and time, and the reasons for the
// times; each replica reads the keys again every RefreshEvery.
//
// One key waits at most for each algorithm. Whoever makes, moves or deletes a key does it under the store's lock, after
// looking at what the others have done: replicas that start at once on an empty database agree on one key, and those that
// rotate at once make one.
//
// A private key lives in the database as PKCS #8, sealed with AES-256-GCM under a key-encryption key that the database
// never sees. The associated data names table, kid, algorithm and purpose, so that a sealed key cannot be moved to
// another row and pass for another. Key-encryption keys are a list: the first seals, all open; Rewrap seals everything with
// the first. A replica that cannot open a key does not start, and one that runs goes on with what it knew.
//
// A kid is the RFC 7638 thumbprint of its key.
package keys
