package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"authserver/internal/audit"
	"authserver/internal/client"
	"authserver/internal/dcr"
	"authserver/internal/oauth"
	"authserver/internal/store"
)

// clientCmd is the operator's way to the registered clients.
type clientCmd struct {
	Create      clientCreateCmd      `cmd:"" help:"Register a client."`
	Get         clientGetCmd         `cmd:"" help:"Show a client."`
	List        clientListCmd        `cmd:"" help:"List the clients, in the order of their ids."`
	Update      clientUpdateCmd      `cmd:"" help:"Change what the flags name, and leave the rest."`
	Delete      clientDeleteCmd      `cmd:"" help:"End a client and all its tokens, for good."`
	RotateToken clientRotateTokenCmd `cmd:"" help:"Give a client a new registration access token; the old one is dead at once."`
	Import      clientImportCmd      `cmd:"" help:"Make clients what a YAML file says. What it does not name stays."`
}

// registry is the clients and the people of one deployment, as a sub-command changes them.
type registry struct {
	*opened
	rules dcr.Rules // only of those that judge metadata
	trail *audit.Log
	talk  io.Writer
	now   time.Time // by the database's clock: the operator's machine may have any
}

// openRegistry connects, and opens the audit log before anything is changed.
func (t target) openRegistry(ctx context.Context, out *streams, src *sources) (*registry, error) {
	o, err := t.openMigrated(ctx, src)
	if err != nil {
		return nil, err
	}
	r := &registry{opened: o, talk: out.Stderr}
	if r.now, err = o.store.Clock(ctx); err == nil {
		r.trail, err = t.auditLog(out)
	}
	if err != nil {
		o.store.Close()
		return nil, err
	}
	return r, nil
}

func (r *registry) close() {
	_ = r.trail.Close()
	r.store.Close()
}

// record writes the audit record of a change that was made to a client.
func (r *registry) record(event audit.Event, c client.Client) {
	r.write(audit.Record{Event: event, ClientID: c.ID, Scope: c.Metadata.Scope}, fmt.Sprintf("the client %q", c.ID))
}

// write writes an audit record. Should that fail, the change that was made stands all the same.
func (r *registry) write(a audit.Record, whose string) {
	a.Time, a.Actor = r.now, audit.Operator
	if err := r.trail.Write(a); err != nil {
		fmt.Fprintf(r.talk, "authserver: no audit record %s of %s could be written: %v\n", a.Event, whose, err)
	}
}

// judgingTarget is a target whose clients are judged as serve would judge them, but for its settings of mutual TLS.
type judgingTarget struct {
	target   `embed:""`
	Metadata metadataSettings `embed:"" group:"settings"`
}

// openRegistry returns a registry with the rules of registration.
func (t judgingTarget) openRegistry(ctx context.Context, out *streams, src *sources) (*registry, error) {
	u := &understanding{problems: src.problems}
	// What serve offers of mutual TLS its own settings say; the operator may prepare a client for it.
	rules := dcr.Rules{Scopes: u.scopes(t.Metadata.Scopes),
		CertificateMethods: []string{client.TLSClientAuth, client.SelfSignedTLSClientAuth}}
	rules.Vetting.AllowCIDRs = u.cidrs("jwks-allow-cidrs", t.Metadata.JWKSAllowCIDRs)
	src.problems = u.problems
	r, err := t.target.openRegistry(ctx, out, src)
	if err != nil {
		return nil, err
	}
	rules.Vetting.Own, rules.Vetting.AllowLoopback = []string{r.issuer}, r.mode == "dev"
	r.rules = rules
	return r, nil
}

type clientGetCmd struct {
	target `embed:""`
	ID     string `arg:"" name:"client_id"`
	JSON   bool   `name:"json" help:"Print JSON."`
}

// Run shows a client.
func (g *clientGetCmd) Run(ctx context.Context, out *streams, src *sources) error {
	o, err := g.openMigrated(ctx, src)
	if err != nil {
		return err
	}
	defer o.store.Close()
	return o.showClient(ctx, out.Stdout, g.ID, "", g.JSON)
}

// findClient finds an active client, or says why there is none.
func (o *opened) findClient(ctx context.Context, id string) (store.ListedClient, error) {
	c, found, err := o.store.Client(ctx, id)
	switch {
	case err != nil:
		return c, err
	case !found:
		return c, exitError{exitFailed, fmt.Sprintf("there is no client %q", id)}
	case c.Deleted:
		return c, exitError{exitFailed, fmt.Sprintf("the client %q was deleted at %s and never comes back", id, moment(c.UpdatedAt))}
	}
	return c, nil
}

