//! What does it cost a node when somebody comes in, and what does a limit cost?
//!
//! Logins by password, refreshed tokens and resumed ones, each on a connection of its own, against a real node over TLS: the
//! CPU time of the node's process, so that what the clients do does not count (a login costs them an Argon2id of 64 MiB).
//! Beside it what of that is cryptography, measured in this process. Then a check of a limit, in memory beside bare
//! `governor`, and in Redis beside a bare round trip.
#![expect(clippy::unwrap_used, reason = "a measurement that fails should stop")]

use std::num::{NonZeroU32, NonZeroU64};
use std::time::Duration;

use endtoend_benches::{Effort, Stopwatch, cpu, within};
use endtoend_crypto_core::channel::{Initiator, Introduction, StaticKeys, respond};
use endtoend_crypto_core::opaque::{ClientLogin, ClientRegistration, ServerSetup};
use endtoend_crypto_core::proof::{DeviceStatement, Purpose, sign_device_proof, verify_device_proof};
use endtoend_crypto_core::signature::SigningKey;
use endtoend_crypto_core::token;
use endtoend_gateway::config::{RedisConfig, RedisUrl};
use endtoend_gateway::limits::{Limit, Limits, LimitsConfig, Operation, Sharing, Subject};
use endtoend_protocol::AccountTag;
use endtoend_testkit::{Node, NodeOptions, PASSWORD, Wire};
use endtoend_testkit_redis::Server;
use futures_util::future::join_all;
use governor::{Quota, RateLimiter};
use tokio::task::JoinSet;
use zeroize::Zeroizing;

/// People who come in side by side.
const PEOPLE: u8 = 4;

fn main() {
    let effort = Effort::asked();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let cryptography = Cryptography::measure(effort);
    runtime.block_on(come_in(effort, &cryptography));
    runtime.block_on(limits(effort));
}

/// What the node computes for one of each, in microseconds of one core.
struct Cryptography {
    channel: f64,
    password: f64,
    proof: f64,
    issue: f64,
    verify: f64,
}

impl Cryptography {
    fn measure(effort: Effort) -> Self {
        let rng = &mut rand::rng();
        let identity = SigningKey::generate(rng);
        let keys = StaticKeys::generate(rng);
        let introduction = Introduction::sign(&identity, keys.public(), 0, u64::MAX);
        let read = Introduction::read(&introduction).unwrap();
        let (_, initiate) = Initiator::start(rng, &read.keys, &introduction).unwrap();
        let channel = effort.nanoseconds(|| respond(&mut rand::rng(), &keys, &introduction, &initiate).unwrap());

        let (setup, account) = (ServerSetup::generate(rng), [1; 32]);
        let (registration, request) = ClientRegistration::start(rng, PASSWORD).unwrap();
        let response = setup.register(&account, &request).unwrap();
        let record = registration.finish(rng, PASSWORD, &response).unwrap().record;
        let (_, ke1) = ClientLogin::start(rng, PASSWORD).unwrap();
        // A wrong last message is compared like the right one.
        let password = effort.nanoseconds(|| {
            let (login, _) = setup.login_start(&mut rand::rng(), Some(&record), &account, &ke1).unwrap();
            login.finish(&[1; 64]).is_err()
        });

        let (verifying, purpose) = (identity.verifying_key(), Purpose::Login);
        let statement =
            DeviceStatement { challenge: &[2; 32], channel_binding: &[3; 32], account: &account, device: 1, purpose };
        let shown = sign_device_proof(&identity, &statement);
        let proof = effort.nanoseconds(|| verify_device_proof(&verifying, &statement, &shown).unwrap());
        let make = || token::issue(&identity, &account, 1, &[4; 16], 5, 900_005);
        let (issue, issued) = (effort.nanoseconds(make), make());
        let verify = effort.nanoseconds(|| token::verify(&verifying, &issued, 5, 0).unwrap());
        Self {
            channel: channel / 1e3,
            password: password / 1e3,
            proof: proof / 1e3,
            issue: issue / 1e3,
            verify: verify / 1e3,
        }
    }
}

/// How somebody comes in.
#[derive(Clone, Copy)]
enum Way {
    Hello,
    Password,
    Refresh,
    Resume,
}

