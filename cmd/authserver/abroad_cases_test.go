package main

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"authserver/internal/flow"
	"authserver/internal/oauth"

	"github.com/google/go-cmp/cmp"
)

// wishesGoAlong: what a client asks of the login is asked of the provider, and nothing else that it says.
func wishesGoAlong(d *abroad) {
	always := url.Values{"response_type": {"code"}, "client_id": {upstreamClient}, "redirect_uri": {d.issuer + "/login/callback"}, "scope": {"openid"},
		"code_challenge_method": {"S256"}, "tenant": {"1"}}
	for _, c := range []struct {
		asked func(url.Values)
		want  url.Values
	}{
		{bends(), nil},
		{bend("prompt", "login"), url.Values{"prompt": {"login"}, "max_age": {"0"}}},
		{bend("prompt", "select_account"), url.Values{"prompt": {"login"}, "max_age": {"0"}}},
		{bend("prompt", "consent"), url.Values{"prompt": {"consent"}}},
		{bend("max_age", "0"), url.Values{"max_age": {"0"}}},
		{bends(bend("prompt", "login"), bend("max_age", "300")), url.Values{"prompt": {"login"}, "max_age": {"300"}}},
		{bend("acr_values", "urn:example:passkey urn:example:password"), url.Values{"acr_values": {"urn:example:passkey urn:example:password"}}},
		{bends(bend("login_hint", "kim&prompt=none"), bend("ui_locales", "es fr")), url.Values{"login_hint": {"kim&prompt=none"}, "ui_locales": {"es fr"}}},
	} {
		a := ask(d.t, d.client, c.asked)
		departed, err := url.Parse(a.depart(a.browser()))
		if err != nil {
			d.t.Fatal(err)
		}
		got := departed.Query()
		for _, name := range []string{"state", "nonce", "code_challenge"} {
			if len(got.Get(name)) < 43 || got.Get(name) == a.params.Get(name) {
				d.t.Errorf("%s is %q", name, got[name])
			}
			delete(got, name)
		}
		want := url.Values{}
		for _, part := range []url.Values{always, c.want} {
			for name, values := range part {
				want[name] = values
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			d.t.Errorf("%v (-want +got):\n%s", a.params, diff)
		}
	}
}

// staleLogins: AZ-17. A fresh login is wanted: one from before does not do, nor one that does not say when it was; the
// person may try again. So it is when somebody is signed in here.
func staleLogins(d *abroad) {
	at := func(ago time.Duration) func(map[string]any) { return claiming("auth_time", d.ago(ago)) }
	known := flow.NewBrowser(d.server(1))
	first := ask(d.t, d.client)
	first.abroad(known, d.as("kim", at(time.Hour)))
	kim := said(d.t, first.finish(known))
	for _, asked := range []func(url.Values){bend("prompt", "login"), bend("max_age", "0"), bend("prompt", "select_account"), bend("max_age", "300")} {
		d.clock.advance(6 * time.Minute) // the session is too old for each of them
		for name, b := range map[string]*flow.Browser{"nobody is signed in": flow.NewBrowser(d.server(1)), "somebody is": d.tab(known, 1)} {
			a, before := ask(d.t, d.client, asked), d.ticket(b)
			for _, stale := range []func(string) string{d.as("kim", at(time.Hour)), d.as("kim"), d.as("sam", at(6*time.Minute))} {
				refusedPage(d.t, a.abroad(b, stale), http.StatusForbidden, oauth.UpstreamRefused)
				if d.ticket(b) != before {
					d.t.Errorf("%s, and a stale login has begun a session", name)
				}
			}
			// Whether a fresh login was asked for stands in the state, and cannot be changed there.
			away(d.t, b, a.abroad(b, d.says(func(back url.Values) {
				state, fresh := strings.CutSuffix(back.Get("state"), ".fresh")
				if !fresh {
					state += ".fresh"
				}
				back.Set("state", state)
			})))
			now := d.ago(0)
			a.abroad(b, d.as("kim", at(0)))
			got := said(d.t, a.finish(b))
			if wholeSeconds(d.t, got["auth_time"]) < now || got["sub"] != kim["sub"] || d.ticket(b) == before {
				d.t.Errorf("%s: a fresh login at %d gave %v", name, now, got)
			}
		}
	}
	recent := ask(d.t, d.client, bend("max_age", "300"))
	b := recent.browser()
	authenticated := d.ago(4 * time.Minute)
	recent.abroad(b, d.as("kim", claiming("auth_time", authenticated)))
	if got := said(d.t, recent.finish(b)); wholeSeconds(d.t, got["auth_time"]) != authenticated {
		d.t.Errorf("recent enough, and told as %v, not %d", got["auth_time"], authenticated)
	}
}

// upstreamACR: what the provider says of the login is in the token and at introspection, and claimed nowhere above that. An
// acr that was not asked for is the client's to know.
func upstreamACR(d *abroad) {
	const passkey, password = "urn:example:passkey", "urn:example:password"
	strong := []func(map[string]any){claiming("acr", passkey), claiming("amr", []string{"hwk", "pin"})}
	a := ask(d.t, d.client, bend("acr_values", password+" "+passkey))
	b := a.browser()
	a.abroad(b, d.as("kim", strong...))
	token := a.finish(b)
	for name, got := range map[string]map[string]any{
		"the token": said(d.t, token), "introspection": introspected(d.t, d.at(d.client, 1), token.AccessToken),
	} {
		if diff := cmp.Diff([]any{passkey, []any{"hwk", "pin"}}, []any{got["acr"], got["amr"]}); diff != "" {
			d.t.Errorf("%s: %s", name, diff)
		}
	}
	silent := ask(d.t, d.client)
	nobody := silent.browser()
	silent.abroad(nobody, d.as("kim"))
	if got := said(d.t, silent.finish(nobody)); got["acr"] != nil || got["amr"] != nil {
		d.t.Errorf("the provider said nothing, and the token says %v", got)
	}
	for name, there := range map[string]func(string) string{
		"another": d.as("kim", claiming("acr", password)), "none": d.as("kim"), "a longer one": d.as("kim", claiming("acr", passkey+"2")),
		"their own error": d.says(bend("code"), bend("error", "unmet_authentication_requirements")),
	} {
		weak := ask(d.t, d.client, bend("acr_values", passkey))
		fresh := weak.browser()
		d.refuses(weak, fresh, weak.abroad(fresh, there), "unmet_authentication_requirements")
		if d.signedIn(fresh, ""); d.t.Failed() {
			d.t.Fatalf("%s", name)
		}
	}
	// A session that is too weak is not good enough, and does not stand in the way of a login that is.
	raised := ask(d.t, d.client, bend("acr_values", passkey))
	raised.abroad(nobody, d.as("kim", append(strong, claiming("auth_time", d.ago(0)))...))
	if got := said(d.t, raised.finish(nobody)); got["acr"] != passkey {
		d.t.Errorf("the second login is told as %v", got)
	}
}

func upstreamDenies(d *abroad) {
	a := ask(d.t, d.client)
	b, trail := a.browser(), len(d.audited())
	p := a.abroad(b, d.says(bend("code"), bend("error", "access_denied"), bend("error_description", "not today")))
	d.refuses(a, b, p, "access_denied")
	if d.signedIn(b, ""); strings.Contains(p.Location, "today") {
		d.t.Errorf("the provider's words reach the client: %s", p.Location)
	}
	d.refusedSignIns(trail, 0)
}

// refusedSignIns wants so many records of people who were not let in, behind the first n records.
func (d *abroad) refusedSignIns(n, want int) {
	d.t.Helper()
	got := 0
	for _, r := range d.audited()[n:] {
		if r.Event == "person.signed_in" && r.Outcome == "denied" && r.Actor == "person" && r.ClientID != "" {
			got++
		}
	}
	if got != want {
		d.t.Errorf("%d refused sign-ins are audited, want %d", got, want)
	}
}

// upstreamErrs: whatever else goes wrong there is told here, and the person may try again.
func upstreamErrs(d *abroad) {
	a := ask(d.t, d.client)
	b, trail := a.browser(), len(d.audited())
	codes := []string{"server_error", "temporarily_unavailable", "invalid_request", "login_required", "consent_required", "", "<script>"}
	for _, code := range codes {
		p := a.abroad(b, d.says(bend("code"), bend("error", code), bend("error_description", "their words")))
		d.provesNobody(b, p, http.StatusForbidden, oauth.UpstreamRefused)
		if strings.Contains(p.Exchange.ResponseBody, "their words") || strings.Contains(p.Exchange.ResponseBody, "<script>") {
			d.t.Error("the page repeats the provider's words")
		}
		if code == "" { // which is no answer, and has used nothing up
			d.provesNobody(b, visit(d.t, b, p.Exchange.URL), http.StatusForbidden, oauth.UpstreamRefused)
			continue
		}
		// A reload of the page goes to the provider again: what it says now was not asked for.
		away(d.t, b, visit(d.t, b, p.Exchange.URL))
	}
	d.refusedSignIns(trail, len(codes)+1)
	a.abroad(b, d.as("kim"))
	a.finish(b)
}
