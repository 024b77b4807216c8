package store_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"authserver/internal/client"
	"authserver/internal/store"
	"authserver/internal/store/storetest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func keySet(uri string, at time.Time) client.FetchedKeySet {
	return client.FetchedKeySet{URI: uri, Raw: []byte(`{"keys":[]}`), At: at}
}

// wantClient compares what is stored under an id with want; nil: there must be nothing.
func wantClient(t *testing.T, s *store.Store, id string, want *client.Client) {
	t.Helper()
	got, found, err := s.FindClient(t.Context(), id)
	if err != nil || found != (want != nil) {
		t.Fatalf("client %q: found %v, error %v", id, found, err)
	}
	if want == nil {
		want = &client.Client{}
	}
	if diff := cmp.Diff(*want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("client %q (-want +got):\n%s", id, diff)
	}
}

// TestClientLife follows one client from registration to its tombstone.
func TestClientLife(t *testing.T) {
	s := storetest.New(t)
	wantClient(t, s, "a", nil)

	c := registered("a")
	c.Metadata.JWKS = json.RawMessage(`{"keys":[ {"kty":"EC"} ], "note":"as it \u0000 came"}`)
	c.Metadata.RegistryReferences = []client.RegistryReference{{RegisteredEntityName: "Ünïted", Registry: "GLEIF"}}
	c.Registrar, c.Serves = true, []string{"https://api.example", "https://other.example"}
	c.TokenLifetime, c.AssertionAudience, c.Unbound = 10*time.Minute, client.IssuerOrEndpoint, true
	if added, err := s.AddClient(t.Context(), c); !added || err != nil {
		t.Fatal(added, err)
	}
	c.Version = 1
	// The members of a RawMessage come back compact, as encoding/json writes them.
	c.Metadata.JWKS = json.RawMessage(`{"keys":[{"kty":"EC"}],"note":"as it \u0000 came"}`)
	wantClient(t, s, "a", &c)

	other := registered("a")
	other.Metadata.ClientName = "an intruder"
	if added, err := s.AddClient(t.Context(), other); added || err != nil {
		t.Errorf("a taken id was added: %v, %v", added, err)
	}
	wantClient(t, s, "a", &c)

	c.Metadata = client.Metadata{ClientName: "renamed"}
	version, updated, err := s.UpdateClient(t.Context(), "a", nil, c.Metadata, noon.Add(time.Minute))
	if version != 2 || !updated || err != nil {
		t.Errorf("update: version %d, %v, %v", version, updated, err)
	}
	c.Version = 2
	wantClient(t, s, "a", &c)

	replaced := registered("a")
	replaced.IssuedAt = noon.Add(time.Hour)
	replaced.RegistrationTokenHash = []byte("another hash")
	replaced.Version = 2
	if done, err := s.ReplaceClient(t.Context(), replaced, noon); !done || err != nil {
		t.Errorf("replace: %v, %v", done, err)
	}
	if done, err := s.ReplaceClient(t.Context(), c, noon); done || err != nil {
		t.Errorf("a replacement of what is no longer there: %v, %v", done, err)
	}
	replaced.Version, replaced.IssuedAt = 3, noon // the id was given out then
	wantClient(t, s, "a", &replaced)

	if deleted, err := s.DeleteClient(t.Context(), "a", nil, noon); !deleted || err != nil {
		t.Fatal(deleted, err)
	}
	wantClient(t, s, "a", nil)
}

