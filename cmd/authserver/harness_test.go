package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"authserver/internal/audit"
	"authserver/internal/certificate/certificatetest"
	"authserver/internal/flow"
	"authserver/internal/store"
	"authserver/internal/store/storetest"
)

// deployment is an issuer of one or more replicas on one database, over real sockets.
type deployment struct {
	t         testing.TB
	issuer    string
	url       string // of the database
	store     *store.Store
	config    config
	authority *authority // of the replicas' certificates; nil for an http issuer
	replicas  []*app
	hosts     []string // of the replicas, as the network knows them
	mutuals   []string // of their listeners for mutual TLS, if they have any
	stops     []func() // end one replica each
	clock     *clock
	logs      *lockedBuffer
	trail     *lockedBuffer // the audit records
	wire      *wire         // what must not stand in either

	registrar      *flow.Key
	resourceServer *flow.Key
	issuerKey      *flow.Key // of demoIssuer and demoGateway

	clients *certificatetest.Authority // of the certificates of clients; nil: they have none
	shows   map[string]tls.Certificate // what clients show, by their ids
}

// clock is real time that a test can push ahead, or set to another day.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

func (c *clock) advance(d time.Duration) { c.ahead.Add(int64(d)) }

func (c *clock) set(at time.Time) { c.ahead.Store(int64(time.Until(at))) }

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

// cut takes back what was written behind the first n bytes.
func (l *lockedBuffer) cut(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.b.Truncate(n)
}

