package store

import (
	"context"
	"time"

	"authserver/internal/grant"

	"github.com/jackc/pgx/v5"
)

// changeColumns are those of an entry in the history of a grant, whose id stands first.
const changeColumns = `grant_id, at, event, why, actor, by, reason, initiator, interaction_id`

// changeValues are those of changeColumns, behind of: the grant's id, or whose grants they are.
func changeValues(of string, c grant.Change) []any {
	return []any{of, c.At, c.Event, c.Why, c.Actor, c.By, c.Revocation.Reason, c.Revocation.Initiator, c.InteractionID}
}

// record adds a change to the history of a grant, in the transaction of the change itself.
func record(ctx context.Context, tx pgx.Tx, grantID string, c grant.Change) error {
	_, err := tx.Exec(ctx, `INSERT INTO grant_change (`+changeColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
		changeValues(grantID, c)...)
	return err
}

const selectConsent = `
	SELECT ` + grantColumns + `, coalesce(c.metadata->>'client_name', ''), CASE WHEN c.status <> 'active' THEN c.updated_at END
	FROM authorization_grant g JOIN client c ON c.id = g.client_id`

func scanConsent(row pgx.CollectableRow) (c grant.Consent, err error) {
	err = row.Scan(append(grantFields(&c.Grant), &c.ClientName, &c.ClientGone)...)
	return c, err
}

// FindConsent finds a grant, alive or not, with its history. The id is a stranger's.
func (s *Store) FindConsent(ctx context.Context, id string) (c grant.Consent, found bool, err error) {
	if !isText(id) {
		return c, false, nil
	}
	all, err := s.consents(ctx, query{selectConsent + ` WHERE g.id = $1`, []any{id}})
	if err != nil || len(all) == 0 {
		return c, false, failure("find consent", err)
	}
	return all[0], true, nil
}

// Consents are what a person has allowed, with the history: all that is alive at now, the newest first, and behind it what
// is over, the last that ended first and at most so many.
func (s *Store) Consents(ctx context.Context, subject string, over int, now time.Time) ([]grant.Consent, error) {
	all, err := s.consents(ctx,
		query{selectConsent + ` WHERE g.subject = $1 AND ` + alive + ` ORDER BY g.created_at DESC, g.id`, []any{subject, now}},
		query{selectConsent + ` WHERE g.subject = $1 AND NOT ` + alive + ` ORDER BY ` + overAt + ` DESC, g.id LIMIT $3`,
			[]any{subject, now, over}})
	return all, failure("consents", err)
}

// alive tells of a grant and its client what grant.Consent.Status does; overAt is what its EndsAt is, once it is not.
const (
	alive  = `(c.status = 'active' AND g.revoked_at IS NULL AND g.expires_at > $2)`
	overAt = `least(g.revoked_at, g.expires_at, CASE WHEN c.status <> 'active' THEN c.updated_at END)`
)

// ConsentFilter says which consents an operator asks for. What is empty leaves nothing out.
type ConsentFilter struct {
	ClientID string
	Subject  string
	Alive    bool // only those that are
}

// ListConsents lists consents without their history in the order of their ids, from the first behind after on and at most
// limit of them, as they are at now.
func (s *Store) ListConsents(ctx context.Context, f ConsentFilter, after string, limit int, now time.Time) (
	[]grant.Consent, error) {
	rows, _ := s.pool.Query(ctx, selectConsent+`
		WHERE g.id > $1 AND ($3 = '' OR g.client_id = $3) AND ($4 = '' OR g.subject = $4) AND (NOT $5 OR `+alive+`)
		ORDER BY g.id LIMIT $6`, after, now, f.ClientID, f.Subject, f.Alive, limit)
	page, err := pgx.CollectRows(rows, scanConsent)
	return page, failure("list consents", err)
}

// query is one of consents.
type query struct {
	sql  string
	args []any
}

// consents reads consents, those of one query behind those of the other, and their history, as of one moment.
func (s *Store) consents(ctx context.Context, queries ...query) (all []grant.Consent, err error) {
	err = pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		all = nil
		for _, q := range queries {
			rows, _ := tx.Query(ctx, q.sql, q.args...)
			found, err := pgx.CollectRows(rows, scanConsent)
			if err != nil {
				return err
			}
			all = append(all, found...)
		}
		return readHistory(ctx, tx, all)
	})
	return all, err
}

// readHistory fills in the history of consents.
func readHistory(ctx context.Context, tx pgx.Tx, consents []grant.Consent) error {
	at := map[string]*grant.Consent{}
	ids := []string{}
	for i := range consents {
		at[consents[i].ID] = &consents[i]
		ids = append(ids, consents[i].ID)
	}
	rows, _ := tx.Query(ctx, `
		SELECT `+changeColumns+` FROM grant_change WHERE grant_id = ANY($1) ORDER BY id`, ids)
	var id string
	var c grant.Change
	_, err := pgx.ForEachRow(rows, []any{&id, &c.At, &c.Event, &c.Why, &c.Actor, &c.By, &c.Revocation.Reason,
		&c.Revocation.Initiator, &c.InteractionID}, func() error {
		at[id].History = append(at[id].History, c)
		return nil
	})
	return err
}

// revokeAll ends all that a person has allowed and that has not ended yet, each with its entry in the history. What was over by
// itself stays so: nobody ended it.
func revokeAll(ctx context.Context, tx pgx.Tx, subject string, c grant.Change) error {
	_, err := tx.Exec(ctx, `
		WITH revoked AS (
			UPDATE authorization_grant SET revoked_at = $2, updated_at = $2
			WHERE subject = $1 AND revoked_at IS NULL AND expires_at > $2 RETURNING id
		)
		INSERT INTO grant_change (`+changeColumns+`) SELECT id, $2, $3, $4, $5, $6, $7, $8, $9 FROM revoked`,
		changeValues(subject, c)...)
	return err
}
