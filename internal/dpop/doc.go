// Package dpop turns a DPoP header into a verified key thumbprint (RFC 9449).
//
// The order of the checks is the order of what they cost the client to mend, and nothing is used up by any of them:
//
//	one header, one strict JWS, typ, alg, jwk      proof_repeated … proof_key
//	signature by that jwk                          proof_signature
//	jti, htm, htu, iat, exp, nbf, ath              proof_claims … proof_ath
//	nonce                                          nonce_missing, nonce_unknown: asked for last, so that the answer
//	                                               "try again with this nonce" is only given to a proof that will pass
//	                                               then; an iat that no nonce could save is refused before
//
// What was verified comes back with the Use that the caller spends: the proof's jti under its key's thumbprint.
//
// Nonces are stateless: an HMAC over a step of time under a key derived from the key-encryption keys. All replicas and
// endpoints share them; the step before and the step after this clock's are accepted too.
//
// htu is compared with the endpoint's configured URLs (it has a second one where mutual TLS has aliases), never with the Host
// header, after the normalisation of RFC 3986 §6.2.2 and §6.2.3. Refused on purpose: a nonce as a licence for an old iat.
package dpop
