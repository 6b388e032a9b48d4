//! The conformance suite over SQLite, and what only a file can get wrong.

use std::future::poll_fn;
use std::path::{Path, PathBuf};
use std::task::Poll;

use bytes::Bytes;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, SqlSafeStr as _, SqliteConnection};
use tempfile::TempDir;

use super::open::MIGRATIONS;
use super::{OpenError, Sqlite};
use crate::conformance::{LIMITS, account, address, append, appends, deletes, load};
use crate::{AccountStore, Append, AppendOutcome, KeyStore, Maintenance as _, QueueStore, StoreLimits};

async fn empty() -> (Sqlite, TempDir) {
    let folder = TempDir::new().expect("a folder");
    (open(&file(&folder)).await, folder)
}

crate::conformance::conformance_tests!(empty);

fn file(folder: &TempDir) -> PathBuf {
    folder.path().join("store.db")
}

async fn open(path: &Path) -> Sqlite {
    Sqlite::open(path, LIMITS).await.expect("opened")
}

async fn refusal(path: &Path) -> OpenError {
    Sqlite::open(path, LIMITS).await.expect_err("refused")
}

/// A closed store with an account and two envelopes.
async fn filled(path: &Path) {
    let store = open(path).await;
    fill(&store).await;
    store.close().await;
}

async fn fill(store: &Sqlite) {
    store.create_account(account(1, 5)).await.expect("created");
    store.commit(appends(vec![append(1, 1), append(1, 2)])).await.expect("committed");
}

async fn is_filled(store: &Sqlite) {
    assert_eq!(load(store, 1).await.rows.len(), 2);
    assert_eq!(store.key_counts(address(1)).await.expect("read").one_time, 5);
    let again = store.commit(appends(vec![append(1, 1)])).await.expect("committed");
    assert!(matches!(again[..], [AppendOutcome::Repeat(_)]), "{again:?}");
}

async fn raw(path: &Path) -> SqliteConnection {
    SqliteConnectOptions::new().filename(path).create_if_missing(true).connect().await.expect("connected")
}

async fn scalar(store: &Sqlite, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(&store.readers).await.expect("read")
}

#[tokio::test]
async fn nothing_secret_is_shown() {
    let (store, _folder) = empty().await;
    let account = account(7, 2);
    let shown = [
        ("an account", format!("{account:?}")),
        ("the store", format!("{store:?}")),
        ("an append", format!("{:?}", append(7, 1))),
    ];
    store.create_account(account).await.expect("created");
    for (what, text) in shown {
        assert!(!text.contains("7, 7, 7") && !text.contains("\\x07\\x07\\x07"), "{what}: {text}");
    }
}

#[tokio::test]
async fn a_reopened_store_has_its_rows() {
    let folder = TempDir::new().expect("a folder");
    filled(&file(&folder)).await;
    for _ in 0..2 {
        let store = open(&file(&folder)).await;
        is_filled(&store).await;
        store.close().await;
    }
}

#[tokio::test]
async fn what_was_committed_survives_a_kill() {
    // The files as they are when a commit returns are what a killed process leaves.
    let (store, folder) = empty().await;
    fill(&store).await;
    let copy = TempDir::new().expect("a folder");
    for suffix in ["", "-wal"] {
        let name = format!("store.db{suffix}");
        std::fs::copy(folder.path().join(&name), copy.path().join(&name)).expect("copied");
    }
    is_filled(&open(&file(&copy)).await).await;
    store.close().await;
}

#[tokio::test]
async fn a_closed_store_is_one_file() {
    let folder = TempDir::new().expect("a folder");
    filled(&file(&folder)).await;
    let names: Vec<_> = folder.path().read_dir().expect("a folder").map(|e| e.expect("an entry").file_name()).collect();
    assert_eq!(names, ["store.db"]);
}

#[tokio::test]
async fn every_connection_is_durable_and_strict() {
    let (store, _folder) = empty().await;
    for pool in [&store.writer, &store.readers] {
        let text: String = sqlx::query_scalar("PRAGMA journal_mode").fetch_one(pool).await.expect("read");
        assert_eq!(text, "wal");
        for (pragma, expected) in [("PRAGMA synchronous", 2), ("PRAGMA foreign_keys", 1), ("PRAGMA busy_timeout", 5000)]
        {
            let value: i64 = sqlx::query_scalar(pragma).fetch_one(pool).await.expect("read");
            assert_eq!(value, expected, "{pragma}");
        }
    }
    assert!(sqlx::query("DELETE FROM queue").execute(&store.readers).await.is_err(), "readers cannot write");
    let loose = scalar(&store, "SELECT count(*) FROM pragma_table_list WHERE strict = 0 AND name IN ('accounts', 'devices', 'one_time_pre_keys', 'queue', 'queue_depths')").await;
    assert_eq!(loose, 0);
}

