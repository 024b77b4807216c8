package main

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"authserver/internal/flow"
	"authserver/internal/oauth"
	"authserver/internal/token"

	"github.com/google/go-cmp/cmp"
)

// document reads the metadata as a client would that knows nothing else.
func document(t testing.TB, s *flow.Server, target string) map[string]any {
	t.Helper()
	e := raw(t, s, http.MethodGet, target, nil, "")
	if e.Status != http.StatusOK || e.ResponseHeader.Get("Content-Type") != "application/json" {
		t.Fatalf("%s: %d %s", target, e.Status, e.ResponseHeader.Get("Content-Type"))
	}
	var members map[string]any
	if err := json.Unmarshal([]byte(e.ResponseBody), &members); err != nil {
		t.Fatal(err)
	}
	for name, value := range members {
		if list, isList := value.([]any); value == nil || value == "" || isList && len(list) == 0 {
			t.Errorf("META-02: %s is listed without a value", name)
		}
	}
	return members
}

// list is a member of the metadata that is a list of words.
func list(m map[string]any, name string) []string {
	var words []string
	values, _ := m[name].([]any)
	for _, v := range values {
		word, _ := v.(string)
		words = append(words, word)
	}
	return words
}

// TestMetadataIsTrue uses everything that the metadata lists.
func TestMetadataIsTrue(t *testing.T) {
	d := deploy(t, 1, func(s *settings) { s.Scopes = "bank:extra" })
	s := d.server(0)
	m := document(t, s, d.issuer+"/.well-known/oauth-authorization-server")
	if diff := cmp.Diff(m, document(t, s, d.issuer+"/.well-known/openid-configuration")); diff != "" {
		t.Errorf("META-01: the two documents differ: %s", diff)
	}
	if m["issuer"] != d.issuer {
		t.Errorf("KY-07: issuer is %v", m["issuer"])
	}
	t.Run("every endpoint answers", func(t *testing.T) { useEndpoints(t, d, m) })
	t.Run("every scope registers and can be asked for", func(t *testing.T) {
		scopes := list(m, "scopes_supported")
		if !slices.Contains(scopes, "openid") || !slices.Contains(scopes, "bank:extra") {
			t.Errorf("%v", scopes)
		}
		c := d.register(0, func(m map[string]any) { m["scope"] = strings.Join(scopes, " ") })
		for _, scope := range scopes {
			e := do(t, c.Server, c.TokenRequest(url.Values{"scope": {"client.read " + scope}}))
			granted, _ := e.JSON()["scope"].(string)
			if outcome(t, e, "200"); scope != "openid" && scope != "offline_access" && !slices.Contains(strings.Fields(granted), scope) {
				t.Errorf("%s: %v", scope, e.JSON()["scope"])
			}
		}
	})
	t.Run("every grant type works", func(t *testing.T) {
		want := []string{"authorization_code", "refresh_token", "client_credentials", token.JWTBearer}
		if diff := cmp.Diff(want, list(m, "grant_types_supported")); diff != "" {
			t.Fatalf("write the request of a new grant type here: %s", diff)
		}
		c := d.recipient(0)
		outcome(t, do(t, c.Server, c.TokenRequest(nil)), "200")
		a := ask(t, c)
		redeemed := do(t, c.Server, c.CodeRequest(a.answer(flow.Approve).Get("code"), a.pkce.Verifier, callback))
		outcome(t, redeemed, "200")
		refreshToken, _ := redeemed.JSON()["refresh_token"].(string)
		outcome(t, do(t, c.Server, c.RefreshRequest(refreshToken, nil)), "200")
		outcome(t, do(t, s, assertionRequest(s, d.asserted(t, s))), "200")
	})
	if m["request_parameter_supported"] != true || m["request_uri_parameter_supported"] != false || m["require_signed_request_object"] != false {
		t.Errorf("JAR-08, JAR-10: %v", m)
	}
	t.Run("every algorithm signs", func(t *testing.T) { useAlgorithms(t, d, m) })
	t.Run("every algorithm encrypts", func(t *testing.T) { useEncryption(t, d, m) })
	t.Run("everything about people", func(t *testing.T) { useIdentity(t, d, m) })
	t.Run("nothing weak is listed", func(t *testing.T) {
		delete(m, "prompt_values_supported") // where none is a word for something else
		text, _ := json.Marshal(m)
		for _, weak := range []string{"RS256", "none", "HS256", "client_secret", "plain", "implicit", "password", "RSA1_5"} {
			if strings.Contains(string(text), `"`+weak) {
				t.Errorf("%s is listed", weak)
			}
		}
	})
}

