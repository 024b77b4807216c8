package pglocal

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"authserver/internal/leaveout"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
)

// parentVariable turns this test binary into a program that starts a server, reports it, and waits to be killed. Its
// value is the data folder after a colon: nothing after the colon is a temporary one.
const parentVariable = "PGLOCAL_TEST_PARENT"

func TestMain(m *testing.M) {
	if dir, found := os.LookupEnv(parentVariable); found {
		beParent(strings.TrimPrefix(dir, ":"))
	}
	os.Exit(m.Run())
}

func TestPostgresAvailable(t *testing.T) {
	if _, err := Find(); err != nil {
		t.Fatal(err)
	}
}

func needPostgres(t *testing.T) {
	t.Helper()
	if _, err := Find(); err != nil {
		leaveout.Test(t, "PostgreSQL's binaries are missing, see TestPostgresAvailable")
	}
}

// folder returns the path of a data folder to be made. Root's test folders are closed to the account that PostgreSQL
// runs as, so the way down is opened.
func folder(t *testing.T, name string) string {
	t.Helper()
	parent := t.TempDir()
	for _, open := range []string{filepath.Dir(parent), parent} {
		if err := os.Chmod(open, 0o711); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(parent, name)
}

// given makes a file nobody's, which only root may do.
func given(t *testing.T, path string) *syscall.Credential {
	t.Helper()
	nobody, err := accountNamed("nobody")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(path, int(nobody.credential.Uid), int(nobody.credential.Gid)); err != nil {
		t.Fatal(err)
	}
	return nobody.credential
}

// made makes a data folder with one file in it, as a run of an unprivileged user would, and returns that user's id.
func made(t *testing.T, dir, file, content string) int {
	t.Helper()
	file = filepath.Join(dir, file)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() != 0 {
		return os.Geteuid()
	}
	given(t, file)
	given(t, filepath.Dir(file))
	return int(given(t, dir).Uid)
}

// temporary returns a folder for temporary ones, as open as the system's own. Its path is short, as a test's own
// folder on macOS is not: sockets need that.
func temporary(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "pglocal-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, os.ModeSticky|0o777); err != nil {
		t.Fatal(err)
	}
	return dir
}

// emptied expects no folder below dir, and no process below this one. Parallel tests have processes of their own.
func emptied(t *testing.T, dir string) {
	t.Helper()
	if pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); err != syscall.ECHILD {
		t.Errorf("a child is left: process %d, %v", pid, err)
	}
	if left, err := os.ReadDir(dir); len(left) != 0 || err != nil {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func started(t *testing.T, o Options) *Server {
	t.Helper()
	needPostgres(t)
	s, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Stop() })
	return s
}

func stopped(t *testing.T, s *Server) {
	t.Helper()
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := s.Stop(); err != nil {
		t.Errorf("second Stop: %v", err)
	}
	if _, err := os.Stat(s.scratch); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is still there (%v)", s.scratch, err)
	}
}

// query runs one statement and returns the first column of its rows.
func query(t *testing.T, url, sql string) []string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	rows, err := conn.Query(t.Context(), sql)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

// postmaster is the process id of a server, or 0.
func postmaster(s *Server) int {
	content, _ := os.ReadFile(filepath.Join(s.cluster(), "postmaster.pid"))
	first, _, _ := strings.Cut(string(content), "\n")
	pid, _ := strconv.Atoi(first)
	return pid
}

// eventually waits for something that another process does, and gives up after half a minute.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !done(); time.Sleep(interval) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

func TestRestartKeepsData(t *testing.T) {
	for _, name := range []string{"data", `it's a "folder", with $pecial names`} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := folder(t, name)
			first := started(t, Options{Dir: dir})
			query(t, first.URL(database), "CREATE TABLE kept AS SELECT 'here'::text AS word")
			stopped(t, first)

			second := started(t, Options{Dir: dir})
			if diff := cmp.Diff([]string{"here"}, query(t, second.URL(database), "SELECT word FROM kept")); diff != "" {
				t.Error(diff)
			}
			stopped(t, second)
		})
	}
}

