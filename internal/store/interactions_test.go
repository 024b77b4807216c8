package store_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"sync"
	"testing"
	"time"

	"authserver/internal/grant"
	"authserver/internal/person"
	"authserver/internal/store"
	"authserver/internal/store/storetest"

	"github.com/google/go-cmp/cmp"
)

const verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk" // RFC 7636, appendix B

func hash(s string) []byte {
	h := sha256.Sum256([]byte(s))
	return h[:]
}

// request is what the client "c1" pushes in these tests, with all that a request may have.
func request() grant.Pushed {
	age := 600
	return grant.Pushed{
		ClientID: "c1", RedirectURI: "https://c1.example/cb", State: "state \x00", Scope: "fdx:accountbasic:read",
		Resources: []string{"https://api.example"}, JKT: "key", Nonce: "nonce", Prompt: []string{"login", "consent"},
		MaxAge: &age, ACRValues: []string{person.ACRPassword}, LoginHint: "alex", UILocales: []string{"es"},
		Subject: "_alex", ArriveBy: noon.Add(grant.DefaultArrival),
		CodeChallenge: base64.RawURLEncoding.EncodeToString(hash(verifier)),
	}
}

// addPeople adds people whose subjects are their usernames behind an underscore.
func addPeople(t testing.TB, s *store.Store, usernames ...string) {
	t.Helper()
	for _, name := range usernames {
		p := person.Person{Subject: "_" + name, Username: name, PasswordHash: "hash of " + name, CreatedAt: noon}
		if added, err := s.AddPerson(t.Context(), p); !added || err != nil {
			t.Fatalf("add %s: %v, %v", name, added, err)
		}
	}
}

// push has the client c1 push its request, for alex and kim, under the hash of "request".
func push(t testing.TB, s *store.Store) {
	t.Helper()
	addClients(t, s, "c1", "c2")
	addPeople(t, s, "alex", "kim")
	if err := s.Push(t.Context(), hash("request"), request()); err != nil {
		t.Fatal(err)
	}
}

// visit brings browsers to the request of c1, each with a cookie of this name.
func visit(t testing.TB, s *store.Store, cookies ...string) {
	t.Helper()
	for _, cookie := range cookies {
		v := grant.Visit{RequestURI: hash("request"), ClientID: "c1", New: hash(cookie)}
		if _, a, err := s.Visit(t.Context(), v, noon); a != grant.Opened || err != nil {
			t.Fatalf("%s: %s, %v", cookie, a, err)
		}
	}
}

// signIn has somebody sign in at an interaction.
func signIn(t testing.TB, s *store.Store, cookie, subject string) {
	t.Helper()
	if i, taken, err := s.Step(t.Context(), hash(cookie), subject, noon); err != nil || !taken || i.Subject != subject {
		t.Fatalf("%s at %s: %+v, %v, %v", subject, cookie, i, taken, err)
	}
}

// TestVisit: a browser that arrives in time has its interaction opened, and resumes it for as long as it lives; one that
// comes late, for another client, or without a request finds nothing.
func TestVisit(t *testing.T) {
	s := storetest.New(t)
	push(t, s)
	visit(t, s, "tab")
	if err := s.Push(t.Context(), hash("another request"), request()); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, request, client, current, fresh string
		minutes                               int
		want                                  grant.Arrival
	}{
		{"a reload", "request", "c1", "tab", "new", 1, grant.Resumed},
		{"a reload when nobody may arrive any more", "request", "c1", "tab", "new", 14, grant.Resumed},
		{"a reload at the end", "request", "c1", "tab", "new", 15, grant.TooLate},
		{"a cookie of nobody's", "request", "c1", "forged", "second", 1, grant.Opened},
		{"another request's cookie", "another request", "c1", "tab", "third", 1, grant.Opened},
		{"another client", "request", "c2", "", "new", 1, grant.Unknown},
		{"another client with a cookie", "request", "c2", "tab", "new", 1, grant.Unknown},
		{"no text", "request", "c1\xff\x00", "", "new", 1, grant.Unknown},
		{"no request", "nothing", "c1", "", "new", 1, grant.Unknown},
		{"late", "request", "c1", "", "new", 2, grant.TooLate},
	} {
		v := grant.Visit{RequestURI: hash(test.request), ClientID: test.client, New: hash(test.fresh)}
		if test.current != "" {
			v.Current = hash(test.current)
		}
		i, got, err := s.Visit(t.Context(), v, noon.Add(time.Duration(test.minutes)*time.Minute))
		if got != test.want || err != nil {
			t.Errorf("%s: %s, %v, want %s", test.name, got, err, test.want)
		}
		if going := got == grant.Opened || got == grant.Resumed; going {
			if diff := cmp.Diff(request(), i.Request); diff != "" {
				t.Errorf("%s: the request (-pushed +found):\n%s", test.name, diff)
			}
		} else if i.Request.ClientID != "" {
			t.Errorf("%s: is told %+v", test.name, i)
		}
	}
	if _, taken, err := s.Step(t.Context(), hash("new"), "", noon); taken || err != nil {
		t.Errorf("a refused browser has an interaction: %v, %v", taken, err)
	}
	if _, taken, err := s.Step(t.Context(), hash("third"), "", noon); !taken || err != nil {
		t.Errorf("an opened interaction takes no step: %v, %v", taken, err)
	}
}

