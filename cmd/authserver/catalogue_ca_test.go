package main

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"strings"
	"testing"

	"authserver/internal/flow"
	"authserver/internal/oauth"
)

// attacksOnAssertions are the catalogue's CA. All of them are played at introspection and revocation too, since the three
// endpoints share the state of what was used.
func attacksOnAssertions() []attack {
	return slices.Concat(goodAssertions(), assertionAlgorithms(), assertionClaims(), assertionTimes(), assertionHeaders(),
		assertionShapes(), assertionKeys(), assertionReplays(), assertionForms())
}

// entrance is an endpoint of one replica at which a client authenticates, with a good request for it.
type entrance struct {
	server  *flow.Server
	request *flow.Request
}

// entrances are the three endpoints, and the token endpoint once more without the parameter client_id, at all replicas in
// turn.
func (d *deployment) entrances(c *flow.Client) []entrance {
	d.t.Helper()
	var all []entrance
	for i, request := range []func(c *flow.Client) *flow.Request{
		func(c *flow.Client) *flow.Request { return c.TokenRequest(nil) },
		func(c *flow.Client) *flow.Request { return c.IntrospectRequest("unknown") },
		func(c *flow.Client) *flow.Request { return c.RevokeRequest("unknown") },
		func(c *flow.Client) *flow.Request {
			r := c.TokenRequest(nil)
			r.Form.Del("client_id")
			return r
		},
	} {
		moved := d.at(c, i%len(d.replicas))
		all = append(all, entrance{moved.Server, request(moved)})
	}
	return all
}

// proves wants assertions with these edits to authenticate c at every entrance, and tokens that are c's.
func (d *deployment) proves(c *flow.Client, edits ...flow.Edit) {
	d.t.Helper()
	for _, in := range d.entrances(c) {
		in.request.Assertion = c.Assertion(edits...)
		e := do(d.t, in.server, in.request)
		outcome(d.t, e, "200")
		d.checkHolder(e, c)
	}
}

// checkHolder holds the token of an answer, if it bears one, to the client that it must be for.
func (d *deployment) checkHolder(e *flow.Exchange, c *flow.Client) {
	d.t.Helper()
	for _, token := range e.JWTs {
		if token.Name == "access_token" && (token.Claim("client_id") != c.ID || token.Claim("sub") != c.ID ||
			flow.Confirmation(token.Claims) != c.DPoPKey.Thumbprint()) {
			d.t.Errorf("the token of %s says %v", c.ID, token.Claims)
		}
	}
}

// refuses plays one assertion at every entrance and wants the same refusal everywhere.
func (d *deployment) refuses(c *flow.Client, why oauth.Reason, signed string) {
	d.t.Helper()
	for _, in := range d.entrances(c) {
		in.request.Assertion = flow.Literal(signed)
		refusedFor(d.t, do(d.t, in.server, in.request), "401 invalid_client", why)
	}
	if d.t.Failed() {
		d.t.Fatalf("the assertion was %.400s", signed)
	}
}

// doesNotProve wants each assertion to be refused everywhere and to use nothing up (G10): right afterwards c gets a token
// for a good assertion, with the same jti where the other one had any.
func (d *deployment) doesNotProve(c *flow.Client, why oauth.Reason, assertions ...flow.Compact) {
	d.t.Helper()
	for _, assertion := range assertions {
		signed := compact(d.t, assertion)
		d.refuses(c, why, signed)
		e := d.expect(c, asserting(c, likewise(signed)), "200")
		d.checkHolder(e, c)
	}
}

// likewise gives an assertion the jti of another one.
func likewise(signed string) flow.Edit {
	return func(draft *flow.Draft) {
		if other, err := flow.Decode(signed); err == nil {
			if jti, ok := other.Claims["jti"].(string); ok && jti != "" && len(jti) < 1000 {
				draft.Claims["jti"] = jti
			}
		}
	}
}

// refusesAltered wants what becomes of a good assertion after it was signed to be refused, and the good one to work then.
func (d *deployment) refusesAltered(c *flow.Client, changes ...func(good string) string) {
	d.t.Helper()
	for _, change := range changes {
		good := compact(d.t, c.Assertion())
		d.refuses(c, oauth.AssertionMalformed, change(good))
		d.expect(c, bearing(c, good), "200")
	}
}

// bearing is a token request with an assertion that exists already.
func bearing(c *flow.Client, signed string) *flow.Request {
	r := c.TokenRequest(nil)
	r.Assertion = flow.Literal(signed)
	return r
}

// refusesEach wants each edit by itself to make an assertion of c worthless.
func (d *deployment) refusesEach(c *flow.Client, why oauth.Reason, edits ...flow.Edit) {
	d.t.Helper()
	for _, edit := range edits {
		d.doesNotProve(c, why, c.Assertion(edit))
	}
}

// bentAssertion is a case of edits alone.
func bentAssertion(id string, why oauth.Reason, edits func(d *deployment, c *flow.Client) []flow.Edit) attack {
	return attack{id, func(_ *testing.T, d *deployment) {
		c := d.register(0)
		d.refusesEach(c, why, edits(d, c)...)
	}}
}

// setClaims are edits that each set one claim to one of the values.
func setClaims(name string, values ...any) []flow.Edit {
	var edits []flow.Edit
	for _, value := range values {
		edits = append(edits, flow.SetClaim(name, value))
	}
	return edits
}

// signedBy gives c's assertion a signature that flow would not make.
func signedBy(c *flow.Client, sign func(input string) []byte, edits ...flow.Edit) flow.Compact {
	return altered(c.Assertion(edits...), func(good string) string {
		input := good[:strings.LastIndexByte(good, '.')]
		return input + "." + base64.RawURLEncoding.EncodeToString(sign(input))
	})
}

// respelled signs another spelling of c's header and claims, so that the signature covers what is sent.
func respelled(t *testing.T, c *flow.Client, spell func(header, claims string) string, edits ...flow.Edit) flow.Compact {
	t.Helper()
	return altered(c.Assertion(edits...), func(good string) string {
		segments := strings.Split(good, ".")
		input := spell(segments[0], segments[1])
		if input == segments[0]+"."+segments[1] {
			t.Fatal("the other spelling is the same")
		}
		return input + "." + base64.RawURLEncoding.EncodeToString(rawES256(t, c.Key, input))
	})
}

// rawES256 signs any text with a P-256 key (RFC 7518 §3.4).
func rawES256(t *testing.T, k *flow.Key, input string) []byte {
	t.Helper()
	digest := sha256.Sum256([]byte(input))
	r, s, err := ecdsa.Sign(rand.Reader, k.Signer.(*ecdsa.PrivateKey), digest[:])
	if err != nil {
		t.Fatal(err)
	}
	return slices.Concat(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32)))
}

// registered registers a client that signs with k, under metadata of its own.
func (d *deployment) registered(k *flow.Key, edit func(m map[string]any)) *flow.Client {
	d.t.Helper()
	s := d.server(0)
	c, err := s.Register(d.t.Context(), s.RegisterRequest(metadata(k, edit)), k, key(d.t, "ES256"))
	if err != nil {
		d.t.Fatal(err)
	}
	return c
}

// withKeys replaces the keys of a registration.
func withKeys(keys ...any) func(map[string]any) {
	return func(m map[string]any) { m["jwks"] = map[string]any{"keys": keys} }
}
