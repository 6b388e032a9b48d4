//! Whole engines against a small node.

use std::time::Duration;

use endtoend_crypto_core::passphrase::Params;
use endtoend_protocol::{
    AccountTag, ClosingReason, MessageId, RefusalCode, RejectReason, Relation, Text, UnixMillis, limits,
};
use tempfile::TempDir;
use tokio::time::{Instant, timeout, timeout_at};
use zeroize::Zeroizing;

use super::node::Node;
use crate::database::{Account, Body, DatabaseError, KeySet, MessageState, SealedItem, Standing, Store, StoredToken};
use crate::engine::command::{Command, Password};
use crate::engine::establish::{Established, Login, Method};
use crate::engine::receive::Arrival;
use crate::engine::{
    AccountError, ConnectionState, Engine, Event, OfflineReason, Options, Registration, SendError, VerifyError,
};
use crate::handle::Handle;
use crate::profile::Profile;
use crate::profile::vault::Vault;

/// Far above what any step takes; only a hanging test meets it.
pub(in crate::engine) const PATIENCE: Duration = Duration::from_secs(60);
pub(super) const FAST: Params = Params { memory_kib: 8, passes: 1, lanes: 1 };
pub(super) const PASSWORD: &str = "correct horse";

pub(super) struct Person {
    home: TempDir,
    pub(super) handle: Handle,
    pub(super) engine: Engine,
}

pub(super) fn options(online: bool) -> Options {
    Options { password: Zeroizing::new(PASSWORD.to_owned()), online, connect_timeout: PATIENCE }
}

impl Person {
    /// A profile without an account.
    fn unregistered(handle: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let profile = Profile::create_with(home.path(), PASSWORD.as_bytes(), FAST).unwrap();
        let engine = Engine::start(profile, options(false)).unwrap();
        Self { home, handle: handle.parse().unwrap(), engine }
    }

    async fn register(&self, node: &Node) -> Result<(), AccountError> {
        let (server, handle) = (node.address.clone(), self.handle.clone());
        let registration = Registration { server, handle, invite: None, server_password: None };
        self.engine.handle().register(registration).await
    }

    pub(super) async fn registered(node: &Node, handle: &str) -> Self {
        let person = Self::unregistered(handle);
        person.register(node).await.unwrap();
        person
    }

    /// Ends the engine and starts another on the same profile.
    pub(super) async fn restarted(self, online: bool) -> Self {
        self.changed(online, |_| Ok(())).await
    }

