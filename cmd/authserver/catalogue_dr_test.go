package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"authserver/internal/flow"
	"authserver/internal/oauth"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
)

// attacksOnRegistration are the cases about dynamic registration and its management (RFC 7591, RFC 7592).
func attacksOnRegistration() []attack {
	return slices.Concat(attacksOnMetadata(), attacksOnManagement(), []attack{
		{"DR-01", registrationOfSeed001},
		{"DR-02", registrationGates},
		{"DR-09", massAssignment},
		{"DR-16", registrationAtWill},
		{"DR-17", registrationBodies},
		{"DR-18", registeredPages},
		{"DR-19", registeredNames},
		{"DR-21", selfMadeRegistrars},
	})
}

// changes are members of a registration that are set, or left out when they are nil.
type changes map[string]any

func (c changes) apply(m map[string]any) {
	maps.Copy(m, c)
	maps.DeleteFunc(m, func(_ string, value any) bool { return value == nil })
}

// codeGrant is a registration for the authorization code grant.
func codeGrant(redirectURIs ...any) changes {
	return changes{"grant_types": []string{"authorization_code"}, "response_types": []string{"code"}, "redirect_uris": redirectURIs}
}

// clientRows counts the clients that the database holds, the deleted ones too.
func (d *deployment) clientRows(t testing.TB) (n int) {
	t.Helper()
	c, err := pgx.Connect(t.Context(), d.url)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(t.Context())
	if err := c.QueryRow(t.Context(), `SELECT count(*) FROM client`).Scan(&n); err != nil || n == 0 {
		t.Fatal(n, err)
	}
	return n
}

// neither wants each of the changes refused at registration and at an update alike (DR-13), and nothing stored by either.
func (d *deployment) neither(t *testing.T, want string, all map[string]changes) {
	t.Helper()
	c := d.register(0)
	before, clients := d.expect(c, c.ManageRequest(http.MethodGet, nil), "200").JSON(), d.clientRows(t)
	for name, change := range all {
		t.Run(name, func(t *testing.T) {
			m := metadata(c.Key, change.apply)
			outcome(t, do(t, c.Server, c.Server.RegisterRequest(m)), want)
			outcome(t, do(t, c.Server, c.ManageRequest(http.MethodPut, m)), want)
		})
	}
	if diff := cmp.Diff(before, d.expect(c, c.ManageRequest(http.MethodGet, nil), "200").JSON()); diff != "" {
		t.Errorf("a refused update changed the record: %s", diff)
	}
	if n := d.clientRows(t); n != clients {
		t.Errorf("refused registrations stored %d clients", n-clients)
	}
	d.expect(c, c.TokenRequest(nil), "200")
}

// member is a table of a single member with each of several values.
func member(name string, values ...any) map[string]changes {
	table := map[string]changes{}
	for _, value := range values {
		text, _ := json.Marshal(value)
		table[fmt.Sprintf("%s %.60s", name, text)] = changes{name: value}
	}
	return table
}

const (
	noMetadata = "400 invalid_client_metadata"
	noRedirect = "400 invalid_redirect_uri"
)