// useEndpoints sends a request without anything to every endpoint that the metadata names.
func useEndpoints(t *testing.T, d *deployment, m map[string]any) {
	answers := map[string]string{
		"token_endpoint": "401", "introspection_endpoint": "401", "revocation_endpoint": "401", "registration_endpoint": "400", "jwks_uri": "200",
		"pushed_authorization_request_endpoint": "401", "authorization_endpoint": "400", "end_session_endpoint": "303",
		"userinfo_endpoint": "401"}
	s := d.server(0)
	for name, value := range m {
		if !strings.HasSuffix(name, "_endpoint") && name != "jwks_uri" {
			continue
		}
		target, _ := value.(string)
		method, header, body := http.MethodPost, http.Header{"Content-Type": {formType}}, "x=y"
		switch name {
		case "jwks_uri":
			method = http.MethodGet
		case "registration_endpoint":
			header, body = http.Header{"Content-Type": {"application/json"}}, "{}"
		}
		e := raw(t, s, method, target, header, body)
		if got := e.Outcome()[:3]; got != answers[name] || !strings.HasPrefix(target, d.issuer+"/") {
			t.Errorf("%s %s answers %s, want %q", name, target, e.Outcome(), answers[name])
		}
	}
}

// useAlgorithms signs assertions, proofs and answers with every algorithm that is listed for them.
func useAlgorithms(t *testing.T, d *deployment, m map[string]any) {
	s := d.server(0)
	keys, err := s.Keys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	members := map[string]string{}
	for name, endpoint := range map[string]string{"token": "token_endpoint", "introspect": "introspection_endpoint", "revoke": "revocation_endpoint"} {
		members[name] = endpoint + "_auth_signing_alg_values_supported"
		if diff := cmp.Diff([]string{"private_key_jwt"}, list(m, endpoint+"_auth_methods_supported")); diff != "" {
			t.Error(diff)
		}
	}
	for _, alg := range list(m, "token_endpoint_auth_signing_alg_values_supported") {
		k := key(t, alg)
		c, err := s.Register(t.Context(), s.RegisterRequest(metadata(k, func(m map[string]any) {
			m["token_endpoint_auth_signing_alg"], m["introspection_signed_response_alg"] = alg, alg
		})), k, key(t, "ES256"))
		if err != nil {
			t.Fatal(alg, err)
		}
		for name, r := range endpoints(c) {
			if !slices.Contains(list(m, members[name]), alg) {
				t.Errorf("%s is not listed in %s", alg, members[name])
			}
			outcome(t, do(t, s, r), "200")
		}
		answer, err := flow.Decode(do(t, s, c.IntrospectRequest("unknown")).ResponseBody)
		if err != nil {
			t.Fatal(err)
		}
		if err := answer.Verify(keys); err != nil || answer.Member("alg") != alg || !slices.Contains(list(m, "introspection_signing_alg_values_supported"), alg) {
			t.Errorf("%s: %v %v", alg, answer.Header, err)
		}
	}
	for _, alg := range list(m, "request_object_signing_alg_values_supported") {
		k := key(t, alg)
		c := d.recipient(0, func(m map[string]any) {
			m["jwks"], m["request_object_signing_alg"] = map[string]any{"keys": []any{k.PublicJWK()}}, alg
		})
		c.Key = k
		outcome(t, do(t, c.Server, c.SignedPushRequest(pushable())), "201")
	}
	c := d.register(0)
	for _, alg := range list(m, "dpop_signing_alg_values_supported") {
		c.DPoPKey = key(t, alg)
		e := do(t, c.Server, c.TokenRequest(nil))
		if outcome(t, e, "200"); e.JSON()["token_type"] != "DPoP" {
			t.Errorf("%s: %s", alg, e.ResponseBody)
		}
	}
}

// KY-02: public members only, names of their own, and for how long they may be kept.
func TestPublishedKeys(t *testing.T) {
	d := deploy(t, 2, nil)
	e := raw(t, d.server(0), http.MethodGet, d.issuer+"/oauth2/jwks", nil, "")
	other := raw(t, d.server(1), http.MethodGet, d.issuer+"/oauth2/jwks", nil, "")
	if e.ResponseBody != other.ResponseBody {
		t.Errorf("KY-03: two replicas publish different keys: %s %s", e.ResponseBody, other.ResponseBody)
	}
	var set struct{ Keys []map[string]any }
	if err := json.Unmarshal([]byte(e.ResponseBody), &set); err != nil {
		t.Fatal(err)
	}
	kids := map[any]bool{}
	allowed := map[any][]string{"RSA": {"alg", "e", "kid", "kty", "n", "use"}, "EC": {"alg", "crv", "kid", "kty", "use", "x", "y"},
		"OKP": {"alg", "crv", "kid", "kty", "use", "x"}}
	for _, k := range set.Keys {
		for name := range k {
			if !slices.Contains(allowed[k["kty"]], name) {
				t.Errorf("%v has %s", k["kid"], name)
			}
		}
		if len(k) != len(allowed[k["kty"]]) || k["use"] != "sig" || k["kid"] == "" || kids[k["kid"]] {
			t.Errorf("%v", k)
		}
		kids[k["kid"]] = true
	}
	if cache := e.ResponseHeader.Get("Cache-Control"); len(set.Keys) == 0 || cache != "public, max-age=300" {
		t.Errorf("%d keys, Cache-Control %q", len(set.Keys), cache)
	}
}

