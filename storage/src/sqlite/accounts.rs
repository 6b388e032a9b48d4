//! Accounts, devices and published keys in SQLite.

use async_trait::async_trait;
use bytes::Bytes;
use endtoend_protocol::{
    AccountTag, Address, Bundle, Bundles, DeviceId, DeviceKeys, EnvelopeKey, Identity, KemPreKey, KeyCounts,
    OneTimePreKey, SignedPreKey, limits,
};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use super::{Sqlite, array, bytes_of, device_row, to_column};
use crate::{AccountStore, CreateAccountError, NewAccount, PublishKeysError, StoreError};

/// Column `one_time_pre_keys.kind`.
#[derive(Clone, Copy)]
enum Kind {
    Curve = 1,
    MlKem = 2,
}

#[async_trait]
impl AccountStore for Sqlite {
    async fn create_account(&self, account: NewAccount) -> Result<(), CreateAccountError> {
        let mut transaction = self.begin().await?;
        if insert_account(transaction.connection(), account).await? {
            transaction.commit().await?;
            Ok(())
        } else {
            transaction.roll_back().await?;
            Err(CreateAccountError::Exists)
        }
    }

    async fn opaque_record(&self, tag: AccountTag) -> Result<Option<Bytes>, StoreError> {
        let record: Option<Vec<u8>> = sqlx::query_scalar("SELECT opaque_record FROM accounts WHERE tag = ?1")
            .bind(tag.as_bytes().to_vec())
            .fetch_optional(&self.readers)
            .await?;
        Ok(record.map(Bytes::from))
    }

    async fn identity(&self, tag: AccountTag) -> Result<Option<Identity>, StoreError> {
        let rows = sqlx::query(
            "SELECT a.identity_key, d.device, d.envelope_key_id, d.envelope_key_x25519, d.envelope_key_ml_kem,
                 d.envelope_key_signature
             FROM accounts a JOIN devices d ON d.tag = a.tag WHERE a.tag = ?1 ORDER BY d.device",
        )
        .bind(tag.as_bytes().to_vec())
        .fetch_all(&self.readers)
        .await?;
        let Some(first) = rows.first() else { return Ok(None) };
        let identity_key = array(&first.try_get::<Vec<u8>, _>("identity_key")?, "identity key")?;
        let entry = |row: &SqliteRow| {
            let device = DeviceId::new(row.try_get("device")?).map_err(|_| StoreError::Damaged { what: "device" })?;
            Ok((device, envelope_key(row)?))
        };
        let envelope_keys = rows.iter().map(entry).collect::<Result<_, StoreError>>()?;
        Ok(Some(Identity { identity_key, envelope_keys }))
    }

    async fn device_key(&self, device: Address) -> Result<Option<Bytes>, StoreError> {
        let key: Option<Vec<u8>> = sqlx::query_scalar("SELECT device_key FROM devices WHERE tag = ?1 AND device = ?2")
            .bind(device.account.as_bytes().to_vec())
            .bind(device.device.get())
            .fetch_optional(&self.readers)
            .await?;
        key.map(|key| bytes_of::<{ limits::DEVICE_KEY_BYTES }>(key, "device key")).transpose()
    }

    async fn publish_keys(&self, device: Address, keys: DeviceKeys) -> Result<KeyCounts, PublishKeysError> {
        let mut transaction = self.begin().await?;
        let Some((row, _)) = device_row(transaction.connection(), device).await? else {
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
            Some((row, _)) => count(&mut connection, row).await,
            None => Ok(KeyCounts::default()),
        }
    }

    async fn take_bundles(&self, tag: AccountTag) -> Result<Option<Bundles>, StoreError> {
        let mut transaction = self.begin().await?;
        let bundles = take(transaction.connection(), tag).await?;
        match &bundles {
            Some(_) => transaction.commit().await?,
            None => transaction.roll_back().await?,
        }
        Ok(bundles)
    }
}

