package authorize

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"authserver/internal/fdx"
	"authserver/internal/flow"
	"authserver/internal/grant"
	"authserver/internal/oauth"
	"authserver/internal/person"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

const issuer = "https://as.example"

// A yes is kept as what was pushed, who said it and what they chose, and nothing of the browser's.
func TestYes(t *testing.T) {
	h := newHouse(t, issuer)
	b := h.browser()
	target := h.push(func(p *grant.Pushed) { p.Nonce = "a nonce" })
	h.upTo(b, target+"&nonce=evil&scope=all&redirect_uri=https%3A%2F%2Fevil.example&state=evil", "kim", "accounts")
	form := filledIn(h.submit(b, filledIn(b.Page, "kim"), "accounts", "_kim-2"), "kim")
	h.now = h.now.Add(time.Minute)
	code := h.told(h.submit(b, form)).Get("code")
	want := grant.Approval{
		Grant: grant.Grant{ClientID: "c1", Subject: "_kim", Scope: "fdx:accountbasic:read",
			Resources: []string{"https://api.example"}, Accounts: []string{"_kim-2"},
			Details: fdx.Details{fdx.ConsentRequest{DurationType: fdx.OneTime, Resources: []fdx.Resource{
				{ResourceType: fdx.Account, ResourceID: "_kim-2", DataClusters: []string{"ACCOUNT_BASIC"}}}}},
			AuthTime: h.now.Add(-time.Minute), ACR: person.ACRPassword, AMR: []string{"pwd"},
			SessionID: h.sid(b), CreatedAt: h.now, ExpiresAt: h.now.Add(life.Once)},
		Code: grant.Code{ClientID: "c1", RedirectURI: callback, CodeChallenge: "challenge", JKT: "thumbprint",
			Nonce: "a nonce", ExpiresAt: h.now.Add(grant.CodeLifetime)},
	}
	if len(h.memory.approvals) != 1 {
		t.Fatalf("%d approvals", len(h.memory.approvals))
	}
	got := h.memory.approvals[0]
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(grant.Grant{}, "ID"),
		cmpopts.IgnoreFields(grant.Approval{}, "CodeHash")); diff != "" {
		t.Error(diff)
	}
	if len(got.Grant.ID) != 43 || len(code) != 43 || string(got.CodeHash) != string(oauth.Secret(code).Hash()) {
		t.Errorf("grant %q, code %q, its hash %x", got.Grant.ID, code, got.CodeHash)
	}
}

// Who has no accounts is asked for what is left, and for nothing where that would only be to sign in: then the client is
// told. Signing in alone, which needs no accounts, is granted when it is all that was asked for.
func TestNothingToShare(t *testing.T) {
	h := newHouse(t, issuer)
	for _, test := range []struct{ username, asked, want string }{
		{"sam", "fdx:accountbasic:read", "access_denied"},
		{"sam", "openid fdx:accountbasic:read offline_access", "access_denied"},
		{"sam", "openid fdx:accountbasic:read fdx:customercontact:read", "openid fdx:customercontact:read"},
		{"sam", "openid", "openid"},
		{"alex", "openid offline_access", "openid offline_access"},
		{"alex", "openid fdx:accountbasic:read", "openid fdx:accountbasic:read"},
	} {
		b := h.browser()
		p := h.visit(b, h.push(func(p *grant.Pushed) { p.Scope = test.asked }))
		for p.Location == "" {
			form := filledIn(p, test.username)
			if form == nil {
				t.Fatal(p)
			}
			p = h.submit(b, form)
		}
		answer := h.told(p)
		got := answer.Get("error")
		if answer.Has("code") {
			got = h.memory.approvals[len(h.memory.approvals)-1].Grant.Scope
		}
		if got != test.want {
			t.Errorf("%s, asked for %s: %s, want %s", test.username, test.asked, got, test.want)
		}
	}
}

// What is for once ends with its one token: neither the page nor the grant promises access while the person is away.
func TestOnceIsNotWhileAway(t *testing.T) {
	h := newHouse(t, issuer)
	for scope, granted := range map[string]string{
		"fdx:accountbasic:read offline_access": "fdx:accountbasic:read", "openid offline_access": "openid offline_access",
	} {
		b := h.browser()
		form := h.upTo(b, h.push(func(p *grant.Pushed) { p.Scope = scope }), "kim", "decision")
		if page := b.Page.Exchange.ResponseBody; strings.Contains(page, "while you are away") != (scope == granted) {
			t.Errorf("%s: %s", scope, page)
		}
		h.told(h.submit(b, form))
		if got := h.memory.approvals[len(h.memory.approvals)-1].Grant.Scope; got != granted {
			t.Errorf("%s: %q is granted", scope, got)
		}
	}
}

