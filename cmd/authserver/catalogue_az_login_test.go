package main

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"authserver/internal/flow"
	"authserver/internal/oauth"
	"authserver/internal/person"

	"github.com/google/go-cmp/cmp"
)

// attacksOnLogin are the cases about who signs in, how often, and what a browser is given then.
func attacksOnLogin() []attack {
	return []attack{
		{"AZ-09", fixedSessions},
		{"AZ-10", cookieFlags},
		{"AZ-11", hostileNames},
		{"AZ-17", freshLogins},
		{"AZ-22", guesses},
		{"AZ-29", hostileCredentials},
		{"AZ-30", loginsAtOnce},
	}
}

// sessionOf is whose session a browser has: the subject, or "".
func (d *deployment) sessionOf(t *testing.T, ticket string) string {
	t.Helper()
	return one[string](t, d, `SELECT coalesce((SELECT subject FROM session WHERE id = $1), '')`, oauth.Secret(ticket).Hash())
}

// fixedSessions: AZ-09. A login begins a session under a new name, and ends the one before it.
func fixedSessions(t *testing.T, d *deployment) {
	c := d.recipient(0)
	b := flow.NewBrowser(c.Server)
	fixed := strings.Repeat("A", 43)
	d.setCookies(b, map[string]string{"session": fixed})
	ask(t, c).upTo(b, "accounts")
	first := d.cookies(b)["session"]
	if first == fixed || d.sessionOf(t, fixed) != "" || d.sessionOf(t, first) == "" {
		t.Errorf("the session is %q, as somebody else had fixed it", first)
	}
	again := ask(t, c, bend("prompt", "login"))
	again.upTo(b, "accounts")
	second := d.cookies(b)["session"]
	if second == first || d.sessionOf(t, first) != "" || d.sessionOf(t, second) == "" {
		t.Errorf("the second login has left the first session alive, or its name the same")
	}
	old := flow.NewBrowser(d.server(1))
	d.setCookies(old, map[string]string{"session": first})
	if p := visit(t, old, ask(t, c).url()); p.Form("password") == nil {
		t.Errorf("the old session is still good: %s", p)
	}
	out := formTo(again.upToPage(b, "decision"), "/sign-out")
	submit(t, b, out)
	if d.sessionOf(t, second) != "" || d.cookies(b)["session"] != "" {
		t.Error("signed out, and yet there is a session")
	}
}

// upToPage is upTo, and gives the page.
func (a *asking) upToPage(b *flow.Browser, field string) *flow.Page {
	a.t.Helper()
	a.upTo(b, field)
	return b.Page
}

// cookieFlags: AZ-10, at an http issuer of this machine and at an https one that has a path.
func cookieFlags(t *testing.T, d *deployment) {
	secure := deploy(t, 1, func(s *settings) { s.Issuer = "https://as.example/bank" })
	for _, d := range []*deployment{d, secure} {
		https := strings.HasPrefix(d.issuer, "https:")
		prefix := map[bool]string{true: "__Host-", false: ""}[https]
		a := ask(t, d.recipient(0))
		b := a.browser()
		a.redeem(a.answerIn(b, flow.Approve).Get("code"))
		a = ask(t, a.client)
		submit(t, b, formTo(a.upToPage(b, "decision"), "/sign-out"))
		seen := map[string]int{}
		for _, e := range b.Exchanges {
			if hsts := e.ResponseHeader.Get("Strict-Transport-Security"); (hsts != "") != https {
				t.Errorf("%s: Strict-Transport-Security %q", e.URL, hsts)
			}
			for _, c := range (&http.Response{Header: e.ResponseHeader}).Cookies() {
				kind := strings.TrimPrefix(c.Name, prefix)
				kind, _, _ = strings.Cut(kind, "-")
				taken := c.MaxAge < 0
				seen[fmt.Sprint(kind, " taken ", taken)]++
				life := map[string]int{"interaction": 1800, "session": 0}[kind]
				if taken {
					life = -1
				}
				if !strings.HasPrefix(c.Name, prefix) || c.Secure != https || !c.HttpOnly ||
					c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" || c.MaxAge != life {
					t.Errorf("the cookie %s", c.Raw)
				}
				if !taken && !regexp.MustCompile(`^[A-Za-z0-9_-]{43}$`).MatchString(c.Value) {
					t.Errorf("the cookie tells something: %s", c.Raw)
				}
			}
		}
		for _, kind := range []string{"interaction taken false", "session taken false", "session taken true"} {
			if seen[kind] == 0 {
				t.Errorf("no cookie: %s in %v", kind, seen)
			}
		}
	}
}

