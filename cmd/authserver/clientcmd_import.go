package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"authserver/internal/audit"
	"authserver/internal/client"
	"authserver/internal/dcr"
	"authserver/internal/oauth"
	"authserver/internal/store"

	"go.yaml.in/yaml/v3"
)

type clientImportCmd struct {
	judgingTarget `embed:""`
	File          string `arg:"" type:"path" help:"YAML list of clients, with the members that client list --json prints."`
	JSON          bool   `name:"json" help:"Print a JSON array."`
}

// Run writes all or nothing. A second run of the same file changes nothing.
func (i *clientImportCmd) Run(ctx context.Context, out *streams, src *sources) error {
	r, err := i.openRegistry(ctx, out, src)
	if err != nil {
		return err
	}
	defer r.close()
	text, err := os.ReadFile(i.File)
	if err != nil {
		return exitError{exitUsage, err.Error()}
	}
	given, err := readClients(text, r.rules, r.now)
	if err != nil {
		return err
	}
	clients, err := r.judged(ctx, given)
	if err != nil {
		return err
	}
	if err := r.refuseNamesOfIssuers(ctx, clients...); err != nil {
		return err
	}
	outcomes, err := r.store.ImportClients(ctx, clients, r.now)
	if err != nil {
		return sentence(err)
	}
	if err := refuseTombstones(clients, outcomes); err != nil {
		return err
	}
	for n, c := range clients {
		switch outcomes[n] {
		case store.Created:
			r.record(audit.ClientRegistered, c)
		case store.Updated:
			r.record(audit.ClientUpdated, c)
		}
	}
	var ids []string
	for _, c := range clients {
		ids = append(ids, c.ID)
	}
	return printOutcomes(out.Stdout, "client_id", ids, outcomes, i.JSON)
}

// refuseNamesOfIssuers keeps new clients from the names and subjects of trusted issuers, whose assertions would be refused from
// then on, for good: a deleted client keeps its id. It is the other side of what issuer add judges.
func (r *registry) refuseNamesOfIssuers(ctx context.Context, clients ...client.Client) error {
	var ids []string
	for _, c := range clients {
		ids = append(ids, c.ID)
	}
	naming, err := r.store.IssuersNaming(ctx, ids...)
	if err != nil || len(naming) == 0 {
		return err
	}
	var taken []string
	for _, id := range slices.Sorted(maps.Keys(naming)) {
		taken = append(taken, fmt.Sprintf("%q (of the issuer %q)", id, naming[id]))
	}
	return exitError{exitFailed, "nothing was written: a client must not have the name or a subject of a trusted issuer: " +
		strings.Join(taken, ", ") + "; choose another client_id, or have the issuer give it up first " +
		"(authserver issuer add --replace, authserver issuer remove)"}
}

func refuseTombstones(clients []client.Client, outcomes []store.Imported) error {
	var deleted []string
	for i, outcome := range outcomes {
		if outcome == store.Deleted {
			deleted = append(deleted, clients[i].ID)
		}
	}
	if len(deleted) == 0 {
		return nil
	}
	return exitError{exitFailed, "nothing was written: what was deleted never comes back: " + strings.Join(deleted, ", ")}
}

// printOutcomes tells what became of each record, whose names stand under member in JSON.
func printOutcomes(w io.Writer, member string, names []string, outcomes []store.Imported, asArray bool) error {
	rows := []map[string]string{}
	for i, name := range names {
		rows = append(rows, map[string]string{member: name, "outcome": string(outcomes[i])})
	}
	if asArray {
		return writeJSON(w, rows)
	}
	for i, name := range names {
		if _, err := fmt.Fprintf(w, "%-9s  %s\n", outcomes[i], name); err != nil {
			return err
		}
	}
	return nil
}

// readNodes reads the entries of a YAML list.
func readNodes(text []byte, of string) ([]*yaml.Node, error) {
	refuse := func(format string, args ...any) ([]*yaml.Node, error) {
		return nil, exitError{exitUsage, fmt.Sprintf("the file must be a YAML list of "+of+format, args...)}
	}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	var document yaml.Node
	switch err := decoder.Decode(&document); {
	case errors.Is(err, io.EOF):
		return refuse("; it is empty")
	case err != nil:
		return refuse(": %v", err)
	}
	list := document.Content[0]
	if list.Kind != yaml.SequenceNode {
		return refuse(", each of which begins with a hyphen, or stands in brackets as in JSON; it is no list")
	}
	if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, exitError{exitUsage, "the file must be one YAML document"}
	}
	return list.Content, nil
}

// givenClient is a client of a file, and where it stood.
type givenClient struct {
	client.Client
	*entry
}

// readClients reads a YAML list of clients. What is wrong with one of them stands with it.
func readClients(text []byte, rules dcr.Rules, now time.Time) ([]givenClient, error) {
	nodes, err := readNodes(text, "clients")
	if err != nil {
		return nil, err
	}
	var clients []givenClient
	lines := map[string]int{}
	for i := range nodes {
		e := &entry{what: "client", line: nodes[i].Line}
		c := e.read(nodes[i], rules, now)
		if before, twice := lines[c.ID]; twice && c.ID != "" {
			e.refuse("the client stands in line %d already", before)
		}
		lines[c.ID] = e.line
		clients = append(clients, givenClient{c, e})
	}
	return clients, nil
}

// judged are the clients, unless anything is wrong with any of them.
func (r *registry) judged(ctx context.Context, given []givenClient) (clients []client.Client, err error) {
	if err := r.judgeSubjects(ctx, given); err != nil {
		return nil, err
	}
	var wrong []error
	for _, g := range given {
		clients, wrong = append(clients, g.Client), append(wrong, g.wrong...)
	}
	return clients, usageError(wrong)
}

