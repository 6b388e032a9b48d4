//! Relations.

use async_trait::async_trait;
use endtoend_protocol::AccountTag;

use super::{Connection, Database, lock_account};
use crate::columns::number;
use crate::{PeerHash, Relation, RelationStore, Standing, StoreError};

const ACCEPTED: i64 = 1;
const BLOCKED: i64 = 2;

#[async_trait]
impl RelationStore for Database {
    async fn standing(&self, owner: AccountTag, peer: PeerHash) -> Result<Option<Standing>, StoreError> {
        let row: Option<(i64, Option<i64>)> = sqlx::query_as(
            "SELECT a.devices_version, r.kind FROM accounts a
             LEFT JOIN relations r ON r.owner = a.tag AND r.pair = $2 WHERE a.tag = $1",
        )
        .bind(owner.as_bytes().to_vec())
        .bind(peer.0.to_vec())
        .fetch_optional(&self.readers)
        .await?;
        let Some((version, kind)) = row else { return Ok(None) };
        let relation = match kind {
            None => None,
            Some(ACCEPTED) => Some(Relation::Accepted),
            Some(BLOCKED) => Some(Relation::Blocked),
            Some(_) => return Err(StoreError::Damaged { what: "relation" }),
        };
        Ok(Some(Standing { relation, devices_version: number(version, "version of the devices")? }))
    }

    async fn set_relation(
        &self,
        owner: AccountTag,
        peer: PeerHash,
        relation: Option<Relation>,
    ) -> Result<bool, StoreError> {
        let mut transaction = self.begin().await?;
        let connection = transaction.connection();
        lock_account(connection, owner).await?;
        let set = match relation {
            None => {
                sqlx::query("DELETE FROM relations WHERE owner = $1 AND pair = $2")
                    .bind(owner.as_bytes().to_vec())
                    .bind(peer.0.to_vec())
                    .execute(&mut *connection)
                    .await?;
                true
            }
            Some(relation) => {
                let kind = if relation == Relation::Accepted { ACCEPTED } else { BLOCKED };
                put(connection, owner, peer, kind, self.limits.relations_max).await?
            }
        };
        if set {
            transaction.commit().await?;
        } else {
            transaction.roll_back().await?;
        }
        Ok(set)
    }

    async fn accept_if_new(&self, owner: AccountTag, peer: PeerHash) -> Result<bool, StoreError> {
        if self.standing(owner, peer).await?.is_none_or(|standing| standing.relation.is_some()) {
            return Ok(false);
        }
        let mut transaction = self.begin().await?;
        let connection = transaction.connection();
        lock_account(connection, owner).await?;
        if !room(connection, owner, self.limits.relations_max).await? {
            transaction.roll_back().await?;
            return Ok(false);
        }
        let added = sqlx::query(
            "INSERT INTO relations (owner, pair, kind) VALUES ($1, $2, $3) ON CONFLICT (owner, pair) DO NOTHING",
        )
        .bind(owner.as_bytes().to_vec())
        .bind(peer.0.to_vec())
        .bind(ACCEPTED)
        .execute(connection)
        .await?;
        transaction.commit().await?;
        Ok(added.rows_affected() > 0)
    }
}

/// Whether the account exists and may have one more.
async fn room(connection: &mut Connection, owner: AccountTag, max: u32) -> Result<bool, StoreError> {
    let count: Option<i64> =
        sqlx::query_scalar("SELECT (SELECT count(*) FROM relations WHERE owner = $1) FROM accounts WHERE tag = $1")
            .bind(owner.as_bytes().to_vec())
            .fetch_optional(connection)
            .await?;
    Ok(count.is_some_and(|count| count < i64::from(max)))
}

async fn put(
    connection: &mut Connection,
    owner: AccountTag,
    peer: PeerHash,
    kind: i64,
    max: u32,
) -> Result<bool, StoreError> {
    let changed = sqlx::query("UPDATE relations SET kind = $3 WHERE owner = $1 AND pair = $2")
        .bind(owner.as_bytes().to_vec())
        .bind(peer.0.to_vec())
        .bind(kind)
        .execute(&mut *connection)
        .await?;
    if changed.rows_affected() > 0 {
        return Ok(true);
    }
    if !room(connection, owner, max).await? {
        return Ok(false);
    }
    sqlx::query("INSERT INTO relations (owner, pair, kind) VALUES ($1, $2, $3)")
        .bind(owner.as_bytes().to_vec())
        .bind(peer.0.to_vec())
        .bind(kind)
        .execute(connection)
        .await?;
    Ok(true)
}
