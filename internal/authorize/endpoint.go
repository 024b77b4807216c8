package authorize

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"

	"authserver/internal/client"
	"authserver/internal/fdx"
	"authserver/internal/grant"
	"authserver/internal/idtoken"
	"authserver/internal/oauth"
	"authserver/internal/page"
	"authserver/internal/person"
	"authserver/internal/replay"
	"authserver/internal/response"
)

// Store keeps interactions, sessions and what people decide. Every id is a SHA-256.
type Store interface {
	FindClient(ctx context.Context, id string) (c client.Client, found bool, err error)
	Visit(ctx context.Context, v grant.Visit, now time.Time) (grant.Interaction, grant.Arrival, error)
	// Step has the interaction go on for a subject; false when it is unknown, over or answered.
	Step(ctx context.Context, id []byte, subject string, now time.Time) (grant.Interaction, bool, error)
	Choose(ctx context.Context, id []byte, subject string, accounts []string, now time.Time) (grant.Interaction, bool, error)
	// Decide keeps the one answer to a request; no approval is a no.
	Decide(ctx context.Context, id []byte, subject string, approval *grant.Approval, now time.Time) (grant.Interaction, grant.Decision, error)
	// Consents are what a person has allowed, and so many that are over; RevokeGrant ends one for its owner.
	Consents(ctx context.Context, subject string, over int, now time.Time) ([]grant.Consent, error)
	RevokeGrant(ctx context.Context, id string, by grant.Owner, c grant.Change) (grant.Grant, grant.Ending, error)
	// Depart keeps what an upstream's answer must bear; Return finds it once.
	Depart(ctx context.Context, id, departure []byte, now time.Time) (bool, error)
	Return(ctx context.Context, id, departure []byte, now time.Time) (grant.Interaction, bool, error)

	// Spend uses up a departure of somebody who comes of their own accord.
	Spend(ctx context.Context, s replay.Spend) (replay.Outcome, error)

	// Recognise finds a person of the upstream, or adds one with the new subject.
	Recognise(ctx context.Context, who person.Identity, name, newSubject string, now time.Time) (person.Person, error)
	// SignIn begins a session in the place of another; false when the person may not sign in, or not any more with that password.
	SignIn(ctx context.Context, old, id []byte, who person.Authentication, l person.Lifetimes, now time.Time) (bool, error)
	Session(ctx context.Context, id []byte, l person.Lifetimes, now time.Time) (person.Session, bool, error)
	SignOut(ctx context.Context, id []byte) error
}

// Passwords authenticates people by passwords that are kept here.
type Passwords interface {
	Authenticate(ctx context.Context, username, password, peer string, now time.Time) (person.Authentication, error)
}

// Upstream authenticates people elsewhere.
type Upstream interface {
	Depart(ctx context.Context, w person.Wish, state string, now time.Time) (url string, err error)
	// Read refuses what is no answer to a departure; Arrive proves by an answer who came, once.
	Read(ctx context.Context, state string, query url.Values, now time.Time) (person.Answer, error)
	Arrive(ctx context.Context, state string, answer person.Answer, w person.Wish, now time.Time) (person.Arrived, error)
}

// Accounts knows what a person can share data about.
type Accounts interface {
	Accounts(ctx context.Context, subject string) ([]person.Account, error)
}

// Endpoint is /oauth2/authorize and the pages behind it. People sign in with Passwords, or at the Upstream; one is nil.
type Endpoint struct {
	Issuer    string
	Store     Store
	Passwords Passwords
	Upstream  Upstream
	Accounts  Accounts        // nil: nobody has any here
	IDTokens  idtoken.Tokens  // recognise who is sent to sign out
	Sealer    response.Sealer // protect what clients are told as they registered
	Pages     *page.Pages
	Forms     Forms
	Sessions  person.Lifetimes
	Life      fdx.Life // of what people allow
	Now       func() time.Time
}

// Authorize opens or resumes the interaction of a browser with a pushed request (RFC 9126 §4). Every parameter but
// client_id and request_uri is ignored: what counts was pushed (RFC 9101 §6.3).
func (e *Endpoint) Authorize(w http.ResponseWriter, r *http.Request) error {
	if r.Method == http.MethodHead {
		oauth.NoStore(w) // whatever scans links is given nothing to hold on to
		return nil
	}
	clientID, requestURI, err := parameters(r)
	if err != nil {
		return err
	}
	if r.Method == http.MethodPost { // as a GET the request brings this site's cookies along (SameSite=Lax)
		query := url.Values{"client_id": {clientID}, "request_uri": {requestURI}}
		return e.sendTo(w, e.Issuer+"/oauth2/authorize?"+query.Encode())
	}
	secret, ours := strings.CutPrefix(requestURI, grant.RequestURI)
	if !ours {
		return oauth.Refuse(oauth.RequestURIUnknown, "request_uri is none of this server's; push the request first")
	}
	return e.arrive(w, r, clientID, oauth.Secret(secret))
}

// valuesOf are the parameters of the query, or of a form. All but two are ignored, and those two are looked up as they came.
func valuesOf(r *http.Request) (url.Values, error) {
	raw := r.URL.RawQuery
	if r.Method == http.MethodPost {
		body, err := oauth.ReadBody(r)
		if err != nil {
			return nil, err
		}
		raw = string(body)
	}
	values, err := url.ParseQuery(raw)
	if err != nil {
		return nil, oauth.Refuse(oauth.BodyMalformed, "the query is malformed").Because(err)
	}
	return values, nil
}

