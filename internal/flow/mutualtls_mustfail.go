package flow

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// misuse is a request that must fail for the connection that it comes over, or for what stands in a certificate's place.
type misuse struct {
	name    string
	status  int
	code    string
	over    *Server
	request *Request
}

// expects is the refusal that the request has to meet. A server that wants a certificate by an authority with every call may
// say that before anything else, so it is taken from all.
func (m misuse) expects(got *Exchange) (status int, code string) {
	shown := m.over.Certificate
	switch outcome := got.Outcome(); {
	case shown == nil && outcome == "400 invalid_request":
		return 400, "invalid_request"
	case shown != nil && !shown.isVouchedFor() && outcome == "401 invalid_client":
		return 401, "invalid_client"
	}
	return m.status, m.code
}

// misused sends each request and looks at how it is refused: by an answer that a program can read. A handshake that breaks
// tells nobody why.
func (f *MutualTLS) misused(ctx context.Context, step *Step, misuses []misuse) error {
	var mute []string
	for _, m := range misuses {
		exchange, err := m.over.Do(ctx, m.request)
		if unreachable, ok := errors.AsType[*Unreachable](err); ok {
			step.check(m.name, false, fmt.Sprint(m.status, " ", m.code), "no answer: "+unreachable.Error())
			continue
		}
		if err != nil {
			return err
		}
		status, code := m.expects(exchange)
		step.judged(m.name, exchange, status, code)
		if exchange.Status >= http.StatusBadRequest && exchange.JSON()["error"] == nil {
			mute = append(mute, m.name)
		}
	}
	step.check("each refusal says why in JSON", len(mute) == 0, "each", "all but: "+strings.Join(mute, ", "))
	return nil
}

// mustFail asks for tokens without a certificate, with others, and with what stands in the place of one.
func (f *MutualTLS) mustFail(ctx context.Context, step *Step) error {
	misuses, err := f.bindBadly()
	if err != nil {
		return err
	}
	if f.named != nil {
		misuses = append(misuses, f.proveNameBadly()...)
	}
	if f.alone != nil {
		more, err := f.proveAloneBadly()
		if err != nil {
			return err
		}
		misuses = append(misuses, more...)
	}
	if err := f.misused(ctx, step, misuses); err != nil {
		return err
	}
	_, err = f.answered(ctx, step, "after which it is still good", http.StatusOK, "", f.client.TokenRequest(nil))
	return err
}

// bindBadly are requests of the client that registered for tokens that are bound to its certificate.
func (f *MutualTLS) bindBadly() ([]misuse, error) {
	proving, err := f.proving()
	if err != nil {
		return nil, err
	}
	unsigned := f.client.TokenRequest(nil)
	unsigned.Assertion = nil
	misuses := []misuse{
		{"no certificate to bind to", 400, "invalid_request", f.bare, f.client.TokenRequest(nil)},
		{"a DPoP proof in its place", 400, "invalid_request", f.bare, proving.TokenRequest(nil)},
		{"a certificate, and no assertion", 401, "invalid_client", f.Server, unsigned},
	}
	if f.people {
		refresh := f.client.RefreshRequest(f.token.RefreshToken, nil)
		misuses = append(misuses, misuse{"a refresh without it", 400, "invalid_request", f.bare, refresh})
	}
	return misuses, nil
}

// proving is the first client with a key for proofs, which it did not register for.
func (f *MutualTLS) proving() (*Client, error) {
	proving := *f.client
	proving.CertificateBound = false
	var err error
	proving.DPoPKey, err = GenerateKey("ES256")
	return &proving, err
}

// proveNameBadly are requests of the client that is a name of the certificate.
func (f *MutualTLS) proveNameBadly() []misuse {
	const refused = "invalid_client"
	good := f.named.TokenRequest
	nameless, mixed, published := good(nil), good(nil), good(nil)
	nameless.Form.Del("client_id")
	mixed.Assertion = f.client.Assertion()
	published.URL = f.Server.published.TokenEndpoint
	misuses := []misuse{
		{"no certificate for tls_client_auth", 401, refused, f.bare, good(nil)},
		{"a certificate without client_id", 401, refused, f.Server, nameless},
		{"the same names, self-signed", 401, refused, f.forged, good(nil)},
		{"the client_id of another name", 401, refused, f.Server, f.other.TokenRequest(nil)},
		{"another client's assertion beside it", 401, refused, f.Server, mixed},
	}
	if published.URL != f.Server.Metadata.TokenEndpoint {
		misuses = append(misuses, misuse{"where no certificate is asked for", 401, refused, f.bare, published})
	}
	return append(misuses, f.claim(f.named, f.Certificate, refused)...)
}

// proveAloneBadly are requests of the client that is one certificate, to the byte.
func (f *MutualTLS) proveAloneBadly() ([]misuse, error) {
	const refused = "invalid_client"
	again, err := f.alone.Server.Certificate.imitation(true, f.Server.Now())
	if err != nil {
		return nil, err
	}
	renewed, err := f.Server.Showing(again)
	if err != nil {
		return nil, err
	}
	misuses := []misuse{
		{"no certificate for x5c", 401, refused, f.bare, f.alone.TokenRequest(nil)},
		{"another certificate of the same key", 401, refused, renewed, f.alone.TokenRequest(nil)},
		{"an authority's certificate for x5c", 401, refused, f.Server, f.alone.TokenRequest(nil)},
	}
	if f.named == nil {
		misuses = append(misuses, f.claim(f.alone, f.alone.Server.Certificate, refused)...)
	}
	return misuses, nil
}

// claim are token requests over connections without the certificate, which a header says to be there. Such a header counts
// from a proxy alone that the server trusts, and a stranger is none.
func (f *MutualTLS) claim(client *Client, certificate *Certificate, code string) (misuses []misuse) {
	headers := certificate.forwarded()
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		request := client.TokenRequest(nil).SetHeader(name, headers[name])
		misuses = append(misuses, misuse{"a stranger's " + name, 401, code, f.bare, request})
	}
	return misuses
}

// mustFailWithTokens uses a token that is bound to the certificate without it.
func (f *MutualTLS) mustFailWithTokens(ctx context.Context, step *Step) error {
	const refused = "invalid_token"
	use := func() *Request { return f.callWith(f.client, f.own) }
	proving, err := f.proving()
	if err != nil {
		return err
	}
	misuses := []misuse{
		{"the token without the certificate", 401, refused, f.bare, use()},
		{"the token with another one", 401, refused, f.forged, use()},
		{"the token with scheme DPoP", 401, refused, f.Server, use().SetHeader("Authorization", "DPoP "+f.own.AccessToken)},
		{"the token with a proof", 401, refused, f.Server, f.callWith(proving, f.own)},
	}
	headers := f.Certificate.forwarded()
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		misuses = append(misuses, misuse{"a stranger's " + name, 401, refused, f.bare, use().SetHeader(name, headers[name])})
	}
	if f.people {
		misuses = append(misuses, misuse{"a person's token without it", 401, refused, f.bare, f.callWith(f.client, f.token)})
	}
	if f.named != nil {
		introspection := f.named.IntrospectRequest(f.own.AccessToken)
		misuses = append(misuses, misuse{"introspection without it", 401, "invalid_client", f.bare, introspection})
	}
	if err := f.misused(ctx, step, misuses); err != nil {
		return err
	}
	_, err = f.answered(ctx, step, "after which it is still good", http.StatusOK, "", use())
	return err
}
