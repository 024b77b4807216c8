package store_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"authserver/internal/fdx"
	"authserver/internal/grant"
	"authserver/internal/oauth"
	"authserver/internal/person"
	"authserver/internal/store"
	"authserver/internal/store/storetest"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
)

// tell are the tables of which a row has one of these words anywhere, in whatever type of column.
func tell(t *testing.T, conn *pgx.Conn, words ...string) []string {
	t.Helper()
	telling := []string{}
	for _, table := range ask[[]string](t, conn, `SELECT array_agg(tablename::text ORDER BY tablename) FROM pg_tables
		WHERE schemaname = 'public' AND tablename NOT LIKE 'goose%'`) {
		from := pgx.Identifier{table}.Sanitize()
		text := ask[string](t, conn, `SELECT coalesce(string_agg(r::text, ' '), '') FROM `+from+` AS r`)
		if slices.ContainsFunc(words, func(word string) bool { return strings.Contains(text, word) }) {
			telling = append(telling, table)
		}
	}
	return telling
}

// settle has somebody be at a request of c1, stay signed in, and have allowed a consent of this number to an account.
func settle(t *testing.T, s *store.Store, username, account string, n int) {
	t.Helper()
	p, name := request(), fmt.Sprint(username, "' request ", n)
	p.LoginHint, p.Subject = username, "_"+username
	if err := s.Push(t.Context(), hash(name), p); err != nil {
		t.Fatal(err)
	}
	v := grant.Visit{RequestURI: hash(name), ClientID: "c1", New: hash(name + "'s tab")}
	if _, a, err := s.Visit(t.Context(), v, noon); a != grant.Opened || err != nil {
		t.Fatal(a, err)
	}
	subject := "_" + username
	if _, chosen, err := s.Choose(t.Context(), v.New, subject, []string{account}, noon); !chosen || err != nil {
		t.Fatal(chosen, err)
	}
	a := consent(n, fdx.TimeBound)
	a.Grant.Subject, a.Grant.Accounts = subject, []string{account}
	request := a.Grant.Details[0].(fdx.ConsentRequest)
	request.Resources = slices.Clone(request.Resources)
	request.Resources[0].ResourceID = account
	a.Grant.Details = fdx.Details{request}
	if _, d, err := s.Decide(t.Context(), v.New, subject, a, noon); d != grant.Decided || err != nil {
		t.Fatal(d, err)
	}
	begin(t, s, fmt.Sprint(username, "' session ", n), subject)
}

// TestErasePerson: of a person who is erased nothing is left in any table, and no token of theirs is worth anything; nobody
// else loses anything, and whoever gets the username afterwards is somebody else.
func TestErasePerson(t *testing.T) {
	url := storetest.URL(t)
	s, conn := storetest.Open(t, url), connect(t, url)
	addClients(t, s, "c1")
	addPeople(t, s, "alex", "kim")
	settle(t, s, "alex", "alex' savings", 1)
	settle(t, s, "kim", "kim's savings", 2)
	settle(t, s, "alex", "alex' pension", 3)
	redeem(t, s, right(), noon, grant.Redeemed)
	all := []string{"authorization_grant", "interaction", "person", "pushed_request", "session"}
	if diff := cmp.Diff(all, tell(t, conn, "alex")); diff != "" {
		t.Fatalf("where alex stands before (-want +got):\n%s", diff)
	}
	kims := tell(t, conn, "kim")
	for _, nobody := range []string{"", "sam", "_sam", "alex\x00", "\xff", "ALEX"} {
		if erased, err := s.ErasePerson(t.Context(), nobody); erased || err != nil {
			t.Errorf("%q: %v, %v", nobody, erased, err)
		}
	}
	refreshes(t, s, noon, true)
	for _, want := range []bool{true, false} {
		if erased, err := s.ErasePerson(t.Context(), "alex"); erased != want || err != nil {
			t.Errorf("erased %v, %v, want %v", erased, err, want)
		}
	}
	if left := tell(t, conn, "alex", "pension"); len(left) > 0 {
		t.Errorf("alex is still told of in %q", left)
	}
	if diff := cmp.Diff(kims, tell(t, conn, "kim")); diff != "" {
		t.Errorf("where kim stands (-before +after):\n%s", diff)
	}
	gone(t, s, "grant 1")
	lives(t, s, "alex' session 1", noon, false)
	lives(t, s, "kim' session 2", noon, true)
	if c, found, err := s.FindConsent(t.Context(), "grant 2"); !found || len(c.History) != 1 || err != nil {
		t.Errorf("kim's consent: %+v, %v, %v", c, found, err)
	}
	addPeople(t, s, "alex")
	if all, err := s.Consents(t.Context(), "_alex", 9, noon); len(all) > 0 || err != nil {
		t.Errorf("somebody new begins with %+v, %v", all, err)
	}
}