// TestSteps: what subject and accounts an interaction has is kept, and of the departures the last, for one return.
func TestSteps(t *testing.T) {
	s := storetest.New(t)
	push(t, s)
	v := grant.Visit{RequestURI: hash("request"), ClientID: "c1", New: hash("tab"), Session: hash("session")}
	if i, a, err := s.Visit(t.Context(), v, noon); a != grant.Opened || err != nil || !bytes.Equal(i.CameWith, v.Session) {
		t.Fatal(i, a, err)
	}
	id := hash("tab")
	at := func(minute int) time.Time { return noon.Add(time.Duration(minute) * time.Minute) }
	want := grant.Interaction{Request: request(), OpenedAt: noon, CameWith: v.Session}
	expect := func(what string, i grant.Interaction, ok bool, err error, endsAt int) {
		t.Helper()
		want.ExpiresAt = at(endsAt)
		if diff := cmp.Diff(want, i); diff != "" || !ok || err != nil {
			t.Fatalf("%s: %v, %v (-want +got):\n%s", what, ok, err, diff)
		}
	}
	i, ok, err := s.Step(t.Context(), id, "", at(1))
	expect("nobody's step", i, ok, err, 16)
	for _, state := range []string{"first", "second"} {
		if left, err := s.Depart(t.Context(), id, hash(state), at(2)); !left || err != nil {
			t.Fatal(left, err)
		}
	}
	for _, foreign := range [][]byte{hash("first"), hash("forged"), nil, {}} {
		if _, returned, err := s.Return(t.Context(), id, foreign, at(3)); returned || err != nil {
			t.Errorf("returned from %x: %v", foreign, err)
		}
	}
	i, ok, err = s.Return(t.Context(), id, hash("second"), at(3))
	expect("the return", i, ok, err, 18)
	if _, returned, err := s.Return(t.Context(), id, hash("second"), at(3)); returned || err != nil {
		t.Errorf("returned twice: %v", err)
	}
	want.Subject = "_alex"
	i, ok, err = s.Step(t.Context(), id, "_alex", at(4))
	expect("alex' step", i, ok, err, 19)
	want.Accounts = []string{"a1", "a2"}
	i, ok, err = s.Choose(t.Context(), id, "_alex", want.Accounts, at(5))
	expect("a choice", i, ok, err, 20)
	i, ok, err = s.Step(t.Context(), id, "_alex", at(19))
	expect("the step before the end", i, ok, err, 30)
	want.Accounts = []string{}
	i, ok, err = s.Choose(t.Context(), id, "_alex", nil, at(20))
	expect("a choice of none", i, ok, err, 30)
	want.Subject, want.Accounts = "_kim", nil
	i, ok, err = s.Step(t.Context(), id, "_kim", at(21))
	expect("kim's step", i, ok, err, 30)
	if _, chosen, err := s.Choose(t.Context(), id, "", []string{"a1"}, at(22)); chosen || err != nil {
		t.Errorf("nobody chooses: %v, %v", chosen, err)
	}
	i, ok, err = s.Step(t.Context(), id, "_kim", at(22))
	expect("after nobody's choice", i, ok, err, 30)
	if _, taken, err := s.Step(t.Context(), id, "_kim", at(30)); taken || err != nil {
		t.Errorf("a step at the end: %v, %v", taken, err)
	}
	if left, err := s.Depart(t.Context(), id, hash("late"), at(30)); left || err != nil {
		t.Errorf("left at the end: %v, %v", left, err)
	}
}

// TestCrowd: a request is opened by so many browsers and no more, also when they come at once.
func TestCrowd(t *testing.T) {
	url, stores := narrow(t)
	push(t, stores[0])
	got := crush(t, url, `SELECT FROM pushed_request FOR UPDATE`, grant.MaxInteractions+10, func(n int) (grant.Arrival, error) {
		v := grant.Visit{RequestURI: hash("request"), ClientID: "c1", New: hash(fmt.Sprint(n))}
		_, a, err := stores[n%3].Visit(t.Context(), v, noon)
		return a, err
	})
	if diff := cmp.Diff(map[grant.Arrival]int{grant.Opened: grant.MaxInteractions, grant.Crowded: 10}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// narrow are replicas with so few connections that all of them are at work soon, and none waits for long.
func narrow(t *testing.T) (url string, stores []*store.Store) {
	t.Helper()
	url = storetest.URL(t)
	for range 3 {
		stores = append(stores, storetest.Open(t, url+fmt.Sprintf("&pool_max_conns=%d", narrowPool)))
	}
	return url, stores
}

const narrowPool = 4

// crush makes n calls of narrow replicas while a lock is held that all want, and lets them go together.
func crush[T comparable](t *testing.T, url, lock string, n int, call func(n int) (T, error)) map[T]int {
	t.Helper()
	operator, observer := connect(t, url), connect(t, url)
	execute(t, operator, `BEGIN`)
	execute(t, operator, lock)
	done := make(chan map[T]int)
	go func() { done <- tally(t, n, call) }()
	until(t, "as many wait as there are connections", func() bool { return blocked(t, observer) == 3*narrowPool })
	execute(t, operator, `ROLLBACK`)
	return <-done
}

// tally makes n calls at once and counts what came of them.
func tally[T comparable](t *testing.T, n int, call func(n int) (T, error)) map[T]int {
	t.Helper()
	outcomes := make([]T, n)
	gate := make(chan struct{})
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			<-gate
			var err error
			if outcomes[i], err = call(i); err != nil {
				t.Errorf("call %d: %v", i, err)
			}
		})
	}
	close(gate)
	all.Wait()
	count := map[T]int{}
	for _, outcome := range outcomes {
		count[outcome]++
	}
	return count
}
