package jose

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth is how deep arrays and objects may nest; the top-level object counts as one.
const maxDepth = 16

// maxNumericDate is 9999-01-01T00:00:00Z: later dates do not fit the formats that dates are written in elsewhere.
const maxNumericDate = 253370764800

// Object is one strict JSON object. Member names are compared exactly; encoding/json would fold their case. The zero
// Object has no members. An Object never changes and may be shared.
type Object struct{ members []member }

// member holds a name, unescaped, and the text of its value.
type member struct{ name, value string }

// ParseObject reads data as one JSON object (RFC 8259): UTF-8 without a byte order mark, nothing but white space around
// it, no name twice in one object at any depth (RFC 8725 §2.4), no half of a surrogate pair, at most 16 levels. It keeps
// no reference to data. The error is a *Defect of kind JSONRefused.
func ParseObject(data []byte) (Object, error) {
	s, err := scan(data)
	if err != nil {
		return Object{}, err
	}
	if s.next() != '{' {
		return Object{}, refuse(JSONRefused, "The JSON text is not an object.")
	}
	o := Object{members: make([]member, 0, 12)}
	if err := s.object(&o.members); err != nil {
		return Object{}, err
	}
	return o, nil
}

// ParseArray reads data as one JSON array, under the rules of ParseObject, and returns copies of the texts of its elements.
func ParseArray(data []byte) ([]json.RawMessage, error) {
	s, err := scan(data)
	if err != nil {
		return nil, err
	}
	if s.next() != '[' {
		return nil, refuse(JSONRefused, "The JSON text is not an array.")
	}
	elements := []json.RawMessage{}
	if err := s.array(&elements); err != nil {
		return nil, err
	}
	return elements, nil
}

// Has reports whether the member is there, with whatever value, null included.
func (o Object) Has(name string) bool {
	_, ok := o.value(name)
	return ok
}

// Names returns the names of the members in the order of the text.
func (o Object) Names() []string {
	names := make([]string, len(o.members))
	for i, m := range o.members {
		names[i] = m.name
	}
	return names
}

// String returns a string member and whether it is there. A member of another type, null included, is a *Defect.
func (o Object) String(name string) (string, bool, error) {
	value, ok := o.value(name)
	if !ok {
		return "", false, nil
	}
	if value[0] != '"' {
		return "", true, refuse(JSONRefused, "The member "+safe(name)+" is not a JSON string.")
	}
	return unquote(value), true, nil
}

// Time returns a NumericDate member (RFC 7519 §2) in UTC and whether it is there; fractions of a second are cut off. A
// value that is not a number, negative, or not before the year 9999 is a *Defect.
func (o Object) Time(name string) (time.Time, bool, error) {
	value, ok := o.value(name)
	if !ok {
		return time.Time{}, false, nil
	}
	// Of all JSON values ParseFloat reads only numbers; one too large for a float64 is an error.
	seconds, err := strconv.ParseFloat(value, 64)
	if err != nil || seconds < 0 || seconds >= maxNumericDate {
		return time.Time{}, true, refuse(JSONRefused,
			"The member "+safe(name)+" is not a number of seconds between the years 1970 and 9999.")
	}
	return time.Unix(int64(seconds), 0).UTC(), true, nil
}

// Object returns a member that is itself an object, under the same rules, and whether it is there. A member of another
// type is a *Defect.
func (o Object) Object(name string) (Object, bool, error) {
	value, ok := o.value(name)
	if !ok {
		return Object{}, false, nil
	}
	if value[0] != '{' {
		return Object{}, true, refuse(JSONRefused, "The member "+safe(name)+" is not a JSON object.")
	}
	inner, err := ParseObject([]byte(value))
	return inner, true, err
}

// Raw returns a copy of the text of a member's value and whether it is there.
func (o Object) Raw(name string) (json.RawMessage, bool) {
	value, ok := o.value(name)
	if !ok {
		return nil, false
	}
	return json.RawMessage(value), true
}

// Decode unmarshals a member's value and reports whether it is there. A value that does not fit is a *Defect, and so is
// null, which encoding/json would let pass for any type. Within structs encoding/json ignores the case of names: read
// nested objects with Object where that matters.
func (o Object) Decode(name string, into any) (bool, error) {
	value, ok := o.value(name)
	if !ok {
		return false, nil
	}
	if value == "null" || json.Unmarshal([]byte(value), into) != nil {
		return true, refuse(JSONRefused, "The member "+safe(name)+" does not have the expected JSON type.")
	}
	return true, nil
}

func (o Object) value(name string) (string, bool) {
	for _, m := range o.members {
		if m.name == name {
			return m.value, true
		}
	}
	return "", false
}

