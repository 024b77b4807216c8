package fdx

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"authserver/internal/jose"
	"authserver/internal/oauth"
)

// maxShown is how much of a foreign text a refusal repeats, in bytes.
const maxShown = 40

// value is a JSON value inside authorization_details and its path, by which refusals name it.
type value struct {
	at  string
	raw json.RawMessage // nil: the member is missing
}

// refuse says what was expected at the path, and what came.
func (v value) refuse(expected string, args ...any) error {
	expected = fmt.Sprintf(expected, args...)
	if v.raw == nil {
		return oauth.Refuse(oauth.DetailsMember, "%s is missing; expected %s", v.at, expected)
	}
	return oauth.Refuse(oauth.DetailsMember, "%s must be %s; received %s", v.at, expected, received(v.raw))
}

// received describes a value: what is short as it came, so that "60" can be told from 60.
func received(raw json.RawMessage) string {
	switch raw[0] {
	case '{':
		return "an object"
	case '[':
		return "an array"
	}
	return shown(string(raw))
}

// shown is the beginning of a foreign text, in the characters of a description.
func shown(text string) string {
	if len(text) > maxShown {
		text = text[:maxShown] + "..."
	}
	return oauth.Printable(text)
}

// elements are those of an array that has some.
func (v value) elements() ([]value, error) {
	list, err := jose.ParseArray(v.raw)
	if err != nil || len(list) == 0 {
		return nil, v.refuse("an array that is not empty")
	}
	elements := make([]value, len(list))
	for i, raw := range list {
		elements[i] = value{fmt.Sprintf("%s[%d]", v.at, i), raw}
	}
	return elements, nil
}

// object is a JSON object inside authorization_details.
type object struct {
	value
	members jose.Object
}

func (v value) object() (object, error) {
	members, err := jose.ParseObject(v.raw)
	if err != nil {
		return object{}, v.refuse("an object")
	}
	return object{v, members}, nil
}

func (o object) member(name string) value {
	raw, _ := o.members.Raw(name)
	return value{o.at + "." + name, raw}
}

// only refuses every other member: one that the client relies on, and nobody reads, would be granted in silence.
func (o object) only(names ...string) error {
	for _, name := range o.members.Names() {
		if !slices.Contains(names, name) {
			return oauth.Refuse(oauth.DetailsMember, "%s.%s is not known; members of %s are %s",
				o.at, shown(name), o.at, strings.Join(names, ", "))
		}
	}
	return nil
}

// text is a string; "" for anything else.
func (v value) text() string {
	var s string
	if json.Unmarshal(v.raw, &s) != nil {
		return ""
	}
	return s
}

// word is one of some.
func (v value) word(some ...string) (string, error) {
	if s := v.text(); slices.Contains(some, s) {
		return s, nil
	}
	return "", v.refuse("one of %s", strings.Join(some, ", "))
}

// days is a number of days, in digits alone.
func (v value) days(most int) (int, error) {
	n, err := strconv.Atoi(string(v.raw))
	if err != nil || n < 1 || n > most {
		return 0, v.refuse("a whole number of days from 1 to %d", most)
	}
	return n, nil
}

// identifier is the id of something that only its owner can read.
func (v value) identifier() (string, error) {
	if s := v.text(); s != "" && utf8.RuneCountInString(s) <= MaxIdentifier {
		return s, nil
	}
	return "", v.refuse("a string of 1 to %d characters", MaxIdentifier)
}
