package main

import (
	"net/http"
	"time"

	"authserver/internal/oauth"
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

// demoAccounts answers GET /demo/accounts: a protected resource to try a bound token on.
func demoAccounts(guard resource.Guard, now func() time.Time) oauth.Handler {
	accounts := []demoAccount{
		{"demo-checking", "DEPOSIT_ACCOUNT", "CHECKING", "****4021", "Everyday", "OPEN", "USD", 1840.22},
		{"demo-savings", "DEPOSIT_ACCOUNT", "SAVINGS", "****7788", "Rainy day", "OPEN", "USD", 12500},
	}
	return func(w http.ResponseWriter, r *http.Request) error {
		token, err := guard.Admit(r, now(), "fdx:accountbasic:read")
		if err != nil {
			return err
		}
		oauth.Note(w, oauth.FieldClient, token.ClientID)
		oauth.WriteJSON(w, http.StatusOK, struct {
			Accounts []demoAccount `json:"accounts"`
		}{accounts})
		return nil
	}
}
