package dpop_test

import (
	"crypto/sha256"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"authserver/internal/dpop"
	"authserver/internal/oauth"
	"authserver/internal/replay"
)

func TestVerifyAccepts(t *testing.T) {
	ec := ecProver()
	tests := []struct {
		name  string
		by    prover
		edits []edit
	}{
		{"DP-01 ES256", ec, nil},
		{"DP-01 PS256", rsaProver(2048), nil},
		{"DP-01 EdDSA", edProver(), nil},
		{"DP-01 Ed25519 by its other name", edProver(), []edit{set("alg", "Ed25519")}},
		{"DP-02 exp", ec, []edit{with("exp", now.Unix()+120)}},
		{"DP-06 typ in another case", ec, []edit{set("typ", "DPoP+JWT")}},
		{"DP-06 typ as a media type", ec, []edit{set("typ", "application/dpop+jwt")}},
		{"DP-15 htu with a query", ec, []edit{with("htu", endpoint+"?x=1")}},
		{"DP-15 htu with a fragment", ec, []edit{with("htu", endpoint+"#f")}},
		{"DP-16 htu in another spelling", ec, []edit{with("htu", "HTTPS://AS.EXAMPLE:443/oauth2/%74oken")}},
		{"DP-23 iat 8 s ahead", ec, []edit{iat(8)}},
		{"iat 10 s ago", ec, []edit{iat(-10)}},
		{"iat with a fraction", ec, []edit{with("iat", 1759999999.75)}},
		{"DP-42 more members in jwk", ec, []edit{inJWK("kid", "k1"), inJWK("use", "sig"), inJWK("alg", "ES256"), inJWK("x5c", []string{"MIIB"})}},
		{"DPOP-02 kid in the header", ec, []edit{set("kid", "k1")}},
		{"DPOP-06 nbf now and exp in five minutes", ec, []edit{with("nbf", now.Unix()), with("exp", now.Unix()+300)}},
		{"exp within the leeway", ec, []edit{with("exp", now.Unix()-9)}},
		{"unknown claims", ec, []edit{with("sub", "c1"), with("x", object{"y": []int{1}})}},
		{"ath where no token is", ec, []edit{with("ath", "x")}},
		{"DP-26 jti of 1 KiB", ec, []edit{with("jti", strings.Repeat("j", 1024))}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			proof, err := required(t).Verify(sent(test.by.proof(t, test.edits...)), atToken, now)
			if err != nil {
				t.Fatal(err)
			}
			if want := test.by.Thumbprint(); proof.Thumbprint != want {
				t.Errorf("thumbprint %s, want %s", proof.Thumbprint, want)
			}
		})
	}
}

