package main

import (
	"time"

	"authserver/internal/client"
	"authserver/internal/fdx"
	"authserver/internal/grant"
	"authserver/internal/store"
)

// consentSettings are how long what people allow lasts, and for how long it is remembered.
type consentSettings struct {
	ConsentLifetime string `placeholder:"DURATION" help:"How long a consent lasts that names no end of its own, 1h to 8760h."`
	KeepConsents    string `placeholder:"DURATION" help:"How long a consent is kept after its end, with its history, 24h to 87600h."`
	KeepClients     string `placeholder:"DURATION" help:"How long the registration of a deleted client is kept, and while a consent is of it, 24h to 87600h."`
}

// The bounds of what is kept: nobody is at work any more on what was over a day ago, and ten years are for every law.
const (
	leastKept = 24 * time.Hour
	mostKept  = 3650 * 24 * time.Hour
)

// threeYears is for how long 12 CFR 1033.351(d) has a bank keep its records.
const threeYears = "26280h"

// fillInConsent sets what dev and serve have in common.
func (s *consentSettings) fillInConsent() {
	s.ConsentLifetime = or(s.ConsentLifetime, "8760h")
	s.KeepConsents = or(s.KeepConsents, threeYears)
	s.KeepClients = or(s.KeepClients, threeYears)
}

// life leaves a ONE_TIME consent the time that its code and its one token may need.
func (u *understanding) life(s consentSettings) fdx.Life {
	return fdx.Life{
		Longest: u.duration("consent-lifetime", s.ConsentLifetime, time.Hour, fdx.MaxLife),
		Once:    grant.CodeLifetime + client.MaxTokenLifetime,
	}
}

func (u *understanding) retention(s consentSettings) store.Retention {
	return store.Retention{
		Consents: u.duration("keep-consents", s.KeepConsents, leastKept, mostKept),
		Clients:  u.duration("keep-clients", s.KeepClients, leastKept, mostKept),
	}
}
