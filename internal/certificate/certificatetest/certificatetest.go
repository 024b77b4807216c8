// Package certificatetest makes authorities and client certificates for tests.
package certificatetest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/http"
	"testing"
	"time"
)

// Edit changes a certificate before it is signed.
type Edit func(*x509.Certificate)

// Named gives a certificate a common name, and nothing else in its subject.
func Named(cn string) Edit {
	return func(c *x509.Certificate) { c.Subject = pkix.Name{CommonName: cn} }
}

// Authority signs certificates.
type Authority struct {
	Certificate *x509.Certificate
	key         crypto.Signer
}

// NewAuthority makes an authority that signs with ES256.
func NewAuthority(t testing.TB, edits ...Edit) *Authority {
	t.Helper()
	return NewAuthorityFor(t, Key(t), edits...)
}

// NewAuthorityFor makes the authority of a key.
func NewAuthorityFor(t testing.TB, key crypto.Signer, edits ...Edit) *Authority {
	t.Helper()
	template := authority(edits)
	return &Authority{sign(t, template, template, key, key), key}
}

// Below makes an authority that this one vouches for.
func (a *Authority) Below(t testing.TB, edits ...Edit) *Authority {
	t.Helper()
	return a.BelowFor(t, Key(t), edits...)
}

// BelowFor makes the authority of a key that this one vouches for.
func (a *Authority) BelowFor(t testing.TB, key crypto.Signer, edits ...Edit) *Authority {
	t.Helper()
	return &Authority{sign(t, authority(edits), a.Certificate, key, a.key), key}
}

func authority(edits []Edit) *x509.Certificate {
	isAuthority := func(c *x509.Certificate) { c.IsCA, c.KeyUsage, c.ExtKeyUsage = true, x509.KeyUsageCertSign, nil }
	return template(append([]Edit{Named("Test Authority"), isAuthority}, edits...))
}

// PEM is the authority's own certificate.
func (a *Authority) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.Certificate.Raw})
}

// Issue signs a client certificate with a key of its own.
func (a *Authority) Issue(t testing.TB, edits ...Edit) tls.Certificate {
	t.Helper()
	return a.IssueFor(t, Key(t), edits...)
}

// IssueFor signs the client certificate of a key.
func (a *Authority) IssueFor(t testing.TB, key crypto.Signer, edits ...Edit) tls.Certificate {
	t.Helper()
	return pair(sign(t, template(edits), a.Certificate, key, a.key), key)
}

// SelfSigned makes a certificate that nobody vouches for.
func SelfSigned(t testing.TB, edits ...Edit) tls.Certificate {
	t.Helper()
	return SelfSignedFor(t, Key(t), edits...)
}

// SelfSignedFor makes such a certificate of a key.
func SelfSignedFor(t testing.TB, key crypto.Signer, edits ...Edit) tls.Certificate {
	t.Helper()
	c := template(edits)
	return pair(sign(t, c, c, key, key), key)
}

// Bearing gives a request a client certificate, as the handshake would have.
func Bearing(t testing.TB, r *http.Request, c tls.Certificate) *http.Request {
	t.Helper()
	r.TLS = &tls.ConnectionState{HandshakeComplete: true, PeerCertificates: []*x509.Certificate{c.Leaf}}
	for _, der := range c.Certificate[1:] {
		between, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		r.TLS.PeerCertificates = append(r.TLS.PeerCertificates, between)
	}
	return r
}

// Key makes a key on P-256.
func Key(t testing.TB) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// template is a client certificate that is valid whatever the clock of a test.
func template(edits []Edit) *x509.Certificate {
	serial, _ := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 100))
	c := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "c1"}, BasicConstraintsValid: true,
		NotBefore: time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2120, 1, 1, 0, 0, 0, 0, time.UTC),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	for _, edit := range edits {
		edit(c)
	}
	return c
}

func sign(t testing.TB, template, parent *x509.Certificate, key, by crypto.Signer) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), by)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func pair(c *x509.Certificate, key crypto.Signer) tls.Certificate {
	return tls.Certificate{Certificate: [][]byte{c.Raw}, PrivateKey: key, Leaf: c}
}