    /// The same, with something else in the database meanwhile.
    pub(super) async fn changed(
        self,
        online: bool,
        change: impl FnOnce(&Store<'_>) -> Result<(), DatabaseError>,
    ) -> Self {
        let Self { home, handle, engine } = self;
        engine.stop().await;
        let mut profile = Profile::open_with(home.path(), PASSWORD.as_bytes(), FAST).unwrap();
        profile.database().write(change).unwrap();
        Self { home, handle, engine: Engine::start(profile, options(online)).unwrap() }
    }

    /// The same account, whose engine takes itself for somebody else.
    async fn restarted_as(self, other: &str) -> Self {
        let Self { home, engine, .. } = self;
        engine.stop().await;
        let mut profile = Profile::open_with(home.path(), PASSWORD.as_bytes(), FAST).unwrap();
        let handle: Handle = other.parse().unwrap();
        profile
            .database()
            .write(|store| {
                let account = store.account()?.unwrap();
                store.put_account(&Account { handle: handle.clone(), ..account })
            })
            .unwrap();
        Self { home, handle, engine: Engine::start(profile, options(true)).unwrap() }
    }

    /// Waits until the server has heard what one account has decided about another.
    async fn told(&self, node: &Node, pair: (AccountTag, AccountTag)) -> Option<Relation> {
        let deadline = crate::clock::monotonic() + PATIENCE;
        loop {
            if let Some(relation) = node.ledger().relations.get(&pair) {
                return *relation;
            }
            assert!(crate::clock::monotonic() < deadline, "the server hears nothing");
            tokio::task::yield_now().await;
        }
    }

    pub(super) fn home(&self) -> &std::path::Path {
        self.home.path()
    }

    pub(super) async fn send(&self, to: &str, text: &str) -> MessageId {
        let text = Text::new(text.to_owned()).unwrap();
        self.engine.handle().send(to.parse().unwrap(), text).await.unwrap()
    }

    pub(super) async fn until_online(&self) {
        let mut connection = self.engine.connection();
        let online = connection.wait_for(|state| *state == ConnectionState::Online);
        timeout(PATIENCE, online).await.unwrap().unwrap();
    }

    /// Waits until the server has taken a message, or has said that it never will.
    pub(super) async fn settled(&self, id: MessageId) -> MessageState {
        let (mut events, deadline) = (self.engine.events(), Instant::now() + PATIENCE);
        loop {
            let message = self.engine.handle().find(id).await.unwrap().unwrap();
            if message.state != MessageState::Queued {
                return message.state;
            }
            timeout_at(deadline, events.recv()).await.unwrap().unwrap();
        }
    }

    /// Waits until so many messages are unread.
    pub(super) async fn unread(&self, count: usize) -> Vec<String> {
        let (mut events, deadline) = (self.engine.events(), Instant::now() + PATIENCE);
        loop {
            let messages = self.engine.handle().unread(None, 1000).await.unwrap();
            if messages.len() >= count {
                let text = |body| match body {
                    Body::Text(text) => text.into_string(),
                    Body::File(_) | Body::Card(_) | Body::Unknown | Body::Deleted => panic!("not a text"),
                };
                return messages.into_iter().map(|message| text(message.body)).collect();
            }
            timeout_at(deadline, events.recv()).await.unwrap().unwrap();
        }
    }
}

#[tokio::test]
async fn messages_arrive_in_order_once_and_are_acknowledged() {
    let node = Node::start().await;
    let alice = Person::registered(&node, "alice").await;
    let bob = Person::registered(&node, "bob").await.restarted(false).await;
    let texts: Vec<String> = (0..20).map(|n| format!("message {n}")).collect();
    let mut last = None;
    for text in &texts {
        last = Some(alice.send("bob", text).await);
    }
    assert_eq!(alice.settled(last.unwrap()).await, MessageState::Accepted);
    assert_eq!(node.ledger().waiting(node.tag("bob")), 20);
    let bob = bob.restarted(true).await;
    assert_eq!(bob.unread(20).await, texts);
    let answer = bob.send("alice", "and back").await;
    assert_eq!(bob.settled(answer).await, MessageState::Accepted);
    assert_eq!(alice.unread(1).await, ["and back"]);
    let message = alice.engine.handle().unread(None, 1).await.unwrap().remove(0);
    assert_eq!(message.handle, Some(bob.handle.clone()));
    // The answer to a later frame has come, so what was acknowledged before has arrived.
    assert_eq!(node.ledger().waiting(node.tag("bob")), 0);
}

#[tokio::test]
async fn keys_that_are_due_are_replaced_unless_the_clocks_disagree() {
    let node = Node::start().await;
    let Person { home, handle, engine } = Person::registered(&node, "bob").await;
    engine.stop().await;
    let mut profile = Profile::open_with(home.path(), PASSWORD.as_bytes(), FAST).unwrap();
    let make_due = |store: &Store<'_>| -> Result<(), DatabaseError> {
        let latest = store.key_sets()?.pop().unwrap();
        let before = UnixMillis::new(latest.made_at.get() - 1);
        store.put_key_set(&KeySet { made_at: before, rotate_at: before, ..latest }).map(drop)
    };
    profile.database().write(make_due).unwrap();
    drop(profile);

