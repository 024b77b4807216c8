package authorize

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"authserver/internal/client"
	"authserver/internal/flow"
	"authserver/internal/jose"
	"authserver/internal/oauth"
)

// logoutAt is a request to sign out; pairs are its parameters.
func logoutAt(pairs ...string) string {
	values := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		values.Add(pairs[i], pairs[i+1])
	}
	return issuer + "/oauth2/logout?" + values.Encode()
}

// back is where an app wants the person to come back to, and toBye the wish of c1, which has registered bye.
const back = "post_logout_redirect_uri"

func toBye(more ...string) string {
	return logoutAt(append([]string{"client_id", "c1", back, bye}, more...)...)
}

// LO-01: an app's wish is a question. The person who says yes is signed out and goes where the client registered, with its
// state; nothing happens before, however often it is asked.
func TestLogout(t *testing.T) {
	const nowhere = issuer + "/signed-out?connected"
	for wish, want := range map[string]string{
		logoutAt():                  nowhere,
		logoutAt("client_id", "c1"): nowhere,
		logoutAt("client_id", "nobody", "state", "x", "logout_hint", "y"): nowhere,
		toBye():                       bye,
		toBye("state", "a+b c&d=\"é"): bye + "?state=a%2Bb%20c%26d%3D%22%C3%A9",
		logoutAt("client_id", "c1", back, bye+"?a=b", "state", "s"): bye + "?a=b&state=s",
		toBye("state", "", "ui_locales", ""):                        bye,
		toBye("redirect_uri", "https://evil"):                       bye,
	} {
		h := newHouse(t, issuer)
		b := h.signedIn("kim")
		p := h.visit(b, wish)
		h.visit(b, wish)
		out := formTo(p, "/sign-out")
		if out == nil || len(h.memory.sessions) != 1 || !strings.Contains(p.Text, "Signed in as kim.") ||
			strings.Contains(p.Text, "An app") != strings.Contains(wish, "bye") {
			t.Fatalf("%s: %s %s", wish, p, p.Text)
		}
		h.submit(b, out)
		if left := b.Exchanges[len(b.Exchanges)-1]; len(h.memory.sessions) != 0 ||
			left.ResponseHeader.Get("Location") != want && left.URL != want {
			t.Errorf("%s leads to %s %s", wish, left.URL, left.ResponseHeader)
		}
	}
}

// A browser at which nobody is signed in goes back by the press of a button too: no link leads through this server to
// elsewhere.
func TestLogoutOver(t *testing.T) {
	h := newHouse(t, issuer)
	b := h.browser()
	p := h.visit(b, toBye("state", "s"))
	if p.Location != "" || !strings.Contains(p.Text, "Back to An app") || !strings.Contains(p.Heading, "signed out") {
		t.Fatalf("%s", p)
	}
	if p := h.submit(b, formTo(p, "/sign-out")); p.Location != bye+"?state=s" {
		t.Errorf("%s", p)
	}
	if p := h.visit(b, logoutAt("client_id", "c1")); !strings.HasSuffix(p.Exchange.URL, "/signed-out") {
		t.Errorf("%s", p)
	}
}

// postLogout sends a wish as a form, and returns where that leads.
func (h *house) postLogout(wish url.Values) (target string) {
	h.Helper()
	answer := h.postToLogout("application/x-www-form-urlencoded", wish.Encode())
	if answer.StatusCode != http.StatusSeeOther {
		h.Fatal(answer)
	}
	return answer.Header.Get("Location")
}

// postToLogout sends a body of this content type.
func (h *house) postToLogout(contentType, body string) *http.Response {
	h.Helper()
	r, err := http.NewRequestWithContext(h.Context(), http.MethodPost, logoutAt("state", "of the query"), strings.NewReader(body))
	if err != nil {
		h.Fatal(err)
	}
	r.Header.Set("Content-Type", contentType)
	answer, err := h.RoundTrip(r)
	if err != nil {
		h.Fatal(err)
	}
	_ = answer.Body.Close()
	return answer
}

