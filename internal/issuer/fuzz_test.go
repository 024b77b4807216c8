package issuer

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"authserver/internal/jose"
	"authserver/internal/jose/josetest"
	"authserver/internal/oauth"
	"authserver/internal/replay"

	oracle "github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// FuzzVerify lets assertions come behind a correct signature: header and claims are texts, and by says who signs them; or
// that the header is the whole assertion, for what no signature is behind.
//
// A second reading of RFC 7523 §3 by encoding/json and the standard library must come to the same verdict: what it holds to
// be good is a grant for its subject and uses up the same, what is wrong in itself is refused in plain words, and whatever
// depends on keys and names in the one sentence for that. What is accepted go-jose must find valid too.
func FuzzVerify(f *testing.F) {
	signers := josetest.Fixed(f)
	strict := trusted("gateway-2", signers[0], signers[1], signers[2])
	strict.Algs, strict.Audiences, strict.Subjects = []jose.Alg{jose.PS256, jose.EdDSA}, []string{"stg"}, []string{"auditor", "c2"}
	strict.RequireJTI, strict.MaxLifetime = true, time.Minute
	b := newBench(f, trusted(gateway, signers[0], signers[1], signers[2]), strict)
	for by, s := range signers {
		header := `{"alg":"` + s.Alg + `","kid":"` + s.Kid + `"}`
		for _, good := range goodClaims {
			f.Add(header, good, uint8(by))
			for _, texts := range changes {
				for _, other := range texts[1:] {
					f.Add(strings.Replace(header, texts[0], other, 1), strings.Replace(good, texts[0], other, 1), uint8(by))
				}
			}
		}
	}
	for _, text := range []string{"a.b.c", "..", "eyJhbGciOiJFUzI1NiJ9.e30.AAAA", `{"payload":"e30","signatures":[]}`} {
		f.Add(text, "", uint8(3))
	}
	f.Fuzz(func(t *testing.T, header, claims string, by uint8) {
		compact := header
		if signer := int(by % 4); signer < len(signers) {
			compact = signers[signer].Sign(header, claims)
		}
		if compact == "" || !utf8.ValidString(compact) || strings.Contains(compact, "\x00") {
			return // the form reader lets no such assertion come so far
		}
		a, err := b.Verify(t.Context(), compact, t0)
		want, use := secondReading(b, compact)
		switch {
		case err == nil:
			if want != "" || a.Use != use {
				t.Fatalf("%s %s (%s) is a grant for %s; by RFC 7523 %q", header, claims, compact, a.Subject, want)
			}
			agree(t, a, compact, signers)
			return
		case a.Subject != "" || a.Issuer.Name != "" || a.Use != (replay.Use{}):
			t.Fatalf("%v: a refused assertion says %v", err, a)
		}
		refusal, ok := errors.AsType[*oauth.Error](err)
		if !ok || refusal.Code() != oauth.InvalidGrant || refusal.Description != oauth.Printable(refusal.Description) {
			t.Fatalf("%#v", err)
		}
		if want == "" || (want == unproven) != (refusal.Reason == oauth.AssertionGrantNotProven) {
			t.Fatalf("%s %s (%s): %v; by RFC 7523 %q", header, claims, compact, err, want)
		}
	})
}

var goodClaims = []string{
	`{"iss":"gateway-1","sub":"gateway-1","aud":"https://as.example","iat":1760000000,"exp":1760000060}`,
	`{"iss":"gateway-2","sub":"auditor","aud":["prd","stg"],"jti":"j1","iat":1760000000,"exp":1760000060}`,
}

// changes are what the seeds put in the place of the first text, one thing at a time.
var changes = [][]string{
	{`"iss":"gateway-1"`, ``, `"iss":"gateway-2"`, `"iss":["gateway-1"]`, `"ISS":"gateway-1"`, `"iss":"c1"`, `"iss":"gateway-\u0031"`},
	{`"sub":"gateway-1"`, ``, `"sub":""`, `"sub":"_alex"`, `"sub":"c1"`, `"sub":null`, `"sub":"gateway-1","sub":"a"`,
		`"sub":"` + strings.Repeat("s", 257) + `"`},
	{`"auditor"`, `"c2"`, `"gateway-2"`, `"_auditor"`},
	{`"aud":"https://as.example"`, `"aud":"https://as.example/"`, `"aud":"https://as.example/oauth2/token"`, `"aud":"stg"`,
		`"aud":["https://as.example"]`, `"aud":[7,"https://as.example"]`, `"aud":{}`, `"x":0`},
	{`["prd","stg"]`, `"stg"`, `[]`, `["stg",null]`, `"prd"`, `"https://as.example"`, `["STG"]`},
	{`"jti":"j1"`, `"x":0`, `"jti":""`, `"jti":7`, `"JTI":"j1"`, `"jti":"\u006a1"`, `"jti":"` + strings.Repeat("j", 1025) + `"`},
	{`1760000060`, `1760000061`, `1760000900`, `1760000901`, `1759999991`, `1759999990`, `1759999990.9`, `"1760000060"`, `1e400`, `-1`, `null`},
	{`"iat":1760000000`, `"iat":1760000030.9`, `"iat":1760000031`, `"iat":0`, `"iat":null`, `"nbf":1760000030`, `"nbf":1760000031`, `"nbf":true`},
	{`"alg":`, `"typ":"JWT","alg":`, `"typ":"client-authentication+jwt","alg":`, `"typ":"at+jwt","alg":`, `"typ":"","alg":`, `"alg":"none","x":`,
		`"alg":"HS256","x":`, `"alg":"Ed25519","x":`, `"crit":["exp"],"alg":`, `"jwk":{},"alg":`, `"x5t":7,"alg":`},
	{`"kid":`, `"kid":"","x":`, `"kid":"k9","x":`, `"x":`, `"kid":7,"x":`, `"Kid":`},
}

