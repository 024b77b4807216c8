package store

import (
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"time"

	"authserver/internal/client"
	"authserver/internal/issuer"
	"authserver/internal/jose"
	"authserver/internal/oauth"

	"github.com/jackc/pgx/v5"
)

const selectIssuer = `
	SELECT i.name, i.version, i.added_at, i.updated_at, i.jwks, i.jwks_uri, i.algs, i.audiences, i.max_lifetime, i.subjects,
		i.require_jti, i.clients, i.scopes, i.token_lifetime, i.require_client_authentication, i.require_binding,
		k.uri, k.raw, k.fetched_at
	FROM issuer i LEFT JOIN issuer_key_set k ON k.issuer = i.name`

// FindIssuer finds an issuer that is trusted, with the last key set that was fetched for it. The name is a stranger's: one
// that PostgreSQL cannot store as text is nobody's, and no fault.
func (s *Store) FindIssuer(ctx context.Context, name string) (issuer.Issuer, bool, error) {
	if !isText(name) {
		return issuer.Issuer{}, false, nil
	}
	i, err := scanIssuer(s.pool.QueryRow(ctx, selectIssuer+` WHERE i.name = $1`, name))
	if errors.Is(err, pgx.ErrNoRows) {
		return issuer.Issuer{}, false, nil
	}
	return i, err == nil, failure("find issuer", err)
}

// TrustsIssuers tells whether any issuer is trusted.
func (s *Store) TrustsIssuers(ctx context.Context) (any bool, err error) {
	err = s.pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM issuer)`).Scan(&any)
	return any, failure("trusts issuers", err)
}

// NamesClient tells whether one of the names is the id of a client, or was that of a deleted one. They may be a stranger's.
func (s *Store) NamesClient(ctx context.Context, names ...string) (taken bool, err error) {
	var texts []string
	for _, name := range names {
		if isText(name) {
			texts = append(texts, name)
		}
	}
	err = s.pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM client WHERE id = ANY ($1))`, texts).Scan(&taken)
	return taken, failure("names client", err)
}

// IssuersNaming returns which of the ids a new client must not have, since a trusted issuer is called so or may speak for it,
// and the first such issuer of each. An id that is or was a client's is left out: what that brings the issuer is done.
func (s *Store) IssuersNaming(ctx context.Context, ids ...string) (map[string]string, error) {
	rows, _ := s.pool.Query(ctx, `
		SELECT n.id, min(i.name) FROM unnest($1::text[]) n (id) JOIN issuer i ON i.name = n.id OR n.id = ANY (i.subjects)
		WHERE NOT EXISTS (SELECT FROM client c WHERE c.id = n.id) GROUP BY n.id`, ids)
	naming := map[string]string{}
	var id, name string
	_, err := pgx.ForEachRow(rows, []any{&id, &name}, func() error { naming[id] = name; return nil })
	return naming, failure("issuers naming", err)
}

// Issuers lists issuers in the order of their names, from the first behind after on and at most limit of them.
func (s *Store) Issuers(ctx context.Context, after string, limit int) ([]issuer.Issuer, error) {
	rows, _ := s.pool.Query(ctx, selectIssuer+` WHERE i.name > $1 ORDER BY i.name LIMIT $2`, after, limit)
	page, err := pgx.CollectRows(rows, collectIssuer)
	return page, failure("issuers", err)
}

func collectIssuer(row pgx.CollectableRow) (issuer.Issuer, error) { return scanIssuer(row) }

func scanIssuer(row pgx.Row) (issuer.Issuer, error) {
	var i issuer.Issuer
	var jwks, raw []byte
	var maxLifetime, tokenLifetime int64
	var scopes []string
	var uri *string
	var fetchedAt *time.Time
	err := row.Scan(&i.Name, &i.Version, &i.AddedAt, &i.UpdatedAt, &jwks, &i.JWKSURI, &i.Algs, &i.Audiences, &maxLifetime,
		&i.Subjects, &i.RequireJTI, &i.Clients, &scopes, &tokenLifetime, &i.RequireClientAuthentication, &i.RequireBinding,
		&uri, &raw, &fetchedAt)
	if err != nil {
		return issuer.Issuer{}, err
	}
	i.JWKS, i.Scopes = jwks, oauth.Scope(scopes)
	i.MaxLifetime, i.TokenLifetime = time.Duration(maxLifetime)*time.Second, time.Duration(tokenLifetime)*time.Second
	if uri != nil {
		i.LastKeySet = &client.FetchedKeySet{URI: *uri, Raw: raw, At: *fetchedAt}
	}
	return i, nil
}

// insertIssuer and replaceIssuer take the values of issuerValues.
const (
	insertIssuer = `
	INSERT INTO issuer (name, added_at, updated_at, jwks, jwks_uri, algs, audiences, max_lifetime, subjects, require_jti,
		clients, scopes, token_lifetime, require_client_authentication, require_binding)
	VALUES ($1, $2, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)`
	replaceIssuer = `
	UPDATE issuer SET version = DEFAULT, updated_at = $2, jwks = $3, jwks_uri = $4, algs = $5, audiences = $6,
		max_lifetime = $7, subjects = $8, require_jti = $9, clients = $10, scopes = $11, token_lifetime = $12,
		require_client_authentication = $13, require_binding = $14
	WHERE name = $1`
)

