package flow

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// careless imitates a server that answers every request well and refuses nothing: all that a flow should find wrong.
type careless struct {
	issuer       string
	key          *Key
	registration map[string]any
	requests     []string
}

func (s *careless) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.requests = append(s.requests, r.Method+" "+r.URL.Path)
	w.Header().Set("Cache-Control", "no-store")
	r.ParseForm()
	answer := func(status int, body any) {
		w.WriteHeader(status)
		json.NewEncoder(w).Encode(body)
	}
	switch r.Method + " " + r.URL.Path {
	case "GET /.well-known/oauth-authorization-server":
		answer(200, map[string]any{"issuer": s.issuer, "token_endpoint": s.issuer + "/token", "jwks_uri": s.issuer + "/jwks",
			"registration_endpoint": s.issuer + "/register", "introspection_endpoint": s.issuer + "/introspect",
			"revocation_endpoint":                              s.issuer + "/revoke",
			"token_endpoint_auth_signing_alg_values_supported": []string{"ES256"}, "dpop_signing_alg_values_supported": []string{"ES256"}})
	case "GET /jwks":
		answer(200, map[string]any{"keys": []JWK{s.key.PublicJWK()}})
	case "POST /token":
		answer(200, map[string]any{"access_token": s.token(r), "token_type": "DPoP", "expires_in": 300, "scope": r.Form.Get("scope")})
	case "POST /introspect":
		token, _ := Decode(r.Form.Get("token"))
		token.Claims["active"], token.Claims["token_type"] = true, "DPoP"
		answer(200, token.Claims)
	case "POST /register", "PUT /register/c1":
		json.NewDecoder(r.Body).Decode(&s.registration)
		s.registration["client_id"], s.registration["registration_access_token"] = "c1", "secret-registration-token"
		s.registration["registration_client_uri"] = s.issuer + "/register/c1"
		answer(map[string]int{"POST": 201, "PUT": 200}[r.Method], s.registration)
	case "GET /register/c1":
		answer(200, s.registration)
	case "DELETE /register/c1":
		w.WriteHeader(204)
	case "GET /demo/accounts":
		if r.Header.Get("Authorization") == "" {
			w.Header().Set("WWW-Authenticate", `DPoP algs="ES256"`)
			w.WriteHeader(401)
		}
	}
}

func (s *careless) token(r *http.Request) string {
	proof, _ := Decode(r.Header.Get("DPoP"))
	assertion, _ := Decode(r.Form.Get("client_assertion"))
	client := assertion.Claim("sub")
	token, _ := Draft{Key: s.key, Alg: "ES256", Header: map[string]any{"alg": "ES256", "typ": "at+jwt", "kid": s.key.ID},
		Claims: map[string]any{"iss": s.issuer, "sub": client, "client_id": client, "aud": s.issuer, "iat": 1_700_000_000,
			"exp": 1_700_000_300, "cnf": map[string]string{"jkt": proof.JKT}}}.Sign()
	return token
}

