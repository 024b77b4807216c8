package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"net"
	"net/url"
	"slices"
	"testing"
	"time"

	"authserver/internal/certificate/certificatetest"
	"authserver/internal/flow"
	"authserver/internal/oauth"

	"github.com/google/go-cmp/cmp"
)

// attacksOnCertificates are the catalogue's TL, and the cases of other sections that need a certificate.
func attacksOnCertificates() []attack {
	return []attack{
		{"TL-01", provenByCertificate},
		{"TL-02", certificatesByHearsay},
		{"TL-03", certificatesTwice},
		{"TL-04", certificatesOfStrangers},
		{"TL-05", otherSubjects},
		{"TL-06", namesElsewhere},
		{"TL-07", otherCertificates},
		{"TL-08", anchorsTakenAway},
		{"TL-09", provenByAnother},
		{"TL-10", seenByOpenSSL},
		{"TL-11", notAskedAbout},
		{"CA-74", assertedBesideCertificate},
		{"DP-48", proofInThePlace},
		{"DR-23", subjectsOfOthers},
	}
}

// everyName gives a certificate an alternative name of each kind.
func everyName(who string) certificatetest.Edit {
	return func(c *x509.Certificate) {
		c.DNSNames, c.IPAddresses = []string{"other.example", who + ".Kim.example"},
			[]net.IP{net.ParseIP("2001:db8::7"), net.ParseIP("192.0.2.7")}
		c.EmailAddresses, c.URIs = []string{who + "@Kim.example"}, []*url.URL{{Scheme: "urn", Opaque: "bank:" + who}}
	}
}

// provenByCertificate: TL-01. Whichever name was registered, and whatever key and chain the certificate has, the token is
// bound to it, at every replica and in both versions of TLS.
func provenByCertificate(t *testing.T, d *deployment) {
	named := d.vouched("TL-01", everyName("pay"))
	for name, by := range map[string]func(map[string]any){
		"subject_dn": bySubject(named), "self_signed": bySelf(named),
		"san_dns": byName("tls_client_auth_san_dns", "pay.kim.EXAMPLE"), "san_uri": byName("tls_client_auth_san_uri", "urn:bank:pay"),
		"san_ip":    byName("tls_client_auth_san_ip", "2001:DB8:0::7"),
		"san_email": byName("tls_client_auth_san_email", "pay@kim.example"),
	} {
		t.Run(name, func(t *testing.T) { d.within(t).provesItself(named, by) })
	}
	for name, generate := range map[string]func() (crypto.Signer, error){
		"RSA":   func() (crypto.Signer, error) { return rsa.GenerateKey(rand.Reader, 2048) },
		"P-384": func() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P384(), rand.Reader) },
		"Ed25519": func() (crypto.Signer, error) {
			_, private, err := ed25519.GenerateKey(rand.Reader)
			return private, err
		},
	} {
		t.Run(name, func(t *testing.T) {
			k, err := generate()
			if err != nil {
				t.Fatal(err)
			}
			shown := d.clients.IssueFor(t, k, company("TL-01 "+name))
			d.within(t).provesItself(shown, bySubject(shown))
		})
	}
	t.Run("below another authority", func(t *testing.T) {
		below := d.clients.Below(t)
		shown := withBehind(below.Issue(t, company("TL-01 below")), below.Certificate.Raw)
		d.within(t).provesItself(shown, bySubject(shown))
	})
	t.Run("self-signed by nobody that is trusted", func(t *testing.T) {
		shown := certificatetest.SelfSigned(t, company("TL-01 self-signed"))
		d.within(t).provesItself(shown, bySelf(shown))
	})
}

// provesItself registers a client and has it use everything that its certificate opens.
func (d *deployment) provesItself(shown tls.Certificate, by func(map[string]any)) {
	d.t.Helper()
	c := d.certified(0, shown, by)
	for i := range d.replicas {
		for version, only := range tlsVersions {
			moved := *c
			moved.Server = d.showing(i, shown, speaking(only))
			access := certifiedBy(d.t, d.expect(&moved, moved.TokenRequest(nil), "200"), shown)
			d.expect(&moved, moved.Present(accounts(&moved), access), "200")
			for _, told := range []map[string]any{introspected(d.t, &moved, access),
				introspected(d.t, d.resourceServerAt(i), access)} {
				want := map[string]any{"x5t#S256": thumbprint(shown)}
				if diff := cmp.Diff(want, told["cnf"]); diff != "" || told["token_type"] != "Bearer" || told["active"] != true {
					d.t.Errorf("%s: introspection tells %v", version, told)
				}
			}
			d.expect(&moved, moved.RevokeRequest(access), "200")
			refusedFor(d.t, do(d.t, moved.Server, moved.Present(accounts(&moved), access)), "401 invalid_token",
				oauth.TokenRevoked)
		}
	}
}

