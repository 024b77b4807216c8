package consent_test

import (
	"context"
	"errors"
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
	"authserver/internal/oauth"
	"authserver/internal/replay"
	"authserver/internal/resource"

	"github.com/google/go-cmp/cmp"
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

// signer is the server's one key.
type signer struct{ *jose.Signer }

func (s signer) Sign(_ jose.Alg, typ string, claims any) (string, error) {
	return s.Signer.Sign(typ, claims)
}

func (s signer) Key(string) *jose.Key { return s.Signer.Key() }

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
	private, err := jose.GenerateKey(jose.ES256)
	if err != nil {
		t.Fatal(err)
	}
	ours, err := jose.NewSigner(jose.ES256, "ours", private)
	if err != nil {
		t.Fatal(err)
	}
	key, err := flow.GenerateKey("ES256")
	if err != nil {
		t.Fatal(err)
	}
	now := func() time.Time { return noon }
	r := &room{t: t, tokens: accesstoken.Tokens{Issuer: issuer, Alg: jose.ES256, Keys: signer{ours}},
		holder: &flow.Client{Server: &flow.Server{Issuer: issuer, Now: now}, DPoPKey: key},
		store:  &memory{consents: map[string]grant.Consent{}, clients: map[string]client.Client{"c1": {ID: "c1"}, "c2": {ID: "c2"}}}}
	for _, id := range []string{"mine", "mine too", "revoked", "expired", "theirs"} {
		r.store.consents[id] = given(t, id)
	}
	plain := given(t, "plain")
	plain.Details = nil
	r.store.consents["plain"] = plain
	r.Endpoint = consent.Endpoint{
		Guard: resource.Guard{Origin: issuer, Audiences: []string{issuer}, Tokens: r.tokens, Proofs: dpop.Verifier{Policy: dpop.NonceOff}, Store: r.store},
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

// wantRefused wants a refusal and its reason.
func wantRefused(t *testing.T, err error, want oauth.Reason) {
	t.Helper()
	if refusal, ok := errors.AsType[*oauth.Error](err); !ok || refusal.Reason != want {
		t.Errorf("%v, want %s", err, want)
	}
}

// A consent shows itself to its client's own tokens and to those of this very consent. Everybody else learns nothing, and
// no more from one look-up than from another.
func TestWhoMayKnow(t *testing.T) {
	person := func(clientID, grantID string) func(*accesstoken.Token) {
		return func(t *accesstoken.Token) { t.Subject, t.ClientID, t.GrantID = "_alex", clientID, grantID }
	}
	for name, test := range map[string]struct {
		id   string
		edit func(*accesstoken.Token)
		may  bool
	}{
		"its client's own":             {"mine", nil, true},
		"of this consent":              {"mine", person("c1", "mine"), true},
		"of another consent":           {"mine", person("c1", "mine too"), false},
		"of a person without a grant":  {"mine", person("c1", ""), false},
		"another client's own":         {"mine", func(t *accesstoken.Token) { t.Subject, t.ClientID = "c2", "c2" }, false},
		"another client's of this one": {"mine", person("c2", "mine"), false},
		"about another client's":       {"theirs", nil, false},
		"about none":                   {"none", nil, false},
		"about an empty id":            {"", nil, false},
		"about the client":             {"c1", nil, false},
		"no consent of FDX":            {"plain", nil, false},
		"no consent of FDX, of it":     {"plain", person("c1", "plain"), false},
	} {
		r := newRoom(t)
		token := r.token(test.edit)
		for how, h := range r.handlers() {
			t.Run(name+", "+how, func(t *testing.T) {
				r.store.lookups, r.store.changes = 0, 0
				w, err := r.ask(h, how, token, test.id, goodBody)
				if test.may {
					if err != nil {
						t.Error(err)
					}
					return
				}
				refusal, ok := errors.AsType[*oauth.Error](err)
				if !ok || refusal.Reason != oauth.ConsentUnknown || refusal.Status() != http.StatusNotFound ||
					refusal.Description != "the access token opens no consent of this id" || refusal.Cause != nil {
					t.Errorf("%#v", err)
				}
				if r.store.lookups != 1 || r.store.changes != 0 || w.Body.Len() > 0 {
					t.Errorf("%d look-ups, %d changes, %s", r.store.lookups, r.store.changes, w.Body)
				}
			})
		}
	}
}

func TestShow(t *testing.T) {
	r := newRoom(t)
	reference := func(name string) client.RegistryReference {
		return client.RegistryReference{RegisteredEntityName: name + " Inc.", RegisteredEntityID: name + " 1", Registry: "FDX"}
	}
	r.store.clients["c1"] = client.Client{ID: "c1", Metadata: client.Metadata{ClientName: "Budget <&>", ClientURI: "https://app.example", LogoURI: "https://app.example/logo",
		RegistryReferences: []client.RegistryReference{reference("Budget"), reference("Second")},
		Intermediaries: []client.Intermediary{{Name: "Platform", URI: "https://dap.example", LogoURI: "https://dap.example/logo",
			RegistryReferences: []client.RegistryReference{reference("Platform")}}, {Name: "Second"}}}}
	const rest = `,"parties":[` +
		`{"name":"Budget <&>","type":"DATA_RECIPIENT","homeUri":"https://app.example","logoUri":"https://app.example/logo",` +
		`"registry":"FDX","registeredEntityName":"Budget Inc.","registeredEntityId":"Budget 1"},` +
		`{"name":"Platform","type":"DATA_ACCESS_PLATFORM","homeUri":"https://dap.example","logoUri":"https://dap.example/logo",` +
		`"registry":"FDX","registeredEntityName":"Platform Inc.","registeredEntityId":"Platform 1"},` +
		`{"name":"Second","type":"DATA_ACCESS_PLATFORM"},` +
		`{"name":"First Example","type":"DATA_PROVIDER","homeUri":"https://as.example"}],`
	const terms = `,"durationType":"TIME_BOUND","durationPeriod":90,"lookbackPeriod":60,"resources":[` +
		`{"resourceType":"ACCOUNT","resourceId":"a1","dataClusters":["TRANSACTIONS","STATEMENTS"]},` +
		`{"resourceType":"CUSTOMER","resourceId":"_alex","dataClusters":["CUSTOMER_CONTACT"]}]}` + "\n"
	for id, want := range map[string]string{
		"mine": `{"id":"mine","status":"ACTIVE"` + rest + `"createdTime":"2026-03-01T11:00:00.000Z","expirationTime":"2026-03-01T13:00:00.000Z",` +
			`"updatedTime":"2026-03-01T11:00:00.001Z"` + terms,
		"expired": `{"id":"expired","status":"EXPIRED"` + rest + `"createdTime":"2026-03-01T11:00:00.000Z","expirationTime":"2026-03-01T12:00:00.000Z",` +
			`"updatedTime":"2026-03-01T11:00:00.001Z"` + terms,
		"revoked": `{"id":"revoked","status":"REVOKED"` + rest + `"createdTime":"2026-03-01T11:00:00.000Z","expirationTime":"2026-03-01T13:00:00.000Z",` +
			`"updatedTime":"2026-03-01T11:01:00.000Z"` + terms,
	} {
		w, err := r.ask(r.Show, "GET ", r.token(nil), id, "")
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, w.Body.String()); diff != "" || w.Code != http.StatusOK || w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d %v %s", id, w.Code, w.Header(), diff)
		}
	}
}

