package flow

import (
	"cmp"
	"fmt"
	"html"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// identities are what is wrong with a careless server's answers about who somebody is.
type identities struct {
	sealing map[string]any    // registration of the client whose answers are sealed
	forge   map[string][]Edit // of answers that are JWTs, by their kind
	bare    map[string]bool   // kinds of answers that are not encrypted
	enc     string            // of all of them, whatever is registered

	beside        string // what becomes of parameters beside a request object: taken, ignored or refused
	silence       string // what prompt=none is always answered with; empty: what is so
	neverAnew     bool   // prompt=login means nothing
	neverPosts    bool   // form_post.jwt means nothing
	hasty         bool   // whoever comes to sign out is signed out
	plainUserinfo bool   // whatever is registered
}

// identityMetadata is what a careless server says of identities. It knows one algorithm of each kind.
func (s *careless) identityMetadata() map[string]any {
	document := map[string]any{"userinfo_endpoint": s.issuer + "/userinfo", "end_session_endpoint": s.issuer + "/logout",
		"response_modes_supported": []string{"query", "jwt", "form_post.jwt"}, "claims_parameter_supported": true,
		"claims_supported":     []string{"sub", "sid"},
		"acr_values_supported": []string{"urn:example:acr"}, "introspection_signing_alg_values_supported": []string{"ES256"},
		"request_object_signing_alg_values_supported": []string{"ES256"}}
	for _, kind := range []string{"authorization", "id_token", "userinfo"} {
		document[kind+"_signing_alg_values_supported"] = []string{"ES256"}
		document[kind+"_encryption_alg_values_supported"] = []string{"ECDH-ES"}
		document[kind+"_encryption_enc_values_supported"] = []string{"A128CBC-HS256", "A256GCM"}
	}
	return document
}

// asked are the parameters of a push: those of a request object, as far as others do not stand beside it; nil: refused.
func (s *careless) asked(form url.Values) url.Values {
	object, err := Decode(form.Get("request"))
	if err != nil {
		return form
	}
	params := url.Values{}
	for name, value := range object.Claims {
		params.Set(name, text(value))
	}
	smuggled := form.Has("state")
	switch {
	case s.beside == "refused" && smuggled:
		return nil
	case s.beside != "ignored":
		maps.Copy(params, form)
	}
	return params
}

// identity answers what has to do with who somebody is, if a request has.
func (s *careless) identity(w http.ResponseWriter, r *http.Request, route string) bool {
	_, err := r.Cookie("session")
	posted := s.pushed.Get("response_mode") == "form_post.jwt" && !s.neverPosts
	switch {
	case route == "GET /userinfo" || route == "POST /userinfo":
		s.userinfo(w)
	case route == "GET /logout":
		if s.hasty {
			http.SetCookie(w, &http.Cookie{Name: "session", Path: "/", MaxAge: -1})
		}
		w.Header().Set("Content-Type", "text/html")
		s.page(w, http.StatusOK, "Sign out?", fmt.Sprintf(`<form method="post" action="/logout/press"><button>Yes</button>
			<input type="hidden" name="post_logout_redirect_uri" value="%s"><input type="hidden" name="state" value="%s"></form>`,
			html.EscapeString(r.Form.Get("post_logout_redirect_uri")), html.EscapeString(r.Form.Get("state"))))
	case route == "POST /logout/press":
		if !s.unstoppable {
			http.SetCookie(w, &http.Cookie{Name: "session", Path: "/", MaxAge: -1})
		}
		s.redirect(w, withQuery(r.Form.Get("post_logout_redirect_uri"), url.Values{"state": {r.Form.Get("state")}}))
	case route == "GET /authorize" && s.pushed.Get("prompt") == "none":
		code := cmp.Or(s.silence, map[bool]string{true: "consent_required", false: "login_required"}[err == nil])
		s.redirect(w, s.back(url.Values{"error": {code}, "state": s.pushed["state"], "iss": {s.issuer}}))
	case route == "POST /consent/decision" && posted:
		w.Header().Set("Content-Type", "text/html")
		back, _ := url.Parse(s.leave(r.PostFormValue("decision")))
		s.page(w, http.StatusOK, "Back", fmt.Sprintf(`<form method="post" action="%s">
			<input type="hidden" name="response" value="%s"></form>`, s.pushed.Get("redirect_uri"), back.Query().Get("response")))
	default:
		return false
	}
	return true
}

// back is where an answer takes the browser.
func (s *careless) back(params url.Values) string {
	if strings.HasSuffix(s.pushed.Get("response_mode"), "jwt") {
		claims := map[string]any{"aud": "c1", "exp": time.Now().Add(5 * time.Minute).Unix()}
		for name, values := range params {
			claims[name] = strings.Join(values, " ")
		}
		params = url.Values{"response": {s.seal("authorization", claims)}}
	}
	return withQuery(s.pushed.Get("redirect_uri"), params)
}

func (s *careless) idToken(client, accessToken string, refreshed bool) string {
	now, signIns := time.Now().Unix(), 0
	for _, form := range s.posted {
		if form.Has("password") {
			signIns++
		}
	}
	claims := map[string]any{"sub": "alex-1", "aud": client, "iat": now, "exp": now + 300, "auth_time": now,
		"at_hash": halfHash("ES256", accessToken), "sid": fmt.Sprint("session ", signIns)}
	for name, param := range map[string]string{"nonce": "nonce", "acr": "acr_values"} {
		if s.pushed.Has(param) && (name != "nonce" || !refreshed) {
			claims[name] = s.pushed.Get(param)
		}
	}
	return s.seal("id_token", claims)
}

func (s *careless) userinfo(w http.ResponseWriter) {
	if s.sealing["userinfo_signed_response_alg"] == nil || s.plainUserinfo {
		io.WriteString(w, `{"sub":"alex-1"}`)
		return
	}
	w.Header().Set("Content-Type", "application/jwt")
	io.WriteString(w, s.seal("userinfo", map[string]any{"sub": "alex-1", "aud": "c1"}))
}

// seal signs an answer, and encrypts it with another library where the client registered that.
func (s *careless) seal(kind string, claims map[string]any) string {
	claims["iss"] = s.issuer
	draft := Draft{Key: s.key, Alg: "ES256", Header: map[string]any{"alg": "ES256", "typ": "JWT", "kid": s.key.ID}, Claims: claims}
	signed, err := draft.Sign(s.forge[kind]...)
	if err != nil {
		s.t.Error(err)
	}
	alg, encrypted := s.sealing[kind+"_encrypted_response_alg"].(string)
	if !encrypted || s.bare[kind] {
		return signed
	}
	var keys []JWK
	for _, key := range s.sealing["jwks"].(map[string]any)["keys"].([]any) {
		member := func(name string) string { return text(key.(map[string]any)[name]) }
		keys = append(keys, JWK{Kty: member("kty"), Crv: member("crv"), X: member("x"), Y: member("y"), N: member("n"),
			E: member("e"), Use: member("use"), Kid: member("kid")})
	}
	enc := cmp.Or(s.enc, text(s.sealing[kind+"_encrypted_response_enc"]))
	compact, err := sealFor(keys, alg, enc, signed, (&jose.EncrypterOptions{}).WithContentType("JWT"))
	if err != nil {
		s.t.Error(err)
	}
	return compact
}
