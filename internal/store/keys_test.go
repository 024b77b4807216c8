package store_test

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"authserver/internal/jose"
	"authserver/internal/keys"
	"authserver/internal/store"
	"authserver/internal/store/storetest"

	"github.com/google/go-cmp/cmp"
)

// sealedKey is a signing key of this kid that begins to sign some minutes after noon.
func sealedKey(kid string, alg jose.Alg, minutes int) keys.Sealed {
	at := noon.Add(time.Duration(minutes) * time.Minute)
	return keys.Sealed{KID: kid, Alg: alg, Private: []byte("sealed " + kid), CreatedAt: at.Add(-time.Hour), ActivatesAt: at}
}

// changeKeys makes changes that need no look at what is there.
func changeKeys(t *testing.T, s *store.Store, c keys.Changes) {
	t.Helper()
	if err := s.ChangeSigningKeys(t.Context(), func([]keys.Sealed) (keys.Changes, error) { return c, nil }); err != nil {
		t.Fatal(err)
	}
}

// wantKeys wants these keys to be stored, the latest to sign first.
func wantKeys(t *testing.T, s *store.Store, want ...keys.Sealed) {
	t.Helper()
	got, err := s.SigningKeys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("stored keys (-want +got):\n%s", diff)
	}
}

// TestSigningKeys: keys are added, changed and deleted under their kid; what a key is does not change.
func TestSigningKeys(t *testing.T) {
	s := storetest.New(t)
	first, second, other := sealedKey("first", jose.ES256, 0), sealedKey("second", jose.ES256, 20), sealedKey("other", jose.PS256, 10)
	changeKeys(t, s, keys.Changes{Put: []keys.Sealed{second, first, other}})
	wantKeys(t, s, second, other, first)

	retired := noon.Add(time.Second)
	changed := first
	changed.Private, changed.ActivatesAt, changed.RetiredAt = []byte("sealed anew"), noon.Add(time.Hour), &retired
	disguised := changed
	disguised.Alg, disguised.CreatedAt = jose.EdDSA, noon
	changeKeys(t, s, keys.Changes{Put: []keys.Sealed{disguised}, Delete: []string{"other", "unknown"}})
	wantKeys(t, s, changed, second)

	changeKeys(t, s, keys.Changes{})
	wantKeys(t, s, changed, second)
}

// TestChangeSigningKeysAsAWhole: a change is done whole or not at all, and its own error comes back as it is.
func TestChangeSigningKeysAsAWhole(t *testing.T) {
	s := storetest.New(t)
	first := sealedKey("first", jose.ES256, 0)
	changeKeys(t, s, keys.Changes{Put: []keys.Sealed{first}})
	refusal := errors.New("not so")
	err := s.ChangeSigningKeys(t.Context(), func(all []keys.Sealed) (keys.Changes, error) {
		return keys.Changes{Delete: []string{all[0].KID}}, refusal
	})
	if !errors.Is(err, refusal) || isTemporary(err) || err.Error() != refusal.Error() {
		t.Errorf("error %v", err)
	}
	unnamed := keys.Changes{Put: []keys.Sealed{sealedKey("second", jose.ES256, 1), {KID: "no private key", Alg: jose.ES256}}, Delete: []string{"first"}}
	if err := s.ChangeSigningKeys(t.Context(), func([]keys.Sealed) (keys.Changes, error) { return unnamed, nil }); err == nil || isTemporary(err) {
		t.Errorf("a row that cannot be: %v", err)
	}
	wantKeys(t, s, first)
}

