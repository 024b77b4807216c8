package token_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"authserver/internal/accesstoken"
	"authserver/internal/client"
	"authserver/internal/flow"
	"authserver/internal/grant"
	"authserver/internal/oauth"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// TestRedeem (CG-01): a right code gives a token that says who granted what, how they proved who they are, and which key it
// is bound to; and a refresh token, of which the store has the hash alone.
func TestRedeem(t *testing.T) {
	b := newBench(t)
	answer, says := b.granted(b.redeem())
	refreshToken, _ := answer["refresh_token"].(string)
	want := map[string]any{"access_token": answer["access_token"], "token_type": "DPoP", "expires_in": json.Number("300"),
		"scope": "a:read b:read", "refresh_token": refreshToken, "grant_id": "grant 1"}
	if diff := cmp.Diff(want, answer); diff != "" {
		t.Errorf("answer (-want +got):\n%s", diff)
	}
	if random, err := base64.RawURLEncoding.DecodeString(refreshToken); err != nil || len(random) != 32 {
		t.Errorf("refresh token %q", refreshToken)
	}
	wantToken := accesstoken.Token{
		Issuer: issuer, Subject: "_alex", Audience: accesstoken.Audience{api}, IssuedAt: noon.Unix(), ExpiresAt: noon.Unix() + 300,
		ClientID: "c1", Scope: "a:read b:read", Confirmation: accesstoken.Confirmation{JKT: b.DPoPKey.Thumbprint()},
		GrantID: "grant 1", AuthTime: noon.Unix() - 60, ACR: "urn:example:acr", AMR: []string{"pwd"},
	}
	if diff := cmp.Diff(wantToken, says, cmpopts.IgnoreFields(accesstoken.Token{}, "ID")); diff != "" {
		t.Errorf("token (-want +got):\n%s", diff)
	}
	wantAttempt := grant.Attempt{ClientID: "c1", RedirectURI: callback, Verifier: verifier, JKT: b.DPoPKey.Thumbprint(), Unnamed: api,
		Lifetime: 5 * time.Minute}
	if diff := cmp.Diff(wantAttempt, b.grants.attempt); diff != "" {
		t.Errorf("attempt (-want +got):\n%s", diff)
	}
	wantHashes := [][]byte{oauth.Secret(code).Hash(), oauth.Secret(refreshToken).Hash()}
	if diff := cmp.Diff(wantHashes, [][]byte{b.grants.hash, b.grants.refresh}); diff != "" {
		t.Errorf("hashes of code and refresh token (-want +got):\n%s", diff)
	}
	if b.grants.asked != 1 || b.grants.spent != 1 || len(b.registry.spends[0].Uses) != 2 {
		t.Errorf("redeemed %d times, after %d spends: %+v", b.grants.asked, b.grants.spent, b.registry.spends)
	}
	wantNotes := map[oauth.Field]string{
		oauth.FieldClient: "c1", oauth.FieldGrant: "authorization_code", oauth.FieldScope: "a:read b:read", oauth.FieldToken: says.ID,
		oauth.FieldTokenType: "DPoP", oauth.FieldEvent: "token.issued", oauth.FieldSubject: "_alex", oauth.FieldGrantID: "grant 1",
	}
	if diff := cmp.Diff(wantNotes, b.notes); diff != "" {
		t.Errorf("notes (-want +got):\n%s", diff)
	}
}

// TestNoRefreshToken (RT-05): a client that is not registered to refresh gets nothing to refresh with, and the store none.
func TestNoRefreshToken(t *testing.T) {
	b := newBench(t, func(b *bench) { b.registry.client.Metadata.GrantTypes = []string{"authorization_code"} })
	answer, _ := b.granted(b.redeem())
	if value, present := answer["refresh_token"]; present || b.grants.refresh != nil {
		t.Errorf("answered %v, stored %x", value, b.grants.refresh)
	}
}

