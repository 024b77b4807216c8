package person

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"authserver/internal/jose"
)

const (
	ourID     = "us"
	ourSecret = "a secret: with % and +"
	ourReturn = "https://as.example/login/callback"
	state     = "interaction.unguessable"
)

// op is an OpenID provider that does as it is told.
type op struct {
	*httptest.Server
	t         *testing.T
	signer    *jose.Signer
	metadata  map[string]any
	asked     url.Values        // the authorization request
	claims    map[string]any    // of the next ID token
	sign      func() string     // makes it
	answer    http.HandlerFunc  // of the token endpoint; nil: as a provider does
	requests  map[string]int    // by path
	challenge map[string]string // by code
}

func newOP(t *testing.T) *op {
	t.Helper()
	o := &op{t: t, signer: newSigner(t, jose.ES256, "theirs"), requests: map[string]int{}, challenge: map[string]string{}}
	o.sign = func() string { return signed(t, o.signer, o.claims) }
	o.Server = httptest.NewServer(http.HandlerFunc(o.serve))
	t.Cleanup(o.Close)
	o.metadata = map[string]any{
		"issuer": o.URL, "authorization_endpoint": o.URL + "/authorize?tenant=1", "token_endpoint": o.URL + "/token", "jwks_uri": o.URL + "/keys",
		"token_endpoint_auth_methods_supported":          []string{"client_secret_post", "client_secret_basic", "private_key_jwt"},
		"authorization_response_iss_parameter_supported": true,
	}
	return o
}

func (o *op) serve(w http.ResponseWriter, r *http.Request) {
	o.requests[r.URL.Path]++
	w.Header().Set("Content-Type", "application/json")
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		_ = json.NewEncoder(w).Encode(o.metadata)
	case "/keys":
		_ = json.NewEncoder(w).Encode(map[string]any{"keys": []any{o.signer.Key()}})
	case "/token":
		if o.answer != nil {
			o.answer(w, r)
			return
		}
		o.redeem(w, r)
	default:
		o.t.Errorf("%s was asked for", r.URL)
	}
}

func (o *op) redeem(w http.ResponseWriter, r *http.Request) {
	verifier := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
	if o.challenge[r.PostFormValue("code")] != base64.RawURLEncoding.EncodeToString(verifier[:]) || r.PostFormValue("redirect_uri") != ourReturn {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write([]byte(`{"error":"invalid_grant"}`))
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"access_token": "x", "token_type": "Bearer", "id_token": o.sign()})
}

// authorize plays the person: it takes the URL of a departure, and prepares the code and the ID token of the return.
func (o *op) authorize(departure string) url.Values {
	o.t.Helper()
	u, err := url.Parse(departure)
	if err != nil || !strings.HasPrefix(departure, o.URL+"/authorize?tenant=1&") {
		o.t.Fatalf("the departure goes to %s: %v", departure, err)
	}
	o.asked = u.Query()
	o.challenge["code"] = o.asked.Get("code_challenge")
	o.claims = map[string]any{
		"iss": o.URL, "aud": ourID, "sub": "kim", "nonce": o.asked.Get("nonce"),
		"iat": noon.Unix(), "exp": noon.Add(time.Minute).Unix(),
	}
	return url.Values{"code": {"code"}, "state": {o.asked.Get("state")}, "iss": {o.URL}}
}

func (o *op) settings() UpstreamSettings {
	return UpstreamSettings{
		Issuer: o.URL, ClientID: ourID, ClientSecret: ourSecret, RedirectURL: ourReturn,
		Key: make([]byte, 32), Now: func() time.Time { return noon },
	}
}

func (o *op) upstream(change ...func(*UpstreamSettings)) *Upstream {
	o.t.Helper()
	s := o.settings()
	for _, c := range change {
		c(&s)
	}
	u, err := NewUpstream(s)
	if err != nil {
		o.t.Fatal(err)
	}
	return u
}

// trip is a departure and the return from it; change may alter what comes back.
func (o *op) trip(u *Upstream, w Wish, change func(back url.Values)) (Arrived, error) {
	o.t.Helper()
	departure, err := u.Depart(o.t.Context(), w, state)
	if err != nil {
		o.t.Fatal(err)
	}
	back := o.authorize(departure)
	if change != nil {
		change(back)
	}
	return u.Arrive(o.t.Context(), state, back, w, noon)
}

func newSigner(t *testing.T, a jose.Alg, kid string) *jose.Signer {
	t.Helper()
	key, err := jose.GenerateKey(a)
	if err != nil {
		t.Fatal(err)
	}
	s, err := jose.NewSigner(a, kid, key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func signed(t *testing.T, s *jose.Signer, claims map[string]any) string {
	t.Helper()
	token, err := s.Sign("JWT", claims)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// seconds is a pointer to n, as max_age is kept.
func seconds(n int) *int { return &n }

// unsigned are the first two segments of a token that jose would not make.
func unsigned(t *testing.T, alg string, claims map[string]any) string {
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	header := fmt.Sprintf(`{"alg":%q,"kid":"theirs"}`, alg)
	return base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + base64.RawURLEncoding.EncodeToString(payload)
}

func mac(input string, key []byte) string {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(input))
	return input + "." + base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}
