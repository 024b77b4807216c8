package store_test

import (
	"fmt"
	"testing"
	"time"

	"authserver/internal/grant"
	"authserver/internal/person"
	"authserver/internal/store"
	"authserver/internal/store/storetest"

	"github.com/google/go-cmp/cmp"
	"github.com/pressly/goose/v3"
)

// found wants a person to be stored under a username.
func found(t *testing.T, s *store.Store, username string, want person.Person) {
	t.Helper()
	got, found, err := s.FindPerson(t.Context(), username)
	if diff := cmp.Diff(want, got); diff != "" || !found || err != nil {
		t.Errorf("%s: found %v, %v (-want +got):\n%s", username, found, err, diff)
	}
}

// TestPeople: people are added once, found by their usernames, and listed in order.
func TestPeople(t *testing.T) {
	s := storetest.New(t)
	addPeople(t, s, "kim", "alex")
	alex := person.Person{Subject: "_alex", Username: "alex", PasswordHash: "hash of alex", CreatedAt: noon}
	kim := person.Person{Subject: "_kim", Username: "kim", PasswordHash: "hash of kim", CreatedAt: noon}
	found(t, s, "alex", alex)
	intruder := person.Person{Subject: "_intruder", Username: "alex", PasswordHash: "another", CreatedAt: noon}
	if added, err := s.AddPerson(t.Context(), intruder); added || err != nil {
		t.Errorf("a taken username was added: %v, %v", added, err)
	}
	found(t, s, "alex", alex)
	identity := person.Identity{Issuer: "https://login.example", Subject: "42"}
	sam, err := s.Recognise(t.Context(), identity, "Sam", "_sam", noon)
	if err != nil {
		t.Fatal(err)
	}
	for _, nobody := range []string{"", "ALEX", "_alex", "_sam", "alex\x00", "\xff", "sam"} {
		if _, found, err := s.FindPerson(t.Context(), nobody); found || err != nil {
			t.Errorf("%q: found %v, %v", nobody, found, err)
		}
	}
	if got, found, err := s.FindSubject(t.Context(), "_sam"); !found || err != nil || !cmp.Equal(got, sam) {
		t.Errorf("_sam: %+v, %v, %v", got, found, err)
	}
	for _, nobody := range []string{"", "alex", "_", "_sam\x00"} {
		if _, found, err := s.FindSubject(t.Context(), nobody); found || err != nil {
			t.Errorf("the subject %q: found %v, %v", nobody, found, err)
		}
	}
	all, err := s.People(t.Context())
	if diff := cmp.Diff([]person.Person{alex, kim, sam}, all); diff != "" || err != nil {
		t.Errorf("all: %v (-want +got):\n%s", err, diff)
	}
}

// TestAddPersonOnce: of many that want one username, one gets it.
func TestAddPersonOnce(t *testing.T) {
	_, stores := replicas(t)
	got := tally(t, 20, func(n int) (bool, error) {
		alex := person.Person{Subject: fmt.Sprint("_", n), Username: "alex", PasswordHash: "hash", CreatedAt: noon}
		return stores[n%3].AddPerson(t.Context(), alex)
	})
	if got[true] != 1 {
		t.Errorf("%d were added", got[true])
	}
}

// TestSubjects: no person has a subject that could be a client's id, and none is nobody.
func TestSubjects(t *testing.T) {
	s := storetest.New(t)
	for name, p := range map[string]person.Person{
		"a client's id":       {Subject: "c1", Username: "alex", PasswordHash: "hash", CreatedAt: noon},
		"no subject":          {Username: "alex", PasswordHash: "hash", CreatedAt: noon},
		"neither name nor id": {Subject: "_alex", PasswordHash: "hash", CreatedAt: noon},
		"half an identity": {
			Subject: "_alex", Username: "alex", Upstream: person.Identity{Issuer: "https://login.example"}, CreatedAt: noon,
		},
	} {
		if added, err := s.AddPerson(t.Context(), p); added || err == nil || isTemporary(err) {
			t.Errorf("%s: %v, %v", name, added, err)
		}
	}
}

