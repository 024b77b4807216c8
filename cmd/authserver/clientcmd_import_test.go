package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"authserver/internal/client"
	"authserver/internal/flow"

	"github.com/google/go-cmp/cmp"
)

// fleet is an import of two clients, the second of which has everything.
func fleet(t *testing.T, k *flow.Key, more string) string {
	t.Helper()
	jwk, err := json.Marshal(k.PublicJWK())
	if err != nil {
		t.Fatal(err)
	}
	return writeText(t, "clients.yaml", fmt.Sprintf(`# the recipients of the bank
- &base
  client_id: acme
  client_name: Acme
  grant_types: [client_credentials]
  scope: client.read openid
  jwks: {keys: [%s]}
- <<: *base
  client_id: acme-2
  client_name: Acme, too
  client_name#fr: Acme aussi
  software_version: 2026-01-02
  token_lifetime: 10m
  assertion_audience: issuer_or_endpoint
  unbound: true
  registrar: true
  serves: [https://api.example]
%s`, jwk, more))
}

// versions are the clients and their versions, in order.
func versions(t *testing.T, d desk) string {
	t.Helper()
	var list []struct {
		ClientID string `json:"client_id"`
		Version  int64
	}
	if err := json.Unmarshal([]byte(d.run("list", "--json")), &list); err != nil {
		t.Fatal(err)
	}
	said := ""
	for _, c := range list {
		said += fmt.Sprintf(" %s:%d", c.ClientID, c.Version)
	}
	return strings.TrimSpace(said)
}

