-- +goose Up

-- The issuers whose assertions are grants (RFC 7523 §2.1), each by the operator's own record.
CREATE TABLE issuer (
    name                          text PRIMARY KEY,
    -- Never given twice: keys that are kept in memory of an issuer that was removed never serve another of its name.
    version                       bigint GENERATED ALWAYS AS IDENTITY,
    added_at                      timestamptz NOT NULL,
    updated_at                    timestamptz NOT NULL,
    jwks                          json,
    jwks_uri                      text NOT NULL DEFAULT '',
    algs                          text[] NOT NULL,
    audiences                     text[] NOT NULL,
    max_lifetime                  integer NOT NULL CHECK (max_lifetime BETWEEN 1 AND 900), -- seconds, as token_lifetime
    subjects                      text[] NOT NULL,
    require_jti                   boolean NOT NULL,
    clients                       text[] NOT NULL CHECK (cardinality(clients) > 0),
    scopes                        text[] NOT NULL CHECK (cardinality(scopes) > 0),
    token_lifetime                integer NOT NULL CHECK (token_lifetime BETWEEN 30 AND 900),
    require_client_authentication boolean NOT NULL,
    require_binding               boolean NOT NULL,
    CHECK ((jwks IS NULL) <> (jwks_uri = '')),
    CHECK (require_client_authentication OR cardinality(clients) = 1)
);

-- Apart from issuer, as it is for clients: storing what was fetched changes no record.
CREATE TABLE issuer_key_set (
    issuer     text PRIMARY KEY REFERENCES issuer (name) ON DELETE CASCADE,
    uri        text NOT NULL,
    raw        bytea NOT NULL,
    fetched_at timestamptz NOT NULL
);

-- +goose Down
DROP TABLE issuer_key_set;
DROP TABLE issuer;
