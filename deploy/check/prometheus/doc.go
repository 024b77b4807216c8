// Package prometheus reads the rules of deploy/prometheus as Prometheus itself would: strictly, with its own parser of
// expressions and templates. Its tests are the checks; each check also sees what it has to refuse. .ci/deploy runs them.
//
// It is a module of its own, because what Prometheus needs is far more than what the server needs.
package prometheus