// gone wants a grant of c1 that has code 1 and the refresh token of these tests to be worth nothing.
func gone(t *testing.T, s *store.Store, id string) {
	t.Helper()
	refreshes(t, s, noon, false)
	redeem(t, s, right(), noon, grant.CodeUnknown)
	denied, _, err := s.Denied(t.Context(), assertion("issuer", "a token"), "c1", id)
	_, found, err2 := s.FindConsent(t.Context(), id)
	if !denied || found || err != nil || err2 != nil {
		t.Errorf("%s: a token is denied: %v, %v; the consent is found: %v, %v", id, denied, err, found, err2)
	}
	_, became, err := s.RevokeGrant(t.Context(), id, grant.Owner{}, grant.Stopped(grant.OperatorStopped, "", "", noon))
	if became != grant.NoGrant || err != nil {
		t.Errorf("%s is stopped: %s, %v", id, became, err)
	}
}

// TestEraseStranger: somebody of an upstream is erased by the subject, and is somebody new who comes again.
func TestEraseStranger(t *testing.T) {
	url := storetest.URL(t)
	s, conn := storetest.Open(t, url), connect(t, url)
	identity := person.Identity{Issuer: "https://login.example", Subject: "42"}
	who := func(subject string) string {
		t.Helper()
		p, err := s.Recognise(t.Context(), identity, "Sam", subject, noon)
		if err != nil {
			t.Fatal(err)
		}
		return p.Subject
	}
	if first, again := who("_first"), who("_second"); first != "_first" || again != first {
		t.Fatal(first, again)
	}
	if erased, err := s.ErasePerson(t.Context(), "_first"); !erased || err != nil {
		t.Fatal(erased, err)
	}
	if left := tell(t, conn, "_first", "Sam", "login.example"); len(left) > 0 {
		t.Errorf("sam is still told of in %q", left)
	}
	if subject := who("_third"); subject != "_third" {
		t.Errorf("the same identity is %s again", subject)
	}
}

// TestEraseBusy: somebody who has allowed more than three seconds can delete is erased all the same.
func TestEraseBusy(t *testing.T) {
	url := storetest.URL(t)
	s := storetest.Open(t, url)
	approve(t, s)
	execute(t, connect(t, url), `
		CREATE FUNCTION hurried() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			IF current_setting('statement_timeout')::interval < '1 minute' THEN RAISE 'too little time'; END IF;
			RETURN old;
		END $$;
		CREATE TRIGGER hurried BEFORE DELETE ON authorization_grant FOR EACH ROW EXECUTE FUNCTION hurried()`)
	if erased, err := s.ErasePerson(t.Context(), "alex"); !erased || err != nil {
		t.Error(erased, err)
	}
}

// erasing is what is done to alex, to all that alex has allowed, and to the request that alex is at.
func erasing() op[life] {
	return op[life]{
		name: "erase",
		call: func(ctx context.Context, s *store.Store) string {
			erased, err := s.ErasePerson(ctx, "alex")
			return fmt.Sprint(erased, err)
		},
		model: func(l *life, _ string) string {
			if l.Erased {
				return fmt.Sprint(false, nil)
			}
			l.Erased, l.Disabled, l.Password = true, false, ""
			clear(l.Sessions)
			for id, a := range l.Grants {
				if a.Grant.Subject == "_alex" {
					delete(l.Grants, id)
					delete(l.Codes, codeOf(id))
				}
			}
			for _, tab := range l.Tabs {
				l.Forgotten = l.Forgotten || tab.Subject == "_alex"
			}
			if l.Forgotten {
				l.Decided = false
				clear(l.Tabs)
			}
			return fmt.Sprint(true, nil)
		},
	}
}

