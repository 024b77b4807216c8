package introspect_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"authserver/internal/accesstoken"
	"authserver/internal/client"
	"authserver/internal/flow"
	"authserver/internal/grant"
	"authserver/internal/introspect"
	"authserver/internal/jose"
	"authserver/internal/jose/josetest"
	"authserver/internal/oauth"
	"authserver/internal/replay"
	"authserver/internal/response"

	"github.com/google/go-cmp/cmp"
)

const (
	issuer  = "https://as.example"
	refresh = "the refresh token"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 500_000_000, time.UTC)

// memory is a store with the clients c1 and c2, and one grant of c1's.
type memory struct {
	clients map[string]client.Client
	grant   grant.Grant
	denied  map[replay.Use]bool
	down    error // of grants and tokens
	erases  bool  // the grant, as soon as somebody has asked whether a token is denied
	spends  int
}

func (m *memory) FindClient(_ context.Context, id string) (client.Client, bool, error) {
	c, found := m.clients[id]
	return c, found, nil
}

func (m *memory) Spend(context.Context, replay.Spend) (replay.Outcome, error) {
	m.spends++
	return replay.Outcome{}, nil
}

func (m *memory) Deny(_ context.Context, u replay.Use) error {
	m.denied[u] = true
	return m.down
}

func (m *memory) Denied(_ context.Context, u replay.Use, _, grantID string) (bool, *time.Time, error) {
	g := m.grant
	if m.erases {
		m.grant = grant.Grant{}
	}
	return m.denied[u] || grantID != "" && (grantID != g.ID || g.RevokedAt != nil), g.UsedAt, m.down
}

func (m *memory) Refresh(_ context.Context, token []byte, clientID string, now time.Time) (grant.Grant, bool, error) {
	if !cmp.Equal(token, oauth.Secret(refresh).Hash()) || !m.grant.Refreshes(clientID, now) {
		return grant.Grant{}, false, m.down
	}
	return m.grant, true, m.down
}

func (m *memory) RevokeRefreshToken(_ context.Context, token []byte, c grant.Change) (string, bool, error) {
	switch {
	case m.down != nil:
		return "", false, m.down
	case !cmp.Equal(token, oauth.Secret(refresh).Hash()):
		return "", false, nil
	case c.By != m.grant.ClientID || m.grant.RevokedAt != nil:
		return m.grant.ID, false, nil
	}
	m.grant.RevokedAt = &c.At
	return m.grant.ID, true, nil
}

func (m *memory) FindGrant(_ context.Context, id string) (grant.Grant, bool, error) {
	return m.grant, id == m.grant.ID, m.down
}

func (m *memory) Used(_ context.Context, id string, now time.Time) error {
	if id == m.grant.ID {
		m.grant.UsedAt = &now
	}
	return m.down
}

// bench is the endpoint, its store, and what is told of the last request.
type bench struct {
	t       *testing.T
	store   *memory
	tokens  accesstoken.Tokens
	c1, c2  *flow.Client
	clients *client.Authenticator
	sealer  *response.Sealer
	notes   map[oauth.Field]string
	serve   map[string]oauth.Handler
}

func newBench(t *testing.T) *bench {
	t.Helper()
	key := josetest.NewServer()
	b := &bench{t: t, tokens: accesstoken.Tokens{Issuer: issuer, Alg: jose.ES256, Keys: key}}
	b.store = &memory{clients: map[string]client.Client{}, denied: map[replay.Use]bool{}, grant: grant.Grant{
		ID: "grant 1", ClientID: "c1", Subject: "_alex", Scope: "a:read b:read", CreatedAt: noon.Add(-time.Hour), ExpiresAt: noon.Add(time.Hour),
	}}
	now := func() time.Time { return noon }
	server := &flow.Server{Issuer: issuer, HTTP: &http.Client{Transport: b}, Now: now, Metadata: flow.Metadata{
		IntrospectionEndpoint: issuer + "/introspect", RevocationEndpoint: issuer + "/revoke",
	}}
	b.c1, b.c2 = b.register(server, "c1"), b.register(server, "c2")
	clients := &client.Authenticator{
		Issuer: issuer, Origins: []string{issuer}, Records: client.NewRecords(b.store, b.store),
		KeySets: client.NewKeySets(client.NewFetcher(client.Vetting{}), nil, nil, slog.New(slog.DiscardHandler), now),
	}
	endpoint := &introspect.Endpoint{
		Clients: clients, Tokens: b.tokens, Sealer: response.Sealer{Signer: key, Keys: clients.KeySets}, Store: b.store, Now: now,
	}
	b.clients, b.sealer = clients, &endpoint.Sealer
	b.serve = map[string]oauth.Handler{"/introspect": endpoint.Introspect, "/revoke": endpoint.Revoke}
	return b
}

