package par

import (
	"errors"
	"strings"
	"testing"

	"authserver/internal/client"
	"authserver/internal/grant"
	"authserver/internal/idtoken"
	"authserver/internal/jose"
	"authserver/internal/oauth"

	"github.com/google/go-cmp/cmp"
)

// signs is a server's one signing key, and an envelope that seals with it.
type signs struct{ *jose.Signer }

func newSigns(t *testing.T) signs {
	t.Helper()
	key, err := jose.GenerateKey(jose.PS256)
	if err != nil {
		t.Fatal(err)
	}
	s, err := jose.NewSigner(jose.PS256, "k1", key)
	if err != nil {
		t.Fatal(err)
	}
	return signs{s}
}

func (s signs) Key(string) *jose.Key { return s.Signer.Key() }

func (s signs) Seal(typ string, claims any) (string, error) { return s.Sign(typ, claims) }

// hint is an ID token about a subject that a client was given yesterday.
func (s signs) hint(t *testing.T, clientID, subject string) string {
	t.Helper()
	compact, err := idtoken.Tokens{Issuer: issuer, Keys: s}.
		Issue(s, client.Client{ID: clientID}, grant.Grant{Subject: subject}, "", "", noon.AddDate(0, 0, -1))
	if err != nil {
		t.Fatal(err)
	}
	return compact
}

// acr is a claims parameter about the acr of the ID token.
func acr(of string) string { return `{"id_token":{"acr":` + of + `}}` }

// TestWhom (IDT-06, AUTHZ-07): what claims and id_token_hint demand of the person and the authentication. All else that
// claims may hold means nothing.
func TestWhom(t *testing.T) {
	s := newSigns(t)
	e := &Endpoint{IDTokens: idtoken.Tokens{Issuer: issuer, Keys: s}}
	byDefault := recipient(func(c *client.Client) { c.Metadata.DefaultACRValues = []string{"registered"} })
	type whom struct {
		acr     []string
		subject string
		from    string // what asks for acr
	}
	for name, test := range map[string]struct {
		client client.Client
		hint   string
		claims string
		acr    string // acr_values
		want   whom
	}{
		"nothing":                      {recipient(), "", "", "", whom{}},
		"a hint":                       {recipient(), s.hint(t, "c1", "_alex"), "", "", whom{nil, "_alex", ""}},
		"a subject":                    {recipient(), "", `{"id_token":{"sub":{"value":"_alex"}}}`, "", whom{nil, "_alex", ""}},
		"both":                         {recipient(), s.hint(t, "c1", "_alex"), `{"id_token":{"sub":{"value":"_alex"}}}`, "", whom{nil, "_alex", ""}},
		"any subject":                  {recipient(), "", `{"id_token":{"sub":null,"auth_time":{"essential":true}}}`, "", whom{}},
		"an essential acr":             {recipient(), "", acr(`{"essential":true,"value":"high"}`), "", whom{[]string{"high"}, "", grant.ACRFromClaims}},
		"one of several":               {recipient(), "", acr(`{"essential":true,"values":["high","higher"]}`), "", whom{[]string{"high", "higher"}, "", grant.ACRFromClaims}},
		"any essential acr":            {byDefault, "", acr(`{"essential":true}`), "", whom{[]string{"registered"}, "", grant.ACRFromRegistration}},
		"more than what is registered": {byDefault, "", acr(`{"essential":true,"value":"high"}`), "", whom{[]string{"high"}, "", grant.ACRFromClaims}},
		"with acr_values, what is in both": {recipient(), "", acr(`{"essential":true,"values":["high","higher"]}`), "low higher high",
			whom{[]string{"higher", "high"}, "", grant.ACRFromClaims}},
		"more than what is registered, beside no acr_values": {byDefault, "", acr(`{"essential":true,"value":"high"}`), " ",
			whom{[]string{"high"}, "", grant.ACRFromClaims}},
		"a voluntary acr":   {recipient(), "", acr(`{"values":["high"]}`), "low", whom{[]string{"low"}, "", ""}},
		"null":              {recipient(), "", `{"id_token":{"acr":null},"userinfo":null}`, "low", whom{[]string{"low"}, "", ""}},
		"nobody knows them": {recipient(), "", `{"id_token":{"shoe_size":{"essential":true,"value":44}},"userinfo":{"name":null,"sub":{"value":"_kim"}}}`, "", whom{}},
		"an acr of userinfo, where it can say nothing": {recipient(), "", `{"userinfo":{"acr":{"essential":true,"value":"high"}}}`, "", whom{}},
	} {
		p, err := e.judge(test.client, request(t, "id_token_hint", test.hint, "claims", test.claims, "acr_values", test.acr))
		if diff := cmp.Diff(test.want, whom{p.ACRValues, p.Subject, p.ACRFrom}, cmp.AllowUnexported(whom{})); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got)\n%s", name, err, diff)
		}
	}
}

