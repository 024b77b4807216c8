package flow

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// assertionLifetime is how long a client assertion or a request object lives: enough for one request and one retry.
const assertionLifetime = 60 * time.Second

// Metadata is what this client uses of the server's metadata (RFC 8414 §2).
type Metadata struct {
	Issuer                string   `json:"issuer"`
	TokenEndpoint         string   `json:"token_endpoint"`
	JWKSURI               string   `json:"jwks_uri"`
	RegistrationEndpoint  string   `json:"registration_endpoint"`
	IntrospectionEndpoint string   `json:"introspection_endpoint"`
	RevocationEndpoint    string   `json:"revocation_endpoint"`
	AssertionAlgs         []string `json:"token_endpoint_auth_signing_alg_values_supported"`
	ProofAlgs             []string `json:"dpop_signing_alg_values_supported"`

	MTLSEndpointAliases json.RawMessage `json:"mtls_endpoint_aliases"` // of the members that end in _endpoint

	AuthorizationEndpoint              string   `json:"authorization_endpoint"`
	PushedAuthorizationRequestEndpoint string   `json:"pushed_authorization_request_endpoint"`
	RequirePushedAuthorizationRequests bool     `json:"require_pushed_authorization_requests"`
	CodeChallengeMethods               []string `json:"code_challenge_methods_supported"`
	AuthorizationResponseIss           bool     `json:"authorization_response_iss_parameter_supported"`
	AuthorizationDetailsTypes          []string `json:"authorization_details_types_supported"`

	UserinfoEndpoint   string `json:"userinfo_endpoint"`
	EndSessionEndpoint string `json:"end_session_endpoint"`
	ClaimsParameter    bool   `json:"claims_parameter_supported"`

	all map[string]any // members by name
}

// lists are the values of a member that is an array of strings; none where there is none.
func (m Metadata) lists(member string) []string {
	values, _ := m.all[member].([]any)
	var names []string
	for _, value := range values {
		names = append(names, text(value))
	}
	return names
}

// Server is an authorization server as seen from outside. Once discovered it is safe for concurrent use, except that it
// plays one flow at a time.
type Server struct {
	Issuer   string
	HTTP     *http.Client // see NewHTTPClient
	Now      func() time.Time
	Metadata Metadata // filled by Discover

	// MutualTLS has Discover take the endpoints of mtls_endpoint_aliases, for an HTTP client that shows a certificate.
	MutualTLS   bool
	Certificate *Certificate // that HTTP shows, as Showing has made it; nil: none, or one that is not known here

	published Metadata // before aliases took the place of endpoints

	trace  func(*Exchange)
	mu     sync.Mutex
	nonces map[string]string // one per origin: token endpoint and resources share it
}

// NewHTTPClient makes a client that gives up after timeout and follows no redirect: API endpoints have no business
// redirecting, and a redirected POST would lose its body.
func NewHTTPClient(transport http.RoundTripper, timeout time.Duration) *http.Client {
	return &http.Client{Transport: transport, Timeout: timeout, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}
}

// MetadataURL is where the issuer's metadata is: the well-known path goes before the issuer's own (RFC 8414 §3.1).
func MetadataURL(issuer string) (string, error) {
	u, err := url.Parse(issuer)
	if err != nil {
		return "", err
	}
	if (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return "", fmt.Errorf("issuer %q is not an http(s) URL without query and fragment", issuer)
	}
	return u.Scheme + "://" + u.Host + "/.well-known/oauth-authorization-server" + strings.TrimSuffix(u.EscapedPath(), "/"), nil
}

// Discover fetches the metadata. Metadata of another issuer must not be used and is an error (RFC 8414 §3.3). An endpoint
// without an alias is the same with mutual TLS (RFC 8705 §5).
func (s *Server) Discover(ctx context.Context) error {
	location, err := MetadataURL(s.Issuer)
	if err != nil {
		return err
	}
	exchange, err := s.expect(ctx, http.StatusOK, &Request{Method: http.MethodGet, URL: location})
	if err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(exchange.ResponseBody), &s.Metadata); err != nil {
		return fmt.Errorf("the metadata is not JSON as RFC 8414 has it: %w", err)
	}
	s.Metadata.all = exchange.JSON()
	if s.Metadata.Issuer != s.Issuer {
		return fmt.Errorf("the metadata names another issuer: expected %s, got %s", s.Issuer, s.Metadata.Issuer)
	}
	s.published = s.Metadata
	if aliases := s.Metadata.MTLSEndpointAliases; s.MutualTLS && aliases != nil {
		if err := json.Unmarshal(aliases, &s.Metadata); err != nil {
			return fmt.Errorf("mtls_endpoint_aliases is no object as RFC 8705 has it: %w", err)
		}
	}
	return nil
}

