package main

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"authserver/internal/client"
	"authserver/internal/flow"
	"authserver/internal/oauth"

	"github.com/google/go-cmp/cmp"
)

// asked is what a client is told about a token, which is always told with 200.
func asked(t *testing.T, by *flow.Client, token string, more url.Values) *flow.Exchange {
	t.Helper()
	r := by.IntrospectRequest(token)
	maps.Copy(r.Form, more)
	e := do(t, by.Server, r)
	outcome(t, e, "200")
	return e
}

// inactive wants the one answer about every token that is not valid or not the caller's to see.
func inactive(t *testing.T, e *flow.Exchange) {
	t.Helper()
	if strings.TrimSpace(e.ResponseBody) != `{"active":false}` {
		t.Errorf("%s", e.ResponseBody)
	}
}

func TestIntrospection(t *testing.T) {
	d := deploy(t, 1, nil)
	c, other := d.register(0), d.register(0)
	rs := &flow.Client{Server: c.Server, ID: d.resourceServer.ClientID, Key: d.resourceServer}
	access := tokenFor(t, c, nil)
	says, err := flow.Decode(access)
	if err != nil {
		t.Fatal(err)
	}
	t.Run("IN-01", func(t *testing.T) {
		r := c.IntrospectRequest(access)
		r.Assertion = nil
		refusedFor(t, do(t, c.Server, r), "401 invalid_client", oauth.ClientAuthMissing)
	})
	t.Run("IN-02", func(t *testing.T) { inactive(t, asked(t, other, access, nil)) })
	t.Run("IN-08", func(t *testing.T) {
		want := map[string]any{"active": true, "token_type": "DPoP"}
		maps.Copy(want, says.Claims)
		for _, by := range []*flow.Client{c, rs} {
			if diff := cmp.Diff(want, asked(t, by, access, nil).JSON()); diff != "" {
				t.Errorf("%s: %s", by.ID, diff)
			}
		}
	})
	t.Run("IN-05", func(t *testing.T) {
		for _, hint := range []string{"refresh_token", "id_token", "device_secret", "nonsense"} {
			if asked(t, c, access, url.Values{"token_type_hint": {hint}}).JSON()["active"] != true {
				t.Errorf("not found with the hint %s", hint)
			}
		}
	})
	t.Run("IN-07", func(t *testing.T) {
		e := raw(t, c.Server, http.MethodGet, d.issuer+"/oauth2/introspect?token="+access, nil, "")
		refusedFor(t, e, "405 invalid_request", oauth.MethodNotAllowed)
		e = raw(t, c.Server, http.MethodPost, d.issuer+"/oauth2/introspect?token="+access, http.Header{"Content-Type": {formType}}, formFor(t, c, ""))
		refusedFor(t, e, "400 invalid_request", oauth.ParameterInQuery)
	})
	t.Run("token is missing", func(t *testing.T) {
		for _, r := range []*flow.Request{c.IntrospectRequest(""), c.RevokeRequest("")} {
			refusedFor(t, do(t, c.Server, r), "400 invalid_request", oauth.ParameterMissing)
		}
	})
}

// IN-02, INT-02: a resource server is told of the tokens that are meant for it, and of no others.
func TestResourceServerSeesItsAudience(t *testing.T) {
	d := deploy(t, 1, func(s *settings) { s.Resources = accountsAPI + "," + files })
	c, rs := d.register(0), d.register(0)
	d.operatorSets(rs, func(c *client.Client) { c.Serves = []string{files} })
	tokens := map[string]string{}
	for _, audience := range [][]string{{accountsAPI}, {files}, {accountsAPI, files}} {
		tokens[strings.Join(audience, " ")] = tokenFor(t, c, url.Values{"resource": audience})
	}
	inactive(t, asked(t, rs, tokens[accountsAPI], nil))
	for _, its := range []string{files, accountsAPI + " " + files} {
		if asked(t, rs, tokens[its], nil).JSON()["active"] != true {
			t.Errorf("a token for %s is kept from it", its)
		}
	}
	d.operatorSets(rs, func(c *client.Client) { c.Serves = nil })
	for _, token := range tokens {
		inactive(t, asked(t, rs, token, nil))
	}
}

