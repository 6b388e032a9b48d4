//! Conversations that go as a whole.

use endtoend_protocol::{ContentKind, Relation, Text};
use tokio::time::timeout;

use super::linking::{linked, sealed};
use super::messages::Device;
use super::node::Node;
use super::wiring::{PATIENCE, Person};
use crate::clock;
use crate::database::{Draft, Extent, MessageState, Question, Standing};
use crate::engine::receive::Arrival;
use crate::engine::repair::{copy_for_own_devices, settle_for_own_devices};
use crate::engine::seal::open_sessions;
use crate::engine::{Change, Deed, Event, RemoveError, Removing, VerifyError};
use crate::handle::Handle;

fn bob() -> Handle {
    "bob".parse().unwrap()
}

fn removing(contact: bool) -> Removing {
    Removing { with: bob(), contact }
}

#[tokio::test]
async fn a_conversation_goes_and_another_begins_with_the_same_person() {
    let node = Node::start().await;
    let (alice, bob_there) = (Person::registered(&node, "alice").await, Person::registered(&node, "bob").await);
    let handle = alice.engine.handle();
    assert!(matches!(handle.remove(removing(false)).await, Err(RemoveError::Unknown(_))));
    let id = alice.send("bob", "a word to be forgotten").await;
    alice.settled(id).await;
    bob_there.unread(1).await;
    bob_there.send("alice", "another to be forgotten").await;
    alice.unread(1).await;
    let begun = Draft { text: Text::new("forgotten, too".to_owned()).unwrap(), answers: None, edits: None };
    handle.set_draft(bob(), Some(begun)).await.unwrap();
    let mut events = alice.engine.events();
    assert_eq!(handle.remove(removing(false)).await.unwrap(), 2);
    let told = loop {
        if let Event::Changed { with, change: Change::Removed, .. } =
            timeout(PATIENCE, events.recv()).await.unwrap().unwrap()
        {
            break with;
        }
    };
    assert_eq!(told, Some(bob()));
    assert!(handle.history(bob(), 9).await.unwrap().is_empty());
    let question = Question { words: "forgotten".to_owned(), ..Question::default() };
    assert!(handle.search(question, None, 9).await.unwrap().is_empty());
    assert_eq!(handle.draft(bob()).await.unwrap(), None);
    let kept = handle.conversation(bob()).await.unwrap().unwrap();
    assert_eq!((kept.contact.standing, kept.unread, kept.last), (Standing::Accepted, 0, None));
    assert_eq!(bob_there.engine.handle().history("alice".parse().unwrap(), 9).await.unwrap().len(), 2, "he keeps his");
    let id = alice.send("bob", "anew").await;
    assert_eq!(alice.settled(id).await, MessageState::Accepted);
    assert_eq!(bob_there.unread(2).await, ["a word to be forgotten", "anew"]);
}

#[tokio::test]
async fn a_contact_goes_from_the_server_too_and_writes_as_a_stranger_then() {
    let node = Node::start().await;
    let (alice, bob_there) = (Person::registered(&node, "alice").await, Person::registered(&node, "bob").await);
    let handle = alice.engine.handle();
    let id = alice.send("bob", "hello").await;
    alice.settled(id).await;
    bob_there.unread(1).await;
    handle.set_nickname(bob(), Some("Bobby".parse().unwrap())).await.unwrap();
    let own = handle.remove(Removing { with: "alice".parse().unwrap(), contact: true }).await;
    assert!(matches!(own, Err(RemoveError::Oneself)), "{own:?}");
    handle.decide(bob(), Standing::Blocked).await.unwrap();
    assert!(matches!(handle.remove(removing(true)).await, Err(RemoveError::Blocked(_))));
    handle.decide(bob(), Standing::Accepted).await.unwrap();
    handle.remove(removing(true)).await.unwrap();
    assert!(handle.contacts().await.unwrap().is_empty());
    assert!(matches!(handle.devices_of(bob()).await, Err(VerifyError::Unknown(_))));
    let pair = (node.tag("alice"), node.tag("bob"));
    let deadline = clock::monotonic() + PATIENCE;
    while node.ledger().relations.get(&pair) != Some(&None) {
        assert!(clock::monotonic() < deadline, "{:?}", node.ledger().relations.get(&pair));
        tokio::task::yield_now().await;
    }
    assert_ne!(node.ledger().relations.get(&pair), Some(&Some(Relation::Accepted)));
    let alice = alice.restarted(true).await;
    bob_there.send("alice", "who are you now?").await;
    assert_eq!(alice.unread(1).await, ["who are you now?"]);
    let again = alice.engine.handle().contacts().await.unwrap().remove(0);
    assert_eq!((again.standing, again.nickname), (Standing::Request, None));
    assert!(alice.engine.handle().status().await.unwrap().unreadable.is_empty());
    let devices = alice.engine.handle().devices_of(bob()).await.unwrap();
    assert_eq!(devices.len(), 1);
    assert!(devices[0].seen_at.is_some() && !devices[0].compared);
}

