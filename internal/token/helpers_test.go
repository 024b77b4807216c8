package token_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"authserver/internal/accesstoken"
	"authserver/internal/client"
	"authserver/internal/dpop"
	"authserver/internal/fdx"
	"authserver/internal/flow"
	"authserver/internal/grant"
	"authserver/internal/idtoken"
	trust "authserver/internal/issuer"
	"authserver/internal/jose"
	"authserver/internal/jose/josetest"
	"authserver/internal/oauth"
	"authserver/internal/replay"
	"authserver/internal/response"
	"authserver/internal/token"
)

const (
	issuer   = "https://as.example"
	api      = "https://api.example" // the default audience
	files    = "https://files.example"
	callback = "https://c1.example/cb"
	code     = "the code"
	refresh  = "the refresh token"
	verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk" // RFC 7636, appendix B
)

// noon is in the middle of a second, as most times are.
var noon = time.Date(2026, 3, 1, 12, 0, 0, 500_000_000, time.UTC)

// registry is a store with one client.
type registry struct {
	client client.Client
	spends []replay.Spend
	once   map[replay.Use]bool // what was used; nil: nothing is kept
	book   *book               // of the issuer that vouches, if one does
	down   error
}

func (r *registry) FindClient(_ context.Context, id string) (client.Client, bool, error) {
	return r.client, id == r.client.ID, nil
}

func (r *registry) Spend(_ context.Context, s replay.Spend) (replay.Outcome, error) {
	r.spends = append(r.spends, s)
	if s.Voucher != (replay.Voucher{}) && s.Voucher != r.book.issuer.Voucher() {
		return replay.Outcome{Stale: true}, r.down
	}
	for _, use := range s.Uses {
		if r.once[use] {
			return replay.Outcome{Replayed: use.Kind}, r.down
		}
		if r.once != nil {
			r.once[use] = true
		}
	}
	return replay.Outcome{Stale: s.ClientVersion != r.client.Version}, r.down
}

// grants is a store that answers what the test has set, and keeps what it was asked.
type grants struct {
	grant      grant.Grant
	redemption grant.Redemption
	found      bool
	err        error

	asked   int
	attempt grant.Attempt
	hash    []byte // of the code or the refresh token
	refresh []byte
	client  string
	spent   int // Spends before it was asked
	*registry
}

func (g *grants) RedeemCode(_ context.Context, code []byte, a grant.Attempt, refresh []byte, _ time.Time) (
	grant.Grant, grant.Redemption, error,
) {
	g.asked, g.hash, g.attempt, g.refresh, g.client, g.spent = g.asked+1, code, a, refresh, a.ClientID, len(g.spends)
	return g.grant, g.redemption, g.err
}

func (g *grants) Used(_ context.Context, id string, now time.Time) error {
	if id == g.grant.ID {
		g.grant.UsedAt = &now
	}
	return nil
}

func (g *grants) Refresh(_ context.Context, token []byte, clientID string, _ time.Time) (grant.Grant, bool, error) {
	g.asked, g.hash, g.client, g.spent = g.asked+1, token, clientID, len(g.spends)
	return g.grant, g.found, g.err
}

// signing and the client's key are made once: the tests are about other things.
var (
	signing   = sync.OnceValue(josetest.NewServer)
	clientKey = sync.OnceValue(func() *flow.Key {
		k, err := flow.GenerateKey("ES256")
		if err != nil {
			panic(err)
		}
		return k
	})
)

// bench is a token endpoint, the stores that it stands on, and its one client.
type bench struct {
	*flow.Client
	t        *testing.T
	endpoint *token.Endpoint
	registry *registry
	grants   *grants
	book     *book
	notes    map[oauth.Field]string // of the last request
	refusal  *oauth.Error
}

