package pglocal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// account is the operating system's user that PostgreSQL runs as. The zero value is the user of this process.
type account struct {
	name       string
	credential *syscall.Credential
}

// accountFor picks the account for a data folder: this process's own, unless that is root, whom PostgreSQL refuses.
// Root becomes the folder's owner, so that runs with and without sudo share a folder, or else postgres or nobody.
func accountFor(dir string) (account, error) {
	if os.Geteuid() != 0 {
		return account{}, nil
	}
	if info, err := os.Stat(dir); err == nil {
		if owner := info.Sys().(*syscall.Stat_t); owner.Uid != 0 {
			return account{fmt.Sprintf("with the id %d", owner.Uid), &syscall.Credential{Uid: owner.Uid, Gid: owner.Gid}}, nil
		}
	}
	for _, name := range []string{"postgres", "nobody"} {
		if named, err := accountNamed(name); err == nil {
			return named, nil
		}
	}
	return account{}, fmt.Errorf("PostgreSQL refuses to run as root, and there is no user postgres or nobody to run it as")
}

func accountNamed(name string) (account, error) {
	entry, err := user.Lookup(name)
	if err != nil {
		return account{}, err
	}
	uid, uidErr := strconv.ParseUint(entry.Uid, 10, 32)
	gid, gidErr := strconv.ParseUint(entry.Gid, 10, 32)
	return account{name, &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}, errors.Join(uidErr, gidErr)
}

// command prepares a program to run as the account. The environment is short on purpose: PG* variables would change
// the server, and the secrets of this process are none of its business. The working folder is one that all may enter.
func (a account) command(ctx context.Context, program string, arguments ...string) *exec.Cmd {
	command := exec.CommandContext(ctx, program, arguments...)
	command.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC"}
	command.Dir = "/"
	command.SysProcAttr = &syscall.SysProcAttr{Credential: a.credential}
	return command
}

// enter fails when the account cannot enter a folder, and names the highest folder that is closed to it. It asks the
// kernel rather than the mode bits, which know nothing of access control lists.
func (a account) enter(ctx context.Context, folder string) error {
	if a.credential == nil {
		return nil
	}
	closed := ""
	for next := folder; next != closed; next = filepath.Dir(next) {
		err := a.command(ctx, "/bin/sh", "-c", `cd -- "$1"`, "sh", next).Run()
		if err == nil {
			break
		}
		if refused := new(exec.ExitError); ctx.Err() != nil || !errors.As(err, &refused) {
			return fmt.Errorf("become the user %s: %w", a.name, err)
		}
		closed = next
	}
	if closed == "" {
		return nil
	}
	return fmt.Errorf("PostgreSQL refuses to run as root, and the user %s cannot enter %s: choose a place outside it, or run as the user who owns it",
		a.name, closed)
}

// own makes an open folder the account's. A folder of root's that holds something is not ours to give away.
func (a account) own(folder *os.File) error {
	info, err := folder.Stat()
	if err != nil || a.credential == nil || info.Sys().(*syscall.Stat_t).Uid == a.credential.Uid {
		return err
	}
	if _, err := folder.Readdirnames(1); err != io.EOF {
		return fmt.Errorf("%s belongs to root and is not empty, and PostgreSQL refuses to run as root: choose a new or an empty folder", folder.Name())
	}
	return folder.Chown(int(a.credential.Uid), int(a.credential.Gid))
}

// scratch makes the short-lived private folder for the socket. The system keeps a socket's path in 104 bytes (macOS)
// or 108 (Linux), 39 of them ours, and both PostgreSQL and pgx read a comma as the end of a folder's name.
func (a account) scratch(ctx context.Context) (string, error) {
	parent := os.TempDir()
	if len(parent) > 60 || !filepath.IsAbs(parent) || strings.ContainsAny(parent, `,"' `) || a.enter(ctx, parent) != nil {
		parent = "/tmp"
	}
	folder, err := os.MkdirTemp(parent, "authserver-pg-")
	if err != nil || a.credential == nil {
		return folder, err
	}
	return folder, os.Chown(folder, int(a.credential.Uid), int(a.credential.Gid))
}

// version asks postgres for its version: "15.18" out of "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)".
func (a account) version(ctx context.Context, bin string) (string, error) {
	if err := a.enter(ctx, bin); err != nil {
		return "", err
	}
	program := filepath.Join(bin, "postgres")
	answer, err := a.command(ctx, program, "--version").Output()
	if err != nil {
		return "", fmt.Errorf("run %s: %w", program, err)
	}
	words := strings.Fields(string(answer))
	if len(words) < 3 {
		return "", fmt.Errorf("%s --version says %q", program, answer)
	}
	return words[2], nil
}
