package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"authserver/internal/certificate/certificatetest"
	"authserver/internal/flow"
	"authserver/internal/leaveout"
	"authserver/internal/oauth"
)

// The issuer behind nginx, and the host where it asks for certificates, as docs/mtls.md has it.
const (
	nginxIssuer = "https://as.bank.example"
	nginxAlias  = "https://mtls.as.bank.example"
)

// nginx is a real one, in front of all replicas of a deployment.
type nginx struct {
	*deployment
	address string
}

// deployBehind starts two replicas without TLS, for proxies that tell of certificates in a header. Of the proxies one is listed.
func deployBehind(t *testing.T, header string) *deployment {
	t.Helper()
	clients := certificatetest.NewAuthority(t)
	d := deploy(t, 0, func(s *settings) {
		s.Issuer, s.MTLSURL, s.MTLSClientCAFile = nginxIssuer, nginxAlias, writeText(t, "clients.pem", string(clients.PEM()))
		s.TrustedProxies, s.ClientCertHeader = certifiedProxy+"/32", header
	})
	servers := d.authority
	d.authority, d.clients = nil, clients
	d.start()
	d.start()
	d.authority = servers // of what nginx shows
	return d
}

// listed has nginx come from the address that is believed.
var listed = []string{"proxy_pass ", "proxy_bind " + certifiedProxy + "; proxy_pass "}

// nginxOf is docs/mtls.md's configuration of nginx for a header.
func nginxOf(t *testing.T, header string) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/mtls.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```nginx\n(.*?)```").FindAllStringSubmatch(string(text), -1)
	if len(blocks) != 2 {
		t.Fatalf("docs/mtls.md has %d configurations of nginx", len(blocks))
	}
	const set = "proxy_set_header X-SSL-Client-Cert $ssl_client_escaped_cert;"
	instead := "proxy_set_header X-Forwarded-Client-Cert $forwarded_client_cert;"
	if !strings.Contains(blocks[0][1], set) || !strings.Contains(string(text), "`"+instead+"`") {
		t.Fatal("docs/mtls.md sets another header")
	}
	if header == "X-Forwarded-Client-Cert" {
		return blocks[1][1] + strings.Replace(blocks[0][1], set, instead, 1)
	}
	return blocks[0][1]
}

// startNginx puts nginx in front, as a configuration has it but for what is replaced, old and new in turn.
func (d *deployment) startNginx(t *testing.T, configuration string, replaced ...string) nginx {
	t.Helper()
	program, err := exec.LookPath("nginx")
	if err != nil {
		if program, err = exec.LookPath("/usr/sbin/nginx"); err != nil {
			leaveout.Test(t, "there is no nginx in the PATH or in /usr/sbin (deploy/nginx installs it)")
		}
	}
	dir, n := t.TempDir(), nginx{d, "127.0.0.1:" + freePort(t)}
	writePair(t, d.authority.issue(t, "ECDSA", hostOf(nginxIssuer), hostOf(nginxAlias)), filepath.Join(dir, "tls.crt"),
		filepath.Join(dir, "tls.key"))
	for i := 0; i < len(replaced); i += 2 {
		if !strings.Contains(configuration, replaced[i]) {
			t.Fatalf("the configuration has no %q", replaced[i])
		}
	}
	replaced = append(replaced, "listen 443 ", "listen "+n.address+" ", "http://authserver:8080", "http://authserver")
	text := "daemon off;\nmaster_process off;\npid nginx.pid;\nerror_log stderr warn;\nevents {}\nhttp {\naccess_log off;\n" +
		"upstream authserver { server " + strings.Join(d.hosts, "; server ") + "; keepalive 4; }\n"
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		text += kind + "_temp_path " + kind + ";\n"
	}
	text += strings.NewReplacer(replaced...).Replace(configuration) + "}\n"
	if err := os.WriteFile(filepath.Join(dir, "nginx.conf"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	said := &lockedBuffer{}
	command := exec.Command(program, "-p", dir, "-e", "stderr", "-c", filepath.Join(dir, "nginx.conf"))
	command.Stdout, command.Stderr = said, said
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	t.Cleanup(func() {
		_ = command.Process.Signal(os.Interrupt)
		<-ended
	})
	eventually(t, "nginx listens", func() bool {
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("nginx ended: %v\n%s", err, said)
		default:
		}
		connection, err := net.Dial("tcp", n.address)
		if err == nil {
			_ = connection.Close()
		}
		return err == nil
	})
	return n
}

