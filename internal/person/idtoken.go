package person

import (
	"context"
	"slices"
	"strings"
	"time"
	"unicode"

	"authserver/internal/oauth"

	"github.com/coreos/go-oidc/v3/oidc"
)

const (
	// clockLeeway is how far the upstream's clock may be apart from this one.
	clockLeeway = 10 * time.Second

	maxClaim  = 255 // characters of sub (OpenID Connect Core §2) and of acr
	maxAMR    = 20
	maxShown  = 100 // characters of a name
	maxSecond = 1 << 40
)

// idTokenAlgs are the algorithms that an upstream may sign with: those with a public key. Few sign as FAPI asks, and the
// ID token comes straight from the upstream, over TLS.
var idTokenAlgs = []string{
	oidc.PS256, oidc.ES256, oidc.EdDSA, oidc.RS256, oidc.RS384, oidc.RS512, oidc.ES384, oidc.ES512, oidc.PS384, oidc.PS512,
}

// claims are those of an ID token whose signature, issuer, audience and exp were right.
type claims struct {
	Subject  string    `json:"-"`
	Audience []string  `json:"-"`
	IssuedAt time.Time `json:"-"`
	Nonce    string    `json:"-"`

	AuthorizedParty   string   `json:"azp"`
	AuthTime          *float64 `json:"auth_time"`
	ACR               string   `json:"acr"`
	AMR               []string `json:"amr"`
	PreferredUsername string   `json:"preferred_username"`
	Name              string   `json:"name"`
	Email             string   `json:"email"`
}

// verify returns the claims of an ID token that the upstream signed for us (OpenID Connect Core §3.1.3.7).
func (d *discovery) verify(ctx context.Context, raw, clientID string, now time.Time) (claims, error) {
	keys := &witness{KeySet: d.keys}
	verifier := oidc.NewVerifier(d.issuer, keys, &oidc.Config{
		ClientID: clientID, SupportedSigningAlgs: idTokenAlgs, Now: func() time.Time { return now },
	})
	token, err := verifier.Verify(ctx, raw)
	switch {
	case keys.err != nil:
		return claims{}, failed(keys.err)
	case err != nil:
		return claims{}, unproven("%w", err)
	}
	c := claims{Subject: token.Subject, Audience: token.Audience, IssuedAt: token.IssuedAt, Nonce: token.Nonce}
	if err := token.Claims(&c); err != nil {
		return claims{}, unproven("%w", err)
	}
	return c, nil
}

// witness remembers why a signature was not verified, which the verifier's error does not wrap: keys that cannot be
// fetched are no forged token.
type witness struct {
	oidc.KeySet
	err error
}

func (w *witness) VerifySignature(ctx context.Context, jwt string) ([]byte, error) {
	payload, err := w.KeySet.VerifySignature(ctx, jwt)
	w.err = err
	return payload, err
}

// judge holds the claims against what was wished for. What the upstream does not say is not made up: no acr is "".
func (c claims) judge(s UpstreamSettings, w Wish, now time.Time) (Arrived, error) {
	switch {
	case !isPrintable(c.Subject):
		return Arrived{}, unproven("sub is not 1 to 255 printable ASCII characters")
	case c.AuthorizedParty != "" && c.AuthorizedParty != s.ClientID:
		return Arrived{}, unproven("azp is %q, expected %q", c.AuthorizedParty, s.ClientID)
	case len(c.Audience) > 1 && c.AuthorizedParty == "":
		return Arrived{}, unproven("aud has %d members, and there is no azp", len(c.Audience))
	case c.ACR != "" && !isPrintable(c.ACR):
		return Arrived{}, unproven("acr is not 1 to 255 printable ASCII characters")
	case len(c.AMR) > maxAMR || slices.ContainsFunc(c.AMR, func(m string) bool { return !isPrintable(m) }):
		return Arrived{}, unproven("amr is not a list of up to 20 printable words")
	}
	at, err := c.authenticated(w, now)
	if err != nil {
		return Arrived{}, err
	}
	if len(w.ACRValues) > 0 && !slices.Contains(w.ACRValues, c.ACR) {
		return Arrived{}, tooWeak()
	}
	return Arrived{Identity: Identity{Issuer: s.Issuer, Subject: c.Subject}, Name: c.shown(), At: at, ACR: c.ACR, AMR: c.AMR}, nil
}

// authenticated is when the person authenticated, on this server's clock: the upstream's may differ by clockLeeway, and
// the browser was there neither before it departed nor after it arrived.
func (c claims) authenticated(w Wish, now time.Time) (time.Time, error) {
	at := c.IssuedAt
	if at.Unix() < 1 { // 0 where it is missing, or what no database takes
		return at, unproven("iat is missing, or no time in seconds")
	}
	if c.AuthTime != nil {
		if *c.AuthTime < 1 || *c.AuthTime > maxSecond {
			return at, unproven("auth_time is %g, no time in seconds", *c.AuthTime)
		}
		at = time.Unix(int64(*c.AuthTime), 0)
	}
	earliest, wished := w.earliest()
	switch {
	case wished && c.AuthTime == nil:
		return at, unproven("auth_time is missing, although it was asked for")
	case at.After(now.Add(clockLeeway)):
		return at, unproven("auth_time, or iat in its place, lies in the future: %s", at)
	case wished && at.Before(earliest.Add(-clockLeeway)):
		return at, unproven("auth_time is %s, expected %s or later", at, earliest)
	}
	if at.After(now) {
		at = now
	}
	if wished && at.Before(earliest) {
		at = earliest
	}
	return at, nil
}

func tooWeak() *oauth.Error {
	return oauth.Refuse(oauth.AuthenticationTooWeak, "the person signed in, but in none of the ways that were asked for")
}

// isPrintable tells whether s is 1 to 255 characters of printable ASCII, which the database, a header and a log take.
func isPrintable(s string) bool {
	return s != "" && len(s) <= maxClaim && !strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r > 0x7e })
}

// shown is the first name that the upstream knows, without what would change how a page reads.
func (c claims) shown() string {
	for _, name := range []string{c.PreferredUsername, c.Name, c.Email} {
		clean := strings.Map(func(r rune) rune {
			if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == unicode.ReplacementChar {
				return -1
			}
			return r
		}, name)
		runes := []rune(strings.TrimSpace(clean))
		if len(runes) > 0 {
			return string(runes[:min(len(runes), maxShown)])
		}
	}
	return ""
}
