//! What was said about a message before the message came: kept for a while, and within bounds.

use std::time::Duration;

use endtoend_protocol::{AccountTag, UnixMillis};
use rusqlite::params;
use zeroize::Zeroizing;

use super::messages::place;
use super::{DatabaseError, Direction, MessageRef, Store, integer};

/// How long it is kept: a device that was away says what it had to say when it comes back, and the next day is soon enough.
pub const EARLY_AGE_MAX: Duration = Duration::from_secs(24 * 3600);
/// Kept of one conversation; the oldest makes room.
pub const EARLY_MAX_PER_PEER: u32 = 16;
/// Kept in all; the oldest makes room.
pub const EARLY_MAX: u32 = 256;

const KIND: &str = "early";

/// By whom, and what: an encoded content.
pub type SaidEarly = (Direction, Zeroizing<Vec<u8>>);

impl Store<'_> {
    /// Keeps what `by` has said about a message that is not here.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn put_early(
        &self,
        peer: AccountTag,
        about: MessageRef,
        by: Direction,
        content: &[u8],
        until: UnixMillis,
    ) -> Result<(), DatabaseError> {
        let sealed = self.sealer.seal(KIND, &place(peer, about.direction, about.id), content);
        self.connection
            .prepare_cached(
                "INSERT INTO early (peer, direction, message_id, author, content, until) VALUES (?, ?, ?, ?, ?, ?)",
            )?
            .execute(params![
                peer.as_bytes(),
                about.direction.as_str(),
                about.id.as_bytes(),
                by.as_str(),
                sealed,
                integer(until.get()),
            ])?;
        self.connection
            .prepare_cached(
                "DELETE FROM early WHERE peer = ?1
                 AND seq NOT IN (SELECT seq FROM early WHERE peer = ?1 ORDER BY seq DESC LIMIT ?2)",
            )?
            .execute(params![peer.as_bytes(), EARLY_MAX_PER_PEER])?;
        let newest = "DELETE FROM early WHERE seq NOT IN (SELECT seq FROM early ORDER BY seq DESC LIMIT ?)";
        self.connection.prepare_cached(newest)?.execute([EARLY_MAX])?;
        Ok(())
    }

    /// Takes what was said about a message that has come now, and by whom, in the order in which it came.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn take_early(&self, peer: AccountTag, about: MessageRef) -> Result<Vec<SaidEarly>, DatabaseError> {
        let key = params![peer.as_bytes(), about.direction.as_str(), about.id.as_bytes()];
        let rows: Vec<(String, Vec<u8>)> = self
            .connection
            .prepare_cached(
                "SELECT author, content FROM early WHERE peer = ? AND direction = ? AND message_id = ? ORDER BY seq",
            )?
            .query_map(key, |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_, _>>()?;
        if !rows.is_empty() {
            self.connection
                .prepare_cached("DELETE FROM early WHERE peer = ? AND direction = ? AND message_id = ?")?
                .execute(key)?;
        }
        let place = place(peer, about.direction, about.id);
        rows.into_iter()
            .map(|(by, sealed)| Ok((Direction::read(&by, "early.author")?, self.sealer.open(KIND, &place, &sealed)?)))
            .collect()
    }

    /// Forgets what was kept for long enough.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn forget_early(&self, now: UnixMillis) -> Result<(), DatabaseError> {
        self.connection.prepare_cached("DELETE FROM early WHERE until <= ?")?.execute([integer(now.get())])?;
        Ok(())
    }
}
