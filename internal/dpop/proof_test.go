package dpop_test

import (
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"testing"
	"time"

	"authserver/internal/dpop"
	"authserver/internal/jose/josetest"
	"authserver/internal/oauth"
)

// The circumstances of most tests.
const endpoint = "https://as.example/oauth2/token"

var (
	now     = time.Unix(1_760_000_000, 0)
	atToken = dpop.Request{Method: "POST", URLs: []string{endpoint}}
	keys    = [][]byte{[]byte("0123456789abcdef0123456789abcdef"), []byte("fedcba9876543210fedcba9876543210")}
)

// verifier has the nonces of keys.
func verifier(t testing.TB, policy dpop.Policy, keys ...[]byte) dpop.Verifier {
	t.Helper()
	nonces, err := dpop.NewNonces(keys)
	if err != nil {
		t.Fatal(err)
	}
	return dpop.Verifier{Policy: policy, Nonces: nonces}
}

// required is the verifier of most tests.
func required(t testing.TB) dpop.Verifier { return verifier(t, dpop.NonceRequired, keys...) }

// The words of package josetest that are used here on every line.
type (
	object = josetest.Object
	edit   = josetest.Edit
)

var (
	with, set = josetest.With, josetest.Set
	text, b64 = josetest.Text, josetest.B64
)

// prover is a key that proofs are made with.
type prover struct{ josetest.Signer }

func ecProver() prover          { return prover{josetest.NewEC("")} }
func rsaProver(bits int) prover { return prover{josetest.NewRSA("", bits)} }
func edProver() prover          { return prover{josetest.Ed("")} }

// proof is a good proof for atToken at now with the current nonce of keys, as the edits change it.
func (p prover) proof(t testing.TB, edits ...edit) string {
	t.Helper()
	header := object{"alg": p.Alg, "typ": "dpop+jwt", "jwk": p.JWK()}
	claims := object{"jti": rand.Text(), "htm": "POST", "htu": endpoint, "iat": now.Unix(), "nonce": required(t).Nonces.Current(now)}
	return p.JWT(header, claims, edits...)
}

// rs256 and hs256 sign with what FAPI forbids.
func (p prover) rs256(t testing.TB) string {
	t.Helper()
	input := b64([]byte(text(object{"alg": "RS256", "typ": "dpop+jwt", "jwk": p.JWK()}))) + "." + b64([]byte(`{"jti":"a"}`))
	digest := sha256.Sum256([]byte(input))
	mac, err := rsa.SignPKCS1v15(nil, p.Key.(*rsa.PrivateKey), crypto.SHA256, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	return input + "." + b64(mac)
}

func hs256(t testing.TB) string {
	t.Helper()
	secret := []byte("0123456789abcdef0123456789abcdef")
	header := object{"alg": "HS256", "typ": "dpop+jwt", "jwk": object{"kty": "oct", "k": b64(secret)}}
	input := b64([]byte(text(header))) + "." + b64([]byte(`{"jti":"a"}`))
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(input))
	return input + "." + b64(mac.Sum(nil))
}

// inJWK sets a member of the embedded key.
func inJWK(name string, value any) edit {
	return func(header, _ object) { set(name, value)(header["jwk"].(object), nil) }
}

// iat puts a proof's iat some seconds away from now.
func iat(seconds int64) edit { return with("iat", now.Unix()+seconds) }

// sent are the headers of a request with these DPoP fields.
func sent(proofs ...string) http.Header {
	h := http.Header{}
	for _, proof := range proofs {
		h.Add("DPoP", proof)
	}
	return h
}

// refused demands a refusal for the reason, with the code that RFC 9449 has for it.
func refused(t *testing.T, err error, want oauth.Reason) {
	t.Helper()
	refusal, ok := errors.AsType[*oauth.Error](err)
	if !ok || refusal.Reason != want {
		t.Fatalf("%v, want %s", err, want)
	}
	code := oauth.InvalidDPoPProof
	switch want {
	case oauth.NonceMissing, oauth.NonceUnknown:
		code = oauth.UseDPoPNonce
	case oauth.ProofMissing:
		code = oauth.InvalidRequest
	}
	if refusal.Code() != code || refusal.Status() != http.StatusBadRequest {
		t.Errorf("%s: %d %s", want, refusal.Status(), refusal.Code())
	}
	if refusal.Description != oauth.Printable(refusal.Description) {
		t.Errorf("not fit for error_description: %q", refusal.Description)
	}
}

func mustDecode(t testing.TB, text string) []byte {
	t.Helper()
	octets, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return octets
}
