//! How fast do the two stores take envelopes and give them back, beside bare batched statements of the same database?
//!
//! Envelopes of 2 304 bytes for 8 devices. Taken: 512 to a commit, with fsync. Given back: pages of 64, one device after the
//! other, and deleted 512 to a commit. The limit is one table of nothing but numbers and bodies, written and read in the
//! same portions through the same driver or a thinner one, in turns with ours.
#![expect(clippy::unwrap_used, reason = "a measurement that fails should stop")]

use std::path::Path;

use bytes::Bytes;
use endtoend_benches::{Effort, Stopwatch, within};
use endtoend_protocol::{AccountTag, Address, DeviceId, EnvelopeId, UnixMillis};
use endtoend_storage::{
    Append, AppendOutcome, NewAccount, PageLimits, Postgres, PostgresOptions, QueueBatch, Seq, Sqlite, Store,
    StoreLimits, Tray,
};
use endtoend_testkit::noise_device;
use endtoend_testkit_postgres::{Server, Settings};
use rusqlite::params;
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::runtime::{Builder, Runtime};

const BYTES: usize = 2_304;
const DEVICES: u8 = 8;
/// Of one commit.
const BATCH: usize = 512;
/// Of one page.
const PAGE: u32 = 64;
const NOW: UnixMillis = UnixMillis::new(1_800_000_000_000);

/// How much is measured.
#[derive(Clone, Copy)]
struct Size {
    batches: usize,
    rounds: usize,
}

impl Size {
    const fn of(effort: Effort) -> Self {
        match effort {
            Effort::Whole => Self { batches: 32, rounds: 5 },
            Effort::Rehearsal => Self { batches: 1, rounds: 1 },
        }
    }

    const fn envelopes(self) -> usize {
        self.batches * BATCH
    }

    fn per_second(self, watch: Stopwatch) -> f64 {
        self.envelopes() as f64 / watch.elapsed().as_secs_f64()
    }
}

/// Envelopes taken and given back, per second.
#[derive(Clone, Copy)]
struct Rates {
    taken: f64,
    given: f64,
}

fn main() {
    let size = Size::of(Effort::asked());
    println!(
        "{} envelopes of {BYTES} bytes in each of {} rounds; medians; ratio = ours / limit\n",
        size.envelopes(),
        size.rounds
    );
    println!("{:<28} {:>12} {:>12} {:>7}", "envelopes per second", "limit", "ours", "ratio");
    let runtime = Builder::new_multi_thread().enable_all().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let store = runtime.block_on(within("SQLite opens", Sqlite::open(&path, roomy()))).unwrap();
    let bare = |round| bare_file(&folder.path().join(format!("bare{round}.db")), size);
    compare("SQLite", &runtime, &store, size, bare);

    let server = Server::start(Settings { durable: true });
    let url = runtime.block_on(within("a database is made", server.database()));
    let options = PostgresOptions::new(url.parse().unwrap(), roomy());
    let store = runtime.block_on(within("PostgreSQL opens", Postgres::open(&options))).unwrap();
    compare("PostgreSQL", &runtime, &store, size, |_| {
        let url = runtime.block_on(within("a database is made", server.database()));
        runtime.block_on(within("a round of bare statements", bare_database(&url, size)))
    });
    runtime.block_on(within("PostgreSQL closes", store.close()));
}

fn roomy() -> StoreLimits {
    StoreLimits { queue_envelopes_max: u32::MAX >> 1, ..StoreLimits::default() }
}

fn compare(name: &str, runtime: &Runtime, store: &dyn Store, size: Size, mut bare: impl FnMut(usize) -> Rates) {
    runtime.block_on(within("devices are registered", register(store)));
    let (mut limits, mut ours) = (Vec::new(), Vec::new());
    for round in 0..size.rounds {
        limits.push(bare(round));
        ours.push(runtime.block_on(within("a round of ours", take_and_give(store, size, round))));
    }
    for (what, of) in [("taken", (|rates| rates.taken) as fn(Rates) -> f64), ("given back and deleted", |r| r.given)] {
        let (limit, ours) = (median(&limits, of), median(&ours, of));
        println!("{:<28} {limit:>12.0} {ours:>12.0} {:>7.2}", format!("{name}: {what}"), ours / limit);
    }
}

fn median(rates: &[Rates], of: fn(Rates) -> f64) -> f64 {
    let mut rates: Vec<f64> = rates.iter().copied().map(of).collect();
    rates.sort_by(f64::total_cmp);
    rates.get(rates.len() / 2).copied().unwrap_or_default()
}

fn device(number: u8) -> Address {
    Address { account: AccountTag::new([number; 32]), device: DeviceId::FIRST }
}

async fn register(store: &dyn Store) {
    for number in 0..DEVICES {
        let device_key = Bytes::from(vec![number; endtoend_protocol::limits::DEVICE_KEY_BYTES]);
        let new = NewAccount {
            tag: device(number).account,
            opaque_record: Bytes::from_static(&[7; 192]),
            device: noise_device(device_key),
            invite: None,
            created_at: NOW,
        };
        store.create_account(new).await.unwrap();
    }
}

