package dcr_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"authserver/internal/accesstoken"
	"authserver/internal/certificate"
	"authserver/internal/certificate/certificatetest"
	"authserver/internal/client"
	"authserver/internal/dcr"
	"authserver/internal/jose"
	"authserver/internal/jose/josetest"
	"authserver/internal/oauth"
	"authserver/internal/replay"
	"authserver/internal/resource"
)

const issuer = "https://as.example"

// office keeps one client, and spends nothing.
type office struct{ changing }

func (o *office) Spend(context.Context, replay.Spend) (replay.Outcome, error) {
	return replay.Outcome{}, errors.New("nothing of a certificate can be spent")
}

func (o *office) Denied(context.Context, replay.Use, string, string) (bool, *time.Time, error) {
	return false, nil, nil
}

func (o *office) AddClient(context.Context, client.Client) (bool, error) {
	o.writes++
	return true, nil
}

// TestManagedByCertificate (DCR-24, DR-11, DR-21): a client manages its own registration with an access token of its own that is
// bound to its certificate, over a connection with that; so does a registrar register others. Both are Bearer tokens, as are
// registration access tokens, which are told apart.
func TestManagedByCertificate(t *testing.T) {
	shown, other := certificatetest.SelfSigned(t), certificatetest.SelfSigned(t)
	const ownToken, initial = "the-token-of-the-registration-1234567890", "a.jwt.of-the-operator"
	tokens := accesstoken.Tokens{Issuer: issuer, Alg: jose.ES256, Keys: josetest.NewServer()}
	token := func(clientID, scope string) string {
		compact, _, err := tokens.Issue(accesstoken.Token{Subject: clientID, ClientID: clientID, Audience: accesstoken.Audience{issuer}, Scope: scope,
			Confirmation: accesstoken.Confirmation{X5T: certificate.Certificate{Leaf: shown.Leaf}.Thumbprint()}}, time.Minute, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		return compact
	}
	text, err := json.Marshal(map[string]any{"grant_types": []string{"client_credentials"}, "response_types": []string{}, "jwks": keys(ecKey)})
	if err != nil {
		t.Fatal(err)
	}
	o := &office{}
	e := &dcr.Endpoint{URL: issuer + "/fdx/v6/register", Gate: dcr.Token, InitialAccessToken: initial, Rules: rules, Store: o, Now: time.Now,
		Guard: resource.Guard{Origins: []string{issuer}, MutualTLS: true, Audiences: []string{issuer}, Tokens: tokens, Store: o}}
	register := func(w http.ResponseWriter, r *http.Request, _ string) error { return e.Register(w, r) }
	type handler = func(http.ResponseWriter, *http.Request, string) error
	for name, test := range map[string]struct {
		handle handler
		with   string
		naked  bool
		want   oauth.Reason // "": it is done
	}{
		"read":                                {e.Read, token("c1", "client.read"), false, ""},
		"updated":                             {e.Update, token("c1", "client.read"), false, ""},
		"deleted":                             {e.Delete, token("c1", "client.create"), false, ""},
		"by the registration access token":    {e.Update, ownToken, false, ""},
		"registered by a registrar":           {register, token("c1", "client.create"), false, ""},
		"registered by the initial token":     {register, initial, true, ""},
		"read without the certificate":        {e.Read, token("c1", "client.read"), true, oauth.TokenKey},
		"updated without the certificate":     {e.Update, token("c1", "client.read"), true, oauth.TokenKey},
		"DR-11 another client's":              {e.Read, token("c2", "client.read"), false, oauth.RegistrationToken},
		"another scope":                       {e.Read, token("c1", "fdx:tax:read"), false, oauth.ScopeInsufficient},
		"a wrong registration access token":   {e.Update, ownToken + "x", false, oauth.RegistrationToken},
		"an access token that is none":        {e.Delete, "a.b.c", false, oauth.TokenMalformed},
		"registered without the certificate":  {register, token("c1", "client.create"), true, oauth.TokenKey},
		"DR-21 registered by no registrar":    {register, token("c2", "client.create"), false, oauth.NotARegistrar},
		"DR-02 registered by a wrong initial": {register, "a.jwt.of-nobody", true, oauth.TokenMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			o.record = client.Client{ID: "c1", Version: 1, Registrar: test.want != oauth.NotARegistrar,
				RegistrationTokenHash: oauth.Secret(ownToken).Hash()}
			o.writes = 0
			r := httptest.NewRequest(http.MethodPost, "/fdx/v6/register/c1", strings.NewReader(string(text)))
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("Authorization", "Bearer "+test.with)
			if !test.naked {
				r = certificatetest.Bearing(t, r, shown)
			}
			w := httptest.NewRecorder()
			err := test.handle(w, r, "c1")
			refusal, refused := errors.AsType[*oauth.Error](err)
			if refused != (test.want != "") || refused && refusal.Reason != test.want || !refused && err != nil {
				t.Fatalf("%v, want %q", err, test.want)
			}
			if (w.Body.Len() > 0 || o.writes > 0) && refused {
				t.Errorf("refused after %d writes: %s", o.writes, w.Body)
			}
			if strings.Contains(w.Body.String(), "eyJ") {
				t.Errorf("an access token is echoed: %s", w.Body)
			}
		})
	}
	r := httptest.NewRequest(http.MethodGet, "/fdx/v6/register/c1", nil)
	r.Header.Set("Authorization", "Bearer "+token("c1", "client.read"))
	err = e.Read(httptest.NewRecorder(), certificatetest.Bearing(t, r, other), "c1")
	if refusal, _ := errors.AsType[*oauth.Error](err); refusal == nil || refusal.Reason != oauth.TokenKey {
		t.Errorf("TL-07 by another certificate: %v", err)
	}
	e.Guard.MutualTLS = false
	err = e.Read(httptest.NewRecorder(), r, "c1")
	if refusal, _ := errors.AsType[*oauth.Error](err); refusal == nil || refusal.Reason != oauth.RegistrationToken {
		t.Errorf("where no certificate can be shown: %v", err)
	}
}
