package main

import (
	"crypto"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"authserver/internal/accesstoken"
	"authserver/internal/client"
	"authserver/internal/flow"
	"authserver/internal/oauth"
)

// seed000 is what the first seed prints: a guide to the client credentials flow with private_key_jwt and DPoP, whose keys
// are published samples.
type seed000 struct {
	Issuer        string
	TokenEndpoint string          `json:"token_endpoint"`
	ClientID      string          `json:"client_id"`
	Scope         string          `json:"scope"`
	PrivateKey    string          `json:"auth_private_key_pem"`
	PublicJWK     json.RawMessage `json:"auth_public_jwk"`
	DPoPKey       json.RawMessage `json:"dpop_jwk_private"`
	Proof         string          `json:"dpop_proof_token_request"`
	Assertion     string          `json:"client_assertion"`
	AccessToken   string          `json:"access_token"`
	ResourceProof string          `json:"dpop_proof_resource_request"`
}

// The moments at which the guide's JWTs were made. They do not belong to one request: the proof is sixteen hours older.
const (
	seedProofTime    = 1760028605
	seedAssertTime   = 1760087957
	seedResourceTime = 1760099966

	// seedThumbprint is the RFC 7638 thumbprint of the guide's DPoP key. The cnf.jkt in its access token is another one.
	seedThumbprint      = "7xwyqRziWGktjyBbPC5j4WxsqowZo62GXLTQJqcmjxI"
	seedTokenThumbprint = "tQzNVvVg1x99n8i-kGfFfBztLcaqFS2_nb9bQkl-Fqk"
	seedResource        = "https://sandbox.api.mastercard.com/service/resource/86869f92"
)

func readSeed000(t *testing.T) seed000 {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "seed-000.json"))
	if err != nil {
		t.Fatal(err)
	}
	var s seed000
	if err := json.Unmarshal(text, &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// deploy starts the guide's issuer over TLS, with the guide's client registered by the operator.
func (s seed000) deploy(t *testing.T, edit func(*settings)) *deployment {
	t.Helper()
	d := deploy(t, 1, func(set *settings) {
		set.Issuer, set.Scopes = s.Issuer, s.Scope
		if edit != nil {
			edit(set)
		}
	})
	c := client.Client{ID: s.ClientID, IssuedAt: d.clock.now(), RegistrationTokenHash: oauth.NewSecret().Hash(), Metadata: client.Metadata{
		GrantTypes: []string{"client_credentials"}, ResponseTypes: []string{}, Scope: s.Scope,
		TokenEndpointAuthMethod: client.PrivateKeyJWT, JWKS: json.RawMessage(`{"keys":[` + string(s.PublicJWK) + `]}`),
	}}
	if added, err := d.store.AddClient(t.Context(), c); err != nil || !added {
		t.Fatal(added, err)
	}
	return d
}

// client is the guide's client, with its printed keys.
func (s seed000) client(t *testing.T, server *flow.Server) *flow.Client {
	t.Helper()
	block, _ := pem.Decode([]byte(s.PrivateKey))
	private, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	var public struct{ Kid string }
	if err := json.Unmarshal(s.PublicJWK, &public); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "dpop.jwk.json")
	if err := os.WriteFile(path, s.DPoPKey, 0o600); err != nil {
		t.Fatal(err)
	}
	proofKey, err := flow.ReadKeyFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if proofKey.Thumbprint() != seedThumbprint {
		t.Fatalf("the printed key's thumbprint is %s", proofKey.Thumbprint())
	}
	return &flow.Client{Server: server, ID: s.ClientID, DPoPKey: proofKey,
		Key: &flow.Key{ID: public.Kid, Alg: "PS256", Signer: private.(crypto.Signer)}}
}

