package flow

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

// careless imitates a server that answers every request well and refuses nothing: all that a flow should find wrong.
// bends make its answers to good requests wrong too.
type careless struct {
	bank
	identities
	certificates
	t            testing.TB
	issuer       string
	key          *Key
	registration map[string]any
	pushed       url.Values // last
	endedBy      string     // initiator of the end of the last consent
	requests     []string
	withoutDemo  bool
	plainErrors  bool                            // an unknown consent is refused, in the words of OAuth
	bends        map[string]func(map[string]any) // of the JSON that answers "METHOD /path"
}

func (s *careless) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	route := r.Method + " " + r.URL.Path
	s.requests = append(s.requests, route)
	w.Header().Set("Cache-Control", "no-store")
	r.ParseForm()
	answer := func(status int, body map[string]any) {
		if bend := s.bends[route]; bend != nil {
			bend(body)
		}
		w.WriteHeader(status)
		json.NewEncoder(w).Encode(body)
	}
	if s.certified(w, r) {
		return
	}
	switch route {
	case "GET /.well-known/oauth-authorization-server":
		answer(200, s.metadata())
	case "GET /jwks":
		answer(200, map[string]any{"keys": []JWK{s.key.PublicJWK()}})
	case "POST /token":
		answer(200, s.token(r))
	case "POST /par":
		s.pushed, s.endedBy, s.stopped = s.asked(r.PostForm), "", false
		s.anew = s.pushed.Get("prompt") == "login" && !s.neverAnew
		if s.pushed == nil {
			answer(400, map[string]any{"error": "invalid_request"})
			return
		}
		s.terms = "authserver try: " + s.pushed.Get("authorization_details") + `<p>once, 60 days back, <time datetime="` +
			time.Now().AddDate(0, 0, 30).UTC().Format(time.DateOnly) + `">then</time>, Everyday ***1, Rainy day ***2. To stop: ` + s.issuer + `/connected</p>`
		answer(201, map[string]any{"request_uri": "urn:ietf:params:oauth:request_uri:secret-request", "expires_in": 90})
	case "POST /introspect":
		token, err := Decode(r.Form.Get("token"))
		if err != nil {
			token.Claims = map[string]any{}
		}
		token.Claims["active"], token.Claims["token_type"] = true, "DPoP"
		if Confirmation(token.Claims) == "" {
			token.Claims["token_type"] = "Bearer"
		}
		if media := r.Header.Get("Accept"); media != "application/json" {
			w.Header().Set("Content-Type", media)
			asks, _ := Decode(r.Form.Get("client_assertion"))
			io.WriteString(w, s.sign(route, "token-introspection+jwt", map[string]any{"aud": asks.Claim("sub"), "token_introspection": token.Claims}))
			return
		}
		answer(200, token.Claims)
	case "POST /register", "PUT /register/c1":
		s.registration = nil
		json.NewDecoder(r.Body).Decode(&s.registration)
		if s.isTaken() {
			answer(400, map[string]any{"error": "invalid_client_metadata"})
			return
		}
		s.registration["client_id"], s.registration["registration_access_token"] = "c1", "secret-registration-token"
		s.registration["registration_client_uri"] = s.issuer + "/register/c1"
		if s.registration["id_token_signed_response_alg"] != nil {
			s.sealing = maps.Clone(s.registration)
		}
		answer(map[string]int{"POST": 201, "PUT": 200}[r.Method], s.registration)
	case "GET /register/c1":
		answer(200, s.registration)
	case "DELETE /register/c1":
		w.WriteHeader(204)
	case "PUT /fdx/v6/consents/g1/revocation":
		s.endedBy = "DATA_RECIPIENT"
		w.WriteHeader(204)
	case "GET /fdx/v6/consents/g1/revocation":
		if s.stopped {
			s.endedBy = "INDIVIDUAL"
		}
		answer(200, map[string]any{"revocations": []map[string]string{{"status": "REVOKED", "initiator": s.endedBy}}})
	case "GET /demo/accounts":
		if s.withoutDemo {
			w.WriteHeader(404)
		} else if r.Header.Get("Authorization") == "" {
			w.Header().Add("WWW-Authenticate", `DPoP algs="ES256"`)
			w.Header().Add("WWW-Authenticate", "Bearer")
			w.WriteHeader(401)
		}
	default:
		id, ofConsent := strings.CutPrefix(route, "GET /fdx/v6/consents/")
		switch {
		case s.identity(w, r, route):
		case !ofConsent:
			s.bank.ServeHTTP(w, r)
		case id != "g1" && s.plainErrors:
			answer(404, map[string]any{"error": "invalid_request"})
		default:
			answer(200, s.consent())
		}
	}
}

