package client

import (
	"context"
	"errors"
	"slices"
	"time"

	"authserver/internal/replay"

	"github.com/maypok86/otter/v2"
)

// Finder finds a registered client; found is false for one that is unknown or deleted.
type Finder interface {
	FindClient(ctx context.Context, id string) (c Client, found bool, err error)
}

// Spender uses up what a request bears, if the records are still the ones named (package replay).
type Spender interface {
	Spend(ctx context.Context, s replay.Spend) (replay.Outcome, error)
}

// Records are the client records in memory, in front of the store.
type Records struct {
	finder  Finder
	spender Spender
	cache   *otter.Cache[string, Client]
}

const (
	maxRecords  = 4096
	recordsIdle = 10 * time.Minute
)

// NewRecords keeps up to 4,096 records, each until it was not asked for during ten minutes.
func NewRecords(f Finder, s Spender) *Records {
	return &Records{finder: f, spender: s, cache: otter.Must(&otter.Options[string, Client]{
		MaximumSize:      maxRecords,
		ExpiryCalculator: otter.ExpiryAccessing[string, Client](recordsIdle),
	})}
}

// Find returns the record of a client, which may lag behind the store until a Spend or a Doubt says so.
func (r *Records) Find(ctx context.Context, id string) (Client, bool, error) {
	if c, ok := r.cache.GetIfPresent(id); ok {
		return c, true, nil
	}
	c, found, err := r.finder.FindClient(ctx, id)
	if err == nil && found {
		r.cache.Set(id, c)
	}
	return c, found, err
}

// Spend commits the uses of a caller and whatever else its request bears. It returns the refusal of a replay, and Stale
// when the record that the caller was judged by is no longer the client's, or that of who vouches no longer the issuer's: the
// caller's step belongs inside Fresh.
func (r *Records) Spend(ctx context.Context, by Caller, more ...replay.Use) error {
	outcome, err := r.spender.Spend(ctx, replay.Spend{
		ClientID:      by.Client.ID,
		ClientVersion: by.Client.Version,
		Voucher:       by.Voucher,
		Uses:          slices.Concat(by.Uses, more),
	})
	if err != nil {
		return err
	}
	if outcome.Stale {
		r.cache.Invalidate(by.Client.ID)
		return Stale{}
	}
	return outcome.Refusal()
}

// Doubt returns the refusal that a request met because of the record c, or Stale when that is no longer the client's
// record: a refused request spends nothing, so that its Spend cannot tell. It costs one look at the store.
func (r *Records) Doubt(ctx context.Context, c Client, refusal error) error {
	stored, found, err := r.finder.FindClient(ctx, c.ID)
	switch {
	case err != nil:
		return err
	case found && stored.Version == c.Version:
		return refusal
	}
	r.cache.Invalidate(c.ID)
	return Stale{}
}

// Stale says that the client, or the issuer that vouches, changed after its record was read. Nothing was spent.
type Stale struct{}

func (Stale) Error() string {
	return "the record of the client or of an issuer changed while the request was judged"
}

// Temporary makes a request that meets a second change in a row come back later.
func (Stale) Temporary() bool { return true }

// Fresh runs a step from authentication to Spend, and runs it once more when a record turned out to be stale.
func Fresh(step func() error) error {
	err := step()
	if errors.As(err, &Stale{}) {
		err = step()
	}
	return err
}
