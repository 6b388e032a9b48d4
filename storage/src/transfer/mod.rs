//! From a store in one database to a store in the other, whole, in one transaction, and checked before that ends.
//!
//! What is read is the state of one moment. Both sides hold one page of rows in memory at a time. What was written is read
//! back inside of the transaction and compared by number and BLAKE3 of the rows, so what is there in the end is what was read.

mod record;
mod tables;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use async_trait::async_trait;

use crate::{OpenError, StoreError};

pub(crate) use record::{Record, Value};
use record::{Tally, bytes_of};
use tables::{AUDIT_ENDS, Numbers, TABLES};
pub(crate) use tables::{Kind, Table};

/// Rows of one page: 16 MiB of the largest bodies.
const PAGE: u32 = 64;

/// How far a transfer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransferProgress {
    /// Which table.
    pub table: &'static str,
    /// It was written and is read back.
    pub checking: bool,
    /// What was read or read back so far, over all tables: in the end twice what the rows hold.
    pub bytes: u64,
}

/// Told now and then.
pub type TransferReport<'a> = &'a mut (dyn FnMut(TransferProgress) + Send);

/// A table that is the same on both sides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transferred {
    /// Its name.
    pub table: &'static str,
    /// Its rows.
    pub rows: u64,
    /// Over all values of its rows in the order of their key.
    pub blake3: [u8; 32],
}

/// Why nothing was transferred. The other side is as it was.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// Has rows.
    #[error("the database to copy into has {table} already: name an empty one")]
    NotEmpty {
        /// Where the first row was found.
        table: &'static str,
    },
    /// There is a file.
    #[error("{} is there already: move it away first", .0.display())]
    FileThere(PathBuf),
    /// The new file.
    #[error(transparent)]
    File(#[from] OpenError),
    /// Of another version.
    #[error(
        "the store has schema {found}, and only {known} is copied: run `endtoend db migrate` first, or a newer program"
    )]
    Schema {
        /// The one found.
        found: i64,
        /// The one that this program knows.
        known: i64,
    },
    /// The one side.
    #[error("the store cannot be read")]
    Read(#[source] StoreError),
    /// The other side.
    #[error("the copy cannot be written: look at the free space and the log of the database")]
    Write(#[source] StoreError),
    /// Never seen.
    #[error("{table} reads back otherwise than it was written: look at the disks and the memory of both machines")]
    Differs {
        /// Where.
        table: &'static str,
    },
}

/// A side of a transfer: a transaction.
#[async_trait]
pub(crate) trait Side: Send {
    /// At most so many rows after this key.
    async fn page(
        &mut self,
        table: &'static Table,
        after: Option<Record>,
        rows: u32,
    ) -> Result<Vec<Record>, StoreError>;

    /// The last number that the database gave in this table; 0 for none.
    async fn last_number(&mut self, table: &'static Table) -> Result<i64, StoreError>;
}

/// The side that is written.
#[async_trait]
pub(crate) trait Target: Side {
    async fn clear(&mut self, table: &'static Table) -> Result<(), StoreError>;

    async fn insert(&mut self, table: &'static Table, rows: Vec<Record>) -> Result<(), StoreError>;

    /// The next number that the database gives is larger than this one.
    async fn set_last_number(&mut self, table: &'static Table, last: i64) -> Result<(), StoreError>;
}

/// Writes all that is on the one side to the other, and compares. Commits nothing.
pub(crate) async fn transfer(
    from: &mut dyn Side,
    to: &mut dyn Target,
    report: TransferReport<'_>,
) -> Result<Vec<Transferred>, TransferError> {
    for table in &TABLES {
        check_empty(to, table).await?;
    }
    let mut bytes = 0;
    let mut written = Vec::new();
    for table in &TABLES {
        if table.name == AUDIT_ENDS {
            to.clear(table).await.map_err(TransferError::Write)?;
        }
        let (mut tally, mut after) = (Tally::default(), None);
        loop {
            let page = from.page(table, after.take(), PAGE).await.map_err(TransferError::Read)?;
            let Some(last) = page.last() else { break };
            after = Some(key_of(table, last));
            for record in &page {
                tally.add(record);
                bytes += bytes_of(record);
            }
            to.insert(table, page).await.map_err(TransferError::Write)?;
            report(TransferProgress { table: table.name, checking: false, bytes });
        }
        if table.numbers != Numbers::Node {
            let last = from.last_number(table).await.map_err(TransferError::Read)?;
            to.set_last_number(table, last).await.map_err(TransferError::Write)?;
            if table.numbers == Numbers::DatabaseOnce
                && to.last_number(table).await.map_err(TransferError::Write)? != last
            {
                return Err(TransferError::Differs { table: table.name });
            }
        }
        written.push((table, tally.finish()));
    }
    let mut transferred = Vec::new();
    for (table, (rows, blake3)) in written {
        let (mut tally, mut after) = (Tally::default(), None);
        loop {
            let page = to.page(table, after.take(), PAGE).await.map_err(TransferError::Write)?;
            let Some(last) = page.last() else { break };
            after = Some(key_of(table, last));
            for record in &page {
                tally.add(record);
                bytes += bytes_of(record);
            }
            report(TransferProgress { table: table.name, checking: true, bytes });
        }
        if tally.finish() != (rows, blake3) {
            return Err(TransferError::Differs { table: table.name });
        }
        transferred.push(Transferred { table: table.name, rows, blake3 });
    }
    Ok(transferred)
}

/// As the migrations leave it.
async fn check_empty(to: &mut dyn Target, table: &'static Table) -> Result<(), TransferError> {
    let found = to.page(table, None, 1).await.map_err(TransferError::Write)?;
    let none = Value::Bytes(Some(vec![0; 32]));
    let untouched: Record = match table.name {
        AUDIT_ENDS => {
            let number = |number| Value::Integer(Some(number));
            vec![number(1), number(0), none.clone(), number(0), none]
        }
        _ => Vec::new(),
    };
    match found.into_iter().next().unwrap_or_default() == untouched {
        true => Ok(()),
        false => Err(TransferError::NotEmpty { table: table.name }),
    }
}

fn key_of(table: &Table, record: &Record) -> Record {
    record.iter().take(table.key).cloned().collect()
}