func attacksOnMetadata() []attack {
	return []attack{
		{"DR-03", func(t *testing.T, d *deployment) {
			table := map[string]changes{"none": codeGrant(), "absent": {"grant_types": []string{"authorization_code"}, "response_types": nil},
				"null": {"grant_types": nil, "response_types": nil, "redirect_uris": nil}, "the second": codeGrant("https://c.example/cb", "javascript:alert(1)")}
			for _, uri := range []string{"https://c.example/cb#f", "https://c.example/cb#", "javascript:alert(1)", "data:text/html,x", "http://c.example/cb",
				"https://*.c.example/cb", "https://*/cb", "/cb", "cb", "c.example/cb", "//c.example/cb", "https:/cb", "https:cb", "https:///cb",
				"https://u@c.example/cb", "https://u:p@c.example/cb", "https://c.example\\@evil.example/cb", "https://c.example/c b", "https://c.example:x/cb",
				"http://localhost/cb", "http://127.0.0.1/cb", "file:///etc/passwd", "com.example.app:/cb", "vbscript:x", "https://é.example/cb", "https://c.example/<>", "*"} {
				table[uri] = codeGrant(uri)
			}
			d.neither(t, noRedirect, table)
			c := d.register(0, codeGrant("https://c.example/cb?a=b", "https://c.example:8443/cb").apply) // the control
			d.expect(c, c.ManageRequest(http.MethodGet, nil), "200")
		}},
		{"DR-04", func(t *testing.T, d *deployment) {
			d.neither(t, noMetadata, member("jwks_uri", "https://c.example/jwks"))
		}},
		{"DR-05", func(t *testing.T, d *deployment) {
			d.neither(t, noMetadata, map[string]changes{"neither": {"jwks": nil}, "empty": {"jwks": map[string]any{"keys": []any{}}},
				"null and empty": {"jwks": json.RawMessage("null"), "jwks_uri": ""}, "no keys": {"jwks": map[string]any{}}, "text": {"jwks": "keys"}})
		}},
		{"DR-06", func(t *testing.T, d *deployment) {
			table := member("grant_types", []string{"implicit"}, []string{"urn:x"}, []string{"password"}, []string{"client_credentials", "implicit"},
				[]string{""}, "client_credentials", []any{1}, []string{"CLIENT_CREDENTIALS"})
			maps.Copy(table, member("response_types", []string{"code"}, []string{"token"}, []string{"id_token"}, []string{"code id_token"}, []string{"none"}))
			table["token beside code"] = changes{"grant_types": []string{"authorization_code"}, "response_types": []string{"code", "token"}, "redirect_uris": []string{"https://c.example/cb"}}
			table["refresh_token alone"] = changes{"grant_types": []string{"refresh_token"}}
			d.neither(t, noMetadata, table)
		}},
		{"DR-07", func(t *testing.T, d *deployment) {
			d.neither(t, noMetadata, member("token_endpoint_auth_method", "none", "client_secret_basic", "client_secret_post", "client_secret_jwt",
				"Private_Key_JWT", []string{"private_key_jwt"}, 1))
		}},
		{"DR-08", func(t *testing.T, d *deployment) {
			table := map[string]changes{}
			for _, name := range []string{"token_endpoint_auth_signing_alg", "request_object_signing_alg", "id_token_signed_response_alg",
				"userinfo_signed_response_alg", "authorization_signed_response_alg", "introspection_signed_response_alg"} {
				maps.Copy(table, member(name, "RS256", "none", "HS256", "NONE", "ES384", "es256"))
			}
			for _, name := range []string{"id_token_encrypted_response", "userinfo_encrypted_response", "authorization_encrypted_response",
				"introspection_encrypted_response", "request_object_encryption"} {
				for _, alg := range []string{"RSA1_5", "dir", "A128KW", "PBES2-HS256+A128KW", "none"} {
					table[name+" "+alg] = changes{name + "_alg": alg, "id_token_signed_response_alg": "PS256", "userinfo_signed_response_alg": "PS256",
						"authorization_signed_response_alg": "PS256", "introspection_signed_response_alg": "PS256"}
				}
				table[name+" enc"] = changes{name + "_alg": "RSA-OAEP-256", name + "_enc": "A128CBC"}
				table[name+" enc alone"] = changes{name + "_enc": "A256GCM"}
			}
			d.neither(t, noMetadata, table)
		}},
		{"DR-22", softwareStatements},
	}
}

func registrationOfSeed001(t *testing.T, d *deployment) {
	body := strings.ReplaceAll(seed001Register, "KEYSET", "https://recipient.example/jwks")
	var sent map[string]any
	if err := json.Unmarshal([]byte(body), &sent); err != nil {
		t.Fatal(err)
	}
	body = strings.TrimSuffix(body, "}") + `,"Scope":"root","admin":true,"trusted":"yes","status":"Suspended","constructor":{}}`
	e := raw(t, d.server(1), http.MethodPost, d.issuer+"/fdx/v6/register", http.Header{"Content-Type": {"application/json"}}, body)
	outcome(t, e, "201")
	got := e.JSON()
	for name, value := range sent {
		if diff := cmp.Diff(value, got[name]); diff != "" {
			t.Errorf("%s (-sent +answered):\n%s", name, diff)
		}
	}
	for _, name := range []string{"Scope", "admin", "trusted", "constructor", "client_secret"} {
		if value, has := got[name]; has {
			t.Errorf("%s is answered as %v", name, value)
		}
	}
	id, _ := got["client_id"].(string)
	token, _ := got["registration_access_token"].(string)
	if len(id) < 22 || len(token) < 22 || got["registration_client_uri"] != d.issuer+"/fdx/v6/register/"+id || got["status"] != "Approved" {
		t.Errorf("%v", got)
	}
	c := &flow.Client{Server: d.server(2), RegistrationToken: token, RegistrationURI: d.issuer + "/fdx/v6/register/" + id}
	if diff := cmp.Diff(got, d.expect(c, c.ManageRequest(http.MethodGet, nil), "200").JSON()); diff != "" {
		t.Error(diff)
	}
}

