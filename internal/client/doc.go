// Package client is who is calling: the registered client, the proof that a request comes from it, its key sets and its logo.
//
// The way of an assertion (private_key_jwt, RFC 7523, FAPI 2.0 Security Profile §5.3.2.1):
//
//	shape, alg, typ, claims, clock   from the request and the public metadata; refused in plain words
//	client, key, signature           from our records; refused in one sentence, whatever was wrong, after one signature
//	                                 check in any case, so that neither text nor time tells which clients exist
//	an endpoint as aud               from our records, of a proven client; refused in plain words
//	spend                            Records.Spend, with the proof's use and the version of the client record
//
// The way of a certificate (tls_client_auth, self_signed_tls_client_auth, RFC 8705 §2), when the request bears no assertion:
//
//	valid now, a strong key          from the request and the clock; refused in plain words
//	chain to an authority            judged in any case, before the look-up, as the signature above
//	client, method, subject or x5c   from our records; refused in one sentence, whatever was wrong
//	spend                            of the client's version alone: nothing is used up
//
// Beside an assertion the certificate of the connection names nobody: who demands one of every call does not thereby give up
// assertions. The certificates of self-signed clients are those of their key set, and follow it.
//
// Client records are cached without invalidation: a Spend names the version that it was judged by, and one that is no
// longer true comes back as stale. A refusal spends nothing, so one that rests on the record goes through Doubt, which
// looks at the store's version. Fresh then runs the whole step again, once, on the record as it is now.
//
// Key sets: inline ones stand in the record. One behind a jwks_uri is fetched by the Fetcher (https, no redirects, the
// dialled address vetted) and kept between one and ten minutes as its host's Cache-Control says. An unknown kid, or a
// key for encryption that is not there, fetches again at most every 30 seconds. The last good set is stored with the client,
// so that a restart fetches nothing, and serves for an hour while its host is down; a set with a private key in it serves,
// without that key, but is not stored. A host that has never answered waits in a lane of its own.
// Those of trusted issuers are kept by the same rules, in a KeySets of their own.
//
// An Observer is told of every fetch of one, and of every request that was judged, and every answer that is encrypted, by a
// set past its age.
//
// What the client registered as the protection of its answers is a Protection. KeySets.Recipient finds the key that they are
// encrypted for, by the same rules. It is asked before anything is spent, and a client without such a key is refused: nothing
// that was to be encrypted is ever sent in clear.
//
// Logos: people see a client's logo on our pages from our own origin, so that their browsers tell its host nothing. Decided
// against DCR-23, which would have nothing fetched that a client names: it is fetched by the rules of a key set, in lanes of
// its own, for one client at most once in five minutes whoever asks, and only a whole PNG or JPEG by its bytes is kept and
// served. The store is asked about the client each time, so that a deleted client's logo is gone at the commit. Whoever knows a
// client_id can learn from the logo that the client exists; its consent page tells that too.
//
// What only the operator sets for a client (operator.go) no registration and no update of one can touch.
//
// Refused on purpose: client secrets, public clients, RS256, a bare key in the place of an x5c, and an audience other than
// the issuer as one string; the operator may let a client name the endpoint instead.
package client
