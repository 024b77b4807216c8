package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"authserver/internal/jose"

	"github.com/maypok86/otter/v2"
)

// The life of a fetched key set.
const (
	minMaxAge     = time.Minute
	defaultMaxAge = 5 * time.Minute
	maxMaxAge     = 10 * time.Minute

	// staleLimit is how long the last good set serves while its host is down.
	staleLimit = time.Hour
	// unknownKidEvery bounds the fetches that an unknown kid, or a key that is not there, may cause.
	unknownKidEvery = 30 * time.Second
	// retryEvery bounds the attempts while a host is down.
	retryEvery = 5 * time.Second
)

// KeySource is where somebody's keys are: in the record, or behind a jwks_uri. The zero KeySource has none.
type KeySource struct {
	Owner   Owner
	ID      string // of the owner; of one kind no two share one
	Version int64  // of the record, whose change may be one of its keys
	JWKS    json.RawMessage
	JWKSURI string         // "": the keys stand in the record
	Last    *FetchedKeySet // the last good set from a jwks_uri, or nil
}

// Owner is what sort of owner a KeySource has, in the words of the log.
type Owner string

// The owners of key sets that this server verifies with.
const (
	OfClient Owner = "client"
	OfIssuer Owner = "issuer" // of assertions that are grants (RFC 7523 §2.1)
)

// SaveKeySet stores the last good set of an owner beside its record, without changing the record's version.
type SaveKeySet func(ctx context.Context, id string, set FetchedKeySet) error

// Observer is told of the key sets that stand behind a jwks_uri, for the metrics. It must not block.
type Observer interface {
	// Fetched is told of every fetch.
	Fetched(result FetchResult, took time.Duration)
	// ServedStale is told of every request that was judged, and of every answer that is encrypted, by a set past its age.
	ServedStale()
}

// KeySets are the key sets of owners of one kind, inline and remote, parsed and kept.
type KeySets struct {
	fetcher *Fetcher
	save    SaveKeySet
	told    Observer
	log     *slog.Logger
	now     func() time.Time
	cache   *otter.Cache[string, *keySet]
}

// NewKeySets keeps the sets of up to 4,096 owners.
func NewKeySets(f *Fetcher, save SaveKeySet, o Observer, log *slog.Logger, now func() time.Time) *KeySets {
	return &KeySets{fetcher: f, save: save, told: o, log: log, now: now, cache: otter.Must(&otter.Options[string, *keySet]{MaximumSize: maxRecords})}
}

// keySet is one owner's keys. For a jwks_uri it remembers when to ask again.
type keySet struct {
	owner   Owner
	id      string
	version int64  // of the record that inline keys came from
	uri     string // "": inline

	mu        sync.Mutex
	set       jose.KeySet
	fetchedAt time.Time // zero: never answered
	expires   time.Time
	failedAt  time.Time // of the last attempt, if that failed
	kidAt     time.Time // of the last fetch for an unknown kid
	flight    chan struct{}
}

// Verify returns the claims of a token if one of the source's keys signed it, with the algorithm that its owner registered
// for such tokens; "": any. The error tells of our records and of the owner's host: it is for the log. There is one signature
// check in any case, with a decoy where there is no key, so that time does not tell of them.
func (k *KeySets) Verify(ctx context.Context, from KeySource, token *jose.JWS, registered jose.Alg, now time.Time) (
	jose.Object, error) {
	var keys []*jose.Key
	why := fmt.Sprintf("signed with %s, registered for %s", token.Header().Alg, registered)
	if registered == "" || registered == token.Header().Alg {
		keys, why = k.keys(ctx, from, token.Header(), now)
	}
	if len(keys) == 0 {
		_, _ = token.Verify(decoy(token.Header().Alg))
		return jose.Object{}, errors.New(why)
	}
	return token.Verify(keys...)
}

// keys are those of the source that may have signed a token with this header, or the private reason why there are none.
func (k *KeySets) keys(ctx context.Context, from KeySource, h jose.Header, now time.Time) (keys []*jose.Key, why string) {
	s := k.find(from)
	usable := k.look(ctx, s, now, func(set jose.KeySet) bool {
		keys = set.Select(h, maxTrials)
		return len(keys) > 0
	})
	switch {
	case !usable:
		return nil, "the jwks_uri gives no key set"
	case s.uri == "":
		return keys, "no such key in the registered jwks"
	}
	return keys, "no such key behind the jwks_uri"
}

// look shows the set to choose, which tells whether it has found there what it wants. A set behind a jwks_uri is fetched
// before that when its time has come, and again when choose wants what it does not have; the last that choose saw counts.
// usable is false when there is no set to look at.
func (k *KeySets) look(ctx context.Context, s *keySet, now time.Time, choose func(jose.KeySet) (found bool)) (usable bool) {
	if s.uri == "" {
		choose(s.set)
		return true
	}
	k.refresh(ctx, s, now, s.ageDue)
	found, usable := s.show(now, choose)
	if usable && !found {
		k.refresh(ctx, s, now, s.kidDue)
		_, usable = s.show(now, choose)
	}
	if usable && s.old(now) {
		k.told.ServedStale()
	}
	return usable
}

