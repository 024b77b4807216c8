package main

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"authserver/internal/flow"
	"authserver/internal/jose"
	"authserver/internal/oauth"
	"authserver/internal/person/persontest"

	"github.com/google/go-cmp/cmp"
)

// TestAbroadNPM has people come from a provider that knows nothing of us, npm's oidc-provider, through one replica and
// back to the other, as themselves each time.
func TestAbroadNPM(t *testing.T) {
	t.Parallel()
	signer := newUpstreamKey(t)
	const byKey = "authserver-by-key"
	issuer := persontest.StartNPM(t, "http://localhost:8080/login/callback",
		map[string]any{"client_id": upstreamClient, "client_secret": upstreamSecret},
		map[string]any{"client_id": byKey, "token_endpoint_auth_method": "private_key_jwt", "jwks": map[string]any{"keys": []any{signer.Key()}}},
	)
	d := deploy(t, 2, comingFrom(issuer))
	d.wire.add(upstreamSecret)
	c := d.recipient(0)
	kim, sam := persontest.NewVisitor(t, "kim"), persontest.NewVisitor(t, "sam")

	hints := bends(bend("login_hint", "kim"), bend("ui_locales", "es"), bend("acr_values", "urn:example:passkey "+persontest.ACRPassword))
	first := ask(t, c, hints)
	b := first.browser()
	departed := first.depart(b)
	there, err := url.Parse(departed)
	if err != nil || there.Query().Get("ui_locales") != "es" {
		t.Errorf("%s: %v", departed, err)
	}
	b.Server = d.server(1)
	if p := visit(t, b, kim.Depart(departed).String()); p.Form("accounts") == nil || p.Heading != "Elija las cuentas" {
		t.Fatalf("%s", p)
	}
	if kim.Hint != "kim" || kim.Logins != 1 {
		t.Errorf("the provider offers %q, and has asked %d times", kim.Hint, kim.Logins)
	}
	token := first.finish(b)
	says := said(t, token)
	for name, got := range map[string]map[string]any{"the token": says, "introspection": introspected(t, d.at(c, 1), token.AccessToken)} {
		if diff := cmp.Diff([]any{persontest.ACRPassword, []any{"pwd"}}, []any{got["acr"], got["amr"]}); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}

	// through has somebody come in another browser of ours, or in one that is signed in.
	through := func(b *flow.Browser, who *persontest.Visitor, edits ...func(url.Values)) map[string]any {
		t.Helper()
		a := ask(t, c, edits...)
		a.abroad(b, func(departed string) string { return who.Depart(departed).String() })
		return said(t, a.finish(b))
	}
	if again := through(flow.NewBrowser(d.server(0)), kim); again["sub"] != says["sub"] || kim.Logins != 1 || wholeSeconds(t, again["auth_time"]) != wholeSeconds(t, says["auth_time"]) {
		t.Errorf("again: %v, after %d logins", again, kim.Logins)
	}
	if other := through(flow.NewBrowser(d.server(1)), sam); other["sub"] == says["sub"] {
		t.Errorf("both are %v", other["sub"])
	}
	for i, fresh := range []func(url.Values){bend("prompt", "login"), bend("max_age", "0"), bend("prompt", "select_account")} {
		if got := through(b, kim, fresh); got["sub"] != says["sub"] || kim.Logins != i+2 || wholeSeconds(t, got["auth_time"]) < wholeSeconds(t, says["auth_time"]) {
			t.Errorf("AZ-17: %v, after %d logins", got, kim.Logins)
		}
	}
	t.Run("with a key", func(t *testing.T) {
		d := d.within(t).alone(func(c *config) {
			c.upstream.ClientID, c.upstream.ClientSecret, c.upstream.ClientKey = byKey, "", signer
		})
		b := flow.NewBrowser(d.server(0))
		if departed := ask(t, c).depart(b); !strings.Contains(departed, "client_id="+byKey) {
			t.Errorf("without the key: %s", departed)
		}
		if got := through(b, kim); got["sub"] != says["sub"] {
			t.Errorf("by the key somebody else: %v", got)
		}
	})
	t.Run("refusals", func(t *testing.T) { npmRefuses(t, c, sam) })
}

// npmRefuses: what the provider does not give, or not for this, signs nobody in.
func npmRefuses(t *testing.T, c *flow.Client, sam *persontest.Visitor) {
	cancels := persontest.NewVisitor(t, "kim")
	cancels.Cancels = true
	for _, c := range []struct {
		a    *asking
		who  *persontest.Visitor
		want string
	}{
		{ask(t, c, bend("acr_values", "urn:example:passkey")), sam, "unmet_authentication_requirements"},
		{ask(t, c), cancels, "access_denied"},
	} {
		p := c.a.abroad(c.a.browser(), func(departed string) string { return c.who.Depart(departed).String() })
		if answer := c.a.told(p); answer.Get("error") != c.want || answer.Has("code") {
			t.Errorf("want %s, got %v", c.want, answer)
		}
	}
	// A code that was given for another departure: the verifier is not its own.
	a, other := ask(t, c), ask(t, c)
	b := a.browser()
	back, foreign := sam.Depart(a.depart(b)), sam.Depart(other.depart(other.browser()))
	query := back.Query()
	query.Set("code", foreign.Query().Get("code"))
	injected := *back
	injected.RawQuery = query.Encode()
	p := visit(t, b, injected.String())
	refusedPage(t, p, http.StatusForbidden, oauth.UpstreamRefused)
	// And again, without a session: it is sent to the provider once more.
	visit(t, b, sam.Depart(away(t, b, visit(t, b, p.Exchange.URL))).String())
	a.finish(b)
}

func newUpstreamKey(t *testing.T) *jose.Signer {
	t.Helper()
	key, err := jose.GenerateKey(jose.ES256)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := jose.NewSigner(jose.ES256, "ours", key)
	if err != nil {
		t.Fatal(err)
	}
	return signer
}
