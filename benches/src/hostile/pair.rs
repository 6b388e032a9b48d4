//! Two people who do nothing wrong, at a fixed rate.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use endtoend_benches::Stopwatch;
use endtoend_protocol::{
    AccountTag, ClientFrame, DeliveryNumber, Envelope, EnvelopeId, Relation, Request, ServerFrame, UnixMillis,
};
use endtoend_testkit::{Device, Wire, WireReceiver, WireSender};
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// Bytes of each message.
const BYTES: usize = 2_304;
/// A message that has not come after this long is lost.
const LOST_AFTER: Duration = Duration::from_secs(30);
/// How often somebody who says nothing shows that he is there.
pub(crate) const PING_EACH: Duration = Duration::from_secs(30);

pub(crate) struct Pair {
    alice: (WireSender, WireReceiver),
    bobs: (WireSender, WireReceiver),
    bob: Device,
    /// Messages so far, of which the last ones may be under way.
    said: u64,
    heard: u64,
    pub(crate) wrong: u64,
}

impl Pair {
    pub(crate) async fn register(node: SocketAddr) -> Self {
        let (alice, bob) = (AccountTag::new([0xa; 32]), AccountTag::new([0xb; 32]));
        let (mut bobs, bob) = Wire::register(node, bob).await;
        bobs.decide(alice, Some(Relation::Accepted)).await;
        let (alice, _) = Wire::register(node, alice).await;
        bobs.ask(Request::Attach).await;
        Self { alice: alice.split(), bobs: bobs.split(), bob, said: 0, heard: 0, wrong: 0 }
    }

    /// Awaits something while nobody speaks; the node ends whoever says nothing for 75 s.
    pub(crate) async fn waiting_for<T>(&mut self, something: impl Future<Output = T>) -> T {
        let (alice, bob) = (&mut self.alice.0, &mut self.bobs.0);
        let mut stay = async || -> Infallible {
            loop {
                sleep(PING_EACH).await;
                for one in [&mut *alice, &mut *bob] {
                    // One who has gone shows when he speaks again.
                    let _ = one.ping().await;
                    let _ = one.try_flush().await;
                }
            }
        };
        tokio::select! { done = something => done, never = stay() => match never {} }
    }

    /// Nanoseconds from when each message was due to when it was delivered.
    pub(crate) async fn talk(&mut self, watch: Stopwatch, rate: u32, seconds: u32) -> Vec<u64> {
        let every = Duration::from_secs(1) / rate.max(1);
        let first = self.said;
        let (said, heard, wrong) = (&mut self.said, &mut self.heard, &mut self.wrong);
        let ((out, answers), (acks, deliveries), to) = (&mut self.alice, &mut self.bobs, self.bob.address);
        let messages = u64::from(rate * seconds);
        let speak = async {
            for number in 0..messages {
                sleep_until(Instant::from_std(watch.at(every * number as u32))).await;
                let envelope = Envelope { id: id(*said), to, body: Bytes::from(vec![7; BYTES]), devices_version: 1 };
                *said += 1;
                out.feed(&ClientFrame::Send(envelope)).await;
                out.flush().await;
            }
        };
        let accept = async {
            for _ in 0..messages {
                let answer = timeout(LOST_AFTER, answers.recv()).await;
                *wrong += u64::from(!matches!(answer, Ok(Some(ServerFrame::Accepted { .. }))));
            }
        };
        let mut delivered = Vec::new();
        let listen = async {
            let mut bad = 0;
            while delivered.len() < messages as usize {
                match timeout(LOST_AFTER, deliveries.recv()).await {
                    Ok(Some(ServerFrame::Deliver(deliver))) => {
                        let due = every * (*heard - first) as u32;
                        delivered.push(watch.elapsed().saturating_sub(due).as_nanos() as u64);
                        bad += u64::from(deliver.id != id(*heard));
                        *heard += 1;
                        acks.feed(&ClientFrame::Ack { up_to: DeliveryNumber(deliver.delivery.0) }).await;
                        acks.flush().await;
                    }
                    Ok(Some(_)) => {}
                    Ok(None) | Err(_) => {
                        bad += messages - delivered.len() as u64;
                        break;
                    }
                }
            }
            bad
        };
        let ((), (), bad) = tokio::join!(speak, accept, listen);
        self.wrong += bad;
        delivered
    }
}

fn id(number: u64) -> EnvelopeId {
    EnvelopeId::new(UnixMillis::new(number), [0xa; 10])
}
