package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"authserver/internal/accesstoken"
	"authserver/internal/flow"
	"authserver/internal/keys"
)

// rotationAge is how often the keys of KY-01 rotate: as often as the settings allow.
const rotationAge = 24 * time.Hour

// rotationUnderLoad rotates twenty times, under requests at three replicas. Verifiers use their copy of the key set until
// its Cache-Control has run out, and not a moment less: whatever the replicas sign meanwhile, it must hold the key.
func rotationUnderLoad(t *testing.T, _ *deployment) {
	d := deploy(t, 3, nil)
	l := d.startLoad()
	signers := map[string]bool{d.signer("ES256"): true}
	for i := range 20 {
		const worn = 20 * time.Second // how long copies of the key set are still good when the next key is made
		l.pass(rotationAge - keys.PublishBefore - keys.MaxAge + worn)
		l.pass(keys.MaxAge - worn)
		turns := d.replicas[i%3 : i%3+1]
		if i == 0 {
			turns = d.replicas // all three find it due at once
		}
		var turning sync.WaitGroup
		for _, a := range turns {
			turning.Go(func() {
				if _, err := a.keys.Turn(t.Context(), rotationAge); err != nil {
					t.Error(err)
				}
			})
		}
		turning.Wait()
		l.pass(keys.RefreshEvery - time.Second) // nobody else has read it yet, and copies are fetched again
		d.refreshKeys()
		l.pass(keys.MaxAge - time.Second) // they are in their last second
		l.pass(keys.PublishBefore - keys.MaxAge - keys.RefreshEvery + time.Second)
		before := l.hourTokens()
		d.clock.advance(2 * time.Second) // over the changeover, with requests in flight
		l.round()
		signers[d.signer("ES256")] = true
		l.pass(time.Hour - time.Minute) // the clock runs on while they are looked at
		l.wantAlive(before)
	}
	l.stop()
	d.clock.advance(keys.KeepAfter)
	done, err := d.replicas[0].keys.Turn(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if left := len(d.replicas[0].keys.Keys()); len(done.Deleted) != 3 || left != 3 || len(signers) != 21 {
		t.Errorf("at the end %d keys were deleted and %d are left; %d have signed", len(done.Deleted), left, len(signers))
	}
}

// signer is the kid that signs with an algorithm now.
func (d *deployment) signer(alg string) string {
	for _, s := range d.replicas[0].keys.Keys() {
		if s.State == keys.Active && string(s.Alg) == alg {
			return s.KID
		}
	}
	d.t.Fatalf("nobody signs %s", alg)
	return ""
}

// refreshKeys has every replica read the keys, as each does every keys.RefreshEvery.
func (d *deployment) refreshKeys() {
	d.t.Helper()
	for _, a := range d.replicas {
		if err := a.keys.Refresh(d.t.Context()); err != nil {
			d.t.Fatal(err)
		}
	}
}

// load is a worker for each replica, who goes through rounds of requests until it is stopped.
type load struct {
	*deployment
	workers []*worker
	time    sync.RWMutex // a round goes by without a leap of time
	stop    func()
}

// worker is a client at one replica, whose tokens another replica introspects and a verifier checks.
type worker struct {
	load       *load
	client     *flow.Client
	introspect *flow.Client
	verifier   verifier
	rounds     atomic.Int64 // begun
}

// verifier is a resource server with a copy of the key set.
type verifier struct {
	server *flow.Server
	now    func() time.Time
	keys   []flow.JWK
	until  time.Time // the copy is used
}

func (d *deployment) startLoad() *load {
	d.t.Helper()
	l := &load{deployment: d}
	c := d.register(0)
	done := make(chan struct{})
	var running sync.WaitGroup
	for i := range d.replicas {
		l.workers = append(l.workers, &worker{load: l, client: d.at(c, i), introspect: d.at(c, (i+1)%3),
			verifier: verifier{server: d.server((i + 2) % 3), now: d.clock.now}})
	}
	for _, w := range l.workers {
		running.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if err := w.round(d.t.Context()); err != nil && d.t.Context().Err() == nil {
					d.t.Error(err)
					return
				}
			}
		})
	}
	l.stop = sync.OnceFunc(func() { close(done); running.Wait() })
	d.t.Cleanup(l.stop)
	return l
}

