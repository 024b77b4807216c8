package page_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"authserver/internal/page"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// TestAZ05Headers: no page is framed, kept, or named to another site, and nothing in it runs (also AZ-23).
func TestAZ05Headers(t *testing.T) {
	want := http.Header{
		"Content-Type": {"text/html; charset=utf-8"}, "Cache-Control": {"no-store"}, "Pragma": {"no-cache"},
		"X-Frame-Options": {"DENY"}, "Referrer-Policy": {"no-referrer"}, "X-Content-Type-Options": {"nosniff"},
		"Content-Security-Policy": {"default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; " +
			"base-uri 'none'; frame-ancestors 'none'"},
	}
	each(t, func(t *testing.T, l string, m page.Model) {
		if _, leaves := m.(page.Answer); leaves {
			return // TestAnswer
		}
		want.Set("Content-Language", l)
		if diff := cmp.Diff(want, write(t, l, m).Header); diff != "" {
			t.Error(diff)
		}
	})
}

// TestFormAction: the policy names where an answer may lead, and nothing that is given there can add to it.
func TestFormAction(t *testing.T) {
	tests := map[string]string{
		"https://client.example":      "'self' https://client.example",
		"https://client.example:8443": "'self' https://client.example:8443",
		"http://127.0.0.1:8000":       "'self' http://127.0.0.1:8000",
		"https:":                      "'self' https:",
		"http://[::1]:8000":           "'self'",
		"https://a; script-src *":     "'self'",
		"https://a;script-src":        "'self'",
		"https://a\r\nX: y":           "'self'",
		"https://a\n":                 "'self'",
		"https://*":                   "'self'",
		"*":                           "'self'",
		"javascript:":                 "'self'",
		"data:":                       "'self'",
		"":                            "'self'",
	}
	for origin, want := range tests {
		policy := write(t, "en", sights()["consent"], origin).Header.Get("Content-Security-Policy")
		if !strings.Contains(policy, "; form-action "+want+"; base-uri 'none'; frame-ancestors 'none'") {
			t.Errorf("%q: %s", origin, policy)
		}
	}
}

// TestAZ11HostileNames: whatever a client, a person or an account is called, the page has the same elements and attributes,
// and the name stands in it as text, in an element that holds its direction.
func TestAZ11HostileNames(t *testing.T) {
	names := []string{
		`<img src=x onerror=alert(1)>`, `{{7*7}}`, "${7*7}", "\u202egnp.exe", `" autofocus onfocus="alert(1)`,
		`'><script>alert(1)</script>`,
		`</title><script>alert(1)</script>`, `javascript:alert(1)`, "\x00\xff", `{client}`, strings.Repeat("W", 500),
	}
	for _, l := range page.Languages() {
		for _, name := range names {
			harmless := called("harmless")
			for i, m := range called(name) {
				d := read(t, write(t, l, m))
				harmless := read(t, write(t, l, harmless[i]))
				if diff := cmp.Diff(skeleton(harmless), skeleton(d)); diff != "" {
					t.Errorf("%q changes the page: %s", name, diff)
				}
				if !utf8.ValidString(name) || strings.Contains(name, "\x00") {
					continue // What is no text is shown as something else.
				}
				shown := d.all(func(n *html.Node) bool {
					return n.DataAtom == atom.Bdi && n.FirstChild != nil && n.FirstChild.Data == name
				})
				if len(shown) == 0 {
					t.Errorf("%q is not shown as it is", name)
				}
				for n := range d.root.Descendants() {
					alone := n.Parent.DataAtom == atom.Bdi || n.Parent.DataAtom == atom.Code
					if n.Type == html.TextNode && strings.Contains(n.Data, name) && !alone {
						t.Errorf("%q stands in <%s>, beside other text", name, n.Parent.Data)
					}
				}
			}
		}
	}
}

// called are pages on which everything has the same name.
func called(name string) []page.Model {
	accounts := []page.Account{{ID: name, Name: name, Number: name}}
	party := page.Party{
		Name: name, Logo: "/logos/" + name, Site: name, Entities: []page.Entity{{Name: name, Registry: name, ID: name}},
	}
	sharing := page.Sharing{
		Stop: theStop, ID: name, Client: party, Intermediaries: []page.Party{party}, Clusters: []string{name},
		Scopes: []string{name}, Accounts: accounts, Used: time.Unix(0, 0), History: []page.Entry{
			{What: page.Given, Reference: name}, {What: page.Fetched, Reference: name},
			{What: page.Happening(page.StoppedByApp), Reference: name},
		},
	}
	over := sharing
	over.Ending = page.StoppedByApp
	return []page.Model{
		page.Login{Form: theForm, Client: name, Username: name},
		page.Accounts{Form: theForm, SignOut: theSignOut, Client: name, Person: name, Accounts: accounts},
		page.Consent{
			Form: theForm, SignOut: theSignOut, Client: party, Intermediaries: []page.Party{party}, Person: name,
			Clusters: []string{name}, Scopes: []string{name}, Accounts: accounts, Connected: name,
		},
		page.Logout{Form: theOwnSignOut, Person: name, Client: name, ClientID: name, RedirectURI: name, State: name},
		page.Logout{Form: theOwnSignOut, Over: true, Client: name, ClientID: name, RedirectURI: name, State: name},
		page.Answer{Client: name, Target: theTarget, Response: name},
		page.Connected{
			SignOut: theOwnSignOut, Person: name, Stopped: name, Active: []page.Sharing{sharing}, Ended: []page.Sharing{over},
		},
	}
}

