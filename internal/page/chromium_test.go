package page_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"authserver/internal/page"
	"authserver/internal/page/pagetest"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/google/go-cmp/cmp"
)

// look is a way in which a page is looked at.
type look struct {
	name   string
	scheme string
	width  int64
}

var looks = []look{
	{"light", "light", 1024}, {"dark", "dark", 1024}, {"narrow", "light", 360}, {"narrowest-dark", "dark", 320},
}

// brands are colors at the ends of what is taken, and logos.
var brands = []page.Brand{
	{Name: "Black", Color: "#000000"},
	{Name: "Grey", Color: "#767676"},
	{Name: "Green", Color: "#0b6b3a", Logo: []byte(logo), LogoType: "image/svg+xml"},
	{Name: "Violet", Color: "#5b21b6"},
}

const logo = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 40 40">` +
	`<rect width="40" height="40" rx="8" fill="#0b6b3a"/>` +
	`<path d="M8 30h24v-3H8zM8 15l12-8 12 8v2H8zM11 19h3v6h-3zm7.5 0h3v6h-3zm7.5 0h3v6h-3z" fill="#fff"/></svg>`

// serve has every sight at /{language}/{name}, and the assets.
func serve(t *testing.T, b page.Brand) string {
	t.Helper()
	pages, routes := newPages(t, b, ""), http.NewServeMux()
	routes.HandleFunc("GET /{language}/{name}", func(w http.ResponseWriter, r *http.Request) {
		sight := sights()[r.PathValue("name")]
		if a, ok := sight.(page.Answer); ok { // which sends itself: to a client that leaves the browser where it is
			a.Target = "http://" + r.Host + "/taken"
			sight = a
		}
		pages.Write(w, page.Language(r.PathValue("language")), http.StatusOK, sight)
	})
	routes.HandleFunc("POST /taken", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	routes.HandleFunc("GET /assets/{name}", func(w http.ResponseWriter, r *http.Request) {
		contentType, body, _ := pages.Asset(r.PathValue("name"))
		w.Header().Set("Content-Type", contentType)
		_, _ = w.Write(body)
	})
	routes.Handle("GET /logos/missing", http.NotFoundHandler())
	routes.HandleFunc("GET /logos/{client}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "image/svg+xml")
		fmt.Fprint(w, logo)
	})
	server := httptest.NewServer(routes)
	t.Cleanup(server.Close)
	return server.URL
}

// TestChromiumShows has a real browser show every page in every language, by day and by night, on wide and on narrow
// screens, and axe-core find no fault with it. A screenshot of each stays as an artefact.
func TestChromiumShows(t *testing.T) {
	tab, folder := pagetest.NewTab(t, pagetest.NewBrowser(t)), t.ArtifactDir()
	show := func(b page.Brand, base, l, name string, looks []look) {
		t.Run(strings.Join([]string{b.Name, l, name}, "/"), func(t *testing.T) {
			pagetest.Do(t, tab, chromedp.Navigate(base+"/"+l+"/"+name))
			if strings.HasSuffix(name, "-open") {
				pagetest.Evaluate[chromedp.Void](t, tab, `document.querySelectorAll("details").forEach(d => d.open = true)`)
			}
			for _, look := range looks {
				look.take(t, tab)
				pagetest.Photograph(t, tab, filepath.Join(folder, strings.Join([]string{b.Name, name, l, look.name}, "-")))
				if width := pagetest.Evaluate[int64](t, tab, `document.documentElement.scrollWidth`); width > look.width {
					t.Errorf("%s: the page is %d px wide, its window %d", look.name, width, look.width)
				}
				for _, fault := range pagetest.Faults(t, tab) {
					t.Errorf("%s: %s", look.name, fault)
				}
			}
		})
	}
	base := serve(t, exampleBank)
	for name := range sights() {
		for _, l := range page.Languages() {
			switch failure := strings.HasPrefix(name, "failure-") && name != "failure-expired"; {
			case failure: // they differ in their words only
				show(exampleBank, base, l, name, looks[:1])
			case strings.HasPrefix(name, "hostile-") && l != "en":
			case l == "en":
				show(exampleBank, base, l, name, looks)
			default: // another language has longer words
				show(exampleBank, base, l, name, []look{looks[0], looks[3]})
			}
		}
	}
	for _, b := range brands {
		base := serve(t, b)
		for _, name := range []string{"login-wrong", "accounts", "consent-open"} {
			show(b, base, "en", name, looks[:2])
		}
	}
}

// take looks at the page in this way from now on.
func (l look) take(t *testing.T, tab context.Context) {
	t.Helper()
	pagetest.Do(t, tab, chromedp.EmulateViewport(l.width, 800))
	media := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
		{Name: "prefers-color-scheme", Value: l.scheme},
		{Name: "prefers-reduced-motion", Value: "reduce"}, // No color is on its way to another one.
	}}
	if _, err := chromedp.Call(tab, emulation.SetEmulatedMedia, media); err != nil {
		t.Fatal(err)
	}
}

