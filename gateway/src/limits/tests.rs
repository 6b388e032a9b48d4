use std::cell::RefCell;
use std::collections::BTreeSet;

use endtoend_testkit_redis::{Guarded, Sentinels, Server, Shards};
use governor::clock::FakeRelativeClock;
use proptest::prelude::*;

use super::*;
use crate::config::RedisConfig;

const KEY: [u8; 32] = [1; 32];
const ALICE: Subject<'static> = Subject::Account(AccountTag::new([1; 32]));
const BOB: Subject<'static> = Subject::Account(AccountTag::new([2; 32]));
/// Far above what any step takes: only one that hangs meets it.
const PATIENCE: Duration = Duration::from_secs(60);

fn tight() -> LimitsConfig {
    LimitsConfig { lookup: Limit::new(3, 3_600_000), ..LimitsConfig::default() }
}

fn alone(config: &LimitsConfig) -> Limits {
    Limits::new(config, None, Zeroizing::new(KEY))
}

fn at(url: &str) -> RedisAt {
    RedisAt::Server(redis::Client::open(url).unwrap())
}

/// A node with that Redis, which waits for answers for as long as it takes: the machine may be busy.
fn node(redis: &RedisAt) -> Limits {
    Limits::with_deadline(&tight(), Some(redis), Zeroizing::new(KEY), PATIENCE)
}

