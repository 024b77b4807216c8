package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"authserver/internal/certificate"
	"authserver/internal/jose"
	"authserver/internal/oauth"
	"authserver/internal/replay"
)

// assertionType is the one client_assertion_type (RFC 7523 §2.2).
const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// maxTrials bounds how many keys are tried for one token without a kid.
const maxTrials = 10

// Authenticator proves which client a request comes from.
type Authenticator struct {
	Issuer         string              // the audience of an assertion (FAPI 2.0 Security Profile §5.3.2.1-8)
	Origins        []string            // scheme and host of the public URLs, and of those of mutual TLS
	TokenEndpoints []string            // with the endpoint that is called, what IssuerOrEndpoint lets a client name instead
	Anchors        certificate.Anchors // of tls_client_auth; nil: mutual TLS is not offered
	Records        *Records
	KeySets        *KeySets
}

// Caller is a client, and what proved it, if that is good for one use and still to be spent: a certificate is not.
type Caller struct {
	Client  Client
	Uses    []replay.Use
	Voucher replay.Voucher // of whose assertion is the request's grant, where one is
}

// Authenticate returns the client that the request's assertion proves or, when it has none, its certificate. Beside an
// assertion a certificate says nothing of who is calling. It changes nothing: the caller spends the Uses, with whatever else
// the request bears, through Records.Spend.
func (a *Authenticator) Authenticate(ctx context.Context, r *http.Request, form oauth.Form, now time.Time) (Caller, error) {
	asserts, err := isAsserted(r, form)
	switch {
	case err != nil:
		return Caller{}, err
	case asserts:
		return a.byAssertion(ctx, r, form, now)
	}
	return a.byCertificate(ctx, r, form.Get("client_id"), now)
}

// byAssertion is private_key_jwt.
func (a *Authenticator) byAssertion(ctx context.Context, r *http.Request, form oauth.Form, now time.Time) (Caller, error) {
	token, err := parseAssertion(form.Get("client_assertion"))
	if err != nil {
		return Caller{}, err
	}
	says, err := a.readAssertion(token.Unverified(), r.URL.EscapedPath(), now)
	if err != nil {
		return Caller{}, err
	}
	if id := form.Get("client_id"); id != "" && id != says.clientID {
		return Caller{}, oauth.Refuse(oauth.AssertionClientID, "client_id and the assertion's sub must be the same")
	}
	c, err := a.prove(ctx, token, says.clientID, now)
	if err != nil {
		return Caller{}, err
	}
	if says.atEndpoint && c.AssertionAudience != IssuerOrEndpoint {
		return Caller{}, a.Records.Doubt(ctx, c, a.wrongAudience(anEndpoint))
	}
	return Caller{Client: c, Uses: []replay.Use{replay.NewUse(replay.Assertion, c.ID, says.jti, says.expires)}}, nil
}

// isAsserted tells whether the request bears an assertion. Shared secrets are refused, and more than one way at once (RFC 6749
// §2.3); what a certificate may be for besides makes it no second way.
func isAsserted(r *http.Request, form oauth.Form) (bool, error) {
	asserts := form.Get("client_assertion") != "" || form.Get("client_assertion_type") != ""
	header, secret := r.Header.Get("Authorization"), form.Get("client_secret") != ""
	switch {
	case len(r.Header.Values("Authorization")) > 1:
		return false, oauth.Refuse(oauth.HeaderRepeated, "Authorization was sent more than once")
	case asserts && (header != "" || secret), header != "" && secret:
		return false, oauth.Refuse(oauth.ClientAuthAmbiguous, "the request authenticates in more than one way; send client_assertion alone")
	case header != "":
		refusal := oauth.Refuse(oauth.ClientAuthMethod, "the Authorization header does not authenticate clients here; send client_assertion (private_key_jwt)")
		if scheme, _, _ := strings.Cut(header, " "); strings.EqualFold(scheme, "Basic") {
			// RFC 6749 §5.2: a client that tried a scheme is answered with that scheme.
			refusal = refusal.Challenged("Basic", "realm", "client authentication")
		}
		return false, refusal
	case secret:
		return false, oauth.Refuse(oauth.ClientAuthMethod, "client_secret does not authenticate clients here; send client_assertion (private_key_jwt)")
	case !asserts:
		return false, nil
	case form.Get("client_assertion_type") != assertionType:
		return true, oauth.Refuse(oauth.AssertionType, "client_assertion_type must be %s", assertionType)
	case form.Get("client_assertion") == "":
		return true, oauth.Refuse(oauth.ClientAuthMissing, "client_assertion_type came without client_assertion")
	}
	return true, nil
}

// prove finds the client and verifies the assertion with its keys. The answer depends on our records, so every failure is
// the same refusal after the same work: one signature check, with a decoy where there is no key.
func (a *Authenticator) prove(ctx context.Context, token *jose.JWS, id string, now time.Time) (Client, error) {
	c, found, err := a.Records.Find(ctx, id)
	if err != nil {
		return Client{}, err
	}
	var from KeySource
	var why error
	switch {
	case !found:
		why = errors.New("unknown or deleted")
	case c.Metadata.TokenEndpointAuthMethod != PrivateKeyJWT:
		why = errors.New("registered for another authentication method")
	default:
		from = c.KeySource()
	}
	registered := jose.Alg(c.Metadata.TokenEndpointAuthSigningAlg)
	if _, err := a.KeySets.Verify(ctx, from, token, registered, now); why == nil {
		why = err
	}
	if why == nil {
		return c, nil
	}
	refusal := notProven(fmt.Errorf("client %q: %w", clip(id), why))
	if found { // perhaps in memory and since changed
		refusal = a.Records.Doubt(ctx, c, refusal)
	}
	return Client{}, refusal
}

func notProven(cause error) error {
	return oauth.Refuse(oauth.ClientNotProven,
		"the assertion does not prove a registered client: check client_id, kid, the registered keys and signing algorithm").Because(cause)
}

// clip bounds what a stranger may write into the log.
func clip(s string) string { return s[:min(len(s), 128)] }
