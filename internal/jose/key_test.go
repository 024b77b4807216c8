package jose_test

import (
	"crypto/ed25519"
	"crypto/elliptic"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math/big"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"authserver/internal/jose"
)

func TestParseKeyRefuses(t *testing.T) {
	ec, rsaK := ecKey(t), rsaKey(t)
	p, e := jwk(t, &ec.PublicKey, ""), "AQAB"
	point, _ := ec.PublicKey.Bytes()
	x, y := point[1:33], point[33:]
	rsaJWK := func(n *big.Int, e string) string { return `{"kty":"RSA","n":"` + b64(n.Bytes()) + `","e":"` + e + `"}` }
	ecJWK := func(x, y []byte) string {
		return `{"kty":"EC","crv":"P-256","x":"` + b64(x) + `","y":"` + b64(y) + `"}`
	}
	edJWK := func(x string) string {
		octets, _ := hex.DecodeString(x)
		return `{"kty":"OKP","crv":"Ed25519","x":"` + b64(octets) + `"}`
	}
	odd := func(bits uint) *big.Int { n := new(big.Int).Lsh(big.NewInt(1), bits-1); return n.Add(n, big.NewInt(1)) }
	fieldPrime := elliptic.P256().Params().P
	with := func(extra string) string { return jwk(t, &ec.PublicKey, extra) }
	tests := []struct {
		name string
		raw  string
		want jose.Kind
	}{
		{"no object", `"key"`, jose.JSONRefused},
		{"empty object", `{}`, jose.KeyRefused},
		{"kty null", `{"kty":null}`, jose.KeyRefused},
		{"kty in another case", strings.Replace(p, `"EC"`, `"ec"`, 1), jose.KeyRefused},
		{"JK-01 kty AKP", `{"kty":"AKP","alg":"ML-DSA-44","pub":"AAAA"}`, jose.KeyRefused},
		{"JK-02 d", with(`,"d":"AAAA"`), jose.PrivateKey},
		{"JK-02 RSA p", jwk(t, &rsaK.PublicKey, `,"p":"AAAA"`), jose.PrivateKey},
		{"JK-02 RSA q", jwk(t, &rsaK.PublicKey, `,"q":""`), jose.PrivateKey},
		{"JK-02 RSA dp", jwk(t, &rsaK.PublicKey, `,"dp":"AAAA"`), jose.PrivateKey},
		{"JK-02 RSA dq", jwk(t, &rsaK.PublicKey, `,"dq":"AAAA"`), jose.PrivateKey},
		{"JK-02 RSA qi", jwk(t, &rsaK.PublicKey, `,"qi":"AAAA"`), jose.PrivateKey},
		{"JK-02 RSA oth", jwk(t, &rsaK.PublicKey, `,"oth":[]`), jose.PrivateKey},
		{"JK-02 k", with(`,"k":"AAAA"`), jose.PrivateKey},
		{"JK-02 published private key", string(published(t).Mastercard.PrivateJWK), jose.PrivateKey},
		{"JK-03 oct", `{"kty":"oct","kid":"k1","k":"AAAA"}`, jose.PrivateKey},
		{"JK-03 oct without k", `{"kty":"oct"}`, jose.PrivateKey},
		{"JK-04 e=1", rsaJWK(rsaK.N, b64([]byte{1})), jose.KeyRefused},
		{"JK-04 e=3", rsaJWK(rsaK.N, b64([]byte{3})), jose.KeyRefused},
		{"JK-04 e=4", rsaJWK(rsaK.N, b64([]byte{4})), jose.KeyRefused},
		{"JK-04 e=65535", rsaJWK(rsaK.N, b64([]byte{0xff, 0xff})), jose.KeyRefused},
		{"JK-04 e=65538", rsaJWK(rsaK.N, b64([]byte{1, 0, 2})), jose.KeyRefused},
		{"JK-04 e=2^31+1", rsaJWK(rsaK.N, b64([]byte{0x80, 0, 0, 1})), jose.KeyRefused},
		{"JK-05 e=2^64+65537", rsaJWK(rsaK.N, b64([]byte{1, 0, 0, 0, 0, 0, 1, 0, 1})), jose.KeyRefused},
		{"JK-05 e with a leading zero", rsaJWK(rsaK.N, b64([]byte{0, 1, 0, 1})), jose.KeyRefused},
		{"JK-05 e padded", rsaJWK(rsaK.N, "AQAB===="), jose.KeyRefused},
		{"JK-05 e empty", rsaJWK(rsaK.N, ""), jose.KeyRefused},
		{"JK-05 e a number", `{"kty":"RSA","n":"` + b64(rsaK.N.Bytes()) + `","e":65537}`, jose.KeyRefused},
		{"JK-06 off the curve", ecJWK(x, x), jose.KeyRefused},
		{"JK-06 zero point", ecJWK(make([]byte, 32), make([]byte, 32)), jose.KeyRefused},
		{"JK-06 x not below p", ecJWK(fieldPrime.Bytes(), y), jose.KeyRefused},
		{"JK-07 x of 40 bytes", ecJWK(append(make([]byte, 8), x...), y), jose.KeyRefused},
		{"JK-07 y of 33 bytes", ecJWK(x, append([]byte{0}, y...)), jose.KeyRefused},
		{"JK-07 x of 33 bytes and y of 31", ecJWK(point[1:34], point[34:]), jose.KeyRefused},
		{"JK-07 x of 31 bytes", ecJWK(x[1:], y), jose.KeyRefused},
		{"JK-07 x missing", `{"kty":"EC","crv":"P-256","y":"` + b64(y) + `"}`, jose.KeyRefused},
		{"JK-07 x a number", `{"kty":"EC","crv":"P-256","x":1,"y":"` + b64(y) + `"}`, jose.KeyRefused},
		{"x with unused bits set", strings.Replace(p, b64(x), b64(x)[:42]+"Z", 1), jose.KeyRefused},
		{"x in standard base64", strings.Replace(p, b64(x), "+"+b64(x)[1:], 1), jose.KeyRefused},
		{"x with a line break", strings.Replace(p, b64(x), b64(x)[:40]+`\n`+b64(x)[41:], 1), jose.KeyRefused},
		{"CA-68 P-384", jwk(t, &newEC(t, elliptic.P384()).PublicKey, ""), jose.KeyRefused},
		{"CA-68 secp256k1", strings.Replace(p, "P-256", "secp256k1", 1), jose.KeyRefused},
		{"crv missing", strings.Replace(p, `"crv":"P-256",`, "", 1), jose.KeyRefused},
		{"JK-09 use enc", with(`,"use":"enc"`), jose.KeyRefused},
		{"use null", with(`,"use":null`), jose.KeyRefused},
		{"JK-09 key_ops encrypt", with(`,"key_ops":["encrypt"]`), jose.KeyRefused},
		{"key_ops empty", with(`,"key_ops":[]`), jose.KeyRefused},
		{"key_ops a string", with(`,"key_ops":"verify"`), jose.KeyRefused},
		{"alg of another key type", with(`,"alg":"PS256"`), jose.KeyRefused},
		{"alg RS256", jwk(t, &rsaK.PublicKey, `,"alg":"RS256"`), jose.KeyRefused},
		{"alg RSA-OAEP", jwk(t, &rsaK.PublicKey, `,"alg":"RSA-OAEP"`), jose.KeyRefused},
		{"alg empty", with(`,"alg":""`), jose.KeyRefused},
		{"kid a number", with(`,"kid":1`), jose.KeyRefused},
		{"kid of 257 bytes", with(`,"kid":"` + strings.Repeat("k", 257) + `"`), jose.KeyRefused},
		{"duplicate x", with(`,"x":"AAAA"`), jose.JSONRefused},
		{"CA-57 RSA 1024", rsaJWK(odd(1024), e), jose.KeyRefused},
		{"CA-57 RSA 2047", rsaJWK(odd(2047), e), jose.KeyRefused},
		{"DP-46 RSA 4097", rsaJWK(odd(4097), e), jose.KeyRefused},
		{"DP-46 RSA 16384", rsaJWK(odd(16384), e), jose.KeyRefused},
		{"RSA even modulus", rsaJWK(new(big.Int).Lsh(big.NewInt(1), 2047), e), jose.KeyRefused},
		{"RSA leading zero", `{"kty":"RSA","n":"` + b64(append([]byte{0}, rsaK.N.Bytes()...)) + `","e":"AQAB"}`, jose.KeyRefused},
		{"RSA n missing", `{"kty":"RSA","e":"AQAB"}`, jose.KeyRefused},
		{"JK-17 X25519", strings.Replace(jwk(t, edKey().Public(), ""), "Ed25519", "X25519", 1), jose.KeyRefused},
		{"JK-17 P-999", strings.Replace(p, "P-256", "P-999", 1), jose.KeyRefused},
		{"Ed448", `{"kty":"OKP","crv":"Ed448","x":"` + b64(make([]byte, 57)) + `"}`, jose.KeyRefused},
		{"Ed25519 of 31 bytes", edJWK(strings.Repeat("11", 31)), jose.KeyRefused},
		{"Ed25519 of 33 bytes", edJWK(strings.Repeat("11", 33)), jose.KeyRefused},
		{"Ed25519 y = p", edJWK("ed" + strings.Repeat("ff", 30) + "7f"), jose.KeyRefused},
		{"Ed25519 y = p+3", edJWK("f0" + strings.Repeat("ff", 30) + "7f"), jose.KeyRefused},
		{"Ed25519 y = p+18, sign set", edJWK(strings.Repeat("ff", 32)), jose.KeyRefused},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			k, err := jose.ParseKey([]byte(test.raw))
			refused(t, err, test.want)
			if k != nil {
				t.Error("a key came with the refusal")
			}
		})
	}
}