async fn becomes(limits: &Limits, sharing: Sharing) {
    let deadline = crate::clock::monotonic() + PATIENCE;
    while limits.sharing() != sharing {
        assert!(crate::clock::monotonic() < deadline, "still {:?}, not {sharing:?}", limits.sharing());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn shared(url: &str) -> Limits {
    let limits = node(&at(url));
    becomes(&limits, Sharing::Shared).await;
    limits
}

fn ask(server: &Server) -> redis::Connection {
    redis::Client::open(server.url()).unwrap().get_connection().unwrap()
}

#[test]
fn operations_are_where_they_are_looked_for() {
    let names = serde_json::to_value(LimitsConfig::default()).unwrap();
    for (index, operation) in Operation::ALL.into_iter().enumerate() {
        assert_eq!(operation as usize, index);
        assert_eq!(serde_json::to_value(operation).unwrap(), operation.name());
        assert!(names.get(operation.name()).is_some(), "{operation:?} has its key in [limits]");
    }
}

#[tokio::test]
async fn a_limit_says_when_to_come_again_and_keeps_others_apart() {
    let limits = alone(&tight());
    assert_eq!(limits.sharing(), Sharing::Alone);
    for _ in 0..3 {
        assert_eq!(limits.check(Operation::Lookup, ALICE).await, Ok(()));
    }
    let TooMany { retry_after, .. } = limits.check(Operation::Lookup, ALICE).await.unwrap_err();
    assert!(retry_after > Duration::from_secs(3_000) && retry_after <= Duration::from_secs(3_600));
    assert_eq!(limits.check(Operation::Lookup, BOB).await, Ok(()));
    assert_eq!(limits.check(Operation::Keys, ALICE).await, Ok(()));
    let refusal = Refusal::from(TooMany { operation: Operation::Lookup, retry_after: Duration::ZERO });
    assert_eq!((refusal.code, refusal.retry_after_ms), (RefusalCode::Rate, NonZeroU64::new(1)));
    let stats = limits.stats();
    assert_eq!((stats[0].allowed, stats[0].refused, stats[0].subjects), (4, 1, 2));
}

#[test]
fn a_connection_has_cells_of_its_own() {
    let limits = alone(&LimitsConfig { connection: Limit::new(2, 3_600_000), ..LimitsConfig::default() });
    let (one, other) = (limits.connection_cells(), limits.connection_cells());
    assert_eq!((limits.check_connection(&one), limits.check_connection(&one)), (Ok(()), Ok(())));
    let TooMany { operation, retry_after } = limits.check_connection(&one).unwrap_err();
    assert_eq!(operation, Operation::Connection);
    assert!(retry_after > Duration::from_secs(3_000) && retry_after <= Duration::from_secs(3_600));
    assert_eq!(limits.check_connection(&other), Ok(()));
    let stats = limits.stats()[Operation::Connection as usize];
    assert_eq!((stats.allowed, stats.refused, stats.subjects), (3, 1, 0));
}

#[test]
fn it_is_told_once_that_somebody_is_beyond_a_limit() {
    let limits = alone(&tight());
    assert!(limits.is_news(Operation::Password, ALICE));
    assert!(!limits.is_news(Operation::Password, ALICE));
    assert!(limits.is_news(Operation::Password, BOB) && limits.is_news(Operation::Refresh, ALICE));
}

#[tokio::test]
async fn who_is_not_near_a_limit_is_forgotten() {
    let limits = alone(&LimitsConfig { lookup: Limit::new(1, 1), ..LimitsConfig::default() });
    limits.check(Operation::Lookup, ALICE).await.unwrap();
    let deadline = crate::clock::monotonic() + PATIENCE;
    while limits.stats()[0].subjects > 0 {
        assert!(crate::clock::monotonic() < deadline);
        limits.forget_idle();
        tokio::task::yield_now().await;
    }
}

#[test]
fn neighbours_share_an_origin_and_strangers_do_not() {
    let origin = |text: &str| Origin::of(Some(text.parse().unwrap()));
    assert_eq!(origin("2001:db8:1:2::1"), origin("2001:db8:1:2:ffff::9"));
    assert_ne!(origin("2001:db8:1:2::1"), origin("2001:db8:1:3::1"));
    assert_ne!(origin("192.0.2.1"), origin("192.0.2.2"));
    assert_eq!(origin("192.0.2.1"), origin("::ffff:192.0.2.1"));
    assert_eq!(format!("{:?}", origin("192.0.2.1")), "Origin(..)");
}

/// What a node decides, alone and with Redis: whether it is allowed, and the operation that was counted as refused.
async fn tries_three_and_both(limits: &Limits) {
    for _ in 0..3 {
        assert_eq!(limits.check(Operation::Lookup, ALICE).await, Ok(()));
    }
    let both = [(Operation::Keys, BOB), (Operation::Lookup, ALICE), (Operation::Change, BOB)];
    let TooMany { operation, retry_after } = limits.check_all(&both).await.unwrap_err();
    assert_eq!(operation, Operation::Lookup);
    assert!(retry_after > Duration::from_secs(3_000) && retry_after <= Duration::from_secs(3_600), "{retry_after:?}");
    let counted = |operation: Operation| {
        let stats = limits.stats()[operation as usize];
        (stats.allowed, stats.refused)
    };
    assert_eq!(counted(Operation::Keys), (1, 0), "the first was taken");
    assert_eq!(counted(Operation::Lookup), (3, 1), "the second had none");
    assert_eq!(counted(Operation::Change), (0, 0), "the third was not asked");
}

#[tokio::test]
async fn redis_decides_and_counts_like_the_node_itself() {
    tries_three_and_both(&alone(&tight())).await;
    let server = Server::start();
    tries_three_and_both(&shared(&server.url()).await).await;
}

#[tokio::test]
async fn two_nodes_share_one_budget() {
    share_one_budget(&at(&Server::start().url())).await;
}

/// As the configuration says it.
fn opened(config: &str) -> RedisAt {
    toml::from_str::<RedisConfig>(config).unwrap().open().unwrap().expect("a Redis")
}

#[tokio::test]
async fn over_tls_with_a_password_from_a_file_they_do_as_well() {
    let server = Guarded::start(&RIGHTS);
    let password = server.authority().with_file_name("password");
    std::fs::write(&password, format!("{}\nnot this\n", Guarded::PASSWORD)).unwrap();
    let (user, at) = (Guarded::USER, server.at());
    let (ca, password) = (server.authority(), password.display().to_string());
    let config = format!("url = \"rediss://{user}@{at}\"\nca_file = {ca:?}\npassword_file = {password:?}\n");
    share_one_budget(&opened(&config)).await;
    // Whose certificate nobody vouches for is not believed, nor is one whom the password is wrong for.
    for config in [
        format!("url = \"rediss://{user}@{at}\"\npassword_file = {password:?}\n"),
        format!("url = \"rediss://{user}:wrong@{at}\"\nca_file = {ca:?}\n"),
    ] {
        let error = async {
            let RedisAt::Server(client) = opened(&config) else { return None };
            client.get_multiplexed_async_connection().await.err()
        };
        assert!(error.await.is_some(), "{config}");
    }
}

#[tokio::test]
async fn behind_sentinels_and_in_a_redis_cluster_they_do_as_well() {
    let sentinels = Sentinels::start(PATIENCE);
    let config = format!("sentinels = {:?}\nprimary = \"{}\"\n", sentinels.addresses(), Sentinels::PRIMARY);
    share_one_budget(&opened(&config)).await;
    let shards = Shards::start(PATIENCE, shared::PREFIX);
    share_one_budget(&opened(&format!("cluster = {:?}\n", shards.addresses()))).await;
}

async fn share_one_budget(at: &RedisAt) {
    let (one, other) = (node(at), node(at));
    becomes(&one, Sharing::Shared).await;
    becomes(&other, Sharing::Shared).await;
    assert_eq!(one.check(Operation::Lookup, ALICE).await, Ok(()));
    assert_eq!(other.check(Operation::Lookup, ALICE).await, Ok(()));
    assert_eq!(one.check(Operation::Lookup, ALICE).await, Ok(()));
    for node in [&one, &other] {
        let TooMany { retry_after, .. } = node.check(Operation::Lookup, ALICE).await.unwrap_err();
        assert!(retry_after > Duration::from_secs(3_000) && retry_after <= Duration::from_secs(3_600));
    }
    assert_eq!(other.check(Operation::Lookup, BOB).await, Ok(()));
}

#[tokio::test]
async fn at_the_same_moment_nobody_gets_more_than_there_is() {
    let server = Server::start();
    let (one, other) = (shared(&server.url()).await, shared(&server.url()).await);
    let tries = (0..40).map(|number| [&one, &other][number % 2].check(Operation::Lookup, ALICE));
    let allowed = futures_util::future::join_all(tries).await.into_iter().filter(Result::is_ok).count();
    assert_eq!(allowed, 3);
}

#[tokio::test]
async fn without_redis_a_node_goes_on_limiting_from_where_it_was_and_comes_back() {
    let server = Server::start();
    let limits = shared(&server.url()).await;
    for _ in 0..2 {
        assert_eq!(limits.check(Operation::Lookup, ALICE).await, Ok(()));
    }
    server.kill_9();
    assert_eq!(limits.check(Operation::Lookup, ALICE).await, Ok(()), "the third, of its own");
    limits.check(Operation::Lookup, ALICE).await.unwrap_err();
    assert_eq!(limits.sharing(), Sharing::FallenBack);
    assert_eq!(limits.check(Operation::Lookup, BOB).await, Ok(()));
    server.restart();
    becomes(&limits, Sharing::Shared).await;
    let TooMany { retry_after, .. } = {
        for _ in 0..3 {
            assert_eq!(limits.check(Operation::Lookup, ALICE).await, Ok(()), "Redis came back empty");
        }
        limits.check(Operation::Lookup, ALICE).await.unwrap_err()
    };
    assert!(retry_after <= Duration::from_secs(3_600));
}

#[tokio::test]
async fn a_node_that_starts_without_redis_limits_alone_until_it_is_there() {
    let server = Server::start();
    server.kill_9();
    let limits = node(&at(&server.url()));
    for _ in 0..3 {
        assert_eq!(limits.check(Operation::Lookup, ALICE).await, Ok(()));
    }
    limits.check(Operation::Lookup, ALICE).await.unwrap_err();
    assert_eq!(limits.sharing(), Sharing::FallenBack);
    server.restart();
    becomes(&limits, Sharing::Shared).await;
}

#[tokio::test]
async fn a_redis_that_hangs_is_not_waited_for() {
    let server = Server::start();
    let limits =
        Limits::with_deadline(&tight(), Some(&at(&server.url())), Zeroizing::new(KEY), Duration::from_millis(500));
    becomes(&limits, Sharing::Shared).await;
    server.hang();
    // Each waits for the deadline and no longer, until it is plain that there is no answer.
    for _ in 0..3 {
        assert_eq!(limits.check(Operation::Lookup, ALICE).await, Ok(()));
    }
    assert_eq!(limits.sharing(), Sharing::FallenBack);
    limits.check(Operation::Lookup, ALICE).await.unwrap_err();
    server.go_on();
    becomes(&limits, Sharing::Shared).await;
}

#[tokio::test]
async fn a_flushed_script_is_sent_again() {
    let server = Server::start();
    let limits = shared(&server.url()).await;
    assert_eq!(limits.check(Operation::Lookup, ALICE).await, Ok(()));
    let _: () = redis::cmd("SCRIPT").arg("FLUSH").query(&mut ask(&server)).unwrap();
    for _ in 0..2 {
        assert_eq!(limits.check(Operation::Lookup, ALICE).await, Ok(()));
    }
    limits.check(Operation::Lookup, ALICE).await.unwrap_err();
    assert_eq!(limits.sharing(), Sharing::Shared);
}

/// What docs/operating.md says that the user of a node needs.
const RIGHTS: [&str; 7] = ["~endtoend:{limit}:*", "-@all", "+evalsha", "+script|load", "+time", "+get", "+set"];

/// A node whose user has these rights.
fn node_of(server: &Server, user: &str, rights: &[&str]) -> Limits {
    let set = redis::cmd("ACL").arg(&["SETUSER", user, "on", ">pass word"]).arg(rights).to_owned();
    let _: () = set.query(&mut ask(server)).unwrap();
    node(&at(&format!("{}?user={user}&pass=pass%20word", server.url())))
}

/// Waits until these were tried, and what they may not do was noticed.
async fn are_found_out(server: &Server, users: &[String], nodes: &[Limits]) {
    let (mut admin, deadline) = (ask(server), crate::clock::monotonic() + PATIENCE);
    loop {
        assert!(nodes.iter().all(|node| node.sharing() == Sharing::FallenBack), "one that may not write is used");
        let log: redis::Value = redis::cmd("ACL").arg("LOG").arg(128).query(&mut admin).unwrap();
        let log = format!("{log:?}");
        if users.iter().all(|user| log.contains(user.as_str())) {
            break;
        }
        assert!(crate::clock::monotonic() < deadline, "{log}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn the_rights_in_the_manual_are_enough_and_fewer_are_no_half_working_redis() {
    let server = Server::start();
    let enough = node_of(&server, "enough", &RIGHTS);
    let no_writer = [node_of(&server, "no-writer", &RIGHTS[..6])];
    becomes(&enough, Sharing::Shared).await;
    assert_eq!(enough.check(Operation::Lookup, ALICE).await, Ok(()));
    assert_eq!(enough.sharing(), Sharing::Shared);
    are_found_out(&server, &["no-writer".to_owned()], &no_writer).await;
    for _ in 0..3 {
        assert_eq!(no_writer[0].check(Operation::Lookup, ALICE).await, Ok(()));
        assert_eq!(no_writer[0].sharing(), Sharing::FallenBack);
    }
    no_writer[0].check(Operation::Lookup, ALICE).await.unwrap_err();
}

/// Who tries its connection at the moment at which others do is not spared the writing by theirs.
#[tokio::test]
async fn those_who_may_not_write_are_found_out_among_others() {
    let server = Server::start();
    let users: Vec<_> = (10..40).map(|number| format!("no-writer-{number}")).collect();
    let mut enough = Vec::new();
    let mut no_writers = Vec::new();
    for user in &users {
        enough.push(node_of(&server, "enough", &RIGHTS));
        no_writers.push(node_of(&server, user, &RIGHTS[..6]));
    }
    are_found_out(&server, &users, &no_writers).await;
    for node in &enough {
        becomes(node, Sharing::Shared).await;
    }
    assert_ne!(shared::probe().name, shared::probe().name);
}

#[tokio::test]
async fn redis_holds_hashes_and_moments_for_as_long_as_they_mean_something() {
    let server = Server::start();
    let limits = shared(&server.url()).await;
    let address = "192.0.2.77";
    let origin = Subject::Origin(Origin::of(Some(address.parse().unwrap())));
    let pair = [b'p'; 32];
    let account = AccountTag::new([b'a'; 32]);
    let asked = [
        (Operation::Login, origin),
        (Operation::Password, Subject::Account(account)),
        (Operation::Refresh, Subject::Device(Address { account, device: endtoend_protocol::DeviceId::FIRST })),
        (Operation::Request, Subject::Pair(&pair)),
    ];
    limits.check_all(&asked).await.unwrap();
    let mut redis = ask(&server);
    // What the connection was tried with is gone after a millisecond.
    let deadline = crate::clock::monotonic() + PATIENCE;
    let keys = loop {
        let keys: BTreeSet<String> = redis::cmd("KEYS").arg("*").query(&mut redis).unwrap();
        if keys.len() <= asked.len() {
            break keys;
        }
        assert!(crate::clock::monotonic() < deadline, "{keys:?}");
    };
    assert_eq!(keys.len(), asked.len(), "{keys:?}");
    for key in &keys {
        let name = key.strip_prefix(shared::PREFIX).unwrap();
        assert!(name.len() == 32 && name.bytes().all(|byte| byte.is_ascii_hexdigit()), "{key}");
        let value: u64 = redis::cmd("GET").arg(key).query(&mut redis).unwrap();
        let life_ms: i64 = redis::cmd("PTTL").arg(key).query(&mut redis).unwrap();
        // Until the limit is full again, and it lacks one cell.
        assert!(life_ms > 0 && life_ms <= 3 * 3_600_000, "{key} = {value} lives for {life_ms} ms");
    }
    // Another key gives other names: without it they cannot be told apart by guessing.
    let stranger = Limits::new(&tight(), None, Zeroizing::new([2; 32]));
    assert_ne!(limits.name(Operation::Login, origin), stranger.name(Operation::Login, origin));
    assert_ne!(limits.name(Operation::Login, origin), limits.name(Operation::Register, origin));
}

#[tokio::test]
async fn the_time_of_redis_is_what_refills() {
    let server = Server::start();
    let config = LimitsConfig { lookup: Limit::new(1, 20), ..LimitsConfig::default() };
    let limits = Limits::with_deadline(&config, Some(&at(&server.url())), Zeroizing::new(KEY), PATIENCE);
    becomes(&limits, Sharing::Shared).await;
    for _ in 0..5 {
        while let Err(TooMany { retry_after, .. }) = limits.check(Operation::Lookup, ALICE).await {
            assert!(retry_after <= Duration::from_millis(20));
            tokio::time::sleep(retry_after).await;
        }
    }
    assert_eq!(limits.stats()[0].allowed, 5);
}

/// A limit whose entries do not expire, in real time, before the test is over.
fn limit() -> impl Strategy<Value = Limit> {
    (1..6_u32, 600_000..2_000_000_u64).prop_map(|(burst, every_ms)| Limit::new(burst, every_ms))
}

/// Microseconds that pass, and who asks then, one after the other.
fn steps() -> impl Strategy<Value = Vec<(u64, Vec<usize>)>> {
    let passes = prop_oneof![Just(0), 0..3_u64, 0..10_000_000_u64, 0..4_000_000_000_u64];
    prop::collection::vec((passes, prop::collection::vec(0..3_usize, 1..4)), 1..30)
}

/// The script decides as `governor` does, to the microsecond, which is as exact as its clock: also when the clock stands,
/// and for several limits in one check.
#[test]
fn the_script_and_governor_agree() {
    let server = Server::start();
    let (redis, runs) = (RefCell::new(ask(&server)), std::cell::Cell::new(0));
    let script = shared::script("local now = tonumber(ARGV[#ARGV])\n");
    let mut runner = proptest::test_runner::TestRunner::default();
    runner
        .run(&(prop::array::uniform3(limit()), 0..2_000_000_000_000_000_u64, steps()), |(limits, start, steps)| {
            let run = runs.replace(runs.get() + 1);
            let clock = FakeRelativeClock::default();
            let cells = limits.map(|limit| RateLimiter::direct_with_clock(quota(limit), clock.clone()));
            let mut now = start;
            for (passes, who) in steps {
                now += passes;
                clock.advance(Duration::from_micros(passes));
                let mut expected = (0, 0);
                for (number, who) in (1_u64..).zip(&who) {
                    if let Err(not_until) = cells[*who].check() {
                        let wait = not_until.wait_time_from(clock.now());
                        prop_assert_eq!(wait.subsec_nanos() % 1_000, 0, "all is in whole microseconds");
                        expected = (number, u64::try_from(wait.as_micros()).unwrap());
                        break;
                    }
                }
                let mut invocation = script.prepare_invoke();
                for who in &who {
                    let Limit { burst, every_ms } = limits[*who];
                    invocation.key(format!("{run}:{who}")).arg(burst.get()).arg(every_ms.get() * 1_000);
                }
                let decided: (u64, u64) = invocation.arg(now).invoke(&mut *redis.borrow_mut()).unwrap();
                prop_assert_eq!(decided, expected);
            }
            Ok(())
        })
        .unwrap();
}

/// What another clock or another configuration has left locks nobody out for longer than the limit can.
#[test]
fn a_moment_far_ahead_counts_as_all_taken() {
    let server = Server::start();
    let mut redis = ask(&server);
    let _: () = redis::cmd("SET").arg("far").arg(9_000_000_000_000_000_u64).query(&mut redis).unwrap();
    let _: () = redis::cmd("SET").arg("garbage").arg("x").query(&mut redis).unwrap();
    let script = shared::script("local now = 1000000\n");
    let mut take =
        |key: &str| -> (u64, u64) { script.prepare_invoke().key(key).arg(2).arg(1_000).invoke(&mut redis).unwrap() };
    assert_eq!(take("far"), (1, 1_000));
    assert_eq!(take("garbage"), (0, 0));
}
