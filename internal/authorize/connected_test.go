package authorize

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"authserver/internal/fdx"
	"authserver/internal/flow"
	"authserver/internal/grant"
	"authserver/internal/oauth"
	"authserver/internal/person"
)

// connectedTo has a person allow the client c1 something, a minute ago.
func (h *house) connectedTo(id, subject string) {
	given := h.now.Add(-time.Minute)
	h.memory.consents = append(h.memory.consents, grant.Consent{
		Grant: grant.Grant{
			ID: id, ClientID: "c1", Subject: subject, Scope: "fdx:accountbasic:read", Accounts: []string{subject + "-1"},
			Details: fdx.Details{fdx.ConsentRequest{DurationType: fdx.Persistent, Resources: []fdx.Resource{
				{ResourceType: fdx.Account, ResourceID: subject + "-1", DataClusters: []string{"ACCOUNT_BASIC"}}}}},
			CreatedAt: given, ExpiresAt: given.Add(time.Hour),
		},
		ClientName: "An app", History: []grant.Change{grant.GivenBy("first reference", given)},
	})
}

// signedIn is a browser that has signed in to the page of connected apps.
func (h *house) signedIn(username string) *flow.Browser {
	h.Helper()
	b := h.browser()
	h.visit(b, issuer+"/connected")
	if p := h.submit(b, filledIn(b.Page, username)); formTo(p, "/sign-out") == nil {
		h.Fatalf("%s", p)
	}
	return b
}

// A person sees what is theirs alone, and stops it with one press. What is over cannot be stopped again.
func TestConnected(t *testing.T) {
	h := newHouse(t, issuer)
	h.connectedTo("kims", "_kim")
	h.connectedTo("alexs", "_alex")
	b := h.signedIn("kim")
	page := b.Page.Exchange.ResponseBody
	for text, want := range map[string]bool{"An app": true, "Everyday": true, "first reference": true, "alexs": false} {
		if strings.Contains(page, text) != want {
			t.Errorf("the page has %q: %v", text, !want)
		}
	}
	form := formTo(b.Page, "/connected/stop")
	if p := h.submit(b, form, "consent", "alexs"); p.Exchange.Status != http.StatusOK || h.revoked("alexs") {
		t.Fatalf("another's is stopped: %s", p)
	}
	before := h.now
	h.now = h.now.Add(time.Second)
	p := h.submit(b, form)
	if !h.revoked("kims") || formTo(p, "/connected/stop") != nil || !strings.Contains(p.Exchange.ResponseBody, `id="stopped"`) {
		t.Errorf("%s", p)
	}
	stop, _ := h.memory.consents[0].Stop()
	if stop.Why != grant.PersonStopped || stop.At.Equal(before) ||
		stop.Revocation != (fdx.Revocation{Reason: fdx.UserAction, Initiator: fdx.Individual}) {
		t.Errorf("the history says %+v", stop)
	}
	if p := h.submit(b, form); p.Exchange.Status != http.StatusOK || strings.Contains(p.Exchange.ResponseBody, `id="stopped"`) ||
		len(h.memory.consents[0].History) != 2 {
		t.Errorf("stopped again: %s", p)
	}
	for _, forged := range []string{"alexs", "kims%00", "<b>"} {
		if p := h.visit(b, issuer+"/connected?stopped="+forged); strings.Contains(p.Exchange.ResponseBody, `id="stopped"`) {
			t.Errorf("%s is said to be stopped", forged)
		}
	}
}

// revoked tells whether a consent has been ended.
func (h *house) revoked(id string) bool {
	for _, c := range h.memory.consents {
		if c.ID == id {
			return c.RevokedAt != nil
		}
	}
	h.Fatalf("no consent %s", id)
	return false
}

// The forms of the page count when they were made for this person's session, by this site.
func TestConnectedForms(t *testing.T) {
	h := newHouse(t, issuer)
	h.connectedTo("kims", "_kim")
	h.connectedTo("alexs", "_alex")
	kim, alex := h.signedIn("kim"), h.signedIn("alex")
	form := formTo(kim.Page, "/connected/stop")
	out := formTo(kim.Page, "/sign-out")
	for name, token := range map[string]string{
		"none": "", "alex'": formTo(alex.Page, "/connected/stop").Fields.Get("form_token"), "to sign out": out.Fields.Get("form_token"),
	} {
		if h.refused(h.submit(kim, form, "form_token", token), oauth.FormRefused); h.revoked("kims") {
			t.Fatalf("stopped with the token %s", name)
		}
	}
	h.refused(h.submit(kim, form, "form_token"), oauth.FormRefused)
	h.refused(h.submit(kim, form, "reason", "x"), oauth.FormField)
	h.refused(h.submit(kim, out, "form_token", form.Fields.Get("form_token")), oauth.FormRefused)
	kim.Header = http.Header{"Sec-Fetch-Site": {"cross-site"}}
	h.refused(h.submit(kim, form), oauth.CrossSite)
	kim.Header = nil
	if h.revoked("kims") {
		t.Fatal("stopped by a form that is no page's")
	}
	h.now = h.now.Add(9 * time.Hour) // the session is over
	if p := h.submit(kim, form); p.Form("password") == nil || h.revoked("kims") {
		t.Errorf("%s", p)
	}
}

