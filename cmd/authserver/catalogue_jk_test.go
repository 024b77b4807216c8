package main

import (
	"bytes"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"io"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"

	"authserver/internal/flow"
	"authserver/internal/oauth"
)

// attacksOnKeySets is the section JK: what clients' key sets hold, and how they are fetched and kept.
func attacksOnKeySets() []attack {
	return []attack{
		{"JK-01", keysOfUnknownTypes},
		{"JK-02", publishedPrivateKeys},
		{"JK-03", symmetricKeys},
		{"JK-04", rsaExponents},
		{"JK-05", rsaExponentBeyondMachineWords},
		{"JK-06", func(t *testing.T, d *deployment) {
			k := key(t, "ES256")
			d.unusable(k, jwk(k, map[string]any{"y": k.PublicJWK().X}))
			d.unusable(k, jwk(k, map[string]any{"x": encoded(make([]byte, 32)), "y": encoded(make([]byte, 32))}))
		}},
		{"JK-07", func(t *testing.T, d *deployment) {
			k := key(t, "ES256")
			x := decoded(t, k.PublicJWK().X)
			d.unusable(k, jwk(k, map[string]any{"x": encoded(append(make([]byte, 8), x...))}))
			d.unusable(k, jwk(k, map[string]any{"x": encoded(append(x, make([]byte, 8)...))}))
			d.unusable(k, jwk(k, map[string]any{"x": encoded(x[:31])}))
		}},
		{"JK-08", oneKidForTwoKeys},
		{"JK-09", func(t *testing.T, d *deployment) {
			k := key(t, "ES256")
			d.unusable(k, jwk(k, map[string]any{"use": "enc"}))
			d.unusable(k, jwk(k, map[string]any{"use": nil, "key_ops": []string{"encrypt"}}))
			d.unusable(k, jwk(k, map[string]any{"alg": "ECDH-ES"}))
		}},
		{"JK-10", rotatedKeys},
		{"JK-11", removedKeys},
		{"JK-12", hostOutage},
		{"JK-13", documentsThatAreNoKeySet},
		{"JK-14", oversizeKeySets},
		{"JK-15", expiryUnderLoad},
		{"JK-16", deadHosts},
		{"JK-17", func(t *testing.T, d *deployment) {
			d.usable(key(t, "ES256"),
				map[string]any{"kty": "OKP", "crv": "X25519", "use": "enc", "kid": "x", "x": encoded(make([]byte, 32))},
				jwk(key(t, "ES256"), map[string]any{"exp": 1}),
				jwk(key(t, "ES256"), map[string]any{"crv": "P-999"}))
		}},
		{"JK-18", cacheControl},
		{"JK-19", http2Hosts},
		{"JK-20", hugeCertificates},
	}
}

