package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"authserver/internal/audit"
	"authserver/internal/flow"
	"authserver/internal/keys"
	"authserver/internal/token"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// audited are the audit records so far.
func (d *deployment) audited() []audit.Record {
	d.t.Helper()
	var all []audit.Record
	for line := range strings.Lines(d.trail.String()) {
		var r audit.Record
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			d.t.Fatalf("%s: %v", line, err)
		}
		all = append(all, r)
	}
	return all
}

// Every change leaves one record that tells who and what, under the interaction id of its response, and what changes
// nothing leaves none.
func TestEveryChangeIsAudited(t *testing.T) {
	d := deploy(t, 1, nil)
	c := d.register(0)
	other, registrar := d.register(0), d.registrarOf(0)
	before := len(d.audited())

	access := tokenFor(t, c, url.Values{"scope": {"client.read"}})
	says, err := flow.Decode(access)
	if err != nil {
		t.Fatal(err)
	}
	jti, _ := says.Claims["jti"].(string)
	d.expect(c, c.IntrospectRequest(access), "200")
	d.expect(c, c.TokenRequest(url.Values{"scope": {"nothing"}}), "400 invalid_scope")
	d.expect(other, other.RevokeRequest(access), "200")
	d.expect(c, c.RevokeRequest(access), "200")
	d.expect(c, c.RevokeRequest("nothing"), "200")
	d.expect(c, c.ManageRequest(http.MethodGet, nil), "200")
	d.expect(c, c.ManageRequest(http.MethodPut, metadata(c.Key)), "200")
	d.expect(c, c.ManageRequest(http.MethodPut, map[string]any{"jwks": 1}), "400 invalid_redirect_uri")
	deleted := d.expect(c, c.ManageRequest(http.MethodDelete, nil), "204")
	d.expect(c, c.ManageRequest(http.MethodDelete, nil), "401 invalid_token")
	create := tokenFor(t, registrar, url.Values{"scope": {"client.create"}})
	registered := d.expect(registrar, registrar.Present(registrar.Server.RegisterRequest(metadata(key(t, "ES256"))), create), "201")
	id, _ := registered.JSON()["client_id"].(string)

	cc := "client_credentials"
	want := []audit.Record{
		{Event: audit.TokenIssued, ClientID: c.ID, GrantType: cc, Scope: "client.read", TokenJTI: jti},
		{Event: audit.TokenRevoked, ClientID: other.ID, TokenJTI: jti, Outcome: audit.Denied},
		{Event: audit.TokenRevoked, ClientID: c.ID, TokenJTI: jti},
		{Event: audit.ClientUpdated, ClientID: c.ID},
		{Event: audit.ClientDeleted, ClientID: c.ID, InteractionID: deleted.ResponseHeader.Get("X-Fapi-Interaction-Id")},
		{Event: audit.TokenIssued, ClientID: "dev-registrar", GrantType: cc, Scope: "client.create"},
		{Event: audit.ClientRegistered, ClientID: id, Registrar: "dev-registrar", InteractionID: registered.ResponseHeader.Get("X-Fapi-Interaction-Id")},
	}
	got := d.audited()[before:]
	if len(got) != len(want) {
		t.Fatalf("%d records, want %d:\n%s", len(got), len(want), d.trail)
	}
	for i := range want {
		want[i].Actor, want[i].Peer = audit.Client, "127.0.0.1"
		want[i].Outcome = audit.Outcome(or(string(want[i].Outcome), string(audit.Success)))
		want[i].InteractionID = or(want[i].InteractionID, got[i].InteractionID)
		want[i].TokenJTI = or(want[i].TokenJTI, got[i].TokenJTI)
		if age := time.Since(got[i].Time); age < 0 || age > time.Minute || !anyUUID.MatchString(got[i].InteractionID) {
			t.Errorf("%+v", got[i])
		}
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(audit.Record{}, "Time")); diff != "" {
		t.Error(diff)
	}
}

