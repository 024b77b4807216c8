package grant

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"time"

	"authserver/internal/fdx"
)

// The life of an authorization code (FAPI 2.0 Security Profile §5.3.2.1-11, and requirement AC-03).
const (
	CodeLifetime = 60 * time.Second
	CodeFailures = 5 // the one that ends the code
)

// Code is an authorization code as the store keeps it, beside its hash.
type Code struct {
	ClientID      string
	RedirectURI   string
	CodeChallenge string
	JKT           string // the key that must redeem it; "": any
	Nonce         string // of the request, for the ID token; "": it had none
	ExpiresAt     time.Time
	Failures      int   // wrong tries of its own client
	Spent         bool  // redeemed, or ended by failures
	Redeemed      bool  // tokens were given for it
	Grant         Grant // that it was given for
	GrantEnded    bool  // revoked, or its person disabled, whether or not anybody has redeemed the code
}

// Attempt is a try to redeem a code, by a client that has been authenticated.
type Attempt struct {
	ClientID    string
	RedirectURI string
	Verifier    string
	JKT         string
	Resources   []string      // that the token is asked for; nil: all of the grant's
	Unnamed     string        // the resource of a grant that names none
	Details     fdx.Details   // that the token is asked for; nil: all of the grant's
	Lifetime    time.Duration // of the access token, where the grant lasts long enough
	Unsealed    error         // why no ID token can be made for the client as it registered; nil: it can

	InteractionID string // x-fapi-interaction-id of the request
}

// Redemption is what became of an attempt.
type Redemption struct {
	Outcome  Outcome
	Failures int    // wrong tries so far, this one included; with CodeFailures the code has ended
	Beyond   error  // of WrongDetails: what goes beyond the grant
	Nonce    string // of Redeemed: what the ID token must bear; "": nothing
}

// Outcome is how an attempt ended.
type Outcome string

// The outcomes. Only Redeemed gives tokens.
const (
	Redeemed      Outcome = "redeemed"
	CodeUnknown   Outcome = "code_unknown" // also another client's, which must not learn that there is one
	CodeExpired   Outcome = "code_expired"
	CodeReplayed  Outcome = "code_replayed" // its grant is revoked with all its tokens (RFC 6749 §4.1.2)
	WrongVerifier Outcome = "wrong_verifier"
	WrongRedirect Outcome = "wrong_redirect_uri"
	WrongKey      Outcome = "wrong_key"
	WrongResource Outcome = "wrong_resource" // beyond the grant's (RFC 8707 §2.2)
	WrongDetails  Outcome = "wrong_details"  // beyond the grant's (RFC 9396 §6)
	NoIDToken     Outcome = "no_id_token"    // of an attempt that is right; the code is as good as before
)

// Redeem judges an attempt at now and returns the code as it is afterwards.
func (c Code) Redeem(a Attempt, now time.Time) (Code, Redemption) {
	_, granted := c.Grant.Audience(a.Resources, a.Unnamed)
	_, beyond := c.Grant.Share(a.Details)
	switch {
	case a.ClientID != c.ClientID:
		return c, Redemption{Outcome: CodeUnknown}
	case c.Redeemed:
		return c, Redemption{Outcome: CodeReplayed}
	case c.Spent, c.GrantEnded:
		return c, Redemption{Outcome: CodeUnknown}
	case !now.Before(c.ExpiresAt):
		return c, Redemption{Outcome: CodeExpired}
	case a.RedirectURI == "" || a.RedirectURI != c.RedirectURI:
		return c.failed(WrongRedirect)
	case !c.verifies(a.Verifier):
		return c.failed(WrongVerifier)
	case c.JKT != "" && c.JKT != a.JKT:
		return c.failed(WrongKey)
	case !granted:
		return c.failed(WrongResource)
	case beyond != nil:
		after, r := c.failed(WrongDetails)
		r.Beyond = beyond
		return after, r
	case a.Unsealed != nil && c.Grant.HasIDToken():
		return c, Redemption{Outcome: NoIDToken}
	}
	c.Spent, c.Redeemed = true, true
	return c, Redemption{Outcome: Redeemed, Nonce: c.Nonce}
}

// failed counts a wrong try: a client may mend a mistake, nobody may guess.
func (c Code) failed(how Outcome) (Code, Redemption) {
	c.Failures++
	c.Spent = c.Failures >= CodeFailures
	return c, Redemption{Outcome: how, Failures: c.Failures}
}

// verifies compares the verifier with the challenge (RFC 7636 §4.6).
func (c Code) verifies(verifier string) bool {
	if !isVerifier(verifier) {
		return false
	}
	digest := sha256.Sum256([]byte(verifier))
	return subtle.ConstantTimeCompare([]byte(base64.RawURLEncoding.EncodeToString(digest[:])), []byte(c.CodeChallenge)) == 1
}

// isVerifier wants 43 to 128 unreserved characters (RFC 7636 §4.1).
func isVerifier(s string) bool {
	if len(s) < 43 || len(s) > 128 {
		return false
	}
	for _, r := range []byte(s) {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', r == '-', r == '.', r == '_', r == '~':
		default:
			return false
		}
	}
	return true
}
