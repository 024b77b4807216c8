package grant

import "time"

// The life of an interaction: each step extends it, but never beyond the longest.
const (
	InteractionStep = 15 * time.Minute
	InteractionMost = 30 * time.Minute
)

// Interaction is one browser on its way from a pushed request to a decision. Several may be under way for one request:
// tabs, link scanners, two people at one browser. The first that decides ends the request.
type Interaction struct {
	OpenedAt  time.Time
	ExpiresAt time.Time
	Subject   string // who has logged in; "": nobody yet
}

// Open begins an interaction for a browser that arrives at now; in time is false when it comes too late, or after another
// has decided.
func Open(p Pushed, decided bool, now time.Time) (i Interaction, inTime bool) {
	if decided || !p.Arrives(now) {
		return Interaction{}, false
	}
	return Interaction{OpenedAt: now, ExpiresAt: now.Add(InteractionStep)}, true
}

// Alive tells whether the interaction may take a step at now.
func (i Interaction) Alive(now time.Time) bool { return now.Before(i.ExpiresAt) }

// Step is the interaction after a step at now. One whose time is over takes none.
func (i Interaction) Step(now time.Time) (Interaction, bool) {
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
	return i, true
}

// LoggedIn is the interaction after somebody has logged in. Another person than before starts afresh: nothing that was
// chosen for the one may be decided by the other.
func (i Interaction) LoggedIn(subject string, now time.Time) (next Interaction, ok bool) {
	next, ok = i.Step(now)
	if ok {
		next.Subject = subject
	}
	return next, ok
}

// Decision is what became of an answer.
type Decision string

// The decisions. All but Decided change nothing.
const (
	Decided         Decision = "decided"
	AlreadyAnswered Decision = "already_answered" // by another tab, or by a second press of the button
	Expired         Decision = "expired"
	NotTheirs       Decision = "not_theirs" // somebody else is logged in than the page was made for
)

// Decide judges an answer that subject gives at now. The row of the pushed request is locked.
func (i Interaction) Decide(decided bool, subject string, now time.Time) Decision {
	switch {
	case decided:
		return AlreadyAnswered
	case !i.Alive(now):
		return Expired
	case subject == "" || subject != i.Subject:
		return NotTheirs
	}
	return Decided
}
