package main

import (
	"time"

	"authserver/internal/client"
	"authserver/internal/fdx"
	"authserver/internal/grant"
)

// consentSettings are how long what people allow lasts.
type consentSettings struct {
	ConsentLifetime string `placeholder:"DURATION" help:"How long a consent lasts that names no end of its own, 1h to 8760h."`
}

// fillInConsent sets what dev and serve have in common.
func (s *consentSettings) fillInConsent() {
	s.ConsentLifetime = or(s.ConsentLifetime, "8760h")
}

// life leaves a ONE_TIME consent the time that its code and its one token may need.
func (u *understanding) life(s consentSettings) fdx.Life {
	return fdx.Life{
		Longest: u.duration("consent-lifetime", s.ConsentLifetime, time.Hour, fdx.MaxLife),
		Once:    grant.CodeLifetime + client.MaxTokenLifetime,
	}
}
