package token_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"authserver/internal/certificate"
	"authserver/internal/certificate/certificatetest"
	"authserver/internal/client"
	"authserver/internal/flow"
	"authserver/internal/oauth"
	"authserver/internal/replay"
	"authserver/internal/token"

	oracle "github.com/go-jose/go-jose/v4"
)

// What a request shows besides its grant.
const (
	nothing = iota
	aProof
	aCertificate
	both
)

// wire is the bench's endpoint behind a TLS listener that asks for a certificate, and an authority that vouches for clients.
type wire struct {
	*bench
	root *certificatetest.Authority
}

func newWire(t *testing.T, edits ...func(*bench)) *wire {
	t.Helper()
	w := &wire{newBench(t, edits...), certificatetest.NewAuthority(t)}
	anchors, err := certificate.ParseAuthorities(w.root.PEM())
	if err != nil {
		t.Fatal(err)
	}
	w.endpoint.Clients.Anchors = anchors
	return w
}

// showing has requests go over connections with the certificate; nil: without one.
func (w *wire) showing(c *tls.Certificate) {
	w.t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		resp, _ := w.RoundTrip(r)
		maps.Copy(out.Header(), resp.Header)
		out.WriteHeader(resp.StatusCode)
		_, _ = io.Copy(out, resp.Body)
	}))
	s.TLS = &tls.Config{ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS12}
	s.StartTLS()
	w.t.Cleanup(s.Close)
	config := &tls.Config{RootCAs: x509.NewCertPool(), ServerName: "example.com", MinVersion: tls.VersionTLS12}
	config.RootCAs.AddCert(s.Certificate())
	if c != nil {
		config.Certificates = []tls.Certificate{*c}
	}
	transport := &http.Transport{TLSClientConfig: config, DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, s.Listener.Addr().String())
	}}
	w.t.Cleanup(transport.CloseIdleConnections)
	w.Server.HTTP = &http.Client{Transport: transport}
}

// register has the client prove itself by a method; by a certificate, if need be, of the name kim.
func (w *wire) register(method string, c tls.Certificate) {
	w.t.Helper()
	m := &w.registry.client.Metadata
	switch m.TokenEndpointAuthMethod = method; method {
	case client.TLSClientAuth:
		m.TLSClientAuthSubjectDN = "CN=kim"
	case client.SelfSignedTLSClientAuth:
		raw, err := json.Marshal(oracle.JSONWebKey{Key: c.Leaf.PublicKey})
		if err != nil {
			w.t.Fatal(err)
		}
		var jwk map[string]any
		if err := json.Unmarshal(raw, &jwk); err != nil {
			w.t.Fatal(err)
		}
		jwk["x5c"] = []string{base64.StdEncoding.EncodeToString(c.Leaf.Raw)}
		if m.JWKS, err = json.Marshal(map[string]any{"keys": []any{jwk}}); err != nil {
			w.t.Fatal(err)
		}
	}
}

// by makes a request one of the method's, with a proof or without.
func by(method string, proves bool, r *flow.Request) *flow.Request {
	if method != client.PrivateKeyJWT {
		r.Assertion = nil
		r.Form.Set("client_id", "c1")
	}
	if !proves {
		r.Proof = nil
	}
	return r
}