    let start =
        || Engine::start(Profile::open_with(home.path(), PASSWORD.as_bytes(), FAST).unwrap(), options(true)).unwrap();
    let mut bob = Person { engine: start(), home: tempfile::tempdir().unwrap(), handle };
    for (clock_ahead_ms, rotations) in [(7_200_000, 0), (0, 1), (0, 1)] {
        let Person { home, handle, engine } = bob;
        engine.stop().await;
        node.ledger().clock_ahead_ms = clock_ahead_ms;
        bob = Person { engine: start(), home, handle };
        // The answer to a message comes after what the engine asked when it came online.
        assert_eq!(
            bob.settled(bob.send("bob2", "hello?").await).await,
            MessageState::Rejected(RejectReason::UnknownRecipient)
        );
        assert_eq!(node.ledger().rotations, rotations, "{clock_ahead_ms} ms");
    }
    bob.engine.stop().await;
}

#[tokio::test]
async fn what_was_queued_for_old_keys_opens_after_the_device_came_back_and_replaced_them() {
    let node = Node::start().await;
    let alice = Person::registered(&node, "alice").await;
    let Person { home, handle, engine } = Person::registered(&node, "bob").await;
    engine.stop().await;
    let first = alice.send("bob", "while you were away").await;
    assert_eq!(alice.settled(first).await, MessageState::Accepted);

    let mut profile = Profile::open_with(home.path(), PASSWORD.as_bytes(), FAST).unwrap();
    let old = profile.database().read().key_sets().unwrap().pop().unwrap();
    let make_old = |store: &Store<'_>| -> Result<(), DatabaseError> {
        store.remove_key_set(&old)?;
        let (made_at, rotate_at) = (UnixMillis::new(1), UnixMillis::new(2));
        store.put_key_set(&KeySet { made_at, rotate_at, ..old }).map(drop)
    };
    profile.database().write(make_old).unwrap();
    let bob = Person { engine: Engine::start(profile, options(true)).unwrap(), home, handle };
    assert_eq!(bob.unread(1).await, ["while you were away"]);
    // Alice does not know yet that there are other keys.
    let second = alice.send("bob", "and now").await;
    assert_eq!(alice.settled(second).await, MessageState::Accepted);
    assert_eq!(bob.unread(2).await, ["while you were away", "and now"]);
    assert_eq!(node.ledger().rotations, 1);

    let Person { home, engine, .. } = bob;
    engine.stop().await;
    let mut profile = Profile::open_with(home.path(), PASSWORD.as_bytes(), FAST).unwrap();
    let sets = profile.database().read().key_sets().unwrap();
    assert_eq!(sets.len(), 2);
    assert!(sets[0].retired_at.is_some() && sets[1].published);
    assert_ne!(sets[0].envelope, sets[1].envelope);
}

#[tokio::test]
async fn a_clock_that_is_far_off_is_told() {
    let node = Node::start().await;
    let mut alice = Person::registered(&node, "alice").await;
    for (node_ahead_ms, expected) in [(7_200_000, Some(false)), (20_000, None), (-7_200_000, Some(true))] {
        node.ledger().clock_ahead_ms = node_ahead_ms;
        alice = alice.restarted(true).await;
        // Nothing was missed: the node runs on this thread and has not answered yet.
        let mut events = alice.engine.events();
        let mut told = None;
        loop {
            match timeout(PATIENCE, events.recv()).await.unwrap().unwrap() {
                Event::ClockOff { by, ahead } => {
                    assert!(by > Duration::from_secs(7_100), "{by:?}");
                    told = Some(ahead);
                }
                Event::Connection(ConnectionState::Online) => break,
                _ => {}
            }
        }
        assert_eq!(told, expected, "{node_ahead_ms} ms");
    }
}

#[tokio::test]
async fn an_unanswered_envelope_is_sent_again_with_the_same_bytes_and_shown_once() {
    let node = Node::start().await;
    let alice = Person::registered(&node, "alice").await;
    let bob = Person::registered(&node, "bob").await;
    node.ledger().cut_after_send = 1;
    let id = alice.send("bob", "hello").await;
    assert_eq!(alice.settled(id).await, MessageState::Accepted);
    let sends = node.ledger().sends.clone();
    assert_eq!(sends.len(), 2);
    assert_eq!(sends[0], sends[1]);
    let last = alice.send("bob", "the end").await;
    alice.settled(last).await;
    assert_eq!(bob.unread(2).await, ["hello", "the end"]);
}

