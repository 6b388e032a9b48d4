//! Accounts.

use async_trait::async_trait;
use bytes::Bytes;
use endtoend_protocol::{AccountTag, UnixMillis};

use super::devices::{insert_device, remove_device_row};
use super::{Connection, Database, lock_account};
use crate::columns::{array, number, time, to_column};
use crate::{AccountStore, AccountSummary, CreateAccountError, InviteHash, NewAccount, StoreError};

#[async_trait]
impl AccountStore for Database {
    async fn create_account(&self, account: NewAccount) -> Result<(), CreateAccountError> {
        let mut transaction = self.begin().await?;
        let created = insert_account(transaction.connection(), account).await;
        match created {
            Ok(()) => transaction.commit().await?,
            Err(CreateAccountError::Exists | CreateAccountError::Invite) => transaction.roll_back().await?,
            Err(CreateAccountError::Store(_)) => {}
        }
        created
    }

    async fn opaque_record(&self, tag: AccountTag) -> Result<Option<Bytes>, StoreError> {
        let record: Option<Vec<u8>> = sqlx::query_scalar("SELECT opaque_record FROM accounts WHERE tag = $1")
            .bind(tag.as_bytes().to_vec())
            .fetch_optional(&self.readers)
            .await?;
        Ok(record.map(Bytes::from))
    }

    async fn set_opaque_record(&self, tag: AccountTag, record: Bytes) -> Result<bool, StoreError> {
        let mut transaction = self.begin().await?;
        let changed = sqlx::query("UPDATE accounts SET opaque_record = $2, backup = NULL WHERE tag = $1")
            .bind(tag.as_bytes().to_vec())
            .bind(Vec::from(record))
            .execute(transaction.connection())
            .await?;
        transaction.commit().await?;
        Ok(changed.rows_affected() > 0)
    }

    async fn delete_account(&self, tag: AccountTag) -> Result<bool, StoreError> {
        let mut transaction = self.begin().await?;
        let connection = transaction.connection();
        lock_account(connection, tag).await?;
        let devices: Vec<i64> = sqlx::query_scalar("SELECT id FROM devices WHERE tag = $1 ORDER BY id")
            .bind(tag.as_bytes().to_vec())
            .fetch_all(&mut *connection)
            .await?;
        for row in devices {
            remove_device_row(connection, row).await?;
        }
        for statement in ["DELETE FROM relations WHERE owner = $1", "DELETE FROM links WHERE account = $1"] {
            sqlx::query(statement).bind(tag.as_bytes().to_vec()).execute(&mut *connection).await?;
        }
        let deleted = sqlx::query("DELETE FROM accounts WHERE tag = $1")
            .bind(tag.as_bytes().to_vec())
            .execute(connection)
            .await?;
        transaction.commit().await?;
        Ok(deleted.rows_affected() > 0)
    }

    async fn set_disabled(&self, tag: AccountTag, since: Option<UnixMillis>) -> Result<bool, StoreError> {
        let mut transaction = self.begin().await?;
        let changed = sqlx::query("UPDATE accounts SET disabled_at = $2 WHERE tag = $1")
            .bind(tag.as_bytes().to_vec())
            .bind(since.map(to_column))
            .execute(transaction.connection())
            .await?;
        transaction.commit().await?;
        Ok(changed.rows_affected() > 0)
    }

    async fn account(&self, tag: AccountTag) -> Result<Option<AccountSummary>, StoreError> {
        let found = self.accounts(tag.as_bytes(), None, 1).await?;
        Ok(found.into_iter().next())
    }

    async fn accounts(
        &self,
        prefix: &[u8],
        after: Option<AccountTag>,
        max: u32,
    ) -> Result<Vec<AccountSummary>, StoreError> {
        let after = after.map_or_else(Vec::new, |tag| tag.as_bytes().to_vec());
        let rows: Vec<(Vec<u8>, i64, Option<i64>, i64, i64)> = sqlx::query_as(
            "SELECT a.tag, a.created_at, a.disabled_at, count(d.id), CAST(coalesce(sum(
                 (SELECT count(*) FROM queue q WHERE q.device_row = d.id)), 0) AS BIGINT)
             FROM accounts a LEFT JOIN devices d ON d.tag = a.tag
             WHERE a.tag > $1 AND substr(a.tag, 1, $2) = $3
             GROUP BY a.tag, a.created_at, a.disabled_at ORDER BY a.tag LIMIT $4",
        )
        .bind(after)
        .bind(i32::try_from(prefix.len()).unwrap_or(i32::MAX))
        .bind(prefix.to_vec())
        .bind(i64::from(max))
        .fetch_all(&self.readers)
        .await?;
        rows.into_iter()
            .map(|(tag, created_at, disabled_at, devices, queued)| {
                Ok(AccountSummary {
                    tag: AccountTag::new(array(&tag, "tag")?),
                    created_at: time(created_at)?,
                    disabled_at: disabled_at.map(time).transpose()?,
                    devices: number(devices, "count of devices")?,
                    queued: number(queued, "count of envelopes")?,
                })
            })
            .collect()
    }

    async fn backup(&self, tag: AccountTag) -> Result<Option<Bytes>, StoreError> {
        let backup: Option<Option<Vec<u8>>> = sqlx::query_scalar("SELECT backup FROM accounts WHERE tag = $1")
            .bind(tag.as_bytes().to_vec())
            .fetch_optional(&self.readers)
            .await?;
        Ok(backup.flatten().map(Bytes::from))
    }

    async fn set_backup(&self, tag: AccountTag, backup: Option<Bytes>) -> Result<bool, StoreError> {
        let mut transaction = self.begin().await?;
        let changed = sqlx::query("UPDATE accounts SET backup = $2 WHERE tag = $1")
            .bind(tag.as_bytes().to_vec())
            .bind(backup.map(Vec::from))
            .execute(transaction.connection())
            .await?;
        transaction.commit().await?;
        Ok(changed.rows_affected() > 0)
    }
}

async fn insert_account(connection: &mut Connection, account: NewAccount) -> Result<(), CreateAccountError> {
    let NewAccount { tag, opaque_record, device, invite, created_at } = account;
    let inserted = sqlx::query(
        "INSERT INTO accounts (tag, identity_key, opaque_record, created_at) VALUES ($1, $2, $3, $4)
         ON CONFLICT (tag) DO NOTHING",
    )
    .bind(tag.as_bytes().to_vec())
    .bind(device.identity_key.to_vec())
    .bind(Vec::from(opaque_record))
    .bind(to_column(created_at))
    .execute(&mut *connection)
    .await
    .map_err(StoreError::from)?;
    if inserted.rows_affected() == 0 {
        return Err(CreateAccountError::Exists);
    }
    if let Some(invite) = invite {
        use_invite(connection, invite, created_at).await?;
    }
    insert_device(connection, tag, 1, device, created_at, created_at).await?;
    Ok(())
}

/// One statement, so that two registrations never share the last use.
async fn use_invite(
    connection: &mut Connection,
    invite: InviteHash,
    now: UnixMillis,
) -> Result<(), CreateAccountError> {
    let used = sqlx::query(
        "UPDATE invites SET uses_left = uses_left - 1 WHERE hash = $1 AND uses_left > 0 AND expires_at > $2",
    )
    .bind(invite.0.to_vec())
    .bind(to_column(now))
    .execute(connection)
    .await
    .map_err(StoreError::from)?;
    if used.rows_affected() == 0 { Err(CreateAccountError::Invite) } else { Ok(()) }
}
