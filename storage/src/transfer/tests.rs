use std::path::Path;

use endtoend_protocol::BlobId;
use endtoend_testkit_postgres::Server;

use super::*;
use crate::conformance::{LIMITS, NOW, account, address, append, appends, deletes, load};
use crate::{
    AuditEntry, AuditKey, AuditStore as _, AuditVerdict, Blob, BlobSecretHash, BudgetHash, Family, FamilyId, Invite,
    InviteHash, LinkId, Maintenance as _, PeerHash, Postgres, PostgresOptions, Relation, Seq, Spend, Sqlite, Store,
    StoreLimits, verify_audit,
};

const ROOMY: StoreLimits = StoreLimits { queue_envelopes_max: 10_000, ..LIMITS };

async fn in_file(path: &Path) -> Sqlite {
    Sqlite::open(path, ROOMY).await.unwrap()
}

async fn in_database() -> (Postgres, String) {
    let url = Server::shared().database().await;
    let options = PostgresOptions::new(url.parse().unwrap(), ROOMY);
    (Postgres::open(&PostgresOptions { allow_unsafe_server: true, ..options }).await.unwrap(), url)
}

fn audit_key() -> AuditKey {
    AuditKey::new(&[7; 32])
}

/// Something in every table, several pages in some, and numbers that were given and whose rows are gone.
async fn fill(store: &dyn Store) {
    for n in 1..=3 {
        store.create_account(account(n, 40)).await.unwrap();
    }
    for begin in [0, 100] {
        store.commit(appends((begin..begin + 100).map(|n| append(1, n)).collect())).await.unwrap();
    }
    let page = load(store, 1).await;
    let (first, last) = (page.rows.first().unwrap().seq, page.rows.last().unwrap().seq);
    store.commit(deletes(vec![(address(1), first), (address(1), last)])).await.unwrap();
    store.take_bundles(address(2).account).await.unwrap().unwrap();
    let later = NOW.plus(std::time::Duration::from_secs(60));
    let family = Family {
        id: FamilyId([3; 16]),
        device: address(1),
        generation: 4,
        token_hash: [5; 32],
        previous_hash: None,
        created_at: NOW,
        refreshed_at: NOW,
        expires_at: later,
    };
    store.put_family(family).await.unwrap();
    let invite = Invite {
        hash: InviteHash([6; 32]),
        note: "für den Chor".to_owned(),
        uses_max: 3,
        uses_left: 2,
        created_at: NOW,
        expires_at: later,
    };
    store.put_invite(invite).await.unwrap();
    store.set_relation(address(1).account, PeerHash([8; 32]), Some(Relation::Blocked)).await.unwrap();
    store.set_relation(address(1).account, PeerHash([9; 32]), Some(Relation::Accepted)).await.unwrap();
    store.put_link(LinkId([1; 16]), vec![2; 40].into(), NOW, later).await.unwrap();
    let blob =
        Blob { id: BlobId([4; 16]), secret_hash: BlobSecretHash([5; 32]), bytes: 1_000, have: 0, expires_at: later };
    let cost = std::time::Duration::from_secs(1);
    let spend = Spend { owner: BudgetHash([6; 32]), cost, budget: cost };
    store.open_blob(blob, spend, NOW).await.unwrap();
    assert!(store.blob_grew(blob.id, 0, 400).await.unwrap());
    let entry = |n: u64| AuditEntry {
        at: NOW,
        account: n.is_multiple_of(2).then(|| audit_key().pseudonym(address(1).account)),
        device: None,
        event: format!("event.number{n}"),
        outcome: "ok".to_owned(),
        signals: String::new(),
    };
    store.append_audit(&audit_key(), (0..200).map(entry).collect()).await.unwrap();
    store.prune_audit(NOW.plus(std::time::Duration::from_secs(1)), 20).await.unwrap();
}

async fn is_filled(store: &dyn Store) {
    assert_eq!(load(store, 1).await.rows.len(), 198);
    assert_eq!(store.key_counts(address(1)).await.unwrap().one_time, 40);
    assert!(store.identity(address(3).account).await.unwrap().is_some());
    assert_eq!(store.family(FamilyId([3; 16])).await.unwrap().unwrap().generation, 4);
    assert_eq!(store.invites(NOW).await.unwrap()[0].note, "für den Chor");
    assert_eq!(store.blob(BlobId([4; 16]), NOW).await.unwrap().unwrap().have, 400);
    assert_eq!(verify_audit(store, &audit_key()).await.unwrap(), AuditVerdict::Intact { rows: 180 });
}

