package grant

import (
	"time"

	"authserver/internal/audit"
	"authserver/internal/fdx"
)

// Change is one entry in the history of a grant: what became of it, who did that, when and why. An entry is written in the
// transaction of the change itself, and never again.
type Change struct {
	At            time.Time
	Event         Event
	Why           Why
	Actor         audit.Actor
	By            string         // client_id, where a client made it happen, itself or by what it let happen; "": none did
	Revocation    fdx.Revocation // of Revoked, in the words of FDX
	InteractionID string         // x-fapi-interaction-id of the request; "": there was none
}

// Event is what became of a grant.
type Event string

// The events. That a grant's time is over is none: nobody does it, and its end was known from the beginning.
const (
	Given   Event = "given"   // the person said yes
	Fetched Event = "fetched" // the client redeemed the code; a ONE_TIME consent now ends with its one access token
	Revoked Event = "revoked"
)

// Why is the reason of a change, as this server knows it.
type Why string

// The reasons: of Given, of Fetched, and of Revoked.
const (
	Approved            Why = "approved"
	CodeRedeemed        Why = "code_redeemed"
	PersonStopped       Why = "person_stopped"        // on the page of connected apps
	ClientStopped       Why = "client_stopped"        // over the consents API
	RefreshTokenRevoked Why = "refresh_token_revoked" // by the client (RFC 7009)
	CodeReused          Why = "code_replayed"         // tokens may have gone to somebody else (RFC 6749 §4.1.2)
	OperatorStopped     Why = "operator_stopped"
	PersonDisabledToo   Why = "person_disabled"
)

// GivenBy is the change of a grant that its person gives at now.
func GivenBy(interactionID string, now time.Time) Change {
	return Change{At: now, Event: Given, Why: Approved, Actor: audit.Person, InteractionID: interactionID}
}

// FetchedBy is the change of a grant whose code its client redeems at now.
func FetchedBy(clientID, interactionID string, now time.Time) Change {
	return Change{At: now, Event: Fetched, Why: CodeRedeemed, Actor: audit.Client, By: clientID, InteractionID: interactionID}
}

// Stopped is the change of a grant that somebody ends, for a reason that this server has words of FDX for. A client says
// itself in which words it stops one: see StoppedByClient.
func Stopped(why Why, by string, interactionID string, now time.Time) Change {
	c := Change{At: now, Event: Revoked, Why: why, By: by, InteractionID: interactionID}
	switch why {
	case PersonStopped:
		c.Actor, c.Revocation = audit.Person, fdx.Revocation{Reason: fdx.UserAction, Initiator: fdx.Individual}
	case RefreshTokenRevoked:
		c.Actor, c.Revocation = audit.Client, fdx.Revocation{Reason: fdx.BusinessRule, Initiator: fdx.DataRecipient}
	case CodeReused:
		c.Actor, c.Revocation = audit.Server, fdx.Revocation{Reason: fdx.BusinessRule, Initiator: fdx.DataProvider}
	default:
		c.Actor, c.Revocation = audit.Operator, fdx.Revocation{Reason: fdx.BusinessRule, Initiator: fdx.DataProvider}
	}
	return c
}

// StoppedByClient is the change of a grant that its client ends over the consents API, in the client's own words.
func StoppedByClient(clientID string, r fdx.Revocation, interactionID string, now time.Time) Change {
	return Change{At: now, Event: Revoked, Why: ClientStopped, Actor: audit.Client, By: clientID, Revocation: r,
		InteractionID: interactionID}
}

// Owner is who may look at a grant and end it: its client, its person, or, when both are "", the operator.
type Owner struct {
	ClientID string
	Subject  string
}

// Owns tells whether a grant is one of the owner's.
func (o Owner) Owns(g Grant) bool {
	return (o.ClientID == "" || o.ClientID == g.ClientID) && (o.Subject == "" || o.Subject == g.Subject)
}

// Ending is what became of the wish to end a grant.
type Ending string

// The endings. Only Ended changes anything.
const (
	Ended       Ending = "ended"
	EndedBefore Ending = "ended_before" // revoked, or its time is over
	NoGrant     Ending = "no_grant"     // there is none, or it is not the owner's
)

// End judges the wish of an owner to end a grant at now.
func (g Grant) End(by Owner, now time.Time) Ending {
	switch {
	case !by.Owns(g):
		return NoGrant
	case !g.Alive(now):
		return EndedBefore
	}
	return Ended
}

// Consent is a grant as those look at it whom it concerns: with its client's name, and its history, oldest entry first.
type Consent struct {
	Grant
	ClientName string     // "": it has none
	ClientGone *time.Time // when it was deleted, and with it all that was granted to it; nil: it is registered
	History    []Change
}

// EndsAt is when a consent will end, or when it did: with its time, its revocation or its client, whichever came first.
func (c Consent) EndsAt() time.Time {
	end := c.ExpiresAt
	for _, earlier := range []*time.Time{c.RevokedAt, c.ClientGone} {
		if earlier != nil && earlier.Before(end) {
			end = *earlier
		}
	}
	return end
}

// Status is where a consent stands (FDX, ConsentGrantStatus).
func (c Consent) Status(now time.Time) string {
	switch {
	case c.RevokedAt != nil, c.ClientGone != nil && c.ClientGone.Before(c.ExpiresAt):
		return fdx.Revoked
	case !now.Before(c.ExpiresAt), c.ClientGone != nil:
		return fdx.Expired
	}
	return fdx.Active
}

// Stop is the entry that ended a consent; false when none did.
func (c Consent) Stop() (Change, bool) {
	for _, change := range c.History {
		if change.Event == Revoked {
			return change, true
		}
	}
	return Change{}, false
}
