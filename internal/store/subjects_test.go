package store_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"authserver/internal/client"
	"authserver/internal/oauth"
	"authserver/internal/replay"
	"authserver/internal/store"
	"authserver/internal/store/storetest"
)

// certified is a client of tls_client_auth.
func certified(id, dn string) client.Client {
	c := registered(id)
	c.Metadata.TokenEndpointAuthMethod, c.Metadata.TLSClientAuthSubjectDN = client.TLSClientAuth, dn
	return c
}

// isTaken tells whether a write was refused because of its subject, which is no fault and no outage.
func isTaken(err error) bool {
	refusal, ok := errors.AsType[*oauth.Error](err)
	return ok && refusal.Reason == oauth.SubjectTaken && refusal.Status() == 400 && !isTemporary(err)
}

// TestSubjectIsOnes (DR-23): no two living clients have one subject of a certificate, however it is spelled and whoever writes
// it; a refused write changes nothing. What a client gives up, or leaves behind, is free again.
func TestSubjectIsOnes(t *testing.T) {
	s := storetest.New(t)
	add := func(c client.Client) error {
		added, err := s.AddClient(t.Context(), c)
		if err == nil && !added {
			t.Errorf("%s was there", c.ID)
		}
		return err
	}
	update := func(c client.Client) error {
		_, updated, err := s.UpdateClient(t.Context(), c.ID, nil, c.Metadata, noon)
		if err == nil && !updated {
			t.Errorf("%s was not there", c.ID)
		}
		return err
	}
	replace := func(c client.Client) error {
		stored, _, err := s.FindClient(t.Context(), c.ID)
		if err != nil {
			t.Fatal(err)
		}
		c.Version = stored.Version
		replaced, err := s.ReplaceClient(t.Context(), c, noon)
		if err == nil && !replaced {
			t.Errorf("%s was not replaced", c.ID)
		}
		return err
	}
	imports := func(c client.Client) error {
		_, err := s.ImportClients(t.Context(), []client.Client{c}, noon)
		return err
	}
	host := registered("host")
	host.Metadata.TokenEndpointAuthMethod, host.Metadata.TLSClientAuthSANDNS = client.TLSClientAuth, "kim"
	plain := registered("a") // whose method takes no subject
	plain.Metadata.TLSClientAuthSubjectDN = "CN=kim"
	for i, step := range []struct {
		name  string
		write error
		taken bool
	}{
		{"a has it", add(certified("a", "CN=kim,C=CA")), false},
		{"a new client", add(certified("b", "cn=kim, C=#13024341")), true},
		{"another one", add(certified("b", "CN=sam,C=CA")), false},
		{"of another kind", add(host), false},
		{"by an update", update(certified("b", "CN=kim,C=CA")), true},
		{"by the operator", replace(certified("b", "CN=kim,C=CA")), true},
		{"by an import", imports(certified("b", "CN=kim,C=CA")), true},
		{"by an import of a new client", imports(certified("c", "CN=kim,C=CA")), true},
		{"its own again", update(certified("a", "CN=kim,C=CA")), false},
		{"its own by an import", imports(certified("a", "CN=kim,C=CA")), false},
		{"a gives it up", update(plain), false},
		{"b takes it", update(certified("b", "CN=kim,C=CA")), false},
		{"a wants it back", update(certified("a", "CN=kim,C=CA")), true},
		{"a takes what b had", replace(certified("a", "CN=sam,C=CA")), false},
	} {
		if step.taken != isTaken(step.write) || !step.taken && step.write != nil {
			t.Errorf("%d %s: %v", i, step.name, step.write)
		}
	}
	if _, found, err := s.FindClient(t.Context(), "c"); found || err != nil {
		t.Errorf("a refused import left a client: %v", err)
	}
	if deleted, err := s.DeleteClient(t.Context(), "b", nil, noon); !deleted || err != nil {
		t.Fatal(err)
	}
	if err := add(certified("d", "CN=kim,C=CA")); err != nil {
		t.Errorf("what a deleted client had: %v", err)
	}
	if b, _, err := s.Client(t.Context(), "b"); err != nil || b.Metadata.TLSClientAuthSubjectDN != "CN=kim,C=CA" {
		t.Errorf("the tombstone has forgotten it: %+v, %v", b, err)
	}
}

// TestConcurrentSubjects (DR-23, DR-20): of many clients that register one subject at once, or change to it, one gets it.
func TestConcurrentSubjects(t *testing.T) {
	url := storetest.URL(t)
	stores := []*store.Store{storetest.Open(t, url), storetest.Open(t, url)}
	const n = 10
	for i := range n {
		if added, err := stores[0].AddClient(t.Context(), certified(fmt.Sprint("old ", i), fmt.Sprint("CN=", i))); !added || err != nil {
			t.Fatal(err)
		}
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	won := 0
	count := func(err error) {
		mu.Lock()
		defer mu.Unlock()
		if err == nil {
			won++
		} else if !isTaken(err) {
			t.Error(err)
		}
	}
	for i := range n {
		s := stores[i%2]
		wg.Go(func() { _, err := s.AddClient(t.Context(), certified(fmt.Sprint("new ", i), "CN=kim")); count(err) })
		wg.Go(func() {
			_, _, err := s.UpdateClient(t.Context(), fmt.Sprint("old ", i), nil, certified("", "CN=kim").Metadata, noon)
			count(err)
		})
	}
	if wg.Wait(); won != 1 {
		t.Errorf("%d clients have one subject", won)
	}
}

// TestSpendOfACertificate: a client that is proven by its certificate uses nothing up, and still its Spend tells whether it is
// the client that it was.
func TestSpendOfACertificate(t *testing.T) {
	s := storetest.New(t)
	addClients(t, s, "a")
	mustSpend(t, s, by("a", 1), replay.Outcome{})
	mustSpend(t, s, by("a", 1, proof("k", "1")), replay.Outcome{})
	mustSpend(t, s, by("a", 2), replay.Outcome{Stale: true})
	mustSpend(t, s, by("nobody", 1), replay.Outcome{Stale: true})
	if _, err := s.DeleteClient(t.Context(), "a", nil, noon.Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	mustSpend(t, s, by("a", 1), replay.Outcome{Stale: true})
}

// TestSubjectHolders: the operator is told who has a subject; nobody is named who has none, or lives no longer.
func TestSubjectHolders(t *testing.T) {
	s := storetest.New(t)
	var keys []string
	for _, c := range []client.Client{certified("alive", "CN=a"), certified("deleted", "CN=d"), certified("another", "CN=x")} {
		if _, err := s.AddClient(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		subject, _ := c.Metadata.CertificateSubject()
		keys = append(keys, subject.Key())
	}
	if _, err := s.DeleteClient(t.Context(), "deleted", nil, noon); err != nil {
		t.Fatal(err)
	}
	holders, err := s.SubjectHolders(t.Context(), append(keys[:2:2], "nobody's"))
	if err != nil || len(holders) != 1 || holders[keys[0]] != "alive" {
		t.Errorf("%v, %v", holders, err)
	}
}
