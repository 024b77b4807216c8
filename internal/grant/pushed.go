package grant

import (
	"slices"
	"time"

	"authserver/internal/fdx"
)

// The bounds of the time in which the browser must arrive (FAPI 2.0 Security Profile §5.3.2.2-12: less than 600 s).
const (
	MinArrival     = 5 * time.Second
	DefaultArrival = 90 * time.Second
	MaxArrival     = 599 * time.Second
)

// RequestURI stands before the secret in a request_uri (RFC 9126 §2.2).
const RequestURI = "urn:ietf:params:oauth:request_uri:"

// The response modes of an answer that is one JWT: in the query, or in a form (JARM §2.3).
const (
	QueryJWT    = "query.jwt"
	FormPostJWT = "form_post.jwt"
)

// What asks for acr values, if not acr_values alone, in the words of a refusal.
const (
	ACRFromClaims       = "the essential claim acr of claims"
	ACRFromRegistration = "default_acr_values of the registration"
)

// Pushed is an authorization request as it was validated when it was pushed (RFC 9126). Nothing of it is judged again.
type Pushed struct {
	ClientID      string      `json:"client_id"`
	RedirectURI   string      `json:"redirect_uri"`
	ResponseMode  string      `json:"response_mode,omitempty"` // how the answer goes back; "": in plain parameters of the query
	State         string      `json:"state,omitempty"`
	Scope         string      `json:"scope"`
	Resources     []string    `json:"resources,omitempty"`
	Details       fdx.Details `json:"authorization_details,omitempty"` // settled: what the person is asked for
	CodeChallenge string      `json:"code_challenge"`                  // of S256 (RFC 7636 §4.2)
	JKT           string      `json:"dpop_jkt,omitempty"`              // the key that must redeem the code (RFC 9449 §10)
	Nonce         string      `json:"nonce,omitempty"`                 // as every member below, OpenID Connect Core §3.1.2.1
	Prompt        []string    `json:"prompt,omitempty"`                // none, login, consent, select_account
	MaxAge        *int        `json:"max_age,omitempty"`               // seconds
	ACRValues     []string    `json:"acr_values,omitempty"`            // in the order of preference
	ACRFrom       string      `json:"acr_from,omitempty"`              // what asks for ACRValues; "": acr_values alone
	Subject       string      `json:"subject,omitempty"`               // whom the client means, and nobody else; "": anybody
	LoginHint     string      `json:"login_hint,omitempty"`            // the client's guess at a username
	UILocales     []string    `json:"ui_locales,omitempty"`            // in the order of preference
	ArriveBy      time.Time   `json:"arrive_by"`
}

// Arrives tells whether a browser that comes at now is in time.
func (p Pushed) Arrives(now time.Time) bool { return now.Before(p.ArriveBy) }

// Prompts tells whether the client asked for a prompt.
func (p Pushed) Prompts(word string) bool { return slices.Contains(p.Prompt, word) }

// Means tells whether a subject is one that the client means, if it means anybody.
func (p Pushed) Means(subject string) bool { return p.Subject == "" || p.Subject == subject }

// AcceptsACR tells whether an authentication of this class is one that the client asked for, if it asked for any.
func (p Pushed) AcceptsACR(acr string) bool {
	return len(p.ACRValues) == 0 || slices.Contains(p.ACRValues, acr)
}
