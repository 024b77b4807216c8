package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"authserver/internal/audit"
	"authserver/internal/grant"
	"authserver/internal/oauth"
	"authserver/internal/person"

	"github.com/alexedwards/argon2id"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

const goodPassword = "correct horse battery"

// user runs `authserver user` with something on its standard input, and wants it to succeed.
func (d desk) user(stdin string, args ...string) (stdout string) {
	d.t.Helper()
	code, stdout, stderr := programReading(d.t, stdin, d.env, append([]string{"user"}, args...)...)
	if code != 0 || stderr != "" || strings.Contains(stdout, "$argon2id$") || strings.Contains(stdout, goodPassword) {
		d.t.Fatalf("user %s: %d %s%s", strings.Join(args, " "), code, stdout, stderr)
	}
	return stdout
}

// userRefuses wants the exit code, nothing on stdout and this sentence, which never holds what was typed.
func (d desk) userRefuses(code int, stdin, sentence string, args ...string) {
	d.t.Helper()
	got, stdout, stderr := programReading(d.t, stdin, d.env, append([]string{"user"}, args...)...)
	if got != code || stdout != "" || !strings.Contains(stderr, sentence) || strings.TrimSpace(stdin) != "" && strings.Contains(stderr, strings.TrimSpace(stdin)) {
		d.t.Errorf("user %s: %d %s%s, want %d and %q", strings.Join(args, " "), got, stdout, stderr, code, sentence)
	}
}

// passwordIs wants somebody's password to be this one.
func (d desk) passwordIs(username, password string) {
	d.t.Helper()
	p, found, err := d.store.FindPerson(d.t.Context(), username)
	if err != nil || !found {
		d.t.Fatal(username, found, err)
	}
	if matches, err := argon2id.ComparePasswordAndHash(password, p.PasswordHash); err != nil || !matches {
		d.t.Errorf("%s: the password matches: %v, %v", username, matches, err)
	}
}

// signedIn signs somebody in, and lets them allow the client something; the function tells what is left of both.
func (d desk) signedIn(username, clientID string) (left func() (session, granted bool)) {
	d.t.Helper()
	p, _, err := d.store.FindPerson(d.t.Context(), username)
	if err != nil {
		d.t.Fatal(err)
	}
	now, lives := time.Now(), person.Lifetimes{Idle: time.Hour, Most: time.Hour}
	cookie, request, tab, code, refresh := oauth.NewSecret().Hash(), oauth.NewSecret().Hash(), oauth.NewSecret().Hash(), oauth.NewSecret().Hash(), oauth.NewSecret().Hash()
	if in, err := d.store.SignIn(d.t.Context(), nil, cookie, person.Authentication{Person: p, At: now}, lives, now); err != nil || !in {
		d.t.Fatal(in, err)
	}
	verifier := strings.Repeat("v", 43)
	pushed := grant.Pushed{ClientID: clientID, RedirectURI: "https://acme.example/cb", Scope: "openid", CodeChallenge: base64.RawURLEncoding.EncodeToString(oauth.Secret(verifier).Hash()), ArriveBy: now.Add(time.Minute)}
	if err := d.store.Push(d.t.Context(), request, pushed); err != nil {
		d.t.Fatal(err)
	}
	if _, a, err := d.store.Visit(d.t.Context(), grant.Visit{RequestURI: request, ClientID: clientID, New: tab}, now); err != nil || a != grant.Opened {
		d.t.Fatal(a, err)
	}
	if _, taken, err := d.store.Step(d.t.Context(), tab, p.Subject, now); err != nil || !taken {
		d.t.Fatal(taken, err)
	}
	given := grant.Grant{ID: oauth.NewSecret().Reveal(), ClientID: clientID, Subject: p.Subject, Scope: "openid", AuthTime: now, CreatedAt: now, ExpiresAt: now.Add(time.Hour)}
	approval := &grant.Approval{Grant: given, CodeHash: code, Code: grant.Code{ClientID: clientID, RedirectURI: pushed.RedirectURI, CodeChallenge: pushed.CodeChallenge, ExpiresAt: now.Add(time.Minute)}}
	if _, decision, err := d.store.Decide(d.t.Context(), tab, p.Subject, approval, now); err != nil || decision != grant.Decided {
		d.t.Fatal(decision, err)
	}
	attempt := grant.Attempt{ClientID: clientID, RedirectURI: pushed.RedirectURI, Verifier: verifier}
	if _, r, err := d.store.RedeemCode(d.t.Context(), code, attempt, refresh, now); err != nil || r.Outcome != grant.Redeemed {
		d.t.Fatal(r, err)
	}
	return func() (session, granted bool) {
		_, session, err := d.store.Session(d.t.Context(), cookie, lives, now)
		if err != nil {
			d.t.Fatal(err)
		}
		if _, granted, err = d.store.Refresh(d.t.Context(), refresh, clientID, now); err != nil {
			d.t.Fatal(err)
		}
		return session, granted
	}
}

