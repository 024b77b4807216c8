package server

import (
	"errors"
	"net/http"
	"strings"

	"authserver/internal/certificate"
	"authserver/internal/oauth"
)

// MutualTLS is what the operator offers of RFC 8705. The zero value offers nothing.
type MutualTLS struct {
	Methods []string // of client authentication by certificate; empty: no client can show one
	URL     string   // base of mtls_endpoint_aliases, as the issuer; "": the endpoints of the metadata see certificates themselves
	Header  string   // by which trusted proxies tell of a client's certificate, in canonical spelling; "": by none

	// Demand are the anchors that every certificate must chain to, and every call of a machine must bear one. Nil: none need.
	Demand certificate.Anchors
}

// aliases are mtls_endpoint_aliases: URLs by the name of the metadata's member (RFC 8705 §5).
type aliases map[string]string

// describe adds to the metadata what certificates are good for, and where the endpoints are for clients that show one (RFC
// 8705 §3.3, §5). Those are the endpoints that programs call: a person's browser must not be asked for a certificate.
func (m MutualTLS) describe(d *document) {
	d.CertificateBoundTokens = len(m.Methods) > 0
	if m.URL == "" {
		return
	}
	endpoints := aliases{
		"token_endpoint": d.TokenEndpoint, "pushed_authorization_request_endpoint": d.PushEndpoint,
		"introspection_endpoint": d.IntrospectionEndpoint, "revocation_endpoint": d.RevocationEndpoint,
		"registration_endpoint": d.RegistrationEndpoint,
	}
	if d.identity != nil {
		endpoints["userinfo_endpoint"] = d.UserinfoEndpoint
	}
	d.MutualTLSAliases = aliases{}
	for name, endpoint := range endpoints {
		if endpoint != "" { // there may be no such endpoint here
			d.MutualTLSAliases[name] = m.URL + strings.TrimPrefix(endpoint, d.Issuer)
		}
	}
}

// admit looks at the certificate of a call of a machine: it returns the request with the one that a proxy tells of, and
// refuses a call that lacks one where every call must bear one.
func (s *Server) admit(route route, r *http.Request) (*http.Request, error) {
	if !route.machine() {
		return r, nil
	}
	r, err := s.judged(r)
	if refusal, ok := errors.AsType[*oauth.Error](err); ok && !route.clients { // a resource: it names a scheme (RFC 9110 §15.5.2)
		err = refusal.Challenged("Bearer")
	}
	return r, err
}

// judged returns the request with the certificate that counts, which must be there and be vouched for if all must.
func (s *Server) judged(r *http.Request) (*http.Request, error) {
	r, err := s.certified(r)
	if err != nil || s.MutualTLS.Demand == nil {
		return r, err
	}
	now := s.Now()
	c, shown, err := certificate.Of(r, now)
	switch {
	case err != nil:
		return nil, err
	case !shown:
		return nil, oauth.Refuse(oauth.CertificateMissing, "every call must come with a client certificate; this connection has shown none")
	}
	if err := s.MutualTLS.Demand.Verify(c, now); err != nil {
		return nil, oauth.Refuse(oauth.CertificateRefused, "no authority that this server trusts vouches for the client certificate").Because(err)
	}
	return r, nil
}
