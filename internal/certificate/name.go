package certificate

import (
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"unicode/utf8"
)

// name is a distinguished name in one spelling: its RDNs from the first to the last as a certificate has them, the
// attributes of each in the order of their texts. An attribute is its type's number, and then = and a text or # and the DER
// of any other value in hexadecimal. Whether a text was a UTF8String or a PrintableString does not show.
type name [][]string

// String is the same for equal names alone.
func (n name) String() string {
	text, _ := json.Marshal(n) // strings of valid UTF-8
	return string(text)
}

// attributeTypes are the names that a type may have besides its number, in lower case: those of RFC 4514 §3 and RFC 4519,
// and what certificates of companies bear.
var attributeTypes = map[string]string{
	"cn": "2.5.4.3", "commonname": "2.5.4.3",
	"sn": "2.5.4.4", "surname": "2.5.4.4",
	"serialnumber": "2.5.4.5",
	"c":            "2.5.4.6", "countryname": "2.5.4.6",
	"l": "2.5.4.7", "localityname": "2.5.4.7",
	"st": "2.5.4.8", "stateorprovincename": "2.5.4.8",
	"street": "2.5.4.9", "streetaddress": "2.5.4.9",
	"o": "2.5.4.10", "organizationname": "2.5.4.10",
	"ou": "2.5.4.11", "organizationalunitname": "2.5.4.11",
	"title":            "2.5.4.12",
	"businesscategory": "2.5.4.15",
	"postalcode":       "2.5.4.17",
	"givenname":        "2.5.4.42", "gn": "2.5.4.42",
	"dnqualifier":            "2.5.4.46",
	"organizationidentifier": "2.5.4.97",
	"uid":                    "0.9.2342.19200300.100.1.1", "userid": "0.9.2342.19200300.100.1.1",
	"dc": "0.9.2342.19200300.100.1.25", "domaincomponent": "0.9.2342.19200300.100.1.25",
	"emailaddress": "1.2.840.113549.1.9.1", "e": "1.2.840.113549.1.9.1",
	"jurisdictionc": "1.3.6.1.4.1.311.60.2.1.3", "jurisdictioncountryname": "1.3.6.1.4.1.311.60.2.1.3",
	"jurisdictionst": "1.3.6.1.4.1.311.60.2.1.2", "jurisdictionstateorprovincename": "1.3.6.1.4.1.311.60.2.1.2",
	"jurisdictionl": "1.3.6.1.4.1.311.60.2.1.1", "jurisdictionlocalityname": "1.3.6.1.4.1.311.60.2.1.1",
}

// parseName reads the string of a name (RFC 4514 §2 and §3). Spaces around its parts do not count, as RFC 2253 had it.
func parseName(text string) (name, error) {
	if !utf8.ValidString(text) {
		return nil, errors.New("it is not UTF-8")
	}
	var n name
	for more := true; more; {
		var one string
		one, text, more = cut(text, ',')
		rdn, err := parseRDN(one)
		if err != nil {
			return nil, err
		}
		n = append(n, rdn)
	}
	slices.Reverse(n) // the string begins with the last (RFC 4514 §2.1)
	return n, nil
}

func parseRDN(text string) (rdn []string, err error) {
	for more := true; more; {
		var one string
		one, text, more = cut(text, '+')
		attribute, err := parseAttribute(one)
		if err != nil {
			return nil, err
		}
		rdn = append(rdn, attribute)
	}
	slices.Sort(rdn)
	return rdn, nil
}

// cut splits a text at the first separator that is not escaped.
func cut(text string, separator byte) (before, after string, found bool) {
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case separator:
			return text[:i], text[i+1:], true
		}
	}
	return text, "", false
}

