package page_test

import (
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"testing"

	"authserver/internal/page"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// TestAnswer: AZ-25. The form has the answer and nothing else, goes to the redirect URI and nowhere else, and sends itself
// by the one script that the policy lets run.
func TestAnswer(t *testing.T) {
	for _, l := range page.Languages() {
		response := write(t, l, sights()["answer"], "https:", "https://evil.example")
		policy, d := response.Header.Get("Content-Security-Policy"), read(t, response)
		scripts, forms := d.elements(atom.Script), d.elements(atom.Form)
		if len(scripts) != 1 || len(scripts[0].Attr) != 0 || len(forms) != 1 {
			t.Fatalf("%d scripts, %d forms", len(scripts), len(forms))
		}
		hash := sha256.Sum256([]byte(scripts[0].FirstChild.Data))
		want := "default-src 'none'; style-src 'self'; img-src 'self'; script-src 'sha256-" +
			base64.StdEncoding.EncodeToString(hash[:]) + "'; form-action https://budget-buddy.example; base-uri 'none'; frame-ancestors 'none'"
		if diff := cmp.Diff(want, policy); diff != "" {
			t.Error(diff)
		}
		fields := map[string]string{}
		for _, n := range d.elements(atom.Input) {
			fields[attribute(n, "name")] = attribute(n, "value")
		}
		if diff := cmp.Diff(map[string]string{"response": "eyJhbGciOiJQUzI1NiJ9.e30.c2lnbmF0dXJl"}, fields); diff != "" {
			t.Error(diff)
		}
		if attribute(forms[0], "action") != theTarget || attribute(forms[0], "method") != "post" ||
			d.byID("continue") == nil {
			t.Errorf("the form: %v", forms[0].Attr)
		}
		active := d.all(func(n *html.Node) bool { return n.DataAtom == atom.Style || n.DataAtom == atom.Iframe })
		for _, n := range d.all(func(*html.Node) bool { return true }) {
			for _, a := range n.Attr {
				if strings.HasPrefix(a.Key, "on") || a.Key == "style" {
					active = append(active, n)
				}
			}
		}
		if len(active) > 0 {
			t.Errorf("%d elements run or paint", len(active))
		}
	}
}

// TestAnswerOrigin: the policy lets the form go to the origin of its target and nowhere else, whatever else it is given; where
// it has no words for that, to the scheme; and for no target to nowhere: an empty list is none.
func TestAnswerOrigin(t *testing.T) {
	for target, want := range map[string]string{
		"https://client.example/cb?a=https://evil.example": "https://client.example",
		"https://client.example:8443":                      "https://client.example:8443",
		"https://evil.example@client.example/cb":           "https://client.example",
		"http://127.0.0.1:8000/cb":                         "http://127.0.0.1:8000",
		"http://[::1]:8000/cb":                             "http:",
		"https://my_client.example/cb":                     "https:",
		"https://a; script-src *":                          "",
		"https://a;script-src/":                            "https:",
		"javascript:alert(1)":                              "",
		"//evil.example":                                   "",
		"":                                                 "",
	} {
		answer := page.Answer{Target: target, Response: "a JWT"}
		policy := write(t, "en", answer, "https:", "https://evil.example").Header.Get("Content-Security-Policy")
		if !strings.Contains(policy, "; form-action "+want+"; base-uri") || strings.Count(policy, "script-src") != 1 {
			t.Errorf("%q: %s", target, policy)
		}
	}
}

// TestAnswerTargets: AZ-25. A redirect URI stays in its attribute, and is the registered one to the letter.
func TestAnswerTargets(t *testing.T) {
	for _, target := range []string{
		"https://c.example/cb?a=1&b=%27%22", "https://c.example/o'brien/(x)?q='\"><script>alert(1)</script>",
		"http://127.0.0.1:49152/cb", "http://[::1]:1/cb", "https://c.example/cb?a=1&amp;b=2&copy=3",
	} {
		d := read(t, write(t, "en", page.Answer{Target: target, Response: `"><b>`}))
		if action := attribute(d.elements(atom.Form)[0], "action"); action != target {
			t.Errorf("%s became %s", target, action)
		}
		if len(d.elements(atom.Script)) != 1 || attribute(d.elements(atom.Input)[0], "value") != `"><b>` {
			t.Errorf("%s changes the page", target)
		}
	}
	for _, target := range []string{
		"javascript:alert(1)", "data:text/html,x", "vbscript:x", "//evil.example", " https://c.example", "",
	} {
		d := read(t, write(t, "en", page.Answer{Target: target}))
		if action := attribute(d.elements(atom.Form)[0], "action"); action != "" {
			t.Errorf("%s became %s", target, action)
		}
	}
}
