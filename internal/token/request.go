package token

import (
	"net/url"
	"slices"

	"authserver/internal/client"
	"authserver/internal/oauth"
)

// maxResources is how many resource parameters one request may have.
const maxResources = 20

// checkScope refuses a scope that the client is not registered for.
func checkScope(c client.Client, requested oauth.Scope) error {
	if requested.Beyond(c.Scope()) == "" {
		return nil
	}
	return oauth.Refuse(oauth.ScopeNotRegistered, "the client is not registered for all of the requested scope; registered: %s", c.Scope())
}

// resourcesOf are the resources that a request asks for, each once (RFC 8707 §2.2); nil: it names none.
func (e *Endpoint) resourcesOf(form oauth.Form) ([]string, error) {
	requested := form.All("resource")
	if len(requested) > maxResources {
		return nil, oauth.Refuse(oauth.ResourceRefused, "at most %d resource parameters are taken", maxResources)
	}
	var resources []string
	for _, r := range requested {
		u, err := url.Parse(r)
		if err != nil || !u.IsAbs() || u.Fragment != "" {
			return nil, oauth.Refuse(oauth.ResourceRefused, "resource must be an absolute URI without a fragment")
		}
		if !slices.Contains(e.Resources, r) {
			return nil, oauth.Refuse(oauth.ResourceRefused, "resource is not one that this server issues tokens for")
		}
		if !slices.Contains(resources, r) {
			resources = append(resources, r)
		}
	}
	return resources, nil
}