// A body that is no form, or one with what a form does not take, is refused: as a GET its parameters would be lost, or others.
func TestLogoutPostedOtherwise(t *testing.T) {
	h := newHouse(t, issuer)
	const form = "application/x-www-form-urlencoded"
	for body, test := range map[string]struct {
		contentType string
		want        int
	}{
		`{"client_id":"c1"}`: {"application/json", http.StatusUnsupportedMediaType},
		"--b\r\nContent-Disposition: form-data; name=\"client_id\"\r\n\r\nc1\r\n--b--\r\n": {
			"multipart/form-data; boundary=b", http.StatusUnsupportedMediaType},
		"client_id=c1":          {"", http.StatusUnsupportedMediaType},
		"state=%ff":             {form, http.StatusBadRequest},
		"state=%00":             {form, http.StatusBadRequest},
		"state=%0a":             {form, http.StatusBadRequest},
		"state=1&state=1":       {form, http.StatusBadRequest},
		"client_id=c1;state=%%": {form, http.StatusBadRequest},
	} {
		answer := h.postToLogout(test.contentType, body)
		if answer.StatusCode != test.want || answer.Header.Get("Location") != "" ||
			!strings.HasPrefix(answer.Header.Get("Content-Type"), "text/html") {
			t.Errorf("%q: %d %v", body, answer.StatusCode, answer.Header)
		}
	}
}

// The page names the parameter that is not in order, for the developer, and no name that somebody made up.
func TestLogoutRefusalNamesTheParameter(t *testing.T) {
	h := newHouse(t, issuer)
	for wish, want := range map[string]string{
		logoutAt(back, bye):                              "post_logout_redirect_uri needs id_token_hint or client_id beside it",
		toBye("state", "1", "state", "2"):                "state was sent more than once",
		toBye("state", "a\r\nX: y"):                      "state holds a control character",
		logoutAt("ui_locales", strings.Repeat("x", 201)): "ui_locales has 201 bytes; at most 200 are taken",
		logoutAt("call_us", "1", "call_us", "2"):         "",
		logoutAt("state", "\xff"):                        "",
	} {
		body := h.visit(h.browser(), wish).Exchange.ResponseBody
		if strings.Contains(body, `id="detail"`) != (want != "") || !strings.Contains(body, want) || strings.Contains(body, "call_us") {
			t.Errorf("%s: want %q in %s", wish, want, body)
		}
	}
}

// The POST of another site's page comes without this site's cookies, and so is made a GET.
func TestLogoutPosted(t *testing.T) {
	h := newHouse(t, issuer)
	target := h.postLogout(url.Values{
		"client_id": {"c1"}, back: {bye}, "state": {"a b"}, "ui_locales": {"fr en"}, "other": {"x"},
	})
	if want := toBye("state", "a b", "ui_locales", "fr en"); target != strings.ReplaceAll(want, "+", "%20") {
		t.Error(target)
	}
	if p := h.visit(h.signedIn("kim"), target); !strings.Contains(p.Text, "Session ouverte : kim.") {
		t.Errorf("not in the language that the client asked for: %s", p.Text)
	}
}

