package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"authserver/internal/certificate/certificatetest"
	"authserver/internal/client"

	oracle "github.com/go-jose/go-jose/v4"
)

// The operator registers clients that prove themselves by certificates, and sees what is registered of those. One takes another's
// subject neither by a command nor by an import, and what takes its place goes.
func TestClientWithCertificate(t *testing.T) {
	d := newDesk(t, "serve", "https://as.example")
	byDN := writeText(t, "x", `{"token_endpoint_auth_method":"tls_client_auth","tls_client_auth_subject_dn":"CN=kim,C=CA",
		"tls_client_certificate_bound_access_tokens":true}`)
	d.run("create", "--id", "kim", "--grant-type", "client_credentials", "--scope", "openid", "--metadata", byDN, "--token-lifetime", "1h")
	o := shown(t, d.run("get", "kim", "--json"))
	if o["token_endpoint_auth_method"] != client.TLSClientAuth || o["tls_client_auth_subject_dn"] != "CN=kim,C=CA" ||
		o["tls_client_certificate_bound_access_tokens"] != true || o["token_lifetime"] != float64(3600) {
		t.Errorf("%v", o)
	}
	text := strings.Join(strings.Fields(d.run("get", "kim")), " ")
	for _, line := range []string{"token_lifetime 1h0m0s", "token_endpoint_auth_method tls_client_auth", "tls_client_auth_subject_dn CN=kim,C=CA"} {
		if !strings.Contains(text, line) {
			t.Errorf("no %q in %s", line, text)
		}
	}
	const taken = "another client is registered with this subject of a certificate"
	d.refuses(exitFailed, []string{"create", "--id", "sam", "--grant-type", "client_credentials", "--metadata", byDN}, taken)
	d.run("create", "--id", "sam", "--grant-type", "client_credentials", "--jwks", keyFile(t, key(t, "ES256")))
	d.refuses(exitFailed, []string{"update", "sam", "--metadata", byDN}, taken)
	d.refuses(exitUsage, []string{"import", writeText(t, "y", `
- client_id: sam
  grant_types: [client_credentials]
  token_endpoint_auth_method: tls_client_auth
  tls_client_auth_subject_dn: cn=kim, c=CA
`)}, "line 2, client sam: "+taken+": kim")
	d.refuses(exitUsage, []string{"update", "kim", "--metadata", writeText(t, "x", `{"tls_client_auth_san_dns":"*.example"}`)}, "tls_client_auth_san_dns cannot be read")

	d.run("update", "kim", "--metadata", writeText(t, "x", `{"tls_client_auth_san_dns":"kim.example"}`))
	if m := d.stored("kim").Metadata; m.TLSClientAuthSubjectDN != "" || m.TLSClientAuthSANDNS != "kim.example" {
		t.Errorf("another subject: %+v", m)
	}
	d.run("update", "sam", "--metadata", byDN) // it is free now
	c := certificatetest.SelfSigned(t)
	jwk, err := json.Marshal(oracle.JSONWebKey{Key: c.Leaf.PublicKey})
	if err != nil {
		t.Fatal(err)
	}
	jwks := fmt.Sprintf(`{"keys":[%s,"x5c":["%s"]}]}`, strings.TrimSuffix(string(jwk), "}"), base64.StdEncoding.EncodeToString(c.Leaf.Raw))
	d.run("update", "kim", "--jwks", writeText(t, "x", jwks), "--metadata", writeText(t, "x", `{"token_endpoint_auth_method":"self_signed_tls_client_auth"}`))
	if m := d.stored("kim").Metadata; len(m.RegisteredSubjects()) > 0 || m.TokenEndpointAuthMethod != client.SelfSignedTLSClientAuth {
		t.Errorf("another method: %+v", m)
	}
	d.refuses(exitUsage, []string{"update", "kim", "--jwks", keyFile(t, key(t, "ES256"))}, "jwks has no key with an x5c")
	d.refuses(exitUsage, []string{"update", "kim", "--token-lifetime", "61m"}, "from 30s to 1h0m0s")
	if d.stored("kim").TokenLifetime != time.Hour {
		t.Error("a refused lifetime was stored")
	}

	list := d.run("list", "--json")
	unchanged := d.run("import", writeText(t, "y", list))
	if strings.Count(unchanged, "unchanged") != 2 {
		t.Errorf("an import of what is listed: %s", unchanged)
	}
}
