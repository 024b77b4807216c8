package jose_test

import (
	"crypto"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"authserver/internal/jose"
)

const claims = `{"iss":"c1","sub":"c1","aud":"https://as.example","iat":1760028605,"exp":1760028725,"jti":"j1"}`

// TestDoorRefuses holds inputs that must not pass the door, whoever signed them.
func TestDoorRefuses(t *testing.T) {
	ec, rsaK := ecKey(t), rsaKey(t)
	good := sign(ec, `{"alg":"ES256"}`, claims)
	segments := strings.Split(good, ".")
	spki, err := x509.MarshalPKIXPublicKey(&rsaK.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki})
	unsigned := func(header, mac string) string { return b64([]byte(header)) + "." + b64([]byte(claims)) + "." + mac }
	hs256 := func(secret []byte) string {
		mac := hmac.New(sha256.New, secret)
		input := unsigned(`{"alg":"HS256"}`, "")
		mac.Write([]byte(strings.TrimSuffix(input, ".")))
		return input + b64(mac.Sum(nil))
	}
	pkcs1 := func() string {
		input := strings.TrimSuffix(unsigned(`{"alg":"RS256"}`, ""), ".")
		digest := sha256.Sum256([]byte(input))
		mac, err := rsa.SignPKCS1v15(nil, rsaK, crypto.SHA256, digest[:])
		if err != nil {
			t.Fatal(err)
		}
		return input + "." + b64(mac)
	}
	signed := func(header string) string { return sign(ec, header, claims) }
	own := jwk(t, &ec.PublicKey, "")
	tests := []struct {
		name  string
		input string
		want  jose.Kind
	}{
		{"CA-06 none, empty signature", unsigned(`{"alg":"none"}`, ""), jose.Malformed},
		{"CA-06 none, some signature", unsigned(`{"alg":"none"}`, "AA"), jose.AlgNotOffered},
		{"CA-07 nOnE", unsigned(`{"alg":"nOnE"}`, "AA"), jose.AlgNotOffered},
		{"CA-07 NONE", unsigned(`{"alg":"NONE"}`, "AA"), jose.AlgNotOffered},
		{"CA-07 es256", signed(`{"alg":"es256"}`), jose.AlgNotOffered},
		{"CA-08 HS256 by the public key", hs256(public), jose.AlgNotOffered},
		{"CA-08 HS256 without final newline", hs256(public[:len(public)-1]), jose.AlgNotOffered},
		{"CA-09 RS256", pkcs1(), jose.AlgNotOffered},
		{"CA-11 RS256 over a PS256 signature", sign(rsaK, `{"alg":"RS256"}`, claims), jose.AlgNotOffered},
		{"CA-37 kid of 4 KiB", signed(`{"alg":"ES256","kid":"` + strings.Repeat("A", 4096) + `"}`), jose.HeaderRefused},
		{"CA-37 kid of 257 bytes", signed(`{"alg":"ES256","kid":"` + strings.Repeat("A", 257) + `"}`), jose.HeaderRefused},
		{"CA-37 empty kid", signed(`{"alg":"ES256","kid":""}`), jose.HeaderRefused},
		{"CA-37 kid is a number", signed(`{"alg":"ES256","kid":7}`), jose.HeaderRefused},
		{"CA-37 kid is null", signed(`{"alg":"ES256","kid":null}`), jose.HeaderRefused},
		{"CA-38 jku", signed(`{"alg":"ES256","jku":"https://evil.example/jwks"}`), jose.HeaderRefused},
		{"CA-39 jwk", signed(`{"alg":"ES256","jwk":` + own + `}`), jose.HeaderRefused},
		{"CA-40 x5c", signed(`{"alg":"ES256","x5c":["AAAA"]}`), jose.HeaderRefused},
		{"CA-40 x5u", signed(`{"alg":"ES256","x5u":"https://evil.example/x"}`), jose.HeaderRefused},
		{"CA-41 crit exp", signed(`{"alg":"ES256","crit":["exp"]}`), jose.HeaderRefused},
		{"CA-41 crit extension", signed(`{"alg":"ES256","crit":["urn:x"],"urn:x":1}`), jose.HeaderRefused},
		{"CA-41 crit null", signed(`{"alg":"ES256","crit":null}`), jose.HeaderRefused},
		{"CA-41 crit escaped", signed(`{"alg":"ES256","cr\u0069t":["exp"]}`), jose.HeaderRefused},
		{"CA-42 b64 false", signed(`{"alg":"ES256","b64":false,"crit":["b64"]}`), jose.HeaderRefused},
		{"CA-42 b64 true", signed(`{"alg":"ES256","b64":true}`), jose.HeaderRefused},
		{"zip", signed(`{"alg":"ES256","zip":"DEF"}`), jose.HeaderRefused},
		{"enc", signed(`{"alg":"ES256","enc":"A256GCM"}`), jose.HeaderRefused},
		{"CA-43 dpop+jwt", signed(`{"alg":"ES256","typ":"dpop+jwt"}`), jose.TypRefused},
		{"CA-43 at+jwt", signed(`{"alg":"ES256","typ":"at+jwt"}`), jose.TypRefused},
		{"CA-43 application/at+jwt", signed(`{"alg":"ES256","typ":"application/at+jwt"}`), jose.TypRefused},
		{"CA-43 empty typ", signed(`{"alg":"ES256","typ":""}`), jose.TypRefused},
		{"CA-43 application/ and nothing", signed(`{"alg":"ES256","typ":"application/"}`), jose.TypRefused},
		{"typ is a number", signed(`{"alg":"ES256","typ":1}`), jose.HeaderRefused},
		{"CA-44 duplicate sub", sign(ec, `{"alg":"ES256"}`, `{"sub":"c2","sub":"c1"}`), jose.JSONRefused},
		{"CA-44 duplicate sub, one escaped", sign(ec, `{"alg":"ES256"}`, `{"sub":"c2","s\u0075b":"c1"}`), jose.JSONRefused},
		{"CA-44 duplicate in the header", signed(`{"alg":"ES256","alg":"ES256"}`), jose.JSONRefused},
		{"CA-46 20000 brackets", junk(strings.Repeat("[", 20000), b64(make([]byte, 64))), jose.JSONRefused},
		{"CA-46 20000 brackets in an object", junk(`{"a":`+strings.Repeat("[", 20000), b64(make([]byte, 64))), jose.JSONRefused},
		{"CA-47 1 MiB", strings.Repeat("A", 1<<20), jose.Malformed},
		{"CA-48 60000 dots", strings.Repeat(".", 60000), jose.Malformed},
		{"CA-49 four segments", good + ".AAAA", jose.Malformed},
		{"CA-49 trailing dot", good + ".", jose.Malformed},
		{"CA-50 padded header", segments[0] + "=." + segments[1] + "." + segments[2], jose.Malformed},
		{"CA-50 padded signature", good + "==", jose.Malformed},
		{"CA-50 standard alphabet", segments[0] + "." + segments[1] + "." + "+/" + segments[2][2:], jose.Malformed},
		{"CA-52 final newline", good + "\n", jose.Malformed},
		{"CA-52 line break in the payload", segments[0] + "." + segments[1][:8] + "\r\n" + segments[1][8:] + "." + segments[2], jose.Malformed},
		{"CA-52 carriage return", segments[0] + "\r." + segments[1] + "." + segments[2], jose.Malformed},
		{"CA-52 four bytes of line break", segments[0] + "." + segments[1] + "\n\n\n\n." + segments[2], jose.Malformed},
		{"CA-52 space", " " + good, jose.Malformed},
		{"CA-53 JSON serialisation", `{"payload":"` + segments[1] + `","signatures":[{"signature":"` + segments[2] + `"}]}`, jose.Malformed},
		{"CA-53 flattened", `{"protected":"` + segments[0] + `","payload":"` + segments[1] + `","signature":"` + segments[2] + `"}`, jose.Malformed},
		{"CA-68 ES384", sign(newEC(t, elliptic.P384()), `{"alg":"ES384"}`, claims), jose.AlgNotOffered},
		{"CA-68 ES512", sign(newEC(t, elliptic.P521()), `{"alg":"ES512"}`, claims), jose.AlgNotOffered},
		{"CA-68 ES256K", signed(`{"alg":"ES256K"}`), jose.AlgNotOffered},
		{"CA-68 PS384", sign(rsaK, `{"alg":"PS384"}`, claims), jose.AlgNotOffered},
		{"CA-72 trailing object", sign(ec, `{"alg":"ES256"}`, claims+"{}"), jose.JSONRefused},
		{"CA-72 byte order mark", sign(ec, `{"alg":"ES256"}`, "\ufeff"+claims), jose.JSONRefused},
		{"CA-72 comment", sign(ec, `{"alg":"ES256"}`, `{"iss":"c1"/**/}`), jose.JSONRefused},
		{"CA-72 array", sign(ec, `{"alg":"ES256"}`, `[]`), jose.JSONRefused},
		{"CA-73 JWE", published(t).RFC7516.Compact, jose.Malformed},
		{"alg missing", signed(`{}`), jose.AlgNotOffered},
		{"alg is an array", signed(`{"alg":["ES256"]}`), jose.AlgNotOffered},
		{"alg in another case only", signed(`{"ALG":"ES256"}`), jose.AlgNotOffered},
		{"alg with something to escape", signed(`{"alg":"<\"\\ \u0000\u00e9\u4e16 and more"}`), jose.AlgNotOffered},
		{"header is no JSON", sign(ec, `alg`, claims), jose.JSONRefused},
		{"empty", "", jose.Malformed},
		{"two dots", "..", jose.Malformed},
		{"empty payload", segments[0] + ".." + segments[2], jose.Malformed},
		{"RFC 9126 request object", published(t).RFC9126.RequestObject, jose.AlgNotOffered},
		{"RFC 9126 client assertion", published(t).RFC9126.Assertion, jose.AlgNotOffered},
		{"RFC 8037 payload is no JSON", published(t).RFC8037.JWS, jose.JSONRefused},
	}
	door := assertionDoor
	door.MaxBytes = 64 << 10 // so that size does not hide what else is wrong
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := door.Parse(test.input)
			refused(t, err, test.want)
		})
	}
}

