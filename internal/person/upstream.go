package person

import (
	"context"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"authserver/internal/jose"
	"authserver/internal/oauth"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// assertionLifetime is how long the upstream may take to receive an assertion of ours.
const assertionLifetime = time.Minute

// UpstreamSettings say who we are to the upstream, and who it is.
type UpstreamSettings struct {
	Issuer       string       // as the upstream spells it; https, or http on a loopback host
	ClientID     string       // that the upstream gave us
	ClientSecret oauth.Secret // for client_secret_basic or client_secret_post; this, or ClientKey
	ClientKey    *jose.Signer // for private_key_jwt (OpenID Connect Core §9); the upstream has its public side
	RedirectURL  string       // where the upstream sends people back to, as it is registered there
	Key          []byte       // 32 bytes or more, the same in every replica; nonces and code verifiers come of it
}

// Upstream is a login that somebody else keeps: an OpenID provider (OpenID Connect Core §3.1), with PKCE.
type Upstream struct {
	settings  UpstreamSettings
	http      *http.Client
	nonces    []byte // a key for HMAC; the next line has another
	verifiers []byte
	latest    atomic.Pointer[discovery]
}

// NewUpstream makes the login of an upstream. It does not contact it: the server starts, and serves those who are signed
// in, while the upstream is away.
func NewUpstream(s UpstreamSettings) (*Upstream, error) {
	switch {
	case !isSafe(s.Issuer, true) || strings.Contains(s.Issuer, "?"):
		return nil, errors.New("the upstream's issuer must be an https URL without a query")
	case s.ClientID == "" || s.RedirectURL == "":
		return nil, errors.New("the upstream needs a client_id and a redirect URL")
	case (s.ClientSecret == "") == (s.ClientKey == nil):
		return nil, errors.New("the upstream needs either a client secret or a client key")
	case len(s.Key) < sha256.Size:
		return nil, errors.New("the upstream's key must have 32 bytes")
	}
	nonces, err1 := hkdf.Key(sha256.New, s.Key, nil, "authserver upstream nonce", sha256.Size)
	verifiers, err2 := hkdf.Key(sha256.New, s.Key, nil, "authserver upstream code verifier", sha256.Size)
	return &Upstream{settings: s, http: newBackChannel(answerWithin, &tls.Config{}), nonces: nonces, verifiers: verifiers}, errors.Join(err1, err2)
}

// Wish is what a client asks of the login, in the words of OpenID Connect Core §3.1.2.1, and what this server adds.
type Wish struct {
	Prompt    []string  // goes upstream as it is
	MaxAge    *int      // seconds before Since
	ACRValues []string  // one of them must come back
	LoginHint string    //
	UILocales []string  //
	Fresh     bool      // the person must authenticate anew, whatever session the upstream has
	Since     time.Time // when the browser arrived; the zero time is an error where MaxAge or Fresh is wished
}

// earliest is the moment before which nobody may have authenticated; ok is false if any time will do.
func (w Wish) earliest() (t time.Time, ok bool) {
	switch {
	case w.Fresh:
		return w.Since, true
	case w.MaxAge != nil:
		return w.Since.Add(-time.Duration(*w.MaxAge) * time.Second), true
	}
	return time.Time{}, false
}

// check fails where the wish could not be held against what comes back. This is the caller's fault, not the person's.
func (w Wish) check() error {
	if _, ok := w.earliest(); ok && w.Since.IsZero() {
		return errors.New("person: a wish for a recent authentication does not say since when")
	}
	return nil
}

// Arrived is somebody who comes back from the upstream, proven.
type Arrived struct {
	Identity Identity
	Name     string    // what pages may call them; "": the upstream did not say
	At       time.Time // when they authenticated
	ACR      string    // as the upstream says; "": it said nothing
	AMR      []string  // likewise
}

// Depart returns the URL that a browser is sent to. state is unguessable, comes back in the query, and belongs to one
// departure of one browser: the nonce and the code verifier are derived from it, so that neither is stored. An upstream
// that does not answer is Unavailable.
func (u *Upstream) Depart(ctx context.Context, w Wish, state string, now time.Time) (string, error) {
	if err := w.check(); err != nil {
		return "", err
	}
	d, err := u.discover(ctx, now)
	if err != nil {
		return "", err
	}
	options := []oauth2.AuthCodeOption{oidc.Nonce(derive(u.nonces, state)), oauth2.S256ChallengeOption(derive(u.verifiers, state))}
	for name, value := range w.parameters(d.metadata.Prompts) {
		options = append(options, oauth2.SetAuthURLParam(name, value))
	}
	if d.metadata.ClaimsParameter {
		// Otherwise an upstream need not say when, and how, a person authenticated who was signed in there already, nor
		// what pages may call them.
		options = append(options, oauth2.SetAuthURLParam("claims",
			`{"id_token":{"auth_time":{"essential":true},"amr":null,"preferred_username":null,"name":null}}`))
	}
	return u.client(d).AuthCodeURL(state, options...), nil
}

// parameters are those of the authorization request that the wish brings along. Of select_account not every upstream
// has heard, and then it is its error. It goes only where it is known; elsewhere login alone has the person say who it is.
func (w Wish) parameters(prompts []string) map[string]string {
	prompt, maxAge := slices.Clone(w.Prompt), w.MaxAge
	if w.Fresh && !slices.Contains(prompt, "login") {
		prompt = append([]string{"login"}, prompt...)
	}
	if !slices.Contains(prompts, "select_account") {
		prompt = slices.DeleteFunc(prompt, func(p string) bool { return p == "select_account" })
	}
	if w.Fresh && maxAge == nil {
		maxAge = new(int) // with any max_age the ID token must bear auth_time (OpenID Connect Core §2)
	}
	p := map[string]string{
		"prompt": strings.Join(prompt, " "), "acr_values": strings.Join(w.ACRValues, " "),
		"login_hint": w.LoginHint, "ui_locales": strings.Join(w.UILocales, " "),
	}
	if maxAge != nil {
		p["max_age"] = strconv.Itoa(*maxAge)
	}
	for name, value := range p {
		if value == "" {
			delete(p, name)
		}
	}
	return p
}

// Answer is what a browser brings back from the upstream: a code, or an error and what is said of it.
type Answer struct {
	Code        oauth.Secret
	Error       string
	Description string
}

// Read reads the authorization response (OpenID Connect Core §3.1.2.5) to the departure of this state. What is no answer of
// the upstream's is UpstreamRefused, and has used nothing up. Whose it is comes before what it says.
func (u *Upstream) Read(ctx context.Context, state string, query url.Values, now time.Time) (Answer, error) {
	d, err := u.discover(ctx, now)
	if err != nil {
		return Answer{}, err
	}
	for name, values := range query {
		if len(values) != 1 {
			return Answer{}, unproven("the parameter %q came more than once", name)
		}
	}
	issuer := query.Get("iss")
	switch {
	case issuer != u.settings.Issuer && (query.Has("iss") || d.metadata.SendsIssuer):
		return Answer{}, unproven("iss is %q (RFC 9207), expected %q", issuer, u.settings.Issuer)
	case state == "" || query.Get("state") != state:
		return Answer{}, unproven("the state is not that of the departure")
	case query.Get("error") == "" && (query.Has("error") || query.Get("code") == ""):
		return Answer{}, unproven("there is neither a code nor an error")
	}
	return Answer{oauth.Secret(query.Get("code")), query.Get("error"), query.Get("error_description")}, nil
}

// Arrive proves who comes back with the answer. Refusals: PersonDenied and AuthenticationTooWeak are the person's affair;
// UpstreamRefused is whatever else does not prove one, with its cause for the log; Unavailable is an upstream that does
// not answer. state and w are those of the departure, which must be used only once.
func (u *Upstream) Arrive(ctx context.Context, state string, answer Answer, w Wish, now time.Time) (Arrived, error) {
	if err := w.check(); err != nil {
		return Arrived{}, err
	}
	if answer.Error != "" {
		return Arrived{}, answer.refused()
	}
	d, err := u.discover(ctx, now)
	if err != nil {
		return Arrived{}, err
	}
	raw, err := u.exchange(ctx, d, answer.Code, state, now)
	if err != nil {
		return Arrived{}, err
	}
	claims, err := d.verify(ctx, raw, u.settings.ClientID, now)
	if err != nil {
		return Arrived{}, err
	}
	if !hmac.Equal([]byte(claims.Nonce), []byte(derive(u.nonces, state))) {
		return Arrived{}, unproven("the nonce of the ID token is not that of the departure")
	}
	return claims.judge(u.settings, w, now)
}

// refused is an error of the upstream in this server's words.
func (a Answer) refused() error {
	cause := fmt.Errorf("the upstream answered %q: %q", a.Error, a.Description)
	switch a.Error {
	case "access_denied":
		return oauth.Refuse(oauth.PersonDenied, "the person did not sign in").Because(cause)
	case "unmet_authentication_requirements":
		return tooWeak().Because(cause)
	}
	return unproven("%w", cause)
}

// exchange turns the code into an ID token (OpenID Connect Core §3.1.3).
func (u *Upstream) exchange(ctx context.Context, d *discovery, code oauth.Secret, state string, now time.Time) (string, error) {
	options := []oauth2.AuthCodeOption{oauth2.VerifierOption(derive(u.verifiers, state))}
	if u.settings.ClientKey != nil {
		assertion, err := u.assertion(now)
		if err != nil {
			return "", err
		}
		options = append(options, oauth2.SetAuthURLParam("client_assertion", assertion),
			oauth2.SetAuthURLParam("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"))
	}
	token, err := u.client(d).Exchange(oidc.ClientContext(ctx, u.http), code.Reveal(), options...)
	if err != nil {
		return "", failed(err)
	}
	raw, ok := token.Extra("id_token").(string)
	if !ok {
		return "", unproven("the token endpoint sent no ID token")
	}
	return raw, nil
}

// client is how we speak to the endpoints of a discovery. The way of authentication is never left to the library, which
// would try one after the other, with a code that is good for one try.
func (u *Upstream) client(d *discovery) *oauth2.Config {
	endpoint := oauth2.Endpoint{AuthURL: d.metadata.Authorization, TokenURL: d.metadata.Token, AuthStyle: oauth2.AuthStyleInHeader}
	methods := d.metadata.AuthMethods // without any, client_secret_basic (OpenID Connect Discovery §3)
	if u.settings.ClientKey != nil || len(methods) > 0 && !slices.Contains(methods, "client_secret_basic") {
		endpoint.AuthStyle = oauth2.AuthStyleInParams
	}
	return &oauth2.Config{
		ClientID: u.settings.ClientID, ClientSecret: u.settings.ClientSecret.Reveal(), Endpoint: endpoint,
		RedirectURL: u.settings.RedirectURL, Scopes: []string{oidc.ScopeOpenID},
	}
}

// assertion authenticates us with a key (RFC 7523 §3). Its audience is the issuer, which no endpoint of another server
// can be taken for; providers that follow the RFC's update want only that, and those that were written before take it too.
func (u *Upstream) assertion(now time.Time) (string, error) {
	return u.settings.ClientKey.Sign("JWT", map[string]any{
		"iss": u.settings.ClientID, "sub": u.settings.ClientID, "aud": u.settings.Issuer, "jti": oauth.NewSecret().Reveal(),
		"iat": now.Unix(), "exp": now.Add(assertionLifetime).Unix(),
	})
}

// derive is what belongs to one departure: nobody who sees the state can compute it.
func derive(key []byte, state string) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(state))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}
