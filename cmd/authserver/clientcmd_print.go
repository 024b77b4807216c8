package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"authserver/internal/client"
	"authserver/internal/jose"
	"authserver/internal/oauth"
	"authserver/internal/store"
)

// operatorMembers are what stands beside a client's metadata where the operator reads or writes it, in JSON and YAML.
type operatorMembers struct {
	ClientID          string              `json:"client_id"`
	TokenLifetime     span                `json:"token_lifetime,omitempty"`
	AssertionAudience client.AudienceRule `json:"assertion_audience,omitempty"`
	Unbound           bool                `json:"unbound,omitempty"`
	Registrar         bool                `json:"registrar,omitempty"`
	Serves            []string            `json:"serves,omitempty"`
}

// operatorNames are the names of operatorMembers.
func operatorNames() []string {
	return []string{"client_id", "token_lifetime", "assertion_audience", "unbound", "registrar", "serves"}
}

// span is a duration that is written as their number.
type span time.Duration

// MarshalJSON writes whole seconds.
func (s span) MarshalJSON() ([]byte, error) {
	return json.Marshal(int64(time.Duration(s) / time.Second))
}

// shownMembers are what only the server sets.
type shownMembers struct {
	IssuedAt                int64  `json:"client_id_issued_at"` // seconds since 1970, as the next
	UpdatedAt               int64  `json:"updated_at"`
	Version                 int64  `json:"version"`
	Status                  string `json:"status"`
	RegistrationAccessToken string `json:"registration_access_token,omitempty"`
	RegistrationClientURI   string `json:"registration_client_uri,omitempty"`
}

func shownOf(c store.ListedClient) shownMembers {
	status := "active"
	if c.Deleted {
		status = "deleted"
	}
	return shownMembers{IssuedAt: c.IssuedAt.Unix(), UpdatedAt: c.UpdatedAt.Unix(), Version: c.Version, Status: status}
}

// asJSON is the whole record but for its secrets. What an import takes is a part of it.
func asJSON(c store.ListedClient, shown shownMembers) (json.RawMessage, error) {
	return c.Metadata.JoinedTo(struct {
		operatorMembers
		shownMembers
	}{operatorMembers{c.ID, span(c.TokenLifetime), c.AssertionAudience, c.Unbound, c.Registrar, c.Serves}, shown})
}

// showClient prints a client as it is stored, with the registration access token that was just made for it, if any.
func (o *opened) showClient(ctx context.Context, w io.Writer, id string, token oauth.Secret, asOneObject bool) error {
	c, err := o.findClient(ctx, id)
	if err != nil {
		return err
	}
	shown := shownOf(c)
	if token != "" {
		shown.RegistrationAccessToken, shown.RegistrationClientURI = token.Reveal(), o.registrationURI(id)
	}
	if asOneObject {
		whole, err := asJSON(c, shown)
		if err != nil {
			return err
		}
		return writeJSON(w, whole)
	}
	table := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	line := func(name, value string) { fmt.Fprintf(table, "%s\t%s\n", name, clean(value)) }
	line("client_id", c.ID)
	line("status", fmt.Sprintf("%s, version %d", shown.Status, c.Version))
	line("issued", moment(c.IssuedAt))
	line("updated", moment(c.UpdatedAt))
	line("token_lifetime", lifetimeText(c.TokenLifetime))
	line("assertion_audience", string(c.AssertionAudience))
	line("unbound", yesNo(c.Unbound))
	line("registrar", yesNo(c.Registrar))
	line("serves", or(strings.Join(c.Serves, " "), "-"))
	if err := metadataLines(c.Metadata, line); err != nil {
		return err
	}
	if uri := c.Metadata.JWKSURI; uri != "" {
		line("keys fetched", fetchedText(uri, c.LastKeySet))
	}
	if token != "" {
		line("registration_client_uri", shown.RegistrationClientURI)
		line("registration_access_token", shown.RegistrationAccessToken+"   "+shownOnce)
	}
	return table.Flush()
}