/// Envelopes that come now get places after all that ever were.
async fn goes_on(store: &dyn Store) {
    let outcomes = store.commit(appends(vec![append(2, 900)])).await.unwrap();
    assert_eq!(outcomes[..], [crate::AppendOutcome::Stored(Seq(201))]);
    let repeat = store.commit(appends(vec![append(1, 50)])).await.unwrap();
    assert!(matches!(repeat[..], [crate::AppendOutcome::Repeat(_)]), "{repeat:?}");
    store.create_account(account(4, 5)).await.unwrap();
    store.append_audit(&audit_key(), Vec::new()).await.unwrap();
}

#[tokio::test]
async fn everything_goes_there_and_back() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (folder.path().join("first.db"), folder.path().join("second.db"));
    let from = in_file(&first).await;
    fill(&from).await;
    let (to, _) = in_database().await;
    let mut heard = Vec::new();
    let there = from.transfer_to(&to, &mut |progress| heard.push(progress)).await.unwrap();
    assert_eq!(there.iter().map(|table| table.table).collect::<Vec<_>>(), TABLES.each_ref().map(|table| table.name));
    assert!(there.iter().all(|table| table.rows > 0), "{there:?}");
    assert!(heard.windows(2).all(|two| two[0].bytes <= two[1].bytes));
    assert!(heard.iter().any(|progress| progress.checking) && heard.len() > 2 * TABLES.len(), "several pages");
    is_filled(&to).await;

    let back = to.transfer_to(&second, &mut |_| {}).await.unwrap();
    assert_eq!(there, back);
    assert_eq!(Sqlite::look_at(&second).await.unwrap(), Sqlite::newest_schema());
    let store = in_file(&second).await;
    is_filled(&store).await;
    for store in [&store as &dyn Store, &to, &from] {
        goes_on(store).await;
    }
}

#[tokio::test]
async fn only_an_empty_database_is_written_to() {
    let folder = tempfile::tempdir().unwrap();
    let from = in_file(&folder.path().join("from.db")).await;
    fill(&from).await;
    let (to, _) = in_database().await;
    from.transfer_to(&to, &mut |_| {}).await.unwrap();
    let refused = from.transfer_to(&to, &mut |_| {}).await.unwrap_err();
    assert!(matches!(refused, TransferError::NotEmpty { table: "accounts" }), "{refused:?}");
    is_filled(&to).await;

    // An audit of which all rows were forgotten is none, and yet nobody may begin another chain there.
    let (to, _) = in_database().await;
    let noted = AuditEntry {
        at: NOW,
        account: None,
        device: None,
        event: "node.start".to_owned(),
        outcome: "ok".to_owned(),
        signals: String::new(),
    };
    to.append_audit(&audit_key(), vec![noted]).await.unwrap();
    to.prune_audit(NOW.plus(std::time::Duration::from_secs(1)), 20).await.unwrap();
    let refused = from.transfer_to(&to, &mut |_| {}).await.unwrap_err();
    assert!(matches!(refused, TransferError::NotEmpty { table: "audit_ends" }), "{refused:?}");

    let file = folder.path().join("taken.db");
    std::fs::write(&file, b"mine").unwrap();
    let refused = to.transfer_to(&file, &mut |_| {}).await.unwrap_err();
    assert!(matches!(refused, TransferError::FileThere(_)), "{refused:?}");
    assert_eq!(std::fs::read(&file).unwrap(), b"mine");
}

#[tokio::test]
async fn what_cannot_be_copied_whole_is_not_copied() {
    let folder = tempfile::tempdir().unwrap();
    let from = in_file(&folder.path().join("from.db")).await;
    fill(&from).await;
    let (to, url) = in_database().await;
    let name = url.rsplit('/').next().unwrap();
    // The last row but a few is refused by the database.
    Server::shared().execute(name, "ALTER TABLE audit ADD CHECK (event <> 'event.number199')").await;
    let failed = from.transfer_to(&to, &mut |_| {}).await.unwrap_err();
    assert!(matches!(failed, TransferError::Write(_)), "{failed:?}");
    assert_eq!(to.stats().await.unwrap().accounts, 0);
    // What the database makes of a row behind our back is noticed.
    let sql = "CREATE FUNCTION other() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.note := ''x''; RETURN NEW; END';
               CREATE TRIGGER other BEFORE INSERT ON invites FOR EACH ROW EXECUTE FUNCTION other();
               ALTER TABLE audit DROP CONSTRAINT audit_event_check";
    Server::shared().execute(name, sql).await;
    let failed = from.transfer_to(&to, &mut |_| {}).await.unwrap_err();
    assert!(matches!(failed, TransferError::Differs { table: "invites" }), "{failed:?}");
    assert_eq!(to.stats().await.unwrap().accounts, 0);
    Server::shared().execute(name, "DROP TRIGGER other ON invites").await;
    from.transfer_to(&to, &mut |_| {}).await.unwrap();
    is_filled(&to).await;

    // Into a file: a row that SQLite refuses leaves no file.
    Server::shared()
        .execute(name, "ALTER TABLE queue DROP CONSTRAINT queue_tray_check; UPDATE queue SET tray = 7")
        .await;
    let file = folder.path().join("to.db");
    let failed = to.transfer_to(&file, &mut |_| {}).await.unwrap_err();
    assert!(matches!(failed, TransferError::Write(_)), "{failed:?}");
    let names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(names.iter().all(|name| !name.to_string_lossy().starts_with("to.db")), "{names:?}");
}

