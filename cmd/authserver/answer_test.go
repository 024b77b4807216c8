package main

import (
	"mime"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"authserver/internal/flow"
	"authserver/internal/oauth"
)

var (
	anyUUID = regexp.MustCompile(`^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$`)

	// inside is what only our side knows: a stack, a source file, SQL, a driver's word, a folder, a Go type, a loopback host.
	inside = regexp.MustCompile(`goroutine \d|\.go:\d|panic:|runtime error|SQLSTATE|\bpgx|pgconn|\bINSERT INTO\b|\bSELECT\b|/(tmp|var|home|usr|internal)/|\*?\b(oauth|jose|client|store|dcr|dpop|token|json|url|net|http)\.[A-Z]\w+|127\.0\.0\.1|::1`)

	// describable are the characters of error and error_description (RFC 6749 §5.2).
	describable = regexp.MustCompile(`^[\x20\x21\x23-\x5B\x5D-\x7E]*$`)

	// pageURL is where a person asks. A method that HTTP does not know is refused before there is a route.
	pageURL = regexp.MustCompile(`^(CONNECT|DELETE|GET|HEAD|OPTIONS|PATCH|POST|PUT|TRACE) https?://[^/?#]+(/[^/?#]+)*` +
		`/(oauth2/authorize|oauth2/logout|login|login/attempt|login/callback|accounts|accounts/choice|consent|consent/decision|sign-out|signed-out|connected|connected/attempt|connected/stop|(assets|logos)/[^/?#]+)([?#]|$)`)

	// atFormShownAgain is where a form that can be mended is shown with what was wrong in it.
	atFormShownAgain = regexp.MustCompile(`/(login/attempt|connected/attempt|accounts/choice)$`)

	// atFDX is a resource of FDX, whose errors have members of their own. An unknown method is refused as elsewhere.
	atFDX = regexp.MustCompile(`^(CONNECT|DELETE|GET|HEAD|OPTIONS|PATCH|POST|PUT|TRACE) https?://[^?#]+/fdx/v6/consents/[^/?#]+(/revocation)?([?#]|$)`)

	// explained is where an answer names its reason: in error_uri, or in a page's link.
	explained = regexp.MustCompile(`/errors/(\w+)"`)
)

// checkAnswer holds an answer to what is true of all: the global must-nots of the attack catalogue that an answer shows
// (G1, G2, G3, G6), and what every client relies on.
func checkAnswer(t testing.TB, e *flow.Exchange) {
	t.Helper()
	complain := func(format string, args ...any) {
		t.Helper()
		t.Errorf("%s %s, %d %s: "+format, append([]any{e.Method, e.URL, e.Status, e.ResponseBody}, args...)...)
	}
	if e.Status >= 500 {
		complain("G1: a client's input is not our fault")
	}
	if ids := e.ResponseHeader.Values("X-Fapi-Interaction-Id"); len(ids) != 1 || !anyUUID.MatchString(ids[0]) {
		complain("HT-11: x-fapi-interaction-id is %q", ids)
	}
	if _, err := http.ParseTime(e.ResponseHeader.Get("Date")); err != nil {
		complain("Date: %v", err)
	}
	if e.ResponseHeader.Get("X-Content-Type-Options") != "nosniff" || e.ResponseHeader.Get("Set-Cookie") != "" && !isPage(e) {
		complain("headers %v", e.ResponseHeader)
	}
	if isConfidential(e.URL) && (e.ResponseHeader.Get("Cache-Control") != "no-store" || e.ResponseHeader.Get("Pragma") != "no-cache") {
		complain("G6: Cache-Control is %q", e.ResponseHeader.Get("Cache-Control"))
	}
	checkNonceHeader(e, complain)
	if isPage(e) {
		checkPage(t, e)
	}
	if e.Status >= 400 {
		checkRefusal(e, complain)
	}
}

// isPage tells whether a person asked, who is answered with a page or sent on.
func isPage(e *flow.Exchange) bool {
	return pageURL.MatchString(e.Method+" "+e.URL) && !strings.Contains(e.URL, "/demo/accounts")
}

// isConfidential tells whether no cache may keep what an endpoint answers (G6).
func isConfidential(target string) bool {
	return slices.ContainsFunc([]string{"/oauth2/token", "/oauth/token", "/oauth2/par", "/oauth2/introspect", "/oauth2/revoke", "/fdx/v6/register", "/fdx/v6/consents/",
		"/demo/"},
		func(path string) bool { return strings.Contains(target, path) })
}

// checkNonceHeader: at most one nonce, of its own characters (RFC 9449 §8.1), and never in a cache.
func checkNonceHeader(e *flow.Exchange, complain func(string, ...any)) {
	nonces := e.ResponseHeader.Values("DPoP-Nonce")
	if len(nonces) > 1 || len(nonces) == 1 && !regexp.MustCompile(`^[\x21\x23-\x5B\x5D-\x7E]+$`).MatchString(nonces[0]) {
		complain("DPoP-Nonce is %q", nonces)
	}
	if len(nonces) > 0 && e.ResponseHeader.Get("Cache-Control") != "no-store" {
		complain("a nonce that a cache may keep")
	}
	if e.ErrorCode() == "use_dpop_nonce" && len(nonces) == 0 {
		complain("use_dpop_nonce without a nonce")
	}
}

