//! Programs of two versions in one cluster, and what an older one has left on the disk.
#![expect(clippy::unwrap_used, clippy::panic, reason = "test code: what fails here fails the test")]

use std::path::Path;
use std::sync::Arc;

use endtoend_cluster::NodeId;
use endtoend_cluster::claims::{ClaimDirectory as _, DEADLINE, Incarnation, LEASE, NameKey, RedisClaims};
use endtoend_cluster::link::wire::{Forward, Frame, Outcome, Tray, Versions};
use endtoend_cluster::redis::RedisAt;
use endtoend_protocol::{
    AccountTag, Address, ClientFrame, Deliver, DeliveryNumber, Envelope, EnvelopeId, Relation, Request, RetryReason,
    ServerFrame, UnixMillis,
};
use endtoend_testkit::{Cli, Cluster, Device, Node, PATIENCE, Peer, Wire, nodes, text};
use endtoend_testkit_postgres::{Server as Postgres, Settings};
use endtoend_testkit_redis::Server as Redis;
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

const ALICE: AccountTag = AccountTag::new([0xa2; 32]);
const BOB: AccountTag = AccountTag::new([0xb2; 32]);
/// What the program before this one speaks over links. Its names in Redis were others (docs/cluster.md, "Versions").
const BEFORE: Versions = Versions { min: 1, max: Versions::OURS.max - 1 };
const NAMES_CONTEXT: &str = "endtoend 2026-11 names of claims v1";

/// A peer that has a device, as long as it says so.
struct Holder {
    claims: Arc<RedisClaims>,
    me: Incarnation,
    renewing: JoinHandle<()>,
}

impl Holder {
    async fn of(device: Address, peer: &Peer, redis: &Redis) -> Self {
        let (_, secrets) = peer.control.secrets().get().unwrap();
        let store: [u8; 32] = secrets.get("store").unwrap().try_into().unwrap();
        let names = NameKey::derive(&blake3::derive_key(NAMES_CONTEXT, &store));
        let at = RedisAt::Server(redis::Client::open(redis.url()).unwrap());
        let cluster = peer.control.state().cluster().unwrap();
        let (claims, me) = (Arc::new(RedisClaims::start(&at, cluster, LEASE, DEADLINE)), peer.me);
        let (connecting, name) = (Arc::clone(&claims), names.name(device));
        let taken = async move {
            while connecting.renew(me, &[]).await.is_err() || connecting.take(me, name).await.is_err() {
                sleep(LEASE / 30).await;
            }
        };
        timeout(PATIENCE, taken).await.unwrap();
        let kept = Arc::clone(&claims);
        let renewing = tokio::spawn(async move {
            loop {
                // On a busy machine some come late; nobody else wants the device.
                let _renewed = kept.renew(me, &[]).await;
                sleep(LEASE / 6).await;
            }
        });
        Self { claims, me, renewing }
    }

    async fn leaves(self) {
        self.renewing.abort();
        // Its lease ends by itself, too.
        let _left = self.claims.leave(self.me).await;
    }
}

fn envelope(to: &Device, n: u8) -> Envelope {
    Envelope { id: EnvelopeId::new(UnixMillis::new(n.into()), [n; 10]), ..to.envelope(n, 100) }
}

