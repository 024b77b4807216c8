package main

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"authserver/internal/flow"
	"authserver/internal/oauth"

	"github.com/google/go-cmp/cmp"
)

// attacksOnIntrospection are the cases about introspection (RFC 7662, RFC 9701) and revocation (RFC 7009).
func attacksOnIntrospection() []attack {
	return []attack{
		{"IN-01", introspectionUnproven},
		{"IN-02", introspectionByStrangers},
		{"IN-03", introspectionOfDeadTokens},
		{"IN-04", introspectionOfForgeries},
		{"IN-05", func(t *testing.T, d *deployment) {
			c := d.register(0)
			for _, hint := range []string{"refresh_token", "id_token", "pct", "nonsense", strings.Repeat("x", 4096)} {
				access := tokenFor(t, c, nil)
				for _, by := range []*flow.Client{d.at(c, 1), d.resourceServerAt(2)} {
					r := by.IntrospectRequest(access)
					r.Form.Set("token_type_hint", hint)
					if e := d.expect(by, r, "200"); e.JSON()["active"] != true {
						t.Errorf("not found with the hint %.20s: %s", hint, e.ResponseBody)
					}
				}
				r := c.RevokeRequest(access)
				r.Form.Set("token_type_hint", hint)
				d.expect(c, r, "200")
				d.wantActive(c, access, false)
			}
		}},
		{"IN-06", introspectionAtWill},
		{"IN-07", tokensInQueries},
		{"IN-08", func(t *testing.T, d *deployment) {
			c := d.register(0)
			access := tokenFor(t, c, nil)
			want := map[string]any{"active": true, "token_type": "DPoP"}
			for name, value := range claimsOf(t, access) {
				want[name] = value
			}
			for _, by := range []*flow.Client{c, d.resourceServerAt(1)} {
				told := introspected(t, by, access)
				if diff := cmp.Diff(want, told); diff != "" || flow.Confirmation(told) != c.DPoPKey.Thumbprint() {
					t.Errorf("%s is told cnf %v: %s", by.ID, told["cnf"], diff)
				}
			}
		}},
		{"IN-09", introspectionAsJWT},
		{"RV-01", func(t *testing.T, d *deployment) {
			c := d.register(0)
			access := tokenFor(t, c, nil)
			for _, unknown := range []string{"unknown", "a.b.c", strings.Repeat("a", 20000), c.RegistrationToken, compact(t, c.Assertion()), access + "x", "☃"} {
				if e := d.expect(c, c.RevokeRequest(unknown), "200"); e.ResponseBody != "" {
					t.Errorf("%.20s: %s", unknown, e.ResponseBody)
				}
			}
			d.wantActive(c, access, true)
			d.expect(c, c.ManageRequest(http.MethodGet, nil), "200") // a registration access token is not given back here
		}},
		{"RV-02", func(t *testing.T, d *deployment) {
			c := d.register(0)
			access := tokenFor(t, c, nil)
			for _, other := range []*flow.Client{d.register(1), d.resourceServerAt(2), d.registrarOf(0)} {
				told, unknown := d.expect(other, other.RevokeRequest(access), "200"), d.expect(other, other.RevokeRequest("unknown"), "200")
				if told.ResponseBody != unknown.ResponseBody {
					t.Errorf("%s learns that there is such a token: %s", other.ID, told.ResponseBody)
				}
			}
			d.wantActive(c, access, true)
			for range 2 {
				d.expect(c, c.RevokeRequest(access), "200")
				d.wantActive(c, access, false)
			}
		}},
		{"RV-03", revokedFamily},
		{"RV-04", revocationWithoutStorage},
	}
}

// resourceServerAt is the operator's resource server as a client.
func (d *deployment) resourceServerAt(replica int) *flow.Client {
	d.t.Helper()
	return &flow.Client{Server: d.server(replica), ID: d.resourceServer.ClientID, Key: d.resourceServer, DPoPKey: key(d.t, "ES256")}
}

// registrarOf is the operator's registrar as a client.
func (d *deployment) registrarOf(replica int) *flow.Client {
	d.t.Helper()
	return &flow.Client{Server: d.server(replica), ID: d.registrar.ClientID, Key: d.registrar, DPoPKey: key(d.t, "ES256")}
}

// introspected is what a caller is told about a token.
func introspected(t testing.TB, by *flow.Client, token string) map[string]any {
	t.Helper()
	e := do(t, by.Server, by.IntrospectRequest(token))
	outcome(t, e, "200")
	return e.JSON()
}

