package store

import (
	"context"
	"errors"
	"time"

	"authserver/internal/grant"

	"github.com/jackc/pgx/v5"
)

// RedeemCode judges an attempt at the code of this SHA-256 and keeps what became of it. Redeemed returns the grant, which
// has the refresh token of the SHA-256 refresh then; nil: none. The replay that ends a grant returns it too; a later one
// finds nothing to end and returns none.
func (s *Store) RedeemCode(ctx context.Context, code []byte, a grant.Attempt, refresh []byte, now time.Time) (
	g grant.Grant, r grant.Redemption, err error) {
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		before, of, err := lockCode(ctx, tx, code, now)
		if errors.Is(err, pgx.ErrNoRows) {
			r.Outcome = grant.CodeUnknown
			return nil
		}
		if err != nil {
			return err
		}
		var after grant.Code
		if after, r = before.Redeem(a, now); after.Failures != before.Failures || after.Spent != before.Spent {
			if _, err := tx.Exec(ctx, `UPDATE authorization_code SET failures = $2, spent = $3, redeemed = $4 WHERE id = $1`,
				code, after.Failures, after.Spent, after.Redeemed); err != nil {
				return err
			}
		}
		switch {
		case r.Outcome == grant.Redeemed:
			g = of
			_, err = tx.Exec(ctx, `UPDATE authorization_grant SET refresh_token = $2 WHERE id = $1`, g.ID, refresh)
		case r.Outcome == grant.CodeReplayed && of.RevokedAt == nil:
			g = of
			g.RevokedAt = &now
			_, err = tx.Exec(ctx, `UPDATE authorization_grant SET revoked_at = $2 WHERE id = $1`, g.ID, now)
		}
		return err
	})
	if err != nil {
		return grant.Grant{}, grant.Redemption{}, failure("redeem code", err)
	}
	return g, r, nil
}

const grantColumns = `g.id, g.client_id, g.subject, g.scope, g.resources, g.accounts, g.auth_time, g.acr, g.amr,
	g.created_at, g.expires_at, g.revoked_at`

// grantFields are where grantColumns are scanned to.
func grantFields(g *grant.Grant) []any {
	return []any{&g.ID, &g.ClientID, &g.Subject, &g.Scope, &g.Resources, &g.Accounts, &g.AuthTime, &g.ACR, &g.AMR, &g.CreatedAt,
		&g.ExpiresAt, &g.RevokedAt}
}

// lockCode reads a code and its grant, and keeps others from changing them. Whoever disables a person revokes the person's
// grants, so the person needs no lock.
func lockCode(ctx context.Context, tx pgx.Tx, code []byte, now time.Time) (c grant.Code, g grant.Grant, err error) {
	var disabled bool
	err = tx.QueryRow(ctx, `
		SELECT c.client_id, c.redirect_uri, c.code_challenge, c.dpop_jkt, c.expires_at, c.failures, c.spent, c.redeemed,
			p.disabled_at IS NOT NULL, `+grantColumns+`
		FROM authorization_code c JOIN authorization_grant g ON g.id = c.grant_id JOIN person p ON p.subject = g.subject
		WHERE c.id = $1 FOR NO KEY UPDATE OF c FOR NO KEY UPDATE OF g`, code).
		Scan(append([]any{&c.ClientID, &c.RedirectURI, &c.CodeChallenge, &c.JKT, &c.ExpiresAt, &c.Failures, &c.Spent, &c.Redeemed,
			&disabled}, grantFields(&g)...)...)
	c.Resources, c.GrantEnded = g.Resources, disabled || !g.Alive(now)
	return c, g, err
}

// Refresh finds the grant of a refresh token by its SHA-256. alive is false when there is none, when it is another client's,
// and when it has ended, also because its person is disabled.
func (s *Store) Refresh(ctx context.Context, token []byte, clientID string, now time.Time) (
	g grant.Grant, alive bool, err error) {
	err = s.pool.QueryRow(ctx, `
		SELECT `+grantColumns+` FROM authorization_grant g JOIN person p ON p.subject = g.subject
		WHERE g.refresh_token = $1 AND p.disabled_at IS NULL`, token).Scan(grantFields(&g)...)
	if err == nil && g.Refreshes(clientID, now) {
		return g, true, nil
	}
	if errors.Is(err, pgx.ErrNoRows) {
		err = nil
	}
	return grant.Grant{}, false, failure("refresh", err)
}

// FindGrant finds a grant, alive or not.
func (s *Store) FindGrant(ctx context.Context, id string) (g grant.Grant, found bool, err error) {
	err = s.pool.QueryRow(ctx, `
		SELECT `+grantColumns+` FROM authorization_grant g WHERE g.id = $1`, id).Scan(grantFields(&g)...)
	if errors.Is(err, pgx.ErrNoRows) {
		return g, false, nil
	}
	return g, err == nil, failure("find grant", err)
}

// RevokeRefreshToken ends the grant of a client's own refresh token, by its SHA-256, and all its tokens. revoked is false
// when it is another client's, and when it was revoked before; grantID is "" when there is no such grant.
func (s *Store) RevokeRefreshToken(ctx context.Context, token []byte, clientID string, now time.Time) (
	grantID string, revoked bool, err error) {
	err = s.pool.QueryRow(ctx, `
		WITH revoked AS (
			UPDATE authorization_grant SET revoked_at = $3 WHERE refresh_token = $1 AND client_id = $2 AND revoked_at IS NULL
			RETURNING id
		)
		SELECT id, EXISTS (SELECT FROM revoked) FROM authorization_grant WHERE refresh_token = $1`,
		token, clientID, now).Scan(&grantID, &revoked)
	if errors.Is(err, pgx.ErrNoRows) {
		return "", false, nil
	}
	return grantID, revoked, failure("revoke refresh token", err)
}

// RevokeGrant ends a grant and all its tokens. revoked is false when there is none, and when it was revoked before.
func (s *Store) RevokeGrant(ctx context.Context, id string, now time.Time) (revoked bool, err error) {
	tag, err := s.pool.Exec(ctx, `UPDATE authorization_grant SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL`, id, now)
	return tag.RowsAffected() == 1, failure("revoke grant", err)
}
