package flow

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const cameBack = "http://127.0.0.1:49152/callback?code=c1&iss=i&state=s"

var alex = Person{Username: "alex", Password: "alex-demo"}

// open starts a bank and shows its first page to a browser.
func (s *bank) open(t *testing.T) *Browser {
	t.Helper()
	if s.leave = func(string) string { return cameBack }; s.status == 0 {
		s.status = http.StatusSeeOther
	}
	listener := httptest.NewUnstartedServer(s)
	start := listener.Start
	if s.secure {
		start = listener.StartTLS
	}
	start()
	t.Cleanup(listener.Close)
	b := NewBrowser(&Server{Issuer: listener.URL, HTTP: NewHTTPClient(listener.Client().Transport, time.Minute), Now: time.Now})
	if _, err := b.Visit(t.Context(), listener.URL+"/authorize?request_uri=u"); err != nil {
		t.Fatal(err)
	}
	return b
}

func TestAPersonAnswersPageByPage(t *testing.T) {
	for name, s := range map[string]*bank{"http": {}, "https": {prefix: "__Host-", secure: true}} {
		t.Run(name, func(t *testing.T) {
			b := s.open(t)
			if b.Page.Heading != "Sign in" || len(b.Exchanges) != 2 {
				t.Fatalf("the first page is %s, after %d requests", b.Page, len(b.Exchanges))
			}
			if page, err := b.SignIn(t.Context(), "alex", "alex-demo"); err != nil || page.Heading != "Accounts" {
				t.Fatalf("signed in: %s, %v", page, err)
			}
			if page, err := b.ChooseAccounts(t.Context(), "a2"); err != nil || page.Heading != "Allow?" {
				t.Fatalf("chose: %s, %v", page, err)
			}
			page, err := b.Decide(t.Context(), Deny)
			if err != nil || page.Location != cameBack {
				t.Fatalf("decided: %s, %v", page, err)
			}
			want := []url.Values{{"interaction": {"h1"}, "form_token": {"secret-token&1"}, "username": {"alex"}, "password": {"alex-demo"}},
				{"accounts": {"a2"}}, {"decision": {"deny"}, "form_token": {"secret-token-2"}}}
			if diff := cmp.Diff(want, s.posted); diff != "" {
				t.Error(diff)
			}
			if s.headers[0].Get("Origin") != "null" || s.headers[0].Get("Sec-Fetch-Site") != "same-origin" {
				t.Errorf("a form is posted with %v", s.headers[0])
			}
			wantCookies := s.prefix + "interaction=secret-i1; " + s.prefix + "session=secret-s1"
			if got := s.headers[2].Get("Cookie"); got != wantCookies {
				t.Errorf("cookies %s, want %s", got, wantCookies)
			}
		})
	}
}

func TestAPersonAnswersAtOnce(t *testing.T) {
	b := (&bank{}).open(t)
	did, err := b.Answer(t.Context(), alex, Approve)
	if want := "signed in as alex, shared 2 accounts, pressed Allow"; err != nil || did != want {
		t.Errorf("%q, %v", did, err)
	}
	params, err := ReadReturn(b.Page.Location, "http://127.0.0.1:49152/callback")
	if diff := cmp.Diff(url.Values{"code": {"c1"}, "iss": {"i"}, "state": {"s"}}, params); diff != "" || err != nil {
		t.Error(diff, err)
	}
}

func TestAnswerEndsWhereAPersonWould(t *testing.T) {
	tests := map[string]struct {
		bank   bank
		person Person
		want   string
	}{
		"a wrong password":    {bank{}, Person{Username: "alex", Password: "wrong"}, "the page comes again: 403, Sign in, That is not right."},
		"a page of no answer": {bank{prefix: "__Host-"}, alex, "a person could answer: 403, Somebody else"}, // its cookies are not kept
	}
	for name, test := range tests {
		did, err := test.bank.open(t).Answer(t.Context(), test.person, Approve)
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(did, "signed in") == (test.person != alex) {
			t.Errorf("%s: did %q, %v", name, did, err)
		}
	}
}

