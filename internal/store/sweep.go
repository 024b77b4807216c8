package store

import (
	"context"
	"errors"
	"fmt"
	"time"

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
