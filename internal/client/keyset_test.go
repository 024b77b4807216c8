package client

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"authserver/internal/jose"
)

// JK-18: a set is kept as its host says, but neither less than a minute nor more than ten.
func TestMaxAge(t *testing.T) {
	key := ecSigner("k1")
	tests := []struct {
		cacheControl string
		want         time.Duration
	}{
		{"", 5 * time.Minute},
		{"max-age=120", 2 * time.Minute},
		{"public, max-age=\"90\"", 90 * time.Second},
		{"PUBLIC,MAX-AGE=400", 400 * time.Second},
		{"max-age=59", time.Minute},
		{"max-age=0", time.Minute},
		{"max-age=601", 10 * time.Minute},
		{"max-age=315360000", 10 * time.Minute},
		{"no-store", time.Minute},
		{"no-cache, max-age=500", time.Minute},
		{"max-age=500, no-store", time.Minute},
		{"max-age=soon", 5 * time.Minute},
		{"max-age=-1", 5 * time.Minute},
		{"must-revalidate", 5 * time.Minute},
	}
	for _, test := range tests {
		t.Run("JK-18 "+test.cacheControl, func(t *testing.T) {
			h := newHost(t, serves(jwks(key), "Cache-Control", test.cacheControl))
			b := h.bench(t)
			b.wants("first", key, true)
			b.clock.advance(test.want - time.Second)
			b.wants("within max-age", key, true)
			h.wantHits(t, "within max-age", 1)
			b.clock.advance(time.Second)
			b.wants("after max-age", key, true)
			h.wantHits(t, "after max-age", 2)
		})
	}
}

// CA-33, CA-34: an unknown kid fetches once in 30 s, and known kids do not suffer.
func TestUnknownKid(t *testing.T) {
	key := ecSigner("k1")
	h := newHost(t, serves(jwks(key), "Cache-Control", "max-age=600"))
	b := h.bench(t)
	b.wants("a known kid", key, true)
	stranger := ecSigner("x")
	b.wants("CA-33 an unknown kid", stranger, false)
	h.wantHits(t, "CA-33 exactly one refetch", 2)
	for i := range 100 {
		stranger.Kid = fmt.Sprint(i)
		b.clock.advance(100 * time.Millisecond)
		b.wants("CA-34 an unknown kid", stranger, false)
	}
	b.wants("CA-34 a known kid at once", key, true)
	h.wantHits(t, "CA-34 100 unknown kids in 10 s", 2)
	b.clock.advance(20*time.Second - time.Second)
	b.wants("29 s after the refetch", stranger, false)
	h.wantHits(t, "29 s after the refetch", 2)
	b.clock.advance(time.Second)
	b.wants("30 s after the refetch", stranger, false)
	h.wantHits(t, "30 s after the refetch", 3)
}

// JK-10: a key that was published right after a fetch works at once.
func TestRotation(t *testing.T) {
	old, next := ecSigner("old"), ecSigner("new")
	h := newHost(t, serves(jwks(old)))
	b := h.bench(t)
	b.wants("the old key", old, true)
	h.answer(serves(jwks(old, next)))
	b.wants("JK-10 the new key", next, true)
	b.wants("JK-10 the old key still", old, true)
	h.wantHits(t, "JK-10 one refetch", 2)
	h.answer(serves(jwks(next)))
	b.wants("JK-11 a key that was removed, until max-age", old, true)
	b.clock.advance(5 * time.Minute)
	b.wants("JK-11 a key that was removed", old, false)
	b.wants("JK-11 the one that stayed", next, true)
}

// CRY-03, CRY-06: what a client signed beside its assertions is verified with the same keys, fetched in the same way, and by the
// algorithm that is registered for it, not for assertions. Another algorithm fetches nothing.
func TestVerify(t *testing.T) {
	old, next := ecSigner("old"), ecSigner("new")
	h := newHost(t, serves(jwks(old)))
	b := h.bench(t)
	c := b.registry.clients["c1"]
	c.Metadata.TokenEndpointAuthSigningAlg = "PS256"
	verify := func(s signer, kid, registered string) error {
		header := object{"alg": s.Alg}
		if kid != "" {
			header["kid"] = kid
		}
		token, err := jose.Door{MaxBytes: 1 << 10, Types: []string{""}}.Parse(s.Sign(text(header), `{"a":"b"}`))
		if err != nil {
			t.Fatal(err)
		}
		claims, err := b.KeySets.Verify(t.Context(), c.KeySource(), token, jose.Alg(registered), b.clock.now())
		if a, _, _ := claims.String("a"); (a == "b") != (err == nil) {
			t.Errorf("%q and %v", a, err)
		}
		return err
	}
	for _, test := range []struct {
		name            string
		signer          signer
		kid, registered string
		good            bool
		hits            int64
	}{
		{"another algorithm", old, "old", "PS256", false, 0},
		{"a key of the set", old, "old", "ES256", true, 1},
		{"any algorithm", old, "old", "", true, 1},
		{"no kid", old, "", "", true, 1},
		{"no kid, and no key of the set", next, "", "", false, 1},
		{"the kid of another key", next, "old", "", false, 1},
		{"an unknown kid of another algorithm", next, "new", "EdDSA", false, 1},
		{"a key that was just published", next, "new", "", true, 2},
		{"an unknown kid", next, "x", "", false, 2},
	} {
		if test.kid == "new" && test.good {
			h.answer(serves(jwks(old, next)))
		}
		if err := verify(test.signer, test.kid, test.registered); (err == nil) != test.good {
			t.Errorf("%s: %v", test.name, err)
		}
		h.wantHits(t, test.name, test.hits)
	}
}

