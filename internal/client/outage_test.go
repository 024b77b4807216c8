package client

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"authserver/internal/oauth"
)

// JK-12: while the host is down the last good set serves, for an hour and no longer.
func TestHostGoesDown(t *testing.T) {
	key := ecSigner("k1")
	h := newHost(t, serves(jwks(key)))
	b := h.bench(t)
	b.wants("the host is up", key, true)
	h.Close()
	b.clock.advance(5 * time.Minute)
	b.wants("JK-12 the set is old and the host is down", key, true)
	b.clock.advance(55*time.Minute - time.Second)
	b.wants("JK-12 an hour after the fetch, less a second", key, true)
	b.land("c1")
	b.clock.advance(time.Second)
	b.wants("JK-12 an hour after the fetch", key, false)
	b.wantLogged("client key set not fetched")
}

// A host that is down is asked at most every five seconds, in the background while the old set will do, and its return is
// noticed.
func TestHostComesBack(t *testing.T) {
	key, next := ecSigner("k1"), ecSigner("k2")
	h := newHost(t, serves(jwks(key)))
	b := h.bench(t)
	b.wants("the host is up", key, true)
	h.answer(fails)
	b.clock.advance(5 * time.Minute)
	b.wants("the host is down", key, true)
	h.wantHits(t, "the host is down", 2)
	for range 4 {
		b.clock.advance(time.Second)
		b.wants("left alone", key, true)
		b.wants("left alone, an unknown kid too", next, false)
	}
	b.land("c1")
	h.wantHits(t, "left alone", 2)
	b.clock.advance(time.Second)
	b.wants("asked again", key, true)
	b.land("c1")
	h.wantHits(t, "asked again", 3)
	h.answer(serves(jwks(next)))
	b.clock.advance(5 * time.Second)
	b.wants("the host is back: this request did not wait for it", key, true)
	b.land("c1")
	b.wants("the new key", next, true)
	b.wants("the old key", key, false)
	h.wantHits(t, "the host is back, and the old kid is unknown now", 5)
}

// While the old set will do, no request waits for a host that failed last time.
func TestNobodyWaitsForADeadHost(t *testing.T) {
	key := ecSigner("k1")
	h := newHost(t, serves(jwks(key)))
	b := h.bench(t)
	b.wants("the host is up", key, true)
	h.answer(fails)
	b.clock.advance(5 * time.Minute)
	b.wants("the host is down", key, true)
	hanging, release := make(chan struct{}), make(chan struct{})
	h.answer(func(w http.ResponseWriter, r *http.Request) {
		close(hanging)
		<-release
		fails(w, r)
	})
	b.clock.advance(5 * time.Second)
	b.wants("the host hangs", key, true)
	if b.flight("c1") == nil {
		t.Error("the request was answered after the fetch, which it waited for")
	}
	<-hanging
	b.wants("the fetch is under way", key, true)
	close(release)
	b.land("c1")
}

// A host that has never answered gives no keys, and is left alone for five seconds too.
func TestHostNeverAnswered(t *testing.T) {
	key := ecSigner("k1")
	h := newHost(t, fails)
	b := h.bench(t)
	b.wants("first contact", key, false)
	h.wantHits(t, "first contact", 1)
	h.answer(serves(jwks(key)))
	b.clock.advance(4 * time.Second)
	b.wants("4 s later", key, false)
	h.wantHits(t, "4 s later", 1)
	b.clock.advance(time.Second)
	b.wants("5 s later", key, true)
	h.wantHits(t, "5 s later", 2)
	b.saved("c1", 1)
	if got := b.shelf.sets(); got != 1 {
		t.Errorf("%d sets were stored, and one was good", got)
	}
}

