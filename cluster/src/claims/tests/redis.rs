//! What only a Redis can do to a directory: be another's, be emptied, be started again, be away.

use endtoend_testkit_redis::Server;

use super::super::*;
use super::conformance::{PATIENCE, device, run, until};
use crate::ClusterId;

fn client(server: &Server) -> ::redis::Client {
    ::redis::Client::open(server.url()).unwrap()
}

async fn directory(server: &Server, cluster: u8) -> RedisClaims {
    let claims = RedisClaims::start(client(server), ClusterId::new([cluster; 16]), PATIENCE, PATIENCE);
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
    RedisClaims::check(&client(&server), ClusterId::new([1; 16]), PATIENCE).await.unwrap();
    let foreign = ClaimsError::Foreign { theirs: "01".repeat(16), ours: ClusterId::new([2; 16]) };
    assert_eq!(RedisClaims::check(&client(&server), ClusterId::new([2; 16]), PATIENCE).await, Err(foreign.clone()));
    // One that was started without the check learns it, and is not let in.
    let other = RedisClaims::start(client(&server), ClusterId::new([2; 16]), PATIENCE, PATIENCE);
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
        RedisClaims::start(client(&server), ClusterId::new([1; 16]), std::time::Duration::from_millis(1), PATIENCE);
    until(async || claims.answers().then_some(())).await;
    let born = || -> u64 { ask(&server, &["HGET", "endtoend:claims:about", "born"]) };
    let before = born();
    // As if it came back from a file: what is about it is of another run.
    let _: i64 = ask(&server, &["HSET", "endtoend:claims:about", "run", "another"]);
    let _: i64 = ask(&server, &["CLIENT", "KILL", "TYPE", "normal"]);
    until(async || {
        let _asked = claims.find(&[device(1)]).await;
        (born() > before).then_some(())
    })
    .await;
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
const RIGHTS: [&str; 17] = [
    "~endtoend:claims:*",
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
];

#[tokio::test]
async fn the_rights_in_the_manual_are_enough() {
    let server = Server::start();
    let mut connection = client(&server).get_connection().unwrap();
    let user =
        ::redis::cmd("ACL").arg(&["SETUSER", "node", "on", ">pass word"]).arg(&RIGHTS).arg("+hrandfield").to_owned();
    let _: () = user.query(&mut connection).unwrap();
    let url = format!("{}?user=node&pass=pass%20word", server.url());
    let claims = RedisClaims::start(::redis::Client::open(url).unwrap(), ClusterId::new([1; 16]), PATIENCE, PATIENCE);
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
