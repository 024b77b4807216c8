package store

import (
	"context"
	"errors"
	"time"

	"authserver/internal/grant"

	"github.com/jackc/pgx/v5"
)

// Approval is what a person's yes brings into the world.
type Approval struct {
	Grant grant.Grant
	Code  grant.Code
	Hash  []byte // of the code
}

// Decide keeps the answer that subject gives in an interaction at now; no approval is a no. Of all interactions of one
// request exactly one decides.
func (s *Store) Decide(ctx context.Context, id []byte, subject string, approval *Approval, now time.Time) (u Under, d grant.Decision, err error) {
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		var found bool
		if u, found, err = interaction(ctx, tx, id); err != nil || !found {
			d = grant.Expired
			return err
		}
		// The request's row is locked after the interaction's, here and in SweepRequests.
		if err := tx.QueryRow(ctx, `
			SELECT r.decided_at IS NOT NULL FROM pushed_request r JOIN interaction i ON i.request_id = r.id WHERE i.id = $1
			FOR UPDATE OF r`, id).Scan(&u.Decided); err != nil {
			return err
		}
		if d = u.Decide(u.Decided, subject, now); d != grant.Decided {
			return nil
		}
		if _, err := tx.Exec(ctx, `
			UPDATE pushed_request SET decided_at = $2 WHERE id = (SELECT request_id FROM interaction WHERE id = $1)`, id, now); err != nil {
			return err
		}
		if approval == nil {
			return nil
		}
		return approve(ctx, tx, *approval)
	})
	return u, d, failure("decide", err)
}

func approve(ctx context.Context, tx pgx.Tx, a Approval) error {
	g, c := a.Grant, a.Code
	if _, err := tx.Exec(ctx, `
		INSERT INTO authorization_grant (id, client_id, subject, scope, resources, auth_time, acr, created_at, expires_at)
		VALUES ($1, $2, $3, $4, coalesce($5, '{}'::text[]), $6, $7, $8, $9)`,
		g.ID, g.ClientID, g.Subject, g.Scope, g.Resources, g.AuthTime, g.ACR, g.CreatedAt, g.ExpiresAt); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, `
		INSERT INTO authorization_code (id, grant_id, client_id, redirect_uri, code_challenge, dpop_jkt, expires_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7)`, a.Hash, g.ID, c.ClientID, c.RedirectURI, c.CodeChallenge, c.JKT, c.ExpiresAt)
	return err
}

// RedeemCode judges an attempt at a code and keeps what became of it. A replay revokes the code's grant, and that commits.
// refresh is the hash of the refresh token that the grant gets with its tokens; nil: none.
func (s *Store) RedeemCode(ctx context.Context, code []byte, a grant.Attempt, refresh []byte, now time.Time) (g grant.Grant, r grant.Redemption, err error) {
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		var c grant.Code
		var grantID string
		err := tx.QueryRow(ctx, `
			SELECT grant_id, client_id, redirect_uri, code_challenge, dpop_jkt, expires_at, failures, spent, redeemed
			FROM authorization_code WHERE id = $1 FOR UPDATE`, code).
			Scan(&grantID, &c.ClientID, &c.RedirectURI, &c.CodeChallenge, &c.JKT, &c.ExpiresAt, &c.Failures, &c.Spent, &c.Redeemed)
		if errors.Is(err, pgx.ErrNoRows) {
			r = grant.CodeUnknown
			return nil
		}
		if err != nil {
			return err
		}
		c, r = c.Redeem(a, now)
		if _, err := tx.Exec(ctx, `UPDATE authorization_code SET failures = $2, spent = $3, redeemed = $4 WHERE id = $1`,
			code, c.Failures, c.Spent, c.Redeemed); err != nil {
			return err
		}
		switch r {
		case grant.CodeReplayed:
			return revoke(ctx, tx, grantID, now)
		case grant.Redeemed:
			g, err = begin(ctx, tx, grantID, refresh)
			if err == nil && !g.Alive(now) {
				r = grant.CodeUnknown
			}
			return err
		}
		return nil
	})
	return g, r, failure("redeem code", err)
}

// begin gives a grant its refresh token.
func begin(ctx context.Context, tx pgx.Tx, id string, refresh []byte) (grant.Grant, error) {
	rows, _ := tx.Query(ctx, `
		UPDATE authorization_grant SET refresh_token = $2 WHERE id = $1
		RETURNING id, client_id, subject, scope, resources, auth_time, acr, created_at, expires_at, revoked_at`, id, refresh)
	return pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[grant.Grant])
}

func revoke(ctx context.Context, tx pgx.Tx, id string, now time.Time) error {
	_, err := tx.Exec(ctx, `UPDATE authorization_grant SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL`, id, now)
	return err
}

// GrantOf finds the grant of a refresh token by its hash, whatever its state.
func (s *Store) GrantOf(ctx context.Context, refresh []byte) (g grant.Grant, found bool, err error) {
	rows, _ := s.pool.Query(ctx, `
		SELECT id, client_id, subject, scope, resources, auth_time, acr, created_at, expires_at, revoked_at
		FROM authorization_grant WHERE refresh_token = $1`, refresh)
	g, err = pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[grant.Grant])
	if errors.Is(err, pgx.ErrNoRows) {
		return g, false, nil
	}
	return g, err == nil, failure("grant of refresh token", err)
}

// RevokeGrant ends a grant and all its tokens. revoked is false when there is no such grant alive.
func (s *Store) RevokeGrant(ctx context.Context, id string, now time.Time) (revoked bool, err error) {
	tag, err := s.pool.Exec(ctx, `UPDATE authorization_grant SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL`, id, now)
	return tag.RowsAffected() == 1, failure("revoke grant", err)
}

// SweepCodes deletes codes that nobody can redeem any more at now. They are kept for an hour after their end, so that a
// replay is known as one for as long as the tokens that it would endanger may live.
func (s *Store) SweepCodes(ctx context.Context, now time.Time) error {
	_, err := s.pool.Exec(ctx, `DELETE FROM authorization_code WHERE expires_at < $1`, now.Add(-time.Hour))
	return failure("sweep codes", err)
}