// LO-01: never an open redirector. What is wrong with a request is told on a page, on which the person can sign out all the
// same.
func TestLogoutRefused(t *testing.T) {
	long := strings.Repeat("s", 2049)
	for wish, reason := range map[string]oauth.Reason{
		logoutAt(back, bye):                                          oauth.ParameterMissing,
		logoutAt("client_id", "c1", back, bye+"/"):                   oauth.LogoutURIUnknown,
		logoutAt("client_id", "c1", back, strings.ToUpper(bye)):      oauth.LogoutURIUnknown,
		logoutAt("client_id", "c1", back, bye+"?a=b&c=d"):            oauth.LogoutURIUnknown,
		logoutAt("client_id", "c1", back, "https://evil.example"):    oauth.LogoutURIUnknown,
		logoutAt("client_id", "c1", back, "//evil.example"):          oauth.LogoutURIUnknown,
		logoutAt("client_id", "c1", back, callback):                  oauth.LogoutURIUnknown,
		logoutAt("client_id", "c2", back, bye):                       oauth.LogoutURIUnknown,
		toBye(back, bye):                                             oauth.ParameterRepeated,
		logoutAt("client_id", "c1", "client_id", "c2", back, bye):    oauth.ParameterRepeated,
		toBye("state", "1", "state", "2"):                            oauth.ParameterRepeated,
		toBye("state", long):                                         oauth.ParameterTooLong,
		logoutAt("ui_locales", long):                                 oauth.ParameterTooLong,
		logoutAt() + "a;b":                                           oauth.BodyMalformed,
		toBye("state", "\xff"):                                       oauth.BodyMalformed, // HT-16, as the next
		toBye("state", "a\x00b"):                                     oauth.BodyMalformed,
		toBye("state", "a\r\nX: y"):                                  oauth.BodyMalformed,
		toBye("state", "a\u0085b"):                                   oauth.BodyMalformed,
		logoutAt("client_id", "c1\x00", back, bye):                   oauth.BodyMalformed,
		logoutAt("other", "\xff"):                                    oauth.BodyMalformed,
		logoutAt("other", "1", "other", "2"):                         oauth.ParameterRepeated,
		logoutAt("id_token_hint", "a.b.c"):                           oauth.HintRefused,
		toBye("id_token_hint", "a.b.c"):                              oauth.HintRefused,
		logoutAt("id_token_hint", "a.b.c", "id_token_hint", "a.b.c"): oauth.ParameterRepeated,
	} {
		h := newHouse(t, issuer)
		b := h.signedIn("kim")
		p := h.visit(b, wish)
		h.refused(p, reason)
		body := p.Exchange.ResponseBody
		if strings.Contains(body, "evil") || !strings.Contains(body, `href="/oauth2/logout"`) {
			t.Errorf("%s: %s", wish, body)
		}
		h.submit(b, formTo(h.visit(b, issuer+"/oauth2/logout"), "/sign-out"))
		if len(h.memory.sessions) != 0 {
			t.Errorf("%s: still signed in", wish)
		}
	}
}

// The form counts for this person and this browser, and where it leads is judged once more. What the client gave up since
// the page was made keeps nobody signed in.
func TestLogoutForms(t *testing.T) {
	h := newHouse(t, issuer)
	kim, sam := h.signedIn("kim"), h.signedIn("sam")
	wish := toBye("state", "s")
	theirs := formTo(h.visit(sam, wish), "/sign-out")
	out := formTo(h.visit(kim, wish), "/sign-out")
	h.refused(h.submit(kim, theirs), oauth.FormRefused)
	h.refused(h.submit(kim, out, "form_token"), oauth.FormRefused)
	h.refused(h.submit(kim, out, "ui_locales", "en"), oauth.FormField)
	kim.Header = http.Header{"Sec-Fetch-Site": {"cross-site"}}
	h.refused(h.submit(kim, out), oauth.CrossSite)
	if kim.Header = nil; len(h.memory.sessions) != 2 {
		t.Fatal("a form that is no page's did something")
	}
	for _, bent := range [][]string{
		{back, "https://evil.example"}, {"client_id", "c2"}, {"client_id"}, {"state", strings.Repeat("s", 2049)},
		{"state", "\n"},
	} {
		b := h.signedIn("alex")
		form := formTo(h.visit(b, wish), "/sign-out")
		before := len(h.memory.sessions)
		p := h.submit(b, form, bent...)
		if p.Location != "" || !strings.Contains(p.Exchange.URL, "/signed-out") || len(h.memory.sessions) != before-1 {
			t.Errorf("%v leads to %s", bent, p)
		}
	}
	c := h.memory.clients["c1"]
	c.Metadata.PostLogoutRedirectURIs = nil
	h.memory.clients["c1"] = c
	if p := h.submit(kim, out); p.Location != "" || len(h.memory.sessions) != 1 {
		t.Errorf("%s", p)
	}
}

