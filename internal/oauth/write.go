package oauth

import (
	"encoding/json"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// Handler answers a request or returns why not. It writes nothing before it returns an error.
type Handler func(w http.ResponseWriter, r *http.Request) error

// Pages knows where the explanations of the reasons are published.
type Pages struct {
	Base string // URL before /errors/{reason}: the issuer

	// Show answers a person at a browser with the page for errors. Nil: whoever asks is a program.
	Show func(w http.ResponseWriter, r *http.Request, e *Error, status int)

	// FDX: the resource is one of FDX, whose errors have a body of their own.
	FDX bool
}

// Serve is the one adaptor between handlers and HTTP, and the one place that writes an error.
func (p Pages) Serve(h Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := h(w, r); err != nil {
			p.Write(w, r, err)
		}
	})
}

// Write answers with err as the RFCs have it: JSON, no-store, and WWW-Authenticate where a protected resource or an
// Authorization header was concerned; the way back to the client where the refusal goes there; a page where a person
// asked. Only the members of the JSON are FDX's at its resources.
func (p Pages) Write(w http.ResponseWriter, r *http.Request, err error) {
	e := asError(err)
	if o := observer(w); o != nil {
		o.Refused(e)
	}
	if e.Client != nil {
		told := url.Values{"error": {string(e.Code())}, "error_description": {Printable(e.Description)}}
		if err := e.Client.Answer(w, told); err != nil {
			p.Write(w, r, err) // to the person: what cannot be sealed for the client does not go there in the open
		}
		return
	}
	for _, field := range e.authenticate() {
		w.Header().Add("WWW-Authenticate", field)
	}
	if e.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(e.RetryAfter.Seconds()))))
	}
	if len(e.Allow) > 0 {
		w.Header().Set("Allow", strings.Join(e.Allow, ", "))
	}
	switch {
	case e.Show != nil:
		e.Show(w, e.Status())
		return
	case p.Show != nil:
		p.Show(w, r, e, e.Status())
		return
	}
	description, uri := Printable(e.Description), p.Base+"/errors/"+string(e.Reason)
	if p.FDX {
		WriteJSON(w, e.Status(), fdxError{e.Reason, plainly(e.Status()), strings.TrimSuffix(description, ".") + "; see " + uri})
		return
	}
	WriteJSON(w, e.Status(), struct {
		Error       Code   `json:"error"`
		Description string `json:"error_description,omitempty"`
		URI         string `json:"error_uri"`
	}{e.Code(), description, uri})
}

// fdxError is an error as FDX has it (FDX, Error).
type fdxError struct {
	Code         Reason `json:"code"`         // stays the same, so that a program can act on it
	Message      string `json:"message"`      // may be shown to a person
	DebugMessage string `json:"debugMessage"` // for the developer
}

// plainly says to a person, who can mend no request, what became of it.
func plainly(status int) string {
	switch status {
	case http.StatusUnauthorized:
		return "The application did not prove that it may ask for this."
	case http.StatusNotFound:
		return "The application has no such consent."
	case http.StatusConflict:
		return "The consent has already ended."
	case http.StatusServiceUnavailable:
		return "This cannot be answered just now. Try again in a moment."
	case http.StatusInternalServerError:
		return "Something went wrong here. Try again later."
	}
	return "The application asked in a way that is not understood here."
}

// Answer sends the browser back to the client with these parameters, the state and the issuer (RFC 6749 §4.1.2, RFC 9207
// §2), or with the one JWT that holds them. After an error nothing has been written.
func (r Return) Answer(w http.ResponseWriter, parameters url.Values) error {
	parameters.Set("iss", r.Issuer)
	if r.State != "" {
		parameters.Set("state", r.State)
	}
	if r.Seal == nil {
		r.redirect(w, parameters)
		return nil
	}
	jwt, err := r.Seal(parameters)
	switch {
	case err != nil:
		return err
	case r.Post != nil:
		r.Post(w, jwt)
	default:
		r.redirect(w, url.Values{"response": {jwt}})
	}
	return nil
}

// redirect is 303, so that no form is sent on (FAPI 2.0 Security Profile §5.3.2.2-10).
func (r Return) redirect(w http.ResponseWriter, parameters url.Values) {
	NoStore(w)
	w.Header().Set("Referrer-Policy", "no-referrer")
	w.Header().Set("Location", AddQuery(r.RedirectURI, parameters))
	w.WriteHeader(http.StatusSeeOther)
}

// AddQuery puts parameters behind whatever query a URI of a client has (RFC 6749 §3.1.2).
func AddQuery(uri string, parameters url.Values) string {
	separator := "?"
	if strings.Contains(uri, "?") {
		separator = "&"
	}
	return uri + separator + strings.ReplaceAll(parameters.Encode(), "+", "%20")
}

// WriteJSON writes v as an answer that no cache keeps (RFC 6749 §5.1). An encoding failure can only be a fault of the
// type, so it panics and becomes a 500.
func WriteJSON(w http.ResponseWriter, status int, v any) {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic(err)
	}
	NoStore(w)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(b.String()))
}

// WriteJWT writes a token of this media type as an answer that no cache keeps. Whoever has hung up by then is told no more.
func WriteJWT(w http.ResponseWriter, mediaType, token string) {
	NoStore(w)
	w.Header().Set("Content-Type", mediaType)
	_, _ = w.Write([]byte(token))
}

// InteractionID is the x-fapi-interaction-id of a response, by which support finds its request.
func InteractionID(w http.ResponseWriter) string { return w.Header().Get("X-Fapi-Interaction-Id") }

// NoStore keeps the response out of every cache.
func NoStore(w http.ResponseWriter) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Pragma", "no-cache")
}

// Field is a fact about a request that a handler may tell its record.
type Field string

// The facts that handlers tell. Those of the first group stand in the log; all may be counted or audited.
const (
	FieldClient Field = "client_id"
	FieldGrant  Field = "grant_type"
	FieldScope  Field = "scope"
	FieldToken  Field = "token_jti"
	FieldLacks  Field = "lacks" // what the answer had to do without, and why

	FieldTokenType  Field = "token_type"
	FieldTokenState Field = "token_state" // an introspection's answer: active or inactive
	FieldEvent      Field = "event"       // what the request changed, of package audit; told after the change is committed
	FieldOutcome    Field = "outcome"     // of the event, if it was not a success
	FieldActor      Field = "actor"       // who made the event happen, where the event alone does not say
	FieldRegistrar  Field = "registrar"   // the client that registered another
	FieldSubject    Field = "subject"     // the person it is about; audited only, so that the log of requests names nobody
	FieldIssuer     Field = "issuer"      // of the assertion that a token was given for, and that spoke for the subject
	FieldGrantID    Field = "grant_id"    // what the person approved
)

// Observer is a response writer that keeps the record of its request: the server's log, metrics and audit records.
type Observer interface {
	Refused(*Error)
	Note(Field, string)
}

// Note tells the record of the request a fact that the handler has proven.
func Note[Value ~string](w http.ResponseWriter, f Field, value Value) {
	if o := observer(w); o != nil {
		o.Note(f, string(value))
	}
}

// observer finds the record behind whatever wraps it, as http.ResponseController does.
func observer(w http.ResponseWriter) Observer {
	for {
		if o, ok := w.(Observer); ok {
			return o
		}
		u, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return nil
		}
		w = u.Unwrap()
	}
}
