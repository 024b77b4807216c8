package oauth

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"
)

// MaxBody bounds a request body, in bytes; the server's middleware enforces it while the body is read.
const MaxBody = 64 << 10

// maxParameters bounds the parameters of a body. Those that may repeat do not count: who reads them says how many are too
// many, with the code that their RFC has for it.
const maxParameters = 100

// Body says which content types an endpoint reads beside application/x-www-form-urlencoded.
type Body int

// The three kinds of body among the endpoints.
const (
	FormOnly        Body = iota
	FormOrJSON           // a flat JSON object of strings: the FDX document's token request (seed 001)
	MislabelledForm      // a form that calls itself application/json: the FDX Postman flow's introspection
)

// Form is what has passed the reader of a request's body or query: UTF-8, no NUL, no parameter twice, empty ones dropped.
type Form struct{ values map[string][]string }

// Get is the parameter's value, or "" when it was absent or empty, which RFC 6749 §3.2 treats alike.
func (f Form) Get(name string) string {
	if v := f.values[name]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// All are the values of a parameter that may repeat (resource, RFC 8707 §2).
func (f Form) All(name string) []string { return f.values[name] }

// Required is the parameter's value, or the refusal that names it.
func (f Form) Required(name string) (string, error) {
	if v := f.Get(name); v != "" {
		return v, nil
	}
	return "", Refuse(ParameterMissing, "%s is missing", name)
}

// maxResources is how many resource parameters one request may have.
const maxResources = 20

// Resources are the resource parameters, each once, of those that the server issues tokens for (RFC 8707 §2); nil: the
// request names none.
func (f Form) Resources(known []string) ([]string, error) {
	requested := f.All("resource")
	if len(requested) > maxResources {
		return nil, Refuse(ResourceRefused, "at most %d resource parameters are taken", maxResources)
	}
	var resources []string
	for _, r := range requested {
		u, err := url.Parse(r)
		if err != nil || !u.IsAbs() || u.Fragment != "" {
			return nil, Refuse(ResourceRefused, "resource must be an absolute URI without a fragment")
		}
		if !slices.Contains(known, r) {
			return nil, Refuse(ResourceRefused, "resource is not one that this server issues tokens for")
		}
		if !slices.Contains(resources, r) {
			resources = append(resources, r)
		}
	}
	return resources, nil
}

// Only refuses a page's form with a field that the page does not have: nobody's browser sends one.
func (f Form) Only(names ...string) error {
	for name := range f.values {
		if !slices.Contains(names, name) {
			return Refuse(FormField, "the form has only the fields %s", strings.Join(names, ", "))
		}
	}
	return nil
}

// repeatable are the parameters that an RFC lets stand more than once, and the checkboxes of our own page.
var repeatable = map[string]bool{"resource": true, "audience": true, "accounts": true}

// confidential are the parameters of the protocol that must never stand in a URI (RFC 6749 §2.3.1, §3.2).
var confidential = []string{
	"grant_type", "scope", "client_id", "client_secret", "client_assertion", "client_assertion_type", "assertion",
	"code", "code_verifier", "refresh_token", "token", "request", "access_token",
}

// ReadForm reads the parameters of a POST from its body alone.
func ReadForm(r *http.Request, kind Body) (Form, error) {
	query, _ := url.ParseQuery(r.URL.RawQuery)
	for _, name := range confidential {
		if query.Has(name) {
			return Form{}, Refuse(ParameterInQuery, "%s stood in the request URI; send it in the body", name)
		}
	}
	media, err := mediaType(r)
	if err != nil {
		return Form{}, err
	}
	body, err := ReadBody(r)
	if err != nil {
		return Form{}, err
	}
	switch isJSON := media == "application/json"; {
	case isJSON && kind == FormOrJSON:
		return parseFlatJSON(body)
	case isJSON && kind == MislabelledForm && !bytes.HasPrefix(bytes.TrimLeft(body, " \t\r\n"), []byte("{")):
		return parseForm(body)
	case media != "application/x-www-form-urlencoded":
		return Form{}, Refuse(ContentTypeRefused, "the body must be application/x-www-form-urlencoded")
	}
	return parseForm(body)
}

// ReadQuery reads the parameters of a GET from its query, under the rules of a form.
func ReadQuery(r *http.Request) (Form, error) { return parseForm([]byte(r.URL.RawQuery)) }

// mediaType is the content type without its parameters; a compressed body is refused, since it is never inflated.
func mediaType(r *http.Request) (string, error) {
	for _, encoding := range r.Header.Values("Content-Encoding") {
		if encoding != "" && !strings.EqualFold(encoding, "identity") {
			return "", Refuse(ContentTypeRefused, "the body must not be compressed")
		}
	}
	if len(r.Header.Values("Content-Type")) > 1 {
		return "", Refuse(HeaderRepeated, "Content-Type was sent more than once")
	}
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		return "", Refuse(ContentTypeRefused, "Content-Type is missing or malformed").Because(err)
	}
	return media, nil
}

