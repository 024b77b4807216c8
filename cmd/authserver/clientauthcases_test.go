package main

import (
	"crypto/ecdsa"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"net/url"
	"strings"
	"testing"
	"time"

	"authserver/internal/flow"

	gojose "github.com/go-jose/go-jose/v4"
)

// with replaces the assertion.
func with(c flow.Compact) func(*flow.Request) { return func(r *flow.Request) { r.Assertion = c } }

func (w callers) accepted() []authCase {
	many := func(d *flow.Draft) {
		for i := range 40 {
			d.Claims["urn:example:"+string(rune('a'+i%26))+strings.Repeat("x", i)] = map[string]any{"nested": i}
		}
	}
	later := w.d.clock.now().Add(15*time.Minute - time.Second).Unix()
	return []authCase{
		{"CA-01", w.ec, func(*flow.Request) {}, proven},
		{"CA-02", w.rsa, func(*flow.Request) {}, proven},
		{"CA-03", w.ec, func(r *flow.Request) { r.Form.Del("client_id") }, proven},
		{"CA-04", w.ec, with(w.ec.Assertion(func(d *flow.Draft) {
			d.Claims["iat"], d.Claims["nbf"] = w.d.clock.now().Unix()+8, w.d.clock.now().Unix()+8
		})), proven},
		{"CA-35", w.ec, with(w.ec.Assertion(flow.DropHeader("kid"))), proven},
		{"CA-36", w.two, with(w.two.Assertion(flow.DropHeader("kid"))), proven},
		{"CA-64", w.big, with(w.big.Assertion(flow.DropHeader("typ"), flow.SetClaim("exp", later))), proven},
		{"CA-65", w.ed, func(*flow.Request) {}, proven},
		{"CA-65 Ed25519", w.ed, with(w.ed.Assertion(flow.SignAs("Ed25519"))), proven},
		{"CA-66", w.ec, with(w.ec.Assertion(many)), proven},
		{"CA-67", w.ec, with(w.ec.Assertion(flow.SetClaim("iat", float64(w.d.clock.now().Unix())+0.5))), proven},
	}
}

