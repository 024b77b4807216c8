package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"authserver/internal/client"
	"authserver/internal/person"
	"authserver/internal/replay"

	"github.com/jackc/pgx/v5"
)

// sweepLockTimeout is how long the sweeper may make spends wait behind its lock.
const sweepLockTimeout = 100 * time.Millisecond

// Sweep empties the slots of the ring that nothing can need any more. A slot that is locked is left for the next sweep,
// and the error, which is temporary, says so.
func (s *Store) Sweep(ctx context.Context) error {
	now, err := s.Clock(ctx)
	if err != nil {
		return err
	}
	var failed error
	for _, slot := range replay.Sweepable(now) {
		failed = errors.Join(failed, s.sweepSlot(ctx, slot))
	}
	return failed
}

// sweepSlot asks the clock again once it holds the lock: whatever was waited for, only a slot that is sweepable then is
// emptied. The look into the slot is over before the lock is asked for: two sweepers that had looked and then both asked
// would wait for each other.
func (s *Store) sweepSlot(ctx context.Context, slot int16) error {
	leaf := pgx.Identifier{fmt.Sprintf("spent_%d", slot)}.Sanitize()
	var filled bool
	if err := s.pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM `+leaf+`)`).Scan(&filled); err != nil || !filled {
		return failure("sweep", err)
	}
	return failure("sweep", pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, fmt.Sprintf(`SET LOCAL lock_timeout = %d`, sweepLockTimeout.Milliseconds())); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `LOCK TABLE `+leaf+` IN ACCESS EXCLUSIVE MODE`); err != nil {
			return err
		}
		var now time.Time
		if err := tx.QueryRow(ctx, `SELECT clock_timestamp()`).Scan(&now); err != nil {
			return err
		}
		for _, sweepable := range replay.Sweepable(now) {
			if sweepable == slot {
				_, err := tx.Exec(ctx, `TRUNCATE `+leaf)
				return err
			}
		}
		return nil
	}))
}

// Retention is for how long records are kept that nobody needs to go on with.
type Retention struct {
	Consents time.Duration // with their history, from their end on; longer than an hour
	Clients  time.Duration // what a deleted client had registered, from its deletion on, while no consent is of it
}

const (
	// sweepGrace is how much longer than necessary everything is kept, so that nobody who was just in time is at work on it.
	sweepGrace = time.Minute
	// codeMemory is how long a code is known after its end, so that a replay of it still ends the tokens that it gave.
	codeMemory = time.Hour
	// sweepBatch bounds a statement, so that it is over in time whatever has piled up.
	sweepBatch = 1000
)

// sweep takes away what was over at $1, $2 rows at most, and keeps it for so long before.
type sweep struct {
	sql  string
	kept time.Duration
}

// sweeps are all that is swept. A row that somebody is at work on is left for the next time, so that nobody waits.
//
// A consent goes when its codes have gone, to which none is ever added: a sweeper that holds a grant then wants no code,
// while RedeemCode holds the code and wants the grant. It takes its history along.
//
// Of a client the id stays for good, so that nobody else ever has it: a replica may still know keys under it, and audit
// records name it.
func (r Retention) sweeps() []sweep {
	return []sweep{
		{`DELETE FROM pushed_request WHERE id IN (
			SELECT r.id FROM pushed_request r WHERE r.arrive_by < $1
				AND NOT EXISTS (SELECT FROM interaction i WHERE i.request_id = r.id AND i.expires_at >= $1)
			LIMIT $2 FOR UPDATE SKIP LOCKED)`, sweepGrace},
		{`DELETE FROM authorization_code WHERE id IN (
			SELECT id FROM authorization_code WHERE expires_at < $1 LIMIT $2 FOR UPDATE SKIP LOCKED)`, codeMemory},
		{`DELETE FROM session WHERE id IN (
			SELECT id FROM session WHERE ends_at < $1 LIMIT $2 FOR UPDATE SKIP LOCKED)`, sweepGrace},
		{`DELETE FROM login_attempt WHERE key IN (
			SELECT key FROM login_attempt WHERE since < $1 LIMIT $2 FOR UPDATE SKIP LOCKED)`, person.AttemptWindow},
		{`DELETE FROM client_logo WHERE client_id IN (
			SELECT client_id FROM client_logo WHERE fetched_at < $1 LIMIT $2 FOR UPDATE SKIP LOCKED)`, client.LogoLife},
		{`DELETE FROM authorization_grant WHERE id IN (
			SELECT g.id FROM authorization_grant g WHERE least(g.revoked_at, g.expires_at) < $1
				AND NOT EXISTS (SELECT FROM authorization_code c WHERE c.grant_id = g.id)
			LIMIT $2 FOR UPDATE SKIP LOCKED)`, r.Consents},
		{`DELETE FROM client_key_set WHERE client_id IN (
			SELECT k.client_id FROM client_key_set k JOIN client c ON c.id = k.client_id
			WHERE c.status = 'deleted' AND c.updated_at < $1 LIMIT $2 FOR UPDATE OF k SKIP LOCKED)`, r.Clients},
		{`UPDATE client SET metadata = '{}', registration_token_hash = '', serves = '{}' WHERE id IN (
			SELECT c.id FROM client c WHERE c.status = 'deleted' AND c.metadata::text <> '{}' AND c.updated_at < $1
				AND NOT EXISTS (SELECT FROM authorization_grant g WHERE g.client_id = c.id)
			LIMIT $2 FOR UPDATE SKIP LOCKED)`, r.Clients},
	}
}

// SweepAuthorizations takes away what is over at now: requests that no browser can go on with, codes, sessions, attempts,
// and logos that are too old to be shown; and, after the time for which they are kept, consents and what deleted clients had
// registered.
func (s *Store) SweepAuthorizations(ctx context.Context, keep Retention, now time.Time) error {
	var failed error
	for _, sweep := range keep.sweeps() {
		for {
			tag, err := s.pool.Exec(ctx, sweep.sql, now.Add(-sweep.kept), sweepBatch)
			if failed = errors.Join(failed, failure("sweep authorizations", err)); err != nil || tag.RowsAffected() < sweepBatch {
				break
			}
		}
	}
	return failed
}
