package main

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"authserver/internal/flow"
	"authserver/internal/oauth"

	"github.com/google/go-cmp/cmp"
)

// attacksOnAuthorization are the cases about the authorization endpoint and the pages behind it.
func attacksOnAuthorization() []attack {
	return slices.Concat([]attack{
		{"AZ-01", plainRequests},
		{"AZ-02", parametersBeside},
		{"AZ-03", func(t *testing.T, d *deployment) {
			a, other := ask(t, d.recipient(0)), d.recipient(0)
			good, id := "&request_uri="+url.QueryEscape(a.uri), "client_id="+a.client.ID
			for query, reason := range map[string]oauth.Reason{
				good: oauth.ParameterMissing, "client_id=" + good: oauth.ParameterMissing, id: oauth.ParameterMissing,
				id + "&request_uri=": oauth.ParameterMissing,
				id + "&" + id + good: oauth.ParameterRepeated, id + good + good: oauth.ParameterRepeated,
				id + "&client_id=" + good:      oauth.ParameterRepeated,
				"client_id=" + other.ID + good: oauth.RequestURIUnknown, "client_id=unknown" + good: oauth.RequestURIUnknown,
				id + "x" + good:            oauth.RequestURIUnknown,
				strings.ToUpper(id) + good: oauth.ParameterMissing, id + "%00" + good: oauth.RequestURIUnknown,
				id + "%ff" + good: oauth.RequestURIUnknown,
			} {
				refusedPage(t, visit(t, a.browser(), d.issuer+"/oauth2/authorize?"+query), http.StatusBadRequest, reason)
			}
			visit(t, a.browser(), a.url())
		}},
		{"AZ-04", goodAnswers},
		{"AZ-05", func(t *testing.T, d *deployment) {
			for name, e := range d.everyPage(t) { // checkPage has looked at what any page has
				if e.Status == http.StatusSeeOther {
					continue
				}
				if h := e.ResponseHeader; len(h.Values("X-Frame-Options")) != 1 ||
					len(h.Values("Content-Security-Policy")) != 1 {
					t.Errorf("%s may be framed: %v", name, h)
				}
			}
		}},
		{"AZ-12", hostileStates},
		{"AZ-13", returnAddresses},
		{"AZ-14", errorsBeforeTheClient},
		{"AZ-15", promptNone},
		{"AZ-16", func(t *testing.T, d *deployment) {
			d.pushesNothing(t, d.recipient(0), "400 invalid_request", oauth.PromptRefused,
				each("prompt", "none login", "login none", "none none",
					"none consent select_account", "create", "NONE", "login,consent", "login\u00a0consent")...)
		}},
		{"AZ-21", denials},
		{"AZ-23", func(t *testing.T, d *deployment) {
			for name, e := range d.everyPage(t) {
				if h := e.ResponseHeader; h.Get("Pragma") != "no-cache" || h.Get("ETag") != "" ||
					h.Get("Last-Modified") != "" {
					t.Errorf("%s may be kept: %v", name, h)
				}
				if policy := e.ResponseHeader.Get("Content-Security-Policy"); strings.Contains(policy, "unsafe") {
					t.Errorf("%s: %s", name, policy)
				}
			}
		}},
		{"AZ-26", mixUps},
	}, attacksOnForms(), attacksOnLogin(), attacksOnAnswers())
}

// grants counts the grants that the database holds.
func (d *deployment) grants(t *testing.T) int {
	t.Helper()
	return one[int](t, d, `SELECT count(*) FROM authorization_grant`)
}

// plainRequests: AZ-01. Without a pushed request nothing begins, and nobody is sent anywhere.
func plainRequests(t *testing.T, d *deployment) {
	c, before := d.recipient(0), one[int](t, d, `SELECT count(*) FROM interaction`)
	params := pushable()
	params.Set("client_id", c.ID)
	signed := compact(t, c.Assertion())
	for _, edit := range []func(url.Values){
		func(url.Values) {}, bend("client_id"), bend("request", signed), bend("redirect_uri", "https://evil.example/cb"),
		bend("request_uri", ""),
		bends(bend("code_challenge_method", "plain"), bend("response_type", "token")),
	} {
		p := url.Values{}
		for name, values := range params {
			p[name] = values
		}
		edit(p)
		refusedPage(t, visit(t, flow.NewBrowser(c.Server), d.authorizeURL(p)), http.StatusBadRequest, oauth.ParameterMissing)
		e := knock(t, flow.NewBrowser(c.Server), &flow.Request{Method: http.MethodPost, URL: d.issuer + "/oauth2/authorize",
			Form: p})
		if e.Status != http.StatusBadRequest || !strings.Contains(e.ResponseBody, string(oauth.ParameterMissing)) {
			t.Errorf("POST: %d %s", e.Status, e.ResponseBody)
		}
	}
	if n := one[int](t, d, `SELECT count(*) FROM interaction`); n != before {
		t.Errorf("%d interactions were opened", n-before)
	}
}

