//! Whole engines against a node that lies.

use endtoend_protocol::MessageId;
use tokio::time::timeout;

use super::node::{Lie, Node};
use super::wiring::{PATIENCE, Person};
use crate::database::{MessageState, Notice, NoticeKind};
use crate::engine::{ConnectionState, Event, Misnumbered, OfflineReason};

struct Pair {
    node: Node,
    alice: Person,
    bob: Person,
}

impl Pair {
    async fn start() -> Self {
        let node = Node::start().await;
        let (alice, bob) = (Person::registered(&node, "alice").await, Person::registered(&node, "bob").await);
        Self { node, alice, bob }
    }

    /// Alice says it, the node says that it is safe, and then does this.
    async fn says(&self, text: &str, lie: Option<Lie>) -> MessageId {
        self.node.ledger().lie = lie;
        let id = self.alice.send("bob", text).await;
        assert_eq!(self.alice.settled(id).await, MessageState::Accepted);
        id
    }

    /// What Bob was told, when he has as many messages.
    async fn told(&self, messages: usize) -> Vec<(NoticeKind, u64, u64)> {
        self.bob.unread(messages).await;
        let notices = self.bob.engine.handle().unseen_notices(None, 99).await.unwrap();
        notices.iter().map(|notice| (notice.kind, notice.first, notice.last)).collect()
    }

    async fn repeats(&self) -> u64 {
        self.bob.engine.handle().status().await.unwrap().repeats
    }
}

async fn noticed(events: &mut tokio::sync::broadcast::Receiver<Event>) -> Box<Notice> {
    loop {
        if let Event::Noticed(notice) = timeout(PATIENCE, events.recv()).await.unwrap().unwrap() {
            return notice;
        }
    }
}

#[tokio::test]
async fn a_node_that_drops_an_envelope_is_told_of_at_the_next_message() {
    let pair = Pair::start().await;
    let mut events = pair.bob.engine.events();
    pair.says("heard", None).await;
    pair.says("kept back", Some(Lie::Drop)).await;
    assert_eq!(pair.told(1).await, []);
    pair.says("heard too", None).await;
    assert_eq!(pair.told(2).await, [(NoticeKind::Missing, 2, 2)]);
    let notice = noticed(&mut events).await;
    assert_eq!((notice.kind, notice.missing, notice.own), (NoticeKind::Missing, 1, false));
    // Where it stands, also after a restart.
    let bob = pair.bob.restarted(false).await;
    let with = "alice".parse::<crate::handle::Handle>().unwrap();
    let history = bob.engine.handle().history(with.clone(), 9).await.unwrap();
    let notices = bob.engine.handle().notices(with, 0).await.unwrap();
    assert_eq!((history.len(), notices.len()), (2, 1));
    assert!(history[0].seq <= notices[0].after && notices[0].after < history[1].seq);
}

#[tokio::test]
async fn a_node_that_exchanges_two_is_told_of() {
    let pair = Pair::start().await;
    pair.says("first", None).await;
    pair.says("second", Some(Lie::Swap)).await;
    pair.says("third", None).await;
    assert_eq!(pair.told(3).await, [(NoticeKind::Late, 2, 2)]);
    assert_eq!(pair.bob.unread(3).await, ["first", "third", "second"]);
}

#[tokio::test]
async fn a_node_that_repeats_or_replays_is_counted_and_shown_nothing_for_it() {
    let pair = Pair::start().await;
    pair.node.ledger().repeat = true;
    pair.says("one", None).await;
    pair.says("two", None).await;
    assert_eq!(pair.told(2).await, []);
    pair.node.ledger().repeat = false;
    pair.says("three", None).await;
    pair.told(3).await;
    assert_eq!(pair.repeats().await, 2);
    let bob = pair.node.tag("bob");
    let deadline = crate::clock::monotonic() + PATIENCE;
    while pair.node.ledger().waiting(bob) > 0 {
        assert!(crate::clock::monotonic() < deadline, "not acknowledged");
        tokio::task::yield_now().await;
    }
    pair.node.ledger().replay(0);
    pair.says("four", None).await;
    assert_eq!(pair.told(4).await, []);
    assert_eq!(pair.bob.unread(4).await, ["one", "two", "three", "four"]);
    assert_eq!(pair.repeats().await, 3);
}

#[tokio::test]
async fn what_an_honest_node_asks_to_repeat_or_to_seal_anew_is_told_as_nothing() {
    let pair = Pair::start().await;
    pair.says("one", None).await;
    pair.node.ledger().devices_changes += 1;
    pair.says("for another list of devices", None).await;
    pair.node.ledger().retry_sends = 2;
    pair.says("asked to wait", None).await;
    pair.node.ledger().cut_after_send = 1;
    pair.says("unanswered", None).await;
    pair.says("last", None).await;
    assert_eq!(pair.told(5).await, []);
    assert_eq!(pair.repeats().await, 0);
}

#[tokio::test]
async fn a_node_that_leaves_out_a_number_is_not_believed() {
    let pair = Pair::start().await;
    pair.says("one", None).await;
    pair.bob.unread(1).await;
    pair.node.ledger().numbers_left_out = 1;
    let mut connection = pair.bob.engine.connection();
    pair.says("two", None).await;
    let state = timeout(PATIENCE, connection.wait_for(|state| matches!(state, ConnectionState::Offline { .. }))).await;
    let ConnectionState::Offline { why, retry_at } = state.unwrap().unwrap().clone() else { panic!("online") };
    // On this connection, or already on the next.
    let OfflineReason::Misnumbered(Misnumbered { wanted, met }) = why else { panic!("{why:?}") };
    assert!(met == wanted + 1 && retry_at.is_some(), "{why:?}");
    assert_eq!(why.to_string(), format!("the server broke the protocol: delivery {met} came where {wanted} was due"));
    // Nothing of it was acknowledged: it comes when the node counts again as it should.
    pair.node.ledger().numbers_left_out = 0;
    assert_eq!(pair.bob.unread(2).await, ["one", "two"]);
}
