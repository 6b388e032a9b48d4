//! Notices: what was found out about messages that did not come, for a person to see. They stand in the history.

use endtoend_protocol::{AccountTag, Address, ChainId, DeviceId, UnixMillis};
use rusqlite::{OptionalExtension as _, Params, Row, params};

use super::contacts::parse_handle;
use super::{DatabaseError, Store, array, integer, unsigned};
use crate::handle::Handle;

/// Notices that are kept; the oldest make room.
pub const NOTICES_MAX: i64 = 1_000;

/// What a notice says about its messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoticeKind {
    /// They did not come, and later ones did.
    Missing,
    /// They did not come, and were written while their sender was blocked: the server drops those, as it was told to.
    Blocked,
    /// They were missing and came after later ones.
    Late,
    /// They were missing, and their sender has sent them again.
    Mended,
    /// The sending device went back to an older state, or somebody else uses its keys.
    Forked,
    /// The sending device begins to count anew.
    Restarted,
}

impl NoticeKind {
    const ALL: [Self; 6] = [Self::Missing, Self::Blocked, Self::Late, Self::Mended, Self::Forked, Self::Restarted];

    /// Stable name, for `--json`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Blocked => "blocked",
            Self::Late => "late",
            Self::Mended => "mended",
            Self::Forked => "forked",
            Self::Restarted => "restarted",
        }
    }
}

/// What was found out about messages of one sending device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Place in the order in which things were found out. A notice that says something new has another.
    pub seq: i64,
    /// Whose messages.
    pub from: Address,
    /// The sender's name, when it is known.
    pub handle: Option<Handle>,
    /// Whether the sender is another device of this account.
    pub own: bool,
    /// What about them.
    pub kind: NoticeKind,
    /// In which chain of that device.
    pub chain: ChainId,
    /// The first of their numbers.
    pub first: u64,
    /// The last.
    pub last: u64,
    /// How many of them are missing still.
    pub missing: u64,
    /// Whether they may have waited longer than a server keeps them.
    pub may_have_expired: bool,
    /// The message of the history, by [`StoredMessage::seq`](super::StoredMessage::seq), that stands before it.
    pub after: i64,
    /// When it was found out, by this device's clock.
    pub at: UnixMillis,
    /// Until then it is not told: what is missing was asked for again.
    pub due_at: UnixMillis,
    /// Whether a person has seen it.
    pub shown: bool,
}

const COLUMNS: &str = "n.seq, n.sender, n.device, coalesce(c.handle, (SELECT handle FROM account WHERE tag = n.sender)),
    EXISTS (SELECT 1 FROM account WHERE tag = n.sender), n.kind, n.chain, n.first, n.last, n.missing, n.may_have_expired,
    n.after, n.at, n.due_at, n.shown FROM notices n LEFT JOIN contacts c ON c.tag = n.sender";

