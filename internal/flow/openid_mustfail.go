package flow

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// mustFail is all that must fail without another answer of the person.
func (f *OpenID) mustFail(ctx context.Context, step *Step) error {
	attempts := f.badModes()
	if f.signs {
		attempts = append(f.badObjects(), attempts...)
	}
	for _, attempt := range attempts {
		request := f.client.PushRequest(f.round.params())
		if f.signs {
			request = f.client.SignedPushRequest(f.round.params())
		}
		attempt.bend(request)
		if err := f.refused(ctx, step, attempt.name, attempt.status, attempt.code, request); err != nil {
			return err
		}
	}
	return f.userinfoBadly(ctx, step)
}

// badObjects bend a good push of a request object (RFC 9101 §6, FAPI 2.0 Message Signing §5.3.1).
func (f *OpenID) badObjects() []attempt {
	const refused = "invalid_request_object"
	object := func(client *Client, edits ...Edit) func(*Request) {
		return func(r *Request) { r.RequestObject = client.RequestObject(f.round.params(), edits...) }
	}
	at := func(claim string, after time.Duration) Edit {
		return SetClaim(claim, f.Server.Now().Add(after).Unix())
	}
	const elsewhere = "https://elsewhere.example/request"
	return []attempt{
		{"a push that is not signed", 400, "invalid_request", func(r *Request) { *r = *f.client.PushRequest(f.round.params()) }},
		{"an object for another audience", 400, refused, object(f.client, SetClaim("aud", "https://elsewhere.example"))},
		{"an object without exp", 400, refused, object(f.client, DropClaim("exp"))},
		{"an object without nbf", 400, refused, object(f.client, DropClaim("nbf"))},
		{"an object that lives 61 minutes", 400, refused, object(f.client, at("exp", 61*time.Minute))},
		{"an object that has expired", 400, refused, object(f.client, at("nbf", -10*time.Minute), at("exp", -5*time.Minute))},
		{"an object with alg none", 400, refused, object(f.client, SignAs("none"))},
		{"an object signed by another client", 400, refused, object(f.client, SignWith(f.stranger.Key))},
		{"another client's object", 400, refused, object(f.stranger)},
		{"a request_uri in the object", 400, refused, object(f.client, SetClaim("request_uri", elsewhere))},
		{"a request_uri beside the object", 400, "invalid_request", func(r *Request) { r.Form.Set("request_uri", elsewhere) }},
	}
}

// badModes ask for the answer in another form than the client registered: nobody shall read it, or change it.
func (f *OpenID) badModes() []attempt {
	mode := func(name string) func(*Request) {
		params := f.round.params()
		if params.Set("response_mode", name); name == "" {
			params.Del("response_mode")
		}
		return func(r *Request) {
			if !f.signs {
				maps.Copy(r.Form, params)
				return
			}
			r.RequestObject = f.client.RequestObject(params)
		}
	}
	attempts := []attempt{{"response_mode fragment", 400, "", mode("fragment")}}
	if f.wish.sealed() {
		attempts = append(attempts, attempt{"response_mode query", 400, "", mode("query")},
			attempt{"no response_mode", 400, "", mode("")})
	}
	return attempts
}

// userinfoBadly asks who the person is without what that needs.
func (f *OpenID) userinfoBadly(ctx context.Context, step *Step) error {
	thief := *f.client
	var err error
	if thief.DPoPKey, err = GenerateKey("ES256"); err != nil {
		return err
	}
	bare := &Request{Method: http.MethodGet, URL: f.Server.Metadata.UserinfoEndpoint}
	unproven := f.client.userinfoRequest(http.MethodGet, f.token)
	unproven.Proof = nil
	bearer := f.client.userinfoRequest(http.MethodGet, f.token).SetHeader("Authorization", "Bearer "+f.token.AccessToken)
	bearer.Proof = nil
	for _, attempt := range []struct {
		name    string
		request *Request
	}{
		{"userinfo without a token", bare},
		{"userinfo with the token as Bearer", bearer},
		{"userinfo without a proof", unproven},
		{"userinfo with another key's proof", thief.userinfoRequest(http.MethodGet, f.token)},
		{"userinfo with the ID token", f.client.userinfoRequest(http.MethodGet, &Token{AccessToken: f.identity.Compact})},
	} {
		if err := f.refused(ctx, step, attempt.name, http.StatusUnauthorized, "", attempt.request); err != nil {
			return err
		}
	}
	return nil
}