// hostileNames: AZ-11. What a client calls itself, and what somebody types, is text on every page.
func hostileNames(t *testing.T, d *deployment) {
	b := flow.NewBrowser(d.server(0))
	for _, name := range []string{`<img src=x onerror=alert(1)>`, `{{7*7}}`, `"><script>alert(1)</script>`,
		`' onmouseover='alert(1)`, `</title><h1>Your bank</h1>`,
		`<!--`, `${7*7} #{7*7} <%= 7*7 %>`, "javascript:alert(1)", `&lt;b&gt;`} {
		c := d.recipient(0, changes{"client_name": name, "client_name#fr": name}.apply)
		a := ask(t, c, bend("login_hint", name), bend("prompt", "login"))
		page := visit(t, b, a.url()) // checkPage has looked for what runs
		form := page.Form("password")
		if form.Fields.Get("username") != name {
			t.Errorf("login_hint %q stands there as %q", name, form.Fields.Get("username"))
		}
		form.Fields.Set("password", name)
		if page = submit(t, b, form); page.Form("password").Fields.Get("username") != name ||
			page.Exchange.Status != http.StatusUnauthorized {
			t.Errorf("what was typed comes back as %s", page.Form("password").Fields)
		}
		if page = a.upToPage(b, "decision"); page.Heading != name+" asks for access to your data" {
			t.Errorf("the heading is %q", page.Heading)
		}
		for _, e := range b.Exchanges {
			if strings.Contains(e.ResponseBody, "<img src=x") || strings.Contains(e.ResponseBody, "<h1>Your") ||
				strings.Contains(e.ResponseBody, ">49") {
				t.Fatalf("%q is more than text in\n%s", name, e.ResponseBody)
			}
		}
		b.Exchanges = nil
	}
	d.neither(t, noMetadata, member("client_name", "a\u202eb", "a\u2067b", "a\u200fb\u0000", "a\u0085b"))
}

// freshLogins: AZ-17. Who is asked anew, and since when the tokens say that the person signed in.
func freshLogins(t *testing.T, d *deployment) {
	c := d.recipient(0)
	b := flow.NewBrowser(c.Server)
	ask(t, c).answerIn(b, flow.Deny)
	d.clock.advance(2 * time.Minute)
	defaults := d.recipient(0, func(m map[string]any) { m["default_max_age"] = 60 })
	for i, test := range []struct {
		client *flow.Client
		edit   func(url.Values)
		asked  bool
	}{
		{c, bend("max_age", "300"), false}, {c, bend("prompt", "consent"), false}, {c, func(url.Values) {}, false},
		{defaults, bend("max_age", "600"), false}, {c, bend("max_age", "60"), true}, {c, bend("max_age", "0"), true},
		{c, bend("prompt", "login"), true},
		{c, bend("prompt", "select_account"), true}, {c, bends(bend("prompt", "login"), bend("max_age", "3600")), true},
		{defaults, func(url.Values) {}, true},
	} {
		if test.asked {
			d.clock.advance(2 * time.Minute) // since the login before
		}
		before, a := d.clock.now().Unix(), ask(t, test.client, test.edit)
		p := visit(t, b, a.url())
		if asked := p.Form("password") != nil; asked != test.asked {
			t.Errorf("%d: asked is %t", i, asked)
		}
		if test.asked { // neither the session nor another tab's address leads past the login
			address := strings.Replace(p.Exchange.URL, "/login", "/consent", 1)
			if p := visit(t, d.tab(b, 1), address); p.Form("password") == nil {
				t.Errorf("%d: past the login: %s", i, p)
			}
			visit(t, b, a.url())
		}
		token := a.redeem(a.answerIn(b, flow.Approve).Get("code"))
		claims := claimsOf(t, token.AccessToken)
		if fresh := wholeSeconds(t, claims["auth_time"]) >= before; fresh != test.asked ||
			claims["acr"] != person.ACRPassword {
			t.Errorf("%d: auth_time %v, now %d, acr %v", i, claims["auth_time"], before, claims["acr"])
		}
	}
}

// variable is what differs from one answer to the next: tokens, and the minutes to wait.
var variable = regexp.MustCompile(`value="[^"]*"|\d+`)

