package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"unicode"
	"unicode/utf8"

	"authserver/internal/audit"
	"authserver/internal/person"
)

// userCmd is the operator's way to the people who sign in.
type userCmd struct {
	Add      userAddCmd      `cmd:"" help:"Add a person who signs in with a password (login builtin)."`
	List     userListCmd     `cmd:"" help:"List all people, also those of an upstream."`
	Disable  userDisableCmd  `cmd:"" help:"Keep a person out: sessions end, and what the person has allowed is revoked, for good."`
	Enable   userEnableCmd   `cmd:"" help:"Let a person who was disabled sign in again."`
	Password userPasswordCmd `cmd:"" help:"Give a person another password; sessions end."`
	Erase    userEraseCmd    `cmd:"" help:"Forget a person, and all that the person has allowed with its history, for good."`
}

// shownPerson is a person for the operator: all but the password's hash.
type shownPerson struct {
	Subject    string         `json:"subject"`
	Username   string         `json:"username,omitempty"`
	Name       string         `json:"name,omitempty"`
	Upstream   *shownIdentity `json:"upstream,omitempty"`
	CreatedAt  int64          `json:"created_at"` // seconds since 1970, as the next
	DisabledAt int64          `json:"disabled_at,omitempty"`
	Password   string         `json:"password,omitempty"` // that was just made
}

type shownIdentity struct {
	Issuer  string `json:"issuer"`
	Subject string `json:"subject"`
}

func shownPersonOf(p person.Person) shownPerson {
	shown := shownPerson{Subject: p.Subject, Username: p.Username, Name: p.Name, CreatedAt: p.CreatedAt.Unix()}
	if p.Upstream != (person.Identity{}) {
		shown.Upstream = &shownIdentity{p.Upstream.Issuer, p.Upstream.Subject}
	}
	if p.DisabledAt != nil {
		shown.DisabledAt = p.DisabledAt.Unix()
	}
	return shown
}

