//! Who was removed, and when: what was settled about somebody before, on another device of this account, does not bring him back.
//!
//! Of two things about the same the later counts, and a removal is about everything: what was decided, how somebody is called, what was
//! compared, how the conversation is kept. So each device keeps when somebody was removed, asks that of all that others tell, and comes to
//! the same end in whatever order it hears. Two exceptions make it so:
//! - a block stands against a removal that knew nothing of it, because nobody who is blocked can be removed;
//! - whoever has said something since, or was written to, stays for that.

use std::time::Duration;

use endtoend_protocol::{AccountTag, UnixMillis};
use rusqlite::{OptionalExtension as _, params};

use super::{DatabaseError, Extent, Standing, Store, array, integer, unsigned};
use crate::handle::Handle;

/// Of so many it is kept; the oldest goes for one more. They are told to each device that comes to the account.
pub const REMOVED_MAX: u32 = 2_000;
/// For so long it is kept: three times as long as a server keeps what a device has not fetched.
pub const REMOVED_AGE_MAX: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// What is kept of a removal.
struct Removal {
    at: UnixMillis,
    /// When the latest was decided that is known.
    decided_at: UnixMillis,
}

impl Store<'_> {
    fn removal(&self, tag: AccountTag) -> Result<Option<Removal>, DatabaseError> {
        let row: Option<(i64, i64)> = self
            .connection
            .prepare_cached("SELECT at, decided_at FROM removed WHERE tag = ?")?
            .query_row([tag.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        row.map(|(at, decided_at)| {
            let moment = |at| unsigned(at, "removed.at").map(UnixMillis::new);
            Ok(Removal { at: moment(at)?, decided_at: moment(decided_at)? })
        })
        .transpose()
    }

    /// When somebody was last removed, on any device of this account, as long as that is kept.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn removed_at(&self, tag: AccountTag) -> Result<Option<UnixMillis>, DatabaseError> {
        Ok(self.removal(tag)?.map(|removal| removal.at))
    }

    /// Whether what was settled about somebody then counts, as far as his removal is concerned.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn outlives_removal(&self, tag: AccountTag, at: UnixMillis) -> Result<bool, DatabaseError> {
        Ok(self.removed_at(tag)?.is_none_or(|removed| at > removed))
    }

    /// A moment for what is decided about somebody now that is later than whatever was before, whatever the clock does.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn decides(&self, about: AccountTag, now: UnixMillis) -> Result<UnixMillis, DatabaseError> {
        let before = self.last_settled(about)?.max(self.removed_at(about)?);
        Ok(before.map_or(now, |before| now.max(before.plus(Duration::from_millis(1)))))
    }

    /// Notes that somebody was removed then, or later.
    pub(super) fn note_removed(&self, tag: AccountTag, at: UnixMillis) -> Result<(), DatabaseError> {
        self.connection
            .prepare_cached(
                "INSERT INTO removed (tag, at, decided_at)
                 VALUES (?1, ?2, coalesce((SELECT decided_at FROM contacts WHERE tag = ?1 AND gone = 0), 0)) ON CONFLICT (tag) DO UPDATE
                 SET at = max(at, excluded.at), decided_at = max(decided_at, excluded.decided_at)",
            )?
            .execute(params![tag.as_bytes(), integer(at.get())])?;
        let old = at.get().saturating_sub(u64::try_from(REMOVED_AGE_MAX.as_millis()).unwrap_or(u64::MAX));
        self.connection.execute("DELETE FROM removed WHERE at < ?", [integer(old)])?;
        self.connection.execute(
            "DELETE FROM removed WHERE tag IN (SELECT tag FROM removed ORDER BY at DESC, tag LIMIT -1 OFFSET ?)",
            [REMOVED_MAX],
        )?;
        Ok(())
    }

    /// The next of those who were removed and are not known any more, in the order of accounts, and when that was.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn removed_after(&self, after: Option<AccountTag>) -> Result<Option<(AccountTag, UnixMillis)>, DatabaseError> {
        let after = after.map_or_else(Vec::new, |tag| tag.as_bytes().to_vec());
        let row: Option<(Vec<u8>, i64)> = self
            .connection
            .prepare_cached(
                "SELECT tag, at FROM removed r WHERE tag > ? AND NOT EXISTS
                 (SELECT 1 FROM contacts c WHERE c.tag = r.tag AND c.gone = 0) ORDER BY tag LIMIT 1",
            )?
            .query_row([after], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        row.map(|(tag, at)| {
            Ok((AccountTag::new(array(&tag, "removed.tag")?), UnixMillis::new(unsigned(at, "removed.at")?)))
        })
        .transpose()
    }

    /// Another device of this account has decided something about somebody, and has told the server: takes it over, unless something
    /// later counts. Says whether it does.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn was_decided_elsewhere(
        &self,
        about: AccountTag,
        handle: Option<&Handle>,
        standing: Standing,
        at: UnixMillis,
    ) -> Result<bool, DatabaseError> {
        let Some(removal) = self.removal(about)? else {
            self.put_contact(about, handle)?;
            return self.was_decided(about, standing, at);
        };
        if at <= removal.decided_at {
            return Ok(false);
        }
        let brings_back = at > removal.at || standing == Standing::Blocked;
        if !brings_back && self.contact(about)?.is_none() {
            // An older block must not stand against it.
            self.connection
                .prepare_cached("UPDATE removed SET decided_at = ? WHERE tag = ?")?
                .execute(params![integer(at.get()), about.as_bytes()])?;
            return Ok(false);
        }
        self.put_contact(about, handle)?;
        let counts = self.was_decided(about, standing, at)?;
        if at <= removal.at {
            self.let_go(about)?;
        }
        Ok(counts)
    }

    /// Another device of this account has removed a conversation, and with it perhaps whom it was with. He stays for what was settled or
    /// said since, or while he is blocked. Says whether he went.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn was_removed(&self, with: AccountTag, contact: bool, at: UnixMillis) -> Result<bool, DatabaseError> {
        let own = self.account()?.is_some_and(|account| account.tag == Some(with));
        self.remove_conversation(with, Extent::Until(at))?;
        if own || !contact {
            return Ok(false);
        }
        self.note_removed(with, at)?;
        self.let_go(with)
    }

    /// Whoever was removed goes, unless there is something that is later: then what is older goes. Messages that are here are later, but for
    /// those of this device that have not left. Says whether he went.
    fn let_go(&self, with: AccountTag) -> Result<bool, DatabaseError> {
        let Some(at) = self.removed_at(with)? else { return Ok(false) };
        if self.contact(with)?.is_none() || self.stays_after(with, at)? {
            self.forget_settled(with, at)?;
            return Ok(false);
        }
        self.remove_conversation(with, Extent::Everything)?;
        self.remove_contact(with, false, at)?;
        Ok(true)
    }

    fn stays_after(&self, with: AccountTag, at: UnixMillis) -> Result<bool, DatabaseError> {
        Ok(self
            .connection
            .prepare_cached(
                "SELECT 1 FROM contacts WHERE tag = ?1 AND (relation IS 'blocked'
                 OR max(decided_at, nickname_at, verified_at, arranged_at, timer_at) > ?2)
                 UNION ALL SELECT 1 FROM messages
                 WHERE peer = ?1 AND NOT (direction = 'out' AND state = 'queued' AND sent_at <= ?2) LIMIT 1",
            )?
            .exists(params![with.as_bytes(), integer(at.get())])?)
    }

    /// What was settled until then is not any more, but for a block. The device that has removed him has told the server that nothing is
    /// decided, which is not so where something is.
    fn forget_settled(&self, with: AccountTag, until: UnixMillis) -> Result<(), DatabaseError> {
        self.connection
            .prepare_cached(
                "UPDATE contacts SET
                 relation = iif(decided_at > ?2 OR relation IS 'blocked', relation, NULL),
                 untold = iif(decided_at > ?2 OR relation IS 'blocked', relation IS NOT NULL, untold),
                 nickname = iif(nickname_at > ?2, nickname, NULL), nickname_at = iif(nickname_at > ?2, nickname_at, 0),
                 verified = iif(verified_at > ?2, verified, NULL),
                 compared_devices = iif(verified_at > ?2, compared_devices, NULL),
                 verified_at = iif(verified_at > ?2, verified_at, 0),
                 pinned = iif(arranged_at > ?2, pinned, 0), muted_until = iif(arranged_at > ?2, muted_until, NULL),
                 arranged_at = iif(arranged_at > ?2, arranged_at, 0),
                 lives_for_s = iif(timer_at > ?2, lives_for_s, NULL), timer_at = iif(timer_at > ?2, timer_at, 0)
                 WHERE tag = ?1 AND gone = 0",
            )?
            .execute(params![with.as_bytes(), integer(until.get())])?;
        Ok(())
    }
}
