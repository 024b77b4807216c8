package token

import (
	"context"
	"slices"

	"authserver/internal/accesstoken"
	"authserver/internal/client"
	"authserver/internal/oauth"
)

const clientCredentials = "client_credentials"

// judgeClientCredentials decides what a client gets in its own name (RFC 6749 §4.4): its subject is the client itself,
// and there is never a refresh token or an ID token. A token that is bound to its certificate may live longer than others.
func (e *Endpoint) judgeClientCredentials(
	c client.Client, form oauth.Form, to accesstoken.Confirmation,
) (redemption, error) {
	scope, err := ownScope(c, form)
	if err != nil {
		return nil, err
	}
	audience, err := e.withoutPerson(form)
	if err != nil {
		return nil, err
	}
	token := accesstoken.Token{Subject: c.ID, ClientID: c.ID, Audience: audience, Scope: scope.String()}
	given := granted{token: token}
	if to.X5T != "" {
		given.lives = c.TokenLifetime
	}
	return func(context.Context) (granted, error) { return given, nil }, nil
}

// withoutPerson is the audience of a token that no person stands behind, and whose request may ask for nothing that a person
// gives.
func (e *Endpoint) withoutPerson(form oauth.Form) (audience []string, err error) {
	if form.Get("authorization_details") != "" {
		return nil, oauth.Refuse(oauth.DetailsBeyondGrant,
			"authorization_details ask for what a person grants; a client has none of that in its own name")
	}
	audience, err = form.Resources(e.Resources)
	if audience == nil {
		audience = e.Resources[:1]
	}
	return audience, err
}

// ownScope is the requested scope, or all that is registered when none is requested. openid and offline_access speak of a
// person, and there is none: they are left out.
func ownScope(c client.Client, form oauth.Form) (oauth.Scope, error) {
	scope, err := oauth.ParseScope(form.Get("scope"))
	if err == nil {
		err = checkScope(c, scope)
	}
	if err != nil {
		return nil, err
	}
	if scope == nil {
		scope = c.Scope()
	}
	scope = slices.DeleteFunc(slices.Clone(scope), func(s string) bool { return s == oauth.OpenID || s == oauth.OfflineAccess })
	if len(scope) == 0 {
		return nil, oauth.Refuse(oauth.ScopeEmpty, "no scope is left that a client can have in its own name")
	}
	return scope, nil
}
