package dcr_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	oracle "github.com/go-jose/go-jose/v4"

	"authserver/internal/certificate/certificatetest"
	"authserver/internal/client"
	"authserver/internal/oauth"
)

// FuzzRead: whatever is accepted keeps the rules of requirements.md section 21, read again from the echo alone; a client
// that sends the echo back as an update has changed nothing; and an update is judged exactly as a registration.
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
		{"id_token_encrypted_response_alg": "RSA-OAEP", "jwks": keys(edKey, named(rsaKey, `"use":"enc"`))},
		{"software_statement": "eyJhbGciOiJFUzI1NiJ9.e30.AA"}, {"client_id": "c1", "client_secret": "x"},
		{"token_endpoint_auth_method": "tls_client_auth", "tls_client_auth_subject_dn": `CN=kim+C=CA,O=Kim \2c Sons`, "jwks": nil},
		{"token_endpoint_auth_method": "tls_client_auth", "tls_client_auth_san_ip": "::ffff:10.0.0.1"},
		{"token_endpoint_auth_method": "self_signed_tls_client_auth", "jwks": published(f, certificatetest.SelfSigned(f))},
	} {
		f.Add(body(f, members))
	}
	// What is refused, from where the fuzzer is to look for what is not.
	for _, members := range []object{
		{"redirect_uris": []string{"https://c.example/cb#f"}}, {"redirect_uris": []string{"http://c.example/cb"}}, {"redirect_uris": []string{"https://a@c.example/cb"}},
		{"application_type": "native", "redirect_uris": []string{"http://10.0.0.1/"}}, {"post_logout_redirect_uris": []string{"javascript:x"}}, {"redirect_uris": nil},
		{"grant_types": []string{"refresh_token"}, "redirect_uris": nil}, {"grant_types": []string{"client_credentials"}, "response_types": []string{"code"}},
		{"id_token_signed_response_alg": "RS256"}, {"userinfo_encrypted_response_enc": "A256GCM"}, {"id_token_encrypted_response_alg": "RSA1_5"},
		{"id_token_encrypted_response_alg": "RSA-OAEP"}, {"id_token_encrypted_response_alg": "ECDH-ES", "jwks": keys(named(ecKey, `"use":"sig"`))},
		{"client_uri": "http://c.example/"}, {"logo_uri#fr": "javascript:x"}, {"tos_uri": "https://c.example/#a"}, {"scope": "openid root"}, {"scope": "ROOT"},
		{"jwks": keys(ecKey, named(ecKey, `"d":"AA"`))}, {"jwks": keys(named(ecKey, `"use":"enc"`))}, {"jwks": keys(`{"kty":"oct","k":"AAAA"}`, rsaKey)},
		{"token_endpoint_auth_signing_alg": "PS256"}, {"jwks_uri": "https://c.example/jwks"}, {"jwks": nil}, {"jwks": nil, "jwks_uri": "https://127.0.0.1/jwks"},
		{"token_endpoint_auth_method": "none"}, {"registration_access_token": "x"}, {"client_id": "c2"}, {"duration_period": 366}, {"subject_type": "pairwise"},
	} {
		f.Add(body(f, members))
	}
	f.Add([]byte(`{"redirect_uris":["https://c.example/"],"JWKS":{},"jwks":{"keys":[` + ecKey + `]},"intermediaries":[{"Name":"x","NAME":"y"}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := rules.Read(text)
		updated, err2 := rules.ReadUpdate(text, "c1")
		if reason := reasonOf(t, err2); reason != oauth.MetadataServerMember && reason != reasonOf(t, err) {
			t.Fatalf("registered: %v, updated: %v", err, err2)
		}
		if err2 == nil {
			same(t, m, updated)
			checkUpdate(t, text)
		}
		if err != nil {
			same(t, client.Metadata{}, m)
			return
		}
		echoed, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		checkEcho(t, echoed)
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

// reasonOf demands that an error is a refusal of the registration, fit to be shown.
func reasonOf(t *testing.T, err error) oauth.Reason {
	t.Helper()
	if err == nil {
		return ""
	}
	refusal, ok := errors.AsType[*oauth.Error](err)
	if !ok || refusal.Status() != 400 || refusal.Description != oauth.Printable(refusal.Description) {
		t.Fatalf("%#v", err)
	}
	return refusal.Reason
}

// checkUpdate looks for members that only the server sets, in an update for c1 that was accepted.
func checkUpdate(t *testing.T, text []byte) {
	t.Helper()
	var members map[string]any
	if err := json.Unmarshal(text, &members); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"registration_access_token", "registration_client_uri", "client_secret_expires_at", "client_id_issued_at", "client_secret", "client_id"} {
		if value := members[name]; value != nil && value != "" && (name != "client_id" || value != "c1") {
			t.Fatalf("an update may set %s to %v", name, value)
		}
	}
}

// What an echo may hold, by the names of the members.
var (
	signedAlg    = regexp.MustCompile(`^"(PS256|ES256|EdDSA)"$`)
	encryptedAlg = regexp.MustCompile(`^"(RSA-OAEP|RSA-OAEP-256|ECDH-ES|ECDH-ES\+A256KW)"$`)
	encryptedEnc = regexp.MustCompile(`^"(A256GCM|A128GCM|A128CBC-HS256|A256CBC-HS512)"$`)
	webURI       = regexp.MustCompile(`^(?i:https)://[^\x00-\x20\x7f-\x{10ffff}"#<>\\^\x60{|}@]+(/[^\x00-\x20\x7f-\x{10ffff}"#<>\\^\x60{|}]*)?$`)
	loopbackURI  = regexp.MustCompile(`^(?i:http)://(127(\.[0-9]{1,3}){3}|\[[0:.1-9a-f]+\])(:[0-9]*)?([/?][^#]*)?$`)
	flag         = regexp.MustCompile(`^true$`)
	words        = regexp.MustCompile(`^\["[A-Za-z0-9_.]+"(,"[A-Za-z0-9_.]+")*\]$`)
	number       = regexp.MustCompile(`^(0|[1-9][0-9]{0,7})$`)
	anything     = regexp.MustCompile(`^["\[{]`)
)

// patterns are of the members whose names do not say it.
var patterns = map[string]*regexp.Regexp{
	"client_name": anything, "description": anything, "contacts": anything, "software_id": anything, "software_version": anything,
	"application_type": regexp.MustCompile(`^"(web|native)"$`), "redirect_uris": anything, "post_logout_redirect_uris": anything,
	"backchannel_logout_session_required": flag, "grant_types": words, "response_types": regexp.MustCompile(`^\[("code")?\]$`), "response_modes": words,
	"scope": anything, "jwks": anything, "token_endpoint_auth_method": regexp.MustCompile(`^"(private_key_jwt|tls_client_auth|self_signed_tls_client_auth)"$`),
	"tls_client_auth_subject_dn": anything, "tls_client_auth_san_dns": regexp.MustCompile(`^"[A-Za-z0-9._-]+"$`),
	"tls_client_auth_san_uri": regexp.MustCompile(`^"[A-Za-z][^\x00-\x20\x7f-\x{10ffff}]*"$`), "tls_client_auth_san_ip": regexp.MustCompile(`^"[0-9A-Fa-f:.]+"$`),
	"tls_client_auth_san_email": regexp.MustCompile(`^"[!-~]+@[A-Za-z0-9._-]+"$`),
	"dpop_bound_access_tokens":  flag, "tls_client_certificate_bound_access_tokens": flag, "use_mtls_endpoint_aliases": flag,
	"require_signed_request_object": flag, "require_pushed_authorization_requests": flag, "default_max_age": number, "require_auth_time": flag,
	"default_acr_values": anything, "subject_type": regexp.MustCompile(`^"public"$`), "authorization_details_types": regexp.MustCompile(`^\["fdx_v1.0"\]$`),
	"duration_type": words, "duration_period": number, "lookback_period": number, "registry_references": anything, "intermediaries": anything,
	"token_endpoint_auth_signing_alg": signedAlg, "request_object_signing_alg": signedAlg,
	"request_object_encryption_alg": encryptedAlg, "request_object_encryption_enc": encryptedEnc,
}

// checkEcho reads the rules from the echo, by names and patterns.
func checkEcho(t *testing.T, text []byte) {
	t.Helper()
	var members map[string]json.RawMessage
	if err := json.Unmarshal(text, &members); err != nil {
		t.Fatal(err)
	}
	for name, raw := range members {
		member, _, _ := strings.Cut(name, "#")
		pattern := patterns[member]
		switch {
		case pattern != nil:
		case strings.HasSuffix(name, "_signed_response_alg"):
			pattern = signedAlg
		case strings.HasSuffix(name, "_encrypted_response_alg"):
			pattern = encryptedAlg
		case strings.HasSuffix(name, "_encrypted_response_enc"):
			pattern = encryptedEnc
		case strings.HasSuffix(member, "_uri"):
			if uri := unquote(t, raw); !webURI.MatchString(uri) {
				t.Fatalf("%s is %q", name, uri)
			}
			continue
		default:
			t.Fatalf("%s is echoed in %s", name, text)
		}
		if !pattern.Match(raw) {
			t.Fatalf("%s is %s", name, raw)
		}
		if alg, isEnc := strings.CutSuffix(name, "_enc"); isEnc != (pattern == encryptedEnc) || isEnc && members[alg+"_alg"] == nil {
			t.Fatalf("%s without its alg in %s", name, text)
		}
	}
	checkTogether(t, members)
	encrypted := map[string]bool{} // by RSA, and by elliptic curves
	for name, raw := range members {
		if strings.HasSuffix(name, "_encrypted_response_alg") {
			encrypted[map[bool]string{true: "PS256", false: "ES256"}[strings.HasPrefix(unquote(t, raw), "RSA")]] = true
		}
	}
	if method := unquote(t, members["token_endpoint_auth_method"]); method == "private_key_jwt" {
		checkJWKS(t, members["jwks"], unquote(t, members["token_endpoint_auth_signing_alg"]), encrypted)
	} else {
		checkJWKS(t, members["jwks"], "none", encrypted)
	}
}

// checkTogether checks members against each other.
func checkTogether(t *testing.T, members map[string]json.RawMessage) {
	t.Helper()
	var redirectURIs, logoutURIs []string
	for name, list := range map[string]*[]string{"redirect_uris": &redirectURIs, "post_logout_redirect_uris": &logoutURIs} {
		if raw := members[name]; raw != nil && json.Unmarshal(raw, list) != nil {
			t.Fatalf("%s is %s", name, raw)
		}
	}
	native := unquote(t, members["application_type"]) == "native"
	for _, uri := range slices.Concat(redirectURIs, logoutURIs) {
		if !webURI.MatchString(uri) && !(native && loopbackURI.MatchString(uri)) || strings.Contains(uri, "*/") {
			t.Fatalf("redirects to %q", uri)
		}
	}
	code, refresh := bytes.Contains(members["grant_types"], []byte(`"authorization_code"`)), bytes.Contains(members["grant_types"], []byte(`"refresh_token"`))
	if code && len(redirectURIs) == 0 || !code && (refresh || string(members["response_types"]) != "[]") {
		t.Fatalf("contradicts itself: %s", members)
	}
	subjects, certified := 0, unquote(t, members["token_endpoint_auth_method"]) == "tls_client_auth"
	for name := range members {
		if strings.HasPrefix(name, "tls_client_auth_") {
			subjects++
		}
	}
	keys := 0
	for _, name := range []string{"jwks", "jwks_uri"} {
		if members[name] != nil {
			keys++
		}
	}
	if keys > 1 || keys == 0 && !certified || certified != (subjects == 1) || subjects > 1 {
		t.Fatalf("proves itself by nothing, or by too much: %s", members)
	}
	for _, scope := range strings.Split(unquote(t, members["scope"]), " ") {
		if !slices.Contains(rules.Scopes, scope) {
			t.Fatalf("registered for %q", scope)
		}
	}
}

// checkJWKS lets go-jose find a key that verifies, unless alg is none, and one of the type of each that is encrypted with, and looks for what no
// key that was sent may have.
func checkJWKS(t *testing.T, jwks json.RawMessage, alg string, encrypted map[string]bool) {
	t.Helper()
	if jwks == nil {
		return
	}
	var set map[string]json.RawMessage // not a struct, for whose names case does not count
	var keys []json.RawMessage
	if err := errors.Join(json.Unmarshal(jwks, &set), json.Unmarshal(set["keys"], &keys)); err != nil || len(keys) > client.MaxKeys {
		t.Fatalf("%s: %v", jwks, err)
	}
	usable := 0
	for _, raw := range keys {
		var members map[string]json.RawMessage
		_ = json.Unmarshal(raw, &members) // a key that is no object is passed over
		for _, name := range []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"} {
			if members[name] != nil {
				t.Fatalf("a private key is kept: %s", raw)
			}
		}
		var key oracle.JSONWebKey
		delete(members, "x5c") // go-jose would check the certificate, which counts for nothing here
		text, _ := json.Marshal(members)
		if json.Unmarshal(text, &key) != nil || !key.Valid() || !key.IsPublic() {
			continue
		}
		kind := map[string]string{"*rsa.PublicKey": "PS256", "*ecdsa.PublicKey": "ES256", "ed25519.PublicKey": "EdDSA"}[fmt.Sprintf("%T", key.Key)]
		if kind != "" && (alg == "" || alg == kind) {
			usable++
		}
		use := "enc"
		if raw := members["use"]; raw == nil || json.Unmarshal(raw, &use) == nil && use == "enc" {
			delete(encrypted, kind)
		}
	}
	if usable == 0 && alg != "none" {
		t.Fatalf("go-jose finds no key for %q in %s", alg, jwks)
	}
	if len(encrypted) > 0 {
		t.Fatalf("nothing can be encrypted as registered, %v, with %s", encrypted, jwks)
	}
}

func unquote(t *testing.T, raw json.RawMessage) (s string) {
	t.Helper()
	if raw != nil && json.Unmarshal(raw, &s) != nil {
		t.Fatalf("%s is no string", raw)
	}
	return s
}
