package resource

import (
	"context"
	"crypto/subtle"
	"net/http"
	"strings"
	"time"

	"authserver/internal/accesstoken"
	"authserver/internal/certificate"
	"authserver/internal/dpop"
	"authserver/internal/jose"
	"authserver/internal/oauth"
	"authserver/internal/replay"
)

// Store spends proofs and knows which tokens have ended early.
type Store interface {
	Spend(ctx context.Context, s replay.Spend) (replay.Outcome, error)
	Denied(ctx context.Context, u replay.Use, clientID, grantID string) (denied bool, used *time.Time, err error)
}

// Guard stands before the protected resources of this server.
type Guard struct {
	Origins   []string // scheme and host of the public URLs, and of those of mutual TLS, for htu
	MutualTLS bool     // it is offered, so that challenges name the scheme of tokens that are bound to certificates
	Audiences []string // a token for any of these is for us
	Tokens    accesstoken.Tokens
	Proofs    dpop.Verifier
	Store     Store
}

// Admission is an access token whose bearer may pass, once its proof is spent. A certificate is no such proof.
type Admission struct {
	Token accesstoken.Token
	uses  []replay.Use
}

// Admit returns the access token of a request that may pass: its scope has at least one of those named, if any is.
func (g Guard) Admit(r *http.Request, now time.Time, anyOf ...string) (accesstoken.Token, error) {
	a, err := g.Verify(r, now, anyOf...)
	if err != nil {
		return accesstoken.Token{}, err
	}
	return a.Token, g.Spend(r.Context(), a)
}

// Verify is Admit without its last step, for a handler that has more to refuse before anything is used up. Who passes it
// has not passed yet: Spend may refuse.
func (g Guard) Verify(r *http.Request, now time.Time, anyOf ...string) (Admission, error) {
	a, err := g.verify(r, now, anyOf)
	return a, g.Challenged(err, anyOf...)
}

// Spend uses up the proof of an admission and then asks whether the token has ended early.
func (g Guard) Spend(ctx context.Context, a Admission) error { return g.Challenged(g.spend(ctx, a)) }

// Challenged adds to a refusal what a client must send: by which schemes, and which of the scopes anyOf, where it lacks
// them.
func (g Guard) Challenged(err error, anyOf ...string) error {
	refusal, ok := err.(*oauth.Error)
	if !ok {
		return err
	}
	var scope []string
	if refusal.Code() == oauth.InsufficientScope {
		scope = []string{"scope", strings.Join(anyOf, " ")}
	}
	refusal = refusal.Challenged("DPoP", append([]string{"algs", strings.Join(jose.Algs(), " ")}, scope...)...)
	if code := refusal.Code(); g.MutualTLS && code != oauth.InvalidDPoPProof && code != oauth.UseDPoPNonce {
		refusal = refusal.Challenged("Bearer", scope...)
	}
	return refusal
}

func (g Guard) verify(r *http.Request, now time.Time, anyOf []string) (Admission, error) {
	scheme, compact, err := credentials(r)
	if err != nil {
		return Admission{}, err
	}
	token, err := g.Tokens.Recognise(compact, now)
	if err != nil {
		return Admission{}, err
	}
	a := Admission{Token: token}
	switch {
	case !token.For(g.Audiences...):
		err = oauth.Refuse(oauth.TokenAudience, "the access token is for another resource")
	case token.Confirmation.X5T != "":
		err = checkCertificate(r, scheme, token.Confirmation.X5T, now)
	case token.Confirmation.JKT != "":
		a.uses, err = g.verifyProof(r, scheme, compact, token.Confirmation.JKT, now)
	default:
		err = oauth.Refuse(oauth.TokenUnbound, "the access token is bound to no key; this resource takes only tokens that are")
	}
	if err == nil && !hasAny(token, anyOf) {
		err = oauth.Refuse(oauth.ScopeInsufficient, "the access token needs the scope %s", strings.Join(anyOf, " or "))
	}
	if err != nil {
		return Admission{}, err
	}
	return a, nil
}

