package main

import (
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"testing"

	"authserver/internal/flow"
	"authserver/internal/oauth"
)

// attacksOnDetails are the cases about authorization_details.
func attacksOnDetails() []attack {
	fdx := func(consent string) string { return `[{"type":"fdx_v1.0","consentRequest":{` + consent + `}}]` }
	const resources = `"resources":[{"resourceType":"ACCOUNT","dataClusters":["TRANSACTIONS"]}]`
	return []attack{
		refusedDetails("PR-19", oauth.DetailsMalformed, "{", "x", "{}", "[]", "null", `""`, `{"type":"fdx_v1.0"}`, "[{}",
			`[{"type":"a","type":"b"}]`),
		refusedDetails("PR-20", oauth.DetailsType, `[{"type":"fdx_v9.9"}]`, `[{}]`, `[{"type":""}]`, `[{"type":1}]`, `[{"type":"FDX_V1.0"}]`),
		refusedDetails("PR-21", oauth.DetailsMember, fdx(`"durationType":"FOREVER",`+resources),
			fdx(`"durationType":"ONE_TIME","lookbackPeriod":-1,`+resources),
			fdx(`"durationType":"ONE_TIME","lookbackPeriod":1.5,`+resources),
			fdx(`"durationType":"ONE_TIME","lookbackPeriod":"60",`+resources),
			fdx(`"durationType":"ONE_TIME","lookbackPeriod":1000000000,`+resources),
			fdx(`"durationType":"ONE_TIME","resources":[]`),
			fdx(`"durationType":"ONE_TIME","resources":[{"resourceType":"ACCOUNT","dataClusters":["ROOT"]}]`)),
		{"PR-22", hugeDetails},
		{"PR-40", twoOfAType},
		refusedDetails("PR-43", oauth.DetailsMember, fdx(`"durationType":"TIME_BOUND","durationPeriod":-1,`+resources),
			fdx(`"durationType":"TIME_BOUND","durationPeriod":0,`+resources),
			fdx(`"durationType":"PERSISTENT","durationPeriod":100000,`+resources),
			fdx(`"durationType":"TIME_BOUND","durationPeriod":"30",`+resources)),
	}
}

func refusedDetails(id string, why oauth.Reason, values ...string) attack {
	return attack{id, func(t *testing.T, d *deployment) {
		d.pushesNothing(t, d.recipient(0), "400 invalid_authorization_details", why,
			each("authorization_details", values...)...)
	}}
}

func hugeDetails(t *testing.T, d *deployment) {
	c, before := d.recipient(0), d.pushed(t)
	runtime.GC()
	for value, want := range map[string]string{
		"[" + strings.Repeat(" ", 1<<20) + "]":                "413 invalid_request",
		"[" + strings.Repeat("{},", 10_000) + "{}]":           "413 invalid_request",
		"[" + strings.Repeat(`1,`, 10_000) + "1]":             "400 invalid_authorization_details",
		strings.Repeat("[", 5000):                             "400 invalid_authorization_details",
		strings.Repeat("[", 5000) + strings.Repeat("]", 5000): "400 invalid_authorization_details",
	} {
		params := pushable()
		params.Set("authorization_details", value)
		allocates(t, 16<<20, func() {
			if e := do(t, c.Server, c.PushRequest(params)); e.Outcome() != want {
				t.Errorf("%.20s…, %d bytes: %s, want %s", value, len(value), e.Outcome(), want)
			}
		})
	}
	if n := d.pushed(t); n != before {
		t.Errorf("%d requests were stored", n-before)
	}
}