func issuerValues(i issuer.Issuer, at time.Time) []any {
	var jwks []byte // null where the keys are behind a jwks_uri
	if i.JWKSURI == "" {
		jwks = i.JWKS
	}
	return []any{i.Name, at, jwks, i.JWKSURI, append([]jose.Alg{}, i.Algs...), append([]string{}, i.Audiences...),
		int64(i.MaxLifetime / time.Second), append([]string{}, i.Subjects...), i.RequireJTI, append([]string{}, i.Clients...),
		append([]string{}, i.Scopes...), int64(i.TokenLifetime / time.Second), i.RequireClientAuthentication, i.RequireBinding}
}

// AddIssuers trusts the issuers that are named, each once, as it is given here, in one transaction. One that is there and
// differs is changed only with replace; without it nothing is written, and its outcome is Differs. The outcomes are in the
// order given.
func (s *Store) AddIssuers(ctx context.Context, issuers []issuer.Issuer, replace bool, now time.Time) ([]Imported, error) {
	outcomes := make([]Imported, len(issuers))
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		stored, err := lockIssuers(ctx, tx, issuers)
		if err != nil {
			return err
		}
		var writes pgx.Batch
		refused := false
		for n, i := range issuers {
			if outcomes[n], err = importIssuer(&writes, stored, i, now); err != nil {
				return err
			}
			if outcomes[n] == Updated && !replace {
				outcomes[n], refused = Differs, true
			}
		}
		if refused {
			return nil
		}
		return tx.SendBatch(ctx, &writes).Close()
	})
	return outcomes, failure("add issuers", err)
}

// lockIssuers reads the issuers that exist, and keeps others from changing them. It takes its turn with every other import.
func lockIssuers(ctx context.Context, tx pgx.Tx, issuers []issuer.Issuer) (map[string]issuer.Issuer, error) {
	if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, int64(importLock)); err != nil {
		return nil, err
	}
	var names []string
	for _, i := range issuers {
		names = append(names, i.Name)
	}
	rows, _ := tx.Query(ctx, selectIssuer+` WHERE i.name = ANY ($1) ORDER BY i.name FOR UPDATE OF i`, names)
	all, err := pgx.CollectRows(rows, collectIssuer)
	stored := map[string]issuer.Issuer{}
	for _, i := range all {
		stored[i.Name] = i
	}
	return stored, err
}

// importIssuer decides about one issuer, and puts what is to be written about it with the other writes.
func importIssuer(writes *pgx.Batch, stored map[string]issuer.Issuer, i issuer.Issuer, now time.Time) (Imported, error) {
	old, found := stored[i.Name]
	if !found {
		writes.Queue(insertIssuer, issuerValues(i, now)...)
		return Created, nil
	}
	same, err := sameIssuer(old, i)
	if err != nil || same {
		return Unchanged, err
	}
	writes.Queue(replaceIssuer, issuerValues(i, now)...)
	return Updated, nil
}

// sameIssuer compares what is stored of two records; keys by what they mean, not by the order of their members.
func sameIssuer(a, b issuer.Issuer) (bool, error) {
	var keys [2]any
	for n, i := range []*issuer.Issuer{&a, &b} {
		if i.JWKSURI == "" {
			if err := json.Unmarshal(i.JWKS, &keys[n]); err != nil {
				return false, err
			}
		}
		i.JWKS = nil
	}
	at := time.Time{}
	return reflect.DeepEqual(keys[0], keys[1]) && reflect.DeepEqual(issuerValues(a, at), issuerValues(b, at)), nil
}

// RemoveIssuer ends the trust in an issuer: from the commit on no replica takes its assertions. Tokens that they gave live
// to their end. removed is false when there is none.
func (s *Store) RemoveIssuer(ctx context.Context, name string) (removed bool, err error) {
	tag, err := s.pool.Exec(ctx, `DELETE FROM issuer WHERE name = $1`, name)
	return tag.RowsAffected() == 1, failure("remove issuer", err)
}

// SaveIssuerKeySet keeps the last good key set of an issuer, unless a newer one was kept meanwhile. One that was removed, and
// perhaps added again, since the fetch began keeps nothing of it.
func (s *Store) SaveIssuerKeySet(ctx context.Context, name string, set client.FetchedKeySet) error {
	_, err := s.pool.Exec(ctx, `
		INSERT INTO issuer_key_set (issuer, uri, raw, fetched_at)
			SELECT name, $2::text, $3::bytea, $4::timestamptz FROM issuer WHERE name = $1 AND added_at <= $4
		ON CONFLICT (issuer) DO UPDATE SET uri = excluded.uri, raw = excluded.raw, fetched_at = excluded.fetched_at
		WHERE issuer_key_set.fetched_at < excluded.fetched_at`, name, set.URI, set.Raw, set.At)
	return failure("save issuer key set", err)
}
