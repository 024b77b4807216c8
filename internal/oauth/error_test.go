package oauth_test

import (
	"net/http"
	"strings"
	"testing"

	"authserver/internal/oauth"
)

// TestStatus holds the statuses as the RFCs have them.
func TestStatus(t *testing.T) {
	byCode := map[oauth.Code]int{
		"invalid_request":               400, // RFC 6749 §5.2, RFC 6750 §3.1
		"invalid_client":                401, // RFC 6749 §5.2: allowed always, demanded after an Authorization header
		"unauthorized_client":           400, // RFC 6749 §5.2
		"unsupported_grant_type":        400, // RFC 6749 §5.2
		"invalid_scope":                 400, // RFC 6749 §5.2
		"invalid_target":                400, // RFC 8707 §2
		"unsupported_response_type":     400, // RFC 6749 §4.1.2.1, answered as RFC 9126 §2.3 has it
		"invalid_authorization_details": 400, // RFC 9396 §5
		"invalid_request_object":        400, // RFC 9126 §2.3
		"invalid_request_uri":           400, // OpenID Connect Core §3.1.2.6: a page, since no redirect URI is proven
		"invalid_grant":                 400, // RFC 6749 §5.2

		// These go to the client in a redirect, and have no status of their own.
		"login_required":                    400,
		"consent_required":                  400,
		"unmet_authentication_requirements": 400,
		"invalid_dpop_proof":                400, // RFC 9449 §5
		"use_dpop_nonce":                    400, // RFC 9449 §8
		"invalid_token":                     401, // RFC 6750 §3.1
		"insufficient_scope":                403, // RFC 6750 §3.1
		"invalid_client_metadata":           400, // RFC 7591 §3.2.2
		"invalid_redirect_uri":              400, // RFC 7591 §3.2.2
		"invalid_software_statement":        400, // RFC 7591 §3.2.2
		"unapproved_software_statement":     400, // RFC 7591 §3.2.2
		"access_denied":                     403, // RFC 6749 §4.1.2.1 has no status of its own: a registration that is closed to all
		"temporarily_unavailable":           503, // RFC 6749 §4.1.2.1
		"server_error":                      500, // RFC 6749 §4.1.2.1
	}
	byReason := map[oauth.Reason]int{
		"method_not_allowed":   405, // RFC 9110 §15.5.6
		"no_such_endpoint":     404, // RFC 9110 §15.5.5
		"body_too_large":       413, // RFC 9126 §2.3
		"content_type_refused": 415, // RFC 9110 §15.5.16
		"rate_limited":         429, // RFC 9126 §2.3
		"login_refused":        401, // RFC 9110 §15.5.2; without a challenge, for which a form has no scheme
		"form_refused":         403, // RFC 9110 §15.5.4
		"cross_site":           403, // RFC 9110 §15.5.4
		"person_changed":       403, // RFC 9110 §15.5.4
		"consent_unknown":      404, // FDX Consent API
		"consent_ended":        409, // FDX Consent API
	}
	used := map[oauth.Code]bool{}
	for _, x := range oauth.Reasons() {
		refusal := oauth.Refuse(x.Reason, "why")
		want, special := byReason[x.Reason]
		if !special {
			want = byCode[x.Code]
		}
		if want == 0 {
			t.Errorf("the code %s is new here: write down its status and the RFC that has it", x.Code)
		}
		if refusal.Status() != want || refusal.Code() != x.Code {
			t.Errorf("%s: %d %s, want %d %s", x.Reason, refusal.Status(), refusal.Code(), want, x.Code)
		}
		used[x.Code] = true
	}
	for code := range byCode {
		if !used[code] {
			t.Errorf("no reason has the code %s", code)
		}
	}
}

// TestStatusAtResources: what is a bad request at the token endpoint is a failed authentication at a protected resource
// (RFC 9449 §7.1), and nothing else changes.
func TestStatusAtResources(t *testing.T) {
	tests := map[oauth.Reason]int{
		oauth.ProofSignature:    401,
		oauth.ProofMalformed:    401,
		oauth.ProofTokenHash:    401,
		oauth.ProofReplayed:     401,
		oauth.NonceMissing:      401,
		oauth.NonceUnknown:      401,
		oauth.TokenMissing:      401,
		oauth.TokenExpired:      401,
		oauth.TokenKey:          401,
		oauth.RegistrationToken: 401,
		oauth.ScopeInsufficient: 403,
		oauth.NotARegistrar:     403,
		oauth.HeaderRepeated:    400, // RFC 6750 §3.1
		oauth.ParameterInQuery:  400,
		oauth.ClientAuthMethod:  401,
		oauth.Unavailable:       503,
		oauth.Internal:          500,
	}
	for reason, want := range tests {
		if got := oauth.Refuse(reason, "why").Challenged("DPoP").Status(); got != want {
			t.Errorf("%s: %d, want %d", reason, got, want)
		}
	}
}

func TestReasons(t *testing.T) {
	seen := map[oauth.Reason]bool{}
	for _, x := range oauth.Reasons() {
		if seen[x.Reason] {
			t.Errorf("%s stands twice", x.Reason)
		}
		seen[x.Reason] = true
		if strings.Trim(string(x.Reason), "abcdefghijklmnopqrstuvwxyz_") != "" {
			t.Errorf("%s is no word of a URL", x.Reason)
		}
		if found, ok := oauth.Explain(x.Reason); !ok || found != x || x.Meaning == "" || x.Remedy == "" {
			t.Errorf("%s is not explained", x.Reason)
		}
	}
	oauth.Reasons()[0].Meaning = "changed"
	if oauth.Reasons()[0].Meaning == "changed" {
		t.Error("the table can be changed from outside")
	}
	unknown := oauth.Refuse("no_such_reason", "why")
	if _, ok := oauth.Explain("no_such_reason"); ok || unknown.Status() != http.StatusInternalServerError || unknown.Code() != oauth.ServerError {
		t.Errorf("an unknown reason: %d %s", unknown.Status(), unknown.Code())
	}
}

// inRange tells whether a character may stand in error_description (RFC 6749 §5.2).
func inRange(c byte) bool {
	return c == 0x20 || c == 0x21 || c >= 0x23 && c <= 0x5b || c >= 0x5d && c <= 0x7e
}

// HT-18: whatever goes in, only %x20-21 / %x23-5B / %x5D-7E comes out.
func TestPrintable(t *testing.T) {
	check := func(in string) string {
		out := oauth.Printable(in)
		for i := range len(out) {
			if !inRange(out[i]) {
				t.Errorf("HT-18 %q becomes %q", in, out)
			}
		}
		return out
	}
	for b := range 256 {
		c := byte(b)
		out := check(string([]byte{c}))
		if inRange(c) && out != string(rune(c)) {
			t.Errorf("%q becomes %q", c, out)
		}
		if len(out) != 1 {
			t.Errorf("%q becomes %q", c, out)
		}
		check(string([]byte{'a', c, 'b', 0xc3, c}))
	}
	for _, r := range []rune{0x80, 0xa0, 0xff, 0x131, 0x212a, 0x2028, 0x202e, 0xfeff, 0xff02, 0xff3c, 0x1f600, 0x10ffff} {
		if out := check(string(r)); out != "?" {
			t.Errorf("%q becomes %q", r, out)
		}
	}
	if got := check("say \"this\"\\\r\nSet-Cookie: a"); got != "say 'this'???Set-Cookie: a" {
		t.Error(got)
	}
	if got := len(check(strings.Repeat("\u00e9\"a", 1000))); got != 400 {
		t.Errorf("%d characters", got)
	}
}
