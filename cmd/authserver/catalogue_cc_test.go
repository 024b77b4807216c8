package main

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"authserver/internal/flow"
	"authserver/internal/oauth"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// attacksOnGrants are the cases about grant_type, and about what a client gets in its own name.
func attacksOnGrants() []attack {
	return []attack{
		{"CC-01", grantNotRegistered},
		{"CC-02", grantTypesRefused},
		{"CC-03", grantTypeTwice},
		{"CC-04", scopesRefused},
		{"CC-05", func(t *testing.T, d *deployment) {
			c := d.register(0, func(m map[string]any) { m["scope"] = "openid offline_access fdx:accountbasic:read" })
			for _, asked := range []string{"openid fdx:accountbasic:read", "offline_access openid fdx:accountbasic:read", ""} {
				e := d.expect(c, c.TokenRequest(url.Values{"scope": {asked}}), "200")
				want := map[string]any{"token_type": "DPoP", "scope": "fdx:accountbasic:read"}
				if diff := cmp.Diff(want, e.JSON(), except("access_token", "expires_in")); diff != "" {
					t.Error(diff)
				}
			}
			grantsNothing(t, c, url.Values{"scope": {"openid"}}, "400 invalid_scope", oauth.ScopeEmpty)
			grantsNothing(t, d.register(0), url.Values{"scope": {"openid client.read"}}, "400 invalid_scope", oauth.ScopeNotRegistered)
		}},
		{"CC-12", tokenClaims},
		{"CC-14", resourcesRefused},
		{"CC-15", manyAtOnce},
	}
}

// except leaves members of an object out of a comparison.
func except(names ...string) cmp.Option {
	return cmpopts.IgnoreMapEntries(func(name string, _ any) bool {
		return strings.Contains(" "+strings.Join(names, " ")+" ", " "+name+" ")
	})
}

// grantsNothing wants a token request refused, and that this used nothing up: assertion and proof are then worth a token.
func grantsNothing(t testing.TB, c *flow.Client, form url.Values, want string, reason oauth.Reason) *flow.Exchange {
	t.Helper()
	freshNonce(t, c)
	r := c.TokenRequest(form)
	for name, values := range form {
		r.Form[name] = values // TokenRequest fills in a grant_type that is not there
	}
	r.Assertion, r.Proof = flow.Literal(compact(t, c.Assertion())), flow.Literal(compact(t, tokenProof(c)))
	e := once(t, c, r)
	refusedFor(t, e, want, reason)
	good := c.TokenRequest(nil)
	good.Assertion, good.Proof = r.Assertion, r.Proof
	boundTo(t, once(t, c, good), c.DPoPKey)
	return e
}

// grantNotRegistered: CC-01. Once the grant type is registered, what the refused request bore is worth a token.
func grantNotRegistered(t *testing.T, d *deployment) {
	c := d.everywhere(d.register(0))[0]
	codeOnly := metadata(c.Key, func(m map[string]any) {
		m["grant_types"], m["response_types"] = []string{"authorization_code", "refresh_token"}, []string{"code"}
		m["redirect_uris"] = []string{"https://client.example/cb"}
	})
	outcome(t, do(t, c.Server, c.ManageRequest(http.MethodPut, codeOnly)), "200")
	assertion, proof := compact(t, c.Assertion()), compact(t, tokenProof(c))
	request := func(c *flow.Client) *flow.Request {
		r := c.TokenRequest(nil)
		r.Assertion, r.Proof = flow.Literal(assertion), flow.Literal(proof)
		return r
	}
	for i := range d.replicas {
		refusedFor(t, once(t, c, request(d.at(c, i))), "400 unauthorized_client", oauth.GrantTypeNotRegistered)
	}
	outcome(t, do(t, c.Server, c.ManageRequest(http.MethodPut, metadata(c.Key))), "200")
	boundTo(t, once(t, c, request(c)), c.DPoPKey)
}

