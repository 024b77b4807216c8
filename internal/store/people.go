package store

import (
	"context"
	"errors"
	"time"

	"authserver/internal/grant"
	"authserver/internal/person"

	"github.com/jackc/pgx/v5"
)

// AddPerson stores a new person. added is false when the username is taken.
func (s *Store) AddPerson(ctx context.Context, p person.Person) (added bool, err error) {
	tag, err := s.pool.Exec(ctx, `
		INSERT INTO person (subject, username, name, password_hash, upstream_issuer, upstream_subject, created_at, disabled_at)
		VALUES ($1, nullif($2, ''), $3, $4, nullif($5, ''), nullif($6, ''), $7, $8)
		ON CONFLICT (username) DO NOTHING`,
		p.Subject, p.Username, p.Name, p.PasswordHash, p.Upstream.Issuer, p.Upstream.Subject, p.CreatedAt, p.DisabledAt)
	return tag.RowsAffected() == 1, failure("add person", err)
}

const personColumns = `subject, coalesce(username, ''), name, password_hash, coalesce(upstream_issuer, ''),
	coalesce(upstream_subject, ''), created_at, disabled_at`

// scanPerson reads personColumns.
func scanPerson(row pgx.CollectableRow) (p person.Person, err error) {
	err = row.Scan(&p.Subject, &p.Username, &p.Name, &p.PasswordHash, &p.Upstream.Issuer, &p.Upstream.Subject, &p.CreatedAt,
		&p.DisabledAt)
	return p, err
}

// FindPerson finds a person by username, also a disabled one. The username is a stranger's: one that PostgreSQL cannot
// store as text is nobody's, and no fault.
func (s *Store) FindPerson(ctx context.Context, username string) (person.Person, bool, error) {
	return s.findPerson(ctx, "username", username)
}

// FindSubject finds a person by subject, also a disabled one: people of an upstream have no other name here. It is
// for the operator and for the sources of accounts: nobody signs in by it.
func (s *Store) FindSubject(ctx context.Context, subject string) (person.Person, bool, error) {
	return s.findPerson(ctx, "subject", subject)
}

func (s *Store) findPerson(ctx context.Context, column, value string) (person.Person, bool, error) {
	if !isText(value) {
		return person.Person{}, false, nil
	}
	rows, _ := s.pool.Query(ctx, `SELECT `+personColumns+` FROM person WHERE `+column+` = $1`, value)
	p, err := pgx.CollectExactlyOneRow(rows, scanPerson)
	if errors.Is(err, pgx.ErrNoRows) {
		return person.Person{}, false, nil
	}
	return p, err == nil, failure("find person", err)
}

// People are all people in the order of their usernames, and behind them those of an upstream.
func (s *Store) People(ctx context.Context) ([]person.Person, error) {
	rows, _ := s.pool.Query(ctx, `SELECT `+personColumns+` FROM person ORDER BY username, subject`)
	all, err := pgx.CollectRows(rows, scanPerson)
	return all, failure("people", err)
}

// SetPassword gives a person another password and ends the person's sessions. set is false when nobody is called so.
func (s *Store) SetPassword(ctx context.Context, username, hash string) (set bool, err error) {
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		subject, found, err := changePerson(ctx, tx, `
			UPDATE person SET password_hash = $2 WHERE username = $1 RETURNING subject`, username, hash)
		if set = found; err != nil || !found {
			return err
		}
		return endSessions(ctx, tx, subject)
	})
	return set && err == nil, failure("set password", err)
}

// DisablePerson keeps a person from signing in, ends the person's sessions and revokes all that the person has allowed.
// Who is a username, or the subject of a person of an upstream: it begins with an underscore, as no username does.
// disabled is false when there is none, or not any more.
func (s *Store) DisablePerson(ctx context.Context, who string, now time.Time) (disabled bool, err error) {
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		subject, found, err := changePerson(ctx, tx, `
			UPDATE person SET disabled_at = $2 WHERE (username = $1 OR subject = $1) AND disabled_at IS NULL
			RETURNING subject`, who, now)
		if disabled = found; err != nil || !found {
			return err
		}
		if err := endSessions(ctx, tx, subject); err != nil {
			return err
		}
		if err := takeTime(ctx, tx); err != nil {
			return err
		}
		return revokeAll(ctx, tx, subject, grant.Stopped(grant.PersonDisabledToo, "", "", now))
	})
	return disabled && err == nil, failure("disable person", err)
}

// takeTime lets the statements that follow take longer than usual: nobody stays by having allowed too much to be ended in time.
func takeTime(ctx context.Context, tx pgx.Tx) error {
	_, err := tx.Exec(ctx, `SET LOCAL statement_timeout = '1min'`)
	return err
}

// EnablePerson lets a disabled person sign in again; what was revoked stays revoked. Who is as for DisablePerson. enabled
// is false when there is nobody to enable.
func (s *Store) EnablePerson(ctx context.Context, who string) (enabled bool, err error) {
	if !isText(who) {
		return false, nil
	}
	tag, err := s.pool.Exec(ctx, `
		UPDATE person SET disabled_at = NULL WHERE (username = $1 OR subject = $1) AND disabled_at IS NOT NULL`, who)
	return tag.RowsAffected() == 1, failure("enable person", err)
}

// changePerson updates one person, whose row is locked from then on: a sign-in that was under way is over, and what it has
// left is seen by the statements that follow.
func changePerson(ctx context.Context, tx pgx.Tx, update, who string, value any) (subject string, found bool, err error) {
	if !isText(who) {
		return "", false, nil
	}
	err = tx.QueryRow(ctx, update, who, value).Scan(&subject)
	if errors.Is(err, pgx.ErrNoRows) {
		return "", false, nil
	}
	return subject, err == nil, err
}

func endSessions(ctx context.Context, tx pgx.Tx, subject string) error {
	_, err := tx.Exec(ctx, `DELETE FROM session WHERE subject = $1`, subject)
	return err
}

// Recognise finds the person of an upstream's identity, also a disabled one, or adds one with the subject newSubject. The
// name follows the upstream, unless it tells none.
func (s *Store) Recognise(ctx context.Context, identity person.Identity, name, newSubject string, now time.Time) (
	person.Person, error) {
	rows, _ := s.pool.Query(ctx, `
		INSERT INTO person AS p (subject, name, password_hash, upstream_issuer, upstream_subject, created_at)
		VALUES ($1, $2, '', $3, $4, $5)
		ON CONFLICT (upstream_issuer, upstream_subject) DO UPDATE SET name = coalesce(nullif(excluded.name, ''), p.name)
		RETURNING `+personColumns, newSubject, name, identity.Issuer, identity.Subject, now)
	p, err := pgx.CollectExactlyOneRow(rows, scanPerson)
	return p, failure("recognise", err)
}
