package client

import (
	"crypto/x509"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// host is where a client publishes its keys: a real TLS server on loopback.
type host struct {
	*httptest.Server
	hits atomic.Int64

	mu      sync.Mutex
	handler http.HandlerFunc
}

func newHost(t testing.TB, h http.HandlerFunc) *host {
	t.Helper()
	own := &host{handler: h}
	own.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		own.hits.Add(1)
		own.mu.Lock()
		h := own.handler
		own.mu.Unlock()
		h(w, r)
	}))
	own.Config.ErrorLog = log.New(io.Discard, "", 0)
	own.StartTLS()
	t.Cleanup(own.Close)
	return own
}

// answer changes what the host says.
func (o *host) answer(h http.HandlerFunc) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.handler = h
}

// vetting trusts the host's certificate, on loopback.
func (o *host) vetting() Vetting {
	roots := x509.NewCertPool()
	roots.AddCert(o.Certificate())
	return Vetting{Own: []string{issuer}, AllowLoopback: true, RootCAs: roots}
}

// serves answers with a document; headers are name, value pairs.
func serves(document string, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/jwk-set+json")
		for i := 0; i+1 < len(headers); i += 2 {
			w.Header().Add(headers[i], headers[i+1])
		}
		_, _ = io.WriteString(w, document)
	}
}

func fails(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }

// of is a bench with one client, c1, whose keys the host publishes.
func (o *host) bench(t testing.TB) *bench {
	return newBench(t, o.vetting(), remote("c1", o.URL+"/jwks"))
}

// wantHits demands how often the host was asked so far.
func (o *host) wantHits(t testing.TB, what string, want int64) {
	t.Helper()
	if got := o.hits.Load(); got != want {
		t.Errorf("%s: asked %d times, want %d", what, got, want)
	}
}

// wants demands that the key proves c1, or that it does not.
func (b *bench) wants(what string, s signer, want bool) {
	b.t.Helper()
	if got := b.proves(s, "c1"); got != want {
		b.t.Errorf("%s: proven %v; the log: %s", what, got, b.logged())
	}
}

// flight is closed when the fetch ends that is under way for the client; nil when there is none.
func (b *bench) flight(clientID string) <-chan struct{} {
	b.t.Helper()
	s, ok := b.KeySets.cache.GetIfPresent(clientID)
	if !ok {
		b.t.Fatalf("no key set of %s is kept", clientID)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.flight
}

// land waits until no fetch for the client is under way.
func (b *bench) land(clientID string) {
	b.t.Helper()
	for done := b.flight(clientID); done != nil; done = b.flight(clientID) {
		<-done
	}
}

// saved waits until n sets have been stored and returns the client's.
func (b *bench) saved(clientID string, n int) FetchedKeySet {
	b.t.Helper()
	for range 1000 {
		b.shelf.mu.Lock()
		set, count := b.shelf.saved[clientID], b.shelf.count
		b.shelf.mu.Unlock()
		if count >= n {
			return set
		}
		time.Sleep(5 * time.Millisecond)
	}
	b.t.Fatalf("%d sets were not stored", n)
	return FetchedKeySet{}
}

// wantLogged waits for what a fetch tells the log after its requests have gone on.
func (b *bench) wantLogged(text string) {
	b.t.Helper()
	for range 1000 {
		if strings.Contains(b.logged(), text) {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	b.t.Errorf("the log does not say %q: %s", text, b.logged())
}
