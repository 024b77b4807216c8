package main

import (
	"net/http"
	"strings"
	"time"

	"authserver/internal/flow"
	"authserver/internal/oauth"
)

// modulesOfProofs are those about DPoP (conformance.md §2.4).
func modulesOfProofs() []module {
	return []module{
		{10, "access-token-type-header-case-sensitivity", func(p *plan) {
			f := p.flow(p.first)
			schemes := []string{"dpOP", "dpop", "DPOP"}
			if p.certificateBound {
				schemes = []string{"bEARER", "bearer", "BEARER"}
			}
			for _, scheme := range schemes {
				r := p.first.Present(p.accounts(), f.token.AccessToken).SetHeader("Authorization", scheme+" "+f.token.AccessToken)
				outcome(p.t, do(p.t, p.first.Server, r), "200")
			}
		}},
		{12, "check-dpop-proof-nbf-exp", func(p *plan) {
			p.flowProving(timed(p.first, "nbf", 0), timed(p.first, "exp", 5*time.Minute))
		}},
		{13, "ensure-dpopproof-with-iat-10seconds-before-succeeds", func(p *plan) { p.flowProving(timed(p.first, "iat", -10*time.Second)) }},
		{14, "ensure-dpopproof-with-iat-10seconds-after-succeeds", func(p *plan) { p.flowProving(timed(p.first, "iat", 8*time.Second)) }},
		{15, "ensure-mismatched-dpop-jkt-fails", func(p *plan) {
			p.pushRefused(p.first, "400 invalid_request", bend("dpop_jkt", p.second.DPoPKey.Thumbprint()))
		}},
		{16, "ensure-token-endpoint-fails-with-mismatched-dpop-proof-jkt", func(p *plan) { p.redeemedByAnotherKey(p.ask(p.first)) }},
		{17, "ensure-token-endpoint-fails-with-mismatched-dpop-jkt", func(p *plan) {
			p.redeemedByAnotherKey(p.askWith(p.first, unproven, bend("dpop_jkt", p.first.DPoPKey.Thumbprint())))
		}},
		{18, "ensure-dpopproof-at-par-endpoint-binding-success", func(p *plan) { p.flow(p.first) }},
		{19, "ensure-dpop-auth-code-binding-success", func(p *plan) {
			p.flow(p.first, bend("dpop_jkt", p.first.DPoPKey.Thumbprint()))
		}},
		{56, "dpop-negative-tests", proofsAtTheResource},
	}
}

// unproven takes the proof out of a request.
func unproven(r *flow.Request) { r.Proof = nil }

// flowProving is a flow whose proofs are all bent, in a way that is taken everywhere.
func (p *plan) flowProving(edits ...flow.Edit) {
	p.t.Helper()
	c := p.first
	a := p.askWith(c, func(r *flow.Request) { r.Proof = c.Proof(r.Method, r.URL, edits...) })
	r := a.redemption(p.approved(a))
	r.Proof = tokenProof(c, edits...)
	e := do(p.t, c.Server, r)
	boundTo(p.t, e, c.DPoPKey)
	p.opens(c, &flow.Token{AccessToken: issued(e).Compact}, edits...)
}

// redeemedByAnotherKey wants a code refused to another key than it is bound to, and good for its own.
func (p *plan) redeemedByAnotherKey(a *asking) {
	p.t.Helper()
	code, other := p.approved(a), *a.client
	other.DPoPKey = key(p.t, "ES256")
	refusedFor(p.t, do(p.t, other.Server, a.by(&other).redemption(code)), "400 invalid_grant", oauth.CodeKey)
	p.redeemed(a, code)
}

