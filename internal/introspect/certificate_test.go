package introspect_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"authserver/internal/accesstoken"
	"authserver/internal/certificate"
	"authserver/internal/certificate/certificatetest"
	"authserver/internal/client"
	"authserver/internal/oauth"

	"github.com/google/go-cmp/cmp"
)

// TestByCertificate (MTLS-02, INT-01, INT-04): a resource server that proves itself by its certificate, and by nothing that is
// used up, learns what a token is bound to, and that it is presented as a Bearer token. It may revoke its own.
func TestByCertificate(t *testing.T) {
	b := newBench(t)
	root := certificatetest.NewAuthority(t)
	anchors, err := certificate.ParseAuthorities(root.PEM())
	if err != nil {
		t.Fatal(err)
	}
	b.clients.Anchors = anchors
	b.store.clients["rs"] = client.Client{ID: "rs", Serves: []string{"https://api.example"},
		Metadata: client.Metadata{TokenEndpointAuthMethod: client.TLSClientAuth, TLSClientAuthSubjectDN: "CN=rs"}}
	shown := root.Issue(t, certificatetest.Named("rs"))
	x5t := certificate.Certificate{Leaf: root.Issue(t).Leaf}.Thumbprint()
	issue := func(clientID string) string {
		compact, _, err := b.tokens.Issue(accesstoken.Token{Subject: clientID, ClientID: clientID, Audience: accesstoken.Audience{"https://api.example"},
			Scope: "a:read", Confirmation: accesstoken.Confirmation{X5T: x5t}}, time.Minute, noon)
		if err != nil {
			t.Fatal(err)
		}
		return compact
	}
	ask := func(path, token string) *httptest.ResponseRecorder {
		form := url.Values{"client_id": {"rs"}, "token": {token}}
		r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := &recorder{httptest.NewRecorder(), b}
		b.notes = map[oauth.Field]string{}
		oauth.Pages{Base: issuer}.Serve(b.serve[path]).ServeHTTP(w, certificatetest.Bearing(t, r, shown))
		return w.ResponseRecorder
	}
	says := ask("/introspect", issue("c1"))
	for _, member := range []string{`"active":true`, `"token_type":"Bearer"`, `"cnf":{"x5t#S256":"` + x5t + `"}`} {
		if !strings.Contains(says.Body.String(), member) {
			t.Errorf("%s is missing: %s", member, says.Body)
		}
	}
	own := issue("rs")
	if w := ask("/revoke", own); w.Code != http.StatusOK || w.Body.Len() > 0 {
		t.Errorf("revoked: %d %s", w.Code, w.Body)
	}
	if diff := cmp.Diff(`{"active":false}`+"\n", ask("/introspect", own).Body.String()); diff != "" {
		t.Errorf("its own, revoked: %s", diff)
	}
	shown = certificatetest.SelfSigned(t, certificatetest.Named("rs"))
	if w := ask("/introspect", own); w.Code != http.StatusUnauthorized || !strings.Contains(w.Body.String(), "invalid_client") {
		t.Errorf("by another certificate: %d %s", w.Code, w.Body)
	}
}
