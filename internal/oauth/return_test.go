package oauth_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/google/go-cmp/cmp"

	"authserver/internal/oauth"
)

const redirectURI = "https://client.example/cb?a=b"

// told is what becomes of a refusal that goes to the client.
func told(r oauth.Return) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	refuse := func(http.ResponseWriter, *http.Request) error {
		return oauth.Refuse(oauth.PersonDenied, `the "person" said no`).ToClient(r)
	}
	pages.Serve(refuse).ServeHTTP(w, post(formType, ""))
	return w
}

// A refusal for the client goes in plain parameters, as one JWT in the query, or as one JWT in a form, as it asked.
func TestReturn(t *testing.T) {
	want := url.Values{"error": {"access_denied"}, "error_description": {"the 'person' said no"}, "state": {"a state"},
		"iss": {"https://as.example"}}
	r := oauth.Return{RedirectURI: redirectURI, State: "a state", Issuer: "https://as.example"}
	plain := told(r)
	if location := plain.Header().Get("Location"); plain.Code != http.StatusSeeOther || location != redirectURI+
		"&error=access_denied&error_description=the%20%27person%27%20said%20no&iss=https%3A%2F%2Fas.example&state=a%20state" {
		t.Errorf("plain: %d %s", plain.Code, location)
	}
	var sealed url.Values
	r.Seal = func(parameters url.Values) (string, error) { sealed = parameters; return "a.b.c", nil }
	signed := told(r)
	if location := signed.Header().Get("Location"); signed.Code != http.StatusSeeOther ||
		location != redirectURI+"&response=a.b.c" {
		t.Errorf("query.jwt: %d %s", signed.Code, location)
	}
	if diff := cmp.Diff(want, sealed); diff != "" {
		t.Error(diff)
	}
	r.Post = func(w http.ResponseWriter, jwt string) { _, _ = io.WriteString(w, "a form with "+jwt) }
	if posted := told(r); posted.Code != http.StatusOK || posted.Header().Get("Location") != "" ||
		posted.Body.String() != "a form with a.b.c" {
		t.Errorf("form_post.jwt: %d %s", posted.Code, posted.Body)
	}
	if diff := cmp.Diff(want, sealed); diff != "" {
		t.Error(diff)
	}
	r.State = ""
	told(r)
	if sealed.Has("state") {
		t.Errorf("a state that nobody sent: %v", sealed)
	}
}

// What cannot be sealed goes to the client in no other way: whoever asked is told of our fault.
func TestReturnUnsealed(t *testing.T) {
	posted := func(w http.ResponseWriter, _ string) { w.WriteHeader(http.StatusOK) }
	for _, post := range []func(http.ResponseWriter, string){nil, posted} {
		w := told(oauth.Return{RedirectURI: redirectURI, State: "a state", Issuer: "https://as.example", Post: post,
			Seal: func(url.Values) (string, error) { return "a.b.c", errors.New("the signer is broken") }})
		want := `{"error":"server_error","error_description":"the server failed",` +
			`"error_uri":"https://as.example/errors/server_error"}` + "\n"
		if w.Code != http.StatusInternalServerError || w.Header().Get("Location") != "" || w.Body.String() != want {
			t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
		}
	}
}
