package server

import (
	"cmp"
	"context"
	"errors"
	"runtime"
	"strconv"
	"time"

	"authserver/internal/audit"
	"authserver/internal/client"
	"authserver/internal/oauth"
	"authserver/internal/replay"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Metrics are what this replica counts. docs/metrics.md has the same names, labels and meanings; a test compares them.
// Every label is bounded: route patterns, methods of the table, status codes, reasons and words of ours, never what a
// client sends. The rooms below know nothing of this one: each declares an Observer, and Metrics is all of them.
type Metrics struct {
	registry *prometheus.Registry

	requests        *prometheus.CounterVec
	refusals        *prometheus.CounterVec
	duration        *prometheus.HistogramVec
	inFlight        prometheus.Gauge
	tokens          *prometheus.CounterVec
	authentications *prometheus.CounterVec
	introspections  *prometheus.CounterVec
	signIns         *prometheus.CounterVec
	decisions       *prometheus.CounterVec
	spends          *prometheus.CounterVec
	batches         prometheus.Histogram
	flushes         prometheus.Histogram
	fetches         *prometheus.HistogramVec
	staleSets       prometheus.Counter
	clockOffset     prometheus.Gauge
	swept           prometheus.Gauge
	unswept         prometheus.Gauge
	audited         *prometheus.CounterVec
	auditFailures   prometheus.Counter
}

// latencies are bucket bounds in seconds, from a look into memory to the patience of a client.
var latencies = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}

// NewMetrics makes the metrics of a replica that runs this version of the program.
func NewMetrics(version string) *Metrics {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	f := factory{promauto.With(registry)}
	m := &Metrics{
		registry:        registry,
		requests:        f.counters("http_requests_total", "Requests answered.", "route", "method", "status"),
		refusals:        f.counters("refusals_total", "Refusals, by the reason that the response's error_uri names.", "reason"),
		duration:        f.histograms("http_request_duration_seconds", "Time from a request's header to the end of its answer.", "route"),
		inFlight:        f.gauge("http_requests_in_flight", "Requests that are being answered."),
		tokens:          f.counters("tokens_issued_total", "Access tokens issued.", "grant_type", "token_type"),
		authentications: f.counters("client_authentications_total", "Client authentications: ok, or the reason of the refusal.", "result"),
		introspections:  f.counters("introspection_answers_total", "Introspection answers: active or inactive.", "state"),
		signIns:         f.counters("sign_ins_total", "Attempts of people to sign in: success or denied.", "outcome"),
		decisions:       f.counters("decisions_total", "What people answered to a client's request: approved or denied.", "decision"),
		spends:          f.counters("spends_total", "Requests that came to use up their assertion or proof: spent, replayed, stale (the record of the client, or of the issuer that vouches, had changed), failed (the database), abandoned (the client left).", "outcome"),
		batches:         f.histogram("spend_batch_requests", "Requests in one statement of the replay store.", prometheus.ExponentialBuckets(1, 2, 10)),
		flushes:         f.histogram("spend_flush_duration_seconds", "Time that one statement of the replay store took.", latencies),
		fetches:         f.histograms("key_set_fetch_duration_seconds", "Fetches of the key sets of clients and trusted issuers: ok, unusable (what came is no key set), refused (the address is not allowed), failed (nothing came).", "result"),
		staleSets:       f.counter("key_sets_served_stale_total", "Requests judged, and answers encrypted, by a key set that is past its age because its host does not answer."),
		clockOffset:     f.gauge("clock_offset_seconds", "This replica's clock less the database's."),
		swept:           f.gauge("sweep_last_success_timestamp_seconds", "When this replica last swept with success, the replay store and what is kept no longer, in Unix time."),
		unswept:         f.gauge("sweep_slots_waiting", "Slots of the replay store that may be emptied and are not."),
		audited:         f.counters("audit_records_total", "Audit records written.", "event"),
		auditFailures:   f.counter("audit_failures_total", "Audit records that could not be written."),
	}
	f.gauges("build_info", "Always 1; the labels tell the program's version and the Go release that built it.", "version", "go").
		WithLabelValues(version, runtime.Version()).Set(1)
	m.beginAtZero()
	return m
}

// beginAtZero makes the counters whose labels are known before anything is counted: a first event is then an increase.
func (m *Metrics) beginAtZero() {
	for _, outcome := range []string{"spent", "replayed", "stale", "failed", "abandoned"} {
		m.spends.WithLabelValues(outcome)
	}
	for _, result := range client.FetchResults() {
		m.fetches.WithLabelValues(string(result))
	}
	for _, event := range audit.Events() {
		m.audited.WithLabelValues(string(event))
	}
	for _, state := range []string{"active", "inactive"} {
		m.introspections.WithLabelValues(state)
	}
	for _, outcome := range []audit.Outcome{audit.Success, audit.Denied} {
		m.signIns.WithLabelValues(string(outcome))
	}
	for _, decision := range []string{"approved", "denied"} {
		m.decisions.WithLabelValues(decision)
	}
	m.authentications.WithLabelValues("ok")
}