#[tokio::test]
async fn a_message_outlives_the_program_and_the_connection() {
    let node = Node::start().await;
    let bob = Person::registered(&node, "bob").await;
    let alice = Person::registered(&node, "alice").await;
    let id = alice.send("bob", "hello").await;
    alice.settled(id).await;
    let alice = alice.restarted(false).await;
    let id = alice.send("bob", "written offline").await;
    let alice = alice.restarted(true).await;
    assert_eq!(alice.settled(id).await, MessageState::Accepted);
    assert_eq!(bob.unread(2).await, ["hello", "written offline"]);
    assert_eq!(node.ledger().token_logins, 1, "a restart goes on with the token");
}

#[tokio::test]
async fn a_node_that_stops_is_left_for_as_long_as_it_asks_and_gets_the_message_later() {
    let node = Node::start().await;
    let (alice, bob) = (Person::registered(&node, "alice").await, Person::registered(&node, "bob").await);
    for (asked, least) in [(300, Duration::from_millis(300)), (u64::MAX, limits::COME_BACK_MAX)] {
        node.ledger().stop_at_send = Some(asked);
        let (mut connection, before) = (alice.engine.connection(), crate::clock::now());
        let id = alice.send("bob", "later").await;
        let offline = connection.wait_for(|state| matches!(state, ConnectionState::Offline { .. }));
        let state = timeout(PATIENCE, offline).await.unwrap().unwrap().clone();
        let ConnectionState::Offline { retry_at: Some(at), why } = state else { panic!("{state:?}") };
        assert_eq!(why, OfflineReason::Closed(ClosingReason::ShuttingDown));
        assert!(at >= before.plus(least), "not before it was asked to");
        assert!(at <= crate::clock::now().plus(limits::COME_BACK_MAX), "but no server sends anybody away for good");
        if asked == 300 {
            assert_eq!(alice.settled(id).await, MessageState::Accepted);
            assert_eq!(bob.unread(1).await, ["later"]);
        }
    }
}

#[tokio::test]
async fn a_retry_is_tried_again_in_order() {
    let node = Node::start().await;
    let alice = Person::registered(&node, "alice").await;
    let bob = Person::registered(&node, "bob").await;
    let first = alice.send("bob", "first").await;
    alice.settled(first).await;
    node.ledger().retry_sends = 2;
    let second = alice.send("bob", "second").await;
    assert_eq!(alice.settled(second).await, MessageState::Accepted);
    assert_eq!(bob.unread(2).await, ["first", "second"]);
    // The node knows each time which of its answers were known.
    assert_eq!(node.ledger().retries_heard, [(0, 0), (1, 2), (2, 3)]);
}

#[tokio::test]
async fn a_message_to_nobody_is_rejected() {
    let node = Node::start().await;
    let alice = Person::registered(&node, "alice").await;
    let id = alice.send("nobody", "hello?").await;
    assert_eq!(alice.settled(id).await, MessageState::Rejected(RejectReason::UnknownRecipient));
    let status = alice.engine.handle().status().await.unwrap();
    assert_eq!((status.outbox, status.registered), (0, true));
}

#[tokio::test]
async fn a_refused_token_is_replaced_by_a_refresh_and_that_by_the_password() {
    let node = Node::start().await;
    let alice = Person::registered(&node, "alice").await;
    node.ledger().refuse_tokens = true;
    let alice = alice.restarted(true).await;
    alice.until_online().await;
    let logins = |node: &Node| {
        let ledger = node.ledger();
        (ledger.token_logins, ledger.refreshes, ledger.password_logins)
    };
    assert_eq!(logins(&node), (0, 1, 0));
    node.ledger().refuse_refresh = true;
    let alice = alice.restarted(true).await;
    alice.until_online().await;
    assert_eq!(logins(&node), (0, 1, 1));
    // Each refresh brings the token for the next.
    node.ledger().refuse_refresh = false;
    let mut alice = alice;
    for count in 2..5 {
        alice = alice.restarted(true).await;
        alice.until_online().await;
        assert_eq!(logins(&node), (0, count, 1));
    }
}

