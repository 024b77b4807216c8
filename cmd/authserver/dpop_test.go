package main

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"authserver/internal/flow"
	"authserver/internal/oauth"
)

// bentProof is a good proof with one thing bent.
type bentProof struct {
	id    string
	edits []flow.Edit
	want  string
}

func bentProofs(t *testing.T, c *flow.Client) []bentProof {
	private, err := c.DPoPKey.PrivateJWK()
	if err != nil {
		t.Fatal(err)
	}
	public, issuer, endpoint, now := c.DPoPKey.PublicJWK(), c.Server.Issuer, c.Server.Metadata.TokenEndpoint, c.Server.Now().Unix()
	const bad = "400 invalid_dpop_proof"
	return []bentProof{
		{"DP-01", nil, "200"},
		{"DP-02", []flow.Edit{flow.SetClaim("exp", now+120)}, "200"},
		{"DP-03", []flow.Edit{flow.SetClaim("exp", now-60)}, bad},
		{"DP-06 typ JWT", []flow.Edit{flow.SetHeader("typ", "JWT")}, bad},
		{"DP-06 no typ", []flow.Edit{flow.DropHeader("typ")}, bad},
		{"DP-07", []flow.Edit{flow.SignAs("none")}, bad},
		{"DP-10 no jwk", []flow.Edit{flow.DropHeader("jwk")}, bad},
		{"DP-10 a string", []flow.Edit{flow.SetHeader("jwk", "a string")}, bad},
		{"DP-10 empty", []flow.Edit{flow.SetHeader("jwk", map[string]any{})}, bad},
		{"DP-11", []flow.Edit{flow.SetHeader("jwk", private)}, bad},
		{"DP-12", []flow.Edit{flow.SignWith(key(t, "ES256"))}, bad},
		{"DP-13 jti", []flow.Edit{flow.DropClaim("jti")}, bad},
		{"DP-13 htm", []flow.Edit{flow.DropClaim("htm")}, bad},
		{"DP-13 htu", []flow.Edit{flow.DropClaim("htu")}, bad},
		{"DP-13 iat", []flow.Edit{flow.DropClaim("iat")}, bad},
		{"DP-14 post", []flow.Edit{flow.SetClaim("htm", "post")}, bad},
		{"DP-14 GET", []flow.Edit{flow.SetClaim("htm", "GET")}, bad},
		{"DP-15 query", []flow.Edit{flow.SetClaim("htu", endpoint+"?x=1")}, "200"},
		{"DP-15 fragment", []flow.Edit{flow.SetClaim("htu", endpoint+"#f")}, "200"},
		{"DP-16", []flow.Edit{flow.SetClaim("htu", strings.Replace(endpoint, "http://localhost", "HTTP://LOCALHOST", 1))}, "200"},
		{"DP-17", []flow.Edit{flow.SetClaim("htu", endpoint+"/")}, bad},
		{"DP-18 https", []flow.Edit{flow.SetClaim("htu", strings.Replace(endpoint, "http", "https", 1))}, bad},
		{"DP-18 the other route", []flow.Edit{flow.SetClaim("htu", issuer+"/oauth/token")}, bad},
		{"DP-18 another host", []flow.Edit{flow.SetClaim("htu", "http://localhost:8080.evil.example/oauth2/token")}, bad},
		{"DP-19", []flow.Edit{flow.SetClaim("htu", 7)}, bad},
		{"DP-22 old", []flow.Edit{flow.SetClaim("iat", now-3600)}, bad},
		{"DP-22 ahead", []flow.Edit{flow.SetClaim("iat", now+120)}, bad},
		{"DP-23", []flow.Edit{flow.SetClaim("iat", now+8)}, "200"},
		{"DP-42", []flow.Edit{flow.SetHeader("jwk", public), flow.SetHeader("kid", "x")}, "200"},
		{"DP-44", []flow.Edit{flow.SetHeader("crit", []string{"exp"})}, bad},
	}
}

