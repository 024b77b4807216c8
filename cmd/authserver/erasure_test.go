package main

import (
	"errors"
	"sync"
	"testing"

	"authserver/internal/flow"
	"authserver/internal/oauth"
)

// erase has the operator forget somebody who is there.
func (d *deployment) erase(t *testing.T, username string) error {
	erased, err := d.store.ErasePerson(t.Context(), username)
	if err == nil && !erased {
		err = errors.New("there was nobody to erase")
	}
	return err
}

// A person who is erased while saying yes, or signing in, at any replica, has said nothing that is worth anything afterwards,
// and is signed in nowhere.
func TestErasedMeanwhile(t *testing.T) {
	d := deploy(t, 3, nil)
	clients := d.everywhere(d.recipient(0))
	for round := range 15 {
		sam := d.inhabitant("sam")
		deciding, arriving := ask(t, clients[round%3]).as(sam), ask(t, clients[(round+1)%3]).as(sam)
		atDecision, atLogin := deciding.browser(), arriving.browser()
		deciding.upTo(atDecision, "decision")
		arriving.upTo(atLogin, "password")
		var decided, signedIn *flow.Page
		var errs [3]error
		var running sync.WaitGroup
		start := make(chan struct{})
		running.Go(func() { <-start; decided, errs[0] = atDecision.Decide(t.Context(), flow.Approve) })
		running.Go(func() { <-start; signedIn, errs[1] = atLogin.SignIn(t.Context(), sam.Username, sam.Password) })
		running.Go(func() { <-start; errs[2] = d.erase(t, sam.Username) })
		close(start)
		running.Wait()
		checked(t, atLogin, signedIn, errs[1])
		if checked(t, atDecision, decided, errors.Join(errs[0], errs[2])); decided.Location != "" {
			if code := deciding.told(decided).Get("code"); code != "" {
				for _, c := range clients {
					refusedFor(t, do(t, c.Server, deciding.by(c).redemption(code)), "400 invalid_grant", oauth.CodeUnknown)
				}
			}
		}
		for i, b := range []*flow.Browser{atDecision, atLogin} {
			if p := visit(t, d.tab(b, (round+i)%3), d.issuer+"/connected"); p.Form("password") == nil {
				t.Errorf("browser %d is still signed in: %s", i, p)
			}
		}
	}
	if n := one[int](t, d, `SELECT count(*)::int FROM authorization_grant`); n != 0 {
		t.Errorf("%d consents are left", n)
	}
}
