package store

import (
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"time"

	"authserver/internal/client"

	"github.com/jackc/pgx/v5"
)

// Imported is what became of one record of an import.
type Imported string

// The outcomes of ImportClients and AddIssuers.
const (
	Created   Imported = "created"
	Updated   Imported = "updated"
	Unchanged Imported = "unchanged"
	Deleted   Imported = "deleted" // its id is a deleted client's, which never comes back
	Differs   Imported = "differs" // it is there, and not as it was given; nothing was to be replaced
)

// ImportClients makes the clients that are named, each once, what is given here, in one transaction: it adds those that are
// missing and changes those that differ; one that is as it should be keeps its version. When an id was given out and the
// registration access token stay. Nothing is written when one of them is Deleted. The outcomes are in the order given.
func (s *Store) ImportClients(ctx context.Context, clients []client.Client, now time.Time) ([]Imported, error) {
	outcomes := make([]Imported, len(clients))
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		stored, err := lockClients(ctx, tx, clients)
		if err != nil {
			return err
		}
		var writes pgx.Batch
		for i, c := range clients {
			if outcomes[i], err = importClient(&writes, stored, c, now); err != nil {
				return err
			}
		}
		if slices.Contains(outcomes, Deleted) {
			return nil
		}
		return tx.SendBatch(ctx, &writes).Close()
	})
	return outcomes, clientFailure("import clients", err)
}

// SubjectHolders are the living clients that have registered subjects of certificates: their ids, by the keys of the subjects.
func (s *Store) SubjectHolders(ctx context.Context, keys []string) (map[string]string, error) {
	rows, _ := s.pool.Query(ctx,
		`SELECT certificate_subject, id FROM client WHERE status = 'active' AND certificate_subject = ANY ($1)`, keys)
	holders := map[string]string{}
	var key, id string
	_, err := pgx.ForEachRow(rows, []any{&key, &id}, func() error {
		holders[key] = id
		return nil
	})
	return holders, failure("subject holders", err)
}

// importLock is the key of the advisory lock by which imports take turns, so that two do not add the same client.
const importLock = 0x636c69656e7473 // "clients"

// lockClients reads the clients that exist, deleted ones too, and keeps others from changing them.
func lockClients(ctx context.Context, tx pgx.Tx, clients []client.Client) (map[string]ListedClient, error) {
	if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, int64(importLock)); err != nil {
		return nil, err
	}
	var ids []string
	for _, c := range clients {
		ids = append(ids, c.ID)
	}
	rows, _ := tx.Query(ctx, selectClient+` WHERE c.id = ANY ($1) ORDER BY c.id FOR UPDATE OF c`, ids)
	all, err := pgx.CollectRows(rows, collectClient)
	stored := map[string]ListedClient{}
	for _, c := range all {
		stored[c.ID] = c
	}
	return stored, err
}

// importClient decides about one client, and puts what is to be written about it with the other writes.
func importClient(writes *pgx.Batch, stored map[string]ListedClient, c client.Client, now time.Time) (Imported, error) {
	old, found := stored[c.ID]
	switch {
	case !found:
		values, err := clientValues(c, c.IssuedAt)
		writes.Queue(insertClient, values...)
		return Created, err
	case old.Deleted:
		return Deleted, nil
	}
	c.RegistrationTokenHash = old.RegistrationTokenHash
	before, err := clientValues(old.Client, now)
	after, err2 := clientValues(c, now)
	if err := errors.Join(err, err2); err != nil {
		return "", err
	}
	if same, err := equalValues(before, after); err != nil || same {
		return Unchanged, err
	}
	writes.Queue(replaceClient, after...)
	return Updated, nil
}

// equalValues compares what clientValues returned; the metadata by what it means, not by the order of its members.
func equalValues(before, after []any) (bool, error) {
	var was, is any
	err := json.Unmarshal(before[metadataValue].([]byte), &was)
	err2 := json.Unmarshal(after[metadataValue].([]byte), &is)
	if err := errors.Join(err, err2); err != nil {
		return false, err
	}
	rest := func(values []any) []any { return slices.Delete(slices.Clone(values), metadataValue, metadataValue+1) }
	return reflect.DeepEqual(was, is) && reflect.DeepEqual(rest(before), rest(after)), nil
}
