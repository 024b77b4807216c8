package certificate

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"net/http"
	"time"

	"authserver/internal/oauth"
)

// maxIntermediates bounds the certificates that a client sends beside its own.
const maxIntermediates = 9

// The sizes of RSA keys, in bits: FAPI 2.0 Security Profile §5.4.1 sets the floor, crypto/tls the ceiling.
const (
	minModulus = 2048
	maxModulus = 8192
)

// Certificate is a client's certificate, with those that it sent to connect it to an authority.
type Certificate struct {
	Leaf          *x509.Certificate
	Intermediates []*x509.Certificate
}

// Of is the client certificate of a request; false when it has none. It is refused (CertificateRefused) when it is not valid
// at now, or when its key is one that no client should use. Whether it is anybody's is for others to say.
func Of(r *http.Request, now time.Time) (Certificate, bool, error) {
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return Certificate{}, false, nil
	}
	c := Certificate{Leaf: r.TLS.PeerCertificates[0], Intermediates: r.TLS.PeerCertificates[1:]}
	refuse := func(sentence string, args ...any) (Certificate, bool, error) {
		return Certificate{}, true, oauth.Refuse(oauth.CertificateRefused, sentence, args...)
	}
	switch {
	case now.Before(c.Leaf.NotBefore):
		return refuse("the client certificate is not valid before %s", moment(c.Leaf.NotBefore))
	case now.After(c.Leaf.NotAfter):
		return refuse("the client certificate expired at %s", moment(c.Leaf.NotAfter))
	case !strong(c.Leaf.PublicKey):
		return refuse("the client certificate's key must be RSA of %d to %d bits, P-256, P-384, P-521 or Ed25519",
			minModulus, maxModulus)
	case len(c.Intermediates) > maxIntermediates:
		return refuse("the client sent %d certificates beside its own; at most %d are taken",
			len(c.Intermediates), maxIntermediates)
	}
	return c, true, nil
}

// Thumbprint is the x5t#S256 of the certificate, to which tokens are bound (RFC 8705 §3.1).
func (c Certificate) Thumbprint() string {
	hash := sha256.Sum256(c.Leaf.Raw)
	return base64.RawURLEncoding.EncodeToString(hash[:])
}

// strong tells whether a key is one that a certificate may have.
func strong(key any) bool {
	switch key := key.(type) {
	case *rsa.PublicKey:
		bits := key.N.BitLen()
		return bits >= minModulus && bits <= maxModulus
	case *ecdsa.PublicKey:
		return key.Curve == elliptic.P256() || key.Curve == elliptic.P384() || key.Curve == elliptic.P521()
	case ed25519.PublicKey:
		return true
	}
	return false
}

func moment(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// errorf names this room in the private cause of a refusal.
func errorf(format string, args ...any) error { return fmt.Errorf("certificate: "+format, args...) }
