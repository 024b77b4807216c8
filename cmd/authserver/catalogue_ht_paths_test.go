package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"authserver/internal/oauth"
)

// attacksOnPaths are the cases about paths, and about bytes that no client library sends.
func attacksOnPaths() []attack {
	return []attack{
		{"HT-09", crossOrigin},
		{"HT-10", otherSpellings},
		{"HT-11", interactionIDs},
		{"HT-15", smuggledRequests},
		{"HT-17", managementInPublic},
	}
}

// spoken is one answer on a connection.
type spoken struct {
	*http.Response
	body string
}

// speak sends bytes on a connection of its own and reads answers: the first n, or all until the server closes, when n is 0.
func speak(t testing.TB, address, text string, n int) []spoken {
	t.Helper()
	connection, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	_ = connection.SetDeadline(time.Now().Add(time.Minute))
	go func() { _, _ = io.WriteString(connection, text) }() // the server may close before all is written
	var answers []spoken
	reader := bufio.NewReader(connection)
	for n == 0 || len(answers) < n {
		response, err := http.ReadResponse(reader, nil)
		if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
			t.Errorf("the connection stays open after %d answers to %.200q", len(answers), text)
		}
		if err != nil {
			break
		}
		body, _ := io.ReadAll(response.Body)
		answers = append(answers, spoken{response, string(body)})
	}
	return answers
}

func crossOrigin(t *testing.T, d *deployment) {
	s := d.server(0)
	header := http.Header{"Origin": {"https://evil.example"}, "Access-Control-Request-Method": {"POST"}, "Access-Control-Request-Headers": {"dpop, authorization"}}
	for _, path := range []string{"/oauth2/jwks", "/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"} {
		for method, want := range map[string]int{http.MethodOptions: http.StatusNoContent, http.MethodGet: http.StatusOK} {
			e := raw(t, s, method, d.issuer+path, header, "")
			if got := e.ResponseHeader; e.Status != want || got.Get("Access-Control-Allow-Origin") != "*" || got.Get("Access-Control-Allow-Credentials") != "" ||
				method == http.MethodOptions && got.Get("Access-Control-Allow-Methods") != "GET, HEAD" {
				t.Errorf("%s %s: %d %v", method, path, e.Status, got)
			}
		}
	}
	for _, path := range []string{"/oauth2/token", "/oauth2/introspect", "/oauth2/revoke", "/fdx/v6/register", "/fdx/v6/register/x", "/fdx/v6/consents/x", "/oauth2/par", "/oauth2/authorize",
		"/login", "/login/attempt", "/consent", "/consent/decision", "/assets/none", "/logos/none", "/demo/accounts", "/nowhere"} {
		for _, method := range []string{http.MethodOptions, http.MethodPost, http.MethodGet} {
			e := raw(t, s, method, d.issuer+path, header, "")
			for name := range e.ResponseHeader {
				if strings.HasPrefix(name, "Access-Control-") {
					t.Errorf("%s %s answers %s", method, path, name)
				}
			}
			if e.Status < 400 {
				t.Errorf("%s %s: %d", method, path, e.Status)
			}
		}
	}
}

