//! Real TLS over loopback.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;

use super::wire::{Frame, News, Outcome};
use super::*;
use crate::peers::{NotSent, Peers as _};
use crate::{CALL_BYTES_MAX, CallError, Calls as _, ClusterView, MemberState, NodeId};

mod bounds;
mod edges;
mod fixture;
mod handshake;
mod raft;

use fixture::*;

const SOON: Duration = Duration::from_secs(60);

#[tokio::test]
async fn what_is_said_on_a_link_is_heard_in_its_order_and_answered() {
    let mut cluster = Cluster::of(2).await;
    let (one, two) = (cluster.start(0), cluster.start(1));
    let link = one.linked(two.links.own()).await;
    let back = two.linked(one.links.own()).await;
    assert_eq!((link.run.node, link.run.run, back.run.node), (two.links.own(), 7, one.links.own()));

    let said = [
        Frame::Forward { n: 1, forward: envelope(1, 10) },
        Frame::Wake { n: 1, to: device(2), seq: 5 },
        Frame::Taken { n: 1, device: device(4), epoch: 6 },
        Frame::News { n: 1, news: News::DevicesChanged { account: device(3).account, version: 9 } },
        Frame::TakenSeen { n: 2 },
        Frame::NewsHeard { n: 2 },
    ];
    for frame in &said {
        one.send(link, frame.clone()).unwrap();
    }
    eventually("all of it", || two.seen.heard(back).len() == said.len()).await;
    assert_eq!(two.seen.heard(back), said);
    assert_eq!(two.seen.seen()[0], Seen::Linked(back), "first");
    eventually("the answer", || one.accepted(link) == 1).await;

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
    for _ in 0..100 {
        // Who gives up gives room for others.
        let never = one.links.call(two_id, Bytes::from_static(b"never"), soon / 20).await;
        assert!(matches!(never, Err(CallError::Unanswered(_) | CallError::Refused(_))), "{never:?}");
    }
    let long: Bytes = vec![1; CALL_BYTES_MAX].into();
    assert_eq!(two.links.call(one.links.own(), long.clone(), SOON).await, Ok(long));
    let too_long = one.links.call(two_id, vec![1; CALL_BYTES_MAX + 1].into(), SOON).await;
    assert_eq!(too_long, Err(CallError::TooLong { len: CALL_BYTES_MAX + 1 }));

    eventually("a round trip", || one.links.health()[&two_id].rtt.is_some()).await;
    let health = &one.links.health()[&two_id];
    assert!(health.connected_for.is_some() && health.counters.read_bytes > 0 && health.counters.written_bytes > 0);
    assert_eq!((health.lives, health.traffic_bytes), (1, 0));
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
        assert_eq!(node.links.links().len(), 2);
        assert!(node.links.is_complete());
        assert!(node.links.health().values().all(|health| health.lives == 1), "nobody dials whom he waits for");
    }
}

#[tokio::test]
async fn whoever_tells_all_links_has_told_everybody_only_when_all_that_serve_are_there() {
    let mut cluster = Cluster::of(3).await;
    let (one, two) = (cluster.start(0), cluster.start(1));
    one.linked(two.links.own()).await;
    assert!(!one.links.is_complete(), "the third is not there");
    let third = cluster.id(2);
    let is = |state| one.view.send_modify(|view| view.members.get_mut(&third).unwrap().state = state);
    is(MemberState::Joining);
    assert!(one.links.is_complete(), "it serves nobody yet");
    is(MemberState::Draining);
    assert!(!one.links.is_complete());
    one.remove(third);
    assert!(one.links.is_complete());
    one.remove(one.links.own());
    assert!(!one.links.is_complete(), "who is no member knows nothing");
}

#[tokio::test]
async fn a_node_that_nobody_hears_answers_as_one_without_devices_until_somebody_does() {
    let mut cluster = Cluster::of(2).await;
    let (one, two) = (cluster.start(0), cluster.start_deaf(1));
    let link = one.linked(two.links.own()).await;
    let back = two.linked(one.links.own()).await;
    one.forward(link, 1, 10).unwrap();
    one.send(link, Frame::Wake { n: 1, to: device(2), seq: 5 }).unwrap();
    one.send(link, Frame::Taken { n: 1, device: device(4), epoch: 6 }).unwrap();
    one.send(link, Frame::News { n: 1, news: News::StandingChanged { account: device(3).account } }).unwrap();
    let answers = [
        Frame::Forwarded { n: 1, outcome: Outcome::Busy, moved: true },
        Frame::Woken { up_to: 1 },
        Frame::TakenSeen { n: 1 },
        Frame::NewsHeard { n: 1 },
    ];
    let has_all = || answers.iter().all(|answer| one.seen.heard(link).contains(answer));
    eventually("its answers", has_all).await;
    assert_eq!(two.seen.seen(), []);
    two.links.hear(two.seen.clone());
    eventually("the link", || two.seen.seen() == [Seen::Linked(back)]).await;
    assert_eq!(two.seen.refused.load(SeqCst), 1, "whoever hears it knows what the other end counts");
    one.forward(link, 2, 10).unwrap();
    eventually("an answer", || one.accepted(link) == 1).await;
}

