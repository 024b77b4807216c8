package flow

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// farewellRedirect is where the flow's client wants a person to arrive who has signed out. Nobody listens there.
const farewellRedirect = "http://127.0.0.1/goodbye"

const (
	maxAge         = time.Hour // since the person signed in, as the client asks
	maxIDTokenLife = time.Hour
	maxSkew        = time.Minute // between the server's clock and this one
)

// OpenID is the flow `openid`: a client that signs its requests learns who a person is, by answers that nobody else can read
// or have made; it asks again later, and at the end the person signs out. What the server does not offer of this is left out.
type OpenID struct {
	Authorization

	stranger                         *Client // another client, which has no business with the person
	authorization, idToken, userinfo protection
	acr                              string // that is asked for; empty: any
	identity                         JWT    // the first ID token
}

// Run plays the flow. What the server does wrong is in the Report; the only error is *Unreachable.
func (f *OpenID) Run(ctx context.Context) (*Report, error) {
	defer f.cleanUp(ctx)
	return play(ctx, f.Server, "openid", []stage{
		{"discover", f.discover},
		{"registrar token", f.askRegistrarToken},
		{"register clients", f.register},
		{"push the request", f.push},
		{"authorize", f.authorize},
		{"redeem the code", f.redeem},
		{"ask who it is", f.askUserinfo},
		{"introspect", f.introspect},
		{"refresh", f.refresh},
		{"come back", f.comeBack},
		{"must fail", f.mustFail},
		{"must fail, anew", f.mustFailAnew},
		{"sign out", f.signOut},
	}, f.Done)
}

// discover chooses what the flow uses of what the server offers: another algorithm for every kind of answer, where it can.
func (f *OpenID) discover(ctx context.Context, step *Step) error {
	if err := f.Authorization.discover(ctx, step); err != nil {
		return err
	}
	metadata := f.Server.Metadata
	curves, rsa := []string{"ECDH-ES", "RSA-OAEP-256"}, []string{"RSA-OAEP-256", "ECDH-ES"}
	f.authorization = metadata.protect("authorization", []string{"ES256", "EdDSA", "PS256"}, curves)
	f.idToken = metadata.protect("id_token", []string{"PS256", "ES256", "EdDSA"}, rsa)
	f.userinfo = metadata.protect("userinfo", []string{"EdDSA", "ES256", "PS256"}, curves)
	f.signs = slices.Contains(metadata.lists("request_object_signing_alg_values_supported"), f.assertionAlg())
	if !slices.Contains(metadata.lists("response_modes_supported"), "jwt") {
		f.authorization = protection{}
	}
	if known := metadata.lists("acr_values_supported"); len(known) > 0 {
		f.acr = known[0]
	}
	f.wish = f.asking(nil)
	var unsigned []string
	for _, kind := range []string{"id_token", "userinfo", "authorization", "request_object"} {
		if slices.Contains(metadata.lists(kind+"_signing_alg_values_supported"), "none") {
			unsigned = append(unsigned, kind)
		}
	}
	step.check("no signature can be left out by alg none", len(unsigned) == 0, "none nowhere", strings.Join(unsigned, " "))
	return step.named("what asking for a person's identity needs", map[string]string{
		"userinfo_endpoint": metadata.UserinfoEndpoint, "id_token_signing_alg_values_supported": f.idToken.sign})
}

// asking is what the flow asks for, as far as the server offers it, with a nonce of its own. More adds to that.
func (f *OpenID) asking(more url.Values) wish {
	asked := identified
	asked.more = url.Values{"nonce": {randomID()}, "max_age": {fmt.Sprint(maxAge.Seconds())}}
	demanded := map[string]any{"auth_time": map[string]bool{"essential": true}}
	if f.acr != "" {
		asked.more.Set("acr_values", f.acr)
		demanded["acr"] = map[string]any{"essential": true, "values": []string{f.acr}}
	}
	if f.Server.Metadata.ClaimsParameter {
		asked.more.Set("claims", text(map[string]any{"id_token": demanded}))
	}
	if f.authorization.sign != "" {
		asked.more.Set("response_mode", "jwt")
	}
	maps.Copy(asked.more, more)
	return asked
}