// granted is what was asked for last, of the accounts that were chosen last.
func (s *careless) granted() Details {
	asked, _ := ReadDetails(s.pushed.Get("authorization_details"))
	var accounts []string
	for _, form := range s.posted {
		if form.Has("accounts") {
			accounts = form["accounts"]
		}
	}
	return asked.granted("alex-1", accounts)
}

func (s *careless) consent() map[string]any {
	status := "ACTIVE"
	if s.endedBy != "" || s.stopped {
		status = "REVOKED"
	}
	terms := s.granted()[0].ConsentRequest
	return map[string]any{"id": "g1", "status": status, "createdTime": "2026-03-01T12:00:00Z", "expirationTime": "2026-03-31T12:00:00Z",
		"parties":      []map[string]string{{"name": clientName, "type": "DATA_RECIPIENT"}, {"name": "a bank", "type": "DATA_PROVIDER"}},
		"durationType": terms.DurationType, "durationPeriod": terms.DurationPeriod, "lookbackPeriod": terms.LookbackPeriod,
		"resources": terms.Resources}
}

func (s *careless) metadata() map[string]any {
	document := map[string]any{"issuer": s.issuer, "token_endpoint": s.issuer + "/token", "jwks_uri": s.issuer + "/jwks",
		"registration_endpoint": s.issuer + "/register", "introspection_endpoint": s.issuer + "/introspect",
		"revocation_endpoint":                              s.issuer + "/revoke",
		"token_endpoint_auth_signing_alg_values_supported": []string{"ES256"}, "dpop_signing_alg_values_supported": []string{"ES256"},
		"authorization_endpoint": s.issuer + "/authorize", "pushed_authorization_request_endpoint": s.issuer + "/par",
		"require_pushed_authorization_requests": true, "code_challenge_methods_supported": []string{"S256"},
		"authorization_response_iss_parameter_supported": true, "authorization_details_types_supported": []string{DetailsType},
		"grant_types_supported": []string{"client_credentials", "authorization_code", "refresh_token", bearerGrant}}
	maps.Copy(document, s.identityMetadata())
	maps.Copy(document, s.mutualMetadata())
	return document
}

// token is a client's own, or alex's.
func (s *careless) token(r *http.Request) map[string]any {
	if answer, ok := s.vouched(r); ok {
		return answer
	}
	assertion, _ := Decode(r.Form.Get("client_assertion"))
	client, scope := cmp.Or(assertion.Claim("sub"), r.Form.Get("client_id")), r.Form.Get("scope")
	cnf, tokenType := s.boundTo(r)
	answer := map[string]any{"token_type": tokenType, "expires_in": 300}
	claims := map[string]any{"iss": s.issuer, "sub": client, "client_id": client, "aud": s.issuer, "iat": 1_700_000_000,
		"exp": 1_700_000_300, "jti": randomID(), "cnf": cnf}
	if r.Form.Get("grant_type") != "client_credentials" {
		var details Details
		details, scope = s.ofPerson(r.Form)
		claims["sub"], claims["fdxConsentId"], claims["grant_id"], claims["authorization_details"] = "alex-1", "g1", "g1", details
		answer["grant_id"], answer["authorization_details"] = "g1", details
		if !strings.Contains(s.pushed.Get("authorization_details"), "ONE_TIME") {
			answer["refresh_token"] = "secret-refresh-token"
		}
	}
	answer["scope"], claims["scope"] = scope, scope
	answer["access_token"] = s.sign("", "at+jwt", claims)
	if answer["grant_id"] != nil && s.sealing != nil {
		answer["id_token"] = s.idToken(client, text(answer["access_token"]), r.Form.Get("grant_type") == "refresh_token")
	}
	return answer
}

