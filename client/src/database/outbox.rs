//! What waits to be accepted by the server.
//!
//! A row begins as content for an account. Sealing turns it into one row per device, each with an envelope whose bytes
//! never change again: a retry sends the same. One that has waited too long is content once more.

use bytes::Bytes;
use endtoend_protocol::{AccountTag, Address, DeviceId, Envelope, EnvelopeId, MessageId, RejectReason, UnixMillis};
use rusqlite::{OptionalExtension as _, params};
use zeroize::Zeroizing;

use super::{DatabaseError, MessageState, Store, array, integer, unsigned};

const KIND: &str = "outbox";

/// Rows that may wait. At the bound sending is refused.
pub const OUTBOX_MAX: usize = 10_000;

/// One row, in short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutboxItem {
    /// Place in the order.
    pub seq: i64,
    /// For whom.
    pub recipient: AccountTag,
    /// Once sealed.
    pub envelope: Option<EnvelopeId>,
}

/// One row, in full.
pub enum SealedItem {
    /// Ready to send.
    Sealed {
        /// Which message.
        message: MessageId,
        /// Its bytes never change.
        envelope: Envelope,
    },
    /// To be sealed for every device of the recipient.
    Open {
        /// Which message.
        message: MessageId,
        /// What goes into the ratchet.
        content: Zeroizing<Vec<u8>>,
    },
}

/// A row that is not sealed: its place in the order, for whom it is, and its content.
pub(super) type Unsealed = (i64, AccountTag, Zeroizing<Vec<u8>>);

fn place(message: MessageId, recipient: AccountTag) -> Vec<u8> {
    [message.as_bytes().as_slice(), recipient.as_bytes()].concat()
}

fn message_id(bytes: &[u8]) -> Result<MessageId, DatabaseError> {
    MessageId::from_slice(bytes).map_err(|_| DatabaseError::Invalid("outbox.message_id"))
}

fn envelope_id(bytes: &[u8]) -> Result<EnvelopeId, DatabaseError> {
    EnvelopeId::from_slice(bytes).map_err(|_| DatabaseError::Invalid("outbox.envelope_id"))
}

