package token

import (
	"context"
	"slices"
	"time"

	"authserver/internal/client"
	"authserver/internal/grant"
	"authserver/internal/oauth"
)

const refreshToken = "refresh_token"

// judgeRefreshToken reads what a client asks for of a grant that it has (RFC 6749 §6). scope, authorization_details and
// resource narrow the one token, never the grant. The refresh token stays the same and is answered again (FAPI 2.0 Security
// Profile §5.3.2.1-9); the key may be another each time (RFC 9449 §5).
func (e *Endpoint) judgeRefreshToken(c client.Client, form oauth.Form, now time.Time) (redemption, error) {
	token, err := form.Required(refreshToken)
	if err != nil {
		return nil, err
	}
	scope, err := refreshScope(c, form)
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
	return func(ctx context.Context) (granted, error) {
		g, found, err := e.Store.Refresh(ctx, oauth.Secret(token).Hash(), c.ID, now)
		switch {
		case err != nil:
			return granted{}, err
		case !found:
			return granted{}, oauth.Refuse(oauth.RefreshTokenUnknown,
				"the refresh token is not one of this client's, or its grant has ended")
		}
		result, err := e.ofPerson(c, g, wanted{scope, details, resources}, now)
		if err == nil && grant.Idle(g.UsedAt, now) {
			err = e.Store.Used(ctx, g.ID, now)
		}
		result.refreshToken = token
		return result, err
	}, nil
}

// refreshScope is the requested scope; nil asks for all that there is. openid is left out of it, as it was when the request
// was pushed: clients ask again for what they asked for then.
func refreshScope(c client.Client, form oauth.Form) (oauth.Scope, error) {
	requested, err := oauth.ParseScope(form.Get("scope"))
	if err == nil {
		err = checkScope(c, requested)
	}
	if err != nil || requested == nil {
		return nil, err
	}
	scope := slices.DeleteFunc(requested, isOpenID)
	if len(scope) == 0 {
		return nil, oauth.Refuse(oauth.ScopeEmpty, "scope asks for openid alone; this server issues no ID tokens")
	}
	return scope, nil
}
