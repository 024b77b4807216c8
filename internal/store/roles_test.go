package store_test

import (
	"os"
	"strings"
	"testing"

	"authserver/internal/store"
	"authserver/internal/store/storetest"
)

// TestRoles: the role that migrates makes the schema, the role that serves can do everything else and nothing more.
func TestRoles(t *testing.T) {
	database := storetest.Empty(t)
	roles, err := os.ReadFile("../../deploy/postgres/roles.sql")
	if err != nil {
		t.Fatal(err)
	}
	storetest.Execute(t, database, string(roles))
	storetest.Execute(t, database, string(roles)) // it may run again

	serving := storetest.Open(t, storetest.As(t, "authserver_serve", database))
	if _, err := serving.Migrate(t.Context()); err == nil || !strings.Contains(err.Error(), "42501") {
		t.Errorf("the serving role migrates: %v, want insufficient_privilege", err)
	}
	migrating := storetest.Open(t, storetest.As(t, "authserver_migrate", database))
	migrate(t, migrating)
	addClients(t, serving, marker)
	mustAdd(t, serving, false, noon, []store.Imported{store.Created}, gateway(marker))
	if steps, err := serving.Migrations(t.Context()); err != nil || len(steps) == 0 || steps[len(steps)-1].AppliedAt.IsZero() {
		t.Errorf("the serving role sees the steps %v, %v", steps, err)
	}
	if _, stamped, err := serving.Deployment(t.Context()); err != nil || stamped {
		t.Errorf("a stamp before the first start: %v, %v", stamped, err)
	}
	for name, call := range calls(t, serving) {
		if err := call(); err != nil {
			t.Errorf("%s as the serving role: %v", name, err)
		}
	}
	if _, err := serving.MigrateDown(t.Context()); err == nil || !strings.Contains(err.Error(), "42501") {
		t.Errorf("the serving role migrates down: %v, want insufficient_privilege", err)
	}
	plain := connect(t, storetest.As(t, "authserver_serve", database))
	for _, forbidden := range []string{`CREATE TABLE t ()`, `DROP TABLE client`, `ALTER TABLE client DISABLE TRIGGER ALL`, `CREATE ROLE r`} {
		if _, err := plain.Exec(t.Context(), forbidden); err == nil || !strings.Contains(err.Error(), "42501") {
			t.Errorf("%s: %v, want insufficient_privilege", forbidden, err)
		}
	}
	steps, err := migrating.MigrateDown(t.Context())
	if err != nil || len(steps) != 1 {
		t.Errorf("down as the migrating role: %v, %v", steps, err)
	}
}
