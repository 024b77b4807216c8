package dpop_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	oracle "github.com/go-jose/go-jose/v4"

	"authserver/internal/dpop"
	"authserver/internal/jose/josetest"
	"authserver/internal/oauth"
	"authserver/internal/replay"
)

// accessToken is what a proof at a resource comes with.
const accessToken = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU"

// FuzzVerify lets proofs come before the verifier behind a correct signature: header and claims are texts in which $key
// (the members of the jwk), $nonce and $ath stand for what a good proof has there, so that a mutation need not keep them
// whole. how says who signs, under which policy and at which endpoint; or that the header is the whole field, for what no
// signature is behind.
//
// A second reading of RFC 9449 §4.3, by encoding/json, go-jose and the standard library, must come to the same verdict on
// every one of them: what it holds to be good is accepted and proves the same key, the rest is refused, and "try again
// with this nonce" is said to those proofs alone that lack nothing else.
func FuzzVerify(f *testing.F) {
	provers := josetest.Fixed(f)
	for i := range provers {
		provers[i].Kid = "" // of the jwk
	}
	policies := []dpop.Policy{dpop.NonceRequired, dpop.NonceOptional, dpop.NonceOff}
	for signer, p := range provers {
		header := `{"alg":"` + p.Alg + `","typ":"dpop+jwt","jwk":{$key}}`
		for circumstance := range uint8(6) {
			f.Add(header, goodClaims, uint8(signer)+4*circumstance)
			for _, texts := range changes {
				for _, other := range texts[1:] {
					f.Add(strings.Replace(header, texts[0], other, 1), strings.Replace(goodClaims, texts[0], other, 1), uint8(signer)+4*circumstance)
				}
			}
		}
	}
	for _, text := range []string{"", "a.b.c", "..", "a,b", "eyJhbGciOiJFUzI1NiJ9.e30.AAAA"} {
		f.Add(text, "", uint8(3))
	}
	hash := sha256.Sum256([]byte(accessToken))
	f.Fuzz(func(t *testing.T, header, claims string, how uint8) {
		signer, r := int(how%4), dpop.Request{Method: "POST", URLs: []string{endpoint}}
		v := verifier(t, policies[how/4%3], keys...)
		if how/12%2 == 1 {
			r.AccessToken = accessToken
		}
		field := header
		if signer < len(provers) {
			fill := strings.NewReplacer("$key", strings.Trim(text(provers[signer].JWK()), "{}"), "$nonce", v.Nonces.Current(now), "$ath", b64(hash[:]))
			field = provers[signer].Sign(fill.Replace(header), fill.Replace(claims))
		}
		proof, err := v.Verify(sent(field), r, now)
		want, thumbprint, use := judge(t, field, r, v)
		if err == nil {
			if want != "" || proof.Thumbprint != thumbprint || proof.Use != use {
				t.Fatalf("%s %s (%s) is accepted as %v; by RFC 9449 %q, %s, %v", header, claims, field, proof, want, thumbprint, use)
			}
			return
		}
		refusal, ok := errors.AsType[*oauth.Error](err)
		if !ok || proof != (dpop.Proof{}) {
			t.Fatalf("%#v, %v", err, proof)
		}
		refused(t, err, refusal.Reason)
		if lacksNonce := refusal.Code() == oauth.UseDPoPNonce; want == "" || lacksNonce != (want == "nonce") {
			t.Fatalf("%s %s (%s) is refused: %v; by RFC 9449 %q", header, claims, field, err, want)
		}
	})
}

const goodClaims = `{"jti":"j1","htm":"POST","htu":"https://as.example/oauth2/token","iat":1760000000,"nonce":"$nonce","ath":"$ath"}`