#[tokio::test]
async fn a_refresh_whose_answer_was_lost_is_repeated() {
    let node = Node::start().await;
    let alice = Person::registered(&node, "alice").await;
    {
        let mut ledger = node.ledger();
        (ledger.refuse_tokens, ledger.cut_after_refresh) = (true, true);
    }
    let alice = alice.restarted(true).await;
    alice.until_online().await;
    let ledger = node.ledger();
    assert_eq!((ledger.refreshes, ledger.password_logins), (2, 0));
}

#[tokio::test]
async fn a_stranger_works_for_whatever_the_server_asks_it_for() {
    let node = Node::start().await;
    node.ledger().want_work = true;
    let alice = Person::registered(&node, "alice").await;
    assert_eq!(node.ledger().lookups, 1);
    assert_eq!(node.ledger().works, 2, "for the look-up and for the account");
    let alice = alice.restarted(true).await;
    alice.until_online().await;
    assert_eq!(node.ledger().lookups, 1, "the own account is known from then on");
    assert_eq!(node.ledger().works, 3, "for going on with a token");
}

#[tokio::test]
async fn a_handle_is_looked_up_once_and_a_sender_has_the_name_that_the_server_confirms() {
    let node = Node::start().await;
    let (alice, bob) = (Person::registered(&node, "alice").await, Person::registered(&node, "bob").await);
    for text in ["one", "two"] {
        let id = alice.send("bob", text).await;
        assert_eq!(alice.settled(id).await, MessageState::Accepted);
    }
    assert_eq!(bob.unread(2).await, ["one", "two"]);
    let heard = bob.engine.handle().unread(None, 10).await.unwrap();
    assert!(heard.iter().all(|message| message.handle.as_ref() == Some(&alice.handle)));
    assert_eq!(node.ledger().lookups, 4, "each for the own handle, and each for the other's");
    let history = bob.engine.handle().history("alice".parse().unwrap(), 10).await.unwrap();
    assert_eq!(history.len(), 2);
}

#[tokio::test]
async fn nobody_is_called_by_a_name_that_the_server_does_not_confirm() {
    let node = Node::start().await;
    let bob = Person::registered(&node, "bob").await;
    let mallory = Person::registered(&node, "mallory").await;
    // Mallory's engine believes to be Alice's.
    let mallory = mallory.restarted_as("alice").await;
    let id = mallory.send("bob", "I am Alice").await;
    mallory.settled(id).await;
    assert_eq!(bob.unread(1).await, ["I am Alice"]);
    let heard = bob.engine.handle().unread(None, 10).await.unwrap();
    assert_eq!((heard[0].handle.clone(), heard[0].peer), (None, node.tag("mallory")));
}

#[tokio::test]
async fn what_is_written_to_an_unknown_handle_waits_until_the_server_can_be_asked() {
    let node = Node::start().await;
    let bob = Person::registered(&node, "bob").await;
    let alice = Person::registered(&node, "alice").await.restarted(false).await;
    let ids = [alice.send("bob", "one").await, alice.send("bob", "two").await];
    let history = |alice: &Person| {
        let handle = alice.engine.handle();
        async move { handle.history("bob".parse().unwrap(), 10).await.unwrap() }
    };
    assert_eq!(history(&alice).await.len(), 2);
    node.ledger().refuse_lookups = true;
    let alice = alice.restarted(true).await;
    alice.until_online().await;
    assert_eq!(alice.engine.handle().status().await.unwrap().outbox, 2, "refused, and kept");
    node.ledger().refuse_lookups = false;
    let alice = alice.restarted(true).await;
    for id in ids {
        assert_eq!(alice.settled(id).await, MessageState::Accepted);
    }
    assert_eq!(bob.unread(2).await, ["one", "two"]);
    let history = history(&alice).await;
    assert!(history.iter().all(|message| message.peer == node.tag("bob")), "{history:?}");
    assert_eq!(history.len(), 2);
    let known = alice.engine.handle().contacts().await.unwrap();
    assert_eq!(known.len(), 1, "nothing is left of what stood in");
}

