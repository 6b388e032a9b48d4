//! What every directory of claims does, run against Redis and against the one in memory.

use std::collections::BTreeSet;
use std::time::Duration;

use endtoend_testkit_redis::{Guarded, Sentinels, Server, Shards};
use tokio::sync::Mutex;

use super::super::*;
use super::redis::{RIGHTS, ask, at_guarded, at_sentinels, at_server, at_shards};
use crate::clock;
use crate::redis::RedisAt;
use crate::{ClusterId, NodeId};

/// A lease whose end a test waits for.
const SHORT: Duration = Duration::from_millis(500);
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

pub(super) fn run(number: u64) -> Incarnation {
    Incarnation { node: NodeId::new(number), run: number }
}

pub(super) fn device(number: u8) -> DeviceName {
    DeviceName([number; 16])
}

/// Asks again until it is so.
pub(super) async fn until<T>(what: impl AsyncFn() -> Option<T>) -> T {
    let deadline = clock::monotonic() + PATIENCE;
    loop {
        if let Some(is_so) = what().await {
            return is_so;
        }
        assert!(clock::monotonic() < deadline, "never so");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// What time does to a directory, done at once.
trait Time {
    /// It was emptied long ago.
    fn grows_up(&self);
    /// The lease of this run is over.
    fn ends(&self, run: Incarnation);
}

impl Time for LocalClaims {
    fn grows_up(&self) {
        self.table().grow_up();
    }
    fn ends(&self, run: Incarnation) {
        self.table().leave(run);
    }
}

/// What asks Redis by its own commands.
struct InRedis<'a>(&'a dyn Fn(&[&str]) -> i64);

impl Time for InRedis<'_> {
    fn grows_up(&self) {
        (self.0)(&["HSET", &format!("{PREFIX}about"), "born", "1"]);
    }
    fn ends(&self, run: Incarnation) {
        (self.0)(&["DEL", &format!("{PREFIX}lease:{run}")]);
    }
}

/// Gives these a lease, in a directory that knows who has what.
async fn settled(claims: &dyn ClaimDirectory, time: &dyn Time, runs: &[Incarnation]) {
    for run in runs {
        claims.renew(*run, &[]).await.unwrap();
    }
    time.grows_up();
    assert_eq!(claims.find(&[device(255)]).await.unwrap(), [Found::default()]);
}

/// Those that take long to start: one of each for all tests, for one test at a time.
static GUARDED: Mutex<Option<Guarded>> = Mutex::const_new(None);
static SENTINELS: Mutex<Option<Sentinels>> = Mutex::const_new(None);
static SHARDS: Mutex<Option<Shards>> = Mutex::const_new(None);

/// One directory of each kind, with leases of this length: in memory, and in a Redis that is alone, that is behind TLS and an
/// access list, that sentinels name, and that is a cluster.
async fn for_each(lease: Duration, test: impl AsyncFn(&dyn ClaimDirectory, &dyn Time)) {
    let local = LocalClaims::new(lease);
    test(&local, &local).await;

    let in_redis = async |at: &RedisAt, command: &dyn Fn(&[&str]) -> i64| {
        let claims = RedisClaims::start(at, ClusterId::new([1; 16]), lease, PATIENCE);
        until(async || claims.answers().then_some(())).await;
        test(&claims, &InRedis(command)).await;
    };
    let server = Server::start();
    in_redis(&at_server(&server.url()), &|command| ask(&server, command)).await;

    let mut kept = GUARDED.lock().await;
    let guarded = kept.get_or_insert_with(|| Guarded::start(&RIGHTS));
    let _: String = guarded.ask(&["FLUSHALL"]);
    in_redis(&at_guarded(guarded), &|command| guarded.ask(command)).await;
    drop(kept);

    let mut kept = SENTINELS.lock().await;
    let sentinels = kept.get_or_insert_with(|| Sentinels::start(PATIENCE));
    let primary = &sentinels.servers()[0];
    let _: String = primary.ask(&["FLUSHALL"]);
    in_redis(&at_sentinels(sentinels), &|command| primary.ask(command)).await;
    drop(kept);

    let mut kept = SHARDS.lock().await;
    let shards = kept.get_or_insert_with(|| Shards::start(PATIENCE, PREFIX));
    let primary = shards.replicated();
    let _: String = primary.ask(&["FLUSHALL"]);
    in_redis(&at_shards(shards), &|command| primary.ask(command)).await;
}

