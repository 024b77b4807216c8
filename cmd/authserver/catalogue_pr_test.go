package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"authserver/internal/flow"
	"authserver/internal/grant"
	"authserver/internal/oauth"

	"github.com/google/go-cmp/cmp"
)

// attacksOnPushes are the cases about pushed authorization requests (RFC 9126), up to the browser's arrival with them.
func attacksOnPushes() []attack {
	return slices.Concat([]attack{
		{"PR-01", goodPushes},
		{"PR-02", strayParameters},
		{"PR-03", pushesByOtherMethods},
		{"PR-04", func(t *testing.T, d *deployment) {
			c, host := d.recipient(0), newKeyHost(t, serving("a request object"))
			before := ask(t, c).uri
			d.pushesNothing(t, c, "400 invalid_request", oauth.RequestURINested,
				bend("request_uri", host.URL+"/ro"), bend("request_uri", before), bend("request_uri", "urn:example:x"))
			host.unreached(t)
		}},
		{"PR-05", unprovenPushes},
		{"PR-06", func(t *testing.T, d *deployment) {
			c, other := d.recipient(0), d.recipient(1)
			d.pushesNothing(t, c, "401 invalid_client", oauth.AssertionClientID,
				bend("client_id", other.ID), bend("client_id", "unknown"), bend("client_id", c.ID+" "),
				bend("client_id", strings.ToLower(c.ID)+"x"))
		}},
		{"PR-13", responseTypesRefused},
		{"PR-14", func(t *testing.T, d *deployment) {
			d.pushesNothing(t, d.recipient(0), "400 invalid_request", oauth.ParameterMissing,
				bend("code_challenge"), bend("code_challenge", ""),
				bends(bend("code_challenge"), bend("code_challenge_method")))
		}},
		{"PR-15", func(t *testing.T, d *deployment) {
			d.pushesNothing(t, d.recipient(0), "400 invalid_request", oauth.ChallengeRefused,
				bend("code_challenge_method", "plain"), bend("code_challenge_method", "s256"),
				bend("code_challenge_method", "S512"))
		}},
		{"PR-16", func(t *testing.T, d *deployment) {
			d.pushesNothing(t, d.recipient(0), "400 invalid_request", oauth.ChallengeRefused,
				bend("code_challenge_method"), bend("code_challenge_method", ""))
		}},
		{"PR-17", challengesRefused},
		{"PR-18", parametersTwice},
		{"PR-23", scopesOfPeople},
		{"PR-33", func(t *testing.T, d *deployment) {
			signs := func(m map[string]any) { m["require_signed_request_object"] = true }
			clients := d.everywhere(d.recipient(0))
			c, before := clients[0], d.pushed(t)
			d.expect(c, c.ManageRequest(http.MethodPut, metadata(c.Key, recipient, signs)), "200")
			for _, c := range clients {
				refusedFor(t, do(t, c.Server, c.PushRequest(pushable())), "400 invalid_request", oauth.RequestObjectMissing)
			}
			d.expect(c, c.ManageRequest(http.MethodPut, metadata(c.Key, recipient)), "200")
			d.expect(clients[1], clients[1].PushRequest(pushable()), "201")
			if n := d.pushed(t) - before; n != 1 {
				t.Errorf("%d requests were stored", n)
			}
		}},
	}, attacksOnDetails(), attacksOnRedirectURIs(), attacksOnObjects(), attacksOnArrivals())
}

// pushable are the parameters of a good request.
func pushable() url.Values {
	return flow.NewPKCE().Parameters(callback, "fdx:accountbasic:read", "of the client")
}

// bend sets a parameter to the values; without one it is left out.
func bend(name string, values ...string) func(url.Values) {
	return func(p url.Values) {
		if p[name] = values; len(values) == 0 {
			delete(p, name)
		}
	}
}

// bends does all of it.
func bends(edits ...func(url.Values)) func(url.Values) {
	return func(p url.Values) {
		for _, edit := range edits {
			edit(p)
		}
	}
}

// each bends a parameter to one value after another.
func each(name string, values ...string) (all []func(url.Values)) {
	for _, value := range values {
		all = append(all, bend(name, value))
	}
	return all
}