func (b *bench) register(server *flow.Server, id string) *flow.Client {
	b.t.Helper()
	key, err := flow.GenerateKey("ES256")
	if err != nil {
		b.t.Fatal(err)
	}
	jwks, err := json.Marshal(map[string]any{"keys": []any{key.PublicJWK()}})
	if err != nil {
		b.t.Fatal(err)
	}
	b.store.clients[id] = client.Client{ID: id, Metadata: client.Metadata{TokenEndpointAuthMethod: client.PrivateKeyJWT, JWKS: jwks}}
	return &flow.Client{Server: server, ID: id, Key: key}
}

// RoundTrip has the endpoint answer, and keeps what it tells of the request.
func (b *bench) RoundTrip(r *http.Request) (*http.Response, error) {
	w := &recorder{httptest.NewRecorder(), b}
	b.notes = map[oauth.Field]string{}
	oauth.Pages{Base: issuer}.Serve(b.serve[r.URL.Path]).ServeHTTP(w, r)
	return w.Result(), nil
}

type recorder struct {
	*httptest.ResponseRecorder
	b *bench
}

func (r *recorder) Refused(*oauth.Error)             {}
func (r *recorder) Note(f oauth.Field, value string) { r.b.notes[f] = value }

// send sends a request and wants this outcome.
func (b *bench) send(by *flow.Client, r *flow.Request, want string) *flow.Exchange {
	b.t.Helper()
	e, err := by.Server.Do(b.t.Context(), r)
	if err != nil {
		b.t.Fatal(err)
	}
	if e.Outcome() != want {
		b.t.Fatalf("%s, want %s: %s", e.Outcome(), want, e.ResponseBody)
	}
	return e
}

// says is what a client is told about a token.
func (b *bench) says(by *flow.Client, token, hint string) string {
	b.t.Helper()
	r := by.IntrospectRequest(token)
	r.Form.Set("token_type_hint", hint)
	return strings.TrimSpace(b.send(by, r, "200").ResponseBody)
}

// revoke wants 200 without a body, whatever became of the token.
func (b *bench) revoke(by *flow.Client, token, hint string) {
	b.t.Helper()
	r := by.RevokeRequest(token)
	r.Form.Set("token_type_hint", hint)
	if e := b.send(by, r, "200"); e.ResponseBody != "" || e.ResponseHeader.Get("Cache-Control") != "no-store" {
		b.t.Errorf("revocation answers %q, %v", e.ResponseBody, e.ResponseHeader)
	}
}

// access issues a token: of the grant, or the client's own.
func (b *bench) access(grantID string) string {
	b.t.Helper()
	t := accesstoken.Token{Subject: "c1", ClientID: "c1", Audience: accesstoken.Audience{"https://api.example"}, Scope: "a:read",
		Confirmation: accesstoken.Confirmation{JKT: "key"}}
	if grantID != "" {
		t.Subject, t.GrantID, t.AuthTime, t.ACR, t.AMR = "_alex", grantID, noon.Unix()-60, "urn:example:acr", []string{"pwd"}
	}
	compact, _, err := b.tokens.Issue(t, time.Minute, noon)
	if err != nil {
		b.t.Fatal(err)
	}
	return compact
}

const inactive = `{"active":false}`

