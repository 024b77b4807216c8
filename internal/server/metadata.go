package server

import (
	"encoding/json"
	"net/http"

	"authserver/internal/client"
	"authserver/internal/dcr"
	"authserver/internal/jose"
	"authserver/internal/token"
)

// document is the authorization server's metadata (RFC 8414 §2). It lists only what works; what has no value is left out.
type document struct {
	Issuer                        string   `json:"issuer"`
	TokenEndpoint                 string   `json:"token_endpoint"`
	RegistrationEndpoint          string   `json:"registration_endpoint,omitempty"`
	IntrospectionEndpoint         string   `json:"introspection_endpoint"`
	RevocationEndpoint            string   `json:"revocation_endpoint"`
	JWKSURI                       string   `json:"jwks_uri"`
	ScopesSupported               []string `json:"scopes_supported"`
	GrantTypesSupported           []string `json:"grant_types_supported"`
	TokenAuthMethods              []string `json:"token_endpoint_auth_methods_supported"`
	TokenAuthSigningAlgs          []string `json:"token_endpoint_auth_signing_alg_values_supported"`
	IntrospectionAuthMethods      []string `json:"introspection_endpoint_auth_methods_supported"`
	IntrospectionAuthSigningAlgs  []string `json:"introspection_endpoint_auth_signing_alg_values_supported"`
	RevocationAuthMethods         []string `json:"revocation_endpoint_auth_methods_supported"`
	RevocationAuthSigningAlgs     []string `json:"revocation_endpoint_auth_signing_alg_values_supported"`
	IntrospectionSigningAlgs      []string `json:"introspection_signing_alg_values_supported"`
	DPoPSigningAlgValuesSupported []string `json:"dpop_signing_alg_values_supported"`
}

// describe makes the document from what this server has.
func (s *Server) describe() document {
	methods, algs := []string{client.PrivateKeyJWT}, jose.Algs()
	d := document{
		Issuer:                        s.Issuer,
		TokenEndpoint:                 s.Issuer + "/oauth2/token",
		IntrospectionEndpoint:         s.Issuer + "/oauth2/introspect",
		RevocationEndpoint:            s.Issuer + "/oauth2/revoke",
		JWKSURI:                       s.Issuer + "/oauth2/jwks",
		ScopesSupported:               s.Scopes,
		GrantTypesSupported:           token.GrantTypes(),
		TokenAuthMethods:              methods,
		TokenAuthSigningAlgs:          algs,
		IntrospectionAuthMethods:      methods,
		IntrospectionAuthSigningAlgs:  algs,
		RevocationAuthMethods:         methods,
		RevocationAuthSigningAlgs:     algs,
		IntrospectionSigningAlgs:      algs,
		DPoPSigningAlgValuesSupported: algs,
	}
	if s.Registration.Gate != dcr.Closed {
		d.RegistrationEndpoint = s.Registration.URL
	}
	return d
}

// metadata answers both metadata documents alike (RFC 8414 §3, OpenID Connect Discovery §4).
func (s *Server) metadata(w http.ResponseWriter, _ *http.Request) error {
	body, err := json.Marshal(s.describe())
	if err != nil {
		return err
	}
	return writePublic(w, "application/json", body)
}