// sign makes a JWT of the server's own. What bends the JSON of a route bends the claims too.
func (s *careless) sign(route, typ string, claims map[string]any) string {
	claims["iss"] = s.issuer
	if bend := s.bends[route]; bend != nil {
		bend(claims)
	}
	signed, _ := Draft{Key: s.key, Alg: "ES256", Header: map[string]any{"alg": "ES256", "typ": typ, "kid": s.key.ID}, Claims: claims}.Sign()
	return signed
}

// ofPerson is what a token request of a person's grant gets: all that it asks for, or else all that was pushed.
func (s *careless) ofPerson(form url.Values) (Details, string) {
	asked, _ := ReadDetails(form.Get("authorization_details"))
	switch {
	case len(asked) > 0:
		return asked, "fdx:transactions:read"
	case form.Get("scope") != "":
		return s.granted(), form.Get("scope")
	case s.pushed.Get("authorization_details") == both.details:
		return s.granted(), both.granted
	}
	return s.granted(), s.pushed.Get("scope")
}

// allow sends every browser back with a code, also after Don't allow.
func (s *careless) allow(string) string {
	return s.back(url.Values{"code": {"secret-authorization-code"}, "state": s.pushed["state"], "iss": {s.issuer}})
}

// start runs a careless server, and makes what every flow against it begins with.
func start(t *testing.T) (*careless, Registrant) {
	t.Helper()
	key, err := GenerateKey("ES256")
	if err != nil {
		t.Fatal(err)
	}
	registrar, resourceServer := *key, *key
	registrar.ClientID, resourceServer.ClientID = "registrar", "resource-server"
	server := &careless{t: t, key: key, bank: bank{status: http.StatusSeeOther}}
	server.leave = server.allow
	listener := httptest.NewServer(server)
	t.Cleanup(listener.Close)
	server.issuer = listener.URL
	return server, Registrant{RegistrarKey: &registrar, ResourceServerKey: &resourceServer,
		Server: &Server{Issuer: listener.URL, HTTP: NewHTTPClient(http.DefaultTransport, time.Minute), Now: time.Now}}
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

// skipped are the steps in which nothing was done, and why.
func skipped(report *Report) map[int]string {
	why := map[int]string{}
	for _, step := range report.Steps {
		if step.Skipped != "" {
			why[step.Number] = step.Skipped
		}
	}
	return why
}

// bank imitates the pages of an authorization server that believes everybody: one browser, one request at a time.
type bank struct {
	prefix  string // of its cookies
	secure  bool
	leave   func(decision string) string // where it sends the browser at the end
	status  int                          // of its redirects
	visits  []string
	posted  []url.Values
	headers []http.Header            // of posts
	terms   string                   // that the consent page shows
	change  func(page string) string // of a page; nil: none
	stopped bool                     // a person has stopped sharing
	anew    bool                     // who is signed in signs in again

	unconnected bool // there is no page of connected apps
	unstoppable bool // it does not do what it should
}

func (s *bank) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r.ParseForm()
	s.visits = append(s.visits, r.Method+" "+r.URL.RequestURI())
	if r.Method == http.MethodPost {
		s.posted, s.headers = append(s.posted, r.PostForm), append(s.headers, r.Header)
	}
	cookie, err := r.Cookie(s.prefix + "session")
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Referrer-Policy", "no-referrer")
	switch r.URL.Path {
	case "/authorize":
		http.SetCookie(w, &http.Cookie{Name: s.prefix + "interaction", Value: "secret-i1", Path: "/", Secure: s.secure, HttpOnly: true})
		if err == nil && !s.anew {
			s.redirect(w, "/accounts")
			return
		}
		s.redirect(w, "login?interaction=h1")
	case "/login":
		s.page(w, 200, "Sign in", `<form method="post" action="/login/attempt"><input type="hidden" name="interaction" value="h1">
			<input type="hidden" name="form_token" value="secret-token&amp;1"><input name="username" value=""><input type="password" name="password">
			<input name="off" disabled value="x"><button id="submit">Sign in</button></form>`)
	case "/login/attempt":
		if r.PostFormValue("password") != "alex-demo" {
			s.page(w, 403, "Sign in", `<p role="alert">That is not
				right.</p><form method="POST"><input name="username"><input name="password"></form>`)
			return
		}
		http.SetCookie(w, &http.Cookie{Name: s.prefix + "session", Value: "secret-s1", Path: "/", Secure: s.secure})
		s.redirect(w, "/accounts")
	case "/accounts":
		s.page(w, 200, "Accounts", `<form method="post" action="/sign-out"><button>Sign out</button></form>
			<form method="post" action="/accounts/choice"><label><input type="checkbox" name="accounts" value="a1" checked>
			Everyday <b>***1</b></label><label><input type="checkbox" name="accounts" value="a2"> Rainy day ***2</label><button>Go on</button></form>`)
	case "/accounts/choice":
		s.redirect(w, "/consent")
	case "/consent":
		s.page(w, 200, "Allow?", s.terms+`<form method="post" action="/consent/decision">
			<input type="hidden" name="form_token" value="secret-token-2"><button name="decision" value="approve">Yes</button>
			<button name="decision" value="deny">No</button></form>`)
	case "/connected":
		switch {
		case s.unconnected:
			w.WriteHeader(404)
		case err != nil:
			s.page(w, 200, "Sign in", `<form method="post" action="/connected/attempt"><input name="username"><input name="password"></form>`)
		case s.stopped:
			s.page(w, 200, "Connected", "")
		default:
			s.page(w, 200, "Connected", `<form method="post" action="/connected/stop"><input type="hidden" name="consent" value="g0"></form>
				<form method="post" action="/connected/stop"><input type="hidden" name="consent" value="g1"></form>`)
		}
	case "/connected/attempt":
		http.SetCookie(w, &http.Cookie{Name: s.prefix + "session", Value: "secret-s1", Path: "/", Secure: s.secure})
		s.redirect(w, "/connected")
	case "/connected/stop":
		s.stopped = r.PostFormValue("consent") == "g1" && !s.unstoppable
		s.redirect(w, "/connected")
	case "/consent/decision":
		if err != nil || cookie.Value != "secret-s1" {
			s.page(w, 403, "Somebody else", "")
			return
		}
		s.redirect(w, s.leave(r.PostFormValue("decision")))
	}
}

