package main

import (
	"crypto/ecdsa"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/url"
	"testing"
	"time"

	"authserver/internal/flow"
	"authserver/internal/issuer"
	"authserver/internal/oauth"
	"authserver/internal/token"

	"github.com/google/go-cmp/cmp"
)

// attacksOnIssuers are the cases of the catalogue's CC about assertions as grants (RFC 7523 §2.1).
func attacksOnIssuers() []attack {
	return []attack{
		{"CC-06", issuersOfNobody},
		{"CC-07", grantsReplayed},
		{"CC-08", longGrants},
		{"CC-09", grantsWithoutKey},
		{"CC-10", grantsByMAC},
		{"CC-11", grantsWithoutConsent},
		{"CC-13", grantsForOneself},
	}
}

// withPayments has a scope that assertions may open.
func withPayments(s *settings) { s.Scopes = "payments:read payments:write" }

// gateway is a trusted issuer with its key, and a client that may redeem its assertions.
type gateway struct {
	name   string
	key    *flow.Key
	client *flow.Client
}

// byGrant registers a client for assertions.
func byGrant(m map[string]any) {
	m["grant_types"] = []string{"client_credentials", token.JWTBearer}
	m["scope"] = "payments:read payments:write fdx:accountbasic:read client.read"
}

// seed002Shape is a record in which an assertion alone is worth a Bearer token.
func seed002Shape(i *issuer.Issuer) { i.RequireClientAuthentication, i.RequireBinding = false, false }

// trusting has the operator trust an issuer, by a record of the defaults but for the edits.
func (d *deployment) trusting(edits ...func(*issuer.Issuer)) gateway {
	d.t.Helper()
	g := gateway{"gateway-" + rand.Text(), key(d.t, "ES256"), d.register(0, byGrant)}
	d.trust(g, append([]func(*issuer.Issuer){func(i *issuer.Issuer) {
		i.JWKS = jwksOf(g.key)
		i.Clients, i.Scopes = []string{g.client.ID}, oauth.Scope{"payments:read"}
	}}, edits...)...)
	return g
}

// trust writes a record as it is, whatever an operator's command would say to it.
func (d *deployment) trust(g gateway, edits ...func(*issuer.Issuer)) {
	d.t.Helper()
	i := issuer.New(g.name)
	for _, edit := range edits {
		edit(&i)
	}
	if _, err := d.store.AddIssuers(d.t.Context(), []issuer.Issuer{i}, true, d.clock.now()); err != nil {
		d.t.Fatal(err)
	}
}

func jwksOf(keys ...*flow.Key) json.RawMessage {
	var public []any
	for _, k := range keys {
		public = append(public, k.PublicJWK())
	}
	return json.RawMessage(keySetOf(public...))
}

// signer is the issuer as something that signs: its assertions have the shape of a client's.
func (g gateway) signer() *flow.Client {
	return &flow.Client{Server: g.client.Server, ID: g.name, Key: g.key}
}

// grant is an assertion that is made now.
func (g gateway) grant(edits ...flow.Edit) flow.Compact { return g.signer().Assertion(edits...) }

// by is the request of a client that proves itself and its key.
func (g gateway) by(t testing.TB, c *flow.Client, grant flow.Compact) *flow.Request {
	t.Helper()
	return c.TokenRequest(url.Values{"grant_type": {token.JWTBearer}, "assertion": {compact(t, grant)}})
}

// alone is a request with nothing but an assertion.
func (g gateway) alone(t testing.TB, grant flow.Compact) *flow.Request {
	t.Helper()
	form := url.Values{"grant_type": {token.JWTBearer}, "assertion": {compact(t, grant)}}
	return &flow.Request{Method: http.MethodPost, URL: g.client.Server.Metadata.TokenEndpoint, Form: form}
}

// redeems wants an assertion to be worth a token for a subject at a replica, and nothing else.
func (d *deployment) redeems(g gateway, replica int, subject string, grant flow.Compact) {
	d.t.Helper()
	c := d.at(g.client, replica)
	e := do(d.t, c.Server, g.by(d.t, c, grant))
	boundTo(d.t, e, c.DPoPKey)
	want := map[string]any{"token_type": "DPoP", "scope": "payments:read"}
	if diff := cmp.Diff(want, e.JSON(), except("access_token", "expires_in")); diff != "" {
		d.t.Error(diff)
	}
	if says := issued(e); says.Claim("sub") != subject || says.Claim("client_id") != c.ID {
		d.t.Errorf("the token is for %s by %s, want %s", says.Claim("sub"), says.Claim("client_id"), subject)
	}
}

