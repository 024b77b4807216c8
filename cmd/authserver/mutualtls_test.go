package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"slices"
	"strings"
	"testing"
	"time"

	"authserver/internal/certificate/certificatetest"
	"authserver/internal/flow"
	"authserver/internal/oauth"

	"github.com/google/go-cmp/cmp"
)

// mutual is a replica with both listeners, for clients with certificates of an authority of its own.
type mutual struct {
	*deployment
	replica
	servers *authority
	clients *certificatetest.Authority
	caFile  string // of the clients' authority
}

func deployMutual(t *testing.T, edit func(*settings)) *mutual {
	t.Helper()
	m := &mutual{servers: newAuthority(t), clients: certificatetest.NewAuthority(t)}
	m.caFile = writeText(t, "clients.pem", string(m.clients.PEM()))
	dir := t.TempDir()
	certFile, keyFile := dir+"/tls.crt", dir+"/tls.key"
	writePair(t, m.servers.issue(t, "ECDSA", "localhost"), certFile, keyFile)
	m.deployment = deploy(t, 0, func(s *settings) {
		s.Issuer, s.TLSCertFile, s.TLSKeyFile = "https://localhost:8443", certFile, keyFile
		s.MTLSURL, s.MTLSListen, s.MTLSClientCAFile = "https://localhost:8444", "127.0.0.1:0", m.caFile
		if edit != nil {
			edit(s)
		}
	})
	m.replica = m.runReplica()
	return m
}

// transport reaches both listeners under their public names, and shows a certificate to whoever asks for one. A certificate
// without bytes stands for none.
func (m *mutual) transport(certificate tls.Certificate, edits ...func(*tls.Config)) *http.Transport {
	config := &tls.Config{RootCAs: m.servers.pool()}
	if len(certificate.Certificate) > 0 {
		config.Certificates = []tls.Certificate{certificate}
	}
	for _, edit := range edits {
		edit(config)
	}
	transport := &http.Transport{TLSClientConfig: config, DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, map[string]string{"localhost:8443": m.public, "localhost:8444": m.replica.mutual}[address])
	}}
	m.t.Cleanup(transport.CloseIdleConnections)
	return transport
}

// with is the issuer as a client with this certificate sees it.
func (m *mutual) with(certificate tls.Certificate, edits ...func(*tls.Config)) *flow.Server {
	m.t.Helper()
	s := &flow.Server{Issuer: m.issuer, HTTP: flow.NewHTTPClient(m.transport(certificate, edits...), time.Minute), MutualTLS: true, Now: m.clock.now}
	if err := s.Discover(m.t.Context()); err != nil {
		m.t.Fatal(err)
	}
	return s
}

// tlsVersions are those of TLS that the listener for mutual TLS speaks.
var tlsVersions = map[string]func(*tls.Config){
	"TLS 1.2": func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 },
	"TLS 1.3": func(c *tls.Config) { c.MinVersion = tls.VersionTLS13 },
}

// strangers are certificates that prove nothing here: TL-04.
func (m *mutual) strangers(t *testing.T) map[string]tls.Certificate {
	t.Helper()
	serverAuth := []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	return map[string]tls.Certificate{
		"TL-04 expired":             m.clients.Issue(t, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }),
		"TL-04 not yet valid":       m.clients.Issue(t, func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) }),
		"TL-04 unknown CA":          certificatetest.NewAuthority(t).Issue(t),
		"TL-04 CA as leaf":          m.clients.Issue(t, func(c *x509.Certificate) { c.IsCA = true }),
		"TL-04 EKU serverAuth only": m.clients.Issue(t, func(c *x509.Certificate) { c.ExtKeyUsage = serverAuth }),
		"RSA of 1024 bits":          m.clients.IssueFor(t, rsaOf1024(t)),
	}
}

// The listener for mutual TLS takes any certificate and none; what is wrong is said in JSON, and only if one is demanded.
func TestMutualListener(t *testing.T) {
	t.Parallel()
	strict := deployMutual(t, func(s *settings) { s.RequireClientCertificate = "true" })
	lenient := deployMutual(t, nil)
	const token = "https://localhost:8444/oauth2/token"
	form := http.Header{"Content-Type": {formType}}
	for version, only := range tlsVersions {
		t.Run(version+", CA-13 none", func(t *testing.T) {
			refusedFor(t, raw(t, strict.with(tls.Certificate{}, only), http.MethodPost, token, form, "x=y"), "400 invalid_request", oauth.CertificateMissing)
			refusedFor(t, raw(t, lenient.with(tls.Certificate{}, only), http.MethodPost, token, form, "x=y"), "401 invalid_client", oauth.ClientAuthMissing)
		})
		t.Run(version+", vouched for", func(t *testing.T) {
			for _, m := range []*mutual{strict, lenient} {
				s := m.with(m.clients.Issue(t), only)
				refusedFor(t, raw(t, s, http.MethodPost, token, form, "x=y"), "401 invalid_client", oauth.ClientAuthMissing)
			}
		})
		for name, stranger := range strict.strangers(t) {
			t.Run(version+", "+name, func(t *testing.T) {
				for method, target := range map[string]string{http.MethodPost: token, http.MethodGet: "https://localhost:8444/oauth2/userinfo"} {
					e := raw(t, strict.with(stranger, only), method, target, form, "x=y") // a resource names a scheme: checkAnswer
					refusedFor(t, e, "401 invalid_client", oauth.CertificateRefused)
				}
			})
		}
		for name, stranger := range lenient.strangers(t) {
			t.Run(version+", not demanded, "+name, func(t *testing.T) {
				outcome(t, raw(t, lenient.with(stranger, only), http.MethodPost, token, form, "x=y"), "401 invalid_client")
			})
		}
	}
	t.Run("CA-13 the public listener asks for none", func(t *testing.T) {
		s := strict.with(strict.clients.Issue(t))
		refusedFor(t, raw(t, s, http.MethodPost, strict.issuer+"/oauth2/token", form, "x=y"), "400 invalid_request", oauth.CertificateMissing)
	})
	t.Run("machines only", func(t *testing.T) { visitMutual(t, strict) })
}