// answered counts a request from what its record holds.
func (m *Metrics) answered(e *entry, method string, took time.Duration) {
	m.requests.WithLabelValues(e.route.path, method, strconv.Itoa(e.status)).Inc()
	m.duration.WithLabelValues(e.route.path).Observe(took.Seconds())
	if e.refusal != nil && e.status != statusClientGone {
		m.refusals.WithLabelValues(string(e.refusal.Reason)).Inc()
	}
	switch {
	case e.refusal != nil && e.refusal.Code() == oauth.InvalidClient:
		m.authentications.WithLabelValues(string(e.refusal.Reason)).Inc()
	case e.route.clients && e.notes[oauth.FieldClient] != "" && e.notes[oauth.FieldActor] != string(audit.Issuer):
		m.authentications.WithLabelValues("ok").Inc()
	}
	if state := e.notes[oauth.FieldTokenState]; state != "" {
		m.introspections.WithLabelValues(state).Inc()
	}
	switch audit.Event(e.notes[oauth.FieldEvent]) {
	case audit.TokenIssued:
		m.tokens.WithLabelValues(e.notes[oauth.FieldGrant], e.notes[oauth.FieldTokenType]).Inc()
	case audit.PersonSignedIn:
		m.signIns.WithLabelValues(cmp.Or(e.notes[oauth.FieldOutcome], string(audit.Success))).Inc()
	case audit.GrantApproved:
		m.decisions.WithLabelValues("approved").Inc()
	case audit.GrantDenied:
		m.decisions.WithLabelValues("denied").Inc()
	}
}

// Spent and Flushed make Metrics the replay store's observer.
func (m *Metrics) Spent(o replay.Outcome, err error) {
	outcome := "spent"
	switch {
	case errors.Is(err, context.Canceled):
		outcome = "abandoned"
	case err != nil:
		outcome = "failed"
	case o.Stale:
		outcome = "stale"
	case o.Replayed != "":
		outcome = "replayed"
	}
	m.spends.WithLabelValues(outcome).Inc()
}

// Flushed counts one statement of the replay store.
func (m *Metrics) Flushed(requests int, took time.Duration) {
	m.batches.Observe(float64(requests))
	m.flushes.Observe(took.Seconds())
}

// Fetched and ServedStale make Metrics the key sets' observer.
func (m *Metrics) Fetched(result client.FetchResult, took time.Duration) {
	m.fetches.WithLabelValues(string(result)).Observe(took.Seconds())
}

// ServedStale counts a request that was judged, or whose answer is encrypted, by a key set past its age.
func (m *Metrics) ServedStale() { m.staleSets.Inc() }

// audit counts an audit record, which err tells was not written.
func (m *Metrics) audit(event audit.Event, err error) {
	if err != nil {
		m.auditFailures.Inc()
		return
	}
	m.audited.WithLabelValues(string(event)).Inc()
}

// ClockMeasured keeps how far this clock is ahead of the database's.
func (m *Metrics) ClockMeasured(offset time.Duration) { m.clockOffset.Set(offset.Seconds()) }

// Swept keeps when the replay store was swept.
func (m *Metrics) Swept(at time.Time) { m.swept.Set(unix(at)) }

// Unswept keeps how many slots of the replay store wait for a sweep.
func (m *Metrics) Unswept(slots int) { m.unswept.Set(float64(slots)) }

// factory makes and registers metrics under the program's prefix.
type factory struct{ promauto.Factory }

func (f factory) counters(name, help string, labels ...string) *prometheus.CounterVec {
	return f.NewCounterVec(prometheus.CounterOpts{Namespace: "authserver", Name: name, Help: help}, labels)
}

func (f factory) counter(name, help string) prometheus.Counter {
	return f.NewCounter(prometheus.CounterOpts{Namespace: "authserver", Name: name, Help: help})
}

func (f factory) gauges(name, help string, labels ...string) *prometheus.GaugeVec {
	return f.NewGaugeVec(prometheus.GaugeOpts{Namespace: "authserver", Name: name, Help: help}, labels)
}

func (f factory) gauge(name, help string) prometheus.Gauge {
	return f.NewGauge(prometheus.GaugeOpts{Namespace: "authserver", Name: name, Help: help})
}

func (f factory) histograms(name, help string, labels ...string) *prometheus.HistogramVec {
	return f.NewHistogramVec(prometheus.HistogramOpts{Namespace: "authserver", Name: name, Help: help, Buckets: latencies}, labels)
}

func (f factory) histogram(name, help string, buckets []float64) prometheus.Histogram {
	return f.NewHistogram(prometheus.HistogramOpts{Namespace: "authserver", Name: name, Help: help, Buckets: buckets})
}