// ReadBody reads the whole body. The server's middleware has capped it; what comes over the cap is a 413.
func ReadBody(r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(r.Body)
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, Refuse(BodyTooLarge, "the body is longer than %d bytes", tooLarge.Limit)
	case err != nil:
		return nil, Refuse(BodyUnreadable, "the body could not be read to its end").Because(err)
	}
	return body, nil
}

// ReadJSON reads a body that must call itself application/json.
func ReadJSON(r *http.Request) ([]byte, error) {
	media, err := mediaType(r)
	if err != nil {
		return nil, err
	}
	if media != "application/json" {
		return nil, Refuse(ContentTypeRefused, "the body must be application/json")
	}
	return ReadBody(r)
}

func parseForm(text []byte) (Form, error) {
	count := 1 + bytes.Count(text, []byte("&"))
	for name := range repeatable {
		count -= bytes.Count(text, []byte("&"+name+"="))
	}
	if count > maxParameters {
		return Form{}, Refuse(ParametersTooMany, "the request has more than %d parameters", maxParameters)
	}
	values, err := url.ParseQuery(string(text))
	if err != nil {
		return Form{}, Refuse(BodyMalformed, "the parameters are no well-formed application/x-www-form-urlencoded").Because(err)
	}
	return newForm(values)
}

// parseFlatJSON reads {"name": "value", ...} and nothing else: a nested or non-string value would be read differently by
// different readers.
func parseFlatJSON(body []byte) (Form, error) {
	malformed := func(why string) (Form, error) {
		return Form{}, Refuse(BodyMalformed, "the JSON body must be one flat object of strings: %s", why)
	}
	if !utf8.Valid(body) {
		return malformed("it is not UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	if open, err := dec.Token(); err != nil || open != json.Delim('{') {
		return malformed("it is no object")
	}
	values := url.Values{}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return malformed("it is no JSON")
		}
		value, err := dec.Token()
		if err != nil {
			return malformed("it is no JSON")
		}
		text, ok := value.(string)
		if !ok {
			return malformed("a value is no string")
		}
		if len(values) >= maxParameters {
			return Form{}, Refuse(ParametersTooMany, "the body has more than %d parameters", maxParameters)
		}
		values.Add(name.(string), text)
	}
	if _, err := dec.Token(); err != nil {
		return malformed("it does not end")
	}
	if _, err := dec.Token(); err != io.EOF {
		return malformed("something follows it")
	}
	for name, v := range values {
		if len(v) > 1 {
			return Form{}, Refuse(ParameterRepeated, "%s stands twice in the JSON body", presentable(name))
		}
	}
	return newForm(values)
}

// FormOf makes a form of parameters that came by another way, under the rules of a body.
func FormOf(values map[string][]string) (Form, error) { return newForm(values) }

// newForm applies RFC 6749 §3.2: no parameter twice, and one without a value counts as absent.
func newForm(values url.Values) (Form, error) {
	for name, all := range values {
		for _, v := range append(all[:len(all):len(all)], name) {
			if !utf8.ValidString(v) || strings.ContainsRune(v, 0) {
				return Form{}, Refuse(BodyMalformed, "a parameter is not UTF-8 or holds a NUL")
			}
		}
	}
	for name, all := range values {
		if len(all) > 1 && !repeatable[name] {
			return Form{}, Refuse(ParameterRepeated, "%s was sent more than once", presentable(name))
		}
		values[name] = slices.DeleteFunc(all, func(v string) bool { return v == "" })
	}
	return Form{values: values}, nil
}

// presentable is a name that came from outside if it could be one of the protocol's: a description repeats nothing else.
func presentable(name string) string {
	if len(name) > 40 || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz_") != "" {
		return "a parameter"
	}
	return name
}
