package oauth

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzReadForm compares the reader with one that does by hand what the WHATWG's URL standard and RFC 6749 §3.2 say.
func FuzzReadForm(f *testing.F) {
	for _, seed := range []string{
		"", "&", "=", "a", "a=b", "a=b&a=c", "resource=a&resource=b", "resource=&resource=", "a=b;c=d", "a=%zz", "a=%", "a=%4",
		"a=%00", "%ff=a", "a+b=c%20d%2B", "a=%C3%A9", "a=\xc3\xa9", "a=b=c", "&&a&&", "=&=", "grant_type=client_credentials&scope=",
		strings.Repeat("&", 99), strings.Repeat("&", 100), strings.Repeat("&resource=a", 101), "\x00", "a=\xed\xa0\x80",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		form, err := ReadForm(r, FormOnly)
		want, ok := pairs(string(body))
		if (err == nil) != ok {
			t.Fatalf("%q: %v, expected acceptance: %v", body, err, ok)
		}
		checkRefusal(t, err)
		if err == nil && !reflect.DeepEqual(filled(form.values), want) {
			t.Fatalf("%q: %v, want %v", body, form.values, want)
		}
	})
}

// pairs reads a form; ok is false for one that must be refused.
func pairs(body string) (values map[string][]string, ok bool) {
	values, sent := map[string][]string{}, map[string]int{}
	if strings.Count(body, "&")-strings.Count(body, "&resource=")-strings.Count(body, "&audience=") > 99 {
		return nil, false
	}
	for pair := range strings.SplitSeq(body, "&") {
		if pair == "" {
			continue
		}
		rawName, rawValue, _ := strings.Cut(pair, "=")
		name, ok1 := unescaped(rawName)
		value, ok2 := unescaped(rawValue)
		if !ok1 || !ok2 {
			return nil, false
		}
		if sent[name]++; sent[name] > 1 && name != "resource" && name != "audience" {
			return nil, false
		}
		if value != "" {
			values[name] = append(values[name], value)
		}
	}
	return values, true
}

func unescaped(s string) (string, bool) {
	var b []byte
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case ';':
			return "", false
		case '+':
			b = append(b, ' ')
		case '%':
			if i+3 > len(s) {
				return "", false
			}
			octet, err := hex.DecodeString(s[i+1 : i+3])
			if err != nil {
				return "", false
			}
			b = append(b, octet...)
			i += 2
		default:
			b = append(b, s[i])
		}
	}
	return string(b), utf8.Valid(b) && bytes.IndexByte(b, 0) < 0
}

// filled leaves out what has no value.
func filled(values map[string][]string) map[string][]string {
	kept := map[string][]string{}
	for name, all := range values {
		if len(all) > 0 {
			kept[name] = all
		}
	}
	return kept
}

// checkRefusal demands that an error is a refusal of the request, fit to be shown.
func checkRefusal(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		return
	}
	refusal, ok := errors.AsType[*Error](err)
	if !ok || refusal.Status()/100 != 4 || refusal.Description != Printable(refusal.Description) {
		t.Fatalf("%#v", err)
	}
}

// FuzzReadFlatJSON compares the reader with encoding/json's own reading of an object of strings.
func FuzzReadFlatJSON(f *testing.F) {
	for _, seed := range []string{
		"", "{}", " { } ", `{"a":"b"}`, `{"a":"b","c":"d"}`, `{"a":"b","a":"c"}`, `{"a":"b","\u0061":"c"}`, `{"a":1}`, `{"a":null}`,
		`{"a":["b"]}`, `{"a":{"b":"c"}}`, `{"a":"b"}{}`, `{"a":"b",}`, `{,}`, `{"a"}`, `{"a":}`, `[]`, `"a"`, "\ufeff{}", "{\"a\":\"\xff\"}",
		`{"a":"\u0000"}`, `{"a":"\ud800"}`, `{"resource":"a","resource":"b"}`, `{"a":""}`, `{"a":"b"]`, `{"a" "b"}`, `{"a":"b" "c":"d"}`, `{`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		form, err := ReadForm(r, FormOrJSON)
		want, ok := object(body)
		if (err == nil) != ok {
			t.Fatalf("%q: %v, expected acceptance: %v", body, err, ok)
		}
		checkRefusal(t, err)
		if err == nil && !reflect.DeepEqual(filled(form.values), filled(want)) {
			t.Fatalf("%q: %v, want %v", body, form.values, want)
		}
	})
}

// object reads a flat JSON object of strings; ok is false for a body that must be refused.
func object(body []byte) (values map[string][]string, ok bool) {
	var members map[string]*string
	if !utf8.Valid(body) || json.Unmarshal(body, &members) != nil || members == nil || len(members) > 100 {
		return nil, false
	}
	values = map[string][]string{}
	for name, value := range members {
		if value == nil || strings.Contains(name+*value, "\x00") {
			return nil, false
		}
		if *value != "" {
			values[name] = []string{*value}
		}
	}
	// encoding/json keeps the last of two members with one name, so count the names in the text: as it is flat, every
	// colon outside a string follows one.
	text := regexp.MustCompile(`"(\\.|[^"\\])*"`).ReplaceAll(body, nil)
	return values, bytes.Count(text, []byte(":")) == len(members)
}

// FuzzParseScope compares the parser with the grammar of RFC 6749 §3.3, written as a regular expression.
func FuzzParseScope(f *testing.F) {
	for _, seed := range []string{
		"", "a", "a b", "a  b", " a", "a ", "a\tb", `a"b`, `a\b`, "a b a", "\u00e9", "\xff", "!", "~", "\x7f", strings.Repeat("a", 4096),
		strings.Repeat("a", 4097), strings.Repeat("a ", 99) + "a", strings.Repeat("a ", 100) + "a",
	} {
		f.Add(seed)
	}
	grammar := regexp.MustCompile(`^[\x21\x23-\x5B\x5D-\x7E]+( [\x21\x23-\x5B\x5D-\x7E]+)*$`)
	f.Fuzz(func(t *testing.T, s string) {
		scope, err := ParseScope(s)
		ok := s == "" || len(s) <= 4096 && grammar.MatchString(s) && strings.Count(s, " ") < 100
		if (err == nil) != ok {
			t.Fatalf("%q: %v, expected acceptance: %v", s, err, ok)
		}
		checkRefusal(t, err)
		if err != nil {
			return
		}
		want, got := map[string]bool{}, map[string]bool{}
		for _, token := range strings.Fields(s) {
			want[token] = true
		}
		for _, token := range scope {
			got[token] = true
		}
		if !maps.Equal(want, got) || len(scope) != len(got) {
			t.Fatalf("%q becomes %q", s, scope)
		}
		if again, err := ParseScope(scope.String()); err != nil || !reflect.DeepEqual(again, scope) {
			t.Fatalf("%q becomes %q and then %q, %v", s, scope, again, err)
		}
	})
}
