package oauth

import (
	"slices"
	"strings"
)

const (
	maxScope       = 4 << 10 // bytes
	maxScopeTokens = 100
)

// The scopes that speak of a person's sign-in, and open no data (OpenID Connect Core §3.1.2.1, §11).
const (
	OpenID        = "openid"
	OfflineAccess = "offline_access"
)

// Scope is a set of scope tokens; the order is that of the request and means nothing (RFC 6749 §3.3).
type Scope []string

// ParseScope reads a scope parameter. The empty string is the empty scope.
func ParseScope(s string) (Scope, error) {
	if s == "" {
		return nil, nil
	}
	if len(s) > maxScope || strings.Count(s, " ") >= maxScopeTokens {
		return nil, Refuse(ScopeMalformed, "scope is longer than %d bytes or %d tokens", maxScope, maxScopeTokens)
	}
	var scope Scope
	for token := range strings.SplitSeq(s, " ") {
		if !isScopeToken(token) {
			return nil, Refuse(ScopeMalformed, "scope must be tokens with one space between, each of printable ASCII without quote and backslash")
		}
		if !scope.Has(token) {
			scope = append(scope, token)
		}
	}
	return scope, nil
}

func isScopeToken(token string) bool {
	for i := range len(token) {
		if c := token[i]; c < 0x21 || c > 0x7e || c == '"' || c == '\\' {
			return false
		}
	}
	return token != ""
}

// Has tells whether the token is in the scope.
func (s Scope) Has(token string) bool { return slices.Contains(s, token) }

// OpensData tells whether anything in the scope opens data.
func (s Scope) OpensData() bool {
	return slices.ContainsFunc(s, func(token string) bool { return token != OpenID && token != OfflineAccess })
}

// Beyond is the first token of s that allowed does not have, or "".
func (s Scope) Beyond(allowed Scope) string {
	for _, token := range s {
		if !allowed.Has(token) {
			return token
		}
	}
	return ""
}

// String joins the tokens with single spaces.
func (s Scope) String() string { return strings.Join(s, " ") }