// TestSmallOrder finds the points of small order by adding points to themselves on the curve -x²+y² = 1+dx²y², and demands
// that every spelling of each is refused.
func TestSmallOrder(t *testing.T) {
	p := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 255), big.NewInt(19))
	mul := func(a, b *big.Int) *big.Int { c := new(big.Int).Mul(a, b); return c.Mod(c, p) }
	add := func(a, b *big.Int) *big.Int { c := new(big.Int).Add(a, b); return c.Mod(c, p) }
	sub := func(a, b *big.Int) *big.Int { c := new(big.Int).Sub(a, b); return c.Mod(c, p) }
	inv := func(a *big.Int) *big.Int { return new(big.Int).ModInverse(a, p) }
	one := big.NewInt(1)
	d := mul(big.NewInt(-121665), inv(big.NewInt(121666)))
	double := func(x, y *big.Int) (*big.Int, *big.Int) {
		xy, k := mul(x, y), mul(d, mul(mul(x, x), mul(y, y)))
		return mul(add(xy, xy), inv(add(one, k))), mul(add(mul(y, y), mul(x, x)), inv(sub(one, k)))
	}
	// lift returns the x of a y, if there is one.
	lift := func(y *big.Int) *big.Int {
		yy := mul(y, y)
		return new(big.Int).ModSqrt(mul(sub(yy, one), inv(add(one, mul(d, yy)))), p)
	}
	// Halving 4-torsion: y(2P) = (y²+x²)/(2-y²+x²) is 0 for the points of order 8, so x² = -y² and -x²+y² = 1+dx²y² leave
	// 2y² = 1-dy⁴, whose solutions in y² are (-1±sqrt(1+d))/d.
	ys := []*big.Int{new(big.Int), one, sub(new(big.Int), one)}
	root := new(big.Int).ModSqrt(add(one, d), p)
	for _, r := range []*big.Int{root, sub(new(big.Int), root)} {
		if y := new(big.Int).ModSqrt(mul(sub(r, one), inv(d)), p); y != nil {
			ys = append(ys, y, sub(new(big.Int), y))
		}
	}
	found := 0
	for _, y := range ys {
		x := lift(y)
		if x == nil {
			continue
		}
		x8, y8 := x, y
		for range 3 {
			x8, y8 = double(x8, y8)
		}
		if x8.Sign() != 0 || y8.Cmp(one) != 0 {
			t.Errorf("y = %v is not of small order", y)
			continue
		}
		if found++; x.Sign() != 0 {
			found++ // -x has the same y
		}
		for _, spelling := range []*big.Int{y, new(big.Int).Add(y, p)} {
			for _, sign := range []byte{0, 0x80} {
				if spelling.BitLen() > 255 {
					continue
				}
				octets := make([]byte, 32)
				for i, b := range spelling.FillBytes(make([]byte, 32)) {
					octets[31-i] = b
				}
				octets[31] |= sign
				_, err := jose.ParseKey([]byte(`{"kty":"OKP","crv":"Ed25519","x":"` + b64(octets) + `"}`))
				refused(t, err, jose.KeyRefused)
			}
		}
	}
	if found != 8 {
		t.Errorf("found %d points of small order, want 8", found)
	}
}

