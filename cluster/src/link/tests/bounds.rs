//! Peers that misbehave, and what they cost.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::super::connect::Connected;
use super::super::outbox::TRAFFIC_BYTES_MAX;
use super::super::wire::{Answer, FRAME_BYTES_MAX, Payload, put, take};
use super::*;

async fn say(raw: &mut Connected, frames: &[Frame]) {
    let mut out = Vec::new();
    frames.iter().for_each(|frame| put(frame, &mut out).unwrap());
    raw.stream.write_all(&out).await.unwrap();
    raw.stream.flush().await.unwrap();
}

/// Reads until `wanted` or the end.
async fn hear(raw: &mut Connected, mut wanted: impl FnMut(Frame) -> bool) -> bool {
    let heard = async {
        loop {
            while let Some(body) = take(&mut raw.read).unwrap() {
                if wanted(Frame::decode(&body).unwrap()) {
                    return true;
                }
            }
            if !matches!(raw.stream.read_buf(&mut raw.read).await, Ok(1..)) {
                return false;
            }
        }
    };
    tokio::time::timeout(PATIENCE, heard).await.expect("it answers or ends")
}

#[tokio::test]
async fn what_is_no_frame_ends_the_link_and_no_other() {
    let mut cluster = Cluster::of(3).await;
    let (two, three) = (cluster.start(1), cluster.start(2));
    let healthy = two.linked(three.links.own()).await;
    let too_long = u32::try_from(FRAME_BYTES_MAX + 1).unwrap().to_be_bytes();
    let never_asked = [Frame::Pong { n: u64::MAX }, Frame::Answer { n: 0, answer: Answer::Refused }].map(|frame| {
        let mut out = Vec::new();
        put(&frame, &mut out).unwrap();
        out
    });
    let trailing = vec![0, 0, 0, 3, 0, 1, 9];
    let garbage = [too_long.to_vec(), vec![0, 0, 0, 1, 200], trailing, vec![0; 4]];
    for bytes in garbage.into_iter().chain(never_asked) {
        let mut raw = cluster.raw(0, 1).await.unwrap();
        let link = two.linked(cluster.id(0)).await;
        raw.stream.write_all(&bytes).await.unwrap();
        raw.stream.flush().await.unwrap();
        assert!(!hear(&mut raw, |_| false).await, "{bytes:?}");
        two.unlinked(cluster.id(0)).await;
        assert_eq!(two.broke(link), 1);
        let why = two.links.health()[&cluster.id(0)].last_error.clone();
        assert_eq!(why.as_deref(), Some("the other node does not keep to the protocol"), "{bytes:?}");
    }
    assert_eq!(two.links.link(three.links.own()), Some(healthy));
}

#[tokio::test]
async fn a_peer_that_stops_reading_costs_a_bounded_queue_and_its_link() {
    let slow = LinkTimings { pings_unanswered_max: 20, stall_max: Duration::from_secs(2), ..CALM };
    let mut cluster = Cluster::of(3).await;
    let (two, three) = (cluster.start_with(1, slow), cluster.start(2));
    let healthy = two.linked(three.links.own()).await;
    let raw = cluster.raw(0, 1).await.unwrap();
    let link = two.linked(cluster.id(0)).await;
    let (_unread, mut writer) = tokio::io::split(raw.stream);
    // It talks, so that it is not silent; it does not read.
    let talks = async {
        for n in 0.. {
            let mut out = Vec::new();
            put(&Frame::Ping { n }, &mut out).unwrap();
            if writer.write_all(&out).await.is_err() || writer.flush().await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let sends = async {
        let mut sent = 0;
        // The kernel takes some too.
        while two.forward(link, sent, 60_000).is_ok() {
            sent += 1;
            assert!(two.links.health()[&cluster.id(0)].traffic_bytes <= TRAFFIC_BYTES_MAX);
            tokio::task::yield_now().await;
        }
        assert_eq!(two.forward(link, sent, 60_000), Err(NotSent::Full));
        // The other link and its calls do not notice.
        for n in 0..20 {
            let answer = two.links.call(three.links.own(), Bytes::from_static(b"?"), SOON).await;
            assert_eq!(answer, Ok(Bytes::from_static(b"?")));
            two.forward(healthy, n, 100).unwrap();
        }
        eventually("answers", || two.accepted(healthy) == 20).await;
        eventually("its end", || two.broke(link) == 1).await;
    };
    tokio::join!(talks, sends);
    let health = two.links.health().remove(&cluster.id(0)).unwrap();
    assert!(health.counters.no_room >= 1);
    assert_eq!(health.last_error.as_deref(), Some("the other node is silent"));
    assert_eq!(two.links.link(three.links.own()), Some(healthy));
}

#[tokio::test]
async fn a_peer_that_asks_and_does_not_read_is_given_up() {
    let mut cluster = Cluster::of(2).await;
    let two = cluster.start(1);
    let _raw = cluster.raw(0, 1).await.unwrap();
    let link = two.linked(cluster.id(0)).await;
    // It has asked for all of these, and reads none.
    let answers = (0..10_000_000).take_while(|n| two.send(link, Frame::TakenSeen { n: *n }).is_ok()).count();
    assert!((100_000..10_000_000).contains(&answers));
    assert_eq!(two.send(link, Frame::TakenSeen { n: 1 }), Err(NotSent::Broken));
    eventually("its end", || two.broke(link) == 1).await;
    let why = two.links.health()[&cluster.id(0)].last_error.clone();
    assert_eq!(why.as_deref(), Some("the other node does not read what it is answered"));
}

#[tokio::test]
async fn too_many_questions_are_refused_and_the_rest_goes_on() {
    let mut cluster = Cluster::of(2).await;
    let _two = cluster.start(1);
    let mut raw = cluster.raw(0, 1).await.unwrap();
    let never = |n| Frame::Call { n, question: Payload(Bytes::from_static(b"never")) };
    say(&mut raw, &(0..70).map(never).collect::<Vec<_>>()).await;
    let mut refused = Vec::new();
    let hears = hear(&mut raw, |frame| {
        if let Frame::Answer { n, .. } = frame {
            refused.push(n);
        }
        refused.len() == 6
    });
    assert!(hears.await);
    assert_eq!(refused, (64..70).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_question_does_not_wait_behind_traffic() {
    let mut cluster = Cluster::of(2).await;
    let (one, two) = (cluster.start(0), cluster.start(1));
    let link = one.linked(two.links.own()).await;
    let back = two.linked(one.links.own()).await;
    let sent = (0..).take_while(|n| one.forward(link, *n, 60_000).is_ok()).count();
    assert!(sent > 100, "the queue is full");
    let answer = one.links.call(two.links.own(), Bytes::from_static(b"vote"), SOON).await;
    assert_eq!(answer, Ok(Bytes::from_static(b"vote")));
    let seen = two.seen.seen();
    let before = seen.iter().take_while(|seen| !matches!(seen, Seen::Called(_))).count();
    assert!(before < 20, "{before} of {sent} went before it");
    eventually("the rest", || two.seen.heard(back).len() == sent).await;
}
