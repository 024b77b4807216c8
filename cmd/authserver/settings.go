package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"authserver/internal/client"
	"authserver/internal/dcr"
	"authserver/internal/dpop"
	"authserver/internal/fdx"
	"authserver/internal/grant"
	"authserver/internal/jose"
	"authserver/internal/keys"
	"authserver/internal/oauth"
	"authserver/internal/page"
	"authserver/internal/person"
	"authserver/internal/store"
)

// settings are what an operator sets, as text: by flag, by AUTHSERVER_* or in the YAML file, under these names.
type settings struct {
	Issuer             string `placeholder:"URL" help:"The issuer: the public base URL, exactly as clients will see it."`
	Listen             string `placeholder:"HOST:PORT" help:"Where the public endpoints listen."`
	ManagementListen   string `placeholder:"HOST:PORT" help:"Where health and metrics listen."`
	databaseSettings   `embed:""`
	TLSCertFile        string `name:"tls-cert-file" placeholder:"FILE" help:"PEM certificate chain; read again when it changes."`
	TLSKeyFile         string `name:"tls-key-file" placeholder:"FILE" help:"PEM private key of the certificate."`
	mtlsSettings       `embed:""`
	Registration       string       `placeholder:"open|token|closed" help:"Who may register clients."`
	InitialAccessToken oauth.Secret `placeholder:"TOKEN" help:"Opens registration under token; at least 22 characters."`
	metadataSettings   `embed:""`
	JWKSCAFile         string `name:"jwks-ca-file" placeholder:"FILE" help:"PEM certificates trusted for client key sets, beside the system's."`
	Resources          string `placeholder:"URI,…" help:"Resources that tokens are issued for; the first is the default audience. Unset: the issuer."`
	DPoPNonce          string `name:"dpop-nonce" placeholder:"required|optional|off" help:"Whether a DPoP proof must bear a nonce."`
	AccessTokenAlg     string `placeholder:"ES256|PS256" help:"Algorithm that signs access tokens."`
	KeyRotation        string `placeholder:"DURATION" help:"Age at which a signing key gives way to a new one, such as 720h; 0: by hand only."`
	TrustedProxies     string `placeholder:"CIDR,…" help:"Addresses of the proxies in front, whose X-Forwarded-For is believed."`
	DrainDelay         string `placeholder:"DURATION" help:"How long to go on taking connections after SIGTERM, at most 10s."`
	RegistrationLimit  string `placeholder:"N" help:"Registrations from one address in a minute; 0: no limit."`
	IntrospectionLimit string `placeholder:"N" help:"Inactive introspection answers for one client in a minute; 0: no limit."`
	PARLimit           string `name:"par-limit" placeholder:"N" help:"Authorization requests that one client may push in a minute; 0: no limit."`
	PARExpiresIn       string `name:"par-expires-in" placeholder:"DURATION" help:"How long the browser may take to arrive with a pushed request, 5s to 599s."`
	consentSettings    `embed:""`
	loginSettings      `embed:""`
	accountsSettings   `embed:""`
	brandSettings      `embed:""`
}

// databaseSettings are what every sub-command needs that works on the database.
type databaseSettings struct {
	DatabaseURL      oauth.Secret `placeholder:"URL" help:"PostgreSQL; pool_max_conns in it bounds the connections (16)."`
	KeyEncryptionKey oauth.Secret `placeholder:"BASE64" help:"32 bytes that seal the signing keys; a list separated by commas: the first seals, all open."`
	AuditLog         string       `placeholder:"stdout|off|FILE" help:"Where the audit records go, one JSON object a line."`
}

// metadataSettings are what a client's metadata is judged by, when it registers and when the operator registers it.
type metadataSettings struct {
	JWKSAllowCIDRs string `name:"jwks-allow-cidrs" placeholder:"CIDR,…" help:"Address ranges from which client key sets may be fetched although they are not public."`
	Scopes         string `placeholder:"SCOPE,…" help:"Scopes beside the built-in ones."`
}