// newBench has a client that is registered for everything, and alex' grant of all of it, as a store gives it when code or
// refresh token are right.
func newBench(t *testing.T, edits ...func(*bench)) *bench {
	t.Helper()
	jwks, err := json.Marshal(map[string]any{"keys": []any{clientKey().PublicJWK()}})
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, registry: &registry{client: client.Client{ID: "c1", Version: 7, Metadata: client.Metadata{
		TokenEndpointAuthMethod: client.PrivateKeyJWT, JWKS: jwks, RedirectURIs: []string{callback},
		GrantTypes: []string{"authorization_code", "refresh_token", "client_credentials"}, Scope: "openid a:read b:read c:read",
	}}}}
	b.grants = &grants{registry: b.registry, redemption: grant.Redemption{Outcome: grant.Redeemed}, found: true, grant: grant.Grant{
		ID: "grant 1", ClientID: "c1", Subject: "_alex", Scope: "a:read b:read", AuthTime: noon.Add(-time.Minute),
		ACR: "urn:example:acr", AMR: []string{"pwd"}, CreatedAt: noon, ExpiresAt: noon.Add(fdx.MaxLife),
	}}
	now := func() time.Time { return noon }
	b.endpoint = &token.Endpoint{
		Clients: &client.Authenticator{
			Issuer: issuer, Origins: []string{issuer}, Records: client.NewRecords(b.registry, b.registry),
			KeySets: client.NewKeySets(client.NewFetcher(client.Vetting{}), nil, nil, slog.New(slog.DiscardHandler), now),
		},
		Proofs:     dpop.Verifier{Policy: dpop.NonceOff},
		Assertions: &trust.Assertions{}, // who trusts nobody
		Tokens:     accesstoken.Tokens{Issuer: issuer, Alg: jose.ES256, Keys: signing()}, IDTokens: idtoken.Tokens{Issuer: issuer, Keys: signing()},
		Store: b.grants, Origins: []string{issuer}, Resources: []string{api, files}, Lifetime: 5 * time.Minute, Now: now,
	}
	b.endpoint.Sealer = response.Sealer{Signer: signing(), Keys: b.endpoint.Clients.KeySets}
	s := &flow.Server{Issuer: issuer, HTTP: &http.Client{Transport: b}, Now: now}
	s.Metadata.TokenEndpoint = issuer + "/oauth2/token"
	b.Client = &flow.Client{Server: s, ID: "c1", Key: clientKey(), DPoPKey: clientKey()}
	for _, edit := range edits {
		edit(b)
	}
	return b
}

// RoundTrip has the endpoint answer, and keeps what it tells of the request.
func (b *bench) RoundTrip(r *http.Request) (*http.Response, error) {
	w := &recorder{httptest.NewRecorder(), b}
	b.notes, b.refusal = map[oauth.Field]string{}, nil
	oauth.Pages{Base: issuer}.Serve(b.endpoint.Token).ServeHTTP(w, r)
	return w.Result(), nil
}

type recorder struct {
	*httptest.ResponseRecorder
	b *bench
}

func (r *recorder) Refused(e *oauth.Error)           { r.b.refusal = e }
func (r *recorder) Note(f oauth.Field, value string) { r.b.notes[f] = value }

// redeem is a request that redeems the code; pairs of name and value change it, and "" takes a parameter away.
func (b *bench) redeem(pairs ...string) *flow.Request {
	return edited(b.CodeRequest(code, verifier, callback), pairs)
}

// refreshing is a request with the refresh token.
func (b *bench) refreshing(pairs ...string) *flow.Request {
	return edited(b.RefreshRequest(refresh, nil), pairs)
}

// request is one that a bench yet to come sends; redeem and refreshing are two of them.
type request = func(*bench) *flow.Request

func redeem(edits ...string) request {
	return func(b *bench) *flow.Request { return b.redeem(edits...) }
}

func refreshing(edits ...string) request {
	return func(b *bench) *flow.Request { return b.refreshing(edits...) }
}

func edited(r *flow.Request, pairs []string) *flow.Request {
	for i := 0; i+1 < len(pairs); i += 2 {
		delete(r.Form, pairs[i])
		if pairs[i+1] != "" {
			r.Form[pairs[i]] = strings.Split(pairs[i+1], "\n")
		}
	}
	return r
}

// send sends a request.
func (b *bench) send(r *flow.Request) *flow.Exchange {
	b.t.Helper()
	e, err := b.Server.Do(b.t.Context(), r)
	if err != nil {
		b.t.Fatal(err)
	}
	return e
}

// granted sends a request that must be granted, and returns the answer and what the access token says.
func (b *bench) granted(r *flow.Request) (answer map[string]any, says accesstoken.Token) {
	b.t.Helper()
	e := b.send(r)
	if e.Outcome() != "200" {
		b.t.Fatalf("%s: %s", e.Outcome(), e.ErrorDescription())
	}
	answer = e.JSON()
	compact, _ := answer["access_token"].(string)
	says, err := b.endpoint.Tokens.Recognise(compact, noon)
	if err != nil {
		b.t.Fatal(err)
	}
	return answer, says
}

// refused sends a request that must be refused for this reason, with the status and code that belong to it.
func (b *bench) refused(r *flow.Request, want oauth.Reason) *flow.Exchange {
	b.t.Helper()
	e := b.send(r)
	x, _ := oauth.Explain(want)
	if b.refusal == nil || b.refusal.Reason != want || e.Status != 400 || e.ErrorCode() != string(x.Code) {
		b.t.Fatalf("%s: %v, want %s", e.Outcome(), b.refusal, want)
	}
	if e.JSON()["access_token"] != nil || b.notes[oauth.FieldToken] != "" {
		b.t.Errorf("refused with a token: %s", e.ResponseBody)
	}
	return e
}
