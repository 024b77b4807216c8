package consent

import (
	"context"
	"net/http"
	"time"

	"authserver/internal/accesstoken"
	"authserver/internal/audit"
	"authserver/internal/client"
	"authserver/internal/fdx"
	"authserver/internal/grant"
	"authserver/internal/oauth"
	"authserver/internal/resource"
)

// Store keeps the consents and their clients.
type Store interface {
	// FindConsent finds a consent of any client, alive or not; the id may be any text of a stranger.
	FindConsent(ctx context.Context, id string) (c grant.Consent, found bool, err error)
	FindClient(ctx context.Context, id string) (c client.Client, found bool, err error)
	// RevokeGrant ends a grant of the owner and keeps the change, in one commit; only of Ended it keeps anything.
	RevokeGrant(ctx context.Context, id string, by grant.Owner, c grant.Change) (grant.Grant, grant.Ending, error)
}

// Endpoint is /fdx/v6/consents/{consent_id} and what is below.
type Endpoint struct {
	Guard  resource.Guard
	Store  Store
	Bank   string // the provider of the data, as the pages call it
	Issuer string // its homeUri
	Now    func() time.Time
}

// Show answers with the consent.
func (e *Endpoint) Show(w http.ResponseWriter, r *http.Request, id string) error {
	now := e.Now()
	c, err := e.admit(w, r, id, now)
	if err != nil {
		return err
	}
	recipient, found, err := e.Store.FindClient(r.Context(), c.ClientID)
	if err != nil {
		return err
	}
	if !found {
		return unknown() // the client is deleted in this moment
	}
	oauth.WriteJSON(w, http.StatusOK, e.describe(c, recipient, now))
	return nil
}

// Revocations answers with the one change that ended the consent, if there is one.
func (e *Endpoint) Revocations(w http.ResponseWriter, r *http.Request, id string) error {
	c, err := e.admit(w, r, id, e.Now())
	if err != nil {
		return err
	}
	oauth.WriteJSON(w, http.StatusOK, revocationsOf(c))
	return nil
}

// Revoke ends the consent, for the reason that the body gives.
func (e *Endpoint) Revoke(w http.ResponseWriter, r *http.Request, id string) error {
	now := e.Now()
	admission, err := e.Guard.Verify(r, now)
	if err != nil {
		return err
	}
	why, err := readRevocation(r)
	if err != nil {
		return err
	}
	if err := e.Guard.Spend(r.Context(), admission); err != nil {
		return err
	}
	c, err := e.find(w, r, admission.Token, id)
	if err != nil {
		return err
	}
	return e.end(w, r, c, why, now)
}

// end ends a consent that the client may end, unless it has ended before.
func (e *Endpoint) end(w http.ResponseWriter, r *http.Request, c grant.Consent, why fdx.Revocation, now time.Time) error {
	change := grant.StoppedByClient(c.ClientID, why, oauth.InteractionID(w), now)
	g, ending, err := e.Store.RevokeGrant(r.Context(), c.ID, grant.Owner{ClientID: c.ClientID}, change)
	switch {
	case err != nil:
		return err
	case ending == grant.NoGrant:
		return unknown() // it is forgotten in this moment
	case ending == grant.EndedBefore:
		return oauth.Refuse(oauth.ConsentEnded, "the consent has ended before")
	}
	oauth.Note(w, oauth.FieldGrantID, g.ID)
	oauth.Note(w, oauth.FieldSubject, g.Subject)
	oauth.Note(w, oauth.FieldEvent, audit.GrantRevoked)
	oauth.NoStore(w)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// admit spends the proof of whoever only reads, and finds the consent.
func (e *Endpoint) admit(w http.ResponseWriter, r *http.Request, id string, now time.Time) (grant.Consent, error) {
	token, err := e.Guard.Admit(r, now)
	if err != nil {
		return grant.Consent{}, err
	}
	return e.find(w, r, token, id)
}

// find is the consent of the id, if the token opens it.
func (e *Endpoint) find(w http.ResponseWriter, r *http.Request, token accesstoken.Token, id string) (grant.Consent, error) {
	oauth.Note(w, oauth.FieldClient, token.ClientID)
	c, found, err := e.Store.FindConsent(r.Context(), id)
	switch {
	case err != nil:
		return grant.Consent{}, err
	case !found, !opens(token, c.Grant):
		return grant.Consent{}, unknown()
	}
	return c, nil
}

// opens tells whether a token is one of the grant's client, in the client's own name or of this very grant, and the grant a
// consent of FDX.
func opens(t accesstoken.Token, g grant.Grant) bool {
	own := t.GrantID == "" && t.Subject == t.ClientID
	return t.ClientID == g.ClientID && (own || t.GrantID == g.ID) && len(g.Details.ConsentRequests()) > 0
}

// unknown is the one answer about a consent that does not exist, and about one that is not the caller's.
func unknown() error {
	return oauth.Refuse(oauth.ConsentUnknown, "the access token opens no consent of this id")
}
