package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"authserver/internal/flow"
	"authserver/internal/page"
	"authserver/internal/page/pagetest"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// TestChromium has a real browser go the whole way, in every language: the demo person signs in, chooses an account and
// says yes, by the keyboard alone, looks at the connected apps and stops sharing, which kills the token at both replicas; in
// the same browser somebody says no to the next request. Of every page on the way axe-core finds nothing to mend, and a
// picture stays as an artefact. That the client sends its person on to another host must not stop the browser.
func TestChromium(t *testing.T) {
	t.Parallel()
	d := deploy(t, 2, nil)
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`<!DOCTYPE html><html lang="en"><title>The application</title><p id="arrived">Welcome back.</p>`))
	}))
	defer app.Close()
	returned := make(chan string, 1)
	var client *httptest.Server
	client = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/callback" {
			returned <- client.URL + r.URL.String()
		}
		http.Redirect(w, r, strings.Replace(app.URL, "127.0.0.1", "localhost", 1), http.StatusFound)
	}))
	defer client.Close()
	c := d.recipient(0, func(m map[string]any) {
		m["client_name"], m["application_type"], m["redirect_uris"] = "Budget Buddy", "native", []string{client.URL + "/callback"}
		m["client_uri"], m["registry_references"] = "https://budget-buddy.example", []any{map[string]any{
			"registered_entity_name": "Budget Buddy, Inc.", "registered_entity_id": "BB-1", "registry": "FDX",
		}}
	})
	browser := pagetest.NewBrowser(t, chromedp.Flag("host-resolver-rules", "MAP localhost:8080 "+d.hosts[0]))
	for _, language := range page.Languages() {
		t.Run(language, func(t *testing.T) {
			v := &visitor{t: t, tab: pagetest.NewTab(t, browser), language: language, folder: t.ArtifactDir()}
			v.speaks(language)
			request := func() *asking {
				return ask(t, c, twoScopes, bend("redirect_uri", client.URL+"/callback"), bend("prompt", "login"))
			}
			yes := request()
			v.open(yes.url())
			v.shows("login", "password")
			v.press(kb.Tab, "alex", kb.Tab, "wrong", kb.Enter)
			v.shows("login-wrong", "problem")
			v.press(kb.Tab, kb.Tab, demoPassword, kb.Enter)
			v.shows("accounts", "account-0")
			v.press(kb.Tab, " ", kb.Tab, kb.Tab, kb.Enter)
			v.shows("consent", "approve")
			v.click("approve")
			token := yes.redeem(yes.told(v.back(returned)).Get("code"))

			v.open(d.issuer + "/connected")
			v.shows("connected", "history-0")
			v.press(kb.Tab, kb.Enter, kb.Tab, kb.Enter) // both disclosures
			v.shows("connected-open", "stop-0")
			d.wantActive(c, token.AccessToken, true)
			v.press(kb.Tab, kb.Enter)
			v.shows("connected-stopped", "stopped")
			d.wantActive(c, token.AccessToken, false)

			no := request()
			v.open(no.url())
			v.press(kb.Tab, "alex", kb.Tab, demoPassword, kb.Enter)
			v.click("account-0") // ticked, and unticked
			v.click("account-0")
			v.click("submit")
			v.shows("accounts-nothing", "problem")
			v.click("sign-out")
			v.shows("signed-out", "again")
			v.click("again")
			v.shows("login-again", "password")
			v.press(kb.Tab, "alex", kb.Tab, demoPassword, kb.Enter)
			v.click("account-1")
			v.click("submit")
			v.click("deny")
			if answer := no.told(v.back(returned)); answer.Get("error") != "access_denied" || answer.Has("code") {
				t.Errorf("AZ-21: %v", answer)
			}
			v.open(no.url())
			v.shows("answered", "reason")
		})
	}
}

// visitor is a person at a tab.
type visitor struct {
	t        *testing.T
	tab      context.Context
	language string
	folder   string
}

// speaks sets the language of the browser.
func (v *visitor) speaks(language string) {
	v.t.Helper()
	headers := network.SetExtraHTTPHeadersParams{Headers: network.Headers{"Accept-Language": language}}
	if _, err := chromedp.Call(v.tab, network.SetExtraHTTPHeaders, headers); err != nil {
		v.t.Fatal(err)
	}
}

// forgets takes all cookies away.
func (v *visitor) forgets() {
	v.t.Helper()
	if _, err := chromedp.Call(v.tab, network.ClearBrowserCookies, cdp.Empty{}); err != nil {
		v.t.Fatal(err)
	}
}

// open goes to a URL.
func (v *visitor) open(target string) {
	v.t.Helper()
	pagetest.Do(v.t, v.tab, chromedp.Navigate(target))
}

// shows waits for the page that has an element with this id, and looks at it.
func (v *visitor) shows(name, id string) {
	v.t.Helper()
	pagetest.Do(v.t, v.tab, chromedp.WaitVisible("#"+id))
	if lang := pagetest.Evaluate[string](v.t, v.tab, `document.documentElement.lang`); lang != v.language {
		v.t.Errorf("%s is in %q, want %q", name, lang, v.language)
	}
	pagetest.Photograph(v.t, v.tab, filepath.Join(v.folder, name))
	for _, fault := range pagetest.Faults(v.t, v.tab) {
		v.t.Errorf("%s: %s", name, fault)
	}
}

// press types words and keys, one after the other.
func (v *visitor) press(keys ...string) {
	v.t.Helper()
	for _, k := range keys {
		pagetest.Do(v.t, v.tab, chromedp.KeyEvent(k))
	}
}

// click presses a button, a box or a link by its id.
func (v *visitor) click(id string) {
	v.t.Helper()
	pagetest.Do(v.t, v.tab, chromedp.WaitVisible("#"+id), chromedp.Click("#"+id))
}

// back waits until the browser has arrived at the application, and returns the redirect that the client saw.
func (v *visitor) back(returned chan string) *flow.Page {
	v.t.Helper()
	pagetest.Do(v.t, v.tab, chromedp.WaitVisible("#arrived"))
	return &flow.Page{Location: <-returned}
}
