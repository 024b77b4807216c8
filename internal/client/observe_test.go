package client

import (
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// Every fetch is told once, with how it ended and how long it took.
func TestFetchIsObserved(t *testing.T) {
	key := ecSigner("k1")
	for name, test := range map[string]struct {
		answer http.HandlerFunc
		closed bool
		uri    string // "": the host's
		want   FetchResult
	}{
		"a key set":         {serves(jwks(key)), false, "", FetchOK},
		"no JSON":           {serves("<html>"), false, "", FetchUnusable},
		"another status":    {fails, false, "", FetchUnusable},
		"compressed":        {serves(jwks(key), "Content-Encoding", "gzip"), false, "", FetchUnusable},
		"nobody listens":    {nil, true, "", FetchFailed},
		"a private address": {nil, false, "https://10.0.0.1/jwks", FetchRefused},
		"another port":      {nil, false, "https://192.0.9.1:22/jwks", FetchRefused},
	} {
		t.Run(name, func(t *testing.T) {

			h := newHost(t, test.answer)
			if test.closed {
				h.Close()
			}
			if test.uri == "" {
				test.uri = h.URL + "/jwks"
			}
			b := newBench(t, h.vetting(), remote("c1", test.uri))
			b.proves(key, "c1")
			b.land("c1")
			if diff := cmp.Diff(map[FetchResult]int{test.want: 1}, b.watch.fetches); diff != "" || b.watch.stale != 0 {
				t.Errorf("%d stale: %s", b.watch.stale, diff)
			}
		})
	}
}

// A request that is judged by a set past its age is told, each time, and one by a fresh set is not.
func TestStaleSetIsObserved(t *testing.T) {
	key := ecSigner("k1")
	h := newHost(t, serves(jwks(key)))
	b := h.bench(t)
	b.wants("the set is fresh", key, true)
	h.answer(func(w http.ResponseWriter, r *http.Request) {
		b.clock.advance(3 * time.Second)
		fails(w, r)
	})
	b.clock.advance(5 * time.Minute)
	b.wants("the host is down", key, true)
	b.wants("the host is left alone", key, true)
	b.land("c1")
	if b.watch.stale != 2 || b.watch.fetches[FetchUnusable] != 1 || b.watch.took != 3*time.Second {
		t.Errorf("%+v", b.watch)
	}
	h.answer(serves(jwks(key)))
	b.clock.advance(retryEvery)
	b.wants("the host is back", key, true)
	b.land("c1")
	before := b.watch.stale
	b.wants("the set is fresh again", key, true)
	if b.watch.stale != before {
		t.Error("a fresh set counts as stale")
	}
}
