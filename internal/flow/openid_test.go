package flow

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func playOpenID(t *testing.T, bend func(*careless, *OpenID)) *Report {
	t.Helper()
	server, registrant := start(t)
	run := &OpenID{Authorization: Authorization{Registrant: registrant, Person: alex}}
	if bend != nil {
		bend(server, run)
	}
	report, err := run.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// What a careless server does not refuse.
var (
	badObjects = []string{
		"11 a push that is not signed", "11 an object for another audience", "11 an object without exp", "11 an object without nbf",
		"11 an object that lives 61 minutes", "11 an object that has expired", "11 an object with alg none",
		"11 an object signed by another client", "11 another client's object", "11 a request_uri in the object",
		"11 a request_uri beside the object",
	}
	badModes    = []string{"11 response_mode fragment", "11 response_mode query", "11 no response_mode"}
	badUserinfo = []string{
		"11 userinfo without a token", "11 userinfo with the token as Bearer", "11 userinfo without a proof",
		"11 userinfo with another key's proof", "11 userinfo with the ID token",
	}
	badAnew = []string{"12 parameters beside the object", "12 no ID token without openid",
		"12 and userinfo says nothing", "12 Don't allow"}
	badSignOut = []string{
		"13 an address that is not registered", "13 an address, and no client", "13 an ID token of another client",
		"13 an ID token that the client made",
	}
)

// What a careless server does well passes, and each of its omissions is found.
func TestACarelessServerIsFoundOutWithIdentities(t *testing.T) {
	report := playOpenID(t, nil)
	t.Run("redacted", func(t *testing.T) { checkRedacted(t, report, 150) })
	if diff := cmp.Diff(slices.Concat(badObjects, badModes, badUserinfo, badAnew, badSignOut), failed(report)); diff != "" {
		t.Error(diff)
	}
	if report.Flow != "openid" || report.Passed < 110 || len(report.Steps) != 13 {
		t.Errorf("flow %s: %d passed, %d steps", report.Flow, report.Passed, len(report.Steps))
	}
}

const discovery = "GET /.well-known/oauth-authorization-server"

// A server that offers less is asked for less, and told what it lacks.
func TestAServerWithPlainIdentities(t *testing.T) {
	report := playOpenID(t, func(s *careless, _ *OpenID) {
		s.bends = map[string]func(map[string]any){discovery: func(document map[string]any) {
			for name := range document {
				if strings.Contains(name, "_encryption_") || strings.HasPrefix(name, "authorization_signing") {
					delete(document, name)
				}
			}
			for _, name := range []string{"request_object_signing_alg_values_supported", "userinfo_signing_alg_values_supported",
				"introspection_signing_alg_values_supported", "end_session_endpoint", "acr_values_supported", "claims_parameter_supported"} {
				delete(document, name)
			}
		}}
	})
	want := slices.Concat(badModes[:1], badUserinfo, badAnew[1:])
	if diff := cmp.Diff(want, failed(report)); diff != "" {
		t.Error(diff)
	}
	wantSkipped := map[int]string{8: "introspection answers no JWTs here", 13: "the metadata names no end_session_endpoint"}
	if diff := cmp.Diff(wantSkipped, skipped(report)); diff != "" {
		t.Error(diff)
	}
}

// The same holds where answers are encrypted for an RSA key, and with a shorter key.
func TestIdentitiesForAnRSAKey(t *testing.T) {
	report := playOpenID(t, func(s *careless, _ *OpenID) {
		s.bends = map[string]func(map[string]any){discovery: func(document map[string]any) {
			for _, kind := range []string{"authorization", "id_token", "userinfo"} {
				document[kind+"_encryption_alg_values_supported"] = []string{"RSA-OAEP", "RSA-OAEP-256"}
				document[kind+"_encryption_enc_values_supported"] = []string{"A128GCM"}
			}
		}}
	})
	if diff := cmp.Diff(slices.Concat(badObjects, badModes, badUserinfo, badAnew, badSignOut), failed(report)); diff != "" {
		t.Error(diff)
	}
}

// Parameters beside a request object may be ignored or refused.
func TestParametersBesideAnObject(t *testing.T) {
	for beside, want := range map[string]string{"": "taken: state, nonce, scope", "ignored": "ignored",
		"refused": "refused with 400 invalid_request"} {
		report := playOpenID(t, func(s *careless, _ *OpenID) { s.beside = beside })
		check := report.Steps[11].Checks[0]
		if check.Got != want || check.OK != (beside != "") || check.Name != "parameters beside the object" {
			t.Errorf("%s: %+v", beside, check)
		}
	}
}

// Every check of an identity fails when only that is wrong.
func TestEveryMistakeWithIdentitiesIsFound(t *testing.T) {
	theirs, err := GenerateKey("ES256")
	if err != nil {
		t.Fatal(err)
	}
	set := func(route, name string, value any) func(*careless) {
		return func(s *careless) {
			s.bends = map[string]func(map[string]any){route: func(answer map[string]any) { answer[name] = value }}
		}
	}
	forge := func(kind string, edits ...Edit) func(*careless) {
		return func(s *careless) { s.forge = map[string][]Edit{kind: edits} }
	}
	bare := func(kind string) func(*careless) {
		return func(s *careless) { s.bare = map[string]bool{kind: true} }
	}
	// Only the nth answer of a kind.
	nth := func(n int, edit Edit) Edit {
		return func(d *Draft) {
			if n--; n == 0 {
				edit(d)
			}
		}
	}
	page := func(old, changed string) func(*careless) {
		return func(s *careless) {
			s.change = func(page string) string { return strings.ReplaceAll(page, old, changed) }
		}
	}
	in := func(d time.Duration) int64 { return time.Now().Add(d).Unix() }
	told := func(name string, value any) func(*careless) {
		return func(s *careless) {
			s.bends = map[string]func(map[string]any){"POST /introspect": func(claims map[string]any) {
				if about, ok := claims["token_introspection"].(map[string]any); ok {
					about[name] = value
				}
			}}
		}
	}
	const answer, id, userinfo = "authorization", "id_token", "userinfo"
	const needs, algs = "1 what asking for a person's identity needs is named", "id_token_signing_alg_values_supported"
	const signature, inside = " the signature, with the key at jwks_uri", " and signed with ES256 inside"
	tests := map[string]struct {
		bend func(*careless)
		want string
	}{
		"no userinfo endpoint":           {set(discovery, "userinfo_endpoint", ""), needs},
		"no algorithm that we know":      {set(discovery, algs, []string{"RS256"}), needs},
		"unsigned ID tokens are offered": {set(discovery, algs, []string{"ES256", "none"}), "1 no signature can be left out by alg none"},
		"another registration": {set("POST /register", "userinfo_encrypted_response_enc", "A128GCM"),
			"3 answers will be signed and encrypted as asked for"},
		"an answer for another client":     {forge(answer, SetClaim("aud", "c2")), "5 aud is the client"},
		"an answer for several":            {forge(answer, SetClaim("aud", []string{"c1", "c2"})), "5 aud is the client"},
		"an answer by another issuer":      {forge(answer, SetClaim("iss", "https://elsewhere.example")), "5 iss is the issuer"},
		"an answer that is over":           {forge(answer, SetClaim("exp", in(-time.Minute))), "5 it ends within 10 minutes"},
		"an answer that lasts":             {forge(answer, SetClaim("exp", in(time.Hour))), "5 it ends within 10 minutes"},
		"an answer without an end":         {forge(answer, DropClaim("exp")), "5 it ends within 10 minutes"},
		"an unsigned answer":               {forge(answer, SignAs("none")), "5" + inside},
		"an answer that nobody signed":     {forge(answer, SignAs("none")), "5" + signature},
		"an answer by another key":         {forge(answer, SignWith(theirs)), "5" + signature},
		"an answer that all can read":      {bare(answer), "5 the answer is encrypted with ECDH-ES and A256GCM"},
		"an answer with another key size":  {func(s *careless) { s.enc = "A128GCM" }, "5 the answer is encrypted with ECDH-ES and A256GCM"},
		"an answer for another request":    {forge(answer, SetClaim("state", "x")), "5 state is what was pushed"},
		"an answer without a code":         {forge(answer, DropClaim("code")), "5 the flow can go on"},
		"no ID token":                      {set("POST /token", "id_token", ""), "6 the flow can go on"},
		"an ID token for another client":   {forge(id, SetClaim("aud", "c2")), "6 aud is the client"},
		"an ID token of another issuer":    {forge(id, SetClaim("iss", "https://elsewhere.example")), "6 iss is the issuer"},
		"an unsigned ID token":             {forge(id, SignAs("none")), "6" + signature},
		"an ID token of another alg":       {forge(id, SetHeader("alg", "PS256")), "6" + inside},
		"an ID token by another key":       {forge(id, SignWith(theirs)), "6" + signature},
		"an ID token that all can read":    {bare(id), "6 the ID token is encrypted with ECDH-ES and A256GCM"},
		"an ID token of somebody else":     {forge(id, SetClaim("sub", "kim-1")), "6 sub is that of the access token"},
		"an ID token of nobody":            {forge(id, DropClaim("sub")), "6 sub is that of the access token"},
		"an old ID token":                  {forge(id, SetClaim("iat", in(-time.Hour))), "6 iat is now"},
		"an ID token that is over":         {forge(id, SetClaim("exp", in(-time.Minute))), "6 exp is within an hour"},
		"an ID token for a day":            {forge(id, SetClaim("exp", in(24*time.Hour))), "6 exp is within an hour"},
		"no auth_time":                     {forge(id, DropClaim("auth_time")), "6 auth_time is within max_age"},
		"a sign-in of yesterday":           {forge(id, SetClaim("auth_time", in(-24*time.Hour))), "6 auth_time is within max_age"},
		"a sign-in of tomorrow":            {forge(id, SetClaim("auth_time", in(24*time.Hour))), "6 auth_time is within max_age"},
		"another nonce":                    {forge(id, SetClaim("nonce", "n")), "6 nonce is what was pushed"},
		"no nonce":                         {forge(id, DropClaim("nonce")), "6 nonce is what was pushed"},
		"the hash of another access token": {forge(id, SetClaim("at_hash", halfHash("ES256", "x"))), "6 at_hash is that of the access token"},
		"no hash":                          {forge(id, DropClaim("at_hash")), "6 at_hash is that of the access token"},
		"no sid":                           {forge(id, DropClaim("sid")), "6 sid names the session"},
		"a weaker sign-in":                 {forge(id, SetClaim("acr", "urn:example:weak")), "6 acr is what was asked for"},
		"userinfo of somebody else":        {forge(userinfo, SetClaim("sub", "kim-1")), "7 sub is that of the ID token"},
		"userinfo of nobody":               {forge(userinfo, DropClaim("sub")), "7 sub is that of the ID token"},
		"another userinfo by POST":         {forge(userinfo, nth(2, SetClaim("sub", "kim-1"))), "7 sub is that of the ID token"},
		"userinfo for another client":      {forge(userinfo, SetClaim("aud", "c2")), "7 aud is the client"},
		"unsigned userinfo":                {forge(userinfo, SignAs("none")), "7" + signature},
		"userinfo that all can read":       {bare(userinfo), "7 it is encrypted with ECDH-ES and A256GCM"},
		"userinfo as JSON":                 {func(s *careless) { s.plainUserinfo = true }, "7 the answer to GET is a JWT"},
		"introspection for another":        {set("POST /introspect", "aud", "c2"), "8 aud is who asked"},
		"introspection by another":         {set("POST /introspect", "iss", "https://elsewhere.example"), "8 iss is the issuer"},
		"an inactive token":                {told("active", false), "8 active, says the JWT"},
		"a token of somebody else":         {told("sub", "kim-1"), "8 sub is that of the ID token"},
		"a token of another client":        {told("client_id", "c2"), "8 client_id is the client"},
		"a token of another key":           {told("cnf", nil), "8 cnf.jkt is the thumbprint of the proof's key"},
		"a token for more":                 {told("scope", "openid client.create"), "8 scope is what was asked for"},
		"a nonce comes again":              {forge(id, nth(2, SetClaim("nonce", "n"))), "9 it has no nonce"},
		"somebody else is refreshed":       {forge(id, nth(2, SetClaim("sub", "kim-1"))), "9 sub is the same as before"},
		"a refresh is a sign-in":           {forge(id, nth(2, SetClaim("auth_time", in(-time.Minute)))), "9 auth_time is the same as before"},
		"a refresh is another session":     {forge(id, nth(2, SetClaim("sid", "x"))), "9 sid is the same as before"},
		"the hash of the first token":      {forge(id, nth(2, SetClaim("at_hash", "x"))), "9 at_hash is that of the access token"},
		"nobody is ever signed in":         {func(s *careless) { s.silence = "login_required" }, "10 prompt=none, where the person is signed in"},
		"everybody is signed in":           {func(s *careless) { s.silence = "consent_required" }, "10 prompt=none, where nobody is"},
		"prompt=login means nothing":       {func(s *careless) { s.neverAnew = true }, "10 prompt=login asks for the password again"},
		"somebody else comes back":         {forge(id, nth(3, SetClaim("sub", "kim-1"))), "10 sub is the same as before"},
		"no sign-in anew":                  {forge(id, nth(3, SetClaim("auth_time", in(-time.Minute)))), "10 auth_time is not before the last one"},
		"no session anew":                  {forge(id, nth(3, SetClaim("sid", "session 1"))), "10 sid is that of another session"},
		"no sid of the session anew":       {forge(id, nth(3, DropClaim("sid"))), "10 sid is that of another session"},
		"no form":                          {func(s *careless) { s.neverPosts = true }, "12 form_post.jwt answers with a form"},
		"no question":                      {page("post_logout_redirect_uri", "x"), "13 the person is asked first"},
		"no question is waited for":        {func(s *careless) { s.hasty = true }, "13 and is signed in until the button is pressed"},
		"sent to somebody else":            {page(farewellRedirect, "https://elsewhere.example/"), "13 to the registered address"},
		"another state":                    {page(`name="state" value="`, `name="state" value="x`), "13 with the client's state"},
		"a button that does nothing":       {func(s *careless) { s.unstoppable = true }, "13 prompt=none finds nobody"},
		"nobody has to sign in again":      {func(s *careless) { s.unstoppable = true }, "13 the next request asks for the password"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			report := playOpenID(t, func(s *careless, _ *OpenID) { test.bend(s) })
			if !slices.Contains(failed(report), test.want) {
				t.Errorf("want %q among\n%s", test.want, strings.Join(failed(report), "\n"))
			}
		})
	}
}

