package store_test

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"authserver/internal/replay"
	"authserver/internal/store"
	"authserver/internal/store/storetest"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// databaseAt returns a database whose clock stands where the test sets it: its connections find our clock_timestamp()
// before PostgreSQL's. whileLocked is how far the clock moves on while a slot's lock is waited for.
func databaseAt(t *testing.T, now time.Time, whileLocked time.Duration) (url string, operator *pgx.Conn, set func(time.Time)) {
	t.Helper()
	url = storetest.URL(t)
	operator = connect(t, url)
	execute(t, operator, `CREATE SCHEMA clock`)
	execute(t, operator, `CREATE TABLE clock.stands (at timestamptz, moves interval)`)
	execute(t, operator, `INSERT INTO clock.stands VALUES ($1, $2)`, now, whileLocked)
	execute(t, operator, `CREATE FUNCTION clock.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE AS $$
		SELECT at + CASE WHEN EXISTS (SELECT FROM pg_locks WHERE pid = pg_backend_pid() AND granted
			AND mode = 'AccessExclusiveLock' AND relation::regclass::text LIKE 'spent_%') THEN moves ELSE '0' END
		FROM clock.stands $$`)
	set = func(now time.Time) {
		t.Helper()
		execute(t, operator, `UPDATE clock.stands SET at = $1`, now)
	}
	return url + "&search_path=clock,public,pg_catalog", operator, set
}

// fill puts a key into every slot.
func fill(t testing.TB, conn *pgx.Conn) {
	t.Helper()
	execute(t, conn, `INSERT INTO spent (slot, key) SELECT n, 'key' FROM generate_series(0, $1 - 1) AS n ON CONFLICT DO NOTHING`, replay.Slots)
}

// filled are the slots that hold keys.
func filled(t testing.TB, conn *pgx.Conn) []int16 {
	t.Helper()
	return ask[[]int16](t, conn, `SELECT coalesce(array_agg(DISTINCT slot ORDER BY slot), '{}') FROM spent`)
}

// without are all slots but those swept.
func without(swept ...int16) []int16 {
	rest := []int16{}
	for slot := range int16(replay.Slots) {
		if !slices.Contains(swept, slot) {
			rest = append(rest, slot)
		}
	}
	return rest
}

// TestSweep: a sweep empties exactly what the ring says that nothing can need, at whatever time.
func TestSweep(t *testing.T) {
	url, operator, set := databaseAt(t, noon, 0)
	s := storetest.Open(t, url)
	for i := range 2 * replay.Slots {
		now := noon.Add(time.Duration(i)*replay.Width + time.Duration(i)*time.Minute)
		set(now)
		fill(t, operator)
		for range 2 { // the second finds nothing to do
			if err := s.Sweep(t.Context()); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(without(replay.Sweepable(now)...), filled(t, operator)); diff != "" {
				t.Fatalf("slots with keys at %v (-want +got):\n%s", now, diff)
			}
		}
	}
}

