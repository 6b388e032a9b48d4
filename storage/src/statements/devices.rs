//! Devices.

use async_trait::async_trait;
use bytes::Bytes;
use endtoend_protocol::{AccountTag, Address, DeviceId, NewDevice, UnixMillis, limits};

use super::keys::add_one_time;
use super::{Connection, Database, lock_account, lock_devices};
use crate::columns::{bytes_of, number, time, to_column};
use crate::{AddDevice, AddDeviceError, DeviceRecord, DeviceStore, LinkId, ListedDevice, StoreError};

#[async_trait]
impl DeviceStore for Database {
    async fn add_device(&self, device: AddDevice) -> Result<DeviceId, AddDeviceError> {
        let mut transaction = self.begin().await?;
        let added = add(transaction.connection(), device, self.limits.devices_max).await;
        match added {
            Ok(_) => transaction.commit().await?,
            Err(AddDeviceError::Store(_)) => {}
            Err(_) => transaction.roll_back().await?,
        }
        added
    }

    async fn activate_device(&self, device: Address) -> Result<bool, StoreError> {
        let mut transaction = self.begin().await?;
        let connection = transaction.connection();
        lock_account(connection, device.account).await?;
        let activated = sqlx::query(
            "UPDATE devices SET active_at = added_at WHERE tag = $1 AND device = $2 AND active_at > added_at",
        )
        .bind(device.account.as_bytes().to_vec())
        .bind(i64::from(device.device.get()))
        .execute(&mut *connection)
        .await?;
        let activated = activated.rows_affected() > 0;
        if activated {
            list_changed(connection, device.account).await?;
        }
        transaction.commit().await?;
        Ok(activated)
    }

    async fn device(&self, device: Address) -> Result<Option<DeviceRecord>, StoreError> {
        let row: Option<(Vec<u8>, i64, i64, Option<i64>)> = sqlx::query_as(
            "SELECT d.device_key, d.added_at, d.active_at, a.disabled_at FROM devices d JOIN accounts a ON a.tag = d.tag
             WHERE d.tag = $1 AND d.device = $2",
        )
        .bind(device.account.as_bytes().to_vec())
        .bind(i64::from(device.device.get()))
        .fetch_optional(&self.readers)
        .await?;
        let Some((key, added_at, active_at, disabled_at)) = row else { return Ok(None) };
        Ok(Some(DeviceRecord {
            device_key: bytes_of::<{ limits::DEVICE_KEY_BYTES }>(key, "device key")?,
            waits_until: if active_at > added_at { Some(time(active_at)?) } else { None },
            disabled: disabled_at.is_some(),
        }))
    }

    async fn devices(&self, tag: AccountTag) -> Result<(Vec<ListedDevice>, u32), StoreError> {
        let rows: Vec<(i64, i64, Option<Vec<u8>>, i64, i64)> = sqlx::query_as(
            "SELECT a.devices_version, d.device, d.name, d.added_at, d.active_at
             FROM accounts a JOIN devices d ON d.tag = a.tag WHERE a.tag = $1 ORDER BY d.device",
        )
        .bind(tag.as_bytes().to_vec())
        .fetch_all(&self.readers)
        .await?;
        let mut version = 0;
        let mut devices = Vec::with_capacity(rows.len());
        for (of_account, device, name, added_at, active_at) in rows {
            version = number(of_account, "version of the devices")?;
            devices.push(ListedDevice {
                device: id(device)?,
                name: name.map(Bytes::from),
                added_at: time(added_at)?,
                active_at: time(active_at)?,
            });
        }
        Ok((devices, version))
    }

    async fn rename_device(&self, device: Address, name: Bytes) -> Result<bool, StoreError> {
        let mut transaction = self.begin().await?;
        let renamed = sqlx::query("UPDATE devices SET name = $3 WHERE tag = $1 AND device = $2")
            .bind(device.account.as_bytes().to_vec())
            .bind(i64::from(device.device.get()))
            .bind(Vec::from(name))
            .execute(transaction.connection())
            .await?;
        transaction.commit().await?;
        Ok(renamed.rows_affected() > 0)
    }

    async fn remove_device(&self, device: Address) -> Result<bool, StoreError> {
        let mut transaction = self.begin().await?;
        let connection = transaction.connection();
        lock_account(connection, device.account).await?;
        let Some(row) = device_row(connection, device).await? else {
            transaction.roll_back().await?;
            return Ok(false);
        };
        remove_device_row(connection, row).await?;
        list_changed(connection, device.account).await?;
        transaction.commit().await?;
        Ok(true)
    }
}

fn id(column: i64) -> Result<DeviceId, StoreError> {
    let number = number(column, "device number")?;
    DeviceId::new(number).map_err(|_| StoreError::Damaged { what: "device number" })
}

/// A device's row number.
pub(super) async fn device_row(connection: &mut Connection, device: Address) -> Result<Option<i64>, StoreError> {
    let row = sqlx::query_scalar("SELECT id FROM devices WHERE tag = $1 AND device = $2")
        .bind(device.account.as_bytes().to_vec())
        .bind(i64::from(device.device.get()))
        .fetch_optional(connection)
        .await?;
    Ok(row)
}