// parameters are the two that count, each once.
func parameters(r *http.Request) (clientID, requestURI string, err error) {
	values, err := valuesOf(r)
	if err != nil {
		return "", "", err
	}
	for _, name := range []string{"client_id", "request_uri"} {
		switch all := values[name]; {
		case len(all) == 0 || all[0] == "":
			return "", "", oauth.Refuse(oauth.ParameterMissing, "%s is missing: push the request first, and send the browser here with client_id and request_uri", name)
		case len(all) > 1:
			return "", "", oauth.Refuse(oauth.ParameterRepeated, "%s was sent more than once", name)
		}
	}
	return values.Get("client_id"), values.Get("request_uri"), nil
}

// arrive lets a browser in.
func (e *Endpoint) arrive(w http.ResponseWriter, r *http.Request, clientID string, requestURI oauth.Secret) error {
	now := e.Now()
	handle, fresh := handleOf(requestURI), oauth.NewSecret()
	current := e.cookie(r, interactionCookie(handle))
	visit := grant.Visit{RequestURI: requestURI.Hash(), ClientID: clientID, New: fresh.Hash()}
	if current != "" {
		visit.Current = current.Hash()
	}
	if session := e.cookie(r, sessionCookie); session != "" {
		visit.Session = session.Hash()
	}
	i, arrival, err := e.Store.Visit(r.Context(), visit, now)
	if err != nil {
		return err
	}
	switch arrival {
	case grant.Opened:
		current = fresh
	case grant.Resumed:
	case grant.TooLate:
		return oauth.Refuse(oauth.RequestURIExpired, "the request_uri has expired")
	case grant.Answered:
		return oauth.Refuse(oauth.RequestAnswered, "the request_uri was used: its request has been answered")
	case grant.Crowded:
		return oauth.Refuse(oauth.RequestCrowded, "the request_uri was opened by more than %d browsers", grant.MaxInteractions)
	default:
		return oauth.Refuse(oauth.RequestURIUnknown, "the request_uri is unknown for this client_id")
	}
	t := turn{handle: handle, interaction: i, secret: current}
	if err := e.join(w, r, &t, now); err != nil {
		return err
	}
	if arrival == grant.Opened {
		e.makeRoom(w, r)
		e.setCookie(w, interactionCookie(handle), current, grant.InteractionMost)
	}
	return e.goOn(w, r, t, now)
}

// turn is a browser's interaction, as one request finds it.
type turn struct {
	handle      string       // which request, in URLs
	secret      oauth.Secret // the interaction's cookie
	interaction grant.Interaction
	client      client.Client
	session     person.Session // zero: nobody is signed in
	ticket      oauth.Secret   // the session's cookie
}

// id is how the store knows the interaction.
func (t turn) id() []byte { return t.secret.Hash() }

// find is the turn of a request that names its interaction, which takes a step.
func (e *Endpoint) find(w http.ResponseWriter, r *http.Request, handle string, now time.Time) (turn, error) {
	t := turn{handle: handle}
	if !isHandle(handle) {
		return t, oauth.Refuse(oauth.InteractionUnknown, "the page's URL names no interaction")
	}
	if t.secret = e.cookie(r, interactionCookie(handle)); t.secret == "" {
		return t, oauth.Refuse(oauth.InteractionUnknown, "the browser has no cookie of this interaction")
	}
	if err := e.readSession(r, &t, now); err != nil {
		return t, err
	}
	i, ok, err := e.Store.Step(r.Context(), t.id(), t.session.Subject, now)
	switch {
	case err != nil:
		return t, err
	case i.Decided:
		return t, oauth.Refuse(oauth.RequestAnswered, "the request has been answered")
	case !ok:
		return t, oauth.Refuse(oauth.InteractionExpired, "the interaction is over, or was never begun")
	}
	t.interaction = i
	return t, e.findClient(w, r, &t)
}

// join completes the turn of a browser that has just arrived.
func (e *Endpoint) join(w http.ResponseWriter, r *http.Request, t *turn, now time.Time) error {
	if err := e.findClient(w, r, t); err != nil {
		return err
	}
	if err := e.readSession(r, t, now); err != nil {
		return err
	}
	i, ok, err := e.Store.Step(r.Context(), t.id(), t.session.Subject, now)
	if err == nil && !ok {
		return oauth.Refuse(oauth.RequestAnswered, "the request has been answered")
	}
	t.interaction = i
	return err
}

// findClient asks the store itself for the client: it must be there still, with the redirect URI, before anything is sent
// to it.
func (e *Endpoint) findClient(w http.ResponseWriter, r *http.Request, t *turn) error {
	p := t.interaction.Request
	c, found, err := e.Store.FindClient(r.Context(), p.ClientID)
	switch {
	case err != nil:
		return err
	case !found || !c.RedirectsTo(p.RedirectURI):
		return oauth.Refuse(oauth.ClientChanged, "the client was deleted, or its redirect_uri is no longer registered")
	}
	t.client = c
	oauth.Note(w, oauth.FieldClient, c.ID)
	return nil
}

func (e *Endpoint) readSession(r *http.Request, t *turn, now time.Time) error {
	ticket := e.cookie(r, sessionCookie)
	if ticket == "" {
		return nil
	}
	s, found, err := e.Store.Session(r.Context(), ticket.Hash(), e.Sessions, now)
	if found {
		t.session, t.ticket = s, ticket
	}
	return err
}
