package jose_test

import (
	"bytes"
	"crypto"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	oracle "github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"authserver/internal/jose"
	"authserver/internal/jose/josetest"
)

// FuzzParse demands that what our door lets in and verifies is, for go-jose and the same key, a signature over the same
// payload. Neither base64 nor signatures survive mutation, so the target mutates what they are made of: how says which
// key signs header and payload, or that mac is the third segment (0), or that header is the whole token (255).
func FuzzParse(f *testing.F) {
	v := published(f)
	keys := []crypto.Signer{ecKey(f), rsaKey(f), edKey()}
	for _, compact := range []string{v.Mastercard.Assertion, v.Thales.Assertion, v.Mastercard.TokenProof, v.RFC9449.ResourceProof,
		v.RFC9126.Assertion, v.RFC8037.JWS, v.RFC7516.Compact, v.Mastercard.AccessToken, "..", ".", "a.b.c"} {
		f.Add(compact, "", "", uint8(255))
	}
	for i, key := range keys {
		alg := []string{"ES256", "PS256", "EdDSA"}[i]
		plain := `{"typ":"JWT","alg":"` + alg + `","kid":"k1"}`
		f.Add(plain, claims, "", uint8(i+3))
		f.Add(plain, claims, b64(josetest.Signature(key, b64([]byte(plain))+"."+b64([]byte(claims)))), uint8(0))
		f.Add(`{"typ":"dpop+jwt","alg":"`+alg+`","kid":"k1","jwk":`+jwk(f, key.Public(), "")+`}`, claims, "", uint8(i+3))
	}
	f.Add(`{"alg":"Ed25519","x5t":7,"\u006bid":"\u00e9"}`, ` {"a" : [{"a":1e400}] } `, "", uint8(5))
	f.Add(`{"alg":"ES256","b64":false,"crit":["b64"]}`, `{}`, "", uint8(3))
	f.Add(`{"alg":"ES256","typ":"dpop+jwt","jwk":`+jwk(f, keys[0].Public(), `,"x5c":["AAAA"],"use":"sig"`)+`,"nonce":1}`, `{}`, "", uint8(3))
	var public []*jose.Key
	for _, key := range keys {
		public = append(public, parseKey(f, jwk(f, key.Public(), "")))
	}
	f.Fuzz(func(t *testing.T, header, payload, mac string, how uint8) {
		compact := b64([]byte(header)) + "." + b64([]byte(payload)) + "." + mac
		if how == 255 {
			compact = header
		} else if how > 0 {
			compact = sign(keys[int(how)%len(keys)], header, payload)
		}
		for _, door := range []jose.Door{assertionDoor, proofDoor} {
			j, err := door.Parse(compact)
			if err != nil {
				refused(t, err, jose.KindOf(err))
				continue
			}
			candidates := public
			if door.EmbeddedKey {
				candidates = []*jose.Key{j.Header().Key}
			}
			for _, k := range candidates {
				if _, err := j.Verify(k); err != nil {
					refused(t, err, jose.SignatureInvalid)
					continue
				}
				agree(t, compact, k, j)
			}
		}
	})
}

// agree lets go-jose check a token that our door has verified with k. Of headers with members that are ignored here
// go-jose demands more than we do (the types of nonce and x5c, numbers within range), and it does not know the name
// Ed25519; where it refuses such a header the standard library decides.
func agree(t *testing.T, compact string, k *jose.Key, j *jose.JWS) {
	t.Helper()
	payload := unb64(t, strings.Split(compact, ".")[1])
	if strings.Count(compact, ".") != 2 || j.SigningInput() != compact[:strings.LastIndexByte(compact, '.')] {
		t.Fatalf("signing input %q of %q", j.SigningInput(), compact)
	}
	signed, err := oracle.ParseSignedCompact(compact, offered)
	if err == nil {
		got, err := signed.Verify(k.Public())
		if err != nil || !bytes.Equal(got, payload) {
			t.Fatalf("go-jose: %q, %v", got, err)
		}
		if alg := signed.Signatures[0].Header.Algorithm; alg != string(k.Alg()) || alg != string(j.Header().Alg) {
			t.Fatalf("alg %s, key %s, header %s", alg, k.Alg(), j.Header().Alg)
		}
		if kid := signed.Signatures[0].Header.KeyID; kid != j.Header().Kid {
			t.Fatalf("kid %q, go-jose says %q", j.Header().Kid, kid)
		}
	} else if plain(t, unb64(t, strings.Split(compact, ".")[0])) {
		t.Fatalf("go-jose: %v", err)
	}
	if !josetest.Verifies(k.Public(), j.SigningInput(), j.Signature()) {
		t.Fatal("the standard library does not verify the signature")
	}
	sameContent(t, payload, j.Unverified())
}