// What people do is audited as theirs, with who they are and what they granted; what comes of it as the client's.
func TestWhatPeopleDoIsAudited(t *testing.T) {
	t.Parallel()
	d := deploy(t, 1, nil)
	c := d.recipient(0)
	before := len(d.audited())
	a := ask(t, c)
	b := a.browser()
	login := filledIn(a.upTo(b, "password"))
	login.Fields.Set("password", "not the password of alex")
	submit(t, b, login)
	code := a.codeIn(b)
	token := a.redeem(code)
	d.expect(c, c.RefreshRequest(token.RefreshToken, nil), "200")
	d.expect(c, c.RevokeRequest(token.RefreshToken), "200")
	d.expect(c, a.redemption(code), "400 invalid_grant") // of a grant that has ended already
	replayed := ask(t, c)
	code = replayed.codeIn(b)
	other := replayed.redeem(code)
	d.expect(c, replayed.redemption(code), "400 invalid_grant")
	submit(t, b, formTo(ask(t, c).upToPage(b, "accounts"), "/sign-out"))
	ask(t, c).answerIn(b, flow.Deny)
	unwanted := ask(t, c)
	stopped := fmt.Sprint(claimsOf(t, unwanted.redeem(unwanted.codeIn(b)).AccessToken)["grant_id"])
	stop := formTo(visit(t, b, d.issuer+"/connected"), "/connected/stop")
	submit(t, b, stop)
	submit(t, b, stop) // which changes nothing

	says, scope := claimsOf(t, token.AccessToken), "fdx:accountbasic:read"
	subject, granted := fmt.Sprint(says["sub"]), fmt.Sprint(says["grant_id"])
	again := fmt.Sprint(claimsOf(t, other.AccessToken)["grant_id"])
	want := []audit.Record{
		{Event: audit.PersonSignedIn, Actor: audit.Person, Outcome: audit.Denied},
		{Event: audit.PersonSignedIn, Actor: audit.Person, Subject: subject},
		{Event: audit.GrantApproved, Actor: audit.Person, Subject: subject, GrantID: granted, Scope: scope},
		{Event: audit.TokenIssued, Subject: subject, GrantID: granted, GrantType: "authorization_code", Scope: scope},
		{Event: audit.TokenIssued, Subject: subject, GrantID: granted, GrantType: "refresh_token", Scope: scope},
		{Event: audit.GrantRevoked, GrantID: granted},
		{Event: audit.GrantApproved, Actor: audit.Person, Subject: subject, GrantID: again, Scope: scope},
		{Event: audit.TokenIssued, Subject: subject, GrantID: again, GrantType: "authorization_code", Scope: scope},
		{Event: audit.GrantRevoked, Subject: subject, GrantID: again, GrantType: "authorization_code"},
		{Event: audit.PersonSignedOut, Actor: audit.Person, Subject: subject},
		{Event: audit.PersonSignedIn, Actor: audit.Person, Subject: subject},
		{Event: audit.GrantDenied, Actor: audit.Person, Subject: subject},
		{Event: audit.GrantApproved, Actor: audit.Person, Subject: subject, GrantID: stopped, Scope: scope},
		{Event: audit.TokenIssued, Subject: subject, GrantID: stopped, GrantType: "authorization_code", Scope: scope},
		{Event: audit.GrantRevoked, Actor: audit.Person, Subject: subject, GrantID: stopped},
	}
	for i := range want {
		want[i].Peer = "127.0.0.1"
		if want[i].Event != audit.PersonSignedOut { // which is no client's business
			want[i].ClientID = c.ID
		}
		want[i].Actor = audit.Actor(or(string(want[i].Actor), string(audit.Client)))
		want[i].Outcome = audit.Outcome(or(string(want[i].Outcome), string(audit.Success)))
	}
	if diff := cmp.Diff(want, d.audited()[before:], cmpopts.IgnoreFields(audit.Record{}, "Time", "InteractionID", "TokenJTI")); diff != "" {
		t.Error(diff)
	}
}

// fullDisk takes in nothing.
type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

// A record that cannot be written is a fault of ours, logged and counted, and the request is answered all the same.
func TestAuditFailureFailsNoRequest(t *testing.T) {
	d := deploy(t, 1, nil)
	c := d.register(0)
	trail, err := audit.Open("stdout", fullDisk{})
	if err != nil {
		t.Fatal(err)
	}
	d.replicas[0].server.Record.Trail = trail
	before := len(d.audited())
	e := d.expect(c, c.TokenRequest(nil), "200")
	failed, id := 0, e.ResponseHeader.Get("X-Fapi-Interaction-Id")
	for line := range strings.Lines(d.logs.String()) {
		if strings.Contains(line, `"level":"ERROR"`) && strings.Contains(line, "audit record not written") && strings.Contains(line, id) && strings.Contains(line, "token.issued") {
			failed++
		}
	}
	if failed != 1 || len(d.audited()) != before {
		t.Errorf("%d errors in\n%s", failed, d.logs)
	}
	if metrics := d.metrics(0); !strings.Contains(metrics, "authserver_audit_failures_total 1\n") {
		t.Error("the failure is not counted")
	}
}