async fn take_and_give(store: &dyn Store, size: Size, round: usize) -> Rates {
    let body = Bytes::from(vec![7; BYTES]);
    let batches: Vec<QueueBatch> = (0..size.batches)
        .map(|batch| {
            let appends = (0..BATCH).map(|row| append(round, batch * BATCH + row, body.clone())).collect();
            QueueBatch { appends, deletes: Vec::new() }
        })
        .collect();
    let watch = Stopwatch::start();
    for batch in batches {
        let outcomes = store.commit(batch).await.unwrap();
        let other = outcomes.iter().find(|outcome| !matches!(outcome, AppendOutcome::Stored(_)));
        assert_eq!(other, None, "each envelope is new and has room");
    }
    let taken = size.per_second(watch);

    let limits = PageLimits { rows: PAGE, bytes: 1024 * 1024 };
    let (watch, mut deletes, mut given) = (Stopwatch::start(), Vec::new(), 0);
    for number in 0..DEVICES {
        let mut after = Seq(0);
        loop {
            let page = store.load(device(number), after, limits, NOW).await.unwrap();
            given += page.rows.len();
            deletes.extend(page.rows.iter().map(|row| (device(number), row.seq)));
            after = page.rows.last().map_or(after, |row| row.seq);
            let end = !page.more;
            if deletes.len() >= BATCH || end {
                let deletes = std::mem::take(&mut deletes);
                store.commit(QueueBatch { deletes, appends: Vec::new() }).await.unwrap();
            }
            if end {
                break;
            }
        }
    }
    assert_eq!(given, size.envelopes());
    Rates { taken, given: size.per_second(watch) }
}

fn append(round: usize, row: usize, body: Bytes) -> Append {
    // In the last bytes: an id has its version and variant in the first ones.
    let [a, b, c, d, e, f, g, h] = (row as u64).to_be_bytes();
    let random = [0, 0, a, b, c, d, e, f, g, h];
    let at = NOW.plus(std::time::Duration::from_millis(round as u64));
    Append {
        to: device((row % usize::from(DEVICES)) as u8),
        tray: Tray::Contacts,
        id: EnvelopeId::new(at, random),
        body,
        accepted_at: at,
        expires_at: at.plus(endtoend_protocol::limits::QUEUE_AGE_MAX),
    }
}

/// Bare statements, prepared once.
fn bare_file(path: &Path, size: Size) -> Rates {
    let mut database = rusqlite::Connection::open(path).unwrap();
    let table = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
         CREATE TABLE bare (seq INTEGER PRIMARY KEY, body BLOB NOT NULL)";
    database.execute_batch(table).unwrap();
    let body = vec![7_u8; BYTES];
    let watch = Stopwatch::start();
    for _ in 0..size.batches {
        let transaction = database.transaction().unwrap();
        let mut insert = transaction.prepare_cached("INSERT INTO bare (body) VALUES (?)").unwrap();
        (0..BATCH).for_each(|_| assert_eq!(insert.execute(params![body]).unwrap(), 1));
        drop(insert);
        transaction.commit().unwrap();
    }
    let taken = size.per_second(watch);
    let (watch, mut last) = (Stopwatch::start(), 0_i64);
    for _ in 0..size.batches {
        for _ in 0..BATCH / PAGE as usize {
            let mut select =
                database.prepare_cached("SELECT seq, body FROM bare WHERE seq > ? ORDER BY seq LIMIT ?").unwrap();
            let rows = select.query_map(params![last, PAGE], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
            let rows: Vec<(i64, Vec<u8>)> = rows.map(Result::unwrap).collect();
            last = rows.last().unwrap().0;
        }
        database.execute("DELETE FROM bare WHERE seq <= ?", params![last]).unwrap();
    }
    Rates { taken, given: size.per_second(watch) }
}

/// A statement for a batch, whose rows travel as one array.
async fn bare_database(url: &str, size: Size) -> Rates {
    let options: sqlx::postgres::PgConnectOptions = url.parse().unwrap();
    let mut database = options.disable_statement_logging().connect().await.unwrap();
    let table = "CREATE TABLE bare (seq BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, body BYTEA NOT NULL)";
    sqlx::query(table).execute(&mut database).await.unwrap();
    let bodies = vec![vec![7_u8; BYTES]; BATCH];
    let watch = Stopwatch::start();
    for _ in 0..size.batches {
        let insert = sqlx::query("INSERT INTO bare (body) SELECT unnest($1::bytea[])").bind(&bodies);
        insert.execute(&mut database).await.unwrap();
    }
    let taken = size.per_second(watch);
    let (watch, mut last) = (Stopwatch::start(), 0_i64);
    for _ in 0..size.batches {
        for _ in 0..BATCH / PAGE as usize {
            let select = sqlx::query_as("SELECT seq, body FROM bare WHERE seq > $1 ORDER BY seq LIMIT $2");
            let rows: Vec<(i64, Vec<u8>)> =
                select.bind(last).bind(i64::from(PAGE)).fetch_all(&mut database).await.unwrap();
            last = rows.last().unwrap().0;
        }
        sqlx::query("DELETE FROM bare WHERE seq <= $1").bind(last).execute(&mut database).await.unwrap();
    }
    let given = size.per_second(watch);
    database.close().await.unwrap();
    Rates { taken, given }
}