// transport reaches nginx under the issuer's names, with a certificate.
func (n nginx) transport(shown tls.Certificate) *http.Transport {
	n.t.Helper()
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: n.authority.pool()},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, n.address)
		},
	}
	if len(shown.Certificate) > 0 {
		transport.TLSClientConfig.Certificates = []tls.Certificate{shown}
	}
	n.t.Cleanup(transport.CloseIdleConnections)
	return transport
}

// showing is the issuer as a client with a certificate sees it through nginx.
func (n nginx) showing(shown tls.Certificate, edits ...func(*http.Transport)) *flow.Server {
	n.t.Helper()
	return n.seenThrough(n.transport(shown), shown, edits...)
}

// at is the client through nginx, with a certificate.
func (n nginx) at(c *flow.Client, shown tls.Certificate, edits ...func(*http.Transport)) *flow.Client {
	n.t.Helper()
	moved := *c
	moved.Server = n.showing(shown, edits...)
	return &moved
}

// enrol registers a client over a connection without a certificate.
func (n nginx) enrol(more ...func(map[string]any)) *flow.Client {
	n.t.Helper()
	s, k := n.showing(tls.Certificate{}), key(n.t, "ES256")
	c, err := s.Register(n.t.Context(), s.RegisterRequest(metadata(k, more...)), k, key(n.t, "ES256"))
	if err != nil {
		n.t.Fatal(err)
	}
	return c
}

// certified registers a client whose certificate is all that it has.
func (n nginx) certified(shown tls.Certificate) *flow.Client {
	n.t.Helper()
	c := n.enrol(bySubject(shown), boundToCertificate)
	c.CertificateAuth, c.CertificateBound = true, true
	return c
}

// byNginx are certificates as nginx tells of them, by the header's name.
var byNginx = map[string]func(tls.Certificate) string{
	"X-SSL-Client-Cert":       func(shown tls.Certificate) string { return url.PathEscape(inPEM(shown)) },
	"X-Forwarded-Client-Cert": func(shown tls.Certificate) string { return `Cert="` + url.PathEscape(inPEM(shown)) + `"` },
}

// Behind nginx, configured as docs/mtls.md has it, a client has the certificate that it has proven to nginx, and what it
// writes into headers itself counts for nothing; an nginx that is not listed is believed nothing at all (TL-02), and one that
// lets the client's header through is not believed in what it adds (TL-03).
func TestBehindNginx(t *testing.T) {
	t.Parallel()
	for header, tell := range byNginx {
		t.Run(header, func(t *testing.T) {
			d := deployBehind(t, header)
			shown, own := d.vouched("a"), d.vouched("b")
			n := d.startNginx(t, nginxOf(t, header), listed...)
			c, attacker := n.certified(shown), n.certified(own)
			t.Run("TL-01", func(t *testing.T) { n.within(t).proves(c, shown) })
			t.Run("TL-02 the client's own headers", func(t *testing.T) { n.within(t).hearsay(c, attacker, shown, own) })
			t.Run("TL-04", func(t *testing.T) { n.within(t).strangers(t) })
			t.Run("TL-09 by a proxy that keeps its connections", func(t *testing.T) {
				kept := d.startNginx(t, nginxOf(t, header), append(listed, "location / {",
					`location / { proxy_http_version 1.1; proxy_set_header Connection "";`)...)
				for range 3 {
					certifiedBy(t, do(t, kept.within(t).showing(shown), c.TokenRequest(nil)), shown)
					kept.within(t).nobody(kept.within(t).showing(tls.Certificate{}), c.ID, oauth.ClientAuthMissing)
					kept.within(t).nobody(kept.within(t).showing(own), c.ID, oauth.ClientNotProven)
				}
			})
			t.Run("TL-02 not listed", func(t *testing.T) {
				other := d.startNginx(t, nginxOf(t, header)).within(t)
				for _, s := range []*flow.Server{other.showing(shown), other.showing(tls.Certificate{}), other.showing(own)} {
					other.nobody(s, c.ID, oauth.ClientAuthMissing)
					other.nobody(s, c.ID, oauth.ClientAuthMissing, header, tell(shown))
				}
			})
			set := regexp.MustCompile(`(?i)proxy_set_header ` + header + ` .*`).FindString(nginxOf(t, header))
			variable := "$http_" + strings.ToLower(strings.ReplaceAll(header, "-", "_"))
			for name, careless := range map[string]string{
				"TL-03 the client's first":   "proxy_set_header " + header + " " + variable + ";\n" + set,
				"TL-03 the client's last":    set + "\nproxy_set_header " + header + " " + variable + ";",
				"TL-03 one behind the other": strings.Replace(set, "$", variable+"$", 1),
				"TL-03 joined":               strings.Replace(set, "$", variable+",$", 1),
				"TL-03 joined the other way": regexp.MustCompile(`\$\w+;`).ReplaceAllStringFunc(set,
					func(own string) string { return strings.TrimSuffix(own, ";") + "," + variable + ";" }),
			} {
				t.Run(name, func(t *testing.T) {
					through := d.startNginx(t, nginxOf(t, header), append(listed, set, careless)...).within(t)
					for _, written := range []tls.Certificate{shown, own} {
						through.nobody(through.showing(own), c.ID, oauth.CertificateRefused, header, tell(written))
						through.nobody(through.showing(own), attacker.ID, oauth.CertificateRefused, header, tell(written))
					}
				})
			}
		})
	}
}

