package main

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"authserver/internal/flow"

	"github.com/google/go-cmp/cmp"
)

// modulesOfIdentity are those that ask for an ID token.
func modulesOfIdentity() []module {
	with := func(edits ...func(url.Values)) func(*plan) {
		return func(p *plan) {
			for _, c := range []*flow.Client{p.first, p.second} {
				p.flow(c, append([]func(url.Values){identified}, edits...)...)
			}
		}
	}
	return []module{
		{6, "ensure-authorization-request-without-nonce-success", with()},
		{7, "ensure-authorization-request-with-64-char-nonce-success", with(bend("nonce", strings.Repeat("-._~ab0Z", 8)))},
		{9, "test-claims-parameter-identity-claims", func(p *plan) {
			for _, c := range []*flow.Client{p.first, p.second} {
				f := p.flow(c, identified, bend("claims", `{"userinfo":{"name":{"essential":true},"unheard_of":null},`+
					`"id_token":{"unheard_of":{"essential":true},"auth_time":{"essential":true}}}`))
				e := whom(p.t, c, http.MethodGet, f.token.AccessToken)
				outcome(p.t, e, "200")
				media := e.ResponseHeader.Get("Content-Type")
				if id := identity(p.t, c, f.token); e.JSON()["sub"] != id.Claims["sub"] || media != "application/json" {
					p.t.Errorf("%s, beside %v", e.ResponseBody, id.Claims)
				}
			}
		}},
		{20, "ensure-different-nonce-inside-and-outside-request-object", func(p *plan) {
			for _, c := range []*flow.Client{p.first, p.second} {
				a := p.ask(c, identified, bend("nonce", "inside"))
				p.redeemed(a, p.approvedAt(a, a.url()+"&nonce=outside"))
			}
		}},
		{22, "ensure-authorization-request-with-long-nonce", with(bend("nonce", strings.Repeat("nonce-._", 48)))},
	}
}

// checkIdentity: conformance.md §2.3, "ID token": what stands in one, and nothing else. A refreshed one has no nonce.
func (p *plan) checkIdentity(a *asking, token *flow.Token, refreshed bool) map[string]any {
	p.t.Helper()
	id := identity(p.t, a.client, token)
	want := []string{"iss", "sub", "aud", "exp", "iat", "auth_time", "acr", "amr", "sid", "at_hash"}
	nonce, _ := id.Claims["nonce"].(string)
	if a.params.Has("nonce") && !refreshed {
		if want = append(want, "nonce"); nonce != a.params.Get("nonce") {
			p.t.Errorf("nonce %q of %q", nonce, a.params.Get("nonce"))
		}
	}
	var got []string
	for name := range id.Claims {
		got = append(got, name)
	}
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		p.t.Error("ID token:", diff)
	}
	now := p.clock.now()
	alg, sub := id.Member("alg"), id.Claim("sub")
	if id.Claim("iss") != p.issuer || id.Claims["aud"] != a.client.ID || sub == "" || len(sub) > 255 ||
		id.Claim("acr") == "" || len(id.Claim("sid")) != 43 || id.Member("kid") == "" || !slices.Contains([]string{"PS256", "ES256", "EdDSA"}, alg) ||
		id.Claim("at_hash") != hashed(alg, token.AccessToken) || !timeOf(p.t, id, "exp").After(now) ||
		now.Sub(timeOf(p.t, id, "iat")).Abs() > 5*time.Minute || timeOf(p.t, id, "auth_time").After(now) {
		p.t.Errorf("ID token: %v %v", id.Header, id.Claims)
	}
	return id.Claims
}

// checkIdentities holds a refreshed ID token against the one before it (OpenID Connect Core §12.2).
func checkIdentities(t testing.TB, before, after map[string]any) {
	t.Helper()
	for _, name := range []string{"iss", "sub", "aud", "auth_time", "acr", "sid"} {
		if before[name] != after[name] || after[name] == nil {
			t.Errorf("refreshed, %s is %v, and was %v", name, after[name], before[name])
		}
	}
	if timeOf(t, flow.JWT{Claims: before}, "iat").Compare(timeOf(t, flow.JWT{Claims: after}, "iat")) >= 0 {
		t.Errorf("refreshed, iat is %v, and was %v", after["iat"], before["iat"])
	}
}
