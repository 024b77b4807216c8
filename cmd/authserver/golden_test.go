package main

import (
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"authserver/internal/flow"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the golden transcripts")

// golden writes down HTTP exchanges as a person would read them, and compares the whole with a file. What differs from
// run to run stands in angle brackets; JWTs stand decoded below the message that bears them.
type golden struct {
	t       testing.TB
	name    string
	text    strings.Builder
	names   map[string]string // of values that differ from run to run
	printed map[string]string // of JWTs that the seed prints: their times are shown as they are
	counts  map[string]int

	open   func(jwe string) (jws string) // for whoever can read what is encrypted; nil: nothing is
	inside map[string]string             // of what was opened
}

func newGolden(t testing.TB, name, title string) *golden {
	t.Helper()
	g := &golden{t: t, name: name, names: map[string]string{}, printed: map[string]string{}, counts: map[string]int{}, inside: map[string]string{}}
	for line := range strings.SplitSeq(strings.TrimSpace(title), "\n") {
		g.text.WriteString(strings.TrimRight("# "+strings.TrimSpace(line), " ") + "\n")
	}
	return g
}

// call gives a value that differs from run to run the name that it has in the file.
func (g *golden) call(value, name string) {
	if value != "" {
		g.names[value] = "<" + name + ">"
	}
}

var (
	jws = regexp.MustCompile(`[A-Za-z0-9_-]{20,}\.[A-Za-z0-9_-]{20,}\.[A-Za-z0-9_-]{20,}`)
	jwe = regexp.MustCompile(`[A-Za-z0-9_-]{20,}(\.[A-Za-z0-9_-]{16,}){4}`)
)

// exchange writes down one request and its answer.
func (g *golden) exchange(title string, e *flow.Exchange) {
	fmt.Fprintf(&g.text, "\n== %s\n\n%s %s\n", title, e.Method, e.URL)
	g.message(e.RequestHeader, e.RequestBody, "assertion")
	if id := e.ResponseHeader.Get("X-Fapi-Interaction-Id"); id != e.RequestHeader.Get("X-Fapi-Interaction-Id") {
		g.call(id, "interaction id")
	}
	g.call(e.ResponseHeader.Get("DPoP-Nonce"), "nonce")
	for _, member := range []string{"client_id", "registration_access_token"} {
		if value, ok := e.JSON()[member].(string); ok && len(value) == 43 && g.names[value] == "" { // ours are 32 bytes of base64url
			g.call(value, member)
		}
	}
	for _, token := range e.JWTs {
		if token.Name == "access_token" {
			g.call(token.Member("kid"), "the server's kid")
		}
	}
	fmt.Fprintf(&g.text, "\n%d %s\n", e.Status, http.StatusText(e.Status))
	g.message(e.ResponseHeader, e.ResponseBody, "token")
}

// message writes header fields and body, and then every JWT in them, decoded. A JWT in the body that was not met before is
// named after what it is there.
func (g *golden) message(header http.Header, body, inBody string) {
	var tokens []string
	show := func(kind, text string) string {
		text = jwe.ReplaceAllStringFunc(text, func(compact string) string {
			g.inside[compact] = g.open(compact)
			tokens = append(tokens, compact)
			return g.label("encrypted token", compact)
		})
		return jws.ReplaceAllStringFunc(text, func(compact string) string {
			if !slices.Contains(tokens, compact) {
				tokens = append(tokens, compact)
			}
			return g.label(kind, compact)
		})
	}
	var names []string
	for name := range header {
		if !slices.Contains([]string{"Accept", "Content-Length", "User-Agent", "Transfer-Encoding"}, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		for _, value := range header[name] {
			if name == "Date" {
				value = "<date>"
			}
			fmt.Fprintf(&g.text, "%s: %s\n", strings.Replace(name, "Dpop", "DPoP", 1), show("proof", value))
		}
	}
	if body != "" {
		fmt.Fprintf(&g.text, "\n%s\n", relative(show(inBody, layOut(body))))
	}
	for _, compact := range tokens {
		g.decode(compact)
	}
}

// layOut breaks a body into lines: JSON by its members, a form by its parameters.
func layOut(body string) string {
	body = strings.TrimSpace(body)
	if strings.HasPrefix(body, "{") {
		var indented strings.Builder
		var value json.RawMessage = []byte(body)
		encoder := json.NewEncoder(&indented)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "  ")
		if encoder.Encode(value) == nil {
			return strings.TrimSpace(indented.String())
		}
	}
	return strings.ReplaceAll(body, "&", "\n&")
}

// label is what stands in a JWT's place: the same for the same JWT.
func (g *golden) label(kind, compact string) string {
	if g.names[compact] == "" {
		if g.printed[compact] != "" {
			g.names[compact] = "<the printed " + g.printed[compact] + ">"
		} else {
			g.counts[kind]++
			g.names[compact] = fmt.Sprintf("<%s %d>", kind, g.counts[kind])
		}
	}
	return g.names[compact]
}

var (
	issuedAt = regexp.MustCompile(`"iat":\s*(\d+)`)
	anyTime  = regexp.MustCompile(`"(exp|nbf|iat|client_id_issued_at)":(\s*)(\d{10})\b`)
	anyID    = regexp.MustCompile(`"(jti|nonce|ath|at_hash|sid)":(\s*)"[^"]+"`)
	aName    = regexp.MustCompile(`"name":"[^"]*"`)
	authTime = regexp.MustCompile(`"auth_time":(\s*)\d{10}\b`)
	dateTime = regexp.MustCompile(`"(createdTime|updatedTime|expirationTime)":(\s*)"\d{4}-\d\d-\d\dT[0-9:.]+Z"`)
	seconds  = regexp.MustCompile(`-?\b\d+ s (ago|old|ahead)`)
)

// lifetimes are the seconds for which tokens live, as an answer tells them a moment later.
var lifetimes = map[*regexp.Regexp]string{
	regexp.MustCompile(`"expires_in":(\s*)(29\d|300)\b`): "300", regexp.MustCompile(`"expires_in":(\s*)(89\d|900)\b`): "900",
	regexp.MustCompile(`"expires_in":(\s*)(359\d|3600)\b`): "3600",
}

// decode shows header and payload of a JWT, and of an encrypted one its header and the JWT inside. Times are shown by their
// distance from iat.
func (g *golden) decode(compact string) {
	fmt.Fprintf(&g.text, "    %s\n", g.names[compact])
	if inside := g.inside[compact]; inside != "" {
		g.part(compact, compact[:strings.IndexByte(compact, '.')])
		compact = inside
	}
	for part := range strings.SplitSeq(compact[:strings.LastIndexByte(compact, '.')], ".") {
		g.part(compact, part)
	}
}

// part shows one of a token's parts.
func (g *golden) part(of, part string) {
	text, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		g.t.Fatal(err)
	}
	shown := aName.ReplaceAllString(string(text), `"name":"<a name>"`)
	if g.printed[of] == "" {
		shown = relative(shown)
	}
	fmt.Fprintf(&g.text, "        %s\n", shown)
}

