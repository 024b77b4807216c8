package flow

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// playCode plays the flow against a careless server, after bend has changed the one or the other.
func playCode(t *testing.T, bend func(*careless, *AuthorizationCode)) *Report {
	t.Helper()
	server, registrant := start(t)
	run := &AuthorizationCode{Authorization{Registrant: registrant, Person: alex}}
	if bend != nil {
		bend(server, run)
	}
	report, err := run.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if last := server.requests[len(server.requests)-1]; last != "DELETE /register/c1" && slices.Contains(server.requests, "POST /register") {
		t.Errorf("the last request is %s", last)
	}
	return report
}

// What a careless server does well passes, and each of its omissions is found.
func TestACarelessServerIsFoundOutWithCodes(t *testing.T) {
	report := playCode(t, nil)
	t.Run("redacted", func(t *testing.T) { checkRedacted(t, report, 150) })
	want := []string{
		"9 the same code again", "9 and then its access token",
		"9 a push with PKCE plain", "9 a push without PKCE", "9 a push with another redirect_uri",
		"9 a push for a token instead of a code", "9 a push with the same DPoP proof", "9 an assertion for another audience",
		"9 authorize without PAR", "9 a request_uri that nobody pushed", "9 the same request_uri again",
		"10 a code with another verifier", "10 a code with another DPoP key", "10 Don't allow",
	}
	if diff := cmp.Diff(want, failed(report)); diff != "" {
		t.Error(diff)
	}
	if report.Flow != "code" || report.Passed < 35 || len(report.Steps) != 10 {
		t.Errorf("flow %s: %d passed, %d steps", report.Flow, report.Passed, len(report.Steps))
	}
	for number, want := range map[int]string{5: "signed in as alex, shared 2 accounts, pressed Allow",
		10: "3 more requests, each pushed and answered anew"} {
		if got := report.Steps[number-1].Did; got != want {
			t.Errorf("step %d did %q", number, got)
		}
	}
}

// Every check of what must work fails when only that is wrong.
func TestEveryMistakeIsFound(t *testing.T) {
	const discovery = "GET /.well-known/oauth-authorization-server"
	set := func(route, name string, value any) func(*careless) {
		return func(s *careless) {
			s.bends = map[string]func(map[string]any){route: func(answer map[string]any) { answer[name] = value }}
		}
	}
	// Only the code's token, so that the client is registered with a good one.
	redeemed := func(name string, value any) func(*careless) {
		return func(s *careless) {
			s.bends = map[string]func(map[string]any){"POST /token": func(answer map[string]any) {
				if answer["grant_id"] != nil {
					answer[name] = value
				}
			}}
		}
	}
	sendBack := func(change func(url.Values)) func(*careless) {
		return func(s *careless) {
			s.leave = func(decision string) string {
				target, query, _ := strings.Cut(s.allow(decision), "?")
				params, _ := url.ParseQuery(query)
				change(params)
				return withQuery(target, params)
			}
		}
	}
	tests := map[string]struct {
		bend func(*careless)
		want string
	}{
		"PAR is optional":            {set(discovery, "require_pushed_authorization_requests", false), "1 pushed requests are the only ones"},
		"plain is offered":           {set(discovery, "code_challenge_methods_supported", []string{"S256", "plain"}), "1 PKCE is offered with S256 alone"},
		"no iss is promised":         {set(discovery, "authorization_response_iss_parameter_supported", nil), "1 answers name the issuer"},
		"no PAR endpoint":            {set(discovery, "pushed_authorization_request_endpoint", ""), "1 what asking a person needs is named"},
		"another scope is kept":      {set("POST /register", "scope", "a"), "3 scope is what was asked for"},
		"an hour to arrive":          {set("POST /par", "expires_in", 3600), "4 expires_in is less than 600 s"},
		"no request_uri":             {set("POST /par", "request_uri", ""), "4 request_uri is given"},
		"another state":              {sendBack(func(p url.Values) { p.Set("state", "x") }), "5 state is what was pushed"},
		"no iss":                     {sendBack(func(p url.Values) { p.Del("iss") }), "5 iss is the issuer"},
		"another issuer":             {sendBack(func(p url.Values) { p.Set("iss", "https://elsewhere.example") }), "5 iss is the issuer"},
		"a short code":               {sendBack(func(p url.Values) { p.Set("code", "0123456789") }), "5 the code is too long to guess"},
		"no code":                    {sendBack(func(p url.Values) { p.Del("code") }), "5 the flow can go on"},
		"an error":                   {sendBack(func(p url.Values) { p.Set("error", "server_error") }), "5 the flow can go on"},
		"302":                        {func(s *careless) { s.status = http.StatusFound }, "5 the browser is sent back with 303"},
		"a fragment":                 {func(s *careless) { s.leave = func(d string) string { return s.allow(d) + "#x" } }, "5 to the redirect_uri, without a fragment"},
		"back to somebody else":      {func(s *careless) { s.leave = func(string) string { return "https://elsewhere.example/" } }, "5 to the redirect_uri, without a fragment"},
		"no details are offered":     {set(discovery, "authorization_details_types_supported", nil), "1 authorization details of FDX are offered"},
		"RT-13, a refresh token":     {redeemed("refresh_token", "secret-refresh-token"), "6 no refresh token comes with it"},
		"less scope":                 {redeemed("scope", "fdx:statements:read"), "6 scope is what was asked for"},
		"no details":                 {redeemed("authorization_details", nil), "6 authorization_details name the chosen accounts"},
		"details without accounts":   {redeemed("authorization_details", once.read()), "6 authorization_details name the chosen accounts"},
		"one account of two":         {redeemed("authorization_details", once.read().granted("", []string{"a1"})), "6 authorization_details name the chosen accounts"},
		"no grant_id":                {redeemed("grant_id", ""), "6 grant_id is given"},
		"a consent of another id":    {redeemed("grant_id", "g2"), "6 fdxConsentId is the grant"},
		"introspection of less":      {set("POST /introspect", "authorization_details", once.read()), "8 authorization_details are those of the token response"},
		"introspection of another":   {set("POST /introspect", "fdxConsentId", "g2"), "8 fdxConsentId is the grant"},
		"a Bearer token":             {redeemed("token_type", "Bearer"), "6 token_type is DPoP"},
		"it lives longer than told":  {redeemed("expires_in", 60), "6 expires_in is the token's lifetime"},
		"inactive from the first":    {set("POST /introspect", "active", false), "8 active, says the server to the client"},
		"a token without its person": {set("POST /introspect", "client_id", "c2"), "8 client_id is the client"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			report := playCode(t, func(s *careless, _ *AuthorizationCode) { test.bend(s) })
			if !slices.Contains(failed(report), test.want) {
				t.Errorf("want %q among\n%s", test.want, strings.Join(failed(report), "\n"))
			}
		})
	}
}

