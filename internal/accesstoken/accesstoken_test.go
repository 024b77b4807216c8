package accesstoken_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"authserver/internal/accesstoken"
	"authserver/internal/jose"
	"authserver/internal/keys"
	"authserver/internal/oauth"
	"authserver/internal/replay"

	oracle "github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"
)

const (
	issuer   = "https://issuer.example"
	lifetime = 5 * time.Minute
)

// now is no whole second: the times in a token are.
var now = time.Date(2026, 3, 1, 12, 0, 0, 900_000_000, time.UTC)

// memory is a database with room for one server's keys.
type memory struct{ rows []keys.Sealed }

func (m *memory) ChangeSigningKeys(_ context.Context, change func([]keys.Sealed) (keys.Changes, error)) error {
	c, err := change(m.rows)
	m.rows = append(m.rows, c.Put...)
	return err
}

func (m *memory) SigningKeys(context.Context) ([]keys.Sealed, error) { return m.rows, nil }

// newKeys are the signing keys of a server of its own.
func newKeys(t *testing.T) *keys.Ring {
	t.Helper()
	set, err := keys.Open(t.Context(), &memory{}, keys.EncryptionKeys{make([]byte, 32)}, func() time.Time { return now }, jose.ES256, jose.PS256)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// granted is what the token endpoint hands over to be issued.
func granted(audience ...string) accesstoken.Token {
	return accesstoken.Token{
		Subject: "client-1", ClientID: "client-1", Audience: audience, Scope: "fdx:accountbasic:read client.read",
		Confirmation: accesstoken.Confirmation{JKT: "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"},
	}
}

// ofPerson is what it hands over for a person's grant.
func ofPerson() accesstoken.Token {
	g := granted("https://api.example")
	g.Subject, g.GrantID, g.AuthTime, g.ACR, g.AMR = "_alex", "grant 1", 1_772_366_340, "urn:example:acr", []string{"pwd"}
	return g
}

func issue(t *testing.T, tokens accesstoken.Tokens, g accesstoken.Token) (string, accesstoken.Token) {
	t.Helper()
	compact, issued, err := tokens.Issue(g, lifetime, now)
	if err != nil {
		t.Fatal(err)
	}
	return compact, issued
}

// TestClaims (CC-12): a token is what RFC 9068 §2 says, member by member, for a reader that knows nothing of us.
func TestClaims(t *testing.T) {
	set := newKeys(t)
	for name, test := range map[string]struct {
		alg      jose.Alg
		granted  accesstoken.Token
		audience any
		scope    any // nil: there is no such member
	}{
		"one audience":      {jose.ES256, granted("https://api.example"), "https://api.example", "fdx:accountbasic:read client.read"},
		"several audiences": {jose.ES256, granted("https://a.example", "https://b.example"), []any{"https://a.example", "https://b.example"}, "fdx:accountbasic:read client.read"},
		"AT-05 a person's":  {jose.ES256, ofPerson(), "https://api.example", "fdx:accountbasic:read client.read"},
		"PS256":             {jose.PS256, granted("https://api.example"), "https://api.example", "fdx:accountbasic:read client.read"},
		"without scope": {jose.ES256, func() accesstoken.Token { g := granted("https://api.example"); g.Scope = ""; return g }(),
			"https://api.example", nil},
		"unbound": {jose.ES256, func() accesstoken.Token {
			g := granted("https://api.example")
			g.Confirmation = accesstoken.Confirmation{}
			return g
		}(), "https://api.example", "fdx:accountbasic:read client.read"},
		"AT-03 bound to a certificate": {jose.ES256, func() accesstoken.Token {
			g := granted("https://api.example")
			g.Confirmation = accesstoken.Confirmation{X5T: "A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0"}
			return g
		}(), "https://api.example", "fdx:accountbasic:read client.read"},
	} {
		t.Run(name, func(t *testing.T) {
			compact, issued := issue(t, accesstoken.Tokens{Issuer: issuer, Alg: test.alg, Keys: set}, test.granted)
			header, claims := read(t, set, test.alg, compact)
			kid, _ := header["kid"].(string)
			if diff := cmp.Diff(map[string]any{"typ": "at+jwt", "alg": string(test.alg), "kid": kid}, header); diff != "" || set.Key(kid) == nil {
				t.Errorf("kid %q; header (-want +got):\n%s", kid, diff)
			}
			jti, _ := claims["jti"].(string)
			want := map[string]any{
				"iss": issuer, "sub": "client-1", "aud": test.audience, "client_id": "client-1", "scope": test.scope, "jti": jti,
				"iat": float64(now.Unix()), "exp": float64(now.Unix() + 300),
				"cnf": map[string]any{"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"},
			}
			if test.scope == nil {
				delete(want, "scope")
			}
			wantType, bound := "DPoP", true
			switch cnf := test.granted.Confirmation; {
			case cnf.X5T != "":
				want["cnf"], wantType = map[string]any{"x5t#S256": cnf.X5T}, "Bearer"
			case cnf.JKT == "":
				delete(want, "cnf")
				wantType, bound = "Bearer", false
			}
			if issued.Type() != wantType || issued.Bound() != bound {
				t.Errorf("token_type %s, bound %v", issued.Type(), issued.Bound())
			}
			if test.granted.GrantID != "" {
				want["sub"], want["grant_id"], want["auth_time"], want["acr"] = "_alex", "grant 1", 1_772_366_340.0, "urn:example:acr"
				want["amr"] = []any{"pwd"}
			}
			if diff := cmp.Diff(want, claims); diff != "" {
				t.Errorf("claims (-want +got):\n%s", diff)
			}
			again, err := accesstoken.Tokens{Issuer: issuer, Alg: test.alg, Keys: set}.Recognise(compact, now)
			if diff := cmp.Diff(issued, again); diff != "" || err != nil {
				t.Errorf("recognised (-issued +got): %v\n%s", err, diff)
			}
			if random, err := base64.RawURLEncoding.DecodeString(jti); err != nil || len(random) < 16 || issued.ID != jti {
				t.Errorf("jti %q of %d bytes, returned as %q", jti, len(random), issued.ID)
			}
		})
	}
}

// read verifies a token with the published keys, as a resource server would with another library.
func read(t *testing.T, set *keys.Ring, alg jose.Alg, compact string) (header, claims map[string]any) {
	t.Helper()
	var published oracle.JSONWebKeySet
	if err := json.Unmarshal(set.JWKS(), &published); err != nil {
		t.Fatal(err)
	}
	parsed, err := oracle.ParseSignedCompact(compact, []oracle.SignatureAlgorithm{oracle.SignatureAlgorithm(alg)})
	if err != nil {
		t.Fatal(err)
	}
	payload, err := parsed.Verify(published)
	if err != nil {
		t.Fatal(err)
	}
	head, err := base64.RawURLEncoding.DecodeString(strings.Split(compact, ".")[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(json.Unmarshal(head, &header), json.Unmarshal(payload, &claims)); err != nil {
		t.Fatal(err)
	}
	return header, claims
}

// TestIssueSetsItsOwn: issuer, times and jti are never the caller's.
func TestIssueSetsItsOwn(t *testing.T) {
	tokens := accesstoken.Tokens{Issuer: issuer, Alg: jose.ES256, Keys: newKeys(t)}
	g := granted("https://api.example")
	g.Issuer, g.ID, g.IssuedAt, g.ExpiresAt = "https://other.example", "chosen", 1, 1<<40
	_, first := issue(t, tokens, g)
	_, second := issue(t, tokens, g)
	if first.Issuer != issuer || first.IssuedAt != now.Unix() || first.ExpiresAt != now.Unix()+300 {
		t.Errorf("issued %+v", first)
	}
	if strings.Contains(first.ID, g.ID) || first.ID == second.ID {
		t.Errorf("jti %q and %q", first.ID, second.ID)
	}
	tokens.Alg = jose.EdDSA
	if compact, _, err := tokens.Issue(g, lifetime, now); err == nil || compact != "" {
		t.Errorf("signed without a key: %q, %v", compact, err)
	}
}

// TestRecognise: what was issued comes back, until exp and not a second longer.
func TestRecognise(t *testing.T) {
	tokens := accesstoken.Tokens{Issuer: issuer, Alg: jose.ES256, Keys: newKeys(t)}
	unbound := granted("https://api.example")
	unbound.Confirmation = accesstoken.Confirmation{}
	for _, g := range []accesstoken.Token{granted("https://api.example"), granted("https://a.example", "https://b.example"), unbound, ofPerson()} {
		compact, issued := issue(t, tokens, g)
		for _, test := range []struct {
			after time.Duration
			want  oauth.Reason
		}{
			{0, ""},
			{lifetime - 901*time.Millisecond, ""},
			{lifetime - 900*time.Millisecond, oauth.TokenExpired}, // exp itself: iat is cut off to the second
			{lifetime, oauth.TokenExpired},
			{24 * time.Hour, oauth.TokenExpired},
		} {
			got, err := tokens.Recognise(compact, now.Add(test.after))
			refused(t, test.after.String(), err, test.want)
			want := issued
			if test.want != "" {
				want = accesstoken.Token{}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("after %v (-want +got):\n%s", test.after, diff)
			}
		}
		// With the other algorithm configured meanwhile, tokens of before are still ours.
		later := accesstoken.Tokens{Issuer: issuer, Alg: jose.PS256, Keys: tokens.Keys}
		if got, err := later.Recognise(compact, now); err != nil || got.ID != issued.ID {
			t.Errorf("after a change of the algorithm: %v", err)
		}
	}
}

// refused wants a refusal with this reason, or none for "".
func refused(t *testing.T, what string, err error, want oauth.Reason) {
	t.Helper()
	var refusal *oauth.Error
	if err != nil && !errors.As(err, &refusal) {
		t.Fatalf("%s: %v is no refusal", what, err)
	}
	var got oauth.Reason
	if refusal != nil {
		got = refusal.Reason
	}
	if got != want {
		t.Errorf("%s: reason %q, want %q", what, got, want)
	}
}

// TestUse: every token has a place of its own on the deny-list, which is the same when it is recognised again.
func TestUse(t *testing.T) {
	tokens := accesstoken.Tokens{Issuer: issuer, Alg: jose.ES256, Keys: newKeys(t)}
	compact, first := issue(t, tokens, granted("https://api.example"))
	_, second := issue(t, tokens, granted("https://api.example"))
	again, err := tokens.Recognise(compact, now)
	if err != nil {
		t.Fatal(err)
	}
	if first.Use() != again.Use() {
		t.Errorf("issued %x, recognised %x", first.Use(), again.Use())
	}
	if first.Use() == second.Use() || first.Use().Key == second.Use().Key {
		t.Error("two tokens share a place on the deny-list")
	}
	elsewhere := first
	elsewhere.Issuer = "https://other.example"
	if first.Use().Key == elsewhere.Use().Key {
		t.Error("two issuers share a place on the deny-list")
	}
	want := replay.NewUse(replay.AccessToken, issuer, first.ID, now.Add(lifetime))
	if diff := cmp.Diff(want, first.Use()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestForAndHas: a token is for its audiences and has its scopes, each as a whole word.
func TestForAndHas(t *testing.T) {
	token := granted("https://a.example", "https://b.example")
	for _, test := range []struct {
		name string
		got  bool
		want bool
	}{
		{"one of its audiences", token.For("https://b.example"), true},
		{"one of several", token.For("https://c.example", "https://a.example"), true},
		{"another audience", token.For("https://c.example"), false},
		{"a part of an audience", token.For("https://a"), false},
		{"no audience", token.For(), false},
		{"an audience, for a token without", accesstoken.Token{}.For(""), false},
		{"its scope", token.Has("client.read"), true},
		{"a part of a scope", token.Has("client"), false},
		{"two scopes as one", token.Has("fdx:accountbasic:read client.read"), false},
		{"no scope", token.Has(""), false},
		{"any scope, for a token without", accesstoken.Token{}.Has("client.read"), false},
	} {
		if test.got != test.want {
			t.Errorf("%s: %v, want %v", test.name, test.got, test.want)
		}
	}
}

func TestAudience(t *testing.T) {
	for text, want := range map[string]accesstoken.Audience{
		`"https://a.example"`: {"https://a.example"}, `["a"]`: {"a"}, `["a","b"]`: {"a", "b"}, `""`: {""},
	} {
		var got accesstoken.Audience
		if err := json.Unmarshal([]byte(text), &got); err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", text, diff)
		}
	}
	for _, text := range []string{`7`, `{"a":"b"}`, `[7]`, `[["a"]]`, `true`} {
		var got accesstoken.Audience
		if err := json.Unmarshal([]byte(text), &got); err == nil {
			t.Errorf("%s is read as %q", text, got)
		}
	}
}
