package main

import (
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"authserver/internal/flow"

	"github.com/google/go-cmp/cmp"
)

// rotatedKeys: a new kid works at once, one fetch later; kids that nobody ever published cost a host one fetch in 30
// seconds and replica, whoever sends them and however often.
func rotatedKeys(t *testing.T, d *deployment) {
	c, h := d.publisher()
	old, next := c.Key, key(t, "ES256")
	h.fetches(t, 1, func() { d.proven(c) })
	h.now(publishing(old.PublicJWK(), next.PublicJWK()))
	c.Key = next
	h.fetches(t, 1, func() { d.proven(c) })
	c.Key = old
	h.fetches(t, 0, func() { d.proven(c) })

	clients := d.everywhere(c)
	d.clock.advance(31 * time.Second)
	storm := func() map[string]int {
		return atOnce(t, 90, func(i int) (*flow.Server, *flow.Request) {
			c := clients[i%len(clients)]
			return c.Server, asserting(c, flow.SetHeader("kid", fmt.Sprint("unheard of ", i)))
		})
	}
	h.fetches(t, int64(len(clients)), func() {
		for range 2 {
			if diff := cmp.Diff(map[string]int{"401 invalid_client": 90}, storm()); diff != "" {
				t.Error(diff)
			}
			d.proven(clients[1]) // the client itself is served in the storm
		}
	})
	// Kids of clients that do not exist reach no host.
	stranger := *c
	stranger.ID = "nobody"
	h.fetches(t, 0, func() { d.unproven(&stranger, flow.SetHeader("kid", "unheard of")) })

	// A key that is published in the storm works when the 30 seconds are over.
	newest := key(t, "ES256")
	h.now(publishing(old.PublicJWK(), newest.PublicJWK()))
	d.clock.advance(31 * time.Second)
	c.Key = newest
	h.fetches(t, 1, func() { d.proven(c) })
}

func removedKeys(t *testing.T, d *deployment) {
	c, h := d.publisher()
	d.proven(c)
	removed, next := c.Key, key(t, "ES256")
	h.now(publishing(next.PublicJWK()))
	d.clock.advance(10*time.Minute + time.Second)
	for _, c := range []*flow.Client{c, d.at(c, 1)} { // one has the old set in memory, the other in the database
		d.unproven(c)
		d.unproven(c, flow.DropHeader("kid"))
		c.Key = next
		d.proven(c)
		c.Key = removed
		d.unproven(c)
	}
	// Whatever makes the server fetch drops what is gone.
	c, h = d.publisher()
	d.proven(c)
	removed = c.Key
	h.now(publishing(next.PublicJWK()))
	c.Key = next
	d.proven(c)
	c.Key = removed
	d.unproven(c)
}

// hostOutage: the last good set serves for an hour while its host is down, also after every replica was restarted.
func hostOutage(t *testing.T, _ *deployment) {
	d := deploy(t, 2, nil)
	c, h := d.publisher()
	d.proven(c)
	eventually(t, "the key set is stored", func() bool {
		stored, found, err := d.store.FindClient(t.Context(), c.ID)
		return err == nil && found && stored.LastKeySet != nil
	})
	address := h.Listener.Addr().String()
	h.Close()
	everywhere := func(play func(*flow.Client)) {
		for i := range d.replicas {
			play(d.at(c, i))
		}
	}
	everywhere(func(c *flow.Client) { d.proven(c) })
	d.clock.advance(11 * time.Minute)
	d.logsWith(func() { everywhere(func(c *flow.Client) { d.proven(c) }) }, "WARN", c.ID, "client key set not fetched", "refused")
	d.restart()
	everywhere(func(c *flow.Client) {
		d.proven(c)
		d.unproven(c, flow.SignWith(key(t, "ES256")))
	})
	d.clock.advance(48 * time.Minute) // 59 since the fetch
	everywhere(func(c *flow.Client) { d.proven(c) })
	d.clock.advance(2 * time.Minute)
	d.logsWith(func() { everywhere(func(c *flow.Client) { d.unproven(c) }) }, c.ID, "client_not_proven", "the jwks_uri gives no key set")

	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	again := silentKeyHost(publishing(c.Key.PublicJWK()))
	_ = again.Listener.Close()
	again.Listener = listener
	again.Start()
	t.Cleanup(again.Close)
	d.clock.advance(6 * time.Second)
	everywhere(func(c *flow.Client) { d.proven(c) })
}

