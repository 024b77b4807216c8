package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"authserver/internal/client"
	"authserver/internal/flow"
	"authserver/internal/oauth"
	"authserver/internal/store"
	"authserver/internal/store/storetest"

	"github.com/google/go-cmp/cmp"
)

// desk is a database that the client sub-commands work on, and what is said about its clients there.
type desk struct {
	t     *testing.T
	store *store.Store
	env   []string
}

func newDesk(t *testing.T, mode, issuer string) desk {
	t.Helper()
	url := storetest.URL(t)
	d := desk{t: t, store: storetest.Open(t, url), env: []string{"AUTHSERVER_DATABASE_URL=" + url, "AUTHSERVER_AUDIT_LOG=off"}}
	if err := d.store.Stamp(t.Context(), mode, issuer, time.Now()); err != nil {
		t.Fatal(err)
	}
	return d
}

// desk is the operator's, of a deployment that is running.
func (d *deployment) desk(t *testing.T) desk {
	return desk{t, d.store, []string{"AUTHSERVER_DATABASE_URL=" + d.url, "AUTHSERVER_AUDIT_LOG=off"}}
}

// run runs `authserver client` and wants it to succeed.
func (d desk) run(args ...string) (stdout string) {
	d.t.Helper()
	code, stdout, stderr := program(d.t, d.env, append([]string{"client"}, args...)...)
	if code != 0 || stderr != "" {
		d.t.Fatalf("client %s: %d %s%s", strings.Join(args, " "), code, stdout, stderr)
	}
	return stdout
}

// refuses wants the exit code, nothing on stdout, and each of the sentences.
func (d desk) refuses(code int, args []string, sentences ...string) {
	d.t.Helper()
	got, stdout, stderr := program(d.t, d.env, append([]string{"client"}, args...)...)
	if got != code || stdout != "" {
		d.t.Errorf("client %s: %d, want %d: %s%s", strings.Join(args, " "), got, code, stdout, stderr)
	}
	for _, sentence := range sentences {
		if !strings.Contains(stderr, sentence) {
			d.t.Errorf("client %s: no %q in %s", strings.Join(args, " "), sentence, stderr)
		}
	}
}

// shown is the JSON that a sub-command printed.
func shown(t *testing.T, stdout string) map[string]any {
	t.Helper()
	var o map[string]any
	if err := json.Unmarshal([]byte(stdout), &o); err != nil {
		t.Fatalf("%v: %s", err, stdout)
	}
	return o
}

// stored is the record of an active client.
func (d desk) stored(id string) client.Client {
	d.t.Helper()
	c, found, err := d.store.FindClient(d.t.Context(), id)
	if err != nil || !found {
		d.t.Fatal(id, found, err)
	}
	return c
}

// keyFile is a JWK Set with the public half of a key.
func keyFile(t testing.TB, k *flow.Key) string {
	t.Helper()
	text, err := json.Marshal(map[string]any{"keys": []any{k.PublicJWK()}})
	if err != nil {
		t.Fatal(err)
	}
	return writeText(t, "jwks.json", string(text))
}

// A client that was registered by hand works at once, with all that only the operator can give it.
func TestClientCreate(t *testing.T) {
	d := deploy(t, 2, func(s *settings) { s.Registration = "closed" })
	desk, own := d.desk(t), key(t, "ES256")
	o := shown(t, desk.run("create", "--json", "--id", "acme", "--name", "Acme", "--grant-type", "client_credentials", "--scope", "client.read fdx:accountbasic:read",
		"--jwks", keyFile(t, own), "--token-lifetime", "10m", "--assertion-audience", "issuer_or_endpoint", "--unbound", "--serves", d.issuer, "--registrar", "--registration-token"))
	c := &flow.Client{Server: d.server(1), ID: "acme", Key: own, DPoPKey: key(t, "ES256")}
	c.RegistrationToken, _ = o["registration_access_token"].(string)
	c.RegistrationURI, _ = o["registration_client_uri"].(string)
	want := client.Client{ID: "acme", Version: 1, Registrar: true, Serves: []string{d.issuer}, TokenLifetime: 10 * time.Minute,
		AssertionAudience: client.IssuerOrEndpoint, Unbound: true, RegistrationTokenHash: oauth.Secret(c.RegistrationToken).Hash()}
	got := desk.stored("acme")
	want.IssuedAt, want.Metadata = got.IssuedAt, got.Metadata
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	record := do(t, c.Server, c.ManageRequest(http.MethodGet, nil))
	if outcome(t, record, "200"); record.JSON()["client_name"] != "Acme" || record.JSON()["scope"] != "client.read fdx:accountbasic:read" {
		t.Errorf("%s", record.ResponseBody)
	}
	r := unbound(c)
	r.Assertion = c.Assertion(flow.SetClaim("aud", c.Server.Metadata.TokenEndpoint))
	e := do(t, c.Server, r)
	if outcome(t, e, "200"); flow.Lifetime(issued(e).Claims) != 600 {
		t.Errorf("%s", e.ResponseBody)
	}

	t.Run("a generated id, and no token", func(t *testing.T) {
		o := shown(t, desk.run("create", "--json", "--grant-type", "client_credentials", "--jwks", keyFile(t, own)))
		id, _ := o["client_id"].(string)
		if _, has := o["registration_access_token"]; has || len(id) != 43 {
			t.Errorf("%v", o)
		}
		plain := desk.stored(id)
		if plain.Registrar || plain.Unbound || plain.TokenLifetime != 0 || plain.AssertionAudience != client.IssuerOnly || len(plain.Serves) > 0 {
			t.Errorf("%+v", plain)
		}
		if scope := plain.Scope(); !scope.Has("fdx:tax:read") || scope.Has("client.create") || scope.Has("client.read") {
			t.Errorf("scope %s", scope)
		}
		tokenFor(t, &flow.Client{Server: d.server(0), ID: id, Key: own, DPoPKey: key(t, "ES256")}, nil)
	})
	t.Run("metadata from a file, flags before it", func(t *testing.T) {
		file := writeText(t, "metadata.json", `{"client_name":"From the file","client_name#fr":"Du fichier","contacts":["a@acme.example"],"redirect_uris":["https://acme.example/cb"],
			"jwks_uri":"https://acme.example/jwks","scope":null,"default_max_age":0}`)
		o := shown(t, desk.run("create", "--json", "--metadata", file, "--jwks", keyFile(t, own), "--scope", "openid"))
		for name, want := range map[string]any{"client_name": "From the file", "client_name#fr": "Du fichier", "scope": "openid", "jwks_uri": nil, "default_max_age": 0.0} {
			if diff := cmp.Diff(want, o[name]); diff != "" {
				t.Errorf("%s: %s", name, diff)
			}
		}
	})
}

