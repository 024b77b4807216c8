package dcr

import (
	"slices"
	"strings"

	"authserver/internal/certificate"
	"authserver/internal/client"
	"authserver/internal/fdx"
	"authserver/internal/jose"
	"authserver/internal/oauth"
)

// Rules say which metadata this deployment takes.
type Rules struct {
	Scopes             []string // all that this server knows
	Vetting            client.Vetting
	CertificateMethods []string // of client authentication that are offered; empty: no client can show a certificate
}

// The values that are registered today. Metadata lists only what exists; registration already takes what later
// endpoints will use, since the bodies of real clients ask for it (seed 001).
var (
	grantTypes    = []string{"authorization_code", "refresh_token", "client_credentials", jwtBearer}
	encryptAlgs   = jose.EncryptionAlgs()
	encryptEncs   = jose.EncryptionEncs()
	responseModes = []string{"query", "form_post", "jwt", "query.jwt", "form_post.jwt"}
	durationTypes = []string{"ONE_TIME", "PERSISTENT", "TIME_BOUND"}
	registries    = []string{"FDX", "GLEIF", "ICANN", "PRIVATE"}
	authMethods   = []string{client.PrivateKeyJWT, client.TLSClientAuth, client.SelfSignedTLSClientAuth}
)

// jwtBearer is the grant of an assertion (RFC 7523 §2.1). Who registers it has nothing yet: whose assertions a client may
// redeem is the operator's to say.
const jwtBearer = "urn:ietf:params:oauth:grant-type:jwt-bearer"

// serverMembers are set by the server alone; an update must not bring them (RFC 7592 §2.2).
var serverMembers = []string{"registration_access_token", "registration_client_uri", "client_secret_expires_at", "client_id_issued_at", "client_secret"}

// Read validates the body of a registration and returns the effective metadata. Its error is the first thing that is wrong,
// as that of ReadUpdate: a client gets one (RFC 7591 §3.2.2).
func (rules Rules) Read(body []byte) (client.Metadata, error) {
	o, err := parse(body)
	if err != nil {
		return client.Metadata{}, err
	}
	return first(rules.read(&reader{object: o}))
}

// ReadUpdate validates the body of an update: as a registration, without the members that only the server sets.
func (rules Rules) ReadUpdate(body []byte, clientID string) (client.Metadata, error) {
	return first(rules.Judge(body, clientID))
}

// Judge validates as ReadUpdate does and returns all that is wrong with the body. Members that the caller has refused count
// as such: nothing is said of what may come of that.
func (rules Rules) Judge(body []byte, clientID string, refused ...string) (client.Metadata, []error) {
	o, err := parse(body)
	if err != nil {
		return client.Metadata{}, []error{err}
	}
	r := &reader{object: o, refused: refused}
	for _, name := range serverMembers {
		if present(o, name) {
			r.keep(name, oauth.Refuse(oauth.MetadataServerMember, "%s must not be in the body of an update", name))
		}
	}
	if id, _, err := o.String("client_id"); present(o, "client_id") && (err != nil || id != clientID) {
		r.keep("client_id", oauth.Refuse(oauth.MetadataServerMember, "client_id must be the one of the path"))
	}
	return rules.read(r)
}

func parse(body []byte) (jose.Object, error) {
	o, err := jose.ParseObject(body)
	if err != nil {
		return o, oauth.Refuse(oauth.MetadataMalformed, "the body must be one strict JSON object: %s", jose.Detail(err))
	}
	return o, nil
}

func first(m client.Metadata, wrong []error) (client.Metadata, error) {
	if len(wrong) > 0 {
		return m, wrong[0]
	}
	return m, nil
}

