//! A server that dies, a client that is cut off.

use endtoend_testkit_postgres::Settings;

use super::*;

/// Places that were confirmed, by the number of their envelope.
type Confirmed = Vec<(u64, Seq)>;

/// Commits until it is told to stop; errors are fine as long as they say that nobody knows.
async fn commit_until_it_fails(store: &Postgres, device: u8, from: u64) -> Confirmed {
    let mut confirmed = Vec::new();
    for n in from.. {
        match store.commit(appends(vec![append(device, n)])).await {
            Ok(outcomes) => match outcomes[..] {
                [AppendOutcome::Stored(seq) | AppendOutcome::Repeat(seq)] => confirmed.push((n, seq)),
                ref other => panic!("{other:?}"),
            },
            Err(StoreError::Unavailable(_)) => return confirmed,
            Err(other) => panic!("{other:?}"),
        }
    }
    confirmed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_confirmed_survives_kill_9_of_the_server() {
    const WRITERS: u8 = 4;
    let server = Arc::new(Server::start(Settings { durable: true }));
    let url = server.database().await;
    let limits = StoreLimits { queue_envelopes_max: 1_000_000, ..LIMITS };
    let options = PostgresOptions { limits, allow_unsafe_server: false, ..options(&url) };
    let store = Postgres::open(&options).await.expect("opened");
    for n in 1..=WRITERS {
        store.create_account(account(n, 0)).await.expect("created");
    }
    let mut confirmed: Vec<Confirmed> = vec![Vec::new(); usize::from(WRITERS) + 1];
    for round in 0..4_u64 {
        let mut writers = JoinSet::new();
        for device in 1..=WRITERS {
            let store = store.clone();
            writers.spawn(async move { (device, commit_until_it_fails(&store, device, round * 100_000).await) });
        }
        // In the middle of whatever they do: when somebody has written enough.
        let enough = i64::try_from(20 * (round + 1)).expect("few");
        while store.stats().await.is_ok_and(|stats| stats.queued_envelopes < enough.unsigned_abs()) {
            tokio::task::yield_now().await;
        }
        let killed = Arc::clone(&server);
        tokio::task::spawn_blocking(move || killed.kill_9()).await.expect("killed");
        for (device, new) in writers.join_all().await {
            confirmed[usize::from(device)].extend(new);
        }
        let restarted = Arc::clone(&server);
        tokio::task::spawn_blocking(move || restarted.restart()).await.expect("restarted");
        // Each connection of the pool may fail once more before it is given up; then everything works.
        while store.stats().await.is_err() {
            tokio::task::yield_now().await;
        }
        for device in 1..=WRITERS {
            let page = load(&store, device).await;
            assert!(!page.more || page.rows.len() == 1000);
            let found: BTreeSet<_> = page.rows.iter().map(|row| (row.id, row.seq)).collect();
            for (n, seq) in &confirmed[usize::from(device)] {
                assert!(
                    found.contains(&(append(device, *n).id, *seq)),
                    "{n} of device {device} was confirmed and is gone"
                );
            }
            // A repeat of the last one, and one more: the store is whole.
            let next = append(device, round * 100_000 + 90_000);
            let mut outcomes = store.commit(appends(vec![next.clone()])).await;
            while matches!(outcomes, Err(StoreError::Unavailable(_))) {
                outcomes = store.commit(appends(vec![next.clone()])).await;
            }
            assert!(matches!(outcomes.expect("committed")[..], [AppendOutcome::Stored(_) | AppendOutcome::Repeat(_)]));
        }
    }
    assert!(confirmed.iter().skip(1).all(|confirmed| !confirmed.is_empty()), "some were confirmed");
    let sql = "SELECT count(*) FROM queue_depths d WHERE queue_depth <> (SELECT count(*) FROM queue q WHERE q.device_row = d.device_row)";
    let wrong: i64 = sqlx::query_scalar(sql).fetch_one(&store.readers).await.expect("read");
    assert_eq!(wrong, 0, "a depth is not the number of its rows");
}

#[tokio::test]
async fn a_lost_connection_fails_one_call_and_no_other() {
    let (store, url) = empty().await;
    store.create_account(account(1, 0)).await.expect("created");
    let mut writing = store.begin().await.expect("begun");
    execute(&url, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'endtoend' AND datname = current_database()").await;
    let lost = sqlx::query("UPDATE devices SET active_at = 5").execute(writing.connection()).await;
    let lost: StoreError = lost.expect_err("the connection is gone").into();
    assert!(matches!(lost, StoreError::Unavailable(_)), "{lost:?}");
    let lost = writing.commit().await;
    assert!(matches!(lost, Err(StoreError::Unavailable(_))), "{lost:?}");
    // Those that were idle may each fail once.
    let mut outcomes = store.commit(appends(vec![append(1, 1)])).await;
    for _ in 0..10 {
        if outcomes.is_ok() {
            break;
        }
        assert!(matches!(outcomes, Err(StoreError::Unavailable(_))), "{outcomes:?}");
        outcomes = store.commit(appends(vec![append(1, 1)])).await;
    }
    assert!(matches!(outcomes.expect("committed")[..], [AppendOutcome::Stored(_)]));
}

#[tokio::test]
async fn a_lock_that_is_held_too_long_is_unavailable() {
    let (store, _url) = empty().await;
    store.create_account(account(1, 0)).await.expect("created");
    let mut holder = store.begin().await.expect("begun");
    sqlx::query("SELECT 1 FROM devices FOR UPDATE").execute(holder.connection()).await.expect("locked");
    let refused = store.commit(appends(vec![append(1, 1)])).await;
    let Err(StoreError::Unavailable(reason)) = refused else { panic!("{refused:?}") };
    assert!(reason.to_string().contains("55P03"), "{reason}");
    holder.roll_back().await.expect("unlocked");
    let outcomes = store.commit(appends(vec![append(1, 1)])).await.expect("committed");
    assert!(matches!(outcomes[..], [AppendOutcome::Stored(_)]), "{outcomes:?}");
}

/// What a server says when its disk has no room, said by a trigger for the second row.
#[tokio::test]
async fn a_full_disk_rolls_back_whole_and_passes() {
    let (store, url) = empty().await;
    fill(&store).await;
    execute(
        &url,
        "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$;
         CREATE TRIGGER full_disk BEFORE INSERT ON queue FOR EACH ROW
             WHEN (get_byte(NEW.envelope_id, 15) = 4) EXECUTE FUNCTION full_disk()",
    )
    .await;
    let failed = store.commit(appends(vec![append(1, 3), append(1, 4)])).await;
    let Err(StoreError::Unavailable(reason)) = failed else { panic!("{failed:?}") };
    assert!(reason.to_string().contains("53100"), "{reason}");
    is_filled(&store).await;
    execute(&url, "DROP TRIGGER full_disk ON queue").await;
    let outcomes = store.commit(appends(vec![append(1, 3), append(1, 4)])).await.expect("committed");
    assert!(matches!(outcomes[..], [AppendOutcome::Stored(_), AppendOutcome::Stored(_)]), "{outcomes:?}");
}

#[tokio::test]
async fn a_transaction_that_is_dropped_lets_go_of_its_locks() {
    let (store, _url) = empty().await;
    store.create_account(account(1, 0)).await.expect("created");
    let mut dropped = store.begin().await.expect("begun");
    sqlx::query("UPDATE devices SET active_at = 4").execute(dropped.connection()).await.expect("written");
    drop(dropped);
    let outcomes = store.commit(appends(vec![append(1, 1)])).await.expect("committed");
    assert!(matches!(outcomes[..], [AppendOutcome::Stored(_)]), "{outcomes:?}");
}
