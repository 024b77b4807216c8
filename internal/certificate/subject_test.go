package certificate_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"net"
	"net/url"
	"slices"
	"strings"
	"testing"

	"authserver/internal/certificate"
	"authserver/internal/certificate/certificatetest"

	"pgregory.net/rapid"
)

// types are some attributes.
var (
	country      = asn1.ObjectIdentifier{2, 5, 4, 6}
	organization = asn1.ObjectIdentifier{2, 5, 4, 10}
	unit         = asn1.ObjectIdentifier{2, 5, 4, 11}
	common       = asn1.ObjectIdentifier{2, 5, 4, 3}
	serial       = asn1.ObjectIdentifier{2, 5, 4, 5}
	identifier   = asn1.ObjectIdentifier{2, 5, 4, 97}
	email        = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 1}
	state        = asn1.ObjectIdentifier{2, 5, 4, 8}
	jurisdiction = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 60, 2, 1, 3}
	unknown      = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 99999, 7}
)

type attributes = []pkix.AttributeTypeAndValue

// rdns make a name of one attribute after the other.
func rdns(list ...attributes) pkix.RDNSequence {
	var seq pkix.RDNSequence
	for _, one := range list {
		seq = append(seq, one)
	}
	return seq
}

func is(oid asn1.ObjectIdentifier, value any) attributes {
	return attributes{{Type: oid, Value: value}}
}

// named is a certificate with a subject as DER has it.
func named(t rapid.TB, seq pkix.RDNSequence) certificate.Certificate {
	t.Helper()
	der, err := asn1.Marshal(seq)
	if err != nil {
		t.Fatal(err)
	}
	return certificate.Certificate{Leaf: &x509.Certificate{RawSubject: der}}
}

// registered is the subject of a client.
func registered(t rapid.TB, kind certificate.Kind, value string) certificate.Subject {
	t.Helper()
	s, err := certificate.ParseSubject(kind, value)
	if err != nil {
		t.Fatalf("%s %q: %v", kind, value, err)
	}
	return s
}

