package main

import (
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"authserver/internal/flow"
	"authserver/internal/oauth"

	"golang.org/x/net/html"
)

// callback is where the clients of these tests have people sent back to, and goodbye those who have signed out. Nobody goes
// there.
const (
	callback = "https://client.example/cb"
	goodbye  = "https://client.example/goodbye"
)

// recipient is a client that may ask people, beside what every client of these tests may.
func recipient(m map[string]any) {
	m["grant_types"] = []string{"authorization_code", "refresh_token", "client_credentials"}
	m["response_types"] = []string{"code"}
	m["redirect_uris"] = []string{callback, callback + "?dummy1=lorem&dummy2=ipsum"}
	m["post_logout_redirect_uris"] = []string{goodbye}
}

// recipient registers a client that may ask people.
func (d *deployment) recipient(replica int, more ...func(map[string]any)) *flow.Client {
	d.t.Helper()
	return d.register(replica, append([]func(map[string]any){recipient}, more...)...)
}

// asking is an authorization request under way, as its client knows it.
type asking struct {
	t      testing.TB
	client *flow.Client
	person flow.Person // who will be asked: alex
	pkce   flow.PKCE
	params url.Values
	pushed *flow.Exchange
	uri    string // request_uri
}

// lastingDetails are authorization_details that ask for data of accounts for 30 days. By scope alone a client would have it
// once, and nothing to refresh with.
func lastingDetails(clusters ...string) string {
	return `[{"type":"fdx_v1.0","consentRequest":{"durationType":"TIME_BOUND","durationPeriod":30,"resources":[` +
		`{"resourceType":"ACCOUNT","dataClusters":["` + strings.Join(clusters, `","`) + `"]}]}}]`
}

// ask pushes a request, which edits may bend.
func ask(t testing.TB, c *flow.Client, edits ...func(url.Values)) *asking {
	t.Helper()
	return askWith(t, c, func(*flow.Request) {}, edits...)
}

// askWith pushes a request of which more than the parameters may be bent.
func askWith(t testing.TB, c *flow.Client, alter func(*flow.Request), edits ...func(url.Values)) *asking {
	t.Helper()
	a := &asking{t: t, client: c, person: alex, pkce: flow.NewPKCE()}
	a.params = a.pkce.Parameters(callback, "fdx:accountbasic:read", "of the client")
	a.params.Set("authorization_details", lastingDetails("ACCOUNT_BASIC"))
	for _, edit := range edits {
		edit(a.params)
	}
	r := c.PushRequest(a.params)
	alter(r)
	a.pushed = do(t, c.Server, r)
	if outcome(t, a.pushed, "201"); a.pushed.Status != http.StatusCreated {
		t.FailNow()
	}
	a.uri, _ = a.pushed.JSON()["request_uri"].(string)
	return a
}

// by is the same request, as another client would redeem its code, or the client at another replica.
func (a *asking) by(c *flow.Client) *asking {
	moved := *a
	moved.client = c
	return &moved
}

// as is the same request, before somebody else.
func (a *asking) as(who flow.Person) *asking {
	moved := *a
	moved.person = who
	return &moved
}

// url is where the client sends the browser.
func (a *asking) url() string { return a.client.AuthorizeURL(a.uri) }

// browser is one that has never been anywhere, at the client's replica.
func (a *asking) browser() *flow.Browser { return flow.NewBrowser(a.client.Server) }

// alex is the demo person.
var alex = flow.Person{Username: demoUsername, Password: demoPassword}

// visit goes to a URL and holds every answer on the way to what is true of all.
func visit(t testing.TB, b *flow.Browser, target string) *flow.Page {
	t.Helper()
	p, err := b.Visit(t.Context(), target)
	return checked(t, b, p, err)
}

// checked holds the answers of a browser to what is true of all.
func checked(t testing.TB, b *flow.Browser, p *flow.Page, err error) *flow.Page {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range b.Exchanges {
		checkAnswer(t, e)
	}
	return p
}

