-- +goose Up

-- Authorization requests as they were pushed and validated. The key is the SHA-256 of the request_uri. One decision ends it.
CREATE TABLE pushed_request (
    id         bytea PRIMARY KEY,
    client_id  text NOT NULL REFERENCES client (id),
    request    json NOT NULL,
    arrive_by  timestamptz NOT NULL,
    decided_at timestamptz
);
CREATE INDEX pushed_request_arrive_by ON pushed_request (arrive_by);

-- One browser on its way from a pushed request to a decision. The key is the SHA-256 of what its cookie holds.
CREATE TABLE interaction (
    id         bytea PRIMARY KEY,
    request_id bytea NOT NULL REFERENCES pushed_request (id) ON DELETE CASCADE,
    opened_at  timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    subject    text NOT NULL DEFAULT ''
);
CREATE INDEX interaction_request ON interaction (request_id);
CREATE INDEX interaction_expires_at ON interaction (expires_at);

-- What a person has allowed a client.
CREATE TABLE authorization_grant (
    id         text PRIMARY KEY,
    client_id  text NOT NULL REFERENCES client (id),
    subject    text NOT NULL,
    scope      text NOT NULL,
    resources  text[] NOT NULL DEFAULT '{}',
    auth_time  timestamptz NOT NULL,
    acr        text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz,
    -- The SHA-256 of the grant's one refresh token; null until a client that may refresh has redeemed the code.
    refresh_token bytea UNIQUE
);
CREATE INDEX authorization_grant_subject ON authorization_grant (subject);
CREATE INDEX authorization_grant_expires_at ON authorization_grant (expires_at);

CREATE TABLE authorization_code (
    id             bytea PRIMARY KEY, -- the SHA-256 of the code
    grant_id       text NOT NULL REFERENCES authorization_grant (id) ON DELETE CASCADE,
    client_id      text NOT NULL,
    redirect_uri   text NOT NULL,
    code_challenge text NOT NULL,
    dpop_jkt       text NOT NULL,
    expires_at     timestamptz NOT NULL,
    failures       integer NOT NULL DEFAULT 0,
    spent          boolean NOT NULL DEFAULT false,
    redeemed       boolean NOT NULL DEFAULT false
);
CREATE INDEX authorization_code_expires_at ON authorization_code (expires_at);

-- +goose Down
DROP TABLE authorization_code;
DROP TABLE authorization_grant;
DROP TABLE interaction;
DROP TABLE pushed_request;
