package introspect

import (
	"context"
	"net/http"
	"time"

	"authserver/internal/accesstoken"
	"authserver/internal/audit"
	"authserver/internal/client"
	"authserver/internal/grant"
	"authserver/internal/oauth"
	"authserver/internal/replay"
	"authserver/internal/response"
)

// Store keeps the deny-list and the grants of people, and knows which clients are alive.
type Store interface {
	Deny(ctx context.Context, u replay.Use) error
	Denied(ctx context.Context, u replay.Use, clientID, grantID string) (denied bool, used *time.Time, err error)
	// FindGrant finds the grant of a token that bears only its id; Used keeps that it was at work.
	FindGrant(ctx context.Context, id string) (g grant.Grant, found bool, err error)
	Used(ctx context.Context, grantID string, now time.Time) error
	// Refresh finds the grant of a refresh token, by its hash, if that gives the client another access token at now.
	Refresh(ctx context.Context, token []byte, clientID string, now time.Time) (g grant.Grant, found bool, err error)
	// RevokeRefreshToken ends the grant of a refresh token, whose client makes the change. revoked is false when it is another
	// client's or had ended; of a token that is not known there is no grantID.
	RevokeRefreshToken(ctx context.Context, token []byte, c grant.Change) (grantID string, revoked bool, err error)
}

// Endpoint is /oauth2/introspect and /oauth2/revoke.
type Endpoint struct {
	Clients  *client.Authenticator
	Tokens   accesstoken.Tokens
	Sealer   response.Sealer
	Store    Store
	Inactive oauth.Limit // of inactive answers for one caller: an oracle must not be asked at will
	Now      func() time.Time
}

// Introspect tells an entitled caller what a token says.
func (e *Endpoint) Introspect(w http.ResponseWriter, r *http.Request) error {
	var into *response.Envelope
	caller, token, err := e.admit(w, r, oauth.MislabelledForm, func(caller client.Client) (err error) {
		into, err = e.envelope(r, caller)
		return err
	})
	if err != nil {
		return err
	}
	says, err := e.about(r.Context(), w, caller, token)
	if err != nil {
		return err
	}
	if says != nil {
		oauth.Note(w, oauth.FieldTokenState, "active")
		return e.answer(w, into, caller, says, e.Now())
	}
	if err := oauth.Limited(e.Inactive, caller.ID); err != nil {
		return err
	}
	oauth.Note(w, oauth.FieldTokenState, "inactive")
	return e.answer(w, into, caller, inactive{}, e.Now())
}

// about is what the caller may know of a token; nil: it is not valid, or not the caller's to see. What kind of token it is
// shows in the token itself, whatever the token_type_hint.
func (e *Endpoint) about(ctx context.Context, w http.ResponseWriter, by client.Client, token string) (any, error) {
	t, unknown := e.Tokens.Recognise(token, e.Now())
	if unknown != nil {
		return e.aboutRefresh(ctx, by, oauth.Secret(token))
	}
	if !maySee(by, t) {
		return nil, nil
	}
	denied, used, err := e.Store.Denied(ctx, t.Use(), t.ClientID, t.GrantID)
	if err != nil || denied {
		return nil, err
	}
	t, found, err := e.complete(ctx, t)
	if err != nil || !found {
		return nil, err
	}
	// Whom a resource asks about is at work; a client that asks about its own token only looks.
	if now := e.Now(); t.GrantID != "" && t.ClientID != by.ID && grant.Idle(used, now) {
		if err := e.Store.Used(ctx, t.GrantID, now); err != nil {
			return nil, err
		}
	}
	oauth.Note(w, oauth.FieldToken, t.ID)
	return active{Active: true, TokenType: t.Type(), Token: t}, nil
}

// complete fills in the details of a token that was too short for them: then they are all of the grant's that its scope
// opens. found is false when the grant, which was there a moment ago, has been erased: without details the token would seem
// to be good for more than was ever granted.
func (e *Endpoint) complete(ctx context.Context, t accesstoken.Token) (whole accesstoken.Token, found bool, err error) {
	if t.ConsentID == "" || t.Details != nil {
		return t, true, nil
	}
	g, found, err := e.Store.FindGrant(ctx, t.GrantID)
	if err != nil || !found {
		return t, false, err
	}
	scope, err := oauth.ParseScope(t.Scope)
	t.Details, _ = g.Details.Intersect(scope)
	return t, true, err
}

