// Package accesstoken is the JWT access token of RFC 9068: issued, and recognised again by introspection, revocation and
// our own protected resources.
//
// A token has no row. What can end it before its exp is the deny-list (its Use), and the state of its client, both asked
// of the store by those who accept it.
//
//	typ at+jwt, alg, kid
//	iss, sub, aud, exp, iat, jti, client_id, scope (a string), cnf.jkt (none in an unbound token)
package accesstoken
