package store_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"authserver/internal/replay"
	"authserver/internal/store"
	"authserver/internal/store/storetest"
)

// queue begins spends on an unattended Store, one after the other, and returns when all wait for the next statement.
func queue(t *testing.T, s *store.Store, spends ...replay.Spend) []<-chan result {
	t.Helper()
	before := s.Waiting()
	var waiting []<-chan result
	for i, sp := range spends {
		waiting = append(waiting, start(t.Context(), s, sp))
		until(t, "the request waits", func() bool { return s.Waiting() == before+i+1 })
	}
	return waiting
}

// flush sends one statement, which must be for n requests.
func flush(t *testing.T, s *store.Store, n int) {
	t.Helper()
	if got := s.Flush(); got != n {
		t.Fatalf("the statement was for %d requests, want %d", got, n)
	}
}

// TestMixedBatch: in one statement every request gets its own outcome.
func TestMixedBatch(t *testing.T) {
	attended := storetest.New(t)
	s := attended.Unattended()
	addClients(t, s, "a", "b", "deleted")
	if _, _, err := s.UpdateClient(t.Context(), "b", nil, registered("b").Metadata, noon); err != nil {
		t.Fatal(err)
	}
	if _, err := s.DeleteClient(t.Context(), "deleted", nil, noon); err != nil {
		t.Fatal(err)
	}
	mustSpend(t, attended, by("a", 1, assertion("a", "used"), proof("key", "used")), spent)

	steps := []struct {
		name  string
		spend replay.Spend
		want  replay.Outcome
	}{
		{"fresh", by("a", 1, assertion("a", "1"), proof("key", "1")), spent},
		{"replayed assertion", by("a", 1, assertion("a", "used"), proof("key", "2")), replayedAssertion},
		{"replayed proof", by("a", 1, assertion("a", "2"), proof("key", "used")), replayedProof},
		{"current version", by("b", 2, assertion("b", "1"), proof("key", "3")), spent},
		{"old version", by("b", 1, assertion("b", "2"), proof("key", "4")), stale},
		{"old version of a replay", by("a", 0, proof("other key", "1")), stale},
		{"deleted", by("deleted", 1, assertion("deleted", "1")), stale},
		{"no client", by("", 0, proof("key", "5")), spent},
		{"no uses", by("a", 1), spent},
		{"no uses, old version", by("b", 1), stale},
		{"nothing at all", by("", 0), spent},
	}
	var spends []replay.Spend
	for _, step := range steps {
		spends = append(spends, step.spend)
	}
	waiting := queue(t, s, spends...)
	flush(t, s, len(steps))
	for i, step := range steps {
		expect(t, step.name, await(t, waiting[i]), step.want)
	}
	mustSpend(t, attended, by("b", 2, assertion("b", "2"), proof("key", "4")), spent) // the stale one had kept nothing
	mustSpend(t, attended, by("a", 1, proof("key", "2")), replayedProof)              // the replayed one had
}

// TestSameUseInOneBatch: the second of two equal uses loses at once, while the first still waits for the database.
func TestSameUseInOneBatch(t *testing.T) {
	attended := storetest.New(t)
	s := attended.Unattended()
	addClients(t, s, "a", "b")
	winner := queue(t, s, by("a", 1, assertion("a", "1"), proof("key", "1")))
	for name, loser := range map[string]struct {
		spend replay.Spend
		want  replay.Outcome
	}{
		"both":           {by("a", 1, assertion("a", "1"), proof("key", "1")), replayedAssertion},
		"assertion":      {by("a", 1, assertion("a", "1"), proof("key", "fresh")), replayedAssertion},
		"proof":          {by("b", 1, assertion("b", "fresh"), proof("key", "1")), replayedProof},
		"without client": {by("", 0, proof("key", "1")), replayedProof},
	} {
		expect(t, name, await(t, start(t.Context(), s, loser.spend)), loser.want)
	}
	fresh := queue(t, s, by("b", 1, assertion("b", "fresh"), proof("key", "fresh"))) // the losers hold nothing back
	flush(t, s, 2)
	expect(t, "winner", await(t, winner[0]), spent)
	expect(t, "fresh", await(t, fresh[0]), spent)

	late := queue(t, s, by("a", 1, assertion("a", "1"))) // of the next statement: now the database refuses
	flush(t, s, 1)
	expect(t, "late", await(t, late[0]), replayedAssertion)
}

