package idtoken

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"authserver/internal/client"
	"authserver/internal/grant"
	"authserver/internal/jose"

	oracle "github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"
)

const (
	issuer      = "https://issuer.example"
	accessToken = "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y" // vectors.md, 10
)

// now is no whole second: the times in a token are.
var now = time.Date(2026, 3, 1, 12, 0, 0, 900_000_000, time.UTC)

// ring is the signing keys of a server, and an envelope that seals with one of them.
type ring map[string]*jose.Signer

func newRing(t *testing.T) ring {
	t.Helper()
	r := ring{}
	for _, alg := range []jose.Alg{jose.PS256, jose.ES256, jose.EdDSA} {
		r["k-"+string(alg)] = newSigner(t, alg, "k-"+string(alg))
	}
	return r
}

func newSigner(t *testing.T, alg jose.Alg, kid string) *jose.Signer {
	t.Helper()
	key, err := jose.GenerateKey(alg)
	if err != nil {
		t.Fatal(err)
	}
	s, err := jose.NewSigner(alg, kid, key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (r ring) Key(kid string) *jose.Key {
	if signer, ours := r[kid]; ours {
		return signer.Key()
	}
	return nil
}

// of is the client that registered an algorithm; "": it named none.
func of(alg jose.Alg) client.Client {
	c := client.Client{ID: "c1"}
	c.Metadata.IDTokenSignedResponseAlg = string(alg)
	return c
}

// allowed is what alex has allowed.
func allowed() grant.Grant {
	return grant.Grant{ID: "grant 1", ClientID: "c1", Subject: "_alex", Scope: "openid", AuthTime: now.Add(-time.Hour),
		ACR: "urn:example:acr", AMR: []string{"pwd", "otp"}, SessionID: "session 1"}
}

// TestIssue (IDT-02, IDT-04): an ID token is what OpenID Connect Core §2 says, member by member, for a reader that knows
// nothing of us. What is not known stands nowhere.
func TestIssue(t *testing.T) {
	keys := newRing(t)
	tokens := Tokens{Issuer: issuer, Keys: keys}
	for _, test := range []struct {
		registered, signs jose.Alg
		atHash            string
	}{
		{"", jose.PS256, "77QmUPtjPfzWtF2AnpK9RQ"},
		{jose.PS256, jose.PS256, "77QmUPtjPfzWtF2AnpK9RQ"},
		{jose.ES256, jose.ES256, "77QmUPtjPfzWtF2AnpK9RQ"},
		{jose.EdDSA, jose.EdDSA, "q7nS86GgvvFaZkzALLWqJYaJIKw2wCDAVfCAsm5CrBM"},
	} {
		envelope := keys["k-"+string(test.signs)]
		compact, err := tokens.Issue(signed{envelope}, of(test.registered), allowed(), "n-0S6_WzA2Mj", accessToken, now)
		if err != nil {
			t.Fatal(err)
		}
		header, claims := read(t, keys, compact)
		wantHeader := map[string]any{"typ": "JWT", "kid": "k-" + string(test.signs), "alg": string(test.signs)}
		if diff := cmp.Diff(wantHeader, header); diff != "" {
			t.Errorf("%s: the header (-want +got):\n%s", test.registered, diff)
		}
		want := map[string]any{
			"iss": issuer, "sub": "_alex", "aud": "c1", "iat": 1_772_366_400., "exp": 1_772_366_700., "auth_time": 1_772_362_800.,
			"nonce": "n-0S6_WzA2Mj", "acr": "urn:example:acr", "amr": []any{"pwd", "otp"}, "sid": "session 1",
			"at_hash": test.atHash,
		}
		if diff := cmp.Diff(want, claims); diff != "" {
			t.Errorf("%s: the claims (-want +got):\n%s", test.registered, diff)
		}
		for _, name := range Names() {
			delete(claims, name)
		}
		if len(claims) > 0 {
			t.Errorf("the metadata does not name %v", claims)
		}
	}
	bare := allowed()
	bare.ACR, bare.AMR, bare.SessionID = "", []string{}, ""
	compact, err := tokens.Issue(signed{keys["k-PS256"]}, of(""), bare, "", accessToken, now)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"nonce", "acr", "amr", "sid"} {
		if _, claims := read(t, keys, compact); claims[name] != nil {
			t.Errorf("%s is %v", name, claims[name])
		}
	}
}

// signed is an envelope that encrypts nothing.
type signed struct{ *jose.Signer }

func (s signed) Seal(typ string, claims any) (string, error) { return s.Sign(typ, claims) }

// read verifies a token with another library.
func read(t *testing.T, keys ring, compact string) (header, claims map[string]any) {
	t.Helper()
	jws, err := oracle.ParseSignedCompact(compact, []oracle.SignatureAlgorithm{oracle.PS256, oracle.ES256, oracle.EdDSA})
	if err != nil {
		t.Fatal(err)
	}
	public, err := json.Marshal(keys.Key(jws.Signatures[0].Header.KeyID))
	var jwk oracle.JSONWebKey
	if err != nil || json.Unmarshal(public, &jwk) != nil {
		t.Fatal(err, string(public))
	}
	payload, err := jws.Verify(jwk)
	if err != nil {
		t.Fatal(err)
	}
	protected, _, _ := strings.Cut(compact, ".")
	text, err := base64.RawURLEncoding.DecodeString(protected)
	if err != nil || json.Unmarshal(text, &header) != nil || json.Unmarshal(payload, &claims) != nil {
		t.Fatal(err)
	}
	return header, claims
}

// TestRecognise: an ID token that comes back says to whom it was given and about whom, however long ago it expired.
func TestRecognise(t *testing.T) {
	keys := newRing(t)
	tokens := Tokens{Issuer: issuer, Keys: keys}
	for kid := range keys {
		compact, err := tokens.Issue(signed{keys[kid]}, of(""), allowed(), "n", accessToken, now.AddDate(-1, 0, 0))
		if err != nil {
			t.Fatal(err)
		}
		c, err := tokens.Recognise(compact)
		if c.Subject != "_alex" || c.Audience != "c1" || c.SessionID != "session 1" || err != nil {
			t.Errorf("%s: %+v, %v", kid, c, err)
		}
	}
}

// TestRecogniseNot (CRY-04): whatever else this server signs, or anybody, is no ID token.
func TestRecogniseNot(t *testing.T) {
	keys, others := newRing(t), newRing(t)
	tokens := Tokens{Issuer: issuer, Keys: keys}
	claims := func(edit func(map[string]any)) map[string]any {
		c := map[string]any{"iss": issuer, "sub": "_alex", "aud": "c1", "exp": 2, "iat": 1, "auth_time": 1}
		edit(c)
		return c
	}
	none := func(map[string]any) {}
	without := func(name string) func(map[string]any) {
		return func(c map[string]any) { delete(c, name) }
	}
	for name, test := range map[string]struct {
		signer *jose.Signer
		typ    string
		claims map[string]any
	}{
		"an access token":                 {keys["k-ES256"], "at+jwt", claims(none)},
		"an introspection's answer":       {keys["k-PS256"], "token-introspection+jwt", claims(none)},
		"no typ":                          {keys["k-PS256"], "", claims(none)},
		"userinfo's answer":               {keys["k-PS256"], "JWT", map[string]any{"iss": issuer, "sub": "_alex", "aud": "c1"}},
		"an authorization response":       {keys["k-PS256"], "JWT", map[string]any{"iss": issuer, "aud": "c1", "exp": 2, "iat": 1, "code": "c"}},
		"no sub":                          {keys["k-PS256"], "JWT", claims(without("sub"))},
		"no aud":                          {keys["k-PS256"], "JWT", claims(without("aud"))},
		"no exp":                          {keys["k-PS256"], "JWT", claims(without("exp"))},
		"no auth_time":                    {keys["k-PS256"], "JWT", claims(without("auth_time"))},
		"no iss":                          {keys["k-PS256"], "JWT", claims(without("iss"))},
		"two audiences":                   {keys["k-PS256"], "JWT", claims(func(c map[string]any) { c["aud"] = []string{"c1", "c2"} })},
		"a sub that is none":              {keys["k-PS256"], "JWT", claims(func(c map[string]any) { c["sub"] = nil })},
		"a sid that is none":              {keys["k-PS256"], "JWT", claims(func(c map[string]any) { c["sid"] = 1 })},
		"another issuer with our key":     {keys["k-PS256"], "JWT", claims(func(c map[string]any) { c["iss"] = issuer + "/" })},
		"another key of our key's name":   {others["k-PS256"], "JWT", claims(none)},
		"a key that is published no more": {newSigner(t, jose.ES256, "retired"), "JWT", claims(none)},
	} {
		compact, err := test.signer.Sign(test.typ, test.claims)
		if err != nil {
			t.Fatal(err)
		}
		if c, err := tokens.Recognise(compact); err == nil {
			t.Errorf("%s: %+v", name, c)
		}
	}
	good, err := keys["k-ES256"].Sign("JWT", claims(none))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tokens.Recognise(good); err != nil {
		t.Errorf("what the others differ from: %v", err)
	}
	parts := strings.Split(good, ".")
	for name, compact := range map[string]string{
		"nothing": "", "no JWT": "alex", "no signature": parts[0] + "." + parts[1] + ".",
		"an encrypted one": strings.Join([]string{parts[0], parts[1], parts[2], parts[1], parts[2]}, "."),
		"alg none":         base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"JWT"}`)) + "." + parts[1] + ".",
		"a long one":       good + strings.Repeat("A", maxHint),
	} {
		if c, err := tokens.Recognise(compact); err == nil {
			t.Errorf("%s: %+v", name, c)
		}
	}
}
