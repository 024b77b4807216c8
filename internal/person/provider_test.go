package person

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
	"slices"
	"strings"
	"testing"
	"time"

	"authserver/internal/jose"
	"authserver/internal/oauth"
)

const (
	acrPassword = "urn:example:password" // what deploy/clients/upstream.mjs says of everybody
	acrPasskey  = "urn:example:passkey"
	elsewhere   = "http://127.0.0.1:1/login/callback" // where nothing listens: the browser stops there
)

// TestUpstreamProvider plays with a certified provider that knows nothing of us: npm's oidc-provider.
func TestUpstreamProvider(t *testing.T) {
	es256, ps256, foreign := newSigner(t, jose.ES256, "es"), newSigner(t, jose.PS256, "ps"), newSigner(t, jose.ES256, "es")
	clients := []map[string]any{
		{"client_id": "basic", "client_secret": ourSecret, "token_endpoint_auth_method": "client_secret_basic"},
		{"client_id": "es", "token_endpoint_auth_method": "private_key_jwt", "jwks": map[string]any{"keys": []any{es256.Key()}}},
		{"client_id": "ps", "token_endpoint_auth_method": "private_key_jwt", "jwks": map[string]any{"keys": []any{ps256.Key()}}},
	}
	issuer := startProvider(t, clients)
	upstream := func(id string, secret oauth.Secret, key *jose.Signer) *Upstream {
		u, err := NewUpstream(UpstreamSettings{
			Issuer: issuer, ClientID: id, ClientSecret: secret, ClientKey: key, RedirectURL: elsewhere, Key: make([]byte, 32), Now: time.Now,
		})
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	basic := upstream("basic", ourSecret, nil)

	for name, u := range map[string]*Upstream{"client_secret": basic, "private_key_jwt ES256": upstream("es", "", es256), "private_key_jwt PS256": upstream("ps", "", ps256)} {
		t.Run(name, func(t *testing.T) {
			b, before := newBrowser(t), time.Now().Truncate(time.Second)
			got, err := b.trip(u, Wish{LoginHint: "kim", ACRValues: []string{acrPasskey, acrPassword}, MaxAge: seconds(60), Since: before})
			if err != nil || got.Identity != (Identity{Issuer: issuer, Subject: "kim"}) || got.ACR != acrPassword || !slices.Equal(got.AMR, []string{"pwd"}) ||
				got.At.Before(before) || got.At.After(time.Now()) {
				t.Fatalf("arrived %+v, %v", got, err)
			}
			if b.hint != "kim" {
				t.Errorf("the login page offers %q", b.hint)
			}
		})
	}
	t.Run("a session there", func(t *testing.T) { testSessionThere(t, basic) })
	t.Run("refusals", func(t *testing.T) {
		_, err := newBrowser(t).trip(basic, Wish{ACRValues: []string{acrPasskey}})
		refused(t, err, oauth.AuthenticationTooWeak)
		b := newBrowser(t)
		b.cancels = true
		_, err = b.trip(basic, Wish{})
		refused(t, err, oauth.PersonDenied)
		_, err = newBrowser(t).trip(basic, Wish{Prompt: []string{"none"}})
		refused(t, err, oauth.LoginNeeded)
		_, err = newBrowser(t).trip(upstream("basic", "another secret", nil), Wish{})
		refused(t, err, oauth.UpstreamRefused)
		_, err = newBrowser(t).trip(upstream("es", "", foreign), Wish{})
		refused(t, err, oauth.UpstreamRefused)
	})
	t.Run("a code twice", func(t *testing.T) {
		b := newBrowser(t)
		back := b.depart(basic, Wish{}, "once")
		if _, err := basic.Arrive(t.Context(), "once", back, Wish{}, time.Now()); err != nil {
			t.Fatal(err)
		}
		_, err := basic.Arrive(t.Context(), "once", back, Wish{}, time.Now())
		refused(t, err, oauth.UpstreamRefused)
	})
}

// testSessionThere: who is signed in upstream passes without a page, unless a fresh authentication is wished for.
func testSessionThere(t *testing.T, u *Upstream) {
	b := newBrowser(t)
	first, err := b.trip(u, Wish{})
	if err != nil || b.logins != 1 {
		t.Fatalf("%d logins, %v", b.logins, err)
	}
	again, err := b.trip(u, Wish{MaxAge: seconds(3600), Since: time.Now()})
	if err != nil || b.logins != 1 || !again.At.Equal(first.At) {
		t.Fatalf("%d logins, at %s and %s: %v", b.logins, first.At, again.At, err)
	}
	since := time.Now()
	fresh, err := b.trip(u, Wish{Fresh: true, Since: since})
	if err != nil || b.logins != 2 || fresh.At.Before(since) {
		t.Fatalf("%d logins, at %s after %s: %v", b.logins, fresh.At, since, err)
	}
}

// startProvider runs deploy/clients/upstream.mjs until the test ends, and returns its issuer.
func startProvider(t *testing.T, clients []map[string]any) string {
	t.Helper()
	folder := filepath.Join("..", "..", "deploy", "clients")
	_, err1 := exec.LookPath("node")
	_, err2 := os.Stat(filepath.Join(folder, "node_modules", "oidc-provider"))
	if err := errors.Join(err1, err2); err != nil {
		const why = "a real provider to come from needs Node.js and the packages of deploy/clients (npm ci --ignore-scripts)"
		if os.Getenv("NOTHING_LEFT_OUT") != "" {
			t.Fatalf("%s: %v", why, err)
		}
		t.Skipf("LEFT OUT: %s: %v", why, err)
	}
	for _, c := range clients {
		c["redirect_uris"], c["response_types"], c["grant_types"] = []string{elsewhere}, []string{"code"}, []string{"authorization_code"}
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

// browser follows redirects, signs in as kim where it is asked to, and allows what it is asked.
type browser struct {
	t       *testing.T
	http    http.Client
	cancels bool
	logins  int
	hint    string // what the login page had filled in
}

func newBrowser(t *testing.T) *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &browser{t: t, http: http.Client{
		Jar: jar, Timeout: 2 * time.Minute, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

func (b *browser) trip(u *Upstream, w Wish) (Arrived, error) {
	b.t.Helper()
	state := oauth.NewSecret().Reveal()
	return u.Arrive(b.t.Context(), state, b.depart(u, w, state), w, time.Now())
}

var (
	formAction = regexp.MustCompile(`<form [^>]*action="([^"]+)"`)
	formPrompt = regexp.MustCompile(`name="prompt" value="([a-z]+)"`)
	formHint   = regexp.MustCompile(`name="login"[^>]* value="([^"]*)"`)
	cancelLink = regexp.MustCompile(`<a href="([^"]+)">\[ Cancel \]`)
)

// depart goes to the provider and returns the query with which it sends the browser back.
func (b *browser) depart(u *Upstream, w Wish, state string) url.Values {
	b.t.Helper()
	target, err := u.Depart(b.t.Context(), w, state)
	if err != nil {
		b.t.Fatal(err)
	}
	response, page := b.do(b.http.Get(target))
	for range 20 {
		at := response.Request.URL
		if next, err := response.Location(); err == nil {
			if strings.HasPrefix(next.String(), elsewhere) {
				return next.Query()
			}
			response, page = b.do(b.http.Get(next.String()))
			continue
		}
		prompt, action := found(formPrompt, page), found(formAction, page)
		switch {
		case response.StatusCode != http.StatusOK || action == "":
			b.t.Fatalf("%s answered %s: %s", at.Path, response.Status, page)
		case b.cancels:
			response, page = b.do(b.http.Get(found(cancelLink, page)))
			continue
		case prompt == "login":
			b.logins++
			b.hint = found(formHint, page)
		}
		response, page = b.do(b.http.PostForm(action, url.Values{"prompt": {prompt}, "login": {"kim"}, "password": {"any"}}))
	}
	b.t.Fatal("the provider goes round in circles")
	return nil
}

func (b *browser) do(response *http.Response, err error) (*http.Response, string) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
	defer response.Body.Close()
	page, err := io.ReadAll(response.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return response, string(page)
}

func found(what *regexp.Regexp, page string) string {
	if match := what.FindStringSubmatch(page); match != nil {
		return html.UnescapeString(match[1])
	}
	return ""
}
