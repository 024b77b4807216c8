// Package server is the HTTP face: the routes in one table, what happens around every request, the two metadata
// documents, the pages of the reasons, health and metrics. It is the only importer of chi and prometheus.
//
//	request → proxies → record (interaction id, log, metrics, audit, panic) → bounds (body, time) → table → oauth.Serve → handler
//
// A handler tells the record of its request what it has proven and what it changed (oauth.Note); the record alone decides
// what of that is logged, counted and audited. A request whose client went away is recorded with the status 499, as no
// refusal; one that ran into a time limit of ours is a 503. Other rooms that count declare an observer, and Metrics is it.
//
// The client's address is that of the connection, or, where the connection comes from a proxy that the operator trusts, the
// rightmost address of X-Forwarded-For that is no trusted proxy's. The client's certificate is likewise that of the
// connection, or, at the public listener, the one that such a proxy tells of in the header that was agreed on. It is put where
// a connection's own would be, so that handlers see one thing. What a proxy says twice, or cannot be read, is refused and never
// taken for none.
//
// Every path is compared exactly and nothing is redirected: an API client follows no redirects, and a cleaned path is a
// second name for an endpoint. URLs that are published or compared come from the configuration, never from Host or
// X-Forwarded-*.
//
// Three listeners: the public one with the endpoints of the protocol; where it is configured one for mutual TLS, with those
// that programs call; and the management one with health, metrics and version, which has nothing to say to the outside.
package server
