package keys

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"authserver/internal/jose"
)

// EncryptionKeys are the key-encryption keys, 32 bytes each: the first seals, all open.
type EncryptionKeys [][]byte

// ParseEncryptionKeys reads a comma-separated list of base64 keys.
func ParseEncryptionKeys(list string) (EncryptionKeys, error) {
	var keys EncryptionKeys
	for i, text := range strings.Split(list, ",") {
		key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
		if err != nil || len(key) != 32 {
			return nil, fmt.Errorf("key %d of the list is not 32 bytes of base64", i+1)
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// String, GoString, LogValue and MarshalText keep the keys out of logs and errors, also as a part of what is printed.
func (k EncryptionKeys) String() string               { return "[redacted]" }
func (k EncryptionKeys) GoString() string             { return "[redacted]" }
func (k EncryptionKeys) LogValue() slog.Value         { return slog.StringValue("[redacted]") }
func (k EncryptionKeys) MarshalText() ([]byte, error) { return []byte("[redacted]"), nil }

// ErrSealed says that a signing key cannot be used, and where to look.
var ErrSealed = errors.New("no key-encryption key opens it: was AUTHSERVER_KEY_ENCRYPTION_KEY replaced or lost?")

// seal encrypts a private key for its row.
func (k EncryptionKeys) seal(kid string, alg jose.Alg, private []byte) ([]byte, error) {
	if len(k) == 0 {
		return nil, errors.New("there is no key-encryption key")
	}
	box, err := aead(k[0])
	if err != nil {
		return nil, err
	}
	return box.Seal(nil, nil, private, row(kid, alg)), nil
}

// open decrypts a private key that any of the key-encryption keys sealed for this row.
func (k EncryptionKeys) open(kid string, alg jose.Alg, sealed []byte) ([]byte, error) {
	for _, key := range k {
		box, err := aead(key)
		if err != nil {
			return nil, err
		}
		if private, err := box.Open(nil, nil, sealed, row(kid, alg)); err == nil {
			return private, nil
		}
	}
	return nil, ErrSealed
}

func aead(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// row is the associated data: a sealed key opens only in the row that it was made for.
func row(kid string, alg jose.Alg) []byte {
	return fmt.Appendf(nil, "signing_key\x00%s\x00%s\x00signature", kid, alg)
}
