package main

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"authserver/internal/flow"
	"authserver/internal/issuer"
	"authserver/internal/oauth"
	"authserver/internal/token"

	"github.com/google/go-cmp/cmp"
)

// asserted is an assertion of the demo issuer, as the guide of seed 002 makes one.
func (d *deployment) asserted(t testing.TB, s *flow.Server, edits ...flow.Edit) string {
	t.Helper()
	as := &flow.Client{Server: s, ID: demoIssuer, Key: d.issuerKey}
	return compact(t, as.Assertion(append([]flow.Edit{flow.DropHeader("typ"), flow.DropClaim("jti")}, edits...)...))
}

// assertionRequest is a token request with an assertion, and nothing to authenticate with.
func assertionRequest(s *flow.Server, assertion string) *flow.Request {
	return &flow.Request{Method: http.MethodPost, URL: s.Metadata.TokenEndpoint,
		Form: url.Values{"grant_type": {token.JWTBearer}, "assertion": {assertion}}}
}

// A token of an assertion is introspected and revoked like any other: by the client that it names, and by the resource that
// it is for. No resource of this server takes it, since it is bound to no key.
func TestTokenOfAnAssertion(t *testing.T) {
	d := deploy(t, 2, nil)
	s := d.server(0)
	gateway := &flow.Client{Server: s, ID: demoGateway, Key: d.issuerKey, DPoPKey: key(t, "ES256")}
	resource := &flow.Client{Server: d.server(1), ID: "dev-resource-server", Key: d.resourceServer}
	issue := func() string {
		t.Helper()
		e := do(t, s, assertionRequest(s, d.asserted(t, s)))
		outcome(t, e, "200")
		access, _ := e.JSON()["access_token"].(string)
		return access
	}
	access := issue()
	counted := samples(t, d.metrics(0))
	if n := counted[`authserver_tokens_issued_total{grant_type="`+token.JWTBearer+`",token_type="Bearer"}`]; n != 1 {
		t.Errorf("%v tokens are counted", n)
	}
	if n := counted[`authserver_client_authentications_total{result="ok"}`]; n != 0 {
		t.Errorf("%v clients have proven themselves", n)
	}
	if e := do(t, s, gateway.TokenRequest(url.Values{"grant_type": {"password"}})); !strings.Contains(e.ErrorDescription(), token.JWTBearer) {
		t.Errorf("the grant is not among those that are named: %s", e.ErrorDescription())
	}
	for name, by := range map[string]*flow.Client{"the client": gateway, "the resource": resource} {
		e := do(t, by.Server, by.IntrospectRequest(access))
		want := map[string]any{"active": true, "token_type": "Bearer", "iss": d.issuer, "sub": demoIssuer, "client_id": demoGateway,
			"scope": demoScope, "aud": d.issuer}
		if diff := cmp.Diff(want, e.JSON(), except("exp", "iat", "jti")); diff != "" {
			t.Errorf("%s is told (-want +got):\n%s", name, diff)
		}
	}
	other := d.register(0)
	if e := do(t, s, other.IntrospectRequest(access)); e.JSON()["active"] != false {
		t.Errorf("another client is told %s", e.ResponseBody)
	}
	used := do(t, s, (&flow.Request{Method: http.MethodGet, URL: d.issuer + "/demo/accounts"}).SetHeader("Authorization", "Bearer "+access))
	refusedFor(t, used, "401 invalid_token", oauth.TokenUnbound)

	outcome(t, do(t, s, other.RevokeRequest(access)), "200")
	if e := do(t, resource.Server, resource.IntrospectRequest(access)); e.JSON()["active"] != true {
		t.Error("revoked by another client")
	}
	outcome(t, do(t, s, gateway.RevokeRequest(access)), "200")
	if e := do(t, resource.Server, resource.IntrospectRequest(access)); e.JSON()["active"] != false {
		t.Error("active after it was revoked")
	}

	access = issue()
	if deleted, err := d.store.DeleteClient(t.Context(), demoGateway, nil, d.clock.now()); !deleted || err != nil {
		t.Fatal(deleted, err)
	}
	if e := do(t, resource.Server, resource.IntrospectRequest(access)); e.JSON()["active"] != false {
		t.Error("active after its client was deleted")
	}
	for i := range d.replicas {
		at := d.server(i)
		refusedFor(t, do(t, at, assertionRequest(at, d.asserted(t, at))), "400 invalid_grant", oauth.AssertionGrantClient)
	}
}

