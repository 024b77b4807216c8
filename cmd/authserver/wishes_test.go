package main

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"authserver/internal/flow"
	"authserver/internal/oauth"
	"authserver/internal/person"
)

// What a client may wish for the person's login, beside prompt and max_age (OpenID Connect Core §3.1.2.1).
func TestWishes(t *testing.T) {
	t.Parallel()
	d := deploy(t, 1, nil)
	c := d.recipient(0)
	t.Run("acr_values that this login has", func(t *testing.T) { wishesForPasswords(t, d.within(t), c) })
	t.Run("acr_values that it has not", func(t *testing.T) { wishesForMore(t, d.within(t), c) })
	t.Run("languages", func(t *testing.T) { wishesForLanguages(t, d.within(t), c) })
	t.Run("login_hint", func(t *testing.T) { loginHints(t, d.within(t), c) })
}

func wishesForPasswords(t *testing.T, _ *deployment, c *flow.Client) {
	b := flow.NewBrowser(c.Server)
	for _, values := range []string{person.ACRPassword, "urn:example:stronger " + person.ACRPassword,
		"  " + person.ACRPassword + "  "} {
		a := ask(t, c, bend("acr_values", values))
		if claims := claimsOf(t,
			a.redeem(a.answerIn(b, flow.Approve).Get("code")).AccessToken); claims["acr"] != person.ACRPassword {
			t.Errorf("%s: acr %v", values, claims["acr"])
		}
	}
}

// wishesForMore: the client is told at once, also where somebody is signed in.
func wishesForMore(t *testing.T, d *deployment, c *flow.Client) {
	signedIn := flow.NewBrowser(c.Server)
	ask(t, c).answerIn(signedIn, flow.Deny)
	strict := d.recipient(0, func(m map[string]any) { m["default_acr_values"] = []string{"urn:example:stronger"} })
	before := d.grants(t)
	for _, b := range []*flow.Browser{flow.NewBrowser(c.Server), signedIn} {
		for _, a := range []*asking{
			ask(t, c, bend("acr_values", "urn:example:stronger")),
			ask(t, c, bend("acr_values", person.ACRPassword+"x"), bend("state")), ask(t, strict),
			ask(t, c, bend("acr_values", strings.ToUpper(person.ACRPassword)), bend("prompt", "login")),
		} {
			answer := a.told(visit(t, b, a.url())) // which has looked at state and iss
			if answer.Get("error") != "unmet_authentication_requirements" || answer.Has("code") {
				t.Errorf("%v: %v", a.params["acr_values"], answer)
			}
		}
	}
	if n := d.grants(t); n != before {
		t.Errorf("%d grants", n-before)
	}
}

// wishesForLanguages: the client's come first, then the browser's.
func wishesForLanguages(t *testing.T, d *deployment, c *flow.Client) {
	for _, test := range []struct{ locales, accept, want string }{
		{"", "", "en"}, {"", "es-MX,es;q=0.9,en;q=0.1", "es"}, {"", "de,fr;q=0.5", "fr"}, {"", "de", "en"},
		{"fr", "", "fr"}, {"fr-CA en", "es", "fr"},
		{"de es", "fr", "es"}, {"de", "fr", "fr"}, {"xx-bad-!!", "fr", "fr"}, {"", "!!;q=x", "en"},
		{strings.TrimSpace(strings.Repeat("fr ", 20)), "en", "fr"},
	} {
		a := ask(t, c, bend("ui_locales", test.locales))
		b := a.browser()
		b.Header = http.Header{"Accept-Language": {test.accept}}
		pages := []*flow.Page{visit(t, b, a.url())}
		form := pages[0].Form("password")
		form.Fields.Set("username", "!")
		pages = append(pages, submit(t, b, form))
		for _, p := range pages {
			if p.Exchange.ResponseHeader.Get("Content-Language") != test.want ||
				!strings.Contains(p.Exchange.ResponseBody, `<html lang="`+test.want+`">`) {
				t.Errorf("ui_locales %.20q, Accept-Language %q: %s", test.locales, test.accept,
					p.Exchange.ResponseHeader.Get("Content-Language"))
			}
		}
	}
	b := flow.NewBrowser(c.Server)
	b.Header = http.Header{"Accept-Language": {"fr"}}
	if p := visit(t, b, d.issuer+"/oauth2/authorize"); p.Exchange.ResponseHeader.Get("Content-Language") != "fr" {
		t.Errorf("an error page speaks %s", p.Exchange.ResponseHeader.Get("Content-Language"))
	}
}

func loginHints(t *testing.T, d *deployment, c *flow.Client) {
	a := ask(t, c, bend("login_hint", "alex"))
	b := a.browser()
	form := visit(t, b, a.url()).Form("password")
	if form.Fields.Get("username") != "alex" || form.Fields.Get("password") != "" {
		t.Errorf("%v", form.Fields)
	}
	form.Fields.Set("username", "kim")
	if form = submit(t, b, form).Form("password"); form.Fields.Get("username") != "kim" ||
		form.Fields.Get("password") != "" {
		t.Errorf("what was typed: %v", form.Fields)
	}
	d.pushesNothing(t, c, "400 invalid_request", oauth.ParameterTooLong, bend("login_hint", strings.Repeat("a", 257)))
}

// Where nobody signs in, there is neither an endpoint for it nor a word of one.
func TestNobodySignsIn(t *testing.T) {
	d := deploy(t, 1, func(s *settings) { s.Login = loginOff })
	s := d.server(0)
	for path, method := range map[string]string{"/oauth2/par": "POST", "/oauth2/authorize": "GET", "/login": "GET",
		"/login/attempt": "POST", "/login/callback": "GET",
		"/accounts": "GET", "/accounts/choice": "POST", "/consent": "GET", "/consent/decision": "POST", "/sign-out": "POST",
		"/oauth2/logout": "GET", "/signed-out": "GET", "/assets/style.css": "GET", "/logos/demo": "GET"} {
		e, err := s.Send(t.Context(), &flow.Request{Method: method, URL: d.issuer + path, Form: url.Values{"a": {"b"}}})
		if err != nil || e.Status != http.StatusNotFound || reasonOf(e) != oauth.NoSuchEndpoint {
			t.Errorf("%s: %v %+v", path, err, e)
		}
	}
	document := do(t, s, &flow.Request{Method: http.MethodGet,
		URL: d.issuer + "/.well-known/oauth-authorization-server"}).JSON()
	for _, name := range slices.Sorted(maps.Keys(document)) {
		if strings.Contains(name, "author") && name != "authorization_details_types_supported" ||
			slices.Contains([]string{"code_challenge_methods_supported",
				"response_types_supported", "response_modes_supported", "prompt_values_supported", "ui_locales_supported",
				"acr_values_supported", "end_session_endpoint"}, name) {
			t.Errorf("the metadata has %s: %v", name, document[name])
		}
	}
	c := d.recipient(0)
	_ = tokenFor(t, c, nil)
	for grantType, want := range map[string]string{"authorization_code": "400", "refresh_token": "400",
		"client_credentials": "200"} {
		if e := do(t, c.Server, c.TokenRequest(url.Values{"grant_type": {grantType}, "code": {"x"},
			"refresh_token": {"x"}})); !strings.HasPrefix(e.Outcome(), want) {
			t.Errorf("%s: %s", grantType, e.Outcome())
		}
	}
}