// Whoever signs in at the page does so in the browser that was given its form, and gets a session of its own.
func TestOwnLogin(t *testing.T) {
	h := newHouse(t, issuer)
	b, other := h.browser(), h.browser()
	form := h.visit(b, issuer+"/connected").Form("password")
	if form == nil {
		t.Fatalf("%s", b.Page)
	}
	form.Fields["username"], form.Fields["password"] = []string{"kim"}, []string{"right"}
	h.refused(h.submit(other, form), oauth.FormRefused) // it has no cookie
	h.visit(other, issuer+"/connected")
	h.refused(h.submit(other, form), oauth.FormRefused) // it has another
	h.refused(h.submit(b, form, "form_token", ""), oauth.FormRefused)
	if p := h.submit(b, form, "password", "wrong"); p.Form("password") == nil || p.Alert == "" || len(h.memory.sessions) != 0 {
		t.Errorf("%s, %d sessions", p, len(h.memory.sessions))
	}
	h.visit(b, issuer+"/connected") // a reload, or another tab, leaves the form good
	if p := h.submit(b, form); formTo(p, "/sign-out") == nil || len(h.memory.sessions) != 1 {
		t.Errorf("%s, %d sessions", p, len(h.memory.sessions))
	}
	if p := h.submit(b, formTo(b.Page, "/sign-out")); len(h.memory.sessions) != 0 ||
		!strings.Contains(p.Exchange.ResponseBody, "/connected?anew=1") {
		t.Errorf("%s, %d sessions", p, len(h.memory.sessions))
	}
	h.memory.gone = true
	h.refused(h.submit(b, filledIn(h.visit(b, issuer+"/connected"), "kim")), oauth.PersonDisabled)
}

// The way back from an upstream is open to the browser that left, with what it left with.
func TestOwnUpstream(t *testing.T) {
	h := newHouse(t, issuer)
	up := &elsewhere{arrive: func() (person.Arrived, error) {
		return person.Arrived{Identity: person.Identity{Issuer: "https://upstream.example", Subject: "kim"}, Name: "Kim", At: h.now}, nil
	}}
	h.Passwords, h.Upstream = nil, up
	away := func(b *flow.Browser, path string) (back string) {
		p := h.visit(b, issuer+path)
		_, state, _ := strings.Cut(p.Location, "https://upstream.example/?state=")
		return issuer + "/login/callback?" + url.Values{"code": {"x"}, "state": {state}}.Encode()
	}
	b, other := h.browser(), h.browser()
	first := away(b, "/connected")
	back := away(b, "/connected")
	away(other, "/connected")
	anybodys := issuer + "/login/callback?" + url.Values{"code": {"x"}, "state": {ownDeparture{"", h.now, false}.state()}}.Encode()
	for name, stranger := range map[string]struct {
		b    *flow.Browser
		back string
	}{
		"a browser without a secret, with the state of none": {h.browser(), anybodys},
		"another browser": {h.browser(), back}, "another that has left too": {other, back}, "an earlier departure": {b, first},
		"no state": {b, issuer + "/login/callback?code=x&state=connected"}, "a forged state": {b, back + "x"},
	} {
		if p := h.visit(stranger.b, stranger.back); len(h.memory.sessions) != 0 || up.times != 0 {
			t.Fatalf("%s is let in: %s", name, p)
		}
	}
	if p := h.visit(b, strings.Replace(back, "code=x&", "", 1)); p.Exchange.Status != http.StatusForbidden || up.times != 0 {
		t.Errorf("what is no answer: %s", p) // and has used nothing up
	}
	as, err := url.Parse(issuer)
	if err != nil {
		t.Fatal(err)
	}
	before := b.Jar.Cookies(as)
	if p := h.visit(b, back); formTo(p, "/sign-out") == nil || len(h.memory.sessions) != 1 || up.times != 1 || up.wished.Fresh {
		t.Errorf("%s, %d sessions", p, len(h.memory.sessions))
	}
	for _, c := range before { // as a browser has them that sends the same twice at once
		b.Jar.SetCookies(as, []*http.Cookie{{Name: c.Name, Value: c.Value, Path: "/", Secure: true}})
	}
	if p := h.visit(b, back); formTo(p, "/sign-out") == nil || up.times != 1 {
		t.Errorf("a second time: %s", p)
	}
	h.submit(b, formTo(h.visit(b, issuer+"/connected"), "/sign-out"))
	h.now = h.now.Add(time.Minute)
	back = away(b, "/connected?anew=1")
	if !up.wished.Fresh || !up.wished.Since.Equal(h.now) {
		t.Errorf("of whoever has signed out is asked %+v", up.wished)
	}
	up.wished = person.Wish{}
	fresh := strings.Replace(back, url.QueryEscape(freshly), "", 1)
	if p := h.visit(b, fresh); fresh == back || up.times != 1 || len(h.memory.sessions) != 0 {
		t.Errorf("a departure that is bent is good: %s", p)
	}
	if h.visit(b, back); up.times != 2 || !up.wished.Fresh || !up.wished.Since.Equal(h.now) {
		t.Errorf("of whoever comes back is wanted %+v", up.wished)
	}
	h.submit(b, formTo(b.Page, "/sign-out"))
	back = away(b, "/connected")
	if h.now = h.now.Add(grant.InteractionStep); h.visit(b, back).Exchange.Status < 400 || up.times != 2 {
		t.Error("a departure is good for ever")
	}
}

