package oauth

import "net/http"

// Code is an error code of an RFC, as it stands in the "error" member.
type Code string

// The codes that this server answers with, and where they are defined.
const (
	InvalidRequest              Code = "invalid_request"                   // RFC 6749 §5.2
	InvalidClient               Code = "invalid_client"                    // RFC 6749 §5.2
	UnauthorizedClient          Code = "unauthorized_client"               // RFC 6749 §5.2
	UnsupportedGrantType        Code = "unsupported_grant_type"            // RFC 6749 §5.2
	InvalidScope                Code = "invalid_scope"                     // RFC 6749 §5.2
	InvalidTarget               Code = "invalid_target"                    // RFC 8707 §2
	UnsupportedResponseType     Code = "unsupported_response_type"         // RFC 6749 §4.1.2.1
	InvalidAuthorizationDetails Code = "invalid_authorization_details"     // RFC 9396 §5
	InvalidRequestObject        Code = "invalid_request_object"            // RFC 9101 §7
	InvalidRequestURI           Code = "invalid_request_uri"               // OpenID Connect Core §3.1.2.6
	LoginRequired               Code = "login_required"                    // OpenID Connect Core §3.1.2.6
	ConsentRequired             Code = "consent_required"                  // OpenID Connect Core §3.1.2.6
	UnmetAuthentication         Code = "unmet_authentication_requirements" // OpenID Connect Unmet Authentication Requirements §2
	InvalidGrant                Code = "invalid_grant"                     // RFC 6749 §5.2
	InvalidDPoPProof            Code = "invalid_dpop_proof"                // RFC 9449 §5
	UseDPoPNonce                Code = "use_dpop_nonce"                    // RFC 9449 §8
	InvalidToken                Code = "invalid_token"                     // RFC 6750 §3.1
	InsufficientScope           Code = "insufficient_scope"                // RFC 6750 §3.1
	InvalidClientMetadata       Code = "invalid_client_metadata"           // RFC 7591 §3.2.2
	InvalidSoftwareStatement    Code = "invalid_software_statement"        // RFC 7591 §3.2.2
	UnapprovedSoftwareStatement Code = "unapproved_software_statement"     // RFC 7591 §3.2.2
	InvalidRedirectURI          Code = "invalid_redirect_uri"              // RFC 7591 §3.2.2
	AccessDenied                Code = "access_denied"                     // RFC 6749 §4.1.2.1
	TemporarilyUnavailable      Code = "temporarily_unavailable"           // RFC 6749 §4.1.2.1
	ServerError                 Code = "server_error"                      // RFC 6749 §4.1.2.1
)

// status is the HTTP status of a code where a reason names no other.
var status = map[Code]int{
	InvalidRequest:              http.StatusBadRequest,
	InvalidClient:               http.StatusUnauthorized,
	UnauthorizedClient:          http.StatusBadRequest,
	UnsupportedGrantType:        http.StatusBadRequest,
	InvalidScope:                http.StatusBadRequest,
	InvalidTarget:               http.StatusBadRequest,
	UnsupportedResponseType:     http.StatusBadRequest,
	InvalidAuthorizationDetails: http.StatusBadRequest,
	InvalidRequestObject:        http.StatusBadRequest,
	InvalidRequestURI:           http.StatusBadRequest,
	LoginRequired:               http.StatusBadRequest,
	ConsentRequired:             http.StatusBadRequest,
	UnmetAuthentication:         http.StatusBadRequest,
	InvalidGrant:                http.StatusBadRequest,
	InvalidDPoPProof:            http.StatusBadRequest,
	UseDPoPNonce:                http.StatusBadRequest,
	InvalidToken:                http.StatusUnauthorized,
	InsufficientScope:           http.StatusForbidden,
	InvalidClientMetadata:       http.StatusBadRequest,
	InvalidRedirectURI:          http.StatusBadRequest,
	InvalidSoftwareStatement:    http.StatusBadRequest,
	UnapprovedSoftwareStatement: http.StatusBadRequest,
	AccessDenied:                http.StatusForbidden,
	TemporarilyUnavailable:      http.StatusServiceUnavailable,
	ServerError:                 http.StatusInternalServerError,
}

// Reason is the stable name of one cause of refusal, finer than a Code.
type Reason string

