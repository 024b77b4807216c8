package store

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
)

// erasures take away, one after the other, all that is kept of the person with the subject $1. Rows are locked in the order in
// which everybody locks them: a decision has its request before the person, and a redemption its code before the grant. From
// the second statement on nobody signs in or allows anything; the last one tells whether there was somebody.
var erasures = []string{
	`DELETE FROM pushed_request WHERE id IN (
		SELECT r.id FROM pushed_request r JOIN interaction i ON i.request_id = r.id WHERE i.subject = $1
		ORDER BY r.id, i.id FOR UPDATE OF r FOR UPDATE OF i)`,
	`SELECT FROM person WHERE subject = $1 FOR UPDATE`,
	`DELETE FROM session WHERE subject = $1`,
	`DELETE FROM authorization_code c USING authorization_grant g WHERE g.id = c.grant_id AND g.subject = $1`,
	`DELETE FROM authorization_grant WHERE subject = $1`,
	`DELETE FROM person WHERE subject = $1`,
}

// ErasePerson forgets a person: the requests that the person has signed in for, sessions, and all that was ever allowed, with
// its history. From the commit on no token of theirs is worth anything on any replica. Who is as for DisablePerson. erased is
// false when there is nobody to erase.
//
// An identity of an upstream is somebody new afterwards. What a browser was asking for at this very moment, and attempts to
// sign in, which are counted under hashes, end by themselves within the hour.
func (s *Store) ErasePerson(ctx context.Context, who string) (erased bool, err error) {
	if !isText(who) {
		return false, nil
	}
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		var subject string
		err := tx.QueryRow(ctx, `SELECT subject FROM person WHERE username = $1 OR subject = $1`, who).Scan(&subject)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := takeTime(ctx, tx); err != nil {
			return err
		}
		for _, sql := range erasures {
			tag, err := tx.Exec(ctx, sql, subject)
			if err != nil {
				return err
			}
			erased = tag.RowsAffected() == 1
		}
		return nil
	})
	return erased && err == nil, failure("erase person", err)
}
