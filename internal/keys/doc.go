// Package keys is the server's own signing keys: made, sealed, published, used.
//
// A private key lives in the database as PKCS #8, sealed with AES-256-GCM under a key-encryption key that the database
// never sees. The associated data names table, kid, algorithm and purpose, so that a sealed key cannot be moved to
// another row and pass for another. Key-encryption keys are a list: the first seals, all open.
//
// Replicas that start at once on an empty database agree on one key, because the store lets only the first candidate in.
// A kid is the RFC 7638 thumbprint of its key.
package keys
