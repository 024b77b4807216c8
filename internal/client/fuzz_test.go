package client

import (
	"encoding/json"
	"errors"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	oracle "github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"authserver/internal/jose/josetest"
	"authserver/internal/oauth"
	"authserver/internal/replay"
)

// FuzzAuthenticate lets assertions come before the Authenticator behind a correct signature: header and claims are texts,
// and how says who signs them, at which endpoint, and with which client_id beside them; or that the header is the whole
// assertion, for what no signature is behind.
//
// A second reading of RFC 7523 §3 by encoding/json and the standard library must come to the same verdict: what it holds
// to be good proves the client and uses up its jti, what is wrong in itself is refused in plain words, and whatever
// depends on our records is refused in the one sentence for that. What is accepted go-jose must find valid too.
func FuzzAuthenticate(f *testing.F) {
	signers := josetest.Fixed(f)
	lenient := inline("c2", signers[0], signers[2])
	lenient.AssertionAudience, lenient.Metadata.TokenEndpointAuthSigningAlg = IssuerOrEndpoint, "ES256"
	b := newBench(f, Vetting{}, inline("c1", signers[0], signers[1], signers[2]), lenient)
	for signer, s := range signers {
		header := `{"alg":"` + s.Alg + `","kid":"` + s.Kid + `"}`
		for rest := range uint8(4) {
			how := uint8(signer) + 4*rest
			f.Add(header, goodClaims, how)
			f.Add(header, strings.ReplaceAll(goodClaims, "c1", "c2"), how)
			for _, texts := range changes {
				for _, other := range texts[1:] {
					f.Add(strings.Replace(header, texts[0], other, 1), strings.Replace(goodClaims, texts[0], other, 1), how)
				}
			}
		}
	}
	for _, text := range []string{"a.b.c", "..", "eyJhbGciOiJFUzI1NiJ9.e30.AAAA", `{"payload":"e30","signatures":[]}`} {
		f.Add(text, "", uint8(3))
	}
	f.Fuzz(func(t *testing.T, header, claims string, how uint8) {
		path := []string{"/oauth2/token", "/oauth2/introspect"}[how/4%2]
		clientID := []string{"", "c1"}[how/8%2]
		compact := header
		if signer := int(how % 4); signer < len(signers) {
			compact = signers[signer].Sign(header, claims)
		}
		if compact == "" || !utf8.ValidString(compact) || strings.Contains(compact, "\x00") {
			return // the form reader lets no such assertion come so far
		}
		caller, err := b.requestAt(path, bodyOf(compact)+"&"+body("client_id", clientID))
		want, use := judge(b, compact, path, clientID)
		switch {
		case err == nil:
			if want != "" || !slices.Equal(caller.Uses, []replay.Use{use}) {
				t.Fatalf("%s %s (%s) proves %s; by RFC 7523 %q", header, claims, compact, caller.Client.ID, want)
			}
			agree(t, caller, compact, signers)
		case caller.Client.ID != "" || caller.Uses != nil:
			t.Fatalf("%v: a refused assertion proves %v", err, caller)
		case want == "" || (want == unproven) != (reason(t, err) == oauth.ClientNotProven):
			t.Fatalf("%s %s (%s): %v; by RFC 7523 %q", header, claims, compact, err, want)
		}
		if err != nil {
			isPublic(t, err)
		}
	})
}

const goodClaims = `{"iss":"c1","sub":"c1","aud":"https://as.example","jti":"j1","iat":1760000000,"exp":1760000060}`

// changes are what the seeds put in the place of the first text, one thing at a time.
var changes = [][]string{
	{`"iss":"c1"`, ``, `"iss":"c2"`, `"iss":["c1"]`, `"ISS":"c1"`, `"iss":"c\u0031"`},
	{`"iss":"c1","sub":"c1"`, `"iss":"","sub":""`, `"iss":"c3","sub":"c3"`, `"iss":"c1","sub":"c1","sub":"c2"`, `"iss":"c1","sub":"c1","response_type":null`, `"iss":"c1","sub":null`,
		`"iss":"` + strings.Repeat("c", 257) + `","sub":"` + strings.Repeat("c", 257) + `"`},
	{`"https://as.example"`, `"https://as.example/"`, `"https://as.example/oauth2/token"`, `"https://as.example/oauth2/introspect"`, `["https://as.example"]`, `"https://as.example:443"`, `7`},
	{`"iss":"c1","sub":"c1","aud":"https://as.example"`, `"iss":"c2","sub":"c2","aud":"https://as.example/oauth2/token"`, `"iss":"c2","sub":"c2","aud":"https://as.example/oauth2/introspect"`,
		`"iss":"c2","sub":"c2","aud":"https://as.example/oauth/token"`, `"iss":"c2","sub":"c2","aud":["https://as.example/oauth2/token"]`},
	{`"jti":"j1"`, `"jti":""`, `"jti":7`, `"JTI":"j1"`, `"jti":"\u006a1"`, `"jti":"` + strings.Repeat("j", 1025) + `"`},
	{`1760000060`, `1760003600`, `1760003601`, `1759999991`, `1759999990`, `1759999990.9`, `"1760000060"`, `1e400`, `-1`, `null`, `253370764800`},
	{`"iat":1760000000`, `"iat":1760000030.9`, `"iat":1760000031`, `"iat":0`, `"iat":null`, `"nbf":1760000030`, `"nbf":1760000031`, `"nbf":true`},
	{`"alg":`, `"typ":"JWT","alg":`, `"typ":"client-authentication+jwt","alg":`, `"typ":"dpop+jwt","alg":`, `"typ":"","alg":`, `"typ":7,"alg":`, `"alg":"none","x":`, `"alg":"RS256","x":`,
		`"alg":"Ed25519","x":`, `"crit":["exp"],"alg":`, `"b64":true,"alg":`, `"jwk":{},"alg":`, `"x5t":7,"alg":`},
	{`"kid":`, `"kid":"","x":`, `"kid":"k9","x":`, `"x":`, `"kid":7,"x":`, `"Kid":`},
}

