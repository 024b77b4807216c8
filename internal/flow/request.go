package flow

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"
)

// assertionType is the only client_assertion_type there is (RFC 7523 §2.2).
const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// maxBody caps what is read of an answer, in bytes.
const maxBody = 1 << 20

// Request is one HTTP request as plain data, so that every part of it can be replaced before it is sent. At most one of
// Form and JSON is set.
type Request struct {
	Method string
	URL    string
	Header http.Header
	Form   url.Values
	JSON   any

	// Assertion is signed once and sent as client_assertion; a retry for a nonce sends the same one.
	Assertion Compact
	// RequestObject is signed once, too, and sent as request.
	RequestObject Compact
	// Proof is signed again for every attempt and sent as the DPoP header.
	Proof Compact
}

// SetHeader sets a header field and returns the request.
func (r *Request) SetHeader(name, value string) *Request {
	if r.Header == nil {
		r.Header = http.Header{}
	}
	r.Header.Set(name, value)
	return r
}

// encode signs what is to be signed and lays out header and body.
func (r *Request) encode() (http.Header, string, error) {
	header, body := r.Header.Clone(), ""
	if header == nil {
		header = http.Header{}
	}
	form := url.Values{}
	for name, values := range r.Form {
		form[name] = values
	}
	if r.Assertion != nil {
		assertion, err := r.Assertion()
		if err != nil {
			return nil, "", fmt.Errorf("signing the client assertion: %w", err)
		}
		form.Set("client_assertion_type", assertionType)
		form.Set("client_assertion", assertion)
	}
	if r.RequestObject != nil {
		object, err := r.RequestObject()
		if err != nil {
			return nil, "", fmt.Errorf("signing the request object: %w", err)
		}
		form.Set("request", object)
	}
	if r.Proof != nil {
		proof, err := r.Proof()
		if err != nil {
			return nil, "", fmt.Errorf("signing the DPoP proof: %w", err)
		}
		header.Set("DPoP", proof)
	}
	switch {
	case r.JSON != nil:
		encoded, err := json.Marshal(r.JSON)
		if err != nil {
			return nil, "", err
		}
		setDefault(header, "Content-Type", "application/json")
		body = string(encoded)
	case len(form) > 0:
		setDefault(header, "Content-Type", "application/x-www-form-urlencoded")
		body = form.Encode()
	}
	setDefault(header, "Accept", "application/json")
	return header, body, nil
}

func setDefault(header http.Header, name, value string) {
	if header.Get(name) == "" {
		header.Set(name, value)
	}
}

// Exchange is one HTTP request and its answer.
type Exchange struct {
	Method         string        `json:"method"`
	URL            string        `json:"url"`
	RequestHeader  http.Header   `json:"request_header"`
	RequestBody    string        `json:"request_body,omitempty"`
	Status         int           `json:"status"`
	ResponseHeader http.Header   `json:"response_header"`
	ResponseBody   string        `json:"response_body,omitempty"`
	Duration       time.Duration `json:"duration_ns"`
	Note           string        `json:"note,omitempty"`               // why the answer is as it should be, where it looks wrong
	JWTs           []JWT         `json:"jwts,omitempty"`               // every JWT on the way, unverified
	Certificate    *Certificate  `json:"client_certificate,omitempty"` // shown where the token endpoint is, if the server asked
}

// Form is the request's body as form parameters.
func (e *Exchange) Form() url.Values {
	form := url.Values{}
	if strings.HasPrefix(e.RequestHeader.Get("Content-Type"), "application/x-www-form-urlencoded") {
		form, _ = url.ParseQuery(e.RequestBody) // What does not parse is not a parameter.
	}
	return form
}

// sent is the request's body as parameters, of a form or as the members of a JSON object that are strings.
func (e *Exchange) sent() url.Values {
	form := e.Form()
	object, _ := members([]byte(e.RequestBody)) // What does not parse is not a parameter either.
	for name, value := range object {
		if value, ok := value.(string); ok {
			form.Add(name, value)
		}
	}
	return form
}

// parameters are all that travel with the exchange: in the body, in the URL, in that of a redirect, and in the forms of a
// page.
func (e *Exchange) parameters() []url.Values {
	all := []url.Values{e.sent()}
	for _, target := range []string{e.URL, e.ResponseHeader.Get("Location")} {
		if u, err := url.Parse(target); err == nil {
			all = append(all, u.Query())
		}
	}
	for _, form := range readPage(e).Forms {
		all = append(all, form.Fields)
	}
	return all
}

// cookies are those that were sent and those that came back.
func (e *Exchange) cookies() []*http.Cookie {
	sent := (&http.Request{Header: e.RequestHeader}).Cookies()
	return append(sent, (&http.Response{Header: e.ResponseHeader}).Cookies()...)
}

// JSON is the answer's body as an object; an empty map when it is not one.
func (e *Exchange) JSON() map[string]any {
	object, err := members([]byte(e.ResponseBody))
	if err != nil {
		return map[string]any{}
	}
	return object
}

