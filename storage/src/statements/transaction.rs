//! A transaction that writes.

use sqlx::pool::PoolConnection;

use super::{Connection, Driver};
use crate::StoreError;

/// A connection inside a transaction. Dropped without an end, it is closed, and the database rolls back: so nothing of a
/// failed or cancelled call is ever found by the next one, whatever state the failure left.
pub(super) struct WriteTransaction {
    connection: PoolConnection<Driver>,
    open: bool,
}

impl WriteTransaction {
    pub(super) async fn begin(connection: PoolConnection<Driver>, statement: &'static str) -> Result<Self, StoreError> {
        let mut transaction = Self { connection, open: true };
        sqlx::query(statement).execute(transaction.connection()).await?;
        Ok(transaction)
    }

    pub(super) fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }

    pub(super) async fn commit(self) -> Result<(), StoreError> {
        self.end("COMMIT").await
    }

    pub(super) async fn roll_back(self) -> Result<(), StoreError> {
        self.end("ROLLBACK").await
    }

    async fn end(mut self, statement: &'static str) -> Result<(), StoreError> {
        sqlx::query(statement).execute(self.connection()).await?;
        self.open = false;
        Ok(())
    }
}

impl Drop for WriteTransaction {
    fn drop(&mut self) {
        if self.open {
            self.connection.close_on_drop();
        }
    }
}
