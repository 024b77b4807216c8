package store_test

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"sync"
	"testing"
	"time"

	"authserver/internal/grant"
	"authserver/internal/store"
	"authserver/internal/store/storetest"

	"github.com/google/go-cmp/cmp"
)

const verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk" // RFC 7636, appendix B

func hash(s string) []byte {
	h := sha256.Sum256([]byte(s))
	return h[:]
}

// pushed is a request of the client "c1" under the hash of "request".
func pushed(t *testing.T, s *store.Store) grant.Pushed {
	t.Helper()
	addClients(t, s, "c1")
	p := grant.Pushed{ClientID: "c1", RedirectURI: "https://c1.example/cb", Scope: "fdx:accountbasic:read", CodeChallenge: base64.RawURLEncoding.EncodeToString(hash(verifier)), ArriveBy: noon.Add(grant.DefaultArrival)}
	if err := s.Push(t.Context(), hash("request"), p); err != nil {
		t.Fatal(err)
	}
	return p
}

func openInteraction(t *testing.T, s *store.Store, id string, now time.Time) {
	t.Helper()
	if _, opened, err := s.OpenInteraction(t.Context(), hash("request"), "c1", hash(id), now); err != nil || !opened {
		t.Fatalf("interaction %s: opened %v, %v", id, opened, err)
	}
}

func logIn(t *testing.T, s *store.Store, id, subject string) {
	t.Helper()
	if u, found, err := s.Step(t.Context(), hash(id), subject, noon); err != nil || !found || u.Subject != subject {
		t.Fatalf("log in at %s: %+v, %v, %v", id, u, found, err)
	}
}

// approval is alex' yes.
func approval(p grant.Pushed, n string) *store.Approval {
	return &store.Approval{
		Grant: grant.Grant{ID: "grant " + n, ClientID: p.ClientID, Subject: "alex", Scope: p.Scope, AuthTime: noon, CreatedAt: noon, ExpiresAt: noon.Add(grant.Lifetime)},
		Code:  grant.Code{ClientID: p.ClientID, RedirectURI: p.RedirectURI, CodeChallenge: p.CodeChallenge, JKT: p.JKT, ExpiresAt: noon.Add(grant.CodeLifetime)},
		Hash:  hash("code " + n),
	}
}

