package flow

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"
)

var fapiAlgs = []string{"PS256", "ES256", "EdDSA"}

// dpopVectorKey is the key of the examples in RFC 9449.
var dpopVectorKey = JWK{Kty: "EC", Crv: "P-256",
	X: "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs", Y: "9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA"}

func TestThumbprintVectors(t *testing.T) {
	vectors := map[string]struct {
		key  JWK
		want string
	}{
		"RFC 7638 §3.1, RSA": {JWK{Kty: "RSA", E: "AQAB", Alg: "RS256", Kid: "2011-04-29", N: "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"},
			"NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"},
		"RFC 9449 §6.1, P-256":  {dpopVectorKey, "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"},
		"RFC 8037 A.3, Ed25519": {JWK{Kty: "OKP", Crv: "Ed25519", X: "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"},
	}
	for name, vector := range vectors {
		if got := vector.key.Thumbprint(); got != vector.want {
			t.Errorf("%s: got %s, want %s", name, got, vector.want)
		}
	}
}

// Ed25519 is deterministic, so that RFC 8037 A.4 can be made again to the letter, from a key file.
func TestSignVectorRFC8037(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key.json")
	file := `{"kty":"OKP","crv":"Ed25519","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`
	if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	key, err := ReadKeyFile(path)
	if err != nil {
		t.Fatal(err)
	}
	got, err := SignBytes(key, "EdDSA", []byte(`{"alg":"EdDSA"}`), []byte("Example of Ed25519 signing"))
	if err != nil {
		t.Fatal(err)
	}
	want := "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
	if got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

// The proof of RFC 9449 §7.1, its ath and the thumbprint of its key.
func TestVectorRFC9449(t *testing.T) {
	const proof = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA"
	decoded, err := Decode(proof)
	if err != nil {
		t.Fatal(err)
	}
	if decoded.JKT != "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I" {
		t.Errorf("jkt is %s", decoded.JKT)
	}
	if err := decoded.Verify([]JWK{dpopVectorKey}); err != nil {
		t.Error(err)
	}
	draft := Draft{Claims: map[string]any{}}
	ForToken("Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU")(&draft)
	if draft.Claims["ath"] != decoded.Claim("ath") {
		t.Errorf("ath is %s, want %s", draft.Claims["ath"], decoded.Claim("ath"))
	}
}

// go-jose is the oracle in both directions: it verifies with the JWK that we publish, and we verify what it signs.
func TestSignaturesAgreeWithGoJose(t *testing.T) {
	for _, alg := range fapiAlgs {
		key, err := GenerateKey(alg)
		if err != nil {
			t.Fatal(err)
		}
		compact, err := Draft{Key: key, Alg: alg, Header: map[string]any{"alg": alg, "kid": key.ID}, Claims: map[string]any{"iss": "me"}}.Sign()
		if err != nil {
			t.Fatal(err)
		}
		published, _ := json.Marshal(key.PublicJWK())
		var public jose.JSONWebKey
		if err := public.UnmarshalJSON(published); err != nil || !public.Valid() || !public.IsPublic() {
			t.Fatalf("%s: %s is not a public key to go-jose: %v", alg, published, err)
		}
		signed, err := jose.ParseSignedCompact(compact, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(alg)})
		if err != nil {
			t.Fatal(err)
		}
		payload, err := signed.Verify(public)
		if err != nil || string(payload) != `{"iss":"me"}` {
			t.Errorf("%s: payload %s, %v", alg, payload, err)
		}
		if ours, err := Decode(compact); err != nil || ours.Verify([]JWK{key.PublicJWK()}) != nil {
			t.Errorf("%s: go-jose takes what we refuse, such as another salt length", alg)
		}

		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(alg), Key: jose.JSONWebKey{Key: key.Signer, KeyID: key.ID}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		object, err := signer.Sign([]byte(`{"iss":"them"}`))
		if err != nil {
			t.Fatal(err)
		}
		theirs, _ := object.CompactSerialize()
		decoded, err := Decode(theirs)
		if err != nil {
			t.Fatal(err)
		}
		stranger := dpopVectorKey
		stranger.Kid = "another"
		if err := decoded.Verify([]JWK{stranger, key.PublicJWK()}); err != nil {
			t.Errorf("%s: %v", alg, err)
		}
		decoded.Compact = strings.Replace(decoded.Compact, ".", ".A", 1)
		if decoded.Verify([]JWK{key.PublicJWK()}) == nil {
			t.Errorf("%s: another payload verifies", alg)
		}
	}
}

func TestRS256AndNoneAreMadeOnRequest(t *testing.T) {
	key, err := GenerateKey("PS256")
	if err != nil {
		t.Fatal(err)
	}
	draft := Draft{Key: key, Alg: "PS256", Header: map[string]any{"alg": "PS256"}, Claims: map[string]any{}}
	compact, err := draft.Sign(SignAs("RS256"))
	if err != nil {
		t.Fatal(err)
	}
	signed, err := jose.ParseSignedCompact(compact, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := signed.Verify(key.Signer.Public()); err != nil {
		t.Error(err)
	}
	if draft.Header["alg"] != "PS256" {
		t.Error("an edit outlives its signature")
	}
	unsigned, err := draft.Sign(SignAs("none"))
	if err != nil || !strings.HasSuffix(unsigned, ".") {
		t.Errorf("alg none: %q, %v", unsigned, err)
	}
	if _, err := draft.Sign(SignAs("ES256")); err == nil {
		t.Error("an RSA key signs with ES256")
	}
}

func TestKeyFileRoundTrip(t *testing.T) {
	for _, alg := range fapiAlgs {
		key, err := GenerateKey(alg)
		if err != nil {
			t.Fatal(err)
		}
		key.ClientID = "registrar"
		path := filepath.Join(t.TempDir(), "key.json")
		if err := key.WriteFile(path); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: mode %v, %v", alg, info.Mode(), err)
		}
		read, err := ReadKeyFile(path)
		if err != nil {
			t.Fatal(err)
		}
		want, _ := key.PrivateJWK()
		got, _ := read.PrivateJWK()
		if diff := cmp.Diff(want, got); diff != "" || read.ClientID != "registrar" {
			t.Errorf("%s: client_id %q, key differs:\n%s", alg, read.ClientID, diff)
		}
		written, _ := os.ReadFile(path)
		var oracle jose.JSONWebKey
		if err := oracle.UnmarshalJSON(written); err != nil || !oracle.Valid() || oracle.IsPublic() {
			t.Errorf("%s: not a private key to go-jose: %v", alg, err)
		}
	}
}

func TestKeyFileRefusals(t *testing.T) {
	ec, err := GenerateKey("ES256")
	if err != nil {
		t.Fatal(err)
	}
	good, _ := ec.PrivateJWK()
	bent := map[string]func(*JWK){
		"no private member":        func(j *JWK) { j.D = "" },
		"padding":                  func(j *JWK) { j.D += "=" },
		"another's public members": func(j *JWK) { j.X, j.Y = dpopVectorKey.X, dpopVectorKey.Y },
		"point off the curve":      func(j *JWK) { j.X, j.Y = j.Y, j.X },
		"alg of another kind":      func(j *JWK) { j.Alg = "PS256" },
		"unknown curve":            func(j *JWK) { j.Crv = "P-384" },
		"symmetric":                func(j *JWK) { j.Kty = "oct" },
	}
	for name, bend := range bent {
		j := good
		bend(&j)
		path := filepath.Join(t.TempDir(), "key.json")
		encoded, _ := json.Marshal(j)
		if err := os.WriteFile(path, encoded, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadKeyFile(path); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := ReadKeyFile(filepath.Join(t.TempDir(), "absent")); !os.IsNotExist(err) {
		t.Errorf("a missing file: %v", err)
	}
}
