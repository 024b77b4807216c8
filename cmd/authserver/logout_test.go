package main

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"authserver/internal/audit"
	"authserver/internal/flow"
	"authserver/internal/oauth"
	"authserver/internal/page"
	"authserver/internal/page/pagetest"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// logoutURL is where an app sends a person to sign out, as the metadata has it.
func (d *deployment) logoutURL(wish url.Values) string {
	d.t.Helper()
	target, _ := document(d.t, d.server(0), d.issuer+"/.well-known/openid-configuration")["end_session_endpoint"].(string)
	if target != d.issuer+"/oauth2/logout" {
		d.t.Fatalf("end_session_endpoint is %q", target)
	}
	return target + "?" + wish.Encode()
}

// LO-01: what an app sends a person for is asked at one replica and done at another, once, for this browser alone. Consents
// and tokens outlive it.
func TestLogout(t *testing.T) {
	t.Parallel()
	d := deploy(t, 2, nil)
	c := d.recipient(0)
	a := ask(t, c)
	b, elsewhere := a.browser(), a.browser()
	token := a.redeem(a.codeIn(b))
	ask(t, c).upTo(elsewhere, "accounts")
	wish := url.Values{"client_id": {c.ID}, "post_logout_redirect_uri": {goodbye}, "state": {`of the "client" & more`}}
	before := len(d.audited())
	for range 2 {
		p := visit(t, d.tab(b, 1), d.logoutURL(wish))
		if formTo(p, "/sign-out") == nil || !strings.Contains(p.Text, "Signed in as alex.") || len(d.audited()) != before {
			t.Fatalf("%s", p)
		}
	}
	out := formTo(visit(t, b, d.logoutURL(wish)), "/sign-out")
	if p := submit(t, d.tab(b, 1), out); p.Location != goodbye+"?state=of%20the%20%22client%22%20%26%20more" {
		t.Errorf("%s", p)
	}
	signedOut := d.audited()[before:]
	if len(signedOut) != 1 || signedOut[0].Event != audit.PersonSignedOut || signedOut[0].Outcome != audit.Success ||
		signedOut[0].Subject != claimsOf(t, token.AccessToken)["sub"] {
		t.Errorf("%+v", signedOut)
	}
	if p := submit(t, b, out); p.Location == "" || len(d.audited()) != before+1 { // a second press finds nobody, and goes on
		t.Errorf("%s", p)
	}
	if p := visit(t, b, ask(t, c).url()); p.Form("password") == nil {
		t.Errorf("still signed in: %s", p)
	}
	if p := visit(t, elsewhere, ask(t, c).url()); p.Form("password") != nil {
		t.Errorf("another browser is signed out too: %s", p)
	}
	d.wantActive(c, token.AccessToken, true)
	_, err := c.Refresh(t.Context(), token.RefreshToken, nil)
	if err != nil {
		t.Error(err)
	}
}

// LO-01: what is wrong ends on a page with 400, from which the person signs out all the same. Of a client that is gone, or
// gave its address up, nobody is sent to it.
func TestLogoutRefusals(t *testing.T) {
	t.Parallel()
	d := deploy(t, 1, nil)
	c, gone := d.recipient(0), d.recipient(0)
	d.expect(gone, gone.ManageRequest(http.MethodDelete, nil), "204")
	b := ask(t, c).browser()
	ask(t, c).upTo(b, "accounts")
	good := url.Values{"client_id": {c.ID}, "post_logout_redirect_uri": {goodbye}}
	for name, test := range map[string]struct {
		bend   func(url.Values)
		reason oauth.Reason
	}{
		"nobody's address":      {bend("client_id", ""), oauth.ParameterMissing},
		"an unknown client":     {bend("client_id", "nobody"), oauth.LogoutURIUnknown},
		"a deleted client":      {bend("client_id", gone.ID), oauth.LogoutURIUnknown},
		"another address":       {bend("post_logout_redirect_uri", "https://evil.example/"), oauth.LogoutURIUnknown},
		"a redirect_uri":        {bend("post_logout_redirect_uri", callback), oauth.LogoutURIUnknown},
		"a longer address":      {bend("post_logout_redirect_uri", goodbye+"?x"), oauth.LogoutURIUnknown},
		"no ID token as a hint": {bend("id_token_hint", "a.b.c"), oauth.HintRefused},
	} {
		t.Run(name, func(t *testing.T) {
			wish := url.Values{}
			for name := range good {
				wish.Set(name, good.Get(name))
			}
			test.bend(wish)
			for _, r := range []*flow.Request{
				{Method: http.MethodGet, URL: d.logoutURL(wish)}, {Method: http.MethodPost, URL: d.logoutURL(nil), Form: wish},
			} {
				e := knock(t, b, r)
				if e.Status != http.StatusBadRequest || reasonOf(e) != test.reason ||
					e.ResponseHeader.Get("Location") != "" || strings.Contains(e.ResponseBody, "evil") ||
					!strings.Contains(e.ResponseBody, `id="sign-out" href="/oauth2/logout"`) {
					t.Errorf("%s: %d %s", r.Method, e.Status, e.ResponseBody)
				}
			}
		})
	}
	if p := visit(t, b, d.logoutURL(nil)); formTo(p, "/sign-out") == nil {
		t.Errorf("%s", p)
	}
}

