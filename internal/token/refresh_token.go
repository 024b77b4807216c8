package token

import (
	"context"
	"net/http"
	"time"

	"authserver/internal/client"
	"authserver/internal/grant"
	"authserver/internal/oauth"
)

const refreshToken = "refresh_token"

// judgeRefreshToken reads what a client asks for of a grant that it has (RFC 6749 §6). scope, authorization_details and
// resource narrow the one token, never the grant: without openid there is no ID token, and with it one without the nonce
// (OpenID Connect Core §12.2). The refresh token stays the same and is answered again (FAPI 2.0 Security Profile
// §5.3.2.1-9); the key may be another each time (RFC 9449 §5).
func (e *Endpoint) judgeRefreshToken(
	r *http.Request, c client.Client, form oauth.Form, now time.Time,
) (redemption, error) {
	token, err := form.Required(refreshToken)
	if err != nil {
		return nil, err
	}
	scope, err := oauth.ParseScope(form.Get("scope"))
	if err == nil {
		err = checkScope(c, scope)
	}
	if err != nil {
		return nil, err
	}
	resources, err := form.Resources(e.Resources)
	if err != nil {
		return nil, err
	}
	details, err := c.Details(form)
	if err != nil {
		return nil, err
	}
	seal := e.seal(r.Context(), c)
	return func(ctx context.Context) (granted, error) {
		g, found, err := e.Store.Refresh(ctx, oauth.Secret(token).Hash(), c.ID, now)
		switch {
		case err != nil:
			return granted{}, err
		case !found:
			return granted{}, oauth.Refuse(oauth.RefreshTokenUnknown,
				"the refresh token is not one of this client's, or its grant has ended")
		}
		result, err := e.ofPerson(c, g, wanted{scope: scope, details: details, resources: resources, seal: seal}, now)
		if err == nil && grant.Idle(g.UsedAt, now) {
			err = e.Store.Used(ctx, g.ID, now)
		}
		result.refreshToken = token
		return result, err
	}, nil
}