// TestEveryBinding (MTLS-01, MTLS-03, MTLS-04, TOK-03, TOK-05, DP-05, DP-47, DP-48, TL-01, TL-09): whichever way a client proves
// itself, its tokens are bound to what it registered, else to what it shows, a proof before a certificate, and to nothing more.
func TestEveryBinding(t *testing.T) {
	const unproven, noProof, noCertificate = oauth.ClientAuthMissing, oauth.ProofMissing, oauth.CertificateMissing
	grantTypes := map[string]request{
		"client_credentials": func(b *bench) *flow.Request { return b.TokenRequest(nil) }, "code": redeem(), "refresh": refreshing(),
	}
	for _, test := range []struct {
		method     string
		registered string
		want       [4]oauth.Reason // for what it shows; jkt and x5t#S256 are no reasons, but what the token is bound to
	}{
		{client.PrivateKeyJWT, "nothing", [4]oauth.Reason{noProof, "jkt", "x5t#S256", "jkt"}},
		{client.PrivateKeyJWT, "DPoP", [4]oauth.Reason{noProof, "jkt", noProof, "jkt"}},
		{client.PrivateKeyJWT, "certificate", [4]oauth.Reason{noCertificate, noCertificate, "x5t#S256", "x5t#S256"}},
		{client.PrivateKeyJWT, "both", [4]oauth.Reason{noProof, "jkt", noProof, "jkt"}},
		{client.TLSClientAuth, "nothing", [4]oauth.Reason{unproven, unproven, "x5t#S256", "jkt"}},
		{client.TLSClientAuth, "DPoP", [4]oauth.Reason{unproven, unproven, noProof, "jkt"}},
		{client.TLSClientAuth, "certificate", [4]oauth.Reason{unproven, unproven, "x5t#S256", "x5t#S256"}},
		{client.TLSClientAuth, "both", [4]oauth.Reason{unproven, unproven, noProof, "jkt"}},
		{client.SelfSignedTLSClientAuth, "nothing", [4]oauth.Reason{unproven, unproven, "x5t#S256", "jkt"}},
		{client.SelfSignedTLSClientAuth, "DPoP", [4]oauth.Reason{unproven, unproven, noProof, "jkt"}},
		{client.SelfSignedTLSClientAuth, "certificate", [4]oauth.Reason{unproven, unproven, "x5t#S256", "x5t#S256"}},
		{client.SelfSignedTLSClientAuth, "both", [4]oauth.Reason{unproven, unproven, noProof, "jkt"}},
	} {
		for shows, want := range test.want {
			t.Run(test.method+", registered "+test.registered+", shows "+[]string{"nothing", "a proof", "a certificate", "both"}[shows], func(t *testing.T) {
				w := newWire(t)
				shown := w.root.Issue(t, certificatetest.Named("kim"))
				if test.method == client.SelfSignedTLSClientAuth {
					shown = certificatetest.SelfSigned(t)
				}
				w.register(test.method, shown)
				m := &w.registry.client.Metadata
				m.DPoPBoundAccessTokens = test.registered == "DPoP" || test.registered == "both"
				m.CertificateBoundTokens = test.registered == "certificate" || test.registered == "both"
				if w.showing(nil); shows == aCertificate || shows == both {
					w.showing(&shown)
				}
				for name, ask := range grantTypes {
					w.registry.spends, w.grants.asked = nil, 0
					r := by(test.method, shows == aProof || shows == both, ask(w.bench))
					if want != "jkt" && want != "x5t#S256" {
						w.refusedOver(r, want)
						continue
					}
					w.boundTo(name, r, string(want), shown)
				}
			})
		}
	}
}

// refusedOver sends a request that must be refused before anything is touched.
func (w *wire) refusedOver(r *flow.Request, want oauth.Reason) {
	w.t.Helper()
	e := w.send(r)
	x, _ := oauth.Explain(want)
	if w.refusal == nil || w.refusal.Reason != want || e.ErrorCode() != string(x.Code) || e.Status != w.refusal.Status() || e.JSON()["access_token"] != nil {
		w.t.Errorf("%s: %v, want %s", e.Outcome(), w.refusal, want)
	}
	if w.spentNothing(); w.grants.asked > 0 {
		w.t.Error("the grant was touched")
	}
}

