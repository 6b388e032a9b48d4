//! Couriers that log in, leave and are held up, and an outbox that is full.

use std::fs;
use std::sync::Arc;

use endtoend_protocol::{AccountTag, DeviceId, MessageId, RefusalCode, RejectReason, UnixMillis};
use tokio::sync::{Semaphore, broadcast, mpsc, watch};
use zeroize::Zeroizing;

use super::node::Node;
use super::wiring::{FAST, PASSWORD, PATIENCE, Person, options};
use crate::clock;
use crate::database::{Account, AccountState, MessageState, OUTBOX_MAX, Settings, Standing, Store};
use crate::engine::courier::{Entered, Report, mark};
use crate::engine::lanes::Note;
use crate::engine::lock::Outside;
use crate::engine::run::Runner;
use crate::engine::{Attaching, ConnectionState, OfflineReason, Way};
use crate::files::{Manner, Source};
use crate::profile::Profile;
use crate::transport::NetworkStatus;

async fn attach(person: &Person, to: &str) -> MessageId {
    let path = person.home().join("a file to send");
    fs::write(&path, b"what is in it").unwrap();
    let attaching =
        Attaching { to: to.parse().unwrap(), source: Source::File(path), manner: Manner::Usual, reply_to: None };
    person.engine.handle().attach(attaching).await.unwrap()
}

