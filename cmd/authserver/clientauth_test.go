package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"math/big"
	"strings"
	"testing"

	"authserver/internal/flow"
	"authserver/internal/oauth"

	"github.com/google/go-cmp/cmp"
)

// endpoints are the three at which a client authenticates, each with a good request.
func endpoints(c *flow.Client) map[string]*flow.Request {
	return map[string]*flow.Request{"token": c.TokenRequest(nil), "introspect": c.IntrospectRequest("unknown"), "revoke": c.RevokeRequest("unknown")}
}

// forge signs a client's assertion in a way that flow cannot, and says alg in its header.
func forge(c *flow.Client, alg string, sign func(input string) []byte) flow.Compact {
	return func() (string, error) {
		good, err := c.Assertion(flow.SetHeader("alg", alg))()
		input := good[:strings.LastIndexByte(good, '.')]
		return input + "." + base64.RawURLEncoding.EncodeToString(sign(input)), err
	}
}

// altered changes a compact JWS after it was signed.
func altered(c flow.Compact, change func(string) string) flow.Compact {
	return func() (string, error) {
		good, err := c()
		return change(good), err
	}
}

// payload signs other bytes than the claims of a client's assertion.
func payload(c *flow.Client, change func(claims string) string) flow.Compact {
	return func() (string, error) {
		good, err := c.Assertion()()
		if err != nil {
			return "", err
		}
		parts := strings.Split(good, ".")
		header, _ := base64.RawURLEncoding.DecodeString(parts[0])
		claims, _ := base64.RawURLEncoding.DecodeString(parts[1])
		return flow.SignBytes(c.Key, c.Key.Alg, header, []byte(change(string(claims))))
	}
}

// callers are the clients of these tests.
type callers struct {
	d                                  *deployment
	ec, rsa, pinned, two, ed, big, fun *flow.Client
	p384                               *ecdsa.PrivateKey
}