func TestWithoutDemoAccountsNothingIsCalled(t *testing.T) {
	report := playCode(t, func(s *careless, _ *AuthorizationCode) { s.withoutDemo = true })
	if called := report.Steps[6]; len(called.Checks) != 0 || len(called.Exchanges) != 1 || called.Exchanges[0].Note == "" {
		t.Errorf("step 7 is %v", called)
	}
	if len(report.Steps) != 10 {
		t.Errorf("%d steps", len(report.Steps))
	}
}

// A person at a browser of their own does what the flow would have played, and does it once.
func TestAPersonAnswersInABrowser(t *testing.T) {
	var callback string
	report := playCode(t, func(s *careless, run *AuthorizationCode) {
		run.Ask = func(target string, seconds int64) {
			if seconds != 90 {
				t.Errorf("%d seconds to arrive", seconds)
			}
			person := NewBrowser(&Server{Issuer: s.issuer, HTTP: run.Server.HTTP, Now: run.Server.Now})
			if _, err := person.Visit(t.Context(), target); err != nil {
				t.Error(err)
			}
			if _, err := person.Answer(t.Context(), alex, Approve); err != nil {
				t.Error(err)
			}
			location := person.Page.Location
			callback, _, _ = strings.Cut(location, "?")
			for target, want := range map[string]string{callback: "400, This is no answer", callback + "/favicon.ico": "404",
				location: "200, You can close this window"} {
				if page, err := person.Visit(t.Context(), target); err != nil || page.String() != want {
					t.Errorf("the callback shows %s, %v", page, err)
				}
			}
		}
	})
	if _, err := http.Get(callback); err == nil {
		t.Errorf("somebody still listens at %s", callback)
	}
	if got := report.Steps[4]; got.Did != "a person answered in a browser" || len(got.Checks) != 3 || len(got.Exchanges) != 0 {
		t.Errorf("step 5 is %v", got)
	}
	if got := report.Steps[9]; got.Skipped != "a person answers only once" || len(got.Checks) != 0 {
		t.Errorf("step 10 is %v", got)
	}
	if want := "9 the same request_uri again"; !slices.Contains(failed(report), want) {
		t.Errorf("want %q among %v", want, failed(report))
	}
}