// A person's life at the operator's desk, with what stands in the audit trail afterwards.
func TestUsers(t *testing.T) {
	d := newDesk(t, "serve", "https://as.example")
	d.run("create", "--id", "acme", "--grant-type", "client_credentials", "--jwks", keyFile(t, key(t, "ES256")))
	trail := filepath.Join(t.TempDir(), "audit.jsonl")
	d.env = append(d.env, "AUTHSERVER_AUDIT_LOG="+trail)
	if got := d.user("", "list", "--json"); got != "[]\n" {
		t.Errorf("nobody yet: %s", got)
	}
	if got := d.user(goodPassword+"\n", "add", "kim", "--name", "Kim O'Hara"); got != "added kim\n" {
		t.Errorf("%s", got)
	}
	d.passwordIs("kim", goodPassword)
	sam := shown(t, d.user("", "add", "sam@bank.example", "--generate", "--json"))
	generated, _ := sam["password"].(string)
	if len(generated) < 26 {
		t.Errorf("%v", sam)
	}
	d.passwordIs("sam@bank.example", generated)

	kim, _, err := d.store.FindPerson(t.Context(), "kim")
	if err != nil {
		t.Fatal(err)
	}
	left := d.signedIn("kim", "acme")
	if _, stdout, _ := programReading(t, " a new password, spaces and all \r\n", d.env, "user", "password", "kim"); stdout != "changed the password of kim\n" {
		t.Errorf("%s", stdout)
	}
	d.passwordIs("kim", " a new password, spaces and all ")
	if session, granted := left(); session || !granted {
		t.Errorf("after another password: session %v, grant %v", session, granted)
	}
	left = d.signedIn("kim", "acme")
	for _, want := range []string{"disabled kim\n", "kim is disabled already; nothing is changed\n"} {
		if got := d.user("", "disable", "kim"); got != want {
			t.Errorf("%s, want %s", got, want)
		}
		if session, granted := left(); session || granted {
			t.Errorf("disabled: session %v, grant %v", session, granted)
		}
	}
	if list := d.user("", "list"); !strings.Contains(list, "disabled 2") || !strings.Contains(list, "Kim O'Hara") || !strings.Contains(list, kim.Subject) {
		t.Errorf("%s", list)
	}
	for _, want := range []string{"enabled kim\n", "kim is enabled already; nothing is changed\n"} {
		if got := d.user("", "enable", "kim"); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	if session, granted := left(); session || granted {
		t.Errorf("enabled again: session %v, grant %v", session, granted)
	}

	subject, _ := sam["subject"].(string)
	want := []audit.Record{
		{Event: audit.PersonAdded, Subject: kim.Subject}, {Event: audit.PersonAdded, Subject: subject}, {Event: audit.PersonPasswordChanged, Subject: kim.Subject},
		{Event: audit.PersonDisabled, Subject: kim.Subject}, {Event: audit.PersonEnabled, Subject: kim.Subject},
	}
	for i := range want {
		want[i].Actor, want[i].Outcome = audit.Operator, audit.Success
	}
	text, err := os.ReadFile(trail)
	if err != nil {
		t.Fatal(err)
	}
	var got []audit.Record
	for line := range strings.Lines(string(text)) {
		var r audit.Record
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		got = append(got, r)
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(audit.Record{}, "Time")); diff != "" {
		t.Error(diff)
	}
	if strings.Contains(string(text), generated) || strings.Contains(string(text), "argon2id") {
		t.Errorf("the trail holds a password: %s", text)
	}
}

// People of an upstream are known by their subject, and have no password to be changed.
func TestUsersOfAnUpstream(t *testing.T) {
	d := newDesk(t, "serve", "https://as.example")
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	who := person.Identity{Issuer: "https://login.bank.example", Subject: "u1"}
	if _, err := d.store.Recognise(t.Context(), who, "Sam\x1b[2J", "_sam", at); err != nil {
		t.Fatal(err)
	}
	if added, err := d.store.AddPerson(t.Context(), person.Person{Subject: "_kim", Username: "kim", PasswordHash: "x", CreatedAt: at}); err != nil || !added {
		t.Fatal(added, err)
	}
	want := `USERNAME   NAME       STATUS   CREATED                SUBJECT   UPSTREAM
kim        -          active   2026-03-01 12:00:00Z   _kim      -
-          Sam?[2J   active   2026-03-01 12:00:00Z   _sam      u1 at https://login.bank.example
`
	if diff := cmp.Diff(strings.Fields(want), strings.Fields(d.user("", "list"))); diff != "" {
		t.Error(diff)
	}
	wantJSON := `[{"subject":"_kim","username":"kim","created_at":1772366400},{"subject":"_sam","name":"Sam\u001b[2J",` +
		`"upstream":{"issuer":"https://login.bank.example","subject":"u1"},"created_at":1772366400}]` + "\n"
	if diff := cmp.Diff(wantJSON, d.user("", "list", "--json")); diff != "" {
		t.Error(diff)
	}
	if o := shown(t, d.user("", "disable", "_sam", "--json")); o["subject"] != "_sam" || o["disabled_at"] == nil {
		t.Errorf("%v", o)
	}
	if o := shown(t, d.user("", "enable", "_sam", "--json")); o["subject"] != "_sam" || o["disabled_at"] != nil {
		t.Errorf("%v", o)
	}
	d.userRefuses(exitFailed, goodPassword, "_sam signs in at https://login.bank.example and has no password here", "password", "_sam")
	if o := shown(t, d.user("", "password", "_kim", "--generate", "--json")); o["username"] != "kim" || o["password"] == nil {
		t.Errorf("%v", o)
	}
}

// What is wrong is said in one sentence, without what was typed, and then nothing is changed.
func TestUserRefuses(t *testing.T) {
	d := newDesk(t, "serve", "https://as.example")
	d.user(goodPassword, "add", "kim")
	before := d.user("", "list", "--json")
	for name, test := range map[string]struct {
		code            int
		stdin, sentence string
		args            []string
	}{
		"taken":               {exitFailed, goodPassword, `there is a person "kim" already`, []string{"add", "kim"}},
		"unknown, disable":    {exitFailed, "", `there is no person "sam"; authserver user list shows all`, []string{"disable", "sam"}},
		"unknown, enable":     {exitFailed, "", `there is no person "sam"`, []string{"enable", "sam"}},
		"unknown, password":   {exitFailed, goodPassword, `there is no person "sam"`, []string{"password", "sam"}},
		"unknown subject":     {exitFailed, "", `there is no person "_sam"`, []string{"disable", "_sam"}},
		"no username":         {exitUsage, goodPassword, "a username is 1 to 128 lower-case", []string{"add", "Sam"}},
		"a subject":           {exitUsage, goodPassword, "a username is 1 to 128 lower-case", []string{"add", "_sam"}},
		"a name too long":     {exitUsage, goodPassword, "a name is at most 128 bytes", []string{"add", "sam", "--name", strings.Repeat("x", 129)}},
		"a name with a bell":  {exitUsage, goodPassword, "without control characters", []string{"add", "sam", "--name", "S\aam"}},
		"no password":         {exitUsage, "", "there is no password on standard input", []string{"add", "sam"}},
		"an empty line":       {exitUsage, "\n", "there is no password on standard input", []string{"add", "sam"}},
		"two lines":           {exitUsage, goodPassword + "\nagain\n", "more than one line", []string{"add", "sam"}},
		"too short":           {exitUsage, "elevenchars\n", "at least 12 characters", []string{"add", "sam"}},
		"too short, changed":  {exitUsage, "elevenchars\n", "at least 12 characters", []string{"password", "kim"}},
		"too long":            {exitUsage, strings.Repeat("x", 5000), "at most 1024 bytes", []string{"add", "sam"}},
		"the password a flag": {exitUsage, "", "unknown flag --password", []string{"add", "sam", "--password", goodPassword}},
		"nobody named":        {exitUsage, "", "<username>", []string{"disable"}},
	} {
		t.Run(name, func(t *testing.T) {
			desk := d
			desk.t = t
			desk.userRefuses(test.code, test.stdin, test.sentence, test.args...)
		})
	}
	d.user(strings.Repeat("x", person.MaxPassword)+"\n", "add", "longest")
	d.passwordIs("kim", goodPassword)
	d.user("", "disable", "longest")
	if after := d.user("", "list", "--json"); !strings.HasPrefix(after, strings.TrimSuffix(before, "]\n")) || strings.Contains(after, "sam") {
		t.Errorf("%s", after)
	}
}

// An interrupt ends a command that waits for a password which never comes.
func TestUserInterrupted(t *testing.T) {
	d := newDesk(t, "serve", "https://as.example")
	in, typing := io.Pipe()
	defer typing.Close()
	ctx, interrupt := context.WithCancel(t.Context())
	reading := readerFunc(func(p []byte) (int, error) { interrupt(); return in.Read(p) })
	var said strings.Builder
	code := run(ctx, []string{"user", "add", "sam"}, d.env, &streams{Stdin: reading, Stdout: &said, Stderr: &said})
	if code != exitFailed || !strings.Contains(said.String(), "interrupted; nothing is changed") {
		t.Errorf("%d: %s", code, &said)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
