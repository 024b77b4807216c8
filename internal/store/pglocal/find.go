package pglocal

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// binVariable is the environment's name for the folder of initdb and postgres.
const binVariable = "AUTHSERVER_POSTGRES_BIN"

// systemFolders are where packages put the server's programs when they keep them off PATH: Debian, the PostgreSQL
// project's own RPMs, Homebrew on Apple silicon and on Intel. The star stands for the version.
var systemFolders = []string{
	"/usr/lib/postgresql/*/bin",
	"/usr/pgsql-*/bin",
	"/opt/homebrew/opt/postgresql*/bin",
	"/usr/local/opt/postgresql*/bin",
}

// installers pairs a package manager with its command. Homebrew comes last, because on Linux it is a guest.
var installers = []struct{ program, remedy string }{
	{"apt-get", "run as root: apt-get install --no-install-recommends postgresql"},
	{"dnf", "run as root: dnf install postgresql-server"},
	{"zypper", "run as root: zypper install postgresql-server"},
	{"pacman", "run as root: pacman -S postgresql"},
	{"apk", "run as root: apk add postgresql"},
	{"brew", "run: brew install postgresql"},
}

// Missing is the error of a system without PostgreSQL's server programs.
type Missing struct {
	Looked []string // every place that was searched
	remedy string
}

// Error names the command that installs the programs on this system, and the variable that points at them.
func (m *Missing) Error() string {
	remedy := cmp.Or(m.remedy, "install the PostgreSQL server with this system's package manager")
	return fmt.Sprintf("PostgreSQL's programs initdb and postgres are missing (looked in %s): %s; or set %s to the absolute path of the folder that holds both",
		strings.Join(m.Looked, ", "), remedy, binVariable)
}

// Find returns the folder of initdb and postgres, or a [*Missing] error. AUTHSERVER_POSTGRES_BIN is final when set:
// a wrong value is an error and not a reason to look elsewhere. Then come PATH and the usual system folders, the
// newest version first.
func Find() (string, error) {
	return finder{getenv: os.Getenv}.find()
}

type finder struct {
	getenv func(string) string
	root   string // stands before the system folders: a fake file tree in tests
}

func (f finder) find() (string, error) {
	looked, folders := []string{"PATH"}, f.path()
	for _, pattern := range systemFolders {
		looked, folders = append(looked, pattern), append(folders, f.newestFirst(pattern)...)
	}
	if named := f.getenv(binVariable); named != "" {
		looked, folders = []string{binVariable + "=" + named}, []string{named}
	}
	for _, folder := range folders {
		if bin, found := programs(folder); found {
			return bin, nil
		}
	}
	return "", &Missing{Looked: looked, remedy: f.remedy()}
}

// programs returns the folder that holds both programs. A link is followed first, because PATH often holds a link to
// postgres alone; the folder itself comes second, because links to a version switcher lead to no initdb.
func programs(folder string) (string, bool) {
	target, err := filepath.EvalSymlinks(filepath.Join(folder, "postgres"))
	if err != nil {
		return "", false
	}
	for _, bin := range []string{filepath.Dir(target), folder} {
		if filepath.IsAbs(bin) && executable(filepath.Join(bin, "initdb")) && executable(filepath.Join(bin, "postgres")) {
			return bin, true
		}
	}
	return "", false
}

func executable(file string) bool {
	info, err := os.Stat(file)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

func (f finder) path() []string {
	return filepath.SplitList(f.getenv("PATH"))
}

// newestFirst compares versions as numbers: 16 is newer than 9.6. A folder without a version comes last.
func (f finder) newestFirst(pattern string) []string {
	// Glob fails only on a malformed pattern, and these are constants.
	found, _ := filepath.Glob(f.root + pattern)
	before, after, _ := strings.Cut(f.root+pattern, "*")
	version := func(folder string) float64 {
		star := strings.TrimSuffix(strings.TrimPrefix(folder, before), after)
		number, _ := strconv.ParseFloat(strings.TrimPrefix(star, "@"), 64)
		return number
	}
	slices.SortStableFunc(found, func(a, b string) int { return cmp.Compare(version(b), version(a)) })
	return found
}

func (f finder) remedy() string {
	for _, installer := range installers {
		for _, folder := range f.path() {
			if executable(filepath.Join(folder, installer.program)) {
				return installer.remedy
			}
		}
	}
	return ""
}