// checkPage: no fault of ours, nothing in a cache or a referrer, nothing that another site can frame, nothing that runs, and
// no redirect that takes a form along.
func checkPage(t testing.TB, e *flow.Exchange) {
	t.Helper()
	if (strings.Contains(e.URL, "/assets/") || strings.Contains(e.URL, "/logos/")) && e.Status < 400 {
		return
	}
	h := e.ResponseHeader
	complain := func(format string, args ...any) {
		t.Helper()
		t.Errorf("%s %s, %d %v: "+format, append([]any{e.Method, e.URL, e.Status, h}, args...)...)
	}
	if e.Status >= 500 || e.Status/100 == 3 && e.Status != http.StatusSeeOther {
		complain("G1: %s", e.ResponseBody)
	}
	if h.Get("Cache-Control") != "no-store" || h.Get("Access-Control-Allow-Origin") != "" ||
		!anyUUID.MatchString(h.Get("X-Fapi-Interaction-Id")) {
		complain("the headers of all answers")
	}
	if e.Method == http.MethodHead && e.Status == http.StatusOK {
		return
	}
	if h.Get("Referrer-Policy") != "no-referrer" || h.Get("X-Content-Type-Options") != "nosniff" {
		complain("AZ-23: the headers of all pages")
	}
	if e.Status == http.StatusSeeOther {
		return
	}
	policy := h.Get("Content-Security-Policy")
	if h.Get("X-Frame-Options") != "DENY" || !strings.Contains(policy, "frame-ancestors 'none'") {
		complain("AZ-05: it may be framed")
	}
	if isPosted(e) {
		checkPosted(e, complain)
		return
	}
	if !strings.HasPrefix(policy, "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'") ||
		h.Get("Content-Type") != "text/html; charset=utf-8" {
		complain("AZ-23: what it is, and may load")
	}
	if found := ofItsOwn(e.ResponseBody); found != "" {
		complain("AZ-23: %s", found)
	}
	// Chance spells words in hidden fields.
	if found := inside.FindString(hidden.ReplaceAllString(e.ResponseBody, "")); found != "" && e.Status >= 400 {
		complain("G3: the page holds %q", found)
	}
}

var hidden = regexp.MustCompile(`<input type="hidden"[^>]*>`)

// isOurPath are the addresses that pages lead to: on this server, and nothing that a browser reads as another host.
var isOurPath = regexp.MustCompile(`^/[a-z][A-Za-z0-9./_-]*(\?[a-z]+=[A-Za-z0-9_-]+(&anew=1)?)?$`)

// ofItsOwn is what a page would run or paint of its own, or "".
func ofItsOwn(page string) string {
	root, err := html.Parse(strings.NewReader(page))
	if err != nil {
		return err.Error()
	}
	for node := range root.Descendants() {
		active := slices.Contains([]string{"script", "style", "iframe", "object", "embed", "base", "svg"}, node.Data)
		if node.Type == html.ElementNode && active {
			return "<" + node.Data + ">"
		}
		for _, a := range node.Attr {
			script := slices.Contains([]string{"href", "src", "action", "formaction"}, a.Key) &&
				!isOurPath.MatchString(a.Val)
			if script || a.Key == "style" || strings.HasPrefix(a.Key, "on") {
				return a.Key + "=" + a.Val
			}
		}
	}
	return ""
}

// answer plays the person up to the decision, and returns what the client is told.
func (a *asking) answer(decision string) url.Values {
	a.t.Helper()
	return a.answerIn(a.browser(), decision)
}

// answerIn does so in a browser that may be signed in.
func (a *asking) answerIn(b *flow.Browser, decision string) url.Values {
	a.t.Helper()
	return a.answerAt(b, a.url(), decision)
}

