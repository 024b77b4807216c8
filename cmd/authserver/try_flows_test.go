package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"authserver/internal/flow"

	"github.com/google/go-cmp/cmp"
)

// offering is an issuer of which there is nothing but metadata.
func offering(t *testing.T, more map[string]any) string {
	t.Helper()
	var listener *httptest.Server
	listener = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		document := map[string]any{"issuer": listener.URL}
		for name, value := range more {
			document[name] = value
		}
		_ = json.NewEncoder(w).Encode(document)
	}))
	t.Cleanup(listener.Close)
	return listener.URL
}

// Every flow has its heading. One that the issuer offers is driven, whatever has failed before it; one that it does not
// offer is named, and what it would need. Nothing at all is no success.
func TestTryAll(t *testing.T) {
	const notPlayed, begins = "not played: ", "[1/"
	certificates := map[string]any{"tls_client_certificate_bound_access_tokens": true}
	assertions := map[string]any{"grant_types_supported": []string{"urn:ietf:params:oauth:grant-type:jwt-bearer"}}
	own, code := []string{"client_credentials"}, []string{"authorization_code", "refresh_token"}
	tests := map[string]struct {
		offers map[string]any
		driven []string
	}{
		"nothing":         {nil, nil},
		"cc":              {map[string]any{"grant_types_supported": own}, []string{"cc"}},
		"cc and openid":   {map[string]any{"grant_types_supported": own, "userinfo_endpoint": "https://x.example/"}, []string{"cc", "openid"}},
		"fdx":             {map[string]any{"authorization_details_types_supported": []string{"fdx_v1.0"}}, []string{"fdx"}},
		"code, refresh":   {map[string]any{"grant_types_supported": code}, []string{"code", "refresh"}},
		"code by itself":  {map[string]any{"authorization_endpoint": "https://x.example/"}, []string{"code"}},
		"mtls":            {certificates, []string{"mtls"}},
		"no issuer's key": {assertions, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var stdout bytes.Buffer
			command := tryCmd{Issuer: offering(t, test.offers), Flow: everyFlow, Timeout: time.Minute}
			err := command.Run(t.Context(), &streams{Stdout: &stdout, Stderr: &bytes.Buffer{}, Plain: true})
			var exit exitError
			if !errors.As(err, &exit) || exit.Code != exitFailed {
				t.Errorf("%v", err)
			}
			var driven []string
			_, rest, _ := strings.Cut(stdout.String(), "\n\n")
			for _, story := range flow.Stories() {
				heading := story.Name + ": " + story.Tells + "\n"
				_, below, found := strings.Cut(rest, heading)
				if !found {
					t.Fatalf("no heading %q in\n%s", heading, &stdout)
				}
				switch below = strings.TrimPrefix(below, "\n"); {
				case strings.HasPrefix(below, begins):
					driven = append(driven, story.Name)
				case !strings.HasPrefix(below, notPlayed+why(story.Name, name)):
					t.Errorf("%s: %s", story.Name, below)
				}
				rest = below
			}
			if diff := cmp.Diff(test.driven, driven); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// why is how the reason begins for which a flow is not played in a case of TestTryAll.
func why(story, test string) string {
	if story == "jwt-bearer" && test == "no issuer's key" {
		return "there is no key of an issuer that the server trusts; --issuer-key names its file"
	}
	return "the metadata has no "
}

// Flag and stories name the same flows.
func TestTryKnowsEveryFlow(t *testing.T) {
	field, _ := reflect.TypeFor[tryCmd]().FieldByName("Flow")
	var names []string
	for _, story := range flow.Stories() {
		names = append(names, story.Name)
	}
	if diff := cmp.Diff(append(names, everyFlow), strings.Split(field.Tag.Get("enum"), ",")); diff != "" {
		t.Error(diff)
	}
}

func TestSummary(t *testing.T) {
	good := &flow.Report{Flow: "cc", Passed: 40, Duration: 80 * time.Millisecond}
	bad := &flow.Report{Flow: "code", Passed: 70, Failed: 2, Duration: 120 * time.Millisecond}
	absent := &flow.Report{Flow: "openid", NotPlayed: "why"}
	for _, test := range []struct {
		reports tried
		want    string
		held    bool
	}{
		{tried{good}, "40 checks passed in 80 ms", true},
		{tried{bad}, "2 of 72 checks failed", false},
		{tried{good, good}, "80 checks passed in 160 ms: cc 40, cc 40", true},
		{tried{good, absent}, "40 checks passed in 80 ms: cc 40, openid not played", true},
		{tried{good, bad, absent}, "2 of 112 checks failed: cc 40, code 2 of 72 failed, openid not played", false},
		{tried{absent, absent}, "0 checks passed in 0 ms: openid not played, openid not played", false},
	} {
		if got := test.reports.summary(); got != test.want || test.reports.held() != test.held {
			t.Errorf("%q, %t, want %q", got, test.reports.held(), test.want)
		}
	}
}

// What is saved can be read by its owner alone, and has no token unless tokens are to be shown.
func TestSave(t *testing.T) {
	for full, want := range map[bool]string{false: "DPoP <access_token>", true: "DPoP h.token.s"} {
		folder := t.TempDir()
		command := tryCmd{Save: folder, ShowTokens: full}
		reports := tried{{Flow: "cc", Steps: []*flow.Step{printedStep()}}, {Flow: "openid", NotPlayed: "why"}}
		if err := command.save(reports); err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]string{"cc.json": want, "openid.json": `"not_played": "why"`} {
			path := filepath.Join(folder, name)
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if about, err := os.Stat(path); err != nil || about.Mode().Perm() != 0o600 || !strings.Contains(string(text), want) {
				t.Errorf("%s: %v, %v, no %s in %s", name, about.Mode(), err, want, text)
			}
		}
	}
}