// JK-13: an answer that is no set changes nothing, but a set without keys is an answer: the client withdrew them.
func TestBadAnswerAfterAGoodOne(t *testing.T) {
	key := ecSigner("k1")
	for name, document := range map[string]string{
		"empty object": `{}`, "array": `[]`, "HTML": `<html>`, "nothing": ``, "half a set": jwks(key)[:20], "21 keys": `{"keys":[` + strings.Repeat("1,", 20) + `1]}`,
		"too large": jwks(key) + strings.Repeat(" ", MaxKeySet),
	} {
		t.Run("JK-13 "+name, func(t *testing.T) {
			h := newHost(t, serves(jwks(key)))
			b := h.bench(t)
			b.wants("the good set", key, true)
			good := b.saved("c1", 1)
			h.answer(serves(document))
			b.clock.advance(5 * time.Minute)
			b.wants("JK-13 the last good set is kept", key, true)
			b.land("c1")
			b.clock.advance(55 * time.Minute)
			b.wants("JK-13 not for ever", key, false)
			if diff := cmp.Diff(good, b.saved("c1", 1)); diff != "" || b.shelf.sets() != 1 {
				t.Errorf("what was stored: %s", diff)
			}
		})
	}
	t.Run("JK-13 no keys", func(t *testing.T) {
		h := newHost(t, serves(jwks(key)))
		b := h.bench(t)
		b.wants("the good set", key, true)
		h.answer(serves(`{"keys":[]}`))
		b.clock.advance(5*time.Minute - time.Second)
		b.wants("within max-age", key, true)
		b.clock.advance(time.Second)
		b.wants("JK-13 withdrawn", key, false)
		h.answer(fails)
		b.clock.advance(time.Minute)
		b.wants("JK-13 and the host being down brings it not back", key, false)
	})
}

// The fetch does not end with the request that began it: others may wait for it, and the next one will need it.
func TestFetchOutlivesItsRequest(t *testing.T) {
	key := ecSigner("k1")
	asked, release := make(chan struct{}), make(chan struct{})
	h := newHost(t, func(w http.ResponseWriter, r *http.Request) {
		close(asked)
		<-release
		serves(jwks(key))(w, r)
	})
	b := h.bench(t)
	ctx, leave := context.WithCancel(t.Context())
	left := make(chan error)
	go func() {
		token, err := parseAssertion(assertionBy(key, "c1", t0))
		if err == nil {
			_, err = b.prove(ctx, token, "c1", t0)
		}
		left <- err
	}()
	<-asked
	leave()
	if err := <-left; reason(t, err) != oauth.ClientNotProven {
		t.Errorf("the request that left: %v", err)
	}
	close(release)
	b.land("c1")
	b.wants("the next request", key, true)
	h.wantHits(t, "the next request", 1)
}

// The last good set is stored with the client, and a restart fetches nothing.
func TestRestart(t *testing.T) {
	key, next := ecSigner("k1"), ecSigner("k2")
	h := newHost(t, serves(jwks(key), "Cache-Control", "max-age=600"))
	b := h.bench(t)
	b.wants("before", key, true)
	set := b.saved("c1", 1)
	if diff := cmp.Diff(FetchedKeySet{URI: h.URL + "/jwks", Raw: []byte(jwks(key)), At: t0}, set); diff != "" {
		t.Fatal(diff)
	}
	h.wantHits(t, "before", 1)
	restarted := func(set FetchedKeySet, after time.Duration) *bench {
		c := remote("c1", h.URL+"/jwks")
		c.LastKeySet = &set
		b := newBench(t, h.vetting(), c)
		b.clock.advance(after)
		return b
	}
	again := restarted(set, 299*time.Second)
	again.wants("after", key, true)
	h.wantHits(t, "after", 1)
	again.clock.advance(time.Second)
	again.wants("after five minutes", key, true)
	h.wantHits(t, "after five minutes", 2)

	h.answer(serves(jwks(next)))
	restarted(set, 0).wants("a new kid right after the restart", next, true)
	h.wantHits(t, "a new kid right after the restart", 3)

	h.answer(fails)
	restarted(set, 59*time.Minute).wants("the host is down", key, true)
	restarted(set, time.Hour).wants("the host is down and the set is an hour old", key, false)
	moved := set
	moved.URI = h.URL + "/elsewhere"
	restarted(moved, 0).wants("the set is of another URI", key, false)
	broken := set
	broken.Raw = []byte("{")
	restarted(broken, 0).wants("the set does not parse", key, false)
	h.answer(serves(jwks(key)))
	restarted(broken, 0).wants("the set does not parse, but the host answers", key, true)
}

// A set that cannot be stored serves all the same.
func TestSetIsNotStored(t *testing.T) {
	key := ecSigner("k1")
	b := newHost(t, serves(jwks(key))).bench(t)
	b.shelf.err = errors.New("the database is down")
	b.wants("the key", key, true)
	b.saved("c1", 1)
	b.wantLogged("client key set not stored")
}
