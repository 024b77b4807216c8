package token

import (
	"authserver/internal/client"
	"authserver/internal/oauth"
)

// checkScope refuses a scope that the client is not registered for.
func checkScope(c client.Client, requested oauth.Scope) error {
	if requested.Beyond(c.Scope()) == "" {
		return nil
	}
	return oauth.Refuse(oauth.ScopeNotRegistered, "the client is not registered for all of the requested scope; registered: %s", c.Scope())
}
