package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"authserver/internal/audit"
	"authserver/internal/client"
	"authserver/internal/flow"
	"authserver/internal/oauth"

	"github.com/google/go-cmp/cmp"
)

// update changes what is named and nothing else.
func TestClientUpdate(t *testing.T) {
	d := newDesk(t, "dev", "http://localhost:8080")
	keys := keyFile(t, key(t, "ES256"))
	d.run("create", "--id", "acme", "--name", "Acme", "--grant-type", "client_credentials", "--scope", "openid", "--jwks", keys, "--unbound",
		"--serves", "https://a.example", "--token-lifetime", "1m", "--metadata", writeText(t, "x", `{"contacts":["a@acme.example"]}`))
	want := d.stored("acme")
	jwks := want.Metadata.JWKS
	for _, step := range []struct {
		args   []string
		change func(c *client.Client)
	}{
		{[]string{"--name", "Acme Inc"}, func(c *client.Client) { c.Metadata.ClientName = "Acme Inc" }},
		{[]string{"--no-unbound"}, func(c *client.Client) { c.Unbound = false }},
		{[]string{"--registrar", "--unbound"}, func(c *client.Client) { c.Registrar, c.Unbound = true, true }},
		{[]string{"--no-registrar"}, func(c *client.Client) { c.Registrar = false }},
		{[]string{"--token-lifetime", "120"}, func(c *client.Client) { c.TokenLifetime = 2 * time.Minute }},
		{[]string{"--token-lifetime", "0"}, func(c *client.Client) { c.TokenLifetime = 0 }},
		{[]string{"--serves", "https://b.example", "--serves", "https://c.example"}, func(c *client.Client) { c.Serves = []string{"https://b.example", "https://c.example"} }},
		{[]string{"--serves", ""}, func(c *client.Client) { c.Serves = []string{} }},
		{[]string{"--assertion-audience", "issuer_or_endpoint"}, func(c *client.Client) { c.AssertionAudience = client.IssuerOrEndpoint }},
		{[]string{"--jwks-uri", "https://acme.example/jwks"}, func(c *client.Client) { c.Metadata.JWKS, c.Metadata.JWKSURI = nil, "https://acme.example/jwks" }},
		{[]string{"--jwks", keys}, func(c *client.Client) { c.Metadata.JWKS, c.Metadata.JWKSURI = jwks, "" }},
		{[]string{"--grant-type", "authorization_code", "--redirect-uri", "https://acme.example/a", "--redirect-uri", "https://acme.example/b"}, func(c *client.Client) {
			c.Metadata.GrantTypes, c.Metadata.ResponseTypes, c.Metadata.IDTokenSignedResponseAlg = []string{"authorization_code"}, []string{"code"}, "PS256"
			c.Metadata.RedirectURIs = []string{"https://acme.example/a", "https://acme.example/b"}
		}},
		{[]string{"--grant-type", "client_credentials", "--redirect-uri", ""}, func(c *client.Client) {
			c.Metadata.GrantTypes, c.Metadata.ResponseTypes, c.Metadata.RedirectURIs = []string{"client_credentials"}, []string{}, nil
		}},
		{[]string{"--metadata", writeText(t, "x", `{"contacts":null,"client_uri":"https://acme.example"}`)}, func(c *client.Client) {
			c.Metadata.Contacts, c.Metadata.ClientURI = nil, "https://acme.example"
		}},
	} {
		before := want
		step.change(&want)
		want.Version = before.Version + 1
		o := shown(t, d.run(append([]string{"update", "acme", "--json"}, step.args...)...))
		got := d.stored("acme")
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("%v: %s", step.args, diff)
		}
		if o["version"] != float64(want.Version) || o["client_id"] != "acme" {
			t.Errorf("%v", o)
		}
	}
	d.refuses(exitUsage, []string{"update", "acme", "--scope", "nothing"}, "scope must be of scopes_supported")
	d.refuses(exitUsage, []string{"update", "acme", "--redirect-uri", "https://x#y"}, "redirect_uris: entry 1")
	d.refuses(exitUsage, []string{"update", "acme"}, "nothing to change was named")
	d.refuses(exitFailed, []string{"update", "nobody", "--unbound"}, `there is no client "nobody"`)
	if diff := cmp.Diff(want, d.stored("acme")); diff != "" {
		t.Error(diff)
	}
}

