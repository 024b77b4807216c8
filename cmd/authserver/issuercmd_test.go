package main

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"authserver/internal/audit"
	"authserver/internal/client"
	"authserver/internal/flow"
	"authserver/internal/issuer"
	"authserver/internal/jose"
	"authserver/internal/oauth"
	"authserver/internal/token"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// trustDesk is a desk with a scope of its own and two clients that are registered for the grant, and one that is not.
func trustDesk(t *testing.T) desk {
	t.Helper()
	d := newDesk(t, "dev", "http://localhost:8080")
	d.env = append(d.env, "AUTHSERVER_SCOPES=payments:read,payments:write")
	for _, id := range []string{"mgw-client", "mgw-client-2", "other"} {
		grants := []string{token.JWTBearer}
		if id == "other" {
			grants = []string{"client_credentials"}
		}
		addClient(t, d, client.Client{ID: id, Metadata: client.Metadata{GrantTypes: grants, Scope: "payments:read"}})
	}
	return d
}

func addClient(t *testing.T, d desk, c client.Client) {
	t.Helper()
	c.IssuedAt, c.RegistrationTokenHash = time.Now(), oauth.NewSecret().Hash()
	c.Metadata.TokenEndpointAuthMethod, c.Metadata.ResponseTypes = client.PrivateKeyJWT, []string{}
	if added, err := d.store.AddClient(t.Context(), c); !added || err != nil {
		t.Fatal(added, err)
	}
}

// issuer runs `authserver issuer`.
func (d desk) issuer(args ...string) (code int, stdout, stderr string) {
	d.t.Helper()
	return program(d.t, d.env, append([]string{"issuer"}, args...)...)
}

// trusts runs it and wants it to say this.
func (d desk) trusts(want string, args ...string) {
	d.t.Helper()
	if code, stdout, stderr := d.issuer(args...); code != 0 || stdout != want || stderr != "" {
		d.t.Fatalf("issuer %s: %d %s%s", strings.Join(args, " "), code, stdout, stderr)
	}
}

// record is the record of a trusted issuer.
func (d desk) record(name string) issuer.Issuer {
	d.t.Helper()
	i, found, err := d.store.FindIssuer(d.t.Context(), name)
	if err != nil || !found {
		d.t.Fatal(name, found, err)
	}
	return i
}

// Seed 002 tells a gateway to make its key with openssl, and to hand over the public half in PEM and its name.
const (
	seedPublicKey = `-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE6swczLIRn/lPxQPpdUb2pHjCr0Ye
C02lkG7vMmqCNpalwIQSl+TRfZVDwCKJmajRgK3+n5SyAgCp4oH8qNluwQ==
-----END PUBLIC KEY-----
`
	seedJWKS = `{"keys":[{"crv":"P-256","kid":"your_tenant_key_id","kty":"EC",` +
		`"x":"6swczLIRn_lPxQPpdUb2pHjCr0YeC02lkG7vMmqCNpY","y":"pcCEEpfk0X2VQ8AiiZmo0YCt_p-UsgIAqeKB_KjZbsE"}]}`
)