// pushed counts the requests that the database holds.
func (d *deployment) pushed(t *testing.T) int {
	t.Helper()
	return one[int](t, d, `SELECT count(*) FROM pushed_request`)
}

// pushesNothing wants the request refused for each of the edits, at one replica after the other, and that this used nothing
// up and stored nothing: assertion and proof are then good for a request_uri (G10).
func (d *deployment) pushesNothing(t *testing.T, c *flow.Client, want string, reason oauth.Reason,
	edits ...func(url.Values)) {
	t.Helper()
	clients, before := d.everywhere(c), d.pushed(t)
	for i, edit := range edits {
		at, params := clients[i%len(clients)], pushable()
		edit(params)
		refused, good := at.PushRequest(params), at.PushRequest(pushable())
		refused.Assertion, refused.Proof = flow.Literal(compact(t, at.Assertion())), flow.Literal(compact(t, refused.Proof))
		good.Assertion, good.Proof = refused.Assertion, refused.Proof
		if refusedFor(t, once(t, at, refused), want, reason); t.Failed() {
			t.Fatalf("the parameters were %.300q", params)
		}
		outcome(t, once(t, at, good), "201")
	}
	if stored := d.pushed(t) - before; stored != len(edits) {
		t.Errorf("%d refused and %d good pushes stored %d requests", len(edits), len(edits), stored)
	}
}

// goodPushes: PR-01, as a form and as a request object.
func goodPushes(t *testing.T, d *deployment) {
	c := d.recipient(0)
	all := func(p url.Values) {
		for name, value := range map[string]string{
			"nonce": strings.Repeat("n", 512), "prompt": "login consent", "max_age": "300",
			"acr_values": "urn:authserver:acr:password other",
			"login_hint": "alex", "ui_locales": "fr-CA fr en",
			"claims":        `{"id_token":{"acr":null},"sharing_duration":31536000}`,
			"response_mode": "query", "resource": d.issuer, "dpop_jkt": c.DPoPKey.Thumbprint(), "display": "page",
		} {
			p.Set(name, value)
		}
	}
	seen := map[string]bool{}
	consent := bend("authorization_details", lastingDetails("ACCOUNT_BASIC"))
	for i, edit := range []func(url.Values){bend("state"), bend("scope"), all, bend("state"), all, bends(all, consent)} {
		at, params := d.at(c, i%3), pushable()
		edit(params)
		push := at.PushRequest(params)
		if i >= 3 {
			push = at.SignedPushRequest(params)
		}
		e := d.expect(at, push, "201")
		if diff := cmp.Diff(map[string]any{"expires_in": json.Number("90")}, e.JSON(), except("request_uri")); diff != "" {
			t.Error(diff)
		}
		uri, _ := e.JSON()["request_uri"].(string)
		secret, ours := strings.CutPrefix(uri, grant.RequestURI)
		random, err := base64.RawURLEncoding.DecodeString(secret)
		if !ours || err != nil || len(random) < 16 || seen[string(random[:4])] {
			t.Errorf("request_uri %q: %v", uri, err)
		}
		seen[string(random[:4])] = true
		if p := visit(t, flow.NewBrowser(d.server((i+1)%3)), c.AuthorizeURL(uri)); p.Form("password") == nil {
			t.Errorf("no login page: %s", p)
		}
		if strings.Contains(fmt.Sprint(d.places()), secret) {
			t.Error("the server has kept the request_uri as it is")
		}
	}
}

// strayParameters: PR-02. What only the token endpoint knows, and what nobody knows, means nothing here.
func strayParameters(t *testing.T, d *deployment) {
	c := d.recipient(0)
	for i, edit := range []func(url.Values){
		bend("grant_type", "client_credentials"), bend("grant_type", "password"), bend("code", "x"),
		bend("expires_in", "99999"),
		bends(bend("sub", "_another"), bend("username", demoUsername), bend("accounts", "all")),
		bend("unknown", strings.Repeat("x", 20<<10)),
		bends(bend("registration", "{}"), bend("request", ""), bend("request_uri", ""), bend("authorization_details", "")),
	} {
		at, params := d.at(c, i%3), pushable()
		edit(params)
		if e := d.expect(at, at.PushRequest(params), "201"); fmt.Sprint(e.JSON()["expires_in"]) != "90" {
			t.Errorf("%s", e.ResponseBody)
		}
	}
}

