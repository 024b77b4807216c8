package main

import (
	"crypto/tls"
	"encoding/json"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"authserver/internal/flow"
	"authserver/internal/oauth"
)

// keyHost is a client's host for its key set. It counts who comes.
type keyHost struct {
	*httptest.Server
	connections atomic.Int64
	requests    atomic.Int64

	mu     sync.Mutex
	answer http.HandlerFunc
}

// newKeyHost serves over http on a loopback address, as a host on a developer's machine.
func newKeyHost(t testing.TB, answer http.HandlerFunc) *keyHost {
	t.Helper()
	h := silentKeyHost(answer)
	h.Start()
	t.Cleanup(h.Close)
	return h
}

// newTLSKeyHost serves over TLS with a certificate. It offers HTTP/2 too: who talks HTTP/1.1 to it has chosen to.
func newTLSKeyHost(t testing.TB, listener net.Listener, certificate tls.Certificate, answer http.HandlerFunc) *keyHost {
	t.Helper()
	h := silentKeyHost(answer)
	if listener != nil {
		_ = h.Listener.Close()
		h.Listener = listener
	}
	h.EnableHTTP2 = true
	h.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}, ClientAuth: tls.RequestClientCert}
	h.StartTLS()
	t.Cleanup(h.Close)
	return h
}

// silentKeyHost writes no log: broken handshakes are what many cases are about.
func silentKeyHost(answer http.HandlerFunc) *keyHost {
	h := &keyHost{answer: answer}
	h.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.requests.Add(1)
		h.mu.Lock()
		answer := h.answer
		h.mu.Unlock()
		answer(w, r)
	}))
	h.Config.ErrorLog = log.New(io.Discard, "", 0)
	h.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			h.connections.Add(1)
		}
	}
	return h
}

// now changes what the host answers.
func (h *keyHost) now(answer http.HandlerFunc) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.answer = answer
}

// serving answers with a text.
func serving(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/jwk-set+json")
		_, _ = io.WriteString(w, text)
	}
}

// publishing answers with a key set.
func publishing(keys ...any) http.HandlerFunc { return serving(keySetOf(keys...)) }

// keySetOf is a JWK Set as text; the keys are flow.JWK, maps or JSON.
func keySetOf(keys ...any) string {
	text, err := json.Marshal(map[string]any{"keys": append([]any{}, keys...)})
	if err != nil {
		panic(err)
	}
	return string(text)
}

// jwk is the public key with members changed; those that become nil are left out.
func jwk(k *flow.Key, changes map[string]any) map[string]any {
	text, err := json.Marshal(k.PublicJWK())
	if err != nil {
		panic(err)
	}
	var members map[string]any
	if err := json.Unmarshal(text, &members); err != nil {
		panic(err)
	}
	maps.Copy(members, changes)
	maps.DeleteFunc(members, func(_ string, value any) bool { return value == nil })
	return members
}

// keysAt registers a jwks_uri instead of keys.
func keysAt(uri string) func(map[string]any) {
	return func(m map[string]any) {
		delete(m, "jwks")
		m["jwks_uri"] = uri
	}
}

// remote registers a client whose keys are at a host that answers as given.
func (d *deployment) remote(answer http.HandlerFunc) (*flow.Client, *keyHost) {
	d.t.Helper()
	h := newKeyHost(d.t, answer)
	return d.register(0, keysAt(h.URL+"/jwks")), h
}

// publisher registers a client whose host publishes its key.
func (d *deployment) publisher() (*flow.Client, *keyHost) {
	d.t.Helper()
	c, h := d.remote(nil)
	h.now(publishing(c.Key.PublicJWK()))
	return c, h
}

// alone is one replica more on the same database, with settings of its own and nothing in memory.
func (d *deployment) alone(edits ...func(*config)) *deployment {
	d.t.Helper()
	one := *d
	one.replicas, one.hosts, one.stops = nil, nil, nil
	for _, edit := range edits {
		edit(&one.config)
	}
	one.start()
	return &one
}

// trusting makes an authority's certificates good for key sets.
func trusting(a *authority) func(*config) {
	return func(c *config) { c.vetting.RootCAs = a.pool() }
}

// unproven wants the one refusal that tells nothing of the client's keys or their host.
func (d *deployment) unproven(c *flow.Client, edits ...flow.Edit) *flow.Exchange {
	d.t.Helper()
	e := do(d.t, c.Server, asserting(c, edits...))
	refusedFor(d.t, e, "401 invalid_client", oauth.ClientNotProven)
	return e
}

// proven wants a token.
func (d *deployment) proven(c *flow.Client, edits ...flow.Edit) {
	d.t.Helper()
	outcome(d.t, do(d.t, c.Server, asserting(c, edits...)), "200")
}

// fetches counts what play makes a host be asked.
func (h *keyHost) fetches(t testing.TB, want int64, play func()) {
	t.Helper()
	before := h.requests.Load()
	play()
	if got := h.requests.Load() - before; got != want {
		t.Errorf("the host was asked %d times, want %d", got, want)
	}
}

// unreached wants that nobody ever connected.
func (h *keyHost) unreached(t testing.TB) {
	t.Helper()
	if n := h.connections.Load(); n > 0 {
		t.Errorf("%d connections to %s", n, h.URL)
	}
}

// patience bounds the wait for what happens after an answer, in the background.
const patience = time.Minute

// logsWith wants that all words turn up in one record that play causes. A record may follow the answer.
func (d *deployment) logsWith(play func(), words ...string) {
	d.t.Helper()
	before := len(d.logs.String())
	play()
	since := func() string { return d.logs.String()[before:] }
	for end := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		for line := range strings.Lines(since()) {
			if containsAll(line, words) {
				return
			}
		}
		if time.Now().After(end) {
			d.t.Errorf("no record with %q in:\n%s", words, since())
			return
		}
	}
}

func containsAll(s string, words []string) bool {
	for _, word := range words {
		if !strings.Contains(s, word) {
			return false
		}
	}
	return true
}

// eventually waits until something has happened in the background.
func eventually(t testing.TB, what string, happened func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !happened(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("did not happen: %s", what)
		}
	}
}