func TestInactiveTokens(t *testing.T) {
	d := deploy(t, 1, nil)
	c := d.register(0)
	access := tokenFor(t, c, nil)
	says, err := flow.Decode(access)
	if err != nil {
		t.Fatal(err)
	}
	t.Run("IN-04", func(t *testing.T) {
		parts := strings.Split(access, ".")
		foreign := flow.Draft{Header: says.Header, Claims: says.Claims, Key: key(t, "ES256"), Alg: "ES256"}
		for name, edits := range map[string][]flow.Edit{"another key": nil, "alg none": {flow.SignAs("none")},
			"no kid": {flow.DropHeader("kid")}, "jwk": {flow.SetHeader("jwk", foreign.Key.PublicJWK())}} {
			forged, err := foreign.Sign(edits...)
			if err != nil {
				t.Fatal(name, err)
			}
			inactive(t, asked(t, c, forged, nil))
		}
		inactive(t, asked(t, c, parts[0]+"."+strings.Replace(parts[1], "a", "b", 1)+"."+parts[2], nil))
		inactive(t, asked(t, c, parts[0]+"."+parts[1]+".", nil))
	})
	t.Run("IN-03", func(t *testing.T) {
		for _, garbage := range []string{"x", "a.b.c", strings.Repeat("a", 20000), c.RegistrationToken,
			compact(t, c.Assertion()), compact(t, c.Proof("POST", "https://x.example"))} {
			inactive(t, asked(t, c, garbage, nil))
		}
	})
	t.Run("IN-03 expired", func(t *testing.T) {
		exp, err := says.Claims["exp"].(json.Number).Int64()
		if err != nil {
			t.Fatal(err)
		}
		d.clock.set(time.Unix(exp-30, 0))
		if asked(t, c, access, nil).JSON()["active"] != true {
			t.Error("inactive before its end")
		}
		d.clock.set(time.Unix(exp, 0))
		inactive(t, asked(t, c, access, nil))
	})
}

// A JWT answer is signed for its caller, says what the plain one says, and is no token of any kind itself (IN-09).
func TestSignedIntrospection(t *testing.T) {
	d := deploy(t, 1, nil)
	plain := d.register(0)
	registered := d.register(0, func(m map[string]any) { m["introspection_signed_response_alg"] = "ES256" })
	keys, err := plain.Server.Keys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const jwtType = "application/token-introspection+jwt"
	for name, test := range map[string]struct {
		client *flow.Client
		accept string
		alg    string // "": a plain answer
	}{
		"accepted":                {plain, jwtType, "PS256"},
		"accepted among others":   {plain, "application/json;q=0.5, " + jwtType, "PS256"},
		"refused with q=0":        {plain, jwtType + ";q=0, application/json", ""},
		"neither asked for":       {plain, "application/json", ""},
		"registered":              {registered, "application/json", "ES256"},
		"registered and accepted": {registered, jwtType, "ES256"},
	} {
		t.Run("IN-09 "+name, func(t *testing.T) {
			access := tokenFor(t, test.client, nil)
			e := do(t, test.client.Server, test.client.IntrospectRequest(access).SetHeader("Accept", test.accept))
			outcome(t, e, "200")
			if test.alg == "" {
				if e.JSON()["active"] != true {
					t.Error(e.ResponseBody)
				}
				return
			}
			answer, err := flow.Decode(e.ResponseBody)
			if err != nil {
				t.Fatal(err)
			}
			_, hasSub := answer.Claims["sub"]
			_, hasExp := answer.Claims["exp"]
			content, _ := answer.Claims["token_introspection"].(map[string]any)
			if err := answer.Verify(keys); err != nil || answer.Member("typ") != "token-introspection+jwt" || answer.Member("alg") != test.alg ||
				answer.Claims["aud"] != test.client.ID || answer.Claims["iss"] != d.issuer || hasSub || hasExp || content["active"] != true ||
				e.ResponseHeader.Get("Content-Type") != jwtType {
				t.Errorf("%v %v %v", err, answer.Header, answer.Claims)
			}
			used := do(t, test.client.Server, test.client.Present(&flow.Request{Method: http.MethodGet, URL: d.issuer + "/demo/accounts"}, e.ResponseBody))
			refusedFor(t, used, "401 invalid_token", oauth.TokenMalformed)
		})
	}
}

func TestRevocation(t *testing.T) {
	d := deploy(t, 1, nil)
	c, other := d.register(0), d.register(0)
	state := func(by *flow.Client, token string) any {
		t.Helper()
		return do(t, by.Server, by.IntrospectRequest(token)).JSON()["active"]
	}
	revoke := func(t *testing.T, by *flow.Client, token string) {
		t.Helper()
		if e := do(t, by.Server, by.RevokeRequest(token)); e.Status != http.StatusOK || e.ResponseBody != "" {
			t.Errorf("%d %s", e.Status, e.ResponseBody)
		}
	}
	access := tokenFor(t, c, nil)
	t.Run("RV-01", func(t *testing.T) {
		for _, unknown := range []string{"unknown", "a.b.c", strings.Repeat("a", 20000), c.RegistrationToken} {
			revoke(t, c, unknown)
		}
	})
	t.Run("RV-02", func(t *testing.T) {
		revoke(t, other, access)
		if state(c, access) != true {
			t.Error("another client ended it")
		}
	})
	t.Run("twice", func(t *testing.T) {
		revoke(t, c, access)
		revoke(t, c, access)
		if state(c, access) != false {
			t.Error("still active")
		}
	})
	t.Run("in the query", func(t *testing.T) {
		live := tokenFor(t, c, nil)
		e := raw(t, c.Server, http.MethodPost, d.issuer+"/oauth2/revoke?token="+live, http.Header{"Content-Type": {formType}}, formFor(t, c, ""))
		refusedFor(t, e, "400 invalid_request", oauth.ParameterInQuery)
		if state(c, live) != true {
			t.Error("revoked by its URI")
		}
	})
}
