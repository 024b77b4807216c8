package main

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"authserver/internal/flow"

	"github.com/google/go-cmp/cmp"
)

// printedStep has one of everything that a transcript shows.
func printedStep() *flow.Step {
	const origin = "https://as.example"
	assertion := flow.JWT{Name: "client_assertion", Compact: "h.assertion.s", Header: map[string]any{"alg": "PS256", "kid": "k1"},
		Claims: map[string]any{"iss": "c1", "sub": "c1", "aud": origin, "iat": json.Number("100"), "exp": json.Number("160")}}
	proof := func(nonce string) flow.JWT {
		return flow.JWT{Name: "DPoP", Compact: "h.proof.s", JKT: "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I",
			Claims: map[string]any{"htm": "POST", "htu": origin + "/oauth2/token", "nonce": nonce}}
	}
	header := func(pairs ...string) http.Header {
		h := http.Header{}
		for i := 0; i < len(pairs); i += 2 {
			h.Set(pairs[i], pairs[i+1])
		}
		return h
	}
	form := header("Content-Type", "application/x-www-form-urlencoded", "DPoP", "h.proof.s")
	return &flow.Step{Number: 2, Of: 9, Title: "client's token",
		Exchanges: []*flow.Exchange{
			{Method: "POST", URL: origin + "/oauth2/token", Status: 400, Duration: 4 * time.Millisecond, RequestHeader: form,
				RequestBody: "client_assertion=h.assertion.s&scope=a", ResponseHeader: header("DPoP-Nonce", "9f1c2a44e07b5d68"),
				ResponseBody: `{"error":"use_dpop_nonce"}`, Note: "expected on first use", JWTs: []flow.JWT{assertion, proof("")}},
			{Method: "POST", URL: origin + "/oauth2/token", Status: 200, Duration: 11 * time.Millisecond, RequestHeader: form,
				RequestBody: "client_assertion=h.assertion.s&scope=a", ResponseBody: `{"access_token":"h.token.s"}`,
				JWTs: []flow.JWT{assertion, proof("9f1c2a44e07b5d68"), {Name: "access_token", Compact: "h.token.s",
					Header: map[string]any{"alg": "ES256", "kid": "server-key-2026"},
					Claims: map[string]any{"iss": origin, "sub": "c1", "aud": []any{"https://rs.example"},
						"iat": json.Number("100"), "exp": json.Number("400"), "cnf": map[string]any{"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}}}}},
			{Method: "GET", URL: "https://rs.example/it's?a=b", Status: 200, RequestHeader: header("Authorization", "DPoP h.token.s"),
				ResponseHeader: header("X-Fapi-Interaction-Id", "c3ea7203-aa43-4c40-b921-7da22eb48661")},
		},
		Checks: []flow.Check{
			{Name: "token_type is DPoP", OK: true, Expected: "DPoP", Got: "DPoP"},
			{Name: "scope is what was asked for", Expected: "a", Got: "a b\x1b[2J"},
			{Name: "the token as Bearer", Expected: "401", Got: "200", Detail: "welcome", Exchange: 3},
		}}
}

func TestTranscript(t *testing.T) {
	tests := map[string]struct {
		transcript transcript
		want       string
	}{
		"plain": {transcript{plain: true}, `
[2/9] client's token      POST /oauth2/token                                    400   4 ms
      use_dpop_nonce, DPoP-Nonce 9f1c…
      expected on first use
      client_assertion  {"alg":"PS256","kid":"k1"}  iss=sub=c1  aud=https://as.example  exp=+60s
      DPoP              htm=POST  htu=https://as.example/oauth2/token  jkt=0ZcO…
                          POST /oauth2/token                                    200  11 ms
      client_assertion  {"alg":"PS256","kid":"k1"}  iss=sub=c1  aud=https://as.example  exp=+60s
      DPoP              htm=POST  htu=https://as.example/oauth2/token  jkt=0ZcO…  nonce=9f1c…
      access_token      {"alg":"ES256","kid":"serv…"}  iss=https://as.example  sub=c1  aud=["https://rs.example"]  exp=+300s  cnf.jkt=0ZcO…
      token_type is DPoP                                                        ok
      scope is what was asked for                                               FAIL
        expected  a
        got       a b?[2J
      the token as Bearer                   200                                 FAIL
        expected  401
        got       200
        welcome
        x-fapi-interaction-id c3ea7203-aa43-4c40-b921-7da22eb48661
`},
		"in full, with curl, last lines": {transcript{plain: true, full: true, curl: true}, `
                          POST /oauth2/token                                    200  11 ms
      client_assertion  {"alg":"PS256","kid":"k1"}  iss=sub=c1  aud=https://as.example  exp=+60s
                        h.assertion.s
      DPoP              htm=POST  htu=https://as.example/oauth2/token  jkt=0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I  nonce=9f1c2a44e07b5d68
                        h.proof.s
      access_token      {"alg":"ES256","kid":"server-key-2026"}  iss=https://as.example  sub=c1  aud=["https://rs.example"]  exp=+300s  cnf.jkt=0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I
                        h.token.s
curl -i -X POST 'https://as.example/oauth2/token' -H 'Content-Type: application/x-www-form-urlencoded' -H 'DPoP: h.proof.s' --data-raw 'client_assertion=h.assertion.s&scope=a'
      token_type is DPoP                                                        ok
      scope is what was asked for                                               FAIL
        expected  a
        got       a b?[2J
      the token as Bearer                   200                                 FAIL
        expected  401
        got       200
        welcome
        x-fapi-interaction-id c3ea7203-aa43-4c40-b921-7da22eb48661
curl -i -X GET 'https://rs.example/it'\''s?a=b' -H 'Authorization: DPoP h.token.s'
`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var printed bytes.Buffer
			test.transcript.w, test.transcript.origin = &printed, "https://as.example"
			test.transcript.step(printedStep())
			got, want := printed.String(), strings.TrimPrefix(test.want, "\n")
			if lines := strings.Count(want, "\n"); strings.HasSuffix(name, "last lines") {
				all := strings.SplitAfter(got, "\n")
				got = strings.Join(all[len(all)-1-lines:], "")
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// What a person did stands for the pages, unless curl asks for every request.
func TestTranscriptOfAPerson(t *testing.T) {
	step := &flow.Step{Number: 5, Of: 10, Title: "authorize", Did: "signed in as alex, pressed Allow",
		Exchanges: []*flow.Exchange{{Method: "POST", URL: "https://as.example/login", Status: 303}, {Method: "GET", URL: "https://as.example/x", Status: 400}},
		Checks:    []flow.Check{{Name: "a page", OK: true, Got: "error page", Exchange: 2}}}
	tests := map[bool]string{false: `
[5/10] authorize          signed in as alex, pressed Allow
      a page                                error page                          ok
`, true: `
[5/10] authorize          signed in as alex, pressed Allow
                          POST /login                                           303   0 ms
curl -i -X POST 'https://as.example/login'
      a page                                error page                          ok
curl -i -X GET 'https://as.example/x'
`}
	for curl, want := range tests {
		var printed bytes.Buffer
		printer := transcript{w: &printed, origin: "https://as.example", plain: true, curl: curl}
		printer.step(step)
		if diff := cmp.Diff(strings.TrimPrefix(want, "\n"), printed.String()); diff != "" {
			t.Error(diff)
		}
	}
}

// What is asked for, and what is granted of it, stands on a line for each detail.
func TestTranscriptOfDetails(t *testing.T) {
	const asked = `[{"type":"fdx_v1.0","consentRequest":{"durationType":"TIME_BOUND","durationPeriod":30,"resources":[{"resourceType":"ACCOUNT","dataClusters":["TRANSACTIONS","BILLS"]}]}}]`
	const granted = `{"authorization_details":[{"type":"fdx_v1.0","consentRequest":{"durationType":"ONE_TIME","resources":[
		{"resourceType":"ACCOUNT","resourceId":"a1","dataClusters":["BILLS"]},{"resourceType":"ACCOUNT","resourceId":"a\u001b2","dataClusters":["BILLS"]}]}}]}`
	exchange := &flow.Exchange{Method: "POST", URL: "https://as.example/par", Status: 201, ResponseBody: granted,
		RequestHeader: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}},
		RequestBody:   url.Values{"authorization_details": {asked}}.Encode()}
	want := `
[4/10] push the request   POST /par                                             201   0 ms
      fdx_v1.0          TIME_BOUND 30 days  TRANSACTIONS, BILLS
      fdx_v1.0          ONE_TIME  BILLS  of a1, a?2
`
	var printed bytes.Buffer
	printer := transcript{w: &printed, origin: "https://as.example", plain: true}
	printer.step(&flow.Step{Number: 4, Of: 10, Title: "push the request", Exchanges: []*flow.Exchange{exchange}})
	if diff := cmp.Diff(strings.TrimPrefix(want, "\n"), printed.String()); diff != "" {
		t.Error(diff)
	}
}

// An answer that is a JWT stands below its request, and says nothing that can be used again.
func TestTranscriptOfAnswers(t *testing.T) {
	step := &flow.Step{Number: 6, Of: 13, Title: "redeem the code",
		Exchanges: []*flow.Exchange{{Method: "POST", URL: "https://as.example/token", Status: 200}},
		JWTs: []flow.JWT{
			{Name: "id_token", Compact: "h.identity.s", Header: map[string]any{"alg": "PS256", "kid": "k1"}, Claims: map[string]any{
				"iss": "https://as.example", "sub": "alex-1", "aud": "c1", "iat": json.Number("100"), "exp": json.Number("400"),
				"nonce": "a-nonce-of-many-characters", "acr": "urn:example:acr"}},
			{Name: "authorization", Compact: "h.answer.s", Header: map[string]any{"alg": "ES256", "kid": "k2"},
				Claims: map[string]any{"iss": "https://as.example", "aud": "c1", "code": "a-secret-code"}}}}
	want := `
[6/13] redeem the code    POST /token                                           200   0 ms
      id_token          {"alg":"PS256","kid":"k1"}  iss=https://as.example  sub=alex-1  aud=c1  exp=+300s  nonce=a-no…  acr=urn:example:acr
      authorization     {"alg":"ES256","kid":"k2"}  iss=https://as.example  aud=c1
`
	var printed, asJSON bytes.Buffer
	printer := transcript{w: &printed, origin: "https://as.example", plain: true}
	printer.step(step)
	if diff := cmp.Diff(strings.TrimPrefix(want, "\n"), printed.String()); diff != "" {
		t.Error(diff)
	}
	if err := (&tryCmd{}).print(&asJSON, tried{{Steps: []*flow.Step{step}}}); err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"h.identity.s", "h.answer.s", "a-secret-code"} {
		if strings.Contains(asJSON.String(), secret) || !strings.Contains(asJSON.String(), "<code>") {
			t.Errorf("%s in %s", secret, &asJSON)
		}
	}
}

func TestTranscriptInColour(t *testing.T) {
	var printed bytes.Buffer
	colourful := transcript{w: &printed}
	colourful.step(&flow.Step{Number: 1, Of: 1, Title: "a", Skipped: "why", Checks: []flow.Check{{Name: "x", OK: true}, {Name: "y", Expected: "1", Got: "2"}}})
	spaces := strings.Repeat(" ", 73)
	want := "[1/1] a                   skipped: why\n" +
		"      x" + spaces + "\x1b[32mok\x1b[0m\n" +
		"      y" + spaces + "\x1b[1;31mFAIL\x1b[0m\n        expected  1\n        got       2\n"
	if diff := cmp.Diff(want, printed.String()); diff != "" {
		t.Error(diff)
	}
}

// Without --show-tokens no credential is printed, as a command line or as JSON.
func TestSecretsArePlaceholders(t *testing.T) {
	var asCurl, asJSON bytes.Buffer
	printer := transcript{w: &asCurl, plain: true, curl: true}
	printer.step(printedStep())
	if err := (&tryCmd{Flow: "cc"}).print(&asJSON, tried{{Flow: "cc", Steps: []*flow.Step{printedStep()}}}); err != nil {
		t.Fatal(err)
	}
	for _, printed := range []string{asCurl.String(), asJSON.String()} {
		for _, secret := range []string{"h.assertion.s", "h.proof.s", "h.token.s"} {
			if strings.Contains(printed, secret) {
				t.Errorf("%s in\n%s", secret, printed)
			}
		}
	}
	want := `--data-raw 'client_assertion=<client_assertion>&scope=a'`
	if !strings.Contains(asCurl.String(), want) {
		t.Errorf("no %s in\n%s", want, &asCurl)
	}
	var report flow.Report
	if err := json.Unmarshal(asJSON.Bytes(), &report); err != nil {
		t.Fatal(err)
	}
	if got := report.Steps[0].Exchanges[2].RequestHeader.Get("Authorization"); got != "DPoP <access_token>" {
		t.Errorf("Authorization: %s", got)
	}
}

func TestTryExitCodes(t *testing.T) {
	elsewhere := httptest.NewServer(http.NotFoundHandler())
	defer elsewhere.Close()
	gone := httptest.NewServer(nil)
	gone.Close()
	nameless := filepath.Join(t.TempDir(), "key.json")
	key, err := flow.GenerateKey("ES256")
	if err != nil {
		t.Fatal(err)
	}
	if err := key.WriteFile(nameless); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		command tryCmd
		code    int
		stdout  string
	}{
		"a failed check":             {tryCmd{Issuer: elsewhere.URL}, 1, "1 of 1 checks failed"},
		"a failed check, as JSON":    {tryCmd{Issuer: elsewhere.URL, JSON: true}, 1, `"failed": 1`},
		"a failed check of a code":   {tryCmd{Issuer: elsewhere.URL, Flow: "code"}, 1, "[1/10] discover"},
		"a failed check of refresh":  {tryCmd{Issuer: elsewhere.URL, Flow: "refresh"}, 1, "[1/10] discover"},
		"a failed check of fdx":      {tryCmd{Issuer: elsewhere.URL, Flow: "fdx"}, 1, "[1/14] discover"},
		"a failed check of openid":   {tryCmd{Issuer: elsewhere.URL, Flow: "openid"}, 1, "[1/13] discover"},
		"a failed check of mtls":     {tryCmd{Issuer: elsewhere.URL, Flow: "mtls"}, 1, "[1/14] discover"},
		"no issuer's key":            {tryCmd{Issuer: elsewhere.URL, Flow: "jwt-bearer"}, 2, ""},
		"a key without its issuer":   {tryCmd{Issuer: elsewhere.URL, IssuerKey: nameless}, 2, ""},
		"a person of nobody":         {tryCmd{Issuer: elsewhere.URL, Flow: "jwt-bearer", Browser: true}, 2, ""},
		"no such state":              {tryCmd{Issuer: elsewhere.URL, State: nameless + ".absent"}, 2, ""},
		"no such certificate":        {tryCmd{Issuer: elsewhere.URL, Cert: nameless, Key: nameless}, 2, ""},
		"no metadata for all":        {tryCmd{Issuer: elsewhere.URL, Flow: "all"}, 1, "[1/9] discover"},
		"all of nobody":              {tryCmd{Issuer: gone.URL, Flow: "all", JSON: true}, 3, `"flows": []`},
		"nowhere to save":            {tryCmd{Issuer: elsewhere.URL, Save: nameless + "/below"}, 2, ""},
		"a browser without a person": {tryCmd{Issuer: elsewhere.URL, Flow: "cc", Browser: true}, 2, ""},
		"no issuer":                  {tryCmd{Issuer: "localhost"}, 2, ""},
		"no such key":                {tryCmd{Issuer: elsewhere.URL, RegistrarKey: nameless + ".absent"}, 2, ""},
		"a key without its client":   {tryCmd{Issuer: elsewhere.URL, ResourceServerKey: nameless}, 2, ""},
		"no certificate in the file": {tryCmd{Issuer: elsewhere.URL, CACert: nameless}, 2, ""},
		"nobody there":               {tryCmd{Issuer: gone.URL}, 3, "[1/9] discover"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			test.command.Timeout = 5 * time.Second
			err := test.command.Run(context.Background(), &streams{Stdout: &stdout, Stderr: &stderr, Plain: true})
			var exit exitError
			if !errors.As(err, &exit) || exit.Code != test.code || (exit.Msg == "") != (test.code == exitFailed && !test.command.JSON) {
				t.Errorf("error %v, code %d, want %d", err, exit.Code, test.code)
			}
			if !strings.Contains(stdout.String(), test.stdout) || (test.stdout == "") != (stdout.Len() == 0) {
				t.Errorf("stdout is %s", &stdout)
			}
		})
	}
}

// Without an issuer it is the dev that answers, and rather the plain one.
func TestUsualIssuer(t *testing.T) {
	for _, test := range []struct {
		running string
		want    string
	}{{"", defaultIssuer}, {defaultIssuer, defaultIssuer}, {devTLSIssuer, devTLSIssuer}, {defaultIssuer + " " + devTLSIssuer, defaultIssuer}} {
		if got := usualIssuer(func(issuer string) bool { return strings.Contains(test.running, issuer) }); got != test.want {
			t.Errorf("%q: %s", test.running, got)
		}
	}
	listener := httptest.NewServer(nil)
	if !listens(listener.URL) {
		t.Error("nobody listens")
	}
	if listener.Close(); listens(listener.URL) {
		t.Error("somebody still listens")
	}
}

// What stands in a state folder of dev is used without being named, and what is named is used instead.
func TestTryFindsWhatDevMade(t *testing.T) {
	state := t.TempDir()
	if err := openDevCertificates(state, time.Now(), "https://localhost:8443"); err != nil {
		t.Fatal(err)
	}
	for name, key := range map[string]flow.Key{registrarKeyFile: {Alg: "ES256", ClientID: "registrar"},
		resourceServerKeyFile: {Alg: "ES256", ClientID: "resources"}, issuerKeyFile: {Alg: "ES256", Issuer: "issuer"}} {
		if _, err := devKey(filepath.Join(state, name), key); err != nil {
			t.Fatal(err)
		}
	}
	command := tryCmd{Issuer: "https://localhost:8443", State: state}
	found, err := command.prepare()
	if err != nil {
		t.Fatal(err)
	}
	if found.RegistrarKey.ClientID != "registrar" || found.ResourceServerKey.ClientID != "resources" || found.IssuerKey.Issuer != "issuer" ||
		found.Certificate.Subject != "CN=dev-client,O=authserver dev" {
		t.Errorf("%+v", found)
	}
	if found.Server.MutualTLS || found.Server.Certificate != nil {
		t.Error("every flow shows a certificate that nobody named")
	}
	command.Cert, command.Key = command.found(devServerCertFile), command.found(devServerKeyFile)
	named, err := command.prepare()
	if err != nil {
		t.Fatal(err)
	}
	if !named.Server.MutualTLS || named.Server.Certificate != named.Certificate || named.Certificate.Subject != "CN=dev-server" {
		t.Errorf("%+v", named.Server)
	}
	elsewhere := tryCmd{Issuer: "https://localhost:8443", State: t.TempDir()}
	nothing, err := elsewhere.prepare()
	if err != nil || nothing.RegistrarKey != nil || nothing.ResourceServerKey != nil || nothing.IssuerKey != nil || nothing.Certificate != nil {
		t.Errorf("%+v, %v", nothing, err)
	}
}

// A private authority is trusted when it is named, or stands in the state folder, and only then.
func TestTryTrustsTheNamedAuthority(t *testing.T) {
	listener := httptest.NewTLSServer(http.NotFoundHandler())
	defer listener.Close()
	path := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: listener.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	elsewhere := newAuthority(t).writeFile(t)
	for _, test := range []struct {
		file, state string
		want        int
	}{{path, "", 1}, {"", "", 3}, {"", filepath.Dir(path), 1}, {elsewhere, filepath.Dir(path), 3}} {
		command := tryCmd{Issuer: listener.URL, CACert: test.file, State: test.state, Timeout: time.Minute}
		var exit exitError
		err := command.Run(context.Background(), &streams{Stdout: &bytes.Buffer{}, Plain: true})
		if !errors.As(err, &exit) || exit.Code != test.want {
			t.Errorf("ca-cert %q, state %q: %v", test.file, test.state, err)
		}
	}
}
