package store_test

import (
	"context"
	"fmt"
	"maps"
	"testing"
	"time"

	"authserver/internal/client"
	"authserver/internal/replay"
	"authserver/internal/store"
	"authserver/internal/store/storetest"

	"github.com/jackc/pgx/v5"
)

// world is what these orders can change: one client, and the rows of the ring by their names.
type world struct {
	Version int64
	Deleted bool
	Rows    map[string]bool
}

func (w world) clone() world {
	w.Rows = maps.Clone(w.Rows)
	return w
}

// ring names the rows that the orders are about: two live uses, a token's, and one that lies in a slot to be swept.
type ring struct {
	assertion, proof, token, old replay.Use
}

func (r ring) all() map[string]replay.Use {
	return map[string]replay.Use{"assertion": r.assertion, "proof": r.proof, "token": r.token, "old": r.old}
}

// stage is a database with one client and the ring's rows, for orders to be played on.
type stage struct {
	t    *testing.T
	url  string
	conn *pgx.Conn
	ring ring
}

func newStage(t *testing.T) stage {
	t.Helper()
	url := storetest.URL(t)
	addClients(t, storetest.Open(t, url), "c")
	conn := connect(t, url)
	now := ask[time.Time](t, conn, `SELECT clock_timestamp()`)
	return stage{t, url, conn, ring{
		assertion: replay.NewUse(replay.Assertion, "c", "a", now.Add(time.Minute)),
		proof:     replay.NewUse(replay.Proof, "key", "p", now),
		token:     replay.NewUse(replay.AccessToken, "issuer", "t", now.Add(5*time.Minute)),
		old:       replay.NewUse(replay.Assertion, "c", "old", now.Add(-3*replay.Width)),
	}}
}

// play schedules the ops in every order, each time from the same world.
func (s stage) play(name string, ops ...op[world]) {
	s.t.Run(name, func(t *testing.T) {
		reset := func() {
			execute(t, s.conn, `TRUNCATE spent`)
			execute(t, s.conn, `UPDATE client SET version = 1, status = 'active' WHERE id = 'c'`)
			execute(t, s.conn, `INSERT INTO spent (slot, key) VALUES ($1, $2)`, s.ring.old.Slot, s.ring.old.Key[:])
		}
		orders := schedule(t, s.url, reset, func() world { return seen(t, s.conn, s.ring) }, ops...)
		t.Logf("%d orders", orders)
		if orders < 2 {
			t.Error("nothing was interleaved")
		}
	})
}

// TestOrders plays concurrent calls statement by statement in every order, on real PostgreSQL, and holds each end against
// the same calls made one after the other. Two sweepers have thousands of orders: those are played by .ci/full.
func TestOrders(t *testing.T) {
	s := newStage(t)
	both := spending("spend", by("c", 1, s.ring.assertion, s.ring.proof))
	same := spending("replica", by("c", 1, s.ring.assertion, s.ring.proof))
	proofOnly := spending("other", by("c", 1, s.ring.proof))
	s.play("spend, spend", both, same)
	s.play("spend, update", both, updating())
	s.play("spend, delete", both, deleting())
	s.play("spend, sweep", both, sweeping())
	s.play("update, delete", updating(), deleting())
	s.play("spend, spend, update", both, same, updating())
	s.play("spend, spend, delete", both, proofOnly, deleting())
	s.play("spend, update, delete", both, updating(), deleting())
	s.play("spend, update, sweep", both, updating(), sweeping())
	s.play("spend, delete, sweep", both, deleting(), sweeping())
	s.play("revoke, introspect", denying(s.ring), introspecting(s.ring))
	s.play("revoke, delete, introspect", denying(s.ring), deleting(), introspecting(s.ring))
	s.play("revoke, introspect, introspect", denying(s.ring), introspecting(s.ring), introspecting(s.ring))
	s.play("introspect, sweep", introspecting(s.ring), sweeping())
}