func TestNo(t *testing.T) {
	h := newHouse(t, issuer)
	b := h.browser()
	target := h.push()
	answer := h.told(h.submit(b, h.upTo(b, target, "kim", "decision"), "decision", "deny"))
	if answer.Get("error") != "access_denied" || answer.Has("code") || len(h.memory.approvals) != 0 {
		t.Errorf("%v, %d approvals", answer, len(h.memory.approvals))
	}
	h.refused(h.visit(b, target), oauth.RequestAnswered)
}

func TestVisits(t *testing.T) {
	h := newHouse(t, issuer)
	good := h.push()
	id, uri, _ := strings.Cut(good, "&")
	for target, reason := range map[string]oauth.Reason{
		id: oauth.ParameterMissing, id + "&request_uri=": oauth.ParameterMissing,
		issuer + "/oauth2/authorize?" + uri: oauth.ParameterMissing, good + "&" + uri: oauth.ParameterRepeated,
		good + "&client_id=c1": oauth.ParameterRepeated, good + "&a;b": oauth.BodyMalformed,
		id + "&request_uri=https%3A%2F%2Fevil.example":           oauth.RequestURIUnknown,
		strings.Replace(good, "client_id=c1", "client_id=c2", 1): oauth.RequestURIUnknown,
		good + "x": oauth.RequestURIUnknown,
		strings.Replace(good, "urn%3A", "URN%3A", 1): oauth.RequestURIUnknown,
	} {
		h.refused(h.visit(h.browser(), target), reason)
	}
	for method, want := range map[string]string{http.MethodHead: "", http.MethodPost: good} {
		r, err := http.NewRequestWithContext(t.Context(), method, good,
			strings.NewReader(strings.TrimPrefix(good, issuer+"/oauth2/authorize?")))
		if err != nil {
			t.Fatal(err)
		}
		answer, err := h.RoundTrip(r)
		if err != nil || answer.Header.Get("Location") != want || len(answer.Cookies()) != 0 ||
			len(h.memory.interactions) != 0 {
			t.Errorf("%s: %v, %d interactions", method, answer.Header, len(h.memory.interactions))
		}
		_ = answer.Body.Close()
	}
	reader := h.browser()
	h.visit(reader, good)
	h.now = h.now.Add(grant.DefaultArrival)
	h.refused(h.visit(h.browser(), good), oauth.RequestURIExpired)
	if p := h.visit(reader, good); p.Form("password") == nil || len(h.memory.interactions) != 1 {
		t.Errorf("a reload: %s", p)
	}
	crowded := h.push()
	for range grant.MaxInteractions {
		h.visit(h.browser(), crowded)
	}
	h.refused(h.visit(h.browser(), crowded), oauth.RequestCrowded)
}

// A form counts when this page of this browser was made for this person, and sent from this site.
func TestForms(t *testing.T) {
	h := newHouse(t, issuer)
	b, other, kims := h.browser(), h.browser(), h.browser()
	target := h.push()
	h.upTo(kims, target, "kim", "decision")
	tokens := map[string]string{"none": "", "kim's": kims.Page.Form("decision").Fields.Get("form_token")}
	for _, field := range []string{"password", "accounts", "decision"} {
		tokens["another browser's for "+field] = h.upTo(other, target, "alex", field).Fields.Get("form_token")
	}
	for _, field := range []string{"password", "accounts", "decision"} {
		form := h.upTo(b, target, "alex", field)
		if out := formTo(b.Page, "/sign-out"); out != nil {
			tokens["to sign out"] = out.Fields.Get("form_token")
		}
		before := h.state()
		for name, token := range tokens {
			h.refused(h.submit(b, form, "form_token", token), oauth.FormRefused)
			if after := h.state(); after != before {
				t.Fatalf("%s with the token %s did something", field, name)
			}
		}
		tokens["of the page before"] = form.Fields.Get("form_token")
		h.refused(h.submit(b, form, "form_token"), oauth.FormRefused)
		h.refused(h.submit(b, form, "scope", "all"), oauth.FormField)
		h.refused(h.submit(b, form, "interaction", "AAAAAAAAAAAAAAAA"), oauth.InteractionUnknown)
		h.refused(h.submit(h.browser(), form), oauth.InteractionUnknown)
		for _, header := range []http.Header{{"Sec-Fetch-Site": {"cross-site"}}, {"Sec-Fetch-Site": {"same-site"}},
			{"Sec-Fetch-Site": nil, "Origin": {"https://evil.example"}}} {
			b.Header = header
			h.refused(h.submit(b, form), oauth.CrossSite)
		}
		if b.Header = nil; h.state() != before {
			t.Fatalf("%s: a form that is no page's did something", field)
		}
	}
	h.upTo(b, target, "alex", "decision")
	out := formTo(b.Page, "/sign-out")
	h.refused(h.submit(b, out, "form_token", tokens["kim's"]), oauth.FormRefused)
	if before := len(h.memory.sessions); h.submit(b, out).Exchange.Status != http.StatusOK ||
		len(h.memory.sessions) != before-1 {
		t.Error("not signed out")
	}
}