// refusesGrants wants each assertion refused at every replica, with a client that proves itself and, where the record lets it,
// without one; nothing is used up by it.
func (d *deployment) refusesGrants(g gateway, reason oauth.Reason, all ...flow.Compact) {
	d.t.Helper()
	for _, bad := range all {
		signed := flow.Literal(compact(d.t, bad))
		for i := range d.replicas {
			c := d.at(g.client, i)
			freshNonce(d.t, c)
			r := g.by(d.t, c, signed)
			r.Assertion, r.Proof = flow.Literal(compact(d.t, r.Assertion)), flow.Literal(compact(d.t, r.Proof))
			refusedFor(d.t, once(d.t, c, r), "400 invalid_grant", reason)
			good := c.TokenRequest(nil)
			good.Assertion, good.Proof = r.Assertion, r.Proof
			boundTo(d.t, once(d.t, c, good), c.DPoPKey)
			refusedFor(d.t, do(d.t, c.Server, g.alone(d.t, signed)), "400 invalid_grant", reason)
		}
		if d.t.Failed() {
			d.t.Fatalf("the assertion was %.400s", compact(d.t, signed))
		}
	}
}

// issuersOfNobody: CC-06. An issuer is the one of its whole name, as long as the operator trusts it, and vouches to the clients
// that its record names.
func issuersOfNobody(t *testing.T, d *deployment) {
	g := d.trusting(seed002Shape)
	stranger := g
	stranger.key = key(t, "ES256")
	var names []flow.Compact
	for _, name := range []string{"nobody", g.name + " ", g.name + "/", " " + g.name, g.name[:len(g.name)-1],
		g.name + "\x00", "GATEWAY" + g.name[7:], "%", "'--", "\u2603"} {
		names = append(names, g.grant(flow.SetClaim("iss", name)))
	}
	d.refusesGrants(g, oauth.AssertionGrantNotProven, append(names, stranger.grant(),
		stranger.grant(flow.SetHeader("kid", g.key.ID)))...)
	d.refusesGrants(g, oauth.AssertionGrantParties, g.grant(flow.DropClaim("iss")), g.grant(flow.SetClaim("iss", "")),
		g.grant(flow.SetClaim("iss", 7)),
		g.grant(flow.SetClaim("iss", []string{g.name})), g.grant(flow.SetClaim("iss", nil)))
	other, unregistered := d.register(0, byGrant), d.register(0)
	strict := d.trusting()
	for i := range d.replicas {
		for _, record := range []gateway{g, strict} {
			signed := flow.Literal(compact(t, record.grant()))
			c, out := d.at(other, i), d.at(unregistered, i)
			refusedFor(t, do(t, c.Server, record.by(t, c, signed)), "400 invalid_grant", oauth.AssertionGrantClient)
			refusedFor(t, do(t, out.Server, record.by(t, out, signed)), "400 unauthorized_client", oauth.GrantTypeNotRegistered)
			d.redeems(record, i, record.name, signed)
		}
		refusedFor(t, do(t, d.server(i), strict.alone(t, strict.grant())), "401 invalid_client", oauth.ClientAuthMissing)
	}
	if removed, err := d.store.RemoveIssuer(t.Context(), g.name); err != nil || !removed {
		t.Fatal(removed, err)
	}
	d.refusesGrants(g, oauth.AssertionGrantNotProven, g.grant())
}

