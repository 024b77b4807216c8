// Package person is who sits at the browser. Until there is a login it only knows how a person's password is kept:
// as an argon2id hash, never in clear.
package person

import (
	"time"

	"github.com/alexedwards/argon2id"
)

// Person is somebody who may log in.
type Person struct {
	Username     string
	PasswordHash string // argon2id, in its encoded form
	CreatedAt    time.Time
}

// New hashes the password (OWASP's argon2id parameters: 64 MiB, 1 pass).
func New(username, password string, now time.Time) (Person, error) {
	hash, err := argon2id.CreateHash(password, argon2id.DefaultParams)
	return Person{Username: username, PasswordHash: hash, CreatedAt: now}, err
}
