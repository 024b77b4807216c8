package main

import (
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"authserver/internal/flow"
	"authserver/internal/oauth"
	"authserver/internal/token"

	"golang.org/x/text/language"
)

// longState has 128 characters, and all that a URL may hold unescaped (RFC 3986 §2.3).
var longState = strings.Repeat("-._~ab0Z", 16)

// modulesOfFlows are those about the metadata and about flows that succeed.
func modulesOfFlows() []module {
	return []module{
		{1, "discovery-end-point-verification", verifyMetadata},
		{2, "happy-flow", happyFlow},
		{3, "user-rejects-authentication", func(p *plan) {
			for _, c := range []*flow.Client{p.first, p.second} {
				a := p.ask(c, bend("state", longState))
				answer := a.answerAt(p.browser, a.url(), flow.Deny)
				if answer.Get("error") != "access_denied" || answer.Has("code") {
					p.t.Errorf("%v", answer)
				}
				for name := range answer {
					if !slices.Contains([]string{"error", "error_description", "error_uri", "state", "iss"}, name) {
						p.t.Errorf("the answer has %s", name)
					}
				}
			}
		}},
		{5, "ensure-authorization-request-without-state-success", func(p *plan) { p.flow(p.first, bend("state")) }},
		{8, "ensure-other-scope-order-succeeds", func(p *plan) {
			for _, scope := range []string{
				"fdx:transactions:read fdx:accountbasic:read openid", "openid fdx:accountbasic:read fdx:transactions:read",
			} {
				granted := strings.Fields(p.flow(p.first, twoScopes, bend("scope", scope)).token.Scope)
				if slices.Sort(granted); strings.Join(granted, " ") != "fdx:accountbasic:read fdx:transactions:read openid" {
					p.t.Errorf("asked for %q: %q", scope, granted)
				}
			}
		}},
		{23, "ensure-authorization-request-with-long-state", func(p *plan) { p.flow(p.first, bend("state", strings.Repeat("s", 1000))) }},
		{57, "refresh-token", refreshed},
		{75, "par-without-duplicate-parameters", func(p *plan) {
			a := p.ask(p.first)
			sent, err := url.Parse(a.url())
			if err != nil || len(sent.Query()) != 2 {
				p.t.Fatal(err, a.url())
			}
			p.redeemed(a, p.approved(a))
		}},
	}
}

// registered are the members of metadata that have a meaning to everybody (RFC 8414, 9126, 9207, 9449; OpenID Connect
// Discovery), as far as this server has them, with the type of each.
var registered = map[string]string{
	"issuer": "url", "authorization_endpoint": "url", "pushed_authorization_request_endpoint": "url", "token_endpoint": "url",
	"registration_endpoint": "url", "introspection_endpoint": "url", "revocation_endpoint": "url", "jwks_uri": "url", "end_session_endpoint": "url",
	"require_pushed_authorization_requests": "bool", "authorization_response_iss_parameter_supported": "bool",
	"request_parameter_supported": "bool", "request_uri_parameter_supported": "bool", "require_signed_request_object": "bool",
	"request_object_signing_alg_values_supported": "list",
	"scopes_supported":                            "list", "response_types_supported": "list", "response_modes_supported": "list", "grant_types_supported": "list",
	"code_challenge_methods_supported": "list", "acr_values_supported": "list", "prompt_values_supported": "list", "ui_locales_supported": "list",
	"authorization_details_types_supported": "list",
	"token_endpoint_auth_methods_supported": "list", "token_endpoint_auth_signing_alg_values_supported": "list",
	"introspection_endpoint_auth_methods_supported": "list", "introspection_endpoint_auth_signing_alg_values_supported": "list",
	"introspection_signing_alg_values_supported":    "list",
	"introspection_encryption_alg_values_supported": "list", "introspection_encryption_enc_values_supported": "list",
	"revocation_endpoint_auth_methods_supported": "list", "revocation_endpoint_auth_signing_alg_values_supported": "list",
	"dpop_signing_alg_values_supported":          "list",
	"authorization_signing_alg_values_supported": "list", "authorization_encryption_alg_values_supported": "list",
	"authorization_encryption_enc_values_supported": "list",
	"userinfo_endpoint":                             "url", "claims_parameter_supported": "bool", "claims_supported": "list", "subject_types_supported": "list",
	"id_token_signing_alg_values_supported":    "list",
	"id_token_encryption_alg_values_supported": "list", "id_token_encryption_enc_values_supported": "list",
	"userinfo_signing_alg_values_supported":    "list",
	"userinfo_encryption_alg_values_supported": "list", "userinfo_encryption_enc_values_supported": "list",
}

// scopeToken is what a scope may be made of (RFC 6749 §3.3).
var scopeToken = regexp.MustCompile(`^[\x21\x23-\x5B\x5D-\x7E]+$`)

