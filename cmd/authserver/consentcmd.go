package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"authserver/internal/audit"
	"authserver/internal/grant"
	"authserver/internal/store"
)

// consentCmd is the operator's way to what people have allowed.
type consentCmd struct {
	List   consentListCmd   `cmd:"" help:"List what people have allowed, in the order of the ids."`
	Get    consentGetCmd    `cmd:"" help:"Show a consent and its history."`
	Revoke consentRevokeCmd `cmd:"" help:"End a consent and all its tokens, for good."`
}

// consentID is the one consent that a sub-command is about.
type consentID struct {
	ID string `arg:"" name:"consent_id"`
}

// show prints the consent as it is at now.
func (i consentID) show(ctx context.Context, o *opened, w io.Writer, asJSON bool, now time.Time) error {
	c, found, err := o.store.FindConsent(ctx, i.ID)
	switch {
	case err != nil:
		return err
	case !found:
		return i.missing()
	case asJSON:
		return writeJSON(w, shownConsentOf(c, now))
	}
	return printConsent(w, c, now)
}

// missing says that there is no such consent.
func (i consentID) missing() error {
	return exitError{exitFailed, fmt.Sprintf("there is no consent %q; authserver consent list --all shows all", i.ID)}
}

type consentListCmd struct {
	target `embed:""`
	Client string `placeholder:"CLIENT_ID" help:"Only those of a client."`
	Person string `placeholder:"USERNAME" help:"Only those of a person: username, or subject."`
	All    bool   `help:"List those too that are over."`
	JSON   bool   `name:"json" help:"Print a JSON array."`
}

// Run lists page by page, so that it does not matter how many consents there are.
func (l *consentListCmd) Run(ctx context.Context, out *streams, src *sources) error {
	o, err := l.openMigrated(ctx, src)
	if err != nil {
		return err
	}
	defer o.store.Close()
	filter, err := l.filter(ctx, o)
	if err != nil {
		return err
	}
	now, err := o.store.Clock(ctx)
	if err != nil {
		return err
	}
	var list listing[grant.Consent] = &consentTable{w: out.Stdout, now: now}
	if l.JSON {
		list = &consentArray{jsonArray{w: out.Stdout}, now}
	}
	return printAll(list, func(after string) ([]grant.Consent, string, error) {
		page, err := o.store.ListConsents(ctx, filter, after, pageSize, now)
		return page, lastOf(page).ID, err
	})
}

// filter refuses a client and a person who do not exist: an empty list would read as if they had no consents.
func (l *consentListCmd) filter(ctx context.Context, o *opened) (store.ConsentFilter, error) {
	f := store.ConsentFilter{ClientID: l.Client, Alive: !l.All}
	if l.Client != "" {
		_, found, err := o.store.Client(ctx, l.Client)
		switch {
		case err != nil:
			return f, err
		case !found:
			return f, exitError{exitFailed, fmt.Sprintf("there is no client %q", l.Client)}
		}
	}
	if l.Person != "" {
		p, err := o.findPerson(ctx, l.Person)
		if err != nil {
			return f, err
		}
		f.Subject = p.Subject
	}
	return f, nil
}

type consentGetCmd struct {
	target    `embed:""`
	consentID `embed:""`
	JSON      bool `name:"json" help:"Print JSON."`
}

// Run shows a consent, whatever became of it.
func (g *consentGetCmd) Run(ctx context.Context, out *streams, src *sources) error {
	o, err := g.openMigrated(ctx, src)
	if err != nil {
		return err
	}
	defer o.store.Close()
	now, err := o.store.Clock(ctx)
	if err != nil {
		return err
	}
	return g.show(ctx, o, out.Stdout, g.JSON, now)
}

type consentRevokeCmd struct {
	target    `embed:""`
	consentID `embed:""`
	JSON      bool `name:"json" help:"Print JSON."`
}

// Run ends the consent on every replica from the commit on. It is no failure when that was done before.
func (v *consentRevokeCmd) Run(ctx context.Context, out *streams, src *sources) error {
	r, err := v.openRegistry(ctx, out, src)
	if err != nil {
		return err
	}
	defer r.close()
	stop := grant.Stopped(grant.OperatorStopped, "", "", r.now)
	g, ending, err := r.store.RevokeGrant(ctx, v.ID, grant.Owner{}, stop)
	switch {
	case err != nil:
		return err
	case ending == grant.NoGrant:
		return v.missing()
	case ending == grant.Ended:
		r.write(audit.Record{Event: audit.GrantRevoked, ClientID: g.ClientID, Subject: g.Subject, GrantID: g.ID},
			fmt.Sprintf("the consent %q", g.ID))
	}
	switch {
	case v.JSON:
		return v.show(ctx, r.opened, out.Stdout, true, r.now)
	case ending == grant.EndedBefore:
		_, err = fmt.Fprintf(out.Stdout, "%s has ended already; nothing is changed\n", v.ID)
	default:
		_, err = fmt.Fprintln(out.Stdout, "revoked", v.ID)
	}
	return err
}
