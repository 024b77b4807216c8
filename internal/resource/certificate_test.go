package resource_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"authserver/internal/accesstoken"
	"authserver/internal/certificate"
	"authserver/internal/certificate/certificatetest"
	"authserver/internal/dpop"
	"authserver/internal/flow"
	"authserver/internal/jose"
	"authserver/internal/jose/josetest"
	"authserver/internal/oauth"
	"authserver/internal/replay"
	"authserver/internal/resource"

	"github.com/google/go-cmp/cmp"
)

// counting is a store that counts what is spent.
type counting struct {
	memory
	spends []replay.Spend
}

func (c *counting) Spend(ctx context.Context, s replay.Spend) (replay.Outcome, error) {
	c.spends = append(c.spends, s)
	return c.memory.Spend(ctx, s)
}

// desk is a guard, whose tokens are of one signer, and a client with a key and a certificate.
type desk struct {
	t      *testing.T
	guard  resource.Guard
	store  *counting
	holder *flow.Client
	shown  tls.Certificate
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	key, err := flow.GenerateKey("ES256")
	if err != nil {
		t.Fatal(err)
	}
	d := &desk{t: t, store: &counting{}, shown: certificatetest.SelfSigned(t),
		holder: &flow.Client{Server: &flow.Server{Issuer: issuer, Now: func() time.Time { return noon }}, DPoPKey: key}}
	d.guard = resource.Guard{Origins: []string{issuer, "https://mtls.as.example"}, MutualTLS: true, Audiences: []string{issuer},
		Tokens: accesstoken.Tokens{Issuer: issuer, Alg: jose.ES256, Keys: josetest.NewServer()}, Proofs: dpop.Verifier{Policy: dpop.NonceOff}, Store: d.store}
	return d
}

// issue makes a token that is bound so.
func (d *desk) issue(to accesstoken.Confirmation) string {
	d.t.Helper()
	compact, _, err := d.guard.Tokens.Issue(accesstoken.Token{
		Subject: "c1", ClientID: "c1", Audience: accesstoken.Audience{issuer}, Scope: "a:read", Confirmation: to,
	}, time.Minute, noon)
	if err != nil {
		d.t.Fatal(err)
	}
	return compact
}

// bound makes a token that is bound to a certificate.
func (d *desk) bound(to tls.Certificate) string {
	return d.issue(accesstoken.Confirmation{X5T: certificate.Certificate{Leaf: to.Leaf}.Thumbprint()})
}

// request bears a token, over a connection with a certificate if that is not nil.
func (d *desk) request(scheme, compact string, shown *tls.Certificate) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/resource", nil)
	r.Header.Set("Authorization", scheme+" "+compact)
	if shown != nil {
		r = certificatetest.Bearing(d.t, r, *shown)
	}
	return r
}

// prove adds a proof for the token to a request, as the key's client makes them, for the endpoint at an origin.
func (d *desk) prove(r *http.Request, origin, compact string) *http.Request {
	d.t.Helper()
	proof, err := d.holder.Proof(http.MethodGet, origin+"/resource", flow.ForToken(compact))()
	if err != nil {
		d.t.Fatal(err)
	}
	r.Header.Set("DPoP", proof)
	return r
}

// TestCertificateBound (MTLS-02, TL-07, DP-39): a token that is bound to a certificate passes with that certificate and the scheme
// Bearer, and in no other way; nothing of the request is used up.
func TestCertificateBound(t *testing.T) {
	d := newDesk(t)
	other := certificatetest.SelfSigned(t)
	expired := certificatetest.SelfSigned(t, func(c *x509.Certificate) { c.NotAfter = noon.Add(-time.Second) })
	token, stale := d.bound(d.shown), d.bound(expired)
	sameKey := certificatetest.SelfSignedFor(t, certificatetest.Key(t))
	jkt := d.issue(accesstoken.Confirmation{JKT: d.holder.DPoPKey.Thumbprint()})
	for name, test := range map[string]struct {
		r    *http.Request
		want oauth.Reason
	}{
		"MTLS-02 with it":                      {d.request("Bearer", token, &d.shown), ""},
		"the scheme in another case":           {d.request("bEARER", token, &d.shown), ""},
		"with a proof that it has no need of":  {d.prove(d.request("Bearer", token, &d.shown), issuer, token), ""},
		"with what is no proof beside it":      {header(d.request("Bearer", token, &d.shown), "DPoP", "x"), ""},
		"MTLS-02 without a certificate":        {d.request("Bearer", token, nil), oauth.TokenKey},
		"TL-07 with another certificate":       {d.request("Bearer", token, &other), oauth.TokenKey},
		"TL-07 another's token with one's own": {d.request("Bearer", d.bound(other), &d.shown), oauth.TokenKey},
		"another of another key":               {d.request("Bearer", token, &sameKey), oauth.TokenKey},
		"with it, but it has expired":          {d.request("Bearer", stale, &expired), oauth.TokenKey},
		"with the scheme DPoP":                 {d.request("DPoP", token, &d.shown), oauth.TokenScheme},
		"with the scheme DPoP and a proof":     {d.prove(d.request("DPoP", token, &d.shown), issuer, token), oauth.TokenScheme},
		"by a proof instead":                   {d.prove(d.request("Bearer", token, nil), issuer, token), oauth.TokenKey},
		"unbound, with a certificate":          {d.request("Bearer", d.issue(accesstoken.Confirmation{}), &d.shown), oauth.TokenUnbound},
		"DP-39 bound to a key, as Bearer":      {d.prove(d.request("Bearer", jkt, &d.shown), issuer, jkt), oauth.TokenScheme},
		"bound to a key, by a certificate":     {d.request("DPoP", jkt, &d.shown), oauth.TokenProofMissing},
	} {
		t.Run(name, func(t *testing.T) {
			d.store.spends = nil
			admitted, err := d.guard.Admit(test.r, noon, "a:read")
			refusal, refused := errors.AsType[*oauth.Error](err)
			switch {
			case test.want == "" && (err != nil || admitted.ClientID != "c1"):
				t.Errorf("%+v, %v", admitted, err)
			case test.want != "" && (!refused || refusal.Reason != test.want || refusal.Status() != http.StatusUnauthorized || refusal.Code() != oauth.InvalidToken):
				t.Errorf("%v, want %s", err, test.want)
			}
			if len(d.store.spends) > 0 {
				t.Errorf("spent %v", d.store.spends)
			}
		})
	}
	d.store.denied = true
	_, err := d.guard.Admit(d.request("Bearer", token, &d.shown), noon)
	if refusal, _ := errors.AsType[*oauth.Error](err); refusal == nil || refusal.Reason != oauth.TokenRevoked {
		t.Errorf("AT-08 revoked: %v", err)
	}
	d.store.denied, d.store.err = false, errors.New("down")
	if _, err := d.guard.Admit(d.request("Bearer", token, &d.shown), noon); !errors.Is(err, d.store.err) {
		t.Errorf("nobody can be asked: %v", err)
	}
}

