package client

import (
	"context"
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

// KeySetSaver stores the last good set of a client beside its record, without changing the record's version.
type KeySetSaver interface {
	SaveKeySet(ctx context.Context, clientID string, set FetchedKeySet) error
}

// Observer is told of the key sets that stand behind a jwks_uri, for the metrics. It must not block.
type Observer interface {
	// Fetched is told of every fetch.
	Fetched(result FetchResult, took time.Duration)
	// ServedStale is told of every request that was judged, and of every answer that is encrypted, by a set past its age.
	ServedStale()
}

// KeySets are the key sets of clients, inline and remote, parsed and kept.
type KeySets struct {
	fetcher *Fetcher
	saver   KeySetSaver
	told    Observer
	log     *slog.Logger
	now     func() time.Time
	cache   *otter.Cache[string, *keySet]
}

// NewKeySets keeps the sets of up to 4,096 clients.
func NewKeySets(f *Fetcher, s KeySetSaver, o Observer, log *slog.Logger, now func() time.Time) *KeySets {
	return &KeySets{fetcher: f, saver: s, told: o, log: log, now: now, cache: otter.Must(&otter.Options[string, *keySet]{MaximumSize: maxRecords})}
}

// keySet is one client's keys. For a jwks_uri it remembers when to ask again.
type keySet struct {
	clientID string
	version  int64  // of the record that inline keys came from
	uri      string // "": inline

	mu        sync.Mutex
	set       jose.KeySet
	fetchedAt time.Time // zero: never answered
	expires   time.Time
	failedAt  time.Time // of the last attempt, if that failed
	kidAt     time.Time // of the last fetch for an unknown kid
	flight    chan struct{}
}

// Verify returns the claims of a token if one of the client's keys signed it, with the algorithm that the client registered
// for such tokens; "": any. The error tells of our records and of the client's host: it is for the log.
func (k *KeySets) Verify(ctx context.Context, c Client, token *jose.JWS, registered jose.Alg, now time.Time) (
	jose.Object, error) {
	if registered != "" && registered != token.Header().Alg {
		return jose.Object{}, fmt.Errorf("signed with %s, registered for %s", token.Header().Alg, registered)
	}
	keys, why := k.keys(ctx, c, token.Header(), registered, now)
	if len(keys) == 0 {
		return jose.Object{}, errors.New(why)
	}
	return token.Verify(keys...)
}

// keys are the client's keys that may have signed a token with this header, or the private reason why there are none.
func (k *KeySets) keys(ctx context.Context, c Client, h jose.Header, registered jose.Alg, now time.Time) (
	keys []*jose.Key, why string) {
	s := k.find(c)
	usable := k.look(ctx, s, now, func(set jose.KeySet) bool {
		keys = set.Select(h, registered, maxTrials)
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

// find returns the kept set of a client, made anew when its record names other keys. Requests that come together get the
// same one, so that they share its fetch.
func (k *KeySets) find(c Client) *keySet {
	if s, ok := k.cache.GetIfPresent(c.ID); ok && s.serves(c) {
		return s
	}
	s, _ := k.cache.Compute(c.ID, func(kept *keySet, found bool) (*keySet, otter.ComputeOp) {
		if found && kept.serves(c) {
			return kept, otter.CancelOp
		}
		return newKeySet(c), otter.WriteOp
	})
	return s
}

// serves tells whether the set is the one that the record names.
func (s *keySet) serves(c Client) bool {
	return s.uri == c.Metadata.JWKSURI && (s.uri != "" || s.version == c.Version)
}

// newKeySet begins with what the record holds: its inline keys, or the last good set.
func newKeySet(c Client) *keySet {
	s := &keySet{clientID: c.ID, version: c.Version, uri: c.Metadata.JWKSURI}
	if s.uri == "" {
		s.set, _ = c.inlineKeys() // registration refused a set that does not parse
	} else if last := c.LastKeySet; last != nil && last.URI == s.uri {
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
		k.log.Warn("client key set not fetched", "client_id", s.clientID, "cause", err.Error())
		return
	}
	if slices.ContainsFunc(set.Skipped, func(skipped jose.Skipped) bool { return skipped.Defect.Kind == jose.PrivateKey }) {
		// The database holds no secret of anybody in clear, not even one that its owner publishes.
		k.log.Warn("client publishes a private or symmetric key, which is not used; its key set is not stored",
			"client_id", s.clientID)
		return
	}
	if err := k.saver.SaveKeySet(ctx, s.clientID, FetchedKeySet{URI: s.uri, Raw: got.raw, At: at}); err != nil {
		k.log.Warn("client key set not stored", "client_id", s.clientID, "cause", err.Error())
	}
}