// find returns the kept set of a source, made anew when its owner's record names other keys. Requests that come together get
// the same one, so that they share its fetch.
func (k *KeySets) find(from KeySource) *keySet {
	if s, ok := k.cache.GetIfPresent(from.ID); ok && s.serves(from) {
		return s
	}
	s, _ := k.cache.Compute(from.ID, func(kept *keySet, found bool) (*keySet, otter.ComputeOp) {
		if found && kept.serves(from) {
			return kept, otter.CancelOp
		}
		return newKeySet(from), otter.WriteOp
	})
	return s
}

// serves tells whether the set is the one that the record names. What a client's jwks_uri gave outlives a change of its record
// that leaves the URI. What an issuer's gave does not: an issuer may have been removed, and added again with other keys there.
func (s *keySet) serves(from KeySource) bool {
	return s.uri == from.JWKSURI && (s.version == from.Version || s.uri != "" && from.Owner == OfClient)
}

// newKeySet begins with what the record holds: its inline keys, or the last good set.
func newKeySet(from KeySource) *keySet {
	s := &keySet{owner: from.Owner, id: from.ID, version: from.Version, uri: from.JWKSURI}
	if s.uri == "" {
		s.set, _ = jose.ParseKeySet(from.JWKS, MaxKeys) // a record with a set that does not parse was refused
	} else if last := from.Last; last != nil && last.URI == s.uri {
		if set, err := jose.ParseKeySet(last.Raw, MaxKeys); err == nil {
			s.set, s.fetchedAt, s.expires = set, last.At, last.At.Add(defaultMaxAge)
		}
	}
	return s
}

// ageDue tells whether the set is due for its ordinary fetch, while its host is not being left alone. A request does not
// wait for a host that failed last time if the set that we have will do. The caller holds s.mu.
func (s *keySet) ageDue(now time.Time) (fetch, wait bool) {
	fetch = !now.Before(s.expires) && now.Sub(s.failedAt) >= retryEvery
	return fetch, s.failedAt.IsZero() || !s.usable(now)
}

// kidDue tells whether an unknown kid, or a key for encryption that is not there, may cause a fetch, and counts it. One that
// is under way will do, and costs nothing. The caller holds s.mu.
func (s *keySet) kidDue(now time.Time) (fetch, wait bool) {
	if s.flight != nil {
		return true, true
	}
	if now.Sub(s.kidAt) < unknownKidEvery || now.Sub(s.failedAt) < retryEvery {
		return false, false
	}
	s.kidAt = now
	return true, true
}

// usable tells whether there is a set that is not too old, even for a host that is down. The caller holds s.mu.
func (s *keySet) usable(now time.Time) bool {
	return !s.fetchedAt.IsZero() && now.Sub(s.fetchedAt) < staleLimit
}

// old tells whether the set is past its age.
func (s *keySet) old(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !now.Before(s.expires)
}

// show has choose look at the set, if there is one that is not too old.
func (s *keySet) show(now time.Time, choose func(jose.KeySet) bool) (found, usable bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.usable(now) {
		return false, false
	}
	return choose(s.set), true
}

// refresh fetches a set that is due, or joins the fetch that is under way. Asking whether it is due and beginning the
// fetch are one step, so that of requests that come together one begins it and none slips past. The fetch does not end
// with the request that began it, since others wait for it too.
func (k *KeySets) refresh(ctx context.Context, s *keySet, now time.Time, due func(time.Time) (fetch, wait bool)) {
	s.mu.Lock()
	fetch, wait := due(now)
	done := s.flight
	if fetch && done == nil {
		done = make(chan struct{})
		s.flight = done
		go k.fly(context.WithoutCancel(ctx), s, done)
	}
	s.mu.Unlock()
	if fetch && wait {
		select {
		case <-done:
		case <-ctx.Done():
		}
	}
}

// fly does one fetch and keeps what came of it.
func (k *KeySets) fly(ctx context.Context, s *keySet, done chan struct{}) {
	s.mu.Lock()
	answeredBefore := !s.fetchedAt.IsZero()
	s.mu.Unlock()
	began := k.now()
	got, err := k.fetcher.fetch(ctx, s.uri, answeredBefore)
	var set jose.KeySet
	if err == nil {
		if set, err = jose.ParseKeySet(got.raw, MaxKeys); err != nil {
			err = unusable{err}
		}
	}
	at := k.now()
	k.told.Fetched(resultOf(err), at.Sub(began))
	s.mu.Lock()
	if err != nil {
		s.failedAt = at
	} else {
		s.set, s.fetchedAt, s.expires, s.failedAt = set, at, at.Add(got.maxAge), time.Time{}
	}
	s.flight = nil
	close(done)
	s.mu.Unlock()

	if err != nil {
		k.warn(s, "key set not fetched", "cause", err.Error())
		return
	}
	if slices.ContainsFunc(set.Skipped, func(skipped jose.Skipped) bool { return skipped.Defect.Kind == jose.PrivateKey }) {
		// The database holds no secret of anybody in clear, not even one that its owner publishes.
		k.warn(s, "publishes a private or symmetric key, which is not used; its key set is not stored")
		return
	}
	if err := k.save(ctx, s.id, FetchedKeySet{URI: s.uri, Raw: got.raw, At: began}); err != nil {
		k.warn(s, "key set not stored", "cause", err.Error())
	}
}

// warn logs what is wrong with somebody's set.
func (k *KeySets) warn(s *keySet, what string, details ...any) {
	owner := string(s.owner)
	k.log.Warn(owner+" "+what, append([]any{owner + "_id", s.id}, details...)...)
}
