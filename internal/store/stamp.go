package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Deployment is what a database is stamped with.
type Deployment struct {
	Mode   string // dev or serve
	Issuer string
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

// Deployment is the stamp of the database; stamped is false before its first start.
func (s *Store) Deployment(ctx context.Context) (d Deployment, stamped bool, err error) {
	err = s.pool.QueryRow(ctx, `SELECT mode, issuer FROM deployment`).Scan(&d.Mode, &d.Issuer)
	if errors.Is(err, pgx.ErrNoRows) {
		return d, false, nil
	}
	return d, err == nil, failure("deployment", err)
}