func TestVerifyRefuses(t *testing.T) {
	ec, other := ecProver(), ecProver()
	good := ec.proof(t)
	tests := []struct {
		name   string
		fields []string
		want   oauth.Reason
	}{
		{"DP-05 none", nil, oauth.ProofMissing},
		{"DP-04 the same twice", []string{good, good}, oauth.ProofRepeated},
		{"DP-04 two", []string{good, ec.proof(t)}, oauth.ProofRepeated},
		{"DP-04 two in one field", []string{good + ", " + ec.proof(t)}, oauth.ProofRepeated},
		{"DP-04 the second empty", []string{good, ""}, oauth.ProofRepeated},
		{"empty", []string{""}, oauth.ProofMalformed},
		{"no JWS", []string{"a.b"}, oauth.ProofMalformed},
		{"over 8 KiB", []string{strings.Repeat("a", 8<<10+1)}, oauth.ProofMalformed},
		{"DP-26 jti of 100 KiB", []string{ec.proof(t, with("jti", strings.Repeat("j", 100<<10)))}, oauth.ProofMalformed},
		{"DP-26 jti of 1 KiB and a byte", []string{ec.proof(t, with("jti", strings.Repeat("j", 1025)))}, oauth.ProofClaims},
		{"DP-06 typ JWT", []string{ec.proof(t, set("typ", "JWT"))}, oauth.ProofTyp},
		{"DP-06 typ absent", []string{ec.proof(t, set("typ", nil))}, oauth.ProofTyp},
		{"DP-06 typ dpop", []string{ec.proof(t, set("typ", "dpop"))}, oauth.ProofTyp},
		{"DP-06 typ at+jwt", []string{ec.proof(t, set("typ", "at+jwt"))}, oauth.ProofTyp},
		{"DP-07 alg none", []string{ec.proof(t, set("alg", "none"))}, oauth.ProofAlg},
		{"DP-07 alg absent", []string{ec.proof(t, set("alg", nil))}, oauth.ProofAlg},
		{"DP-08 HS256", []string{hs256(t)}, oauth.ProofAlg},
		{"DP-08 oct under ES256", []string{ec.proof(t, set("jwk", object{"kty": "oct", "k": "AAAA"}))}, oauth.ProofKey},
		{"DP-09 RS256", []string{rsaProver(2048).rs256(t)}, oauth.ProofAlg},
		{"DP-10 no jwk", []string{ec.proof(t, set("jwk", nil))}, oauth.ProofKey},
		{"DP-10 jwk is a string", []string{ec.proof(t, set("jwk", "k"))}, oauth.ProofKey},
		{"DP-10 jwk is empty", []string{ec.proof(t, set("jwk", object{}))}, oauth.ProofKey},
		{"DP-10 jwk is of another type than alg", []string{ec.proof(t, set("jwk", edProver().JWK()))}, oauth.ProofKey},
		{"DP-11 private key", []string{ec.proof(t, inJWK("d", "AAAA"))}, oauth.ProofKey},
		{"DP-11 null in the private key's place", []string{ec.proof(t, inJWK("d", json.RawMessage("null")))}, oauth.ProofKey},
		{"DP-12 another key", []string{ec.proof(t, set("jwk", other.JWK()))}, oauth.ProofSignature},
		{"DP-12 another's payload", []string{good[:strings.LastIndex(good, ".")] + ec.proof(t)[strings.LastIndex(ec.proof(t), "."):]}, oauth.ProofSignature},
		{"DP-13 no jti", []string{ec.proof(t, with("jti", nil))}, oauth.ProofClaims},
		{"DP-13 empty jti", []string{ec.proof(t, with("jti", ""))}, oauth.ProofClaims},
		{"DP-13 jti is a number", []string{ec.proof(t, with("jti", 7))}, oauth.ProofClaims},
		{"DP-13 no htm", []string{ec.proof(t, with("htm", nil))}, oauth.ProofClaims},
		{"DP-13 no htu", []string{ec.proof(t, with("htu", nil))}, oauth.ProofClaims},
		{"DP-13 no iat", []string{ec.proof(t, with("iat", nil))}, oauth.ProofClaims},
		{"DP-14 htm in small letters", []string{ec.proof(t, with("htm", "post"))}, oauth.ProofMethod},
		{"DP-14 htm GET", []string{ec.proof(t, with("htm", "GET"))}, oauth.ProofMethod},
		{"DP-14 htm with a space", []string{ec.proof(t, with("htm", "POST "))}, oauth.ProofMethod},
		{"DP-17 htu with a slash", []string{ec.proof(t, with("htu", endpoint+"/"))}, oauth.ProofURI},
		{"DP-18 htu http", []string{ec.proof(t, with("htu", "http://as.example/oauth2/token"))}, oauth.ProofURI},
		{"DP-18 htu of another endpoint", []string{ec.proof(t, with("htu", "https://as.example/oauth2/par"))}, oauth.ProofURI},
		{"DP-18 htu of another host", []string{ec.proof(t, with("htu", "https://evil.example/oauth2/token"))}, oauth.ProofURI},
		{"DP-19 htu is a number", []string{ec.proof(t, with("htu", 1))}, oauth.ProofClaims},
		{"DP-19 htu is an object", []string{ec.proof(t, with("htu", object{}))}, oauth.ProofClaims},
		{"DP-19 htu is no URL", []string{ec.proof(t, with("htu", "not a url"))}, oauth.ProofURI},
		{"DP-22 iat an hour ago", []string{ec.proof(t, iat(-3600))}, oauth.ProofStale},
		{"DP-22 iat ahead", []string{ec.proof(t, iat(120))}, oauth.ProofStale},
		{"DP-22 iat is a string", []string{ec.proof(t, with("iat", "1760000000"))}, oauth.ProofClaims},
		{"DP-22 iat is negative", []string{ec.proof(t, with("iat", -1))}, oauth.ProofClaims},
		{"DP-03 exp has passed", []string{ec.proof(t, with("exp", now.Unix()-10))}, oauth.ProofExpired},
		{"DP-03 exp is a string", []string{ec.proof(t, with("exp", "x"))}, oauth.ProofClaims},
		{"nbf ahead", []string{ec.proof(t, with("nbf", now.Unix()+31))}, oauth.ProofExpired},
		{"nbf is a bool", []string{ec.proof(t, with("nbf", true))}, oauth.ProofClaims},
		{"DP-43 x a byte short", []string{short(t)}, oauth.ProofKey},
		{"DP-44 crit", []string{ec.proof(t, set("crit", []string{"exp"}))}, oauth.ProofMalformed},
		{"DP-46 RSA of 1024 bits", []string{thin(t)}, oauth.ProofKey},
		{"DP-46 RSA of 16384 bits", []string{thick(t)}, oauth.ProofKey},
		{"two members of one name", []string{ec.Sign(text(object{"alg": "ES256", "typ": "dpop+jwt", "jwk": ec.JWK()}),
			`{"jti":"a","jti":"b","htm":"POST","htu":"`+endpoint+`","iat":1760000000}`)}, oauth.ProofMalformed},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			proof, err := required(t).Verify(sent(test.fields...), atToken, now)
			refused(t, err, test.want)
			if proof != (dpop.Proof{}) {
				t.Errorf("a refused proof proves %v", proof)
			}
		})
	}
}