func header(r *http.Request, name, value string) *http.Request {
	r.Header.Set(name, value)
	return r
}

// TestProofAtAnAlias: a proof names the endpoint at the issuer's host or at that of mutual TLS, and no other; it is spent.
func TestProofAtAnAlias(t *testing.T) {
	d := newDesk(t)
	token := d.issue(accesstoken.Confirmation{JKT: d.holder.DPoPKey.Thumbprint()})
	for origin, want := range map[string]oauth.Reason{issuer: "", "https://mtls.as.example": "", "https://as.example.org": oauth.ProofURI, "https://MTLS.as.example:443": ""} {
		d.store.spends = nil
		_, err := d.guard.Admit(d.prove(d.request("DPoP", token, nil), origin, token), noon)
		refusal, refused := errors.AsType[*oauth.Error](err)
		if refused != (want != "") || refused && refusal.Reason != want || len(d.store.spends) != 1 && !refused {
			t.Errorf("%s: %v, %d spends", origin, err, len(d.store.spends))
		}
	}
}

// TestChallenges (RS-03, DPOP-10): a refusal names the schemes that are taken: Bearer only where a certificate can be shown, and
// with no error of a proof.
func TestChallenges(t *testing.T) {
	d := newDesk(t)
	token := d.bound(d.shown)
	jkt := d.issue(accesstoken.Confirmation{JKT: d.holder.DPoPKey.Thumbprint()})
	bare := httptest.NewRequest(http.MethodGet, "/resource", nil)
	const algs = `algs="PS256 ES256 EdDSA"`
	for name, test := range map[string]struct {
		r    *http.Request
		want map[bool][]string // whether mutual TLS is offered; schemes and what else stands in their challenges
	}{
		"RS-03 nothing": {bare, map[bool][]string{true: {"DPoP " + algs, "Bearer"}, false: {"DPoP " + algs}}},
		"another certificate": {d.request("Bearer", token, nil), map[bool][]string{
			true: {`DPoP error="invalid_token"`, `Bearer error="invalid_token"`}, false: {`DPoP error="invalid_token"`}}},
		"a scope": {d.request("Bearer", token, &d.shown), map[bool][]string{
			true:  {`DPoP error="insufficient_scope"`, `Bearer error="insufficient_scope"`},
			false: {`DPoP error="insufficient_scope"`}}},
		"DPOP-10 a bad proof": {header(d.request("DPoP", jkt, nil), "DPoP", "x"), map[bool][]string{
			true: {`DPoP error="invalid_dpop_proof"`}, false: {`DPoP error="invalid_dpop_proof"`}}},
	} {
		for offered, want := range test.want {
			d.guard.MutualTLS = offered
			_, err := d.guard.Verify(test.r, noon, "b:read")
			w := httptest.NewRecorder()
			(oauth.Pages{Base: issuer}).Write(w, nil, err)
			fields := w.Header().Values("WWW-Authenticate")
			for i := range fields {
				if i < len(want) && len(fields[i]) > len(want[i]) {
					if name == "a scope" && !strings.Contains(fields[i], `scope="b:read"`) {
						t.Errorf("%s: %s", name, fields[i])
					}
					fields[i] = fields[i][:len(want[i])]
				}
			}
			if diff := cmp.Diff(want, fields); diff != "" {
				t.Errorf("%s, offered %v: %s", name, offered, diff)
			}
		}
	}
}
