package issuer

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"authserver/internal/client"
	"authserver/internal/jose/josetest"
	"authserver/internal/oauth"
)

// The parties of the tests: the server, a gateway that it trusts, and the client that stands for the gateway.
const (
	server   = "https://as.example"
	endpoint = server + "/oauth2/token"
	gateway  = "gateway-1"
	c1       = "c1"
)

var t0 = time.Unix(1_760_000_000, 0)

// book is a store of issuers and of the ids of clients.
type book struct {
	mu      sync.Mutex
	issuers map[string]Issuer
	clients []string
	looks   int
	down    error
}

func (b *book) put(i Issuer) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.looks++
	i.Version = int64(b.looks) // never given twice, as the database's
	b.issuers[i.Name] = i
}

func (b *book) FindIssuer(_ context.Context, name string) (Issuer, bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	i, found := b.issuers[name]
	return i, found, b.down
}

func (b *book) TrustsIssuers(context.Context) (bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.looks++
	return len(b.issuers) > 0, b.down
}

func (b *book) NamesClient(_ context.Context, names ...string) (bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.ContainsFunc(names, func(n string) bool { return slices.Contains(b.clients, n) }), b.down
}

// bench is Assertions with everything that they stand on.
type bench struct {
	*Assertions
	t    testing.TB
	book *book
	log  *bytes.Buffer
}

func newBench(t testing.TB, issuers ...Issuer) *bench {
	b := &bench{t: t, book: &book{issuers: map[string]Issuer{}, clients: []string{c1, "c2"}}, log: &bytes.Buffer{}}
	for _, i := range issuers {
		b.book.put(i)
	}
	log := slog.New(slog.NewTextHandler(b.log, nil))
	save := func(context.Context, string, client.FetchedKeySet) error { return nil }
	vetting := client.Vetting{Own: []string{server}, AllowLoopback: true}
	b.Assertions = &Assertions{
		Audiences: []string{server, endpoint},
		Store:     b.book,
		KeySets:   client.NewKeySets(client.NewFetcher(vetting), save, deaf{}, log, func() time.Time { return t0 }),
	}
	return b
}

// deaf is an observer that keeps nothing.
type deaf struct{}

func (deaf) Fetched(client.FetchResult, time.Duration) {}
func (deaf) ServedStale()                              {}

// accepts wants an assertion to be good, and returns what it says.
func (b *bench) accepts(compact string) Assertion {
	b.t.Helper()
	a, err := b.Verify(b.t.Context(), compact, t0)
	if err != nil {
		b.t.Fatal(err)
	}
	return a
}

// refuses wants an assertion to be invalid_grant for a reason, and returns the refusal.
func (b *bench) refuses(compact string, want oauth.Reason) *oauth.Error {
	b.t.Helper()
	a, err := b.Verify(b.t.Context(), compact, t0)
	refusal, ok := err.(*oauth.Error)
	if !ok {
		b.t.Fatalf("%v, of %+v", err, a)
	}
	if refusal.Reason != want || refusal.Code() != oauth.InvalidGrant || refusal.Status() != 400 || a.Subject != "" {
		b.t.Errorf("%d %s %v, want %s", refusal.Status(), refusal.Code(), refusal, want)
	}
	return refusal
}

// trusted is the record of a gateway with these keys, with nothing but the defaults.
func trusted(name string, keys ...any) Issuer {
	i := New(name)
	i.JWKS, i.Clients, i.Scopes = json.RawMessage(jwks(keys...)), []string{c1}, oauth.Scope{"payments:read"}
	return i
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

// assertionBy is what the guide of seed 002 has a gateway sign: it speaks for itself to the server, for three minutes. The
// edits change it.
func assertionBy(s signer, edits ...edit) string {
	header := object{"alg": s.Alg, "kid": s.Kid}
	claims := object{"iat": t0.Unix(), "iss": gateway, "aud": server, "exp": t0.Unix() + 180, "sub": gateway}
	return s.JWT(header, claims, edits...)
}