// A client without a name is called by its id (RFC 7591 §2), and what it has not is left out.
func TestShowBare(t *testing.T) {
	r := newRoom(t)
	w, err := r.ask(r.Show, "GET ", r.token(nil), "mine", "")
	if err != nil || !strings.Contains(w.Body.String(), `"parties":[{"name":"c1","type":"DATA_RECIPIENT"},{"name":"First Example"`) {
		t.Errorf("%v %s", err, w.Body)
	}
	delete(r.store.clients, "c1")
	_, err = r.ask(r.Show, "GET ", r.token(nil), "mine", "")
	wantRefused(t, err, oauth.ConsentUnknown)
}

func TestRevocations(t *testing.T) {
	r := newRoom(t)
	for id, want := range map[string]string{
		"mine": `{"revocations":[]}`, "expired": `{"revocations":[]}`,
		"revoked": `{"revocations":[{"status":"REVOKED","reason":"USER_ACTION","initiator":"INDIVIDUAL","updatedTime":"2026-03-01T11:01:00.000Z"}]}`,
	} {
		w, err := r.ask(r.Revocations, "GET /revocation", r.token(nil), id, "")
		if err != nil || w.Body.String() != want+"\n" || w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %v %s", id, err, w.Body)
		}
	}
}

// Who ended a consent, why and by which request is kept as the client said it, once.
func TestRevoke(t *testing.T) {
	for _, initiator := range []string{"INDIVIDUAL", "DATA_RECIPIENT", "DATA_ACCESS_PLATFORM", "MERCHANT", "VENDOR"} {
		for _, reason := range []string{"USER_ACTION", "BUSINESS_RULE"} {
			r := newRoom(t)
			body := `{"more":{"of":["it"]},"reason":"` + reason + `","initiator":"` + initiator + `"}`
			w, err := r.ask(r.Revoke, "PUT /revocation", r.token(nil), "mine", body)
			if err != nil || w.Code != http.StatusNoContent || w.Body.Len() > 0 || w.Header().Get("Cache-Control") != "no-store" {
				t.Fatalf("%v %d %s", err, w.Code, w.Body)
			}
			stop, _ := r.store.consents["mine"].Stop()
			want := grant.StoppedByClient("c1", fdx.Revocation{Reason: reason, Initiator: initiator}, interaction, noon)
			if diff := cmp.Diff(want, stop); diff != "" {
				t.Error(diff)
			}
			noted := map[oauth.Field]string{"client_id": "c1", "subject": "_alex", "grant_id": "mine", "event": "grant.revoked"}
			if diff := cmp.Diff(noted, w.notes); diff != "" {
				t.Error(diff)
			}
		}
	}
}

