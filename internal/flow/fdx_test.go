package flow

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func playFDX(t *testing.T, bend func(*careless, *FDX)) *Report {
	t.Helper()
	server, registrant := start(t)
	run := &FDX{Authorization: Authorization{Registrant: registrant, Person: alex}}
	if bend != nil {
		bend(server, run)
	}
	report, err := run.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// What a careless server does well passes, and each of its omissions is found.
func TestACarelessServerIsFoundOutWithConsents(t *testing.T) {
	report := playFDX(t, nil)
	t.Run("redacted", func(t *testing.T) { checkRedacted(t, report, 150) })
	const path = "10 and its path is named"
	want := []string{
		"9 as another client", "9 a consent that nobody gave", "9 ended by another client",
		"10 a member that FDX does not have", path, "10 a type that nobody offers", path, "10 366 days", path, "10 0 days", path,
		"10 days in a string", path, "10 an account that the client chose", path, "10 data without the scope for it",
		"10 an account that nobody chose", "10 data that nobody granted", "10 a year", "10 a longer look back",
		"11 and once more", "11 a refresh after that", "11 its token, at the consent", "11 the access token",
		"12 the code, for another account", "13 the access token",
	}
	if diff := cmp.Diff(want, failed(report)); diff != "" {
		t.Error(diff)
	}
	if report.Flow != "fdx" || report.Passed < 90 || len(report.Steps) != 14 {
		t.Errorf("flow %s: %d passed, %d steps", report.Flow, report.Passed, len(report.Steps))
	}
	for number, want := range map[int]string{5: "signed in as alex, shared 2 accounts, pressed Allow", 12: onceMore,
		13: "signed in as alex, stopped sharing", 14: onceMore} {
		if got := report.Steps[number-1].Did; got != want {
			t.Errorf("step %d did %q", number, got)
		}
	}
	for number, ids := range map[int][]string{6: {"a1", "a2"}, 12: {"a1"}} {
		var granted Details
		for _, exchange := range report.Steps[number-1].Exchanges {
			if _, of := exchange.Details(); of != nil {
				granted = of
			}
		}
		if diff := cmp.Diff(ids, granted[0].Of()); diff != "" {
			t.Errorf("step %d: %s", number, diff)
		}
	}
}

// Every check of a consent fails when only that is wrong.
func TestEveryMistakeWithConsentsIsFound(t *testing.T) {
	set := func(route, name string, value any) func(*careless) {
		return func(s *careless) {
			s.bends = map[string]func(map[string]any){route: func(answer map[string]any) { answer[name] = value }}
		}
	}
	// Only a refreshed token, of which the nth is bent.
	refreshed := func(nth int, name string, value any) func(*careless) {
		return func(s *careless) {
			s.bends = map[string]func(map[string]any){"POST /token": func(answer map[string]any) {
				if answer["refresh_token"] == nil {
					return
				}
				if nth--; nth == -1 {
					answer[name] = value
				}
			}}
		}
	}
	shown := func(change func(page string) string) func(*careless) {
		return func(s *careless) { s.change = change }
	}
	without := func(word, instead string) func(*careless) {
		return shown(func(page string) string { return strings.ReplaceAll(page, word, instead) })
	}
	const see = "GET /fdx/v6/consents/g1"
	whole := lasting.read().granted("", []string{"a1", "a2"})
	tests := map[string]struct {
		bend func(*careless)
		want string
	}{
		"a nameless client":          {without("authserver try", "somebody"), "5 the consent page says who asks"},
		"data in no words":           {without("STATEMENTS", "more"), "5 the consent page says which data"},
		"an account less":            {without("Rainy day ***2. ", ""), "5 the consent page says which accounts"},
		"no look back":               {without("60 days back", "back"), "5 the consent page says how far back"},
		"no end":                     {without("<time", "<span"), "5 the consent page says until when"},
		"no word of once":            {without("once", "some time"), "12 the consent page says for how long"},
		"no word of stopping":        {without("/connected</p>", "/</p>"), "5 the consent page says how to stop"},
		"all at once":                {refreshed(1, "authorization_details", whole), "8 authorization_details are what was asked for"},
		"less for ever":              {refreshed(2, "authorization_details", whole[:0]), "8 authorization_details are what was asked for"},
		"another grant":              {refreshed(2, "grant_id", "g2"), "8 grant_id is the same as before"},
		"another consent":            {set(see, "id", "g2"), "9 id is the grant"},
		"a consent that is over":     {set(see, "status", "EXPIRED"), "9 status is ACTIVE"},
		"another look back":          {set(see, "lookbackPeriod", 61), "9 its terms and resources are what was granted"},
		"no resources":               {set(see, "resources", []any{}), "9 its terms and resources are what was granted"},
		"another end":                {set(see, "expirationTime", "2026-04-01T12:00:00Z"), "9 it ends with its period"},
		"no provider":                {set(see, "parties", []map[string]string{{"name": clientName, "type": "DATA_RECIPIENT"}}), "9 parties are recipient and provider"},
		"another recipient":          {set(see, "parties", []map[string]string{{"name": "b", "type": "DATA_RECIPIENT"}}), "9 the data recipient is the client"},
		"an error of OAuth":          {func(s *careless) { s.plainErrors = true }, "9 and says so as FDX does"},
		"it stays active":            {set(see, "status", "ACTIVE"), "11 status is REVOKED"},
		"no revocation":              {set(see+"/revocation", "revocations", []any{}), "11 there is one, by who ended it"},
		"by somebody else":           {set(see+"/revocation", "revocations", []any{map[string]string{"status": "REVOKED", "initiator": "VENDOR"}}), "13 there is one, by who ended it"},
		"no page of connected apps":  {func(s *careless) { s.unconnected = true }, "13 the flow can go on"},
		"a button that does nothing": {func(s *careless) { s.unstoppable = true }, "13 its button is gone"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			report := playFDX(t, func(s *careless, _ *FDX) { test.bend(s) })
			if !slices.Contains(failed(report), test.want) {
				t.Errorf("want %q among\n%s", test.want, strings.Join(failed(report), "\n"))
			}
		})
	}
}