// TestTombstone: a deleted client never comes back, by whatever way.
func TestTombstone(t *testing.T) {
	url := storetest.URL(t)
	s := storetest.Open(t, url)
	addClients(t, s, "a")
	if deleted, err := s.DeleteClient(t.Context(), "a", nil, noon); !deleted || err != nil {
		t.Fatal(deleted, err)
	}
	for name, revive := range map[string]func() (bool, error){
		"add": func() (bool, error) { return s.AddClient(t.Context(), registered("a")) },
		"replace": func() (bool, error) {
			c := registered("a")
			c.Version = 2
			return s.ReplaceClient(t.Context(), c, noon)
		},
		"import": func() (bool, error) {
			outcomes, err := s.ImportClients(t.Context(), []client.Client{registered("b"), registered("a")}, noon)
			return outcomes[1] != store.Deleted, err
		},
		"update": func() (bool, error) {
			_, updated, err := s.UpdateClient(t.Context(), "a", nil, registered("a").Metadata, noon)
			return updated, err
		},
		"delete": func() (bool, error) { return s.DeleteClient(t.Context(), "a", nil, noon) },
		"save key set": func() (bool, error) {
			return false, s.SaveKeySet(t.Context(), "a", keySet("https://keys.example", noon))
		},
		"save logo": func() (bool, error) { return false, s.SaveLogo(t.Context(), "a", logo("https://c.example", noon)) },
	} {
		if done, err := revive(); done || err != nil {
			t.Errorf("%s of a deleted client: %v, %v", name, done, err)
		}
		wantClient(t, s, "a", nil)
	}
	wantClient(t, s, "b", nil) // an import with a tombstone writes nothing
	if version := ask[int64](t, connect(t, url), `SELECT version FROM client WHERE id = 'a'`); version != 2 {
		t.Errorf("the tombstone is at version %d, want 2", version)
	}
}

// TestUnknownClient: what is not there cannot be changed, and ids that PostgreSQL cannot store are not there.
func TestUnknownClient(t *testing.T) {
	s := storetest.New(t)
	for _, id := range []string{"nobody", "", "zero \x00 byte", "no \xff UTF-8"} {
		wantClient(t, s, id, nil)
	}
	if _, updated, err := s.UpdateClient(t.Context(), "nobody", nil, client.Metadata{}, noon); updated || err != nil {
		t.Errorf("update: %v, %v", updated, err)
	}
	if deleted, err := s.DeleteClient(t.Context(), "nobody", nil, noon); deleted || err != nil {
		t.Errorf("delete: %v, %v", deleted, err)
	}
	if err := s.SaveKeySet(t.Context(), "nobody", keySet("https://keys.example", noon)); err == nil || isTemporary(err) {
		t.Errorf("a key set of nobody's: %v", err)
	}
	if replaced, err := s.ReplaceClient(t.Context(), registered("nobody"), noon); replaced || err != nil {
		t.Errorf("replace: %v, %v", replaced, err)
	}
}

// TestSaveKeySet: the newest fetch stays, in whatever order they are saved, and the client's version stays as it is.
func TestSaveKeySet(t *testing.T) {
	s := storetest.New(t)
	addClients(t, s, "a", "b")
	for _, step := range []struct {
		name       string
		save, want client.FetchedKeySet
	}{
		{"first", keySet("https://one.example", noon), keySet("https://one.example", noon)},
		{"newer, elsewhere", keySet("https://two.example", noon.Add(time.Second)), keySet("https://two.example", noon.Add(time.Second))},
		{"older", keySet("https://late.example", noon.Add(time.Millisecond)), keySet("https://two.example", noon.Add(time.Second))},
		{"as old", keySet("https://late.example", noon.Add(time.Second)), keySet("https://two.example", noon.Add(time.Second))},
		{"newest", keySet("https://one.example", noon.Add(time.Minute)), keySet("https://one.example", noon.Add(time.Minute))},
	} {
		if err := s.SaveKeySet(t.Context(), "a", step.save); err != nil {
			t.Fatal(err)
		}
		want := registered("a")
		want.Version, want.LastKeySet = 1, &step.want
		wantClient(t, s, "a", &want)
	}
	untouched := registered("b")
	untouched.Version = 1
	wantClient(t, s, "b", &untouched)
}

