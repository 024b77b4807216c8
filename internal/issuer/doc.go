// Package issuer is who may vouch for others: issuers of JWTs that are grants (RFC 7521 §4.1, RFC 7523 §2.1), which the
// operator trusts one by one, and the verification of what they sign.
//
//	shape, alg, typ, kid, iss, sub, times, jti   from the assertion and the clock; refused in plain words
//	issuer, alg, key, signature                  from our records; refused in one sentence, whatever was wrong, after one
//	                                             signature check in any case
//	aud, lifetime, sub, jti                      by the record of an issuer that is proven; refused in plain words
//	the use                                      for the caller to spend
//
// Every defect is invalid_grant (RFC 7523 §3.1). An issuer's record is asked for at each request, and what is spent is joined to
// it as to the client's, so that one that was removed vouches for nothing from its commit on.
//
// An assertion is good for one use: of its jti; where it has none, of what was signed. Of ES256 that is not enough: two
// honest assertions of one second may say the same, and differ in their signature alone. The signature's r tells them apart.
// Its s does not count, since whoever holds an assertion can make another of it with n−s.
//
// Nobody is confused with anybody: neither an issuer nor whom it speaks for has the name of a client, so that a client
// assertion is never a grant and no token looks like a client's own; and no subject is like a person's (RFC 9700 §4.15). So
// an issuer cannot speak for a person, whose consent nobody else gives, and no scope of a record opens a person's data.
//
// Refused on purpose: a key that the header brings, subjects by pattern, tokens that outlive 15 minutes, refresh tokens.
package issuer
