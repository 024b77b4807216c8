package store

import (
	"context"
	"fmt"
	"strings"

	"authserver/internal/replay"

	"github.com/jackc/pgx/v5"
)

// Condition is what an operator should know about the database and the role that is connected to it.
type Condition struct {
	Version        string // such as 15.18
	VersionNumber  int    // such as 150018
	Role           string
	Superuser      bool
	MayChange      bool // the role may make tables: it is not the one that deploy/postgres/roles.sql makes for serve
	Encrypted      bool // this connection
	Local          bool // over a Unix socket or this machine's loopback
	MaxConnections int
	Pool           int // connections that one replica opens at most
}

// Inspect asks the database about itself.
func (s *Store) Inspect(ctx context.Context) (Condition, error) {
	c := Condition{Pool: int(s.pool.Config().MaxConns)}
	err := s.pool.QueryRow(ctx, `
		SELECT current_setting('server_version'), current_setting('server_version_num')::int, current_user::text,
			(SELECT rolsuper FROM pg_roles WHERE rolname = current_user), has_schema_privilege('public', 'CREATE'),
			coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false),
			coalesce(inet_server_addr() <<= '127.0.0.0/8' OR inet_server_addr() = '::1', true),
			current_setting('max_connections')::int`).
		Scan(&c.Version, &c.VersionNumber, &c.Role, &c.Superuser, &c.MayChange, &c.Encrypted, &c.Local, &c.MaxConnections)
	c.Version, _, _ = strings.Cut(c.Version, " ") // Debian adds its package's name
	return c, failure("inspect", err)
}

// Unswept is how many slots of the ring could be empty and are not: more than one of them, and nobody sweeps.
func (s *Store) Unswept(ctx context.Context) (int, error) {
	now, err := s.Clock(ctx)
	if err != nil {
		return 0, err
	}
	n := 0
	for _, slot := range replay.Sweepable(now) {
		var filled bool
		leaf := pgx.Identifier{fmt.Sprintf("spent_%d", slot)}.Sanitize()
		if err := s.pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM `+leaf+`)`).Scan(&filled); err != nil {
			return 0, failure("unswept", err)
		}
		if filled {
			n++
		}
	}
	return n, nil
}