// boundTo sends a request that must give a token that is bound so, and spend what it bore and no more.
func (w *wire) boundTo(name string, r *flow.Request, to string, shown tls.Certificate) {
	w.t.Helper()
	answer, says := w.granted(r)
	var kinds []replay.Kind
	for _, use := range w.registry.spends[0].Uses {
		kinds = append(kinds, use.Kind)
	}
	var want []replay.Kind
	if r.Assertion != nil {
		want = append(want, replay.Assertion)
	}
	if r.Form.Get("grant_type") == token.JWTBearer {
		want = append(want, replay.AssertionGrant)
	}
	tokenType, jkt, x5t := "Bearer", "", certificate.Certificate{Leaf: shown.Leaf}.Thumbprint()
	if to == "jkt" {
		want, tokenType, jkt, x5t = append(want, replay.Proof), "DPoP", w.DPoPKey.Thumbprint(), ""
	}
	if says.Confirmation.JKT != jkt || says.Confirmation.X5T != x5t || answer["token_type"] != tokenType {
		w.t.Errorf("%s: %v, bound to %+v", name, answer["token_type"], says.Confirmation)
	}
	if !slices.Equal(kinds, want) || len(w.registry.spends) != 1 || w.registry.spends[0].ClientVersion != 7 {
		w.t.Errorf("%s: spent %v in %d spends, want %v", name, kinds, len(w.registry.spends), want)
	}
	if name == "code" && w.grants.attempt.JKT != jkt {
		w.t.Errorf("the code was redeemed with the key %q", w.grants.attempt.JKT)
	}
}

// TestNewCertificate (TL-07): a client's next token is bound to the certificate that it shows then, if that may stand for it.
func TestNewCertificate(t *testing.T) {
	for _, method := range []string{client.PrivateKeyJWT, client.TLSClientAuth, client.SelfSignedTLSClientAuth} {
		t.Run(method, func(t *testing.T) {
			w := newWire(t)
			first := w.root.Issue(t, certificatetest.Named("kim"))
			if method == client.SelfSignedTLSClientAuth {
				first = certificatetest.SelfSigned(t)
			}
			w.register(method, first)
			w.registry.client.Metadata.CertificateBoundTokens = true
			w.showing(&first)
			w.boundTo("refresh", by(method, false, w.refreshing()), "x5t#S256", first)

			renewed, strangers := w.root.Issue(t, certificatetest.Named("kim")), certificatetest.SelfSigned(t, certificatetest.Named("kim"))
			for name, test := range map[string]struct {
				shown tls.Certificate
				want  bool
			}{
				"TL-07 another certificate of the name": {renewed, method != client.SelfSignedTLSClientAuth},
				"TL-07 one that proves nobody":          {strangers, method == client.PrivateKeyJWT},
			} {
				w.registry.spends, w.grants.asked = nil, 0
				w.showing(&test.shown)
				if r := by(method, false, w.refreshing()); test.want {
					w.boundTo(name, r, "x5t#S256", test.shown)
				} else {
					w.refusedOver(r, oauth.ClientNotProven)
				}
			}
			expired := w.root.Issue(t, certificatetest.Named("kim"), func(c *x509.Certificate) { c.NotAfter = noon.Add(-time.Minute) })
			w.registry.spends, w.grants.asked = nil, 0
			w.showing(&expired)
			w.refusedOver(by(method, false, w.refreshing()), oauth.CertificateRefused)
		})
	}
}

// TestBindingRefusedByAnOldRecord: what the client registered a moment ago counts, at this replica too.
func TestBindingRefusedByAnOldRecord(t *testing.T) {
	w := newWire(t)
	shown := w.root.Issue(t)
	w.showing(&shown)
	w.boundTo("refresh", by(client.PrivateKeyJWT, false, w.refreshing()), "x5t#S256", shown)
	change := func(edit func(*client.Metadata)) {
		edit(&w.registry.client.Metadata)
		w.registry.client.Version++
	}
	change(func(m *client.Metadata) { m.DPoPBoundAccessTokens = true })
	w.registry.spends = nil
	if e := w.send(by(client.PrivateKeyJWT, false, w.refreshing())); e.ErrorCode() != "invalid_request" || w.refusal.Reason != oauth.ProofMissing {
		t.Errorf("bound to a certificate all the same: %s", e.Outcome())
	}
	change(func(m *client.Metadata) { m.DPoPBoundAccessTokens, m.CertificateBoundTokens = false, true })
	w.showing(nil)
	if e := w.send(w.refreshing()); w.refusal == nil || w.refusal.Reason != oauth.CertificateMissing {
		t.Errorf("bound to a proof all the same: %s", e.Outcome())
	}
	change(func(m *client.Metadata) { m.CertificateBoundTokens = false })
	if _, says := w.granted(w.refreshing()); says.Confirmation.JKT == "" {
		t.Errorf("bound to %+v", says.Confirmation)
	}
}

