//! Conversations.

use endtoend_protocol::{AccountTag, Emoji, Lifetime, MessageId, RejectReason, Text, UnixMillis};
use rusqlite::{OptionalExtension as _, Params, Row, params};

use super::contacts::parse_handle;
use super::{DatabaseError, Store, StoredFile, array, integer, unsigned};
use crate::card::Card;
use crate::files::spool::LocalName;
use crate::handle::Handle;

pub(super) const KIND: &str = "message";

/// Who wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// The other side.
    In,
    /// We.
    Out,
}

impl Direction {
    /// Stable name, for `--json`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::In => "in",
            Self::Out => "out",
        }
    }

    /// The one of this name.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "in" => Some(Self::In),
            "out" => Some(Self::Out),
            _ => None,
        }
    }

    pub(super) fn read(text: &str, column: &'static str) -> Result<Self, DatabaseError> {
        Self::named(text).ok_or(DatabaseError::Invalid(column))
    }
}

/// Where a message stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageState {
    /// Ours, on its way: stays in the outbox until the server has accepted it.
    Queued,
    /// Ours, safe: every device it goes to has it, or the server has committed it.
    Accepted,
    /// Ours, and a device of the other side has said that it came.
    Delivered,
    /// Ours, and the other side has said that it was seen.
    Read,
    /// Ours, and the server will never take it.
    Rejected(RejectReason),
    /// Theirs.
    Received,
}

impl MessageState {
    const ALL: [Self; 6] = [
        Self::Queued,
        Self::Accepted,
        Self::Delivered,
        Self::Read,
        Self::Rejected(RejectReason::UnknownRecipient),
        Self::Received,
    ];

    /// Stable name, for `--json`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Accepted => "accepted",
            Self::Delivered => "delivered",
            Self::Read => "read",
            Self::Rejected(RejectReason::UnknownRecipient) => "unknown_recipient",
            Self::Received => "received",
        }
    }

    /// The one of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }
}

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// Words.
    Text(Text),
    /// A file.
    File(Box<StoredFile>),
    /// Somebody who is passed on.
    Card(Box<Card>),
    /// Its writer has deleted it for everyone.
    Deleted,
    /// A kind that only a newer version can show.
    Unknown,
}

/// Names a message within a conversation: two people may have used one id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MessageRef {
    /// Who wrote it.
    pub direction: Direction,
    /// The writer's name for it.
    pub id: MessageId,
}

/// Which part of a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// The last messages.
    Last,
    /// Those just before a message. Empty when it is not there.
    Before(MessageId),
    /// Those just after a message. Empty when it is not there.
    After(MessageId),
    /// A message and those just after it. Empty when it is not there.
    From(MessageId),
    /// The first message that its writer sent then or later, and those just after it.
    Since(UnixMillis),
}

/// What was said about a message, and what has come of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// The message that it answers, which may not be here any more.
    pub reply_to: Option<MessageRef>,
    /// When its words were last changed, by its writer's clock.
    pub edited_at: Option<UnixMillis>,
    /// How long it lives, if not for good.
    pub lives_for: Option<Lifetime>,
    /// When the other side's device has said that it came, by this device's clock.
    pub delivered_at: Option<UnixMillis>,
    /// When the other side has said that it was seen, by this device's clock.
    pub read_at: Option<UnixMillis>,
    /// The other side's reaction.
    pub their_reaction: Option<Emoji>,
    /// Our own.
    pub own_reaction: Option<Emoji>,
}

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredMessage {
    /// Place in the order in which this device wrote or received.
    pub seq: i64,
    /// The other side.
    pub peer: AccountTag,
    /// The other side's name, when it is known.
    pub handle: Option<Handle>,
    /// Who wrote.
    pub direction: Direction,
    /// The sender's name for it.
    pub id: MessageId,
    /// Where it stands.
    pub state: MessageState,
    /// What it says.
    pub body: Body,
    /// When it was written, by the sender's clock.
    pub sent_at: UnixMillis,
    /// When the server took it, by the server's clock.
    pub accepted_at: Option<UnixMillis>,
    /// When it came here, by this device's clock.
    pub received_at: Option<UnixMillis>,
    /// Length of the frame that carried it, in bytes; `None` before it was first sent.
    pub wire_bytes: Option<u64>,
    /// Whether a person has seen it. Our own always were.
    pub shown: bool,
    /// What was said about it.
    pub marks: Marks,
}