func TestServerIsPrivateAndSmall(t *testing.T) {
	t.Setenv("PGPORT", "1")
	t.Setenv("PGDATA", "/nowhere")
	t.Setenv("LC_ALL", "xx_XX")
	t.Setenv("AUTHSERVER_SECRET", "not for a child")
	for name, want := range map[string]struct {
		options Options
		durable string
	}{"durable": {Options{Dir: folder(t, "data")}, "on"}, "fast": {Options{Fast: true}, "off"}} {
		t.Run(name, func(t *testing.T) {
			s := started(t, want.options)
			settings := query(t, s.URL(database), `SELECT name || '=' || setting FROM pg_settings WHERE name IN
				('listen_addresses', 'shared_buffers', 'max_connections', 'fsync', 'synchronous_commit', 'full_page_writes',
				'server_encoding', 'lc_messages', 'TimeZone') ORDER BY 1`)
			if diff := cmp.Diff([]string{
				"TimeZone=UTC", "fsync=" + want.durable, "full_page_writes=" + want.durable, "lc_messages=C", "listen_addresses=",
				"max_connections=200", "server_encoding=UTF8", "shared_buffers=8192", "synchronous_commit=" + want.durable,
			}, settings); diff != "" {
				t.Error(diff)
			}
			if version := query(t, s.URL(database), "SHOW server_version")[0]; strings.Fields(version)[0] != s.Version() {
				t.Errorf("Version() = %q, the server says %q", s.Version(), version)
			}
			for path, mode := range map[string]os.FileMode{s.scratch: 0o700 | os.ModeDir, s.dir: 0o700 | os.ModeDir, s.log(): 0o600} {
				if info, err := os.Stat(path); err != nil || info.Mode() != mode {
					t.Errorf("%s: mode %v, error %v, want mode %v", path, info.Mode(), err, mode)
				}
			}
			query(t, s.URL(database), "CREATE TABLE environment (line text)")
			query(t, s.URL(database), "COPY environment FROM PROGRAM 'env'")
			names := query(t, s.URL(database), "SELECT DISTINCT split_part(line, '=', 1) FROM environment WHERE line ~ '^(PATH|AUTHSERVER.*|PGPORT)='")
			if diff := cmp.Diff([]string{"PATH"}, names); diff != "" {
				t.Errorf("the child's environment: %s", diff)
			}
			if group, err := syscall.Getpgid(postmaster(s)); err != nil || group == syscall.Getpgrp() {
				t.Errorf("PostgreSQL is in process group %d (%v), which the terminal's Ctrl-C reaches", group, err)
			}
			stopped(t, s)
		})
	}
}

func TestSideBySide(t *testing.T) {
	t.Parallel()
	one, two := started(t, Options{Fast: true}), started(t, Options{Fast: true})
	query(t, one.URL(database), "CREATE TABLE mine (id int)")
	if tables := query(t, two.URL(database), "SELECT relname::text FROM pg_class WHERE relname = 'mine'"); len(tables) != 0 {
		t.Errorf("the second server has the first one's table: %v", tables)
	}
	stopped(t, one)
	if diff := cmp.Diff([]string{database}, query(t, two.URL(database), "SELECT current_database()::text")); diff != "" {
		t.Error(diff)
	}
}

func TestFolderInUse(t *testing.T) {
	t.Parallel()
	dir := folder(t, "data")
	s := started(t, Options{Dir: dir})
	_, err := Start(t.Context(), Options{Dir: dir})
	want := fmt.Sprintf("another authserver dev is using %s (its PostgreSQL is process %d)", dir, postmaster(s))
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error %v, want one that says %q", err, want)
	}
	query(t, s.URL(database), "SELECT 'still here'::text")
}

func TestFolderOfAnotherVersion(t *testing.T) {
	needPostgres(t)
	dir, temporary := folder(t, "data"), temporary(t)
	t.Setenv("TMPDIR", temporary)
	made(t, dir, "cluster/PG_VERSION", "8\n")
	bin, err := Find()
	if err != nil {
		t.Fatal(err)
	}
	version, err := account{}.version(t.Context(), bin)
	if err != nil {
		t.Fatal(err)
	}
	_, err = Start(t.Context(), Options{Dir: dir})
	for _, want := range []string{dir + " was made by PostgreSQL 8,", bin + " holds PostgreSQL " + version + ":", binVariable} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one that says %q", err, want)
		}
	}
	emptied(t, temporary)
}

