package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"authserver/internal/audit"
	"authserver/internal/person"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// A person who is erased is nobody any more: not in the lists, not by a session or a grant. The trail keeps the subject.
func TestUserErase(t *testing.T) {
	d := newDesk(t, "serve", "https://as.example")
	d.run("create", "--id", "acme", "--grant-type", "client_credentials", "--jwks", keyFile(t, key(t, "ES256")))
	d.user(goodPassword, "add", "kim", "--name", "Kim")
	kim, _, err := d.store.FindPerson(t.Context(), "kim")
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	identity := person.Identity{Issuer: "https://login.bank.example", Subject: "u1"}
	if _, err := d.store.Recognise(t.Context(), identity, "Sam", "_sam", at); err != nil {
		t.Fatal(err)
	}
	left := d.signedIn("kim", "acme")
	for name, test := range map[string]struct {
		code     int
		sentence string
		args     []string
	}{
		"nobody to ask":         {exitUsage, "erasing cannot be undone; say --yes kim", []string{"erase", "kim"}},
		"somebody else":         {exitUsage, `--yes must name the same person as before it, "kim"; it is "sam"`, []string{"erase", "kim", "--yes", "sam"}},
		"the same, differently": {exitUsage, "--yes must name the same person", []string{"erase", "kim", "--yes", kim.Subject}},
		"nobody":                {exitFailed, `there is no person "sam"`, []string{"erase", "sam", "--yes", "sam"}},
		"nobody's subject":      {exitFailed, `there is no person "_kim"`, []string{"erase", "_kim", "--yes", "_kim"}},
	} {
		t.Run(name, func(t *testing.T) {
			desk := d
			desk.t = t
			desk.userRefuses(test.code, "sure\n", test.sentence, test.args...)
		})
	}
	if session, granted := left(); !session || !granted {
		t.Fatalf("before: session %v, grant %v", session, granted)
	}
	trail := filepath.Join(t.TempDir(), "audit.jsonl")
	d.env = append(d.env, "AUTHSERVER_AUDIT_LOG="+trail)
	if got := d.user("", "erase", "kim", "--yes", "kim"); got != "erased kim\n" {
		t.Errorf("%s", got)
	}
	if session, granted := left(); session || granted {
		t.Errorf("afterwards: session %v, grant %v", session, granted)
	}
	d.userRefuses(exitFailed, "", `there is no person "kim"`, "erase", "kim", "--yes", "kim")
	want := map[string]any{"subject": "_sam", "status": "erased"}
	if diff := cmp.Diff(want, shown(t, d.user("", "erase", "_sam", "--yes", "_sam", "--json"))); diff != "" {
		t.Error(diff)
	}
	if list := d.user("", "list", "--json"); list != "[]\n" {
		t.Errorf("%s", list)
	}
	text, err := os.ReadFile(trail)
	if err != nil {
		t.Fatal(err)
	}
	var records []audit.Record
	for line := range strings.Lines(string(text)) {
		var r audit.Record
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		records = append(records, r)
	}
	erased := func(subject string) audit.Record {
		return audit.Record{Event: audit.PersonErased, Outcome: audit.Success, Actor: audit.Operator, Subject: subject}
	}
	if diff := cmp.Diff([]audit.Record{erased(kim.Subject), erased("_sam")}, records, cmpopts.IgnoreFields(audit.Record{}, "Time")); diff != "" {
		t.Error(diff)
	}
	if strings.Contains(strings.ToLower(string(text)), "kim\"") {
		t.Errorf("the trail tells who it was: %s", text)
	}
}
