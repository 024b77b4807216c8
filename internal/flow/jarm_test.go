package flow

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

const back = "https://client.example/cb"

// TestReadResponse: one JWT and nothing beside it, at the redirect_uri and nowhere else.
func TestReadResponse(t *testing.T) {
	form := func(action string, fields url.Values) *Page {
		forms := []*Form{{Method: http.MethodPost, Action: action, Fields: fields}}
		return &Page{Exchange: &Exchange{Status: 200}, Forms: forms}
	}
	response := url.Values{"response": {"a.b.c"}}
	for name, page := range map[string]*Page{
		"a redirect": {Location: back + "?response=a.b.c"}, "a form": form(back, response),
	} {
		if compact, err := page.ReadResponse(back); err != nil || compact != "a.b.c" || !page.leaves() {
			t.Errorf("%s: %q %v", name, compact, err)
		}
	}
	byGET := form(back, response)
	byGET.Forms[0].Method = http.MethodGet
	for name, page := range map[string]*Page{
		"a code beside it":        {Location: back + "?response=a.b.c&code=x"},
		"a state beside it":       {Location: back + "?state=x&response=a.b.c"},
		"a fragment":              {Location: back + "?response=a.b.c#x"},
		"elsewhere":               {Location: "https://evil.example/?response=a.b.c"},
		"plain parameters":        {Location: back + "?code=x&iss=y"},
		"twice":                   {Location: back + "?response=a.b.c&response=a.b.c"},
		"a form to elsewhere":     form("https://evil.example/", response),
		"a form with more fields": form(back, url.Values{"response": {"a.b.c"}, "state": {"x"}}),
		"a form by GET":           byGET,
		"no way back":             {Exchange: &Exchange{Status: 200}},
	} {
		if compact, err := page.ReadResponse(back); err == nil {
			t.Errorf("%s: %q", name, compact)
		}
	}
}

// TestOpenResponse: what a client must find wrong with an answer.
func TestOpenResponse(t *testing.T) {
	now := time.Now()
	ours, err := GenerateKey("ES256")
	theirs, err2 := GenerateKey("ES256")
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	host := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{"keys": []JWK{ours.PublicJWK()}})
	}))
	defer host.Close()
	s := &Server{Issuer: "https://as.example", HTTP: host.Client(), Now: func() time.Time { return now }}
	s.Metadata.JWKSURI = host.URL
	c := &Client{Server: s, ID: "c1"}
	good := Draft{Key: ours, Alg: "ES256", Header: map[string]any{"alg": "ES256", "kid": ours.ID}, Claims: map[string]any{
		"iss": s.Issuer, "aud": "c1", "exp": now.Add(5 * time.Minute).Unix(), "code": "a code", "state": "a state"}}
	sign := func(edits ...Edit) string {
		compact, err := good.Sign(edits...)
		if err != nil {
			t.Fatal(err)
		}
		return compact
	}
	answer, err := c.OpenResponse(t.Context(), sign())
	if got := answer.Parameters().Encode(); err != nil || got != "code=a+code&iss=https%3A%2F%2Fas.example&state=a+state" {
		t.Errorf("%s %v", got, err)
	}
	for name, compact := range map[string]string{
		"another issuer": sign(SetClaim("iss", "https://evil.example")), "no issuer": sign(DropClaim("iss")),
		"another client": sign(SetClaim("aud", "c2")), "many clients": sign(SetClaim("aud", []string{"c1"})),
		"no client":            sign(DropClaim("aud")),
		"no end":               sign(DropClaim("exp")),
		"an end in words":      sign(SetClaim("exp", "soon")),
		"one that is over":     sign(SetClaim("exp", now.Add(-time.Minute).Unix())),
		"one that is too long": sign(SetClaim("exp", now.Add(11*time.Minute).Unix())),
		"neither":              sign(DropClaim("code")),
		"both":                 sign(SetClaim("error", "access_denied")),
		"another's key":        sign(SignWith(theirs)),
		"no signature":         sign(SignAs("none")),
		"an unknown key":       sign(SetHeader("kid", "other")),
		"half of it":           strings.Join(strings.Split(sign(), ".")[:2], "."),
		"an encrypted one":     "a.b.c.d.e",
	} {
		if _, err := c.OpenResponse(t.Context(), compact); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	c.Decrypt = func(jwe string) (string, error) {
		if jwe == "a.b.c.d.e" {
			return sign(), nil
		}
		return "", errors.New("not for this key")
	}
	if answer, err := c.OpenResponse(t.Context(), "a.b.c.d.e"); err != nil || answer.Claim("code") != "a code" {
		t.Errorf("%v %v", answer, err)
	}
	if _, err := c.OpenResponse(t.Context(), "a.b.c.d.f"); err == nil {
		t.Error("what another key opens is taken")
	}
}
