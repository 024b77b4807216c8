package main

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"testing"

	"authserver/internal/flow"
	"authserver/internal/oauth"
)

// assertionForms are good assertions in requests that say something else besides.
func assertionForms() []attack {
	form := func(edit func(f url.Values)) func(*flow.Request) {
		return func(r *flow.Request) { edit(r.Form) }
	}
	set := func(name string, values ...string) func(*flow.Request) {
		return form(func(f url.Values) { f[name] = values })
	}
	drop := func(names ...string) func(*flow.Request) {
		return form(func(f url.Values) {
			for _, name := range names {
				f.Del(name)
			}
		})
	}
	basic := func(userinfo string) func(*flow.Request) {
		return func(r *flow.Request) {
			r.SetHeader("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(userinfo)))
		}
	}
	return []attack{
		{"CA-13", func(_ *testing.T, d *deployment) {
			c1, c2 := d.register(0), d.register(0)
			d.refusesForms(c1, "401 invalid_client", oauth.AssertionClientID, set("client_id", c2.ID), set("client_id", "nobody"))
		}},
		{"CA-58", twoAssertions},
		{"CA-59", func(_ *testing.T, d *deployment) {
			d.refusesForms(d.register(0), "401 invalid_client", oauth.AssertionType, drop("client_assertion_type"), set("client_assertion_type", ""),
				set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:saml2-bearer"),
				set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:JWT-bearer"),
				set("client_assertion_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"))
		}},
		{"CA-60", func(_ *testing.T, d *deployment) {
			c := d.register(0)
			d.refusesForms(c, "400 invalid_request", oauth.ClientAuthAmbiguous, basic(c.ID+":x"), basic(c.ID+":"), set("client_secret", "x"),
				func(r *flow.Request) { r.SetHeader("Authorization", "Bearer x") })
		}},
		{"CA-63", func(_ *testing.T, d *deployment) {
			d.refusesForms(d.register(0), "401 invalid_client", oauth.ClientAuthMissing, drop("client_assertion", "client_assertion_type"),
				drop("client_assertion"), set("client_assertion", ""))
		}},
	}
}

// spelledOut puts an assertion into a request's form, where it can be bent.
func spelledOut(r *flow.Request, signed string) {
	r.Assertion = nil
	r.Form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
	r.Form.Set("client_assertion", signed)
}

// refusesForms wants each bent form to be refused everywhere, and its assertion to work in a good one right afterwards.
func (d *deployment) refusesForms(c *flow.Client, want string, why oauth.Reason, bends ...func(*flow.Request)) {
	d.t.Helper()
	for _, bend := range bends {
		good := compact(d.t, c.Assertion())
		for _, in := range d.entrances(c) {
			spelledOut(in.request, good)
			bend(in.request)
			refusedFor(d.t, do(d.t, in.server, in.request), want, why)
		}
		d.checkHolder(d.expect(c, bearing(c, good), "200"), c)
	}
}

func twoAssertions(t *testing.T, d *deployment) {
	c := d.register(0)
	twice := func(first, second func(good string) string) func(*flow.Request) {
		return func(r *flow.Request) {
			good := r.Form.Get("client_assertion")
			r.Form["client_assertion"] = []string{first(good), second(good)}
		}
	}
	same := func(good string) string { return good }
	invalid := func(string) string { return "invalid" }
	empty := func(string) string { return "" }
	d.refusesForms(c, "400 invalid_request", oauth.ParameterRepeated, twice(same, invalid), twice(invalid, same), twice(same, same), twice(empty, same),
		twice(same, empty))

	good := compact(t, c.Assertion())
	text, err := json.Marshal(map[string]string{"grant_type": "client_credentials", "client_assertion": good,
		"client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"})
	if err != nil {
		t.Fatal(err)
	}
	header := http.Header{"Content-Type": {"application/json"}, "Dpop": {compact(t, c.Proof(http.MethodPost, c.Server.Metadata.TokenEndpoint))}}
	body := `{"client_assertion":"invalid",` + string(text[1:])
	refusedFor(t, raw(t, c.Server, http.MethodPost, c.Server.Metadata.TokenEndpoint, header, body), "400 invalid_request", oauth.ParameterRepeated)
	d.expect(c, bearing(c, good), "200")
}
