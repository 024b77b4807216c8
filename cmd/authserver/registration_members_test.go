package main

import (
	"encoding/json"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"authserver/internal/certificate/certificatetest"
	"authserver/internal/client"
	"authserver/internal/flow"

	"github.com/google/go-cmp/cmp"
)

// everyMember has a value for each member that is registered (req DCR-07, DCR-10, DCR-11, DCR-13), but for the two that
// name the client's keys and the five of which a client has one at most. Members of one kind have different values where there are any, so that none passes for another.
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

// everySubject has a value for each member that says which certificate is the client's (RFC 8705 §2.1.2).
var everySubject = map[string]any{
	"tls_client_auth_subject_dn": `CN=kim+serialNumber=1,O=Kim & Sons\, Inc.,C=CA`, "tls_client_auth_san_dns": "Kim.example",
	"tls_client_auth_san_uri": "urn:bank:kim", "tls_client_auth_san_ip": "2001:DB8::1", "tls_client_auth_san_email": "kim@Bank.example",
}

// withMutualTLS lets proxies tell of certificates, which is all that registration asks for.
func withMutualTLS(t *testing.T) func(*settings) {
	file := filepath.Join(t.TempDir(), "clients.pem")
	if err := os.WriteFile(file, certificatetest.NewAuthority(t).PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	return func(s *settings) {
		s.TrustedProxies, s.ClientCertHeader, s.MTLSClientCAFile = "192.0.2.0/24", "Client-Cert", file
	}
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
	d := deploy(t, 2, withMutualTLS(t))
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
	for name, value := range everySubject {
		t.Run(name, func(t *testing.T) {
			d := d.within(t)
			bare, subject := d.register(0), changes{"token_endpoint_auth_method": client.TLSClientAuth, name: value}
			sent := metadata(bare.Key, subject.apply)
			echoed(t, sent, d.expect(bare, bare.ManageRequest(http.MethodPut, sent), "200"))
			there := d.at(bare, 1)
			echoed(t, sent, d.expect(there, there.ManageRequest(http.MethodGet, nil), "200"))
			outcome(t, do(t, d.server(1), d.server(1).RegisterRequest(sent)), "400 invalid_client_metadata") // it is taken
		})
	}
	names := slices.DeleteFunc(slices.Sorted(maps.Keys(everyMember)), func(name string) bool { return name == "client_name#fr" || name == "policy_uri#fr-CA" })
	want := slices.Sorted(slices.Values(client.MemberNames()))
	if diff := cmp.Diff(want, slices.Sorted(slices.Values(slices.AppendSeq(append(names, "jwks", "jwks_uri"), maps.Keys(everySubject))))); diff != "" {
		t.Errorf("the members that are registered (-) and those that are tested (+):\n%s", diff)
	}
}

// DR-13: a member of the wrong JSON type is refused, at registration and at an update alike, whichever it is.
func TestEveryMemberOfAnotherType(t *testing.T) {
	d := deploy(t, 1, withMutualTLS(t))
	wrong := map[string]changes{}
	for name := range everyMember {
		wrong[name] = changes{name: map[string]any{"a": 1}}
	}
	for name := range everySubject {
		wrong[name] = changes{"token_endpoint_auth_method": client.TLSClientAuth, name: map[string]any{"a": 1}}
	}
	wrong["jwks"], wrong["jwks_uri"] = changes{"jwks": []int{1}}, changes{"jwks": nil, "jwks_uri": []int{1}}
	d.neither(t, noMetadata, wrong)
}