#[cfg(unix)]
#[tokio::test]
async fn only_the_owner_reads_the_files() {
    use std::os::unix::fs::PermissionsExt;
    let folder = TempDir::new().expect("a folder");
    filled(&file(&folder)).await;
    std::fs::set_permissions(file(&folder), std::fs::Permissions::from_mode(0o644)).expect("changed");
    let store = open(&file(&folder)).await;
    store.commit(appends(vec![append(1, 3)])).await.expect("committed");
    for suffix in ["", "-wal", "-shm"] {
        let found = std::fs::metadata(folder.path().join(format!("store.db{suffix}"))).expect("there");
        assert_eq!(found.permissions().mode() & 0o777, 0o600, "{suffix}");
    }
    store.close().await;
}

#[tokio::test]
async fn a_load_reads_no_more_than_its_device() {
    let (store, _folder) = empty().await;
    let plan: Vec<(i64, i64, i64, String)> = sqlx::query_as(
        "EXPLAIN QUERY PLAN SELECT seq, length(body) FROM queue
         WHERE device_row = ?1 AND seq > ?2 AND expires_at > ?3 ORDER BY seq LIMIT ?4",
    )
    .fetch_all(&store.readers)
    .await
    .expect("planned");
    let plan: Vec<_> = plan.into_iter().map(|(.., step)| step).collect();
    assert_eq!(plan, ["SEARCH queue USING INDEX queue_load (device_row=? AND seq>?)"]);
}

#[tokio::test]
async fn no_column_names_a_sender() {
    let (store, _folder) = empty().await;
    let columns: Vec<(String, String)> = sqlx::query_as(
        "SELECT t.name, c.name FROM sqlite_schema t JOIN pragma_table_info(t.name) c
         WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite_%' AND t.name <> '_sqlx_migrations' ORDER BY t.name, c.cid",
    )
    .fetch_all(&store.readers)
    .await
    .expect("read");
    for (table, column) in &columns {
        for word in ["sender", "from", "source", "author", "origin", "peer", "handle", "client"] {
            assert!(!column.contains(word), "{table}.{column} may name a sender");
        }
    }
    // A new column of the queue has to be weighed here, whatever its name.
    let queue: Vec<_> = columns.iter().filter(|(table, _)| table == "queue").map(|(_, column)| &column[..]).collect();
    assert_eq!(queue, ["seq", "device_row", "envelope_id", "accepted_at", "expires_at", "body", "tray"]);
}

// --- failures while running ---

#[tokio::test]
async fn a_full_disk_rolls_back_whole_and_passes() {
    let (store, _folder) = empty().await;
    fill(&store).await;
    let pages = scalar(&store, "SELECT page_count + 20 FROM pragma_page_count").await;
    let limit = format!("PRAGMA max_page_count = {pages}");
    sqlx::query(sqlx::AssertSqlSafe(limit)).execute(&store.writer).await.expect("limited");

    let large = Append { body: Bytes::from(vec![0; 200_000]), ..append(1, 4) };
    let failed = store.commit(appends(vec![append(1, 3), large])).await;
    assert!(matches!(failed, Err(crate::StoreError::Unavailable(_))), "{failed:?}");
    is_filled(&store).await;
    let outcomes = store.commit(appends(vec![append(1, 3), append(1, 4)])).await.expect("committed");
    assert!(matches!(outcomes[..], [AppendOutcome::Stored(_), AppendOutcome::Stored(_)]), "{outcomes:?}");
}

