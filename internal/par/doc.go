// Package par is the endpoint for pushed authorization requests (RFC 9126). Everything about a request is judged here,
// once; the authorization endpoint only reads what passed.
//
//	read the form            nothing is known yet
//	authenticate the client  package client
//	verify the proof         if one came: the code will be bound to its key
//	judge the parameters     against the client's registration and this server's offer
//	spend                    assertion, proof and the client's version, in one commit
//	count the push           each client has a limit; what is not kept, and what somebody else replays, uses none of it up
//	keep, answer             a request_uri of 256 random bits, of which the store has the hash
//
// Refused are: request_uri within a request, every response_type but code, PKCE other than S256, a redirect_uri that is not
// registered to the letter, scopes beyond the registration, and those of client registration, which no person can grant.
package par
