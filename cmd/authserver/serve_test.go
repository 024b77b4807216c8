package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"authserver/internal/flow"
	"authserver/internal/store/storetest"

	"github.com/google/go-cmp/cmp"
)

// production is an environment that serve accepts, on a database of the test's own, with TLS from files.
type production struct {
	t         *testing.T
	port      string
	health    string // the port of the management listener
	issuer    string
	database  string
	authority *authority
	environ   []string
}

func newProduction(t *testing.T, database string) *production {
	t.Helper()
	p := &production{t: t, port: freePort(t), health: freePort(t), database: database, authority: newAuthority(t)}
	p.issuer = "https://localhost:" + p.port
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	writePair(t, p.authority.issue(t, "ECDSA", "localhost"), certFile, keyFile)
	p.environ = []string{
		"AUTHSERVER_ISSUER=" + p.issuer, "AUTHSERVER_LISTEN=127.0.0.1:" + p.port, "AUTHSERVER_MANAGEMENT_LISTEN=127.0.0.1:" + p.health,
		"AUTHSERVER_DATABASE_URL=" + database, "AUTHSERVER_KEY_ENCRYPTION_KEY=" + p.encryptionKey(),
		"AUTHSERVER_TLS_CERT_FILE=" + certFile, "AUTHSERVER_TLS_KEY_FILE=" + keyFile, "AUTHSERVER_DRAIN_DELAY=0s",
	}
	return p
}

func (p *production) encryptionKey() string {
	return base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, 32))
}

// with is the environment with some variables changed; an empty one counts as unset.
func (p *production) with(more ...string) []string {
	return append(p.environ[:len(p.environ):len(p.environ)], more...)
}

// must runs a sub-command that has to succeed and returns what it prints.
func (p *production) must(args ...string) string {
	p.t.Helper()
	code, stdout, stderr := program(p.t, p.environ, args...)
	if code != 0 {
		p.t.Fatalf("%q: code %d: %s%s", args, code, stdout, stderr)
	}
	return stdout
}

// refused runs serve, which must end with the code and say all the words.
func (p *production) refused(t *testing.T, environ []string, code int, words ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // one that does start ends with 0
	defer cancel()
	var stdout, stderr bytes.Buffer
	got := run(ctx, []string{"serve"}, environ, &streams{Stdout: &stdout, Stderr: &stderr, Plain: true})
	if got != code || !containsAll(stderr.String(), words) {
		t.Errorf("code %d, want %d with %q: %s", got, code, words, &stderr)
	}
}

// served is a serve that runs.
type served struct {
	*production
	stdout, stderr *lockedBuffer
	interrupt      context.CancelFunc
	code           chan int
}

func (p *production) start(more ...string) *served {
	p.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	s := &served{production: p, stdout: &lockedBuffer{}, stderr: &lockedBuffer{}, interrupt: cancel, code: make(chan int, 1)}
	go func() {
		s.code <- run(ctx, []string{"serve"}, p.with(more...), &streams{Stdout: s.stdout, Stderr: s.stderr, Plain: true})
	}()
	p.t.Cleanup(func() { s.end() })
	eventually(p.t, "serve takes traffic", func() bool {
		select {
		case code := <-s.code:
			s.code <- code
			p.t.Fatalf("serve ended with %d: %s", code, s.stderr)
		default:
		}
		code, _, _ := program(p.t, p.with(more...), "healthcheck")
		return code == 0
	})
	return s
}

// end interrupts serve and returns its exit code.
func (s *served) end() int {
	s.interrupt()
	code := <-s.code
	s.code <- code
	return code
}

func (s *served) server() *flow.Server {
	s.t.Helper()
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: s.authority.pool()}, DisableKeepAlives: true}
	server := &flow.Server{Issuer: s.issuer, HTTP: flow.NewHTTPClient(transport, time.Minute), Now: time.Now}
	if err := server.Discover(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	return server
}

