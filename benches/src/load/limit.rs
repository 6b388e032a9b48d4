//! What the disk allows: bare inserts of the same size, 512 in a transaction, each transaction with an fsync.

use endtoend_benches::Stopwatch;
use rusqlite::{Connection, params};

use super::Options;

const ROWS: usize = 512;

pub(crate) fn inserts_per_second(options: &Options) -> f64 {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut database = Connection::open(dir.path().join("limit.db")).expect("a database");
    database
        .execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
             CREATE TABLE queue (seq INTEGER PRIMARY KEY, body BLOB NOT NULL)",
        )
        .expect("a table");
    let body = vec![7_u8; options.bytes];
    let batches = (options.messages / ROWS).max(8);
    let watch = Stopwatch::start();
    for _ in 0..batches {
        let transaction = database.transaction().expect("a transaction");
        {
            let mut insert = transaction.prepare_cached("INSERT INTO queue (body) VALUES (?)").expect("a statement");
            for _ in 0..ROWS {
                insert.execute(params![body]).expect("a row");
            }
        }
        transaction.commit().expect("a commit");
    }
    (batches * ROWS) as f64 / watch.elapsed().as_secs_f64()
}
