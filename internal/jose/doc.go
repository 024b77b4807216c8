// Package jose is the strict door in front of every JWS and JWK that a stranger hands us, the pen with which the server
// signs, and the envelope in which it puts what only one client may read. It is the only importer of jwx.
//
// A compact JWS passes through three steps, each of which returns what the next one needs:
//
//	Parse   the shape: three segments of canonical unpadded base64url under the cap, a header without dangerous
//	        members, an offered algorithm, an expected typ, claims that are one strict JSON object
//	Select  which of the owner's keys could have made the signature (KeySet.Select, or the embedded key of a DPoP proof)
//	Verify  the signature; only what Verify returns is true
//
// Why a door of our own in front of a good library: jwx v3 decodes lenient base64, accepts the JSON serialisations and
// leaves the choice of algorithm to the caller. Here a second spelling of the same token, a duplicate member, or a
// member that would change the meaning of the signature is refused before any cryptography, and the algorithm is never
// taken from the token alone (RFC 8725 §3.1).
//
// Of the header, alg, typ, kid and (for proofs) jwk are read. Members that name a key from elsewhere or change what is
// signed (crit, b64, zip, enc, jku, x5u, x5c, and jwk where none belongs) are refused by name; since crit is always
// refused, all others are by definition ignorable (RFC 7515 §4) and real clients do send them.
//
// JWE is written and never read: what comes in is signed, and nobody needs a key of ours to encrypt with. KeySet.Recipient
// chooses among the client's keys, and Recipient.Encrypt uses it. A key serves the one purpose or the other as its use,
// key_ops and alg say (RFC 7517 §4.2 to §4.4); only where they leave it open may it serve both, and then a key that is said
// to be for encryption comes first.
//
// Refused on purpose: JWE and the JSON serialisations here; the algorithms none, HS*, RS*, and the longer ES and PS
// kinds; RSA1_5, dir and symmetric key wrapping; RSA below 2048 or above 4096 bits; every curve but P-256 and, for
// signatures, Ed25519; private and symmetric keys; keys for encryption where a signature is verified, and the other way
// round; keys in more than one spelling (a coordinate that is too short or too long, a modulus with a leading zero).
//
// What stays open: an ES256 signature has a twin that verifies too (s and n-s), which anybody can compute. Single use
// must therefore hang on a claim or on SigningInput, never on the token's bytes.
//
// Every refusal is a *Defect. Its Detail speaks only of the input that was handed in, so that it may be shown to whoever
// sent it. The published sample keys in testdata are for tests alone.
package jose
