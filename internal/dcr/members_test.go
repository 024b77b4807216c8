package dcr_test

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"

	"authserver/internal/oauth"
)

// depth is a JSON object that is nested n levels deep.
func depth(n int) string { return strings.Repeat(`{"a":`, n) + "1" + strings.Repeat("}", n) }

func repeat(s string, n int) (list []string) {
	for range n {
		list = append(list, s)
	}
	return list
}

// TestBodyRefused: DR-17, what is not one strict JSON object.
func TestBodyRefused(t *testing.T) {
	for name, text := range map[string]string{
		"array": `[]`, "null": `null`, "string": `"a"`, "nothing": ``, "a form": `redirect_uris=a`, "duplicate scope": `{"scope":"a","scope":"b"}`,
		"duplicate, escaped": `{"scope":"a","sc\u006fpe":"b"}`, "duplicate below": `{"jwks":{"keys":[{"kty":"EC","kty":"RSA"}]}}`,
		"trailing object": string(body(t, nil)) + "{}", "byte order mark": "\ufeff{}", "not UTF-8": "{\"client_name\":\"\xff\"}",
		"half a surrogate pair": `{"client_name":"\ud800"}`, "depth 10000": depth(10000), "depth 17": depth(17), "no end": `{"scope":"a"`,
	} {
		t.Run("DR-17 "+name, func(t *testing.T) {
			_, err := rules.Read([]byte(text))
			refused(t, err, oauth.MetadataMalformed)
		})
	}
	if _, err := rules.Read(body(t, object{"x": json.RawMessage(depth(15))})); err != nil {
		t.Errorf("DR-17 depth 16: %v", err)
	}
}

