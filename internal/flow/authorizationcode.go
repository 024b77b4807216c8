package flow

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// The loopback redirect URI of a native app is registered without a port, and asked for with one (RFC 8252 §7.3). Nobody
// listens there while the flow plays the person: its browser stops before.
const (
	registeredRedirect = "http://127.0.0.1/callback"
	playedRedirect     = "http://127.0.0.1:49152/callback"
)

// What is told of a step that needs one more answer.
const (
	onceOnly = "a person answers only once"
	onceMore = "1 more request, pushed and answered anew"
)

// Authorization is what the flows with a person begin with: a request is pushed, a person allows it, and the code is
// redeemed.
type Authorization struct {
	Registrant

	Person Person // whom the flow plays
	// Ask is optional: it shows a person what to open in a browser, and in how many seconds. Their answer is waited for.
	Ask func(url string, seconds int64)

	wish     wish
	signs    bool // requests are request objects
	browser  *Browser
	callback *Callback // with Ask only
	round    *round
	token    *Token
}

// round is one authorization request on its way from the push to the code.
type round struct {
	wish        wish
	pair        PKCE
	state       string
	redirectURI string
	pushed      *Pushed
	accounts    []string // that the person shares; nil when the flow cannot see them
	code        string
}

func (r *round) params() url.Values {
	params := r.pair.Parameters(r.redirectURI, r.wish.scope, r.state)
	params.Set("authorization_details", r.wish.details)
	maps.Copy(params, r.wish.more)
	return params
}

// cleanUp stops waiting for an answer, and deletes the clients.
func (f *Authorization) cleanUp(ctx context.Context) {
	if f.callback != nil {
		f.callback.Close()
	}
	f.Registrant.cleanUp(ctx)
}

func (f *Authorization) discover(ctx context.Context, step *Step) error {
	if err := f.Registrant.discover(ctx, step); err != nil {
		return err
	}
	metadata := f.Server.Metadata
	step.equal("pushed requests are the only ones", "true", metadata.RequirePushedAuthorizationRequests)
	step.check("PKCE is offered with S256 alone", slices.Equal(metadata.CodeChallengeMethods, []string{"S256"}), "S256",
		strings.Join(metadata.CodeChallengeMethods, " "))
	step.equal("answers name the issuer", "true", metadata.AuthorizationResponseIss)
	step.check("authorization details of FDX are offered", slices.Contains(metadata.AuthorizationDetailsTypes, DetailsType),
		DetailsType, strings.Join(metadata.AuthorizationDetailsTypes, " "))
	return step.named("what asking a person needs", map[string]string{"authorization_endpoint": metadata.AuthorizationEndpoint,
		"pushed_authorization_request_endpoint": metadata.PushedAuthorizationRequestEndpoint})
}

// registration is that of a native app, which may bring a person back to any port of this machine.
func registration() map[string]any {
	return map[string]any{"application_type": "native", "redirect_uris": []string{registeredRedirect},
		"grant_types": []string{"authorization_code", "refresh_token"}, "response_types": []string{"code"},
		"scope": registeredScope}
}

func (f *Authorization) register(ctx context.Context, step *Step) error {
	return f.Registrant.register(ctx, step, registration())
}

func (f *Authorization) push(ctx context.Context, step *Step) (err error) {
	redirectURI := playedRedirect
	if f.Ask != nil {
		if f.callback, err = Listen(); err != nil {
			return err
		}
		redirectURI = f.callback.URI
	}
	f.round, err = f.begin(ctx, f.wish, redirectURI)
	step.nonceChallenge(http.StatusCreated)
	if err != nil {
		return err
	}
	pushed := f.round.pushed
	step.answers("answered with 201", pushed.Exchange, http.StatusCreated, "")
	step.check("request_uri is given", pushed.RequestURI != "" && len(pushed.RequestURI) <= 512, "1 to 512 characters",
		fmt.Sprint(len(pushed.RequestURI), " characters"))
	step.check("expires_in is less than 600 s", pushed.ExpiresIn >= 5 && pushed.ExpiresIn < 600, "5 to 599",
		fmt.Sprint(pushed.ExpiresIn))
	step.tidy(pushed.Exchange)
	return nil
}

