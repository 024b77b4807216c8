package dcr_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	oracle "github.com/go-jose/go-jose/v4"

	"authserver/internal/certificate"
	"authserver/internal/certificate/certificatetest"
	"authserver/internal/client"
	"authserver/internal/dcr"
	"authserver/internal/oauth"
)

// published is a JWK Set with the certificate, and the key that it is of.
func published(t testing.TB, c tls.Certificate, more ...string) json.RawMessage {
	t.Helper()
	jwk, err := json.Marshal(oracle.JSONWebKey{Key: c.Leaf.PublicKey})
	if err != nil {
		t.Fatal(err)
	}
	return keys(append([]string{named(string(jwk), `"x5c":["`+base64.StdEncoding.EncodeToString(c.Leaf.Raw)+`"]`)}, more...)...)
}

// TestCertificateMethods (DR-23, req CA-10, CA-11): what of its certificate a client registers, and which keys it needs besides.
func TestCertificateMethods(t *testing.T) {
	signed := certificatetest.SelfSigned(t)
	byDN := func(more object) object {
		members := object{"token_endpoint_auth_method": "tls_client_auth", "tls_client_auth_subject_dn": "CN=kim,C=CA", "jwks": nil}
		for name, value := range more {
			members[name] = value
		}
		return members
	}
	selfSigned := func(jwks any) object {
		return object{"token_endpoint_auth_method": "self_signed_tls_client_auth", "jwks": jwks}
	}
	for name, test := range map[string]struct {
		members object
		want    oauth.Reason // "": none
	}{
		"by its name, without keys":             {byDN(nil), ""},
		"by its name, with keys":                {byDN(object{"jwks": keys(ecKey)}), ""},
		"by its name, with keys of another alg": {byDN(object{"jwks": keys(ecKey), "token_endpoint_auth_signing_alg": "PS256"}), ""},
		"by its name, with a jwks_uri":          {byDN(object{"jwks_uri": "https://c.example/jwks"}), ""},
		"by an address":                         {byDN(object{"tls_client_auth_subject_dn": nil, "tls_client_auth_san_ip": "::1"}), ""},
		"with empty members":                    {byDN(object{"tls_client_auth_san_dns": "", "tls_client_auth_san_uri": null}), ""},
		"bound to certificates":                 {object{"tls_client_certificate_bound_access_tokens": true}, ""},
		"bound to both":                         {object{"tls_client_certificate_bound_access_tokens": true, "dpop_bound_access_tokens": true}, ""},
		"an answer is encrypted, with a key":    {byDN(object{"jwks": keys(rsaKey), "id_token_encrypted_response_alg": "RSA-OAEP"}), ""},

		"no subject":                        {byDN(object{"tls_client_auth_subject_dn": nil}), oauth.MetadataContradicts},
		"two subjects":                      {byDN(object{"tls_client_auth_san_dns": "c.example"}), oauth.MetadataContradicts},
		"a subject for private_key_jwt":     {object{"tls_client_auth_san_dns": "c.example"}, oauth.MetadataContradicts},
		"a subject for a self-signed one":   {object{"token_endpoint_auth_method": "self_signed_tls_client_auth", "jwks": published(t, signed), "tls_client_auth_san_dns": "c.example"}, oauth.MetadataContradicts},
		"a name that is none":               {byDN(object{"tls_client_auth_subject_dn": "evil"}), oauth.MetadataMember},
		"a value that needs a backslash":    {byDN(object{"tls_client_auth_subject_dn": "CN=<evil>"}), oauth.MetadataMember},
		"a name that shows otherwise":       {byDN(object{"tls_client_auth_subject_dn": "CN=\u202eevil"}), oauth.MetadataMember},
		"a name that is too long":           {byDN(object{"tls_client_auth_subject_dn": "CN=" + strings.Repeat("a", 1000)}), oauth.MetadataMember},
		"a wildcard":                        {byDN(object{"tls_client_auth_subject_dn": nil, "tls_client_auth_san_dns": "*.c.example"}), oauth.MetadataMember},
		"no string":                         {byDN(object{"tls_client_auth_subject_dn": 5}), oauth.MetadataMember},
		"DR-07 another method":              {object{"token_endpoint_auth_method": "client_secret_basic"}, oauth.MetadataMember},
		"jwks and jwks_uri":                 {byDN(object{"jwks": keys(ecKey), "jwks_uri": "https://c.example/jwks"}), oauth.MetadataKeys},
		"an answer is encrypted, to nobody": {byDN(object{"id_token_encrypted_response_alg": "RSA-OAEP"}), oauth.MetadataKeys},
		"requests are signed, by nobody":    {byDN(object{"require_signed_request_object": true}), oauth.MetadataKeys},
		"a private key":                     {byDN(object{"jwks": keys(named(ecKey, `"d":"AA"`))}), oauth.MetadataKeys},

		"self-signed":                             {selfSigned(published(t, signed)), ""},
		"self-signed, beside other keys":          {selfSigned(published(t, signed, rsaKey, ecKey)), ""},
		"self-signed, behind a jwks_uri":          {object{"token_endpoint_auth_method": "self_signed_tls_client_auth", "jwks": nil, "jwks_uri": "https://c.example/jwks"}, ""},
		"self-signed without keys":                {selfSigned(nil), oauth.MetadataKeys},
		"self-signed without a certificate":       {selfSigned(keys(ecKey)), oauth.MetadataKeys},
		"self-signed with another's certificate":  {selfSigned(keys(named(ecKey, `"x5c":["`+base64.StdEncoding.EncodeToString(signed.Leaf.Raw)+`"]`))), oauth.MetadataKeys},
		"self-signed with what is no certificate": {selfSigned(keys(named(ecKey, `"x5c":["AAAA"]`))), oauth.MetadataKeys},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := rules.Read(body(t, test.members))
			if test.want != "" {
				refused(t, err, test.want)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if _, ok := m.CertificateSubject(); ok != (m.TokenEndpointAuthMethod == client.TLSClientAuth) {
				t.Errorf("it has a subject: %v", ok)
			}
		})
	}
	m := accepted(t, body(t, byDN(nil)))
	want, err := certificate.ParseSubject(certificate.SubjectDN, "cn=kim, c=CA")
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := m.CertificateSubject(); got != want {
		t.Errorf("registered %v, want %v", got, want)
	}
}