// Metadata that nobody touches is not judged again, and a client that was registered for no scope gets none.
func TestClientUpdateLeavesTheRest(t *testing.T) {
	d := newDesk(t, "serve", "https://as.example")
	old := client.Client{ID: "old", IssuedAt: time.Now(), RegistrationTokenHash: []byte("x"), Metadata: client.Metadata{
		ClientName: "old", GrantTypes: []string{"client_credentials"}, ResponseTypes: []string{}, TokenEndpointAuthMethod: client.PrivateKeyJWT,
		JWKSURI: "http://localhost:1/jwks"}}
	if added, err := d.store.AddClient(t.Context(), old); err != nil || !added {
		t.Fatal(added, err)
	}
	d.run("update", "old", "--unbound")
	d.refuses(exitUsage, []string{"update", "old", "--name", "new"}, "jwks_uri: it must be an https URL")
	d.run("update", "old", "--name", "new", "--jwks-uri", "https://client.example/jwks")
	if c := d.stored("old"); c.Metadata.Scope != "" || c.Metadata.ClientName != "new" || !c.Unbound {
		t.Errorf("%+v", c)
	}
	d.run("update", "old", "--scope", "openid")
	if c := d.stored("old"); c.Metadata.Scope != "openid" {
		t.Errorf("%+v", c)
	}
}

// A change of the client's own that comes in between is kept.
func TestClientUpdateRaces(t *testing.T) {
	d := newDesk(t, "dev", "http://localhost:8080")
	d.run("create", "--id", "acme", "--grant-type", "client_credentials", "--jwks", keyFile(t, key(t, "ES256")))
	r := &registry{opened: &opened{store: d.store}, now: time.Now()}
	edits := 0
	interrupted := func(times int) error {
		return r.change(t.Context(), "acme", audit.ClientUpdated, func(c *client.Client) error {
			if edits++; edits <= times {
				m := c.Metadata
				m.ClientName = fmt.Sprint("renamed ", edits)
				if _, updated, err := d.store.UpdateClient(t.Context(), "acme", nil, m, time.Now()); err != nil || !updated {
					t.Fatal(updated, err)
				}
			}
			c.Unbound = true
			return nil
		})
	}
	if err := interrupted(1); err != nil {
		t.Error(err)
	}
	if c := d.stored("acme"); !c.Unbound || c.Metadata.ClientName != "renamed 1" || edits != 2 {
		t.Errorf("%+v after %d edits", c, edits)
	}
	edits = 0
	if err := interrupted(100); err == nil || !strings.Contains(err.Error(), "run this again") || edits != 3 {
		t.Errorf("%v after %d edits", err, edits)
	}
}