// otherSpellings of a path are other paths, whatever the Host says.
func otherSpellings(t *testing.T, d *deployment) {
	c := d.register(0)
	assertion := compact(t, c.Assertion())
	form := formOf(assertion)
	for _, path := range []string{"//oauth2/token", "/oauth2//token", "/oauth2/./token", "/oauth2/../oauth2/token", "/oauth2/token/", "/oauth2/token//", "/oauth2%2ftoken",
		"/OAUTH2/TOKEN", "/oauth2/Token", "/oauth2/token%00", "/oauth2/token;a=b", "/oauth2/token%20", "/oauth2/tokens", "//evil.example/oauth2/token",
		"///evil.example", "/\\evil.example/oauth2/token", "/oauth2/token/..;/", "/", "/fdx/v6/register/", "/oauth2", "/.well-known/oauth-authorization-server/",
		"/.well-known/oauth-authorization-server/evil", "//oauth2/par", "/login/", "/login/attempt/", "/consent/%2e%2e/login", "/assets/../login", "/assets/%2e%2e%2flogin",
		"/errors/no_such_reason", "/errors/", "http://evil.example//oauth2/token", "*", "/oauth2/token%zz", "/oauth2/%e2%80%ae"} {
		text := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: evil.example\r\nX-Forwarded-Host: evil.example\r\nX-Forwarded-Prefix: /evil.example\r\nX-Original-URL: /oauth2/token\r\nX-Rewrite-URL: /oauth2/token\r\n"+
			"Content-Type: %s\r\nContent-Length: %d\r\n\r\n%s", path, formMedia, len(form), form)
		for i := range d.hosts {
			answers := speak(t, d.hosts[i], text, 1)
			if len(answers) != 1 {
				t.Fatalf("%s has no answer", path)
			}
			a := answers[0]
			if !slices.Contains([]int{400, 404, 405}, a.StatusCode) || a.Header.Get("Location") != "" || strings.Contains(fmt.Sprint(a.Header, a.body), "evil.example") {
				t.Errorf("%s: %d %v %s", path, a.StatusCode, a.Header, a.body)
			}
		}
	}
	// %6f is an o (RFC 3986 §6.2.2.2): the same path, or none, but nowhere else.
	e := raw(t, c.Server, http.MethodPost, d.issuer+"/%6fauth2/token", http.Header{"Content-Type": {formMedia}}, "a=b")
	outcome(t, e, "401 invalid_client", "404 invalid_request")
	outcome(t, tokenForm(t, c, formMedia, form), "200") // G10
}

func interactionIDs(t *testing.T, d *deployment) {
	s := d.server(0)
	const id = "550e8400-e29b-41d4-a716-446655440000"
	seen := map[string]bool{}
	for name, test := range map[string]struct {
		values []string
		echo   bool
	}{
		"none": {nil, false}, "a UUID": {[]string{id}, true}, "capitals": {[]string{strings.ToUpper(id)}, true},
		"4 KiB": {[]string{strings.Repeat("a", 4<<10)}, false}, "no UUID": {[]string{"abc"}, false}, "two": {[]string{id, id}, false},
		"more after it": {[]string{id + "x"}, false}, "braces": {[]string{"{" + id + "}"}, false}, "empty": {[]string{""}, false}, "latin": {[]string{"\xe9"}, false},
	} {
		for _, path := range []string{"/oauth2/token", "/oauth2/jwks", "/nowhere", "/errors/proof_iat", "/fdx/v6/register/x", "/oauth2/par", "/login"} {
			e := raw(t, s, http.MethodGet, d.issuer+path, http.Header{"X-Fapi-Interaction-Id": test.values}, "")
			got := e.ResponseHeader.Get("X-Fapi-Interaction-Id")
			if test.echo != (len(test.values) > 0 && got == test.values[0]) || !test.echo && seen[got] {
				t.Errorf("%s, %s: answered with %q", name, path, got)
			}
			seen[got] = true
		}
	}
	for _, injected := range []string{"a\r\nSet-Cookie: x=1", "a\r\n Set-Cookie: x=1", "a\nSet-Cookie: x=1", "a\rSet-Cookie: x=1", "a\x00b", id + "\r\nSet-Cookie: x=1", "a%0d%0aSet-Cookie: x=1"} {
		a := speak(t, d.hosts[0], "GET /oauth2/jwks HTTP/1.1\r\nHost: localhost:8080\r\nX-Fapi-Interaction-Id: "+injected+"\r\n\r\n", 1)
		if len(a) != 1 || a[0].Header.Get("Set-Cookie") != "" || a[0].StatusCode != 200 && a[0].StatusCode != 400 || strings.Contains(fmt.Sprint(a[0].Header), "x=1") {
			t.Errorf("%q: %v", injected, a)
		} else if got := a[0].Header.Get("X-Fapi-Interaction-Id"); a[0].StatusCode == 200 && !anyUUID.MatchString(got) {
			t.Errorf("%q is answered with %q", injected, got)
		}
	}
}

