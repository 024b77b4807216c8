package resource

import (
	"context"
	"crypto/subtle"
	"net/http"
	"strings"
	"time"

	"authserver/internal/accesstoken"
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
	Audiences []string // a token for any of these is for us
	Tokens    accesstoken.Tokens
	Proofs    dpop.Verifier
	Store     Store
}

// Admission is an access token whose bearer may pass, once its proof is spent.
type Admission struct {
	Token accesstoken.Token
	proof replay.Use
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
	return a, challenged(err, anyOf)
}

// Spend uses up the proof of an admission and then asks whether the token has ended early.
func (g Guard) Spend(ctx context.Context, a Admission) error { return challenged(g.spend(ctx, a), nil) }

// challenged adds to a refusal what a client must send.
func challenged(err error, anyOf []string) error {
	refusal, ok := err.(*oauth.Error)
	if !ok {
		return err
	}
	pairs := []string{"algs", strings.Join(jose.Algs(), " ")}
	if refusal.Reason == oauth.ScopeInsufficient {
		pairs = append(pairs, "scope", strings.Join(anyOf, " "))
	}
	return refusal.Challenged("DPoP", pairs...)
}

func (g Guard) verify(r *http.Request, now time.Time, anyOf []string) (Admission, error) {
	compact, err := credentials(r)
	if err != nil {
		return Admission{}, err
	}
	token, err := g.Tokens.Recognise(compact, now)
	if err != nil {
		return Admission{}, err
	}
	if err := g.checkUse(r, token); err != nil {
		return Admission{}, err
	}
	about := dpop.Of(r, g.Origins)
	about.AccessToken = compact
	proof, err := g.Proofs.Verify(r.Header, about, now)
	if err != nil {
		return Admission{}, err
	}
	if subtle.ConstantTimeCompare([]byte(proof.Thumbprint), []byte(token.Confirmation.JKT)) != 1 {
		return Admission{}, oauth.Refuse(oauth.TokenKey, "the proof's key is not the one that the access token is bound to")
	}
	if !hasAny(token, anyOf) {
		return Admission{}, oauth.Refuse(oauth.ScopeInsufficient, "the access token needs the scope %s", strings.Join(anyOf, " or "))
	}
	return Admission{token, proof.Use}, nil
}

// credentials finds the one access token of a request (FAPI 2.0 Security Profile §5.3.4-1).
func credentials(r *http.Request) (string, error) {
	if r.URL.Query().Has("access_token") {
		return "", oauth.Refuse(oauth.ParameterInQuery, "access_token stood in the request URI; send it in the Authorization header")
	}
	fields := r.Header.Values("Authorization")
	if len(fields) > 1 {
		return "", oauth.Refuse(oauth.HeaderRepeated, "Authorization was sent more than once")
	}
	if len(fields) == 0 {
		return "", oauth.Refuse(oauth.TokenMissing, "an access token is needed")
	}
	scheme, compact, _ := strings.Cut(fields[0], " ")
	if !strings.EqualFold(scheme, "DPoP") && !strings.EqualFold(scheme, "Bearer") {
		return "", oauth.Refuse(oauth.TokenMalformed, "the Authorization header must have the scheme DPoP")
	}
	return strings.TrimLeft(compact, " "), nil
}

// checkUse refuses a token that is brought to the wrong place or in the wrong way.
func (g Guard) checkUse(r *http.Request, token accesstoken.Token) error {
	scheme, _, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	switch {
	case !token.For(g.Audiences...):
		return oauth.Refuse(oauth.TokenAudience, "the access token is for another resource")
	case !token.Bound():
		return oauth.Refuse(oauth.TokenUnbound, "the access token is bound to no key; this resource takes only tokens that are")
	case !strings.EqualFold(scheme, "DPoP"):
		return oauth.Refuse(oauth.TokenScheme, "the access token is bound to a key; send it with the scheme DPoP and a proof")
	case !dpop.Has(r.Header):
		return oauth.Refuse(oauth.TokenProofMissing, "the access token is bound to a key; send a DPoP header with a proof")
	}
	return nil
}

func (g Guard) spend(ctx context.Context, a Admission) error {
	outcome, err := g.Store.Spend(ctx, replay.Spend{Uses: []replay.Use{a.proof}})
	if err != nil {
		return err
	}
	if err := outcome.Refusal(); err != nil {
		return err
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