// answerAt does so from a URL that may be bent.
func (a *asking) answerAt(b *flow.Browser, target, decision string) url.Values {
	a.t.Helper()
	visit(a.t, b, target)
	if _, err := b.Answer(a.t.Context(), a.person, decision); err != nil {
		a.t.Fatal(err)
	}
	return a.told(checked(a.t, b, b.Page, nil))
}

// told takes apart what the client is told by way of a browser: nothing but its state, the issuer and the answer.
func (a *asking) told(p *flow.Page) url.Values {
	a.t.Helper()
	answer, err := flow.ReadReturn(p.Location, a.params.Get("redirect_uri"))
	if mode := a.params.Get("response_mode"); mode != "" && mode != "query" {
		answer, err = a.opened(p, mode)
	}
	if err != nil {
		a.t.Fatalf("%v: %s", err, p)
	}
	if answer.Get("iss") != a.client.Server.Issuer || answer.Get("state") != a.params.Get("state") ||
		answer.Has("state") != a.params.Has("state") {
		a.t.Errorf("iss or state: %v", answer)
	}
	return answer
}

// code is what the person's yes gives.
func (a *asking) code() string {
	a.t.Helper()
	return a.codeIn(a.browser())
}

// codeIn is what it gives in a browser that may be signed in.
func (a *asking) codeIn(b *flow.Browser) string {
	a.t.Helper()
	b.Exchanges = nil // which have been looked at
	code := a.answerIn(b, flow.Approve).Get("code")
	if code == "" {
		a.t.Fatal("no code")
	}
	return code
}

// redemption redeems a code as its client would.
func (a *asking) redemption(code string) *flow.Request {
	return a.client.CodeRequest(code, a.pkce.Verifier, a.params.Get("redirect_uri"))
}

// redeem redeems it and wants tokens.
func (a *asking) redeem(code string) *flow.Token {
	a.t.Helper()
	token, err := a.client.Redeem(a.t.Context(), code, a.pkce.Verifier, a.params.Get("redirect_uri"))
	if err != nil {
		a.t.Fatal(err)
	}
	return token
}

// upTo plays the person up to the page that has a field, and returns its form.
func (a *asking) upTo(b *flow.Browser, field string) *flow.Form {
	a.t.Helper()
	visit(a.t, b, a.url())
	for b.Page.Form(field) == nil {
		var err error
		switch {
		case b.Page.Form("password") != nil:
			_, err = b.SignIn(a.t.Context(), a.person.Username, a.person.Password)
		case b.Page.Form("accounts") != nil:
			_, err = b.ChooseAccounts(a.t.Context(), b.Page.Form("accounts").Choices["accounts"]...)
		default:
			a.t.Fatalf("no way to %s: %s", field, b.Page)
		}
		checked(a.t, b, b.Page, err)
	}
	return b.Page.Form(field)
}

// tab is another tab of a browser, whose requests reach another replica.
func (d *deployment) tab(b *flow.Browser, replica int) *flow.Browser {
	d.t.Helper()
	return &flow.Browser{Server: d.server(replica), Jar: b.Jar}
}

// knock sends one request with a browser's cookies, and follows nothing.
func knock(t testing.TB, b *flow.Browser, r *flow.Request) *flow.Exchange {
	t.Helper()
	target, err := url.Parse(r.URL)
	if err != nil {
		t.Fatal(err)
	}
	sent := *r
	if sent.Header = r.Header.Clone(); sent.Header == nil {
		sent.Header = http.Header{}
	}
	for _, c := range b.Jar.Cookies(target) {
		sent.Header.Add("Cookie", c.Name+"="+c.Value)
	}
	e, err := b.Server.Send(t.Context(), &sent)
	if err != nil {
		t.Fatal(err)
	}
	checkAnswer(t, e)
	return e
}

