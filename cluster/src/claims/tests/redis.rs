//! What only a Redis can do to a directory: be another's, be emptied, be started again, be away, be replaced.

use std::time::Duration;

use endtoend_testkit_redis::{Guarded, Process, Sentinels, Server, Shards};

use super::super::*;
use super::conformance::{PATIENCE, device, run, until};
use crate::ClusterId;
use crate::redis::{self, HostPort, Manner, RedisAt};

fn client(server: &Server) -> ::redis::Client {
    ::redis::Client::open(server.url()).unwrap()
}

pub(super) fn at_server(url: &str) -> RedisAt {
    RedisAt::Server(::redis::Client::open(url).unwrap())
}

/// Over TLS, as a user who may do what the manual says.
pub(super) fn at_guarded(server: &Guarded) -> RedisAt {
    let login = ::redis::RedisConnectionInfo::default().set_username(Guarded::USER).set_password(Guarded::PASSWORD);
    let authority = std::fs::read(server.authority()).unwrap();
    let tls = ::redis::TlsCertificates { client_tls: None, root_cert: Some(authority) };
    let at: HostPort = server.at().parse().unwrap();
    RedisAt::Server(Manner::new(login, Some(tls)).client(&at).unwrap())
}

fn addresses(all: Vec<String>) -> Vec<HostPort> {
    all.into_iter().map(|at| at.parse().unwrap()).collect()
}

fn plain() -> Manner {
    Manner::new(::redis::RedisConnectionInfo::default(), None)
}

pub(super) fn at_sentinels(sentinels: &Sentinels) -> RedisAt {
    let all = addresses(sentinels.addresses());
    RedisAt::Sentinels(redis::Sentinels::new(&all, Sentinels::PRIMARY, &plain(), plain()).unwrap())
}

pub(super) fn at_shards(shards: &Shards) -> RedisAt {
    RedisAt::Cluster(redis::Shards::new(addresses(shards.addresses()), plain()).unwrap())
}

async fn begun(at: &RedisAt) -> RedisClaims {
    let claims = RedisClaims::start(at, ClusterId::new([1; 16]), PATIENCE, PATIENCE);
    until(async || claims.answers().then_some(())).await;
    claims
}

async fn directory(server: &Server, cluster: u8) -> RedisClaims {
    let claims = RedisClaims::start(&at_server(&server.url()), ClusterId::new([cluster; 16]), PATIENCE, PATIENCE);
    until(async || claims.answers().then_some(())).await;
    claims
}

pub(super) fn ask<T: ::redis::FromRedisValue>(server: &Server, command: &[&str]) -> T {
    let mut connection = client(server).get_connection().unwrap();
    ::redis::cmd(command[0]).arg(&command[1..]).query(&mut connection).unwrap()
}

#[tokio::test]
async fn a_second_cluster_on_the_same_redis_is_refused() {
    let server = Server::start();
    let claims = directory(&server, 1).await;
    RedisClaims::check(&at_server(&server.url()), ClusterId::new([1; 16]), PATIENCE).await.unwrap();
    let foreign = ClaimsError::Foreign { theirs: "01".repeat(16), ours: ClusterId::new([2; 16]) };
    assert_eq!(
        RedisClaims::check(&at_server(&server.url()), ClusterId::new([2; 16]), PATIENCE).await,
        Err(foreign.clone())
    );
    // One that was started without the check learns it, and is not let in.
    let other = RedisClaims::start(&at_server(&server.url()), ClusterId::new([2; 16]), PATIENCE, PATIENCE);
    until(async || (other.renew(run(2), &[]).await == Err(foreign.clone())).then_some(())).await;
    assert!(!other.answers());
    claims.renew(run(1), &[]).await.unwrap();
    // A Redis that was emptied is anybody's.
    let _: () = ask(&server, &["FLUSHALL"]);
    until(async || other.renew(run(2), &[]).await.ok()).await;
    let refused = claims.renew(run(1), &[]).await;
    assert_eq!(refused, Err(ClaimsError::Foreign { theirs: "02".repeat(16), ours: ClusterId::new([1; 16]) }));
}

#[tokio::test]
async fn a_redis_that_was_emptied_is_young_again_and_claims_are_restored_with_their_epochs() {
    let server = Server::start();
    let claims = directory(&server, 1).await;
    let stamp = claims.renew(run(1), &[]).await.unwrap().stamp;
    let epoch = claims.take(run(1), device(1)).await.unwrap().epoch;
    let _: () = ask(&server, &["FLUSHALL"]);
    assert_eq!(claims.find(&[device(1)]).await.unwrap(), [Found { holder: None, unclear: true }]);
    assert_eq!(claims.keep(run(1), &[(device(1), epoch)]).await, Err(ClaimsError::NoLease));
    assert!(claims.renew(run(1), &[]).await.unwrap().stamp > stamp);
    assert_eq!(claims.keep(run(1), &[(device(1), epoch)]).await.unwrap(), [Kept::Unclear]);
    claims.renew(run(2), &[]).await.unwrap();
    let taken = claims.take(run(2), device(1)).await.unwrap();
    assert!(taken.epoch > epoch && taken.before == Before::Somebody);
}