// begin pushes a fresh request.
func (f *Authorization) begin(ctx context.Context, wanted wish, redirectURI string) (*round, error) {
	r := newRound(wanted, redirectURI)
	request := f.client.PushRequest(r.params())
	if f.signs {
		request = f.client.SignedPushRequest(r.params())
	}
	var err error
	r.pushed, err = f.Server.push(ctx, request)
	return r, err
}

func newRound(wanted wish, redirectURI string) *round {
	return &round{wish: wanted, pair: NewPKCE(), state: randomID(), redirectURI: redirectURI}
}

func (f *Authorization) authorize(ctx context.Context, step *Step) error {
	answer, err := f.await(ctx, step)
	if err != nil {
		return err
	}
	return f.arrive(step, answer)
}

// await has a person answer the first request, or plays one, and returns what the browser brings back.
func (f *Authorization) await(ctx context.Context, step *Step) (url.Values, error) {
	if f.Ask == nil {
		return f.played(ctx, step)
	}
	f.Ask(f.client.AuthorizeURL(f.round.pushed.RequestURI), f.round.pushed.ExpiresIn)
	step.Did = "a person answered in a browser"
	return f.callback.Wait(ctx)
}

// arrive looks at the answer to the first request, and keeps its code.
func (f *Authorization) arrive(step *Step, answer url.Values) error {
	if answer.Has("error") {
		return fmt.Errorf("the request is answered with %s: %s", answer.Get("error"), answer.Get("error_description"))
	}
	f.round.code = answer.Get("code")
	step.equal("state is what was pushed", f.round.state, answer.Get("state"))
	if !f.wish.sealed() { // That of a JWT has been looked at.
		step.equal("iss is the issuer", f.Server.Issuer, answer.Get("iss"))
	}
	step.check("the code is too long to guess", len(f.round.code) >= 22, "22 characters or more",
		fmt.Sprint(len(f.round.code), " characters"))
	if f.round.code == "" {
		return errors.New("the answer has no code")
	}
	return nil
}

// played lets the flow's own person answer the first request.
func (f *Authorization) played(ctx context.Context, step *Step) (url.Values, error) {
	f.browser = NewBrowser(f.Server)
	did, answer, err := f.answer(ctx, f.round, Approve)
	if f.browser.Page != nil && f.browser.Page.Location != "" {
		step.answers("the browser is sent back with 303", f.browser.Page.Exchange, http.StatusSeeOther, "")
		step.check("to the redirect_uri, without a fragment", err == nil, f.round.redirectURI+"?…", f.browser.Page.Location)
	}
	step.Did = did
	return answer, err
}

// answer takes the browser through the pages of a request and reads what it brings back, which may be a JWT in response.
func (f *Authorization) answer(ctx context.Context, r *round, decision string) (did string, answer url.Values, err error) {
	if _, err = f.browser.Visit(ctx, f.client.AuthorizeURL(r.pushed.RequestURI)); err != nil {
		return "", nil, err
	}
	if did, err = f.browser.Answer(ctx, f.Person, decision); err != nil {
		return did, nil, err
	}
	r.accounts = f.browser.Chosen()
	answer, err = r.brought(f.browser.Page)
	return did, answer, err
}

// brought is what a page takes back to the client.
func (r *round) brought(page *Page) (url.Values, error) {
	if !r.wish.sealed() {
		return ReadReturn(page.Location, r.redirectURI)
	}
	compact, err := page.ReadResponse(r.redirectURI)
	return url.Values{"response": {compact}}, err
}

// told plays the person's answer to a request, and returns what the client is told of it.
func (f *Authorization) told(ctx context.Context, r *round, decision string) (url.Values, error) {
	if _, _, err := f.answer(ctx, r, decision); err != nil {
		return nil, err
	}
	return f.understand(ctx, r, f.browser.Page)
}

// understand is what the client reads when a page takes the browser back to it.
func (f *Authorization) understand(ctx context.Context, r *round, page *Page) (url.Values, error) {
	answer, err := r.brought(page)
	if err != nil || !r.wish.sealed() {
		return answer, err
	}
	opened, err := f.client.OpenResponse(ctx, answer.Get("response"))
	return opened.Parameters(), err
}

