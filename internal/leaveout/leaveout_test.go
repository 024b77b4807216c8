package leaveout

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// told is a test that goes on, and keeps what it is told.
type told struct {
	testing.TB
	says string
}

func (*told) Helper()            {}
func (t *told) Fatal(why ...any) { t.says += "failed: " + fmt.Sprint(why...) + "\n" }
func (t *told) Skip(why ...any)  { t.says += "skipped: " + fmt.Sprint(why...) + "\n" }

// TestTest: a test that cannot be played fails first of all where nothing may be left out.
func TestTest(t *testing.T) {
	for value, want := range map[string]string{
		"":    "skipped: LEFT OUT: no browser\n",
		"yes": "failed: nothing may be left out: no browser\nskipped: LEFT OUT: no browser\n",
	} {
		t.Setenv(everything, value)
		test := &told{TB: t}
		if Test(test, "no browser"); test.says != want {
			t.Errorf("%s=%s: %q, want %q", everything, value, test.says, want)
		}
	}
}

// TestNobodyElse: no other file leaves a test out by itself, so that .ci/run plays all of them. This one names what it looks
// for, and so shows that it looks.
func TestNobodyElse(t *testing.T) {
	skips := regexp.MustCompile(`\.Skip(f|Now)?\(|\btesting\.Short\(`)
	var found []string
	root := os.DirFS("../..")
	err := fs.WalkDir(root, ".", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".go" {
			return err
		}
		source, err := fs.ReadFile(root, path)
		if skips.Match(source) {
			found = append(found, path)
		}
		return err
	})
	if want := "[internal/leaveout/leaveout.go internal/leaveout/leaveout_test.go]"; fmt.Sprint(found) != want || err != nil {
		t.Errorf("tests are left out in %v, want %s; %v", found, want, err)
	}
}
