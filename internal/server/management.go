package server

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Check is one named condition of being ready.
type Check struct {
	Name   string
	Shared bool // the shared database: a fault of it is everybody's, so it does not take one replica out of traffic
	Run    func(ctx context.Context) error
}

// Health knows whether this replica is ready. Its checks run side by side, each at most one second.
type Health struct {
	Checks []Check

	draining atomic.Bool
}

const checkTimeout = time.Second

// Drain makes the replica not ready, so that the load balancer sends no more.
func (h *Health) Drain() { h.draining.Store(true) }

// checks are all checks: the replica's, and that it is not about to end.
func (h *Health) checks() []Check {
	return append([]Check{{Name: "draining", Run: func(context.Context) error {
		if h.draining.Load() {
			return errors.New("this replica is shutting down")
		}
		return nil
	}}}, h.Checks...)
}

// report runs the checks and returns their states by name, and whether all are well.
func (h *Health) report(ctx context.Context, forTraffic bool) (map[string]string, bool) {
	var mu sync.Mutex
	var running sync.WaitGroup
	states, ready := map[string]string{}, true
	for _, c := range h.checks() {
		running.Go(func() {
			state := "ok"
			if !c.well(ctx) {
				state = "failed"
			}
			mu.Lock()
			defer mu.Unlock()
			states[c.Name] = state
			if state != "ok" && !(c.Shared && forTraffic) {
				ready = false
			}
		})
	}
	running.Wait()
	return states, ready
}

// well runs the check. Why it failed is for the log of what it looked at, not for whoever asks.
func (c Check) well(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	return c.Run(ctx) == nil
}

// Management is the management listener's handler: health, metrics and version.
func Management(h *Health, m *Metrics, version string) http.Handler {
	r := chi.NewRouter()
	r.Get("/livez", func(w http.ResponseWriter, _ *http.Request) { writeStates(w, true, map[string]string{"process": "ok"}) })
	r.Get("/readyz", func(w http.ResponseWriter, req *http.Request) {
		states, ready := h.report(req.Context(), req.URL.Query().Get("for") == "traffic")
		writeStates(w, ready, states)
	})
	r.Get("/version", func(w http.ResponseWriter, _ *http.Request) {
		writeStates(w, true, map[string]string{"version": version})
	})
	r.Handle("/metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{}))
	return r
}

func writeStates(w http.ResponseWriter, well bool, states map[string]string) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if !well {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_ = json.NewEncoder(w).Encode(states)
}
