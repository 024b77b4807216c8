package main

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"authserver/internal/flow"
	"authserver/internal/grant"
	"authserver/internal/oauth"

	"github.com/google/go-cmp/cmp"
)

// attacksOnForms are the cases about the forms of the pages: who sends them, from where, and what is in them.
func attacksOnForms() []attack {
	return []attack{
		{"AZ-06", func(t *testing.T, d *deployment) {
			a := ask(t, d.recipient(0))
			b := a.browser()
			d.fromElsewhere(t, a, b, "password", "accounts", "decision")
			a.redeem(a.answerIn(b, flow.Approve).Get("code"))
		}},
		{"AZ-07", formTokens},
		{"AZ-08", actionsThatAreRead},
		{"AZ-18", anotherBrowser},
		{"AZ-19", decisionsAtOnce},
		{"AZ-20", changedForms},
		{"AZ-27", loginCSRF},
		{"AZ-28", replayedInteractions},
	}
}

// crossSite are the headers of browsers that another site makes send a form.
func crossSite() []http.Header {
	return []http.Header{
		{"Sec-Fetch-Site": {"cross-site"}, "Origin": {"https://evil.example"}},
		{"Sec-Fetch-Site": {"same-site"}, "Origin": {"http://sub.localhost:8080"}},
		{"Sec-Fetch-Site": {"cross-site"}, "Origin": {"null"}}, {"Sec-Fetch-Site": {"cross-site"}, "Origin": nil},
		{"Sec-Fetch-Site": nil, "Origin": {"https://evil.example"}}, {"Sec-Fetch-Site": nil, "Origin": {"null"}},
		{"Sec-Fetch-Site": nil, "Origin": {"http://localhost:8081"}},
	}
}

// filledIn is the form of a page as the demo person would send it.
func filledIn(form *flow.Form) *flow.Form {
	full := *form
	full.Fields = maps.Clone(form.Fields)
	switch {
	case form.Fields.Has("password"):
		full.Fields["username"], full.Fields["password"] = []string{demoUsername}, []string{demoPassword}
	case form.Choices.Has("accounts"):
		full.Fields["accounts"] = form.Choices["accounts"]
	case form.Buttons.Has("decision"):
		full.Fields["decision"] = []string{flow.Approve}
	}
	return &full
}

// fromElsewhere plays the person up to each page and has another site send its form, with the person's cookies. Nothing
// comes of it: neither a session nor a choice nor an answer.
func (d *deployment) fromElsewhere(t *testing.T, a *asking, b *flow.Browser, fields ...string) {
	t.Helper()
	for _, field := range fields {
		form := filledIn(a.upTo(b, field))
		before := d.peopleState(t)
		forms := []*flow.Form{form}
		if out := formTo(b.Page, "/sign-out"); out != nil {
			forms = append(forms, out)
		}
		for _, form := range forms {
			for i, header := range crossSite() {
				tab := d.tab(b, i%3)
				tab.Header = header
				refusedPage(t, submit(t, tab, form), http.StatusForbidden, oauth.CrossSite)
			}
		}
		if diff := cmp.Diff(before, d.peopleState(t)); diff != "" {
			t.Errorf("a form of another site did something: %s", diff)
		}
	}
}

// peopleState is what the forms of pages can change.
func (d *deployment) peopleState(t *testing.T) string {
	t.Helper()
	return one[string](t, d, `SELECT concat_ws(E'\n',
		(SELECT string_agg(concat_ws(' ', id, subject, auth_time), E'\n' ORDER BY id) FROM session),
		(SELECT string_agg(concat_ws(' ', id, subject, accounts), E'\n' ORDER BY id) FROM interaction),
		(SELECT string_agg(concat_ws(' ', id, decided_at), E'\n' ORDER BY id) FROM pushed_request),
		(SELECT count(*) FROM authorization_grant), (SELECT count(*) FROM authorization_code), (SELECT count(*) FROM login_attempt))`)
}

