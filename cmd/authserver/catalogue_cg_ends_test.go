package main

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"authserver/internal/flow"
	"authserver/internal/oauth"

	"github.com/google/go-cmp/cmp"
)

// oldCodes: CG-08, by the second, at every replica.
func oldCodes(t *testing.T, d *deployment) {
	clients := d.everywhere(d.recipient(0))
	b := flow.NewBrowser(clients[0].Server)
	for i, age := range []time.Duration{60 * time.Second, 61 * time.Second, time.Hour} {
		a := ask(t, clients[i])
		code := a.codeIn(b)
		d.clock.advance(age)
		for _, c := range clients {
			refusedFor(t, do(t, c.Server, a.by(c).redemption(code)), "400 invalid_grant", oauth.CodeExpired)
		}
		b = flow.NewBrowser(clients[0].Server) // the session may be over
	}
	a := ask(t, clients[0])
	code := a.codeIn(b)
	d.clock.advance(50 * time.Second) // not 59: the machine may be slow
	a.by(clients[2]).redeem(code)
}

// codesAlike: CG-09. A NUL is refused before anybody asks what it stands in (HT-16).
func codesAlike(t *testing.T, d *deployment) {
	clients := d.everywhere(d.recipient(0))
	a := ask(t, clients[0])
	code := a.codeIn(flow.NewBrowser(clients[0].Server))
	otherCase := strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z':
			return r - 'a' + 'A'
		case 'A' <= r && r <= 'Z':
			return r - 'A' + 'a'
		}
		return r
	}, code)
	for i, alike := range []string{
		code + "%00", code[:len(code)-1], code[1:], otherCase, strings.ToUpper(code), code + "=", code + "A", code + " ", " " + code, code + "\n",
		code + "," + code, code[:len(code)-1] + "%", code[:len(code)-1] + "_", "'" + code, "%", "_", strings.Repeat("c", 30_000),
	} {
		if alike == code {
			continue // the last character was an underscore
		}
		c := clients[i%3]
		r := a.by(c).redemption(alike)
		refusedFor(t, do(t, c.Server, r), "400 invalid_grant", oauth.CodeUnknown)
	}
	refusedFor(t, do(t, clients[1].Server, a.by(clients[1]).redemption(code+"\x00")), "400 invalid_request", oauth.BodyMalformed)
	r := a.redemption(code)
	r.Form["code"] = []string{code, code}
	refusedFor(t, do(t, clients[0].Server, r), "400 invalid_request", oauth.ParameterRepeated)
	r = a.redemption(code)
	r.Form.Del("code")
	refusedFor(t, do(t, clients[0].Server, r), "400 invalid_request", oauth.ParameterMissing)
	a.by(clients[2]).redeem(code)
}

// codeOfAnotherSession: CG-10. Somebody else's code, brought into a session of one's own at the same client, meets that
// session's verifier, and its key where the client has one for each session.
func codeOfAnotherSession(t *testing.T, d *deployment) {
	clients := d.everywhere(d.recipient(0))
	kim := d.inhabitant("kim")
	victim, attacker := ask(t, clients[0]), ask(t, clients[1])
	attacker.person = kim
	stolen, own := victim.codeIn(flow.NewBrowser(clients[0].Server)), attacker.codeIn(flow.NewBrowser(clients[1].Server))
	refusedFor(t, do(t, clients[1].Server, attacker.redemption(stolen)), "400 invalid_grant", oauth.CodeVerifier)
	refusedFor(t, do(t, clients[0].Server, victim.redemption(own)), "400 invalid_grant", oauth.CodeVerifier)

	session := *clients[1]
	session.DPoPKey = key(t, "ES256")
	refusedFor(t, do(t, session.Server, victim.by(&session).redemption(stolen)), "400 invalid_grant", oauth.CodeKey)

	of := func(a *asking, code string) string { return claimsOf(t, a.redeem(code).AccessToken)["sub"].(string) }
	if alex, kim := of(victim, stolen), of(attacker, own); alex == kim {
		t.Errorf("two people are %s", alex)
	}
}

