package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"

	"authserver/internal/audit"
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

// work is a sub-command that changes keys.
type work struct {
	*opened
	ring  *keys.Ring
	now   time.Time // of the database: the operator's machine may have any
	trail *audit.Log
	out   *streams
}

// begin opens database, keys and trail. All keys must open before any is changed.
func (k keysTarget) begin(ctx context.Context, out *streams, src *sources) (*work, error) {
	o, err := k.openMigrated(ctx, src)
	if err != nil {
		return nil, err
	}
	w := &work{opened: o, out: out}
	if err = w.openRing(ctx); err == nil {
		w.trail, err = k.auditLog(out)
	}
	if err != nil {
		o.store.Close()
		return nil, bootError(err)
	}
	return w, nil
}

func (w *work) openRing(ctx context.Context) (err error) {
	if w.encryptionKeys == nil {
		return errors.New("key-encryption-key is missing: set AUTHSERVER_KEY_ENCRYPTION_KEY as the replicas have it")
	}
	if w.now, err = w.store.Clock(ctx); err != nil {
		return err
	}
	w.ring, err = keys.Open(ctx, w.store, w.encryptionKeys, func() time.Time { return w.now })
	return err
}

func (w *work) close() {
	w.store.Close()
	_ = w.trail.Close()
}

// audit writes a record for each key. What it is about is done, whether or not the record can be written.
func (w *work) audit(event audit.Event, changed []keys.Status) {
	for _, s := range changed {
		if err := w.trail.Write(audit.Record{Time: w.now, Event: event, Actor: audit.Operator, KeyID: s.KID}); err != nil {
			w.say("%s of %s is not in the audit log: %v", event, s.KID, err)
		}
	}
}

// say talks to the operator.
func (w *work) say(format string, args ...any) { fmt.Fprintf(w.out.Stderr, format+"\n", args...) }

// print shows keys as data, one algorithm after the other.
func (k keysTarget) print(w io.Writer, all []keys.Status) error {
	slices.SortStableFunc(all, func(a, b keys.Status) int { return cmp.Compare(a.Alg, b.Alg) })
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
	Now        bool       `help:"Have the next keys sign at once. Verifiers refuse their tokens until they fetch the key set again."`
}

// Run makes the next keys and says when they sign.
func (r *keysRotateCmd) Run(ctx context.Context, out *streams, src *sources) error {
	w, err := r.begin(ctx, out, src)
	if err != nil {
		return err
	}
	defer w.close()
	algs, in := r.Alg, keys.PublishBefore
	if len(algs) == 0 {
		algs = signingAlgs
	}
	if r.Now {
		in = 0
	}
	done, err := w.ring.Rotate(ctx, in, algs...)
	w.audit(audit.KeyRotated, done.Next)
	if err != nil {
		return bootError(err)
	}
	for _, s := range w.ring.Keys() {
		made := slices.ContainsFunc(done.Next, func(next keys.Status) bool { return next.KID == s.KID })
		switch at := s.ActivatesAt.Format(time.RFC3339); {
		case made:
			w.say("%s: %s signs from %s on", s.Alg, s.KID, at)
		case s.State == keys.Next && slices.Contains(algs, s.Alg):
			w.say("%s: %s waits already and signs from %s on; none was made", s.Alg, s.KID, at)
		}
	}
	if r.Now {
		w.say("Replicas know them within %s. A verifier whose copy of the key set is older refuses their tokens until it\n"+
			"fetches the set again, which its Cache-Control asks for after %s.", keys.RefreshEvery, keys.MaxAge)
	}
	return r.print(out.Stdout, w.ring.Keys())
}

type keysRetireCmd struct {
	keysTarget `embed:""`
	KID        string `arg:"" name:"kid" help:"The key."`
	Replace    bool   `help:"If the key signs now, have another sign at once in its place."`
}

// Run retires one key and says what that ends.
func (r *keysRetireCmd) Run(ctx context.Context, out *streams, src *sources) error {
	w, err := r.begin(ctx, out, src)
	if err != nil {
		return err
	}
	defer w.close()
	done, err := w.ring.Retire(ctx, r.KID, r.Replace)
	w.audit(audit.KeyRetired, done.Retired)
	w.audit(audit.KeyRotated, done.Next)
	switch {
	case errors.Is(err, keys.ErrUnknownKey):
		return exitError{exitUsage, "there is no signing key " + r.KID + "; authserver keys list shows all"}
	case errors.Is(err, keys.ErrKeySigns):
		return exitError{exitUsage, r.KID + " signs now. Say --replace to have another sign at once in its place, or first\n" +
			"run authserver keys rotate and retire it when the next one signs"}
	case err != nil:
		return bootError(err)
	}
	if len(done.Retired) == 0 {
		w.say("%s was retired before; nothing is changed", r.KID)
	} else {
		w.say("%s is retired. Replicas refuse what it has signed, and sign with it no more, within %s;\n"+
			"verifiers elsewhere when they fetch the key set again, which its Cache-Control asks for after %s.",
			r.KID, keys.RefreshEvery, keys.MaxAge)
	}
	for _, s := range done.Next {
		w.say("%s: %s signs from now on", s.Alg, s.KID)
	}
	return r.print(out.Stdout, w.ring.Keys())
}

type keysRewrapCmd struct {
	keysTarget `embed:""`
}

// Run seals all keys anew, or none.
func (r *keysRewrapCmd) Run(ctx context.Context, out *streams, src *sources) error {
	w, err := r.begin(ctx, out, src)
	if err != nil {
		return err
	}
	defer w.close()
	n, err := w.ring.Rewrap(ctx)
	if err != nil {
		return bootError(err)
	}
	w.audit(audit.KeyRewrapped, w.ring.Keys())
	w.say("A replica without the first key-encryption key of this list cannot start or read the keys any more; the others may\n" +
		"leave the list. Backups still hold the keys as they were sealed before.")
	if r.JSON {
		return json.NewEncoder(out.Stdout).Encode(map[string]int{"resealed": n})
	}
	_, err = fmt.Fprintln(out.Stdout, "resealed", plural(n, "key"))
	return err
}