// read reads every member that is registered and then checks them against each other.
func (rules Rules) read(r *reader) (client.Metadata, []error) {
	m := client.Metadata{
		ClientName:      r.text("client_name", 200),
		Description:     r.text("description", 1000),
		ClientURI:       r.webURI("client_uri"),
		LogoURI:         r.webURI("logo_uri"),
		TOSURI:          r.webURI("tos_uri"),
		PolicyURI:       r.webURI("policy_uri"),
		Contacts:        r.texts("contacts", 20, 200),
		SoftwareID:      r.text("software_id", 200),
		SoftwareVersion: r.text("software_version", 200),
		ApplicationType: r.word("application_type", []string{"web", "native"}),
		Localized:       r.localized(),

		RedirectURIs:           r.texts("redirect_uris", 20, 2000),
		PostLogoutRedirectURIs: r.texts("post_logout_redirect_uris", 20, 2000),
		InitiateLoginURI:       r.webURI("initiate_login_uri"),
		BackchannelLogoutURI:   r.webURI("backchannel_logout_uri"),
		BackchannelLogoutSID:   r.flag("backchannel_logout_session_required"),
		GrantTypes:             r.words("grant_types", grantTypes),
		ResponseTypes:          r.words("response_types", []string{"code"}),
		ResponseModes:          r.words("response_modes", responseModes),
		Scope:                  r.ascii("scope", 4<<10),

		JWKS:                        r.raw("jwks"),
		JWKSURI:                     r.ascii("jwks_uri", 2000),
		TokenEndpointAuthMethod:     r.word("token_endpoint_auth_method", authMethods),
		TokenEndpointAuthSigningAlg: r.alg("token_endpoint_auth_signing_alg"),
		DPoPBoundAccessTokens:       r.flag("dpop_bound_access_tokens"),
		CertificateBoundTokens:      r.flag("tls_client_certificate_bound_access_tokens"),
		UseMTLSEndpointAliases:      r.flag("use_mtls_endpoint_aliases"),

		TLSClientAuthSubjectDN: r.subject(certificate.SubjectDN),
		TLSClientAuthSANDNS:    r.subject(certificate.SANDNS),
		TLSClientAuthSANURI:    r.subject(certificate.SANURI),
		TLSClientAuthSANIP:     r.subject(certificate.SANIP),
		TLSClientAuthSANEmail:  r.subject(certificate.SANEmail),

		RequestObjectSigningAlg:    r.alg("request_object_signing_alg"),
		RequestObjectEncryptionAlg: r.word("request_object_encryption_alg", encryptAlgs),
		RequestObjectEncryptionEnc: r.word("request_object_encryption_enc", encryptEncs),
		RequireSignedRequestObject: r.flag("require_signed_request_object"),
		RequirePushedRequests:      r.flag("require_pushed_authorization_requests"),
		DefaultMaxAge:              r.seconds("default_max_age"),
		RequireAuthTime:            r.flag("require_auth_time"),
		DefaultACRValues:           r.texts("default_acr_values", 20, 200),
		SubjectType:                r.word("subject_type", []string{"public"}),
		SectorIdentifierURI:        r.webURI("sector_identifier_uri"),

		IDTokenSignedResponseAlg:          r.alg("id_token_signed_response_alg"),
		IDTokenEncryptedResponseAlg:       r.word("id_token_encrypted_response_alg", encryptAlgs),
		IDTokenEncryptedResponseEnc:       r.word("id_token_encrypted_response_enc", encryptEncs),
		UserinfoSignedResponseAlg:         r.alg("userinfo_signed_response_alg"),
		UserinfoEncryptedResponseAlg:      r.word("userinfo_encrypted_response_alg", encryptAlgs),
		UserinfoEncryptedResponseEnc:      r.word("userinfo_encrypted_response_enc", encryptEncs),
		AuthorizationSignedResponseAlg:    r.alg("authorization_signed_response_alg"),
		AuthorizationEncryptedResponseAlg: r.word("authorization_encrypted_response_alg", encryptAlgs),
		AuthorizationEncryptedResponseEnc: r.word("authorization_encrypted_response_enc", encryptEncs),
		IntrospectionSignedResponseAlg:    r.alg("introspection_signed_response_alg"),
		IntrospectionEncryptedResponseAlg: r.word("introspection_encrypted_response_alg", encryptAlgs),
		IntrospectionEncryptedResponseEnc: r.word("introspection_encrypted_response_enc", encryptEncs),

		AuthorizationDetailsTypes: r.words("authorization_details_types", []string{"fdx_v1.0"}),
		DurationType:              r.words("duration_type", durationTypes),
		DurationPeriod:            r.days("duration_period", 365),
		LookbackPeriod:            r.days("lookback_period", 36500),
		RegistryReferences:        registryReferences(r, "registry_references"),
		Intermediaries:            intermediaries(r),
	}
	if present(r.object, "software_statement") {
		r.keep("software_statement", refuseStatement(r.object))
	}
	rules.settle(r, &m)
	if len(r.wrong) > 0 {
		return client.Metadata{}, r.wrong
	}
	return m, nil
}

// settle fills in the defaults (FAPI 2.0's where they are stricter than RFC 7591's) and checks members against each other.
func (rules Rules) settle(r *reader, m *client.Metadata) {
	if m.TokenEndpointAuthMethod == "" {
		m.TokenEndpointAuthMethod = client.PrivateKeyJWT
	}
	r.settle(rules.checkCertificate(m), "token_endpoint_auth_method", "tls_client_")
	if m.GrantTypes == nil {
		m.GrantTypes = []string{"authorization_code"}
	}
	usesCode := slices.Contains(m.GrantTypes, "authorization_code")
	r.settle(settleTypes(m, usesCode), "grant_types", "response_types")
	r.settle(settleEncryption(m), "encrypt", "userinfo_signed_response_alg")
	r.settle(checkRedirectURIs(m, usesCode), "grant_types", "application_type", "redirect_uris")
	r.settle(rules.checkKeys(m), "jwks", "token_endpoint_auth_", "require_signed_request_object", "encrypt")
	r.settle(rules.settleScope(m), "scope")
}

