package authorize

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"authserver/internal/client"
	"authserver/internal/fdx"
	"authserver/internal/flow"
	"authserver/internal/grant"
	"authserver/internal/oauth"
	"authserver/internal/page"
	"authserver/internal/person"
	"authserver/internal/replay"
)

const (
	callback = "https://client.example/cb"
	bye      = "https://client.example/bye" // where c1 has people sent who have signed out
)

var life = fdx.Life{Longest: fdx.MaxLife, Once: 10 * time.Minute}

// house is an endpoint with a store in memory, and the time that it is there.
type house struct {
	*testing.T
	*Endpoint
	memory *memory
	now    time.Time
	routes *http.ServeMux
	closed string // an account that its owner has no more
}

// newHouse has one client, c1, and people whose password is "right" and who have two accounts each.
func newHouse(t *testing.T, issuer string) *house {
	t.Helper()
	pages, err := page.New(page.Brand{Name: "Bank"}, "")
	if err != nil {
		t.Fatal(err)
	}
	forms, err := NewForms([][]byte{[]byte("a key"), []byte("the key before it")}, issuer)
	if err != nil {
		t.Fatal(err)
	}
	h := &house{T: t, now: time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC), routes: http.NewServeMux(), memory: &memory{
		clients: map[string]client.Client{}, requests: map[string]*request{}, interactions: map[string]*interaction{},
		sessions: map[string]person.Session{}, spent: map[replay.Use]bool{},
	}}
	h.memory.clients["c1"] = client.Client{ID: "c1", Metadata: client.Metadata{ClientName: "An app",
		RedirectURIs: []string{callback}, PostLogoutRedirectURIs: []string{bye, bye + "?a=b"}}}
	h.Endpoint = &Endpoint{
		Issuer: issuer, Store: h.memory, Passwords: everybody{}, Accounts: h, Pages: pages, Forms: forms,
		Sessions: person.Lifetimes{Idle: 15 * time.Minute, Most: 8 * time.Hour}, Life: life, Now: func() time.Time { return h.now },
	}
	e := h.Endpoint
	for pattern, handler := range map[string]oauth.Handler{
		"/oauth2/authorize": e.Authorize, "GET /login": e.Login, "POST /login/attempt": e.Attempt,
		"GET /login/callback": e.Callback,
		"GET /accounts":       e.ShowAccounts, "POST /accounts/choice": e.Choose, "GET /consent": e.ShowConsent,
		"POST /consent/decision": e.Answer,
		"GET /connected":         e.Connected, "POST /connected/attempt": e.OwnAttempt, "POST /connected/stop": e.Stop,
		"/oauth2/logout": e.Logout, "POST /sign-out": e.SignOut, "GET /signed-out": e.SignedOut,
	} {
		h.routes.Handle(pattern, oauth.Pages{Base: issuer, Show: e.ShowError}.Serve(handler))
	}
	return h
}

// everybody is the login.
type everybody struct{}

func (everybody) Authenticate(_ context.Context, username, password, _ string, now time.Time) (person.Authentication,
	error) {
	if password != "right" {
		return person.Authentication{}, oauth.Refuse(oauth.LoginRefused, "the username or the password is wrong")
	}
	who := person.Person{Subject: "_" + username, Username: username}
	return person.Authentication{Person: who, At: now, ACR: person.ACRPassword, AMR: []string{"pwd"}}, nil
}

// Accounts are those of the bank, where sam has none.
func (h *house) Accounts(_ context.Context, subject string) ([]person.Account, error) {
	if subject == "_sam" {
		return nil, nil
	}
	all := []person.Account{{ID: subject + "-1", Name: "Everyday"}, {ID: subject + "-2", Name: "Rainy day"}}
	return slices.DeleteFunc(all, func(a person.Account) bool { return a.ID == h.closed }), nil
}

// RoundTrip answers without a network, and without another goroutine.
func (h *house) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	in := r.Clone(r.Context())
	in.RemoteAddr, in.Host = "192.0.2.1:1234", r.URL.Host
	h.routes.ServeHTTP(w, in)
	return w.Result(), nil
}

// browser is one that has never been here.
func (h *house) browser() *flow.Browser {
	return flow.NewBrowser(&flow.Server{Issuer: h.Issuer, HTTP: flow.NewHTTPClient(h, time.Minute), Now: time.Now})
}