// seen reads the world from the database.
func seen(t *testing.T, conn *pgx.Conn, r ring) world {
	t.Helper()
	w := world{Rows: map[string]bool{}}
	if err := conn.QueryRow(t.Context(), `SELECT version, status = 'deleted' FROM client WHERE id = 'c'`).Scan(&w.Version, &w.Deleted); err != nil {
		t.Fatal(err)
	}
	for name, use := range r.all() {
		if ask[bool](t, conn, `SELECT EXISTS (SELECT FROM spent WHERE slot = $1 AND key = $2)`, use.Slot, use.Key[:]) {
			w.Rows[name] = true
		}
	}
	return w
}

// spending is a Spend of the client c. Its pure rule: stale first, then the first use that was used before; a use of a
// refused request may still be spent, since only its own client could have sent it.
func spending(name string, sp replay.Spend) op[world] {
	named := map[replay.Kind]string{replay.Assertion: "assertion", replay.Proof: "proof"}
	return op[world]{
		name: name,
		call: func(ctx context.Context, s *store.Store) string {
			type end struct {
				outcome replay.Outcome
				err     error
			}
			done := make(chan end, 1)
			go func() {
				outcome, err := s.Spend(ctx, sp)
				done <- end{outcome, err}
			}()
			for s.Flush() == 0 {
				time.Sleep(time.Millisecond)
			}
			e := <-done
			return fmt.Sprint(e.outcome, e.err)
		},
		model: func(w *world, _ string) string {
			if w.Deleted || w.Version != sp.ClientVersion {
				return fmt.Sprint(replay.Outcome{Stale: true}, nil)
			}
			var o replay.Outcome
			for _, u := range sp.Uses {
				if w.Rows[named[u.Kind]] && o.Replayed == "" {
					o.Replayed = u.Kind
				}
				w.Rows[named[u.Kind]] = true
			}
			return fmt.Sprint(o, nil)
		},
	}
}

func updating() op[world] {
	return op[world]{
		name: "update",
		call: func(ctx context.Context, s *store.Store) string {
			version, updated, err := s.UpdateClient(ctx, "c", nil, client.Metadata{ClientName: "changed"}, noon)
			return fmt.Sprint(version, updated, err)
		},
		model: func(w *world, _ string) string {
			if w.Deleted {
				return fmt.Sprint(int64(0), false, nil)
			}
			w.Version++
			return fmt.Sprint(w.Version, true, nil)
		},
	}
}

func deleting() op[world] {
	return op[world]{
		name: "delete",
		call: func(ctx context.Context, s *store.Store) string {
			deleted, err := s.DeleteClient(ctx, "c", nil, noon)
			return fmt.Sprint(deleted, err)
		},
		model: func(w *world, _ string) string {
			if w.Deleted {
				return fmt.Sprint(false, nil)
			}
			w.Version, w.Deleted = w.Version+1, true
			return fmt.Sprint(true, nil)
		},
	}
}

// sweeping may find a slot locked and leave it for the next time; then nothing has changed.
func sweeping() op[world] {
	return op[world]{
		name: "sweep",
		call: func(ctx context.Context, s *store.Store) string {
			err := s.Sweep(ctx)
			if isTemporary(err) {
				return "locked"
			}
			return fmt.Sprint(err)
		},
		model: func(w *world, observed string) string {
			if observed == "locked" {
				return "locked"
			}
			delete(w.Rows, "old")
			return fmt.Sprint(nil)
		},
	}
}

func denying(r ring) op[world] {
	return op[world]{
		name: "revoke",
		call: func(ctx context.Context, s *store.Store) string { return fmt.Sprint(s.Deny(ctx, r.token)) },
		model: func(w *world, _ string) string {
			w.Rows["token"] = true
			return fmt.Sprint(nil)
		},
	}
}

func introspecting(r ring) op[world] {
	return op[world]{
		name: "introspect",
		call: func(ctx context.Context, s *store.Store) string {
			denied, _, err := s.Denied(ctx, r.token, "c", "")
			return fmt.Sprint(denied, err)
		},
		model: func(w *world, _ string) string { return fmt.Sprint(w.Deleted || w.Rows["token"], nil) },
	}
}
