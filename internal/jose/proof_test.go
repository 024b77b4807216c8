package jose_test

import (
	"crypto"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"strings"
	"testing"

	"authserver/internal/jose"
)

// TestProofDoor is the door for DPoP proofs, whose key comes in the header.
func TestProofDoor(t *testing.T) {
	ec, rsaK := ecKey(t), rsaKey(t)
	t.Setenv("GODEBUG", "rsa1024min=0") // what is tested is our floor, not that of crypto/rsa
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	huge := strings.Repeat("_", 2048*4/3+1) // 16384 bits
	header := func(typ, alg, key string) string {
		return `{"typ":"` + typ + `","alg":"` + alg + `","jwk":` + key + `}`
	}
	own := jwk(t, &ec.PublicKey, "")
	short := strings.Replace(own, `"x":"6s`, `"x":"`, 1) // one byte and a bit fewer
	tests := []struct {
		name string
		key  crypto.Signer
		head string
		want jose.Kind // None: must pass and verify
	}{
		{"DP-01 plain", ec, header("dpop+jwt", "ES256", own), jose.None},
		{"DP-01 PS256", rsaK, header("dpop+jwt", "PS256", jwk(t, &rsaK.PublicKey, "")), jose.None},
		{"DP-01 EdDSA", edKey(), header("dpop+jwt", "EdDSA", jwk(t, edKey().Public(), "")), jose.None},
		{"DP-01 Ed25519", edKey(), header("dpop+jwt", "Ed25519", jwk(t, edKey().Public(), "")), jose.None},
		{"DP-06 typ JWT", ec, header("JWT", "ES256", own), jose.TypRefused},
		{"DP-06 typ absent", ec, `{"alg":"ES256","jwk":` + own + `}`, jose.TypRefused},
		{"DP-06 typ dpop", ec, header("dpop", "ES256", own), jose.TypRefused},
		{"DP-06 typ application/dpop+jwt", ec, header("application/dpop+jwt", "ES256", own), jose.None},
		{"DP-07 none", ec, header("dpop+jwt", "none", own), jose.AlgNotOffered},
		{"DP-08 HS256", ec, header("dpop+jwt", "HS256", `{"kty":"oct","k":"AAAA"}`), jose.AlgNotOffered},
		{"DP-08 oct", ec, header("dpop+jwt", "ES256", `{"kty":"oct"}`), jose.PrivateKey},
		{"DP-09 RS256", rsaK, header("dpop+jwt", "RS256", jwk(t, &rsaK.PublicKey, "")), jose.AlgNotOffered},
		{"DP-10 jwk missing", ec, `{"typ":"dpop+jwt","alg":"ES256"}`, jose.KeyRefused},
		{"DP-10 jwk string", ec, header("dpop+jwt", "ES256", `"x"`), jose.KeyRefused},
		{"DP-10 jwk null", ec, header("dpop+jwt", "ES256", `null`), jose.KeyRefused},
		{"DP-10 jwk empty", ec, header("dpop+jwt", "ES256", `{}`), jose.KeyRefused},
		{"DP-11 jwk with d", ec, header("dpop+jwt", "ES256", jwk(t, &ec.PublicKey, `,"d":"AAAA"`)), jose.PrivateKey},
		{"DP-11 jwk with d null", ec, header("dpop+jwt", "ES256", jwk(t, &ec.PublicKey, `,"d":null`)), jose.PrivateKey},
		{"DP-12 another key", ec, header("dpop+jwt", "ES256", jwk(t, &newEC(t, elliptic.P256()).PublicKey, "")), jose.SignatureInvalid},
		{"DP-42 more members", ec, header("dpop+jwt", "ES256", jwk(t, &ec.PublicKey,
			`,"kid":"k1","use":"sig","alg":"ES256","key_ops":["verify"],"x5c":["no certificate"],"x5t":1`)), jose.None},
		{"DP-43 x one byte short", ec, header("dpop+jwt", "ES256", short), jose.KeyRefused},
		{"DP-44 crit", ec, `{"typ":"dpop+jwt","alg":"ES256","crit":["jwk"],"jwk":` + own + `}`, jose.HeaderRefused},
		{"DP-46 RSA 1024", weak, header("dpop+jwt", "PS256", jwk(t, &weak.PublicKey, "")), jose.Malformed},
		{"DP-46 RSA 1024, longer signature", rsaK, header("dpop+jwt", "PS256", jwk(t, &weak.PublicKey, "")), jose.KeyRefused},
		{"DP-46 RSA 16384", rsaK, header("dpop+jwt", "PS256", `{"kty":"RSA","e":"AQAB","n":"`+huge+`"}`), jose.KeyRefused},
		{"alg does not fit the key", ec, header("dpop+jwt", "EdDSA", own), jose.KeyRefused},
		{"kid beside jwk", ec, `{"typ":"dpop+jwt","alg":"ES256","kid":"k1","jwk":` + own + `}`, jose.None},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			j, err := proofDoor.Parse(sign(test.key, test.head, claims))
			if err == nil {
				_, err = j.Verify(j.Header().Key)
			}
			if test.want != jose.None {
				refused(t, err, test.want)
			} else if err != nil {
				t.Fatal(err)
			}
		})
	}
	t.Run("DP-42 same thumbprint", func(t *testing.T) {
		plain, err1 := proofDoor.Parse(sign(ec, tests[0].head, claims))
		more, err2 := proofDoor.Parse(sign(ec, header("dpop+jwt", "ES256", jwk(t, &ec.PublicKey, `,"kid":"k","x5c":[]`)), claims))
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		if want := published(t).Thales.Thumbprint; plain.Header().Key.Thumbprint() != want || more.Header().Key.Thumbprint() != want {
			t.Errorf("thumbprints %s and %s, want %s", plain.Header().Key.Thumbprint(), more.Header().Key.Thumbprint(), want)
		}
	})
}
