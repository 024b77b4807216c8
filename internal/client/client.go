package client

import (
	"encoding/json"
	"time"

	"authserver/internal/jose"
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

	// Registrar and Serves are the operator's to set, never the client's: whether it may register others, and the
	// audiences whose tokens it may introspect.
	Registrar bool
	Serves    []string

	// LastKeySet is the last good set that was fetched from the client's jwks_uri, or nil.
	LastKeySet *FetchedKeySet
}

// FetchedKeySet is a JWK set as it came from a jwks_uri.
type FetchedKeySet struct {
	URI string
	Raw []byte
	At  time.Time
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

// inlineKeys are the keys of the registered jwks.
func (c Client) inlineKeys() (jose.KeySet, error) {
	return jose.ParseKeySet(c.Metadata.JWKS, MaxKeys)
}

// Metadata is a client's registered metadata: RFC 7591 §2, OpenID Connect Registration §2, FDX Recipient Registration
// 5.2 and the RFCs that add to them. It is stored and echoed as it stands here; nothing else of a registration is kept.
type Metadata struct {
	RedirectURIs    []string `json:"redirect_uris,omitempty"`
	GrantTypes      []string `json:"grant_types,omitempty"`
	ResponseTypes   []string `json:"response_types"`
	Scope           string   `json:"scope,omitempty"`
	ClientName      string   `json:"client_name,omitempty"`
	Description     string   `json:"description,omitempty"`
	ClientURI       string   `json:"client_uri,omitempty"`
	LogoURI         string   `json:"logo_uri,omitempty"`
	TOSURI          string   `json:"tos_uri,omitempty"`
	PolicyURI       string   `json:"policy_uri,omitempty"`
	Contacts        []string `json:"contacts,omitempty"`
	SoftwareID      string   `json:"software_id,omitempty"`
	SoftwareVersion string   `json:"software_version,omitempty"`
	ApplicationType string   `json:"application_type,omitempty"`

	JWKS    json.RawMessage `json:"jwks,omitempty"`
	JWKSURI string          `json:"jwks_uri,omitempty"`

	TokenEndpointAuthMethod     string `json:"token_endpoint_auth_method"`
	TokenEndpointAuthSigningAlg string `json:"token_endpoint_auth_signing_alg,omitempty"`
	RequestObjectSigningAlg     string `json:"request_object_signing_alg,omitempty"`
	IDTokenSignedResponseAlg    string `json:"id_token_signed_response_alg,omitempty"`
	IDTokenEncryptedResponseAlg string `json:"id_token_encrypted_response_alg,omitempty"`
	IDTokenEncryptedResponseEnc string `json:"id_token_encrypted_response_enc,omitempty"`

	IntrospectionSignedResponseAlg string `json:"introspection_signed_response_alg,omitempty"`

	DPoPBoundAccessTokens bool `json:"dpop_bound_access_tokens,omitempty"`

	AuthorizationDetailsTypes []string            `json:"authorization_details_types,omitempty"`
	DurationType              []string            `json:"duration_type,omitempty"`
	DurationPeriod            int                 `json:"duration_period,omitempty"` // days
	LookbackPeriod            int                 `json:"lookback_period,omitempty"` // days
	RegistryReferences        []RegistryReference `json:"registry_references,omitempty"`
	Intermediaries            []Intermediary      `json:"intermediaries,omitempty"`
}

// RegistryReference is where a legal entity is registered (FDX).
type RegistryReference struct {
	RegisteredEntityName string `json:"registered_entity_name"`
	RegisteredEntityID   string `json:"registered_entity_id"`
	Registry             string `json:"registry"`
}

// Intermediary is a party between the recipient and the provider, such as a data access platform (FDX).
type Intermediary struct {
	Name               string              `json:"name"`
	Description        string              `json:"description,omitempty"`
	URI                string              `json:"uri,omitempty"`
	LogoURI            string              `json:"logo_uri,omitempty"`
	Contacts           []string            `json:"contacts,omitempty"`
	RegistryReferences []RegistryReference `json:"registry_references,omitempty"`
}

// PrivateKeyJWT is the client authentication method that this server offers (OpenID Connect Core §9).
const PrivateKeyJWT = "private_key_jwt"