// Only 303 is followed, and only on the origin itself.
func TestRedirectsThatAreNotFollowed(t *testing.T) {
	for _, status := range []int{301, 302, 307, 308} {
		s := &bank{status: status}
		if b := s.open(t); !strings.HasSuffix(b.Page.Location, "/login?interaction=h1") || len(s.visits) != 1 {
			t.Errorf("%d: %s after %v", status, b.Page, s.visits)
		}
	}
	endless := httptest.NewServer(http.RedirectHandler("/again", http.StatusSeeOther))
	defer endless.Close()
	b := NewBrowser(&Server{Issuer: endless.URL, HTTP: NewHTTPClient(http.DefaultTransport, time.Minute), Now: time.Now})
	if _, err := b.Visit(t.Context(), endless.URL); err == nil || len(b.Exchanges) != maxRedirects {
		t.Errorf("%v after %d requests", err, len(b.Exchanges))
	}
}

// An error page says something, and leads nowhere.
func TestErrorPage(t *testing.T) {
	answer := func(status int, body string, header ...string) *Page {
		exchange := &Exchange{URL: "https://as.example/a", Status: status, ResponseBody: body, ResponseHeader: http.Header{"Content-Type": {"text/html"}}}
		for i := 0; i < len(header); i += 2 {
			exchange.ResponseHeader.Set(header[i], header[i+1])
		}
		return readPage(exchange)
	}
	const body = "<h1>No such request</h1>"
	for name, test := range map[string]struct {
		page *Page
		want bool
	}{
		"400":               {answer(400, body), true},
		"503":               {answer(503, body), true},
		"200":               {answer(200, body), false},
		"303":               {answer(303, body, "Location", "/b"), false},
		"400 says nothing":  {answer(400, ""), false},
		"400 in JSON":       {answer(400, body, "Content-Type", "application/json"), false},
		"200 with Location": {answer(200, body, "Location", "/b"), false},
	} {
		if test.page.Refused() != test.want {
			t.Errorf("%s: want %t", name, test.want)
		}
	}
}

// A form can be bent, and sent twice.
func TestBentForms(t *testing.T) {
	s := &bank{}
	b := s.open(t)
	b.Header = http.Header{"sec-fetch-site": {"cross-site"}}
	form := b.Page.Form("username")
	form.Fields.Del("form_token")
	for range 2 {
		if _, err := b.Submit(t.Context(), form); err != nil {
			t.Fatal(err)
		}
	}
	want := url.Values{"interaction": {"h1"}, "username": {""}, "password": {""}}
	if diff := cmp.Diff([]url.Values{want, want}, s.posted); diff != "" {
		t.Error(diff)
	}
	if got := s.headers[1]["Sec-Fetch-Site"]; len(got) != 1 || got[0] != "cross-site" {
		t.Errorf("Sec-Fetch-Site is %v", got)
	}
	if _, err := b.Decide(t.Context(), Approve); err == nil || !strings.Contains(err.Error(), "no field decision") {
		t.Errorf("decided on another page: %v", err)
	}
}

func TestCookiesThatABrowserThrowsAway(t *testing.T) {
	http1, https1 := &url.URL{Scheme: "http", Host: "h"}, &url.URL{Scheme: "https", Host: "h"}
	tests := map[string]struct {
		cookie http.Cookie
		from   *url.URL
		keeps  bool
	}{
		"plain":               {http.Cookie{Name: "a"}, http1, true},
		"Secure from http":    {http.Cookie{Name: "a", Secure: true}, http1, false},
		"Host":                {http.Cookie{Name: "__Host-a", Secure: true, Path: "/"}, https1, true},
		"Host, not Secure":    {http.Cookie{Name: "__Host-a", Path: "/"}, https1, false},
		"Host below a path":   {http.Cookie{Name: "__Host-a", Secure: true, Path: "/x"}, https1, false},
		"Host with a domain":  {http.Cookie{Name: "__Host-a", Secure: true, Path: "/", Domain: "h"}, https1, false},
		"Secure prefix":       {http.Cookie{Name: "__Secure-a", Secure: true}, https1, true},
		"Secure prefix alone": {http.Cookie{Name: "__Secure-a"}, https1, false},
	}
	for name, test := range tests {
		if keeps(&test.cookie, test.from) != test.keeps {
			t.Errorf("%s: want %t", name, test.keeps)
		}
	}
}

