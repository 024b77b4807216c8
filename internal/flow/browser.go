package flow

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"slices"
	"strings"
)

// maxRedirects is how many redirects a browser follows in a row.
const maxRedirects = 10

// The answers to a consent page: values of its buttons.
const (
	Approve = "approve"
	Deny    = "deny"
)

// Browser is a web browser without JavaScript. It keeps cookies, follows the redirects of its server's own origin, fills
// in forms and presses buttons; at a redirect that leads elsewhere it stops. It is not safe for concurrent use.
type Browser struct {
	Server    *Server        // carries the requests; another replica of it may take over between two pages
	Jar       http.CookieJar // a jar shared by two browsers makes them two tabs of one
	Header    http.Header    // goes with every request, instead of the browser's own fields of these names
	Page      *Page          // that is shown; nil before the first
	Exchanges []*Exchange    // all so far
}

// NewBrowser is a browser that has never been anywhere.
func NewBrowser(server *Server) *Browser {
	jar, _ := cookiejar.New(nil) // Never fails.
	return &Browser{Server: server, Jar: jar}
}

// Visit goes to a URL as if a person had followed a link from another site. The page may be any answer, also a refusal.
func (b *Browser) Visit(ctx context.Context, target string) (*Page, error) {
	header := http.Header{"Sec-Fetch-Site": {"cross-site"}}
	return b.follow(ctx, &Request{Method: http.MethodGet, URL: target, Header: header})
}

// Submit sends a form of the page that is shown, or of an earlier one, exactly as it stands.
func (b *Browser) Submit(ctx context.Context, form *Form) (*Page, error) {
	if form.Method == http.MethodGet {
		return b.follow(ctx, &Request{Method: form.Method, URL: withQuery(form.Action, form.Fields),
			Header: http.Header{"Sec-Fetch-Site": {"same-origin"}}})
	}
	header := http.Header{"Sec-Fetch-Site": {"same-origin"}, "Origin": {form.origin},
		"Content-Type": {"application/x-www-form-urlencoded"}}
	return b.follow(ctx, &Request{Method: form.Method, URL: form.Action, Header: header, Form: form.Fields})
}

// follow sends a request and then goes where 303 leads, as long as that is the same origin. Only 303 is followed: it alone
// is sure to leave a posted password behind (RFC 9700 §4.12).
func (b *Browser) follow(ctx context.Context, request *Request) (*Page, error) {
	for range maxRedirects {
		exchange, err := b.send(ctx, request)
		if err != nil {
			return nil, err
		}
		page := readPage(exchange)
		if page.Location == "" || exchange.Status != http.StatusSeeOther || Origin(page.Location) != Origin(request.URL) {
			b.Page = page
			return page, nil
		}
		header := http.Header{"Sec-Fetch-Site": request.Header["Sec-Fetch-Site"]} // Redirects do not change who sent the browser.
		request = &Request{Method: http.MethodGet, URL: page.Location, Header: header}
	}
	return nil, fmt.Errorf("more than %d redirects in a row, the last to %s", maxRedirects, request.URL)
}

// send sends one request with the cookies for its URL and keeps those that come back.
func (b *Browser) send(ctx context.Context, request *Request) (*Exchange, error) {
	target, err := url.Parse(request.URL)
	if err != nil {
		return nil, err
	}
	request.SetHeader("Accept", "text/html")
	var cookies []string
	for _, cookie := range b.Jar.Cookies(target) {
		cookies = append(cookies, cookie.String())
	}
	if len(cookies) > 0 {
		request.SetHeader("Cookie", strings.Join(cookies, "; "))
	}
	for name, values := range b.Header {
		request.Header[http.CanonicalHeaderKey(name)] = values
	}
	exchange, err := b.Server.Send(ctx, request)
	if err != nil {
		return nil, err
	}
	b.Exchanges = append(b.Exchanges, exchange)
	set := (&http.Response{Header: exchange.ResponseHeader}).Cookies()
	b.Jar.SetCookies(target, slices.DeleteFunc(set, func(c *http.Cookie) bool { return !keeps(c, target) }))
	return exchange, nil
}

