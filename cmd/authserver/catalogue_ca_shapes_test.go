package main

import (
	"encoding/asn1"
	"encoding/base64"
	"math"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"testing"

	"authserver/internal/flow"
	"authserver/internal/oauth"

	gojose "github.com/go-jose/go-jose/v4"
)

// maxGrowth is what one hostile request may allocate, in bytes (G5).
const maxGrowth = 16 << 20

// assertionShapes are texts that are no compact JWS of one strict JSON object, and such as are spelled in a second way.
func assertionShapes() []attack {
	claims := func(id string, why oauth.Reason, changes func(c, other *flow.Client) []func(claims string) string) attack {
		return attack{id, func(_ *testing.T, d *deployment) {
			c, other := d.register(0), d.register(0)
			for _, change := range changes(c, other) {
				d.doesNotProve(c, why, payload(c, change))
			}
		}}
	}
	return []attack{
		claims("CA-44", oauth.AssertionMalformed, duplicates),
		claims("CA-45", oauth.AssertionSubject, func(*flow.Client, *flow.Client) []func(string) string {
			return []func(string) string{strings.NewReplacer(`"iss"`, `"ISS"`, `"sub"`, `"Sub"`, `"aud"`, `"AUD"`).Replace}
		}),
		claims("CA-72", oauth.AssertionMalformed, func(*flow.Client, *flow.Client) []func(string) string {
			return []func(string) string{
				func(s string) string { return s + "{}" }, func(s string) string { return "\ufeff" + s }, func(s string) string { return s + "//" },
				func(s string) string { return "{/* */" + s[1:] }, func(s string) string { return s + "\x00" }, func(s string) string { return "[" + s + "]" },
				func(s string) string { return s[:len(s)-1] + ",}" }, func(s string) string { return strings.ReplaceAll(s, `"`, `'`) },
			}
		}),
		{"CA-46", deepNesting},
		{"CA-47", mebibyte},
		{"CA-48", onlyDots},
		{"CA-49", func(_ *testing.T, d *deployment) {
			d.refusesAltered(d.register(0), func(s string) string { return s + ".AAAA" }, func(s string) string { return s + "." },
				func(s string) string { return "." + s }, func(s string) string { return s[:strings.LastIndexByte(s, '.')] })
		}},
		{"CA-50", lenientBase64},
		{"CA-52", lineBreaks},
		{"CA-53", jsonSerialisation},
		{"CA-55", otherSignatureLengths},
		{"CA-73", encrypted},
	}
}

// duplicates name a member twice, in both orders, also by an escape, within another member, and in the header's stead.
func duplicates(c, other *flow.Client) []func(string) string {
	before := func(member string) func(string) string {
		return func(s string) string { return "{" + member + "," + s[1:] }
	}
	after := func(member string) func(string) string {
		return func(s string) string { return s[:len(s)-1] + "," + member + "}" }
	}
	sub := `"sub":"` + other.ID + `"`
	return []func(string) string{before(sub), after(sub), before(strings.Replace(sub, "sub", `\u0073ub`, 1)), after(`"sub":"` + c.ID + `"`),
		after(`"jti":"another"`), after(`"aud":"https://other-as.example"`), after(`"x":{"a":1,"a":2}`)}
}

// grown is how much f allocated, in bytes: the least of five plays, since tests beside this one allocate too.
func grown(f func()) uint64 {
	least := uint64(math.MaxUint64)
	for range 5 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		f()
		runtime.ReadMemStats(&after)
		least = min(least, after.TotalAlloc-before.TotalAlloc)
	}
	return least
}