// short is a proof whose key leaves out the zero that x begins with.
func short(t testing.TB) string {
	t.Helper()
	for {
		p := ecProver()
		if x := p.JWK()["x"].(string); strings.HasPrefix(x, "AA") { // at least twelve zero bits
			octets := make([]byte, 31)
			copy(octets, mustDecode(t, x)[1:])
			return p.proof(t, inJWK("x", b64(octets)))
		}
	}
}

// thin and thick are proofs by RSA keys of sizes that do not verify here.
func thin(t testing.TB) string {
	t.Helper()
	t.Setenv("GODEBUG", "rsa1024min=0")
	p := rsaProver(1024)
	// The signature is stretched so that the size of the key alone is what the refusal is about.
	compact := p.proof(t)
	return compact[:strings.LastIndex(compact, ".")+1] + b64(make([]byte, 256))
}

func thick(t testing.TB) string {
	t.Helper()
	modulus := make([]byte, 2048)
	modulus[0], modulus[2047] = 0x80, 1
	p := rsaProver(2048)
	return p.proof(t, inJWK("n", b64(modulus)))
}

// TestUse: what a proof uses up is its jti under its key, whatever else it says.
func TestUse(t *testing.T) {
	a, b := ecProver(), ecProver()
	use := func(p prover, edits ...edit) replay.Use {
		t.Helper()
		proof, err := required(t).Verify(sent(p.proof(t, edits...)), atToken, now)
		if err != nil {
			t.Fatal(err)
		}
		return proof.Use
	}
	first := use(a, with("jti", "j1"))
	if want := replay.NewUse(replay.Proof, a.Thumbprint(), "j1", now); first != want {
		t.Errorf("%v, want %v", first, want)
	}
	for name, other := range map[string]replay.Use{
		"signed again":             use(a, with("jti", "j1")),
		"DP-15 htu with a query":   use(a, with("jti", "j1"), with("htu", endpoint+"?x=1")),
		"DP-42 other jwk members":  use(a, with("jti", "j1"), inJWK("kid", "x")),
		"of a later second's iat":  use(a, with("jti", "j1"), iat(1)),
		"with the jti in escapes":  use(a, with("jti", json.RawMessage(`"\u006a1"`))),
		"with the name in escapes": use(a, with("jti", nil), with("jt\u0069", "j1")),
	} {
		if other != first {
			t.Errorf("%s: another use", name)
		}
	}
	if use(b, with("jti", "j1")) == first {
		t.Error("DP-27 two keys share a use")
	}
	if use(a, with("jti", "j2")) == first {
		t.Error("two jtis share a use")
	}
}

