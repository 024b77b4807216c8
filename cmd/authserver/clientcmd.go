package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

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

// judgedTarget is a target whose clients are judged as serve would judge them.
type judgedTarget struct {
	target   `embed:""`
	Metadata metadataSettings `embed:"" group:"settings"`
}

// openJudged connects and returns the rules of registration, too.
func (t judgedTarget) openJudged(ctx context.Context, src *sources) (*opened, dcr.Rules, error) {
	u := &understanding{problems: src.problems}
	rules := dcr.Rules{Scopes: u.scopes(t.Metadata.Scopes)}
	rules.Vetting.AllowCIDRs = u.cidrs("jwks-allow-cidrs", t.Metadata.JWKSAllowCIDRs)
	src.problems = u.problems
	o, err := t.openMigrated(ctx, src)
	if err != nil {
		return nil, dcr.Rules{}, err
	}
	rules.Vetting.Issuer, rules.Vetting.AllowLoopback = o.issuer, o.mode == "dev"
	return o, rules, nil
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
	return showClient(ctx, out.Stdout, o, g.ID, "", g.JSON)
}

// findClient finds an active client, or says why there is none.
func findClient(ctx context.Context, st *store.Store, id string) (store.ListedClient, error) {
	c, found, err := st.Client(ctx, id)
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

// changeClient edits a client as it is now. When somebody else changed it meanwhile, the edit is made anew.
func changeClient(ctx context.Context, st *store.Store, id string, edit func(c *client.Client) error) error {
	for range 3 {
		c, err := findClient(ctx, st, id)
		if err != nil {
			return err
		}
		if err := edit(&c.Client); err != nil {
			return err
		}
		if replaced, err := st.ReplaceClient(ctx, c.Client, time.Now()); err != nil || replaced {
			return err
		}
	}
	return exitError{exitFailed, fmt.Sprintf("others keep changing the client %q; run this again", id)}
}

// pageSize is how many clients one look at the database lists.
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
	var list clientList = &clientTable{w: out.Stdout}
	if l.JSON {
		list = &clientArray{w: out.Stdout}
	}
	for after := ""; ; {
		page, err := o.store.Clients(ctx, after, pageSize, l.All)
		if err != nil {
			return err
		}
		if err := list.page(page); err != nil {
			return err
		}
		if len(page) < pageSize {
			return list.end()
		}
		after = page[len(page)-1].ID
	}
}

type clientDeleteCmd struct {
	target `embed:""`
	ID     string `arg:"" name:"client_id"`
	JSON   bool   `name:"json" help:"Print JSON."`
}

// Run leaves a tombstone: every replica refuses the client from the commit on.
func (d *clientDeleteCmd) Run(ctx context.Context, out *streams, src *sources) error {
	o, err := d.openMigrated(ctx, src)
	if err != nil {
		return err
	}
	defer o.store.Close()
	deleted, err := o.store.DeleteClient(ctx, d.ID, time.Now())
	if err != nil {
		return err
	}
	if !deleted {
		_, err := findClient(ctx, o.store, d.ID)
		return err
	}
	if d.JSON {
		return writeJSON(out.Stdout, struct {
			ClientID string `json:"client_id"`
			Status   string `json:"status"`
		}{d.ID, "deleted"})
	}
	fmt.Fprintln(out.Stdout, "deleted", d.ID)
	return nil
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
func (r *clientRotateTokenCmd) Run(ctx context.Context, out *streams, src *sources) error {
	o, err := r.openMigrated(ctx, src)
	if err != nil {
		return err
	}
	defer o.store.Close()
	token := oauth.NewSecret()
	err = changeClient(ctx, o.store, r.ID, func(c *client.Client) error {
		c.RegistrationTokenHash = token.Hash()
		return nil
	})
	if err != nil {
		return err
	}
	access := registrationAccess{r.ID, registrationURI(o, r.ID), token.Reveal()}
	if r.JSON {
		return writeJSON(out.Stdout, access)
	}
	_, err = fmt.Fprintf(out.Stdout, "registration_client_uri     %s\nregistration_access_token   %s   %s\n", access.URI, access.Token, shownOnce)
	return err
}

const shownOnce = "(shown once; only its hash is kept)"

func registrationURI(o *opened, id string) string { return o.issuer + "/fdx/v6/register/" + id }

func writeJSON(w io.Writer, v any) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(v)
}
