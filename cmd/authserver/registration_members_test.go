package main

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"testing"

	"authserver/internal/client"
	"authserver/internal/flow"

	"github.com/google/go-cmp/cmp"
)

// everyMember has a value for each member that is registered (req DCR-07, DCR-10, DCR-11, DCR-13), but for the two that
// name the client's keys. Members of one kind have different values where there are any, so that none passes for another.
var everyMember = map[string]any{
	"client_name": "a recipient", "description": "what it does", "client_uri": "https://c.example/", "logo_uri": "https://c.example/logo",
	"tos_uri": "https://c.example/tos", "policy_uri": "https://c.example/policy", "contacts": []string{"a@c.example", "b@c.example"},
	"software_id": "an id", "software_version": "a version", "application_type": "native",
	"client_name#fr": "un destinataire", "policy_uri#fr-CA": "https://c.example/fr",

	"redirect_uris": []string{"https://c.example/cb", "http://127.0.0.1/cb"}, "post_logout_redirect_uris": []string{"https://c.example/bye"},
	"initiate_login_uri": "https://c.example/login", "backchannel_logout_uri": "https://c.example/logout", "backchannel_logout_session_required": true,
	"grant_types": []string{"authorization_code", "refresh_token", "client_credentials"}, "response_types": []string{"code"},
	"response_modes": []string{"query", "form_post", "jwt", "query.jwt", "form_post.jwt"}, "scope": "openid fdx:tax:read client.read",

	"token_endpoint_auth_method": "private_key_jwt", "token_endpoint_auth_signing_alg": "ES256", "dpop_bound_access_tokens": true,
	"tls_client_certificate_bound_access_tokens": true, "use_mtls_endpoint_aliases": true,

	"request_object_signing_alg": "EdDSA", "request_object_encryption_alg": "RSA-OAEP", "request_object_encryption_enc": "A128GCM",
	"require_signed_request_object": true, "require_pushed_authorization_requests": true, "default_max_age": 3600, "require_auth_time": true,
	"default_acr_values": []string{"urn:example:acr"}, "subject_type": "public", "sector_identifier_uri": "https://c.example/sector",

	"id_token_signed_response_alg": "ES256", "id_token_encrypted_response_alg": "RSA-OAEP", "id_token_encrypted_response_enc": "A256GCM",
	"userinfo_signed_response_alg": "EdDSA", "userinfo_encrypted_response_alg": "RSA-OAEP-256", "userinfo_encrypted_response_enc": "A128GCM",
	"authorization_signed_response_alg": "PS256", "authorization_encrypted_response_alg": "ECDH-ES", "authorization_encrypted_response_enc": "A128CBC-HS256",
	"introspection_signed_response_alg": "ES256", "introspection_encrypted_response_alg": "ECDH-ES+A256KW", "introspection_encrypted_response_enc": "A256CBC-HS512",

	"authorization_details_types": []string{"fdx_v1.0"}, "duration_type": []string{"ONE_TIME", "PERSISTENT", "TIME_BOUND"},
	"duration_period": 90, "lookback_period": 730,
	"registry_references": []client.RegistryReference{{RegisteredEntityName: "a name", RegisteredEntityID: "an id", Registry: "GLEIF"}},
	"intermediaries": []client.Intermediary{{
		Name: "a platform", Description: "passes data on", URI: "https://p.example/", LogoURI: "https://p.example/logo", Contacts: []string{"c@p.example"},
		RegistryReferences: []client.RegistryReference{{RegisteredEntityName: "its name", RegisteredEntityID: "its id", Registry: "FDX"}},
	}},
}

// echoed wants every member that was sent in the answer as it was sent.
func echoed(t *testing.T, sent map[string]any, e *flow.Exchange) {
	t.Helper()
	text, err := json.Marshal(sent)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range (&flow.Exchange{ResponseBody: string(text)}).JSON() {
		if diff := cmp.Diff(value, e.JSON()[name]); diff != "" {
			t.Errorf("%s %s: %s (-sent +answered):\n%s", e.Method, e.URL, name, diff)
		}
	}
}

// DCR-07, DCR-10, DCR-11, DCR-13: every member is taken, kept and answered as it was sent, at registration and at an update,
// at the replica that took it and at another.
func TestEveryMember(t *testing.T) {
	d := deploy(t, 2, nil)
	for name, keys := range map[string]func(map[string]any){
		"jwks":     newReader(t).publish,
		"jwks_uri": changes{"jwks": nil, "jwks_uri": "https://keys.c.example:8443/jwks?client=1"}.apply,
	} {
		t.Run(name, func(t *testing.T) {
			d := d.within(t)
			bare := d.register(0)
			c := d.register(0, changes(everyMember).apply, keys)
			sent := metadata(c.Key, changes(everyMember).apply, keys)
			echoed(t, sent, d.expect(c, c.ManageRequest(http.MethodGet, nil), "200"))
			there := d.at(c, 1)
			echoed(t, sent, d.expect(there, there.ManageRequest(http.MethodGet, nil), "200"))

			sent["jwks"] = metadata(bare.Key, keys)["jwks"]
			changes{}.apply(sent)
			echoed(t, sent, d.expect(bare, bare.ManageRequest(http.MethodPut, sent), "200"))
			there = d.at(bare, 1)
			echoed(t, sent, d.expect(there, there.ManageRequest(http.MethodGet, nil), "200"))
		})
	}
	names := slices.DeleteFunc(slices.Sorted(maps.Keys(everyMember)), func(name string) bool { return name == "client_name#fr" || name == "policy_uri#fr-CA" })
	want := slices.Sorted(slices.Values(client.MemberNames()))
	if diff := cmp.Diff(want, slices.Sorted(slices.Values(append(names, "jwks", "jwks_uri")))); diff != "" {
		t.Errorf("the members that are registered (-) and those that are tested (+):\n%s", diff)
	}
}

// DR-13: a member of the wrong JSON type is refused, at registration and at an update alike, whichever it is.
func TestEveryMemberOfAnotherType(t *testing.T) {
	d := deploy(t, 1, nil)
	wrong := map[string]changes{}
	for name := range everyMember {
		wrong[name] = changes{name: map[string]any{"a": 1}}
	}
	wrong["jwks"], wrong["jwks_uri"] = changes{"jwks": []int{1}}, changes{"jwks": nil, "jwks_uri": []int{1}}
	d.neither(t, noMetadata, wrong)
}
