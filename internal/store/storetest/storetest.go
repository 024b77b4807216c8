// Package storetest gives every test a database of its own on a real, private PostgreSQL: one server for each test
// binary, one migrated template, one clone for each test.
package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	neturl "net/url"
	"sync"
	"sync/atomic"
	"testing"

	"authserver/internal/leaveout"
	"authserver/internal/store"
	"authserver/internal/store/pglocal"

	"github.com/jackc/pgx/v5"
)

// server is the private PostgreSQL of this test binary. It is started by the first test that needs it and ends with the
// process.
var server = sync.OnceValues(func() (*pglocal.Server, error) {
	pg, err := pglocal.Start(context.Background(), pglocal.Options{Fast: true})
	if err != nil {
		return nil, err
	}
	template, err := create(pg, "template", "template1")
	if err != nil {
		return nil, err
	}
	s, err := store.Open(context.Background(), template)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	_, err = s.Migrate(context.Background())
	return pg, err
})

var count atomic.Int64

// URL is a migrated database that is this test's alone. Without PostgreSQL's binaries the test is left out, and
// TestPostgresAvailable is the one that fails.
func URL(t testing.TB) string {
	t.Helper()
	pg, err := server()
	var missing *pglocal.Missing
	if errors.As(err, &missing) {
		leaveout.Test(t, "PostgreSQL's binaries are missing, see TestPostgresAvailable")
	}
	if err != nil {
		t.Fatal(err)
	}
	url, err := create(pg, fmt.Sprintf("test_%d", count.Add(1)), "template")
	if err != nil {
		t.Fatal(err)
	}
	return url
}

// Empty is a database that is this test's alone, without any schema.
func Empty(t testing.TB) string {
	t.Helper()
	URL(t) // leaves the test out where PostgreSQL's binaries are missing
	pg, err := server()
	if err != nil {
		t.Fatal(err)
	}
	url, err := create(pg, fmt.Sprintf("empty_%d", count.Add(1)), "template0")
	if err != nil {
		t.Fatal(err)
	}
	return url
}

// As is a database's URL for another role. The superuser is called authserver.
func As(t testing.TB, role, database string) string {
	t.Helper()
	u, err := neturl.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	u.User = neturl.User(role)
	return u.String()
}

// Execute runs statements as an operator would, past the Store.
func Execute(t testing.TB, database, statements string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(t.Context(), statements); err != nil {
		t.Fatal(err)
	}
}

// Dump is every value of every table by "table.column": its text, and behind it the octets of a bytea, line by line.
func Dump(t testing.TB, database string) map[string]string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	type column struct{ Table, Column, Type string }
	rows, err := conn.Query(t.Context(), `
		SELECT c.table_name, c.column_name, c.data_type
		FROM information_schema.columns c JOIN information_schema.tables t USING (table_schema, table_name)
		WHERE table_schema = 'public' AND t.table_type = 'BASE TABLE'`)
	if err != nil {
		t.Fatal(err)
	}
	columns, err := pgx.CollectRows(rows, pgx.RowToStructByPos[column])
	if err != nil {
		t.Fatal(err)
	}
	dump := map[string]string{}
	for _, c := range columns {
		spellings := []string{"::text"}
		if c.Type == "bytea" {
			spellings = append(spellings, "")
		}
		var values [][]byte
		for _, as := range spellings {
			rows, err := conn.Query(t.Context(), fmt.Sprintf(`SELECT x%s FROM (SELECT %s FROM %s) AS c (x) WHERE x IS NOT NULL`,
				as, pgx.Identifier{c.Column}.Sanitize(), pgx.Identifier{c.Table}.Sanitize()))
			if err != nil {
				t.Fatal(err)
			}
			found, err := pgx.CollectRows(rows, pgx.RowTo[[]byte])
			if err != nil {
				t.Fatal(err)
			}
			values = append(values, found...)
		}
		dump[c.Table+"."+c.Column] = string(bytes.Join(values, []byte("\n")))
	}
	return dump
}

// Open opens another Store on a database, as another replica would, and closes it with the test.
func Open(t testing.TB, url string) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// New is a Store on a database of the test's own.
func New(t testing.TB) *store.Store {
	t.Helper()
	return Open(t, URL(t))
}

// creating takes turns, since PostgreSQL clones a template only while nobody else is connected to it.
var creating sync.Mutex

func create(pg *pglocal.Server, name, template string) (url string, err error) {
	creating.Lock()
	defer creating.Unlock()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, pg.URL("postgres"))
	if err != nil {
		return "", err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, `CREATE DATABASE `+pgx.Identifier{name}.Sanitize()+` TEMPLATE `+pgx.Identifier{template}.Sanitize())
	return pg.URL(name), err
}
