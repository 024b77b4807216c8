package main

import (
	"io"
	"net/http"
	"net/url"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"authserver/internal/audit"
	"authserver/internal/client"
	"authserver/internal/grant"
	"authserver/internal/jose"
	"authserver/internal/oauth"
	"authserver/internal/token"
)

// The global must-nots of the attack catalogue are checked in three places: those that an answer shows in checkAnswer, for
// every answer; those that the server's own records and metrics show here, after every case and at the end of every other
// deployment; that the next good request succeeds (G9) in TestCatalogue. What a request may cost (G5), which hosts it may
// reach (G7) and what a refused one may use up (G10) are asked by the cases about them, and G7 by TestOneWayOut too.

// wire remembers the secrets that passed between clients and a deployment, and how far its records were looked through.
type wire struct {
	mu      sync.Mutex
	secrets map[string]bool
	sent    int // requests
	logged  int
	audited int
}

// add remembers a secret: of a JWS the signature, without which the rest opens nothing. Short ones are words of a test.
func (w *wire) add(secret string) {
	secret = secret[strings.LastIndexByte(secret, '.')+1:]
	if len(secret) < 20 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.secrets[secret] = true
}

// forget gives up what passed so far.
func (w *wire) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	clear(w.secrets)
}

// tapped is a transport whose secrets are remembered.
type tapped struct {
	wire *wire
	next http.RoundTripper
}

func (t tapped) RoundTrip(r *http.Request) (*http.Response, error) {
	for _, value := range r.Header.Values("Authorization") {
		_, credential, _ := strings.Cut(value, " ")
		t.wire.add(credential)
	}
	for _, proof := range r.Header.Values("DPoP") {
		t.wire.add(proof)
	}
	for _, c := range r.Cookies() {
		t.wire.add(c.Value)
	}
	query := r.URL.Query()
	t.wire.add(strings.TrimPrefix(query.Get("request_uri"), grant.RequestURI))
	if strings.HasSuffix(r.URL.Path, "/login/callback") {
		t.wire.add(query.Get("code"))
	}
	if r.GetBody != nil {
		if err := t.readForm(r); err != nil {
			return nil, err
		}
	}
	t.wire.mu.Lock()
	t.wire.sent++
	t.wire.mu.Unlock()
	response, err := t.next.RoundTrip(r)
	if err == nil {
		t.readAnswer(response)
	}
	return response, err
}

// readAnswer remembers what the headers of an answer give away: cookies, the code of a redirect, and what goes along with
// somebody who is sent to an OpenID provider.
func (t tapped) readAnswer(response *http.Response) {
	for _, c := range response.Cookies() {
		t.wire.add(c.Value)
	}
	if to, err := response.Location(); err == nil {
		query := to.Query()
		t.wire.add(query.Get("code"))
		if query.Has("nonce") {
			t.wire.add(query.Get("nonce"))
			for part := range strings.SplitSeq(query.Get("state"), ".") {
				t.wire.add(part)
			}
		}
	}
}

// readForm looks into a body of its own, which the server does not see.
func (t tapped) readForm(r *http.Request) error {
	body, err := r.GetBody()
	if err != nil {
		return err
	}
	defer body.Close()
	var text strings.Builder
	if _, err := io.Copy(&text, body); err != nil {
		return err
	}
	form, _ := url.ParseQuery(text.String()) // what is no form has none of these
	for _, name := range []string{"client_assertion", "assertion", "client_secret", "token", "code", "code_verifier", "refresh_token", "password", "form_token", "id_token_hint"} {
		for _, value := range form[name] {
			t.wire.add(value)
		}
	}
	return nil
}

