package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"authserver/internal/page/pagetest"
	"authserver/internal/person/persontest"

	"github.com/chromedp/chromedp"
)

// TestChromiumAbroad has a real browser sent to the provider behind a form: the session has ended while the page was read.
// Chromium holds each redirect behind a form against the page's policy, also those of the provider to hosts of its own.
func TestChromiumAbroad(t *testing.T) {
	t.Parallel()
	login := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`<!DOCTYPE html><html lang="en"><title>The provider</title><p id="there">Who are you?</p>`))
	}))
	defer login.Close()
	departed := make(chan string, 1)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/authorize" {
			departed <- r.URL.String()
			http.Redirect(w, r, strings.Replace(login.URL, "127.0.0.1", "localhost", 1), http.StatusFound)
		}
	}))
	defer front.Close()
	provider := persontest.NewProvider(t)
	provider.Metadata["authorization_endpoint"] = front.URL + "/authorize?tenant=1"
	d := deploy(t, 1, func(s *settings) {
		comingFrom(provider.URL)(s)
		s.SessionIdle = "1m"
	})
	provider.Now = d.clock.now
	browser := pagetest.NewBrowser(t, chromedp.Flag("host-resolver-rules", "MAP localhost:8080 "+d.hosts[0]))
	v := &visitor{t: t, tab: pagetest.NewTab(t, browser), language: "en", folder: t.ArtifactDir()}
	c := d.recipient(0)
	// signIn plays the person who has just been sent to the provider.
	signIn := func() {
		t.Helper()
		pagetest.Do(t, v.tab, chromedp.WaitVisible("#there"))
		back := provider.Authorize(provider.URL + <-departed)
		v.open(d.issuer + "/login/callback?" + back.Encode())
		pagetest.Do(t, v.tab, chromedp.WaitVisible("#account-0"))
	}
	v.open(ask(t, c).url())
	signIn()
	d.clock.advance(2 * time.Minute)
	v.click("account-0")
	v.click("submit")
	signIn()
	v.click("account-0")
	v.click("submit")
	pagetest.Do(t, v.tab, chromedp.WaitVisible("#approve"))
	d.clock.advance(2 * time.Minute)
	v.click("approve")
	signIn()
}