func (e *Endpoint) aboutRefresh(ctx context.Context, by client.Client, token oauth.Secret) (any, error) {
	g, found, err := e.Store.Refresh(ctx, token.Hash(), by.ID, e.Now())
	if err != nil || !found {
		return nil, err
	}
	scope, err := oauth.ParseScope(g.Scope)
	if err != nil {
		return nil, err
	}
	details, scope := g.Details.Intersect(scope)
	return activeRefresh{
		Active: true, Issuer: e.Tokens.Issuer, Subject: g.Subject, ClientID: g.ClientID, Scope: scope.String(),
		IssuedAt: g.CreatedAt.Unix(), ExpiresAt: g.ExpiresAt.Unix(),
		GrantID: g.ID, ConsentID: g.ConsentID(), Details: details,
	}, nil
}

// Revoke ends the caller's own token: an access token alone, a refresh token with its grant and all access tokens of it
// (RFC 7009 §2.1). Another client's token is left alone, and the answer does not tell (RFC 7009 §2.2).
func (e *Endpoint) Revoke(w http.ResponseWriter, r *http.Request) error {
	caller, token, err := e.admit(w, r, oauth.FormOnly, func(client.Client) error { return nil })
	if err != nil {
		return err
	}
	if t, unknown := e.Tokens.Recognise(token, e.Now()); unknown == nil {
		err = e.revokeAccess(r.Context(), w, caller, t)
	} else {
		err = e.revokeRefresh(r.Context(), w, caller, oauth.Secret(token))
	}
	if err != nil {
		return err
	}
	oauth.NoStore(w)
	w.WriteHeader(http.StatusOK)
	return nil
}

func (e *Endpoint) revokeAccess(ctx context.Context, w http.ResponseWriter, by client.Client, t accesstoken.Token) error {
	if t.ClientID != by.ID {
		oauth.Note(w, oauth.FieldOutcome, audit.Denied)
	} else if err := e.Store.Deny(ctx, t.Use()); err != nil {
		return err
	}
	oauth.Note(w, oauth.FieldToken, t.ID)
	oauth.Note(w, oauth.FieldEvent, audit.TokenRevoked)
	return nil
}

// revokeRefresh ends a grant, if the token is a refresh token; one that is not known is as good as revoked.
func (e *Endpoint) revokeRefresh(ctx context.Context, w http.ResponseWriter, by client.Client, token oauth.Secret) error {
	change := grant.Stopped(grant.RefreshTokenRevoked, by.ID, oauth.InteractionID(w), e.Now())
	grantID, revoked, err := e.Store.RevokeRefreshToken(ctx, token.Hash(), change)
	if err != nil || grantID == "" {
		return err
	}
	if !revoked {
		oauth.Note(w, oauth.FieldOutcome, audit.Denied)
	}
	oauth.Note(w, oauth.FieldGrantID, grantID)
	oauth.Note(w, oauth.FieldEvent, audit.GrantRevoked)
	return nil
}

// admit authenticates the caller, spends its assertion and returns the token that the request is about. Before it spends
// anything it has ready make sure that the caller can be answered.
func (e *Endpoint) admit(w http.ResponseWriter, r *http.Request, kind oauth.Body, ready func(client.Client) error) (
	caller client.Client, token string, err error) {
	form, err := oauth.ReadForm(r, kind)
	if err != nil {
		return caller, "", err
	}
	err = client.Fresh(func() error {
		proven, err := e.Clients.Authenticate(r.Context(), r, form, e.Now())
		if err != nil {
			return err
		}
		caller = proven.Client
		oauth.Note(w, oauth.FieldClient, caller.ID)
		if token, err = form.Required("token"); err != nil {
			return err
		}
		if err := ready(caller); err != nil {
			return e.Clients.Records.Doubt(r.Context(), caller, err)
		}
		return e.Clients.Records.Spend(r.Context(), proven)
	})
	return caller, token, err
}

// maySee tells whether the caller may learn about a token: its own, or one for an audience that it serves.
func maySee(caller client.Client, t accesstoken.Token) bool {
	return t.ClientID == caller.ID || t.For(caller.Serves...)
}
