package main

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"authserver/internal/flow"
	"authserver/internal/grant"
	"authserver/internal/oauth"
	"authserver/internal/person"

	"github.com/google/go-cmp/cmp"
)

// attacksOnCodes are the cases about the grant type authorization_code (RFC 6749 §4.1.3, RFC 7636 §4.6).
func attacksOnCodes() []attack {
	return []attack{
		{"CG-01", codeRedeemed},
		{"CG-02", codeReplayed},
		{"CG-03", codeRaced},
		{"CG-04", codeOfAnotherClient},
		{"CG-05", func(t *testing.T, d *deployment) {
			clients := d.everywhere(d.recipient(0))
			d.refusesTries(clients, oauth.CodeRedirectURI, "redirect_uri", "", callback+"?dummy1=lorem&dummy2=ipsum", callback+"/", callback+"?",
				"https://CLIENT.example/cb", "https://client.example:443/cb", "https://client.example/cb#", "https://evil.example/cb")
		}},
		{"CG-06", func(t *testing.T, d *deployment) {
			clients := d.everywhere(d.recipient(0))
			right := flow.NewPKCE().Verifier
			d.refusesTries(clients, oauth.CodeVerifier, "code_verifier", "", right, right[:42], strings.Repeat("v", 129),
				right[:42]+"%", right[:40]+"%41", right+" ", right+"\n", strings.Repeat("é", 43), strings.Repeat("v", 20_000))
		}},
		{"CG-07", func(t *testing.T, d *deployment) {
			a := ask(t, d.recipient(0))
			code := a.code()
			r := a.redemption(code)
			r.Form.Set("code_verifier", a.pkce.Challenge)
			refusedFor(t, do(t, a.client.Server, r), "400 invalid_grant", oauth.CodeVerifier)
			a.redeem(code)
		}},
		{"CG-08", oldCodes},
		{"CG-09", codesAlike},
		{"CG-10", codeOfAnotherSession},
		{"CG-11", endedBeforeRedemption},
		{"CG-12", verifiersGuessed},
		{"CG-13", lostResponse},
		{"CG-14", endedDuringRedemption},
		{"CG-15", databaseLostDuringRedemption},
	}
}

// family is all that came of a code.
type family struct {
	*asking
	code  string
	token *flow.Token
}

// family asks, has the person say yes and redeems the code.
func (d *deployment) family(c *flow.Client, b *flow.Browser, edits ...func(url.Values)) family {
	d.t.Helper()
	a := ask(d.t, c, edits...)
	code := a.codeIn(b)
	return family{a, code, a.redeem(code)}
}

// wantFamily holds every replica to one answer about a family: to the client, to the resource server, at the resource and
// to a refresh.
func (d *deployment) wantFamily(f family, alive bool) {
	d.t.Helper()
	d.wantActive(f.client, f.token.AccessToken, alive)
	for i := range d.replicas {
		c := d.at(f.client, i)
		used := c.Present(&flow.Request{Method: http.MethodGet, URL: d.issuer + "/demo/accounts"}, f.token.AccessToken)
		if !alive {
			unseen(d.t, c, f.token.RefreshToken)
			refusedFor(d.t, do(d.t, c.Server, used), "401 invalid_token", oauth.TokenRevoked)
			refusedFor(d.t, do(d.t, c.Server, c.RefreshRequest(f.token.RefreshToken, nil)), "400 invalid_grant", oauth.RefreshTokenUnknown)
			continue
		}
		if introspected(d.t, c, f.token.RefreshToken)["active"] != true {
			d.t.Errorf("replica %d: the refresh token is not active", i)
		}
		outcome(d.t, do(d.t, c.Server, used), "200")
		outcome(d.t, do(d.t, c.Server, c.RefreshRequest(f.token.RefreshToken, nil)), "200")
	}
}

// grantOf is the id of the grant that a code stands for.
func (d *deployment) grantOf(t *testing.T, code string) string {
	t.Helper()
	return one[string](t, d, `SELECT grant_id FROM authorization_code WHERE id = $1`, oauth.Secret(code).Hash())
}

// stop has the operator end a grant.
func (d *deployment) stop(t *testing.T, id string) (stopped bool, err error) {
	change := grant.Stopped(grant.OperatorStopped, "", "", d.clock.now())
	_, became, err := d.store.RevokeGrant(t.Context(), id, grant.Owner{}, change)
	return became == grant.Ended, err
}

// revoked counts the audit records of a revoked grant.
func (d *deployment) revoked(grantID string) (n int) {
	for line := range strings.Lines(d.trail.String()) {
		if strings.Contains(line, `"grant.revoked"`) && strings.Contains(line, grantID) {
			n++
		}
	}
	return n
}

// inhabitant is a person beside alex, who may have come before.
func (d *deployment) inhabitant(username string) flow.Person {
	d.t.Helper()
	who := flow.Person{Username: username, Password: "a password of " + username}
	p, err := person.New(who.Username, who.Password, d.clock.now())
	if err != nil {
		d.t.Fatal(err)
	}
	if _, err := d.store.AddPerson(d.t.Context(), p); err != nil {
		d.t.Fatal(err)
	}
	return who
}

