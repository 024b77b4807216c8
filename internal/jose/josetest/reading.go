package josetest

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"authserver/internal/jose"
)

// Reading is a compact JWS as the standard library reads it. Nothing of it is verified.
type Reading struct {
	Header, Claims map[string]any
	Input          string // what the signature is of
	Signature      []byte
}

// Read reads a compact JWS of at most so many characters whose parts all say something and are spelled in the one way of
// base64url. flaw is "", or which of that is wrong.
func Read(compact string, most int) (r Reading, flaw string) {
	parts := strings.Split(compact, ".")
	if len(parts) != 3 || len(compact) > most {
		return r, "shape"
	}
	var octets [3][]byte
	for i, part := range parts {
		var err error
		if octets[i], err = base64.RawURLEncoding.DecodeString(part); err != nil || B64(octets[i]) != part || part == "" {
			return r, "base64url"
		}
	}
	header, ok1 := Members(octets[0])
	claims, ok2 := Members(octets[1])
	if !ok1 || !ok2 {
		return r, "JSON"
	}
	return Reading{header, claims, parts[0] + "." + parts[1], octets[2]}, ""
}

// Members are those of a JSON object that package jose holds to be strict, as encoding/json reads them: what is strict is
// for that package's own targets.
func Members(text []byte) (o map[string]any, ok bool) {
	if _, err := jose.ParseObject(text); err != nil {
		return nil, false
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	return o, decoder.Decode(&o) == nil
}

// Names tells whether the header has a member of one of the names.
func (r Reading) Names(names ...string) bool {
	return slices.ContainsFunc(names, func(name string) bool { _, there := r.Header[name]; return there })
}

// IsTyped tells whether typ is one of the accepted, in any case of ASCII's letters; "" accepts a header without it.
func (r Reading) IsTyped(accepted ...string) bool {
	typ, there := r.Header["typ"]
	if !there {
		return slices.Contains(accepted, "")
	}
	text, _ := typ.(string)
	return text != "" && slices.Contains(accepted, AsciiLower(text))
}

// Alg is the algorithm that the header names, EdDSA by that of its two names that a JWK Set has; "" for none.
func (r Reading) Alg() string {
	alg, _ := r.Header["alg"].(string)
	if alg == "Ed25519" {
		return "EdDSA"
	}
	return alg
}

// FitsAlg tells whether the header names one of PS256, ES256 and EdDSA, and the signature is as long as one of it may be.
func (r Reading) FitsAlg() bool {
	switch n := len(r.Signature); r.Alg() {
	case "PS256":
		return n >= 256 && n <= 512
	case "ES256", "EdDSA":
		return n == 64
	}
	return false
}

// IsSignedBy tells whether the key made the signature by the one algorithm for keys of its kind, and the header says so.
func (r Reading) IsSignedBy(public crypto.PublicKey) bool {
	var alg string
	switch public.(type) {
	case *rsa.PublicKey:
		alg = "PS256"
	case *ecdsa.PublicKey:
		alg = "ES256"
	case ed25519.PublicKey:
		alg = "EdDSA"
	}
	return alg != "" && r.Alg() == alg && Verifies(public, r.Input, r.Signature)
}

// Verifies tells whether a signature is the key's by PS256, ECDSA with SHA-256 on a curve of 256 bits, or EdDSA.
func Verifies(public crypto.PublicKey, input string, signature []byte) bool {
	digest := sha256.Sum256([]byte(input))
	switch public := public.(type) {
	case *rsa.PublicKey:
		return rsa.VerifyPSS(public, crypto.SHA256, digest[:], signature, &rsa.PSSOptions{SaltLength: 32}) == nil
	case *ecdsa.PublicKey:
		return len(signature) == 64 &&
			ecdsa.Verify(public, digest[:], new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:]))
	case ed25519.PublicKey:
		return ed25519.Verify(public, []byte(input), signature)
	}
	return false
}

// Seconds is a NumericDate before the year 9999 without its fraction.
func Seconds(v any) (int64, bool) {
	number, _ := v.(json.Number)
	f, err := strconv.ParseFloat(string(number), 64)
	if err != nil || f < 0 || f >= 253370764800 {
		return 0, false
	}
	return int64(math.Floor(f)), true
}

// IsPast tells whether a claim is a time that does not come after now, in Unix seconds, or is not there.
func (r Reading) IsPast(name string, now int64) bool {
	value, there := r.Claims[name]
	at, ok := Seconds(value)
	return !there || ok && at <= now
}

// AsciiLower leaves letters outside ASCII alone.
func AsciiLower(s string) string {
	return strings.Map(func(c rune) rune {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		return c
	}, s)
}