// TestAttempt (CG-05, CG-06): whatever may be wrong with a try goes to the code's own rule, as it came.
func TestAttempt(t *testing.T) {
	const loopback = "http://127.0.0.1:5000/cb"
	native := func(b *bench) {
		b.registry.client.Metadata.ApplicationType = "native"
		b.registry.client.Metadata.RedirectURIs = []string{"http://127.0.0.1/cb"}
	}
	for name, test := range map[string]struct {
		edits   []string
		prepare func(*bench)
		want    func(*grant.Attempt)
	}{
		"CG-06 no code_verifier": {[]string{"code_verifier", ""}, nil, func(a *grant.Attempt) { a.Verifier = "" }},
		"CG-06 42 characters":    {[]string{"code_verifier", verifier[1:]}, nil, func(a *grant.Attempt) { a.Verifier = verifier[1:] }},
		"CG-05 no redirect_uri":  {[]string{"redirect_uri", ""}, nil, func(a *grant.Attempt) { a.RedirectURI = "" }},
		"DCR-22 not registered":  {[]string{"redirect_uri", callback + "2"}, nil, func(a *grant.Attempt) { a.RedirectURI = "" }},
		"a native app's port":    {[]string{"redirect_uri", loopback}, native, func(a *grant.Attempt) { a.RedirectURI = loopback }},
		"resources, each once":   {[]string{"resource", files + "\n" + files}, nil, func(a *grant.Attempt) { a.Resources = []string{files} }},
		"scope, unknown here":    {[]string{"scope", "c:read"}, nil, func(*grant.Attempt) {}},
		"CG-09 %00 behind":       {[]string{"code", code + "%00"}, nil, func(*grant.Attempt) {}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			if test.prepare != nil {
				test.prepare(b)
			}
			b.grants.redemption = grant.Redemption{Outcome: grant.CodeUnknown}
			want := grant.Attempt{ClientID: "c1", RedirectURI: callback, Verifier: verifier, JKT: b.DPoPKey.Thumbprint(), Unnamed: api,
				Lifetime: 5 * time.Minute}
			test.want(&want)
			r := b.redeem(test.edits...)
			b.refused(r, oauth.CodeUnknown)
			if diff := cmp.Diff(want, b.grants.attempt); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if hash := oauth.Secret(r.Form.Get("code")).Hash(); !cmp.Equal(hash, b.grants.hash) {
				t.Errorf("the store was asked for %x, want %x", b.grants.hash, hash)
			}
		})
	}
}

// TestRefusedRedemption (CG-02, CG-04 to CG-08, CG-12; conformance 16, 17, 48 to 50, 71, 72): every outcome but one is
// refused, and the client is told which, and how often it may still try.
func TestRefusedRedemption(t *testing.T) {
	for name, test := range map[string]struct {
		outcome grant.Outcome
		edits   []string
		want    oauth.Reason
		says    string
	}{
		"CG-04 CG-09 CG-11 unknown": {grant.CodeUnknown, nil, oauth.CodeUnknown, "is not one of this client's"},
		"CG-08 expired":             {grant.CodeExpired, nil, oauth.CodeExpired, "older than 60 s"},
		"CG-02 replayed":            {grant.CodeReplayed, nil, oauth.CodeReplayed, "all tokens that came of it are revoked"},
		"CG-05 redirect_uri":        {grant.WrongRedirect, nil, oauth.CodeRedirectURI, "that of the pushed request, character by character"},
		"CG-05 no redirect_uri":     {grant.WrongRedirect, []string{"redirect_uri", ""}, oauth.CodeRedirectURI, "is missing"},
		"DCR-22 redirect_uri":       {grant.WrongRedirect, []string{"redirect_uri", callback + "2"}, oauth.CodeRedirectURI, "registered"},
		"CG-06 verifier":            {grant.WrongVerifier, nil, oauth.CodeVerifier, "received 43"},
		"CG-06 no verifier":         {grant.WrongVerifier, []string{"code_verifier", ""}, oauth.CodeVerifier, "received 0"},
		"AC-05 key":                 {grant.WrongKey, nil, oauth.CodeKey, clientKey().Thumbprint()},
		"RFC 8707 resource":         {grant.WrongResource, []string{"resource", files}, oauth.ResourceRefused, "beyond what the person granted"},
		"no outcome at all":         {"", nil, oauth.CodeUnknown, ""},
		"one of another version":    {"new_outcome", nil, oauth.CodeUnknown, ""},
	} {
		t.Run(name, func(t *testing.T) {
			for failures := range grant.CodeFailures + 1 {
				b := newBench(t)
				b.grants.grant, b.grants.redemption = grant.Grant{}, grant.Redemption{Outcome: test.outcome, Failures: failures}
				e := b.refused(b.redeem(test.edits...), test.want)
				if !strings.Contains(e.ErrorDescription(), test.says) {
					t.Errorf("says %q", e.ErrorDescription())
				}
				if len(b.registry.spends) != 1 || b.grants.spent != 1 {
					t.Errorf("%d spends, %d before the code was looked at", len(b.registry.spends), b.grants.spent)
				}
				counted := strings.HasPrefix(string(test.outcome), "wrong_")
				tries := fmt.Sprintf("wrong try %d of 5: the code is still good", failures)
				if failures == grant.CodeFailures {
					tries = "wrong try 5 of 5: the code has ended"
				}
				if strings.HasSuffix(e.ErrorDescription(), tries) != counted {
					t.Errorf("says %q, want %q at its end: %v", e.ErrorDescription(), tries, counted)
				}
				if b.notes[oauth.FieldEvent] != "" {
					t.Errorf("audited as %s", b.notes[oauth.FieldEvent])
				}
			}
		})
	}
}

