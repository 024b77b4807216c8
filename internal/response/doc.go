// Package response is how an answer that is a JWT is signed and encrypted, in one place: ID tokens, userinfo, authorization
// responses (JARM) and introspection.
//
//	Prepare   before the request spends anything: the key that the client's answer is encrypted for, or why there is none
//	Seal      when the answer is known: signed with the server's key of the registered algorithm, then encrypted
//
// Signed first, encrypted second, always (OpenID Connect Core §16.14, RFC 8725 §3.2): everybody who knows a client's public
// key can encrypt for it, so that encryption alone says nothing of who wrote. An answer that is to be encrypted is never
// sent otherwise; an answer that is to be plain JSON does not come here.
package response