// TestChromiumKeyboard goes through the pages by Tab alone: what is focused, in which order, and that it can be seen. What
// is wrong has the focus from the beginning, without a script.
func TestChromiumKeyboard(t *testing.T) {
	tests := map[string]struct {
		first string
		order []string
	}{
		"login":            {"", []string{"username", "password", "submit"}},
		"login-wrong":      {"problem", []string{"username", "password", "submit"}},
		"accounts":         {"", []string{"account-0", "account-1", "account-2", "submit", "sign-out"}},
		"accounts-nothing": {"problem", []string{"account-0", "account-1", "account-2", "submit", "sign-out"}},
		"consent":          {"", []string{"exactly", "approve", "deny", "sign-out"}},
		"connected":        {"", []string{"exactly-0", "history-0", "stop-0", "sign-out"}},
		"connected-stopped": {
			"stopped", []string{"exactly-0", "history-0", "stop-0", "exactly-1", "history-1", "sign-out"},
		},
		"logout":          {"", []string{"sign-out"}},
		"logout-over":     {"", []string{"continue"}},
		"answer":          {"", []string{"continue"}},
		"failure-logout":  {"", []string{"sign-out", "reason"}},
		"signed-out":      {"", []string{"again"}},
		"failure-expired": {"", []string{"reason"}},
	}
	browser := pagetest.NewBrowser(t)
	base := serve(t, exampleBank)
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			tab := pagetest.NewTab(t, browser)
			pagetest.Do(t, tab, chromedp.Navigate(base+"/en/"+name))
			if test.first != "" { // The browser gives the focus when it first draws the page.
				focused := fmt.Sprintf("document.activeElement.id === %q", test.first)
				if _, err := chromedp.Run(tab, chromedp.Poll[bool](focused, chromedp.WithPollingTimeout(2*time.Minute))); err != nil {
					t.Fatalf("%s does not get the focus: %v", test.first, err)
				}
			}
			var order []string
			for range len(test.order) {
				pagetest.Do(t, tab, chromedp.KeyEvent(kb.Tab))
				order = append(order, pagetest.Evaluate[string](t, tab, `document.activeElement.id`))
				outline := pagetest.Evaluate[string](t, tab, `getComputedStyle(document.activeElement).outline`)
				if !strings.Contains(outline, "solid 3px") {
					t.Errorf("the focus of %s is drawn as %q", order[len(order)-1], outline)
				}
			}
			if diff := cmp.Diff(test.order, order); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestAUTHZ06ChromiumAnswers: the buttons of both answers look alike to the pixel, in every language, by day and by night,
// on wide and on narrow screens.
func TestAUTHZ06ChromiumAnswers(t *testing.T) {
	tab, base := pagetest.NewTab(t, pagetest.NewBrowser(t)), serve(t, exampleBank)
	differences := `(([a, b]) => {
		const [x, y] = [getComputedStyle(a), getComputedStyle(b)], [p, q] = [a.getBoundingClientRect(), b.getBoundingClientRect()]
		const unlike = Array.from(x).filter(name => x[name] !== y[name])
		return p.width === q.width && p.height === q.height && p.width > 0 ? unlike : unlike.concat("size")
	})([document.getElementById("approve"), document.getElementById("deny")])`
	for _, l := range page.Languages() {
		pagetest.Do(t, tab, chromedp.Navigate(base+"/"+l+"/consent"))
		for _, look := range looks {
			look.take(t, tab)
			if unlike := pagetest.Evaluate[[]string](t, tab, differences); len(unlike) > 0 {
				t.Errorf("%s, %s: the answers differ in %s", l, look.name, strings.Join(unlike, ", "))
			}
		}
	}
}

// TestChromiumMissingLogo: a logo that cannot be had leaves no broken picture; one that can has the size of a logo.
func TestChromiumMissingLogo(t *testing.T) {
	tab, base := pagetest.NewTab(t, pagetest.NewBrowser(t)), serve(t, exampleBank)
	for name, want := range map[string]int64{"consent-once": 48, "consent-without-logo": 0} {
		pagetest.Do(t, tab, chromedp.Navigate(base+"/en/"+name))
		got := pagetest.Evaluate[int64](t, tab, `document.querySelector(".party img").getBoundingClientRect().width`)
		if got != want {
			t.Errorf("%s: the logo is %d px wide, expected %d", name, got, want)
		}
	}
}

// TestChromiumFollowsTheAnswer: where the policy names the scheme, the answer may redirect to the client, and the client
// send its person on to another host. Where it names nothing, the browser stays where it is.
func TestChromiumFollowsTheAnswer(t *testing.T) {
	arrived := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `<!DOCTYPE html><p id="arrived">arrived</p>`)
	}))
	defer arrived.Close()
	elsewhere := strings.Replace(arrived.URL, "127.0.0.1", "localhost", 1)
	client := httptest.NewServer(http.RedirectHandler(elsewhere, http.StatusFound))
	defer client.Close()
	pages := newPages(t, exampleBank, "")
	routes := http.NewServeMux()
	routes.Handle("POST /oauth2/next", http.RedirectHandler(client.URL+"/callback", http.StatusSeeOther))
	routes.HandleFunc("GET /{what}", func(w http.ResponseWriter, r *http.Request) {
		scheme := map[string]string{"named": "http:"}[r.PathValue("what")]
		pages.Write(w, "en", http.StatusOK, sights()["consent"], scheme)
	})
	server := httptest.NewServer(routes)
	defer server.Close()

	tab := pagetest.NewTab(t, pagetest.NewBrowser(t))
	pagetest.Do(t, tab, chromedp.Navigate(server.URL+"/named"), chromedp.Click("#approve"), chromedp.WaitVisible("#arrived"))
	pagetest.Do(t, tab, chromedp.Navigate(server.URL+"/unnamed"))
	refused := `new Promise(done => { document.addEventListener("securitypolicyviolation", e => done(e.effectiveDirective));
		document.getElementById("approve").click() })`
	if directive := pagetest.Evaluate[string](t, tab, refused, chromedp.EvalAwaitPromise); directive != "form-action" {
		t.Errorf("the policy refused by %q, expected form-action", directive)
	}
}
