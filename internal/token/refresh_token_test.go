package token_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"authserver/internal/accesstoken"
	"authserver/internal/fdx"
	"authserver/internal/flow"
	"authserver/internal/oauth"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// TestRefresh (RT-01; conformance 57): the refresh token gives a token that says what the first one said, bound to
// whichever key the proof is by, and comes back as it was.
func TestRefresh(t *testing.T) {
	b := newBench(t)
	other, err := flow.GenerateKey("ES256")
	if err != nil {
		t.Fatal(err)
	}
	b.DPoPKey = other
	answer, says := b.granted(b.refreshing("redirect_uri", "https://elsewhere.example", "code_verifier", "x"))
	want := map[string]any{"access_token": answer["access_token"], "token_type": "DPoP", "expires_in": json.Number("300"),
		"scope": "a:read b:read", "refresh_token": refresh, "grant_id": "grant 1"}
	if diff := cmp.Diff(want, answer); diff != "" {
		t.Errorf("answer (-want +got):\n%s", diff)
	}
	wantToken := accesstoken.Token{
		Issuer: issuer, Subject: "_alex", Audience: accesstoken.Audience{api}, IssuedAt: noon.Unix(), ExpiresAt: noon.Unix() + 300,
		ClientID: "c1", Scope: "a:read b:read", Confirmation: accesstoken.Confirmation{JKT: other.Thumbprint()},
		GrantID: "grant 1", AuthTime: noon.Unix() - 60, ACR: "urn:example:acr", AMR: []string{"pwd"},
	}
	if diff := cmp.Diff(wantToken, says, cmpopts.IgnoreFields(accesstoken.Token{}, "ID")); diff != "" {
		t.Errorf("token (-want +got):\n%s", diff)
	}
	if !cmp.Equal(b.grants.hash, oauth.Secret(refresh).Hash()) || b.grants.client != "c1" || b.grants.asked != 1 || b.grants.spent != 1 {
		t.Errorf("%s asked for %x, %d times, after %d spends", b.grants.client, b.grants.hash, b.grants.asked, b.grants.spent)
	}
	if b.notes[oauth.FieldGrantID] != "grant 1" || b.notes[oauth.FieldSubject] != "_alex" || b.notes[oauth.FieldEvent] != "token.issued" {
		t.Errorf("notes %v", b.notes)
	}
}

// TestRefreshNarrows (RT-02, RT-03, DCR-22): a token is for what is asked for, of what the person granted, of what the
// client is registered for now, at resources that still are some.
func TestRefreshNarrows(t *testing.T) {
	for name, test := range map[string]struct {
		edits    []string
		prepare  func(*bench)
		scope    string
		audience accesstoken.Audience
	}{
		"RT-03 all":               {nil, nil, "a:read b:read", accesstoken.Audience{api}},
		"RT-03 less":              {[]string{"scope", "b:read"}, nil, "b:read", accesstoken.Audience{api}},
		"in another order":        {[]string{"scope", "b:read a:read"}, nil, "a:read b:read", accesstoken.Audience{api}},
		"DCR-22 less registered":  {nil, registered("b:read c:read"), "b:read", accesstoken.Audience{api}},
		"openid alone":            {[]string{"scope", "openid"}, func(b *bench) { b.grants.grant.Scope = "openid a:read" }, "openid", accesstoken.Audience{api}},
		"resources of the grant":  {nil, resources(files, api), "a:read b:read", accesstoken.Audience{files, api}},
		"one of them":             {[]string{"resource", files}, resources(files, api), "a:read b:read", accesstoken.Audience{files}},
		"none but the default":    {[]string{"resource", api}, nil, "a:read b:read", accesstoken.Audience{api}},
		"one that is no more":     {nil, resources("https://gone.example", files), "a:read b:read", accesstoken.Audience{files}},
		"each once":               {[]string{"resource", files + "\n" + files}, resources(files), "a:read b:read", accesstoken.Audience{files}},
		"a scope that names none": {[]string{"scope", ""}, nil, "a:read b:read", accesstoken.Audience{api}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			if test.prepare != nil {
				test.prepare(b)
			}
			before := b.grants.grant.Scope
			answer, says := b.granted(b.refreshing(test.edits...))
			if answer["scope"] != test.scope || says.Scope != test.scope || !cmp.Equal(says.Audience, test.audience) {
				t.Errorf("answer %v, token %q for %q", answer["scope"], says.Scope, says.Audience)
			}
			if b.grants.grant.Scope != before {
				t.Errorf("the grant is narrowed to %q", b.grants.grant.Scope)
			}
		})
	}
}

// resources has the grant name resources.
func resources(named ...string) func(*bench) {
	return func(b *bench) { b.grants.grant.Resources = named }
}

// registered has the client registered for this scope.
func registered(scope string) func(*bench) {
	return func(b *bench) { b.registry.client.Metadata.Scope = scope }
}

