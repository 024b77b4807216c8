package accesstoken_test

import (
	"crypto"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"authserver/internal/accesstoken"
	"authserver/internal/jose"
	"authserver/internal/oauth"

	oracle "github.com/go-jose/go-jose/v4"
)

// bare is one key of ours with its private side at hand, so that a test can sign what the server never would.
type bare struct {
	t       *testing.T
	private crypto.Signer
	signer  *jose.Signer
}

func newBare(t *testing.T) bare {
	t.Helper()
	private, err := jose.GenerateKey(jose.ES256)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := jose.NewSigner(jose.ES256, "ours", private)
	if err != nil {
		t.Fatal(err)
	}
	return bare{t, private, signer}
}

func (b bare) Sign(_ jose.Alg, typ string, claims any) (string, error) {
	return b.signer.Sign(typ, claims)
}

func (b bare) Key(kid string) *jose.Key {
	if kid == "ours" {
		return b.signer.Key()
	}
	return nil
}

// absent stands for a claim that is left out.
const absent = "absent"

// forge signs any payload under any header, with another library.
func (b bare) forge(payload any, header map[oracle.HeaderKey]any) string {
	b.t.Helper()
	options := &oracle.SignerOptions{ExtraHeaders: header}
	signer, err := oracle.NewSigner(oracle.SigningKey{Algorithm: oracle.ES256, Key: b.private}, options)
	if err != nil {
		b.t.Fatal(err)
	}
	text, err := json.Marshal(payload)
	if err != nil {
		b.t.Fatal(err)
	}
	signed, err := signer.Sign(text)
	if err != nil {
		b.t.Fatal(err)
	}
	compact, err := signed.CompactSerialize()
	if err != nil {
		b.t.Fatal(err)
	}
	return compact
}

// TestForged: nothing else passes for an access token of ours, whoever signed it.
func TestForged(t *testing.T) {
	ours := newBare(t)
	tokens := accesstoken.Tokens{Issuer: issuer, Alg: jose.ES256, Keys: ours}
	good, issued := issue(t, tokens, granted("https://api.example"))
	header := map[oracle.HeaderKey]any{"kid": "ours", "typ": "at+jwt"}
	if _, err := tokens.Recognise(ours.forge(issued, header), now); err != nil {
		t.Fatalf("the forger's own good token is refused: %v", err)
	}
	segments := strings.Split(good, ".")
	encode := base64.RawURLEncoding.EncodeToString
	changed := func(change func(*accesstoken.Token)) string {
		other := issued
		change(&other)
		text, err := json.Marshal(other)
		if err != nil {
			t.Fatal(err)
		}
		return segments[0] + "." + encode(text) + "." + segments[2]
	}
	with := func(name string, value any) string {
		text, err := json.Marshal(issued)
		if err != nil {
			t.Fatal(err)
		}
		claims := map[string]any{}
		if err := json.Unmarshal(text, &claims); err != nil {
			t.Fatal(err)
		}
		if claims[name] = value; value == absent {
			delete(claims, name)
		}
		return ours.forge(claims, header)
	}
	typed := func(typ string) string {
		compact, err := ours.Sign(jose.ES256, typ, issued)
		if err != nil {
			t.Fatal(err)
		}
		return compact
	}
	other := issued
	other.Issuer = "https://other.example"
	foreign, _ := issue(t, accesstoken.Tokens{Issuer: issuer, Alg: jose.ES256, Keys: newBare(t)}, granted("https://api.example"))
	unknown, _ := issue(t, accesstoken.Tokens{Issuer: issuer, Alg: jose.ES256, Keys: newKeys(t)}, granted("https://api.example"))
	for name, compact := range map[string]string{
		"an assertion that our own key signed":   typed("client-authentication+jwt"),
		"a plain JWT that our own key signed":    typed("JWT"),
		"an ID token that our own key signed":    typed(""),
		"a logout token that our own key signed": typed("logout+jwt"),
		"another issuer with our key":            ours.forge(other, header),
		"no kid":                                 ours.forge(issued, map[oracle.HeaderKey]any{"typ": "at+jwt"}),
		"another kid for our key":                ours.forge(issued, map[oracle.HeaderKey]any{"kid": "theirs", "typ": "at+jwt"}),
		"our kid for another key":                foreign,
		"another server's token":                 unknown,
		"another subject":                        changed(func(o *accesstoken.Token) { o.Subject = "somebody" }),
		"a longer life":                          changed(func(o *accesstoken.Token) { o.ExpiresAt++ }),
		"another key":                            changed(func(o *accesstoken.Token) { o.Confirmation.JKT = "another" }),
		"a changed signature":                    segments[0] + "." + segments[1] + "." + strings.Repeat("A", len(segments[2])),
		"no signature":                           segments[0] + "." + segments[1] + ".",
		"alg none":                               encode([]byte(`{"alg":"none","typ":"at+jwt","kid":"ours"}`)) + "." + segments[1] + ".",
		"another alg over our signature":         encode([]byte(`{"alg":"EdDSA","typ":"at+jwt","kid":"ours"}`)) + "." + segments[1] + "." + segments[2],
		"exp that is a string":                   with("exp", fmt.Sprint(issued.ExpiresAt)),
		"exp that is null":                       with("exp", nil),
		"without iss":                            with("iss", absent),
		"exp beyond all integers":                with("exp", 1e300),
		"aud that is a number":                   with("aud", 7),
		"cnf that is a string":                   with("cnf", "jkt"),
		"scope that is a list":                   with("scope", []string{"client.read"}),
		"grant_id that is a number":              with("grant_id", 7),
		"auth_time that is a string":             with("auth_time", "1772366340"),
		"amr that is a string":                   with("amr", "pwd"),
		"longer than 16 KiB":                     with("padding", strings.Repeat("x", 16<<10)),
		"an opaque token":                        "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I",
		"nothing":                                "",
	} {
		got, err := tokens.Recognise(compact, now)
		refused(t, name, err, oauth.TokenMalformed)
		if got.ID != "" || got.Subject != "" {
			t.Errorf("%s: a refused token says %+v", name, got)
		}
		if refusal, ok := err.(*oauth.Error); ok && refusal.Description != "this is no access token of "+issuer {
			t.Errorf("%s: the refusal says %q", name, refusal.Description)
		}
	}
	_, err := tokens.Recognise(with("exp", absent), now)
	refused(t, "without exp", err, oauth.TokenExpired)
}
