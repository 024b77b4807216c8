package authorize

import (
	"context"
	"net/http"
	"strings"
	"time"

	"authserver/internal/audit"
	"authserver/internal/oauth"
	"authserver/internal/page"
	"authserver/internal/person"
)

// Login asks who the person is. It can be opened by somebody who is signed in, to go on as somebody else.
func (e *Endpoint) Login(w http.ResponseWriter, r *http.Request) error {
	now := e.Now()
	t, err := e.find(w, r, r.URL.Query().Get("interaction"), now)
	if err != nil {
		return err
	}
	if e.Upstream != nil {
		return e.depart(w, r, t, t.fresh() || r.URL.Query().Has(anew), now)
	}
	e.show(w, r, t, http.StatusOK, e.loginPage(t, t.interaction.Request.LoginHint))
	return nil
}

func (e *Endpoint) loginPage(t turn, username string) page.Login {
	return page.Login{Form: e.form(t, forLogin, "/login/attempt"), Client: clientName(t.client), Username: username}
}

// Attempt reads a username and a password. The password is looked at only when the form is this browser's own.
func (e *Endpoint) Attempt(w http.ResponseWriter, r *http.Request) error {
	now := e.Now()
	t, form, err := e.submitted(w, r, forLogin, now, "username", "password")
	if err != nil {
		return err
	}
	if e.Passwords == nil { // the page is from before people were sent to an upstream
		return e.goOn(w, r, t, now)
	}
	username := form.Get("username")
	who, err := e.Passwords.Authenticate(r.Context(), username, form.Get("password"), oauth.Peer(r), now)
	if err != nil {
		return e.tellLogin(w, r, t, e.loginPage(t, username), err)
	}
	who.At = later(who.At, t.interaction.OpenedAt)
	return e.signIn(w, r, t, who, now)
}

// tellLogin has a refused login told on the page itself, where it can be tried again.
func (e *Endpoint) tellLogin(w http.ResponseWriter, r *http.Request, t turn, model page.Login, err error) error {
	refusal, ok := err.(*oauth.Error)
	if !ok {
		return err
	}
	notLetIn(w)
	switch refusal.Reason {
	case oauth.LoginRefused:
		model.Problem = page.WrongCredentials
	case oauth.RateLimited:
		model.Problem, model.Wait = page.TooManyAttempts, refusal.RetryAfter
	default:
		model.Problem = page.TooBusy
	}
	refusal.Show = func(w http.ResponseWriter, status int) { e.show(w, r, t, status, model) }
	return refusal
}

// notLetIn has it recorded that somebody wanted to sign in.
func notLetIn(w http.ResponseWriter) {
	oauth.Note(w, oauth.FieldEvent, audit.PersonSignedIn)
	oauth.Note(w, oauth.FieldOutcome, audit.Denied)
}

// begin begins a session under a new secret, whatever the browser had before (session fixation).
func (e *Endpoint) begin(w http.ResponseWriter, r *http.Request, who person.Authentication, now time.Time) (
	session person.Session, ticket oauth.Secret, err error) {
	ticket, session = oauth.NewSecret(), who.Session(now)
	var old []byte
	if former := e.cookie(r, sessionCookie); former != "" {
		old = former.Hash()
	}
	ok, err := e.Store.SignIn(r.Context(), old, ticket.Hash(), who, e.Sessions, now)
	if err != nil {
		return session, "", err
	}
	oauth.Note(w, oauth.FieldSubject, session.Subject)
	if !ok {
		notLetIn(w)
		return session, "", oauth.Refuse(oauth.PersonDisabled, "the person may no longer sign in, or not with that password")
	}
	oauth.Note(w, oauth.FieldEvent, audit.PersonSignedIn)
	e.setCookie(w, sessionCookie, ticket, 0)
	return session, ticket, nil
}

// signIn begins a session and goes on.
func (e *Endpoint) signIn(w http.ResponseWriter, r *http.Request, t turn, who person.Authentication, now time.Time) error {
	session, ticket, err := e.begin(w, r, who, now)
	if err != nil {
		return err
	}
	t.session, t.ticket = session, ticket
	i, alive, err := e.Store.Step(r.Context(), t.id(), session.Subject, now)
	switch {
	case err != nil:
		return err
	case !alive:
		return oauth.Refuse(oauth.RequestAnswered, "the request has been answered")
	}
	t.interaction = i
	next := e.next(r, t)
	if next.page == loginPage { // a login that is not good enough for the request is not asked for again and again
		next = way{refusal: tooWeak(i.Request)}
		if !i.Request.Means(session.Subject) {
			next = way{refusal: somebodyElse()}
		}
	}
	return e.send(w, r, t, next, now)
}

