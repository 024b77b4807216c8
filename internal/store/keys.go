package store

import (
	"context"

	"authserver/internal/keys"

	"github.com/jackc/pgx/v5"
)

// signingKeysLock is the number of the advisory lock under which signing keys change.
const signingKeysLock = 0x7369676e

const selectSigningKeys = `
	SELECT kid, alg, private, created_at, activates_at, retired_at FROM signing_key ORDER BY activates_at DESC, kid`

// SigningKeys are all signing keys, the latest to sign first.
func (s *Store) SigningKeys(ctx context.Context) ([]keys.Sealed, error) {
	rows, _ := s.pool.Query(ctx, selectSigningKeys)
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[keys.Sealed])
	return all, failure("signing keys", err)
}

// ChangeSigningKeys lets change see all signing keys and does what it wants. Replicas take turns, so that each judges by
// what the one before it has left: of those that all find a key missing, one makes it.
func (s *Store) ChangeSigningKeys(ctx context.Context, change func([]keys.Sealed) (keys.Changes, error)) error {
	var refused error
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, signingKeysLock); err != nil {
			return err
		}
		rows, _ := tx.Query(ctx, selectSigningKeys) // a statement of its own: it must see what was done before the lock
		all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[keys.Sealed])
		if err != nil {
			return err
		}
		var c keys.Changes
		if c, refused = change(all); refused != nil {
			return refused
		}
		for _, k := range c.Put {
			if _, err := tx.Exec(ctx, `
				INSERT INTO signing_key (kid, alg, private, created_at, activates_at, retired_at) VALUES ($1, $2, $3, $4, $5, $6)
				ON CONFLICT (kid) DO UPDATE SET private = excluded.private, activates_at = excluded.activates_at,
					retired_at = excluded.retired_at`,
				k.KID, string(k.Alg), k.Private, k.CreatedAt, k.ActivatesAt, k.RetiredAt); err != nil {
				return err
			}
		}
		_, err = tx.Exec(ctx, `DELETE FROM signing_key WHERE kid = ANY($1)`, c.Delete)
		return err
	})
	if refused != nil {
		return refused
	}
	return failure("change signing keys", err)
}
