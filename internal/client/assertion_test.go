package client

import (
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"

	"authserver/internal/oauth"
	"authserver/internal/replay"
)

func TestAssertionAccepted(t *testing.T) {
	ec, rsa, ed, second := ecSigner("ec"), rsaSigner("rsa"), edSigner("ed"), ecSigner("ec2")
	now := t0.Unix()
	nested := object{"a": object{"b": []int{1}}}
	for i := range 39 {
		nested["claim"+strings.Repeat("x", i)] = i
	}
	private := func(_, claims object) {
		for name, value := range nested {
			claims[name] = value
		}
	}
	tests := []struct {
		name     string
		by       signer
		clientID string // form parameter
		edits    []edit
	}{
		{"CA-01 ES256", ec, "c1", nil},
		{"CA-02 PS256", rsa, "c1", nil},
		{"CA-65 EdDSA", ed, "c1", nil},
		{"CA-65 EdDSA by its other name", ed, "c1", []edit{set("alg", "Ed25519")}},
		{"CA-03 no client_id", ec, "", nil},
		{"CA-04 iat and nbf 8 s ahead", ec, "", []edit{with("iat", now+8), with("nbf", now+8)}},
		{"GEN-17 iat and nbf 30 s ahead", ec, "", []edit{with("iat", now+30), with("nbf", now+30)}},
		{"CA-05 nbf 120 s before iat, typ JWT", ec, "", []edit{set("typ", "JWT"), with("nbf", now-120), with("exp", now+120)}},
		{"CA-07 typ of rfc7523bis", ec, "", []edit{set("typ", "client-authentication+jwt")}},
		{"typ in another case", ec, "", []edit{set("typ", "application/Client-Authentication+JWT")}},
		{"CA-64 exp in 14 min 59 s", rsa, "", []edit{with("exp", now+899)}},
		{"CA-06 exp in an hour", ec, "", []edit{with("exp", now+3600)}},
		{"exp 9 s ago", ec, "", []edit{with("exp", now-9)}},
		{"no iat", ec, "", []edit{with("iat", nil)}},
		{"CA-67 fractions of a second", ec, "", []edit{with("iat", json.RawMessage("1759999999.5")), with("exp", json.RawMessage("1.76000006e9"))}},
		{"CA-66 40 private claims", ec, "", []edit{private}},
		{"CA-35 no kid", rsa, "", []edit{set("kid", nil)}},
		{"CA-36 no kid, the second of two keys", second, "", []edit{set("kid", nil)}},
		{"jti of 1 KiB", ec, "", []edit{with("jti", strings.Repeat("j", 1024))}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := newBench(t, Vetting{}, inline("c1", ec, rsa, ed, second))
			form := bodyOf(assertionBy(test.by, "c1", t0, test.edits...))
			if test.clientID != "" {
				form += "&" + body("client_id", test.clientID)
			}
			caller, err := b.request(form)
			if err != nil || caller.Client.ID != "c1" || caller.Client.Version != 1 || caller.Uses[0].Kind != replay.Assertion {
				t.Errorf("%v %v", caller, err)
			}
			if len(b.registry.spends) > 0 {
				t.Error("Authenticate spent something")
			}
		})
	}
}

