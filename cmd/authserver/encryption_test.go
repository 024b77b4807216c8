package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"strings"
	"testing"

	"authserver/internal/flow"

	gojose "github.com/go-jose/go-jose/v4"
)

// reader holds the private keys that a client's answers are encrypted for: one for RSA, one for elliptic curves.
type reader struct {
	rsa *rsa.PrivateKey
	ec  *ecdsa.PrivateKey
}

func newReader(t testing.TB) reader {
	t.Helper()
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return reader{r, ec}
}

// publish adds the public keys to those that a client registers inline.
func (r reader) publish(m map[string]any) {
	own := m["jwks"].(map[string]any)["keys"].([]any)
	m["jwks"] = map[string]any{"keys": append([]any{
		gojose.JSONWebKey{Key: r.rsa.Public(), KeyID: "rsa", Use: "enc"},
		gojose.JSONWebKey{Key: r.ec.Public(), KeyID: "ec", Use: "enc"},
	}, own...)}
}

// read opens an answer that is encrypted by exactly these algorithms, and returns the JWT in it.
func (r reader) read(t testing.TB, compact, alg, enc string) string {
	t.Helper()
	jwe, err := gojose.ParseEncryptedCompact(compact,
		[]gojose.KeyAlgorithm{gojose.KeyAlgorithm(alg)}, []gojose.ContentEncryption{gojose.ContentEncryption(enc)})
	if err != nil {
		t.Fatalf("%s %s: %v: %.200s", alg, enc, err, compact)
	}
	var private any = r.rsa
	kid := "rsa"
	if strings.HasPrefix(alg, "ECDH") {
		private, kid = r.ec, "ec"
	}
	if jwe.Header.KeyID != kid || jwe.Header.ExtraHeaders[gojose.HeaderContentType] != "JWT" {
		t.Errorf("%s %s: header %+v", alg, enc, jwe.Header)
	}
	text, err := jwe.Decrypt(private)
	if err != nil {
		t.Fatalf("%s %s: %v", alg, enc, err)
	}
	return string(text)
}

// useEncryption registers a client for every pair of algorithms that introspection lists, and reads its answers.
func useEncryption(t *testing.T, d *deployment, m map[string]any) {
	keys, err := d.server(0).Keys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r := newReader(t)
	algs := list(m, "introspection_encryption_alg_values_supported")
	encs := list(m, "introspection_encryption_enc_values_supported")
	if len(algs) != 4 || len(encs) != 4 {
		t.Errorf("%v, %v", algs, encs)
	}
	for _, alg := range algs {
		for _, enc := range encs {
			c := d.register(0, r.publish, changes{"introspection_signed_response_alg": "ES256",
				"introspection_encrypted_response_alg": alg, "introspection_encrypted_response_enc": enc}.apply)
			e := do(t, c.Server, c.IntrospectRequest("unknown"))
			outcome(t, e, "200")
			answer, err := flow.Decode(r.read(t, e.ResponseBody, alg, enc))
			if err != nil {
				t.Fatal(err)
			}
			if err := answer.Verify(keys); err != nil || e.ResponseHeader.Get("Content-Type") != introspectionMedia {
				t.Errorf("%s %s: %v %v", alg, enc, e.ResponseHeader, err)
			}
		}
	}
}
