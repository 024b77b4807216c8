package consent_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"authserver/internal/accesstoken"
	"authserver/internal/audit"
	"authserver/internal/client"
	"authserver/internal/consent"
	"authserver/internal/dpop"
	"authserver/internal/fdx"
	"authserver/internal/flow"
	"authserver/internal/grant"
	"authserver/internal/jose"
	"authserver/internal/jose/josetest"
	"authserver/internal/oauth"
	"authserver/internal/replay"
	"authserver/internal/resource"
)

const (
	issuer      = "https://as.example"
	interaction = "550e8400-e29b-41d4-a716-446655440000"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// memory is a store that counts what it was asked, and fails when the test has set an error.
type memory struct {
	consents map[string]grant.Consent
	clients  map[string]client.Client
	err      error

	spent, lookups, changes int
}

func (m *memory) Spend(context.Context, replay.Spend) (replay.Outcome, error) {
	m.spent++
	return replay.Outcome{}, nil
}

func (m *memory) Denied(context.Context, replay.Use, string, string) (bool, *time.Time, error) {
	return false, nil, nil
}

func (m *memory) FindConsent(_ context.Context, id string) (grant.Consent, bool, error) {
	m.lookups++
	c, found := m.consents[id]
	return c, found, m.err
}

func (m *memory) FindClient(_ context.Context, id string) (client.Client, bool, error) {
	m.lookups++
	c, found := m.clients[id]
	return c, found, nil
}

func (m *memory) RevokeGrant(_ context.Context, id string, by grant.Owner, change grant.Change) (grant.Grant, grant.Ending, error) {
	c, found := m.consents[id]
	if !found {
		return grant.Grant{}, grant.NoGrant, nil
	}
	ending := c.End(by, change.At)
	if ending == grant.Ended {
		m.changes++
		c.RevokedAt, c.UpdatedAt, c.History = &change.At, change.At, append(c.History, change)
		m.consents[id] = c
	}
	return c.Grant, ending, nil
}

// room is the endpoint over a store in memory, and a client's key.
type room struct {
	t      *testing.T
	store  *memory
	tokens accesstoken.Tokens
	holder *flow.Client
	consent.Endpoint
}

func newRoom(t *testing.T) *room {
	t.Helper()
	key, err := flow.GenerateKey("ES256")
	if err != nil {
		t.Fatal(err)
	}
	now := func() time.Time { return noon }
	r := &room{t: t, tokens: accesstoken.Tokens{Issuer: issuer, Alg: jose.ES256, Keys: josetest.NewServer()},
		holder: &flow.Client{Server: &flow.Server{Issuer: issuer, Now: now}, DPoPKey: key},
		store:  &memory{consents: map[string]grant.Consent{}, clients: map[string]client.Client{"c1": {ID: "c1"}, "c2": {ID: "c2"}}}}
	for _, id := range []string{"mine", "mine too", "revoked", "expired", "theirs"} {
		r.store.consents[id] = given(t, id)
	}
	plain := given(t, "plain")
	plain.Details = nil
	r.store.consents["plain"] = plain
	r.Endpoint = consent.Endpoint{
		Guard: resource.Guard{Origins: []string{issuer}, Audiences: []string{issuer}, Tokens: r.tokens, Proofs: dpop.Verifier{Policy: dpop.NonceOff}, Store: r.store},
		Store: r.store, Bank: "First Example", Issuer: issuer, Now: now,
	}
	return r
}

// given is a consent that was given an hour ago, to c1 unless it is theirs.
func given(t *testing.T, id string) grant.Consent {
	t.Helper()
	details, err := fdx.ParseDetails(`[{"type":"fdx_v1.0","consentRequest":{"durationType":"TIME_BOUND","durationPeriod":90,"lookbackPeriod":60,
		"resources":[{"resourceType":"ACCOUNT","resourceId":"a1","dataClusters":["TRANSACTIONS"]}]}},
		{"type":"fdx_v1.0","consentRequest":{"durationType":"TIME_BOUND","durationPeriod":90,"lookbackPeriod":60,
		"resources":[{"resourceType":"ACCOUNT","resourceId":"a1","dataClusters":["STATEMENTS"]},
		{"resourceType":"CUSTOMER","resourceId":"_alex","dataClusters":["CUSTOMER_CONTACT"]}]}}]`, nil)
	if err != nil {
		t.Fatal(err)
	}
	at := noon.Add(-time.Hour)
	c := grant.Consent{Grant: grant.Grant{ID: id, ClientID: "c1", Subject: "_alex", Details: details,
		CreatedAt: at, UpdatedAt: at.Add(1500 * time.Microsecond), ExpiresAt: noon.Add(time.Hour)},
		History: []grant.Change{{At: at, Event: grant.Given, Why: grant.Approved, Actor: audit.Person}}}
	switch id {
	case "theirs":
		c.ClientID = "c2"
	case "expired":
		c.ExpiresAt = noon
	case "revoked":
		stop := grant.Stopped(grant.PersonStopped, "", "", at.Add(time.Minute).In(time.FixedZone("", 3600)))
		c.RevokedAt, c.UpdatedAt, c.History = &stop.At, stop.At, append(c.History, stop)
	}
	return c
}

// token is an access token of c1's, in its own name unless edit says otherwise.
func (r *room) token(edit func(*accesstoken.Token)) string {
	r.t.Helper()
	token := accesstoken.Token{Subject: "c1", ClientID: "c1", Audience: accesstoken.Audience{issuer},
		Confirmation: accesstoken.Confirmation{JKT: r.holder.DPoPKey.Thumbprint()}}
	if edit != nil {
		edit(&token)
	}
	compact, _, err := r.tokens.Issue(token, time.Minute, noon)
	if err != nil {
		r.t.Fatal(err)
	}
	return compact
}

// handler is a method of the endpoint.
type handler func(w http.ResponseWriter, r *http.Request, id string) error

// handlers are all of them, and how each is asked.
func (r *room) handlers() map[string]handler {
	return map[string]handler{"GET ": r.Show, "GET /revocation": r.Revocations, "PUT /revocation": r.Revoke}
}

const goodBody = `{"reason":"USER_ACTION","initiator":"INDIVIDUAL"}`

// ask has a handler answer to a token about a consent.
func (r *room) ask(h handler, how, token, id, body string) (*answer, error) {
	r.t.Helper()
	method, below, _ := strings.Cut(how, " ")
	path := "/fdx/v6/consents/" + url.PathEscape(id) + below
	request := httptest.NewRequest(method, path, strings.NewReader(body))
	proof, err := r.holder.Proof(method, issuer+path, flow.ForToken(token))()
	if err != nil {
		r.t.Fatal(err)
	}
	request.Header.Set("DPoP", proof)
	request.Header.Set("Authorization", "DPoP "+token)
	request.Header.Set("Content-Type", "application/json")
	w := &answer{httptest.NewRecorder(), map[oauth.Field]string{}}
	w.Header().Set("X-Fapi-Interaction-Id", interaction)
	return w, h(w, request, id)
}

// answer is a response that keeps what the handler tells its record.
type answer struct {
	*httptest.ResponseRecorder
	notes map[oauth.Field]string
}

func (a *answer) Refused(*oauth.Error)         {}
func (a *answer) Note(f oauth.Field, v string) { a.notes[f] = v }
