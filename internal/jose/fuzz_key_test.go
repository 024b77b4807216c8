package jose_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/hex"
	"encoding/json"
	"math/big"
	"slices"
	"strings"
	"testing"

	oracle "github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"authserver/internal/jose"
)

// FuzzParseKey demands that a key we accept is, for go-jose, a valid public key with the same thumbprint, that what we
// publish of it is the same key again, and that we refuse no other than those that go-jose reads differently, or that the
// rules in words forbid.
func FuzzParseKey(f *testing.F) {
	v := published(f)
	for _, raw := range []json.RawMessage{v.Mastercard.PublicJWK, v.Mastercard.PrivateJWK, v.Thales.JWK, v.RFC9449.JWK, v.RFC9126.JWK} {
		f.Add([]byte(raw))
	}
	for _, raw := range []string{jwk(f, edKey().Public(), `,"use":"sig","key_ops":["verify"]`), `{"kty":"oct","k":"AAAA"}`,
		jwk(f, &ecKey(f).PublicKey, `,"x5c":[],"kid":"\u0000","alg":"ES256"`),
		jwk(f, newEC(f, elliptic.P384()).Public(), ""), jwk(f, rsaKey(f).Public(), `,"alg":"RS256"`), jwk(f, &rsa.PublicKey{N: rsaKey(f).N, E: 3}, ""),
		jwk(f, &rsa.PublicKey{N: new(big.Int).Rsh(rsaKey(f).N, 1024), E: 65537}, ""), jwk(f, edKey().Public(), `,"alg":"Ed25519","use":"enc"`),
		jwk(f, edKey().Public(), `,"key_ops":["sign"]`), `{"kty":"RSA","e":"AQAB","n":"` + b64(append([]byte{0}, rsaKey(f).N.Bytes()...)) + `"}`} {
		f.Add([]byte(raw))
	}
	for _, y := range []string{"00", "01", "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05", "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"} {
		octets, _ := hex.DecodeString(y + strings.Repeat("0", 64-len(y)))
		f.Add([]byte(jwk(f, ed25519.PublicKey(octets), "")))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		k, err := jose.ParseKey(raw)
		if want := suitable(raw); (err == nil) != want {
			t.Fatalf("%s: %v, expected acceptance: %v", raw, err, want)
		}
		if err != nil {
			refused(t, err, jose.KindOf(err))
			return
		}
		sameKey(t, k)
	})
}

// membersOf are the members that make a public key of a type.
var membersOf = map[string][]string{"RSA": {"kty", "n", "e"}, "EC": {"kty", "crv", "x", "y"}, "OKP": {"kty", "crv", "x"}}

// suitable tells by go-jose and the rules in words whether a JWK is a public key that verifies here, in its only spelling.
func suitable(raw []byte) bool {
	var members, required, again map[string]any
	if strict(raw) != nil || json.Unmarshal(raw, &members) != nil {
		return false
	}
	required = map[string]any{}
	for name, value := range members {
		switch name {
		case "d", "p", "q", "dp", "dq", "qi", "oth", "k":
			return false
		}
		kty, _ := members["kty"].(string)
		if slices.Contains(membersOf[kty], name) { // any other means nothing here (RFC 7517 §4), and much to go-jose
			required[name] = value
		}
	}
	text, _ := json.Marshal(required)
	var key oracle.JSONWebKey
	if json.Unmarshal(text, &key) != nil || !key.Valid() || !key.IsPublic() {
		return false
	}
	spelled, _ := key.MarshalJSON()
	if json.Unmarshal(spelled, &again) != nil {
		return false
	}
	for name, value := range again {
		if required[name] != value {
			return false
		}
	}
	var algs []any
	switch public := key.Key.(type) {
	case *rsa.PublicKey:
		bits, odd := public.N.BitLen(), public.N.Bit(0) == 1 && public.E%2 == 1
		if odd && bits >= 2048 && bits <= 4096 && public.E >= 65537 && public.E < 1<<31 {
			algs = []any{"PS256"}
		}
	case *ecdsa.PublicKey:
		if public.Params().Name == "P-256" {
			algs = []any{"ES256"}
		}
	case ed25519.PublicKey:
		if !isSmallOrTwin(public) {
			algs = []any{"EdDSA", "Ed25519"}
		}
	}
	return algs != nil && isFor(members, algs)
}

// isSmallOrTwin tells whether the y of a point belongs to a point whose order divides 8, or is 2^255 - 19 or more, and so
// the second spelling of another. With a = -1 and d = -121665/121666, y is 0, 1, -1 or solves dy^4 + 2y^2 - 1 = 0
// (TestSmallOrder).
func isSmallOrTwin(public ed25519.PublicKey) bool {
	p := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 255), big.NewInt(19))
	octets := bytes.Clone(public)
	octets[31] &= 0x7f // the sign of x
	slices.Reverse(octets)
	y := new(big.Int).SetBytes(octets)
	yy := new(big.Int).Mul(y, y)
	left := new(big.Int).Mul(big.NewInt(121666), new(big.Int).Sub(new(big.Int).Lsh(yy, 1), big.NewInt(1)))
	right := new(big.Int).Mul(big.NewInt(121665), new(big.Int).Mul(yy, yy))
	ofOrder8 := new(big.Int).Mod(left.Sub(left, right), p).Sign() == 0
	oneLess := new(big.Int).Sub(p, big.NewInt(1))
	return y.Cmp(oneLess) >= 0 || y.Cmp(big.NewInt(1)) <= 0 || ofOrder8
}