// TestServeRefuses: whatever serve must not start with, it names, all at once, and with the right exit code.
func TestServeRefuses(t *testing.T) {
	p := newProduction(t, storetest.Empty(t))
	p.refused(t, nil, exitUsage, "issuer must be an absolute URL", "database-url is missing", "key-encryption-key is missing")
	p.refused(t, p.with("AUTHSERVER_ISSUER=http://localhost:8080"), exitUsage, "issuer must be https")
	p.refused(t, p.with("AUTHSERVER_ISSUER=http://as.example"), exitUsage, "issuer must be https")
	p.refused(t, p.with("AUTHSERVER_KEY_ENCRYPTION_KEY="), exitUsage, "key-encryption-key is missing")
	p.refused(t, p.with("AUTHSERVER_REGISTRATION=token"), exitUsage, "there is no initial-access-token")
	p.refused(t, p.with("AUTHSERVER_KEY_ROTATION=1h"), exitUsage, "key-rotation must be a duration from 24h")
	p.refused(t, p.with("AUTHSERVER_KEY_ROTATE=720h"), exitUsage, "AUTHSERVER_KEY_ROTATE is no setting; did you mean AUTHSERVER_KEY_ROTATION?")
	p.refused(t, p.with("AUTHSERVER_DATABASE_URL=postgres://127.0.0.1:1/x"), exitUnreachable, "the database does not answer")

	p.refused(t, p.environ, exitUsage, "the database lacks", "00001_first_house.sql", "authserver migrate up")
	p.must("migrate", "up")
	s := p.start()
	p.refused(t, p.with("AUTHSERVER_MANAGEMENT_LISTEN=127.0.0.1:0"), exitUsage, "address already in use")
	if code := s.end(); code != 0 {
		t.Errorf("interrupted, serve ended with %d: %s", code, s.stderr)
	}
	p.refused(t, p.with("AUTHSERVER_ISSUER=https://other.example"), exitUsage, "belongs to the issuer "+p.issuer)
	lost := "AUTHSERVER_KEY_ENCRYPTION_KEY=" + base64.StdEncoding.EncodeToString(make([]byte, 32))
	p.refused(t, p.with(lost), exitUsage, "signing key ", "was AUTHSERVER_KEY_ENCRYPTION_KEY replaced or lost?")
	storetest.Execute(t, p.database, `DELETE FROM signing_key`) // the way out that UPGRADING.md names
	p.environ = p.with(lost)
	p.start().end()
	storetest.Execute(t, p.database, `INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, true)`)
	p.start().end() // the schema of the next release is no obstacle (UPGRADING.md)
	storetest.Execute(t, p.database, `DELETE FROM goose_db_version WHERE version_id = 99999`)
	p.must("migrate", "down", "--yes")
	p.refused(t, p.environ, exitUsage, "the database lacks 1 migration")
}

// TestServeRefusesDevDatabase: what dev has stamped is never served, nor the other way round.
func TestServeRefusesDevDatabase(t *testing.T) {
	d := deploy(t, 1, nil)
	newProduction(t, d.url).refused(t, newProduction(t, d.url).with("AUTHSERVER_ISSUER="+strings.Replace(d.issuer, "http:", "https:", 1)), exitUsage,
		`belongs to an authserver in mode "dev", not "serve"`)
}

// TestServe: one replica from an empty database to a bound token, with what it says of itself.
func TestServe(t *testing.T) {
	p := newProduction(t, storetest.Empty(t))
	p.must("migrate", "up")
	p.must("config", "validate")
	s := p.start()
	for _, want := range []string{`"msg":"serving"`, `"issuer":"` + p.issuer + `"`, `"metadata":"` + p.issuer + `/.well-known/oauth-authorization-server"`,
		`"htu":"` + p.issuer + `/oauth2/token"`, `"off":["demo people","mutual TLS (see AUTHSERVER_MTLS_LISTEN)","registration over the network","login (no person can say yes; see AUTHSERVER_LOGIN)"]`} {
		if !strings.Contains(s.stderr.String(), want) {
			t.Errorf("the boot log has no %s: %s", want, s.stderr)
		}
	}
	server := s.server()
	if at := server.Metadata.RegistrationEndpoint; at != "" {
		t.Errorf("registration is closed and in the metadata: %s", at)
	}
	key, err := flow.GenerateKey("ES256")
	if err != nil {
		t.Fatal(err)
	}
	outcome(t, do(t, server, &flow.Request{Method: http.MethodPost, URL: p.issuer + "/fdx/v6/register", JSON: metadata(key)}), "403 access_denied")
	outcome(t, do(t, server, &flow.Request{Method: http.MethodGet, URL: p.issuer + "/demo/accounts"}), "404 invalid_request")
	if code := s.end(); code != 0 {
		t.Errorf("interrupted, serve ended with %d: %s", code, s.stderr)
	}
}

// TestServeTellsOfCertificatesThatAreNotCounted: only where there may be such.
func TestServeTellsOfCertificatesThatAreNotCounted(t *testing.T) {
	private := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	for _, test := range []struct {
		listen  string
		proxies []netip.Prefix
		want    bool
	}{{"", nil, false}, {":8444", nil, false}, {"", private, false}, {":8444", private, true}} {
		off := switchedOff(config{trustedProxies: test.proxies, mtls: mutualTLS{listen: test.listen}})
		if got := strings.Contains(strings.Join(off, "\n"), "client certificates from AUTHSERVER_TRUSTED_PROXIES"); got != test.want {
			t.Errorf("%q and %v: %q", test.listen, test.proxies, off)
		}
	}
}

