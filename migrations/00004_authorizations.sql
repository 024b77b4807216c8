-- +goose Up

-- Who may sign in, with a password or through an upstream. The subject is who it is in every token; its default is for a
-- program that does not know the column.
ALTER TABLE person
    DROP CONSTRAINT person_pkey,
    ADD COLUMN subject text NOT NULL DEFAULT '_' || replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''),
    ADD COLUMN name             text NOT NULL DEFAULT '',
    ADD COLUMN upstream_issuer  text,
    ADD COLUMN upstream_subject text,
    ADD COLUMN disabled_at      timestamptz,
    ALTER COLUMN username DROP NOT NULL,
    ADD PRIMARY KEY (subject),
    ADD UNIQUE (username),
    ADD UNIQUE (upstream_issuer, upstream_subject),
    -- A subject looks like no client's id (RFC 9700 §4.15).
    ADD CHECK (starts_with(subject, '_')),
    ADD CHECK ((upstream_issuer IS NULL) = (upstream_subject IS NULL)),
    ADD CHECK (username IS NOT NULL OR upstream_subject IS NOT NULL);

-- Secrets are kept as their SHA-256: what is not 32 octets long is none.

-- Authorization requests as they were pushed and validated, by their request_uri. One decision ends one.
CREATE TABLE pushed_request (
    id         bytea PRIMARY KEY CHECK (octet_length(id) = 32),
    client_id  text NOT NULL REFERENCES client (id),
    -- json, not jsonb: it is read as a whole and never searched, and what the client wrote may be what jsonb cannot hold.
    request    json NOT NULL,
    arrive_by  timestamptz NOT NULL,
    decided_at timestamptz
);
CREATE INDEX pushed_request_arrive_by ON pushed_request (arrive_by);

-- One browser on its way from a pushed request to a decision, by what its cookie holds.
CREATE TABLE interaction (
    id         bytea PRIMARY KEY CHECK (octet_length(id) = 32),
    request_id bytea NOT NULL REFERENCES pushed_request (id) ON DELETE CASCADE,
    opened_at  timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    subject    text NOT NULL DEFAULT '', -- empty: nobody has signed in yet
    accounts   text[],                   -- null: none have been chosen yet
    departure  bytea CHECK (octet_length(departure) = 32) -- the state that an upstream will bring back
);
CREATE INDEX interaction_request_id ON interaction (request_id);

-- What a person has allowed a client.
CREATE TABLE authorization_grant (
    id            text PRIMARY KEY,
    client_id     text NOT NULL REFERENCES client (id),
    subject       text NOT NULL REFERENCES person (subject),
    scope         text NOT NULL,
    resources     text[] NOT NULL DEFAULT '{}',
    accounts      text[], -- null: nothing of the scope is about accounts
    auth_time     timestamptz NOT NULL,
    acr           text NOT NULL DEFAULT '',
    amr           text[] NOT NULL DEFAULT '{}',
    created_at    timestamptz NOT NULL,
    expires_at    timestamptz NOT NULL,
    revoked_at    timestamptz,
    refresh_token bytea UNIQUE CHECK (octet_length(refresh_token) = 32) -- null: none was given
);
CREATE INDEX authorization_grant_subject ON authorization_grant (subject);

CREATE TABLE authorization_code (
    id             bytea PRIMARY KEY CHECK (octet_length(id) = 32),
    grant_id       text NOT NULL REFERENCES authorization_grant (id) ON DELETE CASCADE,
    client_id      text NOT NULL,
    redirect_uri   text NOT NULL,
    code_challenge text NOT NULL,
    dpop_jkt       text NOT NULL, -- empty: any key may redeem it
    expires_at     timestamptz NOT NULL,
    failures       integer NOT NULL DEFAULT 0,
    spent          boolean NOT NULL DEFAULT false,
    redeemed       boolean NOT NULL DEFAULT false
);
CREATE INDEX authorization_code_grant_id ON authorization_code (grant_id);
CREATE INDEX authorization_code_expires_at ON authorization_code (expires_at);

-- Somebody signed in at one browser, by what its cookie holds.
CREATE TABLE session (
    id         bytea PRIMARY KEY CHECK (octet_length(id) = 32),
    subject    text NOT NULL REFERENCES person (subject),
    name       text NOT NULL,
    auth_time  timestamptz NOT NULL,
    acr        text NOT NULL,
    amr        text[] NOT NULL DEFAULT '{}',
    started_at timestamptz NOT NULL,
    used_at    timestamptz NOT NULL,
    ends_at    timestamptz NOT NULL -- unless it is used again, by the settings of its last use: for the sweeper
);
CREATE INDEX session_subject ON session (subject);
CREATE INDEX session_ends_at ON session (ends_at);

-- Attempts to sign in, by a hash of the account or of the address.
CREATE TABLE login_attempt (
    key   bytea PRIMARY KEY,
    since timestamptz NOT NULL,
    count integer NOT NULL
);
CREATE INDEX login_attempt_since ON login_attempt (since);

-- +goose Down
DROP TABLE login_attempt;
DROP TABLE session;
DROP TABLE authorization_code;
DROP TABLE authorization_grant;
DROP TABLE interaction;
DROP TABLE pushed_request;

-- People of an upstream have no name to be kept by, and a disabled one would be able to sign in again: both are lost.
DELETE FROM person WHERE username IS NULL OR disabled_at IS NOT NULL;
ALTER TABLE person
    DROP COLUMN subject,
    DROP COLUMN name,
    DROP COLUMN upstream_issuer,
    DROP COLUMN upstream_subject,
    DROP COLUMN disabled_at,
    DROP CONSTRAINT person_username_key,
    ADD PRIMARY KEY (username);