// unseen wants the whole answer about a token to be that it is not active.
func unseen(t testing.TB, by *flow.Client, token string) {
	t.Helper()
	e := do(t, by.Server, by.IntrospectRequest(token))
	if outcome(t, e, "200"); strings.TrimSpace(e.ResponseBody) != `{"active":false}` {
		t.Errorf("%s is told of %.40s: %s", by.ID, token, e.ResponseBody)
	}
}

// wantActive holds every replica to one answer about a client's token, to the client and to the resource server.
func (d *deployment) wantActive(c *flow.Client, token string, active bool) {
	d.t.Helper()
	for i := range d.replicas {
		for _, by := range []*flow.Client{d.at(c, i), d.resourceServerAt(i)} {
			if !active {
				unseen(d.t, by, token)
			} else if introspected(d.t, by, token)["active"] != true {
				d.t.Errorf("replica %d tells %s that the token is not active", i, by.ID)
			}
		}
	}
}

func claimsOf(t testing.TB, compact string) map[string]any {
	t.Helper()
	decoded, err := flow.Decode(compact)
	if err != nil {
		t.Fatal(err)
	}
	return decoded.Claims
}

func introspectionUnproven(t *testing.T, d *deployment) {
	c, other := d.register(0), d.register(0)
	access := tokenFor(t, c, nil)
	for name, bend := range map[string]func(*flow.Request){
		"no assertion":         func(r *flow.Request) { r.Assertion = nil },
		"nothing at all":       func(r *flow.Request) { r.Assertion = nil; r.Form.Del("client_id") },
		"the token alone":      func(r *flow.Request) { r.Assertion = nil; r.SetHeader("Authorization", "Bearer "+access) },
		"Basic":                func(r *flow.Request) { r.Assertion = nil; r.SetHeader("Authorization", "Basic YTpi") },
		"another key":          func(r *flow.Request) { r.Assertion = c.Assertion(flow.SignWith(other.Key)) },
		"alg none":             func(r *flow.Request) { r.Assertion = c.Assertion(flow.SignAs("none")) },
		"another audience":     func(r *flow.Request) { r.Assertion = c.Assertion(flow.SetClaim("aud", r.URL)) },
		"an expired assertion": func(r *flow.Request) { r.Assertion = c.Assertion(flow.SetClaim("exp", 1)) },
		"another client_id":    func(r *flow.Request) { r.Assertion = other.Assertion() },
		"the access token":     func(r *flow.Request) { r.Assertion = flow.Literal(access) },
	} {
		t.Run(name, func(t *testing.T) {
			for _, r := range []*flow.Request{c.IntrospectRequest(access), c.RevokeRequest(access)} {
				bend(r)
				outcome(t, do(t, c.Server, r), "401 invalid_client")
			}
		})
	}
	for _, r := range []*flow.Request{c.IntrospectRequest(""), c.RevokeRequest("")} {
		refusedFor(t, do(t, c.Server, r), "400 invalid_request", oauth.ParameterMissing)
	}
	d.wantActive(c, access, true)
}

func introspectionByStrangers(t *testing.T, d *deployment) {
	c := d.register(0)
	access := tokenFor(t, c, nil)
	for _, stranger := range []*flow.Client{d.register(1), d.registrarOf(2)} {
		unseen(t, stranger, access)
		seen, unknown := do(t, stranger.Server, stranger.IntrospectRequest(access)), do(t, stranger.Server, stranger.IntrospectRequest("unknown"))
		for _, e := range []*flow.Exchange{seen, unknown} {
			e.ResponseHeader.Del("Date")
			e.ResponseHeader.Del("X-Fapi-Interaction-Id")
		}
		if diff := cmp.Diff(unknown.ResponseHeader, seen.ResponseHeader); diff != "" {
			t.Errorf("the header tells whether there is such a token: %s", diff)
		}
	}
	d.wantActive(c, access, true)
}

