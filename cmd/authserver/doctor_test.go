package main

import (
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"authserver/internal/person"
	"authserver/internal/store/storetest"
)

// examine runs doctor and returns its findings by check.
func (p *production) examine(t *testing.T, wantCode int, environ []string, args ...string) map[string]finding {
	t.Helper()
	code, stdout, stderr := program(t, environ, append([]string{"doctor", "--json", "--timeout", "60s"}, args...)...)
	var findings []finding
	if err := json.Unmarshal([]byte(stdout), &findings); err != nil {
		t.Fatalf("code %d, %v: %s%s", code, err, stdout, stderr)
	}
	if code != wantCode {
		t.Errorf("code %d, want %d: %s", code, wantCode, stdout)
	}
	by := map[string]finding{}
	for _, f := range findings {
		if _, twice := by[f.Check]; twice {
			t.Errorf("%s has two findings", f.Check)
		}
		by[f.Check] = f
	}
	return by
}

// serveRoles makes the two roles on a database and returns its URL as the serving one.
func serveRoles(t *testing.T, database string) (migrating, serving string) {
	t.Helper()
	roles, err := os.ReadFile("../../deploy/postgres/roles.sql")
	if err != nil {
		t.Fatal(err)
	}
	storetest.Execute(t, database, string(roles))
	return storetest.As(t, "authserver_migrate", database), storetest.As(t, "authserver_serve", database)
}

