package fdx

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"authserver/internal/jose"
	"authserver/internal/oauth"
)

// The bounds of what a client sends. Of its depth the door of package jose takes care.
const (
	maxDetails  = 16 << 10 // bytes
	maxElements = 10
)

// MaxInToken is how many bytes of authorization_details an access token bears; gateways refuse large headers.
const MaxInToken = 4 << 10

// Details is authorization_details (RFC 9396 §2): what a client asks for, or what a person granted of it, in the client's
// order. Its JSON has the members in one order and none that says nothing.
type Details []Detail

// Detail is one element of authorization_details. What it asks for only its type knows (RFC 9396 §2.1), and so only its
// type can say whether another goes further (§6.1). A further type implements Detail, with encoding/json writing the whole
// element, and enters what reads it in readers.
type Detail interface {
	// Narrow is the part of what was granted that the detail asks for at the token endpoint; at is its path. Error: it asks
	// for more (DetailsBeyondGrant).
	Narrow(granted Details, at string) (Detail, error)
}

// readers are the types of details, and what reads an element of each.
var readers = map[string]func(element object) (Detail, error){Type: readConsentRequest}

// Types are the types of authorization details that there are (RFC 9396 §10).
func Types() []string { return slices.Sorted(maps.Keys(readers)) }

// ParseDetails reads the parameter, or the member of a request object, authorization_details of a client that registered
// for some types; none registered means all. Error: DetailsMalformed, DetailsType or DetailsMember, whose description
// begins with the path of what is wrong.
func ParseDetails(text string, registered []string) (Details, error) {
	if len(text) > maxDetails {
		return nil, oauth.Refuse(oauth.DetailsMalformed, "authorization_details has %d bytes; at most %d are taken",
			len(text), maxDetails)
	}
	return read([]byte(text), registered, maxElements)
}

// UnmarshalJSON reads details that were kept. What a person granted may be longer than what a client may send.
func (d *Details) UnmarshalJSON(text []byte) error {
	if string(text) == "null" {
		return nil
	}
	details, err := read(text, nil, len(text))
	if err == nil {
		*d = details
	}
	return err
}

func read(text []byte, registered []string, most int) (Details, error) {
	list, err := jose.ParseArray(text)
	switch {
	case err != nil:
		return nil, oauth.Refuse(oauth.DetailsMalformed, "authorization_details must be one JSON array: %s", jose.Detail(err))
	case len(list) == 0 || len(list) > most:
		return nil, oauth.Refuse(oauth.DetailsMalformed, "authorization_details must have 1 to %d elements; received %d",
			most, len(list))
	}
	details := make(Details, len(list))
	for i, raw := range list {
		if details[i], err = readElement(value{element(i), raw}, registered); err != nil {
			return nil, err
		}
	}
	return details, nil
}

// element is the path of an element.
func element(i int) string { return fmt.Sprintf("authorization_details[%d]", i) }

func readElement(v value, registered []string) (Detail, error) {
	if v.raw[0] != '{' {
		return nil, oauth.Refuse(oauth.DetailsMalformed, "%s must be an object; received %s", v.at, received(v.raw))
	}
	o, err := v.object()
	if err != nil {
		return nil, err
	}
	offered := Types()
	if len(registered) > 0 {
		offered = registered
	}
	kind := o.member("type")
	name := kind.text()
	reader, known := readers[name]
	switch {
	case kind.raw == nil:
		return nil, oauth.Refuse(oauth.DetailsType, "%s is missing; expected one of %s", kind.at, strings.Join(offered, ", "))
	case !known || !slices.Contains(offered, name):
		return nil, oauth.Refuse(oauth.DetailsType, "%s must be one of %s; received %s",
			kind.at, strings.Join(offered, ", "), received(kind.raw))
	}
	return reader(o)
}

// Narrow is the part of the granted details that a token request asks for (RFC 9396 §6). It must be short enough for the
// token: one that bears only the id of its consent is taken to share all of that. Error: DetailsBeyondGrant, or
// DetailsMalformed when it is too long.
func (d Details) Narrow(requested Details) (Details, error) {
	narrow := make(Details, len(requested))
	for i, detail := range requested {
		var err error
		if narrow[i], err = detail.Narrow(d, element(i)); err != nil {
			return nil, err
		}
	}
	if !narrow.FitToken() {
		return nil, tooLong()
	}
	return narrow, nil
}

func tooLong() error {
	return oauth.Refuse(oauth.DetailsMalformed, "authorization_details, with the accounts that the person chose, would "+
		"have more than %d bytes; ask for fewer, or for none to have all that was granted", MaxInToken)
}

// FitToken tells whether the details are short enough for an access token, which otherwise bears only the id of the
// consent.
func (d Details) FitToken() bool {
	text, err := json.Marshal(d)
	return err == nil && len(text) <= MaxInToken
}
