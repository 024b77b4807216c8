package main

import (
	"bytes"
	"compress/flate"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"strings"
	"testing"
	"time"

	"authserver/internal/flow"
	"authserver/internal/oauth"

	gojose "github.com/go-jose/go-jose/v4"
)

// attacksOnObjects are the cases about request objects (RFC 9101), each played by a client that may sign its requests and by
// one that must.
func attacksOnObjects() []attack {
	type bent = func(t *testing.T, d *deployment, c *flow.Client) []flow.Compact
	refused := func(id string, why oauth.Reason, objects bent) attack {
		return attack{id, func(t *testing.T, d *deployment) {
			for _, c := range d.signing() {
				d.takesNoObject(t, c, why, objects(t, d, c)...)
			}
		}}
	}
	return []attack{
		refused("PR-24", oauth.RequestObjectAlg, objectsOfOtherAlgs),
		refused("PR-25", oauth.RequestObjectAudience, func(_ *testing.T, d *deployment, c *flow.Client) []flow.Compact {
			return objects(c, flow.DropClaim("aud"), flow.SetClaim("aud", "https://other.example"), flow.SetClaim("aud", ""),
				flow.SetClaim("aud", []string{"https://other.example"}), flow.SetClaim("aud", d.issuer+"/"), flow.SetClaim("aud", c.ID),
				flow.SetClaim("aud", c.Server.Metadata.PushedAuthorizationRequestEndpoint),
				flow.SetClaim("aud", strings.ToUpper(d.issuer)))
		}),
		refused("PR-26", oauth.RequestObjectLifetime, func(_ *testing.T, d *deployment, c *flow.Client) []flow.Compact {
			return objects(c, flow.DropClaim("exp"), d.living(0, 61*time.Minute), d.living(-61*time.Minute, -2*time.Minute),
				d.living(-61*time.Minute, time.Minute), d.living(0, 24*365*time.Hour))
		}),
		{"PR-27", goodObjects},
		refused("PR-28", oauth.RequestObjectClient, func(t *testing.T, d *deployment, c *flow.Client) []flow.Compact {
			other := d.recipient(0)
			return objects(c, flow.SetClaim("iss", other.ID), flow.SetClaim("iss", d.issuer), flow.SetClaim("iss", ""),
				flow.SetClaim("iss", nil), flow.SetClaim("iss", []string{c.ID}))
		}),
		{"PR-29", valuesOutside},
		refused("PR-30", oauth.RequestObjectClient, func(t *testing.T, d *deployment, c *flow.Client) []flow.Compact {
			other := d.recipient(0)
			return objects(c, flow.SetClaim("client_id", other.ID), flow.DropClaim("client_id"),
				flow.SetClaim("client_id", strings.ToUpper(c.ID)+"X"), flow.SetClaim("client_id", []string{c.ID}),
				func(draft *flow.Draft) { draft.Claims["iss"], draft.Claims["client_id"] = other.ID, other.ID })
		}),
		refused("PR-31", oauth.RequestObjectNested, func(t *testing.T, d *deployment, c *flow.Client) []flow.Compact {
			within := compact(t, c.RequestObject(pushable()))
			return objects(c, flow.SetClaim("request", within), flow.SetClaim("request_uri", "https://evil.example/ro"),
				flow.SetClaim("request_uri", ask(t, d.recipient(0)).uri), flow.SetClaim("request", nil))
		}),
		{"PR-32", objectsAsAssertions},
		refused("PR-42", oauth.RequestObjectEncrypted, encryptedObjects),
		{"KY-06", bombs},
	}
}

// signing are two clients that sign their requests with PS256: one may, and the other one must.
func (d *deployment) signing() (clients []*flow.Client) {
	d.t.Helper()
	k := key(d.t, "PS256")
	for _, must := range []bool{false, true} {
		clients = append(clients, d.registered(k, func(m map[string]any) {
			recipient(m)
			m["require_signed_request_object"] = must
		}))
	}
	return clients
}

// objects are good requests, each bent once.
func objects(c *flow.Client, edits ...flow.Edit) (all []flow.Compact) {
	for _, edit := range edits {
		all = append(all, c.RequestObject(pushable(), edit))
	}
	return all
}

// living gives an object its nbf and exp, as from now.
func (d *deployment) living(nbf, exp time.Duration) flow.Edit {
	now := d.clock.now()
	return func(draft *flow.Draft) {
		draft.Claims["nbf"], draft.Claims["exp"] = now.Add(nbf).Unix(), now.Add(exp).Unix()
	}
}

