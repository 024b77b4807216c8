package token

import (
	"net/http"
	"time"

	"authserver/internal/accesstoken"
	"authserver/internal/client"
	"authserver/internal/dpop"
	"authserver/internal/oauth"
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
	Lifetime  time.Duration // of an access token
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
	proof, err := e.Proofs.Verify(r.Header, dpop.Request{Method: r.Method, URL: e.Origin + r.URL.EscapedPath()}, now)
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
	granted.Confirmation.JKT = proof.Thumbprint
	if err := e.Clients.Records.Spend(r.Context(), caller, proof.Use); err != nil {
		return err
	}
	return e.answer(w, granted, now)
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

// answer signs the token and writes the response. The request is spent by now: should the signer fail, the client asks
// again with a new assertion.
func (e *Endpoint) answer(w http.ResponseWriter, granted accesstoken.Token, now time.Time) error {
	compact, issued, err := e.Tokens.Issue(granted, e.Lifetime, now)
	if err != nil {
		return err
	}
	oauth.Note(w, oauth.FieldScope, issued.Scope)
	oauth.Note(w, oauth.FieldToken, issued.ID)
	oauth.WriteJSON(w, http.StatusOK, Response{
		AccessToken: compact,
		TokenType:   issued.Type(),
		ExpiresIn:   issued.ExpiresAt - e.Now().Unix(),
		Scope:       issued.Scope,
	})
	return nil
}
