package grant_test

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"testing"
	"time"

	"authserver/internal/grant"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

const (
	verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk" // RFC 7636, appendix B
	callback = "https://c1.example/cb"
	api      = "https://api.example"
	files    = "https://files.example"
)

func challenge(verifier string) string {
	digest := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(digest[:])
}

func fresh() grant.Code {
	return grant.Code{
		ClientID: "c1", RedirectURI: callback, CodeChallenge: challenge(verifier), JKT: "key", ExpiresAt: noon.Add(grant.CodeLifetime),
	}
}

// good is the attempt that a fresh code is made for.
func good() grant.Attempt {
	return grant.Attempt{ClientID: "c1", RedirectURI: callback, Verifier: verifier, JKT: "key", Unnamed: api}
}

// TestRedeem (req AC-01 to AC-05): whatever is tried, in whichever order, a code gives tokens once, in time, to its own
// client with the right proofs; a fifth wrong try ends it, strangers change nothing, and a replay is told as one.
func TestRedeem(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		code, now := fresh(), noon
		redeemed, wrong := 0, 0
		for range rapid.IntRange(1, 12).Draw(t, "attempts") {
			now = now.Add(time.Duration(rapid.IntRange(0, 20).Draw(t, "seconds")) * time.Second)
			a := grant.Attempt{
				ClientID:    rapid.SampledFrom([]string{"c1", "c1", "c1", "c2"}).Draw(t, "client"),
				RedirectURI: rapid.SampledFrom([]string{callback, callback, "https://c1.example/CB", ""}).Draw(t, "redirect"),
				Verifier:    rapid.SampledFrom([]string{verifier, verifier, verifier[1:], "", verifier + "="}).Draw(t, "verifier"),
				JKT:         rapid.SampledFrom([]string{"key", "key", "other", ""}).Draw(t, "key"),
				Resources:   rapid.SampledFrom([][]string{nil, {api}, {files}}).Draw(t, "resources"),
				Unnamed:     api,
			}
			want := grant.Redemption{}
			switch inTime := now.Before(code.ExpiresAt); {
			case a.ClientID != "c1" || redeemed == 0 && wrong >= grant.CodeFailures:
				want.Outcome = grant.CodeUnknown
			case redeemed > 0:
				want.Outcome = grant.CodeReplayed
			case !inTime:
				want.Outcome = grant.CodeExpired
			default:
				want.Outcome = wrongIn(a)
				if want.Outcome == grant.Redeemed {
					redeemed++
				} else {
					wrong++
					want.Failures = wrong
				}
			}
			after, got := code.Redeem(a, now)
			if got != want {
				t.Fatalf("%+v at +%s is %+v, want %+v", a, now.Sub(noon), got, want)
			}
			if a.ClientID != "c1" && !cmp.Equal(code, after) {
				t.Fatalf("a stranger's try changes the code:\n%s", cmp.Diff(code, after))
			}
			code = after
		}
		if redeemed > 1 || code.Redeemed != (redeemed == 1) || code.Failures != wrong {
			t.Fatalf("redeemed %d times, %d wrong tries: %+v", redeemed, wrong, code)
		}
	})
}

// wrongIn is the first thing wrong in an attempt at a fresh code, or Redeemed when nothing is.
func wrongIn(a grant.Attempt) grant.Outcome {
	switch {
	case a.RedirectURI != callback:
		return grant.WrongRedirect
	case a.Verifier != verifier:
		return grant.WrongVerifier
	case a.JKT != "key":
		return grant.WrongKey
	case len(a.Resources) > 0 && a.Resources[0] != api:
		return grant.WrongResource
	}
	return grant.Redeemed
}

// TestVerifier (PKCE-02): 43 to 128 unreserved characters whose SHA-256 is the challenge; never the challenge itself.
func TestVerifier(t *testing.T) {
	long := verifier + verifier + verifier[:42]
	for name, test := range map[string]struct {
		verifier string
		made     string // what the challenge was made from
		want     grant.Outcome
	}{
		"43 characters":                 {verifier, verifier, grant.Redeemed},
		"128 characters":                {long, long, grant.Redeemed},
		"every kind of character":       {"abcxyzABCXYZ0189-._~" + verifier, "abcxyzABCXYZ0189-._~" + verifier, grant.Redeemed},
		"CG-06 42 characters":           {verifier[:42], verifier[:42], grant.WrongVerifier},
		"CG-06 129 characters":          {long + "A", long + "A", grant.WrongVerifier},
		"CG-06 a percent sign":          {"%" + verifier, "%" + verifier, grant.WrongVerifier},
		"CG-06 a letter of no alphabet": {"é" + verifier, "é" + verifier, grant.WrongVerifier},
		"CG-06 none":                    {"", verifier, grant.WrongVerifier},
		"CG-06 none of nothing":         {"", "", grant.WrongVerifier},
		"CG-06 another":                 {verifier[:42] + "A", verifier, grant.WrongVerifier},
		"CG-07 the challenge itself":    {challenge(verifier), verifier, grant.WrongVerifier},
		"a space behind":                {verifier + " ", verifier, grant.WrongVerifier},
	} {
		code, a := fresh(), good()
		code.CodeChallenge, a.Verifier = challenge(test.made), test.verifier
		if _, got := code.Redeem(a, noon); got.Outcome != test.want {
			t.Errorf("%s: %s, want %s", name, got.Outcome, test.want)
		}
	}
}

