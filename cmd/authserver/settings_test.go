package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"authserver/internal/flow"
	"authserver/internal/keys"
	"authserver/internal/oauth"
	"authserver/internal/store"
)

// program runs the program with an environment of its own and returns what it leaves behind.
func program(t *testing.T, environ []string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	return programReading(t, "", environ, args...)
}

// programReading runs it with something on its standard input.
func programReading(t *testing.T, stdin string, environ []string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), args, environ, &streams{Stdin: strings.NewReader(stdin), Stdout: &out, Stderr: &errs, Plain: true})
	return code, out.String(), errs.String()
}

// dev runs dev with settings that cannot be right, so that it ends before it starts anything.
func wrongDev(t *testing.T, environ []string, args ...string) string {
	t.Helper()
	state := filepath.Join(t.TempDir(), "state")
	code, stdout, stderr := program(t, environ, append([]string{"dev", "--state", state}, args...)...)
	if code != exitUsage || stdout != "" {
		t.Errorf("code %d, stdout %q, stderr %s", code, stdout, stderr)
	}
	if _, err := os.Stat(state); err == nil {
		t.Error("a state folder was made although nothing could be started")
	}
	return stderr
}

func writeText(t testing.TB, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestAllProblemsAtOnce(t *testing.T) {
	cert := writeText(t, "cert.pem", "no certificate")
	got := wrongDev(t, []string{
		"AUTHSERVER_ISSUER=https://as.example/", "AUTHSERVER_LISTEN=8080", "AUTHSERVER_MANAGEMENT_LISTEN=nowhere",
		"AUTHSERVER_REGISTRATION=sometimes", "AUTHSERVER_DPOP_NONCE=maybe", "AUTHSERVER_ACCESS_TOKEN_ALG=RS256",
		"AUTHSERVER_JWKS_ALLOW_CIDRS=10.0.0.0/8,10.0.0.0/99", "AUTHSERVER_TRUSTED_PROXIES=10.0.0.0/8 ::ffff:10.0.0.0/104", "AUTHSERVER_JWKS_CA_FILE=" + cert, "AUTHSERVER_TLS_CERT_FILE=" + cert,
		"AUTHSERVER_SCOPES=a,b\\c", "AUTHSERVER_RESOURCES=https://api.example,/relative,https://x#y", "AUTHSERVER_REGISTRATION_LIMIT=-1",
		"AUTHSERVER_INTROSPECTION_LIMIT=many", "AUTHSERVER_DATABASE_URL=postgres://db:port/x", "AUTHSERVER_KEY_ENCRYPTION_KEY=c2hvcnQ=",
		"AUTHSERVER_INITIAL_ACCESS_TOKEN=short", "AUTHSERVER_ISSUR=https://as.example", "OTHER=1", "PATH=/bin",
		"AUTHSERVER_LOGIN=sometimes", "AUTHSERVER_LOGIN_OIDC_CLIENT_ID=bank", "AUTHSERVER_LOGIN_LIMIT=-1", "AUTHSERVER_LOGIN_ADDRESS_LIMIT=x", "AUTHSERVER_PAR_LIMIT=1.5",
		"AUTHSERVER_PAR_EXPIRES_IN=600s", "AUTHSERVER_SESSION_IDLE=0", "AUTHSERVER_SESSION_LIFETIME=25h", "AUTHSERVER_BRAND_COLOR=red", "AUTHSERVER_BRAND_LOGO_FILE=" + cert,
		"AUTHSERVER_CONSENT_LIFETIME=8761h", "AUTHSERVER_KEEP_CONSENTS=23h59m", "AUTHSERVER_KEEP_CLIENTS=87600h1s",
		"AUTHSERVER_ACCOUNTS_TOKEN=x", "AUTHSERVER_ACCOUNTS_CA_FILE=" + cert, "AUTHSERVER_ACCOUNTS_TIMEOUT=1m",
	})
	for _, want := range []string{
		"issuer must not end with a slash", "listen must be host:port", "management-listen must be host:port", "registration must be one of open, token, closed",
		"dpop-nonce must be one of", "access-token-alg must be one of ES256, PS256", `"10.0.0.0/99" is no address range`, `"::ffff:10.0.0.0/104" is no address range`, "jwks-ca-file: ",
		"tls-cert-file and tls-key-file must be set together", `scopes: "b\\c" is no scope token`, `resources: "/relative"`, `resources: "https://x#y"`,
		"registration-limit must be", "introspection-limit must be", "database-url: it cannot be read", "key-encryption-key: key 1 of the list",
		"initial-access-token must have at least 22", "AUTHSERVER_ISSUR is no setting; did you mean AUTHSERVER_ISSUER?",
		"login must be one of off, builtin, oidc", "login-oidc-client-id: only for login oidc", "login-limit must be", "login-address-limit must be", "par-limit must be",
		"par-expires-in must be", "session-idle must be", "session-lifetime must be", "brand-color: ", "brand-logo-file: ",
		"consent-lifetime must be", `keep-consents must be a duration from 24h0m0s to 87600h0m0s; it is "23h59m"`, "keep-clients must be",
		"accounts-token, accounts-ca-file: only with accounts-url", "accounts-timeout must be", "accounts-ca-file: ",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if head, _, _ := strings.Cut(got, "\n"); head != "authserver: the configuration has 35 problems:" || strings.Count(got, "\n  ") != 35 {
		t.Errorf("%s", got)
	}
}

func TestIssuerSpellings(t *testing.T) {
	for issuer, want := range map[string]string{
		"https://as.example/": "slash", "https://as.example/path/": "slash", "https://as.example?x": "query", "https://as.example#x": "query",
		"HTTPS://as.example": "lower-case", "https://AS.example": "lower-case", "https://as.example:443": "default port", "http://localhost:80": "default port",
		"http://as.example": "must be https", "http://192.0.2.1:8080": "must be https", "ftp://localhost": "must be https", "as.example": "absolute URL",
		"https://": "absolute URL", "https://user@as.example": "absolute URL", "https://as.example:abc": "absolute URL", "://x": "absolute URL",
		"https:as.example": "absolute URL", "http://localhost.evil.example:8080": "must be https",
	} {
		if got := wrongDev(t, nil, "--issuer", issuer, "--listen", "127.0.0.1:0"); !strings.Contains(got, "issuer ") || !strings.Contains(got, want) {
			t.Errorf("%s: %s", issuer, got)
		}
	}
	for _, issuer := range []string{"https://as.example", "https://as.example/path", "https://as.example:8443", "http://localhost:8080", "http://127.0.0.1:1", "http://[::1]:8080"} {
		s := settings{Issuer: issuer, Listen: "127.0.0.1:0", ManagementListen: "127.0.0.1:0"}
		command := devCmd{Settings: s}
		command.fillIn()
		if _, problems := command.Settings.understand(true); len(problems) > 0 {
			t.Errorf("%s: %v", issuer, problems)
		}
		if _, problems := command.Settings.understand(false); (len(problems) > 0) != strings.HasPrefix(issuer, "http:") {
			t.Errorf("%s outside dev: %v", issuer, problems)
		}
	}
}

// Which source wins shows in the value that the problem quotes.
func TestWhereSettingsComeFrom(t *testing.T) {
	file := writeText(t, "registration", "from-the-file\r\n")
	for name, test := range map[string]struct {
		environ, args []string
		yaml, want    string
	}{
		"a flag before all":                {environ: []string{"AUTHSERVER_REGISTRATION=from-env"}, args: []string{"--registration", "from-flag"}, yaml: "registration: from-yaml", want: "from-flag"},
		"the environment before YAML":      {environ: []string{"AUTHSERVER_REGISTRATION=from-env"}, yaml: "registration: from-yaml", want: "from-env"},
		"_FILE before YAML":                {environ: []string{"AUTHSERVER_REGISTRATION_FILE=" + file}, yaml: "registration: from-yaml", want: "from-the-file"},
		"the environment before _FILE":     {environ: []string{"AUTHSERVER_REGISTRATION=from-env", "AUTHSERVER_REGISTRATION_FILE=" + file}, want: "from-env"},
		"YAML before the default":          {yaml: "registration: from-yaml", want: "from-yaml"},
		"an empty variable counts as none": {environ: []string{"AUTHSERVER_REGISTRATION="}, yaml: "registration: from-yaml", want: "from-yaml"},
		"YAML as it is spelled: digits":    {yaml: "registration: 12345678901234567890123", want: "12345678901234567890123"},
		"YAML as it is spelled: hex":       {yaml: "registration: 0x10", want: "0x10"},
		"YAML as it is spelled: a number":  {yaml: "registration: 1e3", want: "1e3"},
		"YAML as it is spelled: quoted":    {yaml: `registration: "a b"`, want: "a b"},
	} {
		t.Run(name, func(t *testing.T) {
			environ := test.environ
			if test.yaml != "" {
				environ = append(environ, "AUTHSERVER_CONFIG="+writeText(t, "config.yaml", test.yaml))
			}
			if got := wrongDev(t, environ, test.args...); !strings.Contains(got, fmt.Sprintf("closed; it is %q", test.want)) {
				t.Error(got)
			}
		})
	}
}

func TestYAML(t *testing.T) {
	for name, test := range map[string]struct{ text, want string }{
		"a list":             {"scopes: [good, 'no\\good', also]", `scopes: "no\\good" is`},
		"with dashes":        {"dpop-nonce: never", `it is "never"`},
		"with underscores":   {"dpop_nonce: never", `it is "never"`},
		"a mapping":          {"scopes: {a: b}", "scopes must be a value or a list"},
		"an unknown name":    {"isuer: x", "isuer in CONFIG is no setting; did you mean issuer?"},
		"an unknown name, _": {"data_base_url: x", "did you mean database-url?"},
		"no mapping":         {"- a", "CONFIG: "},
		"a name twice":       {"issuer: https://a\nissuer: https://b", "CONFIG: "},
		"no YAML":            {"a: [", "CONFIG: "},
		"a name without one": {"issuer:\nregistration: never", `it is "never"`},
		"a list of lists":    {"scopes: [[a]]", "scopes must be a value or a list"},
		"both spellings":     {"dpop-nonce: off\ndpop_nonce: required", "dpop-nonce stands twice"},
		"an alias":           {"registration: &a never\nscopes: *a", `it is "never"`},
	} {
		t.Run(name, func(t *testing.T) {
			path := writeText(t, "config.yaml", test.text)
			if got := wrongDev(t, []string{"AUTHSERVER_CONFIG=" + path}); !strings.Contains(got, strings.ReplaceAll(test.want, "CONFIG", path)) {
				t.Error(got)
			}
		})
	}
	if got := wrongDev(t, []string{"AUTHSERVER_CONFIG=" + filepath.Join(t.TempDir(), "absent.yaml")}); !strings.Contains(got, "AUTHSERVER_CONFIG: ") {
		t.Error(got)
	}
}

// A misspelt name is told with the nearest one; what Kubernetes sets for a Service called authserver is no misspelling.
func TestNames(t *testing.T) {
	links := []string{"AUTHSERVER_SERVICE_HOST=10.0.0.1", "AUTHSERVER_SERVICE_PORT=8080", "AUTHSERVER_SERVICE_PORT_HTTPS=443", "AUTHSERVER_PORT=tcp://10.0.0.1:8080",
		"AUTHSERVER_PORT_8080_TCP=tcp://10.0.0.1:8080", "AUTHSERVER_PORT_8080_TCP_PROTO=tcp", "AUTHSERVER_PORT_8080_TCP_PORT=8080", "AUTHSERVER_PORT_8080_TCP_ADDR=10.0.0.1",
		"AUTHSERVER_DB_SERVICE_HOST=10.0.0.2", "AUTHSERVER_DB_PORT_5432_TCP_ADDR=10.0.0.2", "AUTHSERVER_POSTGRES_BIN=/nowhere"}
	for misspelt, meant := range map[string]string{
		"AUTHSERVER_ISSUERS": "AUTHSERVER_ISSUER", "AUTHSERVER_DATABASEURL": "AUTHSERVER_DATABASE_URL", "AUTHSERVER_DPOP_NONSE": "AUTHSERVER_DPOP_NONCE",
		"AUTHSERVER_KEY_ENCRYPTION_KEYS": "AUTHSERVER_KEY_ENCRYPTION_KEY", "AUTHSERVER_INITIAL_ACCESS_TOKN_FILE": "AUTHSERVER_INITIAL_ACCESS_TOKEN_FILE",
		"AUTHSERVER_CONFIGS": "AUTHSERVER_CONFIG", "AUTHSERVER_": "AUTHSERVER_LISTEN",
	} {
		got := wrongDev(t, append([]string{misspelt + "=x"}, links...))
		if want := misspelt + " is no setting; did you mean " + meant + "?"; !strings.Contains(got, want) && misspelt != "AUTHSERVER_" || !strings.Contains(got, "has 1 problem:") {
			t.Errorf("no %q in %s", want, got)
		}
	}
	if got := wrongDev(t, []string{"AUTHSERVER_ISSUER_FILE=" + filepath.Join(t.TempDir(), "absent")}); !strings.Contains(got, "AUTHSERVER_ISSUER_FILE: ") {
		t.Error(got)
	}
	if got := wrongDev(t, nil, "--no-such-flag"); !strings.Contains(got, "--no-such-flag") {
		t.Error(got)
	}
}

func TestCertificateSettings(t *testing.T) {
	a := newAuthority(t)
	dir := t.TempDir()
	cert, key, otherCert, otherKey := filepath.Join(dir, "a.pem"), filepath.Join(dir, "a.key"), filepath.Join(dir, "b.pem"), filepath.Join(dir, "b.key")
	writePair(t, a.issue(t, "ECDSA", "localhost"), cert, key)
	writePair(t, a.issue(t, "ECDSA", "localhost"), otherCert, otherKey)
	for name, pair := range map[string][2]string{"no key": {cert, ""}, "no certificate": {"", key}, "another's key": {cert, otherKey}, "no file": {cert, key + "x"}, "swapped": {key, cert}} {
		got := wrongDev(t, []string{"AUTHSERVER_TLS_CERT_FILE=" + pair[0], "AUTHSERVER_TLS_KEY_FILE=" + pair[1]})
		if !strings.Contains(got, "tls-cert-file") || !strings.Contains(got, "has 1 problem:") {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestSecretsAreNeverPrinted(t *testing.T) {
	secrets := []string{"postgres://admin:hunter2hunter2@:db:x/", "Zm9vYmFyYmF6Zm9vYmFyYmF6", "a-token-too-short", "said-to-the-upstream", "no-key-but-as-secret"}
	names := []string{"DATABASE_URL", "KEY_ENCRYPTION_KEY", "INITIAL_ACCESS_TOKEN", "LOGIN_OIDC_CLIENT_SECRET", "LOGIN_OIDC_CLIENT_KEY"}
	var environ, files, args []string
	yaml := ""
	for i, name := range names {
		flag := strings.ToLower(strings.ReplaceAll(name, "_", "-"))
		environ = append(environ, prefix+name+"="+secrets[i])
		files = append(files, prefix+name+"_FILE="+writeText(t, name, secrets[i]+"\n"))
		args = append(args, "--"+flag, secrets[i])
		yaml += fmt.Sprintf("%s: %q\n", flag, secrets[i])
	}
	outputs := []string{
		wrongDev(t, environ), wrongDev(t, files), wrongDev(t, nil, args...),
		wrongDev(t, []string{"AUTHSERVER_CONFIG=" + writeText(t, "config.yaml", yaml)}),
		wrongDev(t, nil, append(args, "--no-such-flag")...),
		wrongDev(t, []string{"AUTHSERVER_DATABASE_URI=" + secrets[0]}),
	}
	_, help, _ := program(t, environ, "dev", "--help")
	for _, output := range append(outputs, help) {
		for _, secret := range append(secrets, "hunter2") {
			if strings.Contains(output, secret) || output == "" {
				t.Errorf("%q stands in\n%s", secret, output)
			}
		}
	}
}

func TestPortInUse(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	if got := wrongDev(t, nil, "--listen", taken.Addr().String()); !strings.Contains(got, "address already in use") {
		t.Error(got)
	}
	free := "127.0.0.1:" + freePort(t)
	if got := wrongDev(t, nil, "--listen", free, "--management-listen", taken.Addr().String()); !strings.Contains(got, "address already in use") {
		t.Error(got)
	}
}

// Key-encryption keys are a list: the first seals and makes nonces, all open and all recognise.
func TestKeyEncryptionKeys(t *testing.T) {
	kek := func(b byte) string { return base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{b}, 32)) }
	d := deploy(t, 1, func(s *settings) { s.KeyEncryptionKey = oauth.Secret(kek(1)) })
	c := d.register(0)
	old := tokenFor(t, c, nil)
	nonce := do(t, c.Server, c.TokenRequest(nil)).ResponseHeader.Get("DPoP-Nonce")
	set := func(list string) {
		var err error
		if d.config.encryptionKeys, err = keys.ParseEncryptionKeys(list); err != nil {
			t.Fatal(err)
		}
	}
	set(kek(2) + ", " + kek(1))
	d.restart()
	c = d.at(c, 0)
	if e := do(t, c.Server, c.IntrospectRequest(old)); e.JSON()["active"] != true {
		t.Errorf("a token from before: %s", e.ResponseBody)
	}
	r := c.TokenRequest(nil)
	r.Proof = c.Proof(r.Method, r.URL, flow.SetClaim("nonce", nonce))
	e, err := c.Server.Send(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	if outcome(t, e, "200"); e.ResponseHeader.Get("DPoP-Nonce") == nonce {
		t.Error("the first key does not make the nonces")
	}
	set(kek(2))
	st, err := store.Open(t.Context(), d.url)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	if _, err := newApp(context.Background(), d.config, st, nil, nil, d.clock.now); err == nil || !strings.Contains(err.Error(), "AUTHSERVER_KEY_ENCRYPTION_KEY") {
		t.Errorf("without the key that sealed them: %v", err)
	}
}
