package main

import (
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"authserver/internal/flow"
	"authserver/internal/oauth"

	gojose "github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"
)

// The literal bodies of the second seed. Its key set lies on a host that does not exist in a test, so KEYSET is replaced
// by the URL of a real TLS host on this machine that serves a key set of the same shape; all else is as the seed has it.
const (
	seed001Register = `{"client_name":"11TestName1221","grant_types":["client_credentials","authorization_code","refresh_token"],"id_token_encrypted_response_alg":"RSA-OAEP","id_token_encrypted_response_enc":"A256GCM","id_token_signed_response_alg":"PS256","jwks_uri":"KEYSET","redirect_uris":["https://oauth.pstmn.io/v1/browser-callback"],"request_object_signing_alg":"PS256","response_types":["code"],"scope":"client.create client.read fdx:transactions:read fdx:accountbasic:read openid fdx:customerpersonal:read fdx:accountdetailed:read fdx:investments:read fdx:paymentsupport:read fdx:accountpayments:read fdx:bills:read fdx:images:read fdx:rewards:read fdx:tax:read fdx:statements:read fdx:customercontact:read","token_endpoint_auth_method":"private_key_jwt","token_endpoint_auth_signing_alg":"PS256"}`

	seed001Modify = `{"client_name":"11TestName12211112","grant_types":["client_credentials","authorization_code","refresh_token"],"id_token_encrypted_response_alg":"RSA-OAEP","id_token_encrypted_response_enc":"A256GCM","id_token_signed_response_alg":"PS256","jwks_uri":"KEYSET","redirect_uris":["https://oauth.pstmn.io/v1/browser-callback"],"request_object_signing_alg":"PS256","response_types":["code"],"scope":"client.create client.read","token_endpoint_auth_method":"private_key_jwt","token_endpoint_auth_signing_alg":"PS256"}`

	seed001Token = `{"client_assertion":"ASSERTION","client_assertion_type":"urn:ietf:params:oauth:client-assertion-type:jwt-bearer","client_id":"CLIENT","grant_type":"client_credentials","scope":"client.read"}`

	// seed001Placeholder is the assertion of the seed's examples, signed with HS256.
	seed001Placeholder = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiaWF0IjoxNTE2MjM5MDIyfQ.SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c"
)

// seed001 is an issuer and the client of the seed's Postman collection, whose key set is served by a host of its own.
type seed001 struct {
	*deployment
	*golden
	server *flow.Server
	keySet string // URL
	nonce  string // the server's last
	asked  string // nonce of the last request object
	key    *flow.Key
}

func newSeed001(t *testing.T, name, title string) *seed001 {
	t.Helper()
	key := key(t, "PS256")
	signing, encryption := key.PublicJWK(), key.PublicJWK()
	signing.Kid = "edb748f7-b745-4b3f-a966-34f7c257a897"
	encryption.Kid, encryption.Use, encryption.Alg = "a6f49128-cb52-4531-a4da-b014800d315e", "enc", "RSA-OAEP"
	key.ID = "" // Postman signs without a kid
	set, err := json.Marshal(map[string]any{"keys": []flow.JWK{signing, encryption}})
	if err != nil {
		t.Fatal(err)
	}
	host, authority := keySetHost(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(set) })
	d := deploy(t, 1, func(set *settings) { set.JWKSCAFile = authority.writeFile(t) })
	s := &seed001{deployment: d, golden: newGolden(t, name, title), server: d.server(0), keySet: host + "/b/3FJT", key: key}
	s.call(host, "the key set's host")
	s.open = s.decrypt
	return s
}

// decrypt opens what is encrypted for the client, and holds it to what the client registered.
func (s *seed001) decrypt(jwe string) (jws string) {
	private, err := s.key.PrivateJWK()
	if err != nil {
		s.golden.t.Fatal(err)
	}
	text, err := json.Marshal(private)
	if err != nil {
		s.golden.t.Fatal(err)
	}
	var holder gojose.JSONWebKey
	if err := json.Unmarshal(text, &holder); err != nil {
		s.golden.t.Fatal(err)
	}
	sealed, err := gojose.ParseEncryptedCompact(jwe, []gojose.KeyAlgorithm{gojose.RSA_OAEP}, []gojose.ContentEncryption{gojose.A256GCM})
	if err != nil {
		s.golden.t.Fatal(err)
	}
	inside, err := sealed.Decrypt(holder.Key)
	if err != nil {
		s.golden.t.Fatal(err)
	}
	token, err := flow.Decode(string(inside))
	if err != nil {
		s.golden.t.Fatal(err)
	}
	keys, err := s.server.Keys(s.golden.t.Context())
	if err != nil {
		s.golden.t.Fatal(err)
	}
	if err := token.Verify(keys); err != nil || token.Member("alg") != "PS256" {
		s.golden.t.Errorf("%v: %v", err, token.Header)
	}
	s.call(token.Member("kid"), "the server's kid of PS256")
	return string(inside)
}