// TestCodeOfEndedGrant (CG-11): it gives nothing, and is not used up by that; redeemed before, it is still told as a replay.
func TestCodeOfEndedGrant(t *testing.T) {
	code := fresh()
	code.GrantEnded = true
	after, got := code.Redeem(good(), noon)
	if got != (grant.Redemption{Outcome: grant.CodeUnknown}) || !cmp.Equal(code, after) {
		t.Errorf("%+v: %s", got, cmp.Diff(code, after))
	}
	code.Spent, code.Redeemed = true, true
	if _, got := code.Redeem(good(), noon); got.Outcome != grant.CodeReplayed {
		t.Errorf("redeemed before: %s", got.Outcome)
	}
}

// TestRedirectNamesSomething: no redirect_uri is never the right one.
func TestRedirectNamesSomething(t *testing.T) {
	code, a := fresh(), good()
	code.RedirectURI, a.RedirectURI = "", ""
	if _, got := code.Redeem(a, noon); got.Outcome != grant.WrongRedirect {
		t.Errorf("none for none: %s", got.Outcome)
	}
}

// TestCodeOfAnyKey (AC-05): only a code that no key was named for goes to whoever's proof comes with it.
func TestCodeOfAnyKey(t *testing.T) {
	code, a := fresh(), good()
	code.JKT, a.JKT = "", "another"
	if _, got := code.Redeem(a, noon); got.Outcome != grant.Redeemed {
		t.Errorf("a code of no key: %s", got.Outcome)
	}
}

// TestAudience (RFC 8707 §2.2): a token is for nothing that the grant is not for, at its code and ever after.
func TestAudience(t *testing.T) {
	for name, test := range map[string]struct {
		granted, requested, want []string // want nil: refused
	}{
		"all of the grant's":                     {[]string{api, files}, nil, []string{api, files}},
		"one of the grant's":                     {[]string{api, files}, []string{files}, []string{files}},
		"beyond the grant's":                     {[]string{api}, []string{files}, nil},
		"one of the grant's and one beyond":      {[]string{api}, []string{api, files}, nil},
		"a grant that names none":                {nil, nil, []string{"https://unnamed.example"}},
		"a grant that names none, by its name":   {nil, []string{"https://unnamed.example"}, []string{"https://unnamed.example"}},
		"beyond a grant that names none":         {nil, []string{api}, nil},
		"what names none stands for, beyond one": {[]string{api}, []string{"https://unnamed.example"}, nil},
	} {
		got, ok := grant.Grant{Resources: test.granted}.Audience(test.requested, "https://unnamed.example")
		if !ok {
			got = nil
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		code, a := fresh(), good()
		code.Grant.Resources, a.Resources, a.Unnamed = test.granted, test.requested, "https://unnamed.example"
		if _, r := code.Redeem(a, noon); (r.Outcome == grant.Redeemed) != (test.want != nil) {
			t.Errorf("%s: the code is %s", name, r.Outcome)
		}
	}
}

// TestNonce: whoever redeems the code, and nobody else, is given the nonce of the request, to the letter.
func TestNonce(t *testing.T) {
	code, stranger, wrong := fresh(), good(), good()
	code.Nonce, stranger.ClientID, wrong.Verifier = "n-0S6_WzA2Mj.~", "c2", verifier[1:]
	for _, a := range []grant.Attempt{stranger, wrong} {
		if _, r := code.Redeem(a, noon); r.Nonce != "" {
			t.Errorf("%s comes with the nonce", r.Outcome)
		}
	}
	after, r := code.Redeem(good(), noon)
	if r.Outcome != grant.Redeemed || r.Nonce != "n-0S6_WzA2Mj.~" {
		t.Errorf("redeemed: %+v", r)
	}
	if _, r := after.Redeem(good(), noon); r.Outcome != grant.CodeReplayed || r.Nonce != "" {
		t.Errorf("a replay: %+v", r)
	}
}

// TestCodeWithoutIDToken (IDT-05, KY-04): where no ID token can be made, a code that promises one is kept for another attempt,
// and this one is no wrong try. What is wrong in the attempt itself comes first, and whoever was promised none has what there is.
func TestCodeWithoutIDToken(t *testing.T) {
	code, unsealed := fresh(), good()
	code.Grant.Scope, unsealed.Unsealed = "fdx:accountbasic:read openid", errors.New("no key")
	for range 2 * grant.CodeFailures {
		after, r := code.Redeem(unsealed, noon)
		if r != (grant.Redemption{Outcome: grant.NoIDToken}) || !cmp.Equal(code, after) {
			t.Fatalf("%+v: %s", r, cmp.Diff(code, after))
		}
	}
	wrong := unsealed
	wrong.JKT = "other"
	if _, r := code.Redeem(wrong, noon); r.Outcome != grant.WrongKey || r.Failures != 1 {
		t.Errorf("with another key: %+v", r)
	}
	for _, scope := range []string{"fdx:accountbasic:read", "openid2 xopenid", ""} {
		promised := fresh()
		promised.Grant.Scope = scope
		if _, r := promised.Redeem(unsealed, noon); r.Outcome != grant.Redeemed {
			t.Errorf("of the scope %q: %s", scope, r.Outcome)
		}
	}
	if _, r := code.Redeem(good(), noon); r.Outcome != grant.Redeemed {
		t.Errorf("once the key is there: %s", r.Outcome)
	}
}
