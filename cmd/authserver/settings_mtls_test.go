package main

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"authserver/internal/client"
)

// Certificates need a way in, and somebody who vouches where they are demanded; everything that says more is a mistake.
func TestMutualTLSSettings(t *testing.T) {
	a, dir := newAuthority(t), t.TempDir()
	ca, certFile, keyFile := a.writeFile(t), filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	writePair(t, a.issue(t, "ECDSA", "localhost"), certFile, keyFile)
	const alias = "https://mtls.bank.example"
	listen := func(s *settings) {
		s.MTLSListen, s.MTLSURL, s.TLSCertFile, s.TLSKeyFile = ":8444", alias, certFile, keyFile
	}
	header := func(s *settings) { s.ClientCertHeader, s.TrustedProxies = "Client-Cert", "10.0.0.0/8" }
	with := func(edits ...func(*settings)) []func(*settings) { return edits }
	both := []string{client.TLSClientAuth, client.SelfSignedTLSClientAuth}
	for name, test := range map[string]struct {
		edits   []func(*settings)
		methods []string
		want    string // the only problem, or ""
	}{
		"none":                       {nil, nil, ""},
		"a listener":                 {with(listen), both[1:], ""},
		"a listener and authorities": {with(listen, func(s *settings) { s.MTLSClientCAFile = ca }), both, ""},
		"a listener's own certificate": {with(listen, func(s *settings) {
			s.TLSCertFile, s.TLSKeyFile, s.MTLSCertFile, s.MTLSKeyFile = "", "", certFile, keyFile
		}), both[1:], ""},
		"a header":                      {with(header), both[1:], ""},
		"a header and authorities":      {with(header, func(s *settings) { s.MTLSClientCAFile = ca }), both, ""},
		"a header and aliases":          {with(header, func(s *settings) { s.MTLSURL = alias }), both[1:], ""},
		"demanded":                      {with(header, func(s *settings) { s.MTLSClientCAFile, s.RequireClientCertificate = ca, "true" }), both[:1], ""},
		"a listener without a URL":      {with(listen, func(s *settings) { s.MTLSURL = "" }), both[1:], "mtls-listen needs mtls-url"},
		"a listener without a port":     {with(listen, func(s *settings) { s.MTLSListen = "here" }), both[1:], "mtls-listen must be host:port"},
		"a listener without TLS":        {with(listen, func(s *settings) { s.TLSCertFile, s.TLSKeyFile = "", "" }), both[1:], lacksCertificate},
		"half a certificate":            {with(listen, func(s *settings) { s.MTLSCertFile = certFile }), both[1:], "mtls-cert-file and mtls-key-file must be set together"},
		"a certificate for nothing":     {with(func(s *settings) { s.MTLSCertFile, s.MTLSKeyFile = certFile, keyFile }), nil, "only with mtls-listen"},
		"http":                          {with(listen, func(s *settings) { s.MTLSURL = "http://mtls.bank.example" }), both[1:], "mtls-url must be an https URL"},
		"a default port":                {with(listen, func(s *settings) { s.MTLSURL = alias + ":443" }), both[1:], "mtls-url must be an https URL"},
		"capitals":                      {with(listen, func(s *settings) { s.MTLSURL = "https://MTLS.bank.example" }), both[1:], "mtls-url must be an https URL"},
		"a query":                       {with(listen, func(s *settings) { s.MTLSURL = alias + "?" }), both[1:], "mtls-url must be an https URL"},
		"a slash":                       {with(listen, func(s *settings) { s.MTLSURL = alias + "/" }), both[1:], "mtls-url must have the issuer's path"},
		"another path":                  {with(listen, func(s *settings) { s.MTLSURL = alias + "/a" }), both[1:], "mtls-url must have the issuer's path"},
		"the issuer itself":             {with(listen, func(s *settings) { s.MTLSURL = s.Issuer }), both[1:], "mtls-url is the issuer"},
		"a URL of nothing":              {with(func(s *settings) { s.MTLSURL = alias }), nil, "mtls-url: only with mtls-listen or client-cert-header"},
		"authorities of nobody":         {with(func(s *settings) { s.MTLSClientCAFile = ca }), nil, "mtls-client-ca-file: only with"},
		"authorities that are none":     {with(listen, func(s *settings) { s.MTLSClientCAFile = certFile }), both, "mtls-client-ca-file: "},
		"authorities that are missing":  {with(listen, func(s *settings) { s.MTLSClientCAFile = ca + "x" }), both, "mtls-client-ca-file: "},
		"demanded, and nobody vouches":  {with(listen, func(s *settings) { s.RequireClientCertificate = "true" }), both[1:], "require-client-certificate needs mtls-client-ca-file"},
		"demanded, of a sort":           {with(listen, func(s *settings) { s.RequireClientCertificate = "yes" }), both[1:], "require-client-certificate must be one of true, false"},
		"a header, and nobody to trust": {with(header, func(s *settings) { s.TrustedProxies = "" }), both[1:], "client-cert-header needs trusted-proxies"},
		"a header with a space":         {with(header, func(s *settings) { s.ClientCertHeader = "Client Cert" }), both[1:], "client-cert-header must be the name"},
		"a header with an underscore":   {with(header, func(s *settings) { s.ClientCertHeader = "client_cert" }), both[1:], "client-cert-header must be the name"},
		"one address of two listeners":  {with(listen, func(s *settings) { s.Listen = ":8444" }), both[1:], `listen and mtls-listen must not take the same address; they are ":8444" and ":8444"`},
		"one port of all addresses":     {with(listen, func(s *settings) { s.MTLSListen, s.ManagementListen = "127.0.0.1:9", "0.0.0.0:9" }), both[1:], "management-listen and mtls-listen must not take the same address"},
		"a management without mTLS":     {with(func(s *settings) { s.Listen, s.ManagementListen = "[::]:9", "[::1]:9" }), nil, "listen and management-listen must not take the same address"},
		"any port":                      {with(listen, func(s *settings) { s.Listen, s.MTLSListen = "127.0.0.1:0", "127.0.0.1:0" }), both[1:], ""},
		"one port of two addresses":     {with(listen, func(s *settings) { s.Listen, s.MTLSListen = "127.0.0.1:9", "127.0.0.2:9" }), both[1:], ""},
	} {
		t.Run(name, func(t *testing.T) {
			command := serveCmd{Settings: settings{Issuer: "https://as.bank.example"}}
			command.Settings.DatabaseURL, command.Settings.KeyEncryptionKey = "postgres:///x", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
			for _, edit := range test.edits {
				edit(&command.Settings)
			}
			c, err := command.configure(nil)
			if (err == nil) != (test.want == "") || err != nil && (!strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), "has 1 problem:")) {
				t.Errorf("%v, want %q", err, test.want)
			}
			if got := c.mtls.methods(); !slices.Equal(got, test.methods) {
				t.Errorf("methods %q, want %q", got, test.methods)
			}
			if own := c.mtls.url; err == nil && own != "" && c.vetting.CheckURI(own+"/oauth2/jwks") == nil {
				t.Errorf("SS-16 a client's keys may be at %s", own)
			}
		})
	}
}