// isFor tells whether the members about a key's purpose, where they are, say that it verifies by one of algs.
func isFor(members map[string]any, algs []any) bool {
	kid, hasKid := members["kid"]
	if name, isText := kid.(string); hasKid && (!isText || len(name) > 256) {
		return false
	}
	use, hasUse := members["use"]
	ops, hasOps := members["key_ops"]
	list, _ := ops.([]any)
	texts := !slices.ContainsFunc(list, func(op any) bool { _, isText := op.(string); return !isText && op != nil })
	alg, hasAlg := members["alg"]
	return (!hasUse || use == "sig") && (!hasOps || texts && slices.Contains(list, "verify")) && (!hasAlg || slices.Contains(algs, alg))
}

func sameKey(t *testing.T, k *jose.Key) {
	t.Helper()
	out := marshal(t, k)
	var theirs oracle.JSONWebKey
	if err := json.Unmarshal([]byte(out), &theirs); err != nil || !theirs.Valid() || !theirs.IsPublic() {
		t.Fatalf("go-jose refuses %s: %v", out, err)
	}
	if want, err := theirs.Thumbprint(crypto.SHA256); err != nil || b64(want) != k.Thumbprint() {
		t.Fatalf("thumbprint %s, go-jose says %s, %v", k.Thumbprint(), b64(want), err)
	}
	if public, ok := k.Public().(interface{ Equal(crypto.PublicKey) bool }); !ok || !public.Equal(theirs.Key) {
		t.Fatalf("%s is another key for go-jose", out)
	}
	again := parseKey(t, out)
	if again.Thumbprint() != k.Thumbprint() || again.Kid() != k.Kid() || again.Alg() != k.Alg() {
		t.Fatalf("%s is another key when parsed again", out)
	}
}

// FuzzParseKeySet demands that every entry of a set is either a sound key or skipped with a reason.
func FuzzParseKeySet(f *testing.F) {
	ec, ed := jwk(f, &ecKey(f).PublicKey, `,"kid":"k1"`), jwk(f, edKey().Public(), "")
	for _, seed := range []string{`{"keys":[]}`, `{"keys":[` + ec + `,` + ed + `]}`, `{"keys":[` + ec + `,{"kty":"AKP"},null,1,[]]}`,
		`{"keys":[` + ec + `,` + strings.Replace(ec, "k1", "k2", 1) + `]}`, `{"keys":[{"kty":"oct","k":"AA","kid":7}]}`, ec, `[]`, `{"keys":{}}`, `{"keys":[{},{},{},{},{}]}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		const most = 4
		set, err := jose.ParseKeySet(raw, most)
		if err != nil {
			refused(t, err, jose.JSONRefused)
			var members map[string]json.RawMessage
			var entries []json.RawMessage
			if strict(raw) == nil && json.Unmarshal(raw, &members) == nil && json.Unmarshal(members["keys"], &entries) == nil && entries != nil && len(entries) <= most {
				t.Fatalf("refused %s: %v", raw, err)
			}
			return
		}
		var entries []json.RawMessage
		keys, _ := object(t, string(raw)).Raw("keys")
		if err := json.Unmarshal(keys, &entries); err != nil || len(entries) > most {
			t.Fatalf("%d keys, %v", len(entries), err)
		}
		for _, skipped := range set.Skipped {
			refused(t, skipped.Defect, jose.KindOf(skipped.Defect))
		}
		// Every entry is judged by itself: no other can make it better or worse.
		var sound []string
		for _, entry := range entries {
			if k, err := jose.ParseKey(entry); err == nil {
				sound = append(sound, marshal(t, k))
			}
		}
		var kept []string
		for _, k := range set.Keys {
			kept = append(kept, marshal(t, k))
		}
		if diff := cmp.Diff(sound, kept); diff != "" || len(kept)+len(set.Skipped) != len(entries) {
			t.Fatalf("%d entries, %d skipped, keys: %s", len(entries), len(set.Skipped), diff)
		}
		for _, k := range set.Keys {
			sameKey(t, k)
			checkSelect(t, set, jose.Header{Alg: k.Alg(), Kid: k.Kid()}, most)
			checkSelect(t, set, jose.Header{Alg: k.Alg()}, 1)
		}
	})
}

// checkSelect demands that no key is selected or passed over that should not be, in the order of the set.
func checkSelect(t *testing.T, set jose.KeySet, h jose.Header, most int) {
	t.Helper()
	var want []*jose.Key
	for _, k := range set.Keys {
		if k.Alg() == h.Alg && (h.Kid == "" || h.Kid == k.Kid()) {
			want = append(want, k)
		}
	}
	want = want[:min(len(want), most)]
	if got := set.Select(h, most); !slices.Equal(got, want) {
		t.Fatalf("for %+v %d keys are selected, want %d", h, len(got), len(want))
	}
}