func TestSuits(t *testing.T) {
	for _, test := range []struct {
		programs, cluster string
		want              bool
	}{{"15.18", "15", true}, {"18beta1", "18", true}, {"19devel", "19", true}, {"15.18", "16", false}, {"15.18", "1", false}, {"", "15", false}} {
		if err := (&Server{version: test.programs}).suits(test.cluster); (err == nil) != test.want {
			t.Errorf("PostgreSQL %q on a cluster of %q: %v", test.programs, test.cluster, err)
		}
	}
}

func TestClosedFolder(t *testing.T) {
	needPostgres(t)
	closed := folder(t, "closed")
	if err := os.Mkdir(closed, 0); err != nil {
		t.Fatal(err)
	}
	_, err := Start(t.Context(), Options{Dir: filepath.Join(closed, "further", "data")})
	if err == nil || !strings.Contains(err.Error(), closed) {
		t.Errorf("error %v, want one that names %s", err, closed)
	}
	if os.Geteuid() == 0 && !strings.Contains(err.Error(), "cannot enter "+closed+":") {
		t.Errorf("error %v, want one that names the highest closed folder", err)
	}
	if info, err := os.Stat(closed); err != nil || info.Mode().Perm() != 0 {
		t.Errorf("the closed folder was changed: %v, %v", info.Mode(), err)
	}
}

func TestOwnerOfFolderRunsIt(t *testing.T) {
	t.Parallel()
	dir := folder(t, "data")
	want := made(t, dir, "postgres.log", "of the last run")
	s := started(t, Options{Dir: dir})
	for _, path := range []string{dir, s.cluster(), s.log(), s.scratch} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if owner := info.Sys().(*syscall.Stat_t).Uid; int(owner) != want {
			t.Errorf("%s belongs to user %d, want %d", path, owner, want)
		}
	}
}

func TestFolderOfOthers(t *testing.T) {
	dir := folder(t, "data")
	if err := os.MkdirAll(filepath.Join(dir, "photographs"), 0o755); err != nil {
		t.Fatal(err)
	}
	open, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	other := account{"somebody", &syscall.Credential{Uid: 4321, Gid: 4321}}
	if err := other.own(open); err == nil || !strings.Contains(err.Error(), "is not empty") {
		t.Errorf("error %v, want one that says the folder is not empty", err)
	}
}

// TestUnprivileged runs tests once more in a copy of this binary: as nobody when this run is root's.
func TestUnprivileged(t *testing.T) {
	needPostgres(t)
	if os.Getenv("PGLOCAL_TEST_UNPRIVILEGED") != "" {
		return
	}
	program := copied(t, os.Args[0])
	temporary := folder(t, "tmp")
	if err := os.Mkdir(temporary, 0o700); err != nil {
		t.Fatal(err)
	}
	const tests = "TestKilledParent|TestClosedFolder"
	again := exec.Command(program, "-test.v", "-test.run=^("+tests+")$")
	again.Dir = "/"
	again.Env = append(os.Environ(), "PGLOCAL_TEST_UNPRIVILEGED=1", "TMPDIR="+temporary)
	if os.Geteuid() == 0 {
		again.SysProcAttr = &syscall.SysProcAttr{Credential: given(t, temporary)}
	}
	output, err := again.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	for name := range strings.SplitSeq(tests, "|") {
		if !strings.Contains(string(output), "--- PASS: "+name+" ") {
			t.Errorf("%s did not pass:\n%s", name, output)
		}
	}
}

// copied puts a program where everybody may run it.
func copied(t *testing.T, program string) string {
	t.Helper()
	source, err := os.Open(program)
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	target, err := os.OpenFile(folder(t, "program"), os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	if _, err := io.Copy(target, source); err != nil {
		t.Fatal(err)
	}
	return target.Name()
}
