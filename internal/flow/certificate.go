package flow

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"math/big"
	"net/http"
	"net/url"
	"time"
)

// certificateLife is how long certificates live that are made here: a flow takes seconds, but a person may answer first.
const certificateLife = time.Hour

// Certificate is a client certificate with its private key. The zero value is none.
type Certificate struct {
	Subject    string `json:"subject"`  // distinguished name (RFC 4514)
	Thumbprint string `json:"x5t#S256"` // to which tokens are bound (RFC 8705 §3.1)
	CertFile   string `json:"-"`        // where it was read from, and its key; empty: made here
	KeyFile    string `json:"-"`

	pair tls.Certificate
}

// ReadCertificate reads a PEM certificate chain, leaf first, and the PEM private key of the leaf.
func ReadCertificate(certFile, keyFile string) (*Certificate, error) {
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, err
	}
	c, err := newCertificate(pair)
	if err == nil {
		c.CertFile, c.KeyFile = certFile, keyFile
	}
	return c, err
}

func newCertificate(pair tls.Certificate) (*Certificate, error) {
	var subject pkix.RDNSequence
	if _, err := asn1.Unmarshal(pair.Leaf.RawSubject, &subject); err != nil {
		return nil, err
	}
	return &Certificate{Subject: subject.String(), Thumbprint: digest64(string(pair.Leaf.Raw)), pair: pair}, nil
}

// selfSigned makes a certificate that nobody vouches for, with a key of its own.
func selfSigned(name string, now time.Time) (*Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	return signSelf(&x509.Certificate{Subject: pkix.Name{CommonName: name}}, key, now)
}

// imitation makes a self-signed certificate with the same names as this one. Its key is this one's too, or another.
func (c *Certificate) imitation(sameKey bool, now time.Time) (*Certificate, error) {
	key, ok := c.pair.PrivateKey.(crypto.Signer)
	if !ok {
		return nil, errors.New("the certificate's private key cannot sign")
	}
	if !sameKey {
		var err error
		if key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			return nil, err
		}
	}
	template := &x509.Certificate{RawSubject: c.pair.Leaf.RawSubject}
	for _, extension := range c.pair.Leaf.Extensions {
		if extension.Id.Equal(asn1.ObjectIdentifier{2, 5, 29, 17}) { // subjectAltName (RFC 5280 §4.2.1.6)
			template.ExtraExtensions = append(template.ExtraExtensions, extension)
		}
	}
	return signSelf(template, key, now)
}

func signSelf(template *x509.Certificate, key crypto.Signer, now time.Time) (_ *Certificate, err error) {
	if template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)); err != nil {
		return nil, err
	}
	template.NotBefore = now.Add(-certificateLife) // for clocks that are behind
	template.NotAfter = now.Add(certificateLife)
	template.KeyUsage, template.ExtKeyUsage = x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return newCertificate(tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf})
}

// isVouchedFor tells whether somebody else than its own key signed the certificate.
func (c *Certificate) isVouchedFor() bool {
	leaf := c.pair.Leaf
	return leaf.CheckSignature(leaf.SignatureAlgorithm, leaf.RawTBSCertificate, leaf.Signature) != nil
}

// nameOf is a name of a certificate, and the member of a registration that it may stand in (RFC 8705 §2.1.2).
type nameOf struct{ member, value string }

// names are all that a client may register of the certificate to be proven by it.
func (c *Certificate) names() (all []nameOf) {
	add := func(kind, value string) { all = append(all, nameOf{"tls_client_auth_" + kind, value}) }
	leaf := c.pair.Leaf
	if c.Subject != "" {
		add("subject_dn", c.Subject)
	}
	for _, name := range leaf.DNSNames {
		add("san_dns", name)
	}
	for _, uri := range leaf.URIs {
		add("san_uri", uri.String())
	}
	for _, ip := range leaf.IPAddresses {
		add("san_ip", ip.String())
	}
	for _, address := range leaf.EmailAddresses {
		add("san_email", address)
	}
	return all
}

// certified is a public key with its certificate (RFC 7517 §4.7).
type certified struct {
	JWK
	X5C []string `json:"x5c"`
}

// publicJWK is the certificate as a client registers one that nobody vouches for (RFC 8705 §2.2).
func (c *Certificate) publicJWK() certified {
	jwk := (&Key{Signer: c.pair.PrivateKey.(crypto.Signer)}).bareJWK()
	jwk.Kid = c.Thumbprint
	return certified{jwk, []string{base64.StdEncoding.EncodeToString(c.pair.Leaf.Raw)}}
}

// forwarded are the headers by which proxies commonly tell of a client's certificate (RFC 9440 §2.1, Envoy, nginx).
func (c *Certificate) forwarded() map[string]string {
	text := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.pair.Leaf.Raw}))
	return map[string]string{
		"Client-Cert":             ":" + base64.StdEncoding.EncodeToString(c.pair.Leaf.Raw) + ":",
		"X-Forwarded-Client-Cert": `Cert="` + url.QueryEscape(text) + `"`,
		"X-SSL-Client-Cert":       url.QueryEscape(text),
	}
}

// Showing is the server as one sees it whose connections show this certificate and no other, to whoever asks for one. With
// nil they show none. Its exchanges count as the server's.
func (s *Server) Showing(c *Certificate) (*Server, error) {
	transport, ok := s.HTTP.Transport.(*http.Transport)
	if !ok {
		return nil, errors.New("a certificate can be shown by an *http.Transport alone")
	}
	transport = transport.Clone()
	if transport.TLSClientConfig == nil {
		transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	var shown tls.Certificate
	if c != nil {
		shown = c.pair
	}
	transport.TLSClientConfig.Certificates = nil
	transport.TLSClientConfig.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		return &shown, nil
	}
	view := &Server{Issuer: s.Issuer, HTTP: NewHTTPClient(transport, s.HTTP.Timeout), Now: s.Now, Metadata: s.Metadata,
		MutualTLS: s.MutualTLS, Certificate: c, published: s.published}
	view.trace = func(exchange *Exchange) {
		if s.trace != nil {
			s.trace(exchange)
		}
	}
	return view, nil
}
