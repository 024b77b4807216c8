package main

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"authserver/internal/flow"
	"authserver/internal/oauth"

	"github.com/google/go-cmp/cmp"
)

const initialToken = "an-initial-access-token-of-43-characters-ok"

// registrarAt is the operator's registrar as a client.
func (d *deployment) registrarAt(replica int) *flow.Client {
	d.t.Helper()
	return &flow.Client{Server: d.server(replica), ID: d.registrar.ClientID, Key: d.registrar, DPoPKey: key(d.t, "ES256")}
}

// DR-02: who may register, by the gate and by what is shown at it.
func TestRegistrationGates(t *testing.T) {
	const nothing, wrong, initial, registrars, narrow, ordinary = "nothing", "a wrong token", "the initial access token",
		"a registrar", "a registrar without client.create", "an ordinary client with client.create"
	for gate, want := range map[string]map[string]string{
		"open": {nothing: "201", wrong: "401 invalid_token", initial: "201", registrars: "201",
			narrow: "403 insufficient_scope", ordinary: "403 insufficient_scope"},
		"token": {nothing: "401 invalid_token", wrong: "401 invalid_token", initial: "201", registrars: "201",
			narrow: "403 insufficient_scope", ordinary: "403 insufficient_scope"},
		"closed": {nothing: "403 access_denied", wrong: "403 access_denied", initial: "403 access_denied", registrars: "403 access_denied"},
	} {
		d := deploy(t, 1, func(s *settings) { s.Registration, s.InitialAccessToken = gate, initialToken })
		registrar := d.registrarAt(0)
		request := func(k *flow.Key) *flow.Request {
			return &flow.Request{Method: http.MethodPost, URL: d.issuer + "/fdx/v6/register",
				JSON: metadata(k, func(m map[string]any) { m["scope"] = "client.create client.read" })}
		}
		fresh := func() *flow.Request { return request(key(t, "ES256")) }
		bearer := func(r *flow.Request, token string) *flow.Request {
			return r.SetHeader("Authorization", "Bearer "+token)
		}
		attempts := map[string]*flow.Request{
			nothing: fresh(), initial: bearer(fresh(), initialToken), wrong: bearer(fresh(), initialToken+"x"),
			registrars: registrar.Present(fresh(), tokenFor(t, registrar, url.Values{"scope": {"client.create"}})),
			narrow:     registrar.Present(fresh(), tokenFor(t, registrar, url.Values{"scope": {"client.read"}})),
		}
		if gate != "closed" { // DR-21
			k := key(t, "ES256")
			c, err := registrar.Server.Register(t.Context(), bearer(request(k), initialToken), k, key(t, "ES256"))
			if err != nil {
				t.Fatal(err)
			}
			access := tokenFor(t, c, url.Values{"scope": {"client.create"}})
			attempts[ordinary] = c.Present(fresh(), access)
			own := do(t, c.Server, c.Present(&flow.Request{Method: http.MethodGet, URL: c.RegistrationURI}, access))
			outcome(t, own, "200") // it reaches its own record
		}
		for name, outcomeWanted := range want {
			t.Run("DR-02 "+gate+": "+name, func(t *testing.T) { outcome(t, do(t, registrar.Server, attempts[name]), outcomeWanted) })
		}
	}
}

// DR-02: where the operator has set no initial access token, an empty one does not open the gate.
func TestNoInitialAccessToken(t *testing.T) {
	d := deploy(t, 1, func(s *settings) { s.Registration = "token" })
	for _, value := range []string{"Bearer ", "Bearer", "Bearer \t", "bearer null"} {
		r := d.server(0).RegisterRequest(metadata(key(t, "ES256"))).SetHeader("Authorization", value)
		refusedFor(t, do(t, d.server(0), r), "401 invalid_token", oauth.RegistrationToken)
	}
}