func pushesByOtherMethods(t *testing.T, d *deployment) {
	c, before := d.recipient(0), d.pushed(t)
	endpoint := c.Server.Metadata.PushedAuthorizationRequestEndpoint
	assertion := compact(t, c.Assertion())
	body := pushable()
	body.Set("client_assertion", assertion)
	body.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
	for _, method := range []string{"GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"} {
		text := body.Encode()
		if method == "TRACE" || method == "HEAD" {
			text = ""
		}
		e := raw(t, c.Server, method, endpoint, http.Header{"Content-Type": {formMedia}, "X-Http-Method-Override": {"POST"}},
			text)
		if e.Status != http.StatusMethodNotAllowed || e.ResponseHeader.Get("Allow") != "POST" {
			t.Errorf("%s: %d, Allow %q", method, e.Status, e.ResponseHeader.Get("Allow"))
		}
	}
	e := raw(t, c.Server, http.MethodPost, endpoint+"?"+body.Encode(), http.Header{"Content-Type": {formMedia}}, "")
	refusedFor(t, e, "400 invalid_request", oauth.ParameterInQuery)
	e = raw(t, c.Server, http.MethodPost, endpoint, http.Header{"Content-Type": {"application/json"}}, `{"response_type":"code"}`)
	refusedFor(t, e, "415 invalid_request", oauth.ContentTypeRefused)
	if n := d.pushed(t); n != before {
		t.Errorf("%d requests were stored", n-before)
	}
	good := c.PushRequest(pushable())
	good.Assertion = flow.Literal(assertion) // G10
	d.expect(c, good, "201")
}

// unprovenPushes: PR-05, and a sample of what section CA has for the token endpoint. No table has a row more afterwards.
func unprovenPushes(t *testing.T, d *deployment) {
	c := d.recipient(0)
	forger := *c
	forger.Key = key(t, "ES256")
	forger.Key.ID = c.Key.ID
	used := d.expect(c, c.PushRequest(pushable()), "201").Form().Get("client_assertion")
	before := d.rows(t)
	endpoint := c.Server.Metadata.PushedAuthorizationRequestEndpoint
	for name, edit := range map[string]func(r *flow.Request){
		"nothing":          func(r *flow.Request) { r.Assertion = nil },
		"not even an id":   func(r *flow.Request) { r.Assertion = nil; r.Form.Del("client_id") },
		"a secret":         func(r *flow.Request) { r.Assertion = nil; r.Form.Set("client_secret", "secret") },
		"Basic":            func(r *flow.Request) { r.Assertion = nil; r.SetHeader("Authorization", "Basic YTpi") },
		"another's key":    with(forger.Assertion()),
		"no such client":   with((&flow.Client{Server: c.Server, ID: "unknown", Key: c.Key}).Assertion()),
		"no signature":     with(altered(c.Assertion(), unsigned)),
		"for the endpoint": with(c.Assertion(flow.SetClaim("aud", endpoint))),
		"for two":          with(c.Assertion(flow.SetClaim("aud", []string{d.issuer, "https://other.example"}))),
		"old":              with(c.Assertion(flow.SetClaim("exp", d.clock.now().Unix()-61))),
	} {
		for i := range d.replicas {
			at := d.at(c, i)
			r := at.PushRequest(pushable())
			edit(r)
			if e := do(t, at.Server, r); e.Outcome() != "401 invalid_client" {
				t.Errorf("%s: %s %s", name, e.Outcome(), e.ErrorDescription())
			}
		}
	}
	if diff := cmp.Diff(before, d.rows(t)); diff != "" {
		t.Errorf("rows of the tables: %s", diff)
	}
	again := c.PushRequest(pushable())
	again.Assertion = flow.Literal(used)
	refusedFor(t, do(t, c.Server, again), "401 invalid_client", oauth.AssertionReplayed)
	if n := d.pushed(t); n != before["pushed_request"] {
		t.Errorf("a replay stored %d requests", n-before["pushed_request"])
	}
}