// config is the settings, understood.
type config struct {
	issuer             string
	listen             string
	managementListen   string
	databaseURL        oauth.Secret
	encryptionKeys     keys.EncryptionKeys
	certFile, keyFile  string
	mtls               mutualTLS
	gate               dcr.Gate
	initialAccessToken oauth.Secret
	vetting            client.Vetting
	scopes             []string
	resources          []string
	noncePolicy        dpop.Policy
	accessTokenAlg     jose.Alg
	keyRotation        time.Duration // 0: by hand only
	trustedProxies     []netip.Prefix
	auditLog           string // stdout, off, or a file
	drainDelay         time.Duration
	registrationLimit  int // a minute and address; 0: none
	introspectionLimit int // of inactive answers, a minute and client; 0: none
	parLimit           int // of pushed requests, a minute and client; 0: none
	parExpiresIn       time.Duration
	life               fdx.Life
	retention          store.Retention
	login              string                  // off, builtin or oidc
	upstream           person.UpstreamSettings // of login oidc, as far as they are set by the operator
	loginLimit         int                     // of attempts, in person.AttemptWindow and for an account; 0: none
	loginAddressLimit  int                     // the same for an address
	sessions           person.Lifetimes
	accounts           accountsSource
	brand              page.Brand
}

// builtinScopes are known to every deployment.
func builtinScopes() []string {
	return append(fdx.Scopes(), oauth.OpenID, oauth.OfflineAccess, "client.read", "client.create")
}

// understand reads the settings and collects all that is wrong with them. Only loopback tells dev from a deployment: http
// issuers and client key sets on this machine.
func (s settings) understand(loopback bool) (config, []string) {
	u := &understanding{}
	c := config{
		issuer:             u.issuer(s.Issuer, loopback),
		listen:             u.address("listen", s.Listen),
		managementListen:   u.address("management-listen", s.ManagementListen),
		databaseURL:        s.DatabaseURL,
		certFile:           s.TLSCertFile,
		keyFile:            s.TLSKeyFile,
		mtls:               u.mutualTLS(s),
		gate:               dcr.Gate(u.oneOf("registration", s.Registration, "open", "token", "closed")),
		initialAccessToken: s.InitialAccessToken,
		scopes:             u.scopes(s.Scopes),
		resources:          u.resources(s.Resources),
		noncePolicy:        dpop.Policy(u.oneOf("dpop-nonce", s.DPoPNonce, "required", "optional", "off")),
		accessTokenAlg:     jose.Alg(u.oneOf("access-token-alg", s.AccessTokenAlg, "ES256", "PS256")),
		registrationLimit:  u.count("registration-limit", s.RegistrationLimit),
		introspectionLimit: u.count("introspection-limit", s.IntrospectionLimit),
		drainDelay:         u.drainDelay(s.DrainDelay),
		keyRotation:        u.rotation(s.KeyRotation),
		trustedProxies:     u.cidrs("trusted-proxies", s.TrustedProxies),
		auditLog:           s.AuditLog,
		vetting:            client.Vetting{Own: []string{s.Issuer, s.MTLSURL}, AllowLoopback: loopback},
		parLimit:           u.count("par-limit", s.PARLimit),
		parExpiresIn:       u.parExpiresIn(s.PARExpiresIn),
		life:               u.life(s.consentSettings),
		retention:          u.retention(s.consentSettings),
		login:              u.oneOf("login", s.Login, loginOff, loginBuiltin, loginOIDC),
		upstream:           u.upstream(s.loginSettings, loopback),
		loginLimit:         u.count("login-limit", s.LoginLimit),
		loginAddressLimit:  u.count("login-address-limit", s.LoginAddressLimit),
		sessions:           u.sessions(s.loginSettings),
		accounts:           u.accounts(s.accountsSettings, s.Login, loopback),
		brand:              u.brand(s.brandSettings, s.Issuer),
	}
	c.vetting.AllowCIDRs = u.cidrs("jwks-allow-cidrs", s.JWKSAllowCIDRs)
	c.vetting.RootCAs = u.authorities("jwks-ca-file", s.JWKSCAFile, systemRoots())
	c.encryptionKeys = u.encryptionKeys(s.KeyEncryptionKey)
	if len(c.resources) == 0 {
		c.resources = []string{c.issuer}
	}
	u.certificate("tls", s.TLSCertFile, s.TLSKeyFile)
	u.databaseURL(s.DatabaseURL)
	if t := s.InitialAccessToken; t != "" && len(t) < 22 {
		u.problem("initial-access-token must have at least 22 characters")
	}
	return c, u.problems
}

