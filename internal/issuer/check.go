package issuer

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"authserver/internal/client"
	"authserver/internal/jose"
	"authserver/internal/oauth"
)

// The bounds of a record's lists, and of the names in them in bytes.
const (
	maxName      = 256
	maxAudiences = 20
	maxSubjects  = 100
	maxClients   = 20

	minTokenLifetime = 30 * time.Second
)

// Check tells all that is wrong with a record, as far as it can be seen without the store.
func (i Issuer) Check(v client.Vetting) []error {
	c := &check{issuer: i, wrong: i.CheckBesideKeys(v)}
	c.keys(v)
	return c.wrong
}

// CheckBesideKeys is Check of a record whose keys could not be read, of which the operator has been told.
func (i Issuer) CheckBesideKeys(v client.Vetting) []error {
	c := &check{issuer: i}
	c.name(v)
	c.algs()
	c.assertions()
	c.tokens()
	return c.wrong
}

// check collects what is wrong with a record.
type check struct {
	issuer Issuer
	wrong  []error
}

func (c *check) refuse(format string, args ...any) {
	c.wrong = append(c.wrong, fmt.Errorf(format, args...))
}

func (c *check) name(v client.Vetting) {
	switch name := c.issuer.Name; {
	case !isName(name):
		c.refuse("the issuer must be 1 to %d visible ASCII characters", maxName)
	case slices.Contains(v.Own, name):
		c.refuse("the issuer must not be this server itself")
	}
}

func (c *check) algs() {
	algs := c.issuer.Algs
	if len(algs) == 0 {
		c.refuse("algs must name at least one of %s", strings.Join(jose.Algs(), ", "))
	}
	for n, alg := range algs {
		if known, ok := jose.ParseAlg(string(alg)); !ok || known != alg || slices.Contains(algs[:n], alg) {
			c.refuse("algs must be of %s, each once; it has %q", strings.Join(jose.Algs(), ", "), alg)
		}
	}
}

// keys wants exactly one source of keys, and in an inline set a key that assertions can name.
func (c *check) keys(v client.Vetting) {
	switch i := c.issuer; {
	case i.JWKS == nil && i.JWKSURI == "", i.JWKS != nil && i.JWKSURI != "":
		c.refuse("the issuer's keys must be in jwks or behind jwks_uri, and not in both")
	case i.JWKSURI != "":
		if err := v.CheckURI(i.JWKSURI); err != nil {
			c.refuse("jwks_uri: %w", err)
		}
	default:
		if err := checkInline(i); err != nil {
			c.refuse("jwks: %w", err)
		}
	}
}

func checkInline(i Issuer) error {
	set, err := jose.ParseKeySet(i.JWKS, client.MaxKeys)
	if err != nil {
		return errors.New(jose.Detail(err))
	}
	for _, skipped := range set.Skipped {
		if skipped.Defect.Kind == jose.PrivateKey {
			return fmt.Errorf("%s; a private key that was sent anywhere must not be used again", skipped.Defect.Detail)
		}
	}
	var kids []string
	fits := len(i.Algs) == 0
	for _, key := range set.Keys {
		if key.Kid() != "" && slices.Contains(kids, key.Kid()) {
			return fmt.Errorf("two keys share the kid %q", key.Kid())
		}
		kids = append(kids, key.Kid())
		fits = fits || key.Kid() != "" && slices.Contains(i.Algs, key.Alg())
	}
	if !fits {
		why := ""
		if len(set.Skipped) > 0 {
			why = ": " + set.Skipped[0].Defect.Detail
		}
		return fmt.Errorf("it has no public key with a kid for the algs %q%s", i.Algs, why)
	}
	return nil
}

// assertions judges what the issuer's assertions must be like.
func (c *check) assertions() {
	i := c.issuer
	c.names("audiences", i.Audiences, maxAudiences)
	c.names("subjects", i.Subjects, maxSubjects)
	if t := i.MaxLifetime; t < time.Second || t > MaxLifetime || t%time.Second != 0 {
		c.refuse("max_lifetime must be whole seconds up to %s; it is %s", MaxLifetime, t)
	}
	for _, subject := range i.SpeaksFor() {
		if looksLikeAPerson(subject) {
			c.refuse("the issuer may not speak for %q: an underscore at the beginning marks the people of this server", subject)
		}
	}
}

// tokens judges what the issuer's assertions are good for.
func (c *check) tokens() {
	i := c.issuer
	c.names("clients", i.Clients, maxClients)
	switch {
	case len(i.Clients) == 0:
		c.refuse("clients must name who may redeem the issuer's assertions")
	case len(i.Clients) > 1 && !i.RequireClientAuthentication:
		c.refuse("where client authentication is not demanded, clients must be the one that gets the tokens")
	}
	for _, id := range i.Clients {
		if id == i.Name || slices.Contains(i.Subjects, id) {
			c.refuse("the client %q must be neither the issuer nor a subject: its own tokens could not be told apart", id)
		}
	}
	if scope, err := oauth.ParseScope(i.Scopes.String()); err != nil || len(scope) == 0 {
		c.refuse("scopes must be at least one scope, each of printable ASCII without quote and backslash")
	}
	for _, scope := range i.Scopes {
		if !Grantable(scope) {
			c.refuse("no assertion opens the scope %s: it is a person's to give, or for registration", scope)
		}
	}
	if t := i.TokenLifetime; t < minTokenLifetime || t > MaxTokenLifetime || t%time.Second != 0 {
		c.refuse("token_lifetime must be whole seconds from %s to %s; it is %s", minTokenLifetime, MaxTokenLifetime, t)
	}
}

// names wants at most so many names, each once.
func (c *check) names(member string, names []string, most int) {
	if len(names) > most {
		c.refuse("%s must be at most %d", member, most)
	}
	for n, name := range names {
		if !isName(name) || slices.Contains(names[:n], name) {
			c.refuse("%s must be 1 to %d visible ASCII characters, each once; entry %d is %q", member, maxName, n+1, name)
		}
	}
}

// isName tells whether a name is free of what looks alike, or like nothing.
func isName(s string) bool {
	invisible := func(r rune) bool { return r < 0x21 || r > 0x7e }
	return s != "" && len(s) <= maxName && !strings.ContainsFunc(s, invisible)
}

// looksLikeAPerson tells whether a subject could be that of a person who signs in here.
func looksLikeAPerson(subject string) bool { return strings.HasPrefix(subject, "_") }

// Grantable tells whether a scope can be had without a person, and without being a client.
func Grantable(scope string) bool {
	for _, reserved := range []string{"fdx:", "client."} {
		if strings.HasPrefix(scope, reserved) {
			return false
		}
	}
	return scope != oauth.OpenID && scope != oauth.OfflineAccess
}
