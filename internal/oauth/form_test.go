package oauth_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"authserver/internal/oauth"
)

const (
	formType = "application/x-www-form-urlencoded"
	jsonType = "application/json"
)

// post is a request as the server's middleware hands it to a handler: with a capped body.
func post(contentType, body string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/oauth2/token", strings.NewReader(body))
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	r.Body = http.MaxBytesReader(nil, r.Body, oauth.MaxBody)
	return r
}

// reason is why err refuses, or "" for no error.
func reason(t *testing.T, err error) oauth.Reason {
	t.Helper()
	if err == nil {
		return ""
	}
	refusal, ok := errors.AsType[*oauth.Error](err)
	if !ok {
		t.Fatalf("%T is no refusal: %v", err, err)
	}
	return refusal.Reason
}

// all collects the values of some names.
func all(form oauth.Form, names ...string) map[string][]string {
	got := map[string][]string{}
	for _, name := range names {
		if values := form.All(name); len(values) > 0 {
			got[name] = values
		}
	}
	return got
}

func TestReadFormAccepts(t *testing.T) {
	type values = map[string][]string
	tests := []struct {
		name        string
		kind        oauth.Body
		contentType string
		body        string
		want        values
	}{
		{"GEN-09 unknown parameters are no harm", oauth.FormOnly, formType, "grant_type=x&utm_source=y", values{"grant_type": {"x"}}},
		{"GEN-09 empty is absent", oauth.FormOnly, formType, "scope=&grant_type=x&token", values{"grant_type": {"x"}}},
		{"GEN-09 resource may repeat", oauth.FormOnly, formType, "resource=a&resource=b", values{"resource": {"a", "b"}}},
		{"GEN-09 audience may repeat", oauth.FormOnly, formType, "audience=a&audience=b", values{"audience": {"a", "b"}}},
		{"GEN-09 an empty one of several is absent", oauth.FormOnly, formType, "resource=&resource=b&resource=", values{"resource": {"b"}}},
		{"GEN-09 names are compared exactly", oauth.FormOnly, formType, "scope=a&Scope=b", values{"scope": {"a"}}},
		{"GEN-10 charset", oauth.FormOnly, formType + ";charset=utf-8", "scope=a", values{"scope": {"a"}}},
		{"HT-21 charset in capitals", oauth.FormOnly, formType + "; charset=UTF-8", "scope=a", values{"scope": {"a"}}},
		{"HT-21 type in capitals", oauth.FormOnly, "APPLICATION/X-WWW-FORM-URLENCODED; CHARSET=UTF-8", "scope=a", values{"scope": {"a"}}},
		{"HT-19 plus and %20 are spaces", oauth.FormOnly, formType, "scope=a+b%20c%2Bd", values{"scope": {"a b c+d"}}},
		{"HT-19 an escaped semicolon is a character", oauth.FormOnly, formType, "scope=a%3Bb", values{"scope": {"a;b"}}},
		{"HT-05 100 parameters", oauth.FormOnly, formType, "scope=a" + strings.Repeat("&", 99), values{"scope": {"a"}}},
		{"CC-14 any number of resources: who reads them counts them", oauth.FormOnly, formType, "scope=a" + strings.Repeat("&", 99) + strings.Repeat("&resource=b", 150),
			values{"scope": {"a"}, "resource": slices.Repeat([]string{"b"}, 150)}},
		{"UTF-8", oauth.FormOnly, formType, "scope=%C3%A9\u00e9", values{"scope": {"\u00e9\u00e9"}}},
		{"empty body", oauth.FormOnly, formType, "", values{}},

		{"HT-01 flat object", oauth.FormOrJSON, jsonType, `{"grant_type":"x","scope":"a b"}`, values{"grant_type": {"x"}, "scope": {"a b"}}},
		{"HT-01 with charset", oauth.FormOrJSON, jsonType + "; charset=utf-8", `{"scope":"a"}`, values{"scope": {"a"}}},
		{"HT-01 white space and escapes", oauth.FormOrJSON, jsonType, " {\n\"sc\\u006fpe\" : \"a\\u00e9\" }\r\n", values{"scope": {"a\u00e9"}}},
		{"HT-01 empty is absent", oauth.FormOrJSON, jsonType, `{"scope":"","token":"t"}`, values{"token": {"t"}}},
		{"HT-01 empty object", oauth.FormOrJSON, jsonType, `{}`, values{}},
		{"HT-01 a form all the same", oauth.FormOrJSON, formType, `scope=a`, values{"scope": {"a"}}},

		{"INT-08 a form that calls itself JSON", oauth.MislabelledForm, jsonType, "token=t&client_id=c", values{"token": {"t"}}},
		{"INT-08 a form by its right name", oauth.MislabelledForm, formType, "token=t", values{"token": {"t"}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			form, err := oauth.ReadForm(post(test.contentType, test.body), test.kind)
			if err != nil {
				t.Fatal(err)
			}
			got := all(form, "grant_type", "scope", "token", "resource", "audience", "utm")
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
			for name, values := range test.want {
				if first, err := form.Required(name); form.Get(name) != values[0] || first != values[0] || err != nil {
					t.Errorf("%s: Get %q, Required %q, %v", name, form.Get(name), first, err)
				}
			}
		})
	}
}

