package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"authserver/internal/flow"
	"authserver/internal/oauth"
)

const formType = "application/x-www-form-urlencoded"

// formFor is the body of a good request of the client, as a string to be bent.
func formFor(t testing.TB, c *flow.Client, more string) string {
	return "grant_type=client_credentials&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&client_assertion=" +
		compact(t, c.Assertion()) + more
}

// post sends a body to the token endpoint, with a good proof beside it.
func post(t testing.TB, c *flow.Client, contentType, body string, more ...string) *flow.Exchange {
	t.Helper()
	endpoint := c.Server.Metadata.TokenEndpoint
	header := http.Header{"Dpop": {compact(t, c.Proof(http.MethodPost, endpoint))}}
	if contentType != "" {
		header.Set("Content-Type", contentType)
	}
	for i := 0; i+1 < len(more); i += 2 {
		header.Add(more[i], more[i+1])
	}
	return raw(t, c.Server, http.MethodPost, endpoint, header, body)
}

func TestBodies(t *testing.T) {
	d := deploy(t, 1, nil)
	c := d.everywhere(d.register(0))[0]
	var multi, zipped bytes.Buffer
	writer := multipart.NewWriter(&multi)
	_ = writer.WriteField("grant_type", "client_credentials")
	_ = writer.Close()
	zip := gzip.NewWriter(&zipped)
	_, _ = zip.Write([]byte(formFor(t, c, "")))
	_ = zip.Close()
	tests := []struct {
		id, contentType, body, want string
	}{
		{"HT-02 multipart", writer.FormDataContentType(), multi.String(), "415 invalid_request"},
		{"HT-02 text/plain", "text/plain", formFor(t, c, ""), "415 invalid_request"},
		{"HT-02 missing", "", formFor(t, c, ""), "415 invalid_request"},
		{"HT-02 malformed", formType + "; charset", formFor(t, c, ""), "415 invalid_request"},
		{"HT-04", formType, "a=" + strings.Repeat("a", 10<<20), "413 invalid_request"},
		{"HT-05 under the limit", formType, strings.Repeat("a=&", 20000), "400 invalid_request"},
		{"HT-05 over the limit", formType, strings.Repeat("a=&", 1_000_000), "413 invalid_request"},
		{"CA-47", formType, formFor(t, c, strings.Repeat("A", 1<<20)), "413 invalid_request"},
		{"HT-16 NUL", formType, formFor(t, c, "&scope=a%00b"), "400 invalid_request"},
		{"HT-16 not UTF-8", formType, formFor(t, c, "&scope=%ff%fe"), "400 invalid_request"},
		{"HT-16 a name that is not UTF-8", formType, formFor(t, c, "&%ff=a"), "400 invalid_request"},
		{"HT-19 semicolon", formType, formFor(t, c, "&a=1;b=2"), "400 invalid_request"},
		{"HT-19 escape", formType, formFor(t, c, "&a=%zz"), "400 invalid_request"},
		{"HT-19 half an escape", formType, formFor(t, c, "&a=%2"), "400 invalid_request"},
		{"HT-19 plus", formType, formFor(t, c, "&scope=client.read+fdx:accountbasic:read"), "200"},
		{"HT-19 %20", formType, formFor(t, c, "&scope=client.read%20fdx:accountbasic:read"), "200"},
		{"HT-21", formType + "; charset=UTF-8", formFor(t, c, ""), "200"},
		{"HT-21 upper case", strings.ToUpper(formType) + ";CHARSET=utf-8", formFor(t, c, ""), "200"},
		{"a parameter twice, once empty", formType, formFor(t, c, "&scope=&scope=client.read"), "400 invalid_request"},
		{"an empty body", formType, "", "401 invalid_client"},
	}
	for _, test := range tests {
		t.Run(test.id, func(t *testing.T) { outcome(t, post(t, c, test.contentType, test.body), test.want) })
	}
	t.Run("HT-13", func(t *testing.T) {
		outcome(t, post(t, c, formType, zipped.String(), "Content-Encoding", "gzip"), "415 invalid_request")
		outcome(t, post(t, c, formType, formFor(t, c, ""), "Content-Encoding", "identity"), "200")
	})
}

// HT-04: a body without end is answered before it ends, and its connection is not used again.
func TestEndlessBody(t *testing.T) {
	d := deploy(t, 1, nil)
	s := d.server(0)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.Metadata.TokenEndpoint, endless{})
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", formType)
	response, err := s.HTTP.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusRequestEntityTooLarge || !response.Close {
		t.Errorf("%d, close %t", response.StatusCode, response.Close)
	}
}

