package userinfo_test

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"authserver/internal/accesstoken"
	"authserver/internal/certificate"
	"authserver/internal/certificate/certificatetest"
	"authserver/internal/client"
	"authserver/internal/dpop"
	"authserver/internal/flow"
	"authserver/internal/jose"
	"authserver/internal/oauth"
	"authserver/internal/replay"
	"authserver/internal/resource"
	"authserver/internal/response"
	"authserver/internal/userinfo"

	oracle "github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"
)

const issuer = "https://as.example"

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// memory is a store with one client.
type memory struct {
	client client.Client
	denied bool
	spent  int
}

func (m *memory) Spend(context.Context, replay.Spend) (replay.Outcome, error) {
	m.spent++
	return replay.Outcome{}, nil
}

func (m *memory) Denied(context.Context, replay.Use, string, string) (bool, *time.Time, error) {
	return m.denied, nil, nil
}

func (m *memory) FindClient(_ context.Context, id string) (client.Client, bool, error) {
	if id != m.client.ID {
		return client.Client{}, false, nil
	}
	return m.client, true, nil
}

// signers are the server's keys.
type signers map[jose.Alg]*jose.Signer

func (s signers) Sign(alg jose.Alg, typ string, claims any) (string, error) {
	return s[alg].Sign(typ, claims)
}

func (s signers) Key(kid string) *jose.Key { return s[jose.Alg(kid)].Key() }

// room is the endpoint over a store in memory, and the keys of its client.
type room struct {
	t      *testing.T
	store  *memory
	keys   signers
	holder *flow.Client
	secret *rsa.PrivateKey // that answers are encrypted for
	userinfo.Endpoint
}