// DR-11: another client's token opens nothing, and the answer does not tell whether there is anything to open.
func TestRegistrationIsItsClientsOwn(t *testing.T) {
	d := deploy(t, 1, nil)
	c, other, deleted := d.register(0), d.register(0), d.register(0)
	outcome(t, do(t, deleted.Server, deleted.ManageRequest(http.MethodDelete, nil)), "204")
	access, narrow := tokenFor(t, other, nil), tokenFor(t, other, url.Values{"scope": {"fdx:accountbasic:read"}})
	unknown := d.issuer + "/fdx/v6/register/" + strings.Repeat("a", 43)
	for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodDelete} {
		unfit := other.Present(&flow.Request{Method: method, URL: other.RegistrationURI, JSON: metadata(other.Key)}, narrow)
		refusedFor(t, do(t, other.Server, unfit), "403 insufficient_scope", oauth.ScopeInsufficient)
		var bodies []map[string]any
		for _, target := range []string{c.RegistrationURI, unknown, deleted.RegistrationURI, other.RegistrationURI + "x"} {
			r := other.ManageRequest(method, metadata(other.Key))
			r.URL = target
			e := do(t, c.Server, r)
			refusedFor(t, e, "401 invalid_token", oauth.RegistrationToken)
			bodies = append(bodies, e.JSON())
			own := other.Present(&flow.Request{Method: method, URL: target, JSON: metadata(other.Key)}, access)
			refusedFor(t, do(t, other.Server, own), "401 invalid_token", oauth.RegistrationToken)
			missing := do(t, c.Server, &flow.Request{Method: method, URL: target})
			if refusedFor(t, missing, "401 invalid_token", oauth.TokenMissing); strings.Contains(missing.ResponseHeader.Get("WWW-Authenticate"), "error") {
				t.Errorf("a bare request is challenged with %s", missing.ResponseHeader.Get("WWW-Authenticate"))
			}
			for _, credentials := range []string{"Bearer ", "Bearer", "Bearer  ", "Basic eDp5", "DPoP", "Bearer " + c.RegistrationToken + "x"} {
				wrong := (&flow.Request{Method: method, URL: target}).SetHeader("Authorization", credentials)
				outcome(t, do(t, c.Server, wrong), "401 invalid_token")
			}
		}
		for _, body := range bodies[1:] {
			if diff := cmp.Diff(bodies[0], body); diff != "" {
				t.Errorf("%s: %s", method, diff)
			}
		}
	}
	for _, untouched := range []*flow.Client{c, other} {
		outcome(t, do(t, c.Server, untouched.ManageRequest(http.MethodGet, nil)), "200")
	}
}

// DR-10, DR-12, DR-13: an update is judged as a registration, and replaces the whole record.
func TestUpdates(t *testing.T) {
	d := deploy(t, 1, nil)
	c := d.register(0, func(m map[string]any) {
		m["client_uri"], m["contacts"] = "https://client.example", []string{"a@client.example"}
	})
	for name, edit := range map[string]func(map[string]any){
		"DR-10 another client_id":     func(m map[string]any) { m["client_id"] = "another" },
		"a registration access token": func(m map[string]any) { m["registration_access_token"] = c.RegistrationToken },
		"a client secret":             func(m map[string]any) { m["client_secret"] = "x" },
		"when it was issued":          func(m map[string]any) { m["client_id_issued_at"] = 1 },
		"DR-13 an unknown scope":      func(m map[string]any) { m["scope"] = "root" },
		"DR-13 a grant type":          func(m map[string]any) { m["grant_types"] = []string{"password"} },
		"DR-13 a key set of ours":     func(m map[string]any) { delete(m, "jwks"); m["jwks_uri"] = d.issuer + "/oauth2/jwks" },
		"DR-13 a key set by http":     func(m map[string]any) { delete(m, "jwks"); m["jwks_uri"] = "http://192.0.2.1/jwks" },
		"DR-07 no authentication":     func(m map[string]any) { m["token_endpoint_auth_method"] = "none" },
		"DR-08 RS256":                 func(m map[string]any) { m["token_endpoint_auth_signing_alg"] = "RS256" },
	} {
		t.Run(name, func(t *testing.T) {
			outcome(t, do(t, c.Server, c.ManageRequest(http.MethodPut, metadata(c.Key, edit))), "400 invalid_client_metadata")
		})
	}
	before := do(t, c.Server, c.ManageRequest(http.MethodGet, nil)).JSON()
	if before["client_uri"] != "https://client.example" {
		t.Errorf("a refused update changed the record: %v", before)
	}
	changed := do(t, c.Server, c.ManageRequest(http.MethodPut, metadata(c.Key, func(m map[string]any) { m["client_id"] = c.ID })))
	if outcome(t, changed, "200"); changed.JSON()["client_uri"] != nil || changed.JSON()["contacts"] != nil {
		t.Errorf("DR-12: %s", changed.ResponseBody)
	}
	if diff := cmp.Diff(changed.JSON(), do(t, c.Server, c.ManageRequest(http.MethodGet, nil)).JSON()); diff != "" {
		t.Error(diff)
	}
}

