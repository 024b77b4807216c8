package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"os"
	"path"
	"strings"
	"time"

	"authserver/internal/oauth"
)

// checkMutualTLS looks at the ways by which a client shows a certificate, and at the authorities that vouch for clients.
func (e *examination) checkMutualTLS(ctx context.Context) {
	m := e.config.mtls
	if !m.offered() {
		e.found("mutual TLS", passed, "off: no client can show a certificate", "")
		return
	}
	if m.header != "" {
		bases := []string{e.config.issuer}
		if m.url != "" && m.listen == "" { // a host of its own, of the proxy that asks for certificates
			bases = append(bases, m.url)
		}
		for _, base := range bases {
			if !e.checkHeader(ctx, base) {
				return
			}
		}
	}
	detail, soon := "told of by trusted proxies in "+m.header+", which they let nobody else set", false
	if m.url != "" {
		state, ok := e.checkAliases(ctx)
		if !ok {
			return
		}
		detail, soon = lasts(state)
	}
	left, named, err := e.authoritiesLast()
	switch {
	case err != nil:
		e.found("mutual TLS", failed, err.Error(), "mtls-client-ca-file names the authorities that vouch for clients")
	case named && left < 0:
		e.found("mutual TLS", failed, "an authority in mtls-client-ca-file has expired: it vouches for nobody", "renew it, or take it out")
	case soon:
		e.found("mutual TLS", warning, detail, "renew it; the files are read again when they change")
	case named && left < certificateNotice:
		e.found("mutual TLS", warning, fmt.Sprintf("an authority in mtls-client-ca-file ends in %.0f days", left.Hours()/24), "add its successor; the file is read again when it changes")
	default:
		e.found("mutual TLS", passed, detail, "")
	}
}

// checkAliases goes where mtls_endpoint_aliases lead, and wants to be asked for a certificate by this very issuer.
func (e *examination) checkAliases(ctx context.Context) (tls.ConnectionState, bool) {
	asked := false
	state, ok := e.shakeHands(ctx, "mutual TLS", e.config.mtls.url, &tls.Config{
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			asked = true
			return &tls.Certificate{}, nil // none, which must be enough for documents
		},
	})
	if !ok {
		return state, false
	}
	if !asked {
		e.found("mutual TLS", failed, "nobody asks for a client certificate at "+e.config.mtls.url, "mtls-url must lead to mtls-listen, or to a proxy that asks and does not insist")
		return state, false
	}
	client, err := e.publicClient()
	if err != nil {
		e.found("mutual TLS", failed, err.Error(), "")
		return state, false
	}
	ctx, cancel := context.WithTimeout(ctx, e.timeout)
	defer cancel()
	var document struct{ Issuer string }
	status, err := getJSON(ctx, client, e.config.mtls.url+"/.well-known/openid-configuration", &document)
	if err != nil || status != http.StatusOK || document.Issuer != e.config.issuer {
		e.found("mutual TLS", failed, fmt.Sprintf("%s answers %d for the issuer %q (%v)", e.config.mtls.url, status, document.Issuer, err), "mtls-url must lead to this server, without a certificate too")
		return state, false
	}
	return state, true
}

// checkHeader wants the proxy in front to take what a client writes in the proxy's own header for nothing: who can set that
// shows whatever certificate he likes. What doctor writes is none, and this server says so of what comes as far as to it.
func (e *examination) checkHeader(ctx context.Context, base string) bool {
	client, err := e.publicClient()
	if err != nil {
		e.found("mutual TLS", failed, err.Error(), "")
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, e.timeout)
	defer cancel()
	form := strings.NewReader("grant_type=client_credentials")
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/oauth2/token", form)
	if err != nil {
		e.found("mutual TLS", failed, err.Error(), "")
		return false
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set(e.config.mtls.header, "doctor")
	response, err := client.Do(request)
	if err != nil {
		e.found("mutual TLS", failed, err.Error(), base+" must lead to this server, also from this machine")
		return false
	}
	defer response.Body.Close()
	var refusal struct {
		URI string `json:"error_uri"`
	}
	err = json.NewDecoder(http.MaxBytesReader(nil, response.Body, 1<<20)).Decode(&refusal)
	switch {
	case err != nil || refusal.URI == "":
		e.found("mutual TLS", failed, base+"/oauth2/token answers "+response.Status+", and not as this server does",
			"it must lead to this server, also from this machine")
		return false
	case path.Base(refusal.URI) == string(oauth.CertificateRefused):
		e.found("mutual TLS", failed, "what a client writes in "+e.config.mtls.header+" is believed: anybody can show any certificate",
			"have the proxy set that header on every request, and delete it where the client has shown no certificate")
		return false
	}
	return true
}

// authoritiesLast is for how long all authorities of clients are valid yet; named is false where there are none.
func (e *examination) authoritiesLast() (left time.Duration, named bool, err error) {
	if e.config.mtls.caFile == "" {
		return 0, false, nil
	}
	text, err := os.ReadFile(e.config.mtls.caFile)
	if err != nil {
		return 0, false, err
	}
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		authority, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return 0, false, err
		}
		if until := time.Until(authority.NotAfter); !named || until < left {
			left, named = until, true
		}
	}
	return left, named, nil
}