// keySetHost is a TLS host on this machine for clients' key sets.
func keySetHost(t *testing.T, answer http.HandlerFunc) (origin string, a *authority) {
	t.Helper()
	a = newAuthority(t)
	listener := httptest.NewUnstartedServer(answer)
	listener.TLS = &tls.Config{Certificates: []tls.Certificate{a.issue(t, "ECDSA", "localhost")}}
	listener.StartTLS()
	t.Cleanup(listener.Close)
	u, err := url.Parse(listener.URL)
	if err != nil {
		t.Fatal(err)
	}
	return "https://localhost:" + u.Port(), a
}

// json sends a JSON body and writes the exchange down.
func (s *seed001) json(title, method, target, body string, header http.Header) *flow.Exchange {
	header = header.Clone()
	if header == nil {
		header = http.Header{}
	}
	if body != "" {
		header.Set("Content-Type", "application/json")
	}
	e := raw(s.golden.t, s.server, method, target, header, strings.ReplaceAll(body, "KEYSET", s.keySet))
	s.exchange(title, e)
	s.nonce = or(e.ResponseHeader.Get("DPoP-Nonce"), s.nonce)
	return e
}

// register sends the seed's registration and returns the new client.
func (s *seed001) register(t *testing.T) *flow.Client {
	t.Helper()
	e := s.json("register", http.MethodPost, s.issuer+"/fdx/v6/register", seed001Register, nil)
	outcome(t, e, "201")
	s.echoes(t, e, seed001Register)
	c := &flow.Client{Server: s.server, Key: s.key, DPoPKey: key(t, "ES256")}
	c.ID, _ = e.JSON()["client_id"].(string)
	c.RegistrationToken, _ = e.JSON()["registration_access_token"].(string)
	c.RegistrationURI, _ = e.JSON()["registration_client_uri"].(string)
	if len(c.ID) < 22 || len(c.RegistrationToken) < 22 || c.RegistrationURI != s.issuer+"/fdx/v6/register/"+c.ID {
		t.Errorf("client %q, token %q, URI %q", c.ID, c.RegistrationToken, c.RegistrationURI)
	}
	return c
}

// echoes wants every member of the request in the answer, as it was sent.
func (s *seed001) echoes(t *testing.T, e *flow.Exchange, request string) {
	t.Helper()
	var sent map[string]any
	if err := json.Unmarshal([]byte(strings.ReplaceAll(request, "KEYSET", s.keySet)), &sent); err != nil {
		t.Fatal(err)
	}
	for member, value := range sent {
		if diff := cmp.Diff(value, e.JSON()[member]); diff != "" {
			t.Errorf("%s (-sent +echoed):\n%s", member, diff)
		}
	}
}

// postman is the assertion of the seed's Postman collection: no kid, fifty minutes.
func (s *seed001) postman(t *testing.T, c *flow.Client) string {
	t.Helper()
	now := s.server.Now().Unix()
	return compact(t, c.Assertion(flow.SetClaim("iat", now), flow.SetClaim("exp", now+3000), flow.SetClaim("jti", uuid4())))
}

