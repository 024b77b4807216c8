package client

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

// AudienceRule is what the aud of a client's assertions may be.
type AudienceRule string

// The rules. FAPI 2.0 Security Profile §5.3.2.1-8 knows the first only; clients made for RFC 7523 §3 and RFC 9126 §2 name
// endpoints.
const (
	IssuerOnly       AudienceRule = "issuer"
	IssuerOrEndpoint AudienceRule = "issuer_or_endpoint"
)

// The bounds of how long access tokens live, in whole seconds.
const (
	MinTokenLifetime = 30 * time.Second
	// MaxTokenLifetime is where FDX's security model ends.
	MaxTokenLifetime = 15 * time.Minute
	// MaxCertifiedLifetime holds only for tokens in the client's own name that are bound to its certificate, as PayNet has
	// them. All others live for MaxTokenLifetime at most, whatever Client.TokenLifetime.
	MaxCertifiedLifetime = time.Hour
)

const maxServes = 20

// chosenID is a client_id that an operator may choose: it stands in URLs as it is, and looks like no other.
var chosenID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._~:@-]{0,127}$`)

// CheckID tells what is wrong with a client_id that the operator has chosen.
func CheckID(id string) error {
	if !chosenID.MatchString(id) {
		return errors.New("client_id must be 1 to 128 letters, digits and . _ ~ : @ -, of which the first is a letter or digit")
	}
	return nil
}

// CheckOperator tells all that is wrong with what only the operator sets for a client.
func (c Client) CheckOperator() []error {
	var wrong []error
	refuse := func(format string, args ...any) { wrong = append(wrong, fmt.Errorf(format, args...)) }
	if t := c.TokenLifetime; t != 0 && (t < MinTokenLifetime || t > MaxCertifiedLifetime || t%time.Second != 0) {
		refuse("token_lifetime must be whole seconds from %s to %s, or 0 for the server's own; it is %s",
			MinTokenLifetime, MaxCertifiedLifetime, t)
	}
	if rule := c.AssertionAudience; rule != "" && rule != IssuerOnly && rule != IssuerOrEndpoint {
		refuse("assertion_audience must be %s or %s; it is %q", IssuerOnly, IssuerOrEndpoint, rule)
	}
	if c.Unbound && c.mustBind() {
		refuse("unbound contradicts the client's metadata, which asks for bound tokens")
	}
	if len(c.Serves) > maxServes {
		refuse("serves must be at most %d audiences", maxServes)
	}
	for i, audience := range c.Serves {
		u, err := url.Parse(audience)
		if err != nil || !u.IsAbs() || strings.ContainsAny(audience, "# ") || slices.Contains(c.Serves[:i], audience) {
			refuse("serves must be absolute URIs without a fragment, each once; entry %d is %q", i+1, audience)
		}
	}
	return wrong
}

// mustBind tells whether the client itself registered that all its tokens are bound (RFC 9449 §5.2, RFC 8705 §3.4).
func (c Client) mustBind() bool {
	return c.Metadata.DPoPBoundAccessTokens || c.Metadata.CertificateBoundTokens
}

// BindsToCertificate tells whether the client registered that its tokens are bound to its certificate, and to no other key.
func (c Client) BindsToCertificate() bool {
	return c.Metadata.CertificateBoundTokens && !c.Metadata.DPoPBoundAccessTokens
}

// TokensMayBeUnbound tells whether a token request in the client's own name may come without proof of possession. What it
// registered for itself goes before what the operator allows.
func (c Client) TokensMayBeUnbound() bool { return c.Unbound && !c.mustBind() }
