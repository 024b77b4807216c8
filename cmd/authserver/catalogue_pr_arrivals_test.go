package main

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"authserver/internal/flow"
	"authserver/internal/grant"
	"authserver/internal/oauth"
)

// attacksOnArrivals are the cases about what a request_uri is worth at the authorization endpoint.
func attacksOnArrivals() []attack {
	return []attack{
		{"PR-34", usedRequests},
		{"PR-35", reloads},
		{"PR-36", lateArrivals},
		{"PR-37", foreignRequests},
		{"PR-38", requestsElsewhere},
		{"PR-39", pushesAtWill},
		{"PR-44", readsYourWrites},
		{"PR-45", clientsThatChange},
	}
}

// usedRequests: PR-34. After the answer nobody gets a second one, in this browser or another, and the first stays good.
func usedRequests(t *testing.T, d *deployment) {
	c := d.recipient(0)
	b := flow.NewBrowser(c.Server)
	for _, decision := range []string{flow.Approve, flow.Deny} {
		a := ask(t, c)
		code, grants := a.answerIn(b, decision).Get("code"), one[int](t, d, `SELECT count(*) FROM authorization_grant`)
		for i := range d.replicas {
			for _, browser := range []*flow.Browser{d.tab(b, i), flow.NewBrowser(d.server(i))} {
				refusedPage(t, visit(t, browser, a.url()), http.StatusBadRequest, oauth.RequestAnswered)
			}
		}
		if n := one[int](t, d, `SELECT count(*) FROM authorization_grant`); n != grants {
			t.Errorf("%d grants more", n-grants)
		}
		if decision == flow.Approve {
			a.redeem(code)
		}
	}
}

// interactions counts those with requests of a client.
func (d *deployment) interactions(t *testing.T, c *flow.Client) int {
	t.Helper()
	const sql = `SELECT count(*) FROM interaction i JOIN pushed_request r ON r.id = i.request_id WHERE r.client_id = $1`
	return one[int](t, d, sql, c.ID)
}

// reloads: PR-35. Whatever page stands there, a reload of the endpoint leads back to it, also when arriving is over.
func reloads(t *testing.T, d *deployment) {
	a := ask(t, d.recipient(0))
	b := a.browser()
	for i, field := range []string{"password", "accounts", "decision"} {
		a.upTo(b, field)
		shown := b.Page.Exchange.URL
		for range 2 {
			b.Server = d.server(i)
			if p := visit(t, b, a.url()); p.Form(field) == nil || p.Exchange.URL != shown {
				t.Errorf("%s was shown, and after a reload %s, %s", shown, p, p.Exchange.URL)
			}
		}
		d.clock.advance(95 * time.Second)
	}
	if n := d.interactions(t, a.client); n != 1 {
		t.Errorf("one browser has %d interactions with one request", n)
	}
	a.redeem(a.answerIn(b, flow.Approve).Get("code"))
}

// lateArrivals: PR-36. expires_in limits arrival.
func lateArrivals(t *testing.T, d *deployment) {
	a := ask(t, d.recipient(0))
	d.clock.advance(60 * time.Second)
	if p := visit(t, a.browser(), a.url()); p.Form("password") == nil {
		t.Errorf("in time, and yet %s", p)
	}
	d.clock.advance(30 * time.Second)
	for i := range d.replicas {
		refusedPage(t, visit(t, flow.NewBrowser(d.server(i)), a.url()), http.StatusBadRequest, oauth.RequestURIExpired)
	}
	shortest := d.alone(func(c *config) { c.parExpiresIn = grant.MinArrival })
	brief := ask(t, d.at(a.client, 0))
	moved := *brief.client
	moved.Server = shortest.server(0)
	pushed, err := moved.Push(t.Context(), pushable())
	if err != nil || pushed.ExpiresIn != 5 {
		t.Fatal(pushed, err)
	}
	d.clock.advance(grant.MinArrival)
	refusedPage(t, visit(t, brief.browser(), moved.AuthorizeURL(pushed.RequestURI)), http.StatusBadRequest,
		oauth.RequestURIExpired)
}

// foreignRequests: PR-37. To another client a request_uri is as good as none, also in a browser that is on its way with it.
func foreignRequests(t *testing.T, d *deployment) {
	c1, c2 := d.recipient(0),
		d.recipient(1, func(m map[string]any) { m["redirect_uris"] = []string{"https://other.example/cb"} })
	a := ask(t, c1)
	b := a.browser()
	visit(t, b, a.url())
	unknown := *a
	unknown.uri = grant.RequestURI + strings.Repeat("A", 43)
	for i := range d.replicas {
		for _, browser := range []*flow.Browser{d.tab(b, i), flow.NewBrowser(d.server(i))} {
			p := visit(t, browser, c2.AuthorizeURL(a.uri))
			refusedPage(t, p, http.StatusBadRequest, oauth.RequestURIUnknown)
			if strings.Contains(p.Exchange.ResponseBody, "client.example") ||
				strings.Contains(p.Exchange.ResponseBody, "other.example") {
				t.Error("the page tells of a client")
			}
			refusedPage(t, visit(t, browser, unknown.url()), http.StatusBadRequest, oauth.RequestURIUnknown)
		}
	}
	if n := d.interactions(t, c1); n != 1 {
		t.Errorf("%d interactions", n)
	}
	a.redeem(a.answerIn(b, flow.Approve).Get("code"))
}