// settleTypes lets response_types and refresh tokens follow from authorization_code.
func settleTypes(m *client.Metadata, usesCode bool) error {
	switch {
	case usesCode && m.ResponseTypes == nil:
		m.ResponseTypes = []string{"code"}
	case !usesCode && m.ResponseTypes == nil:
		m.ResponseTypes = []string{}
	case !usesCode && len(m.ResponseTypes) > 0:
		return oauth.Refuse(oauth.MetadataContradicts, "response_types has code, but grant_types lacks authorization_code")
	}
	if !usesCode && slices.Contains(m.GrantTypes, "refresh_token") {
		return oauth.Refuse(oauth.MetadataContradicts, "grant_types has refresh_token, but lacks authorization_code")
	}
	if usesCode && m.IDTokenSignedResponseAlg == "" {
		m.IDTokenSignedResponseAlg = string(jose.PS256)
	}
	return nil
}

// checkCertificate refuses what needs mutual TLS where that is not offered, and wants the one member that says which
// certificate is the client's exactly where it is needed (RFC 8705 §2.1.2).
func (rules Rules) checkCertificate(m *client.Metadata) error {
	subjects := len(m.RegisteredSubjects())
	switch method := m.TokenEndpointAuthMethod; {
	case method != client.PrivateKeyJWT && !slices.Contains(rules.CertificateMethods, method):
		return oauth.Refuse(oauth.MetadataMember, "token_endpoint_auth_method must be one of %s: this server does not offer %s",
			strings.Join(append([]string{client.PrivateKeyJWT}, rules.CertificateMethods...), ", "), method)
	case m.CertificateBoundTokens && len(rules.CertificateMethods) == 0:
		return oauth.Refuse(oauth.MetadataMember,
			"tls_client_certificate_bound_access_tokens must be false: this server does not offer mutual TLS")
	case method == client.TLSClientAuth && subjects != 1:
		return oauth.Refuse(oauth.MetadataContradicts, "%s needs exactly one of tls_client_auth_subject_dn, "+
			"tls_client_auth_san_dns, tls_client_auth_san_uri, tls_client_auth_san_ip and tls_client_auth_san_email; received %d",
			method, subjects)
	case method != client.TLSClientAuth && subjects > 0:
		return oauth.Refuse(oauth.MetadataContradicts,
			"tls_client_auth_subject_dn and the members tls_client_auth_san_ are for %s alone", client.TLSClientAuth)
	}
	return nil
}

// settleEncryption gives every enc that is left out its default, and refuses one without an alg (OpenID Connect
// Registration §2). What is encrypted is signed first, by default with PS256. Userinfo has no such default: who wants it
// encrypted says how it is signed.
func settleEncryption(m *client.Metadata) error {
	for _, pair := range []struct {
		name     string
		alg, enc *string
	}{
		{"id_token_encrypted_response", &m.IDTokenEncryptedResponseAlg, &m.IDTokenEncryptedResponseEnc},
		{"userinfo_encrypted_response", &m.UserinfoEncryptedResponseAlg, &m.UserinfoEncryptedResponseEnc},
		{"authorization_encrypted_response", &m.AuthorizationEncryptedResponseAlg, &m.AuthorizationEncryptedResponseEnc},
		{"introspection_encrypted_response", &m.IntrospectionEncryptedResponseAlg, &m.IntrospectionEncryptedResponseEnc},
		{"request_object_encryption", &m.RequestObjectEncryptionAlg, &m.RequestObjectEncryptionEnc},
	} {
		switch {
		case *pair.enc != "" && *pair.alg == "":
			return oauth.Refuse(oauth.MetadataContradicts, "%s_enc needs %s_alg", pair.name, pair.name)
		case *pair.alg != "" && *pair.enc == "":
			*pair.enc = "A128CBC-HS256"
		}
	}
	if m.UserinfoEncryptedResponseAlg != "" && m.UserinfoSignedResponseAlg == "" {
		return oauth.Refuse(oauth.MetadataContradicts,
			"userinfo_encrypted_response_alg needs userinfo_signed_response_alg: what is encrypted is signed first")
	}
	return nil
}