// mustFailAnew is what needs another answer of the person each time.
func (f *OpenID) mustFailAnew(ctx context.Context, step *Step) error {
	if f.Ask != nil {
		step.Skipped = onceOnly
		return nil
	}
	step.Did = "2 more requests, each pushed and answered anew"
	if f.signs {
		step.Did = strings.Replace(step.Did, "2", "3", 1)
		if err := f.smuggle(ctx, step); err != nil {
			return err
		}
	}
	if err := f.askWithoutOpenID(ctx, step); err != nil {
		return err
	}
	return f.deny(ctx, step)
}

// smuggle pushes a good object with other parameters beside it, of which none may count (RFC 9101 §6.3).
func (f *OpenID) smuggle(ctx context.Context, step *Step) error {
	const name, expected = "parameters beside the object", "ignored or refused"
	r := newRound(f.asking(nil), playedRedirect)
	request := f.client.SignedPushRequest(r.params())
	maps.Copy(request.Form, url.Values{"state": {"smuggled"}, "nonce": {"smuggled"}, "scope": {"openid " + registeredScope}})
	exchange, err := f.Server.Do(ctx, request)
	if err != nil {
		return err
	}
	if exchange.Status/100 == 4 {
		step.check(name, true, expected, "refused with "+exchange.Outcome())
		step.about(exchange)
		return nil
	}
	if r.pushed, err = readPushed(exchange); err != nil {
		return err
	}
	answer, err := f.told(ctx, r, Approve)
	if err != nil {
		return err
	}
	token, err := f.client.Redeem(ctx, answer.Get("code"), r.pair.Verifier, r.redirectURI)
	if err != nil {
		return err
	}
	id, err := f.client.unseal(token.IDToken)
	if err != nil {
		return fmt.Errorf("the ID token cannot be read: %w", err)
	}
	var taken []string
	for _, member := range []struct {
		name    string
		ignored bool
	}{
		{"state", answer.Get("state") == r.state},
		{"nonce", id.Claim("nonce") == r.wish.more.Get("nonce")},
		{"scope", sameScope(token.Scope, r.wish.granted)},
	} {
		if !member.ignored {
			taken = append(taken, member.name)
		}
	}
	got := "ignored"
	if len(taken) > 0 {
		got = "taken: " + strings.Join(taken, ", ")
	}
	step.check(name, len(taken) == 0, expected, got)
	step.about(exchange)
	return nil
}

// askWithoutOpenID asks for data alone, and wants to know who the person is all the same.
func (f *OpenID) askWithoutOpenID(ctx context.Context, step *Step) error {
	wanted := f.asking(nil)
	wanted.scope = strings.TrimPrefix(wanted.scope, "openid ")
	posted := wanted.sealed()
	if posted {
		wanted.more.Set("response_mode", "form_post.jwt")
	}
	r, err := f.another(ctx, wanted)
	if err != nil {
		return err
	}
	if page := f.browser.Page; posted {
		step.check("form_post.jwt answers with a form", page.Form("response") != nil, "200, a form", page.String())
	}
	token, err := f.client.Redeem(ctx, r.code, r.pair.Verifier, r.redirectURI)
	if err != nil {
		return err
	}
	step.equal("no ID token without openid", "none", compare("an ID token", token.IDToken))
	request := f.client.userinfoRequest(http.MethodGet, token)
	return f.refused(ctx, step, "and userinfo says nothing", http.StatusForbidden, "insufficient_scope", request)
}