// TestProofsAtTheTokenEndpoint bends the proof of a good token request.
func TestProofsAtTheTokenEndpoint(t *testing.T) {
	d := deploy(t, 1, nil)
	c := d.register(0, func(m map[string]any) { m["dpop_bound_access_tokens"] = true })
	for _, test := range bentProofs(t, c) {
		t.Run(test.id, func(t *testing.T) {
			r := c.TokenRequest(nil)
			r.Proof = c.Proof(r.Method, r.URL, test.edits...)
			e := do(t, c.Server, r)
			if outcome(t, e, test.want); test.want != "200" {
				return
			}
			token, err := flow.Decode(e.JSON()["access_token"].(string))
			if err != nil || flow.Confirmation(token.Claims) != c.DPoPKey.Thumbprint() || e.JSON()["token_type"] != "DPoP" {
				t.Errorf("cnf.jkt %s, %v, %v", flow.Confirmation(token.Claims), e.JSON(), err)
			}
		})
	}
	t.Run("DP-04", func(t *testing.T) {
		endpoint := c.Server.Metadata.TokenEndpoint
		proof, another := compact(t, c.Proof(http.MethodPost, endpoint)), compact(t, c.Proof(http.MethodPost, endpoint))
		for _, proofs := range [][]string{{proof, proof}, {proof, another}, {proof + ", " + proof}} {
			e := raw(t, c.Server, http.MethodPost, endpoint, http.Header{"Content-Type": {formType}, "Dpop": proofs}, formFor(t, c, ""))
			refusedFor(t, e, "400 invalid_dpop_proof", oauth.ProofRepeated)
		}
	})
	t.Run("DP-05", func(t *testing.T) {
		r := c.TokenRequest(nil)
		r.Proof = nil
		refusedFor(t, do(t, c.Server, r), "400 invalid_request", oauth.ProofMissing)
	})
}

// DP-20, CA-19, KY-08: neither Host nor X-Forwarded-* has a say in what this server is called.
func TestHostIsNotBelieved(t *testing.T) {
	d := deploy(t, 1, nil)
	honest := d.register(0)
	c := d.at(honest, 0)
	c.Server = d.serverThrough(pretending{"evil.example", d.transport(0)}) // Discover refuses metadata of another issuer
	if c.Server.Metadata.TokenEndpoint != d.issuer+"/oauth2/token" {
		t.Errorf("KY-08: %+v", c.Server.Metadata)
	}
	outcome(t, do(t, c.Server, c.TokenRequest(nil)), "200")
	for _, evil := range []string{"https://evil.example", "http://evil.example"} {
		r := c.TokenRequest(nil).SetHeader("X-Forwarded-Host", "evil.example")
		r.SetHeader("X-Forwarded-Proto", "https").SetHeader("Forwarded", "host=evil.example;proto=https")
		r.Proof = c.Proof(r.Method, evil+"/oauth2/token")
		refusedFor(t, do(t, c.Server, r), "400 invalid_dpop_proof", oauth.ProofURI)
		r = c.TokenRequest(nil).SetHeader("X-Forwarded-Host", "evil.example")
		r.Assertion = c.Assertion(flow.SetClaim("aud", evil))
		refusedFor(t, do(t, c.Server, r), "401 invalid_client", oauth.AssertionAudience)
	}
	e := do(t, c.Server, c.Server.RegisterRequest(metadata(key(t, "ES256"))))
	if uri, _ := e.JSON()["registration_client_uri"].(string); !strings.HasPrefix(uri, d.issuer+"/fdx/v6/register/") {
		t.Errorf("registration_client_uri %q", uri)
	}
}

// pretending sends requests under a host's name that is not the server's.
type pretending struct {
	host string
	next http.RoundTripper
}

func (p pretending) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Host = p.host
	return p.next.RoundTrip(r)
}

