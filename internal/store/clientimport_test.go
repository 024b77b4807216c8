package store_test

import (
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"authserver/internal/client"
	"authserver/internal/store"
	"authserver/internal/store/storetest"

	"github.com/google/go-cmp/cmp"
)

// imports wants an import to come to these outcomes.
func imports(t *testing.T, s *store.Store, clients []client.Client, want ...store.Imported) {
	t.Helper()
	got, err := s.ImportClients(t.Context(), clients, noon.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestImport: what is missing is added, what differs is changed, and what is as it should be stays as it is.
func TestImport(t *testing.T) {
	s := storetest.New(t)
	addClients(t, s, "a", "b", "c")
	a, b, fresh := registered("a"), registered("b"), registered("fresh")
	a.RegistrationTokenHash, a.IssuedAt = []byte("another hash"), noon.Add(time.Hour) // neither is an import's to change
	b.Metadata.ClientName, b.TokenLifetime = "renamed", time.Minute
	fresh.Serves = []string{"https://api.example"}
	imports(t, s, []client.Client{fresh, b, a}, store.Created, store.Updated, store.Unchanged)
	imports(t, s, []client.Client{a, b, fresh}, store.Unchanged, store.Unchanged, store.Unchanged)
	imports(t, s, nil, []store.Imported{}...)

	keyed := registered("keyed")
	keyed.Metadata.JWKS = json.RawMessage(`{"keys":[{"kty":"EC","crv":"P-256"}],"n":1}`)
	imports(t, s, []client.Client{keyed}, store.Created)
	keyed.Metadata.JWKS = json.RawMessage(`{"n": 1, "keys": [{"crv": "P-256", "kty": "EC"}]}`) // the same, spelled otherwise
	imports(t, s, []client.Client{keyed}, store.Unchanged)
	keyed.Metadata.JWKS = json.RawMessage(`{"n": 1, "keys": [{"crv": "P-256", "kty": "OKP"}]}`)
	imports(t, s, []client.Client{keyed}, store.Updated)

	wantA := registered("a")
	wantA.Version, b.Version, fresh.Version = 1, 2, 1
	wantClient(t, s, "a", &wantA)
	wantClient(t, s, "b", &b)
	wantClient(t, s, "fresh", &fresh)

	for name, change := range map[string]func(*client.Client){
		"metadata":           func(c *client.Client) { c.Metadata.Scope = "more" },
		"registrar":          func(c *client.Client) { c.Registrar = true },
		"serves":             func(c *client.Client) { c.Serves = nil },
		"token lifetime":     func(c *client.Client) { c.TokenLifetime = time.Minute },
		"assertion audience": func(c *client.Client) { c.AssertionAudience = client.IssuerOrEndpoint },
		"unbound":            func(c *client.Client) { c.Unbound = true },
	} {
		t.Run(name, func(t *testing.T) {
			change(&fresh)
			imports(t, s, []client.Client{fresh}, store.Updated)
			imports(t, s, []client.Client{fresh}, store.Unchanged)
			fresh.Version++
			wantClient(t, s, "fresh", &fresh)
		})
	}
}

// TestConcurrentImports: imports of the same clients at once, in whatever order, add or change each once.
func TestConcurrentImports(t *testing.T) {
	s := storetest.New(t)
	var clients, reversed []client.Client
	for i := range 20 {
		id := fmt.Sprint("client-", i)
		if i%2 == 0 {
			addClients(t, s, id)
		}
		c := registered(id)
		c.Unbound = true
		clients, reversed = append(clients, c), append([]client.Client{c}, reversed...)
	}
	counts := map[store.Imported]int{}
	var mu sync.Mutex
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			outcomes, err := s.ImportClients(t.Context(), [][]client.Client{clients, reversed}[i%2], noon)
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			for _, outcome := range outcomes {
				counts[outcome]++
			}
		})
	}
	all.Wait()
	if diff := cmp.Diff(map[store.Imported]int{store.Created: 10, store.Updated: 10, store.Unchanged: 140}, counts); diff != "" {
		t.Error(diff)
	}
}

// TestImportsTakeTurns: of two imports of a new client, the second finds what the first has made.
func TestImportsTakeTurns(t *testing.T) {
	url := storetest.URL(t)
	s, operator, watcher := storetest.Open(t, url), connect(t, url), connect(t, url)
	execute(t, operator, `BEGIN`)
	execute(t, operator, `LOCK TABLE client IN SHARE MODE`) // lets everybody read, and nobody write
	outcomes := make(chan store.Imported, 2)
	for range 2 {
		go func() {
			done, err := s.ImportClients(t.Context(), []client.Client{registered("new")}, noon)
			if err != nil {
				t.Error(err)
			}
			outcomes <- done[0]
		}()
	}
	until(t, "both imports wait", func() bool { return blocked(t, watcher) == 2 })
	execute(t, operator, `COMMIT`)
	got := map[store.Imported]int{}
	for range 2 {
		got[<-outcomes]++
	}
	if diff := cmp.Diff(map[store.Imported]int{store.Created: 1, store.Unchanged: 1}, got); diff != "" {
		t.Error(diff)
	}
}

// TestClients: pages in a stable order, that together hold every client once.
func TestClients(t *testing.T) {
	s := storetest.New(t)
	addClients(t, s, "d", "a", "c", "b", "e")
	if deleted, err := s.DeleteClient(t.Context(), "c", nil, noon.Add(time.Hour)); !deleted || err != nil {
		t.Fatal(deleted, err)
	}
	if err := s.SaveKeySet(t.Context(), "d", keySet("https://keys.example", noon)); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		after   string
		limit   int
		deleted bool
		want    string
	}{
		"all that are active": {"", 100, false, "a b d e"},
		"deleted ones too":    {"", 100, true, "a b c! d e"},
		"the first page":      {"", 2, true, "a b"},
		"the second":          {"b", 2, true, "c! d"},
		"the last":            {"d", 2, true, "e"},
		"behind a tombstone":  {"c", 2, false, "d e"},
		"behind a gap":        {"bb", 1, false, "d"},
		"behind the end":      {"e", 2, true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			page, err := s.Clients(t.Context(), test.after, test.limit, test.deleted)
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			for _, c := range page {
				got += " " + c.ID
				if c.Deleted {
					got += "!"
				}
			}
			if diff := cmp.Diff(test.want, got[min(len(got), 1):]); diff != "" {
				t.Error(diff)
			}
		})
	}
	d, found, err := s.Client(t.Context(), "d")
	if err != nil || !found || d.Deleted || d.LastKeySet == nil || !d.UpdatedAt.Equal(noon) {
		t.Errorf("%+v, %v, %v", d, found, err)
	}
	c, found, err := s.Client(t.Context(), "c")
	if err != nil || !found || !c.Deleted || c.Version != 2 || !c.UpdatedAt.Equal(noon.Add(time.Hour)) || c.Metadata.ClientName != "client c" {
		t.Errorf("the tombstone: %+v, %v, %v", c, found, err)
	}
	for _, id := range []string{"nobody", "", "zero \x00 byte", "no \xff UTF-8"} {
		if c, found, err := s.Client(t.Context(), id); found || err != nil {
			t.Errorf("%q: %+v, %v", id, c, err)
		}
	}
}
