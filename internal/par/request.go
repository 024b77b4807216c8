package par

import (
	"encoding/base64"
	"slices"
	"strconv"
	"strings"

	"authserver/internal/client"
	"authserver/internal/fdx"
	"authserver/internal/grant"
	"authserver/internal/oauth"
)

// The bounds of parameters that are kept and given back, in bytes. Longer ones are refused, never cut.
const (
	maxState     = 2 << 10
	maxNonce     = 512
	maxLoginHint = 256
	maxClaims    = 8 << 10
	maxList      = 2 << 10
	maxWords     = 20 // of a list
	maxMaxAge    = 10 * 365 * 24 * 3600
)

// judge holds the parameters of a request against the client's registration and this server's offer.
func (e *Endpoint) judge(c client.Client, form oauth.Form) (grant.Pushed, error) {
	if err := checkKind(c, form); err != nil {
		return grant.Pushed{}, err
	}
	mode, err := modeFor(c, form.Get("response_mode"))
	if err != nil {
		return grant.Pushed{}, err
	}
	redirectURI, err := redirectURIFor(c, form)
	if err != nil {
		return grant.Pushed{}, err
	}
	challenge, err := challengeOf(form)
	if err != nil {
		return grant.Pushed{}, err
	}
	scope, err := scopeFor(c, form.Get("scope"))
	if err != nil {
		return grant.Pushed{}, err
	}
	details, scope, err := detailsFor(c, form, scope)
	if err != nil {
		return grant.Pushed{}, err
	}
	resources, err := form.Resources(e.Resources)
	if err != nil {
		return grant.Pushed{}, err
	}
	p := grant.Pushed{
		ClientID: c.ID, RedirectURI: redirectURI, ResponseMode: mode, Scope: scope.String(), Details: details,
		Resources: resources, CodeChallenge: challenge,
	}
	if err := readOpenID(&p, c, form); err != nil {
		return grant.Pushed{}, err
	}
	return p, e.readWhom(&p, c, form)
}

// checkKind refuses requests of a kind that this server, or this client, does not make.
func checkKind(c client.Client, form oauth.Form) error {
	switch responseType := form.Get("response_type"); {
	case responseType == "":
		return oauth.Refuse(oauth.ParameterMissing, "response_type is missing")
	case responseType != "code":
		return oauth.Refuse(oauth.ResponseTypeUnsupported, "response_type must be code")
	case !c.May("authorization_code"):
		return oauth.Refuse(oauth.GrantTypeNotRegistered, "the client is not registered for the grant type authorization_code")
	}
	return nil
}

// redirectURIFor is the request's redirect_uri if it is registered to the letter.
func redirectURIFor(c client.Client, form oauth.Form) (string, error) {
	uri, err := form.Required("redirect_uri")
	if err != nil {
		return "", err
	}
	if c.RedirectsTo(uri) {
		return uri, nil
	}
	return "", oauth.Refuse(oauth.RedirectURIUnknown, "redirect_uri is not one of the client's registered redirect_uris, compared character by character")
}

// challengeOf is the PKCE challenge. The method must be named: RFC 7636 §4.3 would take its absence for plain.
func challengeOf(form oauth.Form) (string, error) {
	challenge, err := form.Required("code_challenge")
	switch {
	case err != nil:
		return "", err
	case form.Get("code_challenge_method") != "S256":
		return "", oauth.Refuse(oauth.ChallengeRefused, "code_challenge_method must be S256")
	case !isDigest(challenge):
		return "", oauth.Refuse(oauth.ChallengeRefused, "code_challenge must be the SHA-256 of the verifier, 43 characters of base64url")
	}
	return challenge, nil
}

// isDigest tells whether a text is a SHA-256 digest in its one spelling as base64url.
func isDigest(s string) bool {
	digest, err := base64.RawURLEncoding.Strict().DecodeString(s)
	return err == nil && len(digest) == 32
}