// printPeople prints a line for each person.
func printPeople(w io.Writer, people []person.Person) error {
	table := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	fmt.Fprintln(table, "USERNAME\tNAME\tSTATUS\tCREATED\tSUBJECT\tUPSTREAM")
	for _, p := range people {
		status, upstream := "active", "-"
		if p.DisabledAt != nil {
			status = "disabled " + moment(*p.DisabledAt)
		}
		if p.Upstream != (person.Identity{}) {
			upstream = p.Upstream.Subject + " at " + p.Upstream.Issuer
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", or(p.Username, "-"), clean(or(p.Name, "-")), status, moment(p.CreatedAt), p.Subject, clean(upstream))
	}
	return table.Flush()
}

// recordPerson writes the audit record of a change that was made to a person.
func (r *registry) recordPerson(event audit.Event, p person.Person) {
	r.write(audit.Record{Event: event, Subject: p.Subject}, fmt.Sprintf("the person %q", or(p.Username, p.Subject)))
}

// findPerson finds by username, or by subject: that begins with an underscore, as no username does.
func (o *opened) findPerson(ctx context.Context, who string) (person.Person, error) {
	find := o.store.FindPerson
	if !person.IsUsername(who) {
		find = o.store.FindSubject
	}
	p, found, err := find(ctx, who)
	if err != nil || found {
		return p, err
	}
	return person.Person{}, exitError{exitFailed, fmt.Sprintf("there is no person %q; authserver user list shows all", who)}
}

type userAddCmd struct {
	target   `embed:""`
	Username string      `arg:"" name:"username" help:"What the person signs in with: lower-case letters, digits, and ._@+- behind the first."`
	Name     string      `placeholder:"NAME" help:"What the pages call the person. Unset: the username."`
	Password newPassword `embed:""`
	JSON     bool        `name:"json" help:"Print JSON."`
}

// maxPersonName bounds what pages call a person, in bytes.
const maxPersonName = 128

// Run asks for the password when everything else is right.
func (a *userAddCmd) Run(ctx context.Context, out *streams, src *sources) error {
	switch {
	case !person.IsUsername(a.Username):
		return exitError{exitUsage, fmt.Sprintf("a username is 1 to 128 lower-case letters, digits, and ._@+- behind the first; it is %q", a.Username)}
	case len(a.Name) > maxPersonName || !utf8.ValidString(a.Name) || slices.ContainsFunc([]rune(a.Name), unicode.IsControl):
		return exitError{exitUsage, fmt.Sprintf("a name is at most %d bytes of UTF-8 without control characters", maxPersonName)}
	}
	r, err := a.openRegistry(ctx, out, src)
	if err != nil {
		return err
	}
	defer r.close()
	taken := exitError{exitFailed, fmt.Sprintf("there is a person %q already", a.Username)}
	if _, found, err := r.store.FindPerson(ctx, a.Username); err != nil {
		return err
	} else if found {
		return taken
	}
	password, err := a.Password.read(ctx, out)
	if err != nil {
		return err
	}
	p, err := person.New(a.Username, password.Reveal(), r.now)
	if err != nil {
		return err
	}
	p.Name = a.Name
	switch added, err := r.store.AddPerson(ctx, p); {
	case err != nil:
		return err
	case !added:
		return taken
	}
	r.recordPerson(audit.PersonAdded, p)
	return a.Password.show(out.Stdout, a.JSON, "added", p, password)
}

type userListCmd struct {
	target `embed:""`
	JSON   bool `name:"json" help:"Print a JSON array."`
}

// Run lists the people with a username first, in its order.
func (l *userListCmd) Run(ctx context.Context, out *streams, src *sources) error {
	o, err := l.openMigrated(ctx, src)
	if err != nil {
		return err
	}
	defer o.store.Close()
	people, err := o.store.People(ctx)
	if err != nil {
		return err
	}
	if !l.JSON {
		return printPeople(out.Stdout, people)
	}
	shown := []shownPerson{}
	for _, p := range people {
		shown = append(shown, shownPersonOf(p))
	}
	return writeJSON(out.Stdout, shown)
}

// userTarget is one person whom a sub-command changes.
type userTarget struct {
	target `embed:""`
	Who    string `arg:"" name:"username" help:"Username; or the subject, for a person of an upstream."`
	JSON   bool   `name:"json" help:"Print JSON."`
}

// turn disables or enables the person. It is no failure when that was done before.
func (u userTarget) turn(ctx context.Context, out *streams, src *sources, word string, event audit.Event, change func(*registry) (bool, error)) error {
	r, err := u.openRegistry(ctx, out, src)
	if err != nil {
		return err
	}
	defer r.close()
	p, err := r.findPerson(ctx, u.Who)
	if err != nil {
		return err
	}
	changed, err := change(r)
	if err != nil {
		return err
	}
	if changed {
		r.recordPerson(event, p)
	}
	switch {
	case u.JSON:
		if p, err = r.findPerson(ctx, u.Who); err != nil {
			return err
		}
		return writeJSON(out.Stdout, shownPersonOf(p))
	case !changed:
		_, err = fmt.Fprintf(out.Stdout, "%s is %s already; nothing is changed\n", u.Who, word)
	default:
		_, err = fmt.Fprintln(out.Stdout, word, u.Who)
	}
	return err
}

type userDisableCmd struct {
	userTarget `embed:""`
}

// Run ends everything of the person at once: replicas keep no person in memory.
func (d *userDisableCmd) Run(ctx context.Context, out *streams, src *sources) error {
	return d.turn(ctx, out, src, "disabled", audit.PersonDisabled, func(r *registry) (bool, error) { return r.store.DisablePerson(ctx, d.Who, r.now) })
}

type userEnableCmd struct {
	userTarget `embed:""`
}

// Run brings nothing back: what was revoked has to be allowed anew.
func (e *userEnableCmd) Run(ctx context.Context, out *streams, src *sources) error {
	return e.turn(ctx, out, src, "enabled", audit.PersonEnabled, func(r *registry) (bool, error) { return r.store.EnablePerson(ctx, e.Who) })
}

type userPasswordCmd struct {
	userTarget `embed:""`
	Password   newPassword `embed:""`
}

// Run asks for the password when there is somebody to have it.
func (c *userPasswordCmd) Run(ctx context.Context, out *streams, src *sources) error {
	r, err := c.openRegistry(ctx, out, src)
	if err != nil {
		return err
	}
	defer r.close()
	p, err := r.findPerson(ctx, c.Who)
	if err != nil {
		return err
	}
	if p.PasswordHash == "" {
		return exitError{exitFailed, fmt.Sprintf("%s signs in at %s and has no password here", c.Who, p.Upstream.Issuer)}
	}
	password, err := c.Password.read(ctx, out)
	if err != nil {
		return err
	}
	hash, err := person.HashPassword(password.Reveal())
	if err != nil {
		return err
	}
	set, err := r.store.SetPassword(ctx, p.Username, hash)
	if err != nil {
		return err
	}
	if !set {
		return exitError{exitFailed, fmt.Sprintf("there is no person %q any more", c.Who)}
	}
	r.recordPerson(audit.PersonPasswordChanged, p)
	return c.Password.show(out.Stdout, c.JSON, "changed the password of", p, password)
}