// relative replaces what differs in a JSON text: identifiers, and times by their distance from its iat.
func relative(text string) string {
	var base int64
	if found := issuedAt.FindStringSubmatch(text); found != nil {
		fmt.Sscan(found[1], &base)
	}
	text = anyTime.ReplaceAllStringFunc(text, func(pair string) string {
		found := anyTime.FindStringSubmatch(pair)
		var at int64
		fmt.Sscan(found[3], &at)
		distance := ""
		if base != 0 && at != base {
			distance = fmt.Sprintf("%+d", at-base)
		}
		return fmt.Sprintf(`"%s":%s<now%s>`, found[1], found[2], distance)
	})
	text = authTime.ReplaceAllString(text, `"auth_time":$1<a moment before>`)
	text = dateTime.ReplaceAllString(text, `"$1":$2"<date and time>"`)
	text = anyID.ReplaceAllString(text, `"$1":$2"<$1>"`)
	for lifetime, seconds := range lifetimes {
		text = lifetime.ReplaceAllString(text, `"expires_in":$1<`+seconds+`, or a little less>`)
	}
	return text
}

// finish compares what was written down with the file, or rewrites it.
func (g *golden) finish() {
	g.t.Helper()
	got := seconds.ReplaceAllString(g.text.String(), "<n> s $1")
	for _, value := range slices.SortedFunc(maps.Keys(g.names), func(a, b string) int { return len(b) - len(a) }) {
		got = strings.ReplaceAll(got, value, g.names[value])
	}
	path := filepath.Join("testdata", "golden", g.name+".txt")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			g.t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		g.t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		g.t.Errorf("%s (-file +run; rewrite with -update):\n%s", path, diff)
	}
}
