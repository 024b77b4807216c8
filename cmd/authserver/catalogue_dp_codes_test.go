package main

import (
	"net/http"
	"net/url"
	"testing"

	"authserver/internal/flow"
	"authserver/internal/oauth"

	"github.com/google/go-cmp/cmp"
)

// attacksOnCodeKeys are the cases about the key that a code or a grant is asked with (RFC 9449 §5, §10).
func attacksOnCodeKeys() []attack {
	return []attack{
		{"DP-34", codeOfAnotherKey},
		{"DP-35", func(t *testing.T, d *deployment) {
			c := d.recipient(0)
			before := d.rows(t)
			for _, jkt := range []string{key(t, "ES256").Thumbprint(), "x", c.DPoPKey.Thumbprint() + "A", c.DPoPKey.Thumbprint()[1:]} {
				r := c.PushRequest(flow.NewPKCE().Parameters(callback, "fdx:accountbasic:read", "s"))
				r.Form.Set("dpop_jkt", jkt)
				refusedFor(t, do(t, c.Server, r), "400 invalid_request", oauth.KeyThumbprint)
			}
			if diff := cmp.Diff(before, d.rows(t)); diff != "" {
				t.Error("something was kept:", diff)
			}
			a := ask(t, c, func(p url.Values) { p.Set("dpop_jkt", c.DPoPKey.Thumbprint()) })
			a.redeem(a.code())
		}},
		{"DP-36", func(t *testing.T, d *deployment) {
			a := ask(t, d.everywhere(d.recipient(0))[0])
			code := a.code()
			r := a.redemption(code)
			r.Assertion, r.Proof = flow.Literal(compact(t, a.client.Assertion())), nil
			refusedFor(t, do(t, a.client.Server, r), "400 invalid_request", oauth.ProofMissing)
			r.Proof = tokenProof(a.client) // nothing was used up: neither the assertion nor the code
			boundTo(t, do(t, a.client.Server, r), a.client.DPoPKey)
		}},
		{"DP-37", func(t *testing.T, d *deployment) {
			c := d.recipient(0)
			f := d.family(c, flow.NewBrowser(c.Server))
			for i, alg := range []string{"ES256", "EdDSA", "PS256"} {
				other := d.at(c, i)
				other.DPoPKey = key(t, alg)
				boundTo(t, do(t, other.Server, other.RefreshRequest(f.token.RefreshToken, nil)), other.DPoPKey)
			}
			d.wantFamily(f, true)
		}},
		{"DP-38", noPublicClients},
		{"DP-47", func(t *testing.T, d *deployment) {
			c := d.recipient(0)
			d.operatorSets(c, mayBeUnbound) // which is about tokens in its own name
			outcome(t, do(t, c.Server, unbound(c)), "200")
			f := d.family(c, flow.NewBrowser(c.Server))
			for i := range d.replicas {
				c := d.at(c, i)
				r := c.RefreshRequest(f.token.RefreshToken, nil)
				r.Proof = nil
				refusedFor(t, do(t, c.Server, r), "400 invalid_request", oauth.ProofMissing)
				r.Proof = tokenProof(c, flow.SetClaim("htu", d.issuer+"/oauth2/par"))
				refusedFor(t, do(t, c.Server, r), "400 invalid_dpop_proof", oauth.ProofURI)
			}
			a := ask(t, c)
			r := a.redemption(a.code())
			r.Proof = nil
			refusedFor(t, do(t, c.Server, r), "400 invalid_request", oauth.ProofMissing)
			d.wantFamily(f, true)
		}},
	}
}

// codeOfAnotherKey: DP-34. The key that the pushed request names, by its proof or by dpop_jkt, redeems the code; where it
// names none any key does.
func codeOfAnotherKey(t *testing.T, d *deployment) {
	c := d.recipient(0)
	b, other := flow.NewBrowser(c.Server), *d.at(c, 1)
	other.DPoPKey = key(t, "ES256")
	unproven := func(r *flow.Request) { r.Proof = nil }
	named := func(p url.Values) { p.Set("dpop_jkt", c.DPoPKey.Thumbprint()) }
	for _, a := range []*asking{ask(t, c), askWith(t, c, unproven, named), ask(t, c, named)} {
		code := a.codeIn(b)
		for range 4 {
			refusedFor(t, do(t, other.Server, a.by(&other).redemption(code)), "400 invalid_grant", oauth.CodeKey)
		}
		boundTo(t, do(t, c.Server, a.redemption(code)), c.DPoPKey)
	}
	a := askWith(t, c, unproven)
	boundTo(t, do(t, other.Server, a.by(&other).redemption(a.codeIn(b))), other.DPoPKey)
}