// TestInteractions: a browser that arrives in time may go on after the request's time is over; one that comes late, or for
// another client, finds nothing.
func TestInteractions(t *testing.T) {
	s := storetest.New(t)
	p := pushed(t, s)
	openInteraction(t, s, "tab", noon)
	for name, test := range map[string]struct {
		request, client string
		now             time.Time
	}{
		"late": {"request", "c1", p.ArriveBy}, "another client": {"request", "c2", noon}, "another request": {"other", "c1", noon},
	} {
		if _, opened, err := s.OpenInteraction(t.Context(), hash(test.request), test.client, hash(name), test.now); opened || err != nil {
			t.Errorf("%s: opened %v, %v", name, opened, err)
		}
	}
	if err := s.SweepRequests(t.Context(), noon.Add(10*time.Minute)); err != nil {
		t.Fatal(err)
	}
	u, found, err := s.Step(t.Context(), hash("tab"), "", noon.Add(14*time.Minute))
	if err != nil || !found {
		t.Fatalf("after 14 minutes: %v, %v", found, err)
	}
	if diff := cmp.Diff(p, u.Request); diff != "" {
		t.Errorf("the request (-pushed +found):\n%s", diff)
	}
	if _, found, err := s.Step(t.Context(), hash("tab"), "", noon.Add(31*time.Minute)); found || err != nil {
		t.Errorf("after 31 minutes: %v, %v", found, err)
	}
	if err := s.SweepRequests(t.Context(), noon.Add(31*time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, opened, err := s.OpenInteraction(t.Context(), hash("request"), "c1", hash("again"), noon); opened || err != nil {
		t.Errorf("after the sweep: %v, %v", opened, err)
	}
}

// TestOneDecision (AZ-19): of fifty tabs that answer at once, over three replicas, one decides.
func TestOneDecision(t *testing.T) {
	url := storetest.URL(t)
	s := storetest.Open(t, url)
	p := pushed(t, s)
	const tabs = 50
	for i := range tabs {
		openInteraction(t, s, fmt.Sprint("tab ", i), noon)
		logIn(t, s, fmt.Sprint("tab ", i), "alex")
	}
	replicas := []*store.Store{s, storetest.Open(t, url), storetest.Open(t, url)}
	var mu sync.Mutex
	got := map[grant.Decision]int{}
	var all sync.WaitGroup
	for i := range tabs {
		all.Go(func() {
			_, d, err := replicas[i%3].Decide(t.Context(), hash(fmt.Sprint("tab ", i)), "alex", approval(p, fmt.Sprint(i)), noon)
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			got[d]++
		})
	}
	all.Wait()
	if diff := cmp.Diff(map[grant.Decision]int{grant.Decided: 1, grant.AlreadyAnswered: tabs - 1}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if n := ask[int](t, connect(t, url), `SELECT count(*)::int FROM authorization_grant`); n != 1 {
		t.Errorf("%d grants", n)
	}
}

// TestDecideRefuses: nobody decides for another, after a no, or where nothing is open.
func TestDecideRefuses(t *testing.T) {
	s := storetest.New(t)
	p := pushed(t, s)
	openInteraction(t, s, "tab", noon)
	openInteraction(t, s, "other", noon)
	logIn(t, s, "tab", "alex")
	logIn(t, s, "other", "kim")
	for _, test := range []struct {
		id, subject string
		now         time.Time
		approval    *store.Approval
		want        grant.Decision
	}{
		{"tab", "kim", noon, approval(p, "1"), grant.NotTheirs},
		{"nobody's", "alex", noon, approval(p, "2"), grant.Expired},
		{"tab", "alex", noon.Add(16 * time.Minute), approval(p, "3"), grant.Expired},
		{"other", "kim", noon, nil, grant.Decided},
		{"tab", "alex", noon, approval(p, "4"), grant.AlreadyAnswered},
	} {
		if _, got, err := s.Decide(t.Context(), hash(test.id), test.subject, test.approval, test.now); got != test.want || err != nil {
			t.Errorf("%s decides in %s: %s, %v, want %s", test.subject, test.id, got, err, test.want)
		}
	}
	if _, r, err := s.RedeemCode(t.Context(), hash("code 1"), grant.Attempt{ClientID: "c1"}, nil, noon); r != grant.CodeUnknown || err != nil {
		t.Errorf("a code of nobody's: %s, %v", r, err)
	}
}

// approved is a code that alex' yes has brought, under the hash of "code 1".
func approved(t *testing.T, s *store.Store) grant.Attempt {
	t.Helper()
	p := pushed(t, s)
	openInteraction(t, s, "tab", noon)
	logIn(t, s, "tab", "alex")
	if _, d, err := s.Decide(t.Context(), hash("tab"), "alex", approval(p, "1"), noon); d != grant.Decided || err != nil {
		t.Fatal(d, err)
	}
	return grant.Attempt{ClientID: "c1", RedirectURI: p.RedirectURI, Verifier: verifier}
}

// TestOneRedemption (CG): of fifty that redeem a code at once one succeeds, and since the others are replays by its own
// client the grant is dead then.
func TestOneRedemption(t *testing.T) {
	url := storetest.URL(t)
	s := storetest.Open(t, url)
	good := approved(t, s)
	replicas := []*store.Store{s, storetest.Open(t, url), storetest.Open(t, url)}
	var mu sync.Mutex
	got := map[grant.Redemption]int{}
	var all sync.WaitGroup
	for i := range 50 {
		all.Go(func() {
			_, r, err := replicas[i%3].RedeemCode(t.Context(), hash("code 1"), good, hash("refresh"), noon)
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			got[r]++
		})
	}
	all.Wait()
	if diff := cmp.Diff(map[grant.Redemption]int{grant.Redeemed: 1, grant.CodeReplayed: 49}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if g, found, err := s.GrantOf(t.Context(), hash("refresh")); err != nil || !found || g.Alive(noon) {
		t.Errorf("after the replays: %+v, %v, %v", g, found, err)
	}
}

// TestRedemption: wrong tries are counted, strangers count for nothing, and the grant comes with its refresh token.
func TestRedemption(t *testing.T) {
	s := storetest.New(t)
	good := approved(t, s)
	wrong, stranger := good, good
	wrong.Verifier, stranger.ClientID = verifier[:43-1]+"A", "c2"
	for i, test := range []struct {
		attempt grant.Attempt
		want    grant.Redemption
	}{
		{stranger, grant.CodeUnknown}, {wrong, grant.WrongVerifier}, {wrong, grant.WrongVerifier}, {wrong, grant.WrongVerifier}, {wrong, grant.WrongVerifier},
		{stranger, grant.CodeUnknown}, {good, grant.Redeemed}, {stranger, grant.CodeUnknown},
	} {
		g, r, err := s.RedeemCode(t.Context(), hash("code 1"), test.attempt, hash("refresh"), noon)
		if r != test.want || err != nil {
			t.Fatalf("try %d: %s, %v, want %s", i+1, r, err, test.want)
		}
		if r == grant.Redeemed && (g.ID != "grant 1" || g.Subject != "alex") {
			t.Errorf("the grant %+v", g)
		}
	}
	if g, found, err := s.GrantOf(t.Context(), hash("refresh")); err != nil || !found || !g.Refreshes("c1", noon) {
		t.Errorf("the refresh token's grant %+v, %v, %v", g, found, err)
	}
	if revoked, err := s.RevokeGrant(t.Context(), "grant 1", noon); !revoked || err != nil {
		t.Errorf("revoke: %v, %v", revoked, err)
	}
	if revoked, err := s.RevokeGrant(t.Context(), "grant 1", noon); revoked || err != nil {
		t.Errorf("revoke again: %v, %v", revoked, err)
	}
	if g, _, err := s.GrantOf(t.Context(), hash("refresh")); err != nil || g.Refreshes("c1", noon) {
		t.Errorf("a revoked grant %+v, %v", g, err)
	}
}