// massAssignment: what only the server or the operator sets is not taken from the body.
func massAssignment(t *testing.T, d *deployment) {
	victim := d.register(0)
	c := d.register(0, changes{"client_id": victim.ID, "registration_access_token": "chosen-by-the-client-chosen-by-the-client", "client_secret": "s",
		"client_secret_expires_at": 0, "client_id_issued_at": 1, "registration_client_uri": "https://evil.example/", "admin": true, "registrar": true,
		"Registrar": true, "serves": []string{d.issuer}, "Serves": []string{d.issuer}, "version": 99, "issued_at": 1, "id": victim.ID,
		"registration_token_hash": "AA"}.apply)
	if c.ID == victim.ID || strings.HasPrefix(c.RegistrationToken, "chosen") || c.RegistrationURI != d.issuer+"/fdx/v6/register/"+c.ID {
		t.Errorf("the client chose %s, %s, %s", c.ID, c.RegistrationToken, c.RegistrationURI)
	}
	stored, found, err := d.store.FindClient(t.Context(), c.ID)
	if err != nil || !found || stored.Registrar || len(stored.Serves) > 0 || stored.Version != 1 {
		t.Errorf("%v %v %+v", found, err, stored)
	}
	record := d.expect(c, c.ManageRequest(http.MethodGet, nil), "200").JSON()
	for _, name := range []string{"client_secret", "client_secret_expires_at", "admin", "registrar", "Registrar", "serves", "Serves", "version", "id"} {
		if value, has := record[name]; has {
			t.Errorf("%s is kept as %v", name, value)
		}
	}
	if issuedAt, _ := record["client_id_issued_at"].(json.Number); issuedAt == "1" || record["client_id_issued_at"] == 1.0 {
		t.Error("the client chose when it was issued")
	}
	access := tokenFor(t, victim, nil)
	unseen(t, c, access) // it serves no audience
	d.expect(victim, victim.ManageRequest(http.MethodGet, nil), "200")
}

// registrationBodies are no strict JSON object, or more than is read.
func registrationBodies(t *testing.T, d *deployment) {
	c := d.register(0)
	encoded, err := json.Marshal(metadata(c.Key))
	if err != nil {
		t.Fatal(err)
	}
	good := string(encoded)
	with := func(more string) string { return strings.TrimSuffix(good, "}") + "," + more + "}" }
	list := func(n int, item string) string {
		return "[" + strings.TrimSuffix(strings.Repeat(item+",", n), ",") + "]"
	}
	before := d.clientRows(t)
	for name, test := range map[string]struct{ body, want string }{
		"an array": {"[" + good + "]", noMetadata}, "null": {"null", noMetadata}, "text": {`"a"`, noMetadata}, "a number": {"1", noMetadata}, "nothing": {"", noMetadata},
		"scope twice": {with(`"scope":"client.create"`), noMetadata}, "scope twice, escaped": {with(`"sc\u006fpe":"client.create"`), noMetadata},
		"a member of a key twice":  {with(`"x":{"a":1,"a":2}`), noMetadata},
		"another object after it":  {good + "{}", noMetadata},
		"rubbish after it":         {good + "x", noMetadata},
		"a comma too many":         {strings.TrimSuffix(good, "}") + ",}", noMetadata},
		"a comment":                {"/* */" + good, noMetadata},
		"half":                     {good[:len(good)/2], noMetadata},
		"a byte order mark":        {"\ufeff" + good, noMetadata},
		"not UTF-8":                {with("\"client_name\":\"\xff\""), noMetadata},
		"half a surrogate pair":    {with(`"client_name#fr":"\ud83d"`), noMetadata},
		"a NUL in a name":          {with(`"description":"a\u0000b"`), noMetadata},
		"a NUL in a list":          {with(`"contacts":["a\u0000b"]`), noMetadata},
		"10,000 deep":              {with(`"x":` + strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000)), noMetadata},
		"10,000 objects deep":      {with(`"x":` + strings.Repeat(`{"a":`, 6_000) + "1" + strings.Repeat("}", 6_000)), noMetadata},
		"never closed":             {strings.Repeat(`{"a":`, 10_000), noMetadata},
		"200 redirect URIs":        {with(`"redirect_uris":` + list(200, `"https://c.example/cb"`)), noMetadata},
		"200 contacts":             {with(`"contacts":` + list(200, `"a@c.example"`)), noMetadata},
		"10,000 grant types":       {strings.Replace(good, `["client_credentials"]`, list(3_000, `"password"`), 1), noMetadata},
		"a scope of 40 KB":         {strings.Replace(good, `"scope":"`, `"scope":"`+strings.Repeat("client.read ", 3400), 1), noMetadata},
		"a name that is an object": {strings.Replace(good, `"a data recipient"`, "{}", 1), noMetadata},
		"a number beyond all":      {with(`"duration_period":1e400`), noMetadata},
		"longer than is read":      {with(`"x":"` + strings.Repeat("a", oauth.MaxBody) + `"`), "413 invalid_request"},
	} {
		t.Run(name, func(t *testing.T) {
			allocates(t, 16<<20, func() {
				for target, method := range map[string]string{c.Server.Metadata.RegistrationEndpoint: http.MethodPost, c.RegistrationURI: http.MethodPut} {
					header := http.Header{"Content-Type": {"application/json"}}
					if method == http.MethodPut {
						header.Set("Authorization", "Bearer "+c.RegistrationToken)
					}
					outcome(t, raw(t, c.Server, method, target, header, test.body), test.want)
				}
			})
		})
	}
	for _, media := range []string{"", "text/plain", formMedia, "application/jsonx", "multipart/form-data; boundary=a"} {
		outcome(t, raw(t, c.Server, http.MethodPost, c.Server.Metadata.RegistrationEndpoint, http.Header{"Content-Type": {media}}, good), "415 invalid_request")
	}
	if n := d.clientRows(t); n != before {
		t.Errorf("refused registrations stored %d clients", n-before)
	}
	d.expect(c, c.TokenRequest(nil), "200")
}

