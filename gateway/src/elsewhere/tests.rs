//! The actors of two nodes that share a store and a directory of claims, with a link in memory between them.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use actix::{Actor, Arbiter, ArbiterHandle, Context, Handler, Recipient};
use async_trait::async_trait;
use endtoend_cluster::NodeId;
use endtoend_cluster::claims::{Incarnation, LEASE, LocalClaims, NameKey};
use endtoend_cluster::link::wire::Frame;
use endtoend_cluster::peers::{HearsPeers, LinkLife, NotSent, PeerLink, Peers};
use endtoend_protocol::{AccountTag, Address, DeviceId, Envelope, EnvelopeId, UnixMillis};
use endtoend_storage::{AppendOutcome, Newer, Page, PageLimits, QueueBatch, QueueStore, Queued, Seq, StoreError, Tray};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;

use super::parts::Others;
use crate::clock;
use crate::directory::{AttachTo, Directory, LeaveTo};
use crate::letter::Letter;
use crate::mailbox::{Attach, AttachmentId, Caller, DeviceEvent, FromDevice, Push};
use crate::memory::Memory;
use crate::metrics::Metrics;
use crate::queue_writer::QueueWriter;
use crate::receipt::{Outcome, Receipt, SendSettled};
use crate::router::{Lanes, Router, Routes};

const PATIENCE: Duration = Duration::from_secs(60);
const BOB: Address = Address { account: AccountTag::new([2; 32]), device: DeviceId::FIRST };

/// A link that is told what to do by nobody: frames come in order, and to whoever hears.
struct Line {
    runs: [Incarnation; 2],
    ears: [OnceLock<Arc<dyn HearsPeers>>; 2],
    to: [mpsc::UnboundedSender<Frame>; 2],
}

struct Side(usize, Arc<Line>);

impl std::fmt::Debug for Side {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Side({})", self.0)
    }
}

impl Peers for Side {
    fn links(&self) -> Vec<PeerLink> {
        vec![PeerLink { life: LinkLife(1), run: self.1.runs[1 - self.0] }]
    }
    fn is_complete(&self) -> bool {
        true
    }
    fn nodes(&self) -> Vec<NodeId> {
        vec![self.1.runs[1 - self.0].node]
    }
    fn send(&self, _: LinkLife, frame: Frame) -> Result<(), NotSent> {
        self.1.to[1 - self.0].send(frame).map_err(|_| NotSent::Broken)
    }
}

#[derive(Default)]
struct Rows(Mutex<(i64, Vec<(Address, Queued)>)>);

#[async_trait]
impl QueueStore for Rows {
    async fn commit(&self, batch: QueueBatch) -> Result<Vec<AppendOutcome>, StoreError> {
        let mut rows = self.0.lock().unwrap();
        let gone: BTreeSet<_> = batch.deletes.iter().map(|(_, seq)| *seq).collect();
        rows.1.retain(|(_, row)| !gone.contains(&row.seq));
        let append = |append: endtoend_storage::Append| {
            if let Some((_, row)) = rows.1.iter().find(|(_, row)| row.id == append.id) {
                return AppendOutcome::Repeat(row.seq);
            }
            rows.0 += 1;
            let seq = Seq(rows.0);
            let row = Queued { seq, id: append.id, accepted_at: append.accepted_at, body: append.body };
            rows.1.push((append.to, row));
            AppendOutcome::Stored(seq)
        };
        Ok(batch.appends.into_iter().map(append).collect())
    }
    async fn load(&self, to: Address, after: Seq, _: PageLimits, _: UnixMillis) -> Result<Page, StoreError> {
        let rows = self.0.lock().unwrap();
        let of = rows.1.iter().filter(|(of, row)| *of == to && row.seq > after);
        Ok(Page { rows: of.map(|(_, row)| row.clone()).take(64).collect(), more: false })
    }
    async fn newer(&self, after: &[(Address, Seq)]) -> Result<Vec<Newer>, StoreError> {
        let rows = self.0.lock().unwrap();
        let newer = after.iter().filter_map(|(to, seq)| {
            let of = rows.1.iter().filter(|(of, row)| of == to && row.seq > *seq).map(|(_, row)| row.seq);
            Some(Newer { to: *to, last: of.last()? })
        });
        Ok(newer.collect())
    }
    async fn delete_expired(&self, _: UnixMillis, _: u32) -> Result<u64, StoreError> {
        Ok(0)
    }
}