func newRoom(t *testing.T, edits ...func(*client.Metadata)) *room {
	t.Helper()
	r := &room{t: t, keys: signers{}}
	for _, alg := range []jose.Alg{jose.PS256, jose.ES256, jose.EdDSA} {
		private, err := jose.GenerateKey(alg)
		if err != nil {
			t.Fatal(err)
		}
		if r.keys[alg], err = jose.NewSigner(alg, string(alg), private); err != nil {
			t.Fatal(err)
		}
	}
	key, err := flow.GenerateKey("ES256")
	if err != nil {
		t.Fatal(err)
	}
	if r.secret, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		t.Fatal(err)
	}
	r.store = &memory{client: client.Client{ID: "c1"}}
	m := &r.store.client.Metadata
	m.JWKS, err = json.Marshal(map[string]any{"keys": []any{
		key.PublicJWK(), oracle.JSONWebKey{Key: r.secret.Public(), KeyID: "theirs", Use: "enc"}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, edit := range edits {
		edit(m)
	}
	now := func() time.Time { return noon }
	r.holder = &flow.Client{Server: &flow.Server{Issuer: issuer, Now: now}, DPoPKey: key}
	sets := client.NewKeySets(client.NewFetcher(client.Vetting{}), nil, nil, slog.New(slog.DiscardHandler), now)
	r.Endpoint = userinfo.Endpoint{
		Issuer: issuer, Store: r.store, Now: now, Sealer: response.Sealer{Signer: r.keys, Keys: sets},
		Guard: resource.Guard{
			Origins: []string{issuer}, Audiences: []string{issuer, "https://api.example"}, Store: r.store,
			Proofs: dpop.Verifier{Policy: dpop.NonceOff}, Tokens: accesstoken.Tokens{Issuer: issuer, Alg: jose.ES256, Keys: r.keys},
		},
	}
	return r
}

// token is one that speaks for alex, unless edit says otherwise.
func (r *room) token(edit func(*accesstoken.Token)) string {
	r.t.Helper()
	token := accesstoken.Token{Subject: "_alex", ClientID: "c1", GrantID: "grant 1",
		Audience: accesstoken.Audience{"https://api.example"}, Scope: "fdx:accountbasic:read openid", Confirmation: accesstoken.Confirmation{JKT: r.holder.DPoPKey.Thumbprint()}}
	if edit != nil {
		edit(&token)
	}
	compact, _, err := r.Guard.Tokens.Issue(token, time.Minute, noon)
	if err != nil {
		r.t.Fatal(err)
	}
	return compact
}

// ask brings a token, by GET or, with a body, by POST.
func (r *room) ask(token, body string, edits ...func(*http.Request)) *httptest.ResponseRecorder {
	r.t.Helper()
	method := http.MethodGet
	if body != "" {
		method = http.MethodPost
	}
	request := httptest.NewRequest(method, "/oauth2/userinfo", strings.NewReader(body))
	proof, err := r.holder.Proof(method, issuer+"/oauth2/userinfo", flow.ForToken(token))()
	if err != nil {
		r.t.Fatal(err)
	}
	request.Header.Set("DPoP", proof)
	request.Header.Set("Authorization", "DPoP "+token)
	for _, edit := range edits {
		edit(request)
	}
	w := httptest.NewRecorder()
	oauth.Pages{Base: issuer}.Serve(r.Userinfo).ServeHTTP(w, request)
	return w
}

// TestPlain (UI-01): GET and POST tell the same, and no cache keeps it.
func TestPlain(t *testing.T) {
	r := newRoom(t)
	for _, body := range []string{"", "a=b", "{}"} {
		w := r.ask(r.token(nil), body)
		if w.Code != http.StatusOK || w.Body.String() != `{"sub":"_alex"}`+"\n" || w.Header().Get("Content-Type") != "application/json" ||
			w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%q: %d %v %s", body, w.Code, w.Header(), w.Body)
		}
	}
}

// TestByCertificate (MTLS-02, DP-39): a token that is bound to a client certificate is brought as a Bearer token, over a connection
// with that; nothing is used up.
func TestByCertificate(t *testing.T) {
	r := newRoom(t)
	r.Guard.MutualTLS = true
	shown := certificatetest.SelfSigned(t)
	bound := func(t *accesstoken.Token) {
		t.Confirmation = accesstoken.Confirmation{X5T: certificate.Certificate{Leaf: shown.Leaf}.Thumbprint()}
	}
	bring := func(c tls.Certificate, edit func(*accesstoken.Token), body string) *httptest.ResponseRecorder {
		token := r.token(edit)
		return r.ask(token, body, func(request *http.Request) {
			request.Header.Del("DPoP")
			request.Header.Set("Authorization", "Bearer "+token)
			certificatetest.Bearing(t, request, c)
		})
	}
	for _, body := range []string{"", "a=b"} {
		if w := bring(shown, bound, body); w.Code != http.StatusOK || w.Body.String() != `{"sub":"_alex"}`+"\n" || r.store.spent != 0 {
			t.Errorf("%q: %d, %d spent, %s", body, w.Code, r.store.spent, w.Body)
		}
	}
	w := bring(certificatetest.SelfSigned(t), bound, "")
	if w.Code != http.StatusUnauthorized || !strings.Contains(w.Body.String(), "token_key") || len(w.Header().Values("WWW-Authenticate")) != 2 {
		t.Errorf("TL-07 by another certificate: %d %v %s", w.Code, w.Header(), w.Body)
	}
	own := func(t *accesstoken.Token) { bound(t); t.Subject, t.GrantID = "c1", "" }
	w = bring(shown, own, "")
	if challenges := w.Header().Values("WWW-Authenticate"); w.Code != http.StatusForbidden || len(challenges) != 2 ||
		!strings.HasPrefix(challenges[1], "Bearer ") || !strings.Contains(challenges[1], `scope="openid"`) {
		t.Errorf("that speaks for no person: %d %v", w.Code, challenges)
	}
}

// signedBy demands that go-jose verifies the JWS with one of the server's keys, and returns what it says.
func (r *room) signedBy(alg jose.Alg, compact string) (claims map[string]any) {
	r.t.Helper()
	jws, err := oracle.ParseSignedCompact(compact, []oracle.SignatureAlgorithm{oracle.SignatureAlgorithm(alg)})
	if err != nil {
		r.t.Fatalf("%v: %q", err, compact)
	}
	var public crypto.PublicKey = r.keys[alg].Key().Public()
	payload, err := jws.Verify(public)
	if header := jws.Signatures[0].Protected; err != nil || json.Unmarshal(payload, &claims) != nil || header.KeyID != string(alg) {
		r.t.Fatal(err, header, string(payload))
	}
	return claims
}

// TestSigned (UI-01): as registered, with issuer and client in it.
func TestSigned(t *testing.T) {
	want := map[string]any{"sub": "_alex", "iss": issuer, "aud": "c1"}
	for _, alg := range []jose.Alg{jose.PS256, jose.ES256, jose.EdDSA} {
		r := newRoom(t, func(m *client.Metadata) { m.UserinfoSignedResponseAlg = string(alg) })
		for _, body := range []string{"", "a=b"} {
			w := r.ask(r.token(nil), body)
			if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/jwt" || w.Header().Get("Cache-Control") != "no-store" {
				t.Fatalf("%s: %d %v %s", alg, w.Code, w.Header(), w.Body)
			}
			if diff := cmp.Diff(want, r.signedBy(alg, w.Body.String())); diff != "" {
				t.Errorf("%s: (-want +got):\n%s", alg, diff)
			}
		}
	}
}