// settleScope maps data clusters to scopes (FDX Recipient Registration 5.2), and gives a client that asks for nothing all
// but the scopes of registration itself.
func (rules Rules) settleScope(m *client.Metadata) error {
	asked, err := oauth.ParseScope(m.Scope)
	if err != nil {
		return oauth.Refuse(oauth.MetadataScope, "scope must be scope tokens with one space between")
	}
	var scope oauth.Scope
	if asked == nil {
		for _, s := range rules.Scopes {
			if s != scopeCreate && s != scopeRead {
				scope = append(scope, s)
			}
		}
	}
	for i, s := range asked {
		named, isCluster := fdx.ScopesOf(s)
		if !isCluster {
			named = []string{s}
		}
		for _, s := range named {
			if !slices.Contains(rules.Scopes, s) {
				return oauth.Refuse(oauth.MetadataScope, "scope must be of scopes_supported; entry %d is not", i+1)
			}
			if !scope.Has(s) {
				scope = append(scope, s)
			}
		}
	}
	m.Scope = scope.String()
	return nil
}

// checkKeys wants exactly one source of keys. Inline keys are judged now, a jwks_uri by its form; what it holds is judged
// when it is fetched.
func (rules Rules) checkKeys(m *client.Metadata) error {
	switch {
	case m.JWKS != nil && m.JWKSURI != "":
		return oauth.Refuse(oauth.MetadataKeys, "jwks and jwks_uri must not both be there")
	case m.JWKS == nil && m.JWKSURI == "":
		if member := needsKeys(m); member != "" {
			return oauth.Refuse(oauth.MetadataKeys, "%s needs jwks or jwks_uri", member)
		}
		return nil
	case m.JWKSURI != "":
		if err := rules.Vetting.CheckURI(m.JWKSURI); err != nil {
			return oauth.Refuse(oauth.MetadataKeys, "jwks_uri: %s", err.Error())
		}
		return nil
	}
	set, err := jose.ParseKeySet(m.JWKS, client.MaxKeys)
	if err != nil {
		return oauth.Refuse(oauth.MetadataKeys, "jwks: %s", jose.Detail(err))
	}
	for _, skipped := range set.Skipped {
		if skipped.Defect.Kind == jose.PrivateKey {
			return oauth.Refuse(oauth.MetadataKeys, "jwks: %s; a private key that was sent anywhere must not be used again", skipped.Defect.Detail)
		}
	}
	if err := checkInlineKeys(set, m); err != nil {
		return err
	}
	return checkRecipients(set, m)
}

// needsKeys is what of the metadata cannot be without keys; "": nothing.
func needsKeys(m *client.Metadata) string {
	switch {
	case m.TokenEndpointAuthMethod != client.TLSClientAuth:
		return m.TokenEndpointAuthMethod
	case m.RequireSignedRequestObject:
		return "require_signed_request_object"
	case len(recipientAlgs(m)) > 0:
		return "an encrypted_response_alg"
	}
	return ""
}

// recipientAlgs are the algorithms by which answers to the client are to be encrypted.
func recipientAlgs(m *client.Metadata) []string {
	algs := []string{m.IDTokenEncryptedResponseAlg, m.UserinfoEncryptedResponseAlg,
		m.AuthorizationEncryptedResponseAlg, m.IntrospectionEncryptedResponseAlg}
	return slices.DeleteFunc(algs, func(alg string) bool { return alg == "" })
}

// checkRecipients wants an inline key for every algorithm by which an answer is to be encrypted. Request objects are
// encrypted the other way round.
func checkRecipients(set jose.KeySet, m *client.Metadata) error {
	for _, alg := range recipientAlgs(m) {
		if _, err := set.Recipient(alg); err != nil {
			return oauth.Refuse(oauth.MetadataKeys, "jwks: %s", jose.Detail(err))
		}
	}
	return nil
}

// checkInlineKeys wants a key, or a certificate, by which the client could prove itself.
func checkInlineKeys(set jose.KeySet, m *client.Metadata) error {
	registered := jose.Alg(m.TokenEndpointAuthSigningAlg)
	seen, fits := map[string]bool{}, m.TokenEndpointAuthMethod != client.PrivateKeyJWT
	for _, key := range set.Keys {
		name := string(key.Alg()) + " " + key.Kid()
		if key.Kid() != "" && seen[name] {
			return oauth.Refuse(oauth.MetadataKeys, "jwks: two keys of one type share a kid")
		}
		seen[name] = true
		fits = fits || registered == "" || key.Alg() == registered
	}
	why := ""
	if len(set.Skipped) > 0 {
		why = ": " + set.Skipped[0].Defect.Detail
	}
	if !fits {
		return oauth.Refuse(oauth.MetadataKeys, "jwks has no public key that could verify the client's assertions%s", why)
	}
	if m.TokenEndpointAuthMethod == client.SelfSignedTLSClientAuth && len(set.Certificates) == 0 {
		return oauth.Refuse(oauth.MetadataKeys, "jwks has no key with an x5c whose first certificate is one of that key (%s)%s",
			m.TokenEndpointAuthMethod, why)
	}
	return nil
}