// TestMemberRefused holds members that are wrong by themselves, and pairs that contradict each other.
func TestMemberRefused(t *testing.T) {
	machine := func(more object) object {
		more["grant_types"], more["redirect_uris"] = []string{"client_credentials"}, nil
		return more
	}
	private := named(ecKey, `"d":"QSmrwP5VQoH7PzWJ3ZTKhG7S_Wr1zDP8ko6-z7SLTa8"`)
	tests := []struct {
		name    string
		want    oauth.Reason
		members object
	}{
		{"DR-04 jwks and jwks_uri", oauth.MetadataKeys, object{"jwks_uri": "https://c.example/jwks"}},
		{"DR-05 neither", oauth.MetadataKeys, object{"jwks": nil}},
		{"DR-05 both null", oauth.MetadataKeys, object{"jwks": null, "jwks_uri": null}},
		{"SS-01 loopback", oauth.MetadataKeys, object{"jwks": nil, "jwks_uri": "https://127.0.0.1/jwks"}},
		{"SS-07 http", oauth.MetadataKeys, object{"jwks": nil, "jwks_uri": "http://c.example/jwks"}},
		{"SS-16 ourselves", oauth.MetadataKeys, object{"jwks": nil, "jwks_uri": "https://as.example/oauth2/jwks"}},
		{"jwks_uri outside ASCII", oauth.MetadataMember, object{"jwks": nil, "jwks_uri": "https://\u00e9.example/jwks"}},
		{"jwks_uri is an array", oauth.MetadataMember, object{"jwks": nil, "jwks_uri": []string{"https://c.example/jwks"}}},
		{"DCR-15 no keys", oauth.MetadataKeys, object{"jwks": keys()}},
		{"DCR-15 jwks without keys", oauth.MetadataKeys, object{"jwks": object{}}},
		{"DCR-15 jwks is a string", oauth.MetadataKeys, object{"jwks": string(keys(ecKey))}},
		{"DCR-15 jwks is an array", oauth.MetadataKeys, object{"jwks": []json.RawMessage{json.RawMessage(ecKey)}}},
		{"DCR-15 21 keys", oauth.MetadataKeys, object{"jwks": keys(repeat(ecKey, 21)...)}},
		{"DCR-15 a private key", oauth.MetadataKeys, object{"jwks": keys(ecKey, private)}},
		{"DCR-15 a symmetric key", oauth.MetadataKeys, object{"jwks": keys(ecKey, `{"kty":"oct","k":"AAAA"}`)}},
		{"DCR-15 only a key for encryption", oauth.MetadataKeys, object{"jwks": keys(named(ecKey, `"use":"enc"`))}},
		{"DCR-15 only an unknown key", oauth.MetadataKeys, object{"jwks": keys(`{"kty":"AKP"}`)}},
		{"DCR-15 a kid twice in one type", oauth.MetadataKeys, object{"jwks": keys(named(ecKey, `"kid":"k"`), named(ecKey, `"kid":"k"`))}},
		{"DCR-15 no key of the registered alg", oauth.MetadataKeys, object{"token_endpoint_auth_signing_alg": "PS256"}},
		{"KY-04 no key for ID tokens", oauth.MetadataKeys, object{"id_token_encrypted_response_alg": "RSA-OAEP"}},
		{"KY-04 no key for userinfo", oauth.MetadataKeys,
			object{"userinfo_signed_response_alg": "PS256", "userinfo_encrypted_response_alg": "RSA-OAEP-256"}},
		{"KY-04 no key for authorization", oauth.MetadataKeys,
			object{"authorization_signed_response_alg": "PS256", "authorization_encrypted_response_alg": "RSA-OAEP"}},
		{"KY-04 no key for introspection", oauth.MetadataKeys,
			object{"introspection_signed_response_alg": "PS256", "introspection_encrypted_response_alg": "RSA-OAEP"}},
		{"KY-04 only a key for signatures", oauth.MetadataKeys,
			object{"id_token_encrypted_response_alg": "ECDH-ES", "jwks": keys(named(ecKey, `"use":"sig"`))}},
		{"KY-04 a key for another alg", oauth.MetadataKeys,
			object{"id_token_encrypted_response_alg": "ECDH-ES", "jwks": keys(edKey, named(ecKey, `"alg":"ECDH-ES+A256KW"`))}},
		{"KY-05 a short key", oauth.MetadataKeys, object{"id_token_encrypted_response_alg": "RSA-OAEP",
			"jwks": keys(ecKey, `{"kty":"RSA","use":"enc","e":"AQAB","n":"`+strings.Repeat("_", 170)+`8"}`)}},

		{"DR-06 implicit", oauth.MetadataMember, object{"grant_types": []string{"implicit"}}},
		{"DR-06 password", oauth.MetadataMember, object{"grant_types": []string{"authorization_code", "password"}}},
		{"DR-06 an unknown grant", oauth.MetadataMember, object{"grant_types": []string{"urn:x"}}},
		{"DR-06 a grant in another case", oauth.MetadataMember, object{"grant_types": []string{"Authorization_Code"}}},
		{"DR-06 grant_types is a string", oauth.MetadataMember, object{"grant_types": "authorization_code"}},
		{"DR-06 grant_types has a null", oauth.MetadataMember, object{"grant_types": []any{nil}}},
		{"DR-06 response_type token", oauth.MetadataMember, object{"response_types": []string{"token"}}},
		{"DR-06 response_type code id_token", oauth.MetadataMember, object{"response_types": []string{"code id_token"}}},
		{"DR-06 code without its grant", oauth.MetadataContradicts, machine(object{"response_types": []string{"code"}})},
		{"DCR-08 refresh_token alone", oauth.MetadataContradicts, object{"grant_types": []string{"refresh_token"}, "redirect_uris": nil}},
		{"DR-07 none", oauth.MetadataMember, object{"token_endpoint_auth_method": "none"}},
		{"DR-07 client_secret_basic", oauth.MetadataMember, object{"token_endpoint_auth_method": "client_secret_basic"}},
		{"DR-07 client_secret_jwt", oauth.MetadataMember, object{"token_endpoint_auth_method": "client_secret_jwt"}},

		{"DR-08 RS256", oauth.MetadataMember, object{"token_endpoint_auth_signing_alg": "RS256"}},
		{"DR-08 none", oauth.MetadataMember, object{"request_object_signing_alg": "none"}},
		{"DR-08 HS256", oauth.MetadataMember, object{"id_token_signed_response_alg": "HS256"}},
		{"DR-08 RS256 for introspection", oauth.MetadataMember, object{"introspection_signed_response_alg": "RS256"}},
		{"DR-08 none for userinfo", oauth.MetadataMember, object{"userinfo_signed_response_alg": "none"}},
		{"DR-08 RS256 for JARM", oauth.MetadataMember, object{"authorization_signed_response_alg": "RS256"}},
		{"DR-08 RSA1_5", oauth.MetadataMember, object{"id_token_encrypted_response_alg": "RSA1_5"}},
		{"DR-08 dir", oauth.MetadataMember, object{"id_token_encrypted_response_alg": "dir"}},
		{"DR-08 an unknown enc", oauth.MetadataMember, object{"id_token_encrypted_response_alg": "RSA-OAEP", "id_token_encrypted_response_enc": "A192GCM"}},
		{"DCR-13 id_token enc without alg", oauth.MetadataContradicts, object{"id_token_encrypted_response_enc": "A256GCM"}},
		{"DCR-13 request object enc without alg", oauth.MetadataContradicts, object{"request_object_encryption_enc": "A256GCM"}},
		{"DCR-13 userinfo enc without alg", oauth.MetadataContradicts, object{"userinfo_encrypted_response_enc": "A256GCM"}},
		{"DCR-13 userinfo encrypted and not signed", oauth.MetadataContradicts, object{"userinfo_encrypted_response_alg": "ECDH-ES"}},

		{"DCR-12 an unknown scope", oauth.MetadataScope, object{"scope": "openid evil"}},
		{"DCR-12 an unknown cluster", oauth.MetadataScope, object{"scope": "ROOT"}},
		{"DCR-12 a cluster in another case", oauth.MetadataScope, object{"scope": "transactions"}},
		{"CC-04 a quote", oauth.MetadataScope, object{"scope": `open"id`}},
		{"CC-04 two spaces", oauth.MetadataScope, object{"scope": "openid  client.read"}},
		{"CC-04 a tab", oauth.MetadataMember, object{"scope": "openid\tclient.read"}},
		{"CC-04 over 4 KiB", oauth.MetadataMember, object{"scope": strings.Repeat("openid ", 600)}},
		{"scope is an array", oauth.MetadataMember, object{"scope": []string{"openid"}}},

		{"AZ-11 a control character", oauth.MetadataMember, object{"client_name": "a\u0007b"}},
		{"AZ-11 a line break", oauth.MetadataMember, object{"client_name": "a\nb"}},
		{"AZ-11 right to left override", oauth.MetadataMember, object{"client_name": "a\u202eb"}},
		{"AZ-11 isolate", oauth.MetadataMember, object{"client_name": "a\u2066b"}},
		{"AZ-11 Arabic letter mark", oauth.MetadataMember, object{"description": "a\u061cb"}},
		{"AZ-11 a NUL", oauth.MetadataMember, object{"software_id": "a\u0000b"}},
		{"AZ-11 a name that nobody sees", oauth.MetadataMember, object{"client_name": " \u200b\u3164\u0301"}},
		{"AZ-11 an intermediary that nobody sees", oauth.MetadataMember, object{"intermediaries": []object{{"name": "\u00a0"}}}},
		{"AZ-11 in another language", oauth.MetadataMember, object{"client_name#fr": "a\u202eb"}},
		{"AZ-11 in a contact", oauth.MetadataMember, object{"contacts": []string{"a\u202eb"}}},
		{"AZ-11 in a registry reference", oauth.MetadataMember, object{"registry_references": []object{{"registered_entity_name": "a\u202eb", "registry": "FDX"}}}},
		{"AZ-11 in an intermediary", oauth.MetadataMember, object{"intermediaries": []object{{"name": "a\u202eb"}}}},
		{"a name of 201 characters", oauth.MetadataMember, object{"client_name": strings.Repeat("\u4e2d", 201)}},
		{"a name that is a number", oauth.MetadataMember, object{"client_name": 7}},
		{"a language that is none", oauth.MetadataMember, object{"client_name#<script>": "x"}},
		{"41 languages", oauth.MetadataMember, languages(41)},
		{"DR-18 logo over http", oauth.MetadataMember, object{"logo_uri": "http://c.example/logo"}},
		{"DR-18 javascript", oauth.MetadataMember, object{"client_uri": "javascript:alert(1)"}},
		{"DR-18 data", oauth.MetadataMember, object{"logo_uri": "data:image/png;base64,AAAA"}},
		{"DR-18 user name", oauth.MetadataMember, object{"policy_uri": "https://a@c.example/"}},
		{"DR-18 fragment", oauth.MetadataMember, object{"tos_uri": "https://c.example/#a"}},
		{"DR-18 in another language", oauth.MetadataMember, object{"tos_uri#fr": "javascript:alert(1)"}},
		{"contacts is a string", oauth.MetadataMember, object{"contacts": "a"}},
		{"21 contacts", oauth.MetadataMember, object{"contacts": repeat("a", 21)}},
		{"an empty contact", oauth.MetadataMember, object{"contacts": []string{""}}},
		{"an unknown application_type", oauth.MetadataMember, object{"application_type": "desktop"}},
		{"a flag that is a string", oauth.MetadataMember, object{"dpop_bound_access_tokens": "true"}},
		{"a negative age", oauth.MetadataMember, object{"default_max_age": -1}},
		{"an age over a year", oauth.MetadataMember, object{"default_max_age": 31536001}},
		{"an age that is a string", oauth.MetadataMember, object{"default_max_age": "60"}},
		{"a flag that is a number", oauth.MetadataMember, object{"require_signed_request_object": 1}},

		{"DCR-11 an unknown duration", oauth.MetadataMember, object{"duration_type": []string{"FOREVER"}}},
		{"DCR-11 a period of 0", oauth.MetadataMember, object{"duration_period": 0}},
		{"DCR-11 a period of 366", oauth.MetadataMember, object{"duration_period": 366}},
		{"DCR-11 a period of -1", oauth.MetadataMember, object{"duration_period": -1}},
		{"DCR-11 half a day", oauth.MetadataMember, object{"lookback_period": 1.5}},
		{"DCR-11 a string of days", oauth.MetadataMember, object{"lookback_period": "60"}},
		{"DCR-11 10^20 days", oauth.MetadataMember, object{"lookback_period": json.RawMessage("1e20")}},
		{"DCR-11 an unknown registry", oauth.MetadataMember, object{"registry_references": []object{{"registry": "evil"}}}},
		{"DCR-11 no registry", oauth.MetadataMember, object{"registry_references": []object{{"registered_entity_name": "x"}}}},
		{"DCR-11 11 references", oauth.MetadataMember, object{"registry_references": json.RawMessage("[" + strings.Join(repeat(`{"registry":"FDX"}`, 11), ",") + "]")}},
		{"DCR-11 references are an object", oauth.MetadataMember, object{"registry_references": object{"registry": "FDX"}}},
		{"DCR-11 an intermediary without a name", oauth.MetadataMember, object{"intermediaries": []object{{}}}},
		{"DCR-11 an intermediary with a bad URI", oauth.MetadataMember, object{"intermediaries": []object{{"name": "x", "uri": "javascript:x"}}}},
		{"DCR-11 an intermediary with a bad logo", oauth.MetadataMember, object{"intermediaries": []object{{"name": "x", "logo_uri": "http://c.example/"}}}},
		{"DCR-11 an unknown type of details", oauth.MetadataMember, object{"authorization_details_types": []string{"fdx_v9.9"}}},

		{"DR-22 a statement that is no JWS", oauth.StatementMalformed, object{"software_statement": "evil"}},
		{"DR-22 an unsigned statement", oauth.StatementMalformed, object{"software_statement": "eyJhbGciOiJub25lIn0.e30.AA"}},
		{"DR-22 a statement by RS256", oauth.StatementMalformed, object{"software_statement": statement("RS256")}},
		{"DR-22 a statement of an issuer that nobody trusts", oauth.StatementNotTrusted, object{"software_statement": statement("ES256")}},
		{"DR-22 a statement that is an object", oauth.StatementMalformed, object{"software_statement": object{}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m, err := rules.Read(body(t, test.members))
			refused(t, err, test.want)
			if m.TokenEndpointAuthMethod != "" {
				t.Error("a refused registration has metadata")
			}
		})
	}
}

