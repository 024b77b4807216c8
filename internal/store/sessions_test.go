package store_test

import (
	"fmt"
	"testing"
	"time"

	"authserver/internal/person"
	"authserver/internal/store"
	"authserver/internal/store/storetest"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// begin signs somebody in at noon, with a cookie of this name.
func begin(t *testing.T, s *store.Store, cookie, subject string) {
	t.Helper()
	if signedIn, err := s.SignIn(t.Context(), nil, hash(cookie), proven(subject), lifetimes, noon); !signedIn || err != nil {
		t.Fatalf("%s signs in: %v, %v", subject, signedIn, err)
	}
}

// lives wants a session to be alive, or not, when it is used at now.
func lives(t *testing.T, s *store.Store, cookie string, now time.Time, want bool) {
	t.Helper()
	if of, got, err := s.Session(t.Context(), hash(cookie), lifetimes, now); got != want || err != nil || got != (of.Subject != "") {
		t.Errorf("%s at +%s: %+v, %v, %v, want %v", cookie, now.Sub(noon), of, got, err, want)
	}
}

// TestSignIn (AZ-09): a sign-in begins a session and ends the one before; nobody signs in who is unknown or disabled, and
// then nothing ends either.
func TestSignIn(t *testing.T) {
	s := storetest.New(t)
	addPeople(t, s, "alex", "kim")
	begin(t, s, "first", "_alex")
	if signedIn, err := s.SignIn(t.Context(), hash("first"), hash("second"), proven("_alex"), lifetimes, noon); !signedIn || err != nil {
		t.Fatal(signedIn, err)
	}
	lives(t, s, "first", noon, false)
	lives(t, s, "second", noon, true)
	if _, err := s.DisablePerson(t.Context(), "kim", noon); err != nil {
		t.Fatal(err)
	}
	for _, subject := range []string{"_kim", "_nobody", ""} {
		if signedIn, err := s.SignIn(t.Context(), hash("second"), hash("third"), proven(subject), lifetimes, noon); signedIn || err != nil {
			t.Errorf("%q signs in: %v, %v", subject, signedIn, err)
		}
		lives(t, s, "second", noon, true)
		lives(t, s, "third", noon, false)
	}
	want := session("_alex")
	want.UsedAt = noon.Add(time.Minute)
	got, _, err := s.Session(t.Context(), hash("second"), lifetimes, want.UsedAt)
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("the session: %v (-want +got):\n%s", err, diff)
	}
	if signedIn, err := s.SignIn(t.Context(), hash("second"), hash("kim's"), proven("_alex"), lifetimes, noon); !signedIn || err != nil {
		t.Errorf("alex again: %v, %v", signedIn, err)
	}
	for range 2 {
		if err := s.SignOut(t.Context(), hash("kim's")); err != nil {
			t.Fatal(err)
		}
		lives(t, s, "kim's", noon, false)
	}
}

// TestSessionLives: the store says of a session at every time what the rule says, for all lifetimes, also when replicas'
// clocks differ, and a use never makes it shorter.
func TestSessionLives(t *testing.T) {
	s := storetest.New(t)
	addPeople(t, s, "alex")
	n := 0
	rapid.Check(t, func(r *rapid.T) {
		n++
		cookie := fmt.Sprint("session ", n)
		l := person.Lifetimes{
			Idle: time.Duration(rapid.IntRange(1, 5).Draw(r, "idle")) * time.Minute,
			Most: time.Duration(rapid.IntRange(1, 12).Draw(r, "most")) * time.Minute,
		}
		want, now := session("_alex"), noon
		if signedIn, err := s.SignIn(t.Context(), nil, hash(cookie), proven("_alex"), l, noon); !signedIn || err != nil {
			r.Fatal(signedIn, err)
		}
		for range rapid.IntRange(1, 8).Draw(r, "uses") {
			now = now.Add(time.Duration(rapid.IntRange(-1, 5).Draw(r, "minutes")) * time.Minute)
			got, alive, err := s.Session(t.Context(), hash(cookie), l, now)
			if err != nil || alive != want.Alive(l, now) {
				r.Fatalf("at +%s, used at +%s: %v, %v", now.Sub(noon), want.UsedAt.Sub(noon), alive, err)
			}
			if alive && now.After(want.UsedAt) {
				want.UsedAt = now
			}
			if alive && !cmp.Equal(want, got) {
				r.Fatalf("(-want +got):\n%s", cmp.Diff(want, got))
			}
		}
	})
}

// TestAttempts (AZ-22): attempts are counted together for as long as the window of the first lasts, each key for itself,
// until they are forgiven.
func TestAttempts(t *testing.T) {
	s := storetest.New(t)
	for i, test := range []struct {
		key  string
		at   time.Duration
		want person.Attempts
	}{
		{"alex", 0, person.Attempts{Since: noon, Count: 1}},
		{"alex", time.Minute, person.Attempts{Since: noon, Count: 2}},
		{"kim", time.Minute, person.Attempts{Since: noon.Add(time.Minute), Count: 1}},
		{"alex", -time.Second, person.Attempts{Since: noon, Count: 3}},
		{"alex", person.AttemptWindow - time.Microsecond, person.Attempts{Since: noon, Count: 4}},
		{"alex", person.AttemptWindow, person.Attempts{Since: noon.Add(person.AttemptWindow), Count: 1}},
		{"alex", person.AttemptWindow + time.Minute, person.Attempts{Since: noon.Add(person.AttemptWindow), Count: 2}},
	} {
		got, err := s.Attempt(t.Context(), hash(test.key), noon.Add(test.at))
		if diff := cmp.Diff(test.want, got); diff != "" || err != nil {
			t.Fatalf("attempt %d: %v (-want +got):\n%s", i+1, err, diff)
		}
	}
	for range 2 {
		if err := s.Forgive(t.Context(), hash("alex")); err != nil {
			t.Fatal(err)
		}
	}
	at := noon.Add(person.AttemptWindow)
	if got, err := s.Attempt(t.Context(), hash("alex"), at); err != nil || !cmp.Equal(got, person.Attempts{Since: at, Count: 1}) {
		t.Errorf("after they were forgiven: %+v, %v", got, err)
	}
	if got, err := s.Attempt(t.Context(), hash("kim"), noon.Add(2*time.Minute)); err != nil || got.Count != 2 {
		t.Errorf("kim's were forgiven with alex': %+v, %v", got, err)
	}
}

// TestAttemptsAtOnce (AZ-22): of fifty attempts at once none is counted with another.
func TestAttemptsAtOnce(t *testing.T) {
	_, stores := replicas(t)
	got := tally(t, 50, func(n int) (int, error) {
		a, err := stores[n%3].Attempt(t.Context(), hash("alex"), noon)
		return a.Count, err
	})
	for n := range 50 {
		if got[n+1] != 1 {
			t.Errorf("%d attempts were the number %d", got[n+1], n+1)
		}
	}
}