// checkRefusal: JSON of the RFC's members and characters, or a page, whose reason is explained, that tells nothing of our
// inside.
func checkRefusal(e *flow.Exchange, complain func(string, ...any)) {
	for name, values := range e.ResponseHeader {
		others := []string{"Dpop-Nonce", "Set-Cookie", "Content-Security-Policy"} // chance spells words in two, and the third names a client's origin
		if found := inside.FindString(strings.Join(values, "\n")); found != "" && !slices.Contains(others, name) {
			complain("G3: a header holds %q", found)
		}
	}
	switch {
	case e.Method == http.MethodHead:
		return
	case isPage(e):
		checkRefusingPage(e, complain)
		return
	}
	if media, _, err := mime.ParseMediaType(e.ResponseHeader.Get("Content-Type")); err != nil || media != "application/json" {
		complain("Content-Type is %q", media)
	}
	if found := inside.FindString(e.ResponseBody); found != "" {
		complain("G3: the body holds %q", found)
	}
	body := e.JSON()
	for _, member := range []string{"access_token", "active", "client_id", "registration_access_token"} {
		if _, issued := body[member]; issued {
			complain("G2: a refusal with %s", member)
		}
	}
	for name, value := range body {
		text, isText := value.(string)
		if !isText || text == "" || !describable.MatchString(text) {
			complain("HT-18: %s is %q", name, value)
		}
	}
	explanation, ok := oauth.Explain(reasonOf(e))
	told, want := body["error"], string(explanation.Code)
	if atFDX.MatchString(e.Method + " " + e.URL) {
		told, want = body["code"], string(explanation.Reason)
		if _, message := body["message"].(string); !message || len(body) != 3 {
			complain("FDX-11: members %v", body)
		}
	}
	if !ok || want != told {
		complain("error_uri %q does not explain %v", body["error_uri"], told)
	}
	checkChallenge(e, complain)
}

// checkRefusingPage: a page that gives nothing and has the reason's link, or one whose form can be mended and sent again.
// A challenge would have the browser ask for a password of its own.
func checkRefusingPage(e *flow.Exchange, complain func(string, ...any)) {
	if h := e.ResponseHeader; h.Get("Location") != "" || h.Get("WWW-Authenticate") != "" {
		complain("G2: a refusal with headers %v", h)
	}
	if strings.Contains(e.ResponseBody, ` role="alert"`) && atFormShownAgain.MatchString(e.URL) {
		return
	}
	reason := reasonOf(e)
	explanation, ok := oauth.Explain(reason)
	if code := string(explanation.Code); !ok || code != string(reason) && !strings.Contains(e.ResponseBody, "<code>"+code+"</code>") {
		complain("the page does not explain %q", reason)
	}
}

// checkChallenge: invalid_client comes without WWW-Authenticate unless the client used Authorization, or the request was for a
// resource, and a nonce challenge at the token endpoint never has one (real-clients 3 and 6).
func checkChallenge(e *flow.Exchange, complain func(string, ...any)) {
	challenges := e.ResponseHeader.Values("WWW-Authenticate")
	tried := e.RequestHeader.Get("Authorization") != ""
	atResource := strings.Contains(e.URL, "/fdx/") || strings.Contains(e.URL, "/demo/") || strings.HasSuffix(e.URL, "/oauth2/userinfo")
	switch {
	case e.ErrorCode() == "invalid_client" && !tried && !atResource && len(challenges) > 0,
		!atResource && e.ErrorCode() == "use_dpop_nonce" && (len(challenges) > 0 || e.Status != http.StatusBadRequest):
		complain("WWW-Authenticate %q", challenges)
	case atResource && e.Status == http.StatusUnauthorized && len(challenges) == 0:
		complain("401 without WWW-Authenticate")
	}
}

// reasonOf is the reason that a refusal names.
func reasonOf(e *flow.Exchange) oauth.Reason {
	if found := explained.FindStringSubmatch(e.ResponseBody); found != nil {
		return oauth.Reason(found[1])
	}
	return ""
}

// outcome wants an answer of the form "400 invalid_scope", or "200".
func outcome(t testing.TB, e *flow.Exchange, want ...string) {
	t.Helper()
	if !slices.Contains(want, e.Outcome()) {
		t.Errorf("%s %s: got %s (%s), want %s", e.Method, e.URL, e.Outcome(), e.ErrorDescription(), strings.Join(want, " or "))
	}
}

// refusedFor wants an answer and its reason.
func refusedFor(t testing.TB, e *flow.Exchange, want string, reason oauth.Reason) {
	t.Helper()
	outcome(t, e, want)
	if reasonOf(e) != reason {
		t.Errorf("%s %s: reason %s (%s), want %s", e.Method, e.URL, reasonOf(e), e.ErrorDescription(), reason)
	}
}
