package person

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"testing"
	"time"

	"authserver/internal/jose"
	"authserver/internal/person/persontest"
)

const (
	ourID     = "us"
	ourSecret = "a secret: with % and +"
	ourReturn = "https://as.example/login/callback"
	state     = "interaction.unguessable"
)

// op is an OpenID provider that does as it is told, at noon.
type op struct {
	*persontest.Provider
	t    *testing.T
	here time.Time // by our clock
}

func newOP(t *testing.T) *op {
	t.Helper()
	o := &op{persontest.NewProvider(t), t, noon}
	o.Now = func() time.Time { return noon }
	return o
}

func (o *op) settings() UpstreamSettings {
	return UpstreamSettings{
		Issuer: o.URL, ClientID: ourID, ClientSecret: ourSecret, RedirectURL: ourReturn,
		Key: make([]byte, 32),
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
	departure, err := u.Depart(o.t.Context(), w, state, o.here)
	if err != nil {
		o.t.Fatal(err)
	}
	back := o.Authorize(departure)
	if change != nil {
		change(back)
	}
	return u.comeBack(o.t.Context(), state, back, w, o.here)
}

// comeBack reads what a browser brings, and proves who it is.
func (u *Upstream) comeBack(ctx context.Context, state string, back url.Values, w Wish, now time.Time) (Arrived, error) {
	answer, err := u.Read(ctx, state, back, now)
	if err != nil {
		return Arrived{}, err
	}
	return u.Arrive(ctx, state, answer, w, now)
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
