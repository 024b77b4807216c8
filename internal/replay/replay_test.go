package replay_test

import (
	"maps"
	"slices"
	"testing"
	"time"

	"authserver/internal/oauth"
	"authserver/internal/replay"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// window is when something is accepted, in seconds: ahead and behind bound the signed time at the moment of use, seen from
// then; after is how long past the signed time the same JWT would still be accepted.
type window struct{ behind, ahead, after int64 }

// windows are those of the server.
var windows = map[replay.Kind]window{
	replay.Assertion:      {9, 3600, 9},   // exp
	replay.AssertionGrant: {9, 900, 9},    // exp
	replay.Proof:          {300, 30, 300}, // iat
	replay.AccessToken:    {0, 3600, 0},   // exp
}

// TestLiveSlotIsNeverSwept: from the use until the last moment at which the same JWT would be accepted, its slot is not
// swept, although the database's clock, by which the sweeper goes, is up to a Width (far beyond the 60 s that are
// tolerated) ahead of the server's or behind it.
func TestLiveSlotIsNeverSwept(t *testing.T) {
	for kind, window := range windows {
		t.Run(string(kind), rapid.MakeCheck(func(t *rapid.T) {
			now := rapid.Int64Range(0, 1<<33).Draw(t, "now")
			signed := now + rapid.Int64Range(-window.behind, window.ahead).Draw(t, "signed from now")
			neverSwept(t, kind, now, signed, signed+window.after)
		}))
	}
}

// TestEdgesOfTheWindows: so it is in every second of a whole round, for signed times at the edges of the windows, and for
// the widest window that the package promises to hold.
func TestEdgesOfTheWindows(t *testing.T) {
	ahead, behind := int64(replay.MaxAhead/time.Second), int64(replay.MaxBehind/time.Second)
	edges := maps.Clone(windows)
	edges["the widest"] = window{behind: behind, ahead: ahead, after: behind}
	for kind, window := range edges {
		if window.ahead > ahead || window.behind > behind || window.after > behind {
			t.Errorf("the window of %s lies outside the ring's bounds", kind)
		}
		for now := range int64(replay.Slots * replay.Width / time.Second) {
			for _, signed := range []int64{now - window.behind, now, now + window.ahead} {
				neverSwept(t, kind, now, signed, signed+window.after)
			}
		}
	}
}

// neverSwept fails when the slot is sweepable at any time of the database between the use and the end of acceptance. A
// look in each half hour is enough, since what is sweepable changes with the half hour.
func neverSwept(t rapid.TB, kind replay.Kind, used, signed, end int64) {
	apart := int64(replay.Width / time.Second)
	use := replay.NewUse(kind, "owner", "jti", time.Unix(signed, 0))
	for at := used - apart; ; at = min(at+apart, end+apart) {
		if slices.Contains(replay.Sweepable(time.Unix(at, 0)), use.Slot) {
			t.Fatalf("used at %d, signed %d, accepted until %d, swept at %d", used, signed, end, at)
		}
		if at >= end+apart {
			return
		}
	}
}

// TestEverySlotIsSwept: within one round of the ring every slot has its hour of being swept, so none grows for ever.
func TestEverySlotIsSwept(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		begin := time.Unix(rapid.Int64Range(0, 1<<33).Draw(t, "begin"), 0)
		times := map[int16]int{}
		for i := range replay.Slots {
			for _, slot := range replay.Sweepable(begin.Add(time.Duration(i) * replay.Width)) {
				times[slot]++
			}
		}
		for slot := range int16(replay.Slots) {
			if times[slot] != 2 {
				t.Fatalf("slot %d is sweepable in %d of %d half hours, want 2", slot, times[slot], replay.Slots)
			}
		}
	})
}

// TestSlot: a slot is a half hour of the signed time, and the ring comes round after four hours.
func TestSlot(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		signed := time.Unix(rapid.Int64Range(-1<<33, 1<<33).Draw(t, "signed"), 0)
		slot := replay.NewUse(replay.Proof, "owner", "jti", signed).Slot
		if slot < 0 || slot >= replay.Slots {
			t.Fatalf("slot %d", slot)
		}
		if signed.Unix() < 0 {
			return
		}
		start := signed.Truncate(replay.Width)
		for name, same := range map[string]time.Time{
			"first second":    start,
			"last second":     start.Add(replay.Width - time.Second),
			"one round on":    signed.Add(replay.Slots * replay.Width),
			"in another zone": signed.In(time.FixedZone("", 45*60)),
		} {
			if got := replay.NewUse(replay.Proof, "owner", "jti", same).Slot; got != slot {
				t.Fatalf("%s: slot %d, want %d", name, got, slot)
			}
		}
		if next := replay.NewUse(replay.Proof, "owner", "jti", start.Add(replay.Width)).Slot; next != (slot+1)%replay.Slots {
			t.Fatalf("slot %d comes after slot %d", next, slot)
		}
	})
}

// TestKey: equal triples have equal keys, different ones different keys, wherever one part ends and the next begins.
func TestKey(t *testing.T) {
	part := rapid.StringOfN(rapid.RuneFrom([]rune{'a', 'b', 0, 1, '.'}), 0, 4, -1)
	triple := rapid.Custom(func(t *rapid.T) [3]string {
		return [3]string{part.Draw(t, "kind"), part.Draw(t, "owner"), part.Draw(t, "value")}
	})
	key := func(p [3]string) [32]byte { return replay.NewUse(replay.Kind(p[0]), p[1], p[2], time.Unix(0, 0)).Key }
	rapid.Check(t, func(t *rapid.T) {
		one, two := triple.Draw(t, "one"), triple.Draw(t, "two")
		if (key(one) == key(two)) != (one == two) {
			t.Fatalf("%q and %q: one key %v", one, two, key(one) == key(two))
		}
	})
	for _, pair := range [][2][3]string{
		{{"proof", "ab", "c"}, {"proof", "a", "bc"}},
		{{"proof", "", "ab"}, {"proof", "ab", ""}},
		{{"proof", "a", "b"}, {"proofa", "", "b"}},
		{{"proof", "a", "b"}, {"assertion", "a", "b"}},
	} {
		if key(pair[0]) == key(pair[1]) {
			t.Errorf("%q and %q share a key", pair[0], pair[1])
		}
	}
}

// TestRefusal: a replay is told by what was replayed; success and a stale record are no refusals. A kind that no sentence
// is written for is an error all the same.
func TestRefusal(t *testing.T) {
	for _, kind := range []replay.Kind{replay.AccessToken, "another kind"} {
		if (replay.Outcome{Replayed: kind}).Refusal() == nil {
			t.Errorf("a replayed %s passes", kind)
		}
	}
	for _, test := range []struct {
		outcome replay.Outcome
		want    oauth.Reason
	}{
		{replay.Outcome{Replayed: replay.Assertion}, oauth.AssertionReplayed},
		{replay.Outcome{Replayed: replay.AssertionGrant}, oauth.AssertionGrantReplayed},
		{replay.Outcome{Replayed: replay.Proof}, oauth.ProofReplayed},
		{replay.Outcome{}, ""},
		{replay.Outcome{Stale: true}, ""},
	} {
		var got oauth.Reason
		err := test.outcome.Refusal()
		if refusal, ok := err.(*oauth.Error); ok {
			got = refusal.Reason
		}
		if test.want == "" && err != nil {
			t.Errorf("%+v: %v", test.outcome, err)
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", test.outcome, diff)
		}
	}
}
