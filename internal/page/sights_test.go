package page_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"authserver/internal/fdx"
	"authserver/internal/oauth"
	"authserver/internal/page"
)

// Both forms of a page carry the handle of the interaction, and each a token of its own.
var (
	theForm    = page.Form{Action: "/oauth2/next", Interaction: "interaction-0001", Token: "token-of-the-form"}
	theSignOut = page.Form{Action: "/oauth2/sign-out", Interaction: "interaction-0001", Token: "token-of-sign-out"}
)

var accounts = []page.Account{
	{ID: "acc-1", Name: "Everyday", Number: "****4021"}, {ID: "acc-2", Name: "Savings", Number: "****7788"},
	{ID: "acc-3", Name: "Travel card", Number: "****0930"},
}

// clusters are all data clusters of FDX; TestClusters sees to that.
var clusters = []string{
	"ACCOUNT_BASIC", "ACCOUNT_DETAILED", "ACCOUNT_PAYMENTS", "BALANCES", "BILLS", "CUSTOMER_CONTACT", "CUSTOMER_PERSONAL",
	"IMAGES", "INVESTMENTS", "NOTIFICATIONS", "PAYMENT_SUPPORT", "REWARDS", "SCHEDULED_PAYMENTS", "SOCIAL_SECURITY_NUMBER",
	"STATEMENTS", "TAX", "TERMS_AND_CONDITIONS", "TRANSACTIONS", "TRANSFERS",
}

var (
	registries = []string{"FDX", "GLEIF", "ICANN", "PRIVATE"}
	endings    = []page.Ending{page.Expired, page.StoppedByYou, page.StoppedByApp, page.StoppedByBank, page.AppGone}
)

// failures are reasons that a person meets, one for each kind of page about them.
var failures = map[string]page.Failure{
	"expired":     {Reason: oauth.RequestURIExpired, Status: http.StatusBadRequest},
	"answered":    {Reason: oauth.RequestAnswered, Status: http.StatusBadRequest},
	"elsewhere":   {Reason: oauth.InteractionUnknown, Status: http.StatusBadRequest},
	"link":        {Reason: oauth.RequestURIUnknown, Status: http.StatusBadRequest},
	"application": {Reason: oauth.ClientChanged, Status: http.StatusBadRequest},
	"form":        {Reason: oauth.CrossSite, Status: http.StatusForbidden},
	"person":      {Reason: oauth.PersonChanged, Status: http.StatusForbidden},
	"disabled":    {Reason: oauth.PersonDisabled, Status: http.StatusForbidden},
	"login":       {Reason: oauth.UpstreamRefused, Status: http.StatusBadGateway},
	"denied":      {Reason: oauth.PersonDenied, Status: http.StatusForbidden},
	"attempts":    {Reason: oauth.RateLimited, Status: http.StatusTooManyRequests},
	"unavailable": {Reason: oauth.Unavailable, Status: http.StatusServiceUnavailable},
	"ours":        {Reason: oauth.Internal, Status: http.StatusInternalServerError},
	"request":     {Reason: oauth.ParameterMissing, Status: http.StatusBadRequest},
}

// sights are the pages in every state that a person may see them in, by a name for a file.
func sights() map[string]page.Model {
	login := page.Login{Form: theForm, Client: "Budget Buddy"}
	wrong, tooMany, tooBusy := login, login, login
	wrong.Username, wrong.Problem = "alex", page.WrongCredentials
	tooMany.Problem, tooMany.Wait = page.TooManyAttempts, 7*time.Minute+time.Second
	tooBusy.Problem = page.TooBusy

	choice := page.Accounts{Form: theForm, SignOut: theSignOut, Client: "Budget Buddy", Person: "alex", Accounts: accounts}
	nothing, none := choice, choice
	choice.Chosen = []string{"acc-2"}
	nothing.Problem = page.NothingChosen
	none.Accounts = nil

	consent := page.Consent{
		Form: theForm, SignOut: theSignOut, Client: page.Party{Name: "Budget Buddy"}, Person: "alex", Accounts: accounts[:2],
		Clusters: []string{"ACCOUNT_BASIC", "TRANSACTIONS", "STATEMENTS"},
		Until:    time.Date(2027, time.November, 22, 9, 30, 0, 0, time.UTC), Connected: "https://bank.example/connected",
	}
	open := consent
	open.Scopes = append(open.Scopes, "example:loyalty")
	everything := consent
	everything.Client.Name = "International Association of Budget Buddies and Bookkeepers (Open Finance Division)"
	everything.Person = "alexandria.featherstonehaugh@long-host-name.example"
	everything.Scopes = append(fdx.Scopes(), "openid", "offline_access", "example:loyalty")
	joint := page.Account{ID: "acc-0", Name: "Joint household and holiday savings account", Number: "****1234"}
	everything.Accounts = append([]page.Account{joint}, accounts...)
	personal := consent
	personal.Scopes, personal.Accounts, personal.Person = []string{"fdx:customercontact:read"}, nil, "" // an upstream may tell no name

	all := map[string]page.Model{
		"login": login, "login-wrong": wrong, "login-too-many": tooMany, "login-too-busy": tooBusy,
		"accounts": choice, "accounts-nothing": nothing, "accounts-none": none,
		"consent": consent, "consent-open": open, "consent-everything": everything, "consent-personal": personal,
		"connected-none": page.Connected{SignOut: theSignOut, Person: "alex"},
		"signed-out":     page.SignedOut{Again: "/login?interaction=interaction-0001"}, "signed-out-for-good": page.SignedOut{},
	}
	for kind, failure := range failures {
		failure.ID = "c6f2a9d8-5b1e-4c9a-9c1d-0a4f6d1b7e55"
		all["failure-"+kind] = failure
	}
	return all
}

// exampleBank is the brand of tests that are not about brands.
var exampleBank = page.Brand{Name: "Example Bank"}

func newPages(t *testing.T, b page.Brand, base string) *page.Pages {
	t.Helper()
	pages, err := page.New(b, base)
	if err != nil {
		t.Fatal(err)
	}
	return pages
}

// write is the answer that shows a page of Example Bank.
func write(t *testing.T, l string, m page.Model, formAction ...string) *http.Response {
	t.Helper()
	w := httptest.NewRecorder()
	newPages(t, exampleBank, "").Write(w, page.Language(l), http.StatusOK, m, formAction...)
	return w.Result()
}

// each runs a test for every sight in every language.
func each(t *testing.T, test func(t *testing.T, l string, m page.Model)) {
	for name, model := range sights() {
		for _, l := range page.Languages() {
			t.Run(strings.Join([]string{name, l}, "/"), func(t *testing.T) { test(t, l, model) })
		}
	}
}
