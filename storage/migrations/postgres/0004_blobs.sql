-- The index of attachments, as in SQLite's fourth migration.
CREATE TABLE blobs (
    id          BYTEA  NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    secret_hash BYTEA  NOT NULL CHECK (length(secret_hash) = 32),
    bytes       BIGINT NOT NULL CHECK (bytes > 0),
    have        BIGINT NOT NULL CHECK (have BETWEEN 0 AND bytes),
    expires_at  BIGINT NOT NULL
);
CREATE INDEX blobs_expiry ON blobs (expires_at);

CREATE TABLE budgets (
    owner       BYTEA  NOT NULL PRIMARY KEY CHECK (length(owner) = 32),
    spent_until BIGINT NOT NULL
);
CREATE INDEX budgets_end ON budgets (spent_until);