// TestRefreshToken (INT-03, INT-05): its own client, and nobody else, is told of a refresh token that is good for another
// access token; what it is called by in token_type_hint decides nothing.
func TestRefreshToken(t *testing.T) {
	b := newBench(t)
	want := `{"active":true,"iss":"https://as.example","sub":"_alex","client_id":"c1","scope":"a:read b:read",` +
		`"iat":1772362800,"exp":1772370000,"grant_id":"grant 1"}`
	for _, hint := range []string{"", "refresh_token", "access_token", "id_token", "nonsense"} {
		if got := b.says(b.c1, refresh, hint); got != want || b.notes[oauth.FieldTokenState] != "active" {
			t.Errorf("hint %q: %s, state %s", hint, got, b.notes[oauth.FieldTokenState])
		}
	}
	for _, none := range []struct {
		by    *flow.Client
		token string
	}{{b.c2, refresh}, {b.c1, refresh + "x"}, {b.c1, refresh[1:]}, {b.c1, strings.ToUpper(refresh)}} {
		if got := b.says(none.by, none.token, "refresh_token"); got != inactive || b.notes[oauth.FieldTokenState] != "inactive" {
			t.Errorf("%s about %q: %s, state %s", none.by.ID, none.token, got, b.notes[oauth.FieldTokenState])
		}
	}
	b.store.grant.ExpiresAt = noon
	if got := b.says(b.c1, refresh, ""); got != inactive {
		t.Errorf("after the end of its grant: %s", got)
	}
}

// TestRefreshTokenSigned (INT-06): a client that registered for signed answers gets this one signed too.
func TestRefreshTokenSigned(t *testing.T) {
	b := newBench(t)
	r := b.c1.IntrospectRequest(refresh)
	r.SetHeader("Accept", "application/token-introspection+jwt")
	e := b.send(b.c1, r, "200")
	jwt, err := flow.Decode(e.ResponseBody)
	if err != nil {
		t.Fatal(err)
	}
	says, _ := jwt.Claims["token_introspection"].(map[string]any)
	if jwt.Member("typ") != "token-introspection+jwt" || says["sub"] != "_alex" || says["active"] != true || jwt.Claims["sub"] != nil {
		t.Errorf("%v %v", jwt.Header, jwt.Claims)
	}
}

// TestAcceptedForms (IN-09): of the two forms whichever the caller rather has, by name; the JWT, where it does not matter.
func TestAcceptedForms(t *testing.T) {
	b := newBench(t)
	const jwt = "application/token-introspection+jwt"
	for accept, signed := range map[string]bool{
		jwt: true, jwt + ";q=0.1": true, "APPLICATION/Token-Introspection+JWT": true,
		"application/json, " + jwt: true, jwt + ", application/json": true, "application/json;q=0.5," + jwt + ";q=0.5": true,
		"application/json;q=0.5, " + jwt: true, "application/json;q=0, " + jwt + ";q=0.001": true, "*/*, " + jwt + ";q=0.1": true,
		"application/json, " + jwt + ";q=0.1": false, jwt + ";q=0.9, application/json": false, jwt + ";q=0.4, application/json;q=0.5": false,
		jwt + ";q=0": false, jwt + ";q=0.000, */*": false, jwt + ";q=much": false, "application/json": false, "*/*": false, "": false,
	} {
		r := b.c1.IntrospectRequest(refresh).SetHeader("Accept", accept)
		e := b.send(b.c1, r, "200")
		if got := e.ResponseHeader.Get("Content-Type"); (got == jwt) != signed {
			t.Errorf("accepting %q: %s", accept, got)
		}
	}
}

// TestAccessTokenOfGrant (INT-04, STEP-01, AT-08): what is told of a person's token, as long as its grant lives.
func TestAccessTokenOfGrant(t *testing.T) {
	b := newBench(t)
	access, own, orphan := b.access("grant 1"), b.access(""), b.access("another grant")
	issued, err := b.tokens.Recognise(access, noon)
	if err != nil {
		t.Fatal(err)
	}
	want, err := json.Marshal(struct {
		Active    bool   `json:"active"`
		TokenType string `json:"token_type"`
		accesstoken.Token
	}{true, "DPoP", issued})
	if err != nil {
		t.Fatal(err)
	}
	got := b.says(b.c1, access, "refresh_token")
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, member := range []string{`"sub":"_alex"`, `"grant_id":"grant 1"`, `"auth_time":1772366340`, `"acr":"urn:example:acr"`, `"amr":["pwd"]`} {
		if !strings.Contains(got, member) {
			t.Errorf("%s is missing: %s", member, got)
		}
	}
	if got := b.says(b.c1, orphan, ""); got != inactive {
		t.Errorf("of no grant: %s", got)
	}
	ended := noon
	b.store.grant.RevokedAt = &ended
	if got := b.says(b.c1, access, ""); got != inactive {
		t.Errorf("of a revoked grant: %s", got)
	}
	if got := b.says(b.c1, own, ""); got == inactive {
		t.Errorf("the client's own token ended with a grant")
	}
}

