package main

import (
	"net/url"

	"authserver/internal/authorize"
	"authserver/internal/client"
	"authserver/internal/dpop"
	"authserver/internal/idtoken"
	"authserver/internal/page"
	"authserver/internal/par"
	"authserver/internal/person"
	"authserver/internal/response"
	"authserver/internal/server"
	"authserver/internal/userinfo"
)

// wirePeople adds the way of a person, where there is a login.
func (a *app) wirePeople(
	clients *client.Authenticator, proofs dpop.Verifier, identities idtoken.Tokens, sealer response.Sealer,
) error {
	c := a.config
	if c.login == loginOff {
		return nil
	}
	base, err := url.Parse(c.issuer)
	if err != nil {
		return err
	}
	pages, err := page.New(c.brand, base.EscapedPath())
	if err != nil {
		return err
	}
	forms, err := authorize.NewForms(c.encryptionKeys, c.issuer)
	if err != nil {
		return err
	}
	endpoint := &authorize.Endpoint{
		Issuer: c.issuer, Store: a.store, IDTokens: identities, Sealer: sealer, Pages: pages, Forms: forms, Sessions: c.sessions,
		Life: c.life, Now: a.now,
	}
	switch c.login {
	case loginBuiltin:
		endpoint.Passwords, err = person.NewPasswords(a.store, person.Limits{Account: c.loginLimit, Address: c.loginAddressLimit})
	case loginOIDC:
		upstream := c.upstream
		upstream.RedirectURL, upstream.Key = callbackURL(c.issuer), c.encryptionKeys[0]
		endpoint.Upstream, err = person.NewUpstream(upstream)
	}
	if err == nil {
		endpoint.Accounts, err = a.accounts()
	}
	if err != nil {
		return err
	}
	a.server.Authorization = endpoint
	a.server.Logos = client.NewLogos(c.vetting, a.store, a.log, a.now)
	a.server.Push = &par.Endpoint{
		Clients: clients, Proofs: proofs, IDTokens: identities, Sealer: sealer, Store: a.store, Origins: a.guard.Origins,
		Resources: c.resources, Arrival: c.parExpiresIn, Pushes: server.NewLimit(c.parLimit), Now: a.now,
	}
	a.server.Userinfo = &userinfo.Endpoint{Issuer: c.issuer, Guard: a.guard, Sealer: sealer, Store: a.store, Now: a.now}
	return nil
}

// accounts is where people's accounts come from; nil, where nobody has any.
func (a *app) accounts() (authorize.Accounts, error) {
	switch source := a.config.accounts; {
	case source.file != "":
		return person.NewAccountsFile(source.file, a.store, a.log)
	case source.callback.URL != "":
		return source.openCallback(a.store, a.log, a.now)
	}
	return nil, nil
}

// callbackURL is where the OpenID provider sends people back to. The operator registers it there.
func callbackURL(issuer string) string { return issuer + "/login/callback" }
