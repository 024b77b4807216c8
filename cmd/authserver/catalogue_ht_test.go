package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"mime/multipart"
	"net/http"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"testing"

	"authserver/internal/flow"
	"authserver/internal/oauth"
)

// attacksOnHTTP are the cases about the HTTP layer. Those that wait for a time-out of the server come last, in parallel.
func attacksOnHTTP() []attack {
	return slices.Concat([]attack{
		{"HT-01", jsonBodies},
		{"HT-02", otherMediaTypes},
		{"HT-03", parametersInQueries},
		{"HT-05", manyParameters},
		{"HT-08", otherMethods},
		{"HT-12", repeatedHeaders},
		{"HT-13", compressedBodies},
		{"HT-16", unstorableText},
		{"HT-18", func(t *testing.T, d *deployment) { d.repeatsNothing(t) }},
		{"HT-19", func(t *testing.T, d *deployment) {
			c := d.register(0)
			d.spendsNothing(t, c, map[string]string{"a semicolon": "&a=1;b=2", "no escape": "&a=%zz", "half an escape": "&a=%2", "an end": "&a=%",
				"a semicolon for all": ";scope=client.read"})
			for i, scope := range []string{"client.read+fdx:accountbasic:read", "client.read%20fdx:accountbasic:read", "client.read%20fdx%3aaccountbasic%3Aread"} {
				e := tokenForm(t, d.at(c, i), formMedia, goodForm(t, c, "&scope="+scope))
				if outcome(t, e, "200"); e.JSON()["scope"] != "client.read fdx:accountbasic:read" {
					t.Errorf("%s: %s", scope, e.ResponseBody)
				}
			}
			outcome(t, tokenForm(t, c, formMedia, goodForm(t, c, "&scope=client.read%2bfdx:accountbasic:read")), "400 invalid_scope")
		}},
		{"HT-21", func(t *testing.T, d *deployment) {
			c := d.register(0)
			for i, media := range []string{formMedia + "; charset=UTF-8", formMedia + ";charset=utf-8", strings.ToUpper(formMedia) + "; CHARSET=\"utf-8\"", formMedia + " ; charset=UTF-8"} {
				outcome(t, tokenForm(t, d.at(c, i%3), media, goodForm(t, c, "")), "200")
			}
		}},
		{"HT-22", forgedLogs},
	}, attacksOnPaths(), attacksOnConnections())
}

const formMedia = "application/x-www-form-urlencoded"

// goodForm is the body of a good token request, as text to be bent.
func goodForm(t testing.TB, c *flow.Client, more string) string {
	return formOf(compact(t, c.Assertion())) + more
}

func formOf(assertion string) string {
	return "grant_type=client_credentials&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&client_assertion=" + assertion
}

// tokenForm sends a body to the token endpoint, with a good proof beside it. More are names and values of headers.
func tokenForm(t testing.TB, c *flow.Client, media, body string, more ...string) *flow.Exchange {
	t.Helper()
	for nonce := range 2 { // the first answer may be a nonce, which costs nothing
		header := http.Header{"Dpop": {compact(t, c.Proof(http.MethodPost, c.Server.Metadata.TokenEndpoint))}}
		if media != "" {
			header.Set("Content-Type", media)
		}
		for i := 0; i+1 < len(more); i += 2 {
			header.Add(more[i], more[i+1])
		}
		e := raw(t, c.Server, http.MethodPost, c.Server.Metadata.TokenEndpoint, header, body)
		if nonce == 1 || e.ErrorCode() != "use_dpop_nonce" {
			return e
		}
		_ = do(t, c.Server, c.TokenRequest(nil)) // the client learns the nonce
	}
	return nil
}

// spendsNothing wants a form refused for each of the ends put to it, and that this used nothing up (G10).
func (d *deployment) spendsNothing(t *testing.T, c *flow.Client, ends map[string]string) {
	t.Helper()
	assertion := compact(t, c.Assertion())
	for name, end := range ends {
		if e := tokenForm(t, c, formMedia, formOf(assertion)+end); e.Outcome() != "400 invalid_request" {
			t.Errorf("%s: %s %s", name, e.Outcome(), e.ErrorDescription())
		}
	}
	outcome(t, tokenForm(t, c, formMedia, formOf(assertion)), "200")
}

// allocates bounds what a hostile request makes the process allocate, in bytes, both ends together (G5).
func allocates(t testing.TB, most uint64, play func()) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	play()
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > most {
		t.Errorf("%d bytes were allocated, at most %d are allowed", n, most)
	}
}

