//! Another way to the network while an engine runs.
#![expect(clippy::disallowed_types, reason = "it plays a proxy")]

use std::net::Ipv4Addr;

use tokio::net::TcpListener;
use tokio::time::timeout;

use super::node::Node;
use super::wiring::{PATIENCE, Person};
use crate::engine::{ConnectionState, Event, OfflineReason};
use crate::transport::{Choice, NetworkSettings, Way};

async fn until(person: &Person, wanted: impl FnMut(&ConnectionState) -> bool) {
    let mut connection = person.engine.connection();
    timeout(PATIENCE, connection.wait_for(wanted)).await.unwrap().unwrap();
}

#[tokio::test]
async fn another_way_is_gone_at_once_and_kept_and_none_stands_in_for_it() {
    let node = Node::start().await;
    let alice = Person::registered(&node, "alice").await.restarted(true).await;
    alice.until_online().await;
    let mut events = alice.engine.events();
    assert_eq!(alice.engine.network().borrow().way, Some(Way::Direct));
    let handle = alice.engine.handle();

    // A proxy that lets nobody through.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let proxy = listener.local_addr().unwrap();
    let chosen = NetworkSettings { choice: Choice::Proxy(proxy), ..NetworkSettings::default() };
    handle.set_network(chosen.clone()).await.unwrap();
    drop(timeout(PATIENCE, listener.accept()).await.unwrap().unwrap());
    let through_it = |state: &ConnectionState| matches!(state, ConnectionState::Offline { why: OfflineReason::Unreachable(why), .. } if why.contains("proxy"));
    until(&alice, through_it).await;
    loop {
        match timeout(PATIENCE, events.recv()).await.unwrap().unwrap() {
            Event::Network(status) if status.way == Some(Way::Proxy(proxy)) => break,
            _ => {}
        }
    }

    // After a restart it is the same one.
    let alice = alice.restarted(true).await;
    drop(timeout(PATIENCE, listener.accept()).await.unwrap().unwrap());
    assert_eq!(alice.engine.handle().network().await.unwrap(), chosen);
    until(&alice, through_it).await;

    alice.engine.handle().set_network(NetworkSettings::default()).await.unwrap();
    alice.until_online().await;
    alice.engine.stop().await;
}

#[tokio::test]
async fn other_circuits_are_another_connection_and_no_message_is_lost() {
    let node = Node::start().await;
    let alice = Person::registered(&node, "alice").await.restarted(true).await;
    let bob = Person::registered(&node, "bob").await.restarted(true).await;
    alice.until_online().await;
    let mut ids = Vec::new();
    for round in 0..3 {
        ids.push(alice.send("bob", &format!("text {round}")).await);
        alice.engine.handle().new_circuits().await.unwrap();
    }
    for id in ids {
        alice.settled(id).await;
    }
    assert_eq!(bob.unread(3).await, ["text 0", "text 1", "text 2"]);
}
