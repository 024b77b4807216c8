package main

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"unicode/utf16"

	"authserver/internal/flow"
	"authserver/internal/oauth"

	"github.com/google/go-cmp/cmp"
)

func attacksOnManagement() []attack {
	return []attack{
		{"DR-10", otherClientIDs},
		{"DR-11", otherClientsTokens},
		{"DR-12", fieldsLeftOut},
		{"DR-13", widerUpdates},
		{"DR-14", func(t *testing.T, d *deployment) {
			c := d.register(0)
			access := tokenFor(t, c, nil)
			d.wantActive(c, access, true)
			d.everywhere(c) // every replica has it in memory
			d.expect(c, c.ManageRequest(http.MethodDelete, nil), "204")
			d.wantGone(t, c, access)
		}},
		{"DR-15", disabledClients},
		{"DR-20", updatesBesideDeletion},
		{"DR-24", manyClients},
	}
}

func utf16Of(s string) []uint16 { return utf16.Encode([]rune(s)) }

// wantGone holds every replica to a client's end: nothing that it has opens anything, and the answers do not tell why.
func (d *deployment) wantGone(t *testing.T, c *flow.Client, access string) {
	t.Helper()
	for i := range d.replicas {
		by := d.at(c, i)
		for name, r := range map[string]*flow.Request{"token": by.TokenRequest(nil), "introspect": by.IntrospectRequest(access), "revoke": by.RevokeRequest(access)} {
			e := do(t, by.Server, r)
			if refusedFor(t, e, "401 invalid_client", oauth.ClientNotProven); strings.Contains(e.ErrorDescription(), "delete") {
				t.Errorf("%s tells why: %s", name, e.ErrorDescription())
			}
		}
		unseen(t, d.resourceServerAt(i), access)
		used := by.Present(&flow.Request{Method: http.MethodGet, URL: d.issuer + "/demo/accounts"}, access)
		refusedFor(t, do(t, by.Server, used), "401 invalid_token", oauth.TokenRevoked)
		for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodDelete} {
			for _, r := range []*flow.Request{by.ManageRequest(method, metadata(c.Key)), by.Present(&flow.Request{Method: method, URL: c.RegistrationURI, JSON: metadata(c.Key)}, access)} {
				outcome(t, do(t, by.Server, r), "401 invalid_token")
			}
		}
	}
}

func otherClientIDs(t *testing.T, d *deployment) {
	other := d.register(0)
	table := member("client_id", other.ID, "another", "", 1, []string{other.ID}, map[string]any{}, true)
	delete(table, `client_id ""`) // as good as none
	c := d.register(1)
	before := d.expect(c, c.ManageRequest(http.MethodGet, nil), "200").JSON()
	for _, change := range []changes{{"client_id": strings.ToUpper(c.ID)}, {"client_id": c.ID + " "}, {"client_id": c.ID[:len(c.ID)-1]}, {"client_id_issued_at": 1},
		{"registration_access_token": c.RegistrationToken}, {"registration_client_uri": c.RegistrationURI}, {"client_secret": "x"}, {"client_secret_expires_at": 1}} {
		d.expect(c, c.ManageRequest(http.MethodPut, metadata(c.Key, changes{"client_name": "changed"}.apply, change.apply)), noMetadata)
	}
	for _, change := range table {
		d.expect(c, c.ManageRequest(http.MethodPut, metadata(c.Key, changes{"client_name": "changed"}.apply, change.apply)), noMetadata)
	}
	if diff := cmp.Diff(before, d.expect(c, c.ManageRequest(http.MethodGet, nil), "200").JSON()); diff != "" {
		t.Error(diff)
	}
	d.expect(c, c.ManageRequest(http.MethodPut, metadata(c.Key, changes{"client_id": c.ID}.apply)), "200") // the control
	for _, still := range []*flow.Client{c, other} {
		d.expect(still, still.TokenRequest(nil), "200")
	}
}

