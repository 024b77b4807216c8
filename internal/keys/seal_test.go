package keys_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"authserver/internal/jose"
	"authserver/internal/keys"
)

// sealing are key-encryption keys that can be told apart, one for each n.
func sealing(n ...byte) keys.EncryptionKeys {
	var k keys.EncryptionKeys
	for _, n := range n {
		k = append(k, bytes.Repeat([]byte{0x50 + n}, 32))
	}
	return k
}

// unseal opens a row as doc.go describes it, without our code: databases must stay readable.
func unseal(t *testing.T, key []byte, s keys.Sealed) []byte {
	t.Helper()
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	row := "signing_key\x00" + s.KID + "\x00" + string(s.Alg) + "\x00signature"
	der, err := gcm.Open(nil, s.Private[:12], s.Private[12:], []byte(row))
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// wantClosed wants the one sentence that tells the operator what may have happened, and neither key nor row in it.
func wantClosed(t *testing.T, what string, m *memory, k keys.EncryptionKeys) {
	t.Helper()
	before := m.changes
	set, err := keys.Open(t.Context(), m, k, atNoon, jose.ES256)
	if err == nil || set != nil {
		t.Fatalf("%s: it opens", what)
	}
	want := "no key-encryption key opens it: was AUTHSERVER_KEY_ENCRYPTION_KEY replaced or lost?"
	if !errors.Is(err, keys.ErrSealed) || !strings.HasSuffix(err.Error(), want) {
		t.Errorf("%s: %v", what, err)
	}
	if !strings.HasPrefix(err.Error(), "signing key ") || m.changes != before {
		t.Errorf("%s: %v; %d changes, want none", what, err, m.changes-before)
	}
}

// TestSeal: a sealed key opens under its key-encryption key, in its own row, and nowhere else.
func TestSeal(t *testing.T) {
	for name, change := range map[string]func(es, ed *keys.Sealed){
		"another kid":           func(es, _ *keys.Sealed) { es.KID = "another" },
		"another alg":           func(es, _ *keys.Sealed) { es.Alg = jose.EdDSA },
		"another key's row":     func(es, ed *keys.Sealed) { es.Private = ed.Private },
		"another row's members": func(es, ed *keys.Sealed) { es.KID, es.Alg = ed.KID, ed.Alg },
		"nonce changed":         func(es, _ *keys.Sealed) { es.Private[0] ^= 1 },
		"text changed":          func(es, _ *keys.Sealed) { es.Private[20] ^= 1 },
		"tag changed":           func(es, _ *keys.Sealed) { es.Private[len(es.Private)-1] ^= 1 },
		"cut short":             func(es, _ *keys.Sealed) { es.Private = es.Private[:len(es.Private)-1] },
		"shorter than a nonce":  func(es, _ *keys.Sealed) { es.Private = es.Private[:5] },
		"empty":                 func(es, _ *keys.Sealed) { es.Private = nil },
	} {
		t.Run(name, func(t *testing.T) {
			m := &memory{}
			open(t, m, sealing(1), jose.ES256, jose.EdDSA)
			open(t, m, sealing(1), jose.ES256, jose.EdDSA)
			change(m.row(t, jose.ES256), m.row(t, jose.EdDSA))
			wantClosed(t, name, m, sealing(1))
		})
	}
}

// TestLostKey: with another key-encryption key nothing opens, nothing new is made, and the error says what to look at.
func TestLostKey(t *testing.T) {
	m := &memory{}
	open(t, m, sealing(1), jose.ES256, jose.EdDSA)
	wantClosed(t, "another key", m, sealing(2))
	wantClosed(t, "other keys", m, sealing(2, 3))
	wantClosed(t, "none", m, nil)
	open(t, m, sealing(1), jose.ES256)
}

// TestKeyList: the first key seals, all open; so a key-encryption key is replaced by standing the new one before it.
func TestKeyList(t *testing.T) {
	m := &memory{}
	before := kids(t, open(t, m, sealing(1), jose.ES256))
	after := kids(t, open(t, m, sealing(2, 1), jose.ES256, jose.EdDSA))
	if len(after) != 2 || !slices.Contains(after, before[0]) {
		t.Fatalf("keys %q, want two with %q", after, before)
	}
	unseal(t, sealing(1)[0], *m.row(t, jose.ES256))
	unseal(t, sealing(2)[0], *m.row(t, jose.EdDSA)) // the first of the list
	open(t, m, sealing(3, 2, 1), jose.ES256)
	open(t, m, sealing(1, 2), jose.ES256)
	wantClosed(t, "the second alone", m, sealing(2))
	m.rows = slices.DeleteFunc(m.rows, func(s keys.Sealed) bool { return s.Alg == jose.ES256 })
	wantClosed(t, "the first for the second's row", m, sealing(1))
}

// TestSealingIsFresh: one private key is never sealed into the same bytes twice, and never lies open in its row.
func TestSealingIsFresh(t *testing.T) {
	m := &memory{}
	open(t, m, sealing(1), all...)
	seen := map[string]bool{}
	for _, row := range m.rows {
		der := unseal(t, sealing(1)[0], row)
		if bytes.Contains(row.Private, der[len(der)-24:]) {
			t.Errorf("the %s key lies open in its row", row.Alg)
		}
		nonce := string(row.Private[:12])
		if seen[nonce] {
			t.Error("a nonce was used twice")
		}
		seen[nonce] = true
	}
}

func TestParseEncryptionKeys(t *testing.T) {
	one, two := base64.StdEncoding.EncodeToString(sealing(1)[0]), base64.StdEncoding.EncodeToString(sealing(2)[0])
	for _, test := range []struct {
		list string
		keys int
		want string
	}{
		{one, 1, ""},
		{one + "," + two, 2, ""},
		{" " + one + " ,\n" + two + "\n", 2, ""},
		{"", 0, "key 1 of the list is not 32 bytes of base64"},
		{one + ",", 0, "key 2 of the list is not 32 bytes of base64"},
		{one + ";" + two, 0, "key 1 of the list is not 32 bytes of base64"},
		{one + ",c2hvcnQ=", 0, "key 2 of the list is not 32 bytes of base64"},
		{base64.StdEncoding.EncodeToString(make([]byte, 33)), 0, "key 1 of the list is not 32 bytes of base64"},
		{strings.Repeat("5", 64), 0, "key 1 of the list is not 32 bytes of base64"},
		{"not base64 at all", 0, "key 1 of the list is not 32 bytes of base64"},
	} {
		k, err := keys.ParseEncryptionKeys(test.list)
		got := ""
		if err != nil {
			got = err.Error()
		}
		if len(k) != test.keys || got != test.want {
			t.Errorf("%q: %d keys, error %q; want %d and %q", test.list, len(k), got, test.keys, test.want)
		}
	}
	k, _ := keys.ParseEncryptionKeys(one + "," + two)
	if !bytes.Equal(k[0], sealing(1)[0]) || !bytes.Equal(k[1], sealing(2)[0]) {
		t.Error("the list has another order")
	}
}

// TestNothingPrintsAKey: neither the key-encryption keys nor the private keys come out of anything that is printed.
func TestNothingPrintsAKey(t *testing.T) {
	m, k := &memory{}, sealing(1, 2)
	set := open(t, m, k, all...)
	_, lost := keys.Open(t.Context(), m, sealing(3), atNoon)
	secrets := append(slices.Clone(k), scalars(t, m, k[0])...)
	for name, value := range map[string]any{
		"keys": k, "pointer": &k, "a part": struct{ Keys keys.EncryptionKeys }{k}, "in a list": []keys.EncryptionKeys{k},
		"set": set, "set in a part": struct{ Keys any }{set}, "row": m.rows[0], "rows": m.rows,
		"error": lost, "wrapped": fmt.Errorf("with %v and %s: %w", k, set, lost),
	} {
		for how, text := range printed(value) {
			for i, secret := range secrets {
				for _, spelling := range spellings(secret) {
					if strings.Contains(text, spelling) {
						t.Errorf("%s as %s tells key %d: %s", name, how, i, spelling)
					}
				}
			}
		}
	}
	if got := fmt.Sprintf("%v %+v %#v %s", k, k, k, k); got != "[redacted] [redacted] [redacted] [redacted]" {
		t.Errorf("keys print as %s", got)
	}
}

// printed is a value in all the ways in which a program prints by accident.
func printed(value any) map[string]string {
	texts := map[string]string{}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		texts[verb] = fmt.Sprintf(verb, value)
	}
	var b bytes.Buffer
	for name, handler := range map[string]slog.Handler{"slog text": slog.NewTextHandler(&b, nil), "slog json": slog.NewJSONHandler(&b, nil)} {
		b.Reset()
		slog.New(handler).With("with", value).Info("message", "value", value, slog.Group("group", "value", value))
		texts[name] = b.String()
	}
	if text, err := json.Marshal(value); err == nil {
		texts["json"] = string(text)
	}
	return texts
}