// pass lets time pass between two rounds. Who sleeps for longer than replicas do finds that they have read the keys.
func (l *load) pass(d time.Duration) {
	l.t.Helper()
	l.time.Lock()
	l.clock.advance(d)
	if d >= keys.RefreshEvery {
		l.refreshKeys()
	}
	l.time.Unlock()
	l.round()
}

// round waits until every worker has gone through a whole round from now on.
func (l *load) round() {
	l.t.Helper()
	begun := make([]int64, len(l.workers))
	l.time.Lock()
	for i, w := range l.workers {
		begun[i] = w.rounds.Load()
	}
	l.time.Unlock()
	for i, w := range l.workers {
		eventually(l.t, "a round of the load", func() bool { return l.t.Failed() || w.rounds.Load() > begun[i] })
	}
	if l.t.Failed() {
		l.t.FailNow()
	}
}

// round asks for a token, verifies it, introspects it elsewhere, and verifies the signed answer.
func (w *worker) round(ctx context.Context) error {
	w.load.time.RLock()
	defer w.load.time.RUnlock()
	token, err := w.client.Token(ctx, nil)
	if err != nil {
		return err
	}
	w.rounds.Add(1)
	return w.alive(ctx, token.AccessToken)
}

// alive wants a token to be good, for a verifier with its copy of the key set, and for another replica.
func (w *worker) alive(ctx context.Context, token string) error {
	if err := w.verifier.verify(ctx, token); err != nil {
		return err
	}
	e, err := w.introspect.Server.Do(ctx, w.introspect.IntrospectRequest(token).SetHeader("Accept", introspectionMedia))
	if err != nil {
		return err
	}
	answer, err := flow.Decode(e.ResponseBody)
	if err != nil {
		return fmt.Errorf("%s: %w", e.Outcome(), err)
	}
	if content, _ := answer.Claims["token_introspection"].(map[string]any); content["active"] != true {
		return fmt.Errorf("a good token is not active: %v", answer.Claims)
	}
	return w.verifier.verify(ctx, e.ResponseBody)
}

// verify checks a signature with the copy at hand, which is fetched again when it has run out, and only then.
func (v *verifier) verify(ctx context.Context, compact string) error {
	if now := v.now(); !now.Before(v.until) {
		e, err := v.server.Do(ctx, &flow.Request{Method: http.MethodGet, URL: v.server.Metadata.JWKSURI})
		if err != nil {
			return err
		}
		var seconds int
		var set struct{ Keys []flow.JWK }
		_, headerErr := fmt.Sscanf(e.ResponseHeader.Get("Cache-Control"), "public, max-age=%d", &seconds)
		if err := errors.Join(headerErr, json.Unmarshal([]byte(e.ResponseBody), &set)); err != nil {
			return err
		}
		v.keys, v.until = set.Keys, now.Add(time.Duration(seconds)*time.Second)
	}
	decoded, err := flow.Decode(compact)
	if err != nil {
		return err
	}
	return decoded.Verify(v.keys)
}

// hourTokens are tokens of every replica, signed now, that live as long as any may.
func (l *load) hourTokens() []string {
	l.t.Helper()
	var tokens []string
	for _, a := range l.replicas {
		token, _, err := a.server.Token.Tokens.Issue(accesstoken.Token{
			Subject: l.workers[0].client.ID, ClientID: l.workers[0].client.ID, Audience: l.config.resources,
		}, time.Hour, l.clock.now())
		if err != nil {
			l.t.Fatal(err)
		}
		tokens = append(tokens, token)
	}
	return tokens
}

// wantAlive wants all tokens to be good for everybody.
func (l *load) wantAlive(tokens []string) {
	l.t.Helper()
	l.time.Lock() // the workers' verifiers are this one's
	defer l.time.Unlock()
	for _, w := range l.workers {
		for _, token := range tokens {
			if err := w.alive(l.t.Context(), token); err != nil {
				l.t.Errorf("just before it expires: %v", err)
			}
		}
	}
}