// TestWhomRefused: a hint that is none of ours for this client, and claims that nobody could meet or that are malformed
// where they bind, are told at once and not ignored.
func TestWhomRefused(t *testing.T) {
	s, stranger := newSigns(t), newSigns(t)
	e := &Endpoint{IDTokens: idtoken.Tokens{Issuer: issuer, Keys: s}}
	elsewhere, err := idtoken.Tokens{Issuer: "https://other.example"}.
		Issue(s, client.Client{ID: "c1"}, grant.Grant{Subject: "_alex"}, "", "", noon)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		hint, claims, acr string
		want              oauth.Reason
	}{
		"a hint that is no JWT":                 {"alex", "", "", oauth.HintRefused},
		"a hint of another key":                 {stranger.hint(t, "c1", "_alex"), "", "", oauth.HintRefused},
		"a hint of another issuer":              {elsewhere, "", "", oauth.HintRefused},
		"a hint of another client's":            {s.hint(t, "c2", "_alex"), "", "", oauth.HintRefused},
		"a hint, and another subject":           {s.hint(t, "c1", "_alex"), `{"id_token":{"sub":{"value":"_kim"}}}`, "", oauth.HintRefused},
		"acr_values that are too weak":          {"", acr(`{"essential":true,"value":"high"}`), "low", oauth.ClaimsRefused},
		"no acr that would do":                  {"", acr(`{"essential":true,"values":[]}`), "", oauth.ClaimsRefused},
		"an empty acr":                          {"", acr(`{"essential":true,"values":["high",""]}`), "", oauth.ClaimsRefused},
		"an acr that is two words":              {"", acr(`{"essential":true,"value":"high low"}`), "", oauth.ClaimsRefused},
		"too many acrs":                         {"", acr(`{"essential":true,"values":["a"` + strings.Repeat(`,"a"`, maxWords) + `]}`), "", oauth.ClaimsRefused},
		"one acr and several":                   {"", acr(`{"essential":true,"value":"a","values":["b"]}`), "", oauth.ClaimsRefused},
		"an acr that is no string":              {"", acr(`{"essential":true,"value":1}`), "", oauth.ClaimsRefused},
		"acrs that are none":                    {"", acr(`{"essential":true,"values":"high"}`), "", oauth.ClaimsRefused},
		"an acr that is essential to no degree": {"", acr(`{"essential":"true","value":"high"}`), "", oauth.ClaimsRefused},
		"an acr that is no object":              {"", acr(`"high"`), "", oauth.ClaimsRefused},
		"two subjects":                          {"", `{"id_token":{"sub":{"values":["_alex","_kim"]}}}`, "", oauth.ClaimsRefused},
		"a subject without a name":              {"", `{"id_token":{"sub":{"value":""}}}`, "", oauth.ClaimsRefused},
		"a subject that is no object":           {"", `{"id_token":{"sub":"_alex"}}`, "", oauth.ClaimsRefused},
		"an id_token that is no object":         {"", `{"id_token":[]}`, "", oauth.ClaimsRefused},
		"a list":                                {"", `[]`, "", oauth.ClaimsRefused},
		"a member twice":                        {"", `{"id_token":{"sub":{"value":"_alex"}},"id_token":{}}`, "", oauth.ClaimsRefused},
		"too long":                              {"", `{"a":"` + strings.Repeat("a", maxClaims) + `"}`, "", oauth.ParameterTooLong},
	} {
		p, err := e.judge(recipient(), request(t, "id_token_hint", test.hint, "claims", test.claims, "acr_values", test.acr))
		if refusal, ok := errors.AsType[*oauth.Error](err); !ok || refusal.Reason != test.want {
			t.Errorf("%s: %v, want %s (%+v)", name, err, test.want, p)
		}
	}
}
