// Package accesstoken is the JWT access token of RFC 9068: issued, and recognised again by introspection, revocation and
// our own protected resources.
//
// A token has no row. What can end it before its exp is the deny-list (its Use), the state of its client, and that of the
// grant and the person it speaks for; all are asked of the store by those who accept it.
//
//	typ at+jwt, alg, kid
//	iss, sub, aud, exp, iat, jti, client_id, scope (a string), cnf.jkt (none in an unbound token)
//	for a person: grant_id, auth_time, acr, amr
package accesstoken
