package main

import (
	"context"
	"html"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"authserver/internal/authorize"
	"authserver/internal/flow"
	"authserver/internal/oauth"
	"authserver/internal/person"
)

// otherLogin is an upstream that proves kim to whoever comes back, and says what it was asked for.
type otherLogin struct{ asked []person.Wish }

func (o *otherLogin) Depart(_ context.Context, w person.Wish, state string, _ time.Time) (string, error) {
	o.asked = append(o.asked, w)
	return "https://login.example/authorize?state=" + url.QueryEscape(state), nil
}

func (o *otherLogin) Read(_ context.Context, _ string, query url.Values, _ time.Time) (person.Answer, error) {
	return person.Answer{Code: oauth.Secret(query.Get("code"))}, nil
}

func (o *otherLogin) Arrive(_ context.Context, _ string, _ person.Answer, w person.Wish, now time.Time) (person.Arrived, error) {
	o.asked = append(o.asked, w)
	return person.Arrived{Identity: person.Identity{Issuer: "https://login.example", Subject: "kim"}, Name: "kim", At: now}, nil
}

// returning is the address at which the upstream sends the browser back, from where it was sent to.
func returning(t *testing.T, d *deployment, p *flow.Page) string {
	t.Helper()
	there, err := url.Parse(p.Location)
	if err != nil || there.Host != "login.example" {
		t.Fatalf("not at the upstream: %s", p)
	}
	return d.issuer + "/login/callback?code=of+kim&state=" + url.QueryEscape(there.Query().Get("state"))
}

// TestDepartures: what the upstream was asked for on the way there is what counts on the way back, whatever other tabs have
// done meanwhile, and whoever keeps the login by then.
func TestDepartures(t *testing.T) {
	d := deploy(t, 1, nil)
	login := &otherLogin{}
	there := d.rewired(func(e *authorize.Endpoint) { e.Passwords, e.Upstream = nil, login })
	c := there.at(d.recipient(0), 0)

	t.Run("somebody signs in meanwhile", func(t *testing.T) {
		first, second := ask(t, c), ask(t, c)
		b := first.browser()
		tab := there.tab(b, 0)
		address := returning(t, d, visit(t, b, first.url()))
		other := returning(t, d, visit(t, tab, second.url()))
		visit(t, tab, other)
		if p := visit(t, b, address); p.Form("accounts") == nil {
			t.Errorf("%s", p)
		}
		if p := visit(t, b, address); p.Form("accounts") == nil { // the same return again
			t.Errorf("%s", p)
		}
		for i, w := range login.asked {
			if w.Fresh {
				t.Errorf("wish %d of %d asks for a login anew", i, len(login.asked))
			}
		}
		if policy := b.Page.Exchange.ResponseHeader.Get("Content-Security-Policy"); !strings.Contains(policy, " https:;") {
			t.Errorf("a form whose session is over may not lead to the upstream: %s", policy)
		}
	})

	t.Run("somebody signs out meanwhile", func(t *testing.T) {
		a := ask(t, c)
		b := a.browser()
		visit(t, b, returning(t, d, visit(t, b, a.url())))
		out := formTo(b.Page, "/sign-out")
		login.asked = nil
		address := returning(t, d, ofAddress(t, b, "/login"))
		submit(t, there.tab(b, 0), out)
		if p := visit(t, b, address); p.Form("accounts") == nil {
			t.Errorf("%s", p)
		}
		if len(login.asked) != 2 || !login.asked[0].Fresh || !login.asked[1].Fresh {
			t.Errorf("asked for %+v", login.asked)
		}
	})

	t.Run("somebody signs out, and somebody else in", func(t *testing.T) {
		a := ask(t, c)
		b := a.browser()
		visit(t, b, returning(t, d, visit(t, b, a.url())))
		p := submit(t, b, formTo(b.Page, "/sign-out"))
		_, link, _ := strings.Cut(p.Exchange.ResponseBody, `<a id="again" href="`)
		link, _, _ = strings.Cut(link, `"`)
		login.asked = nil
		if p = visit(t, b, d.issuer+html.UnescapeString(link)); !strings.HasPrefix(p.Location, "https://login.example/") || !login.asked[0].Fresh {
			t.Errorf("the upstream may let the same person in again: %s, asked for %+v", p, login.asked)
		}
		if p = visit(t, b, returning(t, d, p)); p.Form("accounts") == nil || !login.asked[1].Fresh {
			t.Errorf("%s, asked for %+v", p, login.asked)
		}
	})

	t.Run("another login meanwhile", func(t *testing.T) {
		here := d.at(c, 0)
		password := ask(t, here)
		b := flow.NewBrowser(here.Server)
		form := filledIn(password.upTo(b, "password"))
		if p := submit(t, there.tab(b, 0), form); !strings.HasPrefix(p.Location, "https://login.example/") {
			t.Errorf("a password, where there are none: %s", p)
		}
		b = flow.NewBrowser(c.Server)
		address := returning(t, d, visit(t, b, ask(t, c).url()))
		if p := visit(t, d.tab(b, 0), address); p.Exchange.Status != http.StatusOK || p.Form("password") == nil {
			t.Errorf("a return, where there is no upstream: %s", p)
		}
	})
}
