package main

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"authserver/internal/flow"
	"authserver/internal/oauth"

	"github.com/google/go-cmp/cmp"
)

const (
	// seed001Details is authorization_details as the document has it.
	seed001Details = `[{"type":"fdx_v1.0","consentRequest":{"durationType":"ONE_TIME","lookbackPeriod":60,"resources":[{"resourceType":"ACCOUNT","dataClusters":["ACCOUNT_DETAILED","TRANSACTIONS","STATEMENTS"]}]}}]`

	// seed001TimeBound is the same consent, for thirty days.
	seed001TimeBound = `[{"type":"fdx_v1.0","consentRequest":{"durationType":"TIME_BOUND","durationPeriod":30,"lookbackPeriod":60,"resources":[{"resourceType":"ACCOUNT","dataClusters":["ACCOUNT_DETAILED","TRANSACTIONS","STATEMENTS"]}]}}]`

	seed001Callback = "https://oauth.pstmn.io/v1/browser-callback"
)

// seed001PKCE is the pair of the Postman environment.
var seed001PKCE = flow.PKCE{
	Verifier:  "fa58936ff9c13a82375f4c4cbd9c7cb152b082b1112b55242c40bab9",
	Challenge: "nZYZ-UOfQc2NsWV7Nkkll19ALM6mrcC7eXVWUMPYpQQ",
}

// form sends a form as Postman does, with an assertion of its own and, where the endpoint wants one, a proof.
func (s *seed001) form(t *testing.T, title, path string, c *flow.Client, proven bool, form url.Values) *flow.Exchange {
	t.Helper()
	form.Set("client_id", c.ID)
	form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
	form.Set("client_assertion", s.postman(t, c))
	header := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	if proven {
		var edits []flow.Edit
		if s.nonce != "" {
			edits = append(edits, flow.SetClaim("nonce", s.nonce))
		}
		header.Set("Dpop", compact(t, c.Proof(http.MethodPost, s.issuer+path, edits...)))
	}
	e := raw(s.golden.t, s.server, http.MethodPost, s.issuer+path, header, form.Encode())
	for member, name := range map[string]string{"request_uri": "request_uri", "refresh_token": "refresh token", "grant_id": "consent"} {
		value, _ := e.JSON()[member].(string)
		s.call(url.QueryEscape(value), name)
		s.call(value, name)
	}
	s.exchange(title, e)
	s.nonce = or(e.ResponseHeader.Get("DPoP-Nonce"), s.nonce)
	return e
}

// push sends the push of the Postman collection: a request object without kid and nbf, and beside it authorization_details,
// which it does not have, and two parameters that mean nothing there.
func (s *seed001) push(t *testing.T, title string, c *flow.Client, details string) (requestURI string) {
	t.Helper()
	now := s.server.Now().Unix()
	s.asked = uuid4()
	object := compact(t, c.RequestObject(url.Values{
		"response_type": {"code"}, "response_mode": {"query"}, "redirect_uri": {seed001Callback}, "state": {"teststate"},
		"nonce": {s.asked}, "scope": {scopeOf(t, seed001Register)},
		"code_challenge": {seed001PKCE.Challenge}, "code_challenge_method": {"S256"},
		"claims": {`{"sharing_duration":31536000}`},
	}, flow.SetHeader("typ", "JWT"), flow.DropClaim("nbf"), flow.SetClaim("iat", now), flow.SetClaim("exp", now+300),
		flow.SetClaim("jti", uuid4())))
	s.call(object, "request object")
	e := s.form(t, title, "/oauth2/par", c, true, url.Values{
		"request": {object}, "authorization_details": {details}, "grant_type": {"client_credentials"}, "response_type": {"code"},
	})
	outcome(t, e, "201")
	requestURI, _ = e.JSON()["request_uri"].(string)
	return requestURI
}

// scopeOf is the scope of a registration.
func scopeOf(t *testing.T, registration string) string {
	t.Helper()
	var m struct{ Scope string }
	if err := json.Unmarshal([]byte(registration), &m); err != nil {
		t.Fatal(err)
	}
	return m.Scope
}

// allow is alex, who shares both accounts; the client is told a code.
func (s *seed001) allow(t *testing.T, c *flow.Client, requestURI string) (code string) {
	t.Helper()
	b := flow.NewBrowser(s.server)
	visit(t, b, c.AuthorizeURL(requestURI))
	if _, err := b.Answer(t.Context(), alex, flow.Approve); err != nil {
		t.Fatal(err)
	}
	last := b.Exchanges[len(b.Exchanges)-1]
	answer, err := flow.ReadReturn(b.Page.Location, seed001Callback)
	if err != nil || answer.Get("state") != "teststate" {
		t.Fatal(err, answer)
	}
	s.call(answer.Get("code"), "code")
	location, err := url.Parse(last.ResponseHeader.Get("Location"))
	if err != nil {
		t.Fatal(err)
	}
	s.text.WriteString("\n== the person signs in as alex, shares both accounts and presses Allow; the browser is sent to\n\n" +
		location.Scheme + "://" + location.Host + location.Path + "\n    " + strings.ReplaceAll(location.RawQuery, "&", "\n    &") + "\n")
	return answer.Get("code")
}

