// Package server is the HTTP face: the routes in one table, what happens around every request, the two metadata
// documents, the pages of the reasons, health and metrics. It is the only importer of chi and prometheus.
//
//	request → record (interaction id, log, metric, panic) → bounds (body, time) → table → oauth.Serve → handler
//
// Every path is compared exactly and nothing is redirected: an API client follows no redirects, and a cleaned path is a
// second name for an endpoint. URLs that are published or compared come from the configuration, never from Host or
// X-Forwarded-*.
//
// Two listeners: the public one with the endpoints of the protocol, and the management one with health, metrics and
// version, which has nothing to say to the outside.
package server