// cookies are what a browser would send to the issuer.
func (d *deployment) cookies(b *flow.Browser) map[string]string {
	d.t.Helper()
	issuer, err := url.Parse(d.issuer)
	if err != nil {
		d.t.Fatal(err)
	}
	all := map[string]string{}
	for _, c := range b.Jar.Cookies(issuer) {
		all[c.Name] = c.Value
	}
	return all
}

// setCookies puts cookies into a browser, as somebody might who has been there before.
func (d *deployment) setCookies(b *flow.Browser, all map[string]string) {
	d.t.Helper()
	issuer, err := url.Parse(d.issuer)
	if err != nil {
		d.t.Fatal(err)
	}
	for name, value := range all {
		b.Jar.SetCookies(issuer, []*http.Cookie{{Name: name, Value: value, Path: "/"}})
	}
}

// submit sends a form, of this page or an earlier one.
func submit(t testing.TB, b *flow.Browser, form *flow.Form) *flow.Page {
	t.Helper()
	p, err := b.Submit(t.Context(), form)
	return checked(t, b, p, err)
}

// refusedPage wants an error page for a reason: a status of its own, and no redirect.
func refusedPage(t testing.TB, p *flow.Page, status int, reason oauth.Reason) {
	t.Helper()
	told := strings.Contains(p.Exchange.ResponseBody, "/errors/"+string(reason)+`"`)
	if !p.Refused() || p.Exchange.Status != status || !told {
		t.Errorf("want a page with %d for %s, got %s\n%s", status, reason, p, p.Exchange.ResponseBody)
	}
}

func TestPersonSaysYes(t *testing.T) {
	t.Parallel()
	d := deploy(t, 2, nil)
	c := d.recipient(0)
	a := ask(t, c)
	token := a.redeem(a.code())
	access, err := flow.Decode(token.AccessToken)
	if err != nil {
		t.Fatal(err)
	}
	if token.Type != "DPoP" || token.Scope != "fdx:accountbasic:read" || token.RefreshToken == "" || token.ExpiresIn < 60 {
		t.Errorf("token %+v", token)
	}
	if access.Claim("sub") == c.ID || !strings.HasPrefix(access.Claim("sub"), "_") || access.Claim("client_id") != c.ID ||
		access.Claim("grant_id") == "" {
		t.Errorf("claims %v", access.Claims)
	}
	shared := do(t, c.Server, c.Present(&flow.Request{Method: http.MethodGet, URL: d.issuer + "/demo/accounts"},
		token.AccessToken))
	outcome(t, shared, "200")
	elsewhere := d.at(c, 1)
	refreshed, err := elsewhere.Refresh(t.Context(), token.RefreshToken, nil)
	if err != nil {
		t.Fatal(err)
	}
	if refreshed.RefreshToken != token.RefreshToken || refreshed.AccessToken == token.AccessToken {
		t.Error("RT-01: the refresh token stays, the access token is a new one")
	}
	again := do(t, elsewhere.Server, elsewhere.IntrospectRequest(refreshed.AccessToken))
	if again.JSON()["active"] != true || again.JSON()["sub"] != access.Claim("sub") {
		t.Errorf("introspection %v", again.JSON())
	}
	outcome(t, do(t, elsewhere.Server, elsewhere.RevokeRequest(token.RefreshToken)), "200")
	for _, one := range []string{token.AccessToken, refreshed.AccessToken, token.RefreshToken} {
		if e := do(t, c.Server, c.IntrospectRequest(one)); e.ResponseBody != `{"active":false}`+"\n" {
			t.Errorf("after revocation: %s", e.ResponseBody)
		}
	}
}

func TestPersonSaysNo(t *testing.T) {
	t.Parallel()
	d := deploy(t, 1, nil)
	a := ask(t, d.recipient(0))
	answer := a.answer(flow.Deny)
	if answer.Get("error") != "access_denied" || answer.Has("code") {
		t.Errorf("AZ-21: %v", answer)
	}
	refusedPage(t, visit(t, a.browser(), a.url()), http.StatusBadRequest, oauth.RequestAnswered)
}
