package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"authserver/internal/client"
	"authserver/internal/flow"
	"authserver/internal/oauth"

	"github.com/google/go-cmp/cmp"
)

// operatorSets changes what only the operator sets for a client, in the database and nowhere else.
func (d *deployment) operatorSets(c *flow.Client, change func(*client.Client)) {
	d.t.Helper()
	record, found, err := d.store.FindClient(d.t.Context(), c.ID)
	if err != nil || !found {
		d.t.Fatal(found, err)
	}
	change(&record)
	if replaced, err := d.store.ReplaceClient(d.t.Context(), record, d.clock.now()); err != nil || !replaced {
		d.t.Fatal(replaced, err)
	}
}

// unbound is a token request without a proof.
func unbound(c *flow.Client) *flow.Request {
	r := c.TokenRequest(nil)
	r.Proof = nil
	return r
}

func mayBeUnbound(c *client.Client) { c.Unbound = true }

// TOK-06, CX-08: a token lives as long as the operator says for its client, also at a replica that knew another lifetime.
func TestTokenLifetime(t *testing.T) {
	d := deploy(t, 2, nil)
	clients := d.everywhere(d.register(0))
	for _, test := range []struct{ set, want time.Duration }{
		{0, tokenLifetime}, {30 * time.Second, 30 * time.Second}, {15 * time.Minute, 15 * time.Minute}, {0, tokenLifetime},
	} {
		d.operatorSets(clients[0], func(c *client.Client) { c.TokenLifetime = test.set })
		for _, c := range clients {
			e := do(t, c.Server, c.TokenRequest(nil))
			outcome(t, e, "200")
			number, _ := e.JSON()["expires_in"].(json.Number)
			said, err := number.Int64()
			want := int64(test.want.Seconds())
			if got := flow.Lifetime(issued(e).Claims); got != want || err != nil || said > want || said <= 0 {
				t.Errorf("set to %s: the token lives %d s, expires_in %v", test.set, got, number)
			}
		}
	}
}

// CA-15, CX-16: an assertion may name the endpoint where the operator lets its client, at the next request already.
func TestAssertionAudience(t *testing.T) {
	d := deploy(t, 2, nil)
	clients := d.everywhere(d.register(0))
	c := clients[1] // its record is in the memory of the replica
	m := c.Server.Metadata
	alias := d.issuer + "/oauth/token"
	at := func(endpoint string) *flow.Request {
		return map[string]*flow.Request{m.TokenEndpoint: c.TokenRequest(nil), m.IntrospectionEndpoint: c.IntrospectRequest("unknown"),
			m.RevocationEndpoint: c.RevokeRequest("unknown"), alias: d.aliased(c)}[endpoint]
	}
	accepted := func(t *testing.T, endpoint string, aud any) *flow.Exchange {
		t.Helper()
		r := at(endpoint)
		r.Assertion = c.Assertion(flow.SetClaim("aud", aud))
		return do(t, c.Server, r)
	}
	endpoints := []string{m.TokenEndpoint, alias, m.IntrospectionEndpoint, m.RevocationEndpoint}
	strict := func(t *testing.T) {
		for _, called := range endpoints {
			for _, aud := range endpoints {
				e := accepted(t, called, aud)
				refusedFor(t, e, "401 invalid_client", oauth.AssertionAudience)
				if want := d.issuer + "; received the URL of an endpoint"; !strings.HasSuffix(e.ErrorDescription(), want) {
					t.Errorf("%s", e.ErrorDescription())
				}
			}
			outcome(t, accepted(t, called, d.issuer), "200")
		}
	}
	t.Run("not allowed", strict)
	d.operatorSets(c, func(c *client.Client) { c.AssertionAudience = client.IssuerOrEndpoint })
	t.Run("allowed", func(t *testing.T) {
		for _, called := range endpoints {
			for _, aud := range []string{d.issuer, called, m.TokenEndpoint, alias} {
				outcome(t, accepted(t, called, aud), "200")
			}
			for _, aud := range []any{[]string{called}, []string{d.issuer}, called + "/", called + "?", d.issuer + "/", d.issuer + "/oauth2/par",
				"https://other-as.example/oauth2/token"} {
				refusedFor(t, accepted(t, called, aud), "401 invalid_client", oauth.AssertionAudience)
			}
		}
	})
	t.Run("a stranger's signature", func(t *testing.T) {
		r := c.TokenRequest(nil)
		r.Assertion = c.Assertion(flow.SetClaim("aud", m.TokenEndpoint), flow.SignWith(key(t, "ES256")))
		lenient := do(t, c.Server, r)
		strange := *d.register(1)
		r = strange.TokenRequest(nil)
		r.Assertion = strange.Assertion(flow.SetClaim("aud", m.TokenEndpoint), flow.SignWith(key(t, "ES256")))
		if diff := cmp.Diff(lenient.JSON(), do(t, c.Server, r).JSON()); diff != "" || reasonOf(lenient) != oauth.ClientNotProven {
			t.Errorf("who is not proven learns which clients are lenient: %s %s", reasonOf(lenient), diff)
		}
	})
	d.operatorSets(c, func(c *client.Client) { c.AssertionAudience = client.IssuerOnly })
	t.Run("no longer allowed", strict)
}