// parametersBeside: AZ-02. What was pushed counts, and nothing beside the request_uri does.
func parametersBeside(t *testing.T, d *deployment) {
	c := d.recipient(0)
	b := flow.NewBrowser(c.Server)
	for _, beside := range []string{
		"&redirect_uri=https%3A%2F%2Fevil.example&scope=all&response_type=token&state=evil",
		"&state=a&state=b&scope=client.read&scope=x",
		"&prompt=none&max_age=0&acr_values=unknown&login_hint=kim",
		"&code_challenge=evil&code_challenge_method=plain&dpop_jkt=evil",
		"&response_mode=fragment&request=a.b.c&nonce=evil&claims=x&authorization_details=x&iss=https%3A%2F%2Fevil.example",
	} {
		a := ask(t, c)
		p := visit(t, b, a.url()+beside)
		if strings.Contains(p.Exchange.ResponseBody, "evil") {
			t.Errorf("%s reached the page", beside)
		}
		if _, err := b.Answer(t.Context(), alex, flow.Approve); err != nil {
			t.Fatal(beside, err)
		}
		if token := a.redeem(a.told(b.Page).Get("code")); token.Scope != "fdx:accountbasic:read" {
			t.Errorf("%s: scope %s", beside, token.Scope)
		}
	}
}

// goodAnswers: AZ-04, with and without a state and a query of the redirect URI's own, and from a request that was posted.
func goodAnswers(t *testing.T, d *deployment) {
	c := d.recipient(0)
	b := flow.NewBrowser(c.Server)
	for i, edit := range []func(url.Values){
		func(url.Values) {}, bend("state"), bend("redirect_uri", callback+"?dummy1=lorem&dummy2=ipsum"),
		bends(bend("state", ""), bend("response_mode", "query")),
	} {
		a := ask(t, c, edit)
		params := url.Values{"client_id": {c.ID}, "request_uri": {a.uri}}
		posted := knock(t, b, &flow.Request{Method: http.MethodPost, URL: d.issuer + "/oauth2/authorize", Form: params})
		if posted.Status != http.StatusSeeOther || posted.ResponseHeader.Get("Location") != d.authorizeURL(params) {
			t.Errorf("POST: %d %v", posted.Status, posted.ResponseHeader)
		}
		if a.params.Get("state") == "" {
			a.params.Del("state") // RFC 6749 §3.1: as if it was left out
		}
		answer := a.answerIn(d.tab(b, i%3), flow.Approve)
		answer.Del("state")
		if diff := cmp.Diff(url.Values{"iss": {d.issuer}, "code": {answer.Get("code")}}, answer); diff != "" ||
			len(answer.Get("code")) < 22 {
			t.Error(diff)
		}
		a.redeem(answer.Get("code"))
	}
}

// everyPage are all answers that a person at a browser can meet.
func (d *deployment) everyPage(t *testing.T) map[string]*flow.Exchange {
	t.Helper()
	a := ask(t, d.recipient(0))
	b := a.browser()
	all := map[string]*flow.Exchange{}
	keep := func(name string, p *flow.Page) { all[name] = p.Exchange }
	keep("login", visit(t, b, a.url()))
	login := b.Page.Form("password")
	login.Fields.Set("username", demoUsername)
	login.Fields.Set("password", "not the password")
	keep("login refused", submit(t, b, login))
	a.upTo(b, "accounts")
	keep("accounts", b.Page)
	accounts := b.Page.Form("accounts")
	keep("accounts without one", submit(t, b, accounts))
	a.upTo(b, "decision")
	keep("consent", b.Page)
	keep("logout", visit(t, b, d.issuer+"/oauth2/logout"))
	keep("logout refused", visit(t, b, d.issuer+"/oauth2/logout?post_logout_redirect_uri="+url.QueryEscape(goodbye)))
	a.upTo(b, "decision")
	keep("signed out", submit(t, b, formTo(b.Page, "/sign-out")))
	login.Fields.Set("form_token", "another")
	keep("a wrong form", submit(t, b, login))
	keep("a wrong method", readAs(t, b, http.MethodPut, d.issuer+"/consent/decision"))
	keep("no interaction", visit(t, b, d.issuer+"/consent?interaction=unknown"))
	keep("no request", visit(t, b, d.issuer+"/oauth2/authorize"))
	a.answerIn(b, flow.Approve)
	ask(t, a.client, bend("response_mode", "form_post.jwt")).answerIn(b, flow.Approve)
	keep("answer", b.Page)
	for _, e := range b.Exchanges {
		if e.Status == http.StatusSeeOther {
			all["from "+e.URL] = e
		}
	}
	for name, status := range map[string]int{"login": 200, "login refused": 401, "accounts": 200,
		"accounts without one": 400, "consent": 200, "logout": 200, "logout refused": 400, "answer": 200,
		"signed out": 200, "a wrong form": 403, "a wrong method": 405, "no interaction": 400, "no request": 400} {
		if all[name].Status != status {
			t.Errorf("%s: %d, want %d", name, all[name].Status, status)
		}
	}
	return all
}

