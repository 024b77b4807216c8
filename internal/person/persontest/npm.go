package persontest

import (
	"bufio"
	"encoding/json"
	"errors"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"authserver/internal/leaveout"
)

// ACRPassword is what npm's oidc-provider, as deploy/clients/upstream.mjs runs it, says of everybody who signs in there.
const ACRPassword = "urn:example:password"

// StartNPM runs npm's oidc-provider until the test ends, and returns its issuer. People who come for one of the clients are
// sent back to redirectURI.
func StartNPM(t *testing.T, redirectURI string, clients ...map[string]any) (issuer string) {
	t.Helper()
	_, here, _, _ := runtime.Caller(0)
	folder := filepath.Join(filepath.Dir(here), "../../../deploy/clients")
	_, err1 := exec.LookPath("node")
	_, err2 := os.Stat(filepath.Join(folder, "node_modules", "oidc-provider"))
	if err := errors.Join(err1, err2); err != nil {
		const why = "a real provider to come from needs Node.js and the packages of deploy/clients (npm ci --ignore-scripts): "
		leaveout.Test(t, why+err.Error())
	}
	for _, c := range clients {
		c["redirect_uris"], c["response_types"], c["grant_types"] = []string{redirectURI}, []string{"code"}, []string{"authorization_code"}
	}
	list, err := json.Marshal(clients)
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), "node", "upstream.mjs")
	command.Dir, command.Env = folder, append(os.Environ(), "CLIENTS="+string(list))
	stdin, err1 := command.StdinPipe()
	stdout, err2 := command.StdoutPipe()
	if err := errors.Join(err1, err2, command.Start()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = stdin.Close(), command.Wait() }) // its standard input is its life
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		if issuer, ok := strings.CutPrefix(lines.Text(), "issuer "); ok {
			return issuer
		}
	}
	t.Fatal("the provider ended")
	return ""
}

// Visitor is a person's browser at npm's oidc-provider: it signs in where it is asked to, and allows what it is asked.
type Visitor struct {
	Name    string // to sign in as
	Cancels bool   // instead
	Logins  int    // pages that asked for a password so far
	Hint    string // what the last of them had filled in

	t    testing.TB
	http http.Client
}

// NewVisitor is one that has never been there.
func NewVisitor(t testing.TB, name string) *Visitor {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &Visitor{Name: name, t: t, http: http.Client{
		Jar: jar, Timeout: 2 * time.Minute, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

var (
	formAction = regexp.MustCompile(`<form [^>]*action="([^"]+)"`)
	formPrompt = regexp.MustCompile(`name="prompt" value="([a-z]+)"`)
	formHint   = regexp.MustCompile(`name="login"[^>]* value="([^"]*)"`)
	cancelLink = regexp.MustCompile(`<a href="([^"]+)">\[ Cancel \]`)
)

// Depart goes to the provider, and returns the URL to which that sends the browser back.
func (v *Visitor) Depart(target string) *url.URL {
	v.t.Helper()
	response, page := v.do(v.http.Get(target))
	for range 20 {
		at := response.Request.URL
		if next, err := response.Location(); err == nil {
			if next.Host != at.Host {
				return next
			}
			response, page = v.do(v.http.Get(next.String()))
			continue
		}
		prompt, action := found(formPrompt, page), found(formAction, page)
		switch {
		case response.StatusCode != http.StatusOK || action == "":
			v.t.Fatalf("%s answered %s: %s", at.Path, response.Status, page)
		case v.Cancels:
			response, page = v.do(v.http.Get(found(cancelLink, page)))
			continue
		case prompt == "login":
			v.Logins++
			v.Hint = found(formHint, page)
		}
		response, page = v.do(v.http.PostForm(action, url.Values{"prompt": {prompt}, "login": {v.Name}, "password": {"any"}}))
	}
	v.t.Fatal("the provider goes round in circles")
	return nil
}

func (v *Visitor) do(response *http.Response, err error) (*http.Response, string) {
	v.t.Helper()
	if err != nil {
		v.t.Fatal(err)
	}
	defer response.Body.Close()
	page, err := io.ReadAll(response.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	return response, string(page)
}

func found(what *regexp.Regexp, page string) string {
	if match := what.FindStringSubmatch(page); match != nil {
		return html.UnescapeString(match[1])
	}
	return ""
}