// aliased is a token request by the token endpoint's second route.
func (d *deployment) aliased(c *flow.Client) *flow.Request {
	r := c.TokenRequest(nil)
	r.URL = d.issuer + "/oauth/token"
	r.Proof = c.Proof(r.Method, r.URL)
	return r
}

// An assertion that is refused for its endpoint uses nothing up: with the operator's leave the same one proves the client.
func TestRefusedAudienceBurnsNothing(t *testing.T) {
	d := deploy(t, 2, nil)
	clients := d.everywhere(d.register(0))
	signed := compact(t, clients[0].Assertion(flow.SetClaim("aud", clients[0].Server.Metadata.TokenEndpoint)))
	for _, c := range clients {
		refusedFor(t, do(t, c.Server, bearing(c, signed)), "401 invalid_client", oauth.AssertionAudience)
	}
	d.operatorSets(clients[0], func(c *client.Client) { c.AssertionAudience = client.IssuerOrEndpoint })
	outcome(t, do(t, clients[1].Server, bearing(clients[1], signed)), "200")
	refusedFor(t, do(t, clients[0].Server, bearing(clients[0], signed)), "401 invalid_client", oauth.AssertionReplayed)
}

// TOK-03, TOK-05: with the operator's leave a token is bound to no key when no proof comes, and says so nowhere.
func TestUnboundTokens(t *testing.T) {
	d := deploy(t, 2, nil)
	clients := d.everywhere(d.register(0))
	c := clients[1]
	refusedFor(t, do(t, c.Server, unbound(c)), "400 invalid_request", oauth.ProofMissing)
	d.operatorSets(c, mayBeUnbound)
	e := do(t, c.Server, unbound(c))
	outcome(t, e, "200")
	access, _ := e.JSON()["access_token"].(string)
	says := issued(e)
	if _, has := says.Claims["cnf"]; has || e.JSON()["token_type"] != "Bearer" {
		t.Errorf("%s, %v", e.ResponseBody, says.Claims)
	}
	rs := &flow.Client{Server: c.Server, ID: d.resourceServer.ClientID, Key: d.resourceServer}
	t.Run("introspection", func(t *testing.T) {
		want := map[string]any{"active": true, "token_type": "Bearer"}
		maps.Copy(want, says.Claims)
		for _, by := range []*flow.Client{c, rs} {
			if diff := cmp.Diff(want, asked(t, by, access, nil).JSON()); diff != "" {
				t.Errorf("%s: %s", by.ID, diff)
			}
		}
	})
	t.Run("our own resources refuse it", func(t *testing.T) {
		for _, target := range []string{d.issuer + "/demo/accounts", c.RegistrationURI} {
			get := func() *flow.Request { return &flow.Request{Method: http.MethodGet, URL: target} }
			refusedFor(t, do(t, c.Server, c.Present(get(), access)), "401 invalid_token", oauth.TokenUnbound)
			refusedFor(t, do(t, c.Server, get().SetHeader("Authorization", "DPoP "+access)), "401 invalid_token", oauth.TokenUnbound)
		}
		bearer := func(target string) *flow.Exchange {
			r := &flow.Request{Method: http.MethodGet, URL: target}
			return do(t, c.Server, r.SetHeader("Authorization", "Bearer "+access))
		}
		refusedFor(t, bearer(d.issuer+"/demo/accounts"), "401 invalid_token", oauth.TokenUnbound)
		refusedFor(t, bearer(c.RegistrationURI), "401 invalid_token", oauth.RegistrationToken)
	})
	t.Run("a proof binds as ever", func(t *testing.T) {
		e := do(t, c.Server, c.TokenRequest(nil))
		if outcome(t, e, "200"); e.JSON()["token_type"] != "DPoP" || flow.Confirmation(issued(e).Claims) != c.DPoPKey.Thumbprint() {
			t.Errorf("%s", e.ResponseBody)
		}
		bound, _ := e.JSON()["access_token"].(string)
		r := &flow.Request{Method: http.MethodGet, URL: d.issuer + "/demo/accounts"}
		refusedFor(t, do(t, c.Server, r.SetHeader("Authorization", "Bearer "+bound)), "401 invalid_token", oauth.TokenScheme)
		refusedFor(t, do(t, c.Server, proving(c, flow.SetClaim("htm", "GET"))), "400 invalid_dpop_proof", oauth.ProofMethod)
		r = unbound(c).SetHeader("DPoP", "")
		refusedFor(t, do(t, c.Server, r), "400 invalid_dpop_proof", oauth.ProofMalformed)
	})
	t.Run("revocation", func(t *testing.T) {
		outcome(t, do(t, c.Server, c.RevokeRequest(access)), "200")
		inactive(t, asked(t, rs, access, nil))
	})
	t.Run("an assertion is used up", func(t *testing.T) {
		signed := compact(t, c.Assertion())
		for i, want := range []string{"200", "401 invalid_client"} {
			r := unbound(clients[i])
			r.Assertion = flow.Literal(signed)
			outcome(t, do(t, clients[i].Server, r), want)
		}
	})
	t.Run("the client asks to be bound", func(t *testing.T) {
		for want, ask := range map[oauth.Reason]func(*client.Metadata){
			oauth.ProofMissing:       func(m *client.Metadata) { m.DPoPBoundAccessTokens = true },
			oauth.CertificateMissing: func(m *client.Metadata) { m.CertificateBoundTokens = true },
		} {
			own := d.register(0)
			d.operatorSets(own, func(c *client.Client) { ask(&c.Metadata); mayBeUnbound(c) })
			refusedFor(t, do(t, own.Server, unbound(own)), "400 invalid_request", want)
		}
	})
	d.operatorSets(c, func(c *client.Client) { c.Unbound = false })
	refusedFor(t, do(t, c.Server, unbound(c)), "400 invalid_request", oauth.ProofMissing)
}