// TestMutualTLSNotOffered: the refusal of a request that shows nothing names a certificate only where one can be shown.
func TestMutualTLSNotOffered(t *testing.T) {
	for offered, want := range map[bool]string{
		true:  "tokens are bound to a key: a DPoP header with a proof is needed, or a connection with a client certificate",
		false: "a DPoP header with a proof for https://as.example/oauth2/token is needed",
	} {
		w := newWire(t)
		if !offered {
			w.endpoint.Clients.Anchors = nil
		}
		if e := w.refused(by(client.PrivateKeyJWT, false, w.TokenRequest(nil)), oauth.ProofMissing); e.ErrorDescription() != want {
			t.Errorf("offered %v: %s", offered, e.ErrorDescription())
		}
	}
}

// TestUnboundShowsACertificate: a client that may have unbound tokens gets a bound one as soon as it shows a key.
func TestUnboundShowsACertificate(t *testing.T) {
	w := newWire(t, func(b *bench) { b.registry.client.Unbound = true })
	shown := w.root.Issue(t)
	w.showing(&shown)
	w.boundTo("client_credentials", by(client.PrivateKeyJWT, false, w.TokenRequest(nil)), "x5t#S256", shown)
}

// TestCertifiedLifetime (TOK-06): beyond 15 minutes lives only a token in the client's own name that is bound to its
// certificate.
func TestCertifiedLifetime(t *testing.T) {
	for name, test := range map[string]struct {
		set        time.Duration // by the operator
		ask        request
		proves     bool
		shows      bool
		want       int64
		mayBeNaked bool
	}{
		"seed 003: its own, by certificate":   {time.Hour, func(b *bench) *flow.Request { return b.TokenRequest(nil) }, false, true, 3600, false},
		"901 s":                               {901 * time.Second, func(b *bench) *flow.Request { return b.TokenRequest(nil) }, false, true, 901, false},
		"the server's own, by certificate":    {0, func(b *bench) *flow.Request { return b.TokenRequest(nil) }, false, true, 300, false},
		"a short one, by certificate":         {time.Minute, func(b *bench) *flow.Request { return b.TokenRequest(nil) }, false, true, 60, false},
		"its own, by proof":                   {time.Hour, func(b *bench) *flow.Request { return b.TokenRequest(nil) }, true, true, 900, false},
		"its own, unbound":                    {time.Hour, func(b *bench) *flow.Request { return b.TokenRequest(nil) }, false, false, 900, true},
		"15 minutes, by proof":                {15 * time.Minute, func(b *bench) *flow.Request { return b.TokenRequest(nil) }, true, false, 900, false},
		"a person's, by certificate":          {time.Hour, refreshing(), false, true, 900, false},
		"a person's, by proof":                {time.Hour, refreshing(), true, false, 900, false},
		"a person's, by code and certificate": {time.Hour, redeem(), false, true, 900, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWire(t, func(b *bench) { b.registry.client.TokenLifetime, b.registry.client.Unbound = test.set, test.mayBeNaked })
			if shown := w.root.Issue(t); test.shows {
				w.showing(&shown)
			}
			answer, says := w.granted(by(client.PrivateKeyJWT, test.proves, test.ask(w.bench)))
			if fmt.Sprint(answer["expires_in"]) != fmt.Sprint(test.want) || says.ExpiresAt-says.IssuedAt != test.want {
				t.Errorf("%v s, want %v s", answer["expires_in"], test.want)
			}
			if a := w.grants.attempt; a.ClientID != "" && a.Lifetime > client.MaxTokenLifetime {
				t.Errorf("the code is redeemed for %s", a.Lifetime)
			}
		})
	}
}
