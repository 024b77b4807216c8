package client

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// network is hosts in memory, so that a test can let time pass by itself: every connection is a net.Pipe. Hosts that answer
// do so without TLS; it is the fetcher's time that is looked at here.
type network struct {
	mu    sync.Mutex
	hosts map[string]*pipes
}

func newNetwork() *network { return &network{hosts: map[string]*pipes{}} }

// fetcher is the real one, but for the dialling.
func (n *network) fetcher() *Fetcher {
	f := NewFetcher(production)
	f.http.Transport.(*http.Transport).DialContext = func(_ context.Context, _, address string) (net.Conn, error) {
		n.mu.Lock()
		defer n.mu.Unlock()
		if to := n.hosts[address]; to != nil {
			ours, theirs := net.Pipe()
			to.conns <- theirs
			return ours, nil
		}
		return nil, fmt.Errorf("nobody listens at %s", address)
	}
	return f
}

// pipes is a listener.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (n *network) listen(address string) *pipes {
	n.mu.Lock()
	defer n.mu.Unlock()
	p := &pipes{conns: make(chan net.Conn, 100), done: make(chan struct{})}
	n.hosts[address] = p
	return p
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// serve answers at example.com on a port until the bubble ends, and returns the URL.
func (n *network) serve(t *testing.T, port int, h http.HandlerFunc) string {
	t.Helper()
	address := fmt.Sprintf("example.com:%d", port)
	server := &http.Server{Handler: h, ErrorLog: log.New(io.Discard, "", 0)}
	listener := n.listen(address)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() {
		server.Close()
		time.Sleep(time.Minute) // for handlers that sleep; a bubble's time stands still after its test
	})
	return "http://" + address + "/jwks"
}

// mute accepts TLS connections at example.com on a port and never says a word.
func (n *network) mute(port int) string {
	address := fmt.Sprintf("example.com:%d", port)
	n.listen(address)
	return "https://" + address + "/jwks"
}

// took runs f and tells how long it was.
func took(f func()) time.Duration {
	begin := time.Now()
	f()
	return time.Since(begin)
}

// SS-13, JK-14, JK-16: whatever a host does with its time, a fetch ends within the bounds.
func TestFetchEnds(t *testing.T) {
	tests := []struct {
		name    string
		handler http.HandlerFunc // nil: a host that does not even shake hands
		want    time.Duration
	}{
		{"no handshake", nil, 2 * time.Second},
		{"no answer", hang, 5 * time.Second},
		{"headers and no body", func(w http.ResponseWriter, r *http.Request) {
			w.(http.Flusher).Flush()
			hang(w, r)
		}, 5 * time.Second},
		{"SS-13 1 KiB a second for ever", drip, 5 * time.Second},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork()
				uri := n.mute(1)
				if test.handler != nil {
					uri = n.serve(t, 1, test.handler)
				}
				f := n.fetcher()
				var err error
				if got := took(func() { _, err = f.fetch(t.Context(), uri, true) }); err == nil || got != test.want {
					t.Errorf("ended after %s, want %s: %v", got, test.want, err)
				}
				if len(f.proven) > 0 {
					t.Error("the place was not given back")
				}
			})
		})
	}
}

// hang waits until the connection is gone, and leaves without a last word.
func hang(_ http.ResponseWriter, r *http.Request) {
	<-r.Context().Done()
	panic(http.ErrAbortHandler)
}

// drip sends 1 KiB a second for ever.
func drip(w http.ResponseWriter, r *http.Request) {
	for r.Context().Err() == nil {
		_, _ = w.Write(make([]byte, 1<<10))
		w.(http.Flusher).Flush()
		time.Sleep(time.Second)
	}
	panic(http.ErrAbortHandler)
}

// SS-13, JK-14: a body that never ends is not read beyond the cap, as fast as it may come.
func TestFetchStopsReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		var sent atomic.Int64
		uri := n.serve(t, 443, func(w http.ResponseWriter, _ *http.Request) {
			for sent.Load() < 16*MaxKeySet {
				written, err := w.Write(make([]byte, 1<<10))
				if err != nil {
					return
				}
				sent.Add(int64(written))
			}
		})
		var err error
		if got := took(func() { _, err = n.fetcher().fetch(t.Context(), uri, true) }); err == nil || got != 0 {
			t.Errorf("ended after %s: %v", got, err)
		}
		if got := sent.Load(); got > 2*MaxKeySet { // what was read, and what lay in buffers on the way
			t.Errorf("%d bytes were sent", got)
		}
	})
}

// JK-16: hosts that never answer stall nobody who has answered before, and others only while their places are taken.
func TestLanes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		f := n.fetcher()
		good := n.serve(t, 443, serves(jwks()))
		deadHosts := func(count int) (ended *sync.WaitGroup) {
			ended = &sync.WaitGroup{}
			for i := range count {
				uri := n.mute(1000 + i)
				ended.Go(func() { _, _ = f.fetch(t.Context(), uri, false) })
			}
			synctest.Wait()
			return ended
		}
		get := func(what string, answeredBefore bool, want time.Duration) {
			t.Helper()
			var err error
			if got := took(func() { _, err = f.fetch(t.Context(), good, answeredBefore) }); err != nil || got != want {
				t.Errorf("%s: %s, want %s: %v", what, got, want, err)
			}
		}
		ended := deadHosts(3)
		get("JK-16 three dead hosts and a new one", false, 0)
		ended.Wait()
		ended = deadHosts(16)
		get("JK-16 the lane is full of dead hosts: one that has answered before", true, 0)
		get("JK-16 the lane is full of dead hosts: a new one", false, 2*time.Second)
		ended.Wait()
	})
}

// A place that does not come free in time is a failed fetch, not a queue without end.
func TestLaneIsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		f := n.fetcher()
		for range 16 {
			f.untried <- struct{}{}
		}
		var err error
		if got := took(func() { _, err = f.fetch(t.Context(), n.serve(t, 443, serves(jwks())), false) }); err == nil || got != 5*time.Second {
			t.Errorf("%s: %v", got, err)
		}
	})
}

// Those who ask at once for the same document share one request and its answer.
func TestOneFlightPerURL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		f := n.fetcher()
		var hits atomic.Int64
		release := make(chan struct{})
		uri := n.serve(t, 443, func(w http.ResponseWriter, r *http.Request) {
			hits.Add(1)
			<-release
			serves(jwks(), "Cache-Control", "max-age=90")(w, r)
		})
		var all sync.WaitGroup
		for i := range 10 {
			all.Go(func() {
				got, err := f.fetch(t.Context(), uri, i%2 == 0)
				if err != nil || string(got.raw) != jwks() || got.maxAge != 90*time.Second {
					t.Errorf("%v %v", got, err)
				}
			})
		}
		synctest.Wait() // all ten wait now, and one of them for the host
		close(release)
		all.Wait()
		if hits.Load() != 1 {
			t.Errorf("%d requests", hits.Load())
		}
		if _, err := f.fetch(t.Context(), uri, true); err != nil || hits.Load() != 2 {
			t.Errorf("the next one: %d requests, %v", hits.Load(), err)
		}
	})
}