// TestRevokeRefreshToken (RV-01 to RV-03): its own client ends the grant with every token of it; of what others try the
// trail knows, and the answer says nothing.
func TestRevokeRefreshToken(t *testing.T) {
	b := newBench(t)
	access := b.access("grant 1")
	revoked := map[oauth.Field]string{oauth.FieldClient: "c1", oauth.FieldEvent: "grant.revoked", oauth.FieldGrantID: "grant 1"}
	denied := func(by string) map[oauth.Field]string {
		return map[oauth.Field]string{oauth.FieldClient: by, oauth.FieldEvent: "grant.revoked", oauth.FieldGrantID: "grant 1",
			oauth.FieldOutcome: "denied"}
	}
	for _, step := range []struct {
		name   string
		by     *flow.Client
		token  string
		notes  map[oauth.Field]string
		active bool // the tokens of the grant, afterwards
	}{
		{"RV-01 unknown", b.c1, refresh + "x", map[oauth.Field]string{oauth.FieldClient: "c1"}, true},
		{"RV-02 another client's", b.c2, refresh, denied("c2"), true},
		{"RV-03 its own", b.c1, refresh, revoked, false},
		{"RV-01 again", b.c1, refresh, denied("c1"), false},
	} {
		b.revoke(step.by, step.token, "access_token")
		if diff := cmp.Diff(step.notes, b.notes); diff != "" {
			t.Errorf("%s: notes (-want +got):\n%s", step.name, diff)
		}
		for _, token := range []string{access, refresh} {
			if got := b.says(b.c1, token, ""); (got != inactive) != step.active {
				t.Errorf("%s: %s", step.name, got)
			}
		}
	}
}

// TestRevokeAccessToken (REV-03): an access token ends alone, whatever it is called.
func TestRevokeAccessToken(t *testing.T) {
	b := newBench(t)
	access, other := b.access("grant 1"), b.access("grant 1")
	b.revoke(b.c2, access, "")
	if got := b.says(b.c1, access, ""); got == inactive || b.store.grant.RevokedAt != nil {
		t.Errorf("RV-02: another client revoked it: %s", got)
	}
	b.revoke(b.c1, access, "refresh_token")
	if b.notes[oauth.FieldEvent] != "token.revoked" || b.notes[oauth.FieldOutcome] != "" {
		t.Errorf("notes %v", b.notes)
	}
	for token, active := range map[string]bool{access: false, other: true, refresh: true} {
		if got := b.says(b.c1, token, ""); (got != inactive) != active {
			t.Errorf("afterwards: %s, want active %v", got, active)
		}
	}
}

// outage is an error of a store that may do better later.
type outage struct{}

func (outage) Error() string   { return "the database is down" }
func (outage) Temporary() bool { return true }

// TestStoreFails (RV-04): neither inactive nor revoked is said of what the store could not be asked.
func TestStoreFails(t *testing.T) {
	for err, want := range map[error]string{outage{}: "503 temporarily_unavailable", errors.New("a fault"): "500 server_error"} {
		b := newBench(t)
		b.store.down = err
		for _, token := range []string{refresh, b.access("grant 1"), "unknown"} {
			b.send(b.c1, b.c1.IntrospectRequest(token), want)
			b.send(b.c1, b.c1.RevokeRequest(token), want)
			if b.notes[oauth.FieldEvent] != "" {
				t.Errorf("%s: audited as %s", want, b.notes[oauth.FieldEvent])
			}
		}
	}
}

// TestUnproven (IN-01): nothing is looked up for who has not proven who it is.
func TestUnproven(t *testing.T) {
	b := newBench(t)
	b.store.down = errors.New("the store was asked")
	for _, r := range []*flow.Request{b.c1.IntrospectRequest(refresh), b.c1.RevokeRequest(refresh)} {
		r.Assertion = nil
		b.send(b.c1, r, "401 invalid_client")
	}
	if b.store.spends != 0 {
		t.Errorf("%d spends", b.store.spends)
	}
}