func introspectionOfDeadTokens(t *testing.T, d *deployment) {
	c := d.register(0)
	live, revoked := tokenFor(t, c, nil), tokenFor(t, c, nil)
	d.expect(c, c.RevokeRequest(revoked), "200")

	foreign := deploy(t, 1, nil) // the same issuer by name, with other keys
	there := foreign.register(0)
	expiring := tokenFor(t, there, nil)
	dead := []string{revoked, expiring, "x", "a.b.c", "..", strings.Repeat("a", 20000), c.RegistrationToken, compact(t, c.Assertion()),
		compact(t, c.Proof(http.MethodPost, d.issuer)), live + "=", live + ".x", "☃", "\ufeff" + live}
	for i, token := range dead {
		by := d.at(c, i%3)
		unseen(t, by, token)
		unseen(t, d.resourceServerAt(i%3), token)
		r := by.IntrospectRequest(token)
		r.Form.Set("token_type_hint", "access_token")
		if e := d.expect(by, r, "200"); strings.TrimSpace(e.ResponseBody) != `{"active":false}` {
			t.Error(e.ResponseBody)
		}
	}
	d.wantActive(c, live, true)

	foreign.within(t).wantActive(there, expiring, true)
	foreign.clock.advance(tokenLifetime + time.Second)
	foreign.within(t).wantActive(there, expiring, false)
}

func introspectionOfForgeries(t *testing.T, d *deployment) {
	c := d.register(0)
	access := tokenFor(t, c, nil)
	says, err := flow.Decode(access)
	if err != nil {
		t.Fatal(err)
	}
	ours := flow.Draft{Header: says.Header, Claims: says.Claims, Key: key(t, "ES256"), Alg: "ES256"}
	parts := strings.Split(access, ".")
	forged := []string{
		parts[0] + "." + parts[1] + ".", parts[0] + "." + parts[1], parts[0] + "." + strings.Replace(parts[1], "a", "b", 1) + "." + parts[2],
		parts[0] + "." + parts[1] + "." + strings.Repeat("A", len(parts[2])), // r = s = 0
	}
	for _, edits := range [][]flow.Edit{
		{}, {flow.SignAs("none")}, {flow.SetHeader("alg", "none")}, {flow.SetHeader("alg", "HS256")}, {flow.DropHeader("kid")},
		{flow.SetHeader("kid", "unknown")}, {flow.SetHeader("jwk", ours.Key.PublicJWK())}, {flow.SetClaim("client_id", c.ID), flow.SetHeader("typ", "JWT")},
		{flow.SignWith(c.Key)}, {flow.SetClaim("iss", "https://evil.example")}, {flow.SetHeader("jku", "https://evil.example/jwks")},
	} {
		bent, err := ours.Sign(edits...)
		if err != nil {
			t.Fatal(err)
		}
		forged = append(forged, bent)
	}
	for i, token := range forged {
		unseen(t, d.at(c, i%3), token)
		unseen(t, d.resourceServerAt(i%3), token)
	}
	d.wantActive(c, access, true)
}

// introspectionAtWill is about the limit of inactive answers; those about tokens that the caller may see do not count.
func introspectionAtWill(t *testing.T, _ *deployment) {
	const limit = 20
	d := deploy(t, 1, func(s *settings) { s.IntrospectionLimit = "20" })
	c, other := d.register(0), d.register(0)
	rs, access := d.resourceServerAt(0), tokenFor(t, c, nil)
	busy := func() {
		t.Helper()
		for range 3 * limit {
			if introspected(t, rs, access)["active"] != true {
				t.Fatal("a busy resource server is limited")
			}
		}
	}
	busy()
	counts := map[string]int{}
	for i := range 3 * limit {
		token := oauth.NewSecret().Reveal()
		if i%2 == 1 {
			token = access // another client's: as good as unknown, and counted like it
		}
		e := do(t, other.Server, other.IntrospectRequest(token))
		if counts[e.Outcome()]++; e.Status == http.StatusTooManyRequests && e.ResponseHeader.Get("Retry-After") == "" {
			t.Fatal("no Retry-After")
		}
	}
	// A few more may pass where the minutes of the sliding window meet.
	if n := counts["200"]; n < limit || n > limit+limit/5 || n+counts["429 temporarily_unavailable"] != 3*limit {
		t.Errorf("%d a minute are allowed: %v", limit, counts)
	}
	busy()
	own := tokenFor(t, other, nil)
	if introspected(t, other, own)["active"] != true { // its own token it may see
		t.Error("an answer that is no oracle is limited")
	}
	d.expect(other, other.RevokeRequest("unknown"), "200")
	unseen(t, c, "unknown") // another client has a count of its own
}

