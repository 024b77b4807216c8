package main

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"authserver/internal/certificate/certificatetest"
	"authserver/internal/flow"
	"authserver/internal/leaveout"
	"authserver/internal/oauth"
)

// rewrite puts a file into the place of another, at a time of its own: file systems keep times in steps.
func rewrite(t testing.TB, path string, text []byte) {
	t.Helper()
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	at := before.ModTime().Add(time.Second)
	if err := os.Chtimes(path, at, at); err != nil {
		t.Fatal(err)
	}
}

// line is one way to keep to a server: over one connection, or over new ones that would resume the session of the first.
type line struct {
	*flow.Client
	name                string
	handshakes, resumed *atomic.Int32
}

func (d *deployment) lines(c *flow.Client, shown tls.Certificate) (all []line) {
	d.t.Helper()
	for i := range d.replicas {
		for version, only := range tlsVersions {
			for name, keepsAlive := range map[string]bool{"kept alive": true, "resuming": false} {
				l := line{Client: &flow.Client{}, name: name + ", " + version, handshakes: &atomic.Int32{},
					resumed: &atomic.Int32{}}
				*l.Client = *c
				l.Server = d.showing(i, shown, speaking(only), func(transport *http.Transport) {
					transport.DisableKeepAlives = !keepsAlive
					transport.TLSClientConfig.ClientSessionCache = tls.NewLRUClientSessionCache(0)
					transport.TLSClientConfig.VerifyConnection = func(s tls.ConnectionState) error {
						if s.ServerName != hostOf(certifiedAlias) {
							return nil
						}
						if l.handshakes.Add(1); s.DidResume {
							l.resumed.Add(1)
						}
						return nil
					}
				})
				all = append(all, l)
			}
		}
	}
	return all
}

// anchorsTakenAway: TL-08. From the next request on nobody is vouched for by an authority that the operator has taken away: on
// a connection that stays, and on a new one, which must make a handshake of its own. When it comes back, so do its clients.
func anchorsTakenAway(t *testing.T, _ *deployment) {
	d := deployCertified(t, 2, nil)
	shown := d.vouched("TL-08")
	lines := d.lines(d.certified(0, shown), shown)
	before, err := os.ReadFile(d.config.mtls.caFile)
	if err != nil {
		t.Fatal(err)
	}
	another := certificatetest.NewAuthority(t).PEM()
	expect := func(when string, vouched bool) {
		t.Helper()
		for _, l := range lines {
			handshakes := l.handshakes.Load()
			for range 2 {
				if e := do(t, l.Server, l.TokenRequest(nil)); vouched {
					certifiedBy(t, e, shown)
				} else {
					refusedFor(t, e, "401 invalid_client", oauth.ClientNotProven)
				}
			}
			made := l.handshakes.Load() - handshakes
			if kept := strings.HasPrefix(l.name, "kept"); kept && made != 0 && when != "at first" || !kept && made != 2 ||
				l.resumed.Load() != 0 {
				t.Errorf("%s, %s: %d handshakes, %d sessions resumed", when, l.name, made, l.resumed.Load())
			}
		}
	}
	expect("at first", true)
	rewrite(t, d.config.mtls.caFile, another)
	expect("with another authority", false)
	rewrite(t, d.config.mtls.caFile, slices.Concat(another, before))
	expect("with both", true)
}

// agreed is what openssl finds out about a listener.
type agreed struct{ version, suite string } // both empty: it failed

// openssl shakes hands with a listener, by this version and with these suites. It is ready for everything that it knows, so
// that nothing but the other side decides.
func openssl(t *testing.T, address, version, suites string) agreed {
	t.Helper()
	args := []string{"s_client", "-connect", address, "-servername", "localhost", "-brief", version}
	if version != "-tls1_3" {
		args = append(args, "-cipher", suites+":@SECLEVEL=0")
	}
	command := exec.CommandContext(t.Context(), "openssl", args...)
	command.Env = append(os.Environ(), "OPENSSL_CONF=/dev/null")
	text, err := command.CombinedOutput()
	h := agreed{after(string(text), "Protocol version: "), after(string(text), "Ciphersuite: ")}
	if (err == nil) != (h.version != "") {
		t.Fatalf("%q: %v\n%s", args, err, text)
	}
	return h
}

// after is the rest of the line that begins with a word.
func after(text, word string) string {
	_, rest, _ := strings.Cut("\n"+text, "\n"+word)
	line, _, _ := strings.Cut(rest, "\n")
	return strings.TrimSpace(line)
}