// login is the form of a login page, filled in.
func (d *deployment) login(t testing.TB, c *flow.Client, b *flow.Browser, username, password string) *flow.Form {
	t.Helper()
	form := visit(t, b, ask(t, c).url()).Form("password")
	form.Fields.Set("username", username)
	form.Fields.Set("password", password)
	return form
}

// guesses: AZ-22. One account takes so many wrong passwords, whether it exists or not, at whatever replica and however
// many at once; and one address so many, for whatever accounts.
func guesses(t *testing.T, d *deployment) {
	const limit = 3
	limited := d.alone(func(c *config) { c.loginLimit = limit })
	limited.start()
	limited.start()
	c := limited.recipient(0)
	var told []string
	for _, username := range []string{demoUsername, "nobody"} {
		var all []string
		for i := range limit + 2 {
			b, name, password := flow.NewBrowser(limited.server(i%3)), username, "wrong password"
			if i == limit+1 {
				name, password = " "+strings.ToUpper(username)+" ", demoPassword // the same account
			}
			p := submit(t, b, d.login(t, c, b, name, password))
			if retry := p.Exchange.ResponseHeader.Get("Retry-After"); (retry != "") != (i >= limit) {
				t.Errorf("%s, attempt %d: Retry-After %q", username, i+1, retry)
			}
			if p.Form("password") == nil || p.Alert == "" {
				t.Errorf("%s, attempt %d: %s", username, i+1, p)
			}
			all = append(all, fmt.Sprint(p.Exchange.Status, variable.ReplaceAllString(p.Exchange.ResponseBody, "")))
		}
		told = append(told, strings.Join(all, "\n"))
	}
	if diff := cmp.Diff(told[0], told[1]); diff != "" || strings.Count(told[0], "401<") != limit ||
		strings.Count(told[0], "429<") != 2 {
		t.Errorf("a name that exists is told apart: %s\n%s", diff, told[0])
	}
	d.clock.advance(person.AttemptWindow + time.Second)
	ask(t, c).upTo(flow.NewBrowser(c.Server), "accounts") // and this has forgiven the attempts before it
	guessesAtOnce(t, limited, c, limit)
	guessesFromOneAddress(t, d, limit)
}

func guessesAtOnce(t *testing.T, d *deployment, c *flow.Client, limit int) {
	const n = 50
	forms, tabs, pages, errs := make([]*flow.Form, n), make([]*flow.Browser, n), make([]*flow.Page, n), make([]error, n)
	for i := range n {
		tabs[i] = flow.NewBrowser(d.server(i % 3))
		forms[i] = d.login(t, c, tabs[i], demoUsername, "wrong password")
	}
	var running sync.WaitGroup
	for i := range n {
		running.Go(func() { pages[i], errs[i] = tabs[i].Submit(t.Context(), forms[i]) })
	}
	running.Wait()
	counts := map[int]int{}
	for i, p := range pages {
		counts[checked(t, tabs[i], p, errs[i]).Exchange.Status]++
	}
	if diff := cmp.Diff(map[int]int{401: limit, 429: n - limit}, counts); diff != "" {
		t.Errorf("at once: %s", diff)
	}
}

// guessesFromOneAddress: the real one, whatever headers a browser forges.
func guessesFromOneAddress(t *testing.T, d *deployment, limit int) {
	limited := d.alone(func(c *config) { c.loginAddressLimit = limit })
	c := limited.recipient(0)
	b, counts := flow.NewBrowser(c.Server), map[int]int{}
	for i := range 3 * limit {
		address := fmt.Sprintf("192.0.2.%d", i)
		b.Header = http.Header{"X-Forwarded-For": {address}, "X-Real-Ip": {address}, "Forwarded": {"for=" + address}}
		counts[submit(t, b, d.login(t, c, b, fmt.Sprintf("person%d", i), "wrong password")).Exchange.Status]++
	}
	if diff := cmp.Diff(map[int]int{401: limit, 429: 2 * limit}, counts); diff != "" {
		t.Errorf("from one address: %s", diff)
	}
	if p := submit(t, b, d.login(t, c, b, demoUsername, demoPassword)); p.Exchange.Status != http.StatusTooManyRequests {
		t.Errorf("the right password from a limited address: %s", p)
	}
}

