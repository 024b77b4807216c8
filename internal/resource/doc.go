// Package resource is what a protected resource checks before it answers (RFC 9449 §7, RFC 6750, FAPI 2.0 Security
// Profile §5.3.4): the access token, that whoever brings it holds the key that it is bound to, and its scope.
//
//	one Authorization header                   a token in the URI is refused
//	token of ours, not expired, for us, bound to a key
//	of cnf.jkt: the scheme DPoP, and a proof with ath by that key
//	of cnf.x5t#S256: the scheme Bearer, and the connection's client certificate is that one (RFC 8705 §3)
//	scope
//	spend the proof, if there is one, then ask the store whether the token, its client or its grant has ended
//
// Admit does all of it. A handler that has more to refuse of the request itself calls Verify, and Spend when it has done so.
//
// Every refusal carries the challenges that tell a client what to send (RFC 9449 §7.1): DPoP, and Bearer where tokens may be
// bound to certificates.
package resource
