package person

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"authserver/internal/jose"
	"authserver/internal/oauth"
)

// TestUpstreamForged: an ID token that proves nobody.
func TestUpstreamForged(t *testing.T) {
	for name, change := range map[string]func(o *op){
		"wrong nonce":              func(o *op) { o.Claims["nonce"] = "another" },
		"no nonce":                 func(o *op) { delete(o.Claims, "nonce") },
		"wrong aud":                func(o *op) { o.Claims["aud"] = "another" },
		"no aud":                   func(o *op) { delete(o.Claims, "aud") },
		"two aud, no azp":          func(o *op) { o.Claims["aud"] = []string{ourID, "another"} },
		"two aud, azp another":     func(o *op) { o.Claims["aud"], o.Claims["azp"] = []string{ourID, "another"}, "another" },
		"one aud, azp another":     func(o *op) { o.Claims["azp"] = "another" },
		"wrong iss":                func(o *op) { o.Claims["iss"] = "https://op.example" },
		"iss with a slash":         func(o *op) { o.Claims["iss"] = o.URL + "/" },
		"expired":                  func(o *op) { o.Claims["exp"] = noon.Add(-time.Second).Unix() },
		"no exp":                   func(o *op) { delete(o.Claims, "exp") },
		"no iat":                   func(o *op) { delete(o.Claims, "iat") },
		"iat before all time":      func(o *op) { o.Claims["iat"] = -1e15 },
		"iat of zero":              func(o *op) { o.Claims["iat"] = 0 },
		"iat in the future":        func(o *op) { o.Claims["iat"] = noon.Add(11 * time.Second).Unix() },
		"no sub":                   func(o *op) { delete(o.Claims, "sub") },
		"sub that is empty":        func(o *op) { o.Claims["sub"] = "" },
		"sub of 256 characters":    func(o *op) { o.Claims["sub"] = strings.Repeat("a", 256) },
		"sub with NUL":             func(o *op) { o.Claims["sub"] = "kim\x00" },
		"sub that is a number":     func(o *op) { o.Claims["sub"] = 7 },
		"sub beyond ASCII":         func(o *op) { o.Claims["sub"] = "kіm" },
		"acr with a line break":    func(o *op) { o.Claims["acr"] = "a\nb" },
		"acr that is a list":       func(o *op) { o.Claims["acr"] = []string{"a"} },
		"amr that is no list":      func(o *op) { o.Claims["amr"] = "pwd" },
		"amr with an empty word":   func(o *op) { o.Claims["amr"] = []string{""} },
		"amr of 21 words":          func(o *op) { o.Claims["amr"] = slices.Repeat([]string{"pwd"}, 21) },
		"auth_time in the future":  func(o *op) { o.Claims["auth_time"] = noon.Add(11 * time.Second).Unix() },
		"auth_time of zero":        func(o *op) { o.Claims["auth_time"] = 0 },
		"auth_time beyond time":    func(o *op) { o.Claims["auth_time"] = 1e300 },
		"auth_time that is a word": func(o *op) { o.Claims["auth_time"] = "noon" },
		"alg none":                 func(o *op) { o.Sign = func(c map[string]any) string { return unsigned(o.t, "none", c) + "." } },
		"alg HS256 with our secret": func(o *op) {
			o.Sign = func(c map[string]any) string { return mac(unsigned(o.t, "HS256", c), []byte(ourSecret)) }
		},
		"alg HS256 with their public key": func(o *op) {
			o.Sign = func(c map[string]any) string {
				public, _ := json.Marshal(o.Signer.Key())
				return mac(unsigned(o.t, "HS256", c), public)
			}
		},
		"foreign key": func(o *op) {
			foreign := newSigner(o.t, jose.ES256, "foreign")
			o.Sign = func(c map[string]any) string { return signed(o.t, foreign, c) }
		},
		"foreign key under their kid": func(o *op) {
			foreign := newSigner(o.t, jose.ES256, "theirs")
			o.Sign = func(c map[string]any) string { return signed(o.t, foreign, c) }
		},
		"no ID token at all": func(o *op) { o.Sign = func(map[string]any) string { return "" } },
	} {
		t.Run(name, func(t *testing.T) {
			o := newOP(t)
			_, err := o.trip(o.upstream(), Wish{}, func(url.Values) { change(o) })
			if refusal := refused(t, err, oauth.UpstreamRefused); refusal.Cause == nil || refusal.Status() != http.StatusForbidden {
				t.Errorf("refused with %d and the cause %v", refusal.Status(), refusal.Cause)
			}
		})
	}
}

// TestShown: AZ-11: what the upstream calls a person cannot change how a page reads.
func TestShown(t *testing.T) {
	for name, c := range map[string]struct {
		claims claims
		want   string
	}{
		"the username first":           {claims{PreferredUsername: "kim", Name: "Kim", Email: "k@example.com"}, "kim"},
		"then the name":                {claims{Name: "Kim", Email: "k@example.com"}, "Kim"},
		"then the address":             {claims{Email: "k@example.com"}, "k@example.com"},
		"else nothing":                 {claims{}, ""},
		"AZ-11 right to left override": {claims{PreferredUsername: "\u202emik\u202c\u2066x\u2069\u200f"}, "mikx"},
		"AZ-11 control characters":     {claims{PreferredUsername: "k\x00i\nm\u0085\x7f"}, "kim"},
		"nothing but those":            {claims{PreferredUsername: " \u202e\n ", Name: "Kim"}, "Kim"},
		"markup stays; pages escape":   {claims{PreferredUsername: "<b>"}, "<b>"},
		"an Arabic name":               {claims{Name: "كيم"}, "كيم"},
		"100 characters":               {claims{Name: strings.Repeat("ñ", 101)}, strings.Repeat("ñ", 100)},
	} {
		if got := c.claims.shown(); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
