// Package token is the token endpoint (RFC 6749 §3.2): one file per grant, and the steps that all grants share.
//
//	read the form            nothing is known yet
//	authenticate the client  package client
//	grant_type               offered here, and registered for the client
//	verify the proof         package dpop; a missing nonce is answered here and uses nothing up
//	judge the grant          scope and resource, without touching anything
//	spend                    assertion, proof and the client's version, in one commit; from here on the request is used up
//	sign, answer
//
// A token request without proof of possession is refused (FAPI 2.0 Security Profile §5.3.2.1-4), unless the operator lets
// this client have unbound tokens, whose type is Bearer. How long a token lives the operator may set for each client too.
package token
