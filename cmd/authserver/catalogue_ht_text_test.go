package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"authserver/internal/flow"
)

// unstorableText is what PostgreSQL cannot keep as text: a client's mistake, not a fault of ours.
func unstorableText(t *testing.T, d *deployment) {
	c := d.register(0)
	d.spendsNothing(t, c, map[string]string{"a NUL": "&scope=a%00b", "not UTF-8": "&scope=%ff%fe", "a name that is not UTF-8": "&%ff=a", "a NUL in a name": "&%00=a",
		"half a surrogate pair": "&scope=%ed%a0%80", "too long a form of a slash": "&scope=%c0%af", "bare bytes": "&scope=\xff", "a bare NUL": "&scope=\x00",
		"another parameter": "&resource=%00", "an unknown one": "&x=%00"})
	for _, bad := range []string{"%00", "a%00b", "%ff%fe", "%ed%a0%80"} {
		for _, r := range []*flow.Request{c.IntrospectRequest("TOKEN"), c.RevokeRequest("TOKEN"), c.PushRequest(nil)} {
			body := formOf(compact(t, c.Assertion())) + "&token=" + bad
			outcome(t, raw(t, c.Server, http.MethodPost, r.URL, http.Header{"Content-Type": {formMedia}}, body), "400 invalid_request")
		}
		for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodDelete} {
			e := raw(t, c.Server, method, d.issuer+"/fdx/v6/register/"+bad, http.Header{"Authorization": {"Bearer x"}, "Content-Type": {"application/json"}}, "{}")
			outcome(t, e, "401 invalid_token")
		}
	}
	for _, id := range []string{"a\x00b", "\x00", strings.Repeat("a", 10_000)} { // inside a signed claim
		r := asserting(c, flow.SetClaim("iss", id), flow.SetClaim("sub", id))
		r.Form.Del("client_id")
		d.expect(c, r, "401 invalid_client")
	}
	for _, edit := range []flow.Edit{flow.SetClaim("jti", "a\x00b"), flow.SetHeader("kid", "a\x00b")} {
		d.expect(c, asserting(c, edit), "200", "401 invalid_client")
		d.expect(c, proving(c, edit), "200", "400 invalid_dpop_proof")
	}
	for _, change := range []changes{{"software_id": "a\x00b"}, {"contacts": []string{"\x00"}}, {"client_name": "\x00"}, {"scope": "client.read\x00"},
		{"registry_references": []any{map[string]any{"registry": "FDX", "registered_entity_name": "\x00", "registered_entity_id": "a"}}}, {"jwks": nil, "jwks_uri": "https://c.example/\x00"}} {
		d.expect(c, c.Server.RegisterRequest(metadata(c.Key, change.apply)), noMetadata)
	}
	odd := jwk(key(t, "ES256"), map[string]any{"kid": "a\x00b", "x\x00": "\x00"}) // kept as it came, if it is kept
	d.expect(c, c.Server.RegisterRequest(metadata(c.Key, changes{"jwks": map[string]any{"keys": []any{odd, c.Key.PublicJWK()}}}.apply)), "201", noMetadata)
}

// repeatsNothing holds every description to the characters of RFC 6749 §5.2 (as checkAnswer does) and to words of ours. Of
// a JOSE header alone it may name the alg or typ that came, cut to 20 characters of a registered name.
func (d *deployment) repeatsNothing(t *testing.T) {
	const echo = "Echo7\"\\<b>é☃\u202e'"
	c := d.recipient(0)
	requests, names := []*flow.Request{}, []*flow.Request{}
	for _, name := range []string{"response_type", "redirect_uri", "scope", "code_challenge", "code_challenge_method", "prompt", "max_age", "dpop_jkt", "claims",
		"response_mode", "resource", "request_uri", echo} {
		params := pushable()
		params.Set(name, echo)
		requests = append(requests, c.PushRequest(params))
	}
	for _, name := range []string{"grant_type", "scope", "client_id", "resource", "client_assertion_type", "client_secret", echo} {
		requests = append(requests, c.TokenRequest(url.Values{name: {echo}}), c.TokenRequest(url.Values{name: {echo, echo}}))
	}
	for _, name := range []string{"iss", "sub", "aud", "exp", "iat", "jti", "nbf"} {
		requests = append(requests, asserting(c, flow.SetClaim(name, echo)), asserting(c, flow.SetClaim(echo, echo), flow.DropClaim(name)))
	}
	for _, name := range []string{"htm", "htu", "iat", "jti", "nonce"} {
		requests = append(requests, proving(c, flow.SetClaim(name, []string{echo})), proving(c, flow.SetClaim(name, echo)))
	}
	for _, name := range []string{"kid", "crit", "jwk", echo} {
		requests = append(requests, asserting(c, flow.SetHeader(name, echo)), proving(c, flow.SetHeader(name, echo)))
	}
	for _, name := range []string{"typ", "alg"} {
		names = append(names, asserting(c, flow.SetHeader(name, echo+echo)), proving(c, flow.SetHeader(name, echo+echo)))
	}
	for _, name := range slices.Concat(slices.Sorted(maps.Keys(metadata(c.Key))), []string{"redirect_uris", "post_logout_redirect_uris", "jwks_uri", "logo_uri",
		"id_token_signed_response_alg", "software_statement", "registry_references", "client_name#" + echo, "logo_uri#" + echo, "tos_uri#en-" + strings.Repeat("Echo7", 9)}) {
		for _, value := range []any{echo, "https://u@c.example/" + echo, []string{echo}, []any{map[string]any{echo: echo}}, map[string]any{echo: echo}} {
			requests = append(requests, c.Server.RegisterRequest(metadata(c.Key, changes{name: value}.apply)))
		}
	}
	requests = append(requests, d.echoesElsewhere(t, c, echo)...)
	for i, r := range append(requests, names...) {
		e := do(t, c.Server, r) // checkAnswer holds the characters
		if e.Status < 400 {
			continue
		}
		answer := fmt.Sprint(e.ResponseBody, e.ResponseHeader)
		if i >= len(requests) {
			answer = strings.Replace(answer, "Echo7???b?????", "", 1)
		}
		if strings.Contains(strings.ToLower(answer), "echo7") {
			t.Errorf("%s %s repeats what was sent: %s", r.Method, r.URL, answer)
		}
	}
}

