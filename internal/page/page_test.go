package page_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"authserver/internal/oauth"
	"authserver/internal/page"
)

// theForm and theSignOut are what every page of these tests carries.
var (
	theForm    = page.Form{Action: "/oauth2/next", Interaction: "interaction-0001", Token: "token-of-the-form"}
	theSignOut = page.Form{Action: "/oauth2/sign-out", Interaction: "interaction-0001", Token: "token-of-sign-out"}
)

// accounts are two of the demo person's.
var accounts = []page.Account{{ID: "acc-1", Name: "Everyday", Number: "****4021"}, {ID: "acc-2", Name: "Savings", Number: "****7788"}}

func models() map[string]page.Model {
	return map[string]page.Model{
		"login": page.Login{Form: theForm, Client: "Budget Buddy", Username: "alex"},
		"accounts": page.Accounts{
			Form: theForm, SignOut: theSignOut, Client: "Budget Buddy", Person: "alex", Accounts: accounts, Chosen: []string{"acc-2"},
		},
		"consent": page.Consent{
			Form: theForm, SignOut: theSignOut, Client: "Budget Buddy", Person: "alex", Accounts: accounts,
			Scopes: []string{"fdx:transactions:read"}, Until: time.Date(2027, time.November, 22, 0, 0, 0, 0, time.UTC),
		},
		"signed-out": page.SignedOut{Again: "/login?interaction=interaction-0001"},
		"failure":    page.Failure{Reason: oauth.RequestURIExpired, Status: http.StatusBadRequest, ID: "c6f2a9d8-0001"},
	}
}

func newPages(t *testing.T) *page.Pages {
	t.Helper()
	pages, err := page.New(page.Brand{Name: "Example Bank"}, "")
	if err != nil {
		t.Fatal(err)
	}
	return pages
}

func TestWrite(t *testing.T) {
	pages := newPages(t)
	for name, model := range models() {
		for _, l := range page.Languages() {
			w := httptest.NewRecorder()
			pages.Write(w, page.Language(l), http.StatusOK, model)
			if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "<h1>") {
				t.Errorf("%s in %s: %d %s", name, l, w.Code, w.Body)
			}
		}
	}
}
