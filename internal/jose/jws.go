package jose

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// maxKid is the longest kid, in bytes.
const maxKid = 256

// refused are the header members that name a key from elsewhere or change what the signature covers (RFC 7515 §4.1,
// RFC 7797 §3, RFC 8725 §3.10). Others that we do not know are ignored, as RFC 7515 §4 asks of members not made critical.
var refused = []string{"crit", "b64", "zip", "enc", "jku", "x5u", "x5c"}

// Door is what one use of JWS lets in.
type Door struct {
	MaxBytes    int      // the longest compact form, in bytes; 0 lets nothing in
	Types       []string // values of typ, by RFC 7515 §4.1.9; "" stands for a header without typ
	EmbeddedKey bool     // true: the header must carry a public key in jwk (RFC 9449 §4.2); false: it must not
}

// Header is what a JWS header says. Typ is in lower case and without "application/".
type Header struct {
	Alg Alg
	Typ string // empty when absent
	Kid string // empty when absent
	Key *Key   // the embedded key; nil unless the Door asks for one
}

// JWS is one compact JWS that has passed a Door. Its signature has not been checked.
type JWS struct {
	header    Header
	claims    Object
	input     string
	signature []byte
}

// Parse checks the shape of a compact JWS (RFC 7515 §7.1), cheap checks first. The error is a *Defect.
func (d Door) Parse(compact string) (*JWS, error) {
	if len(compact) > d.MaxBytes {
		return nil, refuse(Malformed, fmt.Sprintf("The JWS is longer than %d bytes.", d.MaxBytes))
	}
	head, rest, _ := strings.Cut(compact, ".")
	body, mac, found := strings.Cut(rest, ".")
	switch {
	case !found || head == "" || body == "" || strings.IndexByte(mac, '.') >= 0:
		return nil, refuse(Malformed, "The JWS is not three non-empty segments with dots between them.")
	case mac == "": // as with the alg none
		return nil, refuse(Malformed, "The JWS is not signed: its third segment, the signature, is empty.")
	}
	header, ok1 := decode(head)
	payload, ok2 := decode(body)
	signature, ok3 := decode(mac)
	if !ok1 || !ok2 || !ok3 {
		return nil, refuse(Malformed, "A segment of the JWS is not base64url without padding.")
	}
	j := &JWS{input: compact[:len(head)+1+len(body)], signature: signature}
	var err error
	if j.header, err = d.header(header, len(signature)); err != nil {
		return nil, err
	}
	if j.claims, err = ParseObject(payload); err != nil {
		return nil, err
	}
	return j, nil
}

// Header returns what the header says.
func (j *JWS) Header() Header { return j.header }

// Unverified returns the claims before the signature is checked: good for finding the client whose key to use, and for
// telling a client what is wrong with its own input; for nothing else.
func (j *JWS) Unverified() Object { return j.claims }

// SigningInput returns what the signature covers: the first two segments with their dot.
func (j *JWS) SigningInput() string { return j.input }

// Signature returns a copy of the signature's bytes.
func (j *JWS) Signature() []byte { return slices.Clone(j.signature) }

// Verify returns the claims if one of keys made the signature. Keys of another algorithm, and nil, are passed over; the
// others are tried in order. The error is a *Defect of kind SignatureInvalid, the same whatever the reason.
func (j *JWS) Verify(keys ...*Key) (Object, error) {
	for _, k := range keys {
		if k != nil && k.alg == j.header.Alg && k.verify([]byte(j.input), j.signature) {
			return j.claims, nil
		}
	}
	return Object{}, refuse(SignatureInvalid, "The signature could not be verified with a suitable key.")
}

// header judges the header and the length of the signature that came with it.
func (d Door) header(text []byte, signature int) (Header, error) {
	o, err := ParseObject(text)
	if err != nil {
		return Header{}, err
	}
	for _, name := range refused {
		if o.Has(name) {
			return Header{}, refuse(HeaderRefused, "The JWS header has the member "+name+", which is not accepted.")
		}
	}
	name, _, _ := o.String("alg") // empty if it is no string, and so not offered
	alg, offered := ParseAlg(name)
	if !offered {
		return Header{}, refuse(AlgNotOffered,
			"The alg of the JWS header is "+safe(name)+"; accepted are "+strings.Join(Algs(), ", ")+".")
	}
	h := Header{Alg: alg}
	if h.Typ, err = d.typ(o); err != nil {
		return Header{}, err
	}
	kid, present, _ := o.String("kid") // empty if it is no string
	if present && (kid == "" || len(kid) > maxKid) {
		return Header{}, refuse(HeaderRefused, "The kid in the JWS header is not a string of 1 to 256 bytes.")
	}
	h.Kid = kid
	// 256 to 512 bytes are the moduli of 2048 to 4096 bits; Verify compares with the key's own.
	if alg == PS256 && (signature < 256 || signature > 512) || alg != PS256 && signature != 64 {
		return Header{}, refuse(Malformed, "The signature has a length that "+string(alg)+" signatures do not have.")
	}
	h.Key, err = d.embeddedKey(o, alg)
	return h, err
}

// typ compares the header's typ with the door's types: without regard to case, and "application/" is optional.
func (d Door) typ(header Object) (string, error) {
	typ, present, err := header.String("typ")
	if err != nil {
		return "", refuse(HeaderRefused, "The typ in the JWS header is not a string.")
	}
	got := mediaType(typ)
	for _, want := range d.Types {
		if present == (want != "") && mediaType(want) == got {
			return got, nil
		}
	}
	accepted := slices.Clone(d.Types)
	if i := slices.Index(accepted, ""); i >= 0 {
		accepted[i] = "none at all"
	}
	return "", refuse(TypRefused, "The typ of the JWS header is "+safe(typ)+"; accepted here: "+strings.Join(accepted, ", ")+".")
}

func mediaType(typ string) string {
	// strings.ToLower folds letters outside ASCII too (the Kelvin sign becomes k), so such a typ must never match.
	if strings.ContainsFunc(typ, func(r rune) bool { return r > unicode.MaxASCII }) {
		return ""
	}
	return strings.TrimPrefix(strings.ToLower(typ), "application/")
}

// embeddedKey reads the key that the header of a proof of possession carries.
func (d Door) embeddedKey(header Object, alg Alg) (*Key, error) {
	if !d.EmbeddedKey {
		if header.Has("jwk") {
			return nil, refuse(HeaderRefused, "The JWS header has the member jwk, which is not accepted here.")
		}
		return nil, nil
	}
	o, present, err := header.Object("jwk")
	if !present || err != nil {
		return nil, refuse(KeyRefused, "The JWS header has no public key as an object in the member jwk.")
	}
	k, err := parseKey(o)
	if err != nil {
		return nil, err
	}
	if k.alg != alg {
		return nil, refuse(KeyRefused, "The alg "+string(alg)+" of the JWS header does not fit the key in jwk.")
	}
	return k, nil
}
