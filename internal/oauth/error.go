package oauth

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// maxDescription bounds error_description, in bytes.
const maxDescription = 400

// Error is a refusal on its way to the one writer. Description is public; Cause is not and only reaches the log.
type Error struct {
	Reason      Reason
	Description string
	Cause       error
	RetryAfter  time.Duration // zero: no Retry-After header
	Allow       []string      // the methods of a 405
	Client      *Return       // nil: the answer goes to whoever asked

	// Show is the page that tells a person what to mend; nil: the page for errors.
	Show func(w http.ResponseWriter, status int)

	challenges []challenge
}

// challenge is one WWW-Authenticate header field (RFC 9110 §11.6.1).
type challenge struct {
	scheme string
	params string // `, name="value"` pairs of the scheme's own
}

// Refuse makes the refusal for a reason. The sentence names the claim or parameter, what was expected and what came.
func Refuse(r Reason, sentence string, args ...any) *Error {
	return &Error{Reason: r, Description: fmt.Sprintf(sentence, args...)}
}

// Because keeps the private cause for the log.
func (e *Error) Because(cause error) *Error {
	e.Cause = cause
	return e
}

// Return is where a browser is sent back to: the redirect_uri of a request that was validated when it was pushed.
type Return struct {
	RedirectURI string
	State       string // as the client sent it; "": it sent none
	Issuer      string // RFC 9207 §2

	// Seal makes the one JWT of all that the client is told (JARM §2.1); nil: it is told in plain parameters.
	Seal func(parameters url.Values) (jwt string, err error)
	// Post takes the JWT to the client by a form (JARM §2.3.3); nil: it goes in the query.
	Post func(w http.ResponseWriter, jwt string)
}

// ToClient has the refusal told to the client, by way of the browser (RFC 6749 §4.1.2.1). Only a redirect URI that is
// registered for the client may stand here.
func (e *Error) ToClient(r Return) *Error {
	e.Client = &r
	return e
}

// Challenged adds a WWW-Authenticate field of the scheme: the request was made to a protected resource (RFC 6750 §3,
// RFC 9449 §7.1). Parameters are name, value pairs beside error and error_description.
func (e *Error) Challenged(scheme string, pairs ...string) *Error {
	var b strings.Builder
	for i := 0; i+1 < len(pairs); i += 2 {
		fmt.Fprintf(&b, `, %s="%s"`, pairs[i], Printable(pairs[i+1]))
	}
	e.challenges = append(e.challenges, challenge{scheme: scheme, params: b.String()})
	return e
}

// Error is for the log, never for a response.
func (e *Error) Error() string {
	s := string(e.Reason) + ": " + e.Description
	if e.Cause != nil {
		s += ": " + e.Cause.Error()
	}
	return s
}

func (e *Error) Unwrap() error { return e.Cause }

// Code is the RFC's code of the reason.
func (e *Error) Code() Code {
	if x, ok := Explain(e.Reason); ok {
		return x.Code
	}
	return ServerError
}

// Status follows from the reason, or else from the code; at a protected resource a bad proof is an authentication that
// failed (RFC 9449 §7.1), while at the token endpoint it is a bad request (RFC 9449 §5).
func (e *Error) Status() int {
	x, ok := Explain(e.Reason)
	switch {
	case !ok:
		return http.StatusInternalServerError
	case x.Status != 0:
		return x.Status
	case len(e.challenges) > 0 && (x.Code == InvalidDPoPProof || x.Code == UseDPoPNonce):
		return http.StatusUnauthorized
	}
	return status[x.Code]
}

// authenticate lists the WWW-Authenticate fields. A request without any credentials is challenged without an error
// (RFC 6750 §3.1).
func (e *Error) authenticate() []string {
	var fields []string
	for _, c := range e.challenges {
		params := c.params
		if e.Reason != TokenMissing {
			params = fmt.Sprintf(`, error="%s", error_description="%s"`, e.Code(), Printable(e.Description)) + params
		}
		fields = append(fields, c.scheme+strings.TrimPrefix(params, ","))
	}
	return fields
}

// Printable keeps a sentence inside the characters of error_description (RFC 6749 §5.2: %x20-21 / %x23-5B / %x5D-7E).
func Printable(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case b.Len() >= maxDescription:
			return b.String()
		case r == '"':
			b.WriteByte('\'')
		case r < 0x20 || r > 0x7e || r == '\\':
			b.WriteByte('?')
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// temporary is what the store's errors say when the same request may well succeed later.
type temporary interface{ Temporary() bool }

// asError finds the refusal in err. An error that is none is our fault: an outage when it says so, else a failure.
func asError(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	var t temporary
	if errors.As(err, &t) && t.Temporary() {
		e = Refuse(Unavailable, "the server cannot answer just now, try again shortly").Because(err)
		e.RetryAfter = 2 * time.Second
		return e
	}
	return Refuse(Internal, "the server failed").Because(err)
}
