package pglocal

import (
	"bufio"
	"context"
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

func beParent(dir string) {
	s, err := Start(context.Background(), Options{Dir: dir, Fast: dir == ""})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Printf("%d\n%s\n%s\n", postmaster(s), s.scratch, s.URL(database))
	select {}
}

func TestPostgresAvailable(t *testing.T) {
	if _, err := Find(); err != nil {
		t.Fatal(err)
	}
}

func needPostgres(t *testing.T) {
	t.Helper()
	if _, err := Find(); err != nil {
		t.Skip("left out: PostgreSQL's binaries are missing, see TestPostgresAvailable")
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

// temporary returns a folder for temporary ones, as open as the system's own.
func temporary(t *testing.T) string {
	t.Helper()
	dir := filepath.Dir(folder(t, "-"))
	if err := os.Chmod(dir, os.ModeSticky|0o777); err != nil {
		t.Fatal(err)
	}
	return dir
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
			if pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); err != syscall.ECHILD {
				t.Errorf("a child is left: process %d, %v", pid, err)
			}
		})
	}
}

func TestNothingIsLeftBehind(t *testing.T) {
	needPostgres(t)
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	broken := folder(t, "data")
	stopped(t, started(t, Options{Dir: broken}))
	configuration := filepath.Join(broken, "cluster", "postgresql.conf")
	if err := os.WriteFile(configuration, []byte("no_such_setting = 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		context context.Context
		options Options
		want    string
	}{
		"after Stop":              {t.Context(), Options{Fast: true}, ""},
		"after a cancelled Start": {cancelled, Options{Fast: true}, "context canceled"},
		"after a failed Start":    {t.Context(), Options{Dir: broken}, "no_such_setting"},
	} {
		t.Run(name, func(t *testing.T) {
			temporary := temporary(t)
			t.Setenv("TMPDIR", temporary)
			s, err := Start(test.context, test.options)
			if test.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				stopped(t, s)
			} else if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one that says %q", err, test.want)
			}
			left, err := os.ReadDir(temporary)
			if len(left) != 0 || err != nil {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
}

func TestStopWithOpenConnection(t *testing.T) {
	t.Parallel()
	s := started(t, Options{Fast: true})
	conn, err := pgx.Connect(t.Context(), s.URL(database))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	stopped(t, s)
	if err := conn.Ping(t.Context()); err == nil {
		t.Error("the connection outlived the server")
	}
}

// TestSignalsLeaveItRunning sends what a closing terminal or a stopping system sends to every process.
func TestSignalsLeaveItRunning(t *testing.T) {
	t.Parallel()
	s := started(t, Options{Fast: true})
	for _, signal := range []syscall.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM} {
		if err := s.child.shell.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
	}
	query(t, s.URL(database), "SELECT 'still here'::text")
	stopped(t, s)
}

func TestInterruptedFirstStart(t *testing.T) {
	t.Parallel()
	dir := folder(t, "data")
	s := started(t, Options{Dir: dir})
	stopped(t, s)
	if err := os.Rename(s.cluster(), s.cluster()+".new"); err != nil {
		t.Fatal(err)
	}
	stopped(t, started(t, Options{Dir: dir}))
	if left, err := filepath.Glob(dir + "/*.new"); left != nil || err != nil {
		t.Errorf("left behind: %v, %v", left, err)
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
	dir := folder(t, "data")
	s := started(t, Options{Dir: dir})
	stopped(t, s)
	if err := os.WriteFile(filepath.Join(s.cluster(), "PG_VERSION"), []byte("8\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Start(t.Context(), Options{Dir: dir})
	for _, want := range []string{dir + " was made by PostgreSQL 8,", "holds PostgreSQL " + s.Version() + ":", binVariable} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one that says %q", err, want)
		}
	}
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

func TestCrashedServerStartsAgain(t *testing.T) {
	t.Parallel()
	dir := folder(t, "data")
	crashed := started(t, Options{Dir: dir})
	query(t, crashed.URL(database), "CREATE TABLE kept AS SELECT 'here'::text AS word")
	pid := postmaster(crashed)
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-crashed.child.ended
	if err := crashed.Stop(); err == nil {
		t.Error("Stop says nothing about a PostgreSQL that was killed")
	}
	if left := postmaster(crashed); left != pid {
		t.Fatalf("the crash left the process id %d in postmaster.pid, want %d: nothing is tested here", left, pid)
	}
	again := started(t, Options{Dir: dir})
	if diff := cmp.Diff([]string{"here"}, query(t, again.URL(database), "SELECT word FROM kept")); diff != "" {
		t.Error(diff)
	}
	stopped(t, again)
}

func TestKilledParent(t *testing.T) {
	needPostgres(t)
	for name, dir := range map[string]string{"temporary": "", "kept": folder(t, "data")} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			parent := exec.Command(os.Args[0])
			parent.Env = append(os.Environ(), parentVariable+"=:"+dir)
			parent.Stderr = os.Stderr
			output, err := parent.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := parent.Start(); err != nil {
				t.Fatal(err)
			}
			defer parent.Wait()
			defer parent.Process.Kill()
			var pid int
			var scratch, url string
			if _, err := fmt.Fscan(bufio.NewReader(output), &pid, &scratch, &url); err != nil {
				t.Fatal(err)
			}
			query(t, url, "CREATE TABLE kept AS SELECT 'here'::text AS word")

			if err := parent.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			if dir != "" {
				again := started(t, Options{Dir: dir})
				if diff := cmp.Diff([]string{"here"}, query(t, again.URL(database), "SELECT word FROM kept")); diff != "" {
					t.Error(diff)
				}
				if log, err := os.ReadFile(again.log()); err != nil || strings.Contains(string(log), "not properly shut down") {
					t.Errorf("PostgreSQL had to recover (%v):\n%s", err, log)
				}
			}
			eventually(t, "the end of PostgreSQL", func() bool { return syscall.Kill(pid, 0) == syscall.ESRCH })
			eventually(t, "the end of its folder", func() bool {
				_, err := os.Stat(scratch)
				return errors.Is(err, os.ErrNotExist)
			})
		})
	}
}

func TestKilledParentDuringFirstStart(t *testing.T) {
	needPostgres(t)
	t.Parallel()
	temporary := temporary(t)
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), parentVariable+"=:", "TMPDIR="+temporary)
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	defer parent.Wait()
	defer parent.Process.Kill()
	eventually(t, "the start of initdb", func() bool {
		logs, _ := filepath.Glob(temporary + "/*/initdb.log")
		return logs != nil
	})
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the end of initdb and its folder", func() bool {
		left, err := os.ReadDir(temporary)
		return len(left) == 0 && err == nil
	})
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
	const tests = "TestRestartKeepsData|TestNothingIsLeftBehind|TestKilledParent|TestClosedFolder"
	again := exec.Command(program, "-test.v", "-test.run=^("+tests+")$")
	again.Dir = "/"
	again.Env = append(os.Environ(), "PGLOCAL_TEST_UNPRIVILEGED=1", "TMPDIR="+temporary)
	if os.Geteuid() == 0 {
		nobody, err := accountNamed("nobody")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(temporary, int(nobody.credential.Uid), int(nobody.credential.Gid)); err != nil {
			t.Fatal(err)
		}
		again.SysProcAttr = &syscall.SysProcAttr{Credential: nobody.credential}
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
