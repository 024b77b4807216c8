package oauth_test

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"authserver/internal/oauth"
)

func TestPeer(t *testing.T) {
	for remote, want := range map[string]string{
		"203.0.113.7:1234":          "203.0.113.7",
		"[::ffff:203.0.113.7]:1234": "203.0.113.7",
		"[2001:db8:1:2:3::4]:1234":  "2001:db8:1:2::/64",
		"[fe80::1%eth0]:1234":       "fe80::/64",
		"@":                         "@", // a Unix socket
	} {
		r := post(formType, "")
		r.RemoteAddr = remote
		r.Header.Set("X-Forwarded-For", "198.51.100.1")
		if got := oauth.Peer(r); got != want {
			t.Errorf("%s: %s, want %s", remote, got, want)
		}
	}
}

// allowance lets the first n events of every key pass.
type allowance map[string]int

func (a allowance) Reached(key string) (time.Duration, bool) {
	return 1500 * time.Millisecond, a[key] < 1
}

func (a allowance) Exceeded(key string) (time.Duration, bool) {
	a[key]--
	return 1500 * time.Millisecond, a[key] < 0
}

func TestLimited(t *testing.T) {
	if err := errors.Join(oauth.Limited(nil, "a"), oauth.WithinLimit(nil, "a")); err != nil {
		t.Errorf("no limit: %v", err)
	}
	limit := allowance{"a": 2, "b": 2}
	for i, want := range []oauth.Reason{"", "", oauth.RateLimited} {
		for range 2 { // which counts nothing
			if got := reason(t, oauth.WithinLimit(limit, "a")); got != want {
				t.Errorf("before event %d: %q", i+1, got)
			}
		}
		if got := reason(t, oauth.Limited(limit, "a")); got != want {
			t.Errorf("event %d: %q", i+1, got)
		}
	}
	if err := oauth.Limited(limit, "b"); err != nil {
		t.Errorf("another key: %v", err)
	}
	refusal, _ := errors.AsType[*oauth.Error](oauth.Limited(limit, "a"))
	if w := written(t, refusal); w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") != "2" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
}
