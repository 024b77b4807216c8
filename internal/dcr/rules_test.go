package dcr_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"authserver/internal/client"
	"authserver/internal/dcr"
	"authserver/internal/fdx"
	"authserver/internal/oauth"
)

var rules = dcr.Rules{
	Scopes:  append(fdx.Scopes(), "openid", "client.read", "client.create"),
	Vetting: client.Vetting{Own: []string{"https://as.example"}},

	CertificateMethods: []string{client.TLSClientAuth, client.SelfSignedTLSClientAuth},
}

// allScopes is what a client gets that asks for none.
var allScopes = strings.Join(fdx.Scopes(), " ") + " openid"

// The public keys that RFC 9449 §4.1, RFC 7638 §3.1 and RFC 8037 A.2 print.
const (
	ecKey  = `{"kty":"EC","crv":"P-256","x":"l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs","y":"9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA"}`
	rsaKey = `{"kty":"RSA","e":"AQAB","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"}`
	edKey  = `{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`
)

// object is a registration in the making.
type object = map[string]any

// keys is a JWK Set of these keys.
func keys(list ...string) json.RawMessage {
	return json.RawMessage(`{"keys":[` + strings.Join(list, ",") + `]}`)
}

// named is the key with more members, such as a kid.
func named(key, members string) string { return strings.TrimSuffix(key, "}") + "," + members + "}" }

