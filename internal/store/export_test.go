package store

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// The bounds of the queue, for tests that fill it.
const (
	MaxBatch   = maxBatch
	MaxWaiting = maxWaiting
)

// Unattended is another Store on the connections of s. It has no flusher: its statements go out when a test calls Flush.
func (s *Store) Unattended() *Store {
	return &Store{pool: s.pool, spends: newSpends(), told: unobserved{}}
}

// Flush sends the next statement of an unattended Store and returns how many requests were in it.
func (s *Store) Flush() int {
	batch := s.spends.take()
	if len(batch) > 0 {
		s.flush(batch)
	}
	return len(batch)
}

// Waiting is how many requests wait for the next statement.
func (s *Store) Waiting() int {
	s.spends.mu.Lock()
	defer s.spends.mu.Unlock()
	return len(s.spends.waiting)
}

// SweepSlot sweeps one slot as if the sweeper had just chosen it.
func (s *Store) SweepSlot(ctx context.Context, slot int16) error { return s.sweepSlot(ctx, slot) }

// Failure is what a method makes of an error.
var Failure = failure

// OpenTraced is an unattended Store whose statements a tracer sees.
func OpenTraced(ctx context.Context, url string, tracer pgx.QueryTracer) (*Store, error) {
	return open(ctx, url, tracer)
}