// encrypted has the client register that answers are signed and encrypted.
func encrypted(m *client.Metadata) {
	m.UserinfoSignedResponseAlg = "PS256"
	m.UserinfoEncryptedResponseAlg, m.UserinfoEncryptedResponseEnc = "RSA-OAEP-256", "A128GCM"
}

// TestEncrypted: for the client's key alone, around the signed one. A client that has lost its key is told, and its proof is
// still good; it is never answered in clear.
func TestEncrypted(t *testing.T) {
	r := newRoom(t, encrypted)
	w := r.ask(r.token(nil), "")
	jwe, err := oracle.ParseEncryptedCompact(w.Body.String(),
		[]oracle.KeyAlgorithm{oracle.RSA_OAEP_256}, []oracle.ContentEncryption{oracle.A128GCM})
	if err != nil {
		t.Fatal(err, w.Body)
	}
	inner, err := jwe.Decrypt(r.secret)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"sub": "_alex", "iss": issuer, "aud": "c1"}
	if diff := cmp.Diff(want, r.signedBy(jose.PS256, string(inner))); diff != "" || w.Header().Get("Content-Type") != "application/jwt" {
		t.Errorf("%s %s", w.Header().Get("Content-Type"), diff)
	}
	r = newRoom(t, encrypted, func(m *client.Metadata) { m.JWKS = json.RawMessage(`{"keys":[]}`) })
	if w := r.ask(r.token(nil), ""); w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "/errors/encryption_key_missing") ||
		strings.Contains(w.Body.String(), "_alex") || r.store.spent != 0 {
		t.Errorf("without a key: %d, %d spent, %s", w.Code, r.store.spent, w.Body)
	}
}

// TestRefused (UI-01, RS-01 to RS-03): whom nothing is told.
func TestRefused(t *testing.T) {
	nothing := func(*http.Request) {}
	for name, test := range map[string]struct {
		token  func(*accesstoken.Token)
		body   string
		edit   func(*http.Request)
		status int
		error  string
	}{
		"no openid":                 {func(t *accesstoken.Token) { t.Scope = "fdx:accountbasic:read" }, "", nothing, 403, "insufficient_scope"},
		"CC-05 a client's own":      {func(t *accesstoken.Token) { t.Subject, t.GrantID, t.Scope = "c1", "", "client.read" }, "", nothing, 403, "insufficient_scope"},
		"a client's own, of openid": {func(t *accesstoken.Token) { t.Subject, t.GrantID = "c1", "" }, "", nothing, 403, "insufficient_scope"},
		"for another resource":      {func(t *accesstoken.Token) { t.Audience = accesstoken.Audience{"https://files.example"} }, "", nothing, 401, "invalid_token"},
		"unbound":                   {func(t *accesstoken.Token) { t.Confirmation = accesstoken.Confirmation{} }, "", nothing, 401, "invalid_token"},
		"another key's":             {func(t *accesstoken.Token) { t.Confirmation.JKT = strings.Repeat("A", 43) }, "", nothing, 401, "invalid_token"},
		"DP-39 as a Bearer": {nil, "", func(r *http.Request) {
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), "DPoP", "Bearer", 1))
		}, 401, "invalid_token"},
		"no proof": {nil, "", func(r *http.Request) { r.Header.Del("DPoP") }, 401, "invalid_token"},
		"no token": {nil, "", func(r *http.Request) { r.Header.Del("Authorization") }, 401, ""},
		"in the query": {nil, "", func(r *http.Request) {
			r.URL.RawQuery = url.Values{"access_token": {strings.TrimPrefix(r.Header.Get("Authorization"), "DPoP ")}}.Encode()
			r.Header.Del("Authorization")
		}, 400, "invalid_request"},
		"in the body alone":   {nil, "access_token=eyJ", func(r *http.Request) { r.Header.Del("Authorization") }, 401, ""},
		"in the body as well": {nil, "access_token=eyJ", nothing, 400, "invalid_request"},
		"in a malformed body": {nil, "access_token=eyJ&%zz;", nothing, 400, "invalid_request"},
		"a long body":         {nil, "a=b", func(r *http.Request) { r.Body = http.MaxBytesReader(nil, r.Body, 2) }, 413, "invalid_request"},
		"a proof for GET":     {nil, "a=b", func(r *http.Request) { r.Method = http.MethodGet }, 401, "invalid_dpop_proof"},
	} {
		r := newRoom(t)
		w := r.ask(r.token(test.token), test.body, test.edit)
		challenge := w.Header().Get("WWW-Authenticate")
		if w.Code != test.status || test.error != "" && !strings.Contains(w.Body.String(), `"error":"`+test.error+`"`) || r.store.spent != 0 ||
			strings.Contains(w.Body.String(), "_alex") || (w.Code == 401 || w.Code == 403) && !strings.HasPrefix(challenge, "DPoP ") ||
			w.Code == 403 && !strings.Contains(challenge, `scope="openid"`) {
			t.Errorf("%s: %d, %d spent, %q, %s", name, w.Code, r.store.spent, challenge, w.Body)
		}
	}
	r := newRoom(t)
	r.store.denied = true
	if w := r.ask(r.token(nil), ""); w.Code != 401 || !strings.Contains(w.Body.String(), "token_revoked") || r.store.spent != 1 {
		t.Errorf("revoked: %d, %d spent, %s", w.Code, r.store.spent, w.Body)
	}
	r.store.client.ID = "c2"
	if w := r.ask(r.token(nil), ""); w.Code != 401 || !strings.Contains(w.Body.String(), "token_revoked") {
		t.Errorf("of a client that is gone: %d %s", w.Code, w.Body)
	}
}

