package main

import (
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"authserver/internal/flow"
	"authserver/internal/oauth"
	"authserver/internal/token"
)

// attacksOnAssertionGrants are the cases about assertions of trusted issuers, against the one of dev, whose assertions come
// alone. What is refused is refused at every replica.
func attacksOnAssertionGrants() []attack {
	return []attack{
		{"CC-06", issuersRefused},
		{"CC-07", assertionsReplayed},
		{"CC-08", longAssertions},
		{"CC-09", kidsRefused},
		{"CC-10", sharedSecrets},
		{"CC-11", peopleSpokenFor},
		{"CC-13", selfAsserted},
	}
}

// refusesAssertion wants an assertion that comes alone refused at every replica.
func (d *deployment) refusesAssertion(t testing.TB, what, assertion string, reason oauth.Reason) {
	t.Helper()
	for i := range d.replicas {
		s := d.server(i)
		e := do(t, s, assertionRequest(s, assertion))
		if outcome(t, e, "400 invalid_grant"); reasonOf(e) != reason {
			t.Errorf("%s: %s, want %s", what, reasonOf(e), reason)
		}
	}
}

// takesAssertion wants one taken.
func (d *deployment) takesAssertion(t testing.TB, assertion string) {
	t.Helper()
	s := d.server(0)
	outcome(t, do(t, s, assertionRequest(s, assertion)), "200")
}

// issuersRefused: CC-06. An issuer that is not known, in any spelling; one that is, for a client that its record does not
// name, which uses nothing up.
func issuersRefused(t *testing.T, d *deployment) {
	s := d.server(0)
	for _, name := range []string{"nobody", demoIssuer + " ", " " + demoIssuer, strings.ToUpper(demoIssuer), demoIssuer + "/", "dev‐issuer",
		demoIssuer + "\u200b", d.issuer, demoGateway, strings.Repeat("i", 256)} {
		d.refusesAssertion(t, name, d.asserted(t, s, flow.SetClaim("iss", name)), oauth.AssertionGrantNotProven)
	}
	d.refusesAssertion(t, "by another key", d.asserted(t, s, flow.SignWith(key(t, "ES256"))), oauth.AssertionGrantNotProven)

	other := d.register(0, func(m map[string]any) { m["grant_types"], m["scope"] = []string{token.JWTBearer}, demoScope })
	assertion := d.asserted(t, s)
	r := other.TokenRequest(map[string][]string{"grant_type": {token.JWTBearer}, "assertion": {assertion}})
	refusedFor(t, do(t, s, r), "400 invalid_grant", oauth.AssertionGrantClient)
	alone := assertionRequest(s, assertion)
	alone.Form.Set("client_id", other.ID)
	refusedFor(t, do(t, s, alone), "400 invalid_grant", oauth.AssertionGrantClient)
	d.takesAssertion(t, assertion)
}

// assertionsReplayed: CC-07 and CA-56. Of all who bring one assertion at once, one has it, wherever they ask; and nothing that
// can be made of it by anybody but the issuer is another.
func assertionsReplayed(t *testing.T, d *deployment) {
	s := d.server(0)
	exp := flow.SetClaim("exp", d.clock.now().Unix()+300) // one for both of a jti: the ring keeps uses by it
	for name, assertion := range map[string]string{
		"with a jti": d.asserted(t, s, flow.SetClaim("jti", "the same"), exp), "without": d.asserted(t, s),
	} {
		var servers []*flow.Server
		for i := range d.replicas {
			servers = append(servers, d.server(i))
		}
		outcomes := make([]string, 30)
		var all sync.WaitGroup
		for n := range outcomes {
			all.Go(func() {
				at := servers[n%len(servers)]
				outcomes[n] = do(t, at, assertionRequest(at, assertion)).Outcome()
			})
		}
		all.Wait()
		count := map[string]int{}
		for _, outcome := range outcomes {
			count[outcome]++
		}
		if count["200"] != 1 || count["400 invalid_grant"] != len(outcomes)-1 {
			t.Errorf("%s, 30 at once: %v", name, count)
		}
		d.refusesAssertion(t, name+", again", assertion, oauth.AssertionGrantReplayed)
		d.refusesAssertion(t, name+", with n−s", malleated(t, assertion), oauth.AssertionGrantReplayed)
		body := `{"grant_type":"` + token.JWTBearer + `","assertion":"` + assertion + `"}`
		refusedFor(t, raw(t, s, http.MethodPost, s.Metadata.TokenEndpoint, http.Header{"Content-Type": {"application/json"}}, body),
			"400 invalid_grant", oauth.AssertionGrantReplayed)
		gateway := &flow.Client{Server: s, ID: demoGateway, Key: d.issuerKey, DPoPKey: key(t, "ES256")}
		proven := gateway.TokenRequest(map[string][]string{"grant_type": {token.JWTBearer}, "assertion": {assertion}})
		refusedFor(t, do(t, s, proven), "400 invalid_grant", oauth.AssertionGrantReplayed)
	}
	d.refusesAssertion(t, "the jti in another assertion", d.asserted(t, s, flow.SetClaim("jti", "the same"), exp, flow.SetClaim("x", 1)), oauth.AssertionGrantReplayed)
	d.takesAssertion(t, d.asserted(t, s))
}

