package jose_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"strings"
	"sync"
	"testing"

	"authserver/internal/jose"
	"authserver/internal/jose/josetest"
)

// vectors are the published samples in testdata/vectors.json, as far as they concern this package.
type vectors struct {
	Mastercard struct {
		PEM           string          `json:"auth_private_key_pem"`
		PublicJWK     json.RawMessage `json:"auth_public_jwk"`
		PrivateJWK    json.RawMessage `json:"dpop_jwk_private"`
		TokenProof    string          `json:"dpop_proof_token_request"`
		ResourceProof string          `json:"dpop_proof_resource_request"`
		Assertion     string          `json:"client_assertion"`
		AccessToken   string          `json:"access_token"`
		Kid           string          `json:"kid"`
		ClientID      string          `json:"client_id"`
		Expected      struct {
			DPoPThumbprint string `json:"dpop_jwk_thumbprint_rfc7638"`
			AuthThumbprint string `json:"auth_jwk_thumbprint_rfc7638"`
			AccessTokenJKT string `json:"access_token_cnf_jkt"`
		} `json:"expected"`
	} `json:"mastercard"`
	Thales struct {
		PEM        string          `json:"ec_private_key_pem"`
		JWK        json.RawMessage `json:"public_jwk"`
		Assertion  string          `json:"assertion"`
		Thumbprint string          `json:"thumbprint_rfc7638"`
	} `json:"thales"`
	RFC9449 struct {
		JWK           json.RawMessage `json:"public_jwk"`
		JKT           string          `json:"jkt"`
		TokenProof    string          `json:"proof_token_code_grant"`
		RefreshProof  string          `json:"proof_token_refresh"`
		ResourceProof string          `json:"proof_resource"`
	} `json:"rfc9449"`
	RFC7638 struct {
		JWK        map[string]string `json:"jwk"`
		Thumbprint string            `json:"thumbprint"`
	} `json:"rfc7638"`
	RFC8037 struct {
		JWK        map[string]string `json:"jwk"`
		Thumbprint string            `json:"thumbprint"`
		JWS        string            `json:"jws"`
	} `json:"rfc8037"`
	RFC7516 struct {
		Compact   string          `json:"compact"`
		JWK       json.RawMessage `json:"jwk"` // private
		Plaintext string          `json:"plaintext"`
	} `json:"rfc7516_A1"`
	RFC9126 struct {
		JWK           json.RawMessage `json:"public_jwk"`
		RequestObject string          `json:"request_object_rs256"`
		Assertion     string          `json:"client_assertion_rs256"`
	} `json:"rfc9126"`
}

var loadVectors = sync.OnceValues(func() (vectors, error) {
	var v vectors
	data, err := os.ReadFile("testdata/vectors.json")
	return v, errors.Join(err, json.Unmarshal(data, &v))
})

func published(t testing.TB) vectors {
	t.Helper()
	v, err := loadVectors()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// The three private keys of the tests. RSA and EC are published samples, so that fuzz seeds stay the same.
func rsaKey(t testing.TB) *rsa.PrivateKey {
	t.Helper()
	block, _ := pem.Decode([]byte(published(t).Mastercard.PEM))
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return key.(*rsa.PrivateKey)
}

func ecKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	block, _ := pem.Decode([]byte(published(t).Thales.PEM))
	key, err := x509.ParseECPrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func edKey() ed25519.PrivateKey { return ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)) }

func b64(octets []byte) string { return josetest.B64(octets) }

func unb64(t testing.TB, text string) []byte {
	t.Helper()
	octets, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return octets
}

// jwk writes a public key as a JWK by hand, followed by extra, which begins with a comma.
func jwk(t testing.TB, public crypto.PublicKey, extra string) string {
	t.Helper()
	switch public := public.(type) {
	case *rsa.PublicKey:
		e := big.NewInt(int64(public.E)).Bytes()
		return `{"kty":"RSA","n":"` + b64(public.N.Bytes()) + `","e":"` + b64(e) + `"` + extra + `}`
	case *ecdsa.PublicKey:
		size := (public.Curve.Params().BitSize + 7) / 8
		point, err := public.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		return `{"kty":"EC","crv":"` + public.Curve.Params().Name +
			`","x":"` + b64(point[1:1+size]) + `","y":"` + b64(point[1+size:]) + `"` + extra + `}`
	case ed25519.PublicKey:
		return `{"kty":"OKP","crv":"Ed25519","x":"` + b64(public) + `"` + extra + `}`
	}
	t.Fatalf("no JWK for %T", public)
	return ""
}

func parseKey(t testing.TB, raw string) *jose.Key {
	t.Helper()
	k, err := jose.ParseKey([]byte(raw))
	if err != nil {
		t.Fatalf("ParseKey(%s): %v", raw, err)
	}
	return k
}

// sign makes a JWS of a key by the standard library, whatever the header says.
func sign(key crypto.Signer, header, payload string) string {
	return josetest.Signer{Key: key}.Sign(header, payload)
}

// refused demands that err is a Defect of the kind whose detail is fit for error_description.
func refused(t *testing.T, err error, want jose.Kind) {
	t.Helper()
	if got := jose.KindOf(err); got != want || want == jose.None {
		t.Fatalf("got %v (%v), want a Defect %v", got, err, want)
	}
	defect, _ := errors.AsType[*jose.Defect](err)
	for _, r := range defect.Detail {
		if r < 0x20 || r > 0x7e || r == '"' || r == '\\' {
			t.Errorf("detail %q holds %q", defect.Detail, r)
		}
	}
	if !strings.HasSuffix(defect.Detail, ".") || len(defect.Detail) > 150 {
		t.Errorf("detail %q is not one short sentence", defect.Detail)
	}
}

// The doors as the rooms above use them.
var (
	assertionDoor = jose.Door{MaxBytes: 16 << 10, Types: []string{"", "JWT", "client-authentication+jwt"}}
	proofDoor     = jose.Door{MaxBytes: 8 << 10, Types: []string{"dpop+jwt"}, EmbeddedKey: true}
)

func newEC(t testing.TB, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}