// change edits a client as it is now. When somebody else changed it meanwhile, the edit is made anew.
func (r *registry) change(ctx context.Context, id string, event audit.Event, edit func(c *client.Client) error) error {
	for range 3 {
		c, err := r.findClient(ctx, id)
		if err != nil {
			return err
		}
		if err := edit(&c.Client); err != nil {
			return err
		}
		replaced, err := r.store.ReplaceClient(ctx, c.Client, r.now)
		if err != nil {
			return sentence(err)
		}
		if replaced {
			r.record(event, c.Client)
			return nil
		}
	}
	return exitError{exitFailed, fmt.Sprintf("others keep changing the client %q; run this again", id)}
}

// pageSize is how many records one look at the database lists.
const pageSize = 100

type clientListCmd struct {
	target `embed:""`
	All    bool `help:"List deleted clients too."`
	JSON   bool `name:"json" help:"Print a JSON array."`
}

// Run lists page by page, so that it does not matter how many clients there are.
func (l *clientListCmd) Run(ctx context.Context, out *streams, src *sources) error {
	o, err := l.openMigrated(ctx, src)
	if err != nil {
		return err
	}
	defer o.store.Close()
	var list listing[store.ListedClient] = &clientTable{w: out.Stdout}
	if l.JSON {
		list = &clientArray{jsonArray{w: out.Stdout}}
	}
	return printAll(list, func(after string) ([]store.ListedClient, string, error) {
		page, err := o.store.Clients(ctx, after, pageSize, l.All)
		return page, lastOf(page).ID, err
	})
}

type clientDeleteCmd struct {
	target `embed:""`
	ID     string `arg:"" name:"client_id"`
	JSON   bool   `name:"json" help:"Print JSON."`
}

// Run leaves a tombstone: every replica refuses the client from the commit on.
func (d *clientDeleteCmd) Run(ctx context.Context, out *streams, src *sources) error {
	r, err := d.openRegistry(ctx, out, src)
	if err != nil {
		return err
	}
	defer r.close()
	deleted, err := r.store.DeleteClient(ctx, d.ID, nil, r.now)
	if err != nil {
		return err
	}
	if !deleted {
		_, err := r.findClient(ctx, d.ID)
		return err
	}
	r.record(audit.ClientDeleted, client.Client{ID: d.ID})
	if d.JSON {
		return writeJSON(out.Stdout, struct {
			ClientID string `json:"client_id"`
			Status   string `json:"status"`
		}{d.ID, "deleted"})
	}
	_, err = fmt.Fprintln(out.Stdout, "deleted", d.ID)
	return err
}

type clientRotateTokenCmd struct {
	target `embed:""`
	ID     string `arg:"" name:"client_id"`
	JSON   bool   `name:"json" help:"Print JSON."`
}

// registrationAccess is how a client manages its own registration (RFC 7592 §3).
type registrationAccess struct {
	ClientID string `json:"client_id"`
	URI      string `json:"registration_client_uri"`
	Token    string `json:"registration_access_token"`
}

// Run prints the new token, once: only its hash is kept.
func (c *clientRotateTokenCmd) Run(ctx context.Context, out *streams, src *sources) error {
	r, err := c.openRegistry(ctx, out, src)
	if err != nil {
		return err
	}
	defer r.close()
	token := oauth.NewSecret()
	err = r.change(ctx, c.ID, audit.ClientTokenRotated, func(c *client.Client) error {
		c.RegistrationTokenHash = token.Hash()
		return nil
	})
	if err != nil {
		return err
	}
	access := registrationAccess{c.ID, r.registrationURI(c.ID), token.Reveal()}
	if c.JSON {
		return writeJSON(out.Stdout, access)
	}
	fmt.Fprintln(out.Stdout, "registration_client_uri    ", access.URI)
	_, err = fmt.Fprintln(out.Stdout, "registration_access_token  ", access.Token, " ", shownOnce)
	return err
}

const shownOnce = "(shown once; only its hash is kept)"

func (o *opened) registrationURI(id string) string { return o.issuer + "/fdx/v6/register/" + id }

func writeJSON(w io.Writer, v any) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(v)
}
