package main

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"authserver/internal/flow"
	"authserver/internal/grant"
	"authserver/internal/keys"
	"authserver/internal/oauth"

	"github.com/google/go-cmp/cmp"
)

// twoScopes asks for two scopes, of which one opens the demo resource, and for the data behind them.
func twoScopes(p url.Values) {
	p.Set("scope", "fdx:accountbasic:read fdx:transactions:read")
	p.Set("authorization_details", lastingDetails("ACCOUNT_BASIC", "TRANSACTIONS"))
}

// attacksOnRefresh are the cases about the grant type refresh_token (RFC 6749 §6). FAPI 2.0 Security Profile §5.3.2.1-9
// forbids rotation, and no mode of it is built: RT-07 to RT-10 show that the one token stays.
func attacksOnRefresh() []attack {
	return []attack{
		{"RT-01", refreshedAgain},
		{"RT-02", refreshedBeyond},
		{"RT-03", refreshedNarrower},
		{"RT-04", func(t *testing.T, d *deployment) {
			c, other := d.recipient(0), d.recipient(0)
			f := d.family(c, flow.NewBrowser(c.Server))
			for _, thief := range d.everywhere(other) {
				refusedFor(t, do(t, thief.Server, thief.RefreshRequest(f.token.RefreshToken, nil)), "400 invalid_grant", oauth.RefreshTokenUnknown)
				unseen(t, thief, f.token.RefreshToken)
				d.expect(thief, thief.RevokeRequest(f.token.RefreshToken), "200")
			}
			d.wantFamily(f, true)
		}},
		{"RT-05", confusedTokens},
		{"RT-06", endedBeforeRefresh},
		{"RT-07", func(t *testing.T, d *deployment) {
			clients := d.everywhere(d.recipient(0))
			f := d.family(clients[0], flow.NewBrowser(clients[0].Server))
			sent, lost := d.lose(t, clients[0], clients[0].RefreshRequest(f.token.RefreshToken, nil))
			refusedFor(t, once(t, clients[1], sent), "401 invalid_client", oauth.AssertionReplayed)
			again := d.expect(clients[2], clients[2].RefreshRequest(f.token.RefreshToken, nil), "200")
			if again.JSON()["refresh_token"] != f.token.RefreshToken || lost.RefreshToken != f.token.RefreshToken {
				t.Error("a lost answer makes another refresh token")
			}
			d.wantFamily(f, true)
		}},
		{"RT-08", func(t *testing.T, d *deployment) {
			c := d.recipient(0)
			f := d.family(c, flow.NewBrowser(c.Server))
			for range 3 { // of the tokens that were given back, none takes the place of the first
				d.clock.advance(61 * time.Second)
				d.expect(c, c.RefreshRequest(f.token.RefreshToken, nil), "200")
			}
			d.wantFamily(f, true)
		}},
		{"RT-09", refreshedAtOnce},
		{"RT-10", refreshedAfterRestart},
		{"RT-11", refreshedWider},
		{"RT-12", refreshedUnderAnotherKey},
		{"RT-13", notRefreshed},
		{"RT-14", refreshedAtTheEnd},
	}
}

// refreshedAgain: RT-01. Each time there is an access token of its own, of the same grant.
func refreshedAgain(t *testing.T, d *deployment) {
	clients := d.everywhere(d.recipient(0))
	f := d.family(clients[0], flow.NewBrowser(clients[0].Server))
	first := claimsOf(t, f.token.AccessToken)
	for _, c := range clients {
		d.clock.advance(time.Second)
		e := once(t, c, c.RefreshRequest(f.token.RefreshToken, url.Values{"redirect_uri": {"https://ignored.example"}}))
		boundTo(t, e, c.DPoPKey)
		want := map[string]any{"token_type": "DPoP", "scope": "fdx:accountbasic:read", "refresh_token": f.token.RefreshToken,
			"grant_id": f.token.GrantID, "authorization_details": f.token.Exchange.JSON()["authorization_details"]}
		if diff := cmp.Diff(want, e.JSON(), except("access_token", "expires_in")); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff(first, issued(e).Claims, except("jti", "iat", "exp")); diff != "" {
			t.Error(diff)
		}
		if first["jti"] == issued(e).Claim("jti") || wholeSeconds(t, first["iat"]) >= wholeSeconds(t, issued(e).Claims["iat"]) {
			t.Error("the access token is none of its own")
		}
	}
	d.wantFamily(f, true)
}

