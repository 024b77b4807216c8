package store

import (
	"context"

	"authserver/internal/person"
)

// AddPerson stores a person who may log in, unless the username is taken.
func (s *Store) AddPerson(ctx context.Context, p person.Person) error {
	_, err := s.pool.Exec(ctx, `
		INSERT INTO person (username, password_hash, created_at) VALUES ($1, $2, $3)
		ON CONFLICT (username) DO NOTHING`, p.Username, p.PasswordHash, p.CreatedAt)
	return failure("add person", err)
}