// plain reports whether a header holds nothing but what go-jose must understand as we do.
func plain(t *testing.T, header []byte) bool {
	o := object(t, string(header))
	only := func(o jose.Object, names ...string) bool {
		known := 0
		for _, name := range names {
			if o.Has(name) {
				known++
			}
		}
		return known == len(o.Names())
	}
	key, _, _ := o.Object("jwk")
	alg, _, _ := o.String("alg")
	return alg != "Ed25519" && only(o, "alg", "typ", "kid", "jwk") && only(key, "kty", "crv", "x", "y", "n", "e")
}

// FuzzParseObject compares with a slow reading of the same rules over encoding/json's tokens, both ways.
func FuzzParseObject(f *testing.F) {
	for _, seed := range []string{`{}`, claims, `{"a":1,"a":2}`, `{"a":{"b":[1,{"c":null}]},"b":"\ud83d\ude00"}`, `{"\ud800":1}`,
		`{"\u0061":1,"a":2}`, nested(16), nested(17), "\ufeff{}", `{"a":"\\ud800","b":"\"}"}`, ` {"a" : 1e400 , "b":-0.5 } x`,
		`{"a":"\ufffd","b":"` + "\ufffd" + `"}`, `{"exp":1732220000.5,"iat":"1"}`,
		` [ {"a":[1, 2]} , "]" , {} ]`, `[{"a":1,"a":2}]`, `[],"b":[]`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		sameAsMember(t, data)
		o, err := jose.ParseObject(data)
		want := strict(data)
		if err != nil {
			refused(t, err, jose.JSONRefused)
			if want == nil {
				t.Fatalf("refused %q: %v", data, err)
			}
			return
		}
		if want != nil || !json.Valid(data) {
			t.Fatalf("accepted %q: %v", data, want)
		}
		sameContent(t, data, o)
	})
}

// sameAsMember demands that ParseArray takes what ParseObject takes for a member that is an array.
func sameAsMember(t *testing.T, data []byte) {
	t.Helper()
	elements, err := jose.ParseArray(data)
	object := slices.Concat([]byte(`{"a":`), data, []byte("}"))
	o, want := jose.ParseObject(object)
	var members []json.RawMessage
	isArray := bytes.HasPrefix(bytes.TrimLeft(data, " \t\r\n"), []byte("[")) && len(o.Names()) == 1
	if err == nil && strings.Contains(jose.Detail(want), "16 levels") {
		return // the object is one level more
	}
	if (err == nil) != (want == nil && isArray) {
		t.Fatalf("%q: %v; as a member: %v", data, err, want)
	}
	if err == nil {
		if _, err := o.Decode("a", &members); err != nil || !cmp.Equal(elements, members) {
			t.Fatalf("%q has the elements %q, want %q", data, elements, members)
		}
	}
}

// sameContent demands that an Object, written out again, says the same as the text.
func sameContent(t *testing.T, text []byte, o jose.Object) {
	t.Helper()
	again := map[string]json.RawMessage{}
	for _, name := range o.Names() {
		again[name], _ = o.Raw(name)
		if s, ok, err := o.String(name); err == nil {
			var want string
			if json.Unmarshal(again[name], &want) != nil || s != want || !ok {
				t.Fatalf("string %q is %q, want %q", name, s, want)
			}
		}
		if date, ok, err := o.Time(name); err == nil && (!ok || date.Year() < 1970 || date.Year() >= 9999) {
			t.Fatalf("time %q is %v", name, date)
		}
	}
	var got, want map[string]any
	if err := errors.Join(number(text, &want), number([]byte(marshal(t, again)), &got)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" || len(want) != len(o.Names()) {
		t.Fatal(diff)
	}
}

func number(text []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	return decoder.Decode(into)
}

// strict is the rules of ParseObject again, by other means.
func strict(data []byte) error {
	if !utf8.Valid(data) || !json.Valid(data) || bytes.TrimLeft(data, " \t\r\n")[0] != '{' {
		return errors.New("no JSON object in UTF-8")
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	type level struct {
		names map[string]bool // nil in an array
		key   bool            // a name comes next
	}
	var stack []level
	replaced := 0
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		top := len(stack) - 1
		if s, ok := token.(string); ok {
			replaced += strings.Count(s, "\ufffd")
			if top >= 0 && stack[top].key {
				if stack[top].names[s] {
					return errors.New("twice " + s)
				}
				stack[top].names[s], stack[top].key = true, false
				continue
			}
		}
		switch token {
		case json.Delim('{'):
			stack = append(stack, level{map[string]bool{}, true})
		case json.Delim('['):
			stack = append(stack, level{})
		case json.Delim('}'), json.Delim(']'):
			stack = stack[:top]
		}
		if len(stack) > 16 {
			return errors.New("too deep")
		}
		if top = len(stack) - 1; top >= 0 {
			stack[top].key = stack[top].names != nil
		}
	}
	// encoding/json replaces half a surrogate pair: look for replacement characters that the text does not have.
	text := strings.ReplaceAll(string(data), `\\`, "")
	if replaced > strings.Count(text, "\ufffd")+strings.Count(strings.ToLower(text), `\ufffd`) {
		return errors.New("half a surrogate pair")
	}
	return nil
}
