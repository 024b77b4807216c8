-- +goose Up

-- What a client registered of its certificate (RFC 8705 §2.1.2), as the key of package certificate; null: nothing. No two living
-- clients have the same. The program of before takes no such registrations, and leaves those that there are alone.
ALTER TABLE client ADD COLUMN certificate_subject text;
CREATE UNIQUE INDEX client_certificate_subject ON client (certificate_subject) WHERE status = 'active';

-- +goose Down
DROP INDEX client_certificate_subject;
ALTER TABLE client DROP COLUMN certificate_subject;
