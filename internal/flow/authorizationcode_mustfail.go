package flow

import (
	"context"
	"fmt"
)

// mustFail is all that must fail with the one code there is.
func (f *AuthorizationCode) mustFail(ctx context.Context, step *Step) error {
	if err := f.redeemAgain(ctx, step, f.round, f.token); err != nil {
		return err
	}
	if err := f.pushBadly(ctx, step); err != nil {
		return err
	}
	return f.authorizeBadly(ctx, step)
}

// redeemAgain redeems the spent code once more, which ends everything that it gave (RFC 6749 §4.1.2).
func (f *Authorization) redeemAgain(ctx context.Context, step *Step, r *round, token *Token) error {
	again := f.client.CodeRequest(r.code, r.pair.Verifier, r.redirectURI)
	if err := f.refused(ctx, step, "the same code again", 400, "invalid_grant", again); err != nil {
		return err
	}
	err := f.dead(ctx, step, "and then its access token", f.client, token.AccessToken)
	if err != nil || token.RefreshToken == "" {
		return err
	}
	refresh := f.client.RefreshRequest(token.RefreshToken, nil)
	return f.refused(ctx, step, "and then its refresh token", 400, "invalid_grant", refresh)
}

// pushBadly pushes good requests with one thing bent.
func (f *AuthorizationCode) pushBadly(ctx context.Context, step *Step) error {
	client := f.client
	form := func(name, value string) func(*Request) {
		return func(r *Request) { r.Form.Set(name, value) }
	}
	for _, attempt := range []attempt{
		{"a push with PKCE plain", 400, "invalid_request", form("code_challenge_method", "plain")},
		{"a push without PKCE", 400, "invalid_request", func(r *Request) { r.Form.Del("code_challenge") }},
		{"a push with another redirect_uri", 400, "invalid_request", form("redirect_uri", f.round.redirectURI+"/elsewhere")},
		{"a push for a token instead of a code", 400, "", form("response_type", "token")},
		{"a push with the same DPoP proof", 400, "invalid_dpop_proof", func(r *Request) {
			r.Proof = Literal(f.round.pushed.Exchange.RequestHeader.Get("DPoP"))
		}},
		{"an assertion for another audience", 401, "invalid_client", func(r *Request) {
			r.Assertion = client.Assertion(SetClaim("aud", "https://elsewhere.example"))
		}},
	} {
		request := client.PushRequest(f.round.params())
		attempt.bend(request)
		if err := f.refused(ctx, step, attempt.name, attempt.status, attempt.code, request); err != nil {
			return err
		}
	}
	return nil
}

// authorizeBadly visits the authorization endpoint without a request that waits for an answer. Nothing proves the
// redirect_uri then, so that an error page is the only answer (RFC 6749 §4.1.2.1).
func (f *AuthorizationCode) authorizeBadly(ctx context.Context, step *Step) error {
	bare := f.round.params()
	bare.Set("client_id", f.client.ID)
	invented := f.client.AuthorizeURL("urn:ietf:params:oauth:request_uri:" + randomID())
	for _, visit := range []struct{ name, url string }{
		{"authorize without PAR", withQuery(f.Server.Metadata.AuthorizationEndpoint, bare)},
		{"a request_uri that nobody pushed", invented},
		{"the same request_uri again", f.client.AuthorizeURL(f.round.pushed.RequestURI)},
	} {
		if err := f.errorPage(ctx, step, visit.name, visit.url); err != nil {
			return err
		}
	}
	return nil
}

// errorPage visits a URL that must show an error page, to a person who is signed in, if the flow plays one.
func (f *Authorization) errorPage(ctx context.Context, step *Step, name, target string) error {
	browser := f.browser
	if browser == nil {
		browser = NewBrowser(f.Server)
	}
	page, err := browser.Visit(ctx, target)
	if err != nil {
		return err
	}
	got := "error page, no redirect"
	if !page.Refused() {
		got = page.String()
	}
	step.equal(name, "error page, no redirect", got)
	step.about(page.Exchange)
	return nil
}

// mustFailAnew is what needs a fresh code, or another answer, for each thing that must fail.
func (f *AuthorizationCode) mustFailAnew(ctx context.Context, step *Step) error {
	if f.Ask != nil {
		step.Skipped = onceOnly
		return nil
	}
	step.Did = "3 more requests, each pushed and answered anew"
	if err := f.redeemWithWrongVerifier(ctx, step); err != nil {
		return err
	}
	if err := f.redeemWithAnotherKey(ctx, step); err != nil {
		return err
	}
	return f.deny(ctx, step)
}

// redeemWithWrongVerifier shows that a wrong verifier is refused and leaves the code as good as it was.
func (f *AuthorizationCode) redeemWithWrongVerifier(ctx context.Context, step *Step) error {
	r, err := f.another(ctx, f.wish)
	if err != nil {
		return err
	}
	wrong := f.client.CodeRequest(r.code, NewPKCE().Verifier, r.redirectURI)
	if err := f.refused(ctx, step, "a code with another verifier", 400, "invalid_grant", wrong); err != nil {
		return err
	}
	right, err := f.Server.Do(ctx, f.client.CodeRequest(r.code, r.pair.Verifier, r.redirectURI))
	if err != nil {
		return err
	}
	step.judged("and then with the right one", right, 200, "")
	return nil
}

// redeemWithAnotherKey shows that a code belongs to the key that signed the proof at PAR (RFC 9449 §10).
func (f *AuthorizationCode) redeemWithAnotherKey(ctx context.Context, step *Step) error {
	r, err := f.another(ctx, f.wish)
	if err != nil {
		return err
	}
	thief := *f.client
	if thief.DPoPKey, err = GenerateKey("ES256"); err != nil {
		return err
	}
	request := thief.CodeRequest(r.code, r.pair.Verifier, r.redirectURI)
	return f.refused(ctx, step, "a code with another DPoP key", 400, "invalid_grant", request)
}

// deny presses the other button: the client learns of it, and by whom (RFC 9207).
func (f *Authorization) deny(ctx context.Context, step *Step) error {
	r, err := f.begin(ctx, f.wish, playedRedirect)
	if err != nil {
		return err
	}
	answer, err := f.told(ctx, r, Deny)
	if err != nil {
		return err
	}
	page := f.browser.Page
	got := fmt.Sprint(page.Exchange.Status, " ", answer.Get("error"))
	if answer.Get("state") == r.state && answer.Get("iss") == f.Server.Issuer && !answer.Has("code") {
		got += ", state and iss"
	} else {
		got += ", " + answer.Encode()
	}
	step.equal("Don't allow", "303 access_denied, state and iss", got)
	step.about(page.Exchange)
	return nil
}
