package par

import (
	"encoding/json"
	"slices"
	"strings"

	"authserver/internal/jose"
	"authserver/internal/oauth"
)

// kind is the JSON type of a member of a request object, in the words of a refusal.
type kind string

const (
	text   kind = "a string"
	texts  kind = "a string or an array of strings"
	number kind = "a number"
	array  kind = "an array"
	object kind = "an object"
	other  kind = "true, false or null"
)

// members are the parameters that a request object may hold (RFC 9101 §4, RFC 9396 §3). Others mean nothing, as in a form.
var members = map[string]kind{
	"response_type": text, "response_mode": text, "redirect_uri": text, "scope": text, "state": text, "nonce": text,
	"code_challenge": text, "code_challenge_method": text, "dpop_jkt": text,
	"prompt": text, "acr_values": text, "ui_locales": text, "login_hint": text, "id_token_hint": text,
	"resource": texts, "max_age": number, "authorization_details": array, "claims": object,
}

// read are the parameters of a request object, as a form would have them.
func read(claims jose.Object) (map[string][]string, error) {
	parameters := map[string][]string{}
	for _, name := range claims.Names() {
		wanted, known := members[name]
		if !known {
			continue
		}
		raw, _ := claims.Raw(name)
		values, ok := wanted.values(raw)
		switch {
		case !ok:
			return nil, refuse(oauth.RequestObjectMember, "%s must be %s; received %s", name, wanted, kindOf(raw))
		case slices.ContainsFunc(values, func(v string) bool { return strings.ContainsRune(v, 0) }):
			return nil, refuse(oauth.RequestObjectMember, "%s must not hold a NUL", name)
		}
		parameters[name] = values
	}
	return parameters, nil
}

// values are what a member of the kind k stands for in a form: what a text says, and anything else as it is written. A value
// of another kind is not ok.
func (k kind) values(raw json.RawMessage) (values []string, ok bool) {
	switch got := kindOf(raw); {
	case got == text && (k == text || k == texts):
		var value string
		err := json.Unmarshal(raw, &value)
		return []string{value}, err == nil
	case got == array && k == texts:
		var list []*string // null is nil
		if json.Unmarshal(raw, &list) != nil || slices.Contains(list, nil) {
			return nil, false
		}
		for _, value := range list {
			values = append(values, *value)
		}
		return values, true
	case got == k:
		return []string{string(raw)}, true
	}
	return nil, false
}

// kindOf is the kind of a member that is there.
func kindOf(raw json.RawMessage) kind {
	switch first := raw[0]; {
	case first == '"':
		return text
	case first == '[':
		return array
	case first == '{':
		return object
	case first == '-' || '0' <= first && first <= '9':
		return number
	}
	return other
}