// codeRedeemed: CG-01, with every step at another replica.
func codeRedeemed(t *testing.T, d *deployment) {
	clients := d.everywhere(d.recipient(0))
	for i := range clients {
		a := ask(t, clients[i])
		code := a.codeIn(flow.NewBrowser(clients[(i+1)%3].Server))
		a = a.by(clients[(i+2)%3])
		e := once(t, a.client, a.redemption(code))
		boundTo(t, e, a.client.DPoPKey)
		want := map[string]any{"token_type": "DPoP", "scope": "fdx:accountbasic:read", "grant_id": d.grantOf(t, code)}
		if diff := cmp.Diff(want, e.JSON(), except("access_token", "expires_in", "refresh_token", "authorization_details")); diff != "" {
			t.Error(diff)
		}
		if _, granted := e.Details(); len(granted) != 1 || strings.Join(granted[0].Of(), " ") != "demo-checking demo-savings" {
			t.Errorf("granted is %s", granted)
		}
		if refresh, _ := e.JSON()["refresh_token"].(string); len(refresh) != 43 || wholeSeconds(t, e.JSON()["expires_in"]) < 1 {
			t.Errorf("%d characters of refresh token, expires_in %v", len(refresh), e.JSON()["expires_in"])
		}
	}
	codeOnly := d.recipient(0, func(m map[string]any) { m["grant_types"] = []string{"authorization_code"} })
	a := ask(t, codeOnly)
	if token := a.redeem(a.code()); token.RefreshToken != "" {
		t.Error("a client that is not registered for refresh_token has one")
	}
}

// codeReplayed: CG-02. The family ends once, on every replica; another client's replay ends nothing.
func codeReplayed(t *testing.T, d *deployment) {
	clients, other := d.everywhere(d.recipient(0)), d.recipient(0)
	f := d.family(clients[0], flow.NewBrowser(clients[0].Server))
	for range 6 {
		refusedFor(t, do(t, other.Server, f.by(other).redemption(f.code)), "400 invalid_grant", oauth.CodeUnknown)
	}
	d.wantFamily(f, true)
	d.clock.advance(5 * time.Second)
	for range 2 {
		refusedFor(t, do(t, clients[1].Server, f.by(clients[1]).redemption(f.code)), "400 invalid_grant", oauth.CodeReplayed)
		d.wantFamily(f, false)
	}
	if n := d.revoked(d.grantOf(t, f.code)); n != 1 {
		t.Errorf("the trail tells %d times that the grant was revoked", n)
	}
	g := d.family(clients[2], flow.NewBrowser(clients[2].Server))
	d.clock.advance(2 * time.Minute) // after its end a code is a replay still, whatever comes with it
	r := clients[0].CodeRequest(g.code, "not the verifier", "")
	refusedFor(t, do(t, clients[0].Server, r), "400 invalid_grant", oauth.CodeReplayed)
	refusedFor(t, do(t, clients[1].Server, clients[1].RefreshRequest(g.token.RefreshToken, nil)), "400 invalid_grant", oauth.RefreshTokenUnknown)
}

// codeOfAnotherClient: CG-04. Nothing that another client does to a code changes it.
func codeOfAnotherClient(t *testing.T, d *deployment) {
	mine, theirs := d.everywhere(d.recipient(0)), d.everywhere(d.recipient(0))
	a := ask(t, mine[0])
	code := a.codeIn(flow.NewBrowser(mine[0].Server))
	for range 2 {
		for _, thief := range theirs {
			refusedFor(t, do(t, thief.Server, a.by(thief).redemption(code)), "400 invalid_grant", oauth.CodeUnknown)
			r := a.by(thief).redemption(code)
			r.Form.Set("client_id", a.client.ID)
			refusedFor(t, do(t, thief.Server, r), "401 invalid_client", oauth.AssertionClientID)
		}
	}
	d.wantFamily(family{a, code, a.by(mine[2]).redeem(code)}, true)
}

// refusesTries plays a redemption with each of the values of a parameter, at every replica in turn. Every fourth time the
// code is then redeemed as it should be: a client may mend a mistake.
func (d *deployment) refusesTries(clients []*flow.Client, reason oauth.Reason, parameter string, values ...string) {
	d.t.Helper()
	b := flow.NewBrowser(clients[0].Server)
	for len(values) > 0 {
		a := ask(d.t, clients[0])
		code := a.codeIn(b)
		n := min(4, len(values))
		for i, value := range values[:n] {
			a := a.by(clients[i%3])
			r := a.redemption(code)
			r.Form.Set(parameter, value)
			if value == "" {
				r.Form.Del(parameter)
			}
			refusedFor(d.t, do(d.t, a.client.Server, r), "400 invalid_grant", reason)
		}
		a.by(clients[n%3]).redeem(code)
		values = values[n:]
	}
}
