package server

import (
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"runtime/debug"
	"strings"
	"time"

	"authserver/internal/oauth"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// Record keeps one log record and the metrics of every request. The log's fields are those of entry.log and no others.
type Record struct {
	log      *slog.Logger
	registry *prometheus.Registry
	now      func() time.Time
	requests *prometheus.CounterVec
	refusals *prometheus.CounterVec
	duration *prometheus.HistogramVec
	inFlight prometheus.Gauge
}

// NewRecord makes the metrics. Their labels are bounded: route patterns, methods of the table, status codes, reasons.
func NewRecord(log *slog.Logger, now func() time.Time) *Record {
	r := &Record{
		log:      log,
		registry: prometheus.NewRegistry(),
		now:      now,
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "authserver_http_requests_total", Help: "Requests answered, by route, method and status.",
		}, []string{"route", "method", "status"}),
		refusals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "authserver_refusals_total", Help: "Refusals, by the reason that the response's error_uri names.",
		}, []string{"reason"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "authserver_http_request_duration_seconds", Help: "Time from the request's header to the end of its answer.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"route"}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "authserver_http_requests_in_flight", Help: "Requests that are being answered.",
		}),
	}
	r.registry.MustRegister(r.requests, r.refusals, r.duration, r.inFlight,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// entry is the record of one request while it is answered. It stands in for the response writer.
type entry struct {
	http.ResponseWriter
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
func (r *Record) around(route string, pages oauth.Pages, h oauth.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		start := r.now()
		r.inFlight.Inc()
		defer r.inFlight.Dec()
		id := interactionID(req)
		w.Header().Set("X-Fapi-Interaction-Id", id)
		w.Header().Set("X-Content-Type-Options", "nosniff")
		e := &entry{ResponseWriter: w, notes: map[oauth.Field]string{}}
		pages.Serve(survive(h)).ServeHTTP(e, req)
		r.keep(e, req, route, id, r.now().Sub(start))
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

// keep writes the one log record of a request and counts it.
func (r *Record) keep(e *entry, req *http.Request, route, id string, took time.Duration) {
	if e.status == 0 {
		e.status = http.StatusOK
	}
	method := knownMethod(req.Method)
	r.requests.WithLabelValues(route, method, fmt.Sprint(e.status)).Inc()
	r.duration.WithLabelValues(route).Observe(took.Seconds())
	attrs := []slog.Attr{
		slog.String("interaction_id", id),
		slog.String("method", method),
		slog.String("route", route),
		slog.Int("status", e.status),
		slog.Int("bytes", e.bytes),
		slog.Float64("ms", float64(took.Microseconds())/1000),
		slog.String("peer", oauth.Peer(req)),
	}
	for _, f := range []oauth.Field{oauth.FieldClient, oauth.FieldGrant, oauth.FieldScope, oauth.FieldToken} {
		if v := e.notes[f]; v != "" {
			attrs = append(attrs, slog.String(string(f), v))
		}
	}
	level := slog.LevelInfo
	if refusal := e.refusal; refusal != nil {
		r.refusals.WithLabelValues(string(refusal.Reason)).Inc()
		attrs = append(attrs, slog.String("reason", string(refusal.Reason)), slog.String("description", oauth.Printable(refusal.Description)))
		if refusal.Cause != nil {
			attrs = append(attrs, slog.String("cause", refusal.Cause.Error()))
		}
		if e.status >= 500 {
			level = slog.LevelError
		}
	}
	r.log.LogAttrs(req.Context(), level, "request", attrs...)
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
