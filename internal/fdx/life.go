package fdx

import (
	"slices"
	"time"
)

// MaxLife is the longest that anything lasts that a person allows.
const MaxLife = MaxDurationPeriod * 24 * time.Hour

// Life is how long consents last at a server.
type Life struct {
	Longest time.Duration // of any, and of a grant without one; more than MaxLife counts as that
	Once    time.Duration // of a ONE_TIME consent: until the code is redeemed and its one access token has ended
}

// For is the life of a client's consents: one that registered a duration_period is granted nothing that lasts longer.
func (l Life) For(c Ceilings) Life {
	if c.DurationPeriod > 0 {
		l.Longest = min(l.Longest, days(c.DurationPeriod))
	}
	return l
}

// End is when a grant of the details ends that a person gives at now. That of a ONE_TIME consent is the latest there can
// be: once its token is issued, it ends with that.
func (l Life) End(d Details, now time.Time) time.Time {
	life := min(l.Longest, MaxLife)
	for _, r := range d.ConsentRequests() {
		switch r.DurationType {
		case OneTime:
			life = min(life, l.Once)
		case TimeBound:
			life = min(life, days(r.DurationPeriod))
		}
	}
	return now.Add(max(life, 0))
}

// days is a number of days as a time, at most a year, so that no number of days overflows.
func days(n int) time.Duration {
	return time.Duration(max(0, min(n, MaxDurationPeriod))) * 24 * time.Hour
}

// Refreshes tells whether a grant of the details has a refresh token: a ONE_TIME consent ends with its access token.
func (d Details) Refreshes() bool {
	return !slices.ContainsFunc(d.ConsentRequests(), func(r ConsentRequest) bool { return r.DurationType == OneTime })
}
