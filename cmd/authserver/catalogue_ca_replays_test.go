package main

import (
	"net/http"
	"testing"

	"authserver/internal/flow"
	"authserver/internal/oauth"

	"github.com/google/go-cmp/cmp"
)

// assertionReplays are assertions that were used before, and those that only look so.
func assertionReplays() []attack {
	return []attack{
		{"CA-27", func(t *testing.T, d *deployment) {
			for endpoint := range endpoints(d.register(0)) {
				c := d.register(0)
				signed := compact(t, c.Assertion())
				d.usesUp(c, endpoint, signed)
				r := endpoints(c)[endpoint]
				r.Assertion = flow.Literal(signed)
				refusedFor(t, do(t, c.Server, r), "401 invalid_client", oauth.AssertionReplayed)
				d.expect(c, c.TokenRequest(nil), "200")
			}
		}},
		{"CA-28", func(t *testing.T, d *deployment) {
			for endpoint := range endpoints(d.register(0)) {
				c := d.register(0)
				signed := compact(t, c.Assertion())
				d.usesUp(c, endpoint, signed)
				d.refuses(d.at(c, 1), oauth.AssertionReplayed, signed)
				d.proves(c)
			}
		}},
		{"CA-29", fiftyAtOnce},
		{"CA-30", replayAfterRestart},
		{"CA-31", func(_ *testing.T, d *deployment) {
			same := func(draft *flow.Draft) {
				draft.Claims["jti"], draft.Claims["exp"] = "the same for two clients", d.clock.now().Unix()+50
			}
			c1, c2 := d.register(0), d.register(1)
			d.checkHolder(d.expect(c1, asserting(c1, same), "200"), c1)
			d.checkHolder(d.expect(c2, asserting(c2, same), "200"), c2)
		}},
		{"CA-32", chosenID},
		{"CA-51", func(t *testing.T, d *deployment) {
			c := d.register(0)
			d.refusesAltered(c, lastBit)
			signed := compact(t, c.Assertion())
			d.usesUp(c, "token", signed)
			d.refuses(c, oauth.AssertionMalformed, lastBit(signed))
		}},
		{"CA-56", func(t *testing.T, d *deployment) {
			c := d.register(0)
			signed := compact(t, c.Assertion())
			d.usesUp(c, "token", signed)
			d.refuses(c, oauth.AssertionReplayed, nMinusS(t, signed))
			signed = compact(t, c.Assertion())
			d.usesUp(c, "revoke", nMinusS(t, signed)) // the twin is the same assertion: it works once, and then neither does
			d.refuses(c, oauth.AssertionReplayed, signed)
		}},
	}
}

// usesUp plays an assertion that works.
func (d *deployment) usesUp(c *flow.Client, endpoint, signed string) {
	d.t.Helper()
	r := endpoints(c)[endpoint]
	r.Assertion = flow.Literal(signed)
	d.expect(c, r, "200")
}

func fiftyAtOnce(t *testing.T, d *deployment) {
	clients := d.everywhere(d.register(0))
	for _, endpoint := range []string{"token", "introspect", "revoke"} {
		signed := flow.Literal(compact(t, clients[0].Assertion()))
		got := atOnce(t, 50, func(i int) (*flow.Server, *flow.Request) {
			c := clients[i%len(clients)]
			r := endpoints(c)[endpoint]
			r.Assertion = signed
			return c.Server, r
		})
		if diff := cmp.Diff(map[string]int{"200": 1, "401 invalid_client": 49}, got); diff != "" {
			t.Errorf("%s: %s", endpoint, diff)
		}
	}
	d.proves(clients[1])
}

func replayAfterRestart(t *testing.T, _ *deployment) {
	d := deploy(t, 3, nil) // of its own: its replicas end
	c := d.register(0)
	signed := compact(t, c.Assertion())
	d.usesUp(c, "token", signed)
	d.restart()
	c = d.at(c, 0)
	d.refuses(c, oauth.AssertionReplayed, signed)
	d.proves(c)
}

// chosenID: an attacker who knows the client and guesses its next jti cannot use that up, whatever is wrong with what he
// sends, and neither can the client's own mistakes.
func chosenID(t *testing.T, d *deployment) {
	c, exp := d.register(0), d.clock.now().Unix()+50
	chosen := func(draft *flow.Draft) { draft.Claims["jti"], draft.Claims["exp"] = "chosen by an attacker", exp }
	attacker := key(t, "ES256")
	for _, forged := range []struct {
		why  oauth.Reason
		edit flow.Edit
	}{
		{oauth.ClientNotProven, flow.SignWith(attacker)},
		{oauth.ClientNotProven, flow.SetHeader("kid", "nobody's")},
		{oauth.AssertionAudience, flow.SetClaim("aud", "https://other-as.example")},
		{oauth.AssertionTyp, flow.SetHeader("typ", "at+jwt")},
		{oauth.AssertionNotYet, flow.SetClaim("nbf", exp+600)},
	} {
		d.refuses(c, forged.why, compact(t, c.Assertion(chosen, forged.edit)))
	}
	good := compact(t, c.Assertion(chosen))
	r := bearing(c, good)
	r.Proof = c.Proof(http.MethodGet, r.URL) // what the client itself gets wrong uses nothing up either
	refusedFor(t, do(t, c.Server, r), "400 invalid_dpop_proof", oauth.ProofMethod)
	d.expect(c, bearing(c, good), "200")
	d.refuses(c, oauth.AssertionReplayed, good)
}
