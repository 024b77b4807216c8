// Package token is the token endpoint (RFC 6749 §3.2): one file per grant type, and the steps that all of them share.
//
//	read the form            nothing is known yet
//	authenticate the client  package client; an assertion that is a grant may come alone, by the record of its issuer
//	grant_type               offered here, and registered for the client
//	verify the assertion     that is a grant, package issuer
//	verify the proof         package dpop; a missing nonce is answered here and uses nothing up. Or the client certificate
//	judge the request        what the request and the registration alone can make wrong, without touching anything
//	look for the seal        of an ID token, package response; whether it is needed, only the grant says
//	spend                    assertion, proof and the client's version, in one commit; from here on the request is used up
//	redeem                   the code, or the grant of the refresh token: one transaction of the store
//	sign, answer
//
// A code goes by the rule of package grant: it gives tokens once, a wrong try is counted, and the fifth ends it; redeemed
// again, it takes its grant with it. A refresh token gives as many tokens as are asked for while its grant lives, and stays
// the same. What a token of a grant may do is what the person granted, as far as the client is still registered for it and
// asks for it; it never outlives the grant.
//
// An assertion of a trusted issuer (RFC 7523) gives a token for whom it speaks for, who is no person and no client, in scopes
// that are neither's, to a client of the issuer's record. Nothing but the issuer's next assertion renews it.
//
// With openid in its scope an ID token comes beside the access token. Where that cannot be encrypted as the client
// registered, there are no tokens: a 400, and the code is as good as before. Openid is never what is left of a request for
// data.
//
// A token is bound to the key of a DPoP proof or to the client certificate of the connection (RFC 8705 §3): to what the client
// registered, and else to what it sends, the proof before the certificate; never to both. What it registered nothing else
// stands in for, so that a proof which a client of certificates sends is not even read; at the push, where it would bind the
// code to a key, it is refused (package par). How the client proved itself does not matter. A request with neither is refused
// (FAPI 2.0 Security Profile §5.3.2.1-4), unless the operator lets this client have unbound tokens, whose type is Bearer, in its
// own name, or an issuer give it some. How long a token lives the operator may set for each client too: beyond 15 minutes only
// for one in the client's own name that is bound to its certificate.
package token
