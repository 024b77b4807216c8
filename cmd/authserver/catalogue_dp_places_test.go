package main

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"authserver/internal/flow"
	"authserver/internal/oauth"
)

// secure makes an issuer of https.
func secure(s *settings) { s.Issuer = "https://as.example" }

// htu is a proof for the token endpoint that names another URL.
func htu(c *flow.Client, value any) flow.Compact { return tokenProof(c, flow.SetClaim("htu", value)) }

func attacksOnProofURLs() []attack {
	return []attack{
		{"DP-15", queryAndFragment},
		{"DP-16", func(t *testing.T, _ *deployment) {
			d := deploy(t, 1, secure)
			c := d.register(0)
			prove(t, c, htu(c, "https://AS.EXAMPLE:443/oauth2/token"), htu(c, "HTTPS://As.Example/oauth2/token"),
				htu(c, "https://as.example:443/oauth2/token"), htu(c, "https://as.example/oauth2/%74oken"))
		}},
		{"DP-17", func(t *testing.T, d *deployment) {
			c := d.register(0)
			for _, path := range []string{"/oauth2/token/", "//oauth2/token", "/oauth2//token", "/oauth2%2Ftoken", "/OAuth2/Token", "/oauth2/token/."} {
				proveNothing(t, c, oauth.ProofURI, htu(c, d.issuer+path))
			}
		}},
		{"DP-18", func(t *testing.T, _ *deployment) {
			d := deploy(t, 1, secure)
			c := d.register(0)
			for _, place := range []string{
				"http://as.example/oauth2/token", "http://as.example:443/oauth2/token", "https://as.example:8443/oauth2/token",
				"https://as.example/oauth2/par", "https://as.example/oauth/token", "https://evil.example/oauth2/token",
				"https://evil-as.example/oauth2/token", "https://as.example.evil.example/oauth2/token",
				"https://evil.example/https://as.example/oauth2/token", "https://evil.example/?https://as.example/oauth2/token",
			} {
				proveNothing(t, c, oauth.ProofURI, htu(c, place))
			}
		}},
		{"DP-19", func(t *testing.T, d *deployment) {
			c := d.register(0)
			for _, value := range []any{7, map[string]any{"u": d.issuer}, []string{d.issuer + "/oauth2/token"}, true, ""} {
				proveNothing(t, c, oauth.ProofClaims, htu(c, value))
			}
			for _, value := range []string{
				"not a url", "/oauth2/token", "urn:x", "http://", "http://[::1", "%zz", d.issuer + "/oauth2/token\n", strings.Repeat("h", 4000),
			} {
				proveNothing(t, c, oauth.ProofURI, htu(c, value))
			}
		}},
		{"DP-20", func(t *testing.T, d *deployment) {
			c := d.register(0)
			c.Server = d.serverThrough(pretending{"evil.example", d.transport(0)})
			for _, evil := range []string{"https://evil.example", "http://evil.example"} {
				r := c.TokenRequest(nil).SetHeader("X-Forwarded-Host", "evil.example")
				r.SetHeader("X-Forwarded-Proto", "https").SetHeader("Forwarded", "host=evil.example;proto=https")
				r.Proof = htu(c, evil+"/oauth2/token")
				refusedFor(t, do(t, c.Server, r), "400 invalid_dpop_proof", oauth.ProofURI)
			}
			prove(t, c, tokenProof(c))
		}},
		{"DP-21", behindAProxy},
	}
}

// queryAndFragment: DP-15. They do not count, so that they do not make a new proof of a used one either.
func queryAndFragment(t *testing.T, d *deployment) {
	c := d.register(0)
	endpoint := d.issuer + "/oauth2/token"
	prove(t, c, htu(c, endpoint+"?x=1"), htu(c, endpoint+"#f"), htu(c, endpoint+"?x=1#f"))
	id := flow.SetClaim("jti", "one in four spellings")
	prove(t, c, tokenProof(c, id, flow.SetClaim("htu", endpoint+"?x=1")))
	for _, spelling := range []string{endpoint + "#f", endpoint, endpoint + "?x=2"} {
		r := proving(c, id, flow.SetClaim("htu", spelling))
		refusedFor(t, do(t, c.Server, r), "400 invalid_dpop_proof", oauth.ProofReplayed)
	}
}

