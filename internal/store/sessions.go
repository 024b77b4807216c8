package store

import (
	"context"
	"errors"
	"time"

	"authserver/internal/person"

	"github.com/jackc/pgx/v5"
)

// SignIn begins the session of who at now, under the SHA-256 of its fresh cookie, and ends that of the former; nil: there
// is none. signedIn is false, and nothing changes, when the person is disabled or unknown, or has another password than the
// one that was just proven: a sign-in comes wholly before or wholly after whatever ends the person's sessions.
func (s *Store) SignIn(ctx context.Context, former, fresh []byte, who person.Authentication, l person.Lifetimes,
	now time.Time) (signedIn bool, err error) {
	of := who.Session(now)
	tag, err := s.pool.Exec(ctx, `
		WITH able AS MATERIALIZED (
			SELECT subject FROM person WHERE subject = $3 AND disabled_at IS NULL AND password_hash = $11 FOR SHARE
		), ended AS (
			DELETE FROM session WHERE id = $1 AND EXISTS (SELECT FROM able)
		)
		INSERT INTO session (id, subject, name, auth_time, acr, amr, started_at, used_at, ends_at)
		SELECT $2, subject, $4, $5, $6, $7, $8, $9, $10 FROM able`,
		former, fresh, of.Subject, of.Name, of.AuthTime, of.ACR, append([]string{}, of.AMR...), of.StartedAt, of.UsedAt,
		of.UsedAt.Add(l.Idle), who.Person.PasswordHash)
	return tag.RowsAffected() == 1, failure("sign in", err)
}

// Session finds the session of a cookie by its SHA-256 and notes that it was used at now. alive is false when there is none,
// when its time is over (person.Session.Alive, in SQL: every page asks), and when its person is disabled.
func (s *Store) Session(ctx context.Context, id []byte, l person.Lifetimes, now time.Time) (
	of person.Session, alive bool, err error) {
	rows, _ := s.pool.Query(ctx, `
		UPDATE session s SET used_at = greatest(s.used_at, $2), ends_at = greatest(s.ends_at, $5)
		FROM person p WHERE s.id = $1 AND s.used_at > $3 AND s.started_at > $4 AND p.subject = s.subject AND p.disabled_at IS NULL
		RETURNING s.subject, s.name, s.auth_time, s.acr, s.amr, s.started_at, s.used_at`,
		id, now, now.Add(-l.Idle), now.Add(-l.Most), now.Add(l.Idle))
	of, err = pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[person.Session])
	if errors.Is(err, pgx.ErrNoRows) {
		return person.Session{}, false, nil
	}
	return of, err == nil, failure("session", err)
}

// SignOut ends a session, by the SHA-256 of its cookie. A second time changes nothing.
func (s *Store) SignOut(ctx context.Context, id []byte) error {
	_, err := s.pool.Exec(ctx, `DELETE FROM session WHERE id = $1`, id)
	return failure("sign out", err)
}

// Attempt counts one more attempt to sign in at now, and returns those that count together with it, itself included.
func (s *Store) Attempt(ctx context.Context, key []byte, now time.Time) (a person.Attempts, err error) {
	err = s.pool.QueryRow(ctx, `
		INSERT INTO login_attempt AS a (key, since, count) VALUES ($1, $2, 1)
		ON CONFLICT (key) DO UPDATE SET
			since = CASE WHEN a.since > $3 THEN a.since ELSE excluded.since END,
			count = CASE WHEN a.since > $3 THEN a.count + 1 ELSE 1 END
		RETURNING since, count`, key, now, now.Add(-person.AttemptWindow)).Scan(&a.Since, &a.Count)
	return a, failure("attempt", err)
}

// Forgive forgets the attempts of a key.
func (s *Store) Forgive(ctx context.Context, key []byte) error {
	_, err := s.pool.Exec(ctx, `DELETE FROM login_attempt WHERE key = $1`, key)
	return failure("forgive", err)
}