// formTokens: AZ-07. Browsers too old to say where a form comes from are held to its token.
func formTokens(t *testing.T, d *deployment) {
	a := ask(t, d.recipient(0))
	b, other := a.browser(), a.browser()
	b.Header = http.Header{"Sec-Fetch-Site": nil, "Origin": nil}
	tokens := map[string]string{"none": "", "a short one": "x", "a long one": strings.Repeat("A", 43)}
	for _, field := range []string{"password", "accounts", "decision"} {
		tokens["another browser's for "+field] = ask(t, a.client).upTo(other, field).Fields.Get("form_token")
	}
	for _, field := range []string{"password", "accounts", "decision"} {
		form := filledIn(a.upTo(b, field))
		good, before := form.Fields.Get("form_token"), d.peopleState(t)
		tokens["changed"] = lastBit(good)
		for name, token := range tokens {
			if form.Fields.Set("form_token", token); token == "" {
				form.Fields.Del("form_token")
			}
			if p := submit(t, b, form); p.Exchange.Status != http.StatusForbidden || !p.Refused() {
				t.Errorf("%s, %s: %s", field, name, p)
			}
		}
		delete(tokens, "changed")
		tokens["for "+field] = good
		if out := formTo(b.Page, "/sign-out"); out != nil {
			tokens["to sign out"] = out.Fields.Get("form_token")
		}
		if diff := cmp.Diff(before, d.peopleState(t)); diff != "" {
			t.Errorf("a form without its token did something: %s", diff)
		}
	}
	a.redeem(a.answerIn(b, flow.Approve).Get("code")) // and with the token it works
}

// actionsThatAreRead: AZ-08. Nothing that is read does anything, whatever its query says.
func actionsThatAreRead(t *testing.T, d *deployment) {
	a := ask(t, d.recipient(0))
	b := a.browser()
	for _, field := range []string{"password", "accounts", "decision"} {
		form := filledIn(a.upTo(b, field))
		before := d.peopleState(t)
		forms := []*flow.Form{form}
		if out := formTo(b.Page, "/sign-out"); out != nil {
			forms = append(forms, out)
		}
		for _, form := range forms {
			for _, method := range []string{"GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"} {
				r := &flow.Request{Method: method, URL: form.Action + "?" + form.Fields.Encode(),
					Header: http.Header{"X-Http-Method-Override": {"POST"}}}
				e := knock(t, b, r)
				if e.Status != http.StatusMethodNotAllowed || e.ResponseHeader.Get("Allow") != "POST" {
					t.Errorf("%s %s: %d, Allow %q", method, form.Action, e.Status, e.ResponseHeader.Get("Allow"))
				}
			}
			query := *form
			query.Action, query.Fields = form.Action+"?"+form.Fields.Encode(), url.Values{}
			if p := submit(t, b, &query); !p.Refused() {
				t.Errorf("a form in the query: %s", p)
			}
		}
		if diff := cmp.Diff(before, d.peopleState(t)); diff != "" {
			t.Errorf("reading did something: %s", diff)
		}
	}
	for path, allow := range map[string]string{"/login": "GET, HEAD", "/accounts": "GET, HEAD", "/consent": "GET, HEAD",
		"/signed-out": "GET, HEAD", "/connected": "GET, HEAD",
		"/oauth2/authorize": "GET, HEAD, POST", "/oauth2/logout": "GET, HEAD, POST"} {
		e := knock(t, b, &flow.Request{Method: http.MethodPut, URL: d.issuer + path})
		if e.Status != http.StatusMethodNotAllowed || e.ResponseHeader.Get("Allow") != allow {
			t.Errorf("%s: %d, Allow %q", path, e.Status, e.ResponseHeader.Get("Allow"))
		}
	}
	a.redeem(a.answerIn(b, flow.Approve).Get("code"))
}

// anotherBrowser: AZ-18. What one browser has begun, no other goes on with, signed in or not, on its way with the same
// request or with another.
func anotherBrowser(t *testing.T, d *deployment) {
	kim := d.inhabitant("kim")
	a := ask(t, d.recipient(0))
	mine := a.browser()
	forms := []*flow.Form{}
	for _, field := range []string{"password", "accounts", "decision"} {
		forms = append(forms, filledIn(a.upTo(mine, field)))
	}
	address := mine.Page.Exchange.URL
	stranger, guest, second := flow.NewBrowser(d.server(0)), flow.NewBrowser(d.server(1)), flow.NewBrowser(d.server(2))
	ask(t, a.client).as(kim).upTo(guest, "decision") // with a request of its own
	a.as(kim).upTo(second, "decision")               // with the same request
	theirs, before := second.Page.Exchange.URL, d.peopleState(t)
	for _, form := range forms {
		refusedPage(t, submit(t, stranger, form), http.StatusBadRequest, oauth.InteractionUnknown)
		refusedPage(t, submit(t, guest, form), http.StatusBadRequest, oauth.InteractionUnknown)
		refusedPage(t, submit(t, second, form), http.StatusForbidden, oauth.FormRefused)
	}
	for _, b := range []*flow.Browser{stranger, guest} {
		for _, page := range []string{"/login", "/accounts", "/consent"} {
			refusedPage(t, visit(t, b, strings.Replace(address, "/consent", page, 1)), http.StatusBadRequest,
				oauth.InteractionUnknown)
		}
	}
	// The session alone is not enough, nor is the interaction: somebody else's session with it asks for the accounts anew.
	d.setCookies(stranger, map[string]string{"session": d.cookies(mine)["session"]})
	refusedPage(t, submit(t, stranger, forms[2]), http.StatusBadRequest, oauth.InteractionUnknown)
	if diff := cmp.Diff(before, d.peopleState(t)); diff != "" {
		t.Errorf("another browser did something: %s", diff)
	}
	a.redeem(a.told(submit(t, mine, forms[2])).Get("code"))
	refusedPage(t, visit(t, second, theirs), http.StatusBadRequest, oauth.RequestAnswered)
}