// refreshedBeyond: RT-02, and requirement RT-04 for resource.
func refreshedBeyond(t *testing.T, d *deployment) {
	c := d.recipient(0)
	f := d.family(c, flow.NewBrowser(c.Server))
	for scope, reason := range map[string]oauth.Reason{
		"fdx:transactions:read": oauth.GrantScope, "fdx:accountbasic:read fdx:transactions:read": oauth.GrantScope,
		"client.read": oauth.GrantScope, "fdx:tax:read": oauth.ScopeNotRegistered, "client.create": oauth.ScopeNotRegistered,
		"fdx:accountbasic:read  ": oauth.ScopeMalformed, "FDX:ACCOUNTBASIC:READ": oauth.ScopeNotRegistered,
	} {
		refusedFor(t, do(t, c.Server, c.RefreshRequest(f.token.RefreshToken, url.Values{"scope": {scope}})), "400 invalid_scope", reason)
	}
	r := c.RefreshRequest(f.token.RefreshToken, url.Values{"resource": {"https://elsewhere.example"}})
	refusedFor(t, do(t, c.Server, r), "400 invalid_target", oauth.ResourceRefused)
	d.wantFamily(f, true)
}

// refreshedNarrower: RT-03. What is left out of one token is there in the next.
func refreshedNarrower(t *testing.T, d *deployment) {
	clients := d.everywhere(d.recipient(0))
	f := d.family(clients[0], flow.NewBrowser(clients[0].Server), twoScopes)
	for i, test := range []struct{ asked, granted, at string }{
		{"fdx:transactions:read", "fdx:transactions:read", "403 insufficient_scope"}, {"", f.token.Scope, "200"},
		{"fdx:accountbasic:read", "fdx:accountbasic:read", "200"}, {f.token.Scope, f.token.Scope, "200"},
	} {
		c := clients[i%3]
		e := d.expect(c, c.RefreshRequest(f.token.RefreshToken, url.Values{"scope": {test.asked}}), "200")
		if e.JSON()["scope"] != test.granted || issued(e).Claim("scope") != test.granted {
			t.Errorf("asked for %q: %v", test.asked, e.JSON()["scope"])
		}
		outcome(t, do(t, c.Server, c.Present(&flow.Request{Method: http.MethodGet, URL: d.issuer + "/demo/accounts"}, issued(e).Compact)), test.at)
	}
}

// confusedTokens: RT-05. Every kind of secret is good for its own purpose only.
func confusedTokens(t *testing.T, d *deployment) {
	c := d.recipient(0)
	f := d.family(c, flow.NewBrowser(c.Server))
	a := ask(t, c)
	code := a.code()
	for _, wrong := range []string{f.token.AccessToken, f.code, code, c.RegistrationToken, compact(t, c.Assertion()), f.uri,
		strings.TrimPrefix(f.uri, grant.RequestURI), f.token.RefreshToken + "A", f.token.RefreshToken[1:], strings.ToUpper(f.token.RefreshToken)} {
		refusedFor(t, do(t, c.Server, c.RefreshRequest(wrong, nil)), "400 invalid_grant", oauth.RefreshTokenUnknown)
	}
	for _, wrong := range []string{f.token.AccessToken, f.token.RefreshToken} {
		refusedFor(t, do(t, c.Server, a.redemption(wrong)), "400 invalid_grant", oauth.CodeUnknown)
	}
	accounts := func() *flow.Request { return &flow.Request{Method: http.MethodGet, URL: d.issuer + "/demo/accounts"} }
	for _, wrong := range []string{f.token.RefreshToken, code} {
		refusedFor(t, do(t, c.Server, c.Present(accounts(), wrong)), "401 invalid_token", oauth.TokenMalformed)
		refusedFor(t, do(t, c.Server, accounts().SetHeader("Authorization", "Bearer "+wrong)), "401 invalid_token", oauth.TokenMalformed)
		unseen(t, d.resourceServerAt(0), wrong)
	}
	refusedFor(t, do(t, c.Server, c.RefreshRequest("", nil)), "400 invalid_request", oauth.ParameterMissing)
	d.wantFamily(f, true)
	a.redeem(code)
}

