package server

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"
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

	mu       sync.Mutex
	draining bool
}

const checkTimeout = time.Second

// Drain makes the replica not ready, so that the load balancer sends no more.
func (h *Health) Drain() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.draining = true
}

// report runs the checks and returns their states by name, and whether all are well.
func (h *Health) report(ctx context.Context, forTraffic bool) (map[string]string, bool) {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	h.mu.Lock()
	states, ready := map[string]string{"draining": "ok"}, !h.draining
	if h.draining {
		states["draining"] = "this replica is shutting down"
	}
	h.mu.Unlock()
	var mu sync.Mutex
	var running sync.WaitGroup
	for _, c := range h.Checks {
		running.Go(func() {
			state := "ok"
			if err := c.Run(ctx); err != nil {
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

// Management is the management listener's handler: health, metrics and version.
func Management(h *Health, record *Record, version string) http.Handler {
	r := chi.NewRouter()
	r.Get("/livez", func(w http.ResponseWriter, _ *http.Request) { writeStates(w, true, map[string]string{"process": "ok"}) })
	r.Get("/readyz", func(w http.ResponseWriter, req *http.Request) {
		states, ready := h.report(req.Context(), req.URL.Query().Get("for") == "traffic")
		writeStates(w, ready, states)
	})
	r.Get("/version", func(w http.ResponseWriter, _ *http.Request) {
		writeStates(w, true, map[string]string{"version": version})
	})
	r.Handle("/metrics", promhttp.HandlerFor(record.registry, promhttp.HandlerOpts{}))
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
