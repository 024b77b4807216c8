// Package certificate is the client certificate of a request (RFC 8705).
//
// Of takes it from the request's TLS state: possession of its key was proven by the handshake, with us or with a trusted
// proxy (package server puts the certificate that such a proxy forwards there too, so that every room sees one thing). A
// request may have none. One that is not valid now, or whose key is too weak, is refused where somebody wants to use it,
// and means nothing elsewhere.
//
// What it proves:
//
//	Anchors.Verify     that an authority vouches for it, for tls_client_auth; judged anew for every request, so that an
//	                   authority that is taken away is gone for connections that are open and for resumed sessions too
//	Subject.Matches    that it is the one whose subject a client registered: exactly one of five members (RFC 8705 §2.1.2)
//	Thumbprint         what a token is bound to (RFC 8705 §3.1)
//
// A distinguished name is compared as a structure, never as text: RDN by RDN in their order, the attributes of one RDN as a
// set, types by their numbers, values exactly. Each alternative name is compared with names of its own kind alone: a host
// name in the common name of the subject counts for nothing.
//
// Left out on purpose: revocation lists and OCSP. Whoever ends a client, or takes its authority away, ends it at the commit.
package certificate
