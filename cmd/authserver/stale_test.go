package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"authserver/internal/authorize"
	"authserver/internal/flow"
	"authserver/internal/grant"
	"authserver/internal/oauth"
	"authserver/internal/person"
)

// Pages that were left open while something else changed what they are about.
func TestStalePages(t *testing.T) {
	t.Parallel()
	d := deploy(t, 2, nil)
	for name, play := range map[string]func(t *testing.T, d *deployment, c *flow.Client){
		"accounts that another tab has chosen since": accountsOfAnotherTab,
		"signing out of a page that is over":         signOutTooLate,
		"accounts that are gone":                     accountsThatAreGone,
		"more requests than a header has room for":   manyRequests,
		"a login that lies in the future":            loginsInTheFuture,
		"back to where somebody signed out":          backToSignedOut,
		"a sweeper whose clock is apart":             strayedSweeper,
	} {
		t.Run(name, func(t *testing.T) { play(t, d.within(t), d.recipient(0)) })
	}
}

// accountsOfAnotherTab: a yes is to the accounts that stand on the page, whatever another tab has chosen since.
func accountsOfAnotherTab(t *testing.T, d *deployment, c *flow.Client) {
	a := ask(t, c)
	b := a.browser()
	one := filledIn(a.upTo(b, "accounts"))
	one.Fields["accounts"] = []string{"demo-savings"}
	yes := filledIn(submit(t, b, one).Form("decision"))
	tab := d.tab(b, 1)
	tab.Page = b.Page
	both := filledIn(ofAddress(t, tab, "/accounts").Form("accounts"))
	both.Fields["accounts"] = both.Choices["accounts"]
	yesToBoth := filledIn(submit(t, tab, both).Form("decision"))
	refusedPage(t, submit(t, b, yes), http.StatusForbidden, oauth.FormRefused)
	a.redeem(a.told(submit(t, tab, yesToBoth)).Get("code"))
}

// signOutTooLate: whoever leaves signs out, though the page is too old for anything else or the request answered elsewhere.
func signOutTooLate(t *testing.T, d *deployment, c *flow.Client) {
	lasting := d.alone(func(c *config) { c.sessions.Idle = time.Hour })
	for name, over := range map[string]func(a *asking, b *flow.Browser){
		"answered":  func(a *asking, b *flow.Browser) { a.answerIn(lasting.tab(b, 0), flow.Deny) },
		"too late":  func(*asking, *flow.Browser) { d.clock.advance(grant.InteractionMost) },
		"forgotten": func(_ *asking, b *flow.Browser) { b.Jar = lasting.onlySession(b) },
	} {
		a := ask(t, c)
		b := flow.NewBrowser(lasting.server(0))
		out := formTo(a.upToPage(b, "decision"), "/sign-out")
		over(a, b)
		thief := &flow.Browser{Server: lasting.server(0), Jar: lasting.onlySession(b)}
		if p := submit(t, b, out); p.Exchange.Status != http.StatusOK || d.cookies(b)["session"] != "" {
			t.Errorf("%s: %s", name, p)
		}
		if p := visit(t, thief, ask(t, c).url()); p.Form("password") == nil {
			t.Errorf("%s: the session goes on: %s", name, p)
		}
	}
}

// onlySession is a jar with the session of a browser, and nothing else.
func (d *deployment) onlySession(b *flow.Browser) http.CookieJar {
	d.t.Helper()
	other := flow.NewBrowser(b.Server)
	d.setCookies(other, map[string]string{"session": d.cookies(b)["session"]})
	return other.Jar
}

// rewired is a replica of its own, whose pages have something else behind them.
func (d *deployment) rewired(edit func(*authorize.Endpoint)) *deployment {
	d.t.Helper()
	one := d.alone()
	edit(one.replicas[0].server.Authorization)
	listener := httptest.NewServer(one.replicas[0].server.Handler())
	d.t.Cleanup(listener.Close)
	one.hosts = []string{listener.Listener.Addr().String()}
	return one
}

// noAccounts is a bank at which nobody has any, any more.
type noAccounts struct{}

func (noAccounts) Accounts(context.Context, string) ([]person.Account, error) { return nil, nil }

// accountsThatAreGone: what was chosen cannot be shared any more, and there is nothing else to choose. The person is told so,
// and not sent from page to page for ever.
func accountsThatAreGone(t *testing.T, d *deployment, c *flow.Client) {
	a := ask(t, c)
	b := a.browser()
	yes := filledIn(a.upTo(b, "decision"))
	tab := &flow.Browser{Server: d.rewired(func(e *authorize.Endpoint) { e.Accounts = noAccounts{} }).server(0), Jar: b.Jar}
	grants := d.grants(t)
	for _, p := range []*flow.Page{visit(t, tab, a.url()), submit(t, tab, yes)} {
		if p.Heading != "Choose accounts" || len(p.Form("interaction").Choices["accounts"]) != 0 {
			t.Errorf("%s", p)
		}
	}
	if n := d.grants(t); n != grants {
		t.Errorf("%d grants", n-grants)
	}
}