// TestSameJTIOfAnotherSlotInOneBatch: a fresh use does not vouch for a spent one with the same jti and another signed time.
func TestSameJTIOfAnotherSlotInOneBatch(t *testing.T) {
	attended := storetest.New(t)
	s := attended.Unattended()
	used := replay.NewUse(replay.Proof, "key", "1", noon)
	fresh := replay.NewUse(replay.Proof, "key", "1", noon.Add(replay.Width))
	mustSpend(t, attended, by("", 0, used), spent)
	waiting := queue(t, s, by("", 0, fresh), by("", 0, used))
	flush(t, s, 2)
	expect(t, "fresh", await(t, waiting[0]), spent)
	expect(t, "used", await(t, waiting[1]), replayedProof)
}

// TestGroupCommit: requests that come while a statement is under way go out together in the next one.
func TestGroupCommit(t *testing.T) {
	url := storetest.URL(t)
	s := storetest.Open(t, url)
	addClients(t, s, "a")
	operator, observer := connect(t, url), connect(t, url)
	first := assertion("a", "first")
	execute(t, operator, `BEGIN`)
	execute(t, operator, fmt.Sprintf(`LOCK TABLE spent_%d IN ACCESS EXCLUSIVE MODE`, first.Slot))
	waiting := []<-chan result{start(t.Context(), s, by("a", 1, first))}
	until(t, "the first statement waits", func() bool { return blocked(t, observer) == 1 })
	for i := range 20 {
		waiting = append(waiting, start(t.Context(), s, by("a", 1, assertion("a", fmt.Sprint(i)))))
	}
	until(t, "all others wait in process", func() bool { return s.Waiting() == 20 })
	again := start(t.Context(), s, by("a", 1, first)) // is under way: that one's statement will tell
	until(t, "the replay waits too", func() bool { return s.Waiting() == 21 })
	execute(t, operator, `COMMIT`)
	for _, done := range waiting {
		expect(t, "behind the lock", await(t, done), spent)
	}
	expect(t, "replay", await(t, again), replayedAssertion)
}

// TestBatchIsBounded: no statement is for more than 512 requests, and none is forgotten.
func TestBatchIsBounded(t *testing.T) {
	s := storetest.New(t).Unattended()
	var waiting []<-chan result
	for i := range store.MaxBatch + 3 {
		waiting = append(waiting, start(t.Context(), s, by("", 0, proof("key", fmt.Sprint(i)))))
	}
	until(t, "all wait", func() bool { return s.Waiting() == len(waiting) })
	flush(t, s, store.MaxBatch)
	flush(t, s, 3)
	for _, done := range waiting {
		expect(t, "one of many", await(t, done), spent)
	}
}

// TestGivenUp: a request that has ended before its statement is not spent, and does not hold up those behind it.
func TestGivenUp(t *testing.T) {
	s := storetest.New(t).Unattended()
	ctx, giveUp := context.WithCancel(t.Context())
	var dead []<-chan result
	for i := range store.MaxBatch + 1 {
		dead = append(dead, start(ctx, s, by("", 0, proof("key", fmt.Sprint(i)))))
	}
	until(t, "all wait", func() bool { return s.Waiting() == len(dead) })
	alive := queue(t, s, by("", 0, proof("key", "alive")))
	giveUp()
	for _, done := range dead {
		if got := await(t, done); !errors.Is(got.err, context.Canceled) || !isTemporary(got.err) {
			t.Fatalf("a request that ended got %+v", got)
		}
	}
	flush(t, s, 1)
	expect(t, "alive", await(t, alive[0]), spent)
	again := queue(t, s, by("", 0, proof("key", "0")))
	flush(t, s, 1)
	expect(t, "the use of one that had given up", await(t, again[0]), spent)

	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Spend(ended, by("", 0, proof("key", "late"))); !isTemporary(err) {
		t.Errorf("a request that had ended before got %v", err)
	}
	flush(t, s, 0)
}

// TestTooManyWait: beyond the bound a request is turned away as an outage, and the others are not disturbed.
func TestTooManyWait(t *testing.T) {
	s := storetest.New(t).Unattended()
	ctx, giveUp := context.WithCancel(t.Context())
	var waiting []<-chan result
	for range store.MaxWaiting {
		waiting = append(waiting, start(ctx, s, by("", 0)))
	}
	until(t, "the queue is full", func() bool { return s.Waiting() == store.MaxWaiting })
	if got := await(t, start(ctx, s, by("", 0, proof("key", "1")))); !isTemporary(got.err) {
		t.Errorf("one too many got %v", got.err)
	}
	flush(t, s, store.MaxBatch)
	next := queue(t, s, by("", 0, proof("key", "1"))) // there is room again, and the refusal has kept nothing
	giveUp()
	for _, done := range waiting {
		if got := await(t, done); got.err != nil && !isTemporary(got.err) {
			t.Fatal(got.err)
		}
	}
	flush(t, s, 1)
	expect(t, "after the crowd", await(t, next[0]), spent)
}
