package main

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"

	"authserver/internal/flow"
	"authserver/internal/store/storetest"
)

// canary is a secret that must not be found where it does not belong.
type canary struct {
	name   string
	text   string // as it is sent
	octets []byte // what text spells, or what alone is secret of it
}

// textCanary is a secret that is nothing but text.
func textCanary(name, text string) canary { return canary{name, text, []byte(text)} }

// binaryCanary is a secret of octets; in JSON it is sent as base64url.
func binaryCanary(name string, octets []byte) canary {
	return canary{name, base64.RawURLEncoding.EncodeToString(octets), octets}
}

// secretCanary is a secret of octets, as it is sent: in base64url.
func secretCanary(t testing.TB, name, text string) canary {
	t.Helper()
	octets, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(octets) < 16 {
		t.Fatalf("the %s is %q: %v", name, text, err)
	}
	return canary{name, text, octets}
}

// jwtCanary is a JWT: its signature alone is secret enough, since whoever has that can guess the rest.
func jwtCanary(t testing.TB, name, compact string) canary {
	t.Helper()
	signature := secretCanary(t, name, compact[strings.LastIndexByte(compact, '.')+1:])
	return canary{name, compact, signature.octets}
}

// privateCanary is a client's private key.
func privateCanary(t *testing.T, name string, k *flow.Key) canary {
	t.Helper()
	private, err := k.PrivateJWK()
	if err != nil {
		t.Fatal(err)
	}
	octets, err := base64.RawURLEncoding.DecodeString(private.D)
	if err != nil {
		t.Fatal(err)
	}
	return binaryCanary(name, octets)
}

// signingKeyCanaries are the server's own private keys: the secret numbers, and what is sealed as a whole.
func (d *deployment) signingKeyCanaries() []canary {
	d.t.Helper()
	rows, err := d.store.SigningKeys(d.t.Context())
	if err != nil {
		d.t.Fatal(err)
	}
	var all []canary
	for _, row := range rows {
		block, err := aes.NewCipher(d.config.encryptionKeys[0])
		if err != nil {
			d.t.Fatal(err)
		}
		box, err := cipher.NewGCMWithRandomNonce(block)
		if err != nil {
			d.t.Fatal(err)
		}
		whole, err := box.Open(nil, nil, row.Private, fmt.Appendf(nil, "signing_key\x00%s\x00%s\x00signature", row.KID, row.Alg))
		if err != nil {
			d.t.Fatal(err)
		}
		key, err := x509.ParsePKCS8PrivateKey(whole)
		if err != nil {
			d.t.Fatal(err)
		}
		name := string(row.Alg) + " signing key"
		all = append(all, binaryCanary(name, whole))
		for _, number := range secretNumbers(d.t, key) {
			all = append(all, binaryCanary(name+"'s secret number", number))
		}
	}
	if len(rows) != len(signingAlgs) {
		d.t.Errorf("%d signing keys", len(rows))
	}
	return all
}

func secretNumbers(t testing.TB, key any) [][]byte {
	t.Helper()
	switch key := key.(type) {
	case *rsa.PrivateKey:
		return [][]byte{key.D.Bytes(), key.Primes[0].Bytes(), key.Primes[1].Bytes()}
	case *ecdsa.PrivateKey:
		scalar, err := key.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		return [][]byte{scalar}
	case ed25519.PrivateKey:
		return [][]byte{key.Seed()}
	}
	t.Fatalf("a %T", key)
	return nil
}

// spellings are what the secret may look like where somebody put it: as it is, percent-encoded, hexadecimal, and as a part
// of what is base64 or base64url.
func (c canary) spellings() []string {
	var all []string
	for _, octets := range [][]byte{[]byte(c.text), c.octets} {
		all = append(all, string(octets), url.QueryEscape(string(octets)), hex.EncodeToString(octets), strings.ToUpper(hex.EncodeToString(octets)))
		for before := range 3 { // octets that stand before it in a group of three decide on what it looks like
			for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
				text := encoding.EncodeToString(slices.Concat(make([]byte, before), octets))
				if (before+len(octets))%3 > 0 {
					text = text[:len(text)-1] // also holds bits of what follows
				}
				all = append(all, text[[]int{0, 2, 3}[before]:])
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// leaks tells which secrets are found in which places.
func leaks(canaries []canary, places map[string]string) []string {
	found := map[string]bool{}
	for _, c := range canaries {
		for _, spelling := range c.spellings() {
			for place, content := range places {
				if strings.Contains(content, spelling) {
					found[c.name+" in "+place] = true
				}
			}
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// places are everything that the server leaves behind.
func (d *deployment) places() map[string]string {
	d.t.Helper()
	all := map[string]string{"the log": d.logs.String(), "the audit records": d.trail.String()}
	for i := range d.replicas {
		all["the metrics"] += d.metrics(i)
	}
	for column, values := range storetest.Dump(d.t, d.url) {
		all["the database's "+column] = values
	}
	return all
}
