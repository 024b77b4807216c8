package issuer

import (
	"encoding/json"
	"slices"
	"time"

	"authserver/internal/client"
	"authserver/internal/jose"
	"authserver/internal/oauth"
	"authserver/internal/replay"
)

// The ceilings of a record. 15 minutes are what the guide of seed 002 gives to both.
const (
	MaxLifetime      = 15 * time.Minute
	MaxTokenLifetime = 15 * time.Minute
)

// Issuer is a trusted issuer as the operator recorded it.
type Issuer struct {
	Name      string // its iss
	Version   int64  // another one after every change, and never given twice
	AddedAt   time.Time
	UpdatedAt time.Time

	// Its public keys stand in JWKS, or else behind JWKSURI.
	JWKS       json.RawMessage
	JWKSURI    string
	LastKeySet *client.FetchedKeySet // the last good set from JWKSURI, or nil

	// What its assertions must be like.
	Algs        []jose.Alg
	Audiences   []string      // that aud may name; none: this server's issuer and token endpoints
	MaxLifetime time.Duration // how far ahead exp may lie
	Subjects    []string      // whom it may speak for; none: itself
	RequireJTI  bool

	// What they are good for. Clients may redeem them; where RequireClientAuthentication is false there is one, which gets the
	// tokens also when it does not authenticate.
	Clients                     []string
	Scopes                      oauth.Scope
	TokenLifetime               time.Duration
	RequireClientAuthentication bool
	RequireBinding              bool // to a key: false lets the client have Bearer tokens
}

// New is a record with nothing but the defaults: the client proves itself, its tokens are bound, and nobody but the issuer is
// spoken for.
func New(name string) Issuer {
	return Issuer{
		Name: name, Algs: []jose.Alg{jose.ES256}, MaxLifetime: MaxLifetime, TokenLifetime: MaxTokenLifetime,
		RequireClientAuthentication: true, RequireBinding: true,
	}
}

// KeySource is where the issuer's keys are.
func (i Issuer) KeySource() client.KeySource {
	return client.KeySource{Owner: client.OfIssuer, ID: i.Name, Version: i.Version, JWKS: i.JWKS, JWKSURI: i.JWKSURI,
		Last: i.LastKeySet}
}

// Voucher is the record, for what it vouches to be spent only while it stands.
func (i Issuer) Voucher() replay.Voucher { return replay.Voucher{Issuer: i.Name, Version: i.Version} }

// SpeaksFor are the subjects that the issuer may name.
func (i Issuer) SpeaksFor() []string {
	if len(i.Subjects) == 0 {
		return []string{i.Name}
	}
	return i.Subjects
}

// Serves tells whether a client may redeem the issuer's assertions.
func (i Issuer) Serves(clientID string) bool { return slices.Contains(i.Clients, clientID) }

// Opens tells whether the issuer's assertions give a scope: one of the record, and never one that is a person's to give, or for
// registration, even if that stands there.
func (i Issuer) Opens(scope string) bool { return i.Scopes.Has(scope) && Grantable(scope) }

// Alone is the client that gets the tokens of assertions that come without client authentication; ok is false where that
// is demanded.
func (i Issuer) Alone() (clientID string, ok bool) {
	if i.RequireClientAuthentication || len(i.Clients) != 1 {
		return "", false
	}
	return i.Clients[0], true
}
