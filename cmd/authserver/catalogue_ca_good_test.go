package main

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"strconv"
	"testing"
	"time"

	"authserver/internal/flow"
)

// goodAssertions are the accept controls: a server that refuses everything fails here.
func goodAssertions() []attack {
	ordinary := func(edits func(d *deployment) []flow.Edit) func(*testing.T, *deployment) {
		return func(_ *testing.T, d *deployment) { d.proves(d.register(0), edits(d)...) }
	}
	signedWith := func(alg string, edits ...flow.Edit) func(*testing.T, *deployment) {
		return func(t *testing.T, d *deployment) {
			k := key(t, alg)
			d.proves(d.registered(k, func(m map[string]any) { m["token_endpoint_auth_signing_alg"] = alg }), edits...)
		}
	}
	return []attack{
		{"CA-01", ordinary(func(d *deployment) []flow.Edit {
			t0 := d.clock.now().Unix()
			return []flow.Edit{flow.SetClaim("iat", t0), flow.SetClaim("exp", t0+60), flow.SetClaim("aud", d.issuer)}
		})},
		{"CA-02", signedWith("PS256")},
		{"CA-03", identityFromSubject},
		{"CA-04", ordinary(func(d *deployment) []flow.Edit {
			soon := d.clock.now().Unix() + 8
			return []flow.Edit{flow.SetClaim("iat", soon), flow.SetClaim("nbf", soon)}
		})},
		{"CA-05", ordinary(func(d *deployment) []flow.Edit {
			t0 := d.clock.now().Unix()
			return []flow.Edit{flow.SetHeader("typ", "JWT"), flow.SetClaim("nbf", t0-120), flow.SetClaim("exp", t0+120)}
		})},
		{"CA-64", longKey},
		{"CA-65", func(t *testing.T, d *deployment) {
			signedWith("EdDSA")(t, d)
			signedWith("EdDSA", flow.SignAs("Ed25519"))(t, d) // RFC 9864 §2.2
		}},
		{"CA-66", ordinary(func(*deployment) []flow.Edit { return fortyClaims() })},
		{"CA-67", func(_ *testing.T, d *deployment) {
			c := d.register(0)
			d.proves(c, flow.SetClaim("iat", json.RawMessage("1732220000.5")))
			d.proves(c, flow.SetClaim("iat", json.RawMessage(strconv.FormatInt(d.clock.now().Unix(), 10)+".25")))
		}},
	}
}

func identityFromSubject(_ *testing.T, d *deployment) {
	c := d.register(0)
	r := c.TokenRequest(nil)
	r.Form.Del("client_id")
	d.checkHolder(d.expect(c, r, "200"), c)
	for _, r := range []*flow.Request{c.IntrospectRequest("unknown"), c.RevokeRequest("unknown")} {
		r.Form.Del("client_id")
		d.expect(c, r, "200")
	}
}

func longKey(t *testing.T, d *deployment) {
	private, err := rsa.GenerateKey(rand.Reader, 3072)
	if err != nil {
		t.Fatal(err)
	}
	k := &flow.Key{ID: "three thousand bits", Alg: "PS256", Signer: private}
	c := d.registered(k, withKeys(k.PublicJWK()))
	exp := d.clock.now().Add(15*time.Minute - time.Second).Unix()
	d.proves(c, flow.DropHeader("typ"), flow.SetClaim("exp", exp))
}

func fortyClaims() []flow.Edit {
	edits := []flow.Edit{flow.SetClaim("urn:example:nested", map[string]any{"a": map[string]any{"b": []int{1, 2}}})}
	for i := range 39 {
		edits = append(edits, flow.SetClaim("urn:example:"+strconv.Itoa(i), i))
	}
	return edits
}
