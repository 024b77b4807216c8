package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"time"

	"authserver/internal/oauth"
	"authserver/internal/person"
)

// checkLogin tells who signs people in, and whether they can.
func (e *examination) checkLogin(ctx context.Context) {
	switch e.config.login {
	case loginOff:
		e.found("login", passed, "off: clients act for themselves only, and no person can say yes", "")
	case loginOIDC:
		e.checkUpstream(ctx)
	case loginBuiltin:
		e.checkBuiltin(ctx)
	default:
		e.found("login", skipped, "the setting login cannot be read", "")
	}
}

// checkUpstream departs as a browser would, as far as what the OpenID provider publishes; nobody signs in.
func (e *examination) checkUpstream(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, e.timeout)
	defer cancel()
	settings := e.config.upstream
	settings.RedirectURL, settings.Key = callbackURL(e.config.issuer), make([]byte, sha256.Size)
	upstream, err := person.NewUpstream(settings)
	if err == nil {
		_, err = upstream.Depart(ctx, person.Wish{}, "doctor", time.Now())
	}
	if refusal, ok := errors.AsType[*oauth.Error](err); ok && refusal.Cause != nil {
		err = refusal.Cause
	}
	if err != nil {
		e.found("login", failed, err.Error(), "the OpenID provider must be reachable from here, and its metadata name exactly "+settings.Issuer)
		return
	}
	e.found("login", passed, fmt.Sprintf("people sign in at %s, which knows this server as %s", settings.Issuer, settings.ClientID), "")
}

// checkBuiltin finds out whether there is anybody who could sign in.
func (e *examination) checkBuiltin(ctx context.Context) {
	if !e.needsDatabase("login") {
		return
	}
	people, err := e.store.People(ctx)
	able := slices.ContainsFunc(people, func(p person.Person) bool { return p.PasswordHash != "" && p.DisabledAt == nil })
	switch {
	case err != nil:
		e.found("login", failed, err.Error(), "")
	case !able:
		e.found("login", warning, "builtin, and nobody can sign in yet", "authserver user add")
	case e.dev:
		e.found("login", passed, "builtin: people sign in with a password that is kept here", "")
	default:
		e.found("login", warning, "builtin: people sign in with a password alone; there is no second factor and no recovery",
			"where there is an OpenID provider, name it: AUTHSERVER_LOGIN_OIDC_ISSUER")
	}
}
