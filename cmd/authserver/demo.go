package main

import (
	"context"
	"net/http"
	"slices"
	"time"

	"authserver/internal/grant"
	"authserver/internal/oauth"
	"authserver/internal/person"
	"authserver/internal/resource"
)

// The demo person, who exists in dev only.
const (
	demoUsername = "alex"
	demoPassword = "alex-demo"
)

// demoAccount is an account as FDX describes one, as far as a demonstration needs.
type demoAccount struct {
	AccountID            string  `json:"accountId"`
	AccountCategory      string  `json:"accountCategory"`
	AccountType          string  `json:"accountType"`
	AccountNumberDisplay string  `json:"accountNumberDisplay"`
	Nickname             string  `json:"nickname"`
	Status               string  `json:"status"`
	Currency             string  `json:"currency"`
	CurrentBalance       float64 `json:"currentBalance"`
}

// demoBank has the same two accounts for everybody.
type demoBank struct {
	guard  resource.Guard
	grants interface {
		FindGrant(ctx context.Context, id string) (grant.Grant, bool, error)
	}
	now func() time.Time
}

func demoAccounts() []demoAccount {
	return []demoAccount{
		{"demo-checking", "DEPOSIT_ACCOUNT", "CHECKING", "****4021", "Everyday", "OPEN", "USD", 1840.22},
		{"demo-savings", "DEPOSIT_ACCOUNT", "SAVINGS", "****7788", "Rainy day", "OPEN", "USD", 12500},
	}
}

// Accounts are what a person chooses from where no setting names a source.
func (demoBank) Accounts(context.Context, string) ([]person.Account, error) {
	var all []person.Account
	for _, a := range demoAccounts() {
		all = append(all, person.Account{ID: a.AccountID, Name: a.Nickname, Number: person.Mask(a.AccountNumberDisplay)})
	}
	return all, nil
}

// serve answers GET /demo/accounts: a protected resource to try a bound token on. Of a person's token it shows the accounts
// that the person has chosen.
func (b demoBank) serve(w http.ResponseWriter, r *http.Request) error {
	token, err := b.guard.Admit(r, b.now(), "fdx:accountbasic:read", "fdx:accountdetailed:read")
	if err != nil {
		return err
	}
	oauth.Note(w, oauth.FieldClient, token.ClientID)
	accounts := demoAccounts()
	if token.GrantID != "" {
		g, found, err := b.grants.FindGrant(r.Context(), token.GrantID)
		switch {
		case err != nil:
			return err
		case !found: // the person has been erased since the token was admitted
			return oauth.Refuse(oauth.TokenRevoked, "the grant of the access token is gone")
		}
		accounts = slices.DeleteFunc(accounts, func(a demoAccount) bool { return !slices.Contains(g.Accounts, a.AccountID) })
	}
	oauth.WriteJSON(w, http.StatusOK, struct {
		Accounts []demoAccount `json:"accounts"`
	}{accounts})
	return nil
}

// addDemo gives a replica what only dev has.
func (a *app) addDemo() {
	bank := demoBank{guard: a.guard, grants: a.store, now: a.now}
	a.server.Demo = bank.serve
	if a.server.Authorization != nil && a.server.Authorization.Accounts == nil {
		a.server.Authorization.Accounts = bank
	}
}
