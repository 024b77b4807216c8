package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"time"

	"authserver/migrations"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

// migrationLockTimeout bounds how long a step may wait for a table, since every request waits behind it meanwhile.
const migrationLockTimeout = 5 * time.Second

// Migration is one step of the schema.
type Migration struct {
	Version   int64
	Name      string    // of its file
	AppliedAt time.Time // zero: pending
}

// Migrate brings the schema up to date and returns the steps that it took. Replicas that start together take turns under a
// session lock, for which each asks once a second during five minutes.
func (s *Store) Migrate(ctx context.Context) ([]Migration, error) {
	var results []*goose.MigrationResult
	err := s.withMigrations(func(p *goose.Provider) (err error) {
		results, err = p.Up(ctx)
		return err
	})
	return taken(results), failure("migrate", err)
}

// MigrateDown takes the last step back. What only that step's tables hold is lost.
func (s *Store) MigrateDown(ctx context.Context) ([]Migration, error) {
	var result *goose.MigrationResult
	err := s.withMigrations(func(p *goose.Provider) (err error) {
		result, err = p.Down(ctx)
		return err
	})
	if errors.Is(err, goose.ErrNoNextVersion) {
		return nil, nil
	}
	if err != nil {
		return nil, failure("migrate down", err)
	}
	return taken([]*goose.MigrationResult{result}), nil
}

func taken(results []*goose.MigrationResult) []Migration {
	var steps []Migration
	for _, r := range results {
		steps = append(steps, Migration{Version: r.Source.Version, Name: path.Base(r.Source.Path)})
	}
	return steps
}

// withMigrations hands out goose on connections of its own: a step may take longer than a request's statement.
func (s *Store) withMigrations(use func(*goose.Provider) error) error {
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 300))
	if err != nil {
		return err
	}
	config := s.pool.Config().ConnConfig
	config.RuntimeParams["statement_timeout"] = "0"
	config.RuntimeParams["lock_timeout"] = fmt.Sprint(migrationLockTimeout.Milliseconds())
	db := stdlib.OpenDB(*config)
	defer db.Close()
	provider, err := goose.NewProvider(goose.DialectPostgres, db, migrations.Files, goose.WithSessionLocker(locker))
	if err != nil {
		return err
	}
	return use(provider)
}

// Migrations are all steps that this program knows, in order, and when each was taken. It only reads, so that the role of
// serve may ask.
func (s *Store) Migrations(ctx context.Context) ([]Migration, error) {
	steps, err := knownMigrations()
	if err != nil {
		return nil, err
	}
	var begun bool
	if err := s.pool.QueryRow(ctx, `SELECT to_regclass('goose_db_version') IS NOT NULL`).Scan(&begun); err != nil {
		return nil, failure("migrations", err)
	}
	if !begun {
		return steps, nil
	}
	rows, _ := s.pool.Query(ctx, `SELECT version_id, tstamp::timestamptz FROM goose_db_version WHERE is_applied`)
	var version int64
	var at time.Time
	_, err = pgx.ForEachRow(rows, []any{&version, &at}, func() error {
		for i := range steps {
			if steps[i].Version == version {
				steps[i].AppliedAt = at
			}
		}
		return nil
	})
	return steps, failure("migrations", err)
}

func knownMigrations() ([]Migration, error) {
	files, err := fs.Glob(migrations.Files, "*.sql")
	if err != nil {
		return nil, err
	}
	var steps []Migration
	for _, name := range files { // sorted by name, and so by number
		number, _, _ := strings.Cut(name, "_")
		version, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("migration %s: %w", name, err)
		}
		steps = append(steps, Migration{Version: version, Name: name})
	}
	return steps, nil
}