// TestSubjectDN (TL-01, TL-05): a name is compared as a structure.
func TestSubjectDN(t *testing.T) {
	kim := named(t, rdns(is(country, "CA"), is(organization, "Kim & Sons, Inc."), is(unit, "Data"), is(common, "kim")))
	multi := named(t, rdns(is(country, "CA"), append(is(common, "kim"), is(serial, "12")...)))
	many := named(t, rdns(is(country, "MY"), append(is(organization, `Kim & Söhne, Inc.; "x" <y>`), is(state, " lead")...),
		append(is(serial, "12"), is(common, "#kim ")...), is(email, "kim@x.example"), is(identifier, "NTRMY-1"), is(jurisdiction, "MY")))
	behind := certificate.Certificate{Leaf: &x509.Certificate{RawSubject: append(slices.Clone(kim.Leaf.RawSubject), 5, 0)}}
	utf8 := asn1.RawValue{Tag: asn1.TagUTF8String, Bytes: []byte("kim")}
	teletex := asn1.RawValue{Tag: asn1.TagT61String, Bytes: []byte("kim")}
	for name, test := range map[string]struct {
		c     certificate.Certificate
		value string
		want  bool
	}{
		"TL-01 as RFC 4514 writes it": {kim, `CN=kim,OU=Data,O=Kim & Sons\, Inc.,C=CA`, true},
		"as openssl writes it": {many, `jurisdictionC=MY,organizationIdentifier=NTRMY-1,emailAddress=kim@x.example,` +
			`CN=\#kim\ +serialNumber=12,O=Kim & S\C3\B6hne\, Inc.\; \"x\" \<y\>+ST=\ lead,C=MY`, true},
		"types in other cases": {kim, `cn=kim,Ou=Data,o=Kim & Sons\, Inc.,c=CA`, true},
		"types in full":        {kim, `commonName=kim,organizationalUnitName=Data,organizationName=Kim & Sons\, Inc.,countryName=CA`, true},
		"types by numbers":     {kim, `2.5.4.3=kim,OID.2.5.4.11=Data,2.5.4.10=Kim & Sons\, Inc.,2.5.4.6=CA`, true},
		"with spaces between":  {kim, `CN = kim , OU=Data,  O= Kim & Sons\, Inc. ,C=CA`, true},
		"escaped otherwise":    {kim, `CN=\6b\69m,OU=D\61ta,O=Kim & Sons\2C Inc.,C=CA`, true},
		"as encoded":           {kim, `CN=#13036b696d,OU=Data,O=Kim & Sons\, Inc.,C=#0C024341`, true},

		"TL-05 the other way round":      {kim, `C=CA,O=Kim & Sons\, Inc.,OU=Data,CN=kim`, false},
		"TL-05 two parts changed places": {kim, `CN=kim,O=Kim & Sons\, Inc.,OU=Data,C=CA`, false},
		"TL-05 one part more":            {kim, `CN=kim,OU=Data,OU=Data,O=Kim & Sons\, Inc.,C=CA`, false},
		"TL-05 one part less":            {kim, `CN=kim,O=Kim & Sons\, Inc.,C=CA`, false},
		"TL-05 the beginning":            {kim, `CN=kim`, false},
		"TL-05 the end":                  {kim, `C=CA`, false},
		"TL-05 a part of a value":        {kim, `CN=ki,OU=Data,O=Kim & Sons\, Inc.,C=CA`, false},
		"TL-05 two parts in one value":   {kim, `CN=kim\,OU=Data,O=Kim & Sons\, Inc.,C=CA`, false},
		"values in another case":         {kim, `CN=Kim,OU=Data,O=Kim & Sons\, Inc.,C=CA`, false},
		"one more space":                 {kim, `CN=kim,OU=Data,O=Kim &  Sons\, Inc.,C=CA`, false},
		"a space at the end":             {kim, `CN=kim\ ,OU=Data,O=Kim & Sons\, Inc.,C=CA`, false},
		"another type":                   {kim, `UID=kim,OU=Data,O=Kim & Sons\, Inc.,C=CA`, false},

		"several in one, as a set":          {multi, `serialNumber=12+CN=kim,C=CA`, true},
		"several in one, the other way":     {multi, `CN=kim+serialNumber=12,C=CA`, true},
		"several in one are not several":    {multi, `CN=kim,serialNumber=12,C=CA`, false},
		"one of several in one":             {multi, `CN=kim,C=CA`, false},
		"one more of several in one":        {multi, `CN=kim+CN=kim+serialNumber=12,C=CA`, false},
		"a set of which one is given twice": {named(t, rdns(append(is(common, "a"), is(common, "b")...))), `CN=a+CN=a`, false},
		"one value twice in a certificate":  {named(t, rdns(append(is(common, "a"), is(common, "a")...))), `CN=a`, false},

		"another kind of string":            {named(t, rdns(is(common, utf8))), `CN=kim`, true},
		"another kind of string, encoded":   {named(t, rdns(is(common, utf8))), `CN=#13036b696d`, true},
		"an old kind of string":             {named(t, rdns(is(common, teletex))), `CN=kim`, false},
		"an old kind of string, encoded":    {named(t, rdns(is(common, teletex))), `CN=#14036b696d`, true},
		"no string":                         {named(t, rdns(is(common, 5))), `CN=5`, false},
		"no string, encoded":                {named(t, rdns(is(common, 5))), `CN=#020105`, true},
		"organizationIdentifier, serial":    {named(t, rdns(is(identifier, "NTRCA-1"), is(serial, "9"))), `SERIALNUMBER=9,organizationIdentifier=NTRCA-1`, true},
		"emailAddress":                      {named(t, rdns(is(email, "kim@bank.example"))), `emailAddress=kim@bank.example`, true},
		"emailAddress has no other reading": {named(t, rdns(is(email, "kim@bank.example"))), `emailAddress=kim@BANK.example`, false},
		"a type without a name":             {named(t, rdns(is(unknown, "x"))), `1.3.6.1.4.1.99999.7=x`, true},
		"letters of all the world":          {named(t, rdns(is(common, "Zoë 金"))), `CN=Zoë 金`, true},
		"letters of all the world, escaped": {named(t, rdns(is(common, "Zoë 金"))), `CN=Zo\C3\AB \e9\87\91`, true},
		"letters that look the same":        {named(t, rdns(is(common, "Zoë"))), "CN=Zoe\u0308", false},
		"an empty name":                     {named(t, pkix.RDNSequence{}), `CN=kim`, false},
		"what is no name":                   {certificate.Certificate{Leaf: &x509.Certificate{RawSubject: []byte{5, 0}}}, `CN=kim`, false},
		"a name with something behind it":   {behind, `CN=kim,OU=Data,O=Kim & Sons\, Inc.,C=CA`, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := registered(t, certificate.SubjectDN, test.value).Matches(test.c); got != test.want {
				t.Errorf("matches %v, want %v", got, test.want)
			}
		})
	}
}

