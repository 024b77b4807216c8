package server

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"authserver/internal/oauth"
)

// The headers by which proxies tell which certificate a client has proven to them. A header of any other name is read as
// nginx writes $ssl_client_escaped_cert.
const (
	clientCert          = "Client-Cert"       // RFC 9440 §2.2
	clientCertChain     = "Client-Cert-Chain" // RFC 9440 §2.3
	forwardedClientCert = "X-Forwarded-Client-Cert"
)

// certified returns the request with the certificate that the proxy in front tells of, as if it had been proven here: the
// header is there only if a trusted proxy sent it (see behind). What cannot be read is refused and never taken for none.
func (s *Server) certified(r *http.Request) (*http.Request, error) {
	if s.MutualTLS.Header == "" {
		return r, nil
	}
	chain, err := forwarded(r.Header, s.MutualTLS.Header)
	if err != nil {
		return nil, oauth.Refuse(oauth.CertificateRefused, "%s", err)
	}
	if len(chain) == 0 {
		return r, nil
	}
	own := r.WithContext(r.Context())
	own.TLS = proven(cmp.Or(r.TLS, &tls.ConnectionState{}), chain)
	return own, nil
}

// forwarded reads the header of this name: the client's certificate and those behind it, or none.
func forwarded(h http.Header, name string) ([]*x509.Certificate, error) {
	values := h.Values(name)
	if len(values) == 0 {
		if name == clientCert && len(h.Values(clientCertChain)) > 0 {
			return nil, errors.New("Client-Cert-Chain came without Client-Cert")
		}
		return nil, nil
	}
	if len(values) > 1 {
		return nil, fmt.Errorf("%s stands %d times: the proxy must set it, not add its own to the client's", name, len(values))
	}
	var chain []*x509.Certificate
	var err error
	switch name {
	case clientCert:
		chain, err = readFields(values[0], h.Values(clientCertChain))
	case forwardedClientCert:
		chain, err = readElement(values[0])
	default:
		if chain, err = readEscaped(values[0]); err == nil {
			err = linked(chain)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%s cannot be read: %w", name, err)
	}
	return chain, nil
}

// readFields reads Client-Cert, one byte sequence, and Client-Cert-Chain, lists of them (RFC 9440 §2, RFC 8941 §3.3.5).
func readFields(leaf string, lists []string) ([]*x509.Certificate, error) {
	sequences := []string{leaf}
	for _, list := range lists {
		sequences = append(sequences, strings.Split(list, ",")...)
	}
	var chain []*x509.Certificate
	for _, sequence := range sequences {
		text, opened := strings.CutPrefix(strings.Trim(sequence, " \t"), ":")
		text, closed := strings.CutSuffix(text, ":")
		if !opened || !closed || strings.ContainsAny(text, "\r\n") {
			return nil, errors.New("expected one byte sequence for each certificate, base64 between two colons (RFC 9440)")
		}
		der, err := base64.StdEncoding.Strict().DecodeString(text)
		if err != nil {
			return nil, errors.New("the base64 between the colons is malformed")
		}
		certificate, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, errNoCertificate
		}
		chain = append(chain, certificate)
	}
	return chain, nil
}

// readElement reads X-Forwarded-Client-Cert as Envoy sets it: Cert is the client's certificate, Chain that and those behind
// it, both as escaped PEM. Of a certificate's names Envoy quotes the subject alone: a URI in it could pass for members of the
// element. Hash, which Envoy always sends before any of them, must therefore be there, once, and be that of the certificate.
// Of an element of Cert alone, as nginx can be made to write it, there is nothing that could pass for another member.
func readElement(value string) ([]*x509.Certificate, error) {
	members, err := elementOf(value)
	if err != nil {
		return nil, err
	}
	if members["cert"] == "" && members["chain"] == "" {
		return nil, errors.New("the element has neither Cert nor Chain: have Envoy set them (set_current_client_cert_details)")
	}
	alone := len(members) == 1 && members["cert"] != ""
	var chains [][]*x509.Certificate
	for _, name := range []string{"chain", "cert"} {
		if members[name] == "" {
			continue
		}
		chain, err := readEscaped(members[name])
		if err != nil {
			return nil, err
		}
		if name == "cert" && len(chain) > 1 {
			return nil, errors.New("the member Cert holds more than one certificate")
		}
		chains = append(chains, chain)
		if digest := sha256.Sum256(chain[0].Raw); !alone && hex.EncodeToString(digest[:]) != strings.ToLower(members["hash"]) {
			return nil, fmt.Errorf("the member Hash is not that of the certificate in %s", name)
		}
	}
	return chains[0], nil
}