// An issuer is what the flags say and, where they say nothing, what issuer.New has.
func TestIssuerAdd(t *testing.T) {
	d := trustDesk(t)
	public := writeText(t, "customer-jwt-pub-key.pem", seedPublicKey)
	add := []string{"add", "MGW_ID", "--jwks", public, "--kid", "your_tenant_key_id", "--client", "mgw-client", "--scope", "payments:read"}
	d.trusts("created    MGW_ID\n", add...)
	want := issuer.New("MGW_ID")
	want.JWKS, want.Clients, want.Scopes = json.RawMessage(seedJWKS), []string{"mgw-client"}, oauth.Scope{"payments:read"}
	want.Audiences, want.Subjects = []string{}, []string{}
	got := d.record("MGW_ID")
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(issuer.Issuer{}, "Version", "AddedAt", "UpdatedAt")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	d.trusts("unchanged  MGW_ID\n", add...)

	relaxed := append(add, "--no-require-client-authentication", "--no-require-binding", "--require-jti", "--audience", "stg",
		"--audience", "prd", "--subject", "our_user_for_audit", "--max-lifetime", "300", "--token-lifetime", "10m", "--alg", "ES256", "--alg", "Ed25519")
	if code, stdout, stderr := d.issuer(relaxed...); code != 1 || stdout != "" || !strings.Contains(stderr, "there already, and not as given here: MGW_ID; --replace") {
		t.Errorf("%d %s%s", code, stdout, stderr)
	}
	d.trusts("updated    MGW_ID\n", append(relaxed, "--replace")...)
	want.Audiences, want.Subjects, want.RequireJTI = []string{"stg", "prd"}, []string{"our_user_for_audit"}, true
	want.MaxLifetime, want.TokenLifetime, want.Algs = 5*time.Minute, 10*time.Minute, []jose.Alg{jose.ES256, jose.EdDSA}
	want.RequireClientAuthentication, want.RequireBinding = false, false
	if diff := cmp.Diff(want, d.record("MGW_ID"), cmpopts.IgnoreFields(issuer.Issuer{}, "Version", "AddedAt", "UpdatedAt")); diff != "" {
		t.Errorf("replaced (-want +got):\n%s", diff)
	}
	d.trusts("[{\"issuer\":\"MGW_ID\",\"outcome\":\"unchanged\"}]\n", append(relaxed, "--json")...)
	d.trusts("created    remote\n", "add", "remote", "--jwks-uri", "https://keys.example/jwks", "--client", "mgw-client", "--client", "mgw-client-2",
		"--scope", "payments:read payments:write")
}

// issuersFile is an import of two issuers.
func issuersFile(t *testing.T, more string) string {
	t.Helper()
	return writeText(t, "issuers.yaml", `# the gateways of the bank
- &base
  issuer: MGW_1
  public_key: |
    `+strings.ReplaceAll(strings.TrimSpace(seedPublicKey), "\n", "\n    ")+`
  kid: your_tenant_key_id
  audiences: [stg]
  clients: [mgw-client]
  scope: payments:read
  require_client_authentication: false
  require_binding: false
- <<: *base
  issuer: MGW_2
  max_lifetime: 60
  token_lifetime: 5m
`+more)
}

// A file is read as a whole, and what list prints is such a file.
func TestIssuerFile(t *testing.T) {
	d := trustDesk(t)
	file := issuersFile(t, "")
	d.trusts("created    MGW_1\ncreated    MGW_2\n", "add", "--file", file)
	d.trusts("unchanged  MGW_1\nunchanged  MGW_2\n", "add", "--file", file, "--replace")
	if second := d.record("MGW_2"); second.MaxLifetime != time.Minute || second.TokenLifetime != 5*time.Minute || second.RequireBinding {
		t.Errorf("%+v", second)
	}
	_, list, _ := d.issuer("list", "--json")
	d.trusts("removed MGW_1\n", "remove", "MGW_1")
	d.trusts("created    MGW_1\nunchanged  MGW_2\n", "add", "--file", writeText(t, "again.yaml", list))
	changed := issuersFile(t, "- issuer: MGW_3\n  jwks: "+seedJWKS+"\n  clients: [mgw-client]\n  scope: payments:read\n  require_jti: true\n")
	d.trusts("unchanged  MGW_1\nunchanged  MGW_2\ncreated    MGW_3\n", "add", "--file", changed)
	d.trusts("[]\n", "add", "--file", writeText(t, "empty.yaml", "[]"), "--json")
}

