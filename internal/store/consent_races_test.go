package store_test

import (
	"context"
	"fmt"
	"testing"

	"authserver/internal/fdx"
	"authserver/internal/grant"
	"authserver/internal/store"

	"github.com/google/go-cmp/cmp"
)

// history counts the entries of grant 1 of each reason.
func history(t *testing.T, url string) map[grant.Why]int {
	t.Helper()
	count := map[grant.Why]int{}
	var why grant.Why
	each(t, connect(t, url), `SELECT why FROM grant_change WHERE grant_id = 'grant 1'`, []any{&why}, func() { count[why]++ })
	return count
}

// TestOneEnd: of fifty that stop a consent at once, the person and the client over three replicas, one ends it; the others
// are told that it was over, and how it ended then. The history has one entry, that of the one.
func TestOneEnd(t *testing.T) {
	url, stores := narrow(t)
	approve(t, stores[0])
	type end struct {
		became grant.Ending
		by     string // whose time the grant ended at
	}
	at := map[int64]string{byPerson.change.At.Unix(): byPerson.name, byClient.change.At.Unix(): byClient.name}
	got := crush(t, url, `SELECT FROM authorization_grant FOR UPDATE`, 50, func(n int) (end, error) {
		by := []stopper{byPerson, byClient}[n%2]
		g, became, err := stores[n%3].RevokeGrant(t.Context(), "grant 1", by.owner, by.change)
		if err != nil || g.RevokedAt == nil {
			return end{became: became}, err
		}
		return end{became, at[g.RevokedAt.Unix()]}, nil
	})
	winner := byPerson
	if got[end{grant.Ended, byClient.name}] == 1 {
		winner = byClient
	}
	want := map[end]int{{grant.Ended, winner.name}: 1, {grant.EndedBefore, winner.name}: 49}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(end{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[grant.Why]int{grant.Approved: 1, winner.change.Why: 1}, history(t, url)); diff != "" {
		t.Errorf("the history (-want +got):\n%s", diff)
	}
}

// TestOneEndOfMany: when all that can end a consent comes at once, one does: the person, the client in two ways, the
// operator in two ways, and a replayed code.
func TestOneEndOfMany(t *testing.T) {
	url, stores := narrow(t)
	approve(t, stores[0])
	redeem(t, stores[0], right(), noon, grant.Redeemed)
	ctx := t.Context()
	got := crush(t, url, `SELECT FROM authorization_grant FOR UPDATE`, 60, func(n int) (ended bool, err error) {
		s, became, g := stores[n%3], grant.NoGrant, grant.Grant{}
		switch n % 6 {
		case 0:
			_, became, err = s.RevokeGrant(ctx, "grant 1", byPerson.owner, byPerson.change)
		case 1:
			_, became, err = s.RevokeGrant(ctx, "grant 1", byClient.owner, byClient.change)
		case 2:
			_, became, err = s.RevokeGrant(ctx, "grant 1", byOperator.owner, byOperator.change)
		case 3:
			_, ended, err = giveUp(ctx, s, "refresh", "c1")
		case 4:
			g, _, err = s.RedeemCode(ctx, hash("code 1"), right(), nil, noon)
		case 5: // who disables a person is not told of grants: the history tells
			_, err = s.DisablePerson(ctx, "alex", noon)
		}
		return ended || became == grant.Ended || g.RevokedAt != nil, err
	})
	after, entries := history(t, url), 0
	for _, n := range after {
		entries += n
	}
	told := got[true] + after[grant.PersonDisabledToo]
	if told != 1 || after[grant.Approved] != 1 || after[grant.CodeRedeemed] != 1 || entries != 3 {
		t.Errorf("%d ended it, and the history has %v", told, after)
	}
	refreshes(t, stores[0], noon, false)
}

// TestOneFetch (FDX-09, RT-13): of fifty that redeem the code of a consent for once together one does, and none leaves a
// refresh token behind; the replays are one entry in the history.
func TestOneFetch(t *testing.T) {
	url, stores := narrow(t)
	push(t, stores[0])
	visit(t, stores[0], "tab")
	signIn(t, stores[0], "tab", "_alex")
	_, d, err := stores[0].Decide(t.Context(), hash("tab"), "_alex", consent(1, fdx.OneTime), noon)
	if d != grant.Decided || err != nil {
		t.Fatal(d, err)
	}
	got := crush(t, url, `SELECT FROM authorization_code FOR UPDATE`, 50, func(n int) (grant.Outcome, error) {
		_, r, err := stores[n%3].RedeemCode(t.Context(), hash("code 1"), right(), hash(fmt.Sprint("refresh ", n)), noon)
		return r.Outcome, err
	})
	if diff := cmp.Diff(map[grant.Outcome]int{grant.Redeemed: 1, grant.CodeReplayed: 49}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	want := map[grant.Why]int{grant.Approved: 1, grant.CodeRedeemed: 1, grant.CodeReused: 1}
	if diff := cmp.Diff(want, history(t, url)); diff != "" {
		t.Errorf("the history (-want +got):\n%s", diff)
	}
	if ask[bool](t, connect(t, url), `SELECT bool_or(refresh_token IS NOT NULL) FROM authorization_grant`) {
		t.Error("a refresh token was given")
	}
}

// TestGrantsAndCodesInOneOrder: whoever ends grants, or takes them away, does not wait in a circle with a redemption, which
// locks the code and then its grant. It does so in one statement, into which the scheduler cannot step.
func TestGrantsAndCodesInOneOrder(t *testing.T) {
	for name, takeAway := range map[string]func(ctx context.Context, s *store.Store) error{
		"erase": func(ctx context.Context, s *store.Store) error {
			_, err := s.ErasePerson(ctx, "alex")
			return err
		},
		"disable": func(ctx context.Context, s *store.Store) error {
			_, err := s.DisablePerson(ctx, "alex", noon)
			return err
		},
		"sweep": func(ctx context.Context, s *store.Store) error {
			return s.SweepAuthorizations(ctx, aMonth, noon.Add(10*fdx.MaxLife))
		},
	} {
		t.Run(name, func(t *testing.T) {
			url, stores := replicas(t)
			approve(t, stores[0])
			operator, observer := connect(t, url), connect(t, url)
			execute(t, operator, `BEGIN`)
			execute(t, operator, `SELECT FROM authorization_code FOR UPDATE`)
			redeemed, taken := make(chan error, 1), make(chan error, 1)
			go func() {
				_, _, err := stores[1].RedeemCode(t.Context(), hash("code 1"), right(), hash("refresh"), noon)
				redeemed <- err
			}()
			until(t, "the redemption waits for the code", func() bool { return blocked(t, observer) == 1 })
			go func() { taken <- takeAway(t.Context(), stores[2]) }()
			until(t, "the other waits too, or is done", func() bool { return blocked(t, observer) == 2 || len(taken) == 1 })
			execute(t, operator, `ROLLBACK`)
			if err, err2 := <-redeemed, <-taken; err != nil || err2 != nil {
				t.Errorf("redeem: %v; %s: %v", err, name, err2)
			}
		})
	}
}