// elementOf reads one element: members between semicolons, whose values may stand in quotes. A comma begins another
// element, which is what another proxy, or the client, had to say.
func elementOf(text string) (map[string]string, error) {
	members := map[string]string{}
	for rest := text; rest != ""; {
		name, behind, found := strings.Cut(rest, "=")
		if !found || strings.ContainsAny(name, `;,"`) {
			return nil, errors.New("expected members of one element, name=value, between semicolons")
		}
		value, behind, err := valueOf(behind)
		if err != nil {
			return nil, err
		}
		name = strings.ToLower(name)
		if _, twice := members[name]; twice && (name == "hash" || name == "cert" || name == "chain") {
			return nil, fmt.Errorf("%s stands twice", name)
		}
		members[name], rest = value, behind
	}
	return members, nil
}

// valueOf takes a value and the semicolon behind it from text.
func valueOf(text string) (value, rest string, err error) {
	if !strings.HasPrefix(text, `"`) {
		end := strings.IndexAny(text+";", `;,"`)
		value, rest = text[:end], text[end:]
	} else {
		var plain strings.Builder
		end := 1
		for ; end < len(text) && text[end] != '"'; end++ {
			if text[end] == '\\' && end+1 < len(text) {
				end++
			}
			plain.WriteByte(text[end])
		}
		if end == len(text) {
			return "", "", errors.New("a quote is not closed")
		}
		value, rest = plain.String(), text[end+1:]
	}
	switch {
	case rest == "":
		return value, "", nil
	case rest[0] == ';' && len(rest) > 1:
		return value, rest[1:], nil
	case rest[0] == ',':
		return "", "", errors.New("it has more than one element: the proxy must set it, not append to the client's")
	}
	return "", "", errors.New("expected a semicolon between members")
}

// readEscaped reads certificates in PEM, percent-encoded: the client's first, then those behind it if the proxy sends them.
func readEscaped(value string) ([]*x509.Certificate, error) {
	text, err := url.PathUnescape(value)
	if err != nil || strings.ContainsAny(value, " \t") { // a space would be one of a fold, which joins what two have written
		return nil, errors.New("the percent-encoding is malformed")
	}
	var chain []*x509.Certificate
	for rest := bytes.TrimSpace([]byte(text)); len(chain) == 0 || len(rest) > 0; {
		block, behind := pem.Decode(rest)
		// The decoder looks for a block anywhere: what it skips must be nothing.
		if block == nil || block.Type != "CERTIFICATE" || len(block.Headers) > 0 || !sameText(rest[:len(rest)-len(behind)], pem.EncodeToMemory(block)) {
			return nil, errors.New("expected certificates in PEM, percent-encoded, and nothing else")
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, errNoCertificate
		}
		chain, rest = append(chain, certificate), bytes.TrimSpace(behind)
	}
	return chain, nil
}

// linked wants each certificate to vouch for the one before it. Else the proxy may have put the client's own behind what the
// client itself had written.
func linked(chain []*x509.Certificate) error {
	for i, authority := range chain[1:] {
		if err := chain[i].CheckSignatureFrom(authority); err != nil {
			return errors.New("it holds more than one certificate, and not each vouches for the one before it")
		}
	}
	return nil
}

var errNoCertificate = errors.New("what it holds is no X.509 certificate")

// sameText compares but for white space, in which encoders of PEM differ.
func sameText(a, b []byte) bool {
	return bytes.Equal(bytes.Join(bytes.Fields(a), nil), bytes.Join(bytes.Fields(b), nil))
}
