package client

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"authserver/internal/jose/josetest"
	"authserver/internal/oauth"
	"authserver/internal/replay"
)

const issuer = "https://as.example"

var t0 = time.Unix(1_760_000_000, 0)

// clock is a time that tests move.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// registry is a store of clients: it finds records, and spends only against the version that it holds.
type registry struct {
	mu      sync.Mutex
	clients map[string]Client
	looks   int
	down    error
	spends  []replay.Spend
	spent   map[replay.Use]bool
}

func (r *registry) put(c Client) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c.Version = r.clients[c.ID].Version + 1
	r.clients[c.ID] = c
}

func (r *registry) FindClient(_ context.Context, id string) (Client, bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.looks++
	c, found := r.clients[id]
	return c, found, r.down
}

func (r *registry) Spend(_ context.Context, s replay.Spend) (replay.Outcome, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.spends = append(r.spends, s)
	if r.down != nil {
		return replay.Outcome{}, r.down
	}
	if c, found := r.clients[s.ClientID]; !found || c.Version != s.ClientVersion {
		return replay.Outcome{Stale: true}, nil
	}
	for _, use := range s.Uses {
		if r.spent[use] {
			return replay.Outcome{Replayed: use.Kind}, nil
		}
		r.spent[use] = true
	}
	return replay.Outcome{}, nil
}

// shelf keeps the key sets that are to be stored with their clients.
type shelf struct {
	mu    sync.Mutex
	saved map[string]FetchedKeySet
	count int
	err   error
}

func (s *shelf) SaveKeySet(_ context.Context, clientID string, set FetchedKeySet) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.saved[clientID], s.count = set, s.count+1
	return s.err
}

// sets is how many were stored.
func (s *shelf) sets() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count
}

// bench is an Authenticator with everything that it stands on.
type bench struct {
	*Authenticator
	t        testing.TB
	clock    *clock
	registry *registry
	shelf    *shelf
	log      *lockedBuffer
	watch    *watch
}

// watch counts what an Observer is told.
type watch struct {
	mu      sync.Mutex
	fetches map[FetchResult]int
	took    time.Duration // all fetches together
	stale   int
}

func (w *watch) Fetched(result FetchResult, took time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fetches[result]++
	w.took += took
}

func (w *watch) ServedStale() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stale++
}

func newBench(t testing.TB, v Vetting, clients ...Client) *bench {
	b := &bench{t: t, clock: &clock{at: t0}, log: &lockedBuffer{}, watch: &watch{fetches: map[FetchResult]int{}}, shelf: &shelf{saved: map[string]FetchedKeySet{}},
		registry: &registry{clients: map[string]Client{}, spent: map[replay.Use]bool{}}}
	for _, c := range clients {
		b.registry.put(c)
	}
	b.Authenticator = &Authenticator{
		Issuer:         issuer,
		Origins:        []string{issuer},
		TokenEndpoints: []string{issuer + "/oauth2/token", issuer + "/oauth/token"},
		Records:        NewRecords(b.registry, b.registry),
		KeySets:        NewKeySets(NewFetcher(v), b.shelf.SaveKeySet, b.watch, slog.New(slog.NewTextHandler(b.log, nil)), b.clock.now),
	}
	return b
}

// logged is what the log says so far.
func (b *bench) logged() string {
	b.log.mu.Lock()
	defer b.log.mu.Unlock()
	return b.log.b.String()
}

// lockedBuffer is a log that fetches write to at once.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// The words of package josetest that are used here on every line.
type (
	object = josetest.Object
	edit   = josetest.Edit
	signer = josetest.Signer
)

var (
	with, set                     = josetest.With, josetest.Set
	ecSigner, rsaSigner, edSigner = josetest.NewEC, josetest.RSA, josetest.Ed
	jwks, text, b64               = josetest.JWKS, josetest.Text, josetest.B64
)

// assertionBy is a good assertion of a client at a time, as the edits change it.
func assertionBy(s signer, clientID string, at time.Time, edits ...edit) string {
	header := object{"alg": s.Alg}
	if s.Kid != "" {
		header["kid"] = s.Kid
	}
	claims := object{"iss": clientID, "sub": clientID, "aud": issuer, "jti": rand.Text(), "iat": at.Unix(), "exp": at.Unix() + 60}
	return s.JWT(header, claims, edits...)
}

// inline is a client with these keys in its jwks, and remote one with them behind a URL.
func inline(id string, keys ...any) Client {
	return Client{ID: id, Metadata: Metadata{TokenEndpointAuthMethod: PrivateKeyJWT, JWKS: json.RawMessage(jwks(keys...))}}
}

func remote(id, uri string) Client {
	return Client{ID: id, Metadata: Metadata{TokenEndpointAuthMethod: PrivateKeyJWT, JWKSURI: uri}}
}

// body is what a client posts: name, value pairs.
func body(pairs ...string) string {
	values := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		values.Add(pairs[i], pairs[i+1])
	}
	return values.Encode()
}

func bodyOf(assertion string) string {
	return body("client_assertion_type", assertionType, "client_assertion", assertion)
}

// request runs one authentication as the token endpoint does.
func (b *bench) request(body string, headers ...string) (Caller, error) {
	return b.requestAt("/oauth2/token", body, headers...)
}

// requestAt runs one authentication as the endpoint of this path does.
func (b *bench) requestAt(path, body string, headers ...string) (Caller, error) {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	if host := r.Header.Get("Host"); host != "" {
		r.Host = host
	}
	form, err := oauth.ReadForm(r, oauth.FormOnly)
	if err != nil {
		return Caller{}, err
	}
	return b.Authenticate(r.Context(), r, form, b.clock.now())
}

// proves tells whether a good assertion by the key proves the client now.
func (b *bench) proves(s signer, clientID string) bool {
	b.t.Helper()
	_, err := b.request(bodyOf(assertionBy(s, clientID, b.clock.now())))
	if err != nil && reason(b.t, err) != oauth.ClientNotProven {
		b.t.Errorf("refused for another reason: %v", err)
	}
	return err == nil
}

// reason is why err refuses, or "" for no error.
func reason(t testing.TB, err error) oauth.Reason {
	t.Helper()
	if err == nil {
		return ""
	}
	refusal, ok := errors.AsType[*oauth.Error](err)
	if !ok {
		t.Fatalf("%T is no refusal: %v", err, err)
	}
	return refusal.Reason
}