// body is the least that can be registered, with members set, or taken away by nil.
func body(t testing.TB, members object) []byte {
	t.Helper()
	o := object{"redirect_uris": []string{"https://c.example/cb"}, "jwks": keys(ecKey)}
	for name, value := range members {
		if o[name] = value; value == nil {
			delete(o, name)
		}
	}
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// null is a JSON null, which body does not take away.
var null = json.RawMessage("null")

// accepted reads a body that must be taken.
func accepted(t testing.TB, text []byte) client.Metadata {
	t.Helper()
	m, err := rules.Read(text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return m
}

// refused demands a refusal for the reason, fit to be shown and without the value that it is about.
func refused(t testing.TB, err error, want oauth.Reason) {
	t.Helper()
	refusal, ok := errors.AsType[*oauth.Error](err)
	if !ok || refusal.Reason != want || refusal.Status() != 400 {
		t.Fatalf("%v, want %s", err, want)
	}
	if refusal.Description != oauth.Printable(refusal.Description) || strings.Contains(refusal.Description, "evil") {
		t.Errorf("not fit for error_description: %s", refusal.Description)
	}
}

// same compares metadata as they are stored and echoed.
func same(t testing.TB, want, got client.Metadata) {
	t.Helper()
	if diff := cmp.Diff(echo(t, want), echo(t, got)); diff != "" {
		t.Error(diff)
	}
}

func echo(t testing.TB, m client.Metadata) string {
	t.Helper()
	text, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, text, "", " "); err != nil {
		t.Fatal(err)
	}
	return indented.String()
}

// DR-01, DCR-10: the body of seed 001.
func TestSeed001(t *testing.T) {
	text, err := os.ReadFile("testdata/seed001.json")
	if err != nil {
		t.Fatal(err)
	}
	same(t, client.Metadata{
		ClientName:    "11TestName1221",
		RedirectURIs:  []string{"https://oauth.pstmn.io/v1/browser-callback"},
		GrantTypes:    []string{"client_credentials", "authorization_code", "refresh_token"},
		ResponseTypes: []string{"code"},
		Scope: "client.create client.read fdx:transactions:read fdx:accountbasic:read openid fdx:customerpersonal:read fdx:accountdetailed:read " +
			"fdx:investments:read fdx:paymentsupport:read fdx:accountpayments:read fdx:bills:read fdx:images:read fdx:rewards:read fdx:tax:read " +
			"fdx:statements:read fdx:customercontact:read",
		JWKSURI:                     "https://www.jsonkeeper.com/b/3FJT",
		TokenEndpointAuthMethod:     "private_key_jwt",
		TokenEndpointAuthSigningAlg: "PS256",
		RequestObjectSigningAlg:     "PS256",
		IDTokenSignedResponseAlg:    "PS256",
		IDTokenEncryptedResponseAlg: "RSA-OAEP",
		IDTokenEncryptedResponseEnc: "A256GCM",
	}, accepted(t, text))
}

// DR-01, DCR-11, DCR-12: the body of FDX's recipient registration, which names no keys of its own.
func TestFDX52(t *testing.T) {
	text, err := os.ReadFile("testdata/fdx52.json")
	if err != nil {
		t.Fatal(err)
	}
	_, err = rules.Read(text)
	refused(t, err, oauth.MetadataKeys)
	text = bytes.Replace(text, []byte("{"), []byte(`{"jwks_uri":"https://partner.example/jwks",`), 1)
	same(t, client.Metadata{
		ClientName:               "My Example Client",
		Description:              "Recipient Application",
		ClientURI:                "https://example.net/",
		LogoURI:                  "https://client.example.org/logo.png",
		Contacts:                 []string{"support@example.net"},
		RedirectURIs:             []string{"https://partner.example/callback"},
		GrantTypes:               []string{"authorization_code"},
		ResponseTypes:            []string{"code"},
		Scope:                    "fdx:accountdetailed:read fdx:transactions:read fdx:investments:read",
		JWKSURI:                  "https://partner.example/jwks",
		TokenEndpointAuthMethod:  "private_key_jwt",
		IDTokenSignedResponseAlg: "PS256",
		DurationType:             []string{"TIME_BOUND"},
		DurationPeriod:           365,
		LookbackPeriod:           365,
		RegistryReferences:       []client.RegistryReference{{RegisteredEntityName: "Official recipient name", RegisteredEntityID: "4HCHXIURY78NNH6JH", Registry: "GLEIF"}},
		Intermediaries: []client.Intermediary{{
			Name: "Data Access Platform Name", Description: "Data Access Platform", URI: "https://partner.example/",
			LogoURI: "https://partner.example/logo.png", Contacts: []string{"support@partner.com"},
			RegistryReferences: []client.RegistryReference{{RegisteredEntityName: "Data Access Platform listed company Name", RegisteredEntityID: "JJH7776512TGMEJSG", Registry: "FDX"}},
		}},
	}, accepted(t, text))
}

// DCR-09: the least that can be registered, with the defaults as they are in force.
func TestDefaults(t *testing.T) {
	least := client.Metadata{
		RedirectURIs: []string{"https://c.example/cb"}, GrantTypes: []string{"authorization_code"}, ResponseTypes: []string{"code"},
		Scope: allScopes, JWKS: keys(ecKey), TokenEndpointAuthMethod: "private_key_jwt", IDTokenSignedResponseAlg: "PS256",
	}
	same(t, least, accepted(t, body(t, nil)))
	for name, members := range map[string]object{
		"DCR-14 null": {"client_name": null, "grant_types": null, "response_types": null, "scope": null, "jwks_uri": null, "duration_period": null,
			"dpop_bound_access_tokens": null, "intermediaries": null, "token_endpoint_auth_method": null, "software_statement": null, "default_max_age": null},
		"DCR-14 empty": {"client_name": "", "scope": "", "jwks_uri": "", "token_endpoint_auth_method": "", "tos_uri": "", "grant_types": []string{},
			"response_types": []string{}, "contacts": []string{}, "duration_type": []string{}, "application_type": "", "id_token_signed_response_alg": ""},
		"DR-09 what only the server sets": {"client_id": "evil", "registration_access_token": "evil", "client_secret": "evil", "client_secret_expires_at": 0,
			"client_id_issued_at": 1, "registration_client_uri": "https://evil.example/", "status": "Approved", "client_id#fr": "x"},
		"DR-09 what nobody knows": {"admin": true, "registrar": true, "Registrar": true, "serves": []string{"x"}, "x": object{"y": []int{1}}, "scope ": "x"},
		"names in another case":   {"Scope": "x", "REDIRECT_URIS": []string{"javascript:x"}, "Jwks_Uri": "http://evil.example"},
	} {
		t.Run(name, func(t *testing.T) { same(t, least, accepted(t, body(t, members))) })
	}
	t.Run("DCR-08 client_credentials alone", func(t *testing.T) {
		same(t, client.Metadata{GrantTypes: []string{"client_credentials"}, ResponseTypes: []string{}, Scope: allScopes, JWKS: keys(ecKey),
			TokenEndpointAuthMethod: "private_key_jwt"},
			accepted(t, body(t, object{"grant_types": []string{"client_credentials"}, "redirect_uris": nil})))
	})
}

// DR-10, DCR-20: an update is read as a registration, and brings nothing that only the server sets.
func TestReadUpdate(t *testing.T) {
	for name, members := range map[string]object{
		"CX-11 no client_id": nil, "the right client_id": {"client_id": "c1"}, "client_id null": {"client_id": null},
		"empty server members": {"registration_access_token": "", "client_secret": null},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := rules.ReadUpdate(body(t, members), "c1")
			if err != nil {
				t.Fatal(err)
			}
			same(t, accepted(t, body(t, nil)), m)
		})
	}
	for name, test := range map[string]struct {
		members object
		want    oauth.Reason
	}{
		"DR-10 another client_id":           {object{"client_id": "evil"}, oauth.MetadataServerMember},
		"DR-10 client_id in another case":   {object{"client_id": "C1"}, oauth.MetadataServerMember},
		"DR-10 client_id is a number":       {object{"client_id": 1}, oauth.MetadataServerMember},
		"DCR-20 registration_access_token":  {object{"registration_access_token": "x"}, oauth.MetadataServerMember},
		"DCR-20 registration_client_uri":    {object{"registration_client_uri": "x"}, oauth.MetadataServerMember},
		"DCR-20 client_secret_expires_at":   {object{"client_secret_expires_at": 0}, oauth.MetadataServerMember},
		"DCR-20 client_id_issued_at":        {object{"client_id_issued_at": 0}, oauth.MetadataServerMember},
		"DCR-20 client_secret":              {object{"client_secret": "x"}, oauth.MetadataServerMember},
		"DR-13 a refused host":              {object{"jwks": nil, "jwks_uri": "https://127.0.0.1/jwks"}, oauth.MetadataKeys},
		"DR-13 a grant that is not offered": {object{"grant_types": []string{"implicit"}}, oauth.MetadataMember},
		"DR-13 a scope that is not known":   {object{"scope": "admin"}, oauth.MetadataScope},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := rules.ReadUpdate(body(t, test.members), "c1")
			refused(t, err, test.want)
		})
	}
	for _, text := range []string{`[]`, `null`, `{`, `{"scope":"a","scope":"b"}`} {
		_, err := rules.ReadUpdate([]byte(text), "c1")
		refused(t, err, oauth.MetadataMalformed)
	}
}