// jsonBodies: the token endpoint reads a flat object of strings (seed 001), and nothing between that and a form.
func jsonBodies(t *testing.T, d *deployment) {
	c := d.register(0)
	const media = "application/json"
	assertion := compact(t, c.Assertion())
	object := func(assertion string) string {
		return `{"grant_type":"client_credentials","client_assertion_type":"urn:ietf:params:oauth:client-assertion-type:jwt-bearer","client_assertion":"` + assertion + `"}`
	}
	end := func(more string) string { return strings.TrimSuffix(object(assertion), "}") + "," + more + "}" }
	for name, body := range map[string]string{
		"a member twice": end(`"scope":"client.read","scope":"client.create"`), "grant_type twice": end(`"grant_type":"client_credentials"`),
		"twice, escaped": end(`"grant_t\u0079pe":"client_credentials"`), "nested": end(`"scope":{"a":"b"}`), "a list": end(`"scope":["client.read"]`),
		"a number": end(`"scope":1`), "true": end(`"scope":true`), "null": end(`"scope":null`), "an array": "[" + object(assertion) + "]",
		"two objects": object(assertion) + object(assertion), "rubbish after it": object(assertion) + "x", "half": object(assertion)[:40], "nothing": "",
		"a form": formOf(assertion), "a NUL": end(`"scope":"a\u0000b"`), "not UTF-8": end("\"scope\":\"\xff\""), "a NUL in a name": end(`"a\u0000b":"a"`),
		"many members": end(strings.TrimSuffix(strings.Repeat(`"a":"",`, 5000), ",")), "deep": end(`"a":` + strings.Repeat("[", 10_000)),
		"a list of many": "[" + strings.Repeat("{},", 5000) + "{}]",
	} {
		if e := tokenForm(t, c, media, body); e.Outcome() != "400 invalid_request" {
			t.Errorf("%s: %s %s", name, e.Outcome(), e.ErrorDescription())
		}
	}
	outcome(t, tokenForm(t, c, formMedia, object(assertion)), "401 invalid_client") // not half of both
	outcome(t, tokenForm(t, c, media, object(assertion)), "200")
	for i, media := range []string{"application/json; charset=utf-8", "APPLICATION/JSON"} {
		outcome(t, tokenForm(t, d.at(c, i+1), media, object(compact(t, c.Assertion()))), "200")
	}
	access := tokenFor(t, c, nil)
	r := c.RevokeRequest(access)
	for name, endpoint := range map[string]string{"introspection": c.Server.Metadata.IntrospectionEndpoint, "revocation": r.URL} {
		body := strings.TrimSuffix(object(compact(t, c.Assertion())), "}") + `,"token":"` + access + `"}`
		e := raw(t, c.Server, http.MethodPost, endpoint, http.Header{"Content-Type": {media}}, body)
		if e.Outcome() != "415 invalid_request" && e.Outcome() != "400 invalid_request" {
			t.Errorf("%s: %s", name, e.Outcome())
		}
	}
	d.wantActive(c, access, true)
}

// formEndpoints are where clients send forms.
func formEndpoints(c *flow.Client) []string {
	m := c.Server.Metadata
	return []string{m.TokenEndpoint, m.IntrospectionEndpoint, m.RevocationEndpoint, m.PushedAuthorizationRequestEndpoint}
}

func otherMediaTypes(t *testing.T, d *deployment) {
	c := d.register(0)
	assertion := compact(t, c.Assertion())
	values, err := url.ParseQuery(formOf(assertion) + "&token=x")
	if err != nil {
		t.Fatal(err)
	}
	var multi bytes.Buffer
	writer := multipart.NewWriter(&multi)
	for name := range values {
		_ = writer.WriteField(name, values.Get(name))
	}
	_ = writer.Close()
	for media, body := range map[string]string{writer.FormDataContentType(): multi.String(), "text/plain": formOf(assertion), "": formOf(assertion),
		"application/x-www-form-urlencoded; charset": formOf(assertion), "multipart/form-data": formOf(assertion), "application/octet-stream": formOf(assertion),
		"application/x-www-form-urlencoded, text/plain": formOf(assertion), "application/xml": "<a/>", "application/x-www-form-urlencodedx": formOf(assertion)} {
		for _, endpoint := range append(formEndpoints(c), c.Server.Metadata.RegistrationEndpoint) {
			header := http.Header{"Content-Type": {media}}
			if media == "" {
				header = nil
			}
			e := raw(t, c.Server, http.MethodPost, endpoint, header, body)
			if refusedFor(t, e, "415 invalid_request", oauth.ContentTypeRefused); t.Failed() {
				t.Fatalf("%q", media)
			}
		}
	}
	outcome(t, tokenForm(t, c, formMedia, formOf(assertion), "Content-Type", "text/plain"), "400 invalid_request") // two of them
	outcome(t, tokenForm(t, c, formMedia, formOf(assertion)), "200")                                               // G10
}

