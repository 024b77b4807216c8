package main

import (
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"

	"authserver/internal/certificate"
	"authserver/internal/client"
)

// mtlsSettings are how clients show a certificate (RFC 8705): to a second listener, or to a proxy in front.
type mtlsSettings struct {
	MTLSListen               string `name:"mtls-listen" placeholder:"HOST:PORT" help:"Where the endpoints of machines listen a second time, and ask for a client certificate."`
	MTLSURL                  string `name:"mtls-url" placeholder:"URL" help:"Public base URL of that listener: where mtls_endpoint_aliases of the metadata lead."`
	MTLSCertFile             string `name:"mtls-cert-file" placeholder:"FILE" help:"Its PEM certificate chain, instead of tls-cert-file; read again when it changes."`
	MTLSKeyFile              string `name:"mtls-key-file" placeholder:"FILE" help:"PEM private key of that certificate."`
	MTLSClientCAFile         string `name:"mtls-client-ca-file" placeholder:"FILE" help:"PEM certificates of the authorities that vouch for clients; read again when it changes."`
	ClientCertHeader         string `placeholder:"NAME" help:"Header by which trusted proxies tell of the client's certificate, such as Client-Cert."`
	RequireClientCertificate string `placeholder:"true|false" help:"Whether every call of a machine must bear a certificate that these authorities vouch for."`
}

// mutualTLS is how clients show a certificate, understood.
type mutualTLS struct {
	listen            string // "": no second listener
	url               string // "": no aliases
	certFile, keyFile string // of the second listener
	caFile            string // "": nobody vouches for clients
	header            string // in canonical spelling; "": proxies tell of no certificate
	required          bool
}

// offered tells whether a client can show a certificate at all.
func (m mutualTLS) offered() bool { return m.listen != "" || m.header != "" }

// forMachines is the base of URLs that clients get outside the metadata, which knows no alias for those: where every call must
// bear a certificate, they lead to the listener that asks for one.
func (c config) forMachines() string {
	if c.mtls.required && c.mtls.url != "" {
		return c.mtls.url
	}
	return c.issuer
}

// methods are the ways of client authentication by certificate: without authorities only certificates that clients register,
// and none of those where every call must bear one by an authority.
func (m mutualTLS) methods() []string {
	switch {
	case !m.offered():
		return nil
	case m.caFile == "":
		return []string{client.SelfSignedTLSClientAuth}
	case m.required:
		return []string{client.TLSClientAuth}
	}
	return []string{client.TLSClientAuth, client.SelfSignedTLSClientAuth}
}

// fillInMTLS sets what dev and serve have in common.
func (s *mtlsSettings) fillInMTLS() {
	s.RequireClientCertificate = or(s.RequireClientCertificate, "false")
}

// headerNames are names that this server can read certificates from: those of Go's canonical spelling.
var headerNames = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9]*(-[A-Za-z0-9]+)*$`)

// otherHeaders are names, in canonical spelling, under which something else comes: what this server reads besides, or what
// HTTP needs for itself. Taken for a certificate, and away from everybody but a proxy, it would be missing there.
var otherHeaders = regexp.MustCompile(`^(Accept|Access-Control|Content|If|Proxy|Sec|X-Fapi)-|` +
	`^(Accept|Authorization|Cache-Control|Client-Cert-Chain|Connection|Cookie|Date|Dpop|Expect|Forwarded|Host|` +
	`Http2-Settings|Keep-Alive|Max-Forwards|Origin|Pragma|Range|Referer|` +
	`Te|Trailer|Transfer-Encoding|Upgrade|User-Agent|Via|X-Forwarded-(For|Host|Port|Proto|Server)|X-Real-Ip)$`)

// mutualTLS wants a way for certificates to come in wherever something is said about them.
func (u *understanding) mutualTLS(s settings) mutualTLS {
	m := mutualTLS{
		listen: s.MTLSListen, url: s.MTLSURL, caFile: s.MTLSClientCAFile, header: http.CanonicalHeaderKey(s.ClientCertHeader),
		certFile: or(s.MTLSCertFile, s.TLSCertFile), keyFile: or(s.MTLSKeyFile, s.TLSKeyFile),
		required: u.oneOf("require-client-certificate", s.RequireClientCertificate, "true", "false") == "true",
	}
	u.certificate("mtls", s.MTLSCertFile, s.MTLSKeyFile)
	u.clientAuthorities(m.caFile)
	u.mtlsURL(m.url, s.Issuer)
	if m.listen != "" {
		u.address("mtls-listen", m.listen)
		if m.url == "" {
			u.problem("mtls-listen needs mtls-url: clients and proofs name it")
		}
	} else if s.MTLSCertFile != "" {
		u.problem("mtls-cert-file, mtls-key-file: only with mtls-listen")
	}
	switch {
	case m.header != "" && !headerNames.MatchString(m.header):
		u.problem("client-cert-header must be the name of a header, of letters, digits and hyphens; it is %q", s.ClientCertHeader)
	case otherHeaders.MatchString(m.header):
		u.problem("client-cert-header must be Client-Cert, X-Forwarded-Client-Cert or a header for "+
			"nothing but certificates, such as X-SSL-Client-Cert; something else comes in %s", s.ClientCertHeader)
	}
	if m.header != "" && s.TrustedProxies == "" {
		u.problem("client-cert-header needs trusted-proxies: from anybody else the header counts for nothing")
	}
	if m.required && m.caFile == "" {
		u.problem("require-client-certificate needs mtls-client-ca-file")
	}
	if !m.offered() {
		for _, setting := range []struct {
			name string
			set  bool
		}{{"mtls-url", m.url != ""}, {"mtls-client-ca-file", m.caFile != ""}, {"require-client-certificate", m.required}} {
			if setting.set {
				u.problem("%s: only with mtls-listen or client-cert-header", setting.name)
			}
		}
	}
	return m
}

// mtlsURL wants the issuer's path at another place: the paths are the same on both listeners.
func (u *understanding) mtlsURL(value, issuer string) {
	if value == "" {
		return
	}
	parsed, err := url.Parse(value)
	if err != nil || parsed.Scheme != "https" || parsed.Hostname() == "" || parsed.User != nil || strings.ContainsAny(value, "?#") ||
		value != "https://"+strings.ToLower(parsed.Host)+parsed.EscapedPath() || parsed.Port() == "443" {
		u.problem("mtls-url must be an https URL, spelled with a lower-case host, without default port, query and fragment; it is %q", value)
		return
	}
	if at, err := url.Parse(issuer); err == nil && parsed.EscapedPath() != at.EscapedPath() {
		u.problem("mtls-url must have the issuer's path, %q; it is %q", at.EscapedPath(), value)
	}
	if value == issuer {
		u.problem("mtls-url is the issuer: leave it out, where the endpoints of the metadata see certificates themselves")
	}
}

// clientAuthorities reads the anchors once, for what is wrong with them to be told with the other problems.
func (u *understanding) clientAuthorities(file string) {
	if file == "" {
		return
	}
	if _, err := readAuthorities(file); err != nil {
		u.problem("mtls-client-ca-file: %v", err)
	}
}

func readAuthorities(file string) (certificate.Authorities, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return certificate.Authorities{}, err
	}
	return certificate.ParseAuthorities(text)
}