// takesNoObject wants the objects refused, at one replica after the other, and that this used nothing up and stored nothing:
// assertion and proof are then good for a request_uri (G10).
func (d *deployment) takesNoObject(t *testing.T, c *flow.Client, why oauth.Reason, objects ...flow.Compact) {
	t.Helper()
	clients, before := d.everywhere(c), d.pushed(t)
	for i, object := range objects {
		at := clients[i%len(clients)]
		refused, good := at.SignedPushRequest(pushable()), at.SignedPushRequest(pushable())
		refused.RequestObject = object
		refused.Assertion, refused.Proof = flow.Literal(compact(t, at.Assertion())), flow.Literal(compact(t, refused.Proof))
		good.Assertion, good.Proof = refused.Assertion, refused.Proof
		if refusedFor(t, once(t, at, refused), "400 invalid_request_object", why); t.Failed() {
			t.Fatalf("the object was %.300s", compact(t, object))
		}
		outcome(t, once(t, at, good), "201")
	}
	if stored := d.pushed(t) - before; stored != len(objects) {
		t.Errorf("%d refused and %d good pushes stored %d requests", len(objects), len(objects), stored)
	}
}

// asObject makes a push a signed one: what stood in its form goes into the object.
func asObject(c *flow.Client, edits ...flow.Edit) func(*flow.Request) {
	return func(r *flow.Request) {
		signed := c.SignedPushRequest(r.Form, edits...)
		r.Form, r.RequestObject = signed.Form, signed.RequestObject
	}
}

// objectsOfOtherAlgs: PR-24. The key is the client's own, for HS256 as it is published.
func objectsOfOtherAlgs(t *testing.T, _ *deployment, c *flow.Client) []flow.Compact {
	all := objects(c, flow.SignAs("RS256"), flow.SetHeader("alg", "RS256"), flow.SetHeader("alg", "PS384"),
		flow.SetHeader("alg", "none"), flow.SetHeader("alg", "None"), flow.DropHeader("alg"))
	all = append(all, altered(c.RequestObject(pushable(), flow.SignAs("none")), func(s string) string { return s + "AA" }))
	der, err := x509.MarshalPKIXPublicKey(c.Key.Signer.Public())
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range [][]byte{der, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})} {
		all = append(all, altered(c.RequestObject(pushable(), flow.SetHeader("alg", "HS256")), func(s string) string {
			input := s[:strings.LastIndexByte(s, '.')]
			mac := hmac.New(sha256.New, secret)
			mac.Write([]byte(input))
			return input + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
		}))
	}
	return all
}

// goodObjects: PR-27, with what real clients leave out and spell in their own way.
func goodObjects(t *testing.T, d *deployment) {
	for _, c := range d.signing() {
		for i, edits := range [][]flow.Edit{
			{d.living(-time.Minute, 58*time.Minute), flow.SetHeader("typ", "oauth-authz-req+jwt")},
			{d.living(-time.Minute, 58*time.Minute), flow.DropHeader("typ")}, {d.living(8*time.Second, time.Minute)},
			{flow.DropHeader("kid"), flow.SetHeader("typ", "JWT")}, {flow.SetHeader("typ", "OAUTH-AUTHZ-REQ+JWT")},
			{flow.SetClaim("aud", []string{"https://other.example", d.issuer})},
			{flow.DropClaim("iss"), flow.DropClaim("jti"), flow.DropClaim("iat")},
		} {
			at := d.at(c, i%3)
			a := askWith(t, at, asObject(at, edits...))
			if i == 0 {
				a.redeem(a.code())
			}
		}
	}
}

// valuesOutside: PR-29. Nobody signed them.
func valuesOutside(t *testing.T, d *deployment) {
	for _, c := range d.signing() {
		outside := func(edits ...flow.Edit) func(*flow.Request) {
			return func(r *flow.Request) {
				asObject(c, edits...)(r)
				for name, value := range map[string]string{"redirect_uri": callback + "?dummy1=lorem&dummy2=ipsum",
					"scope": "fdx:transactions:read", "state": "outside", "nonce": "outside", "code_challenge": flow.NewPKCE().Challenge, "response_mode": "fragment",
					"dpop_jkt": strings.Repeat("A", 43), "prompt": "none", "authorization_details": "[]"} {
					r.Form.Set(name, value)
				}
			}
		}
		a := askWith(t, c, outside())
		if token := a.redeem(a.code()); token.Scope != "fdx:accountbasic:read" {
			t.Errorf("scope %s", token.Scope)
		}
		a = askWith(t, c, outside(flow.DropClaim("state")), bend("state"))
		a.redeem(a.code()) // without a state
		before := d.pushed(t)
		for _, name := range []string{"redirect_uri", "response_type", "code_challenge", "scope"} {
			r := c.SignedPushRequest(pushable(), flow.DropClaim(name))
			r.Form.Set(name, pushable().Get(name))
			refusedFor(t, do(t, c.Server, r), "400 invalid_request", oauth.ParameterMissing)
		}
		if n := d.pushed(t); n != before {
			t.Errorf("%d requests were stored", n-before)
		}
	}
}