// register enrols both clients at once: a person may take longer than the registrar's token lives.
func (f *OpenID) register(ctx context.Context, step *Step) error {
	metadata := registration()
	metadata["scope"] = "openid " + registeredScope
	metadata["post_logout_redirect_uris"] = []string{farewellRedirect}
	if f.signs {
		metadata["require_signed_request_object"], metadata["request_object_signing_alg"] = true, f.assertionAlg()
	}
	if f.authorization.sign != "" {
		metadata["response_modes"] = []string{"jwt", "form_post.jwt"}
	}
	asked := map[string]string{}
	for _, p := range []protection{f.authorization, f.idToken, f.userinfo} {
		maps.Copy(asked, p.members())
	}
	for member, value := range asked {
		metadata[member] = value
	}
	recipient, err := NewRecipient(f.authorization.alg, f.idToken.alg, f.userinfo.alg)
	if err != nil {
		return err
	}
	if err := f.Registrant.register(ctx, step, metadata, recipient.PublicJWKs()...); err != nil {
		return err
	}
	f.client.Decrypt = recipient.Decrypt
	registered := map[string]string{}
	for member := range asked {
		registered[member] = text(step.Exchanges[len(step.Exchanges)-1].JSON()[member])
	}
	step.check("answers will be signed and encrypted as asked for", maps.Equal(asked, registered), text(asked), text(registered))
	f.stranger, err = f.enrol(ctx, registration())
	return err
}

// authorize reads the answer out of the JWT that brings it (JARM §2.4).
func (f *OpenID) authorize(ctx context.Context, step *Step) error {
	answer, err := f.await(ctx, step)
	if err == nil && f.wish.sealed() {
		answer, err = f.unsealAnswer(ctx, step, answer.Get("response"))
	}
	if err != nil {
		return err
	}
	return f.arrive(step, answer)
}

func (f *OpenID) unsealAnswer(ctx context.Context, step *Step, compact string) (url.Values, error) {
	says, err := f.open(ctx, step, "the answer", f.authorization, compact)
	if err != nil {
		return nil, err
	}
	step.JWTs[len(step.JWTs)-1].Name = "response" // as the parameter that brought it
	left := says.time("exp").Sub(f.Server.Now())
	step.check("it ends within 10 minutes", left >= minResponseLife && left <= maxResponseLife,
		fmt.Sprint(minResponseLife, " to ", maxResponseLife), left.Round(time.Second).String())
	return says.Parameters(), nil
}

// redeem looks at the ID token that comes with the access token.
func (f *OpenID) redeem(ctx context.Context, step *Step) (err error) {
	if err = f.Authorization.redeem(ctx, step); err != nil {
		return err
	}
	if f.identity, err = f.identify(ctx, step, f.token, f.wish.more.Get("nonce")); err != nil {
		return err
	}
	if slices.Contains(f.Server.Metadata.lists("claims_supported"), "sid") {
		step.check("sid names the session", f.identity.Claim("sid") != "", "a sid, as the metadata says", "none")
	}
	return nil
}

