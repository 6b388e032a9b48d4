//! Real TLS over loopback.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;

use super::wire::{News, Outcome};
use super::*;
use crate::{CALL_BYTES_MAX, CallError, Calls as _, ClusterView};

mod bounds;
mod fixture;
mod handshake;

use fixture::*;

const SOON: Duration = Duration::from_secs(60);

#[tokio::test]
async fn what_is_said_on_a_link_is_heard_and_answered() {
    let mut cluster = Cluster::of(2).await;
    let (one, two) = (cluster.start(0), cluster.start(1));
    let link = one.linked(two.links.own()).await;
    two.linked(one.links.own()).await;
    assert_eq!((link.life().node(), link.run()), (two.links.own(), 7));

    let (forwarded, woken, taken, heard) = (Heard::default(), Heard::default(), Heard::default(), Heard::default());
    let news = News::DevicesChanged { account: device(3).account, version: 9 };
    link.forward(envelope(1, 10), forwarded.done());
    link.wake(device(2), 5, woken.done());
    link.taken(device(4), 6, taken.done());
    link.taken(device(4), 0, taken.done());
    link.news(news, heard.done());
    let outcome = Outcome::Accepted { at: AT };
    assert_eq!(forwarded.first().await, Settled::Answered { outcome, moved: false });
    assert_eq!(woken.first().await, Told::Done);
    assert_eq!(heard.first().await, Told::Done);
    assert_eq!(taken.first().await, Told::Done);
    let seen = two.seen.seen();
    assert!(matches!(seen[0], Seen::Connected(_)));
    let rest = [
        Seen::Forward(envelope(1, 10).envelope.id),
        Seen::Wake(device(2), 5),
        Seen::Taken(device(4), 6),
        Seen::Taken(device(4), 0),
        Seen::News(news),
    ];
    assert_eq!(seen[1..], rest, "in the order in which it was said");
    assert_eq!(taken.all().len(), 1, "what is not confirmed is not answered");

    let call = |to: NodeId, question: &'static [u8]| one.links.call(to, Bytes::from_static(question), SOON);
    let two_id = two.links.own();
    assert_eq!(call(two_id, b"?").await, Ok(Bytes::from_static(b"?")));
    assert_eq!(
        call(two_id, b"from").await,
        Ok(one.links.own().to_string().into()),
        "the name that the link has proved"
    );
    assert_eq!(call(two_id, b"refuse").await, Err(CallError::Refused(two_id)));
    assert_eq!(call(NodeId::new(9), b"?").await, Err(CallError::NoLink(NodeId::new(9))));
    let soon = Duration::from_millis(20);
    let never = one.links.call(two_id, Bytes::from_static(b"never"), soon).await;
    assert_eq!(never, Err(CallError::Unanswered(two_id)));
    let long: Bytes = vec![1; CALL_BYTES_MAX].into();
    assert_eq!(two.links.call(one.links.own(), long.clone(), SOON).await, Ok(long));
    let too_long = one.links.call(two_id, vec![1; CALL_BYTES_MAX + 1].into(), SOON).await;
    assert_eq!(too_long, Err(CallError::TooLong { len: CALL_BYTES_MAX + 1 }));

    eventually("a round trip", || link.rtt().is_some()).await;
    let health = &one.links.health()[&two_id];
    assert!(health.connected_for.is_some() && health.rtt.is_some() && health.counters.read_bytes > 0);
    assert_eq!((health.lives, health.unanswered, health.traffic_bytes), (1, 0, 0));
}

#[tokio::test]
async fn three_nodes_have_one_link_for_each_two_of_them() {
    let mut cluster = Cluster::of(3).await;
    let nodes = [cluster.start(0), cluster.start(1), cluster.start(2)];
    for (node, peer) in [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)] {
        nodes[node].linked(cluster.id(peer)).await;
        let answer = nodes[node].links.call(cluster.id(peer), Bytes::from_static(b"from"), SOON).await;
        assert_eq!(answer, Ok(cluster.id(node).to_string().into()));
    }
    for node in &nodes {
        assert_eq!(node.links.peers().len(), 2);
        assert!(node.links.health().values().all(|health| health.lives == 1), "nobody dials whom he waits for");
    }
}