// unsigned is a JWS without its signature.
func unsigned(s string) string { return s[:strings.LastIndexByte(s, '.')+1] }

func responseTypesRefused(t *testing.T, d *deployment) {
	c := d.recipient(0)
	d.pushesNothing(t, c, "400 unsupported_response_type", oauth.ResponseTypeUnsupported,
		each("response_type", "token", "id_token", "code id_token", "code token", "none", "CODE", "code code", " code")...)
	d.pushesNothing(t, c, "400 invalid_request", oauth.ParameterMissing, bend("response_type"), bend("response_type", ""))
	d.pushesNothing(t, c, "400 invalid_request", oauth.ResponseModeUnsupported,
		each("response_mode", "fragment", "form_post", "web_message", "QUERY")...)
	own := d.register(0)
	e := d.expect(own, own.PushRequest(pushable()), "400 unauthorized_client") // it may not ask people at all
	refusedFor(t, e, "400 unauthorized_client", oauth.GrantTypeNotRegistered)
}

// challengesRefused: PR-17. Of the spellings of one digest there is one that is taken.
func challengesRefused(t *testing.T, d *deployment) {
	good := flow.NewPKCE().Challenge
	d.pushesNothing(t, d.recipient(0), "400 invalid_request", oauth.ChallengeRefused, each("code_challenge",
		good[:42], good+"A", good+"=", good[:42]+"=", "+"+good[1:], "/"+good[1:], " "+good[1:], good[:42]+" ",
		good[:42]+"\n", good[:41]+"é",
		lastBit(good), strings.Repeat("A", 128), "A", good[:42]+".", good[:42]+"~")...)
}

// parametersTwice: PR-18, the same value, another, and none.
func parametersTwice(t *testing.T, d *deployment) {
	c := d.recipient(0)
	var edits []func(url.Values)
	for _, name := range []string{"scope", "redirect_uri", "response_type", "state", "code_challenge",
		"code_challenge_method", "nonce",
		"client_id", "prompt", "max_age", "acr_values", "dpop_jkt", "claims", "request", "request_uri",
		"authorization_details", "unknown"} {
		value := or(pushable().Get(name), "x")
		if name == "client_id" {
			value = c.ID
		}
		edits = append(edits, bend(name, value, value), bend(name, value, "other"), bend(name, "", value))
	}
	d.pushesNothing(t, c, "400 invalid_request", oauth.ParameterRepeated, edits...)
}

// scopesOfPeople: PR-23. What a client has in its own name no person can give it.
func scopesOfPeople(t *testing.T, d *deployment) {
	c := d.recipient(0)
	d.pushesNothing(t, c, "400 invalid_scope", oauth.ScopeNotRegistered,
		each("scope", "fdx:tax:read", "fdx:accountbasic:read fdx:tax:read",
			"nothing:known", "FDX:ACCOUNTBASIC:READ", "client.create", "fdx:accountbasic:read client.create",
			"openid",
			"openid fdx:accountbasic:read", "offline_access")...)
	d.pushesNothing(t, c, "400 invalid_scope", oauth.ScopeMalformed,
		each("scope", "fdx:accountbasic:read  fdx:transactions:read",
			"fdx:accountbasic:read\t", `"fdx:accountbasic:read"`, strings.Repeat("fdx:accountbasic:read ", 200)+"x")...)
	named := d.recipient(0, func(m map[string]any) { m["scope"] = "openid client.read" })
	e := d.expect(named, named.PushRequest(pushable()), "400 invalid_scope")
	refusedFor(t, e, "400 invalid_scope", oauth.ScopeNotRegistered)
	for scope, want := range map[string]string{
		"": "201", "openid": "201", "client.read openid": "201", "client.read": "400 invalid_scope",
	} {
		params := pushable()
		params.Set("scope", scope)
		if e := d.expect(named, named.PushRequest(params), want); e.Status != http.StatusCreated {
			refusedFor(t, e, want, oauth.ScopeEmpty)
		}
	}
}
