package flow

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func playCareless(t *testing.T, bend func(*ClientCredentials)) (*careless, *Report) {
	t.Helper()
	server, registrant := start(t)
	run := &ClientCredentials{Registrant: registrant}
	if bend != nil {
		bend(run)
	}
	report, err := run.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return server, report
}

// What a careless server does well passes, and each of its omissions is found.
func TestACarelessServerIsFoundOut(t *testing.T) {
	_, report := playCareless(t, nil)
	t.Run("redacted", func(t *testing.T) { checkRedacted(t, report, 50) })
	want := []string{
		"7 introspection says nothing but inactive", "7 the resource refuses the token",
		"9 the same DPoP proof again", "9 the same assertion again", "9 an assertion for the token endpoint",
		"9 an assertion with aud as an array", "9 an assertion signed with RS256", "9 an assertion with alg none",
		"9 no DPoP proof", "9 a proof for another URL", "9 an unknown scope", "9 grant_type password",
		"9 the token as Bearer", "9 the token with another key's proof", "9 a token for the deleted client",
		"9 the deleted registration", "9 its token, for a resource server",
	}
	if diff := cmp.Diff(want, failed(report)); diff != "" {
		t.Error(diff)
	}
	if report.Failed != len(want) || report.Passed < 25 || len(report.Steps) != 9 {
		t.Errorf("%d passed, %d failed, %d steps", report.Passed, report.Failed, len(report.Steps))
	}
}

// breakOff lets the token endpoint answer without a token once the client is registered.
func breakOff(run *ClientCredentials) {
	run.Done = func(step *Step) {
		if step.Title == "register a client" {
			run.Server.Metadata.TokenEndpoint = run.Server.Issuer + "/jwks"
		}
	}
}

func TestAFlowThatBreaksOffDeletesItsClient(t *testing.T) {
	server, report := playCareless(t, breakOff)
	if last := report.Steps[len(report.Steps)-1]; last.Title != "client's token" || last.Checks[len(last.Checks)-1].OK {
		t.Errorf("the flow went on to %q", last.Title)
	}
	if got := server.requests[len(server.requests)-1]; got != "DELETE /register/c1" {
		t.Errorf("the last request is %s", got)
	}
}

func TestThreeWaysToRegister(t *testing.T) {
	register := func(bend func(*ClientCredentials)) (registrarToken string, registration *Exchange) {
		_, report := playCareless(t, func(run *ClientCredentials) {
			bend(run)
			breakOff(run)
		})
		if step := report.Steps[1]; len(step.Exchanges) > 0 {
			registrarToken = text(step.Exchanges[0].JSON()["access_token"])
		} else if step.Skipped == "" {
			t.Error("step 2 is empty without a reason")
		}
		return registrarToken, report.Steps[2].Exchanges[0]
	}
	token, registration := register(func(*ClientCredentials) {})
	if got := registration.RequestHeader.Get("Authorization"); got != "DPoP "+token || registration.JWTs[0].Claim("ath") != digest64(token) {
		t.Errorf("the registrar shows %s with the proof %v", got, registration.JWTs)
	}
	_, registration = register(func(run *ClientCredentials) { run.RegistrarKey, run.InitialAccessToken = nil, "initial" })
	if got := registration.RequestHeader.Get("Authorization"); got != "Bearer initial" {
		t.Errorf("Authorization: %s", got)
	}
	_, registration = register(func(run *ClientCredentials) { run.RegistrarKey = nil })
	if got := registration.RequestHeader.Get("Authorization"); got != "" {
		t.Errorf("an open registration shows %s", got)
	}
}