// skeleton is a page without its text: elements, and names of attributes.
func skeleton(d document) string {
	var b strings.Builder
	for _, n := range d.all(func(*html.Node) bool { return true }) {
		b.WriteString("<" + n.Data)
		for _, a := range n.Attr {
			b.WriteString(" " + a.Key)
		}
		b.WriteString(">\n")
	}
	return b.String()
}

// TestAZ13Onward: the link on the signed-out page never leads to another host.
func TestAZ13Onward(t *testing.T) {
	tests := map[string]string{
		"/login?interaction=a": "/login?interaction=a", "": "", "//evil.example": "", `/\evil.example`: "", `/a\b`: "",
		"https:evil": "", "https://evil.example": "", "javascript:alert(1)": "", "evil": "",
		"/\t/evil.example": "/%09/evil.example", "/\n/evil.example": "/%0a/evil.example",
	}
	for again, want := range tests {
		link := read(t, write(t, "en", page.SignedOut{Again: again})).byID("again")
		if got := attribute(link, "href"); got != want {
			t.Errorf("%q leads to %q, expected %q", again, got, want)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	tests := map[string]page.Brand{
		"needs a name": {}, "not of the form #rrggbb": {Name: "Bank", Color: "red"},
		"contrast of 1.00:1": {Name: "Bank", Color: "#ffffff"},
		"at most 262144":     {Name: "Bank", Logo: make([]byte, 262145), LogoType: "image/png"},
		`type "text/html"`:   {Name: "Bank", Logo: []byte("<p>"), LogoType: "text/html"},
	}
	for want, brand := range tests {
		if _, err := page.New(brand, ""); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

// TestAssets: the pages load what is there, and a URL changes with what it gives.
func TestAssets(t *testing.T) {
	brand := page.Brand{Name: "Example Bank", Color: "#0b6b3a", Logo: []byte(logo), LogoType: "image/svg+xml"}
	pages := newPages(t, brand, "")
	const css = "text/css; charset=utf-8"
	types := map[string]string{"style.css": css, "brand.css": css, "logo": "image/svg+xml"}
	for name, want := range types {
		contentType, body, ok := pages.Asset(name)
		if !ok || contentType != want || len(body) == 0 {
			t.Errorf("%s: %v, %s, %d bytes", name, ok, contentType, len(body))
		}
	}
	if _, body, _ := pages.Asset("brand.css"); !bytes.Contains(body, []byte("--brand: #0b6b3a;")) {
		t.Errorf("brand.css has another color: %s", body)
	}
	for _, name := range []string{"", "../page.go", "layout.html", "LOGO"} {
		if _, _, ok := pages.Asset(name); ok {
			t.Errorf("there is an asset %q", name)
		}
	}
	if _, _, ok := newPages(t, exampleBank, "").Asset("logo"); ok {
		t.Error("there is a logo of a brand that has none")
	}
	urls := func(b page.Brand) map[string]bool {
		w := httptest.NewRecorder()
		newPages(t, b, "").Write(w, "en", http.StatusOK, page.SignedOut{})
		found, d := map[string]bool{}, read(t, w.Result())
		for _, n := range append(d.elements(atom.Link), d.elements(atom.Img)...) {
			found[attribute(n, "href")+attribute(n, "src")] = true
		}
		return found
	}
	other := brand
	other.Color, other.Logo = "#000000", []byte(logo+" ")
	first, second := urls(brand), urls(other)
	same := 0
	for url := range first {
		if second[url] {
			same++
		}
		if !strings.HasPrefix(url, "/assets/") || !strings.Contains(url, "?v=") {
			t.Errorf("a page loads %s", url)
		}
	}
	if len(first) != 3 || same != 1 { // only style.css is the same
		t.Errorf("%v and %v", first, second)
	}
}

// TestHostileBrand: the operator's name is text too.
func TestHostileBrand(t *testing.T) {
	w := httptest.NewRecorder()
	newPages(t, page.Brand{Name: `</title><script>alert(1)</script>`}, "").Write(w, "en", http.StatusOK, sights()["consent"])
	if d := read(t, w.Result()); len(d.elements(atom.Script)) > 0 {
		t.Error("the brand's name runs")
	}
}

// TestStatus: the page is sent with the status, and a language that there is not is English.
func TestStatus(t *testing.T) {
	w := httptest.NewRecorder()
	newPages(t, exampleBank, "").Write(w, "tlh", http.StatusTeapot, page.SignedOut{})
	if r := w.Result(); r.StatusCode != http.StatusTeapot || r.Header.Get("Content-Language") != "en" {
		t.Errorf("%d in %s", r.StatusCode, r.Header.Get("Content-Language"))
	}
}
