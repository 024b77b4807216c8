package store

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"authserver/internal/grant"

	"github.com/jackc/pgx/v5"
)

// Push keeps a validated authorization request under the hash of its request_uri.
func (s *Store) Push(ctx context.Context, requestURI []byte, p grant.Pushed) error {
	request, err := json.Marshal(p)
	if err != nil {
		return err
	}
	_, err = s.pool.Exec(ctx, `
		INSERT INTO pushed_request (id, client_id, request, arrive_by) VALUES ($1, $2, $3, $4)`,
		requestURI, p.ClientID, request, p.ArriveBy)
	return failure("push", err)
}

// Pushed finds a request by the hash of its request_uri, whether or not it is still in time.
func (s *Store) Pushed(ctx context.Context, requestURI []byte) (p grant.Pushed, found bool, err error) {
	var request []byte
	err = s.pool.QueryRow(ctx, `SELECT request FROM pushed_request WHERE id = $1`, requestURI).Scan(&request)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return p, false, nil
	case err != nil:
		return p, false, failure("pushed", err)
	}
	return p, true, failure("pushed", json.Unmarshal(request, &p))
}

// SweepPushed deletes requests to which no browser can arrive any more at now.
func (s *Store) SweepPushed(ctx context.Context, now time.Time) (deleted int64, err error) {
	tag, err := s.pool.Exec(ctx, `DELETE FROM pushed_request WHERE arrive_by < $1`, now)
	return tag.RowsAffected(), failure("sweep pushed", err)
}
