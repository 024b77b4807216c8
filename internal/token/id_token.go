package token

import (
	"context"
	"time"

	"authserver/internal/client"
	"authserver/internal/grant"
	"authserver/internal/oauth"
	"authserver/internal/response"
)

// seal is what it takes to make an ID token for a client, or why there can be none.
type seal struct {
	envelope response.Envelope
	missing  error
}

// seal is looked for before anything is spent. Whether it is needed the grant says, whose scope may lack openid; where it is
// needed and missing, the code is kept (grant.NoIDToken). A client that is not registered for openid needs none.
func (e *Endpoint) seal(ctx context.Context, c client.Client) seal {
	if !c.Scope().Has(oauth.OpenID) {
		return seal{}
	}
	envelope, err := e.Sealer.Prepare(ctx, c, c.IDToken())
	return seal{envelope, err}
}

// idToken makes the ID token that comes with an access token, of which it has the hash; nil: none comes.
type idToken func(accessToken string) (string, error)

// idTokenOf is the ID token of a grant, for an access token of this scope. Without openid there is none, and where it
// cannot be protected as the client registered there is no access token either.
func (e *Endpoint) idTokenOf(
	c client.Client, g grant.Grant, scope oauth.Scope, want wanted, now time.Time,
) (idToken, error) {
	switch {
	case !scope.Has(oauth.OpenID):
		return nil, nil
	case want.seal.missing != nil:
		return nil, want.seal.missing
	}
	return func(accessToken string) (string, error) {
		return e.IDTokens.Issue(want.seal.envelope, c, g, want.nonce, accessToken, now)
	}, nil
}
