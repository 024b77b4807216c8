package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"

	"authserver/internal/jose"
	"authserver/internal/keys"
)

// keysCmd is the operator's hand on the signing keys. What changes here reaches every replica within keys.RefreshEvery.
type keysCmd struct {
	List   keysListCmd   `cmd:"" help:"Show the signing keys: which signs, which comes next, and until when each is published."`
	Rotate keysRotateCmd `cmd:"" help:"Make the next keys. They sign from when every verifier can have them."`
	Retire keysRetireCmd `cmd:"" help:"Take a key out of use and out of the key set; what it has signed is dead."`
	Rewrap keysRewrapCmd `cmd:"" help:"Seal all signing keys anew with the first key-encryption key of the list."`
}

// keysTarget is the database whose keys a sub-command works on, and how it prints them.
type keysTarget struct {
	target `embed:""`
	JSON   bool `name:"json" help:"Print JSON."`
}

// openRing opens the keys at the database's time: the operator's machine may have any.
func (k keysTarget) openRing(ctx context.Context, src *sources) (*opened, *keys.Ring, error) {
	o, err := k.openMigrated(ctx, src)
	if err != nil {
		return nil, nil, err
	}
	ring, err := o.ring(ctx)
	if err != nil {
		o.store.Close()
		return nil, nil, bootError(err)
	}
	return o, ring, nil
}

func (o *opened) ring(ctx context.Context) (*keys.Ring, error) {
	if o.encryptionKeys == nil {
		return nil, errors.New("key-encryption-key is missing: set AUTHSERVER_KEY_ENCRYPTION_KEY as the replicas have it")
	}
	now, err := o.store.Clock(ctx)
	if err != nil {
		return nil, err
	}
	return keys.Open(ctx, o.store, o.encryptionKeys, func() time.Time { return now })
}

// print shows keys as data.
func (k keysTarget) print(w io.Writer, all []keys.Status) error {
	if k.JSON {
		return json.NewEncoder(w).Encode(all)
	}
	table := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	fmt.Fprintln(table, "ALG\tSTATE\tKID\tSIGNS FROM\tPUBLISHED UNTIL")
	for _, s := range all {
		until := "-"
		if !s.PublishedUntil.IsZero() {
			until = s.PublishedUntil.Format(time.RFC3339)
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", s.Alg, s.State, s.KID, s.ActivatesAt.Format(time.RFC3339), until)
	}
	return table.Flush()
}

type keysListCmd struct {
	keysTarget `embed:""`
}

// Run lists the keys. It needs no key-encryption key, since it opens none.
func (l *keysListCmd) Run(ctx context.Context, out *streams, src *sources) error {
	o, err := l.openMigrated(ctx, src)
	if err != nil {
		return err
	}
	defer o.store.Close()
	now, err := o.store.Clock(ctx)
	if err != nil {
		return bootError(err)
	}
	stored, err := o.store.SigningKeys(ctx)
	if err != nil {
		return bootError(err)
	}
	return l.print(out.Stdout, keys.Statuses(stored, now))
}

type keysRotateCmd struct {
	keysTarget `embed:""`
	Alg        []jose.Alg `enum:"PS256,ES256,EdDSA" placeholder:"ALG,…" help:"Only keys of these algorithms."`
	Now        bool       `help:"Have the next keys sign at once. Verifiers that do not have them yet refuse tokens until they fetch the key set again."`
}

// Run makes the next keys and says when they sign.
func (r *keysRotateCmd) Run(ctx context.Context, out *streams, src *sources) error {
	o, ring, err := r.openRing(ctx, src)
	if err != nil {
		return err
	}
	defer o.store.Close()
	algs, in := r.Alg, keys.PublishBefore
	if len(algs) == 0 {
		algs = signingAlgs
	}
	if r.Now {
		in = 0
	}
	done, err := ring.Rotate(ctx, in, algs...)
	if err != nil {
		return bootError(err)
	}
	for _, s := range done.Next {
		fmt.Fprintf(out.Stderr, "%s: %s signs from %s on\n", s.Alg, s.KID, s.ActivatesAt.Format(time.RFC3339))
	}
	for _, s := range ring.Keys() {
		made := slices.ContainsFunc(done.Next, func(next keys.Status) bool { return next.Alg == s.Alg })
		if s.State == keys.Next && slices.Contains(algs, s.Alg) && !made {
			fmt.Fprintf(out.Stderr, "%s: %s waits already and signs from %s on; none was made\n", s.Alg, s.KID, s.ActivatesAt.Format(time.RFC3339))
		}
	}
	if r.Now {
		fmt.Fprintf(out.Stderr, "Replicas know them within %s. A verifier whose copy of the key set is older refuses their tokens until it\n"+
			"fetches the set again, which its Cache-Control asks for after %s.\n", keys.RefreshEvery, keys.MaxAge)
	}
	return r.print(out.Stdout, ring.Keys())
}

type keysRetireCmd struct {
	keysTarget `embed:""`
	KID        string `arg:"" name:"kid" help:"The key."`
	Replace    bool   `help:"If the key signs now, have another sign at once in its place."`
}

// Run retires one key and says what that ends.
func (r *keysRetireCmd) Run(ctx context.Context, out *streams, src *sources) error {
	o, ring, err := r.openRing(ctx, src)
	if err != nil {
		return err
	}
	defer o.store.Close()
	done, err := ring.Retire(ctx, r.KID, r.Replace)
	switch {
	case errors.Is(err, keys.ErrUnknownKey):
		return exitError{exitUsage, "there is no signing key " + r.KID + "; authserver keys list shows all"}
	case errors.Is(err, keys.ErrKeySigns):
		return exitError{exitUsage, r.KID + " signs now. Say --replace to have another sign at once in its place, or first\n" +
			"run authserver keys rotate and retire it when the next one signs"}
	case err != nil:
		return bootError(err)
	case len(done.Retired) == 0:
		fmt.Fprintf(out.Stderr, "%s was retired before; nothing is changed\n", r.KID)
	default:
		fmt.Fprintf(out.Stderr, "%s is retired. Replicas refuse what it has signed, and sign with it no more, within %s;\n"+
			"verifiers elsewhere when they fetch the key set again, which its Cache-Control asks for after %s.\n", r.KID, keys.RefreshEvery, keys.MaxAge)
	}
	for _, s := range done.Next {
		fmt.Fprintf(out.Stderr, "%s: %s signs from now on\n", s.Alg, s.KID)
	}
	return r.print(out.Stdout, ring.Keys())
}

type keysRewrapCmd struct {
	keysTarget `embed:""`
}

// Run seals all keys anew, or none.
func (r *keysRewrapCmd) Run(ctx context.Context, out *streams, src *sources) error {
	o, ring, err := r.openRing(ctx, src)
	if err != nil {
		return err
	}
	defer o.store.Close()
	n, err := ring.Rewrap(ctx)
	if err != nil {
		return bootError(err)
	}
	fmt.Fprintln(out.Stderr, "Every replica must have the first key-encryption key of this list before it starts or reads the keys again; the others\n"+
		"may leave the list then. Backups still hold the keys as they were sealed before.")
	if r.JSON {
		return json.NewEncoder(out.Stdout).Encode(map[string]int{"resealed": n})
	}
	_, err = fmt.Fprintln(out.Stdout, "resealed", plural(n, "key"))
	return err
}
