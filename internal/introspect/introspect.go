package introspect

import (
	"context"
	"net/http"
	"time"

	"authserver/internal/accesstoken"
	"authserver/internal/audit"
	"authserver/internal/client"
	"authserver/internal/oauth"
	"authserver/internal/replay"
)

// Store keeps the deny-list and knows which clients are alive.
type Store interface {
	Deny(ctx context.Context, u replay.Use) error
	Denied(ctx context.Context, u replay.Use, clientID, grantID string) (bool, error)
}

// Endpoint is /oauth2/introspect and /oauth2/revoke.
type Endpoint struct {
	Clients  *client.Authenticator
	Tokens   accesstoken.Tokens
	Signer   Signer
	Store    Store
	Inactive oauth.Limit // of inactive answers for one caller: an oracle must not be asked at will
	Now      func() time.Time
}

// Introspect tells an entitled caller what a token says.
func (e *Endpoint) Introspect(w http.ResponseWriter, r *http.Request) error {
	caller, token, err := e.admit(w, r, oauth.MislabelledForm)
	if err != nil {
		return err
	}
	t, known := e.recognise(token)
	if known && maySee(caller, t) {
		denied, err := e.Store.Denied(r.Context(), t.Use(), t.ClientID, "")
		if err != nil {
			return err
		}
		if !denied {
			oauth.Note(w, oauth.FieldToken, t.ID)
			oauth.Note(w, oauth.FieldTokenState, "active")
			return e.answer(w, r, caller, active{Active: true, TokenType: t.Type(), Token: t}, e.Now())
		}
	}
	if err := oauth.Limited(e.Inactive, caller.ID); err != nil {
		return err
	}
	oauth.Note(w, oauth.FieldTokenState, "inactive")
	return e.answer(w, r, caller, inactive{}, e.Now())
}

// Revoke ends the caller's own token. Another client's token is left alone, and the answer does not tell (RFC 7009 §2.2).
func (e *Endpoint) Revoke(w http.ResponseWriter, r *http.Request) error {
	caller, token, err := e.admit(w, r, oauth.FormOnly)
	if err != nil {
		return err
	}
	if t, known := e.recognise(token); known {
		if t.ClientID != caller.ID {
			oauth.Note(w, oauth.FieldOutcome, audit.Denied)
		} else if err := e.Store.Deny(r.Context(), t.Use()); err != nil {
			return err
		}
		oauth.Note(w, oauth.FieldToken, t.ID)
		oauth.Note(w, oauth.FieldEvent, audit.TokenRevoked)
	}
	oauth.NoStore(w)
	w.WriteHeader(http.StatusOK)
	return nil
}

// admit authenticates the caller, spends its assertion and returns the token that the request is about.
func (e *Endpoint) admit(w http.ResponseWriter, r *http.Request, kind oauth.Body) (caller client.Client, token string, err error) {
	form, err := oauth.ReadForm(r, kind)
	if err != nil {
		return caller, "", err
	}
	err = client.Fresh(func() error {
		proven, err := e.Clients.Authenticate(r.Context(), r, form, e.Now())
		if err != nil {
			return err
		}
		oauth.Note(w, oauth.FieldClient, proven.Client.ID)
		if token, err = form.Required("token"); err != nil {
			return err
		}
		caller = proven.Client
		return e.Clients.Records.Spend(r.Context(), proven)
	})
	return caller, token, err
}

// recognise finds what a token says, whatever the token_type_hint: there is one kind of token so far.
func (e *Endpoint) recognise(token string) (accesstoken.Token, bool) {
	t, err := e.Tokens.Recognise(token, e.Now())
	return t, err == nil
}

// maySee tells whether the caller may learn about a token: its own, or one for an audience that it serves.
func maySee(caller client.Client, t accesstoken.Token) bool {
	return t.ClientID == caller.ID || t.For(caller.Serves...)
}
