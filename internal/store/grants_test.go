package store_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"authserver/internal/fdx"
	"authserver/internal/grant"
	"authserver/internal/store"
	"authserver/internal/store/storetest"

	"github.com/google/go-cmp/cmp"
)

// approval is alex' yes to the request of c1: the grant, and the code, of this number.
func approval(n int) *grant.Approval {
	p := request()
	return &grant.Approval{
		Grant: grant.Grant{
			ID: fmt.Sprint("grant ", n), ClientID: p.ClientID, Subject: "_alex", Scope: p.Scope, Resources: p.Resources,
			Accounts: []string{"a1"}, AuthTime: noon.Add(-time.Minute), ACR: "password", AMR: []string{"pwd"}, SessionID: "session 1",
			CreatedAt: noon, UpdatedAt: noon, ExpiresAt: noon.Add(fdx.MaxLife),
		},
		Code: grant.Code{
			ClientID: p.ClientID, RedirectURI: p.RedirectURI, CodeChallenge: p.CodeChallenge, JKT: p.JKT, Nonce: p.Nonce,
			ExpiresAt: noon.Add(grant.CodeLifetime),
		},
		CodeHash: hash(fmt.Sprint("code ", n)),
	}
}

// consent is alex' yes of this number to share an account in the words of FDX: once, or for a month.
func consent(n int, durationType string) *grant.Approval {
	a := approval(n)
	r := fdx.ConsentRequest{DurationType: durationType, Resources: []fdx.Resource{
		{ResourceType: fdx.Account, ResourceID: "a1", DataClusters: []string{"ACCOUNT_BASIC"}}}}
	if durationType == fdx.TimeBound {
		r.DurationPeriod = 30
	}
	a.Grant.Details = fdx.Details{r}
	a.Grant.ExpiresAt = fdx.Life{Longest: fdx.MaxLife, Once: time.Hour}.End(a.Grant.Details, noon)
	a.InteractionID = "the yes"
	return a
}

// approve brings alex' yes of number 1 into the store.
func approve(t testing.TB, s *store.Store) {
	t.Helper()
	push(t, s)
	visit(t, s, "tab")
	signIn(t, s, "tab", "_alex")
	if _, d, err := s.Decide(t.Context(), hash("tab"), "_alex", approval(1), noon); d != grant.Decided || err != nil {
		t.Fatal(d, err)
	}
}

// right is the attempt that redeems a code of an approval, for an access token of five minutes.
func right() grant.Attempt {
	p := request()
	return grant.Attempt{ClientID: p.ClientID, RedirectURI: p.RedirectURI, Verifier: verifier, JKT: p.JKT,
		Lifetime: 5 * time.Minute, InteractionID: "the token request"}
}

// redeem wants an attempt at code 1 to come to this.
func redeem(t testing.TB, s *store.Store, a grant.Attempt, now time.Time, want grant.Outcome) grant.Grant {
	t.Helper()
	g, got, err := s.RedeemCode(t.Context(), hash("code 1"), a, hash("refresh"), now)
	if got.Outcome != want || err != nil {
		t.Fatalf("%+v: %+v, %v, want %s", a, got, err, want)
	}
	return g
}

// stop is the operator, who ends grant 1.
func stop(ctx context.Context, s *store.Store) (stopped bool, err error) {
	_, became, err := s.RevokeGrant(ctx, "grant 1", grant.Owner{}, grant.Stopped(grant.OperatorStopped, "", "", noon))
	return became == grant.Ended, err
}

// giveUp is a client that revokes a refresh token.
func giveUp(ctx context.Context, s *store.Store, token, clientID string) (grantID string, revoked bool, err error) {
	return s.RevokeRefreshToken(ctx, hash(token), grant.Stopped(grant.RefreshTokenRevoked, clientID, "", noon))
}

// refreshes wants the refresh token of these tests to be worth something or nothing.
func refreshes(t testing.TB, s *store.Store, now time.Time, want bool) {
	t.Helper()
	if g, got, err := s.Refresh(t.Context(), hash("refresh"), "c1", now); got != want || err != nil || got != (g.ID != "") {
		t.Errorf("refresh: %+v, %v, %v, want %v", g, got, err, want)
	}
}