// TestConcurrentSaveKeySet: of many replicas' fetches the newest stays.
func TestConcurrentSaveKeySet(t *testing.T) {
	s := storetest.New(t)
	addClients(t, s, "a")
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			set := keySet(fmt.Sprintf("https://%d.example", i), noon.Add(time.Duration(i)*time.Second))
			if err := s.SaveKeySet(t.Context(), "a", set); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	want := registered("a")
	newest := keySet("https://19.example", noon.Add(19*time.Second))
	want.Version, want.LastKeySet = 1, &newest
	wantClient(t, s, "a", &want)
}

// TestConcurrentAddClient: of many that want one id, one gets it.
func TestConcurrentAddClient(t *testing.T) {
	s := storetest.New(t)
	var winners []string
	var mu sync.Mutex
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			c := registered("a")
			c.Metadata.ClientName = fmt.Sprint(i)
			added, err := s.AddClient(t.Context(), c)
			if err != nil {
				t.Error(err)
			}
			if added {
				mu.Lock()
				defer mu.Unlock()
				winners = append(winners, c.Metadata.ClientName)
			}
		})
	}
	all.Wait()
	if len(winners) != 1 {
		t.Fatalf("winners %q", winners)
	}
	want := registered("a")
	want.Version, want.Metadata.ClientName = 1, winners[0]
	wantClient(t, s, "a", &want)
}

// TestConcurrentUpdateAndDelete: every update that was told so has a version of its own, and nothing comes after the
// deletion.
func TestConcurrentUpdateAndDelete(t *testing.T) {
	url := storetest.URL(t)
	s := storetest.Open(t, url)
	addClients(t, s, "a")
	var versions []int64
	var mu sync.Mutex
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			version, updated, err := s.UpdateClient(t.Context(), "a", nil, client.Metadata{ClientName: fmt.Sprint(i)}, noon)
			if err != nil || updated != (version != 0) {
				t.Errorf("update: version %d, %v, %v", version, updated, err)
			}
			if updated {
				mu.Lock()
				defer mu.Unlock()
				versions = append(versions, version)
			}
		})
	}
	all.Go(func() {
		if deleted, err := s.DeleteClient(t.Context(), "a", nil, noon); !deleted || err != nil {
			t.Errorf("delete: %v, %v", deleted, err)
		}
	})
	all.Wait()
	slices.Sort(versions)
	for i, version := range versions {
		if version != int64(i)+2 {
			t.Errorf("versions %v, want 2, 3, 4, …", versions)
			break
		}
	}
	wantClient(t, s, "a", nil)
	last := ask[int64](t, connect(t, url), `SELECT version FROM client WHERE id = 'a' AND status = 'deleted'`)
	if want := int64(len(versions)) + 2; last != want {
		t.Errorf("%d updates and a deletion ended at version %d, want %d", len(versions), last, want)
	}
}

// TestPresentedToken: a change in the name of a registration access token that is no longer the client's does nothing.
func TestPresentedToken(t *testing.T) {
	s := storetest.New(t)
	addClients(t, s, "a")
	c := registered("a")
	old, fresh := c.RegistrationTokenHash, []byte("hash of another")
	if _, updated, err := s.UpdateClient(t.Context(), "a", old, c.Metadata, noon); !updated || err != nil {
		t.Errorf("updated by its token: %v, %v", updated, err)
	}
	c.Version, c.RegistrationTokenHash = 2, fresh
	if replaced, err := s.ReplaceClient(t.Context(), c, noon); !replaced || err != nil {
		t.Fatal(replaced, err)
	}
	if _, updated, err := s.UpdateClient(t.Context(), "a", old, c.Metadata, noon); updated || err != nil {
		t.Errorf("updated by a token that was replaced: %v, %v", updated, err)
	}
	if deleted, err := s.DeleteClient(t.Context(), "a", old, noon); deleted || err != nil {
		t.Errorf("deleted by a token that was replaced: %v, %v", deleted, err)
	}
	if deleted, err := s.DeleteClient(t.Context(), "a", fresh, noon); !deleted || err != nil {
		t.Errorf("deleted by its token: %v, %v", deleted, err)
	}
}
