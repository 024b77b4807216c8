package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strings"

	"authserver/internal/audit"
	"authserver/internal/person"

	"golang.org/x/term"
)

type userEraseCmd struct {
	userTarget `embed:""`
	Yes        string `placeholder:"USERNAME" help:"The same once more, instead of being asked."`
}

// Run forgets the person on every replica from the commit on. It asks when there is somebody to be forgotten.
func (e *userEraseCmd) Run(ctx context.Context, out *streams, src *sources) error {
	terminal, attended := terminalOf(out)
	switch {
	case e.Yes == "" && !attended:
		return exitError{exitUsage, fmt.Sprintf("erasing cannot be undone; say --yes %s", e.Who)}
	case e.Yes != "" && e.Yes != e.Who:
		return exitError{exitUsage, fmt.Sprintf("--yes must name the same person as before it, %q; it is %q", e.Who, e.Yes)}
	}
	r, err := e.openRegistry(ctx, out, src)
	if err != nil {
		return err
	}
	defer r.close()
	p, err := r.findPerson(ctx, e.Who)
	if err != nil {
		return err
	}
	if e.Yes == "" {
		if err := e.ask(ctx, out, terminal, p); err != nil {
			return err
		}
	}
	erased, err := r.store.ErasePerson(ctx, p.Subject)
	switch {
	case err != nil:
		return err
	case !erased:
		return exitError{exitFailed, fmt.Sprintf("there is no person %q any more", e.Who)}
	}
	r.recordPerson(audit.PersonErased, p)
	if e.JSON {
		return writeJSON(out.Stdout, struct {
			Subject string `json:"subject"`
			Status  string `json:"status"`
		}{p.Subject, "erased"})
	}
	_, err = fmt.Fprintln(out.Stdout, "erased", e.Who)
	return err
}

// ask wants the operator to type once more who is meant.
func (e *userEraseCmd) ask(ctx context.Context, out *streams, terminal *os.File, p person.Person) error {
	fmt.Fprintf(out.Stderr, "%s (%s) will be forgotten, with every session and consent and its history, for good.\n",
		e.Who, clean(or(p.Name, "no name")))
	fmt.Fprint(out.Stderr, "the same once more: ")
	line, err := await(ctx, func() (string, error) { return bufio.NewReader(terminal).ReadString('\n') })
	switch {
	case ctx.Err() != nil:
		return exitError{exitFailed, "interrupted; nothing is changed"}
	case err != nil || strings.TrimSpace(line) != e.Who:
		return exitError{exitUsage, "that is not the same; nothing is changed"}
	}
	return nil
}

// terminalOf is the terminal at which somebody sits, if there is one.
func terminalOf(out *streams) (terminal *os.File, attended bool) {
	terminal, ok := out.Stdin.(*os.File)
	return terminal, ok && term.IsTerminal(int(terminal.Fd()))
}