/// Waits until something is so that nobody tells of.
async fn eventually(what: &str, holds: impl Fn() -> bool) {
    let deadline = clock::monotonic() + PATIENCE;
    while !holds() {
        assert!(clock::monotonic() < deadline, "{what}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_courier_that_logs_in_brings_the_token_back_whatever_becomes_of_its_file() {
    let node = Node::start().await;
    let (alice, _bob) = (Person::registered(&node, "alice").await, Person::registered(&node, "bob").await);
    let door = Arc::new(Semaphore::new(0));
    node.ledger().door = Some(Arc::clone(&door));
    let id = attach(&alice, "bob").await;
    eventually("nobody comes", || node.ledger().token_logins == 1).await;
    // The server has given the next refresh token, and this device does not have it yet.
    alice.engine.handle().cancel_file("bob".parse().unwrap(), id, Way::Up).await.unwrap();
    node.ledger().door = None;
    let id = attach(&alice, "bob").await;
    door.add_permits(1);
    assert_eq!(alice.settled(id).await, MessageState::Accepted);
    assert_eq!(node.ledger().token_logins, 1, "it is the same one that brings the next file");
    node.ledger().refuse_tokens = true;
    let alice = alice.restarted(true).await;
    alice.until_online().await;
    let ledger = node.ledger();
    assert_eq!((ledger.refreshes, ledger.password_logins), (1, 0), "a refresh token was lost");
}

#[tokio::test]
async fn tokens_that_come_late_are_not_taken_for_later_ones() {
    let home = tempfile::tempdir().unwrap();
    let mut profile = Profile::create_with(home.path(), PASSWORD.as_bytes(), FAST).unwrap();
    let account = Account {
        server: format!("endtoend://127.0.0.1:1/#pin={}", "00".repeat(64)).parse().unwrap(),
        handle: "alice".parse().unwrap(),
        tag: Some(AccountTag::new([1; 32])),
        oprf_key: None,
        server_password: None,
        device: DeviceId::FIRST,
        state: AccountState::Registered,
        seed: Box::new(Zeroizing::new([3; 64])),
    };
    profile.database().write(|store| store.put_account(&account)).unwrap();
    profile.database().write(|store| store.set_refresh_token(Some(b"first"))).unwrap();
    let (_commands, inbox) = mpsc::channel(1);
    let (events, _) = broadcast::channel(1);
    let (state, _connection) = watch::channel(ConnectionState::Offline { retry_at: None, why: OfflineReason::Idle });
    let (network, _status) = watch::channel(NetworkStatus::default());
    let outside = Outside { commands: inbox, events, state, network };
    let mut runner = Runner::new(profile, options(false), outside).map_err(|(error, _)| error).unwrap();
    let mut come = |refresh: &[u8]| {
        let entered = Entered {
            before: mark(Some(b"first")),
            token: Zeroizing::new(refresh.to_vec()),
            expires: UnixMillis::new(7),
            refresh: Some(Zeroizing::new(refresh.to_vec())),
        };
        let report = Report::Entered(entered);
        runner.noted(Note::Courier { way: Way::Up, number: 9, report }).unwrap();
        let store = runner.database().read();
        let (refresh, token) = (store.refresh_token().unwrap().unwrap(), store.token().unwrap().unwrap());
        (refresh.to_vec(), token.bytes.to_vec())
    };
    // From a courier that has left meanwhile, and nothing else has come.
    assert_eq!(come(b"second"), (b"second".to_vec(), b"second".to_vec()));
    assert_eq!(come(b"older"), (b"second".to_vec(), b"second".to_vec()));
}

/// Somebody whose changed identity nobody has accepted: what is for him stays in the outbox.
const BLOCKED: AccountTag = AccountTag::new([9; 32]);

async fn with_full_outbox(person: Person, online: bool) -> Person {
    let fill = |store: &Store<'_>| {
        store.set_changed_identity(BLOCKED, Some(&[5; 33]))?;
        let left = OUTBOX_MAX - store.outbox()?.len();
        (0..left)
            .try_for_each(|_| store.enqueue(MessageId::new(UnixMillis::new(1), [8; 10]), BLOCKED, b"waits").map(drop))
    };
    person.changed(online, fill).await
}

#[tokio::test]
async fn a_file_whose_message_has_no_room_is_tried_again_and_the_connection_stays() {
    let node = Node::start().await;
    let (alice, bob) = (Person::registered(&node, "alice").await, Person::registered(&node, "bob").await);
    node.ledger().blobs.refuse = Some(RefusalCode::Unavailable);
    let id = attach(&alice, "bob").await;
    let alice = with_full_outbox(alice, true).await;
    alice.until_online().await;
    // A message that comes, too, finds no room for the receipt that is owed.
    let sent = bob.send("alice", "hello").await;
    assert_eq!(bob.settled(sent).await, MessageState::Accepted);
    assert_eq!(alice.unread(1).await, ["hello"]);
    let mut connection = alice.engine.connection();
    connection.mark_unchanged();
    node.ledger().blobs.refuse = None;
    alice.engine.handle().retry("bob".parse().unwrap(), id).await.unwrap();
    eventually("it is not at the server", || node.ledger().blobs.count() == 1).await;
    // Whatever comes back of it is dealt with before what is asked after another file has come.
    let seqs = alice.engine.handle().unread(None, 9).await.unwrap().into_iter().map(|message| message.seq).collect();
    alice.engine.handle().mark_shown(seqs).await.unwrap();
    let sent = bob.send("alice", "still there?").await;
    assert_eq!(bob.settled(sent).await, MessageState::Accepted);
    assert_eq!(alice.unread(1).await, ["still there?"]);
    assert!(!connection.has_changed().unwrap(), "the connection has ended");
    let file = alice.engine.handle().message("bob".parse().unwrap(), id).await.unwrap().unwrap();
    assert_eq!(file.state, MessageState::Queued);
    // There is room again.
    let alice = alice
        .changed(true, |store| {
            let rows = store.outbox()?;
            let waiting = rows.iter().filter(|row| row.recipient == BLOCKED);
            waiting.take(9).try_for_each(|row| store.rejected(row.seq, RejectReason::UnknownRecipient).map(drop))
        })
        .await;
    assert_eq!(alice.settled(id).await, MessageState::Accepted);
}

#[tokio::test]
async fn what_is_settled_for_oneself_counts_here_when_the_outbox_is_full() {
    let node = Node::start().await;
    let (alice, bob) = (Person::registered(&node, "alice").await, Person::registered(&node, "bob").await);
    let sent = bob.send("alice", "hello").await;
    bob.settled(sent).await;
    alice.unread(1).await;
    let alice = with_full_outbox(alice, false).await;
    let (engine, bob) = (alice.engine.handle(), || "bob".parse().unwrap());
    let settings = Settings { receipts: true, typing: true };
    engine.set_settings(settings).await.unwrap();
    assert_eq!(engine.settings().await.unwrap(), settings);
    engine.set_nickname(bob(), Some("Bobby".parse().unwrap())).await.unwrap();
    engine.decide(bob(), Standing::Accepted).await.unwrap();
    let message = engine.unread(None, 9).await.unwrap().remove(0);
    engine.mark_shown(vec![message.seq]).await.unwrap();
    assert_eq!(engine.unread(None, 9).await.unwrap(), []);
    let contacts = engine.contacts().await.unwrap();
    let contact = contacts.iter().find(|contact| contact.handle.as_ref() == Some(&bob())).unwrap();
    assert_eq!(
        (contact.nickname.as_ref().map(|name| name.as_str()), contact.standing),
        (Some("Bobby"), Standing::Accepted)
    );
}
