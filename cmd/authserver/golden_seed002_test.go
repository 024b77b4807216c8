package main

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"authserver/internal/client"
	"authserver/internal/flow"
	"authserver/internal/issuer"
	"authserver/internal/oauth"
	"authserver/internal/token"
)

// seed002 is what the third seed prints: a guide to the JWT bearer flow, whose key is a published sample. Its words for
// issuer, audience and subject stand here as the values themselves.
type seed002 struct {
	Issuer     string
	Kid        string
	Audience   string
	Subject    string
	PrivateKey string `json:"private_key_pem"`
	Assertion  string // that the guide prints; its iss is another than that of the program which makes it
}

const (
	seed002Time    = 1636033186 // the iat of the printed assertion
	seed002Printed = "your_issuer_id"
)

func readSeed002(t *testing.T) seed002 {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "seed-002.json"))
	if err != nil {
		t.Fatal(err)
	}
	var s seed002
	if err := json.Unmarshal(text, &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// key is the printed key, as the program of the guide reads it.
func (s seed002) key(t *testing.T) *flow.Key {
	t.Helper()
	block, _ := pem.Decode([]byte(s.PrivateKey))
	private, err := x509.ParseECPrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return &flow.Key{ID: s.Kid, Alg: "ES256", Signer: private}
}

// deploy starts a server that trusts the issuers of the guide, in its shape: the operator has the public key and its kid, no
// client proves itself, and the tokens are Bearer tokens.
func (s seed002) deploy(t *testing.T) *deployment {
	t.Helper()
	d := deploy(t, 1, func(set *settings) { set.Scopes = "payments" })
	jwks, err := json.Marshal(map[string]any{"keys": []any{s.key(t).PublicJWK()}})
	if err != nil {
		t.Fatal(err)
	}
	tenant := client.Client{ID: "tenant", IssuedAt: d.clock.now(), RegistrationTokenHash: oauth.NewSecret().Hash(), Metadata: client.Metadata{
		GrantTypes: []string{token.JWTBearer}, ResponseTypes: []string{}, Scope: "payments",
		TokenEndpointAuthMethod: client.PrivateKeyJWT, JWKS: jwks,
	}}
	if added, err := d.store.AddClient(t.Context(), tenant); err != nil || !added {
		t.Fatal(added, err)
	}
	var trusted []issuer.Issuer
	for name, says := range map[string][2]string{
		s.Issuer: {s.Audience, s.Subject}, seed002Printed: {s.Audience, s.Subject}, "d1": {"stg", "MGW_ID"},
	} {
		i := issuer.New(name)
		i.JWKS, i.Clients, i.Scopes = jwks, []string{"tenant"}, oauth.Scope{"payments"}
		i.Audiences, i.Subjects = []string{says[0]}, []string{says[1]}
		i.RequireClientAuthentication, i.RequireBinding = false, false
		trusted = append(trusted, i)
	}
	if _, err := d.store.AddIssuers(t.Context(), trusted, false, d.clock.now()); err != nil {
		t.Fatal(err)
	}
	return d
}

// assertion is what the program of the guide signs, member by member: iat, and exp three minutes later.
func (s seed002) assertion(t *testing.T, header string, exp time.Duration, at time.Time) string {
	t.Helper()
	payload := fmt.Sprintf(`{"iat":%d,"iss":%q,"aud":%q,"exp":%d,"sub":%q}`, at.Unix(), s.Issuer, s.Audience, at.Add(exp).Unix(), s.Subject)
	return s.sign(t, header, payload)
}

func (s seed002) sign(t *testing.T, header, payload string) string {
	t.Helper()
	compact, err := flow.SignBytes(s.key(t), "ES256", []byte(header), []byte(payload))
	if err != nil {
		t.Fatal(err)
	}
	return compact
}

// form and body are the two ways in which the guide's API takes the request.
func (s seed002) form(t *testing.T, server *flow.Server, assertion string) *flow.Exchange {
	t.Helper()
	form := "grant_type=" + url.QueryEscape(token.JWTBearer) + "&assertion=" + assertion
	return raw(t, server, http.MethodPost, server.Metadata.TokenEndpoint, http.Header{"Content-Type": {formType}}, form)
}

func (s seed002) body(t *testing.T, server *flow.Server, assertion string) *flow.Exchange {
	t.Helper()
	body := `{"grant_type":"` + token.JWTBearer + `","assertion":"` + assertion + `"}`
	return raw(t, server, http.MethodPost, server.Metadata.TokenEndpoint, http.Header{"Content-Type": {"application/json"}}, body)
}

func TestGoldenSeed002Token(t *testing.T) {
	s := readSeed002(t)
	d := s.deploy(t)
	server := d.server(0)
	now := d.clock.now()
	g := newGolden(t, "seed-002-token", `
		The guide's token request: an assertion alone, made now by the guide's program with the guide's key, and sent as a form
		and as JSON. The issuer, the audience, the kid and the subject are the guide's; the operator has recorded them, and that
		neither client authentication nor proof of possession is demanded.`)
	header := `{"alg":"ES256","kid":"` + s.Kid + `"}`
	first := s.assertion(t, header, 3*time.Minute, now)
	show := func(title, want string, reason oauth.Reason, e *flow.Exchange) {
		t.Helper()
		if outcome(t, e, want); reason != "" && reasonOf(e) != reason {
			t.Errorf("%s: %s", title, reasonOf(e))
		}
		g.exchange(title, e)
	}
	granted := s.form(t, server, first)
	show("the program's assertion, as a form", "200", "", granted)
	show("the same assertion again", "400 invalid_grant", oauth.AssertionGrantReplayed, s.form(t, server, first))
	show("another that says the same, as JSON", "200", "", s.body(t, server, s.assertion(t, header, 3*time.Minute, now)))
	example := fmt.Sprintf(`{"iss":"d1","sub":"MGW_ID","exp":%d,"aud":"stg"}`, now.Add(3*time.Minute).Unix())
	show("the guide's example of header and payload", "200", "",
		s.form(t, server, s.sign(t, `{"alg":"ES256","typ":"JWT","kid":"`+s.Kid+`"}`, example)))
	show("exp beyond the guide's 15 minutes", "400 invalid_grant", oauth.AssertionGrantLifetime,
		s.form(t, server, s.assertion(t, header, 16*time.Minute, now)))
	show("without the mandatory kid", "400 invalid_grant", oauth.AssertionGrantKid,
		s.form(t, server, s.assertion(t, `{"alg":"ES256"}`, 3*time.Minute, now)))
	g.finish()

	says := issued(granted)
	if says.Claims["sub"] != s.Subject || says.Claims["client_id"] != "tenant" || flow.Lifetime(says.Claims) != 900 || says.Claims["cnf"] != nil {
		t.Errorf("%v", says.Claims)
	}
}

func TestGoldenSeed002Printed(t *testing.T) {
	s := readSeed002(t)
	d := s.deploy(t)
	server := d.server(0)
	g := newGolden(t, "seed-002-printed", `
		The assertion that the guide prints as the output of its program, today and with the server's clock set to the guide's
		time.`)
	g.printed = map[string]string{s.Assertion: "assertion"}
	e := s.form(t, server, s.Assertion)
	refusedFor(t, e, "400 invalid_grant", oauth.AssertionGrantExpired)
	g.exchange("today it has expired", e)
	d.clock.set(time.Unix(seed002Time+3, 0))
	e = s.form(t, server, s.Assertion)
	outcome(t, e, "200")
	g.exchange("the clock at the assertion's time", e)
	e = s.form(t, server, s.Assertion)
	refusedFor(t, e, "400 invalid_grant", oauth.AssertionGrantReplayed)
	g.exchange("and only once", e)
	g.finish()
}
