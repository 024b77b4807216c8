package person

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"authserver/internal/jose"
	"authserver/internal/oauth"
)

// TestUpstreamAway: an upstream that fails is an outage; one that comes back is taken again.
func TestUpstreamAway(t *testing.T) {
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
	}
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		want   oauth.Reason
	}{
		"500":                {status(500), oauth.Unavailable},
		"429":                {status(429), oauth.Unavailable},
		"a closed line":      {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, oauth.Unavailable},
		"404":                {status(404), oauth.UpstreamRefused},
		"an error with 200":  {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"error":"invalid_grant"}`)) }, oauth.UpstreamRefused},
		"HTML":               {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`<html>`)) }, oauth.UpstreamRefused},
		"too long an answer": {func(w http.ResponseWriter, _ *http.Request) { long(w) }, oauth.UpstreamRefused},
		"elsewhere": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		}, oauth.UpstreamRefused},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOP(t)
			o.Answer = c.answer
			_, err := o.trip(o.upstream(), Wish{}, nil)
			refused(t, err, c.want)
		})
	}
	t.Run("keys", func(t *testing.T) {
		o := newOP(t)
		o.Metadata["jwks_uri"] = "http://127.0.0.1:1/keys"
		_, err := o.trip(o.upstream(), Wish{}, nil)
		refused(t, err, oauth.Unavailable)
	})
	t.Run("somebody who leaves", func(t *testing.T) {
		ctx, leave := context.WithCancel(t.Context())
		leave()
		_, err := newOP(t).upstream().Depart(ctx, Wish{}, state, noon)
		if refused(t, err, oauth.Unavailable); !errors.Is(err, context.Canceled) {
			t.Errorf("%v hides that it was the browser who left", err)
		}
	})
	t.Run("at once", func(t *testing.T) {
		o := newOP(t)
		u := o.upstream()
		o.Close()
		_, err1 := u.Depart(t.Context(), Wish{}, state, noon)
		_, err2 := u.Read(t.Context(), state, url.Values{"code": {"c"}, "state": {state}}, noon)
		if refused(t, err1, oauth.Unavailable).RetryAfter == 0 || refused(t, err2, oauth.Unavailable).Status() != 503 {
			t.Errorf("answered %v and %v", err1, err2)
		}
	})
}

// long answers with a good token, padded to more than is read.
func long(w http.ResponseWriter) {
	_, _ = fmt.Fprintf(w, `{"access_token":"x","token_type":"Bearer","id_token":"y","pad":%q}`, strings.Repeat("a", maxAnswer))
}

// TestUpstreamDiscovery: nothing is asked before it is needed, what is known stays known for an hour, and a document that
// is not the upstream's own, or names an endpoint in clear, is none.
func TestUpstreamDiscovery(t *testing.T) {
	o := newOP(t)
	u := o.upstream()
	if len(o.Requests) != 0 {
		t.Errorf("it was asked for %v before anybody departed", o.Requests)
	}
	for _, c := range []struct {
		after time.Duration
		want  int
	}{{0, 1}, {discoveryLasts - 1, 1}, {discoveryLasts, 2}} {
		o.here = noon.Add(c.after)
		o.Now = func() time.Time { return o.here }
		if _, err := o.trip(u, Wish{}, nil); err != nil {
			t.Fatal(err)
		}
		if got := o.Requests["/.well-known/openid-configuration"]; got != c.want || o.Requests["/keys"] != c.want {
			t.Errorf("after %s discovered %d times with keys %d times, want %d", c.after, got, o.Requests["/keys"], c.want)
		}
	}
	for name, change := range map[string]func(m map[string]any){
		"another issuer":              func(m map[string]any) { m["issuer"] = "https://op.example" },
		"an endpoint in clear":        func(m map[string]any) { m["token_endpoint"] = "http://op.example/token" },
		"no key set":                  func(m map[string]any) { delete(m, "jwks_uri") },
		"no authorization endpoint":   func(m map[string]any) { m["authorization_endpoint"] = "" },
		"an endpoint of another kind": func(m map[string]any) { m["authorization_endpoint"] = "javascript:alert(1)" },
		"a document that is too long": func(m map[string]any) { m["pad"] = strings.Repeat("a", maxAnswer) },
		"methods that are no list":    func(m map[string]any) { m["token_endpoint_auth_methods_supported"] = "x" },
	} {
		t.Run(name, func(t *testing.T) {
			o := newOP(t)
			change(o.Metadata)
			_, err := o.upstream().Depart(t.Context(), Wish{}, state, noon)
			if refusal := refused(t, err, oauth.Unavailable); len(refusal.Cause.Error()) > 500 {
				t.Errorf("the cause has %d bytes", len(refusal.Cause.Error()))
			}
		})
	}
}

func TestNewUpstream(t *testing.T) {
	o := newOP(t)
	key := newSigner(t, jose.ES256, "ours")
	for name, change := range map[string]func(s *UpstreamSettings){
		"an issuer in clear":      func(s *UpstreamSettings) { s.Issuer = "http://op.example" },
		"an issuer with a query":  func(s *UpstreamSettings) { s.Issuer = "https://op.example?x" },
		"an issuer with a user":   func(s *UpstreamSettings) { s.Issuer = "https://u@op.example" },
		"no issuer":               func(s *UpstreamSettings) { s.Issuer = "" },
		"no client_id":            func(s *UpstreamSettings) { s.ClientID = "" },
		"no redirect URL":         func(s *UpstreamSettings) { s.RedirectURL = "" },
		"neither secret nor key":  func(s *UpstreamSettings) { s.ClientSecret = "" },
		"both secret and key":     func(s *UpstreamSettings) { s.ClientKey = key },
		"a key that is too short": func(s *UpstreamSettings) { s.Key = make([]byte, 31) },
	} {
		s := o.settings()
		change(&s)
		if _, err := NewUpstream(s); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	s := o.settings()
	s.Issuer = "https://op.example/tenant"
	if _, err := NewUpstream(s); err != nil {
		t.Error(err)
	}
}

func TestIsSafe(t *testing.T) {
	for raw, want := range map[string][2]bool{ // where loopback is allowed, and where it is not
		"https://op.example/a?b=c":     {true, true},
		"https://127.0.0.1/a":          {true, true},
		"http://127.0.0.1:8080/a":      {true, false},
		"http://[::1]:8080/a":          {true, false},
		"http://localhost/a":           {true, false},
		"http://op.example/a":          {false, false},
		"http://localhost.op.example/": {false, false},
		"http://10.0.0.1/":             {false, false},
		"https:///a":                   {false, false},
		"https://u@op.example/":        {false, false},
		"https://op.example/#a":        {false, false},
		"//op.example/a":               {false, false},
		"ftp://127.0.0.1/":             {false, false},
		"":                             {false, false},
		"https://op.example/%zz":       {false, false},
	} {
		if got := [2]bool{isSafe(raw, true), isSafe(raw, false)}; got != want {
			t.Errorf("%s: %v, want %v", raw, got, want)
		}
	}
}