// malleated is an ES256 JWS with n−s in the place of s, which verifies just as well.
func malleated(t *testing.T, compact string) string {
	t.Helper()
	at := strings.LastIndexByte(compact, '.') + 1
	signature, err := base64.RawURLEncoding.DecodeString(compact[at:])
	if err != nil {
		t.Fatal(err)
	}
	s := new(big.Int).Sub(elliptic.P256().Params().N, new(big.Int).SetBytes(signature[32:]))
	return compact[:at] + base64.RawURLEncoding.EncodeToString(append(signature[:32:32], s.FillBytes(make([]byte, 32))...))
}

// longAssertions: CC-08. One of exactly 15 minutes is taken.
func longAssertions(t *testing.T, d *deployment) {
	s := d.server(0)
	for _, ahead := range []time.Duration{16 * time.Minute, 15*time.Minute + 5*time.Second, time.Hour, 365 * 24 * time.Hour} {
		exp := flow.SetClaim("exp", d.clock.now().Add(ahead).Unix())
		d.refusesAssertion(t, ahead.String(), d.asserted(t, s, exp), oauth.AssertionGrantLifetime)
	}
	for name, edit := range map[string]flow.Edit{
		"none": flow.DropClaim("exp"), "text": flow.SetClaim("exp", fmt.Sprint(d.clock.now().Add(time.Minute).Unix())), "null": flow.SetClaim("exp", nil),
	} {
		d.refusesAssertion(t, name, d.asserted(t, s, edit), oauth.AssertionGrantLifetime)
	}
	d.takesAssertion(t, d.asserted(t, s, flow.SetClaim("exp", d.clock.now().Unix()+900)))
}

// kidsRefused: CC-09. Only a kid picks the key.
func kidsRefused(t *testing.T, d *deployment) {
	s := d.server(0)
	d.refusesAssertion(t, "none", d.asserted(t, s, flow.DropHeader("kid")), oauth.AssertionGrantKid)
	for _, kid := range []any{"", 7, nil, []string{d.issuerKey.ID}, strings.Repeat("k", 257)} {
		d.refusesAssertion(t, fmt.Sprint(kid), d.asserted(t, s, flow.SetHeader("kid", kid)), oauth.AssertionGrantMalformed)
	}
	for _, kid := range []string{"another", strings.ToUpper(d.issuerKey.ID), d.issuerKey.ID + " ", d.resourceServer.ID} {
		d.refusesAssertion(t, kid, d.asserted(t, s, flow.SetHeader("kid", kid)), oauth.AssertionGrantNotProven)
	}
	for _, from := range []string{"jku", "x5u"} {
		d.refusesAssertion(t, from, d.asserted(t, s, flow.SetHeader(from, "https://keys.example")), oauth.AssertionGrantMalformed)
	}
	own := key(t, "ES256")
	d.refusesAssertion(t, "jwk", d.asserted(t, s, flow.SignWith(own), flow.SetHeader("jwk", own.PublicJWK())), oauth.AssertionGrantMalformed)
}

