package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"authserver/internal/flow"
	"authserver/internal/oauth"
	"authserver/internal/replay"
)

// assertionClaims are assertions that say something else than who the client is and for whom they are meant.
func assertionClaims() []attack {
	return []attack{
		bentAssertion("CA-12", oauth.AssertionSubject, func(d *deployment, c *flow.Client) []flow.Edit {
			other := d.register(0).ID
			return []flow.Edit{flow.DropClaim("iss"), flow.DropClaim("sub"), flow.SetClaim("iss", other), flow.SetClaim("sub", other)}
		}),
		bentAssertion("CA-14", oauth.AssertionAudience, func(*deployment, *flow.Client) []flow.Edit {
			return append(setClaims("aud", "", 7, nil, true), flow.DropClaim("aud"))
		}),
		bentAssertion("CA-15", oauth.AssertionAudience, func(d *deployment, c *flow.Client) []flow.Edit {
			m := c.Server.Metadata
			return setClaims("aud", m.TokenEndpoint, m.IntrospectionEndpoint, m.RevocationEndpoint, d.issuer+"/oauth2/par")
		}),
		bentAssertion("CA-16", oauth.AssertionAudience, func(d *deployment, _ *flow.Client) []flow.Edit {
			return setClaims("aud", []string{d.issuer})
		}),
		bentAssertion("CA-17", oauth.AssertionAudience, func(d *deployment, _ *flow.Client) []flow.Edit {
			return setClaims("aud", []string{d.issuer, "https://other-as.example"}, []string{"https://other-as.example", d.issuer})
		}),
		bentAssertion("CA-18", oauth.AssertionAudience, func(d *deployment, _ *flow.Client) []flow.Edit {
			return setClaims("aud", d.issuer+"/", strings.Replace(d.issuer, "localhost", "LOCALHOST", 1),
				strings.Replace(d.issuer, "http", "HTTP", 1), d.issuer+"?", d.issuer+"#", d.issuer+" ", strings.Replace(d.issuer, "local", "%6cocal", 1))
		}),
		{"CA-19", hostIsNobody},
		bentAssertion("CA-26", oauth.AssertionID, func(*deployment, *flow.Client) []flow.Edit {
			return append(setClaims("jti", "", 7, nil, []string{"a"}, strings.Repeat("j", 1025)), flow.DropClaim("jti"))
		}),
		{"CA-62", lookAlikes},
		bentAssertion("CA-69", oauth.AssertionSubject, func(_ *deployment, c *flow.Client) []flow.Edit {
			both := func(value any) flow.Edit {
				return func(draft *flow.Draft) { draft.Claims["iss"], draft.Claims["sub"] = value, value }
			}
			return append(append(setClaims("sub", []string{c.ID}, nil), setClaims("iss", map[string]string{"x": c.ID}, nil)...),
				both([]string{c.ID}), both(nil), both(""))
		}),
		bentAssertion("CA-70", oauth.AssertionAudience, func(d *deployment, _ *flow.Client) []flow.Edit {
			return setClaims("aud", []string{}, []string{""}, map[string]string{"0": d.issuer})
		}),
		{"CA-71", identityAsAssertion},
	}
}

// identityAsAssertion: CA-71. An ID token is signed by this server, for the client, and about a person: it proves no client.
func identityAsAssertion(t *testing.T, d *deployment) {
	c := d.recipient(0, withOpenID)
	for _, alg := range []string{"PS256", "ES256", "EdDSA"} {
		c := d.recipient(0, withOpenID, changes{"id_token_signed_response_alg": alg}.apply)
		token := d.family(c, ask(t, c).browser(), identified).token
		d.doesNotProve(c, oauth.AssertionSubject, flow.Literal(identity(t, c, token).Compact))
	}
	// Signed by a stranger, with the client's name where an assertion has it.
	forged := func(draft *flow.Draft) { draft.Claims["auth_time"], draft.Claims["aud"] = draft.Claims["iat"], c.ID }
	d.doesNotProve(c, oauth.AssertionAudience, c.Assertion(forged))
}

// hostIsNobody sends the names of another host in every header that could rename the server.
func hostIsNobody(t *testing.T, d *deployment) {
	c := d.register(0)
	d.expect(c, c.TokenRequest(nil), "200")
	c.Server = d.serverThrough(pretending{"evil.example", d.transport(0)})
	forwarded := func(r *flow.Request) *flow.Request {
		r.SetHeader("X-Forwarded-Host", "evil.example").SetHeader("X-Forwarded-Proto", "https")
		return r.SetHeader("Forwarded", "host=evil.example;proto=https")
	}
	for _, aud := range []string{"https://evil.example", "http://evil.example", "https://evil.example/oauth2/token"} {
		signed := flow.Literal(compact(t, c.Assertion(flow.SetClaim("aud", aud))))
		for name, r := range endpoints(c) {
			r.Assertion = signed
			e := do(t, c.Server, forwarded(r))
			refusedFor(t, e, "401 invalid_client", oauth.AssertionAudience)
			if strings.Contains(e.ResponseBody, "evil") {
				t.Errorf("%s: %s", name, e.ResponseBody)
			}
		}
	}
	for _, r := range endpoints(c) {
		d.expect(c, forwarded(r), "200") // the issuer is the audience, whatever the headers say
	}
}

