package token

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"authserver/internal/accesstoken"
	"authserver/internal/audit"
	"authserver/internal/client"
	"authserver/internal/issuer"
	"authserver/internal/oauth"
)

// JWTBearer is the grant type of an assertion by a trusted issuer (RFC 7523 §2.1).
const JWTBearer = "urn:ietf:params:oauth:grant-type:jwt-bearer"

// requester is the client that a request comes from, and the assertion that is its grant.
type requester struct {
	client.Caller
	assertion *issuer.Assertion // nil: the grant is another
}

// identify finds out which client a request comes from: the one that it proves, or, of an assertion that comes alone where
// the record of its issuer lets it, the one that the record names (RFC 7523 §3.1). Client authentication that is there is
// always judged.
func (e *Endpoint) identify(w http.ResponseWriter, r *http.Request, form oauth.Form, now time.Time) (requester, error) {
	caller, err := e.Clients.Authenticate(r.Context(), r, form, now)
	if err == nil || !comesAlone(form, err) {
		return requester{Caller: caller}, err
	}
	offers, err2 := e.Assertions.Offers(r.Context())
	switch {
	case err2 != nil:
		return requester{}, err2
	case !offers: // then the request is like any other that lacks client authentication
		return requester{}, err
	}
	oauth.Note(w, oauth.FieldActor, audit.Issuer)
	return e.alone(r.Context(), form, now)
}

// comesAlone tells whether a request brings an assertion as its grant, and nothing that says which client sends it: a
// certificate without client_id does not.
func comesAlone(form oauth.Form, unauthenticated error) bool {
	refusal, ok := errors.AsType[*oauth.Error](unauthenticated)
	return ok && refusal.Reason == oauth.ClientAuthMissing && form.Get("client_assertion_type") == "" &&
		form.Get("grant_type") == JWTBearer
}

// alone finds the client that stands for the issuer of an assertion. That client authentication is demanded is said only to
// who has the assertion of a proven issuer.
func (e *Endpoint) alone(ctx context.Context, form oauth.Form, now time.Time) (requester, error) {
	asserted, err := e.verifyAssertion(ctx, form, now)
	if err != nil {
		return requester{}, err
	}
	id, ok := asserted.Issuer.Alone()
	if !ok {
		return requester{}, oauth.Refuse(oauth.ClientAuthMissing, "client_assertion is missing (private_key_jwt); "+
			"assertions of this issuer are taken only from a client that authenticates")
	}
	if sent := form.Get("client_id"); sent != "" && sent != id {
		return requester{}, oauth.Refuse(oauth.AssertionGrantClient,
			"client_id is not that of the client which stands for the issuer")
	}
	c, found, err := e.Clients.Records.Find(ctx, id)
	if err == nil && !found {
		err = oauth.Refuse(oauth.AssertionGrantClient, "the client that stands for the issuer is not registered any more")
	}
	return requester{client.Caller{Client: c}, &asserted}, err
}

func (e *Endpoint) verifyAssertion(ctx context.Context, form oauth.Form, now time.Time) (issuer.Assertion, error) {
	compact, err := form.Required("assertion")
	if err != nil {
		return issuer.Assertion{}, err
	}
	return e.Assertions.Verify(ctx, compact, now)
}

// vouch wants an assertion of an issuer that vouches to this client.
func (e *Endpoint) vouch(ctx context.Context, by *requester, form oauth.Form, now time.Time) error {
	if by.assertion == nil {
		asserted, err := e.verifyAssertion(ctx, form, now)
		if err != nil {
			return err
		}
		by.assertion = &asserted
	}
	if !by.assertion.Issuer.Serves(by.Client.ID) {
		return oauth.Refuse(oauth.AssertionGrantClient, "the client may not redeem assertions of this issuer")
	}
	by.Uses, by.Voucher = append(by.Uses, by.assertion.Use), by.assertion.Issuer.Voucher()
	return nil
}

// judgeJWTBearer decides what an assertion gives: a token for its subject in the scopes of the issuer's record, as far as the
// client is registered for them, and nothing else. It is never refreshed: the issuer signs another assertion.
func (e *Endpoint) judgeJWTBearer(w http.ResponseWriter, by requester, form oauth.Form) (redemption, error) {
	i, subject := by.assertion.Issuer, by.assertion.Subject
	scope, err := assertedScope(i, by.Client, form)
	if err != nil {
		return nil, err
	}
	audience, err := e.withoutPerson(form)
	if err != nil {
		return nil, err
	}
	token := accesstoken.Token{Subject: subject, ClientID: by.Client.ID, Audience: audience, Scope: scope.String()}
	return func(context.Context) (granted, error) {
		oauth.Note(w, oauth.FieldIssuer, i.Name)
		oauth.Note(w, oauth.FieldSubject, subject)
		return granted{token: token, lives: i.TokenLifetime}, nil
	}, nil
}

// assertedScope is the requested scope, or all that there is when none is requested.
func assertedScope(i issuer.Issuer, c client.Client, form oauth.Form) (oauth.Scope, error) {
	asked, err := oauth.ParseScope(form.Get("scope"))
	if err != nil {
		return nil, err
	}
	open := slices.DeleteFunc(c.Scope(), func(s string) bool { return !i.Opens(s) })
	switch {
	case asked.Beyond(open) != "":
		return nil, oauth.Refuse(oauth.ScopeNotRegistered,
			"assertions of this issuer open less than the requested scope to this client: %s", open)
	case asked != nil:
		return asked, nil
	case len(open) == 0:
		return nil, oauth.Refuse(oauth.ScopeEmpty, "the client is registered for no scope that assertions of this issuer open")
	}
	return open, nil
}
