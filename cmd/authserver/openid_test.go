package main

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"authserver/internal/flow"
	"authserver/internal/oauth"

	"github.com/google/go-cmp/cmp"
)

// withOpenID has a client registered for openid too.
func withOpenID(m map[string]any) { m["scope"] = m["scope"].(string) + " openid" }

// identified asks for an ID token, beside data for 30 days.
var identified = bend("scope", "openid fdx:accountbasic:read")

// identity is the ID token that came with an access token, verified with the keys that the client's replica publishes.
func identity(t testing.TB, c *flow.Client, token *flow.Token) flow.JWT {
	t.Helper()
	compact, _ := token.Exchange.JSON()["id_token"].(string)
	id, err := flow.Decode(compact)
	if err != nil {
		t.Fatalf("%v: %.100s", err, token.Exchange.ResponseBody)
	}
	keys, err := c.Server.Keys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := id.Verify(keys); err != nil || id.Member("typ") != "JWT" {
		t.Errorf("%v: %v", err, id.Header)
	}
	return id
}

// hashed is the at_hash of an access token beside an ID token that alg signs.
func hashed(alg, accessToken string) string {
	long, short := sha512.Sum512([]byte(accessToken)), sha256.Sum256([]byte(accessToken))
	if alg == "EdDSA" {
		return encoded(long[:32])
	}
	return encoded(short[:16])
}

// whom asks userinfo with a token.
func whom(t testing.TB, c *flow.Client, method, accessToken string) *flow.Exchange {
	t.Helper()
	r := &flow.Request{Method: method, URL: c.Server.Metadata.UserinfoEndpoint}
	return do(t, c.Server, c.Present(r, accessToken))
}

// TestIdentity (IDT-01 to IDT-04, UI-01, RT-07): three replicas, each with a part of the way; by every algorithm, what the
// client learns of the person is one and the same, until the person's grant has ended.
func TestIdentity(t *testing.T) {
	d := deploy(t, 3, nil)
	alexSubject := one[string](t, d, `SELECT subject FROM person WHERE username = $1`, alex.Username)
	for _, alg := range []string{"", "PS256", "ES256", "EdDSA"} {
		t.Run("alg "+alg, func(t *testing.T) {
			c := d.recipient(0, withOpenID, func(m map[string]any) {
				if alg != "" {
					m["id_token_signed_response_alg"], m["userinfo_signed_response_alg"] = alg, alg
				}
			})
			at := d.everywhere(c)
			a := ask(t, c, identified, bend("nonce", "n-0S6_WzA2Mj.~"))
			code := a.by(at[1]).code()
			token := a.by(at[2]).redeem(code)
			id := identity(t, at[0], token)
			want := map[string]any{
				"iss": d.issuer, "sub": alexSubject, "aud": c.ID, "nonce": "n-0S6_WzA2Mj.~",
				"acr": "urn:authserver:acr:password", "amr": []any{"pwd"}, "at_hash": hashed(alg, token.AccessToken), "auth_time": issued(token.Exchange).Claims["auth_time"],
				"iat": id.Claims["iat"], "exp": id.Claims["exp"], "sid": id.Claims["sid"],
			}
			if diff := cmp.Diff(want, id.Claims); diff != "" || id.Member("alg") != or(alg, "PS256") ||
				flow.Lifetime(id.Claims) != 300 || len(id.Claim("sid")) != 43 || d.clock.now().Sub(timeOf(t, id, "iat")).Abs() > time.Minute || token.Scope != "openid fdx:accountbasic:read" {
				t.Errorf("%s %q (-want +got):\n%s", id.Member("alg"), token.Scope, diff)
			}
			for i, c := range at {
				for _, method := range []string{http.MethodGet, http.MethodPost} {
					wantWhom(t, at[(i+1)%3], whom(t, c, method, token.AccessToken), alg, alexSubject)
				}
			}

			d.clock.advance(time.Minute)
			refreshed, err := at[1].Refresh(t.Context(), token.RefreshToken, nil)
			if err != nil {
				t.Fatal(err)
			}
			again := identity(t, at[2], refreshed)
			delete(want, "nonce")
			want["iat"], want["exp"], want["at_hash"] = again.Claims["iat"], again.Claims["exp"], hashed(alg, refreshed.AccessToken)
			if diff := cmp.Diff(want, again.Claims); diff != "" || flow.Lifetime(again.Claims) != 300 ||
				!timeOf(t, again, "iat").After(timeOf(t, id, "iat")) {
				t.Errorf("refreshed (-want +got):\n%s", diff)
			}
			narrowed, err := at[0].Refresh(t.Context(), token.RefreshToken, url.Values{"scope": {"fdx:accountbasic:read"}})
			if err != nil || narrowed.Exchange.JSON()["id_token"] != nil || narrowed.Scope != "fdx:accountbasic:read" {
				t.Fatalf("narrowed: %v %s", err, narrowed.Exchange.ResponseBody)
			}
			refusedFor(t, whom(t, at[1], http.MethodGet, narrowed.AccessToken), "403 insufficient_scope", oauth.ScopeInsufficient)

			if _, err := c.Revoke(t.Context(), token.RefreshToken); err != nil {
				t.Fatal(err)
			}
			for _, c := range at {
				refusedFor(t, whom(t, c, http.MethodGet, refreshed.AccessToken), "401 invalid_token", oauth.TokenRevoked)
			}
		})
	}
}

