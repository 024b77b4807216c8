package idtoken

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"time"

	"authserver/internal/client"
	"authserver/internal/grant"
	"authserver/internal/jose"
)

// typ is the type of an ID token: that of any JWT (OpenID Connect Core names no other).
const typ = "JWT"

// Lifetime is how long a client may take an ID token for news.
const Lifetime = 5 * time.Minute

// maxHint bounds an ID token that comes back, in bytes; ours are far shorter.
const maxHint = 8 << 10

// Keys recognise what this server signed.
type Keys interface {
	Key(kid string) *jose.Key
}

// Envelope signs and encrypts as a client registered.
type Envelope interface {
	Seal(typ string, claims any) (string, error)
}

// Tokens issues and recognises the ID tokens of one issuer.
type Tokens struct {
	Issuer string
	Keys   Keys
}

// Claims is what an ID token says. Times are whole seconds.
type Claims struct {
	Issuer          string   `json:"iss"`
	Subject         string   `json:"sub"`
	Audience        string   `json:"aud"` // the client_id
	ExpiresAt       int64    `json:"exp"`
	IssuedAt        int64    `json:"iat"`
	AuthTime        int64    `json:"auth_time"`
	Nonce           string   `json:"nonce,omitempty"`
	ACR             string   `json:"acr,omitempty"`
	AMR             []string `json:"amr,omitempty"`
	SessionID       string   `json:"sid,omitempty"` // Front-Channel Logout §3
	AccessTokenHash string   `json:"at_hash,omitempty"`
}

// Names are the names of the claims, for the metadata.
func Names() []string {
	return []string{"iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "sid", "at_hash"}
}

// Issue seals the ID token that comes at now with an access token of the grant. The envelope is the client's, for ID tokens;
// nonce is "" where the request had none, and at every refresh.
func (t Tokens) Issue(e Envelope, c client.Client, g grant.Grant, nonce, accessToken string, now time.Time) (string, error) {
	return e.Seal(typ, Claims{
		Issuer: t.Issuer, Subject: g.Subject, Audience: c.ID, IssuedAt: now.Unix(), ExpiresAt: now.Add(Lifetime).Unix(),
		AuthTime: g.AuthTime.Unix(), Nonce: nonce, ACR: g.ACR, AMR: g.AMR, SessionID: g.SessionID,
		AccessTokenHash: halfHash(c.IDToken().Sign, accessToken),
	})
}

// halfHash is the left half of a token's hash, by the hash function of the algorithm (OpenID Connect Core §3.1.3.6); that of
// Ed25519 is SHA-512 (RFC 8032 §5.1).
func halfHash(alg jose.Alg, token string) string {
	if alg == jose.EdDSA {
		sum := sha512.Sum512([]byte(token))
		return base64.RawURLEncoding.EncodeToString(sum[:sha512.Size/2])
	}
	sum := sha256.Sum256([]byte(token))
	return base64.RawURLEncoding.EncodeToString(sum[:sha256.Size/2])
}

// Recognise returns what an ID token of ours says, also an expired one. To whom it was given is the caller's to compare. An
// encrypted one is refused: the client has the signed one inside.
func (t Tokens) Recognise(compact string) (Claims, error) {
	token, err := jose.Door{MaxBytes: maxHint, Types: []string{typ}}.Parse(compact)
	if err != nil {
		return Claims{}, err
	}
	key := t.Keys.Key(token.Header().Kid)
	if key == nil {
		return Claims{}, errors.New("its kid is not ours, or not any more")
	}
	claims, err := token.Verify(key)
	if err != nil {
		return Claims{}, err
	}
	var c Claims
	for name, into := range map[string]any{
		"iss": &c.Issuer, "sub": &c.Subject, "aud": &c.Audience, "exp": &c.ExpiresAt, "iat": &c.IssuedAt, "auth_time": &c.AuthTime,
	} {
		if found, err := claims.Decode(name, into); !found || err != nil {
			return Claims{}, errors.Join(errors.New("an ID token has "+name), err)
		}
	}
	if _, err := claims.Decode("sid", &c.SessionID); err != nil {
		return Claims{}, err
	}
	if c.Issuer != t.Issuer {
		return Claims{}, errors.New("another issuer signed with our key")
	}
	return c, nil
}
