-- +goose Up

-- Which deployment this database belongs to: one issuer, and whether it is a development one.
CREATE TABLE deployment (
    singleton  boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    mode       text NOT NULL CHECK (mode IN ('dev', 'serve')),
    issuer     text NOT NULL,
    created_at timestamptz NOT NULL
);

-- A deleted client is a tombstone: its id is never given out again, and version tells every replica at the commit.
CREATE TABLE client (
    id                      text PRIMARY KEY,
    version                 bigint NOT NULL DEFAULT 1,
    status                  text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'deleted')),
    issued_at               timestamptz NOT NULL,
    updated_at              timestamptz NOT NULL,
    -- json, not jsonb: it is echoed as it came and never searched.
    metadata                json NOT NULL,
    registration_token_hash bytea NOT NULL,
    registrar               boolean NOT NULL DEFAULT false,
    serves                  text[] NOT NULL DEFAULT '{}'
);

-- Apart from client, so that storing what was fetched never touches the row that spends are judged by.
CREATE TABLE client_key_set (
    client_id  text PRIMARY KEY REFERENCES client (id),
    uri        text NOT NULL,
    raw        bytea NOT NULL,
    fetched_at timestamptz NOT NULL
);

-- The replay ring (package replay): eight slots of half an hour. No default partition: a slot outside is a fault.
CREATE TABLE spent (
    slot smallint NOT NULL,
    key  bytea NOT NULL,
    PRIMARY KEY (slot, key)
) PARTITION BY LIST (slot);
CREATE TABLE spent_0 PARTITION OF spent FOR VALUES IN (0);
CREATE TABLE spent_1 PARTITION OF spent FOR VALUES IN (1);
CREATE TABLE spent_2 PARTITION OF spent FOR VALUES IN (2);
CREATE TABLE spent_3 PARTITION OF spent FOR VALUES IN (3);
CREATE TABLE spent_4 PARTITION OF spent FOR VALUES IN (4);
CREATE TABLE spent_5 PARTITION OF spent FOR VALUES IN (5);
CREATE TABLE spent_6 PARTITION OF spent FOR VALUES IN (6);
CREATE TABLE spent_7 PARTITION OF spent FOR VALUES IN (7);

CREATE TABLE signing_key (
    kid        text PRIMARY KEY,
    alg        text NOT NULL UNIQUE,
    private    bytea NOT NULL,
    created_at timestamptz NOT NULL
);

CREATE TABLE person (
    username      text PRIMARY KEY,
    password_hash text NOT NULL,
    created_at    timestamptz NOT NULL
);

-- +goose Down
DROP TABLE person;
DROP TABLE signing_key;
DROP TABLE spent;
DROP TABLE client_key_set;
DROP TABLE client;
DROP TABLE deployment;