// registeredPages are shown to people, never fetched by the server; but for a logo, and that from no address of the inside.
func registeredPages(t *testing.T, d *deployment) {
	h := newTLSKeyHost(t, nil, newAuthority(t).issue(t, "ECDSA", "127.0.0.1"), http.NotFound)
	pages := changes{"intermediaries": []any{map[string]any{"name": "a", "uri": h.URL, "logo_uri": h.URL + "/logo"}}, "logo_uri#fr": h.URL + "/fr",
		"post_logout_redirect_uris": []string{h.URL}}
	for _, name := range []string{"logo_uri", "policy_uri", "tos_uri", "client_uri", "initiate_login_uri", "backchannel_logout_uri", "sector_identifier_uri"} {
		pages[name] = h.URL + "/" + name
		for _, uri := range []string{"http://127.0.0.1/x", "file:///etc/passwd", "javascript:alert(1)", "data:image/svg+xml,x", "//evil.example/x"} {
			r := d.server(0).RegisterRequest(metadata(key(t, "ES256"), changes{name: uri}.apply))
			outcome(t, do(t, d.server(0), r), noMetadata)
		}
	}
	c := d.register(0, pages.apply, codeGrant(h.URL+"/cb").apply, changes{"grant_types": []string{"authorization_code", "client_credentials"}}.apply)
	record := d.expect(c, c.ManageRequest(http.MethodGet, nil), "200").JSON()
	if record["logo_uri"] != h.URL+"/logo_uri" || record["logo_uri#fr"] != h.URL+"/fr" {
		t.Errorf("not stored as it was sent: %v", record)
	}
	introspected(t, c, tokenFor(t, c, nil))
	d.logsWith(func() { noLogo(t, d.production().server(0), c.ID) }, "client logo not fetched", c.ID, "not a public one")
	d.expect(c, c.ManageRequest(http.MethodPut, metadata(c.Key, pages.apply)), "200")
	d.expect(c, c.ManageRequest(http.MethodDelete, nil), "204")
	h.unreached(t)
}

func registeredNames(t *testing.T, d *deployment) {
	const family = "👩\u200d👧"
	for _, name := range []string{strings.Repeat("銀", 200), strings.Repeat("🏦", 200), "한국은행 " + family + " Ćeská & <b>\"банк\"</b> \\ العربية",
		strings.Repeat(family, 66), "e\u0301 is not \u00e9"} {
		c := d.register(0, changes{"client_name": name, "client_name#ja": name}.apply)
		encoded, err := json.Marshal(metadata(c.Key, changes{"client_name": "NAME"}.apply))
		if err != nil {
			t.Fatal(err)
		}
		escaped := ""
		for _, unit := range utf16Of(name) {
			escaped += fmt.Sprintf(`\u%04x`, unit)
		}
		header := http.Header{"Content-Type": {"application/json; charset=utf-8"}, "Authorization": {"Bearer " + c.RegistrationToken}}
		for i := range 3 {
			record := d.expect(d.at(c, i), c.ManageRequest(http.MethodGet, nil), "200").JSON()
			if record["client_name"] != name || i == 0 && record["client_name#ja"] != name {
				t.Errorf("%q has become %q", name, record["client_name"])
			}
			outcome(t, raw(t, c.Server, http.MethodPut, c.RegistrationURI, header, strings.Replace(string(encoded), "NAME", escaped, 1)), "200")
		}
	}
	d.neither(t, noMetadata, member("client_name", strings.Repeat("銀", 201), "a\u202eb", "a\u0007b", "a\nb", "a\u2066b"))
}