// certificateAlone are requests in which nothing but the connection's certificate could prove the client.
func certificateAlone(s *flow.Server, id string) []*flow.Request {
	c := &flow.Client{Server: s, ID: id, CertificateAuth: true, CertificateBound: true}
	return []*flow.Request{c.TokenRequest(nil), c.IntrospectRequest("unknown"), c.RevokeRequest("unknown"),
		c.PushRequest(pushable())}
}

// provesNothing wants a certificate to be nobody's who calls itself c, at every endpoint where clients authenticate.
func (d *deployment) provesNothing(id string, shown tls.Certificate, reasons ...oauth.Reason) {
	d.t.Helper()
	for i := range d.replicas {
		s := d.showing(i, shown)
		for _, r := range certificateAlone(s, id) {
			e := do(d.t, s, r)
			outcome(d.t, e, "401 invalid_client")
			if !slices.Contains(reasons, reasonOf(e)) {
				d.t.Errorf("%s: %s, want %v", r.URL, reasonOf(e), reasons)
			}
		}
	}
}

// certificatesOfStrangers: TL-04. Each is registered by its own subject, so that it fails for what is wrong with it alone.
func certificatesOfStrangers(t *testing.T, d *deployment) {
	stranger, own, keyBelow := certificatetest.NewAuthority(t), d.clients.Certificate.Raw, certificatetest.Key(t)
	below := d.clients.BelowFor(t, keyBelow, company("TL-04 below"),
		func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageDigitalSignature })
	aClient := d.clients.Below(t, company("TL-04 a client"), func(c *x509.Certificate) { c.IsCA = false })
	for name, shown := range map[string]tls.Certificate{
		"expired":       d.vouched("TL-04 expired", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }),
		"not yet valid": d.vouched("TL-04 not yet", func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) }),
		"unknown CA":    stranger.Issue(t, company("TL-04 unknown")),
		"unknown CA of the same name, with the true one behind": withBehind(stranger.Issue(t, company("TL-04 behind")), own),
		"CA certificate as leaf": {Certificate: [][]byte{below.Certificate.Raw},
			Leaf: below.Certificate, PrivateKey: keyBelow},
		"by a client":           withBehind(aClient.Issue(t, company("TL-04 by a client")), aClient.Certificate.Raw),
		"for servers only":      d.vouched("TL-04 servers", usages(x509.ExtKeyUsageServerAuth)),
		"for signing code only": d.vouched("TL-04 code", usages(x509.ExtKeyUsageCodeSigning)),
		"a weak key":            d.clients.IssueFor(t, rsaOf1024(t), company("TL-04 weak")),
		"no digital signature": d.vouched("TL-04 key usage",
			func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyEncipherment }),
		"a critical extension that is unknown": d.vouched("TL-04 critical", func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3, 4}, Critical: true, Value: []byte{5, 0}}}
		}),
	} {
		t.Run(name, func(t *testing.T) {
			d := d.within(t)
			c := d.register(0, bySubject(shown), boundToCertificate)
			d.provesNothing(c.ID, shown, oauth.ClientNotProven, oauth.CertificateRefused)
		})
	}
	t.Run("for clients and servers", func(t *testing.T) {
		shown := d.vouched("TL-04 both", usages(x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth))
		d.within(t).provesItself(shown, bySubject(shown))
	})
}

func usages(all ...x509.ExtKeyUsage) certificatetest.Edit {
	return func(c *x509.Certificate) { c.ExtKeyUsage = all }
}

func withBehind(shown tls.Certificate, der ...[]byte) tls.Certificate {
	shown.Certificate = append(shown.Certificate, der...)
	return shown
}

