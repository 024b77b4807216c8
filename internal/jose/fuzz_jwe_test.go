package jose_test

import (
	"crypto"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"authserver/internal/jose"
)

// FuzzRecipient puts what it likes behind the key members of two good keys. The rules in words must choose the same key
// for every algorithm, and only the holder of its private half can read what was encrypted.
func FuzzRecipient(f *testing.F) {
	for _, seed := range [][2]string{{``, ``}, {`,"use":"sig"`, `,"use":"enc"`}, {`,"alg":"RSA-OAEP"`, `,"key_ops":["deriveKey"],"alg":"ECDH-ES"`},
		{`,"key_ops":["wrapKey","verify"],"kid":"k1"`, `,"key_ops":[]`}, {`,"d":""`, `,"use":null`}, {`,"kid":7`, `,"alg":"ECDH-ES+A256KW","use":"enc"`},
		{`,"use":"enc","use":"enc"`, ``}, {`,"key_ops":["encrypt",null]`, `,"key_ops":["encrypt",1]`}, {`},{"kty":"RSA"`, ``}} {
		f.Add(seed[0], seed[1], uint8(len(seed[0])))
	}
	private := []crypto.Signer{rsaKey(f), newRSA(f), ecKey(f), newEC(f, elliptic.P256())}
	f.Fuzz(func(t *testing.T, first, second string, which uint8) {
		alg := jose.EncryptionAlgs()[int(which)%len(jose.EncryptionAlgs())]
		var entries []string
		for i, key := range private {
			entries = append(entries, jwk(t, key.Public(), []string{first, second}[i%2]))
		}
		raw := `{"keys":[` + strings.Join(entries, ",") + `]}`
		if strict([]byte(raw)) != nil || slices.ContainsFunc(entries, func(entry string) bool { return strict([]byte(entry)) != nil }) {
			return // FuzzParseKeySet is about what is no set
		}
		set, err := jose.ParseKeySet([]byte(raw), len(entries))
		if err != nil {
			t.Fatalf("%s: %v", raw, err)
		}
		var want crypto.Signer
		for _, stated := range []bool{false, true} { // one that says what it is for comes before one that does not
			for i := len(private) - 1; i >= 0; i-- {
				if fits, says := encryptsBy(t, entries[i], alg, private[i]); fits && says == stated {
					want = private[i]
				}
			}
		}
		r, err := set.Recipient(alg)
		if (err == nil) != (want != nil) {
			t.Fatalf("%s by %s: %v", raw, alg, err)
		}
		if err != nil {
			refused(t, err, jose.KeyRefused)
			return
		}
		if got := decrypted(t, encrypt(t, r, "x", "A128GCM"), want); got != "x" {
			t.Fatalf("go-jose reads %q", got)
		}
	})
}

// encryptsBy reads the members about a key's purpose with encoding/json.
func encryptsBy(t *testing.T, entry, alg string, key crypto.Signer) (fits, stated bool) {
	t.Helper()
	var members map[string]any
	if err := json.Unmarshal([]byte(entry), &members); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"} {
		if _, has := members[name]; has {
			return false, false
		}
	}
	_, isRSA := key.(*rsa.PrivateKey)
	kid, hasKid := members["kid"]
	name, isText := kid.(string)
	use, hasUse := members["use"]
	own, hasAlg := members["alg"]
	ops, hasOps := members["key_ops"]
	list, _ := ops.([]any)
	texts := !slices.ContainsFunc(list, func(op any) bool { _, isText := op.(string); return !isText && op != nil })
	named := slices.ContainsFunc(list, func(op any) bool {
		return op == "encrypt" || op == "wrapKey" || op == "deriveKey" || op == "deriveBits"
	})
	return isRSA == strings.HasPrefix(alg, "RSA") && (!hasKid || isText && len(name) <= 256) && (!hasUse || use == "enc") && (!hasAlg || own == alg) &&
		(!hasOps || texts && named), hasUse || hasAlg || hasOps
}

func newRSA(t testing.TB) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return key
}
