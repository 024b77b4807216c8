// Package replay says what may be used once: assertions, DPoP proofs, and access tokens that were revoked.
//
// A Use is the SHA-256 of what is unique about it and a slot of a ring of eight half hours, chosen by a time inside the
// signed JWT, so that the same JWT always falls into the same slot. A slot is emptied as a whole once nothing in it can
// be accepted any more; emptying late costs space and never lets a replay through.
//
//	offset of a slot from the half hour that the database's clock is in
//	  -1 … +3   live: proofs a few minutes old, assertions and tokens up to an hour ahead, and clocks apart
//	  -2        spare
//	  -3, ±4    swept
//
// The room is pure: package store keeps the ring and spends from it.
package replay
