package keys

import (
	"context"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"time"

	"authserver/internal/jose"
)

// Changed is what a change has done, for the log, the audit trail and the operator. It may have been done although an error
// stands beside it: then the keys could not be read again.
type Changed struct {
	Next    []Status // keys that were made, or brought forward
	Retired []Status
	Deleted []Status // as they were
}

// Turn is the automatic rotation, to be called by every replica every now and then: in time for the changeover at the age
// of rotation (0: by hand only) it makes the next key, and it deletes what nothing needs any more. Whoever comes first has
// done it for all.
func (r *Ring) Turn(ctx context.Context, rotation time.Duration) (Changed, error) {
	return r.change(ctx, turning(rotation, r.algs))
}

// Rotate has the keys of the algorithms followed by the next ones after a while: PublishBefore hurts nobody; with less, a
// verifier refuses tokens until it has fetched the key set again.
func (r *Ring) Rotate(ctx context.Context, in time.Duration, algs ...jose.Alg) (Changed, error) {
	return r.change(ctx, rotating(in, algs))
}

// Retire takes a key out of the set; what it has signed is refused by each replica from its next Refresh on. The key that
// signs goes only with replace, which has another sign at once. A key that was retired before changes nothing. The error
// may be ErrUnknownKey or ErrKeySigns.
func (r *Ring) Retire(ctx context.Context, kid string, replace bool) (Changed, error) {
	return r.change(ctx, retiring(kid, replace))
}

// Rewrap seals all keys anew with the first key-encryption key, or none if one of them does not open.
func (r *Ring) Rewrap(ctx context.Context) (n int, err error) {
	err = r.store.ChangeSigningKeys(ctx, func(stored []Sealed) (Changes, error) {
		var c Changes
		for _, row := range stored {
			der, err := r.sealing.open(row.KID, row.Alg, row.Private)
			if err == nil {
				row.Private, err = r.sealing.seal(row.KID, row.Alg, der)
			}
			if err != nil {
				return Changes{}, fmt.Errorf("signing key %s: %w", row.KID, err)
			}
			c.Put = append(c.Put, row)
		}
		n = len(c.Put)
		return c, nil
	})
	return n, err
}

// change does what a rule judges. It first looks without the lock, since mostly nothing is to be done, and makes new keys
// then: an RSA key takes too long to hold others up. Under the lock the rule judges again. A replica that cannot open the
// keys that are there never gets to add to them. What was done is returned even beside an error, which then is that of
// reading the keys again.
func (r *Ring) change(ctx context.Context, judge rule) (done Changed, err error) {
	if err := r.Refresh(ctx); err != nil {
		return done, err
	}
	now := r.now().Truncate(time.Microsecond) // as PostgreSQL keeps it
	look := judge(r.opened.Load().rows, now)
	if look.refusal != nil || look.empty() {
		return done, look.refusal
	}
	made := map[jose.Alg]Sealed{}
	for alg := range look.create {
		if made[alg], err = generate(alg, r.sealing, now); err != nil {
			return done, err
		}
	}
	err = r.store.ChangeSigningKeys(ctx, func(stored []Sealed) (Changes, error) {
		p := judge(stored, now)
		if p.refusal != nil {
			return Changes{}, p.refusal
		}
		c := Changes{Put: p.change, Delete: p.drop}
		for alg, at := range p.create {
			k, ready := made[alg]
			if !ready { // somebody changed the keys since the look
				if k, err = generate(alg, r.sealing, now); err != nil {
					return Changes{}, err
				}
			}
			k.ActivatesAt = at
			c.Put = append(c.Put, k)
		}
		done = c.tell(stored, now)
		return c, nil
	})
	if err != nil {
		return Changed{}, err
	}
	return done, r.Refresh(ctx)
}

// tell sums up what the changes do to the keys that are stored.
func (c Changes) tell(stored []Sealed, now time.Time) Changed {
	var done Changed
	for _, s := range Statuses(stored, now) {
		if slices.Contains(c.Delete, s.KID) {
			done.Deleted = append(done.Deleted, s)
		}
	}
	named := func(kid string) func(Sealed) bool { return func(k Sealed) bool { return k.KID == kid } }
	after := slices.Clone(stored)
	for _, k := range c.Put {
		after = append(slices.DeleteFunc(after, named(k.KID)), k)
	}
	for _, s := range Statuses(after, now) {
		switch {
		case !slices.ContainsFunc(c.Put, named(s.KID)):
		case s.State == Retired:
			done.Retired = append(done.Retired, s)
		default:
			done.Next = append(done.Next, s)
		}
	}
	return done
}

// generate makes a new key and seals it. A kid that begins with a dash is passed over: on the operator's command line it
// would be a flag.
func generate(alg jose.Alg, k EncryptionKeys, now time.Time) (Sealed, error) {
	private, err := jose.GenerateKey(alg)
	if err != nil {
		return Sealed{}, err
	}
	unnamed, err := jose.NewSigner(alg, "unnamed", private)
	if err != nil {
		return Sealed{}, err
	}
	kid := unnamed.Key().Thumbprint()
	if strings.HasPrefix(kid, "-") {
		return generate(alg, k, now)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return Sealed{}, err
	}
	sealed, err := k.seal(kid, alg, der)
	return Sealed{KID: kid, Alg: alg, Private: sealed, CreatedAt: now, ActivatesAt: now}, err
}
