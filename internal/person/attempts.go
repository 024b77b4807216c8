package person

import "time"

// AttemptWindow is how long attempts to sign in are counted together, from the first of them on.
const AttemptWindow = 10 * time.Minute

// Attempts are those of one account, or of one address, since a moment.
type Attempts struct {
	Since time.Time
	Count int
}

// Exceeded tells whether the last attempt was one too many at now, and after how long the next may come. A limit of 0 is
// none.
func (a Attempts) Exceeded(limit int, now time.Time) (retryAfter time.Duration, exceeded bool) {
	if limit == 0 || a.Count <= limit {
		return 0, false
	}
	return a.Since.Add(AttemptWindow).Sub(now), true
}
