package server

import (
	"encoding/json"
	"net/http"

	"authserver/internal/client"
	"authserver/internal/dcr"
	"authserver/internal/fdx"
	"authserver/internal/idtoken"
	"authserver/internal/jose"
	"authserver/internal/page"
	"authserver/internal/par"
	"authserver/internal/person"
	"authserver/internal/token"
)

// document is the authorization server's metadata (RFC 8414 §2). It lists only what works; what has no value is left out.
type document struct {
	Issuer                        string   `json:"issuer"`
	AuthorizationEndpoint         string   `json:"authorization_endpoint,omitempty"`
	EndSessionEndpoint            string   `json:"end_session_endpoint,omitempty"` // RP-Initiated Logout §2.1
	PushEndpoint                  string   `json:"pushed_authorization_request_endpoint,omitempty"`
	RequirePushedRequests         bool     `json:"require_pushed_authorization_requests,omitempty"`
	TokenEndpoint                 string   `json:"token_endpoint"`
	RegistrationEndpoint          string   `json:"registration_endpoint,omitempty"`
	IntrospectionEndpoint         string   `json:"introspection_endpoint"`
	RevocationEndpoint            string   `json:"revocation_endpoint"`
	JWKSURI                       string   `json:"jwks_uri"`
	ScopesSupported               []string `json:"scopes_supported"`
	ResponseTypesSupported        []string `json:"response_types_supported,omitempty"` // none: left out (RFC 8414 §3.2)
	ResponseModesSupported        []string `json:"response_modes_supported,omitempty"`
	AuthorizationSigningAlgs      []string `json:"authorization_signing_alg_values_supported,omitempty"` // JARM §4, as the two below
	AuthorizationEncryptionAlgs   []string `json:"authorization_encryption_alg_values_supported,omitempty"`
	AuthorizationEncryptionEncs   []string `json:"authorization_encryption_enc_values_supported,omitempty"`
	GrantTypesSupported           []string `json:"grant_types_supported"`
	CodeChallengeMethodsSupported []string `json:"code_challenge_methods_supported,omitempty"`
	IssParameterSupported         bool     `json:"authorization_response_iss_parameter_supported,omitempty"` // RFC 9207 §3
	RequestParameterSupported     *bool    `json:"request_parameter_supported,omitempty"`
	RequestURIParameterSupported  *bool    `json:"request_uri_parameter_supported,omitempty"` // of a client's own; pushed ones are another thing
	RequestObjectSigningAlgs      []string `json:"request_object_signing_alg_values_supported,omitempty"`
	RequireSignedRequestObject    *bool    `json:"require_signed_request_object,omitempty"` // RFC 9101 §10.5; a client may register it
	ACRValuesSupported            []string `json:"acr_values_supported,omitempty"`
	DetailsTypesSupported         []string `json:"authorization_details_types_supported,omitempty"` // RFC 9396 §10
	PromptValuesSupported         []string `json:"prompt_values_supported,omitempty"`
	UILocalesSupported            []string `json:"ui_locales_supported,omitempty"`
	TokenAuthMethods              []string `json:"token_endpoint_auth_methods_supported"`
	TokenAuthSigningAlgs          []string `json:"token_endpoint_auth_signing_alg_values_supported"`
	IntrospectionAuthMethods      []string `json:"introspection_endpoint_auth_methods_supported"`
	IntrospectionAuthSigningAlgs  []string `json:"introspection_endpoint_auth_signing_alg_values_supported"`
	RevocationAuthMethods         []string `json:"revocation_endpoint_auth_methods_supported"`
	RevocationAuthSigningAlgs     []string `json:"revocation_endpoint_auth_signing_alg_values_supported"`
	IntrospectionSigningAlgs      []string `json:"introspection_signing_alg_values_supported"`    // RFC 9701 §7
	IntrospectionEncryptionAlgs   []string `json:"introspection_encryption_alg_values_supported"` // RFC 9701 §7
	IntrospectionEncryptionEncs   []string `json:"introspection_encryption_enc_values_supported"` // RFC 9701 §7
	DPoPSigningAlgValuesSupported []string `json:"dpop_signing_alg_values_supported"`
	CertificateBoundTokens        bool     `json:"tls_client_certificate_bound_access_tokens,omitempty"` // RFC 8705 §3.3
	MutualTLSAliases              aliases  `json:"mtls_endpoint_aliases,omitempty"`                      // RFC 8705 §5
	*identity                              // nil: nobody can sign in
}