// TestErasureOrders plays an erasure against what may happen at the same time, statement by statement in every order. The
// rest is played by .ci/full.
func TestErasureOrders(t *testing.T) {
	s := newLifeStage(t)
	s.play("a person is erased while deciding", deciding("alex' tab", "_alex", yes("_alex", 2)), erasing())
	s.play("a person is erased while another decides", deciding("kim's tab", "_kim", yes("_kim", 3)), erasing())
	s.play("a person is erased while another takes over", stepping("alex' tab", "_kim"), erasing())
	s.play("a person is erased while a browser arrives", visiting("", "new tab"), erasing())
	s.play("a person signs in while being erased", signingIn("session", "new session"), erasing())
	s.play("a session is used while its person is erased", usingSession(), erasing())
	s.play("a code is redeemed while its person is erased", redeeming(1, right()), erasing())
	s.play("CG-02 a code is replayed while its person is erased", redeeming(5, right()), erasing())
	s.play("a token is refreshed while its person is erased", refreshing(5), erasing())
	s.play("a token is used while its person is erased", asking(5), erasing())
	s.play("a consent is stopped while its person is erased", stopping(5, byClient), erasing())
	s.play("a person is erased while being disabled", disabling(), erasing())
}

// TestEraseAmidst: whatever three replicas are doing for a person who is erased, nothing fails, and nothing of it is worth
// anything afterwards.
func TestEraseAmidst(t *testing.T) {
	url, stores := replicas(t)
	s, conn := stores[0], connect(t, url)
	push(t, s)
	execute(t, conn, `DELETE FROM person WHERE username = 'alex'`)
	for round := range 20 {
		addPeople(t, s, "alex")
		settle(t, s, "alex", "savings", 1)
		begin(t, s, "session", "_alex")
		for _, name := range []string{"request", "tab"} {
			execute(t, conn, `DELETE FROM pushed_request WHERE id = $1`, hash(name))
		}
		if err := s.Push(t.Context(), hash("request"), request()); err != nil {
			t.Fatal(err)
		}
		visit(t, s, "tab")
		signIn(t, s, "tab", "_alex")
		calls := []func(s *store.Store) error{
			func(s *store.Store) error { _, err := s.ErasePerson(t.Context(), "alex"); return err },
			func(s *store.Store) error {
				_, _, err := s.Decide(t.Context(), hash("tab"), "_alex", approval(2), noon)
				return err
			},
			func(s *store.Store) error {
				_, _, err := s.RedeemCode(t.Context(), hash("code 1"), right(), hash("refresh"), noon)
				return err
			},
			func(s *store.Store) error {
				_, _, err := s.Refresh(t.Context(), hash("refresh"), "c1", noon)
				return err
			},
			func(s *store.Store) error { return s.Used(t.Context(), "grant 1", noon.Add(time.Hour)) },
			func(s *store.Store) error {
				_, err := s.SignIn(t.Context(), hash("session"), oauth.NewSecret().Hash(), proven("_alex"), lifetimes, noon)
				return err
			},
			func(s *store.Store) error { _, err := s.DisablePerson(t.Context(), "alex", noon); return err },
			func(s *store.Store) error {
				return s.SweepAuthorizations(t.Context(), threeYears, noon.Add(9*365*24*time.Hour))
			},
		}
		tally(t, 3*len(calls), func(n int) (bool, error) { return true, calls[(n+round)%len(calls)](stores[n%3]) })
		if left := tell(t, conn, "_alex", "savings"); len(left) > 0 {
			t.Fatalf("alex is still told of in %q", left)
		}
		gone(t, s, "grant 1")
		gone(t, s, "grant 2")
	}
}
