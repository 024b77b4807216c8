package par

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"

	"authserver/internal/fdx"
	"authserver/internal/flow"
	"authserver/internal/grant"
	"authserver/internal/oauth"

	"github.com/google/go-cmp/cmp"
)

// plain are the parameters of a request that is taken.
func plain() url.Values { return flow.NewPKCE().Parameters(callback, "fdx:accountbasic:read", "s") }

// object is that request as an object that may be bent.
func (b *bench) object(edits ...flow.Edit) flow.Compact { return b.RequestObject(plain(), edits...) }

// altered changes a text after it was signed.
func altered(c flow.Compact, change func(string) string) flow.Compact {
	return func() (string, error) {
		good, err := c()
		return change(good), err
	}
}

func compact(t *testing.T, c flow.Compact) string {
	t.Helper()
	s, err := c()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// signed is a push of such an object.
func (b *bench) signed(edits ...flow.Edit) *flow.Request {
	return b.SignedPushRequest(plain(), edits...)
}

// in is a time so many seconds after noon, as a claim.
func in(seconds int64) int64 { return noon.Unix() + seconds }

// lives gives an object its nbf and exp.
func lives(nbf, exp int64) flow.Edit {
	return func(d *flow.Draft) { d.Claims["nbf"], d.Claims["exp"] = in(nbf), in(exp) }
}

// mustSign registers the client to sign its requests.
func (b *bench) mustSign(yes bool) {
	b.client.Version++
	b.client.Metadata.RequireSignedRequestObject = yes
}

// one is the only request that was kept.
func (b *bench) one() grant.Pushed {
	b.Helper()
	defer clear(b.pushed)
	for _, p := range b.pushed {
		if len(b.pushed) == 1 {
			return p
		}
	}
	b.Fatalf("%d requests are kept", len(b.pushed))
	return grant.Pushed{}
}

// asked is a consent for once, as a parameter.
const asked = `[{"type":"fdx_v1.0","consentRequest":{"durationType":"ONE_TIME","resources":[` +
	`{"resourceType":"ACCOUNT","dataClusters":["ACCOUNT_BASIC"]}]}}]`

// JAR-07: a request says in an object, with the types of JSON, what it says in a form.
func TestObjectSaysWhatAFormSays(t *testing.T) {
	b := newBench(t)
	b.Resources = []string{api, issuer}
	params := plain()
	for name, values := range map[string][]string{
		"nonce": {"n"}, "prompt": {"login consent"}, "max_age": {"300"}, "acr_values": {"a b"}, "login_hint": {"alex"},
		"ui_locales": {"fr-CA en"}, "claims": {`{"sharing_duration":31536000}`}, "response_mode": {"query"},
		"resource": {api, issuer}, "dpop_jkt": {b.DPoPKey.Thumbprint()}, "authorization_details": {asked}, "display": {"page"},
		"state": {"é \" \\ \u2028 <&>"},
	} {
		params[name] = values
	}
	for _, require := range []bool{false, true} {
		b.mustSign(false)
		b.send(b.PushRequest(params), "201", "")
		want := b.one()
		b.mustSign(require)
		b.send(b.SignedPushRequest(params), "201", "")
		if diff := cmp.Diff(want, b.one()); diff != "" {
			t.Error(diff)
		}
	}
	one := b.SignedPushRequest(params, flow.SetClaim("resource", api))
	b.send(one, "201", "")
	if diff := cmp.Diff([]string{api}, b.one().Resources); diff != "" {
		t.Error(diff)
	}
}

// JAR-01 to JAR-05: what real clients leave out, add, and spell in their own way. Who must sign sends nbf, too.
func TestObjectAccepted(t *testing.T) {
	b := newBench(t)
	for name, edits := range map[string][]flow.Edit{
		"as it is":                        nil,
		"JAR-05 no typ":                   {flow.DropHeader("typ")},
		"JAR-05 JWT":                      {flow.SetHeader("typ", "JWT")},
		"JAR-05 another case":             {flow.SetHeader("typ", "OAuth-authZ-Req+JWT")},
		"JAR-05 the whole media type":     {flow.SetHeader("typ", "application/oauth-authz-req+jwt")},
		"CRY-06 no kid":                   {flow.DropHeader("kid")},
		"JAR-03 an array":                 {flow.SetClaim("aud", []string{issuer})},
		"JAR-03 with foreign values":      {flow.SetClaim("aud", []string{"https://other.example", issuer, "x"})},
		"JAR-02 no iss":                   {flow.DropClaim("iss")},
		"JAR-02 a sub that is not the id": {flow.SetClaim("sub", "alex")},
		"no iat, no jti":                  {flow.DropClaim("iat"), flow.DropClaim("jti")},
		"members that nobody knows": {flow.SetClaim("registration", 1), flow.SetClaim("grant_type", []int{}),
			flow.SetClaim("display", nil)},
		"JAR-07 max_age of 0":              {flow.SetClaim("max_age", 0)},
		"JAR-07 max_age of 9":              {flow.SetClaim("max_age", 9)},
		"JAR-04 nbf in 8 s":                {lives(8, 60)},
		"JAR-04 nbf and iat in 10 s":       {lives(10, 60), flow.SetClaim("iat", in(10))},
		"PR-27 exp - nbf = 59 min":         {lives(-60, 58*60)},
		"JAR-04 exp - nbf = 60 min":        {lives(0, 3600)},
		"JAR-04 nbf 59 min ago":            {lives(-59*60, 30)},
		"GEN-17 exp a moment ago":          {lives(-60, -9)},
		"fractions of a second":            {flow.SetClaim("nbf", float64(in(0))+0.5), flow.SetClaim("exp", float64(in(60))+0.25)},
		"JAR-01 PS256":                     {flow.SignWith(b.rsa), flow.SetHeader("kid", b.rsa.ID)},
		"JAR-01 PS256, no kid":             {flow.SignWith(b.rsa), flow.DropHeader("kid")},
		"empty parameters are absent":      {flow.SetClaim("nonce", ""), flow.SetClaim("resource", []string{""})},
		"JAR-02 the id in client_id alone": {flow.DropClaim("iss"), flow.DropClaim("jti"), flow.DropClaim("iat")},
		"GEN-17 iat an hour ago":           {flow.SetClaim("iat", in(-3600))},
		"JAR-04 nbf as old as it may be":   {lives(-3599, 1)},
		"PR-27 exp - nbf = 59 min, no typ": {lives(-60, 58*60), flow.DropHeader("typ")},
		"members of other tokens":          {flow.SetClaim("htm", "POST"), flow.SetClaim("events", map[string]any{})},
	} {
		for _, require := range []bool{false, true} {
			b.mustSign(require)
			if e := b.send(b.signed(edits...), "201", ""); e.Status != http.StatusCreated {
				t.Errorf("%s, must sign: %t", name, require)
			}
		}
	}
}

// JAR-01 to JAR-07, with what is refused whether the client must sign its requests or may.
func TestObjectRefused(t *testing.T) {
	b := newBench(t)
	stranger, err := flow.GenerateKey("ES256")
	if err != nil {
		t.Fatal(err)
	}
	set := flow.SetClaim
	for _, test := range []struct {
		name string
		why  oauth.Reason
		bent flow.Compact
	}{
		{"PR-24 none", oauth.RequestObjectMalformed, b.object(flow.SignAs("none"))},
		{"PR-24 none, with a signature", oauth.RequestObjectAlg, b.object(flow.SetHeader("alg", "none"))},
		{"PR-24 HS256", oauth.RequestObjectAlg, b.object(flow.SetHeader("alg", "HS256"))},
		{"PR-24 RS256", oauth.RequestObjectAlg, b.object(flow.SignWith(b.rsa), flow.SignAs("RS256"))},
		{"JAR-01 no alg", oauth.RequestObjectAlg, b.object(flow.DropHeader("alg"))},
		{"JAR-01 another's key", oauth.RequestObjectSignature, b.object(flow.SignWith(stranger))},
		{"JAR-01 another's key, no kid", oauth.RequestObjectSignature, b.object(flow.SignWith(stranger), flow.DropHeader("kid"))},
		{"JAR-01 an unknown kid", oauth.RequestObjectSignature, b.object(flow.SetHeader("kid", "unknown"))},
		{"JAR-01 the kid of a key of another kind", oauth.RequestObjectSignature, b.object(flow.SetHeader("kid", b.rsa.ID))},
		{"JAR-01 another signature", oauth.RequestObjectSignature, altered(b.object(), func(s string) string {
			other := compact(t, b.object())
			return s[:strings.LastIndexByte(s, '.')] + other[strings.LastIndexByte(other, '.'):]
		})},
		{"JAR-01 other claims", oauth.RequestObjectSignature, altered(b.object(), func(s string) string {
			parts := strings.Split(compact(t, b.object(set("scope", "fdx:transactions:read"))), ".")
			return parts[0] + "." + parts[1] + s[strings.LastIndexByte(s, '.'):]
		})},
		{"CRY-05 a key from elsewhere", oauth.RequestObjectMalformed, b.object(flow.SetHeader("jku", "https://evil.example"))},
		{"CRY-05 an embedded key", oauth.RequestObjectMalformed, b.object(
			flow.SetHeader("jwk", stranger.PublicJWK()), flow.SignWith(stranger))},
		{"CRY-05 crit", oauth.RequestObjectMalformed, b.object(flow.SetHeader("crit", []string{"exp"}))},
		{"KY-06 zip", oauth.RequestObjectMalformed, b.object(flow.SetHeader("zip", "DEF"))},
		{"no JWT", oauth.RequestObjectMalformed, flow.Literal("x")},
		{"PR-42 encrypted", oauth.RequestObjectEncrypted, flow.Literal("eyJhbGciOiJSU0ExXzUiLCJlbmMiOiJBMTI4R0NNIn0.AA.AA.AA.AA")},
		{"PR-42 only dots", oauth.RequestObjectEncrypted, flow.Literal("....")},
		{"longer than 48 KiB", oauth.RequestObjectMalformed, b.object(set("x", strings.Repeat("x", 37<<10)))},
		{"nested deeply", oauth.RequestObjectMalformed, b.object(
			set("x", json.RawMessage(strings.Repeat("[", 16)+strings.Repeat("]", 16))))},
		{"CRY-09 a member twice", oauth.RequestObjectMalformed, b.object(set("x", json.RawMessage(`{"a":1,"a":1}`)))},

		{"JAR-05 an assertion's typ", oauth.RequestObjectTyp, b.object(flow.SetHeader("typ", "client-authentication+jwt"))},
		{"JAR-05 a proof's typ", oauth.RequestObjectTyp, b.object(flow.SetHeader("typ", "dpop+jwt"))},
		{"JAR-05 an access token's typ", oauth.RequestObjectTyp, b.object(flow.SetHeader("typ", "at+jwt"))},
		{"JAR-05 an empty typ", oauth.RequestObjectTyp, b.object(flow.SetHeader("typ", ""))},

		{"PR-32 the client's assertion", oauth.RequestObjectClient, b.Assertion()},
		{"PR-32 what is both", oauth.RequestObjectClient, b.object(set("sub", b.ID))},
		{"JAR-02 no client_id", oauth.RequestObjectClient, b.object(flow.DropClaim("client_id"))},
		{"PR-30 another's client_id", oauth.RequestObjectClient, b.object(set("client_id", "c2"))},
		{"JAR-02 a client_id in a list", oauth.RequestObjectClient, b.object(set("client_id", []string{b.ID}))},
		{"PR-28 another's iss", oauth.RequestObjectClient, b.object(set("iss", "c2"))},
		{"PR-28 an empty iss", oauth.RequestObjectClient, b.object(set("iss", ""))},
		{"PR-28 null for iss", oauth.RequestObjectClient, b.object(set("iss", nil))},
		{"JAR-02 a sub that is no string", oauth.RequestObjectClient, b.object(set("sub", []string{b.ID}))},
		{"PR-31 request", oauth.RequestObjectNested, b.object(set("request", "a.b.c"))},
		{"PR-31 request_uri", oauth.RequestObjectNested, b.object(set("request_uri", grant.RequestURI+"x"))},
		{"PR-31 null for request_uri", oauth.RequestObjectNested, b.object(set("request_uri", nil))},

		{"PR-25 no aud", oauth.RequestObjectAudience, b.object(flow.DropClaim("aud"))},
		{"PR-25 another server", oauth.RequestObjectAudience, b.object(set("aud", "https://other.example"))},
		{"PR-25 the issuer with a slash", oauth.RequestObjectAudience, b.object(set("aud", issuer+"/"))},
		{"PR-25 the endpoint", oauth.RequestObjectAudience, b.object(set("aud", issuer+"/oauth2/par"))},
		{"JAR-03 nobody", oauth.RequestObjectAudience, b.object(set("aud", []string{}))},
		{"JAR-03 others", oauth.RequestObjectAudience, b.object(set("aud", []string{"https://other.example", issuer + "/"}))},
		{"JAR-03 the issuer, and no string", oauth.RequestObjectAudience, b.object(set("aud", []any{issuer, nil}))},
		{"JAR-03 an object", oauth.RequestObjectAudience, b.object(set("aud", map[string]string{"iss": issuer}))},

		{"PR-26 no exp", oauth.RequestObjectLifetime, b.object(flow.DropClaim("exp"))},
		{"JAR-04 exp as a string", oauth.RequestObjectLifetime, b.object(set("exp", "1772366460"))},
		{"JAR-04 nbf as a string", oauth.RequestObjectLifetime, b.object(set("nbf", "1772366400"))},
		{"JAR-04 null for nbf", oauth.RequestObjectLifetime, b.object(set("nbf", nil))},
		{"PR-26 exp - nbf = 61 min", oauth.RequestObjectLifetime, b.object(lives(0, 61*60))},
		{"JAR-04 exp - nbf a second too long", oauth.RequestObjectLifetime, b.object(lives(-5, 3596))},
		{"PR-26 nbf 61 min ago", oauth.RequestObjectLifetime, b.object(lives(-61*60, -5))},
		{"JAR-04 nbf 70 min ago, good for ever", oauth.RequestObjectLifetime, b.object(lives(-70*60, 60))},
		{"JAR-04 exp in the year 9000", oauth.RequestObjectLifetime, b.object(lives(0, 220_000_000_000))},
		{"JAR-04 exp 10 s ago", oauth.RequestObjectExpired, b.object(lives(-60, -10))},
		{"JAR-04 exp an hour ago", oauth.RequestObjectLifetime, b.object(lives(-2*3600, -3600))},
		{"JAR-04 exp half an hour ago", oauth.RequestObjectExpired, b.object(lives(-3000, -1800))},
		{"GEN-17 nbf in a minute", oauth.RequestObjectNotYet, b.object(lives(61, 120))},
		{"GEN-17 iat in a minute", oauth.RequestObjectNotYet, b.object(set("iat", in(61)))},
		{"GEN-17 iat as a string", oauth.RequestObjectNotYet, b.object(set("iat", "now"))},

		{"JAR-07 max_age as a string", oauth.RequestObjectMember, b.object(set("max_age", "300"))},
		{"JAR-07 null for a max_age", oauth.RequestObjectMember, b.object(set("max_age", nil))},
		{"JAR-07 true for a max_age", oauth.RequestObjectMember, b.object(set("max_age", true))},
		{"JAR-07 details as a string", oauth.RequestObjectMember, b.object(set("authorization_details", asked))},
		{"JAR-07 details as an object", oauth.RequestObjectMember, b.object(
			set("authorization_details", map[string]string{"type": "fdx_v1.0"}))},
		{"JAR-07 claims as a string", oauth.RequestObjectMember, b.object(set("claims", "{}"))},
		{"JAR-07 claims as a list", oauth.RequestObjectMember, b.object(set("claims", []int{}))},
		{"JAR-07 state as a number", oauth.RequestObjectMember, b.object(set("state", 5))},
		{"JAR-07 null for a nonce", oauth.RequestObjectMember, b.object(set("nonce", nil))},
		{"JAR-07 scope as a list", oauth.RequestObjectMember, b.object(set("scope", []string{"fdx:accountbasic:read"}))},
		{"JAR-07 redirect_uri as a list", oauth.RequestObjectMember, b.object(set("redirect_uri", []string{callback}))},
		{"JAR-07 true for a prompt", oauth.RequestObjectMember, b.object(set("prompt", true))},
		{"JAR-07 a resource that is no string", oauth.RequestObjectMember, b.object(set("resource", []any{api, 1}))},
		{"JAR-07 null among resources", oauth.RequestObjectMember, b.object(set("resource", []any{api, nil}))},
		{"a NUL", oauth.RequestObjectMember, b.object(set("state", "a\x00b"))},
		{"a NUL in a resource", oauth.RequestObjectMember, b.object(set("resource", []string{api, "\x00"}))},
	} {
		for _, require := range []bool{false, true} {
			b.mustSign(require)
			r := b.signed()
			r.RequestObject = test.bent
			if e := b.send(r, "400 invalid_request_object", test.why); !strings.Contains(e.ResponseBody, "request: ") || t.Failed() {
				t.Fatalf("%s, must sign: %t", test.name, require)
			}
		}
	}
}

// JAR-06: what stands beside an object counts for nothing.
func TestObjectAlone(t *testing.T) {
	b := newBench(t)
	inside := plain()
	inside.Del("state")
	for _, require := range []bool{false, true} {
		b.mustSign(require)
		b.send(b.SignedPushRequest(inside), "201", "")
		want := b.one()
		r := b.SignedPushRequest(inside)
		for name, value := range map[string]string{
			"state": "outside", "nonce": "outside", "scope": "fdx:transactions:read", "redirect_uri": "https://evil.example",
			"response_type": "token", "response_mode": "fragment", "code_challenge": "x", "code_challenge_method": "plain",
			"prompt": "none", "max_age": "0", "claims": "[]", "resource": "https://evil.example", "dpop_jkt": "x",
			"login_hint": "x", "acr_values": "x", "ui_locales": "x", "id_token_hint": "x", "grant_type": "client_credentials",
			"client_id": b.ID, "aud": "x", "exp": "0",
		} {
			r.Form.Set(name, value)
		}
		b.send(r, "201", "")
		if diff := cmp.Diff(want, b.one()); diff != "" {
			t.Errorf("must sign: %t: what stands outside counts: %s", require, diff)
		}
		for _, name := range []string{"redirect_uri", "response_type", "code_challenge", "code_challenge_method"} {
			r := b.SignedPushRequest(inside, flow.DropClaim(name))
			r.Form.Set(name, inside.Get(name))
			e := b.send(r, "400 invalid_request", oauth.ParameterMissing)
			says(t, e, name+" is missing in the request object; beside it "+name+" does not count")
		}
		for _, edit := range []flow.Edit{flow.DropClaim("scope"), flow.SetClaim("scope", "")} {
			b.send(b.SignedPushRequest(inside, edit), "201", "") // for all that is registered
			b.one()
			r = b.SignedPushRequest(inside, edit)
			r.Form.Set("scope", "fdx:accountbasic:read")
			b.send(r, "400 invalid_request", oauth.ParameterMissing) // PR-29
		}
		r = b.SignedPushRequest(inside)
		r.Form.Set("request_uri", grant.RequestURI+"x")
		b.send(r, "400 invalid_request", oauth.RequestURINested)
	}
	b.send(b.PushRequest(plain()), "400 invalid_request", oauth.RequestObjectMissing) // PR-33
	empty := b.PushRequest(plain())
	empty.Form.Set("request", "")
	b.send(empty, "400 invalid_request", oauth.RequestObjectMissing)
}

// CX-20: authorization_details beside an object count where it has none and the client need not sign.
func TestDetailsBesideAnObject(t *testing.T) {
	b := newBench(t)
	none, month, year := plain(), plain(), forDays(365)
	month.Set("authorization_details", forDays(30))
	for _, test := range []struct {
		mustSign bool
		inside   url.Values
		want     int // days of the consent; 0: it is for once
	}{{false, none, 365}, {true, none, 0}, {false, month, 30}, {true, month, 30}} {
		b.mustSign(test.mustSign)
		r := b.SignedPushRequest(test.inside)
		r.Form.Set("authorization_details", year)
		b.send(r, "201", "")
		consent, _ := b.one().Details[0].(fdx.ConsentRequest)
		if consent.DurationPeriod != test.want {
			t.Errorf("must sign: %t: %+v, want %d days", test.mustSign, consent, test.want)
		}
	}
	b.mustSign(false)
	r := b.SignedPushRequest(none)
	r.Form.Set("authorization_details", "[{}]")
	b.send(r, "400 invalid_authorization_details", oauth.DetailsType)
	r = b.SignedPushRequest(none, flow.SetClaim("authorization_details", []int{}))
	r.Form.Set("authorization_details", year)
	b.send(r, "400 invalid_authorization_details", oauth.DetailsMalformed)
}

// forDays is a consent that lasts.
func forDays(n int) string {
	return strings.Replace(asked, `"ONE_TIME"`, fmt.Sprintf(`"TIME_BOUND","durationPeriod":%d`, n), 1)
}

// JAR-04: of a client that must sign, nbf is wanted, and of another one it need not be; without it, exp counts from now.
func TestObjectWithoutNbf(t *testing.T) {
	b := newBench(t)
	for _, test := range []struct {
		mustSign bool
		exp      int64
		want     string
		why      oauth.Reason
	}{
		{false, 300, "201", ""}, {false, 3600, "201", ""},
		{false, 3602, "400 invalid_request_object", oauth.RequestObjectLifetime},
		{false, -20, "400 invalid_request_object", oauth.RequestObjectExpired},
		{true, 300, "400 invalid_request_object", oauth.RequestObjectLifetime},
	} {
		b.mustSign(test.mustSign)
		b.send(b.signed(flow.DropClaim("nbf"), flow.SetClaim("exp", in(test.exp))), test.want, test.why)
	}
}

// says wants this in the description of a refusal.
func says(t *testing.T, e *flow.Exchange, want string) {
	t.Helper()
	if got, _ := e.JSON()["error_description"].(string); !strings.Contains(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// What is wrong with an object is told as it is: what is absent is missing, and why it is needed.
func TestObjectRefusalSaysWhy(t *testing.T) {
	b := newBench(t)
	b.mustSign(true)
	for want, edit := range map[string]flow.Edit{
		"exp is missing; every request object needs it":           flow.DropClaim("exp"),
		"exp must be a number of seconds":                         flow.SetClaim("exp", "soon"),
		"nbf is missing; the client needs it since it is regis":   flow.DropClaim("nbf"),
		"(require_signed_request_object)":                         flow.DropClaim("nbf"),
		"nbf must be a number of seconds":                         flow.SetClaim("nbf", "now"),
		"sub must be absent, or a string that is not the client_": flow.SetClaim("sub", 5),
		"request: The JWS is not signed":                          flow.SignAs("none"),
	} {
		says(t, b.send(b.signed(edit), "400 invalid_request_object", ""), want)
	}
	says(t, b.send(b.signed(flow.SetClaim("max_age", 1<<31)), "400 invalid_request", ""), "seconds, 315360000 at most")
}

// JAR-01: the algorithm is the one that the client registered for request objects, whatever it registered for assertions. A
// record that has changed since counts as it is now.
func TestObjectAlgIsRegistered(t *testing.T) {
	b := newBench(t)
	register := func(alg string) { b.client.Version++; b.client.Metadata.RequestObjectSigningAlg = alg }
	b.client.Metadata.TokenEndpointAuthSigningAlg = "ES256"
	for alg, key := range map[string]*flow.Key{"ES256": b.Key, "PS256": b.rsa} {
		for registered, want := range map[string]string{"": "201", alg: "201", "EdDSA": "400 invalid_request_object"} {
			register(registered)
			r := b.signed(flow.SignWith(key), flow.SetHeader("kid", key.ID))
			if e := b.send(r, want, ""); want != "201" && !strings.Contains(e.ResponseBody, string(oauth.RequestObjectSignature)) {
				t.Errorf("%s, registered %q: %s", alg, registered, e.ResponseBody)
			}
		}
	}
}

// JAR-09: an object may come again: each push proves the client anew and has a request_uri of its own.
func TestObjectTwice(t *testing.T) {
	b := newBench(t)
	same := flow.Literal(compact(t, b.object()))
	uris := map[any]bool{}
	for range 2 {
		r := b.signed()
		r.RequestObject = same
		uris[b.send(r, "201", "").JSON()["request_uri"]] = true
	}
	if len(uris) != 2 {
		t.Errorf("%d request_uris", len(uris))
	}
}

// The request object that RFC 9126 §3 publishes is signed with RS256, and so it is none here.
func TestPublishedObject(t *testing.T) {
	text, err := os.ReadFile("../jose/testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors struct {
		RFC9126 struct {
			JWK    json.RawMessage `json:"public_jwk"`
			Object string          `json:"request_object_rs256"`
		} `json:"rfc9126"`
	}
	if err := json.Unmarshal(text, &vectors); err != nil {
		t.Fatal(err)
	}
	b := newBench(t)
	b.client.Version++
	jwks := string(b.client.Metadata.JWKS)
	b.client.Metadata.JWKS = []byte(strings.Replace(jwks, "[", "["+string(vectors.RFC9126.JWK)+",", 1))
	r := b.signed()
	b.send(r, "201", "") // its key is one of the client's now
	r = b.signed()
	r.RequestObject = flow.Literal(vectors.RFC9126.Object)
	b.send(r, "400 invalid_request_object", oauth.RequestObjectAlg)
}
