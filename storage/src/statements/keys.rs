//! Published keys.

use async_trait::async_trait;
use endtoend_protocol::{
    AccountTag, Address, Bundle, Bundles, DeviceId, DeviceKeys, EnvelopeKey, Identity, KemPreKey, KeyCounts,
    OneTimePreKey, SignedPreKey, limits,
};
use sqlx::Row as _;

use super::{Connection, Database, Row, device_row, lock_account};
use crate::columns::{array, bytes_of, number};
use crate::{KeyStore, PublishKeysError, StoreError};

/// Column `one_time_pre_keys.kind`.
#[derive(Clone, Copy)]
enum Kind {
    Curve,
    MlKem,
}

impl Kind {
    const fn column(self) -> i64 {
        match self {
            Self::Curve => 1,
            Self::MlKem => 2,
        }
    }
}

#[async_trait]
impl KeyStore for Database {
    async fn identity(&self, tag: AccountTag) -> Result<Option<Identity>, StoreError> {
        let rows = sqlx::query(
            "SELECT a.identity_key, a.devices_version, d.device, d.envelope_key_id, d.envelope_key_x25519, d.envelope_key_ml_kem,
                 d.envelope_key_signature
             FROM accounts a JOIN devices d ON d.tag = a.tag
             WHERE a.tag = $1 AND d.active_at <= d.added_at ORDER BY d.device",
        )
        .bind(tag.as_bytes().to_vec())
        .fetch_all(&self.readers)
        .await?;
        let Some(first) = rows.first() else { return Ok(None) };
        let identity_key = array(&first.try_get::<Vec<u8>, _>("identity_key")?, "identity key")?;
        let entry = |row: &Row| Ok((device_id(row)?, envelope_key(row)?));
        let envelope_keys = rows.iter().map(entry).collect::<Result<_, StoreError>>()?;
        let devices_version = number(first.try_get("devices_version")?, "version of the devices")?;
        Ok(Some(Identity { devices_version, identity_key, envelope_keys }))
    }

    async fn publish_keys(&self, device: Address, keys: DeviceKeys) -> Result<KeyCounts, PublishKeysError> {
        let mut transaction = self.begin().await?;
        lock_account(transaction.connection(), device.account).await?;
        let Some(row) = device_row(transaction.connection(), device).await? else {
            transaction.roll_back().await?;
            return Err(PublishKeysError::UnknownDevice);
        };
        let counts = publish(transaction.connection(), row, keys).await?;
        if counts.one_time.max(counts.one_time_kem) > self.limits.one_time_keys_max {
            transaction.roll_back().await?;
            return Err(PublishKeysError::TooMany);
        }
        transaction.commit().await?;
        Ok(counts)
    }

    async fn key_counts(&self, device: Address) -> Result<KeyCounts, StoreError> {
        let mut connection = self.readers.acquire().await?;
        match device_row(&mut connection, device).await? {
            Some(row) => count(&mut connection, row).await,
            None => Ok(KeyCounts::default()),
        }
    }

    async fn take_bundles(&self, tag: AccountTag) -> Result<Option<Bundles>, StoreError> {
        let mut transaction = self.begin().await?;
        lock_account(transaction.connection(), tag).await?;
        let bundles = take(transaction.connection(), tag).await?;
        match &bundles {
            Some(_) => transaction.commit().await?,
            None => transaction.roll_back().await?,
        }
        Ok(bundles)
    }
}

/// The counts afterwards; the caller decides whether they may stay.
async fn publish(connection: &mut Connection, row: i64, keys: DeviceKeys) -> Result<KeyCounts, StoreError> {
    if let Some(key) = keys.signed_pre_key {
        sqlx::query(
            "UPDATE devices SET signed_pre_key_id = $2, signed_pre_key_public = $3, signed_pre_key_signature = $4
             WHERE id = $1",
        )
        .bind(row)
        .bind(i64::from(key.id))
        .bind(key.public.to_vec())
        .bind(key.signature.to_vec())
        .execute(&mut *connection)
        .await?;
    }
    if let Some(key) = keys.last_resort_kem_pre_key {
        sqlx::query(
            "UPDATE devices SET last_resort_id = $2, last_resort_public = $3, last_resort_signature = $4
             WHERE id = $1",
        )
        .bind(row)
        .bind(i64::from(key.id))
        .bind(Vec::from(key.public))
        .bind(key.signature.to_vec())
        .execute(&mut *connection)
        .await?;
    }
    if let Some(key) = keys.envelope_key {
        sqlx::query(
            "UPDATE devices SET envelope_key_id = $2, envelope_key_x25519 = $3, envelope_key_ml_kem = $4,
                 envelope_key_signature = $5
             WHERE id = $1",
        )
        .bind(row)
        .bind(i64::from(key.id))
        .bind(key.x25519.to_vec())
        .bind(Vec::from(key.ml_kem))
        .bind(key.signature.to_vec())
        .execute(&mut *connection)
        .await?;
    }
    add_one_time(connection, row, keys.one_time_pre_keys, keys.one_time_kem_pre_keys).await?;
    count(connection, row).await
}