// verifyMetadata: what of conformance.md §2.1 is about members that are there, at both places where the document lies.
func verifyMetadata(p *plan) {
	registered, methods := maps.Clone(registered), []string{"private_key_jwt"}
	if p.anyCertificate() {
		registered["tls_client_certificate_bound_access_tokens"], registered["mtls_endpoint_aliases"] = "bool", "aliases"
		methods = []string{"private_key_jwt", "tls_client_auth", "self_signed_tls_client_auth"}
	}
	for _, path := range []string{"/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"} {
		m := document(p.t, p.first.Server, p.issuer+path)
		for name := range registered {
			if m[name] == nil {
				p.t.Errorf("there is no %s", name)
			}
		}
		for name, value := range m {
			var ok bool
			switch registered[name] {
			case "url":
				ok = isURLOf(p.issuer, value)
			case "bool":
				_, ok = value.(bool)
			case "list":
				words := list(m, name)
				ok = len(words) > 0 && !slices.Contains(words, "")
			case "aliases":
				ok = p.verifyAliases(m)
			}
			if !ok {
				p.t.Errorf("%s is %v", name, value)
			}
		}
		if m["issuer"] != p.issuer || m["authorization_response_iss_parameter_supported"] != true || m["require_pushed_authorization_requests"] != true {
			p.t.Errorf("%v", m)
		}
		for name, must := range map[string][]string{
			"response_types_supported": {"code"}, "code_challenge_methods_supported": {"S256"}, "token_endpoint_auth_methods_supported": methods,
			"request_object_signing_alg_values_supported": {"PS256", "ES256", "EdDSA"},
			"authorization_signing_alg_values_supported":  {"PS256", "ES256", "EdDSA"},
			"response_modes_supported":                    {"query", "jwt", "query.jwt", "form_post.jwt"},
			"grant_types_supported":                       {"authorization_code", "client_credentials", "refresh_token", token.JWTBearer},
			"dpop_signing_alg_values_supported":           {"PS256", "ES256", "EdDSA"}, "token_endpoint_auth_signing_alg_values_supported": {"PS256", "ES256", "EdDSA"},
			"id_token_signing_alg_values_supported": {"PS256", "ES256", "EdDSA"}, "userinfo_signing_alg_values_supported": {"PS256", "ES256", "EdDSA"},
			"subject_types_supported": {"public"},
		} {
			words := list(m, name)
			if slices.Sort(words); !slices.Equal(words, slices.Sorted(slices.Values(must))) {
				p.t.Errorf("%s is %v, want %v", name, words, must)
			}
		}
		if !slices.Contains(list(m, "scopes_supported"), "openid") {
			p.t.Errorf("scopes_supported is %v", m["scopes_supported"])
		}
		for _, scope := range list(m, "scopes_supported") {
			if !scopeToken.MatchString(scope) {
				p.t.Errorf("scope %q", scope)
			}
		}
		for _, locale := range list(m, "ui_locales_supported") {
			if tag, err := language.Parse(locale); err != nil || tag.String() != locale {
				p.t.Errorf("ui_locales %q: %v", locale, err)
			}
		}
	}
	p.verifyKeys()
}

// isURLOf tells whether a value is an https URL without query, fragment and user, on the host of another.
func isURLOf(base string, value any) bool {
	text, _ := value.(string)
	u, err := url.Parse(text)
	return err == nil && u.Scheme == "https" && u.Hostname() == hostOf(base) && u.RawQuery == "" && !strings.Contains(text, "#") && u.User == nil
}

// verifyAliases: they are endpoints that are there without mutual TLS too, and no browser goes there.
func (p *plan) verifyAliases(m map[string]any) bool {
	p.t.Helper()
	aliases, _ := m["mtls_endpoint_aliases"].(map[string]any)
	for name, value := range aliases {
		if !strings.HasSuffix(name, "_endpoint") || name == "authorization_endpoint" || m[name] == nil || !isURLOf(certifiedAlias, value) {
			p.t.Errorf("alias %s is %v", name, value)
		}
	}
	return m["tls_client_certificate_bound_access_tokens"] == true && len(aliases) == 6
}

// verifyKeys: every key has a kid and nothing private, and is long enough.
func (p *plan) verifyKeys() {
	p.t.Helper()
	e := raw(p.t, p.first.Server, http.MethodGet, p.first.Server.Metadata.JWKSURI, nil, "")
	var set struct{ Keys []map[string]string }
	if err := json.Unmarshal([]byte(e.ResponseBody), &set); err != nil || len(set.Keys) == 0 {
		p.t.Fatal(err)
	}
	for _, k := range set.Keys {
		for _, private := range []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"} {
			if k[private] != "" {
				p.t.Errorf("%s has %s", k["kid"], private)
			}
		}
		modulus, err := base64.RawURLEncoding.DecodeString(k["n"])
		if err != nil || k["kid"] == "" || k["kty"] == "RSA" && len(modulus) < 256 || k["kty"] == "EC" && k["crv"] != "P-256" {
			p.t.Errorf("%v", k)
		}
	}
}

