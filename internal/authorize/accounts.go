package authorize

import (
	"net/http"
	"slices"

	"authserver/internal/oauth"
	"authserver/internal/page"
	"authserver/internal/person"
)

// ShowAccounts asks which accounts the person wants to share. It also tells whoever has chosen some, and can share none any
// more: the consent page sends the browser here.
func (e *Endpoint) ShowAccounts(w http.ResponseWriter, r *http.Request) error {
	now := e.Now()
	t, err := e.find(w, r, r.URL.Query().Get("interaction"), now)
	if err != nil {
		return err
	}
	accounts, elsewhere, err := e.choice(r, t)
	switch {
	case err != nil:
		return err
	case elsewhere != way{}:
		return e.send(w, r, t, elsewhere, now)
	}
	e.show(w, r, t, http.StatusOK, e.accountsPage(t, accounts))
	return nil
}

// choice are the accounts that the person can choose from; elsewhere is the way of somebody who has nothing to choose here.
func (e *Endpoint) choice(r *http.Request, t turn) (accounts []person.Account, elsewhere way, err error) {
	if before, stopped := e.before(t); stopped {
		return nil, before, nil
	}
	accounts, err = e.accounts(r, t)
	if err == nil && len(accounts) == 0 && t.interaction.Accounts == nil {
		elsewhere = t.toConsent()
	}
	return accounts, elsewhere, err
}

func (e *Endpoint) accountsPage(t turn, accounts []person.Account) page.Accounts {
	return page.Accounts{
		Form: e.form(t, forAccounts, "/accounts/choice"), SignOut: e.form(t, forSignOut, "/sign-out"),
		Client: clientName(t.client), Person: t.session.Name, Accounts: shown(accounts), Chosen: t.interaction.Accounts,
	}
}

func shown(accounts []person.Account) []page.Account {
	var all []page.Account
	for _, a := range accounts {
		all = append(all, page.Account(a))
	}
	return all
}

// Choose keeps the accounts that the person has ticked. One that is not theirs to share ends in a refusal.
func (e *Endpoint) Choose(w http.ResponseWriter, r *http.Request) error {
	now := e.Now()
	t, form, err := e.submitted(w, r, forAccounts, now, "accounts")
	if err != nil {
		return err
	}
	accounts, elsewhere, err := e.choice(r, t)
	switch {
	case err != nil:
		return err
	case elsewhere != way{}:
		return e.send(w, r, t, elsewhere, now)
	}
	chosen := form.All("accounts")
	if len(chosen) == 0 {
		refusal := oauth.Refuse(oauth.ParameterMissing, "no account was chosen")
		model := e.accountsPage(t, accounts)
		model.Problem = page.NothingChosen
		refusal.Show = func(w http.ResponseWriter, status int) { e.show(w, r, t, status, model) }
		return refusal
	}
	if !offered(accounts, chosen) {
		return oauth.Refuse(oauth.FormField, "the form chooses an account that the page did not offer")
	}
	i, ok, err := e.Store.Choose(r.Context(), t.id(), t.session.Subject, chosen, now)
	switch {
	case err != nil:
		return err
	case !ok:
		return oauth.Refuse(oauth.RequestAnswered, "the request has been answered")
	}
	t.interaction = i
	return e.goOn(w, r, t, now)
}

// offered tells whether all chosen accounts are among the person's, each once.
func offered(accounts []person.Account, chosen []string) bool {
	for n, id := range chosen {
		theirs := slices.ContainsFunc(accounts, func(a person.Account) bool { return a.ID == id })
		if !theirs || slices.Contains(chosen[:n], id) {
			return false
		}
	}
	return true
}
