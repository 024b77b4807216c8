package main

import (
	"maps"
	"net/http"
	"testing"
	"time"

	"authserver/internal/flow"
	"authserver/internal/issuer"
	"authserver/internal/oauth"
	"authserver/internal/token"
)

// published has a client register the server's public keys beside its own, so that whatever the server signed verifies as the
// client's, too.
func published(t *testing.T, s *flow.Server, own *flow.Key) func(map[string]any) {
	t.Helper()
	theirs, err := s.Keys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	keys := []any{own.PublicJWK()}
	for _, k := range theirs {
		keys = append(keys, k)
	}
	return withKeys(keys...)
}

// everything gives a JWT that the client signs all claims that its other kinds have, so that only what must tell them apart
// does: sub, response_type, typ and jwk.
func everything(c *flow.Client) flow.Edit {
	return func(draft *flow.Draft) {
		claims := map[string]any{"iss": c.ID, "client_id": c.ID, "aud": c.Server.Issuer, "htm": http.MethodPost,
			"htu": c.Server.Metadata.TokenEndpoint, "exp": c.Server.Now().Add(time.Minute).Unix()}
		for name, values := range pushable() {
			claims[name] = values[0]
		}
		maps.Copy(claims, draft.Claims)
		draft.Claims = claims
	}
}

// everyJWT is one of each kind that client or server sign, by the name of its kind, and one that no door takes: it is about
// the client, as an assertion is, and asks, as a request object does. One key of the client signs all of its own.
func everyJWT(t *testing.T, c *flow.Client) map[string]string {
	t.Helper()
	a := ask(t, c, identified, bend("response_mode", "jwt"))
	b := a.browser()
	code := a.answerAt(b, a.url(), flow.Approve).Get("code")
	answer, err := b.Page.ReadResponse(callback)
	if err != nil {
		t.Fatal(err)
	}
	token := a.redeem(code)
	all := map[string]string{
		"client assertion":       compact(t, c.Assertion(everything(c), flow.DropClaim("response_type"), flow.DropHeader("typ"))),
		"neither of the two":     compact(t, c.Assertion(everything(c), flow.DropHeader("typ"))),
		"request object":         compact(t, c.RequestObject(pushable(), everything(c), flow.DropHeader("typ"))),
		"proof":                  compact(t, c.Proof(http.MethodPost, c.Server.Metadata.TokenEndpoint, everything(c))),
		"access token":           token.AccessToken,
		"ID token":               identity(t, c, token).Compact,
		"authorization response": answer,
		"answer of userinfo":     whom(t, c, http.MethodGet, token.AccessToken).ResponseBody,
		"introspection":          do(t, c.Server, c.IntrospectRequest(token.AccessToken)).ResponseBody,
	}
	for kind, text := range all {
		if _, err := flow.Decode(text); err != nil {
			t.Fatalf("%s: %v: %s", kind, err, text)
		}
	}
	return all
}

// TestCrossUse (CRY-04, CA-71, PR-32; RFC 8725 §3.11, §3.12): wherever this server takes a JWT it takes one kind. The client
// has gone as far as it can: it signs everything with one key, leaves out typ where it may, has registered the server's keys as
// its own, and an issuer that is trusted has its key.
func TestCrossUse(t *testing.T) {
	d := deploy(t, 1, nil)
	k := key(t, "ES256")
	c := d.registered(k, func(m map[string]any) {
		recipient(m)
		withOpenID(m)
		published(t, d.server(0), k)(m)
		m["grant_types"], m["scope"] = append(m["grant_types"].([]string), token.JWTBearer), m["scope"].(string)+" "+demoScope
		for _, kind := range []string{"id_token", "authorization", "userinfo", "introspection"} {
			m[kind+"_signed_response_alg"] = "ES256"
		}
	})
	c.DPoPKey = k
	g := gateway{"an issuer with the key of its client", k, c}
	d.trust(g, func(i *issuer.Issuer) {
		i.JWKS, i.Clients, i.Scopes = jwksOf(k), []string{c.ID}, oauth.Scope{demoScope}
	})
	all := everyJWT(t, c)
	all["assertion of an issuer"] = compact(t, g.grant(everything(c), flow.DropHeader("typ")))
	literally := func(r *flow.Request, into *flow.Compact, jwt string) *flow.Exchange {
		*into = flow.Literal(jwt)
		return do(t, c.Server, r)
	}
	for door, test := range map[string]struct {
		kind  string
		bring func(jwt string) *flow.Exchange
	}{
		"client_assertion": {"client assertion", func(jwt string) *flow.Exchange {
			r := c.TokenRequest(nil)
			return literally(r, &r.Assertion, jwt)
		}},
		"request": {"request object", func(jwt string) *flow.Exchange {
			r := c.SignedPushRequest(nil)
			return literally(r, &r.RequestObject, jwt)
		}},
		"DPoP": {"proof", func(jwt string) *flow.Exchange {
			r := c.TokenRequest(nil)
			return literally(r, &r.Proof, jwt)
		}},
		"assertion": {"assertion of an issuer", func(jwt string) *flow.Exchange {
			return do(t, c.Server, g.by(t, c, flow.Literal(jwt)))
		}},
		"Authorization": {"access token", func(jwt string) *flow.Exchange { return whom(t, c, http.MethodGet, jwt) }},
		"id_token_hint": {"ID token", func(jwt string) *flow.Exchange {
			return do(t, c.Server, c.PushRequest(bent(identified, bend("id_token_hint", jwt))))
		}},
		"token": {"access token", func(jwt string) *flow.Exchange { return do(t, c.Server, c.IntrospectRequest(jwt)) }},
	} {
		for kind, jwt := range all {
			e := test.bring(jwt)
			taken := e.Status < 300
			if door == "token" { // a JWT that this one client may verify: it has registered for that
				says, err := flow.Decode(e.ResponseBody)
				about, _ := says.Claims["token_introspection"].(map[string]any)
				if taken = about["active"] == true; err != nil || e.Status != http.StatusOK {
					t.Errorf("%s as %s: %s", kind, door, e.Outcome())
				}
			}
			if taken != (kind == test.kind) || e.Status >= 500 {
				t.Errorf("%s as %s: %s %s", kind, door, e.Outcome(), e.ErrorDescription())
			}
		}
	}
}