// What registration refuses, the operator's command refuses in the same words, and then nothing is stored.
func TestClientCreateRefuses(t *testing.T) {
	d := deploy(t, 1, nil)
	desk, own := d.desk(t), key(t, "ES256")
	before := desk.run("list", "--all", "--json")
	for member, value := range map[string]any{
		"client_name": 7, "grant_types": []string{"password"}, "redirect_uris": []string{"http://acme.example/cb"}, "scope": "nothing",
		"jwks": map[string]any{"keys": []any{}}, "token_endpoint_auth_method": "client_secret_basic", "software_statement": "x",
		"token_endpoint_auth_signing_alg": "RS256", "jwks_uri": "https://127.0.0.1:1/jwks", "client_name#" + strings.Repeat("x", 9): "x",
	} {
		m := metadata(own, func(m map[string]any) { m[member] = value })
		text, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		s := d.server(0)
		e := do(t, s, s.RegisterRequest(m))
		if e.Status != http.StatusBadRequest {
			t.Errorf("%s: registration answers %s", member, e.Outcome())
		}
		desk.refuses(exitUsage, []string{"create", "--id", "acme", "--metadata", writeText(t, "metadata.json", string(text))}, e.ErrorDescription())
	}
	keys := keyFile(t, own)
	private := writeText(t, "private.json", `{"keys":[{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0","d":"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"}]}`)
	for name, test := range map[string]struct {
		args []string
		want []string
	}{
		"no keys":                 {[]string{"--grant-type", "client_credentials"}, []string{"needs jwks or jwks_uri"}},
		"no redirect URI":         {[]string{"--jwks", keys}, []string{"redirect_uris is needed"}},
		"two sources of keys":     {[]string{"--jwks", keys, "--jwks-uri", "https://acme.example"}, []string{"--jwks and --jwks-uri can't be used together"}},
		"a private key":           {[]string{"--grant-type", "client_credentials", "--jwks", private}, []string{"must not be used again"}},
		"this server's own host":  {[]string{"--grant-type", "client_credentials", "--jwks-uri", d.issuer + "/oauth2/jwks"}, []string{"own host"}},
		"no file":                 {[]string{"--jwks", keys + ".absent"}, []string{"no such file"}},
		"no JSON":                 {[]string{"--jwks", writeText(t, "x", "keys")}, []string{"is neither JSON nor PEM"}},
		"an id with a space":      {[]string{"--id", "a b", "--jwks", keys}, []string{"client_id must be 1 to 128"}},
		"a member twice":          {[]string{"--metadata", writeText(t, "x", `{"scope":"a","scope":"b"}`)}, []string{"must be one strict JSON object"}},
		"a member of no client":   {[]string{"--metadata", writeText(t, "x", `{"client_nmae":"x"}`)}, []string{"client_nmae is no member here; did you mean client_name?"}},
		"what has a flag":         {[]string{"--metadata", writeText(t, "x", `{"unbound":true}`)}, []string{"unbound is no metadata; it has a flag of its own"}},
		"what the server sets":    {[]string{"--metadata", writeText(t, "x", `{"client_secret":"x"}`)}, []string{"client_secret is no member here"}},
		"unbound against its own": {[]string{"--jwks", keys, "--grant-type", "client_credentials", "--unbound", "--metadata", writeText(t, "x", `{"dpop_bound_access_tokens":true}`)}, []string{"unbound contradicts"}},
		"all at once": {[]string{"--jwks", keys, "--token-lifetime", "2h", "--assertion-audience", "any", "--serves", "x"},
			[]string{"4 problems:", "redirect_uris", "token_lifetime must be", "assertion_audience must be", "serves must be"}},
		"all of metadata too": {[]string{"--id", "x 9", "--token-lifetime", "9h", "--assertion-audience", "foo", "--scope", "nix accounts", "--grant-type", "password", "--jwks", keys + ".absent",
			"--metadata", writeText(t, "x", `{"client_nmae":"x","client_uri":"http://acme.example","require_auth_time":"no"}`)},
			[]string{"9 problems:", "client_nmae is no member", "no such file", "client_id must be", "client_uri must be", "grant_types must be of", "require_auth_time must be",
				"scope must be of", "token_lifetime must be", "assertion_audience must be"}},
		"files that cannot be read": {[]string{"--metadata", keys + ".absent", "--jwks", keys + ".gone", "--serves", "x"}, []string{"3 problems:", ".absent", ".gone", "serves must be"}},
		"no duration":               {[]string{"--token-lifetime", "long"}, []string{"--token-lifetime"}},
	} {
		t.Run(name, func(t *testing.T) {
			desk := desk
			desk.t = t
			desk.refuses(exitUsage, append([]string{"create"}, test.args...), test.want...)
		})
	}
	if diff := cmp.Diff(before, desk.run("list", "--all", "--json")); diff != "" {
		t.Error(diff)
	}
	desk.refuses(exitFailed, []string{"create", "--id", "dev-registrar", "--grant-type", "client_credentials", "--jwks", keys}, `there is a client "dev-registrar" already`)
}

