package flow

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
)

// PKCE is a pair of RFC 7636 for the method S256: the client keeps the verifier until it redeems the code, and pushes its
// digest.
type PKCE struct {
	Verifier  string
	Challenge string // base64url of the verifier's SHA-256
}

// NewPKCE makes a fresh pair, whose verifier has 256 random bits (RFC 7636 §7.1).
func NewPKCE() PKCE {
	var b [32]byte
	rand.Read(b[:]) // Never fails since Go 1.24.
	verifier := encode64(b[:])
	return PKCE{Verifier: verifier, Challenge: digest64(verifier)}
}

// Parameters are those of an authorization request that FAPI 2.0 is content with (Security Profile §5.3.3.2), to be
// pushed.
func (p PKCE) Parameters(redirectURI, scope, state string) url.Values {
	return url.Values{"response_type": {"code"}, "redirect_uri": {redirectURI}, "scope": {scope}, "state": {state},
		"code_challenge": {p.Challenge}, "code_challenge_method": {"S256"}}
}

// PushRequest pushes an authorization request (RFC 9126 §2.1), with an assertion, and with a proof by the key that the
// code shall be bound to (RFC 9449 §10.1).
func (c *Client) PushRequest(params url.Values) *Request {
	return c.proving(c.post(c.Server.Metadata.PushedAuthorizationRequestEndpoint, params))
}

// SignedPushRequest pushes an authorization request as a request object (RFC 9126 §3): beside it stands only what proves the
// client. Edits bend the object.
func (c *Client) SignedPushRequest(params url.Values, edits ...Edit) *Request {
	request := c.PushRequest(nil)
	if !c.CertificateAuth {
		request.Form.Del("client_id") // the assertion says it
	}
	request.RequestObject = c.RequestObject(params, edits...)
	return request
}

// RequestObject is an authorization request as an object that the client signed (RFC 9101 §4), with the claims that FAPI 2.0
// Message Signing §5.3.2 wants of it.
func (c *Client) RequestObject(params url.Values, edits ...Edit) Compact {
	return func() (string, error) {
		now := c.Server.Now()
		claims := map[string]any{"iss": c.ID, "aud": c.Server.Issuer, "client_id": c.ID, "jti": randomID(),
			"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(assertionLifetime).Unix()}
		for name, values := range params {
			claims[name] = inObject(name, values)
		}
		return c.draft("oauth-authz-req+jwt", claims).Sign(edits...)
	}
}

// inObject is a parameter as a request object has it: some are JSON there and no text (RFC 9101 §4, RFC 9396 §3).
func inObject(name string, values []string) any {
	switch name {
	case "authorization_details", "claims", "max_age":
		if json.Valid([]byte(values[0])) {
			return json.RawMessage(values[0])
		}
	case "resource":
		return values
	}
	return values[0]
}

// Pushed is the answer to a pushed authorization request (RFC 9126 §2.2).
type Pushed struct {
	RequestURI string `json:"request_uri"`
	ExpiresIn  int64  `json:"expires_in"` // seconds

	Exchange *Exchange `json:"-"`
}

// Push pushes an authorization request. Anything but 201 is a *Refusal.
func (c *Client) Push(ctx context.Context, params url.Values) (*Pushed, error) {
	return c.Server.push(ctx, c.PushRequest(params))
}

func (s *Server) push(ctx context.Context, request *Request) (*Pushed, error) {
	exchange, err := s.expect(ctx, http.StatusCreated, request)
	if err != nil {
		return nil, err
	}
	return readPushed(exchange)
}

func readPushed(exchange *Exchange) (*Pushed, error) {
	pushed := &Pushed{Exchange: exchange}
	if err := json.Unmarshal([]byte(exchange.ResponseBody), pushed); err != nil {
		return nil, fmt.Errorf("the answer is not JSON as RFC 9126 §2.2 has it: %w", err)
	}
	return pushed, nil
}

// AuthorizeURL is where the client sends the browser with a pushed request (RFC 9126 §4).
func (c *Client) AuthorizeURL(requestURI string) string {
	return withQuery(c.Server.Metadata.AuthorizationEndpoint, url.Values{"client_id": {c.ID}, "request_uri": {requestURI}})
}

// withQuery adds parameters to a URL that may have some already (RFC 6749 §3.1).
func withQuery(target string, params url.Values) string {
	separator := "?"
	if strings.Contains(target, "?") {
		separator = "&"
	}
	return target + separator + params.Encode()
}

// ReadReturn takes the redirect apart that brings the browser back to the client: the parameters that the server added to
// redirectURI (RFC 6749 §4.1.2). A redirect to anywhere else is an error, and so are a fragment and a parameter that
// comes twice.
func ReadReturn(location, redirectURI string) (url.Values, error) {
	separator := "?"
	if strings.Contains(redirectURI, "?") {
		separator = "&"
	}
	query, ok := strings.CutPrefix(location, redirectURI+separator)
	switch {
	case !ok:
		return nil, fmt.Errorf("the redirect leads elsewhere: expected %s, got %s", redirectURI, location)
	case strings.Contains(query, "#"):
		return nil, fmt.Errorf("the redirect has a fragment: %s", location)
	}
	params, err := url.ParseQuery(query)
	if err != nil {
		return nil, fmt.Errorf("the redirect's query is malformed: %w", err)
	}
	for name, values := range params {
		if len(values) > 1 {
			return nil, fmt.Errorf("the redirect has the parameter %s %d times", name, len(values))
		}
	}
	return params, nil
}

// CodeRequest redeems a code (RFC 6749 §4.1.3, RFC 7636 §4.5), with an assertion and a proof.
func (c *Client) CodeRequest(code, verifier, redirectURI string) *Request {
	return c.TokenRequest(url.Values{"grant_type": {"authorization_code"}, "code": {code}, "code_verifier": {verifier},
		"redirect_uri": {redirectURI}})
}

// Redeem redeems a code. Anything but 200 is a *Refusal.
func (c *Client) Redeem(ctx context.Context, code, verifier, redirectURI string) (*Token, error) {
	return c.Server.token(ctx, c.CodeRequest(code, verifier, redirectURI))
}

// RefreshRequest asks for another access token of the same grant (RFC 6749 §6), with an assertion and a proof. More
// names further parameters, such as a narrower scope; it may be nil.
func (c *Client) RefreshRequest(refreshToken string, more url.Values) *Request {
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refreshToken}}
	maps.Copy(form, more)
	return c.TokenRequest(form)
}

// Refresh asks for another access token of the same grant. Anything but 200 is a *Refusal.
func (c *Client) Refresh(ctx context.Context, refreshToken string, more url.Values) (*Token, error) {
	return c.Server.token(ctx, c.RefreshRequest(refreshToken, more))
}