// deploy starts n replicas as dev would wire them. edit changes the settings before they are understood.
func deploy(t testing.TB, n int, edit func(*settings)) *deployment {
	t.Helper()
	d := &deployment{t: t, url: storetest.URL(t), clock: &clock{}, logs: &lockedBuffer{}, trail: &lockedBuffer{}, issuer: "http://localhost:8080",
		wire: &wire{secrets: map[string]bool{}}}
	d.store = storetest.Open(t, d.url)
	dir := t.TempDir()
	command := devCmd{State: dir, Settings: settings{Issuer: d.issuer, Listen: "127.0.0.1:0"}}
	if edit != nil {
		edit(&command.Settings)
		d.issuer = command.Settings.Issuer
	}
	if strings.HasPrefix(d.issuer, "https:") {
		d.authority = newAuthority(t)
	}
	command.fillIn()
	var err error
	if d.config, err = command.configure(nil); err != nil {
		t.Fatal(err)
	}
	if d.config.encryptionKeys == nil {
		if d.config.encryptionKeys, err = devEncryptionKeys(dir); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.store.Stamp(t.Context(), "dev", d.issuer, d.clock.now()); err != nil {
		t.Fatal(err)
	}
	writeDevKeys(t, dir)
	if err := seed(t.Context(), d.store, d.config, dir); err != nil {
		t.Fatal(err)
	}
	for range n {
		d.start()
	}
	t.Cleanup(func() { d.checkMustNots(t) })
	d.registrar = d.readKey(dir, registrarKeyFile)
	d.resourceServer = d.readKey(dir, resourceServerKeyFile)
	d.issuerKey = d.readKey(dir, issuerKeyFile)
	return d
}

// devKeys are made once for all deployments: an RSA key costs more than the rest of a deployment.
var devKeys = sync.OnceValues(func() (map[string]*flow.Key, error) {
	registrar, err := flow.GenerateKey("PS256")
	resourceServer, err2 := flow.GenerateKey("PS256")
	issuer, err3 := flow.GenerateKey("ES256")
	return map[string]*flow.Key{registrarKeyFile: registrar, resourceServerKeyFile: resourceServer, issuerKeyFile: issuer},
		errors.Join(err, err2, err3)
})

func writeDevKeys(t testing.TB, dir string) {
	t.Helper()
	keys, err := devKeys()
	if err != nil {
		t.Fatal(err)
	}
	for name, clientID := range map[string]string{
		registrarKeyFile: "dev-registrar", resourceServerKeyFile: "dev-resource-server", issuerKeyFile: demoGateway,
	} {
		key := *keys[name]
		if key.ClientID = clientID; name == issuerKeyFile {
			key.Issuer = demoIssuer
		}
		if err := key.WriteFile(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
}

// start adds a replica with a store of its own.
func (d *deployment) start() {
	d.t.Helper()
	st, err := store.Open(d.t.Context(), d.url)
	if err != nil {
		d.t.Fatal(err)
	}
	trail, err := audit.Open("stdout", d.trail)
	if err != nil {
		d.t.Fatal(err)
	}
	a, err := newApp(d.t.Context(), d.config, st, slog.New(slog.NewJSONHandler(d.logs, nil)), trail, d.clock.now)
	if err != nil {
		d.t.Fatal(err)
	}
	a.addDemo()
	r := d.serve(a)
	stop := sync.OnceFunc(func() { _ = r.end(); st.Close() })
	d.t.Cleanup(stop)
	d.replicas = append(d.replicas, a)
	d.hosts, d.mutuals = append(d.hosts, r.public), append(d.mutuals, r.mutual)
	d.stops = append(d.stops, stop)
}

// serve opens a replica to its clients: as serve does, where these have certificates.
func (d *deployment) serve(a *app) replica {
	if d.clients != nil {
		return d.run(a)
	}
	listener := httptest.NewUnstartedServer(a.server.Handler())
	if d.authority != nil {
		listener.TLS = &tls.Config{Certificates: []tls.Certificate{d.authority.issue(d.t, "ECDSA", hostOf(d.issuer))}}
		listener.StartTLS()
	} else {
		listener.Start()
	}
	return replica{public: listener.Listener.Addr().String(), end: func() error { listener.Close(); return nil }}
}

// restart ends all replicas and starts as many new ones on the same database.
func (d *deployment) restart() {
	d.t.Helper()
	for _, stop := range d.stops {
		stop()
	}
	n := len(d.replicas)
	d.replicas, d.hosts, d.mutuals, d.stops = nil, nil, nil, nil
	for range n {
		d.start()
	}
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
func (d *deployment) transport(replica int) *http.Transport { return d.transportFrom(replica, "") }

// transportFrom does so from an address of this machine; "" is the usual one.
func (d *deployment) transportFrom(replica int, from string) *http.Transport {
	dialer := &net.Dialer{}
	if from != "" {
		dialer.LocalAddr = &net.TCPAddr{IP: net.ParseIP(from)}
	}
	transport := &http.Transport{
		MaxIdleConnsPerHost: 64,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			host := d.hosts[replica]
			if strings.HasSuffix(d.config.mtls.url, "//"+address) {
				host = d.mutuals[replica]
			}
			return dialer.DialContext(ctx, network, host)
		},
	}
	if d.authority != nil {
		transport.TLSClientConfig = &tls.Config{RootCAs: d.authority.pool()}
	}
	d.t.Cleanup(transport.CloseIdleConnections)
	return transport
}

// server is one replica as a client sees it, its metadata read.
func (d *deployment) server(replica int) *flow.Server {
	d.t.Helper()
	return d.serverThrough(d.transport(replica))
}

func (d *deployment) serverThrough(transport http.RoundTripper) *flow.Server {
	d.t.Helper()
	s := &flow.Server{Issuer: d.issuer, HTTP: flow.NewHTTPClient(tapped{d.wire, transport}, time.Minute), Now: d.clock.now}
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
	d.wire.add(c.RegistrationToken)
	return c
}

// at is the same client at another replica, with its certificate if it has one.
func (d *deployment) at(c *flow.Client, replica int) *flow.Client {
	d.t.Helper()
	moved := *c
	if certificate, ok := d.shows[c.ID]; ok {
		moved.Server = d.showing(replica, certificate)
	} else {
		moved.Server = d.server(replica)
	}
	return &moved
}

// do sends a request, fails the test when there is no answer at all, and holds the answer to what is true of all.
func do(t testing.TB, s *flow.Server, r *flow.Request) *flow.Exchange {
	t.Helper()
	exchange, err := s.Do(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	checkAnswer(t, exchange)
	return exchange
}

// raw sends a request whose body flow would not write.
func raw(t testing.TB, s *flow.Server, method, target string, header http.Header, body string) *flow.Exchange {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header = header
	response, err := s.HTTP.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	exchange := &flow.Exchange{Method: method, URL: target, RequestHeader: header, RequestBody: body,
		Status: response.StatusCode, ResponseHeader: response.Header, ResponseBody: string(answer)}
	if token, ok := exchange.JSON()["access_token"].(string); ok {
		if decoded, err := flow.Decode(token); err == nil {
			decoded.Name = "access_token"
			exchange.JWTs = append(exchange.JWTs, decoded)
		}
	}
	checkAnswer(t, exchange)
	return exchange
}

// compact signs now what a request would sign when it is sent.
func compact(t testing.TB, c flow.Compact) string {
	t.Helper()
	signed, err := c()
	if err != nil {
		t.Fatal(err)
	}
	return signed
}