#[tokio::test]
async fn a_link_that_breaks_ends_once_at_both_ends_and_comes_back_as_another() {
    let mut cluster = Cluster::of(2).await;
    let proxy = Proxy::before(cluster.member(1).peer_address.clone()).await;
    cluster.member(1).peer_address.clone_from(&proxy.address);
    let (one, two) = (cluster.start(0), cluster.start(1));
    let (link, back) = (one.linked(two.links.own()).await, two.linked(one.links.own()).await);
    one.forward(link, 1, 100).unwrap();
    eventually("an answer", || one.accepted(link) == 1).await;
    let never = {
        let (links, to) = (one.links.clone(), two.links.own());
        tokio::spawn(async move { links.call(to, Bytes::from_static(b"never"), SOON).await })
    };
    // So that the question is on its way.
    assert!(one.links.call(two.links.own(), Bytes::from_static(b"?"), SOON).await.is_ok());

    proxy.set(Wire::Cut);
    assert_eq!(never.await.unwrap(), Err(CallError::Unanswered(two.links.own())));
    eventually("the news of it", || one.broke(link) == 1 && two.broke(back) == 1).await;
    assert_eq!(one.forward(link, 2, 1), Err(NotSent::Broken));

    proxy.set(Wire::Whole);
    let (anew, back_anew) = (one.linked_anew(link).await, two.linked_anew(back).await);
    assert_eq!(one.forward(link, 2, 1), Err(NotSent::Broken), "the earlier life is over");
    one.forward(anew, 1, 1).unwrap();
    eventually("an answer", || one.accepted(anew) == 1).await;
    assert_eq!((one.broke(link), two.broke(back)), (1, 1));
    let linked_after = |node: &Node, before, anew| {
        let seen = node.seen.seen();
        let at = |what: Seen| seen.iter().position(|seen| *seen == what);
        at(Seen::Broke(before)) < at(Seen::Linked(anew))
    };
    assert!(linked_after(&one, link, anew) && linked_after(&two, back, back_anew));
    assert!(one.links.health()[&two.links.own()].lives >= 2);
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
    eventually("both ends", || one.broke(link) == 1 && two.broke(back) == 1).await;
    proxy.set(Wire::Whole);
    one.linked_anew(link).await;
    two.linked_anew(back).await;
}

#[tokio::test]
async fn a_member_that_is_removed_is_cut_at_once_and_does_not_come_back() {
    let mut cluster = Cluster::of(3).await;
    let [one, two, three] = [cluster.start(0), cluster.start(1), cluster.start(2)];
    // Two has heard that the one who dials it, and the one whom it dials, are removed. They have not.
    one.linked(two.links.own()).await;
    three.linked(two.links.own()).await;
    let (to_one, to_three) = (two.linked(one.links.own()).await, two.linked(three.links.own()).await);
    two.remove(one.links.own());
    two.remove(three.links.own());
    two.unlinked(one.links.own()).await;
    two.unlinked(three.links.own()).await;
    assert_eq!((two.broke(to_one), two.broke(to_three)), (1, 1));
    assert!(two.links.health().is_empty(), "nothing is known of nodes that are none of ours");
    let last_error = |node: &Node| node.links.health()[&two.links.own()].last_error.clone().unwrap_or_default();
    let alert = "the TLS handshake failed: received fatal alert";
    eventually("a refusal", || last_error(&one).starts_with(alert)).await;
    assert_eq!(two.links.links(), []);
    // The others are as they were.
    one.linked(three.links.own()).await;
    // Who is removed itself gives up everything.
    one.remove(one.links.own());
    one.unlinked(three.links.own()).await;
}

#[tokio::test]
async fn a_node_that_panics_over_a_frame_ends_that_link_and_comes_back() {
    let mut cluster = Cluster::of(2).await;
    let (one, two) = (cluster.start(0), cluster.start(1));
    let (link, back) = (one.linked(two.links.own()).await, two.linked(one.links.own()).await);
    two.seen.panics.store(true, SeqCst);
    one.forward(link, 1, 1).unwrap();
    eventually("both ends", || one.broke(link) == 1 && two.broke(back) == 1).await;
    let anew = one.linked_anew(link).await;
    one.forward(anew, 1, 1).unwrap();
    eventually("an answer", || one.accepted(anew) == 1).await;
}