// proofsAtTheResource: module 56. What is refused uses nothing up, and at the end a good proof still works.
func proofsAtTheResource(p *plan) {
	c := p.first
	access := p.flow(c).token.AccessToken
	private, err := c.DPoPKey.PrivateJWK()
	if err != nil {
		p.t.Fatal(err)
	}
	target := p.accounts().URL
	bent := func(edits ...flow.Edit) *flow.Request { return c.Present(p.accounts(), access, edits...) }
	for name, edits := range map[string][]flow.Edit{
		"no typ": {flow.DropHeader("typ")}, "no alg": {flow.DropHeader("alg")}, "no jwk": {flow.DropHeader("jwk")},
		"no jti": {flow.DropClaim("jti")}, "no htm": {flow.DropClaim("htm")}, "no htu": {flow.DropClaim("htu")}, "no iat": {flow.DropClaim("iat")},
		"no ath": {flow.DropClaim("ath")}, "another typ": {flow.SetHeader("typ", "JWT")},
		"RS256":    {flow.SignWith(p.first.Key), flow.SetHeader("jwk", p.first.Key.PublicJWK()), flow.SignAs("RS256")},
		"alg none": {flow.SignAs("none")}, "a bad signature": {flow.SignWith(key(p.t, "ES256"))}, "a private key": {flow.SetHeader("jwk", private)},
		"another htm": {flow.SetClaim("htm", "POST")}, "another htu": {flow.SetClaim("htu", target+"/x")},
		"another host's htu": {flow.SetClaim("htu", strings.Replace(target, "as.example", "other.example", 1))},
		"iat an hour ago":    {timed(c, "iat", -time.Hour)}, "iat in an hour": {timed(c, "iat", time.Hour)},
		"another ath": {flow.ForToken("another token")},
	} {
		if got := do(p.t, c.Server, bent(edits...)).Outcome(); got != "401 invalid_dpop_proof" {
			p.t.Errorf("%s: %s", name, got)
		}
	}
	p.refusedProofs(c, access)
	host := hostOf(p.issuer)
	for _, edits := range [][]flow.Edit{
		{}, {flow.SetClaim("htu", target+"?x=1")}, {flow.SetClaim("htu", target+"#f")}, {flow.SetClaim("htu", target+"?x=1#f")},
		{flow.SetHeader("kid", "x"), flow.SetHeader("x-unknown", "x"), flow.SetClaim("unknown", map[string]any{"x": 1})},
		{flow.SetClaim("htu", strings.Replace(target, "https://"+host, "HTTPS://"+strings.ToUpper(host), 1))},
		{flow.SetClaim("htu", strings.Replace(target, host, host+":443", 1))},
	} {
		outcome(p.t, do(p.t, c.Server, bent(edits...)), "200")
	}
	header := http.Header{"DPOP": {compact(p.t, bent().Proof)}, "Authorization": {"DPoP " + access}}
	outcome(p.t, raw(p.t, c.Server, http.MethodGet, target, header, ""), "200")
	replayed := bent()
	replayed.Proof = flow.Literal(compact(p.t, replayed.Proof))
	outcome(p.t, once(p.t, c, replayed), "200")
	refusedFor(p.t, once(p.t, c, replayed), "401 invalid_dpop_proof", oauth.ProofReplayed)
	p.opens(c, &flow.Token{AccessToken: access})
}

// refusedProofs are those that are no bent proof: two of them, none, another key's, and something else.
func (p *plan) refusedProofs(c *flow.Client, access string) {
	p.t.Helper()
	target := p.accounts().URL
	proof := func() string { return compact(p.t, c.Present(p.accounts(), access).Proof) }
	authorization := []string{"DPoP " + access}
	for _, header := range []http.Header{
		{"Dpop": {proof(), proof()}, "Authorization": authorization}, {"Dpop": {"no JWT"}, "Authorization": authorization},
	} {
		outcome(p.t, raw(p.t, c.Server, http.MethodGet, target, header, ""), "401 invalid_dpop_proof")
	}
	thief := *c
	thief.DPoPKey = key(p.t, "ES256")
	outcome(p.t, do(p.t, c.Server, thief.Present(p.accounts(), access)), "401 invalid_token")
	for _, scheme := range []string{"DPoP", "Bearer"} {
		outcome(p.t, do(p.t, c.Server, p.accounts().SetHeader("Authorization", scheme+" "+access)), "401 invalid_token")
	}
	outcome(p.t, do(p.t, c.Server, c.Present(p.accounts(), access).SetHeader("Authorization", "Bearer "+access)), "401 invalid_token")
}
