package flow

import (
	"crypto/ecdsa"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"
)

// sealFor encrypts a text with another library, for the key of the set that goes with alg.
func sealFor(keys []JWK, alg, enc, content string, options *jose.EncrypterOptions) (string, error) {
	kind := map[bool]string{true: "EC", false: "RSA"}[strings.HasPrefix(alg, "ECDH")]
	at := slices.IndexFunc(keys, func(j JWK) bool { return j.Kty == kind && j.Use == "enc" })
	if at < 0 {
		return "", fmt.Errorf("no key for %s among %v", alg, keys)
	}
	public, err := keys[at].PublicKey()
	if err != nil {
		return "", err
	}
	to := jose.Recipient{Algorithm: jose.KeyAlgorithm(alg), Key: public, KeyID: keys[at].Kid}
	encrypter, err := jose.NewEncrypter(jose.ContentEncryption(enc), to, options)
	if err != nil {
		return "", err
	}
	sealed, err := encrypter.Encrypt([]byte(content))
	if err != nil {
		return "", err
	}
	return sealed.CompactSerialize()
}

// sealed is what is encrypted for a recipient.
func sealed(t *testing.T, r *Recipient, alg, enc string, options *jose.EncrypterOptions) string {
	t.Helper()
	compact, err := sealFor(r.PublicJWKs(), alg, enc, "what is said", options)
	if err != nil {
		t.Fatal(err)
	}
	return compact
}

// What another library seals for a recipient is opened, and nobody else opens it.
func TestDecrypt(t *testing.T) {
	ours, err := NewRecipient("RSA-OAEP-256", "ECDH-ES")
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := NewRecipient("RSA-OAEP-256", "ECDH-ES")
	if err != nil {
		t.Fatal(err)
	}
	for _, alg := range []string{"RSA-OAEP-256", "ECDH-ES"} {
		for _, enc := range contentEncryptionEncs {
			for _, options := range []*jose.EncrypterOptions{(&jose.EncrypterOptions{}).WithContentType("JWT"), nil} {
				compact := sealed(t, ours, alg, enc, options)
				if got, err := ours.Decrypt(compact); got != "what is said" || err != nil {
					t.Errorf("%s %s: %q, %v", alg, enc, got, err)
				}
				if got, err := theirs.Decrypt(compact); err == nil {
					t.Errorf("%s %s: another opens it: %q", alg, enc, got)
				}
				read, err := readJWE(compact)
				want := alg + " " + enc + " " + map[bool]string{true: "JWT"}[options != nil]
				if diff := cmp.Diff(want, read.how()); diff != "" || err != nil {
					t.Error(diff, err)
				}
			}
		}
	}
}

// The key that Bob and Alice agree on is the one of RFC 7518, appendix C.
func TestAgree(t *testing.T) {
	bob := JWK{Kty: "EC", Crv: "P-256", X: "weNJy2HscCSM6AEDTDg04biOvhFhyyWvOHQfeF_PxMQ",
		Y: "e8lnCO-AlStT-NJVX-crhB7QRYhiix03illJOVAOyck", D: "VEmDZpDXXK8p8N0Cndsxs924q6nS1RXFASRl6BfUqdw"}
	private, err := bob.privateKey()
	if err != nil {
		t.Fatal(err)
	}
	header := map[string]any{"alg": "ECDH-ES", "enc": "A128GCM", "apu": "QWxpY2U", "apv": "Qm9i", "epk": map[string]any{"kty": "EC",
		"crv": "P-256", "x": "gI0GAILBdu7T53akrFmMyGcsF3n5dO7MmwNBHKW5SV0", "y": "SLW_xSffzlPWrHEVI30DHM_4egVwt3NQqeUD7nMFpps"}}
	key, err := (&Recipient{ec: private.(*ecdsa.PrivateKey)}).agree(header, 16)
	if diff := cmp.Diff("VqqN6vgjbSBcIijNcacQGg", encode64(key)); diff != "" || err != nil {
		t.Error(diff, err)
	}
}

// What is changed on the way, or sealed by another algorithm, is not opened.
func TestDecryptNot(t *testing.T) {
	ours, err := NewRecipient("RSA-OAEP-256", "ECDH-ES")
	if err != nil {
		t.Fatal(err)
	}
	good := sealed(t, ours, "ECDH-ES", "A256GCM", nil)
	parts := strings.Split(good, ".")
	with := func(i int, part string) string {
		bent := slices.Clone(parts)
		bent[i] = part
		return strings.Join(bent, ".")
	}
	for name, compact := range map[string]string{
		"nothing":             "",
		"a JWS":               "a.b.c",
		"no base64url":        with(3, "="),
		"another header":      with(0, encode64([]byte(`{"alg":"ECDH-ES","enc":"A256GCM"}`))),
		"a header of nothing": with(0, ""),
		"a key beside it":     with(1, "AAAA"),
		"a short vector":      with(2, "AAAA"),
		"another text":        with(3, encode64([]byte("what is heard"))),
		"a short tag":         with(4, "AAAA"),
		"another tag":         with(4, encode64(make([]byte, 16))),
		"no key for it":       sealed(t, ours, "RSA-OAEP-256", "A256GCM", nil),
		"RSA-OAEP":            sealed(t, ours, "RSA-OAEP", "A256GCM", nil),
		"A256CBC-HS512":       sealed(t, ours, "RSA-OAEP-256", "A256CBC-HS512", nil),
	} {
		opener := ours
		if name == "no key for it" {
			opener = &Recipient{ec: ours.ec}
		}
		if got, err := opener.Decrypt(compact); err == nil {
			t.Errorf("%s is opened: %q", name, got)
		}
	}
}
