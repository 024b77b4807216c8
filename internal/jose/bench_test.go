package jose_test

import (
	"crypto"
	"encoding/json"
	"strings"
	"testing"

	"authserver/internal/jose"
	"authserver/internal/jose/josetest"
)

// BenchmarkVerify measures what one request costs (Parse and Verify) beside the signature alone (bare), and Parse alone
// for tokens that never reach a signature.
func BenchmarkVerify(b *testing.B) {
	for _, test := range []struct {
		name string
		key  crypto.Signer
	}{{"ES256", ecKey(b)}, {"PS256", rsaKey(b)}, {"EdDSA", edKey()}} {
		public := jwk(b, test.key.Public(), "")
		k := parseKey(b, public)
		assertion := sign(test.key, `{"alg":"`+test.name+`","typ":"JWT","kid":"k1"}`, claims)
		proof := sign(test.key, `{"alg":"`+test.name+`","typ":"dpop+jwt","jwk":`+public+`}`,
			`{"jti":"sY5d_rvBsJKCNH-y","htm":"POST","htu":"https://as.example/oauth2/token","iat":1760028605,"nonce":"5e8972513327f0b3670b21f308cf5e8e"}`)
		b.Run(test.name+"/bare", func(b *testing.B) {
			input, mac, _ := strings.Cut(assertion, ".")
			body, mac, _ := strings.Cut(mac, ".")
			input, octets := input+"."+body, unb64(b, mac)
			b.ReportAllocs()
			for b.Loop() {
				if !josetest.Verifies(test.key.Public(), input, octets) {
					b.Fatal("not verified")
				}
			}
		})
		run := func(name string, door jose.Door, compact string, verify func(*jose.JWS) error) {
			b.Run(test.name+"/"+name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					j, err := door.Parse(compact)
					if err == nil {
						err = verify(j)
					}
					if err != nil {
						b.Fatal(err)
					}
				}
			})
		}
		run("parse", assertionDoor, assertion, func(*jose.JWS) error { return nil })
		run("assertion", assertionDoor, assertion, func(j *jose.JWS) error { _, err := j.Verify(k); return err })
		run("proof", proofDoor, proof, func(j *jose.JWS) error { _, err := j.Verify(j.Header().Key); return err })
	}
}

func BenchmarkParseObject(b *testing.B) {
	b.Run("strict", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := jose.ParseObject([]byte(claims)); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("encoding-json", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var members map[string]json.RawMessage
			if err := json.Unmarshal([]byte(claims), &members); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkSign(b *testing.B) {
	for _, alg := range jose.Algs() {
		key, err := jose.GenerateKey(jose.Alg(alg))
		if err != nil {
			b.Fatal(err)
		}
		signer, err := jose.NewSigner(jose.Alg(alg), "k1", key)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(alg, func(b *testing.B) {
			for b.Loop() {
				if _, err := signer.Sign("at+jwt", json.RawMessage(claims)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