func encoded(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func decoded(t testing.TB, s string) []byte {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// usable wants a key to work in the company of others, before and after it, inline and behind a jwks_uri.
func (d *deployment) usable(k *flow.Key, others ...any) {
	d.t.Helper()
	for _, set := range [][]any{append(others[:len(others):len(others)], k.PublicJWK()), append([]any{k.PublicJWK()}, others...)} {
		c, _ := d.remote(publishing(set...))
		c.Key = k
		d.proven(c)
		c = d.register(0, func(m map[string]any) { m["jwks"] = map[string]any{"keys": set} })
		c.Key = k
		d.proven(c)
	}
}

// unusable wants a published key to prove nothing, and to be refused inline. The same client with the key as it should be
// is served, so that nothing else was wrong.
func (d *deployment) unusable(k *flow.Key, published any) {
	d.t.Helper()
	c, h := d.remote(publishing(published))
	c.Key = k
	d.unproven(c)
	d.unproven(c, flow.DropHeader("kid"))
	if n := h.requests.Load(); n < 1 || n > 2 { // the ordinary fetch, and one for the kid
		d.t.Errorf("the host was asked %d times", n)
	}
	d.refusedInline(k, published)
	h.now(publishing(k.PublicJWK()))
	d.clock.advance(31 * time.Second)
	d.proven(c)
}

// refusedInline wants a registration with the keys themselves to fail.
func (d *deployment) refusedInline(k *flow.Key, published ...any) {
	d.t.Helper()
	s := d.server(0)
	r := s.RegisterRequest(metadata(k, func(m map[string]any) { m["jwks"] = map[string]any{"keys": published} }))
	refusedFor(d.t, do(d.t, s, r), "400 invalid_client_metadata", oauth.MetadataKeys)
}

func keysOfUnknownTypes(t *testing.T, d *deployment) {
	d.usable(key(t, "ES256"), map[string]any{"kty": "AKP", "alg": "ML-DSA-44", "kid": "pq", "pub": encoded(make([]byte, 1312))})
	d.usable(key(t, "EdDSA"), map[string]any{"kid": "nothing"}, "no object", 7, nil, map[string]any{"kty": 1})
}

func publishedPrivateKeys(t *testing.T, d *deployment) {
	for _, alg := range []string{"ES256", "PS256", "EdDSA"} {
		k := key(t, alg)
		private, err := k.PrivateJWK()
		if err != nil {
			t.Fatal(err)
		}
		d.logsWith(func() { d.unusable(k, private) }, "WARN", "client publishes a private or symmetric key")
	}
	k, other := key(t, "ES256"), key(t, "ES256")
	c, _ := d.remote(publishing(jwk(k, map[string]any{"d": encoded(make([]byte, 32))}), other.PublicJWK()))
	c.Key = other // the same set's honest key still works
	d.proven(c)
	c.Key = k
	d.unproven(c)
	d.refusedInline(other, jwk(k, map[string]any{"d": encoded(make([]byte, 32))}), other.PublicJWK())
}

func symmetricKeys(t *testing.T, d *deployment) {
	secret := bytes.Repeat([]byte("secret "), 5)
	k := key(t, "ES256")
	k.ID = "k1"
	symmetric := map[string]any{"kty": "oct", "kid": "k1", "k": encoded(secret)}
	d.logsWith(func() { d.unusable(k, symmetric) }, "WARN", "client publishes a private or symmetric key")

	c, _ := d.remote(publishing(symmetric, k.PublicJWK()))
	c.Key = k
	r := c.TokenRequest(nil)
	r.Assertion = signedAgain(t, c.Assertion(flow.SetHeader("alg", "HS256")), func(input string, _ []byte) []byte {
		mac := hmac.New(sha256.New, secret)
		mac.Write([]byte(input))
		return mac.Sum(nil)
	})
	refusedFor(t, do(t, c.Server, r), "401 invalid_client", oauth.AssertionAlg)
	d.proven(c)
}

// signedAgain replaces the signature of a JWS.
func signedAgain(t testing.TB, signed flow.Compact, sign func(input string, signature []byte) []byte) flow.Compact {
	t.Helper()
	text := compact(t, signed)
	dot := strings.LastIndexByte(text, '.')
	return flow.Literal(text[:dot+1] + encoded(sign(text[:dot], decoded(t, text[dot+1:]))))
}

// rsaExponents publishes e = 1, under which everybody can sign: the signature is the encoded message itself, which the
// true key's signature yields when it is raised to the true exponent.
func rsaExponents(t *testing.T, d *deployment) {
	k := key(t, "PS256")
	public := k.Signer.Public().(*rsa.PublicKey)
	for _, e := range []string{"AQ", "BA", "Aw", "AQAA"} { // 1, 4, 3, 65536
		d.unusable(k, jwk(k, map[string]any{"e": e}))
	}
	c, _ := d.remote(publishing(jwk(k, map[string]any{"e": "AQ"})))
	c.Key = k
	r := c.TokenRequest(nil)
	r.Assertion = signedAgain(t, c.Assertion(), func(_ string, signature []byte) []byte {
		message := new(big.Int).Exp(new(big.Int).SetBytes(signature), big.NewInt(int64(public.E)), public.N)
		return message.FillBytes(make([]byte, public.Size()))
	})
	refusedFor(t, do(t, c.Server, r), "401 invalid_client", oauth.ClientNotProven)
}

// rsaExponentBeyondMachineWords publishes exponents that are 65537 again when they are cut to 64 or 32 bits.
func rsaExponentBeyondMachineWords(t *testing.T, d *deployment) {
	k := key(t, "PS256")
	d.unusable(k, jwk(k, map[string]any{"e": encoded([]byte{1, 0, 0, 0, 0, 0, 1, 0, 1})}))
	d.unusable(k, jwk(k, map[string]any{"e": encoded([]byte{1, 0, 1, 0, 1})}))
	d.unusable(k, jwk(k, map[string]any{"e": encoded([]byte{0, 1, 0, 1})}))
}

func oneKidForTwoKeys(t *testing.T, d *deployment) {
	ec, rsa := key(t, "ES256"), key(t, "PS256")
	ec.ID, rsa.ID = "shared", "shared"
	for _, set := range [][]any{{rsa.PublicJWK(), ec.PublicJWK()}, {ec.PublicJWK(), rsa.PublicJWK()}} {
		remote, _ := d.remote(publishing(set...))
		inline := d.register(0, func(m map[string]any) { m["jwks"] = map[string]any{"keys": set} })
		for _, c := range []*flow.Client{remote, inline} {
			c.Key = ec
			d.proven(c)
			c.Key = rsa
			d.proven(c)
		}
	}
	// Two of one type, which only a host can publish: whichever signed.
	other := key(t, "ES256")
	other.ID = "shared"
	c, _ := d.remote(publishing(ec.PublicJWK(), other.PublicJWK()))
	for _, k := range []*flow.Key{ec, other} {
		c.Key = k
		d.proven(c)
	}
	d.refusedInline(ec, ec.PublicJWK(), other.PublicJWK())
}

func documentsThatAreNoKeySet(t *testing.T, d *deployment) {
	k := key(t, "ES256")
	good := keySetOf(k.PublicJWK())
	one := strings.TrimSuffix(strings.TrimPrefix(good, `{"keys":[`), `]}`)
	for name, text := range map[string]string{
		"no keys": `{"keys":[]}`, "no member": `{}`, "an array": `[]`, "an array of keys": `[` + one + `]`, "one key": one,
		"HTML": "<!DOCTYPE html><title>jwks</title>", "nothing": "", "null": "null", "null keys": `{"keys":null}`,
		"an object of keys": `{"keys":{"a":` + one + `}}`, "one key for keys": `{"keys":` + one + `}`, "cut off": good[:len(good)-1],
		"keys twice": `{"keys":[],"keys":[` + one + `]}`, "KEYS": `{"KEYS":[` + one + `]}`, "something after": good + `x`,
		"a byte order mark": "\ufeff" + good, "deep": strings.Repeat(`{"a":`, 20000) + good + strings.Repeat("}", 20000),
		"a member twice in a key": `{"keys":[` + strings.Replace(one, `"kty":"EC"`, `"kty":"oct","kty":"EC"`, 1) + `]}`,
	} {
		t.Run(name, func(t *testing.T) {
			d := d.within(t)
			c, _ := d.remote(serving(text))
			c.Key = k
			d.unproven(c)
			d.unproven(c, flow.DropHeader("kid"))
		})
	}
	for _, status := range []int{203, 206, 404, 500} {
		c, _ := d.remote(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status); _, _ = io.WriteString(w, good) })
		c.Key = k
		d.unproven(c)
	}
	c, _ := d.remote(serving(good))
	c.Key = k
	d.proven(c)
}

