package token

import (
	"cmp"
	"net/http"
	"time"

	"authserver/internal/accesstoken"
	"authserver/internal/audit"
	"authserver/internal/client"
	"authserver/internal/dpop"
	"authserver/internal/oauth"
	"authserver/internal/replay"
)

// GrantTypes are the grants that this endpoint redeems, for the metadata.
func GrantTypes() []string { return []string{clientCredentials} }

// Endpoint is /oauth2/token.
type Endpoint struct {
	Clients   *client.Authenticator
	Proofs    dpop.Verifier
	Tokens    accesstoken.Tokens
	Origin    string        // scheme and host of the public URLs, for htu
	Resources []string      // acceptable resource parameters; the first is the default audience
	Lifetime  time.Duration // of an access token, where the operator has set none for the client
	Now       func() time.Time
}

// Response is a successful token response (RFC 6749 §5.1).
type Response struct {
	AccessToken string `json:"access_token"`
	TokenType   string `json:"token_type"`
	ExpiresIn   int64  `json:"expires_in"` // seconds
	Scope       string `json:"scope"`
}

// Token answers a token request.
func (e *Endpoint) Token(w http.ResponseWriter, r *http.Request) error {
	form, err := oauth.ReadForm(r, oauth.FormOrJSON)
	if err != nil {
		return err
	}
	return client.Fresh(func() error { return e.redeem(w, r, form) })
}

func (e *Endpoint) redeem(w http.ResponseWriter, r *http.Request, form oauth.Form) error {
	now := e.Now()
	caller, err := e.Clients.Authenticate(r.Context(), r, form, now)
	if err != nil {
		return err
	}
	oauth.Note(w, oauth.FieldClient, caller.Client.ID)
	grantType, err := grantTypeOf(caller.Client, form)
	if err != nil {
		return e.Clients.Records.Doubt(r.Context(), caller.Client, err)
	}
	oauth.Note(w, oauth.FieldGrant, grantType)
	bound, err := e.bind(r, caller.Client, now)
	if err != nil {
		return err
	}
	var granted accesstoken.Token
	switch grantType {
	case clientCredentials:
		granted, err = e.judgeClientCredentials(caller.Client, form)
	}
	if err != nil {
		return e.Clients.Records.Doubt(r.Context(), caller.Client, err)
	}
	granted.Confirmation = bound.to
	if err := e.Clients.Records.Spend(r.Context(), caller, bound.uses...); err != nil {
		return err
	}
	return e.answer(w, granted, cmp.Or(caller.Client.TokenLifetime, e.Lifetime), now)
}

// grantTypeOf is the request's grant_type, if this server offers it and the client is registered for it.
func grantTypeOf(c client.Client, form oauth.Form) (string, error) {
	grantType, err := form.Required("grant_type")
	if err != nil {
		return "", err
	}
	if grantType != clientCredentials {
		return "", oauth.Refuse(oauth.GrantTypeUnsupported, "this server offers the grant type %s only", clientCredentials)
	}
	if !c.May(grantType) {
		return "", oauth.Refuse(oauth.GrantTypeNotRegistered, "the client is not registered for the grant type %s", grantType)
	}
	return grantType, nil
}

// binding is what a token is to be bound to, and what proving it uses up. Both are empty for an unbound token.
type binding struct {
	to   accesstoken.Confirmation
	uses []replay.Use
}

// bind verifies the request's proof of possession. A client that the operator lets have unbound tokens may leave it out;
// whoever sends one gets a bound token.
func (e *Endpoint) bind(r *http.Request, c client.Client, now time.Time) (binding, error) {
	missing := !dpop.Has(r.Header)
	if missing && c.TokensMayBeUnbound() {
		return binding{}, nil
	}
	proof, err := e.Proofs.Verify(r.Header, dpop.Request{Method: r.Method, URL: e.Origin + r.URL.EscapedPath()}, now)
	switch {
	case err != nil && missing: // which another record might have allowed
		return binding{}, e.Clients.Records.Doubt(r.Context(), c, err)
	case err != nil:
		return binding{}, err
	}
	return binding{accesstoken.Confirmation{JKT: proof.Thumbprint}, []replay.Use{proof.Use}}, nil
}

// answer signs the token and writes the response. The request is spent by now: should the signer fail, the client asks
// again with a new assertion.
func (e *Endpoint) answer(w http.ResponseWriter, granted accesstoken.Token, lifetime time.Duration, now time.Time) error {
	compact, issued, err := e.Tokens.Issue(granted, lifetime, now)
	if err != nil {
		return err
	}
	oauth.Note(w, oauth.FieldScope, issued.Scope)
	oauth.Note(w, oauth.FieldToken, issued.ID)
	oauth.Note(w, oauth.FieldTokenType, issued.Type())
	oauth.Note(w, oauth.FieldEvent, audit.TokenIssued)
	oauth.WriteJSON(w, http.StatusOK, Response{
		AccessToken: compact,
		TokenType:   issued.Type(),
		ExpiresIn:   issued.ExpiresAt - e.Now().Unix(),
		Scope:       issued.Scope,
	})
	return nil
}
