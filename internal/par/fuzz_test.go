package par

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"authserver/internal/flow"
	"authserver/internal/jose"
	"authserver/internal/oauth"
)

// FuzzObject opens objects of any claims behind a correct signature, of a client that must sign or may, with
// authorization_details beside them. A second reading by encoding/json must come to the same verdict and the same
// parameters; what is refused is refused in the words for objects, and what is taken can be judged.
func FuzzObject(f *testing.F) {
	b := newBench(f)
	for _, change := range append(changes, [2]string{}) {
		for _, must := range []bool{false, true} {
			f.Add(strings.Replace(goodObject, change[0], change[1], 1), must, "")
		}
	}
	f.Add(goodObject, false, asked)
	f.Add(strings.Replace(goodObject, `{`, `{"authorization_details":[],`, 1), false, asked)
	f.Fuzz(func(t *testing.T, claims string, must bool, beside string) {
		compact, err := flow.SignBytes(b.Key, "ES256", []byte(`{"alg":"ES256"}`), []byte(claims))
		if err != nil {
			t.Fatal(err)
		}
		form, err := oauth.FormOf(map[string][]string{"request": {compact}, "authorization_details": {beside},
			"state": {"outside"}})
		if err != nil {
			return // the form reader lets no such body come so far
		}
		c := b.client
		c.Metadata.RequireSignedRequestObject = must
		got, err := b.parameters(t.Context(), c, form, noon)
		want, good := readAgain(claims, must)
		if good != (err == nil) {
			t.Fatalf("%s, must sign: %t: %v", claims, must, err)
		}
		if err != nil {
			refusal, ok := errors.AsType[*oauth.Error](err)
			if !ok || refusal.Code() != oauth.InvalidRequestObject || !strings.HasPrefix(refusal.Description, "request: ") ||
				refusal.Description != oauth.Printable(refusal.Description) {
				t.Fatalf("%s: %v", claims, err)
			}
			return
		}
		if want["authorization_details"] == nil && beside != "" && !must {
			want["authorization_details"] = []string{beside}
		}
		for name := range members {
			if !slices.Equal(got.All(name), want[name]) {
				t.Fatalf("%s, must sign: %t, beside %q: %s is %q, want %q", claims, must, beside, name, got.All(name), want[name])
			}
		}
		if got.Get("request") != "" || got.Get("client_id") != "" {
			t.Fatalf("%s: more than the parameters is left", claims)
		}
		if got.Get("id_token_hint") != "" {
			return // the bench has no ID tokens
		}
		if _, err := b.judge(c, got); err != nil {
			if _, ok := errors.AsType[*oauth.Error](err); !ok {
				t.Fatalf("%s: %v", claims, err)
			}
		}
	})
}

// goodObject is taken from every client at noon.
const goodObject = `{"iss":"c1","client_id":"c1","aud":"https://as.example","jti":"j","iat":1772366400,"nbf":1772366400,` +
	`"exp":1772366460,"response_type":"code","redirect_uri":"https://c1.example/cb","scope":"fdx:accountbasic:read",` +
	`"state":"s","code_challenge":"E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM","code_challenge_method":"S256"}`

// changes are what the seeds put in the place of the first text.
var changes = [][2]string{
	{`"iss":"c1",`, ``}, {`"iss":"c1"`, `"iss":"c2"`}, {`"iss":"c1"`, `"iss":null`}, {`"iss":"c1"`, `"sub":"c1"`},
	{`"client_id":"c1"`, `"client_id":"c2"`}, {`"client_id":"c1",`, ``}, {`"client_id":"c1"`, `"client_id":["c1"]`},
	{`"jti":"j"`, `"request":"a.b.c"`}, {`"jti":"j"`, `"request_uri":null`}, {`"jti":"j"`, `"jti":"j","jti":"j"`},
	{`"https://as.example"`, `["https://as.example","x"]`}, {`"https://as.example"`, `["https://as.example",null]`},
	{`"https://as.example"`, `"https://as.example/"`}, {`"https://as.example"`, `[]`}, {`"https://as.example"`, `7`},
	{`"nbf":1772366400,`, ``}, {`"nbf":1772366400`, `"nbf":1772366430.9`}, {`"nbf":1772366400`, `"nbf":1772366431`},
	{`"nbf":1772366400`, `"nbf":1772362800`}, {`"nbf":1772366400`, `"nbf":1772362801`},
	{`"nbf":1772366400`, `"nbf":"1772366400"`},
	{`1772366460`, `1772370000`}, {`1772366460`, `1772370001`}, {`1772366460`, `1772366391`}, {`1772366460`, `1772366390`},
	{`"exp":1772366460,`, ``}, {`1772366460`, `1e400`}, {`"iat":1772366400`, `"iat":1772366431`},
	{`"iat":1772366400`, `"iat":true`},
	{`"state":"s"`, `"state":5`}, {`"state":"s"`, `"state":""`}, {`"state":"s"`, `"state":"\u0000"`},
	{`"state":"s"`, `"state":"\u00e9"`},
	{`"state":"s"`, `"state":null`}, {`"state":"s"`, `"max_age":300`}, {`"state":"s"`, `"max_age":"300"`},
	{`"state":"s"`, `"max_age":-0.0`},
	{`"state":"s"`, `"resource":"a"`}, {`"state":"s"`, `"resource":["a","b",""]`}, {`"state":"s"`, `"resource":[null]`},
	{`"state":"s"`, `"resource":[ ]`}, {`"state":"s"`, `"claims": { "id_token" : { } } `}, {`"state":"s"`, `"claims":"{}"`},
	{`"state":"s"`, `"authorization_details":[ 1 ]`}, {`"state":"s"`, `"authorization_details":{}`},
	{`"state":"s"`, `"STATE":[]`},
	{`"state":"s"`, `"prompt":true`}, {`"state":"s"`, `"id_token_hint":"a.b.c"`},
	{`"state":"s"`, `"x":[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]`},
}