#[tokio::test]
async fn whoever_is_written_to_and_writes_before_he_is_found_is_one_person() {
    let node = Node::start().await;
    let bob = Person::registered(&node, "bob").await;
    let alice = Person::registered(&node, "alice").await.restarted(false).await;
    let id = alice.send("bob", "to whom?").await;
    let letter = bob.send("alice", "from whom?").await;
    bob.settled(letter).await;
    node.ledger().refuse_lookups = true;
    let alice = alice.restarted(true).await;
    let (mut events, deadline) = (alice.engine.events(), Instant::now() + PATIENCE);
    // The one who was written to, and a nameless one.
    while alice.engine.handle().contacts().await.unwrap().len() < 2 {
        timeout_at(deadline, events.recv()).await.unwrap().unwrap();
    }
    node.ledger().refuse_lookups = false;
    let alice = alice.restarted(true).await;
    assert_eq!(alice.settled(id).await, MessageState::Accepted);
    let history = alice.engine.handle().history("bob".parse().unwrap(), 10).await.unwrap();
    assert_eq!(history.len(), 2, "{history:?}");
    let known = alice.engine.handle().contacts().await.unwrap();
    assert_eq!(known.len(), 1, "{known:?}");
}

#[tokio::test]
async fn a_message_is_sealed_for_the_devices_that_there_are() {
    let node = Node::start().await;
    let (alice, bob) = (Person::registered(&node, "alice").await, Person::registered(&node, "bob").await);
    let first = alice.send("bob", "first").await;
    alice.settled(first).await;
    node.ledger().devices_changes = 1;
    let second = alice.send("bob", "second").await;
    assert_eq!(alice.settled(second).await, MessageState::Accepted);
    assert_eq!(bob.unread(2).await, ["first", "second"]);
    let versions: Vec<u32> = node.ledger().sends.iter().map(|envelope| envelope.devices_version).collect();
    assert_eq!((versions[0], versions[1], *versions.last().unwrap()), (1, 1, 2));
}

