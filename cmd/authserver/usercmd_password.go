package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"authserver/internal/oauth"
	"authserver/internal/person"

	"golang.org/x/term"
)

// newPassword is where a person's password comes from: standard input, a terminal, or chance. It is never a flag or a
// variable, which others on the machine may read.
type newPassword struct {
	Generate bool `help:"Make a random password and print it, once. Otherwise it is asked for, or read from standard input: one line."`
}

// read returns a password that is good enough.
func (n newPassword) read(ctx context.Context, out *streams) (oauth.Secret, error) {
	if n.Generate {
		return oauth.Secret(rand.Text()), nil
	}
	password, err := readPassword(ctx, out)
	if err == nil {
		err = person.CheckPassword(password.Reveal())
	}
	switch {
	case ctx.Err() != nil:
		return "", exitError{exitFailed, "interrupted; nothing is changed"}
	case err != nil:
		return "", exitError{exitUsage, err.Error()}
	}
	return password, nil
}

// show tells what was done, and the password if nobody knows it yet.
func (n newPassword) show(w io.Writer, asJSON bool, done string, p person.Person, password oauth.Secret) (err error) {
	shown := shownPersonOf(p)
	if n.Generate {
		shown.Password = password.Reveal()
	}
	if asJSON {
		return writeJSON(w, shown)
	}
	if _, err = fmt.Fprintln(w, done, p.Username); err == nil && n.Generate {
		_, err = fmt.Fprintln(w, "password  ", shown.Password, " ", shownOnce)
	}
	return err
}

func readPassword(ctx context.Context, out *streams) (oauth.Secret, error) {
	terminal, attended := terminalOf(out)
	if !attended {
		return await(ctx, func() (oauth.Secret, error) { return passwordLine(out.Stdin) })
	}
	first, err := askHidden(ctx, terminal, out.Stderr, "password: ")
	if err == nil {
		err = person.CheckPassword(first.Reveal()) // before it is typed again
	}
	if err != nil {
		return "", err
	}
	again, err := askHidden(ctx, terminal, out.Stderr, "once more: ")
	if err == nil && again != first {
		err = errors.New("the two passwords are not the same")
	}
	return first, err
}

// passwordLine reads a password that a program or a file gives: one line, of which nothing but its end is taken away.
func passwordLine(in io.Reader) (oauth.Secret, error) {
	text, err := io.ReadAll(io.LimitReader(in, person.MaxPassword+3)) // enough to see that it is too long
	if err != nil {
		return "", err
	}
	line := strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")
	switch {
	case line == "":
		return "", errors.New("there is no password on standard input; give one line, or say --generate")
	case strings.ContainsAny(line, "\r\n"):
		return "", errors.New("there is more than one line on standard input")
	}
	return oauth.Secret(line), nil
}

// askHidden reads a line without showing it. An interrupt leaves the terminal as it was.
func askHidden(ctx context.Context, terminal *os.File, prompt io.Writer, question string) (oauth.Secret, error) {
	fd := int(terminal.Fd()) // asked for once: what still reads after an interrupt must not ask a file that is closed
	before, err := term.GetState(fd)
	if err != nil {
		return "", err
	}
	fmt.Fprint(prompt, question)
	defer fmt.Fprintln(prompt)
	line, err := await(ctx, func() ([]byte, error) { return term.ReadPassword(fd) })
	if ctx.Err() != nil {
		_ = term.Restore(fd, before)
	}
	return oauth.Secret(line), err
}

// await ends with ctx although input may never come. What still reads then ends with the process.
func await[T any](ctx context.Context, read func() (T, error)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	answered := make(chan answer, 1)
	go func() {
		value, err := read()
		answered <- answer{value, err}
	}()
	select {
	case a := <-answered:
		return a.value, a.err
	case <-ctx.Done():
		return *new(T), ctx.Err()
	}
}
