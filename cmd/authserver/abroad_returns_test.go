package main

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"authserver/internal/flow"
	"authserver/internal/oauth"
)

// provenNobody: AZ-26 and more: codes and ID tokens that are no proof. The same request is good for a good answer then.
func provenNobody(d *abroad) {
	foreign := func(back url.Values) { // somebody else's code, which the provider would give out for another departure
		asked := d.there.Asked
		other := ask(d.t, d.client)
		back.Set("code", d.there.Authorize(other.depart(other.browser())).Get("code"))
		d.there.Asked = asked
	}
	a := ask(d.t, d.client)
	b := a.browser()
	for name, there := range map[string]func(string) string{
		"AZ-26 another iss":  d.says(bend("iss", "https://op.example")),
		"AZ-26 no iss":       d.says(bend("iss")),
		"two codes":          d.says(bend("code", "one", "two")),
		"no code":            d.says(bend("code")),
		"a forged code":      d.says(bend("code", strings.Repeat("A", 43))),
		"a foreign code":     d.says(foreign),
		"the nonce":          d.as("kim", claiming("nonce", "another")),
		"the audience":       d.as("kim", claiming("aud", "another")),
		"the issuer":         d.as("kim", claiming("iss", "https://op.example")),
		"expired":            d.as("kim", claiming("exp", d.ago(time.Minute))),
		"a subject of NUL":   d.as("kim\x00"),
		"no subject":         d.as(""),
		"from the future":    d.as("kim", claiming("iat", d.ago(-time.Minute))),
		"an acr that breaks": d.as("kim", claiming("acr", "a\nb")),
	} {
		if d.provesNobody(b, a.abroad(b, there), http.StatusForbidden, oauth.UpstreamRefused); d.t.Failed() {
			d.t.Fatal(name)
		}
	}
	a.abroad(b, d.as("kim"))
	a.finish(b)
}

// answersToOthers: AZ-09. An answer is good once, for the browser that departed, and for nobody else.
func answersToOthers(d *abroad) {
	a := ask(d.t, d.client)
	b, stranger := a.browser(), flow.NewBrowser(d.server(1))
	visit(d.t, stranger, a.url())
	sessions := func() int { return one[int](d.t, d.deployment, `SELECT count(*) FROM session`) }
	before := sessions()
	answer := d.as("kim")(a.depart(b))
	state, _ := url.Parse(answer)
	for name, target := range map[string]string{
		"without state":   d.issuer + "/login/callback?code=x",
		"an empty state":  d.issuer + "/login/callback?code=x&state=",
		"two states":      answer + "&state=x",
		"no such request": d.issuer + "/login/callback?code=x&state=" + strings.Repeat("A", 16) + "." + strings.Repeat("A", 43),
	} {
		for _, browser := range []*flow.Browser{b, stranger, flow.NewBrowser(d.server(1))} {
			if p := visit(d.t, browser, target); !p.Refused() || p.Exchange.Status != http.StatusBadRequest || d.ticket(browser) != "" {
				d.t.Errorf("%s: %s", name, p)
			}
		}
	}
	d.provesNobody(b, visit(d.t, flow.NewBrowser(d.server(1)), answer), http.StatusBadRequest, oauth.InteractionUnknown)
	// Another browser on its way with the same request, and this one with another secret, are sent to the provider.
	away(d.t, stranger, visit(d.t, stranger, answer))
	handle, _, _ := strings.Cut(state.Query().Get("state"), ".")
	for _, forged := range []string{handle, handle + ".", handle + "." + strings.Repeat("A", 43), state.Query().Get("state") + "A"} {
		back := state.Query()
		back.Set("state", forged)
		// Each is a new departure; what came of the one before is lost.
		away(d.t, b, visit(d.t, b, d.comeBack(back)))
		d.signedIn(b, "")
	}
	away(d.t, b, visit(d.t, b, answer))
	if n := sessions(); n != before {
		d.t.Fatalf("%d sessions", n-before)
	}
	// The right answer is good once.
	good := d.as("kim")(a.depart(b))
	if p := visit(d.t, d.tab(b, 1), good); p.Form("accounts") == nil {
		d.t.Fatalf("%s", p)
	}
	ticket := d.ticket(b)
	for i := range d.replicas {
		if p := visit(d.t, d.tab(b, i), good); p.Form("accounts") == nil || d.ticket(b) != ticket {
			d.t.Errorf("again: %s", p)
		}
		away(d.t, stranger, visit(d.t, stranger, good))
	}
	if n := sessions(); n != before+1 {
		d.t.Errorf("%d sessions", n-before)
	}
	visit(d.t, b, a.url())
	a.finish(b)
	refusedPage(d.t, visit(d.t, b, good), http.StatusBadRequest, oauth.RequestAnswered)
}

