package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"

	"authserver/internal/audit"
	"authserver/internal/issuer"
	"authserver/internal/jose"
	"authserver/internal/oauth"
	"authserver/internal/store"
	"authserver/internal/token"

	"go.yaml.in/yaml/v3"
)

type issuerAddCmd struct {
	judgingTarget `embed:""`
	Name          string      `arg:"" optional:"" name:"issuer" help:"Its iss."`
	Members       issuerFlags `embed:""`
	File          string      `type:"path" placeholder:"FILE" help:"YAML list of issuers, with the members that issuer list --json prints, in the place of all that."`
	Replace       bool        `help:"Change issuers that are there already to what is given here."`
	JSON          bool        `name:"json" help:"Print a JSON array."`
}

// Run trusts all or none. A second run of the same changes nothing.
func (a *issuerAddCmd) Run(ctx context.Context, out *streams, src *sources) error {
	byFlags := a.Name != "" || !reflect.ValueOf(a.Members).IsZero()
	if byFlags == (a.File != "") {
		return exitError{exitUsage, "name one issuer, with its flags, or --file with a list of them"}
	}
	r, err := a.openRegistry(ctx, out, src)
	if err != nil {
		return err
	}
	defer r.close()
	issuers, wrong, err := a.read()
	if err != nil {
		return err
	}
	for _, i := range issuers {
		if err := r.judgeGiven(ctx, i); err != nil {
			return err
		}
		wrong = append(wrong, i.wrong...)
	}
	if err := usageError(wrong); err != nil {
		return err
	}
	return a.add(ctx, r, out, issuers)
}

// judgeGiven puts what is wrong with a record where it was given.
func (r *registry) judgeGiven(ctx context.Context, i givenIssuer) error {
	if !i.readable {
		return nil
	}
	wrong, err := r.judge(ctx, i)
	for _, err := range wrong {
		i.refuse("%v", err)
	}
	return err
}

// givenIssuer is an issuer as it was given, and where it stood.
type givenIssuer struct {
	issuer.Issuer
	*entry
	readable bool
}

// read is what the flags or the file give.
func (a *issuerAddCmd) read() (issuers []givenIssuer, wrong []error, err error) {
	if a.File == "" {
		i, wrong := a.Members.issuer(a.Name)
		e := &entry{keysRefused: a.Members.JWKS != "" && i.JWKS == nil}
		return []givenIssuer{{i, e, true}}, wrong, nil
	}
	text, err := os.ReadFile(a.File)
	if err != nil {
		return nil, nil, exitError{exitUsage, err.Error()}
	}
	issuers, err = readIssuers(text)
	return issuers, nil, err
}

// add writes what has been judged, and tells what became of each.
func (a *issuerAddCmd) add(ctx context.Context, r *registry, out *streams, issuers []givenIssuer) error {
	var records []issuer.Issuer
	var names []string
	for _, i := range issuers {
		records, names = append(records, i.Issuer), append(names, i.Name)
	}
	outcomes, err := r.store.AddIssuers(ctx, records, a.Replace, r.now)
	if err != nil {
		return err
	}
	var differ []string
	for n, outcome := range outcomes {
		if outcome == store.Differs {
			differ = append(differ, names[n])
		}
	}
	if len(differ) > 0 {
		return exitError{exitFailed, "nothing was written: there already, and not as given here: " + strings.Join(differ, ", ") +
			"; --replace changes them"}
	}
	for n, i := range records {
		switch outcomes[n] {
		case store.Created:
			r.recordIssuer(audit.IssuerAdded, i)
		case store.Updated:
			r.recordIssuer(audit.IssuerUpdated, i)
		}
	}
	return printOutcomes(out.Stdout, "issuer", names, outcomes, a.JSON)
}

// issuer is the record that the flags give.
func (f issuerFlags) issuer(name string) (issuer.Issuer, []error) {
	i := issuer.New(name)
	var wrong []error
	switch {
	case f.JWKS != "":
		var err error
		if i.JWKS, err = readKeySet(f.JWKS, f.Kid, true); err != nil {
			wrong = append(wrong, err)
		}
	case f.Kid != "":
		wrong = append(wrong, errors.New("--kid names the key of a PEM file, which --jwks must name"))
	}
	i.JWKSURI, i.Clients, i.Audiences, i.Subjects = f.JWKSURI, f.Client, f.Audience, f.Subject
	i.RequireJTI = f.RequireJTI != nil && *f.RequireJTI
	i.Scopes = strings.Fields(f.Scope)
	if f.Alg != nil {
		i.Algs = algsOf(f.Alg)
	}
	for set, value := range map[*time.Duration]*span{&i.MaxLifetime: f.MaxLifetime, &i.TokenLifetime: f.TokenLifetime} {
		if value != nil {
			*set = time.Duration(*value)
		}
	}
	for set, value := range map[*bool]*bool{
		&i.RequireClientAuthentication: f.RequireClientAuthentication, &i.RequireBinding: f.RequireBinding,
	} {
		if value != nil {
			*set = *value
		}
	}
	return i, wrong
}

// algsOf are the algorithms of these names; one that is none stays as it is, for whoever judges it.
func algsOf(names []string) (algs []jose.Alg) {
	for _, name := range names {
		alg, known := jose.ParseAlg(name)
		if !known {
			alg = jose.Alg(name)
		}
		algs = append(algs, alg)
	}
	return algs
}