// hostileCredentials: AZ-29. What cannot be a username or a password is refused before anything is hashed: a hash would
// take 64 MiB. No password is another one's beginning.
func hostileCredentials(t *testing.T, d *deployment) {
	c := d.recipient(0)
	long := strings.Repeat("correct horse battery staple ", 30)
	who, err := person.New("long", long, d.clock.now())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.store.AddPerson(t.Context(), who); err != nil {
		t.Fatal(err)
	}
	a := ask(t, c)
	b := a.browser()
	form := visit(t, b, a.url()).Form("password")
	type credentials struct{ username, password string }
	try := func(tried credentials, status int) {
		t.Helper()
		bent := *form
		bent.Fields = maps.Clone(form.Fields)
		bent.Fields["username"], bent.Fields["password"] = []string{tried.username}, []string{tried.password}
		if p := submit(t, b, &bent); p.Exchange.Status != status || d.cookies(b)["session"] != "" {
			t.Errorf("%.40q, %.40q: %s, want %d", tried.username, tried.password, p, status)
		}
		b.Exchanges = nil
	}
	runtime.GC()
	allocates(t, 40<<20, func() {
		for tried, status := range map[credentials]int{
			{demoUsername, strings.Repeat("p", 1<<20)}: 413, {strings.Repeat("u", 1<<20), demoPassword}: 413,
			{demoUsername, strings.Repeat("p", 60<<10)}:               401,
			{demoUsername, strings.Repeat("p", person.MaxPassword+1)}: 401, {strings.Repeat("u", 60<<10), demoPassword}: 401,
			{strings.Repeat("u", 129), demoPassword}: 401,
			{"alex\x00", demoPassword}:               400, {demoUsername, demoPassword + "\x00"}: 400, {"al\xffex", demoPassword}: 400,
			{"", demoPassword}: 401, {demoUsername, ""}: 401,
			{"\u0430lex", demoPassword}: 401, {"ale\u0445", demoPassword}: 401, {"alex\u200b", demoPassword}: 401,
			{"\uff41lex", demoPassword}: 401, {"alex\u0301", demoPassword}: 401,
			{"al\u202eex", demoPassword}: 401, {"alex\n", demoPassword}: 401, {"\u212aim", demoPassword}: 401,
			{"alex' OR '1'='1", demoPassword}: 401, {"alex%", demoPassword}: 401, {"_", demoPassword}: 401,
		} {
			try(tried, status)
		}
	})
	for _, password := range []string{long[:72], long[:len(long)-1], long + " ", strings.ToUpper(long),
		strings.TrimSpace(long)} {
		try(credentials{"long", password}, http.StatusUnauthorized)
	}
	try(credentials{demoUsername, demoPassword + " "}, http.StatusUnauthorized)
	a.as(flow.Person{Username: "long", Password: long}).upTo(b, "decision")
}

// loginsAtOnce: AZ-30. Those who cannot be served are told when to come back, and meanwhile clients get their tokens.
func loginsAtOnce(t *testing.T, d *deployment) {
	const n = 15
	clients := d.everywhere(d.recipient(0))
	forms, tabs, pages, errs := make([]*flow.Form, n), make([]*flow.Browser, n), make([]*flow.Page, n), make([]error, n)
	for i := range n {
		tabs[i] = flow.NewBrowser(clients[i%3].Server)
		forms[i] = filledIn(ask(t, clients[i%3]).upTo(tabs[i], "password"))
	}
	var running sync.WaitGroup
	for i := range n {
		running.Go(func() { pages[i], errs[i] = tabs[i].Submit(t.Context(), forms[i]) })
	}
	for i := range 30 {
		d.expect(clients[i%3], clients[i%3].TokenRequest(nil), "200")
	}
	running.Wait()
	busy := 0
	for i, p := range pages {
		switch {
		case errs[i] != nil:
			t.Error(errs[i])
		case p.Exchange.Status == http.StatusServiceUnavailable && p.Exchange.ResponseHeader.Get("Retry-After") != "" &&
			p.Form("password") != nil:
			busy++
		case p.Form("accounts") == nil:
			t.Errorf("%s", p)
		}
	}
	faults := slices.DeleteFunc(strings.Split(d.checkMustNots(t), "\n"),
		func(line string) bool { return !strings.Contains(line, `"level":"ERROR"`) })
	if busy == n || len(faults) != busy {
		t.Errorf("%d of %d were sent away, and the log tells of\n%s", busy, n, strings.Join(faults, "\n"))
	}
}
