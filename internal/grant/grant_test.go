package grant_test

import (
	"crypto/sha256"
	"encoding/base64"
	"testing"
	"time"

	"authserver/internal/grant"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk" // RFC 7636, appendix B

func challenge(verifier string) string {
	digest := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(digest[:])
}

func fresh() grant.Code {
	return grant.Code{ClientID: "c1", RedirectURI: "https://c1.example/cb", CodeChallenge: challenge(verifier), JKT: "key", ExpiresAt: noon.Add(grant.CodeLifetime)}
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
				RedirectURI: rapid.SampledFrom([]string{"https://c1.example/cb", "https://c1.example/cb", "https://c1.example/CB", ""}).Draw(t, "redirect"),
				Verifier:    rapid.SampledFrom([]string{verifier, verifier, verifier[1:], "", verifier + "="}).Draw(t, "verifier"),
				JKT:         rapid.SampledFrom([]string{"key", "key", "other", ""}).Draw(t, "key"),
			}
			own, inTime := a.ClientID == "c1", now.Before(code.ExpiresAt)
			right := a.RedirectURI == code.RedirectURI && a.Verifier == verifier && a.JKT == "key"
			after, outcome := code.Redeem(a, now)
			var want grant.Redemption
			switch {
			case !own || redeemed == 0 && wrong >= grant.CodeFailures:
				want = grant.CodeUnknown
			case redeemed > 0:
				want = grant.CodeReplayed
			case !inTime:
				want = grant.CodeExpired
			case right:
				want = grant.Redeemed
				redeemed++
			default:
				wrong++
				if outcome != grant.WrongKey && outcome != grant.WrongRedirect && outcome != grant.WrongVerifier {
					t.Fatalf("a wrong try is %s", outcome)
				}
				want = outcome
			}
			if outcome != want {
				t.Fatalf("%+v at +%s is %s, want %s", a, now.Sub(noon), outcome, want)
			}
			if !own && !cmp.Equal(code, after) {
				t.Fatalf("a stranger's try changes the code:\n%s", cmp.Diff(code, after))
			}
			code = after
		}
		if redeemed > 1 || code.Redeemed != (redeemed == 1) || code.Failures != wrong {
			t.Fatalf("redeemed %d times, %d wrong tries: %+v", redeemed, wrong, code)
		}
	})
}

// TestInteraction: an interaction ends 15 minutes after its last step and 30 after its first, whatever is done in it, and
// only who is logged in decides, once.
func TestInteraction(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		arrival := noon.Add(time.Duration(rapid.IntRange(-5, 5).Draw(t, "arrival")) * time.Second)
		i, inTime := grant.Open(grant.Pushed{ArriveBy: noon}, false, arrival)
		if inTime != arrival.Before(noon) {
			t.Fatalf("arrived at %s: %v", arrival.Sub(noon), inTime)
		}
		if !inTime {
			return
		}
		now, last, subject, decided := arrival, arrival, "", false
		for range rapid.IntRange(1, 8).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 20).Draw(t, "minutes")) * time.Minute)
			alive := now.Before(last.Add(grant.InteractionStep)) && now.Before(arrival.Add(grant.InteractionMost))
			if i.Alive(now) != alive {
				t.Fatalf("alive at +%s, last step +%s: %v", now.Sub(arrival), last.Sub(arrival), !alive)
			}
			who := rapid.SampledFrom([]string{"alex", "kim"}).Draw(t, "who")
			if rapid.Bool().Draw(t, "log in") {
				next, ok := i.LoggedIn(who, now)
				if ok != alive {
					t.Fatalf("logged in at +%s: %v", now.Sub(arrival), ok)
				}
				if ok {
					i, subject, last = next, who, now
				}
				continue
			}
			want := grant.NotTheirs
			switch {
			case decided:
				want = grant.AlreadyAnswered
			case !alive:
				want = grant.Expired
			case subject == who:
				want = grant.Decided
			}
			if got := i.Decide(decided, who, now); got != want {
				t.Fatalf("%s decides for %q at +%s: %s, want %s", who, subject, now.Sub(arrival), got, want)
			}
			decided = decided || want == grant.Decided
		}
	})
}

// TestArrival: nobody arrives at a request that somebody has answered.
func TestArrival(t *testing.T) {
	if _, ok := grant.Open(grant.Pushed{ArriveBy: noon}, true, noon.Add(-time.Second)); ok {
		t.Error("an interaction opens for an answered request")
	}
	revoked := noon
	for name, test := range map[string]struct {
		grant  grant.Grant
		client string
		want   bool
	}{
		"its client":     {grant.Grant{ClientID: "c1", ExpiresAt: noon.Add(1)}, "c1", true},
		"another client": {grant.Grant{ClientID: "c1", ExpiresAt: noon.Add(1)}, "c2", false},
		"at its end":     {grant.Grant{ClientID: "c1", ExpiresAt: noon}, "c1", false},
		"revoked":        {grant.Grant{ClientID: "c1", ExpiresAt: noon.Add(1), RevokedAt: &revoked}, "c1", false},
	} {
		if got := test.grant.Refreshes(test.client, noon); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