// All that is wrong is told at once, and nothing is written.
func TestIssuerRefused(t *testing.T) {
	d := trustDesk(t)
	public := writeText(t, "k.pem", seedPublicKey)
	good := []string{"add", "MGW", "--jwks", public, "--kid", "k", "--client", "mgw-client", "--scope", "payments:read"}
	private, err := os.ReadFile(filepath.Join("testdata", "seed-002.json"))
	if err != nil {
		t.Fatal(err)
	}
	var seed struct {
		Key string `json:"private_key_pem"`
	}
	if err := json.Unmarshal(private, &seed); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		args  []string
		wrong []string
	}{
		"nothing":           {[]string{"add"}, []string{"name one issuer, with its flags, or --file"}},
		"a flag and a file": {append(good, "--file", public), []string{"name one issuer"}},
		"no keys, no client, no scope": {[]string{"add", "MGW"}, []string{"3 problems", "keys must be in jwks or behind jwks_uri",
			"clients must name", "scopes must be"}},
		"a private key":   {append(good[:2:2], "--jwks", writeText(t, "p.pem", seed.Key), "--kid", "k", "--client", "mgw-client", "--scope", "payments:read"), []string{"authserver: /", "holds a private key"}},
		"PEM without kid": {append(good[:4:4], "--client", "mgw-client", "--scope", "payments:read"), []string{"authserver: " + public + ": --kid is missing"}},
		"a kid without PEM": {append(good[:2:2], "--jwks-uri", "https://keys.example", "--kid", "k", "--client", "mgw-client", "--scope", "payments:read"),
			[]string{"--kid names the key of a PEM file"}},
		"no such file":                  {append(good[:2:2], "--jwks", "/nowhere/k.pem"), []string{"3 problems", "/nowhere/k.pem", "clients must name", "scopes must be"}},
		"clients":                       {append(good, "--client", "nobody", "--client", "other"), []string{`there is no client "nobody"`, `"other" is not registered for the grant type ` + token.JWTBearer}},
		"a scope that there is not":     {append(good[:8:8], "--scope", "payments:read payments:all"), []string{"payments:all is none of this deployment"}},
		"a scope that no client has":    {append(good[:8:8], "--scope", "payments:write"), []string{"registered for none of the scopes"}},
		"CC-11 a person's scope":        {append(good[:8:8], "--scope", "payments:read fdx:accountbasic:read"), []string{"no assertion opens the scope fdx:accountbasic:read"}},
		"CC-03 another client's name":   {append(good, "--subject", "other"), []string{`"other" is or was the id of a client`}},
		"CC-03 an issuer like a client": {append([]string{"add", "other"}, good[2:]...), []string{`"other" is or was the id of a client`}},
		"CC-03 its own client's name":   {append(good, "--subject", "mgw-client"), []string{`"mgw-client" must be neither the issuer nor a subject`}},
		"CC-11 a person":                {append(good, "--subject", "_alex"), []string{"underscore"}},
		"this server":                   {append([]string{"add", "http://localhost:8080"}, good[2:]...), []string{"this server itself"}},
		"too long": {append(good, "--max-lifetime", "16m", "--token-lifetime", "1h", "--alg", "HS256"),
			[]string{"max_lifetime", "token_lifetime", "HS256"}},
	} {
		code, stdout, stderr := d.issuer(test.args...)
		if code != 2 || stdout != "" {
			t.Errorf("%s: %d %s%s", name, code, stdout, stderr)
		}
		for _, sentence := range test.wrong {
			if !strings.Contains(stderr, sentence) {
				t.Errorf("%s: no %q in %s", name, sentence, stderr)
			}
		}
	}
	file := issuersFile(t, `- issuer: MGW_1
  jwk: {}
  kid: 7
- issuer: MGW_4
  jwks: `+seedJWKS+`
  public_key: x
  clients: [nobody]
  scope: payments:read
  subjects: other
- issuer: MGW_5
  public_key: |
    `+strings.ReplaceAll(strings.TrimSpace(seedPublicKey), "\n", "\n    ")+`
  clients: [mgw-client]
  scope: payments:read
- issuer: MGW_6
  kid: k
  public_key: 7
  clients: [mgw-client]
  scope: payments:read
- text
`)
	code, stdout, stderr := d.issuer("add", "--file", file)
	if code != 2 || stdout != "" {
		t.Errorf("%d %s", code, stdout)
	}
	for _, sentence := range []string{
		"11 problems:", "line 19, issuer MGW_1: the issuer stands in line 2 already", "line 19, issuer MGW_1: jwk is no member here; did you mean jwks?",
		"line 19, issuer MGW_1: kid must be a string", "line 22, issuer MGW_4: subjects must be a list of strings",
		"line 22, issuer MGW_4: the issuer's keys must be in jwks or in public_key", `line 22, issuer MGW_4: there is no client "nobody"`,
		"line 28, issuer MGW_5: public_key: kid is missing", "line 36, issuer MGW_6: public_key must be a public key in PEM",
		"line 41: must be the members of one issuer",
	} {
		if !strings.Contains(stderr, sentence) {
			t.Errorf("no %q in %s", sentence, stderr)
		}
	}
	if any, err := d.store.TrustsIssuers(t.Context()); any || err != nil {
		t.Errorf("something was written: %v", err)
	}
}

