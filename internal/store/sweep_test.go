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
	"github.com/jackc/pgx/v5"
)

// threeYears are what these tests keep.
var threeYears = store.Retention{Consents: 3 * 365 * 24 * time.Hour, Clients: 3 * 365 * 24 * time.Hour}

// remains are the names under which something is left of what may be swept.
func remains(t *testing.T, conn *pgx.Conn, names ...string) []string {
	t.Helper()
	left := []string{}
	for _, name := range names {
		if ask[bool](t, conn, `SELECT $1 IN (SELECT id FROM pushed_request UNION SELECT id FROM interaction UNION
			SELECT id FROM session UNION SELECT id FROM authorization_code UNION SELECT key FROM login_attempt)`, hash(name)) {
			left = append(left, name)
		}
	}
	return left
}

// TestSweepAuthorizations: everything stays for as long as somebody may go on with it, and a minute longer. A request stays
// with its last interaction, decided or not; a code stays for an hour after its end, and a grant stays much longer.
func TestSweepAuthorizations(t *testing.T) {
	url := storetest.URL(t)
	s, conn := storetest.Open(t, url), connect(t, url)
	approve(t, s) // with "request" and "tab"
	for _, name := range []string{"unvisited", "slow request"} {
		if err := s.Push(t.Context(), hash(name), request()); err != nil {
			t.Fatal(err)
		}
	}
	v := grant.Visit{RequestURI: hash("slow request"), ClientID: "c1", New: hash("slow tab")}
	_, arrival, err := s.Visit(t.Context(), v, noon)
	_, stepped, err2 := s.Step(t.Context(), hash("slow tab"), "", noon.Add(14*time.Minute))
	_, err3 := s.Attempt(t.Context(), hash("attempt"), noon)
	if arrival != grant.Opened || !stepped || err != nil || err2 != nil || err3 != nil {
		t.Fatal(arrival, err, stepped, err2, err3)
	}
	begin(t, s, "session", "_alex")

	left := []string{"unvisited", "attempt", "request", "tab", "session", "slow request", "slow tab", "code 1"}
	for _, step := range []struct {
		at   time.Duration // the last moment at which all is left
		then int           // how many of left go after it
	}{
		{grant.DefaultArrival + time.Minute, 1},
		{person.AttemptWindow, 1},
		{grant.InteractionStep + time.Minute, 3},
		{14*time.Minute + grant.InteractionStep + time.Minute, 2},
		{grant.CodeLifetime + time.Hour, 1},
	} {
		for _, after := range []time.Duration{0, time.Millisecond} {
			if err := s.SweepAuthorizations(t.Context(), threeYears, noon.Add(step.at+after)); err != nil {
				t.Fatal(err)
			}
			if after > 0 {
				left = left[step.then:]
			}
			if diff := cmp.Diff(left, remains(t, conn, left...)); diff != "" {
				t.Errorf("at +%s (-want +left):\n%s", step.at+after, diff)
			}
		}
		rows := ask[int](t, conn, `SELECT (SELECT count(*) FROM pushed_request) + (SELECT count(*) FROM interaction) +
			(SELECT count(*) FROM session) + (SELECT count(*) FROM authorization_code) + (SELECT count(*) FROM login_attempt)`)
		if rows != len(left) {
			t.Errorf("after +%s %d rows are left, want %q", step.at, rows, left)
		}
	}
	if n := ask[int](t, conn, `SELECT count(*)::int FROM authorization_grant`); n != 1 {
		t.Errorf("%d grants", n)
	}
}

// TestSweepMany: whatever has piled up goes at once, and what somebody is at work on is left without a wait.
func TestSweepMany(t *testing.T) {
	url := storetest.URL(t)
	s, conn := storetest.Open(t, url), connect(t, url)
	execute(t, conn, `INSERT INTO login_attempt (key, since, count)
		SELECT sha256(n::text::bytea), $1, 1 FROM generate_series(1, 2500) AS n`, noon)
	execute(t, conn, `BEGIN`)
	execute(t, conn, `SELECT FROM login_attempt WHERE key = $1 FOR UPDATE`, hash("1"))
	for range 2 {
		if err := s.SweepAuthorizations(t.Context(), threeYears, noon.Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	execute(t, conn, `COMMIT`)
	if left := remains(t, conn, "1", "2", "2500"); fmt.Sprint(left) != "[1]" {
		t.Errorf("left %q", left)
	}
	if n := ask[int](t, conn, `SELECT count(*)::int FROM login_attempt`); n != 1 {
		t.Errorf("%d are left", n)
	}
}

// TestSweepersTogether: replicas that sweep at once get into nobody's way.
func TestSweepersTogether(t *testing.T) {
	url, stores := replicas(t)
	conn := connect(t, url)
	execute(t, conn, `INSERT INTO login_attempt (key, since, count)
		SELECT sha256(n::text::bytea), $1, 1 FROM generate_series(1, 5000) AS n`, noon)
	tally(t, 9, func(n int) (bool, error) {
		return true, stores[n%3].SweepAuthorizations(t.Context(), threeYears, noon.Add(time.Hour))
	})
	if err := stores[0].SweepAuthorizations(t.Context(), threeYears, noon.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if n := ask[int](t, conn, `SELECT count(*)::int FROM login_attempt`); n != 0 {
		t.Errorf("%d are left", n)
	}
}
