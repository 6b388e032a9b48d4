-- Several devices, refresh tokens, invitations, relations, linking, audit. docs/schema.md says what each column reveals.
ALTER TABLE accounts ADD COLUMN disabled_at INTEGER;
ALTER TABLE accounts ADD COLUMN devices_version INTEGER NOT NULL DEFAULT 1; -- grows with every change of the list
ALTER TABLE accounts ADD COLUMN last_device INTEGER NOT NULL DEFAULT 1;     -- the number that was given last
ALTER TABLE accounts ADD COLUMN backup BLOB;                                -- sealed by the client

ALTER TABLE devices ADD COLUMN name BLOB;                                   -- sealed by the client
ALTER TABLE devices ADD COLUMN added_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE devices ADD COLUMN active_at INTEGER NOT NULL DEFAULT 0;        -- before it, the device may do nothing
-- Rows of `queue` in the tray for requests, changed in the same transaction as they are.
ALTER TABLE devices ADD COLUMN request_depth INTEGER NOT NULL DEFAULT 0 CHECK (request_depth >= 0);

ALTER TABLE queue ADD COLUMN tray INTEGER NOT NULL DEFAULT 0 CHECK (tray IN (0, 1)); -- 1 from somebody who is not accepted

CREATE TABLE families (
    id            BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    device_row    INTEGER NOT NULL UNIQUE REFERENCES devices (id),
    generation    INTEGER NOT NULL,
    token_hash    BLOB    NOT NULL CHECK (length(token_hash) = 32),
    previous_hash BLOB    CHECK (length(previous_hash) = 32), -- of the token before, until the present one is used
    created_at    INTEGER NOT NULL,
    refreshed_at  INTEGER NOT NULL,
    expires_at    INTEGER NOT NULL
) STRICT;
CREATE INDEX families_expiry ON families (expires_at);

CREATE TABLE invites (
    hash       BLOB    NOT NULL PRIMARY KEY CHECK (length(hash) = 32),
    note       TEXT    NOT NULL,
    uses_max   INTEGER NOT NULL,
    uses_left  INTEGER NOT NULL CHECK (uses_left >= 0),
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;

CREATE TABLE relations (
    owner BLOB    NOT NULL REFERENCES accounts (tag),
    pair  BLOB    NOT NULL CHECK (length(pair) = 32), -- keyed hash of owner and the other
    kind  INTEGER NOT NULL CHECK (kind IN (1, 2)),    -- 1 accepted, 2 blocked
    PRIMARY KEY (owner, pair)
) STRICT, WITHOUT ROWID;

CREATE TABLE links (
    id          BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    offer       BLOB    NOT NULL,
    account     BLOB    REFERENCES accounts (tag), -- whose existing device has answered
    sealed      BLOB,
    secret_hash BLOB    CHECK (length(secret_hash) = 32),
    expires_at  INTEGER NOT NULL
) STRICT;
CREATE INDEX links_expiry ON links (expires_at);

CREATE TABLE audit (
    seq     INTEGER NOT NULL PRIMARY KEY,
    at      INTEGER NOT NULL,
    account BLOB    CHECK (length(account) = 16), -- pseudonym
    device  INTEGER,
    event   TEXT    NOT NULL,
    outcome TEXT    NOT NULL,
    signals TEXT    NOT NULL,
    chain   BLOB    NOT NULL CHECK (length(chain) = 32)
) STRICT;
CREATE INDEX audit_account ON audit (account, seq);
CREATE INDEX audit_time ON audit (at);

-- One row: where the chain ends, and where it begins since old rows were forgotten.
CREATE TABLE audit_ends (
    id          INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    last_seq    INTEGER NOT NULL,
    last_chain  BLOB    NOT NULL,
    first_seq   INTEGER NOT NULL,
    first_chain BLOB    NOT NULL
) STRICT;
INSERT INTO audit_ends VALUES (1, 0, zeroblob(32), 0, zeroblob(32));
