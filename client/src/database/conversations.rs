//! What a list of conversations shows: whom with, the last message, how many nobody has seen.

use endtoend_protocol::AccountTag;
use rusqlite::{OptionalExtension as _, params};

use super::{Contact, DatabaseError, Store, StoredMessage, array, unsigned};

/// Conversations that one answer may have.
pub const CONVERSATIONS_MAX: u32 = 2_000;

/// One line of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conversation {
    /// Whom with.
    pub contact: Contact,
    /// The last message that is to be seen, of either side.
    pub last: Option<StoredMessage>,
    /// Messages that nobody has seen.
    pub unread: u64,
}

impl Store<'_> {
    /// Those that are pinned first, then those with people who are accepted, then others, so that no crowd of strangers pushes anybody
    /// out; of each kind the conversations in which something was said last first, then people without one by name. At most `limit` and
    /// [`CONVERSATIONS_MAX`].
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn conversations(&self, limit: u32) -> Result<Vec<Conversation>, DatabaseError> {
        let mut query = self.connection.prepare_cached(
            "SELECT c.tag FROM contacts c WHERE c.gone = 0
             ORDER BY c.pinned DESC,
               (c.relation IS 'accepted' OR c.unaddressed = 1 OR c.tag IS (SELECT tag FROM account)) DESC,
               (SELECT max(seq) FROM messages m WHERE m.peer = c.tag) DESC NULLS LAST, c.handle, c.tag LIMIT ?",
        )?;
        let tags = query
            .query_map([limit.min(CONVERSATIONS_MAX)], |row| row.get::<_, Vec<u8>>(0))?
            .collect::<Result<Vec<_>, _>>()?;
        let mut found = Vec::with_capacity(tags.len());
        for tag in tags {
            found.extend(self.conversation(AccountTag::new(array(&tag, "contacts.tag")?))?);
        }
        Ok(found)
    }

    /// The conversation with somebody; `None` when that person is not known.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn conversation(&self, with: AccountTag) -> Result<Option<Conversation>, DatabaseError> {
        let Some(contact) = self.contact(with)? else { return Ok(None) };
        let last = self.history(with, 1)?.pop();
        // Only those that nobody has seen are in the index, and they are few.
        let unread: Option<i64> = self
            .connection
            .prepare_cached(
                "SELECT count(*) FROM messages INDEXED BY messages_unread WHERE shown = 0 AND hidden = 0 AND peer = ?",
            )?
            .query_row(params![with.as_bytes()], |row| row.get(0))
            .optional()?;
        Ok(Some(Conversation { contact, last, unread: unsigned(unread.unwrap_or(0), "messages")? }))
    }
}
