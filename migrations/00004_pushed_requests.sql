-- +goose Up

-- Authorization requests as they were pushed and validated. The key is the SHA-256 of the request_uri.
CREATE TABLE pushed_request (
    id        bytea PRIMARY KEY,
    client_id text NOT NULL REFERENCES client (id),
    request   json NOT NULL,
    arrive_by timestamptz NOT NULL
);
CREATE INDEX pushed_request_arrive_by ON pushed_request (arrive_by);

-- +goose Down
DROP TABLE pushed_request;
