//! Servers and databases that are not fit, and those that are.

use super::*;
use crate::postgres::open::MIGRATIONS;

#[tokio::test]
async fn a_reopened_store_has_its_rows() {
    let url = Server::shared().database().await;
    for first in [true, false] {
        let store = open(&url).await;
        if first {
            fill(&store).await;
        }
        is_filled(&store).await;
        store.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_start_at_once_migrate_once() {
    let url = Server::shared().database().await;
    let mut starts = JoinSet::new();
    for _ in 0..4 {
        let url = url.clone();
        starts.spawn(async move { open(&url).await });
    }
    let stores = starts.join_all().await;
    fill(&stores[0]).await;
    is_filled(&stores[3]).await;
    let applied: Vec<(i64, bool)> = sqlx::query_as("SELECT version, success FROM _sqlx_migrations ORDER BY version")
        .fetch_all(&stores[1].readers)
        .await
        .expect("read");
    assert_eq!(applied, MIGRATIONS.map(|(version, ..)| (version, true)));
}

#[tokio::test]
async fn an_older_schema_is_migrated_and_keeps_its_rows() {
    // What each migration can hold from its beginning on.
    const ROWS: &str = "
        INSERT INTO accounts (tag, identity_key, opaque_record, created_at)
        VALUES (decode(repeat('01', 32), 'hex'), decode(repeat('02', 33), 'hex'), '\\x03', 4);
        INSERT INTO devices (tag, device, device_key, registration_id, signed_pre_key_id, signed_pre_key_public,
            signed_pre_key_signature, last_resort_id, last_resort_public, last_resort_signature, envelope_key_id,
            envelope_key_x25519, envelope_key_ml_kem, envelope_key_signature)
        VALUES (decode(repeat('01', 32), 'hex'), 1, decode(repeat('07', 2624), 'hex'), 5, 1, '', '', 1, '', '', 1, '',
            '', '');
        INSERT INTO queue (device_row, envelope_id, accepted_at, expires_at, body)
        VALUES (1, '\\x01900000000070008000000000000001', 9, 9000000, '\\x0b0d')";
    for known in 1..=MIGRATIONS.len() {
        let url = Server::shared().database().await;
        for (_, _, sql) in &MIGRATIONS[..known] {
            execute(&url, sql).await;
        }
        execute(&url, ROWS).await;
        // As sqlx's migrator leaves it.
        execute(
            &url,
            "CREATE TABLE _sqlx_migrations (version BIGINT PRIMARY KEY, description TEXT NOT NULL,
             installed_on TIMESTAMPTZ NOT NULL DEFAULT now(), success BOOLEAN NOT NULL, checksum BYTEA NOT NULL,
             execution_time BIGINT NOT NULL)",
        )
        .await;
        for (version, name, sql) in &MIGRATIONS[..known] {
            use sqlx::SqlSafeStr as _;
            use sqlx::migrate::{Migration, MigrationType};
            let migration = Migration::new(*version, (*name).into(), MigrationType::Simple, sql.into_sql_str(), false);
            let sum: String = migration.checksum.iter().map(|byte| format!("{byte:02x}")).collect();
            let row = format!("INSERT INTO _sqlx_migrations VALUES ({version}, '{name}', now(), true, '\\x{sum}', 0)");
            execute(&url, &row).await;
        }
        let store = open(&url).await;
        assert_eq!(store.stats().await.expect("counted").schema, Postgres::newest_schema());
        let record = store.opaque_record(address(1).account).await.expect("read");
        assert_eq!(record.as_deref(), Some(&[3][..]));
        // Which it has only when it was counted by the migration.
        let depth: i64 = sqlx::query_scalar("SELECT coalesce(sum(queue_depth), 0)::bigint FROM queue_depths")
            .fetch_one(&store.readers)
            .await
            .expect("read");
        assert_eq!(depth, i64::from(known < 2), "from schema {known}");
        let page = load(&store, 1).await;
        assert_eq!((page.rows.len(), &page.rows[0].body[..]), (1, &[0x0b, 0x0d][..]));
        let outcomes = store.commit(deletes(vec![(address(1), page.rows[0].seq)])).await.expect("committed");
        assert!(outcomes.is_empty() && load(&store, 1).await.rows.is_empty());
    }
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let (store, url) = empty().await;
    store.close().await;
    execute(&url, "INSERT INTO _sqlx_migrations VALUES (77, 'later', now(), true, '\\x00', 0)").await;
    let error = refusal(&url).await;
    assert!(matches!(error, OpenError::NewerSchema { version: 77, known: 4, .. }), "{error:?}");
    assert!(error.to_string().contains("run the newer program"), "{error}");
}

#[tokio::test]
async fn a_schema_with_another_checksum_is_refused() {
    let (store, url) = empty().await;
    store.close().await;
    execute(&url, "UPDATE _sqlx_migrations SET checksum = '\\x00'").await;
    let error = refusal(&url).await;
    assert!(matches!(error, OpenError::NotAStore { .. }), "{error:?}");
}

#[tokio::test]
async fn another_programs_database_is_refused_and_kept() {
    let url = Server::shared().database().await;
    execute(&url, "CREATE TABLE accounts (name TEXT); INSERT INTO accounts VALUES ('theirs')").await;
    let error = refusal(&url).await;
    assert!(matches!(error, OpenError::NotAStore { .. }), "{error:?}");
    assert!(error.to_string().contains("name an empty database"), "{error}");
    execute(&url, "DO $$ BEGIN ASSERT (SELECT count(*) FROM accounts) = 1; END $$").await;
    execute(&url, "DO $$ BEGIN ASSERT to_regclass('_sqlx_migrations') IS NULL; END $$").await;
}

#[tokio::test]
async fn every_connection_is_durable_whatever_others_have_set() {
    let server = Server::shared();
    let url = server.database().await;
    let database = name(&url);
    server
        .execute(
            "postgres",
            &format!("ALTER DATABASE {database} SET synchronous_commit = off; ALTER DATABASE {database} SET jit = on"),
        )
        .await;
    let store = open(&format!("{url}?options=-c%20synchronous_commit%3Doff%20-c%20statement_timeout%3D0")).await;
    for (setting, expected) in [
        ("synchronous_commit", "on"),
        ("transaction_isolation", "read committed"),
        ("statement_timeout", "30s"),
        ("lock_timeout", "5s"),
        ("idle_in_transaction_session_timeout", "10s"),
        ("application_name", "endtoend"),
        ("jit", "off"),
    ] {
        let sql = sqlx::AssertSqlSafe(format!("SHOW {setting}"));
        let value: String = sqlx::query_scalar(sql).fetch_one(&store.readers).await.expect("read");
        assert_eq!(value, expected, "{setting}");
    }
}

#[tokio::test]
async fn a_server_that_forgets_is_refused() {
    // The one for tests has no fsync.
    let url = Server::shared().database().await;
    let error = Postgres::open(&PostgresOptions { allow_unsafe_server: false, ..options(&url) }).await;
    let error = error.expect_err("refused");
    assert!(matches!(error, OpenError::UnsafeServer { setting: "fsync", .. }), "{error:?}");
    assert!(error.to_string().contains("turn it on in postgresql.conf"), "{error}");
}

#[tokio::test]
async fn what_is_in_the_way_is_named_without_the_password() {
    let server = Server::shared();
    let url = server.database().await;
    let database = name(&url);
    server.execute("postgres", "CREATE ROLE guest LOGIN PASSWORD 'hunter2'").await;
    let guest = server.tcp_url(database, "hunter2").replace(server.user(), "guest");
    let closed = { std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("a port").port() };
    let cases = [
        (server.tcp_url(database, "hunter2"), "refused the login", "PGPASSFILE"),
        (server.tcp_url("missing", Server::PASSWORD), "does not exist", "createdb"),
        (guest, "may not create tables", "owner of the database"),
        (format!("postgres://alice:hunter2@127.0.0.1:{closed}/e2e"), "does not answer", "PostgreSQL runs there"),
        (format!("{}?sslmode=verify-full", server.tcp_url(database, "hunter2")), "is not safe", "sslrootcert"),
    ];
    for (url, what, advice) in cases {
        let error = refusal(&url).await;
        let text = error.to_string();
        assert!(text.contains(what) && text.contains(advice), "{text}");
        for secret in ["hunter2", "%68%75%6E%74%65%72%32", Server::PASSWORD] {
            assert!(!format!("{error:?} {text}").contains(secret), "{error:?}");
        }
    }
}
