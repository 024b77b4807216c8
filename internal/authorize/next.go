package authorize

import (
	"cmp"
	"net/http"
	"slices"
	"time"

	"authserver/internal/audit"
	"authserver/internal/fdx"
	"authserver/internal/grant"
	"authserver/internal/oauth"
	"authserver/internal/person"
)

// The pages, in the order in which a browser meets them.
const (
	loginPage    = "/login"
	accountsPage = "/accounts"
	consentPage  = "/consent"
)

// way is how a browser goes on: to the page whose turn it is, or back to the client with a refusal.
type way struct {
	page    string
	refusal *oauth.Error
}

// goOn sends the browser to the page whose turn it is.
func (e *Endpoint) goOn(w http.ResponseWriter, r *http.Request, t turn, now time.Time) error {
	return e.send(w, r, t, e.next(r, t), now)
}

// send sends the browser its way.
func (e *Endpoint) send(w http.ResponseWriter, r *http.Request, t turn, next way, now time.Time) error {
	if next.refusal != nil {
		return e.end(w, r, t, next.refusal, now)
	}
	return e.toPage(w, next.page, t.handle)
}

// next finds the way from here.
func (e *Endpoint) next(r *http.Request, t turn) way {
	if before, stopped := e.before(t); stopped {
		return before
	}
	if t.interaction.Accounts == nil {
		// Where the accounts cannot be read, the page that asks for them tells so: it can be loaded again.
		if accounts, err := e.accounts(r, t); err != nil || len(accounts) > 0 {
			return way{page: accountsPage}
		}
	}
	return t.toConsent()
}

// before is the way of somebody who is not signed in as the client wants, or must not be asked.
func (e *Endpoint) before(t turn) (n way, stopped bool) {
	p := t.interaction.Request
	none := p.Prompts("none")
	known := t.session.Subject != "" && p.Means(t.session.Subject)
	if !known || !t.interaction.Authenticated(t.ticket.Hash(), t.session.AuthTime) {
		switch {
		case !e.reaches(p):
			return way{refusal: tooWeak(p)}, true
		case none:
			refusal := oauth.Refuse(oauth.LoginNeeded,
				"nobody whom the client means is signed in, or not recently enough, and prompt is none")
			return way{refusal: refusal}, true
		}
		return way{page: loginPage}, true
	}
	if !p.AcceptsACR(t.session.ACR) {
		if none || !e.reaches(p) || t.interaction.Since(t.ticket.Hash(), t.session.AuthTime) {
			return way{refusal: tooWeak(p)}, true
		}
		return way{page: loginPage}, true
	}
	if none {
		return way{refusal: oauth.Refuse(oauth.ConsentNeeded, "every grant is asked for, and prompt is none")}, true
	}
	return way{}, false
}

// toConsent is the way of somebody who has chosen accounts, or has none to choose from.
func (t turn) toConsent() way {
	asked, _ := oauth.ParseScope(t.interaction.Request.Scope) // it was parsed when it was pushed
	left := t.offer().scope
	if len(left) == 0 || asked.OpensData() && !left.OpensData() {
		return way{refusal: oauth.Refuse(oauth.NothingToShare, "the person has no account that the request could be granted for")}
	}
	return way{page: consentPage}
}

// offer is what the person is asked to allow.
type offer struct {
	details fdx.Details
	scope   oauth.Scope
}

// offer is what was asked for, about the accounts that were chosen. Where there are none to choose from, what is left of it.
// What is for once goes on for nobody who is away, so that offline_access is not in it.
func (t turn) offer() offer {
	p := t.interaction.Request
	scope, _ := oauth.ParseScope(p.Scope) // it was parsed when it was pushed
	details, scope := p.Details.Granted(t.session.Subject, t.interaction.Accounts).Intersect(scope)
	if !details.Refreshes() {
		scope = slices.DeleteFunc(scope, func(s string) bool { return s == oauth.OfflineAccess })
	}
	return offer{details, scope}
}

// until is when what the person allows at now ends.
func (e *Endpoint) until(t turn, now time.Time) time.Time {
	return e.Life.For(t.client.Ceilings()).End(t.interaction.Request.Details, now)
}

// reaches tells whether a login here could be one that the client accepts. What an upstream can do, only it knows.
func (e *Endpoint) reaches(p grant.Pushed) bool {
	return e.Upstream != nil || p.AcceptsACR(person.ACRPassword)
}

// tooWeak is the refusal of a login that is none the client accepts, in words that lead to what asked for another.
func tooWeak(p grant.Pushed) *oauth.Error {
	from := cmp.Or(p.ACRFrom, "acr_values")
	if len(p.ACRValues) == 0 {
		from = "prompt or max_age"
	}
	return oauth.Refuse(oauth.AuthenticationTooWeak,
		"%s asks for an authentication that this server did not, or cannot, carry out", from)
}

// somebodyElse is the refusal of a login by somebody else than the client means (OpenID Connect Core §3.1.2.2).
func somebodyElse() *oauth.Error {
	return oauth.Refuse(oauth.LoginNeeded, "somebody else signed in than the client means by id_token_hint or claims")
}

// accounts are those that the person can choose from; nil, where the request is not about accounts.
func (e *Endpoint) accounts(r *http.Request, t turn) ([]person.Account, error) {
	if e.Accounts == nil || !t.interaction.Request.Details.AboutAccounts() {
		return nil, nil
	}
	accounts, err := e.Accounts.Accounts(r.Context(), t.session.Subject)
	return append([]person.Account{}, accounts...), err
}

// end answers the request with a refusal, which goes to the client: the request is dead then.
func (e *Endpoint) end(w http.ResponseWriter, r *http.Request, t turn, refusal *oauth.Error, now time.Time) error {
	to, err := e.back(r, t, now)
	if err != nil {
		return err
	}
	if err := e.decide(r, t, nil, now); err != nil {
		return err
	}
	if refusal.Reason == oauth.PersonDenied {
		oauth.Note(w, oauth.FieldEvent, audit.GrantDenied)
		oauth.Note(w, oauth.FieldSubject, t.session.Subject)
	}
	return refusal.ToClient(to)
}

// decide keeps the one answer to the request. The interaction's cookie stays until its time is over: whoever goes back to a
// page is then told that the answer was given.
func (e *Endpoint) decide(r *http.Request, t turn, approval *grant.Approval, now time.Time) error {
	_, decision, err := e.Store.Decide(r.Context(), t.id(), t.session.Subject, approval, now)
	if err != nil {
		return err
	}
	switch decision {
	case grant.Decided:
		return nil
	case grant.AlreadyAnswered:
		return oauth.Refuse(oauth.RequestAnswered, "the request has been answered")
	case grant.NotTheirs:
		return oauth.Refuse(oauth.PersonChanged, "somebody else has signed in since the page was made")
	case grant.PersonGone:
		return oauth.Refuse(oauth.PersonDisabled, "the person may no longer sign in")
	case grant.ClientGone:
		return oauth.Refuse(oauth.ClientChanged, "the client was deleted")
	}
	return oauth.Refuse(oauth.InteractionExpired, "the interaction is over")
}
