-- +goose Up

-- The session that the browser had when it came, alive or not. A database may have the column already: for a time the step
-- before this one made it.
ALTER TABLE interaction ADD COLUMN IF NOT EXISTS came_with bytea CHECK (octet_length(came_with) = 32);

-- A grant is the record of a consent (FDX, ConsentGrant). Grants of before share no data of FDX any more: nobody was asked
-- in its words.
ALTER TABLE authorization_grant
    ADD COLUMN details    json, -- as they were granted; null: FDX has no part in it. Read as a whole, and never searched.
    ADD COLUMN updated_at timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN used_at    timestamptz; -- null: not yet
UPDATE authorization_grant SET updated_at = coalesce(revoked_at, created_at);
CREATE INDEX authorization_grant_client_id ON authorization_grant (client_id);
-- When a grant is over, for the sweeper.
CREATE INDEX authorization_grant_over ON authorization_grant (least(revoked_at, expires_at));
-- Deleted clients that still hold what they had registered, for the sweeper too.
CREATE INDEX client_deleted ON client (updated_at) WHERE status = 'deleted' AND metadata::text <> '{}';

-- The history of grants: who did what, when and why. A row is written with the change itself, and goes only with its grant.
CREATE TABLE grant_change (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    grant_id       text NOT NULL REFERENCES authorization_grant (id) ON DELETE CASCADE,
    at             timestamptz NOT NULL,
    event          text NOT NULL CHECK (event IN ('given', 'fetched', 'revoked')),
    why            text NOT NULL,
    actor          text NOT NULL,
    by             text NOT NULL,
    reason         text NOT NULL, -- of revoked, as the next, in the words of FDX
    initiator      text NOT NULL,
    interaction_id text NOT NULL
);
CREATE INDEX grant_change_grant_id ON grant_change (grant_id);

-- +goose StatementBegin
CREATE FUNCTION keep_history() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the history of grants is never rewritten';
END $$;
-- +goose StatementEnd
CREATE TRIGGER grant_change_kept BEFORE UPDATE ON grant_change FOR EACH STATEMENT EXECUTE FUNCTION keep_history();

INSERT INTO grant_change (grant_id, at, event, why, actor, by, reason, initiator, interaction_id)
SELECT id, created_at, 'given', 'approved', 'person', '', '', '', '' FROM authorization_grant;

-- The last good logo of a client: apart from client, as its key set is. The bounds are those of what is fetched.
CREATE TABLE client_logo (
    client_id    text PRIMARY KEY REFERENCES client (id),
    uri          text NOT NULL CHECK (octet_length(uri) <= 2000),
    content_type text NOT NULL CHECK (content_type IN ('image/png', 'image/jpeg')),
    body         bytea NOT NULL CHECK (octet_length(body) BETWEEN 1 AND 262144),
    fetched_at   timestamptz NOT NULL
);
CREATE INDEX client_logo_fetched_at ON client_logo (fetched_at);

-- +goose Down
DROP TABLE client_logo;
DROP TABLE grant_change;
DROP FUNCTION keep_history;
DROP INDEX client_deleted;
DROP INDEX authorization_grant_over;
DROP INDEX authorization_grant_client_id;
ALTER TABLE authorization_grant
    DROP COLUMN details,
    DROP COLUMN updated_at,
    DROP COLUMN used_at;
ALTER TABLE interaction DROP COLUMN came_with;
