package dcr_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"authserver/internal/client"
	"authserver/internal/dcr"
	"authserver/internal/jose"
	"authserver/internal/oauth"
)

// TestTexts: DR-19, AZ-11: what is text for people stays as it came.
func TestTexts(t *testing.T) {
	for name, text := range map[string]string{
		"DR-19 200 characters": strings.Repeat("\u4e2d\U0001f600", 100),
		"DR-19 a family":       "\U0001f468\u200d\U0001f469\u200d\U0001f467",
		"AZ-11 markup":         `<img src=x onerror=alert(1)>`,
		"AZ-11 a template":     `{{7*7}} ${7*7}`,
		"Arabic":               "\u0628\u0646\u0643",
		"quotes":               `"\'&`,
	} {
		t.Run(name, func(t *testing.T) {
			m := accepted(t, body(t, object{"client_name": text, "description": text, "client_name#fr-CA": text, "contacts": []string{text}}))
			if m.ClientName != text || m.Description != text || m.Localized["client_name#fr-CA"] != text || m.Contacts[0] != text {
				t.Errorf("%q became %q", text, m.ClientName)
			}
		})
	}
}

// TestMembersAccepted holds what is taken in another form than it came, and what has an effect on others.
func TestMembersAccepted(t *testing.T) {
	zero := 0
	tests := []struct {
		name    string
		members object
		get     func(client.Metadata) any
		want    any
	}{
		{"Ed25519 is EdDSA", object{"id_token_signed_response_alg": "Ed25519"}, func(m client.Metadata) any { return m.IDTokenSignedResponseAlg }, "EdDSA"},
		{"ES256 for ID tokens", object{"id_token_signed_response_alg": "ES256"}, func(m client.Metadata) any { return m.IDTokenSignedResponseAlg }, "ES256"},
		{"DCR-13 enc by default", object{"id_token_encrypted_response_alg": "ECDH-ES"}, func(m client.Metadata) any { return m.IDTokenEncryptedResponseEnc }, "A128CBC-HS256"},
		{"DCR-13 enc as asked",
			object{"id_token_encrypted_response_alg": "RSA-OAEP-256", "id_token_encrypted_response_enc": "A256CBC-HS512", "jwks": keys(rsaKey)},
			func(m client.Metadata) any { return m.IDTokenEncryptedResponseEnc }, "A256CBC-HS512"},
		{"DCR-13 introspection signed and encrypted", object{"introspection_signed_response_alg": "PS256", "introspection_encrypted_response_alg": "ECDH-ES+A256KW"},
			func(m client.Metadata) any { return m.IntrospectionEncryptedResponseEnc }, "A128CBC-HS256"},
		{"DCR-09 introspection encrypted, and signed by default", object{"introspection_encrypted_response_alg": "ECDH-ES"},
			func(m client.Metadata) any {
				return []any{m.IntrospectionSignedResponseAlg, client.Client{Metadata: m}.Introspection()}
			},
			[]any{"", client.Protection{Sign: jose.PS256, Alg: "ECDH-ES", Enc: "A128CBC-HS256"}}},
		{"DCR-09 answers encrypted, and signed by default", object{"authorization_encrypted_response_alg": "ECDH-ES"},
			func(m client.Metadata) any {
				return []any{m.AuthorizationSignedResponseAlg, client.Client{Metadata: m}.Authorization()}
			},
			[]any{"", client.Protection{Sign: jose.PS256, Alg: "ECDH-ES", Enc: "A128CBC-HS256"}}},
		{"a grant twice", object{"grant_types": []string{"refresh_token", "authorization_code", "refresh_token"}},
			func(m client.Metadata) any { return m.GrantTypes }, []string{"refresh_token", "authorization_code"}},
		{"code and client_credentials", object{"grant_types": []string{"client_credentials", "authorization_code"}},
			func(m client.Metadata) any { return m.ResponseTypes }, []string{"code"}},
		{"DCR-12 clusters", object{"scope": "ACCOUNT_DETAILED TRANSFERS"}, func(m client.Metadata) any { return m.Scope },
			"fdx:accountdetailed:read fdx:transfers:read fdx:transfers:write"},
		{"DCR-12 clusters and scopes", object{"scope": "openid TRANSACTIONS client.read"}, func(m client.Metadata) any { return m.Scope },
			"openid fdx:transactions:read client.read"},
		{"DCR-12 a cluster and its scope", object{"scope": "fdx:tax:read TAX openid TAX"}, func(m client.Metadata) any { return m.Scope }, "fdx:tax:read openid"},
		{"DR-21 registrar's scopes", object{"scope": "client.create client.read"}, func(m client.Metadata) any { return m.Scope }, "client.create client.read"},
		{"dpop_bound_access_tokens", object{"dpop_bound_access_tokens": true}, func(m client.Metadata) any { return m.DPoPBoundAccessTokens }, true},
		{"default_max_age 0 is not absent", object{"default_max_age": 0}, func(m client.Metadata) any { return m.DefaultMaxAge }, &zero},
		{"the longest period", object{"duration_period": 365, "lookback_period": 36500}, func(m client.Metadata) any { return []int{m.DurationPeriod, m.LookbackPeriod} }, []int{365, 36500}},
		{"native", object{"application_type": "native", "redirect_uris": []string{"http://127.0.0.1/cb"}}, func(m client.Metadata) any { return m.RedirectURIs }, []string{"http://127.0.0.1/cb"}},
		{"redirect URIs stay as they came", object{"redirect_uris": []string{"HTTPS://C.example:443/a/../%63b"}}, func(m client.Metadata) any { return m.RedirectURIs }, []string{"HTTPS://C.example:443/a/../%63b"}},
		{"logo in another language", object{"logo_uri#de": "https://c.example/de.png"}, func(m client.Metadata) any { return m.Localized }, map[string]string{"logo_uri#de": "https://c.example/de.png"}},
		{"40 languages", languages(40), func(m client.Metadata) any { return len(m.Localized) }, 40},
		{"DCR-15 jwks_uri", object{"jwks": nil, "jwks_uri": "https://c.example:8443/jwks"}, func(m client.Metadata) any { return m.JWKSURI }, "https://c.example:8443/jwks"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, test.get(accepted(t, body(t, test.members)))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// DCR-15: which inline sets are taken.
func TestInlineKeys(t *testing.T) {
	encrypted := object{
		"userinfo_signed_response_alg": "PS256", "introspection_signed_response_alg": "PS256", "authorization_signed_response_alg": "PS256",
		"id_token_encrypted_response_alg": "RSA-OAEP", "userinfo_encrypted_response_alg": "RSA-OAEP-256",
		"authorization_encrypted_response_alg": "ECDH-ES", "introspection_encrypted_response_alg": "ECDH-ES+A256KW",
		"jwks": keys(named(edKey, `"use":"sig"`), named(rsaKey, `"use":"enc"`), named(ecKey, `"key_ops":["deriveKey"]`))}
	for name, members := range map[string]object{
		"CRY-08 keys for every encryption":            encrypted,
		"CRY-08 a request object is encrypted for us": {"jwks": keys(ecKey), "request_object_encryption_alg": "RSA-OAEP"},
		"RSA": {"jwks": keys(rsaKey)}, "Ed25519": {"jwks": keys(edKey)}, "20 keys": {"jwks": keys(repeat(ecKey, 20)...)},
		"JK-01 an unknown key beside it": {"jwks": keys(`{"kty":"AKP"}`, ecKey)}, "one for encryption beside it": {"jwks": keys(named(rsaKey, `"use":"enc"`), ecKey)},
		"JK-08 one kid for two types":   {"jwks": keys(named(ecKey, `"kid":"k"`), named(rsaKey, `"kid":"k"`))},
		"two keys without a kid":        {"jwks": keys(ecKey, ecKey)},
		"the registered alg is there":   {"jwks": keys(rsaKey, ecKey), "token_endpoint_auth_signing_alg": "ES256"},
		"EdDSA registered as Ed25519":   {"jwks": keys(edKey), "token_endpoint_auth_signing_alg": "Ed25519"},
		"other members stay in the set": {"jwks": keys(named(ecKey, `"x5t#S256":"x"`))},
	} {
		t.Run(name, func(t *testing.T) {
			m := accepted(t, body(t, members))
			if diff := cmp.Diff(string(members["jwks"].(json.RawMessage)), string(m.JWKS)); diff != "" {
				t.Errorf("the set is not kept as it came: %s", diff)
			}
		})
	}
}

// A deployment knows only its own scopes, and a cluster is no way around that.
func TestScopesOfTheDeployment(t *testing.T) {
	few := dcr.Rules{Scopes: []string{"accounts", "fdx:tax:read", "client.read"}}
	for scope, want := range map[string]string{"": "accounts fdx:tax:read", "TAX": "fdx:tax:read", "client.read accounts": "client.read accounts"} {
		m, err := few.Read(body(t, object{"scope": scope}))
		if err != nil || m.Scope != want {
			t.Errorf("%q became %q, want %q: %v", scope, m.Scope, want, err)
		}
	}
	for _, scope := range []string{"openid", "TRANSACTIONS", "accounts TAX BILLS"} {
		_, err := few.Read(body(t, object{"scope": scope}))
		refused(t, err, oauth.MetadataScope)
	}
}
