package store_test

import (
	"sync"
	"testing"
	"time"

	"authserver/internal/jose"
	"authserver/internal/keys"
	"authserver/internal/store/storetest"

	"github.com/google/go-cmp/cmp"
)

// TestSigningKeys: the first key of an algorithm stays, and a kid belongs to one row.
func TestSigningKeys(t *testing.T) {
	s := storetest.New(t)
	sealed := func(kid string, alg jose.Alg, at time.Time) keys.Sealed {
		return keys.Sealed{KID: kid, Alg: alg, Private: []byte("sealed " + kid), CreatedAt: at}
	}
	for _, candidate := range []keys.Sealed{
		sealed("first", jose.ES256, noon),
		sealed("second", jose.ES256, noon.Add(time.Minute)),
		sealed("first", jose.PS256, noon.Add(time.Minute)),
		sealed("other", jose.PS256, noon.Add(time.Minute)),
	} {
		if err := s.AddSigningKey(t.Context(), candidate); err != nil {
			t.Fatal(err)
		}
	}
	got, err := s.SigningKeys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := []keys.Sealed{sealed("other", jose.PS256, noon.Add(time.Minute)), sealed("first", jose.ES256, noon)}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("newest first (-want +got):\n%s", diff)
	}
}

// TestReplicasOpenKeysTogether (KY-03): replicas that start at once on an empty database sign with one key.
func TestReplicasOpenKeysTogether(t *testing.T) {
	for range 5 {
		_, stores := replicas(t)
		sealing, err := keys.ParseEncryptionKeys("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
		if err != nil {
			t.Fatal(err)
		}
		sets := make([]*keys.Set, len(stores))
		gate := make(chan struct{})
		var all sync.WaitGroup
		for i, s := range stores {
			all.Go(func() {
				<-gate
				set, err := keys.Open(t.Context(), s, sealing, noon, jose.ES256, jose.EdDSA)
				if err != nil {
					t.Error(err)
				}
				sets[i] = set
			})
		}
		close(gate)
		all.Wait()
		if t.Failed() {
			return
		}
		for _, set := range sets {
			if diff := cmp.Diff(string(sets[0].JWKS()), string(set.JWKS())); diff != "" {
				t.Errorf("two replicas publish different keys:\n%s", diff)
			}
			for _, alg := range []jose.Alg{jose.ES256, jose.EdDSA} {
				compact, err := set.Sign(alg, "JWT", map[string]string{})
				if err != nil {
					t.Fatal(err)
				}
				parsed, err := jose.Door{MaxBytes: 4 << 10, Types: []string{"JWT"}}.Parse(compact)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := parsed.Verify(sets[0].Key(parsed.Header().Kid)); err != nil {
					t.Errorf("%s of one replica is not known to another: %v", alg, err)
				}
			}
		}
	}
}
