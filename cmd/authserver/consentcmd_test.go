package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"authserver/internal/audit"
	"authserver/internal/client"
	"authserver/internal/grant"
	"authserver/internal/person"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
)

// consents runs `authserver consent` and wants it to succeed.
func (d desk) consents(args ...string) (stdout string) {
	d.t.Helper()
	code, stdout, stderr := program(d.t, d.env, append([]string{"consent"}, args...)...)
	if code != 0 || stderr != "" {
		d.t.Fatalf("consent %s: %d %s%s", strings.Join(args, " "), code, stdout, stderr)
	}
	return stdout
}

// given are consents of fixed times: of two people, to two clients, of which one is gone.
func given(t *testing.T) desk {
	t.Helper()
	d := newDesk(t, "serve", "https://as.example")
	at := time.Date(2020, 3, 1, 12, 0, 0, 0, time.UTC)
	for id, name := range map[string]string{"acme": "Acme <b>\x1b[2J", "gone": ""} {
		c := client.Client{ID: id, IssuedAt: at, RegistrationTokenHash: []byte("x"), Metadata: client.Metadata{ClientName: name}}
		if added, err := d.store.AddClient(t.Context(), c); err != nil || !added {
			t.Fatal(added, err)
		}
	}
	if deleted, err := d.store.DeleteClient(t.Context(), "gone", nil, at); err != nil || !deleted {
		t.Fatal(deleted, err)
	}
	for _, name := range []string{"kim", "sam"} {
		if added, err := d.store.AddPerson(t.Context(), person.Person{Subject: "_" + name, Username: name, PasswordHash: "x", CreatedAt: at}); err != nil || !added {
			t.Fatal(added, err)
		}
	}
	d.write(`INSERT INTO authorization_grant (id, client_id, subject, scope, resources, details, accounts, auth_time, created_at, updated_at, used_at, expires_at, revoked_at) VALUES
		('-given', 'acme', '_kim', 'fdx:tax:read', '{https://api.example}', '[{"type":"fdx_v1.0","consentRequest":{"durationType":"TIME_BOUND","durationPeriod":90,
			"lookbackPeriod":1,"resources":[{"resourceType":"ACCOUNT","resourceId":"a1","dataClusters":["TAX","BILLS"]}]}}]', '{a1}',
			$1, $1, $1::timestamptz + '1 hour', $1::timestamptz + '2 hours', '3000-01-01', null),
		('over', 'acme', '_sam', 'offline_access', '{}', null, null, $1, $1, $1, null, $1::timestamptz + '1 day', null),
		('plain', 'acme', '_sam', 'offline_access', '{}', null, null, $1, $1, $1, null, '3000-01-01', null),
		('stopped', 'acme', '_kim', 'offline_access', '{}', null, null, $1, $1, $1::timestamptz + '1 hour', null, '3000-01-01', $1::timestamptz + '1 hour'),
		('toothless', 'gone', '_kim', 'offline_access', '{}', null, null, $1, $1, $1, null, '3000-01-01', null)`, at)
	d.write(`INSERT INTO grant_change (grant_id, at, event, why, actor, by, reason, initiator, interaction_id) VALUES
		('-given', $1, 'given', 'approved', 'person', '', '', '', '550e8400-e29b-41d4-a716-446655440000'),
		('stopped', $1, 'given', 'approved', 'person', '', '', '', ''),
		('stopped', $1::timestamptz + '1 hour', 'revoked', 'client_stopped', 'client', 'acme', 'USER_ACTION', 'INDIVIDUAL', '')`, at)
	return d
}

// write changes the database from outside.
func (d desk) write(sql string, args ...any) {
	d.t.Helper()
	_, url, _ := strings.Cut(d.env[0], "=")
	c, err := pgx.Connect(d.t.Context(), url)
	if err != nil {
		d.t.Fatal(err)
	}
	defer c.Close(d.t.Context())
	if _, err := c.Exec(d.t.Context(), sql, args...); err != nil {
		d.t.Fatal(err)
	}
}

