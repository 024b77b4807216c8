package token

import (
	"context"
	"slices"
	"time"

	"authserver/internal/accesstoken"
	"authserver/internal/client"
	"authserver/internal/fdx"
	"authserver/internal/grant"
	"authserver/internal/oauth"
)

// redemption turns a request that has been judged, and spent, into what it gives. It may change the store, so it runs once.
type redemption func(context.Context) (granted, error)

// granted is what a request gives.
type granted struct {
	token        accesstoken.Token
	details      fdx.Details   // that the token may be used for, whether or not they fit into it
	until        time.Time     // the end of the person's grant, which no token outlives; zero: there is no person
	refreshToken string        // "": none
	lives        time.Duration // of the access token; 0: as long as tokens of the client

	idToken idToken
}

// lifetime is that of the access token: as long as tokens of the client live, but not beyond the grant.
func (g granted) lifetime(usual time.Duration, now time.Time) time.Duration {
	if g.until.IsZero() {
		return usual
	}
	return min(usual, g.until.Sub(now))
}

// wanted is what a token request asks for of a grant; what is nil asks for all of it.
type wanted struct {
	scope     oauth.Scope
	details   fdx.Details
	resources []string

	seal  seal   // of the ID token that comes with it
	nonce string // that the ID token must bear; "": none
}

// ofPerson is what a person's grant gives the client at now. Access is what both scope and details give, so each narrows the
// other. A grant that ends within the second gives nothing: exp is in whole seconds.
func (e *Endpoint) ofPerson(c client.Client, g grant.Grant, want wanted, now time.Time) (granted, error) {
	scope, err := ofScope(g, c, want.scope)
	if err != nil {
		return granted{}, err
	}
	details, err := g.Share(want.details)
	if err != nil {
		return granted{}, err
	}
	asked := scope
	details, scope = details.Intersect(scope)
	if len(scope) == 0 || asked.OpensData() && !scope.OpensData() || len(want.details) > 0 && len(details) == 0 {
		return granted{}, oauth.Refuse(oauth.GrantScope, "scope and authorization_details have nothing in common that the person granted")
	}
	audience, err := e.ofResources(g, want.resources)
	if err != nil {
		return granted{}, err
	}
	if g.ExpiresAt.Sub(now) < time.Second {
		return granted{}, oauth.Refuse(oauth.GrantEnded, "what the person granted ends within this second")
	}
	idToken, err := e.idTokenOf(c, g, scope, want, now)
	if err != nil {
		return granted{}, err
	}
	token := accesstoken.Token{
		Subject: g.Subject, ClientID: c.ID, Audience: audience, Scope: scope.String(),
		GrantID: g.ID, ConsentID: g.ConsentID(), AuthTime: g.AuthTime.Unix(), ACR: g.ACR, AMR: g.AMR,
	}
	if details.FitToken() {
		token.Details = details
	}
	return granted{token: token, details: details, until: g.ExpiresAt, idToken: idToken}, nil
}

// ofScope is the part of a grant's scope that the request asks for and that the client is still registered for.
func ofScope(g grant.Grant, c client.Client, requested oauth.Scope) (oauth.Scope, error) {
	scope, _ := oauth.ParseScope(g.Scope) // it was parsed when it was granted
	if requested.Beyond(scope) != "" {
		return nil, oauth.Refuse(oauth.GrantScope, "scope goes beyond what the person granted: %s", scope)
	}
	registered := c.Scope()
	scope = slices.DeleteFunc(scope, func(s string) bool {
		return !registered.Has(s) || len(requested) > 0 && !requested.Has(s)
	})
	if len(scope) == 0 {
		return nil, oauth.Refuse(oauth.GrantEnded, "the client is registered for nothing of what the person granted: %s", g.Scope)
	}
	return scope, nil
}

// ofResources is the part of a grant's resources that the request asks for and that this server still issues tokens for.
func (e *Endpoint) ofResources(g grant.Grant, requested []string) (accesstoken.Audience, error) {
	resources, ok := g.Audience(requested, e.Resources[0])
	if !ok {
		return nil, oauth.Refuse(oauth.ResourceRefused, "resource goes beyond what the person granted")
	}
	gone := func(r string) bool { return !slices.Contains(e.Resources, r) }
	audience := accesstoken.Audience(slices.DeleteFunc(slices.Clone(resources), gone))
	if len(audience) == 0 {
		return nil, oauth.Refuse(oauth.ResourceRefused, "this server no longer issues tokens for any resource that was granted")
	}
	return audience, nil
}
