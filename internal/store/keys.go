package store

import (
	"context"

	"authserver/internal/keys"

	"github.com/jackc/pgx/v5"
)

// AddSigningKey stores the candidate unless there is a key of its algorithm already: of replicas that start together, the
// first one's stays.
func (s *Store) AddSigningKey(ctx context.Context, k keys.Sealed) error {
	_, err := s.pool.Exec(ctx, `
		INSERT INTO signing_key (kid, alg, private, created_at) VALUES ($1, $2, $3, $4)
		ON CONFLICT DO NOTHING`, k.KID, string(k.Alg), k.Private, k.CreatedAt)
	return failure("add signing key", err)
}

// SigningKeys are all signing keys, newest first.
func (s *Store) SigningKeys(ctx context.Context) ([]keys.Sealed, error) {
	rows, _ := s.pool.Query(ctx, `SELECT kid, alg, private, created_at FROM signing_key ORDER BY created_at DESC, kid`)
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[keys.Sealed])
	return all, failure("signing keys", err)
}