// redeem redeems a code as Postman does.
func (s *seed001) redeem(t *testing.T, c *flow.Client, code string) *flow.Exchange {
	t.Helper()
	e := s.form(t, "redeem the code", "/oauth2/token", c, true, url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "code_verifier": {seed001PKCE.Verifier}, "redirect_uri": {seed001Callback}})
	outcome(t, e, "200")
	encrypted, _ := e.JSON()["id_token"].(string)
	idToken, err := flow.Decode(s.decrypt(encrypted))
	if err != nil || idToken.Claim("nonce") != s.asked {
		t.Errorf("the ID token has the nonce %q, want %q (%v)", idToken.Claim("nonce"), s.asked, err)
	}
	return e
}

// introspects wants a token to say what the response said that it came with.
func (s *seed001) introspects(t *testing.T, c *flow.Client, response *flow.Exchange) {
	t.Helper()
	token, _ := response.JSON()["access_token"].(string)
	e := s.form(t, "introspect the access token", "/oauth2/introspect", c, false, url.Values{"token": {token}, "token_type_hint": {"access_token"}})
	outcome(t, e, "200")
	says, want := e.JSON(), response.JSON()
	if diff := cmp.Diff(want["authorization_details"], says["authorization_details"]); diff != "" || says["active"] != true ||
		says["fdxConsentId"] != want["grant_id"] || says["scope"] != want["scope"] {
		t.Errorf("the token says (-response +introspection):\n%s%s", diff, e.ResponseBody)
	}
}

func TestGoldenSeed001Consent(t *testing.T) {
	s := newSeed001(t, "seed-001-consent", `
		The consent of the FDX document: its authorization_details and its PKCE pair, pushed by a client that signs like the
		document's Postman collection and asks for every scope that it is registered for. As in the collection, the
		authorization_details stand beside a request object that has everything else, without kid and without nbf. jwks_uri
		names a TLS host on the test's own machine, and each request has the DPoP proof that the document does without.`)
	c := s.consented(t)
	granted := s.redeem(t, c, s.allow(t, c, s.push(t, "push the document's request", c, seed001Details)))
	if _, refreshes := granted.JSON()["refresh_token"]; refreshes {
		t.Error("a ONE_TIME consent has a refresh token")
	}
	s.introspects(t, c, granted)
	s.finish()
}

func TestGoldenSeed001Refresh(t *testing.T) {
	s := newSeed001(t, "seed-001-refresh", `
		A TIME_BOUND consent of the client of the FDX document: redeemed, refreshed as its Postman collection does it (with a
		redirect_uri, which nobody asked for), looked at, and ended by the client. What was given for it is dead then.`)
	c := s.consented(t)
	granted := s.redeem(t, c, s.allow(t, c, s.push(t, "push a request for thirty days", c, seed001TimeBound)))
	refresh, _ := granted.JSON()["refresh_token"].(string)
	again := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refresh}, "redirect_uri": {seed001Callback}}
	refreshed := s.form(t, "refresh", "/oauth2/token", c, true, again)
	outcome(t, refreshed, "200")
	if diff := cmp.Diff(granted.JSON()["authorization_details"], refreshed.JSON()["authorization_details"]); diff != "" ||
		refreshed.JSON()["refresh_token"] != refresh || refreshed.JSON()["grant_id"] != granted.JSON()["grant_id"] {
		t.Errorf("refreshed: %s", refreshed.ResponseBody)
	}
	s.introspects(t, c, refreshed)

	token, _ := refreshed.JSON()["access_token"].(string)
	id, _ := granted.JSON()["grant_id"].(string)
	present := func(title, method, path, body string) *flow.Exchange {
		target := s.issuer + "/fdx/v6/consents/" + id + path
		proof := compact(t, c.Proof(method, target, flow.ForToken(token), flow.SetClaim("nonce", s.nonce)))
		return s.json(title, method, target, body, http.Header{"Authorization": {"DPoP " + token}, "Dpop": {proof}})
	}
	outcome(t, present("look at the consent", http.MethodGet, "", ""), "200")
	ended := present("end it", http.MethodPut, "/revocation", `{"reason":"USER_ACTION","initiator":"DATA_RECIPIENT"}`)
	outcome(t, ended, "204")
	refusedFor(t, s.form(t, "refresh once more", "/oauth2/token", c, true, again), "400 invalid_grant", oauth.RefreshTokenUnknown)
	dead := s.form(t, "introspect the access token once more", "/oauth2/introspect", c, false, url.Values{"token": {token}})
	if outcome(t, dead, "200"); dead.JSON()["active"] != false || len(dead.JSON()) != 1 {
		t.Error(dead.ResponseBody)
	}
	s.finish()
}

// consented is the document's client, and a first nonce for it.
func (s *seed001) consented(t *testing.T) *flow.Client {
	t.Helper()
	c := s.register(t)
	s.call(c.DPoPKey.Thumbprint(), "the DPoP key's thumbprint")
	s.call(c.DPoPKey.PublicJWK().X, "x")
	s.call(c.DPoPKey.PublicJWK().Y, "y")
	s.call(one[string](t, s.deployment, `SELECT subject FROM person WHERE username = $1`, alex.Username), "alex' subject")
	challenged := s.form(t, "a first request, to learn the nonce", "/oauth2/token", c, true, url.Values{"grant_type": {"client_credentials"}})
	outcome(t, challenged, "400 use_dpop_nonce")
	return c
}