#[tokio::test]
async fn a_link_that_breaks_settles_what_is_unanswered_once_and_comes_back_as_another() {
    let mut cluster = Cluster::of(2).await;
    let proxy = Proxy::before(cluster.member(1).peer_address.clone()).await;
    cluster.member(1).peer_address.clone_from(&proxy.address);
    let (one, two) = (cluster.start(0), cluster.start(1));
    let (link, back) = (one.linked(two.links.own()).await, two.linked(one.links.own()).await);
    two.seen.holds.store(true, std::sync::atomic::Ordering::SeqCst);
    let (forwarded, told) = (Heard::default(), Heard::default());
    for n in 0..100 {
        link.forward(envelope(n, 100), forwarded.done());
    }
    link.taken(device(1), 0, told.done());
    let never = {
        let links = one.links.clone();
        let to = two.links.own();
        tokio::spawn(async move { links.call(to, Bytes::from_static(b"never"), SOON).await })
    };
    eventually("a hundred envelopes", || two.seen.held.lock().unwrap().len() == 100).await;
    let answered = two.seen.held.lock().unwrap().pop().unwrap();
    answered.settle(Outcome::QueueFull, true);
    eventually("one answer", || forwarded.all() == [Settled::Answered { outcome: Outcome::QueueFull, moved: true }])
        .await;

    proxy.set(Wire::Cut);
    eventually("an end", || forwarded.all().len() == 100).await;
    assert_eq!(forwarded.all().iter().filter(|settled| **settled == Settled::Lost).count(), 99);
    assert_eq!(told.first().await, Told::Lost);
    assert_eq!(never.await.unwrap(), Err(CallError::Unanswered(two.links.own())));
    let broke = |node: &Node, life| node.seen.seen().iter().filter(|seen| **seen == Seen::Broke(life)).count();
    eventually("the news of it", || broke(&one, link.life()) == 1 && broke(&two, back.life()) == 1).await;
    let nothing = Heard::default();
    link.forward(envelope(1, 1), nothing.done());
    assert_eq!(nothing.all(), [Settled::NotSent], "nothing is sent on it any more");

    proxy.set(Wire::Whole);
    eventually("another life", || one.links.peer(two.links.own()).is_some_and(|peer| peer.life() != link.life())).await;
    assert!(one.links.life(link.life()).is_none());
    // Answers of the life before mean nothing to this one.
    two.seen.held.lock().unwrap().clear();
    two.seen.holds.store(false, std::sync::atomic::Ordering::SeqCst);
    let again = Heard::default();
    one.linked(two.links.own()).await.forward(envelope(1, 1), again.done());
    assert_eq!(again.first().await, Settled::Answered { outcome: Outcome::Accepted { at: AT }, moved: false });
    assert_eq!(forwarded.all().len(), 100, "each is settled once");
    assert_eq!((broke(&one, link.life()), one.links.health()[&two.links.own()].lives), (1, 2));
}

#[tokio::test]
async fn a_silent_link_is_given_up_by_both_ends_and_comes_back() {
    let fast = LinkTimings { ping_every: Duration::from_millis(20), pings_unanswered_max: 10, ..CALM };
    let mut cluster = Cluster::of(2).await;
    let proxy = Proxy::before(cluster.member(1).peer_address.clone()).await;
    cluster.member(1).peer_address.clone_from(&proxy.address);
    let (one, two) = (cluster.start_with(0, fast), cluster.start_with(1, fast));
    let (link, back) = (one.linked(two.links.own()).await, two.linked(one.links.own()).await);
    proxy.set(Wire::Frozen);
    let forwarded = Heard::default();
    link.forward(envelope(1, 1), forwarded.done());
    assert_eq!(forwarded.first().await, Settled::Lost);
    let ended = |node: &Node, life| node.seen.seen().contains(&Seen::Broke(life));
    eventually("both ends", || ended(&one, link.life()) && ended(&two, back.life())).await;
    proxy.set(Wire::Whole);
    let answered = one.linked(two.links.own());
    answered.await;
    two.linked(one.links.own()).await;
}

#[tokio::test]
async fn a_member_that_is_removed_is_cut_at_once_and_does_not_come_back() {
    let mut cluster = Cluster::of(3).await;
    let [one, two, three] = [cluster.start(0), cluster.start(1), cluster.start(2)];
    // Two has heard that its dialling neighbour and its dialled one are removed. They have not.
    one.linked(two.links.own()).await;
    three.linked(two.links.own()).await;
    two.linked(one.links.own()).await;
    two.linked(three.links.own()).await;
    two.remove(one.links.own());
    two.remove(three.links.own());
    two.unlinked(one.links.own()).await;
    two.unlinked(three.links.own()).await;
    assert!(two.links.health().is_empty(), "nothing is known of nodes that are none of ours");
    let last_error = |node: &Node| node.links.health()[&two.links.own()].last_error.clone().unwrap_or_default();
    eventually("a refusal", || last_error(&one).starts_with("the TLS handshake failed: received fatal alert")).await;
    assert!(two.links.peers().is_empty());
    // The others are as they were.
    assert!(one.linked(three.links.own()).await.life().node() == three.links.own());
    // Who is removed itself gives up everything.
    one.remove(one.links.own());
    one.unlinked(three.links.own()).await;
}

#[tokio::test]
async fn a_node_that_panics_over_an_envelope_settles_it_and_comes_back() {
    let mut cluster = Cluster::of(2).await;
    let (one, two) = (cluster.start(0), cluster.start(1));
    let link = one.linked(two.links.own()).await;
    let back = two.linked(one.links.own()).await;
    two.seen.panics.store(true, std::sync::atomic::Ordering::SeqCst);
    let (forwarded, theirs) = (Heard::default(), Heard::default());
    one.seen.holds.store(true, std::sync::atomic::Ordering::SeqCst);
    back.forward(envelope(2, 1), theirs.done());
    link.forward(envelope(1, 1), forwarded.done());
    eventually("its end", || !forwarded.all().is_empty() && theirs.all() == [Settled::Lost]).await;
    eventually("another life", || one.links.peer(two.links.own()).is_some_and(|peer| peer.life() != link.life())).await;
    assert_eq!(forwarded.all().len(), 1);
}
