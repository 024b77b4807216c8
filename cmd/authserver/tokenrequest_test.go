package main

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"authserver/internal/flow"
	"authserver/internal/oauth"

	"github.com/google/go-cmp/cmp"
)

// The resources of these deployments; the first is the default audience.
const (
	accountsAPI = "https://api.bank.example/fdx"
	files       = "urn:bank:files"
)

// codeClient edits a registration into one that may only use authorization codes.
func codeClient(m map[string]any) {
	m["grant_types"], m["response_types"], m["redirect_uris"] = []string{"authorization_code"}, []string{"code"}, []string{"https://client.example/cb"}
}

func TestTokenRequests(t *testing.T) {
	d := deploy(t, 1, func(s *settings) { s.Resources = accountsAPI + "," + files })
	c := d.register(0, func(m map[string]any) {
		m["scope"] = "openid offline_access fdx:accountbasic:read fdx:transactions:read client.read"
	})
	code := d.register(0, codeClient)
	var scopes, resources []string
	for i := range 5000 {
		scopes = append(scopes, fmt.Sprint("s", i))
	}
	for i := range 90 {
		resources = append(resources, fmt.Sprint("https://unknown.example/", i))
	}
	tests := []struct {
		id     string
		client *flow.Client
		form   url.Values
		want   string
	}{
		{"CC-01", code, url.Values{}, "400 unauthorized_client"},
		{"CC-02 missing", c, url.Values{"grant_type": nil}, "400 invalid_request"},
		{"CC-02 empty", c, url.Values{"grant_type": {""}}, "400 invalid_request"},
		{"CC-02 password", c, url.Values{"grant_type": {"password"}}, "400 unsupported_grant_type"},
		{"CC-02 implicit", c, url.Values{"grant_type": {"implicit"}}, "400 unsupported_grant_type"},
		{"CC-02 case", c, url.Values{"grant_type": {"Client_Credentials"}}, "400 unsupported_grant_type"},
		{"CC-02 5 KiB", c, url.Values{"grant_type": {strings.Repeat("g", 5<<10)}}, "400 unsupported_grant_type"},
		{"CC-03", c, url.Values{"grant_type": {"client_credentials", "client_credentials"}}, "400 invalid_request"},
		{"CC-04 unknown", c, url.Values{"scope": {"fdx:accountbasic:read nothing"}}, "400 invalid_scope"},
		{"CC-04 not registered", c, url.Values{"scope": {"fdx:tax:read"}}, "400 invalid_scope"},
		{"CC-04 tab", c, url.Values{"scope": {"client.read\tfdx:accountbasic:read"}}, "400 invalid_scope"},
		{"CC-04 quote", c, url.Values{"scope": {`client.read"`}}, "400 invalid_scope"},
		{"CC-04 backslash", c, url.Values{"scope": {`client.read\`}}, "400 invalid_scope"},
		{"CC-04 two spaces", c, url.Values{"scope": {"client.read  fdx:accountbasic:read"}}, "400 invalid_scope"},
		{"CC-04 long", c, url.Values{"scope": {strings.Repeat("s", 5<<10)}}, "400 invalid_scope"},
		{"CC-04 many", c, url.Values{"scope": {strings.Join(scopes, " ")}}, "400 invalid_scope"},
		{"CC-04 case", c, url.Values{"scope": {"Client.read"}}, "400 invalid_scope"},
		{"CC-05 openid alone", c, url.Values{"scope": {"openid"}}, "400 invalid_scope"},
		{"CC-14 unknown", c, url.Values{"resource": {"https://api.other.example"}}, "400 invalid_target"},
		{"CC-14 fragment", c, url.Values{"resource": {accountsAPI + "#a"}}, "400 invalid_target"},
		{"CC-14 empty fragment", c, url.Values{"resource": {accountsAPI + "#"}}, "400 invalid_target"},
		{"CC-14 relative", c, url.Values{"resource": {"/fdx"}}, "400 invalid_target"},
		{"CC-14 one of two", c, url.Values{"resource": {accountsAPI, "https://api.other.example"}}, "400 invalid_target"},
		{"CC-14 many", c, url.Values{"resource": resources}, "400 invalid_target"},
		{"an unknown parameter", c, url.Values{"redirect_uri": {"https://client.example/cb"}, "foo": {"bar"}}, "200"},
		{"an empty scope counts as none", c, url.Values{"scope": {""}}, "200"},
	}
	for _, test := range tests {
		t.Run(test.id, func(t *testing.T) {
			r := test.client.TokenRequest(nil)
			maps.Copy(r.Form, test.form)
			e := do(t, test.client.Server, r)
			outcome(t, e, test.want)
			for _, values := range test.form { // what a stranger sent is not sent back
				if e.Status != http.StatusOK && len(values) > 0 && len(values[0]) > 40 && strings.Contains(e.ResponseBody, values[0][:40]) {
					t.Errorf("the answer repeats what came: %s", e.ResponseBody)
				}
			}
		})
	}
}

// What a token says follows from what was asked, and nothing but a token is given (CC-05, CC-12).
func TestTokenAnswers(t *testing.T) {
	d := deploy(t, 1, func(s *settings) { s.Resources = accountsAPI + "," + files })
	c := d.register(0, func(m map[string]any) { m["scope"] = "openid offline_access fdx:accountbasic:read client.read" })
	keys, err := c.Server.Keys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		form     url.Values
		scope    string
		audience any
	}{
		"everything by default":            {nil, "fdx:accountbasic:read client.read", accountsAPI},
		"CC-05 openid is left out":         {url.Values{"scope": {"openid client.read"}}, "client.read", accountsAPI},
		"the order is the client's":        {url.Values{"scope": {"client.read fdx:accountbasic:read"}}, "client.read fdx:accountbasic:read", accountsAPI},
		"a scope twice":                    {url.Values{"scope": {"client.read client.read"}}, "client.read", accountsAPI},
		"one resource":                     {url.Values{"resource": {files}}, "fdx:accountbasic:read client.read", files},
		"two resources, one of them twice": {url.Values{"resource": {files, accountsAPI, files}}, "fdx:accountbasic:read client.read", []any{files, accountsAPI}},
	} {
		t.Run(name, func(t *testing.T) {
			e := do(t, c.Server, c.TokenRequest(test.form))
			outcome(t, e, "200")
			if diff := cmp.Diff([]string{"access_token", "expires_in", "scope", "token_type"}, slices.Sorted(maps.Keys(e.JSON()))); diff != "" {
				t.Error(diff)
			}
			compact, _ := e.JSON()["access_token"].(string)
			token, err := flow.Decode(compact)
			if err != nil {
				t.Fatal(err)
			}
			if err := token.Verify(keys); err != nil || token.Member("typ") != "at+jwt" || token.Member("alg") != "ES256" {
				t.Errorf("%v, %v", token.Header, err)
			}
			want := []string{"aud", "client_id", "cnf", "exp", "iat", "iss", "jti", "scope", "sub"}
			if diff := cmp.Diff(want, slices.Sorted(maps.Keys(token.Claims))); diff != "" {
				t.Error(diff)
			}
			if token.Claims["scope"] != test.scope || e.JSON()["scope"] != test.scope || token.Claims["sub"] != c.ID || token.Claims["iss"] != d.issuer ||
				flow.Lifetime(token.Claims) != int64(tokenLifetime.Seconds()) || len(token.Claim("jti")) < 22 {
				t.Errorf("%v", token.Claims)
			}
			if diff := cmp.Diff(test.audience, token.Claims["aud"]); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// HT-01: a flat JSON object of strings is a token request, and nothing else of JSON is.
func TestTokenRequestAsJSON(t *testing.T) {
	d := deploy(t, 1, nil)
	c := d.everywhere(d.register(0))[0]
	const assertionType = `"client_assertion_type":"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"`
	for name, test := range map[string]struct{ more, want string }{
		"flat":                  {`,"scope":"client.read"`, "200"},
		"an empty value":        {`,"scope":""`, "200"},
		"an unknown member":     {`,"x":"y"`, "200"},
		"a member twice":        {`,"scope":"client.read","scope":"client.read"`, "400 invalid_request"},
		"a member twice, empty": {`,"scope":"","scope":"client.read"`, "400 invalid_request"},
		"an escaped twin":       {`,"scope":"client.read","sc\u006fpe":"client.read"`, "400 invalid_request"},
		"a number":              {`,"scope":7`, "400 invalid_request"},
		"null":                  {`,"scope":null`, "400 invalid_request"},
		"an array":              {`,"scope":["client.read"]`, "400 invalid_request"},
		"an object":             {`,"scope":{"a":"b"}`, "400 invalid_request"},
		"true":                  {`,"x":true`, "400 invalid_request"},
		"NUL":                   {`,"x":"\u0000"`, "400 invalid_request"},
		"something after it":    {`}{"a":"b"`, "400 invalid_request"},
		"no end":                {`,"x":"y`, "400 invalid_request"},
	} {
		t.Run("HT-01 "+name, func(t *testing.T) {
			body := `{"grant_type":"client_credentials",` + assertionType + `,"client_assertion":"` + compact(t, c.Assertion()) + `"` + test.more + `}`
			outcome(t, post(t, c, "application/json", body), test.want)
		})
	}
	for _, endpoint := range []string{"/oauth2/introspect", "/oauth2/revoke"} {
		body := `{` + assertionType + `,"token":"x","client_assertion":"` + compact(t, c.Assertion()) + `"}`
		e := raw(t, c.Server, http.MethodPost, d.issuer+endpoint, http.Header{"Content-Type": {"application/json"}}, body)
		refusedFor(t, e, "415 invalid_request", oauth.ContentTypeRefused)
	}
}
