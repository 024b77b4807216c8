package pglocal

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// script runs a program until descriptor 3 says or reaches its end. Descriptor 4 tells the parent that the program has
// ended; the shell lets go of it, the program keeps it, and its children too. Descriptor 5, the lock, stays with all.
//
// Two signals, because a shell starts background programs deaf to SIGINT: SIGINT is PostgreSQL's fast shutdown, and
// SIGTERM ends a program that has not yet installed its own handlers. PostgreSQL takes the stronger one of the two.
const script = `
log=$1 scratch=$2
shift 2
umask 077
exec >"$log" 2>&1
"$@" &
trap '' HUP INT TERM
exec 4>&-
read -r word <&3
kill -INT $!
kill -TERM $!
wait $!
status=$?
[ "$word" = keep ] || rm -rf "$scratch"
exit $status
`

// patience is how long a shutdown may take before it becomes a kill; a checkpoint on a slow disk takes seconds.
const patience = 30 * time.Second

// child is a program that ends when this process does.
type child struct {
	shell  *exec.Cmd
	errors *bytes.Buffer // the shell's own, before it has opened the log
	leash  *os.File
	ended  chan struct{} // closed after the program and all its children have ended
}

// run starts a program on the leash, in a process group of its own: the terminal's Ctrl-C reaches this process only,
// which then ends the program in its own order. The scratch folder is removed after the program, see [child.end].
func (a account) run(log, scratch string, lock *os.File, program ...string) (*child, error) {
	held, leashEnd, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer held.Close()
	alive, aliveEnd, err := os.Pipe()
	if err != nil {
		leashEnd.Close()
		return nil, err
	}
	defer aliveEnd.Close()
	c := &child{leash: leashEnd, errors: new(bytes.Buffer), ended: make(chan struct{})}
	// No context: a cancelled start ends the program by its leash, which leaves time to clean up.
	c.shell = a.command(context.Background(), "/bin/sh", append([]string{"-c", script, "sh", log, scratch}, program...)...)
	c.shell.SysProcAttr.Setpgid = true
	c.shell.Stderr = c.errors
	c.shell.ExtraFiles = []*os.File{held, aliveEnd, lock}
	if err := c.shell.Start(); err != nil {
		leashEnd.Close()
		alive.Close()
		return nil, fmt.Errorf("run %s: %w", program[0], err)
	}
	go func() {
		defer close(c.ended)
		defer alive.Close()
		io.Copy(io.Discard, alive)
	}()
	return c, nil
}

// end shuts the program down and waits for it. The shell removes the scratch folder afterwards unless word is "keep".
// The error tells a program that failed, or that had to be killed.
func (c *child) end(word string) error {
	io.WriteString(c.leash, word)
	c.leash.Close()
	timer := time.AfterFunc(patience, func() { syscall.Kill(-c.shell.Process.Pid, syscall.SIGKILL) })
	err := c.shell.Wait()
	if !timer.Stop() {
		return fmt.Errorf("killed, because it did not end within %v", patience)
	}
	if message := bytes.TrimSpace(c.errors.Bytes()); err != nil && len(message) > 0 {
		return fmt.Errorf("%w: %s", err, message)
	}
	return err
}

// tail returns the last lines of a log, for an error message; there is no log when nothing has run.
func tail(log string) string {
	content, _ := os.ReadFile(log)
	lines := strings.Split(strings.TrimSpace(string(content)), "\n")
	return strings.Join(lines[max(0, len(lines)-12):], "\n")
}