// TestRecognise: an identity of an upstream is one person for ever, whoever brings it first; the name follows the upstream.
func TestRecognise(t *testing.T) {
	_, stores := replicas(t)
	s := stores[0]
	identity := person.Identity{Issuer: "https://login.example", Subject: "42"}
	subjects := tally(t, 20, func(n int) (string, error) {
		p, err := stores[n%3].Recognise(t.Context(), identity, "Sam", fmt.Sprint("_", n), noon)
		return p.Subject, err
	})
	if len(subjects) != 1 {
		t.Fatalf("one identity became %v", subjects)
	}
	var want person.Person
	for subject := range subjects {
		want = person.Person{Subject: subject, Name: "Sam", Upstream: identity, CreatedAt: noon}
	}
	recognised := func(name string) {
		t.Helper()
		got, err := s.Recognise(t.Context(), identity, name, "_new", noon.Add(time.Hour))
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("as %q: %v (-want +got):\n%s", name, err, diff)
		}
	}
	recognised("")
	want.Name = "Sam, renamed"
	recognised("Sam, renamed")
	if disabled, err := s.DisablePerson(t.Context(), want.Subject, noon); !disabled || err != nil {
		t.Fatal(disabled, err)
	}
	want.DisabledAt = &noon
	recognised("")
	for subject, other := range map[string]person.Identity{
		"_one": {Issuer: identity.Issuer, Subject: "43"}, "_two": {Issuer: "https://other.example", Subject: "42"},
	} {
		if p, err := s.Recognise(t.Context(), other, "", subject, noon); p.Subject != subject || err != nil {
			t.Errorf("%v is %q, %v", other, p.Subject, err)
		}
	}
}

// TestDisable: a disabled person's sessions and grants end and stay ended, nobody else's do, and it happens once.
func TestDisable(t *testing.T) {
	s := storetest.New(t)
	approve(t, s)
	redeem(t, s, right(), noon, grant.Redeemed)
	begin(t, s, "alex' session", "_alex")
	begin(t, s, "kim's session", "_kim")
	for _, nobody := range []string{"", "sam", "_sam", "alex\x00"} {
		disabled, err := s.DisablePerson(t.Context(), nobody, noon)
		enabled, err2 := s.EnablePerson(t.Context(), nobody)
		set, err3 := s.SetPassword(t.Context(), nobody, "hash")
		if disabled || enabled || set || err != nil || err2 != nil || err3 != nil {
			t.Errorf("%q: disabled %v, %v; enabled %v, %v; password set %v, %v", nobody, disabled, err, enabled, err2, set, err3)
		}
	}
	refreshes(t, s, noon, true)
	if enabled, err := s.EnablePerson(t.Context(), "alex"); enabled || err != nil {
		t.Errorf("enabled before: %v, %v", enabled, err)
	}
	denied := func(want bool) {
		t.Helper()
		if got, _, err := s.Denied(t.Context(), assertion("issuer", "a token"), "c1", "grant 1"); got != want || err != nil {
			t.Errorf("a token is denied: %v, %v", got, err)
		}
	}
	denied(false)
	for i, want := range []bool{true, false} {
		disabled, err := s.DisablePerson(t.Context(), "alex", noon.Add(time.Duration(i)*time.Minute))
		if disabled != want || err != nil {
			t.Errorf("disabled: %v, %v, want %v", disabled, err, want)
		}
	}
	alex := person.Person{Subject: "_alex", Username: "alex", PasswordHash: "hash of alex", CreatedAt: noon, DisabledAt: &noon}
	found(t, s, "alex", alex)
	for range 2 {
		refreshes(t, s, noon, false)
		denied(true)
		lives(t, s, "alex' session", noon, false)
		lives(t, s, "kim's session", noon, true)
		if _, err := s.EnablePerson(t.Context(), "alex"); err != nil {
			t.Fatal(err)
		}
	}
	alex.DisabledAt = nil
	found(t, s, "alex", alex)
	begin(t, s, "alex' next session", "_alex")
}

// TestDisableBusy: somebody who has allowed more than three seconds can revoke is disabled all the same.
func TestDisableBusy(t *testing.T) {
	url := storetest.URL(t)
	s := storetest.Open(t, url)
	approve(t, s)
	execute(t, connect(t, url), `
		CREATE FUNCTION hurried() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			IF current_setting('statement_timeout')::interval < '1 minute' THEN RAISE 'too little time'; END IF;
			RETURN new;
		END $$;
		CREATE TRIGGER hurried BEFORE UPDATE ON authorization_grant FOR EACH ROW EXECUTE FUNCTION hurried()`)
	if disabled, err := s.DisablePerson(t.Context(), "alex", noon); !disabled || err != nil {
		t.Error(disabled, err)
	}
}