// DP-25: as long as any replica accepts a proof, no sweep by the database's clock can forget it.
func TestUseOutlivesAcceptance(t *testing.T) {
	const clocksApart = 5 // seconds
	for iat := now.Unix(); iat < now.Unix()+8*1800; iat += 7 {
		slot := replay.NewUse(replay.Proof, "jkt", "jti", time.Unix(iat, 0)).Slot
		for database := iat - 30 - clocksApart; database <= iat+300+clocksApart; database += 5 {
			for _, swept := range replay.Sweepable(time.Unix(database, 0)) {
				if swept == slot {
					t.Fatalf("DP-25 iat %d is forgotten at %d", iat, database)
				}
			}
		}
	}
}

// TestAccessTokenHash: at a protected resource the proof belongs to one access token.
func TestAccessTokenHash(t *testing.T) {
	const token = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU"
	hash := sha256.Sum256([]byte(token))
	other := sha256.Sum256([]byte(token + "x"))
	p := ecProver()
	atResource := dpop.Request{Method: "POST", URLs: []string{endpoint}, AccessToken: token}
	if _, err := required(t).Verify(sent(p.proof(t, with("ath", b64(hash[:])))), atResource, now); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]edit{
		"missing":             with("ath", nil),
		"of another token":    with("ath", b64(other[:])),
		"empty":               with("ath", ""),
		"padded":              with("ath", b64(hash[:])+"="),
		"a number":            with("ath", 1),
		"the token itself":    with("ath", token),
		"in the header alone": set("ath", b64(hash[:])),
	} {
		t.Run("DP-41 "+name, func(t *testing.T) {
			_, err := required(t).Verify(sent(p.proof(t, change)), atResource, now)
			refused(t, err, oauth.ProofTokenHash)
		})
	}
}

// TestPublishedProofs verifies the proofs of RFC 9449 and of seed 000 by the clocks of their time.
func TestPublishedProofs(t *testing.T) {
	var published struct {
		RFC9449 struct {
			JKT, Resource string
			Code          string `json:"token_code_grant"`
			Refresh       string `json:"token_refresh"`
			AccessToken   string `json:"access_token"`
		}
		Seed000 struct {
			JKT, Token, Resource string
			AccessToken          string `json:"access_token"`
		}
	}
	text, err := os.ReadFile("testdata/proofs.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &published); err != nil {
		t.Fatal(err)
	}
	rfc, seed := published.RFC9449, published.Seed000
	tests := []struct {
		name, proof, jkt, method, url, token string
		at                                   int64
		policy                               dpop.Policy
	}{
		{"RFC 9449 code", rfc.Code, rfc.JKT, "POST", "https://server.example.com/token", "", 1562262616, dpop.NonceOptional},
		{"RFC 9449 refresh", rfc.Refresh, rfc.JKT, "POST", "https://server.example.com/token", "", 1562265296, dpop.NonceOff},
		{"RFC 9449 resource", rfc.Resource, rfc.JKT, "GET", "https://resource.example.org/protectedresource", rfc.AccessToken, 1562262618, dpop.NonceOptional},
		{"seed 000 token", seed.Token, seed.JKT, "POST", "https://sandbox.api.mastercard.com/oauth/token", "", 1760028605, dpop.NonceOff},
		{"seed 000 resource", seed.Resource, seed.JKT, "GET", "https://sandbox.api.mastercard.com/service/resource/86869f92", seed.AccessToken, 1760099966, dpop.NonceOff},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			v := verifier(t, test.policy, keys...)
			r := dpop.Request{Method: test.method, URLs: []string{test.url}, AccessToken: test.token}
			proof, err := v.Verify(sent(test.proof), r, time.Unix(test.at, 0))
			if err != nil || proof.Thumbprint != test.jkt {
				t.Fatalf("%s, want %s: %v", proof.Thumbprint, test.jkt, err)
			}
			_, err = v.Verify(sent(test.proof), r, time.Unix(test.at+61, 0))
			refused(t, err, oauth.ProofStale)
			_, err = v.Verify(sent(test.proof), dpop.Request{Method: test.method, URLs: []string{endpoint}, AccessToken: test.token}, time.Unix(test.at, 0))
			refused(t, err, oauth.ProofURI) // DP-20: only the configured URL counts
		})
	}
}
