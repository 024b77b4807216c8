package authorize

import (
	"net/http"

	"authserver/internal/audit"
	"authserver/internal/oauth"
	"authserver/internal/page"
)

// SignOut ends the session, also from a page whose interaction is over or forgotten: nobody shall leave a browser signed in
// because of that. The interaction stays, for whoever signs in next. Where the session is over there is nothing to refuse.
func (e *Endpoint) SignOut(w http.ResponseWriter, r *http.Request) error {
	form, err := e.Forms.read(r, "client_id", "post_logout_redirect_uri", "state")
	if err != nil {
		return err
	}
	afterwards, err := e.afterwards(r.Context(), form)
	if err != nil {
		return err
	}
	t := turn{handle: form.Get("interaction")}
	if t.handle != "" && !isHandle(t.handle) {
		return oauth.Refuse(oauth.InteractionUnknown, "the form names no interaction")
	}
	if err := e.readSession(r, &t, e.Now()); err != nil {
		return err
	}
	if t.ticket != "" {
		if err := e.Forms.check(t, forSignOut, form.Get("form_token")); err != nil {
			return err
		}
		if err := e.Store.SignOut(r.Context(), t.ticket.Hash()); err != nil {
			return err
		}
		oauth.Note(w, oauth.FieldEvent, audit.PersonSignedOut)
		oauth.Note(w, oauth.FieldSubject, t.session.Subject)
	}
	e.setCookie(w, sessionCookie, "", 0)
	switch {
	case afterwards != "":
		return e.sendTo(w, afterwards)
	case t.handle == "": // the page of connected apps
		return e.sendTo(w, e.Issuer+"/signed-out?"+own)
	}
	return e.toPage(w, "/signed-out", t.handle)
}

// SignedOut says that nobody is signed in, and how to go on as somebody else, if there is something to go on with. Whoever
// comes back to it, and is signed in again, is not told that nobody is.
func (e *Endpoint) SignedOut(w http.ResponseWriter, r *http.Request) error {
	now := e.Now()
	t, over := e.find(w, r, r.URL.Query().Get("interaction"), now)
	if over != nil {
		t = turn{}
		if err := e.readSession(r, &t, now); err != nil {
			return err
		}
	}
	switch {
	case t.ticket != "" && r.URL.Query().Has(own):
		return e.sendTo(w, e.Issuer+connectedPage)
	case t.ticket != "" && over != nil:
		return over
	case t.ticket != "":
		return e.goOn(w, r, t, now)
	case over != nil && r.URL.Query().Has(own):
		e.show(w, r, t, http.StatusOK, page.SignedOut{Again: e.path(connectedPage) + "?" + anew + "=1"})
	case over != nil:
		e.show(w, r, t, http.StatusOK, page.SignedOut{})
	default:
		e.show(w, r, t, http.StatusOK, page.SignedOut{Again: e.path(loginPage) + "?interaction=" + t.handle + "&" + anew + "=1"})
	}
	return nil
}
