package dpop

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"time"
)

// nonceStep is how long a nonce is the current one, and then again how long it is still accepted.
const nonceStep = 150 * time.Second

// Nonces makes and recognises nonces (RFC 9449 §8).
type Nonces struct{ keys [][]byte }

// NewNonces derives the nonce keys from the key-encryption keys: the first makes nonces, all are recognised.
func NewNonces(keyEncryptionKeys [][]byte) (Nonces, error) {
	var n Nonces
	for _, kek := range keyEncryptionKeys {
		key, err := hkdf.Key(sha256.New, kek, nil, "authserver DPoP nonce", sha256.Size)
		if err != nil {
			return n, err
		}
		n.keys = append(n.keys, key)
	}
	return n, nil
}

// Current is the nonce of this moment.
func (n Nonces) Current(now time.Time) string { return nonceOf(n.keys[0], step(now)) }

// Recognises tells whether a nonce is ours and not too old: of this step, of the one before, or of the one after, which a
// replica whose clock is ahead of ours has already begun.
func (n Nonces) Recognises(nonce string, now time.Time) bool {
	known := false
	for _, key := range n.keys {
		for _, s := range []int64{step(now), step(now) - 1, step(now) + 1} {
			known = hmac.Equal([]byte(nonce), []byte(nonceOf(key, s))) || known
		}
	}
	return known
}

func step(t time.Time) int64 { return t.Unix() / int64(nonceStep/time.Second) }

func nonceOf(key []byte, step int64) string {
	mac := hmac.New(sha256.New, key)
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(step))
	mac.Write(b[:])
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:24])
}