/// A connection: everything that it is told.
struct Probe<M>(mpsc::UnboundedSender<M>);
impl<M: Send + Unpin + 'static> Actor for Probe<M> {
    type Context = Context<Self>;
}
impl Handler<Push> for Probe<Push> {
    type Result = ();
    fn handle(&mut self, push: Push, _: &mut Self::Context) {
        let _ends = self.0.send(push);
    }
}
impl Handler<SendSettled> for Probe<Outcome> {
    type Result = ();
    fn handle(&mut self, settled: SendSettled, _: &mut Self::Context) {
        let _ends = self.0.send(settled.outcome);
    }
}

struct Node {
    router: Arc<Router>,
    attach: Recipient<AttachTo>,
    leave: Recipient<LeaveTo>,
    metrics: Arc<Metrics>,
    connections: AtomicU64,
}

fn node(me: usize, line: &Arc<Line>, claims: &LocalClaims, store: &Arc<Rows>) -> Node {
    let arbiter = || -> ArbiterHandle { Arbiter::current() };
    let (routes, metrics) = (Arc::new(Routes::default()), Arc::new(Metrics::new(clock::monotonic())));
    let store: Arc<dyn QueueStore> = Arc::clone(store) as Arc<dyn QueueStore>;
    let heard = Arc::clone(line);
    let others = Others {
        me: line.runs[me],
        names: NameKey::derive(&[7; 32]),
        claims: Arc::new(claims.clone()),
        peers: Arc::new(Side(me, Arc::clone(line))),
        on_hearing: Box::new(move |ears| drop(heard.ears[me].set(ears))),
    };
    let others = others.start(&routes, &arbiter, metrics.clone());
    let writer = QueueWriter::new(store.clone(), routes.clone(), Some(others.after_commit()), metrics.clone()).start();
    let router = Arc::new(Router::new(routes.clone(), writer.clone().recipient(), Some(others.elsewhere())));
    let (forget, persist) = (writer.clone().recipient(), writer.recipient());
    let directory = Directory::new(store.clone(), routes.clone(), persist, forget, metrics.clone()).start();
    let mailboxes = (directory.clone().recipient(), directory.recipient());
    let keeper = others.keep_claims(mailboxes, store, routes, &arbiter);
    others.hear(router.clone(), Memory::new(1_000), Box::new(|_| {}), &keeper, &arbiter);
    Node {
        router,
        attach: keeper.clone().recipient(),
        leave: keeper.recipient(),
        metrics,
        connections: AtomicU64::new(0),
    }
}

impl Node {
    /// Bob comes here.
    fn bob(&self) -> (AttachmentId, mpsc::UnboundedReceiver<Push>) {
        let (sender, pushes) = mpsc::unbounded_channel();
        let attachment = AttachmentId(self.connections.fetch_add(1, Ordering::Relaxed));
        let connection = Caller::new(Probe(sender).start().recipient());
        let attach = Attach { device: BOB.device, attachment, connection };
        self.attach.try_send(AttachTo { account: BOB.account, attach, thread: Arbiter::current() }).unwrap();
        (attachment, pushes)
    }

    /// Somebody here writes to Bob.
    async fn write(&self, n: u64, lanes: &mut Lanes) -> Outcome {
        let id = EnvelopeId::new(UnixMillis::new(n), [1; 10]);
        let (sender, mut outcomes) = mpsc::unbounded_channel();
        let permit = || Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        let receipt =
            Receipt::new((id, BOB, None), Probe(sender).start().recipient(), permit(), permit(), clock::monotonic());
        let body = bytes::Bytes::from_static(b"sealed");
        let envelope = Envelope { id, to: BOB, body, devices_version: 1 };
        let letter = Letter { envelope, accepted_at: UnixMillis::new(n), tray: Tray::Contacts, turn: None };
        self.router.route(n, letter, receipt, lanes);
        let outcome = timeout(PATIENCE, outcomes.recv()).await.unwrap().unwrap();
        lanes.settled(id);
        outcome
    }
}

type Line2 = (Node, Node, Arc<Rows>);

