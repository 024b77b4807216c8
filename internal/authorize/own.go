package authorize

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"time"

	"authserver/internal/grant"
	"authserver/internal/oauth"
	"authserver/internal/page"
	"authserver/internal/person"
	"authserver/internal/replay"
)

// own stands for a person who has come of their own accord, so that no client waits for an answer: in the query of pages, and
// first in the state of a departure, where no handle of an interaction is as short.
const own = "connected"

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

// departOwn sends the browser to the upstream. Whoever has just signed out here must authenticate there anew.
func (e *Endpoint) departOwn(w http.ResponseWriter, r *http.Request, now time.Time) error {
	d := ownDeparture{secret: oauth.NewSecret(), at: now.Truncate(time.Second), fresh: r.URL.Query().Has(anew)}
	target, err := e.Upstream.Depart(r.Context(), d.wish(), d.state(), now)
	if err != nil {
		return err
	}
	e.setCookie(w, ownCookie, d.secret, grant.InteractionStep)
	return e.sendTo(w, target)
}

// ownDeparture is a departure of a person who comes of their own accord. Only the browser that left knows its secret, which
// never travels: the state has a digest of it, and so nobody else can bring that back.
type ownDeparture struct {
	secret oauth.Secret
	at     time.Time // in whole seconds
	fresh  bool      // the person must authenticate anew
}

// state goes to the upstream and comes back: when the browser left, how, and the digest of both and of the secret.
func (d ownDeparture) state() string {
	terms := strconv.FormatInt(d.at.Unix(), 10)
	if d.fresh {
		terms += freshly
	}
	digest := sha256.Sum256([]byte("own departure\x00" + d.secret.Reveal() + "\x00" + terms))
	return own + "." + base64.RawURLEncoding.EncodeToString(digest[:]) + "." + terms
}

// ownDepartureOf is the departure of a browser with this secret that comes back with a state at now; ok is false when it has
// left with another, or too long ago.
func ownDepartureOf(secret oauth.Secret, state string, now time.Time) (d ownDeparture, ok bool) {
	parts := strings.SplitN(state, ".", 3)
	if secret == "" || len(parts) != 3 {
		return d, false
	}
	terms, fresh := strings.CutSuffix(parts[2], freshly)
	seconds, err := strconv.ParseInt(terms, 10, 64)
	d = ownDeparture{secret, time.Unix(seconds, 0), fresh}
	age := now.Sub(d.at)
	return d, err == nil && state == d.state() && age < grant.InteractionStep && age > -ownAhead
}

// ownAhead is how far the clock of the replica that a browser left from may be ahead.
const ownAhead = 30 * time.Second

// wish is what is asked of the authentication.
func (d ownDeparture) wish() person.Wish { return person.Wish{Fresh: d.fresh, Since: d.at} }

// use is the one return that a departure is good for.
func (d ownDeparture) use() replay.Use {
	return replay.NewUse(replay.Departure, own, d.state(), d.at)
}

// returnOwn lets in whom the upstream sends back, once. What is no answer uses nothing up.
func (e *Endpoint) returnOwn(w http.ResponseWriter, r *http.Request, state string, now time.Time) error {
	d, ours := ownDepartureOf(e.cookie(r, ownCookie), state, now)
	switch {
	case e.Upstream == nil: // the browser left when people were sent to one
		return e.sendTo(w, e.Issuer+connectedPage)
	case !ours:
		return oauth.Refuse(oauth.InteractionUnknown, "the answer of the login service is not for this browser, or comes too late")
	}
	answer, err := e.Upstream.Read(r.Context(), state, r.URL.Query(), now)
	if err != nil {
		return err
	}
	outcome, err := e.Store.Spend(r.Context(), replay.Spend{Uses: []replay.Use{d.use()}})
	switch {
	case err != nil:
		return err
	case outcome.Replayed != "": // it has come back once
		return e.sendTo(w, e.Issuer+connectedPage)
	}
	arrived, err := e.Upstream.Arrive(r.Context(), state, answer, d.wish(), now)
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