// lookAlikes plays ids that a careless reader would take for the client's.
func lookAlikes(t *testing.T, d *deployment) {
	c := d.register(0)
	cyrillic := strings.NewReplacer("a", "\u0430", "c", "\u0441", "e", "\u0435", "o", "\u043e", "p", "\u0440", "x", "\u0445", "y", "\u0443",
		"A", "\u0410", "B", "\u0412", "C", "\u0421", "E", "\u0415", "H", "\u041d", "K", "\u041a", "M", "\u041c", "O", "\u041e", "P", "\u0420", "T", "\u0422", "X", "\u0425")
	fullWidth := string(rune(c.ID[0])-0x20+0xff00) + c.ID[1:] // what NFKC would fold back
	for _, id := range []string{
		cyrillic.Replace(c.ID), fullWidth, c.ID + "\x00", c.ID + " ", " " + c.ID, c.ID + "\n", "\ufeff" + c.ID, c.ID + "\u200b", c.ID + "\x00x",
		strings.ToUpper(c.ID), strings.ToLower(c.ID), c.ID + "%00", c.ID + "'--",
	} {
		if id == c.ID {
			t.Fatalf("%q has no look-alike", id)
		}
		signed := flow.Literal(compact(t, c.Assertion(flow.SetClaim("iss", id), flow.SetClaim("sub", id))))
		for _, in := range d.entrances(c) {
			in.request.Form.Del("client_id")
			in.request.Assertion = signed
			refusedFor(t, do(t, in.server, in.request), "401 invalid_client", oauth.ClientNotProven)
			if !strings.ContainsRune(id, 0) { // a NUL in a form is refused before anything is read
				in.request.Form.Set("client_id", id)
				refusedFor(t, do(t, in.server, in.request), "401 invalid_client", oauth.ClientNotProven)
			}
		}
		d.expect(c, asserting(c), "200")
	}
}

// assertionTimes are assertions of another time. Each bound is tried on both sides.
func assertionTimes() []attack {
	return []attack{
		bentAssertion("CA-20", oauth.AssertionLifetime, func(*deployment, *flow.Client) []flow.Edit {
			return []flow.Edit{flow.DropClaim("exp")}
		}),
		{"CA-21", func(_ *testing.T, d *deployment) {
			c, t0 := d.register(0), d.clock.now().Unix()
			d.refusesEach(c, oauth.AssertionExpired, setClaims("exp", t0-61, t0-11)...)
			d.proves(c, flow.SetClaim("exp", d.clock.now().Unix()-1))
		}},
		{"CA-22", tooLong},
		bentAssertion("CA-23", oauth.AssertionLifetime, func(d *deployment, _ *flow.Client) []flow.Edit {
			soon := d.clock.now().Unix() + 60 // what would be good as a number
			return setClaims("exp", "1999999999", fmt.Sprint(soon), []int64{soon}, "", json.RawMessage("1e400"), json.RawMessage("1e300"), -1, true, nil)
		}),
		{"CA-24", func(t *testing.T, d *deployment) { ahead(t, d, "iat") }},
		{"CA-25", func(t *testing.T, d *deployment) { ahead(t, d, "nbf") }},
	}
}

// tooLong asks for a row of a day, which must not come to be, and tries the limit of an hour.
func tooLong(t *testing.T, d *deployment) {
	c := d.register(0)
	now := d.clock.now().Unix()
	d.proves(c, flow.SetClaim("exp", now+3600))
	for _, exp := range []int64{now + 3660, now + 24*3600, 1 << 53, 253370764799} {
		signed := compact(t, c.Assertion(flow.SetClaim("exp", exp), flow.SetClaim("jti", "a day")))
		d.refuses(c, oauth.AssertionLifetime, signed)
		use := replay.NewUse(replay.Assertion, c.ID, "a day", time.Unix(exp, 0))
		if kept, _, err := d.store.Denied(t.Context(), use, c.ID, ""); err != nil || kept {
			t.Errorf("exp %d is kept (%v)", exp, err)
		}
	}
	d.expect(c, asserting(c, flow.SetClaim("jti", "a day")), "200")
}

// ahead plays a time in the future: refused beyond a minute, accepted up to ten seconds, and between these the same at
// every replica.
func ahead(t *testing.T, d *deployment, name string) {
	c, t0 := d.register(0), d.clock.now().Unix()
	d.refusesEach(c, oauth.AssertionNotYet, setClaims(name, t0+120, t0+62, fmt.Sprint(t0), []int64{t0}, "", true, nil, -1)...)
	d.proves(c, flow.SetClaim(name, d.clock.now().Unix()+10))
	for _, seconds := range []int64{20, 45} {
		outcomes := map[string]bool{}
		for i := range d.replicas {
			moved := d.at(c, i)
			outcomes[do(t, moved.Server, asserting(moved, flow.SetClaim(name, d.clock.now().Unix()+seconds))).Outcome()] = true
		}
		if len(outcomes) != 1 {
			t.Errorf("%s %d s ahead: the replicas disagree: %v", name, seconds, outcomes)
		}
	}
}