// TestAssertionRefused holds what is refused from the request, the issuer's name and the clock alone: in plain words, and
// before anybody is looked up.
func TestAssertionRefused(t *testing.T) {
	ec := ecSigner("ec")
	now := t0.Unix()
	raw := func(name, value string) edit { return with(name, json.RawMessage(value)) }
	tests := []struct {
		name  string
		want  oauth.Reason
		edits []edit
	}{
		{"CA-06 alg none", oauth.AssertionAlg, []edit{set("alg", "none")}},
		{"CA-07 alg nOnE", oauth.AssertionAlg, []edit{set("alg", "nOnE")}},
		{"CA-07 alg NONE", oauth.AssertionAlg, []edit{set("alg", "NONE")}},
		{"CA-09 alg RS256", oauth.AssertionAlg, []edit{set("alg", "RS256")}},
		{"CA-12 no iss", oauth.AssertionSubject, []edit{with("iss", nil)}},
		{"CA-12 no sub", oauth.AssertionSubject, []edit{with("sub", nil)}},
		{"CA-12 neither", oauth.AssertionSubject, []edit{with("iss", nil), with("sub", nil)}},
		{"CA-12 empty", oauth.AssertionSubject, []edit{with("iss", ""), with("sub", "")}},
		{"CA-12 another iss", oauth.AssertionSubject, []edit{with("iss", "c2")}},
		{"CA-12 iss in another case", oauth.AssertionSubject, []edit{with("iss", "C1")}},
		{"sub of 257 bytes", oauth.AssertionSubject, []edit{with("iss", strings.Repeat("c", 257)), with("sub", strings.Repeat("c", 257))}},
		{"CA-45 claims in capitals", oauth.AssertionSubject, []edit{with("iss", nil), with("sub", nil), with("aud", nil), with("ISS", "c1"), with("Sub", "c1"), with("AUD", issuer)}},
		{"CA-69 sub is an array", oauth.AssertionSubject, []edit{raw("sub", `["c1"]`)}},
		{"CA-69 iss is an object", oauth.AssertionSubject, []edit{raw("iss", `{"x":"c1"}`)}},
		{"CA-69 sub is null", oauth.AssertionSubject, []edit{raw("sub", `null`)}},
		{"CA-44 sub twice", oauth.AssertionMalformed, []edit{raw("x", `{"sub":"c1","sub":"c2"}`)}},

		{"CA-14 no aud", oauth.AssertionAudience, []edit{with("aud", nil)}},
		{"CA-14 empty aud", oauth.AssertionAudience, []edit{with("aud", "")}},
		{"CA-14 aud is a number", oauth.AssertionAudience, []edit{with("aud", 7)}},
		{"CA-14 aud is null", oauth.AssertionAudience, []edit{raw("aud", `null`)}},
		{"CA-15 an endpoint that was not called", oauth.AssertionAudience, []edit{with("aud", issuer+"/oauth2/introspect")}},
		{"CA-15 the token endpoint, in another spelling", oauth.AssertionAudience, []edit{with("aud", issuer+"/oauth2/token/")}},
		{"CA-16 an array of the token endpoint", oauth.AssertionAudience, []edit{with("aud", []string{issuer + "/oauth2/token"})}},
		{"CA-19 the token endpoint of the Host header", oauth.AssertionAudience, []edit{with("aud", "https://evil.example/oauth2/token")}},
		{"CA-15 the PAR endpoint", oauth.AssertionAudience, []edit{with("aud", issuer+"/oauth2/par")}},
		{"CA-16 an array of the issuer", oauth.AssertionAudience, []edit{with("aud", []string{issuer})}},
		{"CA-17 an array of two", oauth.AssertionAudience, []edit{with("aud", []string{issuer, "https://other-as.example"})}},
		{"CA-18 a slash at the end", oauth.AssertionAudience, []edit{with("aud", issuer+"/")}},
		{"CA-18 the host in capitals", oauth.AssertionAudience, []edit{with("aud", "https://AS.EXAMPLE")}},
		{"CA-18 a port", oauth.AssertionAudience, []edit{with("aud", issuer+":443")}},
		{"CA-18 a space", oauth.AssertionAudience, []edit{with("aud", issuer+" ")}},
		{"CA-18 a longer host", oauth.AssertionAudience, []edit{with("aud", issuer+".evil")}},
		{"CA-19 the Host header", oauth.AssertionAudience, []edit{with("aud", "https://evil.example")}},
		{"CA-70 an empty array", oauth.AssertionAudience, []edit{raw("aud", `[]`)}},
		{"CA-70 an array of an empty string", oauth.AssertionAudience, []edit{raw("aud", `[""]`)}},
		{"CA-70 an object", oauth.AssertionAudience, []edit{raw("aud", `{"0":"`+issuer+`"}`)}},

		{"CA-20 no exp", oauth.AssertionLifetime, []edit{with("exp", nil)}},
		{"CA-21 exp 61 s ago", oauth.AssertionExpired, []edit{with("exp", now-61)}},
		{"exp 10 s ago", oauth.AssertionExpired, []edit{with("exp", now-10)}},
		{"CA-22 exp in 24 h", oauth.AssertionLifetime, []edit{with("exp", now+86400)}},
		{"CA-06 exp in an hour and a second", oauth.AssertionLifetime, []edit{with("exp", now+3601)}},
		{"CA-23 exp is a string", oauth.AssertionLifetime, []edit{with("exp", "1999999999")}},
		{"CA-23 exp is 1e400", oauth.AssertionLifetime, []edit{raw("exp", `1e400`)}},
		{"CA-23 exp is -1", oauth.AssertionLifetime, []edit{with("exp", -1)}},
		{"CA-23 exp is true", oauth.AssertionLifetime, []edit{with("exp", true)}},
		{"CA-23 exp is null", oauth.AssertionLifetime, []edit{raw("exp", `null`)}},
		{"CA-24 iat 120 s ahead", oauth.AssertionNotYet, []edit{with("iat", now+120)}},
		{"GEN-17 iat 31 s ahead", oauth.AssertionNotYet, []edit{with("iat", now+31)}},
		{"iat is a string", oauth.AssertionNotYet, []edit{with("iat", "now")}},
		{"CA-25 nbf 120 s ahead", oauth.AssertionNotYet, []edit{with("nbf", now+120)}},
		{"GEN-17 nbf 31 s ahead", oauth.AssertionNotYet, []edit{with("nbf", now+31)}},
		{"nbf is a bool", oauth.AssertionNotYet, []edit{with("nbf", false)}},
		{"CA-26 no jti", oauth.AssertionID, []edit{with("jti", nil)}},
		{"CA-26 empty jti", oauth.AssertionID, []edit{with("jti", "")}},
		{"CA-26 jti is a number", oauth.AssertionID, []edit{with("jti", 7)}},
		{"jti of 1 KiB and a byte", oauth.AssertionID, []edit{with("jti", strings.Repeat("j", 1025))}},

		{"CA-37 kid of 4 KiB", oauth.AssertionMalformed, []edit{set("kid", strings.Repeat("A", 4096))}},
		{"CA-39 jwk", oauth.AssertionMalformed, []edit{set("jwk", ec.JWK())}},
		{"CA-40 x5c", oauth.AssertionMalformed, []edit{set("x5c", []string{"MIIB"})}},
		{"CA-40 x5u", oauth.AssertionMalformed, []edit{set("x5u", "https://evil.example/x")}},
		{"CA-41 crit exp", oauth.AssertionMalformed, []edit{set("crit", []string{"exp"})}},
		{"CA-41 crit extension", oauth.AssertionMalformed, []edit{set("crit", []string{"urn:x"}), set("urn:x", 1)}},
		{"CA-42 b64", oauth.AssertionMalformed, []edit{set("crit", []string{"b64"}), set("b64", false)}},
		{"CA-43 dpop+jwt", oauth.AssertionTyp, []edit{set("typ", "dpop+jwt")}},
		{"CA-43 at+jwt", oauth.AssertionTyp, []edit{set("typ", "at+jwt")}},
		{"CRY-04 request object", oauth.AssertionTyp, []edit{set("typ", "oauth-authz-req+jwt")}},
		{"PR-32 request object without typ", oauth.AssertionTyp, []edit{with("response_type", "code")}},
		{"CRY-04 logout token", oauth.AssertionTyp, []edit{set("typ", "logout+jwt")}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := newBench(t, Vetting{}, inline("c1", ec))
			caller, err := b.request(bodyOf(assertionBy(ec, "c1", t0, test.edits...)), "Host", "evil.example", "X-Forwarded-Host", "evil.example")
			if got := reason(t, err); got != test.want || caller.Client.ID != "" || caller.Uses != nil {
				t.Errorf("%s, want %s: %v", got, test.want, err)
			}
			if b.registry.looks > 0 {
				t.Error("somebody was looked up")
			}
		})
	}
}

