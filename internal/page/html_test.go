package page_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"authserver/internal/oauth"
	"authserver/internal/page"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// document is a page as a browser reads it.
type document struct{ root *html.Node }

func read(t *testing.T, r *http.Response) document {
	t.Helper()
	root, err := html.Parse(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return document{root}
}

// all are the elements that match.
func (d document) all(match func(*html.Node) bool) []*html.Node {
	var found []*html.Node
	for n := range d.root.Descendants() {
		if n.Type == html.ElementNode && match(n) {
			found = append(found, n)
		}
	}
	return found
}

func (d document) elements(a atom.Atom) []*html.Node {
	return d.all(func(n *html.Node) bool { return n.DataAtom == a })
}

// byID is the element of the id, or nil.
func (d document) byID(id string) *html.Node {
	for _, n := range d.all(func(n *html.Node) bool { return attribute(n, "id") == id }) {
		return n
	}
	return nil
}

func has(n *html.Node, name string) bool {
	return n != nil && slices.ContainsFunc(n.Attr, func(a html.Attribute) bool { return a.Key == name })
}

func attribute(n *html.Node, name string) string {
	if n != nil {
		for _, a := range n.Attr {
			if a.Key == name {
				return a.Val
			}
		}
	}
	return ""
}

// words is the text of an element, with single spaces.
func words(n *html.Node) string {
	var b strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode {
			b.WriteString(d.Data)
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

// TestStructure holds every page against what a screen reader and a keyboard need.
func TestStructure(t *testing.T) {
	each(t, func(t *testing.T, l string, m page.Model) {
		d := read(t, write(t, l, m))
		if got := attribute(d.elements(atom.Html)[0], "lang"); got != l {
			t.Errorf("the language is %q", got)
		}
		if h1 := d.elements(atom.H1); len(h1) != 1 || words(h1[0]) == "" {
			t.Errorf("there are %d h1", len(h1))
		}
		if main := d.elements(atom.Main); len(main) != 1 {
			t.Errorf("there are %d main", len(main))
		}
		ids := map[string]bool{}
		for _, n := range d.all(func(n *html.Node) bool { return has(n, "id") }) {
			if ids[attribute(n, "id")] {
				t.Errorf("the id %q stands twice", attribute(n, "id"))
			}
			ids[attribute(n, "id")] = true
		}
		for _, n := range d.all(func(n *html.Node) bool { return has(n, "aria-describedby") }) {
			if !ids[attribute(n, "aria-describedby")] {
				t.Errorf("nothing has the id %q that describes %s", attribute(n, "aria-describedby"), attribute(n, "id"))
			}
		}
		for _, n := range d.elements(atom.Input) {
			labels := d.all(func(l *html.Node) bool { return l.DataAtom == atom.Label && attribute(l, "for") == attribute(n, "id") })
			if attribute(n, "type") != "hidden" && (len(labels) != 1 || words(labels[0]) == "") {
				t.Errorf("the input %q has %d labels", attribute(n, "name"), len(labels))
			}
		}
		for _, n := range d.elements(atom.Button) {
			if words(n) == "" || attribute(n, "id") == "" {
				t.Errorf("a button has no words or no id: %q", words(n))
			}
		}
	})
}

// TestAZ23NothingRuns: no script, no style and no handler stands in a page, and nothing comes from another host.
func TestAZ23NothingRuns(t *testing.T) {
	each(t, func(t *testing.T, l string, m page.Model) {
		if _, leaves := m.(page.Answer); leaves {
			return // TestAnswer
		}
		d := read(t, write(t, l, m))
		if n := len(d.elements(atom.Script)) + len(d.elements(atom.Style)) + len(d.elements(atom.Iframe)); n > 0 {
			t.Errorf("there are %d elements that run or paint", n)
		}
		for _, n := range d.all(func(*html.Node) bool { return true }) {
			for _, a := range n.Attr {
				if strings.HasPrefix(a.Key, "on") || a.Key == "style" {
					t.Errorf("<%s %s=%q>", n.Data, a.Key, a.Val)
				}
				if (a.Key == "href" || a.Key == "src" || a.Key == "action") && !strings.HasPrefix(a.Val, "/") {
					t.Errorf("<%s %s=%q> leads away", n.Data, a.Key, a.Val)
				}
			}
		}
	})
}

// TestForms: ids, names and values stay the same in every language, and every form is a POST that proves itself.
func TestForms(t *testing.T) {
	tests := map[string][]string{
		"login":    {"/oauth2/next username password #submit"},
		"accounts": {"/oauth2/next accounts=acc-1 accounts=acc-2 accounts=acc-3 #submit", "/oauth2/sign-out #sign-out"},
		"consent":  {"/oauth2/next #approve:decision=approve #deny:decision=deny", "/oauth2/sign-out #sign-out"},

		"login-own": {"/connected/attempt username password #submit"},
		"connected-many": {
			"/connected/stop consent-2 #stop-0", "/connected/stop consent-1 #stop-1", "/connected/stop consent-3 #stop-2",
			"/sign-out #sign-out",
		},
		"connected-none": {"/sign-out #sign-out"},
		"logout":         {"/sign-out client_id=budget-buddy post_logout_redirect_uri=https://budget-buddy.example/bye state=a state #sign-out"},
		"logout-over":    {"/sign-out client_id=budget-buddy post_logout_redirect_uri=https://budget-buddy.example/bye state=a state #continue"},
		"logout-unasked": {"/sign-out #sign-out"},
	}
	for name, want := range tests {
		for _, l := range page.Languages() {
			var forms []string
			for _, form := range read(t, write(t, l, sights()[name])).elements(atom.Form) {
				forms = append(forms, outline(t, form))
			}
			if diff := cmp.Diff(want, forms); diff != "" {
				t.Errorf("%s in %s: %s", name, l, diff)
			}
		}
	}
}

// proofs are the hidden fields of a form, by its action. What belongs to no interaction names none.
var proofs = map[string]map[string]string{
	theForm.Action:       {"interaction": theForm.Interaction, "form_token": theForm.Token},
	theSignOut.Action:    {"interaction": theSignOut.Interaction, "form_token": theSignOut.Token},
	theOwn.Action:        {"form_token": theOwn.Token},
	theStop.Action:       {"form_token": theStop.Token},
	theOwnSignOut.Action: {"form_token": theOwnSignOut.Token},
}

// outline is a form in one line: its action, what it asks for, its buttons.
func outline(t *testing.T, form *html.Node) string {
	t.Helper()
	hidden, parts := map[string]string{}, []string{attribute(form, "action")}
	for n := range form.Descendants() {
		switch {
		case n.DataAtom == atom.Input && attribute(n, "type") == "hidden":
			hidden[attribute(n, "name")] = attribute(n, "value")
		case n.DataAtom == atom.Input && attribute(n, "type") == "checkbox":
			parts = append(parts, attribute(n, "name")+"="+attribute(n, "value"))
		case n.DataAtom == atom.Input:
			parts = append(parts, attribute(n, "name"))
		case n.DataAtom == atom.Button && attribute(n, "name") == "":
			parts = append(parts, "#"+attribute(n, "id"))
		case n.DataAtom == atom.Button:
			parts = append(parts, "#"+attribute(n, "id")+":"+attribute(n, "name")+"="+attribute(n, "value"))
		}
	}
	if consent, ok := hidden["consent"]; ok {
		parts = slices.Insert(parts, 1, consent)
		delete(hidden, "consent")
	}
	for i, name := range []string{"client_id", "post_logout_redirect_uri", "state"} {
		if value, ok := hidden[name]; ok {
			parts = slices.Insert(parts, i+1, name+"="+value)
			delete(hidden, name)
		}
	}
	if diff := cmp.Diff(proofs[attribute(form, "action")], hidden); diff != "" {
		t.Error(diff)
	}
	if attribute(form, "method") != "post" {
		t.Errorf("the form for %s is no POST", attribute(form, "action"))
	}
	return strings.Join(parts, " ")
}

// TestLoginFields: a password manager finds its fields, and an earlier username stays while a password never does.
func TestLoginFields(t *testing.T) {
	d := read(t, write(t, "en", sights()["login-wrong"]))
	username, password := d.byID("username"), d.byID("password")
	if attribute(username, "autocomplete") != "username" || attribute(password, "autocomplete") != "current-password" ||
		attribute(password, "type") != "password" {
		t.Error("the fields are not those of a login")
	}
	if attribute(username, "value") != "alex" || has(password, "value") {
		t.Error("the fields are not filled in as they should be")
	}
}

// TestProblem: what is wrong is the first thing to be heard, in the title and in a summary that takes the focus.
func TestProblem(t *testing.T) {
	tests := map[string]struct {
		says    string
		invalid int
	}{
		"login-wrong":      {"The username or the password is wrong. Please try again.", 2},
		"login-too-many":   {"There were too many attempts to sign in. Please try again in 8 minutes.", 0},
		"login-too-busy":   {"Many people are signing in just now. Please try again in a moment.", 0},
		"accounts-nothing": {"Choose at least one account.", 3},
	}
	for name, test := range tests {
		d := read(t, write(t, "en", sights()[name]))
		if title := words(d.elements(atom.Title)[0]); !strings.HasPrefix(title, "Error: ") {
			t.Errorf("%s: the title is %q", name, title)
		}
		problem := d.byID("problem")
		if problem == nil {
			t.Errorf("%s: there is no summary", name)
			continue
		}
		if attribute(problem, "role") != "alert" || attribute(problem, "tabindex") != "-1" || !has(problem, "autofocus") {
			t.Errorf("%s: the summary does not take the focus", name)
		}
		if said := words(problem); said != "There is a problem "+test.says {
			t.Errorf("%s: the summary says %q", name, said)
		}
		invalid := d.all(func(n *html.Node) bool {
			return attribute(n, "aria-invalid") == "true" && attribute(n, "aria-describedby") == "problem"
		})
		if len(invalid) != test.invalid {
			t.Errorf("%s: %d fields are invalid, expected %d", name, len(invalid), test.invalid)
		}
	}
	d := read(t, write(t, "en", sights()["login"]))
	if title := words(d.elements(atom.Title)[0]); title != "Sign in – Example Bank" || d.byID("problem") != nil {
		t.Errorf("without a problem the title is %q", title)
	}
	titles := map[string]string{"es": "Error: Iniciar sesión – Example Bank", "fr": "Erreur : Connexion – Example Bank"}
	for l, want := range titles {
		d := read(t, write(t, l, sights()["login-wrong"]))
		if title := words(d.elements(atom.Title)[0]); title != want {
			t.Errorf("the title is %q, expected %q", title, want)
		}
	}
}

// TestWait: minutes begun, and nothing about time where it is not known.
func TestWait(t *testing.T) {
	tests := map[time.Duration]string{
		0:           "Please try again later.",
		time.Second: "Please try again in one minute.", time.Minute: "Please try again in one minute.",
		61 * time.Second: "Please try again in 2 minutes.", 10 * time.Minute: "Please try again in 10 minutes.",
	}
	for wait, want := range tests {
		d := read(t, write(t, "en", page.Login{Problem: page.TooManyAttempts, Wait: wait}))
		if said := words(d.byID("problem")); !strings.HasSuffix(said, want) {
			t.Errorf("after %v: %q", wait, said)
		}
	}
}

// TestAccounts: nothing is ticked but what was chosen, and without accounts there is nothing to send.
func TestAccounts(t *testing.T) {
	d := read(t, write(t, "en", sights()["accounts"]))
	var ticked []string
	for _, n := range d.all(func(n *html.Node) bool { return has(n, "checked") }) {
		ticked = append(ticked, attribute(n, "value"))
	}
	if diff := cmp.Diff([]string{"acc-2"}, ticked); diff != "" {
		t.Error(diff)
	}
	legends := d.elements(atom.Legend)
	if len(legends) != 1 || legends[0].Parent.DataAtom != atom.Fieldset {
		t.Error("the checkboxes are no group")
	}
	if read(t, write(t, "en", sights()["accounts-none"])).byID("submit") != nil {
		t.Error("without accounts there is a button")
	}
}

// TestFailure: plain words for the person and the reason's name for the developer.
func TestFailure(t *testing.T) {
	kinds := map[string]string{}
	for kind, failure := range failures {
		if failure.Kind() != kind {
			t.Errorf("%s is told as %s, expected %s", failure.Reason, failure.Kind(), kind)
		}
		failure.ID = "reference-0001"
		d := read(t, write(t, "en", failure))
		heading := words(d.elements(atom.H1)[0])
		if kinds[heading] != "" {
			t.Errorf("%s and %s are both told as %q", kind, kinds[heading], heading)
		}
		kinds[heading] = kind
		reason := d.byID("reason")
		if attribute(reason, "href") != "/errors/"+string(failure.Reason) || words(reason) != string(failure.Reason) {
			t.Errorf("%s is not explained to the developer", failure.Reason)
		}
		if detail := d.byID("detail"); (detail != nil) != (failure.Detail != "") ||
			detail != nil && (words(detail) != failure.Detail || attribute(detail, "lang") != "en") {
			t.Errorf("%s: the detail %q is not told as it is, in English", kind, failure.Detail)
		}
		if words(d.byID("reference")) != "reference-0001" {
			t.Errorf("%s: nothing to quote", kind)
		}
	}
	for _, e := range oauth.Reasons() {
		d := read(t, write(t, "en", page.Failure{Reason: e.Reason, Status: (&oauth.Error{Reason: e.Reason}).Status()}))
		developer := words(d.elements(atom.Footer)[0])
		if e.Code == oauth.InvalidRequestURI && !strings.Contains(developer, "request_uri") {
			t.Errorf("%s: the developer's line does not say request_uri: %s", e.Reason, developer)
		}
	}
	byStatus := map[int]string{400: "request", 401: "request", 429: "attempts", 500: "ours", 502: "ours", 503: "unavailable"}
	for status, kind := range byStatus {
		if got := (page.Failure{Reason: "no_such_reason", Status: status}).Kind(); got != kind {
			t.Errorf("status %d is told as %s, expected %s", status, got, kind)
		}
	}
}

// TestBase: every link of a server below a path stays below it.
func TestBase(t *testing.T) {
	w := httptest.NewRecorder()
	brand := page.Brand{Name: "Example Bank", Logo: []byte(logo), LogoType: "image/svg+xml"}
	newPages(t, brand, "/bank").Write(w, "en", http.StatusBadRequest, sights()["failure-expired"])
	d := read(t, w.Result())
	var links int
	for _, n := range d.all(func(*html.Node) bool { return true }) {
		for _, a := range n.Attr {
			if a.Key == "href" || a.Key == "src" {
				if links++; !strings.HasPrefix(a.Val, "/bank/") {
					t.Errorf("<%s %s=%q>", n.Data, a.Key, a.Val)
				}
			}
		}
	}
	if links < 4 {
		t.Errorf("there are only %d links", links)
	}
}
