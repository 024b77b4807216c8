package flow

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// testClient is a client of a server that handler imitates.
func testClient(t *testing.T, handler http.HandlerFunc) *Client {
	t.Helper()
	listener := httptest.NewServer(handler)
	t.Cleanup(listener.Close)
	key, err := GenerateKey("ES256")
	if err != nil {
		t.Fatal(err)
	}
	proofKey, err := GenerateKey("EdDSA")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1_700_000_000, 0)
	server := &Server{Issuer: listener.URL, HTTP: NewHTTPClient(http.DefaultTransport, 5*time.Second), Now: func() time.Time { return now }}
	server.Metadata.TokenEndpoint = listener.URL + "/token"
	return &Client{Server: server, ID: "client-1", Key: key, DPoPKey: proofKey}
}

func decoded(t *testing.T, compact Compact) JWT {
	t.Helper()
	signed, err := compact()
	if err != nil {
		t.Fatal(err)
	}
	j, err := Decode(signed)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func TestAssertionAndProofAreWhatFAPIWants(t *testing.T) {
	client := testClient(t, nil)
	assertion := decoded(t, client.Assertion())
	if err := assertion.Verify([]JWK{client.Key.PublicJWK()}); err != nil {
		t.Error(err)
	}
	got := map[string]string{"jti length": fmt.Sprint(len(assertion.Claim("jti")))}
	for _, name := range []string{"iss", "sub", "aud", "iat", "exp"} {
		got[name] = assertion.Claim(name)
	}
	want := map[string]string{"iss": "client-1", "sub": "client-1", "aud": client.Server.Issuer, "iat": "1700000000",
		"exp": "1700000060", "jti length": "22"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}

	proof := decoded(t, client.Proof("POST", "https://rs.example/a?b=c", ForToken("token")))
	proofKey := client.DPoPKey.PublicJWK()
	proofKey.Kid = "" // A proof carries its key and needs no kid.
	if err := proof.Verify([]JWK{proofKey}); err != nil {
		t.Error(err)
	}
	if proof.JKT != client.DPoPKey.Thumbprint() || proof.Member("typ") != "dpop+jwt" || strings.Contains(proof.Member("jwk"), `"d"`) {
		t.Errorf("header %v", proof.Header)
	}
	delete(proof.Claims, "jti")
	wantClaims := `{"ath":"` + digest64("token") + `","htm":"POST","htu":"https://rs.example/a","iat":1700000000}`
	if text(proof.Claims) != wantClaims {
		t.Errorf("claims %s\nwant   %s", text(proof.Claims), wantClaims)
	}
}

// A request object has its JSON types, and beside it stands nothing but what proves the client. A retry sends the same one.
func TestRequestObjectIsWhatFAPIWants(t *testing.T) {
	var seen []*http.Request
	client := testClient(t, challenger(&seen))
	client.Server.Metadata.PushedAuthorizationRequestEndpoint = client.Server.Metadata.TokenEndpoint
	push := client.SignedPushRequest(url.Values{"state": {"1"}, "max_age": {"300"}, "authorization_details": {`[{"type":"a"}]`},
		"claims": {`{"b":1}`}, "resource": {"https://a.example", "https://b.example"}, "scope": {"a"}},
		SetClaim("scope", "b"), DropClaim("jti"))
	e, err := client.Server.Do(t.Context(), push)
	if err != nil || len(seen) != 2 {
		t.Fatalf("%d requests, %v", len(seen), err)
	}
	if first, second := seen[0].PostForm.Get("request"), seen[1].PostForm.Get("request"); first == "" || first != second {
		t.Error("the retry has another request object")
	}
	names := slices.Sorted(maps.Keys(seen[1].PostForm))
	if diff := cmp.Diff([]string{"client_assertion", "client_assertion_type", "request"}, names); diff != "" {
		t.Error(diff)
	}
	object := e.JWTs[1]
	if err := object.Verify([]JWK{client.Key.PublicJWK()}); err != nil || object.Name != "request" || object.Member("typ") != "oauth-authz-req+jwt" {
		t.Error(err, object.Name, object.Header)
	}
	want := `{"aud":"` + client.Server.Issuer + `","authorization_details":[{"type":"a"}],"claims":{"b":1},"client_id":"client-1",` +
		`"exp":1700000060,"iat":1700000000,"iss":"client-1","max_age":300,"nbf":1700000000,` +
		`"resource":["https://a.example","https://b.example"],"scope":"b","state":"1"}`
	if got := text(object.Claims); got != want {
		t.Errorf("claims %s\nwant   %s", got, want)
	}
}

// Where a certificate stands for a key, nothing is signed with it; client_id then says whose the certificate is.
func TestCertificateInThePlaceOfKeys(t *testing.T) {
	for _, c := range []Client{{}, {CertificateAuth: true}, {CertificateBound: true}, {CertificateAuth: true, CertificateBound: true}} {
		client := testClient(t, nil)
		client.CertificateAuth, client.CertificateBound = c.CertificateAuth, c.CertificateBound
		requests := map[string]*Request{
			"token": client.TokenRequest(nil), "code": client.CodeRequest("c", "v", "u"), "refresh": client.RefreshRequest("r", nil),
			"push": client.PushRequest(nil), "signed push": client.SignedPushRequest(nil), "introspect": client.IntrospectRequest("t"),
		}
		for name, r := range requests {
			identified := r.Form.Get("client_id") == "client-1" || r.Assertion != nil && r.RequestObject != nil
			unproven := c.CertificateBound || name == "introspect"
			if (r.Assertion == nil) != c.CertificateAuth || (r.Proof == nil) != unproven || !identified {
				t.Errorf("%+v, %s: %+v", c, name, r)
			}
		}
		r, scheme := client.Present(&Request{Method: "GET", URL: "https://rs.example"}, "t"), "DPoP"
		if c.CertificateBound {
			scheme = "Bearer"
		}
		if r.Header.Get("Authorization") != scheme+" t" || (r.Proof == nil) != c.CertificateBound {
			t.Errorf("%+v: %+v", c, r)
		}
	}
}

func TestEditsBendOnePartEach(t *testing.T) {
	client := testClient(t, nil)
	other, err := GenerateKey("PS256")
	if err != nil {
		t.Fatal(err)
	}
	own := []JWK{client.Key.PublicJWK()}
	foreign := other.PublicJWK()
	foreign.Kid = client.Key.ID
	tests := map[string]struct {
		edits []Edit
		holds func(JWT) bool
	}{
		"claim set":      {[]Edit{SetClaim("aud", []string{"x", "y"})}, func(j JWT) bool { return j.Claim("aud") == `["x","y"]` && j.Verify(own) == nil }},
		"claim dropped":  {[]Edit{DropClaim("sub")}, func(j JWT) bool { _, there := j.Claims["sub"]; return !there && j.Verify(own) == nil }},
		"header set":     {[]Edit{SetHeader("typ", "at+jwt")}, func(j JWT) bool { return j.Member("typ") == "at+jwt" && j.Verify(own) == nil }},
		"header dropped": {[]Edit{DropHeader("typ")}, func(j JWT) bool { _, there := j.Header["typ"]; return !there }},
		"header lies": {[]Edit{SetHeader("alg", "RS256")}, func(j JWT) bool {
			return j.Member("alg") == "RS256" && len(j.Compact[strings.LastIndex(j.Compact, ".")+1:]) == 86
		}},
		"another key": {[]Edit{SignWith(other)}, func(j JWT) bool {
			return j.Member("kid") == client.Key.ID && j.Verify(own) != nil && j.Verify([]JWK{foreign}) == nil
		}},
		"in order": {[]Edit{SetClaim("a", 1), SetClaim("a", 2)}, func(j JWT) bool { return j.Claim("a") == "2" }},
	}
	for name, test := range tests {
		if j := decoded(t, client.Assertion(test.edits...)); !test.holds(j) {
			t.Errorf("%s: header %v, claims %v", name, j.Header, j.Claims)
		}
	}
}

// challenger asks for the nonce n1 until a proof brings it, at the token endpoint as a token error and anywhere else
// as a challenge (RFC 9449 §8, §9).
func challenger(seen *[]*http.Request) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		r.ParseForm()
		*seen = append(*seen, r)
		w.Header().Set("DPoP-Nonce", "n1")
		proof, err := Decode(r.Header.Get("DPoP"))
		switch {
		case err == nil && proof.Claim("nonce") == "n1":
			fmt.Fprint(w, `{"access_token":"t","token_type":"DPoP","expires_in":300,"scope":"a"}`)
		case r.URL.Path == "/token":
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, `{"error":"use_dpop_nonce"}`)
		default:
			w.Header().Set("WWW-Authenticate", `DPoP error="use_dpop_nonce", algs="ES256"`)
			w.WriteHeader(http.StatusUnauthorized)
		}
	}
}

