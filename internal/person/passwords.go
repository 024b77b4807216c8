package person

import (
	"context"
	"crypto/sha256"
	"errors"
	"runtime"
	"strings"
	"time"
	"unicode/utf8"

	"authserver/internal/oauth"

	"github.com/alexedwards/argon2id"
	"golang.org/x/sync/semaphore"
)

// What a password is, for this server's own people.
const (
	// ACRPassword is the class of an authentication by password alone (OpenID Connect Core §2).
	ACRPassword = "urn:authserver:acr:password"

	// MinPassword is how many characters a new password has at least.
	MinPassword = 12
	// MaxPassword bounds a password, in bytes. Nothing is ever cut: a longer one is refused.
	MaxPassword = 1024

	hashingWait = 5 * time.Second // for a slot; longer than this nobody waits at a login page
)

// hashing are the parameters of every hash that is made: of OWASP's equal choices for argon2id the one with 12 MiB, so that no
// stranger's attempt takes more than 16, and two passes more than its three. One lane each, so that the slots bound the
// processors too, and so that every hash costs the same, wherever it was made.
var hashing = argon2id.Params{Memory: 12 << 10, Iterations: 5, Parallelism: 1, SaltLength: 16, KeyLength: 32}

// HashPassword makes what is kept in a password's place: argon2id in its encoded form, with a salt of its own.
func HashPassword(password string) (string, error) { return argon2id.CreateHash(password, &hashing) }

// CheckPassword tells what is wrong with a new password. The sentence does not hold it.
func CheckPassword(password string) error {
	switch {
	case len(password) > MaxPassword:
		return errors.New("a password has at most 1024 bytes")
	case !isPassword(password):
		return errors.New("a password is UTF-8 text without NUL")
	case utf8.RuneCountInString(password) < MinPassword:
		return errors.New("a password has at least 12 characters")
	}
	return nil
}

func isPassword(s string) bool {
	return s != "" && len(s) <= MaxPassword && utf8.ValidString(s) && strings.IndexByte(s, 0) < 0
}

// Limits bound what trying passwords costs the people, and what it costs the server.
type Limits struct {
	Account int // attempts for one username in AttemptWindow; 0: no limit
	Address int // attempts from one address in AttemptWindow; 0: no limit
	Hashing int // passwords that are hashed at a time; 0: half as many as there are processors, but one at least
}

// PasswordStore keeps the people and counts the attempts.
type PasswordStore interface {
	FindPerson(ctx context.Context, username string) (p Person, found bool, err error)
	// Attempt counts one more under key and returns them all, this one too.
	Attempt(ctx context.Context, key []byte, now time.Time) (Attempts, error)
	Forgive(ctx context.Context, key []byte) error
}

// Passwords is the built-in login.
type Passwords struct {
	store  PasswordStore
	limits Limits
	slots  *semaphore.Weighted
	decoy  string // the hash of a password that nobody knows
	match  func(password, hash string) (bool, error)
}

// NewPasswords makes the built-in login.
func NewPasswords(store PasswordStore, l Limits) (*Passwords, error) {
	if l.Hashing == 0 {
		l.Hashing = max(1, runtime.GOMAXPROCS(0)/2)
	}
	decoy, err := HashPassword(oauth.NewSecret().Reveal())
	return &Passwords{
		store: store, limits: l, slots: semaphore.NewWeighted(int64(l.Hashing)),
		decoy: decoy, match: argon2id.ComparePasswordAndHash,
	}, err
}

// Authenticate proves a person by username and password; peer is the address that the attempt comes from. Refusals:
// LoginRefused for whatever is wrong with the two, in one sentence and at one cost; RateLimited with RetryAfter;
// Unavailable when too many passwords are being hashed. An attempt counts before it is judged, so that parallel ones
// cannot get past the limit.
func (p *Passwords) Authenticate(ctx context.Context, username, password, peer string, now time.Time) (Authentication, error) {
	// What has not the shape of a username or a password is refused without hashing: it shows from the request alone.
	name, ok := normalUsername(username)
	if !ok || !isPassword(password) {
		return Authentication{}, wrongCredentials()
	}
	account := attemptKey("account", name)
	if err := p.count(ctx, account, attemptKey("address", peer), now); err != nil {
		return Authentication{}, err
	}
	person, found, err := p.store.FindPerson(ctx, name)
	if err != nil {
		return Authentication{}, err
	}
	known := found && person.DisabledAt == nil && person.PasswordHash != ""
	hash := p.decoy
	if known {
		hash = person.PasswordHash
	}
	matches, err := p.compare(ctx, password, hash)
	switch {
	case err != nil:
		return Authentication{}, err
	case !known || !matches:
		return Authentication{}, wrongCredentials()
	}
	if p.limits.Account != 0 {
		// The address is not forgiven: whoever has one password of their own could go on guessing those of others.
		if err := p.store.Forgive(ctx, account); err != nil {
			return Authentication{}, err
		}
	}
	return Authentication{Person: person, At: now, ACR: ACRPassword, AMR: []string{"pwd"}}, nil // RFC 8176 §2
}

// count counts the attempt for the address and for the account, and refuses it when it is one too many for either. Both
// names, those that exist and those that do not, are counted alike. An address that has used up its own attempts uses up
// nobody else's: it could lock as many people out as it knows names.
func (p *Passwords) count(ctx context.Context, account, address []byte, now time.Time) error {
	for _, c := range []struct {
		key   []byte
		limit int
	}{{address, p.limits.Address}, {account, p.limits.Account}} {
		if c.limit == 0 {
			continue
		}
		attempts, err := p.store.Attempt(ctx, c.key, now)
		if err != nil {
			return err
		}
		if wait, exceeded := attempts.Exceeded(c.limit, now); exceeded {
			wait = max(wait, time.Second)
			refusal := oauth.Refuse(oauth.RateLimited, "too many attempts to sign in; come back after %.0f s", wait.Seconds())
			refusal.RetryAfter = wait
			return refusal
		}
	}
	return nil
}

// compare hashes in one of the slots, so that people who sign in do not starve those who fetch tokens.
func (p *Passwords) compare(ctx context.Context, password, hash string) (bool, error) {
	waiting, cancel := context.WithTimeout(ctx, hashingWait)
	defer cancel()
	if err := p.slots.Acquire(waiting, 1); err != nil {
		refusal := oauth.Refuse(oauth.Unavailable, "too many people are signing in just now, try again shortly").Because(err)
		refusal.RetryAfter = hashingWait
		return false, refusal
	}
	defer p.slots.Release(1)
	return p.match(password, hash)
}

func wrongCredentials() error {
	return oauth.Refuse(oauth.LoginRefused, "the username or the password is wrong")
}

// normalUsername is a username as it is kept: phones begin it with a capital and end it with a space. Only ASCII letters
// become small ones; with strings.ToLower the Kelvin sign would be a k.
func normalUsername(typed string) (name string, ok bool) {
	name = strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, strings.Trim(typed, " "))
	return name, IsUsername(name)
}

// attemptKey is what attempts are counted under; the database need not know who tried.
func attemptKey(kind, value string) []byte {
	h := sha256.Sum256([]byte(kind + "\x00" + value))
	return h[:]
}
