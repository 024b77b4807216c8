package jose_test

import (
	"crypto"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha1"
	"encoding/json"
	"math/big"
	"strings"
	"testing"

	oracle "github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"authserver/internal/jose"
)

// What go-jose is let to decrypt by.
var (
	offeredAlgs = []oracle.KeyAlgorithm{oracle.RSA_OAEP, oracle.RSA_OAEP_256, oracle.ECDH_ES, oracle.ECDH_ES_A256KW}
	offeredEncs = []oracle.ContentEncryption{oracle.A256GCM, oracle.A128GCM, oracle.A128CBC_HS256, oracle.A256CBC_HS512}
)

// setOf is a key set of these JWKs.
func setOf(t testing.TB, entries ...string) jose.KeySet {
	t.Helper()
	set, err := jose.ParseKeySet([]byte(`{"keys":[`+strings.Join(entries, ",")+`]}`), 20)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func recipient(t testing.TB, set jose.KeySet, alg string) *jose.Recipient {
	t.Helper()
	r, err := set.Recipient(alg)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func encrypt(t testing.TB, r *jose.Recipient, payload, enc string) string {
	t.Helper()
	compact, err := r.Encrypt([]byte(payload), enc, "JWT")
	if err != nil {
		t.Fatal(err)
	}
	return compact
}

// decrypted is what go-jose reads.
func decrypted(t testing.TB, compact string, private any) string {
	t.Helper()
	theirs, err := oracle.ParseEncryptedCompact(compact, offeredAlgs, offeredEncs)
	if err != nil {
		t.Fatal(err)
	}
	payload, err := theirs.Decrypt(private)
	if err != nil {
		t.Fatal(err)
	}
	return string(payload)
}

// privateFor is the private key of the tests that an algorithm takes.
func privateFor(t testing.TB, alg string) crypto.Signer {
	t.Helper()
	if strings.HasPrefix(alg, "RSA") {
		return rsaKey(t)
	}
	return ecKey(t)
}

// TestEncrypt (CRY-08) encrypts by every pair of algorithms, and lets go-jose decrypt. The header holds what it should, and
// nothing else.
func TestEncrypt(t *testing.T) {
	const payload = "eyJhbGciOiJFUzI1NiJ9.e30.c2lnbmF0dXJl"
	for _, alg := range jose.EncryptionAlgs() {
		for _, enc := range jose.EncryptionEncs() {
			for _, kid := range []string{"", "k 1\"<é"} {
				t.Run(strings.TrimSpace(alg+" "+enc+" "+kid), func(t *testing.T) {
					private := privateFor(t, alg)
					want := map[string]any{"alg": alg, "enc": enc, "cty": "JWT"}
					extra := ""
					if kid != "" {
						extra, want["kid"] = `,"kid":`+marshal(t, kid), kid
					}
					compact := encrypt(t, recipient(t, setOf(t, jwk(t, private.Public(), extra)), alg), payload, enc)
					if got := decrypted(t, compact, private); got != payload {
						t.Errorf("go-jose reads %s", got)
					}
					header := headerOf(t, compact)
					if strings.HasPrefix(alg, "ECDH") {
						epk, _ := header["epk"].(map[string]any)
						if len(epk) != 4 || epk["kty"] != "EC" || epk["crv"] != "P-256" {
							t.Errorf("epk is %v", epk)
						}
						delete(header, "epk")
					}
					if diff := cmp.Diff(want, header); diff != "" {
						t.Errorf("header (-want +got):\n%s", diff)
					}
				})
			}
		}
	}
}

// headerOf is the header of a JWE, which has five segments.
func headerOf(t *testing.T, compact string) (header map[string]any) {
	t.Helper()
	segments := strings.Split(compact, ".")
	if len(segments) != 5 {
		t.Fatalf("%d segments", len(segments))
	}
	if err := json.Unmarshal(unb64(t, segments[0]), &header); err != nil {
		t.Fatal(err)
	}
	return header
}

// TestEncryptWithoutType: whoever encrypts something else than a token says so, or nothing.
func TestEncryptWithoutType(t *testing.T) {
	compact, err := recipient(t, setOf(t, jwk(t, rsaKey(t).Public(), "")), "RSA-OAEP").Encrypt([]byte("x"), "A256GCM", "")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]any{"alg": "RSA-OAEP", "enc": "A256GCM"}, headerOf(t, compact)); diff != "" {
		t.Error(diff)
	}
}