// timeOf is a time that a JWT names.
func timeOf(t testing.TB, j flow.JWT, name string) time.Time {
	t.Helper()
	seconds, err := j.Claims[name].(json.Number).Int64()
	if err != nil {
		t.Fatal(err)
	}
	return time.Unix(seconds, 0)
}

// wantWhom wants an answer of userinfo: JSON, or signed by alg.
func wantWhom(t testing.TB, c *flow.Client, e *flow.Exchange, alg, subject string) {
	t.Helper()
	outcome(t, e, "200")
	want := map[string]any{"sub": subject}
	got := e.JSON()
	if alg != "" {
		says, err := flow.Decode(e.ResponseBody)
		if err != nil {
			t.Fatal(err)
		}
		keys, err := c.Server.Keys(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		media := e.ResponseHeader.Get("Content-Type")
		if err := says.Verify(keys); err != nil || says.Member("alg") != alg || media != "application/jwt" {
			t.Errorf("%v: %v %v", err, says.Header, e.ResponseHeader)
		}
		want["iss"], want["aud"] = c.Server.Issuer, c.ID
		got = says.Claims
	}
	if diff := cmp.Diff(want, got); diff != "" || e.ResponseHeader.Get("Cache-Control") != "no-store" {
		t.Errorf("%v (-want +got):\n%s", e.ResponseHeader, diff)
	}
}

// TestWhoIsTold (UI-01, SEC-02): whom userinfo tells nothing, at a replica that has not seen the token before.
func TestWhoIsTold(t *testing.T) {
	d := deploy(t, 2, nil)
	c := d.recipient(0, withOpenID)
	other := d.at(c, 1)
	own := tokenFor(t, c, url.Values{"scope": {"openid fdx:accountbasic:read"}})
	refusedFor(t, whom(t, other, http.MethodGet, own), "403 insufficient_scope", oauth.ScopeInsufficient)
	family := d.family(c, ask(t, c).browser(), identified)
	id := identity(t, c, family.token).Compact
	refusedFor(t, whom(t, other, http.MethodGet, id), "401 invalid_token", oauth.TokenMalformed)
	thief := d.recipient(0, withOpenID)
	refusedFor(t, whom(t, thief, http.MethodGet, family.token.AccessToken), "401 invalid_token", oauth.TokenKey)
	challenged := do(t, c.Server, &flow.Request{Method: http.MethodGet, URL: d.issuer + "/oauth2/userinfo"})
	outcome(t, challenged, "401 invalid_token")
	if !strings.HasPrefix(challenged.ResponseHeader.Get("WWW-Authenticate"), "DPoP ") {
		t.Errorf("%v", challenged.ResponseHeader)
	}
	wantWhom(t, other, whom(t, other, http.MethodGet, family.token.AccessToken), "", subjectOf(t, id))
	d.disable(alex)
	refusedFor(t, whom(t, other, http.MethodGet, family.token.AccessToken), "401 invalid_token", oauth.TokenRevoked)
}

// TestHints (AUTHZ-07; OpenID Connect Core §3.1.2.2): who comes back with an ID token means that person, and gets an answer
// for nobody else.
func TestHints(t *testing.T) {
	d := deploy(t, 2, nil)
	kim := d.inhabitant("kim")
	c := d.recipient(0, withOpenID)
	browser := ask(t, c).browser()
	hint := identity(t, c, d.family(c, browser, identified).token).Compact // alex is signed in there
	d.clock.advance(10 * time.Minute)                                      // and the ID token has expired
	none := bends(identified, bend("id_token_hint", hint), bend("prompt", "none"))
	if answer := ask(t, d.at(c, 1), none).toldAt(browser); answer.Get("error") != "consent_required" {
		t.Errorf("for who is signed in: %v", answer)
	}
	if answer := ask(t, c, none).toldAt(ask(t, c).browser()); answer.Get("error") != "login_required" {
		t.Errorf("for nobody: %v", answer)
	}
	elsewhere := ask(t, c).browser()
	ask(t, c).as(kim).codeIn(elsewhere)
	if answer := ask(t, d.at(c, 1), none).toldAt(elsewhere); answer.Get("error") != "login_required" {
		t.Errorf("for somebody else: %v", answer)
	}
	meant := ask(t, c, identified, bend("id_token_hint", hint))
	if p := visit(t, elsewhere, meant.url()); p.Form("password") == nil {
		t.Errorf("somebody else is signed in: %s", p)
	}
	answer := meant.as(kim).answerIn(elsewhere, flow.Approve)
	if answer.Get("error") != "login_required" || answer.Has("code") {
		t.Errorf("somebody else signs in: %v", answer)
	}
	again := ask(t, c, identified, bend("claims", `{"id_token":{"sub":{"value":"`+subjectOf(t, hint)+`"}}}`))
	if id := identity(t, c, again.redeem(again.codeIn(elsewhere))); id.Claim("sub") != subjectOf(t, hint) {
		t.Errorf("who is meant signs in: %v", id.Claims)
	}
	stranger := d.recipient(0, withOpenID)
	theirs := stranger.PushRequest(bent(identified, bend("id_token_hint", hint)))
	refusedFor(t, do(t, stranger.Server, theirs), "400 invalid_request", oauth.HintRefused)
}

// bent are the parameters of a request with some bent.
func bent(edits ...func(url.Values)) url.Values {
	params := pushable()
	bends(edits...)(params)
	return params
}

// toldAt is what the client is told by a browser that is sent back at once.
func (a *asking) toldAt(b *flow.Browser) url.Values {
	a.t.Helper()
	b.Exchanges = nil // which have been looked at
	return a.told(visit(a.t, b, a.url()))
}

func subjectOf(t testing.TB, compact string) string {
	t.Helper()
	j, err := flow.Decode(compact)
	if err != nil {
		t.Fatal(err)
	}
	return j.Claim("sub")
}

// TestEssentialACR (IDT-06): an authentication that the server cannot carry out is not promised, whoever asks; one that it
// can is what the ID token says.
func TestEssentialACR(t *testing.T) {
	d := deploy(t, 1, nil)
	c := d.recipient(0, withOpenID)
	essential := func(acr string) func(url.Values) {
		return bends(identified, bend("claims",
			`{"id_token":{"acr":{"essential":true,"values":["`+acr+`"]}},"userinfo":{"name":null}}`))
	}
	strong := ask(t, c, essential("urn:example:three-factors"))
	if answer := strong.toldAt(strong.browser()); answer.Get("error") != "unmet_authentication_requirements" {
		t.Errorf("%v", answer)
	}
	a := ask(t, c, essential("urn:authserver:acr:password"))
	if id := identity(t, c, a.redeem(a.code())); id.Claim("acr") != "urn:authserver:acr:password" || id.Claims["name"] != nil {
		t.Errorf("%v", id.Claims)
	}
}

// useIdentity has ID tokens and answers of userinfo signed and encrypted by everything that the metadata lists for them, and
// wants ID tokens to have the claims that are listed.
func useIdentity(t *testing.T, d *deployment, m map[string]any) {
	r, browser := newReader(t), flow.NewBrowser(d.server(0))
	read := func(compact, alg, enc, signs string) flow.JWT {
		t.Helper()
		if alg != "" {
			compact = r.read(t, compact, alg, enc)
		}
		j, err := flow.Decode(compact)
		if err != nil {
			t.Fatal(err)
		}
		keys, err := d.server(0).Keys(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := j.Verify(keys); err != nil || j.Member("alg") != signs {
			t.Errorf("%s, %s, %s: %v %v", alg, enc, signs, err, j.Header)
		}
		return j
	}
	use := func(alg, enc, signs string) {
		c := d.recipient(0, withOpenID, r.publish, func(m map[string]any) {
			for _, kind := range []string{"id_token", "userinfo"} {
				if m[kind+"_signed_response_alg"] = signs; alg != "" {
					m[kind+"_encrypted_response_alg"], m[kind+"_encrypted_response_enc"] = alg, enc
				}
			}
		})
		token := d.family(c, browser, identified, bend("nonce", "n")).token
		compact, _ := token.Exchange.JSON()["id_token"].(string)
		id := read(compact, alg, enc, signs)
		listed := slices.Sorted(slices.Values(list(m, "claims_supported")))
		if diff := cmp.Diff(listed, slices.Sorted(maps.Keys(id.Claims))); diff != "" {
			t.Errorf("claims_supported: %s", diff)
		}
		answer := whom(t, c, http.MethodGet, token.AccessToken)
		if told := read(answer.ResponseBody, alg, enc, signs); told.Claim("sub") != id.Claim("sub") {
			t.Errorf("userinfo: %v", told.Claims)
		}
	}
	for _, kind := range []string{"_signing_alg", "_encryption_alg", "_encryption_enc"} {
		of := list(m, "id_token"+kind+"_values_supported")
		if diff := cmp.Diff(of, list(m, "userinfo"+kind+"_values_supported")); diff != "" || len(of) < 3 {
			t.Errorf("%s: %v %s", kind, of, diff)
		}
	}
	for _, alg := range list(m, "id_token_signing_alg_values_supported") {
		use("", "", alg)
	}
	for _, alg := range list(m, "id_token_encryption_alg_values_supported") {
		for _, enc := range list(m, "id_token_encryption_enc_values_supported") {
			use(alg, enc, "ES256")
		}
	}
	diff := cmp.Diff([]string{"public"}, list(m, "subject_types_supported"))
	if diff != "" || m["claims_parameter_supported"] != true {
		t.Errorf("%v %s", m["claims_parameter_supported"], diff)
	}
}