// sharedSecrets: CC-10. The public key, in whatever form, is nobody's secret, and no signature is none either.
func sharedSecrets(t *testing.T, d *deployment) {
	s := d.server(0)
	jwk, err := json.Marshal(d.issuerKey.PublicJWK())
	if err != nil {
		t.Fatal(err)
	}
	good := strings.Split(d.asserted(t, s), ".")
	for _, secret := range []string{string(jwk), publicPEM(t, d.issuerKey), strings.TrimSpace(publicPEM(t, d.issuerKey)), d.issuerKey.ID, ""} {
		for _, alg := range []string{"HS256", "hs256", "HS512"} {
			header := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"` + alg + `","kid":"` + d.issuerKey.ID + `"}`))
			mac := hmac.New(sha256.New, []byte(secret))
			mac.Write([]byte(header + "." + good[1]))
			forged := header + "." + good[1] + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
			d.refusesAssertion(t, alg, forged, oauth.AssertionGrantAlg)
		}
	}
	for _, alg := range []string{"none", "None", "RS256", "ES384", "ES256K", ""} {
		d.refusesAssertion(t, alg, d.asserted(t, s, flow.SetHeader("alg", alg)), oauth.AssertionGrantAlg)
	}
	d.refusesAssertion(t, "no signature", good[0]+"."+good[1]+".", oauth.AssertionGrantMalformed)
	d.refusesAssertion(t, "an algorithm that the record does not name", d.asserted(t, s, flow.SignWith(d.resourceServer)), oauth.AssertionGrantNotProven)
}

// peopleSpokenFor: CC-11. No issuer speaks for a person, by whatever name, nor opens what people give; no operator can let it.
func peopleSpokenFor(t *testing.T, d *deployment) {
	s := d.server(0)
	alex, found, err := d.store.FindPerson(t.Context(), demoUsername)
	if err != nil || !found {
		t.Fatal(found, err)
	}
	for _, sub := range []string{alex.Subject, demoUsername, "_" + demoIssuer} {
		d.refusesAssertion(t, sub, d.asserted(t, s, flow.SetClaim("sub", sub)), oauth.AssertionGrantSubject)
	}
	for _, scope := range []string{"openid", "offline_access", "fdx:accountbasic:read", "client.create", demoScope + " fdx:transactions:read"} {
		r := assertionRequest(s, d.asserted(t, s))
		r.Form.Set("scope", scope)
		refusedFor(t, do(t, s, r), "400 invalid_scope", oauth.ScopeNotRegistered)
	}
	r := assertionRequest(s, d.asserted(t, s))
	r.Form.Set("authorization_details", `[{"type":"fdx_v1.0"}]`)
	refusedFor(t, do(t, s, r), "400 invalid_authorization_details", oauth.DetailsBeyondGrant)
	code, _, stderr := d.desk(t).issuer("add", "gateway", "--jwks", keyFile(t, d.issuerKey), "--client", demoGateway,
		"--scope", "fdx:accountbasic:read", "--subject", alex.Subject)
	if code != exitUsage || !strings.Contains(stderr, "underscore") || !strings.Contains(stderr, "no assertion opens the scope fdx:accountbasic:read") {
		t.Errorf("%d %s", code, stderr)
	}
}

// selfAsserted: CC-13. A client that signs with its registered key is no issuer, whomever it speaks for; nor is its client
// assertion a grant.
func selfAsserted(t *testing.T, d *deployment) {
	c := d.register(0, func(m map[string]any) {
		m["grant_types"], m["scope"] = []string{"client_credentials", token.JWTBearer}, demoScope
	})
	gateway := &flow.Client{Server: c.Server, ID: demoGateway, Key: d.issuerKey}
	for _, sub := range []string{"anybody", c.ID, demoIssuer, demoUsername} {
		assertion := compact(t, c.Assertion(flow.SetClaim("sub", sub)))
		d.refusesAssertion(t, sub, assertion, oauth.AssertionGrantNotProven)
		r := c.TokenRequest(map[string][]string{"grant_type": {token.JWTBearer}, "assertion": {assertion}})
		refusedFor(t, do(t, c.Server, r), "400 invalid_grant", oauth.AssertionGrantNotProven)
	}
	d.refusesAssertion(t, "the gateway's client assertion", compact(t, gateway.Assertion()), oauth.AssertionGrantNotProven)
	d.refusesAssertion(t, "the issuer about a client", d.asserted(t, c.Server, flow.SetClaim("sub", demoGateway)), oauth.AssertionGrantSubject)
	d.refusesAssertion(t, "the issuer about anybody", d.asserted(t, c.Server, flow.SetClaim("sub", "anybody")), oauth.AssertionGrantSubject)
	for _, typ := range []string{"at+jwt", "oauth-authz-req+jwt", "client-authentication+jwt", "dpop+jwt", "logout+jwt"} {
		d.refusesAssertion(t, typ, d.asserted(t, c.Server, flow.SetHeader("typ", typ)), oauth.AssertionGrantTyp)
	}
}