#[tokio::test]
async fn a_copy_dropped_half_way_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let from = in_file(&folder.path().join("from.db")).await;
    fill(&from).await;
    let (to, _) = in_database().await;
    for pages in [1, 3, 8, 20] {
        let (enough, mut heard) = (tokio::sync::Notify::new(), 0);
        let mut report = |_: TransferProgress| {
            heard += 1;
            if heard == pages {
                enough.notify_one();
            }
        };
        tokio::select! {
            biased;
            () = enough.notified() => {}
            done = from.transfer_to(&to, &mut report) => panic!("{pages} pages are all there is: {done:?}"),
        }
        let stats = to.stats().await.unwrap();
        assert_eq!((stats.accounts, stats.devices, stats.queued_envelopes), (0, 0, 0), "after {pages} pages");
    }
    from.transfer_to(&to, &mut |_| {}).await.unwrap();
    is_filled(&to).await;
}

#[tokio::test]
async fn the_tables_are_all_that_there_are() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    in_file(&path).await.close().await;
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path);
    let mut connection = sqlx::ConnectOptions::connect(&options).await.unwrap();
    let in_file: Vec<(String, String, String)> = sqlx::query_as(
        "SELECT t.name, c.name, c.type FROM sqlite_schema t JOIN pragma_table_info(t.name) c
         WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite_%' AND t.name <> '_sqlx_migrations' ORDER BY 1, 2",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    let (_store, url) = in_database().await;
    let options: sqlx::postgres::PgConnectOptions = url.parse().unwrap();
    let mut connection = sqlx::ConnectOptions::connect(&options).await.unwrap();
    let in_database: Vec<(String, String, String)> = sqlx::query_as(
        "SELECT table_name::text, column_name::text, data_type::text FROM information_schema.columns
         WHERE table_schema = 'public' AND table_name NOT IN ('_sqlx_migrations', 'cluster') ORDER BY 1, 2",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    let described = |kind: fn(Kind) -> &'static str| {
        let mut all: Vec<_> = TABLES
            .iter()
            .flat_map(|table| table.columns.iter().map(|(name, of)| (table.name, *name, kind(*of))))
            .map(|(table, name, kind)| (table.to_owned(), name.to_owned(), kind.to_owned()))
            .collect();
        all.sort();
        all
    };
    let sqlite = |kind| match kind {
        Kind::Integer => "INTEGER",
        Kind::Bytes => "BLOB",
        Kind::Text => "TEXT",
    };
    let postgres = |kind| match kind {
        Kind::Integer => "bigint",
        Kind::Bytes => "bytea",
        Kind::Text => "text",
    };
    assert_eq!(in_file, described(sqlite));
    let mut in_database = in_database;
    in_database.sort();
    assert_eq!(in_database, described(postgres));
}

/// What a thief learns is said of every column.
#[test]
fn every_column_is_in_the_document() {
    let document = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/schema.md")).unwrap();
    for table in &TABLES {
        let section = document.split("\n## ").find(|section| section.starts_with(&format!("{}\n", table.name)));
        let Some(section) = section else {
            assert!(table.name == AUDIT_ENDS && document.contains("`audit_ends` has one row"), "{}", table.name);
            continue;
        };
        // `signed_pre_key_id`, `_public`: the part that differs is enough for the second.
        let named: Vec<&str> = section.split('`').skip(1).step_by(2).collect();
        for (column, _) in table.columns {
            let is_it = |name: &&str| name == column || (name.starts_with('_') && column.ends_with(*name));
            assert!(named.iter().any(is_it), "{}.{column} is not in docs/schema.md", table.name);
        }
    }
}
