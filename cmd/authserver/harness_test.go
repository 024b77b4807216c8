package main

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"authserver/internal/flow"
	"authserver/internal/store"
	"authserver/internal/store/storetest"
)

// deployment is an issuer of one or more replicas on one database, over real sockets.
type deployment struct {
	t        testing.TB
	issuer   string
	url      string // of the database
	store    *store.Store
	replicas []*app
	hosts    []string // of the replicas, as the network knows them
	clock    *clock
	logs     *lockedBuffer

	registrar      *flow.Key
	resourceServer *flow.Key
}

// clock is real time that a test can push ahead.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

func (c *clock) advance(d time.Duration) { c.ahead.Add(int64(d)) }

// lockedBuffer is a log that replicas write to at once.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// deploy starts n replicas as dev would wire them. edit changes the settings before they are understood.
func deploy(t testing.TB, n int, edit func(*settings)) *deployment {
	t.Helper()
	d := &deployment{t: t, url: storetest.URL(t), clock: &clock{}, logs: &lockedBuffer{}, issuer: "http://localhost:8080"}
	dir := t.TempDir()
	command := devCmd{State: dir, Settings: settings{Issuer: d.issuer, Listen: "127.0.0.1:0"}}
	if edit != nil {
		edit(&command.Settings)
		d.issuer = command.Settings.Issuer
	}
	command.fillIn()
	c, err := command.configure(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewJSONHandler(d.logs, nil))
	for range n {
		st := storetest.Open(t, d.url)
		if d.store == nil {
			d.store = st
			if err := st.Stamp(t.Context(), "dev", d.issuer, d.clock.now()); err != nil {
				t.Fatal(err)
			}
			if err := seed(t.Context(), st, c, dir); err != nil {
				t.Fatal(err)
			}
		}
		a, err := newApp(t.Context(), c, st, log, d.clock.now)
		if err != nil {
			t.Fatal(err)
		}
		a.server.Demo = demoAccounts(a.guard, a.now)
		listener := httptest.NewServer(a.server.Handler())
		t.Cleanup(listener.Close)
		d.replicas = append(d.replicas, a)
		d.hosts = append(d.hosts, listener.Listener.Addr().String())
	}
	d.registrar = d.readKey(dir, registrarKeyFile)
	d.resourceServer = d.readKey(dir, resourceServerKeyFile)
	return d
}

func (d *deployment) readKey(dir, name string) *flow.Key {
	d.t.Helper()
	key, err := flow.ReadKeyFile(filepath.Join(dir, name))
	if err != nil {
		d.t.Fatal(err)
	}
	return key
}

// transport reaches one replica under the issuer's name, as behind a load balancer.
func (d *deployment) transport(replica int) http.RoundTripper {
	transport := &http.Transport{
		MaxIdleConnsPerHost: 64,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, d.hosts[replica])
		},
	}
	d.t.Cleanup(transport.CloseIdleConnections)
	return transport
}

// server is one replica as a client sees it, its metadata read.
func (d *deployment) server(replica int) *flow.Server {
	d.t.Helper()
	s := &flow.Server{Issuer: d.issuer, HTTP: flow.NewHTTPClient(d.transport(replica), 20*time.Second), Now: d.clock.now}
	if err := s.Discover(d.t.Context()); err != nil {
		d.t.Fatal(err)
	}
	return s
}

// metadata is the registration of an ordinary client with an inline key.
func metadata(key *flow.Key, more ...func(map[string]any)) map[string]any {
	m := map[string]any{
		"client_name":                "a data recipient",
		"grant_types":                []string{"client_credentials"},
		"response_types":             []string{},
		"scope":                      "fdx:accountbasic:read fdx:transactions:read client.read",
		"token_endpoint_auth_method": "private_key_jwt",
		"jwks":                       map[string]any{"keys": []any{key.PublicJWK()}},
	}
	for _, edit := range more {
		edit(m)
	}
	return m
}

// key makes a key of an algorithm.
func key(t testing.TB, alg string) *flow.Key {
	t.Helper()
	k, err := flow.GenerateKey(alg)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// register registers an ordinary client of its own keys at a replica.
func (d *deployment) register(replica int, more ...func(map[string]any)) *flow.Client {
	d.t.Helper()
	s := d.server(replica)
	k := key(d.t, "ES256")
	c, err := s.Register(d.t.Context(), s.RegisterRequest(metadata(k, more...)), k, key(d.t, "ES256"))
	if err != nil {
		d.t.Fatal(err)
	}
	return c
}

// at is the same client at another replica.
func (d *deployment) at(c *flow.Client, replica int) *flow.Client {
	d.t.Helper()
	moved := *c
	moved.Server = d.server(replica)
	return &moved
}

// do sends a request and fails the test when there is no answer at all.
func do(t testing.TB, s *flow.Server, r *flow.Request) *flow.Exchange {
	t.Helper()
	exchange, err := s.Do(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return exchange
}
