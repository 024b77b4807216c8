package pglocal

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
)

func beParent(dir string) {
	s, err := Start(context.Background(), Options{Dir: dir, Fast: dir == ""})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Printf("%d\n%s\n%s\n", postmaster(s), s.scratch, s.URL(database))
	select {}
}

func initdbRuns(temporary string) bool {
	logs, _ := filepath.Glob(temporary + "/*/initdb.log")
	return logs != nil
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
			emptied(t, temporary)
		})
	}
}

func TestCancelledDuringFirstStart(t *testing.T) {
	needPostgres(t)
	temporary := temporary(t)
	t.Setenv("TMPDIR", temporary)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	failed := make(chan error)
	go func() {
		_, err := Start(ctx, Options{Fast: true})
		failed <- err
	}()
	eventually(t, "the start of initdb", func() bool { return initdbRuns(temporary) })
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want %v", err, context.Canceled)
	}
	emptied(t, temporary)
}

// TestOnlyStopEndsIt sends what a closing terminal or a stopping system sends to every process, and then stops the
// server under an open connection.
func TestOnlyStopEndsIt(t *testing.T) {
	t.Parallel()
	s := started(t, Options{Fast: true})
	conn, err := pgx.Connect(t.Context(), s.URL(database))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	for _, signal := range []syscall.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM} {
		if err := s.child.shell.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
	}
	if err := conn.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	stopped(t, s)
	if err := conn.Ping(t.Context()); err == nil {
		t.Error("the connection outlived the server")
	}
}

// TestEndOfTheDeaf ends a program that, like PostgreSQL in its first moments, has no handler of its own.
func TestEndOfTheDeaf(t *testing.T) {
	t.Parallel()
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	lock, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	c, err := account{}.run(filepath.Join(dir, "log"), "", lock, sleep, "1000")
	if err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := c.end(""); !errors.As(err, &exit) || exit.ExitCode() != 128+int(syscall.SIGTERM) {
		t.Errorf("error %v, want the exit code of a program that SIGTERM ended", err)
	}
	<-c.ended
}

func TestInterruptedFirstStart(t *testing.T) {
	t.Parallel()
	dir := folder(t, "data")
	made(t, dir, "cluster.new/PG_VERSION", "15\n")
	stopped(t, started(t, Options{Dir: dir}))
	if left, err := filepath.Glob(dir + "/*.new"); left != nil || err != nil {
		t.Errorf("left behind: %v, %v", left, err)
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
	eventually(t, "the start of initdb", func() bool { return initdbRuns(temporary) })
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the end of initdb and its folder", func() bool {
		left, err := os.ReadDir(temporary)
		return len(left) == 0 && err == nil
	})
}
