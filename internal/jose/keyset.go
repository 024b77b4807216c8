package jose

import (
	"crypto"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/lestrrat-go/jwx/v3/jwa"
)

// KeySet holds the keys of one owner that can verify signatures, and says why the others cannot. Those that its owner can
// be written to with are found by Recipient; they stand in Keys too only if their JWKs allow both.
type KeySet struct {
	Keys    []*Key
	Skipped []Skipped

	// Certificates are those that its owner publishes beside keys, the first of each x5c (RFC 7517 §4.7).
	Certificates []*x509.Certificate

	encryption []encryptionKey
}

// Skipped is an entry of a JWK Set that verifies nothing. Kid is empty when the entry has none that can be read.
type Skipped struct {
	Kid    string
	Defect *Defect
}

// ParseKeySet reads a JWK Set (RFC 7517 §5). Entries that we cannot use are skipped, so that a set may also hold keys
// of future types; a set of which nothing is left is no error. The set fails as a whole, with a
// *Defect of kind JSONRefused, when it is not one strict JSON object with an array keys of at most maxKeys entries.
func ParseKeySet(raw []byte, maxKeys int) (KeySet, error) {
	o, err := ParseObject(raw)
	if err != nil {
		return KeySet{}, err
	}
	var entries []json.RawMessage
	if present, err := o.Decode("keys", &entries); err != nil || !present {
		return KeySet{}, refuse(JSONRefused, "The JWK Set has no array keys.")
	}
	if len(entries) > maxKeys {
		return KeySet{}, refuse(JSONRefused, fmt.Sprintf("The JWK Set has more than %d keys.", maxKeys))
	}
	var set KeySet
	for _, entry := range entries {
		set.add(entry)
	}
	return set, nil
}

// add puts an entry where it belongs. Keys of both kinds are judged alike until it comes to what they are for.
func (s *KeySet) add(entry json.RawMessage) {
	o, err := ParseObject(entry)
	var k *Key
	if err == nil {
		k, err = parsePublic(o)
	}
	if err == nil {
		if e, ok := k.forEncryption(o); ok {
			s.encryption = append(s.encryption, e)
		}
		if c, ok := k.certificate(o); ok {
			s.Certificates = append(s.Certificates, c)
		}
		err = k.checkPurpose(o)
	}
	if err == nil {
		s.Keys = append(s.Keys, k)
		return
	}
	skipped := Skipped{}
	skipped.Defect, _ = errors.AsType[*Defect](err)
	skipped.Kid, _, _ = o.String("kid")
	s.Skipped = append(s.Skipped, skipped)
}

// certificate is the certificate of the key, if its JWK has one and is not for encryption: who reads what is written to an
// owner is not always who speaks for it. One of another key is none, since its owner has not said that it holds that.
func (k *Key) certificate(o Object) (*x509.Certificate, bool) {
	var chain []string
	if _, err := o.Decode("x5c", &chain); err != nil || len(chain) == 0 || !forSignatures(o) {
		return nil, false
	}
	der, err := base64.StdEncoding.Strict().DecodeString(chain[0])
	if err != nil {
		return nil, false
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, false
	}
	public, ok := c.PublicKey.(interface{ Equal(crypto.PublicKey) bool })
	return c, ok && public.Equal(k.public)
}

// forSignatures reads from a JWK whether its key may sign (RFC 7517 §4.2 to §4.4), by any algorithm, also one that is not
// verified here.
func forSignatures(o Object) bool {
	use, hasUse, err1 := o.String("use")
	alg, hasAlg, err2 := o.String("alg")
	var ops []string
	hasOps, err3 := o.Decode("key_ops", &ops)
	_, signs := jwa.LookupSignatureAlgorithm(alg)
	return errors.Join(err1, err2, err3) == nil && (!hasUse || use == "sig") && (!hasAlg || signs) &&
		(!hasOps || slices.Contains(ops, "sign") || slices.Contains(ops, "verify"))
}

// Select returns the keys that could have signed a JWS with header h, at most max of them, in the order of the set: those
// named by the header's kid (several may share a name), all when it has none; of these only keys of the header's algorithm.
func (s KeySet) Select(h Header, max int) []*Key {
	var keys []*Key
	for _, k := range s.Keys {
		if len(keys) < max && k.alg == h.Alg && (h.Kid == "" || k.kid == h.Kid) {
			keys = append(keys, k)
		}
	}
	return keys
}
