package consent_test

import (
	"crypto/tls"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"authserver/internal/accesstoken"
	"authserver/internal/certificate"
	"authserver/internal/certificate/certificatetest"
	"authserver/internal/client"
	"authserver/internal/fdx"
	"authserver/internal/grant"
	"authserver/internal/oauth"

	"github.com/google/go-cmp/cmp"
)

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
				r.store.spent, r.store.lookups, r.store.changes = 0, 0, 0
				w, err := r.ask(h, how, token, test.id, goodBody)
				if r.store.spent != 1 {
					t.Errorf("%d proofs were spent", r.store.spent)
				}
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

// TestByCertificate (MTLS-02): with a token that is bound to a certificate a client reads and ends its consents over a connection
// with that, and with no other.
func TestByCertificate(t *testing.T) {
	shown := certificatetest.SelfSigned(t)
	bound := func(t *accesstoken.Token) {
		t.Confirmation = accesstoken.Confirmation{X5T: certificate.Certificate{Leaf: shown.Leaf}.Thumbprint()}
	}
	for how := range newRoom(t).handlers() {
		for name, c := range map[string]tls.Certificate{"its own": shown, "another": certificatetest.SelfSigned(t)} {
			r := newRoom(t)
			method, below, _ := strings.Cut(how, " ")
			request := httptest.NewRequest(method, "/fdx/v6/consents/mine"+below, strings.NewReader(goodBody))
			request.Header.Set("Authorization", "Bearer "+r.token(bound))
			request.Header.Set("Content-Type", "application/json")
			w := &answer{httptest.NewRecorder(), map[oauth.Field]string{}}
			w.Header().Set("X-Fapi-Interaction-Id", interaction)
			err := r.handlers()[how](w, certificatetest.Bearing(t, request, c), "mine")
			if name == "its own" && err != nil {
				t.Errorf("%s: %v", how, err)
			}
			if name == "another" {
				wantRefused(t, err, oauth.TokenKey)
			}
			if r.store.spent != 0 || r.store.changes > 0 && name == "another" {
				t.Errorf("%s by %s: %d spent, %d changes", how, name, r.store.spent, r.store.changes)
			}
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