// grantsReplayed: CC-07. An assertion is good once, at all replicas together: by its jti, or else by what was signed, of which
// an ES256 signature has two spellings.
func grantsReplayed(t *testing.T, d *deployment) {
	withoutID := flow.DropClaim("jti")
	for name, edits := range map[string][]flow.Edit{"jti": nil, "no jti": {withoutID}} {
		t.Run(name, func(t *testing.T) {
			d := d.within(t)
			for _, shape := range []func(*issuer.Issuer){func(*issuer.Issuer) {}, seed002Shape} {
				g := d.trusting(shape)
				exp := flow.SetClaim("exp", d.clock.now().Unix()+60) // which the ring keeps uses by
				first := flow.Literal(compact(t, g.grant(append(edits, exp)...)))
				d.redeems(g, 0, g.name, first)
				again := []flow.Compact{first, flow.Literal(nMinusS(t, compact(t, first)))}
				if edits == nil { // another assertion of the same jti
					again = append(again, g.grant(likewise(compact(t, first)), exp, flow.SetHeader("typ", "JWT")))
				}
				for _, replayed := range again {
					for i := range d.replicas {
						c := d.at(g.client, i)
						refusedFor(t, do(t, c.Server, g.by(t, c, replayed)), "400 invalid_grant", oauth.AssertionGrantReplayed)
					}
				}
				d.redeems(g, 1, g.name, g.grant(edits...)) // of the same second, and without a jti of the same words
				d.redeems(g, 2, g.name, g.grant(edits...))
				d.grantedOnce(t, g, flow.Literal(compact(t, g.grant(edits...))))
			}
		})
	}
	g, other := d.trusting(), d.trusting()
	shared := flow.SetClaim("jti", "the same of two issuers")
	d.redeems(g, 0, g.name, g.grant(shared))
	d.redeems(other, 1, other.name, other.grant(shared))
	alone := d.trusting(seed002Shape)
	signed := flow.Literal(compact(t, alone.grant()))
	outcome(t, do(t, d.server(0), alone.alone(t, signed)), "200")
	for i := range d.replicas {
		refusedFor(t, do(t, d.server(i), alone.alone(t, signed)), "400 invalid_grant", oauth.AssertionGrantReplayed)
		c := d.at(alone.client, i)
		refusedFor(t, do(t, c.Server, alone.by(t, c, signed)), "400 invalid_grant", oauth.AssertionGrantReplayed)
		body := alone.alone(t, signed)
		body.JSON, body.Form = map[string]string{"grant_type": token.JWTBearer, "assertion": body.Form.Get("assertion")}, nil
		refusedFor(t, do(t, d.server(i), body), "400 invalid_grant", oauth.AssertionGrantReplayed)
	}
	d.clock.advance(2 * time.Minute)
	d.refusesGrants(alone, oauth.AssertionGrantExpired, signed)
}

// grantedOnce sends one assertion many times at the same moment.
func (d *deployment) grantedOnce(t *testing.T, g gateway, signed flow.Compact) {
	const n = 30
	clients := d.everywhere(g.client)
	got := atOnce(t, n, func(i int) (*flow.Server, *flow.Request) {
		c := clients[i%len(clients)]
		return c.Server, g.by(t, c, signed)
	})
	if diff := cmp.Diff(map[string]int{"200": 1, "400 invalid_grant": n - 1}, got); diff != "" {
		t.Error(diff)
	}
}

// longGrants: CC-08, with the longest that is taken beside those that are not. A token lives as the record has it, whatever the
// assertion says.
func longGrants(t *testing.T, d *deployment) {
	expiring := func(g gateway, ahead time.Duration) flow.Compact {
		return g.grant(flow.SetClaim("exp", d.clock.now().Add(ahead).Unix()))
	}
	for _, shape := range []func(*issuer.Issuer){func(*issuer.Issuer) {}, seed002Shape} {
		g := d.trusting(shape)
		d.refusesGrants(g, oauth.AssertionGrantLifetime, expiring(g, 16*time.Minute),
			expiring(g, 15*time.Minute+5*time.Second), expiring(g, 24*time.Hour),
			expiring(g, 200*365*24*time.Hour), g.grant(flow.DropClaim("exp")), g.grant(flow.SetClaim("exp", "1")),
			g.grant(flow.SetClaim("exp", nil)),
			g.grant(flow.SetClaim("exp", json.RawMessage("1e300"))), g.grant(flow.SetClaim("exp", []int{1})))
		d.redeems(g, 1, g.name, expiring(g, 15*time.Minute))
		d.redeems(g, 2, g.name, expiring(g, 3*time.Minute))
		d.refusesGrants(g, oauth.AssertionGrantExpired, expiring(g, -time.Minute), g.grant(flow.SetClaim("exp", 0)))
		d.refusesGrants(g, oauth.AssertionGrantNotYet, g.grant(timed(g.signer(), "nbf", time.Minute)),
			g.grant(timed(g.signer(), "iat", time.Hour)))
	}
	short := d.trusting(func(i *issuer.Issuer) { i.MaxLifetime, i.TokenLifetime = 3*time.Minute, 30*time.Second })
	d.refusesGrants(short, oauth.AssertionGrantLifetime, expiring(short, 4*time.Minute))
	c := d.at(short.client, 1)
	e := d.expect(c, short.by(t, c, expiring(short, 3*time.Minute)), "200")
	if lives := flow.Lifetime(issued(e).Claims); lives != 30 {
		t.Errorf("the token lives %d s", lives)
	}
}