#[tokio::test]
async fn a_young_directory_says_that_it_may_have_forgotten_somebody() {
    for_each(PATIENCE, async |claims, _| {
        let [one, two] = [1, 2].map(run);
        assert_eq!(claims.take(one, device(1)).await, Err(ClaimsError::NoLease));
        let stamp = claims.renew(one, &[]).await.unwrap().stamp;
        assert_eq!(claims.renew(one, &[]).await.unwrap().stamp, stamp);
        assert_eq!(claims.find(&[device(1)]).await.unwrap(), [Found { holder: None, unclear: true }]);
        let taken = claims.take(one, device(1)).await.unwrap();
        assert_eq!(taken.before, Before::Somebody);
        claims.renew(two, &[]).await.unwrap();
        let again = claims.take(two, device(1)).await.unwrap();
        assert_eq!(again.before, Before::Somebody);
        assert!(again.epoch > taken.epoch);
        assert_eq!(claims.find(&[device(1)]).await.unwrap(), [Found { holder: Some(two), unclear: true }]);
    })
    .await;
}

#[tokio::test]
async fn the_newer_claim_displaces_the_older_whose_holder_is_told_until_he_says_that_he_knows() {
    for_each(PATIENCE, async |claims, time| {
        let [one, two] = [1, 2].map(run);
        settled(claims, time, &[one, two]).await;
        let first = claims.take(one, device(1)).await.unwrap();
        assert_eq!(first.before, Before::Nobody);
        assert_eq!(claims.take(one, device(1)).await.unwrap().before, Before::Nobody, "again by the same");
        let taken = claims.take(two, device(1)).await.unwrap();
        assert_eq!(taken.before, Before::Holder(one));
        let lost = Lost { device: device(1), epoch: taken.epoch };
        for _ in 0..2 {
            let renewed = claims.renew(one, &[]).await.unwrap();
            assert_eq!((renewed.lost, renewed.more), (vec![lost], false));
        }
        assert_eq!(claims.renew(one, &[lost]).await.unwrap().lost, []);
        assert_eq!(claims.find(&[device(1)]).await.unwrap(), [Found { holder: Some(two), unclear: true }]);
        // It is taken back before a lease has passed: who has it is not clear.
        claims.renew(one, &[]).await.unwrap();
        assert_eq!(claims.take(one, device(1)).await.unwrap().before, Before::Somebody);
    })
    .await;
}