// judge tells all that is wrong with a record in this deployment.
func (r *registry) judge(ctx context.Context, i givenIssuer) ([]error, error) {
	check := i.Check
	if i.keysRefused {
		check = i.CheckBesideKeys
	}
	wrong := check(r.rules.Vetting)
	refuse := func(format string, args ...any) { wrong = append(wrong, fmt.Errorf(format, args...)) }
	for _, scope := range i.Scopes {
		if !slices.Contains(r.rules.Scopes, scope) {
			refuse("the scope %s is none of this deployment; AUTHSERVER_SCOPES adds it", scope)
		}
	}
	for _, name := range append([]string{i.Name}, i.Subjects...) {
		taken, err := r.store.NamesClient(ctx, name)
		if err != nil {
			return nil, err
		}
		if taken && !slices.Contains(i.Clients, name) { // one of its own clients has been told of
			refuse("%q is or was the id of a client, and so nobody else's name", name)
		}
	}
	for _, id := range i.Clients {
		c, found, err := r.store.FindClient(ctx, id)
		switch {
		case err != nil:
			return nil, err
		case !found:
			refuse("there is no client %q", id)
		case !c.May(token.JWTBearer):
			refuse("the client %q is not registered for the grant type %s", id, token.JWTBearer)
		case !slices.ContainsFunc(i.Scopes, c.Scope().Has):
			refuse("the client %q is registered for none of the scopes", id)
		}
	}
	return wrong, nil
}

// readIssuers reads a YAML list of issuers. What is wrong with one of them stands with it.
func readIssuers(text []byte) ([]givenIssuer, error) {
	nodes, err := readNodes(text, "issuers")
	if err != nil {
		return nil, err
	}
	var issuers []givenIssuer
	lines := map[string]int{}
	for n := range nodes {
		e := &entry{what: "issuer", line: nodes[n].Line}
		i, ok := e.readIssuer(nodes[n])
		if before, twice := lines[i.Name]; twice && i.Name != "" {
			e.refuse("the issuer stands in line %d already", before)
		}
		lines[i.Name] = e.line
		issuers = append(issuers, givenIssuer{i, e, ok})
	}
	return issuers, nil
}

// readIssuer makes a record of an entry, on top of the defaults; ok is false when there is nothing to be judged.
func (e *entry) readIssuer(node *yaml.Node) (i issuer.Issuer, ok bool) {
	if !e.decode(node) {
		return i, false
	}
	var name, scope, pem, kid string
	e.take("issuer", "a string", &name)
	e.id = name
	i = issuer.New(name)
	var algs []string
	maxLifetime, tokenLifetime := span(i.MaxLifetime), span(i.TokenLifetime)
	e.take("jwks", "a JWK Set", &i.JWKS)
	pemRead, kidRead := e.take("public_key", "a public key in PEM", &pem), e.take("kid", "a string", &kid)
	e.take("jwks_uri", "a string", &i.JWKSURI)
	e.take("algs", "a list of strings", &algs)
	e.take("audiences", "a list of strings", &i.Audiences)
	e.take("max_lifetime", "a number of seconds, or a duration such as 10m", &maxLifetime)
	e.take("subjects", "a list of strings", &i.Subjects)
	e.take("require_jti", "true or false", &i.RequireJTI)
	e.take("clients", "a list of strings", &i.Clients)
	e.take("scope", "a string", &scope)
	e.take("token_lifetime", "a number of seconds, or a duration such as 10m", &tokenLifetime)
	e.take("require_client_authentication", "true or false", &i.RequireClientAuthentication)
	e.take("require_binding", "true or false", &i.RequireBinding)
	i.MaxLifetime, i.TokenLifetime = time.Duration(maxLifetime), time.Duration(tokenLifetime)
	i.Scopes = oauth.Scope(strings.Fields(scope))
	if algs != nil {
		i.Algs = algsOf(algs)
	}
	if e.keysRefused = !pemRead || !kidRead; !e.keysRefused {
		e.readPublicKey(&i, pem, kid)
	}
	e.refuseUnknown()
	return i, true
}

// readPublicKey puts a key in PEM where a JWK Set would stand.
func (e *entry) readPublicKey(i *issuer.Issuer, pem, kid string) {
	switch {
	case pem == "" && kid != "":
		e.refuse("kid names the key of public_key, which is missing")
	case pem != "" && i.JWKS != nil:
		e.refuse("the issuer's keys must be in jwks or in public_key, and not in both")
	case pem != "":
		jwks, err := keySetOfPEM([]byte(pem), kid)
		if err == nil && kid == "" {
			err = errors.New("kid is missing: it must say what the issuer's assertions call this key")
		}
		if err != nil {
			e.refuse("public_key: %v", err)
		}
		i.JWKS, e.keysRefused = jwks, err != nil
	}
}

// refuseUnknown refuses what is left of the members, but for what issuer list --json prints of the server's own.
func (e *entry) refuseUnknown() {
	for _, name := range []string{"added_at", "updated_at", "version"} {
		delete(e.members, name)
	}
	known := []string{"public_key", "kid"}
	for field := range reflect.TypeFor[issuerMembers]().Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		known = append(known, name)
	}
	for _, name := range slices.Sorted(maps.Keys(e.members)) {
		if err := checkMember(name, known); err != nil {
			e.refuse("%v", err)
		}
	}
}