func TestNonceRetryKeepsTheAssertion(t *testing.T) {
	var seen []*http.Request
	client := testClient(t, challenger(&seen))
	token, err := client.Token(context.Background(), url.Values{"scope": {"a"}})
	if err != nil {
		t.Fatal(err)
	}
	token.Exchange = nil
	if diff := cmp.Diff(&Token{AccessToken: "t", Type: "DPoP", ExpiresIn: 300, Scope: "a"}, token); diff != "" {
		t.Error(diff)
	}
	if len(seen) != 2 {
		t.Fatalf("%d requests, want 2", len(seen))
	}
	first, second := seen[0], seen[1]
	if first.Form.Get("client_assertion") == "" || first.Form.Get("client_assertion") != second.Form.Get("client_assertion") {
		t.Error("the retry has another assertion")
	}
	before, _ := Decode(first.Header.Get("DPoP"))
	after, _ := Decode(second.Header.Get("DPoP"))
	if before.Claim("nonce") != "" || after.Claim("nonce") != "n1" || before.Claim("jti") == after.Claim("jti") {
		t.Errorf("proofs %v and %v", before.Claims, after.Claims)
	}
	wantForm := url.Values{"grant_type": {"client_credentials"}, "scope": {"a"}, "client_id": {"client-1"},
		"client_assertion_type": {assertionType}, "client_assertion": first.Form["client_assertion"]}
	if diff := cmp.Diff(wantForm, first.Form); diff != "" {
		t.Error(diff)
	}

	if _, err := client.Token(context.Background(), nil); err != nil || len(seen) != 3 {
		t.Errorf("the nonce is not kept: %d requests, %v", len(seen), err)
	}
	if got := decoded(t, client.Proof("GET", client.Server.Issuer+"/accounts")).Claim("nonce"); got != "n1" {
		t.Errorf("a proof for the same origin has nonce %q", got)
	}
	if got := decoded(t, client.Proof("GET", "https://elsewhere.example/accounts")).Claim("nonce"); got != "" {
		t.Errorf("a proof for another origin has nonce %q", got)
	}
}

