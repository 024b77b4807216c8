// Package dcr is dynamic client registration and its management (RFC 7591, RFC 7592) at the paths of FDX.
//
//	POST   /fdx/v6/register              201   gate, validate, store; a registration access token of the client's own
//	GET    /fdx/v6/register/{client_id}  200   the effective record
//	PUT    /fdx/v6/register/{client_id}  200   replaces the whole record; validated exactly as a registration
//	DELETE /fdx/v6/register/{client_id}  204   a tombstone: the client and all its tokens are dead at the commit
//
// The gate of POST is the operator's: open, token, closed. A credential that is sent is checked in open too. Management
// takes the registration access token, of which only the hash is kept, or the client's own bound access token with
// client.read or client.create (seed 001), which is a Bearer token too when it is bound to a certificate. For an unknown
// client and for a wrong token the answer is the same.
//
// A proof is spent after the body has been judged, so that one that is refused burns nothing. What a registration access
// token has opened is changed by a statement that asks for the token's hash again: from the commit on that replaces it, the
// old one changes nothing.
//
// What is registered is what is echoed: unknown members are ignored and left out of the answer, null and empty ones count
// as absent, defaults and mapped scopes appear as they are in force. Defaults follow FAPI 2.0 where RFC 7591 has weaker
// ones. What of its certificate a client registers no other living client has; the methods that use it are taken where
// mutual TLS is offered. Inline keys must also be such that answers can be encrypted as they are registered to be; what a
// jwks_uri holds is judged when an answer needs it. Refused on purpose: client secrets, RS256, other response types than
// code, URIs that another reader could read differently. No URI of a client is fetched here.
package dcr
