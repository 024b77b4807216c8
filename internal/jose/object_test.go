package jose_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"authserver/internal/jose"
)

func object(t testing.TB, text string) jose.Object {
	t.Helper()
	o, err := jose.ParseObject([]byte(text))
	if err != nil {
		t.Fatalf("ParseObject(%s): %v", text, err)
	}
	return o
}

func nested(depth int) string {
	return strings.Repeat(`{"a":`, depth-1) + "{}" + strings.Repeat("}", depth-1)
}

func TestParseObjectRefuses(t *testing.T) {
	var names strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&names, `"%d":0,`, i)
	}
	for name, text := range map[string]string{
		"empty":                        ``,
		"white space":                  ` `,
		"null":                         `null`,
		"string":                       `"{}"`,
		"array":                        `[{}]`,
		"open":                         `{"a":1`,
		"trailing comma":               `{"a":1,}`,
		"single quotes":                `{'a':1}`,
		"control character":            "{\"a\":\"\n\"}",
		"CA-72 trailing object":        `{"a":1}{}`,
		"CA-72 trailing garbage":       `{"a":1}x`,
		"CA-72 trailing NUL":           "{\"a\":1}\x00",
		"CA-72 byte order mark":        "\ufeff{\"a\":1}",
		"CA-72 UTF-16":                 "\xff\xfe{\x00}\x00",
		"CA-72 line comment":           "{\"a\":1//x\n}",
		"not UTF-8":                    "{\"a\":\"\xff\"}",
		"encoded surrogate":            "{\"a\":\"\xed\xa0\x80\"}",
		"overlong":                     "{\"a\":\"\xc0\xaf\"}",
		"CA-44 twice":                  `{"a":1,"a":1}`,
		"CA-44 twice, apart":           `{"a":1,"b":2,"c":3,"a":4}`,
		"CA-44 twice, escaped":         `{"a":1,"\u0061":1}`,
		"CA-44 twice, inside":          `{"x":[1,{"y":{"a":1,"b":{"a":2},"a":3}}]}`,
		"CA-44 twice, after nesting":   `{"a":{"b":{"c":1}},"b":1,"a":1}`,
		"CA-44 empty name twice":       `{"":1,"":2}`,
		"DR-17 twice among many":       `{` + names.String() + `"4999":1}`,
		"depth 17":                     nested(17),
		"depth 17 of arrays":           `{"a":` + strings.Repeat("[", 16) + strings.Repeat("]", 16) + `}`,
		"DR-17 depth 10000":            nested(10000),
		"depth after closing brackets": strings.Repeat("]", 100) + strings.Repeat("[", 20000),
		"high surrogate alone":         `{"a":"\ud800"}`,
		"high surrogate, then text":    `{"a":"\ud800x"}`,
		"high surrogate, then escape":  `{"a":"\ud800\n"}`,
		"high surrogate twice":         `{"a":"\ud800\ud800"}`,
		"low surrogate alone":          `{"a":"\udc00"}`,
		"pair the wrong way round":     `{"a":"\udc00\ud800"}`,
		"surrogate in a name":          `{"\ud800":1}`,
		"surrogate deep inside":        `{"a":[[{"b":["\udfff"]}]]}`,
		"surrogate, escaped backslash": `{"a":"\ud800\\udc00"}`,
	} {
		t.Run(name, func(t *testing.T) {
			_, err := jose.ParseObject([]byte(text))
			refused(t, err, jose.JSONRefused)
		})
	}
}

