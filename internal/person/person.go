package person

import (
	"regexp"
	"time"

	"authserver/internal/oauth"
)

// Person is somebody who may sign in: with a password that is kept here, or through an upstream.
type Person struct {
	// Subject is who it is in every token, for ever. It begins with an underscore, as no client_id does (RFC 9700 §4.15).
	Subject      string
	Username     string   // "" for a person of an upstream
	Name         string   // what pages call the person; "": the username
	PasswordHash string   // argon2id, in its encoded form; "" for a person of an upstream
	Upstream     Identity // zero for a person with a password
	CreatedAt    time.Time
	DisabledAt   *time.Time
}

// Identity is who somebody is at an upstream.
type Identity struct {
	Issuer  string
	Subject string
}

// New is a new person with a password. Whether the two are good enough is asked of IsUsername and CheckPassword before.
func New(username, password string, now time.Time) (Person, error) {
	hash, err := HashPassword(password)
	return Person{Subject: NewSubject(), Username: username, PasswordHash: hash, CreatedAt: now}, err
}

// NewSubject makes a subject of 256 random bits.
func NewSubject() string { return "_" + oauth.NewSecret().Reveal() }

// usernames are lower-case, so that two people cannot differ by what a keyboard shifts, and ASCII, so that they cannot
// differ by what looks alike.
var usernames = regexp.MustCompile(`^[a-z0-9][a-z0-9._@+-]{0,127}$`)

// IsUsername tells whether somebody may be called so.
func IsUsername(s string) bool { return usernames.MatchString(s) }

// Shown is what pages call the person.
func (p Person) Shown() string {
	if p.Name != "" {
		return p.Name
	}
	return p.Username
}
