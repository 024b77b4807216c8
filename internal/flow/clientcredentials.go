package flow

import (
	"context"
	"net/http"
	"net/url"
)

// The flow's own client registers for two kinds of data and for reading its own registration, and then asks for less.
const (
	clientScope = "fdx:accountbasic:read fdx:transactions:read client.read"
	tokenScope  = "fdx:accountbasic:read client.read"
)

// ClientCredentials is the flow `cc`: register a client, get a token for it, use the token, give it back, and then see
// everything fail that has to fail.
type ClientCredentials struct {
	Registrant

	token *Token
}

// Run plays the flow. What the server does wrong is in the Report; the only error is *Unreachable.
func (f *ClientCredentials) Run(ctx context.Context) (*Report, error) {
	defer f.cleanUp(ctx)
	return play(ctx, f.Server, "cc", []stage{
		{"discover", f.discover},
		{"registrar token", f.askRegistrarToken},
		{"register a client", f.register},
		{"client's token", f.askToken},
		{"call a resource", f.callResource},
		{"introspect", f.introspect},
		{"revoke", f.revoke},
		{"registration", f.manage},
		{"must fail", f.mustFail},
	}, f.Done)
}

func (f *ClientCredentials) register(ctx context.Context, step *Step) error {
	return f.Registrant.register(ctx, step, map[string]any{"grant_types": []string{"client_credentials"},
		"response_types": []string{}, "scope": clientScope})
}

func (f *ClientCredentials) askToken(ctx context.Context, step *Step) (err error) {
	f.token, err = f.client.Token(ctx, url.Values{"scope": {tokenScope}})
	step.nonceChallenge(http.StatusOK)
	if err != nil {
		return err
	}
	step.scope(tokenScope, f.token.Scope)
	return f.inspect(ctx, step, f.token, false)
}

func (f *ClientCredentials) callResource(ctx context.Context, step *Step) error {
	return f.Registrant.callResource(ctx, step, f.token, f.client.RegistrationURI)
}

func (f *ClientCredentials) introspect(ctx context.Context, step *Step) error {
	return f.Registrant.introspect(ctx, step, f.token)
}

func (f *ClientCredentials) revoke(ctx context.Context, step *Step) error {
	return f.Registrant.revoke(ctx, step, f.token)
}

// manage reads the registration and writes it back with another name: all that was read except what a PUT must not
// contain (RFC 7592 §2.2).
func (f *ClientCredentials) manage(ctx context.Context, step *Step) error {
	read, err := f.Server.expect(ctx, http.StatusOK, f.client.ManageRequest(http.MethodGet, nil))
	if err != nil {
		return err
	}
	registration := read.JSON()
	step.equal("client_id is the client", f.client.ID, registration["client_id"])
	for _, name := range []string{"registration_access_token", "registration_client_uri", "client_id_issued_at", "client_secret_expires_at"} {
		delete(registration, name)
	}
	const renamed = "authserver try, renamed"
	registration["client_name"] = renamed
	written, err := f.Server.expect(ctx, http.StatusOK, f.client.ManageRequest(http.MethodPut, registration))
	if err != nil {
		return err
	}
	f.client.adopt(written.JSON())
	step.equal("client_name after the PUT", renamed, written.JSON()["client_name"])
	read, err = f.Server.expect(ctx, http.StatusOK, f.client.ManageRequest(http.MethodGet, nil))
	if err != nil {
		return err
	}
	step.equal("client_name read again", renamed, read.JSON()["client_name"])
	return nil
}
