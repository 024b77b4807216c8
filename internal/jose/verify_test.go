package jose_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"math/big"
	"testing"

	"authserver/internal/jose"
	"authserver/internal/jose/josetest"
)

// TestVerify holds tokens of good shape whose signatures are not.
func TestVerify(t *testing.T) {
	ec, rsaK := ecKey(t), rsaKey(t)
	ecPublic, rsaPublic := parseKey(t, jwk(t, &ec.PublicKey, "")), parseKey(t, jwk(t, &rsaK.PublicKey, ""))
	input := b64([]byte(`{"alg":"ES256"}`)) + "." + b64([]byte(claims))
	n := elliptic.P256().Params().N
	word := func(r, s []byte) []byte {
		return append(append(make([]byte, 32-len(r)), r...), append(make([]byte, 32-len(s)), s...)...)
	}
	digest := sha256.Sum256([]byte(input))
	der, err := ecdsa.SignASN1(rand.Reader, ec, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	good := josetest.Signature(ec, input)
	tests := []struct {
		name string
		mac  []byte
		want jose.Kind
	}{
		{"CA-54 zeros", make([]byte, 64), jose.SignatureInvalid},
		{"CA-54 r=0 s=1", word(nil, []byte{1}), jose.SignatureInvalid},
		{"CA-54 r=n s=1", word(n.Bytes(), []byte{1}), jose.SignatureInvalid},
		{"CA-54 r=1 s=n", word([]byte{1}, n.Bytes()), jose.SignatureInvalid},
		{"CA-55 DER", der, jose.Malformed},
		{"CA-55 63 bytes", good[:63], jose.Malformed},
		{"CA-55 65 bytes", append(append([]byte{}, good...), 0), jose.Malformed},
		{"CA-55 65 bytes, leading zero", append([]byte{0}, good...), jose.Malformed},
		{"another token's", josetest.Signature(ec, input+"x"), jose.SignatureInvalid},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			j, err := assertionDoor.Parse(input + "." + b64(test.mac))
			if err == nil {
				_, err = j.Verify(ecPublic)
			}
			refused(t, err, test.want)
		})
	}
	j, err := assertionDoor.Parse(input + "." + b64(good))
	if err != nil {
		t.Fatal(err)
	}
	t.Run("no keys", func(t *testing.T) {
		_, err := j.Verify()
		refused(t, err, jose.SignatureInvalid)
	})
	t.Run("no key of the header", func(t *testing.T) {
		_, err := j.Verify(j.Header().Key)
		refused(t, err, jose.SignatureInvalid)
	})
	t.Run("key of another algorithm", func(t *testing.T) {
		_, err := j.Verify(rsaPublic)
		refused(t, err, jose.SignatureInvalid)
	})
	t.Run("CA-11 made by a key of another algorithm", func(t *testing.T) {
		j, err := assertionDoor.Parse(sign(edKey(), `{"alg":"ES256"}`, claims))
		if err != nil {
			t.Fatal(err)
		}
		_, err = j.Verify(ecPublic, parseKey(t, jwk(t, edKey().Public(), "")))
		refused(t, err, jose.SignatureInvalid)
	})
	t.Run("CA-36 second key", func(t *testing.T) {
		other := parseKey(t, jwk(t, &newEC(t, elliptic.P256()).PublicKey, ""))
		o, err := j.Verify(nil, rsaPublic, other, ecPublic)
		if sub, _, _ := o.String("sub"); err != nil || sub != "c1" {
			t.Errorf("got sub %q, error %v", sub, err)
		}
		_, err = j.Verify(rsaPublic, other)
		refused(t, err, jose.SignatureInvalid)
	})
	t.Run("CA-56 n-s verifies, so a replay must not be found by the token's bytes", func(t *testing.T) {
		s := n.Bytes()
		mirrored := append(append([]byte{}, good[:32]...), new(big.Int).Sub(n, new(big.Int).SetBytes(good[32:])).FillBytes(s)...)
		m, err := assertionDoor.Parse(input + "." + b64(mirrored))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.Verify(ecPublic); err != nil {
			t.Error(err)
		}
		if m.SigningInput() != input || m.SigningInput() != j.SigningInput() {
			t.Errorf("signing input %s", m.SigningInput())
		}
		if string(m.Signature()[:32]) != string(j.Signature()[:32]) || string(m.Signature()) == string(j.Signature()) {
			t.Error("the signatures should share r and differ in s")
		}
	})
	t.Run("the signature is a copy", func(t *testing.T) {
		clear(j.Signature())
		if _, err := j.Verify(ecPublic); err != nil {
			t.Error(err)
		}
	})
}

// TestVerifyPS256 pins the salt to 32 bytes (RFC 7518 §3.5) and the signature to the length of the modulus.
func TestVerifyPS256(t *testing.T) {
	key := rsaKey(t)
	public := parseKey(t, jwk(t, &key.PublicKey, ""))
	input := b64([]byte(`{"alg":"PS256"}`)) + "." + b64([]byte(claims))
	digest := sha256.Sum256([]byte(input))
	verify := func(mac []byte) error {
		j, err := assertionDoor.Parse(input + "." + b64(mac))
		if err == nil {
			_, err = j.Verify(public)
		}
		return err
	}
	for _, salt := range []int{0, 20, 31, 33, rsa.PSSSaltLengthAuto} {
		mac, err := rsa.SignPSS(rand.Reader, key, crypto.SHA256, digest[:], &rsa.PSSOptions{SaltLength: salt})
		if err != nil {
			t.Fatal(err)
		}
		refused(t, verify(mac), jose.SignatureInvalid)
	}
	good := josetest.Signature(key, input)
	if err := verify(good); err != nil {
		t.Error(err)
	}
	refused(t, verify(append([]byte{0}, good...)), jose.SignatureInvalid)
	refused(t, verify(append(append([]byte{}, good...), 0)), jose.SignatureInvalid)
	refused(t, verify(good[:255]), jose.Malformed)
	refused(t, verify(make([]byte, 513)), jose.Malformed)
	large, err := rsa.GenerateKey(rand.Reader, 3072)
	if err != nil {
		t.Fatal(err)
	}
	t.Run("CA-64 RSA 3072", func(t *testing.T) {
		j, err := assertionDoor.Parse(sign(large, `{"alg":"PS256"}`, claims))
		if err == nil {
			_, err = j.Verify(public, parseKey(t, jwk(t, &large.PublicKey, "")))
		}
		if err != nil {
			t.Error(err)
		}
	})
}