// Keys fetches the server's public keys from jwks_uri.
func (s *Server) Keys(ctx context.Context) ([]JWK, error) {
	exchange, err := s.expect(ctx, http.StatusOK, &Request{Method: http.MethodGet, URL: s.Metadata.JWKSURI})
	if err != nil {
		return nil, err
	}
	var set struct{ Keys []JWK }
	if err := json.Unmarshal([]byte(exchange.ResponseBody), &set); err != nil {
		return nil, fmt.Errorf("the key set is not JSON: %w", err)
	}
	return set.Keys, nil
}

// aliased is a URL below the issuer's as the listener has it that Discover found the aliased endpoints at, if it found any.
func (s *Server) aliased(target string) string {
	issuer := strings.TrimSuffix(s.Issuer, "/")
	if path, below := strings.CutPrefix(s.published.TokenEndpoint, issuer); below {
		if base, same := strings.CutSuffix(s.Metadata.TokenEndpoint, path); same {
			return base + strings.TrimPrefix(target, issuer)
		}
	}
	return target
}

// Origin is scheme and host of a URL: what a nonce belongs to.
func Origin(target string) string {
	u, err := url.Parse(target)
	if err != nil {
		return target
	}
	return u.Scheme + "://" + u.Host
}

func (s *Server) rememberNonce(target, nonce string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.nonces == nil {
		s.nonces = map[string]string{}
	}
	s.nonces[Origin(target)] = nonce
}

func (s *Server) nonce(target string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.nonces[Origin(target)]
}

// RegisterRequest registers metadata openly. A caller who has something to show adds it: an Authorization header with
// an initial access token, or Client.Present with a registrar's bound token.
func (s *Server) RegisterRequest(metadata map[string]any) *Request {
	return &Request{Method: http.MethodPost, URL: s.Metadata.RegistrationEndpoint, JSON: metadata}
}

// Register sends a registration and returns the new client, which signs assertions with key and proofs with dpopKey.
// Anything but 201 is a *Refusal.
func (s *Server) Register(ctx context.Context, request *Request, key, dpopKey *Key) (*Client, error) {
	exchange, err := s.expect(ctx, http.StatusCreated, request)
	if err != nil {
		return nil, err
	}
	client := &Client{Server: s, Key: key, DPoPKey: dpopKey}
	client.adopt(exchange.JSON())
	return client, nil
}

// Client is a registered client: its credentials at one server.
type Client struct {
	Server  *Server
	ID      string
	Key     *Key                                     // signs assertions and request objects
	DPoPKey *Key                                     // signs proofs
	Decrypt func(jwe string) (jws string, err error) // opens what is encrypted for the client; nil: nothing

	// The certificate that Server.HTTP shows may stand for the one key and for the other (RFC 8705).
	CertificateAuth  bool // it proves who the client is, so that there are no assertions
	CertificateBound bool // tokens are bound to it, so that there are no proofs

	RegistrationToken string // registration_access_token
	RegistrationURI   string // registration_client_uri
}

// adopt takes over what the server says about the registration; a rotated token replaces the old one.
func (c *Client) adopt(registration map[string]any) {
	for name, field := range map[string]*string{"client_id": &c.ID,
		"registration_access_token": &c.RegistrationToken, "registration_client_uri": &c.RegistrationURI} {
		if value, ok := registration[name].(string); ok {
			*field = value
		}
	}
}

// Assertion is a client assertion (RFC 7523 §3, OpenID Connect Core §9) as FAPI 2.0 wants it: the audience is the
// issuer, as a string.
func (c *Client) Assertion(edits ...Edit) Compact {
	return func() (string, error) {
		now := c.Server.Now()
		return c.draft("JWT", map[string]any{"iss": c.ID, "sub": c.ID, "aud": c.Server.Issuer, "jti": randomID(),
			"iat": now.Unix(), "exp": now.Add(assertionLifetime).Unix()}).Sign(edits...)
	}
}

// draft is a JWT that the client is about to sign for itself.
func (c *Client) draft(typ string, claims map[string]any) Draft {
	header := map[string]any{"alg": c.Key.Alg, "typ": typ}
	if c.Key.ID != "" {
		header["kid"] = c.Key.ID
	}
	return Draft{Header: header, Claims: claims, Key: c.Key, Alg: c.Key.Alg}
}

// Proof is a DPoP proof for one request (RFC 9449 §4.2), with the origin's last nonce when there is one. For a
// resource, add ForToken.
func (c *Client) Proof(method, target string, edits ...Edit) Compact {
	return func() (string, error) {
		htu, _, _ := strings.Cut(target, "?")
		draft := Draft{Key: c.DPoPKey, Alg: c.DPoPKey.Alg,
			Header: map[string]any{"alg": c.DPoPKey.Alg, "typ": "dpop+jwt", "jwk": c.DPoPKey.bareJWK()},
			Claims: map[string]any{"htm": method, "htu": htu, "jti": randomID(), "iat": c.Server.Now().Unix()}}
		if nonce := c.Server.nonce(target); nonce != "" {
			draft.Claims["nonce"] = nonce
		}
		return draft.Sign(edits...)
	}
}

// ForToken ties a proof to the access token it is presented with (ath, RFC 9449 §4.2).
func ForToken(token string) Edit { return SetClaim("ath", digest64(token)) }

