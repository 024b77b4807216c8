package main

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"authserver/internal/flow"
	"authserver/internal/grant"
	"authserver/internal/oauth"
	"authserver/internal/person"
)

// What people do with tabs, windows and time, as the architecture's decision 10 has it. A case of one test is played with a
// client of its own, and with browsers of its own.
func TestTabs(t *testing.T) {
	t.Parallel()
	d := deploy(t, 2, nil)
	for name, play := range map[string]func(t *testing.T, d *deployment, c *flow.Client){
		"several tabs with one request": tabsWithOneRequest, "two requests in one browser": twoRequests,
		"two people in one browser":        twoPeople,
		"the back button after the answer": backAfterTheAnswer, "the back button before it": backBeforeTheAnswer,
		"signing out and going on as somebody else": somebodyElse,
		"a link scanner": linkScanners, "more browsers than one person has": manyBrowsers, "slow readers": slowReaders,
		"a reload after expires_in":          reloadsLater,
		"a person who is disabled meanwhile": disabledMeanwhile, "a session that ends meanwhile": sessionsThatEnd,
		"browsers without cookies": noCookies,
	} {
		t.Run(name, func(t *testing.T) { play(t, d.within(t), d.recipient(0)) })
	}
}

// tabsWithOneRequest: they are one interaction. What one tab has done the other goes on with, and only one answer counts.
func tabsWithOneRequest(t *testing.T, d *deployment, c *flow.Client) {
	a := ask(t, c)
	first := a.browser()
	second := d.tab(first, 1)
	login := filledIn(a.upTo(first, "password"))
	stale := filledIn(a.upTo(second, "password"))
	submit(t, first, login)
	if p := submit(t, second, stale); p.Form("accounts") == nil { // the second login is as good as the first
		t.Errorf("%s", p)
	}
	a.upTo(first, "decision")
	if p := visit(t, second, second.Page.Exchange.URL); p.Form("accounts") == nil { // still open, to choose otherwise
		t.Errorf("%s", p)
	}
	form := filledIn(a.upTo(second, "decision"))
	other := filledIn(a.upTo(first, "decision"))
	a.redeem(a.told(submit(t, second, form)).Get("code"))
	refusedPage(t, submit(t, first, other), http.StatusBadRequest, oauth.RequestAnswered)
	refusedPage(t, visit(t, first, a.url()), http.StatusBadRequest, oauth.RequestAnswered)
}

// twoRequests live side by side, each with an answer of its own, whichever comes first.
func twoRequests(t *testing.T, d *deployment, c *flow.Client) {
	one, two := ask(t, c), ask(t, d.recipient(1), bend("state", "of the other"))
	b := one.browser()
	tab := d.tab(b, 1)
	one.upTo(b, "accounts")
	two.upTo(tab, "decision")
	yes := filledIn(one.upTo(b, "decision"))
	no := filledIn(tab.Page.Form("decision"))
	no.Fields.Set("decision", flow.Deny)
	crossed := *yes // the token of the one does not answer the other
	crossed.Fields = url.Values{"decision": {flow.Approve}, "interaction": {no.Fields.Get("interaction")},
		"form_token": {yes.Fields.Get("form_token")}}
	refusedPage(t, submit(t, d.tab(b, 0), &crossed), http.StatusForbidden, oauth.FormRefused)
	if answer := two.told(submit(t, tab, no)); answer.Get("error") != "access_denied" {
		t.Errorf("%v", answer)
	}
	one.redeem(one.told(submit(t, b, yes)).Get("code"))
}