// identity is what there is about whoever signed in (OpenID Connect Discovery §3).
type identity struct {
	UserinfoEndpoint         string   `json:"userinfo_endpoint"`
	SubjectTypesSupported    []string `json:"subject_types_supported"`
	IDTokenSigningAlgs       []string `json:"id_token_signing_alg_values_supported"`
	IDTokenEncryptionAlgs    []string `json:"id_token_encryption_alg_values_supported"`
	IDTokenEncryptionEncs    []string `json:"id_token_encryption_enc_values_supported"`
	UserinfoSigningAlgs      []string `json:"userinfo_signing_alg_values_supported"`
	UserinfoEncryptionAlgs   []string `json:"userinfo_encryption_alg_values_supported"`
	UserinfoEncryptionEncs   []string `json:"userinfo_encryption_enc_values_supported"`
	ClaimsSupported          []string `json:"claims_supported"`
	ClaimsParameterSupported bool     `json:"claims_parameter_supported"`
}

// describe makes the document from what this server has.
func (s *Server) describe() document {
	methods, algs := append([]string{client.PrivateKeyJWT}, s.MutualTLS.Methods...), jose.Algs()
	d := document{
		Issuer:                        s.Issuer,
		TokenEndpoint:                 s.Issuer + "/oauth2/token",
		IntrospectionEndpoint:         s.Issuer + "/oauth2/introspect",
		RevocationEndpoint:            s.Issuer + "/oauth2/revoke",
		JWKSURI:                       s.Issuer + "/oauth2/jwks",
		ScopesSupported:               s.Scopes,
		GrantTypesSupported:           []string{"client_credentials"},
		TokenAuthMethods:              methods,
		TokenAuthSigningAlgs:          algs,
		IntrospectionAuthMethods:      methods,
		IntrospectionAuthSigningAlgs:  algs,
		RevocationAuthMethods:         methods,
		RevocationAuthSigningAlgs:     algs,
		IntrospectionSigningAlgs:      algs,
		IntrospectionEncryptionAlgs:   jose.EncryptionAlgs(),
		IntrospectionEncryptionEncs:   jose.EncryptionEncs(),
		DPoPSigningAlgValuesSupported: algs,
	}
	if s.Authorization != nil {
		s.describePeoplesWay(&d)
	}
	if s.Token.Assertions.Offered() {
		d.GrantTypesSupported = append(d.GrantTypesSupported, token.JWTBearer)
	}
	if s.Registration.Gate != dcr.Closed {
		d.RegistrationEndpoint = s.Issuer + "/fdx/v6/register"
	}
	s.MutualTLS.describe(&d)
	return d
}

// describePeoplesWay adds what there is where people can sign in.
func (s *Server) describePeoplesWay(d *document) {
	yes, no := true, false
	d.AuthorizationEndpoint = s.Issuer + "/oauth2/authorize"
	d.EndSessionEndpoint = s.Issuer + "/oauth2/logout"
	d.PushEndpoint = s.Issuer + "/oauth2/par"
	d.RequirePushedRequests, d.IssParameterSupported = true, true
	d.ResponseTypesSupported, d.ResponseModesSupported = []string{"code"}, par.ResponseModes()
	d.AuthorizationSigningAlgs, d.AuthorizationEncryptionAlgs = jose.Algs(), jose.EncryptionAlgs()
	d.AuthorizationEncryptionEncs = jose.EncryptionEncs()
	d.GrantTypesSupported = token.GrantTypes()
	d.CodeChallengeMethodsSupported = []string{"S256"}
	d.RequestParameterSupported, d.RequestURIParameterSupported = &yes, &no
	d.RequestObjectSigningAlgs, d.RequireSignedRequestObject = jose.Algs(), &no
	d.DetailsTypesSupported = fdx.Types()
	d.PromptValuesSupported = []string{"none", "login", "consent", "select_account"}
	d.UILocalesSupported = page.Languages()
	if s.Authorization.Passwords != nil {
		d.ACRValuesSupported = []string{person.ACRPassword}
	}
	d.identity = &identity{
		UserinfoEndpoint:         s.Issuer + "/oauth2/userinfo",
		SubjectTypesSupported:    []string{"public"},
		IDTokenSigningAlgs:       jose.Algs(),
		IDTokenEncryptionAlgs:    jose.EncryptionAlgs(),
		IDTokenEncryptionEncs:    jose.EncryptionEncs(),
		UserinfoSigningAlgs:      jose.Algs(),
		UserinfoEncryptionAlgs:   jose.EncryptionAlgs(),
		UserinfoEncryptionEncs:   jose.EncryptionEncs(),
		ClaimsSupported:          idtoken.Names(),
		ClaimsParameterSupported: true,
	}
}

// metadata answers both metadata documents alike (RFC 8414 §3, OpenID Connect Discovery §4).
func (s *Server) metadata(w http.ResponseWriter, _ *http.Request) error {
	body, err := json.Marshal(s.describe())
	if err != nil {
		return err
	}
	return writePublic(w, "application/json", body)
}
