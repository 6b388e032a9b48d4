//! Which devices somebody has, since when that is known here, and which of them there were when his identity was compared.
//!
//! All devices of an account have one identity, and one comparison is for all of them. What is kept beside it says which came later: whoever
//! adds a device to somebody's account can read and write as he from then on.

use endtoend_protocol::{AccountTag, DeviceId, UnixMillis};
use rusqlite::{OptionalExtension as _, params};

use super::{DatabaseError, Store, integer, unsigned};

/// A device of somebody's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerDevice {
    /// Its number. What its owner calls it only his own devices can read.
    pub device: DeviceId,
    /// Since when it is known here, by this device's clock; `None` when that was not kept.
    pub seen_at: Option<UnixMillis>,
    /// Whether his identity is verified and this device was in his account when it was compared.
    pub compared: bool,
}

fn device(number: u32) -> Result<DeviceId, DatabaseError> {
    DeviceId::new(number).map_err(|_| DatabaseError::Invalid("devices_seen.device"))
}

impl Store<'_> {
    /// The devices of an account, as the server has last listed them or as they have written since.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn peer_devices(&self, tag: AccountTag) -> Result<Vec<PeerDevice>, DatabaseError> {
        let verified = self.contact(tag)?.is_some_and(|contact| contact.verified);
        let compared = self.compared_devices(tag)?;
        let mut query =
            self.connection.prepare_cached("SELECT device, at FROM devices_seen WHERE tag = ? ORDER BY device")?;
        let rows =
            query.query_map([tag.as_bytes()], |row| Ok((row.get::<_, u32>(0)?, row.get::<_, Option<i64>>(1)?)))?;
        rows.map(|row| {
            let (number, at) = row?;
            let device = device(number)?;
            Ok(PeerDevice {
                device,
                seen_at: at.map(|at| unsigned(at, "devices_seen.at").map(UnixMillis::new)).transpose()?,
                compared: verified && compared.as_ref().is_none_or(|compared| compared.contains(&device)),
            })
        })
        .collect()
    }

    /// The devices that there were when somebody's identity was compared; `None` when that is not known.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn compared_devices(&self, tag: AccountTag) -> Result<Option<Vec<DeviceId>>, DatabaseError> {
        let kept: Option<Option<Vec<u8>>> = self
            .connection
            .prepare_cached("SELECT compared_devices FROM contacts WHERE tag = ?")?
            .query_row([tag.as_bytes()], |row| row.get(0))
            .optional()?;
        kept.flatten().map(|numbers| numbers.into_iter().map(|number| device(number.into())).collect()).transpose()
    }

    /// With `None` the next list that the server gives is taken.
    pub(super) fn set_compared_devices(
        &self,
        tag: AccountTag,
        devices: Option<&[DeviceId]>,
    ) -> Result<(), DatabaseError> {
        let numbers: Option<Vec<u8>> = devices.map(|devices| devices.iter().map(|device| device.get()).collect());
        self.connection
            .prepare_cached("UPDATE contacts SET compared_devices = ? WHERE tag = ?")?
            .execute(params![numbers, tag.as_bytes()])?;
        Ok(())
    }

    /// The numbers of all that are known.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn seen_devices(&self, tag: AccountTag) -> Result<Vec<DeviceId>, DatabaseError> {
        let mut query =
            self.connection.prepare_cached("SELECT device FROM devices_seen WHERE tag = ? ORDER BY device")?;
        let rows = query.query_map([tag.as_bytes()], |row| row.get::<_, u32>(0))?;
        rows.map(|number| device(number?)).collect()
    }

    /// A device is known. One of this account's own that was not known before has to hear what was settled before it came.
    pub(super) fn see_device(&self, tag: AccountTag, device: DeviceId, now: UnixMillis) -> Result<(), DatabaseError> {
        let new = self
            .connection
            .prepare_cached("INSERT OR IGNORE INTO devices_seen (tag, device, at) VALUES (?, ?, ?)")?
            .execute(params![tag.as_bytes(), device.get(), integer(now.get())])?;
        if new > 0 && self.account()?.is_some_and(|account| account.tag == Some(tag)) {
            self.introduce_from(None)?;
        }
        Ok(())
    }

    /// The devices that stand in `devices` now are all that the account has. Of those that have gone nothing is known any more: a new one
    /// under the same number is a new one.
    pub(super) fn list_devices(&self, tag: AccountTag) -> Result<(), DatabaseError> {
        let listed = self.devices(tag)?;
        self.connection
            .prepare_cached(
                "DELETE FROM devices_seen WHERE tag = ?1 AND device NOT IN (SELECT device FROM devices WHERE tag = ?1)",
            )?
            .execute([tag.as_bytes()])?;
        let compared = match self.compared_devices(tag)? {
            Some(compared) => compared.into_iter().filter(|device| listed.contains(device)).collect(),
            None => listed,
        };
        self.set_compared_devices(tag, Some(&compared))
    }
}