/// Whether the tag was free.
async fn insert_account(connection: &mut SqliteConnection, account: NewAccount) -> Result<bool, StoreError> {
    let NewAccount { tag, opaque_record, device_id, device, created_at } = account;
    let inserted = sqlx::query(
        "INSERT INTO accounts (tag, identity_key, opaque_record, created_at) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (tag) DO NOTHING",
    )
    .bind(tag.as_bytes().to_vec())
    .bind(device.identity_key.to_vec())
    .bind(Vec::from(opaque_record))
    .bind(to_column(created_at))
    .execute(&mut *connection)
    .await?;
    if inserted.rows_affected() == 0 {
        return Ok(false);
    }
    let (signed, last_resort, envelope) = (device.signed_pre_key, device.last_resort_kem_pre_key, device.envelope_key);
    let row: i64 = sqlx::query_scalar(
        "INSERT INTO devices (tag, device, device_key, registration_id,
             signed_pre_key_id, signed_pre_key_public, signed_pre_key_signature,
             last_resort_id, last_resort_public, last_resort_signature,
             envelope_key_id, envelope_key_x25519, envelope_key_ml_kem, envelope_key_signature)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14) RETURNING id",
    )
    .bind(tag.as_bytes().to_vec())
    .bind(device_id.get())
    .bind(Vec::from(device.device_key))
    .bind(device.registration_id)
    .bind(signed.id)
    .bind(signed.public.to_vec())
    .bind(signed.signature.to_vec())
    .bind(last_resort.id)
    .bind(Vec::from(last_resort.public))
    .bind(last_resort.signature.to_vec())
    .bind(envelope.id)
    .bind(envelope.x25519.to_vec())
    .bind(Vec::from(envelope.ml_kem))
    .bind(envelope.signature.to_vec())
    .fetch_one(&mut *connection)
    .await?;
    add_one_time(connection, row, device.one_time_pre_keys, device.one_time_kem_pre_keys).await?;
    Ok(true)
}