// grantsWithoutKey: CC-09. The key is the one that kid names, and nothing in the assertion says where there is another.
func grantsWithoutKey(t *testing.T, d *deployment) {
	k, second := key(t, "ES256"), key(t, "ES256")
	g := d.trusting(seed002Shape, func(i *issuer.Issuer) { i.JWKS = jwksOf(k, second) })
	g.key = k
	d.refusesGrants(g, oauth.AssertionGrantKid, g.grant(flow.DropHeader("kid")))
	d.refusesGrants(g, oauth.AssertionGrantMalformed, g.grant(flow.SetHeader("kid", "")), g.grant(flow.SetHeader("kid", 7)),
		g.grant(flow.SetHeader("kid", nil)),
		g.grant(flow.SetHeader("kid", []string{k.ID})), g.grant(flow.SetHeader("jwk", k.PublicJWK())),
		g.grant(flow.SetHeader("jku", "https://keys.example")), g.grant(flow.SetHeader("x5u", "https://keys.example")))
	d.refusesGrants(g, oauth.AssertionGrantNotProven, g.grant(flow.SetHeader("kid", "unknown")),
		g.grant(flow.SetHeader("kid", second.ID)),
		g.grant(flow.SignWith(second), flow.SetHeader("kid", k.ID)),
		g.grant(flow.SetHeader("kid", g.client.Key.ID), flow.SignWith(g.client.Key)))
	d.redeems(g, 0, g.name, g.grant())
	d.redeems(g, 1, g.name, g.grant(flow.SignWith(second), flow.SetHeader("kid", second.ID)))
}

// grantsByMAC: CC-10, and every other algorithm than that of the record.
func grantsByMAC(t *testing.T, d *deployment) {
	g := d.trusting(seed002Shape)
	der, err := x509.MarshalPKIXPublicKey(g.key.Signer.Public())
	if err != nil {
		t.Fatal(err)
	}
	point, err := g.key.Signer.Public().(*ecdsa.PublicKey).Bytes()
	if err != nil {
		t.Fatal(err)
	}
	published, err := json.Marshal(g.key.PublicJWK())
	if err != nil {
		t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	var forged []flow.Compact
	for _, secret := range [][]byte{text, text[:len(text)-1], der, point, point[1:], published, jwksOf(g.key), {},
		[]byte(g.key.ID)} {
		forged = append(forged, forge(g.signer(), "HS256", func(input string) []byte {
			mac := hmac.New(sha256.New, secret)
			mac.Write([]byte(input))
			return mac.Sum(nil)
		}), forge(g.signer(), "HS512", func(input string) []byte {
			mac := hmac.New(sha512.New, secret)
			mac.Write([]byte(input))
			return mac.Sum(nil)
		}))
	}
	d.refusesGrants(g, oauth.AssertionGrantMalformed, g.grant(flow.SignAs("none")))
	forged = append(forged, g.grant(flow.SetHeader("alg", "none")), g.grant(flow.SetHeader("alg", "nOnE")),
		g.grant(flow.SetHeader("alg", "ES384")),
		g.grant(flow.SetHeader("alg", "RS256")), g.grant(flow.DropHeader("alg")))
	d.refusesGrants(g, oauth.AssertionGrantAlg, forged...)

	rsa, ed := key(t, "PS256"), key(t, "EdDSA")
	three := d.trusting(seed002Shape, func(i *issuer.Issuer) { i.JWKS = jwksOf(g.key, rsa, ed) }) // by ES256 alone
	three.key = g.key
	d.refusesGrants(three, oauth.AssertionGrantNotProven, three.grant(flow.SignWith(rsa), flow.SetHeader("kid", rsa.ID),
		flow.SignAs("PS256"), flow.SetHeader("alg", "PS256")),
		three.grant(flow.SignWith(ed), flow.SetHeader("kid", ed.ID), flow.SignAs("EdDSA"), flow.SetHeader("alg", "EdDSA")))
	d.redeems(three, 0, three.name, three.grant())
}

// grantsWithoutConsent: CC-11. No assertion speaks for a person of this server, whether that person has consented to anything or
// not, and none opens what a person gives: not even by a record that no command would write.
func grantsWithoutConsent(t *testing.T, d *deployment) {
	ofPerson := d.recipient(0)
	f := d.family(ofPerson, flow.NewBrowser(ofPerson.Server))
	person, consent := claimsOf(t, f.token.AccessToken)["sub"].(string), f.token.GrantID
	for name, shape := range map[string]func(*issuer.Issuer){
		"a record as it should be": func(*issuer.Issuer) {},
		"one that names the person": func(i *issuer.Issuer) {
			i.Subjects = []string{person, "_" + demoUsername, "_", i.Name}
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := d.within(t)
			g := d.trusting(seed002Shape, shape)
			for _, subject := range []string{person, "_" + demoUsername, "_"} {
				d.refusesGrants(g, oauth.AssertionGrantSubject, g.grant(flow.SetClaim("sub", subject)))
			}
			for _, scope := range []string{"fdx:accountbasic:read", "payments:read fdx:accountbasic:read", "openid",
				"offline_access payments:read", "client.read", "payments:write"} {
				c := d.at(g.client, 1)
				r := g.by(t, c, g.grant())
				r.Form.Set("scope", scope)
				refusedFor(t, do(t, c.Server, r), "400 invalid_scope", oauth.ScopeNotRegistered)
				alone := g.alone(t, g.grant())
				alone.Form.Set("scope", scope)
				refusedFor(t, do(t, c.Server, alone), "400 invalid_scope", oauth.ScopeNotRegistered)
			}
			c := d.at(g.client, 2)
			r := g.by(t, c, g.grant())
			r.Form.Set("authorization_details", lastingDetails("ACCOUNT_BASIC"))
			refusedFor(t, do(t, c.Server, r), "400 invalid_authorization_details", oauth.DetailsBeyondGrant)
			r = g.by(t, c, g.grant())
			r.Form.Set("consent_id", consent)
			r.Form.Set("grant_id", consent)
			says := issued(d.expect(c, r, "200"))
			if says.Claim("grant_id") != "" || says.Claim("sub") != g.name {
				t.Errorf("%v", says.Claims)
			}
			used := c.Present(accounts(c), says.Compact)
			outcome(t, do(t, c.Server, used), "403 insufficient_scope")
		})
	}
	d.wantFamily(f, true)
	code, _, says := d.desk(t).issuer("add", "gateway", "--jwks", keyFile(t, ofPerson.Key), "--client", ofPerson.ID,
		"--scope", "fdx:accountbasic:read", "--subject", person)
	if code != exitUsage || !containsAll(says, []string{"underscore", "no assertion opens the scope fdx:accountbasic:read"}) {
		t.Errorf("%d %s", code, says)
	}
}