// What an issuer is called, or may speak for, no new client is called: the issuer's assertions would all be refused.
func TestClientOfAnIssuersName(t *testing.T) {
	d := trustDesk(t)
	public := writeText(t, "k.pem", seedPublicKey)
	create := func(id string) []string {
		return []string{"create", "--json", "--id", id, "--grant-type", "client_credentials", "--jwks", public}
	}
	d.trusts("created    MGW_ID\n", "add", "MGW_ID", "--jwks", public, "--kid", "k1", "--client", "mgw-client",
		"--scope", "payments:read", "--subject", "auditor")
	for _, id := range []string{"MGW_ID", "auditor"} {
		d.refuses(exitFailed, create(id), "nothing was written", fmt.Sprintf(`%q (of the issuer "MGW_ID")`, id), "choose another client_id", "issuer remove")
	}
	file := writeText(t, "clients.yaml", `
- &base {client_id: free, grant_types: [client_credentials], jwks_uri: 'https://free.example/jwks'}
- {<<: *base, client_id: auditor}
- {<<: *base, client_id: MGW_ID}
`)
	d.refuses(exitFailed, []string{"import", file}, `"MGW_ID" (of the issuer "MGW_ID"), "auditor" (of the issuer "MGW_ID")`)
	for _, id := range []string{"free", "auditor", "MGW_ID"} {
		if _, found, err := d.store.FindClient(t.Context(), id); found || err != nil {
			t.Errorf("%s was written: %v, %v", id, found, err)
		}
	}
	d.trusts("removed MGW_ID\n", "remove", "MGW_ID")
	d.run("import", file)
	d.refuses(exitFailed, create("auditor"), "already")
}

// The list is for people, or JSON; who is removed is gone.
func TestIssuerListAndRemove(t *testing.T) {
	d := trustDesk(t)
	d.trusts("[]\n", "list", "--json")
	d.trusts("created    MGW_1\ncreated    MGW_2\n", "add", "--file", issuersFile(t, ""))
	_, table, _ := d.issuer("list")
	for _, want := range []string{"ISSUER", "MGW_1", "your_tenant_key_id (ES256)", "mgw-client", "payments:read",
		"no client authentication, Bearer tokens, aud stg", "exp within 1m0s, tokens live 5m0s"} {
		if !strings.Contains(table, want) {
			t.Errorf("no %q in\n%s", want, table)
		}
	}
	var list []map[string]any
	if _, out, _ := d.issuer("list", "--json"); json.Unmarshal([]byte(out), &list) != nil || len(list) != 2 {
		t.Fatal(out)
	}
	first := list[0]
	if first["added_at"] == nil || first["updated_at"] == nil || first["version"] == nil {
		t.Errorf("%v", first)
	}
	for _, name := range []string{"added_at", "updated_at", "version", "jwks"} {
		delete(first, name)
	}
	want := map[string]any{"issuer": "MGW_1", "algs": []any{"ES256"}, "audiences": []any{"stg"}, "max_lifetime": 900., "require_jti": false,
		"clients": []any{"mgw-client"}, "scope": "payments:read", "token_lifetime": 900., "require_client_authentication": false, "require_binding": false}
	if diff := cmp.Diff(want, first); diff != "" {
		t.Error(diff)
	}
	d.trusts("{\"issuer\":\"MGW_1\",\"status\":\"removed\"}\n", "remove", "MGW_1", "--json")
	if code, _, stderr := d.issuer("remove", "MGW_1"); code != 1 || !strings.Contains(stderr, `there is no issuer "MGW_1"`) {
		t.Errorf("%d %s", code, stderr)
	}
}