// happyFlow: the second client does everything in another way than the first.
func happyFlow(p *plan) {
	p.flow(p.first)

	c := p.second
	promised := func(url.Values) {}
	if !p.certificateBound {
		promised = bend("dpop_jkt", c.DPoPKey.Thumbprint())
	}
	a := p.askWith(c, unproven, identified, bend("redirect_uri", suiteQuery), bend("state", longState), bend("nonce", longState[:43]), promised)
	order := []string{"state", "scope", "redirect_uri", "response_type", "code_challenge_method", "code_challenge", "nonce"}
	target := c.Server.Metadata.AuthorizationEndpoint + "?"
	for _, name := range order {
		target += name + "=" + url.QueryEscape(a.params.Get(name)) + "&"
	}
	target += url.Values{"request_uri": {a.uri}}.Encode() + "&" + url.Values{"client_id": {c.ID}}.Encode()
	token := p.redeemed(a, p.approvedAt(a, target))
	p.opens(c, token)

	inQuery := raw(p.t, c.Server, http.MethodGet, p.accounts().URL+"?access_token="+token.AccessToken, nil, "")
	refusedFor(p.t, inQuery, "400 invalid_request", oauth.ParameterInQuery)
	thief := *p.first
	refusedFor(p.t, do(p.t, thief.Server, thief.Present(p.accounts(), token.AccessToken)), "401 invalid_token", oauth.TokenKey)

	own, err := c.Token(p.t.Context(), nil)
	if err != nil {
		p.t.Fatal(err)
	}
	p.checkToken(own, tokenMembers...)
	if !p.certificateBound {
		nonce := freshNonce(p.t, p.first) // the suite carries it over to the other client
		boundTo(p.t, once(p.t, c, under(c, nonce)), c.DPoPKey)
	}
}

// refreshed: conformance.md §2.6.
func refreshed(p *plan) {
	var families []family
	for _, c := range []*flow.Client{p.first, p.second} {
		f := p.flow(c, bend("scope", "offline_access openid fdx:accountbasic:read"), bend("prompt", "consent"),
			bend("nonce", "of the request"))
		before := identity(p.t, c, f.token).Claims
		families = append(families, f)
		renewed := p.renewed(c)
		for range 2 {
			p.clock.advance(30 * time.Second)
			again, err := renewed.Refresh(p.t.Context(), f.token.RefreshToken, nil)
			if err != nil {
				p.t.Fatal(err)
			}
			p.checkToken(again, slices.Concat(tokenMembers, personMembers)...)
			if again.RefreshToken != f.token.RefreshToken {
				p.t.Error("rotated")
			}
			p.opens(renewed, again)
			after := p.checkIdentity(f.asking, again, true)
			checkIdentities(p.t, before, after)
			before = after
		}
		p.refreshedWithout(c, f.token.RefreshToken)
	}
	c := p.first
	outcome(p.t, do(p.t, c.Server, c.RefreshRequest(families[1].token.RefreshToken, nil)), "400 invalid_grant")
}

// renewed is a client with another key for its tokens to be bound to, or another certificate of the same name.
func (p *plan) renewed(c *flow.Client) *flow.Client {
	p.t.Helper()
	if p.certificateBound {
		return p.with(c, 0, p.vouched(p.shows[c.ID].Leaf.Subject.CommonName))
	}
	renewed := *c
	renewed.DPoPKey = key(p.t, "ES256")
	return &renewed
}

// refreshedWithout leaves out what proves the client, and then what the token would be bound to.
func (p *plan) refreshedWithout(c *flow.Client, refreshToken string) {
	p.t.Helper()
	without := p.bare(c)
	r := without.RefreshRequest(refreshToken, nil)
	r.Assertion = nil
	outcome(p.t, do(p.t, without.Server, r), "401 invalid_client")
	if p.certificateBound {
		c = without
	}
	r = c.RefreshRequest(refreshToken, nil)
	r.Proof = nil
	outcome(p.t, do(p.t, c.Server, r), p.withoutHolder())
}

// bare is a client that shows no certificate.
func (p *plan) bare(c *flow.Client) *flow.Client {
	p.t.Helper()
	if !p.anyCertificate() {
		return c
	}
	return p.with(c, 0, tls.Certificate{})
}

// withoutHolder is the answer to who lacks what the token would be bound to: where that is what proves the client, too, it is
// nobody.
func (v variant) withoutHolder() string {
	if v.certificateAuth && v.certificateBound {
		return "401 invalid_client"
	}
	return "400 invalid_request"
}
