package token

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"authserver/internal/accesstoken"
	"authserver/internal/audit"
	"authserver/internal/client"
	"authserver/internal/dpop"
	"authserver/internal/fdx"
	"authserver/internal/grant"
	"authserver/internal/idtoken"
	"authserver/internal/issuer"
	"authserver/internal/oauth"
	"authserver/internal/response"
)

// GrantTypes are the grants that this endpoint always redeems, for the metadata. Where an issuer is trusted, there is
// JWTBearer too.
func GrantTypes() []string { return []string{authorizationCode, refreshToken, clientCredentials} }

// Store keeps what people have granted, by the hashes of codes and refresh tokens.
type Store interface {
	// RedeemCode judges an attempt at a code and commits what became of it. Redeemed, its grant comes back, with refresh as the
	// hash of its refresh token from now on; nil: it has none. Of replays only the one that revoked the grant brings it back.
	RedeemCode(
		ctx context.Context, code []byte, a grant.Attempt, refresh []byte, now time.Time,
	) (grant.Grant, grant.Redemption, error)
	// Refresh finds the grant of a refresh token, if that gives the client another access token at now; Used keeps that it did.
	Refresh(ctx context.Context, token []byte, clientID string, now time.Time) (g grant.Grant, found bool, err error)
	Used(ctx context.Context, grantID string, now time.Time) error
}

// Endpoint is /oauth2/token.
type Endpoint struct {
	Clients    *client.Authenticator
	Assertions *issuer.Assertions // of trusted issuers
	Proofs     dpop.Verifier
	Tokens     accesstoken.Tokens
	IDTokens   idtoken.Tokens
	Sealer     response.Sealer // protect ID tokens as clients registered
	Store      Store
	Origins    []string      // scheme and host of the public URLs, and of those of mutual TLS, for htu
	Resources  []string      // acceptable resource parameters; the first is the default audience
	Lifetime   time.Duration // of an access token, where the operator has set none for the client
	Now        func() time.Time
}

// Response is a successful token response (RFC 6749 §5.1).
type Response struct {
	AccessToken  string `json:"access_token"`
	TokenType    string `json:"token_type"`
	ExpiresIn    int64  `json:"expires_in"` // seconds
	RefreshToken string `json:"refresh_token,omitempty"`
	Scope        string `json:"scope"`
	IDToken      string `json:"id_token,omitempty"` // with the scope openid (OpenID Connect Core §3.1.3.3)

	// Of a person's grant: what the token may be used for, with the accounts that the person chose (RFC 9396 §7), and the id
	// of the consent (FDX; Grant Management for OAuth 2.0).
	AuthorizationDetails fdx.Details `json:"authorization_details,omitempty"`
	GrantID              string      `json:"grant_id,omitempty"`
}

// Token answers a token request.
func (e *Endpoint) Token(w http.ResponseWriter, r *http.Request) error {
	form, err := oauth.ReadForm(r, oauth.FormOrJSON)
	if err != nil {
		return err
	}
	return client.Fresh(func() error { return e.redeem(w, r, form) })
}

func (e *Endpoint) redeem(w http.ResponseWriter, r *http.Request, form oauth.Form) error {
	now := e.Now()
	by, err := e.identify(w, r, form, now)
	if err != nil {
		return err
	}
	oauth.Note(w, oauth.FieldClient, by.Client.ID)
	grantType, err := e.grantTypeOf(r.Context(), by.Client, form)
	if err != nil {
		return e.Clients.Records.Doubt(r.Context(), by.Client, err)
	}
	oauth.Note(w, oauth.FieldGrant, grantType)
	if grantType == JWTBearer {
		if err := e.vouch(r.Context(), &by, form, now); err != nil {
			return err
		}
	}
	bound, err := e.bind(r, by, grantType, now)
	if err != nil {
		return err
	}
	var redeem redemption
	switch grantType {
	case authorizationCode:
		redeem, err = e.judgeAuthorizationCode(w, r, by.Client, form, bound.to.JKT, now)
	case refreshToken:
		redeem, err = e.judgeRefreshToken(r, by.Client, form, now)
	case clientCredentials:
		redeem, err = e.judgeClientCredentials(by.Client, form, bound.to)
	case JWTBearer:
		redeem, err = e.judgeJWTBearer(w, by, form)
	}
	if err != nil {
		return e.Clients.Records.Doubt(r.Context(), by.Client, err)
	}
	if err := e.Clients.Records.Spend(r.Context(), by.Caller, bound.uses...); err != nil {
		return err
	}
	given, err := redeem(r.Context())
	if err != nil {
		return err
	}
	given.token.Confirmation = bound.to
	return e.answer(w, given, cmp.Or(given.lives, e.usual(by.Client)), now)
}

// usual is how long tokens of a client live, unless what the person granted ends earlier.
func (e *Endpoint) usual(c client.Client) time.Duration {
	return min(cmp.Or(c.TokenLifetime, e.Lifetime), client.MaxTokenLifetime)
}

// grantTypeOf is the request's grant_type, if this server offers it and the client is registered for it.
func (e *Endpoint) grantTypeOf(ctx context.Context, c client.Client, form oauth.Form) (string, error) {
	grantType, err := form.Required("grant_type")
	if err != nil {
		return "", err
	}
	offered, asserted := GrantTypes(), e.Assertions.Offered()
	if grantType == JWTBearer {
		if asserted, err = e.Assertions.Offers(ctx); err != nil {
			return "", err
		}
	}
	if asserted {
		offered = append(offered, JWTBearer)
	}
	if !slices.Contains(offered, grantType) {
		return "", oauth.Refuse(oauth.GrantTypeUnsupported, "grant_type must be one of %s", strings.Join(offered, ", "))
	}
	if !c.May(grantType) {
		return "", oauth.Refuse(oauth.GrantTypeNotRegistered, "the client is not registered for the grant type %s", grantType)
	}
	return grantType, nil
}

// answer signs the access token, which usually lives as long as those of the client, and then the ID token beside it, and
// writes the response. The request is spent by now: should the signer fail, the client asks again with a new assertion;
// whoever had a code begins anew.
func (e *Endpoint) answer(w http.ResponseWriter, given granted, usually time.Duration, now time.Time) error {
	compact, issued, err := e.Tokens.Issue(given.token, given.lifetime(usually, now), now)
	if err != nil {
		return err
	}
	var identity string
	if given.idToken != nil {
		if identity, err = given.idToken(compact); err != nil {
			return err
		}
	}
	oauth.Note(w, oauth.FieldScope, issued.Scope)
	oauth.Note(w, oauth.FieldToken, issued.ID)
	oauth.Note(w, oauth.FieldTokenType, issued.Type())
	oauth.Note(w, oauth.FieldEvent, audit.TokenIssued)
	if issued.GrantID != "" {
		oauth.Note(w, oauth.FieldSubject, issued.Subject)
		oauth.Note(w, oauth.FieldGrantID, issued.GrantID)
	}
	oauth.WriteJSON(w, http.StatusOK, Response{
		AccessToken:  compact,
		TokenType:    issued.Type(),
		ExpiresIn:    max(issued.ExpiresAt-e.Now().Unix(), 1), // never none, which a client might take for no limit
		RefreshToken: given.refreshToken,
		Scope:        issued.Scope,
		IDToken:      identity,

		AuthorizationDetails: given.details,
		GrantID:              issued.GrantID,
	})
	return nil
}
