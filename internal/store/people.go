package store

import (
	"context"

	"authserver/internal/person"
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
