//! The conformance suite over PostgreSQL, and what only a server can get wrong.

mod faults;
mod opening;

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use endtoend_testkit_postgres::Server;
use tokio::task::JoinSet;

use super::{OpenError, Postgres, PostgresOptions};
use crate::conformance::{LIMITS, NOW, account, address, append, appends, deletes, load};
use crate::{
    AccountStore as _, AppendOutcome, KeyStore as _, Maintenance as _, PageLimits, QueueBatch, QueueStore as _, Seq,
    StoreError, StoreLimits,
};

/// Of a test's server, which is not durable.
fn options(url: &str) -> PostgresOptions {
    let url = url.parse().expect("a connection URL");
    PostgresOptions { allow_unsafe_server: true, ..PostgresOptions::new(url, LIMITS) }
}

async fn open(url: &str) -> Postgres {
    Postgres::open(&options(url)).await.expect("opened")
}

/// A store for queues that are longer than the conformance suite's.
async fn roomy(url: &str) -> Postgres {
    let limits = StoreLimits { queue_envelopes_max: 10_000, ..LIMITS };
    Postgres::open(&PostgresOptions { limits, ..options(url) }).await.expect("opened")
}

async fn refusal(url: &str) -> OpenError {
    Postgres::open(&options(url)).await.expect_err("refused")
}

async fn empty() -> (Postgres, String) {
    let url = Server::shared().database().await;
    (open(&url).await, url)
}

/// The name of the database that the URL leads to.
fn name(url: &str) -> &str {
    url.rsplit('/').next().expect("a name")
}

async fn execute(url: &str, sql: &str) {
    Server::shared().execute(name(url), sql).await;
}

crate::conformance::conformance_tests!(empty);

async fn fill(store: &Postgres) {
    store.create_account(account(1, 5)).await.expect("created");
    store.commit(appends(vec![append(1, 1), append(1, 2)])).await.expect("committed");
}

async fn is_filled(store: &Postgres) {
    assert_eq!(load(store, 1).await.rows.len(), 2);
    assert_eq!(store.key_counts(address(1)).await.expect("read").one_time, 5);
    let again = store.commit(appends(vec![append(1, 1)])).await.expect("committed");
    assert!(matches!(again[..], [AppendOutcome::Repeat(_)]), "{again:?}");
}