// TestJudge: an operator learns at once all that is wrong with a client, each once, and nothing that may only follow from it.
// A client is answered with the first of it.
func TestJudge(t *testing.T) {
	all := object{
		"client_name": 7, "client_name#fr": 7, "grant_types": []string{"password"}, "redirect_uris": nil, "scope": "nix",
		"tls_client_auth_san_dns": "*.example\n", "jwks": nil, "jwks_uri": "http://c.example/jwks", "software_statement": "x",
		"id_token_encrypted_response_enc": "A128GCM", "id_token_encrypted_response_alg": "none", "client_secret": "x", "client_id": "c2",
	}
	want := []string{"client_secret must not", "client_id must be", "client_name must be", "grant_types must be", "tls_client_auth_san_dns must be",
		"id_token_encrypted_response_alg must be", "software_statement: ", "scope must be"}
	for name, test := range map[string]struct {
		members object
		refused []string
		want    []string
	}{
		"members": {all, nil, want},
		"members beside each other": {object{"grant_types": []string{"client_credentials"}, "response_types": []string{"code"}, "jwks": nil, "scope": "nix",
			"userinfo_encrypted_response_enc": "A128GCM", "redirect_uris": []string{"http://c.example"}, "tls_client_auth_san_dns": "c.example"}, nil,
			[]string{"tls_client_auth_subject_dn and", "response_types has code", "userinfo_encrypted_response_enc needs", "redirect_uris: ", "private_key_jwt needs jwks", "scope must be"}},
		"what was refused before": {object{"jwks": nil, "scope": "nix"}, []string{"jwks"}, []string{"scope must be"}},
		"nothing":                 {object{}, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			text := body(t, test.members)
			m, wrong := rules.Judge(text, "c1", test.refused...)
			if fits := slices.EqualFunc(wrong, test.want, func(err error, want string) bool { return strings.Contains(err.Error(), want) }); !fits {
				t.Errorf("%q, want %q", wrong, test.want)
			}
			if (m.TokenEndpointAuthMethod == "") != (len(wrong) > 0) {
				t.Errorf("%+v", m)
			}
			if _, err := rules.ReadUpdate(text, "c1"); test.refused == nil && len(wrong) > 0 && (err == nil || err.Error() != wrong[0].Error()) {
				t.Errorf("%v, want %v", err, wrong[0])
			}
		})
	}
}
