-- +goose Up

-- A key's state follows from these times and the clock, so that all replicas change over at one instant without a write.
ALTER TABLE signing_key
    DROP CONSTRAINT signing_key_alg_key,
    ADD COLUMN activates_at timestamptz NOT NULL DEFAULT now(), -- the default is for a program that does not know the column
    ADD COLUMN retired_at   timestamptz;                        -- by the operator; null: never
UPDATE signing_key SET activates_at = created_at;

-- +goose Down

-- One key of each algorithm remains: the one that signs. What others signed is no longer recognised.
DELETE FROM signing_key WHERE retired_at IS NOT NULL;
DELETE FROM signing_key WHERE kid NOT IN (
    SELECT DISTINCT ON (alg) kid FROM signing_key
    ORDER BY alg, activates_at > now(), abs(extract(epoch FROM now() - activates_at)), kid);
ALTER TABLE signing_key
    DROP COLUMN retired_at,
    DROP COLUMN activates_at,
    ADD UNIQUE (alg);