// TestParseSubjectRefuses (TL-05, TL-06): what cannot be compared is not registered.
func TestParseSubjectRefuses(t *testing.T) {
	for kind, values := range map[certificate.Kind][]string{
		certificate.SubjectDN: {``, ` `, `kim`, `,`, `CN=kim,`, `,CN=kim`, `CN=`, `CN= `, `=kim`, `CN=kim+`, `CN=kim,,C=CA`, `XX=kim`, `1=kim`,
			`2.5.4.=kim`, `2.5.4.-3=kim`, `CN="kim"`, `CN=a;C=CA`, `CN=<kim>`, `CN=a\`, `CN=a\x`, `CN=a\4`, `CN=a\ff`,
			`CN=#`, `CN=#1`, `CN=#zz`, `CN=#0c03`, `CN=#0c0161ff`, `CN=#0c8101` + `61`, "CN=a\x00", "CN=\xff", `/C=CA/CN=kim`, `C N=kim`},
		certificate.SANDNS: {``, `*.bank.example`, `bank.example.`, `.bank.example`, `bank..example`, `-bank.example`, `bank_` + strings.Repeat("a", 60) + `.example`,
			`bank example`, `bänk.example`, `ban\u212a`, "ban\u212a.example", strings.Repeat("a.", 127), `https://bank.example`, `bank.example,a.example`},
		certificate.SANURI:   {``, `bank.example`, `/a`, `https://bank.example/ a`, `https://bank.example/ä`, `://x`, "https://bank.example/\n"},
		certificate.SANIP:    {``, `10.0.0`, `10.0.0.0/8`, `010.0.0.1`, `fe80::1%eth0`, `[::1]`, `bank.example`, ` 10.0.0.1`},
		certificate.SANEmail: {``, `kim`, `@bank.example`, `kim@`, `kim@bank..example`, `kim @bank.example`, `kïm@bank.example`, `kim@*.example`},
		"":                   {`CN=kim`, ``},
		"cn":                 {`kim`},
	} {
		for _, value := range values {
			s, err := certificate.ParseSubject(kind, value)
			if err == nil || s != (certificate.Subject{}) {
				t.Errorf("%s %q: %v, %v", kind, value, s, err)
			} else if strings.Contains(err.Error(), "\xff") {
				t.Errorf("%s %q: the error shows it: %v", kind, value, err)
			}
		}
	}
	if (certificate.Subject{}).Matches(of(certificatetest.SelfSigned(t))) {
		t.Error("no subject matches somebody")
	}
}

// TestAlternativeNames (TL-06): each kind is compared with names of its kind alone.
func TestAlternativeNames(t *testing.T) {
	uri := func(text string) *url.URL {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	c := of(certificatetest.SelfSigned(t, certificatetest.Named("common.bank.example"), func(c *x509.Certificate) {
		c.DNSNames = []string{"a.bank.example", "B.Bank.example", "*.wild.example"}
		c.URIs = []*url.URL{uri("urn:bank:kim"), uri("https://Bank.example/A%2fb"), uri("uri.bank.example")}
		c.IPAddresses = []net.IP{net.ParseIP("10.0.0.1"), net.ParseIP("2001:db8::1")}
		c.EmailAddresses = []string{"Kim@Bank.example"}
	}))
	for kind, values := range map[certificate.Kind]map[string]bool{
		certificate.SANDNS: {"a.bank.example": true, "A.BANK.example": true, "b.bank.example": true, "bank.example": false, "x.a.bank.example": false,
			"common.bank.example": false, "x.wild.example": false, "wild.example": false, "10.0.0.1": false, "uri.bank.example": false},
		certificate.SANURI: {"urn:bank:kim": true, "https://Bank.example/A%2fb": true, "https://bank.example/A%2fb": false,
			"https://Bank.example/A%2Fb": false, "https://Bank.example/A/b": false, "URN:bank:kim": false},
		certificate.SANIP: {"10.0.0.1": true, "::ffff:10.0.0.1": true, "2001:db8::1": true, "2001:DB8:0:0::1": true, "10.0.0.2": false,
			"::a00:1": false, "2001:db8::2": false},
		certificate.SANEmail:  {"Kim@Bank.example": true, "Kim@BANK.EXAMPLE": true, "kim@bank.example": false, "Kim@a.bank.example": false},
		certificate.SubjectDN: {"CN=common.bank.example": true, "CN=a.bank.example": false},
	} {
		for value, want := range values {
			if got := registered(t, kind, value).Matches(c); got != want {
				t.Errorf("%s %q matches %v, want %v", kind, value, got, want)
			}
		}
	}
	bare := of(certificatetest.SelfSigned(t, certificatetest.Named("a.bank.example")))
	if registered(t, certificate.SANDNS, "a.bank.example").Matches(bare) {
		t.Error("TL-06: a common name passes for an alternative name")
	}
}

// TestKey (DR-23): equal subjects have equal keys, others do not.
func TestKey(t *testing.T) {
	type written struct {
		kind  certificate.Kind
		value string
	}
	keys := map[string]int{}
	for i, same := range [][]written{
		{{certificate.SubjectDN, "CN=a.example"}, {certificate.SubjectDN, "cn = a.example"}, {certificate.SubjectDN, "2.5.4.3=#0c09612e6578616d706c65"}},
		{{certificate.SubjectDN, "CN=a+C=CA"}, {certificate.SubjectDN, "C=CA+CN=a"}},
		{{certificate.SubjectDN, "CN=a,C=CA"}},
		{{certificate.SubjectDN, "C=CA,CN=a"}},
		{{certificate.SubjectDN, `CN=a\,C=CA`}},
		{{certificate.SANDNS, "a.example"}, {certificate.SANDNS, "A.EXAMPLE"}},
		{{certificate.SANURI, "a:a.example"}},
		{{certificate.SANIP, "10.0.0.1"}, {certificate.SANIP, "::ffff:10.0.0.1"}},
		{{certificate.SANDNS, "10.0.0.1"}},
		{{certificate.SANEmail, "a@a.example"}, {certificate.SANEmail, "a@A.example"}},
		{{certificate.SANEmail, "A@a.example"}},
	} {
		for _, w := range same {
			key := registered(t, w.kind, w.value).Key()
			if other, known := keys[key]; known && other != i || !known && w != same[0] {
				t.Errorf("%s %s: key %s", w.kind, w.value, key)
			}
			keys[key] = i
		}
	}
}

// anyName draws a name of few types and letters, so that two of them are often nearly the same.
func anyName(t *rapid.T, label string) pkix.RDNSequence {
	oid := rapid.SampledFrom([]asn1.ObjectIdentifier{common, country, serial, identifier, unknown})
	value := rapid.StringOfN(rapid.SampledFrom([]rune{'a', ' ', ',', '+', '"', '\\', '#', '=', ';', '<', 'é', '金'}), 1, 4, -1)
	attribute := rapid.Custom(func(t *rapid.T) pkix.AttributeTypeAndValue {
		return pkix.AttributeTypeAndValue{Type: oid.Draw(t, "type"), Value: value.Draw(t, "value")}
	})
	rdn := rapid.Custom(func(t *rapid.T) pkix.RelativeDistinguishedNameSET {
		return rapid.SliceOfN(attribute, 1, 2).Draw(t, "attributes")
	})
	return rapid.SliceOfN(rdn, 1, 3).Draw(t, label)
}

// model is what makes two names equal.
func model(seq pkix.RDNSequence) string {
	var b strings.Builder
	for _, rdn := range seq {
		var list []string
		for _, a := range rdn {
			list = append(list, a.Type.String()+"\x01"+a.Value.(string))
		}
		slices.Sort(list)
		b.WriteString(strings.Join(list, "\x02") + "\x03")
	}
	return b.String()
}

// TestNames: a name as the standard library writes it matches certificates with that name, and no others; so do keys.
func TestNames(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		one, two := anyName(t, "one"), anyName(t, "two")
		if rapid.Bool().Draw(t, "nearly the same") {
			two = slices.Clone(one)
			i, j := rapid.IntRange(0, len(two)-1).Draw(t, "i"), rapid.IntRange(0, len(two)-1).Draw(t, "j")
			two[i], two[j] = two[j], two[i]
		}
		s := registered(t, certificate.SubjectDN, one.String())
		if !s.Matches(named(t, one)) {
			t.Fatalf("%q does not match itself", one)
		}
		want := model(one) == model(two)
		if got := s.Matches(named(t, two)); got != want {
			t.Fatalf("%q matches %q: %v", one, two, got)
		}
		if got := s.Key() == registered(t, certificate.SubjectDN, two.String()).Key(); got != want {
			t.Fatalf("%q and %q share a key: %v", one, two, got)
		}
	})
}