// Sealed pages stay good while the keys change.
func TestFormsUnderAnOlderKey(t *testing.T) {
	h := newHouse(t, issuer)
	b := h.browser()
	form := h.upTo(b, h.push(), "alex", "decision")
	h.Forms.keys = [][]byte{[]byte("a new key"), h.Forms.keys[0]}
	h.told(h.submit(b, form))
}

func TestAccounts(t *testing.T) {
	h := newHouse(t, issuer)
	b := h.browser()
	form := h.upTo(b, h.push(), "alex", "accounts")
	for _, chosen := range [][]string{{"_kim-1"}, {"_alex-1", "_kim-1"}, {"_alex-1", "_alex-1"}, {"*"}} {
		h.refused(h.submit(b, form, append([]string{"accounts"}, chosen...)...), oauth.FormField)
	}
	if p := h.submit(b, form, "accounts"); p.Form("accounts") == nil || p.Alert == "" ||
		p.Exchange.Status != http.StatusBadRequest {
		t.Errorf("none chosen: %s", p)
	}
	if p := h.submit(b, form, "accounts", "_alex-2"); p.Form("decision") == nil ||
		strings.Contains(p.Exchange.ResponseBody, "Everyday") {
		t.Errorf("%s", p)
	}
	h.refused(h.submit(b, b.Page.Form("decision"), "decision", "perhaps"), oauth.FormField)
	personal := h.push(func(p *grant.Pushed) { p.Scope = "fdx:customerpersonal:read" })
	if p := h.visit(b, personal); p.Form("decision") == nil {
		t.Errorf("accounts are asked for where the scope is about none: %s", p)
	}
	h.told(h.submit(b, filledIn(b.Page, "alex")))
	if g := h.memory.approvals[0].Grant; g.Accounts != nil {
		t.Errorf("%v", g.Accounts)
	}
}

// Whoever comes to a page whose turn it is not goes on at the one whose turn it is, and an account that is no longer
// theirs is chosen anew.
func TestTurns(t *testing.T) {
	h := newHouse(t, issuer)
	b := h.browser()
	target := h.push()
	yes := h.upTo(b, target, "alex", "decision")
	consent := b.Page.Exchange.URL
	pages := func(b *flow.Browser) (fields string) {
		for _, page := range []string{"/login", "/accounts", "/consent"} {
			p := h.visit(b, strings.Replace(consent, "/consent", page, 1))
			for _, field := range []string{"password", "accounts", "decision"} {
				if p.Form(field) != nil {
					fields += field + " "
				}
			}
		}
		return fields
	}
	if got := pages(b); got != "password accounts decision " {
		t.Errorf("with a choice: %s", got)
	}
	h.closed = "_alex-2"
	if p := h.submit(b, yes); p.Form("accounts") == nil || len(h.memory.approvals) != 0 {
		t.Errorf("an account that is no longer alex's: %s", p)
	}
	h.closed = ""
	for _, i := range h.memory.interactions {
		i.Accounts = nil
	}
	if got := pages(b); got != "password accounts accounts " {
		t.Errorf("without one: %s", got)
	}
	h.refused(h.submit(b, yes), oauth.FormRefused) // its page showed accounts
	clear(h.memory.sessions)
	if got := pages(b); got != "password password password " {
		t.Errorf("without a session: %s", got)
	}
	if p := h.submit(b, yes); p.Form("password") == nil || len(h.memory.approvals) != 0 {
		t.Errorf("without a session: %s", p)
	}
	h.told(h.submit(b, h.upTo(b, target, "alex", "decision")))
	for range 2 {
		h.refused(h.submit(b, yes), oauth.RequestAnswered)
		h.refused(h.visit(b, consent), oauth.RequestAnswered)
	}
}

