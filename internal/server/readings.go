package server

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Readings are numbers that others keep. They are read when /metrics is asked for.
type Readings struct {
	Health      *Health
	Database    func() Database
	SigningKeys func() map[string]SigningKey // by algorithm
	// CertificateExpiry is when the certificate ends that this replica answers TLS with; nil: a proxy ends TLS.
	CertificateExpiry func() time.Time
}

// Database is the state of the connections to the database.
type Database struct {
	InUse, Idle, Max int
	Waits            int64         // requests for a connection that had to wait for one
	Waited           time.Duration // by all of them together
}

// SigningKey is the key that signs with one algorithm.
type SigningKey struct {
	Since time.Time
	Until time.Time // when another takes its place; zero: when the operator says so
}

// Read adds readings to the metrics, once.
func (m *Metrics) Read(r Readings) {
	f := factory{promauto.With(m.registry)}
	for _, check := range r.Health.checks() {
		labels := prometheus.Labels{"check": check.Name}
		f.reading("ready", "Whether a check of this replica's readiness is well: 1 or 0.", labels, func() float64 {
			if check.well(context.Background()) {
				return 1
			}
			return 0
		})
	}
	const connections = "Connections to the database: in_use or idle."
	f.reading("database_connections", connections, prometheus.Labels{"state": "in_use"}, func() float64 { return float64(r.Database().InUse) })
	f.reading("database_connections", connections, prometheus.Labels{"state": "idle"}, func() float64 { return float64(r.Database().Idle) })
	f.reading("database_connections_max", "Connections to the database that this replica may open.", nil, func() float64 { return float64(r.Database().Max) })
	f.count("database_connection_waits_total", "Requests for a database connection that had to wait for one.", func() float64 { return float64(r.Database().Waits) })
	f.count("database_connection_wait_seconds_total", "Time that requests for a database connection have waited, together.",
		func() float64 { return r.Database().Waited.Seconds() })
	for alg, key := range r.SigningKeys() {
		labels := prometheus.Labels{"alg": alg}
		f.reading("signing_key_since_timestamp_seconds", "Since when the key of an algorithm signs, in Unix time.", labels,
			func() float64 { return unix(r.SigningKeys()[alg].Since) })
		if !key.Until.IsZero() {
			f.reading("signing_key_until_timestamp_seconds", "When another key takes its place, in Unix time; absent where the operator rotates by hand.", labels,
				func() float64 { return unix(r.SigningKeys()[alg].Until) })
		}
	}
	if r.CertificateExpiry != nil {
		f.reading("certificate_expiry_timestamp_seconds", "When the first of the server's certificates ends, in Unix time; absent where a proxy ends TLS.", nil,
			func() float64 { return unix(r.CertificateExpiry()) })
	}
}

func unix(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

func (f factory) reading(name, help string, labels prometheus.Labels, read func() float64) {
	f.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "authserver", Name: name, Help: help, ConstLabels: labels}, read)
}

func (f factory) count(name, help string, read func() float64) {
	f.NewCounterFunc(prometheus.CounterOpts{Namespace: "authserver", Name: name, Help: help}, read)
}
