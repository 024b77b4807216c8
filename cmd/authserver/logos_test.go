package main

import (
	"bytes"
	"fmt"
	"image"
	"image/png"
	"net/http"
	"strings"
	"testing"

	"authserver/internal/flow"
	"authserver/internal/oauth"
	"authserver/internal/page/pagetest"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// pngOf is a picture of such a size.
func pngOf(t testing.TB, width, height int) string {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, width, height))); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// logoOf asks a replica for the logo of a client.
func logoOf(t testing.TB, s *flow.Server, id string) *flow.Exchange {
	t.Helper()
	return raw(t, s, http.MethodGet, s.Metadata.Issuer+"/logos/"+id, nil, "")
}

// noLogo wants the one answer where there is none to be had.
func noLogo(t testing.TB, s *flow.Server, id string) {
	t.Helper()
	e := logoOf(t, s, id)
	refusedFor(t, e, "404", oauth.NoSuchEndpoint)
	if got := e.ResponseHeader.Get("Cache-Control"); got != "no-store" {
		t.Errorf("that there is no logo is kept: %q", got)
	}
}

// TestLogos: people see a client's logo from our own origin, on every replica and for as long as there is the client; its
// host is asked once.
func TestLogos(t *testing.T) {
	t.Parallel()
	first := deploy(t, 1, nil)
	a := newAuthority(t)
	one, two := pngOf(t, 1, 1), pngOf(t, 2, 2)
	h := newTLSKeyHost(t, nil, a.issue(t, "ECDSA", "127.0.0.1"), func(w http.ResponseWriter, r *http.Request) {
		for name, value := range r.Header {
			if name != "Accept" && name != "User-Agent" && name != "Connection" {
				t.Errorf("the host is told %s: %s", name, value)
			}
		}
		w.Header().Set("Content-Type", "text/html")
		w.Header().Set("Set-Cookie", "a=b")
		_, _ = w.Write([]byte(map[string]string{"/one": one, "/two": two}[r.URL.Path]))
	})
	d, other := first.alone(trusting(a)), first.alone(trusting(a))
	s := d.server(0)
	c := d.register(0, changes{"logo_uri": h.URL + "/one"}.apply)
	wants := func(what string, s *flow.Server, body string) {
		t.Helper()
		e := logoOf(t, s, c.ID)
		if outcome(t, e, "200"); e.ResponseBody != body {
			t.Errorf("%s: %d bytes, want %d", what, len(e.ResponseBody), len(body))
		}
	}
	h.fetches(t, 1, func() { wants("the first time", s, one); wants("again", s, one) })
	h.fetches(t, 0, func() { wants("another replica", other.server(0), one) })
	checkLogoHeaders(t, s, c.ID, len(one))
	for _, id := range []string{d.register(0).ID, "nobody", "%00", "%ff", "a%2fb", "..", strings.Repeat("x", 5000)} {
		noLogo(t, s, id)
	}

	d.expect(c, c.ManageRequest(http.MethodPut, metadata(c.Key, changes{"logo_uri": h.URL + "/two"}.apply)), "200")
	h.fetches(t, 1, func() { wants("changed", d.alone().server(0), two) })
	wants("changed, where the other one was fetched just now", s, two)
	d.expect(c, c.ManageRequest(http.MethodDelete, nil), "204")
	h.fetches(t, 0, func() { noLogo(t, s, c.ID); noLogo(t, other.server(0), c.ID) })
}

// checkLogoHeaders: a browser takes the answer for the picture that it is, runs nothing in it, shows it nowhere else, and
// keeps it for a day.
func checkLogoHeaders(t *testing.T, s *flow.Server, id string, length int) {
	t.Helper()
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		e := raw(t, s, method, s.Metadata.Issuer+"/logos/"+id, nil, "")
		for name, want := range map[string]string{
			"Content-Type": "image/png", "Content-Security-Policy": "default-src 'none'; sandbox", "X-Content-Type-Options": "nosniff",
			"Cross-Origin-Resource-Policy": "same-origin", "Cache-Control": "private, max-age=86400", "Set-Cookie": "",
			"Access-Control-Allow-Origin": "", "Content-Length": fmt.Sprint(length),
		} {
			if got := e.ResponseHeader.Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", method, name, got, want)
			}
		}
		if e.Status != http.StatusOK || method == http.MethodHead && e.ResponseBody != "" {
			t.Errorf("%s: %d, %d bytes", method, e.Status, len(e.ResponseBody))
		}
	}
}

// TestLogoInABrowser: a real browser shows the logo on the consent page, whose policy lets pictures come from here alone, and
// never gets in touch with the client's host itself.
func TestLogoInABrowser(t *testing.T) {
	t.Parallel()
	a, picture := newAuthority(t), pngOf(t, 64, 48)
	h := newTLSKeyHost(t, nil, a.issue(t, "ECDSA", "127.0.0.1"), func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(picture))
	})
	d := deploy(t, 0, nil)
	trusting(a)(&d.config)
	d.start()
	c := d.recipient(0, changes{"logo_uri": h.URL + "/logo"}.apply)
	browser := pagetest.NewBrowser(t, chromedp.Flag("host-resolver-rules", "MAP localhost:8080 "+d.hosts[0]))
	v := &visitor{t: t, tab: pagetest.NewTab(t, browser)}
	v.open(ask(t, c, twoScopes).url())
	v.press(kb.Tab, "alex", kb.Tab, demoPassword, kb.Enter)
	v.click("account-0")
	v.click("submit")
	pagetest.Do(t, v.tab, chromedp.WaitVisible("#approve"))
	const decoded = `(async () => {
		const logo = document.querySelector("main img");
		await logo.decode();
		return [logo.src, logo.naturalWidth].join(" ");
	})()`
	if got := pagetest.Evaluate[string](t, v.tab, decoded, chromedp.EvalAwaitPromise); got != d.issuer+"/logos/"+c.ID+" 64" {
		t.Errorf("the page shows %q", got)
	}
	if n := h.connections.Load(); n != 1 {
		t.Errorf("%d connections to the client's host, want the server's alone", n)
	}
}