// tooDeep counts brackets outside strings. It runs before anything else looks at the text, so it must also do something
// sensible with text that is no JSON at all.
func tooDeep(data []byte) bool {
	depth := 0
	for i := 0; i < len(data); i++ {
		switch data[i] {
		case '{', '[':
			if depth++; depth > maxDepth {
				return true
			}
		case '}', ']':
			depth--
		case '"':
			for i++; i < len(data) && data[i] != '"'; i++ {
				if data[i] == '\\' {
					i++
				}
			}
		}
	}
	return false
}

// scan looks at a text as a whole before it is read: first its depth, then its characters, then its grammar.
func scan(data []byte) (scanner, error) {
	switch {
	case tooDeep(data):
		return scanner{}, refuse(JSONRefused, "The JSON text is nested more than 16 levels deep.")
	case !utf8.Valid(data):
		return scanner{}, refuse(JSONRefused, "The JSON text is not valid UTF-8.")
	case !json.Valid(data):
		return scanner{}, refuse(JSONRefused, "The text is not valid JSON.")
	}
	return scanner{text: string(data), names: make([]string, 0, 16)}, nil
}

// scanner looks for what json.Valid lets pass. Its text is valid JSON within maxDepth, so it checks no grammar, cannot
// run off the end, and may recurse. names is a stack of the names met so far in every open object.
type scanner struct {
	text  string
	at    int
	names []string
}

// next skips white space and returns the byte that follows it.
func (s *scanner) next() byte {
	for strings.IndexByte(" \t\r\n", s.text[s.at]) >= 0 {
		s.at++
	}
	return s.text[s.at]
}

func (s *scanner) value() error {
	switch s.next() {
	case '{':
		return s.object(nil)
	case '[':
		return s.array(nil)
	case '"':
		_, err := s.string()
		return err
	}
	for strings.IndexByte(",]} \t\r\n", s.text[s.at]) < 0 {
		s.at++
	}
	return nil
}

// array reads an array and appends the texts of its elements to elements, unless that is nil.
func (s *scanner) array(elements *[]json.RawMessage) error {
	s.at++
	for s.next() != ']' {
		start := s.at
		if err := s.value(); err != nil {
			return err
		}
		if elements != nil {
			*elements = append(*elements, json.RawMessage(s.text[start:s.at]))
		}
		if s.next() == ',' {
			s.at++
		}
	}
	s.at++
	return nil
}

// object reads an object and appends its members to members, unless that is nil.
func (s *scanner) object(members *[]member) error {
	first := len(s.names)
	s.at++
	for s.next() != '}' {
		quoted, err := s.string()
		if err != nil {
			return err
		}
		name := unquote(quoted)
		s.names = append(s.names, name)
		s.next()
		s.at++ // the colon
		s.next()
		start := s.at
		if err := s.value(); err != nil {
			return err
		}
		if members != nil {
			*members = append(*members, member{name, s.text[start:s.at]})
		}
		if s.next() == ',' {
			s.at++
		}
	}
	s.at++
	// Sorting finds duplicates among ten thousand names in good time and, unlike a map, costs a small object nothing.
	names := s.names[first:]
	slices.Sort(names)
	for i := 1; i < len(names); i++ {
		if names[i] == names[i-1] {
			return refuse(JSONRefused, "The JSON text has the member "+safe(names[i])+" twice in one object.")
		}
	}
	s.names = s.names[:first]
	return nil
}

// string reads a string and returns it with its quotes. Half a surrogate pair is valid JSON but no Unicode: every
// decoder would turn it into the same replacement character, so that different texts would become one.
func (s *scanner) string() (string, error) {
	start := s.at
	for s.at++; s.text[s.at] != '"'; s.at++ {
		if s.text[s.at] != '\\' {
			continue
		}
		s.at++
		if s.text[s.at] != 'u' {
			continue
		}
		if r := s.escape(); utf16.IsSurrogate(r) {
			low := rune(utf8.RuneError)
			if strings.HasPrefix(s.text[s.at+1:], `\u`) {
				s.at += 2
				low = s.escape()
			}
			if utf16.DecodeRune(r, low) == utf8.RuneError {
				return "", refuse(JSONRefused, "The JSON text has an incomplete surrogate pair.")
			}
		}
	}
	s.at++
	return s.text[start:s.at], nil
}

// escape reads the four digits of \u and stops on the last of them.
func (s *scanner) escape() rune {
	n, _ := strconv.ParseUint(s.text[s.at+1:s.at+5], 16, 16) // json.Valid has seen the digits
	s.at += 4
	return rune(n)
}

// unquote returns what a valid JSON string says.
func unquote(quoted string) string {
	if strings.IndexByte(quoted, '\\') < 0 {
		return quoted[1 : len(quoted)-1]
	}
	var s string
	_ = json.Unmarshal([]byte(quoted), &s) // cannot fail: json.Valid has seen it
	return s
}

// marshal writes v as JSON without the escapes that are meant for HTML: tokens are not pages, and a URL with an
// ampersand should look in a decoded token as it was registered.
func marshal(v any) ([]byte, error) {
	var buf bytes.Buffer
	encoder := json.NewEncoder(&buf)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), nil
}