// A person at a browser of their own answers once: what needs more answers is skipped, and the rest is looked at.
func TestAPersonIsIdentifiedInABrowser(t *testing.T) {
	report := playOpenID(t, func(s *careless, run *OpenID) {
		run.Ask = func(target string, _ int64) {
			person := NewBrowser(&Server{Issuer: s.issuer, HTTP: run.Server.HTTP, Now: run.Server.Now})
			if _, err := person.Visit(t.Context(), target); err != nil {
				t.Error(err)
			}
			if _, err := person.Answer(t.Context(), alex, Approve); err != nil {
				t.Error(err)
			}
			if page, err := person.Visit(t.Context(), person.Page.Location); err != nil || page.Exchange.Status != 200 {
				t.Error(page, err)
			}
		}
	})
	wantSkipped := map[int]string{10: onceOnly, 12: onceOnly, 13: "the session is in a person's own browser"}
	if diff := cmp.Diff(wantSkipped, skipped(report)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(slices.Concat(badObjects, badModes, badUserinfo), failed(report)); diff != "" {
		t.Error(diff)
	}
}

// The hash of an access token is the one that OpenID Connect Core has in its examples, and the left half of SHA-512 with EdDSA.
func TestHalfHash(t *testing.T) {
	const token = "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y"
	want := map[string]string{"PS256": "77QmUPtjPfzWtF2AnpK9RQ", "ES256": "77QmUPtjPfzWtF2AnpK9RQ",
		"EdDSA": "q7nS86GgvvFaZkzALLWqJYaJIKw2wCDAVfCAsm5CrBM", "Ed25519": "q7nS86GgvvFaZkzALLWqJYaJIKw2wCDAVfCAsm5CrBM"}
	for alg, want := range want {
		if diff := cmp.Diff(want, halfHash(alg, token)); diff != "" {
			t.Error(alg, diff)
		}
	}
}
