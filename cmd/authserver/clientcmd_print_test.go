package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"authserver/internal/client"

	"github.com/google/go-cmp/cmp"
)

// filed are clients of fixed times, in a database of their own.
func filed(t *testing.T) desk {
	t.Helper()
	d := newDesk(t, "serve", "https://as.example")
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	add := func(c client.Client) {
		c.IssuedAt, c.RegistrationTokenHash = at, []byte("x")
		c.Metadata.TokenEndpointAuthMethod, c.Metadata.GrantTypes, c.Metadata.ResponseTypes = client.PrivateKeyJWT, []string{"client_credentials"}, []string{}
		if added, err := d.store.AddClient(t.Context(), c); err != nil || !added {
			t.Fatal(added, err)
		}
	}
	add(client.Client{ID: "plain", Metadata: client.Metadata{ClientName: "Plain", Scope: "openid", JWKSURI: "https://plain.example/jwks"}})
	add(client.Client{ID: "all", Registrar: true, Serves: []string{"https://a.example", "https://b.example"}, TokenLifetime: 90 * time.Second,
		AssertionAudience: client.IssuerOrEndpoint, Unbound: true, Metadata: client.Metadata{ClientName: "Everything <b>", Scope: "client.create openid",
			JWKS:     json.RawMessage(`{"keys":[{"kty":"EC","crv":"P-256","kid":"k1","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}`),
			Contacts: []string{"a@all.example", "b@all.example"}, DefaultMaxAge: new(int), Localized: map[string]string{"client_name#fr": "Tout"}}})
	add(client.Client{ID: "gone", Metadata: client.Metadata{ClientName: "Gone\x1b[2J"}})
	fetched := client.FetchedKeySet{URI: "https://plain.example/jwks", At: at.Add(30 * time.Minute),
		Raw: []byte(`{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},{"kty":"AKP"}]}`)}
	if err := d.store.SaveKeySet(t.Context(), "plain", fetched); err != nil {
		t.Fatal(err)
	}
	if deleted, err := d.store.DeleteClient(t.Context(), "gone", nil, at.Add(time.Hour)); err != nil || !deleted {
		t.Fatal(deleted, err)
	}
	return d
}

func TestClientOutput(t *testing.T) {
	d := filed(t)
	const allJSON = `{"client_id":"all","token_lifetime":90,"assertion_audience":"issuer_or_endpoint","unbound":true,"registrar":true,"serves":["https://a.example","https://b.example"],` +
		`"client_id_issued_at":1772366400,"updated_at":1772366400,"version":1,"status":"active","client_name":"Everything \u003cb\u003e","contacts":["a@all.example","b@all.example"],` +
		`"grant_types":["client_credentials"],"response_types":[],"scope":"client.create openid","jwks":{"keys":[{"kty":"EC","crv":"P-256","kid":"k1",` +
		`"x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]},"token_endpoint_auth_method":"private_key_jwt","default_max_age":0,"client_name#fr":"Tout"}`
	const plainJSON = `{"client_id":"plain","assertion_audience":"issuer","client_id_issued_at":1772366400,"updated_at":1772366400,"version":1,"status":"active","client_name":"Plain",` +
		`"grant_types":["client_credentials"],"response_types":[],"scope":"openid","jwks_uri":"https://plain.example/jwks","token_endpoint_auth_method":"private_key_jwt"}`
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"list": {[]string{"list"}, `
CLIENT_ID   STATUS   UPDATED                GRANTS               SETTINGS                                                                        NAME
all         active   2026-03-01 12:00:00Z   client_credentials   tokens live 1m30s, issuer_or_endpoint, unbound, registrar, serves 2 audiences   Everything <b>
plain       active   2026-03-01 12:00:00Z   client_credentials   -                                                                               Plain
`},
		"list --all": {[]string{"list", "--all"}, `
CLIENT_ID   STATUS    UPDATED                GRANTS               SETTINGS                                                                        NAME
all         active    2026-03-01 12:00:00Z   client_credentials   tokens live 1m30s, issuer_or_endpoint, unbound, registrar, serves 2 audiences   Everything <b>
gone        deleted   2026-03-01 13:00:00Z   client_credentials   -                                                                               Gone?[2J
plain       active    2026-03-01 12:00:00Z   client_credentials   -                                                                               Plain
`},
		"list --json": {[]string{"list", "--json"}, "[\n" + allJSON + ",\n" + plainJSON + "\n]\n"},
		"get": {[]string{"get", "all"}, `
client_id                    all
status                       active, version 1
issued                       2026-03-01 12:00:00Z
updated                      2026-03-01 12:00:00Z
token_lifetime               1m30s
assertion_audience           issuer_or_endpoint
unbound                      yes
registrar                    yes
serves                       https://a.example https://b.example
client_name                  Everything <b>
contacts                     a@all.example b@all.example
grant_types                  client_credentials
response_types               -
scope                        client.create openid
jwks                         k1 (ES256)
token_endpoint_auth_method   private_key_jwt
default_max_age              0
client_name#fr               Tout
`},
		"get, keys elsewhere": {[]string{"get", "plain"}, `
client_id                    plain
status                       active, version 1
issued                       2026-03-01 12:00:00Z
updated                      2026-03-01 12:00:00Z
token_lifetime               the server's own
assertion_audience           issuer
unbound                      no
registrar                    no
serves                       -
client_name                  Plain
grant_types                  client_credentials
response_types               -
scope                        openid
jwks_uri                     https://plain.example/jwks
token_endpoint_auth_method   private_key_jwt
keys fetched                 2026-03-01 12:30:00Z: no kid (EdDSA)
`},
		"get --json": {[]string{"get", "all", "--json"}, allJSON + "\n"},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(strings.TrimPrefix(test.want, "\n"), d.run(test.args...)); diff != "" {
				t.Error(diff)
			}
		})
	}
	t.Run("no clients", func(t *testing.T) {
		empty := newDesk(t, "serve", "https://as.example")
		if got := empty.run("list", "--json"); got != "[]\n" {
			t.Errorf("%q", got)
		}
		if got := empty.run("list"); strings.Count(got, "\n") != 1 {
			t.Errorf("%q", got)
		}
	})
}

// More clients than a page holds are listed each once, in order.
func TestClientListPages(t *testing.T) {
	d := newDesk(t, "serve", "https://as.example")
	var clients []client.Client
	var want []string
	for i := range 2*pageSize + 1 {
		id := fmt.Sprintf("client-%04d", i)
		want = append(want, id)
		clients = append(clients, client.Client{ID: id, IssuedAt: time.Now(), RegistrationTokenHash: []byte("x")})
	}
	if _, err := d.store.ImportClients(t.Context(), clients, time.Now()); err != nil {
		t.Fatal(err)
	}
	var listed []struct {
		ClientID string `json:"client_id"`
	}
	if err := json.Unmarshal([]byte(d.run("list", "--json")), &listed); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range listed {
		got = append(got, c.ClientID)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	lines := strings.Split(strings.TrimSpace(d.run("list")), "\n")
	heads := slices.DeleteFunc(slices.Clone(lines), func(line string) bool { return !strings.HasPrefix(line, "CLIENT_ID") })
	if len(lines) != len(want)+1 || len(heads) != 1 {
		t.Errorf("%d lines, %d heads", len(lines), len(heads))
	}
}
