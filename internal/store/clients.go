package store

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"
	"unicode/utf8"

	"authserver/internal/client"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// ListedClient is a client as the operator sees it: deleted ones too.
type ListedClient struct {
	client.Client
	UpdatedAt time.Time
	Deleted   bool
}

// FindClient finds an active client, with the last key set that was fetched for it.
func (s *Store) FindClient(ctx context.Context, id string) (client.Client, bool, error) {
	c, found, err := s.Client(ctx, id)
	if err != nil || !found || c.Deleted {
		return client.Client{}, false, err
	}
	return c.Client, true, nil
}

const selectClient = `
	SELECT c.id, c.version, c.status = 'deleted', c.issued_at, c.updated_at, c.metadata, c.registration_token_hash,
		c.registrar, c.serves, coalesce(c.token_lifetime, 0), c.assertion_audience, c.unbound, k.uri, k.raw, k.fetched_at
	FROM client c LEFT JOIN client_key_set k ON k.client_id = c.id`

// Client finds a client, also when it is deleted. The id is a stranger's: one that PostgreSQL cannot store as text is
// nobody's, and no fault.
func (s *Store) Client(ctx context.Context, id string) (ListedClient, bool, error) {
	if !isText(id) {
		return ListedClient{}, false, nil
	}
	c, err := scanClient(s.pool.QueryRow(ctx, selectClient+` WHERE c.id = $1`, id))
	if errors.Is(err, pgx.ErrNoRows) {
		return ListedClient{}, false, nil
	}
	return c, err == nil, failure("find client", err)
}

// isText tells whether PostgreSQL can store a string as text.
func isText(s string) bool { return utf8.ValidString(s) && !strings.Contains(s, "\x00") }

// Clients lists clients in the order of their ids, from the first behind after on and at most limit of them; the active ones,
// or with deleted all that ever were.
func (s *Store) Clients(ctx context.Context, after string, limit int, deleted bool) ([]ListedClient, error) {
	rows, _ := s.pool.Query(ctx, selectClient+`
		WHERE c.id > $1 AND ($3 OR c.status = 'active') ORDER BY c.id LIMIT $2`, after, limit, deleted)
	page, err := pgx.CollectRows(rows, collectClient)
	return page, failure("clients", err)
}

func collectClient(row pgx.CollectableRow) (ListedClient, error) { return scanClient(row) }

func scanClient(row pgx.Row) (ListedClient, error) {
	var c ListedClient
	var metadata, raw []byte
	var lifetime int64
	var uri *string
	var fetchedAt *time.Time
	err := row.Scan(&c.ID, &c.Version, &c.Deleted, &c.IssuedAt, &c.UpdatedAt, &metadata, &c.RegistrationTokenHash,
		&c.Registrar, &c.Serves, &lifetime, &c.AssertionAudience, &c.Unbound, &uri, &raw, &fetchedAt)
	if err == nil {
		err = json.Unmarshal(metadata, &c.Metadata)
	}
	if err != nil {
		return ListedClient{}, err
	}
	c.TokenLifetime = time.Duration(lifetime) * time.Second
	if uri != nil {
		c.LastKeySet = &client.FetchedKeySet{URI: *uri, Raw: raw, At: *fetchedAt}
	}
	return c, nil
}

// insertClient and replaceClient take the values of clientValues.
const (
	insertClient = `
	INSERT INTO client (id, issued_at, updated_at, metadata, registration_token_hash, registrar, serves, token_lifetime,
		assertion_audience, unbound, certificate_subject)
	VALUES ($1, $2, $2, $3, $4, $5, $6, nullif($7::integer, 0), $8, $9, $10)`
	replaceClient = `
	UPDATE client SET version = version + 1, updated_at = $2, metadata = $3, registration_token_hash = $4, registrar = $5,
		serves = $6, token_lifetime = nullif($7::integer, 0), assertion_audience = $8, unbound = $9, certificate_subject = $10
	WHERE id = $1 AND status = 'active'`
)

// metadataValue is where clientValues has the metadata, as JSON.
const metadataValue = 2

func clientValues(c client.Client, at time.Time) ([]any, error) {
	metadata, err := json.Marshal(c.Metadata)
	return []any{c.ID, at, metadata, c.RegistrationTokenHash, c.Registrar, append([]string{}, c.Serves...),
		int64(c.TokenLifetime / time.Second), cmp.Or(c.AssertionAudience, client.IssuerOnly), c.Unbound,
		subjectValue(c.Metadata)}, err
}

// subjectValue is the key of what was registered of the client's certificate; nil: nothing was.
func subjectValue(m client.Metadata) *string {
	subject, ok := m.CertificateSubject()
	if !ok {
		return nil
	}
	key := subject.Key()
	return &key
}

