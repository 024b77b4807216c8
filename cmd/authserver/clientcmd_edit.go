package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"

	"authserver/internal/audit"
	"authserver/internal/client"
	"authserver/internal/dcr"
	"authserver/internal/jose"
	"authserver/internal/oauth"
)

// clientFlags are the members of a client. One that is not given stays as it is, or has its default.
type clientFlags struct {
	Name        *string  `placeholder:"TEXT" help:"Its name for people."`
	Scope       *string  `placeholder:"SCOPE …" help:"Its scopes, with spaces between. New and unset: all but those of registration."`
	GrantType   []string `sep:"none" placeholder:"GRANT" help:"client_credentials, authorization_code, refresh_token, urn:ietf:params:oauth:grant-type:jwt-bearer; may be repeated."`
	RedirectURI []string `name:"redirect-uri" sep:"none" placeholder:"URI" help:"Where a browser may be sent; may be repeated."`
	JWKS        string   `name:"jwks" xor:"keys" type:"path" placeholder:"FILE" help:"File with its public keys: a JWK Set, or one key in PEM."`
	JWKSURI     string   `name:"jwks-uri" xor:"keys" placeholder:"URL" help:"Where it publishes them."`
	Metadata    string   `type:"path" placeholder:"FILE" help:"JSON object of metadata (RFC 7591) for all that has no flag; null takes a member away."`

	TokenLifetime     *span    `placeholder:"DURATION" help:"How long its access tokens live, 30s to 15m; 0: the server's own. Up to 1h for those in its own name that are bound to its certificate."`
	AssertionAudience *string  `placeholder:"issuer|issuer_or_endpoint" help:"What its assertions may name as aud."`
	Unbound           *bool    `negatable:"" help:"Let it have Bearer tokens in its own name, without proof of possession."`
	Registrar         *bool    `negatable:"" help:"Let it register others, with a token of the scope client.create."`
	Serves            []string `sep:"none" placeholder:"URI" help:"Audience whose tokens it may introspect, as a resource server; may be repeated. Empty: none."`
}

type clientCreateCmd struct {
	judgingTarget     `embed:""`
	ID                string      `name:"id" placeholder:"CLIENT_ID" help:"Chosen client_id. Unset: 43 random characters."`
	Members           clientFlags `embed:""`
	RegistrationToken bool        `help:"Make a registration access token, shown once, by which it may manage itself (RFC 7592)."`
	JSON              bool        `name:"json" help:"Print JSON."`
}

// Run registers the client and shows it as it is stored.
func (c *clientCreateCmd) Run(ctx context.Context, out *streams, src *sources) error {
	r, err := c.openRegistry(ctx, out, src)
	if err != nil {
		return err
	}
	defer r.close()
	token := oauth.NewSecret()
	record := client.Client{ID: c.ID, IssuedAt: r.now, RegistrationTokenHash: token.Hash()}
	if !c.RegistrationToken {
		token = "" // nobody has it
	}
	if c.ID == "" {
		record.ID = oauth.NewID()
	}
	if err := c.Members.edit(&record, r.rules); err != nil {
		return err
	}
	if err := r.refuseNamesOfIssuers(ctx, record); err != nil {
		return err
	}
	added, err := r.store.AddClient(ctx, record)
	if err != nil {
		return sentence(err)
	}
	if !added {
		if _, err := r.findClient(ctx, record.ID); err != nil {
			return err
		}
		return exitError{exitFailed, fmt.Sprintf("there is a client %q already", record.ID)}
	}
	r.record(audit.ClientRegistered, record)
	return r.showClient(ctx, out.Stdout, record.ID, token, c.JSON)
}

type clientUpdateCmd struct {
	judgingTarget `embed:""`
	ID            string      `arg:"" name:"client_id"`
	Members       clientFlags `embed:""`
	JSON          bool        `name:"json" help:"Print JSON."`
}

// Run changes the client and shows it as it is then.
func (u *clientUpdateCmd) Run(ctx context.Context, out *streams, src *sources) error {
	if reflect.ValueOf(u.Members).IsZero() {
		return exitError{exitUsage, "nothing to change was named; authserver client update --help lists the flags"}
	}
	r, err := u.openRegistry(ctx, out, src)
	if err != nil {
		return err
	}
	defer r.close()
	err = r.change(ctx, u.ID, audit.ClientUpdated, func(c *client.Client) error { return u.Members.edit(c, r.rules) })
	if err != nil {
		return err
	}
	return r.showClient(ctx, out.Stdout, u.ID, "", u.JSON)
}

// edit gives the client what the flags say, and judges it by the rules of registration. Metadata that no flag touches is
// not judged again: the rules may have changed since it was registered.
func (f clientFlags) edit(c *client.Client, rules dcr.Rules) error {
	given, refused, wrong := f.metadata()
	if isNew(c) {
		wrong = append(wrong, client.CheckID(c.ID))
	}
	if given != nil && (isNew(c) || len(given) > 0) {
		wrong = append(wrong, setMetadata(c, given, rules, refused...)...)
	}
	f.editOperators(c)
	return usageError(append(wrong, c.CheckOperator()...))
}

// isNew tells whether the client is not stored yet.
func isNew(c *client.Client) bool { return c.Version == 0 }

// editOperators sets what is no metadata.
func (f clientFlags) editOperators(c *client.Client) {
	if f.TokenLifetime != nil {
		c.TokenLifetime = time.Duration(*f.TokenLifetime)
	}
	if f.AssertionAudience != nil {
		c.AssertionAudience = client.AudienceRule(*f.AssertionAudience)
	}
	if f.Unbound != nil {
		c.Unbound = *f.Unbound
	}
	if f.Registrar != nil {
		c.Registrar = *f.Registrar
	}
	if f.Serves != nil {
		c.Serves = withoutEmpty(f.Serves)
	}
}

