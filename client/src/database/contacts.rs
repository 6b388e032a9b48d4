//! The people on the other side.

use endtoend_protocol::{AccountTag, DeviceId, UnixMillis};
use rusqlite::{OptionalExtension as _, params};

use super::{DatabaseError, Store, array, integer, unsigned};
use crate::handle::Handle;

/// Somebody who wrote to us or whom we wrote to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contact {
    /// What the server knows the account by.
    pub tag: AccountTag,
    /// `None` for somebody who wrote without naming himself.
    pub handle: Option<Handle>,
    /// An identity key other than the trusted one: nothing is sent until a person accepts it.
    pub changed_identity: Option<[u8; 33]>,
}

impl Store<'_> {
    /// Adds somebody, or gives somebody known a name. A name once known stays.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn put_contact(&self, tag: AccountTag, handle: Option<&Handle>) -> Result<(), DatabaseError> {
        self.connection
            .prepare_cached(
                "INSERT INTO contacts (tag, handle) VALUES (?, ?)
                 ON CONFLICT (tag) DO UPDATE SET handle = coalesce(handle, excluded.handle)",
            )?
            .execute(params![tag.as_bytes(), handle.map(Handle::as_str)])?;
        Ok(())
    }

    /// # Errors
    /// See [`DatabaseError`].
    pub fn contact(&self, tag: AccountTag) -> Result<Option<Contact>, DatabaseError> {
        type Row = (Option<String>, Option<Vec<u8>>);
        let row: Option<Row> = self
            .connection
            .prepare_cached("SELECT handle, changed_identity FROM contacts WHERE tag = ?")?
            .query_row([tag.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let Some((handle, identity)) = row else { return Ok(None) };
        Ok(Some(Contact {
            tag,
            handle: parse_handle(handle)?,
            changed_identity: identity.map(|key| array(&key, "contacts.changed_identity")).transpose()?,
        }))
    }

    /// Contacts whose changed identity waits to be accepted.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn blocked_contacts(&self) -> Result<Vec<AccountTag>, DatabaseError> {
        let mut query = self.connection.prepare("SELECT tag FROM contacts WHERE changed_identity IS NOT NULL")?;
        let rows = query.query_map([], |row| row.get::<_, Vec<u8>>(0))?;
        rows.map(|tag| Ok(AccountTag::new(array(&tag?, "contacts.tag")?))).collect()
    }

    /// Notes a changed identity, or with `None` that it was accepted.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn set_changed_identity(&self, tag: AccountTag, key: Option<&[u8; 33]>) -> Result<(), DatabaseError> {
        self.put_contact(tag, None)?;
        self.connection
            .execute("UPDATE contacts SET changed_identity = ? WHERE tag = ?", params![key, tag.as_bytes()])?;
        Ok(())
    }

    /// When the server last said which keys an account has.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn keys_at(&self, tag: AccountTag) -> Result<Option<UnixMillis>, DatabaseError> {
        let at: Option<Option<i64>> = self
            .connection
            .prepare_cached("SELECT keys_at FROM contacts WHERE tag = ?")?
            .query_row([tag.as_bytes()], |row| row.get(0))
            .optional()?;
        at.flatten().map(|at| unsigned(at, "contacts.keys_at").map(UnixMillis::new)).transpose()
    }

    /// Notes that the server has just said which keys an account has.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn set_keys_at(&self, tag: AccountTag, now: UnixMillis) -> Result<(), DatabaseError> {
        self.put_contact(tag, None)?;
        self.connection
            .execute("UPDATE contacts SET keys_at = ? WHERE tag = ?", params![integer(now.get()), tag.as_bytes()])?;
        Ok(())
    }

    /// Devices that we have a session with.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn devices(&self, tag: AccountTag) -> Result<Vec<DeviceId>, DatabaseError> {
        let mut query = self.connection.prepare_cached("SELECT device FROM devices WHERE tag = ? ORDER BY device")?;
        let rows = query.query_map([tag.as_bytes()], |row| row.get::<_, u32>(0))?;
        rows.map(|device| DeviceId::new(device?).map_err(|_| DatabaseError::Invalid("devices.device"))).collect()
    }

    /// # Errors
    /// See [`DatabaseError`].
    pub fn put_device(&self, tag: AccountTag, device: DeviceId) -> Result<(), DatabaseError> {
        self.connection
            .prepare_cached("INSERT OR IGNORE INTO devices (tag, device) VALUES (?, ?)")?
            .execute(params![tag.as_bytes(), device.get()])?;
        Ok(())
    }

    /// Forgets the devices of an account, so that its bundles are fetched anew.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn forget_devices(&self, tag: AccountTag) -> Result<(), DatabaseError> {
        self.connection.execute("DELETE FROM devices WHERE tag = ?", [tag.as_bytes()])?;
        Ok(())
    }
}

pub(super) fn parse_handle(handle: Option<String>) -> Result<Option<Handle>, DatabaseError> {
    handle.map(|handle| handle.parse().map_err(|_| DatabaseError::Invalid("contacts.handle"))).transpose()
}