// behindAProxy: DP-21. A proxy ends TLS and passes requests on as http, under an internal host; proofs name the public URL.
func behindAProxy(t *testing.T, _ *deployment) {
	d := deploy(t, 1, secure)
	internal := httptest.NewServer(d.replicas[0].server.Handler())
	t.Cleanup(internal.Close)
	target, err := url.Parse(internal.URL)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httptest.NewUnstartedServer(&httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) { p.SetURL(target) }})
	proxy.TLS = &tls.Config{Certificates: []tls.Certificate{d.authority.issue(t, "ECDSA", hostOf(d.issuer))}}
	proxy.StartTLS()
	t.Cleanup(proxy.Close)
	d.hosts[0] = proxy.Listener.Addr().String()

	c := d.register(0)
	prove(t, c, tokenProof(c))
	access := tokenFor(t, c, nil)
	for _, r := range guarded(c)[:2] {
		d.expect(c, c.Present(r, access), "200")
	}
	proveNothing(t, c, oauth.ProofURI, htu(c, internal.URL+"/oauth2/token"), htu(c, "http://as.example/oauth2/token"))
}

// ownListener reaches a replica through a listener with the bounds that it has outside of tests.
func ownListener(t *testing.T, a *app) *http.Transport {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	own := a.httpServer(a.server.Handler())
	go func() { _ = own.Serve(listener) }()
	t.Cleanup(func() { _ = own.Close() })
	transport := &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, listener.Addr().String())
	}}
	t.Cleanup(transport.CloseIdleConnections)
	return transport
}

// guarded are the requests that a bound token opens: a resource, and the client's own registration. The last one would
// end the client.
func guarded(c *flow.Client) []*flow.Request {
	return []*flow.Request{
		{Method: http.MethodGet, URL: c.Server.Issuer + "/demo/accounts"},
		{Method: http.MethodGet, URL: c.RegistrationURI},
		{Method: http.MethodDelete, URL: c.RegistrationURI},
	}
}

// opensNothing sends each guarded request as present makes it, and wants it refused; afterwards token and client are as
// good as before.
func opensNothing(t *testing.T, c *flow.Client, want string, reasons []oauth.Reason, present func(r *flow.Request, access string) *flow.Request) {
	t.Helper()
	access := tokenFor(t, c, nil)
	for i, r := range guarded(c) {
		e := do(t, c.Server, present(r, access))
		refusedFor(t, e, want, reasons[min(i, len(reasons)-1)])
		if challenge := e.ResponseHeader.Get("WWW-Authenticate"); e.ErrorCode() == "invalid_dpop_proof" && !strings.HasPrefix(challenge, "DPoP ") {
			t.Errorf("%s %s: WWW-Authenticate %q", e.Method, e.URL, challenge)
		}
	}
	for _, r := range guarded(c)[:2] {
		outcome(t, do(t, c.Server, c.Present(r, access)), "200")
	}
}

func attacksOnBoundTokens() []attack {
	// At the registration a Bearer is a registration access token, which this one is not.
	asBearer := []oauth.Reason{oauth.TokenScheme, oauth.RegistrationToken}
	return []attack{
		{"DP-39", func(t *testing.T, d *deployment) {
			c := d.register(0)
			for _, scheme := range []string{"Bearer ", "bearer ", "BEARER  "} {
				opensNothing(t, c, "401 invalid_token", asBearer, func(r *flow.Request, access string) *flow.Request {
					return r.SetHeader("Authorization", scheme+access)
				})
			}
		}},
		{"DP-40", func(t *testing.T, d *deployment) {
			c := d.register(0)
			thief := *c
			for _, alg := range []string{"ES256", "EdDSA"} {
				thief.DPoPKey = key(t, alg)
				opensNothing(t, c, "401 invalid_token", []oauth.Reason{oauth.TokenKey}, func(r *flow.Request, access string) *flow.Request {
					return thief.Present(r, access)
				})
			}
		}},
		{"DP-41", func(t *testing.T, d *deployment) {
			c := d.register(0)
			another := tokenFor(t, c, nil)
			for _, edit := range []flow.Edit{flow.DropClaim("ath"), flow.ForToken(another), flow.SetClaim("ath", ""), flow.SetClaim("ath", 7)} {
				opensNothing(t, c, "401 invalid_dpop_proof", []oauth.Reason{oauth.ProofTokenHash}, func(r *flow.Request, access string) *flow.Request {
					return c.Present(r, access, edit)
				})
			}
		}},
		{"DP-49", func(t *testing.T, d *deployment) {
			for _, c := range d.everywhere(d.register(0)) {
				access := tokenFor(t, c, nil)
				for _, scheme := range []string{"dpop ", "DPOP ", "dPoP  "} {
					for _, r := range guarded(c)[:2] {
						d.expect(c, c.Present(r, access).SetHeader("Authorization", scheme+access), "200")
					}
				}
			}
		}},
		{"DP-50", func(t *testing.T, d *deployment) {
			c := d.register(0)
			opensNothing(t, c, "401 invalid_token", asBearer, func(r *flow.Request, access string) *flow.Request {
				return c.Present(r, access).SetHeader("Authorization", "Bearer "+access)
			})
		}},
	}
}