// unproven is the flaw of an assertion that is good but for what our records say.
const unproven = "not proven"

// judge reads an assertion again. flaw is "" for a good one.
func judge(b *bench, compact, path, clientID string) (flaw string, use replay.Use) {
	r, flaw := josetest.Read(compact, 16384)
	if flaw != "" {
		return flaw, use
	}
	if !isHeader(r) {
		return "header", use
	}
	claims := r.Claims
	sub, _ := claims["sub"].(string)
	_, isRequest := claims["response_type"]
	jti, _ := claims["jti"].(string)
	exp, ok := josetest.Seconds(claims["exp"])
	ahead, soon := exp-t0.Unix(), t0.Unix()+30
	switch {
	case sub == "" || len(sub) > 256 || claims["iss"] != sub || clientID != "" && clientID != sub:
		return "whose", use
	case isRequest:
		return "a request object", use
	case jti == "" || len(jti) > 1024:
		return "jti", use
	case !ok || ahead > 3600 || ahead <= -10 || !r.IsPast("iat", soon) || !r.IsPast("nbf", soon):
		return "time", use
	}
	// The audiences in the order in which they are judged: any client's, then this client's own.
	endpoints := []any{issuer + path, issuer + "/oauth2/token", issuer + "/oauth/token"}
	if claims["aud"] != issuer && !slices.Contains(endpoints, claims["aud"]) {
		return "aud", use
	}
	c, found := b.registry.clients[sub]
	if !found || !isSigned(c, r) {
		return unproven, use
	}
	if claims["aud"] != issuer && c.AssertionAudience != IssuerOrEndpoint {
		return "aud of this client", use
	}
	return "", replay.NewUse(replay.Assertion, sub, jti, time.Unix(exp, 0))
}

// isHeader tells whether an assertion may have this header, and a signature of this length.
func isHeader(r josetest.Reading) bool {
	if r.Names("crit", "b64", "zip", "enc", "jku", "x5u", "x5c", "jwk") ||
		!r.IsTyped("", "jwt", "application/jwt", "client-authentication+jwt", "application/client-authentication+jwt") {
		return false
	}
	kid, hasKid := r.Header["kid"]
	if text, _ := kid.(string); hasKid && (text == "" || len(text) > 256) {
		return false
	}
	return r.FitsAlg()
}

// isSigned tells whether one of the client's keys, which go-jose reads, made the signature.
func isSigned(c Client, r josetest.Reading) bool {
	var set oracle.JSONWebKeySet
	if json.Unmarshal(c.Metadata.JWKS, &set) != nil {
		return false
	}
	registered := c.Metadata.TokenEndpointAuthSigningAlg
	return slices.ContainsFunc(set.Keys, func(k oracle.JSONWebKey) bool {
		kid, there := r.Header["kid"]
		return (!there || kid == k.KeyID) && (registered == "" || registered == r.Alg()) && r.IsSignedBy(k.Key)
	})
}

// agree lets go-jose validate what was accepted, where it knows the name of the algorithm and the header's members: of
// those that are ignored here it demands more.
func agree(t *testing.T, caller Caller, compact string, signers []signer) {
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
	i := slices.IndexFunc(signers, func(s signer) bool { return s.Alg == r.Header["alg"] })
	var claims jwt.Claims
	if err := token.Claims(signers[i].Key.Public(), &claims); err != nil {
		t.Fatalf("go-jose: %v", err)
	}
	id := caller.Client.ID
	audiences := jwt.Audience{issuer}
	if caller.Client.AssertionAudience == IssuerOrEndpoint {
		audiences = append(audiences, issuer+"/oauth2/token", issuer+"/oauth/token", issuer+"/oauth2/introspect")
	}
	expected := jwt.Expected{Issuer: id, Subject: id, AnyAudience: audiences, Time: t0}
	if err := claims.ValidateWithLeeway(expected, AheadLeeway); err != nil || len(claims.Audience) != 1 || claims.ID == "" {
		t.Fatalf("go-jose: %v, %v", claims, err)
	}
	if ahead := claims.Expiry.Time().Sub(t0); ahead <= -ExpLeeway || ahead > MaxAssertionLifetime {
		t.Fatalf("go-jose: expires in %v", ahead)
	}
}

// isPublic demands that a refusal is one of the client's, fit to be shown.
func isPublic(t *testing.T, err error) {
	t.Helper()
	refusal, ok := errors.AsType[*oauth.Error](err)
	if !ok || refusal.Code() != oauth.InvalidClient || refusal.Description != oauth.Printable(refusal.Description) {
		t.Fatalf("%#v", err)
	}
	w := httptest.NewRecorder()
	(oauth.Pages{Base: issuer}).Write(w, nil, err)
	if w.Code != 401 {
		t.Fatalf("%d: %v", w.Code, err)
	}
}
