//! Peers that misbehave, and what they cost.

use std::sync::atomic::Ordering::SeqCst;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::super::connect::Connected;
use super::super::life::{FORWARDED_BYTES_MAX, FORWARDS_MAX};
use super::super::outbox::TRAFFIC_BYTES_MAX;
use super::super::wire::{FRAME_BYTES_MAX, Frame, Payload, put, take};
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
    two.linked(three.links.own()).await;
    let healthy = two.links.peer(three.links.own()).unwrap().life();
    let too_long = u32::try_from(FRAME_BYTES_MAX + 1).unwrap().to_be_bytes();
    let mut trailing = BytesMut::new();
    trailing.extend_from_slice(&[0, 0, 0, 3, 0, 1, 9]);
    let never_asked = [
        Frame::Forwarded { n: 0, outcome: Outcome::Busy, moved: false },
        Frame::Woken { up_to: 7 },
        Frame::TakenSeen { n: 1 },
        Frame::NewsHeard { n: 0 },
        Frame::Pong { n: u64::MAX },
    ];
    let never_asked = never_asked.map(|frame| {
        let mut out = Vec::new();
        put(&frame, &mut out).unwrap();
        out
    });
    let garbage = [too_long.to_vec(), vec![0, 0, 0, 1, 200], trailing.to_vec(), vec![0; 4]];
    for bytes in garbage.into_iter().chain(never_asked) {
        let mut raw = cluster.raw(0, 1).await.unwrap();
        let life = two.linked(cluster.id(0)).await.life();
        raw.stream.write_all(&bytes).await.unwrap();
        raw.stream.flush().await.unwrap();
        assert!(!hear(&mut raw, |_| false).await, "{bytes:?}");
        two.unlinked(cluster.id(0)).await;
        assert!(two.seen.seen().contains(&Seen::Broke(life)));
        assert_eq!(
            two.links.health()[&cluster.id(0)].last_error.as_deref(),
            Some("the other node does not keep to the protocol"),
            "{bytes:?}"
        );
    }
    assert_eq!(two.links.peer(three.links.own()).unwrap().life(), healthy);
}

#[tokio::test]
async fn a_peer_that_stops_reading_costs_a_bounded_queue_and_its_link() {
    let slow = LinkTimings {
        ping_every: Duration::from_millis(50),
        pings_unanswered_max: 20,
        stall_max: Duration::from_secs(2),
        ..CALM
    };
    let mut cluster = Cluster::of(3).await;
    let (two, three) = (cluster.start_with(1, slow), cluster.start(2));
    two.linked(three.links.own()).await;
    let mut raw = cluster.raw(0, 1).await.unwrap();
    let link = two.linked(cluster.id(0)).await;
    // It talks, so that it is not silent; it does not read.
    let talks = async {
        for n in 0.. {
            let mut out = Vec::new();
            put(&Frame::Ping { n }, &mut out).unwrap();
            if raw.stream.write_all(&out).await.is_err() || raw.stream.flush().await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let forwarded = Heard::default();
    let sends = async {
        let mut sent = 0;
        // The kernel takes some too.
        while !forwarded.all().contains(&Settled::NotSent) {
            link.forward(envelope(sent, 60_000), forwarded.done());
            sent += 1;
            let health = &two.links.health()[&cluster.id(0)];
            assert!(health.traffic_bytes <= TRAFFIC_BYTES_MAX);
            tokio::task::yield_now().await;
        }
        // The other link and its calls do not notice.
        for _ in 0..20 {
            let answer = two.links.call(three.links.own(), Bytes::from_static(b"?"), SOON).await;
            assert_eq!(answer, Ok(Bytes::from_static(b"?")));
        }
        let other = Heard::default();
        two.linked(three.links.own()).await.forward(envelope(1, 100), other.done());
        assert_eq!(other.first().await, Settled::Answered { outcome: Outcome::Accepted { at: AT }, moved: false });
        eventually("its end", || forwarded.all().len() as u64 == sent).await;
    };
    tokio::join!(talks, sends);
    let lost = forwarded.all().iter().filter(|settled| **settled == Settled::Lost).count();
    assert_eq!(lost, forwarded.all().len() - 1, "all that was sent, once");
    assert!(two.links.health()[&cluster.id(0)].counters.no_room >= 1);
    assert_eq!(two.links.health()[&cluster.id(0)].last_error.as_deref(), Some("the other node is silent"));
}

#[tokio::test]
async fn a_flood_of_envelopes_is_kept_within_bounds_and_answered() {
    let mut cluster = Cluster::of(2).await;
    let two = cluster.start(1);
    two.seen.holds.store(true, SeqCst);
    let mut raw = cluster.raw(0, 1).await.unwrap();
    // More of them than may be unanswered; then, when there is room, more bytes of them.
    let sizes = [(FORWARDS_MAX + 100, 8, FORWARDS_MAX), (600, 65_000, FORWARDED_BYTES_MAX / 65_000)];
    let mut n = 0;
    for (count, len, kept) in sizes {
        let mut out = Vec::new();
        for _ in 0..count {
            put(&Frame::Forward { n, forward: envelope(n, len) }, &mut out).unwrap();
            n += 1;
        }
        // Only it reads meanwhile: answers wait.
        raw.stream.write_all(&out).await.unwrap();
        raw.stream.flush().await.unwrap();
        let mut busy = 0;
        assert!(
            hear(&mut raw, |frame| {
                busy += usize::from(matches!(frame, Frame::Forwarded { outcome: Outcome::Busy, .. }));
                busy == count - kept
            })
            .await
        );
        assert_eq!(two.seen.held.lock().unwrap().len(), kept);
        two.seen.held.lock().unwrap().clear();
        assert!(
            hear(&mut raw, |frame| {
                busy += usize::from(matches!(frame, Frame::Forwarded { outcome: Outcome::Busy, .. }));
                busy == count
            })
            .await,
            "each is answered"
        );
    }
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
    two.linked(one.links.own()).await;
    let forwarded = Heard::default();
    let mut sent = 0;
    while !forwarded.all().contains(&Settled::NotSent) {
        link.forward(envelope(sent, 60_000), forwarded.done());
        sent += 1;
    }
    assert!(sent > 100, "the queue is full");
    let answer = one.links.call(two.links.own(), Bytes::from_static(b"vote"), SOON).await;
    assert_eq!(answer, Ok(Bytes::from_static(b"vote")));
    let seen = two.seen.seen();
    let before = seen.iter().take_while(|seen| !matches!(seen, Seen::Called(_))).count();
    assert!(before < 20, "{before} of {sent} went before it");
    eventually("the rest", || forwarded.all().len() as u64 == sent).await;
    assert!(!forwarded.all().contains(&Settled::Lost));
}