// judgeSubjects refuses the subject of a certificate that is another client's too, in the file or in the database. What a
// client in the file had before, it may give up there.
func (r *registry) judgeSubjects(ctx context.Context, given []givenClient) error {
	ids, firsts := map[string]bool{}, map[string]givenClient{}
	for _, g := range given {
		ids[g.ID] = true
		subject, ok := g.Metadata.CertificateSubject()
		if !ok {
			continue
		}
		first, twice := firsts[subject.Key()]
		switch {
		case !twice:
			firsts[subject.Key()] = g
		case first.ID != g.ID: // which has been told of
			g.refuse("the client %s in line %d has this subject of a certificate", first.ID, first.line)
		}
	}
	holders, err := r.store.SubjectHolders(ctx, slices.Collect(maps.Keys(firsts)))
	for key, holder := range holders {
		if !ids[holder] {
			firsts[key].refuse("another client is registered with this subject of a certificate: %s", holder)
		}
	}
	return err
}

// entry is one record of a file.
type entry struct {
	what    string // it is: client or issuer
	line    int    // 0: it came by flags
	id      string
	members map[string]json.RawMessage
	wrong   []error

	keysRefused bool // of an issuer: they could not be read, and what is wrong has been told
}

func (e *entry) refuse(format string, args ...any) {
	where := fmt.Sprintf("line %d", e.line)
	switch {
	case e.line == 0:
		e.wrong = append(e.wrong, fmt.Errorf(format, args...))
		return
	case e.id != "":
		where += ", " + e.what + " " + e.id
	}
	e.wrong = append(e.wrong, fmt.Errorf("%s: %s", where, fmt.Sprintf(format, args...)))
}

// read makes a client of an entry. Its metadata goes through the rules of registration.
func (e *entry) read(node *yaml.Node, rules dcr.Rules, now time.Time) client.Client {
	if !e.decode(node) {
		return client.Client{}
	}
	var own operatorMembers
	e.take("client_id", "a string", &own.ClientID)
	e.id = own.ClientID
	if err := client.CheckID(own.ClientID); err != nil {
		e.refuse("%v", err)
	}
	e.take("token_lifetime", "a number of seconds, or a duration such as 10m", &own.TokenLifetime)
	e.take("assertion_audience", "a string", &own.AssertionAudience)
	e.take("unbound", "true or false", &own.Unbound)
	e.take("registrar", "true or false", &own.Registrar)
	e.take("serves", "a list of strings", &own.Serves)
	c := client.Client{
		ID: own.ClientID, IssuedAt: now, RegistrationTokenHash: oauth.NewSecret().Hash(), // of a token that nobody has
		Registrar: own.Registrar, Serves: own.Serves, TokenLifetime: time.Duration(own.TokenLifetime),
		AssertionAudience: own.AssertionAudience, Unbound: own.Unbound,
	}
	e.readMetadata(&c, rules)
	for _, err := range c.CheckOperator() {
		e.refuse("%v", err)
	}
	return c
}

// decode turns the entry's members into JSON.
func (e *entry) decode(node *yaml.Node) bool {
	if node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	if node.Kind != yaml.MappingNode {
		e.refuse("must be the members of one %s", e.what)
		return false
	}
	keepDates(node)
	var values map[string]any
	if err := node.Decode(&values); err != nil {
		says := strings.TrimPrefix(err.Error(), "yaml: unmarshal errors:") // each with its line
		e.wrong = append(e.wrong, errors.New(strings.Join(strings.Fields(says), " ")))
		return false
	}
	e.members = map[string]json.RawMessage{}
	for name, value := range values {
		raw, err := json.Marshal(value)
		if err != nil {
			e.refuse("%s holds what JSON cannot", name)
			raw = json.RawMessage("null")
		}
		e.members[name] = raw
	}
	return true
}

// readMetadata judges what is left of the members, but for what client list --json prints of the server's own.
func (e *entry) readMetadata(c *client.Client, rules dcr.Rules) {
	for _, name := range []string{"client_id_issued_at", "updated_at", "version", "status"} {
		delete(e.members, name)
	}
	known := append(metadataMembers(), operatorNames()...)
	for _, name := range slices.Sorted(maps.Keys(e.members)) {
		if err := checkMember(name, known); err != nil {
			e.refuse("%v", err)
			delete(e.members, name)
		}
	}
	for _, err := range setMetadata(c, e.members, rules) {
		e.refuse("%v", err)
	}
}

// take reads a member that is no metadata, and takes it away from those that are. It is false for one that is refused.
func (e *entry) take(name, expected string, into any) bool {
	raw, ok := e.members[name]
	delete(e.members, name)
	if ok && json.Unmarshal(raw, into) != nil {
		e.refuse("%s must be %s", name, expected)
		return false
	}
	return true
}

// UnmarshalJSON reads a number of seconds or a duration such as "10m".
func (s *span) UnmarshalJSON(raw []byte) error {
	var text string
	switch {
	case string(raw) == "null":
		return nil
	case json.Unmarshal(raw, &text) != nil:
		text = string(raw) + "s"
	}
	d, err := time.ParseDuration(text)
	*s = span(d)
	return err
}

// UnmarshalText reads a flag, where all is text: a duration, or a whole number of seconds.
func (s *span) UnmarshalText(text []byte) error {
	given := string(text)
	if _, err := strconv.Atoi(given); err == nil {
		given += "s"
	}
	d, err := time.ParseDuration(given)
	*s = span(d)
	return err
}

// keepDates lets what looks like a date be the text that it is: no member of a client is a date.
func keepDates(node *yaml.Node) {
	if node.Tag == "!!timestamp" {
		node.Tag = "!!str"
	}
	for _, child := range node.Content {
		keepDates(child)
	}
}