// requestsElsewhere: PR-38. What is not ours is not fetched, not looked up, and not repeated.
func requestsElsewhere(t *testing.T, d *deployment) {
	c, host := d.recipient(0), newKeyHost(t, serving("a request object"))
	a := ask(t, c)
	secret := strings.TrimPrefix(a.uri, grant.RequestURI)
	for i, uri := range []string{
		"https://evil.example/ro", host.URL + "/ro", strings.ToUpper(grant.RequestURI) + secret,
		"urn:ietf:params:oauth2:" + secret, secret,
		" " + a.uri, a.uri + " ", a.uri + "#", a.uri + "?x", a.uri + "A", a.uri[:len(a.uri)-1], grant.RequestURI,
		grant.RequestURI + "\x00", "\xff",
		grant.RequestURI + strings.Repeat("A", 16<<10), "data:,{}", "file:///etc/passwd", grant.RequestURI + "' OR 1=1--",
	} {
		p := visit(t, flow.NewBrowser(d.server(i%3)), d.authorizeURL(url.Values{"client_id": {c.ID}, "request_uri": {uri}}))
		refusedPage(t, p, http.StatusBadRequest, oauth.RequestURIUnknown)
		if strings.Contains(p.Exchange.ResponseBody, "evil.example") {
			t.Errorf("the page repeats %q", uri)
		}
	}
	host.unreached(t)
	visit(t, a.browser(), a.url())
}

// pushesAtWill: PR-39. Beyond the limit of one client nothing is stored; what was stored, the sweep takes away again.
func pushesAtWill(t *testing.T, d *deployment) {
	const limit, sent = 20, 120
	limited := d.alone(func(c *config) { c.parLimit = limit })
	c, other := limited.recipient(0), limited.recipient(0)
	before, counts := d.pushed(t), map[string]int{}
	for range sent {
		e := once(t, c, c.PushRequest(pushable()))
		if e.ErrorCode() == "use_dpop_nonce" {
			e = once(t, c, c.PushRequest(pushable()))
		}
		if counts[e.Outcome()]++; e.Status == http.StatusTooManyRequests &&
			(e.ResponseHeader.Get("Retry-After") == "" || reasonOf(e) != oauth.RateLimited) {
			t.Fatalf("Retry-After %q, %s", e.ResponseHeader.Get("Retry-After"), e.ResponseBody)
		}
	}
	// A few more may pass where the minutes of the sliding window meet.
	stored := d.pushed(t) - before
	if n := counts["201"]; n < limit-1 || n > limit+limit/5 || n+counts["429 temporarily_unavailable"] != sent ||
		stored != n {
		t.Errorf("%d a minute are allowed: %v, %d stored", limit, counts, stored)
	}
	a := ask(t, other) // whose limit is its own
	visit(t, a.browser(), a.url())
	d.expect(c, c.TokenRequest(nil), "200")
	d.clock.advance(grant.InteractionMost + time.Hour)
	if err := d.store.SweepAuthorizations(t.Context(), d.config.retention, d.clock.now()); err != nil {
		t.Fatal(err)
	}
	left, interactions := d.pushed(t), one[int](t, d, `SELECT count(*) FROM interaction`)
	if left != 0 || interactions != 0 {
		t.Errorf("%d requests and %d interactions are left behind", left, interactions)
	}
}

// readsYourWrites: PR-44, with fewer requests and several of them at once.
func readsYourWrites(t *testing.T, d *deployment) {
	const each, together = 40, 5
	c := d.everywhere(d.recipient(0))
	var found atomic.Int64
	var running sync.WaitGroup
	for i := range together {
		running.Go(func() {
			near, far := c[i%3], c[(i+2)%3]
			for range each {
				pushed, err := near.Push(t.Context(), pushable())
				if err != nil {
					t.Error(err)
					return
				}
				e, err := far.Server.Send(t.Context(), &flow.Request{Method: http.MethodGet,
					URL: far.AuthorizeURL(pushed.RequestURI)})
				if err != nil || !strings.HasPrefix(e.ResponseHeader.Get("Location"), d.issuer+"/login?interaction=") {
					t.Errorf("%+v %v", e, err)
					return
				}
				found.Add(1)
			}
		})
	}
	if running.Wait(); found.Load() != each*together {
		t.Errorf("%d of %d requests were found at another replica", found.Load(), each*together)
	}
}

// clientsThatChange: PR-45. Between the push and the visit, and before the last button is pressed.
func clientsThatChange(t *testing.T, d *deployment) {
	elsewhere := func(m map[string]any) { m["redirect_uris"] = []string{"https://client.example/new"} }
	b := flow.NewBrowser(d.server(1))
	for name, change := range map[string]func(c *flow.Client){
		"deleted": func(c *flow.Client) { d.expect(c, c.ManageRequest(http.MethodDelete, nil), "204") },
		"moved": func(c *flow.Client) {
			d.expect(c, c.ManageRequest(http.MethodPut, metadata(c.Key, recipient, elsewhere)), "200")
		},
	} {
		c := d.recipient(0)
		early, late := ask(t, c), ask(t, c)
		form := late.upTo(b, "decision")
		form.Fields.Set("decision", flow.Approve)
		grants := one[int](t, d, `SELECT count(*) FROM authorization_grant`)
		change(c)
		for i := range d.replicas {
			refusedPage(t, visit(t, flow.NewBrowser(d.server(i)), early.url()), http.StatusBadRequest, oauth.ClientChanged)
			refusedPage(t, submit(t, d.tab(b, i), form), http.StatusBadRequest, oauth.ClientChanged)
		}
		if n := one[int](t, d, `SELECT count(*) FROM authorization_grant`); n != grants {
			t.Errorf("%s: a grant was stored", name)
		}
		if name == "moved" { // and back again: nothing was used up, and the page is made anew
			d.expect(c, c.ManageRequest(http.MethodPut, metadata(c.Key, recipient)), "200")
			refusedPage(t, submit(t, b, form), http.StatusForbidden, oauth.FormRefused)
			late.redeem(late.codeIn(b))
		}
	}
}