// An issuer with a path: its documents lie where RFC 8414 §3.1 and OpenID Connect Discovery §4 put them, and its endpoints
// below it; nothing answers beside it.
func TestIssuerWithPath(t *testing.T) {
	d := deploy(t, 1, func(s *settings) { s.Issuer = "https://bank.example/auth" })
	s := d.server(0)
	m := document(t, s, "https://bank.example/.well-known/oauth-authorization-server/auth")
	if diff := cmp.Diff(m, document(t, s, "https://bank.example/auth/.well-known/openid-configuration")); diff != "" {
		t.Error(diff)
	}
	for name, value := range m {
		if target, _ := value.(string); strings.HasPrefix(target, "https://") && !strings.HasPrefix(target, d.issuer) {
			t.Errorf("%s is %s", name, target)
		}
	}
	c := d.register(0)
	access := tokenFor(t, c, nil)
	if !strings.HasPrefix(c.RegistrationURI, d.issuer+"/fdx/v6/register/") {
		t.Error(c.RegistrationURI)
	}
	alias := c.TokenRequest(nil)
	alias.URL = d.issuer + "/oauth/token"
	alias.Proof = c.Proof(alias.Method, alias.URL)
	for _, r := range []*flow.Request{c.IntrospectRequest(access), c.ManageRequest(http.MethodGet, nil),
		c.Present(&flow.Request{Method: http.MethodGet, URL: c.RegistrationURI}, access), c.RevokeRequest(access), alias} {
		outcome(t, do(t, c.Server, r), "200")
	}
	refused := do(t, c.Server, c.TokenRequest(url.Values{"scope": {"none"}}))
	explanation, _ := refused.JSON()["error_uri"].(string)
	page := raw(t, s, http.MethodGet, explanation, nil, "")
	if page.Status != http.StatusOK || !strings.Contains(page.ResponseBody, string(oauth.ScopeNotRegistered)) {
		t.Errorf("error_uri: %d %s", page.Status, page.ResponseBody)
	}
	for _, beside := range []string{"https://bank.example/oauth2/token", "https://bank.example/oauth2/jwks", "https://bank.example/.well-known/oauth-authorization-server",
		"https://bank.example/.well-known/openid-configuration", "https://bank.example/auth/.well-known/oauth-authorization-server", "https://bank.example/authx/oauth2/jwks"} {
		outcome(t, raw(t, s, http.MethodGet, beside, nil, ""), "404 invalid_request")
	}
}

func TestClosedRegistrationIsNotListed(t *testing.T) {
	for gate, listed := range map[string]bool{"token": true, "closed": false} {
		d := deploy(t, 1, func(s *settings) { s.Registration = gate })
		if _, got := document(t, d.server(0), d.issuer+"/.well-known/openid-configuration")["registration_endpoint"]; got != listed {
			t.Errorf("%s: listed %t", gate, got)
		}
	}
}

// HT-09: any web page may read the public documents, and nothing else; credentials are never part of it.
func TestPublicDocuments(t *testing.T) {
	d := deploy(t, 1, nil)
	s := d.server(0)
	origin := http.Header{"Origin": {"https://app.example"}}
	preflight := http.Header{"Origin": {"https://app.example"}, "Access-Control-Request-Method": {"GET"}}
	for _, path := range []string{"/.well-known/oauth-authorization-server", "/.well-known/openid-configuration", "/oauth2/jwks"} {
		t.Run("HT-09 "+path, func(t *testing.T) {
			get := raw(t, s, http.MethodGet, d.issuer+path, origin, "")
			head := raw(t, s, http.MethodHead, d.issuer+path, origin, "")
			options := raw(t, s, http.MethodOptions, d.issuer+path, preflight, "")
			if get.Status != http.StatusOK || get.ResponseBody == "" || get.ResponseHeader.Get("Cache-Control") != "public, max-age=300" {
				t.Errorf("GET: %d %v", get.Status, get.ResponseHeader)
			}
			if head.Status != http.StatusOK || head.ResponseBody != "" {
				t.Errorf("HEAD: %d %v", head.Status, head.ResponseHeader)
			}
			for _, name := range []string{"Content-Type", "Content-Length", "Cache-Control"} {
				if got, want := head.ResponseHeader.Get(name), get.ResponseHeader.Get(name); got != want {
					t.Errorf("HEAD: %s is %q, and %q for GET", name, got, want)
				}
			}
			if options.Status != http.StatusNoContent || options.ResponseBody != "" || !strings.Contains(options.ResponseHeader.Get("Access-Control-Allow-Methods"), "GET") {
				t.Errorf("OPTIONS: %d %v", options.Status, options.ResponseHeader)
			}
			for _, e := range []*flow.Exchange{get, head, options} {
				if e.ResponseHeader.Get("Access-Control-Allow-Origin") != "*" || e.ResponseHeader.Get("Access-Control-Allow-Credentials") != "" {
					t.Errorf("%s: %v", e.Method, e.ResponseHeader)
				}
			}
			outcome(t, raw(t, s, http.MethodPost, d.issuer+path, origin, ""), "405 invalid_request")
		})
	}
	for _, path := range []string{"/errors/proof_iat", "/demo/accounts", "/nowhere"} {
		if e := raw(t, s, http.MethodGet, d.issuer+path, origin, ""); e.ResponseHeader.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: %v", path, e.ResponseHeader)
		}
	}
}