// twoPeople: what was made for one is not decided by the other, and the other starts afresh.
func twoPeople(t *testing.T, d *deployment, c *flow.Client) {
	kim, mine := d.inhabitant("kim"), ask(t, c)
	b := mine.browser()
	form := filledIn(mine.upTo(b, "decision"))
	choice := filledIn(ofAddress(t, b, "/accounts").Form("accounts"))
	grants := d.grants(t)
	tab := d.tab(b, 1)
	theirs := ask(t, c)
	submit(t, tab, formTo(theirs.upToPage(tab, "decision"), "/sign-out"))
	theirs.as(kim).upTo(tab, "decision")
	for _, form := range []*flow.Form{form, choice} {
		refusedPage(t, submit(t, d.tab(b, 0), form), http.StatusForbidden, oauth.FormRefused)
	}
	if p := visit(t, b, mine.url()); p.Form("accounts") == nil || len(p.Form("accounts").Fields["accounts"]) != 0 {
		t.Errorf("kim goes on with what alex has chosen: %s", p)
	}
	if n := d.grants(t); n != grants {
		t.Errorf("%d grants", n-grants)
	}
	mine = mine.as(kim)
	claims := claimsOf(t, mine.redeem(mine.told(submit(t, b, filledIn(mine.upTo(b, "decision")))).Get("code")).AccessToken)
	if sub := one[string](t, d, `SELECT subject FROM person WHERE username = 'kim'`); claims["sub"] != sub {
		t.Errorf("kim pressed the button, and the token is about %v", claims["sub"])
	}
}

// ofAddress opens another page of the interaction that is shown.
func ofAddress(t *testing.T, b *flow.Browser, page string) *flow.Page {
	t.Helper()
	address, err := url.Parse(b.Page.Exchange.URL)
	if err != nil {
		t.Fatal(err)
	}
	address.Path = page
	return visit(t, b, address.String())
}

// backAfterTheAnswer: every page from before says that the answer was given.
func backAfterTheAnswer(t *testing.T, d *deployment, c *flow.Client) {
	for _, decision := range []string{flow.Approve, flow.Deny} {
		a := ask(t, c)
		b := a.browser()
		form := filledIn(a.upTo(b, "decision"))
		form.Fields.Set("decision", decision)
		consent := b.Page.Exchange.URL
		a.told(submit(t, b, form))
		for _, page := range []string{"/login", "/accounts", "/consent"} {
			refusedPage(t, visit(t, d.tab(b, 1), strings.Replace(consent, "/consent", page, 1)), http.StatusBadRequest,
				oauth.RequestAnswered)
		}
		refusedPage(t, submit(t, d.tab(b, 1), form), http.StatusBadRequest, oauth.RequestAnswered)
		refusedPage(t, visit(t, b, a.url()), http.StatusBadRequest, oauth.RequestAnswered)
	}
}

// backBeforeTheAnswer: the accounts can be chosen again, and the choice that was made last counts.
func backBeforeTheAnswer(t *testing.T, d *deployment, c *flow.Client) {
	a := ask(t, c)
	b := a.browser()
	a.upTo(b, "decision")
	p := ofAddress(t, b, "/accounts")
	if ticked := p.Form("accounts").Fields["accounts"]; len(ticked) != 2 {
		t.Errorf("what was chosen is not ticked: %v", ticked)
	}
	form := filledIn(p.Form("accounts"))
	form.Fields["accounts"] = []string{"demo-savings"}
	if p = submit(t, b, form); strings.Contains(p.Exchange.ResponseBody, "•••• 4021") ||
		!strings.Contains(p.Exchange.ResponseBody, "•••• 7788") {
		t.Errorf("the page shows another choice: %s", p.Exchange.ResponseBody)
	}
	token := a.redeem(a.told(submit(t, b, filledIn(p.Form("decision")))).Get("code"))
	shared := d.expect(c, c.Present(&flow.Request{Method: http.MethodGet, URL: d.issuer + "/demo/accounts"},
		token.AccessToken), "200")
	if !strings.Contains(shared.ResponseBody, "demo-savings") || strings.Contains(shared.ResponseBody, "demo-checking") {
		t.Errorf("shared is %s", shared.ResponseBody)
	}
}