#[tokio::test]
async fn nothing_secret_is_shown() {
    let server = Server::shared();
    let url = server.database().await;
    let url = server.tcp_url(name(&url), Server::PASSWORD);
    let store = open(&url).await;
    store.create_account(account(7, 2)).await.expect("created");
    // The server tells which key is there twice: the whole row, in its details.
    let again = sqlx::query("INSERT INTO accounts SELECT * FROM accounts").execute(&store.readers).await;
    let again: StoreError = again.expect_err("a tag has one account").into();
    let shown = format!("{store:?} {:?} {:?} {again:?}", options(&url), options(&url).url);
    assert!(shown.contains("accounts_pkey"), "{shown}");
    for secret in [Server::PASSWORD, "0707", "7, 7, 7"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

#[tokio::test]
async fn no_column_names_a_sender() {
    let (store, _url) = empty().await;
    let columns: Vec<(String, String)> = sqlx::query_as(
        "SELECT table_name::text, column_name::text FROM information_schema.columns
         WHERE table_schema = 'public' AND table_name <> '_sqlx_migrations' ORDER BY table_name, ordinal_position",
    )
    .fetch_all(&store.readers)
    .await
    .expect("read");
    for (table, column) in &columns {
        for word in ["sender", "from", "source", "author", "origin", "peer", "handle", "client"] {
            assert!(!column.contains(word), "{table}.{column} may name a sender");
        }
    }
    let queue: Vec<_> = columns.iter().filter(|(table, _)| table == "queue").map(|(_, column)| &column[..]).collect();
    assert_eq!(queue, ["seq", "device_row", "envelope_id", "accepted_at", "expires_at", "body", "tray"]);
}

#[tokio::test]
async fn numbers_are_told() {
    let (store, _url) = empty().await;
    fill(&store).await;
    let stats = store.stats().await.expect("counted");
    assert_eq!((stats.accounts, stats.devices, stats.queued_envelopes), (1, 1, 2));
    assert_eq!(stats.schema, Postgres::newest_schema());
    assert!(stats.bytes > 0);
    assert_eq!(stats.oldest_accepted_at, Some(NOW));
}

#[tokio::test]
async fn the_envelope_that_has_waited_longest_is_known() {
    let (store, _url) = empty().await;
    crate::conformance::the_oldest_is_known(&store).await;
}

#[tokio::test]
async fn a_database_is_of_one_cluster() {
    let (store, url) = empty().await;
    let other = open(&url).await;
    assert_eq!(store.cluster().await.expect("read"), None);
    let (one, two) = tokio::join!(store.take_for_cluster([1; 16]), other.take_for_cluster([2; 16]));
    let (one, two) = (one.expect("confirmed"), two.expect("confirmed"));
    assert!(one == two && [[1; 16], [2; 16]].contains(&one), "{one:?} {two:?}");
    assert_eq!(other.take_for_cluster(one).await.expect("confirmed"), one);
    assert_eq!(other.take_for_cluster([3; 16]).await.expect("confirmed"), one);
    assert_eq!(store.cluster().await.expect("read"), Some(one));
}

// --- the queue under several nodes ---

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_never_misses_a_smaller_place() {
    const NODES: u64 = 4;
    const EACH: u64 = 60;
    let url = Server::shared().database().await;
    let reader = roomy(&url).await;
    reader.create_account(account(1, 0)).await.expect("created");
    let mut nodes = JoinSet::new();
    for node in 0..NODES {
        let store = roomy(&url).await;
        nodes.spawn(async move {
            for n in 0..EACH {
                let batch = (0..3).map(|part| append(1, node * 10_000 + n * 3 + part)).collect();
                store.commit(appends(batch)).await.expect("committed");
            }
        });
    }
    let writing = tokio::spawn(nodes.join_all());
    // As a device does: each page after the last place that was seen.
    let (mut seen, mut last) = (BTreeSet::new(), Seq(0));
    loop {
        let done = writing.is_finished();
        let limits = PageLimits { rows: 7, bytes: usize::MAX };
        let page = reader.load(address(1), last, limits, NOW).await.expect("loaded");
        if done && page.rows.is_empty() {
            break;
        }
        for row in page.rows {
            assert!(row.seq > last);
            last = row.seq;
            seen.insert(row.id);
        }
    }
    writing.await.expect("joined");
    assert_eq!(seen.len() as u64, NODES * EACH * 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_of_the_same_devices_do_not_deadlock() {
    let url = Server::shared().database().await;
    let stores = [roomy(&url).await, roomy(&url).await];
    for n in 1..=8 {
        stores[0].create_account(account(n, 0)).await.expect("created");
    }
    let mut tasks = JoinSet::new();
    for task in 0..8_u64 {
        let store = stores[usize::from(task % 2 == 0)].clone();
        tasks.spawn(async move {
            for round in 0..20 {
                // Each in another order, and every second one backwards.
                let mut batch: Vec<_> = (0..8_u8)
                    .map(|n| append((n + task as u8) % 8 + 1, task * 10_000 + round * 10 + u64::from(n)))
                    .collect();
                if round % 2 == 0 {
                    batch.reverse();
                }
                let outcomes = store.commit(appends(batch)).await.expect("committed");
                let taken = outcomes.iter().filter_map(|outcome| match outcome {
                    AppendOutcome::Stored(seq) => Some(*seq),
                    _ => None,
                });
                let taken: Vec<_> = taken.collect();
                assert_eq!(taken.len(), 8, "{outcomes:?}");
                assert!(taken.is_sorted());
                store.delete_expired(NOW, 10).await.expect("swept");
                store.commit(deletes(vec![(address(1), taken[0])])).await.expect("committed");
            }
        });
    }
    tasks.join_all().await;
    let sql = "SELECT count(*) FROM queue_depths d WHERE queue_depth <> (SELECT count(*) FROM queue q WHERE q.device_row = d.device_row)";
    let wrong: i64 = sqlx::query_scalar(sql).fetch_one(&stores[0].readers).await.expect("read");
    assert_eq!(wrong, 0, "a depth is not the number of its rows");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accounts_and_devices_come_and_go_beside_their_queues() {
    let url = Server::shared().database().await;
    let store = Arc::new(roomy(&url).await);
    let mut tasks = JoinSet::new();
    for task in 0..4_u64 {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            for round in 0..15 {
                let batch = (1..=4).map(|n| append(n, task * 1_000 + round * 10 + u64::from(n))).collect();
                store.commit(QueueBatch { deletes: Vec::new(), appends: batch }).await.expect("committed");
            }
        });
    }
    for n in 1..=4 {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            for _ in 0..8 {
                store.create_account(account(n, 3)).await.expect("created");
                store.take_bundles(address(n).account).await.expect("taken").expect("found");
                assert!(store.delete_account(address(n).account).await.expect("deleted"));
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.expect("no deadlock, nothing left behind");
    }
    let sql = "SELECT (SELECT count(*) FROM queue) + (SELECT count(*) FROM devices)";
    let left: i64 = sqlx::query_scalar(sql).fetch_one(&store.readers).await.expect("read");
    assert_eq!(left, 0);
}

#[tokio::test]
async fn a_batch_is_a_fixed_number_of_statements() {
    let url = Server::shared().database().await;
    let limits = StoreLimits { queue_envelopes_max: 10_000, ..LIMITS };
    let one = PostgresOptions { limits, connections_max: std::num::NonZeroU32::MIN, ..options(&url) };
    let store = Postgres::open(&one).await.expect("opened");
    for n in 1..=4 {
        store.create_account(account(n, 0)).await.expect("created");
    }
    let mut sizes = Vec::new();
    for size in [1, 500] {
        let first = size * 1_000;
        let batch = (first..first + size).map(|n| append(1 + (n % 4) as u8, n)).collect();
        let outcomes = store.commit(appends(batch)).await.expect("committed");
        assert!(outcomes.iter().all(|outcome| matches!(outcome, AppendOutcome::Stored(_))));
        // What the one connection has prepared is what it was ever asked.
        let sql = "SELECT count(*) FROM pg_prepared_statements WHERE statement ~ 'unn[e]st'";
        let asked: i64 = sqlx::query_scalar(sql).fetch_one(&store.readers).await.expect("read");
        sizes.push(asked);
    }
    assert_eq!(sizes, [3, 3], "lock, look for repeats, insert");
}

#[tokio::test]
async fn a_load_reads_no_more_than_its_device() {
    let (store, _url) = empty().await;
    let plan: Vec<String> = sqlx::query_scalar(
        "EXPLAIN SELECT q.* FROM queue q JOIN devices d ON d.id = q.device_row
         WHERE d.tag = '\\x00' AND d.device = 1 AND q.seq > 5 AND q.expires_at > 5 ORDER BY q.seq LIMIT 65",
    )
    .fetch_all(&store.readers)
    .await
    .expect("planned");
    let plan = plan.join("\n");
    assert!(plan.contains("Index Scan using queue_load") && !plan.contains("Seq Scan"), "{plan}");
}

#[tokio::test]
async fn a_call_dropped_half_way_leaves_all_or_nothing() {
    let (_, url) = empty().await;
    let store = roomy(&url).await;
    store.create_account(account(1, 0)).await.expect("created");
    for polls in 0..60_u64 {
        let first = polls * 10;
        let mut call = store.commit(appends((first..first + 10).map(|n| append(1, n)).collect()));
        for _ in 0..polls {
            if poll_fn(|context| Poll::Ready(call.as_mut().poll(context).is_ready())).await {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_micros(50)).await;
        }
        drop(call);
        // One statement, because a dropped call may still be committed between two.
        let sql =
            "SELECT (SELECT count(*) FROM queue), (SELECT coalesce(sum(queue_depth), 0)::bigint FROM queue_depths)";
        let (rows, depth): (i64, i64) = sqlx::query_as(sql).fetch_one(&store.readers).await.expect("read");
        assert_eq!((rows % 10, depth), (0, rows));
    }
    let outcomes = store.commit(appends(vec![append(1, 100_000)])).await.expect("committed");
    assert!(matches!(outcomes[..], [AppendOutcome::Stored(_)]));
}

#[tokio::test]
async fn a_damaged_row_is_told_apart() {
    let (store, url) = empty().await;
    fill(&store).await;
    execute(&url, "UPDATE accounts SET created_at = -1").await;
    let damaged = store.account(address(1).account).await;
    assert!(matches!(damaged, Err(StoreError::Damaged { what: "time" })), "{damaged:?}");
}

#[tokio::test]
async fn a_damaged_depth_is_counted_anew() {
    let (store, url) = empty().await;
    fill(&store).await;
    execute(
        &url,
        "ALTER TABLE queue_depths DROP CONSTRAINT queue_depths_queue_depth_check, DROP CONSTRAINT queue_depths_check",
    )
    .await;
    // Gone, too small for what is deleted, and none at all.
    for damage in [
        "DELETE FROM queue_depths",
        "UPDATE queue_depths SET queue_depth = 0",
        "UPDATE queue_depths SET queue_depth = -1",
        "UPDATE queue_depths SET request_depth = 99",
        "UPDATE queue_depths SET queue_depth = 5000000000",
    ] {
        execute(&url, damage).await;
        let first = load(&store, 1).await.rows[0].seq;
        let next = append(1, 10 + first.0.unsigned_abs());
        let batch = QueueBatch { deletes: vec![(address(1), first)], appends: vec![next] };
        let outcomes = store.commit(batch).await.expect("committed");
        assert!(matches!(outcomes[..], [AppendOutcome::Stored(_)]), "{damage}: {outcomes:?}");
        let depths: Vec<(i64, i64)> = sqlx::query_as("SELECT queue_depth, request_depth FROM queue_depths")
            .fetch_all(&store.readers)
            .await
            .expect("read");
        assert_eq!(depths, [(2, 0)], "{damage}");
    }
}

#[tokio::test]
async fn a_closed_store_says_so() {
    let (store, _url) = empty().await;
    store.probe().await.expect("written");
    store.close().await;
    assert!(store.probe().await.is_err());
    assert!(store.commit(appends(vec![append(1, 1)])).await.is_err());
    assert!(store.key_counts(address(1)).await.is_err());
}
