package authorize

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode"

	"authserver/internal/oauth"
	"authserver/internal/page"
)

// logoutPage is where apps send a person to sign out (OpenID Connect RP-Initiated Logout 1.0).
const logoutPage = "/oauth2/logout"

// logoutParameters are what an app may send along, each once, and in how many bytes. What is looked up by its value needs no
// bound of its own.
var logoutParameters = []struct {
	name string
	most int
}{
	{"client_id", oauth.MaxBody}, {"id_token_hint", oauth.MaxBody}, {"post_logout_redirect_uri", oauth.MaxBody},
	{"sid", 200}, {"state", 2 << 10}, {"ui_locales", 200},
}

// logout is what an app asks for, as far as it may.
type logout struct {
	clientID    string // "": nobody says
	clientName  string // known with a redirectURI only
	sessionID   string // that the client means (sid); "": it does not say
	redirectURI string // one of the client's post_logout_redirect_uris, or ""
	state       string
	uiLocales   []string
}

// Logout asks whoever is signed in whether to sign out (RP-Initiated Logout §2). Nothing happens, and nobody is sent anywhere,
// until the person has pressed the button, whatever an app sent along: so no link of an attacker's ends a session, or makes
// this server the first half of a link to elsewhere. A client that means another session than this one, long over perhaps, is not
// refused, since only this one can be ended here; the person is told.
func (e *Endpoint) Logout(w http.ResponseWriter, r *http.Request) error {
	form, err := logoutForm(r)
	if err != nil {
		return e.tellLogout(r, err)
	}
	asked, err := e.readLogout(r.Context(), form)
	if err != nil {
		return e.tellLogout(r, err)
	}
	if r.Method == http.MethodPost { // as a GET the request brings this site's cookies along (SameSite=Lax)
		return e.sendTo(w, oauth.AddQuery(e.Issuer+logoutPage, asked.parameters()))
	}
	var t turn
	if err := e.readSession(r, &t, e.Now()); err != nil {
		return err
	}
	if t.ticket == "" && asked.redirectURI == "" {
		return e.sendTo(w, e.Issuer+"/signed-out")
	}
	e.Pages.Write(w, e.Pages.Language(asked.uiLocales, r.Header.Get("Accept-Language")), http.StatusOK, page.Logout{
		Form: e.form(t, forSignOut, "/sign-out"), Over: t.ticket == "", Person: t.session.Name, Another: asked.another(t),
		Client: asked.clientName, ClientID: asked.clientID, RedirectURI: asked.redirectURI, State: asked.state,
	}, schemeOf(asked.redirectURI))
	return nil
}

// logoutForm are the parameters of the query, or of a form.
func logoutForm(r *http.Request) (oauth.Form, error) {
	if r.Method == http.MethodPost {
		return oauth.ReadForm(r, oauth.FormOnly)
	}
	return oauth.ReadQuery(r)
}

// readLogout judges what an app sends along. Parameters that nobody knows are ignored. A control character is refused, since
// no page's form brings all of them back as they came.
func (e *Endpoint) readLogout(ctx context.Context, form oauth.Form) (l logout, err error) {
	for _, p := range logoutParameters {
		switch value := form.Get(p.name); {
		case len(value) > p.most:
			return l, oauth.Refuse(oauth.ParameterTooLong, "%s has %d bytes; at most %d are taken", p.name, len(value), p.most)
		case strings.ContainsFunc(value, unicode.IsControl):
			return l, oauth.Refuse(oauth.BodyMalformed, "%s holds a control character", p.name)
		}
	}
	l = logout{
		clientID: form.Get("client_id"), sessionID: form.Get("sid"), redirectURI: form.Get("post_logout_redirect_uri"),
		state: form.Get("state"), uiLocales: strings.Fields(form.Get("ui_locales")),
	}
	if hint := form.Get("id_token_hint"); hint != "" {
		if l.clientID, l.sessionID, err = e.hinted(hint, l.clientID); err != nil {
			return l, err
		}
	}
	switch {
	case l.redirectURI == "": // nobody is told anything
		return logout{sessionID: l.sessionID, uiLocales: l.uiLocales}, nil
	case l.clientID == "":
		return l, oauth.Refuse(oauth.ParameterMissing, "post_logout_redirect_uri needs id_token_hint or client_id beside it")
	}
	c, found, err := e.Store.FindClient(ctx, l.clientID)
	if err == nil && (!found || !slices.Contains(c.Metadata.PostLogoutRedirectURIs, l.redirectURI)) {
		err = oauth.Refuse(oauth.LogoutURIUnknown,
			"post_logout_redirect_uri is not one that is registered for the client, compared character by character")
	}
	l.clientName = clientName(c)
	return l, err
}

