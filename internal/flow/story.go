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
	Tells string // in one sentence

	signs []sign
	make  func(Authorization) Flow
}

// sign is something in a server's metadata: a member that is not empty, or one value of it.
type sign struct{ member, value string }

func (s sign) in(m Metadata) bool {
	endpoint, _ := m.all[s.member].(string)
	values := m.lists(s.member)
	if s.value == "" {
		return endpoint != "" || len(values) > 0
	}
	return slices.Contains(values, s.value)
}

func (s sign) String() string {
	if s.value == "" {
		return s.member
	}
	return s.value + " in " + s.member
}

// Stories are all flows, in the order in which they are best read: each needs more of a server than the one before it.
func Stories() []Story {
	return []Story{
		{"cc", "a client acts in its own name",
			[]sign{{"grant_types_supported", "client_credentials"}},
			func(a Authorization) Flow { return &ClientCredentials{Registrant: a.Registrant} }},
		{"code", "a person lets a client have data once",
			[]sign{{"grant_types_supported", "authorization_code"}, {"authorization_endpoint", ""},
				{"pushed_authorization_request_endpoint", ""}},
			func(a Authorization) Flow { return &AuthorizationCode{Authorization: a} }},
		{"refresh", "a client comes back for more with its refresh token, and gives it back",
			[]sign{{"grant_types_supported", "refresh_token"}},
			func(a Authorization) Flow { return &Refresh{Authorization: a} }},
		{"fdx", "a person shares chosen data for a while, and stops",
			[]sign{{"authorization_details_types_supported", DetailsType}},
			func(a Authorization) Flow { return &FDX{Authorization: a} }},
		{"openid", "a client that signs its requests learns who a person is, and the person signs out",
			[]sign{{"userinfo_endpoint", ""}, {"id_token_signing_alg_values_supported", ""}},
			func(a Authorization) Flow { return &OpenID{Authorization: a} }},
	}
}

// Begin makes the flow ready. One without a person uses the Registrant alone.
func (s Story) Begin(a Authorization) Flow { return s.make(a) }

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