// A person at a browser of their own answers once: what needs more answers is skipped, and the rest is looked at.
func TestAPersonSharesInABrowser(t *testing.T) {
	report := playFDX(t, func(s *careless, run *FDX) {
		person := NewBrowser(&Server{Issuer: s.issuer, HTTP: run.Server.HTTP, Now: run.Server.Now})
		run.Ask = func(target string, seconds int64) {
			page, err := person.Visit(t.Context(), target)
			if err != nil {
				t.Error(err)
			}
			if target == s.issuer+"/connected" && seconds == 600 {
				if _, err := person.Submit(t.Context(), page.sharing("g1")); err != nil {
					t.Error(err)
				}
				return
			}
			if _, err := person.Answer(t.Context(), Person{Username: "alex", Password: "alex-demo", Shares: 1}, Approve); err != nil {
				t.Error(err)
			}
			if _, err := person.Visit(t.Context(), person.Page.Location); err != nil {
				t.Error(err)
			}
		}
	})
	if diff := cmp.Diff(map[int]string{11: "the person will do that", 12: onceOnly, 14: onceOnly}, skipped(report)); diff != "" {
		t.Error(diff)
	}
	found := failed(report)
	if diff := cmp.Diff([]string{"13 a refresh after that", "13 the access token"}, found[len(found)-2:]); diff != "" {
		t.Error(diff)
	}
	if got := report.Steps[12].Did; len(report.Steps) != 14 || got != "a person stopped sharing in a browser" {
		t.Errorf("%d steps, did %q", len(report.Steps), got)
	}
}

// The wishes of this package are details that it reads itself, and the example of FDX is the one that a seed of the project has.
func TestWishes(t *testing.T) {
	for _, w := range []wish{once, lasting, both} {
		details, err := ReadDetails(w.details)
		if err != nil || !json.Valid([]byte(w.details)) || text(details) != w.details {
			t.Errorf("%s is read as %s, %v", w.details, text(details), err)
		}
	}
	if once.lasts() || !lasting.lasts() || !both.lasts() || len(both.read()) != 2 {
		t.Error("what lasts")
	}
	for _, bad := range []string{``, `{}`, `[{"type":"fdx_v1.0","more":1}]`, `[{"consentRequest":{"durationPeriod":"1"}}]`} {
		if details, err := ReadDetails(bad); err == nil {
			t.Errorf("%s is read as %s", bad, details)
		}
	}
}

// Details are alike when only the order of resources and data clusters differs.
func TestDetailsAlike(t *testing.T) {
	granted := lasting.read().granted("", []string{"a1", "a2"})
	turned := lasting.read().granted("", []string{"a2", "a1"})
	slices.Reverse(turned[0].ConsentRequest.Resources[0].DataClusters)
	if granted.String() != turned.String() || granted[0].ConsentRequest.Resources[0].ResourceID != "a1" {
		t.Errorf("%s and %s", granted, turned)
	}
	step := &Step{}
	for _, other := range []Details{turned, lasting.read(), both.read(), nil} {
		step.details("", granted, other)
	}
	step.details("", granted, nil)
	for i, check := range step.Checks {
		if check.OK != (i == 0) {
			t.Errorf("%d: %v", i, check)
		}
	}
}