// TestOneDecision (AZ-19): of fifty tabs that answer at once, over three replicas, one decides.
func TestOneDecision(t *testing.T) {
	url, stores := narrow(t)
	push(t, stores[0])
	const tabs = 50
	for n := range tabs {
		visit(t, stores[0], fmt.Sprint("tab ", n))
		signIn(t, stores[0], fmt.Sprint("tab ", n), "_alex")
	}
	got := crush(t, url, `SELECT FROM pushed_request FOR UPDATE`, tabs, func(n int) (grant.Decision, error) {
		_, d, err := stores[n%3].Decide(t.Context(), hash(fmt.Sprint("tab ", n)), "_alex", approval(n), noon)
		return d, err
	})
	if diff := cmp.Diff(map[grant.Decision]int{grant.Decided: 1, grant.AlreadyAnswered: tabs - 1}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if n := ask[int](t, connect(t, url), `SELECT count(*)::int FROM authorization_grant`); n != 1 {
		t.Errorf("%d grants", n)
	}
}

// TestDecide: who decides, in which interaction and when; after a decision nothing about the request moves any more.
func TestDecide(t *testing.T) {
	for _, test := range []struct {
		name, id, subject string
		minutes           int
		approval          *grant.Approval
		want              grant.Decision
		grants            int
	}{
		{"AZ-18 another person", "tab", "_kim", 0, approval(1), grant.NotTheirs, 0},
		{"nobody", "tab", "", 0, nil, grant.NotTheirs, 0},
		{"AZ-28 no interaction", "forged", "_alex", 0, approval(1), grant.Expired, 0},
		{"AZ-28 late", "tab", "_alex", 15, approval(1), grant.Expired, 0},
		{"just in time", "tab", "_alex", 14, approval(1), grant.Decided, 1},
		{"no", "tab", "_alex", 0, nil, grant.Decided, 0},
		{"the server's own answer", "nobody's tab", "", 0, nil, grant.Decided, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			url := storetest.URL(t)
			s := storetest.Open(t, url)
			push(t, s)
			visit(t, s, "tab", "nobody's tab", "other")
			signIn(t, s, "tab", "_alex")
			signIn(t, s, "other", "_kim")
			now := noon.Add(time.Duration(test.minutes) * time.Minute)
			i, d, err := s.Decide(t.Context(), hash(test.id), test.subject, test.approval, now)
			if d != test.want || err != nil || i.Decided != (d == grant.Decided) {
				t.Errorf("%s, %v, %+v", d, err, i)
			}
			if n := ask[int](t, connect(t, url), `SELECT count(*)::int FROM authorization_grant`); n != test.grants {
				t.Errorf("%d grants, want %d", n, test.grants)
			}
			after := grant.Decided
			if d == grant.Decided {
				after = grant.AlreadyAnswered
			}
			i, taken, err := s.Step(t.Context(), hash("other"), "_kim", noon)
			if taken != (d != grant.Decided) || i.Decided != (d == grant.Decided) || err != nil {
				t.Errorf("another's step afterwards: %v, %+v, %v", taken, i, err)
			}
			v := grant.Visit{RequestURI: hash("request"), ClientID: "c1", Current: hash("tab"), New: hash("new")}
			if _, a, err := s.Visit(t.Context(), v, noon); (a == grant.Answered) != (d == grant.Decided) || err != nil {
				t.Errorf("a visit afterwards: %s, %v", a, err)
			}
			if _, got, err := s.Decide(t.Context(), hash("other"), "_kim", nil, noon); got != after || err != nil {
				t.Errorf("another's answer afterwards: %s, %v, want %s", got, err, after)
			}
		})
	}
}

