package store_test

import (
	"database/sql"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"authserver/internal/store"
	"authserver/internal/store/storetest"
	"authserver/migrations"

	"github.com/google/go-cmp/cmp"
	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

// schema describes everything that a migration may make: columns, constraints, indexes, and partitions.
func schema(t *testing.T, url string) []string {
	t.Helper()
	return ask[[]string](t, connect(t, url), `
		SELECT coalesce(array_agg(line ORDER BY line), '{}') FROM (
			SELECT format('column %s.%s %s default %s null %s', table_name, column_name, data_type, column_default, is_nullable) AS line
				FROM information_schema.columns WHERE table_schema = 'public'
			UNION ALL
			SELECT format('constraint on %s %s', conrelid::regclass, pg_get_constraintdef(oid))
				FROM pg_constraint WHERE connamespace = 'public'::regnamespace
			UNION ALL
			SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'
			UNION ALL
			SELECT format('%s %s of kind %s is a part: %s %s', oid::regclass, relpersistence, relkind, relispartition, pg_get_expr(relpartbound, oid))
				FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind <> 't'
		) AS lines WHERE line NOT LIKE '%goose%'`)
}

// TestMigrateUpDownUp: down leaves nothing behind, and the way up ends in the same schema each time.
func TestMigrateUpDownUp(t *testing.T) {
	url := storetest.Empty(t)
	s := storetest.Open(t, url)
	migrate(t, s)
	first := schema(t, url)
	if !slices.ContainsFunc(first, func(line string) bool { return strings.Contains(line, "spent_7") }) {
		t.Fatalf("no ring in the schema: %q", first)
	}
	down(t, url, 0)
	if diff := cmp.Diff([]string{}, schema(t, url)); diff != "" {
		t.Errorf("left behind (-want +got):\n%s", diff)
	}
	migrate(t, s)
	if diff := cmp.Diff(first, schema(t, url)); diff != "" {
		t.Errorf("the second way up (-first +second):\n%s", diff)
	}
	mustSpend(t, s, by("", 0, proof("key", "1")), spent)
	migrate(t, s) // there is nothing to do
	mustSpend(t, s, by("", 0, proof("key", "1")), replayedProof)
}

func migrate(t *testing.T, s *store.Store) {
	t.Helper()
	if _, err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// down takes the steps behind version back, as an operator would with goose.
func down(t *testing.T, url string, version int64) {
	t.Helper()
	withGoose(t, url, func(p *goose.Provider) error { _, err := p.DownTo(t.Context(), version); return err })
}

// withGoose lets a test take steps of its own choice.
func withGoose(t *testing.T, url string, take func(*goose.Provider) error) {
	t.Helper()
	db, err := sql.Open("pgx", url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	provider, err := goose.NewProvider(goose.DialectPostgres, db, migrations.Files)
	if err != nil {
		t.Fatal(err)
	}
	if err := take(provider); err != nil {
		t.Fatal(err)
	}
}

// TestReplicasMigrateTogether: of replicas that start together on an empty database each finds the schema made once.
func TestReplicasMigrateTogether(t *testing.T) {
	url := storetest.Empty(t)
	var stores []*store.Store
	for range 5 {
		stores = append(stores, storetest.Open(t, url))
	}
	gate := make(chan struct{})
	var all sync.WaitGroup
	for _, s := range stores {
		all.Go(func() {
			<-gate
			if _, err := s.Migrate(t.Context()); err != nil {
				t.Error(err)
			}
			if _, err := s.Spend(t.Context(), by("", 0, proof("key", "1"))); err != nil {
				t.Errorf("after Migrate: %v", err)
			}
		})
	}
	close(gate)
	all.Wait()
	applied := ask[[]int64](t, connect(t, url), `SELECT array_agg(version_id ORDER BY id) FROM goose_db_version WHERE is_applied`)
	steps, err := migrations.Files.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	want := []int64{}
	for version := range int64(len(steps) + 1) { // goose begins with a step 0 of its own
		want = append(want, version)
	}
	if diff := cmp.Diff(want, applied); diff != "" {
		t.Errorf("applied steps (-want +got):\n%s", diff)
	}
}

// TestMigrateTakesTurns: while another session has the lock of migrations, nothing is done to the schema.
func TestMigrateTakesTurns(t *testing.T) {
	url := storetest.Empty(t)
	s, operator := storetest.Open(t, url), connect(t, url)
	execute(t, operator, `SELECT pg_advisory_lock($1)`, lock.DefaultLockID)
	done := make(chan error, 1)
	go func() { _, err := s.Migrate(t.Context()); done <- err }()
	until(t, "Migrate asks for the lock", func() bool {
		return ask[bool](t, operator, `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()
			AND pid <> pg_backend_pid() AND query LIKE '%pg_try_advisory_lock%')`)
	})
	if diff := cmp.Diff([]string{}, schema(t, url)); diff != "" {
		t.Errorf("made without the lock (-want +got):\n%s", diff)
	}
	execute(t, operator, `SELECT pg_advisory_unlock($1)`, lock.DefaultLockID)
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(patience):
		t.Fatal("Migrate never got its turn")
	}
	mustSpend(t, s, by("", 0, proof("key", "1")), spent)
}

// TestMigrateFailure: the error of a step that fails names the step and PostgreSQL's reason, and not the SQL.
func TestMigrateFailure(t *testing.T) {
	url := storetest.Empty(t)
	execute(t, connect(t, url), `CREATE TABLE deployment ()`)
	_, err := storetest.Open(t, url).Migrate(t.Context())
	if err == nil {
		t.Fatal("a step that cannot be taken was taken")
	}
	want := `store: migrate: partial migration error (type:sql,version:1): ERROR: relation "deployment" already exists (SQLSTATE 42P07)`
	if diff := cmp.Diff(want, err.Error()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestStamp: the first call writes, and afterwards only the same mode and issuer are let in.
func TestStamp(t *testing.T) {
	s := storetest.New(t)
	for _, step := range []struct{ mode, issuer, want string }{
		{"serve", "https://issuer.example", ""},
		{"serve", "https://issuer.example", ""},
		{"dev", "https://issuer.example", `this database belongs to an authserver in mode "serve", not "dev"`},
		{"serve", "https://other.example", `this database belongs to the issuer https://issuer.example, not https://other.example`},
		{"serve", "https://issuer.example/", `this database belongs to the issuer https://issuer.example, not https://issuer.example/`},
		{"dev", "https://other.example", `this database belongs to an authserver in mode "serve", not "dev"`},
		{"serve", "https://issuer.example", ""},
	} {
		err := s.Stamp(t.Context(), step.mode, step.issuer, noon)
		got := ""
		if err != nil {
			got = err.Error()
		}
		if diff := cmp.Diff(step.want, got); diff != "" || isTemporary(err) {
			t.Errorf("%s %s (-want +got):\n%s", step.mode, step.issuer, diff)
		}
	}
	if err := storetest.New(t).Stamp(t.Context(), "neither", "https://issuer.example", noon); err == nil || isTemporary(err) {
		t.Errorf("a mode that there is not: %v", err)
	}
}

// TestReplicasStampTogether: of those that stamp an empty database at once, one decides for all.
func TestReplicasStampTogether(t *testing.T) {
	for range 10 {
		_, stores := replicas(t)
		errs := make([]error, len(stores))
		gate := make(chan struct{})
		var all sync.WaitGroup
		for i, s := range stores {
			issuer := []string{"https://one.example", "https://one.example", "https://two.example"}[i]
			all.Go(func() {
				<-gate
				errs[i] = s.Stamp(t.Context(), "serve", issuer, noon)
			})
		}
		close(gate)
		all.Wait()
		one, same, two := errs[0], errs[1], errs[2]
		if (one == nil) != (same == nil) || (one == nil) == (two == nil) {
			t.Errorf("two of one issuer and one of another: %v; %v; %v", one, same, two)
		}
	}
}

// TestMigrationsOnlyAdd: schema N runs with program N−1 (UPGRADING.md), so a step takes nothing away that an older program
// uses, and every new column has a default or may be null.
func TestMigrationsOnlyAdd(t *testing.T) {
	forbidden := regexp.MustCompile(`(?i)\b(DROP\s+(TABLE|COLUMN)|RENAME|ALTER\s+COLUMN\s+\w+\s+(TYPE|SET\s+NOT\s+NULL)|TRUNCATE)\b`)
	required := regexp.MustCompile(`(?i)ADD\s+COLUMN\s+(\w+)[^,;]*\bNOT\s+NULL\b[^,;]*`)
	files, err := migrations.Files.ReadDir(".")
	if err != nil || len(files) < 2 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		text, err := migrations.Files.ReadFile(file.Name())
		if err != nil {
			t.Fatal(err)
		}
		up, _, found := strings.Cut(string(text), "-- +goose Down")
		if !found {
			t.Errorf("%s has no way down", file.Name())
		}
		if what := forbidden.FindString(up); what != "" {
			t.Errorf("%s: %s", file.Name(), what)
		}
		for _, column := range required.FindAllString(up, -1) {
			if !strings.Contains(strings.ToUpper(column), "DEFAULT") {
				t.Errorf("%s: an older program does not fill %q", file.Name(), column)
			}
		}
	}
}

// TestHashesOnly: where a hash belongs the database takes no secret, whatever its length.
func TestHashesOnly(t *testing.T) {
	conn := connect(t, storetest.URL(t))
	for table, columns := range map[string][]string{
		"pushed_request": {"id"}, "interaction": {"id", "departure"}, "authorization_code": {"id"}, "session": {"id"},
		"authorization_grant": {"refresh_token"},
	} {
		for _, column := range columns {
			checks := ask[[]string](t, conn, `SELECT coalesce(array_agg(pg_get_constraintdef(oid)), '{}') FROM pg_constraint
				WHERE conrelid = $1::text::regclass AND contype = 'c'`, table)
			if want := "CHECK ((octet_length(" + column + ") = 32))"; !slices.Contains(checks, want) {
				t.Errorf("%s.%s may hold what is no hash: %q", table, column, checks)
			}
		}
	}
}
