package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	connectTimeout   = 2 * time.Second
	statementTimeout = 3 * time.Second
	poolSize         = 16
)

// Store is the database.
type Store struct {
	pool   *pgxpool.Pool
	spends *spends
	told   Observer
}

// CheckURL tells what is wrong with a database URL without repeating it: it may hold a password.
func CheckURL(url string) error {
	if _, err := pgxpool.ParseConfig(url); err != nil {
		return errors.New("it cannot be read as a PostgreSQL URL")
	}
	return nil
}

// Open connects to the database at url and starts the flusher of Spend. It does not wait for the database to answer.
func Open(ctx context.Context, url string) (*Store, error) {
	s, err := open(ctx, url, nil)
	if err == nil {
		go s.flushSpends()
	}
	return s, err
}

// open connects. Tests hand in a tracer, to step from statement to statement.
func open(ctx context.Context, url string, tracer pgx.QueryTracer) (*Store, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, CheckURL(url)
	}
	config.ConnConfig.ConnectTimeout = connectTimeout
	config.ConnConfig.Tracer = tracer
	if !strings.Contains(url, "pool_max_conns") {
		config.MaxConns = poolSize
	}
	// A primary that was demoted, or made read-only, tells its connections so; they are dropped, and no new one is taken.
	config.ConnConfig.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	config.PrepareConn = func(_ context.Context, c *pgx.Conn) (bool, error) {
		reported := c.PgConn().ParameterStatus
		return reported("in_hot_standby") != "on" && reported("default_transaction_read_only") != "on", nil
	}
	params := config.ConnConfig.RuntimeParams
	params["application_name"] = "authserver"
	params["synchronous_commit"] = "on" // whatever the server's or the role's default: a spend must outlive a crash
	params["statement_timeout"] = fmt.Sprint(statementTimeout.Milliseconds())
	params["idle_in_transaction_session_timeout"] = fmt.Sprint(statementTimeout.Milliseconds())
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	return &Store{pool: pool, spends: newSpends(), told: unobserved{}}, nil
}

// Close ends the flusher and the connections. Requests must have ended before. A second time changes nothing.
func (s *Store) Close() {
	s.spends.close()
	s.pool.Close()
}

// Clock asks the database for its time.
func (s *Store) Clock(ctx context.Context) (time.Time, error) {
	var t time.Time
	err := s.pool.QueryRow(ctx, `SELECT clock_timestamp()`).Scan(&t)
	return t, failure("clock", err)
}

// Pool is the state of the connections.
type Pool struct {
	InUse, Idle, Max int
	Waits            int64         // requests for a connection that had to wait for one
	Waited           time.Duration // by all of them together
}

// Pool tells how the connections are used. It asks nothing of the database.
func (s *Store) Pool() Pool {
	stat := s.pool.Stat()
	return Pool{
		InUse:  int(stat.AcquiredConns()),
		Idle:   int(stat.IdleConns()),
		Max:    int(stat.MaxConns()),
		Waits:  stat.EmptyAcquireCount(),
		Waited: stat.EmptyAcquireWaitTime(),
	}
}
