package accesstoken

import (
	"encoding/json"
	"errors"
	"slices"
	"time"

	"authserver/internal/fdx"
	"authserver/internal/jose"
	"authserver/internal/oauth"
	"authserver/internal/replay"
)

// typ is the explicit type of an access token (RFC 9068 §2.1).
const typ = "at+jwt"

// maxToken bounds a presented token, in bytes; ours are far shorter.
const maxToken = 16 << 10

// Keys sign and recognise tokens.
type Keys interface {
	Sign(alg jose.Alg, typ string, claims any) (string, error)
	Key(kid string) *jose.Key
}

// Tokens issues and recognises the access tokens of one issuer.
type Tokens struct {
	Issuer string
	Alg    jose.Alg
	Keys   Keys
}

// Token is what an access token says. Times are whole seconds.
type Token struct {
	Issuer       string       `json:"iss"`
	Subject      string       `json:"sub"`
	Audience     Audience     `json:"aud"`
	ExpiresAt    int64        `json:"exp"`
	IssuedAt     int64        `json:"iat"`
	ID           string       `json:"jti"`
	ClientID     string       `json:"client_id"`
	Scope        string       `json:"scope,omitempty"`
	Confirmation Confirmation `json:"cnf,omitzero"`

	// Of a token that speaks for a person; a client's own token has none of them.
	GrantID   string      `json:"grant_id,omitempty"`              // what the person approved
	ConsentID string      `json:"fdxConsentId,omitempty"`          // the same id, where that is a consent to share data (FDX)
	Details   fdx.Details `json:"authorization_details,omitempty"` // that it may be used for (RFC 9396 §9.1); nil: see the consent
	AuthTime  int64       `json:"auth_time,omitempty"`             // when the person proved who they are, and how (RFC 9068 §2.2.1)
	ACR       string      `json:"acr,omitempty"`
	AMR       []string    `json:"amr,omitempty"`
}

// Confirmation binds a token to a key by its thumbprint (RFC 9449 §6.1), or to a client certificate (RFC 8705 §3.1), never
// to both. The zero value is that of an unbound token, which has no cnf.
type Confirmation struct {
	JKT string `json:"jkt,omitempty"`
	X5T string `json:"x5t#S256,omitempty"`
}

// Audience is one audience or several; one is written as a string (RFC 7519 §4.1.3).
type Audience []string

// MarshalJSON writes a single audience as a string.
func (a Audience) MarshalJSON() ([]byte, error) {
	if len(a) == 1 {
		return json.Marshal(a[0])
	}
	return json.Marshal([]string(a))
}

// UnmarshalJSON reads a string or an array of strings.
func (a *Audience) UnmarshalJSON(data []byte) error {
	var one string
	if err := json.Unmarshal(data, &one); err == nil {
		*a = Audience{one}
		return nil
	}
	return json.Unmarshal(data, (*[]string)(a))
}

// Issue signs a token that begins now and lives for lifetime, at least a second. Issuer, times and jti are set here; exp is
// cut off to the second, so that no token lives longer than that.
func (t Tokens) Issue(token Token, lifetime time.Duration, now time.Time) (string, Token, error) {
	token.Issuer = t.Issuer
	token.IssuedAt = now.Unix()
	token.ExpiresAt = now.Add(lifetime).Unix()
	token.ID = oauth.NewSecret().Reveal()
	compact, err := t.Keys.Sign(t.Alg, typ, token)
	return compact, token, err
}

// Recognise returns what a token of ours says, if it is signed by us and has not expired. What else may have ended it,
// the store knows.
func (t Tokens) Recognise(compact string, now time.Time) (Token, error) {
	token, err := t.verify(compact)
	switch {
	case err != nil:
		return Token{}, oauth.Refuse(oauth.TokenMalformed, "this is no access token of %s", t.Issuer).Because(err)
	case now.Unix() >= token.ExpiresAt:
		return Token{}, oauth.Refuse(oauth.TokenExpired, "the access token expired %d s ago", now.Unix()-token.ExpiresAt)
	}
	return token, nil
}

func (t Tokens) verify(compact string) (Token, error) {
	jws, err := jose.Door{MaxBytes: maxToken, Types: []string{typ}}.Parse(compact)
	if err != nil {
		return Token{}, err
	}
	key := t.Keys.Key(jws.Header().Kid)
	if key == nil {
		return Token{}, errors.New("its kid is not ours")
	}
	claims, err := jws.Verify(key)
	if err != nil {
		return Token{}, err
	}
	var token Token
	for name, into := range map[string]any{
		"iss": &token.Issuer, "sub": &token.Subject, "aud": &token.Audience, "exp": &token.ExpiresAt, "iat": &token.IssuedAt,
		"jti": &token.ID, "client_id": &token.ClientID, "scope": &token.Scope, "cnf": &token.Confirmation,
		"grant_id": &token.GrantID, "fdxConsentId": &token.ConsentID, "authorization_details": &token.Details,
		"auth_time": &token.AuthTime, "acr": &token.ACR, "amr": &token.AMR,
	} {
		if _, err := claims.Decode(name, into); err != nil {
			return Token{}, err
		}
	}
	if token.Issuer != t.Issuer {
		return Token{}, errors.New("another issuer signed with our key")
	}
	return token, nil
}

// Has tells whether the token was granted a scope.
func (t Token) Has(scope string) bool {
	s, err := oauth.ParseScope(t.Scope)
	return err == nil && s.Has(scope)
}

// For tells whether the token is meant for one of the audiences.
func (t Token) For(audiences ...string) bool {
	return slices.ContainsFunc(t.Audience, func(a string) bool { return slices.Contains(audiences, a) })
}

// Bound tells whether the token is worth something only to the holder of a key, that of a certificate or another.
func (t Token) Bound() bool { return t.Confirmation != Confirmation{} }

// Type is the token_type: how the token must be presented (RFC 9449 §5, RFC 6750). One that is bound to a certificate is a
// Bearer token, and the connection shows the certificate (RFC 8705 §3).
func (t Token) Type() string {
	if t.Confirmation.JKT != "" {
		return "DPoP"
	}
	return "Bearer"
}

// Use is the token's place on the deny-list.
func (t Token) Use() replay.Use {
	return replay.NewUse(replay.AccessToken, t.Issuer, t.ID, time.Unix(t.ExpiresAt, 0))
}
