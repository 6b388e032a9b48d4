//! The tables and how older ones become them. `user_version` counts the migrations that a file has seen.

use rusqlite::{Connection, TransactionBehavior};

use super::DatabaseError;

/// "e2ec": tells our files from an empty one, which SQLite would take for a new database.
const APPLICATION_ID: i32 = 0x6532_6563;

/// Never edited once released: a change is another entry.
const MIGRATIONS: &[&str] = &[
    "
CREATE TABLE account (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    server TEXT NOT NULL,
    handle TEXT NOT NULL,
    device INTEGER NOT NULL,
    state TEXT NOT NULL,              -- 'submitted', 'registered'
    seed BLOB NOT NULL,               -- sealed
    token BLOB,                       -- sealed
    token_expires INTEGER
) STRICT;
CREATE TABLE records (
    kind TEXT NOT NULL,
    id BLOB NOT NULL,
    value BLOB NOT NULL,              -- sealed
    PRIMARY KEY (kind, id)
) STRICT, WITHOUT ROWID;
CREATE TABLE contacts (
    tag BLOB PRIMARY KEY,
    handle TEXT UNIQUE,               -- NULL for somebody who wrote without naming himself
    changed_identity BLOB             -- a new identity key that waits to be accepted; blocks sending
) STRICT, WITHOUT ROWID;
CREATE TABLE devices (
    tag BLOB NOT NULL,
    device INTEGER NOT NULL,
    PRIMARY KEY (tag, device)
) STRICT, WITHOUT ROWID;
CREATE TABLE messages (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    peer BLOB NOT NULL,               -- tag
    direction TEXT NOT NULL,          -- 'in', 'out'
    message_id BLOB NOT NULL,
    state TEXT NOT NULL,
    body BLOB,                        -- sealed; NULL for a kind that a newer version wrote
    sent_at INTEGER NOT NULL,
    accepted_at INTEGER,
    received_at INTEGER,
    wire_bytes INTEGER,
    shown INTEGER NOT NULL,
    UNIQUE (peer, direction, message_id)
) STRICT;
CREATE INDEX messages_by_peer ON messages (peer, seq);
CREATE INDEX messages_by_id ON messages (message_id);
CREATE INDEX messages_unread ON messages (seq) WHERE shown = 0;
CREATE TABLE outbox (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    message_id BLOB NOT NULL,
    recipient BLOB NOT NULL,          -- tag
    content BLOB,                     -- sealed; NULL once there is an envelope
    device INTEGER,
    envelope_id BLOB UNIQUE,
    envelope BLOB,
    CHECK ((content IS NULL) = (envelope IS NOT NULL)),
    CHECK ((envelope IS NULL) = (envelope_id IS NULL) AND (envelope IS NULL) = (device IS NULL))
) STRICT;
CREATE INDEX outbox_by_message ON outbox (message_id);
CREATE TABLE received (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    envelope_id BLOB NOT NULL UNIQUE,
    at INTEGER NOT NULL
) STRICT;
CREATE INDEX received_by_age ON received (at);
CREATE TABLE held (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    sender BLOB NOT NULL,
    envelope_id BLOB NOT NULL UNIQUE,
    body BLOB NOT NULL,               -- the envelope as it came
    accepted_at INTEGER NOT NULL,
    received_at INTEGER NOT NULL,
    wire_bytes INTEGER NOT NULL
) STRICT;
CREATE INDEX held_by_sender ON held (sender, seq);
CREATE TABLE unreadable (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    envelope_id BLOB NOT NULL,
    reason TEXT NOT NULL,
    accepted_at INTEGER NOT NULL,
    received_at INTEGER NOT NULL
) STRICT;
",
    "
CREATE TABLE sent (
    envelope_id BLOB PRIMARY KEY,
    message_id BLOB NOT NULL,
    recipient BLOB NOT NULL,          -- tag
    device INTEGER NOT NULL,
    at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX sent_by_message ON sent (message_id, recipient, device);
CREATE INDEX sent_by_age ON sent (at);
CREATE TABLE unopened (
    envelope_id BLOB PRIMARY KEY,
    sender BLOB NOT NULL,             -- tag
    message_id BLOB NOT NULL UNIQUE,  -- of the question that asks for it again
    at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX unopened_by_sender ON unopened (sender, at);
ALTER TABLE contacts ADD COLUMN session_reset_at INTEGER;
",
    "
CREATE TABLE key_sets (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    signed INTEGER NOT NULL,
    kem INTEGER NOT NULL,
    envelope INTEGER NOT NULL,
    made_at INTEGER NOT NULL,
    rotate_at INTEGER NOT NULL,
    published INTEGER NOT NULL,
    retired_at INTEGER                -- since when the server has a later one
) STRICT;
ALTER TABLE contacts ADD COLUMN keys_at INTEGER;  -- when the server last said which keys they have
",
    "
-- Of one-time keys only: 0 made, 1 the server has said that it has it; NULL for a key that was not looked at yet.
ALTER TABLE records ADD COLUMN published INTEGER;
ALTER TABLE records ADD COLUMN handed_out_at INTEGER;  -- since when the server does not have it any more
",
    "
ALTER TABLE account ADD COLUMN tag BLOB;             -- NULL until the server has evaluated the handle
ALTER TABLE account ADD COLUMN oprf_key BLOB;        -- of the server's oblivious function; never changes
ALTER TABLE account ADD COLUMN refresh BLOB;         -- sealed
ALTER TABLE account ADD COLUMN server_password BLOB; -- sealed
ALTER TABLE contacts ADD COLUMN claimed TEXT;        -- the handle that they go by, until the server has confirmed it
ALTER TABLE contacts ADD COLUMN devices_version INTEGER NOT NULL DEFAULT 0;
ALTER TABLE contacts ADD COLUMN relation TEXT;       -- 'accepted', 'blocked', 'ignored'; NULL while nothing is decided
ALTER TABLE contacts ADD COLUMN untold INTEGER NOT NULL DEFAULT 0; -- 1: the server has to hear of the relation
ALTER TABLE contacts ADD COLUMN decided_at INTEGER NOT NULL DEFAULT 0; -- by the clock of the device that it was decided on
ALTER TABLE contacts ADD COLUMN unaddressed INTEGER NOT NULL DEFAULT 0; -- 1: the tag stands in until the server can be asked
",
    "
-- The place in its chain that an envelope's message has; sealed. NULL for those of before there were chains.
ALTER TABLE sent ADD COLUMN place BLOB;
CREATE TABLE errands (                -- what is said and stands in no history
    message_id BLOB PRIMARY KEY,
    content BLOB NOT NULL,            -- sealed
    at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX errands_by_age ON errands (at);
CREATE TABLE chains_out (
    recipient BLOB NOT NULL,          -- tag
    device INTEGER NOT NULL,
    next BLOB NOT NULL,               -- sealed: the place of the next message
    PRIMARY KEY (recipient, device)
) STRICT, WITHOUT ROWID;
CREATE TABLE chains_in (
    sender BLOB NOT NULL,             -- tag
    device INTEGER NOT NULL,
    state BLOB NOT NULL,              -- sealed
    heard_at INTEGER NOT NULL,
    PRIMARY KEY (sender, device)
) STRICT, WITHOUT ROWID;
CREATE TABLE notices (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    sender BLOB NOT NULL,             -- tag
    device INTEGER NOT NULL,
    kind TEXT NOT NULL,               -- 'missing', 'blocked', 'late', 'mended', 'forked', 'restarted'
    chain BLOB NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    missing INTEGER NOT NULL,         -- how many of them have not come
    late INTEGER NOT NULL,            -- how many have come out of order
    may_have_expired INTEGER NOT NULL,
    after INTEGER NOT NULL,           -- the message that stands before it in the history
    at INTEGER NOT NULL,
    due_at INTEGER NOT NULL,          -- not told before
    shown INTEGER NOT NULL
) STRICT;
CREATE INDEX notices_by_sender ON notices (sender, device);
CREATE INDEX notices_unseen ON notices (seq) WHERE shown = 0;
ALTER TABLE contacts ADD COLUMN unblocked_at INTEGER;  -- when a block was last taken back
ALTER TABLE account ADD COLUMN repeats INTEGER NOT NULL DEFAULT 0; -- deliveries of what was here already
",
    "
ALTER TABLE messages ADD COLUMN reply_id BLOB;           -- the message that it answers
ALTER TABLE messages ADD COLUMN reply_direction TEXT;    -- 'in', 'out': who wrote that
ALTER TABLE messages ADD COLUMN edited_at INTEGER;       -- by the writer's clock
ALTER TABLE messages ADD COLUMN deleted INTEGER NOT NULL DEFAULT 0; -- 1: for everyone
ALTER TABLE messages ADD COLUMN hidden INTEGER NOT NULL DEFAULT 0;  -- 1: deleted by this person for himself; the row keeps a repeat away
ALTER TABLE messages ADD COLUMN lives_for_s INTEGER;
ALTER TABLE messages ADD COLUMN expires_at INTEGER;      -- by the clock of lives, in ms; NULL while it does not run
ALTER TABLE messages ADD COLUMN delivered_at INTEGER;
ALTER TABLE messages ADD COLUMN read_at INTEGER;
CREATE INDEX messages_by_expiry ON messages (expires_at) WHERE expires_at IS NOT NULL;
CREATE TABLE reactions (
    peer BLOB NOT NULL,
    direction TEXT NOT NULL,          -- of the message
    message_id BLOB NOT NULL,
    author TEXT NOT NULL,             -- 'in', 'out': who reacts
    emoji BLOB,                       -- sealed; NULL once taken back
    at INTEGER NOT NULL,              -- by the author's clock
    PRIMARY KEY (peer, direction, message_id, author)
) STRICT, WITHOUT ROWID;
CREATE TABLE receipts_due (           -- what the writers of messages have still to hear
    peer BLOB NOT NULL,
    message_id BLOB NOT NULL,
    read INTEGER NOT NULL,
    PRIMARY KEY (peer, message_id)
) STRICT, WITHOUT ROWID;
CREATE TABLE settings (
    name TEXT PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;
ALTER TABLE contacts ADD COLUMN lives_for_s INTEGER;     -- of messages that are written from now on
ALTER TABLE contacts ADD COLUMN timer_at INTEGER NOT NULL DEFAULT 0; -- when that was said
",
    "
-- The words of messages, by messages.seq, without the texts. A word that is deleted is overwritten at once.
CREATE VIRTUAL TABLE words USING fts5(body, content='', tokenize='unicode61 remove_diacritics 2');
INSERT INTO words (words, rank) VALUES ('secure-delete', 1);
",
    "
CREATE INDEX messages_pending ON messages (seq) WHERE direction = 'out' AND state IN ('queued', 'unknown_recipient');
",
    "
ALTER TABLE contacts ADD COLUMN nickname BLOB;           -- sealed: how they are called on this device
ALTER TABLE contacts ADD COLUMN verified BLOB;           -- the identity key that a person has compared; NULL when another was met
",
    "
CREATE TABLE early (                  -- what was said about messages that have not come
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    peer BLOB NOT NULL,
    direction TEXT NOT NULL,          -- of the message
    message_id BLOB NOT NULL,
    author TEXT NOT NULL,             -- 'in', 'out': who has said it
    content BLOB NOT NULL,            -- sealed
    until INTEGER NOT NULL
) STRICT;
CREATE INDEX early_by_message ON early (peer, direction, message_id);
ALTER TABLE messages ADD COLUMN raw BLOB;                -- sealed: content of a kind that this version does not know
CREATE INDEX messages_raw ON messages (seq) WHERE raw IS NOT NULL;
",
    "
CREATE TABLE files (                  -- of messages
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    peer BLOB NOT NULL,
    direction TEXT NOT NULL,          -- of the message
    message_id BLOB NOT NULL,
    about BLOB NOT NULL,              -- sealed: what its writer says of it, and what opens it
    state TEXT NOT NULL,
    local BLOB NOT NULL UNIQUE,       -- its name in the profile's folder
    secret BLOB,                      -- sealed: lets its blob be written and removed; of files that were sent from here
    UNIQUE (peer, direction, message_id)
) STRICT;
CREATE INDEX files_moving ON files (state, seq) WHERE state IN ('sending', 'fetching');
CREATE TABLE files_gone (             -- what was forgotten, and has still to go
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    local BLOB,                       -- from this disk; NULL once it has
    blob BLOB NOT NULL,
    secret BLOB                       -- sealed: from the server; NULL once it has, or when it need not
) STRICT;
",
    "
ALTER TABLE contacts ADD COLUMN nickname_at INTEGER NOT NULL DEFAULT 0; -- by the clock of the device that it was given on
ALTER TABLE contacts ADD COLUMN verified_at INTEGER NOT NULL DEFAULT 0; -- the same of what was compared
",
    "
CREATE TABLE drafts (                 -- what was begun and not sent
    handle TEXT PRIMARY KEY,          -- for whom
    text BLOB NOT NULL,               -- sealed
    answers BLOB,                     -- the message that it is to answer
    at INTEGER NOT NULL
) STRICT;
ALTER TABLE contacts ADD COLUMN pinned INTEGER NOT NULL DEFAULT 0;      -- 1: above the others
ALTER TABLE contacts ADD COLUMN muted_until INTEGER;                    -- 2^63 - 1: until that is taken back
ALTER TABLE contacts ADD COLUMN arranged_at INTEGER NOT NULL DEFAULT 0; -- by the clock of the device that it was done on
",
    "
ALTER TABLE received ADD COLUMN acknowledged INTEGER NOT NULL DEFAULT 1; -- 0: the server may not have heard yet that it is here
CREATE INDEX received_unacknowledged ON received (seq) WHERE acknowledged = 0;
",
    "
ALTER TABLE messages ADD COLUMN card INTEGER NOT NULL DEFAULT 0; -- 1: the body is somebody who is passed on
CREATE TABLE faces (                  -- how people show themselves, and how this account does
    tag BLOB PRIMARY KEY,
    name BLOB,                        -- sealed
    picture BLOB,                     -- sealed
    hash BLOB,                        -- of the picture
    at INTEGER NOT NULL,              -- by the clock of the device that said it
    message_id BLOB                   -- of the own one: under which it is told
) STRICT;
ALTER TABLE contacts ADD COLUMN face_due INTEGER NOT NULL DEFAULT 1;     -- 1: they have not heard how this account shows itself
ALTER TABLE contacts ADD COLUMN face_devices INTEGER NOT NULL DEFAULT 0; -- the version of their list of devices; 0: not known yet
CREATE INDEX contacts_face_due ON contacts (tag) WHERE face_due = 1 AND relation = 'accepted';
",
    "
CREATE TABLE devices_seen (           -- of accounts: those in their lists, and those that have written since
    tag BLOB NOT NULL,
    device INTEGER NOT NULL,
    at INTEGER,                       -- since when, by this device's clock; NULL for those that were known before this was kept
    PRIMARY KEY (tag, device)
) STRICT, WITHOUT ROWID;
INSERT INTO devices_seen (tag, device) SELECT tag, device FROM devices;
ALTER TABLE contacts ADD COLUMN compared_devices BLOB;           -- a byte each: those that there were when the identity was compared; NULL: not known
ALTER TABLE contacts ADD COLUMN gone INTEGER NOT NULL DEFAULT 0; -- 1: nobody is shown this one, who was removed, or said nothing
",
    "
ALTER TABLE drafts ADD COLUMN edits BLOB;                -- the message that has these words instead
ALTER TABLE drafts ADD COLUMN before BLOB;               -- sealed: what was begun before that
",
];

fn version(connection: &Connection) -> Result<usize, DatabaseError> {
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    usize::try_from(version).map_err(|_| DatabaseError::Unreadable)
}

/// # Errors
/// `Unreadable` unless the database is empty.
pub(super) fn check_new(connection: &Connection) -> Result<(), DatabaseError> {
    match version(connection)? {
        0 => Ok(()),
        _ => Err(DatabaseError::Unreadable),
    }
}

/// # Errors
/// `Unreadable` when the database is none of ours, `Newer` when a later version wrote it.
pub(super) fn check_known(connection: &Connection) -> Result<(), DatabaseError> {
    let application: i32 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    match version(connection)? {
        0 => Err(DatabaseError::Unreadable),
        _ if application != APPLICATION_ID => Err(DatabaseError::Unreadable),
        version if version > MIGRATIONS.len() => Err(DatabaseError::Newer),
        _ => Ok(()),
    }
}

/// Runs the migrations that the file has not seen, all or none.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), DatabaseError> {
    let missing = MIGRATIONS.get(version(connection)?..).unwrap_or_default();
    if missing.is_empty() {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for migration in missing {
        transaction.execute_batch(migration)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX))?;
    Ok(transaction.commit()?)
}

/// How many migrations a file has seen.
#[cfg(test)]
pub(super) fn version_of(connection: &Connection) -> usize {
    version(connection).unwrap()
}

/// Undoes all migrations but the first. Keys and messages stay.
#[cfg(test)]
pub(super) fn downgrade(connection: &Connection) {
    connection
        .execute_batch(
            "DROP TABLE devices_seen; ALTER TABLE contacts DROP COLUMN compared_devices; ALTER TABLE contacts DROP COLUMN gone;
             DROP TABLE faces; DROP INDEX contacts_face_due; ALTER TABLE contacts DROP COLUMN face_due;
             ALTER TABLE contacts DROP COLUMN face_devices; ALTER TABLE messages DROP COLUMN card;
             DROP INDEX received_unacknowledged; ALTER TABLE received DROP COLUMN acknowledged;
             DROP TABLE drafts; ALTER TABLE contacts DROP COLUMN pinned; ALTER TABLE contacts DROP COLUMN muted_until;
             ALTER TABLE contacts DROP COLUMN arranged_at;
             ALTER TABLE contacts DROP COLUMN nickname_at; ALTER TABLE contacts DROP COLUMN verified_at;
             DROP TABLE files; DROP TABLE files_gone; DROP TABLE early; DROP INDEX messages_raw; ALTER TABLE messages DROP COLUMN raw;
             ALTER TABLE contacts DROP COLUMN nickname; ALTER TABLE contacts DROP COLUMN verified;
             DROP INDEX messages_pending; DROP TABLE words;
             DROP INDEX messages_by_expiry; DROP TABLE reactions; DROP TABLE receipts_due; DROP TABLE settings;
             ALTER TABLE messages DROP COLUMN reply_id; ALTER TABLE messages DROP COLUMN reply_direction;
             ALTER TABLE messages DROP COLUMN edited_at; ALTER TABLE messages DROP COLUMN deleted;
             ALTER TABLE messages DROP COLUMN hidden; ALTER TABLE messages DROP COLUMN lives_for_s;
             ALTER TABLE messages DROP COLUMN expires_at; ALTER TABLE messages DROP COLUMN delivered_at;
             ALTER TABLE messages DROP COLUMN read_at;
             ALTER TABLE contacts DROP COLUMN lives_for_s; ALTER TABLE contacts DROP COLUMN timer_at;
             DROP TABLE sent; DROP TABLE unopened; DROP TABLE key_sets;
             DROP TABLE errands; DROP TABLE chains_out; DROP TABLE chains_in; DROP TABLE notices;
             ALTER TABLE contacts DROP COLUMN unblocked_at; ALTER TABLE account DROP COLUMN repeats;
             ALTER TABLE contacts DROP COLUMN session_reset_at; ALTER TABLE contacts DROP COLUMN keys_at;
             ALTER TABLE records DROP COLUMN published; ALTER TABLE records DROP COLUMN handed_out_at;
             ALTER TABLE account DROP COLUMN tag; ALTER TABLE account DROP COLUMN oprf_key;
             ALTER TABLE account DROP COLUMN refresh; ALTER TABLE account DROP COLUMN server_password;
             ALTER TABLE contacts DROP COLUMN claimed; ALTER TABLE contacts DROP COLUMN devices_version;
             ALTER TABLE contacts DROP COLUMN relation; ALTER TABLE contacts DROP COLUMN untold;
             ALTER TABLE contacts DROP COLUMN decided_at;
             ALTER TABLE contacts DROP COLUMN unaddressed;
             PRAGMA user_version = 1;",
        )
        .unwrap();
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names and columns of everything there is.
    fn shape(connection: &Connection) -> Vec<String> {
        let mut query = connection
            .prepare(
                "SELECT s.type || ' ' || s.name || ' ' || coalesce(c.name, '') FROM sqlite_schema s
                 LEFT JOIN pragma_table_info(s.name) c WHERE s.name NOT LIKE 'sqlite_%' ORDER BY 1",
            )
            .unwrap();
        let rows = query.query_map([], |row| row.get(0)).unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    }

    #[test]
    fn a_downgraded_database_is_one_of_the_first_version() {
        let mut new = Connection::open_in_memory().unwrap();
        migrate(&mut new).unwrap();
        downgrade(&new);
        let first = Connection::open_in_memory().unwrap();
        first.execute_batch(MIGRATIONS[0]).unwrap();
        assert_eq!(shape(&new), shape(&first));
    }

    #[test]
    fn every_older_version_becomes_the_present_one() {
        let mut new = Connection::open_in_memory().unwrap();
        migrate(&mut new).unwrap();
        for version in 1..MIGRATIONS.len() {
            let mut old = Connection::open_in_memory().unwrap();
            MIGRATIONS[..version].iter().for_each(|migration| old.execute_batch(migration).unwrap());
            old.pragma_update(None, "user_version", version as i64).unwrap();
            old.pragma_update(None, "application_id", APPLICATION_ID).unwrap();
            old.execute("INSERT INTO contacts (tag, handle) VALUES (x'01', 'bob')", []).unwrap();
            old.execute(
                "INSERT INTO messages (peer, direction, message_id, state, body, sent_at, shown)
                 VALUES (x'01', 'in', x'02', 'received', x'03', 4, 0)",
                [],
            )
            .unwrap();
            check_known(&old).unwrap();
            migrate(&mut old).unwrap();
            assert_eq!(shape(&old), shape(&new), "from version {version}");
            let kept: String = old.query_row("SELECT handle FROM contacts", [], |row| row.get(0)).unwrap();
            assert_eq!(kept, "bob");
            let sql = "SELECT body, deleted, hidden, lives_for_s IS NULL AND expires_at IS NULL FROM messages";
            let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?));
            let kept: (Vec<u8>, bool, bool, bool) = old.query_row(sql, [], read).unwrap();
            assert_eq!(kept, (vec![3], false, false, true), "from version {version}");
            migrate(&mut old).unwrap();
        }
    }

    #[test]
    fn migrations_that_are_cut_short_leave_the_version_before() {
        let mut old = Connection::open_in_memory().unwrap();
        old.execute_batch(MIGRATIONS[0]).unwrap();
        old.pragma_update(None, "user_version", 1).unwrap();
        old.pragma_update(None, "application_id", APPLICATION_ID).unwrap();
        // One of them cannot be done.
        old.execute_batch("CREATE TABLE faces (x)").unwrap();
        let before = shape(&old);
        assert!(migrate(&mut old).is_err());
        assert_eq!((shape(&old), version(&old).unwrap()), (before, 1));
        old.execute_batch("DROP TABLE faces").unwrap();
        migrate(&mut old).unwrap();
        assert_eq!(version(&old).unwrap(), MIGRATIONS.len());
    }
}