// endedBeforeRefresh: RT-06. What has ended stays ended, also when the person comes back.
func endedBeforeRefresh(t *testing.T, d *deployment) {
	sam := d.inhabitant("sam")
	for name, end := range map[string]func(t *testing.T, f family){
		"the refresh token is revoked": func(t *testing.T, f family) { d.expect(f.client, f.client.RevokeRequest(f.token.RefreshToken), "200") },
		"the consent is withdrawn": func(t *testing.T, f family) {
			if _, err := d.stop(t, d.grantOf(t, f.code)); err != nil {
				t.Fatal(err)
			}
		},
		"the person is disabled":              func(t *testing.T, _ family) { d.within(t).disable(sam) },
		"the person was disabled for a while": func(t *testing.T, _ family) { d.within(t).disable(sam); d.within(t).enable(sam) },
		"the client is deleted": func(t *testing.T, f family) {
			outcome(t, do(t, f.client.Server, f.client.ManageRequest(http.MethodDelete, nil)), "204")
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := d.within(t)
			d.enable(sam)
			a := ask(t, d.recipient(0))
			a.person = sam
			code := a.code()
			f := family{a, code, a.redeem(code)}
			if end(t, f); name != "the client is deleted" {
				d.wantFamily(f, false)
				return
			}
			for i := range d.replicas {
				c := d.at(f.client, i)
				refusedFor(t, do(t, c.Server, c.RefreshRequest(f.token.RefreshToken, nil)), "401 invalid_client", oauth.ClientNotProven)
				unseen(t, d.resourceServerAt(i), f.token.AccessToken)
			}
		})
	}
	d.enable(sam)
	c := d.recipient(0)
	f := d.family(c, flow.NewBrowser(c.Server))
	changed(t, c, func(m map[string]any) { m["grant_types"] = []string{"authorization_code", "client_credentials"} })
	elsewhere := d.at(c, 1)
	refusedFor(t, do(t, elsewhere.Server, elsewhere.RefreshRequest(f.token.RefreshToken, nil)), "400 unauthorized_client", oauth.GrantTypeNotRegistered)
}

// refreshedAtOnce: RT-09. Fifty at once all succeed, and leave one refresh token.
func refreshedAtOnce(t *testing.T, d *deployment) {
	clients := d.everywhere(d.recipient(0))
	f := d.family(clients[0], flow.NewBrowser(clients[0].Server))
	before := d.rows(t)
	same := map[any]int{}
	for _, e := range together(t, 50, func(i int) (*flow.Server, *flow.Request) {
		c := clients[i%3]
		return c.Server, c.RefreshRequest(f.token.RefreshToken, nil)
	}) {
		outcome(t, e, "200")
		same[e.JSON()["refresh_token"]]++
	}
	if diff := cmp.Diff(map[any]int{f.token.RefreshToken: 50}, same); diff != "" {
		t.Error(diff)
	}
	spent := except("spent", "spent_0", "spent_1", "spent_2", "spent_3", "spent_4", "spent_5", "spent_6", "spent_7")
	if diff := cmp.Diff(before, d.rows(t), spent); diff != "" {
		t.Error("a refresh keeps something:", diff)
	}
	d.wantFamily(f, true)
}