// TestChangeSigningKeysTakesTurns: whoever changes keys sees what all before it have done, whatever replica did it.
func TestChangeSigningKeysTakesTurns(t *testing.T) {
	_, stores := replicas(t)
	const n = 30
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			if err := stores[i%len(stores)].ChangeSigningKeys(t.Context(), func(there []keys.Sealed) (keys.Changes, error) {
				return keys.Changes{Put: []keys.Sealed{sealedKey(fmt.Sprintf("%02d", len(there)), jose.ES256, 0)}}, nil
			}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	stored, err := stores[0].SigningKeys(t.Context())
	if len(stored) != n || err != nil {
		t.Errorf("%d keys for %d turns: %v", len(stored), n, err)
	}
}

// sealing is a list of key-encryption keys.
func sealing(t *testing.T, list string) keys.EncryptionKeys {
	t.Helper()
	k, err := keys.ParseEncryptionKeys(list)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

const (
	oneSealing     = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
	anotherSealing = "HxwdHhsaGRgXFhUUExIREA8ODQwLCgkIBwYFBAMCAQA="
)

// TestReplicasOpenKeysTogether (KY-03): replicas that start at once on an empty database sign with one key, and those that
// rotate at once make one next key.
func TestReplicasOpenKeysTogether(t *testing.T) {
	algs := []jose.Alg{jose.ES256, jose.EdDSA}
	for range 3 {
		url := storetest.URL(t)
		rings := make([]*keys.Ring, 5)
		var at time.Time
		atOnce := func(do func(i int) error) {
			t.Helper()
			gate := make(chan struct{})
			var all sync.WaitGroup
			for i := range rings {
				all.Go(func() {
					<-gate
					if err := do(i); err != nil {
						t.Error(err)
					}
				})
			}
			close(gate)
			all.Wait()
			if t.Failed() {
				t.FailNow()
			}
		}
		stores := make([]*store.Store, len(rings))
		for i := range stores {
			stores[i] = storetest.Open(t, url)
		}
		at = noon
		now := func() time.Time { return at }
		atOnce(func(i int) (err error) {
			rings[i], err = keys.Open(t.Context(), stores[i], sealing(t, oneSealing), now, algs...)
			return err
		})
		wantOneOfEach(t, rings, algs, keys.Active)
		at = noon.Add(24*time.Hour - keys.PublishBefore)
		atOnce(func(i int) error { _, err := rings[i].Turn(t.Context(), 24*time.Hour); return err })
		wantOneOfEach(t, rings, algs, keys.Active, keys.Next)
		at = noon.Add(24*time.Hour + keys.KeepAfter)
		atOnce(func(i int) error { _, err := rings[i].Turn(t.Context(), 24*time.Hour); return err })
		wantOneOfEach(t, rings, algs, keys.Active)
	}
}

// wantOneOfEach wants every replica to publish the same keys, one in each state for each algorithm, and to recognise what
// another signs.
func wantOneOfEach(t *testing.T, rings []*keys.Ring, algs []jose.Alg, states ...keys.State) {
	t.Helper()
	want, got := []string{}, []string{}
	for _, alg := range algs {
		for _, state := range states {
			want = append(want, string(alg)+" "+string(state))
		}
	}
	for _, s := range rings[0].Keys() {
		got = append(got, string(s.Alg)+" "+string(s.State))
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("keys (-want +got):\n%s", diff)
	}
	for _, ring := range rings {
		if diff := cmp.Diff(string(rings[0].JWKS()), string(ring.JWKS())); diff != "" {
			t.Errorf("two replicas publish different keys:\n%s", diff)
		}
		for _, alg := range algs {
			compact, err := ring.Sign(alg, "JWT", map[string]string{})
			if err != nil {
				t.Fatal(err)
			}
			parsed, err := jose.Door{MaxBytes: 4 << 10, Types: []string{"JWT"}}.Parse(compact)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := parsed.Verify(rings[0].Key(parsed.Header().Kid)); err != nil {
				t.Errorf("%s of one replica is not known to another: %v", alg, err)
			}
		}
	}
}

// TestRewrap: all rows are sealed anew, or, when one does not open or cannot be written, none.
func TestRewrap(t *testing.T) {
	url := storetest.URL(t)
	s, operator := storetest.Open(t, url), connect(t, url)
	open := func(list string) (*keys.Ring, error) {
		return keys.Open(t.Context(), s, sealing(t, list), func() time.Time { return noon }, jose.ES256, jose.EdDSA)
	}
	ring, err := open(oneSealing)
	if err != nil {
		t.Fatal(err)
	}
	both, err := open(anotherSealing + "," + oneSealing)
	if err != nil {
		t.Fatal(err)
	}
	before, err := s.SigningKeys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	execute(t, operator, `CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'refused'; END $$`)
	execute(t, operator, `CREATE TRIGGER refuse BEFORE UPDATE ON signing_key FOR EACH ROW WHEN (old.alg = 'ES256') EXECUTE FUNCTION refuse()`)
	if _, err := both.Rewrap(t.Context()); err == nil {
		t.Error("a row was refused, and nobody minds")
	}
	wantKeys(t, s, before...)
	execute(t, operator, `DROP TRIGGER refuse ON signing_key`)
	if n, err := both.Rewrap(t.Context()); n != 2 || err != nil {
		t.Errorf("%d keys, error %v", n, err)
	}
	if _, err := open(oneSealing); !errors.Is(err, keys.ErrSealed) {
		t.Errorf("with the old key-encryption key: %v", err)
	}
	again, err := open(anotherSealing)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(ring.JWKS()), string(again.JWKS())); diff != "" {
		t.Errorf("published (-before +after):\n%s", diff)
	}
}

// TestSigningKeyTimesDown: the way back to one key for each algorithm keeps the one that signs.
func TestSigningKeyTimesDown(t *testing.T) {
	url := storetest.URL(t)
	s, operator := storetest.Open(t, url), connect(t, url)
	now := ask[time.Time](t, operator, `SELECT now()`)
	var put []keys.Sealed
	for kid, from := range map[string]time.Duration{"superseded": -2 * time.Hour, "active": -time.Hour, "next": time.Minute, "alone": time.Hour, "later": 2 * time.Hour} {
		k := sealedKey(kid, jose.ES256, 0)
		if k.ActivatesAt = now.Add(from); kid == "alone" || kid == "later" {
			k.Alg = jose.PS256
		}
		put = append(put, k)
	}
	retired := sealedKey("retired", jose.EdDSA, 0)
	retired.RetiredAt = &noon
	changeKeys(t, s, keys.Changes{Put: append(put, retired)})

	down(t, url, 2)
	left := ask[[]string](t, operator, `SELECT array_agg(alg || ' ' || kid ORDER BY kid) FROM signing_key`)
	if diff := cmp.Diff([]string{"ES256 active", "PS256 alone"}, left); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
	if _, err := operator.Exec(t.Context(), `INSERT INTO signing_key (kid, alg, private, created_at) VALUES ('another', 'ES256', '', now())`); err == nil {
		t.Error("a second key of an algorithm, as the schema of before never had it")
	}
	migrate(t, s)
	wanted := ask[bool](t, operator, `SELECT bool_and(activates_at = created_at) FROM signing_key`)
	if !wanted {
		t.Error("a key of before does not sign since it was made")
	}
}
