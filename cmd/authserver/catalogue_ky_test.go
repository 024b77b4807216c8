package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"authserver/internal/flow"
	"authserver/internal/jose"
	"authserver/internal/store"
	"authserver/internal/store/storetest"

	"github.com/google/go-cmp/cmp"
)

// attacksOnKeys is the section KY: this server's own keys and metadata.
func attacksOnKeys() []attack {
	return []attack{
		{"KY-01", rotationUnderLoad},
		{"KY-02", publishedKeys},
		{"KY-03", firstKeys},
		{"KY-04", lostKey},
		{"KY-05", weakKeys},
		{"KY-07", publishedMetadata},
		{"KY-08", poisonedHost},
		{"KY-09", injectedClaims},
	}
}

// publishedKeys wants the public members of each key and no others, under kids of their own, at every replica alike.
func publishedKeys(t *testing.T, d *deployment) {
	allowed := map[string][]string{
		"RSA": {"kty", "n", "e", "kid", "use", "alg"}, "EC": {"kty", "crv", "x", "y", "kid", "use", "alg"}, "OKP": {"kty", "crv", "x", "kid", "use", "alg"},
	}
	var first string
	for i := range d.replicas {
		s := d.server(i)
		e := do(t, s, &flow.Request{Method: http.MethodGet, URL: s.Metadata.JWKSURI})
		outcome(t, e, "200")
		if control := e.ResponseHeader.Get("Cache-Control"); control != "public, max-age=300" {
			t.Errorf("Cache-Control is %q", control)
		}
		if first == "" {
			first = e.ResponseBody
		}
		if e.ResponseBody != first {
			t.Errorf("replica %d publishes other keys: %s", i, e.ResponseBody)
		}
	}
	var set struct{ Keys []map[string]string }
	if err := json.Unmarshal([]byte(first), &set); err != nil {
		t.Fatal(err)
	}
	kids, keys, algs := map[string]bool{}, map[string]bool{}, map[string]int{}
	for _, key := range set.Keys {
		for member := range key {
			if !slices.Contains(allowed[key["kty"]], member) {
				t.Errorf("a key has the member %s", member)
			}
		}
		text, _ := json.Marshal(key)
		parsed, err := jose.ParseKey(text) // refuses private members, weak keys, other uses and an alg of another type
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if key["use"] != "sig" || key["alg"] != string(parsed.Alg()) || key["kid"] == "" || kids[key["kid"]] || keys[parsed.Thumbprint()] {
			t.Errorf("use %q, alg %q, kid %q", key["use"], key["alg"], key["kid"])
		}
		kids[key["kid"]], keys[parsed.Thumbprint()] = true, true
		algs[key["alg"]]++
	}
	if diff := cmp.Diff(map[string]int{"PS256": 1, "ES256": 1, "EdDSA": 1}, algs); diff != "" {
		t.Error(diff)
	}
	tokensVerify(t, d, d.register(0))
}

