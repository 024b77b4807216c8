// Package resource is what a protected resource checks before it answers (RFC 9449 §7, RFC 6750, FAPI 2.0 Security
// Profile §5.3.4): the access token, that whoever brings it holds the key that it is bound to, and its scope.
//
//	one Authorization header, scheme DPoP      a token in the URI or with the Bearer scheme is refused
//	token of ours, not expired, for us, bound to a key
//	proof with ath, by the key of cnf.jkt
//	scope
//	spend the proof, then ask the store whether the token, its client or its grant has ended
//
// Admit does all of it. A handler that has more to refuse of the request itself calls Verify, and Spend when it has done so.
//
// Every refusal carries the challenge that tells a client what to send (RFC 9449 §7.1).
package resource
