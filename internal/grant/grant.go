package grant

import (
	"slices"
	"time"

	"authserver/internal/fdx"
	"authserver/internal/oauth"
)

// Grant is what a person has allowed a client.
type Grant struct {
	ID        string // of oauth.NewID; no secret, but nobody guesses one
	ClientID  string
	Subject   string
	Scope     string
	Resources []string
	Details   fdx.Details // what of the scope may be shared, about which accounts, for how long; nil: FDX has no part in it
	Accounts  []string    // that the person chose; nil: nothing of the details is about accounts
	AuthTime  time.Time   // when the person proved who they are
	ACR       string      // how; never more than what happened
	AMR       []string
	SessionID string // in which the person said yes, as clients know it; "": none that is known
	CreatedAt time.Time
	UpdatedAt time.Time  // of its last change
	UsedAt    *time.Time // when it last gave a token, or a resource asked about one, to the minute; nil: not yet
	ExpiresAt time.Time
	RevokedAt *time.Time
}

// Alive tells whether tokens of the grant are worth something at now.
func (g Grant) Alive(now time.Time) bool { return g.RevokedAt == nil && now.Before(g.ExpiresAt) }

// Refreshes tells whether a client may have another access token from the grant at now. The refresh token stays the same
// (FAPI 2.0 Security Profile §5.3.2.1-9), so there is nothing to spend and nothing that could be lost in transit. A consent for
// once never gives another, even where a program from before consents has left it a refresh token.
func (g Grant) Refreshes(clientID string, now time.Time) bool {
	return g.ClientID == clientID && g.Alive(now) && g.Details.Refreshes()
}

// HasIDToken tells whether an ID token comes with the access tokens of the grant (OpenID Connect Core §3.1.3.3).
func (g Grant) HasIDToken() bool {
	scope, err := oauth.ParseScope(g.Scope)
	return err == nil && scope.Has(oauth.OpenID)
}

// ConsentID is the id of the consent to share data that the grant is (FDX); "": it is none.
func (g Grant) ConsentID() string {
	if len(g.Details.ConsentRequests()) == 0 {
		return ""
	}
	return g.ID
}

// Fetch is the grant after its client has redeemed the code at now, for an access token of that lifetime, and whether it has
// a refresh token. A consent for once ends with this one token, to the second in which that expires.
func (g Grant) Fetch(lifetime time.Duration, now time.Time) (after Grant, refreshes bool) {
	g.UpdatedAt, g.UsedAt = now, &now
	if refreshes = g.Details.Refreshes(); refreshes {
		return g, true
	}
	if end := now.Add(lifetime).Truncate(time.Second); end.Before(g.ExpiresAt) {
		g.ExpiresAt = end
	}
	return g, false
}

// Share is what a token of the grant shares: what the token request asks for, or all of it when it asks for nothing. Error:
// it asks for more than was granted (RFC 9396 §6).
func (g Grant) Share(requested fdx.Details) (fdx.Details, error) {
	if len(requested) == 0 {
		return g.Details, nil
	}
	return g.Details.Narrow(requested)
}

// Idle tells whether the use of a grant at now is one to be kept.
func Idle(used *time.Time, now time.Time) bool { return used == nil || now.Sub(*used) >= time.Minute }

// Audience is what a token of the grant is for: the resources that it is asked for, or all of the grant's when it is asked
// for none. A grant that names none is for unnamed. ok is false when more is asked for than was granted (RFC 8707 §2.2).
func (g Grant) Audience(requested []string, unnamed string) (resources []string, ok bool) {
	granted := g.Resources
	if len(granted) == 0 {
		granted = []string{unnamed}
	}
	if len(requested) == 0 {
		return granted, true
	}
	beyond := func(r string) bool { return !slices.Contains(granted, r) }
	return requested, !slices.ContainsFunc(requested, beyond)
}