func TestConsentOutput(t *testing.T) {
	t.Parallel()
	d := given(t)
	const sharedJSON = `{"consent_id":"-given","status":"active","client_id":"acme","client_name":"Acme <b>\u001b[2J","subject":"_kim","scope":"fdx:tax:read",` +
		`"resources":["https://api.example"],"authorization_details":[{"type":"fdx_v1.0","consentRequest":{"durationType":"TIME_BOUND","durationPeriod":90,` +
		`"lookbackPeriod":1,"resources":[{"resourceType":"ACCOUNT","resourceId":"a1","dataClusters":["TAX","BILLS"]}]}}],"accounts":["a1"],` +
		`"created_at":1583064000,"updated_at":1583067600,"used_at":1583071200,"expires_at":32503680000`
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"list": {[]string{"list"}, `
CONSENT_ID   STATUS   GIVEN                  ENDS                   USED                   SUBJECT   CLIENT_ID
-given       active   2020-03-01 12:00:00Z   3000-01-01 00:00:00Z   2020-03-01 14:00:00Z   _kim      acme
plain        active   2020-03-01 12:00:00Z   3000-01-01 00:00:00Z   never                  _sam      acme
`},
		"list --all": {[]string{"list", "--all"}, `
CONSENT_ID   STATUS    GIVEN                  ENDS                   USED                   SUBJECT   CLIENT_ID
-given       active    2020-03-01 12:00:00Z   3000-01-01 00:00:00Z   2020-03-01 14:00:00Z   _kim      acme
over         expired   2020-03-01 12:00:00Z   2020-03-02 12:00:00Z   never                  _sam      acme
plain        active    2020-03-01 12:00:00Z   3000-01-01 00:00:00Z   never                  _sam      acme
stopped      revoked   2020-03-01 12:00:00Z   3000-01-01 00:00:00Z   never                  _kim      acme
toothless    revoked   2020-03-01 12:00:00Z   3000-01-01 00:00:00Z   never                  _kim      gone
`},
		"list of a person": {[]string{"list", "--person", "kim", "--all", "--client", "acme"}, `
CONSENT_ID   STATUS    GIVEN                  ENDS                   USED                   SUBJECT   CLIENT_ID
-given       active    2020-03-01 12:00:00Z   3000-01-01 00:00:00Z   2020-03-01 14:00:00Z   _kim      acme
stopped      revoked   2020-03-01 12:00:00Z   3000-01-01 00:00:00Z   never                  _kim      acme
`},
		"list of a client that is gone": {[]string{"list", "--client", "gone"}, `
CONSENT_ID   STATUS   GIVEN   ENDS   USED   SUBJECT   CLIENT_ID
`},
		"list --json":       {[]string{"list", "--json", "--person", "_kim"}, "[\n" + strings.ReplaceAll(strings.ReplaceAll(sharedJSON, "<", `\u003c`), ">", `\u003e`) + "}\n]\n"},
		"list none, --json": {[]string{"list", "--json", "--client", "gone"}, "[]\n"},
		"get --json":        {[]string{"get", "--json", "--", "-given"}, sharedJSON + `,"history":[{"at":1583064000,"event":"given","why":"approved","actor":"person","interaction_id":"550e8400-e29b-41d4-a716-446655440000"}]}` + "\n"},
		"get a stopped, JSON": {[]string{"get", "stopped", "--json"}, `{"consent_id":"stopped","status":"revoked","client_id":"acme","client_name":"Acme <b>\u001b[2J","subject":"_kim",` +
			`"scope":"offline_access","created_at":1583064000,"updated_at":1583067600,"expires_at":32503680000,"revoked_at":1583067600,"history":[` +
			`{"at":1583064000,"event":"given","why":"approved","actor":"person"},` +
			`{"at":1583067600,"event":"revoked","why":"client_stopped","actor":"client","client_id":"acme","reason":"USER_ACTION","initiator":"INDIVIDUAL"}]}` + "\n"},
		"get one whose client is gone": {[]string{"get", "toothless"}, `
consent_id   toothless
status       revoked
client       gone
subject      _kim
given        2020-03-01 12:00:00Z
ends         3000-01-01 00:00:00Z
updated      2020-03-01 12:00:00Z
used         never
scope        offline_access
for          -
history      2020-03-01 12:00:00Z   its client was deleted
`},
		"get one whose client is gone, JSON": {[]string{"get", "toothless", "--json"}, `{"consent_id":"toothless","status":"revoked","client_id":"gone","subject":"_kim",` +
			`"scope":"offline_access","created_at":1583064000,"updated_at":1583064000,"expires_at":32503680000,"client_deleted_at":1583064000}` + "\n"},
		"get": {[]string{"get", "--", "-given"}, `
consent_id   -given
status       active
client       acme   Acme <b>?[2J
subject      _kim
given        2020-03-01 12:00:00Z
ends         3000-01-01 00:00:00Z
updated      2020-03-01 13:00:00Z
used         2020-03-01 14:00:00Z
scope        fdx:tax:read
for          https://api.example
terms        TIME_BOUND, 90 days, looks back 1 day
account      a1   TAX BILLS
history      2020-03-01 12:00:00Z   given by person (approved), interaction 550e8400-e29b-41d4-a716-446655440000
`},
		"get one without data of FDX": {[]string{"get", "stopped"}, `
consent_id   stopped
status       revoked
client       acme   Acme <b>?[2J
subject      _kim
given        2020-03-01 12:00:00Z
ends         3000-01-01 00:00:00Z
updated      2020-03-01 13:00:00Z
used         never
scope        offline_access
for          -
history      2020-03-01 12:00:00Z   given by person (approved)
history      2020-03-01 13:00:00Z   revoked by client acme (client_stopped), USER_ACTION of INDIVIDUAL
`},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(strings.TrimPrefix(test.want, "\n"), d.consents(test.args...)); diff != "" {
				t.Error(diff)
			}
		})
	}
	for name, test := range map[string]struct {
		code     int
		sentence string
		args     []string
	}{
		"get an unknown one":     {exitFailed, `there is no consent "none"; authserver consent list --all shows all`, []string{"get", "none"}},
		"revoke an unknown one":  {exitFailed, `there is no consent "none"`, []string{"revoke", "none"}},
		"no UTF-8":               {exitFailed, "there is no consent", []string{"get", "\xff"}},
		"an unknown client":      {exitFailed, `there is no client "none"`, []string{"list", "--client", "none"}},
		"an unknown person":      {exitFailed, `there is no person "none"; authserver user list shows all`, []string{"list", "--person", "none"}},
		"a hyphen without --":    {exitUsage, "unknown flag", []string{"get", "-given"}},
		"nothing to get":         {exitUsage, "<consent_id>", []string{"get"}},
		"nothing to end":         {exitUsage, "<consent_id>", []string{"revoke"}},
		"nothing to do":          {exitUsage, "expected one of", nil},
		"no database to look in": {exitUnreachable, "no dev server", []string{"list", "--state", t.TempDir()}},
	} {
		t.Run(name, func(t *testing.T) {
			code, stdout, stderr := program(t, d.env, append([]string{"consent"}, test.args...)...)
			if code != test.code || stdout != "" || !strings.Contains(stderr, test.sentence) {
				t.Errorf("%d %s%s", code, stdout, stderr)
			}
		})
	}
}

