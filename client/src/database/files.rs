//! Files of messages: what opens them, where they lie on this device, and what has become of them.
//!
//! What a message says of its file lies sealed in a row beside the message; the file itself lies sealed in the profile's folder, under
//! a random name. What is forgotten is noted in the same transaction, and goes from disk and server afterwards, so that a crash
//! leaves neither a file without its message nor a message without its file.

use std::collections::HashSet;

use endtoend_protocol::{AccountTag, Attached, BlobId, Content, ContentKind, File, MessageId, Said, UnixMillis};
use rusqlite::{OptionalExtension as _, params};
use zeroize::Zeroizing;

use super::messages::place;
use super::{DatabaseError, Direction, MessageRef, Store, array};
use crate::files::spool::LocalName;

const ABOUT: &str = "file";
const SECRET: &str = "blob secret";

/// Why a file is not where it should be. A person can have it tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileFault {
    /// The server does not have it, or not any more.
    Gone,
    /// What the server gave is not what was sent.
    Forged,
    /// The server has no room for so much from this account at the moment.
    NoRoom,
    /// The server takes no file of this length, or none at all.
    NotTaken,
    /// The disk of this device did not take or give it.
    Disk,
    /// The server refused for another reason.
    Refused,
}

impl FileFault {
    const ALL: [Self; 6] = [Self::Gone, Self::Forged, Self::NoRoom, Self::NotTaken, Self::Disk, Self::Refused];

    /// Stable name, for `--json`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::Forged => "forged",
            Self::NoRoom => "no_room",
            Self::NotTaken => "not_taken",
            Self::Disk => "disk",
            Self::Refused => "refused",
        }
    }
}

/// Where a file stands on this device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileState {
    /// Ours: it is on its way to the server, and its message waits for that.
    Sending,
    /// It lies at the server, and nobody here has asked for it.
    Offered,
    /// Somebody here has asked for it, and it is on its way.
    Fetching,
    /// It is here as a whole.
    Here,
    /// Nothing goes on before a person says so.
    Failed(FileFault),
}

impl FileState {
    /// Stable name, for `--json`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sending => "sending",
            Self::Offered => "offered",
            Self::Fetching => "fetching",
            Self::Here => "here",
            Self::Failed(fault) => fault.as_str(),
        }
    }

    /// The one of this name.
    pub fn named(name: &str) -> Option<Self> {
        let failed = FileFault::ALL.into_iter().map(Self::Failed);
        let all = [Self::Sending, Self::Offered, Self::Fetching, Self::Here].into_iter().chain(failed);
        all.into_iter().find(|state| state.as_str() == name)
    }
}

/// The file of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredFile {
    /// What its writer says of it, and what opens it.
    pub file: File,
    /// Where it stands.
    pub state: FileState,
}

/// A file with all that is known of it.
pub(crate) struct KeptFile {
    /// Names it while it lasts.
    pub(crate) seq: i64,
    pub(crate) peer: AccountTag,
    pub(crate) message: MessageRef,
    pub(crate) stored: StoredFile,
    pub(crate) local: LocalName,
    /// Lets its blob be written and removed, where this device sends it.
    pub(crate) secret: Option<Zeroizing<[u8; 32]>>,
    /// Its message is one of ours that has not been put into the outbox.
    pub(crate) waits: bool,
}

impl KeptFile {
    /// Whether its message waits for it to be at the server.
    pub(crate) const fn is_unsent(&self) -> bool {
        self.waits && matches!(self.stored.state, FileState::Sending | FileState::Failed(_))
    }

    /// Whether this device can bring it there: one that comes from a backup has left its bytes behind.
    pub(crate) const fn can_be_sent(&self) -> bool {
        self.is_unsent() && self.secret.is_some()
    }
}

/// What is to go.
pub(crate) struct GoneFile {
    /// Names it while it lasts.
    pub(crate) seq: i64,
    /// From this disk, until it has gone there.
    pub(crate) local: Option<LocalName>,
    /// From the server.
    pub(crate) remote: Option<(BlobId, Zeroizing<[u8; 32]>)>,
}

type Row = (i64, Vec<u8>, String, Vec<u8>, Vec<u8>, String, Vec<u8>, Option<Vec<u8>>, bool);

const COLUMNS: &str = "f.seq, f.peer, f.direction, f.message_id, f.about, f.state, f.local, f.secret,
     EXISTS (SELECT 1 FROM messages m WHERE m.peer = f.peer AND m.direction = f.direction AND m.message_id = f.message_id
             AND m.direction = 'out' AND m.state = 'queued')
     AND NOT EXISTS (SELECT 1 FROM outbox o WHERE o.message_id = f.message_id AND o.recipient = f.peer) FROM files f";

/// What is said of a file, as it is kept.
fn encode(id: MessageId, file: &File) -> Zeroizing<Vec<u8>> {
    let said = Said::File(Box::new(Attached { file: file.clone(), reply_to: None, lives_for: None }));
    let kind = ContentKind::Said(said);
    Zeroizing::new(Content { id, sent_at: UnixMillis::new(0), sender_handle: None, kind }.encode())
}

