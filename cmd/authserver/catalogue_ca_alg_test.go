package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"slices"
	"strings"
	"testing"

	"authserver/internal/flow"
	"authserver/internal/oauth"
)

// assertionAlgorithms are assertions under algorithms that are not the client's, and under keys that are too weak.
func assertionAlgorithms() []attack {
	return []attack{
		{"CA-06", algNone},
		{"CA-07", func(_ *testing.T, d *deployment) {
			c := d.register(0)
			for _, alg := range []string{"nOnE", "NONE", "none", "es256"} {
				d.doesNotProve(c, oauth.AssertionAlg, signedBy(c, zeros(1), flow.SetHeader("alg", alg)))
			}
		}},
		{"CA-08", macWithPublicKey},
		{"CA-09", func(t *testing.T, d *deployment) {
			k := key(t, "PS256")
			c := d.registered(k, withKeys(k.PublicJWK()))
			d.doesNotProve(c, oauth.AssertionAlg, c.Assertion(flow.SignAs("RS256")))
		}},
		{"CA-10", func(t *testing.T, d *deployment) {
			k, other := key(t, "PS256"), key(t, "ES256")
			c := d.registered(k, func(m map[string]any) {
				withKeys(k.PublicJWK(), other.PublicJWK())(m)
				m["token_endpoint_auth_signing_alg"] = "PS256"
			})
			d.doesNotProve(c, oauth.ClientNotProven, c.Assertion(flow.SignWith(other), flow.SetHeader("kid", other.ID)),
				c.Assertion(flow.SignWith(other), flow.DropHeader("kid")))
		}},
		{"CA-11", func(t *testing.T, d *deployment) {
			k := key(t, "PS256")
			c := d.registered(k, func(m map[string]any) { m["token_endpoint_auth_signing_alg"] = "PS256" })
			d.doesNotProve(c, oauth.AssertionAlg, c.Assertion(flow.SetHeader("alg", "RS256")), c.Assertion(flow.DropHeader("alg")))
		}},
		{"CA-54", func(_ *testing.T, d *deployment) {
			c := d.register(0)
			n := elliptic.P256().Params().N.Bytes()
			one := append(make([]byte, 31), 1)
			for _, signature := range [][]byte{make([]byte, 64), slices.Concat(make([]byte, 32), one), slices.Concat(n, one), slices.Concat(one, n)} {
				d.doesNotProve(c, oauth.ClientNotProven, signedBy(c, func(string) []byte { return signature }))
			}
		}},
		{"CA-57", weakKey},
		{"CA-68", otherCurves},
	}
}

// zeros is a signature of n zero bytes.
func zeros(n int) func(string) []byte { return func(string) []byte { return make([]byte, n) } }

func algNone(t *testing.T, d *deployment) {
	c := d.register(0)
	const mark = "nothing of this stands in the log"
	for signature, why := range map[string]oauth.Reason{
		"": oauth.AssertionMalformed, "AA": oauth.AssertionAlg, strings.Repeat("A", 86): oauth.AssertionAlg,
	} {
		unsigned := compact(t, c.Assertion(flow.SignAs("none"), flow.SetClaim("urn:example:mark", mark)))
		if !strings.HasSuffix(unsigned, ".") {
			t.Fatal("not unsigned")
		}
		d.doesNotProve(c, why, flow.Literal(unsigned+signature))
		if log := d.logs.String(); strings.Contains(log, mark) || strings.Contains(log, strings.Split(unsigned, ".")[1]) {
			t.Error("the log holds the payload")
		}
	}
}

func macWithPublicKey(t *testing.T, d *deployment) {
	k := key(t, "PS256")
	c := d.registered(k, withKeys(k.PublicJWK()))
	der, err := x509.MarshalPKIXPublicKey(k.Signer.Public())
	if err != nil {
		t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	for _, secret := range [][]byte{text, text[:len(text)-1], der} {
		d.doesNotProve(c, oauth.AssertionAlg, signedBy(c, func(input string) []byte {
			mac := hmac.New(sha256.New, secret)
			mac.Write([]byte(input))
			return mac.Sum(nil)
		}, flow.SetHeader("alg", "HS256")))
	}
}

// weakKey plays an RSA key of 1024 bits in every place where a client could bring one.
func weakKey(t *testing.T, d *deployment) {
	private, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	weak, good := &flow.Key{ID: "weak", Alg: "PS256", Signer: private}, key(t, "ES256")
	s := d.server(0)
	refusedFor(t, do(t, s, s.RegisterRequest(metadata(weak))), "400 invalid_client_metadata", oauth.MetadataKeys)

	host := newKeyHost(t, publishing(weak.PublicJWK(), good.PublicJWK()))
	for _, edit := range []func(map[string]any){withKeys(weak.PublicJWK(), good.PublicJWK()), keysAt(host.URL + "/jwks")} {
		c := d.registered(good, edit)
		byWeak := []flow.Edit{flow.SignWith(weak), flow.SetHeader("kid", weak.ID)}
		d.doesNotProve(c, oauth.AssertionMalformed, c.Assertion(byWeak...))
		// The length of the signature gives the key away; one that pretends to be of 2048 bits gets as far as the keys.
		d.doesNotProve(c, oauth.ClientNotProven, altered(c.Assertion(byWeak...), lengthened))
	}
	if host.requests.Load() == 0 {
		t.Error("nobody fetched the weak key")
	}
}

// lengthened puts zero bytes before a signature of 1024 bits.
func lengthened(signed string) string {
	cut := strings.LastIndexByte(signed, '.') + 1
	short, _ := base64.RawURLEncoding.DecodeString(signed[cut:])
	return signed[:cut] + base64.RawURLEncoding.EncodeToString(append(make([]byte, 128), short...))
}

// otherCurves plays EC keys that FAPI 2.0 does not name, each beside a good one in the same registration.
func otherCurves(t *testing.T, d *deployment) {
	for _, test := range []struct {
		alg, crv string
		curve    elliptic.Curve
		hash     crypto.Hash
	}{
		{"ES384", "P-384", elliptic.P384(), crypto.SHA384},
		{"ES512", "P-521", elliptic.P521(), crypto.SHA512},
		{"ES256K", "secp256k1", elliptic.P256(), crypto.SHA256}, // a stand-in: the library has no secp256k1
	} {
		private, err := ecdsa.GenerateKey(test.curve, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		size := (test.curve.Params().BitSize + 7) / 8
		point, err := private.PublicKey.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		odd := map[string]any{"kty": "EC", "crv": test.crv, "kid": "odd", "alg": test.alg, "use": "sig",
			"x": base64.RawURLEncoding.EncodeToString(point[1 : 1+size]), "y": base64.RawURLEncoding.EncodeToString(point[1+size:])}
		good := key(t, "ES256")
		s := d.server(0)
		refusedFor(t, do(t, s, s.RegisterRequest(metadata(good, withKeys(odd)))), "400 invalid_client_metadata", oauth.MetadataKeys)

		c := d.registered(good, withKeys(odd, good.PublicJWK()))
		sign := func(input string) []byte {
			h := test.hash.New()
			h.Write([]byte(input))
			r, s, err := ecdsa.Sign(rand.Reader, private, h.Sum(nil))
			if err != nil {
				t.Fatal(err)
			}
			return slices.Concat(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size)))
		}
		byOdd := []flow.Edit{flow.SetHeader("alg", test.alg), flow.SetHeader("kid", "odd")}
		d.doesNotProve(c, oauth.AssertionAlg, signedBy(c, sign, byOdd...), signedBy(c, sign, flow.SetHeader("alg", test.alg), flow.DropHeader("kid")))
	}
}