// smuggledRequests are two readings of one message. There is one answer, and what stands behind is never a request.
func smuggledRequests(t *testing.T, d *deployment) {
	const head = "POST /oauth2/token HTTP/1.1\r\nHost: a\r\nContent-Type: " + formMedia + "\r\n"
	const smuggled = "GET /oauth2/jwks HTTP/1.1\r\nHost: a\r\n\r\n"
	for name, test := range map[string]struct {
		text string
		want []int
	}{
		// net/http reads the message by its chunks and hides the length, so that it is not a 400; RFC 9112 §6.1 wants the
		// connection closed in that case, and this is what is held here.
		"both lengths":                   {head + fmt.Sprintf("Content-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", len("0\r\n\r\n"+smuggled)) + smuggled, []int{400, 401}},
		"both, in the other order":       {head + "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n3\r\na=b\r\n0\r\n\r\n" + smuggled, []int{400, 401}},
		"two lengths":                    {head + "Content-Length: 3\r\nContent-Length: 4\r\n\r\na=b" + smuggled, []int{400}},
		"a list of lengths":              {head + "Content-Length: 3, 4\r\n\r\na=b" + smuggled, []int{400}},
		"a length with a sign":           {head + "Content-Length: +3\r\n\r\na=b" + smuggled, []int{400}},
		"a negative length":              {head + "Content-Length: -1\r\n\r\na=b" + smuggled, []int{400}},
		"a hexadecimal length":           {head + "Content-Length: 0x3\r\n\r\na=b" + smuggled, []int{400}},
		"a space before the colon":       {head + "Content-Length : 3\r\n\r\na=b" + smuggled, []int{400}},
		"chunked twice":                  {head + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled, []int{400, 501}},
		"another coding":                 {head + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" + smuggled, []int{400, 501}},
		"a coding in disguise":           {head + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + smuggled, []int{400, 501}},
		"a bare LF in a chunk extension": {head + "Transfer-Encoding: chunked\r\n\r\n3;a\nb\r\na=b\r\n0\r\n\r\n" + smuggled, []int{400}},
		"a bare LF after a chunk's size": {head + "Transfer-Encoding: chunked\r\n\r\n3\na=b\r\n0\r\n\r\n" + smuggled, []int{400}},
		"a chunk's size with a sign":     {head + "Transfer-Encoding: chunked\r\n\r\n+3\r\na=b\r\n0\r\n\r\n" + smuggled, []int{400}},
		"a chunk longer than it says":    {head + "Transfer-Encoding: chunked\r\n\r\n2\r\na=b\r\n0\r\n\r\n" + smuggled, []int{400}},
		"two Hosts":                      {"GET /oauth2/jwks HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n" + smuggled, []int{400}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, address := range d.hosts {
				answers := speak(t, address, test.text, 0)
				if len(answers) != 1 || !slices.Contains(test.want, answers[0].StatusCode) || inside.MatchString(answers[0].body) {
					t.Errorf("%d answers: %v", len(answers), answers)
				}
			}
		})
	}
	// The control: chunks alone are a body like any other.
	c := d.register(0)
	form := goodForm(t, c, "")
	nonce := fmt.Sprintf("%sDPoP: %s\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", strings.Replace(head, "Host: a", "Host: "+d.host(), 1),
		compact(t, c.Proof(http.MethodPost, c.Server.Metadata.TokenEndpoint)), len(form), form)
	if answers := speak(t, d.hosts[0], nonce, 0); len(answers) != 1 || !strings.Contains(answers[0].body, "use_dpop_nonce") {
		t.Errorf("%v", answers)
	}
}

// host is the authority of the issuer.
func (d *deployment) host() string {
	u, err := url.Parse(d.issuer)
	if err != nil {
		d.t.Fatal(err)
	}
	return u.Host
}

// managementInPublic: health and metrics are on a listener of their own, and profiles nowhere.
func managementInPublic(t *testing.T, d *deployment) {
	r := d.bounded(t)
	s := d.serverThrough(r.transport(t))
	for _, path := range []string{"/metrics", "/readyz", "/livez", "/healthz", "/version", "/debug/pprof/", "/debug/pprof/heap", "/debug/vars", "/metrics/", "/.git/config", "/server-status"} {
		refusedFor(t, raw(t, s, http.MethodGet, d.issuer+path, nil, ""), "404 invalid_request", oauth.NoSuchEndpoint)
		text := "GET " + path + " HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
		private := speak(t, r.management, text, 1)
		wanted := slices.Contains([]string{"/metrics", "/readyz", "/livez", "/version"}, path)
		if len(private) != 1 || wanted != (private[0].StatusCode == 200) || strings.Contains(path, "pprof") && private[0].StatusCode != 404 {
			t.Errorf("%s on the management listener: %v", path, private)
		}
	}
}
