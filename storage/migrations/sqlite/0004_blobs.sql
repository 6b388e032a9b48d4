-- The index of attachments, which are in the object store under these names. No column says whose they are.
CREATE TABLE blobs (
    id          BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    secret_hash BLOB    NOT NULL CHECK (length(secret_hash) = 32),
    bytes       INTEGER NOT NULL CHECK (bytes > 0),
    have        INTEGER NOT NULL CHECK (have BETWEEN 0 AND bytes),
    expires_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX blobs_expiry ON blobs (expires_at);

-- Until when what somebody has left of his budget is missing from it.
CREATE TABLE budgets (
    owner       BLOB    NOT NULL PRIMARY KEY CHECK (length(owner) = 32), -- keyed hash of an account
    spent_until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX budgets_end ON budgets (spent_until);