// scopeFor is the requested scope, or all that is registered when none is requested, as far as a person can grant it. The
// scopes of client registration belong to a client's own name; they are left out and not refused, because clients of FDX ask
// for all that they are registered for. The response's scope tells.
func scopeFor(c client.Client, requested string) (oauth.Scope, error) {
	scope, err := oauth.ParseScope(requested)
	if err != nil {
		return nil, err
	}
	registered := c.Scope()
	if scope == nil {
		scope = registered
	}
	if scope.Beyond(registered) != "" {
		return nil, oauth.Refuse(oauth.ScopeNotRegistered, "the client is not registered for all of the requested scope; registered: %s", registered)
	}
	scope = slices.DeleteFunc(slices.Clone(scope), func(s string) bool { return strings.HasPrefix(s, "client.") })
	if len(scope) == 0 {
		return nil, oauth.Refuse(oauth.ScopeEmpty, "no scope is left that a person could grant")
	}
	return scope, nil
}

// detailsFor is what the person is asked to share, and the scope that goes with it.
func detailsFor(c client.Client, form oauth.Form, scope oauth.Scope) (fdx.Details, oauth.Scope, error) {
	details, err := c.Details(form)
	if err != nil {
		return nil, nil, err
	}
	return details.Settle(scope, c.Ceilings())
}

// readOpenID reads the parameters that travel with the request, and those about the person's authentication (OpenID
// Connect Core §3.1.2.1).
func readOpenID(p *grant.Pushed, c client.Client, form oauth.Form) (err error) {
	for _, text := range []struct {
		name string
		into *string
		most int
	}{{"state", &p.State, maxState}, {"nonce", &p.Nonce, maxNonce}, {"login_hint", &p.LoginHint, maxLoginHint}} {
		if *text.into = form.Get(text.name); len(*text.into) > text.most {
			return oauth.Refuse(oauth.ParameterTooLong, "%s has %d bytes; at most %d are taken", text.name, len(*text.into), text.most)
		}
	}
	for _, list := range []struct {
		name string
		into *[]string
	}{{"prompt", &p.Prompt}, {"acr_values", &p.ACRValues}, {"ui_locales", &p.UILocales}} {
		if *list.into, err = words(form, list.name); err != nil {
			return err
		}
	}
	if err = checkPrompt(p.Prompt); err != nil {
		return err
	}
	p.MaxAge, err = maxAgeOf(form.Get("max_age"), c.Metadata.DefaultMaxAge)
	return err
}

// words are the values of a parameter that is a list with spaces between, and nothing else; nil when there are none.
func words(form oauth.Form, name string) ([]string, error) {
	list := form.Get(name)
	all := strings.FieldsFunc(list, func(r rune) bool { return r == ' ' })
	switch {
	case len(list) > maxList || len(all) > maxWords:
		return nil, oauth.Refuse(oauth.ParameterTooLong, "%s has %d values in %d bytes; at most %d in %d are taken", name, len(all), len(list), maxWords, maxList)
	case len(all) == 0:
		return nil, nil
	}
	return all, nil
}

func checkPrompt(prompts []string) error {
	for _, word := range prompts {
		if !slices.Contains([]string{"none", "login", "consent", "select_account"}, word) {
			return oauth.Refuse(oauth.PromptRefused, "prompt must be none, or some of login, consent and select_account")
		}
	}
	if slices.Contains(prompts, "none") && len(prompts) > 1 {
		return oauth.Refuse(oauth.PromptRefused, "prompt=none must stand alone")
	}
	return nil
}

func maxAgeOf(value string, registered *int) (*int, error) {
	if value == "" {
		return registered, nil
	}
	seconds, err := strconv.Atoi(value)
	if err != nil || seconds < 0 || seconds > maxMaxAge || strconv.Itoa(seconds) != value {
		return nil, oauth.Refuse(oauth.MaxAgeRefused, "max_age must be a whole number of seconds, %d at most", maxMaxAge)
	}
	return &seconds, nil
}
