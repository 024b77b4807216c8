package dcr_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"testing"

	"authserver/internal/client"
	"authserver/internal/oauth"
)

// FuzzRead: whatever is accepted is echoed, and a client that sends the echo back as an update has changed nothing.
func FuzzRead(f *testing.F) {
	for _, name := range []string{"testdata/seed001.json", "testdata/fdx52.json"} {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
		f.Add(bytes.Replace(text, []byte("{"), []byte(`{"jwks_uri":"https://partner.example/jwks",`), 1))
	}
	for _, members := range []object{
		nil, {"scope": "TAX openid fdx:tax:read"}, {"grant_types": []string{"client_credentials"}, "redirect_uris": nil}, {"response_types": []string{}},
		{"client_name#fr": "x", "tos_uri#de": "https://c.example/"}, {"jwks": keys(rsaKey, edKey, `{"kty":"AKP"}`)}, {"default_max_age": 0},
		{"id_token_encrypted_response_alg": "ECDH-ES", "token_endpoint_auth_signing_alg": "ES256"}, {"contacts": []string{}, "client_uri": "https://c.example/?a=<&>"},
		{"application_type": "native", "redirect_uris": []string{"http://127.0.0.1:1/"}}, {"post_logout_redirect_uris": []string{"https://c.example/"}},
		{"intermediaries": []object{{"name": "x", "contacts": []string{""}, "registry_references": []object{{"registry": "FDX"}}}}},
		{"software_statement": "eyJhbGciOiJFUzI1NiJ9.e30.AA"}, {"client_id": "c1", "client_secret": "x"},
	} {
		f.Add(body(f, members))
	}
	f.Add([]byte(`{"redirect_uris":["https://c.example/"],"JWKS":{},"jwks":{"keys":[` + ecKey + `]},"intermediaries":[{"Name":"x","NAME":"y"}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := rules.Read(text)
		if err != nil {
			refusal, ok := errors.AsType[*oauth.Error](err)
			if !ok || refusal.Status() != 400 || refusal.Description != oauth.Printable(refusal.Description) {
				t.Fatalf("%#v", err)
			}
			return
		}
		if _, err := oauth.ParseScope(m.Scope); err != nil || len(m.GrantTypes) == 0 || m.ResponseTypes == nil || m.TokenEndpointAuthMethod != "private_key_jwt" {
			t.Fatalf("incomplete: %s", echo(t, m))
		}
		if (m.JWKS == nil) == (m.JWKSURI == "") {
			t.Fatalf("not exactly one source of keys: %s", echo(t, m))
		}
		echoed, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		again, err := rules.ReadUpdate(echoed, "c1")
		if err != nil {
			t.Fatalf("the echo %s is refused: %v", echoed, err)
		}
		same(t, m, again)
		// What the store reads back is what it was given.
		var stored client.Metadata
		if err := json.Unmarshal(echoed, &stored); err != nil {
			t.Fatal(err)
		}
		same(t, m, stored)
	})
}
