package main

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"authserver/internal/audit"
	"authserver/internal/flow"
	"authserver/internal/jose"
	"authserver/internal/keys"
	"authserver/internal/store/storetest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// keysAt are the variables that sub-commands find the deployment's keys by.
func (d *deployment) keysAt(sealing ...[]byte) []string {
	var list []string
	for _, key := range append(sealing, d.config.encryptionKeys...) {
		list = append(list, base64.StdEncoding.EncodeToString(key))
	}
	return []string{"AUTHSERVER_DATABASE_URL=" + d.url, "AUTHSERVER_KEY_ENCRYPTION_KEY=" + strings.Join(list, ",")}
}

// keysCommand runs a sub-command of keys that has to succeed, and returns the keys that it prints and what it says. Its
// audit records, which a sub-command writes to stderr, join those of the replicas.
func (d *deployment) keysCommand(args ...string) (all []keys.Status, said string) {
	d.t.Helper()
	code, stdout, stderr := program(d.t.(*testing.T), d.keysAt(), slices.Concat([]string{"keys"}, args, []string{"--json"})...)
	if err := json.Unmarshal([]byte(stdout), &all); err != nil || code != 0 {
		d.t.Fatalf("%q: code %d, %v: %s%s", args, code, err, stdout, stderr)
	}
	for line := range strings.Lines(stderr) {
		if strings.HasPrefix(line, "{") {
			_, _ = d.trail.Write([]byte(line))
		} else {
			said += line
		}
	}
	return all, said
}

// kidIn is the only key of the algorithm in a state.
func kidIn(t *testing.T, all []keys.Status, alg jose.Alg, state keys.State) string {
	t.Helper()
	var kids []string
	for _, s := range all {
		if s.Alg == alg && s.State == state {
			kids = append(kids, s.KID)
		}
	}
	if len(kids) != 1 {
		t.Fatalf("%s keys that are %s: %q", alg, state, kids)
	}
	return kids[0]
}

