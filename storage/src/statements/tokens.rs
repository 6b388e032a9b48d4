//! Families of refresh tokens.

use async_trait::async_trait;
use endtoend_protocol::{AccountTag, Address, DeviceId, UnixMillis};
use sqlx::Row as _;

use super::{Database, Row, device_row, lock_account};
use crate::columns::{array, number, time, to_column};
use crate::{Family, FamilyId, StoreError, TokenStore};

#[async_trait]
impl TokenStore for Database {
    async fn put_family(&self, family: Family) -> Result<bool, StoreError> {
        let mut transaction = self.begin().await?;
        let connection = transaction.connection();
        lock_account(connection, family.device.account).await?;
        let Some(row) = device_row(connection, family.device).await? else {
            transaction.roll_back().await?;
            return Ok(false);
        };
        sqlx::query("DELETE FROM families WHERE device_row = $1").bind(row).execute(&mut *connection).await?;
        sqlx::query(
            "INSERT INTO families (id, device_row, generation, token_hash, previous_hash, created_at, refreshed_at,
                 expires_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(family.id.0.to_vec())
        .bind(row)
        .bind(i64::from(family.generation))
        .bind(family.token_hash.to_vec())
        .bind(family.previous_hash.map(|hash| hash.to_vec()))
        .bind(to_column(family.created_at))
        .bind(to_column(family.refreshed_at))
        .bind(to_column(family.expires_at))
        .execute(connection)
        .await?;
        transaction.commit().await?;
        Ok(true)
    }

    async fn family(&self, id: FamilyId) -> Result<Option<Family>, StoreError> {
        let row = sqlx::query(
            "SELECT d.tag, d.device, f.generation, f.token_hash, f.previous_hash, f.created_at, f.refreshed_at,
                 f.expires_at
             FROM families f JOIN devices d ON d.id = f.device_row WHERE f.id = $1",
        )
        .bind(id.0.to_vec())
        .fetch_optional(&self.readers)
        .await?;
        row.as_ref().map(|row| family(id, row)).transpose()
    }

    async fn swap_family(&self, before: &Family, after: &Family) -> Result<bool, StoreError> {
        let mut transaction = self.begin().await?;
        let swapped = sqlx::query(
            "UPDATE families SET generation = $2, token_hash = $3, previous_hash = $4, refreshed_at = $5,
                 expires_at = $6
             WHERE id = $1 AND generation = $7 AND token_hash = $8",
        )
        .bind(before.id.0.to_vec())
        .bind(i64::from(after.generation))
        .bind(after.token_hash.to_vec())
        .bind(after.previous_hash.map(|hash| hash.to_vec()))
        .bind(to_column(after.refreshed_at))
        .bind(to_column(after.expires_at))
        .bind(i64::from(before.generation))
        .bind(before.token_hash.to_vec())
        .execute(transaction.connection())
        .await?;
        transaction.commit().await?;
        Ok(swapped.rows_affected() > 0)
    }

    async fn remove_family(&self, id: FamilyId) -> Result<bool, StoreError> {
        let mut transaction = self.begin().await?;
        let removed = sqlx::query("DELETE FROM families WHERE id = $1")
            .bind(id.0.to_vec())
            .execute(transaction.connection())
            .await?;
        transaction.commit().await?;
        Ok(removed.rows_affected() > 0)
    }

    async fn remove_families(&self, tag: AccountTag, except: Option<FamilyId>) -> Result<Vec<DeviceId>, StoreError> {
        let mut transaction = self.begin().await?;
        let connection = transaction.connection();
        lock_account(connection, tag).await?;
        let except = except.map_or_else(Vec::new, |id| id.0.to_vec());
        let devices: Vec<i64> = sqlx::query_scalar(
            "SELECT d.device FROM families f JOIN devices d ON d.id = f.device_row
             WHERE d.tag = $1 AND f.id <> $2 ORDER BY d.device",
        )
        .bind(tag.as_bytes().to_vec())
        .bind(except.clone())
        .fetch_all(&mut *connection)
        .await?;
        sqlx::query("DELETE FROM families WHERE id <> $2 AND device_row IN (SELECT id FROM devices WHERE tag = $1)")
            .bind(tag.as_bytes().to_vec())
            .bind(except)
            .execute(connection)
            .await?;
        transaction.commit().await?;
        devices.into_iter().map(device_id).collect()
    }

    async fn remove_expired_families(&self, now: UnixMillis, max: u32) -> Result<u64, StoreError> {
        let mut transaction = self.begin().await?;
        let removed = sqlx::query(
            // The end is looked at twice: between the two a family may have been refreshed.
            "DELETE FROM families WHERE expires_at <= $1 AND id IN
                 (SELECT id FROM families WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2)",
        )
        .bind(to_column(now))
        .bind(i64::from(max))
        .execute(transaction.connection())
        .await?;
        transaction.commit().await?;
        Ok(removed.rows_affected())
    }
}

fn device_id(column: i64) -> Result<DeviceId, StoreError> {
    let number = number(column, "device number")?;
    DeviceId::new(number).map_err(|_| StoreError::Damaged { what: "device number" })
}

fn family(id: FamilyId, row: &Row) -> Result<Family, StoreError> {
    let blob = |column: &str| row.try_get::<Vec<u8>, _>(column);
    let at = |column: &str| time(row.try_get(column)?);
    let previous: Option<Vec<u8>> = row.try_get("previous_hash")?;
    Ok(Family {
        id,
        device: Address {
            account: AccountTag::new(array(&blob("tag")?, "tag")?),
            device: device_id(row.try_get("device")?)?,
        },
        generation: number(row.try_get("generation")?, "generation")?,
        token_hash: array(&blob("token_hash")?, "hash of a token")?,
        previous_hash: previous.map(|hash| array(&hash, "hash of a token")).transpose()?,
        created_at: at("created_at")?,
        refreshed_at: at("refreshed_at")?,
        expires_at: at("expires_at")?,
    })
}
