package par

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

	"authserver/internal/client"
	"authserver/internal/dpop"
	"authserver/internal/fdx"
	"authserver/internal/flow"
	"authserver/internal/grant"
	"authserver/internal/oauth"
	"authserver/internal/replay"
	"authserver/internal/response"

	"github.com/google/go-cmp/cmp"
)

const issuer = "https://as.example"

var noon = time.Date(2026, 3, 1, 12, 0, 0, 500_000_000, time.UTC)

// bench is the endpoint, its one client, and the stores that it stands on.
type bench struct {
	*flow.Client
	*Endpoint
	testing.TB
	rsa    *flow.Key // another one of the client's
	client client.Client
	spent  map[replay.Use]bool
	pushed map[string]grant.Pushed
	pushes int // that the limit has seen
	most   int // that it lets through; 0: all
}

// rsaKey is made once, because that takes its time.
var rsaKey = sync.OnceValues(func() (*flow.Key, error) { return flow.GenerateKey("PS256") })

func newBench(t testing.TB) *bench {
	t.Helper()
	key, err := flow.GenerateKey("ES256")
	if err != nil {
		t.Fatal(err)
	}
	rsa, err := rsaKey()
	if err != nil {
		t.Fatal(err)
	}
	jwks, err := json.Marshal(map[string]any{"keys": []any{key.PublicJWK(), rsa.PublicJWK()}})
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{TB: t, rsa: rsa, spent: map[replay.Use]bool{}, pushed: map[string]grant.Pushed{}}
	b.client = recipient(func(c *client.Client) {
		c.Metadata.TokenEndpointAuthMethod, c.Metadata.JWKS = client.PrivateKeyJWT, jwks
	})
	now := func() time.Time { return noon }
	b.Endpoint = &Endpoint{
		Clients: &client.Authenticator{
			Issuer: issuer, Origins: []string{issuer}, Records: client.NewRecords(b, b),
			KeySets: client.NewKeySets(client.NewFetcher(client.Vetting{}), nil, nil, slog.New(slog.DiscardHandler), now),
		},
		Proofs: dpop.Verifier{Policy: dpop.NonceOff}, Store: b, Origins: []string{issuer}, Arrival: 90 * time.Second, Pushes: b,
		Now: now,
	}
	b.Sealer = response.Sealer{Keys: b.Clients.KeySets}
	s := &flow.Server{Issuer: issuer, HTTP: &http.Client{Transport: b}, Now: now}
	s.Metadata.PushedAuthorizationRequestEndpoint = issuer + "/oauth2/par"
	b.Client = &flow.Client{Server: s, ID: b.client.ID, Key: key, DPoPKey: key}
	return b
}

func (b *bench) FindClient(_ context.Context, id string) (client.Client, bool, error) {
	return b.client, id == b.client.ID, nil
}

func (b *bench) Spend(_ context.Context, s replay.Spend) (replay.Outcome, error) {
	if s.ClientVersion != b.client.Version {
		return replay.Outcome{Stale: true}, nil
	}
	for _, use := range s.Uses {
		if b.spent[use] {
			return replay.Outcome{Replayed: use.Kind}, nil
		}
	}
	for _, use := range s.Uses {
		b.spent[use] = true
	}
	return replay.Outcome{}, nil
}

func (b *bench) Push(_ context.Context, requestURI []byte, p grant.Pushed) error {
	b.pushed[string(requestURI)] = p
	return nil
}

func (b *bench) Reached(key string) (time.Duration, bool) {
	if key != b.client.ID {
		b.Errorf("the limit is asked about %q", key)
	}
	return time.Minute, b.most > 0 && b.pushes >= b.most
}

func (b *bench) Exceeded(key string) (time.Duration, bool) {
	if key != b.client.ID {
		b.Errorf("the limit counts for %q", key)
	}
	b.pushes++
	return time.Minute, b.most > 0 && b.pushes > b.most
}

func (b *bench) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	oauth.Pages{Base: issuer}.Serve(b.Endpoint.Push).ServeHTTP(w, r)
	return w.Result(), nil
}

// good is a request that is taken.
func (b *bench) good() *flow.Request {
	return b.PushRequest(flow.NewPKCE().Parameters(callback, "fdx:accountbasic:read", "s"))
}

