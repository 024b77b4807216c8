-- +goose Up

-- What only the operator sets for a client.
ALTER TABLE client
    ADD COLUMN token_lifetime     integer CHECK (token_lifetime BETWEEN 30 AND 3600), -- seconds; null: the server's default
    ADD COLUMN assertion_audience text NOT NULL DEFAULT 'issuer' CHECK (assertion_audience IN ('issuer', 'issuer_or_endpoint')),
    ADD COLUMN unbound            boolean NOT NULL DEFAULT false;

-- +goose Down
ALTER TABLE client
    DROP COLUMN unbound,
    DROP COLUMN assertion_audience,
    DROP COLUMN token_lifetime;