// TestDoctor: a deployment as the README sets it up has nothing to complain of, and each thing that may be wrong with it
// is found by its own check and no other.
func TestDoctor(t *testing.T) {
	migrating, serving := serveRoles(t, storetest.Empty(t))
	p := newProduction(t, serving)
	ca := p.authority.writeFile(t)
	before := p.examine(t, exitFailed, p.environ, "--ca-cert", ca)
	for check, want := range map[string]string{"issuer": failed, "TLS": failed, "migrations": failed, "config": passed, "database": passed, "clock": passed, "replica": skipped} {
		if before[check].State != want {
			t.Errorf("on an empty database nobody serves, %s: %+v, want %s", check, before[check], want)
		}
	}
	if code, _, stderr := program(t, p.with("AUTHSERVER_DATABASE_URL="+migrating), "migrate", "up"); code != 0 {
		t.Fatal(stderr)
	}
	s := p.start()
	for check, f := range p.examine(t, 0, p.environ, "--ca-cert", ca) {
		if f.State != passed && check != "TLS" { // the test's certificate lives an hour
			t.Errorf("%+v", f)
		}
	}
	otherKey := base64.StdEncoding.EncodeToString(make([]byte, 32))
	other := httptest.NewTLSServer(http.NotFoundHandler())
	defer other.Close()
	empty := writeText(t, "accounts.json", `{"people": []}`)
	for _, test := range []struct {
		name, check, state, detail string
		environ                    []string
		args                       []string
	}{
		{"the certificate ends soon", "TLS", warning, "ends in 0 days", nil, []string{"--ca-cert", ca}},
		{"an authority that nobody knows", "TLS", failed, "unknown authority", nil, nil},
		{"a setting is wrong", "config", failed, "dpop-nonce must be one of", []string{"AUTHSERVER_DPOP_NONCE=maybe"}, []string{"--ca-cert", ca}},
		{"a name that no setting has", "config", failed, "AUTHSERVER_ISSUR is no setting", []string{"AUTHSERVER_ISSUR=x"}, []string{"--ca-cert", ca}},
		{"another issuer", "stamp", failed, "belongs to mode serve, issuer " + p.issuer, []string{"AUTHSERVER_ISSUER=https://127.0.0.1:" + p.port}, nil},
		{"something else answers", "issuer", failed, "", []string{"AUTHSERVER_ISSUER=" + other.URL}, nil},
		{"no database", "database", failed, "", []string{"AUTHSERVER_DATABASE_URL=postgres://127.0.0.1:1/x"}, []string{"--ca-cert", ca}},
		{"no database named", "database", failed, "database-url is missing", []string{"AUTHSERVER_DATABASE_URL="}, []string{"--ca-cert", ca}},
		{"a role that may change the schema", "database", warning, "may change the schema", []string{"AUTHSERVER_DATABASE_URL=" + migrating}, []string{"--ca-cert", ca}},
		{"the key-encryption key is lost", "keys", failed, "was AUTHSERVER_KEY_ENCRYPTION_KEY replaced or lost?", []string{"AUTHSERVER_KEY_ENCRYPTION_KEY=" + otherKey}, []string{"--ca-cert", ca}},
		{"a new key-encryption key", "keys", warning, "sealed under an older", []string{"AUTHSERVER_KEY_ENCRYPTION_KEY=" + otherKey + "," + p.encryptionKey()}, []string{"--ca-cert", ca}},
		{"every proxy is trusted", "proxies", failed, "choose its own address", []string{"AUTHSERVER_TRUSTED_PROXIES=0.0.0.0/0"}, []string{"--ca-cert", ca}},
		{"a proxy ends TLS and is not trusted", "proxies", warning, "limits and logs see the proxy", []string{"AUTHSERVER_TLS_CERT_FILE=", "AUTHSERVER_TLS_KEY_FILE="}, []string{"--ca-cert", ca}},
		{"the cloud's metadata service is open", "key fetch", failed, "metadata service", []string{"AUTHSERVER_JWKS_ALLOW_CIDRS=169.254.0.0/16"}, []string{"--ca-cert", ca}},
		{"a private range is open", "key fetch", warning, "10.0.0.1", []string{"AUTHSERVER_JWKS_ALLOW_CIDRS=10.0.0.0/8"}, []string{"--ca-cert", ca}},
		{"people sign in with a password", "login", warning, "nobody can sign in yet", []string{"AUTHSERVER_LOGIN=builtin"}, []string{"--ca-cert", ca}},
		{"the OpenID provider is away", "login", failed, "refused", upstreamOf("https://127.0.0.1:1"), []string{"--ca-cert", ca}},
		{"the OpenID provider has a certificate that nobody knows", "login", failed, "unknown authority", upstreamOf(other.URL), []string{"--ca-cert", ca}},
		{"no accounts to choose from", "accounts", warning, "no data of accounts can be shared", []string{"AUTHSERVER_LOGIN=builtin"}, []string{"--ca-cert", ca}},
		{"the bank's system is away", "accounts", failed, "refused", accountsOf("https://127.0.0.1:1"), []string{"--ca-cert", ca}},
		{"the bank's system has a certificate that nobody knows", "accounts", failed, "unknown authority", accountsOf(other.URL), []string{"--ca-cert", ca}},
		{"a file of nobody", "accounts", warning, "0 accounts in " + empty, []string{"AUTHSERVER_LOGIN=builtin", "AUTHSERVER_ACCOUNTS_FILE=" + empty}, []string{"--ca-cert", ca}},
		{"no replica here", "replica", skipped, "none answers", []string{"AUTHSERVER_MANAGEMENT_LISTEN=127.0.0.1:1"}, []string{"--ca-cert", ca}},
	} {
		t.Run(test.name, func(t *testing.T) {
			code := 0
			if test.state == failed {
				code = exitFailed
			}
			if f := p.examine(t, code, p.with(test.environ...), test.args...)[test.check]; f.State != test.state || !strings.Contains(f.Detail, test.detail) {
				t.Errorf("%+v, want %s with %q", f, test.state, test.detail)
			}
		})
	}
	desk{t: t, env: p.environ}.user("", "add", "kim", "--generate", "--audit-log", "off")
	if f := p.examine(t, 0, p.with("AUTHSERVER_LOGIN=builtin"), "--ca-cert", ca)["login"]; f.State != warning || !strings.Contains(f.Detail, "no second factor") {
		t.Errorf("people with a password: %+v", f)
	}
	storetest.Execute(t, storetest.As(t, "authserver", serving), `UPDATE signing_key SET activates_at = activates_at - interval '60 days'`)
	if f := p.examine(t, 0, p.environ, "--ca-cert", ca)["keys"]; f.State != warning || !strings.Contains(f.Detail, "overdue") {
		t.Errorf("keys that nobody rotates: %+v", f)
	}
	storetest.Execute(t, storetest.As(t, "authserver", serving), `DELETE FROM signing_key WHERE alg = 'ES256'`)
	if f := p.examine(t, exitFailed, p.environ, "--ca-cert", ca)["keys"]; f.State != failed || !strings.Contains(f.Detail, "no key signs with ES256") {
		t.Errorf("a key is gone: %+v", f)
	}
	s.end() // with its sweeper
	storetest.Execute(t, storetest.As(t, "authserver", serving), `INSERT INTO spent SELECT n, 'x' FROM generate_series(0, 7) n`)
	if f := p.examine(t, exitFailed, p.environ, "--ca-cert", ca)["sweeper"]; f.State != warning {
		t.Errorf("slots that nobody sweeps: %+v", f)
	}
}

// upstreamOf are the settings of an OpenID provider.
func upstreamOf(issuer string) []string {
	return []string{"AUTHSERVER_LOGIN_OIDC_ISSUER=" + issuer, "AUTHSERVER_LOGIN_OIDC_CLIENT_ID=bank", "AUTHSERVER_LOGIN_OIDC_CLIENT_SECRET=secret"}
}

// accountsOf are the settings of the bank's own system, for people with passwords.
func accountsOf(url string) []string {
	return []string{"AUTHSERVER_LOGIN=builtin", "AUTHSERVER_ACCOUNTS_URL=" + url, "AUTHSERVER_ACCOUNTS_TOKEN=x"}
}

