package authorize

import (
	"net/http"

	"authserver/internal/audit"
	"authserver/internal/oauth"
	"authserver/internal/page"
)

// SignOut ends the session. The interaction stays, for whoever signs in next.
func (e *Endpoint) SignOut(w http.ResponseWriter, r *http.Request) error {
	now := e.Now()
	t, _, err := e.submitted(w, r, forSignOut, now)
	if err != nil {
		return err
	}
	if t.ticket != "" {
		if err := e.Store.SignOut(r.Context(), t.ticket.Hash()); err != nil {
			return err
		}
		oauth.Note(w, oauth.FieldEvent, audit.PersonSignedOut)
		oauth.Note(w, oauth.FieldSubject, t.session.Subject)
	}
	e.setCookie(w, sessionCookie, "", 0)
	return e.toPage(w, "/signed-out", t.handle)
}

// SignedOut says that nobody is signed in, and how to go on as somebody else, if there is something to go on with.
func (e *Endpoint) SignedOut(w http.ResponseWriter, r *http.Request) error {
	t, err := e.find(w, r, r.URL.Query().Get("interaction"), e.Now())
	if err != nil {
		e.show(w, r, turn{}, http.StatusOK, page.SignedOut{})
		return nil
	}
	e.show(w, r, t, http.StatusOK, page.SignedOut{Again: e.path(loginPage) + "?interaction=" + t.handle})
	return nil
}
