package flow

import (
	"encoding/json"
	"net/http"
)

// vouched is the token that an assertion gives, if a request has one as its grant.
func (s *careless) vouched(r *http.Request) (answer map[string]any, ok bool) {
	sent := map[string]string{"grant_type": r.Form.Get("grant_type"), "assertion": r.Form.Get("assertion")}
	if r.Header.Get("Content-Type") == "application/json" {
		json.NewDecoder(r.Body).Decode(&sent)
	}
	if sent["grant_type"] != bearerGrant {
		return nil, false
	}
	says, _ := Decode(sent["assertion"])
	claims := map[string]any{"sub": says.Claim("iss"), "client_id": "gateway", "aud": s.issuer, "scope": "demo:read",
		"iat": 1_700_000_000, "exp": 1_700_000_900, "jti": randomID()}
	answer = map[string]any{"token_type": "Bearer", "expires_in": 900, "scope": "demo:read"}
	if cnf, tokenType := s.boundTo(r); r.Header.Get("DPoP") != "" || s.alias != "" {
		answer["token_type"], claims["cnf"] = tokenType, cnf
	}
	answer["access_token"] = s.sign("", "at+jwt", claims)
	return answer, true
}