// What the server does of its own accord is audited too.
func TestRotationIsAudited(t *testing.T) {
	d := deploy(t, 1, nil)
	a, before := d.replicas[0], len(d.audited())
	a.config.keyRotation = time.Minute // which every key will be at its changeover
	if err := a.turnKeys(t.Context()); err != nil {
		t.Fatal(err)
	}
	var next, got []string
	for _, k := range a.keys.Keys() {
		if k.State == keys.Next {
			next = append(next, k.KID)
		}
	}
	for _, r := range d.audited()[before:] {
		if got = append(got, r.KeyID); r.Event != audit.KeyRotated || r.Actor != audit.Server || r.Outcome != audit.Success {
			t.Errorf("%+v", r)
		}
	}
	slices.Sort(next)
	slices.Sort(got)
	if diff := cmp.Diff(next, got); diff != "" || len(next) != len(signingAlgs) {
		t.Errorf("%d next keys: %s", len(next), diff)
	}
}

// Sub-commands write where serve writes, except that their stdout is data.
func TestAuditOfSubCommands(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	for name, test := range map[string]struct {
		setting, state   string
		toStderr, toFile bool
	}{
		"serve's default":    {"", "", true, false},
		"stdout":             {"stdout", "", true, false},
		"off":                {"off", "", false, false},
		"a file":             {path, "", false, true},
		"dev's default":      {"", "state", false, false},
		"dev, and a file":    {path, "state", false, true},
		"dev, and to stdout": {"stdout", "state", true, false},
	} {
		t.Run(name, func(t *testing.T) {
			_ = os.Remove(path)
			var stdout, stderr bytes.Buffer
			trail, err := target{Settings: databaseSettings{AuditLog: test.setting}, State: test.state}.auditLog(&streams{Stdout: &stdout, Stderr: &stderr})
			if err != nil {
				t.Fatal(err)
			}
			defer trail.Close()
			if err := trail.Write(audit.Record{Event: audit.ClientDeleted, Actor: audit.Operator}); err != nil {
				t.Fatal(err)
			}
			text, _ := os.ReadFile(path)
			if stdout.Len() != 0 || (stderr.Len() > 0) != test.toStderr || (len(text) > 0) != test.toFile {
				t.Errorf("stdout %q, stderr %q, file %q", &stdout, &stderr, text)
			}
		})
	}
	_, err := target{Settings: databaseSettings{AuditLog: filepath.Join(path, "no-folder")}}.auditLog(&streams{})
	if exit, ok := errors.AsType[exitError](err); !ok || exit.Code != exitUsage {
		t.Errorf("%v", err)
	}
}

// Of a token by assertion the record tells who vouched for whom; of one by certificate, as of every other, whose it is.
func TestTokensByCertificateAndByAssertionAreAudited(t *testing.T) {
	t.Parallel()
	d := deployCertified(t, 1, nil)
	c := d.certified(0, d.vouched("audited"))
	s := d.server(0)
	before := len(d.audited())
	d.expect(c, c.TokenRequest(url.Values{"scope": {"client.read"}}), "200")
	d.expect(c, c.TokenRequest(url.Values{"scope": {"nothing"}}), "400 invalid_scope")
	assertion := d.asserted(t, s)
	outcome(t, do(t, s, assertionRequest(s, assertion)), "200")
	outcome(t, do(t, s, assertionRequest(s, assertion)), "400 invalid_grant")
	want := []audit.Record{
		{Event: audit.TokenIssued, Actor: audit.Client, ClientID: c.ID, GrantType: "client_credentials", Scope: "client.read"},
		{Event: audit.TokenIssued, Actor: audit.Issuer, ClientID: demoGateway, GrantType: token.JWTBearer, Scope: demoScope,
			Subject: demoIssuer, Issuer: demoIssuer},
	}
	for i := range want {
		want[i].Outcome, want[i].Peer = audit.Success, "127.0.0.1"
	}
	if diff := cmp.Diff(want, d.audited()[before:], cmpopts.IgnoreFields(audit.Record{}, "Time", "InteractionID", "TokenJTI")); diff != "" {
		t.Error(diff)
	}
}