func uuid4() string {
	var b [16]byte
	_, _ = rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

func TestGoldenSeed001Registration(t *testing.T) {
	s := newSeed001(t, "seed-001-registration", `
		The registration of the FDX document, and its management with the registration access token. The bodies are the
		document's, except that jwks_uri names a TLS host on the test's own machine: the document's host is not there.`)
	c := s.register(t)
	bearer := http.Header{"Authorization": {"Bearer " + c.RegistrationToken}}
	read := s.json("read it", http.MethodGet, c.RegistrationURI, "", bearer)
	outcome(t, read, "200")
	s.echoes(t, read, seed001Register)
	changed := s.json("replace it; the document's body has no client_id", http.MethodPut, c.RegistrationURI, seed001Modify, bearer)
	outcome(t, changed, "200")
	s.echoes(t, changed, seed001Modify)
	if changed.JSON()["registration_access_token"] != c.RegistrationToken || changed.JSON()["client_id"] != c.ID {
		t.Error("the answer to PUT lacks the presented token or the client_id")
	}
	deleted := s.json("delete it", http.MethodDelete, c.RegistrationURI, "", bearer)
	if deleted.Status != http.StatusNoContent || deleted.ResponseBody != "" {
		t.Errorf("%d %q", deleted.Status, deleted.ResponseBody)
	}
	gone := s.json("it is gone", http.MethodGet, c.RegistrationURI, "", bearer)
	refusedFor(t, gone, "401 invalid_token", oauth.RegistrationToken)
	s.finish()
}

func TestGoldenSeed001Token(t *testing.T) {
	s := newSeed001(t, "seed-001-token", `
		The token request of the FDX document as JSON, with a DPoP proof beside it, by a client that signs like the
		document's Postman collection: PS256, no kid, exp fifty minutes ahead. Then the registration is managed with that
		token, as the collection does it, and the token is introspected with the collection's mislabelled form.
		jwks_uri names a TLS host on the test's own machine.`)
	c := s.register(t)
	endpoint := s.issuer + "/oauth2/token"
	ask := func(title, clientID, assertion string, edits ...flow.Edit) *flow.Exchange {
		body := strings.NewReplacer("ASSERTION", assertion, "CLIENT", clientID).Replace(seed001Token)
		return s.json(title, http.MethodPost, endpoint, body, http.Header{"Dpop": {compact(t, c.Proof(http.MethodPost, endpoint, edits...))}})
	}
	s.call(c.DPoPKey.Thumbprint(), "the DPoP key's thumbprint")
	s.call(c.DPoPKey.PublicJWK().X, "x")
	s.call(c.DPoPKey.PublicJWK().Y, "y")
	s.printed = map[string]string{seed001Placeholder: "assertion"}

	refusedFor(t, ask("the document's own example: its assertion is a placeholder, signed with HS256", "dh-fdx-client-registrar-2", seed001Placeholder),
		"401 invalid_client", oauth.AssertionAlg)
	assertion := s.postman(t, c)
	challenged := ask("an assertion as Postman signs it", c.ID, assertion)
	outcome(t, challenged, "400 use_dpop_nonce")
	granted := ask("again with the nonce", c.ID, assertion, flow.SetClaim("nonce", s.nonce))
	outcome(t, granted, "200")
	token, _ := granted.JSON()["access_token"].(string)

	form := "client_assertion=" + s.postman(t, c) + "&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer" +
		"&client_id=" + c.ID + "&token=" + token + "&token_type_hint=access_token"
	told := s.json("introspection: a form that calls itself JSON", http.MethodPost, s.issuer+"/oauth2/introspect", form, nil)
	if outcome(t, told, "200"); told.JSON()["active"] != true || told.JSON()["client_id"] != c.ID {
		t.Error(told.ResponseBody)
	}
	s.manage(t, c, token)
	s.finish()
}

// manage reads, replaces and deletes the registration with the client's own bound access token.
func (s *seed001) manage(t *testing.T, c *flow.Client, token string) {
	t.Helper()
	present := func(title, method, body string) *flow.Exchange {
		proof := compact(t, c.Proof(method, c.RegistrationURI, flow.ForToken(token), flow.SetClaim("nonce", s.nonce)))
		return s.json(title, method, c.RegistrationURI, body, http.Header{"Authorization": {"DPoP " + token}, "Dpop": {proof}})
	}
	for _, step := range []struct{ title, method, body string }{
		{"read the registration with that token", http.MethodGet, ""},
		{"replace it", http.MethodPut, seed001Modify},
		{"delete it", http.MethodDelete, ""},
	} {
		e := present(step.title, step.method, step.body)
		if step.method == http.MethodDelete {
			if e.Status != http.StatusNoContent || e.ResponseBody != "" {
				t.Errorf("%d %q", e.Status, e.ResponseBody)
			}
			continue
		}
		outcome(t, e, "200")
		if _, shown := e.JSON()["registration_access_token"]; shown {
			t.Errorf("%s: the registration access token was not presented and cannot be known", step.title)
		}
		if step.body != "" {
			s.echoes(t, e, step.body)
		}
	}
	refusedFor(t, present("the token died with the client", http.MethodGet, ""), "401 invalid_token", oauth.TokenRevoked)
}
