package grant

import (
	"slices"
	"time"

	"authserver/internal/fdx"
)

// Lifetime is how long a grant without an end of its own lasts (FDX: a year and not longer).
const Lifetime = 365 * 24 * time.Hour

// Grant is what a person has allowed a client.
type Grant struct {
	ID        string // 256 random bits; no secret, but nobody guesses one
	ClientID  string
	Subject   string
	Scope     string
	Resources []string
	Details   fdx.Details // what of the scope may be shared, about which accounts, for how long; nil: FDX has no part in it
	Accounts  []string    // that the person chose; nil: nothing of the details is about accounts
	AuthTime  time.Time   // when the person proved who they are
	ACR       string      // how; never more than what happened
	AMR       []string
	CreatedAt time.Time
	UpdatedAt time.Time // of its last change
	UsedAt    time.Time // when it last gave a token, or a resource asked about one; to the minute
	ExpiresAt time.Time
	RevokedAt *time.Time
}

// Alive tells whether tokens of the grant are worth something at now.
func (g Grant) Alive(now time.Time) bool { return g.RevokedAt == nil && now.Before(g.ExpiresAt) }

// Refreshes tells whether a client may have another access token from the grant at now. The refresh token stays the same
// (FAPI 2.0 Security Profile §5.3.2.1-9), so there is nothing to spend and nothing that could be lost in transit.
func (g Grant) Refreshes(clientID string, now time.Time) bool {
	return g.ClientID == clientID && g.Alive(now)
}

// Audience is what a token of the grant is for: the resources that it is asked for, or all of the grant's when it is asked
// for none. A grant that names none is for unnamed. ok is false when more is asked for than was granted (RFC 8707 §2.2).
func (g Grant) Audience(requested []string, unnamed string) (resources []string, ok bool) {
	return audience(g.Resources, requested, unnamed)
}

func audience(granted, requested []string, unnamed string) (resources []string, ok bool) {
	if len(granted) == 0 {
		granted = []string{unnamed}
	}
	if len(requested) == 0 {
		return granted, true
	}
	beyond := func(r string) bool { return !slices.Contains(granted, r) }
	return requested, !slices.ContainsFunc(requested, beyond)
}
