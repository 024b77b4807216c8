package flow

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// contentEncryptionEncs are those that a Recipient opens, the preferred one first (RFC 7518 §5.1).
var contentEncryptionEncs = []string{"A256GCM", "A128GCM"}

// Recipient is whom answers are encrypted for (RFC 7516 §2).
type Recipient struct {
	rsa *rsa.PrivateKey   // nil: nothing is encrypted for one
	ec  *ecdsa.PrivateKey // of P-256; nil: nothing is encrypted for one
}

// NewRecipient makes a fresh key for each of the algorithms, which may be empty.
func NewRecipient(algs ...string) (*Recipient, error) {
	r := &Recipient{}
	var errRSA, errEC error
	if slices.Contains(algs, "RSA-OAEP-256") {
		r.rsa, errRSA = rsa.GenerateKey(rand.Reader, 2048)
	}
	if slices.Contains(algs, "ECDH-ES") {
		r.ec, errEC = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	return r, errors.Join(errRSA, errEC)
}

// PublicJWKs are the keys as a client registers them. Their kid is their thumbprint.
func (r *Recipient) PublicJWKs() []JWK {
	var keys []*Key
	if r.rsa != nil {
		keys = append(keys, &Key{Signer: r.rsa})
	}
	if r.ec != nil {
		keys = append(keys, &Key{Signer: r.ec})
	}
	var all []JWK
	for _, key := range keys {
		j := key.bareJWK()
		j.Kid, j.Use = j.Thumbprint(), "enc"
		all = append(all, j)
	}
	return all
}

// jwe is a compact JWE taken apart (RFC 7516 §7.1).
type jwe struct {
	header                      map[string]any
	protected                   string // the header as it travelled
	key, nonce, ciphertext, tag []byte
}

func readJWE(compact string) (jwe, error) {
	parts := strings.Split(compact, ".")
	if len(parts) != 5 {
		return jwe{}, fmt.Errorf("a compact JWE has 5 segments, not %d", len(parts))
	}
	read := jwe{protected: parts[0]}
	var header []byte
	for i, into := range []*[]byte{&header, &read.key, &read.nonce, &read.ciphertext, &read.tag} {
		var err error
		if *into, err = decode64(parts[i]); err != nil {
			return jwe{}, err
		}
	}
	var err error
	read.header, err = members(header)
	return read, err
}

// how names the algorithms of a JWE, and what it says is in it.
func (j jwe) how() string {
	return strings.Join([]string{text(j.header["alg"]), text(j.header["enc"]), text(j.header["cty"])}, " ")
}

// Decrypt opens a compact JWE and returns what is in it.
func (r *Recipient) Decrypt(compact string) (string, error) {
	sealed, err := readJWE(compact)
	if err != nil {
		return "", err
	}
	size := map[string]int{"A256GCM": 32, "A128GCM": 16}[text(sealed.header["enc"])]
	if size == 0 {
		return "", fmt.Errorf("enc %q is none of %s", text(sealed.header["enc"]), strings.Join(contentEncryptionEncs, ", "))
	}
	key, err := r.contentKey(sealed, size)
	if err != nil {
		return "", err
	}
	block, err := aes.NewCipher(key)
	if err != nil || len(key) != size {
		return "", errors.New("the content key has another length than enc says")
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil || len(sealed.nonce) != gcm.NonceSize() || len(sealed.tag) != gcm.Overhead() {
		return "", errors.New("the initialization vector is 96 bits, and the authentication tag 128")
	}
	plain, err := gcm.Open(nil, sealed.nonce, append(sealed.ciphertext, sealed.tag...), []byte(sealed.protected))
	return string(plain), err
}

// contentKey finds the key, of size bytes, that the content is encrypted with.
func (r *Recipient) contentKey(sealed jwe, size int) ([]byte, error) {
	switch alg := text(sealed.header["alg"]); {
	case alg == "RSA-OAEP-256" && r.rsa != nil:
		return rsa.DecryptOAEP(sha256.New(), nil, r.rsa, sealed.key, nil)
	case alg == "ECDH-ES" && r.ec != nil:
		if len(sealed.key) > 0 {
			return nil, errors.New("with ECDH-ES there is no encrypted key")
		}
		return r.agree(sealed.header, size)
	default:
		return nil, fmt.Errorf("there is no key that alg %q could be opened with", alg)
	}
}

// agree derives the content key from the sender's ephemeral key (RFC 7518 §4.6.2). One round of SHA-256 is enough for it.
func (r *Recipient) agree(header map[string]any, size int) ([]byte, error) {
	var epk JWK
	if err := json.Unmarshal([]byte(text(header["epk"])), &epk); err != nil {
		return nil, fmt.Errorf("epk is not a JWK: %w", err)
	}
	public, err := epk.PublicKey()
	if err != nil {
		return nil, err
	}
	theirs, ok := public.(*ecdsa.PublicKey)
	if !ok {
		return nil, errors.New("epk is not a key of P-256")
	}
	shared, err := r.sharedSecret(theirs)
	if err != nil {
		return nil, err
	}
	input := append([]byte{0, 0, 0, 1}, shared...)
	for _, name := range []string{"enc", "apu", "apv"} {
		info := []byte(text(header[name]))
		if name != "enc" {
			if info, err = decode64(string(info)); err != nil {
				return nil, fmt.Errorf("%s is not base64url: %w", name, err)
			}
		}
		input = append(binary.BigEndian.AppendUint32(input, uint32(len(info))), info...)
	}
	digest := sha256.Sum256(binary.BigEndian.AppendUint32(input, uint32(size*8)))
	return digest[:size], nil
}

func (r *Recipient) sharedSecret(theirs *ecdsa.PublicKey) ([]byte, error) {
	ours, err := r.ec.ECDH()
	if err != nil {
		return nil, err
	}
	remote, err := theirs.ECDH()
	if err != nil {
		return nil, err
	}
	return ours.ECDH(remote)
}
