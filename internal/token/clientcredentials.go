package token

import (
	"net/url"
	"slices"

	"authserver/internal/accesstoken"
	"authserver/internal/client"
	"authserver/internal/oauth"
)

const clientCredentials = "client_credentials"

// maxResources is how many resource parameters one request may have.
const maxResources = 20

// judgeClientCredentials decides what a client gets in its own name (RFC 6749 §4.4): its subject is the client itself,
// and there is never a refresh token or an ID token.
func (e *Endpoint) judgeClientCredentials(c client.Client, form oauth.Form) (accesstoken.Token, error) {
	scope, err := scopeFor(c, form.Get("scope"))
	if err != nil {
		return accesstoken.Token{}, err
	}
	audience, err := e.audienceFor(form.All("resource"))
	if err != nil {
		return accesstoken.Token{}, err
	}
	return accesstoken.Token{Subject: c.ID, ClientID: c.ID, Audience: audience, Scope: scope.String()}, nil
}

// scopeFor is the requested scope, or all that is registered when none is requested. openid and offline_access speak of a
// person, and there is none: they are left out.
func scopeFor(c client.Client, requested string) (oauth.Scope, error) {
	scope, err := oauth.ParseScope(requested)
	if err != nil {
		return nil, err
	}
	if scope == nil {
		scope = c.Scope()
	}
	if scope.Beyond(c.Scope()) != "" {
		return nil, oauth.Refuse(oauth.ScopeNotRegistered, "the client is not registered for all of the requested scope; registered: %s", c.Scope())
	}
	scope = slices.DeleteFunc(slices.Clone(scope), func(s string) bool { return s == "openid" || s == "offline_access" })
	if len(scope) == 0 {
		return nil, oauth.Refuse(oauth.ScopeEmpty, "no scope is left that a client can have in its own name")
	}
	return scope, nil
}

// audienceFor turns resource parameters into the token's audience (RFC 8707 §2.2).
func (e *Endpoint) audienceFor(resources []string) (accesstoken.Audience, error) {
	if len(resources) > maxResources {
		return nil, oauth.Refuse(oauth.ResourceRefused, "at most %d resource parameters are taken", maxResources)
	}
	var audience accesstoken.Audience
	for _, r := range resources {
		if r == "" {
			continue
		}
		u, err := url.Parse(r)
		if err != nil || !u.IsAbs() || u.Fragment != "" {
			return nil, oauth.Refuse(oauth.ResourceRefused, "resource must be an absolute URI without a fragment")
		}
		if !slices.Contains(e.Resources, r) {
			return nil, oauth.Refuse(oauth.ResourceRefused, "resource is not one that this server issues tokens for")
		}
		if !slices.Contains(audience, r) {
			audience = append(audience, r)
		}
	}
	if audience == nil {
		return accesstoken.Audience{e.Resources[0]}, nil
	}
	return audience, nil
}