// TestMigrateCommand: up, status and down say what they did.
func TestMigrateCommand(t *testing.T) {
	p := newProduction(t, storetest.Empty(t))
	code, stdout, _ := program(t, p.environ, "migrate", "status")
	if code != exitFailed || !strings.Contains(stdout, "00001_first_house.sql") || !strings.Contains(stdout, "pending") {
		t.Errorf("status of an empty database: code %d: %s", code, stdout)
	}
	if up := p.must("migrate", "up"); !strings.HasPrefix(up, "applied 00001_first_house.sql\n") {
		t.Errorf("up: %s", up)
	}
	if again := p.must("migrate", "up"); again != "nothing to do\n" {
		t.Errorf("up again: %s", again)
	}
	var steps []struct {
		Version   int
		AppliedAt *time.Time `json:"applied_at"`
	}
	if err := json.Unmarshal([]byte(p.must("migrate", "status", "--json")), &steps); err != nil || len(steps) < 2 || steps[1].Version != 2 || steps[1].AppliedAt == nil {
		t.Errorf("status: %v, %v", steps, err)
	}
	if code, _, stderr := program(t, p.environ, "migrate", "down"); code != exitUsage || !strings.Contains(stderr, "--yes") {
		t.Errorf("down without --yes: code %d: %s", code, stderr)
	}
	for i := len(steps); i > 0; i-- {
		if down := p.must("migrate", "down", "--yes"); !strings.HasPrefix(down, "took back 0000") {
			t.Errorf("down: %s", down)
		}
	}
	if down := p.must("migrate", "down", "--yes"); down != "nothing to do\n" {
		t.Errorf("down from nothing: %s", down)
	}
}

// TestServeSaysWhoSignsPeopleIn: nobody unless it is set, a password only with a warning, and an OpenID provider also while it
// is away.
func TestServeSaysWhoSignsPeopleIn(t *testing.T) {
	const off, warned = "login (no person can say yes", "there is no second factor and no recovery"
	p := newProduction(t, storetest.Empty(t))
	p.must("migrate", "up")
	for name, test := range map[string]struct {
		settings     []string
		off, warning bool
	}{
		"nobody":             {nil, true, false},
		"this server":        {[]string{"AUTHSERVER_LOGIN=builtin"}, false, true},
		"an OpenID provider": {upstreamOf("https://127.0.0.1:1"), false, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := p.start(test.settings...)
			defer s.end()
			log := s.stderr.String()
			if strings.Contains(log, off) != test.off || strings.Contains(log, warned) != test.warning {
				t.Errorf("the boot log: %s", log)
			}
			if pushes := s.server().Metadata.PushedAuthorizationRequestEndpoint != ""; pushes == test.off {
				t.Errorf("the metadata has an endpoint for pushed requests: %v", pushes)
			}
		})
	}
}

// TestConfigPrint: every setting with its value and its source, and no secret.
func TestConfigPrint(t *testing.T) {
	issuer := writeText(t, "issuer", "https://as.example\n")
	yaml := writeText(t, "config.yaml", "scopes: [a, b]\nregistration: open\n")
	code, stdout, stderr := program(t, []string{"AUTHSERVER_ISSUER_FILE=" + issuer, "AUTHSERVER_CONFIG=" + yaml,
		"AUTHSERVER_DATABASE_URL=postgres://user:hunter2@db/x", "AUTHSERVER_KEY_ENCRYPTION_KEY=c2hvcnQ=",
		"AUTHSERVER_LOGIN_OIDC_ISSUER=https://login.example", "AUTHSERVER_LOGIN_OIDC_CLIENT_ID=bank", "AUTHSERVER_LOGIN_OIDC_CLIENT_SECRET=hunter2"}, "config", "print", "--json", "--dpop-nonce", "optional")
	if code != exitUsage || !strings.Contains(stderr, "1 problem") {
		t.Errorf("code %d: %s", code, stderr)
	}
	var lines []setting
	if err := json.Unmarshal([]byte(stdout), &lines); err != nil {
		t.Fatal(err)
	}
	got := map[string]setting{}
	for _, line := range lines {
		got[line.Name] = line
	}
	for _, want := range []setting{
		{"issuer", "https://as.example", issuer + ", named by AUTHSERVER_ISSUER_FILE"}, {"scopes", "a,b", yaml}, {"registration", "open", yaml},
		{"dpop-nonce", "optional", "flag"}, {"listen", ":8080", "default"},
		{"database-url", "[redacted]", "AUTHSERVER_DATABASE_URL"}, {"key-encryption-key", "[redacted]", "AUTHSERVER_KEY_ENCRYPTION_KEY"},
		{"login-oidc-client-secret", "[redacted]", "AUTHSERVER_LOGIN_OIDC_CLIENT_SECRET"}, {"login", "oidc", "default"},
	} {
		if diff := cmp.Diff(want, got[want.Name]); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	if strings.Contains(stdout+stderr, "hunter2") || strings.Contains(stdout+stderr, "c2hvcnQ") {
		t.Error("a secret is printed")
	}
}