func (s *bank) redirect(w http.ResponseWriter, location string) {
	w.Header().Set("Location", location)
	w.WriteHeader(s.status)
}

func (s *bank) page(w http.ResponseWriter, status int, heading, body string) {
	w.WriteHeader(status)
	if s.change != nil {
		body = s.change(body)
	}
	fmt.Fprintf(w, "<!doctype html><title>x</title><main><h1>%s</h1>%s</main>", heading, body)
}

// checkRedacted sees that no credential is left in a redacted report, and that the report itself keeps at least as many
// as there should be.
func checkRedacted(t *testing.T, report *Report, most int) {
	shown, err := json.Marshal(report.Redacted())
	if err != nil {
		t.Fatal(err)
	}
	kept, err := json.Marshal(report)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"secret-", "alex-demo"} {
		if before, after, found := strings.Cut(string(shown), secret); found {
			t.Errorf("a secret is shown: …%s%s%s…", before[max(len(before)-200, 0):], secret, after[:min(200, len(after))])
		}
	}
	secrets := strings.Count(string(kept), "secret-") + strings.Count(string(kept), "alex-demo")
	for _, step := range report.Steps {
		for _, exchange := range step.Exchanges {
			_, token, _ := strings.Cut(exchange.RequestHeader.Get("Authorization"), " ")
			form := exchange.Form()
			for _, secret := range []string{token, exchange.RequestHeader.Get("DPoP"), form.Get("client_assertion"),
				exchange.sent().Get("assertion"), form.Get("token"), form.Get("code_verifier"), text(exchange.JSON()["access_token"])} {
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
	if secrets < most {
		t.Errorf("only %d secrets to look for", secrets)
	}
}
