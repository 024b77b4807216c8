package flow

import (
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// A certificate has its subject as RFC 4514 writes it, the thumbprint of RFC 8705, and every name that a client may register.
func TestCertificate(t *testing.T) {
	c := vouchedFor(t)
	want := []nameOf{{"tls_client_auth_subject_dn", `CN=kim\, client,C=CA`}, {"tls_client_auth_san_dns", "client.example"},
		{"tls_client_auth_san_uri", "https://client.example/kim"}, {"tls_client_auth_san_ip", "::1"},
		{"tls_client_auth_san_email", "kim@client.example"}}
	if diff := cmp.Diff(want, c.names(), cmp.AllowUnexported(nameOf{})); diff != "" {
		t.Error(diff)
	}
	if !c.isVouchedFor() || c.Thumbprint != digest64(string(c.pair.Leaf.Raw)) || c.CertFile == "" || c.KeyFile == "" {
		t.Errorf("%+v", c)
	}
	if _, err := ReadCertificate(c.KeyFile, c.CertFile); err == nil {
		t.Error("a key was read as a certificate")
	}
}

// An imitation has the same names and another thumbprint, and nobody vouches for it.
func TestImitation(t *testing.T) {
	c := vouchedFor(t)
	for _, sameKey := range []bool{false, true} {
		got, err := c.imitation(sameKey, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.names(), got.names(), cmp.AllowUnexported(nameOf{})); diff != "" {
			t.Error(diff)
		}
		if same := string(got.pair.Leaf.RawSubjectPublicKeyInfo) == string(c.pair.Leaf.RawSubjectPublicKeyInfo); same != sameKey {
			t.Errorf("the same key: %t, want %t", same, sameKey)
		}
		if got.isVouchedFor() || got.Thumbprint == c.Thumbprint || got.CertFile != "" {
			t.Errorf("%+v", got)
		}
	}
}

// In a key set the certificate stands with its own key, and every header that proxies use has the same one.
func TestCertificateIsWritten(t *testing.T) {
	c, err := selfSigned("kim", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	jwk := c.publicJWK()
	der, err := base64.StdEncoding.DecodeString(jwk.X5C[0])
	if err != nil || string(der) != string(c.pair.Leaf.Raw) || len(jwk.X5C) != 1 || jwk.D != "" {
		t.Errorf("%+v, %v", jwk, err)
	}
	public, err := jwk.PublicKey()
	if err != nil || !c.pair.Leaf.PublicKey.(*ecdsa.PublicKey).Equal(public) {
		t.Errorf("%v, %v", public, err)
	}
	unescaped := func(text string) []byte {
		text, err := url.QueryUnescape(text)
		if err != nil {
			t.Fatal(err)
		}
		block, _ := pem.Decode([]byte(text))
		return block.Bytes
	}
	headers := c.forwarded()
	binary, err := base64.StdEncoding.DecodeString(strings.Trim(headers["Client-Cert"], ":"))
	if err != nil {
		t.Fatal(err)
	}
	element := strings.TrimSuffix(strings.TrimPrefix(headers["X-Forwarded-Client-Cert"], `Cert="`), `"`)
	for name, der := range map[string][]byte{"Client-Cert": binary, "X-Forwarded-Client-Cert": unescaped(element),
		"X-SSL-Client-Cert": unescaped(headers["X-SSL-Client-Cert"])} {
		if got, err := x509.ParseCertificate(der); err != nil || !got.Equal(c.pair.Leaf) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A server that is seen with a certificate shows that one or none, whatever its HTTP client would show.
func TestShowing(t *testing.T) {
	_, registrant := startMutual(t)
	var shown []string
	registrant.Server.MutualTLS = true
	if err := registrant.Server.Discover(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, c := range []*Certificate{registrant.Certificate, nil} {
		view, err := registrant.Server.Showing(c)
		if err != nil {
			t.Fatal(err)
		}
		again, err := view.Showing(c) // once more, of a view
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range []*Server{view, again} {
			client := &Client{Server: s, ID: "c1", CertificateAuth: true, CertificateBound: true}
			token, err := client.Token(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			access, err := Decode(token.AccessToken)
			if err != nil || token.Exchange.Certificate != c {
				t.Fatal(err, token.Exchange.Certificate)
			}
			shown = append(shown, CertificateConfirmation(access.Claims))
		}
	}
	thumbprint := registrant.Certificate.Thumbprint
	if diff := cmp.Diff([]string{thumbprint, thumbprint, "", ""}, shown); diff != "" {
		t.Error(diff)
	}
	registrant.Server.HTTP = &http.Client{}
	if _, err := registrant.Server.Showing(nil); err == nil {
		t.Error("a client without a transport of its own shows certificates")
	}
}

// What lies below the issuer lies at the same place below the aliases, if there are any.
func TestAliased(t *testing.T) {
	const issuer, alias = "https://as.example/a", "https://mtls.as.example/a"
	for _, test := range []struct{ issuer, token, target, want string }{
		{issuer, alias + "/token", issuer + "/x", alias + "/x"},
		{issuer + "/", alias + "/token", issuer + "/x", alias + "/x"},
		{issuer, issuer + "/token", issuer + "/x", issuer + "/x"},
		{issuer, "https://mtls.as.example/other", issuer + "/x", issuer + "/x"},
		{"https://elsewhere.example", alias + "/token", issuer + "/x", issuer + "/x"},
	} {
		s := &Server{Issuer: test.issuer, Metadata: Metadata{TokenEndpoint: test.token}, published: Metadata{TokenEndpoint: issuer + "/token"}}
		if got := s.aliased(test.target); got != test.want {
			t.Errorf("%+v: %s", test, got)
		}
	}
}
