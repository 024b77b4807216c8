-- +goose Up

-- The nonce of the request, for the ID token that comes with the code (OpenID Connect Core §3.1.2.1). The program of before
-- issues none, and knows of none.
ALTER TABLE authorization_code ADD COLUMN nonce text NOT NULL DEFAULT '' CHECK (octet_length(nonce) <= 512);

-- The session in which the person said yes, as clients know it, for the ID tokens of the grant (OpenID Connect Front-Channel
-- Logout §3); '': of a yes that the program of before took.
ALTER TABLE authorization_grant ADD COLUMN sid text NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE authorization_grant DROP COLUMN sid;
ALTER TABLE authorization_code DROP COLUMN nonce;