// TestTokenInTheBody: whoever sends the token by a form alone is told where it belongs; of another body nothing is said.
func TestTokenInTheBody(t *testing.T) {
	r := newRoom(t)
	for _, test := range []struct {
		media, body string
		told        bool
	}{
		{"application/x-www-form-urlencoded", "access_token=eyJ", true},
		{"application/x-www-form-urlencoded", "access_token=", false},
		{"application/x-www-form-urlencoded", "access_token=eyJ&%zz", false},
		{"application/x-www-form-urlencoded", "access_token=" + strings.Repeat("a", 100), false}, // longer than is read
		{"application/json", `{"access_token":"eyJ"}`, false},
		{"", "access_token=eyJ", false},
	} {
		w := r.ask(r.token(nil), test.body, func(request *http.Request) {
			request.Header.Del("Authorization")
			request.Header.Set("Content-Type", test.media)
			request.Body = http.MaxBytesReader(nil, request.Body, 50)
		})
		told := strings.Contains(w.Body.String(), "access_token stood in the body; send it in the Authorization header")
		if challenge := w.Header().Get("WWW-Authenticate"); told != test.told || w.Code != http.StatusUnauthorized ||
			!strings.HasPrefix(challenge, "DPoP ") || strings.Contains(challenge, "error") || r.store.spent != 0 {
			t.Errorf("%s %.40q: %d %q %s", test.media, test.body, w.Code, challenge, w.Body)
		}
	}
	w := r.ask(r.token(nil)+"x", "access_token=eyJ", func(request *http.Request) {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	})
	if w.Code != http.StatusUnauthorized || strings.Contains(w.Body.String(), "the body") {
		t.Errorf("beside a token that is no good: %d %s", w.Code, w.Body)
	}
}

// gone is a client that has hung up.
type gone struct{ *httptest.ResponseRecorder }

func (gone) Write([]byte) (int, error) { return 0, errors.New("the connection is closed") }

// TestHungUp: whoever does not wait for the answer is no failure of this server, in whichever form the answer comes.
func TestHungUp(t *testing.T) {
	for name, edit := range map[string]func(*client.Metadata){"JSON": func(*client.Metadata) {}, "signed": encrypted} {
		r := newRoom(t, edit)
		var err error
		r.ask(r.token(nil), "", func(request *http.Request) { err = r.Userinfo(gone{httptest.NewRecorder()}, request) })
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// mute is a signer without a key.
type mute struct{}

func (mute) Sign(jose.Alg, string, any) (string, error) { return "", errors.New("no key") }

// TestNothingIsSaid: what cannot be signed is not told in another way.
func TestNothingIsSaid(t *testing.T) {
	r := newRoom(t, encrypted)
	r.Sealer.Signer = mute{}
	if w := r.ask(r.token(nil), ""); w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), "_alex") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