func TestNonceRetryAtAResource(t *testing.T) {
	var seen []*http.Request
	client := testClient(t, challenger(&seen))
	request := client.Present(&Request{Method: http.MethodGet, URL: client.Server.Issuer + "/accounts"}, "t")
	exchange, err := client.Server.Do(context.Background(), request)
	if err != nil || exchange.Status != http.StatusOK || len(seen) != 2 {
		t.Fatalf("%v after %d requests, %v", exchange, len(seen), err)
	}
	if got := seen[1].Header.Get("Authorization"); got != "DPoP t" {
		t.Errorf("Authorization: %s", got)
	}
	if proof, _ := Decode(seen[1].Header.Get("DPoP")); proof.Claim("ath") != digest64("t") {
		t.Errorf("the retried proof has ath %q", proof.Claim("ath"))
	}
}

func TestOneRetryOnly(t *testing.T) {
	var seen []*http.Request
	client := testClient(t, challenger(&seen))
	withoutNonce := client.TokenRequest(nil)
	withoutNonce.Proof = client.Proof("POST", withoutNonce.URL, DropClaim("nonce"))
	exchange, err := client.Server.Do(context.Background(), withoutNonce)
	if err != nil || exchange.Outcome() != "400 use_dpop_nonce" || len(seen) != 2 {
		t.Errorf("%v after %d requests, %v", exchange, len(seen), err)
	}
	seen = nil
	withoutProof := client.TokenRequest(nil)
	withoutProof.Proof = nil
	if _, err := client.Server.Do(context.Background(), withoutProof); err != nil || len(seen) != 1 {
		t.Errorf("%d requests without a proof to renew, %v", len(seen), err)
	}
	seen = nil
	if _, err := client.Server.Send(context.Background(), withoutNonce); err != nil || len(seen) != 1 {
		t.Errorf("Send made %d requests, %v", len(seen), err)
	}
}

func TestRefusalAndUnreachable(t *testing.T) {
	client := testClient(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
	})
	_, err := client.Token(context.Background(), nil)
	var refusal *Refusal
	if !errors.As(err, &refusal) || refusal.Exchange.Status != http.StatusTemporaryRedirect {
		t.Errorf("a redirect is followed: %v", err)
	}
	gone := httptest.NewServer(nil)
	gone.Close()
	client.Server.Metadata.TokenEndpoint = gone.URL
	_, err = client.Token(context.Background(), nil)
	var unreachable *Unreachable
	if !errors.As(err, &unreachable) {
		t.Errorf("a closed port: %v", err)
	}
}

func TestMetadataURL(t *testing.T) {
	for issuer, want := range map[string]string{
		"https://as.example":          "https://as.example/.well-known/oauth-authorization-server",
		"https://as.example/":         "https://as.example/.well-known/oauth-authorization-server",
		"https://as.example/bank/one": "https://as.example/.well-known/oauth-authorization-server/bank/one",
		"http://localhost:8080":       "http://localhost:8080/.well-known/oauth-authorization-server",
		"as.example":                  "",
		"https://as.example?x=1":      "",
		"ftp://as.example":            "",
	} {
		got, err := MetadataURL(issuer)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%s: got %q, %v", issuer, got, err)
		}
	}
}

func TestMetadataOfAnotherIssuerIsRefused(t *testing.T) {
	client := testClient(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `{"issuer":"http://%s/"}`, r.Host)
	})
	if err := client.Server.Discover(context.Background()); err == nil || !strings.Contains(err.Error(), "another issuer") {
		t.Errorf("got %v", err)
	}
}
