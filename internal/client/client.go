package client

import (
	"time"

	"authserver/internal/oauth"
)

// Client is a registered client as the store keeps it.
type Client struct {
	ID       string
	Version  int64 // raised by every change; a Spend names it
	IssuedAt time.Time
	Metadata Metadata

	// RegistrationTokenHash is what is kept of the registration access token (RFC 7592 §3).
	RegistrationTokenHash []byte

	// Only the operator sets what follows, never a registration: see operator.go.

	// Registrar: it may register others.
	Registrar bool
	// Serves are the audiences whose tokens it may introspect.
	Serves []string
	// TokenLifetime of its access tokens, up to the bound for their kind; 0: the server's own.
	TokenLifetime time.Duration
	// AssertionAudience is what its assertions may name as aud; "" is IssuerOnly.
	AssertionAudience AudienceRule
	// Unbound: it may have Bearer tokens in its own name, without proof of possession.
	Unbound bool

	// LastKeySet is the last good set that was fetched from the client's jwks_uri, or nil.
	LastKeySet *FetchedKeySet
}

// FetchedKeySet is a JWK set as it came from a jwks_uri.
type FetchedKeySet struct {
	URI string
	Raw []byte
	At  time.Time // when the fetch began: what was changed since, it may not know of
}

// May tells whether the client is registered for a grant type.
func (c Client) May(grantType string) bool {
	for _, g := range c.Metadata.GrantTypes {
		if g == grantType {
			return true
		}
	}
	return false
}

// Scope is what the client may ask for.
func (c Client) Scope() oauth.Scope {
	s, _ := oauth.ParseScope(c.Metadata.Scope) // registered scopes were parsed when they were stored
	return s
}

// KeySource is where the client's keys are.
func (c Client) KeySource() KeySource {
	return KeySource{Owner: OfClient, ID: c.ID, Version: c.Version, JWKS: c.Metadata.JWKS, JWKSURI: c.Metadata.JWKSURI,
		Last: c.LastKeySet}
}

// The methods of client authentication: the first is always offered, the others where a client can show a certificate.
const (
	PrivateKeyJWT           = "private_key_jwt"             // OpenID Connect Core §9
	TLSClientAuth           = "tls_client_auth"             // RFC 8705 §2.1
	SelfSignedTLSClientAuth = "self_signed_tls_client_auth" // RFC 8705 §2.2
)
