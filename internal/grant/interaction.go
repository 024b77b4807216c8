package grant

import (
	"bytes"
	"time"
)

// The life of an interaction: each step extends it, but never beyond the longest.
const (
	InteractionStep = 15 * time.Minute
	InteractionMost = 30 * time.Minute
)

// MaxInteractions is how many browsers may open one request: tabs, link scanners, a second device.
const MaxInteractions = 50

// Interaction is one browser on its way from a pushed request to a decision. Several may be under way for one request;
// the first that decides ends it for all.
type Interaction struct {
	Request   Pushed
	Decided   bool // the request, here or by another browser
	OpenedAt  time.Time
	ExpiresAt time.Time
	CameWith  []byte   // SHA-256 of the session cookie that the browser had when it was opened; nil: none
	Subject   string   // for whom it goes on; "": nobody has signed in yet
	Accounts  []string // that the subject has chosen; nil: not yet
	Departure []byte   // SHA-256 of the state that an upstream will bring back; nil: the browser is not there
}

// Arrival is what became of a browser that came with a request_uri.
type Arrival string

// The arrivals. With the first two it goes on.
const (
	Opened   Arrival = "opened"
	Resumed  Arrival = "resumed"  // by a reload, or the back button: its interaction lives
	Unknown  Arrival = "unknown"  // also a request of another client, which must not learn that there is one
	TooLate  Arrival = "too_late" // expires_in is over, and so is the interaction, if there was one
	Answered Arrival = "answered"
	Crowded  Arrival = "crowded"
)

// Open judges a browser that arrives at now without an interaction that lives, while others have opened the request open
// times.
func Open(p Pushed, decided bool, open int, now time.Time) (Interaction, Arrival) {
	switch {
	case decided:
		return Interaction{}, Answered
	case !p.Arrives(now):
		return Interaction{}, TooLate
	case open >= MaxInteractions:
		return Interaction{}, Crowded
	}
	return Interaction{Request: p, OpenedAt: now, ExpiresAt: now.Add(InteractionStep)}, Opened
}

// Alive tells whether the interaction may take a step at now.
func (i Interaction) Alive(now time.Time) bool { return !i.Decided && now.Before(i.ExpiresAt) }

// Step is the interaction after a step that subject takes at now; "" is somebody who has not signed in. One whose time is
// over, or whose request is answered, takes none. Another person than before starts afresh: nothing that was chosen for
// the one may be decided by the other.
func (i Interaction) Step(subject string, now time.Time) (Interaction, bool) {
	if !i.Alive(now) {
		return i, false
	}
	next := now.Add(InteractionStep)
	if most := i.OpenedAt.Add(InteractionMost); next.After(most) {
		next = most
	}
	if next.After(i.ExpiresAt) {
		i.ExpiresAt = next
	}
	if subject != i.Subject {
		i.Subject, i.Accounts = subject, nil
	}
	return i, true
}

// Choose is the interaction after subject has chosen accounts at now.
func (i Interaction) Choose(subject string, accounts []string, now time.Time) (Interaction, bool) {
	next, ok := i.Step(subject, now)
	if ok && subject != "" {
		next.Accounts = append([]string{}, accounts...)
	}
	return next, ok && subject != ""
}

// Depart is the interaction after the browser has left for an upstream at now. Of two departures only the later returns.
func (i Interaction) Depart(departure []byte, now time.Time) (Interaction, bool) {
	next, ok := i.Step(i.Subject, now)
	if ok {
		next.Departure = departure
	}
	return next, ok
}

// Return is the interaction after the browser has come back from the upstream at now. A departure is good for one return;
// a foreign one takes nothing away from it.
func (i Interaction) Return(departure []byte, now time.Time) (Interaction, bool) {
	if len(departure) == 0 || !bytes.Equal(departure, i.Departure) {
		return i, false
	}
	next, ok := i.Step(i.Subject, now)
	if ok {
		next.Departure = nil
	}
	return next, ok
}

// Decision is what became of an answer.
type Decision string

// The decisions. All but Decided change nothing.
const (
	Decided         Decision = "decided"
	AlreadyAnswered Decision = "already_answered" // by another tab, or by a second press of the button
	Expired         Decision = "expired"          // or there is no such interaction
	NotTheirs       Decision = "not_theirs"       // somebody else is signed in than the page was made for
	PersonGone      Decision = "person_gone"      // disabled
	ClientGone      Decision = "client_gone"      // deleted
)

// Decide judges an answer that subject gives at now; the request's row is locked. An answer that the server gives before
// anybody has signed in (prompt=none) has the subject "".
func (i Interaction) Decide(subject string, now time.Time) Decision {
	switch {
	case i.Decided:
		return AlreadyAnswered
	case !now.Before(i.ExpiresAt):
		return Expired
	case subject != i.Subject:
		return NotTheirs
	}
	return Decided
}

// Authenticated tells whether a session is good enough for the interaction (OpenID Connect Core §3.1.2.1): with prompt=login,
// select_account or max_age=0 the authentication must have happened since the browser arrived, with max_age not longer
// before that. It is judged by the time of arrival, so that a slow reader is not asked twice.
func (i Interaction) Authenticated(session []byte, authTime time.Time) bool {
	p := i.Request
	switch {
	case i.Since(session, authTime):
		return true
	case p.Prompts("login"), p.Prompts("select_account"), p.MaxAge != nil && *p.MaxAge == 0:
		return false
	}
	return p.MaxAge == nil || i.OpenedAt.Sub(authTime) <= time.Duration(*p.MaxAge)*time.Second
}

// Since tells whether a session, by its SHA-256, and its authentication have happened since the browser arrived. The times may
// be those of two replicas whose clocks are apart, so that a session that was there already has not, whatever they say.
func (i Interaction) Since(session []byte, authTime time.Time) bool {
	return !authTime.Before(i.OpenedAt) && !bytes.Equal(session, i.CameWith)
}

// Approval is what a person's yes brings into the world.
type Approval struct {
	Grant         Grant
	Code          Code
	CodeHash      []byte // SHA-256
	InteractionID string // x-fapi-interaction-id of the request that brought it
}

// Visit is a browser that comes to the authorization endpoint.
type Visit struct {
	RequestURI []byte // SHA-256 of the secret in the request_uri
	ClientID   string
	Current    []byte // SHA-256 of its interaction cookie for this request; nil: it has none
	Session    []byte // SHA-256 of its session cookie; nil: it has none
	New        []byte // SHA-256 of the cookie that it gets, should an interaction be opened
}