// twoTabsAbroad: of two tabs with one request the later is at the provider. Whoever comes back from the earlier is sent
// there again, so that the tabs overtake each other, but is never signed in; once one is, the other goes on as the same.
func twoTabsAbroad(d *abroad) {
	a := ask(d.t, d.client)
	left := a.browser()
	right := d.tab(left, 1)
	first := a.depart(left)
	second := a.depart(right)
	if first == second {
		d.t.Fatal("both depart alike")
	}
	third := away(d.t, left, visit(d.t, left, d.as("sam")(first)))
	d.signedIn(left, "")
	fourth := away(d.t, right, visit(d.t, right, d.as("sam")(second)))
	d.signedIn(left, "")
	fifth := away(d.t, left, visit(d.t, left, d.as("sam")(third)))
	sixth := away(d.t, right, visit(d.t, right, d.as("sam")(fourth)))
	d.signedIn(left, "")
	if p := visit(d.t, right, d.as("kim")(sixth)); p.Form("accounts") == nil {
		d.t.Fatalf("%s", p)
	}
	if p := visit(d.t, left, d.as("sam")(fifth)); p.Form("accounts") == nil || !strings.Contains(p.Exchange.ResponseBody, "kim") {
		d.t.Errorf("the tab that was left behind: %s", p)
	}
	a.finish(left)
}

// twoRequestsAbroad: two requests in one browser depart, each for itself, before anybody is signed in. Who has been signed
// in at the provider for hours passes with both.
func twoRequestsAbroad(d *abroad) {
	b := flow.NewBrowser(d.server(0))
	earlier, later := ask(d.t, d.client), ask(d.t, d.client)
	first, second := earlier.depart(b), later.depart(b)
	since := claiming("auth_time", d.ago(3*time.Hour))
	for _, departed := range []string{second, first} {
		if p := visit(d.t, b, d.as("kim", since)(departed)); p.Form("accounts") == nil {
			d.t.Fatalf("%s\n%s", p, p.Exchange.ResponseBody)
		}
	}
	earlier.finish(b)
	visit(d.t, b, later.url())
	later.finish(b)
	// The other way round: a fresh login that was asked for is wanted, also when nobody is signed in any more.
	fresh := ask(d.t, d.client)
	departed := away(d.t, b, visit(d.t, b, strings.Replace(visit(d.t, b, fresh.url()).Exchange.URL, "/accounts?", "/login?", 1)))
	d.setCookies(b, map[string]string{"__Host-session": ""})
	refusedPage(d.t, visit(d.t, b, d.as("kim", since)(departed)), http.StatusForbidden, oauth.UpstreamRefused)
	d.signedIn(b, "")
}

// upstreamAway: while the provider is away people are told to come back, and who comes back signs in. Who is signed in
// already does not notice.
func upstreamAway(d *abroad) {
	d.deployment = d.deployment.alone() // has not asked for the provider's metadata yet
	c := d.at(d.client, 0)
	told := func(b *flow.Browser, target string) {
		d.t.Helper()
		p, err := b.Visit(d.t.Context(), target) // checkPage would not have a 5xx
		if err != nil {
			d.t.Fatal(err)
		}
		b.Exchanges = nil
		d.provesNobody(b, p, http.StatusServiceUnavailable, oauth.Unavailable)
		if p.Exchange.ResponseHeader.Get("Retry-After") != "5" {
			d.t.Errorf("Retry-After %q", p.Exchange.ResponseHeader.Get("Retry-After"))
		}
	}
	a := ask(d.t, c)
	b := a.browser()
	d.there.GoAway(true)
	told(b, a.url())
	told(b, a.url())
	d.there.GoAway(false)
	departed := a.depart(b)
	d.there.GoAway(true)
	told(b, d.as("kim")(departed))
	d.there.GoAway(false)
	for _, status := range []int{http.StatusInternalServerError, http.StatusTooManyRequests} {
		d.there.Answer = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }
		told(b, d.as("kim")(a.depart(b)))
		d.there.Answer = nil
	}
	a.abroad(b, d.as("kim"))
	a.finish(b)
	d.there.GoAway(true)
	defer func() { d.there.GoAway(false) }()
	again := ask(d.t, c)
	visit(d.t, b, again.url())
	again.finish(b)
}