func somebodyElse(t *testing.T, d *deployment, c *flow.Client) {
	kim, a := d.inhabitant("kim"), ask(t, c)
	b := a.browser()
	out := formTo(a.upToPage(b, "decision"), "/sign-out")
	p := submit(t, b, out)
	if p.Exchange.Status != http.StatusOK || d.cookies(b)["session"] != "" ||
		!strings.Contains(p.Exchange.ResponseBody, `href="/login?interaction=`) {
		t.Fatalf("%s\n%s", p, p.Exchange.ResponseBody)
	}
	if again := submit(t, b, out); again.Exchange.Status != http.StatusOK || again.Heading != p.Heading {
		t.Errorf("pressed twice: %s", again)
	}
	a = a.as(kim)
	a.upTo(b, "accounts")
	if !strings.Contains(b.Page.Exchange.ResponseBody, "kim") ||
		strings.Contains(b.Page.Exchange.ResponseBody, demoUsername) {
		t.Errorf("the page is about somebody else: %s", b.Page.Exchange.ResponseBody)
	}
	a.redeem(a.answerIn(b, flow.Approve).Get("code"))
}

// linkScanners: what reads the link before the person leaves the way free.
func linkScanners(t *testing.T, d *deployment, c *flow.Client) {
	a := ask(t, c)
	before := d.peopleState(t)
	for range 3 {
		if e := knock(t, a.browser(), &flow.Request{Method: http.MethodHead, URL: a.url()}); e.Status != http.StatusOK ||
			len(e.ResponseHeader.Values("Set-Cookie")) > 0 {
			t.Errorf("HEAD: %d %v", e.Status, e.ResponseHeader)
		}
	}
	if after := d.peopleState(t); after != before {
		t.Errorf("HEAD did something: %s", after)
	}
	for i := range 5 {
		scanner := flow.NewBrowser(d.server(i % 2))
		p := visit(t, scanner, a.url())
		forgets := visit(t, flow.NewBrowser(d.server(0)), p.Exchange.URL) // cookies are not its strength
		refusedPage(t, forgets, http.StatusBadRequest, oauth.InteractionUnknown)
	}
	a.redeem(a.answer(flow.Approve).Get("code"))
}

func manyBrowsers(t *testing.T, d *deployment, c *flow.Client) {
	a := ask(t, c)
	mine := a.browser()
	visit(t, mine, a.url())
	for i := range grant.MaxInteractions {
		p := visit(t, flow.NewBrowser(c.Server), a.url())
		if i < grant.MaxInteractions-1 {
			if p.Form("password") == nil {
				t.Fatalf("%d: %s", i, p)
			}
			continue
		}
		refusedPage(t, p, http.StatusBadRequest, oauth.RequestCrowded)
	}
	a.redeem(a.answerIn(mine, flow.Approve).Get("code"))
}

// slowReaders: a page waits for a quarter of an hour, all pages together for half of one.
func slowReaders(t *testing.T, d *deployment, c *flow.Client) {
	personal := d.recipient(0, func(m map[string]any) { m["scope"] = "fdx:customerpersonal:read" })
	slow, tooSlow, late := ask(t, personal, bend("scope", "fdx:customerpersonal:read"), bend("authorization_details")), ask(t, c), ask(t, c)
	b, b2, b3 := slow.browser(), tooSlow.browser(), late.browser()
	login, login2 := filledIn(slow.upTo(b, "password")), filledIn(tooSlow.upTo(b2, "password"))
	late.upTo(b3, "password")
	d.clock.advance(14 * time.Minute)
	yes := filledIn(submit(t, b, login).Form("decision"))
	choice := filledIn(submit(t, b2, login2).Form("accounts"))
	d.clock.advance(14 * time.Minute)
	slow.redeem(slow.told(submit(t, b, yes)).Get("code"))
	yes = filledIn(submit(t, b2, choice).Form("decision"))
	refusedPage(t, submit(t, b3, filledIn(b3.Page.Form("password"))), http.StatusBadRequest, oauth.InteractionExpired)
	d.clock.advance(3 * time.Minute)
	refusedPage(t, submit(t, b2, yes), http.StatusBadRequest, oauth.InteractionExpired)
	refusedPage(t, visit(t, b2, tooSlow.url()), http.StatusBadRequest, oauth.RequestURIExpired)
}

