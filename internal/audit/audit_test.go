package audit_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"authserver/internal/audit"

	"github.com/google/go-cmp/cmp"
)

var noon = time.Date(2026, 3, 1, 13, 0, 0, 0, time.FixedZone("", 3600))

// open opens a log that the test closes.
func open(t *testing.T, setting string, stdout *bytes.Buffer) *audit.Log {
	t.Helper()
	l, err := audit.Open(setting, stdout)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func write(t *testing.T, l *audit.Log, r audit.Record) {
	t.Helper()
	if err := l.Write(r); err != nil {
		t.Fatal(err)
	}
}

func TestRecordIsOneLine(t *testing.T) {
	var stdout bytes.Buffer
	l := open(t, "stdout", &stdout)
	write(t, l, audit.Record{Time: noon, Event: audit.TokenIssued, Actor: audit.Client, ClientID: "a\n{\"event\":\"forged\"}", GrantType: "client_credentials",
		Scope: "a b", TokenJTI: "jti", InteractionID: "id", Peer: "192.0.2.1"})
	write(t, l, audit.Record{Time: noon, Event: audit.TokenRevoked, Actor: audit.Client, Outcome: audit.Denied})
	want := `{"time":"2026-03-01T12:00:00Z","event":"token.issued","outcome":"success","actor":"client","interaction_id":"id","peer":"192.0.2.1",` +
		`"client_id":"a\n{\"event\":\"forged\"}","grant_type":"client_credentials","scope":"a b","token_jti":"jti"}` + "\n" +
		`{"time":"2026-03-01T12:00:00Z","event":"token.revoked","outcome":"denied","actor":"client"}` + "\n"
	if diff := cmp.Diff(want, stdout.String()); diff != "" {
		t.Error(diff)
	}
}

// The list of what a record may hold grows on purpose only.
func TestFieldsAreThese(t *testing.T) {
	var names []string
	for field := range reflect.TypeFor[audit.Record]().Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		names = append(names, name)
	}
	want := []string{"time", "event", "outcome", "actor", "interaction_id", "peer", "client_id", "registrar", "subject", "issuer", "grant_id",
		"grant_type", "scope", "token_jti", "kid"}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Error(diff)
	}
}

func TestOffKeepsNothing(t *testing.T) {
	var stdout bytes.Buffer
	write(t, open(t, "off", &stdout), audit.Record{Event: audit.TokenIssued})
	if stdout.Len() != 0 {
		t.Errorf("%s", &stdout)
	}
}

// A file is its owner's alone, is never cut, and takes the records of several processes.
func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	write(t, open(t, path, nil), audit.Record{Event: audit.ClientRegistered, ClientID: "first"})
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
	const writers, each = 4, 50
	var running sync.WaitGroup
	for i := range writers {
		l := open(t, path, nil)
		running.Go(func() {
			for j := range each {
				if err := l.Write(audit.Record{Event: audit.TokenIssued, ClientID: fmt.Sprintf("%d-%d", i, j), Scope: strings.Repeat("s", 500)}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	running.Wait()
	seen := clientsIn(t, path)
	if len(seen) != writers*each+1 || !seen["first"] {
		t.Errorf("%d records", len(seen))
	}
}

// clientsIn are the clients of a file's records.
func clientsIn(t *testing.T, path string) map[string]bool {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for line := range bytes.Lines(text) {
		var r audit.Record
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		seen[r.ClientID] = true
	}
	return seen
}

func TestFileCannotBeOpened(t *testing.T) {
	_, err := audit.Open(filepath.Join(t.TempDir(), "nowhere", "audit.log"), nil)
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
}

// full is a disk that takes in so many bytes and no more.
type full struct {
	bytes.Buffer
	room int
}

func (f *full) Write(p []byte) (int, error) {
	n := min(len(p), f.room)
	f.room -= n
	_, _ = f.Buffer.Write(p[:n])
	if n < len(p) {
		return n, errors.New("no space left")
	}
	return n, nil
}

// Half a record does not swallow the next one, once there is room again.
func TestHalfARecord(t *testing.T) {
	disk := &full{room: 20}
	l, err := audit.Open("stdout", disk)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // cut off, and then not even begun
		if err := l.Write(audit.Record{Event: audit.ClientDeleted, ClientID: "lost"}); err == nil {
			t.Fatal("a full disk is no error")
		}
	}
	disk.room = 1 << 20
	write(t, l, audit.Record{Event: audit.ClientDeleted, ClientID: "kept"})
	write(t, l, audit.Record{Event: audit.ClientDeleted, ClientID: "kept too"})
	lines := strings.Split(disk.String(), "\n")
	if len(lines) != 4 || !strings.Contains(lines[1], `"kept"`) || !json.Valid([]byte(lines[1])) || !json.Valid([]byte(lines[2])) {
		t.Errorf("%q", disk.String())
	}
}
