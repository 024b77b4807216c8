package main

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"authserver/internal/flow"
	"authserver/internal/oauth"

	"github.com/google/go-cmp/cmp"
)

// atOnce sends n requests at the same moment and counts the answers.
func atOnce(t *testing.T, n int, request func(i int) (*flow.Server, *flow.Request)) map[string]int {
	t.Helper()
	counts := map[string]int{}
	for _, e := range together(t, n, request) {
		counts[e.Outcome()]++
	}
	return counts
}

// together sends n requests at the same moment.
func together(t *testing.T, n int, request func(i int) (*flow.Server, *flow.Request)) []*flow.Exchange {
	t.Helper()
	exchanges, errs := make([]*flow.Exchange, n), make([]error, n)
	start := make(chan struct{})
	var running sync.WaitGroup
	for i := range n {
		s, r := request(i)
		running.Go(func() {
			<-start
			exchanges[i], errs[i] = s.Send(t.Context(), r)
		})
	}
	close(start)
	running.Wait()
	for i, e := range exchanges {
		if errs[i] != nil {
			t.Fatal(errs[i])
		}
		checkAnswer(t, e)
	}
	return exchanges
}

// everywhere is a client at every replica, which knows the server's nonce there.
func (d *deployment) everywhere(c *flow.Client) []*flow.Client {
	d.t.Helper()
	var all []*flow.Client
	for i := range d.replicas {
		moved := d.at(c, i)
		outcome(d.t, do(d.t, moved.Server, moved.TokenRequest(nil)), "200")
		all = append(all, moved)
	}
	return all
}

// tokenFor fetches a token that works.
func tokenFor(t testing.TB, c *flow.Client, form url.Values) string {
	t.Helper()
	token, err := c.Token(t.Context(), form)
	if err != nil {
		t.Fatal(err)
	}
	return token.AccessToken
}

