package certificate

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"time"
)

// Anchors tell whether an authority that the operator trusts vouches for a client certificate.
type Anchors interface {
	// Verify returns nil if a chain leads from the certificate to an authority, all of it valid at now and good for client
	// authentication. The error is for the log.
	Verify(c Certificate, now time.Time) error
}

// Authorities are the anchors of one file. The zero value trusts nobody.
type Authorities struct{ roots *x509.CertPool }

// ParseAuthorities reads the certificates of authorities, PEM blocks one after the other. Error: there is none, or one of
// them cannot be read or is no certificate of an authority with a key that is strong enough.
func ParseAuthorities(text []byte) (Authorities, error) {
	pool, n := x509.NewCertPool(), 0
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		n++
		c, err := x509.ParseCertificate(block.Bytes)
		switch {
		case block.Type != "CERTIFICATE":
			return Authorities{}, errorf("block %d is %q, not CERTIFICATE", n, block.Type)
		case err != nil:
			return Authorities{}, errorf("block %d: %w", n, err)
		case !c.BasicConstraintsValid || !c.IsCA:
			return Authorities{}, errorf("block %d is no certificate of an authority (basicConstraints CA:TRUE)", n)
		case !strong(c.PublicKey):
			return Authorities{}, errorf("block %d has a key that is too weak", n)
		}
		pool.AddCert(c)
	}
	if begun := bytes.Count(text, []byte("-----BEGIN ")); n == 0 || n != begun { // package pem passes over what it cannot read
		return Authorities{}, errorf("%d of %d PEM blocks can be read; there must be at least one", n, begun)
	}
	return Authorities{pool}, nil
}

// Verify as of Anchors. An authority's own certificate is no client's. A signature with SHA-1 vouches for nothing (package
// x509 refuses it), nor does an authority whose key is too weak.
func (a Authorities) Verify(c Certificate, now time.Time) error {
	switch {
	case a.roots == nil:
		return errorf("no authority is trusted")
	case c.Leaf.IsCA:
		return errorf("it is an authority's")
	case c.Leaf.KeyUsage != 0 && c.Leaf.KeyUsage&x509.KeyUsageDigitalSignature == 0:
		return errorf("its key usage lacks digitalSignature")
	}
	between := x509.NewCertPool()
	for _, one := range c.Intermediates {
		if strong(one.PublicKey) {
			between.AddCert(one)
		}
	}
	_, err := c.Leaf.Verify(x509.VerifyOptions{
		Roots: a.roots, Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil { // names in the certificates, which are the client's to choose, may stand in it
		return errorf("%.200q", err.Error())
	}
	return nil
}
