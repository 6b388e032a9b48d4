//! Chains of messages: which place the next message to a device has, and what was heard of the devices that write to this one.

use endtoend_protocol::{AccountTag, Address, MessageId, Place, UnixMillis};
use rusqlite::{OptionalExtension as _, params};

use super::{DatabaseError, Store, integer, unsigned};
use crate::chain::Incoming;

const SENT: &str = "place";
const NEXT: &str = "next place";
const HEARD: &str = "chain";

fn id(address: Address) -> Vec<u8> {
    [address.account.as_bytes().as_slice(), &[address.device.get()]].concat()
}

impl Store<'_> {
    /// The place of the next message to a device; `None` before the first.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn next_place(&self, to: Address) -> Result<Option<Place>, DatabaseError> {
        let sealed: Option<Vec<u8>> = self
            .connection
            .prepare_cached("SELECT next FROM chains_out WHERE recipient = ? AND device = ?")?
            .query_row(params![to.account.as_bytes(), to.device.get()], |row| row.get(0))
            .optional()?;
        let open = |sealed: Vec<u8>| self.sealer.open(NEXT, &id(to), &sealed);
        let next = sealed.map(open).transpose()?;
        next.map(|next| Place::from_bytes(&next).ok_or(DatabaseError::Invalid("chains_out.next"))).transpose()
    }

    /// Notes it.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn set_next_place(&self, to: Address, next: &Place) -> Result<(), DatabaseError> {
        self.connection
            .prepare_cached("INSERT OR REPLACE INTO chains_out (recipient, device, next) VALUES (?, ?, ?)")?
            .execute(params![
                to.account.as_bytes(),
                to.device.get(),
                self.sealer.seal(NEXT, &id(to), &next.to_bytes())
            ])?;
        Ok(())
    }

    /// The place that a message had when it was sealed for a device before.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn place_of(&self, message: MessageId, to: Address) -> Result<Option<Place>, DatabaseError> {
        let sealed: Option<Vec<u8>> = self
            .connection
            .prepare_cached(
                "SELECT place FROM sent WHERE message_id = ? AND recipient = ? AND device = ? AND place IS NOT NULL
                 ORDER BY at DESC LIMIT 1",
            )?
            .query_row(params![message.as_bytes(), to.account.as_bytes(), to.device.get()], |row| row.get(0))
            .optional()?;
        let open = |sealed: Vec<u8>| self.sealer.open(SENT, &id(to), &sealed);
        let place = sealed.map(open).transpose()?;
        place.map(|place| Place::from_bytes(&place).ok_or(DatabaseError::Invalid("sent.place"))).transpose()
    }

    pub(super) fn seal_place(&self, to: Address, place: &Place) -> Vec<u8> {
        self.sealer.seal(SENT, &id(to), &place.to_bytes())
    }

    /// What was heard of a sending device, and when the last of it; `None` before the first.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn heard_of(&self, from: Address) -> Result<Option<(Incoming, UnixMillis)>, DatabaseError> {
        let row: Option<(Vec<u8>, i64)> = self
            .connection
            .prepare_cached("SELECT state, heard_at FROM chains_in WHERE sender = ? AND device = ?")?
            .query_row(params![from.account.as_bytes(), from.device.get()], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let Some((sealed, at)) = row else { return Ok(None) };
        let state = self.sealer.open(HEARD, &id(from), &sealed)?;
        let state = Incoming::from_bytes(&state).ok_or(DatabaseError::Invalid("chains_in.state"))?;
        Ok(Some((state, UnixMillis::new(unsigned(at, "chains_in.heard_at")?))))
    }

    /// Notes it.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn set_heard_of(&self, from: Address, state: &Incoming, now: UnixMillis) -> Result<(), DatabaseError> {
        self.connection
            .prepare_cached("INSERT OR REPLACE INTO chains_in (sender, device, state, heard_at) VALUES (?, ?, ?, ?)")?
            .execute(params![
                from.account.as_bytes(),
                from.device.get(),
                self.sealer.seal(HEARD, &id(from), &state.to_bytes()),
                integer(now.get()),
            ])?;
        Ok(())
    }

    /// Ends the chains with an account in both directions: it has another identity now, and other devices.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn forget_chains(&self, tag: AccountTag) -> Result<(), DatabaseError> {
        self.connection.execute("DELETE FROM chains_out WHERE recipient = ?", [tag.as_bytes()])?;
        self.connection.execute("DELETE FROM chains_in WHERE sender = ?", [tag.as_bytes()])?;
        Ok(())
    }

    /// Whether what was said since a moment may have been kept away because its sender was blocked.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn was_blocked_since(&self, tag: AccountTag, since: UnixMillis) -> Result<bool, DatabaseError> {
        Ok(self
            .connection
            .prepare_cached("SELECT 1 FROM contacts WHERE tag = ? AND (relation = 'blocked' OR unblocked_at >= ?)")?
            .exists(params![tag.as_bytes(), integer(since.get())])?)
    }

    /// Counts a delivery of what was here already.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn count_repeat(&self) -> Result<(), DatabaseError> {
        self.connection.prepare_cached("UPDATE account SET repeats = repeats + 1")?.execute([])?;
        Ok(())
    }

    /// How many deliveries were of what was here already.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn repeats(&self) -> Result<u64, DatabaseError> {
        let repeats: Option<i64> =
            self.connection.query_row("SELECT repeats FROM account", [], |row| row.get(0)).optional()?;
        unsigned(repeats.unwrap_or_default(), "account.repeats")
    }
}