// together asks n times at once for the key of a kid, and counts the answers that have it.
func (b *bench) together(n int, s signer) (found int64) {
	c := b.registry.clients["c1"]
	h, now := jose.Header{Alg: jose.Alg(s.Alg), Kid: s.Kid}, b.clock.now()
	var answers atomic.Int64
	var all sync.WaitGroup
	start := make(chan struct{})
	for range n {
		all.Go(func() {
			<-start
			keys, _ := b.KeySets.keys(b.t.Context(), c.KeySource(), h, now)
			answers.Add(int64(len(keys)))
		})
	}
	close(start)
	all.Wait()
	return answers.Load()
}

// JK-10, JK-15: requests that come together share one fetch, and every one of them gets the key, however they fall around
// the beginning and the end of the fetch. The requests do nothing else here, so that they get into each other's way.
func TestParallel(t *testing.T) {
	const crowd, rounds = 16, 200
	key := ecSigner("0")
	h := newHost(t, serves(jwks(key), "Cache-Control", "max-age=600"))
	b := h.bench(t)
	if got := b.together(crowd, key); got != crowd {
		t.Errorf("JK-15 first contact: %d of %d", got, crowd)
	}
	h.wantHits(t, "JK-15 first contact", 1)
	for round := range int64(rounds) {
		key.Kid = fmt.Sprint("k", round)
		h.answer(serves(jwks(key), "Cache-Control", "max-age=600"))
		b.clock.advance(31 * time.Second) // by then another kid may fetch, while the set itself is young
		if got := b.together(crowd, key); got != crowd {
			t.Fatalf("JK-10 round %d: %d of %d requests with a new kid", round, got, crowd)
		}
		h.wantHits(t, fmt.Sprint("JK-10 round ", round), round+2)
	}
	b.clock.advance(10 * time.Minute)
	if got := b.together(crowd, key); got != crowd {
		t.Errorf("JK-15 the set is old: %d of %d", got, crowd)
	}
	h.wantHits(t, "JK-15 the set is old", rounds+2)
}

// JK-10: the same, with everything else that a request does.
func TestParallelAuthentication(t *testing.T) {
	const crowd = 32
	key := ecSigner("k1")
	h := newHost(t, serves(jwks(ecSigner("old"))))
	b := h.bench(t)
	b.wants("before", key, false)
	h.answer(serves(jwks(key)))
	b.clock.advance(31 * time.Second)
	var proven atomic.Int64
	var all sync.WaitGroup
	for range crowd {
		form := bodyOf(assertionBy(key, "c1", b.clock.now()))
		all.Go(func() {
			if _, err := b.request(form); err == nil {
				proven.Add(1)
			}
		})
	}
	all.Wait()
	if got := proven.Load(); got != crowd {
		t.Errorf("JK-10 %d of %d requests with a new kid", got, crowd)
	}
	h.wantHits(t, "JK-10", 3)
}

