package store

import (
	"context"
	"errors"
	"time"

	"authserver/internal/grant"

	"github.com/jackc/pgx/v5"
)

// RedeemCode judges an attempt at the code of this SHA-256 and keeps what became of it. Redeemed returns the grant, which
// has the refresh token of the SHA-256 refresh then; nil, and whatever ends with its one access token, has none. The replay
// that ends a grant returns it too; a later one finds nothing to end and returns none.
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
			g, err = fetch(ctx, tx, of, a, refresh, now)
		case r.Outcome == grant.CodeReplayed && of.RevokedAt == nil:
			g, err = revoke(ctx, tx, of, grant.Stopped(grant.CodeReused, a.ClientID, a.InteractionID, now))
		}
		return err
	})
	if err != nil {
		return grant.Grant{}, grant.Redemption{}, failure("redeem code", err)
	}
	return g, r, nil
}

// fetch keeps that a client has fetched the first tokens of a grant.
func fetch(ctx context.Context, tx pgx.Tx, g grant.Grant, a grant.Attempt, refresh []byte, now time.Time) (grant.Grant, error) {
	g, refreshes := g.Fetch(a.Lifetime, now)
	if !refreshes {
		refresh = nil
	}
	if _, err := tx.Exec(ctx, `
		UPDATE authorization_grant SET refresh_token = $2, expires_at = $3, updated_at = $4, used_at = $5 WHERE id = $1`,
		g.ID, refresh, g.ExpiresAt, g.UpdatedAt, g.UsedAt); err != nil {
		return g, err
	}
	return g, record(ctx, tx, g.ID, grant.FetchedBy(a.ClientID, a.InteractionID, now))
}

// revoke keeps that a grant has ended, and all its tokens with it.
func revoke(ctx context.Context, tx pgx.Tx, g grant.Grant, c grant.Change) (grant.Grant, error) {
	g.RevokedAt, g.UpdatedAt = &c.At, c.At
	if _, err := tx.Exec(ctx, `
		UPDATE authorization_grant SET revoked_at = $2, updated_at = $2 WHERE id = $1`, g.ID, c.At); err != nil {
		return g, err
	}
	return g, record(ctx, tx, g.ID, c)
}

const grantColumns = `g.id, g.client_id, g.subject, g.scope, g.resources, g.details, g.accounts, g.auth_time, g.acr, g.amr,
	g.sid, g.created_at, g.updated_at, g.used_at, g.expires_at, g.revoked_at`

// grantFields are where grantColumns are scanned to.
func grantFields(g *grant.Grant) []any {
	return []any{&g.ID, &g.ClientID, &g.Subject, &g.Scope, &g.Resources, &g.Details, &g.Accounts, &g.AuthTime, &g.ACR, &g.AMR,
		&g.SessionID, &g.CreatedAt, &g.UpdatedAt, &g.UsedAt, &g.ExpiresAt, &g.RevokedAt}
}

// lockCode reads a code and its grant, and keeps others from changing them. Whoever disables a person revokes the person's
// grants, so the person needs no lock.
func lockCode(ctx context.Context, tx pgx.Tx, code []byte, now time.Time) (c grant.Code, g grant.Grant, err error) {
	var disabled bool
	err = tx.QueryRow(ctx, `
		SELECT c.client_id, c.redirect_uri, c.code_challenge, c.dpop_jkt, c.nonce, c.expires_at, c.failures, c.spent, c.redeemed,
			p.disabled_at IS NOT NULL, `+grantColumns+`
		FROM authorization_code c JOIN authorization_grant g ON g.id = c.grant_id JOIN person p ON p.subject = g.subject
		WHERE c.id = $1 FOR NO KEY UPDATE OF c, g`, code).
		Scan(append([]any{&c.ClientID, &c.RedirectURI, &c.CodeChallenge, &c.JKT, &c.Nonce, &c.ExpiresAt, &c.Failures, &c.Spent,
			&c.Redeemed, &disabled}, grantFields(&g)...)...)
	c.Grant, c.GrantEnded = g, disabled || !g.Alive(now)
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

// Used keeps that a grant was at work at now. Within a minute of the last time it changes nothing.
func (s *Store) Used(ctx context.Context, id string, now time.Time) error {
	_, err := s.pool.Exec(ctx, `
		UPDATE authorization_grant SET used_at = $2
		WHERE id = $1 AND (used_at IS NULL OR used_at <= $2::timestamptz - interval '1 minute')`, id, now)
	return failure("used", err)
}

// RevokeRefreshToken ends the grant of a refresh token, by its SHA-256, as the change says that its own client, c.By, makes.
// revoked is false when it is another client's, and when it had ended before; grantID is "" when there is no such grant.
func (s *Store) RevokeRefreshToken(ctx context.Context, token []byte, c grant.Change) (grantID string, revoked bool, err error) {
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		g, found, err := lockGrant(ctx, tx, `g.refresh_token = $1`, token)
		grantID, revoked = g.ID, found && g.ClientID == c.By && g.Alive(c.At)
		if err != nil || !revoked {
			return err
		}
		_, err = revoke(ctx, tx, g, c)
		return err
	})
	return grantID, revoked && err == nil, failure("revoke refresh token", err)
}

// RevokeGrant ends a grant and all its tokens, for an owner of it. Whatever became of that, the grant is returned as it is
// afterwards, but for NoGrant. The id is a stranger's.
func (s *Store) RevokeGrant(ctx context.Context, id string, by grant.Owner, c grant.Change) (
	g grant.Grant, became grant.Ending, err error) {
	if !isText(id) {
		return g, grant.NoGrant, nil
	}
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		locked, found, err := lockGrant(ctx, tx, `g.id = $1`, id)
		if became = grant.NoGrant; err != nil || !found {
			return err
		}
		switch became = locked.End(by, c.At); became {
		case grant.Ended:
			g, err = revoke(ctx, tx, locked, c)
		case grant.EndedBefore:
			g = locked
		}
		return err
	})
	if err != nil {
		return grant.Grant{}, "", failure("revoke grant", err)
	}
	return g, became, nil
}

// lockGrant reads the one grant of a condition and keeps others from changing it.
func lockGrant(ctx context.Context, tx pgx.Tx, condition string, value any) (g grant.Grant, found bool, err error) {
	err = tx.QueryRow(ctx, `
		SELECT `+grantColumns+` FROM authorization_grant g WHERE `+condition+` FOR NO KEY UPDATE OF g`, value).
		Scan(grantFields(&g)...)
	if errors.Is(err, pgx.ErrNoRows) {
		return grant.Grant{}, false, nil
	}
	return g, err == nil, err
}