// unproven is the flaw of an assertion that is good but for its issuer's name or keys.
const unproven = "not proven"

// secondReading reads an assertion again. flaw is "" for a good one.
func secondReading(b *bench, compact string) (flaw string, use replay.Use) {
	r, flaw := josetest.Read(compact, 16384)
	if flaw != "" {
		return flaw, use
	}
	if !isHeader(r) {
		return "header", use
	}
	claims := r.Claims
	iss, _ := claims["iss"].(string)
	sub, _ := claims["sub"].(string)
	jti, _ := claims["jti"].(string)
	_, hasJTI := claims["jti"]
	exp, ok := josetest.Seconds(claims["exp"])
	ahead, soon := exp-t0.Unix(), t0.Unix()+30
	switch {
	case iss == "" || sub == "" || len(iss) > 256 || len(sub) > 256:
		return "whose", use
	case hasJTI && (jti == "" || len(jti) > 1024):
		return "jti", use
	case !ok || ahead > 900 || ahead <= -10 || !r.IsPast("iat", soon) || !r.IsPast("nbf", soon):
		return "time", use
	}
	if i, found := b.book.issuers[iss]; !found || !isSigned(i, r) {
		return unproven, use
	}
	if flaw := againstRecord(iss, sub, jti, ahead, claims["aud"]); flaw != "" {
		return flaw, use
	}
	value := "jti " + jti
	if !hasJTI {
		signed := []byte(r.Input)
		if r.Alg() == "ES256" {
			signed = append(signed, r.Signature[:32]...)
		}
		sum := sha256.Sum256(signed)
		value = "signed " + b64(sum[:])
	}
	return "", replay.NewUse(replay.AssertionGrant, iss, value, time.Unix(exp, 0))
}

// againstRecord holds an assertion against the records of FuzzVerify, in words of its own.
func againstRecord(iss, sub, jti string, ahead int64, aud any) string {
	names := func(accepted ...string) bool {
		if one, ok := aud.(string); ok {
			return slices.Contains(accepted, one)
		}
		all, _ := aud.([]any)
		texts := !slices.ContainsFunc(all, func(v any) bool { _, ok := v.(string); return !ok })
		return texts && slices.ContainsFunc(all, func(v any) bool { return slices.Contains(accepted, v.(string)) })
	}
	switch {
	case iss == gateway && !names(server, endpoint), iss != gateway && !names("stg"):
		return "aud"
	case iss == gateway && sub != gateway, iss != gateway && sub != "auditor": // c2, of the record, is a client
		return "sub"
	case iss != gateway && (jti == "" || ahead > 60):
		return "the strict record"
	}
	return ""
}

// isHeader tells whether an assertion may have this header, and a signature of this length.
func isHeader(r josetest.Reading) bool {
	kid, _ := r.Header["kid"].(string)
	return !r.Names("crit", "b64", "zip", "enc", "jku", "x5u", "x5c", "jwk") && r.IsTyped("", "jwt", "application/jwt") &&
		kid != "" && len(kid) <= 256 && r.FitsAlg()
}

// isSigned tells whether one of the issuer's keys, which go-jose reads, made the signature.
func isSigned(i Issuer, r josetest.Reading) bool {
	var set oracle.JSONWebKeySet
	if json.Unmarshal(i.JWKS, &set) != nil || !slices.Contains(i.Algs, jose.Alg(r.Alg())) {
		return false
	}
	return slices.ContainsFunc(set.Keys, func(k oracle.JSONWebKey) bool {
		return r.Header["kid"] == k.KeyID && r.IsSignedBy(k.Key)
	})
}

// agree lets go-jose validate what was accepted, where it knows the name of the algorithm and the header's members: of
// those that are ignored here it demands more.
func agree(t *testing.T, a Assertion, compact string, signers []signer) {
	t.Helper()
	r, _ := josetest.Read(compact, len(compact))
	for name := range r.Header {
		if !slices.Contains([]string{"alg", "typ", "kid"}, name) || r.Header["alg"] == "Ed25519" {
			return
		}
	}
	token, err := jwt.ParseSigned(compact, []oracle.SignatureAlgorithm{oracle.ES256, oracle.PS256, oracle.EdDSA})
	if err != nil {
		t.Fatalf("go-jose: %v", err)
	}
	by := slices.IndexFunc(signers, func(s signer) bool { return s.Alg == r.Header["alg"] })
	var claims jwt.Claims
	if err := token.Claims(signers[by].Key.Public(), &claims); err != nil {
		t.Fatalf("go-jose: %v", err)
	}
	expected := jwt.Expected{
		Issuer: a.Issuer.Name, Subject: a.Subject, AnyAudience: jwt.Audience{server, endpoint, "stg"}, Time: t0,
	}
	if err := claims.ValidateWithLeeway(expected, 30*time.Second); err != nil {
		t.Fatalf("go-jose: %v, %v", claims, err)
	}
	if ahead := claims.Expiry.Time().Sub(t0); ahead <= -10*time.Second || ahead > a.Issuer.MaxLifetime {
		t.Fatalf("go-jose: expires in %v", ahead)
	}
}