func TestReadFormRefuses(t *testing.T) {
	tests := []struct {
		name        string
		kind        oauth.Body
		contentType string
		body        string
		want        oauth.Reason
	}{
		{"GEN-09 twice", oauth.FormOnly, formType, "scope=a&scope=b", oauth.ParameterRepeated},
		{"CA-58 client_assertion twice", oauth.FormOnly, formType, "client_assertion=a&client_assertion=b", oauth.ParameterRepeated},
		{"CC-03 grant_type twice and equal", oauth.FormOnly, formType, "grant_type=a&grant_type=a", oauth.ParameterRepeated},
		{"GEN-09 twice, once empty", oauth.FormOnly, formType, "scope=a&scope=", oauth.ParameterRepeated},
		{"GEN-09 twice, once escaped", oauth.FormOnly, formType, "scope=a&sco%70e=b", oauth.ParameterRepeated},
		{"GEN-09 an unknown one twice", oauth.FormOnly, formType, "x=a&x=b", oauth.ParameterRepeated},

		{"HT-02 multipart", oauth.FormOrJSON, "multipart/form-data; boundary=b", "--b--", oauth.ContentTypeRefused},
		{"HT-02 text", oauth.FormOrJSON, "text/plain", "scope=a", oauth.ContentTypeRefused},
		{"HT-02 no type", oauth.FormOrJSON, "", "scope=a", oauth.ContentTypeRefused},
		{"HT-02 malformed type", oauth.FormOrJSON, "application/x-www-form-urlencoded; charset", "scope=a", oauth.ContentTypeRefused},
		{"HT-02 a longer type", oauth.FormOrJSON, "application/json-patch+json", "{}", oauth.ContentTypeRefused},
		{"HT-01 JSON where only forms are read", oauth.FormOnly, jsonType, `{"scope":"a"}`, oauth.ContentTypeRefused},
		{"INT-08 true JSON", oauth.MislabelledForm, jsonType, ` {"token":"t"}`, oauth.ContentTypeRefused},

		{"HT-05 101 parameters", oauth.FormOnly, formType, "scope=a" + strings.Repeat("&", 100), oauth.ParametersTooMany},
		{"HT-05 tiny parameters", oauth.FormOnly, formType, strings.Repeat("a=&", 20000), oauth.ParametersTooMany},
		{"HT-05 tiny parameters over the cap", oauth.FormOnly, formType, strings.Repeat("a=&", 30000), oauth.BodyTooLarge},
		{"HT-05 101 members", oauth.FormOrJSON, jsonType, members(101), oauth.ParametersTooMany},

		{"HT-16 bytes that are not UTF-8", oauth.FormOnly, formType, "scope=\xff", oauth.BodyMalformed},
		{"HT-16 escaped bytes that are not UTF-8", oauth.FormOnly, formType, "scope=%C3", oauth.BodyMalformed},
		{"HT-16 surrogate in UTF-8", oauth.FormOnly, formType, "scope=%ED%A0%80", oauth.BodyMalformed},
		{"HT-16 a name that is not UTF-8", oauth.FormOnly, formType, "%ff=a", oauth.BodyMalformed},
		{"HT-16 NUL", oauth.FormOnly, formType, "client_id=c1%00", oauth.BodyMalformed},
		{"HT-16 NUL in a name", oauth.FormOnly, formType, "client_id%00=c1", oauth.BodyMalformed},
		{"HT-16 NUL in the second resource", oauth.FormOnly, formType, "resource=a&resource=%00", oauth.BodyMalformed},
		{"HT-16 not UTF-8, and repeated", oauth.FormOnly, formType, "a=1&a=2&b=%ff", oauth.BodyMalformed},

		{"HT-19 semicolons", oauth.FormOnly, formType, "a=1;b=2", oauth.BodyMalformed},
		{"HT-19 %zz", oauth.FormOnly, formType, "scope=%zz", oauth.BodyMalformed},
		{"HT-19 half an escape", oauth.FormOnly, formType, "scope=%2", oauth.BodyMalformed},
		{"HT-19 an escape in a name", oauth.FormOnly, formType, "sc%ope=a", oauth.BodyMalformed},

		{"HT-01 member twice", oauth.FormOrJSON, jsonType, `{"scope":"a","scope":"b"}`, oauth.ParameterRepeated},
		{"HT-01 member twice, once escaped", oauth.FormOrJSON, jsonType, `{"scope":"a","sc\u006fpe":"a"}`, oauth.ParameterRepeated},
		{"HT-01 resource twice", oauth.FormOrJSON, jsonType, `{"resource":"a","resource":"b"}`, oauth.ParameterRepeated},
		{"HT-01 nested object", oauth.FormOrJSON, jsonType, `{"a":{"b":"c"}}`, oauth.BodyMalformed},
		{"HT-01 array", oauth.FormOrJSON, jsonType, `{"resource":["a"]}`, oauth.BodyMalformed},
		{"HT-01 number", oauth.FormOrJSON, jsonType, `{"a":1}`, oauth.BodyMalformed},
		{"HT-01 bool", oauth.FormOrJSON, jsonType, `{"a":true}`, oauth.BodyMalformed},
		{"HT-01 null", oauth.FormOrJSON, jsonType, `{"a":null}`, oauth.BodyMalformed},
		{"HT-01 no object", oauth.FormOrJSON, jsonType, `["a"]`, oauth.BodyMalformed},
		{"HT-01 a string", oauth.FormOrJSON, jsonType, `"a"`, oauth.BodyMalformed},
		{"HT-01 nothing", oauth.FormOrJSON, jsonType, ``, oauth.BodyMalformed},
		{"HT-01 a form in JSON's name", oauth.FormOrJSON, jsonType, `scope=a`, oauth.BodyMalformed},
		{"HT-01 no end", oauth.FormOrJSON, jsonType, `{"a":"b"`, oauth.BodyMalformed},
		{"HT-01 the wrong end", oauth.FormOrJSON, jsonType, `{"a":"b"]`, oauth.BodyMalformed},
		{"HT-01 no value", oauth.FormOrJSON, jsonType, `{"a":`, oauth.BodyMalformed},
		{"HT-01 final comma", oauth.FormOrJSON, jsonType, `{"a":"b",}`, oauth.BodyMalformed},
		{"HT-01 a name that is no string", oauth.FormOrJSON, jsonType, `{1:"b"}`, oauth.BodyMalformed},
		{"HT-01 trailing object", oauth.FormOrJSON, jsonType, `{"a":"b"}{}`, oauth.BodyMalformed},
		{"HT-01 trailing form", oauth.FormOrJSON, jsonType, `{"a":"b"}&c=d`, oauth.BodyMalformed},
		{"HT-01 byte order mark", oauth.FormOrJSON, jsonType, "\ufeff{}", oauth.BodyMalformed},
		{"HT-16 JSON that is not UTF-8", oauth.FormOrJSON, jsonType, "{\"a\":\"\xff\"}", oauth.BodyMalformed},
		{"HT-16 JSON with a NUL", oauth.FormOrJSON, jsonType, `{"a":"\u0000"}`, oauth.BodyMalformed},
		{"HT-16 JSON with a NUL in a name", oauth.FormOrJSON, jsonType, `{"a\u0000":"b"}`, oauth.BodyMalformed},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := oauth.ReadForm(post(test.contentType, test.body), test.kind)
			if got := reason(t, err); got != test.want {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
}

// members is a flat JSON object of n members.
func members(n int) string {
	var list []string
	for i := range n {
		list = append(list, `"`+strings.Repeat("a", i+1)+`":"b"`)
	}
	return "{" + strings.Join(list, ",") + "}"
}

func TestReadFormTakes100Members(t *testing.T) {
	if _, err := oauth.ReadForm(post(jsonType, members(100)), oauth.FormOrJSON); err != nil {
		t.Error(err)
	}
}

// HT-03: nothing of the protocol is read from the request URI, and what must not stand there is refused.
func TestReadFormQuery(t *testing.T) {
	for _, name := range []string{"grant_type", "scope", "client_id", "client_secret", "client_assertion",
		"client_assertion_type", "assertion", "code", "code_verifier", "refresh_token", "token", "request", "access_token"} {
		for _, query := range []string{name + "=x", name, "a=%zz&" + name + "=x"} {
			r := post(formType, "grant_type=client_credentials")
			r.URL.RawQuery = query
			if got := reason(t, errorOf(oauth.ReadForm(r, oauth.FormOnly))); got != oauth.ParameterInQuery {
				t.Errorf("HT-03 ?%s: %q", query, got)
			}
		}
	}
	r := post(formType, "grant_type=x")
	r.URL.RawQuery = "utm=1&resource=a"
	form, err := oauth.ReadForm(r, oauth.FormOnly)
	if err != nil || form.Get("utm") != "" || form.Get("resource") != "" {
		t.Errorf("HT-03 the query was read: %v %v", form, err)
	}
}

func errorOf(_ oauth.Form, err error) error { return err }

func TestReadFormHeaders(t *testing.T) {
	for encoding, want := range map[string]oauth.Reason{
		"gzip": oauth.ContentTypeRefused, "GZIP": oauth.ContentTypeRefused, "br": oauth.ContentTypeRefused,
		"identity, gzip": oauth.ContentTypeRefused, "identity": "", "Identity": "",
	} {
		r := post(formType, "scope=a")
		r.Header.Set("Content-Encoding", encoding)
		if got := reason(t, errorOf(oauth.ReadForm(r, oauth.FormOnly))); got != want {
			t.Errorf("HT-13 %s: %q, want %q", encoding, got, want)
		}
	}
	r := post(formType, "scope=a")
	r.Header.Add("Content-Encoding", "identity")
	r.Header.Add("Content-Encoding", "gzip")
	if got := reason(t, errorOf(oauth.ReadForm(r, oauth.FormOnly))); got != oauth.ContentTypeRefused {
		t.Errorf("HT-13 in a second field: %q", got)
	}
	r = post(formType, "scope=a")
	r.Header.Add("Content-Type", jsonType)
	if got := reason(t, errorOf(oauth.ReadForm(r, oauth.FormOrJSON))); got != oauth.HeaderRepeated {
		t.Errorf("two content types: %q", got)
	}
}

// HT-04: a body over the cap is a 413, and one that breaks off is the client's fault.
func TestReadBody(t *testing.T) {
	if _, err := oauth.ReadBody(post(formType, strings.Repeat("a", oauth.MaxBody))); err != nil {
		t.Errorf("HT-04 exactly the cap: %v", err)
	}
	_, err := oauth.ReadBody(post(formType, strings.Repeat("a", oauth.MaxBody+1)))
	if refusal, _ := errors.AsType[*oauth.Error](err); reason(t, err) != oauth.BodyTooLarge || refusal.Status() != http.StatusRequestEntityTooLarge {
		t.Errorf("HT-04 one byte over the cap: %v", err)
	}
	r := post(formType, "")
	r.Body = io.NopCloser(io.MultiReader(strings.NewReader("scope=a"), broken{}))
	if _, err := oauth.ReadForm(r, oauth.FormOnly); reason(t, err) != oauth.BodyUnreadable {
		t.Errorf("HT-04 a lying Content-Length: %v", err)
	}
}

// broken is the rest of a body that never came.
type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestReadJSON(t *testing.T) {
	tests := []struct {
		contentType, body string
		want              oauth.Reason
	}{
		{jsonType, `{"a":1}`, ""},
		{jsonType + ";charset=utf-8", `{"a":1}`, ""},
		{"", `{"a":1}`, oauth.ContentTypeRefused},
		{formType, `{"a":1}`, oauth.ContentTypeRefused},
		{"application/jwt", `{"a":1}`, oauth.ContentTypeRefused},
		{jsonType, strings.Repeat(" ", oauth.MaxBody+1), oauth.BodyTooLarge},
	}
	for _, test := range tests {
		body, err := oauth.ReadJSON(post(test.contentType, test.body))
		if got := reason(t, err); got != test.want || err == nil && string(body) != test.body {
			t.Errorf("%s: %q, %q", test.contentType, body, got)
		}
	}
}

// HT-18: a refusal names parameters, but repeats nothing that could not be one.
func TestReadFormRepeatsNoInput(t *testing.T) {
	for name, want := range map[string]string{
		"client_assertion": "client_assertion was sent more than once",
		"eyJhbGciOiJub25l": "a parameter was sent more than once",
		"<script>":         "a parameter was sent more than once",
		"token is abc":     "a parameter was sent more than once",
		"":                 "a parameter was sent more than once",
	} {
		if name == "" {
			name = strings.Repeat("a", 41)
		}
		pair := strings.ReplaceAll(name, " ", "+") + "=1"
		_, err := oauth.ReadForm(post(formType, pair+"&"+pair), oauth.FormOnly)
		if refusal, _ := errors.AsType[*oauth.Error](err); refusal == nil || refusal.Description != want {
			t.Errorf("%s: %v", name, err)
		}
		_, err = oauth.ReadForm(post(jsonType, `{"`+name+`":"1","`+name+`":"1"}`), oauth.FormOrJSON)
		if refusal, _ := errors.AsType[*oauth.Error](err); refusal == nil || strings.Contains(refusal.Description, name) != strings.HasPrefix(want, name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := (oauth.Form{}).Required("grant_type"); reason(t, err) != oauth.ParameterMissing || !strings.Contains(err.Error(), "grant_type") {
		t.Errorf("a missing parameter is not named: %v", err)
	}
}
