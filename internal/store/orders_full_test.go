//go:build full

package store_test

import "testing"

// TestAllOrders plays what takes minutes: .ci/full builds with the tag.
func TestAllOrders(t *testing.T) {
	s := newStage(t)
	both := spending("spend", by("c", 1, s.ring.assertion, s.ring.proof))
	s.play("sweep, sweep", sweeping(), sweeping())
	s.play("spend, update, delete, sweep", both, updating(), deleting(), sweeping())
}