// understanding collects problems while settings are read.
type understanding struct{ problems []string }

func (u *understanding) problem(format string, args ...any) {
	u.problems = append(u.problems, fmt.Sprintf(format, args...))
}

func (u *understanding) oneOf(name, value string, allowed ...string) string {
	if !slices.Contains(allowed, value) {
		u.problem("%s must be one of %s; it is %q", name, strings.Join(allowed, ", "), value)
	}
	return value
}

func (u *understanding) count(name, value string) int {
	n, err := strconv.Atoi(value)
	if err != nil || n < 0 || n > 1_000_000 {
		u.problem("%s must be a whole number from 0 to 1000000; it is %q", name, value)
	}
	return n
}

// rotation wants an age that leaves a key time to be published before its use and to be kept behind it.
func (u *understanding) rotation(value string) time.Duration {
	age, err := time.ParseDuration(value)
	if err != nil || age != 0 && (age < 24*time.Hour || age > 366*24*time.Hour) {
		u.problem("key-rotation must be a duration from 24h to 8784h, or 0; it is %q", value)
	}
	return age
}

// drainDelay leaves the requests in flight their time: an orchestrator kills after 30 s.
func (u *understanding) drainDelay(value string) time.Duration {
	delay, err := time.ParseDuration(value)
	if err != nil || delay < 0 || delay > 10*time.Second {
		u.problem("drain-delay must be a duration from 0s to 10s; it is %q", value)
	}
	return delay
}

func (u *understanding) address(name, value string) string {
	if _, _, err := net.SplitHostPort(value); err != nil {
		u.problem("%s must be host:port; it is %q", name, value)
	}
	return value
}

// collisions are the settings of two listeners that would take one address. Port 0 is another each time.
func (s settings) collisions() (problems []string) {
	listeners := []struct{ name, address string }{
		{"listen", s.Listen}, {"management-listen", s.ManagementListen}, {"mtls-listen", s.MTLSListen},
	}
	for i, b := range listeners {
		for _, a := range listeners[:i] {
			if overlap(a.address, b.address) {
				problems = append(problems, fmt.Sprintf("%s and %s must not take the same address; they are %q and %q",
					a.name, b.name, a.address, b.address))
			}
		}
	}
	return problems
}

// overlap tells whether two listeners would take one port of one address; without a host, or at 0.0.0.0 or ::, it takes
// that of all.
func overlap(a, b string) bool {
	host, port, err := net.SplitHostPort(a)
	other, otherPort, err2 := net.SplitHostPort(b)
	everywhere := func(host string) bool {
		ip, err := netip.ParseAddr(host)
		return host == "" || err == nil && ip.IsUnspecified()
	}
	return err == nil && err2 == nil && port == otherPort && port != "" && port != "0" &&
		(host == other || everywhere(host) || everywhere(other))
}

// issuer wants the one spelling that every reader compares alike (RFC 8414 §2, RFC 9207 §2).
func (u *understanding) issuer(value string, loopback bool) string {
	parsed, err := url.Parse(value)
	switch {
	case err != nil || parsed.Hostname() == "" || parsed.User != nil:
		u.problem("issuer must be an absolute URL; it is %q", value)
	case strings.ContainsAny(value, "?#"):
		u.problem("issuer must not have a query or a fragment; it is %q", value)
	case strings.HasSuffix(value, "/"):
		u.problem("issuer must not end with a slash: clients compare it byte by byte; it is %q", value)
	case value != strings.ToLower(parsed.Scheme)+"://"+strings.ToLower(parsed.Host)+parsed.EscapedPath():
		u.problem("issuer must be spelled with a lower-case scheme and host; it is %q", value)
	case parsed.Scheme == "http" && parsed.Port() == "80", parsed.Scheme == "https" && parsed.Port() == "443":
		u.problem("issuer must not name the default port; it is %q", value)
	case parsed.Scheme == "https":
	case parsed.Scheme != "http" || !loopback || !isLoopbackHost(parsed.Hostname()):
		u.problem("issuer must be https (http only in dev, on this machine); it is %q", value)
	}
	return value
}

