package flow

import (
	"context"
	"slices"
	"strings"
)

// Flow is one that is ready to be played, once. What the server does wrong is in the Report; the only error is *Unreachable.
type Flow interface {
	Run(context.Context) (*Report, error)
}

// Story is a flow before it is played: what it is called, and what it tells.
type Story struct {
	Name  string
	By    string // what proves the client and what its tokens are bound to, in few words
	Tells string // in one sentence

	signs   []sign
	asserts bool // with the key of an issuer
	make    func(Authorization) Flow
}

// sign is something in a server's metadata: a member that is neither empty nor false, or one value of it.
type sign struct{ member, value string }

func (s sign) in(m Metadata) bool {
	if s.value != "" {
		return slices.Contains(m.lists(s.member), s.value)
	}
	switch value := m.all[s.member].(type) {
	case string:
		return value != ""
	case []any:
		return len(value) > 0
	case bool:
		return value
	}
	return false
}

func (s sign) String() string {
	if s.value == "" {
		return s.member
	}
	return s.value + " in " + s.member
}

// Stories are all flows, in the order in which they are best read: each needs more of a server than the one before it.
func Stories() []Story {
	const keys = "private_key_jwt + DPoP"
	return []Story{
		{Name: "cc", By: keys, Tells: "a client acts in its own name",
			signs: []sign{{"grant_types_supported", "client_credentials"}},
			make:  func(a Authorization) Flow { return &ClientCredentials{Registrant: a.Registrant} }},
		{Name: "code", By: keys, Tells: "a person lets a client have data once",
			signs: []sign{{"grant_types_supported", "authorization_code"}, {"authorization_endpoint", ""},
				{"pushed_authorization_request_endpoint", ""}},
			make: func(a Authorization) Flow { return &AuthorizationCode{Authorization: a} }},
		{Name: "refresh", By: keys, Tells: "a client comes back for more with its refresh token, and gives it back",
			signs: []sign{{"grant_types_supported", "refresh_token"}},
			make:  func(a Authorization) Flow { return &Refresh{Authorization: a} }},
		{Name: "fdx", By: keys, Tells: "a person shares chosen data for a while, and stops",
			signs: []sign{{"authorization_details_types_supported", DetailsType}},
			make:  func(a Authorization) Flow { return &FDX{Authorization: a} }},
		{Name: "openid", By: keys, Tells: "a client that signs its requests learns who a person is, and the person signs out",
			signs: []sign{{"userinfo_endpoint", ""}, {"id_token_signing_alg_values_supported", ""}},
			make:  func(a Authorization) Flow { return &OpenID{Authorization: a} }},
		{Name: "mtls", By: "certificates", Tells: "clients show certificates, and their tokens are good with those alone",
			signs: []sign{{"tls_client_certificate_bound_access_tokens", ""},
				{"token_endpoint_auth_methods_supported", byAuthority}, {"token_endpoint_auth_methods_supported", byItself}},
			make: func(a Authorization) Flow { return &MutualTLS{Authorization: a} }},
		{Name: "jwt-bearer", By: "assertions of an issuer", Tells: "an issuer's assertion is worth a token by itself",
			signs:   []sign{{"grant_types_supported", bearerGrant}},
			asserts: true,
			make:    func(a Authorization) Flow { return &JWTBearer{Registrant: a.Registrant} }},
	}
}

// noIssuerKey is why assertions are not tried.
const noIssuerKey = "there is no key of an issuer that the server trusts"

// Begin makes the flow ready. One without a person uses the Registrant alone.
func (s Story) Begin(a Authorization) Flow { return s.make(a) }

// Lacks says what the flow needs, beside the server, that is not at hand; empty when nothing is missing.
func (s Story) Lacks(a Authorization) string {
	if s.asserts && a.IssuerKey == nil {
		return noIssuerKey
	}
	return ""
}

// NotOffered says what of a server's metadata would offer the flow, and is not there; empty when the server offers it. One
// sign of it is enough: what else is missing then is for the flow to find.
func (s Story) NotOffered(m Metadata) string {
	var missing []string
	for _, sign := range s.signs {
		if sign.in(m) {
			return ""
		}
		missing = append(missing, sign.String())
	}
	return "the metadata has no " + strings.Join(missing, ", and no ")
}
