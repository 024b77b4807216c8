// Package josetest makes and reads JWTs by the standard library alone, so that tests hold what package jose says against a
// second opinion. Whatever a test asks for is signed, however wrong; what cannot fail panics. Server alone is of package
// jose: it stands in for the server's keys where a test is about other things.
package josetest

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"sync"
	"testing"
)

// Object is a JSON object in the making, and an Edit changes what would be a good JWT.
type (
	Object = map[string]any
	Edit   = func(header, claims Object)
)

// With sets a claim, and Set a member of the header; nil takes it away.
func With(name string, value any) Edit { return func(_, claims Object) { put(claims, name, value) } }
func Set(name string, value any) Edit  { return func(header, _ Object) { put(header, name, value) } }

func put(o Object, name string, value any) {
	if value == nil {
		delete(o, name)
		return
	}
	o[name] = value
}

// B64 is base64url without padding.
func B64(octets []byte) string { return base64.RawURLEncoding.EncodeToString(octets) }

// Text is a value in JSON.
func Text(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// Signer is a private key, with the alg that it is for and its kid, if it has one.
type Signer struct {
	Alg, Kid string
	Key      crypto.Signer
}

// NewEC is a new key for ES256.
func NewEC(kid string) Signer {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return Signer{"ES256", kid, key}
}

// NewRSA is a new key for PS256, of as many bits.
func NewRSA(kid string, bits int) Signer {
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		panic(err)
	}
	return Signer{"PS256", kid, key}
}

// sharedRSA is made once for a test binary: a new one takes longer than most tests.
var sharedRSA = sync.OnceValue(func() crypto.Signer { return NewRSA("", 2048).Key })

// RSA is a key for PS256 of 2048 bits that all who ask for one share.
func RSA(kid string) Signer { return Signer{"PS256", kid, sharedRSA()} }

// Ed is the same key for EdDSA in every run.
func Ed(kid string) Signer {
	return Signer{"EdDSA", kid, ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))}
}

// Fixed are an EC, an RSA and an Ed key with the kids ec, rsa and ed, the same in every run, so that what a fuzzer keeps
// means the same tomorrow. The test runs in a room beside package jose.
func Fixed(t testing.TB) []Signer {
	t.Helper()
	ec, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), bytes.Repeat([]byte{7}, 32))
	if err != nil {
		t.Fatal(err)
	}
	var published struct {
		Mastercard struct {
			PEM string `json:"auth_private_key_pem"`
		}
	}
	text, err := os.ReadFile("../jose/testdata/vectors.json")
	if err := errors.Join(err, json.Unmarshal(text, &published)); err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode([]byte(published.Mastercard.PEM))
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return []Signer{{"ES256", "ec", ec}, {"PS256", "rsa", key.(*rsa.PrivateKey)}, Ed("ed")}
}

// JWK is the public key, under its kid if it has one.
func (s Signer) JWK() Object {
	o := jwk(s.Key.Public())
	if s.Kid != "" {
		o["kid"] = s.Kid
	}
	return o
}

// ForEncryption is the public key as one to encrypt for by an alg of JWE.
func (s Signer) ForEncryption(alg string) Object {
	o := s.JWK()
	o["use"], o["alg"] = "enc", alg
	return o
}

// Thumbprint is that of RFC 7638 by hand: encoding/json sorts the members, as its §3 wants them.
func (s Signer) Thumbprint() string {
	hash := sha256.Sum256([]byte(Text(jwk(s.Key.Public()))))
	return B64(hash[:])
}

func jwk(public crypto.PublicKey) Object {
	switch public := public.(type) {
	case *rsa.PublicKey:
		return Object{"kty": "RSA", "n": B64(public.N.Bytes()), "e": B64(big.NewInt(int64(public.E)).Bytes())}
	case *ecdsa.PublicKey:
		point, err := public.Bytes()
		if err != nil {
			panic(err)
		}
		size := len(point) / 2
		return Object{"kty": "EC", "crv": public.Curve.Params().Name, "x": B64(point[1 : 1+size]), "y": B64(point[1+size:])}
	case ed25519.PublicKey:
		return Object{"kty": "OKP", "crv": "Ed25519", "x": B64(public)}
	}
	panic("no JWK for such a key")
}

// JWKS is a JWK Set of Signers' public keys, or of whatever else is to stand in it.
func JWKS(keys ...any) string {
	entries := []any{}
	for _, k := range keys {
		if s, ok := k.(Signer); ok {
			k = s.JWK()
		}
		entries = append(entries, k)
	}
	return Text(Object{"keys": entries})
}

// Sign makes a compact JWS, whatever the header says.
func (s Signer) Sign(header, payload string) string {
	input := B64([]byte(header)) + "." + B64([]byte(payload))
	return input + "." + B64(Signature(s.Key, input))
}

// JWT makes one of a header and claims, as the edits change them.
func (s Signer) JWT(header, claims Object, edits ...Edit) string {
	for _, change := range edits {
		change(header, claims)
	}
	return s.Sign(Text(header), Text(claims))
}

// Signature is that of a signing input by PS256, ECDSA with SHA-256, or EdDSA: the kind of key decides.
func Signature(key crypto.Signer, input string) []byte {
	digest := sha256.Sum256([]byte(input))
	switch key := key.(type) {
	case *rsa.PrivateKey:
		mac, err := rsa.SignPSS(rand.Reader, key, crypto.SHA256, digest[:], &rsa.PSSOptions{SaltLength: 32})
		if err != nil {
			panic(err)
		}
		return mac
	case *ecdsa.PrivateKey:
		r, s, err := ecdsa.Sign(rand.Reader, key, digest[:])
		if err != nil {
			panic(err)
		}
		size := (key.Curve.Params().BitSize + 7) / 8
		return append(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...)
	case ed25519.PrivateKey:
		return ed25519.Sign(key, []byte(input))
	}
	panic("no signature of such a key")
}