// changes are what the seeds put in the place of the first text, one thing at a time; what else there is to change the
// fuzzer finds.
var changes = [][]string{
	{`"jti":"j1"`, `"jti":""`, `"jti":"\u006a1"`, `"jti":7`, `"j":1`, `"jti":"a","jti":"b"`, `"jti":"` + strings.Repeat("j", 1025) + `"`},
	{`"POST"`, `"post"`, `"GET"`, `"POST "`, `["POST"]`, `"P\u004fST"`},
	{`"https://as.example/oauth2/token"`, `"HTTPS://AS.example:443/a/../oauth2/%74oken?x#y"`, `"https://as.example/oauth2/par"`, `"http://as.example/oauth2/token"`, `""`, `{}`},
	{`1760000000`, `1759999940`, `1759999939`, `1759999700`, `1759999699.9`, `1760000030`, `1760000031`, `1760000030.9`, `1.76e9`, `"1760000000"`, `1e400`, `-1`},
	{`"iat"`, `"exp":1759999990,"iat"`, `"exp":1759999991,"iat"`, `"exp":null,"iat"`, `"nbf":1760000030,"iat"`, `"nbf":1760000031,"iat"`, `"nbf":"","iat"`, `"Iat"`},
	{`,"nonce":"$nonce"`, ``, `,"nonce":7`, `,"nonce":""`, `,"Nonce":"$nonce"`},
	{`,"ath":"$ath"`, ``, `,"ath":"x"`, `,"ath":["$ath"]`, `,"ath":"$ath="`},
	{`"dpop+jwt"`, `"application/DPoP+jwt"`, `"JWT"`, `"dpop\u212bjwt"`, `7`},
	{`"alg":`, `"alg":"none","x":`, `"alg":"RS256","x":`, `"alg":"Ed25519","x":`, `"crit":["exp"],"alg":`, `"x5c":[],"alg":`, `"kid":"","alg":`, `"kid":"k1","x5t":7,"alg":`},
	{`{$key}`, `{}`, `"{$key}"`, `[{$key}]`, `{"kty":"oct","k":"AAAA"}`, `{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}`, `{"d":"AA",$key}`, `{"use":"sig",$key}`, `{"use":"enc",$key}`,
		`{"key_ops":["verify"],$key}`, `{"key_ops":["sign"],$key}`, `{"alg":"ES256",$key}`, `{"alg":"RS256",$key}`, `{"kid":7,$key}`, `{"x5c":["AAAA"],$key}`},
}

// judge reads a proof again. flaw is "" for a good one, "nonce" for one that would be good with the current nonce, and
// otherwise the part that is wrong.
func judge(t *testing.T, field string, r dpop.Request, v dpop.Verifier) (flaw, thumbprint string, use replay.Use) {
	t.Helper()
	read, flaw := josetest.Read(field, 8192)
	if flaw != "" {
		return flaw, "", use
	}
	claims := read.Claims
	public, thumbprint := judgeHeader(read)
	if public == nil {
		return "header", "", use
	}
	if !josetest.Verifies(public, read.Input, read.Signature) {
		return "signature", "", use
	}
	jti, _ := claims["jti"].(string)
	iat, ok := josetest.Seconds(claims["iat"])
	htu, _ := claims["htu"].(string)
	hash := sha256.Sum256([]byte(r.AccessToken))
	switch age := now.Unix() - iat; {
	case jti == "" || len(jti) > 1024 || claims["htm"] != "POST" || !ok:
		return "claims", "", use
	case htu == "" || canonical(htu) != endpoint:
		return "htu", "", use
	case age > 300 || age < -30 || !inTime(read):
		return "time", "", use
	case r.AccessToken != "" && claims["ath"] != b64(hash[:]):
		return "ath", "", use
	case v.Policy == dpop.NonceOff:
		if age > 60 {
			return "time", "", use
		}
	default:
		if flaw := judgeNonce(claims, age, v); flaw != "" {
			return flaw, "", use
		}
	}
	return "", thumbprint, replay.NewUse(replay.Proof, thumbprint, jti, time.Unix(iat, 0))
}