// CA-15, CA-16: the description says what came, so that a client's developer sees the difference.
func TestAudienceIsExplained(t *testing.T) {
	ec := ecSigner("")
	for want, aud := range map[string]any{
		"received nothing": nil, "received an array": []string{issuer}, "received no string": 7, "received another value": "x",
		"the issuer with a slash at its end": issuer + "/", "the URL of an endpoint": issuer + "/oauth2/token",
	} {
		b := newBench(t, Vetting{}, inline("c1", ec))
		_, err := b.request(bodyOf(assertionBy(ec, "c1", t0, with("aud", aud))))
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), issuer) {
			t.Errorf("%v: %v", aud, err)
		}
	}
}

// CA-15, CX-16: a client may name an endpoint instead of the issuer where the operator lets it. Whether he does is asked
// after the signature, so that the answer tells nothing of clients that are not proven.
func TestEndpointAsAudience(t *testing.T) {
	own, stranger := ecSigner("k1"), ecSigner("k1")
	const token, alias, introspect = "/oauth2/token", "/oauth/token", "/oauth2/introspect"
	for name, test := range map[string]struct {
		rule      AudienceRule
		path, aud string
		by        signer
		clientID  string
		want      oauth.Reason
	}{
		"the issuer":                           {IssuerOrEndpoint, token, "", own, "c1", ""},
		"the endpoint called":                  {IssuerOrEndpoint, introspect, introspect, own, "c1", ""},
		"the token endpoint":                   {IssuerOrEndpoint, token, token, own, "c1", ""},
		"the token endpoint, by another route": {IssuerOrEndpoint, alias, token, own, "c1", ""},
		"the other route, elsewhere":           {IssuerOrEndpoint, introspect, alias, own, "c1", ""},
		"the token endpoint, elsewhere":        {IssuerOrEndpoint, introspect, token, own, "c1", ""},
		"the endpoint called, by its alias":    {IssuerOrEndpoint, introspect, ".mtls" + introspect, own, "c1", ""},
		"an alias that was not called":         {IssuerOrEndpoint, token, ".mtls" + introspect, own, "c1", oauth.AssertionAudience},
		"an alias at another host":             {IssuerOrEndpoint, introspect, ".evil" + introspect, own, "c1", oauth.AssertionAudience},
		"a strict client, by its alias":        {IssuerOnly, introspect, ".mtls" + introspect, own, "c1", oauth.AssertionAudience},
		"an endpoint that was not called":      {IssuerOrEndpoint, token, introspect, own, "c1", oauth.AssertionAudience},
		"a strict client":                      {IssuerOnly, token, token, own, "c1", oauth.AssertionAudience},
		"a strict client, by default":          {"", introspect, introspect, own, "c1", oauth.AssertionAudience},
		"a strict client's id, another's key":  {IssuerOnly, token, token, stranger, "c1", oauth.ClientNotProven},
		"another's key":                        {IssuerOrEndpoint, token, token, stranger, "c1", oauth.ClientNotProven},
		"nobody":                               {IssuerOnly, token, token, own, "nobody", oauth.ClientNotProven},
	} {
		t.Run(name, func(t *testing.T) {
			c := inline("c1", own)
			c.AssertionAudience = test.rule
			b := newBench(t, Vetting{}, c)
			b.Origins = append(b.Origins, issuer+".mtls")
			caller, err := b.requestAt(test.path, bodyOf(assertionBy(test.by, test.clientID, t0, with("aud", issuer+test.aud))))
			if got := reason(t, err); got != test.want || (caller.Client.ID == "c1") != (test.want == "") {
				t.Errorf("%q, want %q: %v", got, test.want, err)
			}
			ours := !strings.HasPrefix(test.aud, ".") || test.rule == IssuerOnly
			if test.want == oauth.AssertionAudience && ours && !strings.Contains(err.Error(), issuer+"; received the URL of an endpoint") {
				t.Errorf("%v", err)
			}
		})
	}
}