// grantsForOneself: CC-13. A client is no issuer, whatever it signs, and an issuer speaks for those that its record names: for no
// client, and for nobody else. What it is explicitly allowed it may.
func grantsForOneself(t *testing.T, d *deployment) {
	g, other := d.trusting(seed002Shape), d.register(0, byGrant)
	self := gateway{g.client.ID, g.client.Key, g.client}
	for _, subject := range []string{g.client.ID, other.ID, g.name, demoUsername, "anybody"} {
		d.refusesGrants(self, oauth.AssertionGrantNotProven, self.grant(flow.SetClaim("sub", subject)))
	}
	for _, subject := range []string{other.ID, g.client.ID, "anybody", g.name + "x", "GATEWAY" + g.name[7:], d.issuer} {
		d.refusesGrants(g, oauth.AssertionGrantSubject, g.grant(flow.SetClaim("sub", subject)))
	}
	d.refusesGrants(g, oauth.AssertionGrantParties, g.grant(flow.DropClaim("sub")), g.grant(flow.SetClaim("sub", "")),
		g.grant(flow.SetClaim("sub", []string{g.name})))

	of := func(g gateway) func(*issuer.Issuer) {
		return func(i *issuer.Issuer) {
			i.JWKS, i.Clients, i.Scopes = jwksOf(g.key), []string{g.client.ID}, oauth.Scope{"payments:read"}
			seed002Shape(i)
		}
	}
	d.trust(self, of(self)) // which no command would write
	d.refusesGrants(self, oauth.AssertionGrantSubject, self.grant(), self.grant(flow.SetClaim("sub", other.ID)))
	d.trust(g, of(g), func(i *issuer.Issuer) { i.Subjects = []string{other.ID, "merchant-7", "merchant-8"} })
	d.refusesGrants(g, oauth.AssertionGrantSubject, g.grant(flow.SetClaim("sub", other.ID)), g.grant())
	d.redeems(g, 0, "merchant-7", g.grant(flow.SetClaim("sub", "merchant-7")))
	d.redeems(g, 1, "merchant-8", g.grant(flow.SetClaim("sub", "merchant-8")))
}
