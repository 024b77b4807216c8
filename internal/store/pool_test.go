package store_test

import (
	"testing"

	"authserver/internal/store/storetest"
)

// TestPoolSize: a replica opens 16 connections at most, or as many as its URL says.
func TestPoolSize(t *testing.T) {
	url := storetest.URL(t)
	for addition, want := range map[string]int{"": 16, "&pool_max_conns=3": 3, "&pool_max_conns=40": 40} {
		c, err := storetest.Open(t, url+addition).Inspect(t.Context())
		if err != nil || c.Pool != want {
			t.Errorf("%q: %d connections, want %d; %v", addition, c.Pool, want, err)
		}
	}
}
