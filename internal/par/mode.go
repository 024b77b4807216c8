package par

import (
	"cmp"
	"slices"

	"authserver/internal/client"
	"authserver/internal/grant"
	"authserver/internal/oauth"
)

// modes are the response modes that this server answers with, as a request names them and as grant.Pushed does. For code,
// jwt means query.jwt (JARM §2.3.4).
var modes = map[string]string{
	"": "", "query": "", "jwt": grant.QueryJWT, "query.jwt": grant.QueryJWT, "form_post.jwt": grant.FormPostJWT,
}

// ResponseModes are response_modes_supported of the metadata.
func ResponseModes() []string { return []string{"query", "jwt", "query.jwt", "form_post.jwt"} }

// modeFor is the response mode that is asked for, if the client is registered for it. One that registered modes of JWTs
// alone must ask for one of them (FAPI 2.0 Message Signing §5.4.1).
func modeFor(c client.Client, asked string) (string, error) {
	mode, known := modes[asked]
	if !known {
		return "", oauth.Refuse(oauth.ResponseModeUnsupported,
			"response_mode must be query, jwt, query.jwt or form_post.jwt, or absent")
	}
	registered := c.Metadata.ResponseModes
	fits := func(name string) bool { m, known := modes[name]; return known && m == mode }
	if len(registered) > 0 && !slices.ContainsFunc(registered, fits) {
		return "", oauth.Refuse(oauth.ResponseModeRefused,
			"response_mode %s is not one of the client's registered response_modes", cmp.Or(asked, "query (by default)"))
	}
	return mode, nil
}