// visitMutual: everybody may read the documents, each machine's endpoint wants a certificate, and no page is there.
func visitMutual(t *testing.T, m *mutual) {
	s := m.with(tls.Certificate{})
	const base = "https://localhost:8444"
	for path, want := range map[string]string{
		"/.well-known/oauth-authorization-server": "200", "/.well-known/openid-configuration": "200", "/oauth2/jwks": "200",
		"/errors/certificate_missing": "200", "/oauth2/token": "400 invalid_request", "/oauth/token": "400 invalid_request",
		"/oauth2/par": "400 invalid_request", "/oauth2/introspect": "400 invalid_request", "/oauth2/revoke": "400 invalid_request",
		"/fdx/v6/register": "400 invalid_request", "/fdx/v6/register/x": "400 invalid_request", "/oauth2/userinfo": "400 invalid_request",
	} {
		outcome(t, raw(t, s, http.MethodGet, base+path, nil, ""), want)
	}
	for _, page := range []string{"/oauth2/authorize", "/login", "/consent", "/connected", "/oauth2/logout", "/assets/style.css", "/logos/x"} {
		response, err := s.HTTP.Get(base + page)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != http.StatusNotFound || response.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %d %s", page, response.StatusCode, response.Header.Get("Content-Type"))
		}
	}
	for name, alias := range m.aliases(t) {
		plain, _ := document(t, s, m.issuer+"/.well-known/openid-configuration")[name].(string)
		if target, _ := alias.(string); !strings.HasSuffix(name, "_endpoint") || plain == "" || strings.Replace(plain, m.issuer, base, 1) != target {
			t.Errorf("%s is %v, and %q without mutual TLS", name, alias, plain)
		}
	}
	if _, page := m.aliases(t)["authorization_endpoint"]; page || len(m.aliases(t)) != 6 {
		t.Errorf("%v", m.aliases(t))
	}
}

func (m *mutual) aliases(t *testing.T) map[string]any {
	t.Helper()
	aliases, _ := document(t, m.with(tls.Certificate{}), m.issuer+"/.well-known/openid-configuration")["mtls_endpoint_aliases"].(map[string]any)
	return aliases
}

// The metadata has an alias for each endpoint that programs call, and for none that there is not.
func TestAliasesOfWhatThereIs(t *testing.T) {
	t.Parallel()
	d := deploy(t, 1, func(s *settings) {
		s.TrustedProxies, s.ClientCertHeader, s.MTLSURL = "192.0.2.0/24", "Client-Cert", "https://mtls.bank.example"
		s.Registration, s.Login = "closed", loginOff
	})
	m := document(t, d.server(0), d.issuer+"/.well-known/openid-configuration")
	want := map[string]any{"token_endpoint": "https://mtls.bank.example/oauth2/token",
		"introspection_endpoint": "https://mtls.bank.example/oauth2/introspect", "revocation_endpoint": "https://mtls.bank.example/oauth2/revoke"}
	if diff := cmp.Diff(want, m["mtls_endpoint_aliases"]); diff != "" {
		t.Error(diff)
	}
	if methods := []string{"private_key_jwt", "self_signed_tls_client_auth"}; m["tls_client_certificate_bound_access_tokens"] != true ||
		!slices.Equal(list(m, "token_endpoint_auth_methods_supported"), methods) {
		t.Errorf("MTLS-05: %v", m)
	}
}