// echoesElsewhere are requests that say echo in paths, queries and credentials.
func (d *deployment) echoesElsewhere(t *testing.T, c *flow.Client, echo string) (requests []*flow.Request) {
	access := tokenFor(t, c, nil)
	for _, target := range []string{"/demo/accounts", "/login?interaction=" + url.QueryEscape(echo), "/login/attempt", "/login/callback?state=" + url.QueryEscape(echo),
		"/oauth2/authorize?client_id=x&request_uri=" + url.QueryEscape(echo), "/assets/" + url.PathEscape(echo), "/logos/" + url.PathEscape(echo), "/fdx/v6/register/" + url.PathEscape(echo), "/fdx/v6/consents/" + url.PathEscape(echo), "/errors/" + url.PathEscape(echo), "/" + url.PathEscape(echo), "/oauth2/token?scope=" + url.QueryEscape(echo)} {
		get := func() *flow.Request { return &flow.Request{Method: http.MethodGet, URL: d.issuer + target} }
		requests = append(requests, get(), &flow.Request{Method: http.MethodPost, URL: d.issuer + target, Form: url.Values{echo: {echo}}},
			get().SetHeader("Authorization", "DPoP Echo7"), get().SetHeader("Authorization", "Echo7 "+access).SetHeader("DPoP", "Echo7"))
	}
	return requests
}

// forgedLogs: what a stranger writes is part of one escaped line at most.
func forgedLogs(t *testing.T, d *deployment) {
	const evil = "a\n{\"level\":\"info\",\"msg\":\"forged\"}\r\n\x1b[2J\u2028\u0085"
	c := d.register(0)
	before := len(d.logs.String())
	requests := []*flow.Request{c.TokenRequest(url.Values{"client_id": {evil}}), c.TokenRequest(url.Values{"scope": {evil}}), c.TokenRequest(url.Values{evil: {evil, evil}}),
		asserting(c, flow.SetClaim("iss", evil), flow.SetClaim("sub", evil)), asserting(c, flow.SetHeader("kid", evil)), asserting(c, flow.SetClaim("jti", evil)),
		proving(c, flow.SetClaim("htm", evil)), proving(c, flow.SetClaim("jti", evil)), c.IntrospectRequest(evil), c.RevokeRequest(evil),
		c.Server.RegisterRequest(metadata(c.Key, changes{"client_name": evil}.apply)), c.Server.RegisterRequest(metadata(c.Key, changes{evil: evil}.apply)),
		c.PushRequest(url.Values{"scope": {evil}}), c.PushRequest(url.Values{"redirect_uri": {evil}, evil: {evil}}),
		{Method: http.MethodPost, URL: d.issuer + "/login/attempt", Form: url.Values{"username": {evil}, "interaction": {evil}}},
		{Method: http.MethodGet, URL: d.issuer + "/" + url.PathEscape(evil)}, {Method: http.MethodGet, URL: d.issuer + "/fdx/v6/register/" + url.PathEscape(evil)},
		about(c, toShow, evil, tokenFor(t, c, nil))}
	alone := asserting(c, flow.SetClaim("iss", evil), flow.SetClaim("sub", evil))
	alone.Form.Del("client_id") // so that the id reaches the private cause
	requests = append(requests, alone)
	for _, r := range requests {
		do(t, c.Server, r.SetHeader("User-Agent", "x\\x1b[2J").SetHeader("Referer", "https://evil.example/"+url.QueryEscape(evil)).SetHeader("X-Forwarded-For", "{\"level\":\"info\"}"))
	}
	written, records := d.logs.String()[before:], 0
	for line := range strings.Lines(written) {
		var record map[string]any
		if err := json.Unmarshal([]byte(line), &record); err != nil || record["msg"] != "request" || record["level"] != "INFO" {
			t.Errorf("%v: %s", err, line)
		}
		records++
	}
	if strings.ContainsAny(written, "\x1b\r") || records < len(requests) || records > 2*len(requests) { // twice, where a nonce was asked for
		t.Errorf("%d requests wrote %d records: %q", len(requests), records, written)
	}
}
