package main

import (
	"encoding/json"
	"net/http"
	"testing"

	"authserver/internal/flow"
	"authserver/internal/store/storetest"
)

// TestOutage: without a database the public documents stay, everything else is 503 and says when to come back, and after
// it no replica has to be started again (architecture, decision 15).
func TestOutage(t *testing.T) {
	pg := storetest.NewPrivate(t, true)
	p := newProduction(t, pg.URL())
	p.must("migrate", "up")
	s := p.start("AUTHSERVER_REGISTRATION=open", "AUTHSERVER_REGISTRATION_LIMIT=0")
	server := s.server()
	k := key(t, "ES256")
	c, err := server.Register(t.Context(), server.RegisterRequest(metadata(k)), k, key(t, "ES256"))
	if err != nil {
		t.Fatal(err)
	}
	token, err := c.Token(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	states, status := s.ready(t, "")
	if status != http.StatusOK || states["database"] != "ok" {
		t.Errorf("readyz: %d %v", status, states)
	}

	pg.Stop()
	spent := c.TokenRequest(nil)
	for _, request := range []*flow.Request{
		spent, c.IntrospectRequest(token.AccessToken), c.RevokeRequest(token.AccessToken), c.ManageRequest(http.MethodGet, nil),
		server.RegisterRequest(metadata(k)), about(c, toShow, "any", token.AccessToken),
	} {
		e, err := server.Do(t.Context(), request)
		if err != nil {
			t.Fatal(err)
		}
		outcome(t, e, "503 temporarily_unavailable")
		if e.ResponseHeader.Get("Retry-After") == "" {
			t.Errorf("%s %s: no Retry-After", e.Method, e.URL)
		}
	}
	for _, path := range []string{"/.well-known/openid-configuration", "/oauth2/jwks", "/errors/assertion_audience"} {
		outcome(t, do(t, server, &flow.Request{Method: http.MethodGet, URL: p.issuer + path}), "200")
	}
	if states, status := s.ready(t, ""); status != http.StatusServiceUnavailable || states["database"] != "failed" {
		t.Errorf("readyz without a database: %d %v", status, states)
	}
	if states, status := s.ready(t, "?for=traffic"); status != http.StatusOK {
		t.Errorf("readyz?for=traffic without a database: %d %v", status, states)
	}

	pg.Start()
	outcome(t, do(t, server, c.TokenRequest(nil)), "200")
	outcome(t, do(t, server, spent), "200") // it was never spent
	if states, status := s.ready(t, ""); status != http.StatusOK {
		t.Errorf("readyz afterwards: %d %v", status, states)
	}
}

// ready asks /readyz.
func (s *served) ready(t *testing.T, query string) (states map[string]string, status int) {
	t.Helper()
	response, err := http.Get("http://127.0.0.1:" + s.health + "/readyz" + query)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(&states); err != nil {
		t.Fatal(err)
	}
	return states, response.StatusCode
}