// endedBeforeRedemption: CG-11, in every way in which a grant, its client or its person can end.
func endedBeforeRedemption(t *testing.T, d *deployment) {
	sam := d.inhabitant("sam")
	taken := func(name string, value any) func(map[string]any) { return func(m map[string]any) { m[name] = value } }
	for name, test := range map[string]struct {
		end    func(t *testing.T, c *flow.Client, code string)
		want   string
		reason oauth.Reason
	}{
		"the client is deleted": {func(t *testing.T, c *flow.Client, _ string) {
			outcome(t, do(t, c.Server, c.ManageRequest(http.MethodDelete, nil)), "204")
		}, "401 invalid_client", oauth.ClientNotProven},
		"the consent is withdrawn": {func(t *testing.T, _ *flow.Client, code string) {
			if ended, err := d.stop(t, d.grantOf(t, code)); err != nil || !ended {
				t.Fatal(ended, err)
			}
		}, "400 invalid_grant", oauth.CodeUnknown},
		"the person is disabled": {func(t *testing.T, _ *flow.Client, _ string) { d.within(t).disable(sam) },
			"400 invalid_grant", oauth.CodeUnknown},
		"the person was disabled for a while": {func(t *testing.T, _ *flow.Client, _ string) { d.within(t).disable(sam); d.within(t).enable(sam) },
			"400 invalid_grant", oauth.CodeUnknown},
		"redirect_uri is taken back": {func(t *testing.T, c *flow.Client, _ string) {
			changed(t, c, taken("redirect_uris", []string{callback + "/2"}))
		}, "400 invalid_grant", oauth.CodeRedirectURI},
		"the grant type is taken back": {func(t *testing.T, c *flow.Client, _ string) {
			changed(t, c, taken("grant_types", []string{"client_credentials"}), taken("response_types", []string{}), taken("redirect_uris", []string{}))
		}, "400 unauthorized_client", oauth.GrantTypeNotRegistered},
		"the scope is taken back": {func(t *testing.T, c *flow.Client, _ string) { changed(t, c, taken("scope", "fdx:transactions:read")) },
			"400 invalid_grant", oauth.GrantEnded},
	} {
		t.Run(name, func(t *testing.T) {
			clients := d.within(t).everywhere(d.within(t).recipient(0))
			a := ask(t, clients[0])
			a.person = sam
			code := a.code()
			test.end(t, clients[0], code)
			refusedFor(t, do(t, clients[1].Server, a.by(clients[1]).redemption(code)), test.want, test.reason)
			again := do(t, clients[2].Server, a.by(clients[2]).redemption(code))
			if outcome(t, again, test.want); reasonOf(again) != test.reason && test.reason != oauth.GrantEnded { // that one was redeemed, for nothing
				t.Errorf("at another replica: %s", reasonOf(again))
			}
		})
		d.enable(sam)
	}
	c := d.recipient(0)
	a := ask(t, c, twoScopes)
	code := a.code()
	changed(t, c, taken("scope", "fdx:accountbasic:read"))
	if token := a.by(d.at(c, 1)).redeem(code); token.Scope != "fdx:accountbasic:read" {
		t.Errorf("a scope that the client gave up is granted: %s", token.Scope)
	}
}

// changed replaces what a client that may ask people has registered.
func changed(t *testing.T, c *flow.Client, edits ...func(map[string]any)) {
	t.Helper()
	edits = append([]func(map[string]any){recipient}, edits...)
	outcome(t, do(t, c.Server, c.ManageRequest(http.MethodPut, metadata(c.Key, edits...))), "200")
}

// disable keeps a person out, as the operator does.
func (d *deployment) disable(who flow.Person) {
	d.t.Helper()
	if disabled, err := d.store.DisablePerson(d.t.Context(), who.Username, d.clock.now()); err != nil || !disabled {
		d.t.Fatal(disabled, err)
	}
}

// enable lets a person in again, who may have been disabled.
func (d *deployment) enable(who flow.Person) {
	d.t.Helper()
	if _, err := d.store.EnablePerson(d.t.Context(), who.Username); err != nil {
		d.t.Fatal(err)
	}
}

// losing is a network that delivers requests and loses the answers.
type losing struct {
	next http.RoundTripper
	lost []string // bodies of the answers
}

var errLost = errors.New("the answer was lost")

func (l *losing) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := l.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	l.lost = append(l.lost, string(body))
	return nil, errors.Join(errLost, err)
}

// lose sends a request whose answer is lost, and returns what was sent and the token that did not arrive.
func (d *deployment) lose(t *testing.T, c *flow.Client, r *flow.Request) (sent *flow.Request, token *flow.Token) {
	t.Helper()
	r.Assertion, r.Proof = flow.Literal(compact(t, r.Assertion)), flow.Literal(compact(t, r.Proof))
	network := &losing{next: c.Server.HTTP.Transport}
	server := flow.Server{HTTP: flow.NewHTTPClient(network, time.Minute), Now: d.clock.now}
	if _, err := server.Send(t.Context(), r); !errors.Is(err, errLost) {
		t.Fatal(err)
	}
	answer := (&flow.Exchange{ResponseBody: network.lost[0]}).JSON()
	token = &flow.Token{}
	token.AccessToken, _ = answer["access_token"].(string)
	token.RefreshToken, _ = answer["refresh_token"].(string)
	if token.AccessToken == "" || token.RefreshToken == "" {
		t.Fatalf("lost: %s", network.lost[0])
	}
	return r, token
}

// lostResponse: CG-13. The same bytes again are a replayed assertion, whoever sends them, and change nothing; the code
// with a fresh assertion is a replay by its own client, which cannot know who has the tokens.
func lostResponse(t *testing.T, d *deployment) {
	clients := d.everywhere(d.recipient(0))
	a := ask(t, clients[0])
	code := a.codeIn(flow.NewBrowser(clients[0].Server))
	sent, token := d.lose(t, clients[0], a.redemption(code))
	f := family{a, code, token}
	before := d.rows(t)
	for _, c := range clients {
		refusedFor(t, once(t, c, sent), "401 invalid_client", oauth.AssertionReplayed)
	}
	if diff := cmp.Diff(before, d.rows(t)); diff != "" {
		t.Error("something was kept:", diff)
	}
	d.wantFamily(f, true)
	if n := d.revoked(d.grantOf(t, code)); n != 0 {
		t.Error("revoked by a request that was not authenticated")
	}
	refusedFor(t, do(t, clients[1].Server, a.by(clients[1]).redemption(code)), "400 invalid_grant", oauth.CodeReplayed)
	d.wantFamily(f, false)
}
