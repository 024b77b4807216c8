package dpop_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/big"
	"net/http"
	"slices"
	"testing"
	"time"

	"authserver/internal/dpop"
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

func b64(octets []byte) string { return base64.RawURLEncoding.EncodeToString(octets) }

// object is a JSON object in the making.
type object = map[string]any

// edit changes a good proof's header and claims.
type edit func(header, claims object)

// prover is a key that proofs are made with.
type prover struct {
	alg string
	key crypto.Signer
}

func ecProver(t testing.TB) prover {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return prover{"ES256", key}
}

func rsaProver(t testing.TB, bits int) prover {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	return prover{"PS256", key}
}

func edProver(t testing.TB) prover {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return prover{"EdDSA", key}
}

// jwk is the prover's public key.
func (p prover) jwk(t testing.TB) object {
	t.Helper()
	switch public := p.key.Public().(type) {
	case *rsa.PublicKey:
		return object{"kty": "RSA", "n": b64(public.N.Bytes()), "e": b64(big.NewInt(int64(public.E)).Bytes())}
	case *ecdsa.PublicKey:
		point, err := public.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		return object{"kty": "EC", "crv": "P-256", "x": b64(point[1:33]), "y": b64(point[33:])}
	case ed25519.PublicKey:
		return object{"kty": "OKP", "crv": "Ed25519", "x": b64(public)}
	}
	t.Fatal("unknown kind of key")
	return nil
}

// thumbprint is RFC 7638 by hand: encoding/json sorts the members, as §3 wants them.
func (p prover) thumbprint(t testing.TB) string {
	t.Helper()
	text, err := json.Marshal(p.jwk(t))
	if err != nil {
		t.Fatal(err)
	}
	hash := sha256.Sum256(text)
	return b64(hash[:])
}

// proof is a good proof for atToken at now with the current nonce of keys, as the edits change it.
func (p prover) proof(t testing.TB, edits ...edit) string {
	t.Helper()
	header := object{"alg": p.alg, "typ": "dpop+jwt", "jwk": p.jwk(t)}
	claims := object{"jti": rand.Text(), "htm": "POST", "htu": endpoint, "iat": now.Unix(), "nonce": required(t).Nonces.Current(now)}
	for _, change := range edits {
		change(header, claims)
	}
	return p.sign(t, marshal(t, header), marshal(t, claims))
}

func marshal(t testing.TB, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// sign makes a compact JWS with the standard library alone, whatever the header says.
func (p prover) sign(t testing.TB, header, claims string) string {
	t.Helper()
	input := b64([]byte(header)) + "." + b64([]byte(claims))
	digest := sha256.Sum256([]byte(input))
	var mac []byte
	var err error
	switch key := p.key.(type) {
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
		t.Fatal(err)
	}
	return input + "." + b64(mac)
}

// rs256 and hs256 sign with what FAPI forbids.
func (p prover) rs256(t testing.TB) string {
	t.Helper()
	input := b64([]byte(marshal(t, object{"alg": "RS256", "typ": "dpop+jwt", "jwk": p.jwk(t)}))) + "." + b64([]byte(`{"jti":"a"}`))
	digest := sha256.Sum256([]byte(input))
	mac, err := rsa.SignPKCS1v15(nil, p.key.(*rsa.PrivateKey), crypto.SHA256, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	return input + "." + b64(mac)
}

func hs256(t testing.TB) string {
	t.Helper()
	secret := []byte("0123456789abcdef0123456789abcdef")
	header := object{"alg": "HS256", "typ": "dpop+jwt", "jwk": object{"kty": "oct", "k": b64(secret)}}
	input := b64([]byte(marshal(t, header))) + "." + b64([]byte(`{"jti":"a"}`))
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(input))
	return input + "." + b64(mac.Sum(nil))
}

// with sets a claim, and set a header member; nil takes it away.
func with(name string, value any) edit {
	return func(_, claims object) { put(claims, name, value) }
}

func set(name string, value any) edit {
	return func(header, _ object) { put(header, name, value) }
}

func put(o object, name string, value any) {
	if value == nil {
		delete(o, name)
		return
	}
	o[name] = value
}

// inJWK sets a member of the embedded key.
func inJWK(name string, value any) edit {
	return func(header, _ object) { put(header["jwk"].(object), name, value) }
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
