// Package introspect is introspection (RFC 7662) and revocation (RFC 7009): what a client or a resource server may learn
// about a token, and how its client ends it.
//
// Both authenticate the caller as the token endpoint does and spend its assertion before anything is looked up. A caller
// sees its own tokens, and access tokens for the audiences that the operator lets it serve. For every other token, and for
// every one that is not valid, the answer is {"active":false} and nothing else.
//
// An answer is JSON, or a JWT (RFC 9701) that is signed and, if the caller registered for that, encrypted. A caller whose key
// is missing is refused before its assertion is spent.
//
//	a JWT of ours        an access token: valid until it is revoked, or its client, its grant or its person is gone
//	anything else        a refresh token, if the store knows its hash: valid as long as its grant
//
// Revoking an access token ends it alone; revoking a refresh token ends its grant, and with that every token of it.
package introspect
