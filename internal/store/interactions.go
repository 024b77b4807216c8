package store

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"authserver/internal/grant"

	"github.com/jackc/pgx/v5"
)

// Push keeps a validated authorization request, under the SHA-256 of the secret in its request_uri.
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

// Visit finds the interaction of a browser that arrives at now, or opens one for it. All that is done about one request
// takes turns at its row, so that the number of its interactions is exact.
func (s *Store) Visit(ctx context.Context, v grant.Visit, now time.Time) (i grant.Interaction, a grant.Arrival, err error) {
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		p, decided, found, err := lockRequest(ctx, tx, v.RequestURI)
		if err != nil {
			return err
		}
		if !found || p.ClientID != v.ClientID {
			a = grant.Unknown
			return nil
		}
		current, err := scanInteraction(tx.QueryRow(ctx, selectInteraction+` AND r.id = $2`, v.Current, v.RequestURI))
		if err != nil {
			return err
		}
		if current.request != nil && current.Alive(now) {
			i, a = current.Interaction, grant.Resumed
			return nil
		}
		var open int
		err = tx.QueryRow(ctx, `SELECT count(*) FROM interaction WHERE request_id = $1`, v.RequestURI).Scan(&open)
		if err != nil {
			return err
		}
		if i, a = grant.Open(p, decided, open, now); a != grant.Opened {
			return nil
		}
		i.CameWith = v.Session
		_, err = tx.Exec(ctx, `
			INSERT INTO interaction (id, request_id, opened_at, expires_at, came_with) VALUES ($1, $2, $3, $4, $5)`,
			v.New, v.RequestURI, i.OpenedAt, i.ExpiresAt, i.CameWith)
		return err
	})
	if err != nil {
		return grant.Interaction{}, "", failure("visit", err)
	}
	return i, a, nil
}

// Step has subject take a step in an interaction at now. taken is false when there is no such interaction, when it is over,
// and when its request has been answered, which the interaction then tells.
func (s *Store) Step(ctx context.Context, id []byte, subject string, now time.Time) (
	i grant.Interaction, taken bool, err error) {
	i, taken, err = s.change(ctx, id, func(i grant.Interaction) (grant.Interaction, bool) { return i.Step(subject, now) })
	return i, taken, failure("step", err)
}

// Choose keeps the accounts that subject has chosen in an interaction at now. taken is as for Step, and false for nobody.
func (s *Store) Choose(ctx context.Context, id []byte, subject string, accounts []string, now time.Time) (
	i grant.Interaction, taken bool, err error) {
	i, taken, err = s.change(ctx, id, func(i grant.Interaction) (grant.Interaction, bool) {
		return i.Choose(subject, accounts, now)
	})
	return i, taken, failure("choose", err)
}

// Depart keeps the SHA-256 of the state with which the browser leaves an interaction for an upstream. left is as taken of
// Step.
func (s *Store) Depart(ctx context.Context, id, departure []byte, now time.Time) (left bool, err error) {
	_, left, err = s.change(ctx, id, func(i grant.Interaction) (grant.Interaction, bool) { return i.Depart(departure, now) })
	return left, failure("depart", err)
}

// Return ends a departure: of those that come back with it the first returns. returned is as taken of Step, and false for
// a departure that is not this interaction's.
func (s *Store) Return(ctx context.Context, id, departure []byte, now time.Time) (
	i grant.Interaction, returned bool, err error) {
	i, returned, err = s.change(ctx, id, func(i grant.Interaction) (grant.Interaction, bool) {
		return i.Return(departure, now)
	})
	return i, returned, failure("return", err)
}

// change keeps what a rule makes of an interaction; when the rule refuses, nothing changes.
func (s *Store) change(ctx context.Context, id []byte, rule func(grant.Interaction) (grant.Interaction, bool)) (
	i grant.Interaction, done bool, err error) {
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		locked, err := lockInteraction(ctx, tx, id)
		if err != nil || locked.request == nil {
			return err
		}
		if i, done = rule(locked.Interaction); !done {
			return nil
		}
		_, err = tx.Exec(ctx, `
			UPDATE interaction SET expires_at = $2, subject = $3, accounts = $4, departure = $5 WHERE id = $1`,
			id, i.ExpiresAt, i.Subject, i.Accounts, i.Departure)
		return err
	})
	return i, done && err == nil, err
}

// lockRequest reads a pushed request and keeps others from doing anything about it.
func lockRequest(ctx context.Context, tx pgx.Tx, requestURI []byte) (p grant.Pushed, decided, found bool, err error) {
	var request []byte
	err = tx.QueryRow(ctx, `
		SELECT request, decided_at IS NOT NULL FROM pushed_request WHERE id = $1 FOR NO KEY UPDATE`, requestURI).
		Scan(&request, &decided)
	if errors.Is(err, pgx.ErrNoRows) {
		return p, false, false, nil
	}
	if err == nil {
		err = json.Unmarshal(request, &p)
	}
	return p, decided, true, err
}

// locked is an interaction that nobody else can change, with the key of its request; none has the request nil.
type locked struct {
	grant.Interaction
	request []byte
}

const selectInteraction = `
	SELECT r.id, r.request, r.decided_at IS NOT NULL, i.opened_at, i.expires_at, i.came_with, i.subject, i.accounts, i.departure
	FROM interaction i JOIN pushed_request r ON r.id = i.request_id WHERE i.id = $1`

// lockInteraction reads an interaction and its request. Both rows are locked, the request's first, so that both are read as
// the one before has left them.
func lockInteraction(ctx context.Context, tx pgx.Tx, id []byte) (locked, error) {
	return scanInteraction(tx.QueryRow(ctx, selectInteraction+` FOR NO KEY UPDATE OF r FOR NO KEY UPDATE OF i`, id))
}

func scanInteraction(row pgx.Row) (l locked, err error) {
	var request []byte
	err = row.Scan(&l.request, &request, &l.Decided, &l.OpenedAt, &l.ExpiresAt, &l.CameWith, &l.Subject, &l.Accounts, &l.Departure)
	if errors.Is(err, pgx.ErrNoRows) {
		return locked{}, nil
	}
	if err == nil {
		err = json.Unmarshal(request, &l.Request)
	}
	return l, err
}