// grantTypesRefused: CC-02. What was sent stands neither in the answer nor in the log.
func grantTypesRefused(t *testing.T, d *deployment) {
	c := d.register(0)
	for _, missing := range [][]string{nil, {""}} {
		grantsNothing(t, c, url.Values{"grant_type": missing}, "400 invalid_request", oauth.ParameterMissing)
	}
	for _, word := range []string{
		"password", "implicit", "CLIENT_CREDENTIALS", "client_credentials\t", "client_credentials,password", "\x1b[31mred", strings.Repeat("g", 5<<10),
	} {
		e := grantsNothing(t, c, url.Values{"grant_type": {word}}, "400 unsupported_grant_type", oauth.GrantTypeUnsupported)
		if strings.Contains(e.ResponseBody, word) || strings.Contains(d.logs.String(), word) {
			t.Errorf("%.40q is repeated", word)
		}
	}
}

// grantTypeTwice: CC-03, in a form and in the JSON body of seed 001, the same and another.
func grantTypeTwice(t *testing.T, d *deployment) {
	c := d.everywhere(d.register(0))[0]
	const good = "client_credentials"
	for _, two := range [][]string{{good, good}, {good, "password"}, {"password", good}, {good, ""}} {
		grantsNothing(t, c, url.Values{"grant_type": two}, "400 invalid_request", oauth.ParameterRepeated)
		proof, assertion := compact(t, tokenProof(c)), compact(t, c.Assertion())
		body := func(grantTypes string) string {
			return `{` + grantTypes + `"client_assertion_type":"urn:ietf:params:oauth:client-assertion-type:jwt-bearer","client_assertion":"` + assertion + `"}`
		}
		header := http.Header{"Content-Type": {"application/json"}, "Dpop": {proof}}
		endpoint := d.issuer + "/oauth2/token"
		refused := raw(t, c.Server, http.MethodPost, endpoint, header, body(`"grant_type":"`+two[0]+`","grant_type":"`+two[1]+`",`))
		refusedFor(t, refused, "400 invalid_request", oauth.ParameterRepeated)
		boundTo(t, raw(t, c.Server, http.MethodPost, endpoint, header, body(`"grant_type":"`+good+`",`)), c.DPoPKey)
	}
}

// scopesRefused: CC-04, with the longest scope that is taken beside those that are not. A long one is refused before it is
// taken apart: the work does not grow with its tokens.
func scopesRefused(t *testing.T, d *deployment) {
	c := d.register(0)
	refuse := func(scope string, reason oauth.Reason) {
		t.Helper()
		grantsNothing(t, c, url.Values{"scope": {scope}}, "400 invalid_scope", reason)
	}
	for _, unknown := range []string{"nothing:known", "client.read nothing:known", "client.create", "CLIENT.READ", "client.rea", strings.Repeat("s", 4<<10)} {
		refuse(unknown, oauth.ScopeNotRegistered)
	}
	for _, malformed := range []string{
		"client.read\tclient.read", `"client.read"`, `client\.read`, " client.read", "client.read ", "client.read  client.read", "client.read\n", "\u00e9",
	} {
		refuse(malformed, oauth.ScopeMalformed)
	}
	many := func(n int) string { return strings.TrimSuffix(strings.Repeat("client.read ", n), " ") }
	for _, long := range []string{strings.Repeat("s", 4<<10+1), many(101), many(5000), strings.TrimSpace(strings.Repeat("s ", 5000))} {
		refuse(long, oauth.ScopeMalformed)
	}
	if e := d.expect(c, c.TokenRequest(url.Values{"scope": {many(100)}}), "200"); e.JSON()["scope"] != "client.read" {
		t.Errorf("scope %v", e.JSON()["scope"])
	}
	endless := many(50_000)
	if got := grown(func() { _, _ = oauth.ParseScope(endless) }); got > uint64(len(endless)/10) {
		t.Errorf("refusing %d bytes of scope allocates %d", len(endless), got)
	}
}