#[tokio::test]
async fn one_that_was_started_again_with_what_it_had_does_not_count_on_it() {
    let server = Server::start();
    let claims =
        RedisClaims::start(&at_server(&server.url()), ClusterId::new([1; 16]), Duration::from_millis(1), PATIENCE);
    until(async || claims.answers().then_some(())).await;
    let born = || -> u64 { ask(&server, &["HGET", "endtoend:{claims}:about", "born"]) };
    let before = born();
    // As if it came back from a file: what is about it is of another run.
    let _: i64 = ask(&server, &["HSET", "endtoend:{claims}:about", "run", "another"]);
    let _: i64 = ask(&server, &["CLIENT", "KILL", "TYPE", "normal"]);
    until(async || {
        let _asked = claims.find(&[device(1)]).await;
        (born() > before).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_lease_from_before_the_directory_began_anew_is_none() {
    let server = Server::start();
    let claims = directory(&server, 1).await;
    let stamp = claims.renew(run(1), &[]).await.unwrap().stamp;
    let epoch = claims.take(run(1), device(1)).await.unwrap().epoch;
    // Another connection finds that Redis is of another run, and has what it had all the same.
    let _: i64 = ask(&server, &["HSET", "endtoend:{claims}:about", "run", "another"]);
    RedisClaims::check(&at_server(&server.url()), ClusterId::new([1; 16]), PATIENCE).await.unwrap();
    assert_eq!(claims.take(run(1), device(2)).await, Err(ClaimsError::NoLease));
    assert_eq!(claims.find(&[device(1)]).await.unwrap(), [Found { holder: None, unclear: true }]);
    let renewed = claims.renew(run(1), &[]).await.unwrap();
    assert!(renewed.stamp > stamp, "what it has claimed since may be lost");
    assert!(renewed.young_for > PATIENCE / 2 && renewed.young_for <= PATIENCE, "{renewed:?}");
    assert_eq!(claims.renew(run(1), &[]).await.unwrap().stamp, renewed.stamp);
    assert!(matches!(claims.keep(run(1), &[(device(1), epoch)]).await.unwrap()[..], [Kept::Stands | Kept::Unclear]));
}

/// Whoever has the device now has a newer claim than before, nothing counts that was promised before, and what was claimed is
/// there again.
async fn began_anew(claims: &RedisClaims, primary: &Process, stamp: Stamp, epoch: Epoch) {
    let renewed = until(async || claims.renew(run(1), &[]).await.ok()).await;
    assert!(renewed.stamp > stamp, "who had a lease hears that it begins anew");
    // Longer than a lease: somebody may still ask the primary of before. By its own clock, however late it was asked.
    let born: u64 = primary.ask(&["HGET", "endtoend:{claims}:about", "born"]);
    let (seconds, micros): (u64, u64) = primary.ask(&["TIME"]);
    let until = Duration::from_micros(born) + PATIENCE + redis::BELIEVED;
    let left = until.saturating_sub(Duration::from_micros(seconds * 1_000_000 + micros));
    assert!(renewed.young_for >= left && renewed.young_for <= PATIENCE + redis::BELIEVED, "{renewed:?}, {left:?}");
    assert!(left > PATIENCE / 2, "or nothing was compared");
    assert!(claims.find(&[device(9)]).await.unwrap()[0].unclear);
    let kept = claims.keep(run(1), &[(device(1), epoch)]).await.unwrap();
    assert!(matches!(kept[..], [Kept::Stands | Kept::Unclear]), "{kept:?}");
    claims.renew(run(2), &[]).await.unwrap();
    let taken = claims.take(run(2), device(1)).await.unwrap();
    assert!(taken.epoch > epoch && taken.before == Before::Somebody, "{taken:?} after {epoch:?}");
}

#[tokio::test]
async fn a_primary_that_sentinels_replace_is_followed_and_its_directory_begins_anew() {
    let sentinels = Sentinels::start(Duration::from_secs(1));
    let claims = begun(&at_sentinels(&sentinels)).await;
    let stamp = claims.renew(run(1), &[]).await.unwrap().stamp;
    let epoch = claims.take(run(1), device(1)).await.unwrap().epoch;
    let [old, new] = sentinels.servers();
    old.kill_9();
    assert_eq!(claims.renew(run(1), &[]).await, Err(ClaimsError::Away));
    began_anew(&claims, new, stamp, epoch).await;
    let stamp = claims.renew(run(1), &[]).await.unwrap().stamp;
    // The one of before comes back, and is not believed.
    old.restart();
    until(async || old.try_ask::<String>(&["INFO", "replication"]).ok()?.contains("role:slave").then_some(())).await;
    let renewed = until(async || claims.renew(run(1), &[]).await.ok()).await;
    assert_eq!(renewed.stamp, stamp);
    // By the words of its own greeting, and not by what it had copied.
    let run = new.try_ask::<String>(&["INFO", "server"]).unwrap();
    let known: String = new.ask(&["HGET", "endtoend:{claims}:about", "run"]);
    assert!(run.contains(&format!("run_id:{known}")), "{known}");
}

#[tokio::test]
async fn a_primary_that_most_sentinels_do_not_name_is_not_believed() {
    let sentinels = Sentinels::start(PATIENCE);
    let claims = begun(&at_sentinels(&sentinels)).await;
    claims.renew(run(1), &[]).await.unwrap();
    let [one, other, _] = sentinels.sentinels();
    one.kill_9();
    other.kill_9();
    // It is there, and perhaps another one has its place.
    until(async || (claims.renew(run(1), &[]).await == Err(ClaimsError::Away)).then_some(())).await;
    assert!(!claims.answers());
    one.restart();
    until(async || claims.renew(run(1), &[]).await.ok()).await;
}

#[tokio::test]
async fn a_primary_of_a_redis_cluster_that_is_replaced_is_followed_and_its_directory_begins_anew() {
    let shards = Shards::start(Duration::from_secs(1), PREFIX);
    let claims = begun(&at_shards(&shards)).await;
    let stamp = claims.renew(run(1), &[]).await.unwrap().stamp;
    let epoch = claims.take(run(1), device(1)).await.unwrap().epoch;
    shards.replicated().kill_9();
    assert_eq!(claims.renew(run(1), &[]).await, Err(ClaimsError::Away));
    shards.until_replaced();
    began_anew(&claims, shards.replica(), stamp, epoch).await;
}

#[tokio::test]
async fn without_redis_nothing_is_said_and_it_is_found_again() {
    let server = Server::start();
    let claims = directory(&server, 1).await;
    let stamp = claims.renew(run(1), &[]).await.unwrap().stamp;
    server.kill_9();
    assert_eq!(claims.renew(run(1), &[]).await, Err(ClaimsError::Away));
    assert_eq!(claims.find(&[device(1)]).await, Err(ClaimsError::Away));
    server.restart();
    let renewed = until(async || claims.renew(run(1), &[]).await.ok()).await;
    assert!(renewed.stamp > stamp);
}

#[tokio::test]
async fn redis_learns_no_name_of_a_device_and_forgets_everything() {
    let server = Server::start();
    let claims = directory(&server, 1).await;
    claims.renew(run(1), &[]).await.unwrap();
    let account = endtoend_protocol::AccountTag::new(*b"an account's tag of thirty-two b");
    let address = endtoend_protocol::Address { account, device: endtoend_protocol::DeviceId::FIRST };
    let name = NameKey::derive(&[1; 32]).name(address);
    assert_ne!(name, NameKey::derive(&[2; 32]).name(address));
    claims.take(run(1), name).await.unwrap();
    claims.renew(run(2), &[]).await.unwrap();
    claims.take(run(2), name).await.unwrap();
    let keys: Vec<String> = ask(&server, &["KEYS", "*"]);
    assert!(keys.iter().all(|key| key.starts_with(PREFIX)) && keys.len() >= 4, "{keys:?}");
    for key in keys.iter().filter(|key| !key.ends_with("about")) {
        let life: i64 = ask(&server, &["PTTL", key]);
        assert!(life > 0, "{key} stays");
        let held: Vec<u8> = ask(&server, &["DUMP", key]);
        let tag = account.as_bytes();
        assert!(!held.windows(8).any(|part| tag.windows(8).any(|of| of == part)) && !key.contains(&hex::encode(tag)));
    }
}

/// What docs/operating.md says that the user of a node needs.
pub(super) const RIGHTS: [&str; 18] = [
    "~endtoend:{claims}:*",
    "-@all",
    "+evalsha",
    "+script|load",
    "+time",
    "+info",
    "+get",
    "+set",
    "+del",
    "+exists",
    "+pexpire",
    "+scan",
    "+hget",
    "+hset",
    "+hmget",
    "+hdel",
    "+hlen",
    "+hrandfield",
];

#[tokio::test]
async fn the_rights_in_the_manual_are_enough() {
    let server = Server::start();
    let mut connection = client(&server).get_connection().unwrap();
    let user = ::redis::cmd("ACL").arg(&["SETUSER", "node", "on", ">pass word"]).arg(&RIGHTS).to_owned();
    let _: () = user.query(&mut connection).unwrap();
    let url = format!("{}?user=node&pass=pass%20word", server.url());
    let claims = RedisClaims::start(&at_server(&url), ClusterId::new([1; 16]), PATIENCE, PATIENCE);
    until(async || claims.answers().then_some(())).await;
    claims.renew(run(1), &[]).await.unwrap();
    claims.renew(run(2), &[]).await.unwrap();
    claims.take(run(1), device(1)).await.unwrap();
    let epoch = claims.take(run(2), device(1)).await.unwrap().epoch;
    let lost = claims.renew(run(1), &[]).await.unwrap().lost;
    claims.renew(run(1), &lost).await.unwrap();
    claims.keep(run(2), &[(device(1), epoch)]).await.unwrap();
    claims.find(&[device(1)]).await.unwrap();
    claims.release(run(2), &[(device(1), epoch)]).await.unwrap();
    claims.sweep(&[run(3)].into()).await.unwrap();
    claims.leave(run(1)).await.unwrap();
}
