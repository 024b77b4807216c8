package main

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// operate runs statements as a database's operator would. An empty name is the deployment's own database.
func (d *deployment) operate(t *testing.T, database string, statements ...string) {
	t.Helper()
	config, err := pgx.ParseConfig(d.url)
	if err != nil {
		t.Fatal(err)
	}
	if database != "" {
		config.Database = database
	}
	c, err := pgx.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(t.Context())
	for _, statement := range statements {
		if _, err := c.Exec(t.Context(), statement); err != nil {
			t.Fatal(statement, err)
		}
	}
}

// revocationWithoutStorage: what is not on the deny-list was not revoked, and the answer says so.
func revocationWithoutStorage(t *testing.T, _ *deployment) {
	d := deploy(t, 1, nil)
	config, err := pgx.ParseConfig(d.url)
	if err != nil {
		t.Fatal(err)
	}
	name := pgx.Identifier{config.Database}.Sanitize()
	c, faults := d.register(0), 0
	for _, fault := range []struct {
		what       string
		database   string
		begin, end []string
	}{
		{"the disk is full when the token is denied, after the assertion was spent", "", []string{
			`CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
				IF current_query() LIKE '%WITH current%' THEN RETURN NEW; END IF;
				RAISE EXCEPTION 'disk full' USING ERRCODE = '53100';
			END $$`,
			`CREATE TRIGGER full_disk BEFORE INSERT ON spent FOR EACH ROW EXECUTE FUNCTION full_disk()`,
		}, []string{`DROP TRIGGER full_disk ON spent`}},
		{"the database is gone", "postgres", []string{
			`ALTER DATABASE ` + name + ` ALLOW_CONNECTIONS false`,
			`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '` + config.Database + `'`,
		}, []string{`ALTER DATABASE ` + name + ` ALLOW_CONNECTIONS true`}},
	} {
		access := tokenFor(t, c, nil)
		d.operate(t, fault.database, fault.begin...)
		for range 20 { // more than the pool holds, so that no connection of before is left
			e, err := c.Server.Send(t.Context(), c.RevokeRequest(access))
			if err != nil {
				t.Fatal(err)
			}
			if e.Outcome() != "503 temporarily_unavailable" || e.ResponseHeader.Get("Retry-After") == "" || inside.MatchString(e.ResponseBody) ||
				e.ResponseHeader.Get("Cache-Control") != "no-store" {
				t.Errorf("%s: %s %v %s", fault.what, e.Outcome(), e.ResponseHeader, e.ResponseBody)
			}
			faults++
		}
		d.operate(t, fault.database, fault.end...)
		d.wantActive(c, access, true)
		outcome(t, do(t, c.Server, c.RevokeRequest(access)), "200")
		d.wantActive(c, access, false)
	}
	eventually(t, "the operator learns of every fault", func() bool {
		return strings.Count(d.logs.String(), `"reason":"temporarily_unavailable"`) == faults
	})
}
