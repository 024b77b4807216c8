package page_test

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"reflect"
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
	// Those of the page of connected apps belong to no interaction.
	theOwn        = page.Form{Action: "/connected/attempt", Token: "token-of-login"}
	theStop       = page.Form{Action: "/connected/stop", Token: "token-of-stop"}
	theTarget     = "https://budget-buddy.example/callback?bank=example"
	theOwnSignOut = page.Form{Action: "/sign-out", Token: "token-of-sign-out"}
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
	"accounts":    {Reason: oauth.AccountsUnavailable, Status: http.StatusServiceUnavailable},
	"denied":      {Reason: oauth.PersonDenied, Status: http.StatusForbidden},
	"attempts":    {Reason: oauth.RateLimited, Status: http.StatusTooManyRequests},
	"unavailable": {Reason: oauth.Unavailable, Status: http.StatusServiceUnavailable},
	"ours":        {Reason: oauth.Internal, Status: http.StatusInternalServerError},
	"logout":      {Reason: oauth.ParameterRepeated, Detail: "state was sent more than once", Status: http.StatusBadRequest, SignOut: "/oauth2/logout"},
	"request":     {Reason: oauth.ParameterMissing, Status: http.StatusBadRequest},
}

// Parties of every kind. Only these say more of themselves than their names.
var (
	buddy = page.Party{
		Name: "Budget Buddy", Logo: "/logos/budget-buddy", Site: "https://budget-buddy.example/",
		Entities: []page.Entity{{Name: "Budget Buddy, Inc.", Registry: "GLEIF", ID: "5493001KJTIIGC8Y1R12"}},
	}
	bridge = page.Party{
		Name: "Data Bridge", Logo: "/logos/data-bridge", Site: "https://data-bridge.example/",
		Entities: []page.Entity{{Name: "Data Bridge Platform LLC", Registry: "FDX", ID: "FDX-20871"}, {Registry: "ICANN"}},
	}
	wellKnown = page.Party{
		Name: "International Association of Budget Buddies and Bookkeepers (Open Finance Division)",
		Logo: "/logos/association", Site: "https://open-finance-division.international-association-of-budget-buddies.example/apps",
		Entities: []page.Entity{
			{
				Name:     "International Association of Budget Buddies and Bookkeepers, Incorporated",
				Registry: "GLEIF", ID: "254900OPPU84GM83MG36",
			},
			{Name: "IABBB", Registry: "PRIVATE", ID: "0001-7"}, {Registry: "ICANN", ID: "budget-buddies.example"},
		},
	}
)

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
	everything.Person = "alexandria.featherstonehaugh@long-host-name.example"
	everything.Clusters, everything.Scopes = clusters, append(fdx.Scopes(), "openid", "offline_access", "example:loyalty")
	everything.Client, everything.LookBack = wellKnown, 730
	everything.Intermediaries = []page.Party{bridge, {Name: "Ledger Post"}}
	joint := page.Account{ID: "acc-0", Name: "Joint household and holiday savings account", Number: "****1234"}
	everything.Accounts = append([]page.Account{joint}, accounts...)
	personal := consent
	personal.Clusters, personal.Accounts = []string{"CUSTOMER_CONTACT"}, nil
	personal.Person = "" // an upstream may tell no name
	once := consent
	once.Client, once.Once, once.Until, once.LookBack = buddy, true, time.Time{}, 60
	without := once
	without.Client.Logo = "/logos/missing"
	logout := page.Logout{
		Form: theOwnSignOut, Person: "alex", Client: "Budget Buddy", ClientID: "budget-buddy",
		RedirectURI: "https://budget-buddy.example/bye", State: "a state",
	}
	another := logout
	another.Another = true
	parted := logout
	parted.Over, parted.Person = true, ""
	identity := consent
	identity.Clusters, identity.Scopes, identity.Accounts = nil, []string{"openid"}, nil

	all := map[string]page.Model{
		"login": login, "login-wrong": wrong, "login-too-many": tooMany, "login-too-busy": tooBusy,
		"login-own": page.Login{Form: theOwn, Own: true},
		"accounts":  choice, "accounts-nothing": nothing, "accounts-none": none,
		"consent": consent, "consent-open": open, "consent-everything": everything, "consent-personal": personal,
		"consent-once": once, "consent-identity": identity, "consent-without-logo": without,
		"logout": logout, "logout-unasked": page.Logout{Form: theOwnSignOut}, "logout-over": parted, "logout-another": another,
		"answer":     page.Answer{Client: "Budget Buddy", Target: theTarget, Response: "eyJhbGciOiJQUzI1NiJ9.e30.c2lnbmF0dXJl"},
		"signed-out": page.SignedOut{Again: "/login?interaction=interaction-0001"}, "signed-out-for-good": page.SignedOut{},
	}
	maps.Copy(all, connected())
	for _, m := range called("\u202e<b>" + strings.Repeat("W", 300)) {
		all["hostile-"+reflect.TypeOf(m).Name()] = m
	}
	for kind, failure := range failures {
		failure.ID = "c6f2a9d8-5b1e-4c9a-9c1d-0a4f6d1b7e55"
		all["failure-"+kind] = failure
	}
	return all
}

