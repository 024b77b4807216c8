package store

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"authserver/internal/fdx"
	"authserver/internal/grant"

	"github.com/jackc/pgx/v5"
)

var errAnothersApproval = errors.New("an approval of another person or for another client")

// Decide keeps the answer that subject gives in an interaction at now; without an approval it is a no. Of all interactions
// of one request exactly one decides. A decision comes wholly before or wholly after the deletion of the client and the
// disabling of the person. The answer of the server itself has the subject "".
func (s *Store) Decide(ctx context.Context, id []byte, subject string, approval *grant.Approval, now time.Time) (
	i grant.Interaction, d grant.Decision, err error) {
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		locked, err := lockInteraction(ctx, tx, id)
		if err != nil {
			return err
		}
		if i = locked.Interaction; locked.request == nil {
			d = grant.Expired
			return nil
		}
		if d = i.Decide(subject, now); d == grant.Decided {
			d, err = lockParties(ctx, tx, i.Request.ClientID, subject)
		}
		if err != nil || d != grant.Decided {
			return err
		}
		i.Decided = true
		_, err = tx.Exec(ctx, `UPDATE pushed_request SET decided_at = $2 WHERE id = $1`, locked.request, now)
		if err != nil || approval == nil {
			return err
		}
		if g := approval.Grant; g.Subject != subject || g.ClientID != i.Request.ClientID {
			return errAnothersApproval
		}
		return approve(ctx, tx, *approval)
	})
	if err != nil {
		return grant.Interaction{}, "", failure("decide", err)
	}
	return i, d, nil
}

// lockParties keeps the client from being deleted and the person from being disabled until the decision is kept, unless
// that has happened already.
func lockParties(ctx context.Context, tx pgx.Tx, clientID, subject string) (grant.Decision, error) {
	var client, person bool
	err := tx.QueryRow(ctx, `
		SELECT EXISTS (SELECT FROM client WHERE id = $1 AND status = 'active' FOR SHARE),
			$2 = '' OR EXISTS (SELECT FROM person WHERE subject = $2 AND disabled_at IS NULL FOR SHARE)`, clientID, subject).
		Scan(&client, &person)
	switch {
	case !client:
		return grant.ClientGone, err
	case !person:
		return grant.PersonGone, err
	}
	return grant.Decided, err
}

func approve(ctx context.Context, tx pgx.Tx, a grant.Approval) error {
	g, c := a.Grant, a.Code
	details, err := detailsValue(g.Details)
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `
		INSERT INTO authorization_grant (id, client_id, subject, scope, resources, details, accounts, auth_time, acr, amr,
			sid, created_at, updated_at, expires_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $12, $13)`,
		g.ID, g.ClientID, g.Subject, g.Scope, append([]string{}, g.Resources...), details, g.Accounts, g.AuthTime, g.ACR,
		append([]string{}, g.AMR...), g.SessionID, g.CreatedAt, g.ExpiresAt); err != nil {
		return err
	}
	if err := record(ctx, tx, g.ID, grant.GivenBy(a.InteractionID, g.CreatedAt)); err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `
		INSERT INTO authorization_code (id, grant_id, client_id, redirect_uri, code_challenge, dpop_jkt, nonce, expires_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
		a.CodeHash, g.ID, c.ClientID, c.RedirectURI, c.CodeChallenge, c.JKT, c.Nonce, c.ExpiresAt)
	return err
}

// detailsValue is what is stored of details: null where there are none.
func detailsValue(d fdx.Details) ([]byte, error) {
	if d == nil {
		return nil, nil
	}
	return json.Marshal(d)
}