#[tokio::test]
async fn when_a_lease_has_passed_it_is_clear_who_has_what() {
    for_each(SHORT, async |claims, time| {
        let [one, two] = [1, 2].map(run);
        until(async || {
            for run in [one, two] {
                claims.renew(run, &[]).await.unwrap();
            }
            time.grows_up();
            claims.take(one, device(1)).await.ok()?;
            (claims.take(two, device(1)).await.ok()?.before == Before::Holder(one)).then_some(())
        })
        .await;
        until(async || {
            claims.renew(two, &[]).await.unwrap();
            let found = claims.find(&[device(1)]).await.unwrap();
            (found == [Found { holder: Some(two), unclear: false }]).then_some(())
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn nobody_believes_in_a_run_without_a_lease_and_who_follows_it_waits_all_the_same() {
    for_each(PATIENCE, async |claims, time| {
        let [one, two] = [1, 2].map(run);
        settled(claims, time, &[one, two]).await;
        claims.take(one, device(1)).await.unwrap();
        let stamp = claims.renew(one, &[]).await.unwrap().stamp;
        time.ends(one);
        assert_eq!(claims.find(&[device(1)]).await.unwrap(), [Found::default()]);
        // Whose clock has ended the lease, Redis' or that of the one who had it, is not clear.
        assert_eq!(claims.take(two, device(1)).await.unwrap().before, Before::Holder(one));
        assert!(claims.renew(one, &[]).await.unwrap().stamp > stamp);
    })
    .await;
}

#[tokio::test]
async fn who_leaves_in_order_is_not_found() {
    for_each(PATIENCE, async |claims, _| {
        claims.renew(run(1), &[]).await.unwrap();
        claims.take(run(1), device(1)).await.unwrap();
        claims.leave(run(1)).await.unwrap();
        assert_eq!(claims.find(&[device(1)]).await.unwrap()[0].holder, None);
        assert_eq!(claims.take(run(1), device(1)).await, Err(ClaimsError::NoLease));
    })
    .await;
}

#[tokio::test]
async fn claims_are_kept_restored_or_refused() {
    for_each(PATIENCE, async |claims, time| {
        let [one, two] = [1, 2].map(run);
        settled(claims, time, &[one, two]).await;
        let mine = claims.take(one, device(1)).await.unwrap().epoch;
        let others = claims.take(one, device(2)).await.unwrap().epoch;
        claims.renew(one, &[]).await.unwrap();
        claims.renew(two, &[]).await.unwrap();
        let newer = claims.take(two, device(2)).await.unwrap().epoch;
        let kept = [(device(1), mine), (device(2), others), (device(3), mine)];
        assert_eq!(claims.keep(one, &kept).await.unwrap(), [Kept::Stands, Kept::Lost, Kept::Unclear]);
        // What was restored may be somebody else's, who comes later and has a newer one.
        assert_eq!(claims.find(&[device(3)]).await.unwrap(), [Found { holder: Some(one), unclear: true }]);
        let newest = Epoch(mine.0 + 1);
        assert_eq!(
            claims.keep(two, &[(device(3), newest), (device(2), newer)]).await.unwrap(),
            [Kept::Unclear, Kept::Unclear]
        );
        let lost = claims.renew(one, &[]).await.unwrap().lost.into_iter().collect::<BTreeSet<_>>();
        assert!(lost.contains(&Lost { device: device(3), epoch: newest }), "{lost:?}");
        assert_eq!(claims.keep(run(3), &kept).await, Err(ClaimsError::NoLease));
    })
    .await;
}

#[tokio::test]
async fn what_is_released_is_free_unless_it_was_not_clear_whose_it_is() {
    for_each(PATIENCE, async |claims, time| {
        let [one, two] = [1, 2].map(run);
        settled(claims, time, &[one, two]).await;
        let epoch = claims.take(one, device(1)).await.unwrap().epoch;
        claims.release(two, &[(device(1), epoch)]).await.unwrap();
        claims.release(one, &[(device(1), Epoch(epoch.0 - 1))]).await.unwrap();
        assert_eq!(claims.find(&[device(1)]).await.unwrap()[0].holder, Some(one), "another's, and an older one");
        claims.release(one, &[(device(1), epoch)]).await.unwrap();
        assert_eq!(claims.find(&[device(1)]).await.unwrap(), [Found::default()]);
        claims.renew(one, &[]).await.unwrap();
        claims.renew(two, &[]).await.unwrap();
        claims.take(one, device(1)).await.unwrap();
        let epoch = claims.take(two, device(1)).await.unwrap().epoch;
        claims.release(two, &[(device(1), epoch)]).await.unwrap();
        assert_eq!(claims.find(&[device(1)]).await.unwrap(), [Found { holder: None, unclear: true }]);
        claims.renew(two, &[]).await.unwrap();
        let taken = claims.take(two, device(1)).await.unwrap();
        assert!(taken.before == Before::Somebody && taken.epoch > epoch, "the first one may believe that it has it");
    })
    .await;
}

#[tokio::test]
async fn a_sweep_removes_the_claims_of_those_who_are_called_dead_and_names_the_others() {
    for_each(PATIENCE, async |claims, time| {
        let [one, two] = [1, 2].map(run);
        settled(claims, time, &[one, two]).await;
        for n in 0..100 {
            claims.take(one, device(n)).await.unwrap();
        }
        claims.take(two, device(200)).await.unwrap();
        time.ends(one);
        let none = BTreeSet::new();
        assert_eq!(claims.sweep(&none).await.unwrap(), Swept { dead: [one].into(), removed: 0 });
        let one_and_two = [one, two].into();
        assert_eq!(claims.sweep(&one_and_two).await.unwrap(), Swept { dead: none.clone(), removed: 100 });
        assert_eq!(claims.sweep(&none).await.unwrap(), Swept::default());
        claims.renew(two, &[]).await.unwrap();
        assert_eq!(claims.take(two, device(1)).await.unwrap().before, Before::Nobody);
    })
    .await;
}

#[tokio::test]
async fn more_than_one_answer_holds_is_told_with_the_next() {
    for_each(PATIENCE, async |claims, _| {
        let [one, two] = [1, 2].map(run);
        claims.renew(one, &[]).await.unwrap();
        claims.renew(two, &[]).await.unwrap();
        let name = |n: u32| {
            let mut name = [0; 16];
            name[..4].copy_from_slice(&n.to_be_bytes());
            DeviceName(name)
        };
        let all: Vec<_> = (0..1_500).map(|n| (name(n), Epoch(5))).collect();
        let newer: Vec<_> = all.iter().map(|(device, _)| (*device, Epoch(6))).collect();
        for part in all.chunks(CLAIMS_MAX) {
            assert!(claims.keep(one, part).await.unwrap().iter().all(|kept| *kept == Kept::Unclear));
        }
        for part in newer.chunks(CLAIMS_MAX) {
            claims.keep(two, part).await.unwrap();
        }
        let first = claims.renew(one, &[]).await.unwrap();
        assert_eq!((first.lost.len(), first.more), (CLAIMS_MAX, true));
        let second = claims.renew(one, &first.lost).await.unwrap();
        assert_eq!((second.lost.len(), second.more), (500, false));
        let told: BTreeSet<_> = first.lost.into_iter().chain(second.lost).collect();
        assert_eq!(told.len(), 1_500);
    })
    .await;
}