// An operator rotates and retires keys while two replicas run, and what is said about replicas and verifiers is so.
func TestKeysCommands(t *testing.T) {
	d := deploy(t, 2, nil)
	clients := d.everywhere(d.register(0))
	before, said := d.keysCommand("list")
	if len(before) != 3 || said != "" {
		t.Fatalf("%d keys; %s", len(before), said)
	}
	first := kidIn(t, before, jose.ES256, keys.Active)

	made, said := d.keysCommand("rotate", "--alg", "ES256")
	next := kidIn(t, made, jose.ES256, keys.Next)
	if len(made) != 4 || !strings.Contains(said, "ES256: "+next+" signs from ") {
		t.Errorf("%d keys; %s", len(made), said)
	}
	for _, s := range made {
		if wait := s.ActivatesAt.Sub(s.CreatedAt); s.KID == next && wait != keys.PublishBefore {
			t.Errorf("the next key is published %s before it signs", wait)
		}
	}
	all, said := d.keysCommand("rotate")
	if len(all) != 6 || kidIn(t, all, jose.ES256, keys.Next) != next || !strings.Contains(said, next+" waits already") {
		t.Errorf("%d keys; %s", len(all), said)
	}

	old := tokenFor(t, clients[0], nil)
	d.refreshKeys()
	if published, err := clients[1].Server.Keys(t.Context()); err != nil || len(published) != 6 {
		t.Errorf("replicas publish %d keys: %v", len(published), err)
	}
	all, said = d.keysCommand("rotate", "--now", "--alg=ES256")
	if kidIn(t, all, jose.ES256, keys.Active) != next || kidIn(t, all, jose.ES256, keys.Superseded) != first ||
		!containsAll(said, []string{"30s", "5m0s"}) {
		t.Errorf("%v; %s", all, said)
	}
	d.refreshKeys()
	if token, err := flow.Decode(tokenFor(t, clients[1], nil)); err != nil || token.Member("kid") != next {
		t.Errorf("%v; %s signs, want %s", err, token.Member("kid"), next)
	}
	d.wantActive(clients[1], old, true)

	for kid, words := range map[string][]string{
		first + "0": {"no signing key " + first + "0", "keys list"}, next: {next + " signs now", "--replace", "keys rotate"},
	} {
		code, stdout, stderr := program(t, d.keysAt(), "keys", "retire", kid)
		if code != exitUsage || stdout != "" || !containsAll(stderr, words) {
			t.Errorf("retire %s: code %d, %s%s", kid, code, stdout, stderr)
		}
	}
	all, said = d.keysCommand("retire", first)
	if kidIn(t, all, jose.ES256, keys.Retired) != first || !containsAll(said, []string{first + " is retired", "30s", "5m0s"}) {
		t.Errorf("%v; %s", all, said)
	}
	d.refreshKeys()
	d.wantActive(clients[1], old, false)
	if _, said = d.keysCommand("retire", first); !strings.Contains(said, first+" was retired before") {
		t.Error(said)
	}

	lost := tokenFor(t, clients[0], nil)
	all, said = d.keysCommand("retire", next, "--replace")
	third := kidIn(t, all, jose.ES256, keys.Active)
	if !strings.Contains(said, "ES256: "+third+" signs from now on") {
		t.Error(said)
	}
	d.refreshKeys()
	d.wantActive(clients[0], lost, false)
	d.wantActive(clients[1], tokenFor(t, clients[0], nil), true)
	call := clients[1].Present(&flow.Request{Method: http.MethodGet, URL: d.issuer + "/demo/accounts"}, lost)
	outcome(t, do(t, clients[1].Server, call), "401 invalid_token")

	got := []audit.Record{}
	for _, r := range d.audited() {
		if r.KeyID == first || r.KeyID == next || r.KeyID == third {
			got = append(got, r)
		}
	}
	want := []audit.Record{
		{Event: audit.KeyRotated, KeyID: next}, {Event: audit.KeyRotated, KeyID: next}, // made, and brought forward
		{Event: audit.KeyRetired, KeyID: first}, {Event: audit.KeyRetired, KeyID: next}, {Event: audit.KeyRotated, KeyID: third},
	}
	for i := range want {
		want[i].Actor, want[i].Outcome = audit.Operator, audit.Success
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(audit.Record{}, "Time")); diff != "" {
		t.Errorf("audit trail (-want +got):\n%s", diff)
	}
}