// Whoever answers about somebody whom nobody can be, with a 404 or without accounts, looks at who is asked about.
func TestDoctorMeetsAccounts(t *testing.T) {
	const bad = `{"accounts":[{"id":"1","name":"Somebody's"}]}`
	kims := writeText(t, "accounts.json", `{"people": [{"username": "kim", "accounts": [{"id": "1", "name": "A"}, {"id": "2", "name": "B"}]}]}`)
	for name, test := range map[string]struct {
		answer, login, state, detail string
	}{
		"404":              {"", loginBuiltin, passed, "answers 404 for somebody whom nobody can be"},
		"no accounts":      {`{"accounts":[]}`, loginOIDC, passed, "answers; it has no accounts"},
		"somebody's":       {bad, loginBuiltin, failed, "has accounts of somebody whom nobody can be"},
		"another contract": {`[]`, loginBuiltin, failed, "not an object"},
		"a file":           {"file", loginBuiltin, passed, "2 accounts in " + kims + ", with 1 person"},
		"a broken file":    {"broken", loginBuiltin, failed, "people is missing"},
		"nobody signs in":  {"", loginOff, passed, "nobody signs in"},
	} {
		t.Run(name, func(t *testing.T) {
			bank := newBank(t)
			bank.set(test.answer)
			e := &examination{config: config{login: test.login}, timeout: time.Minute}
			e.config.upstream.Issuer = "https://login.bank.example"
			switch test.answer {
			case "file":
				e.config.accounts.file = kims
			case "broken":
				e.config.accounts.file = writeText(t, "accounts.json", `{}`)
			default:
				e.config.accounts.callback = person.CallbackSettings{URL: bank.URL, Token: bankToken, Timeout: time.Minute}
			}
			e.checkAccounts(t.Context())
			if len(e.findings) != 1 || e.findings[0].State != test.state || !strings.Contains(e.findings[0].Detail, test.detail) {
				t.Errorf("%+v, want %s with %q", e.findings, test.state, test.detail)
			}
			for _, q := range bank.questions() {
				if q.Subject == "" || (q.Username == "") == (q.Upstream == nil) || test.login == loginOIDC && q.Upstream["issuer"] != "https://login.bank.example" ||
					q.Username != "" && !person.IsUsername(q.Username) {
					t.Errorf("asked %+v", q)
				}
			}
		})
	}
}

// An OpenID provider that publishes what it must can be signed in at.
func TestDoctorMeetsUpstream(t *testing.T) {
	provider := httptest.NewUnstartedServer(nil)
	provider.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		at := provider.URL
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]string{"issuer": at, "authorization_endpoint": at + "/a", "token_endpoint": at + "/t", "jwks_uri": at + "/k"})
	})
	provider.Start()
	defer provider.Close()
	c, problems := understood(func(s *settings) { s.Issuer = "http://localhost:8080"; s.upstreamOf(provider.URL, "bank", "secret") }, true)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	e := &examination{config: c, timeout: time.Minute}
	e.checkLogin(t.Context())
	want := finding{"login", passed, "people sign in at " + provider.URL + ", which knows this server as bank", ""}
	if len(e.findings) != 1 || e.findings[0] != want {
		t.Errorf("%+v, want %+v", e.findings, want)
	}
}

// TestDoctorMeetsWeakTLS: suites and versions that FAPI 2.0 forbids are found.
func TestDoctorMeetsWeakTLS(t *testing.T) {
	authority := newAuthority(t)
	p := newProduction(t, storetest.URL(t))
	for name, config := range map[string]*tls.Config{
		"a version": {MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11},
		"a suite":   {MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewUnstartedServer(http.NotFoundHandler())
			config.Certificates = []tls.Certificate{authority.issue(t, "ECDSA", "localhost")}
			if name == "a version" {
				config.MaxVersion = tls.VersionTLS13
			}
			server.TLS = config
			server.StartTLS()
			defer server.Close()
			_, port, _ := strings.Cut(server.Listener.Addr().String(), ":")
			f := p.examine(t, exitFailed, p.with("AUTHSERVER_ISSUER=https://localhost:"+port), "--ca-cert", authority.writeFile(t))["TLS"]
			if f.State != failed || !strings.Contains(f.Detail, "a handshake with TLS 1.") {
				t.Errorf("%+v", f)
			}
		})
	}
}

// TestDoctorOfDev: a running dev is examined by its state folder.
func TestDoctorOfDev(t *testing.T) {
	state := openFolder(t) + "/state"
	dev := startDev(t, freePort(t), "--state", state)
	code, stdout, stderr := program(t, nil, "doctor", "--state", state)
	if code != 0 || !strings.Contains(stdout, "mode dev, issuer "+dev.issuer) || !strings.Contains(stdout, " 0 failures") {
		t.Errorf("code %d: %s%s", code, stdout, stderr)
	}
	dev.end()
	if code, _, stderr := program(t, nil, "doctor", "--state", state); code != exitUnreachable || !strings.Contains(stderr, "no dev server") {
		t.Errorf("after dev has ended: code %d: %s", code, stderr)
	}
}