// attacksOnRedirectURIs are the cases about what is almost a registered redirect URI.
func attacksOnRedirectURIs() []attack {
	return []attack{
		{"PR-07", func(t *testing.T, d *deployment) {
			alone := d.recipient(0, func(m map[string]any) { m["redirect_uris"] = []string{callback} })
			d.pushesNothing(t, alone, "400 invalid_request", oauth.ParameterMissing, bend("redirect_uri"),
				bend("redirect_uri", ""))
		}},
		unregistered("PR-08", callback+"/extra", callback+"/", callback+"x", callback[:len(callback)-1],
			"https://client.example.evil.example/cb",
			"https://client.example", "https://client.example/", "https://evil.example/cb", "https://evil.example/"+callback,
			"https://sub.client.example/cb", "https://client.example./cb", "https://client.example:443/cb",
			"https://client.example:8443/cb",
			"http://client.example/cb", "//client.example/cb", "/cb", "cb", "https:client.example/cb",
			"https:///client.example/cb",
			"javascript:alert(1)//client.example/cb", "data:text/html,client.example/cb", " "+callback, callback+" ",
			callback+"\n", "*"),
		unregistered("PR-09", "https://client.example/cb/../evil", "https://client.example/cb/..;/evil",
			"https://client.example/cb%2f..%2fevil",
			"https://client.example/x/../cb", "https://client.example/./cb", "https://client.example//cb",
			"https://client.example/%63b",
			"https://client.example/cb%00", "https://client.example/cb%2e", `https://client.example\cb`,
			`https://evil.example\@client.example/cb`,
			"https://client.example/cb;x", "https://client%2eexample/cb"),
		unregistered("PR-10", "https://user:pw@client.example/cb", "https://a@b@client.example/cb",
			"https://@client.example/cb",
			"https://client.example@evil.example/cb", "https://client.example:80@evil.example/cb"),
		unregistered("PR-11", "https://client.example/CB", "https://client.example/Cb", "https://CLIENT.example/cb",
			"HTTPS://client.example/cb",
			"https://client.example/\u0441b"),
		unregistered("PR-12", callback+"?x=1", callback+"?", callback+"#", callback+"#f", callback+"?dummy1=lorem",
			callback+"?dummy2=ipsum&dummy1=lorem",
			callback+"?dummy1=lorem&dummy2=ipsum&x=1", callback+"?dummy1=lorem&dummy2=ipsum#",
			callback+"?dummy1=lorem&dummy2=ipsum&",
			callback+"?dummy1=lorem&amp;dummy2=ipsum", callback+"?DUMMY1=lorem&dummy2=ipsum"),
		{"PR-41", nativeRedirects},
	}
}

// unregistered is a case of redirect URIs that are not the registered ones, whatever a reader of URLs makes of them.
func unregistered(id string, uris ...string) attack {
	return attack{id, func(t *testing.T, d *deployment) {
		d.pushesNothing(t, d.recipient(0), "400 invalid_request", oauth.RedirectURIUnknown, each("redirect_uri", uris...)...)
	}}
}

// nativeRedirects: PR-41. A native app listens at any port of its loopback address, and at nothing else (RFC 8252 §7.3).
func nativeRedirects(t *testing.T, d *deployment) {
	const registered = "http://127.0.0.1/cb"
	native := func(m map[string]any) {
		m["application_type"], m["redirect_uris"] = "native", []string{registered, "http://[::1]:8400/six", callback}
	}
	c := d.recipient(0, native)
	b := flow.NewBrowser(c.Server)
	for _, uri := range []string{registered, "http://127.0.0.1:49152/cb", "http://127.0.0.1:1/cb", "http://[::1]:49152/six",
		"http://[::1]:8400/six", callback} {
		a := ask(t, c, bend("redirect_uri", uri))
		code := a.answerIn(b, flow.Approve).Get("code")
		other := a.redemption(code)
		other.Form.Set("redirect_uri", "http://127.0.0.1:49153/cb") // as registered as the first, and yet not the one
		if e := do(t, c.Server, other); e.Outcome() != "400 invalid_grant" {
			t.Errorf("%s: %s", uri, e.Outcome())
		}
		a.redeem(code)
	}
	d.pushesNothing(t, c, "400 invalid_request", oauth.RedirectURIUnknown,
		each("redirect_uri", "http://localhost:49152/cb", "http://localhost/cb",
			"http://127.0.0.1:49152/cb?x", "http://127.0.0.1:49152/", "http://127.0.0.1:49152/cb/", "http://127.0.0.1:49152/CB",
			"http://[::1]:1/cb",
			"http://127.0.0.1:49152/six", "https://127.0.0.1:49152/cb", "http://127.0.0.2:49152/cb", "http://127.1:49152/cb",
			"http://2130706433/cb",
			"http://0x7f.1:49152/cb", "http://127.0.0.1:049152/cb", "http://127.0.0.1:+1/cb", "http://127.0.0.1:/cb",
			"http://127.0.0.1:65536/cb",
			"http://127.0.0.1:49152@evil.example/cb", "http://127.0.0.1:49152.evil.example/cb", "http://a@127.0.0.1:49152/cb",
			"http://[::ffff:127.0.0.1]:1/cb",
			"http://127.0.0.1:49152/cb#", "http://[0:0:0:0:0:0:0:1]:8400/six", "https://client.example:49152/cb")...)
	web := metadata(c.Key, recipient, func(m map[string]any) { m["redirect_uris"] = []string{registered} })
	d.expect(c, c.Server.RegisterRequest(web), noRedirect)
	d.expect(c, c.ManageRequest(http.MethodPut, web), noRedirect)
	elsewhere := metadata(c.Key, recipient, func(m map[string]any) {
		m["application_type"], m["redirect_uris"] = "native", []string{"http://localhost/cb"}
	})
	d.expect(c, c.ManageRequest(http.MethodPut, elsewhere), noRedirect)
}

// authorizeURL is where a browser would be sent with these parameters.
func (d *deployment) authorizeURL(params url.Values) string {
	return d.issuer + "/oauth2/authorize?" + params.Encode()
}