// send sends a request and wants an outcome.
func (b *bench) send(r *flow.Request, want string, reason oauth.Reason) *flow.Exchange {
	b.Helper()
	before := len(b.pushed)
	e, err := b.Server.Send(b.Context(), r)
	if err != nil {
		b.Fatal(err)
	}
	if e.Outcome() != want || reason != "" && !strings.HasSuffix(e.ResponseBody, "/errors/"+string(reason)+"\"}\n") {
		b.Errorf("%s, want %s for %s: %s", e.Outcome(), want, reason, e.ResponseBody)
	}
	if kept := len(b.pushed) - before; (kept == 1) != (want == "201") {
		b.Errorf("%s: %d requests were kept", e.Outcome(), kept)
	}
	return e
}

// What was pushed is kept under the hash of a secret that nobody else has.
func TestPush(t *testing.T) {
	b := newBench(t)
	r := b.good()
	e := b.send(r, "201", "")
	secret, ours := strings.CutPrefix(e.JSON()["request_uri"].(string), grant.RequestURI)
	want := grant.Pushed{ClientID: "c1", RedirectURI: callback, State: "s", Scope: "fdx:accountbasic:read",
		Details: fdx.Details{fdx.ConsentRequest{DurationType: fdx.OneTime, Resources: []fdx.Resource{
			{ResourceType: fdx.Account, DataClusters: []string{"ACCOUNT_BASIC"}}}}},
		CodeChallenge: r.Form.Get("code_challenge"),
		JKT:           b.DPoPKey.Thumbprint(), ArriveBy: noon.Add(90 * time.Second)}
	if diff := cmp.Diff(want, b.pushed[string(oauth.Secret(secret).Hash())]); diff != "" || !ours || len(secret) != 43 {
		t.Errorf("%s kept under %q", diff, secret)
	}
	if diff := cmp.Diff(json.Number("90"), e.JSON()["expires_in"]); diff != "" ||
		e.ResponseHeader.Get("Cache-Control") != "no-store" {
		t.Error(diff, e.ResponseHeader)
	}
}

// DP-35: the code will be bound to the key of the proof, or to the one that dpop_jkt names. They are the same, or it is none.
func TestPushedKey(t *testing.T) {
	b := newBench(t)
	own, other := b.DPoPKey.Thumbprint(), strings.Repeat("A", 43)
	for _, test := range []struct {
		proof      bool
		named      string
		want, kept string // the outcome, and the key that the code is bound to
		why        oauth.Reason
	}{
		{true, "", "201", own, ""}, {true, own, "201", own, ""}, {false, own, "201", own, ""},
		{false, other, "201", other, ""}, {false, "", "201", "", ""},
		{true, other, "400 invalid_request", "", oauth.KeyThumbprint},
		{false, "short", "400 invalid_request", "", oauth.KeyThumbprint},
		{false, own[:42] + "B", "400 invalid_request", "", oauth.KeyThumbprint},
		{true, own + "=", "400 invalid_request", "", oauth.KeyThumbprint},
	} {
		r := b.good()
		if r.Form.Set("dpop_jkt", test.named); !test.proof {
			r.Proof = nil
		}
		clear(b.pushed)
		b.send(r, test.want, test.why)
		for _, p := range b.pushed {
			if p.JKT != test.kept {
				t.Errorf("proof %t, dpop_jkt %q: bound to %q", test.proof, test.named, p.JKT)
			}
		}
	}
	r := b.good()
	r.Proof = b.Proof(http.MethodPost, issuer+"/oauth2/token")
	b.send(r, "400 invalid_dpop_proof", oauth.ProofURI)
}

// A client whose tokens are bound to its certificate could not redeem a code that is bound to another key: it is told so at
// once, and nothing is used up. One that is registered for both binds by the proof.
func TestPushedKeyOfACertificatesClient(t *testing.T) {
	b := newBench(t)
	b.client.Metadata.CertificateBoundTokens = true
	naked := b.good()
	naked.Proof = nil
	b.send(naked, "201", "")
	for _, p := range b.pushed {
		if p.JKT != "" {
			t.Errorf("bound to %q", p.JKT)
		}
	}
	spent := len(b.spent)
	b.send(b.good(), "400 invalid_request", oauth.KeyThumbprint)
	named := b.good()
	named.Proof = nil
	named.Form.Set("dpop_jkt", b.DPoPKey.Thumbprint())
	b.send(named, "400 invalid_request", oauth.KeyThumbprint)
	if len(b.spent) != spent {
		t.Errorf("%d uses are spent", len(b.spent)-spent)
	}
	b.client.Metadata.DPoPBoundAccessTokens = true
	b.client.Version++
	b.send(b.good(), "201", "")
}