// checkMustNots holds what the deployment has written since the last look, and its metrics, to G4 and G8: no secret stands
// there, and no label is a client's word. It returns the log's new records.
func (d *deployment) checkMustNots(t testing.TB) (written string) {
	t.Helper()
	d.wire.mu.Lock()
	defer d.wire.mu.Unlock()
	logs, trail := d.logs.String(), d.trail.String()
	written = logs[d.wire.logged:]
	records := written + trail[d.wire.audited:]
	d.wire.logged, d.wire.audited = len(logs), len(trail)
	for _, start := range []string{"eyJhbGciOi", "eyJ0eXAiOi", "eyJraWQiOi"} {
		if i := strings.Index(records, start); i >= 0 {
			t.Errorf("G4: the records hold a token: %.80s", records[i:])
		}
	}
	for secret := range d.wire.secrets {
		if i := strings.Index(records, secret); i >= 0 {
			t.Errorf("G4: the records hold a secret that was sent: %.80s", records[i:])
		}
	}
	for i := range d.replicas {
		d.checkLabels(t, d.metrics(i))
	}
	return written
}

var aLabel = regexp.MustCompile(`(\w+)="((?:[^"\\]|\\.)*)"`)

// checkLabels holds every label of the metrics to the words that this program has for it (G8). A route may have the issuer's
// own path in it.
func (d *deployment) checkLabels(t testing.TB, metrics string) {
	t.Helper()
	issuer, err := url.Parse(d.issuer)
	if err != nil {
		t.Fatal(err)
	}
	if issuer.Path != "" {
		metrics = strings.ReplaceAll(metrics, issuer.Path, "")
	}
	labels := map[string][]string{}
	for _, found := range aLabel.FindAllStringSubmatch(metrics, -1) {
		labels[found[0]] = found[1:]
	}
	for label, parts := range labels {
		if isOurs, known := labelWords[parts[0]]; !known || !isOurs(parts[1]) {
			t.Errorf("G8: a metric has the label %s", label)
		}
	}
	if len(labels) == 0 {
		t.Errorf("there are no labels in\n%s", metrics)
	}
}

// labelWords are the labels of the metrics and what they may be.
var labelWords = map[string]func(string) bool{
	"route": oneOf("none", "/oauth2/token", "/oauth/token", "/oauth2/introspect", "/oauth2/revoke", "/oauth2/jwks", "/fdx/v6/register",
		"/fdx/v6/register/{client_id}", "/fdx/v6/consents/{consent_id}", "/fdx/v6/consents/{consent_id}/revocation", "/.well-known/openid-configuration", "/.well-known/oauth-authorization-server", "/errors/{reason}", "/demo/accounts",
		"/oauth2/par", "/oauth2/userinfo", "/oauth2/authorize", "/login", "/login/attempt", "/login/callback", "/accounts", "/accounts/choice", "/consent",
		"/consent/decision", "/connected", "/connected/attempt", "/connected/stop", "/oauth2/logout", "/sign-out", "/signed-out", "/assets/{name}",
		"/logos/{client_id}"),
	"method": oneOf("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "other"),
	"status": regexp.MustCompile(`^[2-5]\d\d$`).MatchString,
	"reason": isReason,
	"result": func(s string) bool {
		return s == "ok" || isReason(s) || slices.Contains(client.FetchResults(), client.FetchResult(s))
	},
	"grant_type": oneOf(append(token.GrantTypes(), token.JWTBearer)...),
	"token_type": oneOf("DPoP", "Bearer"),
	"state":      oneOf("active", "inactive", "in_use", "idle"),
	"outcome":    oneOf("spent", "replayed", "stale", "failed", "abandoned", "success", "denied"),
	"decision":   oneOf("approved", "denied"),
	"event":      func(s string) bool { return slices.Contains(audit.Events(), audit.Event(s)) },
	"check":      oneOf("database", "clock", "keys", "draining"),
	"alg":        func(s string) bool { return slices.Contains(jose.Algs(), s) },
	"version":    oneOf(version, runtime.Version()),
	"go":         oneOf(runtime.Version()),
	"le":         isNumber,
	"quantile":   isNumber,
}

func oneOf(words ...string) func(string) bool {
	return func(s string) bool { return slices.Contains(words, s) }
}

func isReason(s string) bool {
	_, ok := oauth.Explain(oauth.Reason(s))
	return ok
}

func isNumber(s string) bool {
	_, err := strconv.ParseFloat(s, 64)
	return err == nil
}