// The commands judge by the deployment's issuer and by the settings that serve has.
func TestClientRulesAreServes(t *testing.T) {
	const issuer = "https://as.example"
	d := newDesk(t, "serve", issuer)
	create := func(args ...string) []string {
		return append([]string{"create", "--grant-type", "client_credentials"}, args...)
	}
	keys := keyFile(t, key(t, "ES256"))
	for uri, why := range map[string]string{"http://localhost:1/jwks": "it must be an https URL", "https://as.example/jwks": "own host", "https://10.1.2.3/jwks": "not a public one"} {
		d.refuses(exitUsage, create("--jwks-uri", uri), why)
	}
	d.refuses(exitUsage, create("--jwks", keys, "--scope", "accounts"), "scope must be of scopes_supported")
	d.refuses(exitUsage, create("--jwks", keys, "--jwks-allow-cidrs", "10/8"), "the configuration has 1 problem", "jwks-allow-cidrs")
	d.env = append(d.env, "AUTHSERVER_JWKS_ALLOW_CIDRS=10.1.0.0/16", "AUTHSERVER_SCOPES=accounts")
	d.run(create("--jwks-uri", "https://10.1.2.3/jwks", "--scope", "accounts")...)
	d.refuses(exitUsage, create("--jwks-uri", "https://10.2.2.3/jwks"), "not a public one")
	newDesk(t, "dev", "http://localhost:8080").run(create("--jwks-uri", "http://localhost:1/jwks")...)
}

// What is said of a target is said by its exit code.
func TestClientTargets(t *testing.T) {
	newborn := desk{t: t, env: []string{"AUTHSERVER_DATABASE_URL=" + storetest.URL(t)}}
	newborn.refuses(exitUsage, []string{"list"}, "no authserver has been started on this database yet")
	desk{t: t}.refuses(exitUsage, []string{"list"}, "database-url is missing")
	desk{t: t}.refuses(exitUnreachable, []string{"list", "--state", t.TempDir()}, "no dev server")
	desk{t: t, env: []string{"AUTHSERVER_DATABASE_URL=postgres://127.0.0.1:1/x"}}.refuses(exitUnreachable, []string{"get", "x"}, "the database does not answer")
	desk{t: t}.refuses(exitUsage, []string{"get"}, "<client_id>")
}

// The commands find the database of a dev that is running by its state folder.
func TestClientOfRunningDev(t *testing.T) {
	state := openFolder(t)
	dev := startDev(t, freePort(t), "--state", state)
	d := desk{t: t}
	own := key(t, "ES256")
	o := shown(t, d.run("create", "--state", state, "--json", "--id", "acme", "--grant-type", "client_credentials", "--jwks", keyFile(t, own), "--registration-token"))
	if want := dev.issuer + "/fdx/v6/register/acme"; o["registration_client_uri"] != want {
		t.Errorf("%v, want %s", o["registration_client_uri"], want)
	}
	tokenFor(t, &flow.Client{Server: dev.server(), ID: "acme", Key: own, DPoPKey: key(t, "ES256")}, nil)
	if got := d.run("list", "--state", state); !strings.Contains(got, "\nacme") || !strings.Contains(got, "\ndev-registrar") {
		t.Errorf("%s", got)
	}
	secret, _ := o["registration_access_token"].(string)
	if said := dev.stdout.String() + dev.stderr.String(); secret == "" || strings.Contains(said, secret) {
		t.Errorf("the registration access token %q stands in %s", secret, said)
	}
}
