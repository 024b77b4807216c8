package main

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"authserver/internal/flow"
	"authserver/internal/oauth"
)

// attacksOnProofs are the cases about proof of possession (RFC 9449).
func attacksOnProofs() []attack {
	return slices.Concat(attacksOnProofShapes(), attacksOnProofKeys(), attacksOnProofURLs(), attacksOnProofTimes(),
		attacksOnNonces(), attacksOnBoundTokens(), attacksOnCodeKeys())
}

// tokenProof is a proof for the token endpoint, bent.
func tokenProof(c *flow.Client, edits ...flow.Edit) flow.Compact {
	return c.Proof(http.MethodPost, c.Server.Metadata.TokenEndpoint, edits...)
}

// once sends a request without the retry that a nonce is worth.
func once(t testing.TB, c *flow.Client, r *flow.Request) *flow.Exchange {
	t.Helper()
	e, err := c.Server.Send(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	checkAnswer(t, e)
	return e
}

// boundTo wants a token that is bound to a key.
func boundTo(t testing.TB, e *flow.Exchange, k *flow.Key) {
	t.Helper()
	outcome(t, e, "200")
	if token := issued(e); flow.Confirmation(token.Claims) != k.Thumbprint() || e.JSON()["token_type"] != "DPoP" {
		t.Errorf("%s %s: cnf %v, token_type %v; want jkt %s", e.Method, e.URL, token.Claims["cnf"], e.JSON()["token_type"], k.Thumbprint())
	}
}

// issued is the access token of an answer; the zero JWT when there is none.
func issued(e *flow.Exchange) flow.JWT {
	i := slices.IndexFunc(e.JWTs, func(j flow.JWT) bool { return j.Name == "access_token" })
	if i < 0 {
		return flow.JWT{}
	}
	return e.JWTs[i]
}

// prove wants a token bound to the client's key for each of the proofs.
func prove(t testing.TB, c *flow.Client, proofs ...flow.Compact) {
	t.Helper()
	for _, proof := range proofs {
		r := c.TokenRequest(nil)
		r.Proof = proof
		boundTo(t, do(t, c.Server, r), c.DPoPKey)
	}
}

// proveNothing wants each of the proofs refused for a reason, and that this used nothing up: a good proof beside the same
// assertion is then worth a token (G10).
func proveNothing(t testing.TB, c *flow.Client, reason oauth.Reason, proofs ...flow.Compact) {
	t.Helper()
	for _, proof := range proofs {
		r := c.TokenRequest(nil)
		r.Assertion, r.Proof = flow.Literal(compact(t, c.Assertion())), proof
		refusedFor(t, do(t, c.Server, r), "400 invalid_dpop_proof", reason)
		r.Proof = tokenProof(c)
		boundTo(t, do(t, c.Server, r), c.DPoPKey)
	}
}

func attacksOnProofShapes() []attack {
	return []attack{
		{"DP-01", func(t *testing.T, d *deployment) {
			for _, c := range d.everywhere(d.register(0)) {
				boundTo(t, once(t, c, c.TokenRequest(nil)), c.DPoPKey)
			}
		}},
		{"DP-02", func(t *testing.T, d *deployment) {
			c := d.register(0)
			prove(t, c, tokenProof(c, timed(c, "exp", 120*time.Second)))
		}},
		{"DP-03", func(t *testing.T, d *deployment) {
			c := d.register(0)
			proveNothing(t, c, oauth.ProofExpired, tokenProof(c, timed(c, "exp", -time.Minute)), tokenProof(c, flow.SetClaim("exp", 0)))
			proveNothing(t, c, oauth.ProofClaims, tokenProof(c, flow.SetClaim("exp", "1999999999")), tokenProof(c, flow.SetClaim("exp", json.Number("1e400"))))
		}},
		{"DP-04", proofTwice},
		{"DP-05", proofMissing},
		{"DP-06", func(t *testing.T, d *deployment) {
			c := d.register(0)
			proveNothing(t, c, oauth.ProofTyp, tokenProof(c, flow.SetHeader("typ", "JWT")), tokenProof(c, flow.DropHeader("typ")),
				tokenProof(c, flow.SetHeader("typ", "dpop")), tokenProof(c, flow.SetHeader("typ", "at+jwt")), tokenProof(c, flow.SetHeader("typ", "")))
			answers := map[string]bool{}
			for _, c := range d.everywhere(c) {
				answers[d.expect(c, proving(c, flow.SetHeader("typ", "application/dpop+jwt")), "200", "400 invalid_dpop_proof").Outcome()] = true
			}
			if len(answers) != 1 {
				t.Errorf("the replicas do not agree: %v", answers)
			}
		}},
		{"DP-13", func(t *testing.T, d *deployment) {
			c := d.register(0)
			for _, name := range []string{"jti", "htm", "htu", "iat"} {
				proveNothing(t, c, oauth.ProofClaims, tokenProof(c, flow.DropClaim(name)), tokenProof(c, flow.SetClaim(name, nil)),
					tokenProof(c, flow.SetClaim(name, "")), tokenProof(c, flow.SetClaim(name, []string{"POST"})))
			}
		}},
		{"DP-14", func(t *testing.T, d *deployment) {
			c := d.register(0)
			for _, method := range []string{"post", "GET", "Post", " POST", "POST,GET"} {
				proveNothing(t, c, oauth.ProofMethod, tokenProof(c, flow.SetClaim("htm", method)))
			}
		}},
		{"DP-26", longID},
		{"DP-27", func(t *testing.T, d *deployment) {
			c := d.register(0)
			for _, c := range d.everywhere(c) {
				c.DPoPKey = key(t, "ES256")
				prove(t, c, tokenProof(c, flow.SetClaim("jti", "one for several keys")))
			}
		}},
		{"DP-44", func(t *testing.T, d *deployment) {
			c := d.register(0)
			for _, critical := range []any{[]string{"exp"}, []string{"jwk"}, []string{"b64"}, []string{}, nil} {
				proveNothing(t, c, oauth.ProofMalformed, tokenProof(c, flow.SetHeader("crit", critical), flow.SetHeader("b64", true)),
					tokenProof(c, flow.SetHeader("crit", critical)))
			}
		}},
	}
}

// timed sets a claim to a time some way from the moment of signing.
func timed(c *flow.Client, name string, offset time.Duration) flow.Edit {
	return func(d *flow.Draft) { d.Claims[name] = c.Server.Now().Add(offset).Unix() }
}

// proofTwice: DP-04. Neither of two proofs is taken, nor used up.
func proofTwice(t *testing.T, d *deployment) {
	c := d.everywhere(d.register(0))[0]
	one, two := compact(t, tokenProof(c)), compact(t, tokenProof(c))
	assertion := flow.Literal(compact(t, c.Assertion()))
	for _, proofs := range [][]string{{one, one}, {one, two}, {two, one}, {one, ""}, {one + ", " + two}} {
		r := c.TokenRequest(nil)
		r.Assertion, r.Proof, r.Header = assertion, nil, http.Header{"Dpop": proofs}
		refusedFor(t, do(t, c.Server, r), "400 invalid_dpop_proof", oauth.ProofRepeated)
	}
	r := c.TokenRequest(nil)
	r.Assertion, r.Proof = assertion, flow.Literal(one)
	boundTo(t, once(t, c, r), c.DPoPKey)
	prove(t, c, flow.Literal(two))
}

// proofMissing: DP-05. No token is issued as Bearer, whether the client registered for bound ones or said nothing.
func proofMissing(t *testing.T, d *deployment) {
	for _, says := range []any{true, false, nil} {
		c := d.register(0, func(m map[string]any) { m["dpop_bound_access_tokens"] = says })
		r := c.TokenRequest(nil)
		r.Assertion, r.Proof = flow.Literal(compact(t, c.Assertion())), nil
		refusedFor(t, do(t, c.Server, r), "400 invalid_request", oauth.ProofMissing)
		r.Proof = tokenProof(c)
		boundTo(t, do(t, c.Server, r), c.DPoPKey)
	}
}

// longID: DP-26. A jti of any length that is taken is kept as a hash; a longer one is refused, by the replica's own
// listener even before the proof is read.
func longID(t *testing.T, d *deployment) {
	c := d.register(0)
	proveNothing(t, c, oauth.ProofMalformed, tokenProof(c, flow.SetClaim("jti", strings.Repeat("j", 100<<10))))
	proveNothing(t, c, oauth.ProofClaims, tokenProof(c, flow.SetClaim("jti", strings.Repeat("j", 1025))))
	long := flow.SetClaim("jti", strings.Repeat("j", 1024))
	prove(t, c, tokenProof(c, long))
	r := proving(c, long)
	refusedFor(t, do(t, c.Server, r), "400 invalid_dpop_proof", oauth.ProofReplayed)
	if longest := one[int](t, d, `SELECT max(octet_length(key)) FROM spent`); longest != sha256.Size {
		t.Errorf("a key of %d bytes is stored", longest)
	}

	moved := d.at(c, 0)
	moved.Server = d.serverThrough(ownListener(t, d.replicas[0]))
	e, err := moved.Server.Send(t.Context(), proving(moved, flow.SetClaim("jti", strings.Repeat("j", 100<<10))))
	if err != nil || e.Status != http.StatusRequestHeaderFieldsTooLarge || inside.MatchString(e.ResponseBody) {
		t.Errorf("%v, %+v", err, e)
	}
	prove(t, moved, tokenProof(moved))
}

func attacksOnProofKeys() []attack {
	return []attack{
		{"DP-07", func(t *testing.T, d *deployment) {
			c := d.register(0)
			none := tokenProof(c, flow.SignAs("none"))
			proveNothing(t, c, oauth.ProofMalformed, none)
			proveNothing(t, c, oauth.ProofAlg, altered(none, func(s string) string { return s + "AA" }),
				tokenProof(c, flow.SetHeader("alg", "nOnE")), tokenProof(c, flow.SetHeader("alg", "NONE")), tokenProof(c, flow.DropHeader("alg")))
		}},
		{"DP-08", symmetricProofs},
		{"DP-09", func(t *testing.T, d *deployment) {
			c, prover := d.register(0), d.register(0)
			prover.DPoPKey = d.registrar // of RSA
			proveNothing(t, c, oauth.ProofAlg, tokenProof(prover, flow.SignAs("RS256")), tokenProof(prover, flow.SetHeader("alg", "RS256")))
			proveNothing(t, c, oauth.ProofSignature, tokenProof(prover, flow.SignAs("RS256"), flow.SetHeader("alg", "PS256")))
			prove(t, prover, tokenProof(prover))
		}},
		{"DP-10", func(t *testing.T, d *deployment) {
			c := d.register(0)
			for _, jwk := range []any{
				nil, "a string", map[string]any{}, []any{c.DPoPKey.PublicJWK()}, 7, map[string]any{"kty": nil}, map[string]any{"kty": "EC", "crv": "P-256"},
			} {
				proveNothing(t, c, oauth.ProofKey, tokenProof(c, flow.SetHeader("jwk", jwk)))
			}
			proveNothing(t, c, oauth.ProofKey, tokenProof(c, flow.DropHeader("jwk")),
				tokenProof(c, flow.DropHeader("jwk"), flow.SetHeader("kid", c.Key.ID)))
		}},
		{"DP-11", privateProofs},
		{"DP-12", func(t *testing.T, d *deployment) {
			c := d.register(0)
			proveNothing(t, c, oauth.ProofSignature, tokenProof(c, flow.SignWith(key(t, "ES256"))), tokenProof(c, flow.SignWith(c.Key)),
				tokenProof(c, flow.SetHeader("jwk", key(t, "ES256").PublicJWK())))
			proveNothing(t, c, oauth.ProofKey, tokenProof(c, flow.SignWith(key(t, "EdDSA"))))
		}},
		{"DP-42", func(t *testing.T, d *deployment) {
			c := d.register(0)
			members := membersOf(t, c.DPoPKey.PublicJWK()) // with kid, use and alg
			members["x5c"], members["x5t"], members["note"] = []string{"MIIB"}, "AAAA", map[string]any{"d": "not this key's"}
			prove(t, c, tokenProof(c, flow.SetHeader("jwk", members)), tokenProof(c, flow.SetHeader("jwk", members), flow.SetHeader("kid", "x")))
		}},
		{"DP-43", strippedKeys},
		{"DP-46", oddSizedKeys},
	}
}

// symmetricProofs: DP-08, the MAC made well with a key that the header hands over, or with the public key itself.
func symmetricProofs(t *testing.T, d *deployment) {
	c := d.register(0)
	public, err := json.Marshal(c.DPoPKey.PublicJWK())
	if err != nil {
		t.Fatal(err)
	}
	mac := func(jwk any, secret []byte) flow.Compact {
		return altered(tokenProof(c, flow.SetHeader("alg", "HS256"), flow.SetHeader("jwk", jwk)), func(s string) string {
			input := s[:strings.LastIndexByte(s, '.')]
			h := hmac.New(sha256.New, secret)
			h.Write([]byte(input))
			return input + "." + base64.RawURLEncoding.EncodeToString(h.Sum(nil))
		})
	}
	oct := map[string]any{"kty": "oct", "k": base64.RawURLEncoding.EncodeToString([]byte("thirty-two bytes of shared secret"))}
	proveNothing(t, c, oauth.ProofAlg, mac(oct, []byte("thirty-two bytes of shared secret")), mac(c.DPoPKey.PublicJWK(), public))
	proveNothing(t, c, oauth.ProofKey, tokenProof(c, flow.SetHeader("jwk", oct)))
}

// privateProofs: DP-11. Whoever sends a private key is told so, and nobody else can read it afterwards.
func privateProofs(t *testing.T, d *deployment) {
	c, prover := d.register(0), d.register(0)
	private, err := c.DPoPKey.PrivateJWK()
	if err != nil {
		t.Fatal(err)
	}
	empty := membersOf(t, c.DPoPKey.PublicJWK())
	empty["d"] = ""
	proveNothing(t, c, oauth.ProofKey, tokenProof(c, flow.SetHeader("jwk", private)), tokenProof(c, flow.SetHeader("jwk", empty)))

	prover.DPoPKey = key(t, "PS256")
	whole, err := prover.DPoPKey.PrivateJWK()
	if err != nil {
		t.Fatal(err)
	}
	half := membersOf(t, prover.DPoPKey.PublicJWK())
	half["p"] = whole.P
	proveNothing(t, c, oauth.ProofKey, tokenProof(prover, flow.SetHeader("jwk", whole)), tokenProof(prover, flow.SetHeader("jwk", half)))
	for _, secret := range []string{private.D, whole.D, whole.P} {
		if strings.Contains(d.logs.String(), secret) {
			t.Error("G4: the log holds a private key")
		}
	}
}

// strippedKeys: DP-43. A coordinate without the zero that it begins with, or with one more, would be a second thumbprint of
// one key.
func strippedKeys(t *testing.T, d *deployment) {
	c := d.register(0)
	for _, name := range []string{"x", "y"} {
		var coordinate []byte
		for coordinate == nil || coordinate[0] != 0 {
			c.DPoPKey = key(t, "ES256")
			coordinate, _ = base64.RawURLEncoding.DecodeString(membersOf(t, c.DPoPKey.PublicJWK())[name].(string))
		}
		respelled := func(octets []byte) flow.Compact {
			members := membersOf(t, c.DPoPKey.PublicJWK())
			members[name] = base64.RawURLEncoding.EncodeToString(octets)
			return tokenProof(c, flow.SetHeader("jwk", members))
		}
		proveNothing(t, c, oauth.ProofKey, respelled(coordinate[1:]), respelled(append([]byte{0}, coordinate...)))
		prove(t, c, respelled(coordinate))
	}
}

// oddSizedKeys: DP-46. A key of a size that is not taken is refused before it verifies anything, which is what would cost:
// then the reason would be the signature.
func oddSizedKeys(t *testing.T, d *deployment) {
	c, prover := d.register(0), d.register(0)
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	prover.DPoPKey = &flow.Key{Alg: "PS256", Signer: small}
	huge := make([]byte, 16384/8)
	_, _ = rand.Read(huge)
	huge[0], huge[len(huge)-1] = huge[0]|0x80, huge[len(huge)-1]|1
	enormous := flow.SetHeader("jwk", map[string]any{"kty": "RSA", "n": base64.RawURLEncoding.EncodeToString(huge), "e": "AQAB"})
	signed := func(octets int, edits ...flow.Edit) flow.Compact {
		return altered(tokenProof(prover, edits...), func(s string) string {
			return s[:strings.LastIndexByte(s, '.')+1] + base64.RawURLEncoding.EncodeToString(huge[:octets])
		})
	}
	proofs := []flow.Compact{tokenProof(prover), signed(256), signed(len(huge), enormous), signed(512, enormous), signed(256, enormous)}
	for _, proof := range proofs {
		r := c.TokenRequest(nil)
		r.Proof = proof
		e := do(t, c.Server, r)
		if outcome(t, e, "400 invalid_dpop_proof"); reasonOf(e) == oauth.ProofSignature {
			t.Error("the key was used to verify a signature")
		}
	}
	prove(t, c, tokenProof(c))
}

// membersOf is a value as a JSON object.
func membersOf(t testing.TB, value any) map[string]any {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	var object map[string]any
	if err := json.Unmarshal(text, &object); err != nil {
		t.Fatal(err)
	}
	return object
}