// What is deleted or rotated by hand is so at every replica, although that has the record in memory.
func TestClientDeleteAndRotate(t *testing.T) {
	d := deploy(t, 2, nil)
	desk := d.desk(t)
	clients := d.everywhere(d.register(0))
	c := clients[1]
	outcome(t, do(t, c.Server, c.ManageRequest(http.MethodGet, nil)), "200")
	o := shown(t, desk.run("rotate-token", c.ID, "--json"))
	refusedFor(t, do(t, c.Server, c.ManageRequest(http.MethodGet, nil)), "401 invalid_token", oauth.RegistrationToken)
	fresh := *c
	fresh.RegistrationToken, _ = o["registration_access_token"].(string)
	if fresh.RegistrationURI, _ = o["registration_client_uri"].(string); fresh.RegistrationURI != c.RegistrationURI {
		t.Errorf("%v", o)
	}
	outcome(t, do(t, c.Server, fresh.ManageRequest(http.MethodGet, nil)), "200")
	printed := desk.run("rotate-token", c.ID)
	if lines := strings.Split(printed, "\n"); len(lines) != 3 || !strings.HasPrefix(lines[1], "registration_access_token   ") {
		t.Errorf("%s", printed)
	}
	access := tokenFor(t, c, url.Values{"scope": {"client.read"}})

	if got := desk.run("delete", c.ID); got != "deleted "+c.ID+"\n" {
		t.Errorf("%s", got)
	}
	refusedFor(t, do(t, c.Server, c.TokenRequest(nil)), "401 invalid_client", oauth.ClientNotProven)
	other := d.register(1)
	inactive(t, asked(t, &flow.Client{Server: other.Server, ID: d.resourceServer.ClientID, Key: d.resourceServer}, access, nil))
	for _, args := range [][]string{{"get", c.ID}, {"delete", c.ID}, {"update", c.ID, "--unbound"}, {"rotate-token", c.ID},
		{"create", "--id", c.ID, "--grant-type", "client_credentials", "--jwks", keyFile(t, c.Key)}} {
		desk.refuses(exitFailed, args, fmt.Sprintf("the client %q was deleted at ", c.ID), "and never comes back")
	}
	for _, command := range []string{"get", "delete", "rotate-token"} {
		desk.refuses(exitFailed, []string{command, "nobody"}, `there is no client "nobody"`)
	}
	if diff := cmp.Diff(map[string]any{"client_id": other.ID, "status": "deleted"}, shown(t, desk.run("delete", other.ID, "--json"))); diff != "" {
		t.Error(diff)
	}
}

// Whatever the operator changes stands in the audit log, as his doing; what he only looks at does not.
func TestClientChangesAreAudited(t *testing.T) {
	d := newDesk(t, "serve", "https://as.example")
	trail := filepath.Join(t.TempDir(), "audit.jsonl")
	quiet := d
	d.env = append(slices.Clone(d.env), "AUTHSERVER_AUDIT_LOG="+trail)
	own := key(t, "ES256")
	d.run("create", "--id", "acme", "--grant-type", "client_credentials", "--scope", "openid", "--jwks", keyFile(t, own))
	d.run("update", "acme", "--unbound")
	d.run("rotate-token", "acme")
	d.run("get", "acme")
	d.run("list")
	d.run("import", fleet(t, own, ""))
	d.run("import", fleet(t, own, ""))
	d.run("delete", "acme")
	d.refuses(exitFailed, []string{"delete", "acme"}, "was deleted")
	d.refuses(exitUsage, []string{"update", "acme-2", "--token-lifetime", "1s"}, "token_lifetime")
	var got []audit.Record
	for line := range strings.Lines(readText(t, trail)) {
		var r audit.Record
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(line, err)
		}
		if time.Since(r.Time).Abs() > time.Hour {
			t.Errorf("%s", line)
		}
		r.Time = time.Time{}
		got = append(got, r)
	}
	record := func(event audit.Event, id, scope string) audit.Record {
		return audit.Record{Event: event, Outcome: audit.Success, Actor: audit.Operator, ClientID: id, Scope: scope}
	}
	want := []audit.Record{record(audit.ClientRegistered, "acme", "openid"), record(audit.ClientUpdated, "acme", "openid"), record(audit.ClientTokenRotated, "acme", "openid"),
		record(audit.ClientUpdated, "acme", "client.read openid"), record(audit.ClientRegistered, "acme-2", "client.read openid"), record(audit.ClientDeleted, "acme", "")}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}

	if _, err := os.Stat("/dev/full"); err == nil { // Linux has one
		full := append(slices.Clone(quiet.env), "AUTHSERVER_AUDIT_LOG=/dev/full")
		code, stdout, stderr := program(t, full, "client", "rotate-token", "acme-2", "--json")
		if code != 0 || shown(t, stdout)["registration_access_token"] == nil || !strings.Contains(stderr, `no audit record client.token_rotated of the client "acme-2"`) {
			t.Errorf("a full disk: %d %s%s", code, stdout, stderr)
		}
	}
	before := versions(t, quiet)
	d.env = append(d.env, "AUTHSERVER_AUDIT_LOG="+t.TempDir())
	d.refuses(exitUsage, []string{"delete", "acme-2"}, "audit-log")
	if got := versions(t, quiet); got != before {
		t.Errorf("without an audit log, %s was %s", got, before)
	}
}