// The table that people read has a line for each key, and names what follows.
func TestKeysTable(t *testing.T) {
	d := deploy(t, 1, nil)
	d.keysCommand("rotate", "--alg", "EdDSA")
	environ := d.keysAt()[:1] // listing opens no key
	code, stdout, stderr := program(t, environ, "keys", "list")
	if code != 0 || stderr != "" {
		t.Fatalf("code %d: %s", code, stderr)
	}
	stored, err := d.store.SigningKeys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	all := keys.Statuses(stored, time.Now())
	line := func(alg jose.Alg, state keys.State, until string) []string {
		kid := kidIn(t, all, alg, state)
		i := slices.IndexFunc(all, func(s keys.Status) bool { return s.KID == kid })
		return []string{string(alg), string(state), kid, all[i].ActivatesAt.Format(time.RFC3339), until}
	}
	want := [][]string{
		{"ALG", "STATE", "KID", "SIGNS", "FROM", "PUBLISHED", "UNTIL"},
		line(jose.ES256, keys.Active, "-"),
		line(jose.EdDSA, keys.Next, "-"),
		line(jose.EdDSA, keys.Active, stored[0].ActivatesAt.Add(keys.KeepAfter).UTC().Format(time.RFC3339)),
		line(jose.PS256, keys.Active, "-"),
	}
	got := [][]string{}
	for line := range strings.Lines(stdout) {
		got = append(got, strings.Fields(line))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Keys are sealed anew under a new key-encryption key, which then stands alone; what does not fit is told with exit code 2.
func TestKeysRewrap(t *testing.T) {
	d := deploy(t, 1, nil)
	fresh := []byte("thirty-two bytes, as it must be.")
	alone := []string{d.keysAt()[0], "AUTHSERVER_KEY_ENCRYPTION_KEY=" + base64.StdEncoding.EncodeToString(fresh)}
	kid := d.signer("ES256")
	for what, environ := range map[string][]string{"a lost key": alone, "no key": alone[:1]} {
		for _, args := range [][]string{{"rotate"}, {"retire", kid, "--replace"}, {"rewrap"}} {
			code, stdout, stderr := program(t, environ, append([]string{"keys"}, args...)...)
			if code != exitUsage || stdout != "" || !strings.Contains(stderr, "AUTHSERVER_KEY_ENCRYPTION_KEY") {
				t.Errorf("%q with %s: code %d, %s%s", args, what, code, stdout, stderr)
			}
		}
	}
	code, stdout, stderr := program(t, d.keysAt(fresh), "keys", "rewrap")
	if code != 0 || stdout != "resealed 3 keys\n" || !strings.Contains(stderr, "Backups") || strings.Count(stderr, "key.rewrapped") != 3 {
		t.Errorf("code %d, %s%s", code, stdout, stderr)
	}
	if code, stdout, _ := program(t, alone, "keys", "rewrap", "--json"); code != 0 || stdout != `{"resealed":3}`+"\n" {
		t.Errorf("code %d, %s", code, stdout)
	}
	code, _, stderr = program(t, d.keysAt(), "keys", "rotate")
	if code != exitUsage || !containsAll(stderr, []string{"signing key ", "AUTHSERVER_KEY_ENCRYPTION_KEY"}) {
		t.Errorf("with the old key alone: code %d, %s", code, stderr)
	}
	if kid != d.signer("ES256") {
		t.Error("another key signs")
	}
}

// What a sub-command is told wrongly ends with exit code 2, and a database that nobody has started on has no keys to show.
func TestKeysUsage(t *testing.T) {
	empty := []string{"AUTHSERVER_DATABASE_URL=" + storetest.URL(t)}
	for _, args := range [][]string{{"list"}, {"rotate", "--alg=RS256"}, {"retire"}, {"rotate"}} {
		if code, stdout, _ := program(t, empty, append([]string{"keys"}, args...)...); code != exitUsage || stdout != "" {
			t.Errorf("%q: code %d, %s", args, code, stdout)
		}
	}
}

// A replica rotates its keys by itself, tells what it did, and leaves it to others while its clock is apart.
func TestKeysTurnInAReplica(t *testing.T) {
	d := deploy(t, 1, func(s *settings) { s.KeyRotation = "24h" })
	a, first := d.replicas[0], d.signer("ES256")
	d.clock.advance(24 * time.Hour)
	if err := a.turnKeys(t.Context()); err == nil || !strings.Contains(err.Error(), "apart from the database's") || len(a.keys.Keys()) != 3 {
		t.Errorf("by a clock that is apart: %v, %d keys", err, len(a.keys.Keys()))
	}
	d.clock.set(time.Now())
	storetest.Execute(t, d.url, `UPDATE signing_key SET activates_at = activates_at - interval '1 day'`)
	if err := a.turnKeys(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, alg := range signingAlgs {
		next := kidIn(t, a.keys.Keys(), alg, keys.Next)
		if !containsAll(d.logs.String(), []string{"signing key rotated", next}) {
			t.Errorf("the log does not tell of %s", next)
		}
		audited := slices.ContainsFunc(d.audited(), func(r audit.Record) bool {
			return r.Event == audit.KeyRotated && r.Actor == audit.Server && r.KeyID == next
		})
		if !audited {
			t.Errorf("the audit trail does not tell of %s", next)
		}
	}
	if count := `authserver_audit_records_total{event="key.rotated"} 3`; !strings.Contains(d.metrics(0), count) {
		t.Errorf("no %s in the metrics", count)
	}
	storetest.Execute(t, d.url, `UPDATE signing_key SET activates_at = activates_at - interval '1 day'`)
	if err := a.turnKeys(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !containsAll(d.logs.String(), []string{"signing key deleted", first}) || a.keys.Key(first) != nil {
		t.Error("the first key is still there, or nothing tells that it is gone")
	}
}
