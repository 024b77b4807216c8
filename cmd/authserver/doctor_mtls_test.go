package main

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"authserver/internal/certificate/certificatetest"
	"authserver/internal/store/storetest"
)

// Where clients show certificates doctor goes there as one would, and looks at who vouches for them.
func TestDoctorMutualTLS(t *testing.T) {
	t.Parallel()
	p := newProduction(t, storetest.URL(t))
	dir, port := t.TempDir(), freePort(t)
	certFile, keyFile := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	writePair(t, p.authority.issue(t, "ECDSA", "localhost"), certFile, keyFile)
	pair := newKeyPair(certFile, keyFile, slog.New(slog.DiscardHandler), time.Now)
	ca := p.authority.writeFile(t)
	authorities := func(all ...*certificatetest.Authority) string {
		var file strings.Builder
		for _, a := range all {
			file.Write(a.PEM())
		}
		return "AUTHSERVER_MTLS_CLIENT_CA_FILE=" + writeText(t, "clients.pem", file.String())
	}
	today := certificatetest.NewAuthority(t)
	vouching := authorities(today)
	yesterday := certificatetest.NewAuthority(t, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-24 * time.Hour) })
	listens := []string{"AUTHSERVER_MTLS_LISTEN=127.0.0.1:" + port, "AUTHSERVER_MTLS_URL=https://localhost:" + port}
	p.start(append(listens, vouching)...)
	elsewhere := func(config *tls.Config, h http.Handler) string {
		other := httptest.NewUnstartedServer(h)
		other.TLS, other.Config.ErrorLog = config, log.New(io.Discard, "", 0)
		other.StartTLS()
		t.Cleanup(other.Close)
		return "AUTHSERVER_MTLS_URL=" + strings.Replace(other.URL, "127.0.0.1", "localhost", 1)
	}
	careless := mutualTLSConfig(pair)
	careless.CipherSuites = append(careless.CipherSuites, tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA)
	behind := []string{"AUTHSERVER_TRUSTED_PROXIES=10.0.0.0/8", "AUTHSERVER_CLIENT_CERT_HEADER=client-cert"}
	strict := mutualTLSConfig(pair)
	strict.ClientAuth = tls.RequireAnyClientCert
	for name, test := range map[string]struct {
		environ       []string
		state, detail string
	}{
		"a listener":                                        {listens, warning, "the certificate ends in 0 days"}, // the test's lives for an hour
		"authorities":                                       {append(listens, vouching), warning, "ends in 0 days"},
		"a header":                                          {behind, passed, "told of by trusted proxies in Client-Cert, which they let nobody else set"},
		"nobody listens":                                    {append(listens, "AUTHSERVER_MTLS_URL=https://localhost:1"), failed, "refused"},
		"nobody asks for a certificate":                     {append(listens, elsewhere(tlsConfig(pair), http.NotFoundHandler())), failed, "nobody asks for a client certificate"},
		"somebody insists on one":                           {append(listens, elsewhere(strict, http.NotFoundHandler())), failed, "certificate required"},
		"somebody else asks for one":                        {append(listens, elsewhere(mutualTLSConfig(pair), http.NotFoundHandler())), failed, "answers 404"},
		"TLS 1.2 with more than it should":                  {append(listens, elsewhere(careless, http.NotFoundHandler())), failed, "weaker suites succeeds"},
		"an authority that has expired":                     {append(listens, authorities(yesterday)), failed, "has expired"},
		"the first of two has expired":                      {append(listens, authorities(yesterday, today)), failed, "has expired"},
		"the last of two has expired":                       {append(listens, authorities(today, yesterday)), failed, "has expired"},
		"a header, and somebody else at the host that asks": {append(behind, elsewhere(tlsConfig(pair), http.NotFoundHandler())), failed, "and not as this server does"},
		"a header that is believed there": {append(behind, elsewhere(tlsConfig(pair), http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"error_uri":"https://as.example/errors/certificate_refused"}`)
		}))), failed, "is believed"},
	} {
		t.Run(name, func(t *testing.T) {
			code := 0
			if test.state == failed {
				code = exitFailed
			}
			if f := p.examine(t, code, p.with(test.environ...), "--ca-cert", ca)["mutual TLS"]; f.State != test.state || !strings.Contains(f.Detail, test.detail) {
				t.Errorf("%+v, want %s with %q", f, test.state, test.detail)
			}
		})
	}
}

// A proxy that passes on what clients write in its own header lets anybody show any certificate: doctor comes through it, as
// here from the proxy's own address, and writes one line itself.
func TestDoctorHeaderOfClients(t *testing.T) {
	t.Parallel()
	for _, header := range []string{"Client-Cert", "X-Forwarded-Client-Cert", "X-Ssl-Cert"} {
		t.Run(header, func(t *testing.T) {
			p := newProduction(t, storetest.URL(t))
			ca := p.authority.writeFile(t)
			for proxies, want := range map[string]string{"127.0.0.1/32,::1/128": failed, "10.0.0.0/8": passed} {
				p.environ = p.with("AUTHSERVER_TRUSTED_PROXIES="+proxies, "AUTHSERVER_CLIENT_CERT_HEADER="+header)
				s := p.start()
				code := map[string]int{failed: exitFailed}[want]
				if f := p.examine(t, code, p.environ, "--ca-cert", ca)["mutual TLS"]; f.State != want || want == failed && f.Remedy == "" {
					t.Errorf("behind %s: %+v, want %s", proxies, f, want)
				}
				s.end()
			}
		})
	}
}