// The name of a header is kept as Go spells it, however the operator does.
func TestCertificateHeaderIsCanonical(t *testing.T) {
	c, problems := understood(func(s *settings) { s.ClientCertHeader, s.TrustedProxies = "x-ssl-client-CERT", "10.0.0.0/8" }, false)
	if c.mtls.header != "X-Ssl-Client-Cert" || len(problems) > 0 {
		t.Errorf("%q %q", c.mtls.header, problems)
	}
}

// A certificate comes in no header that has another meaning, however that is spelled.
func TestCertificateHeaderIsNothingElse(t *testing.T) {
	problems := func(name string) []string {
		_, problems := understood(func(s *settings) { s.ClientCertHeader, s.TrustedProxies = name, "10.0.0.0/8" }, false)
		return problems
	}
	for _, name := range []string{"Authorization", "DPoP", "dpop", "HOST", "Cookie", "X-Forwarded-For", "X-Forwarded-Proto", "Forwarded", "Content-Length", "Content-Type",
		"Client-Cert-Chain", "x-fapi-interaction-id", "Transfer-Encoding", "TE", "Connection", "Accept", "Accept-Language", "Origin", "Sec-Fetch-Site"} {
		got := strings.Join(problems(name), "\n")
		if want := "client-cert-header must be Client-Cert, X-Forwarded-Client-Cert or a header for nothing but certificates"; !strings.HasPrefix(got, want) ||
			!strings.HasSuffix(got, "something else comes in "+name) {
			t.Errorf("%s: %q", name, got)
		}
	}
	for _, name := range []string{"Client-Cert", "X-Forwarded-Client-Cert", "X-SSL-Client-Cert", "ssl-client-cert", "X-Forwarded-Tls-Client-Cert", "X-Amzn-Mtls-Clientcert", "X-ARR-ClientCert"} {
		if got := problems(name); len(got) > 0 {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// dev names listeners that the operator put at one address; a management address that nobody chose gives way.
func TestDevListenersApart(t *testing.T) {
	const want = "listen and management-listen must not take the same address"
	dev := devCmd{Settings: settings{Issuer: "http://localhost:9090"}}
	dev.fillIn()
	if _, err := dev.configure(nil); err != nil {
		t.Error(err)
	}
	dev.Settings.ManagementListen = dev.Settings.Listen
	if _, err := dev.configure(nil); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v, want %q", err, want)
	}
}