// clientFailure is failure for writes of clients, which a subject that is taken refuses.
func clientFailure(method string, err error) error {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok && pg.ConstraintName == "client_certificate_subject" {
		return client.SubjectTaken()
	}
	return failure(method, err)
}

// AddClient stores a new client. added is false when the id is taken, also by a deleted client. Error, as of all writes of
// metadata: client.SubjectTaken.
func (s *Store) AddClient(ctx context.Context, c client.Client) (added bool, err error) {
	values, err := clientValues(c, c.IssuedAt)
	if err != nil {
		return false, err
	}
	tag, err := s.pool.Exec(ctx, insertClient+` ON CONFLICT (id) DO NOTHING`, values...)
	return tag.RowsAffected() == 1, clientFailure("add client", err)
}

// ReplaceClient is the operator's way: it stores all of an active client but its id and when that was given out. replaced
// is false when the client is no longer at the version that c bears.
func (s *Store) ReplaceClient(ctx context.Context, c client.Client, now time.Time) (replaced bool, err error) {
	values, err := clientValues(c, now)
	if err != nil {
		return false, err
	}
	tag, err := s.pool.Exec(ctx, replaceClient+` AND version = $11`, append(values, c.Version)...)
	return tag.RowsAffected() == 1, clientFailure("replace client", err)
}

// UpdateClient replaces the metadata of an active client, and nothing that only the operator sets, and returns its new
// version. updated is false when the client is gone, since a deleted one never comes back, and when presented is no longer
// the hash of its registration access token; nil asks for none.
func (s *Store) UpdateClient(ctx context.Context, id string, presented []byte, m client.Metadata, now time.Time) (version int64, updated bool, err error) {
	metadata, err := json.Marshal(m)
	if err != nil {
		return 0, false, err
	}
	err = s.pool.QueryRow(ctx, `
		UPDATE client SET metadata = $2, version = version + 1, updated_at = $3, certificate_subject = $5
		WHERE id = $1 AND status = 'active' AND ($4::bytea IS NULL OR registration_token_hash = $4)
		RETURNING version`, id, metadata, now, presented, subjectValue(m)).Scan(&version)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, false, nil
	}
	return version, err == nil, clientFailure("update client", err)
}

// DeleteClient turns an active client into a tombstone: at its commit every replica refuses it, and its tokens are dead.
// deleted is false when there is none, and when presented is no longer the hash of its registration access token; nil asks
// for none.
func (s *Store) DeleteClient(ctx context.Context, id string, presented []byte, now time.Time) (deleted bool, err error) {
	tag, err := s.pool.Exec(ctx, `
		UPDATE client SET status = 'deleted', version = version + 1, updated_at = $2
		WHERE id = $1 AND status = 'active' AND ($3::bytea IS NULL OR registration_token_hash = $3)`, id, now, presented)
	return tag.RowsAffected() == 1, failure("delete client", err)
}

// SaveKeySet keeps the last good key set of a client, unless a newer one was kept meanwhile.
func (s *Store) SaveKeySet(ctx context.Context, clientID string, set client.FetchedKeySet) error {
	_, err := s.pool.Exec(ctx, `
		INSERT INTO client_key_set (client_id, uri, raw, fetched_at) VALUES ($1, $2, $3, $4)
		ON CONFLICT (client_id) DO UPDATE SET uri = excluded.uri, raw = excluded.raw, fetched_at = excluded.fetched_at
		WHERE client_key_set.fetched_at < excluded.fetched_at`, clientID, set.URI, set.Raw, set.At)
	return failure("save key set", err)
}

// Logo finds the last good logo of a client; found is false when there is none. The id may be a stranger's, as Client's.
func (s *Store) Logo(ctx context.Context, clientID string) (l client.Logo, found bool, err error) {
	if !isText(clientID) {
		return client.Logo{}, false, nil
	}
	err = s.pool.QueryRow(ctx, `SELECT uri, content_type, body, fetched_at FROM client_logo WHERE client_id = $1`, clientID).
		Scan(&l.URI, &l.ContentType, &l.Body, &l.At)
	if errors.Is(err, pgx.ErrNoRows) {
		return client.Logo{}, false, nil
	}
	return l, err == nil, failure("logo", err)
}

// SaveLogo keeps the last good logo of a client, unless a newer one was kept meanwhile.
func (s *Store) SaveLogo(ctx context.Context, clientID string, l client.Logo) error {
	_, err := s.pool.Exec(ctx, `
		INSERT INTO client_logo (client_id, uri, content_type, body, fetched_at) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (client_id) DO UPDATE
			SET uri = excluded.uri, content_type = excluded.content_type, body = excluded.body, fetched_at = excluded.fetched_at
			WHERE client_logo.fetched_at < excluded.fetched_at`, clientID, l.URI, l.ContentType, l.Body, l.At)
	return failure("save logo", err)
}