#[tokio::test]
async fn what_was_decided_about_somebody_reaches_the_server_even_if_it_was_away() {
    let node = Node::start().await;
    let (alice, bob) = (Person::registered(&node, "alice").await, Person::registered(&node, "bob").await);
    let id = alice.send("bob", "hello").await;
    alice.settled(id).await;
    bob.unread(1).await;
    let [a, b] = ["alice", "bob"].map(|handle| node.tag(handle));
    assert_eq!(alice.told(&node, (a, b)).await, Some(Relation::Accepted), "whoever is written to may answer");
    let bob = bob.restarted(false).await;
    let contacts = bob.engine.handle().contacts().await.unwrap();
    assert_eq!(contacts[0].standing, Standing::Request);
    bob.engine.handle().decide("alice".parse().unwrap(), Standing::Blocked).await.unwrap();
    assert!(!node.ledger().relations.contains_key(&(b, a)));
    assert!(bob.engine.handle().unread(None, 10).await.unwrap().is_empty());
    let text = Text::new("no".to_owned()).unwrap();
    let sent = bob.engine.handle().send("alice".parse().unwrap(), text).await;
    assert!(matches!(sent, Err(SendError::Blocked(_))), "{sent:?}");
    let bob = bob.restarted(true).await;
    assert_eq!(bob.told(&node, (b, a)).await, Some(Relation::Blocked));
    bob.engine.handle().decide("alice".parse().unwrap(), Standing::Request).await.unwrap();
    let deadline = crate::clock::monotonic() + PATIENCE;
    while node.ledger().relations[&(b, a)].is_some() {
        assert!(crate::clock::monotonic() < deadline);
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_the_server_puts_off_is_asked_again_on_the_same_connection() {
    let node = Node::start().await;
    let (alice, bob) = (Person::registered(&node, "alice").await, Person::registered(&node, "bob").await);
    node.ledger().retry_after_ms = 20;
    node.ledger().refuse_relations = 2;
    node.ledger().refuse_lookups = true;
    let id = alice.send("bob", "hello").await;
    let lookups = node.ledger().lookups;
    node.ledger().refuse_lookups = false;
    assert_eq!(alice.settled(id).await, MessageState::Accepted);
    assert_eq!(bob.unread(1).await, ["hello"]);
    assert!(node.ledger().lookups > lookups);
    let [a, b] = ["alice", "bob"].map(|handle| node.tag(handle));
    assert_eq!(alice.told(&node, (a, b)).await, Some(Relation::Accepted));
    assert_eq!(node.ledger().refuse_relations, 0, "it was put off twice");
}

/// Strangers are told to wait for hours. An answer says that the wait is over.
#[tokio::test]
async fn a_long_wait_ends_when_the_recipient_writes() {
    let node = Node::start().await;
    let (alice, bob) = (Person::registered(&node, "alice").await, Person::registered(&node, "bob").await);
    let first = alice.send("bob", "first").await;
    alice.settled(first).await;
    assert_eq!(bob.unread(1).await, ["first"]);
    node.ledger().retry_after_ms = 3_600_000;
    node.ledger().retry_sends = 1;
    let second = alice.send("bob", "second").await;
    let deadline = crate::clock::monotonic() + PATIENCE;
    while node.ledger().retry_sends > 0 {
        assert!(crate::clock::monotonic() < deadline);
        tokio::task::yield_now().await;
    }
    assert_eq!(alice.engine.handle().status().await.unwrap().outbox, 1, "it waits");
    let answer = bob.send("alice", "yes?").await;
    bob.settled(answer).await;
    assert_eq!(alice.settled(second).await, MessageState::Accepted);
    assert_eq!(bob.unread(2).await, ["first", "second"]);
}

#[tokio::test]
async fn login_asks_for_the_password_even_with_a_token() {
    let node = Node::start().await;
    let alice = Person::registered(&node, "alice").await.restarted(false).await;
    alice.engine.handle().login().await.unwrap();
    assert_eq!(node.ledger().password_logins, 1);
}

#[tokio::test]
async fn a_handle_in_use_is_refused() {
    let node = Node::start().await;
    let _alice = Person::registered(&node, "alice").await;
    let other = Person::unregistered("alice");
    let taken = |result| matches!(result, Err(AccountError::Offline(OfflineReason::Refused(RefusalCode::HandleTaken))));
    assert!(taken(other.register(&node).await));
    // Another try with another device's keys does not take it over either.
    assert!(taken(other.register(&node).await));
}

#[tokio::test]
async fn a_registration_whose_answer_was_lost_is_completed_by_repeating_it() {
    let node = Node::start().await;
    let alice = Person::unregistered("alice");
    node.ledger().cut_after_register = true;
    assert!(alice.register(&node).await.is_err());
    alice.register(&node).await.unwrap();
    let bob = Person::registered(&node, "bob").await;
    let id = bob.send("alice", "you are here after all").await;
    bob.settled(id).await;
    assert_eq!(alice.unread(1).await, ["you are here after all"]);
}

#[tokio::test]
async fn without_an_account_nothing_is_sent_and_nobody_logs_in() {
    let alice = Person::unregistered("alice");
    let text = Text::new("hello".to_owned()).unwrap();
    let sent = alice.engine.handle().send("bob".parse().unwrap(), text).await;
    assert!(matches!(sent, Err(SendError::NotRegistered)));
    assert!(matches!(alice.engine.handle().login().await, Err(AccountError::NotRegistered)));
}

#[tokio::test]
async fn both_sides_verify_by_the_same_number() {
    let node = Node::start().await;
    let alice = Person::registered(&node, "alice").await;
    let bob = Person::registered(&node, "bob").await;
    // Neither has written yet: the server is asked.
    let (a, b) = (
        alice.engine.handle().verify(bob.handle.clone()).await.unwrap(),
        bob.engine.handle().verify(alice.handle.clone()).await.unwrap(),
    );
    assert_eq!(a.safety_number, b.safety_number);
    let handle = alice.engine.handle();
    assert!(handle.contacts().await.unwrap().is_empty(), "nobody is known for having been asked about");
    assert!(matches!(handle.mark_verified(bob.handle.clone(), None).await, Err(VerifyError::Unknown(_))));
    assert!(handle.mark_verified(bob.handle.clone(), Some(a.peer_identity)).await.unwrap().verified);
    let known = handle.contacts().await.unwrap();
    assert_eq!(
        known.iter().map(|known| (known.handle.as_ref(), known.verified)).collect::<Vec<_>>(),
        [(Some(&bob.handle), true)]
    );
}

/// Fails to compile when one of the types has `Debug`: the path is ambiguous then.
macro_rules! have_no_debug {
    ($($secret:ty),* $(,)?) => { $({
        trait Shown<A> { fn is() {} }
        impl<T: ?Sized> Shown<()> for T {}
        impl<T: ?Sized + std::fmt::Debug> Shown<u8> for T {}
        <$secret as Shown<_>>::is();
    })* };
}

/// Nothing that is printed by `{:?}` shows a password, a seed, a token or a text.
#[tokio::test]
async fn nothing_secret_is_shown() {
    have_no_debug!(Options, Login, Method, Established, Account, StoredToken, SealedItem, Store<'_>, Vault);
    let node = Node::start().await;
    let alice = Person::registered(&node, "alice").await;
    let profile_home = tempfile::tempdir().unwrap();
    let mut profile = Profile::create_with(profile_home.path(), PASSWORD.as_bytes(), FAST).unwrap();
    let (_, key) = Vault::create(&mut rand::rng(), PASSWORD.as_bytes(), FAST).unwrap();
    let text = Text::new("a text for nobody else".to_owned()).unwrap();
    let id = alice.send("bob", text.as_str()).await;
    alice.settled(id).await;
    let message = alice.engine.handle().find(id).await.unwrap().unwrap();
    let (reply, _) = tokio::sync::oneshot::channel();
    let command = Command::Send("bob".parse().unwrap(), text.clone(), None, reply);
    let (reply, _) = tokio::sync::oneshot::channel();
    let unlock = Command::Unlock(Password(Zeroizing::new(PASSWORD.to_owned())), reply);
    let shown = [
        ("the database key", format!("{key:?}"), "DatabaseKey(..)"),
        ("a database", format!("{:?}", profile.database()), "Database"),
        ("a profile", format!("{profile:?}"), "Profile { home: "),
        ("an engine", format!("{:?}", alice.engine), "Engine { "),
        ("its handle", format!("{:?}", alice.engine.handle()), "EngineHandle { "),
        ("a command", format!("{command:?}"), "Send(Handle(\"bob\"), Text(22 B), "),
        ("an unlocking", format!("{unlock:?}"), "Unlock(Password(..), "),
        ("a body", format!("{:?}", Body::Text(text)), "Text(Text(22 B))"),
        ("a message", format!("{message:?}"), "StoredMessage { "),
        (
            "an arrival",
            format!("{:?}", Arrival::Message { message: message.into(), new_session: true, owes: false }),
            "Message { ",
        ),
        ("the status", format!("{:?}", alice.engine.handle().status().await.unwrap()), "Status { "),
    ];
    let bytes = |bytes: &[u8]| [hex::encode(bytes), format!("{bytes:?}").trim_matches(['[', ']']).to_owned()];
    let secrets = [PASSWORD.as_bytes(), b"a text for nobody else", &key.as_ref()[..8]];
    let guises: Vec<_> = secrets.iter().flat_map(|secret| bytes(secret)).collect();
    for (what, text, expected) in shown {
        assert!(text.starts_with(expected), "{what}: {text}");
        assert!(!text.contains(PASSWORD) && !text.contains("a text for nobody else"), "{what}: {text}");
        assert!(!guises.iter().any(|guise| text.contains(guise)), "{what}: {text}");
    }
}
