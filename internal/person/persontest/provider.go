// Package persontest has OpenID providers for the people of tests to come from: one that does as it is told, and npm's
// oidc-provider, which knows nothing of us.
package persontest

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"authserver/internal/jose"
)

// Provider is an OpenID provider that does as it is told. It shows nobody a page: Authorize plays the browser that was sent
// there. What a test sets counts from the next request on.
type Provider struct {
	*httptest.Server
	Now      func() time.Time
	Signer   *jose.Signer
	Metadata map[string]any
	Asked    url.Values     // the latest authorization request
	Claims   map[string]any // of the ID token that it leads to
	Sign     func(claims map[string]any) string
	Answer   http.HandlerFunc // of the token endpoint; nil: as a provider does
	Requests map[string]int   // by path
	Tell     func(secret string)

	t     testing.TB
	codes map[string]departure

	mu   sync.Mutex // of what follows, and of Requests: who is cut off does not wait until serve has ended
	away bool
}

// GoAway closes every line from now on, or opens them again.
func (p *Provider) GoAway(away bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.away = away
}

// came counts a request, and tells whether there is somebody to answer it.
func (p *Provider) came(path string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.Requests[path]++
	return !p.away
}

// departure is what a code stands for. It can be redeemed once.
type departure struct {
	asked  url.Values
	claims map[string]any
}

// NewProvider starts one. It ends with the test.
func NewProvider(t testing.TB) *Provider {
	t.Helper()
	key, err := jose.GenerateKey(jose.ES256)
	if err != nil {
		t.Fatal(err)
	}
	p := &Provider{
		Now: time.Now, Requests: map[string]int{}, Tell: func(string) {}, t: t, codes: map[string]departure{},
	}
	if p.Signer, err = jose.NewSigner(jose.ES256, "theirs", key); err != nil {
		t.Fatal(err)
	}
	p.Sign = func(claims map[string]any) string {
		token, err := p.Signer.Sign("JWT", claims)
		if err != nil {
			t.Error(err)
		}
		return token
	}
	p.Server = httptest.NewServer(http.HandlerFunc(p.serve))
	t.Cleanup(p.Close)
	p.Metadata = map[string]any{
		"issuer": p.URL, "authorization_endpoint": p.URL + "/authorize?tenant=1", "token_endpoint": p.URL + "/token", "jwks_uri": p.URL + "/keys",
		"token_endpoint_auth_methods_supported":          []string{"client_secret_post", "client_secret_basic", "private_key_jwt"},
		"authorization_response_iss_parameter_supported": true,
	}
	return p
}

func (p *Provider) serve(w http.ResponseWriter, r *http.Request) {
	if !p.came(r.URL.Path) {
		panic(http.ErrAbortHandler)
	}
	w.Header().Set("Content-Type", "application/json")
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		_ = json.NewEncoder(w).Encode(p.Metadata)
	case "/keys":
		_ = json.NewEncoder(w).Encode(map[string]any{"keys": []any{p.Signer.Key()}})
	case "/token":
		if p.Answer != nil {
			p.Answer(w, r)
			return
		}
		p.redeem(w, r)
	default:
		p.t.Errorf("%s was asked for", r.URL)
	}
}

// redeem answers a code and the verifier of its departure with an ID token, once.
func (p *Provider) redeem(w http.ResponseWriter, r *http.Request) {
	code, verifier := r.PostFormValue("code"), r.PostFormValue("code_verifier")
	d, known := p.codes[code]
	digest := sha256.Sum256([]byte(verifier))
	_, secret, _ := r.BasicAuth()
	for _, shown := range []string{verifier, secret, r.PostFormValue("client_secret"), r.PostFormValue("client_assertion")} {
		p.Tell(shown)
	}
	if !known || base64.RawURLEncoding.EncodeToString(digest[:]) != d.asked.Get("code_challenge") ||
		r.PostFormValue("redirect_uri") != d.asked.Get("redirect_uri") {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write([]byte(`{"error":"invalid_grant"}`))
		return
	}
	delete(p.codes, code)
	access, id := rand.Text(), p.Sign(d.claims)
	p.Tell(access)
	p.Tell(id)
	_ = json.NewEncoder(w).Encode(map[string]any{"access_token": access, "token_type": "Bearer", "id_token": id})
}

// Authorize plays the browser, the page and the person: it takes the URL of a departure, and returns the query with which
// the browser comes back. Claims are those of the person; the test may still change them.
func (p *Provider) Authorize(departed string) url.Values {
	p.t.Helper()
	u, err := url.Parse(departed)
	if err != nil || !strings.HasPrefix(departed, p.URL+"/authorize?tenant=1&") {
		p.t.Fatalf("the departure goes to %s: %v", departed, err)
	}
	p.Asked = u.Query()
	p.Claims = map[string]any{
		"iss": p.URL, "aud": p.Asked.Get("client_id"), "sub": "kim", "nonce": p.Asked.Get("nonce"),
		"iat": p.Now().Unix(), "exp": p.Now().Add(time.Minute).Unix(),
	}
	code := rand.Text()
	p.codes[code] = departure{p.Asked, p.Claims}
	for _, secret := range []string{code, p.Asked.Get("nonce"), p.Asked.Get("state")} {
		p.Tell(secret)
	}
	return url.Values{"code": {code}, "state": {p.Asked.Get("state")}, "iss": {p.URL}}
}
