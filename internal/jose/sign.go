package jose

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"

	"github.com/lestrrat-go/jwx/v3/jws"
)

// Signer is a private key and the name under which its public side is published. It is safe for concurrent use if its
// crypto.Signer is.
type Signer struct {
	key    crypto.Signer
	public *Key
}

// GenerateKey makes a new private key for the algorithm: RSA with 2048 bits, P-256 or Ed25519.
func GenerateKey(a Alg) (crypto.Signer, error) {
	switch a {
	case PS256:
		return rsa.GenerateKey(rand.Reader, minModulus)
	case ES256:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case EdDSA:
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	}
	return nil, fmt.Errorf("jose: no algorithm %s", a)
}

// NewSigner gives a private key its name, a kid of 1 to 256 bytes. The key may live elsewhere (a KMS): all that is asked
// of it is that Public returns *rsa.PublicKey, *ecdsa.PublicKey or ed25519.PublicKey, and Sign what crypto.Signer says.
// The public side must fulfil the same rules as a stranger's key.
func NewSigner(a Alg, kid string, key crypto.Signer) (*Signer, error) {
	if kid == "" {
		return nil, errors.New("jose: a signing key needs a kid")
	}
	public, err := newKey(key.Public(), kid)
	if err != nil {
		return nil, fmt.Errorf("jose: signing key %s: %w", kid, err)
	}
	if public.alg != a {
		return nil, fmt.Errorf("jose: signing key %s does %s, not %s", kid, public.alg, a)
	}
	return &Signer{key: key, public: public}, nil
}

// Key returns the public side.
func (s *Signer) Key() *Key { return s.public }

// Sign returns claims, which must marshal to a JSON object, as a compact JWS whose header holds alg, kid and, unless it
// is empty, typ.
func (s *Signer) Sign(typ string, claims any) (string, error) {
	payload, err := marshal(claims)
	if err != nil {
		return "", fmt.Errorf("jose: claims: %w", err)
	}
	if payload[0] != '{' {
		return "", errors.New("jose: the claims are not a JSON object")
	}
	header := jws.NewHeaders()
	if typ != "" {
		err = header.Set(jws.TypeKey, typ)
	}
	if err := errors.Join(err, header.Set(jws.KeyIDKey, s.public.kid)); err != nil {
		return "", fmt.Errorf("jose: header: %w", err)
	}
	compact, err := jws.Sign(payload, jws.WithKey(s.public.alg.jwx(), s.key, jws.WithProtectedHeaders(header)))
	if err != nil {
		return "", fmt.Errorf("jose: signing with key %s: %w", s.public.kid, err)
	}
	return string(compact), nil
}

// String and GoString keep the private key out of what is printed by accident: fmt follows pointers.
func (s *Signer) String() string   { return "[signer " + s.public.kid + "]" }
func (s *Signer) GoString() string { return s.String() }