// formTo finds a form of a page by where it goes.
func formTo(p *flow.Page, path string) *flow.Form {
	for _, form := range p.Forms {
		if strings.HasSuffix(form.Action, path) {
			return form
		}
	}
	return nil
}

// readAs sends a request without a body, and follows nothing.
func readAs(t testing.TB, b *flow.Browser, method, target string) *flow.Page {
	t.Helper()
	return &flow.Page{Exchange: knock(t, b, &flow.Request{Method: method, URL: target})}
}

// hostileStates: AZ-12. A state comes back as it went, percent-encoded once, and no page shows it.
func hostileStates(t *testing.T, d *deployment) {
	c := d.recipient(0)
	b := flow.NewBrowser(c.Server)
	for i, state := range []string{
		`"><script>alert(1)</script>`, "a b+c%20d%2520e&code=evil&iss=x#f;g=h", "a\r\nSet-Cookie: session=x\r\n\r\n",
		"\u202e\u00e9\U0001f600", strings.Repeat("\u00e9", 1024),
		strings.Repeat("%", 2048), "javascript:alert(1)", " ",
	} {
		a := ask(t, c, bend("state", state))
		seen := len(b.Exchanges)
		answer := a.answerIn(b, []string{flow.Approve, flow.Deny}[i%2])
		if answer.Get("state") != state || answer.Has("code") == answer.Has("error") {
			t.Errorf("%q: %v", state, answer)
		}
		escaped := strings.ReplaceAll(url.QueryEscape(state), "+", "%20")
		if !strings.Contains(b.Page.Location, "state="+escaped) {
			t.Errorf("%q is encoded another way in %s", state, b.Page.Location)
		}
		for _, e := range b.Exchanges[seen:] {
			if len(state) > 1 && (strings.Contains(e.ResponseBody, state) || strings.Contains(e.ResponseBody, "alert(1)")) {
				t.Errorf("%q stands on a page", state)
			}
		}
	}
	d.pushesNothing(t, c, "400 invalid_request", oauth.ParameterTooLong,
		each("state", strings.Repeat("s", 2049), strings.Repeat("s", 8<<10), strings.Repeat("\u00e9", 1025))...)
	d.pushesNothing(t, c, "400 invalid_request", oauth.BodyMalformed, each("state", "a\x00b", "\xff")...)
}

// returnAddresses: AZ-13. Where a browser goes on is nobody's to choose.
func returnAddresses(t *testing.T, d *deployment) {
	c := d.recipient(0)
	for i, target := range []string{"//evil.example", `/\evil.example`, "https:evil", "https://evil.example/",
		"javascript:alert(1)", "/consent"} {
		a := ask(t, c)
		b := flow.NewBrowser(d.server(i % 3))
		visit(t, b, a.url())
		more := "&return_to=" + url.QueryEscape(target) + "&next=" + url.QueryEscape(target) + "&redirect_uri=" + url.QueryEscape(target)
		if p := visit(t, b, b.Page.Exchange.URL+more); strings.Contains(p.Exchange.ResponseBody, "evil") ||
			p.Form("password") == nil {
			t.Errorf("%s: %s", target, p)
		}
		form := b.Page.Form("password")
		form.Fields.Set("username", demoUsername)
		form.Fields.Set("password", demoPassword)
		form.Fields.Set("return_to", target)
		refusedPage(t, submit(t, b, form), http.StatusBadRequest, oauth.FormField)
		form.Fields.Del("return_to")
		form.Action += "?" + more[1:]
		if p := submit(t, b, form); p.Form("accounts") == nil || p.Location != "" {
			t.Errorf("%s: %s", target, p)
		}
	}
	for _, path := range []string{"//evil.example/login", "/login//evil.example", "/signed-out?interaction=//evil.example",
		"/oauth2//authorize"} {
		e, err := c.Server.Send(t.Context(), &flow.Request{Method: http.MethodGet, URL: d.issuer + path})
		if err != nil || e.ResponseHeader.Get("Location") != "" || strings.Contains(e.ResponseBody, "evil") {
			t.Errorf("%s: %v %+v", path, err, e)
		}
	}
}