async fn list_changed(connection: &mut Connection, tag: AccountTag) -> Result<(), StoreError> {
    sqlx::query("UPDATE accounts SET devices_version = devices_version + 1 WHERE tag = $1")
        .bind(tag.as_bytes().to_vec())
        .execute(connection)
        .await?;
    Ok(())
}

async fn add(connection: &mut Connection, new: AddDevice, devices_max: u32) -> Result<DeviceId, AddDeviceError> {
    let AddDevice { account, device, added_at, active_at, link } = new;
    lock_account(connection, account).await?;
    let found: Option<(Vec<u8>, i64)> = sqlx::query_as("SELECT identity_key, last_device FROM accounts WHERE tag = $1")
        .bind(account.as_bytes().to_vec())
        .fetch_optional(&mut *connection)
        .await
        .map_err(StoreError::from)?;
    let (identity, last) = found.ok_or(AddDeviceError::UnknownAccount)?;
    if identity != device.identity_key {
        return Err(AddDeviceError::UnknownAccount);
    }
    if let Some((link, secret_hash)) = link {
        use_link(connection, account, link, secret_hash, added_at).await?;
    }
    let taken: Vec<i64> = sqlx::query_scalar("SELECT device FROM devices WHERE tag = $1")
        .bind(account.as_bytes().to_vec())
        .fetch_all(&mut *connection)
        .await
        .map_err(StoreError::from)?;
    if taken.len() >= devices_max as usize {
        return Err(AddDeviceError::TooMany);
    }
    // The number after the one that was given last, so that none comes back soon: peers know old ones.
    let max = i64::from(limits::DEVICE_ID_MAX);
    let after_last = (0..max).map(|step| (last + step).rem_euclid(max) + 1);
    let number = after_last.into_iter().find(|number| !taken.contains(number)).ok_or(AddDeviceError::TooMany)?;
    let device_id = id(number)?;
    insert_device(connection, account, number, device, added_at, active_at).await?;
    sqlx::query("UPDATE accounts SET last_device = $2 WHERE tag = $1")
        .bind(account.as_bytes().to_vec())
        .bind(number)
        .execute(&mut *connection)
        .await
        .map_err(StoreError::from)?;
    list_changed(connection, account).await?;
    Ok(device_id)
}

async fn use_link(
    connection: &mut Connection,
    account: AccountTag,
    link: LinkId,
    secret_hash: [u8; 32],
    now: UnixMillis,
) -> Result<(), AddDeviceError> {
    let used = sqlx::query("DELETE FROM links WHERE id = $1 AND account = $2 AND secret_hash = $3 AND expires_at > $4")
        .bind(link.0.to_vec())
        .bind(account.as_bytes().to_vec())
        .bind(secret_hash.to_vec())
        .bind(to_column(now))
        .execute(connection)
        .await
        .map_err(StoreError::from)?;
    if used.rows_affected() == 0 { Err(AddDeviceError::Link) } else { Ok(()) }
}

pub(super) async fn insert_device(
    connection: &mut Connection,
    tag: AccountTag,
    number: i64,
    device: NewDevice,
    added_at: UnixMillis,
    active_at: UnixMillis,
) -> Result<(), StoreError> {
    let (signed, last_resort, envelope) = (device.signed_pre_key, device.last_resort_kem_pre_key, device.envelope_key);
    let row: i64 = sqlx::query_scalar(
        "INSERT INTO devices (tag, device, device_key, registration_id,
             signed_pre_key_id, signed_pre_key_public, signed_pre_key_signature,
             last_resort_id, last_resort_public, last_resort_signature,
             envelope_key_id, envelope_key_x25519, envelope_key_ml_kem, envelope_key_signature, added_at, active_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16) RETURNING id",
    )
    .bind(tag.as_bytes().to_vec())
    .bind(number)
    .bind(Vec::from(device.device_key))
    .bind(i64::from(device.registration_id))
    .bind(i64::from(signed.id))
    .bind(signed.public.to_vec())
    .bind(signed.signature.to_vec())
    .bind(i64::from(last_resort.id))
    .bind(Vec::from(last_resort.public))
    .bind(last_resort.signature.to_vec())
    .bind(i64::from(envelope.id))
    .bind(envelope.x25519.to_vec())
    .bind(Vec::from(envelope.ml_kem))
    .bind(envelope.signature.to_vec())
    .bind(to_column(added_at))
    .bind(to_column(active_at))
    .fetch_one(&mut *connection)
    .await?;
    add_one_time(connection, row, device.one_time_pre_keys, device.one_time_kem_pre_keys).await
}

/// Everything that hangs on the row, then the row. Locked first, so that nothing is queued for it meanwhile.
pub(super) async fn remove_device_row(connection: &mut Connection, row: i64) -> Result<(), StoreError> {
    lock_devices(connection, &[row]).await?;
    for statement in [
        "DELETE FROM queue WHERE device_row = $1",
        "DELETE FROM queue_depths WHERE device_row = $1",
        "DELETE FROM one_time_pre_keys WHERE device_row = $1",
        "DELETE FROM families WHERE device_row = $1",
        "DELETE FROM devices WHERE id = $1",
    ] {
        sqlx::query(statement).bind(row).execute(&mut *connection).await?;
    }
    Ok(())
}