/// The counts afterwards; the caller decides whether they may stay.
async fn publish(connection: &mut SqliteConnection, row: i64, keys: DeviceKeys) -> Result<KeyCounts, StoreError> {
    if let Some(key) = keys.signed_pre_key {
        sqlx::query(
            "UPDATE devices SET signed_pre_key_id = ?2, signed_pre_key_public = ?3, signed_pre_key_signature = ?4
             WHERE id = ?1",
        )
        .bind(row)
        .bind(key.id)
        .bind(key.public.to_vec())
        .bind(key.signature.to_vec())
        .execute(&mut *connection)
        .await?;
    }
    if let Some(key) = keys.last_resort_kem_pre_key {
        sqlx::query(
            "UPDATE devices SET last_resort_id = ?2, last_resort_public = ?3, last_resort_signature = ?4
             WHERE id = ?1",
        )
        .bind(row)
        .bind(key.id)
        .bind(Vec::from(key.public))
        .bind(key.signature.to_vec())
        .execute(&mut *connection)
        .await?;
    }
    if let Some(key) = keys.envelope_key {
        sqlx::query(
            "UPDATE devices SET envelope_key_id = ?2, envelope_key_x25519 = ?3, envelope_key_ml_kem = ?4,
                 envelope_key_signature = ?5
             WHERE id = ?1",
        )
        .bind(row)
        .bind(key.id)
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
async fn add_one_time(
    connection: &mut SqliteConnection,
    row: i64,
    curve: Vec<OneTimePreKey>,
    ml_kem: Vec<KemPreKey>,
) -> Result<(), StoreError> {
    let curve = curve.into_iter().map(|key| (Kind::Curve, key.id, key.public.to_vec(), None));
    let ml_kem =
        ml_kem.into_iter().map(|key| (Kind::MlKem, key.id, Vec::from(key.public), Some(key.signature.to_vec())));
    for (kind, id, public, signature) in curve.chain(ml_kem) {
        sqlx::query(
            "INSERT INTO one_time_pre_keys (device_row, kind, key_id, public, signature) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (device_row, kind, key_id) DO NOTHING",
        )
        .bind(row)
        .bind(kind as i64)
        .bind(id)
        .bind(public)
        .bind(signature)
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

async fn count(connection: &mut SqliteConnection, row: i64) -> Result<KeyCounts, StoreError> {
    let (one_time, one_time_kem) = sqlx::query_as(
        "SELECT (SELECT count(*) FROM one_time_pre_keys WHERE device_row = ?1 AND kind = ?2),
                (SELECT count(*) FROM one_time_pre_keys WHERE device_row = ?1 AND kind = ?3)",
    )
    .bind(row)
    .bind(Kind::Curve as i64)
    .bind(Kind::MlKem as i64)
    .fetch_one(connection)
    .await?;
    Ok(KeyCounts { one_time, one_time_kem })
}

async fn take(connection: &mut SqliteConnection, tag: AccountTag) -> Result<Option<Bundles>, StoreError> {
    let identity: Option<Vec<u8>> = sqlx::query_scalar("SELECT identity_key FROM accounts WHERE tag = ?1")
        .bind(tag.as_bytes().to_vec())
        .fetch_optional(&mut *connection)
        .await?;
    let Some(identity) = identity else { return Ok(None) };
    let rows = sqlx::query("SELECT * FROM devices WHERE tag = ?1 ORDER BY device")
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
    Ok(Some(Bundles { identity_key: array(&identity, "identity key")?, devices }))
}

async fn take_curve(connection: &mut SqliteConnection, device: i64) -> Result<Option<OneTimePreKey>, StoreError> {
    let Some((id, public, _)) = take_oldest(connection, device, Kind::Curve).await? else { return Ok(None) };
    Ok(Some(OneTimePreKey { id, public: array(&public, "one-time pre-key")? }))
}

async fn take_ml_kem(connection: &mut SqliteConnection, device: i64) -> Result<Option<KemPreKey>, StoreError> {
    let Some((id, public, signature)) = take_oldest(connection, device, Kind::MlKem).await? else { return Ok(None) };
    Ok(Some(kem_pre_key(id, public, &signature.unwrap_or_default())?))
}

async fn take_oldest(
    connection: &mut SqliteConnection,
    device: i64,
    kind: Kind,
) -> Result<Option<(u32, Vec<u8>, Option<Vec<u8>>)>, StoreError> {
    let key = sqlx::query_as(
        "DELETE FROM one_time_pre_keys WHERE position =
             (SELECT min(position) FROM one_time_pre_keys WHERE device_row = ?1 AND kind = ?2)
         RETURNING key_id, public, signature",
    )
    .bind(device)
    .bind(kind as i64)
    .fetch_optional(connection)
    .await?;
    Ok(key)
}

fn bundle(
    row: &SqliteRow,
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
        device: DeviceId::new(row.try_get("device")?).map_err(|_| StoreError::Damaged { what: "device number" })?,
        registration_id: row.try_get("registration_id")?,
        signed_pre_key: SignedPreKey {
            id: row.try_get("signed_pre_key_id")?,
            public: array(&blob("signed_pre_key_public")?, "signed pre-key")?,
            signature: array(&blob("signed_pre_key_signature")?, "signed pre-key")?,
        },
        one_time_pre_key,
        kem_pre_key,
        envelope_key: envelope_key(row)?,
    })
}

fn envelope_key(row: &SqliteRow) -> Result<EnvelopeKey, StoreError> {
    let blob = |column: &str| row.try_get::<Vec<u8>, _>(column);
    Ok(EnvelopeKey {
        id: row.try_get("envelope_key_id")?,
        x25519: array(&blob("envelope_key_x25519")?, "envelope key")?,
        ml_kem: bytes_of::<{ limits::ML_KEM_KEY_BYTES }>(blob("envelope_key_ml_kem")?, "envelope key")?,
        signature: array(&blob("envelope_key_signature")?, "envelope key")?,
    })
}

fn kem_pre_key(id: u32, public: Vec<u8>, signature: &[u8]) -> Result<KemPreKey, StoreError> {
    const WHAT: &str = "ML-KEM pre-key";
    Ok(KemPreKey {
        id,
        public: bytes_of::<{ limits::SIGNAL_KEM_KEY_BYTES }>(public, WHAT)?,
        signature: array(signature, WHAT)?,
    })
}