// TestKeySetContent holds sets of which one good key must be found among what we cannot use, and what must not be used.
func TestKeySetContent(t *testing.T) {
	ec, rsa := ecSigner("k1"), rsaSigner("k1")
	private := ec.JWK()
	private["d"] = b64(make([]byte, 32))
	encryption := ec.JWK()
	encryption["use"] = "enc"
	many := func(n int) string {
		list := []any{ec}
		for len(list) < n {
			list = append(list, object{"kty": "AKP"})
		}
		return jwks(list...)
	}
	expired := ec.JWK()
	expired["exp"] = 1
	tests := []struct {
		name, document string
		want           bool
	}{
		{"a good key", jwks(ec), true},
		{"JK-01 an unknown kty beside it", jwks(object{"kty": "AKP", "alg": "ML-DSA-44", "pub": "AAAA"}, ec), true},
		{"JK-17 X25519, an unknown curve and an exp beside it", jwks(object{"kty": "OKP", "crv": "X25519", "x": b64(make([]byte, 32)), "use": "enc"},
			object{"kty": "EC", "crv": "P-999", "x": "AAAA", "y": "AAAA"}, expired), true},
		{"entries that are no keys beside it", jwks(1, nil, "k", []int{}, ec), true},
		{"other members of the set", `{"x":1,"keys":[` + text(ec.JWK()) + `]}`, true},
		{"JK-08 an RSA key of the same kid", jwks(rsa, ec), true},
		{"20 keys", many(20), true},
		{"JK-14 21 keys", many(21), false},
		{"JK-14 3000 keys", many(3000), false},
		{"JK-02 a private key", jwks(private), false},
		{"JK-02 a private key beside an unrelated one", jwks(private, rsa), false},
		{"JK-03 a symmetric key", jwks(object{"kty": "oct", "kid": "k1", "k": "AAAA"}), false},
		{"JK-09 a key for encryption", jwks(encryption), false},
		{"a key of another name", jwks(ecSigner("k2")), false},
		{"JK-13 no keys", `{"keys":[]}`, false},
		{"JK-13 empty object", `{}`, false},
		{"JK-13 empty array", `[]`, false},
		{"JK-13 the key itself", text(ec.JWK()), false},
		{"JK-13 an array of keys", `[` + text(ec.JWK()) + `]`, false},
		{"JK-13 HTML", `<html><body>not found</body></html>`, false},
		{"JK-13 nothing", ``, false},
		{"JK-13 keys is an object", `{"keys":{"k1":` + text(ec.JWK()) + `}}`, false},
		{"JK-13 keys twice", `{"keys":[],"keys":[` + text(ec.JWK()) + `]}`, false},
		{"JK-13 something behind it", jwks(ec) + "{}", false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := newHost(t, serves(test.document)).bench(t)
			b.wants("the key", ec, test.want)
			const warning = "publishes a private or symmetric key"
			if strings.Contains(test.name, "private") || strings.Contains(test.name, "symmetric") {
				b.wantLogged(warning)
			} else if strings.Contains(b.logged(), warning) {
				t.Errorf("the log: %s", b.logged())
			}
			if strings.Contains(b.logged(), b64(make([]byte, 32))) {
				t.Errorf("the log has the key: %s", b.logged())
			}
		})
	}
}

// A set with a private key in it serves by its good keys, and the database never sees it.
func TestKeySetWithPrivateKeyIsNotStored(t *testing.T) {
	good, leaked := ecSigner("k1"), ecSigner("k2").JWK()
	leaked["d"] = b64(make([]byte, 32))
	h := newHost(t, serves(jwks(leaked, good)))
	b := h.bench(t)
	b.wants("the good key", good, true)
	b.wantLogged("its key set is not stored")
	b.clock.advance(time.Minute)
	b.wants("the good key later", good, true)
	if n := b.shelf.sets(); n != 0 {
		t.Errorf("%d sets were stored", n)
	}
	h.answer(serves(jwks(good)))
	b.clock.advance(10 * time.Minute)
	b.wants("the good key alone", good, true)
	if raw := b.saved("c1", 1).Raw; string(raw) != jwks(good) {
		t.Errorf("stored: %s", raw)
	}
}

// The set follows the client's record: another jwks_uri, or inline keys, and nothing of the old set is left.
func TestKeySetFollowsTheRecord(t *testing.T) {
	first, second, third := ecSigner("k1"), ecSigner("k1"), ecSigner("k1")
	h := newHost(t, func(w http.ResponseWriter, r *http.Request) {
		serves(map[string]string{"/jwks": jwks(first), "/moved": jwks(second)}[r.URL.Path])(w, r)
	})
	b := h.bench(t)
	change := func(c Client) {
		b.registry.put(c)
		b.Records.cache.Invalidate("c1") // as a stale Spend does
	}
	b.wants("the first URI", first, true)
	change(remote("c1", h.URL+"/moved"))
	b.wants("the second URI's key", second, true)
	b.wants("the first URI's key", first, false)
	h.wantHits(t, "two URIs", 2)
	change(inline("c1", third))
	b.wants("the inline key", third, true)
	b.wants("the second URI's key", second, false)
	change(inline("c1", first))
	b.wants("another inline key", first, true)
	b.wants("the inline key of before", third, false)
	named := remote("c1", h.URL+"/moved")
	named.Metadata.ClientName = "renamed"
	change(named)
	b.wants("a URI again", second, true)
	named.Metadata.ClientName = "renamed again"
	hits := h.hits.Load()
	change(named)
	b.wants("a change that does not touch the keys", second, true)
	h.wantHits(t, "a change that does not touch the keys", hits)
}
