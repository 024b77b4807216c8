package authorize

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"time"

	"authserver/internal/grant"
	"authserver/internal/oauth"
	"authserver/internal/page"
	"authserver/internal/person"
)

// own stands in the query of pages that a person has come to of their own accord: no client waits for an answer.
const own = "connected"

// ownDepartures begins the state of such a person's departure to an upstream. No handle of an interaction is as short.
const ownDepartures = "connected"

// ownTurn is the turn of a person who comes of their own accord.
func (e *Endpoint) ownTurn(r *http.Request, now time.Time) (turn, error) {
	t := turn{secret: e.cookie(r, ownCookie)}
	return t, e.readSession(r, &t, now)
}

// askOwn has a person sign in who comes of their own accord. The browser gets a secret, to which the form, or what the
// upstream brings back, is bound.
func (e *Endpoint) askOwn(w http.ResponseWriter, r *http.Request, t turn, now time.Time) error {
	if e.Upstream != nil {
		return e.departOwn(w, r, now)
	}
	if t.secret == "" {
		t.secret = oauth.NewSecret()
	}
	e.setCookie(w, ownCookie, t.secret, grant.InteractionStep)
	e.showOwn(w, r, http.StatusOK, e.ownLogin(t, ""))
	return nil
}

func (e *Endpoint) ownLogin(t turn, username string) page.Login {
	return page.Login{Form: e.form(t, forOwnLogin, connectedPage+"/attempt"), Own: true, Username: username}
}

// OwnAttempt reads a username and a password. The password is looked at only when the form is this browser's own.
func (e *Endpoint) OwnAttempt(w http.ResponseWriter, r *http.Request) error {
	now := e.Now()
	form, err := e.Forms.read(r, "username", "password")
	if err != nil {
		return err
	}
	t, err := e.ownTurn(r, now)
	switch {
	case err != nil:
		return err
	case e.Passwords == nil: // the page is from before people were sent to an upstream
		return e.sendTo(w, e.Issuer+connectedPage)
	}
	if err := e.Forms.check(t, forOwnLogin, form.Get("form_token")); err != nil {
		return err
	}
	username := form.Get("username")
	who, err := e.Passwords.Authenticate(r.Context(), username, form.Get("password"), oauth.Peer(r), now)
	if err != nil {
		return e.tellLogin(w, r, turn{}, e.ownLogin(t, username), err)
	}
	return e.letIn(w, r, who, now)
}

// letIn begins the session of a person who has signed in, and shows what they came for.
func (e *Endpoint) letIn(w http.ResponseWriter, r *http.Request, who person.Authentication, now time.Time) error {
	if _, _, err := e.begin(w, r, who, now); err != nil {
		return err
	}
	e.setCookie(w, ownCookie, "", 0)
	return e.sendTo(w, e.Issuer+connectedPage)
}

// departOwn sends the browser to the upstream. Whoever has just signed out here is asked there who comes.
func (e *Endpoint) departOwn(w http.ResponseWriter, r *http.Request, now time.Time) error {
	secret := oauth.NewSecret()
	var wish person.Wish
	if r.URL.Query().Has(anew) {
		wish.Prompt = []string{"login"}
	}
	target, err := e.Upstream.Depart(r.Context(), wish, ownState(secret), now)
	if err != nil {
		return err
	}
	e.setCookie(w, ownCookie, secret, grant.InteractionStep)
	return e.sendTo(w, target)
}

// ownState is the state of a departure. Only the browser that left knows the secret behind it, which never travels.
func ownState(secret oauth.Secret) string {
	digest := sha256.Sum256([]byte("own departure\x00" + secret.Reveal()))
	return ownDepartures + "." + base64.RawURLEncoding.EncodeToString(digest[:])
}

// returnOwn lets in whom the upstream sends back, once: the secret is gone from the browser then, as is the code from the
// upstream.
func (e *Endpoint) returnOwn(w http.ResponseWriter, r *http.Request, state string, now time.Time) error {
	secret := e.cookie(r, ownCookie)
	switch {
	case e.Upstream == nil: // the browser left when people were sent to one
		return e.sendTo(w, e.Issuer+connectedPage)
	case secret == "" || state != ownState(secret):
		return oauth.Refuse(oauth.InteractionUnknown, "the answer of the login service is not for this browser")
	}
	answer, err := e.Upstream.Read(r.Context(), state, r.URL.Query(), now)
	if err != nil {
		return err
	}
	e.setCookie(w, ownCookie, "", 0)
	arrived, err := e.Upstream.Arrive(r.Context(), state, answer, person.Wish{}, now)
	if err != nil {
		notLetIn(w)
		return err
	}
	who, err := e.recognise(r.Context(), arrived, now)
	if err != nil {
		return err
	}
	return e.letIn(w, r, who, now)
}
