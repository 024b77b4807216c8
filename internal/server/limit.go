package server

import (
	"math"
	"net/http"
	"time"

	"github.com/go-chi/httprate"
)

// Limit counts events by key over a sliding minute.
type Limit struct {
	limiter   *httprate.RateLimiter
	perMinute int
}

// limitWindow is what the limits of the settings are per.
const limitWindow = time.Minute

// NewLimit allows perMinute events for each key; with zero it returns nil, which never limits.
func NewLimit(perMinute int) *Limit {
	if perMinute == 0 {
		return nil
	}
	return &Limit{
		limiter:   httprate.NewRateLimiter(perMinute, limitWindow, httprate.WithResponseHeaders(httprate.ResponseHeaders{})),
		perMinute: perMinute,
	}
}

// Exceeded counts an event and tells whether it was one too many, and then after how long to come back.
func (l *Limit) Exceeded(key string) (retryAfter time.Duration, exceeded bool) {
	if l == nil {
		return 0, false
	}
	// The library speaks to requests; all that it needs of one is somewhere to put headers, which are switched off.
	return limitWindow, l.limiter.OnLimit(discard{}, &http.Request{}, key)
}

// Reached tells, and counts nothing, whether one event more would be too many, by the sum that OnLimit does.
func (l *Limit) Reached(key string) (retryAfter time.Duration, reached bool) {
	if l == nil {
		return 0, false
	}
	_, rate, err := l.limiter.Status(key)
	return limitWindow, err != nil || int(math.Round(rate))+1 > l.perMinute
}

// discard is a response writer that keeps nothing.
type discard struct{}

func (discard) Header() http.Header         { return http.Header{} }
func (discard) Write(b []byte) (int, error) { return len(b), nil }
func (discard) WriteHeader(int)             {}