// TestDecideTooLate: no decision is kept for a client that has been deleted, or by a person who has been disabled, and a
// yes in another's name is a fault that changes nothing.
func TestDecideTooLate(t *testing.T) {
	url := storetest.URL(t)
	s, operator := storetest.Open(t, url), connect(t, url)
	push(t, s)
	visit(t, s, "tab", "kim's tab")
	signIn(t, s, "tab", "_alex")
	signIn(t, s, "kim's tab", "_kim")
	if _, d, err := s.Decide(t.Context(), hash("kim's tab"), "_kim", approval(1), noon); err == nil || d != "" {
		t.Errorf("alex' yes by kim: %s, %v", d, err)
	}
	execute(t, operator, `UPDATE person SET disabled_at = now() WHERE username = 'alex'`)
	for _, a := range []*grant.Approval{approval(1), nil} {
		if _, d, err := s.Decide(t.Context(), hash("tab"), "_alex", a, noon); d != grant.PersonGone || err != nil {
			t.Errorf("by a disabled person: %s, %v", d, err)
		}
	}
	execute(t, operator, `UPDATE client SET status = 'deleted' WHERE id = 'c1'`)
	for _, subject := range []string{"_kim", "_alex"} {
		id := map[string]string{"_kim": "kim's tab", "_alex": "tab"}[subject]
		if _, d, err := s.Decide(t.Context(), hash(id), subject, nil, noon); d != grant.ClientGone || err != nil {
			t.Errorf("for a deleted client by %s: %s, %v", subject, d, err)
		}
	}
	if ask[bool](t, operator, `SELECT bool_or(decided_at IS NOT NULL) FROM pushed_request`) {
		t.Error("a decision was kept")
	}
}

