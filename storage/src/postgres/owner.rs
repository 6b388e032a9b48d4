//! Whose database it is: two clusters on one would each believe to know who is connected where.

use super::Postgres;
use super::queue::within_deadline;
use crate::StoreError;

/// Names a cluster.
type Cluster = [u8; 16];

impl Postgres {
    /// The cluster whose nodes use this database; `None` when there is none, or the database holds a node that is alone.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn cluster(&self) -> Result<Option<Cluster>, StoreError> {
        within_deadline(async {
            let mut connection = self.readers.acquire().await?;
            let found: Option<Vec<u8>> =
                sqlx::query_scalar("SELECT name FROM cluster WHERE id = 1").fetch_optional(&mut *connection).await?;
            found.map(read).transpose()
        })
        .await
    }

    /// From now on the nodes of this cluster use the database, unless those of another one do. The cluster whose it is then: of
    /// two that ask at once, one.
    ///
    /// # Errors
    /// When the store did not confirm.
    pub async fn take_for_cluster(&self, cluster: Cluster) -> Result<Cluster, StoreError> {
        within_deadline(async {
            let mut transaction = self.begin().await?;
            sqlx::query("INSERT INTO cluster (id, name) VALUES (1, $1) ON CONFLICT (id) DO NOTHING")
                .bind(cluster.to_vec())
                .execute(transaction.connection())
                .await?;
            let name: Vec<u8> =
                sqlx::query_scalar("SELECT name FROM cluster WHERE id = 1").fetch_one(transaction.connection()).await?;
            transaction.commit().await?;
            read(name)
        })
        .await
    }
}

fn read(name: Vec<u8>) -> Result<Cluster, StoreError> {
    name.try_into().map_err(|_| StoreError::Damaged { what: "name of a cluster" })
}
