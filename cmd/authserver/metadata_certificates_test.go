package main

import (
	"crypto/tls"
	"net/http"
	"slices"
	"strings"
	"testing"

	"authserver/internal/client"
	"authserver/internal/flow"

	"github.com/google/go-cmp/cmp"
)

// TestMetadataOfCertificatesIsTrue uses everything that the metadata lists where clients have certificates: every method, at
// every endpoint that lists it, every alias, and tokens that are bound.
func TestMetadataOfCertificatesIsTrue(t *testing.T) {
	t.Parallel()
	d := deployCertified(t, 1, nil)
	m := document(t, d.server(0), d.issuer+"/.well-known/oauth-authorization-server")
	other := document(t, d.showing(0, d.vouched("reader")), certifiedAlias+"/.well-known/openid-configuration")
	if diff := cmp.Diff(m, other); diff != "" {
		t.Errorf("META-01: the listener for certificates has another document: %s", diff)
	}
	shown := d.vouched("one", everyName("one"))
	clients := map[string][]*flow.Client{
		client.PrivateKeyJWT:           {d.enrolled(0, shown, boundToCertificate)},
		client.SelfSignedTLSClientAuth: {d.certified(0, shown, bySelf(shown))},
		client.TLSClientAuth: {
			d.certified(0, shown), d.certified(0, shown, byName("tls_client_auth_san_dns", "one.kim.example")),
			d.certified(0, shown, byName("tls_client_auth_san_uri", "urn:bank:one")),
			d.certified(0, shown, byName("tls_client_auth_san_ip", "192.0.2.7")),
			d.certified(0, shown, byName("tls_client_auth_san_email", "one@kim.example")),
		},
	}
	clients[client.PrivateKeyJWT][0].CertificateBound = true
	for name, endpoint := range map[string]string{"token": "token_endpoint", "introspect": "introspection_endpoint",
		"revoke": "revocation_endpoint"} {
		listed := list(m, endpoint+"_auth_methods_supported")
		want := []string{client.PrivateKeyJWT, client.TLSClientAuth, client.SelfSignedTLSClientAuth}
		if !slices.Equal(listed, want) {
			t.Errorf("%s lists %q, want %q", endpoint, listed, want)
		}
		for _, method := range listed {
			for _, c := range clients[method] {
				e := do(t, c.Server, endpoints(c)[name])
				if outcome(t, e, "200"); name == "token" {
					certifiedBy(t, e, shown)
				}
			}
		}
	}
	if m["tls_client_certificate_bound_access_tokens"] != true {
		t.Error("MTLS-05: the tokens are bound, and the metadata does not say it")
	}
	useAliases(t, d, m)
}

// useAliases sends a request without anything to every alias, and wants the answer of the endpoint that it stands for.
func useAliases(t *testing.T, d *deployment, m map[string]any) {
	aliases, _ := m["mtls_endpoint_aliases"].(map[string]any)
	if len(aliases) != 6 {
		t.Errorf("aliases %v", aliases)
	}
	public, mutual := d.server(0), d.showing(0, tls.Certificate{})
	for name, value := range aliases {
		alias, _ := value.(string)
		endpoint, _ := m[name].(string)
		if strings.Replace(alias, certifiedAlias, d.issuer, 1) != endpoint || alias == endpoint {
			t.Errorf("%s is %s, and %s without mutual TLS", name, alias, endpoint)
		}
		header := http.Header{"Content-Type": {formType}}
		if name == "registration_endpoint" {
			header.Set("Content-Type", "application/json")
		}
		e, want := raw(t, mutual, http.MethodPost, alias, header, "{}"), raw(t, public, http.MethodPost, endpoint, header, "{}")
		if e.Outcome() != want.Outcome() || e.Status == http.StatusNotFound || reasonOf(e) != reasonOf(want) {
			t.Errorf("%s answers %s (%s), and %s without mutual TLS", alias, e.Outcome(), reasonOf(e), want.Outcome())
		}
	}
}

// What is not listed is not to be had: by who asks for it at registration, and by who shows a certificate all the same.
func TestCertificatesAreNotListed(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		d       *deployment
		methods []string
	}{
		"no mutual TLS": {deploy(t, 1, secure), []string{client.PrivateKeyJWT}},
		"no authorities": {deployCertified(t, 1, func(s *settings) { s.MTLSClientCAFile = "" }),
			[]string{client.PrivateKeyJWT, client.SelfSignedTLSClientAuth}},
	} {
		t.Run(name, func(t *testing.T) {
			d := test.d.within(t)
			s := d.server(0)
			m := document(t, s, d.issuer+"/.well-known/openid-configuration")
			if got := list(m, "token_endpoint_auth_methods_supported"); !slices.Equal(got, test.methods) {
				t.Errorf("methods %q, want %q", got, test.methods)
			}
			_, aliases := m["mtls_endpoint_aliases"]
			if bound := m["tls_client_certificate_bound_access_tokens"] == true; bound != (len(test.methods) > 1) ||
				aliases != bound {
				t.Errorf("%v", m)
			}
			shown := newAuthority(t).issue(t, "ECDSA", "client.example")
			refused := map[string]func(map[string]any){"tls_client_auth": byName("tls_client_auth_san_dns", "client.example")}
			if len(test.methods) == 1 {
				refused["self_signed_tls_client_auth"], refused["bound"] = bySelf(shown), boundToCertificate
			}
			for what, edit := range refused {
				e := do(t, s, s.RegisterRequest(metadata(key(t, "ES256"), edit)))
				if e.Outcome() != "400 invalid_client_metadata" {
					t.Errorf("%s: %s", what, e.Outcome())
				}
			}
			c := d.register(0)
			boundTo(t, do(t, c.Server, c.TokenRequest(nil)), c.DPoPKey)
		})
	}
}