// connected are the pages of connected apps.
func connected() map[string]page.Model {
	at := func(month time.Month, day, hour int) time.Time {
		return time.Date(2026, month, day, hour, 5, 0, 0, time.UTC)
	}
	history := []page.Entry{
		{At: at(11, 1, 9), What: page.Given, Reference: "c6f2a9d8-5b1e-4c9a-9c1d-0a4f6d1b7e55"},
		{At: at(11, 1, 10), What: page.Fetched, Reference: "0b0d9c1e-7a53-4f0e-8a0f-6f1f0c7d2b11"},
	}
	steady := page.Sharing{
		Stop: theStop, ID: "consent-1", Client: buddy, Clusters: []string{"ACCOUNT_BASIC", "TRANSACTIONS"},
		Scopes: []string{"offline_access"}, Accounts: accounts[:2], LookBack: 365, Since: at(11, 1, 9),
		Until: time.Date(2027, time.November, 1, 9, 5, 0, 0, time.UTC), Used: at(11, 21, 22), History: history,
	}
	once := page.Sharing{
		Stop: theStop, ID: "consent-2", Client: page.Party{Name: "Tax Friend"}, Clusters: []string{"TAX"}, Once: true,
		Since: at(11, 22, 9), Until: at(11, 22, 10), History: history[:1],
	}
	long := steady
	long.ID, long.Client, long.Intermediaries, long.Clusters = "consent-3", wellKnown, []page.Party{bridge}, clusters
	long.Scopes, long.Accounts = append(fdx.Scopes(), "openid", "example:loyalty"), append(accounts[:3:3], accounts...)
	var ended []page.Sharing
	for i, ending := range endings {
		over := steady
		over.Stop, over.Ending, over.Used, over.Until = page.Form{}, ending, at(11, 3, 22), at(11, 20-i, 12)
		over.History = append(history[:2:2], page.Entry{At: over.Until, What: page.Happening(ending)})
		ended = append(ended, over)
	}
	one := page.Connected{SignOut: theOwnSignOut, Person: "alex", Active: []page.Sharing{steady}}
	stopped, many := one, one
	stopped.Stopped, stopped.Ended = "Tax Friend", ended[1:2]
	many.Active, many.Ended, many.More = []page.Sharing{once, steady, long}, ended, true
	open := many
	open.Active, open.Ended = many.Active[2:], ended[4:]
	none := page.Connected{SignOut: theOwnSignOut}
	return map[string]page.Model{
		"connected": one, "connected-stopped": stopped, "connected-many": many, "connected-open": open, "connected-none": none,
	}
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
