package grant_test

import (
	"testing"
	"time"

	"authserver/internal/grant"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// TestInteraction (AZ): an interaction ends 15 minutes after its last step and 30 after its first, whatever is done in it;
// who comes after another finds nothing of what that one chose; and only who goes on with it decides, once.
func TestInteraction(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		opened := noon
		i, arrival := grant.Open(grant.Pushed{ArriveBy: noon.Add(1)}, false, 0, opened)
		if arrival != grant.Opened {
			t.Fatal(arrival)
		}
		now, last, subject, accounts := opened, opened, "", []string(nil)
		for range rapid.IntRange(1, 8).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 20).Draw(t, "minutes")) * time.Minute)
			alive := !i.Decided && now.Before(last.Add(grant.InteractionStep)) && now.Before(opened.Add(grant.InteractionMost))
			if i.Alive(now) != alive {
				t.Fatalf("alive at +%s, last step +%s: %v", now.Sub(opened), last.Sub(opened), !alive)
			}
			who := rapid.SampledFrom([]string{"alex", "kim", ""}).Draw(t, "who")
			switch rapid.SampledFrom([]string{"step", "choose", "decide"}).Draw(t, "what") {
			case "step":
				next, ok := i.Step(who, now)
				if ok != alive {
					t.Fatalf("a step at +%s: %v", now.Sub(opened), ok)
				}
				if ok {
					i, last = next, now
					if who != subject {
						subject, accounts = who, nil
					}
				}
			case "choose":
				next, ok := i.Choose(who, []string{"of " + who}, now)
				if ok != (alive && who != "") {
					t.Fatalf("%q chooses at +%s: %v", who, now.Sub(opened), ok)
				}
				if ok {
					i, last, subject, accounts = next, now, who, []string{"of " + who}
				}
			case "decide":
				want := grant.NotTheirs
				switch {
				case i.Decided:
					want = grant.AlreadyAnswered
				case !alive:
					want = grant.Expired
				case subject == who:
					want = grant.Decided
				}
				if got := i.Decide(who, now); got != want {
					t.Fatalf("%q decides for %q at +%s: %s, want %s", who, subject, now.Sub(opened), got, want)
				}
				i.Decided = i.Decided || want == grant.Decided
			}
			if i.Subject != subject || !cmp.Equal(i.Accounts, accounts) {
				t.Fatalf("goes on for %q with %q, want %q with %q", i.Subject, i.Accounts, subject, accounts)
			}
		}
	})
}

// TestOpen: nobody arrives late, at a request that somebody has answered, or after too many others.
func TestOpen(t *testing.T) {
	for name, test := range map[string]struct {
		decided bool
		open    int
		now     time.Time
		want    grant.Arrival
	}{
		"in time":                          {false, grant.MaxInteractions - 1, noon.Add(-1), grant.Opened},
		"PR-36 late":                       {false, 0, noon, grant.TooLate},
		"answered":                         {true, 0, noon.Add(-1), grant.Answered},
		"answered, and late":               {true, 0, noon, grant.Answered},
		"after as many as may open it":     {false, grant.MaxInteractions, noon.Add(-1), grant.Crowded},
		"late, after as many as may do it": {false, grant.MaxInteractions, noon, grant.TooLate},
	} {
		if _, got := grant.Open(grant.Pushed{ArriveBy: noon}, test.decided, test.open, test.now); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
}

// TestAuthenticated (AUTHZ-07): which authentication is good enough, by the request's prompt and max_age.
func TestAuthenticated(t *testing.T) {
	hour, none := 3600, 0
	for name, test := range map[string]struct {
		request grant.Pushed
		session string        // "old" is the one that the browser came with
		ago     time.Duration // before the browser arrived
		want    bool
	}{
		"any time ago":                           {grant.Pushed{}, "old", 100 * time.Hour, true},
		"prompt=login, before":                   {grant.Pushed{Prompt: []string{"login"}}, "new", time.Second, false},
		"prompt=login, since":                    {grant.Pushed{Prompt: []string{"login"}}, "new", 0, true},
		"prompt=login, by a clock ahead":         {grant.Pushed{Prompt: []string{"login"}}, "old", -time.Second, false},
		"prompt=select_account, before":          {grant.Pushed{Prompt: []string{"select_account"}}, "new", time.Second, false},
		"prompt=select_account, a clock ahead":   {grant.Pushed{Prompt: []string{"select_account"}}, "old", -time.Second, false},
		"prompt=consent, before":                 {grant.Pushed{Prompt: []string{"consent"}}, "old", time.Hour, true},
		"as old as max_age":                      {grant.Pushed{MaxAge: &hour}, "old", time.Hour, true},
		"older than max_age":                     {grant.Pushed{MaxAge: &hour}, "old", time.Hour + time.Second, false},
		"older than max_age, though begun since": {grant.Pushed{MaxAge: &hour}, "new", time.Hour + time.Second, false},
		"max_age=0, before":                      {grant.Pushed{MaxAge: &none}, "new", time.Second, false},
		"max_age=0, since":                       {grant.Pushed{MaxAge: &none}, "new", -time.Minute, true},
		"max_age=0, by a clock ahead":            {grant.Pushed{MaxAge: &none}, "old", -time.Second, false},
		"prompt=login and max_age, too early":    {grant.Pushed{Prompt: []string{"login"}, MaxAge: &hour}, "new", time.Minute, false},
	} {
		i := grant.Interaction{Request: test.request, OpenedAt: noon, CameWith: []byte("old")}
		if got := i.Authenticated([]byte(test.session), noon.Add(-test.ago)); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// TestDeparture: a browser returns from an upstream once, with the last state that it left with, while its interaction
// lives; neither way changes for whom the interaction goes on.
func TestDeparture(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		i, _ := grant.Open(grant.Pushed{ArriveBy: noon.Add(1)}, false, 0, noon)
		i, _ = i.Choose("alex", []string{"a1"}, noon)
		now, away := noon, ""
		for range rapid.IntRange(1, 10).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 8).Draw(t, "minutes")) * time.Minute)
			state := rapid.SampledFrom([]string{"one", "two", ""}).Draw(t, "state")
			alive := i.Alive(now)
			if state != "" && rapid.Bool().Draw(t, "leaves") {
				next, ok := i.Depart([]byte(state), now)
				if ok != alive {
					t.Fatalf("left at +%s: %v", now.Sub(noon), ok)
				}
				if ok {
					i, away = next, state
				}
			} else {
				next, ok := i.Return([]byte(state), now)
				if ok != (alive && state != "" && state == away) {
					t.Fatalf("returned at +%s with %q, gone with %q: %v", now.Sub(noon), state, away, ok)
				}
				if ok {
					i, away = next, ""
				} else if !cmp.Equal(i, next) {
					t.Fatalf("a refused return changes:\n%s", cmp.Diff(i, next))
				}
			}
			if i.Subject != "alex" || len(i.Accounts) != 1 {
				t.Fatalf("goes on for %q with %q", i.Subject, i.Accounts)
			}
			i.Decided = rapid.IntRange(0, 9).Draw(t, "decided") == 0
		}
	})
}