// What the operator changes holds for the next request, although the old record is in memory.
func TestAudienceRuleChanges(t *testing.T) {
	key := ecSigner("")
	atEndpoint := with("aud", issuer+"/oauth2/token")
	lenient := inline("c1", key)
	lenient.AssertionAudience = IssuerOrEndpoint
	b := newBench(t, Vetting{}, inline("c1", key))
	if _, runs, err := b.steps(key, atEndpoint); reason(t, err) != oauth.AssertionAudience || runs != 1 {
		t.Error(runs, err)
	}
	b.registry.put(lenient)
	if _, runs, err := b.steps(key, atEndpoint); err != nil || runs != 2 {
		t.Error(runs, err)
	}
	b.registry.put(inline("c1", key))
	if _, runs, err := b.steps(key, atEndpoint); reason(t, err) != oauth.AssertionAudience || runs != 2 {
		t.Error(runs, err)
	}
}

func TestOtherWaysOfAuthentication(t *testing.T) {
	ec := ecSigner("ec")
	good := assertionBy(ec, "c1", t0)
	tests := []struct {
		name    string
		body    string
		headers []string
		want    oauth.Reason
	}{
		{"CA-13 another's client_id", bodyOf(good) + "&client_id=c2", nil, oauth.AssertionClientID},
		{"CA-13 the client_id in another case", bodyOf(good) + "&client_id=C1", nil, oauth.AssertionClientID},
		{"CA-58 twice", bodyOf(good) + "&client_assertion=x", nil, oauth.ParameterRepeated},
		{"CA-59 no type", body("client_assertion", good), nil, oauth.AssertionType},
		{"CA-59 another type", body("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:saml2-bearer", "client_assertion", good), nil, oauth.AssertionType},
		{"CA-59 the type in capitals", body("client_assertion_type", strings.ToUpper(assertionType), "client_assertion", good), nil, oauth.AssertionType},
		{"CA-59 no assertion", body("client_assertion_type", assertionType, "client_id", "c1"), nil, oauth.ClientAuthMissing},
		{"CA-60 and Basic", bodyOf(good), []string{"Authorization", "Basic YzE6eA=="}, oauth.ClientAuthAmbiguous},
		{"CA-60 and Bearer", bodyOf(good), []string{"Authorization", "Bearer x"}, oauth.ClientAuthAmbiguous},
		{"CA-60 and a secret", bodyOf(good) + "&client_secret=x", nil, oauth.ClientAuthAmbiguous},
		{"CA-60 Basic and a secret", body("client_id", "c1", "client_secret", "x"), []string{"Authorization", "Basic YzE6eA=="}, oauth.ClientAuthAmbiguous},
		{"CA-60 a type and Basic", body("client_assertion_type", assertionType), []string{"Authorization", "Basic YzE6eA=="}, oauth.ClientAuthAmbiguous},
		{"a secret", body("client_id", "c1", "client_secret", "x"), nil, oauth.ClientAuthMethod},
		{"Basic", body("client_id", "c1"), []string{"Authorization", "Basic YzE6eA=="}, oauth.ClientAuthMethod},
		{"Bearer", body("client_id", "c1"), []string{"Authorization", "Bearer x"}, oauth.ClientAuthMethod},
		{"HT-12 two headers", bodyOf(good), []string{"Authorization", "Basic YzE6eA==", "Authorization", ""}, oauth.HeaderRepeated},
		{"CA-63 only a client_id", body("client_id", "c1"), nil, oauth.ClientAuthMissing},
		{"CA-63 nothing", "", nil, oauth.ClientAuthMissing},
		{"CA-63 empty", body("client_id", "c1", "client_assertion", "", "client_assertion_type", ""), nil, oauth.ClientAuthMissing},
		{"CA-53 no compact JWS", bodyOf(`{"payload":"e30","signatures":[{"signature":"AA"}]}`), nil, oauth.AssertionMalformed},
		{"over 16 KiB", bodyOf(good + strings.Repeat("A", 16<<10)), nil, oauth.AssertionMalformed},
		{"CA-44 sub twice", bodyOf(ec.Sign(`{"alg":"ES256"}`, `{"iss":"c1","sub":"c2","sub":"c1"}`)), nil, oauth.AssertionMalformed},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := newBench(t, Vetting{}, inline("c1", ec), inline("c2", ec))
			_, err := b.request(test.body, test.headers...)
			if got := reason(t, err); got != test.want || b.registry.looks > 0 {
				t.Errorf("%s, want %s, after %d looks", got, test.want, b.registry.looks)
			}
			// CA-09: a client that tried Basic is answered in its terms, others are not asked for Basic.
			w := httptest.NewRecorder()
			(oauth.Pages{}).Write(w, nil, err)
			challenged := strings.HasPrefix(w.Header().Get("WWW-Authenticate"), "Basic ")
			if challenged != (test.name == "Basic") {
				t.Errorf("WWW-Authenticate: %q", w.Header().Get("WWW-Authenticate"))
			}
		})
	}
}
