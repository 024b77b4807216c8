package introspect

import (
	"cmp"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"authserver/internal/accesstoken"
	"authserver/internal/client"
	"authserver/internal/fdx"
	"authserver/internal/jose"
	"authserver/internal/oauth"
	"authserver/internal/response"
)

// typJWT is the typ header and, after application/, the media type of an introspection answer as a JWT (RFC 9701 §5).
const typJWT = "token-introspection+jwt"

// inactive is the whole answer about a token that is not valid or not the caller's to see (RFC 7662 §2.2).
type inactive struct {
	Active bool `json:"active"`
}

// active is the answer about a valid access token.
type active struct {
	Active    bool   `json:"active"`
	TokenType string `json:"token_type"`
	accesstoken.Token
}

// activeRefresh is the answer about a valid refresh token, whose times are those of its grant. It has no token_type, which
// says how an access token is presented.
type activeRefresh struct {
	Active    bool   `json:"active"`
	Issuer    string `json:"iss"`
	Subject   string `json:"sub"`
	ClientID  string `json:"client_id"`
	Scope     string `json:"scope"`
	IssuedAt  int64  `json:"iat"`
	ExpiresAt int64  `json:"exp"`

	GrantID   string      `json:"grant_id"`
	ConsentID string      `json:"fdxConsentId,omitempty"`
	Details   fdx.Details `json:"authorization_details,omitempty"`
}

// signed is the answer as a JWT. It has no sub and no exp, so that it can be taken for no other kind of token.
type signed struct {
	Issuer             string `json:"iss"`
	Audience           string `json:"aud"`
	IssuedAt           int64  `json:"iat"`
	TokenIntrospection any    `json:"token_introspection"`
}

// envelope is what the answer to a caller goes into; nil: it is JSON. A caller gets a JWT if it registered for that or
// accepts it, and an encrypted one only if it registered for that.
func (e *Endpoint) envelope(r *http.Request, caller client.Client) (*response.Envelope, error) {
	as := caller.Introspection()
	if as.Sign == "" && !acceptsJWT(r) {
		return nil, nil
	}
	as.Sign = cmp.Or(as.Sign, jose.PS256)
	envelope, err := e.Sealer.Prepare(r.Context(), caller, as)
	return &envelope, err
}

// answer writes what the caller may know.
func (e *Endpoint) answer(w http.ResponseWriter, into *response.Envelope, caller client.Client, what any, now time.Time) error {
	if into == nil {
		oauth.WriteJSON(w, http.StatusOK, what)
		return nil
	}
	sealed, err := into.Seal(typJWT, signed{
		Issuer: e.Tokens.Issuer, Audience: caller.ID, IssuedAt: now.Unix(), TokenIntrospection: what,
	})
	if err != nil {
		return err
	}
	oauth.WriteJWT(w, "application/"+typJWT, sealed)
	return nil
}

// acceptsJWT tells whether the Accept header names the JWT form (RFC 9701 §4), and does not rather have JSON.
func acceptsJWT(r *http.Request) bool {
	jwt := weight(r, "application/"+typJWT)
	return jwt > 0 && jwt >= weight(r, "application/json")
}

// weight is the highest that the Accept header gives to a media type by its name (RFC 9110 §12.4.2), and 0 if to none. Ranges
// name nothing: they come from clients that have given it no thought.
func weight(r *http.Request, media string) (most float64) {
	for choice := range strings.SplitSeq(strings.Join(r.Header.Values("Accept"), ","), ",") {
		named, params, err := mime.ParseMediaType(choice)
		if err != nil || named != media {
			continue
		}
		if q, err := strconv.ParseFloat(cmp.Or(params["q"], "1"), 64); err == nil {
			most = max(most, q)
		}
	}
	return most
}
