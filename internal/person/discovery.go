package person

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"authserver/internal/oauth"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// The bounds of what is asked without the browser.
const (
	discoveryLasts = time.Hour
	answerWithin   = 5 * time.Second // of the upstream
	maxAnswer      = 256 << 10       // bytes; a key set with certificates may have some tens of thousands
)

// discovery is what the upstream publishes about itself, and its keys.
type discovery struct {
	metadata metadata
	issuer   string
	keys     oidc.KeySet // fetched when an ID token needs one that is not there
	at       time.Time
}

// metadata are the members that matter here (OpenID Connect Discovery §3, RFC 9207 §3, and the prompts that Initiating User
// Registration via OpenID Connect has brought).
type metadata struct {
	Authorization   string   `json:"authorization_endpoint"`
	Token           string   `json:"token_endpoint"`
	KeySet          string   `json:"jwks_uri"`
	AuthMethods     []string `json:"token_endpoint_auth_methods_supported"`
	SendsIssuer     bool     `json:"authorization_response_iss_parameter_supported"`
	ClaimsParameter bool     `json:"claims_parameter_supported"`
	Prompts         []string `json:"prompt_values_supported"`
}

// discover returns a discovery of the last hour. Several may fetch it at once; each of them is a person who signs in, for
// whom the upstream has more to do than that.
func (u *Upstream) discover(ctx context.Context, now time.Time) (*discovery, error) {
	if d := u.latest.Load(); d != nil && now.Before(d.at.Add(discoveryLasts)) {
		return d, nil
	}
	provider, err := oidc.NewProvider(oidc.ClientContext(ctx, u.http), u.settings.Issuer) // the library's way of taking a client
	if err != nil {
		return nil, away(err)
	}
	d := &discovery{issuer: u.settings.Issuer, at: now}
	if err := provider.Claims(&d.metadata); err != nil {
		return nil, away(err)
	}
	for _, endpoint := range []string{d.metadata.Authorization, d.metadata.Token, d.metadata.KeySet} {
		if !isSafe(endpoint, strings.HasPrefix(u.settings.Issuer, "http:")) {
			return nil, away(fmt.Errorf("the upstream's metadata names the endpoint %q, which is no https URL", endpoint))
		}
	}
	d.keys = oidc.NewRemoteKeySet(oidc.ClientContext(context.Background(), u.http), d.metadata.KeySet) // outlives this request
	u.latest.Store(d)
	return d, nil
}

// isSafe tells whether a URL is one of https, or else of this machine, where loopback allows that.
func isSafe(raw string, loopback bool) bool {
	u, err := url.Parse(raw)
	if err != nil || u.Hostname() == "" || u.User != nil || u.Fragment != "" {
		return false
	}
	ip, err := netip.ParseAddr(u.Hostname())
	here := u.Hostname() == "localhost" || err == nil && ip.IsLoopback()
	return u.Scheme == "https" || loopback && here && u.Scheme == "http"
}

// newBackChannel makes a client for a host that the operator has named: its address may be a private one. It follows no
// redirect, since what it sends (codes, assertions, secrets, who a person is) is for that host alone, and uses no proxy.
func newBackChannel(within time.Duration, security *tls.Config) *http.Client {
	security.MinVersion = tls.VersionTLS12
	return &http.Client{
		Timeout:       within,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: bounded{&http.Transport{
			TLSClientConfig:        security,
			MaxResponseHeaderBytes: maxAnswer,
			ForceAttemptHTTP2:      true,
			IdleConnTimeout:        time.Minute,
		}},
	}
}

// bounded ends answers that are too long.
type bounded struct{ next http.RoundTripper }

func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := b.next.RoundTrip(r)
	if err == nil {
		response.Body = http.MaxBytesReader(nil, response.Body, maxAnswer)
	}
	return response, err
}

// failed tells an upstream that is away from one that refuses.
func failed(err error) error {
	var network net.Error // also what net/http makes of a context that has ended
	if errors.As(err, &network) {
		return away(err)
	}
	if answer, ok := errors.AsType[*oauth2.RetrieveError](err); ok {
		// Not the body, which may hold anything.
		status := answer.Response.StatusCode
		said := fmt.Errorf("the token endpoint answered %d, %q: %q", status, answer.ErrorCode, answer.ErrorDescription)
		if status >= http.StatusInternalServerError || status == http.StatusTooManyRequests {
			return away(said)
		}
		return unproven("%w", said)
	}
	return unproven("%w", err)
}

// away is the refusal while the upstream does not answer, or not as a provider does.
func away(cause error) error {
	refusal := oauth.Refuse(oauth.Unavailable, "the login service does not answer just now, try again shortly").Because(brief{cause})
	refusal.RetryAfter = answerWithin
	return refusal
}

// unproven is the refusal of what proves nobody; the sentence is for the log alone.
func unproven(sentence string, args ...any) error {
	return oauth.Refuse(oauth.UpstreamRefused, "the login service did not prove who the person is").
		Because(brief{fmt.Errorf(sentence, args...)})
}

// brief keeps what a stranger's answer puts into an error from filling the log.
type brief struct{ error }

func (b brief) Error() string { return oauth.Printable(b.error.Error()) }
func (b brief) Unwrap() error { return b.error }
