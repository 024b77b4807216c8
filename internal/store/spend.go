package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"slices"
	"sync"
	"time"

	"authserver/internal/replay"
)

const (
	maxBatch   = 512  // requests in one statement
	maxWaiting = 4096 // requests that wait; more are turned away, so that a slow database does not fill the memory
)

var errTooManyWait = errors.New("too many requests wait for the database")

// spends are the requests that wait for the next statement.
type spends struct {
	mu      sync.Mutex
	waiting []*spend
	uses    map[replay.Use]bool // of those that wait, so that the second of two equal ones loses before the database is asked
	wake    chan struct{}
	closed  chan struct{}
	close   func()
}

// spend is one request's wait.
type spend struct {
	replay.Spend
	ctx    context.Context // of the request: one that has given up is not spent
	answer chan answer
}

type answer struct {
	outcome replay.Outcome
	err     error
}

func newSpends() *spends {
	q := &spends{uses: map[replay.Use]bool{}, wake: make(chan struct{}, 1), closed: make(chan struct{})}
	q.close = sync.OnceFunc(func() { close(q.closed) })
	return q
}

// Observer is told what becomes of spends, for the metrics. It must not block.
type Observer interface {
	// Spent is told how every Spend ended.
	Spent(o replay.Outcome, err error)
	// Flushed is told of every statement: of how many requests it was, and how long it took.
	Flushed(requests int, took time.Duration)
}

// unobserved is the observer of a store that nobody observes.
type unobserved struct{}

func (unobserved) Spent(replay.Outcome, error) {}
func (unobserved) Flushed(int, time.Duration)  {}

// Observe sets who is told. It is called before the first Spend.
func (s *Store) Observe(o Observer) { s.told = o }

// Spend uses up what a request bears, once, if the records are still the versions that it was judged by. When it returns
// an error nothing may be granted; the uses may or may not be spent.
func (s *Store) Spend(ctx context.Context, sp replay.Spend) (replay.Outcome, error) {
	outcome, err := s.await(ctx, sp)
	s.told.Spent(outcome, err)
	return outcome, failure("spend", err)
}

// await lets a request wait for its statement, and returns what that said.
func (s *Store) await(ctx context.Context, sp replay.Spend) (replay.Outcome, error) {
	p := &spend{Spend: sp, ctx: ctx, answer: make(chan answer, 1)}
	if loser, err := s.spends.add(p); loser != "" || err != nil {
		return replay.Outcome{Replayed: loser}, err
	}
	select {
	case a := <-p.answer:
		return a.outcome, a.err
	case <-ctx.Done():
		return replay.Outcome{}, ctx.Err()
	}
}

// add lets a request wait for the next statement, unless one that waits already uses the same.
func (q *spends) add(p *spend) (loser replay.Kind, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) >= maxWaiting {
		return "", outage{errTooManyWait}
	}
	for _, u := range p.Uses {
		if q.uses[u] {
			return u.Kind, nil
		}
	}
	for _, u := range p.Uses {
		q.uses[u] = true
	}
	q.waiting = append(q.waiting, p)
	select {
	case q.wake <- struct{}{}:
	default:
	}
	return "", nil
}

// take removes the requests of the next statement, and those before them that have given up. None is taken only when none
// waits: the flusher sleeps then.
func (q *spends) take() (batch []*spend) {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := 0
	for ; n < len(q.waiting) && len(batch) < maxBatch; n++ {
		p := q.waiting[n]
		for _, u := range p.Uses {
			delete(q.uses, u)
		}
		if p.ctx.Err() == nil {
			batch = append(batch, p)
		}
	}
	q.waiting = slices.Clone(q.waiting[n:])
	return batch
}

// flushSpends sends one statement after the other for as long as requests wait, and sleeps when none does.
func (s *Store) flushSpends() {
	for {
		select {
		case <-s.spends.wake:
		case <-s.spends.closed:
			return
		}
		for batch := s.spends.take(); len(batch) > 0; batch = s.spends.take() {
			s.flush(batch)
		}
	}
}

// flush commits one batch and answers all who wait for it.
func (s *Store) flush(batch []*spend) {
	ctx, cancel := context.WithTimeout(context.Background(), statementTimeout)
	defer cancel()
	began := time.Now()
	order := arrange(batch)
	var current []int64
	var fresh int
	var slots []int16
	var keys [][]byte
	err := s.pool.QueryRow(ctx, spendSQL, order.clients, order.versions, order.issuers, order.issuerVersions,
		order.slots, order.keys, order.owners).
		Scan(&current, &fresh, &slots, &keys)
	s.told.Flushed(len(batch), time.Since(began))
	if err != nil {
		for _, p := range batch {
			p.answer <- answer{err: err}
		}
		return
	}
	stillCurrent := map[judged]bool{}
	for _, n := range current {
		stillCurrent[order.judged(n)] = true
	}
	kept := map[row]bool{}
	for i, key := range keys {
		kept[row{slots[i], [sha256.Size]byte(key)}] = true
	}
	for _, p := range batch {
		p.answer <- answer{outcome: judge(p, stillCurrent, fresh == len(order.keys), kept)}
	}
}

// judge reads one request's outcome out of the batch's.
func judge(p *spend, stillCurrent map[judged]bool, allFresh bool, kept map[row]bool) replay.Outcome {
	if !stillCurrent[judgedBy(p)] {
		return replay.Outcome{Stale: true}
	}
	for _, u := range p.Uses {
		if !allFresh && !kept[row{u.Slot, u.Key}] {
			return replay.Outcome{Replayed: u.Kind}
		}
	}
	return replay.Outcome{}
}