// An assertion and a proof are good for one push. A push that is refused for what it asks uses neither up.
func TestPushSpends(t *testing.T) {
	b := newBench(t)
	first := b.good()
	assertion, err := first.Assertion()
	if err != nil {
		t.Fatal(err)
	}
	proof, err := first.Proof()
	if err != nil {
		t.Fatal(err)
	}
	first.Assertion, first.Proof = flow.Literal(assertion), flow.Literal(proof)
	first.Form.Set("redirect_uri", "https://evil.example")
	b.send(first, "400 invalid_request", oauth.RedirectURIUnknown)
	first.Form.Set("redirect_uri", callback)
	b.send(first, "201", "")
	again := b.good()
	again.Assertion = first.Assertion
	b.send(again, "401 invalid_client", oauth.AssertionReplayed)
	again = b.good()
	again.Proof = first.Proof
	b.send(again, "400 invalid_dpop_proof", oauth.ProofReplayed)
}

// IDT-05, KY-04: an ID token that could not be encrypted as registered is refused before a person comes all the way, and
// that costs nothing. A request for none needs no key.
func TestPushWithoutKey(t *testing.T) {
	b := newBench(t)
	b.client.Metadata.IDTokenEncryptedResponseAlg, b.client.Metadata.IDTokenEncryptedResponseEnc = "RSA-OAEP", "A256GCM"
	r := b.good()
	assertion, err := r.Assertion()
	if err != nil {
		t.Fatal(err)
	}
	r.Assertion = flow.Literal(assertion)
	r.Form.Set("scope", "openid fdx:accountbasic:read")
	b.send(r, "400 invalid_request", oauth.EncryptionKeyMissing)
	r.Form.Set("response_mode", "jwt") // which needs no key
	b.send(r, "400 invalid_request", oauth.EncryptionKeyMissing)
	if len(b.spent) != 0 || b.pushes != 0 {
		t.Errorf("%d uses spent, %d pushes counted", len(b.spent), b.pushes)
	}
	r.Form.Set("scope", "fdx:accountbasic:read")
	b.send(r, "201", "")
	b = newBench(t)
	signed := b.good()
	signed.Form.Set("scope", "openid")
	b.send(signed, "201", "") // no key is needed to sign
}

// JARM-05: so is an answer of one JWT that could not be encrypted as registered. A plain one needs no key.
func TestPushWithoutKeyForTheAnswer(t *testing.T) {
	for _, mode := range []string{"jwt", "query.jwt", "form_post.jwt"} {
		b := newBench(t)
		m := &b.client.Metadata
		m.AuthorizationSignedResponseAlg = "ES256"
		m.AuthorizationEncryptedResponseAlg, m.AuthorizationEncryptedResponseEnc = "RSA-OAEP", "A256GCM"
		r := b.good()
		r.Form.Set("response_mode", mode)
		b.send(r, "400 invalid_request", oauth.EncryptionKeyMissing)
		if len(b.spent) != 0 || b.pushes != 0 {
			t.Errorf("%d uses spent, %d pushes counted", len(b.spent), b.pushes)
		}
		b.send(b.good(), "201", "")
		b = newBench(t)
		r = b.good()
		r.Form.Set("response_mode", mode)
		b.send(r, "201", "") // no key is needed to sign
	}
}

// PR-39: the limit is one client's, and counts what is kept: not who has not proven to be it, nor who replays what it sent.
func TestPushLimit(t *testing.T) {
	b := newBench(t)
	b.most = 2
	first := b.good()
	assertion, err := first.Assertion()
	if err != nil {
		t.Fatal(err)
	}
	first.Assertion = flow.Literal(assertion)
	b.send(first, "201", "")
	thief := b.good()
	thief.Assertion = first.Assertion
	for range 3 {
		b.send(thief, "401 invalid_client", oauth.AssertionReplayed)
	}
	bent := b.good()
	bent.Form.Set("response_type", "token")
	b.send(bent, "400 unsupported_response_type", oauth.ResponseTypeUnsupported)
	stranger := b.good()
	stranger.Assertion = nil
	b.send(stranger, "401 invalid_client", oauth.ClientAuthMissing)
	b.send(b.good(), "201", "")
	tooMany := b.good()
	if assertion, err = tooMany.Assertion(); err != nil {
		t.Fatal(err)
	}
	tooMany.Assertion = flow.Literal(assertion)
	if e := b.send(tooMany, "429 temporarily_unavailable", oauth.RateLimited); e.ResponseHeader.Get("Retry-After") != "60" {
		t.Errorf("Retry-After %q", e.ResponseHeader.Get("Retry-After"))
	}
	b.pushes = 0 // a minute later
	again := b.good()
	again.Assertion = tooMany.Assertion
	b.send(again, "201", "") // what was refused has used nothing up
}