// LO-01: an ID token says which client asks, long after its time, at any replica; it does not come to stand in an address.
// That it speaks of a session of long ago the person is told. For another client than client_id names it says nothing, and neither
// does an encrypted one.
func TestLogoutByIDToken(t *testing.T) {
	t.Parallel()
	d, reads := deploy(t, 2, nil), newReader(t)
	c, other := d.recipient(0, withOpenID), d.recipient(1)
	secretive := d.recipient(0, withOpenID, reads.publish, changes{"id_token_encrypted_response_alg": "RSA-OAEP"}.apply)
	a := ask(t, c, identified)
	hint := identity(t, c, a.redeem(a.code())).Compact
	s := ask(t, secretive, identified)
	sealed, _ := s.redeem(s.code()).Exchange.JSON()["id_token"].(string)
	d.clock.advance(24 * time.Hour)
	b := ask(t, c).browser()
	ask(t, c).upTo(b, "accounts")
	wish := url.Values{"id_token_hint": {hint}, "post_logout_redirect_uri": {goodbye}, "state": {"s"}}
	for _, client := range []string{"", c.ID} {
		wish.Set("client_id", client)
		e := knock(t, d.tab(b, 1), &flow.Request{Method: http.MethodPost, URL: d.logoutURL(nil), Form: wish})
		if target := e.ResponseHeader.Get("Location"); e.Status != http.StatusSeeOther || strings.Contains(target, hint) ||
			!strings.Contains(target, c.ID) {
			t.Errorf("%d %s", e.Status, target)
		}
		if p := visit(t, d.tab(b, 1), d.logoutURL(wish)); !strings.Contains(p.Text, "a data recipient asks to sign you out") ||
			!strings.Contains(p.Text, "another sign-in") {
			t.Errorf("%s", p.Text)
		}
	}
	for name, edit := range map[string]func(url.Values){
		"another client_id": bend("client_id", other.ID), "an encrypted one": bends(bend("id_token_hint", sealed), bend("client_id")),
		"an access token": bends(bend("id_token_hint", tokenFor(t, c, nil)), bend("client_id")),
	} {
		bad := url.Values{"id_token_hint": {hint}, "post_logout_redirect_uri": {goodbye}}
		edit(bad)
		p := visit(t, b, d.logoutURL(bad))
		refusedPage(t, p, http.StatusBadRequest, oauth.HintRefused)
		if strings.Contains(p.Exchange.ResponseBody, bad.Get("id_token_hint")) {
			t.Errorf("%s stands on the page", name)
		}
	}
	if p := submit(t, b, formTo(visit(t, b, d.logoutURL(wish)), "/sign-out")); p.Location != goodbye+"?state=s" {
		t.Errorf("%s", p)
	}
}

// TestChromiumLogout has a real browser sign out for an app that lies on another site: by a link, and by a form, which comes
// without the cookies of this site. The app sends its people on to another host, which must not stop the browser.
func TestChromiumLogout(t *testing.T) {
	t.Parallel()
	d := deploy(t, 2, nil)
	home := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`<!DOCTYPE html><html lang="en"><title>The application</title><p id="arrived">Goodbye.</p>`))
	}))
	defer home.Close()
	returned := make(chan string, 1)
	var app *httptest.Server
	var wish url.Values
	app = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/goodbye" {
			fields := ""
			for name := range wish {
				fields += `<input type="hidden" name="` + name + `" value="` + wish.Get(name) + `">`
			}
			_, _ = w.Write([]byte(`<!DOCTYPE html><html lang="en"><title>The application</title><form method="post" action="` +
				d.issuer + `/oauth2/logout">` + fields + `<button id="leave">Leave</button></form>`))
			return
		}
		returned <- r.URL.RequestURI()
		http.Redirect(w, r, strings.Replace(home.URL, "127.0.0.1", "localhost", 1), http.StatusFound)
	}))
	defer app.Close()
	c := d.recipient(0, func(m map[string]any) {
		m["client_name"], m["application_type"] = "Budget Buddy", "native"
		m["post_logout_redirect_uris"] = []string{app.URL + "/goodbye"}
	})
	wish = url.Values{"client_id": {c.ID}, "post_logout_redirect_uri": {app.URL + "/goodbye"}, "state": {"s 1"}}
	browser := pagetest.NewBrowser(t, chromedp.Flag("host-resolver-rules", "MAP localhost:8080 "+d.hosts[0]))
	for _, language := range page.Languages() {
		t.Run(language, func(t *testing.T) {
			v := &visitor{t: t, tab: pagetest.NewTab(t, browser), language: language, folder: t.ArtifactDir()}
			v.speaks(language)
			v.forgets() // of a language that was left out half-way somebody is signed in still
			signIn := func() {
				v.open(d.issuer + "/connected")
				v.click("username")
				v.press("alex", kb.Tab, demoPassword, kb.Enter)
				pagetest.Do(t, v.tab, chromedp.WaitVisible("#sign-out"))
			}
			back := func() {
				pagetest.Do(t, v.tab, chromedp.WaitVisible("#arrived"))
				if target := <-returned; target != "/goodbye?state=s%201" {
					t.Errorf("sent back to %s", target)
				}
			}
			signIn()
			v.open(d.logoutURL(wish))
			v.shows("logout", "sign-out")
			v.press(kb.Tab, kb.Enter)
			back()
			v.open(d.logoutURL(wish))
			v.shows("logout-over", "continue")
			v.click("continue")
			back()
			signIn()
			v.open(app.URL)
			v.click("leave")
			v.shows("logout-posted", "sign-out")
			v.click("sign-out")
			back()
			signIn()
			v.open(d.logoutURL(url.Values{"post_logout_redirect_uri": {"https://evil.example"}, "client_id": {c.ID}}))
			v.shows("logout-refused", "reason")
			v.click("sign-out")
			v.shows("logout-unasked", "sign-out")
			v.click("sign-out")
			v.shows("signed-out", "again")
		})
	}
}
