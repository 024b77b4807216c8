package dcr

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"authserver/internal/certificate"
	"authserver/internal/client"
	"authserver/internal/jose"
	"authserver/internal/oauth"
)

// reader reads the members of a registration and remembers what it must refuse. A member that is absent, null or empty has
// the zero value (RFC 7591 §2).
type reader struct {
	object  jose.Object
	refused []string // members, also those that the caller refused before
	wrong   []error
}

// present tells whether a member has a value other than null and the empty string.
func present(o jose.Object, name string) bool {
	raw, ok := o.Raw(name)
	return ok && !bytes.Equal(raw, []byte("null")) && !bytes.Equal(raw, []byte(`""`))
}

// refuse keeps the first refusal of a member. The sentence names the member and what was expected of it, never what came:
// not the language tag of a name either, which is the client's own text.
func (r *reader) refuse(name, expected string, args ...any) {
	member, _, _ := strings.Cut(name, "#")
	r.keep(member, oauth.Refuse(oauth.MetadataMember, "%s must be %s", member, fmt.Sprintf(expected, args...)))
}

func (r *reader) keep(member string, err error) {
	if !slices.Contains(r.refused, member) {
		r.refused, r.wrong = append(r.refused, member), append(r.wrong, err)
	}
}

// settle keeps what is wrong with members beside each other, unless one of them was refused itself: what is wrong may come
// of that. The members are told by parts of their names.
func (r *reader) settle(err error, parts ...string) {
	follows := slices.ContainsFunc(r.refused, func(member string) bool {
		return slices.ContainsFunc(parts, func(part string) bool { return strings.Contains(member, part) })
	})
	if err != nil && !follows {
		r.wrong = append(r.wrong, err)
	}
}

// decode reads a member into a Go value of the expected JSON type.
func (r *reader) decode(name, expected string, into any) bool {
	if !present(r.object, name) {
		return false
	}
	if _, err := r.object.Decode(name, into); err != nil {
		r.refuse(name, "%s", expected)
		return false
	}
	return true
}

// raw is a member as it came.
func (r *reader) raw(name string) json.RawMessage {
	if !present(r.object, name) {
		return nil
	}
	raw, _ := r.object.Raw(name)
	return raw
}

// text is a string for people: no control characters, none that turn the direction of writing, by which a name could pass
// for another on the consent page, and not only some that nobody sees, by which nobody would ask there.
func (r *reader) text(name string, max int) string {
	var s string
	if r.decode(name, "a string", &s) && !isText(s, max) {
		r.refuse(name, "a string of at most %d characters without control characters, and not a blank one", max)
	}
	return s
}

func isText(s string, max int) bool {
	seen := func(c rune) bool {
		return unicode.IsGraphic(c) && !unicode.IsSpace(c) && !unicode.IsMark(c) &&
			!unicode.Is(unicode.Other_Default_Ignorable_Code_Point, c)
	}
	return (s == "" || strings.ContainsFunc(s, seen)) && utf8.RuneCountInString(s) <= max && strings.IndexFunc(s, func(c rune) bool {
		return unicode.IsControl(c) || c >= 0x202a && c <= 0x202e || c >= 0x2066 && c <= 0x2069 || c == 0x200e || c == 0x200f || c == 0x061c
	}) < 0
}

// ascii is a string for machines: printable ASCII.
func (r *reader) ascii(name string, max int) string {
	var s string
	if r.decode(name, "a string", &s) && (len(s) > max || strings.IndexFunc(s, func(c rune) bool { return c < 0x20 || c > 0x7e }) >= 0) {
		r.refuse(name, "a string of at most %d printable ASCII characters", max)
	}
	return s
}

// texts is a list of strings.
func (r *reader) texts(name string, most, max int) []string {
	var list []string
	if r.decode(name, "an array of strings", &list) {
		if len(list) > most || slices.ContainsFunc(list, func(s string) bool { return s == "" || !isText(s, max) }) {
			r.refuse(name, "at most %d strings of 1 to %d characters without control characters", most, max)
		}
	}
	return list
}

// word is one of the allowed words.
func (r *reader) word(name string, allowed []string) string {
	var s string
	if r.decode(name, "a string", &s) && !slices.Contains(allowed, s) {
		r.refuse(name, "one of %s", strings.Join(allowed, ", "))
	}
	return s
}

// words is a list of allowed words, each once.
func (r *reader) words(name string, allowed []string) []string {
	var list []string
	if !r.decode(name, "an array of strings", &list) {
		return nil
	}
	var once []string
	for _, s := range list {
		if !slices.Contains(allowed, s) {
			r.refuse(name, "of %s", strings.Join(allowed, ", "))
			return nil
		}
		if !slices.Contains(once, s) {
			once = append(once, s)
		}
	}
	return once
}