// expiryUnderLoad sends a burst to every replica at the moment that the kept sets have expired.
func expiryUnderLoad(t *testing.T, d *deployment) {
	c, h := d.publisher()
	clients := d.everywhere(c)
	var fetching, most atomic.Int64
	h.now(func(w http.ResponseWriter, r *http.Request) {
		n := fetching.Add(1)
		defer fetching.Add(-1)
		for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
		}
		time.Sleep(200 * time.Millisecond) // so that the burst meets the fetch
		publishing(c.Key.PublicJWK())(w, r)
	})
	inline := d.register(0)
	const n = 300
	burst := func() {
		for _, c := range clients { // a nonce that is good now, by a client whose keys are at no host
			inline.Server = c.Server
			d.proven(inline)
		}
		got := atOnce(t, n, func(i int) (*flow.Server, *flow.Request) {
			c := clients[i%len(clients)]
			return c.Server, c.TokenRequest(nil)
		})
		if diff := cmp.Diff(map[string]int{"200": n}, got); diff != "" {
			t.Error(diff)
		}
	}
	d.clock.advance(4 * time.Minute) // the sets are still good
	h.fetches(t, 0, burst)
	d.clock.advance(61 * time.Second)
	h.fetches(t, int64(len(clients)), burst)
	if got := most.Load(); got > int64(len(clients)) {
		t.Errorf("%d fetches at once by %d replicas", got, len(clients))
	}
}

// silentHost accepts connections and never answers on them.
type silentHost struct {
	net.Listener
	accepted atomic.Int64
}

func newSilentHost(t testing.TB) *silentHost {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := &silentHost{Listener: listener}
	var held []net.Conn
	var accepting sync.WaitGroup
	accepting.Go(func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			held = append(held, c)
			h.accepted.Add(1)
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		accepting.Wait()
		for _, c := range held {
			_ = c.Close()
		}
	})
	return h
}

// hang never answers a request until its client has gone.
func hang(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

// deadHosts: while clients of hosts that never answer hang, the others are served. Their hosts are asked meanwhile, so
// that no kept answer hides a fetch that waited.
func deadHosts(t *testing.T, d *deployment) {
	silent := newSilentHost(t)
	var dead []*flow.Client
	for i := range 53 {
		dead = append(dead, d.register(0, keysAt(fmt.Sprintf("http://%s/%d", silent.Addr(), i))))
	}
	inline := d.register(0)
	known, knownHost := d.publisher()
	d.proven(known)
	failing, failingHost := d.publisher()
	d.proven(failing)
	d.clock.advance(6 * time.Minute) // the kept sets have expired
	failingHost.now(hang)

	hung := newHanging(t)
	for _, c := range dead[:3] {
		hung.send(c)
	}
	eventually(t, "three hosts are asked", func() bool { return silent.accepted.Load() == 3 })
	d.proven(inline)
	fresh, freshHost := d.publisher()
	freshHost.fetches(t, 1, func() { d.proven(fresh) }) // JK-16: the fourth client, never seen before

	for _, c := range dead[3:] {
		hung.send(c)
	}
	eventually(t, "as many hosts are asked as are ever asked at once", func() bool { return silent.accepted.Load() == 16 })
	d.proven(inline)
	knownHost.fetches(t, 1, func() { d.proven(known) })
	outcome(t, do(t, inline.Server, inline.IntrospectRequest("a")), "200")
	if n := hung.answered.Load(); n > 0 {
		t.Errorf("%d clients of dead hosts were answered before the others were", n)
	}
	d.proven(failing) // by the set of a host that answered once and now is as dead
	hung.wait()
	for _, e := range hung.exchanges {
		outcome(t, e, "401 invalid_client")
	}
}

// hanging are requests whose answers take long.
type hanging struct {
	t         *testing.T
	running   sync.WaitGroup
	answered  atomic.Int64
	mu        sync.Mutex
	exchanges []*flow.Exchange
}

func newHanging(t *testing.T) *hanging {
	h := &hanging{t: t}
	t.Cleanup(h.running.Wait)
	return h
}

func (h *hanging) send(c *flow.Client) {
	r := c.TokenRequest(nil)
	h.running.Go(func() {
		e, err := c.Server.Do(h.t.Context(), r)
		h.answered.Add(1)
		if err != nil {
			h.t.Error(err)
			return
		}
		checkAnswer(h.t, e)
		h.mu.Lock()
		defer h.mu.Unlock()
		h.exchanges = append(h.exchanges, e)
	})
}

func (h *hanging) wait() { h.running.Wait() }

func cacheControl(t *testing.T, d *deployment) {
	for header, lifetime := range map[string]time.Duration{
		"max-age=0": time.Minute, "no-store": time.Minute, "no-cache, max-age=600": time.Minute, "max-age=59": time.Minute,
		"max-age=120": 2 * time.Minute, "Public, Max-Age=120": 2 * time.Minute, "": 5 * time.Minute, "max-age=-1": 5 * time.Minute,
		"max-age=315360000": 10 * time.Minute, "max-age=601": 10 * time.Minute, "max-age=99999999999999999999": 5 * time.Minute,
	} {
		t.Run(header, func(t *testing.T) {
			d := d.within(t)
			c, h := d.remote(nil)
			h.now(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Cache-Control", header)
				publishing(c.Key.PublicJWK())(w, r)
			})
			h.fetches(t, 1, func() { d.proven(c) })
			d.clock.advance(lifetime - 10*time.Second)
			h.fetches(t, 0, func() { d.proven(c); d.proven(c) })
			d.clock.advance(11 * time.Second)
			h.fetches(t, 1, func() { d.proven(c); d.proven(c) })
		})
	}
}
