package keys

import (
	"cmp"
	"errors"
	"slices"
	"time"

	"authserver/internal/jose"
)

// The times in a key's life.
//
// A verifier uses a copy of the key set for MaxAge, and may have got it from a replica that last read the keys RefreshEvery
// ago; with a slow database and clocks that are 10 s apart this comes to 6 minutes. PublishBefore is comfortably longer, so
// that every copy in the world holds a key before it signs.
//
// What a key signed last is dead within the hour: the schema lets no access token live longer, and most end far sooner. A
// replica to which a key that was brought forward is still unknown signs with the one before it for RefreshEvery. KeepAfter
// is twice the hour.
const (
	MaxAge        = 5 * time.Minute
	RefreshEvery  = 30 * time.Second
	PublishBefore = 10 * time.Minute
	KeepAfter     = 2 * time.Hour
)

// State is where a key stands in its life.
type State string

// The states. All but retired are published and recognised.
const (
	Next       State = "next"       // published, and signs later
	Active     State = "active"     // signs: exactly one of each algorithm
	Superseded State = "superseded" // signs no more; published until the last of its tokens is dead
	Retired    State = "retired"    // by the operator: neither published nor recognised from that moment on
)

// Status is what everybody may know about a key.
type Status struct {
	KID         string    `json:"kid"`
	Alg         jose.Alg  `json:"alg"`
	State       State     `json:"state"`
	CreatedAt   time.Time `json:"created_at"`
	ActivatesAt time.Time `json:"activates_at"`
	// PublishedUntil is when the key leaves, or left, the key set; zero while no successor is known.
	PublishedUntil time.Time `json:"published_until,omitzero"`
}

// Statuses tells what each key is at now.
func Statuses(keys []Sealed, now time.Time) []Status {
	all := []Status{}
	for _, k := range keys {
		line := succession(keys, k.Alg)
		signs := signing(line, now)
		s := Status{KID: k.KID, Alg: k.Alg, CreatedAt: k.CreatedAt.UTC(), ActivatesAt: k.ActivatesAt.UTC()}
		place := slices.IndexFunc(line, func(other Sealed) bool { return other.KID == k.KID })
		switch {
		case k.RetiredAt != nil:
			s.State, s.PublishedUntil = Retired, k.RetiredAt.UTC()
		case place > signs:
			s.State = Next
		case place == signs:
			s.State = Active
		default:
			s.State = Superseded
		}
		if k.RetiredAt == nil && place+1 < len(line) {
			s.PublishedUntil = line[place+1].ActivatesAt.Add(KeepAfter).UTC()
		}
		all = append(all, s)
	}
	return all
}

// published tells whether the key set holds a key at now that is not retired.
func (s Status) published(now time.Time) bool {
	return s.PublishedUntil.IsZero() || now.Before(s.PublishedUntil)
}

// gone tells whether nothing can need the key's row any more. A retired one stays for the operator to see, for as long as
// a superseded one would.
func (s Status) gone(now time.Time) bool {
	if s.State == Retired {
		return !now.Before(s.PublishedUntil.Add(KeepAfter))
	}
	return !s.published(now)
}

// succession is the keys of an algorithm in the order in which they sign, without the retired.
func succession(keys []Sealed, alg jose.Alg) []Sealed {
	var line []Sealed
	for _, k := range keys {
		if k.Alg == alg && k.RetiredAt == nil {
			line = append(line, k)
		}
	}
	slices.SortFunc(line, func(a, b Sealed) int {
		return cmp.Or(a.ActivatesAt.Compare(b.ActivatesAt), a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.KID, b.KID))
	})
	return line
}

// signing is the place in the succession of the key that signs at now: the last whose time has come. Before all of them
// it is the first, so that a replica whose clock is behind can use a key that another has just made.
func signing(line []Sealed, now time.Time) int {
	signs := 0
	for i, k := range line {
		if !k.ActivatesAt.After(now) {
			signs = i
		}
	}
	return signs
}