func TestParseKeyAccepts(t *testing.T) {
	v := published(t)
	rfc7638 := func(alg string) string {
		return `{"kty":"RSA","n":"` + v.RFC7638.JWK["n"] + `","e":"AQAB","alg":"` + alg + `","kid":"2011-04-29","x5c":["?"],"exp":1}`
	}
	okp := func(extra string) string {
		return `{"kty":"OKP","crv":"Ed25519","x":"` + v.RFC8037.JWK["x"] + `"` + extra + `}`
	}
	odd4096 := new(big.Int).Add(new(big.Int).Lsh(big.NewInt(1), 4095), big.NewInt(1))
	tests := []struct {
		name, raw  string
		alg        jose.Alg
		kid        string
		thumbprint string // empty: not published
	}{
		{"RFC 7638", rfc7638("PS256"), jose.PS256, "2011-04-29", v.RFC7638.Thumbprint},
		{"RFC 8037", okp(""), jose.EdDSA, "", v.RFC8037.Thumbprint},
		{"RFC 8037 alg EdDSA", okp(`,"alg":"EdDSA"`), jose.EdDSA, "", v.RFC8037.Thumbprint},
		{"RFC 8037 alg Ed25519", okp(`,"alg":"Ed25519"`), jose.EdDSA, "", v.RFC8037.Thumbprint},
		{"RFC 9126", string(v.RFC9126.JWK), jose.PS256, "k2bdc", ""},
		{"RFC 9449", string(v.RFC9449.JWK), jose.ES256, "", v.RFC9449.JKT},
		{"Mastercard", string(v.Mastercard.PublicJWK), jose.PS256, v.Mastercard.Kid, v.Mastercard.Expected.AuthThumbprint},
		{"Thales", string(v.Thales.JWK), jose.ES256, "your_tenant_key_id", v.Thales.Thumbprint},
		{"key_ops", jwk(t, &ecKey(t).PublicKey, `,"key_ops":["sign","verify"],"use":"sig"`), jose.ES256, "", v.Thales.Thumbprint},
		{"empty kid", jwk(t, &ecKey(t).PublicKey, `,"kid":""`), jose.ES256, "", v.Thales.Thumbprint},
		{"kid to escape", jwk(t, &ecKey(t).PublicKey, `,"kid":"<a&\"\\\n\u0000é>"`), jose.ES256, "<a&\"\\\n\x00é>", v.Thales.Thumbprint},
		{"RSA 4096, e = 2^31-1", `{"kty":"RSA","n":"` + b64(odd4096.Bytes()) + `","e":"f____w"}`, jose.PS256, "", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			k := parseKey(t, test.raw)
			if k.Alg() != test.alg || k.Kid() != test.kid {
				t.Errorf("got %s %q", k.Alg(), k.Kid())
			}
			if test.thumbprint != "" && k.Thumbprint() != test.thumbprint {
				t.Errorf("thumbprint %s, want %s", k.Thumbprint(), test.thumbprint)
			}
			again := parseKey(t, marshal(t, k))
			if again.Thumbprint() != k.Thumbprint() || again.Kid() != k.Kid() || again.Alg() != k.Alg() {
				t.Errorf("marshalled and parsed again: %+v, before %+v", again, k)
			}
		})
	}
	refusedKey(t, rfc7638("RS256"))
}