// keeps tells whether a browser keeps a cookie: Secure only from https, and the prefixes only with what they promise
// (RFC 6265bis §4.1.3).
func keeps(c *http.Cookie, from *url.URL) bool {
	switch {
	case c.Secure && from.Scheme != "https":
		return false
	case strings.HasPrefix(c.Name, "__Host-"):
		return c.Secure && c.Path == "/" && c.Domain == ""
	case strings.HasPrefix(c.Name, "__Secure-"):
		return c.Secure
	}
	return true
}

// form finds the form of the page that is shown by the name of one of its fields.
func (b *Browser) form(name string) (*Form, error) {
	if b.Page == nil {
		return nil, errors.New("the browser shows no page yet")
	}
	form := b.Page.Form(name)
	if form == nil {
		return nil, fmt.Errorf("the page has no field %s: %s", name, b.Page)
	}
	return form, nil
}

// SignIn fills in the login page and sends it.
func (b *Browser) SignIn(ctx context.Context, username, password string) (*Page, error) {
	form, err := b.form("password")
	if err != nil {
		return nil, err
	}
	form.Fields.Set("username", username)
	form.Fields.Set("password", password)
	return b.Submit(ctx, form)
}

// ChooseAccounts ticks the accounts with these ids, and no other, and sends the page.
func (b *Browser) ChooseAccounts(ctx context.Context, ids ...string) (*Page, error) {
	form, err := b.form("accounts")
	if err != nil {
		return nil, err
	}
	form.Fields["accounts"] = ids
	return b.Submit(ctx, form)
}

// Decide presses Approve or Deny on the consent page.
func (b *Browser) Decide(ctx context.Context, decision string) (*Page, error) {
	form, err := b.form("decision")
	if err != nil {
		return nil, err
	}
	if !slices.Contains(form.Buttons["decision"], decision) {
		return nil, fmt.Errorf("the page has no button %s: %s", decision, b.Page)
	}
	form.Fields.Set("decision", decision)
	return b.Submit(ctx, form)
}

// Asked is the last page so far that asked for an answer in a field; nil when none did.
func (b *Browser) Asked(field string) *Page {
	for _, exchange := range slices.Backward(b.Exchanges) {
		if page := readPage(exchange); page.Form(field) != nil {
			return page
		}
	}
	return nil
}

// Chosen are the accounts that were ticked last.
func (b *Browser) Chosen() []string {
	for _, exchange := range slices.Backward(b.Exchanges) {
		if form := exchange.Form(); form.Has("accounts") {
			return form["accounts"]
		}
	}
	return nil
}

// Person is somebody a browser can play.
type Person struct {
	Username string
	Password string
	Shares   int // accounts at most, the first that are offered; 0: all
}

// Answer plays a person from the page that is shown until the browser is sent away: signs in where that is asked for,
// shares accounts where some are offered, and presses Approve or Deny. What was done is told in a few words, also when it
// leads to nothing.
func (b *Browser) Answer(ctx context.Context, person Person, decision string) (did string, err error) {
	var deeds []string
	seen := map[string]bool{}
	for err == nil && !b.Page.leaves() {
		field := b.Page.asks()
		if seen[field] {
			return strings.Join(deeds[:len(deeds)-1], ", "), fmt.Errorf("the page comes again: %s", b.Page)
		}
		seen[field] = true
		switch field {
		case "password":
			deeds = append(deeds, "signed in as "+person.Username)
			_, err = b.SignIn(ctx, person.Username, person.Password)
		case "accounts":
			shared := b.Page.Form("accounts").Choices["accounts"]
			if person.Shares > 0 {
				shared = shared[:min(person.Shares, len(shared))]
			}
			deeds = append(deeds, "shared "+count(len(shared), "account"))
			_, err = b.ChooseAccounts(ctx, shared...)
		case "decision":
			deeds = append(deeds, map[string]string{Approve: "pressed Allow", Deny: "pressed Don't allow"}[decision])
			_, err = b.Decide(ctx, decision)
		default:
			err = fmt.Errorf("the page asks for nothing that a person could answer: %s", b.Page)
		}
	}
	return strings.Join(deeds, ", "), err
}

// count is a number of things in words.
func count(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return fmt.Sprint(n, " ", thing)
}