// opensslSuites are all suites of TLS 1.2 that openssl could agree to, but for some.
func opensslSuites(t *testing.T, but ...string) string {
	t.Helper()
	command := exec.CommandContext(t.Context(), "openssl", "ciphers", "-tls1_2", "ALL:COMPLEMENTOFALL:@SECLEVEL=0")
	command.Env = append(os.Environ(), "OPENSSL_CONF=/dev/null")
	text, err := command.Output()
	if err != nil {
		t.Fatal(err)
	}
	all := strings.Split(strings.TrimSpace(string(text)), ":")
	left := slices.DeleteFunc(slices.Clone(all), func(suite string) bool {
		return slices.Contains(but, suite) || strings.HasPrefix(suite, "TLS_")
	})
	if len(left) < 50 {
		t.Fatalf("openssl knows only %q", all)
	}
	return strings.Join(left, ":")
}

// seenByOpenSSL: TL-10, with the eyes of another library, which would agree to what the server must not: it does with a
// server that lets it. Of TLS 1.2 there are four suites on both listeners together, two for each type of key.
func seenByOpenSSL(t *testing.T, _ *deployment) {
	if _, err := exec.LookPath("openssl"); err != nil {
		leaveout.Test(t, "there is no openssl in the PATH (Debian: apt-get install openssl)")
	}
	recommended := map[string][]string{
		"ECDSA": {"ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384"},
		"RSA":   {"ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384"},
	}
	for keyType, suites := range recommended {
		a := newAuthority(t)
		d, _, _ := overTLS(t, a, keyType)
		r := d.runReplica()
		others := opensslSuites(t, suites...)
		for name, address := range map[string]string{"public": r.public, "mutual": r.mutual} {
			t.Run(keyType+", "+name, func(t *testing.T) {
				for _, suite := range suites {
					if got := openssl(t, address, "-tls1_2", suite); got != (agreed{"TLSv1.2", suite}) {
						t.Errorf("%s: %+v", suite, got)
					}
				}
				if got := openssl(t, address, "-tls1_2", others); got.suite != "" {
					t.Errorf("TLS 1.2 with %s", got.suite)
				}
				for _, old := range []string{"-tls1_1", "-tls1"} {
					if got := openssl(t, address, old, "ALL:COMPLEMENTOFALL"); got.version != "" {
						t.Errorf("%s: %+v", old, got)
					}
				}
				if got := openssl(t, address, "-tls1_3", ""); got.version != "TLSv1.3" ||
					!strings.HasPrefix(got.suite, "TLS_") {
					t.Errorf("TLS 1.3: %+v", got)
				}
			})
		}
		t.Run(keyType+", a server that lets it", func(t *testing.T) {
			careless := carelessServer(t, a.issue(t, keyType, "localhost"))
			for _, old := range []string{"-tls1_1", "-tls1"} {
				if got := openssl(t, careless, old, "ALL:COMPLEMENTOFALL"); got.version == "" {
					t.Errorf("%s is beyond this openssl", old)
				}
			}
			if got := openssl(t, careless, "-tls1_2", others); got.suite == "" {
				t.Error("TLS 1.2 with any other suite is beyond this openssl")
			}
		})
	}
}

// carelessServer takes every version and suite.
func carelessServer(t *testing.T, pair tls.Certificate) (address string) {
	t.Helper()
	var suites []uint16
	for _, suite := range slices.Concat(tls.CipherSuites(), tls.InsecureCipherSuites()) {
		suites = append(suites, suite.ID)
	}
	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	s.TLS = &tls.Config{MinVersion: tls.VersionTLS10, CipherSuites: suites, Certificates: []tls.Certificate{pair}}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// notAskedAbout: TL-11, as docs/mtls.md says it: nobody asks whether an authority has revoked a certificate, be it named in the
// certificate where to. Whoever must not come in any more is kept out here.
func notAskedAbout(t *testing.T, d *deployment) {
	var told atomic.Bool
	list := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { told.Store(true) }))
	defer list.Close()
	revoked := d.vouched("TL-11", func(c *x509.Certificate) {
		c.CRLDistributionPoints, c.OCSPServer, c.IssuingCertificateURL = []string{list.URL + "/crl"},
			[]string{list.URL + "/ocsp"}, []string{list.URL + "/ca"}
	})
	c := d.certified(0, revoked)
	for i := range d.replicas {
		moved := d.at(c, i)
		certifiedBy(t, d.expect(moved, moved.TokenRequest(nil), "200"), revoked)
	}
	if told.Load() {
		t.Error("the certificate's authority was asked")
	}
	if deleted, err := d.store.DeleteClient(t.Context(), c.ID, nil, d.clock.now()); err != nil || !deleted {
		t.Fatal(deleted, err)
	}
	d.provesNothing(c.ID, revoked, oauth.ClientNotProven)
	text, err := os.ReadFile("../../docs/mtls.md")
	if says := "Revocation lists and OCSP are **not** looked at"; err != nil || !strings.Contains(string(text), says) {
		t.Errorf("docs/mtls.md does not say %q: %v", says, err)
	}
}
