// Package userinfo is the endpoint that tells a client whom its access token speaks for (OpenID Connect Core §5.3): by GET
// or POST, with a token that has the scope openid, and that guard lets pass (package resource).
//
// The answer is the sub that the ID token has, as JSON; as the client registered it is signed, with iss and aud then, and
// encrypted. It says no more of the person than the ID token does, whatever the claims parameter asked for: all else is data
// to share, which a person is asked for in the words of FDX and a resource server gives.
//
// Refused are: a client's own token, which speaks for nobody; a token in the query or in the body; and what the guard
// refuses. A client that is to be answered encrypted and has no key for that is refused before its proof is spent.
package userinfo