// spellings are the ways in which a part of a key may show. Base64 has three, by where the part begins.
func spellings(key []byte) []string {
	part := key[len(key)-16:]
	all := []string{
		string(part), fmt.Sprintf("%x", part), fmt.Sprintf("%X", part), strings.Trim(fmt.Sprintf("%q", part), `"`),
		strings.Trim(fmt.Sprint(part), "[]"),
		strings.TrimSuffix(strings.TrimPrefix(fmt.Sprintf("%#v", part), "[]byte{"), "}"),
	}
	for from := range 3 {
		all = append(all, base64.RawStdEncoding.EncodeToString(part[from:from+12]), base64.RawURLEncoding.EncodeToString(part[from:from+12]))
	}
	return all
}

// scalars are the secret parts of the rows' private keys.
func scalars(t *testing.T, m *memory, key []byte) [][]byte {
	t.Helper()
	var secrets [][]byte
	for _, row := range m.rows {
		parsed, err := x509.ParsePKCS8PrivateKey(unseal(t, key, row))
		if err != nil {
			t.Fatal(err)
		}
		switch private := parsed.(type) {
		case *rsa.PrivateKey:
			secrets = append(secrets, private.D.Bytes(), private.Primes[0].Bytes(), private.Primes[1].Bytes(), []byte(private.D.String()))
		case *ecdsa.PrivateKey:
			scalar, err := private.Bytes()
			if err != nil {
				t.Fatal(err)
			}
			secrets = append(secrets, scalar)
		case ed25519.PrivateKey:
			secrets = append(secrets, private.Seed())
		default:
			t.Fatalf("a %T", parsed)
		}
	}
	return secrets
}
