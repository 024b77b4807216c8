package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"authserver/internal/jose"
	"authserver/internal/oauth"
	"authserver/internal/person"
)

// pkcs8 is a private key as operators have it.
func pkcs8(t *testing.T, key crypto.Signer) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// understood are settings as dev or serve understands them.
func understood(edit func(*settings), dev bool) (config, []string) {
	s := settings{Issuer: "https://as.bank.example", Listen: "127.0.0.1:0", ManagementListen: "127.0.0.1:0"}
	edit(&s)
	if dev {
		command := devCmd{Settings: s}
		command.fillIn()
		return command.Settings.understand(true)
	}
	s.fillInForServe()
	return s.understand(false)
}

// An upstream is named wholly and means login oidc; half of one, or one beside another login, is a mistake.
func TestLoginSettings(t *testing.T) {
	const provider = "https://login.bank.example/"
	for name, test := range map[string]struct {
		edit        func(*settings)
		dev         bool
		login, want string // want: the only problem, or ""
	}{
		"serve":                     {func(*settings) {}, false, "off", ""},
		"dev":                       {func(*settings) {}, true, "builtin", ""},
		"off in dev":                {func(s *settings) { s.Login = "off" }, true, "off", ""},
		"builtin in serve":          {func(s *settings) { s.Login = "builtin" }, false, "builtin", ""},
		"an upstream":               {func(s *settings) { s.upstreamOf(provider, "bank", "secret") }, false, "oidc", ""},
		"an upstream in dev":        {func(s *settings) { s.upstreamOf("http://127.0.0.1:9", "bank", "secret") }, true, "oidc", ""},
		"an upstream, said twice":   {func(s *settings) { s.Login = "oidc"; s.upstreamOf(provider, "bank", "secret") }, false, "oidc", ""},
		"an upstream and builtin":   {func(s *settings) { s.Login = "builtin"; s.upstreamOf(provider, "bank", "") }, false, "builtin", `login-oidc-issuer, login-oidc-client-id: only for login oidc; login is "builtin"`},
		"a secret and off":          {func(s *settings) { s.Login = "off"; s.LoginOIDCClientSecret = "x" }, false, "off", `login-oidc-client-secret: only for login oidc; login is "off"`},
		"no issuer":                 {func(s *settings) { s.upstreamOf("", "bank", "secret") }, false, "oidc", "there is no login-oidc-issuer"},
		"no client_id":              {func(s *settings) { s.upstreamOf(provider, "", "secret") }, false, "oidc", "there is no login-oidc-client-id"},
		"neither secret nor key":    {func(s *settings) { s.upstreamOf(provider, "bank", "") }, false, "oidc", "needs either login-oidc-client-secret or login-oidc-client-key"},
		"an http issuer":            {func(s *settings) { s.upstreamOf("http://127.0.0.1:9", "bank", "secret") }, false, "oidc", "login-oidc-issuer must be https"},
		"an http issuer elsewhere":  {func(s *settings) { s.upstreamOf("http://login.bank.example", "bank", "secret") }, true, "oidc", "login-oidc-issuer must be https"},
		"an issuer with a query":    {func(s *settings) { s.upstreamOf(provider+"?x", "bank", "secret") }, false, "oidc", "must not have a query"},
		"an issuer with a password": {func(s *settings) { s.upstreamOf("https://a:b@login.bank.example", "bank", "secret") }, false, "oidc", "must be an absolute URL"},
		"no URL":                    {func(s *settings) { s.upstreamOf("login.bank.example", "bank", "secret") }, false, "oidc", "must be an absolute URL"},
	} {
		t.Run(name, func(t *testing.T) {
			c, problems := understood(test.edit, test.dev)
			if c.login != test.login {
				t.Errorf("login %q, want %q", c.login, test.login)
			}
			if got := strings.Join(problems, "\n"); (got == "") != (test.want == "") || !strings.Contains(got, test.want) || len(problems) > 1 {
				t.Errorf("%q, want %q", got, test.want)
			}
			if got := c.upstream; (got.Issuer+got.ClientID != "" || got.ClientSecret != "") != (c.login == loginOIDC) {
				t.Errorf("%+v with login %s", got, c.login)
			}
		})
	}
}

func (s *loginSettings) upstreamOf(issuer, id, secret string) {
	s.LoginOIDCIssuer, s.LoginOIDCClientID, s.LoginOIDCClientSecret = issuer, id, oauth.Secret(secret)
}