// Present adds a bound access token and the proof for it to a request (RFC 9449 §7.1), and returns the request. One that is
// bound to the certificate needs no proof beside it (RFC 8705 §3).
func (c *Client) Present(request *Request, token string, edits ...Edit) *Request {
	if c.CertificateBound {
		return request.SetHeader("Authorization", "Bearer "+token)
	}
	request.Proof = c.Proof(request.Method, request.URL, append([]Edit{ForToken(token)}, edits...)...)
	return request.SetHeader("Authorization", "DPoP "+token)
}

// post is a form request in which the client proves who it is.
func (c *Client) post(endpoint string, form url.Values) *Request {
	own := url.Values{"client_id": {c.ID}}
	maps.Copy(own, form)
	request := &Request{Method: http.MethodPost, URL: endpoint, Form: own}
	if !c.CertificateAuth {
		request.Assertion = c.Assertion()
	}
	return request
}

// proving adds the proof of the key that what the request asks for is to be bound to, unless that is the certificate.
func (c *Client) proving(request *Request) *Request {
	if !c.CertificateBound {
		request.Proof = c.Proof(request.Method, request.URL)
	}
	return request
}

// TokenRequest asks for a token, with an assertion and a proof, as far as the certificate does not stand for them; grant_type
// is client_credentials unless form says otherwise.
func (c *Client) TokenRequest(form url.Values) *Request {
	request := c.post(c.Server.Metadata.TokenEndpoint, form)
	if !request.Form.Has("grant_type") {
		request.Form.Set("grant_type", "client_credentials")
	}
	return c.proving(request)
}

// IntrospectRequest asks about a token (RFC 7662 §2.1).
func (c *Client) IntrospectRequest(token string) *Request {
	return c.post(c.Server.Metadata.IntrospectionEndpoint, url.Values{"token": {token}})
}

// RevokeRequest gives a token back (RFC 7009 §2.1).
func (c *Client) RevokeRequest(token string) *Request {
	return c.post(c.Server.Metadata.RevocationEndpoint, url.Values{"token": {token}})
}

// ManageRequest reads (GET), replaces (PUT, with metadata) or deletes (DELETE) the registration (RFC 7592 §2).
func (c *Client) ManageRequest(method string, metadata map[string]any) *Request {
	request := &Request{Method: method, URL: c.RegistrationURI}
	if metadata != nil {
		request.JSON = metadata
	}
	return request.SetHeader("Authorization", "Bearer "+c.RegistrationToken)
}

// binding is how tokens are bound: their type, what is shown beside one, and the member of cnf, with whose thumbprint it is.
type binding struct{ tokenType, shown, member, of, thumbprint string }

// binding is that of the client's tokens (RFC 9449 §6.1, RFC 8705 §3.1).
func (c *Client) binding() binding {
	if c.CertificateBound {
		return binding{"Bearer", "the certificate", "x5t#S256", "the certificate", c.Server.Certificate.Thumbprint}
	}
	return binding{"DPoP", "a proof", "jkt", "the proof's key", c.DPoPKey.Thumbprint()}
}

// Token is a successful token response (RFC 6749 §5.1).
type Token struct {
	AccessToken  string `json:"access_token"`
	Type         string `json:"token_type"`
	ExpiresIn    int64  `json:"expires_in"` // seconds
	Scope        string `json:"scope"`
	RefreshToken string `json:"refresh_token"` // of a person's grant that outlives the access token
	GrantID      string `json:"grant_id"`      // of a person's grant, which is the consent's id too
	IDToken      string `json:"id_token"`      // with the scope openid; encrypted where the client registered that

	Exchange *Exchange `json:"-"`
}

// Token asks for a token. Anything but 200 is a *Refusal.
func (c *Client) Token(ctx context.Context, form url.Values) (*Token, error) {
	return c.Server.token(ctx, c.TokenRequest(form))
}

func (s *Server) token(ctx context.Context, request *Request) (*Token, error) {
	exchange, err := s.expect(ctx, http.StatusOK, request)
	if err != nil {
		return nil, err
	}
	return readToken(exchange)
}

func readToken(exchange *Exchange) (*Token, error) {
	token := &Token{Exchange: exchange}
	if err := json.Unmarshal([]byte(exchange.ResponseBody), token); err != nil {
		return nil, fmt.Errorf("the token response is not JSON as RFC 6749 §5.1 has it: %w", err)
	}
	return token, nil
}

// Introspect returns what the server tells this client about a token. Anything but 200 is a *Refusal.
func (c *Client) Introspect(ctx context.Context, token string) (map[string]any, error) {
	exchange, err := c.Server.expect(ctx, http.StatusOK, c.IntrospectRequest(token))
	if err != nil {
		return nil, err
	}
	return members([]byte(exchange.ResponseBody))
}

// Revoke revokes a token. Anything but 200 is a *Refusal.
func (c *Client) Revoke(ctx context.Context, token string) (*Exchange, error) {
	return c.Server.expect(ctx, http.StatusOK, c.RevokeRequest(token))
}