// challengeParameter finds one quoted parameter of a WWW-Authenticate challenge.
var challengeParameter = regexp.MustCompile(`\b(error|error_description)="([^"]*)"`)

// reason finds error or error_description in the body, or else in WWW-Authenticate (RFC 6750 §3, RFC 9449 §7.1), or else what
// FDX has instead in the body of a refusal.
func (e *Exchange) reason(name, fdx string) string {
	if value, ok := e.JSON()[name].(string); ok {
		return value
	}
	for _, challenge := range e.ResponseHeader.Values("WWW-Authenticate") {
		for _, match := range challengeParameter.FindAllStringSubmatch(challenge, -1) {
			if match[1] == name {
				return match[2]
			}
		}
	}
	if value, ok := e.JSON()[fdx].(string); ok && e.Status >= http.StatusBadRequest {
		return value
	}
	return ""
}

// ErrorCode is the answer's error, or empty.
func (e *Exchange) ErrorCode() string { return e.reason("error", "code") }

// ErrorDescription is the answer's error_description, or empty.
func (e *Exchange) ErrorDescription() string { return e.reason("error_description", "debugMessage") }

// Outcome is the status and, where there is one, the error: "400 invalid_scope".
func (e *Exchange) Outcome() string {
	return strings.TrimSpace(fmt.Sprint(e.Status, " ", e.ErrorCode()))
}

// Refusal is the error of an answer whose status was not the expected one.
type Refusal struct {
	Expected int
	Exchange *Exchange
}

func (r *Refusal) Error() string {
	return strings.TrimSpace(fmt.Sprintf("%s %s: expected %d, got %s %s", r.Exchange.Method, r.Exchange.URL, r.Expected,
		r.Exchange.Outcome(), r.Exchange.ErrorDescription()))
}

// Unreachable is the error of a request that got no HTTP answer.
type Unreachable struct {
	URL string
	Err error
}

func (u *Unreachable) Error() string { return u.Err.Error() }
func (u *Unreachable) Unwrap() error { return u.Err }

// Do sends a request. When the server asks for a nonce (use_dpop_nonce, RFC 9449 §8) it is sent once more, with a fresh
// proof and the same assertion and request object. Any HTTP answer is a success here; the only errors are those of signing, and
// *Unreachable.
func (s *Server) Do(ctx context.Context, request *Request) (*Exchange, error) {
	attempt := *request
	for _, once := range []*Compact{&attempt.Assertion, &attempt.RequestObject} {
		if *once == nil {
			continue
		}
		signed, err := (*once)()
		if err != nil {
			return nil, fmt.Errorf("signing the client assertion or the request object: %w", err)
		}
		*once = Literal(signed)
	}
	exchange, err := s.Send(ctx, &attempt)
	if err != nil || attempt.Proof == nil || exchange.ErrorCode() != "use_dpop_nonce" {
		return exchange, err
	}
	return s.Send(ctx, &attempt)
}

// expect is Do for an answer that has to have one status; another one is a *Refusal.
func (s *Server) expect(ctx context.Context, status int, request *Request) (*Exchange, error) {
	exchange, err := s.Do(ctx, request)
	if err == nil && exchange.Status != status {
		err = &Refusal{Expected: status, Exchange: exchange}
	}
	return exchange, err
}

// Send sends a request exactly once and remembers the nonce that comes back.
func (s *Server) Send(ctx context.Context, request *Request) (*Exchange, error) {
	header, body, err := request.encode()
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, request.Method, request.URL, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header = header
	started := s.Now()
	response, err := s.HTTP.Do(r)
	if err != nil {
		return nil, &Unreachable{URL: request.URL, Err: err}
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxBody))
	if err != nil {
		return nil, &Unreachable{URL: request.URL, Err: err}
	}
	exchange := &Exchange{Method: request.Method, URL: request.URL, RequestHeader: header, RequestBody: body,
		Status: response.StatusCode, ResponseHeader: response.Header, ResponseBody: string(bytes.ToValidUTF8(answer, []byte("?"))),
		Duration: s.Now().Sub(started)}
	if Origin(request.URL) == Origin(s.Metadata.TokenEndpoint) {
		exchange.Certificate = s.Certificate
	}
	exchange.decodeJWTs()
	if nonce := response.Header.Get("DPoP-Nonce"); nonce != "" {
		s.rememberNonce(request.URL, nonce)
	}
	if s.trace != nil {
		s.trace(exchange)
	}
	return exchange, nil
}

func (e *Exchange) decodeJWTs() {
	candidates := []struct{ name, compact string }{
		{"client_assertion", e.Form().Get("client_assertion")},
		{"request", e.Form().Get("request")},
		{"assertion", e.sent().Get("assertion")},
		{"DPoP", e.RequestHeader.Get("DPoP")},
		{"access_token", text(e.JSON()["access_token"])},
	}
	for _, candidate := range candidates {
		if j, err := Decode(candidate.compact); err == nil {
			j.Name = candidate.name
			e.JWTs = append(e.JWTs, j)
		}
	}
}