// What the operator does to an issuer stands in the trail; what changed nothing does not.
func TestIssuerTrail(t *testing.T) {
	d := trustDesk(t)
	trail := filepath.Join(t.TempDir(), "audit.log")
	d.env = append(d.env, "AUTHSERVER_AUDIT_LOG="+trail)
	file := issuersFile(t, "")
	d.trusts("created    MGW_1\ncreated    MGW_2\n", "add", "--file", file)
	d.trusts("unchanged  MGW_1\nunchanged  MGW_2\n", "add", "--file", file)
	public := writeText(t, "k.pem", seedPublicKey)
	d.trusts("updated    MGW_1\n", "add", "MGW_1", "--jwks", public, "--kid", "k2", "--client", "mgw-client", "--scope", "payments:read", "--replace")
	d.trusts("removed MGW_2\n", "remove", "MGW_2")
	d.issuer("remove", "MGW_2")
	text, err := os.ReadFile(trail)
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	for line := range strings.Lines(string(text)) {
		var r audit.Record
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		said = append(said, fmt.Sprint(r.Event, " ", r.Actor, " ", r.Outcome, " ", r.Issuer, " ", r.Scope))
	}
	want := []string{
		"issuer.added operator success MGW_1 payments:read", "issuer.added operator success MGW_2 payments:read",
		"issuer.updated operator success MGW_1 payments:read", "issuer.removed operator success MGW_2 ",
	}
	if diff := cmp.Diff(want, said); diff != "" {
		t.Error(diff)
	}
}

// A key in PEM is the same key in a set, whatever its kind; and a client may be given one too.
func TestKeyInPEM(t *testing.T) {
	for _, alg := range []string{"ES256", "PS256", "EdDSA"} {
		own := key(t, alg)
		jwks, err := readKeySet(writeText(t, "k.pem", publicPEM(t, own)), "k1", true)
		if err != nil {
			t.Fatal(alg, err)
		}
		set, err := jose.ParseKeySet(jwks, 1)
		if err != nil || len(set.Keys) != 1 || set.Keys[0].Thumbprint() != own.Thumbprint() || set.Keys[0].Kid() != "k1" {
			t.Errorf("%s: %v %s", alg, err, jwks)
		}
	}
	for name, text := range map[string]string{
		"two keys": seedPublicKey + seedPublicKey, "a certificate": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
		"no key": "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "half a PEM": "-----BEGIN PUBLIC KEY-----\nAAAA\n",
	} {
		if jwks, err := readKeySet(writeText(t, "k.pem", text), "k1", true); err == nil {
			t.Errorf("%s: %s", name, jwks)
		}
	}
	d := newDesk(t, "dev", "http://localhost:8080")
	o := shown(t, d.run("create", "--json", "--id", "acme", "--grant-type", token.JWTBearer, "--jwks", writeText(t, "k.pem", seedPublicKey)))
	if text, _ := json.Marshal(o["jwks"]); strings.Contains(string(text), "kid") || !strings.Contains(string(text), "6swczLIRn_lPxQPpdUb2pHjCr0YeC02lkG7vMmqCNpY") {
		t.Errorf("%s", text)
	}
}

// publicPEM is the public half of a key in PEM.
func publicPEM(t *testing.T, k *flow.Key) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(k.Signer.Public())
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}
