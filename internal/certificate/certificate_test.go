package certificate_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"authserver/internal/certificate"
	"authserver/internal/certificate/certificatetest"
	"authserver/internal/oauth"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// TestOf (TL-04): a request has one certificate or none, and one that nobody should use is refused by name.
func TestOf(t *testing.T) {
	rsaKey := func(bits uint) any { return &rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), bits-1), E: 65537} }
	ec := func(c elliptic.Curve) any { return &ecdsa.PublicKey{Curve: c} }
	good := func(key any) []*x509.Certificate {
		return []*x509.Certificate{{PublicKey: key, NotBefore: noon.Add(-time.Hour), NotAfter: noon.Add(time.Hour)}}
	}
	between := func(n int) []*x509.Certificate {
		return append(good(rsaKey(2048)), make([]*x509.Certificate, n)...)
	}
	at := func(before, after time.Time) []*x509.Certificate {
		return []*x509.Certificate{{PublicKey: rsaKey(2048), NotBefore: before, NotAfter: after}}
	}
	for name, test := range map[string]struct {
		sent    []*x509.Certificate
		refused bool
	}{
		"none":                     {nil, false},
		"RSA of 2048 bits":         {good(rsaKey(2048)), false},
		"RSA of 8192 bits":         {good(rsaKey(8192)), false},
		"P-256":                    {good(ec(elliptic.P256())), false},
		"P-384":                    {good(ec(elliptic.P384())), false},
		"P-521":                    {good(ec(elliptic.P521())), false},
		"Ed25519":                  {good(ed25519.PublicKey(make([]byte, 32))), false},
		"9 intermediates":          {between(9), false},
		"valid from now on":        {at(noon, noon.Add(time.Hour)), false},
		"valid until now":          {at(noon.Add(-time.Hour), noon), false},
		"TL-04 not yet valid":      {at(noon.Add(time.Second), noon.Add(time.Hour)), true},
		"TL-04 expired":            {at(noon.Add(-time.Hour), noon.Add(-time.Second)), true},
		"RSA of 2047 bits":         {good(rsaKey(2047)), true},
		"RSA of 8193 bits":         {good(rsaKey(8193)), true},
		"P-224":                    {good(ec(elliptic.P224())), true},
		"a key of an unknown kind": {good(nil), true},
		"10 intermediates":         {between(10), true},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodPost, "/oauth2/token", nil)
			r.TLS = &tls.ConnectionState{PeerCertificates: test.sent}
			c, found, err := certificate.Of(r, noon)
			if found != (len(test.sent) > 0) {
				t.Errorf("found %v", found)
			}
			if !test.refused {
				if err != nil || found && (c.Leaf != test.sent[0] || len(c.Intermediates) != len(test.sent)-1) {
					t.Errorf("%+v, %v", c, err)
				}
				return
			}
			refusal, ok := errors.AsType[*oauth.Error](err)
			if !ok || refusal.Reason != oauth.CertificateRefused || refusal.Status() != http.StatusUnauthorized || c.Leaf != nil {
				t.Errorf("%v, and the certificate %v", err, c.Leaf)
			}
		})
	}
	if _, found, err := certificate.Of(httptest.NewRequest(http.MethodPost, "/", nil), noon); found || err != nil {
		t.Errorf("without TLS: %v, %v", found, err)
	}
}

// TestHandshake (TL-01, TL-09): the certificate is the one whose key the connection's client has proven to hold, with those
// that it sent beside it; a client without one is let in.
func TestHandshake(t *testing.T) {
	root := certificatetest.NewAuthority(t)
	below := root.Below(t, certificatetest.Named("Test Authority Below"))
	ours := below.Issue(t)
	ours.Certificate = append(ours.Certificate, below.Certificate.Raw)
	anchors, err := certificate.ParseAuthorities(root.PEM())
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, found, err := certificate.Of(r, noon)
		switch {
		case err != nil:
			http.Error(w, err.Error(), http.StatusUnauthorized)
		case !found:
			_, _ = io.WriteString(w, "none")
		case anchors.Verify(c, noon) != nil:
			_, _ = io.WriteString(w, "unknown")
		default:
			_, _ = io.WriteString(w, c.Thumbprint())
		}
	}))
	s.TLS = &tls.Config{ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS12}
	s.StartTLS()
	defer s.Close()
	ask := func(with ...tls.Certificate) string {
		transport := s.Client().Transport.(*http.Transport).Clone()
		transport.TLSClientConfig.Certificates = with
		defer transport.CloseIdleConnections()
		resp, err := (&http.Client{Transport: transport}).Get(s.URL)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(body)
	}
	for name, test := range map[string]struct {
		with []tls.Certificate
		want string
	}{
		"with it":     {[]tls.Certificate{ours}, certificate.Certificate{Leaf: ours.Leaf}.Thumbprint()},
		"with none":   {nil, "none"},
		"self-signed": {[]tls.Certificate{certificatetest.SelfSigned(t)}, "unknown"},
	} {
		if got := ask(test.with...); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
}

// TestThumbprint: the certificate and the x5t#S256 that RFC 8705 appendix A prints.
func TestThumbprint(t *testing.T) {
	block, _ := pem.Decode([]byte(`-----BEGIN CERTIFICATE-----
MIIBBjCBrAIBAjAKBggqhkjOPQQDAjAPMQ0wCwYDVQQDDARtdGxzMB4XDTE4MTAx
ODEyMzcwOVoXDTIyMDUwMjEyMzcwOVowDzENMAsGA1UEAwwEbXRsczBZMBMGByqG
SM49AgEGCCqGSM49AwEHA0IABNcnyxwqV6hY8QnhxxzFQ03C7HKW9OylMbnQZjjJ
/Au08/coZwxS7LfA4vOLS9WuneIXhbGGWvsDSb0tH6IxLm8wCgYIKoZIzj0EAwID
SQAwRgIhAP0RC1E+vwJD/D1AGHGzuri+hlV/PpQEKTWUVeORWz83AiEA5x2eXZOV
bUlJSGQgjwD5vaUaKlLR50Q2DmFfQj1L+SY=
-----END CERTIFICATE-----`))
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if got := (certificate.Certificate{Leaf: c}).Thumbprint(); got != "A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0" {
		t.Errorf("x5t#S256 %s", got)
	}
}
