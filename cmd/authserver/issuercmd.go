package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"authserver/internal/audit"
	"authserver/internal/issuer"
	"authserver/internal/jose"
)

// issuerCmd is the operator's way to the issuers whose assertions are grants (RFC 7523 §2.1).
type issuerCmd struct {
	Add    issuerAddCmd    `cmd:"" help:"Trust an issuer of JWT bearer assertions, or those of a YAML file."`
	List   issuerListCmd   `cmd:"" help:"List the trusted issuers, in the order of their names."`
	Remove issuerRemoveCmd `cmd:"" help:"Trust an issuer no longer. Tokens that its assertions gave live to their end, 15 minutes at most."`
}

// issuerMembers is a record where the operator reads or writes it, in JSON and YAML.
type issuerMembers struct {
	Issuer        string          `json:"issuer"`
	JWKS          json.RawMessage `json:"jwks,omitempty"`
	JWKSURI       string          `json:"jwks_uri,omitempty"`
	Algs          []jose.Alg      `json:"algs"`
	Audiences     []string        `json:"audiences,omitempty"` // none: the server's own
	MaxLifetime   span            `json:"max_lifetime"`
	Subjects      []string        `json:"subjects,omitempty"` // none: the issuer itself
	RequireJTI    bool            `json:"require_jti"`
	Clients       []string        `json:"clients"`
	Scope         string          `json:"scope"`
	TokenLifetime span            `json:"token_lifetime"`

	RequireClientAuthentication bool `json:"require_client_authentication"`
	RequireBinding              bool `json:"require_binding"`
}

func issuerMembersOf(i issuer.Issuer) issuerMembers {
	return issuerMembers{
		Issuer: i.Name, JWKS: i.JWKS, JWKSURI: i.JWKSURI, Algs: i.Algs, Audiences: i.Audiences, MaxLifetime: span(i.MaxLifetime),
		Subjects: i.Subjects, RequireJTI: i.RequireJTI, Clients: i.Clients, Scope: i.Scopes.String(),
		TokenLifetime: span(i.TokenLifetime), RequireClientAuthentication: i.RequireClientAuthentication,
		RequireBinding: i.RequireBinding,
	}
}

type issuerListCmd struct {
	target `embed:""`
	JSON   bool `name:"json" help:"Print a JSON array."`
}

// Run lists page by page, so that it does not matter how many issuers there are.
func (l *issuerListCmd) Run(ctx context.Context, out *streams, src *sources) error {
	o, err := l.openMigrated(ctx, src)
	if err != nil {
		return err
	}
	defer o.store.Close()
	var list listing[issuer.Issuer] = &issuerTable{w: out.Stdout}
	if l.JSON {
		list = &issuerArray{jsonArray{w: out.Stdout}}
	}
	return printAll(list, func(after string) ([]issuer.Issuer, string, error) {
		page, err := o.store.Issuers(ctx, after, pageSize)
		return page, lastOf(page).Name, err
	})
}

// issuerTable prints a line for each issuer, under one head.
type issuerTable struct {
	w      io.Writer
	headed bool
}

func (t *issuerTable) page(issuers []issuer.Issuer) error {
	table := tabwriter.NewWriter(t.w, 0, 0, 3, ' ', 0)
	if !t.headed {
		fmt.Fprintln(table, "ISSUER\tUPDATED\tKEYS\tCLIENTS\tSCOPE\tSETTINGS")
	}
	t.headed = true
	for _, i := range issuers {
		keys := clean(i.JWKSURI)
		if keys == "" {
			keys = clean(keysText(i.JWKS))
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", clean(i.Name), moment(i.UpdatedAt), keys, clean(strings.Join(i.Clients, " ")),
			i.Scopes, or(clean(relaxed(i)), "-"))
	}
	return table.Flush()
}

func (t *issuerTable) end() error { return nil }

// relaxed names what an operator has set other than it is by itself.
func relaxed(i issuer.Issuer) string {
	usual := issuer.New(i.Name)
	var set []string
	note := func(differs bool, format string, args ...any) {
		if differs {
			set = append(set, fmt.Sprintf(format, args...))
		}
	}
	note(!i.RequireClientAuthentication, "no client authentication")
	note(!i.RequireBinding, "Bearer tokens")
	note(i.RequireJTI, "jti")
	note(!slices.Equal(i.Algs, usual.Algs), "signs with %q", i.Algs)
	note(len(i.Audiences) > 0, "aud %s", strings.Join(i.Audiences, " "))
	note(len(i.Subjects) > 0, "for %s", strings.Join(i.Subjects, " "))
	note(i.MaxLifetime != usual.MaxLifetime, "exp within %s", i.MaxLifetime)
	note(i.TokenLifetime != usual.TokenLifetime, "tokens live %s", i.TokenLifetime)
	return strings.Join(set, ", ")
}