// endless is a body that never ends.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// HT-03, HT-12: credentials in the URI, and more than one Authorization header.
func TestMisplacedCredentials(t *testing.T) {
	d := deploy(t, 1, nil)
	c := d.everywhere(d.register(0))[0]
	endpoint := c.Server.Metadata.TokenEndpoint
	for _, query := range []string{"client_assertion=" + compact(t, c.Assertion()), "grant_type=client_credentials", "scope=client.read", "client_id=" + c.ID, "client_secret=x"} {
		header := http.Header{"Content-Type": {formType}, "Dpop": {compact(t, c.Proof(http.MethodPost, endpoint))}}
		e := raw(t, c.Server, http.MethodPost, endpoint+"?"+query, header, formFor(t, c, ""))
		refusedFor(t, e, "400 invalid_request", oauth.ParameterInQuery)
	}
	access := tokenFor(t, c, nil)
	e := raw(t, c.Server, http.MethodGet, d.issuer+"/demo/accounts?access_token="+access, nil, "")
	refusedFor(t, e, "400 invalid_request", oauth.ParameterInQuery)
	for target, method := range map[string]string{endpoint: "POST", d.issuer + "/oauth2/introspect": "POST", d.issuer + "/oauth2/revoke": "POST",
		d.issuer + "/fdx/v6/register": "POST", c.RegistrationURI: "GET", d.issuer + "/demo/accounts": "GET",
		d.issuer + "/fdx/v6/consents/x": "GET", d.issuer + "/fdx/v6/consents/x/revocation": "PUT"} {
		twice := http.Header{"Authorization": {"Bearer " + c.RegistrationToken, "Bearer " + c.RegistrationToken}, "Content-Type": {formType}}
		refusedFor(t, raw(t, c.Server, method, target, twice, formFor(t, c, "")), "400 invalid_request", oauth.HeaderRepeated)
	}
}

func TestMethods(t *testing.T) {
	d := deploy(t, 1, nil)
	c := d.register(0)
	allowed := map[string]string{"/oauth2/token": "POST", "/oauth/token": "POST", "/oauth2/introspect": "POST", "/oauth2/revoke": "POST",
		"/fdx/v6/register": "POST", strings.TrimPrefix(c.RegistrationURI, d.issuer): "DELETE, GET, PUT", "/oauth2/jwks": "GET, HEAD", "/oauth2/par": "POST",
		"/fdx/v6/consents/x": "GET, HEAD", "/fdx/v6/consents/x/revocation": "GET, HEAD, PUT",
		"/oauth2/authorize": "GET, HEAD, POST", "/login/attempt": "POST", "/login": "GET, HEAD", "/assets/style.css": "GET, HEAD",
		"/logos/" + c.ID: "GET, HEAD"}
	for endpoint, allow := range allowed {
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE", "OPTIONS"} {
			if strings.Contains(allow, method) || strings.HasSuffix(endpoint, "jwks") && method == "OPTIONS" {
				continue
			}
			t.Run("HT-08 "+method+" "+endpoint, func(t *testing.T) {
				header := http.Header{"Content-Type": {formType}, "X-Http-Method-Override": {"POST"}}
				e := raw(t, c.Server, method, d.issuer+endpoint, header, "")
				if e.Status != http.StatusMethodNotAllowed || e.ResponseHeader.Get("Allow") != allow {
					t.Errorf("%d, Allow %q", e.Status, e.ResponseHeader.Get("Allow"))
				}
				if e.ResponseHeader.Get("Access-Control-Allow-Origin") != "" && allow == "POST" {
					t.Error("HT-09: CORS where no web page has any business")
				}
			})
		}
	}
	e := raw(t, c.Server, "PROPFIND", d.issuer+"/oauth2/token", nil, "")
	refusedFor(t, e, "405 invalid_request", oauth.MethodNotAllowed)
}

// HT-10, HT-17: paths are compared exactly, nothing is redirected, and nothing of the management is here.
func TestPaths(t *testing.T) {
	d := deploy(t, 1, nil)
	c := d.register(0)
	wrong := []string{"//oauth2/token", "/oauth2/./token", "/oauth2/../oauth2/token", "/oauth2/token/", "/oauth2%2ftoken", "/OAUTH2/TOKEN",
		"/oauth2/token%00", "/oauth2/token;a=b", "/%6fauth2/tokens", "//evil.example/oauth2/token", "/", "/fdx/v6/register/", "/oauth2", "/fdx/v6/consents", "/fdx/v6/consents/", "/fdx/v6/consents/x/", "/fdx/v6/consents/x/Revocation",
		"/.well-known/oauth-authorization-server/", "/.well-known/oauth-authorization-server/evil", "/errors/no_such_reason", "/errors/"}
	management := []string{"/metrics", "/readyz", "/livez", "/healthz", "/version", "/debug/pprof/", "/debug/pprof/heap"}
	for i, path := range append(wrong, management...) {
		id := "HT-10"
		if i >= len(wrong) {
			id = "HT-17"
		}
		for _, method := range []string{http.MethodPost, http.MethodGet} {
			t.Run(id+" "+method+" "+path, func(t *testing.T) {
				r, err := http.NewRequestWithContext(t.Context(), method, d.issuer, strings.NewReader(formFor(t, c, "")))
				if err != nil {
					t.Fatal(err)
				}
				r.URL.Opaque = "//localhost:8080" + path // goes out as it stands
				r.Header.Set("Content-Type", formType)
				response, err := c.Server.HTTP.Do(r)
				if err != nil {
					t.Fatal(err)
				}
				defer response.Body.Close()
				wanted := response.StatusCode == http.StatusNotFound || strings.HasPrefix(path, "/errors/") && response.StatusCode == http.StatusMethodNotAllowed
				if !wanted || response.Header.Get("Location") != "" || !anyUUID.MatchString(response.Header.Get("X-Fapi-Interaction-Id")) {
					t.Errorf("%d %v", response.StatusCode, response.Header)
				}
			})
		}
	}
}

