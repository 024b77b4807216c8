package flow

import (
	"context"
	"net/http"
	"net/url"
)

// attempt is a good token request with one thing bent, and the refusal it has to meet.
type attempt struct {
	name   string
	status int
	code   string
	bend   func(*Request)
}

// attempts are the token requests that must fail. Two of them replay parts of a request that succeeded.
func (f *ClientCredentials) attempts(succeeded *Exchange, rsaKey *Key) []attempt {
	client, tokenEndpoint := f.client, f.Server.Metadata.TokenEndpoint
	assertion := func(edits ...Edit) func(*Request) {
		return func(r *Request) { r.Assertion = client.Assertion(edits...) }
	}
	form := func(name, value string) func(*Request) {
		return func(r *Request) { r.Form.Set(name, value) }
	}
	return []attempt{
		{"the same DPoP proof again", 400, "invalid_dpop_proof", func(r *Request) { r.Proof = Literal(succeeded.RequestHeader.Get("DPoP")) }},
		{"the same assertion again", 401, "invalid_client", func(r *Request) { r.Assertion = Literal(succeeded.Form().Get("client_assertion")) }},
		{"an assertion for the token endpoint", 401, "invalid_client", assertion(SetClaim("aud", tokenEndpoint))},
		{"an assertion with aud as an array", 401, "invalid_client", assertion(SetClaim("aud", []string{f.Server.Issuer}))},
		{"an assertion signed with RS256", 401, "invalid_client", assertion(SignWith(rsaKey), SignAs("RS256"))},
		{"an assertion with alg none", 401, "invalid_client", assertion(SignAs("none"))},
		{"no DPoP proof", 400, "invalid_request", func(r *Request) { r.Proof = nil }},
		{"a proof for another URL", 400, "invalid_dpop_proof", func(r *Request) { r.Proof = client.Proof(r.Method, tokenEndpoint+"/elsewhere") }},
		{"an unknown scope", 400, "invalid_scope", form("scope", "no-such-scope")},
		{"grant_type password", 400, "unsupported_grant_type", form("grant_type", "password")},
	}
}

// mustFail starts from a token that works, so that each refusal has one reason only, and ends with the client's
// deletion, after which nothing of it works any more.
func (f *ClientCredentials) mustFail(ctx context.Context, step *Step) error {
	scope := url.Values{"scope": {tokenScope}}
	live, err := f.client.Token(ctx, scope)
	if err != nil {
		return err
	}
	rsaKey := f.client.Key
	if rsaKey.Alg != "PS256" {
		if rsaKey, err = GenerateKey("PS256"); err != nil {
			return err
		}
	}
	for _, attempt := range f.attempts(live.Exchange, rsaKey) {
		request := f.client.TokenRequest(scope)
		attempt.bend(request)
		if err := f.refused(ctx, step, attempt.name, attempt.status, attempt.code, request); err != nil {
			return err
		}
	}
	bearer := &Request{Method: http.MethodGet, URL: f.resource}
	bearer.SetHeader("Authorization", "Bearer "+live.AccessToken)
	if err := f.refused(ctx, step, "the token as Bearer", 401, "", bearer); err != nil {
		return err
	}
	thief := *f.client
	if thief.DPoPKey, err = GenerateKey("ES256"); err != nil {
		return err
	}
	if err := f.refused(ctx, step, "the token with another key's proof", 401, "", f.callWith(&thief, live)); err != nil {
		return err
	}
	if err := f.delete(ctx, step, f.client); err != nil || f.ResourceServerKey == nil {
		return err
	}
	return f.dead(ctx, step, "its token, for a resource server", f.resourceServer(), live.AccessToken)
}