// disabledAbroad: somebody whom the provider lets in and the operator does not is told so, on every replica; it ends what
// the person had, and nothing of anybody else.
func disabledAbroad(d *abroad) {
	b, others := flow.NewBrowser(d.server(0)), flow.NewBrowser(d.server(1))
	a, other, under := ask(d.t, d.client), ask(d.t, d.client), ask(d.t, d.client)
	a.abroad(b, d.as("riley"))
	token := a.finish(b)
	subject, _ := said(d.t, token)["sub"].(string)
	other.abroad(others, d.as("kim"))
	kim := d.sessionOf(d.t, d.ticket(others))
	under.upTo(b, "decision")
	form := b.Page.Form("decision")
	form.Fields.Set("decision", flow.Approve)

	who := flow.Person{Username: subject}
	d.disable(who)
	defer d.enable(who)
	away(d.t, b, submit(d.t, b, form))
	unseen(d.t, d.client, token.RefreshToken)
	trail := len(d.audited())
	for i := range d.replicas {
		for _, browser := range []*flow.Browser{d.tab(b, i), flow.NewBrowser(d.server(i))} {
			late := ask(d.t, d.client)
			d.provesNobody(browser, late.abroad(browser, d.as("riley")), http.StatusForbidden, oauth.PersonDisabled)
		}
	}
	d.refusedSignIns(trail, 2*len(d.replicas))
	if last := d.audited(); last[len(last)-1].Subject != subject {
		d.t.Errorf("the trail does not say who was refused: %+v", last[len(last)-1])
	}
	// In another's browser it changes nothing.
	late := ask(d.t, d.client, bend("prompt", "login"))
	refusedPage(d.t, late.abroad(others, d.as("riley", claiming("auth_time", d.ago(0)))), http.StatusForbidden, oauth.PersonDisabled)
	d.signedIn(others, kim)

	d.enable(who)
	welcome := ask(d.t, d.client)
	welcome.abroad(b, d.as("riley"))
	if got := said(d.t, welcome.finish(b)); got["sub"] != subject {
		d.t.Errorf("after all somebody else: %v", got["sub"])
	}
}

// anotherPersonAbroad: who signs out here is still signed in at the provider, which would give the same person again. It is told to
// ask, and nothing that the first person has chosen is the second's.
func anotherPersonAbroad(d *abroad) {
	a := ask(d.t, d.client)
	b := a.browser()
	a.abroad(b, d.as("kim"))
	kim := d.sessionOf(d.t, d.ticket(b))
	a.upTo(b, "decision")
	p := submit(d.t, b, formTo(b.Page, "/sign-out"))
	d.signedIn(b, "")
	again := ""
	for _, part := range strings.Split(p.Exchange.ResponseBody, `href="`)[1:] {
		if target, _, _ := strings.Cut(part, `"`); strings.HasPrefix(target, "/login?") {
			again = strings.ReplaceAll(target, "&amp;", "&")
		}
	}
	departed := away(d.t, b, visit(d.t, b, d.issuer+again))
	if asked, _ := url.Parse(departed); asked.Query().Get("prompt") != "login" {
		d.t.Errorf("the provider is asked with %v", asked.Query())
	}
	refusedPage(d.t, visit(d.t, b, d.as("kim", claiming("auth_time", d.ago(time.Hour)))(departed)), http.StatusForbidden, oauth.UpstreamRefused)
	departed = away(d.t, b, visit(d.t, b, d.issuer+again))
	if p := visit(d.t, b, d.as("sam", claiming("auth_time", d.ago(0)))(departed)); p.Form("accounts") == nil || p.Form("accounts").Fields.Has("accounts") {
		d.t.Errorf("%s\n%v", p, p.Forms)
	}
	if got := said(d.t, a.finish(b)); got["sub"] == kim {
		d.t.Error("somebody else is the same")
	}
}

// keepsSecrets: of all that went between provider, browser and server, nothing stays behind.
func (d *abroad) keepsSecrets() {
	kinds := map[int]bool{}
	var all []canary
	for i, secret := range d.told {
		if kinds[strings.Count(secret, ".")] = true; secret == "" {
			continue
		}
		if secret = secret[strings.LastIndexByte(secret, '.')+1:]; len(secret) > 20 { // of an ID token the signature, of a state the secret
			all = append(all, textCanary(fmt.Sprint("secret ", i), secret))
		}
	}
	if len(all) < 100 || len(kinds) < 3 {
		d.t.Fatalf("only %d secrets of %d kinds", len(all), len(kinds))
	}
	for _, leak := range leaks(all, d.places()) {
		d.t.Error(leak)
	}
}