// issuerArray prints one JSON array, an issuer on each line. What issuer add --file takes is a part of it.
type issuerArray struct{ jsonArray }

func (a *issuerArray) page(issuers []issuer.Issuer) error {
	for _, i := range issuers {
		err := a.add(struct {
			issuerMembers
			AddedAt   int64 `json:"added_at"` // seconds since 1970, as the next
			UpdatedAt int64 `json:"updated_at"`
			Version   int64 `json:"version"`
		}{issuerMembersOf(i), i.AddedAt.Unix(), i.UpdatedAt.Unix(), i.Version})
		if err != nil {
			return err
		}
	}
	return nil
}

type issuerRemoveCmd struct {
	target `embed:""`
	Name   string `arg:"" name:"issuer"`
	JSON   bool   `name:"json" help:"Print JSON."`
}

// Run forgets the issuer: every replica refuses its assertions from the commit on.
func (c *issuerRemoveCmd) Run(ctx context.Context, out *streams, src *sources) error {
	r, err := c.openRegistry(ctx, out, src)
	if err != nil {
		return err
	}
	defer r.close()
	removed, err := r.store.RemoveIssuer(ctx, c.Name)
	if err != nil {
		return err
	}
	if !removed {
		return exitError{exitFailed, fmt.Sprintf("there is no issuer %q; authserver issuer list shows all", c.Name)}
	}
	r.recordIssuer(audit.IssuerRemoved, issuer.Issuer{Name: c.Name})
	if c.JSON {
		return writeJSON(out.Stdout, struct {
			Issuer string `json:"issuer"`
			Status string `json:"status"`
		}{c.Name, "removed"})
	}
	_, err = fmt.Fprintln(out.Stdout, "removed", c.Name)
	return err
}

// recordIssuer writes the audit record of a change that was made to an issuer.
func (r *registry) recordIssuer(event audit.Event, i issuer.Issuer) {
	r.write(audit.Record{Event: event, Issuer: i.Name, Scope: i.Scopes.String()}, fmt.Sprintf("the issuer %q", i.Name))
}

// issuerFlags are the members of one record. One that is not given has its default (issuer.New).
type issuerFlags struct {
	JWKS     string   `name:"jwks" xor:"keys" type:"path" placeholder:"FILE" help:"File with its public keys: a JWK Set, or one key in PEM."`
	Kid      string   `placeholder:"KID" help:"What its assertions call the key of a PEM file."`
	JWKSURI  string   `name:"jwks-uri" xor:"keys" placeholder:"URL" help:"Where it publishes its keys."`
	Client   []string `sep:"none" placeholder:"CLIENT_ID" help:"Client that may redeem its assertions; may be repeated."`
	Scope    string   `placeholder:"SCOPE …" help:"Scopes that its assertions open, with spaces between."`
	Alg      []string `placeholder:"ALG" help:"Algorithm that it signs with: ES256 (the default), PS256, EdDSA; may be repeated."`
	Audience []string `sep:"none" placeholder:"AUD" help:"What aud may name; may be repeated. Unset: this server's issuer and token endpoint."`
	Subject  []string `sep:"none" placeholder:"SUB" help:"Whom it may speak for; may be repeated. Unset: the issuer itself."`

	MaxLifetime   *span `placeholder:"DURATION" help:"How far ahead exp may lie, at most 15m, the default."`
	TokenLifetime *span `placeholder:"DURATION" help:"How long the tokens live, 30s to 15m, the default."`

	RequireJTI                  *bool `name:"require-jti" negatable:"" help:"Demand a jti; without one what was signed is good for one use all the same."`
	RequireClientAuthentication *bool `negatable:"" help:"Demand that the client authenticates (the default). If not, an assertion alone is worth a token."`
	RequireBinding              *bool `negatable:"" help:"Demand tokens that are bound to a key (the default). If not, who sends no proof gets a Bearer token."`
}