// another plays a whole round, up to its code.
func (f *Authorization) another(ctx context.Context, wanted wish) (*round, error) {
	r, err := f.begin(ctx, wanted, playedRedirect)
	if err != nil {
		return nil, err
	}
	answer, err := f.told(ctx, r, Approve)
	r.code = answer.Get("code")
	return r, err
}

func (f *Authorization) redeem(ctx context.Context, step *Step) (err error) {
	f.token, err = f.client.Redeem(ctx, f.round.code, f.round.pair.Verifier, f.round.redirectURI)
	step.nonceChallenge(http.StatusOK)
	if err != nil {
		return err
	}
	if err := f.granted(step, f.round, f.token); err != nil {
		return err
	}
	return f.inspect(ctx, step, f.token, true)
}

// granted looks at the token that a round led to: it has what the person said yes to, and nothing else.
func (f *Authorization) granted(step *Step, r *round, token *Token) error {
	step.scope(r.wish.granted, token.Scope)
	refresh := fmt.Sprint(len(token.RefreshToken), " characters")
	if r.wish.lasts() {
		step.check("a refresh token comes with it", token.RefreshToken != "", "one", refresh)
	} else {
		step.check("no refresh token comes with it", token.RefreshToken == "", "none", refresh)
	}
	access, err := Decode(token.AccessToken)
	if err != nil {
		return fmt.Errorf("the access token is not a JWT: %w", err)
	}
	_, granted := token.Exchange.Details()
	if r.accounts == nil && len(granted) > 0 {
		r.accounts = granted[0].Of() // A person chose in a browser of their own.
	}
	step.details("authorization_details name the chosen accounts", r.wish.read().granted(access.Claim("sub"), r.accounts),
		token.Exchange.JSON()["authorization_details"])
	step.check("grant_id is given", token.GrantID != "" && len(token.GrantID) <= 256, "1 to 256 characters",
		fmt.Sprint(len(token.GrantID), " characters"))
	step.bears(token, access.Claims)
	return nil
}

// again asks for more with a refresh token and looks at what every answer has: the scope, and an access token that can be
// read. Where the server refuses there is no token.
func (f *Authorization) again(ctx context.Context, step *Step, name string, request *Request, scope string) (
	token *Token, access JWT, err error) {
	exchange, err := f.answered(ctx, step, name, http.StatusOK, "", request)
	if err != nil || exchange.Status != http.StatusOK {
		return nil, access, err
	}
	if token, err = readToken(exchange); err != nil {
		return nil, access, err
	}
	if access, err = Decode(token.AccessToken); err != nil {
		return nil, access, fmt.Errorf("the access token is not a JWT: %w", err)
	}
	step.scope(scope, token.Scope)
	return token, access, nil
}

// bears records whether an access token, or what introspection says of one, names the grant as the token response does.
func (s *Step) bears(token *Token, claims map[string]any) {
	s.equal("fdxConsentId is the grant", token.GrantID, claims["fdxConsentId"])
	s.equal("grant_id is the grant", token.GrantID, claims["grant_id"])
	_, granted := token.Exchange.Details()
	s.details("authorization_details are those of the token response", granted, claims["authorization_details"])
}

// AuthorizationCode is the flow `code`: push a request, let a person allow it, redeem the code, use the token, and then
// see everything fail that has to fail.
type AuthorizationCode struct {
	Authorization
}

// Run plays the flow. What the server does wrong is in the Report; the only error is *Unreachable.
func (f *AuthorizationCode) Run(ctx context.Context) (*Report, error) {
	defer f.cleanUp(ctx)
	f.wish = once
	return play(ctx, f.Server, "code", []stage{
		{"discover", f.discover},
		{"registrar token", f.askRegistrarToken},
		{"register a client", f.register},
		{"push the request", f.push},
		{"authorize", f.authorize},
		{"redeem the code", f.redeem},
		{"call a resource", f.callResource},
		{"introspect", f.introspect},
		{"must fail", f.mustFail},
		{"must fail, anew", f.mustFailAnew},
	}, f.Done)
}

func (f *AuthorizationCode) callResource(ctx context.Context, step *Step) error {
	return f.Registrant.callResource(ctx, step, f.token, "")
}

func (f *AuthorizationCode) introspect(ctx context.Context, step *Step) error {
	return f.Registrant.introspect(ctx, step, f.token)
}
