package person

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// directory are people by subject.
type directory map[string]Person

func (d directory) FindSubject(_ context.Context, subject string) (Person, bool, error) {
	if subject == "" {
		return Person{}, false, errors.New("the database is away")
	}
	p, found := d[subject]
	return p, found, nil
}

// folk are kim, who has a password, sam of an upstream, and somebody else of the name kim there.
var folk = directory{
	"_kim":   {Subject: "_kim", Username: "kim"},
	"_sam":   {Subject: "_sam", Upstream: Identity{"https://login.bank.example", "248289761001"}},
	"_other": {Subject: "_other", Upstream: Identity{"https://login.bank.example", "kim"}},
}

// write writes a file as of a time, since a file system may not tell two moments apart.
func write(t *testing.T, path, text string, at time.Time) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, at, at); err != nil {
		t.Fatal(err)
	}
}

func TestAccountsFile(t *testing.T) {
	path, log := filepath.Join(t.TempDir(), "accounts.json"), &bytes.Buffer{}
	write(t, path, kimAndSam, noon)
	f, err := NewAccountsFile(path, folk, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	if people, accounts := f.Count(); people != 2 || accounts != 2 {
		t.Errorf("%d people, %d accounts", people, accounts)
	}
	kims := []Account{{"acc-1", "Everyday", "•••• 4021"}, {"acc-2", "Rainy day", ""}}
	ask := func(want []Account, warnings int) {
		t.Helper()
		got, err := f.Accounts(t.Context(), "_kim")
		if diff := cmp.Diff(want, got); err != nil || diff != "" || strings.Count(log.String(), "accounts file not read again") != warnings {
			t.Errorf("%v %s\n%s", err, diff, log)
		}
	}
	ask(kims, 0)
	for _, subject := range []string{"_sam", "_other", "_nobody"} {
		if got, err := f.Accounts(t.Context(), subject); err != nil || len(got) != 0 {
			t.Errorf("%s has %v, %v", subject, got, err)
		}
	}
	if _, err := f.Accounts(t.Context(), ""); err == nil {
		t.Error("nobody was looked for, and nobody complains")
	}
	got, _ := f.Accounts(t.Context(), "_kim")
	got[0].ID = "somebody else's" // what is done to an answer does not change the next one
	ask(kims, 0)

	changed := of(`{"id": "acc-9", "name": "New", "number": "99999999"}`)
	write(t, path, changed, noon.Add(time.Second))
	ask([]Account{{"acc-9", "New", "•••• 9999"}}, 0)
	same := strings.ReplaceAll(changed, "acc-9", "acc-8") // as long, and as old, in another file
	other := path + ".new"
	write(t, other, same, noon.Add(time.Second))
	if err := os.Rename(other, path); err != nil {
		t.Fatal(err)
	}
	last := []Account{{"acc-8", "New", "•••• 9999"}}
	ask(last, 0)

	write(t, path, `{"people": [{"username": "kim", "accounts": [{"id": "acc-1", "name": "Everyday", "number": 30004021}]}]}`, noon.Add(2*time.Second))
	ask(last, 1)
	ask(last, 1) // said once
	if !strings.Contains(log.String(), "people[0].accounts[0].number must be a string") || strings.Contains(log.String(), "30004021") {
		t.Errorf("%s", log)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	ask(last, 2)
	write(t, path, kimAndSam, noon.Add(3*time.Second))
	ask(kims, 2)
}

// What cannot be read at the start is an error, and no list of nobody.
func TestAccountsFileRefused(t *testing.T) {
	dir := t.TempDir()
	large := filepath.Join(dir, "large.json")
	write(t, large, strings.Repeat(" ", maxAccountsFile)+`{"people": []}`, noon)
	broken := filepath.Join(dir, "broken.json")
	write(t, broken, `{"people": [{}, {}]}`, noon)
	if _, err := NewAccountsFile(filepath.Join(dir, "absent"), folk, nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("absent: %v", err)
	}
	for path, want := range map[string]int{dir: 1, large: 1, broken: 4} {
		_, err := NewAccountsFile(path, folk, nil)
		if problems, _ := errors.AsType[Problems](err); len(problems) != want {
			t.Errorf("%s: %v", path, err)
		}
	}
}
