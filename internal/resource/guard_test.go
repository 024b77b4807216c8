package resource_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"authserver/internal/accesstoken"
	"authserver/internal/dpop"
	"authserver/internal/flow"
	"authserver/internal/jose"
	"authserver/internal/jose/josetest"
	"authserver/internal/oauth"
	"authserver/internal/replay"
	"authserver/internal/resource"
)

const issuer = "https://as.example"

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// memory is a store that says of every token what the test has set, and keeps what it was asked.
type memory struct {
	denied            bool
	err               error
	clientID, grantID string
	use               replay.Use
}

func (m *memory) Spend(context.Context, replay.Spend) (replay.Outcome, error) {
	return replay.Outcome{}, nil
}

func (m *memory) Denied(_ context.Context, u replay.Use, clientID, grantID string) (bool, *time.Time, error) {
	m.use, m.clientID, m.grantID = u, clientID, grantID
	return m.denied, nil, m.err
}

// TestAdmitAsksForTheGrant (AT-08): whether a token has ended is asked for the token, its client and its grant.
func TestAdmitAsksForTheGrant(t *testing.T) {
	key, err := flow.GenerateKey("ES256")
	if err != nil {
		t.Fatal(err)
	}
	tokens := accesstoken.Tokens{Issuer: issuer, Alg: jose.ES256, Keys: josetest.NewServer()}
	holder := &flow.Client{Server: &flow.Server{Issuer: issuer, Now: func() time.Time { return noon }}, DPoPKey: key}
	down := errors.New("the database is down")
	for name, test := range map[string]struct {
		grantID string
		denied  bool
		err     error
		want    oauth.Reason
	}{
		"a person's":          {"grant 1", false, nil, ""},
		"a client's own":      {"", false, nil, ""},
		"of an ended grant":   {"grant 1", true, nil, oauth.TokenRevoked},
		"nobody can be asked": {"grant 1", false, down, ""},
	} {
		t.Run(name, func(t *testing.T) {
			compact, issued, err := tokens.Issue(accesstoken.Token{
				Subject: "_alex", ClientID: "c1", GrantID: test.grantID, Audience: accesstoken.Audience{issuer}, Scope: "a:read",
				Confirmation: accesstoken.Confirmation{JKT: key.Thumbprint()},
			}, time.Minute, noon)
			if err != nil {
				t.Fatal(err)
			}
			r := httptest.NewRequest(http.MethodGet, "/resource", nil)
			proof, err := holder.Proof(http.MethodGet, issuer+"/resource", flow.ForToken(compact))()
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("DPoP", proof)
			r.Header.Set("Authorization", "DPoP "+compact)
			store := &memory{denied: test.denied, err: test.err}
			guard := resource.Guard{Origins: []string{issuer}, Audiences: []string{issuer}, Tokens: tokens,
				Proofs: dpop.Verifier{Policy: dpop.NonceOff}, Store: store}
			_, err = guard.Admit(r, noon, "a:read")
			refusal, refused := errors.AsType[*oauth.Error](err)
			switch {
			case test.err != nil:
				if !errors.Is(err, down) || refused {
					t.Errorf("admitted with %v", err)
				}
			case refused != (test.want != ""), refused && (refusal.Reason != test.want || refusal.Status() != http.StatusUnauthorized):
				t.Errorf("%v, want %q", err, test.want)
			case err != nil && !refused:
				t.Error(err)
			}
			if store.grantID != test.grantID || store.clientID != "c1" || store.use != issued.Use() {
				t.Errorf("asked for the grant %q of %s", store.grantID, store.clientID)
			}
		})
	}
}
