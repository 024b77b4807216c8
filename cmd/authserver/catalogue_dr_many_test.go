package main

import (
	"net/http"
	"testing"
	"time"

	"authserver/internal/flow"
	"authserver/internal/store/storetest"
)

// manyClients: DR-24. Latency grows with the clients where a table is read from its beginning, so it is that which is looked
// for, by PostgreSQL's own count of the rows that were read so; BenchmarkFindClient has the times. The deployment is one of
// its own: nobody else's requests are counted.
func manyClients(t *testing.T, _ *deployment) {
	const others = 100_000
	d := deploy(t, 1, nil)
	c, leaving := d.register(0, codeGrant("https://c.example/cb").apply,
		changes{"grant_types": []string{"authorization_code", "client_credentials"}}.apply), d.register(0)
	storetest.Execute(t, d.url, `
		INSERT INTO client (id, issued_at, updated_at, metadata, registration_token_hash)
			SELECT 'other-' || n, issued_at, updated_at, metadata, sha256(n::text::bytea)
			FROM (SELECT * FROM client WHERE registrar IS FALSE LIMIT 1) AS one, generate_series(1, 100000) AS n;
		INSERT INTO client_key_set (client_id, uri, raw, fetched_at)
			SELECT 'other-' || n, 'https://c.example/jwks', '{"keys":[]}', now() FROM generate_series(1, 100000) AS n;
		ANALYZE`)
	if n := d.clientRows(t); n < others {
		t.Fatalf("%d clients", n)
	}
	d.stops[0]()
	d.wantConnections(t, 1) // d.store's
	storetest.Execute(t, d.url, `SELECT pg_stat_reset()`)
	d.restart() // nothing is in memory

	c, leaving = d.at(c, 0), d.at(leaving, 0)
	access := tokenFor(t, c, nil)
	for _, r := range []*flow.Request{c.IntrospectRequest(access), c.RevokeRequest(access), c.ManageRequest(http.MethodGet, nil),
		c.ManageRequest(http.MethodPut, metadata(c.Key, codeGrant("https://c.example/cb").apply))} {
		d.expect(c, r, "200")
	}
	d.expect(c, c.PushRequest(flow.NewPKCE().Parameters("https://c.example/cb", "fdx:accountbasic:read", "s")), "201")
	d.register(0)
	d.expect(leaving, leaving.ManageRequest(http.MethodDelete, nil), "204")
	d.stops[0]() // what a connection counted is told at its end, at the latest

	d.wantConnections(t, 1)
	for _, table := range []string{"client", "client_key_set"} {
		found := one[int](t, d, `SELECT coalesce(idx_scan, 0) FROM pg_stat_user_tables WHERE relname = $1`, table)
		read := one[int](t, d, `SELECT seq_tup_read FROM pg_stat_user_tables WHERE relname = $1`, table)
		if found == 0 || read >= others {
			t.Errorf("%s: %d looks into an index, and %d rows read one after the other", table, found, read)
		}
	}
}

// wantConnections waits until no more connections are open to the database but so many, and this one.
func (d *deployment) wantConnections(t *testing.T, most int) {
	t.Helper()
	const others = `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend'
		AND pid <> pg_backend_pid()`
	for range 500 {
		if one[int](t, d, others) <= most {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatalf("%d connections are still open", one[int](t, d, others))
}
