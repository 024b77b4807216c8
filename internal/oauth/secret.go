package oauth

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
)

// Secret is a value that only its holder may know: a token, a code, a nonce key. It prints as [redacted] wherever a
// program prints by accident; Reveal is the deliberate way out.
type Secret string

// NewSecret makes a secret of 256 random bits, 43 characters of base64url.
func NewSecret() Secret {
	var b [32]byte
	_, _ = rand.Read(b[:]) // crypto/rand.Read never fails; it ends the program where the system has no randomness
	return Secret(base64.RawURLEncoding.EncodeToString(b[:]))
}

// NewID makes an id of 256 random bits, for what is no secret. It begins with a letter or a digit: a dash would be a flag on a
// command line, and an underscore begins the subjects of people (RFC 9700 §4.15).
func NewID() string {
	for {
		if id := NewSecret().Reveal(); id[0] != '-' && id[0] != '_' {
			return id
		}
	}
}

// Reveal is the secret itself.
func (s Secret) Reveal() string { return string(s) }

// Hash is what the database keeps in the secret's place.
func (s Secret) Hash() []byte {
	h := sha256.Sum256([]byte(s))
	return h[:]
}

// String, Format, MarshalText and LogValue keep the secret out of logs, errors and documents. Without Format a verb that
// does not fit a string (%d) would print it; without MarshalText a struct that holds it would, in a JSON log.
func (s Secret) String() string               { return redacted }
func (s Secret) Format(f fmt.State, _ rune)   { _, _ = io.WriteString(f, redacted) }
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }
func (s Secret) LogValue() slog.Value         { return slog.StringValue(redacted) }

const redacted = "[redacted]"
