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

// OpenInteraction begins an interaction, kept under its own hash, for a browser that arrives at now with the request_uri of
// this hash. opened is false when the client pushed no such request, when the browser comes too late, and when somebody
// has decided already.
func (s *Store) OpenInteraction(ctx context.Context, requestURI []byte, clientID string, id []byte, now time.Time) (p grant.Pushed, opened bool, err error) {
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		var request []byte
		var decided bool
		err := tx.QueryRow(ctx, `
			SELECT request, decided_at IS NOT NULL FROM pushed_request WHERE id = $1 AND client_id = $2 FOR KEY SHARE`,
			requestURI, clientID).Scan(&request, &decided)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err == nil {
			err = json.Unmarshal(request, &p)
		}
		if err != nil {
			return err
		}
		var i grant.Interaction
		if i, opened = grant.Open(p, decided, now); !opened {
			return nil
		}
		_, err = tx.Exec(ctx, `
			INSERT INTO interaction (id, request_id, opened_at, expires_at) VALUES ($1, $2, $3, $4)`,
			id, requestURI, i.OpenedAt, i.ExpiresAt)
		return err
	})
	return p, opened && err == nil, failure("open interaction", err)
}

// Under is an interaction with the request that it is about.
type Under struct {
	grant.Interaction
	Request grant.Pushed
	Decided bool
}

// Step finds an interaction and has it take a step at now, by the rule's leave; found is false when there is none alive.
// login is who has just logged in, or "" when nobody did.
func (s *Store) Step(ctx context.Context, id []byte, login string, now time.Time) (u Under, found bool, err error) {
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if u, found, err = interaction(ctx, tx, id); err != nil || !found {
			return err
		}
		next, ok := u.Interaction.Step(now)
		if login != "" {
			next, ok = u.LoggedIn(login, now)
		}
		if found = ok; !ok {
			return nil
		}
		u.Interaction = next
		_, err = tx.Exec(ctx, `UPDATE interaction SET expires_at = $2, subject = $3 WHERE id = $1`, id, next.ExpiresAt, next.Subject)
		return err
	})
	return u, found && err == nil, failure("step", err)
}

// interaction reads an interaction under the lock of its row.
func interaction(ctx context.Context, tx pgx.Tx, id []byte) (u Under, found bool, err error) {
	var request []byte
	err = tx.QueryRow(ctx, `
		SELECT i.opened_at, i.expires_at, i.subject, r.request, r.decided_at IS NOT NULL
		FROM interaction i JOIN pushed_request r ON r.id = i.request_id WHERE i.id = $1 FOR UPDATE OF i`, id).
		Scan(&u.OpenedAt, &u.ExpiresAt, &u.Subject, &request, &u.Decided)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return u, false, nil
	case err != nil:
		return u, false, err
	}
	return u, true, json.Unmarshal(request, &u.Request)
}

// SweepRequests deletes what no browser can go on with at now: requests to which nobody came, and interactions that are
// over. A request stays while an interaction of it lives.
func (s *Store) SweepRequests(ctx context.Context, now time.Time) error {
	_, err := s.pool.Exec(ctx, `
		WITH over AS (DELETE FROM interaction WHERE expires_at < $1 RETURNING id)
		DELETE FROM pushed_request r WHERE arrive_by < $1
			AND NOT EXISTS (SELECT FROM interaction i WHERE i.request_id = r.id AND i.expires_at >= $1)`, now)
	return failure("sweep requests", err)
}