// A yes is to what the page says: a client that has meanwhile registered for a longer consent does not get one.
func TestClientOfAnotherPage(t *testing.T) {
	h := newHouse(t, issuer)
	register := func(days int) {
		c := h.memory.clients["c1"]
		c.Metadata.DurationPeriod, c.Version = days, c.Version+1
		h.memory.clients["c1"] = c
	}
	register(1)
	b := h.browser()
	yes := h.upTo(b, h.push(func(p *grant.Pushed) {
		p.Details = fdx.Details{fdx.ConsentRequest{DurationType: fdx.Persistent, Resources: []fdx.Resource{
			{ResourceType: fdx.Account, DataClusters: []string{"ACCOUNT_BASIC"}}}}}
	}), "alex", "decision")
	consent := b.Page.Exchange.URL
	register(365)
	h.refused(h.submit(b, yes), oauth.FormRefused)
	if len(h.memory.approvals) != 0 {
		t.Fatalf("granted until %s", h.memory.approvals[0].Grant.ExpiresAt)
	}
	h.visit(b, consent)
	h.told(h.submit(b, filledIn(b.Page, "alex")))
}

// What one person has begun another does not end, in the same browser either.
func TestSomebodyElse(t *testing.T) {
	h := newHouse(t, issuer)
	b := h.browser()
	target := h.push()
	choice := h.upTo(b, target, "alex", "accounts")
	yes := h.upTo(b, target, "alex", "decision")
	first := cookieOf(t, b, "__Host-session")
	h.now = h.now.Add(time.Second)
	h.upTo(b, h.push(func(p *grant.Pushed) { p.Prompt = []string{"login"} }), "kim", "accounts")
	if second := cookieOf(t, b, "__Host-session"); second == first || len(h.memory.sessions) != 1 {
		t.Errorf("the session was kept: %d sessions", len(h.memory.sessions))
	}
	h.refused(h.submit(b, yes), oauth.FormRefused)
	h.refused(h.submit(b, choice), oauth.FormRefused)
	if p := h.visit(b, target); p.Form("accounts") == nil || !strings.Contains(p.Exchange.ResponseBody, "_kim-1") ||
		len(p.Form("accounts").Fields["accounts"]) > 0 {
		t.Errorf("%s", p)
	}
	h.memory.gone = true
	if p := h.visit(h.browser(), target); p.Form("password") == nil {
		t.Errorf("%s", p)
	}
	h.upTo(b, target, "kim", "password")
	h.refused(h.submit(b, filledIn(b.Page, "kim")), oauth.PersonDisabled)
}

func cookieOf(t *testing.T, b *flow.Browser, name string) string {
	t.Helper()
	from, err := url.Parse(b.Server.Issuer)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range b.Jar.Cookies(from) {
		if c.Name == name {
			return c.Value
		}
	}
	return ""
}

// Nothing is sent to a client that is gone, or to an address that it has given up.
func TestClientChanged(t *testing.T) {
	h := newHouse(t, issuer)
	b := h.browser()
	target, early := h.push(), h.push()
	yes := h.upTo(b, target, "alex", "decision")
	moved := h.memory.clients["c1"]
	moved.Metadata.RedirectURIs = []string{callback + "/new"}
	for _, change := range []func(){func() { h.memory.clients["c1"] = moved }, func() { delete(h.memory.clients, "c1") }} {
		change()
		h.refused(h.visit(h.browser(), early), oauth.ClientChanged)
		h.refused(h.visit(b, target), oauth.ClientChanged)
		h.refused(h.submit(b, yes), oauth.ClientChanged)
		h.refused(h.submit(b, yes, "decision", "deny"), oauth.ClientChanged)
	}
	if len(h.memory.approvals) != 0 {
		t.Error("approved")
	}
}

// Where accounts come from nowhere nobody has any: what is about accounts is left out, and nothing but that is refused.
func TestNoSourceOfAccounts(t *testing.T) {
	h := newHouse(t, issuer)
	h.Endpoint.Accounts = nil
	b := h.browser()
	h.visit(b, h.push())
	if answer := h.told(h.submit(b, filledIn(b.Page, "kim"))); answer.Get("error") != "access_denied" {
		t.Errorf("about accounts: %v", answer)
	}
	b = h.browser()
	both := h.push(func(p *grant.Pushed) { p.Scope = "fdx:accountbasic:read fdx:customercontact:read" })
	h.told(h.submit(b, h.upTo(b, both, "kim", "decision")))
	if len(h.memory.approvals) != 1 || h.memory.approvals[0].Grant.Scope != "fdx:customercontact:read" {
		t.Errorf("%+v", h.memory.approvals)
	}
}
