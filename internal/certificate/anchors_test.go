package certificate_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"strings"
	"testing"
	"time"

	"authserver/internal/certificate"
	"authserver/internal/certificate/certificatetest"
)

// of is the certificate as a request would bear it.
func of(c tls.Certificate, between ...*x509.Certificate) certificate.Certificate {
	return certificate.Certificate{Leaf: c.Leaf, Intermediates: between}
}

func rsaKey(t testing.TB, bits int) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// usage is what the certificate's key is for.
func usage(k x509.KeyUsage, ext ...x509.ExtKeyUsage) certificatetest.Edit {
	return func(c *x509.Certificate) { c.KeyUsage, c.ExtKeyUsage = k, ext }
}

// TestVerify (TL-01, TL-04): only a chain to a trusted authority, all of it valid now and good for client authentication,
// vouches for a certificate.
func TestVerify(t *testing.T) {
	root, other := certificatetest.NewAuthority(t), certificatetest.NewAuthority(t)
	signsRSA := certificatetest.NewAuthorityFor(t, rsaKey(t, 2048))
	below := root.Below(t, certificatetest.Named("Below"))
	expired := root.Below(t, func(c *x509.Certificate) { c.NotAfter = noon.Add(-time.Hour) })
	servers := root.Below(t, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} })
	noAuthority := root.Below(t, usage(x509.KeyUsageDigitalSignature), func(c *x509.Certificate) { c.IsCA = false })
	weak := root.BelowFor(t, rsaKey(t, 1024))
	narrow := root.Below(t, func(c *x509.Certificate) {
		c.PermittedDNSDomains, c.PermittedDNSDomainsCritical = []string{"one.example"}, true
	})
	critical := pkix.Extension{Id: asn1.ObjectIdentifier{1, 2, 3, 4}, Critical: true, Value: []byte{5, 0}}
	anchors, err := certificate.ParseAuthorities(append(root.PEM(), signsRSA.PEM()...))
	if err != nil {
		t.Fatal(err)
	}
	host := func(name string) certificatetest.Edit {
		return func(c *x509.Certificate) { c.DNSNames = []string{name} }
	}
	for name, test := range map[string]struct {
		c    certificate.Certificate
		want bool
	}{
		"TL-01 by the authority":               {of(root.Issue(t)), true},
		"by another of the file":               {of(signsRSA.Issue(t)), true},
		"by one below it":                      {of(below.Issue(t), below.Certificate), true},
		"no extended key usage, so any":        {of(root.Issue(t, usage(x509.KeyUsageDigitalSignature))), true},
		"no key usage, so any":                 {of(root.Issue(t, usage(0))), true},
		"within the names of its authority":    {of(narrow.Issue(t, host("a.one.example")), narrow.Certificate), true},
		"TL-04 unknown authority":              {of(other.Issue(t)), false},
		"TL-04 self-signed":                    {of(certificatetest.SelfSigned(t)), false},
		"TL-04 for servers":                    {of(root.Issue(t, usage(x509.KeyUsageDigitalSignature, x509.ExtKeyUsageServerAuth))), false},
		"TL-04 below an authority for servers": {of(servers.Issue(t), servers.Certificate), false},
		"TL-04 the authority itself":           {certificate.Certificate{Leaf: root.Certificate}, false},
		"TL-04 an authority below it": {of(root.Issue(t, usage(x509.KeyUsageDigitalSignature|x509.KeyUsageCertSign),
			func(c *x509.Certificate) { c.IsCA = true })), false},
		"TL-04 expired":                       {of(root.Issue(t, func(c *x509.Certificate) { c.NotAfter = noon.Add(-time.Second) })), false},
		"below, without what connects them":   {of(below.Issue(t)), false},
		"below an authority that has expired": {of(expired.Issue(t), expired.Certificate), false},
		"below what is no authority":          {of(noAuthority.Issue(t), noAuthority.Certificate), false},
		"below an authority with a weak key":  {of(weak.Issue(t), weak.Certificate), false},
		"outside the names of its authority":  {of(narrow.Issue(t, host("two.example")), narrow.Certificate), false},
		"a key that signs nothing":            {of(root.Issue(t, usage(x509.KeyUsageKeyAgreement))), false},
		"an authority beside it for nothing":  {of(other.Issue(t), root.Certificate), false},
		"signed with SHA-1":                   {of(signsRSA.Issue(t, func(c *x509.Certificate) { c.SignatureAlgorithm = x509.SHA1WithRSA })), false},
		"a critical extension, unknown here": {of(root.Issue(t, func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{critical}
		})), false},
	} {
		t.Run(name, func(t *testing.T) {
			if err := anchors.Verify(test.c, noon); (err == nil) != test.want {
				t.Errorf("verified with %v, want %v", err, test.want)
			}
		})
	}
	if (certificate.Authorities{}).Verify(of(root.Issue(t)), noon) == nil {
		t.Error("no authorities trust somebody")
	}
}

// TestParseAuthorities: a file of anchors is taken as a whole or not at all.
func TestParseAuthorities(t *testing.T) {
	one, two := certificatetest.NewAuthority(t).PEM(), certificatetest.NewAuthority(t).PEM()
	client := certificatetest.SelfSigned(t)
	clients := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: client.Leaf.Raw})
	weak := certificatetest.NewAuthorityFor(t, rsaKey(t, 1024)).PEM()
	key := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("secret")})
	for name, test := range map[string]struct {
		text []byte
		want string // a part of the error; "": none
	}{
		"one":                 {one, ""},
		"two, with comments":  {bytes.Join([][]byte{[]byte("# one"), one, []byte("# two"), two, []byte("# end")}, []byte("\n")), ""},
		"none":                {nil, "at least one"},
		"no PEM":              {[]byte("one"), "at least one"},
		"DER":                 {certificatetest.NewAuthority(t).Certificate.Raw, "at least one"},
		"the second cut off":  {append(one[:len(one):len(one)], two[:len(two)/2]...), "1 of 2"},
		"the second broken":   {append(one[:len(one):len(one)], bytes.Replace(two, []byte("MII"), []byte("M!I"), 1)...), "1 of 2"},
		"no certificate":      {pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")}), "block 1"},
		"a key beside it":     {append(one[:len(one):len(one)], key...), `block 2 is "PRIVATE KEY"`},
		"a client's":          {append(one[:len(one):len(one)], clients...), "block 2 is no certificate of an authority"},
		"one with a weak key": {weak, "too weak"},
	} {
		t.Run(name, func(t *testing.T) {
			anchors, err := certificate.ParseAuthorities(test.text)
			switch {
			case test.want == "" && err != nil, test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Errorf("%v, want %q", err, test.want)
			case test.want != "" && anchors != (certificate.Authorities{}):
				t.Error("it trusts somebody all the same")
			}
		})
	}
}

// What a stranger writes into a certificate must not fill the log.
func TestRefusalIsShort(t *testing.T) {
	root, long := certificatetest.NewAuthority(t), strings.Repeat("long ", 8000)
	named := certificatetest.NewAuthority(t, certificatetest.Named(long))
	same := certificatetest.NewAuthority(t, certificatetest.Named(long))
	shown := of(same.Issue(t), named.Certificate)
	authorities, err := certificate.ParseAuthorities(root.PEM())
	if err != nil {
		t.Fatal(err)
	}
	if err := authorities.Verify(shown, time.Now()); err == nil || len(err.Error()) > 1000 {
		t.Errorf("%.1200v", err)
	}
}
