package client

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"

	"authserver/internal/certificate"
)

// Metadata is a client's registered metadata: RFC 7591 §2, OpenID Connect Registration §2, FDX Recipient Registration
// 5.2 and the RFCs that add to them. It is stored and echoed as it stands here; nothing else of a registration is kept.
type Metadata struct {
	// RFC 7591 and OpenID Connect Registration: who the client is.
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

	// Localized are the members of the first group in other languages, under names like client_name#fr (RFC 7591 §2.2).
	Localized map[string]string `json:"-"`

	// What it may do, and where a browser may be sent.
	RedirectURIs           []string `json:"redirect_uris,omitempty"`
	PostLogoutRedirectURIs []string `json:"post_logout_redirect_uris,omitempty"`
	InitiateLoginURI       string   `json:"initiate_login_uri,omitempty"`
	BackchannelLogoutURI   string   `json:"backchannel_logout_uri,omitempty"`
	BackchannelLogoutSID   bool     `json:"backchannel_logout_session_required,omitempty"`
	GrantTypes             []string `json:"grant_types,omitempty"`
	ResponseTypes          []string `json:"response_types"`
	ResponseModes          []string `json:"response_modes,omitempty"`
	Scope                  string   `json:"scope,omitempty"`

	// How it proves itself.
	JWKS                        json.RawMessage `json:"jwks,omitempty"`
	JWKSURI                     string          `json:"jwks_uri,omitempty"`
	TokenEndpointAuthMethod     string          `json:"token_endpoint_auth_method"`
	TokenEndpointAuthSigningAlg string          `json:"token_endpoint_auth_signing_alg,omitempty"`
	DPoPBoundAccessTokens       bool            `json:"dpop_bound_access_tokens,omitempty"`
	CertificateBoundTokens      bool            `json:"tls_client_certificate_bound_access_tokens,omitempty"`
	UseMTLSEndpointAliases      bool            `json:"use_mtls_endpoint_aliases,omitempty"`

	// Which certificate is its own, for tls_client_auth: exactly one of them (RFC 8705 §2.1.2).
	TLSClientAuthSubjectDN string `json:"tls_client_auth_subject_dn,omitempty"`
	TLSClientAuthSANDNS    string `json:"tls_client_auth_san_dns,omitempty"`
	TLSClientAuthSANURI    string `json:"tls_client_auth_san_uri,omitempty"`
	TLSClientAuthSANIP     string `json:"tls_client_auth_san_ip,omitempty"`
	TLSClientAuthSANEmail  string `json:"tls_client_auth_san_email,omitempty"`

	// Its authorization requests (RFC 9101, RFC 9126) and what it wants of the person's authentication.
	RequestObjectSigningAlg    string   `json:"request_object_signing_alg,omitempty"`
	RequestObjectEncryptionAlg string   `json:"request_object_encryption_alg,omitempty"`
	RequestObjectEncryptionEnc string   `json:"request_object_encryption_enc,omitempty"`
	RequireSignedRequestObject bool     `json:"require_signed_request_object,omitempty"`
	RequirePushedRequests      bool     `json:"require_pushed_authorization_requests,omitempty"`
	DefaultMaxAge              *int     `json:"default_max_age,omitempty"` // seconds
	RequireAuthTime            bool     `json:"require_auth_time,omitempty"`
	DefaultACRValues           []string `json:"default_acr_values,omitempty"`
	SubjectType                string   `json:"subject_type,omitempty"`
	SectorIdentifierURI        string   `json:"sector_identifier_uri,omitempty"`

	// How what it receives is signed and encrypted.
	IDTokenSignedResponseAlg          string `json:"id_token_signed_response_alg,omitempty"`
	IDTokenEncryptedResponseAlg       string `json:"id_token_encrypted_response_alg,omitempty"`
	IDTokenEncryptedResponseEnc       string `json:"id_token_encrypted_response_enc,omitempty"`
	UserinfoSignedResponseAlg         string `json:"userinfo_signed_response_alg,omitempty"`
	UserinfoEncryptedResponseAlg      string `json:"userinfo_encrypted_response_alg,omitempty"`
	UserinfoEncryptedResponseEnc      string `json:"userinfo_encrypted_response_enc,omitempty"`
	AuthorizationSignedResponseAlg    string `json:"authorization_signed_response_alg,omitempty"`
	AuthorizationEncryptedResponseAlg string `json:"authorization_encrypted_response_alg,omitempty"`
	AuthorizationEncryptedResponseEnc string `json:"authorization_encrypted_response_enc,omitempty"`
	IntrospectionSignedResponseAlg    string `json:"introspection_signed_response_alg,omitempty"`
	IntrospectionEncryptedResponseAlg string `json:"introspection_encrypted_response_alg,omitempty"`
	IntrospectionEncryptedResponseEnc string `json:"introspection_encrypted_response_enc,omitempty"`

	// FDX.
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

// RegisteredSubjects are what the client registered of its certificate, at most one value of a kind.
func (m Metadata) RegisteredSubjects() map[certificate.Kind]string {
	values := map[certificate.Kind]string{
		certificate.SubjectDN: m.TLSClientAuthSubjectDN, certificate.SANDNS: m.TLSClientAuthSANDNS,
		certificate.SANURI: m.TLSClientAuthSANURI, certificate.SANIP: m.TLSClientAuthSANIP,
		certificate.SANEmail: m.TLSClientAuthSANEmail,
	}
	maps.DeleteFunc(values, func(_ certificate.Kind, value string) bool { return value == "" })
	return values
}

// CertificateSubject is the one subject that the client registered; ok is false when it has none, and never true for a
// client of another method than tls_client_auth.
func (m Metadata) CertificateSubject() (s certificate.Subject, ok bool) {
	if m.TokenEndpointAuthMethod != TLSClientAuth {
		return s, false
	}
	for kind, value := range m.RegisteredSubjects() { // registration took exactly one, which can be read
		s, err := certificate.ParseSubject(kind, value)
		return s, err == nil
	}
	return s, false
}

// bare is Metadata without its methods, so that they can use encoding/json's own way.
type bare Metadata

// MarshalJSON writes the members in other languages beside the others.
func (m Metadata) MarshalJSON() ([]byte, error) {
	fixed, err := json.Marshal(bare(m))
	if err != nil || len(m.Localized) == 0 {
		return fixed, err
	}
	localized, err := json.Marshal(m.Localized)
	if err != nil {
		return nil, err
	}
	return append(append(fixed[:len(fixed)-1], ','), localized[1:]...), nil
}

// JoinedTo is one JSON object: the members of own, and then the metadata's.
func (m Metadata) JoinedTo(own any) (json.RawMessage, error) {
	first, err := json.Marshal(own)
	if err != nil {
		return nil, err
	}
	metadata, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	return slices.Concat(first[:len(first)-1], []byte(","), metadata[1:]), nil
}

// MemberNames are the names of all members, in the order of their meaning; those in other languages are left out.
func MemberNames() []string {
	var names []string
	for _, field := range reflect.VisibleFields(reflect.TypeFor[Metadata]()) {
		if name, _, _ := strings.Cut(field.Tag.Get("json"), ","); name != "-" {
			names = append(names, name)
		}
	}
	return names
}

// UnmarshalJSON finds the members in other languages again.
func (m *Metadata) UnmarshalJSON(data []byte) error {
	if err := json.Unmarshal(data, (*bare)(m)); err != nil {
		return err
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(data, &all); err != nil {
		return err
	}
	maps.DeleteFunc(all, func(name string, _ json.RawMessage) bool { return !strings.Contains(name, "#") })
	for name, raw := range all {
		var value string
		if err := json.Unmarshal(raw, &value); err != nil {
			return err
		}
		if m.Localized == nil {
			m.Localized = map[string]string{}
		}
		m.Localized[name] = value
	}
	return nil
}
