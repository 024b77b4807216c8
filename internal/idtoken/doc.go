// Package idtoken is the ID token (OpenID Connect Core §2): who signed in, when and how, told to one client. It comes from
// the token endpoint alone, with every access token whose scope has openid.
//
//	typ JWT, alg as the client registered (PS256 where it did not), kid; encrypted around that, as it registered
//	iss, sub, aud (the client, a string), iat, exp (five minutes later), auth_time
//	acr, amr        as far as they are known
//	nonce           of the request, to the letter; only in the first ID token of a grant (OpenID Connect Core §12.2)
//	sid             the session in which the person said yes, by a name that opens nothing; not of grants from before it was kept
//	at_hash         of the access token beside it (§3.1.3.6)
//
// It says nothing else about the person: who wants a name or an address asks for it as data to share (FDX), which the person
// is shown and allows. The claims parameter therefore changes what the authentication must be (package par), and never what
// an ID token says.
//
// A client gives an ID token back as id_token_hint, to say whom it means. It is taken when this server signed it, however
// long ago it expired, for as long as its signing key is published. What else is signed here is none: an access token has
// another typ, and an answer of userinfo or of the authorization endpoint does not say when somebody signed in.
package idtoken