func parametersInQueries(t *testing.T, d *deployment) {
	c := d.register(0)
	assertion := compact(t, c.Assertion())
	header := func() http.Header {
		return http.Header{"Content-Type": {formMedia}, "Dpop": {compact(t, c.Proof(http.MethodPost, c.Server.Metadata.TokenEndpoint))}}
	}
	for _, query := range []string{"client_assertion=" + assertion, "grant_type=client_credentials", "scope=client.read", "client_id=" + c.ID, "client_secret=x",
		"%63lient_assertion=" + assertion, "a=b&grant_type=", formOf(assertion), "a=%zz&scope=client.read", "scope=a;b=c&grant_type=x"} {
		for _, body := range []string{formOf(assertion), ""} {
			e := raw(t, c.Server, http.MethodPost, c.Server.Metadata.TokenEndpoint+"?"+query, header(), body)
			refusedFor(t, e, "400 invalid_request", oauth.ParameterInQuery)
		}
	}
	// A parameter that is no credential is not merged with the body either.
	_ = tokenFor(t, c, nil) // the client learns the nonce
	r := raw(t, c.Server, http.MethodPost, c.Server.Metadata.TokenEndpoint+"?resource="+url.QueryEscape("https://evil.example"), header(), formOf(assertion))
	outcome(t, r, "200", "400 invalid_request")
	if r.Status == http.StatusOK && issuedAudience(r) != d.issuer {
		t.Errorf("the query chose the audience %v", issuedAudience(r))
	}
	if strings.Contains(d.logs.String(), assertion) {
		t.Error("the log holds an assertion of a query")
	}
}

func issuedAudience(e *flow.Exchange) any {
	token, _ := e.JSON()["access_token"].(string)
	decoded, _ := flow.Decode(token)
	return decoded.Claims["aud"]
}

func manyParameters(t *testing.T, d *deployment) {
	c := d.register(0)
	for name, test := range map[string]struct{ body, want string }{
		"under the limit":        {strings.Repeat("a=&", 21_000), "400 invalid_request"},
		"names of their own":     {strings.Repeat("a&", 32_000), "400 invalid_request"},
		"separators":             {strings.Repeat("&", 65_000), "400 invalid_request"},
		"over the limit":         {strings.Repeat("a=&", 1_000_000), "413 invalid_request"},
		"separators, over":       {strings.Repeat("&", 1_000_000), "413 invalid_request"},
		"one hundred and one":    {goodForm(t, c, strings.Repeat("&a", 98)), "400 invalid_request"},
		"a resource, many times": {goodForm(t, c, strings.Repeat("&resource=https://a.example", 500)), "400 invalid_request"},
	} {
		for _, endpoint := range formEndpoints(c) {
			allocates(t, 16<<20, func() {
				e := raw(t, c.Server, http.MethodPost, endpoint, http.Header{"Content-Type": {formMedia}}, test.body)
				if e.Outcome() != test.want {
					t.Errorf("%s: %s, want %s", name, e.Outcome(), test.want)
				}
			})
		}
	}
	form := goodForm(t, c, "")
	for i := range 97 { // the hundredth parameter is the last
		form += fmt.Sprintf("&unknown%d=a", i)
	}
	outcome(t, tokenForm(t, c, formMedia, form), "200")
}