func TestReplicasSpendOnce(t *testing.T) {
	t.Parallel()
	d := deploy(t, 3, nil)
	clients := d.everywhere(d.register(0))
	const n = 50
	t.Run("CA-29 one assertion, fifty proofs", func(t *testing.T) {
		assertion := compact(t, clients[0].Assertion())
		got := atOnce(t, n, func(i int) (*flow.Server, *flow.Request) {
			c := clients[i%len(clients)]
			r := c.TokenRequest(nil)
			r.Assertion = flow.Literal(assertion)
			return c.Server, r
		})
		if diff := cmp.Diff(map[string]int{"200": 1, "401 invalid_client": n - 1}, got); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("DP-24 one proof, fifty assertions", func(t *testing.T) {
		proof := compact(t, clients[0].Proof(http.MethodPost, d.issuer+"/oauth2/token"))
		got := atOnce(t, n, func(i int) (*flow.Server, *flow.Request) {
			c := clients[i%len(clients)]
			r := c.TokenRequest(nil)
			r.Proof = flow.Literal(proof)
			return c.Server, r
		})
		if diff := cmp.Diff(map[string]int{"200": 1, "400 invalid_dpop_proof": n - 1}, got); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("DP-24 one proof for a resource, fifty times", func(t *testing.T) {
		c := clients[0]
		target := d.issuer + "/demo/accounts"
		access := tokenFor(t, c, nil)
		proof := compact(t, c.Proof(http.MethodGet, target, flow.ForToken(access)))
		got := atOnce(t, n, func(i int) (*flow.Server, *flow.Request) {
			r := &flow.Request{Method: http.MethodGet, URL: target, Proof: flow.Literal(proof)}
			return clients[i%len(clients)].Server, r.SetHeader("Authorization", "DPoP "+access)
		})
		if diff := cmp.Diff(map[string]int{"200": 1, "401 invalid_dpop_proof": n - 1}, got); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("fifty good requests all succeed", func(t *testing.T) {
		got := atOnce(t, n, func(i int) (*flow.Server, *flow.Request) {
			c := clients[i%len(clients)]
			return c.Server, c.TokenRequest(nil)
		})
		if diff := cmp.Diff(map[string]int{"200": n}, got); diff != "" {
			t.Error(diff)
		}
	})
}

func TestReplicasRemember(t *testing.T) {
	t.Parallel()
	d := deploy(t, 2, nil)
	c := d.register(0)
	clients := d.everywhere(c)
	used := do(t, clients[0].Server, clients[0].TokenRequest(nil))
	assertion, proof := used.Form().Get("client_assertion"), used.RequestHeader.Get("DPoP")
	replayed := func(c *flow.Client) {
		t.Helper()
		r := c.TokenRequest(nil)
		r.Assertion = flow.Literal(assertion)
		refusedFor(t, do(t, c.Server, r), "401 invalid_client", oauth.AssertionReplayed)
		r = c.TokenRequest(nil)
		r.Proof = flow.Literal(proof)
		refusedFor(t, do(t, c.Server, r), "400 invalid_dpop_proof", oauth.ProofReplayed)
	}
	t.Run("CA-27 at the same replica", func(*testing.T) { replayed(clients[0]) })
	t.Run("CA-28 at another replica", func(*testing.T) { replayed(clients[1]) })
	t.Run("CA-28 the other endpoints share it", func(t *testing.T) {
		for _, r := range []*flow.Request{clients[1].IntrospectRequest("a"), clients[1].RevokeRequest("a")} {
			r.Assertion = flow.Literal(assertion)
			refusedFor(t, do(t, clients[1].Server, r), "401 invalid_client", oauth.AssertionReplayed)
		}
	})
	t.Run("DP-32 a nonce of one replica at another", func(t *testing.T) {
		nonce := used.ResponseHeader.Get("DPoP-Nonce")
		fresh := d.at(c, 1)
		r := fresh.TokenRequest(nil)
		r.Proof = fresh.Proof(r.Method, r.URL, flow.SetClaim("nonce", nonce))
		e, err := fresh.Server.Send(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		outcome(t, e, "200")
	})
	t.Run("CA-31 another client uses the same jti", func(t *testing.T) {
		other := d.register(1)
		decoded, err := flow.Decode(assertion)
		if err != nil {
			t.Fatal(err)
		}
		r := other.TokenRequest(nil)
		r.Assertion = other.Assertion(flow.SetClaim("jti", decoded.Claims["jti"]))
		outcome(t, do(t, other.Server, r), "200")
	})
	t.Run("CA-30 after every replica was restarted", func(*testing.T) {
		nonce := used.ResponseHeader.Get("DPoP-Nonce")
		d.restart()
		replayed(d.at(c, 0))
		replayed(d.at(c, 1))
		fresh := d.at(c, 1) // DP-33: a nonce from before the restart
		r := fresh.TokenRequest(nil)
		r.Proof = fresh.Proof(r.Method, r.URL, flow.SetClaim("nonce", nonce))
		e, err := fresh.Server.Send(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		outcome(t, e, "200")
	})
}

// What changes at one replica holds at another at once, although that has the client's record in memory.
func TestReplicasJudgeByTheNewRecord(t *testing.T) {
	t.Parallel()
	d := deploy(t, 2, nil)
	change := func(c *flow.Client, edits ...func(map[string]any)) {
		t.Helper()
		outcome(t, do(t, c.Server, c.ManageRequest(http.MethodPut, metadata(c.Key, edits...))), "200")
	}
	scope := func(s string) func(map[string]any) { return func(m map[string]any) { m["scope"] = s } }
	ask := func(c *flow.Client, scope string) *flow.Exchange {
		t.Helper()
		return do(t, c.Server, c.TokenRequest(url.Values{"scope": {scope}}))
	}
	t.Run("a scope is removed", func(t *testing.T) {
		clients := d.everywhere(d.register(0))
		change(clients[0], scope("client.read"))
		refusedFor(t, ask(clients[1], "fdx:accountbasic:read"), "400 invalid_scope", oauth.ScopeNotRegistered)
		outcome(t, ask(clients[1], "client.read"), "200")
	})
	t.Run("a scope is added", func(t *testing.T) {
		clients := d.everywhere(d.register(0, scope("client.read")))
		change(clients[0], scope("client.read fdx:tax:read"))
		outcome(t, ask(clients[1], "fdx:tax:read"), "200")
	})
	t.Run("the grant type is removed and added", func(t *testing.T) {
		clients := d.everywhere(d.register(0))
		code := func(m map[string]any) {
			m["grant_types"], m["response_types"], m["redirect_uris"] = []string{"authorization_code"}, []string{"code"}, []string{"https://client.example/cb"}
		}
		change(clients[0], code)
		refusedFor(t, ask(clients[1], "client.read"), "400 unauthorized_client", oauth.GrantTypeNotRegistered)
		change(clients[0])
		outcome(t, ask(clients[1], "client.read"), "200")
	})
	t.Run("the key is swapped", func(t *testing.T) {
		clients := d.everywhere(d.register(0))
		old, swapped := clients[1], *clients[1]
		swapped.Key = key(t, "ES256")
		outcome(t, do(t, old.Server, clients[0].ManageRequest(http.MethodPut, metadata(swapped.Key))), "200")
		outcome(t, ask(&swapped, "client.read"), "200")
		refusedFor(t, ask(old, "client.read"), "401 invalid_client", oauth.ClientNotProven)

		again := d.everywhere(&swapped)
		change(clients[0]) // back to the first key
		refusedFor(t, ask(again[1], "client.read"), "401 invalid_client", oauth.ClientNotProven)
		outcome(t, ask(old, "client.read"), "200")
	})
	t.Run("the registered alg changes", func(t *testing.T) {
		clients := d.everywhere(d.register(0))
		rsa := key(t, "PS256")
		both := func(m map[string]any) {
			m["jwks"] = map[string]any{"keys": []flow.JWK{clients[0].Key.PublicJWK(), rsa.PublicJWK()}}
			m["token_endpoint_auth_signing_alg"] = "PS256"
		}
		change(clients[0], both)
		refusedFor(t, ask(clients[1], "client.read"), "401 invalid_client", oauth.ClientNotProven)
		moved := *clients[1]
		moved.Key = rsa
		outcome(t, ask(&moved, "client.read"), "200")
	})
}

func TestReplicasEndTokens(t *testing.T) {
	t.Parallel()
	d := deploy(t, 2, nil)
	state := func(c *flow.Client, access string) map[string]any {
		t.Helper()
		e := do(t, c.Server, c.IntrospectRequest(access))
		outcome(t, e, "200")
		return e.JSON()
	}
	inactive := map[string]any{"active": false}
	rs := &flow.Client{Server: d.server(1), ID: d.resourceServer.ClientID, Key: d.resourceServer}
	call := func(c *flow.Client, access string) *flow.Exchange {
		t.Helper()
		return do(t, c.Server, c.Present(&flow.Request{Method: http.MethodGet, URL: d.issuer + "/demo/accounts"}, access))
	}
	t.Run("a token revoked at one is inactive at the other", func(t *testing.T) {
		clients := d.everywhere(d.register(0))
		revoked, other := tokenFor(t, clients[0], nil), tokenFor(t, clients[0], nil)
		if state(clients[1], revoked)["active"] != true || state(rs, revoked)["active"] != true {
			t.Fatal("not active before")
		}
		outcome(t, do(t, clients[0].Server, clients[0].RevokeRequest(revoked)), "200")
		if diff := cmp.Diff(inactive, state(clients[1], revoked)); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff(inactive, state(rs, revoked)); diff != "" {
			t.Error(diff)
		}
		refusedFor(t, call(clients[1], revoked), "401 invalid_token", oauth.TokenRevoked)
		if state(clients[1], other)["active"] != true {
			t.Error("revoking one token ended another")
		}
		outcome(t, call(clients[1], other), "200")
	})
	t.Run("DR-14 a client deleted at one is gone at the other", func(t *testing.T) {
		clients := d.everywhere(d.register(0))
		access := tokenFor(t, clients[1], nil)
		outcome(t, call(clients[1], access), "200")
		outcome(t, do(t, clients[0].Server, clients[0].ManageRequest(http.MethodDelete, nil)), "204")
		if diff := cmp.Diff(inactive, state(rs, access)); diff != "" {
			t.Error(diff)
		}
		refusedFor(t, call(clients[1], access), "401 invalid_token", oauth.TokenRevoked)
		for name, r := range map[string]*flow.Request{"token": clients[1].TokenRequest(nil), "introspect": clients[1].IntrospectRequest(access), "revoke": clients[1].RevokeRequest(access)} {
			e := do(t, clients[1].Server, r)
			if refusedFor(t, e, "401 invalid_client", oauth.ClientNotProven); strings.Contains(e.ErrorDescription(), "deleted") {
				t.Errorf("%s tells why: %s", name, e.ErrorDescription())
			}
		}
		for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodDelete} {
			refusedFor(t, do(t, clients[1].Server, clients[1].ManageRequest(method, metadata(clients[1].Key))), "401 invalid_token", oauth.RegistrationToken)
		}
	})
}

// A refused request uses nothing up: what it bore still works.
func TestRefusedRequestsBurnNothing(t *testing.T) {
	t.Parallel()
	d := deploy(t, 2, nil)
	clients := d.everywhere(d.register(0))
	c := clients[1]
	refusals := map[string]struct {
		bend func(r *flow.Request)
		want string
	}{
		"DP-28 no nonce":                {func(r *flow.Request) { r.Proof = c.Proof(r.Method, r.URL, flow.DropClaim("nonce")) }, "400 use_dpop_nonce"},
		"DP-30 a foreign nonce":         {func(r *flow.Request) { r.Proof = c.Proof(r.Method, r.URL, flow.SetClaim("nonce", "5e897251")) }, "400 use_dpop_nonce"},
		"no proof":                      {func(r *flow.Request) { r.Proof = nil }, "400 invalid_request"},
		"a bad proof":                   {func(r *flow.Request) { r.Proof = c.Proof(http.MethodGet, r.URL) }, "400 invalid_dpop_proof"},
		"a scope it does not have":      {func(r *flow.Request) { r.Form.Set("scope", "fdx:tax:read") }, "400 invalid_scope"},
		"a grant type not offered":      {func(r *flow.Request) { r.Form.Set("grant_type", "password") }, "400 unsupported_grant_type"},
		"Basic beside the assertion":    {func(r *flow.Request) { r.SetHeader("Authorization", "Basic YTpi") }, "400 invalid_request"},
		"a secret beside the assertion": {func(r *flow.Request) { r.Form.Set("client_secret", "x") }, "400 invalid_request"},
		"another client_id":             {func(r *flow.Request) { r.Form.Set("client_id", "other") }, "401 invalid_client"},
	}
	for name, refusal := range refusals {
		t.Run(name, func(t *testing.T) {
			assertion := compact(t, c.Assertion())
			proof := compact(t, c.Proof(http.MethodPost, d.issuer+"/oauth2/token"))
			bent := c.TokenRequest(nil)
			bent.Assertion, bent.Proof = flow.Literal(assertion), flow.Literal(proof)
			refusal.bend(bent)
			for range 2 { // the second time shows that the first used nothing up, and is answered alike
				e, err := c.Server.Send(t.Context(), bent)
				if err != nil {
					t.Fatal(err)
				}
				checkAnswer(t, e)
				outcome(t, e, refusal.want)
			}
			good := clients[0].TokenRequest(nil) // at the other replica
			good.Assertion, good.Proof = flow.Literal(assertion), flow.Literal(proof)
			outcome(t, do(t, clients[0].Server, good), "200")
		})
	}
	t.Run("CA-32 a forged assertion", func(t *testing.T) {
		assertion := compact(t, c.Assertion(flow.SetClaim("jti", "chosen by an attacker")))
		forged := c.TokenRequest(nil)
		forged.Assertion = c.Assertion(flow.SetClaim("jti", "chosen by an attacker"), flow.SignWith(key(t, "ES256")))
		refusedFor(t, do(t, c.Server, forged), "401 invalid_client", oauth.ClientNotProven)
		good := c.TokenRequest(nil)
		good.Assertion = flow.Literal(assertion)
		outcome(t, do(t, c.Server, good), "200")
	})
	t.Run("DP-27 a proof of another key", func(t *testing.T) {
		other := *c
		other.DPoPKey = key(t, "ES256")
		for _, one := range []*flow.Client{&other, c} {
			r := one.TokenRequest(nil)
			r.Proof = one.Proof(r.Method, r.URL, flow.SetClaim("jti", "the same for two keys"))
			outcome(t, do(t, c.Server, r), "200")
		}
	})
}