// reloadsLater: expires_in limits arrival, not the person who has arrived.
func reloadsLater(t *testing.T, d *deployment, c *flow.Client) {
	a := ask(t, c)
	b := a.browser()
	visit(t, b, a.url())
	d.clock.advance(grant.DefaultArrival + time.Second)
	refusedPage(t, visit(t, a.browser(), a.url()), http.StatusBadRequest, oauth.RequestURIExpired)
	if p := visit(t, d.tab(b, 1), a.url()); p.Form("password") == nil {
		t.Errorf("%s", p)
	}
	a.redeem(a.answerIn(b, flow.Approve).Get("code"))
}

// disabledMeanwhile: nobody who may no longer sign in gives an answer, or keeps one that was given.
func disabledMeanwhile(t *testing.T, d *deployment, c *flow.Client) {
	sam := d.inhabitant("sam")
	given, a := ask(t, c).as(sam), ask(t, c).as(sam)
	b := a.browser()
	code := given.answerIn(b, flow.Approve).Get("code")
	form := filledIn(a.upTo(b, "decision"))
	grants := d.grants(t)
	d.disable(sam)
	p := submit(t, b, form) // the session is gone
	if p.Form("password") == nil || d.grants(t) != grants {
		t.Errorf("%s", p)
	}
	if p, err := b.SignIn(t.Context(), sam.Username, sam.Password); err != nil ||
		p.Exchange.Status != http.StatusUnauthorized {
		t.Errorf("%s %v", p, err)
	}
	refusedFor(t, do(t, c.Server, given.redemption(code)), "400 invalid_grant", oauth.CodeUnknown)
}

// sessionsThatEnd: whoever comes back to a page signs in again, and chooses again. No button does anything before.
func sessionsThatEnd(t *testing.T, d *deployment, c *flow.Client) {
	brief := d.alone(func(c *config) { c.sessions = person.Lifetimes{Idle: 2 * time.Minute, Most: 2 * time.Minute} })
	a := ask(t, c)
	b := flow.NewBrowser(brief.server(0))
	for _, field := range []string{"accounts", "decision"} {
		form := filledIn(a.upTo(b, field))
		out, address, grants := formTo(b.Page, "/sign-out"), b.Page.Exchange.URL, d.grants(t)
		d.clock.advance(2 * time.Minute)
		if p := submit(t, b, form); p.Form("password") == nil || d.grants(t) != grants {
			t.Errorf("%s", p)
		}
		if p := submit(t, b, out); p.Exchange.Status != http.StatusOK || d.cookies(b)["session"] != "" {
			t.Errorf("%s", p)
		}
		if p := visit(t, b, address); p.Form("password") == nil {
			t.Errorf("%s", p)
		}
	}
	a.redeem(a.answerIn(b, flow.Approve).Get("code"))
}

// forgetful is a jar that keeps nothing.
type forgetful struct{}

func (forgetful) SetCookies(*url.URL, []*http.Cookie)    {}
func (forgetful) Cookies(*url.URL) (none []*http.Cookie) { return none }

// noCookies: a browser that keeps none is told so, and sent nowhere in circles.
func noCookies(t *testing.T, _ *deployment, c *flow.Client) {
	a := ask(t, c)
	b := &flow.Browser{Server: c.Server, Jar: forgetful{}}
	for range 2 {
		refusedPage(t, visit(t, b, a.url()), http.StatusBadRequest, oauth.InteractionUnknown)
	}
	a.redeem(a.answer(flow.Approve).Get("code"))
}
