package main

import (
	"crypto/tls"
	"net/http"
	"strings"
	"testing"

	"authserver/internal/client"
	"authserver/internal/flow"
	"authserver/internal/oauth"
)

// Seed 003 is a guide to client credentials over mutual TLS: a transport certificate with every call, and beside it an
// assertion or nothing. What its curl commands send stands here as they have it.
const (
	seed003Interaction = "550e8400-e29b-41d4-a716-446655440000"
	seed003Scope       = "accounts"
)

// payNet is a server in the guide's shape, and its two clients: one that asserts, and one that its certificate proves.
type payNet struct {
	*deployment
	shown                tls.Certificate
	asserting, certified *flow.Client
}

// deployPayNet starts one where every call must bear a certificate. The operator lets tokens live for an hour, and assertions
// name the token endpoint.
func deployPayNet(t *testing.T) payNet {
	t.Helper()
	d := deployCertified(t, 1, func(s *settings) {
		s.Scopes, s.RequireClientCertificate, s.AccessTokenAlg = seed003Scope, "true", "PS256"
	})
	p := payNet{deployment: d, shown: d.vouched("transport certificate")}
	asGuided := func(m map[string]any) { m["scope"] = seed003Scope }
	p.asserting = d.enrolled(0, p.shown, asGuided, boundToCertificate)
	p.asserting.CertificateBound = true
	p.certified = d.certified(0, p.shown, asGuided, boundToCertificate)
	for _, c := range []*flow.Client{p.asserting, p.certified} {
		d.operatorSets(c, func(c *client.Client) {
			c.TokenLifetime, c.AssertionAudience = client.MaxCertifiedLifetime, client.IssuerOrEndpoint
		})
	}
	return p
}

// curl is the guide's command, whose -d options are the pairs.
func (p payNet) curl(s *flow.Server, pairs ...string) *flow.Exchange {
	p.t.Helper()
	header := http.Header{"Content-Type": {formType}, "X-Fapi-Interaction-Id": {seed003Interaction}}
	return raw(p.t, s, http.MethodPost, s.Metadata.TokenEndpoint, header, strings.Join(pairs, "&"))
}

// asserted is the command with private_key_jwt, with the token endpoint as audience.
func (p payNet) asserted(s *flow.Server, assertion string) *flow.Exchange {
	p.t.Helper()
	return p.curl(s, "grant_type=client_credentials", "client_id="+p.asserting.ID,
		"client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer", "client_assertion="+assertion,
		"scope="+seed003Scope)
}

// proven is the command with tls_client_auth.
func (p payNet) proven(s *flow.Server) *flow.Exchange {
	p.t.Helper()
	return p.curl(s, "grant_type=client_credentials", "client_id="+p.certified.ID, "scope="+seed003Scope)
}

func TestGoldenSeed003(t *testing.T) {
	t.Parallel()
	p := deployPayNet(t)
	s := p.asserting.Server
	g := newGolden(t, "seed-003", `
		The guide's two token requests, as its curl commands send them over mutual TLS, and what comes of others. The
		token endpoint is that of mtls_endpoint_aliases, every call must bear a certificate, and the operator has set
		--token-lifetime 1h and --assertion-audience issuer_or_endpoint.`)
	g.call(thumbprint(p.shown), "the certificate's thumbprint")
	g.call(p.asserting.Key.ID, "the client's kid")
	g.call(p.resourceServer.ID, "the resource server's kid")
	g.call(p.asserting.ID, "client_id")
	g.call(p.certified.ID, "client_id of the other")
	show := func(title, want string, reason oauth.Reason, e *flow.Exchange) string {
		t.Helper()
		if outcome(t, e, want); reasonOf(e) != reason {
			t.Errorf("%s: %s, want %s", title, reasonOf(e), reason)
		}
		if id := e.ResponseHeader.Get("X-Fapi-Interaction-Id"); id != seed003Interaction {
			t.Errorf("%s: x-fapi-interaction-id %q", title, id)
		}
		g.exchange(title, e)
		return issued(e).Compact
	}
	assertion := compact(t, p.asserting.Assertion(flow.SetClaim("aud", s.Metadata.TokenEndpoint)))
	access := show("private_key_jwt", "200", "", p.asserted(s, assertion))
	show("the same assertion again", "401 invalid_client", oauth.AssertionReplayed, p.asserted(s, assertion))
	other := show("tls_client_auth", "200", "", p.proven(s))
	without := p.showing(0, tls.Certificate{})
	show("tls_client_auth, without a certificate", "400 invalid_request", oauth.CertificateMissing, p.proven(without))
	another := p.showing(0, p.vouched("another"))
	show("tls_client_auth, with another certificate", "401 invalid_client", oauth.ClientNotProven, p.proven(another))

	resources := &flow.Client{Server: s, ID: p.resourceServer.ClientID, Key: p.resourceServer}
	told := do(t, s, resources.IntrospectRequest(other).SetHeader("X-Fapi-Interaction-Id", seed003Interaction))
	show("the token of the last, as a resource server is told of it", "200", "", told)
	g.finish()
	for _, token := range []string{access, other} {
		if says := claimsOf(t, token); flow.Lifetime(says) != 3600 {
			t.Errorf("the token lives %d s", flow.Lifetime(says))
		}
	}
}