// refreshedAfterRestart: RT-10, with every replica a new one. What was revoked before stays revoked.
func refreshedAfterRestart(t *testing.T, _ *deployment) {
	d := deploy(t, 3, nil)
	c := d.recipient(0)
	b := flow.NewBrowser(c.Server)
	live, dead := d.family(c, b), d.family(c, b)
	d.expect(c, c.RevokeRequest(dead.token.RefreshToken), "200")
	d.restart()
	live.client, dead.client = d.at(c, 0), d.at(c, 1)
	d.wantFamily(live, true)
	d.wantFamily(dead, false)
}

// refreshedUnderAnotherKey: RT-12. The signing key changes between two tokens of one grant; both verify.
func refreshedUnderAnotherKey(t *testing.T, d *deployment) {
	clients := d.everywhere(d.recipient(0))
	f := d.family(clients[0], flow.NewBrowser(clients[0].Server))
	before := d.signer("ES256")
	if _, err := d.replicas[0].keys.Rotate(t.Context(), 0, "ES256"); err != nil {
		t.Fatal(err)
	}
	d.clock.advance(keys.RefreshEvery)
	d.refreshKeys()
	for _, c := range clients {
		published, err := c.Server.Keys(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		fresh := issued(d.expect(c, c.RefreshRequest(f.token.RefreshToken, nil), "200"))
		if fresh.Member("kid") == before || fresh.Verify(published) != nil {
			t.Errorf("signed by %s, after %s: %v", fresh.Member("kid"), before, fresh.Verify(published))
		}
		old, err := flow.Decode(f.token.AccessToken)
		if err != nil || old.Verify(published) != nil {
			t.Errorf("the token of before: %v %v", err, old.Verify(published))
		}
	}
	d.wantFamily(f, true)
}

// refreshedAtTheEnd: RT-14.
func refreshedAtTheEnd(t *testing.T, d *deployment) {
	clients := d.everywhere(d.recipient(0))
	b := flow.NewBrowser(clients[0].Server)
	f := d.family(clients[0], b)
	until := one[time.Time](t, d, `SELECT expires_at FROM authorization_grant WHERE id = $1`, d.grantOf(t, f.code))
	if until.Sub(d.clock.now()).Round(time.Hour) != 30*24*time.Hour {
		t.Errorf("the grant lasts until %s", until)
	}
	end := d.clock.now().Add(40 * time.Second).Truncate(time.Second).Add(500 * time.Millisecond)
	endsAt := func(code string) {
		d.operate(t, "", `UPDATE authorization_grant SET expires_at = '`+end.UTC().Format(time.RFC3339Nano)+`' WHERE id = '`+d.grantOf(t, code)+`'`)
	}
	endsAt(f.code)
	a := ask(t, clients[1])
	code := a.codeIn(b)
	endsAt(code)
	var last []flow.JWT
	for _, e := range []*flow.Exchange{
		do(t, clients[0].Server, clients[0].RefreshRequest(f.token.RefreshToken, nil)), do(t, clients[1].Server, a.redemption(code)),
	} {
		outcome(t, e, "200")
		if exp := wholeSeconds(t, issued(e).Claims["exp"]); exp > end.Unix() || wholeSeconds(t, e.JSON()["expires_in"]) > 40 {
			t.Errorf("the token expires at %d, its grant at %d", exp, end.Unix())
		}
		last = append(last, issued(e))
	}
	d.clock.advance(end.Sub(d.clock.now()) - 400*time.Millisecond) // within the last second
	outcome(t, do(t, clients[2].Server, clients[2].RefreshRequest(f.token.RefreshToken, nil)), "400 invalid_grant")
	d.clock.advance(1400 * time.Millisecond)
	for _, c := range clients {
		refusedFor(t, do(t, c.Server, c.RefreshRequest(f.token.RefreshToken, nil)), "400 invalid_grant", oauth.RefreshTokenUnknown)
		unseen(t, c, f.token.RefreshToken)
		for _, token := range last {
			unseen(t, c, token.Compact)
			used := c.Present(&flow.Request{Method: http.MethodGet, URL: d.issuer + "/demo/accounts"}, token.Compact)
			refusedFor(t, do(t, c.Server, used), "401 invalid_token", oauth.TokenExpired)
		}
	}
}