// The browser may be sent on from the client's page to anywhere: Chromium holds form-action against that too.
func TestLogoutPolicy(t *testing.T) {
	h := newHouse(t, issuer)
	for wish, want := range map[string]string{
		logoutAt(): "form-action 'self';", toBye(): "form-action 'self' https:;",
	} {
		p := h.visit(h.signedIn("kim"), wish)
		if policy := p.Exchange.ResponseHeader.Get("Content-Security-Policy"); !strings.Contains(policy, want) {
			t.Errorf("%s: %s", wish, policy)
		}
	}
}

// While the store is down nobody is told that they are signed out, or that their app is unknown; with it they still go back.
func TestLogoutOutage(t *testing.T) {
	h := newHouse(t, issuer)
	b := h.signedIn("kim")
	out := formTo(h.visit(b, toBye()), "/sign-out")
	h.Store = down{h.memory}
	for _, p := range []*flow.Page{h.visit(h.browser(), toBye()), h.submit(b, out)} {
		if p.Exchange.Status != http.StatusInternalServerError || p.Location != "" || len(h.memory.sessions) != 1 {
			t.Errorf("%s", p)
		}
	}
	h.Store = h.memory
	if p := h.submit(b, out); p.Location != bye {
		t.Errorf("%s", p)
	}
}

// down is a store that finds no client just now.
type down struct{ Store }

func (down) FindClient(context.Context, string) (client.Client, bool, error) {
	return client.Client{}, false, errors.New("the database is down")
}

// LO-01: an ID token says which client asks, also after its time, and must be ours. Beside it client_id may say so too, and
// nothing else. It does not travel on in a URL.
func TestLogoutHints(t *testing.T) {
	h := newHouse(t, issuer)
	v := newVault(h)
	forClient := func(id, issuer string, edits ...func(map[string]any)) string {
		claims := map[string]any{"iss": issuer, "sub": "_kim", "aud": id, "iat": 1, "exp": 2, "auth_time": 1}
		for _, edit := range edits {
			edit(claims)
		}
		compact, err := v.Sign(jose.PS256, "JWT", claims)
		if err != nil {
			t.Fatal(err)
		}
		return compact
	}
	hint := forClient("c1", issuer)
	sams := forClient("c1", issuer, func(claims map[string]any) { claims["sub"] = "_sam" })
	nobodys := forClient("c1", issuer, func(claims map[string]any) { delete(claims, "sub") })
	elsewhere := forClient("c1", "https://evil.example")
	for name, wish := range map[string]string{
		"alone":                 logoutAt("id_token_hint", hint, back, bye, "state", "s"),
		"beside the client":     logoutAt("id_token_hint", hint, "client_id", "c1", back, bye, "state", "s"),
		"of whoever was before": logoutAt("id_token_hint", sams, back, bye, "state", "s"),
	} {
		p := h.visit(h.signedIn("kim"), wish)
		form := formTo(p, "/sign-out")
		if form == nil || form.Fields.Get("client_id") != "c1" || form.Fields.Get(back) != bye ||
			!strings.Contains(p.Text, "Signed in as kim.") || strings.Contains(p.Exchange.ResponseBody, hint) {
			t.Errorf("%s: %s", name, p)
		}
	}
	if target := h.postLogout(url.Values{"id_token_hint": {hint}, back: {bye}}); target != toBye() {
		t.Error(target)
	}
	for name, refused := range map[string]struct {
		wish   string
		reason oauth.Reason
	}{
		"another client_id":    {logoutAt("id_token_hint", hint, "client_id", "c2", back, bye), oauth.HintRefused},
		"another client's":     {logoutAt("id_token_hint", forClient("c2", issuer), back, bye), oauth.LogoutURIUnknown},
		"another issuer's":     {logoutAt("id_token_hint", elsewhere, back, bye), oauth.HintRefused},
		"no ID token":          {logoutAt("id_token_hint", nobodys), oauth.HintRefused},
		"one that was changed": {logoutAt("id_token_hint", hint[:len(hint)-6]+"AAAAAA"), oauth.HintRefused},
	} {
		p := h.visit(h.browser(), refused.wish)
		if h.refused(p, refused.reason); strings.Contains(p.Exchange.ResponseBody, hint) {
			t.Errorf("%s: the page holds the ID token", name)
		}
	}
}