// statement has the form of a software statement that somebody signed.
func statement(alg string) string {
	b64 := base64.RawURLEncoding.EncodeToString
	return b64([]byte(`{"alg":"`+alg+`"}`)) + "." + b64([]byte(`{"iss":"https://evil.example"}`)) + "." + b64(make([]byte, 64))
}

// languages is a client's name in n languages.
func languages(n int) object {
	o := object{}
	for i := range n {
		o["client_name#f"+string(rune('a'+i%26))+strings.Repeat("x", i/26)] = "x"
	}
	return o
}

// DR-03: redirect URIs that are not redirected to, under the code that RFC 7591 has for them.
func TestRedirectURIs(t *testing.T) {
	tests := []struct {
		name, uri   string
		web, native bool
	}{
		{"https", "https://c.example/cb", true, true},
		{"with a query", "https://c.example/cb?a=b&c=%20", true, true},
		{"with a port", "https://c.example:8443/cb", true, true},
		{"without a path", "https://c.example", true, true},
		{"DR-03 fragment", "https://c.example/cb#f", false, false},
		{"DR-03 empty fragment", "https://c.example/cb#", false, false},
		{"DR-03 javascript", "javascript:alert(1)", false, false},
		{"DR-03 data", "data:text/html,x", false, false},
		{"DR-03 http", "http://c.example/cb", false, false},
		{"DR-03 wildcard", "https://*.c.example/cb", false, false},
		{"DR-03 relative", "/cb", false, false},
		{"DR-03 no scheme", "//c.example/cb", false, false},
		{"DR-03 no host", "https:///cb", false, false},
		{"DR-03 only a port", "https://:443/cb", false, false},
		{"DR-03 opaque", "https:c.example/cb", false, false},
		{"DR-03 user name", "https://a@c.example/cb", false, false},
		{"DR-03 user name and password", "https://a:b@c.example/cb", false, false},
		{"DR-03 backslash", `https://c.example\@evil.example/cb`, false, false},
		{"DR-03 space", "https://c.example/c b", false, false},
		{"DR-03 leading space", " https://c.example/cb", false, false},
		{"DR-03 outside ASCII", "https://c.example/\u00e9", false, false},
		{"DR-03 a bad escape", "https://c.example/%zz", false, false},
		{"DR-03 a scheme of its own", "com.example.app:/cb", false, false},
		{"DCR-07 loopback", "http://127.0.0.1/cb", false, true},
		{"DCR-07 loopback on a port", "http://127.0.0.1:51004/cb", false, true},
		{"DCR-07 IPv6 loopback", "http://[::1]:51004/cb", false, true},
		{"DCR-07 localhost", "http://localhost:51004/cb", false, false},
		{"DCR-07 a name that begins like loopback", "http://127.0.0.1.evil.example/cb", false, false},
		{"DCR-07 a private address", "http://10.0.0.1/cb", false, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for applicationType, want := range map[string]bool{"web": test.web, "native": test.native} {
				for _, member := range []string{"redirect_uris", "post_logout_redirect_uris"} {
					uris := object{"application_type": applicationType, "redirect_uris": []string{"https://c.example/cb"}}
					uris[member] = []string{"https://c.example/first", test.uri}
					_, err := rules.Read(body(t, uris))
					if !want {
						refused(t, err, oauth.RedirectURIRefused)
					} else if err != nil {
						t.Errorf("%s: %v", applicationType, err)
					}
				}
			}
		})
	}
	for name, members := range map[string]object{
		"DR-03 none": {"redirect_uris": nil}, "DR-03 an empty list": {"redirect_uris": []string{}}, "DR-03 null": {"redirect_uris": null},
	} {
		_, err := rules.Read(body(t, members))
		t.Run(name, func(t *testing.T) { refused(t, err, oauth.RedirectURIRefused) })
	}
	for name, uris := range map[string]any{
		"DR-17 200 of them": repeat("https://c.example/cb", 200), "DCR-07 21 of them": repeat("https://c.example/cb", 21), "a string": "https://c.example/cb",
		"an empty one": []string{""}, "over 2000 characters": []string{"https://c.example/" + strings.Repeat("a", 2000)}, "a number": []int{1},
	} {
		_, err := rules.Read(body(t, object{"redirect_uris": uris}))
		t.Run(name, func(t *testing.T) { refused(t, err, oauth.MetadataMember) })
	}
	accepted(t, body(t, object{"redirect_uris": repeat("https://c.example/cb", 20)}))
}