// assertion and proof are made as the guide makes them: nbf two minutes back, exp two minutes ahead.
func (s seed000) assertion(t *testing.T, c *flow.Client) string {
	now := c.Server.Now().Unix()
	return compact(t, c.Assertion(flow.SetClaim("iat", now), flow.SetClaim("exp", now+120), flow.SetClaim("nbf", now-120)))
}

func (s seed000) proof(t *testing.T, c *flow.Client, nonce string) string {
	now := c.Server.Now().Unix()
	edits := []flow.Edit{flow.SetClaim("iat", now), flow.SetClaim("exp", now+120)}
	if nonce != "" {
		edits = append(edits, flow.SetClaim("nonce", nonce))
	}
	return compact(t, c.Proof(http.MethodPost, s.TokenEndpoint, edits...))
}

// request is the guide's curl command, byte by byte.
func (s seed000) request(t *testing.T, server *flow.Server, assertion, proof string) *flow.Exchange {
	t.Helper()
	escape := func(v string) string { return strings.ReplaceAll(url.QueryEscape(v), "+", "%20") }
	body := "client_id=" + escape(s.ClientID) + "&grant_type=client_credentials&scope=" + escape(s.Scope) +
		"&client_assertion_type=" + escape("urn:ietf:params:oauth:client-assertion-type:jwt-bearer") + "&client_assertion=" + escape(assertion)
	return raw(t, server, http.MethodPost, s.TokenEndpoint,
		http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Dpop": {proof}}, body)
}

func TestGoldenSeed000Token(t *testing.T) {
	s := readSeed000(t)
	d := s.deploy(t, nil)
	server := d.server(0)
	c := s.client(t, server)
	g := newGolden(t, "seed-000-token", `
		The guide's token request, as its curl command sends it, with assertion and proof made now by the guide's keys.
		The issuer, the client_id, the key and the scopes are the guide's; the server runs under the guide's name over TLS.`)
	assertion := s.assertion(t, c)
	challenged := s.request(t, server, assertion, s.proof(t, c, ""))
	outcome(t, challenged, "400 use_dpop_nonce")
	g.exchange("the first request has no nonce yet", challenged)
	nonce := challenged.ResponseHeader.Get("DPoP-Nonce")
	granted := s.request(t, server, assertion, s.proof(t, c, nonce))
	outcome(t, granted, "200")
	token, err := flow.Decode(granted.JSON()["access_token"].(string))
	if err != nil {
		t.Fatal(err)
	}
	keys, err := server.Keys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := token.Verify(keys); err != nil || flow.Confirmation(token.Claims) != seedThumbprint || granted.JSON()["scope"] != s.Scope {
		t.Errorf("signature %v, cnf.jkt %s, scope %v", err, flow.Confirmation(token.Claims), granted.JSON()["scope"])
	}
	g.exchange("the same assertion with a new proof that bears the nonce", granted)
	again := s.request(t, server, assertion, s.proof(t, c, nonce))
	refusedFor(t, again, "401 invalid_client", oauth.AssertionReplayed)
	g.exchange("the same assertion a third time", again)
	g.finish()
}

func TestGoldenSeed000Printed(t *testing.T) {
	s := readSeed000(t)
	d := s.deploy(t, nil)
	server := d.server(0)
	c := s.client(t, server)
	g := newGolden(t, "seed-000-printed", `
		The assertion and the proof that the guide prints. They were made sixteen hours apart and never belonged to one
		request, so each is also shown with a fresh counterpart, and with the server's clock set to the guide's time.`)
	g.printed = map[string]string{s.Assertion: "assertion", s.Proof: "proof"}
	show := func(title, want string, reason oauth.Reason, assertion, proof string) {
		t.Helper()
		e := s.request(t, server, assertion, proof)
		outcome(t, e, want)
		if reason != "" && reasonOf(e) != reason {
			t.Errorf("%s: %s", title, reasonOf(e))
		}
		g.exchange(title, e)
	}
	show("both, today: the assertion has expired", "401 invalid_client", oauth.AssertionExpired, s.Assertion, s.Proof)
	show("a fresh assertion with the printed proof, today: the proof is stale", "400 invalid_dpop_proof", oauth.ProofStale, s.assertion(t, c), s.Proof)

	d.clock.set(time.Unix(seedAssertTime+3, 0))
	nonce := s.request(t, server, s.Assertion, s.proof(t, c, "")).ResponseHeader.Get("DPoP-Nonce")
	show("the clock at the assertion's time: it is accepted, with a fresh proof", "200", "", s.Assertion, s.proof(t, c, nonce))
	show("and only once", "401 invalid_client", oauth.AssertionReplayed, s.Assertion, s.proof(t, c, nonce))

	d.clock.set(time.Unix(seedProofTime+3, 0))
	show("the clock at the proof's time: its nonce is the other server's, so ours is asked for", "400 use_dpop_nonce", oauth.NonceUnknown, s.assertion(t, c), s.Proof)

	d = s.deploy(t, func(set *settings) { set.DPoPNonce = "off" })
	d.clock.set(time.Unix(seedProofTime+3, 0))
	server = d.server(0)
	c = s.client(t, server)
	show("a server that asks for no nonce (dpop-nonce: off), at the proof's time: it is accepted", "200", "", s.assertion(t, c), s.Proof)
	show("and only once", "400 invalid_dpop_proof", oauth.ProofReplayed, s.assertion(t, c), s.Proof)
	g.finish()
}

// The guide prints an access token and a resource proof that do not belong together: the proof's key is not the one of
// cnf.jkt. The token's issuer key is not published, so that the pair falls at the token already; a token of ours with the
// same cnf.jkt shows that it would fall at the key.
func TestSeed000ResourcePair(t *testing.T) {
	s := readSeed000(t)
	d := s.deploy(t, func(set *settings) { set.DPoPNonce = "off" })
	d.clock.set(time.Unix(seedResourceTime+3, 0))
	c := s.client(t, d.server(0))
	guard := d.replicas[0].guard
	resource := oauth.Pages{Base: d.issuer}.Serve(func(w http.ResponseWriter, r *http.Request) error {
		_, err := guard.Admit(r, d.clock.now())
		return err
	})
	call := func(token, proof string) (int, string) {
		r := httptest.NewRequest(http.MethodGet, seedResource, nil)
		r.Header = http.Header{"Authorization": {"DPoP " + token}, "Dpop": {proof}}
		w := httptest.NewRecorder()
		resource.ServeHTTP(w, r)
		return w.Code, w.Header().Get("WWW-Authenticate") + w.Body.String()
	}
	if status, said := call(s.AccessToken, s.ResourceProof); status != http.StatusUnauthorized || !strings.Contains(said, string(oauth.TokenMalformed)) {
		t.Errorf("the printed pair: %d %s", status, said)
	}
	issue := func(thumbprint string) string {
		token, _, err := guard.Tokens.Issue(accesstoken.Token{Subject: s.ClientID, ClientID: s.ClientID, Audience: []string{s.Issuer},
			Scope: s.Scope, Confirmation: accesstoken.Confirmation{JKT: thumbprint}}, time.Minute, d.clock.now())
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	for thumbprint, want := range map[string]oauth.Reason{seedTokenThumbprint: oauth.TokenKey, seedThumbprint: ""} {
		token := issue(thumbprint)
		status, said := call(token, compact(t, c.Proof(http.MethodGet, seedResource, flow.ForToken(token))))
		if want == "" && status != http.StatusOK || want != "" && (status != http.StatusUnauthorized || !strings.Contains(said, string(want))) {
			t.Errorf("cnf.jkt %s: %d %s", thumbprint, status, said)
		}
		if status, said := call(token, s.ResourceProof); status != http.StatusUnauthorized || !strings.Contains(said, string(oauth.ProofTokenHash)) {
			t.Errorf("the printed proof with a token of ours: %d %s", status, said)
		}
	}
}
