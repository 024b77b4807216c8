package main

import (
	"net/http"
	"sync"
	"testing"

	"authserver/internal/flow"
	"authserver/internal/oauth"

	"github.com/google/go-cmp/cmp"
)

// codeRaced: CG-03. One wins; then the others are replays by the code's own client. Which of them holds the code by right
// cannot be told from outside, so what the winner got is dead (requirement AC-03, CG-02).
func codeRaced(t *testing.T, d *deployment) {
	clients := d.everywhere(d.recipient(0))
	a := ask(t, clients[0])
	code := a.codeIn(flow.NewBrowser(clients[0].Server))
	reasons, f := map[oauth.Reason]int{}, family{asking: a, code: code, token: &flow.Token{}}
	for _, e := range together(t, 50, func(i int) (*flow.Server, *flow.Request) {
		c := clients[i%3]
		return c.Server, a.by(c).redemption(code)
	}) {
		if reasons[reasonOf(e)]++; e.Status == http.StatusOK {
			f.token.AccessToken, _ = e.JSON()["access_token"].(string)
			f.token.RefreshToken, _ = e.JSON()["refresh_token"].(string)
		}
	}
	if diff := cmp.Diff(map[oauth.Reason]int{"": 1, oauth.CodeReplayed: 49}, reasons); diff != "" {
		t.Fatal(diff)
	}
	d.wantFamily(f, false)
	if n := d.revoked(d.grantOf(t, code)); n != 1 {
		t.Errorf("the trail tells %d times that the grant was revoked", n)
	}
}

// verifiersGuessed: CG-12, one after the other and all at once: five tries are counted, and not one more.
func verifiersGuessed(t *testing.T, d *deployment) {
	clients := d.everywhere(d.recipient(0))
	b := flow.NewBrowser(clients[0].Server)
	guess := func(a *asking, i int, code string) (*flow.Server, *flow.Request) {
		c := clients[i%3]
		return c.Server, c.CodeRequest(code, flow.NewPKCE().Verifier, callback)
	}
	inTurn := func(a *asking, code string) (all []*flow.Exchange) {
		for i := range 20 {
			s, r := guess(a, i, code)
			all = append(all, do(t, s, r))
		}
		return all
	}
	atOnce := func(a *asking, code string) []*flow.Exchange {
		return together(t, 20, func(i int) (*flow.Server, *flow.Request) { return guess(a, i, code) })
	}
	for name, play := range map[string]func(*asking, string) []*flow.Exchange{"one after the other": inTurn, "all at once": atOnce} {
		a := ask(t, clients[0])
		code := a.codeIn(b)
		reasons := map[oauth.Reason]int{}
		for _, e := range play(a, code) {
			outcome(t, e, "400 invalid_grant")
			reasons[reasonOf(e)]++
		}
		if diff := cmp.Diff(map[oauth.Reason]int{oauth.CodeVerifier: 5, oauth.CodeUnknown: 15}, reasons); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		for _, c := range clients {
			refusedFor(t, do(t, c.Server, a.by(c).redemption(code)), "400 invalid_grant", oauth.CodeUnknown)
		}
	}
}

// rounds is how often each of the races of CG-14 is run.
const rounds = 25

// endedDuringRedemption: CG-14. Who wins is chance; what a client holds when both are over must be worth nothing.
func endedDuringRedemption(t *testing.T, d *deployment) {
	sam := d.inhabitant("sam")
	clients := d.everywhere(d.recipient(0))
	b := flow.NewBrowser(clients[0].Server)
	for name, race := range map[string]func(*testing.T, *deployment, *flow.Client) (*flow.Client, *flow.Exchange){
		"redeemed, and the consent withdrawn": func(t *testing.T, d *deployment, c *flow.Client) (*flow.Client, *flow.Exchange) {
			a := ask(t, c)
			code := a.codeIn(b)
			id := d.grantOf(t, code)
			return c, meanwhile(t, c, a.redemption(code), func() error {
				_, err := d.stop(t, id)
				return err
			})
		},
		"redeemed, and the person disabled": func(t *testing.T, d *deployment, c *flow.Client) (*flow.Client, *flow.Exchange) {
			d.enable(sam)
			a := ask(t, c)
			a.person = sam
			code := a.code()
			return c, meanwhile(t, c, a.redemption(code), func() error {
				_, err := d.store.DisablePerson(t.Context(), sam.Username, d.clock.now())
				return err
			})
		},
		"redeemed, and the client deleted": func(t *testing.T, d *deployment, c *flow.Client) (*flow.Client, *flow.Exchange) {
			gone := d.recipient(0)
			a := ask(t, gone)
			code := a.codeIn(b)
			return gone, meanwhile(t, gone, a.redemption(code), func() error {
				_, err := gone.Server.Do(t.Context(), gone.ManageRequest(http.MethodDelete, nil))
				return err
			})
		},
		"redeemed, and the person erased": func(t *testing.T, d *deployment, c *flow.Client) (*flow.Client, *flow.Exchange) {
			a := ask(t, c)
			a.person = d.inhabitant("kim")
			code := a.code()
			return c, meanwhile(t, c, a.redemption(code), func() error { return d.erase(t, "kim") })
		},
		"refreshed, and the person erased": func(t *testing.T, d *deployment, c *flow.Client) (*flow.Client, *flow.Exchange) {
			a := ask(t, c)
			a.person = d.inhabitant("kim")
			refresh := a.redeem(a.code()).RefreshToken
			return c, meanwhile(t, c, c.RefreshRequest(refresh, nil), func() error { return d.erase(t, "kim") })
		},
		"refreshed, and the refresh token revoked": func(t *testing.T, d *deployment, c *flow.Client) (*flow.Client, *flow.Exchange) {
			f := d.family(c, b)
			return c, meanwhile(t, c, c.RefreshRequest(f.token.RefreshToken, nil), func() error {
				_, err := c.Revoke(t.Context(), f.token.RefreshToken)
				return err
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := d.within(t)
			guards := []*flow.Client{d.resourceServerAt(0), d.resourceServerAt(1), d.resourceServerAt(2)}
			for i := range rounds {
				c, e := race(t, d, clients[i%3])
				if outcome(t, e, "200", "400 invalid_grant", "401 invalid_client"); e.Status != http.StatusOK {
					continue
				}
				for _, guard := range guards {
					unseen(t, guard, issued(e).Compact)
				}
				refresh, _ := e.JSON()["refresh_token"].(string)
				outcome(t, do(t, c.Server, c.RefreshRequest(refresh, nil)), "400 invalid_grant", "401 invalid_client")
			}
		})
	}
	d.enable(sam)
}

// meanwhile sends a request, and does something else at the same moment.
func meanwhile(t *testing.T, c *flow.Client, r *flow.Request, what func() error) *flow.Exchange {
	t.Helper()
	start := make(chan struct{})
	var e *flow.Exchange
	var sendErr, whatErr error
	var running sync.WaitGroup
	running.Go(func() { <-start; e, sendErr = c.Server.Do(t.Context(), r) })
	running.Go(func() { <-start; whatErr = what() })
	close(start)
	running.Wait()
	if sendErr != nil || whatErr != nil {
		t.Fatal(sendErr, whatErr)
	}
	checkAnswer(t, e)
	return e
}