// decisionsAtOnce: AZ-19. Of all the buttons that are pressed, in all tabs and browsers, at all replicas, one counts.
func decisionsAtOnce(t *testing.T, d *deployment) {
	const n = 30
	c := d.recipient(0)
	signedIn := flow.NewBrowser(c.Server)
	ask(t, c).answerIn(signedIn, flow.Deny)
	for _, buttons := range [][]string{{flow.Approve}, {flow.Approve, flow.Deny}} {
		a := ask(t, c)
		owners := []*flow.Browser{signedIn, flow.NewBrowser(c.Server)} // the second has an interaction of its own
		d.setCookies(owners[1], map[string]string{"session": d.cookies(signedIn)["session"]})
		shown := []*flow.Form{a.upTo(owners[0], "decision"), a.upTo(owners[1], "decision")}
		forms, tabs := make([]*flow.Form, n), make([]*flow.Browser, n)
		for i := range n {
			forms[i], tabs[i] = filledIn(shown[i%2]), d.tab(owners[i%2], i%3)
			forms[i].Fields.Set("decision", buttons[i/2%len(buttons)])
		}
		grants := d.grants(t)
		pages, errs := make([]*flow.Page, n), make([]error, n)
		start := make(chan struct{})
		var running sync.WaitGroup
		for i := range n {
			running.Go(func() {
				<-start
				pages[i], errs[i] = tabs[i].Submit(t.Context(), forms[i])
			})
		}
		close(start)
		running.Wait()
		var codes []string
		counts := map[string]int{}
		for i, p := range pages {
			if checked(t, tabs[i], p, errs[i]); p.Location == "" {
				refusedPage(t, p, http.StatusBadRequest, oauth.RequestAnswered)
				counts["refused"]++
				continue
			}
			answer := a.told(p)
			if counts["answered"]++; answer.Has("code") {
				codes = append(codes, answer.Get("code"))
			}
		}
		if diff := cmp.Diff(map[string]int{"answered": 1, "refused": n - 1}, counts); diff != "" {
			t.Error(diff)
		}
		if stored := d.grants(t) - grants; stored != len(codes) {
			t.Errorf("%d grants for %d codes", stored, len(codes))
		}
		for _, code := range codes {
			a.redeem(code)
		}
	}
}

// changedForms: AZ-20. A page's form has the page's fields, and of those the values that the page offered.
func changedForms(t *testing.T, d *deployment) {
	c := d.recipient(0)
	a := ask(t, c)
	b := a.browser()
	refuse := func(form *flow.Form, reason oauth.Reason, name string, values ...string) {
		t.Helper()
		bent := *form
		bent.Fields = maps.Clone(form.Fields)
		if bent.Fields[name] = values; len(values) == 0 {
			bent.Fields.Del(name)
		}
		refusedPage(t, submit(t, b, &bent), http.StatusBadRequest, reason)
	}
	for _, field := range []string{"password", "accounts", "decision"} {
		form := filledIn(a.upTo(b, field))
		before := d.peopleState(t)
		for _, extra := range []string{"scope", "client_id", "redirect_uri", "subject", "sub", "state", "accounts[]",
			"Decision", "account", "resource", "x"} {
			refuse(form, oauth.FormField, extra, "all")
		}
		refuse(form, oauth.ParameterRepeated, "form_token", form.Fields.Get("form_token"), form.Fields.Get("form_token"))
		refuse(form, oauth.ParameterRepeated, "interaction", form.Fields.Get("interaction"), "another")
		switch field {
		case "accounts":
			mine := form.Choices["accounts"]
			for _, chosen := range [][]string{{"demo-loan"}, {mine[0], "demo-loan"}, {mine[0], mine[0]}, {"*"},
				{strings.ToUpper(mine[0])}, {mine[0] + " "},
				{mine[0] + "," + mine[1]}, slices.Repeat(mine, 1000)} {
				refuse(form, oauth.FormField, "accounts", chosen...)
			}
			refuse(form, oauth.FormField, "decision", flow.Approve)
		case "decision":
			refuse(form, oauth.FormField, "accounts", "demo-savings")
			for _, word := range []string{"APPROVE", "approve ", "yes", "approve,deny"} {
				refuse(form, oauth.FormField, "decision", word)
			}
			refuse(form, oauth.FormField, "decision")
			refuse(form, oauth.ParameterRepeated, "decision", flow.Deny, flow.Approve)
		}
		if diff := cmp.Diff(before, d.peopleState(t)); diff != "" {
			t.Errorf("a changed form did something: %s", diff)
		}
	}
	a.upTo(b, "decision")
	visit(t, b, strings.Replace(b.Page.Exchange.URL, "/consent", "/accounts", 1))
	form := filledIn(b.Page.Form("accounts"))
	form.Fields["accounts"] = form.Choices["accounts"][:1]
	submit(t, b, form)
	token := a.redeem(a.told(submit(t, b, filledIn(b.Page.Form("decision")))).Get("code"))
	shared := d.expect(c, c.Present(&flow.Request{Method: http.MethodGet, URL: d.issuer + "/demo/accounts"},
		token.AccessToken), "200")
	if all, _ := shared.JSON()["accounts"].([]any); len(all) != 1 || token.Scope != "fdx:accountbasic:read" {
		t.Errorf("scope %s, accounts %v", token.Scope, all)
	}
}