func otherMethods(t *testing.T, d *deployment) {
	c := d.register(0)
	assertion := compact(t, c.Assertion())
	for _, endpoint := range []string{"/oauth2/token", "/oauth/token", "/oauth2/introspect", "/oauth2/revoke", "/oauth2/par", "/fdx/v6/register",
		"/login/attempt", "/accounts/choice", "/consent/decision", "/sign-out"} {
		for _, method := range []string{"GET", "HEAD", "PUT", "PATCH", "DELETE", "TRACE", "OPTIONS", "PROPFIND", "post", "Get"} {
			header := http.Header{"Content-Type": {formMedia}, "X-Http-Method-Override": {"POST"}, "X-Http-Method": {"POST"}, "X-Method-Override": {"POST"},
				"Dpop": {compact(t, c.Proof(http.MethodPost, d.issuer+endpoint))}}
			body := formOf(assertion)
			if method == "TRACE" || method == "HEAD" {
				body = ""
			}
			e := raw(t, c.Server, method, d.issuer+endpoint+"?_method=POST", header, body)
			known := !slices.Contains([]string{"PROPFIND", "post", "Get"}, method)
			if allow := e.ResponseHeader.Get("Allow"); e.Status != http.StatusMethodNotAllowed || known && allow != "POST" {
				t.Errorf("%s %s: %d, Allow %q", method, endpoint, e.Status, allow)
			}
			if strings.Contains(e.ResponseBody, assertion) {
				t.Errorf("%s %s is answered with the request", method, endpoint)
			}
		}
	}
	for _, method := range []string{"POST", "PATCH", "OPTIONS", "TRACE"} {
		e := raw(t, c.Server, method, c.RegistrationURI, http.Header{"X-Http-Method-Override": {"DELETE"}, "Authorization": {"Bearer " + c.RegistrationToken}}, "")
		if e.Status != http.StatusMethodNotAllowed || e.ResponseHeader.Get("Allow") != "DELETE, GET, PUT" {
			t.Errorf("%s: %d, Allow %q", method, e.Status, e.ResponseHeader.Get("Allow"))
		}
	}
	e := raw(t, c.Server, http.MethodGet, c.RegistrationURI, http.Header{"X-Http-Method-Override": {"DELETE"}, "Authorization": {"Bearer " + c.RegistrationToken}}, "")
	outcome(t, e, "200")
	outcome(t, tokenForm(t, c, formMedia, formOf(assertion)), "200") // G10: nothing of the above acted
}

func repeatedHeaders(t *testing.T, d *deployment) {
	c := d.register(0)
	assertion, access := compact(t, c.Assertion()), tokenFor(t, c, nil)
	for _, both := range [][]string{{"Bearer " + c.RegistrationToken, "Bearer " + c.RegistrationToken}, {"Bearer x", "Bearer " + c.RegistrationToken},
		{"DPoP " + access, "Bearer " + c.RegistrationToken}, {"", "Bearer " + c.RegistrationToken}} {
		for target, method := range map[string]string{c.Server.Metadata.TokenEndpoint: http.MethodPost, c.Server.Metadata.IntrospectionEndpoint: http.MethodPost,
			c.Server.Metadata.RevocationEndpoint: http.MethodPost, c.Server.Metadata.RegistrationEndpoint: http.MethodPost, c.RegistrationURI: http.MethodGet,
			c.Server.Metadata.PushedAuthorizationRequestEndpoint: http.MethodPost, d.issuer + "/demo/accounts": http.MethodGet} {
			e := raw(t, c.Server, method, target, http.Header{"Authorization": both, "Content-Type": {formMedia}}, formOf(assertion))
			refusedFor(t, e, "400 invalid_request", oauth.HeaderRepeated)
		}
	}
	outcome(t, tokenForm(t, c, formMedia, formOf(assertion), "DPoP", compact(t, c.Proof(http.MethodPost, c.Server.Metadata.TokenEndpoint))), "400 invalid_dpop_proof")
	outcome(t, tokenForm(t, c, formMedia, formOf(assertion)), "200") // G10
}

func compressedBodies(t *testing.T, d *deployment) {
	c := d.register(0)
	assertion := compact(t, c.Assertion())
	var small, bomb bytes.Buffer
	for buffer, text := range map[*bytes.Buffer]string{&small: formOf(assertion), &bomb: "a=" + strings.Repeat("a", 40<<20)} {
		writer := gzip.NewWriter(buffer)
		_, _ = writer.Write([]byte(text))
		_ = writer.Close()
	}
	runtime.GC()
	for _, encoding := range []string{"gzip", "GZIP", "deflate", "br", "identity, gzip", "x-gzip", "unknown"} {
		for _, body := range []string{small.String(), bomb.String(), formOf(assertion)} {
			allocates(t, 16<<20, func() {
				for _, endpoint := range formEndpoints(c) {
					e := raw(t, c.Server, http.MethodPost, endpoint, http.Header{"Content-Type": {formMedia}, "Content-Encoding": {encoding}}, body)
					refusedFor(t, e, "415 invalid_request", oauth.ContentTypeRefused)
				}
				e := raw(t, c.Server, http.MethodPost, c.Server.Metadata.RegistrationEndpoint, http.Header{"Content-Type": {"application/json"}, "Content-Encoding": {encoding}}, body)
				refusedFor(t, e, "415 invalid_request", oauth.ContentTypeRefused)
			})
		}
	}
	outcome(t, tokenForm(t, c, formMedia, small.String()), "400 invalid_request", "401 invalid_client") // not inflated because it looks like it
	outcome(t, tokenForm(t, c, formMedia, formOf(assertion), "Content-Encoding", "identity"), "200")
}
