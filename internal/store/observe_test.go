package store_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"authserver/internal/replay"
	"authserver/internal/store/storetest"

	"github.com/google/go-cmp/cmp"
)

// watch keeps what an Observer is told.
type watch struct {
	mu       sync.Mutex
	outcomes map[replay.Outcome]int
	left     int // ended by their own context
	failed   int // ended by anything else
	batches  []int
	took     time.Duration
}

func (w *watch) Spent(o replay.Outcome, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case errors.Is(err, context.Canceled):
		w.left++
	case err != nil:
		w.failed++
	default:
		w.outcomes[o]++
	}
}

func (w *watch) Flushed(requests int, took time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.batches, w.took = append(w.batches, requests), w.took+took
}

// TestObserver: every Spend is told once, however it ended, and every statement with the requests that were in it.
func TestObserver(t *testing.T) {
	url := storetest.URL(t)
	s, operator := storetest.Open(t, url).Unattended(), connect(t, url)
	w := &watch{outcomes: map[replay.Outcome]int{}}
	s.Observe(w)
	addClients(t, s, "a")

	three := queue(t, s, by("a", 1, assertion("a", "1")), by("a", 0, assertion("a", "2")), by("", 0, proof("key", "1")))
	mustSpend(t, s, by("", 0, proof("key", "1")), replayedProof) // beside the one that waits: no statement is needed
	flush(t, s, 3)
	again := queue(t, s, by("a", 1, assertion("a", "1")))
	flush(t, s, 1)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Spend(ended, by("", 0, proof("key", "2"))); err == nil {
		t.Error("one that had ended was spent")
	}
	flush(t, s, 0)
	execute(t, operator, `ALTER TABLE spent RENAME TO hidden`)
	lost := queue(t, s, by("", 0, proof("key", "3")))
	flush(t, s, 1)
	for _, done := range append(append(three, again...), lost...) {
		await(t, done)
	}

	if diff := cmp.Diff(map[replay.Outcome]int{spent: 2, stale: 1, replayedProof: 1, replayedAssertion: 1}, w.outcomes); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]int{3, 1, 1}, w.batches); diff != "" || w.left != 1 || w.failed != 1 || w.took <= 0 {
		t.Errorf("%d left, %d failed, %s together: %s", w.left, w.failed, w.took, diff)
	}
}

// TestPool: the state of the connections is that of the pool, and who must wait for one is counted.
func TestPool(t *testing.T) {
	s := storetest.Open(t, storetest.URL(t)+"&pool_max_conns=3")
	if _, err := s.Clock(t.Context()); err != nil {
		t.Fatal(err)
	}
	p := s.Pool()
	if p.Max != 3 || p.InUse != 0 || p.Idle != 1 || p.Waits != 1 || p.Waited <= 0 {
		t.Errorf("after one question: %+v", p) // which waited for the first connection to be made
	}
}