// objectsAsAssertions: PR-32. What a client signed as one does not pass as the other, nor as both at once.
func objectsAsAssertions(t *testing.T, d *deployment) {
	for _, c := range d.signing() {
		d.doesNotProve(c, oauth.AssertionTyp, c.RequestObject(pushable()))
		d.doesNotProve(c, oauth.AssertionSubject, c.RequestObject(pushable(), flow.DropHeader("typ")))
		d.doesNotProve(c, oauth.AssertionTyp, // also of a client that says in it who it is, as in an assertion
			c.RequestObject(pushable(), flow.DropHeader("typ"), flow.SetClaim("sub", c.ID)),
			c.RequestObject(pushable(), flow.SetHeader("typ", "JWT"), flow.SetClaim("sub", c.ID)))
		d.takesNoObject(t, c, oauth.RequestObjectClient, c.Assertion(), c.Assertion(flow.SetClaim("client_id", c.ID)))
		before := d.pushed(t)
		for _, edits := range [][]flow.Edit{
			{flow.SetHeader("typ", "JWT")}, {flow.SetHeader("typ", "JWT"), flow.SetClaim("sub", c.ID)},
		} {
			both := flow.Literal(compact(t, c.RequestObject(pushable(), edits...)))
			r := c.SignedPushRequest(nil)
			r.Assertion, r.RequestObject = both, both
			outcome(t, do(t, c.Server, r), "401 invalid_client")
		}
		if n := d.pushed(t); n != before {
			t.Errorf("%d requests were stored", n-before)
		}
	}
}

// encryptedObjects: PR-42, of a good object and of its claims alone, for the server's own key and for none.
func encryptedObjects(t *testing.T, _ *deployment, c *flow.Client) (all []flow.Compact) {
	wraps := []gojose.Recipient{{Algorithm: gojose.DIRECT, Key: make([]byte, 32)},
		{Algorithm: gojose.PBES2_HS256_A128KW, Key: "password", PBES2Count: 1000}}
	keys, err := c.Server.Keys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range keys {
		if public, err := k.PublicKey(); err == nil && k.Kty == "RSA" {
			wraps = append(wraps, gojose.Recipient{Algorithm: gojose.RSA1_5, Key: public, KeyID: k.Kid},
				gojose.Recipient{Algorithm: gojose.RSA_OAEP, Key: public, KeyID: k.Kid})
		}
	}
	if len(wraps) != 4 {
		t.Fatalf("%d wraps: the server publishes another number of RSA keys", len(wraps))
	}
	good := compact(t, c.RequestObject(pushable()))
	claims, err := base64.RawURLEncoding.DecodeString(strings.Split(good, ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	for _, recipient := range wraps {
		for _, text := range []string{good, string(claims)} {
			encrypter, err := gojose.NewEncrypter(gojose.A256GCM, recipient, (&gojose.EncrypterOptions{}).WithContentType("JWT"))
			if err != nil {
				t.Fatal(err)
			}
			jwe, err := encrypter.Encrypt([]byte(text))
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, jwe.CompactSerialize)
		}
	}
	return all
}

// bombs: KY-06. Nothing is inflated, and no password is stretched.
func bombs(t *testing.T, d *deployment) {
	b64 := base64.RawURLEncoding.EncodeToString
	var deflated bytes.Buffer
	w, err := flate.NewWriter(&deflated, flate.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(make([]byte, 24<<20)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	zipped := b64(deflated.Bytes())
	jwe := func(header, key string) flow.Compact {
		parts := []string{b64([]byte(header)), key, b64(make([]byte, 12)), zipped, b64(make([]byte, 16))}
		return flow.Literal(strings.Join(parts, "."))
	}
	for _, c := range d.signing() {
		for _, object := range []flow.Compact{
			jwe(`{"alg":"dir","enc":"A256GCM","zip":"DEF"}`, ""),
			jwe(`{"alg":"PBES2-HS512+A256KW","enc":"A256GCM","p2c":1000000000,"p2s":"AAAAAAAAAAAAAAAAAAAAAA"}`,
				b64(make([]byte, 40))),
		} {
			r := c.SignedPushRequest(nil)
			r.RequestObject = object
			allocates(t, 8<<20, func() {
				refusedFor(t, do(t, c.Server, r), "400 invalid_request_object", oauth.RequestObjectEncrypted)
			})
		}
		r := c.SignedPushRequest(nil)
		r.RequestObject = altered(c.RequestObject(pushable(), flow.SetHeader("zip", "DEF")), func(s string) string {
			parts := strings.Split(s, ".")
			return parts[0] + "." + zipped + "." + parts[2]
		})
		allocates(t, 8<<20, func() {
			refusedFor(t, do(t, c.Server, r), "400 invalid_request_object", oauth.RequestObjectMalformed)
		})
		huge := strings.Repeat("A", 5<<20)
		r.RequestObject = flow.Literal(huge)
		refusedFor(t, do(t, c.Server, r), "413 invalid_request", oauth.BodyTooLarge)
	}
}