func TestParseObjectAccepts(t *testing.T) {
	for text, want := range map[string][]string{
		`{}`:                                      {},
		" {\t\"b\" :\r\n1 , \"a\": [ ] } \n":      {"b", "a"},
		`{"a":{"b":1,"c":{"b":1}},"b":1}`:         {"a", "b"},
		`{"a":1,"A":2,"":3}`:                      {"a", "A", ""},
		`{"a":"[[[[[[[[[[[[[[[[[[[[","b":"\"}{"}`: {"a", "b"},
		`{"a":"\"[[[[[[[[[[[[[[[[[[[["}`:          {"a"},
		`{"a":"\\","b":"\\\\\""}`:                 {"a", "b"},
		`{"\u0061\"":"\ud83d\ude00"}`:             {`a"`},
		`{"a":[1,-2.5e+3,true,false,null,"x"]}`:   {"a"},
		`{"a":"\u0000"}`:                          {"a"},
		`{"a":"\\ud800"}`:                         {"a"},
		nested(16):                                {"a"},
	} {
		if diff := cmp.Diff(want, object(t, text).Names()); diff != "" {
			t.Errorf("%s: %s", text, diff)
		}
	}
}

func TestParseArray(t *testing.T) {
	for text, want := range map[string][]string{
		`[]`: {},
		" [ 1 ,\t\"a\\\"]\" , [ ] , {\"b\" : 2} ]\n":      {`1`, `"a\"]"`, `[ ]`, `{"b" : 2}`},
		`[null,true,-2.5e+3]`:                             {`null`, `true`, `-2.5e+3`},
		`[{"a":1},{"a":1}]`:                               {`{"a":1}`, `{"a":1}`},
		strings.Repeat("[", 16) + strings.Repeat("]", 16): {strings.Repeat("[", 15) + strings.Repeat("]", 15)},
	} {
		data := []byte(text)
		elements, err := jose.ParseArray(data)
		clear(data)
		got := []string{}
		for _, e := range elements {
			got = append(got, string(e))
		}
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v %s", text, err, diff)
		}
	}
	for name, text := range map[string]string{
		"empty":                  ``,
		"null":                   `null`,
		"an object":              `{"a":[]}`,
		"open":                   `[1`,
		"trailing comma":         `[1,]`,
		"trailing garbage":       `[1]x`,
		"byte order mark":        "\ufeff[1]",
		"not UTF-8":              "[\"\xff\"]",
		"a member twice":         `[{"a":1},{"a":1,"a":2}]`,
		"a member twice, inside": `[[{"b":[{"a":1,"\u0061":2}]}]]`,
		"half a surrogate pair":  `["\ud800"]`,
		"17 levels":              strings.Repeat("[", 17) + strings.Repeat("]", 17),
		"PR-22 5000 levels":      strings.Repeat("[", 5000) + strings.Repeat("]", 5000),
	} {
		t.Run(name, func(t *testing.T) {
			elements, err := jose.ParseArray([]byte(text))
			if refused(t, err, jose.JSONRefused); elements != nil {
				t.Errorf("it has the elements %s", elements)
			}
		})
	}
}

func TestParseObjectKeepsNothing(t *testing.T) {
	data := []byte(`{"a":"b"}`)
	o, err := jose.ParseObject(data)
	clear(data)
	raw, _ := o.Raw("a")
	clear(raw)
	if s, ok, err2 := o.String("a"); err != nil || err2 != nil || !ok || s != "b" {
		t.Errorf("got %q, %v, %v", s, ok, err2)
	}
}

func TestObjectString(t *testing.T) {
	o := object(t, `{"a":"x","b":"\u00e9\n\ud83d\ude00","c":"","d":["c1"],"e":{"x":"c1"},"f":7,"g":null,"h":true,"é":"y"}`)
	for name, want := range map[string]string{"a": "x", "b": "é\n😀", "c": "", "é": "y"} {
		if got, ok, err := o.String(name); got != want || !ok || err != nil {
			t.Errorf("%s: got %q, %v, %v", name, got, ok, err)
		}
	}
	for _, name := range []string{"d", "e", "f", "g", "h"} { // CA-69: never coerced
		_, ok, err := o.String(name)
		if refused(t, err, jose.JSONRefused); !ok {
			t.Errorf("%s is there", name)
		}
	}
	for _, name := range []string{"A", "z", ""} { // CA-45: names are exact
		if _, ok, err := o.String(name); ok || err != nil || o.Has(name) {
			t.Errorf("%s: %v, %v", name, ok, err)
		}
	}
	if !o.Has("g") {
		t.Error("a member that is null is there")
	}
}