// metadata is what the file and the flags give of the metadata, without the members that are refused here; a flag goes
// before the file. A file that cannot be read leaves nothing to be judged: nil.
func (f clientFlags) metadata() (given map[string]json.RawMessage, refused []string, wrong []error) {
	given = map[string]json.RawMessage{}
	if f.Metadata != "" {
		given, wrong = readMetadata(f.Metadata)
	}
	keys, err := f.keySet()
	if err != nil {
		refused, wrong = append(refused, "jwks"), append(wrong, err)
	}
	if given == nil {
		return nil, refused, wrong
	}
	set := func(name string, value any) {
		given[name], _ = json.Marshal(value) // strings and lists of them
	}
	if f.Name != nil {
		set("client_name", *f.Name)
	}
	if f.Scope != nil {
		set("scope", *f.Scope)
	}
	if f.GrantType != nil {
		set("grant_types", withoutEmpty(f.GrantType))
	}
	if f.RedirectURI != nil {
		set("redirect_uris", withoutEmpty(f.RedirectURI))
	}
	if f.JWKSURI != "" {
		set("jwks_uri", f.JWKSURI)
		delete(given, "jwks")
	}
	if f.JWKS != "" {
		given["jwks"] = keys
		delete(given, "jwks_uri")
	}
	return given, refused, wrong
}

func (f clientFlags) keySet() (json.RawMessage, error) {
	if f.JWKS == "" {
		return nil, nil
	}
	return readKeySet(f.JWKS, "", false)
}

// readMetadata reads a file of metadata. A member that no client has is refused here: a person may have mistyped it.
func readMetadata(path string) (map[string]json.RawMessage, []error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, []error{err}
	}
	object, err := jose.ParseObject(text)
	if err != nil {
		return nil, []error{fmt.Errorf("%s must be one strict JSON object: %s", path, jose.Detail(err))}
	}
	given := map[string]json.RawMessage{}
	var wrong []error
	for _, name := range object.Names() {
		if slices.Contains(operatorNames(), name) {
			wrong = append(wrong, fmt.Errorf("%s is no metadata; it has a flag of its own", name))
		} else if err := checkMember(name, metadataMembers()); err != nil {
			wrong = append(wrong, err)
		} else {
			given[name], _ = object.Raw(name)
		}
	}
	return given, wrong
}

// metadataMembers are the names of metadata. The rules know the last one too, and say why they refuse it.
func metadataMembers() []string { return append(client.MemberNames(), "software_statement") }

// checkMember wants a known name, or one of those in another language (client_name#fr).
func checkMember(name string, known []string) error {
	if plain, _, _ := strings.Cut(name, "#"); slices.Contains(known, plain) {
		return nil
	}
	return fmt.Errorf("%s is no member here; did you mean %s?", name, nearest(name, known))
}

// setMetadata puts what is given into the client's metadata, as the rules of registration let it, or tells all that is wrong
// with it. What may only come of a member that was refused before is not told.
func setMetadata(c *client.Client, given map[string]json.RawMessage, rules dcr.Rules, refused ...string) []error {
	members := map[string]json.RawMessage{}
	if !isNew(c) {
		now, err := json.Marshal(c.Metadata)
		if err != nil {
			return []error{err}
		}
		if err := json.Unmarshal(now, &members); err != nil {
			return []error{err}
		}
	}
	delete(members, "response_types") // they follow from grant_types
	for one, other := range map[string]string{"jwks": "jwks_uri", "jwks_uri": "jwks"} {
		if keys, replaced := given[one]; replaced && string(keys) != "null" {
			delete(members, other)
		}
	}
	if _, another := given["token_endpoint_auth_method"]; another || len(subjectsOf(given)) > 0 {
		for _, name := range subjectsOf(members) {
			delete(members, name)
		}
	}
	maps.Copy(members, given)
	body, err := json.Marshal(members)
	if err != nil {
		return []error{err}
	}
	metadata, wrong := rules.Judge(body, c.ID, refused...)
	if len(wrong) > 0 {
		for i := range wrong {
			wrong[i] = sentence(wrong[i])
		}
		return wrong
	}
	if !isNew(c) && c.Metadata.Scope == "" && given["scope"] == nil {
		metadata.Scope = "" // the rules' default is for a client that is new
	}
	c.Metadata = metadata
	return nil
}

// subjectsOf are the members that say which certificate is the client's: one takes the place of another.
func subjectsOf(members map[string]json.RawMessage) (names []string) {
	for name := range members {
		if strings.HasPrefix(name, "tls_client_auth_") {
			names = append(names, name)
		}
	}
	return names
}

// sentence is what a refusal says to the client's developer, without its reason.
func sentence(err error) error {
	var refusal *oauth.Error
	if errors.As(err, &refusal) {
		return errors.New(refusal.Description)
	}
	return err
}

// usageError is one error for all that is wrong with what the operator gave, or nil.
func usageError(wrong []error) error {
	var lines []string
	for _, err := range wrong {
		if err != nil {
			lines = append(lines, err.Error())
		}
	}
	switch len(lines) {
	case 0:
		return nil
	case 1:
		return exitError{exitUsage, lines[0]}
	}
	return exitError{exitUsage, plural(len(lines), "problem") + ":\n  " + strings.Join(lines, "\n  ")}
}

// withoutEmpty makes a flag that is given as empty a list of nothing.
func withoutEmpty(list []string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return s == "" })
}