// TestCertificateKeySkipped: who registers a certificate of a key that does not count learns what is wrong with the key.
func TestCertificateKeySkipped(t *testing.T) {
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		jwks any
		want string
	}{
		"alone":                      {published(t, certificatetest.SelfSignedFor(t, p384)), "(self_signed_tls_client_auth): The crv of the JWK is P-384; "},
		"beside a key that verifies": {published(t, certificatetest.SelfSignedFor(t, p384), ecKey), ": The crv of the JWK is P-384; "},
	} {
		_, err := rules.Read(body(t, object{"token_endpoint_auth_method": "self_signed_tls_client_auth", "jwks": test.jwks}))
		refused(t, err, oauth.MetadataKeys)
		if refusal, ok := errors.AsType[*oauth.Error](err); ok && !strings.Contains(refusal.Description, test.want) {
			t.Errorf("%s: %q, want %q", name, refusal.Description, test.want)
		}
	}
}

// TestCertificateMethodsNotOffered: what this deployment cannot see is not registered, and the refusal says so by name.
func TestCertificateMethodsNotOffered(t *testing.T) {
	none, selfSigned := rules, rules
	none.CertificateMethods, selfSigned.CertificateMethods = nil, []string{client.SelfSignedTLSClientAuth}
	jwks := published(t, certificatetest.SelfSigned(t))
	for _, test := range []struct {
		name    string
		rules   dcr.Rules
		members object
		want    string // in the refusal; "": none
	}{
		{"private_key_jwt", none, nil, ""},
		{"the aliases of others", none, object{"use_mtls_endpoint_aliases": true, "tls_client_certificate_bound_access_tokens": false}, ""},
		{"by an authority", none, object{"token_endpoint_auth_method": "tls_client_auth", "tls_client_auth_san_dns": "c.example"}, "does not offer tls_client_auth"},
		{"self-signed", none, object{"token_endpoint_auth_method": "self_signed_tls_client_auth", "jwks": jwks}, "does not offer self_signed_tls_client_auth"},
		{"bound tokens", none, object{"tls_client_certificate_bound_access_tokens": true}, "tls_client_certificate_bound_access_tokens must be false"},
		{"without authorities, by one", selfSigned, object{"token_endpoint_auth_method": "tls_client_auth", "tls_client_auth_san_dns": "c.example"},
			"must be one of private_key_jwt, self_signed_tls_client_auth"},
		{"without authorities, self-signed", selfSigned, object{"token_endpoint_auth_method": "self_signed_tls_client_auth", "jwks": jwks}, ""},
		{"without authorities, bound tokens", selfSigned, object{"tls_client_certificate_bound_access_tokens": true}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := test.rules.Read(body(t, test.members))
			if test.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			refused(t, err, oauth.MetadataMember)
			if refusal, _ := errors.AsType[*oauth.Error](err); !strings.Contains(refusal.Description, test.want) {
				t.Errorf("%v, want %q", err, test.want)
			}
		})
	}
}