// DR-12: what only the operator sets can neither be registered nor updated, and an update of the rest leaves it.
func TestOperatorsMembersAreHis(t *testing.T) {
	d := deploy(t, 1, nil)
	members := func(m map[string]any) {
		maps.Copy(m, map[string]any{"token_lifetime": 900, "assertion_audience": "issuer_or_endpoint", "unbound": true, "registrar": true,
			"serves": []string{d.issuer}, "client_id": nil})
	}
	c := d.register(0, members)
	update := func(more ...func(map[string]any)) {
		t.Helper()
		e := do(t, c.Server, c.ManageRequest(http.MethodPut, metadata(c.Key, more...)))
		outcome(t, e, "200")
		for _, member := range []string{"token_lifetime", "assertion_audience", "unbound", "registrar", "serves"} {
			if value, told := e.JSON()[member]; told {
				t.Errorf("the client is told %s: %v", member, value)
			}
		}
	}
	holds := func(want client.Client) {
		t.Helper()
		got, _, err := d.store.FindClient(t.Context(), c.ID)
		if err != nil {
			t.Fatal(err)
		}
		got = client.Client{Registrar: got.Registrar, Serves: got.Serves, TokenLifetime: got.TokenLifetime,
			AssertionAudience: got.AssertionAudience, Unbound: got.Unbound}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
	nothing := client.Client{AssertionAudience: client.IssuerOnly, Serves: []string{}}
	holds(nothing)
	update(members)
	holds(nothing)
	all := client.Client{Registrar: true, Serves: []string{"https://api.example"}, TokenLifetime: time.Minute,
		AssertionAudience: client.IssuerOrEndpoint, Unbound: true}
	d.operatorSets(c, func(c *client.Client) {
		c.Registrar, c.Serves, c.TokenLifetime, c.AssertionAudience, c.Unbound = true, all.Serves, all.TokenLifetime, all.AssertionAudience, true
	})
	update()
	update(func(m map[string]any) { m["unbound"], m["token_lifetime"], m["serves"] = false, 300, []string{} })
	holds(all)
	if e := do(t, c.Server, unbound(c)); e.Status != http.StatusOK || flow.Lifetime(issued(e).Claims) != 60 {
		t.Errorf("%s", e.ResponseBody)
	}
}

// A chosen client_id has a record of its own at the registration endpoint, whatever of a URL's characters it has.
func TestChosenIDs(t *testing.T) {
	d := deploy(t, 1, nil)
	for i, id := range []string{"acme", "Acme-1.2_3~4:5@6", strings.Repeat("a", 128), "0"} {
		if err := client.CheckID(id); err != nil {
			t.Fatal(err)
		}
		c := d.register(0)
		record, _, err := d.store.FindClient(t.Context(), c.ID)
		if err != nil {
			t.Fatal(err)
		}
		token := oauth.Secret(fmt.Sprint("a registration access token ", i))
		record.ID, record.RegistrationTokenHash = id, token.Hash()
		if added, err := d.store.AddClient(t.Context(), record); err != nil || !added {
			t.Fatal(added, err)
		}
		c.ID, c.RegistrationURI, c.RegistrationToken = id, d.issuer+"/fdx/v6/register/"+id, token.Reveal()
		e := do(t, c.Server, c.ManageRequest(http.MethodGet, nil))
		if outcome(t, e, "200"); e.JSON()["client_id"] != id || e.JSON()["registration_client_uri"] != c.RegistrationURI {
			t.Errorf("%s", e.ResponseBody)
		}
		tokenFor(t, c, url.Values{"scope": {"client.read"}})
	}
}
