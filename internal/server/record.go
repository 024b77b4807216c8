package server

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"runtime/debug"
	"strings"
	"time"

	"authserver/internal/audit"
	"authserver/internal/oauth"
)

// Record keeps one log record of every request, counts it, and writes the audit record of what it changed.
type Record struct {
	Log     *slog.Logger
	Trail   *audit.Log
	Metrics *Metrics
	Now     func() time.Time
}

// entry is the record of one request while it is answered. It stands in for the response writer.
type entry struct {
	http.ResponseWriter
	route   route
	start   time.Time
	id      string // x-fapi-interaction-id
	peer    string
	status  int
	bytes   int
	refusal *oauth.Error
	notes   map[oauth.Field]string
}

func (e *entry) Unwrap() http.ResponseWriter { return e.ResponseWriter }

func (e *entry) WriteHeader(status int) {
	if e.status == 0 {
		e.status = status
	}
	e.ResponseWriter.WriteHeader(status)
}

func (e *entry) Write(b []byte) (int, error) {
	if e.status == 0 {
		e.status = http.StatusOK
	}
	n, err := e.ResponseWriter.Write(b)
	e.bytes += n
	return n, err
}

// Refused and Note make entry an oauth.Observer.
func (e *entry) Refused(refusal *oauth.Error) { e.refusal = refusal }

func (e *entry) Note(f oauth.Field, value string) { e.notes[f] = value }

// around serves h and keeps its record.
func (r *Record) around(route route, pages oauth.Pages, h oauth.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		start := r.Now()
		r.Metrics.inFlight.Inc()
		defer r.Metrics.inFlight.Dec()
		e := &entry{ResponseWriter: w, route: route, start: start, id: interactionID(req), peer: oauth.Peer(req), notes: map[oauth.Field]string{}}
		w.Header().Set("X-Fapi-Interaction-Id", e.id)
		w.Header().Set("X-Content-Type-Options", "nosniff")
		pages.Serve(survive(h)).ServeHTTP(e, req)
		r.keep(e, req)
	})
}

// survive turns a panic into an error, so that it is answered and recorded like any other fault of ours.
func survive(h oauth.Handler) oauth.Handler {
	return func(w http.ResponseWriter, r *http.Request) (err error) {
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
			}
		}()
		return h(w, r)
	}
}

// What is recorded for a request whose client did not wait for the answer: no refusal, and nobody's fault.
const (
	statusClientGone              = 499 // as other servers have it
	reasonClientGone oauth.Reason = "client_gone"
)

// gone tells whether a request failed because its client went away. A deadline of ours is no such thing.
func (e *entry) gone(req *http.Request) bool {
	return e.refusal != nil && errors.Is(e.refusal, context.Canceled) && errors.Is(req.Context().Err(), context.Canceled)
}

// keep writes the one log record of a request, counts it, and audits what it changed.
func (r *Record) keep(e *entry, req *http.Request) {
	if e.status == 0 {
		e.status = http.StatusOK
	}
	if e.gone(req) {
		e.status, e.refusal = statusClientGone, &oauth.Error{Reason: reasonClientGone, Description: "the client went away", Cause: e.refusal.Cause}
	}
	took, method := r.Now().Sub(e.start), knownMethod(req.Method)
	r.Metrics.answered(e, method, took)
	if e.notes[oauth.FieldEvent] != "" {
		r.Audit(e.audit(r.Now()))
	}
	attrs := []slog.Attr{
		slog.String("interaction_id", e.id),
		slog.String("method", method),
		slog.String("route", e.route.path),
		slog.Int("status", e.status),
		slog.Int("bytes", e.bytes),
		slog.Float64("ms", float64(took.Microseconds())/1000),
		slog.String("peer", e.peer),
	}
	for _, f := range []oauth.Field{oauth.FieldClient, oauth.FieldGrant, oauth.FieldScope, oauth.FieldToken, oauth.FieldLacks} {
		if v := e.notes[f]; v != "" {
			attrs = append(attrs, slog.String(string(f), v))
		}
	}
	level := slog.LevelInfo
	if refusal := e.refusal; refusal != nil {
		attrs = append(attrs, slog.String("reason", string(refusal.Reason)), slog.String("description", oauth.Printable(refusal.Description)))
		if refusal.Cause != nil {
			attrs = append(attrs, slog.String("cause", refusal.Cause.Error()))
		}
		if e.status >= 500 {
			level = slog.LevelError
		}
	}
	r.Log.LogAttrs(req.Context(), level, "request", attrs...)
}

// audit is the audit record of a request that changed something, or tried to.
func (e *entry) audit(now time.Time) audit.Record {
	event := audit.Event(e.notes[oauth.FieldEvent])
	return audit.Record{
		Time:          now,
		Event:         event,
		Outcome:       audit.Outcome(e.notes[oauth.FieldOutcome]),
		Actor:         cmp.Or(audit.Actor(e.notes[oauth.FieldActor]), actor(event)),
		InteractionID: e.id,
		Peer:          e.peer,
		ClientID:      e.notes[oauth.FieldClient],
		Registrar:     e.notes[oauth.FieldRegistrar],
		Subject:       e.notes[oauth.FieldSubject],
		Issuer:        e.notes[oauth.FieldIssuer],
		GrantID:       e.notes[oauth.FieldGrantID],
		GrantType:     e.notes[oauth.FieldGrant],
		Scope:         e.notes[oauth.FieldScope],
		TokenJTI:      e.notes[oauth.FieldToken],
	}
}

// actor is who made it happen with a request that does not say: the person for what only a person can do, otherwise the
// client.
func actor(e audit.Event) audit.Actor {
	switch e {
	case audit.PersonSignedIn, audit.PersonSignedOut, audit.GrantApproved, audit.GrantDenied:
		return audit.Person
	}
	return audit.Client
}

// Audit writes an audit record and counts it. That it cannot be written is a fault of ours, and fails nothing.
func (r *Record) Audit(a audit.Record) {
	err := r.Trail.Write(a)
	r.Metrics.audit(a.Event, err)
	if err != nil {
		r.Log.Error("audit record not written", "event", a.Event, "interaction_id", a.InteractionID, "cause", err.Error())
	}
}

var uuid = regexp.MustCompile(`^[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}$`)

// interactionID is the client's x-fapi-interaction-id when that is a UUID, otherwise a new one: nothing else is echoed.
func interactionID(r *http.Request) string {
	if values := r.Header.Values("X-Fapi-Interaction-Id"); len(values) == 1 && uuid.MatchString(values[0]) {
		return values[0]
	}
	var b [16]byte
	_, _ = rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80 // RFC 9562 §5.4
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// knownMethod keeps a stranger's word out of the metrics' labels.
func knownMethod(method string) string {
	if strings.Contains(" GET HEAD POST PUT DELETE OPTIONS PATCH ", " "+method+" ") {
		return method
	}
	return "other"
}