func TestInteractionID(t *testing.T) {
	d := deploy(t, 1, nil)
	s := d.server(0)
	const id = "550e8400-e29b-41d4-a716-446655440000"
	seen := map[string]bool{}
	for name, test := range map[string]struct {
		values []string
		echo   bool
	}{
		"none": {nil, false}, "a UUID": {[]string{id}, true}, "capitals": {[]string{strings.ToUpper(id)}, true},
		"4 KiB": {[]string{strings.Repeat("a", 4<<10)}, false}, "no UUID": {[]string{"abc"}, false}, "two": {[]string{id, id}, false},
		"more after it": {[]string{id + "x"}, false}, "braces": {[]string{"{" + id + "}"}, false}, "empty": {[]string{""}, false},
	} {
		for _, path := range []string{"/oauth2/token", "/oauth2/jwks", "/nowhere", "/errors/proof_iat", "/fdx/v6/register/x"} {
			t.Run("HT-11 "+name+" "+path, func(t *testing.T) {
				header := http.Header{}
				for _, value := range test.values {
					header.Add("x-fapi-interaction-id", value)
				}
				got := raw(t, s, http.MethodGet, d.issuer+path, header, "").ResponseHeader.Get("x-fapi-interaction-id")
				if test.echo != (len(test.values) > 0 && got == test.values[0]) || !test.echo && seen[got] {
					t.Errorf("answered with %q", got)
				}
				seen[got] = true
			})
		}
	}
}

// HT-11, HT-15: what a client library refuses to send is sent by hand.
func TestRawRequests(t *testing.T) {
	d := deploy(t, 1, nil)
	for name, test := range map[string]struct {
		request string
		want    int
	}{
		"HT-11 a header inside a header": {"GET /oauth2/jwks HTTP/1.1\r\nHost: localhost:8080\r\nx-fapi-interaction-id: a\r\nSet-Cookie: x=1\r\n\r\n", 200},
		"HT-11 a folded header":          {"GET /oauth2/jwks HTTP/1.1\r\nHost: localhost:8080\r\nx-fapi-interaction-id: a\r\n Set-Cookie: x=1\r\n\r\n", 200},
		"HT-15 two lengths":              {"POST /oauth2/token HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef", 400},
		"HT-15 no such encoding":         {"POST /oauth2/token HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501},
		"HT-15 a bare line feed":         {"POST /oauth2/token HTTP/1.1\r\nHost: a\r\nContent-Type: " + formType + "\r\nTransfer-Encoding: chunked\r\n\r\n1;a\nb\r\na\r\n0\r\n\r\n", 400},
		"a path with an escape of NUL":   {"GET /fdx/v6/register/%00 HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer x\r\n\r\n", 401},
		"another such path":              {"GET /fdx/v6/consents/%00 HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer x\r\n\r\n", 401},
		"a path that is not UTF-8":       {"GET /fdx/v6/register/%ff%fe HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer x\r\n\r\n", 401},
	} {
		t.Run(name, func(t *testing.T) {
			connection, err := net.Dial("tcp", d.hosts[0])
			if err != nil {
				t.Fatal(err)
			}
			defer connection.Close()
			if _, err := io.WriteString(connection, test.request); err != nil {
				t.Fatal(err)
			}
			response, err := http.ReadResponse(bufio.NewReader(connection), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			body, _ := io.ReadAll(response.Body)
			if response.StatusCode != test.want || response.Header.Get("Set-Cookie") != "" || inside.Match(body) {
				t.Errorf("%d %v %s", response.StatusCode, response.Header, body)
			}
			if id := response.Header.Get("X-Fapi-Interaction-Id"); strings.HasPrefix(name, "HT-11") && !anyUUID.MatchString(id) {
				t.Errorf("x-fapi-interaction-id %q", id)
			}
		})
	}
}

// HT-22: what a stranger writes is one escaped line of the log at most.
func TestLogIsNotForged(t *testing.T) {
	d := deploy(t, 1, nil)
	c := d.register(0)
	before := strings.Count(d.logs.String(), "\n")
	evil := "a\n{\"level\":\"info\",\"msg\":\"forged\"}\x1b[2J"
	r := c.TokenRequest(url.Values{"client_id": {evil}})
	r.Assertion = c.Assertion(flow.SetClaim("iss", evil), flow.SetClaim("sub", evil))
	r.SetHeader("User-Agent", "x").SetHeader("Referer", "https://evil.example/"+url.QueryEscape(evil))
	outcome(t, do(t, c.Server, r), "401 invalid_client")
	logs := d.logs.String()
	if lines := strings.Count(logs, "\n") - before; lines != 1 || strings.Contains(logs, "\x1b") || strings.Contains(logs, fmt.Sprintf("\n{%q", "level")) {
		t.Errorf("%d lines: %s", lines, logs)
	}
}