// another tells whether the client means another session than the one at hand (RP-Initiated Logout §2).
func (l logout) another(t turn) bool {
	return l.sessionID != "" && l.sessionID != sidOf(t.ticket.Hash())
}

// hinted is the client that an ID token was issued to, which client_id must name if it is there (RP-Initiated Logout §2), and
// the session that it speaks of.
func (e *Endpoint) hinted(idToken, clientID string) (audience, sessionID string, err error) {
	hint, err := e.IDTokens.Recognise(idToken)
	switch {
	case err != nil:
		refusal := oauth.Refuse(oauth.HintRefused, "id_token_hint is no ID token of %s, or too old to be known", e.Issuer)
		return "", "", refusal.Because(err)
	case clientID != "" && clientID != hint.Audience:
		return "", "", oauth.Refuse(oauth.HintRefused, "id_token_hint was given to another client than client_id names")
	}
	return hint.Audience, hint.SessionID, nil
}

// parameters are those of the same request as a GET. What the ID token had to say has been read, so that it does not come to
// stand in a URL: sid goes in its place, which adds a sentence to the page and does nothing else.
func (l logout) parameters() url.Values {
	values := url.Values{}
	for name, value := range map[string]string{
		"client_id": l.clientID, "sid": l.sessionID, "post_logout_redirect_uri": l.redirectURI, "state": l.state,
		"ui_locales": strings.Join(l.uiLocales, " "),
	} {
		if value != "" {
			values.Set(name, value)
		}
	}
	return values
}

// afterwards is where an app wants the browser to go once nobody is signed in any more, or "". What it may have said no
// longer keeps nobody from signing out.
func (e *Endpoint) afterwards(ctx context.Context, form oauth.Form) (string, error) {
	asked, err := e.readLogout(ctx, form)
	switch _, refused := err.(*oauth.Error); {
	case refused || err == nil && asked.redirectURI == "":
		return "", nil
	case err != nil:
		return "", err
	case asked.state == "":
		return asked.redirectURI, nil
	}
	return oauth.AddQuery(asked.redirectURI, url.Values{"state": {asked.state}}), nil
}

// tellLogout has a refusal told on a page from which the person can sign out all the same.
func (e *Endpoint) tellLogout(r *http.Request, err error) error {
	refusal, ok := err.(*oauth.Error)
	if !ok {
		return err
	}
	refusal.Show = func(w http.ResponseWriter, status int) {
		e.Pages.Write(w, e.Pages.Language(nil, r.Header.Get("Accept-Language")), status, page.Failure{
			Reason: refusal.Reason, Detail: aboutParameter(refusal.Description), Status: status, ID: oauth.InteractionID(w),
			SignOut: e.path(logoutPage),
		})
	}
	return refusal
}

// aboutParameter is a description that begins with the name of a known parameter, as those of readLogout do, or else "": what
// is said of others may repeat a name that somebody made up for people to read.
func aboutParameter(description string) string {
	for _, p := range logoutParameters {
		if strings.HasPrefix(description, p.name+" ") {
			return description
		}
	}
	return ""
}

// schemeOf is what a policy says of a place from which a client may send the browser on to anywhere.
func schemeOf(uri string) string {
	scheme, _, found := strings.Cut(uri, "://")
	if !found {
		return ""
	}
	return scheme + ":"
}