func playCareless(t *testing.T, bend func(*ClientCredentials)) (*careless, *Report) {
	t.Helper()
	key, err := GenerateKey("ES256")
	if err != nil {
		t.Fatal(err)
	}
	registrar, resourceServer := *key, *key
	registrar.ClientID, resourceServer.ClientID = "registrar", "resource-server"
	server := &careless{key: key}
	listener := httptest.NewServer(server)
	t.Cleanup(listener.Close)
	server.issuer = listener.URL
	run := &ClientCredentials{RegistrarKey: &registrar, ResourceServerKey: &resourceServer,
		Server: &Server{Issuer: listener.URL, HTTP: NewHTTPClient(http.DefaultTransport, 5*time.Second), Now: time.Now}}
	if bend != nil {
		bend(run)
	}
	report, err := run.Run(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return server, report
}

func failed(report *Report) []string {
	var names []string
	for _, step := range report.Steps {
		for _, check := range step.Checks {
			if !check.OK {
				names = append(names, fmt.Sprint(step.Number, " ", check.Name))
			}
		}
	}
	return names
}

// What a careless server does well passes, and each of its omissions is found.
func TestACarelessServerIsFoundOut(t *testing.T) {
	_, report := playCareless(t, nil)
	t.Run("redacted", func(t *testing.T) { checkRedacted(t, report) })
	want := []string{
		"7 introspection says nothing but inactive", "7 the resource refuses the token",
		"9 the same DPoP proof again", "9 the same assertion again", "9 an assertion for the token endpoint",
		"9 an assertion with aud as an array", "9 an assertion signed with RS256", "9 an assertion with alg none",
		"9 no DPoP proof", "9 a proof for another URL", "9 an unknown scope", "9 grant_type password",
		"9 the token as Bearer", "9 the token with another key's proof", "9 a token for the deleted client",
		"9 the deleted registration", "9 its token, for a resource server",
	}
	if diff := cmp.Diff(want, failed(report)); diff != "" {
		t.Error(diff)
	}
	if report.Failed != len(want) || report.Passed < 25 || len(report.Steps) != 9 {
		t.Errorf("%d passed, %d failed, %d steps", report.Passed, report.Failed, len(report.Steps))
	}
}

// breakOff lets the token endpoint answer without a token once the client is registered.
func breakOff(run *ClientCredentials) {
	run.Done = func(step *Step) {
		if step.Title == "register a client" {
			run.Server.Metadata.TokenEndpoint = run.Server.Issuer + "/jwks"
		}
	}
}

func TestAFlowThatBreaksOffDeletesItsClient(t *testing.T) {
	server, report := playCareless(t, breakOff)
	if last := report.Steps[len(report.Steps)-1]; last.Title != "client's token" || last.Checks[len(last.Checks)-1].OK {
		t.Errorf("the flow went on to %q", last.Title)
	}
	if got := server.requests[len(server.requests)-1]; got != "DELETE /register/c1" {
		t.Errorf("the last request is %s", got)
	}
}

func TestThreeWaysToRegister(t *testing.T) {
	register := func(bend func(*ClientCredentials)) (registrarToken string, registration *Exchange) {
		_, report := playCareless(t, func(run *ClientCredentials) {
			bend(run)
			breakOff(run)
		})
		if step := report.Steps[1]; len(step.Exchanges) > 0 {
			registrarToken = text(step.Exchanges[0].JSON()["access_token"])
		} else if step.Skipped == "" {
			t.Error("step 2 is empty without a reason")
		}
		return registrarToken, report.Steps[2].Exchanges[0]
	}
	token, registration := register(func(*ClientCredentials) {})
	if got := registration.RequestHeader.Get("Authorization"); got != "DPoP "+token || registration.JWTs[0].Claim("ath") != digest64(token) {
		t.Errorf("the registrar shows %s with the proof %v", got, registration.JWTs)
	}
	_, registration = register(func(run *ClientCredentials) { run.RegistrarKey, run.InitialAccessToken = nil, "initial" })
	if got := registration.RequestHeader.Get("Authorization"); got != "Bearer initial" {
		t.Errorf("Authorization: %s", got)
	}
	_, registration = register(func(run *ClientCredentials) { run.RegistrarKey = nil })
	if got := registration.RequestHeader.Get("Authorization"); got != "" {
		t.Errorf("an open registration shows %s", got)
	}
}

// checkRedacted sees that no credential is left in a redacted report, and that the report itself keeps them.
func checkRedacted(t *testing.T, report *Report) {
	shown, err := json.Marshal(report.Redacted())
	if err != nil {
		t.Fatal(err)
	}
	secrets := 0
	for _, step := range report.Steps {
		for _, exchange := range step.Exchanges {
			_, token, _ := strings.Cut(exchange.RequestHeader.Get("Authorization"), " ")
			for _, secret := range []string{token, exchange.RequestHeader.Get("DPoP"), exchange.Form().Get("client_assertion"),
				exchange.Form().Get("token"), text(exchange.JSON()["access_token"]), text(exchange.JSON()["registration_access_token"])} {
				if secret == "" {
					continue
				}
				secrets++
				if strings.Contains(string(shown), secret) {
					t.Errorf("%s %s shows %s", exchange.Method, exchange.URL, secret)
				}
			}
		}
	}
	if secrets < 50 {
		t.Errorf("only %d secrets to look for", secrets)
	}
}
