package keys_test

import (
	"slices"
	"testing"
	"time"

	"authserver/internal/jose"
	"authserver/internal/keys"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// TestStatuses follows a line of keys through time: what each is follows from the clock alone.
func TestStatuses(t *testing.T) {
	const day = 24 * time.Hour
	retired := noon.Add(3 * day)
	rows := []keys.Sealed{
		{KID: "third", Alg: jose.ES256, ActivatesAt: noon.Add(4 * day)},
		{KID: "lost", Alg: jose.ES256, ActivatesAt: noon.Add(2 * day), RetiredAt: &retired},
		{KID: "second", Alg: jose.ES256, ActivatesAt: noon.Add(1 * day)},
		{KID: "first", Alg: jose.ES256, ActivatesAt: noon},
		{KID: "other", Alg: jose.EdDSA, ActivatesAt: noon.Add(1 * day)},
	}
	type states map[string]keys.State
	for _, test := range []struct {
		name string
		at   time.Duration
		want states
	}{
		{"before all, the first signs", -day, states{"first": keys.Active, "second": keys.Next, "third": keys.Next}},
		{"the moment it begins", 0, states{"first": keys.Active, "second": keys.Next, "third": keys.Next}},
		{"just before the second", day - 1, states{"first": keys.Active, "second": keys.Next, "third": keys.Next}},
		{"the moment of the second", day, states{"first": keys.Superseded, "second": keys.Active, "third": keys.Next}},
		{"long after the second", 3 * day, states{"first": keys.Superseded, "second": keys.Active, "third": keys.Next}},
		{"the moment of the third", 4 * day, states{"first": keys.Superseded, "second": keys.Superseded, "third": keys.Active}},
		{"long after all", 40 * day, states{"first": keys.Superseded, "second": keys.Superseded, "third": keys.Active}},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.want["lost"], test.want["other"] = keys.Retired, keys.Active
			got := states{}
			for _, s := range keys.Statuses(rows, noon.Add(test.at)) {
				got[s.KID] = s.State
			}
			if diff := gocmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	want := map[string]time.Time{
		"first": noon.Add(day + keys.KeepAfter), "second": noon.Add(4*day + keys.KeepAfter), "lost": retired, "third": {}, "other": {},
	}
	got := map[string]time.Time{}
	for _, s := range keys.Statuses(rows, noon) {
		got[s.KID] = s.PublishedUntil
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("published until (-want +got):\n%s", diff)
	}
}

// verifier is a resource server that keeps the key set for as long as it may.
type verifier struct {
	fetchedAt time.Time
	kids      []string
}

// TestRotationHurtsNobody (KY-01): whatever the times at which replicas read, turn and sign, with clocks as far apart as
// they may be, a verifier's copy of the key set holds the key of every token, and every replica knows it for an hour.
func TestRotationHurtsNobody(t *testing.T) {
	const clockLimit = 5 * time.Second
	rapid.Check(t, func(r *rapid.T) {
		m, now := &memory{}, noon
		rotation := time.Duration(rapid.IntRange(24, 72).Draw(r, "rotation in hours")) * time.Hour
		var rings []*keys.Ring
		for range 3 {
			ahead := time.Duration(rapid.Int64Range(-int64(clockLimit), int64(clockLimit)).Draw(r, "clock ahead"))
			rings = append(rings, openAt(t, m, sealing(1), func() time.Time { return now.Add(ahead) }, jose.EdDSA))
		}
		lastRead := []time.Time{now, now, now}
		anyRing := func(what string) *keys.Ring { return rapid.SampledFrom(rings).Draw(r, what) }
		refresh := func(i int) {
			lastRead[i] = now
			if err := rings[i].Refresh(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		for i := range rings { // those that came first know what the last one found
			refresh(i)
		}
		resourceServer, signedAt := verifier{}, map[string]time.Time{}
		for range rapid.IntRange(10, 40).Draw(r, "steps") {
			now = now.Add(rapid.SampledFrom([]time.Duration{
				time.Second, 20 * time.Second, 4 * time.Minute, 9 * time.Minute, 50 * time.Minute, 23 * time.Hour,
			}).Draw(r, "time passes"))
			for i := range rings {
				if now.Sub(lastRead[i]) >= keys.RefreshEvery || rapid.Bool().Draw(r, "reads") {
					refresh(i)
				}
			}
			switch rapid.IntRange(0, 5).Draw(r, "somebody") {
			case 0, 1, 2:
				turn(t, anyRing("turns"), rotation)
			case 3:
				if _, err := anyRing("rotates").Rotate(t.Context(), keys.PublishBefore, jose.EdDSA); err != nil {
					t.Fatal(err)
				}
			}
			if now.Sub(resourceServer.fetchedAt) >= keys.MaxAge {
				resourceServer = verifier{now, kids(t, anyRing("answers the key set"))}
			}
			if ring := anyRing("signs"); kidOf(t, sign(t, ring, jose.EdDSA)) != inState(ring, keys.Active)[0] {
				r.Fatalf("another key signs than %q", inState(ring, keys.Active))
			}
			for _, ring := range rings {
				active := inState(ring, keys.Active)
				if len(active) != 1 || !slices.Contains(resourceServer.kids, active[0]) {
					r.Fatalf("%q sign at %v, but the set of %v has only %q", active, now, resourceServer.fetchedAt, resourceServer.kids)
				}
				signedAt[active[0]] = now
			}
			for kid, at := range signedAt {
				for _, ring := range rings {
					if now.Sub(at) < time.Hour && ring.Key(kid) == nil {
						r.Fatalf("%s signed at %v and is unknown at %v", kid, at, now)
					}
				}
			}
			if waiting := inState(rings[0], keys.Next); len(waiting) > 1 || len(m.rows) > 2+int(3*keys.KeepAfter/keys.PublishBefore) {
				r.Fatalf("%d keys, of which %d wait", len(m.rows), len(waiting))
			}
		}
	})
}

// turn is one turn of the automatic rotation.
func turn(t *testing.T, ring *keys.Ring, rotation time.Duration) keys.Changed {
	t.Helper()
	done, err := ring.Turn(t.Context(), rotation)
	if err != nil {
		t.Fatal(err)
	}
	return done
}

// kidOf is the kid of a compact JWS.
func kidOf(t *testing.T, compact string) string {
	t.Helper()
	parsed, err := jose.Door{MaxBytes: 4 << 10, Types: []string{"JWT"}}.Parse(compact)
	if err != nil {
		t.Fatal(err)
	}
	return parsed.Header().Kid
}

// inState are the kids of a ring's keys in a state.
func inState(ring *keys.Ring, state keys.State) []string {
	var names []string
	for _, s := range ring.Keys() {
		if s.State == state {
			names = append(names, s.KID)
		}
	}
	return names
}