func tokensInQueries(t *testing.T, d *deployment) {
	c := d.register(0)
	access := tokenFor(t, c, nil)
	for _, endpoint := range []string{c.Server.Metadata.IntrospectionEndpoint, c.Server.Metadata.RevocationEndpoint} {
		target := endpoint + "?token=" + access
		for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPut} {
			e := raw(t, c.Server, method, target, nil, "")
			if e.Status != http.StatusMethodNotAllowed || e.ResponseHeader.Get("Allow") != http.MethodPost {
				t.Errorf("%s: %d, Allow %q", method, e.Status, e.ResponseHeader.Get("Allow"))
			}
		}
		assertion := compact(t, c.Assertion())
		r := &flow.Request{Method: http.MethodPost, URL: target, Form: url.Values{"client_id": {c.ID}}, Assertion: flow.Literal(assertion)}
		refusedFor(t, do(t, c.Server, r), "400 invalid_request", oauth.ParameterInQuery)
		r = c.IntrospectRequest("unknown")
		r.Assertion = flow.Literal(assertion)
		d.expect(c, r, "200") // G10
	}
	d.wantActive(c, access, true)
	for _, part := range append(strings.Split(access, "."), access) {
		if strings.Contains(d.logs.String(), part) {
			t.Errorf("the log holds %s", part)
		}
	}
}

const introspectionMedia = "application/token-introspection+jwt"

// introspectionAsJWT is about the signed form (RFC 9701 §5): for its caller alone, and no token of any kind.
func introspectionAsJWT(t *testing.T, d *deployment) {
	c, stranger, rs := d.register(0), d.register(0), d.resourceServerAt(1)
	keys, err := c.Server.Keys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	access := tokenFor(t, c, nil)
	for _, by := range []*flow.Client{c, rs, stranger} {
		e := d.expect(by, by.IntrospectRequest(access).SetHeader("Accept", introspectionMedia), "200")
		answer, err := flow.Decode(e.ResponseBody)
		if err != nil {
			t.Fatal(err)
		}
		content, _ := answer.Claims["token_introspection"].(map[string]any)
		if err := answer.Verify(keys); err != nil || answer.Member("typ") != "token-introspection+jwt" || answer.Claims["aud"] != by.ID ||
			answer.Claims["iss"] != d.issuer || e.ResponseHeader.Get("Content-Type") != introspectionMedia {
			t.Errorf("%v %v %v", err, answer.Header, answer.Claims)
		}
		for _, name := range []string{"sub", "exp", "scope", "client_id", "cnf"} {
			if _, has := answer.Claims[name]; has {
				t.Errorf("an answer with %s at its top passes for another kind of token", name)
			}
		}
		switch {
		case by == stranger:
			if diff := cmp.Diff(map[string]any{"active": false}, content); diff != "" {
				t.Error(diff)
			}
		case content["active"] != true || flow.Confirmation(content) != c.DPoPKey.Thumbprint():
			t.Errorf("%v", content)
		}
		used := do(t, c.Server, c.Present(&flow.Request{Method: http.MethodGet, URL: d.issuer + "/demo/accounts"}, e.ResponseBody))
		refusedFor(t, used, "401 invalid_token", oauth.TokenMalformed)
		unseen(t, by, e.ResponseBody)
		r := c.TokenRequest(nil)
		r.Assertion = flow.Literal(e.ResponseBody)
		d.expect(c, r, "401 invalid_client")
	}
	r := c.IntrospectRequest(access).SetHeader("Accept", introspectionMedia)
	r.Assertion = nil
	d.expect(c, r, "401 invalid_client") // a refusal is plain JSON in any case
	d.introspectionForms(t)
}

// introspectionForms: the signed form is for those who accept it or have registered it.
func (d *deployment) introspectionForms(t *testing.T) {
	plain := d.register(0)
	registered := d.register(0, func(m map[string]any) { m["introspection_signed_response_alg"] = "ES256" })
	for c, want := range map[*flow.Client]map[string]string{
		plain: {introspectionMedia: "PS256", "application/json;q=0.5, " + introspectionMedia: "PS256", "application/json": "", "*/*": "",
			introspectionMedia + ";q=0, application/json": "", introspectionMedia + ";q=0.0": "", "application/jwt, ;;, \"": ""},
		registered: {introspectionMedia: "ES256", "application/json": "ES256"},
	} {
		for value, alg := range want {
			e := d.expect(c, c.IntrospectRequest(tokenFor(t, c, nil)).SetHeader("Accept", value), "200")
			answer, err := flow.Decode(e.ResponseBody)
			if alg == "" && e.JSON()["active"] != true || alg != "" && (err != nil || answer.Member("alg") != alg) {
				t.Errorf("accepting %q, want alg %q: %s", value, alg, e.ResponseBody)
			}
		}
	}
}