func isLoopbackHost(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

func (u *understanding) scopes(list string) []string {
	scopes := builtinScopes()
	for _, s := range split(list) {
		if parsed, err := oauth.ParseScope(s); err != nil || len(parsed) != 1 {
			u.problem("scopes: %q is no scope token", s)
		} else if !slices.Contains(scopes, s) {
			scopes = append(scopes, s)
		}
	}
	return scopes
}

func (u *understanding) resources(list string) []string {
	resources := split(list)
	for _, r := range resources {
		if parsed, err := url.Parse(r); err != nil || !parsed.IsAbs() || strings.Contains(r, "#") {
			u.problem("resources: %q is no absolute URI without a fragment", r)
		}
	}
	return resources
}

func (u *understanding) cidrs(name, list string) []netip.Prefix {
	var prefixes []netip.Prefix
	for _, s := range split(list) {
		p, err := netip.ParsePrefix(s)
		if err != nil || p.Addr().Is4In6() { // of IPv4 in IPv6 nothing would ever match
			u.problem("%s: %q is no address range such as 10.1.0.0/16", name, s)
			continue
		}
		prefixes = append(prefixes, p.Masked())
	}
	return prefixes
}

// systemRoots are the certificates that this machine trusts; none where it has no list of them.
func systemRoots() *x509.CertPool {
	pool, err := x509.SystemCertPool()
	if err != nil {
		return x509.NewCertPool()
	}
	return pool
}

// authorities adds the certificates of a PEM file to others; nil where there is no file.
func (u *understanding) authorities(name, file string, others *x509.CertPool) *x509.CertPool {
	if file == "" {
		return nil
	}
	pem, err := os.ReadFile(file)
	switch {
	case err != nil:
		u.problem("%s: %v", name, err)
	case !others.AppendCertsFromPEM(pem):
		u.problem("%s: %s holds no PEM certificate", name, file)
	}
	return others
}

func (u *understanding) encryptionKeys(list oauth.Secret) keys.EncryptionKeys {
	if list == "" {
		return nil
	}
	parsed, err := keys.ParseEncryptionKeys(list.Reveal())
	if err != nil {
		u.problem("key-encryption-key: %v", err)
	}
	return parsed
}

func (u *understanding) certificate(whose, certFile, keyFile string) {
	if (certFile == "") != (keyFile == "") {
		u.problem("%[1]s-cert-file and %[1]s-key-file must be set together", whose)
	} else if certFile != "" {
		if _, err := tls.LoadX509KeyPair(certFile, keyFile); err != nil {
			u.problem("%[1]s-cert-file, %[1]s-key-file: %[2]v", whose, err)
		}
	}
}

func (u *understanding) databaseURL(url oauth.Secret) {
	if url == "" {
		return
	}
	if err := store.CheckURL(url.Reveal()); err != nil {
		u.problem("database-url: %v", err)
	}
}

// problemsError is the one error that lists all that is wrong with the configuration, or nil.
func problemsError(problems []string) error {
	if len(problems) == 0 {
		return nil
	}
	return exitError{exitUsage, "the configuration has " + plural(len(problems), "problem") + ":\n  " + strings.Join(problems, "\n  ")}
}

// split reads a list separated by commas or white space.
func split(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' || r == '\n' || r == '\t' })
}

// parExpiresIn is told to clients in whole seconds.
func (u *understanding) parExpiresIn(value string) time.Duration {
	d := u.duration("par-expires-in", value, grant.MinArrival, grant.MaxArrival)
	if d%time.Second != 0 {
		u.problem("par-expires-in must be whole seconds; it is %q", value)
	}
	return d
}

func (u *understanding) duration(name, value string, least, most time.Duration) time.Duration {
	d, err := time.ParseDuration(value)
	if err != nil || d < least || d > most {
		u.problem("%s must be a duration from %s to %s; it is %q", name, least, most, value)
		return 0
	}
	return d
}