// readAgain reads an object's claims again.
func readAgain(text string, must bool) (parameters map[string][]string, good bool) {
	if _, err := jose.ParseObject([]byte(text)); err != nil || base64.RawURLEncoding.EncodedLen(len(text)) > maxObject-108 {
		return nil, false // what is strict is for that package's own targets; 108 bytes are the header, signature and dots
	}
	var all map[string]any
	decoder := json.NewDecoder(bytes.NewReader([]byte(text)))
	decoder.UseNumber()
	var raw map[string]json.RawMessage
	if decoder.Decode(&all) != nil || json.Unmarshal([]byte(text), &raw) != nil {
		return nil, false
	}
	parameters = readMembers(all, raw)
	return parameters, isFor(all) && isInTime(all, must) && parameters != nil
}

// isFor tells whether the client's own object is for this server, and no assertion.
func isFor(o map[string]any) bool {
	_, hasIss := o["iss"]
	sub, hasSub := o["sub"]
	_, isText := sub.(string)
	_, nested1 := o["request"]
	_, nested2 := o["request_uri"]
	audience, several := o["aud"].([]any)
	if !several {
		audience = []any{o["aud"]}
	}
	for _, aud := range audience {
		if _, isText := aud.(string); !isText {
			return false
		}
	}
	return o["client_id"] == "c1" && (!hasIss || o["iss"] == "c1") && (!hasSub || isText && sub != "c1") &&
		!nested1 && !nested2 && slices.Contains(audience, any(issuer))
}

// isInTime tells so at noon and half a second.
func isInTime(o map[string]any, must bool) bool {
	now := float64(noon.Unix()) + 0.5
	exp, hasExp, ok1 := numericDate(o, "exp")
	nbf, hasNbf, ok2 := numericDate(o, "nbf")
	iat, hasIat, ok3 := numericDate(o, "iat")
	from := now
	if hasNbf {
		from = nbf
	}
	return ok1 && ok2 && ok3 && hasExp && (hasNbf || !must) && exp-from <= 3600 && now-from <= 3600 && now-exp < 10 &&
		(!hasNbf || nbf-now <= 30) && (!hasIat || iat-now <= 30)
}

// numericDate is one before the year 9999 without its fraction; not ok when it is there and none.
func numericDate(o map[string]any, name string) (at float64, there, ok bool) {
	value, there := o[name]
	number, _ := value.(json.Number)
	at, err := strconv.ParseFloat(string(number), 64)
	return math.Floor(at), there, !there || err == nil && at >= 0 && at < 253370764800
}

// readMembers are the parameters; nil: one has another type than its RFC gives it.
func readMembers(all map[string]any, raw map[string]json.RawMessage) map[string][]string {
	parameters := map[string][]string{}
	for name, value := range all {
		if !slices.Contains(parameterNames, name) {
			continue
		}
		values := []string{string(raw[name])}
		var ok bool
		switch name {
		case "max_age":
			_, ok = value.(json.Number)
		case "authorization_details":
			_, ok = value.([]any)
		case "claims":
			_, ok = value.(map[string]any)
		case "resource":
			list, several := value.([]any)
			if !several {
				list = []any{value}
			}
			values, ok = nil, true
			for _, v := range list {
				text, isText := v.(string)
				values, ok = append(values, text), ok && isText
			}
		default:
			values[0], ok = value.(string)
		}
		if !ok || slices.ContainsFunc(values, func(v string) bool { return strings.Contains(v, "\x00") || !utf8.ValidString(v) }) {
			return nil
		}
		parameters[name] = slices.DeleteFunc(values, func(v string) bool { return v == "" })
	}
	return parameters
}

// parameterNames are those of RFC 6749, RFC 7636, RFC 8707, RFC 9396, RFC 9449 and OpenID Connect Core that are read here.
var parameterNames = strings.Fields(`response_type response_mode redirect_uri scope state nonce code_challenge
	code_challenge_method dpop_jkt prompt acr_values ui_locales login_hint id_token_hint resource max_age
	authorization_details claims`)
