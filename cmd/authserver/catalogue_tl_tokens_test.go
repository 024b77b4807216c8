package main

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"authserver/internal/client"
	"authserver/internal/flow"
	"authserver/internal/oauth"

	"github.com/google/go-cmp/cmp"
)

// resources are the requests that tokens of a client open: the second the client's own, and the others a person's.
func resources(c *flow.Client) []*flow.Request {
	all := []*flow.Request{accounts(c)}
	for _, path := range []string{strings.TrimPrefix(c.RegistrationURI, certifiedIssuer), "/oauth2/userinfo"} {
		all = append(all, &flow.Request{Method: http.MethodGet, URL: certifiedAlias + path})
	}
	return all
}

// otherCertificates: TL-07. A token opens its resources with the one certificate that it is bound to. To refresh, a client
// authenticates: by the same name where that is its authentication, and then it gets a token that is bound to what it shows.
func otherCertificates(t *testing.T, d *deployment) {
	shown := d.vouched("TL-07")
	c := d.certified(0, shown, recipient, withOpenID)
	f := d.family(c, flow.NewBrowser(c.Server), withScope("openid fdx:accountbasic:read"))
	own := certifiedBy(t, d.expect(c, c.TokenRequest(nil), "200"), shown)
	sameKey := d.clients.IssueFor(t, shown.PrivateKey.(crypto.Signer), company("TL-07"))
	renewed, other := d.vouched("TL-07"), d.vouched("TL-07 other")
	lapsed := d.vouched("TL-07", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })
	for i := range d.replicas {
		for name, wrong := range map[string]tls.Certificate{
			"another client's": other, "a new one of the same name": renewed, "a new one for the same key": sameKey,
			"none": {}, "an expired one": lapsed,
		} {
			s := d.showing(i, wrong)
			for n, r := range resources(c) {
				access := []string{f.token.AccessToken, own, f.token.AccessToken}[n]
				e := do(t, s, r.SetHeader("Authorization", "Bearer "+access))
				if e.Outcome() != "401 invalid_token" || reasonOf(e) != oauth.TokenKey {
					t.Errorf("%s, %s: %s (%s)", name, r.URL, e.Outcome(), reasonOf(e))
				}
			}
		}
		moved := d.at(c, i)
		for n, r := range resources(c) {
			access := []string{f.token.AccessToken, own, f.token.AccessToken}[n]
			d.expect(moved, moved.Present(r, access), "200")
			proof := *moved
			proof.CertificateBound = false
			wanted := oauth.TokenScheme // a token of this kind has no proofs
			refusedFor(t, do(t, moved.Server, proof.Present(resources(c)[n], access)), "401 invalid_token", wanted)
		}
	}
	refused := func(by *flow.Client, why oauth.Reason) {
		t.Helper()
		refusedFor(t, do(t, by.Server, by.RefreshRequest(f.token.RefreshToken, nil)), "401 invalid_client", why)
	}
	refused(d.with(c, 1, other), oauth.ClientNotProven)
	refused(d.with(c, 2, lapsed), oauth.CertificateRefused)
	refused(d.with(c, 0, tls.Certificate{}), oauth.ClientAuthMissing)
	for _, next := range []tls.Certificate{renewed, sameKey, shown} {
		by := d.with(c, 1, next)
		certifiedBy(t, d.expect(by, by.RefreshRequest(f.token.RefreshToken, nil), "200"), next)
	}
	d.refreshedUnder(t, "self-signed", d.certified(0, other, bySelf(other), recipient), other, false)
	asserting := d.enrolled(0, shown, recipient, boundToCertificate)
	asserting.CertificateBound = true
	d.refreshedUnder(t, "by assertion", asserting, shown, true)
}