// rule judges what is to be done with the keys at now.
type rule func(keys []Sealed, now time.Time) plan

// plan is what is to be done.
type plan struct {
	create  map[jose.Alg]time.Time // new keys, and from when on they sign
	change  []Sealed               // keys with other times
	drop    []string               // kids of keys that are gone
	refusal error                  // why nothing is done
}

func (p plan) empty() bool { return len(p.create)+len(p.change)+len(p.drop) == 0 }

// missing wants a key for each algorithm that has none. It signs at once: nobody can hold a copy of the set without it.
func missing(algs []jose.Alg) rule {
	return func(keys []Sealed, now time.Time) plan {
		p := plan{create: map[jose.Alg]time.Time{}}
		for _, alg := range algs {
			if len(succession(keys, alg)) == 0 {
				p.create[alg] = now
			}
		}
		return p
	}
}

// turning wants a next key in time for the changeover at the age of rotation (0: never), and what is gone deleted.
func turning(rotation time.Duration, algs []jose.Alg) rule {
	return func(keys []Sealed, now time.Time) plan {
		p := missing(algs)(keys, now)
		p.drop = gone(keys, now)
		for _, alg := range algs {
			line := succession(keys, alg)
			if rotation == 0 || len(line) == 0 {
				continue
			}
			signs, next := signing(line, now), now.Add(PublishBefore)
			if !next.Before(line[signs].ActivatesAt.Add(rotation)) {
				p.follow(line, signs, next)
			}
		}
		return p
	}
}

// rotating wants a changeover of each algorithm at a time from now on.
func rotating(in time.Duration, algs []jose.Alg) rule {
	return func(keys []Sealed, now time.Time) plan {
		p := missing(algs)(keys, now)
		for _, alg := range algs {
			if line := succession(keys, alg); len(line) > 0 {
				p.follow(line, signing(line, now), now.Add(in))
			}
		}
		return p
	}
}

// Why Retire refuses.
var (
	ErrUnknownKey = errors.New("there is no signing key with this kid")
	ErrKeySigns   = errors.New("the key signs now, and needs another in its place")
)

// retiring wants one key out of the set. The one that signs goes only when another takes its place at the same moment: not
// the one before it, which verifiers may have dropped.
func retiring(kid string, replace bool) rule {
	return func(keys []Sealed, now time.Time) plan {
		i := slices.IndexFunc(keys, func(k Sealed) bool { return k.KID == kid })
		if i < 0 {
			return plan{refusal: ErrUnknownKey}
		}
		k := keys[i]
		if k.RetiredAt != nil {
			return plan{}
		}
		// Whoever is gone already must not come back to life when its successor retires.
		p := plan{create: map[jose.Alg]time.Time{}, drop: gone(keys, now)}
		line := succession(keys, k.Alg)
		if signs := signing(line, now); line[signs].KID == kid {
			if !replace {
				return plan{refusal: ErrKeySigns}
			}
			p.follow(line, signs, now)
		}
		k.RetiredAt = &now
		p.change = append(p.change, k)
		return p
	}
}

// follow wants the key that signs followed by another at a time. One that waits already is brought forward if need be, and
// only where none waits one is made, so that nobody can pile up keys. The follower's time lies behind that of the key that
// signs even if a clock ahead of ours made it.
func (p *plan) follow(line []Sealed, signs int, at time.Time) {
	if first := line[signs].ActivatesAt.Add(time.Microsecond); at.Before(first) {
		at = first
	}
	if signs+1 == len(line) {
		p.create[line[signs].Alg] = at
	} else if next := line[signs+1]; at.Before(next.ActivatesAt) {
		next.ActivatesAt = at
		p.change = append(p.change, next)
	}
}

// gone are the kids whose rows nothing can need any more.
func gone(keys []Sealed, now time.Time) []string {
	var kids []string
	for _, s := range Statuses(keys, now) {
		if s.gone(now) {
			kids = append(kids, s.KID)
		}
	}
	return kids
}