func TestReadReturn(t *testing.T) {
	const uri = "http://127.0.0.1:1/cb"
	tests := []struct {
		location, redirectURI string
		want                  url.Values // nil: refused
	}{
		{uri + "?code=a%20b&iss=i", uri, url.Values{"code": {"a b"}, "iss": {"i"}}},
		{uri + "?own=1&code=a", uri + "?own=1", url.Values{"code": {"a"}}},
		{uri, uri, nil},
		{uri + "/?code=a", uri, nil},
		{"http://127.0.0.1:2/cb?code=a", uri, nil},
		{uri + "#code=a", uri, nil},
		{uri + "?code=a#", uri, nil},
		{uri + "?code=a&code=b", uri, nil},
		{uri + "?code=%zz", uri, nil},
	}
	for _, test := range tests {
		got, err := ReadReturn(test.location, test.redirectURI)
		if diff := cmp.Diff(test.want, got); diff != "" || (err == nil) != (test.want != nil) {
			t.Errorf("%s: %v %s", test.location, err, diff)
		}
	}
}

func TestPushRedeemAndRefreshAreWhatTheRFCsWant(t *testing.T) {
	var seen []*http.Request
	client := testClient(t, func(w http.ResponseWriter, r *http.Request) {
		r.ParseForm()
		seen = append(seen, r)
		if r.URL.Path == "/par" {
			w.WriteHeader(http.StatusCreated)
		}
		io.WriteString(w, `{"request_uri":"urn:x","expires_in":90,"access_token":"t","refresh_token":"r"}`)
	})
	client.Server.Metadata.PushedAuthorizationRequestEndpoint = client.Server.Issuer + "/par"
	client.Server.Metadata.AuthorizationEndpoint = "https://as.example/authorize?a=b"
	pair := NewPKCE()
	if len(pair.Verifier) != 43 || pair.Challenge != digest64(pair.Verifier) || pair == NewPKCE() {
		t.Errorf("a pair is %v", pair)
	}
	pushed, err := client.Push(t.Context(), pair.Parameters("u", "a b", "s"))
	if err != nil || pushed.RequestURI != "urn:x" || pushed.ExpiresIn != 90 {
		t.Fatalf("%v, %v", pushed, err)
	}
	if got, want := client.AuthorizeURL("urn:x"), "https://as.example/authorize?a=b&client_id=client-1&request_uri=urn%3Ax"; got != want {
		t.Errorf("the browser goes to %s", got)
	}
	if _, err := client.Redeem(t.Context(), "c", pair.Verifier, "u"); err != nil {
		t.Fatal(err)
	}
	token, err := client.Refresh(t.Context(), "r", url.Values{"scope": {"a"}})
	if err != nil || token.RefreshToken != "r" {
		t.Fatalf("%v, %v", token, err)
	}
	own := func(form url.Values) url.Values {
		form.Set("client_id", "client-1")
		return form
	}
	for i, want := range []url.Values{
		own(url.Values{"response_type": {"code"}, "redirect_uri": {"u"}, "scope": {"a b"}, "state": {"s"},
			"code_challenge": {pair.Challenge}, "code_challenge_method": {"S256"}}),
		own(url.Values{"grant_type": {"authorization_code"}, "code": {"c"}, "code_verifier": {pair.Verifier}, "redirect_uri": {"u"}}),
		own(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {"r"}, "scope": {"a"}}),
	} {
		got := seen[i].Form
		if got.Get("client_assertion") == "" || seen[i].Header.Get("DPoP") == "" {
			t.Errorf("request %d lacks an assertion or a proof", i)
		}
		got.Del("client_assertion")
		got.Del("client_assertion_type")
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
	client.Server.Metadata.PushedAuthorizationRequestEndpoint = client.Server.Issuer + "/token"
	if _, err := client.Push(t.Context(), nil); err == nil {
		t.Error("200 is taken for 201")
	}
}
