package certificate

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// Kind is what of a certificate a client registered. Its metadata member has tls_client_auth_ before it (RFC 8705 §2.1.2).
type Kind string

// The kinds.
const (
	SubjectDN Kind = "subject_dn"
	SANDNS    Kind = "san_dns"
	SANURI    Kind = "san_uri"
	SANIP     Kind = "san_ip"
	SANEmail  Kind = "san_email"
)

// Subject is what a client registered of its certificate. The zero value matches none.
type Subject struct {
	kind  Kind
	value string // in its one spelling
}

// ParseSubject reads a registered value. The error says what the value must be.
func ParseSubject(kind Kind, value string) (Subject, error) {
	value, err := spell(kind, value)
	if err != nil {
		return Subject{}, err
	}
	return Subject{kind, value}, nil
}

// spell is the one spelling of a value, whether it was registered or stands in a certificate.
func spell(kind Kind, value string) (string, error) {
	switch kind {
	case SubjectDN:
		n, err := parseName(value)
		return n.String(), err
	case SANDNS:
		return spellHost(value)
	case SANURI:
		return spellURI(value)
	case SANIP:
		ip, err := netip.ParseAddr(value)
		if err != nil || ip.Zone() != "" {
			return "", errors.New("it must be one IPv4 or IPv6 address")
		}
		return ip.Unmap().String(), nil
	case SANEmail:
		return spellEmail(value)
	}
	return "", errorf("no such kind: %q", kind)
}

// host is the name of a host in lower case, without a wildcard and without a dot at its end (RFC 5280 §4.2.1.6).
var host = regexp.MustCompile(`^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*$`)

func spellHost(value string) (string, error) {
	if lower := strings.ToLower(value); isASCII(value) && len(value) <= 253 && host.MatchString(lower) {
		return lower, nil
	}
	return "", errors.New("it must be one host name in ASCII, without wildcards and without a dot at its end")
}

// spellURI takes a URI as it is written: comparing anything else would be a second reading.
func spellURI(value string) (string, error) {
	forbidden := func(c rune) bool { return c <= ' ' || c >= 0x7f || strings.ContainsRune("\"<>\\^`{|}", c) }
	if u, err := url.Parse(value); err != nil || !u.IsAbs() || strings.ContainsFunc(value, forbidden) {
		return "", errors.New("it must be one absolute URI")
	}
	return value, nil
}

// spellEmail keeps the local part as it is written; the domain is a host name (RFC 5280 §7.5).
func spellEmail(value string) (string, error) {
	at := strings.LastIndexByte(value, '@')
	if at > 0 && !strings.ContainsFunc(value, func(c rune) bool { return c <= ' ' || c >= 0x7f }) {
		if domain, err := spellHost(value[at+1:]); err == nil {
			return value[:at+1] + domain, nil
		}
	}
	return "", errors.New("it must be one e-mail address in ASCII")
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(c rune) bool { return c > unicode.MaxASCII })
}

// Matches tells whether the certificate has the subject: as its name, or among its alternative names of the kind.
func (s Subject) Matches(c Certificate) bool {
	switch s.kind {
	case "":
		return false
	case SubjectDN:
		n, err := nameOf(c.Leaf.RawSubject)
		return err == nil && n.String() == s.value
	}
	return slices.ContainsFunc(alternatives(c.Leaf, s.kind), func(one string) bool {
		value, err := spell(s.kind, one)
		return err == nil && value == s.value
	})
}

// Key is the same for equal subjects alone, so that no two clients have one.
func (s Subject) Key() string {
	hash := sha256.Sum256([]byte(string(s.kind) + " " + s.value))
	return base64.RawURLEncoding.EncodeToString(hash[:])
}

// tags are how a certificate marks its alternative names (GeneralName, RFC 5280 §4.2.1.6).
var tags = map[Kind]int{SANEmail: 1, SANDNS: 2, SANURI: 6, SANIP: 7}

// alternatives are the alternative names of one kind, as they are written: x509.Certificate has URIs that were taken apart.
func alternatives(leaf *x509.Certificate, kind Kind) (list []string) {
	for _, extension := range leaf.Extensions {
		if !extension.Id.Equal(asn1.ObjectIdentifier{2, 5, 29, 17}) {
			continue
		}
		var names []asn1.RawValue
		if _, err := asn1.Unmarshal(extension.Value, &names); err != nil {
			return nil
		}
		for _, one := range names {
			if one.Class != asn1.ClassContextSpecific || one.Tag != tags[kind] {
				continue
			}
			text := string(one.Bytes)
			if kind == SANIP {
				ip, _ := netip.AddrFromSlice(one.Bytes)
				text = ip.String()
			}
			list = append(list, text)
		}
	}
	return list
}
