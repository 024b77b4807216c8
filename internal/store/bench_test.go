package store_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"authserver/internal/replay"
	"authserver/internal/store/pglocal"
	"authserver/internal/store/storetest"
)

// BenchmarkSpend is for figures: an assertion and a proof per request, 1,000 clients, so many requests in flight. Its
// PostgreSQL commits to the disk, which those of the tests do not.
func BenchmarkSpend(b *testing.B) {
	pg, err := pglocal.Start(b.Context(), pglocal.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { pg.Stop() })
	s := storetest.Open(b, pg.URL("authserver"))
	if _, err := s.Migrate(b.Context()); err != nil {
		b.Fatal(err)
	}
	var ids []string
	for i := range 1000 {
		ids = append(ids, fmt.Sprintf("client-%04d", i))
	}
	addClients(b, s, ids...)
	var count atomic.Int64
	for _, inFlight := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("in-flight=%d", inFlight), func(b *testing.B) {
			var left atomic.Int64
			left.Store(int64(b.N))
			now := time.Now()
			var all sync.WaitGroup
			for range inFlight {
				all.Go(func() {
					for left.Add(-1) >= 0 {
						n := count.Add(1)
						id, jti := ids[n%int64(len(ids))], fmt.Sprint(n)
						outcome, err := s.Spend(b.Context(), by(id, 1,
							replay.NewUse(replay.Assertion, id, jti, now.Add(time.Minute)), replay.NewUse(replay.Proof, "key of "+id, jti, now)))
						if err != nil || outcome != spent {
							b.Errorf("%+v, %v", outcome, err)
							return
						}
					}
				})
			}
			all.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "requests/s")
		})
	}
}

// BenchmarkFindClient (DR-24) is what a request costs whose client is in no replica's memory, among a hundred clients and among
// a hundred thousand, each asked for in its turn.
func BenchmarkFindClient(b *testing.B) {
	for _, n := range []int{100, 100_000} {
		b.Run(fmt.Sprintf("clients=%d", n), func(b *testing.B) {
			url := storetest.URL(b)
			s := storetest.Open(b, url)
			addClients(b, s, "client-0")
			storetest.Execute(b, url, fmt.Sprintf(`
				INSERT INTO client (id, issued_at, updated_at, metadata, registration_token_hash)
					SELECT 'client-' || n, issued_at, updated_at, metadata, registration_token_hash
					FROM client, generate_series(1, %d) AS n;
				ANALYZE`, n-1))
			for i := 0; b.Loop(); i++ {
				id := fmt.Sprintf("client-%d", i*7919%n)
				if _, found, err := s.FindClient(b.Context(), id); !found || err != nil {
					b.Fatal(id, found, err)
				}
			}
		})
	}
}