func parseAttribute(text string) (string, error) {
	word, value, found := strings.Cut(text, "=")
	if !found {
		return "", errors.New("it must be parts such as CN=name with commas between; one has no =")
	}
	oid, err := parseType(strings.Trim(word, " "))
	if err != nil {
		return "", err
	}
	value = strings.TrimLeft(value, " ")
	if digits, ok := strings.CutPrefix(value, "#"); ok {
		value, err = parseHex(strings.TrimRight(digits, " "))
	} else {
		value, err = unescape(value)
	}
	return oid + value, err
}

// parseType is the number of an attribute's type; its name may have any case (RFC 4514 §2.3).
func parseType(word string) (string, error) {
	if oid, known := attributeTypes[strings.ToLower(word)]; known {
		return oid, nil
	}
	oid, err := x509.ParseOID(strings.TrimPrefix(word, "OID."))
	if err != nil {
		return "", errors.New("it has an attribute type that is not known here; write its number, as in 2.5.4.97=value")
	}
	return oid.String(), nil
}

// parseHex reads a value that is written as its encoding (RFC 4514 §2.4).
func parseHex(digits string) (string, error) {
	der, err := hex.DecodeString(digits)
	if err == nil {
		var value asn1.RawValue
		if rest, err := asn1.Unmarshal(der, &value); err == nil && len(rest) == 0 {
			return valueOf(value), nil
		}
	}
	return "", errors.New("a value behind # is not the DER of one value in hexadecimal")
}

// unescape reads a value that is written as text (RFC 4514 §2.4).
func unescape(text string) (string, error) {
	var value []byte
	end := 0 // behind the last character that is no space, or an escaped one
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case strings.IndexByte("\"<>;\x00", c) >= 0:
			return "", errors.New("a quotation mark, angle bracket, semicolon or NUL in a value needs a backslash before it")
		case c != '\\':
			value = append(value, c)
			if c == ' ' {
				continue
			}
		case i+1 < len(text) && strings.IndexByte(` "#+,;<=>\`, text[i+1]) >= 0:
			i++
			value = append(value, text[i])
		default:
			octet, err := hex.DecodeString(text[min(i+1, len(text)):min(i+3, len(text))])
			if err != nil || len(octet) != 1 {
				return "", errors.New("a backslash is not followed by a special character or two hexadecimal digits")
			}
			i += 2
			value = append(value, octet[0])
		}
		end = len(value)
	}
	switch value = value[:end]; {
	case end == 0:
		return "", errors.New("a value is empty")
	case !utf8.Valid(value):
		return "", errors.New("the escaped bytes of a value are not UTF-8")
	}
	return "=" + string(value), nil
}

// attribute and attributeSET are parts of a name as DER has them (RFC 5280 §4.1.2.4); asn1 takes a type of this name as SET.
type (
	attribute struct {
		Type  asn1.ObjectIdentifier
		Value asn1.RawValue
	}
	attributeSET []attribute
)

// nameOf reads a name as a certificate bears it.
func nameOf(der []byte) (name, error) {
	var rdns []attributeSET
	if rest, err := asn1.Unmarshal(der, &rdns); err != nil || len(rest) > 0 {
		return nil, errors.New("no distinguished name")
	}
	n := name{}
	for _, set := range rdns {
		var rdn []string
		for _, a := range set {
			rdn = append(rdn, a.Type.String()+valueOf(a.Value))
		}
		slices.Sort(rdn)
		n = append(n, rdn)
	}
	return n, nil
}

// valueOf is a value in its one spelling. Strings of kinds whose characters have been read in more than one way
// (TeletexString, BMPString) count as their encoding.
func valueOf(v asn1.RawValue) string {
	if v.Class == asn1.ClassUniversal && !v.IsCompound {
		switch v.Tag {
		case asn1.TagUTF8String, asn1.TagPrintableString, asn1.TagIA5String, asn1.TagNumericString:
			var text string
			if rest, err := asn1.Unmarshal(v.FullBytes, &text); err == nil && len(rest) == 0 && utf8.ValidString(text) {
				return "=" + text
			}
		}
	}
	return "#" + hex.EncodeToString(v.FullBytes)
}