fn decode(bytes: &[u8]) -> Option<File> {
    match Content::decode(bytes).ok()?.kind {
        ContentKind::Said(Said::File(attached)) => Some(attached.file),
        _ => None,
    }
}

impl Store<'_> {
    /// What stands in a row beside a message about its file.
    pub(super) fn stored_file(
        &self,
        (peer, direction, id): (AccountTag, Direction, MessageId),
        about: &[u8],
        state: &str,
    ) -> Result<StoredFile, DatabaseError> {
        let about = self.sealer.open(ABOUT, &place(peer, direction, id), about)?;
        Ok(StoredFile {
            file: decode(&about).ok_or(DatabaseError::Invalid("files.about"))?,
            state: FileState::named(state).ok_or(DatabaseError::Invalid("files.state"))?,
        })
    }

    /// Adds the file of a message, unless it is there.
    pub(crate) fn put_file(
        &self,
        peer: AccountTag,
        message: MessageRef,
        stored: &StoredFile,
        local: LocalName,
        secret: Option<&[u8; 32]>,
    ) -> Result<(), DatabaseError> {
        let place = place(peer, message.direction, message.id);
        self.connection
            .prepare_cached(
                "INSERT OR IGNORE INTO files (peer, direction, message_id, about, state, local, secret)
                 VALUES (?, ?, ?, ?, ?, ?, ?)",
            )?
            .execute(params![
                peer.as_bytes(),
                message.direction.as_str(),
                message.id.as_bytes(),
                self.sealer.seal(ABOUT, &place, &encode(message.id, &stored.file)),
                stored.state.as_str(),
                local.0,
                secret.map(|secret| self.sealer.seal(SECRET, &place, secret)),
            ])?;
        Ok(())
    }

    fn kept_file(&self, row: Row) -> Result<KeptFile, DatabaseError> {
        let (seq, peer, direction, id, about, state, local, secret, waits) = row;
        let peer = AccountTag::new(array(&peer, "files.peer")?);
        let direction = Direction::read(&direction, "files.direction")?;
        let id = MessageId::from_slice(&id).map_err(|_| DatabaseError::Invalid("files.message_id"))?;
        let secret = match secret {
            Some(sealed) => {
                let opened = self.sealer.open(SECRET, &place(peer, direction, id), &sealed)?;
                Some(Zeroizing::new(array(&opened, "files.secret")?))
            }
            None => None,
        };
        Ok(KeptFile {
            seq,
            peer,
            message: MessageRef { direction, id },
            stored: self.stored_file((peer, direction, id), &about, &state)?,
            local: LocalName(array(&local, "files.local")?),
            secret,
            waits,
        })
    }

    fn one_file(&self, rest: &str, parameters: impl rusqlite::Params) -> Result<Option<KeptFile>, DatabaseError> {
        let row: Option<Row> = self
            .connection
            .prepare_cached(&format!("SELECT {COLUMNS} {rest}"))?
            .query_row(parameters, |row| {
                Ok((
                    row.get(0)?,
                    row.get(1)?,
                    row.get(2)?,
                    row.get(3)?,
                    row.get(4)?,
                    row.get(5)?,
                    row.get(6)?,
                    row.get(7)?,
                    row.get(8)?,
                ))
            })
            .optional()?;
        row.map(|row| self.kept_file(row)).transpose()
    }

    /// The file of a message.
    pub(crate) fn file_of(&self, peer: AccountTag, message: MessageRef) -> Result<Option<KeptFile>, DatabaseError> {
        let key = params![peer.as_bytes(), message.direction.as_str(), message.id.as_bytes()];
        self.one_file("WHERE peer = ? AND direction = ? AND message_id = ?", key)
    }

    /// A file by its number.
    pub(crate) fn file(&self, seq: i64) -> Result<Option<KeptFile>, DatabaseError> {
        self.one_file("WHERE seq = ?", [seq])
    }

    /// The first file on its way, up or down, of which `wanted` says that it is to be moved now.
    pub(crate) fn next_file(&self, up: bool, wanted: impl Fn(i64) -> bool) -> Result<Option<KeptFile>, DatabaseError> {
        // Each state by its name, or the index would not be used.
        let sql = match up {
            true => "SELECT seq FROM files WHERE state = 'sending' ORDER BY seq",
            false => "SELECT seq FROM files WHERE state = 'fetching' ORDER BY seq",
        };
        let mut query = self.connection.prepare_cached(sql)?;
        let mut rows = query.query([])?;
        while let Some(row) = rows.next()? {
            let seq = row.get(0)?;
            if wanted(seq) {
                return self.file(seq);
            }
        }
        Ok(None)
    }

    /// Notes what has become of a file. Says whether it is there, and was otherwise.
    pub(crate) fn set_file_state(&self, seq: i64, state: FileState) -> Result<bool, DatabaseError> {
        let changed = self
            .connection
            .prepare_cached("UPDATE files SET state = ?1 WHERE seq = ?2 AND state <> ?1")?
            .execute(params![state.as_str(), seq])?;
        Ok(changed > 0)
    }

    /// The message of a file loses it, before the message itself goes or is emptied. What lies here goes from the disk; with
    /// `everywhere` it goes from the server too, if this device has left it there.
    pub(super) fn forget_file(
        &self,
        peer: AccountTag,
        message: MessageRef,
        everywhere: bool,
    ) -> Result<(), DatabaseError> {
        let Some(kept) = self.file_of(peer, message)? else { return Ok(()) };
        let key = params![peer.as_bytes(), message.direction.as_str(), message.id.as_bytes()];
        let seq: Option<i64> = self
            .connection
            .prepare_cached("SELECT seq FROM messages WHERE peer = ? AND direction = ? AND message_id = ?")?
            .query_row(key, |row| row.get(0))
            .optional()?;
        if let Some(seq) = seq {
            self.forget_words(seq, kept.stored.file.name.as_str())?;
        }
        let blob = kept.stored.file.blob;
        let secret = kept.secret.filter(|_| everywhere);
        self.connection
            .prepare_cached("INSERT INTO files_gone (local, blob, secret) VALUES (?, ?, ?)")?
            .execute(params![kept.local.0, blob.0, secret.map(|secret| self.sealer.seal(SECRET, &blob.0, &*secret))])?;
        self.connection.prepare_cached("DELETE FROM files WHERE seq = ?")?.execute([kept.seq])?;
        Ok(())
    }

    /// Gives what is known of the files of one conversation to another, sealed for its new place.
    pub(super) fn move_files(&self, from: AccountTag, to: AccountTag) -> Result<(), DatabaseError> {
        let mut query = self.connection.prepare("SELECT seq FROM files WHERE peer = ?")?;
        let seqs: Vec<i64> = query.query_map([from.as_bytes()], |row| row.get(0))?.collect::<Result<_, _>>()?;
        for seq in seqs {
            let Some(kept) = self.file(seq)? else { continue };
            let place = place(to, kept.message.direction, kept.message.id);
            self.connection.execute(
                "UPDATE files SET peer = ?, about = ?, secret = ? WHERE seq = ?",
                params![
                    to.as_bytes(),
                    self.sealer.seal(ABOUT, &place, &encode(kept.message.id, &kept.stored.file)),
                    kept.secret.as_ref().map(|secret| self.sealer.seal(SECRET, &place, secret.as_slice())),
                    seq,
                ],
            )?;
        }
        Ok(())
    }

    /// The files of others that are here as a whole.
    pub(crate) fn fetched_files(&self) -> Result<Vec<i64>, DatabaseError> {
        let sql = "SELECT seq FROM files WHERE direction = 'in' AND state = 'here' ORDER BY seq";
        let mut query = self.connection.prepare(sql)?;
        let seqs = query.query_map([], |row| row.get(0))?;
        Ok(seqs.collect::<Result<_, _>>()?)
    }

    /// The names of all files that may lie on this disk.
    pub(crate) fn local_files(&self) -> Result<HashSet<LocalName>, DatabaseError> {
        let mut query = self.connection.prepare("SELECT local FROM files")?;
        let names = query.query_map([], |row| row.get::<_, Vec<u8>>(0))?;
        names.map(|name| Ok(LocalName(array(&name?, "files.local")?))).collect()
    }

    /// What is to go from this disk, or from the server, first.
    pub(crate) fn gone_file(&self, from_server: bool) -> Result<Option<GoneFile>, DatabaseError> {
        type Row = (i64, Option<Vec<u8>>, Vec<u8>, Option<Vec<u8>>);
        let sql = match from_server {
            true => "SELECT seq, local, blob, secret FROM files_gone WHERE secret IS NOT NULL ORDER BY seq LIMIT 1",
            false => "SELECT seq, local, blob, secret FROM files_gone WHERE local IS NOT NULL ORDER BY seq LIMIT 1",
        };
        let row: Option<Row> = self
            .connection
            .prepare_cached(sql)?
            .query_row([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
            .optional()?;
        let Some((seq, local, blob, secret)) = row else { return Ok(None) };
        let local = local.map(|local| array(&local, "files_gone.local").map(LocalName)).transpose()?;
        let remote = match secret {
            Some(sealed) => {
                let opened = self.sealer.open(SECRET, &blob, &sealed)?;
                Some((BlobId(array(&blob, "files_gone.blob")?), Zeroizing::new(array(&opened, "files_gone.secret")?)))
            }
            None => None,
        };
        Ok(Some(GoneFile { seq, local, remote }))
    }

    /// It has gone from this disk, or from the server.
    pub(crate) fn has_gone(&self, seq: i64, from_server: bool) -> Result<(), DatabaseError> {
        let sql = match from_server {
            true => "UPDATE files_gone SET secret = NULL WHERE seq = ?",
            false => "UPDATE files_gone SET local = NULL WHERE seq = ?",
        };
        self.connection.prepare_cached(sql)?.execute([seq])?;
        self.connection
            .prepare_cached("DELETE FROM files_gone WHERE seq = ? AND local IS NULL AND secret IS NULL")?
            .execute([seq])?;
        Ok(())
    }
}