// codeRetriedWithNonce: DP-29, for each step on the way to a person's token. The nonce is found missing by one replica, and
// another is then sent the same assertion, and the same code.
func codeRetriedWithNonce(t *testing.T, d *deployment) {
	clients := d.everywhere(d.recipient(0))
	retried := func(request func(c *flow.Client) *flow.Request, want string) *flow.Exchange {
		t.Helper()
		before := d.rows(t)
		r := request(clients[0])
		r.Assertion, r.Proof = flow.Literal(compact(t, r.Assertion)), clients[0].Proof(r.Method, r.URL, flow.DropClaim("nonce"))
		e := once(t, clients[0], r)
		refusedFor(t, e, "400 use_dpop_nonce", oauth.NonceMissing)
		if diff := cmp.Diff(before, d.rows(t)); diff != "" {
			t.Error("something was kept:", diff)
		}
		r.Proof = clients[1].Proof(r.Method, r.URL, flow.SetClaim("nonce", e.ResponseHeader.Get("DPoP-Nonce")))
		e = once(t, clients[1], r)
		outcome(t, e, want)
		return e
	}
	a := ask(t, clients[0])
	pushed := retried(func(c *flow.Client) *flow.Request { return c.PushRequest(a.params) }, "201")
	a.uri, _ = pushed.JSON()["request_uri"].(string)
	code := a.code()
	token := retried(func(c *flow.Client) *flow.Request { return a.by(c).redemption(code) }, "200")
	refresh, _ := token.JSON()["refresh_token"].(string)
	retried(func(c *flow.Client) *flow.Request { return c.RefreshRequest(refresh, nil) }, "200")
}

// noPublicClients: DP-38. There is no public client whose refresh tokens a key would have to protect: none registers, and
// who does not prove to be the client gets nothing, not even with the key of before.
func noPublicClients(t *testing.T, d *deployment) {
	c := d.recipient(0)
	public := metadata(c.Key, recipient, func(m map[string]any) { m["token_endpoint_auth_method"] = "none" })
	outcome(t, do(t, c.Server, c.Server.RegisterRequest(public)), "400 invalid_client_metadata")
	outcome(t, do(t, c.Server, c.ManageRequest(http.MethodPut, public)), "400 invalid_client_metadata")
	f := d.family(c, flow.NewBrowser(c.Server))
	for _, k := range []*flow.Key{c.DPoPKey, key(t, "ES256")} {
		anybody := *c
		anybody.DPoPKey = k
		r := anybody.RefreshRequest(f.token.RefreshToken, nil)
		r.Assertion = nil
		refusedFor(t, do(t, c.Server, r), "401 invalid_client", oauth.ClientAuthMissing)
	}
	d.wantFamily(f, true)
}

// revokedFamily: RV-03. Whichever access token of a grant, of whichever replica: it ends with the refresh token. An access
// token that is revoked ends alone.
func revokedFamily(t *testing.T, d *deployment) {
	clients := d.everywhere(d.recipient(0))
	f := d.family(clients[0], flow.NewBrowser(clients[0].Server))
	var tokens []string
	for _, c := range clients {
		tokens = append(tokens, issued(d.expect(c, c.RefreshRequest(f.token.RefreshToken, nil), "200")).Compact)
	}
	d.expect(clients[0], clients[0].RevokeRequest(tokens[0]), "200")
	d.wantActive(clients[0], tokens[0], false)
	d.wantActive(clients[0], tokens[1], true)
	d.wantFamily(f, true)
	for i, hint := range []string{"access_token", "refresh_token"} {
		r := clients[i+1].RevokeRequest(f.token.RefreshToken)
		r.Form.Set("token_type_hint", hint)
		d.expect(clients[i+1], r, "200")
		for _, token := range tokens {
			d.wantActive(clients[0], token, false)
		}
		d.wantFamily(f, false)
	}
	if n := d.revoked(d.grantOf(t, f.code)); n == 0 {
		t.Error("the trail does not tell that the grant was revoked")
	}
}
