package authorize

import (
	"net/http"
	"net/url"
	"slices"
	"time"

	"authserver/internal/audit"
	"authserver/internal/grant"
	"authserver/internal/oauth"
	"authserver/internal/page"
	"authserver/internal/person"
)

// ShowConsent asks whether the client may.
func (e *Endpoint) ShowConsent(w http.ResponseWriter, r *http.Request) error {
	now := e.Now()
	t, err := e.find(w, r, r.URL.Query().Get("interaction"), now)
	if err != nil {
		return err
	}
	if next := e.next(r, t); next.page != consentPage {
		return e.send(w, r, t, next, now)
	}
	chosen, all, err := e.chosen(r, t)
	switch {
	case err != nil:
		return err
	case !all:
		return e.toPage(w, accountsPage, t.handle)
	}
	offer := t.offer()
	clusters, overall := offer.details.Clusters()
	e.show(w, r, t, http.StatusOK, page.Consent{
		Form: e.form(t, forConsent, "/consent/decision"), SignOut: e.form(t, forSignOut, "/sign-out"), Person: t.session.Name,
		Client: e.party(t.client), Intermediaries: intermediaries(t.client), Accounts: shown(chosen),
		Clusters: clusters, Overall: overall, Scopes: offer.scope, Once: !offer.details.Refreshes(),
		LookBack: offer.details.LookBack(), Until: e.until(t, now), Connected: e.Issuer + connectedPage,
	})
	return nil
}

// chosen are the accounts that the person has chosen, nil where the scope is not about accounts; all is false when one of
// them is no longer theirs to share.
func (e *Endpoint) chosen(r *http.Request, t turn) (chosen []person.Account, all bool, err error) {
	chosen, err = e.accounts(r, t)
	chosen = slices.DeleteFunc(chosen, func(a person.Account) bool { return !slices.Contains(t.interaction.Accounts, a.ID) })
	return chosen, len(chosen) == len(t.interaction.Accounts), err
}

// ids are what a grant keeps of accounts.
func ids(accounts []person.Account) []string {
	if accounts == nil {
		return nil
	}
	all := []string{}
	for _, a := range accounts {
		all = append(all, a.ID)
	}
	return all
}

// Answer reads the person's decision and keeps it: of all that are sent for one request, one. The browser goes back to the
// client with a code, or with access_denied.
func (e *Endpoint) Answer(w http.ResponseWriter, r *http.Request) error {
	now := e.Now()
	t, form, err := e.submitted(w, r, forConsent, now, "decision")
	if err != nil {
		return err
	}
	if next := e.next(r, t); next.page != consentPage {
		return e.send(w, r, t, next, now)
	}
	switch form.Get("decision") {
	case "approve":
		return e.approve(w, r, t, now)
	case "deny":
		return e.end(w, r, t, oauth.Refuse(oauth.PersonDenied, "the person said no"), now)
	}
	return oauth.Refuse(oauth.FormField, "decision must be approve or deny")
}

func (e *Endpoint) approve(w http.ResponseWriter, r *http.Request, t turn, now time.Time) error {
	chosen, all, err := e.chosen(r, t)
	switch {
	case err != nil:
		return err
	case !all:
		return e.toPage(w, accountsPage, t.handle)
	}
	p, offer, code := t.interaction.Request, t.offer(), oauth.NewSecret()
	approval := grant.Approval{
		Grant: grant.Grant{
			ID: oauth.NewID(), ClientID: p.ClientID, Subject: t.session.Subject,
			Scope: offer.scope.String(), Resources: p.Resources, Details: offer.details, Accounts: ids(chosen),
			AuthTime: t.session.AuthTime, ACR: t.session.ACR, AMR: t.session.AMR, SessionID: sidOf(t.ticket.Hash()),
			CreatedAt: now, ExpiresAt: e.until(t, now),
		},
		Code: grant.Code{
			ClientID: p.ClientID, RedirectURI: p.RedirectURI, CodeChallenge: p.CodeChallenge, JKT: p.JKT, Nonce: p.Nonce,
			ExpiresAt: now.Add(grant.CodeLifetime),
		},
		CodeHash:      code.Hash(),
		InteractionID: oauth.InteractionID(w),
	}
	to, err := e.back(r, t, now)
	if err != nil {
		return err
	}
	if err := e.decide(r, t, &approval, now); err != nil {
		return err
	}
	oauth.Note(w, oauth.FieldEvent, audit.GrantApproved)
	oauth.Note(w, oauth.FieldSubject, t.session.Subject)
	oauth.Note(w, oauth.FieldGrantID, approval.Grant.ID)
	oauth.Note(w, oauth.FieldScope, approval.Grant.Scope)
	return to.Answer(w, url.Values{"code": {code.Reveal()}})
}