// TestBoundTokens presents a bound token in every wrong way, at a resource and at the registration that takes it too.
func TestBoundTokens(t *testing.T) {
	d := deploy(t, 1, nil)
	c := d.register(0)
	access, another := tokenFor(t, c, nil), tokenFor(t, c, nil)
	thief := *c
	thief.DPoPKey = key(t, "ES256")
	for place, target := range map[string]string{"resource": d.issuer + "/demo/accounts", "registration": c.RegistrationURI} {
		request := func(edits ...flow.Edit) *flow.Request {
			return c.Present(&flow.Request{Method: http.MethodGet, URL: target}, access, edits...)
		}
		scheme := func(scheme string) *flow.Request { return request().SetHeader("Authorization", scheme+" "+access) }
		withoutProof := func(scheme string) *flow.Request {
			return (&flow.Request{Method: http.MethodGet, URL: target}).SetHeader("Authorization", scheme+" "+access)
		}
		tests := []struct {
			id      string
			request *flow.Request
			want    string
		}{
			{"the token and its proof", request(), "200"},
			{"DP-49", scheme("dpop"), "200"},
			{"DP-39", withoutProof("Bearer"), "401 invalid_token"},
			{"DP-39 lower case", withoutProof("bearer"), "401 invalid_token"},
			{"no proof", withoutProof("DPoP"), "401 invalid_token"},
			{"DP-40", thief.Present(&flow.Request{Method: http.MethodGet, URL: target}, access), "401 invalid_token"},
			{"DP-41 no ath", request(flow.DropClaim("ath")), "401 invalid_dpop_proof"},
			{"DP-41 ath of another token", request(flow.ForToken(another)), "401 invalid_dpop_proof"},
			{"DP-50", scheme("Bearer"), "401 invalid_token"},
			{"another scheme", scheme("Basic"), "401 invalid_token"},
			{"a proof for another method", request(flow.SetClaim("htm", "POST")), "401 invalid_dpop_proof"},
			{"a proof for another URL", request(flow.SetClaim("htu", target+"/x")), "401 invalid_dpop_proof"},
			{"a forged token", request().SetHeader("Authorization", "DPoP "+access[:len(access)-4]+"AAAA"), "401 invalid_token"},
		}
		for _, test := range tests {
			t.Run(test.id+" "+place, func(t *testing.T) {
				e := do(t, c.Server, test.request)
				outcome(t, e, test.want)
				challenge := strings.Join(e.ResponseHeader.Values("WWW-Authenticate"), "\n")
				if e.ErrorCode() == "invalid_dpop_proof" && !strings.HasPrefix(challenge, "DPoP ") {
					t.Errorf("challenge %q", challenge)
				}
			})
		}
		t.Run("a nonce is asked for with 401 and the challenge "+place, func(t *testing.T) {
			e, err := c.Server.Send(t.Context(), request(flow.DropClaim("nonce")))
			if err != nil {
				t.Fatal(err)
			}
			checkAnswer(t, e)
			outcome(t, e, "401 use_dpop_nonce")
			if got := e.ResponseHeader.Get("WWW-Authenticate"); !strings.Contains(got, `error="use_dpop_nonce"`) || !strings.Contains(got, `algs="PS256 ES256 EdDSA"`) {
				t.Errorf("challenge %q", got)
			}
		})
	}
	t.Run("an expired token", func(t *testing.T) {
		d.clock.advance(tokenLifetime + time.Second)
		e := do(t, c.Server, c.Present(&flow.Request{Method: http.MethodGet, URL: d.issuer + "/demo/accounts"}, access))
		refusedFor(t, e, "401 invalid_token", oauth.TokenExpired)
	})
}

// Proofs and nonces age: DP-31 for the nonce, DPOP-06 for iat, with a nonce and without.
func TestProofsAge(t *testing.T) {
	for policy, ages := range map[string]map[time.Duration]oauth.Reason{
		"required": {290 * time.Second: "", 310 * time.Second: oauth.ProofStale},
		"optional": {50 * time.Second: "", 70 * time.Second: oauth.ProofStale},
		"off":      {50 * time.Second: "", 70 * time.Second: oauth.ProofStale},
	} {
		d := deploy(t, 1, func(s *settings) { s.DPoPNonce = policy })
		c := d.everywhere(d.register(0))[0]
		for age, want := range ages {
			t.Run(policy+" "+age.String(), func(t *testing.T) {
				r := c.TokenRequest(nil)
				edits := []flow.Edit{flow.SetClaim("iat", d.clock.now().Add(-age).Unix())}
				if policy != "required" {
					edits = append(edits, flow.DropClaim("nonce"))
				}
				r.Proof = c.Proof(r.Method, r.URL, edits...)
				e := do(t, c.Server, r)
				if want == "" {
					outcome(t, e, "200")
				} else {
					refusedFor(t, e, "400 invalid_dpop_proof", want)
				}
			})
		}
		if policy != "required" {
			continue
		}
		t.Run("DP-31", func(t *testing.T) {
			d.clock.advance(8 * time.Minute)
			e, err := c.Server.Send(t.Context(), c.TokenRequest(nil))
			if err != nil {
				t.Fatal(err)
			}
			checkAnswer(t, e)
			refusedFor(t, e, "400 use_dpop_nonce", oauth.NonceUnknown)
			outcome(t, do(t, c.Server, c.TokenRequest(nil)), "200")
		})
	}
}
