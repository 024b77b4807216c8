package main

import (
	"net/http"
	"net/url"
	"time"

	"authserver/internal/flow"
	"authserver/internal/oauth"
)

// modulesOfPushes are those about what may be pushed.
func modulesOfPushes() []module {
	refuses := func(want string, edits ...func(url.Values)) func(*plan) {
		return func(p *plan) { p.pushRefused(p.first, want, edits...) }
	}
	noRedirectURI := refuses("400 invalid_request", bend("redirect_uri"))
	return []module{
		{27, "ensure-request-object-without-redirect-uri-fails", noRedirectURI},
		{40, "plain-fapi-tolerate-unregistered-redirect-uri", refuses("400 invalid_request", bend("redirect_uri", suite+"/unregistered"))},
		{42, "ensure-redirect-uri-in-authorization-request", noRedirectURI},
		{43, "ensure-response-type-code-idtoken-fails", refuses("400 unsupported_response_type", bend("response_type", "code id_token"))},
		{45, "ensure-response-type-token-fails", refuses("400 unsupported_response_type", bend("response_type", "token"))},
		{65, "par-ensure-jwt-client-assertions-nbf-8-seconds-in-the-future-is-accepted", func(p *plan) {
			ahead := shifted(p.first, 8*time.Second)
			a := p.askWith(p.first, func(r *flow.Request) { r.Assertion = p.first.Assertion(ahead...) })
			p.redeemed(a, p.approved(a))
		}},
		{66, "par-ensure-jwt-client-assertions-nbf-over-60-seconds-in-the-future-fails", assertionRefused(func(c *flow.Client) []flow.Edit {
			return shifted(c, 62*time.Second)
		})},
		{68, "par-authorization-request-containing-request_uri-form-param", func(p *plan) {
			for _, uri := range []string{"https://suite.example/request", p.ask(p.first).uri} {
				r := p.push(p.first, conformable())
				r.Form.Set("request_uri", uri)
				p.refused(p.first, r, "400 invalid_request")
			}
		}},
		{69, "par-attempt-invalid-http-method", func(p *plan) {
			r := p.push(p.first, conformable())
			if r.Method = http.MethodPut; r.Proof != nil {
				r.Proof = p.first.Proof(r.Method, r.URL)
			}
			e := do(p.t, p.first.Server, r)
			if outcome(p.t, e, "405 invalid_request"); e.ResponseHeader.Get("Allow") != http.MethodPost {
				p.t.Errorf("Allow: %q", e.ResponseHeader.Get("Allow"))
			}
		}},
		{70, "par-ensure-pkce-required", func(p *plan) {
			p.pushRefused(p.first, "400 invalid_request", bend("code_challenge"))
			p.pushRefused(p.first, "400 invalid_request", bend("code_challenge"), bend("code_challenge_method"))
		}},
		{73, "par-plain-pkce-rejected", func(p *plan) {
			p.pushRefused(p.first, "400 invalid_request", bend("code_challenge_method", "plain"))
			p.pushRefused(p.first, "400 invalid_request", bend("code_challenge_method"))
		}},
		{76, "par-test-array-as-audience-fails", func(p *plan) {
			for _, others := range []int{2, 1, 0} {
				assertionRefused(func(c *flow.Client) []flow.Edit {
					m := c.Server.Metadata
					all := []string{m.Issuer, m.TokenEndpoint, m.PushedAuthorizationRequestEndpoint}
					return []flow.Edit{flow.SetClaim("aud", all[:1+others])}
				})(p)
			}
		}},
		{77, "par-test-par-endpoint-url-as-audience-fails", assertionRefused(func(c *flow.Client) []flow.Edit {
			return []flow.Edit{flow.SetClaim("aud", c.Server.Metadata.PushedAuthorizationRequestEndpoint)}
		})},
		{78, "par-test-token-endpoint-url-as-audience-fails", assertionRefused(func(c *flow.Client) []flow.Edit {
			return []flow.Edit{flow.SetClaim("aud", c.Server.Metadata.TokenEndpoint)}
		})},
	}
}

// shifted moves all times of an assertion.
func shifted(c *flow.Client, by time.Duration) []flow.Edit {
	return []flow.Edit{timed(c, "iat", by), timed(c, "nbf", by), timed(c, "exp", by+time.Minute)}
}

// assertionRefused pushes with a bent assertion.
func assertionRefused(alter func(*flow.Client) []flow.Edit) func(*plan) {
	return func(p *plan) {
		for _, c := range []*flow.Client{p.first, p.second} {
			r := p.push(c, conformable())
			r.Assertion = c.Assertion(alter(c)...)
			p.refused(c, r, "401 invalid_client")
		}
	}
}

// modulesOfBrowsers are those about what a browser brings to the authorization endpoint.
func modulesOfBrowsers() []module {
	return []module{
		{21, "ensure-different-state-inside-and-outside-request-object", func(p *plan) {
			a := p.ask(p.first)
			p.redeemed(a, p.approvedAt(a, a.url()+"&state=another&redirect_uri="+url.QueryEscape("https://evil.example")))
		}},
		{26, "state-only-outside-request-object-not-used", func(p *plan) {
			a := p.ask(p.first, bend("state"))
			p.redeemed(a, p.approvedAt(a, a.url()+"&state=outside"))
		}},
		{41, "ensure-unsigned-authorization-request-without-using-par-fails", func(p *plan) {
			params := conformable(bend("client_id", p.first.ID))
			target := p.first.Server.Metadata.AuthorizationEndpoint + "?" + params.Encode()
			refusedPage(p.t, visit(p.t, p.browser, target), http.StatusBadRequest, oauth.ParameterMissing)
		}},
		{62, "par-ensure-reused-request-uri-prior-to-auth-completion-succeeds", func(p *plan) {
			for _, b := range []*flow.Browser{p.browser, flow.NewBrowser(p.first.Server)} {
				a := p.ask(p.first)
				for range 3 {
					if page := visit(p.t, b, a.url()); page.Refused() || page.Location != "" {
						p.t.Errorf("%s", page)
					}
				}
				p.redeemed(a, p.approved(a)) // in a browser that may be another one
				refusedPage(p.t, visit(p.t, b, a.url()), http.StatusBadRequest, oauth.RequestAnswered)
			}
		}},
		{63, "par-attempt-reuse-request_uri", func(p *plan) {
			f := p.flow(p.first)
			for range 2 {
				refusedPage(p.t, visit(p.t, p.browser, f.url()), http.StatusBadRequest, oauth.RequestAnswered)
			}
			p.opens(p.first, f.token)
		}},
		{64, "par-attempt-to-use-expired-request_uri", func(p *plan) {
			a := p.ask(p.first)
			p.clock.advance(time.Duration(wholeSeconds(p.t, a.pushed.JSON()["expires_in"])) * time.Second)
			refusedPage(p.t, visit(p.t, p.browser, a.url()), http.StatusBadRequest, oauth.RequestURIExpired)
		}},
		{67, "par-attempt-to-use-request_uri-for-different-client", func(p *plan) {
			a := p.ask(p.first)
			refusedPage(p.t, visit(p.t, p.browser, p.second.AuthorizeURL(a.uri)), http.StatusBadRequest, oauth.RequestURIUnknown)
			p.redeemed(a, p.approved(a))
		}},
	}
}