func TestObjectTime(t *testing.T) {
	day := func(s string) time.Time { d, _ := time.Parse(time.RFC3339, s); return d }
	for text, want := range map[string]time.Time{
		`1732220000`:        day("2024-11-21T20:13:20Z"),
		`1732220000.5`:      day("2024-11-21T20:13:20Z"), // CA-67
		`1732220000.999999`: day("2024-11-21T20:13:20Z"),
		`1.73222e9`:         day("2024-11-21T20:13:20Z"),
		`0`:                 day("1970-01-01T00:00:00Z"),
		`-0`:                day("1970-01-01T00:00:00Z"),
		`1e-400`:            day("1970-01-01T00:00:00Z"),
		`253370764799`:      day("9998-12-31T23:59:59Z"),
	} {
		got, ok, err := object(t, `{"exp":`+text+`}`).Time("exp")
		if !got.Equal(want) || got.Location() != time.UTC || !ok || err != nil {
			t.Errorf("%s: got %v, %v, %v", text, got, ok, err)
		}
	}
	for _, text := range []string{`"1999999999"`, `1e400`, `-1`, `-1e400`, `-0.5`, `true`, `false`, `null`, `[]`, `[1]`, `{}`, `"Inf"`,
		`"0x10"`, `253370764800`, `9223372036854775808`, `1e18`, `""`} { // CA-23
		_, ok, err := object(t, `{"exp":`+text+`}`).Time("exp")
		if refused(t, err, jose.JSONRefused); !ok {
			t.Errorf("%s is there", text)
		}
	}
	if _, ok, err := object(t, `{"Exp":1}`).Time("exp"); ok || err != nil { // CA-45
		t.Errorf("absent: %v, %v", ok, err)
	}
}

func TestObjectNested(t *testing.T) {
	o := object(t, `{"cnf":{"JKT":"x","inner":{"a":1}},"a":[],"n":null}`)
	cnf, ok, err := o.Object("cnf")
	if !ok || err != nil || cnf.Has("jkt") || !cnf.Has("JKT") {
		t.Errorf("cnf: %v, %v, %v", cnf.Names(), ok, err)
	}
	if _, ok, err := o.Object("z"); ok || err != nil {
		t.Errorf("absent: %v, %v", ok, err)
	}
	for _, name := range []string{"a", "n"} {
		_, ok, err := o.Object(name)
		if refused(t, err, jose.JSONRefused); !ok {
			t.Errorf("%s is there", name)
		}
	}
	if _, _, err := o.Object("a"); err.Error() != "The member a is not a JSON object." {
		t.Error(err)
	}
	if raw, ok := o.Raw("cnf"); !ok || string(raw) != `{"JKT":"x","inner":{"a":1}}` {
		t.Errorf("raw: %s, %v", raw, ok)
	}
	if raw, ok := o.Raw("z"); ok || raw != nil {
		t.Errorf("raw: %s, %v", raw, ok)
	}
}

func TestObjectDecode(t *testing.T) {
	o := object(t, `{"aud":["a","b"],"x":{"y":1},"n":null,"huge":1e400}`)
	var aud []string
	if ok, err := o.Decode("aud", &aud); !ok || err != nil || !cmp.Equal(aud, []string{"a", "b"}) {
		t.Errorf("aud: %v, %v, %v", aud, ok, err)
	}
	for _, name := range []string{"x", "n", "huge"} {
		ok, err := o.Decode(name, &aud)
		if refused(t, err, jose.JSONRefused); !ok {
			t.Errorf("%s is there", name)
		}
	}
	if ok, err := o.Decode("z", &aud); ok || err != nil {
		t.Errorf("absent: %v, %v", ok, err)
	}
	if zero := (jose.Object{}); zero.Has("") || len(zero.Names()) != 0 {
		t.Error("the zero Object has members")
	}
}