// later keeps a login that was made for an interaction from lying before it, where the clock of another replica is behind.
func later(at, opened time.Time) time.Time {
	if at.Before(opened) {
		return opened
	}
	return at
}

// anew stands in the query of the login for somebody else than was there before: the upstream may still know that person.
const anew = "anew"

// freshly ends the state of a departure on which the upstream was asked for a login anew. It is kept there, under the hash,
// because in another tab somebody may sign in, or out, until the browser comes back.
const freshly = ".fresh"

// fresh tells whether whoever signs in at the upstream must do so anew: the client asked for it, or the person is signed in
// here and still has to sign in.
func (t turn) fresh() bool {
	p := t.interaction.Request
	return t.session.Subject != "" || p.Prompts("login") || p.Prompts("select_account")
}

// wish is what the client asked for of the person's authentication, on this departure.
func (t turn) wish(departure oauth.Secret) person.Wish {
	p := t.interaction.Request
	return person.Wish{
		Prompt: p.Prompt, MaxAge: p.MaxAge, ACRValues: p.ACRValues, LoginHint: p.LoginHint, UILocales: p.UILocales,
		Since: t.interaction.OpenedAt, Fresh: strings.HasSuffix(departure.Reveal(), freshly),
	}
}

// depart sends the browser to the upstream. The state says which cookie to read when it comes back, and bears a secret of
// which the store keeps the hash: it is good for one return, to this browser.
func (e *Endpoint) depart(w http.ResponseWriter, r *http.Request, t turn, fresh bool, now time.Time) error {
	departure := oauth.NewSecret()
	if fresh {
		departure += freshly
	}
	target, err := e.Upstream.Depart(r.Context(), t.wish(departure), t.handle+"."+departure.Reveal(), now)
	if err != nil {
		return err
	}
	ok, err := e.Store.Depart(r.Context(), t.id(), departure.Hash(), now)
	switch {
	case err != nil:
		return err
	case !ok:
		return oauth.Refuse(oauth.InteractionExpired, "the interaction is over")
	}
	return e.sendTo(w, target)
}

// Callback is where the upstream sends the browser back to.
func (e *Endpoint) Callback(w http.ResponseWriter, r *http.Request) error {
	now, query := e.Now(), r.URL.Query()
	state := query.Get("state")
	handle, departure, _ := strings.Cut(state, ".")
	if len(query["state"]) != 1 {
		return oauth.Refuse(oauth.InteractionUnknown, "the answer of the login service bears no state")
	}
	if handle == own {
		return e.returnOwn(w, r, state, now)
	}
	t, err := e.find(w, r, handle, now)
	if err != nil {
		return err
	}
	if e.Upstream == nil { // the browser left when people were sent to one
		return e.goOn(w, r, t, now)
	}
	answer, err := e.Upstream.Read(r.Context(), state, query, now)
	if err != nil {
		return e.tellArrival(w, r, t, err, now)
	}
	_, ok, err := e.Store.Return(r.Context(), t.id(), oauth.Secret(departure).Hash(), now)
	switch {
	case err != nil:
		return err
	case !ok: // it has come back once, or left again in another tab
		return e.goOn(w, r, t, now)
	}
	arrived, err := e.Upstream.Arrive(r.Context(), state, answer, t.wish(oauth.Secret(departure)), now)
	if err != nil {
		return e.tellArrival(w, r, t, err, now)
	}
	who, err := e.recognise(r.Context(), arrived, now)
	if err != nil {
		return err
	}
	return e.signIn(w, r, t, who, now)
}

// recognise finds the person of an arrival.
func (e *Endpoint) recognise(ctx context.Context, a person.Arrived, now time.Time) (person.Authentication, error) {
	who, err := e.Store.Recognise(ctx, a.Identity, a.Name, person.NewSubject(), now)
	return person.Authentication{Person: who, At: a.At, ACR: a.ACR, AMR: a.AMR}, err
}

// tellArrival tells the client what is the person's affair. All else is told on a page. Loading that again begins anew, if it
// was an answer, and it is used up then.
func (e *Endpoint) tellArrival(w http.ResponseWriter, r *http.Request, t turn, err error, now time.Time) error {
	refusal, ok := err.(*oauth.Error)
	switch {
	case !ok:
		return err
	case refusal.Reason == oauth.PersonDenied:
		return e.end(w, r, t, refusal, now)
	}
	notLetIn(w)
	if refusal.Reason == oauth.AuthenticationTooWeak {
		return e.end(w, r, t, tooWeak(t.interaction.Request).Because(err), now)
	}
	return refusal
}