const COLUMNS: &str = "m.seq, m.peer, c.handle, m.direction, m.message_id, m.state, m.body, m.sent_at, m.accepted_at,
    m.received_at, m.wire_bytes, m.shown, m.reply_id, m.reply_direction, m.edited_at, m.deleted, m.lives_for_s,
    m.delivered_at, m.read_at, t.emoji, o.emoji, f.about, f.state, m.card
    FROM messages m LEFT JOIN contacts c ON c.tag = m.peer
    LEFT JOIN reactions t ON t.peer = m.peer AND t.direction = m.direction AND t.message_id = m.message_id AND t.author = 'in'
    LEFT JOIN reactions o ON o.peer = m.peer AND o.direction = m.direction AND o.message_id = m.message_id AND o.author = 'out'
    LEFT JOIN files f ON f.peer = m.peer AND f.direction = m.direction AND f.message_id = m.message_id";

/// Where a body belongs.
pub(super) fn place(peer: AccountTag, direction: Direction, id: MessageId) -> Vec<u8> {
    [peer.as_bytes().as_slice(), direction.as_str().as_bytes(), id.as_bytes()].concat()
}

impl Store<'_> {
    /// Adds a message unless it is there already; says whether it was added. `seq` and `handle` are not read.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn put_message(&self, message: &StoredMessage) -> Result<bool, DatabaseError> {
        let place = place(message.peer, message.direction, message.id);
        let body = match &message.body {
            Body::Text(text) => Some(self.sealer.seal(KIND, &place, text.as_str().as_bytes())),
            Body::Card(card) => Some(self.sealer.seal(KIND, &place, card.to_lines().as_bytes())),
            Body::File(_) | Body::Unknown | Body::Deleted => None,
        };
        let reply = message.marks.reply_to;
        let added = self
            .connection
            .prepare_cached(
                "INSERT OR IGNORE INTO messages (peer, direction, message_id, state, body, sent_at, accepted_at,
                 received_at, wire_bytes, shown, reply_id, reply_direction, edited_at, deleted, lives_for_s, delivered_at,
                 read_at, card) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            )?
            .execute(params![
                message.peer.as_bytes(),
                message.direction.as_str(),
                message.id.as_bytes(),
                message.state.as_str(),
                body,
                integer(message.sent_at.get()),
                message.accepted_at.map(|at| integer(at.get())),
                message.received_at.map(|at| integer(at.get())),
                message.wire_bytes.map(integer),
                message.shown,
                reply.map(|reply| reply.id.as_bytes().to_vec()),
                reply.map(|reply| reply.direction.as_str()),
                message.marks.edited_at.map(|at| integer(at.get())),
                message.body == Body::Deleted,
                message.marks.lives_for.map(Lifetime::as_secs),
                message.marks.delivered_at.map(|at| integer(at.get())),
                message.marks.read_at.map(|at| integer(at.get())),
                matches!(message.body, Body::Card(_)),
            ])?;
        let seq = self.connection.last_insert_rowid();
        match &message.body {
            Body::Text(text) if added == 1 => self.index_text(seq, text.as_str())?,
            Body::File(stored) if added == 1 => {
                let named = MessageRef { direction: message.direction, id: message.id };
                self.put_file(message.peer, named, stored, LocalName::random(), None)?;
                self.index_text(seq, stored.file.name.as_str())?;
            }
            Body::Card(card) if added == 1 => self.index_text(seq, &card.to_lines())?,
            Body::Text(_) | Body::File(_) | Body::Card(_) | Body::Deleted | Body::Unknown => {}
        }
        Ok(added == 1)
    }

    /// Whether a message is there.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn has_message(&self, peer: AccountTag, direction: Direction, id: MessageId) -> Result<bool, DatabaseError> {
        Ok(self
            .connection
            .prepare_cached("SELECT 1 FROM messages WHERE peer = ? AND direction = ? AND message_id = ?")?
            .exists(params![peer.as_bytes(), direction.as_str(), id.as_bytes()])?)
    }

    /// Puts a conversation under another tag, sealed for its new place.
    pub(super) fn move_messages(&self, from: AccountTag, to: AccountTag) -> Result<(), DatabaseError> {
        let messages = self.select("WHERE m.peer = ? ORDER BY m.seq", params![from.as_bytes()])?;
        for message in &messages {
            self.forget_text(from, MessageRef { direction: message.direction, id: message.id })?;
            if let Body::File(stored) = &message.body {
                self.forget_words(message.seq, stored.file.name.as_str())?;
            }
        }
        self.move_files(from, to)?;
        self.connection.execute("DELETE FROM messages WHERE peer = ?", [from.as_bytes()])?;
        for message in messages {
            self.put_message(&StoredMessage { peer: to, ..message })?;
        }
        Ok(())
    }

    /// The last `limit` messages with `peer`, oldest first.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn history(&self, peer: AccountTag, limit: u32) -> Result<Vec<StoredMessage>, DatabaseError> {
        let mut messages = self
            .select("WHERE m.peer = ? AND m.hidden = 0 ORDER BY m.seq DESC LIMIT ?", params![peer.as_bytes(), limit])?;
        messages.reverse();
        Ok(messages)
    }

    /// A page of the messages with `peer`, oldest first. The cost does not grow with the history.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn history_page(&self, peer: AccountTag, page: Page, limit: u32) -> Result<Vec<StoredMessage>, DatabaseError> {
        let seq = |id: MessageId| -> Result<Option<i64>, DatabaseError> {
            Ok(self
                .connection
                .prepare_cached(
                    "SELECT seq FROM messages WHERE peer = ? AND message_id = ? ORDER BY direction LIMIT 1",
                )?
                .query_row(params![peer.as_bytes(), id.as_bytes()], |row| row.get(0))
                .optional()?)
        };
        match page {
            Page::Last => self.history(peer, limit),
            Page::Before(id) => {
                let Some(seq) = seq(id)? else { return Ok(Vec::new()) };
                let mut messages = self.select(
                    "WHERE m.peer = ? AND m.hidden = 0 AND m.seq < ? ORDER BY m.seq DESC LIMIT ?",
                    params![peer.as_bytes(), seq, limit],
                )?;
                messages.reverse();
                Ok(messages)
            }
            Page::After(id) | Page::From(id) => {
                let Some(seq) = seq(id)? else { return Ok(Vec::new()) };
                let first = if matches!(page, Page::From(_)) { seq } else { seq.saturating_add(1) };
                self.select(
                    "WHERE m.peer = ? AND m.hidden = 0 AND m.seq >= ? ORDER BY m.seq LIMIT ?",
                    params![peer.as_bytes(), first, limit],
                )
            }
            Page::Since(at) => {
                let first: Option<i64> = self
                    .connection
                    .prepare_cached(
                        "SELECT seq FROM messages WHERE peer = ? AND hidden = 0 AND sent_at >= ? ORDER BY seq LIMIT 1",
                    )?
                    .query_row(params![peer.as_bytes(), integer(at.get())], |row| row.get(0))
                    .optional()?;
                let Some(first) = first else { return Ok(Vec::new()) };
                self.select(
                    "WHERE m.peer = ? AND m.hidden = 0 AND m.seq >= ? ORDER BY m.seq LIMIT ?",
                    params![peer.as_bytes(), first, limit],
                )
            }
        }
    }

    /// The first `limit` messages that nobody has seen, of one peer or of all, oldest first. Those of somebody whose name
    /// the server is about to confirm wait for that.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn unread(&self, peer: Option<AccountTag>, limit: u32) -> Result<Vec<StoredMessage>, DatabaseError> {
        match peer {
            None => self.select(
                "WHERE m.shown = 0 AND m.hidden = 0 AND (c.handle IS NOT NULL OR c.claimed IS NULL)
                   AND c.relation IS NOT 'blocked' AND c.relation IS NOT 'ignored' ORDER BY m.seq LIMIT ?",
                params![limit],
            ),
            Some(peer) => self.select(
                "WHERE m.shown = 0 AND m.hidden = 0 AND m.peer = ? ORDER BY m.seq LIMIT ?",
                params![peer.as_bytes(), limit],
            ),
        }
    }

    /// How many messages nobody has seen.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn unread_count(&self) -> Result<u64, DatabaseError> {
        let count =
            self.connection
                .query_row("SELECT count(*) FROM messages WHERE shown = 0 AND hidden = 0", [], |row| row.get(0))?;
        unsigned(count, "messages")
    }

    /// One of our own messages.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn sent_message(&self, id: MessageId) -> Result<Option<StoredMessage>, DatabaseError> {
        let mut found =
            self.select("WHERE m.message_id = ? AND m.direction = 'out' LIMIT 1", params![id.as_bytes()])?;
        Ok(found.pop())
    }

    /// A message of a conversation; of two with this id, that of the other side.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn message_in(&self, peer: AccountTag, id: MessageId) -> Result<Option<StoredMessage>, DatabaseError> {
        let mut found = self.select(
            "WHERE m.peer = ? AND m.message_id = ? AND m.hidden = 0 ORDER BY m.direction LIMIT 1",
            params![peer.as_bytes(), id.as_bytes()],
        )?;
        Ok(found.pop())
    }

    /// Notes what became of one of our messages to somebody. `false` when there is no such message.
    pub(super) fn set_message_state(
        &self,
        id: MessageId,
        to: AccountTag,
        state: MessageState,
    ) -> Result<bool, DatabaseError> {
        let changed = self
            .connection
            .prepare_cached(
                "UPDATE messages SET state = iif(?1 = 'accepted' AND state IN ('delivered', 'read'), state, ?1)
                 WHERE message_id = ?2 AND peer = ?3 AND direction = 'out'",
            )?
            .execute(params![state.as_str(), id.as_bytes(), to.as_bytes()])?;
        Ok(changed > 0)
    }

    pub(super) fn select(&self, rest: &str, parameters: impl Params) -> Result<Vec<StoredMessage>, DatabaseError> {
        let mut query = self.connection.prepare_cached(&format!("SELECT {COLUMNS} {rest}"))?;
        let rows = query.query_map(parameters, Columns::read)?;
        rows.map(|row| self.message(row?)).collect()
    }

    fn message(&self, row: Columns) -> Result<StoredMessage, DatabaseError> {
        let peer = AccountTag::new(array(&row.peer, "messages.peer")?);
        let direction = Direction::read(&row.direction, "messages.direction")?;
        let id = MessageId::from_slice(&row.id).map_err(|_| DatabaseError::Invalid("messages.message_id"))?;
        let body = match row.body {
            None if row.deleted => Body::Deleted,
            None => match (row.about, row.file_state) {
                (Some(about), Some(state)) => {
                    Body::File(Box::new(self.stored_file((peer, direction, id), &about, &state)?))
                }
                _ => Body::Unknown,
            },
            Some(sealed) => {
                let opened = self.sealer.open(KIND, &place(peer, direction, id), &sealed)?;
                let text = String::from_utf8(opened.to_vec()).map_err(|_| DatabaseError::Invalid("messages.body"))?;
                let body = match row.card {
                    true => Card::from_lines(&text).map(|card| Body::Card(Box::new(card))),
                    false => Text::new(text).ok().map(Body::Text),
                };
                body.ok_or(DatabaseError::Invalid("messages.body"))?
            }
        };
        let time = |at: Option<i64>, column| at.map(|at| unsigned(at, column).map(UnixMillis::new)).transpose();
        Ok(StoredMessage {
            seq: row.seq,
            peer,
            handle: parse_handle(row.handle)?,
            direction,
            id,
            state: MessageState::named(&row.state).ok_or(DatabaseError::Invalid("messages.state"))?,
            body,
            sent_at: UnixMillis::new(unsigned(row.sent_at, "messages.sent_at")?),
            accepted_at: time(row.accepted_at, "messages.accepted_at")?,
            received_at: time(row.received_at, "messages.received_at")?,
            wire_bytes: row.wire_bytes.map(|bytes| unsigned(bytes, "messages.wire_bytes")).transpose()?,
            shown: row.shown,
            marks: Marks {
                reply_to: match (row.reply_id, row.reply_direction) {
                    (Some(id), Some(direction)) => Some(MessageRef {
                        id: MessageId::from_slice(&id).map_err(|_| DatabaseError::Invalid("messages.reply_id"))?,
                        direction: Direction::read(&direction, "messages.reply_direction")?,
                    }),
                    _ => None,
                },
                edited_at: time(row.edited_at, "messages.edited_at")?,
                lives_for: row.lives_for_s.and_then(Lifetime::from_secs),
                delivered_at: time(row.delivered_at, "messages.delivered_at")?,
                read_at: time(row.read_at, "messages.read_at")?,
                their_reaction: self.emoji((peer, direction, id), Direction::In, row.their_reaction)?,
                own_reaction: self.emoji((peer, direction, id), Direction::Out, row.own_reaction)?,
            },
        })
    }
}