// TestSweepByDatabaseClock: without our clock in between, the time is PostgreSQL's own.
func TestSweepByDatabaseClock(t *testing.T) {
	url := storetest.URL(t)
	s, operator := storetest.Open(t, url), connect(t, url)
	for { // once more when a half hour ends meanwhile
		fill(t, operator)
		before, err := s.Clock(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		after := ask[time.Time](t, operator, `SELECT clock_timestamp()`)
		if slices.Equal(replay.Sweepable(before), replay.Sweepable(after)) {
			if diff := cmp.Diff(without(replay.Sweepable(after)...), filled(t, operator)); diff != "" {
				t.Errorf("slots with keys (-want +got):\n%s", diff)
			}
			return
		}
	}
}

// TestSweepAsksUnderTheLock: the clock that counts is read while the lock is held. Here it moves on by an hour while the
// lock is waited for, and the slots that were chosen before may hold keys again.
func TestSweepAsksUnderTheLock(t *testing.T) {
	url, operator, _ := databaseAt(t, noon, time.Hour)
	fill(t, operator)
	if err := storetest.Open(t, url).Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(without(), filled(t, operator)); diff != "" {
		t.Errorf("slots with keys (-want +got):\n%s", diff)
	}
}

// TestSweepSlotThatIsNeeded: even the innermost step does not empty a slot that may hold live keys.
func TestSweepSlotThatIsNeeded(t *testing.T) {
	url, operator, _ := databaseAt(t, noon, 0)
	s := storetest.Open(t, url)
	fill(t, operator)
	for slot := range int16(replay.Slots) {
		if err := s.SweepSlot(t.Context(), slot); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(without(replay.Sweepable(noon)...), filled(t, operator)); diff != "" {
		t.Errorf("slots with keys (-want +got):\n%s", diff)
	}
}

// TestSweepLeavesLockedSlot: a slot that somebody is writing to is given up soon and left for the next sweep; the other
// one is swept all the same. The error says that it passes.
func TestSweepLeavesLockedSlot(t *testing.T) {
	for i, locked := range replay.Sweepable(noon) {
		t.Run(fmt.Sprint("sweepable slot ", i), func(t *testing.T) {
			url, operator, _ := databaseAt(t, noon, 0)
			s, writer := storetest.Open(t, url), connect(t, url)
			fill(t, operator)
			execute(t, writer, `BEGIN`)
			execute(t, writer, `INSERT INTO spent (slot, key) VALUES ($1, 'late')`, locked)
			err := s.Sweep(t.Context())
			if !isLockNotAvailable(err) || !isTemporary(err) {
				t.Errorf("sweeping beside a writer: %v, want lock_not_available and temporary", err)
			}
			other := slices.DeleteFunc(replay.Sweepable(noon), func(slot int16) bool { return slot == locked })
			if diff := cmp.Diff(without(other...), filled(t, operator)); diff != "" {
				t.Errorf("slots with keys (-want +got):\n%s", diff)
			}
			execute(t, writer, `COMMIT`)
			if err := s.Sweep(t.Context()); err != nil {
				t.Error(err)
			}
			if diff := cmp.Diff(without(replay.Sweepable(noon)...), filled(t, operator)); diff != "" {
				t.Errorf("slots with keys after the writer (-want +got):\n%s", diff)
			}
		})
	}
}

// isLockNotAvailable tells whether PostgreSQL gave up waiting because of lock_timeout, and not for another reason.
func isLockNotAvailable(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "55P03"
}

// TestReplicasSweepTogether: sweepers do not deadlock. On a slow machine one may give up and leave the slot to the other.
func TestReplicasSweepTogether(t *testing.T) {
	url, operator, _ := databaseAt(t, noon, 0)
	var stores []*store.Store
	for range 3 {
		stores = append(stores, storetest.Open(t, url))
	}
	for range 10 {
		fill(t, operator)
		var all sync.WaitGroup
		for _, s := range stores {
			all.Go(func() {
				if err := s.Sweep(t.Context()); err != nil && !isLockNotAvailable(err) {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if diff := cmp.Diff(without(replay.Sweepable(noon)...), filled(t, operator)); diff != "" {
			t.Fatalf("slots with keys (-want +got):\n%s", diff)
		}
	}
}

// TestRing plays twelve hours on a ring of four: whatever can still be accepted is refused the second time, also when the
// sweeper sleeps for longer than the ring is round, or never wakes.
func TestRing(t *testing.T) {
	for name, sweeps := range map[string]func(since time.Duration) bool{
		"swept all along":       func(time.Duration) bool { return true },
		"asleep for five hours": func(since time.Duration) bool { return since < 2*time.Hour || since > 7*time.Hour },
		"awake once in an hour": func(since time.Duration) bool { return since%time.Hour < 7*time.Minute },
		"never swept":           func(time.Duration) bool { return false },
	} {
		t.Run(name, func(t *testing.T) {
			url, operator, set := databaseAt(t, noon, 0)
			s := storetest.Open(t, url)
			var live []accepted
			for since := time.Duration(0); since < 12*time.Hour; since += 7 * time.Minute {
				now := noon.Add(since)
				set(now)
				if sweeps(since) {
					if err := s.Sweep(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				live = slices.DeleteFunc(live, func(a accepted) bool { return now.After(a.until) })
				for _, a := range live {
					mustSpend(t, s, by("", 0, a.use), replay.Outcome{Replayed: a.use.Kind})
				}
				for _, a := range acceptableAt(now) {
					mustSpend(t, s, by("", 0, a.use), spent)
					live = append(live, a)
				}
			}
			if len(live) < 10 {
				t.Fatalf("only %d live keys at the end: the play proves nothing", len(live))
			}
			rows := ask[int](t, operator, `SELECT count(*)::int FROM spent`)
			if slept := sweeps(3*time.Hour + 30*time.Minute); slept && rows > 200 || !slept && name == "never swept" && rows < 400 {
				t.Errorf("%d rows at the end", rows)
			}
		})
	}
}

// accepted is a use, and the last moment at which the same JWT would still pass the checks before the spend.
type accepted struct {
	use   replay.Use
	until time.Time
}

// acceptableAt are uses at the edges of the windows that assertions, proofs and access tokens have.
func acceptableAt(now time.Time) []accepted {
	jti := now.String()
	assertion := func(exp time.Time) accepted {
		return accepted{replay.NewUse(replay.Assertion, "a", jti+exp.String(), exp), exp.Add(9 * time.Second)}
	}
	proof := func(iat time.Time) accepted {
		return accepted{replay.NewUse(replay.Proof, "key", jti+iat.String(), iat), iat.Add(300 * time.Second)}
	}
	token := func(exp time.Time) accepted {
		return accepted{replay.NewUse(replay.AccessToken, "issuer", jti+exp.String(), exp), exp}
	}
	return []accepted{
		assertion(now.Add(-9 * time.Second)), assertion(now.Add(time.Minute)), assertion(now.Add(time.Hour)),
		proof(now.Add(-300 * time.Second)), proof(now.Add(30 * time.Second)),
		token(now.Add(time.Second)), token(now.Add(time.Hour)),
	}
}
