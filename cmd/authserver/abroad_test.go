package main

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"authserver/internal/flow"
	"authserver/internal/oauth"
	"authserver/internal/person/persontest"
)

// What this server is to the OpenID providers of these tests.
const (
	upstreamClient = "authserver"
	upstreamSecret = "a secret: with % and +, long enough to be looked for"
)

// comingFrom has people sign in at a provider.
func comingFrom(issuer string) func(*settings) {
	return func(s *settings) {
		s.LoginOIDCIssuer, s.LoginOIDCClientID, s.LoginOIDCClientSecret = issuer, upstreamClient, upstreamSecret
	}
}

// abroad is a deployment of two replicas whose people come from a provider that does as it is told.
type abroad struct {
	*deployment
	t      *testing.T
	there  *persontest.Provider
	client *flow.Client
	told   []string // every secret that the provider has seen or made
}

func goAbroad(t *testing.T) *abroad {
	t.Helper()
	d := &abroad{t: t, there: persontest.NewProvider(t)}
	d.deployment = deploy(t, 2, func(s *settings) {
		s.Issuer = "https://as.bank.example"
		comingFrom(d.there.URL)(s)
	})
	d.there.Now = d.clock.now
	d.there.Tell = func(secret string) {
		d.wire.add(secret)
		d.told = append(d.told, secret)
	}
	d.client = d.recipient(0)
	return d
}

// as plays a person at the provider, whose ID token edits may bend: it takes where the browser was sent, and returns where
// it comes back to.
func (d *abroad) as(name string, edits ...func(claims map[string]any)) func(departed string) string {
	return func(departed string) string {
		d.t.Helper()
		back := d.there.Authorize(departed)
		d.there.Claims["sub"], d.there.Claims["preferred_username"] = name, name
		for _, edit := range edits {
			edit(d.there.Claims)
		}
		return d.comeBack(back)
	}
}

// says plays a provider that answers otherwise than with its code.
func (d *abroad) says(edits ...func(back url.Values)) func(departed string) string {
	return func(departed string) string {
		d.t.Helper()
		back := d.there.Authorize(departed)
		for _, edit := range edits {
			edit(back)
		}
		return d.comeBack(back)
	}
}

// comeBack is the URL of a provider's answer.
func (d *abroad) comeBack(back url.Values) string {
	return d.issuer + "/login/callback?" + back.Encode()
}

// claiming sets a claim of the ID token.
func claiming(name string, value any) func(map[string]any) {
	return func(claims map[string]any) { claims[name] = value }
}

// depart opens a request, and wants the browser to be sent to the provider.
func (a *asking) depart(b *flow.Browser) (departed string) {
	a.t.Helper()
	return away(a.t, b, visit(a.t, b, a.url()))
}

// away is where a page sends a browser that has to sign in elsewhere.
func away(t testing.TB, b *flow.Browser, p *flow.Page) (departed string) {
	t.Helper()
	if !strings.Contains(p.Location, "nonce=") || strings.HasPrefix(p.Location, b.Server.Issuer) {
		t.Fatalf("nobody is sent to the provider: %s\n%s", p, p.Exchange.ResponseBody)
	}
	return p.Location
}

// abroad has somebody sign in at the provider, and returns the page behind it.
func (a *asking) abroad(b *flow.Browser, there func(departed string) string) *flow.Page {
	a.t.Helper()
	return visit(a.t, b, there(a.depart(b)))
}

// finish plays the person from the page that is shown, which asks for no password, to the tokens.
func (a *asking) finish(b *flow.Browser) *flow.Token {
	a.t.Helper()
	if _, err := b.Answer(a.t.Context(), flow.Person{}, flow.Approve); err != nil {
		a.t.Fatalf("%v\n%s", err, b.Page.Exchange.ResponseBody)
	}
	return a.redeem(a.told(checked(a.t, b, b.Page, nil)).Get("code"))
}

// refuses wants the client to be told of a refusal, and then nothing to be left of the request.
func (d *abroad) refuses(a *asking, b *flow.Browser, p *flow.Page, want string) {
	d.t.Helper()
	if answer := a.told(p); answer.Get("error") != want || answer.Has("code") || answer.Get("error_description") == "" {
		d.t.Errorf("want %s, got %v", want, answer)
	}
	refusedPage(d.t, visit(d.t, d.tab(b, 1), a.url()), http.StatusBadRequest, oauth.RequestAnswered)
}

// said are the claims of an access token about its person.
func said(t testing.TB, token *flow.Token) map[string]any {
	t.Helper()
	decoded, err := flow.Decode(token.AccessToken)
	if err != nil {
		t.Fatal(err)
	}
	return decoded.Claims
}

// ticket is the cookie of a browser's session, or "".
func (d *abroad) ticket(b *flow.Browser) string { return d.cookies(b)["__Host-session"] }

// signedIn wants a browser to be somebody's, or, with "", nobody's.
func (d *abroad) signedIn(b *flow.Browser, subject string) {
	d.t.Helper()
	if got := d.sessionOf(d.t, d.ticket(b)); got != subject {
		d.t.Errorf("signed in as %q, want %q", got, subject)
	}
}

// ago is a time as ID tokens have them.
func (d *abroad) ago(ago time.Duration) int64 { return d.clock.now().Add(-ago).Unix() }

// proves nobody: whoever comes back like this reads an error page and is signed in as nobody, and nothing is decided.
func (d *abroad) provesNobody(b *flow.Browser, p *flow.Page, status int, reason oauth.Reason) {
	d.t.Helper()
	refusedPage(d.t, p, status, reason)
	d.signedIn(b, "")
}

// TestAbroad plays people who sign in at an OpenID provider, which may do what a good one would not.
func TestAbroad(t *testing.T) {
	t.Parallel()
	d := goAbroad(t)
	for _, play := range []struct {
		name string
		play func(d *abroad)
	}{
		{"what goes along", wishesGoAlong},
		{"AZ-17 stale logins", staleLogins},
		{"acr", upstreamACR},
		{"AZ-21 no", upstreamDenies},
		{"errors", upstreamErrs},
		{"AZ-26 answers that prove nobody", provenNobody},
		{"AZ-09 answers to somebody else", answersToOthers},
		{"two tabs", twoTabsAbroad},
		{"two requests", twoRequestsAbroad},
		{"outage", upstreamAway},
		{"disabled", disabledAbroad},
		{"somebody else", anotherPersonAbroad},
	} {
		t.Run(play.name, func(t *testing.T) {
			outer, inner := d.deployment, d.t
			defer func() { d.deployment, d.t = outer, inner }()
			d.deployment, d.t = d.deployment.within(t), t
			play.play(d)
		})
	}
	t.Run("G4 secrets", func(*testing.T) { d.keepsSecrets() })
}
