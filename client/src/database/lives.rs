//! Messages that disappear, what was seen, and what their writers hear of it. The clock of lives is [`crate::life`]'s.

use std::time::Duration;

use endtoend_protocol::{AccountTag, Lifetime, MessageId, Progress, UnixMillis, limits};
use rusqlite::{OptionalExtension as _, params};
use zeroize::Zeroizing;

use super::{DatabaseError, Direction, MessageRef, Store, array, integer, unsigned};
use crate::life::Kept;
use crate::transport::NetworkSettings;

/// Messages that are taken away in one transaction.
const EXPIRED_MAX: u32 = 256;

/// What a person has chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Whether the writers of messages hear that they came and were seen. Default: no, because a receipt also shows the server by
    /// its time that somebody is there.
    pub receipts: bool,
    /// Whether others hear that this person is writing. Default: yes.
    pub typing: bool,
}

const LIFE: &str = "life";
const RECEIPTS: &str = "receipts";
const TYPING: &str = "typing";
const LOCK_AFTER: &str = "lock after";
const NETWORK: &str = "network";

impl Store<'_> {
    pub(super) fn setting(&self, name: &str) -> Result<Option<Vec<u8>>, DatabaseError> {
        Ok(self
            .connection
            .prepare_cached("SELECT value FROM settings WHERE name = ?")?
            .query_row([name], |row| row.get(0))
            .optional()?)
    }

    pub(super) fn set_setting(&self, name: &str, value: &[u8]) -> Result<(), DatabaseError> {
        self.connection
            .prepare_cached("INSERT OR REPLACE INTO settings (name, value) VALUES (?, ?)")?
            .execute(params![name, value])?;
        Ok(())
    }

    /// What was chosen about the way to the network.
    ///
    /// # Errors
    /// See [`DatabaseError`]. What cannot be read is no choice: nobody is connected by a way that he has not chosen.
    pub fn network(&self) -> Result<NetworkSettings, DatabaseError> {
        let Some(kept) = self.setting(NETWORK)? else { return Ok(NetworkSettings::default()) };
        NetworkSettings::from_bytes(&Zeroizing::new(kept)).ok_or(DatabaseError::Invalid("settings.network"))
    }

    /// Keeps that.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn set_network(&self, settings: &NetworkSettings) -> Result<(), DatabaseError> {
        self.set_setting(NETWORK, &settings.to_bytes())
    }

    /// What a person has chosen.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn settings(&self) -> Result<Settings, DatabaseError> {
        let chosen = |name| Ok::<_, DatabaseError>(self.setting(name)?.map(|value| value == [1]));
        Ok(Settings { receipts: chosen(RECEIPTS)?.unwrap_or(false), typing: chosen(TYPING)?.unwrap_or(true) })
    }

    /// Keeps it. What was due to be told and is not wanted any more is forgotten.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn set_settings(&self, settings: Settings) -> Result<(), DatabaseError> {
        self.set_setting(RECEIPTS, &[settings.receipts.into()])?;
        self.set_setting(TYPING, &[settings.typing.into()])?;
        if !settings.receipts {
            self.connection.execute("DELETE FROM receipts_due", [])?;
        }
        Ok(())
    }

    /// After what time without anybody the profile locks itself; `None`: never.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn lock_after(&self) -> Result<Option<Duration>, DatabaseError> {
        let Some(kept) = self.setting(LOCK_AFTER)? else { return Ok(None) };
        let seconds = u64::from_le_bytes(array(&kept, "settings.lock_after")?);
        Ok((seconds > 0).then(|| Duration::from_secs(seconds)))
    }

    /// Keeps that. Fractions of a second are dropped, and less than one is one.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn set_lock_after(&self, after: Option<Duration>) -> Result<(), DatabaseError> {
        let seconds = after.map_or(0, |after| after.as_secs().max(1));
        self.set_setting(LOCK_AFTER, &seconds.to_le_bytes())
    }

    /// The clock of lives as it was last kept.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn life(&self) -> Result<Option<Kept>, DatabaseError> {
        let kept = self.setting(LIFE)?;
        kept.map(|kept| Kept::from_bytes(&kept).ok_or(DatabaseError::Invalid("settings.life"))).transpose()
    }

    /// Keeps the clock of lives.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn set_life(&self, now: Kept) -> Result<(), DatabaseError> {
        self.set_setting(LIFE, &now.to_bytes())
    }

    fn life_ms(&self) -> Result<u64, DatabaseError> {
        Ok(self.life()?.map_or(0, |kept| kept.life_ms))
    }

    /// Whether any message is to disappear.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn has_mortals(&self) -> Result<bool, DatabaseError> {
        Ok(self.connection.prepare_cached("SELECT 1 FROM contacts WHERE lives_for_s IS NOT NULL")?.exists([])?
            || self.next_expiry()?.is_some())
    }

    /// When the next message disappears, by the clock of lives, in milliseconds.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn next_expiry(&self) -> Result<Option<u64>, DatabaseError> {
        let next: Option<i64> = self
            .connection
            .prepare_cached("SELECT min(expires_at) FROM messages WHERE expires_at IS NOT NULL")?
            .query_row([], |row| row.get(0))?;
        next.map(|next| unsigned(next, "messages.expires_at")).transpose()
    }

    /// Takes away messages whose life is over, with all that hangs on them: at most a few hundred at a time. Says which.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn expire(&self, life_ms: u64) -> Result<Vec<(AccountTag, MessageRef)>, DatabaseError> {
        let mut query = self.connection.prepare_cached(
            "SELECT peer, direction, message_id FROM messages WHERE expires_at <= ? ORDER BY expires_at LIMIT ?",
        )?;
        let rows: Vec<(Vec<u8>, String, Vec<u8>)> = query
            .query_map(params![integer(life_ms), EXPIRED_MAX], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
            .collect::<Result<_, _>>()?;
        let mut gone = Vec::with_capacity(rows.len());
        for (peer, direction, id) in rows {
            let peer = AccountTag::new(array(&peer, "messages.peer")?);
            let direction = Direction::read(&direction, "messages.direction")?;
            let id = MessageId::from_slice(&id).map_err(|_| DatabaseError::Invalid("messages.message_id"))?;
            let message = MessageRef { direction, id };
            self.forget_text(peer, message)?;
            self.forget_file(peer, message, false)?;
            self.forget_about(peer, message)?;
            self.connection
                .prepare_cached("DELETE FROM messages WHERE peer = ? AND direction = ? AND message_id = ?")?
                .execute(params![peer.as_bytes(), direction.as_str(), id.as_bytes()])?;
            gone.push((peer, message));
        }
        Ok(gone)
    }

    /// The life of one of our messages begins, if it has an end: the server has it.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn begin_own_life(&self, peer: AccountTag, id: MessageId) -> Result<(), DatabaseError> {
        let life = integer(self.life_ms()?);
        self.connection
            .prepare_cached(
                "UPDATE messages SET expires_at = ?1 + lives_for_s * 1000
                 WHERE peer = ?2 AND direction = 'out' AND message_id = ?3
                   AND lives_for_s IS NOT NULL AND expires_at IS NULL",
            )?
            .execute(params![life, peer.as_bytes(), id.as_bytes()])?;
        Ok(())
    }

    /// Notes that a person has seen these, named by [`StoredMessage::seq`](super::StoredMessage::seq): their lives begin, and
    /// their writers are told if they are accepted and that is wanted. Says whether somebody is to be told.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn mark_shown(&self, seqs: &[i64]) -> Result<bool, DatabaseError> {
        let (life, receipts) = (integer(self.life_ms()?), self.settings()?.receipts);
        let mut update = self.connection.prepare_cached(
            "UPDATE messages SET shown = 1,
             expires_at = coalesce(expires_at, iif(direction = 'in', ?2 + lives_for_s * 1000, NULL))
             WHERE seq = ?1 AND shown = 0 RETURNING peer, message_id, direction = 'in' AND deleted = 0",
        )?;
        let mut due = false;
        for seq in seqs {
            let row: Option<(Vec<u8>, Vec<u8>, bool)> =
                update.query_row(params![seq, life], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).optional()?;
            if let Some((peer, id, true)) = row
                && receipts
            {
                due |= self.owe_receipt(&peer, &id, true)?;
            }
        }
        Ok(due)
    }

    /// Another device of this account has shown one of their messages.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn was_shown(&self, peer: AccountTag, id: MessageId) -> Result<bool, DatabaseError> {
        let life = integer(self.life_ms()?);
        let new = self
            .connection
            .prepare_cached(
                "SELECT 1 FROM messages WHERE peer = ? AND direction = 'in' AND message_id = ? AND shown = 0",
            )?
            .exists(params![peer.as_bytes(), id.as_bytes()])?;
        self.connection
            .prepare_cached(
                "UPDATE messages SET shown = 1, expires_at = coalesce(expires_at, ?3 + lives_for_s * 1000)
                 WHERE peer = ?1 AND direction = 'in' AND message_id = ?2",
            )?
            .execute(params![peer.as_bytes(), id.as_bytes(), life])?;
        Ok(new)
    }

    /// A message of somebody's has come: he is to be told if he is accepted and that is wanted. Says whether he is.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn owe_delivery(&self, peer: AccountTag, id: MessageId) -> Result<bool, DatabaseError> {
        Ok(self.settings()?.receipts && self.owe_receipt(peer.as_bytes(), id.as_bytes(), false)?)
    }

    /// Only to those who are accepted: a stranger does not learn when somebody is there.
    fn owe_receipt(&self, peer: &[u8], id: &[u8], read: bool) -> Result<bool, DatabaseError> {
        let changed = self
            .connection
            .prepare_cached(
                "INSERT INTO receipts_due (peer, message_id, read) SELECT ?1, ?2, ?3
                 WHERE EXISTS (SELECT 1 FROM contacts WHERE tag = ?1 AND relation = 'accepted'
                               AND changed_identity IS NULL)
                 ON CONFLICT (peer, message_id) DO UPDATE SET read = max(read, excluded.read)",
            )?
            .execute(params![peer, id, read])?;
        Ok(changed > 0)
    }

    /// Takes what one person is to be told next; `None` when nothing is left. One kind at a time, one receipt's worth.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn take_receipts(&self) -> Result<Option<(AccountTag, Progress, Vec<MessageId>)>, DatabaseError> {
        let first: Option<(Vec<u8>, bool)> = self
            .connection
            .prepare_cached("SELECT peer, read FROM receipts_due ORDER BY peer, read LIMIT 1")?
            .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let Some((peer, read)) = first else { return Ok(None) };
        let mut query = self.connection.prepare_cached(
            "DELETE FROM receipts_due WHERE peer = ?1 AND message_id IN
             (SELECT message_id FROM receipts_due WHERE peer = ?1 AND read = ?2 ORDER BY message_id LIMIT ?3)
             RETURNING message_id",
        )?;
        let most = u32::try_from(limits::RECEIPT_IDS_MAX).unwrap_or(u32::MAX);
        let ids = query.query_map(params![peer, read, most], |row| row.get::<_, Vec<u8>>(0))?;
        let ids = ids
            .map(|id| MessageId::from_slice(&id?).map_err(|_| DatabaseError::Invalid("receipts_due.message_id")))
            .collect::<Result<_, _>>()?;
        let progress = if read { Progress::Read } else { Progress::Delivered };
        Ok(Some((AccountTag::new(array(&peer, "receipts_due.peer")?), progress, ids)))
    }

    /// Somebody has said what has come of one of our messages to him. Says whether that is new.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn progressed(
        &self,
        peer: AccountTag,
        id: MessageId,
        progress: Progress,
        now: UnixMillis,
    ) -> Result<bool, DatabaseError> {
        let sql = match progress {
            Progress::Delivered => {
                "UPDATE messages SET delivered_at = ?1, state = iif(state = 'read', state, 'delivered')
                 WHERE peer = ?2 AND direction = 'out' AND message_id = ?3 AND delivered_at IS NULL"
            }
            Progress::Read => {
                "UPDATE messages SET read_at = ?1, delivered_at = coalesce(delivered_at, ?1), state = 'read'
                 WHERE peer = ?2 AND direction = 'out' AND message_id = ?3 AND read_at IS NULL"
            }
        };
        let changed = self.connection.prepare_cached(sql)?.execute(params![
            integer(now.get()),
            peer.as_bytes(),
            id.as_bytes()
        ])?;
        Ok(changed > 0)
    }

    /// How long messages of a conversation live that are written from now on.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn timer(&self, peer: AccountTag) -> Result<Option<Lifetime>, DatabaseError> {
        let seconds: Option<Option<u32>> = self
            .connection
            .prepare_cached("SELECT lives_for_s FROM contacts WHERE tag = ?")?
            .query_row([peer.as_bytes()], |row| row.get(0))
            .optional()?;
        Ok(seconds.flatten().and_then(Lifetime::from_secs))
    }

    /// Sets that, unless something was said later. Says whether it changed.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn set_timer(
        &self,
        peer: AccountTag,
        lifetime: Option<Lifetime>,
        at: UnixMillis,
    ) -> Result<bool, DatabaseError> {
        let before = self.timer(peer)?;
        let changed = self
            .connection
            .prepare_cached("UPDATE contacts SET lives_for_s = ?1, timer_at = ?2 WHERE tag = ?3 AND timer_at <= ?2")?
            .execute(params![lifetime.map(Lifetime::as_secs), integer(at.get()), peer.as_bytes()])?;
        Ok(changed > 0 && before != lifetime)
    }
}