// alg is a signing algorithm that this server offers; the fully specified name of EdDSA is kept under the common one.
func (r *reader) alg(name string) string {
	alg := r.word(name, append(jose.Algs(), "Ed25519"))
	if alg == "Ed25519" {
		return string(jose.EdDSA)
	}
	return alg
}

func (r *reader) flag(name string) bool {
	var b bool
	r.decode(name, "true or false", &b)
	return b
}

func (r *reader) days(name string, most int) int {
	var n int
	if r.decode(name, "a whole number of days", &n) && (n < 1 || n > most) {
		r.refuse(name, "a whole number of days from 1 to %d", most)
	}
	return n
}

// seconds is a span that may be zero; nil when it is absent.
func (r *reader) seconds(name string) *int {
	var n int
	if !r.decode(name, "a whole number of seconds", &n) {
		return nil
	}
	if n < 0 || n > 365*24*3600 {
		r.refuse(name, "a whole number of seconds of at most a year")
	}
	return &n
}

// webURI is a page or picture of the client's. It is shown; only the logo is ever fetched, and judged by its host then.
func (r *reader) webURI(name string) string {
	s := r.ascii(name, 2000)
	if s != "" && !isWebURI(s) {
		r.refuse(name, "an absolute https URL without user name and fragment")
	}
	return s
}

func isWebURI(s string) bool {
	u, err := url.Parse(s)
	return err == nil && isURIText(s) && u.Scheme == "https" && u.Hostname() != "" && u.User == nil && !strings.Contains(s, "#")
}

// languageTag is a BCP 47 language tag, as far as RFC 7591 §2.2 uses them.
var languageTag = regexp.MustCompile(`^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,4}$`)

// subject is what of its certificate the client registers, under the name of RFC 8705 §2.1.2.
func (r *reader) subject(kind certificate.Kind) string {
	name := "tls_client_auth_" + string(kind)
	s := r.text(name, 1000)
	if _, err := certificate.ParseSubject(kind, s); s != "" && err != nil {
		r.keep(name, oauth.Refuse(oauth.MetadataMember, "%s cannot be read: %s", name, err.Error()))
	}
	return s
}

// localized are the members for people in other languages: client_name#fr, tos_uri#es. Each is held to the rules of the
// member that it translates.
func (r *reader) localized() map[string]string {
	values := map[string]string{}
	for _, name := range r.object.Names() {
		member, tag, ok := strings.Cut(name, "#")
		if !ok || !present(r.object, name) {
			continue
		}
		switch member {
		case "client_name":
			values[name] = r.text(name, 200)
		case "description":
			values[name] = r.text(name, 1000)
		case "client_uri", "logo_uri", "tos_uri", "policy_uri":
			values[name] = r.webURI(name)
		default:
			continue
		}
		if !languageTag.MatchString(tag) || len(values) > 40 {
			r.refuse(member, "tagged with a language such as fr or fr-CA, in at most 40 members")
		}
	}
	if len(values) == 0 {
		return nil
	}
	return values
}

// isURIText tells whether s has only characters that a URI may have (RFC 3986 §2).
func isURIText(s string) bool {
	return strings.IndexFunc(s, func(c rune) bool { return c <= 0x20 || c >= 0x7f || strings.ContainsRune("\"<>\\^`{|}", c) }) < 0
}

// registryReferences reads FDX's list of where a legal entity is registered.
func registryReferences(r *reader, name string) []client.RegistryReference {
	var list []client.RegistryReference
	if r.decode(name, "an array of registry references", &list) && !areReferences(list) {
		r.refuse(name, "at most 10 registry references with a registry of %s", strings.Join(registries, ", "))
	}
	return list
}

func areReferences(list []client.RegistryReference) bool {
	return len(list) <= 10 && !slices.ContainsFunc(list, func(ref client.RegistryReference) bool {
		return !slices.Contains(registries, ref.Registry) || !isText(ref.RegisteredEntityName, 200) || !isText(ref.RegisteredEntityID, 200)
	})
}

// intermediaries reads FDX's list of parties between recipient and provider.
func intermediaries(r *reader) []client.Intermediary {
	const name = "intermediaries"
	var list []client.Intermediary
	if !r.decode(name, "an array of intermediaries", &list) {
		return nil
	}
	if len(list) > 10 || slices.ContainsFunc(list, func(i client.Intermediary) bool {
		return i.Name == "" || !isText(i.Name, 200) || !isText(i.Description, 1000) || !areReferences(i.RegistryReferences) ||
			i.URI != "" && !isWebURI(i.URI) || i.LogoURI != "" && !isWebURI(i.LogoURI) ||
			len(i.Contacts) > 20 || slices.ContainsFunc(i.Contacts, func(c string) bool { return !isText(c, 200) })
	}) {
		r.refuse(name, "at most 10 intermediaries with a name, https URLs and plain text")
	}
	return list
}