impl Store<'_> {
    /// Adds a notice. `seq`, `handle`, `own`, `after` and `shown` are not read. The oldest beyond [`NOTICES_MAX`] go.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn put_notice(&self, notice: &Notice) -> Result<(), DatabaseError> {
        self.connection
            .prepare_cached(
                "INSERT INTO notices (sender, device, kind, chain, first, last, missing, late, may_have_expired, after, at,
                 due_at, shown)
                 VALUES (?, ?, ?, ?, ?, ?, ?, 0, ?, (SELECT coalesce(max(seq), 0) FROM messages), ?, ?, 0)",
            )?
            .execute(params![
                notice.from.account.as_bytes(),
                notice.from.device.get(),
                notice.kind.as_str(),
                notice.chain.0,
                integer(notice.first),
                integer(notice.last),
                integer(notice.missing),
                notice.may_have_expired,
                integer(notice.at.get()),
                integer(notice.due_at.get()),
            ])?;
        self.connection
            .execute("DELETE FROM notices WHERE seq <= (SELECT max(seq) FROM notices) - ?", [NOTICES_MAX])?;
        Ok(())
    }

    /// A message that was missing has come. When it was the last of its notice, that says so, or goes if nobody has seen it
    /// and all came in time. `false` when there is no notice of it.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn came_after_all(
        &self,
        from: Address,
        chain: ChainId,
        number: u64,
        late: bool,
        now: UnixMillis,
    ) -> Result<bool, DatabaseError> {
        let number = integer(number);
        let row: Option<(i64, i64, i64, bool)> = self
            .connection
            .prepare_cached(
                "UPDATE notices SET missing = missing - 1, late = late + ?1 WHERE seq = (
                     SELECT max(seq) FROM notices WHERE sender = ?2 AND device = ?3 AND chain = ?4 AND missing > 0
                     AND first <= ?5 AND last >= ?5
                 ) RETURNING seq, missing, late, shown",
            )?
            .query_row(params![late, from.account.as_bytes(), from.device.get(), chain.0, number], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
            })
            .optional()?;
        let Some((seq, missing, late, shown)) = row else { return Ok(false) };
        if missing > 0 {
            return Ok(true);
        }
        let mut complete = self.select_notices("WHERE n.seq = ?", [seq])?;
        self.connection.execute("DELETE FROM notices WHERE seq = ?", [seq])?;
        if let Some(notice) = complete.pop().filter(|_| shown || late > 0) {
            let kind = if late > 0 { NoticeKind::Late } else { NoticeKind::Mended };
            self.put_notice(&Notice { kind, may_have_expired: false, at: now, due_at: now, ..notice })?;
        }
        Ok(true)
    }

    /// How many messages of an account are missing and not told yet, because they were asked for again.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn awaited(&self, sender: AccountTag, now: UnixMillis) -> Result<u64, DatabaseError> {
        let sum = self
            .connection
            .prepare_cached("SELECT coalesce(sum(missing), 0) FROM notices WHERE sender = ? AND due_at > ?")?
            .query_row(params![sender.as_bytes(), integer(now.get())], |row| row.get(0))?;
        unsigned(sum, "notices.missing")
    }

    /// The first `limit` notices that nobody has seen and that are due, of one peer or of all, oldest first. Those about
    /// somebody whose name the server is about to confirm wait for that.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn unseen_notices(
        &self,
        peer: Option<AccountTag>,
        now: UnixMillis,
        limit: u32,
    ) -> Result<Vec<Notice>, DatabaseError> {
        let now = integer(now.get());
        match peer {
            None => self.select_notices(
                "WHERE n.shown = 0 AND n.due_at <= ? AND (c.handle IS NOT NULL OR c.claimed IS NULL)
                   AND c.relation IS NOT 'blocked' AND c.relation IS NOT 'ignored' ORDER BY n.seq LIMIT ?",
                params![now, limit],
            ),
            Some(peer) => self.select_notices(
                "WHERE n.shown = 0 AND n.due_at <= ? AND n.sender = ? ORDER BY n.seq LIMIT ?",
                params![now, peer.as_bytes(), limit],
            ),
        }
    }

    /// The notices about somebody that stand in his history at or after a message, oldest first, those that are due.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn notices(&self, peer: AccountTag, from: i64, now: UnixMillis) -> Result<Vec<Notice>, DatabaseError> {
        self.select_notices(
            "WHERE n.sender = ? AND n.after >= ? AND n.due_at <= ? ORDER BY n.seq",
            params![peer.as_bytes(), from, integer(now.get())],
        )
    }

    /// Everything that was found out after the notice with this number, and the number of the last one that there is.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn notices_since(&self, seq: i64, now: UnixMillis) -> Result<(Vec<Notice>, i64), DatabaseError> {
        let last: i64 = self
            .connection
            .prepare_cached("SELECT coalesce(max(seq), 0) FROM notices")?
            .query_row([], |row| row.get(0))?;
        if last <= seq {
            return Ok((Vec::new(), seq));
        }
        let found =
            self.select_notices("WHERE n.seq > ? AND n.due_at <= ? ORDER BY n.seq", params![seq, integer(now.get())])?;
        Ok((found, last))
    }

    /// Notes that a person has seen these, named by [`Notice::seq`].
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn mark_notices_shown(&self, seqs: &[i64]) -> Result<(), DatabaseError> {
        let mut update = self.connection.prepare_cached("UPDATE notices SET shown = 1 WHERE seq = ?")?;
        for seq in seqs {
            update.execute([seq])?;
        }
        Ok(())
    }

    fn select_notices(&self, rest: &str, parameters: impl Params) -> Result<Vec<Notice>, DatabaseError> {
        let mut query = self.connection.prepare_cached(&format!("SELECT {COLUMNS} {rest}"))?;
        let rows = query.query_map(parameters, Columns::read)?;
        rows.map(|row| row?.notice()).collect()
    }
}

/// A row as it lies in the file.
struct Columns {
    seq: i64,
    sender: Vec<u8>,
    device: u32,
    handle: Option<String>,
    own: bool,
    kind: String,
    chain: Vec<u8>,
    numbers: [i64; 3],
    may_have_expired: bool,
    after: i64,
    at: i64,
    due_at: i64,
    shown: bool,
}

impl Columns {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            seq: row.get(0)?,
            sender: row.get(1)?,
            device: row.get(2)?,
            handle: row.get(3)?,
            own: row.get(4)?,
            kind: row.get(5)?,
            chain: row.get(6)?,
            numbers: [row.get(7)?, row.get(8)?, row.get(9)?],
            may_have_expired: row.get(10)?,
            after: row.get(11)?,
            at: row.get(12)?,
            due_at: row.get(13)?,
            shown: row.get(14)?,
        })
    }

    fn notice(self) -> Result<Notice, DatabaseError> {
        let [first, last, missing] = self.numbers;
        Ok(Notice {
            seq: self.seq,
            from: Address {
                account: AccountTag::new(array(&self.sender, "notices.sender")?),
                device: DeviceId::new(self.device).map_err(|_| DatabaseError::Invalid("notices.device"))?,
            },
            handle: parse_handle(self.handle)?,
            own: self.own,
            kind: NoticeKind::ALL
                .into_iter()
                .find(|kind| kind.as_str() == self.kind)
                .ok_or(DatabaseError::Invalid("notices.kind"))?,
            chain: ChainId(array(&self.chain, "notices.chain")?),
            first: unsigned(first, "notices.first")?,
            last: unsigned(last, "notices.last")?,
            missing: unsigned(missing, "notices.missing")?,
            may_have_expired: self.may_have_expired,
            after: self.after,
            at: UnixMillis::new(unsigned(self.at, "notices.at")?),
            due_at: UnixMillis::new(unsigned(self.due_at, "notices.due_at")?),
            shown: self.shown,
        })
    }
}