// otherClientsTokens open nothing, and the answer does not tell whether there is anything to open.
func otherClientsTokens(t *testing.T, d *deployment) {
	c, other, deleted := d.register(0), d.register(1), d.register(2)
	d.expect(deleted, deleted.ManageRequest(http.MethodDelete, nil), "204")
	access, unknown := tokenFor(t, other, nil), d.issuer+"/fdx/v6/register/"+strings.Repeat("a", 43)
	for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodDelete} {
		var first *flow.Exchange
		for i, target := range []string{c.RegistrationURI, unknown, deleted.RegistrationURI, other.RegistrationURI + "x", d.issuer + "/fdx/v6/register/%00",
			d.issuer + "/fdx/v6/register/%ff%fe", d.issuer + "/fdx/v6/register/" + strings.ToLower(c.ID), d.issuer + "/fdx/v6/register/" + d.registrar.ClientID} {
			s := d.server(i % 3)
			r := other.ManageRequest(method, metadata(other.Key))
			r.URL = target
			e := do(t, s, r)
			refusedFor(t, e, "401 invalid_token", oauth.RegistrationToken)
			if first == nil {
				first = e
			}
			if diff := cmp.Diff([]any{first.JSON(), first.ResponseHeader["Www-Authenticate"]}, []any{e.JSON(), e.ResponseHeader["Www-Authenticate"]}); diff != "" {
				t.Errorf("%s %s: %s", method, target, diff)
			}
			bound := d.at(other, i%3)
			refusedFor(t, do(t, bound.Server, bound.Present(&flow.Request{Method: method, URL: target, JSON: metadata(other.Key)}, access)), "401 invalid_token", oauth.RegistrationToken)
			refusedFor(t, do(t, s, &flow.Request{Method: method, URL: target}), "401 invalid_token", oauth.TokenMissing)
			for _, credentials := range []string{"Bearer ", "Bearer", "Bearer  ", "Basic eDp5", "DPoP", "DPoP " + c.RegistrationToken, "Bearer " + c.RegistrationToken + "x", c.RegistrationToken} {
				outcome(t, do(t, s, (&flow.Request{Method: method, URL: target}).SetHeader("Authorization", credentials)), "401 invalid_token")
			}
		}
	}
	for _, untouched := range []*flow.Client{c, other} {
		d.expect(untouched, untouched.ManageRequest(http.MethodGet, nil), "200")
		d.expect(untouched, untouched.TokenRequest(nil), "200")
	}
}

// fieldsLeftOut: an update replaces the whole record, so what is left out is gone or back at its default.
func fieldsLeftOut(t *testing.T, d *deployment) {
	c := d.register(0, codeGrant("https://c.example/cb").apply, changes{"grant_types": []string{"authorization_code", "client_credentials"}, "client_uri": "https://c.example",
		"contacts": []string{"a@c.example"}, "client_name#fr": "un nom", "scope": "client.create client.read fdx:accountbasic:read", "token_endpoint_auth_signing_alg": "ES256",
		"introspection_signed_response_alg": "ES256", "require_signed_request_object": true}.apply)
	clients := d.everywhere(c)
	changed := d.expect(c, c.ManageRequest(http.MethodPut, map[string]any{"jwks": metadata(c.Key)["jwks"], "grant_types": []string{"client_credentials"}}), "200").JSON()
	for _, name := range []string{"client_name", "client_uri", "contacts", "client_name#fr", "redirect_uris", "token_endpoint_auth_signing_alg",
		"introspection_signed_response_alg", "require_signed_request_object"} {
		if value, has := changed[name]; has {
			t.Errorf("%s is still %v", name, value)
		}
	}
	scope, _ := changed["scope"].(string)
	if words := strings.Fields(scope); len(words) == 0 || strings.Contains(scope, "client.") {
		t.Errorf("the default scope is %q", scope)
	}
	for _, by := range clients {
		if diff := cmp.Diff(changed, d.expect(by, by.ManageRequest(http.MethodGet, nil), "200").JSON()); diff != "" {
			t.Error(diff)
		}
		for _, stale := range []string{"client.create", "client.read"} {
			d.expect(by, by.TokenRequest(url.Values{"scope": {stale}}), "400 invalid_scope")
		}
		d.expect(by, by.TokenRequest(url.Values{"scope": {"fdx:accountbasic:read"}}), "200")
	}
	// The default of grant_types is authorization_code alone (RFC 7591 §2): client_credentials is lost with the member.
	d.expect(c, c.ManageRequest(http.MethodPut, map[string]any{"jwks": metadata(c.Key)["jwks"], "redirect_uris": []string{"https://c.example/cb"}}), "200")
	for _, by := range clients {
		refusedFor(t, do(t, by.Server, by.TokenRequest(nil)), "400 unauthorized_client", oauth.GrantTypeNotRegistered)
	}
}