// TestReplayIsAudited (CG-02): the replay that took a grant with it stands in the trail, with whose grant it was.
func TestReplayIsAudited(t *testing.T) {
	b := newBench(t)
	b.grants.redemption = grant.Redemption{Outcome: grant.CodeReplayed}
	b.refused(b.redeem(), oauth.CodeReplayed)
	want := map[oauth.Field]string{oauth.FieldClient: "c1", oauth.FieldGrant: "authorization_code",
		oauth.FieldEvent: "grant.revoked", oauth.FieldSubject: "_alex", oauth.FieldGrantID: "grant 1"}
	if diff := cmp.Diff(want, b.notes); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestRefusedBeforeSpend: what the request and the registration alone make wrong is refused without anything being used up,
// and without a look at code or refresh token.
func TestRefusedBeforeSpend(t *testing.T) {
	unbound := func(b *bench) { b.registry.client.Unbound = true }
	may := func(grants ...string) func(*bench) {
		return func(b *bench) { b.registry.client.Metadata.GrantTypes = grants }
	}
	proofless := func(whole request) request {
		return func(b *bench) *flow.Request {
			r := whole(b)
			r.Proof = nil
			return r
		}
	}
	for name, test := range map[string]struct {
		prepare func(*bench)
		request request
		want    oauth.Reason
	}{
		"no code":                    {nil, redeem("code", ""), oauth.ParameterMissing},
		"no refresh_token":           {nil, refreshing("refresh_token", ""), oauth.ParameterMissing},
		"47 code without proof":      {nil, proofless(redeem()), oauth.ProofMissing},
		"57 refresh without proof":   {nil, proofless(refreshing()), oauth.ProofMissing},
		"code, unbound":              {unbound, proofless(redeem()), oauth.ProofMissing},
		"refresh, unbound":           {unbound, proofless(refreshing()), oauth.ProofMissing},
		"CC-01 code":                 {may("refresh_token"), redeem(), oauth.GrantTypeNotRegistered},
		"CC-01 refresh":              {may("authorization_code"), refreshing(), oauth.GrantTypeNotRegistered},
		"CC-02 password":             {nil, redeem("grant_type", "password"), oauth.GrantTypeUnsupported},
		"code, unknown resource":     {nil, redeem("resource", api+"/x"), oauth.ResourceRefused},
		"code, resource fragment":    {nil, redeem("resource", api+"#x"), oauth.ResourceRefused},
		"code, 21 resources":         {nil, redeem("resource", strings.Repeat(api+"\n", 20)+api), oauth.ResourceRefused},
		"refresh, unknown resource":  {nil, refreshing("resource", api+"\nhttps://other.example"), oauth.ResourceRefused},
		"refresh, relative resource": {nil, refreshing("resource", "/api"), oauth.ResourceRefused},
		"refresh, malformed scope":   {nil, refreshing("scope", "a:read  b:read"), oauth.ScopeMalformed},
		"refresh, another's scope":   {nil, refreshing("scope", "a:read x:read"), oauth.ScopeNotRegistered},
		"refresh, no openid":         {registered("a:read b:read"), refreshing("scope", "openid a:read"), oauth.ScopeNotRegistered},
		"refresh, scope twice":       {nil, refreshing("scope", "a:read\nb:read"), oauth.ParameterRepeated},
		"code twice":                 {nil, redeem("code", code+"\n"+code), oauth.ParameterRepeated},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			if test.prepare != nil {
				test.prepare(b)
			}
			b.refused(test.request(b), test.want)
			if len(b.registry.spends) != 0 || b.grants.asked != 0 || b.notes[oauth.FieldEvent] != "" {
				t.Errorf("%d spends, %d questions, event %q", len(b.registry.spends), b.grants.asked, b.notes[oauth.FieldEvent])
			}
		})
	}
}

// TestUnboundInItsOwnName: what an operator allows a client in its own name stays as it was.
func TestUnboundInItsOwnName(t *testing.T) {
	b := newBench(t, func(b *bench) { b.registry.client.Unbound = true })
	r := b.TokenRequest(nil)
	r.Proof = nil
	answer, says := b.granted(r)
	if answer["token_type"] != "Bearer" || says.Bound() || says.Subject != "c1" || says.GrantID != "" || answer["refresh_token"] != nil {
		t.Errorf("%v, %+v", answer, says)
	}
	if b.grants.asked != 0 || b.notes[oauth.FieldSubject] != "" || b.notes[oauth.FieldGrantID] != "" {
		t.Errorf("the store was asked %d times, notes %v", b.grants.asked, b.notes)
	}
}

// TestStaleRecord: a refusal that rests on a record of before is not given; the request is judged again, and redeems once.
func TestStaleRecord(t *testing.T) {
	b := newBench(t)
	b.granted(b.redeem())
	b.registry.client.Metadata.RedirectURIs = []string{callback + "2"}
	b.registry.client.Version++
	b.granted(b.redeem("redirect_uri", callback+"2"))
	if b.grants.asked != 2 || b.grants.attempt.RedirectURI != callback+"2" || len(b.registry.spends) != 3 {
		t.Errorf("%d questions, the last %+v; %d spends", b.grants.asked, b.grants.attempt, len(b.registry.spends))
	}
	b.registry.client = client.Client{}
	e := b.send(b.redeem())
	if e.Outcome() != "401 invalid_client" || b.grants.asked != 2 {
		t.Errorf("CG-11: %s, %d questions", e.Outcome(), b.grants.asked)
	}
}
