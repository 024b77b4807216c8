package flow

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func playBearer(t *testing.T, bend func(*careless, *JWTBearer)) *Report {
	t.Helper()
	server, registrant := start(t)
	registrant.IssuerKey = issuerKey(t)
	run := &JWTBearer{Registrant: registrant}
	if bend != nil {
		bend(server, run)
	}
	report, err := run.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// issuerKey is that of an issuer whose assertions a careless server takes.
func issuerKey(t *testing.T) *Key {
	t.Helper()
	key, err := GenerateKey("ES256")
	if err != nil {
		t.Fatal(err)
	}
	key.Issuer, key.ClientID = "vouching", "gateway"
	return key
}

// What a careless server takes for an assertion.
var badAssertions = []string{
	"7 exp 16 minutes ahead", "7 exp 5 minutes ago", "7 no exp", "7 no kid", "7 a kid that nobody has", "7 alg none",
	"7 alg HS256, by the public key", "7 alg PS256", "7 another key's signature", "7 an issuer that nobody trusts",
	"7 another subject", "7 no subject", "7 another audience", "7 no audience", "7 the typ of a request object",
	"7 the typ of an access token",
}

var badBearing = []string{
	"7 the same assertion again", "7 the same with its s turned over", "7 the access token", "7 no assertion", "7 two assertions",
	"7 a scope that it does not open", "7 a person's data", "7 the assertion as a client's", "7 another client_id",
}

const badResource = "6 refused where tokens must be bound"

// What a careless server does well passes, and each of its omissions is found.
func TestACarelessServerIsFoundOutWithAssertions(t *testing.T) {
	report := playBearer(t, nil)
	t.Run("redacted", func(t *testing.T) { checkRedacted(t, report, 30) })
	want := slices.Concat([]string{badResource}, badAssertions, []string{"7 a client assertion"}, badBearing)
	if diff := cmp.Diff(want, failed(report)); diff != "" {
		t.Error(diff)
	}
	if report.Flow != "jwt-bearer" || report.Passed < 35 || len(report.Steps) != 7 {
		t.Errorf("flow %s: %d passed, %d steps", report.Flow, report.Passed, len(report.Steps))
	}
}

// Without a resource server, demo accounts or the id of the issuer's client there is less to look at.
func TestAssertionsWhereSomethingIsMissing(t *testing.T) {
	report := playBearer(t, func(s *careless, run *JWTBearer) {
		s.withoutDemo = true
		run.ResourceServerKey, run.IssuerKey.ClientID = nil, ""
	})
	if diff := cmp.Diff(slices.Concat(badAssertions, badBearing), failed(report)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[int]string{5: "there is no resource server's key"}, skipped(report)); diff != "" {
		t.Error(diff)
	}
	if without := playBearer(t, func(_ *careless, run *JWTBearer) { run.IssuerKey = nil }); len(without.Steps) != 1 || without.Failed != 1 {
		t.Errorf("without a key: %q", failed(without))
	}
}

// Where the connection shows a certificate, the token is bound to that.
func TestAssertionsBesideACertificate(t *testing.T) {
	server, registrant := startMutual(t)
	var err error
	if registrant.Server, err = registrant.Server.Showing(registrant.Certificate); err != nil {
		t.Fatal(err)
	}
	registrant.Server.MutualTLS, registrant.IssuerKey = true, issuerKey(t)
	play := func() []string {
		report, err := (&JWTBearer{Registrant: registrant}).Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return failed(report)
	}
	if diff := cmp.Diff(slices.Concat(badAssertions, []string{"7 a client assertion"}, badBearing), play()); diff != "" {
		t.Error(diff)
	}
	server.bends = map[string]func(map[string]any){"": func(claims map[string]any) { delete(claims, "cnf") }}
	if want := "2 cnf.x5t#S256 is the thumbprint of the certificate"; !slices.Contains(play(), want) {
		t.Errorf("%q is not among %q", want, play())
	}
}

// Every check of a token that an assertion gave fails when only that is wrong.
func TestEveryMistakeWithAssertionsIsFound(t *testing.T) {
	set := func(route, name string, value any) func(*careless) {
		return func(s *careless) {
			s.bends = map[string]func(map[string]any){route: func(answer map[string]any) { answer[name] = value }}
		}
	}
	// Only the nth answer, or token, of a route.
	nth := func(n int, route, name string, value any) func(*careless) {
		return func(s *careless) {
			s.bends = map[string]func(map[string]any){route: func(answer map[string]any) {
				if n--; n == 0 {
					answer[name] = value
				}
			}}
		}
	}
	const answer, claims = "POST /token", ""
	bound := map[string]string{"jkt": "x"}
	tests := map[string]struct {
		bend func(*careless)
		want string
	}{
		"no grant":                  {set(discovery, "grant_types_supported", []string{"client_credentials"}), "1 assertions are offered as grants"},
		"no keys":                   {set(discovery, "jwks_uri", ""), "1 what this flow needs is named"},
		"another type":              {set(answer, "token_type", "DPoP"), "2 token_type is Bearer"},
		"a refresh token":           {set(answer, "refresh_token", "r"), "2 no refresh token comes with it"},
		"an empty member":           {set(answer, "id_token", ""), "2 no member is null or empty"},
		"another issuer":            {set(claims, "sub", "kim"), "2 sub is whom the assertion speaks for"},
		"a token for another":       {set(claims, "client_id", "c2"), "2 client_id is the issuer's client"},
		"a binding that nobody has": {set(claims, "cnf", bound), "2 it is bound to nothing"},
		"no scope":                  {set(answer, "scope", ""), "2 scope is named, as in the token"},
		"another scope":             {set(claims, "scope", "client.create"), "2 scope is named, as in the token"},
		"a token for an hour":       {set(claims, "exp", 1_700_003_600), "2 it lives 15 minutes at most"},
		"a token without an end":    {set(claims, "exp", nil), "2 it lives 15 minutes at most"},
		"it ends before":            {set(claims, "exp", 1_700_000_300), "2 expires_in is the token's lifetime"},
		"another answer to JSON":    {nth(2, answer, "refresh_token", "r"), "3 no refresh token comes with it"},
		"another subject by JSON":   {nth(2, claims, "sub", "kim"), "3 sub is whom the assertion speaks for"},
		"a proof means nothing":     {nth(3, claims, "cnf", nil), "4 cnf.jkt is the thumbprint of the proof's key"},
		"a proof is forgotten":      {nth(3, answer, "token_type", "Bearer"), "4 token_type is DPoP"},
		"it is told to be inactive": {set("POST /introspect", "active", false), "5 active, says the server to a resource server"},
		"another type is told":      {set("POST /introspect", "token_type", "DPoP"), "5 token_type is Bearer"},
		"another subject is told":   {set("POST /introspect", "sub", "kim"), "5 sub is whom the assertion speaks for"},
		"another scope is told":     {set("POST /introspect", "scope", "client.create"), "5 scope is what was asked for"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			report := playBearer(t, func(s *careless, _ *JWTBearer) { test.bend(s) })
			if !slices.Contains(failed(report), test.want) {
				t.Errorf("want %q among\n%s", test.want, strings.Join(failed(report), "\n"))
			}
		})
	}
}

// Turned over, a signature of ES256 is another one, of the same by the same key.
func TestTurned(t *testing.T) {
	key := issuerKey(t)
	compact, err := Draft{Key: key, Alg: "ES256", Header: map[string]any{"alg": "ES256", "kid": key.ID}, Claims: map[string]any{}}.Sign()
	if err != nil {
		t.Fatal(err)
	}
	token, err := Decode(turned(compact))
	if err != nil || token.Verify([]JWK{key.PublicJWK()}) != nil || token.Compact == compact || turned(token.Compact) != compact {
		t.Errorf("%v: %s and %s", err, compact, token.Compact)
	}
	if turned("h.p.AA") != "h.p.AA" {
		t.Error("another signature has no other side")
	}
}