// loginCSRF: AZ-27. Nobody is signed in as somebody else by a page of another site.
func loginCSRF(t *testing.T, d *deployment) {
	c := d.recipient(0)
	attackers, a := ask(t, c), ask(t, c)
	form := filledIn(attackers.upTo(attackers.browser(), "password")) // with the attacker's own token, name and password
	victim := a.browser()
	visit(t, victim, a.url())
	before, cookies := d.peopleState(t), d.cookies(victim)
	for i, header := range append(crossSite(), http.Header{"Sec-Fetch-Site": nil, "Origin": nil}) {
		tab := d.tab(victim, i%3)
		tab.Header = header
		if p := submit(t, tab, form); !p.Refused() || p.Exchange.Status != http.StatusForbidden && i < len(crossSite()) {
			t.Errorf("%v: %s", header, p)
		}
	}
	if diff := cmp.Diff(before, d.peopleState(t)) + cmp.Diff(cookies, d.cookies(victim)); diff != "" {
		t.Error(diff)
	}
	a.redeem(a.answerIn(victim, flow.Approve).Get("code"))
}

// replayedInteractions: AZ-28. After the answer, after its time and without its cookie an interaction leads nowhere.
func replayedInteractions(t *testing.T, d *deployment) {
	c := d.recipient(0)
	pages := []string{"/login", "/accounts", "/consent"}
	finished, late := ask(t, c), ask(t, c)
	b := flow.NewBrowser(c.Server)
	form := filledIn(finished.upTo(b, "decision"))
	address, cookies := b.Page.Exchange.URL, d.cookies(b)
	finished.redeem(finished.told(submit(t, b, form)).Get("code"))
	grants := d.grants(t)
	d.setCookies(b, cookies)
	for i, page := range pages {
		refusedPage(t, visit(t, d.tab(b, i), strings.Replace(address, "/consent", page, 1)), http.StatusBadRequest,
			oauth.RequestAnswered)
		refusedPage(t, submit(t, d.tab(b, i), form), http.StatusBadRequest, oauth.RequestAnswered)
	}
	form = filledIn(late.upTo(b, "decision"))
	address = b.Page.Exchange.URL
	for i, page := range pages { // of another browser, and under other names
		fresh := flow.NewBrowser(d.server(i))
		refusedPage(t, visit(t, fresh, strings.Replace(address, "/consent", page, 1)), http.StatusBadRequest,
			oauth.InteractionUnknown)
		refusedPage(t, submit(t, fresh, form), http.StatusBadRequest, oauth.InteractionUnknown)
		for _, handle := range []string{"", "x", "AAAAAAAAAAAAAAAA", "../../session000", strings.Repeat("A", 8<<10), "%00",
			"\u00e9AAAAAAAAAAAAAA"} {
			refusedPage(t, visit(t, d.tab(b, i), d.issuer+page+"?interaction="+url.QueryEscape(handle)),
				http.StatusBadRequest, oauth.InteractionUnknown)
		}
	}
	d.clock.advance(grant.InteractionMost + time.Second)
	for i, page := range pages {
		refusedPage(t, visit(t, d.tab(b, i), strings.Replace(address, "/consent", page, 1)), http.StatusBadRequest,
			oauth.InteractionExpired)
		refusedPage(t, submit(t, d.tab(b, i), form), http.StatusBadRequest, oauth.InteractionExpired)
	}
	if n := d.grants(t); n != grants {
		t.Errorf("%d grants more", n-grants)
	}
}