// identify looks at the ID token that came with an access token (OpenID Connect Core §3.1.3.7). Where nonce is empty, it must
// have none.
func (f *OpenID) identify(ctx context.Context, step *Step, token *Token, nonce string) (JWT, error) {
	id, err := f.open(ctx, step, "the ID token", f.idToken, token.IDToken)
	if err != nil {
		return id, err
	}
	access, err := Decode(token.AccessToken)
	if err != nil {
		return id, fmt.Errorf("the access token is not a JWT: %w", err)
	}
	step.equal("sub is that of the access token", access.Claim("sub"), id.Claims["sub"])
	now := f.Server.Now()
	step.within("iat is now", id.time("iat"), now.Add(-maxSkew), now.Add(maxSkew))
	step.within("exp is within an hour", id.time("exp"), now, now.Add(maxIDTokenLife))
	step.within("auth_time is within max_age", id.time("auth_time"), now.Add(-maxAge-maxSkew), now.Add(maxSkew))
	if nonce == "" {
		step.equal("it has no nonce", "", id.Claims["nonce"])
	} else {
		step.equal("nonce is what was pushed", nonce, id.Claims["nonce"])
	}
	step.equal("at_hash is that of the access token", halfHash(f.idToken.sign, token.AccessToken), id.Claims["at_hash"])
	if f.acr != "" {
		step.equal("acr is what was asked for", f.acr, id.Claims["acr"])
	}
	return id, nil
}

// within records whether a time lies between two others.
func (s *Step) within(name string, t, from, to time.Time) {
	shown := func(t time.Time) string { return t.UTC().Format(time.RFC3339) }
	s.check(name, !t.Before(from) && !t.After(to), shown(from)+" to "+shown(to), shown(t))
}

// userinfoRequest asks who a person is, with an access token (OpenID Connect Core §5.3.1).
func (c *Client) userinfoRequest(method string, token *Token) *Request {
	return c.Present(&Request{Method: method, URL: c.Server.Metadata.UserinfoEndpoint}, token.AccessToken)
}

// askUserinfo asks by both methods, which say the same.
func (f *OpenID) askUserinfo(ctx context.Context, step *Step) error {
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		exchange, err := f.Server.expect(ctx, http.StatusOK, f.client.userinfoRequest(method, f.token))
		if err != nil {
			return err
		}
		told, media := JWT{Claims: exchange.JSON()}, exchange.ResponseHeader.Get("Content-Type")
		if f.userinfo.sign != "" {
			step.equal("the answer to "+method+" is a JWT", "application/jwt", media)
			if told, err = f.open(ctx, step, "it", f.userinfo, exchange.ResponseBody); err != nil {
				return err
			}
		}
		step.equal("sub is that of the ID token", f.identity.Claim("sub"), told.Claims["sub"])
	}
	return nil
}

// introspect has a resource server, or else the client, ask for what there is to know of the access token as a JWT.
func (f *OpenID) introspect(ctx context.Context, step *Step) error {
	if len(f.Server.Metadata.lists("introspection_signing_alg_values_supported")) == 0 {
		step.Skipped = "introspection answers no JWTs here"
		return nil
	}
	teller := f.client
	if f.ResourceServerKey != nil {
		teller = f.resourceServer()
	}
	told, err := f.introspectSigned(ctx, step, teller, f.token)
	if err != nil {
		return err
	}
	step.equal("sub is that of the ID token", f.identity.Claim("sub"), told["sub"])
	step.equal("client_id is the client", f.client.ID, told["client_id"])
	step.bound(f.client.binding(), told)
	step.scope(f.wish.granted, text(told["scope"]))
	return nil
}

// refresh asks for more tokens. An ID token may come with them; it speaks of the same person and of the same sign-in (OpenID
// Connect Core §12.2), in the same session.
func (f *OpenID) refresh(ctx context.Context, step *Step) error {
	token, err := f.client.Refresh(ctx, f.token.RefreshToken, nil)
	if err != nil {
		return err
	}
	step.scope(f.wish.granted, token.Scope)
	if token.IDToken == "" {
		token.Exchange.Note = "no ID token comes with it, which is allowed"
		return nil
	}
	id, err := f.identify(ctx, step, token, "")
	if err != nil {
		return err
	}
	for _, claim := range []string{"sub", "auth_time", "sid"} {
		step.equal(claim+" is the same as before", f.identity.Claim(claim), id.Claims[claim])
	}
	return nil
}