#[tokio::test]
async fn nobody_comes_to_be_shown_for_what_is_not_to_be_read() {
    let node = Node::start().await;
    let (alice, bob_there) = (Person::registered(&node, "alice").await, Person::registered(&node, "bob").await);
    let (handle, there, to_alice) = (alice.engine.handle(), bob_there.engine.handle(), alice.handle.clone());
    let id = bob_there.send("alice", "hello").await;
    bob_there.settled(id).await;
    alice.unread(1).await;
    handle.decide(bob(), Standing::Accepted).await.unwrap();
    handle.remove(removing(true)).await.unwrap();
    let before = node.ledger().sends.len();
    there.act(to_alice, Deed::Edit(id, Text::new("good day".to_owned()).unwrap())).await.unwrap();
    let of_alice = node.tag("alice");
    let has_come = || {
        let ledger = node.ledger();
        ledger.sends.len() > before && ledger.waiting(of_alice) == 0
    };
    let deadline = clock::monotonic() + PATIENCE;
    while !has_come() {
        assert!(clock::monotonic() < deadline, "it does not come");
        tokio::task::yield_now().await;
    }
    assert!(handle.contacts().await.unwrap().is_empty(), "somebody who was removed");
    // Who he is was asked while he was known, and is answered after he was removed.
    assert_eq!(handle.verify(bob()).await.unwrap().with, bob());
    assert!(handle.conversations(9).await.unwrap().is_empty(), "a question");
    bob_there.send("alice", "once more").await;
    assert_eq!(alice.unread(1).await, ["once more"]);
    let again = handle.contacts().await.unwrap().remove(0);
    assert_eq!((again.handle, again.standing), (Some(bob()), Standing::Request));
}

#[tokio::test]
async fn somebody_who_was_never_found_can_go() {
    let node = Node::start().await;
    let alice = Person::registered(&node, "alice").await.restarted(false).await;
    alice.send("bob", "is anybody there?").await;
    let handle = alice.engine.handle();
    assert_eq!(handle.remove(removing(true)).await.unwrap(), 1);
    assert_eq!(handle.status().await.unwrap().outbox, 0);
    let bob_there = Person::registered(&node, "bob").await;
    let alice = alice.restarted(true).await;
    alice.until_online().await;
    assert!(alice.engine.handle().contacts().await.unwrap().is_empty());
    // What comes after it comes alone.
    bob_there.send("alice", "nobody has written to me").await;
    assert_eq!(alice.unread(1).await, ["nobody has written to me"]);
    assert!(bob_there.engine.handle().unread(None, 9).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_message_that_waits_does_not_leave_once_its_conversation_is_gone() {
    let node = Node::start().await;
    let (alice, bob_there) = (Person::registered(&node, "alice").await, Person::registered(&node, "bob").await);
    let id = alice.send("bob", "first").await;
    alice.settled(id).await;
    let alice = alice.restarted(false).await;
    alice.send("bob", "never said").await;
    alice.engine.handle().remove(removing(false)).await.unwrap();
    let alice = alice.restarted(true).await;
    let id = alice.send("bob", "second").await;
    alice.settled(id).await;
    assert_eq!(bob_there.unread(2).await, ["first", "second"]);
    assert!(bob_there.engine.handle().unseen_notices(None, 9).await.unwrap().is_empty(), "nothing is missing");
}

#[test]
fn what_is_removed_on_one_device_goes_from_the_others() {
    let (mut phone, mut bob) = (Device::new("alice"), Device::new("bob"));
    phone.meet(&bob);
    bob.introduce(&phone);
    let mut laptop = linked(&phone);
    let (own, with) = (phone.own, bob.own.account);
    let bundles = laptop.bundles();
    phone.database.write(|store| open_sessions(store, own, own.account, &bundles, clock::now())).unwrap();
    laptop.introduce(&phone);
    for text in ["one", "two"] {
        phone.queue(with, text);
        let id = phone.database.read().history(with, 1).unwrap().remove(0).id;
        let (row, to) = phone.database.write(|store| copy_for_own_devices(store, id)).unwrap().unwrap();
        let envelope = sealed(&mut phone, row, to);
        laptop.take(&envelope);
    }
    assert_eq!(laptop.database.read().history(with, 9).unwrap().len(), 2);
    let remove = |device: &mut Device, contact: bool| {
        let news = endtoend_protocol::OwnNews::Removed { with, contact };
        let (row, to) = device
            .database
            .write(|store| {
                let at = store.settles(&news, clock::now())?;
                store.remove_conversation(with, Extent::Everything)?;
                if contact {
                    store.remove_contact(with, true, at)?;
                }
                settle_for_own_devices(store, news, false, at)
            })
            .unwrap()
            .unwrap();
        sealed(device, row, to)
    };
    let envelope = remove(&mut phone, false);
    let Arrival::Unseen { news, .. } = laptop.take(&envelope) else { panic!("no news") };
    assert_eq!(news.iter().map(|news| news.change).collect::<Vec<_>>(), [Change::Removed]);
    let store = laptop.database.read();
    assert!(store.history(with, 9).unwrap().is_empty() && store.contact(with).unwrap().is_some());
    let envelope = remove(&mut phone, true);
    laptop.take(&envelope);
    assert_eq!(laptop.database.read().contact(with).unwrap(), None);
    // Nobody else can say so.
    let (to, now) = (phone.own.account, clock::now());
    bob.queue(to, "a message");
    let kind = ContentKind::Own(endtoend_protocol::OwnNews::Removed { with: to, contact: true });
    let id = endtoend_protocol::MessageId::new(now, rand::random());
    let (row, _) = bob.database.write(|store| crate::engine::repair::queue_errand(store, to, id, now, kind)).unwrap();
    bob.meet(&phone);
    let envelope = sealed(&mut bob, row, to);
    assert!(matches!(phone.take(&envelope), Arrival::Unreadable { reason: "malformed", .. }));
}