// The key that authenticates this server at the upstream is PEM, of each kind that this server signs with.
func TestLoginClientKey(t *testing.T) {
	ask := func(t *testing.T, text string) (config, []string) {
		return understood(func(s *settings) {
			s.upstreamOf("https://login.bank.example", "bank", "")
			s.LoginOIDCClientKey = oauth.Secret(text)
		}, false)
	}
	for _, alg := range signingAlgs {
		key, err := jose.GenerateKey(alg)
		if err != nil {
			t.Fatal(err)
		}
		c, problems := ask(t, pkcs8(t, key)+"\n")
		if len(problems) > 0 || c.upstream.ClientKey.Key().Alg() != alg || c.upstream.ClientKey.Key().Kid() != c.upstream.ClientKey.Key().Thumbprint() {
			t.Errorf("%s: %v %+v", alg, problems, c.upstream)
		}
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	good := pkcs8(t, p384)
	for name, text := range map[string]string{
		"another curve": good, "no PEM": "canary", "another form": strings.ReplaceAll(good, "PRIVATE KEY", "EC PRIVATE KEY"), "two": good + good,
		"not PKCS #8": "-----BEGIN PRIVATE KEY-----\nY2FuYXJ5\n-----END PRIVATE KEY-----\n",
	} {
		if c, problems := ask(t, text); len(problems) != 1 || !strings.HasPrefix(problems[0], "login-oidc-client-key: ") || c.upstream.ClientKey != nil ||
			strings.Contains(problems[0], "canary") || strings.Contains(problems[0], "Y2FuYXJ5") {
			t.Errorf("%s: %q", name, problems)
		}
	}
	if _, problems := understood(func(s *settings) {
		s.upstreamOf("https://login.bank.example", "bank", "secret")
		key, _ := jose.GenerateKey(jose.ES256)
		s.LoginOIDCClientKey = oauth.Secret(pkcs8(t, key))
	}, false); len(problems) != 1 || !strings.Contains(problems[0], "either") {
		t.Errorf("secret and key: %q", problems)
	}
}

func TestTimesOfPeople(t *testing.T) {
	c, problems := understood(func(*settings) {}, false)
	if len(problems) > 0 || c.parExpiresIn != 90*time.Second || c.sessions != (person.Lifetimes{Idle: 15 * time.Minute, Most: 8 * time.Hour}) ||
		c.loginLimit != 10 || c.loginAddressLimit != 100 || c.parLimit != 300 {
		t.Errorf("serve: %v %+v", problems, c)
	}
	if c, problems := understood(func(*settings) {}, true); len(problems) > 0 || c.loginLimit != 0 || c.loginAddressLimit != 0 || c.parLimit != 0 {
		t.Errorf("dev: %v %+v", problems, c)
	}
	for _, test := range []struct{ par, idle, lifetime, want string }{
		{"5s", "1m", "1m", ""}, {"599s", "24h", "24h", ""},
		{"4s", "15m", "8h", "par-expires-in must be a duration from 5s to 9m59s"}, {"600s", "15m", "8h", "par-expires-in must be"},
		{"5500ms", "15m", "8h", "par-expires-in must be whole seconds"}, {"90", "15m", "8h", "par-expires-in must be"},
		{"90s", "59s", "8h", "session-idle must be"}, {"90s", "15m", "24h1s", "session-lifetime must be"}, {"90s", "8h1s", "8h", "session-idle, 8h1s, is longer than session-lifetime, 8h"},
	} {
		_, problems := understood(func(s *settings) {
			s.PARExpiresIn, s.SessionIdle, s.SessionLifetime = test.par, test.idle, test.lifetime
		}, false)
		if got := strings.Join(problems, "\n"); (got == "") != (test.want == "") || !strings.Contains(got, test.want) {
			t.Errorf("%+v: %q", test, got)
		}
	}
}

func TestBrandSettings(t *testing.T) {
	file := func(name, content string) string { return writeText(t, name, content) }
	png := "\x89PNG\r\n\x1a\n" + strings.Repeat("x", 100)
	for name, test := range map[string]struct{ logo, color, mediaType, want string }{
		"nothing":            {},
		"PNG, whatever name": {logo: file("logo", png), mediaType: "image/png"},
		"SVG":                {logo: file("logo.svg", `<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>`), mediaType: "image/svg+xml"},
		"SVG by name only":   {logo: file("logo.svg", "<html>"), want: "the logo is of the type"},
		"HTML":               {logo: file("logo.html", "<html><svg>"), want: "the logo is of the type"},
		"too large":          {logo: file("logo.png", png+strings.Repeat("x", 256<<10)), want: "at most 262144"},
		"absent":             {logo: filepath.Join(t.TempDir(), "absent"), want: "no such file"},
		"a colour":           {color: "#1A5276"},
		"a colour's name":    {color: "navy", want: "brand-color"},
		"a short colour":     {color: "#123", want: "brand-color"},
		"more than a colour": {color: "#1a5276;}", want: "brand-color"},
		"too pale":           {color: "#dddddd", want: "brand-color"},
	} {
		t.Run(name, func(t *testing.T) {
			c, problems := understood(func(s *settings) { s.BrandLogoFile, s.BrandColor = test.logo, test.color }, false)
			if got := strings.Join(problems, "\n"); (got == "") != (test.want == "") || !strings.Contains(got, test.want) || len(problems) > 1 {
				t.Errorf("%q, want %q", got, test.want)
			}
			if c.brand.Name != "as.bank.example" || test.want == "" && c.brand.LogoType != test.mediaType {
				t.Errorf("%+v", c.brand)
			}
		})
	}
	if c, _ := understood(func(s *settings) { s.BrandName = "Bank of Examples" }, false); c.brand.Name != "Bank of Examples" {
		t.Errorf("%+v", c.brand)
	}
}
