package pglocal

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// tree makes a fake file system: an executable file per path, or a link per "path -> target".
func tree(t *testing.T, entries ...string) string {
	t.Helper()
	// The folder's own name may be a link, which Find would follow.
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		path, target, link := strings.Cut(entry, " -> ")
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if link {
			err = os.Symlink(filepath.Join(root, target), path)
		} else {
			err = os.WriteFile(path, nil, 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestFind(t *testing.T) {
	for name, test := range map[string]struct {
		entries         []string
		variable, paths string // below the root
		want            string // empty: missing
	}{
		"the variable comes first": {
			entries:  []string{"/mine/initdb", "/mine/postgres", "/usr/bin/initdb", "/usr/bin/postgres"},
			variable: "/mine", paths: "/usr/bin", want: "/mine",
		},
		"a wrong variable is final": {
			entries:  []string{"/mine/postgres", "/usr/bin/initdb", "/usr/bin/postgres"},
			variable: "/mine", paths: "/usr/bin", want: "",
		},
		"PATH comes before the system's folders": {
			entries: []string{"/usr/bin/initdb", "/usr/bin/postgres", "/usr/lib/postgresql/16/bin/initdb", "/usr/lib/postgresql/16/bin/postgres"},
			paths:   "/usr/bin", want: "/usr/bin",
		},
		"a link to postgres alone is followed": {
			entries: []string{"/usr/local/bin/postgres -> /usr/lib/postgresql/15/bin/postgres", "/usr/lib/postgresql/15/bin/initdb", "/usr/lib/postgresql/15/bin/postgres"},
			paths:   "/usr/local/bin", want: "/usr/lib/postgresql/15/bin",
		},
		"links to a version switcher stay": {
			entries: []string{"/shims/postgres -> /switcher/run", "/shims/initdb -> /switcher/run", "/switcher/run"},
			paths:   "/shims", want: "/shims",
		},
		"postgres without initdb is passed over": {
			entries: []string{"/usr/bin/postgres", "/usr/pgsql-17/bin/initdb", "/usr/pgsql-17/bin/postgres"},
			paths:   "/usr/bin", want: "/usr/pgsql-17/bin",
		},
		"the newest version comes first, as a number": {
			entries: []string{
				"/usr/lib/postgresql/9.6/bin/initdb", "/usr/lib/postgresql/9.6/bin/postgres",
				"/usr/lib/postgresql/16/bin/initdb", "/usr/lib/postgresql/16/bin/postgres",
				"/usr/lib/postgresql/17/bin/postgres",
				"/usr/lib/postgresql/15/bin/initdb", "/usr/lib/postgresql/15/bin/postgres",
			},
			want: "/usr/lib/postgresql/16/bin",
		},
		"Homebrew's version stands after an at sign": {
			entries: []string{
				"/opt/homebrew/opt/postgresql/bin/initdb", "/opt/homebrew/opt/postgresql/bin/postgres",
				"/opt/homebrew/opt/postgresql@9/bin/initdb", "/opt/homebrew/opt/postgresql@9/bin/postgres",
				"/opt/homebrew/opt/postgresql@14/bin/initdb", "/opt/homebrew/opt/postgresql@14/bin/postgres",
			},
			want: "/opt/homebrew/opt/postgresql@14/bin",
		},
		"a relative folder in PATH is passed over": {
			entries: []string{"/relative/initdb", "/relative/postgres"},
			paths:   "/usr/bin", want: "",
		},
		"nothing anywhere": {paths: "/usr/bin", want: ""},
	} {
		t.Run(name, func(t *testing.T) {
			root := tree(t, test.entries...)
			t.Chdir(root)
			variables := map[string]string{"PATH": "::relative:" + root + test.paths}
			if test.variable != "" {
				variables[binVariable] = root + test.variable
			}
			bin, err := finder{func(name string) string { return variables[name] }, root}.find()
			if got := strings.TrimPrefix(bin, root); got != test.want {
				t.Errorf("found %q (%v), want %q", got, err, test.want)
			}
			if missing := new(*Missing); errors.As(err, missing) != (test.want == "") {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestFindPassesOverWhatCannotRun(t *testing.T) {
	root := tree(t, "/bin/postgres", "/bin/initdb")
	if err := os.Chmod(filepath.Join(root, "bin/initdb"), 0o644); err != nil {
		t.Fatal(err)
	}
	if bin, err := (finder{func(string) string { return filepath.Join(root, "bin") }, root}).find(); err == nil {
		t.Errorf("found %q, whose initdb is no program", bin)
	}
}

func TestMissingNamesTheRemedy(t *testing.T) {
	const end = "; or set AUTHSERVER_POSTGRES_BIN to the absolute path of the folder that holds both"
	const start = "PostgreSQL's programs initdb and postgres are missing (looked in PATH, /usr/lib/postgresql/*/bin, /usr/pgsql-*/bin, " +
		"/opt/homebrew/opt/postgresql*/bin, /usr/local/opt/postgresql*/bin): "
	for name, test := range map[string]struct {
		entries []string
		want    string
	}{
		"Debian":            {[]string{"/bin/apt-get"}, "run as root: apt-get install --no-install-recommends postgresql"},
		"Debian and a brew": {[]string{"/bin/brew", "/bin/apt-get"}, "run as root: apt-get install --no-install-recommends postgresql"},
		"macOS":             {[]string{"/bin/brew"}, "run: brew install postgresql"},
		"Fedora":            {[]string{"/bin/dnf"}, "run as root: dnf install postgresql-server"},
		"unknown":           {nil, "install the PostgreSQL server with this system's package manager"},
	} {
		t.Run(name, func(t *testing.T) {
			root := tree(t, test.entries...)
			variables := map[string]string{"PATH": filepath.Join(root, "bin")}
			_, err := finder{func(name string) string { return variables[name] }, root}.find()
			if diff := cmp.Diff(start+test.want+end, err.Error()); diff != "" {
				t.Error(diff)
			}
		})
	}
	_, err := finder{func(name string) string { return map[string]string{binVariable: "/wrong"}[name] }, ""}.find()
	if err == nil || !strings.Contains(err.Error(), "(looked in AUTHSERVER_POSTGRES_BIN=/wrong)") {
		t.Errorf("error %v, want one that names the wrong folder", err)
	}
	if text := new(Missing).Error(); !strings.Contains(text, binVariable) {
		t.Errorf("an empty Missing says %q", text)
	}
}