// judgeNonce knows one nonce alone: no mutation makes another good one.
func judgeNonce(claims map[string]any, age int64, v dpop.Verifier) string {
	nonce, sent := claims["nonce"]
	if _, isString := nonce.(string); sent && !isString {
		return "nonce's type"
	}
	switch {
	case sent && nonce != v.Nonces.Current(now), !sent && v.Policy == dpop.NonceRequired:
		return "nonce"
	case !sent && age > 60:
		return "time"
	}
	return ""
}

// inTime applies exp and nbf, where they are.
func inTime(r josetest.Reading) bool {
	exp, hasExp := r.Claims["exp"]
	until, ok := josetest.Seconds(exp)
	return (!hasExp || ok && until > now.Unix()-10) && r.IsPast("nbf", now.Unix()+30)
}

// judgeHeader returns the header's key and its thumbprint, or nil for a header that a proof must not have.
func judgeHeader(r josetest.Reading) (public crypto.PublicKey, thumbprint string) {
	kid, hasKid := r.Header["kid"]
	if text, _ := kid.(string); hasKid && (text == "" || len(text) > 256) || !r.IsTyped("dpop+jwt", "application/dpop+jwt") ||
		r.Names("crit", "b64", "zip", "enc", "jku", "x5u", "x5c") {
		return nil, ""
	}
	jwk, _ := r.Header["jwk"].(map[string]any)
	key, ok := readKey(jwk)
	if !ok {
		return nil, ""
	}
	hash, err := key.Thumbprint(crypto.SHA256)
	if err != nil || !slices.Contains(algsOf(key.Key), r.Header["alg"]) {
		return nil, ""
	}
	return key.Key, b64(hash)
}

// algsOf are the names of the one algorithm of a key that is neither weak nor of another kind.
func algsOf(public crypto.PublicKey) []any {
	switch public := public.(type) {
	case *rsa.PublicKey:
		if bits := public.N.BitLen(); bits >= 2048 && bits <= 4096 && public.N.Bit(0) == 1 && public.E >= 65537 && public.E <= math.MaxInt32 && public.E%2 == 1 {
			return []any{"PS256"}
		}
	case *ecdsa.PublicKey:
		if public.Curve == elliptic.P256() {
			return []any{"ES256"}
		}
	case ed25519.PublicKey:
		return []any{"EdDSA", "Ed25519"}
	}
	return nil
}

// readKey lets go-jose read the members that make a public key, and compares them with how go-jose itself spells it.
func readKey(jwk map[string]any) (key oracle.JSONWebKey, ok bool) {
	for _, name := range []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"} {
		if _, there := jwk[name]; there {
			return key, false
		}
	}
	required := map[string]any{}
	for _, name := range []string{"kty", "crv", "x", "y", "n", "e"} {
		if value, there := jwk[name]; there {
			required[name] = value
		}
	}
	text, err := json.Marshal(required)
	if err != nil || json.Unmarshal(text, &key) != nil || !key.Valid() || !key.IsPublic() || !isFor(jwk, algsOf(key.Key)) {
		return key, false
	}
	spelled, err := key.MarshalJSON()
	var again map[string]any
	if err != nil || json.Unmarshal(spelled, &again) != nil {
		return key, false
	}
	for name, value := range again {
		if required[name] != value {
			return key, false
		}
	}
	return key, true
}

// isFor tells whether the members about a key's purpose, where they are, say that it verifies by one of algs.
func isFor(jwk map[string]any, algs []any) bool {
	if kid, there := jwk["kid"]; there {
		if text, ok := kid.(string); !ok || len(text) > 256 {
			return false
		}
	}
	if use, there := jwk["use"]; there && use != "sig" {
		return false
	}
	if ops, there := jwk["key_ops"]; there {
		list, _ := ops.([]any)
		if !slices.Contains(list, "verify") || slices.ContainsFunc(list, func(op any) bool { _, ok := op.(string); return !ok && op != nil }) {
			return false
		}
	}
	alg, there := jwk["alg"]
	return !there || slices.Contains(algs, alg)
}
