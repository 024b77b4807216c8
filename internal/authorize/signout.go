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
	form, err := e.Forms.read(r)
	if err != nil {
		return err
	}
	t, err := e.find(w, r, form.Get("interaction"), now)
	if err != nil {
		return err
	}
	if err := e.Forms.check(t, forSignOut, form.Get("form_token")); err != nil {
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

// SignedOut says that nobody is signed in, and how to go on as somebody else.
func (e *Endpoint) SignedOut(w http.ResponseWriter, r *http.Request) error {
	model := page.SignedOut{}
	if handle := r.URL.Query().Get("interaction"); isHandle(handle) && e.cookie(r, interactionCookie(handle)) != "" {
		model.Again = e.path(loginPage) + "?interaction=" + handle
	}
	e.Pages.Write(w, e.Pages.Language(nil, r.Header.Get("Accept-Language")), http.StatusOK, model)
	return nil
}
