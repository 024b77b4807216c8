package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

// certificateNotice is how long before its end a certificate is worth a warning.
const certificateNotice = 21 * 24 * time.Hour

// checkIssuer reads the metadata as a client would, through the public URL.
func (e *examination) checkIssuer(ctx context.Context) {
	if e.config.issuer == "" {
		e.found("issuer", failed, "there is none", "set AUTHSERVER_ISSUER to the public base URL")
		return
	}
	client, err := e.publicClient()
	if err != nil {
		e.found("issuer", failed, err.Error(), "")
		return
	}
	first := e.readMetadata(ctx, client, metadataURL(e.config.issuer))
	if first == nil {
		return
	}
	second := e.readMetadata(ctx, client, e.config.issuer+"/.well-known/openid-configuration")
	if second == nil {
		return
	}
	if !bytes.Equal(first, second) {
		e.found("issuer", failed, "the two metadata documents differ", "a proxy rewrites or caches one of them")
		return
	}
	e.found("issuer", passed, "reached through "+e.config.issuer+", byte for byte the one that is configured", "")
}

// readMetadata returns the document, or nil after noting what is wrong with it.
func (e *examination) readMetadata(ctx context.Context, client *http.Client, location string) []byte {
	ctx, cancel := context.WithTimeout(ctx, e.timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, location, nil)
	if err != nil {
		e.found("issuer", failed, err.Error(), "")
		return nil
	}
	response, err := client.Do(request)
	if err != nil {
		e.found("issuer", failed, err.Error(), "the public URL must lead to this server, also from this machine")
		return nil
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	var document struct {
		Issuer        string `json:"issuer"`
		TokenEndpoint string `json:"token_endpoint"`
	}
	switch {
	case err != nil:
		e.found("issuer", failed, err.Error(), "")
	case response.StatusCode != http.StatusOK:
		e.found("issuer", failed, location+" answers "+response.Status, "a proxy in front must pass the path on unchanged, and redirect nothing")
	case json.Unmarshal(body, &document) != nil:
		e.found("issuer", failed, location+" answers no JSON", "something else answers at the public URL")
	case document.Issuer != e.config.issuer:
		e.found("issuer", failed, fmt.Sprintf("the metadata names %q, the settings %q", document.Issuer, e.config.issuer), "clients compare them byte by byte")
	case !strings.HasPrefix(document.TokenEndpoint, e.config.issuer+"/"):
		e.found("issuer", failed, "the token endpoint is elsewhere: "+document.TokenEndpoint, "")
	default:
		return body
	}
	return nil
}

// publicClient follows no redirects: no API client does.
func (e *examination) publicClient() (*http.Client, error) {
	roots, err := e.roots()
	if err != nil {
		return nil, err
	}
	return &http.Client{
		Transport:     &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

// roots are the certificates of --ca-cert; nil means the system's.
func (e *examination) roots() (*x509.CertPool, error) {
	if e.caCert == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(e.caCert)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no PEM certificate", e.caCert)
	}
	return pool, nil
}

// checkTLS examines TLS at the public URL.
func (e *examination) checkTLS(ctx context.Context) {
	if u, err := url.Parse(e.config.issuer); err != nil || u.Scheme != "https" {
		e.found("TLS", skipped, "the issuer is not https", "")
		return
	}
	state, ok := e.shakeHands(ctx, "TLS", e.config.issuer, &tls.Config{})
	if !ok {
		return
	}
	if detail, soon := lasts(state); soon {
		e.found("TLS", warning, detail, "renew it; the files are read again when they change")
	} else {
		e.found("TLS", passed, detail, "")
	}
}

// shakeHands does so at a URL as a client of this configuration would, and as none should. What is wrong is noted under the
// name of the check.
func (e *examination) shakeHands(ctx context.Context, check, location string, config *tls.Config) (state tls.ConnectionState, ok bool) {
	u, err := url.Parse(location)
	if err == nil {
		config.RootCAs, err = e.roots()
	}
	if err != nil {
		e.found(check, failed, err.Error(), "")
		return state, false
	}
	address := net.JoinHostPort(u.Hostname(), or(u.Port(), "443"))
	ctx, cancel := context.WithTimeout(ctx, e.timeout)
	defer cancel()
	config.ServerName, config.MinVersion = u.Hostname(), tls.VersionTLS12
	if state, err = handshake(ctx, address, config); err != nil {
		e.found(check, failed, err.Error(), "the server must send its whole chain; a private authority is named by --ca-cert")
		return state, false
	}
	for what, weak := range weakHandshakes() {
		weak.ServerName, weak.InsecureSkipVerify = u.Hostname(), true // nothing is sent over it
		if _, err := handshake(ctx, address, weak); err == nil {
			e.found(check, failed, "a handshake with "+what+" succeeds", "FAPI 2.0 allows TLS 1.3, and 1.2 with four ECDHE-GCM suites")
			return state, false
		}
	}
	return state, true
}

// lasts says until when a server's certificate is valid, and whether that is soon.
func lasts(state tls.ConnectionState) (detail string, soon bool) {
	left := time.Until(state.PeerCertificates[0].NotAfter)
	return fmt.Sprintf("%s, the certificate ends in %.0f days", tls.VersionName(state.Version), left.Hours()/24), left < certificateNotice
}

// weakHandshakes are what FAPI 2.0 Security Profile §5.2.2 forbids.
func weakHandshakes() map[string]*tls.Config {
	var weak []uint16
	for _, suite := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		if !strings.Contains(suite.Name, "ECDHE") || !strings.Contains(suite.Name, "GCM") {
			weak = append(weak, suite.ID)
		}
	}
	return map[string]*tls.Config{
		"TLS 1.0 or 1.1":            {MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11},
		"TLS 1.2 and weaker suites": {MinVersion: tls.VersionTLS12, MaxVersion: tls.VersionTLS12, CipherSuites: weak},
	}
}

func handshake(ctx context.Context, address string, config *tls.Config) (tls.ConnectionState, error) {
	connection, err := (&tls.Dialer{Config: config}).DialContext(ctx, "tcp", address)
	if err != nil {
		return tls.ConnectionState{}, err
	}
	defer connection.Close()
	return connection.(*tls.Conn).ConnectionState(), nil
}
