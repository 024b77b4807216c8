package keys_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"authserver/internal/jose"
	"authserver/internal/keys"

	gocmp "github.com/google/go-cmp/cmp"
)

// house is one replica's ring of Ed25519 keys, over a clock that a test sets.
type house struct {
	t *testing.T
	*keys.Ring
	rows *memory
	now  time.Time
}

func newHouse(t *testing.T) *house {
	h := &house{t: t, rows: &memory{}, now: noon}
	h.Ring = openAt(t, h.rows, sealing(1), func() time.Time { return h.now }, jose.EdDSA)
	return h
}

// told is what a change did, by the kids.
type told struct{ Next, Retired, Deleted []string }

// done wants a change to succeed.
func (h *house) done(c keys.Changed, err error) told {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
	names := func(all []keys.Status) (kids []string) {
		for _, s := range all {
			kids = append(kids, s.KID)
		}
		return kids
	}
	return told{names(c.Next), names(c.Retired), names(c.Deleted)}
}

// signs is the kid that signs at a time.
func (h *house) signs(at time.Time) string {
	h.t.Helper()
	h.now = at
	return kidOf(h.t, sign(h.t, h.Ring, jose.EdDSA))
}

func (h *house) want(what string, want, got any) {
	h.t.Helper()
	if diff := gocmp.Diff(want, got); diff != "" {
		h.t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// TestTurn: the next key is made once, in time for the changeover at the age of rotation, and the one before it stays
// published and then goes.
func TestTurn(t *testing.T) {
	const age = 30 * 24 * time.Hour
	h := newHouse(t)
	first := h.signs(noon)
	changeover := noon.Add(age)
	h.now = changeover.Add(-keys.PublishBefore - time.Microsecond)
	h.want("too early", told{}, h.done(h.Turn(t.Context(), age)))
	h.now = changeover.Add(-keys.PublishBefore)
	h.want("by hand only", told{}, h.done(h.Turn(t.Context(), 0)))
	made := h.done(h.Turn(t.Context(), age))
	if len(made.Next) != 1 || made.Next[0] == first {
		t.Fatalf("made %+v", made)
	}
	second := made.Next[0]
	h.want("once is enough", told{}, h.done(h.Turn(t.Context(), age)))
	h.want("published at once", []string{second, first}, kids(t, h.Ring))
	h.want("before the changeover", first, h.signs(changeover.Add(-1)))
	h.want("at the changeover", second, h.signs(changeover))
	end := changeover.Add(keys.KeepAfter)
	h.now = end.Add(-time.Microsecond)
	h.want("still needed", told{}, h.done(h.Turn(t.Context(), age)))
	h.want("still published", []string{second, first}, kids(t, h.Ring))
	h.now = end
	h.want("needed no more", told{Deleted: []string{first}}, h.done(h.Turn(t.Context(), 0)))
	h.want("left the set", []string{second}, kids(t, h.Ring))
	h.want("only its row is left", 1, len(h.rows.rows))
	h.now = changeover.Add(3 * age)
	late := h.done(h.Turn(t.Context(), age))
	h.want("after a long sleep nobody is surprised", second, h.signs(h.now.Add(keys.PublishBefore-1)))
	h.want("and the next comes", late.Next, []string{h.signs(h.now.Add(1))})
}

// TestExpiredLeavesTheSet: a key whose time is over leaves the key set by the clock, whether or not its row was deleted.
func TestExpiredLeavesTheSet(t *testing.T) {
	h := newHouse(t)
	first := h.signs(noon)
	second := h.done(h.Rotate(t.Context(), keys.PublishBefore, jose.EdDSA)).Next[0]
	h.now = noon.Add(keys.PublishBefore + keys.KeepAfter)
	if err := h.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.want("published", []string{second}, kids(t, h.Ring))
	if h.Key(first) != nil || h.Key(second) == nil {
		t.Errorf("known: %v, %v", h.Key(first), h.Key(second))
	}
}

// TestRotate: a key waits once, however often one asks, and is brought forward by who cannot wait.
func TestRotate(t *testing.T) {
	h := newHouse(t)
	first := h.signs(noon)
	next := h.done(h.Rotate(t.Context(), keys.PublishBefore, jose.EdDSA)).Next
	h.now = noon.Add(time.Minute)
	h.want("again", told{}, h.done(h.Rotate(t.Context(), keys.PublishBefore, jose.EdDSA)))
	h.want("meanwhile", first, h.signs(h.now))
	h.want("at once", told{Next: next}, h.done(h.Rotate(t.Context(), 0, jose.EdDSA)))
	h.want("now", next[0], h.signs(h.now))
	h.want("it stays", []string{next[0], first}, kids(t, h.Ring))

	fresh := h.done(h.Rotate(t.Context(), 0, jose.EdDSA)).Next
	h.want("at once, without one that waits", fresh[0], h.signs(h.now.Add(time.Microsecond)))
	if other := h.done(h.Rotate(t.Context(), 0)); !gocmp.Equal(other, told{}) {
		t.Errorf("no algorithm, and yet %+v", other)
	}
}

// TestFollowerOfAClockAhead: a key that is made at once signs although the one before it comes from a clock ahead.
func TestFollowerOfAClockAhead(t *testing.T) {
	h := newHouse(t)
	first := h.signs(noon)
	h.now = noon.Add(-4 * time.Second)
	next := h.done(h.Rotate(t.Context(), 0, jose.EdDSA)).Next
	h.want("now", first, h.signs(h.now))
	h.want("when the other clock's time has come", next[0], h.signs(noon.Add(time.Microsecond)))
}

// TestRetire: a retired key is neither published nor known, and never is there nobody to sign.
func TestRetire(t *testing.T) {
	h := newHouse(t)
	first := h.signs(noon)
	refused := func(what, kid string, replace bool, want error) {
		t.Helper()
		if c, err := h.Retire(t.Context(), kid, replace); !errors.Is(err, want) || !gocmp.Equal(c, keys.Changed{}) {
			t.Errorf("%s: %+v, error %v", what, c, err)
		}
	}
	refused("a stranger's", "nobody", true, keys.ErrUnknownKey)
	refused("the only one", first, false, keys.ErrKeySigns)
	h.want("nothing happened", []string{first}, kids(t, h.Ring))

	h.now = noon.Add(time.Minute)
	replaced := h.done(h.Retire(t.Context(), first, true))
	h.want("retired", []string{first}, replaced.Retired)
	second := h.signs(h.now)
	h.want("its place is taken", []string{second}, replaced.Next)
	h.want("published", []string{second}, kids(t, h.Ring))
	behind := openAt(t, h.rows, sealing(1), func() time.Time { return h.now.Add(-4 * time.Second) })
	if h.Key(first) != nil || behind.Key(first) != nil {
		t.Error("still known")
	}
	h.want("twice is once", told{}, h.done(h.Retire(t.Context(), first, true)))

	third := h.done(h.Rotate(t.Context(), keys.PublishBefore, jose.EdDSA)).Next[0]
	refused("one waits, but does not sign yet", second, false, keys.ErrKeySigns)
	h.want("the one that waits", told{Retired: []string{third}}, h.done(h.Retire(t.Context(), third, false)))
	h.want("forgotten", []string{second}, kids(t, h.Ring))

	fourth := h.done(h.Rotate(t.Context(), keys.PublishBefore, jose.EdDSA)).Next[0]
	h.want("the one that waits steps in", told{Next: []string{fourth}, Retired: []string{second}},
		h.done(h.Retire(t.Context(), second, true)))
	h.want("at once", fourth, h.signs(h.now))

	fifth := h.done(h.Rotate(t.Context(), 0, jose.EdDSA)).Next[0]
	h.now = h.now.Add(time.Second)
	h.want("one that signed before", told{Retired: []string{fourth}}, h.done(h.Retire(t.Context(), fourth, false)))
	h.want("published", []string{fifth}, kids(t, h.Ring))
	h.now = h.now.Add(keys.KeepAfter)
	h.want("the rows go", 4, len(h.done(h.Turn(t.Context(), 0)).Deleted))
	h.want("one is left", 1, len(h.rows.rows))
}

// TestRetireWakesNobody: a key whose time is over does not sign or come back when its successor is retired.
func TestRetireWakesNobody(t *testing.T) {
	h := newHouse(t)
	first := h.signs(noon)
	second := h.done(h.Rotate(t.Context(), 0, jose.EdDSA)).Next[0]
	h.now = noon.Add(keys.KeepAfter + time.Second)
	done := h.done(h.Retire(t.Context(), second, true))
	h.want("what happened", told{Next: []string{h.signs(h.now)}, Retired: []string{second}, Deleted: []string{first}}, done)
	h.want("published", done.Next, kids(t, h.Ring))
}

// TestChangedMeanwhile: what another replica did between the look and the lock counts.
func TestChangedMeanwhile(t *testing.T) {
	t.Run("both rotate", func(t *testing.T) {
		h := newHouse(t)
		var theirs told
		h.rows.before = func() { theirs = h.done(h.Rotate(t.Context(), keys.PublishBefore, jose.EdDSA)) }
		h.want("ours", told{}, h.done(h.Rotate(t.Context(), keys.PublishBefore, jose.EdDSA)))
		h.want("waiting", theirs.Next, inState(h.Ring, keys.Next))
	})
	t.Run("the one to step in is retired", func(t *testing.T) {
		h := newHouse(t)
		first := h.signs(noon)
		next := h.done(h.Rotate(t.Context(), keys.PublishBefore, jose.EdDSA)).Next
		h.rows.before = func() { h.done(h.Retire(t.Context(), next[0], false)) }
		done := h.done(h.Retire(t.Context(), first, true))
		if len(done.Next) != 1 || done.Next[0] == next[0] {
			t.Errorf("%+v: another had to be made", done)
		}
		h.want("published", done.Next, kids(t, h.Ring))
	})
	t.Run("the key came to sign", func(t *testing.T) {
		h := newHouse(t)
		next := h.done(h.Rotate(t.Context(), keys.PublishBefore, jose.EdDSA)).Next
		h.now = noon.Add(time.Second)
		h.rows.before = func() { h.done(h.Rotate(t.Context(), 0, jose.EdDSA)) }
		if _, err := h.Retire(t.Context(), next[0], false); !errors.Is(err, keys.ErrKeySigns) {
			t.Errorf("error %v", err)
		}
	})
}

// TestTurnTogether: of replicas that turn at once, one makes the next key.
func TestTurnTogether(t *testing.T) {
	m, now := &memory{}, noon
	var rings []*keys.Ring
	for range 5 {
		rings = append(rings, openAt(t, m, sealing(1), func() time.Time { return now }, jose.EdDSA, jose.ES256))
	}
	now = noon.Add(24 * time.Hour)
	var all sync.WaitGroup
	for _, ring := range rings {
		all.Go(func() {
			if _, err := ring.Turn(t.Context(), 24*time.Hour); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if len(m.rows) != 4 {
		t.Errorf("%d keys, want two of each algorithm", len(m.rows))
	}
}

// TestRefreshFails: what was read before stays in use, and nobody who cannot open the keys adds to them.
func TestRefreshFails(t *testing.T) {
	h := newHouse(t)
	first := h.signs(noon)
	stranger := &memory{}
	open(t, stranger, sealing(2), jose.EdDSA)
	stranger.rows[0].ActivatesAt = noon.Add(time.Hour)
	h.rows.rows = append(h.rows.rows, stranger.rows...)
	for what, try := range map[string]func() error{
		"Refresh": func() error { return h.Refresh(t.Context()) },
		"Turn":    func() error { _, err := h.Turn(t.Context(), time.Minute); return err },
		"Rotate":  func() error { _, err := h.Rotate(t.Context(), 0, jose.EdDSA); return err },
		"Rewrap":  func() error { _, err := h.Rewrap(t.Context()); return err },
	} {
		if err := try(); !errors.Is(err, keys.ErrSealed) || !strings.Contains(err.Error(), stranger.rows[0].KID) {
			t.Errorf("%s: %v", what, err)
		}
	}
	h.want("published", []string{first}, kids(t, h.Ring))
	h.want("signs", first, h.signs(noon.Add(2*time.Hour)))
	h.want("changes", 1, h.rows.changes)
	h.rows.rows = h.rows.rows[:1]
	h.rows.failing = errors.New("no database")
	if err := h.Refresh(t.Context()); !errors.Is(err, h.rows.failing) {
		t.Errorf("error %v", err)
	}
	h.want("published", []string{first}, kids(t, h.Ring))
}

// TestDoneButNotReadAgain: what was committed is told although the keys cannot be read again.
func TestDoneButNotReadAgain(t *testing.T) {
	h := newHouse(t)
	h.rows.after = func() { h.rows.failing = errors.New("no database") }
	done, err := h.Rotate(t.Context(), keys.PublishBefore, jose.EdDSA)
	if !errors.Is(err, h.rows.failing) || len(done.Next) != 1 || len(h.rows.rows) != 2 {
		t.Errorf("%+v, %d rows, error %v", done, len(h.rows.rows), err)
	}
	h.want("what was read before is in use", 1, len(kids(t, h.Ring)))
}

// TestFresh: who has not read the keys for as long as a new one waits cannot know all that sign.
func TestFresh(t *testing.T) {
	h := newHouse(t)
	h.now = noon.Add(keys.PublishBefore - 1)
	if err := h.Fresh(); err != nil {
		t.Error(err)
	}
	h.now = noon.Add(keys.PublishBefore)
	h.rows.failing = errors.New("no database")
	if err := h.Refresh(t.Context()); !errors.Is(err, h.rows.failing) {
		t.Errorf("error %v", err)
	}
	if err := h.Fresh(); err == nil || err.Error() != "the signing keys were last read 10m0s ago" {
		t.Errorf("error %v", err)
	}
	h.rows.failing = nil
	if err := errors.Join(h.Refresh(t.Context()), h.Fresh()); err != nil {
		t.Error(err)
	}
}

// TestRewrap: all keys, the retired too, are sealed with the first key-encryption key alone, and stay what they are.
func TestRewrap(t *testing.T) {
	m := &memory{}
	before := open(t, m, sealing(1), all...)
	if _, err := before.Retire(t.Context(), m.row(t, jose.ES256).KID, true); err != nil {
		t.Fatal(err)
	}
	old := slices.Clone(m.rows)
	n, err := open(t, m, sealing(2, 1)).Rewrap(t.Context())
	if n != 4 || err != nil {
		t.Fatalf("%d keys, error %v", n, err)
	}
	for i, row := range m.rows {
		if string(unseal(t, sealing(2)[0], row)) != string(unseal(t, sealing(1)[0], old[i])) {
			t.Errorf("%s is another key", row.KID)
		}
		row.Private, old[i].Private = nil, nil
		if diff := gocmp.Diff(old[i], row); diff != "" {
			t.Errorf("(-before +after):\n%s", diff)
		}
	}
	after := open(t, m, sealing(2))
	if diff := gocmp.Diff(string(before.JWKS()), string(after.JWKS())); diff != "" {
		t.Errorf("published (-before +after):\n%s", diff)
	}
	verify(t, after, sign(t, before, jose.PS256))
	wantClosed(t, "with the old key", m, sealing(1))
}

// TestKIDIsNoFlag: no kid begins with a dash, which one thumbprint in 64 does.
func TestKIDIsNoFlag(t *testing.T) {
	for range 600 {
		if kid := newHouse(t).Keys()[0].KID; strings.HasPrefix(kid, "-") {
			t.Fatalf("kid %s", kid)
		}
	}
}

// TestStatusTellsNoKey: what is told about keys for metrics and people has nothing of a private key, sealed or not.
func TestStatusTellsNoKey(t *testing.T) {
	m := &memory{}
	ring := open(t, m, sealing(1), all...)
	secrets := scalars(t, m, sealing(1)[0])
	for _, row := range m.rows {
		secrets = append(secrets, row.Private)
	}
	changed, err := ring.Rotate(t.Context(), keys.PublishBefore, jose.EdDSA)
	if err != nil {
		t.Fatal(err)
	}
	for what, value := range map[string]any{"Keys": ring.Keys(), "Changed": changed} {
		for how, text := range printed(value) {
			for _, secret := range secrets {
				for _, spelling := range spellings(secret) {
					if strings.Contains(text, spelling) {
						t.Errorf("%s as %s tells %s", what, how, fmt.Sprintf("%.20q", spelling))
					}
				}
			}
		}
	}
}
