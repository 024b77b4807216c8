package store_test

import (
	"testing"

	"authserver/internal/store/storetest"

	"github.com/jackc/pgx/v5"
)

// holdLeaf locks the leaf that a use falls into, in an open transaction.
func holdLeaf(t *testing.T, operator *pgx.Conn) (release func()) {
	t.Helper()
	execute(t, operator, `BEGIN`)
	execute(t, operator, `LOCK TABLE spent IN ACCESS EXCLUSIVE MODE`)
	return func() { t.Helper(); execute(t, operator, `ROLLBACK`) }
}

// TestStatementTimeout: a database that does not answer is an outage, and what it had not committed is not spent.
func TestStatementTimeout(t *testing.T) {
	url := storetest.URL(t)
	s, operator := storetest.Open(t, url), connect(t, url)
	release := holdLeaf(t, operator)
	got := await(t, start(t.Context(), s, by("", 0, proof("key", "1")))) // PostgreSQL itself ends the statement
	if got.err == nil || !isTemporary(got.err) || got.outcome != spent {
		t.Errorf("behind a lock that stays: %+v, want an outage", got)
	}
	silent(t, "Spend", got.err)
	release()
	mustSpend(t, s, by("", 0, proof("key", "1")), spent)
}

// TestTerminatedConnection: a connection that PostgreSQL ends under a statement is an outage for all who were in that
// statement, and for nobody after.
func TestTerminatedConnection(t *testing.T) {
	url := storetest.URL(t)
	s, operator, observer := storetest.Open(t, url), connect(t, url), connect(t, url)
	release := holdLeaf(t, operator)
	under := start(t.Context(), s, by("", 0, proof("key", "1")))
	until(t, "the statement waits", func() bool { return blocked(t, observer) == 1 })
	behind := start(t.Context(), s, by("", 0, proof("key", "2")))
	until(t, "the other waits for it", func() bool { return s.Waiting() == 1 })
	execute(t, observer, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`)
	if got := await(t, under); got.err == nil || !isTemporary(got.err) {
		t.Errorf("under a connection that ended: %+v, want an outage", got)
	}
	release()
	expect(t, "behind it", await(t, behind), spent)
	mustSpend(t, s, by("", 0, proof("key", "1")), spent)
}

// TestDatabaseRestart: while PostgreSQL is down everything is an outage; when it is back the same Store works, and what
// was spent before is still spent.
func TestDatabaseRestart(t *testing.T) {
	pg := storetest.NewPrivate(t, true)
	s := storetest.Open(t, pg.URL())
	migrate(t, s)
	mustSpend(t, s, by("", 0, proof("key", "1")), spent)

	pg.Stop()
	for name, call := range calls(t, s) {
		err := call()
		if err == nil || !isTemporary(err) {
			t.Errorf("%s: %v, want an outage", name, err)
		}
		silent(t, name, err)
	}

	pg.Start()
	mustSpend(t, s, by("", 0, proof("key", "1")), replayedProof)
	mustSpend(t, s, by("", 0, proof("key", "2")), spent)
}

// TestDemotedPrimary: a server that has become read-only tells its connections; they are dropped, everything is an outage,
// and when a primary answers again the same Store works.
func TestDemotedPrimary(t *testing.T) {
	pg := storetest.NewPrivate(t, true)
	s := storetest.Open(t, pg.URL())
	migrate(t, s)
	mustSpend(t, s, by("", 0, proof("key", "1")), spent)
	operator := connect(t, pg.URL())
	ours := func() int {
		return ask[int](t, operator, `SELECT count(*)::int FROM pg_stat_activity WHERE application_name = 'authserver'`)
	}
	if ours() == 0 {
		t.Fatal("no connection was open")
	}
	readOnly := func(value string) {
		execute(t, operator, `ALTER SYSTEM SET default_transaction_read_only = `+value)
		execute(t, operator, `SELECT pg_reload_conf()`)
		until(t, "the server is told", func() bool {
			return ask[string](t, operator, `SELECT setting FROM pg_settings WHERE name = 'default_transaction_read_only'`) == value
		})
	}
	readOnly("on")
	until(t, "every connection is dropped", func() bool {
		_, err := s.Spend(t.Context(), by("", 0, proof("key", "2")))
		if err != nil && !isTemporary(err) {
			t.Fatalf("%v, want an outage", err)
		}
		return err != nil && ours() == 0
	})
	for name, call := range calls(t, s) {
		if err := call(); err == nil || !isTemporary(err) {
			t.Errorf("%s: %v, want an outage", name, err)
		}
	}
	readOnly("off")
	mustSpend(t, s, by("", 0, proof("key", "1")), replayedProof)
	mustSpend(t, s, by("", 0, proof("key", "3")), spent)
}