// oversizeKeySets holds the good key in every document, at its beginning: only a cap keeps it from being used.
func oversizeKeySets(t *testing.T, d *deployment) {
	k := key(t, "ES256")
	padded := func(size int) string {
		text := strings.TrimSuffix(keySetOf(k.PublicJWK()), "}") + `,"padding":"`
		return text + strings.Repeat("x", size-len(text)-2) + `"}`
	}
	keys := func(n int) string {
		all := []any{k.PublicJWK()}
		for len(all) < n {
			all = append(all, map[string]any{"kid": "a"})
		}
		return keySetOf(all...)
	}
	for name, set := range map[string]struct{ text, cause string }{
		"5 MiB":             {padded(5 << 20), "longer than 65536 bytes"},
		"64 KiB and a byte": {padded(64<<10 + 1), "longer than 65536 bytes"},
		"3000 keys":         {keys(3000), "more than 20 keys"},
		"21 keys":           {keys(21), "more than 20 keys"},
	} {
		t.Run(name, func(t *testing.T) {
			d := d.within(t)
			c, _ := d.remote(serving(set.text))
			c.Key = k
			d.logsWith(func() { d.unproven(c) }, c.ID, "client key set not fetched", set.cause)
		})
	}
	for _, text := range []string{padded(64 << 10), keys(20)} {
		c, _ := d.remote(serving(text))
		c.Key = k
		d.proven(c)
	}
	d.refusedInline(k, append([]any{k.PublicJWK()}, make([]any, 20)...)...)
}