func (w callers) algorithms(t *testing.T) []authCase {
	mac := func(secret []byte) func(string) []byte {
		return func(input string) []byte {
			h := hmac.New(sha256.New, secret)
			h.Write([]byte(input))
			return h.Sum(nil)
		}
	}
	der, err := x509.MarshalPKIXPublicKey(w.rsa.Key.Signer.Public())
	if err != nil {
		t.Fatal(err)
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	short := func(string) []byte { return []byte{0} }
	es384 := func(input string) []byte {
		digest := sha512.Sum384([]byte(input))
		r, s, err := ecdsa.Sign(rand.Reader, w.p384, digest[:])
		if err != nil {
			t.Fatal(err)
		}
		return append(r.FillBytes(make([]byte, 48)), s.FillBytes(make([]byte, 48))...)
	}
	noise := func(n int) func(string) []byte { return func(string) []byte { return make([]byte, n) } }
	return []authCase{
		{"CA-06", w.ec, with(w.ec.Assertion(flow.SignAs("none"))), notProven},
		{"CA-07 nOnE", w.ec, with(forge(w.ec, "nOnE", short)), notProven},
		{"CA-07 NONE", w.ec, with(forge(w.ec, "NONE", short)), notProven},
		{"CA-08", w.rsa, with(forge(w.rsa, "HS256", mac(public))), notProven},
		{"CA-08 no newline", w.rsa, with(forge(w.rsa, "HS256", mac([]byte(strings.TrimSpace(string(public)))))), notProven},
		{"CA-09", w.rsa, with(w.rsa.Assertion(flow.SignAs("RS256"))), notProven},
		{"CA-10", w.pinned, with(w.pinned.Assertion(flow.SignWith(w.ec.Key), flow.SetHeader("kid", w.ec.Key.ID))), notProven},
		{"CA-11", w.rsa, with(w.rsa.Assertion(flow.SetHeader("alg", "RS256"))), notProven},
		{"CA-54", w.ec, with(forge(w.ec, "ES256", noise(64))), notProven},
		{"CA-55", w.ec, with(forge(w.ec, "ES256", noise(63))), notProven},
		{"CA-68 ES384", w.fun, with(forge(w.fun, "ES384", es384)), notProven},
		{"CA-68 ES384 by its kid", w.fun, with(func() (string, error) {
			good, err := w.fun.Assertion(flow.SetHeader("alg", "ES384"), flow.SetHeader("kid", "odd"))()
			input := good[:strings.LastIndexByte(good, '.')]
			return input + "." + base64.RawURLEncoding.EncodeToString(es384(input)), err
		}), notProven},
		{"CA-68 ES512", w.fun, with(forge(w.fun, "ES512", noise(132))), notProven},
		{"CA-68 ES256K", w.fun, with(forge(w.fun, "ES256K", noise(64))), notProven},
	}
}

func (w callers) claims() []authCase {
	iss := w.d.issuer
	claim := func(id, name string, value any) authCase {
		return authCase{id, w.ec, with(w.ec.Assertion(flow.SetClaim(name, value))), notProven}
	}
	typ := func(id, typ string) authCase {
		return authCase{id, w.ec, with(w.ec.Assertion(flow.SetHeader("typ", typ))), notProven}
	}
	both := func(id, name string) authCase {
		return authCase{id, w.ec, func(r *flow.Request) {
			r.Form.Del("client_id")
			r.Assertion = w.ec.Assertion(flow.SetClaim("iss", name), flow.SetClaim("sub", name))
		}, notProven}
	}
	return []authCase{
		claim("CA-15 token endpoint", "aud", iss+"/oauth2/token"), claim("CA-15 introspection endpoint", "aud", iss+"/oauth2/introspect"),
		claim("CA-16", "aud", []string{iss}), claim("CA-17", "aud", []string{iss, "https://other-as.example"}),
		claim("CA-18 slash", "aud", iss+"/"), claim("CA-18 capitals", "aud", strings.Replace(iss, "localhost", "LOCALHOST", 1)),
		claim("CA-23 string", "exp", "1999999999"), claim("CA-23 huge", "exp", json.Number("1e400")), claim("CA-23 negative", "exp", -1),
		claim("CA-22", "exp", w.d.clock.now().Add(24*time.Hour).Unix()), claim("CA-21", "exp", w.d.clock.now().Unix()-61),
		claim("CA-24", "iat", w.d.clock.now().Unix()+120), claim("CA-25", "nbf", w.d.clock.now().Unix()+120),
		claim("CA-26 empty", "jti", ""), claim("CA-26 number", "jti", 7),
		claim("CA-12", "sub", w.rsa.ID), claim("CA-69", "sub", []string{w.ec.ID}), claim("CA-70", "aud", []string{}),
		typ("CA-43 dpop+jwt", "dpop+jwt"), typ("CA-43 at+jwt", "at+jwt"), typ("CA-43 application/at+jwt", "application/AT+jwt"),
		typ("CA-43 kelvin", "dpop+"+kelvin+"wt"), typ("CA-43 introspection", "token-introspection+jwt"),
		both("CA-62 NUL", w.ec.ID+"\x00"), both("CA-62 space", w.ec.ID+" "), both("CA-62 look-alike", cyrillicES+w.ec.ID[1:]),
		both("CA-62 nobody", "nobody"), both("CA-62 long", strings.Repeat("a", 300)), both("CA-62 line", "a\nb"),
		{"CA-13", w.ec, func(r *flow.Request) { r.Form.Set("client_id", w.rsa.ID) }, notProven},
	}
}

func (w callers) shapes(t *testing.T) []authCase {
	change := func(id string, f func(string) string) authCase {
		return authCase{id, w.ec, with(altered(w.ec.Assertion(), f)), notProven}
	}
	body := func(id string, f func(string) string) authCase {
		return authCase{id, w.ec, with(payload(w.ec, f)), notProven}
	}
	keys, err := w.ec.Server.Keys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	encrypted := func(id string, alg gojose.KeyAlgorithm, encryptionKey any) authCase {
		return authCase{id, w.ec, with(func() (string, error) {
			signed, err := w.ec.Assertion()()
			if err != nil {
				return "", err
			}
			encrypter, err := gojose.NewEncrypter(gojose.A256GCM, gojose.Recipient{Algorithm: alg, Key: encryptionKey}, nil)
			if err != nil {
				return "", err
			}
			jwe, err := encrypter.Encrypt([]byte(signed))
			if err != nil {
				return "", err
			}
			return jwe.CompactSerialize()
		}), notProven}
	}
	cases := []authCase{
		change("CA-48", func(string) string { return strings.Repeat(".", 60000) }),
		change("CA-49", func(s string) string { return s + ".AAAA" }),
		change("CA-50 header", func(s string) string { return strings.Replace(s, ".", "=.", 1) }),
		change("CA-50 signature", func(s string) string { return s + "==" }),
		change("CA-51", lastBit),
		change("CA-52 at the end", func(s string) string { return s + "\n" }),
		change("CA-52 inside", func(s string) string { return strings.Replace(s, ".", ".\r\n", 1) }),
		change("CA-53", func(s string) string {
			return `{"payload":"` + strings.Split(s, ".")[1] + `","signatures":[{"signature":"AAAA"}]}`
		}),
		body("CA-44", func(s string) string { return `{"sub":"` + w.rsa.ID + `",` + s[1:] }),
		body("CA-45", func(s string) string {
			return strings.NewReplacer(`"iss"`, `"ISS"`, `"sub"`, `"Sub"`, `"aud"`, `"AUD"`).Replace(s)
		}),
		body("CA-46", func(string) string { return strings.Repeat("[", 4000) }),
		body("CA-72 trailing", func(s string) string { return s + "{}" }),
		body("CA-72 BOM", func(s string) string { return "\ufeff" + s }),
		body("CA-72 comment", func(s string) string { return s + "/* */" }),
		encrypted("CA-73 dir", gojose.DIRECT, make([]byte, 32)),
	}
	for _, k := range keys {
		if public, err := k.PublicKey(); err == nil && k.Kty == "RSA" {
			cases = append(cases, encrypted("CA-73 to the server's own key", gojose.RSA_OAEP, public))
		}
	}
	return cases
}

// lastBit alters the unused bits of the last base64url character, so that a lenient decoder reads the same signature.
func lastBit(s string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(alphabet, s[len(s)-1])
	return s[:len(s)-1] + string(alphabet[last^1])
}

func (w callers) forms() []authCase {
	form := func(id string, want []string, edit func(form url.Values, assertion string)) authCase {
		return authCase{id, w.ec, func(r *flow.Request) {
			assertion, _ := r.Assertion()
			r.Assertion = nil
			r.Form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
			r.Form.Set("client_assertion", assertion)
			edit(r.Form, assertion)
		}, want}
	}
	return []authCase{
		form("CA-58", malformed, func(f url.Values, a string) { f["client_assertion"] = []string{a, "invalid"} }),
		form("CA-58 reversed", malformed, func(f url.Values, a string) { f["client_assertion"] = []string{"invalid", a} }),
		form("CA-58 twice the same", malformed, func(f url.Values, a string) { f["client_assertion"] = []string{a, a} }),
		form("CA-59 missing", eitherWay, func(f url.Values, _ string) { f.Del("client_assertion_type") }),
		form("CA-59 saml2", eitherWay, func(f url.Values, _ string) {
			f.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:saml2-bearer")
		}),
		form("CA-63", notProven, func(f url.Values, _ string) { f.Del("client_assertion"); f.Del("client_assertion_type") }),
		form("CA-63 empty", notProven, func(f url.Values, _ string) { f.Set("client_assertion", "") }),
		{"CA-60 Basic", w.ec, func(r *flow.Request) {
			r.SetHeader("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(w.ec.ID+":x")))
		}, eitherWay},
		form("CA-60 secret", eitherWay, func(f url.Values, _ string) { f.Set("client_secret", "x") }),
	}
}