// FuzzSubject: whatever is registered or presented, nothing panics; and a name that the standard library can read and write
// matches what it wrote.
func FuzzSubject(f *testing.F) {
	for _, value := range []string{`CN=kim,OU=Data+C=CA,O=Kim \2c Sons`, `2.5.4.97=#0c0161`, `a.bank.example`, `urn:a`, `10.0.0.1`, `kim@bank.example`} {
		f.Add(value, []byte{0x30, 0x0e, 0x31, 0x0c, 0x30, 0x0a, 0x06, 0x03, 0x55, 0x04, 0x03, 0x0c, 0x03, 'k', 'i', 'm'})
	}
	f.Fuzz(func(t *testing.T, value string, der []byte) {
		c := certificate.Certificate{Leaf: &x509.Certificate{RawSubject: der,
			Extensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Value: der}}}}
		for _, kind := range []certificate.Kind{certificate.SubjectDN, certificate.SANDNS, certificate.SANURI, certificate.SANIP, certificate.SANEmail} {
			s, err := certificate.ParseSubject(kind, value)
			if err == nil {
				_ = s.Matches(c)
			} else if s != (certificate.Subject{}) {
				t.Fatalf("%s %q: %v with an error", kind, value, s)
			}
		}
		var seq pkix.RDNSequence
		if rest, err := asn1.Unmarshal(der, &seq); err != nil || len(rest) > 0 || len(seq) == 0 {
			return
		}
		for _, rdn := range seq {
			for _, a := range rdn {
				if text, ok := a.Value.(string); !ok || text == "" {
					return // which the library cannot write back
				}
			}
		}
		// It writes old kinds of strings as texts too, so what it wrote is read once more.
		again, err := asn1.Marshal(seq)
		if err != nil {
			return
		}
		s, err := certificate.ParseSubject(certificate.SubjectDN, seq.String())
		if err != nil {
			return
		}
		if c.Leaf.RawSubject = again; !s.Matches(c) {
			t.Fatalf("%q does not match its own name", seq)
		}
	})
}