// refreshedUnder: a client whose certificate itself authenticates it is nobody with another; of one that asserts, a token is
// bound to whichever it shows.
func (d *deployment) refreshedUnder(t *testing.T, name string, c *flow.Client, shown tls.Certificate, taken bool) {
	f := d.family(c, flow.NewBrowser(c.Server))
	next := d.vouched("TL-07 " + name)
	by := d.with(c, 1, next)
	e := do(t, by.Server, by.RefreshRequest(f.token.RefreshToken, nil))
	if taken {
		certifiedBy(t, e, next)
		outcome(t, do(t, c.Server, c.Present(accounts(c), issued(e).Compact)), "401 invalid_token")
		d.expect(by, by.Present(accounts(by), issued(e).Compact), "200")
	} else {
		refusedFor(t, e, "401 invalid_client", oauth.ClientNotProven)
	}
	certifiedBy(t, d.expect(c, c.RefreshRequest(f.token.RefreshToken, nil), "200"), shown)
}

// withScope asks for a scope.
func withScope(scope string) func(url.Values) { return bend("scope", scope) }

// assertedBesideCertificate: CA-74. Whoever asserts is who the assertion says, at every endpoint, whatever the certificate of
// the connection would prove by itself.
func assertedBesideCertificate(t *testing.T, d *deployment) {
	shown := d.vouched("CA-74")
	victim := d.certified(0, shown)
	attacker := d.enrolled(0, shown)
	for i := range d.replicas {
		c := d.at(attacker, i)
		e := d.expect(c, c.TokenRequest(nil), "200")
		d.checkHolder(e, c)
		unproven := c.TokenRequest(nil)
		unproven.Proof = nil
		if says := claimsOf(t, certifiedBy(t, do(t, c.Server, unproven), shown)); says["client_id"] != c.ID ||
			says["sub"] != c.ID {
			t.Errorf("the token is %v's", says["client_id"])
		}
		own := issued(e).Compact
		secret := certifiedBy(t, d.expect(d.at(victim, i), d.at(victim, i).TokenRequest(nil), "200"), shown)
		unseen(t, c, secret) // which is shown to its own client
		if introspected(t, c, own)["active"] != true {
			t.Error("its own token is not shown to it")
		}
		for name, edit := range map[string]flow.Edit{
			"a stranger's signature": flow.SignWith(key(t, "ES256")), "expired": timed(c, "exp", -time.Hour),
			"the victim's name": func(draft *flow.Draft) { draft.Claims["iss"], draft.Claims["sub"] = victim.ID, victim.ID },
			"no sub":            flow.DropClaim("sub"), "another audience": flow.SetClaim("aud", "https://other-as.example"),
		} {
			for _, id := range []string{victim.ID, c.ID, ""} {
				for _, r := range []*flow.Request{c.TokenRequest(nil), c.IntrospectRequest(secret), c.RevokeRequest(secret)} {
					r.Form.Set("client_id", id)
					r.Assertion = c.Assertion(edit)
					if e := do(t, c.Server, r); e.Outcome() != "401 invalid_client" {
						t.Errorf("%s, client_id %q, %s: %s", name, id, r.URL, e.Outcome())
					}
				}
			}
		}
		named := c.TokenRequest(url.Values{"client_id": {victim.ID}})
		refusedFor(t, do(t, c.Server, named), "401 invalid_client", oauth.AssertionClientID)
		for _, empty := range []url.Values{
			{"client_assertion": {""}, "client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}},
			{"client_assertion_type": {"x"}}, {"client_assertion": {"x"}},
		} {
			r := d.at(victim, i).TokenRequest(empty)
			outcome(t, do(t, d.at(victim, i).Server, r), "401 invalid_client")
		}
		d.expect(d.at(victim, i), d.at(victim, i).Present(accounts(victim), secret), "200")
	}
}

// proofInThePlace: DP-48. A client that registered tokens bound to its certificate, and to no other key, gets none that is
// bound to a proof's, by a refresh or by anything else, and what was refused is good for the next request.
func proofInThePlace(t *testing.T, d *deployment) {
	shown := d.vouched("DP-48")
	byCertificate := d.certified(0, shown, recipient)
	byAssertion := d.enrolled(0, shown, recipient, boundToCertificate)
	byAssertion.CertificateBound = true
	for _, test := range []struct {
		c      *flow.Client
		want   string
		reason oauth.Reason
	}{
		{byCertificate, "401 invalid_client", oauth.ClientAuthMissing},
		{byAssertion, "400 invalid_request", oauth.CertificateMissing},
	} {
		f := d.family(test.c, flow.NewBrowser(test.c.Server))
		a := ask(t, test.c)
		code := a.codeIn(flow.NewBrowser(test.c.Server))
		for i := range d.replicas {
			without, without2 := *test.c, *test.c
			without.Server, without2.Server = d.server(i), d.showing(i, tls.Certificate{})
			for _, c := range []*flow.Client{&without, &without2} {
				for _, r := range []*flow.Request{c.RefreshRequest(f.token.RefreshToken, nil), a.by(c).redemption(code),
					c.TokenRequest(nil)} {
					if r.Assertion != nil {
						r.Assertion = flow.Literal(compact(t, r.Assertion))
					}
					r.Proof = tokenProof(c)
					refusedFor(t, do(t, c.Server, r), test.want, test.reason)
					if r.Assertion != nil && r.Form.Get("grant_type") != "authorization_code" { // it is as good as before, with the certificate
						again, moved := *r, d.at(test.c, i)
						again.URL, again.Proof = moved.Server.Metadata.TokenEndpoint, nil
						certifiedBy(t, do(t, moved.Server, &again), shown)
					}
				}
			}
			moved := d.at(test.c, i)
			both := moved.RefreshRequest(f.token.RefreshToken, nil)
			both.Proof = tokenProof(moved)
			certifiedBy(t, do(t, moved.Server, both), shown)
		}
		certifiedBy(t, do(t, test.c.Server, a.redemption(code)), shown)
	}
	d.eitherKey(t, shown)
}

// eitherKey: who has registered a proof's key gets that and no other, whoever has registered neither the key of a proof when
// there is one, and who has registered both the same.
func (d *deployment) eitherKey(t *testing.T, shown tls.Certificate) {
	byProof := changes{"dpop_bound_access_tokens": true}.apply
	for name, edits := range map[string][]func(map[string]any){"DPoP": {byProof}, "both": {byProof, boundToCertificate},
		"neither": nil} {
		c := d.enrolled(0, shown, edits...)
		boundTo(t, do(t, c.Server, c.TokenRequest(nil)), c.DPoPKey)
		r := c.TokenRequest(nil)
		if r.Proof = nil; name != "neither" {
			refusedFor(t, do(t, c.Server, r), "400 invalid_request", oauth.ProofMissing)
			continue
		}
		certifiedBy(t, do(t, c.Server, r), shown)
		r.Assertion, c.Server = c.Assertion(), d.server(1)
		r.URL = c.Server.Metadata.TokenEndpoint
		refusedFor(t, do(t, c.Server, r), "400 invalid_request", oauth.ProofMissing)
	}
	c := d.enrolled(0, shown, recipient)
	a := ask(t, c) // whose proof binds the code
	code := a.codeIn(flow.NewBrowser(c.Server))
	r := a.redemption(code)
	r.Proof = nil
	e := do(t, c.Server, r)
	refusedFor(t, e, "400 invalid_grant", oauth.CodeKey)
	if says := e.ErrorDescription(); !strings.Contains(says, "and the request has none") {
		t.Errorf("a certificate in the place of the proof: %s", says)
	}
	boundTo(t, do(t, c.Server, a.redemption(code)), c.DPoPKey)
}

// subjectsOfOthers: DR-23. What of a certificate is one client's can be no other's, however it is spelled, by registration, by
// an update, or by two at the same moment; the certificate goes on to prove its own client and no other. A deleted client's is
// free.
func subjectsOfOthers(t *testing.T, d *deployment) {
	shown := d.vouched("DR-23", everyName("sam"))
	names := map[string][]string{
		"subject_dn": {`CN=DR-23,O=Kim & Sons\, Inc.,C=CA`, `cn=DR-23, o=Kim \26 Sons\2C Inc., c=CA`,
			"2.5.4.3=DR-23,2.5.4.10=Kim & Sons\\, Inc.,2.5.4.6=CA"},
		"san_dns": {"new.kim.example", "NEW.kim.example"}, "san_uri": {"urn:bank:new"},
		"san_ip": {"2001:db8::23", "2001:DB8:0:0::23"}, "san_email": {"new@kim.example", "new@KIM.example"},
	}
	for kind, spellings := range names {
		t.Run(kind, func(t *testing.T) {
			d := d.within(t)
			victim := d.register(0, byName("tls_client_auth_"+kind, spellings[0]))
			other := d.register(1)
			before := d.expect(other, other.ManageRequest(http.MethodGet, nil), "200")
			for _, value := range spellings {
				for _, more := range []func(map[string]any){func(map[string]any) {}, boundToCertificate} {
					taken := metadata(other.Key, byName("tls_client_auth_"+kind, value), more)
					for _, r := range []*flow.Request{other.ManageRequest(http.MethodPut, taken), other.Server.RegisterRequest(taken)} {
						refusedFor(t, do(t, other.Server, r), "400 invalid_client_metadata", oauth.SubjectTaken)
					}
				}
			}
			after := do(t, other.Server, other.ManageRequest(http.MethodGet, nil))
			if diff := cmp.Diff(before.JSON(), after.JSON()); diff != "" {
				t.Errorf("what was refused has changed the client: %s", diff)
			}
			same := metadata(victim.Key, byName("tls_client_auth_"+kind, spellings[0]))
			outcome(t, do(t, victim.Server, victim.ManageRequest(http.MethodPut, same)), "200")
			outcome(t, do(t, victim.Server, victim.ManageRequest(http.MethodDelete, nil)), "204")
			d.takenOnce(t, byName("tls_client_auth_"+kind, spellings[0]))
		})
	}
	victim, other := d.certified(0, shown, byName("tls_client_auth_san_dns", "sam.kim.example")), d.register(1)
	for i := range d.replicas {
		d.provesNothing(other.ID, shown, oauth.ClientNotProven)
		moved := d.at(victim, i)
		certifiedBy(t, d.expect(moved, moved.TokenRequest(nil), "200"), shown)
	}
	// The same certificate may prove another client by another of its names, which the authority vouches for, too: client_id
	// says which of them calls.
	second := d.certified(1, shown, byName("tls_client_auth_san_uri", "urn:bank:sam"))
	for _, c := range []*flow.Client{victim, second} {
		if says := claimsOf(t, certifiedBy(t, d.expect(c, c.TokenRequest(nil), "200"), shown)); says["client_id"] != c.ID {
			t.Errorf("the token of %s is %v's", c.ID, says["client_id"])
		}
	}
	changed(t, second, func(m map[string]any) { m["token_endpoint_auth_method"] = client.PrivateKeyJWT })
	d.provesNothing(second.ID, shown, oauth.ClientNotProven)
	certifiedBy(t, d.expect(victim, victim.TokenRequest(nil), "200"), shown)
}

// takenOnce has many clients register one subject at the same moment, some anew and some by an update.
func (d *deployment) takenOnce(t *testing.T, by func(map[string]any)) {
	const n = 8
	var clients []*flow.Client
	for i := range n {
		clients = append(clients, d.register(i%len(d.replicas)))
	}
	got := atOnce(t, 2*n, func(i int) (*flow.Server, *flow.Request) {
		c := clients[i%n]
		if i < n {
			return c.Server, c.ManageRequest(http.MethodPut, metadata(c.Key, by))
		}
		return c.Server, c.Server.RegisterRequest(metadata(c.Key, by))
	})
	if got["200"]+got["201"] != 1 || got["400 invalid_client_metadata"] != 2*n-1 {
		t.Errorf("%v", got)
	}
}
