package main

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"authserver/internal/certificate"
	"authserver/internal/certificate/certificatetest"
	"authserver/internal/client"
	"authserver/internal/flow"

	"github.com/google/go-cmp/cmp"
)

// The issuer of deployments whose clients have certificates, where their aliases are, and the one proxy that is believed.
const (
	certifiedIssuer = "https://as.example"
	certifiedAlias  = "https://mtls.as.example:8444"
	certifiedProxy  = "127.0.0.2"
)

// deployCertified starts n replicas with both listeners, for clients with certificates of the deployment's own authority.
func deployCertified(t testing.TB, n int, edit func(*settings)) *deployment {
	t.Helper()
	servers, clients, dir := newAuthority(t), certificatetest.NewAuthority(t), t.TempDir()
	certFile, keyFile := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	writePair(t, servers.issue(t, "ECDSA", hostOf(certifiedIssuer), hostOf(certifiedAlias)), certFile, keyFile)
	d := deploy(t, 0, func(s *settings) {
		s.Issuer, s.TLSCertFile, s.TLSKeyFile = certifiedIssuer, certFile, keyFile
		s.MTLSURL, s.MTLSListen, s.MTLSClientCAFile = certifiedAlias, "127.0.0.1:0",
			writeText(t, "clients.pem", string(clients.PEM()))
		if edit != nil {
			edit(s)
		}
	})
	d.authority, d.clients, d.shows = servers, clients, map[string]tls.Certificate{}
	for range n {
		d.start()
	}
	return d
}

// toldOfCertificates has one proxy believed.
func toldOfCertificates(s *settings) {
	s.TrustedProxies, s.ClientCertHeader = certifiedProxy+"/32", "X-Forwarded-Client-Cert"
}

// showing is one replica as a client with a certificate sees it, at the aliases. A certificate without bytes stands for none.
func (d *deployment) showing(replica int, shown tls.Certificate, edits ...func(*http.Transport)) *flow.Server {
	d.t.Helper()
	return d.seenThrough(d.transport(replica), shown, edits...)
}

func (d *deployment) seenThrough(transport *http.Transport, shown tls.Certificate,
	edits ...func(*http.Transport)) *flow.Server {
	d.t.Helper()
	if len(shown.Certificate) > 0 {
		transport.TLSClientConfig.Certificates = []tls.Certificate{shown}
	}
	for _, edit := range edits {
		edit(transport)
	}
	s := &flow.Server{
		Issuer: d.issuer, HTTP: flow.NewHTTPClient(tapped{d.wire, transport}, time.Minute), MutualTLS: true, Now: d.clock.now,
	}
	if err := s.Discover(d.t.Context()); err != nil {
		d.t.Fatal(err)
	}
	return s
}

// speaking is a transport that speaks one version of TLS, in its own connections.
func speaking(only func(*tls.Config)) func(*http.Transport) {
	return func(transport *http.Transport) { only(transport.TLSClientConfig) }
}

// vouched is a certificate by the deployment's authority, as edited, for a company that has no other of this name.
func (d *deployment) vouched(name string, edits ...certificatetest.Edit) tls.Certificate {
	d.t.Helper()
	return d.clients.Issue(d.t, append([]certificatetest.Edit{company(name)}, edits...)...)
}

func company(name string) certificatetest.Edit {
	return func(c *x509.Certificate) {
		c.Subject = pkix.Name{CommonName: name, Organization: []string{"Kim & Sons, Inc."}, Country: []string{"CA"}}
	}
}

// certified registers a client whose certificate is all that it has: it authenticates by the whole subject, unless more says
// otherwise, and its tokens are bound to the certificate.
func (d *deployment) certified(replica int, shown tls.Certificate, more ...func(map[string]any)) *flow.Client {
	d.t.Helper()
	c := d.enrolled(replica, shown, append([]func(map[string]any){bySubject(shown), boundToCertificate}, more...)...)
	c.CertificateAuth, c.CertificateBound = true, true
	return c
}

// enrolled registers a client that shows a certificate, whatever that is good for.
func (d *deployment) enrolled(replica int, shown tls.Certificate, more ...func(map[string]any)) *flow.Client {
	d.t.Helper()
	s, k := d.showing(replica, shown), key(d.t, "ES256")
	c, err := s.Register(d.t.Context(), s.RegisterRequest(metadata(k, more...)), k, key(d.t, "ES256"))
	if err != nil {
		d.t.Fatal(err)
	}
	d.wire.add(c.RegistrationToken)
	d.shows[c.ID] = shown
	return c
}

// with is the client with another certificate, at the same replica or another.
func (d *deployment) with(c *flow.Client, replica int, shown tls.Certificate) *flow.Client {
	d.t.Helper()
	renewed := *c
	renewed.Server = d.showing(replica, shown)
	return &renewed
}

// bySubject has the whole name of a certificate authenticate a client.
func bySubject(shown tls.Certificate) func(map[string]any) {
	return changes{"token_endpoint_auth_method": client.TLSClientAuth,
		"tls_client_auth_subject_dn": shown.Leaf.Subject.String()}.apply
}

// byName has another name of the certificate authenticate it.
func byName(member, value string) func(map[string]any) {
	return changes{"token_endpoint_auth_method": client.TLSClientAuth, "tls_client_auth_subject_dn": nil, member: value}.apply
}

// bySelf has the certificate itself authenticate a client, which publishes it with its key (RFC 8705 §2.2.2).
func bySelf(shown tls.Certificate) func(map[string]any) {
	k := &flow.Key{ID: "of the certificate", Alg: "ES256", Signer: shown.PrivateKey.(crypto.Signer)}
	published := jwk(k, map[string]any{"x5c": []string{base64.StdEncoding.EncodeToString(shown.Certificate[0])}})
	return changes{"token_endpoint_auth_method": client.SelfSignedTLSClientAuth, "tls_client_auth_subject_dn": nil,
		"jwks": map[string]any{"keys": []any{published}}}.apply
}

func boundToCertificate(m map[string]any) { m["tls_client_certificate_bound_access_tokens"] = true }

// accounts is a request for the demo resource, at the listener where the client shows what its tokens are bound to.
func accounts(c *flow.Client) *flow.Request {
	base := c.Server.Issuer
	if c.CertificateBound {
		base = certifiedAlias
	}
	return &flow.Request{Method: http.MethodGet, URL: base + "/demo/accounts"}
}

// thumbprint is what a token is bound to (RFC 8705 §3.1).
func thumbprint(shown tls.Certificate) string {
	return certificate.Certificate{Leaf: shown.Leaf}.Thumbprint()
}

// inPEM is a certificate in PEM.
func inPEM(shown tls.Certificate) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: shown.Certificate[0]}))
}

// certifiedBy wants a Bearer token that is bound to a certificate, and to nothing else, and returns it.
func certifiedBy(t testing.TB, e *flow.Exchange, shown tls.Certificate) string {
	t.Helper()
	outcome(t, e, "200")
	want := map[string]any{"x5t#S256": thumbprint(shown)}
	if diff := cmp.Diff(want, issued(e).Claims["cnf"]); diff != "" || e.JSON()["token_type"] != "Bearer" {
		t.Errorf("%s %s: token_type %v, cnf %s", e.Method, e.URL, e.JSON()["token_type"], diff)
	}
	return issued(e).Compact
}