// push keeps a request of c1, and is where a browser goes with it.
func (h *house) push(edits ...func(*grant.Pushed)) (target string) {
	p := grant.Pushed{ClientID: "c1", RedirectURI: callback, State: "a state", Scope: "fdx:accountbasic:read",
		CodeChallenge: "challenge",
		JKT:           "thumbprint", Resources: []string{"https://api.example"}, ArriveBy: h.now.Add(grant.DefaultArrival)}
	for _, edit := range edits {
		edit(&p)
	}
	if p.Details == nil { // as the push settles it
		scope, err := oauth.ParseScope(p.Scope)
		if err == nil {
			p.Details, _, err = p.Details.Settle(scope, fdx.Ceilings{})
		}
		if err != nil {
			h.Fatal(err)
		}
	}
	secret := oauth.NewSecret()
	h.memory.requests[string(secret.Hash())] = &request{pushed: p}
	return h.Issuer + "/oauth2/authorize?" + url.Values{"client_id": {p.ClientID},
		"request_uri": {grant.RequestURI + secret.Reveal()}}.Encode()
}

func (h *house) visit(b *flow.Browser, target string) *flow.Page {
	h.Helper()
	p, err := b.Visit(h.Context(), target)
	if err != nil {
		h.Fatal(err)
	}
	return p
}

// upTo plays a person up to the page with a field, and returns its form, filled in.
func (h *house) upTo(b *flow.Browser, target, username, field string) *flow.Form {
	h.Helper()
	h.visit(b, target)
	for {
		form := filledIn(b.Page, username)
		switch {
		case form == nil:
			h.Fatalf("no way to %s: %s", field, b.Page)
		case b.Page.Form(field) != nil:
			return form
		}
		h.submit(b, form)
	}
}

// filledIn is the form of a page as a person would send it.
func filledIn(p *flow.Page, username string) *flow.Form {
	for _, field := range []string{"password", "accounts", "decision"} {
		if form := p.Form(field); form != nil {
			switch field {
			case "password":
				form.Fields["username"], form.Fields["password"] = []string{username}, []string{"right"}
			case "accounts":
				form.Fields["accounts"] = form.Choices["accounts"]
			case "decision":
				form.Fields["decision"] = []string{"approve"}
			}
			return form
		}
	}
	return nil
}

// submit sends a form of which a field may be bent; without a value it is left out.
func (h *house) submit(b *flow.Browser, form *flow.Form, bent ...string) *flow.Page {
	h.Helper()
	sent := *form
	sent.Fields = maps.Clone(form.Fields)
	if len(bent) > 0 {
		if sent.Fields[bent[0]] = bent[1:]; len(bent) == 1 {
			sent.Fields.Del(bent[0])
		}
	}
	p, err := b.Submit(h.Context(), &sent)
	if err != nil {
		h.Fatal(err)
	}
	return p
}

// refused wants an error page for a reason, and no address of the client on it.
func (h *house) refused(p *flow.Page, reason oauth.Reason) {
	h.Helper()
	if explanation, _ := oauth.Explain(reason); p.Location != "" ||
		!strings.Contains(p.Exchange.ResponseBody, "/errors/"+string(reason)+`"`) ||
		explanation.Status != 0 && p.Exchange.Status != explanation.Status || p.Exchange.Status < 400 ||
		p.Exchange.Status >= 500 {
		h.Errorf("want a page for %s, got %s", reason, p)
	}
}

// told takes apart what the client is told.
func (h *house) told(p *flow.Page) url.Values {
	h.Helper()
	answer, err := flow.ReadReturn(p.Location, callback)
	if err != nil {
		h.Errorf("%v: %s", err, p)
	}
	if answer.Get("iss") != h.Issuer || answer.Get("state") != "a state" {
		h.Errorf("iss or state: %v", answer)
	}
	return answer
}

// state is all that forms can change.
func (h *house) state() string {
	var all []string
	for id, i := range h.memory.interactions {
		all = append(all, fmt.Sprintf("%x %s %v %v", id, i.Subject, i.Accounts, i.Decided))
	}
	slices.Sort(all)
	return fmt.Sprint(all, h.memory.sessions, len(h.memory.approvals))
}

// formTo finds a form of a page by where it goes.
func formTo(p *flow.Page, path string) *flow.Form {
	for _, form := range p.Forms {
		if strings.HasSuffix(form.Action, path) {
			return form
		}
	}
	return nil
}