// errorsBeforeTheClient: AZ-14. As long as no pushed request vouches for an address, what is wrong is told on a page.
func errorsBeforeTheClient(t *testing.T, d *deployment) {
	c := d.recipient(0)
	id, uri := "client_id="+c.ID, "&request_uri="+url.QueryEscape(ask(t, c).uri)
	for query, reason := range map[string]oauth.Reason{
		"": oauth.ParameterMissing, id: oauth.ParameterMissing, id + "&error=access_denied": oauth.ParameterMissing,
		id + "&prompt=none":                       oauth.ParameterMissing,
		id + "&response_type=token&scope=unknown": oauth.ParameterMissing, id + uri + uri: oauth.ParameterRepeated,
		id + uri + "&a=%zz": oauth.BodyMalformed,
		id + uri + "&a;b":   oauth.BodyMalformed, id + uri + "%00": oauth.RequestURIUnknown,
		id + "&request_uri=x":                           oauth.RequestURIUnknown,
		"client_id=%00" + uri:                           oauth.RequestURIUnknown,
		"client_id=" + strings.Repeat("a", 8<<10) + uri: oauth.RequestURIUnknown,
	} {
		p := visit(t, flow.NewBrowser(c.Server),
			d.issuer+"/oauth2/authorize?"+query+"&redirect_uri="+url.QueryEscape(callback)+"&state=s")
		if refusedPage(t, p, http.StatusBadRequest, reason); strings.Contains(p.Exchange.ResponseBody, "client.example") {
			t.Errorf("%.200s: the page names the address of the query", query)
		}
	}
	large := &flow.Request{Method: http.MethodPost, URL: d.issuer + "/oauth2/authorize",
		Form: url.Values{"a": {strings.Repeat("a", 1<<20)}}}
	if e := knock(t, flow.NewBrowser(c.Server), large); e.Status != http.StatusRequestEntityTooLarge {
		t.Errorf("1 MiB: %d", e.Status)
	}
}

// promptNone: AZ-15. The client is told at once, whoever is signed in or not, and the request is dead then.
func promptNone(t *testing.T, d *deployment) {
	c := d.recipient(0)
	fresh := flow.NewBrowser(c.Server)
	signedIn := flow.NewBrowser(c.Server)
	ask(t, c).answerIn(signedIn, flow.Deny)
	before := d.grants(t)
	for _, test := range []struct {
		b    *flow.Browser
		edit func(url.Values)
		want string
	}{
		{fresh, bend("prompt", "none"), "login_required"},
		{signedIn, bend("prompt", "none"), "consent_required"},
		{signedIn, bends(bend("prompt", "none"), bend("max_age", "0")), "login_required"},
		{signedIn, bends(bend("prompt", "none"), bend("acr_values", "urn:example:stronger")),
			"unmet_authentication_requirements"},
		{fresh, bends(bend("prompt", "none"), bend("state")), "login_required"},
	} {
		a := ask(t, c, test.edit)
		if answer := a.told(visit(t, test.b, a.url())); answer.Get("error") != test.want || answer.Has("code") {
			t.Errorf("want %s, got %v", test.want, answer)
		}
		refusedPage(t, visit(t, d.tab(test.b, 1), a.url()), http.StatusBadRequest, oauth.RequestAnswered)
	}
	if n := d.grants(t); n != before {
		t.Errorf("%d grants", n-before)
	}
}

func denials(t *testing.T, d *deployment) {
	c := d.recipient(0)
	b, before := flow.NewBrowser(c.Server), d.grants(t)
	for i, edit := range []func(url.Values){func(url.Values) {}, bend("state"),
		bend("redirect_uri", callback+"?dummy1=lorem&dummy2=ipsum")} {
		a := ask(t, c, edit)
		answer := a.answerIn(d.tab(b, i), flow.Deny) // told has looked at state and iss
		if answer.Get("error") != "access_denied" || answer.Has("code") || answer.Get("error_description") == "" {
			t.Errorf("%v", answer)
		}
	}
	if n := d.grants(t); n != before {
		t.Errorf("%d grants", n-before)
	}
}

// mixUps: AZ-26. The answer names who gives it; at another server its code is nothing, and here it stays good.
func mixUps(t *testing.T, d *deployment) {
	b := deploy(t, 1, func(s *settings) { s.Issuer = "http://localhost:8081" })
	a := ask(t, d.recipient(0))
	elsewhere := ask(t, b.recipient(0))
	elsewhere.pkce = a.pkce
	answer := a.answer(flow.Approve)
	refusedFor(t, do(t, elsewhere.client.Server, elsewhere.redemption(answer.Get("code"))), "400 invalid_grant",
		oauth.CodeUnknown)
	if answer.Get("iss") == elsewhere.client.Server.Issuer {
		t.Error("both servers call themselves the same")
	}
	a.redeem(answer.Get("code"))
}