/// A key whose id is there is the same key published again: the old row stays, with its place.
pub(super) async fn add_one_time(
    connection: &mut Connection,
    row: i64,
    curve: Vec<OneTimePreKey>,
    ml_kem: Vec<KemPreKey>,
) -> Result<(), StoreError> {
    let curve = curve.into_iter().map(|key| (Kind::Curve, key.id, key.public.to_vec(), None));
    let ml_kem =
        ml_kem.into_iter().map(|key| (Kind::MlKem, key.id, Vec::from(key.public), Some(key.signature.to_vec())));
    for (kind, id, public, signature) in curve.chain(ml_kem) {
        sqlx::query(
            "INSERT INTO one_time_pre_keys (device_row, kind, key_id, public, signature) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (device_row, kind, key_id) DO NOTHING",
        )
        .bind(row)
        .bind(kind.column())
        .bind(i64::from(id))
        .bind(public)
        .bind(signature)
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

async fn count(connection: &mut Connection, row: i64) -> Result<KeyCounts, StoreError> {
    let (one_time, one_time_kem): (i64, i64) = sqlx::query_as(
        "SELECT (SELECT count(*) FROM one_time_pre_keys WHERE device_row = $1 AND kind = $2),
                (SELECT count(*) FROM one_time_pre_keys WHERE device_row = $1 AND kind = $3)",
    )
    .bind(row)
    .bind(Kind::Curve.column())
    .bind(Kind::MlKem.column())
    .fetch_one(connection)
    .await?;
    let count = |column| number(column, "count of keys");
    Ok(KeyCounts { one_time: count(one_time)?, one_time_kem: count(one_time_kem)? })
}

async fn take(connection: &mut Connection, tag: AccountTag) -> Result<Option<Bundles>, StoreError> {
    let account: Option<(Vec<u8>, i64)> =
        sqlx::query_as("SELECT identity_key, devices_version FROM accounts WHERE tag = $1")
            .bind(tag.as_bytes().to_vec())
            .fetch_optional(&mut *connection)
            .await?;
    let Some((identity, version)) = account else { return Ok(None) };
    let rows = sqlx::query("SELECT * FROM devices WHERE tag = $1 AND active_at <= added_at ORDER BY device")
        .bind(tag.as_bytes().to_vec())
        .fetch_all(&mut *connection)
        .await?;
    let mut devices = Vec::with_capacity(rows.len());
    for row in &rows {
        let id = row.try_get("id")?;
        let one_time_pre_key = take_curve(connection, id).await?;
        let one_time_kem = take_ml_kem(connection, id).await?;
        devices.push(bundle(row, one_time_pre_key, one_time_kem)?);
    }
    Ok(Some(Bundles {
        devices_version: number(version, "version of the devices")?,
        identity_key: array(&identity, "identity key")?,
        devices,
    }))
}

async fn take_curve(connection: &mut Connection, device: i64) -> Result<Option<OneTimePreKey>, StoreError> {
    let Some((id, public, _)) = take_oldest(connection, device, Kind::Curve).await? else { return Ok(None) };
    Ok(Some(OneTimePreKey { id: number(id, "key id")?, public: array(&public, "one-time pre-key")? }))
}

async fn take_ml_kem(connection: &mut Connection, device: i64) -> Result<Option<KemPreKey>, StoreError> {
    let Some((id, public, signature)) = take_oldest(connection, device, Kind::MlKem).await? else { return Ok(None) };
    Ok(Some(kem_pre_key(id, public, &signature.unwrap_or_default())?))
}

async fn take_oldest(
    connection: &mut Connection,
    device: i64,
    kind: Kind,
) -> Result<Option<(i64, Vec<u8>, Option<Vec<u8>>)>, StoreError> {
    let key = sqlx::query_as(
        "DELETE FROM one_time_pre_keys WHERE position =
             (SELECT min(position) FROM one_time_pre_keys WHERE device_row = $1 AND kind = $2)
         RETURNING key_id, public, signature",
    )
    .bind(device)
    .bind(kind.column())
    .fetch_optional(connection)
    .await?;
    Ok(key)
}

fn bundle(
    row: &Row,
    one_time_pre_key: Option<OneTimePreKey>,
    one_time_kem: Option<KemPreKey>,
) -> Result<Bundle, StoreError> {
    let blob = |column: &str| row.try_get::<Vec<u8>, _>(column);
    let kem_pre_key = match one_time_kem {
        Some(key) => key,
        None => {
            kem_pre_key(row.try_get("last_resort_id")?, blob("last_resort_public")?, &blob("last_resort_signature")?)?
        }
    };
    Ok(Bundle {
        device: device_id(row)?,
        registration_id: number(row.try_get("registration_id")?, "registration id")?,
        signed_pre_key: SignedPreKey {
            id: number(row.try_get("signed_pre_key_id")?, "key id")?,
            public: array(&blob("signed_pre_key_public")?, "signed pre-key")?,
            signature: array(&blob("signed_pre_key_signature")?, "signed pre-key")?,
        },
        one_time_pre_key,
        kem_pre_key,
        envelope_key: envelope_key(row)?,
    })
}

fn device_id(row: &Row) -> Result<DeviceId, StoreError> {
    number(row.try_get("device")?, "device number")
        .and_then(|number| DeviceId::new(number).map_err(|_| StoreError::Damaged { what: "device number" }))
}

fn envelope_key(row: &Row) -> Result<EnvelopeKey, StoreError> {
    let blob = |column: &str| row.try_get::<Vec<u8>, _>(column);
    Ok(EnvelopeKey {
        id: number(row.try_get("envelope_key_id")?, "key id")?,
        x25519: array(&blob("envelope_key_x25519")?, "envelope key")?,
        ml_kem: bytes_of::<{ limits::ML_KEM_KEY_BYTES }>(blob("envelope_key_ml_kem")?, "envelope key")?,
        signature: array(&blob("envelope_key_signature")?, "envelope key")?,
    })
}

fn kem_pre_key(id: i64, public: Vec<u8>, signature: &[u8]) -> Result<KemPreKey, StoreError> {
    const WHAT: &str = "ML-KEM pre-key";
    Ok(KemPreKey {
        id: number(id, "key id")?,
        public: bytes_of::<{ limits::SIGNAL_KEM_KEY_BYTES }>(public, WHAT)?,
        signature: array(signature, WHAT)?,
    })
}