func (n nginx) within(t *testing.T) nginx { return nginx{n.deployment.within(t), n.address} }

// proves has a client use its certificate.
func (n nginx) proves(c *flow.Client, shown tls.Certificate) {
	n.t.Helper()
	for _, only := range tlsVersions {
		moved := n.at(c, shown, speaking(only))
		for range 4 { // which reach both replicas
			access := certifiedBy(n.t, do(n.t, moved.Server, moved.TokenRequest(nil)), shown)
			used := &flow.Request{Method: http.MethodGet, URL: nginxAlias + "/demo/accounts"}
			n.expect(moved, moved.Present(used, access), "200")
			refusedFor(n.t, do(n.t, n.showing(tls.Certificate{}), moved.Present(used, access)), "401 invalid_token",
				oauth.TokenKey)
		}
	}
	asserting := n.enrol()
	boundTo(n.t, do(n.t, asserting.Server, asserting.TokenRequest(nil)), asserting.DPoPKey)
}

// hearsay: a client with another certificate, or none, writes what it likes.
func (n nginx) hearsay(c, attacker *flow.Client, shown, own tls.Certificate) {
	n.t.Helper()
	for name, values := range hearsay(shown) {
		n.nobody(n.showing(tls.Certificate{}), c.ID, oauth.ClientAuthMissing, name, values[0])
		n.nobody(n.showing(own), c.ID, oauth.ClientNotProven, name, values[0])
	}
	for name, tell := range byNginx {
		n.nobody(n.showing(tls.Certificate{}), c.ID, oauth.ClientAuthMissing, name, tell(shown))
		n.nobody(n.showing(own), c.ID, oauth.ClientNotProven, strings.ReplaceAll(name, "-", "_"), tell(shown))
		moved := n.at(attacker, own)
		certifiedBy(n.t, do(n.t, moved.Server, moved.TokenRequest(nil).SetHeader(name, tell(shown))), own)
	}
}

// nobody wants a client that calls itself this to be refused, whatever it writes into a header.
func (n nginx) nobody(s *flow.Server, id string, reason oauth.Reason, header ...string) {
	n.t.Helper()
	for _, r := range certificateAlone(s, id) {
		if len(header) > 0 {
			r.SetHeader(header[0], header[1])
		}
		if e := do(n.t, s, r); e.Outcome() != "401 invalid_client" || reasonOf(e) != reason {
			n.t.Errorf("%s with %.60q: %s (%s), want %s", r.URL, header, e.Outcome(), reasonOf(e), reason)
		}
	}
}

// strangers are certificates that nginx refuses itself, or lets through for the server to judge.
func (n nginx) strangers(t *testing.T) {
	for name, test := range map[string]struct {
		shown tls.Certificate
		want  int
	}{
		"expired": {n.vouched("x", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }),
			http.StatusBadRequest},
		"for servers only": {n.vouched("y", usages(x509.ExtKeyUsageServerAuth)), http.StatusUnauthorized},
		"unknown CA":       {certificatetest.SelfSigned(t, company("z")), http.StatusUnauthorized},
	} {
		c := n.certified(test.shown)
		response, err := n.transport(test.shown).RoundTrip(n.asForm(c.TokenRequest(nil)))
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		if response.StatusCode != test.want {
			t.Errorf("%s: %d", name, response.StatusCode)
		}
	}
}

// asForm is a request as flow would send it.
func (n nginx) asForm(r *flow.Request) *http.Request {
	n.t.Helper()
	sent, err := http.NewRequestWithContext(n.t.Context(), r.Method, r.URL, strings.NewReader(r.Form.Encode()))
	if err != nil {
		n.t.Fatal(err)
	}
	sent.Header.Set("Content-Type", formType)
	return sent
}
