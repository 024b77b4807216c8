package oauth_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"authserver/internal/oauth"
)

var pages = oauth.Pages{Base: "https://as.example"}

// written is what a client sees when a handler returns err.
func written(t *testing.T, err error) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	pages.Serve(func(http.ResponseWriter, *http.Request) error { return err }).ServeHTTP(w, post(formType, ""))
	for name, want := range map[string]string{"Content-Type": "application/json", "Cache-Control": "no-store", "Pragma": "no-cache"} {
		if got := w.Header().Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	return w
}

func TestWriteBody(t *testing.T) {
	w := written(t, oauth.Refuse(oauth.ScopeNotRegistered, "the scope %s is <not> \"registered\" & never was", "x"))
	want := `{"error":"invalid_scope","error_description":"the scope x is <not> 'registered' & never was",` +
		`"error_uri":"https://as.example/errors/scope_not_registered"}` + "\n"
	if w.Code != http.StatusBadRequest || w.Body.String() != want {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if fields := w.Header().Values("WWW-Authenticate"); fields != nil {
		t.Errorf("challenged with %q", fields)
	}
}

// FDX-11: an error at a resource of FDX has the members of FDX; what surrounds them stays.
func TestWriteFDX(t *testing.T) {
	const see = "; see https://as.example/errors/"
	conflict := oauth.Refuse(oauth.ConsentEnded, "it has <ended> \"before\"")
	method := oauth.Refuse(oauth.MethodNotAllowed, "no")
	method.Allow = []string{"GET"}
	for name, test := range map[string]struct {
		err    error
		status int
		body   map[string]string
		header http.Header
	}{
		"a conflict": {conflict, 409, map[string]string{"code": "consent_ended", "message": "The consent has already ended.",
			"debugMessage": "it has <ended> 'before'" + see + "consent_ended"}, nil},
		"not there": {oauth.Refuse(oauth.ConsentUnknown, "No."), 404, map[string]string{"code": "consent_unknown", "message": "The application has no such consent.",
			"debugMessage": "No" + see + "consent_unknown"}, nil},
		"a challenge": {oauth.Refuse(oauth.TokenExpired, "old").Challenged("DPoP", "algs", "ES256"), 401, map[string]string{"code": "token_expired",
			"message": "The application did not prove that it may ask for this.", "debugMessage": "old" + see + "token_expired"},
			http.Header{"Www-Authenticate": {`DPoP error="invalid_token", error_description="old", algs="ES256"`}}},
		"another method": {method, 405, map[string]string{"code": "method_not_allowed", "message": "The application asked in a way that is not understood here.",
			"debugMessage": "no" + see + "method_not_allowed"}, http.Header{"Allow": {"GET"}}},
		"an outage": {outage{true}, 503, map[string]string{"code": "temporarily_unavailable", "message": "This cannot be answered just now. Try again in a moment.",
			"debugMessage": "the server cannot answer just now, try again shortly" + see + "temporarily_unavailable"}, http.Header{"Retry-After": {"2"}}},
		"a failure": {outage{false}, 500, map[string]string{"code": "server_error", "message": "Something went wrong here. Try again later.",
			"debugMessage": "the server failed" + see + "server_error"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			w := newRecorder()
			oauth.Pages{Base: "https://as.example", FDX: true}.Write(w, post(formType, ""), test.err)
			var body map[string]string
			if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil || w.Code != test.status || len(w.refused) != 1 {
				t.Errorf("%d %v, recorded %v", w.Code, err, w.refused)
			}
			if diff := cmp.Diff(test.body, body); diff != "" {
				t.Error(diff)
			}
			want := http.Header{"Content-Type": {"application/json"}, "Cache-Control": {"no-store"}, "Pragma": {"no-cache"}}
			maps.Copy(want, test.header)
			if diff := cmp.Diff(want, w.Header()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// outage is an error of the store.
type outage struct{ temporary bool }

func (outage) Error() string     { return "dial tcp 10.0.0.5:5432: SELECT secret" }
func (o outage) Temporary() bool { return o.temporary }

// G3: what was not written for the public reaches no header and no body.
func TestWriteTellsNoCause(t *testing.T) {
	cause := errors.New("SELECT secret FROM /var/lib/authserver")
	tests := []struct {
		name       string
		err        error
		status     int
		code       oauth.Code
		retryAfter string
	}{
		{"a refusal with a cause", oauth.Refuse(oauth.ClientNotProven, "no").Because(cause), 401, oauth.InvalidClient, ""},
		{"a wrapped refusal", fmt.Errorf("secret: %w", oauth.Refuse(oauth.ClientNotProven, "no").Because(cause)), 401, oauth.InvalidClient, ""},
		{"a failure", cause, 500, oauth.ServerError, ""},
		{"a joined failure", errors.Join(cause, errors.New("secret")), 500, oauth.ServerError, ""},
		{"an outage", outage{true}, 503, oauth.TemporarilyUnavailable, "2"},
		{"a wrapped outage", fmt.Errorf("spend secret: %w", outage{true}), 503, oauth.TemporarilyUnavailable, "2"},
		{"an error that is no outage", outage{false}, 500, oauth.ServerError, ""},
		{"a refusal because of an outage", oauth.Refuse(oauth.ClientNotProven, "no").Because(outage{true}), 401, oauth.InvalidClient, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := written(t, test.err)
			if w.Code != test.status || w.Header().Get("Retry-After") != test.retryAfter {
				t.Errorf("%d, Retry-After %q", w.Code, w.Header().Get("Retry-After"))
			}
			var body map[string]string
			if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil || body["error"] != string(test.code) {
				t.Errorf("%v %v", body, err)
			}
			for _, leak := range []string{"secret", "SELECT", "/var/lib", "10.0.0.5", "outage"} {
				if strings.Contains(w.Body.String(), leak) || strings.Contains(fmt.Sprint(w.Header()), leak) {
					t.Errorf("tells %s: %s %v", leak, w.Body, w.Header())
				}
			}
		})
	}
}

func TestWriteHeaders(t *testing.T) {
	limited := oauth.Refuse(oauth.RateLimited, "later")
	limited.RetryAfter = 1200 * time.Millisecond
	if w := written(t, limited); w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") != "2" {
		t.Errorf("%d, Retry-After %q", w.Code, w.Header().Get("Retry-After"))
	}
	method := oauth.Refuse(oauth.MethodNotAllowed, "no")
	method.Allow = []string{"GET", "HEAD"}
	if w := written(t, method); w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET, HEAD" {
		t.Errorf("%d, Allow %q", w.Code, w.Header().Get("Allow"))
	}
	if w := written(t, oauth.Refuse(oauth.BodyMalformed, "no")); w.Header().Values("Allow") != nil || w.Header().Values("Retry-After") != nil {
		t.Errorf("%v", w.Header())
	}
}

func TestChallenges(t *testing.T) {
	tests := []struct {
		name string
		err  *oauth.Error
		want []string
	}{
		{"no credentials: nothing but the scheme", oauth.Refuse(oauth.TokenMissing, "why").Challenged("Bearer"), []string{"Bearer"}},
		{"no credentials: the scheme's own parameters stay", oauth.Refuse(oauth.TokenMissing, "why").Challenged("DPoP", "algs", "PS256 ES256 EdDSA"),
			[]string{`DPoP algs="PS256 ES256 EdDSA"`}},
		{"DPOP-10", oauth.Refuse(oauth.ProofTokenHash, "ath is wrong").Challenged("DPoP", "algs", "ES256"),
			[]string{`DPoP error="invalid_dpop_proof", error_description="ath is wrong", algs="ES256"`}},
		{"DPOP-10 nonce", oauth.Refuse(oauth.NonceMissing, "send it").Challenged("DPoP", "algs", "ES256"),
			[]string{`DPoP error="use_dpop_nonce", error_description="send it", algs="ES256"`}},
		{"RS-03 scope", oauth.Refuse(oauth.ScopeInsufficient, "no").Challenged("DPoP", "algs", "ES256", "scope", "a b"),
			[]string{`DPoP error="insufficient_scope", error_description="no", algs="ES256", scope="a b"`}},
		{"two schemes", oauth.Refuse(oauth.TokenExpired, "old").Challenged("DPoP", "algs", "ES256").Challenged("Bearer"),
			[]string{`DPoP error="invalid_token", error_description="old", algs="ES256"`, `Bearer error="invalid_token", error_description="old"`}},
		{"CA-09 the scheme that the client tried", oauth.Refuse(oauth.ClientAuthMethod, "no").Challenged("Basic", "realm", "client authentication"),
			[]string{`Basic error="invalid_client", error_description="no", realm="client authentication"`}},
		{"quoting", oauth.Refuse(oauth.TokenExpired, "a \"b\" \\ c\r\nSet-Cookie: d").Challenged("DPoP", "realm", "x\"\\\r\ny\u00e9"),
			[]string{`DPoP error="invalid_token", error_description="a 'b' ? c??Set-Cookie: d", realm="x'???y?"`}},
	}
	grammar := regexp.MustCompile(`^[A-Za-z]+( [a-z_]+="[\x20\x21\x23-\x5b\x5d-\x7e]*"(, [a-z_]+="[\x20\x21\x23-\x5b\x5d-\x7e]*")*)?$`)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := written(t, test.err).Header().Values("WWW-Authenticate")
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
			for _, field := range got {
				if !grammar.MatchString(field) {
					t.Errorf("%q is no challenge (RFC 9110 §11.6.1)", field)
				}
			}
		})
	}
}