// judged are the records that a request was judged by, each at its version.
type judged struct {
	id      string // of the client
	version int64
	voucher replay.Voucher
}

func judgedBy(p *spend) judged { return judged{p.ClientID, p.ClientVersion, p.Voucher} }

// row is a use as the table has it: one jti with two signed times is two rows.
type row struct {
	slot int16
	key  [sha256.Size]byte
}

// batch is what one statement is given: the distinct records that requests were judged by, which stand in the first four lists,
// and the uses with the number of theirs.
type batch struct {
	clients        []string
	versions       []int64
	issuers        []string
	issuerVersions []int64
	slots          []int16
	keys           [][]byte
	owners         []int64
}

// judged are the records of a number.
func (b batch) judged(n int64) judged {
	return judged{b.clients[n-1], b.versions[n-1], replay.Voucher{Issuer: b.issuers[n-1], Version: b.issuerVersions[n-1]}}
}

// arrange numbers the distinct records from one and sorts the uses, so that two replicas' statements take their rows in
// the same order and cannot deadlock.
func arrange(waiting []*spend) batch {
	type use struct {
		replay.Use
		owner int64
	}
	var b batch
	var uses []use
	numbers := map[judged]int64{}
	for _, p := range waiting {
		by := judgedBy(p)
		if numbers[by] == 0 {
			b.clients, b.versions = append(b.clients, by.id), append(b.versions, by.version)
			b.issuers, b.issuerVersions = append(b.issuers, by.voucher.Issuer), append(b.issuerVersions, by.voucher.Version)
			numbers[by] = int64(len(b.clients))
		}
		for _, u := range p.Uses {
			uses = append(uses, use{u, numbers[by]})
		}
	}
	slices.SortFunc(uses, func(x, y use) int {
		if x.Slot != y.Slot {
			return int(x.Slot) - int(y.Slot)
		}
		return bytes.Compare(x.Key[:], y.Key[:])
	})
	for _, u := range uses {
		b.slots, b.keys, b.owners = append(b.slots, u.Slot), append(b.keys, u.Key[:]), append(b.owners, u.owner)
	}
	return b
}

// spendSQL spends the uses of the records that are still current. It returns the numbers of those, how many uses were new,
// and which only when not all were. The plain reads of client and issuer see the last commit and wait for no lock; the empty
// client_id stands for a protected resource, which has no client to join, and the empty issuer for a request without one.
const spendSQL = `
WITH current AS MATERIALIZED (
	SELECT u.n FROM unnest($1::text[], $2::bigint[], $3::text[], $4::bigint[]) WITH ORDINALITY
		AS u (id, version, issuer, issuer_version, n)
	WHERE (u.id = '' OR EXISTS (SELECT FROM client c WHERE c.id = u.id AND c.version = u.version AND c.status = 'active'))
		AND (u.issuer = '' OR EXISTS (SELECT FROM issuer i WHERE i.name = u.issuer AND i.version = u.issuer_version))
), inserted AS (
	INSERT INTO spent (slot, key)
	SELECT k.slot, k.key FROM unnest($5::smallint[], $6::bytea[], $7::bigint[]) AS k (slot, key, owner)
	WHERE k.owner IN (SELECT n FROM current)
	ON CONFLICT DO NOTHING
	RETURNING slot, key
)
SELECT (SELECT coalesce(array_agg(n), '{}') FROM current),
       count(*)::int,
       CASE WHEN count(*) < cardinality($6::bytea[]) THEN array_agg(slot) END,
       CASE WHEN count(*) < cardinality($6::bytea[]) THEN array_agg(key) END
FROM inserted`

// Deny puts a use on the ring that nobody will spend: the deny-list of access tokens. A second time changes nothing.
func (s *Store) Deny(ctx context.Context, u replay.Use) error {
	_, err := s.pool.Exec(ctx, `INSERT INTO spent (slot, key) VALUES ($1, $2) ON CONFLICT DO NOTHING`, u.Slot, u.Key[:])
	return failure("deny", err)
}

// Denied tells whether a token can no longer be accepted: it is on the deny-list, its client is gone, or its grant has been
// revoked or is a disabled person's. A token of no grant has the grantID "". Of a grant that is alive, used is when it was
// last kept to be at work; nil: not yet.
func (s *Store) Denied(ctx context.Context, u replay.Use, clientID, grantID string) (denied bool, used *time.Time, err error) {
	err = s.pool.QueryRow(ctx, `
		SELECT EXISTS (SELECT FROM spent WHERE slot = $1 AND key = $2)
			OR NOT EXISTS (SELECT FROM client WHERE id = $3 AND status = 'active')
			OR $4 <> '' AND g.id IS NULL, g.used_at
		FROM (VALUES (1)) AS one LEFT JOIN (authorization_grant g JOIN person p ON p.subject = g.subject)
			ON g.id = $4 AND g.client_id = $3 AND g.revoked_at IS NULL AND p.disabled_at IS NULL`,
		u.Slot, u.Key[:], clientID, grantID).Scan(&denied, &used)
	return denied, used, failure("denied", err)
}

// isBroken tells whether the connection ended under a statement.
func isBroken(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}
