package oauth

import (
	"net/http"
	"net/netip"
	"time"
)

// Peer is who opened the connection, for logs and limits: its address, for IPv6 the /64 that one subscriber holds.
// Forwarded headers are not believed.
func Peer(r *http.Request) string {
	address, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	ip := address.Addr().Unmap()
	if ip.Is6() {
		if subscriber, err := ip.WithZone("").Prefix(64); err == nil {
			return subscriber.String()
		}
	}
	return ip.String()
}

// Limit counts events by key and tells whether one was too many. A nil Limit is none.
type Limit interface {
	// Reached tells, and counts nothing, whether one event more would be too many.
	Reached(key string) (retryAfter time.Duration, reached bool)
	Exceeded(key string) (retryAfter time.Duration, exceeded bool)
}

// WithinLimit returns the refusal of an event that would be one too many, and counts nothing: for whoever must refuse before
// anything is spent, and count what has been.
func WithinLimit(l Limit, key string) error {
	if l == nil {
		return nil
	}
	return limited(l.Reached(key))
}

// Limited counts an event and returns the refusal when it was one too many.
func Limited(l Limit, key string) error {
	if l == nil {
		return nil
	}
	return limited(l.Exceeded(key))
}

func limited(retryAfter time.Duration, tooMany bool) error {
	if !tooMany {
		return nil
	}
	refusal := Refuse(RateLimited, "too many requests of this kind; come back after %.0f s", retryAfter.Seconds())
	refusal.RetryAfter = retryAfter
	return refusal
}