async fn come_in(effort: Effort, cryptography: &Cryptography) {
    let node = Node::start(NodeOptions::without_limits());
    let listen = node.listen();
    let mut devices = Vec::new();
    for number in 0..PEOPLE {
        let registered = Wire::register(listen, AccountTag::new([number + 1; 32]));
        devices.push(within("somebody registers", registered).await.1);
    }
    let Cryptography { channel, password, proof, issue, verify } = *cryptography;
    println!("the node's CPU for one who comes in, {PEOPLE} side by side; cryptography without that of TLS\n");
    println!("{:<22} {:>6} {:>10} {:>14} {:>22}", "how", "count", "us each", "per s and core", "of that cryptography");
    for (name, way, each, known) in [
        ("connection and hello", Way::Hello, effort.choose(400, 2), channel),
        ("login by password", Way::Password, effort.choose(50, 2), channel + password + proof + issue),
        ("refreshed token", Way::Refresh, effort.choose(400, 2), channel + proof + issue),
        ("resumed token", Way::Resume, effort.choose(400, 2), channel + verify + proof),
    ] {
        let (before, mut people) = (cpu(node.pid()), JoinSet::new());
        for mut device in devices.drain(..) {
            people.spawn(async move {
                for _ in 0..each {
                    match way {
                        Way::Hello => drop(Wire::connect(listen).await.hello().await),
                        Way::Password => device = Wire::login(listen, &device, PASSWORD).await.unwrap().1,
                        Way::Refresh => drop(Wire::refresh(listen, &mut device).await.unwrap()),
                        Way::Resume => drop(Wire::resume(listen, &device).await),
                    }
                }
                device
            });
        }
        devices = within(name, people.join_all()).await;
        let count = each * u32::from(PEOPLE);
        let each_us = (cpu(node.pid()) - before).as_secs_f64() * 1e6 / f64::from(count);
        println!(
            "{name:<22} {count:>6} {each_us:>10.0} {:>14.0} {known:>12.0} us, {:>3.0} %",
            1e6 / each_us,
            100.0 * known / each_us
        );
    }
    println!(
        "\nOPAQUE {password:.0} us, device proof {proof:.0} us, token issued {issue:.0} us, verified {verify:.0} us"
    );
}

async fn limits(effort: Effort) {
    println!("\none check of a limit\n\n{:<34} {:>12} {:>12} {:>7}", "where", "limit ns", "ours ns", "ratio");
    let wide = Limit { burst: NonZeroU32::MAX, every_ms: NonZeroU64::MIN };
    let config = LimitsConfig { lookup: wide, ..LimitsConfig::default() };
    let key = || Zeroizing::new([1; 32]);
    let subject = Subject::Account(AccountTag::new([2; 32]));
    let here = Limits::new(&config, None, key());
    let quota = Quota::with_period(Duration::from_millis(1)).unwrap().allow_burst(NonZeroU32::MAX);
    let bare = RateLimiter::hashmap(quota);
    let limit = effort.nanoseconds(|| bare.check_key(&[3_u8; 16]).unwrap());
    let ours = effort.nanoseconds(|| here.check_here(Operation::Lookup, subject).unwrap());
    let row = |what: &str, limit: f64, ours: f64| {
        println!("{what:<34} {limit:>12.0} {ours:>12.0} {:>7.2}", limit / ours);
    };
    row("in memory, one thread", limit, ours);

    let server = Server::start();
    let redis = RedisConfig { url: Some(RedisUrl::new(&server.url()).unwrap()), ..RedisConfig::default() };
    let shared = Limits::new(&config, redis.open().unwrap().as_ref(), key());
    within("limits are shared through Redis", async {
        while shared.sharing() != Sharing::Shared {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let client = redis::Client::open(server.url()).unwrap();
    let connection = within("Redis answers", client.get_multiplexed_async_connection()).await.unwrap();
    for side_by_side in [1, 64] {
        let each = effort.choose(20_000, 128) / side_by_side;
        let nanoseconds = |watch: Stopwatch| watch.elapsed().as_nanos() as f64 / f64::from(each * side_by_side);
        let watch = Stopwatch::start();
        let bare = (0..side_by_side).map(|_| {
            let mut connection = connection.clone();
            async move {
                for _ in 0..each {
                    let _: Option<u64> = redis::cmd("GET").arg("nothing").query_async(&mut connection).await.unwrap();
                }
            }
        });
        within("bare round trips", join_all(bare)).await;
        let limit = nanoseconds(watch);
        let watch = Stopwatch::start();
        let ours = (0..side_by_side).map(|_| async {
            for _ in 0..each {
                shared.check(Operation::Lookup, subject).await.unwrap();
            }
        });
        within("checks in Redis", join_all(ours)).await;
        row(&format!("in Redis, {side_by_side} side by side"), limit, nanoseconds(watch));
    }
    assert_eq!(shared.sharing(), Sharing::Shared, "Redis has decided all along");
}