func rsaOf1024(t *testing.T) crypto.Signer {
	t.Helper()
	k, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// attribute is one attribute of a name.
func attribute(value any, oid ...int) pkix.AttributeTypeAndValue {
	return pkix.AttributeTypeAndValue{Type: oid, Value: value}
}

// subject gives a certificate a name of its own making.
func subject(t *testing.T, rdns ...pkix.RelativeDistinguishedNameSET) certificatetest.Edit {
	t.Helper()
	der, err := asn1.Marshal(pkix.RDNSequence(rdns))
	if err != nil {
		t.Fatal(err)
	}
	return func(c *x509.Certificate) { c.RawSubject = der }
}

// otherSubjects: TL-05. A name is the registered one as a whole and in its order, or another.
func otherSubjects(t *testing.T, d *deployment) {
	rdn := func(all ...pkix.AttributeTypeAndValue) pkix.RelativeDistinguishedNameSET { return all }
	country, firm, unit := attribute("CA", 2, 5, 4, 6), attribute("Kim & Sons, Inc.", 2, 5, 4, 10),
		attribute("Kim & Sons, Inc.", 2, 5, 4, 11)
	name := func(value string) pkix.AttributeTypeAndValue { return attribute(value, 2, 5, 4, 3) }
	const registered = `CN=pay.kim.example,O=Kim & Sons\, Inc.,C=CA`
	good := d.vouched("", subject(t, rdn(country), rdn(firm), rdn(name("pay.kim.example"))))
	c := d.certified(0, good, changes{"tls_client_auth_subject_dn": registered}.apply)
	for what, rdns := range map[string][]pkix.RelativeDistinguishedNameSET{
		"the other way round":    {rdn(name("pay.kim.example")), rdn(firm), rdn(country)},
		"two in another order":   {rdn(firm), rdn(country), rdn(name("pay.kim.example"))},
		"one more at the end":    {rdn(country), rdn(firm), rdn(name("pay.kim.example")), rdn(name("evil"))},
		"one more at the front":  {rdn(name("evil")), rdn(country), rdn(firm), rdn(name("pay.kim.example"))},
		"one more between":       {rdn(country), rdn(firm), rdn(unit), rdn(name("pay.kim.example"))},
		"one twice":              {rdn(country), rdn(firm), rdn(name("pay.kim.example")), rdn(name("pay.kim.example"))},
		"one less":               {rdn(country), rdn(name("pay.kim.example"))},
		"the first alone":        {rdn(name("pay.kim.example"))},
		"none":                   {},
		"another type":           {rdn(country), rdn(unit), rdn(name("pay.kim.example"))},
		"a longer value":         {rdn(country), rdn(firm), rdn(name("pay.kim.example.evil.example"))},
		"a value within another": {rdn(country), rdn(firm), rdn(name("xpay.kim.example"))},
		"a shorter value":        {rdn(country), rdn(firm), rdn(name("pay.kim.exampl"))},
		"capitals":               {rdn(country), rdn(firm), rdn(name("PAY.KIM.EXAMPLE"))},
		"a space at the end":     {rdn(country), rdn(firm), rdn(name("pay.kim.example "))},
		"a NUL within":           {rdn(country), rdn(firm), rdn(name("pay.kim.example\x00.evil.example"))},
		"one RDN of two":         {rdn(country), rdn(firm, name("pay.kim.example"))},
		"the text of all in one": {rdn(name(registered))},
		"text that looks so":     {rdn(country), rdn(name(`pay.kim.example,O=Kim & Sons\, Inc.`))},
		"escaped text": {rdn(country), rdn(attribute(`Kim & Sons\, Inc.`, 2, 5, 4, 10)),
			rdn(name("pay.kim.example"))},
	} {
		t.Run(what, func(t *testing.T) {
			d := d.within(t)
			d.provesNothing(c.ID, d.vouched("", subject(t, rdns...)), oauth.ClientNotProven)
		})
	}
	for spelling, value := range map[string]string{
		"other spelling": `cn=#` + hexUTF8("pay.kim.example") + ` , o=Kim \26 Sons\2c Inc. , 2.5.4.6=CA`,
		"as it was":      registered,
	} {
		t.Run(spelling, func(t *testing.T) {
			d := d.within(t)
			updated := metadata(c.Key, bySubject(good), boundToCertificate, changes{"tls_client_auth_subject_dn": value}.apply)
			d.expect(c, c.ManageRequest("PUT", updated), "200")
			for i := range d.replicas {
				moved := d.at(c, i)
				certifiedBy(t, d.expect(moved, moved.TokenRequest(nil), "200"), good)
			}
		})
	}
}

// hexUTF8 is a text as the DER of a UTF8String, in hexadecimal.
func hexUTF8(text string) string {
	return hex.EncodeToString(append([]byte{asn1.TagUTF8String, byte(len(text))}, text...))
}

// namesElsewhere: TL-06. A registered name is looked for among the certificate's names of its kind, and nowhere else.
func namesElsewhere(t *testing.T, d *deployment) {
	common := certificatetest.Named
	hosts := func(names ...string) certificatetest.Edit {
		return func(c *x509.Certificate) { c.DNSNames = names }
	}
	mail := func(address string) certificatetest.Edit {
		return func(c *x509.Certificate) { c.EmailAddresses = []string{address} }
	}
	uri := func(text string) certificatetest.Edit {
		return func(c *x509.Certificate) {
			u, err := url.Parse(text)
			if err != nil {
				t.Fatal(err)
			}
			c.URIs = []*url.URL{u}
		}
	}
	for member, test := range map[string]struct {
		value string
		wrong map[string]certificatetest.Edit
		right certificatetest.Edit
	}{
		"san_dns": {"bank.sam.example", map[string]certificatetest.Edit{
			"in CN alone": common("bank.sam.example"), "a wildcard": hosts("*.sam.example"), "the domain": hosts("sam.example"),
			"a host below": hosts("a.bank.sam.example"), "another behind": hosts("bank.sam.example.evil.example"),
			"a dot behind": hosts("bank.sam.example."), "as e-mail": mail("x@bank.sam.example"),
			"as URI":                               uri("https://bank.sam.example"),
			"as a URI that is a host's name alone": uri("bank.sam.example"), "a list": hosts("evil.example,bank.sam.example"),
		}, hosts("evil.example", "BANK.sam.example")},
		"san_uri": {"https://bank.sam.example/a", map[string]certificatetest.Edit{
			"in CN alone": common("https://bank.sam.example/a"), "as host": hosts("bank.sam.example"),
			"other case":  uri("https://BANK.sam.example/a"),
			"more behind": uri("https://bank.sam.example/a/b"), "a slash more": uri("https://bank.sam.example/a/"),
			"escaped": uri("https://bank.sam.example/%61"),
		}, uri("https://bank.sam.example/a")},
		"san_ip": {"192.0.2.44", map[string]certificatetest.Edit{
			"in CN alone": common("192.0.2.44"), "as host": hosts("192.0.2.44"), "as URI": uri("https://192.0.2.44"),
			"another": func(c *x509.Certificate) { c.IPAddresses = []net.IP{net.ParseIP("192.0.2.4")} },
		}, func(c *x509.Certificate) { c.IPAddresses = []net.IP{net.ParseIP("192.0.2.44")} }},
		"san_email": {"sam@bank.example", map[string]certificatetest.Edit{
			"in CN alone": common("sam@bank.example"), "in the name as e-mail": subject(t, pkix.RelativeDistinguishedNameSET{
				attribute("sam@bank.example", 1, 2, 840, 113549, 1, 9, 1)}),
			"capitals": mail("Sam@bank.example"), "as host": hosts("bank.example"), "as URI": uri("mailto:sam@bank.example"),
			"another domain": mail("sam@bank.example.evil.example"),
		}, mail("sam@BANK.example")},
	} {
		t.Run(member, func(t *testing.T) {
			d := d.within(t)
			right := d.vouched("TL-06 "+member, test.right)
			c := d.certified(0, right, byName("tls_client_auth_"+member, test.value))
			for what, wrong := range test.wrong {
				t.Run(what, func(t *testing.T) {
					d := d.within(t)
					d.provesNothing(c.ID, d.vouched("TL-06 "+what, wrong), oauth.ClientNotProven)
				})
			}
			certifiedBy(t, d.expect(c, c.TokenRequest(nil), "200"), right)
		})
	}
}