// TestEncryptVector: RFC 7516 A.1, whose algorithms are those that seed 001 registers. The published private key reads the
// published message, and ours for its public half.
func TestEncryptVector(t *testing.T) {
	v := published(t).RFC7516
	integer := func(name string) *big.Int {
		text, _, _ := object(t, string(v.JWK)).String(name)
		return new(big.Int).SetBytes(unb64(t, text))
	}
	private := &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: integer("n"), E: int(integer("e").Int64())}, D: integer("d")}
	compact := encrypt(t, recipient(t, setOf(t, jwk(t, private.Public(), "")), "RSA-OAEP"), v.Plaintext, "A256GCM")
	for name, message := range map[string]string{"published": v.Compact, "ours": compact} {
		if got := decrypted(t, message, private); got != v.Plaintext {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// TestEncryptAnew: no message shares its key, its initialization vector or its ephemeral key with another.
func TestEncryptAnew(t *testing.T) {
	for _, alg := range jose.EncryptionAlgs() {
		for _, enc := range jose.EncryptionEncs() {
			private := privateFor(t, alg)
			r := recipient(t, setOf(t, jwk(t, private.Public(), "")), alg)
			seen := map[string]bool{}
			for range 3 {
				compact := encrypt(t, r, "the same", enc)
				parts := strings.Split(compact, ".")[1:] // key, initialization vector, ciphertext, tag
				if epk, ok := headerOf(t, compact)["epk"].(map[string]any); ok {
					parts = append(parts, epk["x"].(string))
				}
				if alg == "ECDH-ES" {
					if parts[0] != "" {
						t.Errorf("%s wraps a key", alg)
					}
					parts = parts[1:]
				}
				if alg == "RSA-OAEP" {
					cek, err := rsa.DecryptOAEP(sha1.New(), nil, private.(*rsa.PrivateKey), unb64(t, parts[0]), nil)
					if err != nil {
						t.Fatal(err)
					}
					parts = append(parts, string(cek))
				}
				for i, part := range parts {
					if seen[part] {
						t.Errorf("%s %s: part %d came before", alg, enc, i+1)
					}
					seen[part] = true
				}
			}
		}
	}
}

// TestEncryptRefuses: what is not offered is not done by accident either.
func TestEncryptRefuses(t *testing.T) {
	r := recipient(t, setOf(t, jwk(t, rsaKey(t).Public(), "")), "RSA-OAEP")
	for _, enc := range []string{"", "A192GCM", "A192CBC-HS384", "A128CBC", "a256gcm", "RSA-OAEP"} {
		if compact, err := r.Encrypt([]byte("x"), enc, "JWT"); err == nil || compact != "" {
			t.Errorf("encrypted by %q: %s", enc, compact)
		}
	}
}

// TestRecipient: which key of a set is taken, by the kid that the message bears; "" for none.
func TestRecipient(t *testing.T) {
	p256 := func(extra string) string { return jwk(t, ecKey(t).Public(), extra) }
	rsa2048 := func(extra string) string { return jwk(t, rsaKey(t).Public(), extra) }
	odd := func(bits uint) *rsa.PublicKey {
		n := new(big.Int).Lsh(big.NewInt(1), bits-1)
		return &rsa.PublicKey{N: n.Add(n, big.NewInt(1)), E: 65537}
	}
	point, _ := ecKey(t).PublicKey.Bytes()
	private := strings.TrimSuffix(string(published(t).RFC7516.JWK), "}") + `,"kid":"k","use":"enc"}`
	tests := []struct {
		name, alg string
		set       []string
		want      string
	}{
		{"use enc", "RSA-OAEP", []string{rsa2048(`,"kid":"k","use":"enc"`)}, "k"},
		{"seed 001", "RSA-OAEP", []string{rsa2048(`,"kid":"s","use":"sig","alg":"PS256"`), rsa2048(`,"kid":"k","use":"enc","alg":"RSA-OAEP"`)}, "k"},
		{"nothing said", "RSA-OAEP-256", []string{rsa2048(`,"kid":"k"`)}, "k"},
		{"nothing said of an EC key", "ECDH-ES", []string{p256(`,"kid":"k"`)}, "k"},
		{"key_ops encrypt", "RSA-OAEP", []string{rsa2048(`,"kid":"k","key_ops":["encrypt"]`)}, "k"},
		{"key_ops wrapKey", "RSA-OAEP", []string{rsa2048(`,"kid":"k","key_ops":["verify","wrapKey"]`)}, "k"},
		{"key_ops deriveKey", "ECDH-ES", []string{p256(`,"kid":"k","key_ops":["deriveKey"]`)}, "k"},
		{"key_ops deriveBits", "ECDH-ES+A256KW", []string{p256(`,"kid":"k","key_ops":["deriveBits"]`)}, "k"},
		{"alg alone", "ECDH-ES+A256KW", []string{p256(`,"kid":"k","alg":"ECDH-ES+A256KW"`)}, "k"},
		{"the first of two", "RSA-OAEP", []string{rsa2048(`,"kid":"k","use":"enc"`), rsa2048(`,"kid":"l","use":"enc"`)}, "k"},
		{"the first that says so", "RSA-OAEP", []string{rsa2048(`,"kid":"l"`), rsa2048(`,"kid":"k","use":"enc"`)}, "k"},
		{"the first that says so by alg", "RSA-OAEP", []string{rsa2048(`,"kid":"l"`), rsa2048(`,"kid":"k","alg":"RSA-OAEP"`)}, "k"},
		{"the first that says so by key_ops", "RSA-OAEP", []string{rsa2048(`,"kid":"l"`), rsa2048(`,"kid":"k","key_ops":["wrapKey"]`)}, "k"},
		{"the first where none says so", "RSA-OAEP", []string{rsa2048(`,"kid":"k"`), rsa2048(`,"kid":"l"`)}, "k"},
		{"behind one of another alg", "RSA-OAEP", []string{rsa2048(`,"kid":"l","alg":"RSA-OAEP-256"`), rsa2048(`,"kid":"k"`)}, "k"},
		{"behind one of another type", "ECDH-ES", []string{rsa2048(`,"kid":"l","use":"enc"`), p256(`,"kid":"k","use":"enc"`)}, "k"},
		{"behind what is no key", "RSA-OAEP", []string{`null`, `{"kty":"AKP"}`, rsa2048(`,"kid":"k"`)}, "k"},
		{"4096 bits", "RSA-OAEP", []string{jwk(t, odd(4096), `,"kid":"k"`)}, "k"},

		{"KY-04 no keys", "RSA-OAEP", nil, ""},
		{"KY-04 only a key for signatures", "RSA-OAEP", []string{rsa2048(`,"use":"sig"`)}, ""},
		{"a key for signatures by key_ops", "RSA-OAEP", []string{rsa2048(`,"key_ops":["verify"]`)}, ""},
		{"a key for nothing", "RSA-OAEP", []string{rsa2048(`,"key_ops":[]`)}, ""},
		{"the private half's key_ops", "RSA-OAEP", []string{rsa2048(`,"use":"enc","key_ops":["decrypt","unwrapKey"]`)}, ""},
		{"a key for signatures by alg", "RSA-OAEP", []string{rsa2048(`,"alg":"PS256"`)}, ""},
		{"use enc and key_ops verify", "RSA-OAEP", []string{rsa2048(`,"use":"enc","key_ops":["verify"]`)}, ""},
		{"use sig and key_ops encrypt", "RSA-OAEP", []string{rsa2048(`,"use":"sig","key_ops":["encrypt"]`)}, ""},
		{"use in another case", "RSA-OAEP", []string{rsa2048(`,"use":"ENC"`)}, ""},
		{"use null", "RSA-OAEP", []string{rsa2048(`,"use":null`)}, ""},
		{"alg null", "RSA-OAEP", []string{rsa2048(`,"alg":null`)}, ""},
		{"alg empty", "RSA-OAEP", []string{rsa2048(`,"alg":""`)}, ""},
		{"key_ops null", "RSA-OAEP", []string{rsa2048(`,"key_ops":null`)}, ""},
		{"key_ops that are not all texts", "RSA-OAEP", []string{rsa2048(`,"key_ops":["encrypt",1]`)}, ""},
		{"key_ops in no list", "RSA-OAEP", []string{rsa2048(`,"key_ops":"encrypt"`)}, ""},
		{"another alg", "RSA-OAEP", []string{rsa2048(`,"use":"enc","alg":"RSA-OAEP-256"`)}, ""},
		{"KY-05 the JWK's alg is RSA1_5", "RSA-OAEP", []string{rsa2048(`,"use":"enc","alg":"RSA1_5"`)}, ""},
		{"KY-05 RSA1_5", "RSA1_5", []string{rsa2048(`,"use":"enc"`), rsa2048(`,"use":"enc","alg":"RSA1_5"`)}, ""},
		{"dir", "dir", []string{rsa2048(``), p256(``), `{"kty":"oct","k":"AAAA","use":"enc"}`}, ""},
		{"A256KW", "A256KW", []string{rsa2048(``), p256(``)}, ""},
		{"RSA-OAEP-512", "RSA-OAEP-512", []string{rsa2048(``)}, ""},
		{"no alg", "", []string{rsa2048(``), p256(``)}, ""},
		{"an RSA key for a key agreement", "ECDH-ES", []string{rsa2048(`,"use":"enc"`)}, ""},
		{"an EC key for OAEP", "RSA-OAEP", []string{p256(`,"use":"enc"`)}, ""},
		{"Ed25519", "ECDH-ES", []string{jwk(t, edKey().Public(), `,"use":"enc"`)}, ""},
		{"X25519", "ECDH-ES", []string{`{"kty":"OKP","crv":"X25519","x":"` + b64(make([]byte, 32)) + `","use":"enc"}`}, ""},
		{"P-384", "ECDH-ES", []string{jwk(t, newEC(t, elliptic.P384()).Public(), `,"use":"enc"`)}, ""},
		{"KY-05 RSA 1024", "RSA-OAEP", []string{jwk(t, odd(1024), `,"use":"enc"`)}, ""},
		{"KY-05 RSA 2047", "RSA-OAEP", []string{jwk(t, odd(2047), `,"use":"enc"`)}, ""},
		{"RSA 4097", "RSA-OAEP", []string{jwk(t, odd(4097), `,"use":"enc"`)}, ""},
		{"RSA with a small exponent", "RSA-OAEP", []string{jwk(t, &rsa.PublicKey{N: rsaKey(t).N, E: 3}, `,"use":"enc"`)}, ""},
		{"KY-05 off the curve", "ECDH-ES", []string{`{"kty":"EC","crv":"P-256","x":"` + b64(point[1:33]) + `","y":"` + b64(point[1:33]) + `","use":"enc"}`}, ""},
		{"JK-02 a private key", "RSA-OAEP", []string{private}, ""},
		{"JK-03 a symmetric key", "RSA-OAEP", []string{`{"kty":"oct","k":"AAAA","use":"enc","alg":"RSA-OAEP"}`}, ""},
		{"a member twice", "RSA-OAEP", []string{rsa2048(`,"use":"enc","use":"enc"`)}, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			raw := `{"keys":[` + strings.Join(test.set, ",") + `]}`
			set, err := jose.ParseKeySet([]byte(raw), 20)
			if test.name == "a member twice" { // in any entry this spoils the set
				refused(t, err, jose.JSONRefused)
			}
			r, err := set.Recipient(test.alg)
			if test.want == "" {
				refused(t, err, jose.KeyRefused)
				if r != nil {
					t.Error("a key came with the refusal")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := headerOf(t, encrypt(t, r, "x", "A128GCM"))["kid"]; got != test.want {
				t.Errorf("key %v", got)
			}
		})
	}
}

// TestRecipientSaysWhat pins the sentences that tell a developer which key to publish.
func TestRecipientSaysWhat(t *testing.T) {
	for alg, want := range map[string]string{
		"RSA-OAEP": "The JWK Set has no key for RSA-OAEP: expected kty RSA of 2048 to 4096 bits, use enc or none, alg RSA-OAEP or none.",
		"ECDH-ES":  "The JWK Set has no key for ECDH-ES: expected kty EC, crv P-256, use enc or none, alg ECDH-ES or none.",
	} {
		if _, err := setOf(t).Recipient(alg); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// TestPurposes: a key for encryption verifies nothing, and one for signatures is encrypted with never; only one that says
// neither may do both.
func TestPurposes(t *testing.T) {
	for _, test := range []struct {
		extra               string
		verifies, encrypted bool
	}{
		{``, true, true}, {`,"use":"sig"`, true, false}, {`,"use":"enc"`, false, true},
		{`,"key_ops":["verify"]`, true, false}, {`,"key_ops":["wrapKey","deriveKey"]`, false, true}, {`,"key_ops":["verify","encrypt","deriveKey"]`, true, true},
		{`,"use":"tls"`, false, false}, {`,"key_ops":["sign"]`, false, false},
	} {
		for _, alg := range []string{"RSA-OAEP", "ECDH-ES"} {
			private := privateFor(t, alg)
			set := setOf(t, jwk(t, private.Public(), test.extra))
			_, err := set.Recipient(alg)
			if got := len(set.Keys) == 1; got != test.verifies || len(set.Keys)+len(set.Skipped) != 1 {
				t.Errorf("%s%s verifies: %v", alg, test.extra, got)
			}
			if got := err == nil; got != test.encrypted {
				t.Errorf("%s%s is encrypted with: %v", alg, test.extra, err)
			}
		}
	}
	for alg, extra := range map[string]string{"RSA-OAEP": `,"alg":"PS256"`, "ECDH-ES": `,"alg":"ES256"`} {
		set := setOf(t, jwk(t, privateFor(t, alg).Public(), extra), jwk(t, privateFor(t, alg).Public(), `,"alg":"`+alg+`"`))
		if _, err := set.Recipient(alg); err != nil || len(set.Keys) != 1 || len(set.Skipped) != 1 {
			t.Errorf("%s: %d keys, %v", alg, len(set.Keys), err)
		}
	}
}

func TestEncryptionNames(t *testing.T) {
	jose.EncryptionAlgs()[0], jose.EncryptionEncs()[0] = "RSA1_5", "none"
	want := [][]string{{"RSA-OAEP", "RSA-OAEP-256", "ECDH-ES", "ECDH-ES+A256KW"}, {"A256GCM", "A128GCM", "A128CBC-HS256", "A256CBC-HS512"}}
	if diff := cmp.Diff(want, [][]string{jose.EncryptionAlgs(), jose.EncryptionEncs()}); diff != "" {
		t.Error(diff)
	}
}