// TestRefusedGrant (RT-02, RT-04 to RT-06): what a grant does not give, whichever way it is asked for. The request is spent
// by then: only the store knows.
func TestRefusedGrant(t *testing.T) {
	for name, test := range map[string]struct {
		edits   []string
		prepare func(*bench)
		want    oauth.Reason
	}{
		"RT-04 RT-05 RT-06 unknown":     {nil, func(b *bench) { b.grants.found = false }, oauth.RefreshTokenUnknown},
		"RT-02 wider":                   {[]string{"scope", "a:read c:read"}, nil, oauth.GrantScope},
		"resource beyond the grant":     {[]string{"resource", files}, nil, oauth.ResourceRefused},
		"resource beyond those":         {[]string{"resource", api}, resources(files), oauth.ResourceRefused},
		"resources that are no more":    {nil, resources("https://gone.example"), oauth.ResourceRefused},
		"DCR-22 nothing registered":     {nil, registered("c:read"), oauth.GrantEnded},
		"openid, which was not granted": {[]string{"scope", "openid a:read"}, nil, oauth.GrantScope},
		"openid, registered no more":    {nil, func(b *bench) { b.grants.grant.Scope = "openid"; registered("a:read")(b) }, oauth.GrantEnded},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			if test.prepare != nil {
				test.prepare(b)
			}
			b.refused(b.refreshing(test.edits...), test.want)
			if b.notes[oauth.FieldEvent] != "" || len(b.registry.spends) != 1 {
				t.Errorf("event %q, %d spends", b.notes[oauth.FieldEvent], len(b.registry.spends))
			}
		})
	}
}

// TestNoTokenOutlivesItsGrant (RT-14): exp is never after the end of the grant, and a grant that has less than a second
// left gives nothing.
func TestNoTokenOutlivesItsGrant(t *testing.T) {
	for _, test := range []struct {
		left, own time.Duration // of the grant, and what the operator lets tokens of the client live
		expires   int64         // seconds; 0: refused
	}{
		{fdx.MaxLife, 0, 300},
		{fdx.MaxLife, 15 * time.Minute, 900},
		{300 * time.Second, 0, 300},
		{299 * time.Second, 0, 299},
		{100 * time.Second, 15 * time.Minute, 100},
		{1900 * time.Millisecond, 0, 2}, // noon is half a second past, and so is iat
		{1400 * time.Millisecond, 0, 1},
		{time.Second, 0, 1},
		{999 * time.Millisecond, 0, 0},
		{time.Nanosecond, 0, 0},
		{0, 0, 0},
		{-time.Hour, 0, 0},
	} {
		for name, request := range map[string]func(*bench) *flow.Request{
			"code":    func(b *bench) *flow.Request { return b.redeem() },
			"refresh": func(b *bench) *flow.Request { return b.refreshing() },
		} {
			b := newBench(t)
			b.grants.grant.ExpiresAt, b.registry.client.TokenLifetime = noon.Add(test.left), test.own
			if test.expires == 0 {
				b.refused(request(b), oauth.GrantEnded)
				continue
			}
			answer, says := b.granted(request(b))
			if says.ExpiresAt != noon.Unix()+test.expires || answer["expires_in"] != json.Number(fmt.Sprint(test.expires)) {
				t.Errorf("%s with %s left: expires_in %v, exp %d s after iat", name, test.left, answer["expires_in"], says.ExpiresAt-says.IssuedAt)
			}
			if end := time.Unix(says.ExpiresAt, 0); end.After(b.grants.grant.ExpiresAt) {
				t.Errorf("%s with %s left: the token ends at %s", name, test.left, end)
			}
		}
	}
}

// TestExpiresInIsPositive (TOK-04): even when the answer took as long as the token lives.
func TestExpiresInIsPositive(t *testing.T) {
	b := newBench(t)
	b.grants.grant.ExpiresAt = noon.Add(time.Second)
	late := 0
	b.endpoint.Now = func() time.Time { late++; return noon.Add(time.Duration(late-1) * time.Second) }
	if answer, _ := b.granted(b.refreshing()); answer["expires_in"] != json.Number("1") {
		t.Errorf("expires_in %v", answer["expires_in"])
	}
}

// outage is an error of a store that may do better later.
type outage struct{}

func (outage) Error() string   { return "the database is down" }
func (outage) Temporary() bool { return true }

// TestStoreFails (ST-07): no token without the store's word, and no refusal that a client would take for the last one.
func TestStoreFails(t *testing.T) {
	for name, request := range map[string]func(*bench) *flow.Request{
		"code":    func(b *bench) *flow.Request { return b.redeem() },
		"refresh": func(b *bench) *flow.Request { return b.refreshing() },
	} {
		for err, want := range map[error]string{outage{}: "503 temporarily_unavailable", errors.New("a fault"): "500 server_error"} {
			b := newBench(t)
			b.grants.err = err
			if e := b.send(request(b)); e.Outcome() != want || b.notes[oauth.FieldEvent] != "" {
				t.Errorf("%s: %s, want %s", name, e.Outcome(), want)
			}
			b = newBench(t)
			b.registry.down = err
			if e := b.send(request(b)); e.Outcome() != want || b.grants.asked != 0 {
				t.Errorf("%s not spent: %s, %d questions, want %s", name, e.Outcome(), b.grants.asked, want)
			}
		}
	}
}
