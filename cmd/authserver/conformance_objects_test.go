package main

import (
	"strings"
	"time"

	"authserver/internal/flow"
)

// modulesOfObjects are those about request objects, which both clients of the plan must send.
func modulesOfObjects() []module {
	takes := func(edits func(c *flow.Client) []flow.Edit) func(*plan) {
		return func(p *plan) {
			for _, c := range []*flow.Client{p.first, p.second} {
				a := askWith(p.t, c, asObject(c, edits(c)...), bend("redirect_uri", suite), bend("response_mode", "jwt"))
				p.redeemed(a, p.approved(a))
			}
		}
	}
	refuses := func(edits func(c *flow.Client) []flow.Edit) func(*plan) {
		return func(p *plan) {
			for _, c := range []*flow.Client{p.first, p.second} {
				p.objectRefused(c, c.RequestObject(conformable(), edits(c)...))
			}
		}
	}
	return []module{
		{4, "ensure-request-object-with-multiple-aud-succeeds", takes(func(c *flow.Client) []flow.Edit {
			return []flow.Edit{flow.SetClaim("aud", []string{c.Server.Issuer, "https://other1.example", "https://other2.example"})}
		})},
		{11, "ensure-request-object-with-nbf-8-seconds-in-the-future-is-accepted", takes(func(c *flow.Client) []flow.Edit {
			return []flow.Edit{timed(c, "nbf", 8*time.Second)}
		})},
		{24, "ensure-request-object-without-exp-fails", refuses(func(*flow.Client) []flow.Edit {
			return []flow.Edit{flow.DropClaim("exp")}
		})},
		{25, "ensure-request-object-without-nbf-fails", refuses(func(*flow.Client) []flow.Edit {
			return []flow.Edit{flow.DropClaim("nbf")}
		})},
		{28, "ensure-expired-request-object-fails", refuses(func(c *flow.Client) []flow.Edit {
			return []flow.Edit{timed(c, "exp", -time.Hour)}
		})},
		{29, "ensure-request-object-with-bad-aud-fails", refuses(func(*flow.Client) []flow.Edit {
			return []flow.Edit{flow.SetClaim("aud", "https://other.example")}
		})},
		{30, "ensure-request-object-with-exp-over-60-fails", refuses(func(c *flow.Client) []flow.Edit {
			return []flow.Edit{timed(c, "exp", 70*time.Minute)}
		})},
		{32, "ensure-request-object-with-nbf-over-60-fails", refuses(func(c *flow.Client) []flow.Edit {
			return []flow.Edit{timed(c, "nbf", -70*time.Minute), timed(c, "exp", -12*time.Minute)}
		})},
		{34, "ensure-signed-request-object-with-RS256-fails", func(p *plan) {
			p.objectRefused(p.first, p.first.RequestObject(conformable(), flow.SignAs("RS256")))
		}},
		{35, "ensure-request-object-signature-algorithm-is-not-none", refuses(func(*flow.Client) []flow.Edit {
			return []flow.Edit{flow.SignAs("none")}
		})},
		{36, "ensure-request-object-with-invalid-signature-fails", func(p *plan) {
			for _, c := range []*flow.Client{p.first, p.second} {
				p.objectRefused(c, altered(c.RequestObject(conformable()), func(s string) string {
					other := compact(p.t, c.RequestObject(conformable()))
					return s[:strings.LastIndexByte(s, '.')] + other[strings.LastIndexByte(other, '.'):]
				}))
			}
		}},
		{37, "ensure-matching-key-in-authorization-request", func(p *plan) {
			p.objectRefused(p.first, p.first.RequestObject(conformable(), flow.SignWith(p.second.Key)))
			p.objectRefused(p.first, p.first.RequestObject(conformable(), flow.SignWith(p.second.Key),
				flow.SetHeader("kid", p.second.Key.ID)))
			p.objectRefused(p.first, p.second.RequestObject(conformable()))
		}},
		{38, "ensure-unsigned-request-at-par-endpoint-fails", func(p *plan) {
			for _, c := range []*flow.Client{p.first, p.second} {
				p.refused(c, c.PushRequest(conformable()), "400 invalid_request")
			}
		}},
		{74, "par-authorization-request-containing-request_uri", refuses(func(*flow.Client) []flow.Edit {
			return []flow.Edit{flow.SetClaim("request_uri", "https://suite.example/request")}
		})},
	}
}

// objectRefused wants a push of an object refused.
func (p *plan) objectRefused(c *flow.Client, object flow.Compact) {
	p.t.Helper()
	r := c.SignedPushRequest(nil)
	r.RequestObject = object
	p.refused(c, r, "400 invalid_request_object")
}