/// It is accepted at once, or after what the node asks to repeat.
async fn accepted(wire: &mut Wire, id: EnvelopeId) {
    match wire.recv().await {
        Some(ServerFrame::Accepted { id: accepted, .. }) => assert_eq!(accepted, id),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_of_today_and_one_that_speaks_the_version_before_exchange_envelopes() {
    let (postgres, redis) = (Postgres::start(Settings { durable: true }), Redis::start());
    let cluster = Cluster::found(&postgres.database().await, &redis.url());
    let listen = cluster.nodes[0].listen();
    let (mut alice, _) = Wire::register(listen, ALICE).await;
    let (mut bob, bob_device) = Wire::register(listen, BOB).await;
    bob.decide(ALICE, Some(Relation::Accepted)).await;
    drop(bob);

    let mut older = Peer::join(&cluster, BEFORE).await;
    let today: NodeId = cluster.id(0).parse().unwrap();
    let link = older.link(today).await;
    assert_eq!(older.links.health().get(&today).and_then(|health| health.version), Some(BEFORE.max));
    let is_older = |node: &Value| {
        text(node, "name") == "peer" && node["link_version"] == BEFORE.max && text(node, "state") == "active"
    };
    tokio::task::block_in_place(|| {
        cluster.wait(0, "an older member", |status| nodes(status).iter().any(is_older));
    });

    // To the older one: the first by its wake-up, the next over the link; and what it refuses comes again.
    let holder = Holder::of(bob_device.address, &older, &redis).await;
    let mut n = 0;
    let (number, forward) = loop {
        n += 1;
        alice.send(&ClientFrame::Send(envelope(&bob_device, n))).await;
        let heard = older
            .next("a wake-up or an envelope", |frame| match frame {
                Frame::Wake { n, to, .. } => Some(Err((*n, *to))),
                Frame::Forward { n, forward } => Some(Ok((*n, forward.clone()))),
                _ => None,
            })
            .await;
        match heard {
            Err((up_to, to)) => {
                assert_eq!(to, bob_device.address);
                older.say(link, Frame::Woken { up_to });
                accepted(&mut alice, envelope(&bob_device, n).id).await;
            }
            Ok(forwarded) => break forwarded,
        }
        assert!(n < 190, "nothing goes over the link");
        // A directory that is young is not believed for a lease and two seconds: until then everything goes through the store.
        sleep(LEASE / 30).await;
    };
    assert_eq!(forward.envelope, envelope(&bob_device, n));
    older.say(link, Frame::Forwarded { n: number, outcome: Outcome::Busy, moved: false });
    match alice.recv().await {
        Some(ServerFrame::Retry { id, reason: RetryReason::Busy, .. }) => assert_eq!(id, forward.envelope.id),
        other => panic!("{other:?}"),
    }
    alice.send(&ClientFrame::RetriesHeard { count: 1 }).await;
    alice.send(&ClientFrame::Send(envelope(&bob_device, n))).await;
    let again = older
        .next("the same once more", |frame| match frame {
            Frame::Forward { n, forward } => Some((*n, forward.envelope.id)),
            _ => None,
        })
        .await;
    assert_eq!(again.1, forward.envelope.id);
    let at = UnixMillis::new(1_800_000_000_000);
    let outcome = Outcome::Accepted { at };
    older.say(link, Frame::Forwarded { n: again.0, outcome, moved: false });
    accepted(&mut alice, forward.envelope.id).await;

    // From the older one.
    holder.leaves().await;
    let mut bob = Wire::resume(listen, &bob_device).await;
    bob.ask(Request::Attach).await;
    let sent = envelope(&bob_device, 200);
    let (mut heard, mut number) = (Vec::new(), 0);
    while !heard.contains(&sent.id) {
        let forward = Forward { envelope: sent.clone(), tray: Tray::Contacts, accepted_at: at };
        number += 1;
        older.say(link, Frame::Forward { n: number, forward });
        let answered = |frame: &Frame| match frame {
            Frame::Forwarded { n, outcome, .. } if *n == number => Some(*outcome),
            _ => None,
        };
        // What waited for Bob comes first.
        let outcome = loop {
            tokio::select! {
                frame = bob.recv() => match frame {
                    Some(ServerFrame::Deliver(Deliver { id, delivery: DeliveryNumber(up_to), .. })) => {
                        heard.push(id);
                        bob.send(&ClientFrame::Ack { up_to: DeliveryNumber(up_to) }).await;
                    }
                    other => panic!("{other:?}"),
                },
                outcome = older.next("an answer", answered) => break outcome,
            }
        };
        match outcome {
            Outcome::Accepted { .. } => {}
            outcome => assert!(outcome.is_to_come_again(), "{outcome:?}"),
        }
        while let (Outcome::Accepted { .. }, false) = (outcome, heard.contains(&sent.id)) {
            match bob.recv().await {
                Some(ServerFrame::Deliver(Deliver { id, .. })) => heard.push(id),
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!((older.ends(), older.links.link(today)), (0, Some(link)), "over one link, which nobody ended");
    older.control.shutdown().await;
}

/// What a member of before leaves on its disk, apart from where its database is.
const LEFT: [&str; 3] = ["control.db", "node.key", "endtoend.cluster"];

fn pin(address: &str) -> &str {
    address.split('#').nth(1).unwrap()
}

#[tokio::test]
async fn what_a_member_of_an_older_program_has_left_is_opened_and_goes_on() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/member-1");
    let before: Value = serde_json::from_slice(&std::fs::read(folder.join("status.json")).unwrap()).unwrap();
    let place = tempfile::tempdir().unwrap();
    for name in LEFT {
        std::fs::copy(folder.join(name), place.path().join(name)).unwrap();
    }
    let (postgres, redis) = (Postgres::start(Settings { durable: true }), Redis::start());
    let database = postgres.database().await;
    // Its database was another one, and its certificate has ended long ago.
    let mut cluster = Cluster::going_on(place.path(), &database, &redis.url());
    let now = cluster.status(0);
    for same in ["cluster", "me", "secrets", "elections"] {
        assert_eq!(now[same], before[same], "{same}");
    }
    assert_eq!(pin(cluster.nodes[0].address()), pin(&text(&before, "address")), "what clients pin");

    assert_eq!(cluster.join(), 1, "its log goes on");
    let homes = tempfile::tempdir().unwrap();
    let person = |name: &str, node: &Node| {
        let cli = Cli::new(homes.path().join(name), node.address());
        cli.register(name).done();
        cli
    };
    let alice = person("alice.of.today", &cluster.nodes[0]);
    let bob = person("bob.of.today", &cluster.nodes[1]);
    alice.send("bob.of.today", "still here").done();
    assert_eq!(bob.listen(1), ["still here"]);
}
