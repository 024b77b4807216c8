package main

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"authserver/internal/flow"
	"authserver/internal/jose"

	"github.com/google/go-cmp/cmp"
)

// hostile are names and values that end a JSON string early for a writer that does not escape.
var hostile = []string{
	`a","active":true,"x":"`, `a"`, `"`, `\`, `\"`, `a\u0022,"sub":"dev-registrar`, "a\u2028", `</script>`, `{"a":1}`, `a","scope":"client.create`,
}

// injectedClaims: what a client may name appears as one escaped value, or the request is refused.
func injectedClaims(t *testing.T, _ *deployment) {
	// Every character of RFC 6749 §3.3 that JSON, HTML or a header might take for its own.
	odd := `!#$%&'()*+-./:;<=>?@[]^_{|}~`
	d := deploy(t, 1, func(s *settings) { s.Scopes = odd })
	c := d.register(0, func(m map[string]any) { m["scope"] = "client.read " + odd })
	access := tokenFor(t, c, url.Values{"scope": {odd}})
	checkClaims(t, payloadOf(t, access), map[string]any{"scope": odd, "client_id": c.ID, "sub": c.ID, "iss": d.issuer})
	e := do(t, c.Server, c.IntrospectRequest(access))
	checkClaims(t, e.ResponseBody, map[string]any{"scope": odd, "client_id": c.ID, "active": true})
	signed := do(t, c.Server, c.IntrospectRequest(access).SetHeader("Accept", "application/token-introspection+jwt"))
	checkClaims(t, payloadOf(t, signed.ResponseBody), map[string]any{"iss": d.issuer, "aud": c.ID})

	for _, value := range hostile {
		e := do(t, c.Server, c.TokenRequest(url.Values{"scope": {value}}))
		outcome(t, e, "400 invalid_scope")
		checkClaims(t, e.ResponseBody, map[string]any{"error": "invalid_scope"})
		for name, more := range map[string]url.Values{
			"resource": {"resource": {value}}, "claims": {"claims": {value}}, "authorization_details": {"authorization_details": {value}}, value: {value: {value}},
		} {
			e := do(t, c.Server, c.TokenRequest(more))
			outcome(t, e, "200", "400 invalid_target", "400 invalid_request", "400 invalid_authorization_details")
			if token, ok := e.JSON()["access_token"].(string); ok {
				claims := checkClaims(t, payloadOf(t, token), map[string]any{"client_id": c.ID, "sub": c.ID, "aud": d.issuer})
				if diff := cmp.Diff(accessTokenMembers, claims.Names()); diff != "" {
					t.Errorf("%s: %s", name, diff)
				}
			}
		}
		d.proven(c, flow.SetClaim("jti", value+c.ID), flow.SetClaim(value, value), flow.SetHeader("typ", "JWT"))
		injectedMetadata(t, d, value)
	}
}

// accessTokenMembers are the claims of an access token, each once, in the order in which they are written.
var accessTokenMembers = []string{"iss", "sub", "aud", "exp", "iat", "jti", "client_id", "scope", "cnf"}

// injectedMetadata registers a value where a client is free, and where it is not.
func injectedMetadata(t *testing.T, d *deployment, value string) {
	t.Helper()
	s := d.server(0)
	k := key(t, "ES256")
	e := do(t, s, s.RegisterRequest(metadata(k, func(m map[string]any) {
		m["client_name"], m["software_id"], m["contacts"] = value, value, []string{value}
		m[value] = value
	})))
	outcome(t, e, "201", "400 invalid_client_metadata")
	if e.Status == http.StatusCreated {
		o := checkClaims(t, e.ResponseBody, map[string]any{"client_name": value, "software_id": value, "contacts": []any{value}, "status": "Approved"})
		for _, name := range []string{value, "active", "sub"} {
			if o.Has(name) {
				t.Errorf("the registration has a member %q: %s", name, e.ResponseBody)
			}
		}
		if strings.Contains(e.JSON()["scope"].(string), "client.create") {
			t.Errorf("scope is %v", e.JSON()["scope"])
		}
	}
	for name, more := range map[string]any{"client_name#" + value: "x", "scope": value, "authorization_details_types": []string{value}, "default_acr_values": []string{value}} {
		e := do(t, s, s.RegisterRequest(metadata(k, func(m map[string]any) { m[name] = more })))
		outcome(t, e, "201", "400 invalid_client_metadata")
		checkClaims(t, e.ResponseBody, nil)
		if e.Status == http.StatusCreated && name != "default_acr_values" {
			t.Errorf("%s: %v was taken: %s", name, more, e.ResponseBody)
		}
	}
}

// checkClaims wants one strict JSON object, which has no name twice at any depth, with these members.
func checkClaims(t testing.TB, text string, want map[string]any) jose.Object {
	t.Helper()
	o, err := jose.ParseObject([]byte(text))
	if err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	var all map[string]any
	if err := json.Unmarshal([]byte(text), &all); err != nil {
		t.Fatal(err)
	}
	for name, value := range want {
		if diff := cmp.Diff(value, all[name]); diff != "" {
			t.Errorf("%s in %s: %s", name, text, diff)
		}
	}
	return o
}

// payloadOf is the text of a JWS's payload, as it was signed.
func payloadOf(t testing.TB, signed string) string {
	t.Helper()
	parts := strings.Split(signed, ".")
	if len(parts) != 3 {
		t.Fatalf("%q is no compact JWS", signed)
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
