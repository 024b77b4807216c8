package main

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"

	"authserver/internal/certificate/certificatetest"
	"authserver/internal/client"
	"authserver/internal/flow"
	"authserver/internal/issuer"
	"authserver/internal/oauth"
)

// TL-01, TL-08, TL-09: a client whose certificate is its authentication gets tokens that are bound to it, while an authority
// of this moment vouches for it, and says in every request who it is.
func TestClientByCertificate(t *testing.T) {
	t.Parallel()
	m := deployMutual(t, nil)
	certificate := m.clients.Issue(t, func(c *x509.Certificate) { c.Subject = pkix.Name{CommonName: "recipient", Country: []string{"CA"}} })
	s := m.with(certificate)
	registered := do(t, s, s.RegisterRequest(metadata(key(t, "ES256"), changes{
		"token_endpoint_auth_method": "tls_client_auth", "tls_client_auth_subject_dn": "CN=recipient,C=CA", "jwks": nil,
		"tls_client_certificate_bound_access_tokens": true}.apply)))
	outcome(t, registered, "201")
	id, _ := registered.JSON()["client_id"].(string)
	send := func(s *flow.Server, endpoint string, form url.Values) *flow.Exchange {
		t.Helper()
		return do(t, s, &flow.Request{Method: http.MethodPost, URL: endpoint, Form: form})
	}
	ask := func(s *flow.Server, form url.Values) *flow.Exchange {
		t.Helper()
		return send(s, s.Metadata.TokenEndpoint, form)
	}
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {id}}
	access := certifiedBy(t, ask(s, form), certificate) // TL-01
	about := url.Values{"client_id": {id}, "token": {access}}
	if e := send(s, s.Metadata.IntrospectionEndpoint, about); e.JSON()["active"] != true {
		t.Errorf("introspection: %s", e.ResponseBody)
	}
	outcome(t, send(s, s.Metadata.RevocationEndpoint, about), "200")
	refusedFor(t, ask(s, url.Values{"grant_type": {"client_credentials"}}), "401 invalid_client", oauth.ClientAuthMissing) // TL-09
	outcome(t, ask(m.with(m.clients.Issue(t)), form), "401 invalid_client")
	outcome(t, ask(m.with(tls.Certificate{}), form), "401 invalid_client")
	for name, stranger := range m.strangers(t) {
		t.Run(name, func(t *testing.T) { outcome(t, ask(m.with(stranger), form), "401 invalid_client") })
	}
	next := append(certificatetest.NewAuthority(t, certificatetest.Named("Another")).PEM(), '\n') // of another length too
	if err := os.WriteFile(m.caFile, next, 0o600); err != nil {
		t.Fatal(err)
	}
	refusedFor(t, ask(s, form), "401 invalid_client", oauth.ClientNotProven) // TL-08
}

// CA-11: without authorities a client can still register its own certificate, and no other will do.
func TestClientByItsOwnCertificate(t *testing.T) {
	t.Parallel()
	m := deployMutual(t, func(s *settings) { s.MTLSClientCAFile = "" })
	k := key(t, "ES256")
	own := certificatetest.SelfSignedFor(t, k.Signer)
	s := m.with(own)
	registered := do(t, s, s.RegisterRequest(metadata(k, bySelf(own))))
	outcome(t, registered, "201")
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {registered.JSON()["client_id"].(string)}}
	for name, test := range map[string]struct {
		certificate tls.Certificate
		want        string
	}{
		"its own": {own, "200"}, "another of its key": {certificatetest.SelfSignedFor(t, k.Signer), "401 invalid_client"},
		"of another key": {certificatetest.SelfSigned(t), "401 invalid_client"}, "none": {tls.Certificate{}, "401 invalid_client"},
	} {
		s := m.with(test.certificate)
		if e := do(t, s, &flow.Request{Method: http.MethodPost, URL: s.Metadata.TokenEndpoint, Form: form}); e.Outcome() != test.want {
			t.Errorf("%s: %s %s", name, e.Outcome(), e.ErrorDescription())
		}
	}
	byAuthority := changes{"token_endpoint_auth_method": "tls_client_auth", "tls_client_auth_san_dns": "client.example"}
	outcome(t, do(t, s, s.RegisterRequest(metadata(k, byAuthority.apply))), "400 invalid_client_metadata")
}

// A whole flow over the aliases; proofs, and the assertions of issuers, may name either URL of an endpoint.
func TestFlowOverAliases(t *testing.T) {
	t.Parallel()
	m := deployMutual(t, func(s *settings) { s.RequireClientCertificate, s.DPoPNonce = "true", "optional" })
	s := m.with(m.clients.Issue(t))
	k := key(t, "ES256")
	c, err := s.Register(t.Context(), s.RegisterRequest(metadata(k)), k, key(t, "ES256"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(c.RegistrationURI, "https://localhost:8444/fdx/v6/register/") {
		t.Errorf("where every call must bear a certificate, registration_client_uri is %s", c.RegistrationURI)
	}
	access := tokenFor(t, c, nil)
	for _, r := range []*flow.Request{
		c.IntrospectRequest(access), c.Present(&flow.Request{Method: http.MethodGet, URL: c.RegistrationURI}, access), c.RevokeRequest(access),
	} {
		outcome(t, do(t, s, r), "200")
	}
	named := c.TokenRequest(nil)
	named.Proof = c.Proof(named.Method, m.issuer+"/oauth2/token")
	outcome(t, do(t, s, named), "200")
	elsewhere := c.TokenRequest(nil)
	elsewhere.Proof = c.Proof(elsewhere.Method, "https://localhost:8445/oauth2/token")
	refusedFor(t, do(t, s, elsewhere), "400 invalid_dpop_proof", oauth.ProofURI)
	m.operatorSets(c, func(record *client.Client) { record.AssertionAudience = client.IssuerOrEndpoint })
	g := gateway{"gateway", key(t, "ES256"), c}
	m.trust(g, seed002Shape, func(i *issuer.Issuer) {
		i.JWKS, i.Clients, i.Scopes = jwksOf(g.key), []string{demoGateway}, oauth.Scope{demoScope}
	})
	access = tokenFor(t, c, nil)
	for aud, want := range map[string][2]string{
		m.issuer + "/oauth2/token":            {"200", "200"},
		"https://localhost:8444/oauth2/token": {"200", "200"},
		"https://localhost:8445/oauth2/token": {"400 invalid_grant", "401 invalid_client"},
	} {
		outcome(t, do(t, s, g.alone(t, g.grant(flow.SetClaim("aud", aud)))), want[0])
		elsewhere := c.IntrospectRequest(access) // which is not the token endpoint
		elsewhere.Assertion = c.Assertion(flow.SetClaim("aud", aud))
		outcome(t, do(t, s, elsewhere), want[1])
	}
}
