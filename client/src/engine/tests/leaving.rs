//! Engines that are told to stop.

use super::node::Node;
use super::wiring::{PATIENCE, Person};
use crate::clock;
use crate::database::MessageState;

fn waiting(node: &Node, handle: &str) -> usize {
    node.ledger().waiting(node.tag(handle))
}

/// Waits until the node keeps nothing for somebody any more.
async fn nothing_waits(node: &Node, handle: &str) {
    let deadline = clock::monotonic() + PATIENCE;
    while waiting(node, handle) > 0 {
        assert!(clock::monotonic() < deadline, "{} envelopes stay at the node", waiting(node, handle));
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_a_killed_program_has_stored_is_acknowledged_by_the_next_however_short_it_lives() {
    let node = Node::start().await;
    let (alice, bob) = (Person::registered(&node, "alice").await, Person::registered(&node, "bob").await);
    let bob = bob.restarted(false).await;
    let id = alice.send("bob", "before the kill").await;
    assert_eq!(alice.settled(id).await, MessageState::Accepted);
    node.ledger().deaf = true;
    let bob = bob.restarted(true).await;
    assert_eq!(bob.unread(1).await, ["before the kill"]);
    // A kill after the message was stored and before anybody was told of it.
    let killed = |store: &crate::database::Store<'_>| {
        node.ledger().deaf = false;
        store.acknowledged_none()
    };
    let bob = bob.changed(true, killed).await;
    assert_eq!(waiting(&node, "bob"), 1);
    assert_eq!(bob.unread(1).await, ["before the kill"], "from the disk, at once");
    bob.engine.stop().await;
    nothing_waits(&node, "bob").await;
}

/// More has come than is read in one go, and whoever waited for the first of it goes.
#[tokio::test]
async fn an_engine_that_leaves_has_acknowledged_what_it_has_stored() {
    let node = Node::start().await;
    let (alice, bob) = (Person::registered(&node, "alice").await, Person::registered(&node, "bob").await);
    let bob = bob.restarted(false).await;
    let mut last = None;
    for n in 0..40 {
        last = Some(alice.send("bob", &format!("number {n}")).await);
    }
    assert_eq!(alice.settled(last.unwrap()).await, MessageState::Accepted);
    let bob = bob.restarted(true).await;
    bob.unread(1).await;
    let shown = bob.engine.handle().unread(None, 1).await.unwrap();
    bob.engine.handle().mark_shown(shown.iter().map(|message| message.seq).collect()).await.unwrap();
    let bob = bob.restarted(false).await;
    let here = bob.engine.handle().history("alice".parse().unwrap(), 99).await.unwrap();
    let deadline = clock::monotonic() + PATIENCE;
    while here.len() + waiting(&node, "bob") > 40 {
        assert!(clock::monotonic() < deadline, "{} are here, and {} at the node", here.len(), waiting(&node, "bob"));
        tokio::task::yield_now().await;
    }
    assert_eq!(here.len() + waiting(&node, "bob"), 40, "each is here or there");
}