// tokenClaims: CC-12. The subject is the client itself, whose name the server chose: nobody can become a person by it.
func tokenClaims(t *testing.T, d *deployment) {
	s := d.server(0)
	k, proofKey := key(t, "ES256"), key(t, "ES256")
	asPerson := metadata(k, func(m map[string]any) {
		m["client_id"], m["sub"], m["client_name"] = demoUsername, demoUsername, demoUsername
	})
	c, err := s.Register(t.Context(), s.RegisterRequest(asPerson), k, proofKey)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.ID) < 22 || c.ID == demoUsername {
		t.Errorf("client_id %q", c.ID)
	}
	keys, err := s.Keys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ids := map[string]bool{}
	for range 2 {
		before := d.clock.now().Unix()
		e := d.expect(c, c.TokenRequest(url.Values{"scope": {"client.read"}, "sub": {demoUsername}, "username": {demoUsername}}), "200")
		token := issued(e)
		if err := token.Verify(keys); err != nil || token.Member("typ") != "at+jwt" || token.Member("alg") != "ES256" {
			t.Errorf("header %v, %v", token.Header, err)
		}
		want := map[string]any{"iss": d.issuer, "aud": d.issuer, "sub": c.ID, "client_id": c.ID, "scope": "client.read",
			"cnf": map[string]any{"jkt": proofKey.Thumbprint()}}
		if diff := cmp.Diff(want, token.Claims, except("iat", "exp", "jti")); diff != "" {
			t.Error(diff)
		}
		iat := wholeSeconds(t, token.Claims["iat"])
		if iat < before || iat > d.clock.now().Unix() || wholeSeconds(t, token.Claims["exp"]) != iat+300 || len(token.Claim("jti")) < 22 {
			t.Errorf("iat %v, exp %v, jti %v", token.Claims["iat"], token.Claims["exp"], token.Claims["jti"])
		}
		ids[token.Claim("jti")] = true
	}
	if len(ids) != 2 {
		t.Error("two tokens share a jti")
	}
}

// wholeSeconds is a NumericDate without a fraction.
func wholeSeconds(t testing.TB, claim any) int64 {
	t.Helper()
	number, ok := claim.(interface{ Int64() (int64, error) })
	if !ok {
		t.Fatalf("%v is no number", claim)
	}
	seconds, err := number.Int64()
	if err != nil {
		t.Fatal(err)
	}
	return seconds
}

// resourcesRefused: CC-14, beside the one resource that there is.
func resourcesRefused(t *testing.T, d *deployment) {
	c := d.register(0)
	distinct := make([]string, 100)
	same := make([]string, 100)
	for i := range distinct {
		distinct[i], same[i] = d.issuer+"/"+strings.Repeat("r", i), d.issuer
	}
	for _, resources := range [][]string{
		{"https://elsewhere.example"}, {d.issuer + "#"}, {d.issuer + "#fragment"}, {d.issuer, d.issuer + "#fragment"},
		{d.issuer, "https://elsewhere.example"}, {d.issuer + "/"}, {strings.ToUpper(d.issuer)}, {"/relative"}, {"not a url"},
		{"%zz"}, {strings.Repeat("r", 40<<10)}, distinct, same, same[:21],
	} {
		grantsNothing(t, c, url.Values{"resource": resources}, "400 invalid_target", oauth.ResourceRefused)
	}
	for _, resources := range [][]string{{d.issuer}, same[:20], {""}} {
		if e := d.expect(c, c.TokenRequest(url.Values{"resource": resources}), "200"); issued(e).Claim("aud") != d.issuer {
			t.Errorf("aud %v", issued(e).Claims["aud"])
		}
	}
}

// manyAtOnce: CC-15, as bursts of what 500 requests a second have in flight. One client's requests all succeed, each spends
// two rows of its own, and none writes or locks the client's row, where they would stand in line.
func manyAtOnce(t *testing.T, d *deployment) {
	const bursts, n = 10, 50
	clients := d.everywhere(d.register(0))
	row := func() string {
		return one[string](t, d, `SELECT concat_ws(' ', ctid, xmin, xmax) FROM client WHERE id = $1`, clients[0].ID)
	}
	before, spent := row(), d.rows(t)["spent"]
	for range bursts {
		got := atOnce(t, n, func(i int) (*flow.Server, *flow.Request) {
			c := clients[i%len(clients)]
			return c.Server, c.TokenRequest(nil)
		})
		if diff := cmp.Diff(map[string]int{"200": n}, got); diff != "" {
			t.Error(diff)
		}
	}
	if used := d.rows(t)["spent"] - spent; used != 2*n*bursts {
		t.Errorf("%d requests spent %d rows", n*bursts, used)
	}
	if after := row(); after != before {
		t.Errorf("the client's row went from %s to %s", before, after)
	}
}
