package main

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"authserver/internal/flow"
	"authserver/internal/oauth"
)

// registrationGates: who may register, by the operator's gate and by what is shown at it.
func registrationGates(t *testing.T, _ *deployment) {
	const initial = "an-initial-access-token-of-43-characters-ok"
	credentials := map[string][]string{
		"nothing": nil, "the initial access token": {"Bearer " + initial}, "its scheme in capitals": {"BEARER " + initial}, "one character more": {"Bearer " + initial + "x"},
		"one character less": {"Bearer " + initial[:len(initial)-1]}, "other capitals": {"Bearer " + strings.ToUpper(initial)}, "an empty one": {"Bearer "},
		"no token": {"Bearer"}, "Basic": {"Basic " + initial}, "the token alone": {initial}, "DPoP": {"DPoP " + initial}, "the token twice": {"Bearer " + initial, "Bearer " + initial},
	}
	for gate, otherwise := range map[string]string{"open": "401 invalid_token", "token": "401 invalid_token", "closed": "403 access_denied"} {
		d := deploy(t, 1, func(s *settings) { s.Registration, s.InitialAccessToken = gate, initial })
		s, before := d.server(0), d.clientRows(t)
		fresh := func() *flow.Request { // a closed gate is not in the metadata
			return &flow.Request{Method: http.MethodPost, URL: d.issuer + "/fdx/v6/register", JSON: metadata(key(t, "ES256"))}
		}
		want := map[string]string{"the initial access token": "201", "its scheme in capitals": "201", "the token twice": "400 invalid_request"}
		if gate == "open" {
			want["nothing"] = "201"
		}
		if gate == "closed" {
			want = nil
		}
		stored := 0
		for name, values := range credentials {
			r := fresh()
			r.Header = http.Header{"Authorization": values}
			e := do(t, s, r)
			if e.Outcome() != or(want[name], otherwise) {
				t.Errorf("%s, %s: %s", gate, name, e.Outcome())
			}
			if e.Status == http.StatusCreated {
				stored++
			}
		}
		registrar := d.registrarOf(0)
		for scope, outcomeWanted := range map[string]string{"client.create": "201", "client.read": "403 insufficient_scope"} {
			r := registrar.Present(fresh(), tokenFor(t, registrar, url.Values{"scope": {scope}}))
			if gate == "closed" {
				outcomeWanted = otherwise
			}
			e := do(t, registrar.Server, r)
			if outcome(t, e, outcomeWanted); e.Status == http.StatusCreated {
				stored++
			}
		}
		if n := d.clientRows(t) - before; n != stored {
			t.Errorf("%s: %d clients are stored, %d were registered", gate, n, stored)
		}
	}
}

// registrationAtWill counts by the real peer, whatever headers a client forges, before anything is read or stored.
func registrationAtWill(t *testing.T, _ *deployment) {
	const limit = 20
	d := deploy(t, 1, func(s *settings) { s.RegistrationLimit = "20" })
	s, k, before := d.server(0), key(t, "ES256"), d.clientRows(t)
	counts := map[string]int{}
	for i := range 200 {
		address := fmt.Sprintf("192.0.2.%d", i)
		r := s.RegisterRequest(metadata(k)).SetHeader("X-Forwarded-For", address+", 198.51.100.1").SetHeader("X-Real-IP", address)
		e := do(t, s, r.SetHeader("Forwarded", "for="+address).SetHeader("True-Client-IP", address).SetHeader("CF-Connecting-IP", address))
		if counts[e.Outcome()]++; e.Status == http.StatusTooManyRequests && e.ResponseHeader.Get("Retry-After") == "" {
			t.Fatal("no Retry-After")
		}
	}
	// A few more may pass where the minutes of the sliding window meet.
	if n := counts["201"]; n < limit || n > limit+limit/5 || n+counts["429 temporarily_unavailable"] != 200 || d.clientRows(t) != before+n {
		t.Errorf("%d a minute are allowed: %v, %d stored", limit, counts, d.clientRows(t)-before)
	}
	registrar := d.registrarOf(0)
	d.expect(registrar, registrar.TokenRequest(nil), "200") // only registration is limited
}

// selfMadeRegistrars: the scopes of registration reach the client's own record, unless the operator says more.
func selfMadeRegistrars(t *testing.T, d *deployment) {
	c := d.register(0, changes{"scope": "client.create client.read", "registrar": true}.apply)
	victim, before := d.register(0), 0
	access := tokenFor(t, c, url.Values{"scope": {"client.create"}})
	before = d.clientRows(t)
	for i := range 3 {
		by := d.at(c, i)
		e := do(t, by.Server, by.Present(by.Server.RegisterRequest(metadata(key(t, "ES256"))), access))
		refusedFor(t, e, "403 insufficient_scope", oauth.NotARegistrar)
		for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodDelete} {
			r := by.Present(&flow.Request{Method: method, URL: victim.RegistrationURI, JSON: metadata(c.Key)}, access)
			refusedFor(t, do(t, by.Server, r), "401 invalid_token", oauth.RegistrationToken)
		}
		d.expect(by, by.Present(&flow.Request{Method: http.MethodGet, URL: c.RegistrationURI}, access), "200")
	}
	narrow := tokenFor(t, victim, url.Values{"scope": {"fdx:accountbasic:read"}})
	d.expect(victim, victim.Present(&flow.Request{Method: http.MethodGet, URL: victim.RegistrationURI}, narrow), "403 insufficient_scope")
	if n := d.clientRows(t); n != before {
		t.Errorf("%d clients are registered", n-before)
	}
	d.expect(victim, victim.TokenRequest(nil), "200")
	registrar := d.registrarOf(1) // the control
	good := registrar.Present(registrar.Server.RegisterRequest(metadata(key(t, "ES256"))), tokenFor(t, registrar, url.Values{"scope": {"client.create"}}))
	d.expect(registrar, good, "201")
}