// TL-08: an authority that is taken out of the file vouches for nobody any more: not on a connection that is kept alive, and
// not in a session that a client would resume, since none is.
func TestAnchorsReplaced(t *testing.T) {
	t.Parallel()
	m := deployMutual(t, func(s *settings) { s.RequireClientCertificate = "true" })
	certificate := m.clients.Issue(t)
	keptAlive, resuming := map[string]*http.Transport{}, map[string]*http.Transport{}
	for version, only := range tlsVersions {
		keptAlive[version] = m.transport(certificate, only)
		resuming[version] = m.transport(certificate, only, func(c *tls.Config) { c.ClientSessionCache = tls.NewLRUClientSessionCache(0) })
		resuming[version].DisableKeepAlives = true
	}
	expect := func(when string, want oauth.Reason) {
		t.Helper()
		for version := range tlsVersions {
			for range 2 {
				if reason, resumed, _ := m.call(t, resuming[version]); reason != want || resumed {
					t.Errorf("TL-08 %s, %s, a new connection: %s, resumed: %t; want %s", when, version, reason, resumed, want)
				}
			}
			if reason, _, reused := m.call(t, keptAlive[version]); reason != want || !reused && when != "at first" {
				t.Errorf("TL-08 %s, %s, kept alive: %s, the same connection: %t; want %s", when, version, reason, reused, want)
			}
		}
	}
	before, after := m.clients.PEM(), certificatetest.NewAuthority(t).PEM()
	expect("at first", oauth.ClientAuthMissing)
	rewrite(t, m.caFile, after)
	expect("with another authority", oauth.CertificateRefused)
	rewrite(t, m.caFile, slices.Concat(after, before))
	expect("with both", oauth.ClientAuthMissing)
	rewrite(t, m.caFile, []byte("no certificate"))
	expect("with a broken file", oauth.ClientAuthMissing)
	if !strings.Contains(m.logs.String(), "authorities of clients not read again") {
		t.Error("the log does not tell")
	}
	rewrite(t, m.caFile, after)
	expect("with another authority again", oauth.CertificateRefused)
}

// call asks the token endpoint for nothing, and tells why it was refused and over which connection.
func (m *mutual) call(t *testing.T, transport *http.Transport) (reason oauth.Reason, resumed, reused bool) {
	t.Helper()
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(c httptrace.GotConnInfo) { reused = c.Reused }})
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://localhost:8444/oauth2/token", strings.NewReader("x=y"))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", formType)
	response, err := transport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reasonOf(&flow.Exchange{ResponseBody: string(body)}), response.TLS.DidResume, reused
}

// TL-03 over a real connection: headers that a parser might join, fold or cut are refused; one that is too long is not read.
func TestForwardedOverTheWire(t *testing.T) {
	t.Parallel()
	a := certificatetest.NewAuthority(t)
	caFile := writeText(t, "clients.pem", string(a.PEM()))
	d := deploy(t, 0, func(s *settings) {
		s.MTLSClientCAFile, s.ClientCertHeader, s.RequireClientCertificate = caFile, "client-cert", "true"
		s.TrustedProxies = "127.0.0.0/8, ::1/128"
	})
	r := d.runReplica()
	sequence := func() string { return ":" + base64.StdEncoding.EncodeToString(a.Issue(t).Certificate[0]) + ":" }
	good, other := sequence(), sequence()
	for name, test := range map[string]struct{ lines, want string }{
		"one":                 {"Client-Cert: " + good, "401 client_authentication_missing"},
		"one, in small":       {"client-cert: " + good, "401 client_authentication_missing"},
		"none":                {"X: y", "400 certificate_missing"},
		"TL-03 two":           {"Client-Cert: " + good + "\r\nClient-Cert: " + other, "401 certificate_refused"},
		"TL-03 two, in small": {"Client-Cert: " + good + "\r\nCLIENT-CERT: " + other, "401 certificate_refused"},
		"TL-03 joined":        {"Client-Cert: " + good + ", " + other, "401 certificate_refused"},
		"TL-03 folded":        {"Client-Cert: " + good + "\r\n " + other, "401 certificate_refused"},
		"folded within":       {"Client-Cert: " + good[:40] + "\r\n\t" + good[40:], "401 certificate_refused"},
		"under another name":  {"Client_Cert: " + good, "400 certificate_missing"},
		"of another proxy":    {"X-Forwarded-Client-Cert: Cert=" + good, "400 certificate_missing"},
		"much too long":       {"Client-Cert: :" + strings.Repeat("A", 64<<10) + ":", "431 "},
		"a long chain":        {"Client-Cert: " + good + "\r\nClient-Cert-Chain: " + strings.Repeat(other+", ", 9) + other, "401 certificate_refused"},
	} {
		t.Run(name, func(t *testing.T) {
			connection, err := net.Dial("tcp", r.public)
			if err != nil {
				t.Fatal(err)
			}
			defer connection.Close()
			fmt.Fprintf(connection, "POST /oauth2/token HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\nContent-Length: 3\r\n%s\r\nConnection: close\r\n\r\nx=y", formType, test.lines)
			answer, err := io.ReadAll(connection)
			if err != nil && len(answer) == 0 {
				t.Fatal(err)
			}
			head, body, _ := strings.Cut(string(answer), "\r\n\r\n")
			got := strings.TrimPrefix(head, "HTTP/1.1 ")[:3] + " " + string(reasonOf(&flow.Exchange{ResponseBody: body}))
			if got != test.want {
				t.Errorf("%s, want %s: %s", got, test.want, answer)
			}
		})
	}
}