// TestDeniedByGrant: a token is worth nothing without its grant, or with another client's.
func TestDeniedByGrant(t *testing.T) {
	s := storetest.New(t)
	approve(t, s)
	for _, test := range []struct {
		client, grant string
		want          bool
	}{
		{"c1", "grant 1", false}, {"c1", "", false}, {"c1", "grant 2", true}, {"c2", "grant 1", true}, {"c3", "grant 1", true},
	} {
		if got, _, err := s.Denied(t.Context(), assertion("issuer", "a token"), test.client, test.grant); got != test.want || err != nil {
			t.Errorf("%s's token of %q is denied: %v, %v", test.client, test.grant, got, err)
		}
	}
	if _, err := stop(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if denied, _, err := s.Denied(t.Context(), assertion("issuer", "a token"), "c1", "grant 1"); !denied || err != nil {
		t.Errorf("a token of a revoked grant is denied: %v, %v", denied, err)
	}
}

// TestSetPassword: another password ends the sessions of the old one, and no one else's.
func TestSetPassword(t *testing.T) {
	s := storetest.New(t)
	addPeople(t, s, "alex", "kim")
	begin(t, s, "alex' session", "_alex")
	begin(t, s, "kim's session", "_kim")
	if set, err := s.SetPassword(t.Context(), "alex", "another hash"); !set || err != nil {
		t.Fatal(set, err)
	}
	found(t, s, "alex", person.Person{Subject: "_alex", Username: "alex", PasswordHash: "another hash", CreatedAt: noon})
	lives(t, s, "alex' session", noon, false)
	lives(t, s, "kim's session", noon, true)
	if set, err := s.SetPassword(t.Context(), "_alex", "a third hash"); set || err != nil {
		t.Errorf("set by the subject: %v, %v", set, err)
	}
}

// TestPeopleUpAndDown: people of before get a subject each, an older program may add more, and the way back keeps all that
// it knows how to keep.
func TestPeopleUpAndDown(t *testing.T) {
	url := storetest.Empty(t)
	conn := connect(t, url)
	upTo := func(version int64) {
		t.Helper()
		withGoose(t, url, func(p *goose.Provider) error { _, err := p.UpTo(t.Context(), version); return err })
	}
	older := func(username string) { // what the program of before does
		t.Helper()
		execute(t, conn, `INSERT INTO person (username, password_hash, created_at) VALUES ($1, 'hash', $2)
			ON CONFLICT (username) DO NOTHING`, username, noon)
	}
	upTo(3)
	before := schema(t, url)
	older("alex")
	older("kim")
	upTo(5)
	older("sam")
	older("sam")
	s := storetest.Open(t, url)
	people, err := s.People(t.Context())
	if err != nil || len(people) != 3 {
		t.Fatal(people, err)
	}
	subjects := map[string]bool{}
	for _, p := range people {
		if subjects[p.Subject] = true; len(p.Subject) != 65 || p.Subject[0] != '_' {
			t.Errorf("the subject %q", p.Subject)
		}
	}
	if len(subjects) != 3 {
		t.Errorf("subjects %v", subjects)
	}
	identity := person.Identity{Issuer: "https://login.example", Subject: "42"}
	if _, err := s.Recognise(t.Context(), identity, "", "_42", noon); err != nil {
		t.Fatal(err)
	}
	who := person.Authentication{Person: people[0], At: noon}
	if signedIn, err := s.SignIn(t.Context(), nil, hash("session"), who, lifetimes, noon); !signedIn || err != nil {
		t.Fatal(signedIn, err)
	}
	if disabled, err := s.DisablePerson(t.Context(), "kim", noon); !disabled || err != nil {
		t.Fatal(disabled, err)
	}
	down(t, url, 3)
	if diff := cmp.Diff(before, schema(t, url)); diff != "" {
		t.Errorf("the schema (-before +after):\n%s", diff)
	}
	left := ask[[]string](t, connect(t, url), `SELECT array_agg(username ORDER BY username) FROM person`)
	if diff := cmp.Diff([]string{"alex", "sam"}, left); diff != "" {
		t.Errorf("people (-want +left):\n%s", diff)
	}
	upTo(5)
}

// TestDisabledByHand: whoever disables a person past this program, in SQL, has left the person nothing to go on with.
func TestDisabledByHand(t *testing.T) {
	url := storetest.URL(t)
	s := storetest.Open(t, url)
	approve(t, s)
	begin(t, s, "session", "_alex")
	operator := connect(t, url)
	execute(t, operator, `UPDATE person SET disabled_at = now() WHERE username = 'alex'`)
	lives(t, s, "session", noon, false)
	redeem(t, s, right(), noon, grant.CodeUnknown)
	execute(t, operator, `UPDATE authorization_grant SET refresh_token = $1`, hash("refresh"))
	refreshes(t, s, noon, false)
	if denied, _, err := s.Denied(t.Context(), assertion("issuer", "a token"), "c1", "grant 1"); !denied || err != nil {
		t.Errorf("a token is denied: %v, %v", denied, err)
	}
}
