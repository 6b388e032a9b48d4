//! Invitations.

use async_trait::async_trait;
use endtoend_protocol::UnixMillis;

use super::Database;
use crate::columns::{array, number, time, to_column};
use crate::{Invite, InviteHash, InviteStore, StoreError};

#[async_trait]
impl InviteStore for Database {
    async fn put_invite(&self, invite: Invite) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        sqlx::query(
            "INSERT INTO invites (hash, note, uses_max, uses_left, created_at, expires_at)
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (hash) DO NOTHING",
        )
        .bind(invite.hash.0.to_vec())
        .bind(invite.note)
        .bind(i64::from(invite.uses_max))
        .bind(i64::from(invite.uses_left))
        .bind(to_column(invite.created_at))
        .bind(to_column(invite.expires_at))
        .execute(transaction.connection())
        .await?;
        transaction.commit().await
    }

    async fn invites(&self, now: UnixMillis) -> Result<Vec<Invite>, StoreError> {
        let rows: Vec<(Vec<u8>, String, i64, i64, i64, i64)> = sqlx::query_as(
            "SELECT hash, note, uses_max, uses_left, created_at, expires_at FROM invites WHERE expires_at > $1
             ORDER BY created_at DESC, hash",
        )
        .bind(to_column(now))
        .fetch_all(&self.readers)
        .await?;
        rows.into_iter()
            .map(|(hash, note, uses_max, uses_left, created_at, expires_at)| {
                Ok(Invite {
                    hash: InviteHash(array(&hash, "invitation")?),
                    note,
                    uses_max: number(uses_max, "invitation")?,
                    uses_left: number(uses_left, "invitation")?,
                    created_at: time(created_at)?,
                    expires_at: time(expires_at)?,
                })
            })
            .collect()
    }

    async fn remove_invite(&self, hash: InviteHash) -> Result<bool, StoreError> {
        let mut transaction = self.begin().await?;
        let removed = sqlx::query("DELETE FROM invites WHERE hash = $1")
            .bind(hash.0.to_vec())
            .execute(transaction.connection())
            .await?;
        transaction.commit().await?;
        Ok(removed.rows_affected() > 0)
    }

    async fn remove_expired_invites(&self, now: UnixMillis) -> Result<u64, StoreError> {
        let mut transaction = self.begin().await?;
        let removed = sqlx::query("DELETE FROM invites WHERE expires_at <= $1")
            .bind(to_column(now))
            .execute(transaction.connection())
            .await?;
        transaction.commit().await?;
        Ok(removed.rows_affected())
    }
}
