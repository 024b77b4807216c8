package store_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"authserver/internal/client"
	"authserver/internal/replay"
	"authserver/internal/store"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
)

// patience bounds every wait for something that must happen; nothing is asserted about how long it takes.
const patience = 30 * time.Second

// noon is a whole half hour, far from now: no test depends on the time of day.
var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func assertion(owner, jti string) replay.Use {
	return replay.NewUse(replay.Assertion, owner, jti, noon.Add(time.Minute))
}

func proof(owner, jti string) replay.Use { return replay.NewUse(replay.Proof, owner, jti, noon) }

func by(clientID string, version int64, uses ...replay.Use) replay.Spend {
	return replay.Spend{ClientID: clientID, ClientVersion: version, Uses: uses}
}

// The outcomes, in short.
var (
	spent             = replay.Outcome{}
	stale             = replay.Outcome{Stale: true}
	replayedAssertion = replay.Outcome{Replayed: replay.Assertion}
	replayedProof     = replay.Outcome{Replayed: replay.Proof}
)

// result is what a Spend returned.
type result struct {
	outcome replay.Outcome
	err     error
}

// start begins a Spend that may have to wait.
func start(ctx context.Context, s *store.Store, sp replay.Spend) <-chan result {
	done := make(chan result, 1)
	go func() {
		outcome, err := s.Spend(ctx, sp)
		done <- result{outcome, err}
	}()
	return done
}

// await returns what a Spend that was started came to.
func await(t testing.TB, done <-chan result) result {
	t.Helper()
	select {
	case r := <-done:
		return r
	case <-time.After(patience):
		t.Fatal("a Spend was never answered")
		return result{}
	}
}

// expect wants an outcome and no error.
func expect(t testing.TB, what string, got result, want replay.Outcome) {
	t.Helper()
	if got.err != nil {
		t.Errorf("%s: %v", what, got.err)
	}
	if diff := cmp.Diff(want, got.outcome); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func mustSpend(t testing.TB, s *store.Store, sp replay.Spend, want replay.Outcome) {
	t.Helper()
	outcome, err := s.Spend(t.Context(), sp)
	expect(t, fmt.Sprintf("%q at version %d", sp.ClientID, sp.ClientVersion), result{outcome, err}, want)
}

// until waits for a state that another goroutine or PostgreSQL must reach.
func until(t testing.TB, what string, reached func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !reached(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never came to be: %s", what)
		}
	}
}

// registered is a new client of this id, as registration would store it.
func registered(id string) client.Client {
	return client.Client{
		ID:                    id,
		IssuedAt:              noon,
		Metadata:              client.Metadata{ClientName: "client " + id, TokenEndpointAuthMethod: client.PrivateKeyJWT},
		RegistrationTokenHash: []byte("hash of " + id),
		AssertionAudience:     client.IssuerOnly,
	}
}

func addClients(t testing.TB, s *store.Store, ids ...string) {
	t.Helper()
	for _, id := range ids {
		if added, err := s.AddClient(t.Context(), registered(id)); !added || err != nil {
			t.Fatalf("add client %s: %v, %v", id, added, err)
		}
	}
}

// connect opens a plain connection: what an operator, a backup or another program would do to the database.
func connect(t testing.TB, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

func execute(t testing.TB, conn *pgx.Conn, sql string, args ...any) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), sql, args...); err != nil {
		t.Fatal(err)
	}
}

func ask[T any](t testing.TB, conn *pgx.Conn, sql string, args ...any) T {
	t.Helper()
	var answer T
	if err := conn.QueryRow(t.Context(), sql, args...).Scan(&answer); err != nil {
		t.Fatal(err)
	}
	return answer
}

// blocked is how many statements of this database wait for a lock.
func blocked(t testing.TB, conn *pgx.Conn) int {
	t.Helper()
	return ask[int](t, conn, `SELECT count(*)::int FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`)
}

// isTemporary tells whether an error says that the same request may succeed later.
func isTemporary(err error) bool {
	var t interface{ Temporary() bool }
	return errors.As(err, &t) && t.Temporary()
}
