//! Meetings of devices.

use async_trait::async_trait;
use bytes::Bytes;
use endtoend_protocol::{AccountTag, UnixMillis};

use super::{Database, lock_links};
use crate::columns::{array, to_column};
use crate::{LinkAnswer, LinkId, LinkStore, StoreError};

#[async_trait]
impl LinkStore for Database {
    async fn put_link(
        &self,
        id: LinkId,
        offer: Bytes,
        now: UnixMillis,
        expires_at: UnixMillis,
    ) -> Result<bool, StoreError> {
        let mut transaction = self.begin().await?;
        lock_links(transaction.connection()).await?;
        let inserted = sqlx::query(
            "INSERT INTO links (id, offer, expires_at)
             SELECT $1, $2, $3 WHERE (SELECT count(*) FROM links WHERE expires_at > $4) < $5
             ON CONFLICT (id) DO NOTHING",
        )
        .bind(id.0.to_vec())
        .bind(Vec::from(offer))
        .bind(to_column(expires_at))
        .bind(to_column(now))
        .bind(i64::from(self.limits.links_max))
        .execute(transaction.connection())
        .await?;
        transaction.commit().await?;
        Ok(inserted.rows_affected() > 0)
    }

    async fn link_offer(&self, id: LinkId, now: UnixMillis) -> Result<Option<Bytes>, StoreError> {
        let offer: Option<Vec<u8>> = sqlx::query_scalar("SELECT offer FROM links WHERE id = $1 AND expires_at > $2")
            .bind(id.0.to_vec())
            .bind(to_column(now))
            .fetch_optional(&self.readers)
            .await?;
        Ok(offer.map(Bytes::from))
    }

    async fn answer_link(&self, id: LinkId, answer: LinkAnswer, now: UnixMillis) -> Result<bool, StoreError> {
        let mut transaction = self.begin().await?;
        let answered = sqlx::query(
            "UPDATE links SET account = $2, sealed = $3, secret_hash = $4
             WHERE id = $1 AND expires_at > $5
                 AND (account IS NULL OR (account = $2 AND secret_hash IS NULL AND $4 IS NOT NULL))",
        )
        .bind(id.0.to_vec())
        .bind(answer.account.as_bytes().to_vec())
        .bind(Vec::from(answer.sealed))
        .bind(answer.secret_hash.map(|hash| hash.to_vec()))
        .bind(to_column(now))
        .execute(transaction.connection())
        .await?;
        transaction.commit().await?;
        Ok(answered.rows_affected() > 0)
    }

    async fn link_answer(
        &self,
        id: LinkId,
        now: UnixMillis,
    ) -> Result<Option<Option<(AccountTag, Bytes)>>, StoreError> {
        let row: Option<(Option<Vec<u8>>, Option<Vec<u8>>)> =
            sqlx::query_as("SELECT account, sealed FROM links WHERE id = $1 AND expires_at > $2")
                .bind(id.0.to_vec())
                .bind(to_column(now))
                .fetch_optional(&self.readers)
                .await?;
        let Some((account, sealed)) = row else { return Ok(None) };
        let (Some(account), Some(sealed)) = (account, sealed) else { return Ok(Some(None)) };
        Ok(Some(Some((AccountTag::new(array(&account, "tag")?), sealed.into()))))
    }

    async fn remove_expired_links(&self, now: UnixMillis) -> Result<u64, StoreError> {
        let mut transaction = self.begin().await?;
        let removed = sqlx::query("DELETE FROM links WHERE expires_at <= $1")
            .bind(to_column(now))
            .execute(transaction.connection())
            .await?;
        transaction.commit().await?;
        Ok(removed.rows_affected())
    }
}