// verifyProof verifies that whoever brings the token holds the key of a thumbprint (RFC 9449 §7.1).
func (g Guard) verifyProof(r *http.Request, scheme, compact, jkt string, now time.Time) ([]replay.Use, error) {
	switch {
	case !strings.EqualFold(scheme, "DPoP"):
		return nil, oauth.Refuse(oauth.TokenScheme, "the access token is bound to a key; send it with the scheme DPoP and a proof")
	case !dpop.Has(r.Header):
		return nil, oauth.Refuse(oauth.TokenProofMissing, "the access token is bound to a key; send a DPoP header with a proof")
	}
	about := dpop.Of(r, g.Origins)
	about.AccessToken = compact
	proof, err := g.Proofs.Verify(r.Header, about, now)
	if err != nil {
		return nil, err
	}
	if subtle.ConstantTimeCompare([]byte(proof.Thumbprint), []byte(jkt)) != 1 {
		return nil, oauth.Refuse(oauth.TokenKey, "the proof's key is not the one that the access token is bound to")
	}
	return []replay.Use{proof.Use}, nil
}

// checkCertificate verifies that the token came over a connection with the certificate of a thumbprint (RFC 8705 §3).
func checkCertificate(r *http.Request, scheme, x5t string, now time.Time) error {
	if !strings.EqualFold(scheme, "Bearer") {
		return oauth.Refuse(oauth.TokenScheme, "the access token is bound to a client certificate; send it with the scheme Bearer")
	}
	presented, found, err := certificate.Of(r, now)
	switch {
	case err != nil:
		return oauth.Refuse(oauth.TokenKey, "the connection's client certificate cannot be used any more").Because(err)
	case !found:
		return oauth.Refuse(oauth.TokenKey, "the access token is bound to a client certificate; the connection has none")
	case subtle.ConstantTimeCompare([]byte(presented.Thumbprint()), []byte(x5t)) != 1:
		return oauth.Refuse(oauth.TokenKey, "the connection's client certificate is not the one that the access token is bound to")
	}
	return nil
}

// credentials finds the one access token of a request (FAPI 2.0 Security Profile §5.3.4-1).
func credentials(r *http.Request) (scheme, compact string, err error) {
	if r.URL.Query().Has("access_token") {
		return "", "", oauth.Refuse(oauth.ParameterInQuery, "access_token stood in the request URI; send it in the Authorization header")
	}
	fields := r.Header.Values("Authorization")
	if len(fields) > 1 {
		return "", "", oauth.Refuse(oauth.HeaderRepeated, "Authorization was sent more than once")
	}
	if len(fields) == 0 {
		return "", "", oauth.Refuse(oauth.TokenMissing, "an access token is needed")
	}
	scheme, compact, _ = strings.Cut(fields[0], " ")
	if !strings.EqualFold(scheme, "DPoP") && !strings.EqualFold(scheme, "Bearer") {
		return "", "", oauth.Refuse(oauth.TokenMalformed, "the Authorization header must have the scheme DPoP or Bearer")
	}
	return scheme, strings.TrimLeft(compact, " "), nil
}

func (g Guard) spend(ctx context.Context, a Admission) error {
	if len(a.uses) > 0 {
		outcome, err := g.Store.Spend(ctx, replay.Spend{Uses: a.uses})
		if err != nil {
			return err
		}
		if err := outcome.Refusal(); err != nil {
			return err
		}
	}
	denied, _, err := g.Store.Denied(ctx, a.Token.Use(), a.Token.ClientID, a.Token.GrantID)
	if err == nil && denied {
		return oauth.Refuse(oauth.TokenRevoked, "the access token was revoked, or its client or grant is gone")
	}
	return err
}

func hasAny(token accesstoken.Token, anyOf []string) bool {
	for _, scope := range anyOf {
		if token.Has(scope) {
			return true
		}
	}
	return len(anyOf) == 0
}