// TestWhereFormsLead: a browser holds the policy of a page against every redirect behind its forms, and a refusal may be told
// to the client behind any of them. Only behind the answer it may be sent on to wherever the client likes.
func TestWhereFormsLead(t *testing.T) {
	d := deploy(t, 1, nil)
	for uri, want := range map[string][2]string{ // of the login and the accounts, and of the answer
		"https://client.example/cb":       {"https://client.example", "https:"},
		"https://client.example:8443/a?b": {"https://client.example:8443", "https:"},
		"http://127.0.0.1:5000/cb":        {"http://127.0.0.1:5000", "http:"},
		"http://[::1]:5000/cb":            {"http:", "http:"},
	} {
		a := ask(t, d.recipient(0, func(m map[string]any) {
			if m["redirect_uris"] = []string{uri}; strings.HasPrefix(uri, "http:") {
				m["application_type"] = "native"
			}
		}), bend("redirect_uri", uri))
		b := a.browser()
		for field, want := range map[string]string{"password": want[0], "accounts": want[0], "decision": want[1]} {
			a.upTo(b, field)
			if policy := b.Page.Exchange.ResponseHeader.Get("Content-Security-Policy"); !strings.Contains(policy, "; form-action 'self' "+want+"; ") {
				t.Errorf("%s, %s: %s", uri, field, policy)
			}
			b = a.browser()
		}
	}
}

// manyRequests: a site that sends one browser to request after request fills its cookies only so far. The latest go on.
func manyRequests(t *testing.T, d *deployment, c *flow.Client) {
	b := flow.NewBrowser(c.Server)
	var all []*asking
	var pages []string
	for range 25 {
		a := ask(t, c)
		all, pages = append(all, a), append(pages, visit(t, b, a.url()).Exchange.URL)
	}
	if n := len(d.cookies(b)); n != 20 {
		t.Errorf("%d cookies", n)
	}
	refusedPage(t, visit(t, b, pages[4]), http.StatusBadRequest, oauth.InteractionUnknown)
	for _, i := range []int{5, 24, 4} { // the last begins anew
		all[i].redeem(all[i].answerIn(b, flow.Approve).Get("code"))
	}
}

// loginsInTheFuture: AZ-17. Clocks may be five seconds apart, so that the login of a moment ago may bear a later time than the
// request that demands another one.
func loginsInTheFuture(t *testing.T, d *deployment, c *flow.Client) {
	ahead, behind := *d, *d
	ahead.clock, behind.clock = &clock{}, &clock{}
	ahead.clock.set(d.clock.now().Add(5 * time.Second))
	behind.clock.set(d.clock.now().Add(-5 * time.Second))
	fast, slow := ahead.alone(), behind.alone()
	for _, demand := range [][2]string{{"max_age", "0"}, {"prompt", "login"}, {"prompt", "select_account"}} {
		b := flow.NewBrowser(fast.server(0))
		ask(t, c).upTo(b, "decision") // somebody is signed in now
		tab := slow.tab(b, 0)
		later := ask(t, c, bend(demand[0], demand[1]))
		if p := visit(t, tab, later.url()); p.Form("password") == nil {
			t.Errorf("%s: %s", demand, p)
		}
		if p := submit(t, tab, filledIn(later.upTo(tab, "password"))); p.Form("accounts") == nil { // and once is enough
			t.Errorf("%s: %s", demand, p)
		}
		later.redeem(later.answerIn(tab, flow.Approve).Get("code"))
	}
}

// backToSignedOut: the page says that nobody is signed in only where that is so.
func backToSignedOut(t *testing.T, d *deployment, c *flow.Client) {
	kim, a := d.inhabitant("kim"), ask(t, c)
	b := a.browser()
	left := submit(t, b, formTo(a.upToPage(b, "decision"), "/sign-out"))
	a.as(kim).upTo(b, "accounts")
	if p := visit(t, b, left.Exchange.URL); p.Form("accounts") == nil {
		t.Errorf("kim is signed in: %s", p)
	}
	d.clock.advance(grant.InteractionMost)
	other := ask(t, c).as(kim)
	other.upTo(b, "accounts")
	refusedPage(t, visit(t, b, left.Exchange.URL), http.StatusBadRequest, oauth.InteractionExpired)
	submit(t, b, formTo(other.upToPage(b, "accounts"), "/sign-out"))
	if p := visit(t, b, left.Exchange.URL); p.Heading != left.Heading {
		t.Errorf("nobody is signed in: %s", p)
	}
}

// strayedSweeper: a replica that lives in tomorrow ends nothing that others are at work on.
func strayedSweeper(t *testing.T, d *deployment, c *flow.Client) {
	now := *d
	now.clock = &clock{}
	fresh := now.alone()
	a := ask(t, fresh.at(c, 0))
	b := a.browser()
	yes := filledIn(a.upTo(b, "decision"))
	strayed := *d
	strayed.clock = &clock{}
	strayed.clock.advance(24 * time.Hour)
	if err := strayed.alone().replicas[0].sweep(t.Context()); err == nil || !strings.Contains(err.Error(), "apart from the database's") {
		t.Errorf("by a clock that is apart: %v", err)
	}
	code := a.told(submit(t, b, yes)).Get("code")
	if err := fresh.replicas[0].sweep(t.Context()); err != nil {
		t.Error(err)
	}
	if code == "" {
		t.Error("no code")
	}
}
