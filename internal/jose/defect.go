package jose

import (
	"errors"
	"strings"
)

// Kind says what sort of refusal a Defect is, for callers that answer differently by sort.
type Kind int

// The kinds of refusal. None is the kind of an error that is no Defect.
const (
	None             Kind = iota
	Malformed             // not three segments of canonical base64url under the cap, or a signature of impossible length
	AlgNotOffered         // the header's alg is missing or not one of Algs
	HeaderRefused         // a header member that may not be there, or has the wrong type or length
	TypRefused            // the header's typ names another kind of token
	KeyRefused            // a key that cannot verify signatures here: unknown, weak, misspelled, or for another use
	PrivateKey            // a private or symmetric key was sent: it is compromised
	SignatureInvalid      // none of the keys made the signature
	JSONRefused           // not one strict JSON object, or a member of the wrong type
)

var kindNames = [...]string{"none", "malformed", "alg_not_offered", "header_refused", "typ_refused", "key_refused",
	"private_key", "signature_invalid", "json_refused"}

// String returns a short name for logs and metric labels.
func (k Kind) String() string { return kindNames[k] }

// Defect is a refusal of what was handed in. Detail is one public sentence about that input alone, in the characters
// that RFC 6749 §5.2 allows in error_description: it may be shown to whoever sent the input.
type Defect struct {
	Kind   Kind
	Detail string
}

// Error returns the detail.
func (d *Defect) Error() string { return d.Detail }

// KindOf returns the kind of the first Defect in err's tree, or None.
func KindOf(err error) Kind {
	if d, ok := errors.AsType[*Defect](err); ok {
		return d.Kind
	}
	return None
}

func refuse(kind Kind, detail string) error { return &Defect{Kind: kind, Detail: detail} }

// safe makes a name that came from outside fit for a Detail: at most 20 characters, and only those that registered names
// are made of, so that nothing can be smuggled into a log, a header or a page.
func safe(name string) string {
	if name == "" {
		return "empty or missing"
	}
	if len(name) > 20 {
		name = name[:20]
	}
	return strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', strings.ContainsRune("+-._/:", r):
			return r
		}
		return '?'
	}, name)
}

// Detail returns the public sentence of the first Defect in err's tree, or "".
func Detail(err error) string {
	if d, ok := errors.AsType[*Defect](err); ok {
		return d.Detail
	}
	return ""
}