// Where the bank's accounts cannot be read, and where the client is gone, a consent is shown and stopped all the same.
func TestConnectedWithoutNames(t *testing.T) {
	h := newHouse(t, issuer)
	h.connectedTo("kims", "_kim")
	b := h.signedIn("kim")
	h.Endpoint.Accounts = broken{}
	delete(h.memory.clients, "c1")
	h.visit(b, issuer+"/connected")
	if p := h.submit(b, formTo(b.Page, "/connected/stop")); !h.revoked("kims") || p.Exchange.Status != http.StatusOK {
		t.Errorf("%s", p)
	}
}

// How a consent ended is told in the words of whoever ended it.
func TestEndings(t *testing.T) {
	now := time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
	alive := grant.Grant{ExpiresAt: now.Add(time.Second)}
	over := func(why grant.Why) grant.Consent {
		c := grant.Consent{Grant: alive, History: []grant.Change{grant.Stopped(why, "", "", now)}}
		c.RevokedAt = &now
		return c
	}
	byClient := over(grant.OperatorStopped)
	byClient.History = []grant.Change{grant.StoppedByClient("c1", fdx.Revocation{}, "", now)}
	old := grant.Consent{Grant: alive}
	old.RevokedAt = &now
	for name, test := range map[string]struct {
		c    grant.Consent
		want string
	}{
		"alive": {grant.Consent{Grant: alive}, ""}, "its time is over": {grant.Consent{Grant: grant.Grant{ExpiresAt: now}}, "expired"},
		"the client is gone": {grant.Consent{Grant: alive, ClientGone: &now}, "app_gone"},
		"it went later":      {grant.Consent{Grant: grant.Grant{ExpiresAt: now}, ClientGone: &now}, "expired"},
		"the person":         {over(grant.PersonStopped), "stopped_by_you"}, "the client": {byClient, "stopped_by_app"},
		"its refresh token": {over(grant.RefreshTokenRevoked), "stopped_by_app"}, "a replay": {over(grant.CodeReused), "stopped_by_bank"},
		"the operator": {over(grant.OperatorStopped), "stopped_by_bank"}, "before there was a history": {old, "stopped_by_bank"},
	} {
		if got := endingOf(test.c, now); string(got) != test.want {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// The end of a consent whose client is gone is when that went, not when its time would have been over.
func TestEndWithTheClient(t *testing.T) {
	h := newHouse(t, issuer)
	h.connectedTo("kims", "_kim")
	h.memory.consents[0].ExpiresAt = h.now.AddDate(1, 0, 0)
	h.memory.consents[0].ClientGone = &h.now
	page := h.signedIn("kim").Page.Exchange.ResponseBody
	if strings.Contains(page, h.now.AddDate(1, 0, 0).Format("2006-01-02")) || strings.Count(page, "no longer registered") != 2 {
		t.Error(page)
	}
}

// errBank is what a bank says that cannot be asked.
var errBank = errors.New("the bank cannot be asked")

// broken is a bank that cannot be asked.
type broken struct{}

func (broken) Accounts(context.Context, string) ([]person.Account, error) { return nil, errBank }

// What tells of all accounts that there are is told apart from what tells of those that were chosen, before the yes and after.
func TestOverall(t *testing.T) {
	h := newHouse(t, issuer)
	b := h.browser()
	details := fdx.Details{fdx.ConsentRequest{DurationType: fdx.Persistent, Resources: []fdx.Resource{
		{ResourceType: fdx.Account, DataClusters: []string{"ACCOUNT_BASIC", "TAX"}},
		{ResourceType: fdx.Customer, DataClusters: []string{"NOTIFICATIONS", "CUSTOMER_CONTACT"}}}}}
	scope := "fdx:accountbasic:read fdx:tax:read fdx:notifications:subscribe fdx:customercontact:read"
	yes := h.upTo(b, h.push(func(p *grant.Pushed) { p.Details, p.Scope = details, scope }), "kim", "decision")
	const ofAll = "about everything you have here"
	if page := b.Page.Exchange.ResponseBody; strings.Count(page, ofAll) != 2 || strings.Contains(page, "of everything you have here") {
		t.Errorf("%s", page) // in the list, and in what it means exactly
	}
	h.told(h.submit(b, yes))
	h.memory.consents = []grant.Consent{{Grant: h.memory.approvals[0].Grant}}
	if p := h.visit(b, issuer+"/connected"); strings.Count(p.Exchange.ResponseBody, ofAll) != 2 {
		t.Errorf("%s", p.Exchange.ResponseBody)
	}
}
