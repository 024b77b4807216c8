package keys

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"authserver/internal/jose"
)

// Sealed is a signing key as the store keeps it.
type Sealed struct {
	KID         string
	Alg         jose.Alg
	Private     []byte // PKCS #8, sealed
	CreatedAt   time.Time
	ActivatesAt time.Time
	RetiredAt   *time.Time // by the operator; nil: never
}

// Store keeps the sealed keys.
type Store interface {
	// SigningKeys are all keys, the latest to sign first.
	SigningKeys(ctx context.Context) ([]Sealed, error)
	// ChangeSigningKeys lets one caller at a time, of all replicas, see all keys and change them, in one transaction. An
	// error of change is returned, and then nothing is changed.
	ChangeSigningKeys(ctx context.Context, change func([]Sealed) (Changes, error)) error
}

// Changes are what a caller of ChangeSigningKeys wants done.
type Changes struct {
	Put    []Sealed // new keys, and those that are there with another sealing or other times
	Delete []string // kids
}

// Ring is the signing keys as one replica knows them. It is safe for concurrent use.
type Ring struct {
	store   Store
	sealing EncryptionKeys
	now     func() time.Time
	algs    []jose.Alg

	refreshing sync.Mutex // what was read later is also kept later
	opened     atomic.Pointer[opened]
}

// opened is the keys as they were read last.
type opened struct {
	rows    []Sealed // without their private keys
	signers map[string]*jose.Signer
	public  map[string]*jose.Key // the published
	jwks    []byte
	at      time.Time
}

// String and GoString keep the keys out of what is printed by accident: fmt follows pointers for a verb that does not fit.
func (r *Ring) String() string   { return "[signing keys]" }
func (r *Ring) GoString() string { return "[signing keys]" }

// Open reads and opens the keys, and makes those of the wanted algorithms that are missing. The error is ErrSealed when a
// key-encryption key is.
func Open(ctx context.Context, s Store, k EncryptionKeys, now func() time.Time, algs ...jose.Alg) (*Ring, error) {
	r := &Ring{store: s, sealing: k, now: now, algs: algs}
	if _, err := r.change(ctx, missing(algs)); err != nil {
		return nil, err
	}
	return r, nil
}

// Refresh reads the keys again, to be called every RefreshEvery. After an error what was read before stays in use.
func (r *Ring) Refresh(ctx context.Context) error {
	r.refreshing.Lock()
	defer r.refreshing.Unlock()
	stored, err := r.store.SigningKeys(ctx)
	if err != nil {
		return err
	}
	o, err := open(stored, r.sealing, r.now())
	if err != nil {
		return err
	}
	r.opened.Store(o)
	return nil
}

func open(stored []Sealed, k EncryptionKeys, now time.Time) (*opened, error) {
	o := &opened{signers: map[string]*jose.Signer{}, public: map[string]*jose.Key{}, at: now}
	published := struct {
		Keys []*jose.Key `json:"keys"`
	}{[]*jose.Key{}}
	for i, status := range Statuses(stored, now) {
		row := stored[i]
		if status.State != Retired { // whatever the time: the clock of who retired it may be ahead
			signer, err := row.open(k)
			if err != nil {
				return nil, fmt.Errorf("signing key %s: %w", row.KID, err)
			}
			o.signers[row.KID] = signer
			if status.published(now) {
				o.public[row.KID] = signer.Key()
				published.Keys = append(published.Keys, signer.Key())
			}
		}
		row.Private = nil
		o.rows = append(o.rows, row)
	}
	var err error
	o.jwks, err = json.Marshal(published)
	return o, err
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

// Sign makes a compact JWS with the key of the algorithm that signs at this moment.
func (r *Ring) Sign(alg jose.Alg, typ string, claims any) (string, error) {
	o := r.opened.Load()
	line := succession(o.rows, alg)
	if len(line) == 0 {
		return "", fmt.Errorf("there is no signing key for %s", alg)
	}
	return o.signers[line[signing(line, r.now())].KID].Sign(typ, claims)
}

// Key is the public key that is published under kid, or nil.
func (r *Ring) Key(kid string) *jose.Key { return r.opened.Load().public[kid] }

// JWKS is the document of the jwks_uri: public members only (RFC 7517 §5). A key whose time is over leaves it with the
// next Refresh.
func (r *Ring) JWKS() []byte { return r.opened.Load().jwks }

// Fresh is an error when the keys were last read so long ago that another replica may sign with one that is unknown here.
func (r *Ring) Fresh() error {
	if age := r.now().Sub(r.opened.Load().at); age >= PublishBefore {
		return fmt.Errorf("the signing keys were last read %s ago", age.Round(time.Second))
	}
	return nil
}

// Keys tells what each key is at this moment, as of the last Refresh; for metrics and people.
func (r *Ring) Keys() []Status { return Statuses(r.opened.Load().rows, r.now()) }