// The reasons of refusal. What each means and how to mend it stands in the table of Reasons.
const (
	MethodNotAllowed    Reason = "method_not_allowed"
	NoSuchEndpoint      Reason = "no_such_endpoint"
	HeaderRepeated      Reason = "header_repeated"
	BodyTooLarge        Reason = "body_too_large"
	BodyUnreadable      Reason = "body_unreadable"
	ContentTypeRefused  Reason = "content_type_refused"
	BodyMalformed       Reason = "body_malformed"
	ParametersTooMany   Reason = "parameters_too_many"
	ParameterRepeated   Reason = "parameter_repeated"
	ParameterMissing    Reason = "parameter_missing"
	ParameterInQuery    Reason = "parameter_in_query"
	ClientAuthMissing   Reason = "client_authentication_missing"
	ClientAuthAmbiguous Reason = "client_authentication_ambiguous"
	ClientAuthMethod    Reason = "client_authentication_method"
	CertificateRefused  Reason = "certificate_refused"
	CertificateMissing  Reason = "certificate_missing"

	AssertionType      Reason = "assertion_type"
	AssertionMalformed Reason = "assertion_malformed"
	AssertionAlg       Reason = "assertion_alg"
	AssertionTyp       Reason = "assertion_typ"
	AssertionSubject   Reason = "assertion_subject"
	AssertionClientID  Reason = "assertion_client_id"
	AssertionAudience  Reason = "assertion_audience"
	AssertionLifetime  Reason = "assertion_lifetime"
	AssertionExpired   Reason = "assertion_expired"
	AssertionNotYet    Reason = "assertion_not_yet_valid"
	AssertionID        Reason = "assertion_jti"
	ClientNotProven    Reason = "client_not_proven"
	AssertionReplayed  Reason = "assertion_replayed"

	GrantTypeUnsupported   Reason = "grant_type_unsupported"
	GrantTypeNotRegistered Reason = "grant_type_not_registered"
	ScopeMalformed         Reason = "scope_malformed"
	ScopeNotRegistered     Reason = "scope_not_registered"
	ScopeEmpty             Reason = "scope_empty"
	ResourceRefused        Reason = "resource_refused"
	EncryptionKeyMissing   Reason = "encryption_key_missing"

	RequestURINested        Reason = "request_uri_nested"
	RequestObjectMissing    Reason = "request_object_missing"
	RequestObjectMalformed  Reason = "request_object_malformed"
	RequestObjectEncrypted  Reason = "request_object_encrypted"
	RequestObjectAlg        Reason = "request_object_alg"
	RequestObjectTyp        Reason = "request_object_typ"
	RequestObjectSignature  Reason = "request_object_signature"
	RequestObjectNested     Reason = "request_object_nested"
	RequestObjectClient     Reason = "request_object_client"
	RequestObjectAudience   Reason = "request_object_audience"
	RequestObjectLifetime   Reason = "request_object_lifetime"
	RequestObjectExpired    Reason = "request_object_expired"
	RequestObjectNotYet     Reason = "request_object_not_yet_valid"
	RequestObjectMember     Reason = "request_object_member"
	DetailsMalformed        Reason = "authorization_details_malformed"
	DetailsType             Reason = "authorization_details_type"
	DetailsMember           Reason = "authorization_details_member"
	DetailsContradict       Reason = "authorization_details_contradiction"
	DetailsNotRegistered    Reason = "authorization_details_not_registered"
	DetailsBeyondGrant      Reason = "authorization_details_beyond_grant"
	ClusterWithoutScope     Reason = "data_cluster_without_scope"
	ResponseTypeUnsupported Reason = "response_type_unsupported"
	ResponseModeUnsupported Reason = "response_mode_unsupported"
	ResponseModeRefused     Reason = "response_mode_not_registered"
	RedirectURIUnknown      Reason = "redirect_uri_unknown"
	ChallengeRefused        Reason = "code_challenge_refused"
	KeyThumbprint           Reason = "dpop_jkt"
	PromptRefused           Reason = "prompt_refused"
	MaxAgeRefused           Reason = "max_age_refused"
	ClaimsRefused           Reason = "claims_refused"
	ParameterTooLong        Reason = "parameter_too_long"
	HintRefused             Reason = "id_token_hint_refused"

	RequestURIUnknown     Reason = "request_uri_unknown"
	RequestURIExpired     Reason = "request_uri_expired"
	RequestAnswered       Reason = "request_answered"
	RequestCrowded        Reason = "request_opened_too_often"
	ClientChanged         Reason = "client_changed"
	InteractionUnknown    Reason = "interaction_unknown"
	InteractionExpired    Reason = "interaction_expired"
	FormRefused           Reason = "form_refused"
	FormField             Reason = "form_field"
	CrossSite             Reason = "cross_site"
	PersonChanged         Reason = "person_changed"
	PersonDisabled        Reason = "person_disabled"
	LoginRefused          Reason = "login_refused"
	UpstreamRefused       Reason = "upstream_refused"
	AccountsUnavailable   Reason = "accounts_unavailable"
	LoginNeeded           Reason = "login_required"
	ConsentNeeded         Reason = "consent_required"
	AuthenticationTooWeak Reason = "authentication_too_weak"
	PersonDenied          Reason = "person_denied"
	NothingToShare        Reason = "nothing_to_share"
	LogoutURIUnknown      Reason = "post_logout_redirect_uri_unknown"

	CodeUnknown         Reason = "code_unknown"
	CodeExpired         Reason = "code_expired"
	CodeReplayed        Reason = "code_replayed"
	CodeVerifier        Reason = "code_verifier"
	CodeRedirectURI     Reason = "code_redirect_uri"
	CodeKey             Reason = "code_key"
	RefreshTokenUnknown Reason = "refresh_token_unknown"
	GrantEnded          Reason = "grant_ended"
	GrantScope          Reason = "grant_scope"

	AssertionGrantMalformed Reason = "assertion_grant_malformed"
	AssertionGrantAlg       Reason = "assertion_grant_alg"
	AssertionGrantTyp       Reason = "assertion_grant_typ"
	AssertionGrantKid       Reason = "assertion_grant_kid"
	AssertionGrantParties   Reason = "assertion_grant_iss_sub"
	AssertionGrantLifetime  Reason = "assertion_grant_lifetime"
	AssertionGrantExpired   Reason = "assertion_grant_expired"
	AssertionGrantNotYet    Reason = "assertion_grant_not_yet_valid"
	AssertionGrantID        Reason = "assertion_grant_jti"
	AssertionGrantNotProven Reason = "assertion_grant_not_proven"
	AssertionGrantAudience  Reason = "assertion_grant_audience"
	AssertionGrantSubject   Reason = "assertion_grant_subject"
	AssertionGrantClient    Reason = "assertion_grant_client"
	AssertionGrantReplayed  Reason = "assertion_grant_replayed"

	ProofMissing   Reason = "proof_missing"
	ProofRepeated  Reason = "proof_repeated"
	ProofMalformed Reason = "proof_malformed"
	ProofAlg       Reason = "proof_alg"
	ProofTyp       Reason = "proof_typ"
	ProofKey       Reason = "proof_key"
	ProofSignature Reason = "proof_signature"
	ProofClaims    Reason = "proof_claims"
	ProofMethod    Reason = "proof_htm"
	ProofURI       Reason = "proof_htu"
	ProofStale     Reason = "proof_iat"
	ProofExpired   Reason = "proof_expired"
	ProofTokenHash Reason = "proof_ath"
	ProofReplayed  Reason = "proof_replayed"
	NonceMissing   Reason = "nonce_missing"
	NonceUnknown   Reason = "nonce_unknown"
	NonceMalformed Reason = "nonce_malformed"

	TokenMissing      Reason = "token_missing"
	TokenMalformed    Reason = "token_malformed"
	TokenExpired      Reason = "token_expired"
	TokenAudience     Reason = "token_audience"
	TokenRevoked      Reason = "token_revoked"
	TokenUnbound      Reason = "token_unbound"
	TokenScheme       Reason = "token_scheme"
	TokenProofMissing Reason = "token_proof_missing"
	TokenKey          Reason = "token_key"
	ScopeInsufficient Reason = "scope_insufficient"

	RegistrationClosed   Reason = "registration_closed"
	RegistrationToken    Reason = "registration_token"
	NotARegistrar        Reason = "not_a_registrar"
	MetadataMalformed    Reason = "metadata_malformed"
	MetadataMember       Reason = "metadata_member"
	MetadataContradicts  Reason = "metadata_contradiction"
	MetadataServerMember Reason = "metadata_server_member"
	MetadataScope        Reason = "metadata_scope"
	MetadataKeys         Reason = "metadata_keys"
	SubjectTaken         Reason = "certificate_subject_taken"
	RedirectURIRefused   Reason = "redirect_uri_refused"
	StatementMalformed   Reason = "software_statement_malformed"
	StatementNotTrusted  Reason = "software_statement_not_trusted"

	ConsentUnknown    Reason = "consent_unknown"
	ConsentEnded      Reason = "consent_ended"
	RevocationRefused Reason = "revocation_refused"

	RateLimited Reason = "rate_limited"
	Unavailable Reason = "temporarily_unavailable"
	Internal    Reason = "server_error"
)
