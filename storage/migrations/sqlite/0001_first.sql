-- What each column reveals to a thief of the file: docs/schema.md. Times are milliseconds since 1970 UTC.
PRAGMA application_id = 0x45324531; -- "E2E1"

CREATE TABLE accounts (
    tag           BLOB    NOT NULL PRIMARY KEY CHECK (length(tag) = 32),
    identity_key  BLOB    NOT NULL,
    opaque_record BLOB    NOT NULL,
    created_at    INTEGER NOT NULL
) STRICT;

CREATE TABLE devices (
    id                       INTEGER NOT NULL PRIMARY KEY,
    tag                      BLOB    NOT NULL REFERENCES accounts (tag),
    device                   INTEGER NOT NULL CHECK (device BETWEEN 1 AND 127),
    device_key               BLOB    NOT NULL,
    registration_id          INTEGER NOT NULL,
    signed_pre_key_id        INTEGER NOT NULL,
    signed_pre_key_public    BLOB    NOT NULL,
    signed_pre_key_signature BLOB    NOT NULL,
    last_resort_id           INTEGER NOT NULL,
    last_resort_public       BLOB    NOT NULL,
    last_resort_signature    BLOB    NOT NULL,
    envelope_key_id          INTEGER NOT NULL,
    envelope_key_x25519      BLOB    NOT NULL,
    envelope_key_ml_kem      BLOB    NOT NULL,
    envelope_key_signature   BLOB    NOT NULL,
    -- Rows of `queue` for this device, changed in the same transaction as they are.
    queue_depth              INTEGER NOT NULL DEFAULT 0 CHECK (queue_depth >= 0),
    UNIQUE (tag, device)
) STRICT;

CREATE TABLE one_time_pre_keys (
    position   INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, -- order of publication
    device_row INTEGER NOT NULL REFERENCES devices (id),
    kind       INTEGER NOT NULL CHECK (kind IN (1, 2)),    -- 1 Curve25519, 2 ML-KEM-1024
    key_id     INTEGER NOT NULL,
    public     BLOB    NOT NULL,
    signature  BLOB    CHECK ((signature IS NULL) = (kind = 1)),
    UNIQUE (device_row, kind, key_id)
) STRICT;

CREATE INDEX one_time_pre_keys_oldest ON one_time_pre_keys (device_row, kind, position);

CREATE TABLE queue (
    seq         INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, -- never used twice, not even after a deletion
    device_row  INTEGER NOT NULL REFERENCES devices (id),
    envelope_id BLOB    NOT NULL CHECK (length(envelope_id) = 16),
    accepted_at INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL,
    body        BLOB    NOT NULL, -- last: what stands before it is read without its overflow pages
    UNIQUE (device_row, envelope_id)
) STRICT;

CREATE INDEX queue_load ON queue (device_row, seq);
CREATE INDEX queue_expiry ON queue (expires_at);