/// A row as it lies in the file.
struct Columns {
    seq: i64,
    peer: Vec<u8>,
    handle: Option<String>,
    direction: String,
    id: Vec<u8>,
    state: String,
    body: Option<Vec<u8>>,
    sent_at: i64,
    accepted_at: Option<i64>,
    received_at: Option<i64>,
    wire_bytes: Option<i64>,
    shown: bool,
    reply_id: Option<Vec<u8>>,
    reply_direction: Option<String>,
    edited_at: Option<i64>,
    deleted: bool,
    lives_for_s: Option<u32>,
    delivered_at: Option<i64>,
    read_at: Option<i64>,
    their_reaction: Option<Vec<u8>>,
    own_reaction: Option<Vec<u8>>,
    about: Option<Vec<u8>>,
    file_state: Option<String>,
    card: bool,
}

impl Columns {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            seq: row.get(0)?,
            peer: row.get(1)?,
            handle: row.get(2)?,
            direction: row.get(3)?,
            id: row.get(4)?,
            state: row.get(5)?,
            body: row.get(6)?,
            sent_at: row.get(7)?,
            accepted_at: row.get(8)?,
            received_at: row.get(9)?,
            wire_bytes: row.get(10)?,
            shown: row.get(11)?,
            reply_id: row.get(12)?,
            reply_direction: row.get(13)?,
            edited_at: row.get(14)?,
            deleted: row.get(15)?,
            lives_for_s: row.get(16)?,
            delivered_at: row.get(17)?,
            read_at: row.get(18)?,
            their_reaction: row.get(19)?,
            own_reaction: row.get(20)?,
            about: row.get(21)?,
            file_state: row.get(22)?,
            card: row.get(23)?,
        })
    }
}
