package flow

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"
)

// Draft is a JWT before it is signed.
type Draft struct {
	Header map[string]any
	Claims map[string]any
	Key    *Key
	Alg    string // how the signature is made; header member alg is what it says
}

// Edit bends a Draft. Edits are applied in order, after the well-formed Draft is complete.
type Edit func(*Draft)

// SetHeader sets one header member. Setting alg makes the header lie; SignAs does not.
func SetHeader(name string, value any) Edit { return func(d *Draft) { d.Header[name] = value } }

// DropHeader removes one header member.
func DropHeader(name string) Edit { return func(d *Draft) { delete(d.Header, name) } }

// SetClaim sets one claim.
func SetClaim(name string, value any) Edit { return func(d *Draft) { d.Claims[name] = value } }

// DropClaim removes one claim.
func DropClaim(name string) Edit { return func(d *Draft) { delete(d.Claims, name) } }

// SignAs signs with another algorithm and says so in the header: PS256, ES256, EdDSA, Ed25519, RS256, HS256 or
// none.
func SignAs(alg string) Edit {
	return func(d *Draft) { d.Alg, d.Header["alg"] = alg, alg }
}

// SignWith signs with another key, but leaves kid and jwk as they were: a signature by somebody else.
func SignWith(key *Key) Edit {
	return func(d *Draft) { d.Key, d.Alg, d.Header["alg"] = key, key.Alg, key.Alg }
}

// Sign applies the edits and returns the compact serialisation (RFC 7515 §7.1).
func (d Draft) Sign(edits ...Edit) (string, error) {
	d.Header, d.Claims = maps.Clone(d.Header), maps.Clone(d.Claims)
	for _, edit := range edits {
		edit(&d)
	}
	header, err := json.Marshal(d.Header)
	if err != nil {
		return "", err
	}
	claims, err := json.Marshal(d.Claims)
	if err != nil {
		return "", err
	}
	return SignBytes(d.Key, d.Alg, header, claims)
}

// SignBytes signs a header and a payload exactly as given, well-formed or not.
func SignBytes(key *Key, alg string, header, payload []byte) (string, error) {
	input := encode64(header) + "." + encode64(payload)
	signature, err := key.sign(alg, []byte(input))
	if err != nil {
		return "", err
	}
	return input + "." + encode64(signature), nil
}

// Compact yields a compact JWS when the request it belongs to is sent.
type Compact func() (string, error)

// Literal is a compact JWS that exists already: what a replay sends.
func Literal(compact string) Compact {
	return func() (string, error) { return compact, nil }
}

// JWT is a compact JWS taken apart. Nothing in it is verified.
type JWT struct {
	Name    string         `json:"name,omitempty"` // what it is: client_assertion, request, DPoP, access_token, id_token, …
	Header  map[string]any `json:"header"`
	Claims  map[string]any `json:"claims"`
	JKT     string         `json:"jkt,omitempty"` // thumbprint of header member jwk
	Compact string         `json:"compact,omitempty"`
}

// Decode takes a compact JWS of JSON claims apart, without verifying it.
func Decode(compact string) (JWT, error) {
	parts := strings.Split(compact, ".")
	if len(parts) != 3 {
		return JWT{}, fmt.Errorf("a compact JWS has 3 segments, not %d", len(parts))
	}
	j := JWT{Compact: compact}
	for i, object := range []*map[string]any{&j.Header, &j.Claims} {
		text, err := decode64(parts[i])
		if err != nil {
			return JWT{}, err
		}
		if *object, err = members(text); err != nil {
			return JWT{}, err
		}
	}
	if key, ok := j.Header["jwk"].(map[string]any); ok {
		var jwk JWK
		text, _ := json.Marshal(key) // It was JSON a moment ago.
		if json.Unmarshal(text, &jwk) == nil {
			j.JKT = jwk.Thumbprint()
		}
	}
	return j, nil
}

// Claim is a claim as text; empty when there is none.
func (j JWT) Claim(name string) string { return text(j.Claims[name]) }

// Member is a header member as text; empty when there is none.
func (j JWT) Member(name string) string { return text(j.Header[name]) }

// Verify checks the signature with the key of the set that has the token's kid.
func (j JWT) Verify(keys []JWK) error {
	parts := strings.Split(j.Compact, ".")
	alg, kid := j.Member("alg"), j.Member("kid")
	for _, key := range keys {
		if key.Kid != kid || len(parts) != 3 {
			continue
		}
		signature, err := decode64(parts[2])
		if err != nil {
			return err
		}
		return key.verify(alg, []byte(parts[0]+"."+parts[1]), signature)
	}
	return errors.New("the key set has no key with kid " + kid)
}

// Confirmation is the thumbprint of the key that the token is bound to (cnf.jkt, RFC 9449 §6.1), or empty.
func Confirmation(claims map[string]any) string { return confirmation(claims, "jkt") }

// CertificateConfirmation is the thumbprint of the certificate that the token is bound to (cnf.x5t#S256, RFC 8705 §3.1), or
// empty.
func CertificateConfirmation(claims map[string]any) string { return confirmation(claims, "x5t#S256") }

func confirmation(claims map[string]any, member string) string {
	cnf, _ := claims["cnf"].(map[string]any)
	return text(cnf[member])
}

// text shows a JSON value the way a person would write it: strings bare, the rest as JSON, nothing for absent.
func text(value any) string {
	switch v := value.(type) {
	case nil:
		return ""
	case string:
		return v
	case json.Number:
		return v.String()
	}
	encoded, err := json.Marshal(value)
	if err != nil {
		return fmt.Sprint(value)
	}
	return string(encoded)
}

// time is a claim that is a number of seconds since 1970 (RFC 7519 §2); without one it is 1970.
func (j JWT) time(name string) time.Time {
	seconds, _ := strconv.ParseFloat(j.Claim(name), 64)
	return time.Unix(int64(seconds), 0)
}

// halfHash is at_hash of an access token: the left half of its hash, by the hash of the algorithm that signs the ID token
// (OpenID Connect Core §3.1.3.6). That of Ed25519 is SHA-512 (RFC 8032 §5.1).
func halfHash(alg, token string) string {
	if alg == "EdDSA" || alg == "Ed25519" {
		sum := sha512.Sum512([]byte(token))
		return encode64(sum[:sha512.Size/2])
	}
	sum := sha256.Sum256([]byte(token))
	return encode64(sum[:sha256.Size/2])
}

// Lifetime is exp - iat in seconds, or 0 when either is missing.
func Lifetime(claims map[string]any) int64 {
	exp, errExp := strconv.ParseFloat(text(claims["exp"]), 64)
	iat, errIat := strconv.ParseFloat(text(claims["iat"]), 64)
	if errExp != nil || errIat != nil {
		return 0
	}
	return int64(exp - iat)
}
