package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"authserver/migrations"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

const (
	connectTimeout   = 2 * time.Second
	statementTimeout = 3 * time.Second
	poolSize         = 16
)

// Store is the database.
type Store struct {
	pool   *pgxpool.Pool
	spends *spends
}

// CheckURL tells what is wrong with a database URL without repeating it: it may hold a password.
func CheckURL(url string) error {
	if _, err := pgxpool.ParseConfig(url); err != nil {
		return errors.New("it cannot be read as a PostgreSQL URL")
	}
	return nil
}

// Open connects to the database at url and starts the flusher of Spend. It does not wait for the database to answer.
func Open(ctx context.Context, url string) (*Store, error) {
	s, err := open(ctx, url, nil)
	if err == nil {
		go s.flushSpends()
	}
	return s, err
}

// open connects. Tests hand in a tracer, to step from statement to statement.
func open(ctx context.Context, url string, tracer pgx.QueryTracer) (*Store, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, CheckURL(url)
	}
	config.ConnConfig.ConnectTimeout = connectTimeout
	config.ConnConfig.Tracer = tracer
	config.MaxConns = max(config.MaxConns, poolSize)
	params := config.ConnConfig.RuntimeParams
	params["application_name"] = "authserver"
	params["synchronous_commit"] = "on" // whatever the server's or the role's default: a spend must outlive a crash
	params["statement_timeout"] = fmt.Sprint(statementTimeout.Milliseconds())
	params["idle_in_transaction_session_timeout"] = fmt.Sprint(statementTimeout.Milliseconds())
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	return &Store{pool: pool, spends: newSpends()}, nil
}

// Close ends the flusher and the connections. Requests must have ended before.
func (s *Store) Close() {
	s.spends.close()
	s.pool.Close()
}

// Migrate brings the schema up to date. Replicas that start together take turns under a session lock, for which each asks
// once a second during five minutes.
func (s *Store) Migrate(ctx context.Context) error {
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 300))
	if err != nil {
		return err
	}
	db := stdlib.OpenDBFromPool(s.pool)
	defer db.Close()
	provider, err := goose.NewProvider(goose.DialectPostgres, db, migrations.Files, goose.WithSessionLocker(locker))
	if err != nil {
		return err
	}
	_, err = provider.Up(ctx)
	return failure("migrate", err)
}

// Stamp ties the database to one deployment: the first call writes mode and issuer, every later one must bring the same.
func (s *Store) Stamp(ctx context.Context, mode, issuer string, now time.Time) error {
	var gotMode, gotIssuer string
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `
			INSERT INTO deployment (mode, issuer, created_at) VALUES ($1, $2, $3)
			ON CONFLICT (singleton) DO NOTHING`, mode, issuer, now); err != nil {
			return err
		}
		return tx.QueryRow(ctx, `SELECT mode, issuer FROM deployment`).Scan(&gotMode, &gotIssuer)
	})
	switch {
	case err != nil:
		return failure("stamp", err)
	case gotMode != mode:
		return fmt.Errorf("this database belongs to an authserver in mode %q, not %q", gotMode, mode)
	case gotIssuer != issuer:
		return fmt.Errorf("this database belongs to the issuer %s, not %s", gotIssuer, issuer)
	}
	return nil
}

// Clock asks the database for its time.
func (s *Store) Clock(ctx context.Context) (time.Time, error) {
	var t time.Time
	err := s.pool.QueryRow(ctx, `SELECT clock_timestamp()`).Scan(&t)
	return t, failure("clock", err)
}
