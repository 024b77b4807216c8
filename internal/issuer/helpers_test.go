package issuer

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"math/big"
	"slices"
	"sync"
	"testing"
	"time"

	"authserver/internal/client"
	"authserver/internal/jose"
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
	vetting := client.Vetting{Issuer: server, AllowLoopback: true}
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

// object is a JSON object in the making; an edit changes a good assertion.
type (
	object = map[string]any
	edit   func(header, claims object)
)

// with sets a claim, and set a header member; nil takes it away.
func with(name string, value any) edit { return func(_, claims object) { put(claims, name, value) } }
func set(name string, value any) edit  { return func(header, _ object) { put(header, name, value) } }

func put(o object, name string, value any) {
	if value == nil {
		delete(o, name)
		return
	}
	o[name] = value
}

// signer is a gateway's key.
type signer struct {
	alg jose.Alg
	kid string
	key crypto.Signer
}

func ecSigner(kid string) signer {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return signer{jose.ES256, kid, key}
}

var rsaKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

func rsaSigner(kid string) signer { return signer{jose.PS256, kid, rsaKey()} }

func edSigner(kid string) signer {
	return signer{jose.EdDSA, kid, ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))}
}

func b64(octets []byte) string { return base64.RawURLEncoding.EncodeToString(octets) }

func text(v any) string {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(raw)
}

// jwk is the public key under its kid, if it has one.
func (s signer) jwk() object {
	var o object
	switch public := s.key.Public().(type) {
	case *rsa.PublicKey:
		o = object{"kty": "RSA", "n": b64(public.N.Bytes()), "e": b64(big.NewInt(int64(public.E)).Bytes())}
	case *ecdsa.PublicKey:
		point, err := public.Bytes()
		if err != nil {
			panic(err)
		}
		o = object{"kty": "EC", "crv": "P-256", "x": b64(point[1:33]), "y": b64(point[33:])}
	case ed25519.PublicKey:
		o = object{"kty": "OKP", "crv": "Ed25519", "x": b64(public)}
	}
	if s.kid != "" {
		o["kid"] = s.kid
	}
	return o
}

// jwks is a JWK Set of such keys, or of whatever else stands in a set.
func jwks(keys ...any) string {
	entries := []any{}
	for _, k := range keys {
		if s, ok := k.(signer); ok {
			k = s.jwk()
		}
		entries = append(entries, k)
	}
	return text(object{"keys": entries})
}

// sign makes a compact JWS with the standard library alone, whatever the header says.
func (s signer) sign(header, claims string) string {
	input := b64([]byte(header)) + "." + b64([]byte(claims))
	digest := sha256.Sum256([]byte(input))
	var mac []byte
	var err error
	switch key := s.key.(type) {
	case *rsa.PrivateKey:
		mac, err = rsa.SignPSS(rand.Reader, key, crypto.SHA256, digest[:], &rsa.PSSOptions{SaltLength: 32})
	case *ecdsa.PrivateKey:
		var r, s *big.Int
		r, s, err = ecdsa.Sign(rand.Reader, key, digest[:])
		mac = slices.Concat(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32)))
	case ed25519.PrivateKey:
		mac = ed25519.Sign(key, []byte(input))
	}
	if err != nil {
		panic(err)
	}
	return input + "." + b64(mac)
}

// assertion is what the guide of seed 002 has a gateway sign: it speaks for itself to the server, for three minutes. The
// edits change it.
func (s signer) assertion(edits ...edit) string {
	header := object{"alg": string(s.alg), "kid": s.kid}
	claims := object{"iat": t0.Unix(), "iss": gateway, "aud": server, "exp": t0.Unix() + 180, "sub": gateway}
	for _, change := range edits {
		change(header, claims)
	}
	return s.sign(text(header), text(claims))
}