// deepNesting sends a payload beyond the cap of an assertion, and one that just fits and so reaches the JSON reader.
func deepNesting(t *testing.T, d *deployment) {
	c := d.register(0)
	header := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"ES256","kid":"` + c.Key.ID + `"}`))
	for _, depth := range []int{20000, 12000} {
		for _, brackets := range []string{strings.Repeat("[", depth), `{"a":` + strings.Repeat("[", depth), strings.Repeat(`{"":`, depth/4)} {
			junk := header + "." + base64.RawURLEncoding.EncodeToString([]byte(brackets)) + "." + strings.Repeat("A", 86)
			if got := grown(func() { d.doesNotProve(c, oauth.AssertionMalformed, flow.Literal(junk)) }); got > maxGrowth {
				t.Errorf("G5: %d levels cost %d bytes", depth, got)
			}
		}
	}
}

func mebibyte(t *testing.T, d *deployment) {
	c := d.register(0)
	logged := len(d.logs.String())
	for _, in := range d.entrances(c) {
		in.request.Assertion = flow.Literal(strings.Repeat("A", 1<<20))
		refusedFor(t, do(t, in.server, in.request), "413 invalid_request", oauth.BodyTooLarge)
	}
	if log := d.logs.String()[logged:]; len(log) > 64<<10 || strings.Contains(log, "AAAAAAAA") {
		t.Errorf("the log grew by %d bytes: %.500s", len(log), log)
	}
	d.proves(c)
}

// onlyDots counts what the authenticator allocates for a form that has been read: less than twice its length.
func onlyDots(t *testing.T, d *deployment) {
	c := d.register(0)
	dots := strings.Repeat(".", 60000)
	d.doesNotProve(c, oauth.AssertionMalformed, flow.Literal(dots))

	body := url.Values{"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}, "client_assertion": {dots}}
	r := httptest.NewRequest(http.MethodPost, d.issuer+"/oauth2/token", strings.NewReader(body.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	form, err := oauth.ReadForm(r, oauth.FormOnly)
	if err != nil {
		t.Fatal(err)
	}
	const runs = 20
	authenticator := d.replicas[0].server.Token.Clients
	if got := grown(func() {
		for range runs {
			if _, err := authenticator.Authenticate(t.Context(), r, form, d.clock.now()); err == nil {
				t.Error("dots prove a client")
			}
		}
	}); got > runs*2*uint64(len(dots)) {
		t.Errorf("%d bytes for %d times %d dots", got, runs, len(dots))
	}
}

// lenientBase64 spells good assertions with padding and in the other alphabet, once after and once before they are signed.
func lenientBase64(t *testing.T, d *deployment) {
	c := d.register(0)
	other := strings.NewReplacer("-", "+", "_", "/")
	slanted := flow.SetClaim("urn:example:slanted", "???~~~???~~~") // some of its bits are - and _ in base64url
	pad := func(segment string) string { return segment + strings.Repeat("=", (4-len(segment)%4)%4) }
	d.doesNotProve(c, oauth.AssertionMalformed,
		respelled(t, c, func(header, claims string) string { return pad(header) + "." + claims }, flow.SetHeader("typ", "jwt")),
		respelled(t, c, func(header, claims string) string { return header + "=." + claims }),
		respelled(t, c, func(header, claims string) string { return header + "." + other.Replace(claims) }, slanted))
	var signed string
	for !strings.ContainsAny(signed[strings.LastIndexByte(signed, '.')+1:], "-_") {
		signed = compact(t, c.Assertion())
	}
	cut := strings.LastIndexByte(signed, '.') + 1
	d.refuses(c, oauth.AssertionMalformed, signed[:cut]+other.Replace(signed[cut:]))
	d.refuses(c, oauth.AssertionMalformed, strings.Replace(signed, ".", "==.", 1))
	d.expect(c, bearing(c, signed), "200")
	d.refusesAltered(c, func(s string) string { return s + "==" }, func(s string) string { return s + "=" },
		func(s string) string { return strings.Replace(s, ".", "=.", 1) + "==" })
}

// lineBreaks hides what a decoder skips, after signing and within what is signed.
func lineBreaks(t *testing.T, d *deployment) {
	c := d.register(0)
	into := func(what string) func(header, claims string) string {
		return func(header, claims string) string { return header + "." + claims[:8] + what + claims[8:] }
	}
	d.refusesAltered(c, func(s string) string { return s + "\n" }, func(s string) string { return s + "\r\n" }, func(s string) string { return s + " " },
		func(s string) string { return "\n" + s }, func(s string) string { return s[:100] + "\r\n" + s[100:] })
	d.doesNotProve(c, oauth.AssertionMalformed, respelled(t, c, into("\r\n")), respelled(t, c, into("\n")), respelled(t, c, into("\r\n\r\n")), respelled(t, c, into(" ")))
}

func jsonSerialisation(_ *testing.T, d *deployment) {
	part := func(s string, i int) string { return strings.Split(s, ".")[i] }
	d.refusesAltered(d.register(0),
		func(s string) string {
			return `{"payload":"` + part(s, 1) + `","signatures":[{"signature":"` + part(s, 2) + `"}]}`
		},
		func(s string) string {
			return `{"payload":"` + part(s, 1) + `","signatures":[{"protected":"` + part(s, 0) + `","signature":"` + part(s, 2) + `"}]}`
		},
		func(s string) string {
			return `{"protected":"` + part(s, 0) + `","payload":"` + part(s, 1) + `","signature":"` + part(s, 2) + `"}`
		},
		func(s string) string { return `{"payload":"` + part(s, 1) + `","signatures":[]}` },
		func(s string) string { return `{"payload":"` + part(s, 1) + `","signatures":[null]}` })
}

// otherSignatureLengths writes the same signature as DER and with a byte less or more at either end.
func otherSignatureLengths(t *testing.T, d *deployment) {
	resign := func(change func(signature []byte) []byte) func(string) string {
		return func(s string) string {
			cut := strings.LastIndexByte(s, '.') + 1
			signature, err := base64.RawURLEncoding.DecodeString(s[cut:])
			if err != nil {
				t.Fatal(err)
			}
			return s[:cut] + base64.RawURLEncoding.EncodeToString(change(signature))
		}
	}
	d.refusesAltered(d.register(0),
		resign(func(b []byte) []byte {
			der, err := asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(b[:32]), new(big.Int).SetBytes(b[32:])})
			if err != nil {
				t.Fatal(err)
			}
			return der
		}),
		resign(func(b []byte) []byte { return b[:63] }), resign(func(b []byte) []byte { return b[1:] }),
		resign(func(b []byte) []byte { return append(b, 0) }), resign(func(b []byte) []byte { return append([]byte{0}, b...) }))
}

// encrypted wraps good assertions so that only the server could read them.
func encrypted(t *testing.T, d *deployment) {
	c := d.register(0)
	keys, err := c.Server.Keys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	wraps := []gojose.Recipient{{Algorithm: gojose.DIRECT, Key: make([]byte, 32)}}
	for _, k := range keys {
		if public, err := k.PublicKey(); err == nil && k.Kty == "RSA" {
			wraps = append(wraps, gojose.Recipient{Algorithm: gojose.RSA_OAEP, Key: public, KeyID: k.Kid})
		}
	}
	if len(wraps) < 2 {
		t.Fatal("the server publishes no RSA key")
	}
	for _, recipient := range wraps {
		encrypter, err := gojose.NewEncrypter(gojose.A256GCM, recipient, (&gojose.EncrypterOptions{}).WithContentType("JWT"))
		if err != nil {
			t.Fatal(err)
		}
		d.refusesAltered(c, func(good string) string {
			jwe, err := encrypter.Encrypt([]byte(good))
			if err != nil {
				t.Fatal(err)
			}
			return compact(t, jwe.CompactSerialize)
		})
	}
}