// junk is a JWS of good shape that nobody signed.
func junk(payload, mac string) string {
	return b64([]byte(`{"alg":"ES256"}`)) + "." + b64([]byte(payload)) + "." + mac
}

// TestDoorSaysWhy pins the sentences that lead a developer to the fault where the kind alone would not.
func TestDoorSaysWhy(t *testing.T) {
	ec := ecKey(t)
	for input, want := range map[string]string{
		sign(ec, `{"alg":"RS256<script>alert(1)</script>"}`, claims):    "The alg of the JWS header is RS256?script?alert?1; accepted are PS256, ES256, EdDSA.",
		sign(ec, `{"alg":7}`, claims):                                   "The alg of the JWS header is empty or missing; accepted are PS256, ES256, EdDSA.",
		junk(strings.Repeat("[", 10000), b64(make([]byte, 64))):         "The JSON text is nested more than 16 levels deep.",
		sign(ec, `{"alg":"ES256","typ":"dpop+jwt"}`, claims):            "The typ of the JWS header is dpop+jwt; accepted here: none at all, JWT, client-authentication+jwt.",
		b64([]byte(`{"alg":"none"}`)) + "." + b64([]byte(claims)) + ".": "The JWS is not signed: its third segment, the signature, is empty.",
		published(t).RFC7516.Compact:                                    "The JWS is not three non-empty segments with dots between them.",
	} {
		if _, err := assertionDoor.Parse(input); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	_, err := proofDoor.Parse(sign(ec, `{"alg":"ES256","typ":"dpop+jwt","jwk":"x"}`, claims))
	if want := "The JWS header has no public key as an object in the member jwk."; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// TestDoorAccepts holds what must pass although it is not what we would write ourselves.
func TestDoorAccepts(t *testing.T) {
	ec := ecKey(t)
	key := parseKey(t, jwk(t, &ec.PublicKey, ""))
	many := `{"iss":"c1"`
	for i := range 40 {
		many += fmt.Sprintf(`,"x%d":{"y":[%d]}`, i, i)
	}
	tests := []struct{ name, header, payload, typ, kid string }{
		{"CA-05 typ JWT", `{"alg":"ES256","typ":"JWT"}`, claims, "jwt", ""},
		{"CA-64 typ absent", `{"alg":"ES256"}`, claims, "", ""},
		{"CA-66 forty more claims", `{"alg":"ES256"}`, many + "}", "", ""},
		{"CA-67 fractional iat", `{"alg":"ES256"}`, `{"iat":1732220000.5}`, "", ""},
		{"typ in another case", `{"alg":"ES256","typ":"jWt"}`, claims, "jwt", ""},
		{"typ with prefix", `{"alg":"ES256","typ":"Application/Client-Authentication+JWT"}`, claims, "client-authentication+jwt", ""},
		{"CA-37 odd kid", `{"alg":"ES256","kid":"../../../../dev/null' OR 1=1--"}`, claims, "", "../../../../dev/null' OR 1=1--"},
		{"kid of 256 bytes", `{"alg":"ES256","kid":"` + strings.Repeat("k", 256) + `"}`, claims, "", strings.Repeat("k", 256)},
		{"members that are not critical", `{"alg":"ES256","cty":"JWS","x5t":7,"x5t#S256":null,"iss":{"a":[1]}}`, claims, "", ""},
		{"white space in the header", " {\t\"alg\" :\r\n\"ES256\" } ", claims, "", ""},
		{"escaped alg", `{"alg":"\u0045S256"}`, claims, "", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			j, err := assertionDoor.Parse(sign(ec, test.header, test.payload))
			if err != nil {
				t.Fatal(err)
			}
			h := j.Header()
			if h.Alg != jose.ES256 || h.Typ != test.typ || h.Kid != test.kid || h.Key != nil {
				t.Errorf("got header %+v", h)
			}
			if _, err := j.Verify(key); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestDoorTyp(t *testing.T) {
	door := jose.Door{MaxBytes: 8 << 10, Types: []string{"application/Token-Introspection+JWT"}}
	for typ, want := range map[string]jose.Kind{
		"token-introspection+jwt":                         jose.None,
		"APPLICATION/TOKEN-INTROSPECTION+JWT":             jose.None,
		"to\u212aen-introspection+jwt":                    jose.TypRefused, // the Kelvin sign, whose lower case is k
		"application/application/token-introspection+jwt": jose.TypRefused,
		"token-introspection+jwt ":                        jose.TypRefused,
		"text/token-introspection+jwt":                    jose.TypRefused,
		"jwt":                                             jose.TypRefused,
	} {
		j, err := door.Parse(sign(ecKey(t), `{"alg":"ES256","typ":"`+typ+`"}`, claims))
		if want != jose.None {
			refused(t, err, want)
		} else if err != nil || j.Header().Typ != "token-introspection+jwt" {
			t.Errorf("%s: %v", typ, err)
		}
	}
	_, err := door.Parse(sign(ecKey(t), `{"alg":"ES256"}`, claims))
	refused(t, err, jose.TypRefused)
}

func TestDoorSize(t *testing.T) {
	input := sign(ecKey(t), `{"alg":"ES256"}`, claims)
	for _, test := range []struct {
		max int
		ok  bool
	}{{len(input), true}, {len(input) - 1, false}, {0, false}} {
		_, err := jose.Door{MaxBytes: test.max, Types: []string{""}}.Parse(input)
		if test.ok && err != nil {
			t.Errorf("max %d: %v", test.max, err)
		}
		if !test.ok {
			refused(t, err, jose.Malformed)
		}
	}
}

// CA-48: what the door allocates for hostile input stays below twice the input.
func TestDoorAllocation(t *testing.T) {
	for _, input := range []string{
		strings.Repeat(".", 60000),
		junk(strings.Repeat("[", 20000), b64(make([]byte, 64))),
		junk(`{"a":`+strings.Repeat("[", 20000), b64(make([]byte, 64))),
	} {
		door := jose.Door{MaxBytes: 1 << 20, Types: []string{""}}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range 10 {
			if _, err := door.Parse(input); err == nil {
				t.Fatal("accepted")
			}
		}
		runtime.ReadMemStats(&after)
		if got := (after.TotalAlloc - before.TotalAlloc) / 10; got > 2*uint64(len(input)) {
			t.Errorf("%d bytes allocated for %d bytes of input beginning %.20s", got, len(input), input)
		}
	}
}

// CA-51: every other last character that stands for the same bytes is refused.
func TestDoorUnusedBits(t *testing.T) {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	for _, key := range []crypto.Signer{ecKey(t), rsaKey(t)} {
		header := `{"alg":"ES256"}`
		if _, ok := key.(*rsa.PrivateKey); ok {
			header = `{"alg":"PS256"}`
		}
		good := sign(key, header, claims)
		mac := good[strings.LastIndexByte(good, '.')+1:]
		others := 0
		for _, c := range alphabet {
			other := mac[:len(mac)-1] + string(c)
			if other == mac || string(unb64(t, other)) != string(unb64(t, mac)) {
				continue
			}
			others++
			_, err := assertionDoor.Parse(strings.TrimSuffix(good, mac) + other)
			refused(t, err, jose.Malformed)
		}
		if others != 15 {
			t.Errorf("%s: %d other spellings, want 15", header, others)
		}
	}
}
