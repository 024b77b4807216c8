// Package par is the endpoint for pushed authorization requests (RFC 9126). Everything about a request is judged here,
// once; the authorization endpoint only reads what passed.
//
//	read the form            nothing is known yet
//	authenticate the client  package client
//	open the request object  if one came: from here on its parameters are the request, and the form's are not
//	verify the proof         if one came: the code will be bound to its key
//	judge the parameters     against the client's registration and this server's offer
//	spend                    assertion, proof and the client's version, in one commit
//	count the push           each client has a limit; what is not kept, and what somebody else replays, uses none of it up
//	keep, answer             a request_uri of 256 random bits, of which the store has the hash
//
// A request object (RFC 9101, FAPI 2.0 Message Signing §5.3.1) passes the door of package jose, is verified with the keys
// that verify the client's assertions, and only then read. Each parameter has the JSON type there that its RFC gives it;
// after that it is judged like one of a form. Beside an object counts, of a client that need not sign its requests, only
// authorization_details, and only when the object has none: clients of FDX send it so. A scope beside an object that has none
// is refused: ignored it would become all that is registered.
//
// Decided: an object may come twice. Every push proves its client anew by an assertion that is good once, and only the
// client that signed the object can push it, so that a jti would keep nobody out (RFC 9101 leaves it to the server).
// Encrypted objects are refused by their five segments before anything is decoded. A client may still register
// request_object_encryption_alg, which says that it may encrypt and not that it will (OpenID Connect Registration §2); the
// metadata lists no such algorithm.
//
// Of claims only what binds this server is read (OpenID Connect Core §5.5.1): an essential acr of the ID token joins
// acr_values, and a sub with a value means one person, as id_token_hint does. All other claims are voluntary, and there is
// no more to say of a person than is said anyway. A request for openid, or for an answer of one JWT (JARM), is refused when
// the ID token or the answer could not be encrypted as the client registered: nobody is sent on the way in vain. A client that
// registered response_modes is held to them; one that registered none may ask for any.
//
// Refused are: request_uri within a request or its object, every response_type but code, PKCE other than S256, a
// redirect_uri that is not registered to the letter, scopes beyond the registration, and those of client registration,
// which no person can grant.
package par