impl Store<'_> {
    /// Everything that waits, in order.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn outbox(&self) -> Result<Vec<OutboxItem>, DatabaseError> {
        let mut query = self.connection.prepare("SELECT seq, recipient, envelope_id FROM outbox ORDER BY seq")?;
        let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        rows.map(|row| {
            let (seq, recipient, envelope): (i64, Vec<u8>, Option<Vec<u8>>) = row?;
            Ok(OutboxItem {
                seq,
                recipient: AccountTag::new(array(&recipient, "outbox.recipient")?),
                envelope: envelope.as_deref().map(envelope_id).transpose()?,
            })
        })
        .collect()
    }

    /// What waits and is not sealed, in order.
    pub(super) fn unsealed_contents(&self) -> Result<Vec<Unsealed>, DatabaseError> {
        let mut query = self
            .connection
            .prepare("SELECT seq, message_id, recipient, content FROM outbox WHERE content IS NOT NULL ORDER BY seq")?;
        let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
        rows.map(|row| {
            let (seq, message, recipient, sealed): (i64, Vec<u8>, Vec<u8>, Vec<u8>) = row?;
            let recipient = AccountTag::new(array(&recipient, "outbox.recipient")?);
            let content = self.sealer.open(KIND, &place(message_id(&message)?, recipient), &sealed)?;
            Ok((seq, recipient, content))
        })
        .collect()
    }

    /// How many rows wait that carry a message of a history, but for those to one account, and messages whose files are on their way.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn messages_waiting(&self, except: Option<AccountTag>) -> Result<usize, DatabaseError> {
        let count: i64 = self
            .connection
            .prepare_cached(
                "SELECT (SELECT count(*) FROM outbox o WHERE o.recipient IS NOT ?1 AND EXISTS
                 (SELECT 1 FROM messages m WHERE m.message_id = o.message_id AND m.direction = 'out'))
                 + (SELECT count(*) FROM files WHERE state = 'sending')",
            )?
            .query_row([except.map(|tag| tag.as_bytes().to_vec())], |row| row.get(0))?;
        usize::try_from(count).map_err(|_| DatabaseError::Invalid("outbox"))
    }

    /// Gives what waits for one tag to another, and says which messages. None of it has an envelope.
    pub(super) fn readdress(&self, from: AccountTag, to: AccountTag) -> Result<Vec<MessageId>, DatabaseError> {
        let mut query = self.connection.prepare(
            "SELECT seq, message_id, content FROM outbox WHERE recipient = ? AND content IS NOT NULL ORDER BY seq",
        )?;
        let rows: Vec<(i64, Vec<u8>, Vec<u8>)> = query
            .query_map([from.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
            .collect::<Result<_, _>>()?;
        let mut messages = Vec::new();
        for (seq, message, sealed) in rows {
            let message = message_id(&message)?;
            let content = self.sealer.open(KIND, &place(message, from), &sealed)?;
            let sealed = self.sealer.seal(KIND, &place(message, to), &content);
            self.connection.execute(
                "UPDATE outbox SET recipient = ?, content = ? WHERE seq = ?",
                params![to.as_bytes(), sealed, seq],
            )?;
            messages.push(message);
        }
        Ok(messages)
    }

    /// Queues content for an account; says its place in the order.
    ///
    /// # Errors
    /// `Limit` at [`OUTBOX_MAX`].
    pub fn enqueue(&self, message: MessageId, recipient: AccountTag, content: &[u8]) -> Result<i64, DatabaseError> {
        let waiting: i64 = self.connection.query_row("SELECT count(*) FROM outbox", [], |row| row.get(0))?;
        if unsigned(waiting, "outbox")? >= OUTBOX_MAX as u64 {
            return Err(DatabaseError::Limit { table: "the outbox", max: OUTBOX_MAX });
        }
        self.enqueue_anyway(message, recipient, content)
    }

    /// The same beyond [`OUTBOX_MAX`], for what has a bound of its own and would be lost otherwise.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn enqueue_anyway(
        &self,
        message: MessageId,
        recipient: AccountTag,
        content: &[u8],
    ) -> Result<i64, DatabaseError> {
        let sealed = self.sealer.seal(KIND, &place(message, recipient), content);
        self.connection
            .prepare_cached("INSERT INTO outbox (message_id, recipient, content) VALUES (?, ?, ?)")?
            .execute(params![message.as_bytes(), recipient.as_bytes(), sealed])?;
        Ok(self.connection.last_insert_rowid())
    }

    /// One row; `None` once it is settled.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn outbox_item(&self, seq: i64) -> Result<Option<SealedItem>, DatabaseError> {
        type Row = (Vec<u8>, Vec<u8>, Option<Vec<u8>>, Option<u32>, Option<Vec<u8>>, Option<Vec<u8>>);
        let row: Option<Row> = self
            .connection
            .prepare_cached(
                "SELECT message_id, recipient, content, device, envelope_id, envelope FROM outbox WHERE seq = ?",
            )?
            .query_row([seq], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?)))
            .optional()?;
        let Some((message, recipient, content, device, id, body)) = row else { return Ok(None) };
        let message = message_id(&message)?;
        let recipient = AccountTag::new(array(&recipient, "outbox.recipient")?);
        match (content, device, id, body) {
            (Some(content), None, None, None) => {
                let content = self.sealer.open(KIND, &place(message, recipient), &content)?;
                Ok(Some(SealedItem::Open { message, content }))
            }
            (None, Some(device), Some(id), Some(body)) => {
                let device = DeviceId::new(device).map_err(|_| DatabaseError::Invalid("outbox.device"))?;
                let to = Address { account: recipient, device };
                // The version of the list of devices is that of the moment at which it is sent.
                let envelope = Envelope { id: envelope_id(&id)?, to, body: Bytes::from(body), devices_version: 0 };
                Ok(Some(SealedItem::Sealed { message, envelope }))
            }
            _ => Err(DatabaseError::Invalid("outbox")),
        }
    }

    /// Turns the row `seq` from content into its envelopes, one per device. Says the new rows beside `seq` itself.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn put_envelopes(&self, seq: i64, envelopes: &[Envelope]) -> Result<Vec<i64>, DatabaseError> {
        let Some((first, others)) = envelopes.split_first() else { return Err(DatabaseError::Invalid("outbox")) };
        self.connection
            .prepare_cached(
                "UPDATE outbox SET content = NULL, device = ?, envelope_id = ?, envelope = ?
                 WHERE seq = ? AND envelope IS NULL",
            )?
            .execute(params![first.to.device.get(), first.id.as_bytes(), &*first.body, seq])?;
        let mut insert = self.connection.prepare_cached(
            "INSERT INTO outbox (message_id, recipient, device, envelope_id, envelope)
             SELECT message_id, recipient, ?, ?, ? FROM outbox WHERE seq = ?",
        )?;
        others
            .iter()
            .map(|other| {
                insert.execute(params![other.to.device.get(), other.id.as_bytes(), &*other.body, seq])?;
                Ok(self.connection.last_insert_rowid())
            })
            .collect()
    }

    /// Turns the row `seq` from an envelope into content again, to be sealed anew for every device of the recipient: its other
    /// envelopes go.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn reopen(
        &self,
        seq: i64,
        message: MessageId,
        recipient: AccountTag,
        content: &[u8],
    ) -> Result<(), DatabaseError> {
        let sealed = self.sealer.seal(KIND, &place(message, recipient), content);
        self.connection.execute(
            "UPDATE outbox SET content = ?, device = NULL, envelope_id = NULL, envelope = NULL WHERE seq = ?",
            params![sealed, seq],
        )?;
        self.connection.execute(
            "DELETE FROM outbox WHERE message_id = ? AND recipient = ? AND seq <> ? AND envelope IS NOT NULL",
            params![message.as_bytes(), recipient.as_bytes(), seq],
        )?;
        Ok(())
    }

    /// The server has accepted a row's envelope: the row goes. Says the message if no other device's row waits for it.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn accepted(
        &self,
        seq: i64,
        at: UnixMillis,
        wire_bytes: Option<u64>,
    ) -> Result<Option<MessageId>, DatabaseError> {
        let Some((message, recipient, left)) = self.remove_outbox_item(seq)? else { return Ok(None) };
        self.connection
            .prepare_cached(
                "UPDATE messages SET accepted_at = ?, wire_bytes = coalesce(?, wire_bytes)
                 WHERE message_id = ? AND peer = ? AND direction = 'out'",
            )?
            .execute(params![integer(at.get()), wire_bytes.map(integer), message.as_bytes(), recipient.as_bytes()])?;
        if left > 0 || !self.set_message_state(message, recipient, MessageState::Accepted)? {
            return Ok(None);
        }
        self.begin_own_life(recipient, message)?;
        Ok(Some(message))
    }

    /// The server will never accept a row: it goes. Says the message if no other device's row waits for it and none
    /// was accepted.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn rejected(&self, seq: i64, reason: RejectReason) -> Result<Option<MessageId>, DatabaseError> {
        let Some((message, recipient, left)) = self.remove_outbox_item(seq)? else { return Ok(None) };
        if left > 0 {
            return Ok(None);
        }
        // A note to oneself that no other device can have is as safe as it will be.
        let note = self.account()?.is_some_and(|account| account.tag == Some(recipient));
        let elsewhere = note || self.sent_message(message)?.is_some_and(|message| message.accepted_at.is_some());
        let state = if elsewhere { MessageState::Accepted } else { MessageState::Rejected(reason) };
        let known = self.set_message_state(message, recipient, state)?;
        if note && known {
            self.begin_own_life(recipient, message)?;
        }
        Ok((known && !elsewhere).then_some(message))
    }

    /// A note to oneself is as safe as it will be: no other device can have it.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn note_is_safe(&self, own: AccountTag, id: MessageId) -> Result<(), DatabaseError> {
        self.set_message_state(id, own, MessageState::Accepted)?;
        self.begin_own_life(own, id)
    }

    /// Removes a row. Says its message, for whom it was, and how many rows of that message still wait for the same.
    fn remove_outbox_item(&self, seq: i64) -> Result<Option<(MessageId, AccountTag, u64)>, DatabaseError> {
        let removed: Option<(Vec<u8>, Vec<u8>)> = self
            .connection
            .prepare_cached("DELETE FROM outbox WHERE seq = ? RETURNING message_id, recipient")?
            .query_row([seq], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let Some((message, recipient)) = removed else { return Ok(None) };
        let left = self
            .connection
            .prepare_cached("SELECT count(*) FROM outbox WHERE message_id = ? AND recipient = ?")?
            .query_row([&message, &recipient], |row| row.get(0))?;
        let recipient = AccountTag::new(array(&recipient, "outbox.recipient")?);
        Ok(Some((message_id(&message)?, recipient, unsigned(left, "outbox")?)))
    }
}