// tokensVerify wants a token of every replica to verify with the keys that every replica publishes.
func tokensVerify(t *testing.T, d *deployment, c *flow.Client) {
	t.Helper()
	for i := range d.replicas {
		c := d.at(c, i)
		e := do(t, c.Server, c.TokenRequest(nil))
		outcome(t, e, "200")
		for j := range d.replicas {
			keys, err := d.server(j).Keys(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, token := range e.JWTs {
				if err := token.Verify(keys); token.Name == "access_token" && err != nil {
					t.Errorf("a token of replica %d at replica %d: %v", i, j, err)
				}
			}
		}
	}
}

// firstKeys starts three replicas at once on an empty database, several times over.
func firstKeys(t *testing.T, d *deployment) {
	for range 3 {
		empty := *d
		empty.url = storetest.URL(t)
		empty.replicas, empty.hosts, empty.stops = nil, nil, nil
		apps, errs := make([]*app, 3), make([]error, 3)
		var stores []*store.Store
		for range apps {
			stores = append(stores, storetest.Open(t, empty.url))
		}
		start := make(chan struct{})
		var starting sync.WaitGroup
		for i := range apps {
			starting.Go(func() {
				<-start
				apps[i], errs[i] = newApp(t.Context(), d.config, stores[i], slog.New(slog.NewJSONHandler(d.logs, nil)), nil, d.clock.now)
			})
		}
		close(start)
		starting.Wait()
		for i, a := range apps {
			if errs[i] != nil {
				t.Fatal(errs[i])
			}
			listener := httptest.NewServer(a.server.Handler())
			t.Cleanup(listener.Close)
			empty.hosts = append(empty.hosts, listener.Listener.Addr().String())
		}
		empty.replicas = apps
		stored, err := stores[0].SigningKeys(t.Context())
		if err != nil || len(stored) != 3 {
			t.Errorf("%d keys are stored, want one of each algorithm: %v", len(stored), err)
		}
		for i, a := range apps {
			if !bytes.Equal(a.server.Keys.JWKS(), apps[0].server.Keys.JWKS()) {
				t.Errorf("replica %d has other keys than replica 0", i)
			}
		}
		tokensVerify(t, &empty, empty.register(1))
	}
}

// publishedMetadata reads the documents byte by byte. What authorization requests need is wanted from the moment on that
// there is an authorization endpoint: metadata names only what works.
func publishedMetadata(t *testing.T, d *deployment) {
	for _, issuer := range []string{d.issuer, "https://as.example", "https://as.example/tenant/a"} {
		if issuer != d.issuer {
			d = deploy(t, 1, func(s *settings) { s.Issuer = issuer })
		}
		s := d.server(0)
		oidc := &flow.Request{Method: http.MethodGet, URL: issuer + "/.well-known/openid-configuration"}
		m := map[string]any{}
		e := do(t, s, &flow.Request{Method: http.MethodGet, URL: metadataURL(issuer)})
		if err := json.Unmarshal([]byte(e.ResponseBody), &m); err != nil {
			t.Fatal(err)
		}
		if other := do(t, s, oidc); other.ResponseBody != e.ResponseBody {
			t.Errorf("the documents differ:\n%s\n%s", e.ResponseBody, other.ResponseBody)
		}
		if !strings.HasPrefix(e.ResponseBody, `{"issuer":"`+issuer+`",`) || strings.Count(e.ResponseBody, `"issuer"`) != 1 {
			t.Errorf("issuer is %v, want %s", m["issuer"], issuer)
		}
		for name, value := range m {
			text, isText := value.(string)
			if isText && (strings.HasSuffix(name, "_endpoint") || strings.HasSuffix(name, "_uri")) && !strings.HasPrefix(text, issuer+"/") {
				t.Errorf("%s is %s", name, text)
			}
			if strings.HasSuffix(name, "signing_alg_values_supported") {
				if diff := cmp.Diff([]any{"PS256", "ES256", "EdDSA"}, value); diff != "" {
					t.Errorf("%s: %s", name, diff)
				}
			}
			if strings.HasSuffix(name, "auth_methods_supported") && slices.Contains([]any{"client_secret_basic", "client_secret_post", "none"}, value.([]any)[0]) {
				t.Errorf("%s is %v", name, value)
			}
		}
		if _, authorizes := m["authorization_endpoint"]; authorizes {
			for _, name := range []string{"require_pushed_authorization_requests", "authorization_response_iss_parameter_supported"} {
				if m[name] != true {
					t.Errorf("%s is %v", name, m[name])
				}
			}
		}
		if m["request_uri_parameter_supported"] == true {
			t.Error("request_uri is offered beyond pushed requests")
		}
		d.proven(d.register(0))
	}
}

// poisonedHost: what a request says about its host changes nothing that is answered.
func poisonedHost(t *testing.T, d *deployment) {
	s := d.server(0)
	k := key(t, "ES256")
	body, err := json.Marshal(metadata(k))
	if err != nil {
		t.Fatal(err)
	}
	for _, target := range []struct{ method, path, body string }{
		{http.MethodGet, "/.well-known/oauth-authorization-server", ""},
		{http.MethodGet, "/.well-known/openid-configuration", ""},
		{http.MethodGet, "/oauth2/jwks", ""},
		{http.MethodPost, "/fdx/v6/register", string(body)},
		{http.MethodPost, "/oauth2/token", ""},
		{http.MethodGet, "/no/such/endpoint", ""},
	} {
		ask := func(poison func(*http.Request)) (status int, answer string) {
			r, err := http.NewRequestWithContext(t.Context(), target.method, d.issuer+target.path, strings.NewReader(target.body))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Content-Type", "application/json")
			poison(r)
			response, err := s.HTTP.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			text, err := io.ReadAll(response.Body)
			if err != nil {
				t.Fatal(err)
			}
			return response.StatusCode, fmt.Sprint(response.Header) + string(text)
		}
		cleanStatus, _ := ask(func(*http.Request) {})
		for name, poison := range map[string]func(*http.Request){
			"Host":             func(r *http.Request) { r.Host = "evil.example" },
			"Host with a port": func(r *http.Request) { r.Host = "localhost:8080.evil.example" },
			"absolute URL":     func(r *http.Request) { r.URL.Opaque = "//evil.example" + target.path },
			"X-Forwarded-Host": func(r *http.Request) { r.Header.Set("X-Forwarded-Host", "evil.example") },
			"Forwarded":        func(r *http.Request) { r.Header.Set("Forwarded", `host="evil.example";proto=https`) },
			"X-Forwarded-Proto": func(r *http.Request) {
				r.Header.Set("X-Forwarded-Proto", "evil")
				r.Header.Set("X-Forwarded-Port", "666")
			},
			"X-Original-URL": func(r *http.Request) {
				r.Header.Set("X-Original-URL", "https://evil.example/")
				r.Header.Set("X-Rewrite-URL", "https://evil.example/")
			},
		} {
			status, answer := ask(poison)
			if status != cleanStatus || strings.Contains(answer, "evil") || strings.Contains(answer, ":666") {
				t.Errorf("%s with %s: %d %s", target.path, name, status, answer)
			}
			if isMetadata := strings.Contains(target.path, "well-known"); isMetadata && !strings.Contains(answer, `{"issuer":"`+d.issuer+`",`) {
				t.Errorf("%s with %s: %s", target.path, name, answer)
			}
		}
	}
}