// widerUpdates: what is refused at registration is refused at an update; neither holds both to every table.
func widerUpdates(t *testing.T, d *deployment) {
	table := member("scope", "root", "client.read root", "client.read  client.read", "*", "client.read admin:all", "\"", 1, []string{"client.read"})
	for name, change := range member("grant_types", []string{"implicit"}, []string{"password"}, []string{"client_credentials", "urn:ietf:params:oauth:grant-type:device_code"}) {
		table[name] = change
	}
	for _, uri := range []string{"https://10.0.0.1/jwks", "https://169.254.169.254/latest/meta-data", "https://[fd00::1]/jwks", "https://192.168.1.1/jwks", "https://0x7f.1/jwks",
		"https://2130706433/jwks", "http://c.example/jwks", "https://intranet/jwks", "https://c.example:22/jwks", "https://u@c.example/jwks", "https://c.example/jwks#f",
		"file:///etc/passwd", "gopher://c.example/", "//c.example/jwks", d.issuer + "/oauth2/jwks", "https://[::ffff:10.0.0.1]/jwks"} {
		table[uri] = changes{"jwks": nil, "jwks_uri": uri}
	}
	table["another's private key"] = changes{"jwks": map[string]any{"keys": []any{jwk(key(t, "ES256"), map[string]any{"d": "AAAA"})}}}
	d.neither(t, noMetadata, table)
	c := d.register(0) // the controls: what POST takes, PUT takes, and it holds at every replica
	clients := d.everywhere(c)
	d.expect(c, c.ManageRequest(http.MethodPut, metadata(c.Key, changes{"scope": "fdx:tax:read"}.apply)), "200")
	for _, by := range clients {
		d.expect(by, by.TokenRequest(url.Values{"scope": {"fdx:tax:read"}}), "200")
		d.expect(by, by.TokenRequest(url.Values{"scope": {"client.read"}}), "400 invalid_scope")
	}
}

// disabledClients are played with the tombstone, the only state besides active so far: it is set by the operator here, not
// by the client itself.
func disabledClients(t *testing.T, d *deployment) {
	c := d.register(0)
	access := tokenFor(t, c, nil)
	d.everywhere(c)
	if deleted, err := d.store.DeleteClient(t.Context(), c.ID, nil, d.clock.now()); err != nil || !deleted {
		t.Fatal(deleted, err)
	}
	for i := range d.replicas {
		by := d.at(c, i)
		for _, change := range []changes{{}, {"status": "active"}, {"status": "Approved"}, {"client_id": c.ID}, {"version": 1}} {
			refusedFor(t, do(t, by.Server, by.ManageRequest(http.MethodPut, metadata(c.Key, change.apply))), "401 invalid_token", oauth.RegistrationToken)
		}
	}
	d.wantGone(t, c, access)
	if _, found, err := d.store.FindClient(t.Context(), c.ID); found || err != nil {
		t.Errorf("it is back: %v %v", found, err)
	}
}

// updatesBesideDeletion race at every replica; nothing fails, and what was deleted stays so.
func updatesBesideDeletion(t *testing.T, d *deployment) {
	for range 3 {
		c := d.register(0)
		access := tokenFor(t, c, nil)
		clients := d.everywhere(c)
		counts := atOnce(t, 21, func(i int) (*flow.Server, *flow.Request) {
			by := clients[i%len(clients)]
			if i == 10 {
				return by.Server, by.ManageRequest(http.MethodDelete, nil)
			}
			return by.Server, by.ManageRequest(http.MethodPut, metadata(c.Key, changes{"client_name": "changed"}.apply))
		})
		if counts["204"] != 1 || counts["204"]+counts["200"]+counts["401 invalid_token"] != 21 {
			t.Errorf("%v", counts)
		}
		d.wantGone(t, c, access)
	}
}

// softwareStatements: this server trusts no issuer of them, so that one in a registration is refused, never ignored.
func softwareStatements(t *testing.T, d *deployment) {
	issuer := key(t, "ES256")
	claims := map[string]any{"iss": "https://directory.example", "iat": d.clock.now().Unix(), "software_id": "x", "scope": "client.create", "client_name": "another name"}
	sign := func(alg string, edits ...flow.Edit) string {
		compact, err := (flow.Draft{Header: map[string]any{"alg": alg, "typ": "JWT"}, Claims: claims, Key: issuer, Alg: alg}).Sign(edits...)
		if err != nil {
			t.Fatal(err)
		}
		return compact
	}
	good := sign("ES256")
	d.neither(t, "400 invalid_software_statement", map[string]changes{
		"alg none": {"software_statement": sign("none")}, "no signature": {"software_statement": good[:strings.LastIndexByte(good, '.')+1]},
		"two parts": {"software_statement": good[:strings.LastIndexByte(good, '.')]}, "text": {"software_statement": "x"},
		"an object": {"software_statement": claims}, "a list": {"software_statement": []string{good}}, "too long": {"software_statement": strings.Repeat("a", 20000)},
		"HS256": {"software_statement": sign("ES256", flow.SetHeader("alg", "HS256"))},
	})
	d.neither(t, "400 unapproved_software_statement", map[string]changes{
		"an issuer that nobody trusts": {"software_statement": good},
		"our own name":                 {"software_statement": sign("ES256", flow.SetClaim("iss", d.issuer))},
		"values that contradict":       {"software_statement": good, "scope": "client.read", "client_name": "a name"},
		"its key beside it":            {"software_statement": sign("ES256", flow.SetHeader("kid", "a")), "jwks": map[string]any{"keys": []any{issuer.PublicJWK()}}},
	})
}