// DR-20: updates race with a deletion; nothing fails, and what was deleted stays so.
func TestUpdatesRaceWithDeletion(t *testing.T) {
	d := deploy(t, 2, nil)
	clients := d.everywhere(d.register(0))
	access := tokenFor(t, clients[0], nil)
	start := make(chan struct{})
	answers := make([]*flow.Exchange, 21)
	var running sync.WaitGroup
	for i := range answers {
		c := clients[i%2]
		r := c.ManageRequest(http.MethodPut, metadata(c.Key))
		if i == 10 {
			r = c.ManageRequest(http.MethodDelete, nil)
		}
		running.Go(func() {
			<-start
			answers[i], _ = c.Server.Send(t.Context(), r)
		})
	}
	close(start)
	running.Wait()
	for i, e := range answers {
		if e == nil {
			t.Fatal("no answer")
		}
		checkAnswer(t, e)
		if i == 10 {
			outcome(t, e, "204")
		} else {
			outcome(t, e, "200", "401 invalid_token")
		}
	}
	for _, c := range clients {
		outcome(t, do(t, c.Server, c.ManageRequest(http.MethodGet, nil)), "401 invalid_token")
		refusedFor(t, do(t, c.Server, c.TokenRequest(nil)), "401 invalid_client", oauth.ClientNotProven)
		resource := c.Present(&flow.Request{Method: http.MethodGet, URL: d.issuer + "/demo/accounts"}, access)
		refusedFor(t, do(t, c.Server, resource), "401 invalid_token", oauth.TokenRevoked)
	}
}

// untilLimited sends the same kind of request until it is one too many: never within the limit, and soon after it. The
// limit counts by the minute, and a minute may end in between.
func untilLimited(t *testing.T, limit int, send func() *flow.Exchange) {
	t.Helper()
	for i := range limit + 4 {
		e := send()
		if e.Status != http.StatusTooManyRequests {
			continue
		}
		if refusedFor(t, e, "429 temporarily_unavailable", oauth.RateLimited); e.ResponseHeader.Get("Retry-After") == "" || i < limit {
			t.Errorf("request %d: Retry-After %q", i+1, e.ResponseHeader.Get("Retry-After"))
		}
		return
	}
	t.Errorf("more than %d requests were answered", limit)
}

// DR-16, IN-06: what can be asked at will is counted, by the real peer and by the client, and only where it was set.
func TestLimits(t *testing.T) {
	d := deploy(t, 1, func(s *settings) { s.RegistrationLimit, s.IntrospectionLimit = "6", "3" })
	c, other := d.register(0), d.register(0)
	access := tokenFor(t, c, nil)
	t.Run("IN-06", func(t *testing.T) {
		untilLimited(t, 3, func() *flow.Exchange { return do(t, c.Server, c.IntrospectRequest("unknown")) })
		if e := do(t, c.Server, c.IntrospectRequest(access)); e.JSON()["active"] != true {
			t.Errorf("an answer that is no oracle counts: %s", e.ResponseBody)
		}
		outcome(t, do(t, other.Server, other.IntrospectRequest("unknown")), "200")
	})
	t.Run("DR-16", func(t *testing.T) {
		forwarded := 0
		untilLimited(t, 4, func() *flow.Exchange { // two of the six were registered before
			forwarded++
			address := fmt.Sprint("192.0.2.", forwarded)
			r := c.Server.RegisterRequest(metadata(key(t, "ES256"))).SetHeader("X-Forwarded-For", address)
			return do(t, c.Server, r.SetHeader("X-Real-IP", address).SetHeader("Forwarded", "for="+address))
		})
		outcome(t, do(t, c.Server, c.ManageRequest(http.MethodGet, nil)), "200")
		outcome(t, do(t, c.Server, c.TokenRequest(nil)), "200")
	})
}

// TestRefusedMetadataBurnsNothing: a body that is refused uses up neither the registrar's proof nor that of a client that
// manages itself: the next request may bear the same one, once.
func TestRefusedMetadataBurnsNothing(t *testing.T) {
	d := deploy(t, 2, nil)
	registrar, c := d.registrarAt(0), d.register(0)
	bad := map[string]any{"redirect_uris": "no list"}
	for name, test := range map[string]struct {
		presenter         *flow.Client
		method, url, done string
		scope             string
	}{
		"POST by a registrar":      {registrar, http.MethodPost, registrar.Server.Metadata.RegistrationEndpoint, "201", "client.create"},
		"PUT by the client itself": {c, http.MethodPut, c.RegistrationURI, "200", "client.read"},
	} {
		t.Run(name, func(t *testing.T) {
			token := tokenFor(t, test.presenter, url.Values{"scope": {test.scope}})
			proof := compact(t, test.presenter.Proof(test.method, test.url, flow.ForToken(token)))
			send := func(body map[string]any, want string) {
				t.Helper()
				r := &flow.Request{Method: test.method, URL: test.url, JSON: body, Proof: flow.Literal(proof)}
				outcome(t, do(t, test.presenter.Server, r.SetHeader("Authorization", "DPoP "+token)), want)
			}
			send(bad, "400 invalid_client_metadata")
			send(bad, "400 invalid_client_metadata")
			send(metadata(c.Key), test.done)
			send(metadata(c.Key), "401 invalid_dpop_proof")
		})
	}
}
