-- +goose Up

-- The nonce of the request, for the ID token that comes with the code (OpenID Connect Core §3.1.2.1). The program of before
-- issues none, and knows of none.
ALTER TABLE authorization_code ADD COLUMN nonce text NOT NULL DEFAULT '' CHECK (octet_length(nonce) <= 512);

-- +goose Down
ALTER TABLE authorization_code DROP COLUMN nonce;
