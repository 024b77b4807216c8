package flow

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func playRefresh(t *testing.T, bend func(*careless)) *Report {
	t.Helper()
	server, registrant := start(t)
	if bend != nil {
		bend(server)
	}
	report, err := (&Refresh{Authorization: Authorization{Registrant: registrant, Person: alex}}).Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	deleted := 0
	for _, request := range server.requests {
		if request == "DELETE /register/c1" {
			deleted++
		}
	}
	if deleted != 2 {
		t.Errorf("%d of 2 clients deleted", deleted)
	}
	return report
}

// What a careless server does well passes, and each of its omissions is found.
func TestACarelessServerIsFoundOutWithRefreshTokens(t *testing.T) {
	report := playRefresh(t, nil)
	t.Run("redacted", func(t *testing.T) { checkRedacted(t, report, 100) })
	want := []string{
		"8 a scope that nobody granted", "8 no DPoP proof", "8 another client's request", "8 the access token in its place",
		"8 a refresh token that nobody issued", "9 a refresh after that", "9 the access token",
		"10 the same code again", "10 and then its access token", "10 and then its refresh token",
	}
	if diff := cmp.Diff(want, failed(report)); diff != "" {
		t.Error(diff)
	}
	if report.Flow != "refresh" || report.Passed < 50 || len(report.Steps) != 10 {
		t.Errorf("flow %s: %d passed, %d steps", report.Flow, report.Passed, len(report.Steps))
	}
}

// Every check of a refresh fails when only that is wrong.
func TestEveryMistakeAtARefreshIsFound(t *testing.T) {
	// From the given token of a person on, the code's being the first.
	from := func(nth int, change func(answer map[string]any)) func(*careless) {
		return func(s *careless) {
			s.bends = map[string]func(map[string]any){"POST /token": func(answer map[string]any) {
				if answer["refresh_token"] != nil {
					nth--
				}
				if nth <= 0 {
					change(answer)
				}
			}}
		}
	}
	set := func(name string, value any) func(map[string]any) {
		return func(answer map[string]any) { answer[name] = value }
	}
	var first any
	same := from(1, func(answer map[string]any) {
		if answer["refresh_token"] != nil && first == nil {
			first = answer["access_token"]
		}
		if first != nil {
			answer["access_token"] = first
		}
	})
	const refreshToken, accessToken, scope = "7 the refresh token is the same as before", "7 the access token is another one", "7 scope is what was asked for"
	tests := []struct {
		name string
		bend func(*careless)
		want []string
	}{
		{"no refresh token from the first", from(1, set("refresh_token", "")), []string{"6 a refresh token comes with it"}},
		{"another refresh token", from(2, set("refresh_token", "secret-other-refresh-token")), []string{refreshToken}},
		{"no refresh token", from(2, func(answer map[string]any) { delete(answer, "refresh_token") }), []string{refreshToken}},
		{"another one the second time", from(3, set("refresh_token", "secret-other-refresh-token")), []string{refreshToken}},
		{"less scope", from(2, set("scope", "fdx:statements:read")), []string{scope}},
		{"less scope for ever", from(5, set("scope", "fdx:statements:read")), []string{scope}},
		{"no narrowing", from(3, set("scope", grantedScope)), []string{scope}},
		{"the same access token, bound to the old key", same, []string{accessToken, "7 cnf.jkt is the thumbprint of the proof's key"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			found := failed(playRefresh(t, test.bend))
			for _, want := range test.want {
				if !slices.Contains(found, want) {
					t.Errorf("want %q among\n%s", want, strings.Join(found, "\n"))
				}
			}
		})
	}
}
