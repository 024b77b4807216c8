package main

import (
	"time"

	"authserver/internal/flow"
	"authserver/internal/oauth"
)

// redemption wants the redemption of a fresh code refused as alter makes it, and the code still good for its client.
func redemption(want string, alter func(p *plan, r *flow.Request)) func(*plan) {
	return func(p *plan) {
		p.t.Helper()
		a := p.ask(p.first)
		code := p.approved(a)
		r := a.redemption(code)
		alter(p, r)
		outcome(p.t, do(p.t, p.first.Server, r), want)
		p.opens(p.first, p.redeemed(a, code))
	}
}

// modulesOfCodes are those about what a code is worth.
func modulesOfCodes() []module {
	return []module{
		{48, "ensure-authorization-code-is-bound-to-client", func(p *plan) {
			a := p.ask(p.first)
			code := p.approved(a)
			outcome(p.t, do(p.t, p.second.Server, a.by(p.second).redemption(code)), "400 invalid_grant")
			p.redeemed(a, code)
		}},
		{49, "attempt-reuse-authorization-code-after-one-second", func(p *plan) {
			f := p.flow(p.first)
			p.clock.advance(time.Second)
			refusedFor(p.t, do(p.t, p.first.Server, f.redemption(f.code)), "400 invalid_grant", oauth.CodeReplayed)
			refusedFor(p.t, do(p.t, p.first.Server, p.first.Present(p.accounts(), f.token.AccessToken)), "401 invalid_token", oauth.TokenRevoked)
		}},
		{50, "ensure-token-endpoint-fails-with-expired-auth-code", func(p *plan) {
			a := p.ask(p.first)
			code := p.approved(a)
			p.clock.advance(62 * time.Second)
			refusedFor(p.t, do(p.t, p.first.Server, a.redemption(code)), "400 invalid_grant", oauth.CodeExpired)
		}},
		{71, "ensure-pkce-code-verifier-required", redemption("400 invalid_grant", func(_ *plan, r *flow.Request) { r.Form.Del("code_verifier") })},
		{72, "incorrect-pkce-code-verifier-rejected", redemption("400 invalid_grant", func(_ *plan, r *flow.Request) {
			r.Form.Set("code_verifier", flow.NewPKCE().Verifier)
		})},
	}
}

// modulesOfClients are those about who redeems a code.
func modulesOfClients() []module {
	asserting := func(edits func(c *flow.Client) []flow.Edit) func(*plan) {
		return redemption("401 invalid_client", func(p *plan, r *flow.Request) { r.Assertion = p.first.Assertion(edits(p.first)...) })
	}
	return []module{
		{46, "ensure-client-id-in-token-endpoint", redemption("401 invalid_client", func(p *plan, r *flow.Request) { r.Form.Set("client_id", p.second.ID) })},
		{47, "ensure-holder-of-key-required", func(p *plan) {
			a := p.ask(p.first)
			code, holder := p.approved(a), p.first
			if p.certificateBound {
				holder = p.bare(p.first)
			}
			r := a.by(holder).redemption(code)
			r.Proof = nil
			outcome(p.t, do(p.t, holder.Server, r), p.withoutHolder())
			p.opens(p.first, p.redeemed(a, code))
		}},
		{51, "ensure-signed-client-assertion-with-RS256-fails", asserting(func(*flow.Client) []flow.Edit { return []flow.Edit{flow.SignAs("RS256")} })},
		{52, "ensure-client-assertion-in-token-endpoint", redemption("401 invalid_client", func(_ *plan, r *flow.Request) { r.Assertion = nil })},
		{53, "ensure-client-assertion-with-exp-is-5-minutes-in-past-fails", asserting(func(c *flow.Client) []flow.Edit {
			return []flow.Edit{timed(c, "exp", -5*time.Minute)}
		})},
		{54, "ensure-client-assertion-with-wrong-aud-fails", asserting(func(*flow.Client) []flow.Edit {
			return []flow.Edit{flow.SetClaim("aud", "https://other-as.example")}
		})},
		{55, "ensure-client-assertion-with-no-sub-fails", asserting(func(*flow.Client) []flow.Edit { return []flow.Edit{flow.DropClaim("sub")} })},
	}
}