// What has ended stays as it ended.
func TestRevokeAgain(t *testing.T) {
	r := newRoom(t)
	if _, err := r.ask(r.Revoke, "PUT /revocation", r.token(nil), "mine", goodBody); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"mine", "revoked", "expired"} {
		w, err := r.ask(r.Revoke, "PUT /revocation", r.token(nil), id, goodBody)
		refusal, ok := errors.AsType[*oauth.Error](err)
		if !ok || refusal.Reason != oauth.ConsentEnded || refusal.Status() != http.StatusConflict || w.notes[oauth.FieldEvent] != "" {
			t.Errorf("%s: %v %v", id, err, w.notes)
		}
	}
	if r.store.changes != 1 {
		t.Errorf("%d changes", r.store.changes)
	}
}

// A body that is refused spends no proof and changes nothing.
func TestRevokeRefusesBodies(t *testing.T) {
	r := newRoom(t)
	token := r.token(nil)
	for _, body := range []string{
		"", " ", "null", "true", "[]", `"USER_ACTION"`, "{}", "reason=USER_ACTION&initiator=INDIVIDUAL", goodBody + "{}", goodBody + "x", "\ufeff" + goodBody,
		`{"reason":"USER_ACTION"}`, `{"initiator":"INDIVIDUAL"}`, `{"Reason":"USER_ACTION","Initiator":"INDIVIDUAL"}`,
		`{"reason":"","initiator":"INDIVIDUAL"}`, `{"reason":null,"initiator":"INDIVIDUAL"}`, `{"reason":["USER_ACTION"],"initiator":"INDIVIDUAL"}`,
		`{"reason":"user_action","initiator":"INDIVIDUAL"}`, `{"reason":"USER_ACTION ","initiator":"INDIVIDUAL"}`, `{"reason":1,"initiator":"INDIVIDUAL"}`,
		`{"reason":"USER_ACTION","initiator":"DATA_PROVIDER"}`, `{"reason":"USER_ACTION","initiator":"EVERYBODY"}`, `{"reason":"USER_ACTION","initiator":""}`,
		`{"reason":"USER_ACTION","initiator":null}`, `{"reason":"USER_ACTION","initiator":{}}`, `{"reason":"INDIVIDUAL","initiator":"USER_ACTION"}`,
		`{"reason":"USER_ACTION","reason":"USER_ACTION","initiator":"INDIVIDUAL"}`, `{"reason":"USER_ACTION","initiator":"INDIVIDUAL","initiator":"VENDOR"}`,
		`{"reason":"USER_ACTION","initiator":"INDIVIDUAL","x":{"a":1,"a":1}}`, `{"reason":"USER_ACTION","initiator":"INDIVIDUAL","x":"` + "\xff" + `"}`,
		`{"reason":"USER_ACTION\u0000","initiator":"INDIVIDUAL"}`, `{"reason":"USER_ACTION","initiator":"INDIVIDUAL","x":` + strings.Repeat("[", 99) + strings.Repeat("]", 99) + `}`,
	} {
		_, err := r.ask(r.Revoke, "PUT /revocation", token, "mine", body)
		wantRefused(t, err, oauth.RevocationRefused)
	}
	_, err := r.ask(func(w http.ResponseWriter, request *http.Request, id string) error {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		return r.Revoke(w, request, id)
	}, "PUT /revocation", token, "mine", goodBody)
	wantRefused(t, err, oauth.ContentTypeRefused)
	if r.store.spent+r.store.lookups+r.store.changes != 0 {
		t.Errorf("%d spent, %d look-ups, %d changes", r.store.spent, r.store.lookups, r.store.changes)
	}
	_, err = r.ask(r.Revoke, "PUT /revocation", token, "mine", `{"reason":"USER_ACTION","initiator":"DATA_PROVIDER"}`)
	const want = "initiator must be one of INDIVIDUAL, DATA_RECIPIENT, DATA_ACCESS_PLATFORM, MERCHANT, VENDOR; received another value"
	if refusal, ok := errors.AsType[*oauth.Error](err); !ok || refusal.Description != want {
		t.Error(err)
	}
}

// A body is not read for a stranger, and an outage is told as one.
func TestOtherFailures(t *testing.T) {
	r := newRoom(t)
	for how, h := range r.handlers() {
		_, err := r.ask(h, how, "no token", "mine", "no body")
		wantRefused(t, err, oauth.TokenMalformed)
		r.store.err = errors.New("the database is down")
		if _, err := r.ask(h, how, r.token(nil), "mine", goodBody); !errors.Is(err, r.store.err) {
			t.Errorf("%s: %v", how, err)
		}
		r.store.err = nil
	}
	if r.store.changes != 0 {
		t.Error("changed")
	}
}