func refusedKey(t *testing.T, raw string) {
	t.Helper()
	_, err := jose.ParseKey([]byte(raw))
	refused(t, err, jose.KeyRefused)
}

func marshal(t testing.TB, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestKeyMarshal(t *testing.T) {
	for raw, want := range map[string]string{
		string(published(t).Thales.JWK): `{"crv":"P-256","kty":"EC","x":"6swczLIRn_lPxQPpdUb2pHjCr0YeC02lkG7vMmqCNpY",` +
			`"y":"pcCEEpfk0X2VQ8AiiZmo0YCt_p-UsgIAqeKB_KjZbsE","kid":"your_tenant_key_id","use":"sig","alg":"ES256"}`,
		jwk(t, edKey().Public(), ""): `{"crv":"Ed25519","kty":"OKP","x":"O2onvM62pC1io6jQKm8Nc2UyFXcd4kOmOsBIoYtZ2ik","use":"sig","alg":"EdDSA"}`,
	} {
		if diff := cmp.Diff(want, marshal(t, parseKey(t, raw))); diff != "" {
			t.Error(diff)
		}
	}
	if k := parseKey(t, jwk(t, edKey().Public(), "")); !edKey().Public().(ed25519.PublicKey).Equal(k.Public()) {
		t.Error("the public key came out changed")
	}
}

func TestParseKeySet(t *testing.T) {
	ec, rsaK := ecKey(t), rsaKey(t)
	good := jwk(t, &ec.PublicKey, `,"kid":"k1"`)
	other := jwk(t, &rsaK.PublicKey, `,"kid":"k1"`)
	set, err := jose.ParseKeySet([]byte(`{"other":1,"keys":[
		{"kty":"AKP","kid":"JK-01"}, `+jwk(t, &ec.PublicKey, `,"kid":"JK-02","d":"AAAA"`)+`, {"kty":"oct","kid":"JK-03","k":"AAAA"},
		`+good+`, `+jwk(t, &ec.PublicKey, `,"kid":"JK-09","use":"enc"`)+`, {"kty":"OKP","crv":"X25519","kid":"JK-17","x":"AAAA"},
		{"kty":"EC","crv":"P-999","kid":7}, 1, null, `+other+`, `+jwk(t, edKey().Public(), `,"exp":1`)+`]}`), 11)
	if err != nil {
		t.Fatal(err)
	}
	var algs []jose.Alg
	for _, k := range set.Keys {
		algs = append(algs, k.Alg())
	}
	if diff := cmp.Diff([]jose.Alg{jose.ES256, jose.PS256, jose.EdDSA}, algs); diff != "" {
		t.Error(diff)
	}
	type skipped struct {
		Kid  string
		Kind jose.Kind
	}
	var got []skipped
	for _, s := range set.Skipped {
		got = append(got, skipped{s.Kid, s.Defect.Kind})
		refused(t, s.Defect, s.Defect.Kind)
	}
	want := []skipped{{"JK-01", jose.KeyRefused}, {"JK-02", jose.PrivateKey}, {"JK-03", jose.PrivateKey}, {"JK-09", jose.KeyRefused},
		{"JK-17", jose.KeyRefused}, {"", jose.KeyRefused}, {"", jose.JSONRefused}, {"", jose.JSONRefused}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}

	for name, raw := range map[string]string{
		"JK-13 empty object":        `{}`,
		"JK-13 array":               `[` + good + `]`,
		"JK-13 HTML":                `<html></html>`,
		"JK-13 one key":             good,
		"JK-13 keys an object":      `{"keys":{"k1":` + good + `}}`,
		"JK-13 keys null":           `{"keys":null}`,
		"JK-13 keys in other case":  `{"KEYS":[` + good + `]}`,
		"JK-14 3000 keys":           `{"keys":[` + strings.Repeat(`{},`, 2999) + `{}]}`,
		"JK-14 21 keys":             `{"keys":[` + strings.Repeat(good+`,`, 20) + good + `]}`,
		"duplicate keys":            `{"keys":[],"keys":[` + good + `]}`,
		"duplicate member of a key": `{"keys":[{"kty":"EC","kty":"RSA"}]}`,
		"trailing":                  `{"keys":[]}{}`,
	} {
		t.Run(name, func(t *testing.T) {
			_, err := jose.ParseKeySet([]byte(raw), 20)
			refused(t, err, jose.JSONRefused)
		})
	}
	if set, err := jose.ParseKeySet([]byte(`{"keys":[]}`), 20); err != nil || len(set.Keys)+len(set.Skipped) != 0 {
		t.Errorf("JK-13 no keys: %v, %v", set, err)
	}
}

func TestSelect(t *testing.T) {
	ec1, ec2, rsaK := newEC(t, elliptic.P256()), newEC(t, elliptic.P256()), rsaKey(t)
	raw := `{"keys":[` + jwk(t, &rsaK.PublicKey, `,"kid":"k1"`) + `,` + jwk(t, &ec1.PublicKey, `,"kid":"k1"`) + `,` +
		jwk(t, &ec2.PublicKey, `,"kid":"k2"`) + `,` + jwk(t, edKey().Public(), ``) + `]}`
	set, err := jose.ParseKeySet([]byte(raw), 20)
	if err != nil {
		t.Fatal(err)
	}
	rsa0, ec10, ec20, ed0 := set.Keys[0], set.Keys[1], set.Keys[2], set.Keys[3]
	tests := []struct {
		name   string
		header jose.Header
		max    int
		want   []*jose.Key
	}{
		{"JK-08 shared kid, ES256", jose.Header{Alg: jose.ES256, Kid: "k1"}, 10, []*jose.Key{ec10}},
		{"JK-08 shared kid, PS256", jose.Header{Alg: jose.PS256, Kid: "k1"}, 10, []*jose.Key{rsa0}},
		{"CA-33 unknown kid", jose.Header{Alg: jose.ES256, Kid: "k3"}, 10, nil},
		{"kid in another case", jose.Header{Alg: jose.ES256, Kid: "K1"}, 10, nil},
		{"CA-35 no kid, one suitable key", jose.Header{Alg: jose.PS256}, 10, []*jose.Key{rsa0}},
		{"CA-36 no kid, two suitable keys", jose.Header{Alg: jose.ES256}, 10, []*jose.Key{ec10, ec20}},
		{"CA-36 at most max", jose.Header{Alg: jose.ES256}, 1, []*jose.Key{ec10}},
		{"CA-36 max 0", jose.Header{Alg: jose.ES256}, 0, nil},
		{"the other kid", jose.Header{Alg: jose.ES256, Kid: "k2"}, 10, []*jose.Key{ec20}},
		{"a key without kid", jose.Header{Alg: jose.EdDSA}, 10, []*jose.Key{ed0}},
		{"a key without kid is not found by kid", jose.Header{Alg: jose.EdDSA, Kid: "k1"}, 10, nil},
		{"zero header", jose.Header{}, 10, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := set.Select(test.header, test.max)
			if !cmp.Equal(test.want, got, cmp.Comparer(func(a, b *jose.Key) bool { return a == b })) {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

func TestAlgs(t *testing.T) {
	jose.Algs()[0] = "none"
	if diff := cmp.Diff([]string{"PS256", "ES256", "EdDSA"}, jose.Algs()); diff != "" {
		t.Error(diff)
	}
	for name, want := range map[string]jose.Alg{"PS256": jose.PS256, "ES256": jose.ES256, "EdDSA": jose.EdDSA, "Ed25519": jose.EdDSA,
		"": "", "none": "", "RS256": "", "eddsa": "", "Ed448": "", "ES256 ": ""} {
		if got, ok := jose.ParseAlg(name); got != want || ok != (want != "") {
			t.Errorf("%s: got %s, %v", name, got, ok)
		}
	}
}

func TestKind(t *testing.T) {
	if got := jose.KindOf(errors.New("x")); got != jose.None {
		t.Errorf("got %v", got)
	}
	if got := jose.KindOf(errors.Join(errors.New("x"), &jose.Defect{Kind: jose.PrivateKey})); got != jose.PrivateKey {
		t.Errorf("got %v", got)
	}
	if jose.KindOf(nil) != jose.None || jose.None.String() != "none" || jose.JSONRefused.String() != "json_refused" {
		t.Error("names of kinds")
	}
}
