package main

import (
	"encoding/base64"
	"strings"
	"testing"

	"authserver/internal/flow"
	"authserver/internal/oauth"
)

// assertionHeaders are headers that name a key from elsewhere, change what the signature means, or belong to another kind
// of JWT.
func assertionHeaders() []attack {
	typ := func(values ...any) func(*deployment, *flow.Client) []flow.Edit {
		return func(*deployment, *flow.Client) []flow.Edit {
			var edits []flow.Edit
			for _, value := range values {
				edits = append(edits, flow.SetHeader("typ", value))
			}
			return edits
		}
	}
	return []attack{
		{"CA-37", hostileKid},
		{"CA-38", func(t *testing.T, d *deployment) {
			attacker := key(t, "ES256")
			host := newKeyHost(t, publishing(attacker.PublicJWK()))
			d.keyFromElsewhere(attacker, flow.SetHeader("jku", host.URL+"/jwks"), flow.SetHeader("kid", attacker.ID))
			host.unreached(t)
		}},
		{"CA-39", func(t *testing.T, d *deployment) {
			attacker := key(t, "ES256")
			d.keyFromElsewhere(attacker, flow.SetHeader("jwk", attacker.PublicJWK()))
			d.keyFromElsewhere(attacker, flow.SetHeader("jwk", attacker.PublicJWK()), flow.DropHeader("kid"))
		}},
		{"CA-40", foreignCertificate},
		bentAssertion("CA-41", oauth.AssertionMalformed, func(*deployment, *flow.Client) []flow.Edit {
			crit := func(names ...string) flow.Edit {
				return func(draft *flow.Draft) { draft.Header["crit"], draft.Header["urn:x"] = names, 1 }
			}
			return []flow.Edit{flow.SetHeader("crit", []string{"exp"}), flow.SetHeader("crit", []string{"alg"}), flow.SetHeader("crit", nil),
				flow.SetHeader("crit", ""), crit("urn:x"), crit()}
		}),
		{"CA-42", unencodedPayload},
		bentAssertion("CA-43", oauth.AssertionTyp, typ("dpop+jwt", "at+jwt", "application/at+jwt", "AT+JWT", "application/DPoP+jwt",
			"token-introspection+jwt", "oauth-authz-req+jwt", "logout+jwt", "dpop+"+kelvin+"wt", "JWTX", "")),
	}
}

// keyFromElsewhere wants an attacker's key to be worth nothing, although the header says where to find it.
func (d *deployment) keyFromElsewhere(attacker *flow.Key, edits ...flow.Edit) {
	d.t.Helper()
	c := d.register(0)
	d.doesNotProve(c, oauth.AssertionMalformed, c.Assertion(append(edits, flow.SignWith(attacker))...))
	d.doesNotProve(c, oauth.AssertionMalformed, c.Assertion(edits[:1]...)) // signed by the client itself: the member is not ignored either
}

func hostileKid(t *testing.T, d *deployment) {
	c := d.register(0)
	for kid, why := range map[string]oauth.Reason{
		"../../../../dev/null": oauth.ClientNotProven, "' OR 1=1--": oauth.ClientNotProven, `<script>"\`: oauth.ClientNotProven,
		"a\x00b\r\nX-Injected: 1": oauth.ClientNotProven, strings.Repeat("A", 256): oauth.ClientNotProven,
		strings.Repeat("A", 257): oauth.AssertionMalformed, strings.Repeat("A", 4<<10): oauth.AssertionMalformed, "": oauth.AssertionMalformed,
	} {
		d.doesNotProve(c, why, c.Assertion(flow.SetHeader("kid", kid)))
		e := do(t, c.Server, asserting(c, flow.SetHeader("kid", kid)))
		if kid != "" && strings.Contains(e.ResponseBody, kid) || e.ResponseHeader.Get("X-Injected") != "" {
			t.Errorf("the answer repeats the kid: %v %s", e.ResponseHeader, e.ResponseBody)
		}
	}
	d.doesNotProve(c, oauth.AssertionMalformed, c.Assertion(flow.SetHeader("kid", 7)), c.Assertion(flow.SetHeader("kid", nil)))
}

func foreignCertificate(t *testing.T, d *deployment) {
	authority := newAuthority(t)
	attacker := &flow.Key{ID: "attacker", Alg: "ES256", Signer: authority.key}
	host := newKeyHost(t, publishing(attacker.PublicJWK()))
	chain := []string{base64.StdEncoding.EncodeToString(authority.certificate.Raw)}
	d.keyFromElsewhere(attacker, flow.SetHeader("x5c", chain))
	d.keyFromElsewhere(attacker, flow.SetHeader("x5u", host.URL+"/jwks"))
	host.unreached(t)
}

// unencodedPayload plays RFC 7797: the payload as it is, as base64url all the same, and detached.
func unencodedPayload(t *testing.T, d *deployment) {
	c := d.register(0)
	unencoded := []flow.Edit{flow.SetHeader("b64", false), flow.SetHeader("crit", []string{"b64"})}
	plain := func(header, claims string) string {
		text, err := base64.RawURLEncoding.DecodeString(claims)
		if err != nil || strings.Contains(string(text), ".") {
			t.Fatal("the claims cannot stand in a compact JWS as they are", err)
		}
		return header + "." + string(text)
	}
	detached := altered(respelled(t, c, plain, unencoded...), func(signed string) string {
		return signed[:strings.IndexByte(signed, '.')+1] + signed[strings.LastIndexByte(signed, '.'):]
	})
	d.doesNotProve(c, oauth.AssertionMalformed, respelled(t, c, plain, unencoded...), c.Assertion(unencoded...), c.Assertion(unencoded[0]),
		c.Assertion(flow.SetHeader("b64", true)), detached)
}
