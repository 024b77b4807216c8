package keys

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"time"

	"authserver/internal/jose"
)

// Sealed is a signing key as the store keeps it.
type Sealed struct {
	KID       string
	Alg       jose.Alg
	Private   []byte // PKCS #8, sealed
	CreatedAt time.Time
}

// Store keeps the sealed keys.
type Store interface {
	// AddSigningKey stores the candidate unless there is a key of its algorithm already.
	AddSigningKey(ctx context.Context, candidate Sealed) error
	// SigningKeys are all keys, newest first.
	SigningKeys(ctx context.Context) ([]Sealed, error)
}

// Set is the opened signing keys.
type Set struct {
	signers map[jose.Alg]*jose.Signer
	public  map[string]*jose.Key
	jwks    []byte
}

// String and GoString keep the keys out of what is printed by accident: fmt follows pointers for a verb that does not fit.
func (s *Set) String() string   { return "[signing keys]" }
func (s *Set) GoString() string { return "[signing keys]" }

// Open reads the keys, makes those of the wanted algorithms that are missing, and opens all.
func Open(ctx context.Context, s Store, k EncryptionKeys, now time.Time, algs ...jose.Alg) (*Set, error) {
	stored, err := s.SigningKeys(ctx)
	if err != nil {
		return nil, err
	}
	set, err := open(stored, k)
	if err != nil {
		return nil, err
	}
	missing := false
	for _, alg := range algs {
		if set.signers[alg] != nil {
			continue
		}
		missing = true
		candidate, err := generate(alg, k, now)
		if err != nil {
			return nil, err
		}
		if err := s.AddSigningKey(ctx, candidate); err != nil {
			return nil, err
		}
	}
	if !missing {
		return set, nil
	}
	if stored, err = s.SigningKeys(ctx); err != nil { // another replica's candidate may have been first
		return nil, err
	}
	return open(stored, k)
}

// generate makes a new key and seals it.
func generate(alg jose.Alg, k EncryptionKeys, now time.Time) (Sealed, error) {
	private, err := jose.GenerateKey(alg)
	if err != nil {
		return Sealed{}, err
	}
	unnamed, err := jose.NewSigner(alg, "unnamed", private)
	if err != nil {
		return Sealed{}, err
	}
	kid := unnamed.Key().Thumbprint()
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return Sealed{}, err
	}
	sealed, err := k.seal(kid, alg, der)
	return Sealed{KID: kid, Alg: alg, Private: sealed, CreatedAt: now}, err
}

func open(stored []Sealed, k EncryptionKeys) (*Set, error) {
	set := &Set{signers: map[jose.Alg]*jose.Signer{}, public: map[string]*jose.Key{}}
	published := struct {
		Keys []*jose.Key `json:"keys"`
	}{[]*jose.Key{}}
	for _, s := range stored {
		signer, err := s.open(k)
		if err != nil {
			return nil, fmt.Errorf("signing key %s: %w", s.KID, err)
		}
		if set.signers[s.Alg] == nil {
			set.signers[s.Alg] = signer
		}
		set.public[s.KID] = signer.Key()
		published.Keys = append(published.Keys, signer.Key())
	}
	var err error
	set.jwks, err = json.Marshal(published)
	return set, err
}

func (s Sealed) open(k EncryptionKeys) (*jose.Signer, error) {
	der, err := k.open(s.KID, s.Alg, s.Private)
	if err != nil {
		return nil, err
	}
	private, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, err
	}
	signer, ok := private.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("a %T cannot sign", private)
	}
	return jose.NewSigner(s.Alg, s.KID, signer)
}

// Sign makes a compact JWS with the newest key of the algorithm.
func (s *Set) Sign(alg jose.Alg, typ string, claims any) (string, error) {
	signer := s.signers[alg]
	if signer == nil {
		return "", fmt.Errorf("there is no signing key for %s", alg)
	}
	return signer.Sign(typ, claims)
}

// Key is the public key that is published under kid, or nil.
func (s *Set) Key(kid string) *jose.Key { return s.public[kid] }

// JWKS is the document of the jwks_uri: public members only (RFC 7517 §5).
func (s *Set) JWKS() []byte { return s.jwks }