// metadataLines shows every member that the metadata has.
func metadataLines(m client.Metadata, line func(name, value string)) error {
	raw, err := json.Marshal(m)
	if err != nil {
		return err
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(raw, &members); err != nil {
		return err
	}
	for _, name := range append(client.MemberNames(), slices.Sorted(maps.Keys(m.Localized))...) {
		value, ok := members[name]
		switch {
		case name == "jwks" && ok:
			line(name, keysText(value))
		case ok:
			line(name, valueText(value))
		}
	}
	return nil
}

// valueText is a JSON value for people: strings and lists of them without their marks.
func valueText(raw json.RawMessage) string {
	var text string
	var list []string
	switch {
	case json.Unmarshal(raw, &text) == nil:
		return text
	case json.Unmarshal(raw, &list) == nil:
		return or(strings.Join(list, " "), "-")
	}
	return string(raw)
}

// keysText names the keys of a set that this server can verify with.
func keysText(raw json.RawMessage) string {
	set, err := jose.ParseKeySet(raw, client.MaxKeys)
	if err != nil {
		return "cannot be read: " + jose.Detail(err)
	}
	var names []string
	for _, key := range set.Keys {
		names = append(names, fmt.Sprintf("%s (%s)", or(key.Kid(), "no kid"), key.Alg()))
	}
	return strings.Join(names, ", ")
}

func fetchedText(uri string, last *client.FetchedKeySet) string {
	if last == nil || last.URI != uri {
		return "never"
	}
	return moment(last.At) + ": " + keysText(last.Raw)
}

func lifetimeText(t time.Duration) string {
	if t == 0 {
		return "the server's own"
	}
	return t.String()
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// moment is a time for people, the same everywhere.
func moment(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05Z") }

// listing prints records page by page.
type listing[Record any] interface {
	page(records []Record) error
	end() error
}

// printAll prints records page by page, so that it does not matter how many there are. next lists a page of them, from the
// first behind an id on, and the last id of it.
func printAll[Record any](list listing[Record], next func(after string) (page []Record, last string, err error)) error {
	for after := ""; ; {
		page, last, err := next(after)
		if err != nil {
			return err
		}
		if err := list.page(page); err != nil {
			return err
		}
		if len(page) < pageSize {
			return list.end()
		}
		after = last
	}
}

// lastOf is the last record of a page; zero when that is empty.
func lastOf[Record any](page []Record) (last Record) {
	if len(page) > 0 {
		last = page[len(page)-1]
	}
	return last
}

// clientTable prints a line for each client, under one head.
type clientTable struct {
	w      io.Writer
	headed bool
}

func (t *clientTable) page(clients []store.ListedClient) error {
	table := tabwriter.NewWriter(t.w, 0, 0, 3, ' ', 0)
	if !t.headed {
		fmt.Fprintln(table, "CLIENT_ID\tSTATUS\tUPDATED\tGRANTS\tSETTINGS\tNAME")
	}
	t.headed = true
	for _, c := range clients {
		grants := strings.Join(c.Metadata.GrantTypes, " ")
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", clean(c.ID), shownOf(c).Status, moment(c.UpdatedAt), or(grants, "-"),
			or(settingsText(c.Client), "-"), or(clean(c.Metadata.ClientName), "-"))
	}
	return table.Flush()
}

func (t *clientTable) end() error { return nil }

// settingsText names what the operator has set for a client.
func settingsText(c client.Client) string {
	var set []string
	if c.TokenLifetime != 0 {
		set = append(set, "tokens live "+c.TokenLifetime.String())
	}
	if c.AssertionAudience == client.IssuerOrEndpoint {
		set = append(set, string(c.AssertionAudience))
	}
	if c.Unbound {
		set = append(set, "unbound")
	}
	if c.Registrar {
		set = append(set, "registrar")
	}
	if len(c.Serves) > 0 {
		set = append(set, "serves "+plural(len(c.Serves), "audience"))
	}
	return strings.Join(set, ", ")
}

// clientArray prints one JSON array, a client on each line.
type clientArray struct{ jsonArray }

func (a *clientArray) page(clients []store.ListedClient) error {
	for _, c := range clients {
		whole, err := asJSON(c, shownOf(c))
		if err != nil {
			return err
		}
		if err := a.add(whole); err != nil {
			return err
		}
	}
	return nil
}

// jsonArray prints one JSON array, an element on each line.
type jsonArray struct {
	w     io.Writer
	begun bool
}

func (a *jsonArray) add(element any) error {
	whole, err := json.Marshal(element)
	if err != nil {
		return err
	}
	before := ",\n"
	if !a.begun {
		before = "[\n"
	}
	a.begun = true
	_, err = fmt.Fprintf(a.w, "%s%s", before, whole)
	return err
}

func (a *jsonArray) end() error {
	last := "\n]"
	if !a.begun {
		last = "[]"
	}
	_, err := fmt.Fprintln(a.w, last)
	return err
}