fn run<F: Future<Output = ()>>(test: impl FnOnce(Line2) -> Pin<Box<F>>) {
    actix_web::rt::System::new().block_on(async {
        let (to_first, mut at_first) = mpsc::unbounded_channel();
        let (to_second, mut at_second) = mpsc::unbounded_channel();
        let runs = [1, 2].map(|n| Incarnation { node: NodeId::new(n), run: n });
        let line = Arc::new(Line { runs, ears: [OnceLock::new(), OnceLock::new()], to: [to_first, to_second] });
        let (claims, store) = (LocalClaims::new(LEASE), Arc::default());
        let (first, second) = (node(0, &line, &claims, &store), node(1, &line, &claims, &store));
        for end in [0, 1] {
            line.ears[end].get().unwrap().linked(PeerLink { life: LinkLife(1), run: runs[1 - end] }, 0);
        }
        let carried = Arc::clone(&line);
        actix_web::rt::spawn(async move {
            loop {
                let (end, frame) = tokio::select! {
                    Some(frame) = at_first.recv() => (0, frame),
                    Some(frame) = at_second.recv() => (1, frame),
                };
                carried.ears[end].get().unwrap().heard(PeerLink { life: LinkLife(1), run: runs[1 - end] }, frame);
            }
        });
        test((first, second, store)).await;
    });
}

async fn next(pushes: &mut mpsc::UnboundedReceiver<Push>) -> Push {
    timeout(PATIENCE, pushes.recv()).await.unwrap().unwrap()
}

/// The envelopes that come next, so many.
async fn shown(pushes: &mut mpsc::UnboundedReceiver<Push>, count: usize) -> Vec<EnvelopeId> {
    let mut shown = Vec::new();
    while shown.len() < count {
        match next(pushes).await {
            Push::Deliver(deliveries) => shown.extend(deliveries.into_iter().map(|deliver| deliver.id)),
            Push::Attached { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    shown
}

fn ids(numbers: impl IntoIterator<Item = u64>) -> Vec<EnvelopeId> {
    numbers.into_iter().map(|n| EnvelopeId::new(UnixMillis::new(n), [1; 10])).collect()
}

#[test]
fn who_is_on_another_node_is_written_to_through_the_store_and_then_over_the_link() {
    run(|(here, there, _)| {
        Box::pin(async move {
            let mut lanes = Lanes::default();
            let (attachment, mut pushes) = there.bob();
            let Push::Attached { mailbox, .. } = next(&mut pushes).await else { panic!("not attached") };
            let (mut n, deadline) = (0, clock::monotonic() + PATIENCE);
            // Through the store at first: it is not clear yet that nobody else has him.
            while here.metrics.forwarded.get() < 3 {
                assert!(clock::monotonic() < deadline, "nothing goes over the link");
                n += 1;
                assert!(matches!(here.write(n, &mut lanes).await, Outcome::Accepted { .. }));
                let event = DeviceEvent::Acknowledged(endtoend_protocol::DeliveryNumber(n));
                assert_eq!(shown(&mut pushes, 1).await, ids([n]), "each once, and in order");
                mailbox.try_send(FromDevice { device: BOB.device, attachment, event }).unwrap();
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
    });
}

#[test]
fn who_goes_to_another_node_gets_there_what_he_has_not_acknowledged_and_is_gone_from_the_first() {
    run(|(here, there, store)| {
        Box::pin(async move {
            let mut lanes = Lanes::default();
            let (_, mut first) = there.bob();
            assert!(matches!(next(&mut first).await, Push::Attached { .. }));
            for n in 1..=3 {
                assert!(matches!(here.write(n, &mut lanes).await, Outcome::Accepted { .. }));
            }
            assert_eq!(shown(&mut first, 3).await, ids(1..=3));
            let (attachment, mut second) = here.bob();
            let Push::Attached { mailbox, .. } = next(&mut second).await else { panic!("not attached") };
            assert_eq!(shown(&mut second, 3).await, ids(1..=3));
            assert!(matches!(next(&mut first).await, Push::Replaced));
            let left = FromDevice { device: BOB.device, attachment: AttachmentId(0), event: DeviceEvent::Left };
            there.leave.try_send(LeaveTo { account: BOB.account, left }).unwrap();
            // From both nodes, in the order in which it is accepted.
            let mut others = Lanes::default();
            for n in [4, 6, 8] {
                assert!(matches!(there.write(n, &mut others).await, Outcome::Accepted { .. }));
                assert!(matches!(here.write(n + 1, &mut lanes).await, Outcome::Accepted { .. }));
            }
            assert_eq!(shown(&mut second, 6).await, ids(4..=9));
            let event = DeviceEvent::Acknowledged(endtoend_protocol::DeliveryNumber(9));
            mailbox.try_send(FromDevice { device: BOB.device, attachment, event }).unwrap();
            let deadline = clock::monotonic() + PATIENCE;
            while !store.0.lock().unwrap().1.is_empty() {
                assert!(clock::monotonic() < deadline, "what is acknowledged is deleted");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
    });
}