// recorder is a response writer that keeps a record, as the server's does, and may be wrapped.
type recorder struct {
	*httptest.ResponseRecorder
	refused []*oauth.Error
	notes   map[oauth.Field]string
}

func (r *recorder) Refused(e *oauth.Error)       { r.refused = append(r.refused, e) }
func (r *recorder) Note(f oauth.Field, v string) { r.notes[f] = v }
func (w wrapper) Unwrap() http.ResponseWriter    { return w.ResponseWriter }
func newRecorder() *recorder                     { return &recorder{httptest.NewRecorder(), nil, map[oauth.Field]string{}} }
func wrap(w http.ResponseWriter, n int) (wrapped wrapper) {
	wrapped = wrapper{w}
	for range n {
		wrapped = wrapper{wrapped}
	}
	return wrapped
}

type wrapper struct{ http.ResponseWriter }

// The log gets the cause that the client does not, through whatever wraps the response.
func TestObserver(t *testing.T) {
	cause := errors.New("why exactly")
	r := newRecorder()
	pages.Serve(func(w http.ResponseWriter, _ *http.Request) error {
		oauth.Note(w, oauth.FieldClient, "c1")
		return fmt.Errorf("step: %w", oauth.Refuse(oauth.ClientNotProven, "no").Because(cause))
	}).ServeHTTP(wrap(r, 2), post(formType, ""))
	if len(r.refused) != 1 || !errors.Is(r.refused[0], cause) || !strings.Contains(r.refused[0].Error(), "client_not_proven: no: why exactly") {
		t.Errorf("refused %v", r.refused)
	}
	if r.notes[oauth.FieldClient] != "c1" {
		t.Errorf("notes %v", r.notes)
	}
	failed := newRecorder()
	pages.Write(failed, nil, cause)
	if len(failed.refused) != 1 || failed.refused[0].Reason != oauth.Internal || !errors.Is(failed.refused[0], cause) {
		t.Errorf("refused %v", failed.refused)
	}
	oauth.Note(wrap(httptest.NewRecorder(), 1), oauth.FieldClient, "nobody keeps a record")
}

func TestServeWritesNothingOfItsOwn(t *testing.T) {
	w := httptest.NewRecorder()
	pages.Serve(func(w http.ResponseWriter, _ *http.Request) error {
		oauth.WriteJSON(w, http.StatusCreated, map[string]string{"a": "<b> & \u00e9"})
		return nil
	}).ServeHTTP(w, post(formType, ""))
	if w.Code != http.StatusCreated || w.Body.String() != "{\"a\":\"<b> & \u00e9\"}\n" || w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("%d %s %v", w.Code, w.Body, w.Header())
	}
	defer func() {
		if recover() == nil {
			t.Error("a value that cannot be written went unnoticed")
		}
	}()
	oauth.WriteJSON(httptest.NewRecorder(), http.StatusOK, map[string]any{"a": func() {}})
}