// More consents than a page holds are listed each once, in order.
func TestConsentListPages(t *testing.T) {
	t.Parallel()
	d := given(t)
	d.write(`INSERT INTO authorization_grant (id, client_id, subject, scope, auth_time, created_at, expires_at)
		SELECT 'z-' || lpad(i::text, 4, '0'), 'acme', '_kim', 'offline_access', now(), now(), '3000-01-01' FROM generate_series(1, $1) i`, 2*pageSize+1)
	var listed []struct {
		ConsentID string `json:"consent_id"`
	}
	if err := json.Unmarshal([]byte(d.consents("list", "--json")), &listed); err != nil {
		t.Fatal(err)
	}
	want := []string{"-given", "plain"}
	for i := range 2*pageSize + 1 {
		want = append(want, fmt.Sprintf("z-%04d", i+1))
	}
	var got []string
	for _, c := range listed {
		got = append(got, c.ConsentID)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	lines := strings.Split(strings.TrimSpace(d.consents("list")), "\n")
	heads := slices.DeleteFunc(slices.Clone(lines), func(line string) bool { return !strings.HasPrefix(line, "CONSENT_ID") })
	if len(lines) != len(want)+1 || len(heads) != 1 {
		t.Errorf("%d lines, %d heads", len(lines), len(heads))
	}
}

// The operator ends a consent once. The history and the audit trail say who it was, and every replica knows.
func TestConsentRevoke(t *testing.T) {
	t.Parallel()
	d, c := firstExample(t, 2)
	s := d.share(c)
	desk := d.desk(t)
	trail := filepath.Join(t.TempDir(), "audit.jsonl")
	desk.env = append(desk.env, "AUTHSERVER_AUDIT_LOG="+trail)
	if got := desk.consents("revoke", "--", s.id); got != "revoked "+s.id+"\n" {
		t.Error(got)
	}
	d.wantFamily(s.family, false)
	if got := desk.consents("revoke", "--", s.id); got != s.id+" has ended already; nothing is changed\n" {
		t.Error(got)
	}
	shown := shown(t, desk.consents("revoke", "--json", "--", s.id))
	if history, _ := shown["history"].([]any); shown["status"] != "revoked" || len(history) != 3 {
		t.Error(shown)
	}
	kept, _, err := d.store.FindConsent(t.Context(), s.id)
	stop, _ := kept.Stop()
	if err != nil || stop != grant.Stopped(grant.OperatorStopped, "", "", stop.At) || stop.Actor != audit.Operator {
		t.Errorf("%v %+v", err, stop)
	}
	records := readText(t, trail)
	want := fmt.Sprintf(`"event":"grant.revoked","outcome":"success","actor":"operator","client_id":%q,"subject":%q,"grant_id":%q}`, c.ID, kept.Subject, s.id)
	if strings.Count(records, "\n") != 1 || !strings.Contains(records, want) {
		t.Error(records)
	}
}
