package client

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"authserver/internal/oauth"

	"github.com/google/go-cmp/cmp"
)

func TestCheckID(t *testing.T) {
	for _, good := range []string{"a", "0", "acme", "Acme-1.2_3~4:5@6", strings.Repeat("a", 128)} {
		if err := CheckID(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{"", ".", "..", "-a", ":a", "a b", "a/b", "a%20", "a?b", "a#b", "a\n", "a\x00", "\u0430", "a\u200b", strings.Repeat("a", 129)} {
		if CheckID(bad) == nil {
			t.Errorf("%q passes", bad)
		}
	}
}

func TestCheckOperator(t *testing.T) {
	many := make([]string, 21)
	for i := range many {
		many[i] = fmt.Sprint("https://api.example/", i)
	}
	for name, test := range map[string]struct {
		client Client
		want   []string // what stands in the sentences, one each
	}{
		"nothing":            {Client{}, nil},
		"the least lifetime": {Client{TokenLifetime: 30 * time.Second}, nil},
		"all": {Client{Registrar: true, Serves: many[:20], TokenLifetime: time.Hour, AssertionAudience: IssuerOrEndpoint,
			Unbound: true}, nil},
		"too short":           {Client{TokenLifetime: 29 * time.Second}, []string{"token_lifetime must be whole seconds from 30s to 1h0m0s"}},
		"too long":            {Client{TokenLifetime: 3601 * time.Second}, []string{"it is 1h0m1s"}},
		"negative":            {Client{TokenLifetime: -time.Minute}, []string{"token_lifetime"}},
		"no whole seconds":    {Client{TokenLifetime: 30*time.Second + 1}, []string{"token_lifetime"}},
		"an unknown rule":     {Client{AssertionAudience: "any"}, []string{`assertion_audience must be issuer or issuer_or_endpoint; it is "any"`}},
		"bound and unbound":   {Client{Unbound: true, Metadata: Metadata{DPoPBoundAccessTokens: true}}, []string{"unbound contradicts"}},
		"with certificates":   {Client{Unbound: true, Metadata: Metadata{CertificateBoundTokens: true}}, []string{"unbound contradicts"}},
		"relative audiences":  {Client{Serves: []string{"https://a.example", "/b"}}, []string{`entry 2 is "/b"`}},
		"one audience twice":  {Client{Serves: []string{"https://a.example", "https://a.example"}}, []string{"entry 2"}},
		"fragment and space":  {Client{Serves: []string{"https://a.example#", "https://a.example/ b"}}, []string{"entry 1", "entry 2"}},
		"too many audiences":  {Client{Serves: many}, []string{"at most 20"}},
		"all that is wrong":   {Client{TokenLifetime: 1, AssertionAudience: "x", Serves: []string{""}}, []string{"token_lifetime", "assertion_audience", "serves"}},
		"binds, not unbound":  {Client{Metadata: Metadata{DPoPBoundAccessTokens: true}}, nil},
		"the rule by default": {Client{AssertionAudience: IssuerOnly}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			wrong := test.client.CheckOperator()
			matches := slices.EqualFunc(wrong, test.want, func(err error, want string) bool { return strings.Contains(err.Error(), want) })
			if !matches {
				t.Errorf("%q, want %q", wrong, test.want)
			}
		})
	}
}

// What a client registered for itself is stronger than the operator's leave.
func TestTokensMayBeUnbound(t *testing.T) {
	for _, test := range []struct {
		client Client
		want   bool
	}{
		{Client{}, false},
		{Client{Unbound: true}, true},
		{Client{Unbound: true, Metadata: Metadata{DPoPBoundAccessTokens: true}}, false},
		{Client{Unbound: true, Metadata: Metadata{CertificateBoundTokens: true}}, false},
	} {
		if diff := cmp.Diff(test.want, test.client.TokensMayBeUnbound()); diff != "" {
			t.Errorf("%+v: %s", test.client, diff)
		}
	}
}

// TestNewID: what is made could have been chosen, so that every command takes it, and none comes twice.
func TestNewID(t *testing.T) {
	seen := map[string]bool{}
	for range 2000 { // one random text in 64 begins with a dash, another with an underscore
		id := oauth.NewID()
		if err := CheckID(id); err != nil || len(id) != 43 || seen[id] {
			t.Fatalf("%q: %v", id, err)
		}
		seen[id] = true
	}
}