// newCallers registers a client for each kind of key set.
func newCallers(t *testing.T) callers {
	t.Helper()
	d := deploy(t, 1, nil)
	s := d.server(0)
	register := func(signer *flow.Key, alg string, keys ...any) *flow.Client {
		m := metadata(signer, func(m map[string]any) {
			m["jwks"] = map[string]any{"keys": keys}
			if alg != "" {
				m["token_endpoint_auth_signing_alg"] = alg
			}
		})
		c, err := s.Register(t.Context(), s.RegisterRequest(m), signer, key(t, "ES256"))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	ec, second, rsaKey, ed := key(t, "ES256"), key(t, "ES256"), key(t, "PS256"), key(t, "EdDSA")
	long, err := rsa.GenerateKey(rand.Reader, 3072)
	if err != nil {
		t.Fatal(err)
	}
	big := &flow.Key{ID: "three thousand bits", Alg: "PS256", Signer: long}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	point, err := p384.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	odd := map[string]any{"kty": "EC", "crv": "P-384", "kid": "odd", "alg": "ES384", "use": "sig",
		"x": base64.RawURLEncoding.EncodeToString(point[1:49]), "y": base64.RawURLEncoding.EncodeToString(point[49:])}
	return callers{
		d: d, p384: p384,
		ec:     register(ec, "", ec.PublicJWK()),
		rsa:    register(rsaKey, "", rsaKey.PublicJWK()),
		pinned: register(rsaKey, "PS256", rsaKey.PublicJWK(), ec.PublicJWK()),
		two:    register(second, "ES256", ec.PublicJWK(), second.PublicJWK()),
		ed:     register(ed, "EdDSA", ed.PublicJWK()),
		big:    register(big, "", big.PublicJWK()),
		fun:    register(ec, "", odd, ec.PublicJWK()),
	}
}

// authCase is a request that authenticates in its own way, and what all three endpoints answer.
type authCase struct {
	id     string
	client *flow.Client
	bend   func(r *flow.Request)
	want   []string
}

var (
	proven     = []string{"200"}
	notProven  = []string{"401 invalid_client"}
	malformed  = []string{"400 invalid_request"}
	eitherWay  = []string{"400 invalid_request", "401 invalid_client"}
	kelvin     = string(rune(0x212a)) // folds to k
	cyrillicES = string(rune(0x0441)) // looks like c
)

func TestClientAuthentication(t *testing.T) {
	w := newCallers(t)
	cases := append(append(w.accepted(), w.algorithms(t)...), append(w.claims(), append(w.shapes(t), w.forms()...)...)...)
	for _, test := range cases {
		for name := range endpoints(w.ec) {
			t.Run(test.id+" "+name, func(t *testing.T) {
				r := endpoints(test.client)[name]
				test.bend(r)
				outcome(t, do(t, test.client.Server, r), test.want...)
			})
		}
	}
	for name, r := range endpoints(w.ec) { // G9: after all that the next good request succeeds
		if e := do(t, w.ec.Server, r); e.Status != 200 {
			t.Errorf("%s afterwards: %s", name, e.Outcome())
		}
	}
}

// CA-56: an ES256 signature has a twin, (r, n-s), that verifies as well. It is the same assertion and is not used twice.
func TestMalleatedSignature(t *testing.T) {
	d := deploy(t, 1, nil)
	c := d.register(0)
	for name := range endpoints(c) {
		t.Run("CA-56 "+name, func(t *testing.T) {
			assertion := compact(t, c.Assertion())
			twin := nMinusS(t, assertion)
			first, second := endpoints(c)[name], endpoints(c)[name]
			first.Assertion, second.Assertion = flow.Literal(assertion), flow.Literal(twin)
			outcome(t, do(t, c.Server, first), "200")
			refusedFor(t, do(t, c.Server, second), "401 invalid_client", oauth.AssertionReplayed)
		})
	}
}

func nMinusS(t *testing.T, compact string) string {
	t.Helper()
	cut := strings.LastIndexByte(compact, '.') + 1
	signature, err := base64.RawURLEncoding.DecodeString(compact[cut:])
	if err != nil || len(signature) != 64 {
		t.Fatal(err, len(signature))
	}
	s := new(big.Int).SetBytes(signature[32:])
	s.Sub(elliptic.P256().Params().N, s).FillBytes(signature[32:])
	return compact[:cut] + base64.RawURLEncoding.EncodeToString(signature)
}

// CA-61: before a client is proven, what depends on the records is answered alike.
func TestClientEnumeration(t *testing.T) {
	d := deploy(t, 1, nil)
	known, deleted := d.register(0), d.register(0)
	outcome(t, do(t, deleted.Server, deleted.ManageRequest("DELETE", nil)), "204")
	unknown := *known
	unknown.ID = strings.Repeat("a", 43)
	stranger := *known
	stranger.Key = key(t, "ES256")
	noKid := known.Assertion(flow.SetHeader("kid", "no such key"))
	var bodies []map[string]any
	for _, r := range []*flow.Request{unknown.TokenRequest(nil), deleted.TokenRequest(nil), stranger.TokenRequest(nil), known.TokenRequest(nil)} {
		if len(bodies) == 3 {
			r.Assertion = noKid
		}
		e := do(t, known.Server, r)
		refusedFor(t, e, "401 invalid_client", oauth.ClientNotProven)
		bodies = append(bodies, e.JSON())
	}
	for _, body := range bodies[1:] {
		if diff := cmp.Diff(bodies[0], body); diff != "" {
			t.Error(diff)
		}
	}
}

// A client that tried the Authorization header is answered with its scheme, and only then (RFC 6749 §5.2).
func TestSecretsDoNotAuthenticate(t *testing.T) {
	d := deploy(t, 1, nil)
	c := d.register(0)
	for name, r := range endpoints(c) {
		r.Assertion = nil
		r.SetHeader("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(c.ID+":secret")))
		e := do(t, c.Server, r)
		refusedFor(t, e, "401 invalid_client", oauth.ClientAuthMethod)
		if got := e.ResponseHeader.Get("WWW-Authenticate"); !strings.HasPrefix(got, "Basic ") {
			t.Errorf("%s: WWW-Authenticate %q", name, got)
		}
		r = endpoints(c)[name]
		r.Assertion = nil
		r.Form.Set("client_secret", "secret")
		refusedFor(t, do(t, c.Server, r), "401 invalid_client", oauth.ClientAuthMethod)
	}
}