// A bound token of an assertion opens nothing that is a client's own: it manages no registration and no consent.
func TestBoundTokenOfAnAssertion(t *testing.T) {
	d := deploy(t, 1, nil)
	s := d.server(0)
	gateway := &flow.Client{Server: s, ID: demoGateway, Key: d.issuerKey, DPoPKey: key(t, "ES256")}
	bound := assertionRequest(s, d.asserted(t, s))
	bound.Proof = gateway.Proof(bound.Method, bound.URL)
	e := do(t, s, bound)
	outcome(t, e, "200")
	access, _ := e.JSON()["access_token"].(string)
	if e.JSON()["token_type"] != "DPoP" {
		t.Errorf("%s", e.ResponseBody)
	}
	for target, want := range map[string]struct {
		outcome string
		reason  oauth.Reason
	}{
		"/demo/accounts":                  {"403 insufficient_scope", oauth.ScopeInsufficient},
		"/fdx/v6/register/" + demoGateway: {"403 insufficient_scope", oauth.ScopeInsufficient},
		"/fdx/v6/consents/any":            {"404 consent_unknown", oauth.ConsentUnknown},
		"/oauth2/userinfo":                {"403 insufficient_scope", oauth.ScopeInsufficient},
	} {
		e := do(t, s, gateway.Present(&flow.Request{Method: http.MethodGet, URL: d.issuer + target}, access))
		if outcome(t, e, want.outcome); !strings.Contains(e.ResponseBody, string(want.reason)) {
			t.Errorf("%s: %s", target, e.ResponseBody)
		}
	}
}

// An issuer is trusted from the commit on at every replica, and no longer from the commit on that removes it. The metadata
// follow with the next look.
func TestIssuersOfAllReplicas(t *testing.T) {
	d := deploy(t, 3, nil)
	remove := func(name string) {
		t.Helper()
		if removed, err := d.store.RemoveIssuer(t.Context(), name); !removed || err != nil {
			t.Fatal(name, removed, err)
		}
	}
	offered := func(i int) bool {
		return slices.Contains(list(document(t, d.server(i), d.issuer+"/.well-known/oauth-authorization-server"), "grant_types_supported"), token.JWTBearer)
	}
	send := func(i int) *flow.Exchange {
		s := d.server(i)
		return do(t, s, assertionRequest(s, d.asserted(t, s)))
	}
	demo, _, err := d.store.FindIssuer(t.Context(), demoIssuer)
	if err != nil {
		t.Fatal(err)
	}
	for i := range d.replicas {
		if outcome(t, send(i), "200"); !offered(i) {
			t.Errorf("replica %d does not offer what it takes", i)
		}
	}
	remove(demoIssuer)
	for i, replica := range d.replicas {
		refusedFor(t, send(i), "400 invalid_grant", oauth.AssertionGrantNotProven)
		if err := replica.server.Token.Assertions.Refresh(t.Context()); err != nil || offered(i) {
			t.Errorf("replica %d offers what it refuses: %v", i, err)
		}
		refusedFor(t, send(i), "401 invalid_client", oauth.ClientAuthMissing)
	}
	if _, err := d.store.AddIssuers(t.Context(), []issuer.Issuer{demo}, false, d.clock.now()); err != nil {
		t.Fatal(err)
	}
	for i := range d.replicas {
		if outcome(t, send(i), "200"); !offered(i) {
			t.Errorf("replica %d does not offer what it takes", i)
		}
	}
}
