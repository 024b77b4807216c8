package flow

import (
	"context"
	"net/http"
	"net/url"
)

// narrowedScope is a part of what is granted.
const narrowedScope = "fdx:transactions:read"

// Refresh is the flow `refresh`: as AuthorizationCode up to the tokens, then ask for more of them with the refresh token,
// see everything fail that has to fail, and give the refresh token back.
type Refresh struct {
	Authorization

	stranger *Client // another client, which has no business with the grant
}

// Run plays the flow. What the server does wrong is in the Report; the only error is *Unreachable.
func (f *Refresh) Run(ctx context.Context) (*Report, error) {
	defer f.cleanUp(ctx)
	f.wish = lasting
	return play(ctx, f.Server, "refresh", []stage{
		{"discover", f.discover},
		{"registrar token", f.askRegistrarToken},
		{"register clients", f.register},
		{"push the request", f.push},
		{"authorize", f.authorize},
		{"redeem the code", f.redeem},
		{"refresh", f.refresh},
		{"must fail", f.mustFail},
		{"revoke", f.revoke},
		{"must fail, anew", f.mustFailAnew},
	}, f.Done)
}

// register enrols both clients at once: a person may take longer than the registrar's token lives.
func (f *Refresh) register(ctx context.Context, step *Step) (err error) {
	if err = f.Authorization.register(ctx, step); err == nil {
		f.stranger, err = f.enrol(ctx, registration())
	}
	return err
}

// refresh asks for more tokens with the refresh token, which stays as it is (FAPI 2.0 Security Profile §5.3.2.1-9).
func (f *Refresh) refresh(ctx context.Context, step *Step) error {
	first, err := f.client.Refresh(ctx, f.token.RefreshToken, nil)
	step.nonceChallenge(http.StatusOK)
	if err != nil {
		return err
	}
	step.scope(grantedScope, first.Scope)
	step.equal("the refresh token is the same as before", "the same", compare(f.token.RefreshToken, first.RefreshToken))
	step.equal("the access token is another one", "another", compare(f.token.AccessToken, first.AccessToken))
	if err := f.inspect(ctx, step, first, true); err != nil {
		return err
	}
	narrowed, renewed := url.Values{"scope": {narrowedScope}}, *f.client
	if renewed.DPoPKey, err = GenerateKey("ES256"); err != nil {
		return err
	}
	for _, turn := range []struct {
		name   string
		client *Client
		more   url.Values
		scope  string
	}{
		{"a second time", f.client, nil, grantedScope},
		{"a third time, for less", f.client, narrowed, narrowedScope},
		{"and for everything again", f.client, nil, grantedScope},
		{"with a new DPoP key", &renewed, nil, grantedScope},
	} {
		request := turn.client.RefreshRequest(f.token.RefreshToken, turn.more)
		if err := f.turn(ctx, step, turn.name, request, turn.client.DPoPKey, turn.scope); err != nil {
			return err
		}
	}
	return nil
}

// turn refreshes once more and looks at the answer: the scope, the refresh token, and the key that the token is bound to.
func (f *Refresh) turn(ctx context.Context, step *Step, name string, request *Request, key *Key, scope string) error {
	token, access, err := f.again(ctx, step, name, request, scope)
	if err != nil || token == nil {
		return err
	}
	step.equal("the refresh token is the same as before", "the same", compare(f.token.RefreshToken, token.RefreshToken))
	step.equal("cnf.jkt is the thumbprint of the proof's key", key.Thumbprint(), Confirmation(access.Claims))
	return nil
}

// compare tells what became of a token, without showing it.
func compare(before, after string) string {
	switch after {
	case before:
		return "the same"
	case "":
		return "none"
	}
	return "another"
}

func (f *Refresh) mustFail(ctx context.Context, step *Step) error {
	good := func(client *Client) *Request { return client.RefreshRequest(f.token.RefreshToken, nil) }
	wider := f.client.RefreshRequest(f.token.RefreshToken, url.Values{"scope": {registeredScope}})
	unproven := good(f.client)
	unproven.Proof = nil
	for _, attempt := range []struct {
		name    string
		code    string
		request *Request
	}{
		{"a scope that nobody granted", "invalid_scope", wider},
		{"no DPoP proof", "invalid_request", unproven},
		{"another client's request", "invalid_grant", good(f.stranger)},
		{"the access token in its place", "invalid_grant", f.client.RefreshRequest(f.token.AccessToken, nil)},
		{"a refresh token that nobody issued", "invalid_grant", f.client.RefreshRequest(NewPKCE().Verifier, nil)},
	} {
		if err := f.refused(ctx, step, attempt.name, 400, attempt.code, attempt.request); err != nil {
			return err
		}
	}
	exchange, err := f.Server.Do(ctx, good(f.client))
	if err != nil {
		return err
	}
	step.judged("after which it is still good", exchange, http.StatusOK, "")
	return nil
}

// revoke gives the refresh token back, and with it everything that came of it (RFC 7009 §2.1).
func (f *Refresh) revoke(ctx context.Context, step *Step) error {
	revoked, err := f.client.Revoke(ctx, f.token.RefreshToken)
	if err != nil {
		return err
	}
	step.check("revoked, with an empty body", revoked.ResponseBody == "", "no body", revoked.ResponseBody)
	again := f.client.RefreshRequest(f.token.RefreshToken, nil)
	if err := f.refused(ctx, step, "a refresh after that", 400, "invalid_grant", again); err != nil {
		return err
	}
	return f.dead(ctx, step, "the access token", f.client, f.token.AccessToken)
}

// mustFailAnew redeems another code twice: the second time ends what the first has given, also the refresh token.
func (f *Refresh) mustFailAnew(ctx context.Context, step *Step) error {
	if f.Ask != nil {
		step.Skipped = onceOnly
		return nil
	}
	step.Did = onceMore
	r, err := f.another(ctx, f.wish)
	if err != nil {
		return err
	}
	token, err := f.client.Redeem(ctx, r.code, r.pair.Verifier, r.redirectURI)
	if err != nil {
		return err
	}
	return f.redeemAgain(ctx, step, r, token)
}