// An import says what it did, and does nothing the second time.
func TestClientImport(t *testing.T) {
	d := newDesk(t, "dev", "http://localhost:8080")
	own := key(t, "ES256")
	file := fleet(t, own, "")
	want := func(stdout, after string, args ...string) {
		t.Helper()
		if diff := cmp.Diff(stdout, d.run(append([]string{"import"}, args...)...)); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff(after, versions(t, d)); diff != "" {
			t.Error(diff)
		}
	}
	want("created    acme\ncreated    acme-2\n", "acme:1 acme-2:1", file)
	want("unchanged  acme\nunchanged  acme-2\n", "acme:1 acme-2:1", file)
	second := d.stored("acme-2")
	second.Metadata.JWKS = nil
	wantSecond := client.Client{ID: "acme-2", Version: 1, IssuedAt: second.IssuedAt, RegistrationTokenHash: second.RegistrationTokenHash,
		Registrar: true, Serves: []string{"https://api.example"}, TokenLifetime: 10 * time.Minute, AssertionAudience: client.IssuerOrEndpoint, Unbound: true,
		Metadata: client.Metadata{ClientName: "Acme, too", Localized: map[string]string{"client_name#fr": "Acme aussi"}, SoftwareVersion: "2026-01-02",
			GrantTypes: []string{"client_credentials"}, ResponseTypes: []string{}, Scope: "client.read openid", TokenEndpointAuthMethod: client.PrivateKeyJWT}}
	if diff := cmp.Diff(wantSecond, second); diff != "" {
		t.Error(diff)
	}

	d.run("rotate-token", "acme-2") // an import leaves the registration access token
	d.run("update", "acme", "--unbound")
	third := fleet(t, own, "- {client_id: third, grant_types: [client_credentials], jwks_uri: 'https://third.example/jwks', token_lifetime: 60}\n")
	hash := d.stored("acme-2").RegistrationTokenHash
	want(`[{"client_id":"acme","outcome":"updated"},{"client_id":"acme-2","outcome":"unchanged"},{"client_id":"third","outcome":"created"}]`+"\n",
		"acme:3 acme-2:2 third:1", third, "--json")
	if c := d.stored("acme"); c.Unbound {
		t.Error("what the file does not say is not the default again")
	}
	if c := d.stored("third"); c.TokenLifetime != time.Minute || !c.Scope().Has("fdx:tax:read") {
		t.Errorf("%+v", c)
	}
	if diff := cmp.Diff(hash, d.stored("acme-2").RegistrationTokenHash); diff != "" {
		t.Error(diff)
	}
	want("unchanged  acme\n", "acme:3 acme-2:2 third:1", writeText(t, "one.yaml", onlyFirst(t, third))) // and never deletes
	t.Run("what list prints is an import", func(t *testing.T) {
		printed := writeText(t, "list.json", d.run("list", "--json"))
		want("unchanged  acme\nunchanged  acme-2\nunchanged  third\n", "acme:3 acme-2:2 third:1", printed)
		elsewhere := newDesk(t, "dev", "http://localhost:8081")
		elsewhere.run("import", printed)
		if diff := cmp.Diff("acme:1 acme-2:1 third:1", versions(t, elsewhere)); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("an empty list", func(t *testing.T) { want("", "acme:3 acme-2:2 third:1", writeText(t, "none.yaml", "[]\n")) })
}

// onlyFirst is the file up to its second client.
func onlyFirst(t *testing.T, path string) string {
	t.Helper()
	whole := readText(t, path)
	first, _, found := strings.Cut(whole, "- <<")
	if !found {
		t.Fatal(whole)
	}
	return first
}

func readText(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// All that is wrong with a file is said at once, each with its line, and nothing of it is written.
func TestClientImportRefuses(t *testing.T) {
	d := newDesk(t, "serve", "https://as.example")
	file := fleet(t, key(t, "ES256"), `- {client_id: acme, grant_types: [client_credentials], jwks_uri: 'https://a.example/jwks'}
- {client_id: typo, grant_type: [client_credentials], jwks_uri: 'https://a.example/jwks', redirect_uris: ['https://a.example/cb'], token_lifetyme: 1m}
- {client_id: wrong, grant_types: [client_credentials], jwks_uri: 'http://a.example/jwks', token_lifetime: 2h, unbound: maybe, serves: https://api.example}
- {client_name: nameless, grant_types: [client_credentials], jwks_uri: 'https://a.example/jwks'}
- {client_id: numbers, client_name: 7, software_version: 1.10, grant_types: [client_credentials], jwks_uri: 'https://a.example/jwks'}
- {client_id: twice, client_id: twice}
- {client_id: secret, registration_access_token: x, client_secret: y, grant_types: [client_credentials], jwks_uri: 'https://a.example/jwks', token_lifetime: "90"}
- just text
`)
	d.refuses(exitUsage, []string{"import", file}, "15 problems:",
		"line 18, client acme: the client stands in line 2 already",
		"line 19, client typo: grant_type is no member here; did you mean grant_types?",
		"line 19, client typo: token_lifetyme is no member here; did you mean token_lifetime?",
		"line 20, client wrong: unbound must be true or false",
		"line 20, client wrong: serves must be a list of strings",
		"line 20, client wrong: jwks_uri: it must be an https URL",
		"line 20, client wrong: token_lifetime must be whole seconds from 30s to 1h0m0s, or 0 for the server's own; it is 2h0m0s",
		"line 21: client_id must be 1 to 128",
		"line 22, client numbers: client_name must be a string", "line 22, client numbers: software_version must be a string",
		"\n  line 23: mapping key \"client_id\" already defined",
		"line 24, client secret: registration_access_token is no member here", "line 24, client secret: client_secret is no member here",
		"line 24, client secret: token_lifetime must be a number of seconds, or a duration such as 10m",
		"line 25: must be the members of one client")
	if got := versions(t, d); got != "" {
		t.Errorf("%s was written", got)
	}
	for text, want := range map[string]string{
		"- {client_id: {a: 1}, scope: .nan, 7: x}": "scope holds what JSON cannot", "- 7\n- &a {client_id: x, x: 1}\n- *a": "line 1: must be the members",
		"- {client_id: x, scope: {1: 2}}": "scope holds what JSON cannot", "- {client_id: x, token_lifetime: 9223372036854775807}": "token_lifetime must be",
		"- {client_id: x, token_lifetime: null, scope: 5}": "scope must be a string", "- {client_id: x, token_lifetime: 90.5}": "whole seconds",
	} {
		t.Run(text, func(t *testing.T) {
			desk := d
			desk.t = t
			desk.refuses(exitUsage, []string{"import", writeText(t, "x.yaml", text)}, want)
		})
	}
	const noList = "the file must be a YAML list of clients, each of which begins with a hyphen, or stands in brackets as in JSON; it is no list"
	for name, test := range map[string]struct{ text, want string }{
		"no list": {"client_id: a\n", noList}, "a document of nothing": {"---\n", noList}, "a word": {"clients", noList},
		"nothing": {"", "the file must be a YAML list of clients; it is empty"}, "a comment": {"# none yet\n", "the file must be a YAML list of clients; it is empty"},
		"two documents": {"[]\n---\n[]\n", "the file must be one YAML document"}, "no YAML": {"- {", "the file must be a YAML list of clients: yaml:"},
		"bytes": {"\xff\xfe\x00", "the file must be a YAML list of clients: yaml:"},
	} {
		t.Run(name, func(t *testing.T) {
			desk := d
			desk.t = t
			desk.refuses(exitUsage, []string{"import", writeText(t, "x.yaml", test.text)}, "authserver: "+test.want)
		})
	}
	d.refuses(exitUsage, []string{"import", file + ".absent"}, "no such file")
}

// Two clients never have one subject of a certificate: who in the file has another's is told with all that is wrong, and where,
// however the subjects are spelled. What a client of the file gives up before, another takes.
func TestClientImportSubjects(t *testing.T) {
	d := newDesk(t, "serve", "https://as.example")
	entry := func(id, subject string) string {
		return fmt.Sprintf("- {client_id: %s, grant_types: [client_credentials], token_endpoint_auth_method: tls_client_auth, tls_client_auth_subject_dn: %q}\n", id, subject)
	}
	d.run("import", writeText(t, "x.yaml", entry("y0", "CN=taken")))
	d.refuses(exitUsage, []string{"import", writeText(t, "x.yaml", strings.Replace(entry("y2", "CN=two"), "{", "{scope: nix, ", 1)+
		entry("y4", "CN=same")+entry("y5", "2.5.4.3=same")+entry("y6", "cn=taken")+entry("y4", "CN=same"))}, "4 problems:",
		"line 1, client y2: scope must be of scopes_supported",
		"line 3, client y5: the client y4 in line 2 has this subject of a certificate",
		"line 4, client y6: another client is registered with this subject of a certificate: y0", "line 5, client y4: the client stands in line 2 already")
	if diff := cmp.Diff("y0:1", versions(t, d)); diff != "" {
		t.Error(diff)
	}
	d.run("import", writeText(t, "x.yaml", entry("y0", "CN=other")+entry("y6", "cn=taken")))
	if diff := cmp.Diff("y0:2 y6:1", versions(t, d)); diff != "" {
		t.Error(diff)
	}
}

// A member that cannot be read hides nothing of what is wrong with the others.
func TestClientImportTellsAllOfAnEntry(t *testing.T) {
	newDesk(t, "serve", "https://as.example").refuses(exitUsage, []string{"import", writeText(t, "x.yaml",
		`- {client_id: x, grant_types: [password], jwks_uri: 'http://a.example', tls_client_certificate_bound_access_tokens: "no", scope: nix, client_name: 7}`)},
		"5 problems:", "tls_client_certificate_bound_access_tokens must be true or false", "grant_types must be of", "jwks_uri: it must", "scope must be of", "client_name must be")
}

// An import with the id of a deleted client writes nothing at all.
func TestClientImportMeetsTombstone(t *testing.T) {
	d := newDesk(t, "serve", "https://as.example")
	own := key(t, "ES256")
	d.run("create", "--id", "acme-2", "--grant-type", "client_credentials", "--jwks", keyFile(t, own))
	d.run("delete", "acme-2")
	d.refuses(exitFailed, []string{"import", fleet(t, own, "")}, "nothing was written: what was deleted never comes back: acme-2")
	if got := versions(t, d); got != "" {
		t.Errorf("%s was written", got)
	}
}

// A change by import holds at every replica at once, although they have the record in memory.
func TestClientImportReachesReplicas(t *testing.T) {
	d := deploy(t, 2, nil)
	desk, own := d.desk(t), key(t, "ES256")
	strict, lenient := fleet(t, own, ""), fleet(t, own, "- {client_id: x, grant_types: [client_credentials], jwks_uri: 'https://x.example/jwks'}\n")
	text := strings.Replace(readText(t, lenient), "client_name: Acme\n", "client_name: Acme\n  unbound: true\n", 1)
	desk.run("import", strict)
	c := &flow.Client{ID: "acme", Server: d.server(0), Key: own, DPoPKey: key(t, "ES256")}
	clients := d.everywhere(c)
	outcome(t, do(t, clients[1].Server, unbound(clients[1])), "400 invalid_request")
	desk.run("import", writeText(t, "lenient.yaml", text))
	for _, c := range clients {
		outcome(t, do(t, c.Server, unbound(c)), "200")
	}
	desk.run("import", strict)
	for _, c := range clients {
		outcome(t, do(t, c.Server, unbound(c)), "400 invalid_request")
	}
}
