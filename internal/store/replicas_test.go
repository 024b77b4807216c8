package store_test

import (
	"fmt"
	"sync"
	"testing"

	"authserver/internal/replay"
	"authserver/internal/store"
	"authserver/internal/store/storetest"
)

// replicas are three Stores on one database, as three processes would have them.
func replicas(t *testing.T) (url string, stores []*store.Store) {
	t.Helper()
	url = storetest.URL(t)
	for range 3 {
		stores = append(stores, storetest.Open(t, url))
	}
	return url, stores
}

// together sends all spends at once, spread over the stores, and counts the outcomes of each.
func together(t *testing.T, stores []*store.Store, spends []replay.Spend) map[replay.Outcome]int {
	t.Helper()
	outcomes := make([]replay.Outcome, len(spends))
	gate := make(chan struct{})
	var all sync.WaitGroup
	for i, sp := range spends {
		all.Go(func() {
			<-gate
			var err error
			if outcomes[i], err = stores[i%len(stores)].Spend(t.Context(), sp); err != nil {
				t.Errorf("spend %d: %v", i, err)
			}
		})
	}
	close(gate)
	all.Wait()
	count := map[replay.Outcome]int{}
	for _, outcome := range outcomes {
		count[outcome]++
	}
	return count
}

func TestReplicasSpendOnce(t *testing.T) {
	_, stores := replicas(t)
	addClients(t, stores[0], "a")
	for round := range 20 {
		jti := fmt.Sprint(round)
		var same []replay.Spend
		for range 50 {
			same = append(same, by("a", 1, assertion("a", jti), proof("key", jti)))
		}
		if got := together(t, stores, same); got[spent] != 1 || got[replayedAssertion] != 49 {
			t.Fatalf("50 times the same: %v", got)
		}
	}
}

func TestReplicasSpendDistinct(t *testing.T) {
	_, stores := replicas(t)
	addClients(t, stores[0], "a")
	for round := range 5 {
		var distinct []replay.Spend
		for i := range 50 {
			jti := fmt.Sprint(round, "-", i)
			distinct = append(distinct, by("a", 1, assertion("a", jti), proof("key", jti)))
		}
		if got := together(t, stores, distinct); got[spent] != 50 {
			t.Fatalf("50 distinct ones: %v", got)
		}
	}
}

// TestReplicasSpendMixed: 40 assertions, each sent five times with a proof of its own, and 100 requests of a stale record.
func TestReplicasSpendMixed(t *testing.T) {
	url, stores := replicas(t)
	addClients(t, stores[0], "a", "b", "c", "d")
	var mixed []replay.Spend
	for i := range 200 {
		id, jti := string(rune('a'+i%4)), fmt.Sprint(i/5)
		mixed = append(mixed, by(id, 1, assertion("one owner", jti), proof(fmt.Sprint("key ", i), jti)))
		if i%2 == 0 {
			mixed = append(mixed, by(id, 2, assertion("a stale one", fmt.Sprint(i)), proof("key", fmt.Sprint(i))))
		}
	}
	got := together(t, stores, mixed)
	if got[spent] != 40 || got[replayedAssertion] != 160 || got[stale] != 100 {
		t.Errorf("outcomes %v", got)
	}
	// A loser in process keeps nothing, a loser in the database keeps its proof: between the winners' and all of them.
	rows := ask[int](t, connect(t, url), `SELECT count(*)::int FROM spent`)
	if rows < 80 || rows > 240 {
		t.Errorf("%d rows for 40 assertions and 40 to 200 proofs", rows)
	}
}

// TestReplicasTakeRowsInOneOrder: two statements with the same keys, in opposite orders and stopped half-way, do not
// deadlock.
func TestReplicasTakeRowsInOneOrder(t *testing.T) {
	for name, use := range map[string]func(n byte) replay.Use{
		"keys of one slot": func(n byte) replay.Use { return replay.Use{Kind: replay.Proof, Slot: 3, Key: [32]byte{n}} },
		"slots":            func(n byte) replay.Use { return replay.Use{Kind: replay.Proof, Slot: int16(n), Key: [32]byte{9 - n}} },
	} {
		t.Run(name, func(t *testing.T) {
			url, stores := replicas(t)
			operator, observer := connect(t, url), connect(t, url)
			execute(t, operator, `BEGIN`)
			middle := use(2)
			execute(t, operator, `INSERT INTO spent (slot, key) VALUES ($1, $2)`, middle.Slot, middle.Key[:])
			up := start(t.Context(), stores[0], by("", 0, use(1), use(2), use(3)))
			until(t, "the first waits", func() bool { return blocked(t, observer) == 1 })
			down := start(t.Context(), stores[1], by("", 0, use(3), use(2), use(1)))
			until(t, "both wait", func() bool { return blocked(t, observer) == 2 })
			execute(t, operator, `ROLLBACK`)
			expect(t, "first", await(t, up), spent)
			expect(t, "second", await(t, down), replayedProof)
		})
	}
}