#[tokio::test]
async fn a_call_dropped_half_way_leaves_all_or_nothing() {
    let folder = TempDir::new().expect("a folder");
    let limits = StoreLimits { queue_envelopes_max: 10_000, ..LIMITS };
    let store = Sqlite::open(&file(&folder), limits).await.expect("opened");
    store.create_account(account(1, 0)).await.expect("created");
    for polls in 0..60_u64 {
        let first = polls * 10;
        let mut call = store.commit(appends((first..first + 10).map(|n| append(1, n)).collect()));
        for _ in 0..polls {
            if poll_fn(|context| Poll::Ready(call.as_mut().poll(context).is_ready())).await {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(call);
        // One statement, because a dropped call may still be committed between two.
        let sql = "SELECT (SELECT count(*) FROM queue), (SELECT coalesce(sum(queue_depth), 0) FROM queue_depths)";
        let (rows, depth): (i64, i64) = sqlx::query_as(sql).fetch_one(&store.readers).await.expect("read");
        assert_eq!((rows % 10, depth), (0, rows));
    }
    let outcomes = store.commit(appends(vec![append(1, 100_000)])).await.expect("committed");
    assert!(matches!(outcomes[..], [AppendOutcome::Stored(_)]));
}

#[tokio::test]
async fn a_damaged_depth_is_counted_anew() {
    let (store, folder) = empty().await;
    fill(&store).await;
    let mut other = raw(&file(&folder)).await;
    sqlx::raw_sql("PRAGMA ignore_check_constraints = ON").execute(&mut other).await.expect("set");
    // Gone, too small for what is deleted, and none at all.
    for damage in [
        "DELETE FROM queue_depths",
        "UPDATE queue_depths SET queue_depth = 0",
        "UPDATE queue_depths SET queue_depth = -1",
        "UPDATE queue_depths SET request_depth = 99",
        "UPDATE queue_depths SET queue_depth = 5000000000",
    ] {
        sqlx::query(damage).execute(&mut other).await.expect("damaged");
        let first = load(&store, 1).await.rows[0].seq;
        let next = append(1, 10 + first.0.unsigned_abs());
        let batch = crate::QueueBatch { deletes: vec![(address(1), first)], appends: vec![next] };
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
async fn a_probe_is_a_write_that_changes_nothing() {
    let (store, folder) = empty().await;
    fill(&store).await;
    let log = || folder.path().join("store.db-wal").metadata().expect("a log").len();
    let (bytes, id) = (log(), scalar(&store, "PRAGMA application_id").await);
    store.probe().await.expect("written");
    assert!(log() > bytes, "nothing was written");
    assert_eq!(scalar(&store, "PRAGMA application_id").await, id);
    is_filled(&store).await;

    let mut other = raw(&file(&folder)).await;
    sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.expect("locked");
    assert!(matches!(store.probe().await, Err(crate::StoreError::Unavailable(_))));
    sqlx::query("ROLLBACK").execute(&mut other).await.expect("free");
    store.probe().await.expect("written");
    store.close().await;
    assert!(store.probe().await.is_err());
}

#[tokio::test]
async fn a_closed_store_says_so() {
    let (store, _folder) = empty().await;
    store.close().await;
    assert!(store.commit(appends(vec![append(1, 1)])).await.is_err());
    assert!(store.key_counts(address(1)).await.is_err());
}

// --- files that are not ours, or not whole ---

/// The store refuses the file and leaves its bytes as they are.
async fn refuses_untouched(path: &Path) {
    let log = path.with_file_name("store.db-wal");
    let (before, logged) = (std::fs::read(path).expect("read"), log.exists());
    let error = refusal(path).await;
    assert!(matches!(error, OpenError::NotADatabase { .. }), "{error:?}");
    assert!(error.to_string().contains("restore it from a backup"), "{error}");
    assert!(std::fs::read(path).expect("read") == before, "the file was changed");
    assert_eq!(log.exists(), logged, "a connection is still open");
}

#[tokio::test]
async fn garbage_is_refused_and_kept() {
    let folder = TempDir::new().expect("a folder");
    for garbage in [b"x".to_vec(), b"not a database".repeat(1000), vec![0; 8192], Vec::new()] {
        std::fs::write(file(&folder), garbage).expect("written");
        refuses_untouched(&file(&folder)).await;
    }
}

#[tokio::test]
async fn a_truncated_file_is_refused_and_kept() {
    let folder = TempDir::new().expect("a folder");
    filled(&file(&folder)).await;
    let whole = std::fs::read(file(&folder)).expect("read");
    for length in [1, 99, 100, 4096, 5000, whole.len() / 2, whole.len() - 4096, whole.len() - 1] {
        std::fs::write(file(&folder), &whole[..length]).expect("written");
        refuses_untouched(&file(&folder)).await;
    }
    // An empty log mends nothing.
    std::fs::write(file(&folder), &whole[..whole.len() - 1]).expect("written");
    std::fs::write(folder.path().join("store.db-wal"), []).expect("written");
    refuses_untouched(&file(&folder)).await;
    std::fs::write(file(&folder), whole).expect("written");
    is_filled(&open(&file(&folder)).await).await;
}

#[tokio::test]
async fn a_damaged_page_is_refused_and_kept() {
    let folder = TempDir::new().expect("a folder");
    filled(&file(&folder)).await;
    let mut bytes = std::fs::read(file(&folder)).expect("read");
    bytes[4096..8192].fill(0xa5);
    std::fs::write(file(&folder), bytes).expect("written");
    refuses_untouched(&file(&folder)).await;
}

#[tokio::test]
async fn a_log_without_its_file_is_kept() {
    let (store, folder) = empty().await;
    fill(&store).await;
    let copy = TempDir::new().expect("a folder");
    let log = copy.path().join("store.db-wal");
    std::fs::copy(folder.path().join("store.db-wal"), &log).expect("copied");
    let error = refusal(&file(&copy)).await;
    assert!(matches!(error, OpenError::NotADatabase { .. }), "{error:?}");
    assert!(std::fs::metadata(&log).expect("there").len() > 0);
    assert!(!file(&copy).exists());
}

#[tokio::test]
async fn another_programs_database_is_refused_and_kept() {
    let folder = TempDir::new().expect("a folder");
    let mut other = raw(&file(&folder)).await;
    sqlx::query("CREATE TABLE bookmarks (url TEXT)").execute(&mut other).await.expect("created");
    other.close().await.expect("closed");
    refuses_untouched(&file(&folder)).await;
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let folder = TempDir::new().expect("a folder");
    filled(&file(&folder)).await;
    let mut newer = raw(&file(&folder)).await;
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (7, 'later', TRUE, x'00', 0)",
    )
    .execute(&mut newer)
    .await
    .expect("written");
    newer.close().await.expect("closed");
    let error = refusal(&file(&folder)).await;
    assert!(matches!(error, OpenError::NewerSchema { version: 7, known: 4, .. }), "{error:?}");
    assert!(error.to_string().contains("run the newer program"), "{error}");
}

#[tokio::test]
async fn migrations_run_once_from_version_one() {
    let folder = TempDir::new().expect("a folder");
    let applied = async || -> Vec<(i64, bool, Vec<u8>, String)> {
        let store = open(&file(&folder)).await;
        let sql = "SELECT version, success, checksum, installed_on FROM _sqlx_migrations ORDER BY version";
        let rows = sqlx::query_as(sql).fetch_all(&store.readers).await.expect("read");
        store.close().await;
        rows
    };
    let first = applied().await;
    let versions: Vec<_> = first.iter().map(|(version, success, ..)| (*version, *success)).collect();
    assert_eq!(versions, [(1, true), (2, true), (3, true), (4, true)]);
    assert_eq!(applied().await, first);
}

#[tokio::test]
async fn an_older_schema_is_migrated_and_keeps_its_rows() {
    // What each schema can hold from its beginning on.
    const ROWS: &str = "
        INSERT INTO accounts (tag, identity_key, opaque_record, created_at)
        VALUES (unhex('0101010101010101010101010101010101010101010101010101010101010101'), x'02', x'03', 4);
        INSERT INTO devices (tag, device, device_key, registration_id, signed_pre_key_id, signed_pre_key_public,
            signed_pre_key_signature, last_resort_id, last_resort_public, last_resort_signature, envelope_key_id,
            envelope_key_x25519, envelope_key_ml_kem, envelope_key_signature)
        SELECT tag, 1, x'07', 5, 1, x'', x'', 1, x'', x'', 1, x'', x'', x'' FROM accounts;
        INSERT INTO queue (device_row, envelope_id, accepted_at, expires_at, body)
        VALUES (1, unhex('01900000000070008000000000000001'), 9, 9000000, x'0b0d')";
    for known in 1..=MIGRATIONS.len() {
        let folder = TempDir::new().expect("a folder");
        // As a program that knew so many has left it.
        let mut older = raw(&file(&folder)).await;
        sqlx::query("PRAGMA journal_mode = WAL").execute(&mut older).await.expect("begun");
        let migrations = MIGRATIONS[..known].iter().map(|&(version, name, sql)| {
            Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
        });
        let migrator = Migrator::with_migrations(migrations.collect());
        migrator.run_direct(None, &mut older, false).await.expect("migrated");
        sqlx::raw_sql(ROWS).execute(&mut older).await.expect("filled");
        older.close().await.expect("closed");

        let store = open(&file(&folder)).await;
        assert_eq!(store.stats().await.expect("counted").schema, Sqlite::newest_schema());
        let record = store.opaque_record(address(1).account).await.expect("read");
        assert_eq!(record.as_deref(), Some(&[3][..]));
        // Which it has only when it was counted by the migration.
        let depth = scalar(&store, "SELECT coalesce(sum(queue_depth), 0) FROM queue_depths").await;
        assert_eq!(depth, i64::from(known < 3), "from schema {known}");
        let page = load(&store, 1).await;
        assert_eq!((page.rows.len(), &page.rows[0].body[..]), (1, &[0x0b, 0x0d][..]));
        let outcomes = store.commit(deletes(vec![(address(1), page.rows[0].seq)])).await.expect("committed");
        assert!(outcomes.is_empty() && load(&store, 1).await.rows.is_empty());
    }
}

#[tokio::test]
async fn a_schema_with_another_checksum_is_refused() {
    let folder = TempDir::new().expect("a folder");
    filled(&file(&folder)).await;
    let mut changed = raw(&file(&folder)).await;
    sqlx::query("UPDATE _sqlx_migrations SET checksum = x'00'").execute(&mut changed).await.expect("written");
    changed.close().await.expect("closed");
    refuses_untouched(&file(&folder)).await;
}

#[tokio::test]
async fn an_interrupted_first_start_is_completed() {
    let folder = TempDir::new().expect("a folder");
    let mut begun = raw(&file(&folder)).await;
    sqlx::query("PRAGMA journal_mode = WAL").execute(&mut begun).await.expect("begun");
    begun.close().await.expect("closed");
    let store = open(&file(&folder)).await;
    fill(&store).await;
    is_filled(&store).await;
}

#[tokio::test]
async fn a_first_start_that_failed_can_be_repeated() {
    let folder = TempDir::new().expect("a folder");
    // As on a full disk, the file can be made and its first page cannot be written.
    let obstacle = folder.path().join("store.db-journal");
    std::fs::create_dir(&obstacle).expect("created");
    refusal(&file(&folder)).await;
    assert!(!file(&folder).exists(), "an empty file would be refused as truncated");
    std::fs::remove_dir(obstacle).expect("removed");
    let store = open(&file(&folder)).await;
    fill(&store).await;
    is_filled(&store).await;
}

/// Somebody else holds the file while it is opened, and afterwards lets it go.
async fn refuses_while_locked(lock: &[&'static str]) {
    let folder = TempDir::new().expect("a folder");
    filled(&file(&folder)).await;
    let mut other = raw(&file(&folder)).await;
    for statement in lock {
        sqlx::query(*statement).execute(&mut other).await.expect("locked");
    }
    let error = refusal(&file(&folder)).await;
    assert!(matches!(error, OpenError::Locked { .. }), "{error:?}");
    assert!(error.to_string().contains("stop it"), "{error}");
    sqlx::query("ROLLBACK").execute(&mut other).await.expect("unlocked");
    other.close().await.expect("closed");
    is_filled(&open(&file(&folder)).await).await;
}

#[tokio::test]
async fn a_file_being_written_is_reported() {
    refuses_while_locked(&["BEGIN IMMEDIATE"]).await;
}

#[tokio::test]
async fn a_file_locked_for_one_program_is_reported() {
    refuses_while_locked(&["PRAGMA locking_mode = EXCLUSIVE", "BEGIN EXCLUSIVE"]).await;
}

#[tokio::test]
async fn an_unwritable_place_is_reported() {
    let folder = TempDir::new().expect("a folder");
    std::fs::write(folder.path().join("taken"), "a regular file").expect("written");
    for place in ["taken/store.db", "missing/store.db"] {
        let error = refusal(&folder.path().join(place)).await;
        assert!(matches!(error, OpenError::NotWritable { .. }), "{error:?}");
        assert!(error.to_string().contains("create its folder"), "{error}");
    }
}
