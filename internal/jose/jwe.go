package jose

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"errors"
	"fmt"
	"slices"

	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jwe"
)

// EncryptionAlgs lists the names of the algorithms by which the key of a message is told to its recipient (RFC 7518 §4).
// RSA-OAEP hashes with SHA-1: OAEP does not rest on what SHA-1 lacks, and clients of FDX register it. RSA1_5, dir and keys
// that both sides share are not offered. The slice is the caller's own.
func EncryptionAlgs() []string {
	return []string{"RSA-OAEP", "RSA-OAEP-256", "ECDH-ES", "ECDH-ES+A256KW"}
}

// EncryptionEncs lists the names of the algorithms by which a message is encrypted (RFC 7518 §5). The slice is the
// caller's own.
func EncryptionEncs() []string {
	return []string{"A256GCM", "A128GCM", "A128CBC-HS256", "A256CBC-HS512"}
}

// encryptionOps are the key_ops of keys that a message may be encrypted with (RFC 7517 §4.3). Those of a key agreement are
// named after its secret half.
var encryptionOps = []string{"encrypt", "wrapKey", "deriveKey", "deriveBits"}

// encryptionKey is a public key of a set that may be encrypted with.
type encryptionKey struct {
	kid    string
	alg    string // the only one that its JWK allows; "": any that fits its type
	stated bool   // its JWK says that it is for encryption; another says nothing, and may be for signatures alone
	public crypto.PublicKey
}

// Recipient is a public key to encrypt with, by one algorithm. It never changes and may be shared.
type Recipient struct {
	kid    string
	alg    string
	public crypto.PublicKey // *rsa.PublicKey or *ecdsa.PublicKey
}

// Recipient finds the key to encrypt with by one of EncryptionAlgs: the first that its JWK says is for encryption, or else
// the first whose JWK leaves that open. Keys are under the rules of those that verify: RSA of 2048 to 4096 bits, P-256. The
// error is a *Defect of kind KeyRefused.
func (s KeySet) Recipient(alg string) (*Recipient, error) {
	var open *Recipient
	for _, k := range s.encryption {
		if !k.does(alg) {
			continue
		}
		r := &Recipient{kid: k.kid, alg: alg, public: k.public}
		if k.stated {
			return r, nil
		}
		if open == nil {
			open = r
		}
	}
	if open != nil {
		return open, nil
	}
	kind := "kty RSA of 2048 to 4096 bits"
	if isAgreement(alg) {
		kind = "kty EC, crv P-256"
	}
	return nil, refuse(KeyRefused,
		"The JWK Set has no key for "+safe(alg)+": expected "+kind+", use enc or none, alg "+safe(alg)+" or none.")
}

// forEncryption reads from a key's JWK whether it may be encrypted with (RFC 7517 §4.2 to §4.4). A key for signatures ends
// here.
func (k *Key) forEncryption(o Object) (e encryptionKey, ok bool) {
	use, hasUse, err1 := o.String("use")
	alg, hasAlg, err2 := o.String("alg")
	var ops []string
	hasOps, err3 := o.Decode("key_ops", &ops)
	switch {
	case errors.Join(err1, err2, err3) != nil,
		hasUse && use != "enc",
		hasAlg && !slices.Contains(EncryptionAlgs(), alg),
		hasOps && !slices.ContainsFunc(ops, func(op string) bool { return slices.Contains(encryptionOps, op) }):
		return encryptionKey{}, false
	}
	return encryptionKey{kid: k.kid, alg: alg, stated: hasUse || hasAlg || hasOps, public: k.public}, true
}

// does tells whether the key can be used by the algorithm, and is allowed to.
func (k encryptionKey) does(alg string) bool {
	if k.alg != "" && k.alg != alg || !slices.Contains(EncryptionAlgs(), alg) {
		return false
	}
	switch k.public.(type) {
	case *rsa.PublicKey:
		return !isAgreement(alg)
	case *ecdsa.PublicKey:
		return isAgreement(alg)
	}
	return false
}

// isAgreement tells the algorithms of elliptic curves from those of RSA.
func isAgreement(alg string) bool { return alg == "ECDH-ES" || alg == "ECDH-ES+A256KW" }

// Encrypt returns the payload as a compact JWE for the recipient (RFC 7516 §7.1), encrypted by one of EncryptionEncs under
// a key of its own. The header holds alg, enc, kid if the recipient's key has one, cty unless that is empty, what a key
// agreement needs (epk), and nothing else: a payload is not compressed, which would tell of its content by its length.
func (r *Recipient) Encrypt(payload []byte, enc, cty string) (string, error) {
	alg, known1 := jwa.LookupKeyEncryptionAlgorithm(r.alg)
	content, known2 := jwa.LookupContentEncryptionAlgorithm(enc)
	if !known1 || !known2 || !slices.Contains(EncryptionEncs(), enc) {
		return "", fmt.Errorf("jose: nothing is encrypted by %s and %s", r.alg, enc)
	}
	header := jwe.NewHeaders()
	var err1, err2 error
	if r.kid != "" {
		err1 = header.Set(jwe.KeyIDKey, r.kid)
	}
	if cty != "" {
		err2 = header.Set(jwe.ContentTypeKey, cty)
	}
	if err := errors.Join(err1, err2); err != nil {
		return "", fmt.Errorf("jose: header: %w", err)
	}
	compact, err := jwe.Encrypt(payload,
		jwe.WithKey(alg, r.public), jwe.WithContentEncryption(content), jwe.WithProtectedHeaders(header))
	if err != nil {
		return "", fmt.Errorf("jose: encrypting for key %s: %w", r.kid, err)
	}
	return string(compact), nil
}