// TestOneRedemption (CG-03): of fifty that redeem a code at once one succeeds, and since the others are replays by its own
// client the grant is dead then, with the refresh token that the one was given.
func TestOneRedemption(t *testing.T) {
	url, stores := narrow(t)
	approve(t, stores[0])
	type end struct {
		outcome grant.Outcome
		ended   bool
	}
	got := crush(t, url, `SELECT FROM authorization_code FOR UPDATE`, 50, func(n int) (end, error) {
		g, r, err := stores[n%3].RedeemCode(t.Context(), hash("code 1"), right(), hash("refresh"), noon)
		return end{r.Outcome, g.RevokedAt != nil}, err
	})
	want := map[end]int{{grant.Redeemed, false}: 1, {grant.CodeReplayed, true}: 1, {grant.CodeReplayed, false}: 48}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(end{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	refreshes(t, stores[0], noon, false)
}

// TestRedeemCode (CG-01 to CG-05): the grant comes as it was approved, wrong tries are counted, strangers count for nothing.
func TestRedeemCode(t *testing.T) {
	s := storetest.New(t)
	approve(t, s)
	wrong, stranger, elsewhere, stolen := right(), right(), right(), right()
	wrong.Verifier, stranger.ClientID = verifier[1:]+"A", "c2"
	elsewhere.RedirectURI, stolen.JKT = "https://c1.example/CB", "other"
	redeem(t, s, stranger, noon, grant.CodeUnknown)
	redeem(t, s, wrong, noon, grant.WrongVerifier)
	redeem(t, s, elsewhere, noon, grant.WrongRedirect)
	redeem(t, s, stolen, noon, grant.WrongKey)
	redeem(t, s, wrong, noon, grant.WrongVerifier)
	redeem(t, s, stranger, noon, grant.CodeUnknown)
	refreshes(t, s, noon, false)
	want := approval(1).Grant
	want.UsedAt = &noon
	if diff := cmp.Diff(want, redeem(t, s, right(), noon, grant.Redeemed)); diff != "" {
		t.Errorf("the grant (-approved +redeemed):\n%s", diff)
	}
	redeem(t, s, stranger, noon, grant.CodeUnknown)
	refreshes(t, s, noon, true)
	g, alive, err := s.Refresh(t.Context(), hash("refresh"), "c1", noon)
	if diff := cmp.Diff(want, g); diff != "" || !alive || err != nil {
		t.Errorf("the refresh token's grant: %v, %v (-approved +found):\n%s", alive, err, diff)
	}
	if g := redeem(t, s, wrong, noon.Add(time.Hour), grant.CodeReplayed); g.ID != "grant 1" || g.RevokedAt == nil {
		t.Errorf("the replay ends %+v", g)
	}
	refreshes(t, s, noon, false)
	if g := redeem(t, s, right(), noon, grant.CodeReplayed); g.ID != "" {
		t.Errorf("the second replay ends %+v", g)
	}
}

// TestRedeemNonce: the nonce of the request stays with the code, to the letter, and is given once. A code of the program of
// before, which does not know the column, has none.
func TestRedeemNonce(t *testing.T) {
	s := storetest.New(t)
	push(t, s)
	visit(t, s, "tab")
	signIn(t, s, "tab", "_alex")
	a, nonce := approval(1), strings.Repeat("n-_.~é", 384/7) // of any characters that a form can carry
	a.Code.Nonce = nonce
	if _, d, err := s.Decide(t.Context(), hash("tab"), "_alex", a, noon); d != grant.Decided || err != nil {
		t.Fatal(d, err)
	}
	for _, want := range []grant.Redemption{{Outcome: grant.Redeemed, Nonce: nonce}, {Outcome: grant.CodeReplayed}} {
		if _, r, err := s.RedeemCode(t.Context(), hash("code 1"), right(), nil, noon); r != want || err != nil {
			t.Errorf("%+v, %v; want %+v", r, err, want)
		}
	}
}

// TestRedeemNot: a code that is unknown, late, or worn out gives nothing, and one whose grant has ended does not either.
func TestRedeemNot(t *testing.T) {
	for name, test := range map[string]struct {
		before func(t *testing.T, s *store.Store)
		now    time.Time
		want   grant.Outcome
	}{
		"in time":  {nil, noon.Add(grant.CodeLifetime - time.Microsecond), grant.Redeemed},
		"too late": {nil, noon.Add(grant.CodeLifetime), grant.CodeExpired},
		"worn out": {func(t *testing.T, s *store.Store) {
			for range grant.CodeFailures {
				redeem(t, s, grant.Attempt{ClientID: "c1", RedirectURI: request().RedirectURI}, noon, grant.WrongVerifier)
			}
		}, noon, grant.CodeUnknown},
		"of a revoked grant": {func(t *testing.T, s *store.Store) {
			if revoked, err := stop(t.Context(), s); !revoked || err != nil {
				t.Fatal(revoked, err)
			}
		}, noon, grant.CodeUnknown},
		"of a disabled person": {func(t *testing.T, s *store.Store) {
			if disabled, err := s.DisablePerson(t.Context(), "alex", noon); !disabled || err != nil {
				t.Fatal(disabled, err)
			}
		}, noon, grant.CodeUnknown},
		"of a person enabled again": {func(t *testing.T, s *store.Store) {
			_, err := s.DisablePerson(t.Context(), "alex", noon)
			enabled, err2 := s.EnablePerson(t.Context(), "alex")
			if err != nil || !enabled || err2 != nil {
				t.Fatal(err, enabled, err2)
			}
		}, noon, grant.CodeUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			s := storetest.New(t)
			approve(t, s)
			if test.before != nil {
				test.before(t, s)
			}
			redeem(t, s, right(), test.now, test.want)
			refreshes(t, s, noon, test.want == grant.Redeemed)
		})
	}
	s := storetest.New(t)
	redeem(t, s, right(), noon, grant.CodeUnknown)
}

// TestRefresh: a refresh token is good for its own client, again and again and for many at once, until its grant ends.
func TestRefresh(t *testing.T) {
	_, stores := replicas(t)
	s := stores[0]
	approve(t, s)
	redeem(t, s, right(), noon, grant.Redeemed)
	got := tally(t, 50, func(n int) (bool, error) {
		_, alive, err := stores[n%3].Refresh(t.Context(), hash("refresh"), "c1", noon)
		return alive, err
	})
	if diff := cmp.Diff(map[bool]int{true: 50}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	refreshes(t, s, noon.Add(fdx.MaxLife-time.Second), true)
	refreshes(t, s, noon.Add(fdx.MaxLife), false)
	if _, alive, err := s.Refresh(t.Context(), hash("refresh"), "c2", noon); alive || err != nil {
		t.Errorf("another client refreshes: %v, %v", alive, err)
	}
	if _, alive, err := s.Refresh(t.Context(), hash("forged"), "c1", noon); alive || err != nil {
		t.Errorf("a forged token refreshes: %v, %v", alive, err)
	}
	if id, revoked, err := giveUp(t.Context(), s, "refresh", "c2"); id != "grant 1" || revoked || err != nil {
		t.Errorf("another client revokes %q: %v, %v", id, revoked, err)
	}
	refreshes(t, s, noon, true)
	if id, revoked, err := giveUp(t.Context(), s, "refresh", "c1"); id != "grant 1" || !revoked || err != nil {
		t.Errorf("its client revokes %q: %v, %v", id, revoked, err)
	}
	refreshes(t, s, noon, false)
	if id, revoked, err := giveUp(t.Context(), s, "refresh", "c1"); id != "grant 1" || revoked || err != nil {
		t.Errorf("its client revokes again %q: %v, %v", id, revoked, err)
	}
	if id, revoked, err := giveUp(t.Context(), s, "forged", "c1"); id != "" || revoked || err != nil {
		t.Errorf("a forged token revokes %q: %v, %v", id, revoked, err)
	}
	if revoked, err := stop(t.Context(), s); revoked || err != nil {
		t.Errorf("revoked again: %v, %v", revoked, err)
	}
}

// TestNoRefreshToken: a code may be redeemed without one, by as many clients as there are.
func TestNoRefreshToken(t *testing.T) {
	s := storetest.New(t)
	approve(t, s)
	if _, r, err := s.RedeemCode(t.Context(), hash("code 1"), right(), nil, noon); r.Outcome != grant.Redeemed || err != nil {
		t.Fatal(r, err)
	}
	refreshes(t, s, noon, false)
	if _, alive, err := s.Refresh(t.Context(), nil, "c1", noon); alive || err != nil {
		t.Errorf("refreshed by no token: %v, %v", alive, err)
	}
}

// TestFindGrant: a grant is found by its id, also one that has ended.
func TestFindGrant(t *testing.T) {
	s := storetest.New(t)
	approve(t, s)
	want := approval(1).Grant
	for _, ended := range []*time.Time{nil, &noon} {
		want.RevokedAt = ended
		got, found, err := s.FindGrant(t.Context(), "grant 1")
		if diff := cmp.Diff(want, got); diff != "" || !found || err != nil {
			t.Errorf("found %v, %v (-want +got):\n%s", found, err, diff)
		}
		if _, err := stop(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	if g, found, err := s.FindGrant(t.Context(), "grant 2"); found || err != nil {
		t.Errorf("found %+v, %v", g, err)
	}
}

// TestOnce (RT-13): a consent for once has no refresh token, whatever its client is given, and ends with its access token.
func TestOnce(t *testing.T) {
	s := storetest.New(t)
	push(t, s)
	visit(t, s, "tab")
	signIn(t, s, "tab", "_alex")
	once := approval(1)
	once.Grant.Details = fdx.Details{fdx.ConsentRequest{DurationType: fdx.OneTime, Resources: []fdx.Resource{
		{ResourceType: fdx.Account, ResourceID: "a1", DataClusters: []string{"TRANSACTIONS"}}}}}
	if _, d, err := s.Decide(t.Context(), hash("tab"), "_alex", once, noon); d != grant.Decided || err != nil {
		t.Fatal(d, err)
	}
	a := right()
	a.Lifetime = 5 * time.Minute
	g := redeem(t, s, a, noon, grant.Redeemed)
	refreshes(t, s, noon, false)
	if kept, _, err := s.FindGrant(t.Context(), "grant 1"); !kept.ExpiresAt.Equal(noon.Add(5*time.Minute)) || !kept.ExpiresAt.Equal(g.ExpiresAt) || err != nil {
		t.Errorf("it ends at %v, and is kept to end at %v: %v", g.ExpiresAt, kept.ExpiresAt, err)
	}
}
